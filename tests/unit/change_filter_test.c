#include "tests/test.h"

#include "change/filter.h"
#include "doc/json.h"

#include <string.h>

static void bson(const char *json, struct buf *out)
{
	struct err e = ERR_INIT;
	buf_reset(out);
	assert_ok(json_to_bson(slice_str(json), out, NULL, &e), &e);
}

static void array(const char *json, struct buf *out, struct slice *s)
{
	struct err e = ERR_INIT;
	struct value v;
	buf_reset(out);
	assert_ok(json_to_value(slice_str(json), out, &v, NULL, &e), &e);
	*s = value_slice(v);
}

static void older_operation_names_are_translated_where_operations_are_compared(void **state)
{
	(void)state;
	static const struct {
		const char *from, *to;
	} cases[] = {
		{ "{\"operationType\":\"createIndex\"}", "{\"operationType\":\"createIndexes\"}" },
		{ "{\"operationType\":{\"$in\":[\"dropCollection\",\"insert\"]}}",
		  "{\"operationType\":{\"$in\":[\"drop\",\"insert\"]}}" },
		{ "{\"$or\":[{\"operationType\":{\"$ne\":\"createCollection\"}},{\"$and\":[{"
		  "\"operationType\":"
		  "\"renameCollection\"}]}]}",
		  "{\"$or\":[{\"operationType\":{\"$ne\":\"create\"}},{\"$and\":[{"
		  "\"operationType\":\"rename\"}]}]}" },
		{ "{\"operationType\":{\"$not\":{\"$eq\":\"dropIndex\"}}}",
		  "{\"operationType\":{\"$not\":{\"$eq\":\"dropIndexes\"}}}" },
		/* A regular expression and other fields are left alone. */
		{ "{\"operationType\":{\"$regex\":\"createIndex\"}}",
		  "{\"operationType\":{\"$regex\":\"createIndex\"}}" },
		{ "{\"fullDocument.operationType\":\"createIndex\"}",
		  "{\"fullDocument.operationType\":\"createIndex\"}" },
		{ "{\"x\":{\"operationType\":\"dropIndex\"}}",
		  "{\"x\":{\"operationType\":\"dropIndex\"}}" },
	};
	AUTO(buf) struct buf in = BUF_INIT;
	AUTO(buf) struct buf out = BUF_INIT;
	AUTO(buf) struct buf json = BUF_INIT;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err e = ERR_INIT;
		bson(cases[i].from, &in);
		buf_reset(&out);
		buf_reset(&json);
		assert_ok(filter_translate(buf_slice(&in), &out, &e), &e);
		json_from_bson(buf_slice(&out), JSON_RELAXED, &json);
		assert_string_equal(buf_cstr(&json), cases[i].to);
	}
}

static void query_nested_too_deep_is_an_error_not_a_crash(void **state)
{
	(void)state;
	AUTO(buf) struct buf in = BUF_INIT;
	char json[4096] = "{\"operationType\":";
	enum { LEVELS = MATCH_DEPTH_MAX + 50 };
	for (int i = 0; i < LEVELS; i++)
		strcat(json, "{\"$not\":");
	strcat(json, "\"insert\"");
	for (int i = 0; i < LEVELS; i++)
		strcat(json, "}");
	strcat(json, "}");
	struct err e = ERR_INIT;
	struct filter f;
	bson(json, &in);
	assert_int_equal(filter_init(&f, SLICE_NONE, SLICE_NONE, buf_slice(&in), SLICE_NONE, &e),
			 ERR_LIMIT);
	assert_memory_equal(e.msg, "filter: nested more than", 24);
}

static void errors_say_whether_filter_or_pipeline_is_wrong_and_where(void **state)
{
	(void)state;
	AUTO(buf) struct buf in = BUF_INIT;
	struct err e = ERR_INIT;
	struct slice stages;
	struct filter f;
	bson("{\"ns.db\":{\"$gtt\":1}}", &in);
	assert_int_equal(filter_init(&f, SLICE_NONE, SLICE_NONE, buf_slice(&in), SLICE_NONE, &e),
			 ERR_INVALID);
	assert_memory_equal(e.msg, "filter: ", 8);
	assert_non_null(strstr(e.msg, "ns.db"));
	array("[{\"$match\":{\"a\":1}},{\"$sort\":{\"a\":1}}]", &in, &stages);
	assert_int_equal(filter_init(&f, SLICE_NONE, SLICE_NONE, SLICE_NONE, stages, &e),
			 ERR_INVALID);
	assert_memory_equal(e.msg, "pipeline: stage 1", 17);
}

static void only_what_follows_the_leading_matches_runs_on_events(void **state)
{
	(void)state;
	AUTO(buf) struct buf in = BUF_INIT;
	struct err e = ERR_INIT;
	struct slice stages;
	struct filter f;
	array("[{\"$match\":{\"db\":\"x\"}},{\"$match\":{\"coll\":\"y\"}}]", &in, &stages);
	assert_ok(filter_init(&f, SLICE_NONE, SLICE_NONE, SLICE_NONE, stages, &e), &e);
	assert_non_null(f.lead);
	assert_null(f.rest);
	assert_int_equal(f.used, 1 << ENTRY_DB | 1 << ENTRY_COLL);
	filter_done(&f);
	array("[{\"$match\":{\"db\":\"x\"}},{\"$project\":{\"ns\":1}},{\"$match\":{\"ns.db\":\"x\"}"
	      "}]",
	      &in, &stages);
	assert_ok(filter_init(&f, SLICE_NONE, SLICE_NONE, SLICE_NONE, stages, &e), &e);
	assert_int_equal(pipeline_stage_count(f.rest), 2);
	filter_done(&f);
	array("[]", &in, &stages);
	assert_ok(filter_init(&f, SLICE_NONE, SLICE_NONE, SLICE_NONE, stages, &e), &e);
	assert_null(f.lead);
	assert_null(f.rest);
	filter_done(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			older_operation_names_are_translated_where_operations_are_compared),
		cmocka_unit_test(query_nested_too_deep_is_an_error_not_a_crash),
		cmocka_unit_test(errors_say_whether_filter_or_pipeline_is_wrong_and_where),
		cmocka_unit_test(only_what_follows_the_leading_matches_runs_on_events),
	};
	return cmocka_run_group_tests_name("change/filter", tests, NULL, NULL);
}
