/* A vBucket's state machine fed with anything in any order: each step is a byte that chooses, and bytes that say what.
 * The acknowledgement window runs along, as in a source. Checked: positions stay valid, what is handed out is in order
 * within a branch, every byte of a stream message is given back or handed on exactly once, nothing is held without the
 * gate. */
#include "dcp/ack.h"
#include "dcp/vbucket.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct run {
	struct vbucket v;
	struct ack_window w;
	struct vbucket_config config;
	uint64_t tickets[4096];
	size_t n_tickets;
	uint64_t last_seqno, rollbacks;
	uint64_t bytes_in, bytes_out;
	bool fail_emit, retreating;
	uint8_t react;
	nsec now;
};

#define CHECK(x) \
	do { \
		if (!(x)) \
			abort(); \
	} while (0)

static void on_stream_req(void *arg, struct vbucket *v, const struct wire_stream_req *r)
{
	struct run *run = arg;
	(void)v;
	CHECK(r->snap_start <= r->start && r->start <= r->snap_end);
	run->last_seqno = r->start;
}

static void on_simple(void *arg, struct vbucket *v)
{
	(void)arg;
	(void)v;
}

static void on_close(void *arg, struct vbucket *v, int node, uint32_t opaque)
{
	(void)arg;
	(void)v;
	(void)node;
	(void)opaque;
}

static int on_emit(void *arg, struct vbucket *v, const struct dcp_event *ev)
{
	struct run *run = arg;
	uint64_t ticket;
	CHECK(!v->paused || ev->kind == DCP_END);
	if (run->fail_emit)
		return ERR_NOMEM;
	run->bytes_out += ev->wire_bytes;
	CHECK(ev->pos.snap_start <= ev->pos.seqno && ev->pos.seqno <= ev->pos.snap_end);
	if (ev->kind == DCP_END)
		return 0;
	if (ev->kind == DCP_ADVANCED)
		return ack_advance(&run->w, &ev->pos, NULL);
	if (ev->kind == DCP_ROLLBACK)
		CHECK(ack_rollback(&run->w, &ev->pos, &ticket, NULL) == 0);
	else
		CHECK(ack_push(&run->w, ev->out_of_order ? ACK_HOLD : ACK_EVENT, &ev->pos, &ticket,
			       NULL) == 0);
	if (run->n_tickets < ARRAY_LEN(run->tickets))
		run->tickets[run->n_tickets++] = ticket;
	return 0;
}

static void on_dropped(void *arg, struct vbucket *v, uint32_t connection, uint32_t bytes)
{
	(void)v;
	(void)connection;
	((struct run *)arg)->bytes_out += bytes;
}

static void on_wrong_node(void *arg, struct vbucket *v, struct slice json)
{
	(void)arg;
	(void)v;
	(void)json;
}

static void on_retreat(void *arg, struct vbucket *v, const struct dcp_position *pos)
{
	struct run *run = arg;
	(void)v;
	ack_retreat(&run->w, pos);
	CHECK(run->w.mark.seqno <= pos->seqno);
	run->retreating = true;
}

static enum reaction on_reaction(void *arg, struct vbucket *v, uint16_t status)
{
	(void)v;
	(void)status;
	return (enum reaction)(((struct run *)arg)->react % (REACT_REFUSED + 1));
}

static void retreated(struct run *run)
{
	if (run->retreating)
		vbucket_on_retreated(&run->v, run->now);
	run->retreating = false;
}

static const struct vbucket_ops ops = {
	.stream_req = on_stream_req,
	.failover_log = on_simple,
	.close_stream = on_close,
	.emit = on_emit,
	.dropped = on_dropped,
	.timer = on_simple,
	.wrong_node = on_wrong_node,
	.history = on_simple,
	.ask_purge = on_simple,
	.purge = on_simple,
	.retreat = on_retreat,
	.reaction = on_reaction,
};

static uint8_t take(struct slice *s)
{
	if (s->len == 0)
		return 0;
	s->len--;
	return *s->p++;
}

/* Small numbers, mostly: so that seqnos meet. */
static uint64_t number(struct slice *s)
{
	uint8_t b = take(s);
	return b < 0xf0 ? b : b == 0xff ? UINT64_MAX : (uint64_t)take(s) << (b & 0xf) * 4;
}

static void stream_message(struct run *run, struct slice *in, uint8_t opcode)
{
	static const uint8_t sizes[][2] = {
		{ OP_DCP_MUTATION, 31 },      { OP_DCP_DELETION, 21 },
		{ OP_DCP_EXPIRATION, 20 },    { OP_DCP_SYSTEM_EVENT, 13 },
		{ OP_DCP_SEQNO_ADVANCED, 8 }, { OP_DCP_SNAPSHOT_MARKER, 20 },
		{ OP_DCP_OSO_SNAPSHOT, 4 },   { OP_DCP_STREAM_END, 4 }
	};
	uint8_t x[31] = { 0 }, key[4] = { 0 };
	size_t n = 0;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
		if (sizes[i][0] == opcode)
			n = sizes[i][1];
	put_be64(x, number(in));
	if (opcode == OP_DCP_SNAPSHOT_MARKER)
		put_be64(x + 8, number(in));
	if (n == 4)
		put_be32(x, take(in) % 12);
	if (opcode == OP_DCP_SYSTEM_EVENT)
		x[11] = take(in) % 7;
	key[1] = take(in);
	static const uint8_t frames[][3] = {
		{ 0x22, 0, 7 }, { 0x22, 0, 8 }, { 0x21, 7 }, { 0xff }
	};
	uint8_t marker[52] = { 0 }, version = 2;
	bool newer = opcode == OP_DCP_SNAPSHOT_MARKER && take(in) % 2;
	if (newer) {
		memcpy(marker, x, 16);
		put_be32(marker + 16, take(in));
		put_be64(marker + 36, number(in));
		memcpy(x, &version, 1);
		n = 1;
	}
	uint8_t frame = run->config.stream_id ? take(in) : 4;
	struct packet p = {
		.magic = MAGIC_REQUEST,
		.opcode = opcode,
		.framing = frame % 16 < 4 ? slice_of(frames[frame % 16], 3)
					  : slice_of(frames[0], frame == 4 ? 0 : 3),
		.opaque = take(in) % 16 ? vbucket_opaque(&run->v) : number(in) & 0xffffffff,
		.cas = number(in),
		.extras = slice_of(x, n),
		.key = slice_of(key, 1 + take(in) % 4),
		.value = newer ? slice_of(marker, sizeof(marker)) : slice_of(key, take(in) % 5)
	};
	struct packet view;
	AUTO(buf) struct buf bytes = BUF_INIT;
	packet_encode(&bytes, &p);
	CHECK(packet_parse(buf_slice(&bytes), PACKET_BODY_MAX, &view, NULL, NULL) == 1);
	run->bytes_in += view.len;
	vbucket_on_packet(&run->v, &view, run->now);
}

static void response(struct run *run, struct slice *in, uint8_t opcode)
{
	static const uint16_t statuses[] = { 0,    0,    0,    0x23, 0x23, 0x07, 0x86, 0x02,
					     0x04, 0x22, 0x24, 0x88, 0x83, 0x8d, 0x99, 0x99 };
	uint8_t v[16 * 3];
	uint8_t which = take(in);
	uint16_t status = statuses[which % ARRAY_LEN(statuses)];
	run->react = which / ARRAY_LEN(statuses);
	size_t n = (take(in) % 3 + 1u) * 16;
	for (size_t i = 0; i + 16 <= n; i += 16) {
		put_be64(v + i, 1 + take(in) % 6);
		put_be64(v + i + 8, number(in));
	}
	if (status == 0x23) {
		put_be64(v, number(in));
		n = 8;
	}
	struct packet p = { .magic = MAGIC_RESPONSE,
			    .opcode = opcode,
			    .vb_status = status,
			    .opaque = vbucket_opaque(&run->v),
			    .value = slice_of(v, n - take(in) % 2) };
	vbucket_on_response(&run->v, &p, run->now);
}

/* One of the vBucket's, or the end of them. */
static void statistic(struct run *run, struct slice *in)
{
	static const struct slice names[] = { SLICE_LIT("vb_3:uuid"), SLICE_LIT("vb_3:purge_seqno"),
					      SLICE_LIT("vb_3"), SLICE_NONE };
	static const uint16_t statuses[] = { 0, 0, 0, 0, 0, 0, STATUS_EACCESS, STATUS_ETMPFAIL };
	uint8_t which = take(in);
	char text[3] = { (char)('0' + which / 8 % 8), (char)('0' + which / 64) };
	struct packet p = { .magic = MAGIC_RESPONSE,
			    .opcode = OP_STAT,
			    .vb_status = statuses[take(in) % ARRAY_LEN(statuses)],
			    .opaque = vbucket_opaque(&run->v),
			    .key = names[which % ARRAY_LEN(names)],
			    .value = slice_of(text, take(in) % 3) };
	vbucket_on_response(&run->v, &p, run->now);
}

static void start(struct run *run, struct slice *in)
{
	uint64_t s = number(in), a = number(in), b = number(in), from = MIN(s, a), to = MAX(s, b);
	struct vbucket_start st = { .pos = { s, from, to, take(in) % 6 },
				    .restarted = take(in) & 1,
				    .high_seqno = number(in),
				    .purge = { number(in), number(in), take(in) % 6 },
				    .end_seqno = take(in) % 4 ? VBUCKET_NO_END : number(in) };
	vbucket_stop(&run->v);
	uint64_t next = run->w.tail;
	ack_done(&run->w);
	ack_init(&run->w, next + 1, &st.pos, NULL);
	run->n_tickets = 0;
	run->retreating = false;
	vbucket_start(&run->v, &st, run->now);
}

static void acknowledge(struct run *run, struct slice *in)
{
	if (run->n_tickets == 0)
		return;
	size_t i = take(in) % run->n_tickets;
	uint64_t before = run->w.rollbacks_acked;
	(void)ack_one(&run->w, run->tickets[i], NULL);
	run->tickets[i] = run->tickets[--run->n_tickets];
	if (run->w.rollbacks_acked != before && !ack_rollback_open(&run->w))
		vbucket_on_rollback_acked(&run->v, run->now);
}

static void step(struct run *run, struct slice *in)
{
	static const uint8_t stream[] = { OP_DCP_MUTATION,       OP_DCP_DELETION,
					  OP_DCP_EXPIRATION,     OP_DCP_SYSTEM_EVENT,
					  OP_DCP_SEQNO_ADVANCED, OP_DCP_SNAPSHOT_MARKER,
					  OP_DCP_OSO_SNAPSHOT,   OP_DCP_STREAM_END };
	struct vbucket *v = &run->v;
	uint8_t what = take(in);
	run->now += NSEC_PER_MS;
	switch (what % 24) {
	case 0: start(run, in); break;
	case 1: vbucket_on_node(v, take(in) % 3 - 1, take(in) & 1, take(in) % 4, run->now); break;
	case 2: vbucket_on_node(v, 0, true, 1, run->now); break;
	case 3:
		if (v->timer_at)
			run->now = v->timer_at;
		vbucket_on_timer(v, run->now);
		break;
	case 4: vbucket_on_persisted(v, 1 + take(in) % 6, number(in), run->now); break;
	case 5: vbucket_set_gate(v, take(in) & 1 ? GATE_ON : GATE_OFF, run->now); break;
	case 6:
		if (take(in) & 1)
			vbucket_on_history_changed(v, run->now);
		else
			vbucket_relieve(v, run->now);
		break;
	case 7: {
		uint64_t before = run->w.rollbacks_acked;
		ack_rewind(&run->w);
		struct dcp_position mark = run->w.mark;
		vbucket_rewind(v, &mark, 0, run->now);
		if (run->w.rollbacks_acked != before && !ack_rollback_open(&run->w))
			vbucket_on_rollback_acked(v, run->now);
		break;
	}
	case 8:
		run->fail_emit = take(in) % 8 == 0;
		retreated(run);
		if (take(in) % 4 == 0)
			vbucket_pause(v, run->now);
		else
			vbucket_resume(v, run->now);
		break;
	case 9:
	case 10: acknowledge(run, in); break;
	case 11:
	case 12:
	case 13: response(run, in, OP_DCP_STREAM_REQ); break;
	case 14: response(run, in, OP_DCP_GET_FAILOVER_LOG); break;
	case 15:
		if (take(in) % 4 == 0)
			vbucket_stop(v);
		else
			statistic(run, in);
		break;
	default: stream_message(run, in, stream[what % ARRAY_LEN(stream)]); break;
	}
	CHECK(v->pos.snap_start <= v->pos.seqno && v->pos.seqno <= v->pos.snap_end);
	CHECK(v->held.n || run->bytes_in == run->bytes_out);
	CHECK(v->checking == (v->gate == GATE_SHUT));
	CHECK(!v->checking || v->state == VB_STREAMING || v->state == VB_DONE);
	if (v->paused)
		CHECK(run->bytes_in == run->bytes_out && v->state != VB_STREAMING &&
		      v->state != VB_OPENING && v->state != VB_LOG && v->state != VB_ASKING &&
		      !v->checking);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct run run;
	struct slice in = { data, MIN(size, 4096) };
	run = (struct run){ .now = NSEC_PER_SEC, .config = { .ops = &ops, .system_events = true } };
	run.config.arg = &run;
	uint8_t mode = take(&in);
	run.config.collections = mode & 1;
	run.config.stream_id = mode & 6 ? 0 : 7;
	run.config.ask_purge_first = mode & 8;
	run.config.stream_flags = mode & 16 ? STREAM_IGNORE_PURGED : 0;
	vbucket_init(&run.v, 3, &run.config, 7);
	ack_init(&run.w, 1, &(struct dcp_position){ 0 }, NULL);
	while (in.len)
		step(&run, &in);
	vbucket_stop(&run.v);
	CHECK(run.bytes_in == run.bytes_out);
	vbucket_done(&run.v);
	ack_done(&run.w);
	return 0;
}
