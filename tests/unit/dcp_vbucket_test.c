/* The state machine: streams that open, deliver and hold back. Peers that misbehave: dcp_vbucket_peer; going back:
 * dcp_vbucket_back; pausing and refusing: dcp_vbucket_pause. */
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
	reconnect(h);
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

/* ---- where it begins, and begins again ---- */

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

/* ---- what it remembers ---- */

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
		T(starting_from_now_takes_the_branch_from_the_servers_log),
		T(a_nack_hands_everything_after_the_mark_out_again),
		T(a_disk_snapshot_in_the_middle_of_another_keeps_the_older_start),
		cmocka_unit_test(points_are_kept_dense_near_the_end_and_thin_behind),
		cmocka_unit_test(failover_logs_are_checked),
	};
	return cmocka_run_group_tests_name("dcp/vbucket", tests, NULL, NULL);
}
