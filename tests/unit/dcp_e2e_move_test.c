/* A member joins a group that shares 1,024 vBuckets: 128 of them move to it, without much work, and nothing else moves.
 * How long that takes on an idle machine is what bench/dcp_group measures. */
#include "tests/dcp_group.h"

#include <stdlib.h>
#include <time.h>

enum { VBS = 1024, MEMBERS = 8, DELAY_MS = 1500, LIMIT_MS = 2000 /* of processor time */ };

struct move {
	struct group g;
	weir_dcp *d[MEMBERS];
	unsigned n;
};

static nsec now(void)
{
	return env_mono(env_posix());
}

/* Processor time: that of all members and of the cluster. */
static nsec worked(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * NSEC_PER_SEC + t.tv_nsec;
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

static void settle(struct move *v)
{
	nsec deadline = now() + PATIENCE;
	while (!settled(v)) {
		group_write(&v->g, 16);
		take_all(v);
		if (now() > deadline)
			fail_msg("the group of %u does not settle", v->n);
	}
}

static unsigned a_member_joins(int unused)
{
	(void)unused;
	static struct move v;
	memset(&v, 0, sizeof(v));
	struct fake_stats before, after;
	weir_dcp_stats st = { .size = sizeof(st) };
	group_open(&v.g, 3, VBS);
	v.g.acked_only = true;
	for (int i = 0; i < MEMBERS - 1; i++)
		join(&v);
	settle(&v);
	fake_stats(v.g.fake, &before);
	nsec began = now(), busy = worked();
	join(&v);
	settle(&v);
	int took = (int)((now() - began) / NSEC_PER_MS),
	    work = (int)((worked() - busy) / NSEC_PER_MS);
	fake_stats(v.g.fake, &after);
	assert_int_equal(weir_dcp_stats_get(v.d[MEMBERS - 1], &st), 0);
	assert_int_equal(st.assigned, VBS / MEMBERS);
	assert_int_equal(after.stream_requests - before.stream_requests, VBS / MEMBERS);
	print_message("128 of 1,024 vBuckets moved in %d ms, %d of them the delay; %d ms of work\n",
		      took, DELAY_MS, work);
	if (!getenv("WEIR_SANITIZED"))
		assert_true(work < LIMIT_MS);
	nsec deadline = now() + PATIENCE;
	while (unseen(&v.g) && now() < deadline)
		take_all(&v);
	for (unsigned i = 0; i < v.n; i++)
		leave(v.d[i]);
	fake_stop(v.g.fake);
	return came_twice(&v.g);
}

static void a_new_member_gets_128_of_1024_vbuckets_and_others_are_undisturbed(void **state)
{
	(void)state;
	each_came_once_in(a_member_joins, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_member_gets_128_of_1024_vbuckets_and_others_are_undisturbed),
	};
	return cmocka_run_group_tests_name("dcp/e2e_move", tests, NULL, NULL);
}
