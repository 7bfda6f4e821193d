/* The state machine: streams that open, deliver, hold back, and peers that misbehave. Going back: dcp_vbucket_back. */
#include "tests/dcp_machine.h"

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

/* ---- ids ---- */

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

/* ---- how often it asks ---- */

struct failing {
	const char *name;
	void (*once)(struct harness *h, unsigned n); /* the nth opening */
};

static void fail_busy(struct harness *h, unsigned n)
{
	static const uint16_t statuses[] = { STATUS_EBUSY, STATUS_ETMPFAIL, STATUS_EACCESS, 0x99 };
	reply(h, OP_DCP_STREAM_REQ, statuses[n % ARRAY_LEN(statuses)], SLICE_NONE);
}

static void fail_elsewhere(struct harness *h, unsigned n)
{
	(void)n;
	reply(h, OP_DCP_STREAM_REQ, STATUS_NOT_MY_VBUCKET, SLICE_NONE);
}

static void fail_at_once(struct harness *h, unsigned n)
{
	(void)n;
	reply(h, OP_DCP_STREAM_REQ, AT_ONCE, SLICE_NONE);
}

static void fail_by_ending(struct harness *h, unsigned n)
{
	accept(h, "a0");
	if (n % 2)
		marker(h, 10, 20);
	stream_end(h, n % STREAM_END_FILTER_EMPTY);
}

static void fail_by_breaking_out_of_order(struct harness *h, unsigned n)
{
	accept(h, "a0");
	oso(h, 1);
	mutation(h, 20);
	stream_end(h, 1 + n % STREAM_END_STATE_CHANGED);
}

static void fail_by_nonsense(struct harness *h, unsigned n)
{
	(void)n;
	accept(h, "a0");
	mutation(h, 11); /* of no snapshot */
}

static void fail_by_hanging_up(struct harness *h, unsigned n)
{
	if (n % 2)
		accept(h, "a0");
	vbucket_on_node(&h->v, 0, false, 0, h->now);
	h->now += 20 * NSEC_PER_MS;
	vbucket_on_node(&h->v, 0, true, 100 + n, h->now);
}

static void fail_by_maps_to_and_fro(struct harness *h, unsigned n)
{
	fail_elsewhere(h, n);
	for (unsigned i = 0; i < 10; i++) {
		h->now += 5 * NSEC_PER_MS;
		vbucket_on_node(&h->v, (int)(i % 3), true, 100 * n + i, h->now);
	}
}

static void fail_with_a_history_that_changes(struct harness *h, unsigned n)
{
	(void)n;
	accept(h, "a0");
	vbucket_on_history_changed(&h->v, h->now);
}

static void note_opening(void *arg, struct vbucket *v, const struct wire_stream_req *r)
{
	struct harness *h = arg;
	(void)v;
	(void)r;
	assert_true(h->n_openings < OPENINGS_MAX);
	h->opening[h->n_openings++] = h->now;
}

/* For a minute; the first time is no reopening, and the first reopening comes at once. */
static void fail_for_a_minute(struct harness *h, const struct failing *f)
{
	struct vbucket_ops noting = ops;
	noting.stream_req = note_opening;
	h->config.ops = &noting;
	h->n_openings = 0;
	begin(h, AT(10, 10, 10, 'a'));
	nsec end = h->now + 60 * NSEC_PER_SEC;
	while (h->now < end) {
		if (h->v.state == VB_OPENING)
			f->once(h, (unsigned)h->n_openings);
		if (h->v.state == VB_OPENING)
			continue;
		assert_true(h->v.timer_at >= h->now);
		h->now = h->v.timer_at;
		vbucket_on_timer(&h->v, h->now);
	}
	vbucket_stop(&h->v);
	buf_reset(&h->log);
	h->config.ops = &ops;
}

static void b2_a_stream_that_brings_nothing_is_reopened_once_in_any_second(void **state)
{
	struct harness *h = *state;
	static const struct failing ways[] = {
		{ "busy", fail_busy },
		{ "not there", fail_elsewhere },
		{ "try at once", fail_at_once },
		{ "ended", fail_by_ending },
		{ "ended out of order", fail_by_breaking_out_of_order },
		{ "nonsense", fail_by_nonsense },
		{ "hangs up", fail_by_hanging_up },
		{ "history", fail_with_a_history_that_changes },
	};
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		fail_for_a_minute(h, &ways[i]);
		if (h->n_openings < 8)
			fail_msg("%s: %zu openings in a minute", ways[i].name, h->n_openings);
		assert_true(h->opening[1] - h->opening[0] <= 100 * NSEC_PER_MS);
		for (size_t k = 2; k < h->n_openings; k++)
			if (h->opening[k] - h->opening[k - 1] < NSEC_PER_SEC)
				fail_msg("%s: reopenings %zu and %zu in one second", ways[i].name,
					 k - 1, k);
	}
}

/* What a place that has not been asked yet answers is news, but not every few milliseconds. */
static void maps_that_go_to_and_fro_are_followed_at_a_walk(void **state)
{
	struct harness *h = *state;
	static const struct failing way = { "to and fro", fail_by_maps_to_and_fro };
	fail_for_a_minute(h, &way);
	for (size_t k = 4; k < h->n_openings; k++)
		assert_true(h->opening[k] - h->opening[k - 2] >= NSEC_PER_SEC);
}

static void not_all_vbuckets_are_reopened_in_the_same_moment(void **state)
{
	struct harness *h = *state;
	static const struct failing way = { "busy", fail_busy };
	nsec at[2][5];
	for (unsigned i = 0; i < 2; i++) {
		vbucket_init(&h->v, (uint16_t)(40 + i), &h->config, 1);
		nsec from = h->now;
		fail_for_a_minute(h, &way);
		for (unsigned k = 0; k < 5; k++)
			at[i][k] = h->opening[k] - from;
	}
	for (unsigned k = 1; k < 5; k++)
		assert_true(at[0][k] != at[1][k]);
}

/* A server that asks to go back further and further is answered at once, and so is one whose stream brought something. */
static void going_back_and_going_on_are_not_slowed_down(void **state)
{
	struct harness *h = *state;
	struct vbucket_start s = { .pos = AT(60, 60, 60, 'a'),
				   .points = { .n = 5, .seqno = { 10, 20, 30, 40, 50 } },
				   .end_seqno = VBUCKET_NO_END };
	vbucket_start(&h->v, &s, h->now);
	vbucket_on_node(&h->v, 0, true, 1, h->now);
	nsec began = h->now;
	for (uint64_t to = 50; to > 0; to -= 10) {
		rollback(h, to);
		answer_log(h, "a0");
		vbucket_on_retreated(&h->v, h->now);
		vbucket_on_rollback_acked(&h->v, h->now);
		assert_int_equal(h->v.state, VB_OPENING);
		assert_true(h->v.pos.seqno == to);
	}
	assert_true(h->now == began);
	for (unsigned i = 0; i < 3; i++) {
		accept(h, "a0");
		marker(h, h->v.pos.seqno, 100);
		mutation(h, h->v.pos.seqno + 1);
		nsec cut = h->now;
		stream_end(h, STREAM_END_DISCONNECTED);
		tick(h);
		assert_int_equal(h->v.state, VB_OPENING);
		assert_true(h->now - cut <= 400 * NSEC_PER_MS);
	}
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

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(a_stream_opens_delivers_and_resumes_where_it_was_cut),
		T(it_waits_for_a_node_and_for_its_time),
		T(what_belongs_to_an_abandoned_stream_is_ignored_but_counted),
		T(weakness_19_what_waits_for_persistence_keeps_its_order),
		T(switching_the_gate_off_releases_everything),
		T(weakness_12_documents_that_are_skipped_still_advance),
		T(out_of_order_snapshots_resume_from_before_their_start),
		T(a_message_without_the_streams_id_is_none_of_it),
		T(broken_streams_are_reopened_from_the_last_good_event),
		T(weakness_17_no_stream_end_ends_the_process_or_loses_the_place),
		T(weakness_18_a_vbucket_that_moved_follows_the_map_without_waiting),
		T(b2_a_stream_that_brings_nothing_is_reopened_once_in_any_second),
		T(maps_that_go_to_and_fro_are_followed_at_a_walk),
		T(not_all_vbuckets_are_reopened_in_the_same_moment),
		T(going_back_and_going_on_are_not_slowed_down),
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
