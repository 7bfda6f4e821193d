/* Who may do what on the simulated cluster, and buckets that come and go: passwords, client certificates, roles, and
 * the management port's ways to make, empty and delete buckets. Through a bare socket, without src/dcp.
 */
#include "tests/fakecb_wire.h"

#include <sys/wait.h>

/* ---- who comes in ---- */

/* A TLS session; with the client's own certificate where `own` says. NULL when it is refused. */
static SSL_CTX *tls_context(const char *dir, const char *trusts, const char *own)
{
	char path[300];
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	(void)snprintf(path, sizeof(path), "%s/%s.pem", dir, trusts);
	assert_int_equal(SSL_CTX_load_verify_locations(ctx, path, NULL), 1);
	if (own) {
		(void)snprintf(path, sizeof(path), "%s/%s.pem", dir, own);
		assert_int_equal(SSL_CTX_use_certificate_file(ctx, path, SSL_FILETYPE_PEM), 1);
		(void)snprintf(path, sizeof(path), "%s/%s.key", dir, own);
		assert_int_equal(SSL_CTX_use_PrivateKey_file(ctx, path, SSL_FILETYPE_PEM), 1);
	}
	return ctx;
}

static bool tls_connect(struct wire *w, SSL_CTX *ctx)
{
	w->ssl = SSL_new(ctx);
	SSL_set_fd(w->ssl, w->fd);
	return SSL_connect(w->ssl) == 1;
}

struct files {
	char dir[256], cert[300], key[300], ca[300];
};

static bool make_files(struct files *x, const char *client)
{
	(void)snprintf(x->dir, sizeof(x->dir), "%s", test_tmpdir());
	(void)snprintf(x->cert, sizeof(x->cert), "%s/server.pem", x->dir);
	(void)snprintf(x->key, sizeof(x->key), "%s/server.key", x->dir);
	(void)snprintf(x->ca, sizeof(x->ca), "%s/client.pem", x->dir);
	if (w_certificate(x->dir, "server", "127.0.0.1") && w_certificate(x->dir, "client", client))
		return true;
	print_message("no openssl program to make certificates with\n");
	test_rmdir(x->dir);
	return false;
}

static void over_tls_a_password_or_a_certificate_logs_in(void **state)
{
	(void)state;
	char dir[256], cert[300], key[300], ca[300];
	(void)snprintf(dir, sizeof(dir), "%s", test_tmpdir());
	if (!w_certificate(dir, "server", "127.0.0.1") ||
	    !w_certificate(dir, "client", "Administrator") ||
	    !w_certificate(dir, "other", "Administrator")) {
		print_message("no openssl program to make certificates with\n");
		test_rmdir(dir);
		skip();
	}
	(void)snprintf(cert, sizeof(cert), "%s/server.pem", dir);
	(void)snprintf(key, sizeof(key), "%s/server.key", dir);
	(void)snprintf(ca, sizeof(ca), "%s/client.pem", dir);
	struct fake *f = fake_start(
		&(struct fake_options){ .tls_cert = cert, .tls_key = key, .tls_ca = ca });
	assert_non_null(f);
	assert_true(fake_kvs_port(f, 0) && fake_https_port(f, 0));

	SSL_CTX *ctx = tls_context(dir, "server", NULL);
	struct wire w = w_connect(fake_kvs_port(f, 0));
	assert_true(tls_connect(&w, ctx));
	w_login_as(&w, W_ALL_FEATURES, "00 |Administrator| 00 |password|");
	w_close(&w);
	w = w_connect(fake_https_port(f, 0));
	assert_true(tls_connect(&w, ctx));
	w_write(&w, "GET /pools HTTP/1.1\r\n\r\n", 23);
	char answer[13] = "";
	assert_true(w_read(&w, answer, 12));
	assert_string_equal(answer, "HTTP/1.1 401");
	w_close(&w);
	SSL_CTX_free(ctx);

	ctx = tls_context(dir, "server", "client");
	w = w_connect(fake_kvs_port(f, 0));
	assert_true(tls_connect(&w, ctx));
	w_login_as(&w, W_ALL_FEATURES, NULL);
	w_close(&w);
	SSL_CTX_free(ctx);

	ctx = tls_context(dir, "server", "other"); /* signed by nobody the cluster trusts */
	w = w_connect(fake_kvs_port(f, 0));
	char byte;
	assert_false(tls_connect(&w, ctx) && w_read(&w, &byte, 1));
	w_close(&w);
	SSL_CTX_free(ctx);

	ctx = tls_context(dir, "client", NULL); /* trusts somebody else */
	w = w_connect(fake_kvs_port(f, 0));
	assert_false(tls_connect(&w, ctx));
	w_close(&w);
	SSL_CTX_free(ctx);
	fake_stop(f);
	test_rmdir(dir);
}

/* The certificate's common name is the user: what the user may not, its bearer may not. */
static void a_certificate_has_its_users_roles(void **state)
{
	(void)state;
	struct files x;
	if (!make_files(&x, "auditor"))
		skip();
	struct fake *f = fake_start(&(struct fake_options){
		.tls_cert = x.cert, .tls_key = x.key, .tls_ca = x.ca, .tls_mandatory = true });
	assert_non_null(f);
	SSL_CTX *ctx = tls_context(x.dir, "server", "client"),
		*bare = tls_context(x.dir, "server", NULL);
	char byte;
	struct wire w = w_connect(fake_kvs_port(f, 0)); /* nobody has that name yet */
	assert_false(tls_connect(&w, ctx) && w_read(&w, &byte, 1));
	w_close(&w);

	assert_true(fake_set_user(f, "auditor", "", "data_reader[default]"));
	w = w_connect(fake_kvs_port(f, 0));
	assert_true(tls_connect(&w, ctx));
	w_login_as(&w, W_ALL_FEATURES, NULL);
	assert_int_equal(w_ask(&w, (struct w_request){ .opcode = W_GET, .vb = 3, .key = "00|a|" }),
			 1);
	assert_int_equal(w_ask(&w, (struct w_request){ .opcode = W_OPEN,
						       .extras = "00000000 00000021",
						       .key = "|x|" }),
			 0x24);
	w_close(&w);
	w = w_connect(fake_https_port(f, 0)); /* the management port knows it, too */
	assert_true(tls_connect(&w, ctx));
	assert_int_equal(w_http(&w, NULL, "GET", "/whoami", ""), 200);
	assert_non_null(strstr((char *)w.got.p, "\"id\":\"auditor\""));
	assert_int_equal(w_http(&w, NULL, "DELETE", "/pools/default/buckets/default", ""), 403);
	w_close(&w);

	w = w_connect(fake_kvs_port(f, 0)); /* without a certificate, where one is asked for */
	assert_false(tls_connect(&w, bare) && w_read(&w, &byte, 1));
	w_close(&w);
	SSL_CTX_free(ctx);
	SSL_CTX_free(bare);
	fake_stop(f);
	test_rmdir(x.dir);
}

static void a_user_without_the_privilege_reads_but_does_not_stream(void **state)
{
	(void)state;
	struct fake *f = fake_start(
		&(struct fake_options){ .reader = "reader", .reader_password = "secret" });
	struct wire w = w_connect(fake_kv_port(f, 0));
	w_login_as(&w, W_ALL_FEATURES, "00|reader|00|secret|");
	(void)fake_set(f, 3, 0, "a", SLICE_LIT("1"));
	assert_int_equal(w_ask(&w, (struct w_request){ .opcode = W_GET, .vb = 3, .key = "00|a|" }),
			 0);
	struct w_request open = { .opcode = W_OPEN,
				  .extras = "00000000 00000021",
				  .key = "|test:two|" };
	assert_int_equal(w_ask(&w, open), 0x24);
	w_close(&w);
	w = w_login(f, 0, W_ALL_FEATURES);
	assert_int_equal(w_ask(&w, open), 0);
	w_close(&w);
	w = w_connect(fake_kv_port(f, 0));
	assert_int_equal(w_ask(&w, (struct w_request){ .opcode = W_AUTH,
						       .key = "|PLAIN|",
						       .value = "00|reader|00|password|" }),
			 0x20);
	w_close(&w);
	fake_stop(f);
}

/* ---- roles ---- */

static void each_role_may_what_it_says_and_no_more(void **state)
{
	(void)state;
	enum { READ = 1, WRITE = 2, META = 4, STREAM = 8 };
	static const struct {
		const char *roles;
		unsigned may;
		uint16_t select;
	} cases[] = {
		{ "admin", READ | WRITE | META | STREAM, 0 },
		{ "bucket_full_access[default]", READ | WRITE | META | STREAM, 0 },
		{ "data_reader[*]", READ | META, 0 },
		{ "data_writer[default]", WRITE, 0 },
		{ "data_dcp_reader[default]", READ | META | STREAM, 0 },
		{ "data_reader[default:_default:_default],data_writer[default]",
		  READ | WRITE | META, 0 },
		{ "data_reader[other]", 0, 0x24 },
		{ "", 0, 0x24 },
	};
	struct fake *f = fake_start(&(struct fake_options){ 0 });
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		unsigned may = cases[i].may;
		assert_true(fake_set_user(f, "u", "p", cases[i].roles));
		struct wire w = w_connect(fake_kv_port(f, 0));
		assert_int_equal(w_ask(&w, (struct w_request){ .opcode = W_HELLO,
							       .value = W_ALL_FEATURES }),
				 0);
		assert_int_equal(w_auth(&w, "00|u|00|p|"), 0);
		assert_int_equal(w_select(&w, "default"), cases[i].select);
		if (!cases[i].select) {
			struct w_request get = { .opcode = W_GET, .vb = 3, .key = "00|a|" },
					 set = { .opcode = W_SET,
						 .vb = 3,
						 .extras = "0000000000000000",
						 .key = "00|b|" },
					 seqnos = { .opcode = 0x48 },
					 open = { .opcode = W_OPEN,
						  .extras = "00000000 00000021",
						  .key = "|x|" };
			assert_int_equal(w_ask(&w, get), may & READ ? 1 : 0x24);
			assert_int_equal(w_ask(&w, set), may & WRITE ? 0 : 0x24);
			assert_int_equal(w_ask(&w, seqnos), may & META ? 0 : 0x24);
			assert_int_equal(w_ask(&w, open), may & STREAM ? 0 : 0x24);
		}
		w_close(&w);
	}
	assert_false(fake_set_user(f, "u", "p", "no_such_role"));
	fake_stop(f);
}

static void who_loses_the_privilege_loses_the_streams(void **state)
{
	(void)state;
	struct fake *f = fake_start(&(struct fake_options){ 0 });
	assert_int_equal(w_manage(f, W_ADMIN, "PUT", "/settings/rbac/users/local/u",
				  "password=p&roles=data_dcp_reader%5Bdefault%5D"),
			 200);
	struct wire w = w_connect(fake_kv_port(f, 0));
	w_login_as(&w, W_ALL_FEATURES, "00|u|00|p|");
	assert_int_equal(w_ask(&w, (struct w_request){ .opcode = W_OPEN,
						       .extras = "00000000 00000021",
						       .key = "|x|" }),
			 0);
	struct w_stream s = { .vb = 1, .end = W_ENDLESS };
	assert_int_equal(w_stream(&w, s), 0);
	assert_int_equal(w_manage(f, W_ADMIN, "PUT", "/settings/rbac/users/local/u",
				  "roles=data_reader%5B*%5D"),
			 200);
	(void)w_until(&w, W_END, 0);
	w_equal(w_part(&w, 'x'), "00000008");
	assert_int_equal(w_stream(&w, s), 0x24);
	assert_int_equal(w_manage(f, "u:p", "POST", "/pools/default/buckets/default/scopes",
				  "name=s"),
			 403);
	assert_int_equal(w_manage(f, W_ADMIN, "DELETE", "/settings/rbac/users/local/u", ""), 200);
	assert_int_equal(w_manage(f, "u:p", "GET", "/pools", ""), 401);
	assert_int_equal(w_ask(&w, (struct w_request){ .opcode = W_GET, .vb = 3, .key = "00|a|" }),
			 0x24);
	w_close(&w);
	fake_stop(f);
}

static void nothing_is_done_before_the_login(void **state)
{
	(void)state;
	struct fake *f = fake_start(&(struct fake_options){ 0 });
	struct wire w = w_connect(fake_kv_port(f, 0));
	static const uint8_t opcodes[] = { W_GET,     W_SET, 0x10,     0x48, W_OPEN, W_STREAM,
					   W_OBSERVE, 0xb5,  W_SELECT, 0xba, 0x87 };
	for (size_t i = 0; i < sizeof(opcodes); i++)
		assert_int_equal(w_ask(&w, (struct w_request){ .opcode = opcodes[i] }), 0x24);
	assert_int_equal(w_ask(&w, (struct w_request){ .opcode = 0x0a }), 0);
	assert_int_equal(w_auth(&w, "00|Administrator|00|password|"), 0);
	assert_int_equal(w_ask(&w, (struct w_request){ .opcode = W_GET, .key = "|a|" }),
			 8); /* no bucket */
	assert_int_equal(w_ask(&w, (struct w_request){ .opcode = 0xb5 }), 0);
	assert_non_null(memmem(w.got.p, w.got.len, "nodesExt", 8)); /* the nodes alone */
	w_close(&w);
	fake_stop(f);
}

/* ---- buckets ---- */

#define BUCKETS "/pools/default/buckets"

static void buckets_come_and_go_each_with_a_map_of_its_own(void **state)
{
	(void)state;
	struct fake *f =
		fake_start(&(struct fake_options){ .nodes = 3, .vbuckets = 64, .replicas = 1 });
	assert_int_equal(w_manage(f, NULL, "POST", BUCKETS, "name=orders"), 401);
	assert_int_equal(
		w_manage(f, W_ADMIN, "POST", BUCKETS,
			 "name=orders&bucketType=ephemeral&replicaNumber=2&numVBuckets=16&nodes=2"),
		202);
	assert_int_equal(w_manage(f, W_ADMIN, "POST", BUCKETS, "name=orders"), 400);
	assert_int_equal(w_manage(f, W_ADMIN, "POST", BUCKETS, "name=or/ders"), 400);
	struct wire h = w_connect(fake_http_port(f, 2));
	assert_int_equal(w_http(&h, W_ADMIN, "GET", BUCKETS "/orders", ""), 200);
	assert_non_null(strstr((char *)h.got.p, "\"bucketType\":\"ephemeral\""));
	assert_non_null(strstr((char *)h.got.p,
			       "\"numVBuckets\":16,\"replicaNumber\":1")); /* of two nodes */
	assert_int_equal(w_http(&h, W_ADMIN, "GET", "/pools/default/b/orders", ""), 200);
	assert_non_null(strstr((char *)h.got.p, "\"name\":\"orders\""));
	/* Two nodes have it, the third is in the map without it. */
	char third[60];
	(void)snprintf(third, sizeof(third),
		       "\"kv\":%u},\"hostname\":\"127.0.0.1\",\"thisNode\":true}]",
		       fake_kv_port(f, 2));
	assert_non_null(strstr((char *)h.got.p, third));
	assert_int_equal(w_http(&h, W_ADMIN, "GET", BUCKETS, ""), 200);
	assert_non_null(strstr((char *)h.got.p, "\"name\":\"default\""));

	/* What is in one is not in the other; the ids of collections are each bucket's own. */
	(void)fake_set(f, 3, 0, "a", SLICE_LIT("1"));
	assert_true(fake_use_bucket(f, "orders"));
	assert_int_equal(fake_high_seqno(f, 3), 0);
	assert_int_equal(fake_create_collection(f, "_default", "c"), 8);
	struct wire w = w_login(f, 0, W_ALL_FEATURES);
	struct w_request get = { .opcode = W_GET, .vb = 3, .key = "00|a|" },
			 id = { .opcode = 0xbb, .value = "|_default.c|" };
	assert_int_equal(w_ask(&w, get), 0);
	assert_int_equal(w_ask(&w, id), 0x88);
	assert_int_equal(w_select(&w, "orders"), 0);
	assert_int_equal(w_ask(&w, get), 1);
	assert_int_equal(w_ask(&w, id), 0);
	assert_int_equal(w_ask(&w, (struct w_request){ .opcode = 0x87 }), 0);
	w_equal(w_part(&w, 'v'), "|default orders|");
	struct wire other = w_connect(fake_kv_port(f, 2));
	assert_int_equal(w_auth(&other, "00|Administrator|00|password|"), 0);
	assert_int_equal(w_select(&other, "orders"), 0x0d); /* its map only */
	assert_int_equal(w_select(&other, "nope"), 0x24);
	w_close(&other);

	assert_int_equal(w_manage(f, W_ADMIN, "DELETE", BUCKETS "/orders", ""), 200);
	char byte;
	assert_false(w_read(&w, &byte, 1));
	w_close(&w);
	assert_int_equal(w_http(&h, W_ADMIN, "GET", "/pools/default/b/orders", ""), 404);
	w_close(&h);
	assert_int_equal(fake_high_seqno(f, 3), 1); /* the script is back at the first */
	fake_stop(f);
}

static void branches(struct fake *f, uint64_t *uuid)
{
	struct fake_branch log[FAKE_FAILOVER_MAX];
	(void)fake_failover_log(f, 1, log);
	*uuid = log[0].uuid;
}

static void bucket_uuid(struct fake *f, char out[33])
{
	struct wire h = w_connect(fake_http_port(f, 0));
	assert_int_equal(w_http(&h, W_ADMIN, "GET", BUCKETS "/default", ""), 200);
	const char *p = strstr((char *)h.got.p, "\"uuid\":\"");
	assert_non_null(p);
	(void)snprintf(out, 33, "%s", p + 8);
	w_close(&h);
}

static void a_flush_empties_and_keeps_the_uuid_and_the_collections(void **state)
{
	(void)state;
	struct fake *f = fake_start(&(struct fake_options){ 0 });
	char before[33], after[33];
	uint64_t branch, new_branch;
	assert_int_equal(fake_create_collection(f, "_default", "c"), 8);
	(void)fake_set(f, 1, 0, "a", SLICE_LIT("1"));
	bucket_uuid(f, before);
	branches(f, &branch);
	struct wire w = w_dcp(f, 0, W_ALL_FEATURES, 0x21);
	assert_int_equal(w_stream(&w, (struct w_stream){ .vb = 1, .end = W_ENDLESS }), 0);
	assert_int_equal(w_manage(f, W_ADMIN, "POST", BUCKETS "/default", "flushEnabled=0"), 200);
	assert_int_equal(w_manage(f, W_ADMIN, "POST", BUCKETS "/default/controller/doFlush", ""),
			 400);
	assert_int_equal(w_manage(f, W_ADMIN, "POST", BUCKETS "/default", "flushEnabled=1"), 200);
	assert_int_equal(w_manage(f, W_ADMIN, "POST", BUCKETS "/default/controller/doFlush", ""),
			 200);
	(void)w_until(&w, W_END, 0);
	w_equal(w_part(&w, 'x'), "00000002");
	assert_int_equal(w_stream(&w, (struct w_stream){ .vb = 1,
							 .start = 1,
							 .end = W_ENDLESS,
							 .uuid = branch,
							 .snap_start = 1,
							 .snap_end = 1 }),
			 0x23); /* nobody knows that branch any more */
	assert_int_equal(w_stream(&w, (struct w_stream){ .vb = 1, .end = W_ENDLESS }), 0);
	(void)w_until(&w, W_SYSTEM, 1); /* the collection is there again */
	w_close(&w);
	bucket_uuid(f, after);
	branches(f, &new_branch);
	assert_string_equal(before, after);
	assert_true(branch != new_branch);
	assert_int_equal(fake_high_seqno(f, 1), 1);
	fake_stop(f);
}

static void a_bucket_made_again_has_another_uuid_and_nothing_else(void **state)
{
	(void)state;
	struct fake *f = fake_start(&(struct fake_options){ 0 });
	char before[33], after[33], byte;
	assert_int_equal(fake_create_collection(f, "_default", "c"), 8);
	bucket_uuid(f, before);
	struct wire w = w_login(f, 0, W_ALL_FEATURES);
	assert_int_equal(w_manage(f, W_ADMIN, "DELETE", BUCKETS "/default", ""), 200);
	assert_false(w_read(&w, &byte, 1));
	w_close(&w);
	assert_int_equal(w_manage(f, W_ADMIN, "GET", BUCKETS "/default", ""), 404);
	assert_int_equal(w_manage(f, W_ADMIN, "POST", BUCKETS, "name=default"), 202);
	bucket_uuid(f, after);
	assert_string_not_equal(before, after);
	w = w_login(f, 0, W_ALL_FEATURES);
	assert_int_equal(w_ask(&w, (struct w_request){ .opcode = 0xbb, .value = "|_default.c|" }),
			 0x88);
	w_close(&w);
	assert_int_equal(fake_high_seqno(f, 1), 0);
	fake_stop(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(over_tls_a_password_or_a_certificate_logs_in),
		cmocka_unit_test(a_certificate_has_its_users_roles),
		cmocka_unit_test(a_user_without_the_privilege_reads_but_does_not_stream),
		cmocka_unit_test(each_role_may_what_it_says_and_no_more),
		cmocka_unit_test(who_loses_the_privilege_loses_the_streams),
		cmocka_unit_test(nothing_is_done_before_the_login),
		cmocka_unit_test(buckets_come_and_go_each_with_a_map_of_its_own),
		cmocka_unit_test(a_flush_empties_and_keeps_the_uuid_and_the_collections),
		cmocka_unit_test(a_bucket_made_again_has_another_uuid_and_nothing_else),
	};
	return cmocka_run_group_tests_name("fakecb/buckets", tests, NULL, NULL);
}
