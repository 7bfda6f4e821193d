/* Expressions: what the conformance data leave out, the laws (laziness, folding, limits), and the calendar underneath. */
#include "tests/scarce.h"
#include "tests/test.h"

#include "doc/compare.h"
#include "doc/datetime.h"
#include "doc/expr.h"
#include "doc/json.h"
#include "doc/sort.h"
#include "doc/timezone.h"
#include "os/tzfile.h"

#include <stdio.h>

/* ---- helpers ---- */

static struct expr *compiled(const char *spec, const struct expr_options *o)
{
	AUTO(buf) struct buf b = BUF_INIT;
	struct err e = ERR_INIT;
	struct value v;
	struct expr *x = NULL;
	assert_ok(json_to_value(slice_str(spec), &b, &v, NULL, &e), &e);
	assert_ok(expr_compile(v, o, &x, &e), &e);
	return x;
}

/* The number and code of the error of compiling, or else of evaluating on doc. */
static int failure(const char *spec, const char *doc, struct err *e)
{
	AUTO(buf) struct buf b = BUF_INIT;
	AUTO(buf) struct buf d = BUF_INIT;
	struct value v;
	struct expr *x;
	struct eval ev;
	*e = (struct err)ERR_INIT;
	assert_ok(json_to_value(slice_str(spec), &b, &v, NULL, e), e);
	assert_ok(json_to_bson(slice_str(doc), &d, NULL, e), e);
	int rc = expr_compile(v, NULL, &x, e);
	if (rc < 0)
		return rc;
	eval_init(&ev);
	rc = expr_eval(x, &ev, buf_slice(&d), &v, e);
	eval_done(&ev);
	expr_free(x);
	return rc;
}

static void eval_text(const char *spec, const char *doc, struct buf *out)
{
	AUTO(buf) struct buf d = BUF_INIT;
	struct err e = ERR_INIT;
	struct eval ev;
	struct value v;
	struct expr *x = compiled(spec, NULL);
	assert_ok(json_to_bson(slice_str(doc), &d, NULL, &e), &e);
	eval_init(&ev);
	ev.now_ms = 1600000000000;
	int rc = expr_eval(x, &ev, buf_slice(&d), &v, &e);
	if (rc < 0)
		fail_msg("%s on %s: %s", spec, doc, e.msg);
	if (v.type == BSON_MISSING)
		buf_add_str(out, "missing");
	else
		json_from_value(v, JSON_CANONICAL, out);
	eval_done(&ev);
	expr_free(x);
}

/* want: canonical Extended JSON, or "missing"; short forms int, long, double are written in the test with I, L, D. */
struct row {
	const char *spec, *doc, *want;
};

/* 5i 5l 5.0d outside strings become $numberInt, $numberLong, $numberDouble. */
static void canonical(const char *text, struct buf *out)
{
	bool quoted = false;
	for (const char *p = text; *p;) {
		size_t n = strspn(p, "-0123456789.eE+");
		char kind = n ? p[n] : 0;
		if (*p == '"')
			quoted = !quoted;
		if (quoted || !n || !strchr("ild", kind) || !kind) {
			buf_add_byte(out, (uint8_t)*p++);
			continue;
		}
		buf_add_fmt(out, "{\"$number%s\":\"%.*s\"}",
			    kind == 'i'   ? "Int"
			    : kind == 'l' ? "Long"
					  : "Double",
			    (int)n, p);
		p += n + 1;
	}
}

static void check_rows(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		AUTO(buf) struct buf got = BUF_INIT;
		AUTO(buf) struct buf want = BUF_INIT;
		eval_text(rows[i].spec, rows[i].doc, &got);
		canonical(rows[i].want, &want);
		if (strcmp(buf_cstr(&got), buf_cstr(&want)) != 0)
			fail_msg("%s on %s: %s instead of %s", rows[i].spec, rows[i].doc,
				 buf_cstr(&got), buf_cstr(&want));
	}
}

struct error_row {
	const char *spec, *doc;
	int number;
};

static void check_errors(const struct error_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct err e;
		int rc = failure(rows[i].spec, rows[i].doc, &e);
		if (rc == 0)
			fail_msg("%s on %s: no error", rows[i].spec, rows[i].doc);
		if (e.number != rows[i].number)
			fail_msg("%s: number %d instead of %d (%s)", rows[i].spec, e.number,
				 rows[i].number, e.msg);
	}
}

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

/* ---- operators ---- */

static void numbers_widen_as_they_must(void **state)
{
	static const struct row rows[] = {
		{ "{\"$add\":[2147483647,1]}", "{}", "2147483648l" },
		{ "{\"$add\":[{\"$numberLong\":\"9223372036854775807\"},1]}", "{}",
		  "9.223372036854776E+18d" },
		{ "{\"$multiply\":[65536,65536]}", "{}", "4294967296l" },
		{ "{\"$add\":[0.1,0.2,-0.3]}", "{}", "2.7755575615628914E-17d" },
		{ "{\"$add\":[1e100,1,-1e100]}", "{}", "1.0d" },
		{ "{\"$subtract\":[{\"$numberInt\":\"-2147483648\"},1]}", "{}", "-2147483649l" },
		{ "{\"$divide\":[6,3]}", "{}", "2.0d" },
		{ "{\"$mod\":[-7,3]}", "{}", "-1i" },
		{ "{\"$mod\":[{\"$numberLong\":\"-9223372036854775808\"},-1]}", "{}", "0l" },
		{ "{\"$round\":[2.5]}", "{}", "2.0d" },
		{ "{\"$round\":[1250,-2]}", "{}", "1200i" },
		{ "{\"$round\":[2147483647,-1]}", "{}", "2147483650l" },
		{ "{\"$trunc\":[-1250,-2]}", "{}", "-1200i" },
		{ "{\"$bitAnd\":[12,10]}", "{}", "8i" },
		{ "{\"$bitOr\":[12,{\"$numberLong\":\"3\"}]}", "{}", "15l" },
		{ "{\"$bitXor\":[12,10]}", "{}", "6i" },
		{ "{\"$bitNot\":5}", "{}", "-6i" },
		{ "{\"$bitAnd\":[]}", "{}", "-1i" },
	};
	static const struct error_row errors[] = {
		{ "{\"$add\":[1,\"x\"]}", "{}", 14 },
		{ "{\"$bitAnd\":[1.5]}", "{}", 14 },
		{ "{\"$abs\":{\"$numberLong\":\"-9223372036854775808\"}}", "{}", 28680 },
		{ "{\"$round\":[1,101]}", "{}", 51083 },
		{ "{\"$round\":[{\"$numberLong\":\"9223372036854775807\"},-1]}", "{}", 51080 },
		{ "{\"$mod\":[1,0]}", "{}", 16610 },
	};
	(void)state;
	check_rows(rows, ARRAY_LEN(rows));
	check_errors(errors, ARRAY_LEN(errors));
}

static void arrays_are_mapped_folded_zipped_and_sorted(void **state)
{
	static const struct row rows[] = {
		{ "{\"$map\":{\"input\":\"$a\",\"as\":\"x\",\"in\":{\"$multiply\":[\"$$x\",2]}}}",
		  "{\"a\":[1,2]}", "[2i,4i]" },
		{ "{\"$map\":{\"input\":\"$a\",\"in\":\"$$this.b\"}}", "{\"a\":[{\"b\":1},{}]}",
		  "[1i,null]" },
		{ "{\"$map\":{\"input\":null,\"in\":1}}", "{}", "null" },
		{ "{\"$map\":{\"input\":[7,8],\"arrayIndexAs\":\"i\",\"in\":[\"$$i\",\"$$this\"]}}",
		  "{}", "[[0i,7i],[1i,8i]]" },
		{ "{\"$filter\":{\"input\":[7,8,9],\"as\":\"x\",\"arrayIndexAs\":\"i\",\"cond\":"
		  "{\"$ne\":[\"$$i\",1]}}}",
		  "{}", "[7i,9i]" },
		{ "{\"$reduce\":{\"input\":[5,5,5],\"initialValue\":0,\"arrayIndexAs\":\"i\","
		  "\"in\":{\"$add\":[\"$$value\",\"$$i\"]}}}",
		  "{}", "3i" },
		{ "{\"$zip\":{\"inputs\":[[1,2],[\"a\"]]}}", "{}", "[[1i,\"a\"]]" },
		{ "{\"$zip\":{\"inputs\":[[1,2],[\"a\"]],\"useLongestLength\":true,\"defaults\":[0,"
		  "\"z\"]}}",
		  "{}", "[[1i,\"a\"],[2i,\"z\"]]" },
		{ "{\"$zip\":{\"inputs\":[[1],null]}}", "{}", "null" },
		{ "{\"$isArray\":[[1]]}", "{}", "true" },
		{ "{\"$isArray\":1}", "{}", "false" },
		{ "{\"$sortArray\":{\"input\":[{\"a\":2,\"b\":1},{\"a\":1,\"b\":1},{\"a\":1,\"b\":"
		  "2}],"
		  "\"sortBy\":{\"a\":1,\"b\":-1}}}",
		  "{}", "[{\"a\":1i,\"b\":2i},{\"a\":1i,\"b\":1i},{\"a\":2i,\"b\":1i}]" },
		{ "{\"$sortArray\":{\"input\":[3,\"x\",null,1],\"sortBy\":-1}}", "{}",
		  "[\"x\",3i,1i,null]" },
		{ "{\"$range\":[0,11,1]}", "{}", "[0i,1i,2i,3i,4i,5i,6i,7i,8i,9i,10i]" },
		{ "{\"$slice\":[[1,2,3],-2]}", "{}", "[2i,3i]" },
		{ "{\"$arrayToObject\":[[[\"a\",1],[\"b\",2],[\"a\",3]]]}", "{}",
		  "{\"a\":3i,\"b\":2i}" },
		{ "{\"$type\":\"$x\"}", "{}", "\"missing\"" },
		{ "{\"$type\":[[1]]}", "{}", "\"array\"" },
	};
	static const struct error_row errors[] = {
		{ "{\"$map\":{\"input\":1,\"in\":1}}", "{}", 16883 },
		{ "{\"$map\":{\"input\":[],\"in\":1,\"x\":2}}", "{}", 16879 },
		{ "{\"$map\":{\"in\":1}}", "{}", 16880 },
		{ "{\"$map\":{\"input\":\"$$i\",\"arrayIndexAs\":\"i\",\"in\":1}}", "{}", 17276 },
		{ "{\"$map\":{\"input\":[],\"arrayIndexAs\":1,\"in\":1}}", "{}", 9 },
		{ "{\"$map\":{\"input\":[],\"arrayIndexAs\":\"I\",\"in\":1}}", "{}", 9 },
		{ "{\"$reduce\":{\"input\":1,\"initialValue\":0,\"in\":1}}", "{}", 40080 },
		{ "{\"$reduce\":{\"initialValue\":0,\"in\":1}}", "{}", 40077 },
		{ "{\"$zip\":{\"inputs\":[]}}", "{}", 34465 },
		{ "{\"$zip\":{\"inputs\":[[1]],\"defaults\":[1]}}", "{}", 34466 },
		{ "{\"$sortArray\":{\"input\":[]}}", "{}", 2942503 },
		{ "{\"$size\":\"$a\"}", "{}", 17124 },
	};
	(void)state;
	check_rows(rows, ARRAY_LEN(rows));
	check_errors(errors, ARRAY_LEN(errors));
}

static void medians_and_percentiles_are_exact(void **state)
{
	static const struct row rows[] = {
		{ "{\"$median\":{\"input\":\"$a\",\"method\":\"approximate\"}}",
		  "{\"a\":[3,1,\"x\",2]}", "2.0d" },
		{ "{\"$median\":{\"input\":[],\"method\":\"approximate\"}}", "{}", "null" },
		{ "{\"$percentile\":{\"input\":[1,2,3,4],\"p\":[0,0.5,1],\"method\":"
		  "\"approximate\"}}",
		  "{}", "[1.0d,2.0d,4.0d]" },
		{ "{\"$percentile\":{\"input\":[1,2,3,4],\"p\":[0.5],\"method\":\"continuous\"}}",
		  "{}", "[2.5d]" },
		{ "{\"$stdDevPop\":[2,4,4,4,5,5,7,9]}", "{}", "2.0d" },
		{ "{\"$stdDevSamp\":[1]}", "{}", "null" },
	};
	static const struct error_row errors[] = {
		{ "{\"$median\":{\"input\":[],\"method\":\"best\"}}", "{}", 2 },
		{ "{\"$percentile\":{\"input\":[1],\"p\":[2],\"method\":\"approximate\"}}", "{}",
		  7750303 },
		{ "{\"$percentile\":{\"input\":[1],\"p\":[],\"method\":\"approximate\"}}", "{}",
		  7750301 },
	};
	(void)state;
	check_rows(rows, ARRAY_LEN(rows));
	check_errors(errors, ARRAY_LEN(errors));
}

#define CONVERT(input, to, more) "{\"$convert\":{\"input\":" input ",\"to\":\"" to "\"" more "}}"
#define BINARY(base64)           "{\"$binary\":{\"base64\":\"" base64 "\",\"subType\":\"00\"}}"

static void whole_numbers_have_a_base_and_numbers_an_order_of_bytes(void **state)
{
	static const struct row rows[] = {
		{ CONVERT("\"fF\"", "int", ",\"base\":16"), "{}", "255i" },
		{ CONVERT("\"-101\"", "long", ",\"base\":2"), "{}", "-5l" },
		{ CONVERT("\"17\"", "double", ",\"base\":8"), "{}", "15.0d" },
		{ CONVERT("-255", "string", ",\"base\":16"), "{}", "\"-FF\"" },
		{ CONVERT("{\"$numberLong\":\"-9223372036854775808\"}", "string", ",\"base\":16"),
		  "{}", "\"-8000000000000000\"" },
		{ CONVERT("\"12\"", "int", ",\"base\":null"), "{}", "12i" },
		{ CONVERT(BINARY("BQAAAA=="), "int", ""), "{}", "5i" },
		{ CONVERT(BINARY("BQAAAA=="), "int", ",\"byteOrder\":\"big\""), "{}", "83886080i" },
		{ CONVERT(BINARY("/w=="), "int", ""), "{}", "-1i" },
		{ CONVERT(BINARY("/v///////38="), "long", ""), "{}", "9223372036854775806l" },
		{ CONVERT(BINARY("P/gAAAAAAAA="), "double", ",\"byteOrder\":\"big\""), "{}",
		  "1.5d" },
		{ CONVERT(BINARY("AADAPw=="), "double", ""), "{}", "1.5d" },
		{ "{\"$toString\":" BINARY("aGk=") "}", "{}", "\"aGk=\"" },
	};
	static const struct error_row errors[] = {
		{ CONVERT("\"12\"", "int", ",\"base\":2"), "{}", 241 },
		{ CONVERT("\"12\"", "int", ",\"base\":7"), "{}", 9 },
		{ CONVERT("1.5", "string", ",\"base\":2"), "{}", 241 },
		{ CONVERT("1", "binData", ",\"byteOrder\":\"middle\""), "{}", 9 },
		{ CONVERT(BINARY("BQAA"), "int", ""), "{}", 241 },
		{ CONVERT("1", "binData", ",\"format\":\"base64\""), "{}", 241 },
		{ CONVERT(BINARY("BQAAAAAAAAA="), "int", ""), "{}", 241 },
		{ CONVERT(BINARY("BQ=="), "double", ""), "{}", 241 },
	};
	(void)state;
	check_rows(rows, ARRAY_LEN(rows));
	check_errors(errors, ARRAY_LEN(errors));
	static const char *const back[] = { "7", "-1", "{\"$numberLong\":\"-2\"}", "0.1" };
	static const char *const type[] = { "int", "int", "long", "double" };
	for (size_t i = 0; i < ARRAY_LEN(back); i++) {
		char spec[400];
		snprintf(
			spec, sizeof(spec),
			"{\"$eq\":[%s,{\"$convert\":{\"to\":\"%s\",\"byteOrder\":\"big\",\"input\":"
			"{\"$convert\":{\"input\":%s,\"to\":\"binData\",\"byteOrder\":\"big\"}}}}]"
			"}",
			back[i], type[i], back[i]);
		check_rows(&(struct row){ spec, "{}", "true" }, 1);
	}
}

static void texts_convert_strictly(void **state)
{
	static const struct row rows[] = {
		{ "{\"$toInt\":\"-5\"}", "{}", "-5i" },
		{ "{\"$toLong\":2.9}", "{}", "2l" },
		{ "{\"$toDouble\":\"1e3\"}", "{}", "1000.0d" },
		{ "{\"$toBool\":\"\"}", "{}", "true" },
		{ "{\"$toString\":1.5}", "{}", "\"1.5\"" },
		{ "{\"$toString\":0.1}", "{}", "\"0.1\"" },
		{ "{\"$toString\":{\"$numberDouble\":\"-0.0\"}}", "{}", "\"-0\"" },
		{ "{\"$toString\":1e100}", "{}", "\"1e+100\"" },
		{ "{\"$toString\":-1.25e-7}", "{}", "\"-1.25e-07\"" },
		{ "{\"$toString\":123456789012.5}", "{}", "\"123456789012.5\"" },
		{ "{\"$toString\":0.0001}", "{}", "\"0.0001\"" },
		{ "{\"$toString\":{\"$numberDouble\":\"120\"}}", "{}", "\"120\"" },
		{ "{\"$toString\":{\"$numberDouble\":\"3.0\"}}", "{}", "\"3\"" },
		{ "{\"$toString\":{\"$date\":\"2020-01-02T03:04:05.006Z\"}}", "{}",
		  "\"2020-01-02T03:04:05.006Z\"" },
		{ "{\"$convert\":{\"input\":\"x\",\"to\":\"int\",\"onError\":\"bad\"}}", "{}",
		  "\"bad\"" },
		{ "{\"$convert\":{\"input\":\"$a\",\"to\":\"int\",\"onNull\":0}}", "{}", "0i" },
	};
	static const struct error_row errors[] = {
		{ "{\"$toInt\":\"5.5\"}", "{}", 241 },
		{ "{\"$toInt\":2147483648}", "{}", 241 },
		{ "{\"$toString\":[[1]]}", "{}", 241 },
		{ "{\"$convert\":{\"input\":1,\"to\":\"unknown\",\"onError\":1}}", "{}", 2 },
		{ "{\"$toDate\":\"yesterday\"}", "{}", 241 },
		{ "{\"$toDate\":\"2018-02-30\"}", "{}", 241 },
		{ "{\"$dateDiff\":{\"startDate\":{\"$date\":{\"$numberLong\":\"-2\"}},\"endDate\":"
		  "{\"$date\":{\"$numberLong\":\"9223372036854775807\"}},\"unit\":\"millisecond\"}"
		  "}",
		  "{}", 5166308 },
		{ "{\"$toDate\":\"2019-02-29\"}", "{}", 241 },
	};
	(void)state;
	check_rows(rows, ARRAY_LEN(rows));
	check_errors(errors, ARRAY_LEN(errors));
}

static void digests_are_the_published_ones(void **state)
{
	static const struct row rows[] = {
		{ "{\"$hexHash\":{\"input\":\"\",\"algorithm\":\"md5\"}}", "{}",
		  "\"D41D8CD98F00B204E9800998ECF8427E\"" },
		{ "{\"$hexHash\":{\"input\":\"abc\",\"algorithm\":\"md5\"}}", "{}",
		  "\"900150983CD24FB0D6963F7D28E17F72\"" },
		{ "{\"$hexHash\":{\"input\":"
		  "\"123456789012345678901234567890123456789012345678901234567890123456789012345678"
		  "90\","
		  "\"algorithm\":\"md5\"}}",
		  "{}", "\"57EDF4A22BE3C955AC49DA2E2107B67A\"" },
		{ "{\"$hexHash\":{\"input\":\"report.pdf\",\"algorithm\":\"sha256\"}}", "{}",
		  "\"6466E450A16B77B865C5829D6B6C56D9F892956475642DBEB9CCC4340FE01B15\"" },
		{ "{\"$hexHash\":{\"input\":"
		  "\"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq\",\"algorithm\":"
		  "\"sha256\"}}",
		  "{}", "\"248D6A61D20638B8E5C026930C3E6039A33CE45964FF2167F6ECEDD419DB06C1\"" },
		{ "{\"$hexHash\":{\"input\":\"\",\"algorithm\":\"xxh64\"}}", "{}",
		  "\"EF46DB3751D8E999\"" },
		{ "{\"$hexHash\":{\"input\":\"abc\",\"algorithm\":\"xxh64\"}}", "{}",
		  "\"44BC2CF5AD770999\"" },
		{ "{\"$hexHash\":{\"input\":\"Nobody inspects the spammish "
		  "repetition\",\"algorithm\":\"xxh64\"}}",
		  "{}", "\"FBCEA83C8A378BF1\"" },
		{ "{\"$hexHash\":{\"input\":\"$none\",\"algorithm\":\"md5\"}}", "{}", "null" },
		{ "{\"$hash\":{\"input\":\"report.pdf\",\"algorithm\":\"sha256\"}}", "{}",
		  "{\"$binary\":{\"base64\":\"ZGbkUKFrd7hlxYKda2xW2fiSlWR1ZC2+uczENA/"
		  "gGxU=\",\"subType\":\"00\"}}" },
		{ "{\"$toHashedIndexKey\":null}", "{}", "2338878944348059895l" },
		{ "{\"$eq\":[{\"$toHashedIndexKey\":{\"$literal\":{\"a\":1}}},"
		  "{\"$toHashedIndexKey\":{\"$literal\":{\"a\":1.5}}}]}",
		  "{}", "true" },
		{ "{\"$subtype\":{\"$binary\":{\"base64\":\"AQ==\",\"subType\":\"05\"}}}", "{}",
		  "5i" },
	};
	static const struct error_row errors[] = {
		{ "{\"$hash\":{\"input\":1,\"algorithm\":\"md5\"}}", "{}", 2 },
		{ "{\"$hash\":{\"input\":\"x\",\"algorithm\":\"sha1\"}}", "{}", 2 },
	};
	(void)state;
	check_rows(rows, ARRAY_LEN(rows));
	check_errors(errors, ARRAY_LEN(errors));
}

static void extended_json_goes_into_values_and_out(void **state)
{
	static const struct row rows[] = {
		{ "{\"$toObject\":\"{\\\"a\\\":[1,true]}\"}", "{}", "{\"a\":[1i,true]}" },
		{ "{\"$toArray\":\"[1,2]\"}", "{}", "[1i,2i]" },
		{ "{\"$toArray\":\"$a\"}", "{\"a\":[1]}", "[1i]" },
		{ "{\"$toObject\":null}", "{}", "null" },
		/* wrappers are objects of their own: seen by their keys */
		{ "{\"$map\":{\"input\":{\"$objectToArray\":{\"$serializeEJSON\":{\"input\":\"$a\"}"
		  "}},\"in\":\"$$this.k\"}}",
		  "{\"a\":5}", "[\"$numberInt\"]" },
		{ "{\"$let\":{\"vars\":{\"x\":{\"$serializeEJSON\":{\"input\":\"$a\",\"relaxed\":"
		  "true}}},\"in\":\"$$x.b\"}}",
		  "{\"a\":{\"b\":[1,{\"c,\\\"\":\"x:{\\\"\"}]}}", "[1i,{\"c,\\\"\":\"x:{\\\"\"}]" },
		{ "{\"$deserializeEJSON\":{\"input\":{\"$serializeEJSON\":{\"input\":\"$$ROOT\"}}}"
		  "}",
		  "{\"a\":1,\"b\":{\"$date\":{\"$numberLong\":\"5\"}},\"c\":[null,{\"$oid\":"
		  "\"639926cee6bda3127f153bf1\"}]}",
		  "{\"a\":1i,\"b\":{\"$date\":{\"$numberLong\":\"5\"}},\"c\":[null,{\"$oid\":"
		  "\"639926cee6bda3127f153bf1\"}]}" },
		{ "{\"$deserializeEJSON\":{\"input\":{\"$setField\":{\"field\":{\"$literal\":\"$"
		  "numberInt\"},\"input\":{},"
		  "\"value\":\"x\"}},\"onError\":\"bad\"}}",
		  "{}", "\"bad\"" },
	};
	static const struct error_row errors[] = {
		{ "{\"$toObject\":\"[1]\"}", "{}", 241 },
		{ "{\"$toArray\":\"[1\"}", "{}", 241 },
		{ "{\"$toArray\":1}", "{}", 241 },
	};
	(void)state;
	check_rows(rows, ARRAY_LEN(rows));
	check_errors(errors, ARRAY_LEN(errors));
}

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

/* ---- the calendar ---- */

static void days_and_dates_are_inverse(void **state)
{
	(void)state;
	for (int64_t day = -1000000; day < 1000000; day += 37) {
		struct datetime t;
		datetime_of_ms(day * MS_PER_DAY, &t);
		assert_int_equal(days_of_date(t.year, t.month, t.day), day);
		assert_true(t.day >= 1 && t.day <= days_in_month(t.year, t.month));
		struct isoweek w;
		isoweek_of(&t, &w);
		assert_int_equal(days_of_isoweek(w.year, w.week, w.weekday), day);
	}
}

static int64_t ms_of(const char *text)
{
	int64_t ms;
	struct err e = ERR_INIT;
	assert_ok(date_parse(slice_str(text), SLICE_NONE, NULL, &ms, &e), &e);
	return ms;
}

static struct timezone_ref zone(struct timezone_cache *cache, const char *name)
{
	struct timezone_ref z;
	struct err e = ERR_INIT;
	timezone_set_loader(tzfile_load);
	assert_ok(timezone_find(cache, slice_str(name), &z, &e), &e);
	return z;
}

static void clocks_change_where_the_database_says(void **state)
{
	struct timezone_cache cache = { 0 };
	struct timezone_ref paris = zone(&cache, "Europe/Paris"),
			    new_york = zone(&cache, "America/New_York");
	(void)state;
	assert_int_equal(timezone_offset_at(paris, ms_of("2024-03-31T00:59:59Z") / 1000), 3600);
	assert_int_equal(timezone_offset_at(paris, ms_of("2024-03-31T01:00:00Z") / 1000), 7200);
	assert_int_equal(timezone_offset_at(paris, ms_of("2024-10-27T01:00:00Z") / 1000), 3600);
	/* far in the future: the rule, not the table */
	assert_int_equal(timezone_offset_at(paris, ms_of("2150-07-01T00:00:00Z") / 1000), 7200);
	assert_int_equal(timezone_offset_at(new_york, ms_of("2150-01-01T00:00:00Z") / 1000),
			 -18000);
	/* a time that was skipped moves forward; one that comes twice is the first */
	assert_int_equal(utc_of_local(ms_of("2024-03-31T02:30:00Z"), paris),
			 ms_of("2024-03-31T01:30:00Z"));
	assert_int_equal(utc_of_local(ms_of("2024-10-27T02:30:00Z"), paris),
			 ms_of("2024-10-27T00:30:00Z"));
	/* back and forth */
	for (int64_t ms = ms_of("2023-01-01T00:00:00Z"); ms < ms_of("2025-01-01T00:00:00Z");
	     ms += 7 * MS_PER_HOUR) {
		int64_t local = local_of_utc(ms, new_york);
		int64_t again = utc_of_local(local, new_york);
		assert_int_equal(local_of_utc(again, new_york), local);
	}
	timezone_cache_done(&cache);
}

static void a_day_is_a_calendar_day_and_an_hour_is_an_hour(void **state)
{
	struct timezone_cache cache = { 0 };
	struct timezone_ref paris = zone(&cache, "Europe/Paris");
	int64_t noon = ms_of("2024-03-30T11:00:00Z"), got;
	(void)state;
	assert_true(date_add(noon, UNIT_DAY, 1, paris, &got));
	assert_int_equal(got, ms_of("2024-03-31T10:00:00Z"));
	assert_true(date_add(noon, UNIT_HOUR, 24, paris, &got));
	assert_int_equal(got, ms_of("2024-03-31T11:00:00Z"));
	assert_true(date_add(ms_of("2024-01-31T00:00:00Z"), UNIT_MONTH, 1, TIMEZONE_UTC, &got));
	assert_int_equal(got, ms_of("2024-02-29T00:00:00Z"));
	assert_false(date_add(noon, UNIT_YEAR, INT64_MAX, TIMEZONE_UTC, &got));
	assert_int_equal(date_diff(ms_of("2023-12-31T23:59:59Z"), ms_of("2024-01-01T00:00:00Z"),
				   UNIT_YEAR, TIMEZONE_UTC, 0),
			 1);
	assert_true(date_trunc(ms_of("2024-03-30T11:22:33Z"), UNIT_HOUR, 6, TIMEZONE_UTC, 0, &got));
	assert_int_equal(got, ms_of("2024-03-30T06:00:00Z"));
	timezone_cache_done(&cache);
}

static void truncating_never_goes_past_the_date_nor_back_a_whole_bin(void **state)
{
	static const int64_t unit_max_ms[] = { 366 * MS_PER_DAY, 92 * MS_PER_DAY, 31 * MS_PER_DAY,
					       7 * MS_PER_DAY,   MS_PER_DAY,      MS_PER_HOUR,
					       MS_PER_MINUTE,    MS_PER_SECOND,   1 };
	uint64_t r = 88172645463325252u;
	(void)state;
	for (int i = 0; i < 20000; i++) {
		r ^= r << 13;
		r ^= r >> 7;
		r ^= r << 17;
		int64_t ms = (int64_t)(r % 8000000000000) - 4000000000000, got, again;
		enum date_unit unit = (enum date_unit)(r >> 33) % 9;
		uint64_t bin = 1 + (r >> 40) % 20;
		int start = (int)((r >> 50) % 7);
		assert_true(date_trunc(ms, unit, bin, TIMEZONE_UTC, start, &got));
		assert_true(got <= ms);
		assert_true(ms - got < (int64_t)bin * unit_max_ms[unit]);
		assert_true(date_trunc(got, unit, bin, TIMEZONE_UTC, start, &again));
		assert_int_equal(again, got);
	}
}

static void unknown_zones_and_damaged_files_are_errors(void **state)
{
	static const char *const bad[] = {
		"Nowhere/City", "../../etc/passwd", "/etc/passwd", "+8", "+080", "", "+0860"
	};
	struct timezone_cache cache = { 0 };
	struct timezone_ref z;
	(void)state;
	timezone_set_loader(tzfile_load);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct err e = ERR_INIT;
		assert_int_equal(timezone_find(&cache, slice_str(bad[i]), &z, &e), ERR_INVALID);
		assert_int_equal(e.number, 40485);
	}
	timezone_cache_done(&cache);
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
		cmocka_unit_test(numbers_widen_as_they_must),
		cmocka_unit_test(arrays_are_mapped_folded_zipped_and_sorted),
		cmocka_unit_test(medians_and_percentiles_are_exact),
		cmocka_unit_test(texts_convert_strictly),
		cmocka_unit_test(whole_numbers_have_a_base_and_numbers_an_order_of_bytes),
		cmocka_unit_test(digests_are_the_published_ones),
		cmocka_unit_test(extended_json_goes_into_values_and_out),
		cmocka_unit_test(an_error_names_its_place_and_a_near_operator),
		cmocka_unit_test(what_needs_a_server_is_refused),
		cmocka_unit_test(every_operator_has_a_group_and_help),
		cmocka_unit_test(hostile_specs_end_in_a_limit),
		cmocka_unit_test(a_spec_that_nests_too_deeply_is_refused),
		cmocka_unit_test(steps_are_counted),
		cmocka_unit_test(a_warm_evaluation_allocates_nothing),
		cmocka_unit_test(running_out_of_memory_is_an_error_anywhere),
		cmocka_unit_test(days_and_dates_are_inverse),
		cmocka_unit_test(clocks_change_where_the_database_says),
		cmocka_unit_test(a_day_is_a_calendar_day_and_an_hour_is_an_hour),
		cmocka_unit_test(truncating_never_goes_past_the_date_nor_back_a_whole_bin),
		cmocka_unit_test(unknown_zones_and_damaged_files_are_errors),
	};
	return cmocka_run_group_tests_name("doc_expr", tests, NULL, NULL);
}
