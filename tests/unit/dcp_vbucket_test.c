/* The state machine driven by scripted packets; its actions are written down as text and compared. */
#include "tests/test.h"

#include "dcp/vbucket.h"

#include <inttypes.h>
#include <string.h>

struct harness {
	struct vbucket v;
	struct vbucket_config config;
	struct buf log, packet;
	uint64_t dropped_bytes, emitted_bytes, sent_bytes;
	nsec now;
	int emit_rc;
};

static void say_stream_req(void *arg, struct vbucket *v, const struct wire_stream_req *r)
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

static void say_failover_log(void *arg, struct vbucket *v)
{
	(void)v;
	buf_add_str(&((struct harness *)arg)->log, "log?\n");
}

static void say_close(void *arg, struct vbucket *v, int node, uint32_t opaque)
{
	(void)v;
	(void)opaque;
	buf_add_fmt(&((struct harness *)arg)->log, "close %d\n", node);
}

static int say_emit(void *arg, struct vbucket *v, const struct dcp_event *ev)
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

static void count_dropped(void *arg, struct vbucket *v, uint32_t connection, uint32_t wire_bytes)
{
	(void)v;
	(void)connection;
	((struct harness *)arg)->dropped_bytes += wire_bytes;
}

static void ignore_timer(void *arg, struct vbucket *v)
{
	(void)arg;
	(void)v;
}

static void say_wrong_node(void *arg, struct vbucket *v, struct slice map)
{
	(void)v;
	buf_add_fmt(&((struct harness *)arg)->log, "map " SLICE_FMT "\n", SLICE_ARG(map));
}

static void ignore_history(void *arg, struct vbucket *v)
{
	(void)arg;
	(void)v;
}

static void say_retreat(void *arg, struct vbucket *v, const struct dcp_position *pos)
{
	(void)v;
	buf_add_fmt(&((struct harness *)arg)->log, "retreat to %" PRIu64 "\n", pos->seqno);
}

/* A server whose error map says so. */
enum { AT_ONCE = 0xe1, LATER = 0xe2, ELSEWHERE = 0xe3, NEVER = 0xe4 };

static enum reaction by_error_map(void *arg, struct vbucket *v, uint16_t status)
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
	.reaction = by_error_map,
	.retreat = say_retreat,
};

static int setup(void **state)
{
	static struct harness h;
	h = (struct harness){ .config = { .ops = &ops, .stream_flags = STREAM_ACTIVE_ONLY },
			      .now = NSEC_PER_SEC };
	h.config.arg = &h;
	vbucket_init(&h.v, 40, &h.config, 1);
	*state = &h;
	return 0;
}

static int teardown(void **state)
{
	struct harness *h = *state;
	vbucket_stop(&h->v);
	vbucket_done(&h->v);
	buf_done(&h->log);
	buf_done(&h->packet);
	return 0;
}

static void expect_(struct harness *h, const char *want, int line)
{
	const char *got = buf_cstr(&h->log);
	if (strcmp(got, want) != 0)
		fail_msg("line %d: expected\n%sgot\n%s", line, want, got);
	buf_reset(&h->log);
}
#define expect(h, want) expect_(h, want, __LINE__)

/* ---- what the server sends ---- */

static void give(struct harness *h, struct packet p)
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

static void reply(struct harness *h, uint8_t opcode, uint16_t status, struct slice value)
{
	give(h, (struct packet){ .magic = MAGIC_RESPONSE,
				 .opcode = opcode,
				 .vb_status = status,
				 .opaque = vbucket_opaque(&h->v),
				 .value = value });
}

/* "c120 b40 a0": branches c, b, a */
static struct slice log_bytes(const char *text, uint8_t out[16 * 8])
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

static void accept(struct harness *h, const char *log)
{
	uint8_t bytes[16 * 8];
	reply(h, OP_DCP_STREAM_REQ, STATUS_OK, log_bytes(log, bytes));
}

static void answer_log(struct harness *h, const char *log)
{
	uint8_t bytes[16 * 8];
	reply(h, OP_DCP_GET_FAILOVER_LOG, STATUS_OK, log_bytes(log, bytes));
}

static void rollback(struct harness *h, uint64_t seqno)
{
	uint8_t v[8];
	put_be64(v, seqno);
	reply(h, OP_DCP_STREAM_REQ, STATUS_ROLLBACK, slice_of(v, 8));
}

static void stream(struct harness *h, uint8_t opcode, const uint8_t *extras, size_t n,
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

static void marker(struct harness *h, uint64_t start, uint64_t end)
{
	uint8_t x[20] = { 0 };
	put_be64(x, start);
	put_be64(x + 8, end);
	put_be32(x + 16, SNAPSHOT_MEMORY);
	stream(h, OP_DCP_SNAPSHOT_MARKER, x, 20, SLICE_NONE, 0);
}

static void mutation_key(struct harness *h, uint64_t seqno, struct slice key, uint64_t cas)
{
	uint8_t x[31] = { 0 };
	put_be64(x, seqno);
	stream(h, OP_DCP_MUTATION, x, 31, key, cas);
}

static void mutation(struct harness *h, uint64_t seqno)
{
	mutation_key(h, seqno, SLICE_LIT("k"), 1);
}

static void deletion(struct harness *h, uint64_t seqno)
{
	uint8_t x[21] = { 0 };
	put_be64(x, seqno);
	stream(h, OP_DCP_DELETION, x, 21, SLICE_LIT("k"), 1);
}

static void advanced(struct harness *h, uint64_t seqno)
{
	uint8_t x[8];
	put_be64(x, seqno);
	stream(h, OP_DCP_SEQNO_ADVANCED, x, 8, SLICE_NONE, 0);
}

static void oso(struct harness *h, uint32_t flag)
{
	uint8_t x[4];
	put_be32(x, flag);
	stream(h, OP_DCP_OSO_SNAPSHOT, x, 4, SLICE_NONE, 0);
}

static void stream_end(struct harness *h, uint32_t reason)
{
	uint8_t x[4];
	put_be32(x, reason);
	stream(h, OP_DCP_STREAM_END, x, 4, SLICE_NONE, 0);
}

static void begin(struct harness *h, struct dcp_position from)
{
	struct vbucket_start s = { .pos = from, .end_seqno = VBUCKET_NO_END };
	vbucket_start(&h->v, &s, h->now);
	vbucket_on_node(&h->v, 0, true, 1, h->now);
}

static void tick(struct harness *h)
{
	assert_true(h->v.timer_at > h->now);
	h->now = h->v.timer_at;
	vbucket_on_timer(&h->v, h->now);
}

static void reconnect(struct harness *h)
{
	vbucket_on_node(&h->v, 0, false, 1, h->now);
	vbucket_on_node(&h->v, 0, true, 2, h->now);
}

#define AT(s, from, to, u) ((struct dcp_position){ s, from, to, u })

/* ---- the straight way ---- */

static void a_stream_opens_delivers_and_resumes_where_it_was_cut(void **state)
{
	struct harness *h = *state;
	begin(h, AT(0, 0, 0, 0));
	expect(h, "req 0 [0,0] 0\n");
	accept(h, "a0");
	marker(h, 0, 3);
	mutation(h, 1);
	deletion(h, 3);
	marker(h, 4, 9);
	mutation(h, 5);
	expect(h, "mut 1 [0,3] a\n"
		  "del 3 [3,3] a\n"
		  "mut 5 [3,9] a\n");
	vbucket_on_node(&h->v, 0, false, 1, h->now);
	expect(h, "");
	vbucket_on_node(&h->v, 0, true, 2, h->now);
	expect(h, "req 5 [3,9] a\n");
	accept(h, "a0");
	marker(h, 5, 12);
	mutation(h, 7);
	mutation(h, 12);
	expect(h, "mut 7 [3,12] a\n"
		  "mut 12 [12,12] a\n");
}

static void it_waits_for_a_node_and_for_its_time(void **state)
{
	struct harness *h = *state;
	struct vbucket_start s = { .end_seqno = VBUCKET_NO_END };
	vbucket_start(&h->v, &s, h->now);
	expect(h, "");
	vbucket_on_node(&h->v, 2, false, 0, h->now);
	expect(h, "");
	vbucket_on_node(&h->v, 2, true, 7, h->now);
	expect(h, "req 0 [0,0] 0\n");
	reply(h, OP_DCP_STREAM_REQ, STATUS_ETMPFAIL, SLICE_NONE);
	expect(h, "");
	nsec first = h->v.timer_at - h->now;
	assert_in_range(first, 50 * NSEC_PER_MS, 100 * NSEC_PER_MS);
	tick(h);
	expect(h, "req 0 [0,0] 0\n");
	nsec longest = 0;
	for (int i = 0; i < 20; i++) {
		reply(h, OP_DCP_STREAM_REQ, STATUS_EBUSY, SLICE_NONE);
		longest = MAX(longest, h->v.timer_at - h->now);
		tick(h);
	}
	assert_in_range(longest, 5 * NSEC_PER_SEC, 10 * NSEC_PER_SEC);
}

static void what_belongs_to_an_abandoned_stream_is_ignored_but_counted(void **state)
{
	struct harness *h = *state;
	begin(h, AT(0, 0, 0, 0));
	accept(h, "a0");
	marker(h, 0, 9);
	uint16_t old = h->v.generation;
	stream_end(h, STREAM_END_TOO_SLOW);
	tick(h);
	expect(h, "req 0 [0,0] 0\nreq 0 [0,0] a\n");
	uint16_t now = h->v.generation;
	assert_true(now != old);
	h->v.generation = old;
	uint32_t opaque = vbucket_opaque(&h->v);
	h->v.generation = now;
	uint8_t x[31] = { 0, 0, 0, 0, 0, 0, 0, 4 };
	give(h, (struct packet){ .magic = MAGIC_REQUEST,
				 .opcode = OP_DCP_MUTATION,
				 .opaque = opaque,
				 .extras = slice_of(x, 31),
				 .key = SLICE_LIT("k") });
	expect(h, "");
	assert_true(h->dropped_bytes == h->sent_bytes);
}

/* ---- going back ---- */

static void weakness_1_nothing_of_the_new_branch_is_skipped_after_a_rollback(void **state)
{
	struct harness *h = *state;
	begin(h, AT(4689, 4689, 4689, 'a'));
	accept(h, "a0");
	marker(h, 4689, 4694);
	for (uint64_t s = 4690; s <= 4694; s++)
		mutation(h, s);
	buf_reset(&h->log);
	/* a crash loses 4690..4694 and the server writes 4690..4697 anew */
	vbucket_on_node(&h->v, 0, false, 1, h->now);
	vbucket_on_node(&h->v, 0, true, 2, h->now);
	expect(h, "req 4694 [4694,4694] a\n");
	rollback(h, 4689);
	expect(h, "log?\n");
	answer_log(h, "b4689 a0");
	expect(h, "rollback to 4689 from 4694, resume at 4689\n");
	assert_int_equal(h->v.state, VB_REWIND);
	vbucket_on_rollback_acked(&h->v, h->now);
	expect(h, "req 4689 [4689,4689] b\n");
	accept(h, "b4689 a0");
	marker(h, 4689, 4697);
	for (uint64_t s = 4690; s <= 4697; s++)
		mutation(h, s);
	expect(h, "mut 4690 [4689,4697] b\nmut 4691 [4689,4697] b\nmut 4692 [4689,4697] b\n"
		  "mut 4693 [4689,4697] b\nmut 4694 [4689,4697] b\nmut 4695 [4689,4697] b\n"
		  "mut 4696 [4689,4697] b\nmut 4697 [4697,4697] b\n");
}

static void nothing_newer_is_asked_for_before_the_rollback_is_acknowledged(void **state)
{
	struct harness *h = *state;
	begin(h, AT(10, 10, 10, 'a'));
	rollback(h, 7);
	answer_log(h, "b7 a0");
	expect(h, "req 10 [10,10] a\nlog?\nrollback to 7 from 10, resume at 0\n");
	vbucket_on_timer(&h->v, h->now + 1000 * NSEC_PER_SEC);
	vbucket_on_node(&h->v, 0, false, 1, h->now);
	vbucket_on_node(&h->v, 0, true, 2, h->now);
	expect(h, "");
	vbucket_on_rollback_acked(&h->v, h->now);
	expect(h, "req 0 [0,0] a\n");
}

static void a_rollback_into_a_snapshot_goes_back_to_the_snapshots_start(void **state)
{
	struct harness *h = *state;
	/* discussion.md's example: 1 SET A (deduplicated), 2, 3, 4 DEL A; the server loses 4 and branches at 3 */
	begin(h, AT(0, 0, 0, 0));
	accept(h, "a0");
	marker(h, 0, 4);
	mutation(h, 2);
	mutation(h, 3);
	vbucket_on_node(&h->v, 0, false, 1, h->now);
	vbucket_on_node(&h->v, 0, true, 2, h->now);
	expect(h, "req 0 [0,0] 0\nmut 2 [0,4] a\nmut 3 [0,4] a\nreq 3 [0,4] a\n");
	rollback(h, 3); /* not below what was asked for: still we must go strictly back */
	answer_log(h, "b3 a0");
	expect(h, "log?\nreq 0 [0,0] a\n");
}

static void older_points_make_a_rollback_partial(void **state)
{
	struct harness *h = *state;
	begin(h, AT(0, 0, 0, 0));
	accept(h, "a0");
	for (uint64_t s = 0; s < 50; s += 10) {
		marker(h, s ? s + 1 : 0, s + 10);
		mutation(h, s + 5);
		mutation(h, s + 10);
	}
	buf_reset(&h->log);
	vbucket_on_node(&h->v, 0, false, 1, h->now);
	vbucket_on_node(&h->v, 0, true, 2, h->now);
	rollback(h, 37);
	answer_log(h, "b37 a0");
	vbucket_on_rollback_acked(&h->v, h->now);
	expect(h,
	       "req 50 [50,50] a\nlog?\nrollback to 37 from 50, resume at 30\nreq 30 [30,30] a\n");
	/* and again, and again */
	rollback(h, 12);
	answer_log(h, "c12 a0");
	vbucket_on_rollback_acked(&h->v, h->now);
	expect(h, "log?\nrollback to 12 from 37, resume at 10\nreq 10 [10,10] a\n");
}

/* Between the answer and the log it went back once more: at 30 the new branch would be taken for ours. */
static void a_log_that_is_newer_than_the_rollback_counts(void **state)
{
	static const struct {
		const char *log, *want;
	} rows[] = {
		{ "c12 a0", "log?\nrollback to 12 from 50, resume at 10\nreq 10 [10,10] a\n" },
		{ "c12 b12", "log?\nrollback to 0 from 50, resume at 0\nreq 0 [0,0] b\n" },
	};
	struct harness *h = *state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		begin(h, AT(0, 0, 0, 0));
		accept(h, "a0");
		for (uint64_t s = 0; s < 50; s += 10) {
			marker(h, s ? s + 1 : 0, s + 10);
			mutation(h, s + 10);
		}
		vbucket_on_node(&h->v, 0, false, 1, h->now);
		vbucket_on_node(&h->v, 0, true, 2, h->now);
		buf_reset(&h->log);
		rollback(h, 37);
		answer_log(h, rows[i].log);
		vbucket_on_rollback_acked(&h->v, h->now);
		expect(h, rows[i].want);
		vbucket_stop(&h->v);
		buf_reset(&h->log);
	}
}

static void repeated_rollbacks_are_told_and_end_at_zero(void **state)
{
	struct harness *h = *state;
	begin(h, AT(100, 100, 100, 'a'));
	expect(h, "req 100 [100,100] a\n");
	uint64_t last = 100;
	for (int i = 0; i < 5 && h->v.pos.seqno; i++) {
		rollback(h, last); /* a confused server: never below what was asked for */
		answer_log(h, "b100 a0");
		vbucket_on_rollback_acked(&h->v, h->now);
		assert_true(h->v.requested < last);
		last = h->v.requested;
	}
	assert_true(last == 0);
	buf_reset(&h->log);
	rollback(h,
		 0); /* even from zero: tried again later without a branch, not for ever at once */
	expect(h, "");
	tick(h);
	expect(h, "req 0 [0,0] 0\n");
}

static void what_was_never_handed_out_goes_back_without_a_word(void **state)
{
	struct harness *h = *state;
	vbucket_set_gate(&h->v, GATE_ON, h->now);
	begin(h, AT(10, 10, 10, 'a'));
	accept(h, "a0");
	marker(h, 10, 12);
	mutation(h, 11);
	mutation(h, 12);
	expect(h, "req 10 [10,10] a\n");
	vbucket_on_node(&h->v, 0, false, 1, h->now);
	vbucket_on_node(&h->v, 0, true, 2, h->now);
	rollback(h, 10);
	answer_log(h, "b10 a0");
	expect(h, "req 12 [12,12] a\nlog?\nreq 10 [10,10] b\n");
	accept(h, "b10 a0");
	vbucket_on_persisted(&h->v, 'a', 100, h->now);
	marker(h, 10, 12);
	mutation(h, 11);
	expect(h, "");
	vbucket_on_persisted(&h->v, 'b', 11, h->now);
	expect(h, "mut 11 [10,12] b\n");
	assert_true(h->dropped_bytes + h->emitted_bytes == h->sent_bytes);
}

/* One whose copies stand still must not keep the window from the others. */
static void b6_what_is_held_is_asked_for_again_when_its_first_event_has_gone(void **state)
{
	struct harness *h = *state;
	vbucket_set_gate(&h->v, GATE_ON, h->now);
	begin(h, AT(10, 10, 10, 'a'));
	accept(h, "a0");
	marker(h, 10, 14);
	for (uint64_t s = 11; s <= 13; s++)
		mutation(h, s);
	buf_reset(&h->log);
	uint64_t before = h->dropped_bytes;
	vbucket_relieve(&h->v, h->now);
	expect(h, "close 0\n");
	assert_true(h->v.held.n == 1 && h->dropped_bytes > before);
	assert_true(h->v.timer_at >
		    h->now); /* by and by it looks whether the branch is still there */
	vbucket_relieve(&h->v, h->now);
	vbucket_on_persisted(&h->v, 'a', 10, h->now);
	expect(h, "");
	vbucket_on_persisted(&h->v, 'a', 12, h->now);
	expect(h, "mut 11 [10,14] a\nreq 11 [10,14] a\n");
	accept(h, "a0");
	marker(h, 11, 14);
	for (uint64_t s = 12; s <= 14; s++)
		mutation(h, s);
	expect(h, "mut 12 [10,14] a\n");
	vbucket_relieve(&h->v, h->now); /* 13 stays */
	expect(h, "close 0\n");
	tick(h);
	expect(h, "req 13 [10,14] a\n");
	rollback(h, 12);
	answer_log(h, "b12 a0"); /* what is held was never seen */
	expect(h, "log?\nreq 10 [10,10] a\n");
	assert_true(h->v.held.n == 0);
	assert_true(h->dropped_bytes + h->emitted_bytes == h->sent_bytes);
}

/* Its checkpoint is at 0, but events above may have been handed out: whoever refuses it must not make us forget that. */
static void a_restart_from_zero_that_is_refused_is_told_where_the_branches_part(void **state)
{
	struct harness *h = *state;
	struct vbucket_start s = { .pos = AT(0, 0, 0, 'a'),
				   .restarted = true,
				   .high_seqno = 130,
				   .end_seqno = VBUCKET_NO_END };
	vbucket_start(&h->v, &s, h->now);
	vbucket_on_node(&h->v, 0, true, 1, h->now);
	rollback(h, 7);
	expect(h, "req 0 [0,0] a\nlog?\n");
	answer_log(h, "b120 a0");
	expect(h, "rollback to 120 from -1, resume at 0\n");
	vbucket_on_rollback_acked(&h->v, h->now);
	expect(h, "req 0 [0,0] a\n");
	rollback(h, 0); /* known now: tried again later, without a branch */
	expect(h, "");
	tick(h);
	expect(h, "req 0 [0,0] 0\n");
}

static void a_branch_above_the_place_of_resuming_is_told_too(void **state)
{
	struct harness *h = *state;
	struct vbucket_start s = { .pos = AT(100, 100, 100, 'a'),
				   .restarted = true,
				   .end_seqno = VBUCKET_NO_END };
	vbucket_start(&h->v, &s, h->now);
	vbucket_on_node(&h->v, 0, true, 1, h->now);
	accept(h, "b120 a0");
	expect(h, "req 100 [100,100] a\nrollback to 120 from -1, resume at 100\n");
	marker(h, 100, 130);
	mutation(h, 110);
	expect(h, "mut 110 [100,130] a\n");
}

static void b2_a_finite_stream_keeps_its_end_across_a_rollback(void **state)
{
	struct harness *h = *state;
	struct vbucket_start s = { .pos = AT(10, 10, 10, 'a'), .end_seqno = 12 };
	vbucket_start(&h->v, &s, h->now);
	vbucket_on_node(&h->v, 0, true, 1, h->now);
	rollback(h, 5);
	answer_log(h, "b5 a0");
	vbucket_on_rollback_acked(&h->v, h->now);
	accept(h, "b5 a0");
	assert_true(h->v.end_seqno == 12);
	marker(h, 0, 12);
	mutation(h, 12);
	stream_end(h, STREAM_END_OK);
	expect(h, "req 10 [10,10] a\nlog?\nrollback to 5 from 10, resume at 0\nreq 0 [0,0] a\n"
		  "mut 12 [12,12] b\nend end reached 0\n");
	assert_int_equal(h->v.state, VB_DONE);
}

/* The consumer undoes 11..15 and is killed: its checkpoint must not say 15 any more, for by then the server may have
 * all of the snapshot again and would go on after it. */
static void a_rollback_within_a_branch_waits_for_the_checkpoint_to_go_back(void **state)
{
	struct harness *h = *state;
	begin(h, AT(10, 10, 10, 'a'));
	accept(h, "a0");
	marker(h, 10, 20);
	mutation(h, 12);
	mutation(h, 15);
	buf_reset(&h->log);
	vbucket_on_node(&h->v, 0, false, 1, h->now);
	vbucket_on_node(&h->v, 0, true, 2, h->now);
	expect(h, "req 15 [10,20] a\n");
	rollback(h, 10); /* it has less than 20 just now */
	answer_log(h, "a0");
	expect(h, "log?\nretreat to 10\n");
	vbucket_on_rollback_acked(&h->v, h->now); /* of an earlier one */
	vbucket_on_timer(&h->v, h->now + NSEC_PER_SEC);
	expect(h, "");
	vbucket_on_retreated(&h->v, h->now);
	expect(h, "rollback to 10 from 15, resume at 10\n");
	vbucket_on_retreated(&h->v, h->now);
	expect(h, "");
	vbucket_on_rollback_acked(&h->v, h->now);
	expect(h, "req 10 [10,10] a\n");
}

/* Streaming on branch c, with 9 and 10 held back and "11..15 never happened" behind them. */
static void hold_a_rollback(struct harness *h)
{
	begin(h, AT(8, 8, 8, 'a'));
	accept(h, "a0");
	marker(h, 8, 15);
	mutation(h, 9);
	mutation(h, 15);
	vbucket_set_gate(&h->v, GATE_ON, h->now);
	vbucket_rewind(&h->v, &AT(8, 8, 15, 'a'), 0, h->now);
	accept(h, "b20 a0");
	marker(h, 8, 15);
	mutation(h, 9);
	mutation(h, 10);
	vbucket_on_node(&h->v, 0, false, 1, h->now);
	vbucket_on_node(&h->v, 0, true, 2, h->now);
	buf_reset(&h->log);
	accept(h, "c12 a0");
	expect(h, "");
	assert_true(h->v.held.n == 3);
}

static void a_rollback_that_is_held_back_survives_a_nack(void **state)
{
	struct harness *h = *state;
	hold_a_rollback(h);
	vbucket_rewind(&h->v, &AT(8, 8, 15, 'a'), 0, h->now);
	assert_true(h->v.held.n == 1);
	tick(h);
	accept(h, "c12 a0");
	expect(h, "close 0\nreq 8 [8,15] a\nrollback to 12 from 15, resume at 8\n");
}

static void a_rollback_that_is_held_back_is_part_of_the_next(void **state)
{
	struct harness *h = *state;
	hold_a_rollback(h);
	vbucket_on_node(&h->v, 0, false, 1, h->now);
	vbucket_on_node(&h->v, 0, true, 2, h->now);
	rollback(h, 8);
	answer_log(h, "d16 c12 a0");
	expect(h, "req 10 [8,15] a\nlog?\nrollback to 12 from 15, resume at 8\n");
}

/* ---- holding back ---- */

static void weakness_19_what_waits_for_persistence_keeps_its_order(void **state)
{
	struct harness *h = *state;
	vbucket_set_gate(&h->v, GATE_ON, h->now);
	begin(h, AT(0, 0, 0, 0));
	accept(h, "a0");
	buf_reset(&h->log);
	vbucket_on_persisted(&h->v, 'a', 2, h->now);
	marker(h, 0, 6);
	for (uint64_t s = 1; s <= 5; s++)
		mutation(h, s);
	advanced(h, 6);
	expect(h, "mut 1 [0,6] a\nmut 2 [0,6] a\n");
	vbucket_on_persisted(&h->v, 'a', 4, h->now);
	expect(h, "mut 3 [0,6] a\nmut 4 [0,6] a\n");
	vbucket_on_persisted(&h->v, 'z', 100, h->now); /* of another history: says nothing */
	expect(h, "");
	vbucket_on_persisted(&h->v, 'a', 6, h->now);
	expect(h, "mut 5 [0,6] a\nadv 6 [6,6] a\n");
	assert_int_equal(h->v.held.cap <= 4096, 1);
}

static void switching_the_gate_off_releases_everything(void **state)
{
	struct harness *h = *state;
	vbucket_set_gate(&h->v, GATE_ON, h->now);
	begin(h, AT(0, 0, 0, 0));
	accept(h, "a0");
	marker(h, 0, 600);
	for (uint64_t s = 1; s <= 600; s++)
		mutation(h, s);
	expect(h, "req 0 [0,0] 0\n");
	assert_true(h->v.held.n == 600);
	vbucket_set_gate(&h->v, GATE_OFF, h->now);
	assert_true(h->v.held.n == 0 && h->v.held.p == NULL);
	assert_true(h->v.delivered == 600);
}

/* ---- filters ---- */

static void weakness_12_documents_that_are_skipped_still_advance(void **state)
{
	struct harness *h = *state;
	const struct slice prefix[] = { SLICE_LIT("_txn:") };
	h->config.skip_until_cas = 100;
	h->config.skip_prefix = prefix;
	h->config.n_skip_prefix = 1;
	begin(h, AT(0, 0, 0, 0));
	accept(h, "a0");
	marker(h, 0, 3);
	mutation_key(h, 1, SLICE_LIT("old"), 99);
	mutation_key(h, 2, SLICE_LIT("_txn:x"), 200);
	mutation_key(h, 3, SLICE_LIT("new"), 100);
	expect(h, "req 0 [0,0] 0\nadv 1 [0,3] a\nadv 2 [0,3] a\nmut 3 [3,3] a\n");
}

static void out_of_order_snapshots_resume_from_before_their_start(void **state)
{
	struct harness *h = *state;
	begin(h, AT(10, 10, 10, 'a'));
	accept(h, "a0");
	oso(h, 1);
	mutation(h, 40);
	mutation(h, 12);
	vbucket_on_node(&h->v, 0, false, 1, h->now);
	vbucket_on_node(&h->v, 0, true, 2, h->now);
	expect(h, "req 10 [10,10] a\nmut 40 [40,40] a\nmut 12 [12,12] a\nreq 10 [10,10] a\n");
	accept(h, "a0");
	oso(h, 1);
	mutation(h, 40);
	mutation(h, 12);
	oso(h, 2);
	advanced(h, 44);
	marker(h, 45, 45);
	mutation(h, 45);
	expect(h, "mut 40 [40,40] a\nmut 12 [12,12] a\nadv 40 [40,40] a\nadv 44 [44,44] a\nmut 45 "
		  "[45,45] a\n");
}

/* ---- pausing ---- */

static void a_pause_closes_the_stream_and_resuming_goes_on_behind_it(void **state)
{
	struct harness *h = *state;
	begin(h, AT(10, 10, 10, 'a'));
	accept(h, "a0");
	marker(h, 10, 14);
	mutation(h, 11);
	buf_reset(&h->log);
	vbucket_pause(&h->v, h->now);
	vbucket_pause(&h->v, h->now);
	expect(h, "close 0\n");
	assert_string_equal(vbucket_state_name((enum vbucket_state)h->v.state), "paused");
	mutation(h, 12); /* was under way; its opaque is the new one only in this test */
	reconnect(h);
	vbucket_on_node(&h->v, 1, true, 3, h->now);
	vbucket_on_timer(&h->v, h->now + 100 * NSEC_PER_SEC);
	expect(h, "");
	assert_true(h->dropped_bytes + h->emitted_bytes == h->sent_bytes);
	vbucket_resume(&h->v, h->now);
	vbucket_resume(&h->v, h->now);
	expect(h, "req 11 [10,14] a\n");
	accept(h, "a0");
	marker(h, 11, 14);
	mutation(h, 12);
	expect(h, "mut 12 [10,14] a\n");
}

static void a_pause_holds_in_every_state_and_across_stopping(void **state)
{
	struct harness *h = *state;
	struct vbucket_start s = { .pos = AT(10, 10, 10, 'a'), .end_seqno = VBUCKET_NO_END };
	vbucket_pause(&h->v, h->now); /* idle */
	assert_int_equal(h->v.state, VB_IDLE);
	vbucket_start(&h->v, &s, h->now);
	vbucket_on_node(&h->v, 0, true, 1, h->now);
	expect(h, "");
	assert_int_equal(h->v.state, VB_PAUSED);
	vbucket_resume(&h->v, h->now);
	expect(h, "req 10 [10,10] a\n");
	vbucket_pause(&h->v, h->now); /* opening: the answer comes too late */
	accept(h, "a0");
	expect(h, "close 0\n");
	vbucket_resume(&h->v, h->now);
	reply(h, OP_DCP_STREAM_REQ, STATUS_EBUSY, SLICE_NONE);
	vbucket_pause(&h->v, h->now); /* waiting for its time */
	assert_true(h->v.timer_at == 0);
	vbucket_resume(&h->v, h->now);
	expect(h, "req 10 [10,10] a\nreq 10 [10,10] a\n");
	rollback(h, 5);
	vbucket_pause(&h->v, h->now); /* waiting for the failover log */
	expect(h, "log?\n");
	vbucket_resume(&h->v, h->now);
	rollback(h, 5);
	vbucket_stop(&h->v);
	vbucket_pause(&h->v, h->now);
	vbucket_start(&h->v, &s, h->now);
	expect(h, "req 10 [10,10] a\nlog?\n");
	assert_int_equal(h->v.state, VB_PAUSED);
}

static void a_rollback_waits_for_the_pause_to_end(void **state)
{
	struct harness *h = *state;
	begin(h, AT(10, 10, 10, 'a'));
	rollback(h, 5);
	answer_log(h, "a0");
	expect(h, "req 10 [10,10] a\nlog?\nretreat to 0\n");
	vbucket_pause(&h->v, h->now);
	vbucket_on_retreated(&h->v, h->now);
	expect(h, "");
	vbucket_resume(&h->v, h->now);
	expect(h, "rollback to 5 from 10, resume at 0\n");
	vbucket_pause(&h->v, h->now);
	vbucket_on_rollback_acked(&h->v, h->now);
	expect(h, "");
	assert_int_equal(h->v.state, VB_PAUSED);
	vbucket_resume(&h->v, h->now);
	expect(h, "req 0 [0,0] a\n");
}

static void a_pause_gives_the_bytes_of_what_is_held_back_and_keeps_its_order(void **state)
{
	struct harness *h = *state;
	vbucket_set_gate(&h->v, GATE_ON, h->now);
	begin(h, AT(10, 10, 10, 'a'));
	accept(h, "a0");
	marker(h, 10, 14);
	mutation(h, 11);
	mutation(h, 12);
	expect(h, "req 10 [10,10] a\n");
	vbucket_pause(&h->v, h->now);
	assert_true(h->v.held.n == 2);
	assert_true(h->dropped_bytes + h->emitted_bytes == h->sent_bytes);
	vbucket_on_persisted(&h->v, 'a', 14, h->now);
	expect(h, "close 0\n");
	vbucket_resume(&h->v, h->now);
	expect(h, "req 12 [10,14] a\n");
	accept(h, "a0");
	marker(h, 12, 14);
	mutation(h, 14);
	expect(h, "mut 11 [10,14] a\nmut 12 [10,14] a\nmut 14 [14,14] a\n");
	assert_true(h->dropped_bytes + h->emitted_bytes == h->sent_bytes);
}

/* ---- refusing ---- */

static nsec nack(struct harness *h, uint64_t mark, nsec delay)
{
	vbucket_rewind(&h->v, &AT(mark, mark, mark, 'a'), h->now + delay, h->now);
	nsec wait = h->v.timer_at ? h->v.timer_at - h->now : 0;
	if (wait)
		tick(h);
	assert_int_equal(h->v.state, VB_OPENING);
	accept(h, "a0");
	marker(h, mark, mark + 1);
	mutation(h, mark + 1);
	return wait;
}

static void a_consumer_that_always_refuses_does_not_spin(void **state)
{
	struct harness *h = *state;
	begin(h, AT(10, 10, 10, 'a'));
	accept(h, "a0");
	assert_true(nack(h, 10, 0) == 0);
	nsec last = 0, sum = 0;
	for (int i = 0; i < 100; i++)
		sum += last = nack(h, 10, 0);
	assert_in_range(last, 5 * NSEC_PER_SEC, 10 * NSEC_PER_SEC);
	assert_true(sum > 450 * NSEC_PER_SEC);
	assert_true(nack(h, 11, 0) == 0); /* it got on: at once again */
	assert_in_range(nack(h, 11, 0), 50 * NSEC_PER_MS, 100 * NSEC_PER_MS);
}

static void a_refusal_with_a_delay_keeps_it_whatever_happens(void **state)
{
	struct harness *h = *state;
	begin(h, AT(10, 10, 10, 'a'));
	accept(h, "a0");
	vbucket_rewind(&h->v, &AT(10, 10, 10, 'a'), h->now + 3 * NSEC_PER_SEC, h->now);
	buf_reset(&h->log);
	reconnect(h);
	vbucket_on_node(&h->v, 1, true, 5, h->now);
	vbucket_pause(&h->v, h->now);
	vbucket_resume(&h->v, h->now);
	expect(h, "");
	assert_true(h->v.timer_at == h->now + 3 * NSEC_PER_SEC);
	tick(h);
	expect(h, "req 10 [10,10] a\n");
}

/* ---- ids, purges ---- */

static void framed(struct harness *h, uint64_t seqno, const char *frame, size_t n)
{
	uint8_t x[31] = { 0 };
	put_be64(x, seqno);
	give(h, (struct packet){ .magic = n ? MAGIC_ALT_REQUEST : MAGIC_REQUEST,
				 .opcode = OP_DCP_MUTATION,
				 .vb_status = h->v.id,
				 .opaque = vbucket_opaque(&h->v),
				 .framing = slice_of(frame, n),
				 .extras = slice_of(x, sizeof(x)),
				 .key = SLICE_LIT("k") });
}

static void a_message_without_the_streams_id_is_none_of_it(void **state)
{
	struct harness *h = *state;
	static const struct slice wrong[] = {
		{ NULL, 0 }, SLICE_LIT("\x22\0\6"), SLICE_LIT("\x21\7"), SLICE_LIT("\x32\0\7")
	};
	h->config.stream_id = 7;
	begin(h, AT(10, 10, 10, 'a'));
	expect(h, "req 10 [10,10] a sid 7\n");
	uint64_t seqno = 10;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		accept(h, "a0");
		h->v.in_snapshot = true; /* the marker has passed */
		h->v.snap_start = 10;
		h->v.snap_end = 99;
		framed(h, ++seqno, "\x22\0\7", 3);
		framed(h, ++seqno, (const char *)wrong[i].p, wrong[i].len);
		seqno--;
		AUTO(buf) struct buf want = BUF_INIT;
		buf_add_fmt(&want, "mut %" PRIu64 " [10,99] a\nclose 0\n", seqno);
		expect(h, buf_cstr(&want));
		assert_int_equal(h->v.n_violations, i + 1);
		tick(h);
		buf_reset(&h->log);
	}
	assert_true(h->dropped_bytes + h->emitted_bytes == h->sent_bytes);
}

static void disk_marker(struct harness *h, uint64_t start, uint64_t end, uint64_t purge)
{
	uint8_t version = 2, m[52] = { 0 };
	put_be64(m, start);
	put_be64(m + 8, end);
	put_be32(m + 16, SNAPSHOT_DISK);
	put_be64(m + 36, purge);
	give(h, (struct packet){ .magic = MAGIC_REQUEST,
				 .opcode = OP_DCP_SNAPSHOT_MARKER,
				 .opaque = vbucket_opaque(&h->v),
				 .extras = slice_of(&version, 1),
				 .value = slice_of(m, sizeof(m)) });
}

/* From before the place where it heard of a purge, deletions may have been purged that it has not handled. */
static void a_purge_counts_as_seen_only_from_where_it_was_heard_of(void **state)
{
	struct harness *h = *state;
	begin(h, AT(0, 0, 0, 0));
	accept(h, "a0");
	disk_marker(h, 0, 100, 50);
	mutation(h, 30);
	reconnect(h);
	expect(h, "req 0 [0,0] 0\nmut 30 [0,100] a\nreq 30 [0,100] a purge 50\n");
	accept(h, "a0");
	disk_marker(h, 30, 100, 50);
	mutation(h, 100);
	disk_marker(h, 100, 120, 70);
	mutation(h, 110);
	reconnect(h);
	expect(h, "mut 100 [100,100] a\nmut 110 [100,120] a\nreq 110 [100,120] a purge 70\n");
	accept(h, "a0");
	vbucket_rewind(&h->v, &AT(60, 60, 60, 'a'), 0, h->now);
	expect(h, "close 0\nreq 60 [60,60] a\n");
}

/* A request for everything is accepted whatever was purged: a document that the consumer has and whose deletion is gone
 * would stay. */
static void deletions_purged_before_a_full_read_make_the_consumer_forget(void **state)
{
	struct harness *h = *state;
	struct vbucket_start s = { .pos = AT(0, 0, 0, 'a'),
				   .restarted = true,
				   .high_seqno = 60,
				   .end_seqno = VBUCKET_NO_END };
	vbucket_start(&h->v, &s, h->now);
	vbucket_on_node(&h->v, 0, true, 1, h->now);
	accept(h, "a0");
	disk_marker(h, 0, 60, 50);
	expect(h, "req 0 [0,0] a\nclose 0\nretreat to 0\n");
	vbucket_on_retreated(&h->v, h->now);
	expect(h, "rollback to 0 from 60, resume at 0\n");
	vbucket_on_rollback_acked(&h->v, h->now);
	accept(h, "a0");
	disk_marker(h, 0, 60, 50);
	mutation(h, 60);
	reconnect(h);
	expect(h, "req 0 [0,0] a\nmut 60 [60,60] a\nreq 60 [60,60] a purge 50\n");
	assert_true(h->dropped_bytes + h->emitted_bytes == h->sent_bytes);
}

/* The number of another branch's purge says nothing. */
static void a_purge_is_forgotten_with_its_branch(void **state)
{
	struct harness *h = *state;
	begin(h, AT(0, 0, 0, 0));
	accept(h, "a0");
	disk_marker(h, 0, 100, 50);
	mutation(h, 100);
	reconnect(h);
	expect(h, "req 0 [0,0] 0\nmut 100 [100,100] a\nreq 100 [100,100] a purge 50\n");
	accept(h, "b100 a0");
	reconnect(h);
	expect(h, "req 100 [100,100] b\n");
}

/* ---- a peer that misbehaves, or goes away ---- */

static void broken_streams_are_reopened_from_the_last_good_event(void **state)
{
	struct harness *h = *state;
	begin(h, AT(10, 10, 10, 'a'));
	expect(h, "req 10 [10,10] a\n");
	for (int what = 0; what < 7; what++) {
		accept(h, "a0");
		if (what != 0)
			marker(h, 10, 20);
		switch (what) {
		case 0: mutation(h, 11); break; /* before any snapshot */
		case 1: mutation(h, 21); break; /* beyond the snapshot */
		case 2: mutation(h, 10); break; /* repeated */
		case 3: mutation(h, UINT64_MAX); break;
		case 4: mutation(h, 0); break;
		case 5: marker(h, 2, 4); break; /* behind us */
		case 6: oso(h, 2); break;       /* an end without a start */
		}
		expect(h, "close 0\n");
		tick(h);
		expect(h, "req 10 [10,10] a\n");
	}
	assert_true(h->v.n_violations == 7);
	assert_true(h->dropped_bytes == h->sent_bytes);
}

static void weakness_17_no_stream_end_ends_the_process_or_loses_the_place(void **state)
{
	struct harness *h = *state;
	static const uint32_t reasons[] = { 0, 1, 2, 3, 4, 5, 6, 8, 9, 4000000000u };
	begin(h, AT(10, 10, 10, 'a'));
	expect(h, "req 10 [10,10] a\n");
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
		accept(h, "a0");
		stream_end(h, reasons[i]);
		if (reasons[i] == STREAM_END_STATE_CHANGED)
			expect(h, "map \n");
		tick(h);
		expect(h, "req 10 [10,10] a\n");
	}
	accept(h, "a0");
	stream_end(h, STREAM_END_FILTER_EMPTY);
	expect(h, "end filter empty 0\n");
}

static void weakness_18_a_vbucket_that_moved_follows_the_map_without_waiting(void **state)
{
	struct harness *h = *state;
	begin(h, AT(10, 10, 10, 'a'));
	reply(h, OP_DCP_STREAM_REQ, STATUS_NOT_MY_VBUCKET, SLICE_LIT("{}"));
	expect(h, "req 10 [10,10] a\nmap {}\n");
	vbucket_on_node(&h->v, 1, true, 5, h->now);
	expect(h, "req 10 [10,10] a\n");
	accept(h, "a0");
	vbucket_on_node(&h->v, 2, true, 6,
			h->now); /* moves while it streams: the old node must not go on */
	expect(h, "close 1\nreq 10 [10,10] a\n");
}

static void requests_that_can_never_succeed_end_with_a_typed_error(void **state)
{
	struct harness *h = *state;
	static const struct {
		uint16_t status;
		const char *end;
	} rows[] = { { STATUS_UNKNOWN_COLLECTION, "end closed -5\n" },
		     { STATUS_EINVAL, "end closed -23\n" },
		     { STATUS_ERANGE, "end closed -23\n" },
		     { STATUS_NOT_SUPPORTED, "end closed -3\n" } };
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		vbucket_stop(&h->v);
		begin(h, AT(0, 0, 0, 0));
		vbucket_on_node(&h->v, 0, true, 1, h->now);
		for (unsigned n = 1; n < VBUCKET_FATAL_TRIES; n++) {
			reply(h, OP_DCP_STREAM_REQ, rows[i].status, SLICE_NONE);
			tick(h);
		}
		buf_reset(&h->log);
		reply(h, OP_DCP_STREAM_REQ, rows[i].status, SLICE_NONE);
		expect(h, rows[i].end);
		assert_int_equal(h->v.state, VB_DONE);
	}
}

static void missing_privileges_are_tried_again(void **state)
{
	struct harness *h = *state;
	begin(h, AT(0, 0, 0, 0));
	for (unsigned n = 0; n < 3 * VBUCKET_FATAL_TRIES; n++) {
		expect(h, "req 0 [0,0] 0\n");
		reply(h, OP_DCP_STREAM_REQ, STATUS_EACCESS, SLICE_NONE);
		tick(h);
	}
	assert_int_equal(h->v.last_status, STATUS_EACCESS);
}

static void unknown_statuses_mean_what_the_error_map_says(void **state)
{
	struct harness *h = *state;
	begin(h, AT(0, 0, 0, 0));
	expect(h, "req 0 [0,0] 0\n");
	reply(h, OP_DCP_STREAM_REQ, AT_ONCE, SLICE_NONE);
	assert_true(h->v.timer_at == h->now); /* the first time */
	vbucket_on_timer(&h->v, h->now);
	expect(h, "req 0 [0,0] 0\n");
	reply(h, OP_DCP_STREAM_REQ, AT_ONCE, SLICE_NONE);
	tick(h); /* a server that always says so is not asked in a circle */
	expect(h, "req 0 [0,0] 0\n");
	reply(h, OP_DCP_STREAM_REQ, LATER, SLICE_NONE);
	tick(h);
	expect(h, "req 0 [0,0] 0\n");
	reply(h, OP_DCP_STREAM_REQ, ELSEWHERE, SLICE_LIT("not a map"));
	expect(h, "map \n");
	tick(h);
	for (unsigned n = 1; n < VBUCKET_FATAL_TRIES; n++) {
		expect(h, "req 0 [0,0] 0\n");
		reply(h, OP_DCP_STREAM_REQ, NEVER, SLICE_NONE);
		tick(h);
	}
	expect(h, "req 0 [0,0] 0\n");
	reply(h, OP_DCP_STREAM_REQ, NEVER, SLICE_NONE);
	expect(h, "end closed -23\n");
	assert_int_equal(h->v.state, VB_DONE);
}

static void starting_from_now_takes_the_branch_from_the_servers_log(void **state)
{
	struct harness *h = *state;
	struct vbucket_start s = { .pos = AT(77, 77, 77, 0),
				   .latest = true,
				   .end_seqno = VBUCKET_NO_END };
	vbucket_start(&h->v, &s, h->now);
	vbucket_on_node(&h->v, 0, true, 1, h->now);
	expect(h, "log?\n");
	reply(h, OP_DCP_GET_FAILOVER_LOG, STATUS_ETMPFAIL, SLICE_NONE);
	tick(h);
	expect(h, "log?\n");
	answer_log(h, "b70 a0");
	expect(h, "req 77 [77,77] b\n");
}

static void a_nack_hands_everything_after_the_mark_out_again(void **state)
{
	struct harness *h = *state;
	begin(h, AT(10, 10, 10, 'a'));
	accept(h, "a0");
	marker(h, 10, 13);
	mutation(h, 11);
	mutation(h, 12);
	mutation(h, 13);
	buf_reset(&h->log);
	vbucket_rewind(&h->v, &AT(11, 10, 13, 'a'), 0, h->now);
	expect(h, "close 0\nreq 11 [10,13] a\n");
	accept(h, "a0");
	marker(h, 11, 13);
	mutation(h, 12);
	expect(h, "mut 12 [10,13] a\n");
}

static void a_disk_snapshot_in_the_middle_of_another_keeps_the_older_start(void **state)
{
	struct harness *h = *state;
	begin(h, AT(10, 10, 10, 'a'));
	accept(h, "a0");
	marker(h, 10, 30);
	mutation(h, 15);
	marker(h, 16, 25); /* the server dropped the cursor and went back to disk */
	mutation(h, 25);
	marker(h, 26, 40);
	mutation(h, 40);
	expect(h, "req 10 [10,10] a\nmut 15 [10,30] a\nmut 25 [10,30] a\nmut 40 [40,40] a\n");
}

static void running_out_of_room_reopens_instead_of_losing(void **state)
{
	struct harness *h = *state;
	begin(h, AT(0, 0, 0, 0));
	accept(h, "a0");
	marker(h, 0, 9);
	h->emit_rc = ERR_NOMEM;
	mutation(h, 1);
	h->emit_rc = 0;
	expect(h, "req 0 [0,0] 0\nclose 0\n");
	tick(h);
	expect(h, "req 0 [0,0] a\n");
	assert_true(h->dropped_bytes == h->sent_bytes);
}

static void points_are_kept_dense_near_the_end_and_thin_behind(void **state)
{
	(void)state;
	struct points p = { 0 };
	for (uint64_t s = 1; s <= 100000; s++)
		points_add(&p, s);
	assert_int_equal(p.n, POINTS_MAX);
	assert_true(p.seqno[p.n - 1] == 100000 && p.seqno[p.n - 2] == 99999);
	assert_true(points_floor(&p, 5) <= 5);
	assert_true(points_floor(&p, 90000) >=
		    40000); /* a failover a little way back restarts not far behind */
	points_cut(&p, 50);
	assert_true(points_floor(&p, UINT64_MAX) <= 50);
}

static void failover_logs_are_checked(void **state)
{
	(void)state;
	struct failover_log l;
	struct err e = ERR_INIT;
	uint8_t bytes[16 * 40] = { 0 };
	assert_int_equal(failover_parse(slice_of(bytes, 0), &l, &e), ERR_PROTOCOL);
	assert_int_equal(failover_parse(slice_of(bytes, 15), &l, &e), ERR_PROTOCOL);
	for (size_t i = 0; i < 40; i++) {
		put_be64(bytes + 16 * i, 100 - i);
		put_be64(bytes + 16 * i + 8, 40 - i);
	}
	assert_ok(failover_parse(slice_of(bytes, 16 * 40), &l, &e), &e);
	assert_int_equal(l.n, FAILOVER_MAX);
	assert_true(failover_uuid_at(&l, 40) == 100 && failover_uuid_at(&l, 39) == 99);
	assert_true(failover_uuid_at(&l, 3) == 0); /* older than what is kept: from the beginning */
	assert_true(failover_uuid_at(&l, 0) == 0);
	put_be64(bytes + 8, 3);
	assert_int_equal(failover_parse(slice_of(bytes, 32), &l, &e), ERR_PROTOCOL);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(a_stream_opens_delivers_and_resumes_where_it_was_cut),
		T(it_waits_for_a_node_and_for_its_time),
		T(what_belongs_to_an_abandoned_stream_is_ignored_but_counted),
		T(weakness_1_nothing_of_the_new_branch_is_skipped_after_a_rollback),
		T(nothing_newer_is_asked_for_before_the_rollback_is_acknowledged),
		T(a_rollback_into_a_snapshot_goes_back_to_the_snapshots_start),
		T(older_points_make_a_rollback_partial),
		T(a_log_that_is_newer_than_the_rollback_counts),
		T(repeated_rollbacks_are_told_and_end_at_zero),
		T(what_was_never_handed_out_goes_back_without_a_word),
		T(b6_what_is_held_is_asked_for_again_when_its_first_event_has_gone),
		T(a_restart_from_zero_that_is_refused_is_told_where_the_branches_part),
		T(a_branch_above_the_place_of_resuming_is_told_too),
		T(b2_a_finite_stream_keeps_its_end_across_a_rollback),
		T(a_rollback_within_a_branch_waits_for_the_checkpoint_to_go_back),
		T(a_rollback_that_is_held_back_survives_a_nack),
		T(a_rollback_that_is_held_back_is_part_of_the_next),
		T(weakness_19_what_waits_for_persistence_keeps_its_order),
		T(switching_the_gate_off_releases_everything),
		T(weakness_12_documents_that_are_skipped_still_advance),
		T(out_of_order_snapshots_resume_from_before_their_start),
		T(a_pause_closes_the_stream_and_resuming_goes_on_behind_it),
		T(a_pause_holds_in_every_state_and_across_stopping),
		T(a_rollback_waits_for_the_pause_to_end),
		T(a_pause_gives_the_bytes_of_what_is_held_back_and_keeps_its_order),
		T(a_consumer_that_always_refuses_does_not_spin),
		T(a_refusal_with_a_delay_keeps_it_whatever_happens),
		T(a_message_without_the_streams_id_is_none_of_it),
		T(a_purge_counts_as_seen_only_from_where_it_was_heard_of),
		T(deletions_purged_before_a_full_read_make_the_consumer_forget),
		T(a_purge_is_forgotten_with_its_branch),
		T(broken_streams_are_reopened_from_the_last_good_event),
		T(weakness_17_no_stream_end_ends_the_process_or_loses_the_place),
		T(weakness_18_a_vbucket_that_moved_follows_the_map_without_waiting),
		T(requests_that_can_never_succeed_end_with_a_typed_error),
		T(missing_privileges_are_tried_again),
		T(unknown_statuses_mean_what_the_error_map_says),
		T(starting_from_now_takes_the_branch_from_the_servers_log),
		T(a_nack_hands_everything_after_the_mark_out_again),
		T(a_disk_snapshot_in_the_middle_of_another_keeps_the_older_start),
		T(running_out_of_room_reopens_instead_of_losing),
		cmocka_unit_test(points_are_kept_dense_near_the_end_and_thin_behind),
		cmocka_unit_test(failover_logs_are_checked),
	};
	return cmocka_run_group_tests_name("dcp/vbucket", tests, NULL, NULL);
}
