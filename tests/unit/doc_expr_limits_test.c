/* Expressions that are refused, that end in a limit, or run out of memory. */
#include "tests/doc_expr.h"
#include "tests/scarce.h"

#include "doc/timezone.h"
#include "os/tzfile.h"

/* ---- errors ---- */

static void an_error_names_its_place_and_a_near_operator(void **state)
{
	AUTO(buf) struct buf b = BUF_INIT;
	struct err e = ERR_INIT;
	struct value v;
	struct expr *x;
	(void)state;
	assert_ok(json_to_value(SLICE_LIT("{\"$add\":[1,{\"x\":{\"$substrCp\":[1,2,3]}}]}"), &b, &v,
				NULL, &e),
		  &e);
	int rc = expr_compile(v, &(struct expr_options){ .place = "$project.a" }, &x, &e);
	assert_int_equal(rc, ERR_INVALID);
	assert_int_equal(e.number, 168);
	assert_non_null(strstr(e.msg, "$project.a.$add[1].x"));
	assert_non_null(strstr(e.msg, "did you mean '$substrCP'?"));
}

static void what_needs_a_server_is_refused(void **state)
{
	static const char *const specs[] = {
		"{\"$function\":{\"body\":\"x\",\"args\":[],\"lang\":\"js\"}}",
		"{\"$meta\":\"textScore\"}", "\"$$CLUSTER_TIME\""
	};
	struct err e;
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(specs); i++)
		assert_int_equal(failure(specs[i], "{}", &e), ERR_UNSUPPORTED);
}

/* ---- limits ---- */

static void hostile_specs_end_in_a_limit(void **state)
{
	static const char *const specs[] = {
		"{\"$size\":{\"$range\":[0,2147483647]}}",
		"{\"$reduce\":{\"input\":{\"$range\":[0,100000]},\"initialValue\":[],\"in\":[\"$$"
		"value\"]}}",
		"{\"$reduce\":{\"input\":{\"$range\":[0,60]},\"initialValue\":\"xxxxxxxxxxxxxxxx\","
		"\"in\":{\"$concat\":[\"$$value\",\"$$value\"]}}}",
		"{\"$reduce\":{\"input\":{\"$range\":[0,60]},\"initialValue\":[1,2,3],"
		"\"in\":{\"$concatArrays\":[\"$$value\",\"$$value\"]}}}",
		"{\"$map\":{\"input\":{\"$range\":[0,100000]},\"in\":{\"$map\":{\"input\":{\"$"
		"range\":[0,\"$n\"]},"
		"\"in\":1}}}}",
		"{\"$let\":{\"vars\":{\"s\":{\"$reduce\":{\"input\":{\"$range\":[0,19]},"
		"\"initialValue\":\"ab\",\"in\":{\"$concat\":[\"$$value\",\"$$value\"]}}}},"
		"\"in\":{\"$trim\":{\"input\":\"$$s\",\"chars\":{\"$concat\":["
		"{\"$replaceAll\":{\"input\":\"$$s\",\"find\":\"ab\",\"replacement\":\"xy\"}},"
		"\"ab\"]}}}}}",
		"{\"$regexMatch\":{\"input\":"
		"\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\",\"regex\":\"(a+)+$\"}}",
		"{\"$replaceAll\":{\"input\":{\"$reduce\":{\"input\":{\"$range\":[0,18]},"
		"\"initialValue\":\"ab\","
		"\"in\":{\"$concat\":[\"$$value\",\"$$value\"]}}},\"find\":\"\",\"replacement\":"
		"{\"$reduce\":{\"input\":{\"$range\":[0,14]},\"initialValue\":\"ab\","
		"\"in\":{\"$concat\":[\"$$value\",\"$$value\"]}}}}}",
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(specs); i++) {
		struct err e;
		int rc = failure(specs[i], "{\"n\":100000}", &e);
		if (rc != ERR_LIMIT)
			fail_msg("%s: %d %s", specs[i], rc, e.msg);
	}
}

static void a_spec_that_nests_too_deeply_is_refused(void **state)
{
	AUTO(buf) struct buf text = BUF_INIT;
	struct err e;
	(void)state;
	for (int i = 0; i < EXPR_DEPTH_MAX + 5; i++)
		buf_add_str(&text, "{\"$not\":");
	buf_add_str(&text, "\"$a\"");
	for (int i = 0; i < EXPR_DEPTH_MAX + 5; i++)
		buf_add_byte(&text, '}');
	assert_int_equal(failure(buf_cstr(&text), "{}", &e), ERR_LIMIT);
}

static void steps_are_counted(void **state)
{
	struct eval ev;
	struct value v;
	struct err e = ERR_INIT;
	(void)state;
	struct expr *x =
		compiled("{\"$map\":{\"input\":\"$a\",\"in\":{\"$add\":[\"$$this\",1]}}}", NULL);
	AUTO(buf) struct buf d = BUF_INIT;
	assert_ok(json_to_bson(SLICE_LIT("{\"a\":[1,2,3,4,5,6,7,8]}"), &d, NULL, &e), &e);
	eval_init(&ev);
	ev.steps_max = 10;
	assert_int_equal(expr_eval(x, &ev, buf_slice(&d), &v, &e), ERR_LIMIT);
	eval_done(&ev);
	expr_free(x);
}

static void a_warm_evaluation_allocates_nothing(void **state)
{
	AUTO(buf) struct buf d = BUF_INIT;
	struct eval ev;
	struct value v;
	struct err e = ERR_INIT;
	(void)state;
	struct expr *x = compiled(
		"{\"s\":{\"$concat\":[\"$n\",\"-\",{\"$toString\":\"$i\"}]},\"m\":{\"$map\":{"
		"\"input\":\"$a\","
		"\"in\":{\"$add\":[\"$$this\",1]}}},\"d\":{\"$dateToString\":{\"date\":\"$t\"}},"
		"\"u\":{\"$setUnion\":[\"$a\",[1,9]]}}",
		NULL);
	assert_ok(json_to_bson(SLICE_LIT("{\"n\":\"name\",\"i\":5,\"a\":[1,2,3],\"t\":{\"$date\":"
					 "\"2020-01-01T00:00:00Z\"}}"),
			       &d, NULL, &e),
		  &e);
	eval_init(&ev);
	for (int i = 0; i < 100; i++) {
		if (i == 2)
			scarce_begin();
		eval_reset(&ev);
		assert_ok(expr_eval(x, &ev, buf_slice(&d), &v, &e), &e);
	}
	scarce_end();
	assert_int_equal(scarce_calls(), 0);
	eval_done(&ev);
	expr_free(x);
}

static int compile_and_run(struct value spec, struct slice doc)
{
	struct expr *x;
	struct eval ev;
	struct value v;
	struct err e = ERR_INIT;
	int rc = expr_compile(spec, NULL, &x, &e);
	if (rc < 0)
		return rc;
	eval_init(&ev);
	rc = expr_eval(x, &ev, doc, &v, &e);
	eval_done(&ev);
	expr_free(x);
	return rc;
}

static void running_out_of_memory_is_an_error_anywhere(void **state)
{
	AUTO(buf) struct buf b = BUF_INIT;
	AUTO(buf) struct buf d = BUF_INIT;
	struct err e = ERR_INIT;
	struct value v;
	int rc = ERR_NOMEM;
	(void)state;
	timezone_set_loader(tzfile_load);
	assert_ok(json_to_value(
			  SLICE_LIT(
				  "{\"m\":{\"$map\":{\"input\":{\"$range\":[0,\"$n\"]},\"in\":{\"$"
				  "concat\":[\"$s\","
				  "{\"$toString\":\"$$this\"}]}}},\"r\":{\"$regexFind\":{\"input\":"
				  "\"$s\",\"regex\":"
				  "\"x+\"}},\"q\":{\"$regexMatch\":{\"input\":\"$s\",\"regex\":\"$"
				  "s\"}},"
				  "\"d\":{\"$hour\":{\"date\":\"$t\",\"timezone\":\"$z\"}},"
				  "\"f\":{\"$dateToString\":{\"date\":\"$t\",\"timezone\":\"Asia/"
				  "Tokyo\"}},"
				  "\"u\":{\"$serializeEJSON\":{\"input\":\"$$ROOT\"}},"
				  "\"o\":{\"$sortArray\":{\"input\":[3,1,\"$n\"],\"sortBy\":1}}}"),
			  &b, &v, NULL, &e),
		  &e);
	assert_ok(
		json_to_bson(
			SLICE_LIT(
				"{\"n\":300,\"s\":\"xxy\",\"z\":\"Europe/Paris\",\"t\":{\"$date\":"
				"\"2020-01-01T00:00:00Z\"}}"),
			&d, NULL, &e),
		&e);
	for (long k = 0; rc < 0 && k < 2000; k++) {
		scarce_begin();
		scarce_fail(k + 1, true);
		rc = compile_and_run(v, buf_slice(&d));
		scarce_end();
		if (rc != 0 && rc != ERR_NOMEM)
			fail_msg("allocation %ld: %d", k, rc);
	}
	assert_int_equal(rc, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_error_names_its_place_and_a_near_operator),
		cmocka_unit_test(what_needs_a_server_is_refused),
		cmocka_unit_test(hostile_specs_end_in_a_limit),
		cmocka_unit_test(a_spec_that_nests_too_deeply_is_refused),
		cmocka_unit_test(steps_are_counted),
		cmocka_unit_test(a_warm_evaluation_allocates_nothing),
		cmocka_unit_test(running_out_of_memory_is_an_error_anywhere),
	};
	return cmocka_run_group_tests_name("doc/expr_limits", tests, NULL, NULL);
}
