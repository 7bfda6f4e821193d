/* A source against the simulated cluster over loopback: what arrives is what the cluster's history says. */
#include "tests/test.h"

#include "dcp/source.h"
#include "os/env.h"
#include "tests/fake/couchbase/fake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { KEYS_MAX = 64, VBS_MAX = 128, SEQNOS_MAX = 4096 };

/* What a consumer has of one vBucket: applied at once, undone when told. */
struct seen {
	char kind[SEQNOS_MAX]; /* 'm', 'd', 'e'; 0 nothing */
	char key[SEQNOS_MAX][24];
	uint32_t hash[SEQNOS_MAX];
};

struct world {
	struct fake *fake;
	struct dcp_source *source;
	struct dcp_options o;
	char seed[32];
	const char *seeds[1];
	struct seen *seen; /* by vBucket */
	uint64_t events, rollbacks, ends, duplicates;
	bool ack, finite;
};

static uint32_t hash(struct slice s)
{
	uint32_t h = 2166136261u;
	for (size_t i = 0; i < s.len; i++)
		h = (h ^ s.p[i]) * 16777619u;
	return h ? h : 1;
}

static struct world *world_new(const struct fake_options *fo)
{
	struct world *w = calloc(1, sizeof(*w));
	w->fake = fake_start(fo);
	assert_non_null(w->fake);
	(void)snprintf(w->seed, sizeof(w->seed), "127.0.0.1:%u", fake_kv_port(w->fake, 0));
	w->seeds[0] = w->seed;
	w->seen = calloc(VBS_MAX, sizeof(*w->seen));
	w->ack = true;
	w->o = (struct dcp_options){ .seeds = w->seeds,
				     .n_seeds = 1,
				     .user = "Administrator",
				     .password = "password",
				     .bucket = "default",
				     .group = "test",
				     .backoff_min = 2 * NSEC_PER_MS,
				     .backoff_max = 50 * NSEC_PER_MS };
	return w;
}

static void world_open(struct world *w)
{
	struct err e = ERR_INIT;
	assert_ok(dcp_source_open(&w->o, &w->source, &e), &e);
	assert_ok(dcp_source_assign_share(w->source, 1, 1, &e), &e);
}

static void world_close(struct world *w)
{
	struct err e = ERR_INIT;
	assert_ok(dcp_source_close(w->source, &e), &e);
	w->source = NULL;
}

static void world_free(struct world *w)
{
	if (w->source)
		world_close(w);
	fake_stop(w->fake);
	free(w->seen);
	free(w);
}

static void apply(struct world *w, const struct dcp_event *ev)
{
	struct seen *s = &w->seen[ev->vb];
	uint64_t seqno = ev->pos.seqno;
	if (ev->kind == DCP_ROLLBACK) {
		w->rollbacks++;
		for (uint64_t i = ev->rollback_to + 1; i < SEQNOS_MAX; i++)
			s->kind[i] = 0;
		return;
	}
	if (ev->kind == DCP_END) {
		w->ends++;
		return;
	}
	assert_true(seqno < SEQNOS_MAX);
	w->duplicates += s->kind[seqno] != 0;
	if (s->kind[seqno] && s->hash[seqno] != hash(ev->value))
		fail_msg("vBucket %u seqno %u came with two contents", ev->vb, (unsigned)seqno);
	s->kind[seqno] = ev->kind == DCP_MUTATION ? 'm' : ev->kind == DCP_DELETION ? 'd' : 'e';
	s->hash[seqno] = hash(ev->value);
	(void)snprintf(s->key[seqno], sizeof(s->key[seqno]), SLICE_FMT, SLICE_ARG(ev->key));
	w->events++;
}

static bool pump_once(struct world *w, nsec wait)
{
	struct err e = ERR_INIT;
	struct dcp_batch b;
	int rc = dcp_source_poll(w->source, &b, wait, &e);
	if (rc < 0)
		fail_msg("poll: %s", e.msg);
	if (rc == 0)
		return false;
	for (size_t i = 0; i < b.n; i++)
		apply(w, &b.ev[i]);
	if (w->ack)
		(void)dcp_source_ack_batch(w->source, b.ev, b.n);
	return true;
}

static nsec now(void)
{
	return env_mono(env_posix());
}

/* The newest version of each key: at the cluster and here. */
struct newest {
	char kind;
	char key[24];
	uint32_t hash;
};
struct oracle {
	struct newest k[KEYS_MAX];
	unsigned n;
};

static struct newest *newest(struct oracle *o, const char *key)
{
	for (unsigned i = 0; i < o->n; i++)
		if (strcmp(o->k[i].key, key) == 0)
			return &o->k[i];
	assert_true(o->n < KEYS_MAX);
	(void)snprintf(o->k[o->n].key, sizeof(o->k[0].key), "%s", key);
	return &o->k[o->n++];
}

static void take_history(void *arg, uint64_t seqno, char kind, uint32_t cid, struct slice key,
			 struct slice value)
{
	char text[24];
	(void)seqno;
	(void)cid;
	if (kind == 's')
		return;
	(void)snprintf(text, sizeof(text), SLICE_FMT, SLICE_ARG(key));
	struct newest *n = newest(arg, text);
	n->kind = kind;
	n->hash = hash(kind == 'm' ? value : SLICE_NONE);
}

/* 0 equal; else a key that differs, for the message. */
static const char *differs(struct world *w, unsigned vb)
{
	static char what[160];
	static struct oracle want, got;
	want.n = got.n = 0;
	memset(&want, 0, sizeof(want));
	memset(&got, 0, sizeof(got));
	fake_history(w->fake, vb, take_history, &want);
	for (unsigned s = 0; s < SEQNOS_MAX; s++) {
		if (!w->seen[vb].kind[s])
			continue;
		struct newest *n = newest(&got, w->seen[vb].key[s]);
		n->kind = w->seen[vb].kind[s];
		n->hash = n->kind == 'm' ? w->seen[vb].hash[s] : hash(SLICE_NONE);
	}
	for (unsigned i = 0; i < want.n; i++) {
		struct newest *n = newest(&got, want.k[i].key);
		if (n->kind != want.k[i].kind || n->hash != want.k[i].hash) {
			(void)snprintf(what, sizeof(what),
				       "vBucket %u key %s: '%c' %08x there, '%c' %08x here", vb,
				       want.k[i].key, want.k[i].kind, want.k[i].hash,
				       n->kind ? n->kind : '-', n->hash);
			return what;
		}
	}
	return got.n == want.n ? NULL : "a key that the cluster does not have";
}

static const char *all_differ(struct world *w, unsigned vbs)
{
	for (unsigned vb = 0; vb < vbs; vb++) {
		const char *what = differs(w, vb);
		if (what)
			return what;
	}
	return NULL;
}

/* Polls until everything is here, or fails after `limit`. */
static void settle(struct world *w, unsigned vbs, nsec limit)
{
	nsec deadline = now() + limit;
	const char *what = NULL;
	while (now() < deadline) {
		bool some = pump_once(w, 20 * NSEC_PER_MS);
		if (!some && !(what = all_differ(w, vbs)))
			return;
	}
	fail_msg("not settled: %s", what ? what : "events keep coming");
}

static void write_some(struct world *w, unsigned vbs, unsigned n, unsigned *counter)
{
	for (unsigned i = 0; i < n; i++) {
		char key[24], value[64];
		unsigned vb = (unsigned)rand() % vbs;
		(void)snprintf(key, sizeof(key), "k%u", (unsigned)rand() % 12);
		(void)snprintf(value, sizeof(value), "{\"n\":%u}", ++*counter);
		if (rand() % 6 == 0)
			(void)fake_delete(w->fake, vb, 0, key);
		else
			(void)fake_set(w->fake, vb, 0, key, slice_str(value));
	}
}

static void everything_there_and_everything_new_arrives(void **state)
{
	(void)state;
	unsigned counter = 0;
	struct world *w =
		world_new(&(struct fake_options){ .nodes = 3, .vbuckets = 64, .replicas = 1 });
	write_some(w, 64, 2000, &counter);
	world_open(w);
	assert_int_equal(dcp_source_vbuckets(w->source), 64);
	settle(w, 64, 10 * NSEC_PER_SEC);
	for (int i = 0; i < 5; i++) {
		write_some(w, 64, 200, &counter);
		settle(w, 64, 10 * NSEC_PER_SEC);
	}
	assert_true(w->rollbacks == 0 && w->duplicates == 0);
	world_free(w);
}

static void a_failover_that_loses_items_is_told_and_the_new_branch_is_complete(void **state)
{
	(void)state;
	unsigned counter = 0;
	struct world *w = world_new(&(struct fake_options){
		.nodes = 2, .vbuckets = 16, .replicas = 1, .hold_persistence = true });
	world_open(w);
	write_some(w, 16, 100, &counter);
	for (unsigned vb = 0; vb < 16; vb++)
		fake_persist(w->fake, vb, 1, UINT64_MAX);
	write_some(w, 16, 100, &counter); /* these are on the active copies only */
	settle(w, 16, 10 * NSEC_PER_SEC);
	for (unsigned vb = 0; vb < 16; vb++)
		fake_failover_vb(w->fake, vb, 1);
	write_some(w, 16, 200, &counter);
	settle(w, 16, 10 * NSEC_PER_SEC);
	assert_true(w->rollbacks >= 8);
	world_free(w);
}

static void weakness_1_go_dcps_lost_branch_arrives_whole(void **state)
{
	(void)state;
	struct world *w = world_new(
		&(struct fake_options){ .nodes = 1, .vbuckets = 1, .hold_persistence = true });
	char key[24];
	world_open(w);
	for (int i = 0; i < 10; i++) {
		(void)snprintf(key, sizeof(key), "a%d", i);
		(void)fake_set(w->fake, 0, 0, key, SLICE_LIT("1"));
	}
	fake_persist(w->fake, 0, 0, 5);
	settle(w, 1, 5 * NSEC_PER_SEC);
	fake_crash_vb(w->fake, 0);
	for (int i = 0; i < 8; i++) {
		(void)snprintf(key, sizeof(key), "new-%d", i);
		(void)fake_set(w->fake, 0, 0, key, SLICE_LIT("2"));
	}
	settle(w, 1, 5 * NSEC_PER_SEC);
	assert_int_equal(w->rollbacks, 1);
	assert_int_equal(w->events - w->duplicates, 18);
	world_free(w);
}

static void
weakness_22b_with_mitigation_nothing_unpersisted_is_seen_and_nobody_else_waits(void **state)
{
	(void)state;
	unsigned counter = 0;
	struct world *w = world_new(&(struct fake_options){
		.nodes = 3, .vbuckets = 16, .replicas = 2, .hold_persistence = true });
	w->o.mitigation.policy = MITIGATE_ALL;
	world_open(w);
	write_some(w, 16, 300, &counter);
	nsec until = now() + 300 * NSEC_PER_MS;
	while (now() < until)
		(void)pump_once(w, 20 * NSEC_PER_MS);
	assert_int_equal(w->events, 0);
	for (unsigned vb = 0; vb < 8; vb++) /* half of them, on all copies */
		for (unsigned copy = 0; copy < 3; copy++)
			fake_persist(w->fake, vb, copy, UINT64_MAX);
	nsec deadline = now() + 5 * NSEC_PER_SEC;
	while (now() < deadline && all_differ(w, 8))
		(void)pump_once(w, 20 * NSEC_PER_MS);
	assert_null(all_differ(w, 8));
	for (unsigned vb = 8; vb < 16; vb++)
		for (unsigned s = 0; s < SEQNOS_MAX; s++)
			assert_int_equal(w->seen[vb].kind[s], 0);
	for (unsigned vb = 8; vb < 16; vb++) /* what was held back is lost: nobody ever sees it */
		fake_failover_vb(w->fake, vb, 1);
	write_some(w, 16, 100, &counter);
	for (unsigned vb = 0; vb < 16; vb++)
		for (unsigned copy = 0; copy < 3; copy++)
			fake_persist(w->fake, vb, copy, UINT64_MAX);
	settle(w, 16, 10 * NSEC_PER_SEC);
	assert_int_equal(w->rollbacks, 0);
	assert_int_equal(w->duplicates, 0);
	world_free(w);
}

static void chaos(struct world *w, unsigned vbs, unsigned nodes)
{
	unsigned vb = (unsigned)rand() % vbs;
	int node = rand() % (int)nodes;
	switch (rand() % 12) {
	case 0: fake_failover_vb(w->fake, vb, 1); break;
	case 1: fake_crash_vb(w->fake, vb); break;
	case 2: fake_move_vb(w->fake, vb, (unsigned)node); break;
	case 3: fake_drop_connections(w->fake, node); break;
	case 4:
		fake_fault(w->fake, &(struct fake_fault){ .kind = FAKE_CUT_AFTER,
							  .node = node,
							  .vb = -1,
							  .n = (uint64_t)rand() % 3000 });
		break;
	case 5: {
		static const uint16_t statuses[] = { 0x86, 0x85, 0x24, 0x07, 0x82, 0x02 };
		fake_fault(w->fake, &(struct fake_fault){ .kind = FAKE_STATUS,
							  .node = -1,
							  .vb = -1,
							  .opcode = 0x53,
							  .count = 1 + (unsigned)rand() % 5,
							  .status = statuses[rand() % 6] });
		break;
	}
	case 6:
	case 7:
		fake_fault(w->fake, &(struct fake_fault){ .kind = FAKE_STREAM_END,
							  .node = -1,
							  .vb = (int)vb,
							  .status = (uint16_t)(1 + rand() % 6) });
		break;
	case 8:
		fake_fault(w->fake, &(struct fake_fault){ .kind = FAKE_SPLIT,
							  .node = node,
							  .vb = -1,
							  .n = 1 + (uint64_t)rand() % 40 });
		break;
	case 9: fake_push_map(w->fake); break;
	case 10:
		fake_persist(w->fake, vb, (unsigned)rand() % 2, fake_high_seqno(w->fake, vb));
		break;
	case 11: fake_clear_faults(w->fake); break;
	}
}

static void run_chaos(unsigned seed, enum mitigation_policy policy)
{
	enum { VBS = 8, NODES = 3 };
	unsigned counter = 0;
	srand(seed);
	struct world *w =
		world_new(&(struct fake_options){ .nodes = NODES,
						  .vbuckets = VBS,
						  .replicas = 1,
						  .hold_persistence = true,
						  .checkpoint_items = 1 + (unsigned)rand() % 20 });
	w->o.mitigation.policy = policy;
	write_some(w, VBS, 50, &counter);
	world_open(w);
	for (int i = 0; i < 40; i++) {
		chaos(w, VBS, NODES);
		write_some(w, VBS, (unsigned)rand() % 12, &counter);
		while (rand() % 3 && pump_once(w, NSEC_PER_MS))
			;
	}
	fake_clear_faults(w->fake);
	for (unsigned vb = 0; vb < VBS; vb++)
		for (unsigned copy = 0; copy < 2; copy++)
			fake_persist(w->fake, vb, copy, UINT64_MAX);
	fake_hold_persistence(w->fake, false);
	settle(w, VBS, 20 * NSEC_PER_SEC);
	world_free(w);
}

static void b1_b2_chaos_leaves_no_gap_and_no_orphan(void **state)
{
	(void)state;
	long n = test_count(20, 2000), first = getenv("SEED") ? atol(getenv("SEED")) : 1;
	for (long seed = first; seed < first + n; seed++) {
		print_message("seed %ld\n", seed);
		run_chaos((unsigned)seed, seed % 2 ? MITIGATE_NONE : MITIGATE_ALL);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_there_and_everything_new_arrives),
		cmocka_unit_test(
			a_failover_that_loses_items_is_told_and_the_new_branch_is_complete),
		cmocka_unit_test(weakness_1_go_dcps_lost_branch_arrives_whole),
		cmocka_unit_test(
			weakness_22b_with_mitigation_nothing_unpersisted_is_seen_and_nobody_else_waits),
		cmocka_unit_test(b1_b2_chaos_leaves_no_gap_and_no_orphan),
	};
	return cmocka_run_group_tests_name("dcp/e2e stream", tests, NULL, NULL);
}
