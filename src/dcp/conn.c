#include "dcp/conn_internal.h"

#include "base/mem.h"
#include "dcp/port.h"
#include "dcp/wire_parse.h"
#include "net/tcp.h"
#include "net/tls.h"
#include "os/env.h"

#include <inttypes.h>
#include <stdio.h>

enum { READ_BYTES = 16 << 10 };

static uint32_t next_id(void)
{
	static _Atomic uint32_t last;
	uint32_t id = ++last;
	return id ? id : ++last;
}

void conn_fail(struct conn *c, const struct err *why)
{
	if (c->failed)
		return;
	c->failed = true;
	c->ready = false;
	timer_clear(&c->liveness);
	struct err e = *why;
	if (!strstr(e.msg, c->host)) /* it says where already */
		(void)err_in(&e, e.code ? e.code : ERR_NET, "%s:%u", c->host, c->port);
	c->ops->closed(c->arg, c, &e);
}

void conn_fail_status(struct conn *c, const char *what, uint16_t status, int code)
{
	struct err e = ERR_INIT;
	const char *name = status_name(status);
	(void)err_set(&e, code, "%s: %s (status 0x%02x)", what, name ? name : "refused", status);
	conn_fail(c, &e);
}

/* ---- packets ---- */

/* A notification: the map itself, or only its version. */
static void on_server_request(struct conn *c, const struct packet *p)
{
	const struct map_version *known = c->o.known;
	if (p->opcode != SERVER_OP_CLUSTERMAP)
		return;
	if (p->value.len) {
		c->ops->map(c->arg, c, p->value);
		return;
	}
	if (known && known->is && p->extras.len == 16) {
		int64_t epoch = (int64_t)get_be64(p->extras.p);
		int64_t rev = (int64_t)get_be64(p->extras.p + 8);
		if (epoch < known->epoch || (epoch == known->epoch && rev <= known->rev))
			return;
	}
	if (c->ready)
		conn_ask_map(c);
	else
		c->newer_map = true; /* the setup may have asked already */
}

static void note_answer(struct conn *c, uint8_t opcode)
{
	if (opcode != OP_DCP_STREAM_REQ && opcode != OP_DCP_GET_FAILOVER_LOG &&
	    opcode != OP_GET_ALL_VB_SEQNOS)
		return;
	c->n_awaited -= c->n_awaited > 0;
	c->awaited_at = c->last_received;
}

static void on_response(struct conn *c, const struct packet *p)
{
	if (p->opcode == OP_NOOP)
		return;
	if (p->opaque >= 1 && p->opaque <= c->n_setup &&
	    c->setup[p->opaque - 1].opcode == p->opcode && !c->setup[p->opaque - 1].done) {
		conn_on_setup(c, p);
		return;
	}
	if (!c->ready)
		return;
	note_answer(c, p->opcode);
	if (p->vb_status != STATUS_OK && conn_reaction(c, p->vb_status) == REACT_RECONNECT)
		conn_fail_status(c, "the connection is of no use any more", p->vb_status, ERR_NET);
	else if (p->opcode != OP_GET_CLUSTER_CONFIG)
		c->ops->packet(c->arg, c, p, c->last_received);
	else if (p->vb_status == STATUS_OK && p->value.len)
		c->ops->map(c->arg, c, p->value);
}

/* A server may pack whatever JSON it answers with. */
static bool unpack(struct conn *c, const struct packet *in, struct packet *out)
{
	struct err e = ERR_INIT;
	*out = *in;
	if (!(in->datatype & DATATYPE_SNAPPY))
		return true;
	buf_reset(&c->inflated);
	if (wire_inflate(in->value, PACKET_BODY_MAX, &c->inflated, &e) < 0) {
		conn_fail(c, &e);
		return false;
	}
	out->value = buf_slice(&c->inflated);
	out->datatype &= (uint8_t)~DATATYPE_SNAPPY;
	return true;
}

static void on_packet(struct conn *c, const struct packet *p)
{
	struct packet plain;
	if (packet_is_response(p)) {
		if (unpack(c, p, &plain))
			on_response(c, &plain);
		return;
	}
	if (p->magic == MAGIC_SERVER_REQUEST) {
		if (unpack(c, p, &plain))
			on_server_request(c, &plain);
		return;
	}
	if (p->opcode == OP_DCP_NOOP) {
		wire_noop_response(tcp_out(c->tcp), p);
		tcp_flush_soon(c->tcp);
		return;
	}
	c->received += p->len;
	if (c->ready)
		c->ops->packet(c->arg, c, p, c->last_received);
	else
		conn_consumed(c, (uint32_t)p->len);
}

static void note_unacked(struct conn *c)
{
	c->unacked_max = MAX(c->unacked_max, c->received - c->acked);
}

static size_t take_documents(struct conn *c, struct slice in)
{
	size_t taken = 0, n;
	if (!c->ready || !c->ops->documents)
		return 0;
	while ((n = c->ops->documents(c->arg, slice_of(in.p + taken, in.len - taken))) > 0) {
		c->received += n;
		taken += n;
	}
	return taken;
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
		taken += take_documents(c, slice_of(in.p + taken, in.len - taken));
		int rc = packet_view(slice_of(in.p + taken, in.len - taken), PACKET_BODY_MAX, &p,
				     need, &e);
		if (rc == 0)
			break;
		if (rc < 0) {
			conn_fail(c, &e);
			break;
		}
		if (likely(p.magic == MAGIC_REQUEST && c->ready && p.opcode != OP_DCP_NOOP)) {
			c->received += p.len;
			c->ops->packet(c->arg, c, &p, c->last_received);
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
	conn_fail(c, why);
	c->busy = false;
	if (c->freed)
		conn_free(c);
}

static void look_after(struct conn *c, nsec wait)
{
	c->look_at = loop_now(c->loop) + wait;
	timer_set(&c->liveness, wait);
}

static void on_connected(void *arg)
{
	struct conn *c = arg;
	c->last_received = loop_now(c->loop);
	look_after(c, MIN(c->o.noop, c->o.connect_timeout));
	conn_say_hello(c);
}

static void give_up(struct conn *c, const char *why, nsec after)
{
	struct err e = ERR_INIT;
	(void)err_set(&e, ERR_TIMEOUT, "%s for %" PRId64 " ms", why,
		      (int64_t)(after / NSEC_PER_MS));
	on_closed(c, &e);
}

/* Silent, or not done with logging in: one that answers noops, but a step of the login never, would be waited for for
 * ever. Who looks late stood still itself (a stopped process, a suspended machine): that nothing was heard meanwhile
 * says nothing about the other side, which is asked first. */
static void check_liveness(void *arg)
{
	struct conn *c = arg;
	nsec now = loop_now(c->loop), silent = now - c->last_received;
	nsec left = c->ready ? INT64_MAX : c->opened_at + c->o.connect_timeout - now;
	bool late = now - c->look_at > c->o.noop / 2;
	if (late)
		left = MAX(left, c->o.noop);
	if (silent >= 2 * c->o.noop && !late) {
		give_up(c, "no sign of life", silent);
		return;
	}
	if (left <= 0) {
		give_up(c, "the login has not been answered", now - c->opened_at);
		return;
	}
	if (c->n_awaited && !c->paused &&
	    now - c->awaited_at >= CONN_PATIENCE * c->o.connect_timeout) {
		give_up(c, "a request has not been answered", now - c->awaited_at);
		return;
	}
	if (silent >= c->o.noop) {
		wire_simple(tcp_out(c->tcp), OP_NOOP, 0, SLICE_NONE, SLICE_NONE);
		tcp_flush_soon(c->tcp);
		look_after(c, MIN(left, late ? c->o.noop : 2 * c->o.noop - silent));
		return;
	}
	look_after(c, MIN(left, c->o.noop - silent));
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
	c->opened_at = loop_now(l);
	(void)snprintf(c->host, sizeof(c->host), "%s", host);
	(void)snprintf(c->name, sizeof(c->name), "%s", o->name ? o->name : "");
	struct tcp_options t = { .tls = o->tls,
				 .slabs = o->slabs,
				 .read_bytes = READ_BYTES,
				 .connect_timeout = o->connect_timeout,
				 .expected = o->unproven ? &port_of_data : NULL,
				 .asked = o->asked };
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
	error_map_free(c->errors);
	buf_done(&c->inflated);
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

void conn_await(struct conn *c)
{
	if (c->n_awaited++ == 0)
		c->awaited_at = loop_now(c->loop);
}

void conn_pause(struct conn *c, bool pause)
{
	if (c->paused && !pause)
		c->awaited_at = loop_now(c->loop); /* the answers may be there, unread */
	c->paused = pause;
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

uint16_t conn_port(const struct conn *c)
{
	return c->port;
}

bool conn_has_asked(const struct conn *c)
{
	return tcp_has_asked(c->tcp);
}

bool conn_gives_maps(const struct conn *c)
{
	return c && c->ready && c->gives_maps;
}

enum reaction conn_reaction(const struct conn *c, uint16_t status)
{
	return error_reaction(c->errors, status);
}

void conn_add_map_request(struct conn *c, uint32_t opaque)
{
	const struct map_version *known = c->o.known;
	bool tell = known && known->is && conn_has(c, HELLO_CONFIG_KNOWN_VERSION);
	wire_get_cluster_config(tcp_out(c->tcp), opaque, tell, tell ? known->epoch : 0,
				tell ? known->rev : 0);
}

void conn_ask_map(struct conn *c)
{
	conn_add_map_request(c, 0);
	tcp_flush_soon(c->tcp);
}

uint64_t conn_unacked(const struct conn *c)
{
	return c->received - c->acked;
}

uint64_t conn_unacked_max(const struct conn *c)
{
	return c->unacked_max;
}
