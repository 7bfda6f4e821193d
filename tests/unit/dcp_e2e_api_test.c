/* The public interface against the simulated cluster. */
#include "tests/test.h"

#include "tests/dcp_client.h"
#include "tests/fake/couchbase/fake.h"

#include <stdio.h>
#include <string.h>

static unsigned drain(weir_dcp *d, unsigned want)
{
	weir_error e = WEIR_ERROR_INIT;
	const weir_dcp_event *events;
	size_t n;
	unsigned got = 0;
	while (got < want && weir_dcp_poll(d, PATIENCE_MS, &events, &n, &e) == 1) {
		for (size_t i = 0; i < n; i++) {
			weir_dcp_info info = { .size = sizeof(info) };
			weir_dcp_event_info(d, weir_dcp_event_at(events, i), &info);
			assert_int_equal(info.kind, WEIR_DCP_MUTATION);
			assert_true(info.seqno >= info.snapshot_start &&
				    info.seqno <= info.snapshot_end);
			assert_string_equal(info.collection, "_default");
			assert_int_equal(info.value_len, 7);
			assert_memory_equal(info.value, "{\"a\":1}", 7);
			got++;
		}
		assert_int_equal(weir_dcp_ack(d, events, n), 0);
	}
	return got;
}

static void a_program_reads_saves_and_resumes(void **state)
{
	(void)state;
	weir_error e = WEIR_ERROR_INIT;
	char hosts[64], path[300], folder[256];
	struct fake *f = fake_start(&(struct fake_options){ .nodes = 2, .vbuckets = 16 });
	assert_non_null(f);
	(void)snprintf(folder, sizeof(folder), "%s", test_tmpdir());
	(void)snprintf(path, sizeof(path), "%s/cp.json", folder);
	(void)snprintf(hosts, sizeof(hosts), "127.0.0.1:%u,127.0.0.1:%u", fake_kv_port(f, 0),
		       fake_kv_port(f, 1));
	weir_dcp_options o = client_options(hosts);
	o.checkpoint_file = path;
	for (unsigned round = 1; round <= 3; round++) {
		weir_dcp *d;
		for (unsigned i = 0; i < 100; i++) {
			char key[24];
			(void)snprintf(key, sizeof(key), "k%u-%u", round, i);
			(void)fake_set(f, i % 16, 0, key, SLICE_LIT("{\"a\":1}"));
		}
		assert_int_equal(weir_dcp_open(&o, &d, &e), 0);
		assert_int_equal(weir_dcp_vbuckets(d), 16);
		assert_int_equal(weir_dcp_assign_share(d, 1, 1, &e), 0);
		assert_int_equal(drain(d, 100), 100);
		const weir_dcp_event *events;
		size_t n;
		assert_int_equal(weir_dcp_poll(d, 50, &events, &n, &e), 0);
		if (round == 2)
			assert_int_equal(weir_dcp_commit(d, &e), 0);
		weir_dcp_stats st = { .size = sizeof(st) };
		assert_int_equal(weir_dcp_stats_get(d, &st), 0);
		assert_true(st.assigned == 16 && st.streaming == 16 && st.events == 100 &&
			    st.nodes == 2);
		assert_int_equal(weir_dcp_close(d, &e), 0);
	}
	fake_stop(f);
	test_rmdir(folder);
}

static void checkpoints_may_live_in_the_bucket_and_tokens_with_the_caller(void **state)
{
	(void)state;
	weir_error e = WEIR_ERROR_INIT;
	char hosts[64];
	struct fake *f = fake_start(&(struct fake_options){ .nodes = 2, .vbuckets = 16 });
	assert_non_null(f);
	(void)snprintf(hosts, sizeof(hosts), "127.0.0.1:%u", fake_kv_port(f, 0));
	weir_dcp_options o = client_options(hosts);
	o.checkpoint_bucket = "default";
	weir_dcp *d;
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 50; i++) {
			char key[24];
			(void)snprintf(key, sizeof(key), "k%u-%u", round, i);
			(void)fake_set(f, i % 16, 0, key, SLICE_LIT("{\"a\":1}"));
		}
		assert_int_equal(weir_dcp_open(&o, &d, &e), 0);
		assert_int_equal(weir_dcp_assign_share(d, 1, 1, &e), 0);
		assert_int_equal(drain(d, 50), 50);
		assert_int_equal(weir_dcp_close(d, &e), 0);
	}
	weir_buffer token = WEIR_BUFFER_INIT;
	o.checkpoint_bucket = NULL;
	o.filter = weir_json("{\"documentKey._id\":\"k1-7\"}");
	unsigned found = 0, seen = 0;
	for (unsigned round = 0; round < 2;
	     round++) { /* the second one resumes behind everything */
		const weir_dcp_event *events;
		size_t n;
		o.resume_after = round ? (const char *)token.data : NULL;
		assert_int_equal(weir_dcp_open(&o, &d, &e), 0);
		assert_int_equal(weir_dcp_assign_share(d, 1, 1, &e), 0);
		while (weir_dcp_poll(d, round ? 300 : PATIENCE_MS, &events, &n, &e) == 1) {
			for (size_t i = 0; i < n; i++) {
				weir_doc doc;
				found += weir_dcp_event_doc(d, weir_dcp_event_at(events, i), &doc,
							    &e) == 1;
				seen++;
			}
			if (seen >= 100 && round == 0)
				break;
		}
		weir_buffer_clear(&token);
		if (round == 0)
			assert_int_equal(weir_dcp_token(d, &token, &e), 0);
		assert_int_equal(weir_dcp_close(d, &e), 0);
	}
	assert_int_equal(found, 1);
	assert_int_equal(seen, 100);
	o.resume_after = "00";
	assert_int_equal(weir_dcp_open(&o, &d, &e), WEIR_ERR_TOKEN_CORRUPT);
	o.filter = weir_json("{\"a\":{\"$nope\":1}}");
	assert_int_equal(weir_dcp_open(&o, &d, &e), WEIR_ERR_INVALID);
	weir_buffer_free(&token);
	fake_stop(f);
}

static void arguments_that_make_no_sense_are_refused(void **state)
{
	(void)state;
	weir_error e = WEIR_ERROR_INIT;
	weir_dcp *d;
	weir_dcp_options o = { .size = sizeof(o), .hosts = "a,,b", .bucket = "b", .group = "g" };
	assert_int_equal(weir_dcp_open(NULL, &d, &e), WEIR_ERR_INVALID);
	assert_int_equal(weir_dcp_open(&o, &d, &e), WEIR_ERR_INVALID);
	o.hosts = "127.0.0.1:1";
	o.mitigation = (enum weir_dcp_mitigation)77;
	assert_int_equal(weir_dcp_open(&o, &d, &e), WEIR_ERR_INVALID);
	assert_string_equal(e.message, "mitigation is 77, which is none of its choices");
	o.mitigation = WEIR_DCP_MITIGATE_NONE;
	o.network = (enum weir_dcp_network)3;
	assert_int_equal(weir_dcp_open(&o, &d, &e), WEIR_ERR_INVALID);
	o.network = WEIR_DCP_NETWORK_AUTO;
	assert_int_equal(weir_dcp_open(&o, &d, &e), WEIR_ERR_INVALID);
	assert_string_equal(e.message, "no user");
	o.user = "u";
	o.tls_ca = "ca.pem"; /* but the password would go in the clear */
	assert_int_equal(weir_dcp_open(&o, &d, &e), WEIR_ERR_INVALID);
	assert_non_null(strstr(e.message, "without tls"));
	o.tls_ca = NULL;
	o.hosts = NULL;
	assert_int_equal(weir_dcp_open(&o, &d, &e), WEIR_ERR_INVALID);
	o.size = 0;
	assert_int_equal(weir_dcp_open(&o, &d, &e), WEIR_ERR_INVALID);
	assert_int_equal(weir_dcp_close(NULL, &e), 0);
	assert_int_equal(weir_dcp_ack(NULL, NULL, 0), WEIR_ERR_INVALID);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_program_reads_saves_and_resumes),
		cmocka_unit_test(checkpoints_may_live_in_the_bucket_and_tokens_with_the_caller),
		cmocka_unit_test(arguments_that_make_no_sense_are_refused),
	};
	return cmocka_run_group_tests_name("dcp/e2e api", tests, NULL, NULL);
}
