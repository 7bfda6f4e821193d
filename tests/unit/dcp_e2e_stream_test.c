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
	settle(w, 64, PATIENCE);
	for (int i = 0; i < 5; i++) {
		write_some(w, 64, 200, &counter);
		settle(w, 64, PATIENCE);
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
	settle(w, 16, PATIENCE);
	for (unsigned vb = 0; vb < 16; vb++)
		fake_failover_vb(w->fake, vb, 1);
	write_some(w, 16, 200, &counter);
	settle(w, 16, PATIENCE);
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
	settle(w, 1, PATIENCE);
	fake_crash_vb(w->fake, 0);
	for (int i = 0; i < 8; i++) {
		(void)snprintf(key, sizeof(key), "new-%d", i);
		(void)fake_set(w->fake, 0, 0, key, SLICE_LIT("2"));
	}
	settle(w, 1, PATIENCE);
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
	nsec deadline = now() + PATIENCE;
	while (now() < deadline && all_differ(w, 8))
		(void)pump_once(w, 20 * NSEC_PER_MS);
	assert_null(all_differ(w, 8));
	for (unsigned vb = 8; vb < 16; vb++)
		assert_int_equal(w->seen[vb].high, 0);
	for (unsigned vb = 8; vb < 16; vb++) /* what was held back is lost: nobody ever sees it */
		fake_failover_vb(w->fake, vb, 1);
	write_some(w, 16, 100, &counter);
	for (unsigned vb = 0; vb < 16; vb++)
		for (unsigned copy = 0; copy < 3; copy++)
			fake_persist(w->fake, vb, copy, UINT64_MAX);
	settle(w, 16, PATIENCE);
	assert_int_equal(w->rollbacks, 0);
	assert_int_equal(w->duplicates, 0);
	world_free(w);
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
	};
	return cmocka_run_group_tests_name("dcp/e2e stream", tests, NULL, NULL);
}
