/* How a source finds and watches the cluster: maps over the data service and over HTTP, what the server's statuses
 * mean, networks, kinds of buckets. */
#include "tests/dcp_world.h"
#include "tests/dns_server.h"

#include "dcp/kv.h"

static struct dcp_status status_of(struct world *w)
{
	struct dcp_status s;
	assert_int_equal(dcp_source_status(w->source, &s, NULL, NULL), 0);
	return s;
}

/* Pumps until the source has a map at least as new, or fails. */
static void wait_for_map(struct world *w, int64_t rev, nsec limit)
{
	nsec deadline = now() + limit;
	while (status_of(w).map_rev < rev) {
		if (now() > deadline)
			fail_msg("the map is at revision %d, not at %d: %s",
				 (int)status_of(w).map_rev, (int)rev, status_of(w).last_error);
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

static struct world *http_world(const struct fake_options *fo)
{
	struct world *w = world_new(fo);
	(void)snprintf(w->seed, sizeof(w->seed), "http://127.0.0.1:%u", fake_http_port(w->fake, 0));
	w->o.connect_timeout = 5 * NSEC_PER_SEC;
	return w;
}

static void a_seed_of_the_management_service_is_enough(void **state)
{
	(void)state;
	unsigned counter = 0;
	struct world *w =
		http_world(&(struct fake_options){ .nodes = 3, .vbuckets = 16, .replicas = 1 });
	write_some(w, 16, 300, &counter);
	world_open(w);
	settle(w, 16, 10 * NSEC_PER_SEC);
	fake_failover_node(w->fake, 0); /* the seed is gone for good */
	write_some(w, 16, 100, &counter);
	settle(w, 16, 10 * NSEC_PER_SEC);
	assert_false(status_of(w).map_over_http); /* the data service does it now */
	world_free(w);
}

static void without_maps_of_the_data_service_http_is_the_watch(void **state)
{
	(void)state;
	for (unsigned ways = 0; ways < 3; ways++) {
		unsigned counter = 0;
		struct world *w = http_world(
			&(struct fake_options){ .nodes = 2, .vbuckets = 16, .http_ways = ways });
		w->o.mitigation.config_watch_interval = 20 * NSEC_PER_MS; /* of a one-shot map */
		refuse_maps(w, UINT32_MAX);
		write_some(w, 16, 200, &counter);
		world_open(w);
		settle(w, 16, 10 * NSEC_PER_SEC);
		/* nothing but the stream tells of this one: nobody is asked for a vBucket that moved */
		int64_t rev = status_of(w).map_rev;
		fake_push_map(w->fake);
		wait_for_map(w, rev + 1, 2 * NSEC_PER_SEC);
		for (unsigned vb = 0; vb < 8; vb++)
			fake_move_vb(w->fake, vb, 1);
		fake_drop_connections(w->fake, -1);
		fake_fault(w->fake, &(struct fake_fault){ .kind = FAKE_SPLIT, .node = -1, .n = 7 });
		write_some(w, 16, 200, &counter);
		settle(w, 16, 20 * NSEC_PER_SEC);
		wait_for_map(w, rev + 9, 5 * NSEC_PER_SEC);
		world_free(w);
	}
}

static void what_the_management_service_refuses_is_said_at_once(void **state)
{
	(void)state;
	static const struct {
		const char *password, *bucket;
		int code;
	} rows[] = {
		{ "not-this-one", "default", ERR_AUTH },
		{ "password", "no such % bucket", ERR_NOTFOUND },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = ERR_INIT;
		struct dcp_source *s;
		struct world *w = http_world(&(struct fake_options){ .nodes = 1, .vbuckets = 4 });
		w->o.password = rows[i].password;
		w->o.bucket = rows[i].bucket;
		nsec before = now();
		assert_int_equal(dcp_source_open(&w->o, &s, &e), rows[i].code);
		assert_true(now() - before < 2 * NSEC_PER_SEC);
		assert_null(strstr(e.msg, rows[i].password));
		world_free(w);
	}
}

/* It takes connections and says nothing. */
static int silent_listener(uint16_t *port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0);
	assert_true(listen(fd, 8) == 0 && getsockname(fd, (struct sockaddr *)&a, &len) == 0);
	*port = ntohs(a.sin_port);
	return fd;
}

static void a_silent_management_service_delays_nobody(void **state)
{
	(void)state;
	uint16_t port;
	int fd = silent_listener(&port);
	struct err e = ERR_INIT;
	struct dcp_source *s;
	struct world *w = http_world(&(struct fake_options){ .nodes = 1, .vbuckets = 4 });
	(void)snprintf(w->seed, sizeof(w->seed), "http://127.0.0.1:%u", port);
	w->o.connect_timeout = 300 * NSEC_PER_MS;
	nsec before = now();
	assert_int_equal(dcp_source_open(&w->o, &s, &e), ERR_TIMEOUT);
	assert_true(now() - before < 2 * NSEC_PER_SEC); /* and nothing was left to be joined */
	world_free(w);
	(void)close(fd);
}

static void bad_seeds_are_refused_before_anything_is_connected(void **state)
{
	(void)state;
	static const char *const bad[] = { "http://user:secret@host", "host:0", "ftp://host" };
	struct world *w = world_new(&(struct fake_options){ .nodes = 1, .vbuckets = 4 });
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct err e = ERR_INIT;
		struct dcp_source *s;
		w->seeds[0] = bad[i];
		assert_int_equal(dcp_source_open(&w->o, &s, &e), ERR_INVALID);
		assert_null(strstr(e.msg, "secret"));
	}
	world_free(w);
}

/* One document written and read by way of the seed. The first error. */
static int write_and_read(struct world *w, const char *dns, const char *password, struct err *e)
{
	struct conn_options conn = { .env = env_posix(),
				     .user = "Administrator",
				     .password = password,
				     .bucket = "default",
				     .cache = &(struct scram_cache){ .mechanism = SASL_NONE },
				     .connect_timeout = NSEC_PER_SEC,
				     .noop = NSEC_PER_SEC };
	struct kv_options o = { .conn = &conn,
				.seeds = w->seeds,
				.n_seeds = 1,
				.timeout = 5 * NSEC_PER_SEC,
				.dns_server = dns };
	AUTO(buf) struct buf got = BUF_INIT;
	struct kv *kv;
	assert_ok(kv_open(&o, &kv, e), e);
	struct kv_request put = {
		.op = KV_PUT, .key = SLICE_LIT("a"), .value = SLICE_LIT("{}"), .cas = KV_CAS_ANY
	};
	struct kv_request get = { .op = KV_GET, .key = SLICE_LIT("a"), .out = &got };
	int rc = kv_run(kv, &put, 1, e);
	if (rc == 0)
		rc = kv_run(kv, &get, 1, e);
	kv_free(kv);
	if (rc == 0)
		assert_true(put.rc == 1 && get.rc == 1 && slice_is(buf_slice(&got), "{}"));
	return rc;
}

static void documents_are_reached_by_the_same_hosts(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct world *w = http_world(&(struct fake_options){ .nodes = 2, .vbuckets = 8 });
	struct dns_server d = { .target = "127.0.0.1", .port = fake_kv_port(w->fake, 1) };
	dns_server_start(&d);
	assert_ok(write_and_read(w, NULL, "password", &e), &e);
	assert_int_equal(write_and_read(w, NULL, "other", &e), ERR_AUTH);
	assert_non_null(strstr(e.msg, "management service"));
	assert_null(strstr(e.msg, "other"));
	w->seeds[0] = "couchbase://db.test";
	err_clear(&e);
	assert_ok(write_and_read(w, d.address, "password", &e), &e);
	dns_server_stop(&d);
	world_free(w);

	w = http_world(&(struct fake_options){ .nodes = 2, .vbuckets = 8, .external = true });
	assert_ok(write_and_read(w, NULL, "password", &e), &e);
	world_free(w);
}

static void a_notified_map_is_fetched_at_once(void **state)
{
	(void)state;
	struct world *w = world_new(&(struct fake_options){ .nodes = 2, .vbuckets = 8 });
	world_open(w);
	settle(w, 8, 5 * NSEC_PER_SEC);
	for (int i = 0; i < 20; i++) { /* nothing moves, so that nothing else tells */
		int64_t rev = status_of(w).map_rev;
		fake_push_map(w->fake);
		wait_for_map(w, rev + 1, 2 * NSEC_PER_SEC); /* the watch would take 10 s */
	}
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
	settle(w, 8, 5 * NSEC_PER_SEC);
	for (int node = 1; node < 3; node++)
		fake_fault(w->fake,
			   &(struct fake_fault){ .kind = FAKE_DOWN, .node = node, .count = 1 });
	nsec deadline = now() + 5 * NSEC_PER_SEC;
	while (now() < deadline && status_of(w).n_connected != 1)
		(void)pump_once(w, 10 * NSEC_PER_MS);
	assert_int_equal(status_of(w).n_connected, 1);
	int64_t rev = status_of(w).map_rev;
	fake_push_map(w->fake);
	wait_for_map(w, rev + 1, 2 * NSEC_PER_SEC);
	fake_clear_faults(w->fake);
	for (int node = 1; node < 3; node++)
		fake_fault(w->fake, &(struct fake_fault){ .kind = FAKE_DOWN, .node = node });
	write_some(w, 8, 100, &counter);
	settle(w, 8, 10 * NSEC_PER_SEC);
	assert_int_equal(status_of(w).n_connected, 2); /* the seed is let go */
	world_free(w);
}

static void config_watch_interval_finds_what_no_notification_told(void **state)
{
	(void)state;
	struct world *w = world_new(&(struct fake_options){ .nodes = 2, .vbuckets = 8 });
	w->o.mitigation.config_watch_interval = 30 * NSEC_PER_MS;
	world_open(w);
	settle(w, 8, 5 * NSEC_PER_SEC);
	int64_t rev = status_of(w).map_rev;
	refuse_maps(w, 2); /* both nodes' notifications lead to nothing */
	fake_push_map(w->fake);
	wait_for_map(w, rev + 1, 2 * NSEC_PER_SEC);
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
	nsec deadline = now() + 5 * NSEC_PER_SEC;
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
	settle(w, 8, 10 * NSEC_PER_SEC);
	assert_true(status_of(w).reconnects >= 2);
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
	settle(w, 8, 10 * NSEC_PER_SEC);
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
	settle(w, 8, 10 * NSEC_PER_SEC);
	assert_int_equal(w->ends, 0);
	assert_int_equal(status_of(w).reconnects, 0);
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
	settle(w, 3, 10 * NSEC_PER_SEC);
	nsec deadline = now() + 5 * NSEC_PER_SEC;
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
		settle(w, 8, 10 * NSEC_PER_SEC);
		assert_true(status_of(w).ephemeral);
		world_free(w);
	}
	struct world *w = world_new(&(struct fake_options){ .nodes = 1, .vbuckets = 8 });
	w->o.mitigation.policy = MITIGATE_ALL;
	world_open(w);
	settle(w, 8, 5 * NSEC_PER_SEC);
	assert_false(status_of(w).ephemeral);
	world_free(w);
}

static void the_external_network_is_used_where_only_it_leads_anywhere(void **state)
{
	(void)state;
	static const struct {
		enum cluster_network network;
		bool http, reaches;
	} rows[] = {
		{ NETWORK_AUTO, false, true },
		{ NETWORK_AUTO, true, true },
		{ NETWORK_EXTERNAL, false, true },
		{ NETWORK_DEFAULT, false, false },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		unsigned counter = 0;
		struct world *w = http_world(&(struct fake_options){
			.nodes = 2, .vbuckets = 8, .replicas = 1, .external = true });
		if (!rows[i].http)
			(void)snprintf(w->seed, sizeof(w->seed), "127.0.0.1:%u",
				       fake_kv_port(w->fake, 0));
		w->o.network = rows[i].network;
		write_some(w, 8, 200, &counter);
		world_open(w);
		if (rows[i].reaches) {
			settle(w, 8, 10 * NSEC_PER_SEC);
			fake_failover_node(w->fake, 0);
			write_some(w, 8, 100, &counter);
			settle(w, 8, 10 * NSEC_PER_SEC);
		} else {
			nsec deadline = now() + 5 * NSEC_PER_SEC;
			while (!strstr(status_of(w).last_error, "node-") && now() < deadline)
				(void)pump_once(w, 10 * NSEC_PER_MS);
			assert_non_null(strstr(status_of(w).last_error, "node-"));
			assert_int_equal(w->events, 0);
		}
		world_free(w);
	}
}

static void the_records_of_a_service_are_its_nodes(void **state)
{
	(void)state;
	unsigned counter = 0;
	struct world *w = world_new(&(struct fake_options){ .nodes = 2, .vbuckets = 8 });
	struct dns_server d = { .target = "127.0.0.1", .port = fake_kv_port(w->fake, 1) };
	dns_server_start(&d);
	static const char *const names[] = { "db.test", "couchbase://db.test" };
	write_some(w, 8, 200, &counter);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		w->seeds[0] = names[i];
		w->o.dns_server = d.address;
		world_open(w);
		settle(w, 8, 10 * NSEC_PER_SEC);
		world_close(w);
	}
	world_free(w);
	dns_server_stop(&d);
}

static void without_records_the_host_itself_is_asked(void **state)
{
	(void)state;
	for (int silent = 0; silent < 2; silent++) {
		struct world *w = world_new(&(struct fake_options){ .nodes = 1, .vbuckets = 4 });
		struct dns_server d = { .silent = silent };
		struct err e = ERR_INIT;
		struct dcp_source *s;
		dns_server_start(&d);
		w->seeds[0] = "db.invalid";
		w->o.dns_server = d.address;
		w->o.connect_timeout = 900 * NSEC_PER_MS;
		nsec before = now();
		assert_int_equal(dcp_source_open(&w->o, &s, &e), ERR_TIMEOUT);
		assert_true(now() - before < 3 * NSEC_PER_SEC);
		assert_non_null(strstr(e.msg, "db.invalid")); /* it was looked up */
		world_free(w);
		dns_server_stop(&d);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_seed_of_the_management_service_is_enough),
		cmocka_unit_test(without_maps_of_the_data_service_http_is_the_watch),
		cmocka_unit_test(what_the_management_service_refuses_is_said_at_once),
		cmocka_unit_test(a_silent_management_service_delays_nobody),
		cmocka_unit_test(bad_seeds_are_refused_before_anything_is_connected),
		cmocka_unit_test(the_records_of_a_service_are_its_nodes),
		cmocka_unit_test(without_records_the_host_itself_is_asked),
		cmocka_unit_test(documents_are_reached_by_the_same_hosts),
		cmocka_unit_test(a_notified_map_is_fetched_at_once),
		cmocka_unit_test(when_every_node_is_gone_the_seeds_are_asked_again),
		cmocka_unit_test(config_watch_interval_finds_what_no_notification_told),
		cmocka_unit_test(a_new_map_makes_mitigation_look_at_other_copies),
		cmocka_unit_test(a_stale_login_is_made_anew),
		cmocka_unit_test(busy_servers_are_asked_again),
		cmocka_unit_test(what_the_error_map_calls_hopeless_ends),
		cmocka_unit_test(nothing_is_held_back_on_an_ephemeral_bucket),
		cmocka_unit_test(the_external_network_is_used_where_only_it_leads_anywhere),
	};
	return cmocka_run_group_tests_name("dcp/e2e map", tests, NULL, NULL);
}
