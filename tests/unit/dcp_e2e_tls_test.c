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

static int make_certificates(void **state)
{
	(void)state;
	(void)snprintf(folder, sizeof(folder), "%s", test_tmpdir());
	static const char one[] =
		"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
		"-subj /CN=test -addext subjectAltName=IP:127.0.0.1,DNS:node.test "
		"-keyout %s/%s.key -out %s/%s.pem >/dev/null 2>&1";
	if (!make(one, "node", "node") || !make(one, "other", "other")) {
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
	static char path[4][300];
	static unsigned next;
	char *p = path[next++ % 4];
	(void)snprintf(p, sizeof(path[0]), "%s/%s", folder, name);
	return p;
}

static struct world *tls_world(struct tls_options *t)
{
	struct world *w = world_new(&(struct fake_options){ .nodes = 2,
							    .vbuckets = 16,
							    .tls_cert = in_folder("node.pem"),
							    .tls_key = in_folder("node.key") });
	(void)snprintf(w->seed, sizeof(w->seed), "127.0.0.1:%u", fake_kvs_port(w->fake, 0));
	w->o.tls = t;
	w->o.connect_timeout = 2 * NSEC_PER_SEC;
	return w;
}

static void a_trusted_cluster_is_read_over_tls(void **state)
{
	(void)state;
	unsigned counter = 0;
	if (!folder[0])
		skip();
	struct tls_options t = { .ca_file = in_folder("node.pem") };
	struct world *w = tls_world(&t);
	write_some(w, 16, 500, &counter);
	world_open(w);
	settle(w, 16, 10 * NSEC_PER_SEC);
	fake_drop_connections(w->fake, -1);
	write_some(w, 16, 500, &counter);
	settle(w, 16, 10 * NSEC_PER_SEC);
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
		struct world *w = tls_world(&t);
		int rc = dcp_source_open(&w->o, &s, &e);
		if (rc != rows[i].code)
			fail_msg("row %zu: %d %s", i, rc, e.msg);
		if (rc == 0)
			assert_ok(dcp_source_close(s, &e), &e);
		world_free(w);
	}
}

static void a_plain_client_on_a_tls_port_gets_an_error_in_time(void **state)
{
	(void)state;
	if (!folder[0])
		skip();
	struct err e = ERR_INIT;
	struct dcp_source *s = NULL;
	struct world *w = tls_world(NULL);
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
		cmocka_unit_test(a_plain_client_on_a_tls_port_gets_an_error_in_time),
	};
	return cmocka_run_group_tests_name("dcp/e2e tls", tests, make_certificates,
					   remove_certificates);
}
