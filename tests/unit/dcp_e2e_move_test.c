/* A member joins a group that shares 1,024 vBuckets: 128 of them move to it, in time, and nothing else moves. */
#include "tests/dcp_group.h"

#include <stdlib.h>

enum { VBS = 1024, MEMBERS = 8, DELAY_MS = 1500, LIMIT_MS = 2000 };

struct move {
	struct group g;
	weir_dcp *d[MEMBERS];
	unsigned n;
};

static nsec now(void)
{
	return env_mono(env_posix());
}

static void join(struct move *v)
{
	weir_dcp_membership m = { .size = sizeof(m),
				  .kind = WEIR_DCP_MEMBERS_COUCHBASE,
				  .rebalance_delay_ms = DELAY_MS };
	v->d[v->n++] = group_join(&v->g, &m, /* manual_commit */ false);
}

static void take_all(struct move *v)
{
	for (unsigned i = 0; i < v->n; i++)
		take(&v->g, v->d[i], 1);
}

static bool settled(struct move *v)
{
	weir_error e = WEIR_ERROR_INIT;
	unsigned all = 0;
	for (unsigned i = 0; i < v->n; i++) {
		weir_dcp_member m = { .size = sizeof(m) };
		weir_dcp_stats st = { .size = sizeof(st) };
		assert_int_equal(weir_dcp_member_get(v->d[i], &m, &e), 0);
		if (!m.settled || m.total != v->n)
			return false;
		assert_int_equal(weir_dcp_stats_get(v->d[i], &st), 0);
		if (st.streaming != m.vbuckets)
			return false;
		all += st.streaming;
	}
	return all == VBS;
}

static void settle(struct move *v, int limit_s)
{
	nsec deadline = now() + limit_s * NSEC_PER_SEC;
	while (!settled(v)) {
		group_write(&v->g, 16);
		take_all(v);
		if (now() > deadline)
			fail_msg("the group of %u does not settle", v->n);
	}
}

static void a_new_member_gets_128_of_1024_vbuckets_in_time_and_others_are_undisturbed(void **state)
{
	(void)state;
	static struct move v;
	struct fake_stats before, after;
	weir_dcp_stats st = { .size = sizeof(st) };
	group_open(&v.g, 3, VBS);
	v.g.acked_only = true;
	for (int i = 0; i < MEMBERS - 1; i++)
		join(&v);
	settle(&v, 30);
	fake_stats(v.g.fake, &before);
	nsec began = now();
	join(&v);
	settle(&v, 30);
	int took = (int)((now() - began) / NSEC_PER_MS);
	fake_stats(v.g.fake, &after);
	assert_int_equal(weir_dcp_stats_get(v.d[MEMBERS - 1], &st), 0);
	assert_int_equal(st.assigned, VBS / MEMBERS);
	assert_int_equal(after.stream_requests - before.stream_requests, VBS / MEMBERS);
	print_message("128 of 1,024 vBuckets moved in %d ms, %d of them the delay\n", took,
		      DELAY_MS);
	if (!getenv("WEIR_SANITIZED"))
		assert_true(took < DELAY_MS + LIMIT_MS);
	nsec deadline = now() + 5 * NSEC_PER_SEC;
	while (unseen(&v.g) && now() < deadline)
		take_all(&v);
	for (unsigned i = 0; i < v.n; i++)
		leave(v.d[i]);
	each_came_once(&v.g);
	fake_stop(v.g.fake);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			a_new_member_gets_128_of_1024_vbuckets_in_time_and_others_are_undisturbed),
	};
	return cmocka_run_group_tests_name("dcp/e2e_move", tests, NULL, NULL);
}
