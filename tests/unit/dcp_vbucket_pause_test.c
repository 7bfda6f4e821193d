/* The state machine: a consumer that pauses, or refuses what it gets. */
#include "tests/dcp_machine.h"

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
	expect(h, "req 10 [10,10] a\n");
	tick(h); /* pausing is no way to ask more often */
	expect(h, "req 10 [10,10] a\n");
	rollback(h, 5);
	vbucket_pause(&h->v, h->now); /* waiting for the failover log */
	expect(h, "log?\n");
	vbucket_resume(&h->v, h->now);
	tick(h);
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

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(a_pause_closes_the_stream_and_resuming_goes_on_behind_it),
		T(a_pause_holds_in_every_state_and_across_stopping),
		T(a_rollback_waits_for_the_pause_to_end),
		T(a_pause_gives_the_bytes_of_what_is_held_back_and_keeps_its_order),
		T(a_consumer_that_always_refuses_does_not_spin),
		T(a_refusal_with_a_delay_keeps_it_whatever_happens),
	};
	return cmocka_run_group_tests_name("dcp/vbucket_pause", tests, NULL, NULL);
}
