#include "dcp/conn.h"

#include "base/mem.h"
#include "dcp/wire_parse.h"
#include "net/tcp.h"
#include "net/tls.h"
#include "os/env.h"

#include <inttypes.h>
#include <stdio.h>

enum { READ_BYTES = 16 << 10, SETUP_MAX = 48 };

struct setup { /* a request whose answer is awaited before the connection is ready */
	uint8_t opcode;
	bool optional;   /* a refusal means: the feature is absent */
	const char *key; /* of a control */
	bool done, ok;
};

struct conn {
	struct conn_options o;
	const struct conn_ops *ops;
	void *arg;
	struct tcp *tcp;
	struct loop *loop;
	struct timer liveness;
	char host[256];
	char name[WIRE_NAME_MAX + 1];
	uint16_t port;
	uint32_t id;
	bool ready, failed, busy, freed;
	uint64_t features; /* bits of enum hello_feature, all below 64 */
	struct sasl sasl;
	bool sasl_running;
	struct setup setup[SETUP_MAX];
	uint32_t n_setup, n_pending;
	nsec last_received;
	uint64_t received, acked; /* bytes of stream messages */
	uint64_t consumed;        /* not yet given back */
	uint64_t unacked_max;
};

static uint32_t next_id(void)
{
	static _Atomic uint32_t last;
	uint32_t id = ++last;
	return id ? id : ++last;
}

static void fail(struct conn *c, const struct err *why)
{
	if (c->failed)
		return;
	c->failed = true;
	c->ready = false;
	timer_clear(&c->liveness);
	struct err e = *why;
	(void)err_in(&e, e.code ? e.code : ERR_NET, "%s:%u", c->host, c->port);
	c->ops->closed(c->arg, c, &e);
}

static void fail_status(struct conn *c, const char *what, uint16_t status, int code)
{
	struct err e = ERR_INIT;
	const char *name = status_name(status);
	(void)err_set(&e, code, "%s: %s (status 0x%02x)", what, name ? name : "refused", status);
	fail(c, &e);
}

/* ---- setting up ---- */

/* Its opaque is its index + 1, below 65536: streams have a generation in the upper half. */
static uint32_t await(struct conn *c, uint8_t opcode, bool optional, const char *key)
{
	ASSERT(c->n_setup < SETUP_MAX);
	c->setup[c->n_setup++] =
		(struct setup){ .opcode = opcode, .optional = optional, .key = key };
	c->n_pending++;
	return c->n_setup;
}

static void say_hello(struct conn *c)
{
	static const uint16_t features[] = {
		HELLO_XATTR,
		HELLO_XERROR,
		HELLO_SELECT_BUCKET,
		HELLO_SNAPPY,
		HELLO_JSON,
		HELLO_ALT_REQUEST,
		HELLO_COLLECTIONS,
		HELLO_SNAPPY_EVERYWHERE,
		HELLO_CONFIG_KNOWN_VERSION,
		HELLO_MUTATION_SEQNO,
		HELLO_DUPLEX,
		HELLO_CLUSTERMAP_PUSH,
	};
	size_t n = ARRAY_LEN(features) - (c->o.push_maps ? 0 : 2);
	char agent[160];
	int len = snprintf(agent, sizeof(agent), "{\"a\":\"%.100s\",\"i\":\"%016x/%016x\"}",
			   c->o.agent ? c->o.agent : "weir", (unsigned)env_process_id(c->o.env),
			   (unsigned)c->id);
	wire_hello(tcp_out(c->tcp), await(c, OP_HELLO, false, NULL), slice_of(agent, (size_t)len),
		   features, n);
}

static void control(struct conn *c, const char *key, const char *value)
{
	wire_dcp_control(tcp_out(c->tcp), await(c, OP_DCP_CONTROL, true, key), key, value);
}

static void open_dcp(struct conn *c)
{
	const struct conn_options *o = &c->o;
	char number[32];
	wire_dcp_open(tcp_out(c->tcp), await(c, OP_DCP_OPEN, false, NULL), slice_str(c->name),
		      o->open_flags | DCP_OPEN_PRODUCER | DCP_OPEN_DELETE_TIMES);
	control(c, "enable_noop", "true");
	(void)snprintf(number, sizeof(number), "%" PRId64,
		       MAX(1, (int64_t)(o->noop / NSEC_PER_SEC)));
	control(c, "set_noop_interval", number);
	if (o->window_bytes) {
		(void)snprintf(number, sizeof(number), "%u", o->window_bytes);
		control(c, "connection_buffer_size", number);
	}
	control(c, "enable_expiry_opcode", "true");
	control(c, "send_stream_end_on_client_close_stream", "true");
	control(c, "flatbuffers_system_events", "true");
	control(c, "max_marker_version", "2.2");
	if (o->priority)
		control(c, "set_priority", o->priority);
	if (o->backfill_order)
		control(c, "backfill_order", o->backfill_order);
	if (o->cursor_dropping)
		control(c, "supports_cursor_dropping", "true");
	if (o->change_streams)
		control(c, "change_streams", "true");
	if (o->out_of_order)
		control(c, "enable_out_of_order_snapshots", "true_with_seqno_advanced");
	if (o->force_compression)
		control(c, "force_value_compression", "true");
}

static void open_bucket(struct conn *c)
{
	struct buf *out = tcp_out(c->tcp);
	wire_simple(out, OP_SELECT_BUCKET, await(c, OP_SELECT_BUCKET, false, NULL),
		    slice_str(c->o.bucket), SLICE_NONE);
	wire_get_cluster_config(out, await(c, OP_GET_CLUSTER_CONFIG, true, NULL), false, 0, 0);
	if (conn_has(c, HELLO_COLLECTIONS))
		wire_simple(out, OP_COLLECTIONS_GET_MANIFEST,
			    await(c, OP_COLLECTIONS_GET_MANIFEST, true, NULL), SLICE_NONE,
			    SLICE_NONE);
	if (c->o.dcp)
		open_dcp(c);
	tcp_flush_soon(c->tcp);
}

static void on_connected(void *arg)
{
	struct conn *c = arg;
	c->last_received = loop_now(c->loop);
	timer_set(&c->liveness, c->o.noop);
	say_hello(c);
	if (c->o.tls && tls_has_client_cert(c->o.tls))
		return; /* the certificate is the login; the bucket follows the features */
	wire_simple(tcp_out(c->tcp), OP_SASL_LIST_MECHS, await(c, OP_SASL_LIST_MECHS, false, NULL),
		    SLICE_NONE, SLICE_NONE);
}

static void send_sasl(struct conn *c, uint8_t opcode, const struct buf *data)
{
	wire_simple(tcp_out(c->tcp), opcode, await(c, opcode, false, NULL),
		    slice_str(sasl_name(c->sasl.mechanism)), buf_slice(data));
	tcp_flush_soon(c->tcp);
}

static void on_mechanisms(struct conn *c, const struct packet *p)
{
	struct err e = ERR_INIT;
	AUTO(buf) struct buf data = BUF_INIT;
	uint8_t raw[16];
	char nonce[33];
	enum sasl_mechanism m = sasl_choose(p->value, c->o.allow_plain || c->o.tls);
	if (m == SASL_NONE) {
		(void)err_set(&e, ERR_AUTH,
			      "no way to log in that both sides know (offered: " SLICE_FMT ")",
			      SLICE_ARG(p->value));
		fail(c, &e);
		return;
	}
	if (env_random(c->o.env, raw, sizeof(raw), &e) < 0) {
		fail(c, &e);
		return;
	}
	for (size_t i = 0; i < sizeof(raw); i++)
		(void)snprintf(nonce + 2 * i, 3, "%02x", raw[i]);
	c->sasl_running = true;
	if (sasl_start(&c->sasl, m, slice_str(c->o.user), slice_str(c->o.password),
		       slice_str(nonce), c->o.cache, &data, &e) < 0)
		fail(c, &e);
	else
		send_sasl(c, OP_SASL_AUTH, &data);
}

static void on_login(struct conn *c, const struct packet *p)
{
	struct err e = ERR_INIT;
	AUTO(buf) struct buf data = BUF_INIT;
	if (p->vb_status == STATUS_AUTH_CONTINUE) {
		if (sasl_step(&c->sasl, p->value, &data, &e) < 0)
			fail(c, &e);
		else
			send_sasl(c, OP_SASL_STEP, &data);
		return;
	}
	if (p->vb_status != STATUS_OK) {
		(void)err_set(&e, ERR_AUTH, "the login of user %s was refused (status 0x%02x)",
			      c->o.user, p->vb_status);
		fail(c, &e);
		return;
	}
	if (sasl_finish(&c->sasl, p->value, &e) < 0)
		fail(c, &e);
	else
		open_bucket(c);
}

static void on_hello(struct conn *c, const struct packet *p)
{
	for (size_t i = 0; i + 2 <= p->value.len; i += 2) {
		uint16_t f = get_be16(p->value.p + i);
		if (f < 64)
			c->features |= UINT64_C(1) << f;
	}
	if (c->o.tls && tls_has_client_cert(c->o.tls))
		open_bucket(c);
}

static int refusal_code(uint8_t opcode, uint16_t status)
{
	if (status == STATUS_EACCESS || status == STATUS_AUTH_ERROR || status == STATUS_AUTH_STALE)
		return ERR_AUTH;
	if (opcode == OP_SELECT_BUCKET &&
	    (status == STATUS_KEY_ENOENT || status == STATUS_NO_BUCKET))
		return ERR_NOTFOUND;
	return ERR_NET;
}

static const char *setup_name(uint8_t opcode)
{
	switch (opcode) {
	case OP_HELLO: return "greeting";
	case OP_SASL_LIST_MECHS: return "asking how to log in";
	case OP_SELECT_BUCKET: return "opening the bucket";
	case OP_DCP_OPEN: return "opening a change stream";
	}
	return "setting up";
}

static void on_setup(struct conn *c, const struct packet *p)
{
	struct setup *s = &c->setup[p->opaque - 1];
	s->done = true;
	s->ok = p->vb_status == STATUS_OK;
	c->n_pending--;
	bool login = s->opcode == OP_SASL_AUTH || s->opcode == OP_SASL_STEP;
	if (!s->ok && !s->optional && !login) {
		fail_status(c, setup_name(s->opcode), p->vb_status,
			    refusal_code(s->opcode, p->vb_status));
		return;
	}
	if (login)
		on_login(c, p);
	else if (s->opcode == OP_HELLO)
		on_hello(c, p);
	else if (s->opcode == OP_SASL_LIST_MECHS)
		on_mechanisms(c, p);
	else if (s->opcode == OP_GET_CLUSTER_CONFIG && s->ok)
		c->ops->map(c->arg, c, p->value);
	else if (s->opcode == OP_COLLECTIONS_GET_MANIFEST && s->ok)
		c->ops->manifest(c->arg, c, p->value);
	if (c->n_pending == 0 && !c->failed && !c->freed) {
		c->ready = true;
		if (c->sasl_running)
			sasl_done(&c->sasl);
		c->sasl_running = false;
		c->ops->ready(c->arg, c);
	}
}

/* ---- packets ---- */

static void on_server_request(struct conn *c, const struct packet *p)
{
	if (p->opcode == SERVER_OP_CLUSTERMAP && p->value.len)
		c->ops->map(c->arg, c, p->value);
}

static void on_packet(struct conn *c, const struct packet *p)
{
	if (packet_is_response(p)) {
		if (p->opcode == OP_NOOP)
			return;
		if (p->opaque >= 1 && p->opaque <= c->n_setup &&
		    c->setup[p->opaque - 1].opcode == p->opcode && !c->setup[p->opaque - 1].done)
			on_setup(c, p);
		else if (c->ready && p->opcode == OP_GET_CLUSTER_CONFIG &&
			 p->vb_status == STATUS_OK)
			c->ops->map(c->arg, c, p->value);
		else if (c->ready)
			c->ops->packet(c->arg, c, p);
		return;
	}
	if (p->magic == MAGIC_SERVER_REQUEST) {
		on_server_request(c, p);
		return;
	}
	if (p->opcode == OP_DCP_NOOP) {
		wire_noop_response(tcp_out(c->tcp), p);
		tcp_flush_soon(c->tcp);
		return;
	}
	c->received += p->len;
	if (c->ready)
		c->ops->packet(c->arg, c, p);
	else
		conn_consumed(c, (uint32_t)p->len);
}

static void note_unacked(struct conn *c)
{
	c->unacked_max = MAX(c->unacked_max, c->received - c->acked);
}

static size_t on_bytes(void *arg, struct slice in, size_t *need)
{
	struct conn *c = arg;
	size_t taken = 0;
	struct packet p;
	c->last_received = loop_now(c->loop);
	c->busy = true;
	for (;;) {
		struct err e = ERR_INIT;
		int rc = packet_view(slice_of(in.p + taken, in.len - taken), PACKET_BODY_MAX, &p,
				     need, &e);
		if (rc == 0)
			break;
		if (rc < 0) {
			fail(c, &e);
			break;
		}
		if (likely(p.magic == MAGIC_REQUEST && c->ready && p.opcode != OP_DCP_NOOP)) {
			c->received += p.len;
			c->ops->packet(c->arg, c, &p);
		} else {
			on_packet(c, &p);
		}
		taken += p.len;
		if (c->failed || c->freed)
			break;
	}
	note_unacked(c);
	if (!c->failed && !c->freed)
		c->ops->round(c->arg, c);
	c->busy = false;
	if (c->freed)
		conn_free(c);
	return taken;
}

static void on_closed(void *arg, const struct err *why)
{
	struct conn *c = arg;
	c->busy = true;
	fail(c, why);
	c->busy = false;
	if (c->freed)
		conn_free(c);
}

static void check_liveness(void *arg)
{
	struct conn *c = arg;
	nsec silent = loop_now(c->loop) - c->last_received;
	if (silent >= 2 * c->o.noop) {
		struct err e = ERR_INIT;
		(void)err_set(&e, ERR_TIMEOUT, "no sign of life for %" PRId64 " ms",
			      (int64_t)(silent / NSEC_PER_MS));
		on_closed(c, &e);
		return;
	}
	if (silent >= c->o.noop) {
		wire_simple(tcp_out(c->tcp), OP_NOOP, 0, SLICE_NONE, SLICE_NONE);
		tcp_flush_soon(c->tcp);
		timer_set(&c->liveness, 2 * c->o.noop - silent);
		return;
	}
	timer_set(&c->liveness, c->o.noop - silent);
}

int conn_open(struct loop *l, const char *host, uint16_t port, const struct conn_options *o,
	      const struct conn_ops *ops, void *arg, struct conn **out, struct err *e)
{
	static const struct tcp_ops tcp_ops = { on_connected, on_bytes, on_closed };
	struct conn *c = mem_try(sizeof(*c));
	if (!c)
		return err_nomem(e);
	c->o = *o;
	c->ops = ops;
	c->arg = arg;
	c->loop = l;
	c->port = port;
	c->id = next_id();
	(void)snprintf(c->host, sizeof(c->host), "%s", host);
	(void)snprintf(c->name, sizeof(c->name), "%s", o->name ? o->name : "");
	struct tcp_options t = { .tls = o->tls,
				 .slabs = o->slabs,
				 .read_bytes = READ_BYTES,
				 .connect_timeout = o->connect_timeout };
	int rc = timer_init(&c->liveness, l, check_liveness, c, e);
	if (rc == 0)
		rc = tcp_connect(l, host, port, &t, &tcp_ops, c, &c->tcp, e);
	if (rc < 0) {
		conn_free(c);
		return rc;
	}
	*out = c;
	return 0;
}

void conn_free(struct conn *c)
{
	if (!c)
		return;
	c->freed = true;
	c->failed = true;
	c->ready = false;
	if (c->busy)
		return; /* on the way out of the callback */
	tcp_close(c->tcp);
	timer_done(&c->liveness);
	if (c->sasl_running)
		sasl_done(&c->sasl);
	mem_free(c);
}

struct buf *conn_out(struct conn *c)
{
	return tcp_out(c->tcp);
}

void conn_flush(struct conn *c)
{
	tcp_flush_soon(c->tcp);
}

struct slab *conn_slab(const struct conn *c)
{
	return tcp_in(c->tcp);
}

nsec conn_time(const struct conn *c)
{
	return c->last_received;
}

void conn_pause(struct conn *c, bool pause)
{
	tcp_pause(c->tcp, pause);
}

void conn_consumed(struct conn *c, uint32_t bytes)
{
	c->consumed += bytes;
	ASSERT(c->acked + c->consumed <= c->received);
	if (!c->o.window_bytes || c->consumed < c->o.window_bytes / 5)
		return;
	note_unacked(c);
	wire_buffer_ack(tcp_out(c->tcp), (uint32_t)c->consumed);
	tcp_flush_soon(c->tcp);
	c->acked += c->consumed;
	c->consumed = 0;
}

uint32_t conn_id(const struct conn *c)
{
	return c->id;
}

bool conn_is_ready(const struct conn *c)
{
	return c && c->ready;
}

bool conn_has(const struct conn *c, enum hello_feature f)
{
	return (c->features >> f & 1) != 0;
}

const char *conn_host(const struct conn *c)
{
	return c->host;
}

bool conn_control_ok(const struct conn *c, const char *key)
{
	for (uint32_t i = 0; i < c->n_setup; i++)
		if (c->setup[i].key && strcmp(c->setup[i].key, key) == 0)
			return c->setup[i].ok;
	return false;
}

uint64_t conn_unacked_max(const struct conn *c)
{
	return c->unacked_max;
}
