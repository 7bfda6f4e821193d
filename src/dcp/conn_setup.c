/* conn_setup.c: from the connection to "ready": features, errors, login, bucket, map, manifest, stream settings. */
#include "dcp/conn_internal.h"

#include "net/tcp.h"
#include "net/tls.h"
#include "os/env.h"

#include <inttypes.h>
#include <stdio.h>

/* Its opaque is its index + 1, below 65536: streams have a generation in the upper half. */
static uint32_t await(struct conn *c, uint8_t opcode, bool optional)
{
	ASSERT(c->n_setup < SETUP_MAX);
	c->setup[c->n_setup++] = (struct setup){ .opcode = opcode, .optional = optional };
	c->n_pending++;
	return c->n_setup;
}

static void send_features(struct conn *c)
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
		HELLO_DEDUPE_NMVB_MAP,
		HELLO_MUTATION_SEQNO,
		/* where maps are wanted: pushed whole by older servers; newer ones say only that there is one */
		HELLO_DUPLEX,
		HELLO_CLUSTERMAP_PUSH,
		HELLO_CLUSTERMAP_PUSH_BRIEF,
	};
	uint16_t wanted[ARRAY_LEN(features) + 1];
	size_t n = ARRAY_LEN(features) - (c->o.push_maps ? 0 : 3);
	memcpy(wanted, features, n * sizeof(wanted[0]));
	if (c->o.skip_deletes)
		wanted[n++] = HELLO_SKIP_DELETES;
	char agent[160];
	int len = snprintf(agent, sizeof(agent), "{\"a\":\"%.100s\",\"i\":\"%016x/%016x\"}",
			   c->o.agent ? c->o.agent : "weir", (unsigned)env_process_id(c->o.env),
			   (unsigned)c->id);
	wire_hello(tcp_out(c->tcp), await(c, OP_HELLO, false), slice_of(agent, (size_t)len), wanted,
		   n);
}

static void control(struct conn *c, const char *key, const char *value)
{
	wire_dcp_control(tcp_out(c->tcp), await(c, OP_DCP_CONTROL, true), key, value);
}

static void open_dcp(struct conn *c)
{
	const struct conn_options *o = &c->o;
	char number[32];
	uint32_t flags = o->open_flags | DCP_OPEN_PRODUCER | DCP_OPEN_DELETE_TIMES;
	if (o->skip_deletes && conn_has(c, HELLO_SKIP_DELETES) && conn_has(c, HELLO_COLLECTIONS))
		flags |= DCP_OPEN_SKIP_DELETES;
	wire_dcp_open(tcp_out(c->tcp), await(c, OP_DCP_OPEN, false), slice_str(c->name), flags);
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
	if (o->stream_ids)
		control(c, "enable_stream_id", "true");
	if (o->force_compression)
		control(c, "force_value_compression", "true");
}

static void open_bucket(struct conn *c)
{
	struct buf *out = tcp_out(c->tcp);
	wire_simple(out, OP_SELECT_BUCKET, await(c, OP_SELECT_BUCKET, false),
		    slice_str(c->o.bucket), SLICE_NONE);
	conn_add_map_request(c, await(c, OP_GET_CLUSTER_CONFIG, true));
	if (conn_has(c, HELLO_COLLECTIONS))
		wire_simple(out, OP_COLLECTIONS_GET_MANIFEST,
			    await(c, OP_COLLECTIONS_GET_MANIFEST, true), SLICE_NONE, SLICE_NONE);
	if (c->o.dcp)
		open_dcp(c);
	tcp_flush_soon(c->tcp);
}

void conn_say_hello(struct conn *c)
{
	send_features(c);
	wire_get_error_map(tcp_out(c->tcp), await(c, OP_GET_ERROR_MAP, true));
	if (c->o.tls && tls_has_client_cert(c->o.tls))
		return; /* the certificate is the login; the bucket follows the features */
	wire_simple(tcp_out(c->tcp), OP_SASL_LIST_MECHS, await(c, OP_SASL_LIST_MECHS, false),
		    SLICE_NONE, SLICE_NONE);
}

static void send_sasl(struct conn *c, uint8_t opcode, const struct buf *data)
{
	wire_simple(tcp_out(c->tcp), opcode, await(c, opcode, false),
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
		conn_fail(c, &e);
		return;
	}
	if (env_random(c->o.env, raw, sizeof(raw), &e) < 0) {
		conn_fail(c, &e);
		return;
	}
	for (size_t i = 0; i < sizeof(raw); i++)
		(void)snprintf(nonce + 2 * i, 3, "%02x", raw[i]);
	c->sasl_running = true;
	if (sasl_start(&c->sasl, m, slice_str(c->o.user), slice_str(c->o.password),
		       slice_str(nonce), c->o.cache, &data, &e) < 0)
		conn_fail(c, &e);
	else
		send_sasl(c, OP_SASL_AUTH, &data);
}

static void on_login(struct conn *c, const struct packet *p)
{
	struct err e = ERR_INIT;
	AUTO(buf) struct buf data = BUF_INIT;
	if (p->vb_status == STATUS_AUTH_CONTINUE) {
		if (sasl_step(&c->sasl, p->value, &data, &e) < 0)
			conn_fail(c, &e);
		else
			send_sasl(c, OP_SASL_STEP, &data);
		return;
	}
	if (p->vb_status != STATUS_OK) {
		(void)err_set(&e, ERR_AUTH, "the login of user %s was refused (status 0x%02x)",
			      c->o.user, p->vb_status);
		conn_fail(c, &e);
		return;
	}
	if (sasl_finish(&c->sasl, p->value, &e) < 0)
		conn_fail(c, &e);
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
	if (status == STATUS_EACCESS || status == STATUS_AUTH_ERROR)
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

/* What the caller can do something about is said in the caller's words. */
static void refused(struct conn *c, uint8_t opcode, uint16_t status)
{
	struct err e = ERR_INIT;
	int code = refusal_code(opcode, status);
	if (opcode == OP_SELECT_BUCKET && code == ERR_NOTFOUND)
		(void)err_set(&e, code, "there is no bucket %s", c->o.bucket);
	else if (opcode == OP_SELECT_BUCKET && code == ERR_AUTH)
		(void)err_set(&e, code, "there is no bucket %s, or user %s may not use it",
			      c->o.bucket, c->o.user);
	else if (opcode == OP_DCP_OPEN && code == ERR_AUTH)
		(void)err_set(&e, code,
			      "user %s may not stream bucket %s: it lacks a role such as "
			      "data_dcp_reader",
			      c->o.user, c->o.bucket);
	if (e.code)
		conn_fail(c, &e);
	else
		conn_fail_status(c, setup_name(opcode), status, code);
}

/* Without one, what we do not know is tried again later. */
static void on_error_map(struct conn *c, const struct packet *p)
{
	struct error_map *m;
	if (error_map_parse(p->value, &m, NULL) < 0)
		return;
	error_map_free(c->errors);
	c->errors = m;
}

static void on_map(struct conn *c, const struct packet *p)
{
	c->gives_maps = true;
	if (p->value.len)
		c->ops->map(c->arg, c, p->value);
}

void conn_on_setup(struct conn *c, const struct packet *p)
{
	struct setup *s = &c->setup[p->opaque - 1];
	s->done = true;
	s->ok = p->vb_status == STATUS_OK;
	c->n_pending--;
	bool login = s->opcode == OP_SASL_AUTH || s->opcode == OP_SASL_STEP;
	if (!s->ok && !s->optional && !login) {
		refused(c, s->opcode, p->vb_status);
		return;
	}
	if (login)
		on_login(c, p);
	else if (s->opcode == OP_HELLO)
		on_hello(c, p);
	else if (s->opcode == OP_SASL_LIST_MECHS)
		on_mechanisms(c, p);
	else if (s->opcode == OP_GET_ERROR_MAP && s->ok)
		on_error_map(c, p);
	else if (s->opcode == OP_GET_CLUSTER_CONFIG && s->ok)
		on_map(c, p);
	else if (s->opcode == OP_COLLECTIONS_GET_MANIFEST && s->ok)
		c->ops->manifest(c->arg, c, p->value);
	if (c->n_pending == 0 && !c->failed && !c->freed) {
		c->ready = true;
		if (c->sasl_running)
			sasl_done(&c->sasl);
		c->sasl_running = false;
		c->ops->ready(c->arg, c);
		if (c->newer_map && conn_is_ready(c))
			conn_ask_map(c);
	}
}
