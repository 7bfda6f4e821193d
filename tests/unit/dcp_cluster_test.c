#include "tests/test.h"

#include "dcp/cluster.h"

#include <string.h>

static const char terse[] =
	"{\"rev\":12,\"revEpoch\":2,\"name\":\"b\",\"uuid\":\"abc\",\"nodeLocator\":\"vbucket\","
	"\"bucketCapabilities\":[\"dcp\",\"collections\"],"
	"\"nodes\":[{},{}],"
	"\"nodesExt\":[{\"services\":{\"kv\":11210,\"kvSSL\":11207,\"mgmt\":8091},\"thisNode\":"
	"true,"
	"\"hostname\":\"$HOST\"},"
	"{\"hostname\":\"n2\",\"services\":{\"kv\":12000,\"mgmt\":9000},"
	"\"alternateAddresses\":{\"external\":{\"hostname\":\"ext2\",\"ports\":{\"kv\":31000}}}},"
	"{\"hostname\":\"n3\",\"services\":{\"mgmt\":8091}}],"
	"\"vBucketServerMap\":{\"hashAlgorithm\":\"CRC\",\"numReplicas\":1,"
	"\"serverList\":[\"$HOST:11210\",\"n2:12000\"],"
	"\"vBucketMap\":[[0,1],[1,-1],[-1,-1],[1,0]]}}";

static struct cluster_map *parsed(const char *json)
{
	struct err e = ERR_INIT;
	struct cluster_map *m;
	assert_ok(cluster_map_parse(slice_str(json), "10.0.0.1", &m, &e), &e);
	return m;
}

static void a_terse_map_says_who_serves_what(void **state)
{
	(void)state;
	struct cluster_map *m = parsed(terse);
	assert_true(m->rev == 12 && m->epoch == 2);
	assert_string_equal(m->uuid, "abc");
	assert_true(m->collections);
	assert_int_equal(m->n_vbuckets, 4);
	assert_int_equal(m->n_replicas, 1);
	assert_int_equal(cluster_owner(m, 0, 0), 0);
	assert_int_equal(cluster_owner(m, 0, 1), 1);
	assert_int_equal(cluster_owner(m, 0, 2), -1);
	assert_int_equal(cluster_owner(m, 1, 1), -1);
	assert_int_equal(cluster_owner(m, 2, 0), -1);
	const char *host;
	uint16_t port;
	assert_true(cluster_address(m, 0, NETWORK_DEFAULT, false, &host, &port));
	assert_string_equal(host, "10.0.0.1"); /* $HOST: whom we asked */
	assert_int_equal(port, 11210);
	assert_true(cluster_address(m, 0, NETWORK_DEFAULT, true, &host, &port));
	assert_int_equal(port, 11207);
	assert_false(cluster_address(m, 1, NETWORK_DEFAULT, true, &host, &port));
	assert_true(cluster_address(m, 1, NETWORK_EXTERNAL, false, &host, &port));
	assert_string_equal(host, "ext2");
	assert_int_equal(port, 31000);
	assert_false(
		cluster_address(m, 2, NETWORK_DEFAULT, false, &host, &port)); /* no data service */
	cluster_map_free(m);
}

static void old_maps_without_extensions_work(void **state)
{
	(void)state;
	struct cluster_map *m =
		parsed("{\"rev\":1,\"vBucketServerMap\":{\"serverList\":[\"h:1\",\"[::1]:2\"],"
		       "\"vBucketMap\":[[1]]}}");
	const char *host;
	uint16_t port;
	assert_int_equal(m->n_nodes, 2);
	assert_true(cluster_address(m, 1, NETWORK_DEFAULT, false, &host, &port));
	assert_string_equal(host, "::1");
	assert_int_equal(port, 2);
	cluster_map_free(m);
}

static void only_a_greater_revision_is_newer(void **state)
{
	(void)state;
	struct cluster_map a = { .epoch = 2, .rev = 5 }, b = a;
	assert_false(cluster_map_newer(&a, &b));
	assert_true(cluster_map_newer(&a, NULL));
	b.rev = 4;
	assert_true(cluster_map_newer(&a, &b));
	b = (struct cluster_map){ .epoch = 3, .rev = 1 };
	assert_false(cluster_map_newer(&a, &b));
	assert_true(cluster_map_newer(&b, &a));
}

static void the_network_is_chosen_by_the_seed(void **state)
{
	(void)state;
	struct cluster_map *m = parsed("{\"rev\":1,\"nodesExt\":[{\"hostname\":\"a\",\"services\":{"
				       "\"kv\":11210},\"alternateAddresses\":"
				       "{\"external\":{\"hostname\":\"x\"}}}]}");
	assert_int_equal(cluster_choose_network(m, NETWORK_AUTO, "a", 11210), NETWORK_DEFAULT);
	assert_int_equal(cluster_choose_network(m, NETWORK_AUTO, "x", 11210), NETWORK_EXTERNAL);
	assert_int_equal(cluster_choose_network(m, NETWORK_DEFAULT, "x", 11210), NETWORK_DEFAULT);
	const char *host;
	uint16_t port;
	assert_true(cluster_address(m, 0, NETWORK_EXTERNAL, false, &host, &port));
	assert_int_equal(port, 11210); /* absent ports are the default ones */
	cluster_map_free(m);
}

static void hostile_maps_are_refused(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"",
		"[]",
		"{}",
		"{\"rev\":1}",
		"{\"rev\":-5,\"nodesExt\":[{}]}",
		"{\"rev\":1,\"nodesExt\":[]}",
		"{\"rev\":1,\"nodesExt\":[3]}",
		"{\"rev\":1,\"vBucketServerMap\":{\"serverList\":[\"h:1\"],\"vBucketMap\":[[1]]}}",
		"{\"rev\":1,\"vBucketServerMap\":{\"serverList\":[\"h:1\"],\"vBucketMap\":[[-2]]}}",
		"{\"rev\":1,\"vBucketServerMap\":{\"serverList\":[\"h:1\"],\"vBucketMap\":[[]]}}",
		"{\"rev\":1,\"vBucketServerMap\":{\"serverList\":[\"h:1\"],\"vBucketMap\":[]}}",
		"{\"rev\":1,\"vBucketServerMap\":{\"serverList\":[\"h:1\"],\"vBucketMap\":[0]}}",
		"{\"rev\":1,\"vBucketServerMap\":{\"serverList\":[\"h\"],\"vBucketMap\":[[0]]}}",
		"{\"rev\":1,\"vBucketServerMap\":{\"serverList\":[\"h:99999\"],\"vBucketMap\":[[0]]"
		"}}",
		"{\"rev\":1,\"nodesExt\":[{}],\"vBucketServerMap\":{\"serverList\":[\"h:1\",\"h:"
		"2\"],"
		"\"vBucketMap\":[[1]]}}",
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct cluster_map *m;
		assert_true(cluster_map_parse(slice_str(bad[i]), "h", &m, NULL) < 0);
	}
	for (size_t cut = 0; cut + 1 < sizeof(terse) - 1; cut++) {
		struct cluster_map *m;
		assert_true(cluster_map_parse(slice_of(terse, cut), "h", &m, NULL) < 0);
	}
}

static void shares_are_contiguous_and_cover_everything(void **state)
{
	(void)state;
	static const uint32_t sizes[] = { 1, 64, 128, 1024 };
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
		for (uint32_t total = 1; total < 2000; total += total < 20 ? 1 : 97) {
			uint32_t next = 0, first, count;
			for (uint32_t member = 1; member <= total; member++) {
				cluster_share(sizes[i], member, total, &first, &count);
				assert_int_equal(first, next);
				assert_true(count == sizes[i] / total ||
					    count == sizes[i] / total + 1);
				next += count;
			}
			assert_int_equal(next, sizes[i]);
		}
}

static void pods_of_a_stateful_set_know_their_number(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	uint32_t member;
	assert_ok(cluster_member_of_host("orders-0", &member, &e), &e);
	assert_int_equal(member, 1);
	assert_ok(cluster_member_of_host("my-app-12.svc.cluster.local", &member, &e), &e);
	assert_int_equal(member, 13);
	static const char *const bad[] = {
		"", "orders", "orders-", "-3", "12", "orders-x", "orders-99999999999", "a7"
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(cluster_member_of_host(bad[i], &member, &e), ERR_INVALID);
}

static void the_management_service_has_addresses_and_paths(void **state)
{
	(void)state;
	struct cluster_map *m = parsed(terse);
	const char *host;
	uint16_t port;
	assert_true(cluster_mgmt_address(m, 0, NETWORK_DEFAULT, false, &host, &port));
	assert_string_equal(host, "10.0.0.1");
	assert_int_equal(port, 8091);
	assert_false(cluster_mgmt_address(m, 0, NETWORK_DEFAULT, true, &host, &port));
	assert_false(cluster_mgmt_address(m, 1, NETWORK_EXTERNAL, false, &host, &port));
	assert_true(cluster_mgmt_address(m, 2, NETWORK_EXTERNAL, false, &host, &port));
	assert_string_equal(host, "n3"); /* which has no external name */
	cluster_map_free(m);

	AUTO(buf) struct buf path = BUF_INIT;
	cluster_http_path("bs", "a-b_c.d%/ \xc3", &path);
	assert_string_equal(buf_cstr(&path), "/pools/default/bs/a-b_c.d%25%2F%20%C3");
	struct err e = ERR_INIT;
	assert_int_equal(cluster_http_refusal(401, "h", 1, "u", "b", &e), ERR_AUTH);
	assert_int_equal(cluster_http_refusal(404, "h", 1, "u", "b", &e), ERR_NOTFOUND);
	assert_int_equal(cluster_http_refusal(503, "h", 1, "u", "b", &e), ERR_NET);
}

static void the_buckets_kind_is_told_or_not(void **state)
{
	(void)state;
	bool e = false;
	assert_true(cluster_bucket_ephemeral(slice_str("{\"bucketType\":\"ephemeral\"}"), &e) && e);
	assert_true(cluster_bucket_ephemeral(slice_str("{\"bucketType\":\"membase\"}"), &e) && !e);
	static const char *const nothing[] = { "", "{", "[]", "{}", "{\"bucketType\":1}" };
	for (size_t i = 0; i < ARRAY_LEN(nothing); i++)
		assert_false(cluster_bucket_ephemeral(slice_str(nothing[i]), &e));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_terse_map_says_who_serves_what),
		cmocka_unit_test(old_maps_without_extensions_work),
		cmocka_unit_test(only_a_greater_revision_is_newer),
		cmocka_unit_test(the_network_is_chosen_by_the_seed),
		cmocka_unit_test(hostile_maps_are_refused),
		cmocka_unit_test(the_management_service_has_addresses_and_paths),
		cmocka_unit_test(the_buckets_kind_is_told_or_not),
		cmocka_unit_test(shares_are_contiguous_and_cover_everything),
		cmocka_unit_test(pods_of_a_stateful_set_know_their_number),
	};
	return cmocka_run_group_tests_name("dcp/cluster", tests, NULL, NULL);
}
