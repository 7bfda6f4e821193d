/* Filters that are refused, and with which words; that end in a limit; and what they do with memory. */
#include "tests/doc_match.h"
#include "tests/scarce.h"

/* ---- errors ---- */

static void errors_name_the_place_and_the_cure(void **state)
{
	(void)state;
	static const struct {
		const char *filter;
		int code, number;
		const char *text; /* part of the message */
	} rows[] = {
		{ "{'a': {'$gtt': 1}}", ERR_INVALID, 2,
		  "a: unknown operator: $gtt; did you mean $gt?" },
		{ "{'a': {'$exsits': 1}}", ERR_INVALID, 2, "did you mean $exists?" },
		{ "{'$orr': []}", ERR_INVALID, 2, "did you mean $or?" },
		{ "{'$gt': 1}", ERR_INVALID, 2, "belongs to a field" },
		{ "{'a': {'$or': []}}", ERR_INVALID, 2, "beside the fields" },
		{ "{'a': {'$gt': 1, 'b': 2}}", ERR_INVALID, 2, "unknown operator: b" },
		{ "{'a': {'$bogus': 1}}", ERR_INVALID, 2, "unknown operator: $bogus" },
		{ "{'$or': [{'x': 1}, {'a.b': {'$in': [1, 2, {'$gt': 3}]}}]}", ERR_INVALID, 2,
		  "$or[1].a.b.$in[2]: " },
		{ "{'$and': []}", ERR_INVALID, 2, "$and: " },
		{ "{'$and': {}}", ERR_INVALID, 2, "needs an array" },
		{ "{'$and': [1]}", ERR_INVALID, 2, "$and[0]: " },
		{ "{'a': {'$in': 1}}", ERR_INVALID, 2, "needs an array, not int" },
		{ "{'a': {'$all': 1}}", ERR_INVALID, 2, "needs an array" },
		{ "{'a': {'$all': [{'$gt': 1}]}}", ERR_INVALID, 2, "inside $all" },
		{ "{'a': {'$all': [{'$elemMatch': {}}, 1]}}", ERR_INVALID, 2, "a.$all[1]: " },
		{ "{'a': {'$all': [1, {'$elemMatch': {}}]}}", ERR_INVALID, 2, "a.$all[1]: " },
		{ "{'a': {'$elemMatch': 1}}", ERR_INVALID, 2, "needs an object" },
		{ "{'a': {'$elemMatch': {'$gt': 1, 'b': 1}}}", ERR_INVALID, 2,
		  "unknown operator: b" },
		{ "{'a': {'$elemMatch': {'b': 1, '$gt': 1}}}", ERR_INVALID, 2, "top level" },
		{ "{'a': {'$not': {}}}", ERR_INVALID, 2, "empty" },
		{ "{'a': {'$not': 1}}", ERR_INVALID, 2, "$not needs" },
		{ "{'a': {'$not': {'b': 1}}}", ERR_INVALID, 2, "unknown operator: b" },
		{ "{'a': {'$gt': {'$regularExpression': {'pattern': 'b', 'options': ''}}}}",
		  ERR_INVALID, 2, "a.$gt: " },
		{ "{'a': {'$ne': {'$regularExpression': {'pattern': 'b', 'options': ''}}}}",
		  ERR_INVALID, 2, "a.$ne: " },
		{ "{'a': {'$undefined': true}}", ERR_INVALID, 2, "undefined" },
		{ "{'a': {'$in': [{'$undefined': true}]}}", ERR_INVALID, 2, "undefined" },
		{ "{'a': {'$options': 'i'}}", ERR_INVALID, 2, "$regex" },
		{ "{'a': {'$regex': 1}}", ERR_INVALID, 2, "not int" },
		{ "{'a': {'$regex': 'a', '$options': 1}}", ERR_INVALID, 2, "$options" },
		{ "{'a': {'$regex': 'a\\u0000b'}}", ERR_INVALID, 2, "NUL" },
		{ "{'a': {'$regex': 'a', '$options': 'g'}}", ERR_INVALID, 51108, "option" },
		{ "{'a': {'$regex': '(a'}}", ERR_INVALID, 51091, "a.$regex: malformed" },
		{ "{'a': {'$regex': {'$regularExpression': {'pattern': 'b', 'options': 'i'}}, "
		  "'$options': 's'}}",
		  ERR_INVALID, 51075, "both" },
		{ "{'a': {'$size': 2.5}}", ERR_INVALID, 2, "whole" },
		{ "{'a': {'$size': -1}}", ERR_INVALID, 2, "negative" },
		{ "{'a': {'$size': '1'}}", ERR_INVALID, 2, "whole" },
		{ "{'a': {'$type': 'strin'}}", ERR_INVALID, 2, "strin" },
		{ "{'a': {'$type': {}}}", ERR_INVALID, 14, "$type" },
		{ "{'a': {'$type': []}}", ERR_INVALID, 9, "at least one" },
		{ "{'a': {'$type': 99}}", ERR_INVALID, 2, "99" },
		{ "{'a': {'$type': 0}}", ERR_INVALID, 2, "$exists" },
		{ "{'a': {'$mod': [1]}}", ERR_INVALID, 2, "not 1" },
		{ "{'a': {'$mod': [1, 2, 3]}}", ERR_INVALID, 2, "not 3" },
		{ "{'a': {'$mod': [0, 2]}}", ERR_INVALID, 2, "cannot be 0" },
		{ "{'a': {'$mod': [0.5, 2]}}", ERR_INVALID, 2, "cannot be 0" },
		{ "{'a': {'$mod': ['1', 2]}}", ERR_INVALID, 2, "divisor" },
		{ "{'a': {'$mod': [{'$numberDouble': 'NaN'}, 2]}}", ERR_INVALID, 2, "divisor" },
		{ "{'a': {'$mod': [1, {'$numberDouble': 'Infinity'}]}}", ERR_INVALID, 2,
		  "remainder" },
		{ "{'a': {'$bitsAllSet': -1}}", ERR_INVALID, 9, "from 0" },
		{ "{'a': {'$bitsAllSet': 1.5}}", ERR_INVALID, 9, "whole" },
		{ "{'a': {'$bitsAllSet': [-1]}}", ERR_INVALID, 9, "$bitsAllSet[0]: " },
		{ "{'a': {'$bitsAllSet': 'x'}}", ERR_INVALID, 9, "not string" },
		{ "{'$alwaysTrue': 0}", ERR_INVALID, 9, "must be 1" },
		{ "{'$sampleRate': 1.5}", ERR_INVALID, 2, "between" },
		{ "{'a': {'$elemMatch': {'$expr': '$b'}}}", ERR_INVALID, 2,
		  "a.$elemMatch.$expr: " },
		{ "{'a': {'$elemMatch': {'$jsonSchema': {}}}}", ERR_INVALID, 2, "$jsonSchema" },
		{ "{'$jsonSchema': {'properties': {'a': {'minumum': 1}}}}", ERR_INVALID, 9,
		  "$jsonSchema: properties.a: unknown keyword: minumum; did you mean minimum?" },
		{ "{'$jsonSchema': 1}", ERR_INVALID, 14, "$jsonSchema: " },
		{ "{'$or': [{'$expr': {'$addd': [1, 2]}}]}", ERR_INVALID, 168, "$or[0].$expr" },
		{ "{'$where': 'x'}", ERR_UNSUPPORTED, 0, "$expr" },
		{ "{'$text': {'$search': 'x'}}", ERR_UNSUPPORTED, 0, "$text" },
		{ "{'a': {'$near': [1, 2]}}", ERR_UNSUPPORTED, 0, "a.$near: " },
		{ "{'a': {'$geoWithin': {}}}", ERR_UNSUPPORTED, 0, "$geoWithin" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = ERR_INIT;
		struct match *m = NULL;
		int rc = compile_json(rows[i].filter, &m, &e);
		if (rc != rows[i].code || e.number != rows[i].number ||
		    !strstr(e.msg, rows[i].text))
			fail_msg("%s: %d, %d, \"%s\"", rows[i].filter, rc, e.number, e.msg);
		assert_null(m);
		assert_int_equal(compile_json(rows[i].filter, &m, NULL), rows[i].code);
	}
}

/* ---- limits ---- */

static int compile_nested(int depth, const char *open, const char *close, struct err *e)
{
	AUTO(buf) struct buf text = BUF_INIT;
	struct match *m = NULL;
	buf_add_str(&text, "{'a': ");
	for (int i = 0; i < depth; i++)
		buf_add_str(&text, open);
	buf_add_str(&text, "{'$gt': 1}");
	for (int i = 0; i < depth; i++)
		buf_add_str(&text, close);
	buf_add_str(&text, "}");
	int rc = compile_json(buf_cstr(&text), &m, e);
	match_free(m);
	return rc;
}

static void nesting_ends_in_a_limit(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	assert_ok(compile_nested(MATCH_DEPTH_MAX - 1, "{'$not': ", "}", &e), &e);
	assert_int_equal(compile_nested(MATCH_DEPTH_MAX, "{'$not': ", "}", &e), ERR_LIMIT);
	assert_true(strstr(e.msg, "....$not.$not") != NULL);
	assert_ok(compile_nested(MATCH_DEPTH_MAX - 1, "{'$elemMatch': ", "}", &e), &e);
	assert_int_equal(compile_nested(MATCH_DEPTH_MAX, "{'$elemMatch': ", "}", &e), ERR_LIMIT);
	assert_ok(compile_nested(49, "{'$elemMatch': {'$and': [{'b': ", "}]}}", &e), &e);
}

/* Paths are short and fields are large: a filter must not take a hundred times its size. */
static void too_many_fields_end_in_a_limit(void **state)
{
	(void)state;
	AUTO(buf) struct buf spec = BUF_INIT, path = BUF_INIT;
	struct err e = ERR_INIT;
	struct match *m = NULL;
	struct bson_writer w;
	bson_writer_init(&w, &spec);
	for (int i = 0; i < 2000; i++) {
		buf_reset(&path);
		buf_add_fmt(&path, "%d", i);
		for (int k = 0; k < 150; k++)
			buf_add_str(&path, ".a");
		bson_put_int32(&w, buf_slice(&path), 1);
	}
	assert_ok(bson_finish(&w, &e), &e);
	assert_int_equal(match_compile(buf_slice(&spec), NULL, &m, &e), ERR_LIMIT);
	assert_true(strstr(e.msg, "different fields") != NULL);
}

static void a_catastrophic_pattern_ends_in_a_limit(void **state)
{
	(void)state;
	AUTO(buf) struct buf text = BUF_INIT;
	buf_add_str(&text, "{'a': '");
	for (int i = 0; i < 3000; i++)
		buf_add_str(&text, "a");
	buf_add_str(&text, "!'}");
	assert_int_equal(matches("{'a': {'$regex': '^(a|aa)+!$'}}", buf_cstr(&text)), 1);
	assert_int_equal(matches("{'a': {'$regex': '^(a|aa)+$'}}", buf_cstr(&text)), ERR_LIMIT);
}

/* Each level offers the element both as a field and by index. */
static void a_path_that_branches_at_every_level_ends_in_a_limit(void **state)
{
	(void)state;
	enum { DEPTH = 60 };
	AUTO(buf) struct buf filter = BUF_INIT, text = BUF_INIT;
	buf_add_str(&filter, "{'0");
	buf_add_str(&text, "{'0': ");
	for (int i = 0; i < DEPTH; i++) {
		buf_add_str(&filter, ".0");
		buf_add_str(&text, "[{'0': ");
	}
	buf_add_str(&filter, "': 7}");
	buf_add_str(&text, "1");
	for (int i = 0; i < DEPTH; i++)
		buf_add_str(&text, "}]");
	buf_add_str(&text, "}");
	assert_int_equal(matches_within(buf_cstr(&filter), buf_cstr(&text), 1000000), ERR_LIMIT);
}

/* Terms times elements: found or not, both count. */
static void many_terms_over_many_elements_end_in_a_limit(void **state)
{
	(void)state;
	enum { N = 3000 };
	AUTO(buf) struct buf list = BUF_INIT, all = BUF_INIT, any = BUF_INIT, text = BUF_INIT;
	for (int i = 0; i < N; i++)
		buf_add_fmt(&list, "%s%d", i ? "," : "", i);
	buf_add_str(&list, "]");
	buf_add_fmt(&all, "{'a': {'$all': [%s}}", buf_cstr(&list));
	buf_add_fmt(&text, "{'a': [%s}", buf_cstr(&list));
	assert_int_equal(matches(buf_cstr(&all), buf_cstr(&text)), 1);
	assert_int_equal(matches_within(buf_cstr(&all), buf_cstr(&text), 1000000), ERR_LIMIT);
	buf_reset(&text);
	buf_reset(&all);
	buf_add_str(&text, "{'a': [");
	for (int i = 0; i < 20; i++)
		buf_add_fmt(&text, "%s[%s", i ? "," : "", buf_cstr(&list));
	buf_add_str(&text, "]}");
	buf_add_fmt(&all, "{'a': [%s}", buf_cstr(&list));
	assert_int_equal(matches(buf_cstr(&all), buf_cstr(&text)), 1);
	buf_reset(&all);
	buf_add_fmt(&all, "{'a': [0,%s}", buf_cstr(&list));
	assert_int_equal(matches_within(buf_cstr(&all), buf_cstr(&text), 1000), ERR_LIMIT);
	buf_reset(&text);
	buf_add_str(&any, "{'$or': [");
	buf_add_str(&text, "{'a': [{");
	for (int i = 0; i < N; i++) {
		buf_add_fmt(&any, "%s{'a.x%d': 1}", i ? "," : "", i);
		buf_add_fmt(&text, "%s'y%d': 1", i ? "," : "", i);
	}
	buf_add_str(&any, "]}");
	buf_add_str(&text, "}]}");
	assert_int_equal(matches_within(buf_cstr(&any), buf_cstr(&text), 500000), ERR_LIMIT);
}

/* ---- memory ---- */

static const char *const busy_filter =
	"{'_id': {'$gt': 3}, 'a.b': {'$in': [1, 2, 3, 4, 5, 6, 7, 'x']}, 's': {'$regex': '(b+)c$'},"
	" 'l': {'$elemMatch': {'k': {'$gte': 2}, 'm': null}}, 'n': {'$all': [1, 2]},"
	" '$or': [{'x': 1}, {'y': {'$type': 'string'}}], 'z': {'$not': {'$size': 2}}}";
static const char *const busy_doc =
	"{'_id': 4, 'a': [{'b': 9}, {'b': 'x'}], 's': 'aabbc', 'l': [{'k': 1}, {'k': 2}],"
	" 'n': [3, 2, 1], 'y': 'q', 'z': [1]}";

static void a_warm_match_allocates_nothing(void **state)
{
	(void)state;
	AUTO(buf) struct buf spec = BUF_INIT, doc = BUF_INIT;
	struct err e = ERR_INIT;
	doc_of(busy_filter, &spec);
	doc_of(busy_doc, &doc);
	scarce_begin();
	struct match *m;
	struct eval ev;
	eval_init(&ev);
	assert_ok(match_compile(buf_slice(&spec), NULL, &m, &e), &e);
	eval_reset(&ev);
	assert_int_equal(match_doc(m, &ev, buf_slice(&doc), &e), 1);
	long before = scarce_calls();
	assert_true(before > 0);
	for (int i = 0; i < 1000; i++) {
		eval_reset(&ev);
		assert_int_equal(match_doc(m, &ev, buf_slice(&doc), &e), 1);
	}
	assert_int_equal(scarce_calls(), before);
	eval_done(&ev);
	match_free(m);
	scarce_end();
}

static void every_failed_allocation_is_an_error(void **state)
{
	(void)state;
	AUTO(buf) struct buf spec = BUF_INIT, doc = BUF_INIT;
	doc_of(busy_filter, &spec);
	doc_of(busy_doc, &doc);
	long k = 1;
	scarce_begin();
	for (;; k++) {
		struct err e = ERR_INIT;
		struct match *m = NULL;
		struct eval ev;
		scarce_fail(k, false);
		eval_init(&ev);
		int rc = match_compile(buf_slice(&spec), NULL, &m, &e);
		if (rc == 0)
			rc = match_doc(m, &ev, buf_slice(&doc), &e);
		match_free(m);
		eval_done(&ev);
		if (scarce_calls() < k) {
			assert_int_equal(rc, 1);
			break;
		}
		assert_int_equal(rc, ERR_NOMEM);
	}
	scarce_end();
	assert_true(k > 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(errors_name_the_place_and_the_cure),
		cmocka_unit_test(nesting_ends_in_a_limit),
		cmocka_unit_test(too_many_fields_end_in_a_limit),
		cmocka_unit_test(a_catastrophic_pattern_ends_in_a_limit),
		cmocka_unit_test(a_path_that_branches_at_every_level_ends_in_a_limit),
		cmocka_unit_test(many_terms_over_many_elements_end_in_a_limit),
		cmocka_unit_test(a_warm_match_allocates_nothing),
		cmocka_unit_test(every_failed_allocation_is_an_error),
	};
	return cmocka_run_group_tests_name("doc/match_limits", tests, NULL, NULL);
}
