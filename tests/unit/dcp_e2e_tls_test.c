/* TLS against the simulated cluster: certificates are made here with the openssl program, and the test is skipped where
 * there is none. */
#include "tests/dcp_world.h"

#include "dcp/kv.h"
#include "net/tls.h"

static char folder[256];

static bool make(const char *fmt, const char *a, const char *b)
{
	char command[1024];
	int n = snprintf(command, sizeof(command), fmt, folder, a, folder, b);
	(void)n;
	return system(command) == 0;
}

/* A client's certificate in name.pem and name.key, signed by signer. */
static bool sign(const char *name, const char *common_name, const char *signer)
{
	char command[2048];
	int n = snprintf(
		command, sizeof(command),
		"cd %s && openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
		"-subj '/CN=%s' -keyout %s.key -out %s.csr >/dev/null 2>&1 && "
		"openssl x509 -req -in %s.csr -CA %s.pem -CAkey %s.key -CAcreateserial -days 2 "
		"-out %s.pem >/dev/null 2>&1",
		folder, common_name, name, name, name, signer, signer, name);
	return n > 0 && (size_t)n < sizeof(command) && system(command) == 0;
}

static int make_certificates(void **state)
{
	(void)state;
	(void)snprintf(folder, sizeof(folder), "%s", test_tmpdir());
	static const char one[] =
		"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
		"-subj /CN=test -addext subjectAltName=IP:127.0.0.1,DNS:node.test "
		"-keyout %s/%s.key -out %s/%s.pem >/dev/null 2>&1";
	if (!make(one, "node", "node") || !make(one, "other", "other") ||
	    !sign("admin", "Administrator", "node") || !sign("nobody", "nobody", "node") ||
	    !sign("foreign", "Administrator", "other")) {
		print_message("no openssl program: TLS is not tested\n");
		folder[0] = '\0';
	}
	return 0;
}

static int remove_certificates(void **state)
{
	(void)state;
	if (folder[0])
		test_rmdir(folder);
	return 0;
}

static char *in_folder(const char *name)
{
	static char path[16][400];
	static unsigned next;
	char *p = path[next++ % 16];
	(void)snprintf(p, sizeof(path[0]), "%s/%s", folder, name);
	return p;
}

enum { MUTUAL = 1, TLS_12 = 2 };

/* Mutual: certificates of clients, signed by node's, are logins. */
static struct world *tls_world(struct tls_options *t, unsigned how)
{
	bool mutual = how & MUTUAL;
	struct world *w =
		world_new(&(struct fake_options){ .nodes = 2,
						  .vbuckets = 16,
						  .tls_12 = how & TLS_12,
						  .replicas = mutual ? 1 : 0,
						  .tls_ca = mutual ? in_folder("node.pem") : NULL,
						  .tls_cert = in_folder("node.pem"),
						  .tls_key = in_folder("node.key") });
	(void)snprintf(w->seed, sizeof(w->seed), "127.0.0.1:%u", fake_kvs_port(w->fake, 0));
	w->o.tls = t;
	w->o.connect_timeout = PATIENCE;
	return w;
}

/* Everything comes, and again after its connections were cut. */
static void read_across_a_cut(struct world *w, unsigned n, unsigned *counter)
{
	write_some(w, 16, n, counter);
	world_open(w);
	settle(w, 16, PATIENCE);
	fake_drop_connections(w->fake, -1);
	write_some(w, 16, n, counter);
	settle(w, 16, PATIENCE);
}

static void a_trusted_cluster_is_read_over_tls(void **state)
{
	(void)state;
	unsigned counter = 0;
	if (!folder[0])
		skip();
	struct tls_options t = { .ca_file = in_folder("node.pem") };
	struct world *w = tls_world(&t, 0);
	read_across_a_cut(w, 500, &counter);
	assert_true(w->duplicates == 0);
	world_free(w);
}

static void certificates_that_do_not_fit_are_refused(void **state)
{
	(void)state;
	if (!folder[0])
		skip();
	static const struct {
		const char *ca, *name;
		bool insecure;
		int code;
	} rows[] = {
		{ "other.pem", NULL, false, ERR_AUTH },        /* signed by somebody else */
		{ "node.pem", "wrong.test", false, ERR_AUTH }, /* another host's */
		{ "node.pem", "node.test", false, 0 },         { "other.pem", NULL, true, 0 },
		{ "none.pem", NULL, false, ERR_INVALID }, /* trying again does not help */
		{ "node.key", NULL, false, ERR_INVALID },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = ERR_INIT;
		struct dcp_source *s = NULL;
		struct tls_options t = { .ca_file = in_folder(rows[i].ca),
					 .server_name = rows[i].name,
					 .insecure = rows[i].insecure };
		struct world *w = tls_world(&t, 0);
		int rc = dcp_source_open(&w->o, &s, &e);
		if (rc != rows[i].code)
			fail_msg("row %zu: %d %s", i, rc, e.msg);
		if (rc == 0)
			assert_ok(dcp_source_close(s, &e), &e);
		world_free(w);
	}
}

/* In the middle of what it sends, with acknowledgements of the window on the way back. */
static void change_keys_in_mid_stream(bool tls_12, size_t value_bytes)
{
	unsigned counter = 0;
	if (!folder[0])
		skip();
	struct tls_options t = { .ca_file = in_folder("node.pem") };
	struct world *w = tls_world(&t, tls_12 ? TLS_12 : 0);
	struct fake_stats before, after;
	char *value = malloc(value_bytes);
	w->o.window_bytes = 16 << 10;
	world_open(w);
	write_some(w, 16, 50, &counter);
	settle(w, 16, 10 * NSEC_PER_SEC); /* every node is connected */
	fake_fault(w->fake, &(struct fake_fault){ .kind = FAKE_REKEY, .node = -1, .n = 1000 });
	fake_stats(w->fake, &before);
	for (int round = 0; round < 40; round++) {
		for (unsigned vb = 0; vb < 16; vb++) {
			memset(value, 'a' + round % 26, value_bytes);
			(void)fake_set(w->fake, vb, 0, "big", slice_of(value, value_bytes));
		}
		write_some(w, 16, 200, &counter);
		(void)pump_once(w, NSEC_PER_MS);
		if (round % 2)
			settle(w, 16, 10 * NSEC_PER_SEC);
	}
	settle(w, 16, 10 * NSEC_PER_SEC);
	fake_stats(w->fake, &after);
	print_message("TLS 1.%d, %u KB: %u changes of keys\n", tls_12 ? 2 : 3,
		      (unsigned)((after.bytes_sent - before.bytes_sent) >> 10),
		      (unsigned)(after.rekeys - before.rekeys));
	assert_true(after.rekeys - before.rekeys > 50);
	assert_int_equal(after.connections, before.connections); /* nobody was lost */
	assert_int_equal(world_status(w).reconnects, 0);
	assert_true(w->duplicates == 0);
	free(value);
	world_free(w);
}

static void b7_a_renegotiation_in_mid_stream_costs_no_byte(void **state)
{
	(void)state;
	change_keys_in_mid_stream(true, 200);
	change_keys_in_mid_stream(true, 20000);
}

static void b7_a_key_update_in_mid_stream_costs_no_byte(void **state)
{
	(void)state;
	change_keys_in_mid_stream(false, 200);
	change_keys_in_mid_stream(false, 20000);
}

static struct world *mutual_world(struct tls_options *t, const char *name)
{
	char file[64];
	struct world *w = tls_world(t, MUTUAL);
	t->ca_file = in_folder("node.pem");
	(void)snprintf(file, sizeof(file), "%s.pem", name);
	t->cert_file = in_folder(file);
	(void)snprintf(file, sizeof(file), "%s.key", name);
	t->key_file = in_folder(file);
	w->o.user = w->o.password = NULL; /* the certificate is all there is */
	return w;
}

static void a_certificate_of_the_client_is_its_login(void **state)
{
	(void)state;
	unsigned counter = 0;
	if (!folder[0])
		skip();
	for (int http = 0; http < 2; http++) {
		struct tls_options t = { 0 };
		struct world *w = mutual_world(&t, "admin");
		if (http)
			(void)snprintf(w->seed, sizeof(w->seed), "https://127.0.0.1:%u",
				       fake_https_port(w->fake, 0));
		w->o.mitigation.policy = MITIGATE_ALL; /* its connections log in, too */
		read_across_a_cut(w, 300, &counter);
		world_free(w);
	}
}

static void a_certificate_of_nobody_is_refused(void **state)
{
	(void)state;
	if (!folder[0])
		skip();
	static const struct {
		const char *name;
		int code;
	} rows[] = {
		{ "nobody", ERR_AUTH },     /* a good certificate, no such user */
		{ "foreign", ERR_NET },     /* signed by somebody else: no TLS session */
		{ "missing", ERR_INVALID }, /* no such file */
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = ERR_INIT;
		struct dcp_source *s = NULL;
		struct tls_options t = { 0 };
		struct world *w = mutual_world(&t, rows[i].name);
		w->o.connect_timeout = NSEC_PER_SEC;
		int rc = dcp_source_open(&w->o, &s, &e);
		if (rc != rows[i].code && rc != ERR_TIMEOUT)
			fail_msg("row %zu: %d %s", i, rc, e.msg);
		world_free(w);
	}
}

static void maps_come_over_https_from_a_trusted_management_service_only(void **state)
{
	(void)state;
	unsigned counter = 0;
	if (!folder[0])
		skip();
	struct tls_options t = { .ca_file = in_folder("node.pem") };
	struct world *w = tls_world(&t, 0);
	(void)snprintf(w->seed, sizeof(w->seed), "https://127.0.0.1:%u",
		       fake_https_port(w->fake, 0));
	fake_fault(w->fake, &(struct fake_fault){ .kind = FAKE_STATUS,
						  .node = -1,
						  .vb = -1,
						  .opcode = 0xb5,
						  .status = 0x81,
						  .count = UINT32_MAX });
	write_some(w, 16, 300, &counter);
	world_open(w);
	settle(w, 16, PATIENCE);
	struct dcp_status st;
	assert_int_equal(dcp_source_status(w->source, &st, NULL, NULL), 0);
	assert_true(st.map_over_http);
	world_close(w);

	struct err e = ERR_INIT;
	t.ca_file = in_folder("other.pem");
	assert_int_equal(dcp_source_open(&w->o, &w->source, &e), ERR_AUTH);
	world_free(w);
}

/* Every kind of port, asked for every other one. */
static void a_wrong_port_is_named_at_once(void **state)
{
	(void)state;
	enum { KV, KVS, HTTP, HTTPS };
	static const struct {
		const char *scheme;
		int port;
		const char *says, *use;
	} rows[] = {
		{ "couchbase", KVS, "speaks TLS", "use couchbases://" },
		{ "couchbase", HTTP, "speaks HTTP:", "use http://" },
		{ "couchbase", HTTPS, "speaks TLS", "use couchbases://" },
		{ "couchbases", KV, "speaks the data service's protocol without TLS",
		  "use couchbase://" },
		{ "couchbases", HTTP, "speaks HTTP without TLS", "use http://" },
		{ "couchbases", HTTPS, "speaks HTTP:", "use https://" },
		{ "http", KV, "speaks the data service's protocol:", "use couchbase://" },
		{ "http", KVS, "speaks TLS", "use https://" },
		{ "http", HTTPS, "speaks TLS", "use https://" },
		{ "https", KV, "speaks the data service's protocol without TLS",
		  "use couchbase://" },
		{ "https", KVS, "speaks the data service's protocol:", "use couchbases://" },
		{ "https", HTTP, "speaks HTTP without TLS", "use http://" },
	};
	if (!folder[0])
		skip();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = ERR_INIT;
		struct dcp_source *s = NULL;
		struct tls_options t = { .ca_file = in_folder("node.pem") };
		struct world *w = tls_world(NULL, 0);
		uint16_t port = rows[i].port == KV     ? fake_kv_port(w->fake, 0)
				: rows[i].port == KVS  ? fake_kvs_port(w->fake, 0)
				: rows[i].port == HTTP ? fake_http_port(w->fake, 0)
						       : fake_https_port(w->fake, 0);
		char where[32];
		(void)snprintf(where, sizeof(where), "127.0.0.1:%u ", port);
		(void)snprintf(w->seed, sizeof(w->seed), "%s://127.0.0.1:%u", rows[i].scheme, port);
		if (rows[i].scheme[strlen(rows[i].scheme) - 1] == 's')
			w->o.tls = &t;
		w->o.connect_timeout = 20 * NSEC_PER_SEC;
		nsec before = now();
		int rc = dcp_source_open(&w->o, &s, &e);
		if (rc != ERR_WRONG_PORT || !strstr(e.msg, rows[i].says) ||
		    !strstr(e.msg, rows[i].use) || !strstr(e.msg, where))
			fail_msg("row %zu: %d %s", i, rc, e.msg);
		if (now() - before > NSEC_PER_SEC)
			fail_msg("row %zu took %d ms", i, (int)((now() - before) / NSEC_PER_MS));
		world_free(w);
	}
}

static void a_wrong_port_among_good_ones_does_not_matter(void **state)
{
	(void)state;
	unsigned counter = 0;
	if (!folder[0])
		skip();
	struct world *w = tls_world(NULL, 0);
	char good[64];
	const char *seeds[2] = { w->seed, good };
	(void)snprintf(good, sizeof(good), "127.0.0.1:%u", fake_kv_port(w->fake, 1));
	w->o.seeds = seeds;
	w->o.n_seeds = 2;
	write_some(w, 16, 300, &counter);
	world_open(w);
	settle(w, 16, 10 * NSEC_PER_SEC);
	world_free(w);
}

static void a_client_whose_certificate_is_refused_is_not_told_of_a_wrong_port(void **state)
{
	(void)state;
	if (!folder[0])
		skip();
	struct err e = ERR_INIT;
	struct dcp_source *s = NULL;
	struct tls_options t = { 0 };
	struct world *w = mutual_world(&t, "foreign");
	w->o.connect_timeout = NSEC_PER_SEC;
	assert_int_equal(dcp_source_open(&w->o, &s, &e), ERR_TIMEOUT);
	assert_null(strstr(e.msg, "speaks"));
	world_free(w);
}

static void documents_behind_a_wrong_port_are_an_error_at_once(void **state)
{
	(void)state;
	if (!folder[0])
		skip();
	struct world *w = tls_world(NULL, 0);
	struct conn_options conn = { .env = env_posix(),
				     .user = "Administrator",
				     .password = "password",
				     .bucket = "default",
				     .cache = &(struct scram_cache){ .mechanism = SASL_NONE },
				     .connect_timeout = 20 * NSEC_PER_SEC,
				     .noop = NSEC_PER_SEC };
	struct kv_options o = {
		.conn = &conn, .seeds = w->seeds, .n_seeds = 1, .timeout = 20 * NSEC_PER_SEC
	};
	for (int http = 0; http < 2; http++) {
		struct err e = ERR_INIT;
		struct kv *kv;
		AUTO(buf) struct buf got = BUF_INIT;
		struct kv_request get = { .op = KV_GET, .key = SLICE_LIT("a"), .out = &got };
		if (http)
			(void)snprintf(w->seed, sizeof(w->seed), "http://127.0.0.1:%u",
				       fake_https_port(w->fake, 0));
		nsec before = now();
		assert_ok(kv_open(&o, &kv, &e), &e);
		assert_int_equal(kv_run(kv, &get, 1, &e), ERR_WRONG_PORT);
		assert_true(now() - before < NSEC_PER_SEC);
		kv_free(kv);
	}
	world_free(w);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_trusted_cluster_is_read_over_tls),
		cmocka_unit_test(b7_a_renegotiation_in_mid_stream_costs_no_byte),
		cmocka_unit_test(b7_a_key_update_in_mid_stream_costs_no_byte),
		cmocka_unit_test(certificates_that_do_not_fit_are_refused),
		cmocka_unit_test(a_certificate_of_the_client_is_its_login),
		cmocka_unit_test(a_certificate_of_nobody_is_refused),
		cmocka_unit_test(maps_come_over_https_from_a_trusted_management_service_only),
		cmocka_unit_test(a_wrong_port_is_named_at_once),
		cmocka_unit_test(a_wrong_port_among_good_ones_does_not_matter),
		cmocka_unit_test(a_client_whose_certificate_is_refused_is_not_told_of_a_wrong_port),
		cmocka_unit_test(documents_behind_a_wrong_port_are_an_error_at_once),
	};
	return cmocka_run_group_tests_name("dcp/e2e tls", tests, make_certificates,
					   remove_certificates);
}
