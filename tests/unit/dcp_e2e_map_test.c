/* How a source watches the cluster: maps over the data service and over HTTP, what the server's statuses mean, kinds of
 * buckets. */
#include "tests/dcp_client.h"
#include "tests/dcp_world.h"

/* Pumps until the source has a map at least as new, or fails. */
static void wait_for_map(struct world *w, int64_t rev, nsec limit)
{
	nsec deadline = now() + limit;
	while (world_status(w).map_rev < rev) {
		if (now() > deadline)
			fail_msg("the map is at revision %d, not at %d: %s",
				 (int)world_status(w).map_rev, (int)rev,
				 world_status(w).last_error);
		(void)pump_once(w, 5 * NSEC_PER_MS);
	}
}

/* The data service answers no question about the map any more. */
static void refuse_maps(struct world *w, unsigned count)
{
	fake_fault(w->fake, &(struct fake_fault){ .kind = FAKE_STATUS,
						  .node = -1,
						  .vb = -1,
						  .opcode = 0xb5,
						  .status = 0x81,
						  .count = count });
}

static void without_maps_of_the_data_service_http_is_the_watch(void **state)
{
	(void)state;
	for (unsigned ways = 0; ways < 3; ways++) {
		unsigned counter = 0;
		struct world *w = world_http(
			&(struct fake_options){ .nodes = 2, .vbuckets = 16, .http_ways = ways });
		w->o.mitigation.config_watch_interval = 20 * NSEC_PER_MS; /* of a one-shot map */
		refuse_maps(w, UINT32_MAX);
		write_some(w, 16, 200, &counter);
		world_open(w);
		settle(w, 16, PATIENCE);
		/* nothing but the stream tells of this one: nobody is asked for a vBucket that moved */
		int64_t rev = world_status(w).map_rev;
		fake_push_map(w->fake);
		wait_for_map(w, rev + 1, PATIENCE);
		for (unsigned vb = 0; vb < 8; vb++)
			fake_move_vb(w->fake, vb, 1);
		fake_drop_connections(w->fake, -1);
		fake_fault(w->fake, &(struct fake_fault){ .kind = FAKE_SPLIT, .node = -1, .n = 7 });
		write_some(w, 16, 200, &counter);
		settle(w, 16, PATIENCE);
		wait_for_map(w, rev + 9, PATIENCE);
		world_free(w);
	}
}

static void a_notified_map_is_fetched_at_once(void **state)
{
	(void)state;
	struct world *w = world_new(&(struct fake_options){ .nodes = 2, .vbuckets = 8 });
	w->o.mitigation.config_watch_interval =
		10 * PATIENCE; /* so that the watch does not find it */
	world_open(w);
	settle(w, 8, PATIENCE);
	for (int i = 0; i < 20; i++) { /* nothing moves, so that nothing else tells */
		int64_t rev = world_status(w).map_rev;
		fake_push_map(w->fake);
		wait_for_map(w, rev + 1, PATIENCE);
	}
	world_free(w);
}

static void a_map_that_is_known_is_not_sent_again(void **state)
{
	(void)state;
	struct fake_stats before, after;
	struct world *w = world_new(&(struct fake_options){ .nodes = 1, .vbuckets = 128 });
	w->o.mitigation.config_watch_interval = 10 * NSEC_PER_MS;
	world_open(w);
	settle(w, 128, PATIENCE);
	fake_stats(w->fake, &before);
	nsec deadline = now() + PATIENCE;
	do {
		(void)pump_once(w, 10 * NSEC_PER_MS);
		fake_stats(w->fake, &after);
	} while (after.maps_asked - before.maps_asked < 20 && now() < deadline);
	assert_true(after.maps_asked - before.maps_asked >= 20);
	assert_int_equal(after.maps_sent, before.maps_sent);
	world_free(w);
}

static void refused_questions_about_persistence_are_told(void **state)
{
	(void)state;
	unsigned counter = 0;
	struct world *w = world_new(&(struct fake_options){ .nodes = 1, .vbuckets = 4 });
	w->o.mitigation.policy = MITIGATE_ALL;
	fake_fault(w->fake, &(struct fake_fault){ .kind = FAKE_STATUS,
						  .node = -1,
						  .vb = -1,
						  .opcode = 0x91,
						  .status = 0x24,
						  .count = UINT32_MAX });
	world_open(w);
	write_some(w, 4, 20, &counter);
	nsec deadline = now() + PATIENCE;
	while (!strstr(world_status(w).last_error, "persisted") && now() < deadline)
		(void)pump_once(w, 10 * NSEC_PER_MS);
	assert_non_null(strstr(world_status(w).last_error, "eaccess"));
	assert_int_equal(w->events, 0);
	fake_clear_faults(w->fake); /* the privilege is back */
	settle(w, 4, PATIENCE);
	world_free(w);
}

static void when_every_node_is_gone_the_seeds_are_asked_again(void **state)
{
	(void)state;
	unsigned counter = 0;
	struct world *w =
		world_new(&(struct fake_options){ .nodes = 3, .vbuckets = 8, .replicas = 1 });
	fake_failover_node(w->fake, 0); /* the seed is in no map, but answers */
	write_some(w, 8, 100, &counter);
	world_open(w);
	settle(w, 8, PATIENCE);
	for (int node = 1; node < 3; node++)
		fake_fault(w->fake,
			   &(struct fake_fault){ .kind = FAKE_DOWN, .node = node, .count = 1 });
	int64_t rev = world_status(w).map_rev;
	fake_push_map(w->fake); /* which nobody else can tell */
	wait_for_map(w, rev + 1, PATIENCE);
	fake_clear_faults(w->fake);
	for (int node = 1; node < 3; node++)
		fake_fault(w->fake, &(struct fake_fault){ .kind = FAKE_DOWN, .node = node });
	write_some(w, 8, 100, &counter);
	settle(w, 8, PATIENCE);
	nsec deadline = now() + PATIENCE;
	while (world_status(w).n_connected != 2 && now() < deadline) /* the seed is let go */
		(void)pump_once(w, 10 * NSEC_PER_MS);
	assert_int_equal(world_status(w).n_connected, 2);
	world_free(w);
}

static void config_watch_interval_finds_what_no_notification_told(void **state)
{
	(void)state;
	struct world *w = world_new(&(struct fake_options){ .nodes = 2, .vbuckets = 8 });
	w->o.mitigation.config_watch_interval = 30 * NSEC_PER_MS;
	world_open(w);
	settle(w, 8, PATIENCE);
	int64_t rev = world_status(w).map_rev;
	refuse_maps(w, 2); /* both nodes' notifications lead to nothing */
	fake_push_map(w->fake);
	wait_for_map(w, rev + 1, PATIENCE);
	world_free(w);
}

static void a_new_map_makes_mitigation_look_at_other_copies(void **state)
{
	(void)state;
	unsigned counter = 0;
	struct world *w = world_new(&(struct fake_options){
		.nodes = 2, .vbuckets = 8, .replicas = 1, .hold_persistence = true });
	w->o.mitigation.policy = MITIGATE_ALL;
	w->o.mitigation.config_watch_interval = 30 * NSEC_PER_MS;
	world_open(w);
	write_some(w, 4, 100, &counter); /* vBuckets of node 0, with replicas on node 1 */
	for (unsigned vb = 0; vb < 4; vb++)
		fake_persist(w->fake, vb, 0, UINT64_MAX);
	nsec until = now() + 200 * NSEC_PER_MS;
	while (now() < until)
		(void)pump_once(w, 20 * NSEC_PER_MS);
	assert_int_equal(w->events, 0); /* the replicas have nothing */
	fake_failover_node(w->fake, 1); /* now there are none */
	nsec deadline = now() + PATIENCE;
	while (now() < deadline && all_differ(w, 4))
		(void)pump_once(w, 20 * NSEC_PER_MS);
	assert_null(all_differ(w, 4));
	world_free(w);
}

static void a_stale_login_is_made_anew(void **state)
{
	(void)state;
	unsigned counter = 0;
	struct world *w = world_new(&(struct fake_options){ .nodes = 2, .vbuckets = 8 });
	write_some(w, 8, 200, &counter);
	fake_fault(w->fake, &(struct fake_fault){ .kind = FAKE_STATUS,
						  .node = -1,
						  .vb = 1,
						  .opcode = 0x53,
						  .status = 0x1f,
						  .count = 2 });
	world_open(w);
	settle(w, 8, PATIENCE);
	assert_true(world_status(w).reconnects >= 2);
	assert_int_equal(w->ends, 0);
	/* and while setting up */
	fake_fault(w->fake, &(struct fake_fault){ .kind = FAKE_STATUS,
						  .node = -1,
						  .vb = -1,
						  .opcode = 0x89,
						  .status = 0x1f,
						  .count = 3 });
	fake_drop_connections(w->fake, -1);
	write_some(w, 8, 100, &counter);
	settle(w, 8, PATIENCE);
	world_free(w);
}

static void busy_servers_are_asked_again(void **state)
{
	(void)state;
	/* the last but one is in the server's error map only, the last nowhere */
	static const uint16_t busy[] = { 0x85, 0x86, 0x0c, 0x30, 0x24, 0xa1, 0x7777 };
	unsigned counter = 0;
	struct world *w = world_new(&(struct fake_options){ .nodes = 1, .vbuckets = 8 });
	write_some(w, 8, 200, &counter);
	for (size_t i = 0; i < ARRAY_LEN(busy); i++)
		fake_fault(w->fake, &(struct fake_fault){ .kind = FAKE_STATUS,
							  .node = -1,
							  .vb = (int)i,
							  .opcode = 0x53,
							  .status = busy[i],
							  .count = 8 });
	world_open(w);
	settle(w, 8, PATIENCE);
	assert_int_equal(w->ends, 0);
	assert_int_equal(world_status(w).reconnects, 0);
	world_free(w);
}

static void what_the_error_map_calls_hopeless_ends(void **state)
{
	(void)state;
	unsigned counter = 0;
	struct world *w = world_new(&(struct fake_options){ .nodes = 1, .vbuckets = 8 });
	fake_fault(w->fake, &(struct fake_fault){ .kind = FAKE_STATUS,
						  .node = -1,
						  .vb = 3,
						  .opcode = 0x53,
						  .status = 0xc1, /* item-only */
						  .count = UINT32_MAX });
	world_open(w);
	write_some(w, 3, 100, &counter);
	settle(w, 3, PATIENCE);
	nsec deadline = now() + PATIENCE;
	while (w->ends == 0 && now() < deadline)
		(void)pump_once(w, 10 * NSEC_PER_MS);
	assert_int_equal(w->ends, 1);
	world_free(w);
}

static void nothing_is_held_back_on_an_ephemeral_bucket(void **state)
{
	(void)state;
	for (int refused = 0; refused < 2; refused++) {
		unsigned counter = 0;
		struct world *w = world_new(&(struct fake_options){ .nodes = 2,
								    .vbuckets = 8,
								    .replicas = 1,
								    .ephemeral = true,
								    .hold_persistence = true });
		w->o.mitigation.policy = MITIGATE_ALL;
		if (refused) { /* the statistics: the management service tells */
			(void)snprintf(w->seed, sizeof(w->seed), "http://127.0.0.1:%u",
				       fake_http_port(w->fake, 0));
			fake_fault(w->fake, &(struct fake_fault){ .kind = FAKE_STATUS,
								  .node = -1,
								  .vb = -1,
								  .opcode = 0x10,
								  .status = 0x24,
								  .count = UINT32_MAX });
		}
		write_some(w, 8, 200, &counter);
		world_open(w);
		settle(w, 8, PATIENCE);
		assert_true(world_status(w).ephemeral);
		world_free(w);
	}
	struct world *w = world_new(&(struct fake_options){ .nodes = 1, .vbuckets = 8 });
	w->o.mitigation.policy = MITIGATE_ALL;
	world_open(w);
	settle(w, 8, PATIENCE);
	assert_false(world_status(w).ephemeral);
	world_free(w);
}

static void programs_see_how_the_cluster_is_watched(void **state)
{
	(void)state;
	for (int ephemeral = 0; ephemeral < 2; ephemeral++) {
		weir_error e = { 0 };
		weir_dcp *d;
		weir_dcp_stats st = { .size = sizeof(st) };
		struct world *w = world_http(&(struct fake_options){
			.nodes = 1, .vbuckets = 4, .ephemeral = ephemeral });
		refuse_maps(w, UINT32_MAX);
		weir_dcp_options o = client_options(w->seed);
		o.network = WEIR_DCP_NETWORK_DEFAULT;
		o.mitigation = WEIR_DCP_MITIGATE_ALL;
		int rc = weir_dcp_open(&o, &d, &e);
		if (rc < 0)
			fail_msg("%s", e.message);
		nsec deadline = now() + PATIENCE;
		do {
			assert_int_equal(weir_dcp_stats_get(d, &st), 0);
		} while (!st.map_over_http || (ephemeral && !st.ephemeral && now() < deadline));
		assert_true(st.ephemeral == (ephemeral != 0) && st.map_epoch == 1 &&
			    st.map_rev > 0);
		assert_int_equal(weir_dcp_close(d, &e), 0);
		world_free(w);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_maps_of_the_data_service_http_is_the_watch),
		cmocka_unit_test(a_notified_map_is_fetched_at_once),
		cmocka_unit_test(a_map_that_is_known_is_not_sent_again),
		cmocka_unit_test(refused_questions_about_persistence_are_told),
		cmocka_unit_test(when_every_node_is_gone_the_seeds_are_asked_again),
		cmocka_unit_test(config_watch_interval_finds_what_no_notification_told),
		cmocka_unit_test(a_new_map_makes_mitigation_look_at_other_copies),
		cmocka_unit_test(a_stale_login_is_made_anew),
		cmocka_unit_test(busy_servers_are_asked_again),
		cmocka_unit_test(what_the_error_map_calls_hopeless_ends),
		cmocka_unit_test(nothing_is_held_back_on_an_ephemeral_bucket),
		cmocka_unit_test(programs_see_how_the_cluster_is_watched),
	};
	return cmocka_run_group_tests_name("dcp/e2e map", tests, NULL, NULL);
}
