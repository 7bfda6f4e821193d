/* A member joins a group that shares 1,024 vBuckets: 128 of them move to it, without much work, and nothing else moves.
 * How long that takes on an idle machine is what bench/dcp_group measures. */
#include "tests/test.h"

#include "os/env.h"
#include "tests/fake/couchbase/fake.h"
#include "weir/weir.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	VBS = 1024,
	MEMBERS = 8,
	KEYS = 1 << 16,
	DELAY_MS = 1500,
	LIMIT_MS = 2000 /* of processor time */
};

struct group {
	struct fake *fake;
	char hosts[64];
	weir_dcp *d[MEMBERS];
	unsigned n, written;
	unsigned char seen[KEYS];
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

static void join(struct group *g)
{
	weir_error e = WEIR_ERROR_INIT;
	weir_dcp_membership m = { .size = sizeof(m),
				  .kind = WEIR_DCP_MEMBERS_COUCHBASE,
				  .rebalance_delay_ms = DELAY_MS };
	weir_dcp_options o = { .size = sizeof(o),
			       .hosts = g->hosts,
			       .user = "Administrator",
			       .password = "password",
			       .bucket = "default",
			       .group = "g",
			       .connect_timeout_ms = PATIENCE_MS,
			       .checkpoint_bucket = "default",
			       .membership = &m };
	if (weir_dcp_open(&o, &g->d[g->n], &e) != 0)
		fail_msg("open: %s", e.message);
	g->n++;
}

static void write_some(struct group *g)
{
	for (unsigned i = 0; i < 16 && g->written < KEYS; i++) {
		char key[24];
		(void)snprintf(key, sizeof(key), "k%u", g->written);
		(void)fake_set(g->fake, g->written++ * 37 % VBS, 0, key, SLICE_LIT("{\"a\":1}"));
	}
}

static void take(struct group *g, weir_dcp *d, int wait_ms)
{
	weir_error e = WEIR_ERROR_INIT;
	const weir_dcp_event *events;
	size_t n;
	int rc = weir_dcp_poll(d, wait_ms, &events, &n, &e);
	if (rc < 0)
		fail_msg("poll: %s", e.message);
	for (size_t i = 0; rc == 1 && i < n; i++) {
		unsigned number;
		char key[24];
		weir_dcp_info info = { .size = sizeof(info) };
		weir_dcp_event_info(d, weir_dcp_event_at(events, i), &info);
		(void)snprintf(key, sizeof(key), "%.*s", (int)info.key_len, (const char *)info.key);
		if (weir_dcp_ack(d, weir_dcp_event_at(events, i), 1) == 0 &&
		    info.kind == WEIR_DCP_MUTATION && sscanf(key, "k%u", &number) == 1)
			g->seen[number]++;
	}
}

static bool settled(struct group *g)
{
	weir_error e = WEIR_ERROR_INIT;
	unsigned all = 0;
	for (unsigned i = 0; i < g->n; i++) {
		weir_dcp_member m = { .size = sizeof(m) };
		weir_dcp_stats st = { .size = sizeof(st) };
		assert_int_equal(weir_dcp_member_get(g->d[i], &m, &e), 0);
		if (!m.settled || m.total != g->n)
			return false;
		assert_int_equal(weir_dcp_stats_get(g->d[i], &st), 0);
		if (st.streaming != m.vbuckets)
			return false;
		all += st.streaming;
	}
	return all == VBS;
}

static void settle(struct group *g)
{
	nsec deadline = now() + PATIENCE;
	while (!settled(g)) {
		write_some(g);
		for (unsigned i = 0; i < g->n; i++)
			take(g, g->d[i], 1);
		if (now() > deadline)
			fail_msg("the group of %u does not settle", g->n);
	}
}

static unsigned unseen(const struct group *g)
{
	unsigned n = 0;
	for (unsigned i = 0; i < g->written; i++)
		n += !g->seen[i];
	return n;
}

/* How many documents were taken more than once; none may be lost. */
static unsigned a_member_joins(void)
{
	static struct group g;
	memset(&g, 0, sizeof(g));
	struct fake_stats before, after;
	weir_error e = WEIR_ERROR_INIT;
	weir_dcp_stats st = { .size = sizeof(st) };
	g.fake = fake_start(&(struct fake_options){ .nodes = 3, .vbuckets = VBS });
	assert_non_null(g.fake);
	(void)snprintf(g.hosts, sizeof(g.hosts), "127.0.0.1:%u", fake_kv_port(g.fake, 0));
	for (int i = 0; i < MEMBERS - 1; i++)
		join(&g);
	settle(&g);
	fake_stats(g.fake, &before);
	nsec began = now(), busy = worked();
	join(&g);
	settle(&g);
	int took = (int)((now() - began) / NSEC_PER_MS),
	    work = (int)((worked() - busy) / NSEC_PER_MS);
	fake_stats(g.fake, &after);
	assert_int_equal(weir_dcp_stats_get(g.d[MEMBERS - 1], &st), 0);
	assert_int_equal(st.assigned, VBS / MEMBERS);
	assert_int_equal(after.stream_requests - before.stream_requests, VBS / MEMBERS);
	print_message("128 of 1,024 vBuckets moved in %d ms, %d of them the delay; %d ms of work\n",
		      took, DELAY_MS, work);
	if (!getenv("WEIR_SANITIZED"))
		assert_true(work < LIMIT_MS);
	nsec deadline = now() + PATIENCE;
	while (unseen(&g) && now() < deadline)
		for (unsigned k = 0; k < g.n; k++)
			take(&g, g.d[k], 1);
	for (unsigned i = 0; i < g.n; i++)
		assert_int_equal(weir_dcp_close(g.d[i], &e), 0);
	unsigned twice = 0;
	for (unsigned i = 0; i < g.written; i++) {
		if (!g.seen[i])
			fail_msg("k%u is lost", i);
		twice += g.seen[i] > 1;
	}
	fake_stop(g.fake);
	return twice;
}

/* Where a machine is too busy for every member to let go within the delay, the new one takes again what was not saved:
 * as it is meant to be, but not each time. */
static void a_new_member_gets_128_of_1024_vbuckets_and_others_are_undisturbed(void **state)
{
	(void)state;
	unsigned twice = 1;
	for (int i = 0; i < 5 && twice; i++)
		twice = a_member_joins();
	assert_int_equal(twice, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_member_gets_128_of_1024_vbuckets_and_others_are_undisturbed),
	};
	return cmocka_run_group_tests_name("dcp/e2e_move", tests, NULL, NULL);
}
