/* dcp_machine.h: a vBucket's state machine driven by scripted packets; its actions are written down as text and compared.
 * For the dcp_vbucket tests. */
#ifndef TESTS_DCP_MACHINE_H
#define TESTS_DCP_MACHINE_H

#include "tests/test.h"

#include "dcp/vbucket.h"

#include <inttypes.h>
#include <string.h>

enum { OPENINGS_MAX = 200 };

struct harness {
	struct vbucket v;
	struct vbucket_config config;
	struct buf log, packet;
	uint64_t dropped_bytes, emitted_bytes, sent_bytes;
	nsec now;
	int emit_rc;
	nsec opening[OPENINGS_MAX]; /* when requests were sent, for who notes it */
	size_t n_openings;
};

static inline void say_stream_req(void *arg, struct vbucket *v, const struct wire_stream_req *r)
{
	struct harness *h = arg;
	(void)v;
	buf_add_fmt(&h->log, "req %" PRIu64 " [%" PRIu64 ",%" PRIu64 "] %c", r->start,
		    r->snap_start, r->snap_end, r->uuid ? (char)r->uuid : '0');
	if (r->sid)
		buf_add_fmt(&h->log, " sid %u", r->sid);
	if (r->knows_purge)
		buf_add_fmt(&h->log, " purge %" PRIu64, r->purge_seqno);
	buf_add_str(&h->log, "\n");
}

static inline void say_failover_log(void *arg, struct vbucket *v)
{
	(void)v;
	buf_add_str(&((struct harness *)arg)->log, "log?\n");
}

static inline void say_close(void *arg, struct vbucket *v, int node, uint32_t opaque)
{
	(void)v;
	(void)opaque;
	buf_add_fmt(&((struct harness *)arg)->log, "close %d\n", node);
}

static inline int say_emit(void *arg, struct vbucket *v, const struct dcp_event *ev)
{
	struct harness *h = arg;
	static const char *const names[] = { "mut", "del", "exp", "sys", "rollback", "end", "adv" };
	(void)v;
	if (h->emit_rc < 0)
		return h->emit_rc;
	h->emitted_bytes += ev->wire_bytes;
	if (ev->kind == DCP_ROLLBACK)
		buf_add_fmt(&h->log,
			    "rollback to %" PRIu64 " from %" PRId64 ", resume at %" PRIu64 "\n",
			    ev->rollback_to, (int64_t)ev->rollback_from, ev->pos.seqno);
	else if (ev->kind == DCP_END)
		buf_add_fmt(&h->log, "end %s %d\n", stream_end_name(ev->end_reason), ev->code);
	else
		buf_add_fmt(&h->log, "%s %" PRIu64 " [%" PRIu64 ",%" PRIu64 "] %c\n",
			    names[ev->kind], ev->pos.seqno, ev->pos.snap_start, ev->pos.snap_end,
			    (char)ev->pos.uuid);
	return 0;
}

static inline void count_dropped(void *arg, struct vbucket *v, uint32_t connection,
				 uint32_t wire_bytes)
{
	(void)v;
	(void)connection;
	((struct harness *)arg)->dropped_bytes += wire_bytes;
}

static inline void ignore_timer(void *arg, struct vbucket *v)
{
	(void)arg;
	(void)v;
}

static inline void say_wrong_node(void *arg, struct vbucket *v, struct slice map)
{
	(void)v;
	buf_add_fmt(&((struct harness *)arg)->log, "map " SLICE_FMT "\n", SLICE_ARG(map));
}

static inline void ignore_history(void *arg, struct vbucket *v)
{
	(void)arg;
	(void)v;
}

static inline void say_ask_purge(void *arg, struct vbucket *v)
{
	(void)v;
	buf_add_str(&((struct harness *)arg)->log, "purge?\n");
}

static inline void say_retreat(void *arg, struct vbucket *v, const struct dcp_position *pos)
{
	(void)v;
	buf_add_fmt(&((struct harness *)arg)->log, "retreat to %" PRIu64 "\n", pos->seqno);
}

/* A server whose error map says so. */
enum { AT_ONCE = 0xe1, LATER = 0xe2, ELSEWHERE = 0xe3, NEVER = 0xe4 };

static inline enum reaction by_error_map(void *arg, struct vbucket *v, uint16_t status)
{
	(void)arg;
	(void)v;
	switch (status) {
	case AT_ONCE: return REACT_RETRY_NOW;
	case ELSEWHERE: return REACT_FETCH_MAP;
	case NEVER: return REACT_REFUSED;
	default: return error_reaction(NULL, status);
	}
}

static const struct vbucket_ops ops = {
	.stream_req = say_stream_req,
	.failover_log = say_failover_log,
	.close_stream = say_close,
	.emit = say_emit,
	.dropped = count_dropped,
	.timer = ignore_timer,
	.wrong_node = say_wrong_node,
	.history = ignore_history,
	.ask_purge = say_ask_purge,
	.purge = ignore_history,
	.reaction = by_error_map,
	.retreat = say_retreat,
};

static inline int setup(void **state)
{
	static struct harness h;
	h = (struct harness){ .config = { .ops = &ops, .stream_flags = STREAM_ACTIVE_ONLY },
			      .now = NSEC_PER_SEC };
	h.config.arg = &h;
	vbucket_init(&h.v, 40, &h.config, 1);
	*state = &h;
	return 0;
}

static inline int teardown(void **state)
{
	struct harness *h = *state;
	vbucket_stop(&h->v);
	vbucket_done(&h->v);
	buf_done(&h->log);
	buf_done(&h->packet);
	return 0;
}

static inline void expect_(struct harness *h, const char *want, int line)
{
	const char *got = buf_cstr(&h->log);
	if (strcmp(got, want) != 0)
		fail_msg("line %d: expected\n%sgot\n%s", line, want, got);
	buf_reset(&h->log);
}
#define expect(h, want) expect_(h, want, __LINE__)

/* ---- what the server sends ---- */

static inline void give(struct harness *h, struct packet p)
{
	struct packet view;
	buf_reset(&h->packet);
	packet_encode(&h->packet, &p);
	assert_int_equal(packet_parse(buf_slice(&h->packet), PACKET_BODY_MAX, &view, NULL, NULL),
			 1);
	if (packet_is_response(&view)) {
		vbucket_on_response(&h->v, &view, h->now);
		return;
	}
	h->sent_bytes += view.len;
	vbucket_on_packet(&h->v, &view, h->now);
}

static inline void reply(struct harness *h, uint8_t opcode, uint16_t status, struct slice value)
{
	give(h, (struct packet){ .magic = MAGIC_RESPONSE,
				 .opcode = opcode,
				 .vb_status = status,
				 .opaque = vbucket_opaque(&h->v),
				 .value = value });
}

/* "c120 b40 a0": branches c, b, a */
static inline struct slice log_bytes(const char *text, uint8_t out[16 * 8])
{
	size_t n = 0;
	while (*text) {
		uint64_t seqno = 0;
		put_be64(out + 16 * n, (uint64_t)*text++);
		while (*text >= '0' && *text <= '9')
			seqno = 10 * seqno + (uint64_t)(*text++ - '0');
		put_be64(out + 16 * n++ + 8, seqno);
		while (*text == ' ')
			text++;
	}
	return slice_of(out, 16 * n);
}

static inline void accept(struct harness *h, const char *log)
{
	uint8_t bytes[16 * 8];
	reply(h, OP_DCP_STREAM_REQ, STATUS_OK, log_bytes(log, bytes));
}

static inline void answer_log(struct harness *h, const char *log)
{
	uint8_t bytes[16 * 8];
	reply(h, OP_DCP_GET_FAILOVER_LOG, STATUS_OK, log_bytes(log, bytes));
}

static inline void rollback(struct harness *h, uint64_t seqno)
{
	uint8_t v[8];
	put_be64(v, seqno);
	reply(h, OP_DCP_STREAM_REQ, STATUS_ROLLBACK, slice_of(v, 8));
}

static inline void stream(struct harness *h, uint8_t opcode, const uint8_t *extras, size_t n,
			  struct slice key, uint64_t cas)
{
	give(h, (struct packet){ .magic = MAGIC_REQUEST,
				 .opcode = opcode,
				 .vb_status = h->v.id,
				 .opaque = vbucket_opaque(&h->v),
				 .cas = cas,
				 .extras = slice_of(extras, n),
				 .key = key });
}

static inline void marker(struct harness *h, uint64_t start, uint64_t end)
{
	uint8_t x[20] = { 0 };
	put_be64(x, start);
	put_be64(x + 8, end);
	put_be32(x + 16, SNAPSHOT_MEMORY);
	stream(h, OP_DCP_SNAPSHOT_MARKER, x, 20, SLICE_NONE, 0);
}

static inline void mutation_key(struct harness *h, uint64_t seqno, struct slice key, uint64_t cas)
{
	uint8_t x[31] = { 0 };
	put_be64(x, seqno);
	stream(h, OP_DCP_MUTATION, x, 31, key, cas);
}

static inline void mutation(struct harness *h, uint64_t seqno)
{
	mutation_key(h, seqno, SLICE_LIT("k"), 1);
}

static inline void deletion(struct harness *h, uint64_t seqno)
{
	uint8_t x[21] = { 0 };
	put_be64(x, seqno);
	stream(h, OP_DCP_DELETION, x, 21, SLICE_LIT("k"), 1);
}

static inline void advanced(struct harness *h, uint64_t seqno)
{
	uint8_t x[8];
	put_be64(x, seqno);
	stream(h, OP_DCP_SEQNO_ADVANCED, x, 8, SLICE_NONE, 0);
}

static inline void oso(struct harness *h, uint32_t flag)
{
	uint8_t x[4];
	put_be32(x, flag);
	stream(h, OP_DCP_OSO_SNAPSHOT, x, 4, SLICE_NONE, 0);
}

static inline void stream_end(struct harness *h, uint32_t reason)
{
	uint8_t x[4];
	put_be32(x, reason);
	stream(h, OP_DCP_STREAM_END, x, 4, SLICE_NONE, 0);
}

static inline void begin(struct harness *h, struct dcp_position from)
{
	struct vbucket_start s = { .pos = from, .end_seqno = VBUCKET_NO_END };
	vbucket_start(&h->v, &s, h->now);
	vbucket_on_node(&h->v, 0, true, 1, h->now);
}

static inline void tick(struct harness *h)
{
	assert_true(h->v.timer_at > h->now);
	h->now = h->v.timer_at;
	vbucket_on_timer(&h->v, h->now);
}

static inline void reconnect(struct harness *h)
{
	vbucket_on_node(&h->v, 0, false, 1, h->now);
	vbucket_on_node(&h->v, 0, true, 2, h->now);
}

#define AT(s, from, to, u) ((struct dcp_position){ s, from, to, u })

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
