/* How a cluster is found: the hosts that people write, DNS, the management service, networks. */
#include "tests/dcp_world.h"
#include "tests/dns_server.h"

#include "dcp/kv.h"

static void a_seed_of_the_management_service_is_enough(void **state)
{
	(void)state;
	unsigned counter = 0;
	struct world *w =
		world_http(&(struct fake_options){ .nodes = 3, .vbuckets = 16, .replicas = 1 });
	write_some(w, 16, 300, &counter);
	world_open(w);
	settle(w, 16, PATIENCE);
	fake_failover_node(w->fake, 0); /* the seed is gone for good */
	write_some(w, 16, 100, &counter);
	settle(w, 16, PATIENCE);
	assert_false(world_status(w).map_over_http); /* the data service does it now */
	world_free(w);
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
		struct world *w = world_http(&(struct fake_options){ .nodes = 1, .vbuckets = 4 });
		w->o.password = rows[i].password;
		w->o.bucket = rows[i].bucket;
		w->o.connect_timeout = 2 * PATIENCE;
		nsec before = now();
		assert_int_equal(dcp_source_open(&w->o, &s, &e), rows[i].code);
		assert_true(now() - before < PATIENCE); /* it is not tried until the time is up */
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

/* It finds nobody, and says so within `limit`. A busy machine may spoil one try or another: who takes longer by itself
 * does so in each. */
static bool given_up_after(struct world *w, struct err *e, nsec limit)
{
	nsec took = limit;
	for (int i = 0; i < 8 && took >= limit; i++) {
		struct dcp_source *s;
		nsec before = now();
		assert_int_equal(dcp_source_open(&w->o, &s, e), ERR_TIMEOUT);
		took = now() - before;
	}
	return took < limit;
}

static void a_silent_management_service_delays_nobody(void **state)
{
	(void)state;
	uint16_t port;
	int fd = silent_listener(&port);
	struct err e = ERR_INIT;
	struct world *w = world_http(&(struct fake_options){ .nodes = 1, .vbuckets = 4 });
	(void)snprintf(w->seed, sizeof(w->seed), "http://127.0.0.1:%u", port);
	w->o.connect_timeout = 300 * NSEC_PER_MS;
	assert_true(
		given_up_after(w, &e, 2 * NSEC_PER_SEC)); /* and nothing was left to be joined */
	world_free(w);
	(void)close(fd);
}

/* An HTTP server that waits for the end of a request. */
static void *patient_server(void *arg)
{
	int listener = *(int *)arg, fd;
	while ((fd = accept(listener, NULL, NULL)) >= 0) {
		char in[4096];
		ssize_t n, got = 0;
		while (!memmem(in, (size_t)got, "\r\n\r\n", 4) && got < (ssize_t)sizeof(in) &&
		       (n = read(fd, in + got, sizeof(in) - (size_t)got)) > 0)
			got += n;
		static const char answer[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
		(void)!write(fd, answer, sizeof(answer) - 1);
		(void)close(fd);
	}
	return NULL;
}

/* One connection waits for it while another one asks: the server takes them one by one. */
static void a_port_that_waits_for_more_is_asked_what_it_speaks(void **state)
{
	(void)state;
	uint16_t port;
	int fd = silent_listener(&port);
	pthread_t thread[2];
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, patient_server, &fd), 0);
	struct err e = ERR_INIT;
	struct dcp_source *s;
	struct world *w = world_new(&(struct fake_options){ .nodes = 1, .vbuckets = 4 });
	(void)snprintf(w->seed, sizeof(w->seed), "127.0.0.1:%u", port);
	w->o.connect_timeout = 20 * NSEC_PER_SEC;
	nsec before = now();
	assert_int_equal(dcp_source_open(&w->o, &s, &e), ERR_WRONG_PORT);
	assert_true(now() - before < 3 * NSEC_PER_SEC);
	assert_non_null(strstr(e.msg, "speaks HTTP"));
	world_free(w);
	(void)shutdown(fd, SHUT_RDWR);
	for (int i = 0; i < 2; i++)
		(void)pthread_join(thread[i], NULL);
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

static void the_records_of_a_service_are_its_nodes(void **state)
{
	(void)state;
	unsigned counter = 0;
	struct world *w = world_new(&(struct fake_options){ .nodes = 2, .vbuckets = 8 });
	static const char *const names[] = { "db.test", "couchbase://db.test", "long.test" };
	write_some(w, 8, 200, &counter);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct dns_server d = { .target = "127.0.0.1",
					.port = fake_kv_port(w->fake, 1),
					.records = i == 2 ? 50 : 1 }; /* over TCP */
		dns_server_start(&d);
		w->seeds[0] = names[i];
		w->o.dns_server = d.address;
		world_open(w);
		settle(w, 8, PATIENCE);
		world_close(w);
		dns_server_stop(&d);
	}
	world_free(w);
}

static void without_records_the_host_itself_is_asked(void **state)
{
	(void)state;
	for (int silent = 0; silent < 2; silent++) {
		struct world *w = world_new(&(struct fake_options){ .nodes = 1, .vbuckets = 4 });
		struct dns_server d = { .silent = silent };
		struct err e = ERR_INIT;
		dns_server_start(&d);
		w->seeds[0] = "db.invalid";
		w->o.dns_server = d.address;
		w->o.connect_timeout = 900 * NSEC_PER_MS;
		assert_true(given_up_after(w, &e, 3 * NSEC_PER_SEC));
		assert_non_null(strstr(e.msg, "db.invalid")); /* it was looked up */
		world_free(w);
		dns_server_stop(&d);
	}
}

/* One document written and read by way of the seed. The first error. */
static int write_and_read(struct world *w, const char *dns, const char *password, struct err *e)
{
	struct conn_options conn = { .env = env_posix(),
				     .user = "Administrator",
				     .password = password,
				     .bucket = "default",
				     .cache = &(struct scram_cache){ .mechanism = SASL_NONE },
				     .connect_timeout = PATIENCE,
				     .noop = PATIENCE };
	struct kv_options o = { .conn = &conn,
				.seeds = w->seeds,
				.n_seeds = 1,
				.timeout = PATIENCE,
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
	struct world *w = world_http(&(struct fake_options){ .nodes = 2, .vbuckets = 8 });
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

	w = world_http(&(struct fake_options){ .nodes = 2, .vbuckets = 8, .external = true });
	assert_ok(write_and_read(w, NULL, "password", &e), &e);
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
		struct world *w = world_http(&(struct fake_options){
			.nodes = 2, .vbuckets = 8, .replicas = 1, .external = true });
		if (!rows[i].http)
			(void)snprintf(w->seed, sizeof(w->seed), "127.0.0.1:%u",
				       fake_kv_port(w->fake, 0));
		w->o.network = rows[i].network;
		write_some(w, 8, 200, &counter);
		world_open(w);
		if (rows[i].reaches) {
			settle(w, 8, PATIENCE);
			fake_failover_node(w->fake, 0);
			write_some(w, 8, 100, &counter);
			settle(w, 8, PATIENCE);
		} else {
			nsec deadline = now() + PATIENCE;
			while (!strstr(world_status(w).last_error, "node-") && now() < deadline)
				(void)pump_once(w, 10 * NSEC_PER_MS);
			assert_non_null(strstr(world_status(w).last_error, "node-"));
			assert_int_equal(w->events, 0);
		}
		world_free(w);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_seed_of_the_management_service_is_enough),
		cmocka_unit_test(what_the_management_service_refuses_is_said_at_once),
		cmocka_unit_test(a_silent_management_service_delays_nobody),
		cmocka_unit_test(a_port_that_waits_for_more_is_asked_what_it_speaks),
		cmocka_unit_test(bad_seeds_are_refused_before_anything_is_connected),
		cmocka_unit_test(the_records_of_a_service_are_its_nodes),
		cmocka_unit_test(without_records_the_host_itself_is_asked),
		cmocka_unit_test(documents_are_reached_by_the_same_hosts),
		cmocka_unit_test(the_external_network_is_used_where_only_it_leads_anywhere),
	};
	return cmocka_run_group_tests_name("dcp/e2e seed", tests, NULL, NULL);
}
