/* Expressions: paths, variables and the laws (laziness, folding). Operators: doc_expr_operators; errors, limits and memory:
 * doc_expr_limits. */
#include "tests/doc_expr.h"

/* ---- paths and variables ---- */

static void paths_map_over_arrays_and_drop_what_is_missing(void **state)
{
	static const struct row rows[] = {
		{ "\"$a\"", "{\"a\":1}", "1i" },
		{ "\"$a.b.c\"", "{\"a\":{\"b\":{\"c\":true}}}", "true" },
		{ "\"$a.b\"", "{\"a\":[{\"b\":1},{\"c\":2},3,{\"b\":[4]}]}", "[1i,[4i]]" },
		{ "\"$a.0\"", "{\"a\":[1,2]}", "[]" },
		{ "\"$a.b\"", "{\"a\":5}", "missing" },
		{ "\"$b\"", "{\"a\":5}", "missing" },
		{ "\"$$ROOT.a\"", "{\"a\":5}", "5i" },
		{ "\"$$CURRENT.a\"", "{\"a\":5}", "5i" },
		{ "\"$$REMOVE\"", "{}", "missing" },
		{ "\"$$NOW\"", "{}", "{\"$date\":{\"$numberLong\":\"1600000000000\"}}" },
		{ "{\"x\":\"$a\",\"y\":\"$b\"}", "{\"a\":1}", "{\"x\":1i}" },
		{ "[\"$a\",\"$b\"]", "{\"a\":1}", "[1i,null]" },
		{ "{\"$literal\":\"$a\"}", "{\"a\":1}", "\"$a\"" },
	};
	(void)state;
	check_rows(rows, ARRAY_LEN(rows));
}

static void variables_are_seen_in_their_scope_only(void **state)
{
	static const struct row rows[] = {
		{ "{\"$let\":{\"vars\":{\"x\":\"$a\",\"y\":2},\"in\":{\"$add\":[\"$$x\",\"$$y\"]}}"
		  "}",
		  "{\"a\":1}", "3i" },
		/* a variable's value does not see its neighbours */
		{ "{\"$let\":{\"vars\":{\"x\":1},\"in\":{\"$let\":{\"vars\":{\"x\":2,\"y\":\"$$x\"}"
		  ","
		  "\"in\":[\"$$x\",\"$$y\"]}}}}",
		  "{}", "[2i,1i]" },
		{ "{\"$let\":{\"vars\":{\"CURRENT\":\"$a\"},\"in\":\"$b\"}}",
		  "{\"a\":{\"b\":7},\"b\":8}", "7i" },
		{ "{\"$map\":{\"input\":\"$a\",\"in\":{\"$map\":{\"input\":[1,2],\"as\":\"y\","
		  "\"in\":{\"$add\":[\"$$this\",\"$$y\"]}}}}}",
		  "{\"a\":[10,20]}", "[[11i,12i],[21i,22i]]" },
		/* a value that itself binds variables does not disturb those before it */
		{ "{\"$let\":{\"vars\":{\"x\":\"$a\",\"y\":{\"$map\":{\"input\":[1],\"in\":{\"$"
		  "add\":[\"$$this\",\"$a\"]}}}},"
		  "\"in\":[\"$$x\",\"$$y\"]}}",
		  "{\"a\":5}", "[5i,[6i]]" },
		{ "{\"$reduce\":{\"input\":[1,2,3],\"initialValue\":\"$a\",\"in\":{\"$add\":[\"$$"
		  "value\",\"$$this\"]}}}",
		  "{\"a\":10}", "16i" },
	};
	static const struct error_row errors[] = {
		{ "\"$$x\"", "{}", 17276 },
		{ "{\"$map\":{\"input\":[1],\"as\":\"x\",\"in\":\"$$this\"}}", "{}", 17276 },
		{ "{\"$map\":{\"input\":\"$$this\",\"in\":1}}", "{}", 17276 },
		{ "{\"$let\":{\"vars\":{\"X\":1},\"in\":1}}", "{}", 9 },
		{ "\"$\"", "{}", 16872 },
		{ "\"$a..b\"", "{}", 15998 },
		{ "\"$a.\"", "{}", 40353 },
		{ "\"$a.$b\"", "{}", 16410 },
	};
	(void)state;
	check_rows(rows, ARRAY_LEN(rows));
	check_errors(errors, ARRAY_LEN(errors));
}

static void a_caller_may_bring_variables_and_another_current(void **state)
{
	static const char *const vars[] = { "one", "two", NULL };
	AUTO(buf) struct buf d = BUF_INIT;
	struct err e = ERR_INIT;
	struct eval ev;
	struct value values[2] = { value_int32(1), value_int32(20) }, v;
	(void)state;
	struct expr *x = compiled("{\"$add\":[\"$$one\",\"$$two\",\"$a\",\"$$ROOT.b.a\"]}",
				  &(struct expr_options){ .vars = vars });
	assert_ok(json_to_bson(SLICE_LIT("{\"a\":100,\"b\":{\"a\":1000}}"), &d, NULL, &e), &e);
	struct expr_input in = { .root = buf_slice(&d), .vars = values };
	eval_init(&ev);
	assert_ok(expr_eval_input(x, &ev, &in, &v, &e), &e);
	assert_int_equal(v.i64, 1121);
	in.current = value_slice(bson_get_str(buf_slice(&d), "b"));
	assert_ok(expr_eval_input(x, &ev, &in, &v, &e), &e);
	assert_int_equal(v.i64, 2021);
	eval_done(&ev);
	expr_free(x);
}

static void virtual_roots_stand_for_a_document_that_does_not_exist(void **state)
{
	static const char *const names[] = { "op", "doc", NULL };
	AUTO(buf) struct buf d = BUF_INIT;
	AUTO(buf) struct buf text = BUF_INIT;
	struct err e = ERR_INIT;
	struct eval ev;
	struct value v;
	(void)state;
	assert_ok(json_to_bson(SLICE_LIT("{\"a\":{\"b\":3}}"), &d, NULL, &e), &e);
	struct value roots[2] = { value_string(SLICE_LIT("insert")), value_doc(buf_slice(&d)) };
	struct expr_options o = { .roots = names };
	struct expr_input in = { .roots = roots };
	struct expr *x = compiled("[\"$op\",\"$doc.a.b\",\"$none\"]", &o);
	assert_int_equal(expr_roots_used(x), 3);
	eval_init(&ev);
	assert_ok(expr_eval_input(x, &ev, &in, &v, &e), &e);
	json_from_value(v, JSON_RELAXED, &text);
	assert_string_equal(buf_cstr(&text), "[\"insert\",3,null]");
	expr_free(x);
	x = compiled("\"$$ROOT\"", &o);
	assert_true(expr_roots_used(x) == UINT64_MAX);
	assert_ok(expr_eval_input(x, &ev, &in, &v, &e), &e);
	buf_reset(&text);
	json_from_value(v, JSON_RELAXED, &text);
	assert_string_equal(buf_cstr(&text), "{\"op\":\"insert\",\"doc\":{\"a\":{\"b\":3}}}");
	expr_free(x);
	eval_done(&ev);
}

/* ---- laziness and folding ---- */

static void branches_not_taken_are_not_evaluated_unless_they_are_constant(void **state)
{
	static const struct row rows[] = {
		{ "{\"$cond\":[\"$a\",1,{\"$divide\":[1,\"$z\"]}]}", "{\"a\":true,\"z\":0}", "1i" },
		{ "{\"$and\":[\"$a\",{\"$divide\":[1,\"$z\"]}]}", "{\"a\":false,\"z\":0}",
		  "false" },
		{ "{\"$or\":[\"$a\",{\"$divide\":[1,\"$z\"]}]}", "{\"a\":1,\"z\":0}", "true" },
		{ "{\"$ifNull\":[\"$a\",{\"$divide\":[1,\"$z\"]}]}", "{\"a\":1,\"z\":0}", "1i" },
		{ "{\"$switch\":{\"branches\":[{\"case\":\"$a\",\"then\":1},"
		  "{\"case\":{\"$divide\":[1,\"$z\"]},\"then\":2}]}}",
		  "{\"a\":true,\"z\":0}", "1i" },
	};
	static const struct error_row errors[] = {
		{ "{\"$cond\":[true,1,{\"$divide\":[1,0]}]}", "{}", 2 },
		{ "{\"$cond\":[true,1,{\"$size\":[]}]}", "{}", 16020 },
		{ "{\"$switch\":{\"branches\":[{\"case\":false,\"then\":1}]}}", "{}", 40066 },
	};
	(void)state;
	check_rows(rows, ARRAY_LEN(rows));
	check_errors(errors, ARRAY_LEN(errors));
}

static void constants_are_computed_once_and_paths_are_recognised(void **state)
{
	struct value v;
	const struct slice *path;
	size_t n;
	(void)state;
	struct expr *x = compiled("{\"$add\":[1,{\"$multiply\":[2,3]}]}", NULL);
	assert_true(expr_is_constant(x, &v));
	assert_int_equal(v.i64, 7);
	assert_false(expr_is_field_path(x, &path, &n));
	expr_free(x);
	x = compiled("\"$a.b\"", NULL);
	assert_false(expr_is_constant(x, NULL));
	assert_true(expr_is_field_path(x, &path, &n));
	assert_int_equal(n, 2);
	assert_true(slice_is(path[1], "b"));
	expr_free(x);
	x = compiled("{\"$rand\":{}}", NULL);
	assert_false(expr_is_constant(x, NULL));
	expr_free(x);
}

static void a_random_number_is_fresh_and_below_one(void **state)
{
	struct eval ev;
	struct value a, b;
	struct err e = ERR_INIT;
	(void)state;
	struct expr *x = compiled("{\"$rand\":{}}", NULL);
	eval_init(&ev);
	assert_ok(expr_eval(x, &ev, BSON_EMPTY, &a, &e), &e);
	assert_ok(expr_eval(x, &ev, BSON_EMPTY, &b, &e), &e);
	assert_true(a.f64 >= 0 && a.f64 < 1 && b.f64 >= 0 && b.f64 < 1 && a.f64 != b.f64);
	eval_done(&ev);
	expr_free(x);
}

static int check_help(void *arg, const char *name, const char *group, const char *help)
{
	const char **last = arg;
	assert_true(name[0] == '$');
	assert_true(strcmp(*last, name) < 0);
	assert_true(*group && *help);
	*last = name;
	return 0;
}

static void every_operator_has_a_group_and_help(void **state)
{
	const char *last = "";
	(void)state;
	assert_int_equal(expr_operators(check_help, &last), 0);
	assert_string_equal(last, "$zip");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths_map_over_arrays_and_drop_what_is_missing),
		cmocka_unit_test(variables_are_seen_in_their_scope_only),
		cmocka_unit_test(a_caller_may_bring_variables_and_another_current),
		cmocka_unit_test(virtual_roots_stand_for_a_document_that_does_not_exist),
		cmocka_unit_test(branches_not_taken_are_not_evaluated_unless_they_are_constant),
		cmocka_unit_test(constants_are_computed_once_and_paths_are_recognised),
		cmocka_unit_test(a_random_number_is_fresh_and_below_one),
		cmocka_unit_test(every_operator_has_a_group_and_help),
	};
	return cmocka_run_group_tests_name("doc_expr", tests, NULL, NULL);
}
