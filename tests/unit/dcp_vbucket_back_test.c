/* The state machine: rollbacks. */
#include "tests/dcp_machine.h"

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
	reconnect(h);
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
	reconnect(h);
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
	reconnect(h);
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
	reconnect(h);
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
		reconnect(h);
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
	reconnect(h);
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

/* A bucket made anew may stand where the last run ended, or lower. */
static void a_finite_run_that_begins_at_its_end_asks_whose_history_it_is(void **state)
{
	struct harness *h = *state;
	struct vbucket_start s = {
		.pos = AT(5, 5, 5, 'a'), .restarted = true, .high_seqno = 5, .end_seqno = 5
	};
	vbucket_start(&h->v, &s, h->now);
	vbucket_on_node(&h->v, 0, true, 1, h->now);
	expect(h, "req 5 [5,5] a\n");
	rollback(h, 0);
	answer_log(h, "b0");
	vbucket_on_rollback_acked(&h->v, h->now);
	expect(h, "log?\nrollback to 0 from -1, resume at 0\nreq 0 [0,0] b\n");
	vbucket_stop(&h->v);
	buf_reset(&h->log);
	s.end_seqno = s.high_seqno = 3;
	vbucket_start(&h->v, &s, h->now);
	expect(h, "req 5 [5,5] a\n");
	rollback(h, 3);
	vbucket_stop(&h->v);
	buf_reset(&h->log);
	s.end_seqno = s.high_seqno = 5;
	vbucket_start(&h->v, &s, h->now);
	accept(h, "a0");
	stream_end(h, STREAM_END_OK);
	expect(h, "req 5 [5,5] a\nend end reached 0\n");
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
	reconnect(h);
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
	reconnect(h);
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
	reconnect(h);
	rollback(h, 8);
	answer_log(h, "d16 c12 a0");
	expect(h, "req 10 [8,15] a\nlog?\nrollback to 12 from 15, resume at 8\n");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
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
		T(a_finite_run_that_begins_at_its_end_asks_whose_history_it_is),
		T(a_rollback_within_a_branch_waits_for_the_checkpoint_to_go_back),
		T(a_rollback_that_is_held_back_survives_a_nack),
		T(a_rollback_that_is_held_back_is_part_of_the_next),
	};
	return cmocka_run_group_tests_name("dcp/vbucket_back", tests, NULL, NULL);
}
