/* TLS against the simulated cluster: certificates are made here with the openssl program, and the test is skipped where
 * there is none. */
#include "tests/dcp_world.h"

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

/* Mutual: certificates of clients, signed by node's, are logins. */
static struct world *tls_world(struct tls_options *t, bool mutual)
{
	struct world *w =
		world_new(&(struct fake_options){ .nodes = 2,
						  .vbuckets = 16,
						  .replicas = mutual ? 1 : 0,
						  .tls_ca = mutual ? in_folder("node.pem") : NULL,
						  .tls_cert = in_folder("node.pem"),
						  .tls_key = in_folder("node.key") });
	(void)snprintf(w->seed, sizeof(w->seed), "127.0.0.1:%u", fake_kvs_port(w->fake, 0));
	w->o.tls = t;
	w->o.connect_timeout = 2 * NSEC_PER_SEC;
	return w;
}

/* Everything comes, and again after its connections were cut. */
static void read_across_a_cut(struct world *w, unsigned n, unsigned *counter)
{
	write_some(w, 16, n, counter);
	world_open(w);
	settle(w, 16, 10 * NSEC_PER_SEC);
	fake_drop_connections(w->fake, -1);
	write_some(w, 16, n, counter);
	settle(w, 16, 10 * NSEC_PER_SEC);
}

static void a_trusted_cluster_is_read_over_tls(void **state)
{
	(void)state;
	unsigned counter = 0;
	if (!folder[0])
		skip();
	struct tls_options t = { .ca_file = in_folder("node.pem") };
	struct world *w = tls_world(&t, false);
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
		{ "none.pem", NULL, false, ERR_NET },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = ERR_INIT;
		struct dcp_source *s = NULL;
		struct tls_options t = { .ca_file = in_folder(rows[i].ca),
					 .server_name = rows[i].name,
					 .insecure = rows[i].insecure };
		struct world *w = tls_world(&t, false);
		int rc = dcp_source_open(&w->o, &s, &e);
		if (rc != rows[i].code)
			fail_msg("row %zu: %d %s", i, rc, e.msg);
		if (rc == 0)
			assert_ok(dcp_source_close(s, &e), &e);
		world_free(w);
	}
}

static struct world *mutual_world(struct tls_options *t, const char *name)
{
	char file[64];
	struct world *w = tls_world(t, true);
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
		{ "nobody", ERR_AUTH }, /* a good certificate, no such user */
		{ "foreign", ERR_NET }, /* signed by somebody else: no TLS session */
		{ "missing", ERR_NET }, /* no such file */
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
	struct world *w = tls_world(&t, false);
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
	settle(w, 16, 10 * NSEC_PER_SEC);
	struct dcp_status st;
	assert_int_equal(dcp_source_status(w->source, &st, NULL, NULL), 0);
	assert_true(st.map_over_http);
	world_close(w);

	struct err e = ERR_INIT;
	t.ca_file = in_folder("other.pem");
	assert_int_equal(dcp_source_open(&w->o, &w->source, &e), ERR_AUTH);
	world_free(w);
}

static void a_plain_client_on_a_tls_port_gets_an_error_in_time(void **state)
{
	(void)state;
	if (!folder[0])
		skip();
	struct err e = ERR_INIT;
	struct dcp_source *s = NULL;
	struct world *w = tls_world(NULL, false);
	w->o.connect_timeout = NSEC_PER_SEC;
	w->o.noop = 200 * NSEC_PER_MS;
	int rc = dcp_source_open(&w->o, &s, &e);
	assert_true(rc == ERR_TIMEOUT || rc == ERR_NET || rc == ERR_PROTOCOL);
	world_free(w);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_trusted_cluster_is_read_over_tls),
		cmocka_unit_test(certificates_that_do_not_fit_are_refused),
		cmocka_unit_test(a_certificate_of_the_client_is_its_login),
		cmocka_unit_test(a_certificate_of_nobody_is_refused),
		cmocka_unit_test(maps_come_over_https_from_a_trusted_management_service_only),
		cmocka_unit_test(a_plain_client_on_a_tls_port_gets_an_error_in_time),
	};
	return cmocka_run_group_tests_name("dcp/e2e tls", tests, make_certificates,
					   remove_certificates);
}
