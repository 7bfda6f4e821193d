/* source_http.c: what the management service says over HTTP: the map as a stream that never ends, and the bucket's kind.
 *
 *	GET /pools/default/bs/B                map \n\n\n\n map \n\n\n\n ...     pushed as it changes
 *	    /pools/default/bucketsStreaming/B  the same, of older servers        after a 404
 *	    /pools/default/b/B                 one map                           after another; asked again and again
 *
 * It is the way in where a seed names the management service, and the watch as long as no data connection hands out
 * maps. Basic authentication shows the password to who listens: without TLS it is used only when `allow_plain` or a seed
 * says so. */
#include "dcp/source_internal.h"

#include "base/mem.h"
#include "dcp/port.h"

#include <stdio.h>

#define ONCE_MORE \
	(10 * NSEC_PER_SEC) /* one-shot maps, unless config_watch_interval says otherwise */
#define PATIENCE \
	(NSEC_PER_SEC) /* what is lost is mostly back before that; least time between streams */
#define SILENCE_MAX (120 * NSEC_PER_SEC)

static const char separator[] = "\n\n\n\n";

static const char *const paths[] = { "bs", "bucketsStreaming", "b" };
enum { PATH_ONCE = ARRAY_LEN(paths) - 1 };

static bool allowed(const struct dcp_source *s)
{
	bool named = false;
	for (size_t i = 0; i < s->n_seeds; i++)
		named = named || s->seed[i].http;
	return s->tls || s->o.allow_plain || named;
}

/* ---- whom to ask ---- */

/* Candidate number i; false: there are fewer. */
static bool candidate(struct dcp_source *s, uint32_t i, const char **host, uint16_t *port)
{
	for (uint32_t n = 0; s->map && n < s->map->n_nodes; n++)
		if (cluster_mgmt_address(s->map, n, s->network, s->tls != NULL, host, port) &&
		    i-- == 0)
			return true;
	for (size_t n = 0; n < s->n_seeds; n++) {
		*host = s->seed[n].host;
		*port = s->seed[n].http ? s->seed[n].port
			: s->tls        ? SEED_MGMT_PORT_TLS
					: SEED_MGMT_PORT;
		if (i-- == 0)
			return true;
	}
	return false;
}

/* Without a map, and without a data connection, only seeds of the management service are asked. */
static bool has_http_seed(const struct dcp_source *s)
{
	for (size_t i = 0; i < s->n_seeds; i++)
		if (s->seed[i].http)
			return true;
	return false;
}

static bool wanted(const struct dcp_source *s)
{
	bool ready = false;
	for (uint32_t i = 0; i < s->n_nodes; i++) {
		const struct conn *c = s->node[i]->dcp;
		if (conn_gives_maps(c))
			return false;
		ready = ready || conn_is_ready(c);
	}
	return ready || s->map || has_http_seed(s);
}

/* ---- the stream ---- */

static void open_stream(void *arg);

static void close_stream(struct dcp_source *s)
{
	http_get_close(s->http.get);
	s->http.get = NULL;
	buf_reset(&s->http.block);
	timer_clear(&s->http.timer);
	s->http.armed = false;
}

static void open_later(struct dcp_source *s, nsec after)
{
	s->http.armed = true;
	timer_set(&s->http.timer, after);
}

static void lost(struct dcp_source *s, const struct err *why)
{
	source_note_error(s, why);
	if (!s->map && (why->code == ERR_AUTH || why->code == ERR_NOTFOUND))
		source_fail(s, why);
	source_note_port(s, s->http.host, s->http.port, why);
	s->http.target++;
	s->http.path = 0;
	open_later(s, source_jittered(s, ++s->http.tries));
}

static void take_map(struct dcp_source *s, struct slice text)
{
	bool accepted;
	while (text.len && (text.p[0] == '\n' || text.p[0] == '\r' || text.p[0] == ' ')) {
		text.p++;
		text.len--;
	}
	if (text.len == 0)
		return;
	s->http.tries = 0;
	source_adopt_map(s, text, s->http.host, s->http.port, &accepted);
}

static void on_head(void *arg, int status)
{
	struct dcp_source *s = arg;
	s->http.status = status;
}

static void on_body(void *arg, struct slice piece)
{
	struct dcp_source *s = arg;
	struct buf *b = &s->http.block;
	const size_t n = sizeof(separator) - 1;
	if (s->http.status != 200)
		return;
	size_t from = b->len < n ? 0 : b->len - n + 1; /* one may have come in two pieces */
	buf_add(b, piece.p, piece.len);
	uint8_t *end;
	while (b->len > from && (end = memmem(b->p + from, b->len - from, separator, n))) {
		size_t len = (size_t)(end - b->p);
		take_map(s, slice_of(b->p, len));
		memmove(b->p, end + n, b->len - len - n);
		b->len -= len + n;
		from = 0;
	}
	if (b->failed || b->len > CLUSTER_JSON_MAX) {
		struct err e = ERR_INIT;
		(void)err_set(&e, ERR_LIMIT, "%s: a cluster map of more than %u bytes",
			      s->http.host, CLUSTER_JSON_MAX);
		close_stream(s);
		lost(s, &e);
	}
}

static void on_end(void *arg, const struct err *why)
{
	struct dcp_source *s = arg;
	struct err e = ERR_INIT;
	bool whole = !why && s->http.status == 200;
	bool quiet = why && why->code == ERR_TIMEOUT && s->http.status == 200;
	bool once = s->http.path == PATH_ONCE;
	if (whole)
		take_map(s, buf_slice(&s->http.block));
	close_stream(s);
	if (why && !quiet) {
		lost(s, why);
	} else if (quiet || whole) {
		nsec every = s->o.mitigation.config_watch_interval;
		nsec again = MAX(PATIENCE, source_jittered(s, ++s->http.tries));
		open_later(s, !once ? again : every ? every : ONCE_MORE);
	} else if (s->http.status == 404 && !once) {
		s->http.path++;
		open_later(s, 0);
	} else {
		(void)cluster_http_refusal(s->http.status, s->http.host, s->http.port, s->o.user,
					   s->o.bucket, &e);
		lost(s, &e);
	}
}

static const struct http_get_ops stream_ops = { on_head, on_body, on_end };

static void get_options(struct dcp_source *s, const char *path, struct http_get_options *o)
{
	bool by_certificate = s->tls && tls_has_client_cert(s->tls);
	*o = (struct http_get_options){ .path = path,
					.user = by_certificate ? NULL : s->o.user,
					.password = s->o.password,
					.tls = s->tls,
					.connect_timeout = s->o.connect_timeout,
					.silence = SILENCE_MAX,
					.expected = s->map ? NULL : &port_of_mgmt };
}

static void open_stream(void *arg)
{
	struct dcp_source *s = arg;
	AUTO(buf) struct buf path = BUF_INIT;
	struct http_get_options o;
	struct err e = ERR_INIT;
	const char *host;
	uint16_t port;
	s->http.armed = false;
	if (s->http.get || !wanted(s))
		return;
	if (!candidate(s, s->http.target, &host, &port)) {
		s->http.target = 0;
		if (!candidate(s, 0, &host, &port))
			return;
	}
	(void)snprintf(s->http.host, sizeof(s->http.host), "%s", host);
	s->http.port = port;
	s->http.status = 0;
	cluster_http_path(paths[s->http.path], s->o.bucket, &path);
	get_options(s, buf_cstr(&path), &o);
	int rc = buf_check(&path, &e);
	if (rc == 0)
		rc = http_get_open(s->loop, s->http.host, port, &o, &stream_ops, s, &s->http.get,
				   &e);
	if (rc < 0)
		lost(s, &e);
}

void source_http_review(struct dcp_source *s)
{
	if (!wanted(s)) {
		close_stream(s);
		s->http.tries = 0;
		return;
	}
	if (s->http.get || s->http.armed)
		return;
	if (allowed(s)) {
		open_later(s, s->map ? PATIENCE : 0);
	} else if (!s->map) {
		struct err e = ERR_INIT;
		(void)err_set(&e, ERR_UNSUPPORTED,
			      "the data service hands out no cluster map, and the management "
			      "service would see the password in the clear: use TLS or allow it");
		source_note_error(s, &e);
	}
}

/* ---- the bucket's kind ---- */

/* Persistence means nothing to a bucket that is in memory only: nothing is held back there. */
static void learn_kind(struct dcp_source *s, bool ephemeral)
{
	s->kind_known = true;
	s->ephemeral = ephemeral;
	for (uint32_t i = 0; ephemeral && i < s->n_slots; i++)
		vbucket_set_gate(&s->slot[i].v, GATE_OFF, source_now(s));
	source_flush(s);
}

static void on_kind_head(void *arg, int status)
{
	struct dcp_source *s = arg;
	s->kind_status = status;
}

static void on_kind_body(void *arg, struct slice piece)
{
	struct dcp_source *s = arg;
	if (s->kind_text.len + piece.len <= CLUSTER_JSON_MAX)
		buf_add(&s->kind_text, piece.p, piece.len);
}

static void on_kind_end(void *arg, const struct err *why)
{
	struct dcp_source *s = arg;
	bool ephemeral;
	http_get_close(s->kind_get);
	s->kind_get = NULL;
	if (!why && s->kind_status == 200 &&
	    cluster_bucket_ephemeral(buf_slice(&s->kind_text), &ephemeral))
		learn_kind(s, ephemeral);
	else
		s->kind_asked = false; /* the next connection asks again */
	buf_done(&s->kind_text);
}

/* The statistics were refused. */
static void ask_kind_over_http(struct dcp_source *s)
{
	static const struct http_get_ops ops = { on_kind_head, on_kind_body, on_kind_end };
	AUTO(buf) struct buf path = BUF_INIT;
	struct http_get_options o;
	const char *host;
	uint16_t port;
	if (s->kind_get || !allowed(s) || !candidate(s, 0, &host, &port))
		return;
	cluster_http_path("buckets", s->o.bucket, &path);
	get_options(s, buf_cstr(&path), &o);
	o.silence = s->o.connect_timeout;
	s->kind_status = 0;
	if (!path.failed)
		(void)http_get_open(s->loop, host, port, &o, &ops, s, &s->kind_get, NULL);
}

void source_ask_kind(struct dcp_source *s, struct conn *c)
{
	if (s->o.mitigation.policy == MITIGATE_NONE || s->kind_known || s->kind_asked)
		return;
	s->kind_asked = true;
	s->kind_conn = conn_id(c);
	wire_simple(conn_out(c), OP_STAT, 0, SLICE_NONE, SLICE_NONE);
	conn_flush(c);
}

/* One statistic a packet; the last has no name. */
void source_on_stat(struct dcp_source *s, struct conn *c, const struct packet *p)
{
	if (s->kind_known || conn_id(c) != s->kind_conn)
		return;
	if (p->vb_status == STATUS_OK && slice_is(p->key, "ep_bucket_type"))
		learn_kind(s, slice_is(p->value, "ephemeral"));
	else if (p->vb_status != STATUS_OK || p->key.len == 0)
		ask_kind_over_http(s);
}

/* The connection that was asked is gone. */
void source_kind_lost(struct dcp_source *s, const struct conn *c)
{
	if (!s->kind_known && !s->kind_get && conn_id(c) == s->kind_conn)
		s->kind_asked = false;
}

/* ---- start and end ---- */

int source_http_init(struct dcp_source *s, struct err *e)
{
	return timer_init(&s->http.timer, s->loop, open_stream, s, e);
}

void source_http_done(struct dcp_source *s)
{
	http_get_close(s->http.get);
	http_get_close(s->kind_get);
	s->http.get = s->kind_get = NULL;
	timer_done(&s->http.timer);
	buf_done(&s->http.block);
	buf_done(&s->kind_text);
}
