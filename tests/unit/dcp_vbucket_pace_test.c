/* How often a vBucket asks for its stream when that fails. */
#include "tests/dcp_machine.h"

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

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(b2_a_stream_that_brings_nothing_is_reopened_once_in_any_second),
		T(maps_that_go_to_and_fro_are_followed_at_a_walk),
		T(not_all_vbuckets_are_reopened_in_the_same_moment),
		T(going_back_and_going_on_are_not_slowed_down),
	};
	return cmocka_run_group_tests_name("dcp/vbucket pace", tests, NULL, NULL);
}
