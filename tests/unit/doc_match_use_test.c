/* How filters are used: on virtual roots and single values instead of documents, on unusual documents; what they say of
 * themselves. */
#include "tests/doc_match.h"

static const char *const roots[] = { "op", "ns", "fullDocument", NULL };

static void virtual_roots_match_like_documents(void **state)
{
	(void)state;
	static const struct {
		const char *filter;
		int expect;
		uint64_t used;
	} rows[] = {
		{ "{}", 1, 0 },
		{ "{'op': 'insert'}", 1, 1 },
		{ "{'ns.coll': 'c', 'ns.db': 'd'}", 1, 2 },
		{ "{'fullDocument.a.b': 2}", 1, 4 },
		{ "{'fullDocument.a.b': 3}", 0, 4 },
		{ "{'nothing': null}", 1, 0 },
		{ "{'nothing': 1}", 0, 0 },
		{ "{'$or': [{'op': 'delete'}, {'ns.coll': {'$in': ['a', 'c']}}]}", 1, 3 },
		{ "{'fullDocument': {'$exists': true}}", 1, 4 },
		{ "{'$expr': {'$eq': ['$ns.coll', 'c']}}", 1, 2 },
		{ "{'$jsonSchema': {'required': ['op', 'fullDocument'], 'maxProperties': 3}}", 1,
		  UINT64_MAX },
	};
	AUTO(buf) struct buf ns = BUF_INIT, full = BUF_INIT, spec = BUF_INIT;
	const struct value v[3] = {
		value_string(slice_str("insert")),
		value_doc(doc_of("{'db': 'd', 'coll': 'c'}", &ns)),
		value_doc(doc_of("{'a': [{'b': 1}, {'b': 2}]}", &full)),
	};
	struct eval ev;
	eval_init(&ev);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = ERR_INIT;
		struct match *m;
		assert_ok(match_compile(doc_of(rows[i].filter, &spec),
					&(struct match_options){ .roots = roots }, &m, &e),
			  &e);
		assert_int_equal(match_roots(m, &ev, v, &e), rows[i].expect);
		assert_int_equal(match_roots_used(m), rows[i].used);
		match_free(m);
	}
	eval_done(&ev);
}

static void a_single_value_matches_like_a_field(void **state)
{
	(void)state;
	static const struct {
		const char *spec, *value;
		int expect;
	} rows[] = {
		{ "{'v': {'$gt': 3}}", "{'v': 5}", 1 },
		{ "{'v': {'$gt': 3}}", "{'v': [1]}", 0 },
		{ "{'v': 5}", "{'v': 5.0}", 1 },
		{ "{'v': {'x': 1}}", "{'v': {'x': 1}}", 1 },
		{ "{'v': {'$not': {'$in': [1, 2]}}}", "{'v': 3}", 1 },
		{ "{'v': {'$regularExpression': {'pattern': 'b', 'options': ''}}}", "{'v': 'abc'}",
		  1 },
	};
	struct eval ev;
	eval_init(&ev);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(buf) struct buf spec = BUF_INIT, value = BUF_INIT;
		struct err e = ERR_INIT;
		struct match *m;
		assert_ok(match_value_compile(bson_get_str(doc_of(rows[i].spec, &spec), "v"), &m,
					      &e),
			  &e);
		buf_done(&spec); /* the match keeps a copy */
		spec = (struct buf)BUF_INIT;
		struct value v = bson_get_str(doc_of(rows[i].value, &value), "v");
		assert_int_equal(match_value(m, &ev, v, &e), rows[i].expect);
		match_free(m);
	}
	eval_done(&ev);
}

static void filters_on_very_many_fields_work(void **state)
{
	(void)state;
	AUTO(buf) struct buf filter = BUF_INIT, text = BUF_INIT;
	buf_add_str(&filter, "{'z': 1");
	buf_add_str(&text, "{'z': 1");
	for (int i = 0; i < 500; i++) {
		buf_add_fmt(&filter, ", 'field%d.x%d': %d", i, i % 7, i);
		buf_add_fmt(&text, ", 'field%d': {'x%d': %d}", i, i % 7, i);
	}
	AUTO(buf) struct buf wrong = BUF_INIT;
	buf_add(&wrong, text.p, text.len);
	buf_add_str(&filter, "}");
	buf_add_str(&text, "}");
	buf_add_str(&wrong, ", 'last': 1}");
	assert_int_equal(matches(buf_cstr(&filter), buf_cstr(&text)), 1);
	filter.len--;
	buf_add_str(&filter, ", 'last': 2}");
	assert_int_equal(matches(buf_cstr(&filter), buf_cstr(&wrong)), 0);
}

static void the_first_of_two_fields_with_one_name_wins(void **state)
{
	(void)state;
	AUTO(buf) struct buf doc = BUF_INIT;
	struct bson_writer w;
	struct err e = ERR_INIT;
	struct match *m;
	struct eval ev;
	bson_writer_init(&w, &doc);
	bson_put_int32(&w, SLICE_LIT("a"), 1);
	bson_put_int32(&w, SLICE_LIT("a"), 2);
	bson_put_int32(&w, SLICE_LIT("b"), 3);
	assert_ok(bson_finish(&w, &e), &e);
	eval_init(&ev);
	assert_ok(compile_json("{'b': 3, 'a': 1}", &m, &e), &e);
	assert_int_equal(match_doc(m, &ev, buf_slice(&doc), &e), 1);
	match_free(m);
	assert_ok(compile_json("{'b': 3, 'a': 2}", &m, &e), &e);
	assert_int_equal(match_doc(m, &ev, buf_slice(&doc), &e), 0);
	match_free(m);
	eval_done(&ev);
}

static void knows_when_it_accepts_everything(void **state)
{
	(void)state;
	struct match *m;
	assert_int_equal(compile_json("{'$comment': 'x', '$alwaysTrue': 1}", &m, NULL), 0);
	match_free(m);
	assert_int_equal(compile_json("{}", &m, NULL), 0);
	assert_true(match_is_all(m));
	match_free(m);
	assert_int_equal(compile_json("{'a': 1}", &m, NULL), 0);
	assert_false(match_is_all(m));
	match_free(m);
}

static void explains_itself(void **state)
{
	(void)state;
	AUTO(buf) struct buf text = BUF_INIT;
	struct match *m;
	assert_int_equal(
		compile_json(
			"{'a.b': {'$gte': 4.5, '$ne': null}, 'c': {'$in': [1, null, 'x', 2, 3]},"
			" '$nor': [{'d': {'$elemMatch': {'$lt': 3}}}, {'e': {'$type': 'number'}}]}",
			&m, NULL),
		0);
	match_explain(m, &text);
	assert_string_equal(buf_cstr(&text), "all of\n"
					     "  a.b >= 4.5\n"
					     "  not a.b = null\n"
					     "  c in [null, 1, 2, ... 5 values]\n"
					     "  not any of\n"
					     "    e of type double or int or long or decimal\n"
					     "    d has an element with\n"
					     "      value < 3\n");
	match_free(m);
}

static int check_listed(void *arg, const char *name, const char *group, const char *help)
{
	assert_true(name[0] == '$' && group[0] && help[0]);
	++*(int *)arg;
	return strcmp(name, "$size") == 0 ? 7 : 0;
}

static void lists_its_operators_until_told_to_stop(void **state)
{
	(void)state;
	int n = 0;
	assert_int_equal(match_operators(check_listed, &n), 7);
	assert_true(n > 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(virtual_roots_match_like_documents),
		cmocka_unit_test(a_single_value_matches_like_a_field),
		cmocka_unit_test(filters_on_very_many_fields_work),
		cmocka_unit_test(the_first_of_two_fields_with_one_name_wins),
		cmocka_unit_test(knows_when_it_accepts_everything),
		cmocka_unit_test(explains_itself),
		cmocka_unit_test(lists_its_operators_until_told_to_stop),
	};
	return cmocka_run_group_tests_name("doc/match_use", tests, NULL, NULL);
}
