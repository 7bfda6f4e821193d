/* A source against the simulated cluster over loopback: what arrives is what the cluster's history says. */
#include "tests/dcp_world.h"

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
	world_seed = seed;
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
	long n = test_count(60, 2000), first = getenv("SEED") ? atol(getenv("SEED")) : 1;
	for (long seed = first; seed < first + n; seed++) {
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
