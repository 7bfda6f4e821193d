#include "tests/test.h"

#include "dcp/seed.h"

static void seeds_are_read_as_people_write_them(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool tls;
		const char *host; /* NULL: refused */
		uint16_t port;
		bool http, service;
	} rows[] = {
		{ "db.test", false, "db.test", 11210, false, true },
		{ "db.test", true, "db.test", 11207, false, true },
		{ "db.test:12000", false, "db.test", 12000, false, false },
		{ "10.0.0.1", false, "10.0.0.1", 11210, false, false },
		{ "localhost", false, "localhost", 11210, false, false },
		{ "::1", false, "::1", 11210, false, false },
		{ "[::1]", false, "::1", 11210, false, false },
		{ "[::1]:9", true, "::1", 9, false, false },
		{ "couchbase://db.test", false, "db.test", 11210, false, true },
		{ "Couchbases://db.test/", true, "db.test", 11207, false, true },
		{ "couchbase://db.test:12000", true, "db.test", 12000, false, false },
		{ "db.test:8091", false, "db.test", 8091, true, false },
		{ "db.test:18091", true, "db.test", 18091, true, false },
		{ "http://db.test", false, "db.test", 8091, true, false },
		{ "http://[::1]:9000/", false, "::1", 9000, true, false },
		{ "https://db.test", true, "db.test", 18091, true, false },
		{ "https://db.test:9001", true, "db.test", 9001, true, false },
		/* the password would go in the clear, or TLS is missing */
		{ "db.test:8091", true, NULL, 0, false, false },
		{ "http://db.test:9000", true, NULL, 0, false, false },
		{ "https://db.test:8091", true, NULL, 0, false, false },
		{ "db.test:18091", false, NULL, 0, false, false },
		{ "couchbases://db.test", false, NULL, 0, false, false },
		{ "couchbase://db.test:8091", false, NULL, 0, false, false },
		/* nothing of the kind */
		{ "", false, NULL, 0, false, false },
		{ ":1", false, NULL, 0, false, false },
		{ "host:", false, NULL, 0, false, false },
		{ "host:0", false, NULL, 0, false, false },
		{ "host:65536", false, NULL, 0, false, false },
		{ "host:x", false, NULL, 0, false, false },
		{ "[::1", false, NULL, 0, false, false },
		{ "[::1]9", false, NULL, 0, false, false },
		{ "[]", false, NULL, 0, false, false },
		{ "http://", false, NULL, 0, false, false },
		{ "http://user:pw@host", false, NULL, 0, false, false },
		{ "host/bucket", false, NULL, 0, false, false },
		{ "ftp://host", false, NULL, 0, false, false },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct seed s;
		struct err e = ERR_INIT;
		int rc = seed_parse(rows[i].text, rows[i].tls, &s, &e);
		if (!rows[i].host) {
			if (rc != ERR_INVALID)
				fail_msg("\"%s\" was taken (%d)", rows[i].text, rc);
			continue;
		}
		assert_ok(rc, &e);
		if (strcmp(s.host, rows[i].host) != 0 || s.port != rows[i].port ||
		    s.http != rows[i].http || seed_may_be_service(&s) != rows[i].service)
			fail_msg("\"%s\": %s port %u%s", rows[i].text, s.host, s.port,
				 s.http ? " http" : "");
	}
}

static void some_ask_for_tls_by_themselves(void **state)
{
	(void)state;
	assert_true(seed_wants_tls("couchbases://a") && seed_wants_tls("https://a:1"));
	assert_true(seed_wants_tls("a:18091"));
	assert_false(seed_wants_tls("a") || seed_wants_tls("couchbase://a:18091") ||
		     seed_wants_tls("http://a") || seed_wants_tls("a:8091") || seed_wants_tls(""));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(seeds_are_read_as_people_write_them),
		cmocka_unit_test(some_ask_for_tls_by_themselves),
	};
	return cmocka_run_group_tests_name("dcp/seed", tests, NULL, NULL);
}
