/* B2: failovers with random branch points, rollbacks to 0, to R and repeated, failover logs that have rotated, kills
 * between; with mitigation and without. Nothing is lost; with mitigation nothing handed out is ever rolled back. */
#include "tests/dcp_memory.h"
#include "tests/dcp_world.h"

enum { VBS = 16, ROUNDS = 25, FAILOVERS = 5000, LOG_TURNS = 30 };

static unsigned upto(unsigned n)
{
	return (unsigned)rand() % n;
}

static void write_many(struct world *w, unsigned n, unsigned *counter)
{
	write_some(w, VBS, n, counter);
}

/* Each way to lose what came last; `from` the vBucket has at least `keep` of its history afterwards. */
static void fail_over(struct world *w, unsigned vb)
{
	uint64_t high = fake_high_seqno(w->fake, vb), keep = high - upto(12) % (high + 1);
	switch (upto(5)) {
	case 0:
	case 1:
		fake_replicate(w->fake, vb, 1, keep);
		fake_failover_vb(w->fake, vb, 1);
		break;
	case 2: fake_failover_vb(w->fake, vb, 1); break; /* whatever the copy has: often nothing */
	case 3:
		fake_persist(w->fake, vb, 0, keep);
		fake_crash_vb(w->fake, vb);
		break;
	case 4: fake_crash_vb(w->fake, vb); break;
	}
}

/* More entries than a log keeps, while nobody looks: the branch that the client knows is in it no more. */
static void rotate_log(struct world *w, unsigned vb)
{
	fake_fault(w->fake,
		   &(struct fake_fault){ .kind = FAKE_DOWN, .node = -1, .vb = -1, .count = 1 });
	for (unsigned i = 0; i < LOG_TURNS; i++) {
		fake_replicate(w->fake, vb, 1, UINT64_MAX);
		fake_failover_vb(w->fake, vb, 1);
	}
	fake_fault(w->fake, &(struct fake_fault){ .kind = FAKE_DOWN, .node = -1, .vb = -1 });
}

static void ask_to_go_back(struct world *w, unsigned vb)
{
	unsigned high = (unsigned)fake_high_seqno(w->fake, vb);
	fake_fault(w->fake, &(struct fake_fault){ .kind = FAKE_ROLLBACK,
						  .node = -1,
						  .vb = (int)vb,
						  .count = 1 + upto(4),
						  .n = upto(3) ? upto(high + 1) : 0 });
	fake_fault(w->fake,
		   &(struct fake_fault){
			   .kind = FAKE_STREAM_END, .node = -1, .vb = (int)vb, .status = 2 });
}

static void kill_and_return(struct world *w, struct memory *k)
{
	struct err e = ERR_INIT;
	if (upto(2))
		(void)dcp_source_commit(w->source, &e);
	memory_moment left;
	memory_look(k, left); /* killed: what is saved from now on never was */
	world_close(w);
	memory_go_back(k, left);
	for (unsigned vb = 0; vb < VBS; vb++)
		assert_true(k->cp[vb].found || w->seen[vb].high == 0);
	world_open(w);
}

static void persist_some(struct world *w)
{
	for (unsigned i = upto(VBS); i > 0; i--) {
		unsigned vb = upto(VBS);
		for (unsigned copy = 0; copy < 2; copy++)
			fake_persist(w->fake, vb, copy, UINT64_MAX);
	}
}

static void one_round(struct world *w, struct memory *k, unsigned round)
{
	fail_over(w, upto(VBS));
	if (round % 12 == 5)
		rotate_log(w, upto(VBS));
	if (round % 3 == 0)
		ask_to_go_back(w, upto(VBS));
	if (round % 5 == 4)
		kill_and_return(w, k);
}

static void run_failovers(unsigned seed)
{
	unsigned counter = 0;
	static const enum mitigation_policy policies[] = { MITIGATE_NONE, MITIGATE_ALL };
	srand(seed);
	struct world *w = world_new(&(struct fake_options){ .nodes = 2,
							    .vbuckets = VBS,
							    .replicas = 1,
							    .hold_persistence = true,
							    .checkpoint_items = 1 + upto(30) });
	struct memory k;
	memory_init(&k);
	w->o.store = &k.base;
	w->o.checkpoint_interval = 5 * NSEC_PER_MS;
	w->o.mitigation.policy = policies[seed % 2];
	write_many(w, 100, &counter);
	world_open(w);
	for (unsigned round = 0; round < ROUNDS; round++) {
		write_many(w, upto(60), &counter);
		persist_some(w);
		while (upto(4) && pump_once(w, NSEC_PER_MS))
			;
		one_round(w, &k, round);
	}
	fake_clear_faults(w->fake);
	fake_hold_persistence(w->fake, false);
	settle(w, VBS, PATIENCE);
	world_free(w);
}

static const struct seeded seeded[] = { { "failovers", run_failovers }, { 0 } };

static void b2_failovers_lose_nothing_and_leave_no_orphan(void **state)
{
	(void)state;
	seeds_run(&seeded[0], test_count(24, FAILOVERS / ROUNDS));
}

/* ---- how often it asks ---- */

struct asked {
	unsigned vb;
	uint64_t reopens, rollbacks;
};

static void count_of(void *arg, const struct dcp_vbucket_status *v)
{
	struct asked *a = arg;
	if (v->vb == a->vb) {
		a->reopens = v->reopens;
		a->rollbacks = v->rollbacks;
	}
}

/* The unit is a second in the long form and the client's own constants; a twentieth of both in the short one. */
static void b2_a_vbucket_that_fails_is_asked_for_once_a_second_at_most(void **state)
{
	(void)state;
	static const uint16_t refusals[] = { 0x86, 0x85, 0x24, 0x07, 0x84 };
	enum { UNITS = 15 };
	nsec unit = NSEC_PER_SEC / test_count(20, 1);
	for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
		struct asked a = { .vb = 1 };
		struct world *w = world_new(&(struct fake_options){ .nodes = 2, .vbuckets = 4 });
		w->o.backoff_min = unit / 10;
		w->o.backoff_max = 10 * unit;
		fake_fault(w->fake, &(struct fake_fault){ .kind = FAKE_STATUS,
							  .node = -1,
							  .vb = (int)a.vb,
							  .opcode = 0x53,
							  .count = 1000,
							  .status = refusals[i] });
		world_open(w);
		nsec began = now(), took = 0;
		while (took < UNITS * unit || (a.reopens < 3 && took < PATIENCE)) {
			(void)pump_once(w, unit / 10);
			(void)dcp_source_status(w->source, NULL, count_of, &a);
			took = now() - began;
		}
		print_message("status 0x%02x: %u requests in %d units\n", refusals[i],
			      (unsigned)a.reopens, (int)(took / unit));
		assert_true(a.reopens >= 3 && (nsec)a.reopens <= took / unit);
		world_free(w);
	}
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return seeds_worker(argc, argv, seeded);
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(b2_failovers_lose_nothing_and_leave_no_orphan),
		cmocka_unit_test(b2_a_vbucket_that_fails_is_asked_for_once_a_second_at_most),
	};
	return cmocka_run_group_tests_name("dcp/e2e failover chaos", tests, NULL, NULL);
}
