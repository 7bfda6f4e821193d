#include "tests/test.h"

#include "dcp/feed.h"
#include "dcp/wire.h"
#include "doc/json.h"

#include <stdio.h>
#include <string.h>

static bool names(void *arg, uint32_t id, const char **scope, const char **name)
{
	(void)arg;
	*scope = "shop";
	*name = "orders";
	return id == 8;
}

static struct dcp_event mutation(const char *key, const char *value, uint8_t datatype)
{
	return (struct dcp_event){ .kind = DCP_MUTATION,
				   .vb = 490,
				   .datatype = datatype,
				   .collection = 8,
				   .pos = { 5, 4, 6, 0xabc },
				   .rev = 2,
				   .cas = 1795306000311255079,
				   .key = slice_str(key),
				   .value = slice_str(value) };
}

static struct feed *open_feed(const char *filter, const char *pipeline)
{
	struct err e = ERR_INIT;
	struct feed *f;
	AUTO(buf) struct buf bson = BUF_INIT;
	AUTO(buf) struct buf wrapped = BUF_INIT;
	struct feed_options o = { .bucket = "b", .collection = names };
	if (filter) {
		assert_ok(json_to_bson(slice_str(filter), &bson, NULL, &e), &e);
		o.filter = buf_slice(&bson);
	}
	if (pipeline) {
		assert_ok(json_to_bson(slice_str(pipeline), &wrapped, NULL, &e), &e);
		o.pipeline = value_slice(bson_get_str(buf_slice(&wrapped), "p"));
	}
	assert_ok(feed_new(&o, &f, &e), &e);
	return f;
}

static void assert_event(struct feed *f, const struct dcp_event *ev, const char *want)
{
	struct err e = ERR_INIT;
	struct slice doc;
	AUTO(buf) struct buf text = BUF_INIT;
	int rc = feed_event(f, ev, &doc, &e);
	if (rc != 1)
		fail_msg("%d %s", rc, e.msg);
	assert_ok(bson_validate(doc, &e), &e);
	json_from_bson(doc, JSON_RELAXED, &text);
	assert_string_equal(buf_cstr(&text), want);
}

static void a_mutation_becomes_a_replace_event(void **state)
{
	(void)state;
	struct feed *f = open_feed(NULL, NULL);
	struct dcp_event ev = mutation("k", "{\"a\":1}", DATATYPE_JSON);
	assert_event(f, &ev,
		     "{\"_id\":{\"_data\":\"01ea-0000000000000005-0000000000000abc-"
		     "0000000000000004-0000000000000006\"},"
		     "\"operationType\":\"replace\",\"clusterTime\":{\"$timestamp\":{\"t\":"
		     "1795306000,\"i\":311255079}},"
		     "\"wallTime\":{\"$date\":\"2026-11-22T00:06:40.311Z\"},\"ns\":{\"db\":\"b\","
		     "\"coll\":\"shop.orders\"},"
		     "\"documentKey\":{\"_id\":\"k\"},\"fullDocument\":{\"a\":1},"
		     "\"couchbase\":{\"vbucket\":490,\"seqno\":5,\"vbuuid\":2748,\"revision\":2,"
		     "\"cas\":1795306000311255079,\"flags\":0}}");
	feed_free(f);
}

static void weakness_4_nothing_is_called_an_insert(void **state)
{
	(void)state;
	struct feed *f = open_feed("{\"operationType\":\"insert\"}", NULL);
	struct slice doc;
	struct dcp_event ev = mutation("k", "{}", DATATYPE_JSON);
	ev.rev = 1; /* the first revision of a document that may have existed before */
	assert_int_equal(feed_event(f, &ev, &doc, NULL), 0);
	feed_free(f);
}

static void weakness_3_an_expiration_is_a_marked_delete(void **state)
{
	(void)state;
	struct feed *f =
		open_feed("{\"operationType\":\"delete\",\"couchbase.expired\":true}",
			  "{\"p\":[{\"$project\":{\"k\":\"$documentKey._id\",\"_id\":0}}]}");
	struct slice doc;
	struct dcp_event ev = { .kind = DCP_EXPIRATION,
				.vb = 1,
				.pos = { 5, 5, 5, 1 },
				.key = SLICE_LIT("gone"),
				.delete_time = 1000 };
	assert_event(f, &ev, "{\"k\":\"gone\"}");
	ev.kind = DCP_DELETION;
	assert_int_equal(feed_event(f, &ev, &doc, NULL), 0);
	feed_free(f);
}

static void values_that_are_no_json_object_are_handed_on_as_they_are(void **state)
{
	(void)state;
	struct feed *f = open_feed(
		NULL, "{\"p\":[{\"$project\":{\"v\":\"$couchbase.value\",\"f\":\"$fullDocument\","
		      "\"_id\":0}}]}");
	static const struct {
		const char *value;
		uint8_t datatype;
		const char *want;
	} rows[] = {
		{ "xyz", 0, "{\"$binary\":{\"base64\":\"eHl6\",\"subType\":\"00\"}}" },
		{ "[1]", 0, "{\"$binary\":{\"base64\":\"WzFd\",\"subType\":\"00\"}}" },
		{ "[1,{\"a\":2}]", DATATYPE_JSON, "[1,{\"a\":2}]" },
		{ " 42 ", DATATYPE_JSON, "42" },
		{ "\"text\"", DATATYPE_JSON, "\"text\"" },
		{ "true", DATATYPE_JSON, "true" },
		{ "null", DATATYPE_JSON, "null" },
		{ "{\"a\":", DATATYPE_JSON, /* the server takes the client's word for it */
		  "{\"$binary\":{\"base64\":\"eyJhIjo=\",\"subType\":\"00\"}}" },
		{ "{\"a\":1e400}", DATATYPE_JSON,
		  "{\"$binary\":{\"base64\":\"eyJhIjoxZTQwMH0=\",\"subType\":\"00\"}}" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char want[128];
		struct dcp_event ev = mutation("k", rows[i].value, rows[i].datatype);
		(void)snprintf(want, sizeof(want), "{\"v\":%s}", rows[i].want);
		assert_event(f, &ev, want);
	}
	feed_free(f);
}

/* An event is a document: it may be no deeper than any. */
static void a_value_that_is_too_deep_for_an_event_comes_as_its_bytes(void **state)
{
	(void)state;
	static const struct {
		const char *open, *close;
	} rows[] = { { "[", "]" }, { "{\"a\":", "}" } };
	struct feed *f = open_feed(
		NULL,
		"{\"p\":[{\"$project\":{\"t\":{\"$type\":\"$couchbase.value\"},\"_id\":0}}]}");
	struct feed *whole = open_feed(NULL, NULL);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		for (size_t levels = 197; levels < 204; levels++) {
			AUTO(buf) struct buf text = BUF_INIT;
			struct err e = ERR_INIT;
			struct slice doc;
			for (size_t n = 0; n < levels; n++)
				buf_add_str(&text, rows[i].open);
			buf_add_byte(&text, '1');
			for (size_t n = 0; n < levels; n++)
				buf_add_str(&text, rows[i].close);
			struct dcp_event ev = mutation("k", buf_cstr(&text), DATATYPE_JSON);
			assert_int_equal(feed_event(whole, &ev, &doc, &e), 1);
			assert_ok(bson_validate(doc, &e), &e);
			assert_event(f, &ev,
				     levels >= 200 ? "{\"t\":\"binData\"}"
				     : i == 0      ? "{\"t\":\"array\"}"
						   : "{\"t\":\"missing\"}");
		}
	}
	feed_free(f);
	feed_free(whole);
}

/* Couchbase knows nothing of Extended JSON: a document that happens to look like it comes as it was written. */
static void what_looks_like_extended_json_stays_a_document(void **state)
{
	(void)state;
	struct feed *f =
		open_feed(NULL, "{\"p\":[{\"$project\":{\"f\":\"$fullDocument\",\"_id\":0}}]}");
	static const char *const rows[] = {
		"{\"i\":{\"$numberLong\":\"5\"}}",
		"{\"i\":[{\"$numberLong\":5}]}",
		"{\"d\":{\"$date\":\"tomorrow\"}}",
		"{\"$oid\":\"x\"}",
		"{\"a\":{\"$oid\":\"5f0000000000000000000000\"}}",
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char want[128];
		struct dcp_event ev = mutation("k", rows[i], DATATYPE_JSON);
		(void)snprintf(want, sizeof(want), "{\"f\":%s}", rows[i]);
		assert_event(f, &ev, want);
	}
	feed_free(f);
}

static void what_happens_to_a_scope_is_of_no_collection(void **state)
{
	(void)state;
	struct feed *f = open_feed(NULL, "{\"p\":[{\"$project\":{\"o\":\"$operationType\","
					 "\"ns\":1,\"n\":\"$couchbase.name\",\"_id\":0}}]}");
	struct dcp_event ev = { .kind = DCP_SYSTEM,
				.vb = 1,
				.pos = { 5, 5, 5, 7 },
				.key = SLICE_LIT("s2"),
				.system = { .kind = DCP_SCOPE_CREATED, .scope = 9 } };
	assert_event(f, &ev, "{\"ns\":{\"db\":\"b\"},\"o\":\"createScope\",\"n\":\"s2\"}");
	ev.system.kind = DCP_SCOPE_DROPPED;
	ev.key = SLICE_NONE;
	assert_event(f, &ev, "{\"ns\":{\"db\":\"b\"},\"o\":\"dropScope\"}");
	ev.system.kind = DCP_COLLECTION_CREATED;
	ev.collection = 8;
	assert_event(f, &ev,
		     "{\"ns\":{\"db\":\"b\",\"coll\":\"shop.orders\"},\"o\":\"createCollection\"}");
	feed_free(f);
}

static void what_is_wrong_with_a_query_says_in_which(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct feed *f;
	AUTO(buf) struct buf bson = BUF_INIT;
	assert_ok(json_to_bson(SLICE_LIT("{\"a\":{\"$foo\":1}}"), &bson, NULL, &e), &e);
	struct feed_options o = { .bucket = "b", .filter = buf_slice(&bson) };
	assert_int_equal(feed_new(&o, &f, &e), ERR_INVALID);
	assert_memory_equal(e.msg, "filter: a: ", 11);
	buf_reset(&bson);
	assert_ok(json_to_bson(SLICE_LIT("{\"0\":{\"$group\":{}}}"), &bson, NULL, &e), &e);
	o = (struct feed_options){ .bucket = "b", .pipeline = buf_slice(&bson) };
	assert_true(feed_new(&o, &f, &e) < 0);
	assert_memory_equal(e.msg, "pipeline: ", 10);
}

static void a_rollback_is_an_event(void **state)
{
	(void)state;
	struct feed *f = open_feed(NULL, NULL);
	struct dcp_event ev = { .kind = DCP_ROLLBACK,
				.vb = 1,
				.pos = { 5, 5, 5, 7 },
				.rollback_to = 6,
				.rollback_from = 9 };
	assert_event(f, &ev,
		     "{\"_id\":{\"_data\":\"0001-0000000000000005-0000000000000007-"
		     "0000000000000005-0000000000000005\"},"
		     "\"operationType\":\"rollback\",\"couchbase\":{\"vbucket\":1,\"seqno\":5,"
		     "\"vbuuid\":7,"
		     "\"rollbackTo\":6,\"rollbackFrom\":9}}");
	feed_free(f);
}

static void the_token_holds_every_vbuckets_place_and_shows_damage(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct feed *f = open_feed("{\"x\":1}", NULL); /* what is filtered out counts, too */
	struct slice doc;
	struct checkpoint c[4];
	size_t n;
	struct dcp_event ev = mutation("k", "{}", DATATYPE_JSON);
	AUTO(buf) struct buf token = BUF_INIT;
	feed_token(f, &token);
	assert_ok(feed_token_parse(buf_slice(&token), c, 4, &n, &e), &e);
	assert_int_equal(n, 0);
	assert_int_equal(feed_event(f, &ev, &doc, &e), 0);
	ev.vb = 1023;
	ev.pos = (struct dcp_position){ UINT64_MAX - 1, 1, UINT64_MAX, UINT64_MAX };
	assert_int_equal(feed_event(f, &ev, &doc, &e), 0);
	buf_reset(&token);
	feed_token(f, &token);
	assert_ok(feed_token_parse(buf_slice(&token), c, 4, &n, &e), &e);
	assert_int_equal(n, 2);
	assert_true(c[0].vb == 490 && c[0].pos.seqno == 5 && c[0].pos.uuid == 0xabc && c[0].found);
	assert_true(c[1].vb == 1023 && c[1].pos.snap_end == UINT64_MAX);
	struct feed *resumed =
		open_feed(NULL, NULL); /* what saw nothing yet keeps what it was given */
	AUTO(buf) struct buf again = BUF_INIT;
	assert_ok(feed_seed(resumed, c, n, &e), &e);
	feed_token(resumed, &again);
	assert_true(slice_eq(buf_slice(&again), buf_slice(&token)));
	feed_free(resumed);
	assert_int_equal(feed_token_parse(buf_slice(&token), c, 1, &n, &e), ERR_LIMIT);
	for (size_t i = 0; i < token.len; i++) {
		uint8_t was = token.p[i];
		token.p[i] ^= 1;
		assert_int_equal(feed_token_parse(buf_slice(&token), c, 4, &n, &e),
				 ERR_TOKEN_CORRUPT);
		token.p[i] = was;
		assert_int_equal(feed_token_parse(slice_of(token.p, i), c, 4, &n, &e),
				 ERR_TOKEN_CORRUPT);
	}
	/* what an event carries as its _id is no token */
	assert_int_equal(feed_token_parse(SLICE_LIT("01ea-0000000000000005-0000000000000abc-"
						    "0000000000000004-0000000000000006"),
					  c, 4, &n, &e),
			 ERR_TOKEN_CORRUPT);
	assert_non_null(strstr(e.msg, "one vBucket's place"));
	feed_free(f);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_mutation_becomes_a_replace_event),
		cmocka_unit_test(weakness_4_nothing_is_called_an_insert),
		cmocka_unit_test(weakness_3_an_expiration_is_a_marked_delete),
		cmocka_unit_test(values_that_are_no_json_object_are_handed_on_as_they_are),
		cmocka_unit_test(a_value_that_is_too_deep_for_an_event_comes_as_its_bytes),
		cmocka_unit_test(what_looks_like_extended_json_stays_a_document),
		cmocka_unit_test(what_happens_to_a_scope_is_of_no_collection),
		cmocka_unit_test(what_is_wrong_with_a_query_says_in_which),
		cmocka_unit_test(a_rollback_is_an_event),
		cmocka_unit_test(the_token_holds_every_vbuckets_place_and_shows_damage),
	};
	return cmocka_run_group_tests_name("dcp/feed", tests, NULL, NULL);
}
