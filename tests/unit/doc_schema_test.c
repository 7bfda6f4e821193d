/* JSON Schema: the public draft 4 suite (Debian package json-schema-test-suite), what BSON adds, what is refused,
 * limits and memory. */
#include "tests/doc_text.h"
#include "tests/scarce.h"

#include "doc/json.h"
#include "doc/schema.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the public suite ---- */

struct tally {
	unsigned agree, differ, error, out_of_scope;
};

/* { description, schema, tests: [{ description, data, valid }] } */
static void run_group(const char *file, struct slice group, struct tally *t)
{
	struct err e = ERR_INIT;
	struct schema *s;
	struct value name = bson_get_str(group, "description"),
		     tests = bson_get_str(group, "tests");
	int rc = schema_compile(value_slice(bson_get_str(group, "schema")), &s, &e);
	if (rc < 0) {
		*(rc == ERR_UNSUPPORTED ? &t->out_of_scope : &t->error) +=
			(unsigned)bson_count(value_slice(tests));
		if (rc != ERR_UNSUPPORTED)
			printf("  %s, " SLICE_FMT ": %s\n", file, SLICE_ARG(value_slice(name)),
			       e.msg);
		return;
	}
	struct eval ev;
	struct bson_iter it;
	eval_init(&ev);
	bson_iter_init(&it, value_slice(tests));
	while (bson_next(&it)) {
		struct slice test = value_slice(it.value);
		eval_reset(&ev);
		rc = schema_check(s, &ev, bson_get_str(test, "data"), &e);
		bool agrees = rc == (int)bson_get_str(test, "valid").i64;
		*(rc < 0 ? &t->error : agrees ? &t->agree : &t->differ) += 1;
		if (!agrees)
			printf("  %s, " SLICE_FMT ", " SLICE_FMT ": %d\n", file,
			       SLICE_ARG(value_slice(name)),
			       SLICE_ARG(value_slice(bson_get_str(test, "description"))), rc);
	}
	eval_done(&ev);
	schema_free(s);
}

static void run_file(const char *dir, const char *file, struct tally *t)
{
	AUTO(buf) struct buf path = BUF_INIT, text = BUF_INIT, bytes = BUF_INIT;
	struct err e = ERR_INIT;
	struct value groups;
	struct tally mine = { 0 };
	buf_add_fmt(&path, "%s/%s", dir, file);
	test_read_file(buf_cstr(&path), &text);
	assert_ok(json_to_value(buf_slice(&text), &bytes, &groups, NULL, &e), &e);
	struct bson_iter it;
	bson_iter_init(&it, value_slice(groups));
	while (bson_next(&it))
		run_group(file, value_slice(it.value), &mine);
	printf("%s: %u agree, %u differ, %u error, %u out of scope\n", file, mine.agree,
	       mine.differ, mine.error, mine.out_of_scope);
	t->agree += mine.agree;
	t->differ += mine.differ;
	t->error += mine.error;
	t->out_of_scope += mine.out_of_scope;
}

static int is_json(const struct dirent *d)
{
	size_t n = strlen(d->d_name);
	return n > 5 && strcmp(d->d_name + n - 5, ".json") == 0;
}

/* False: the suite is not there. */
static bool run_folder(const char *dir, struct tally *t)
{
	struct dirent **names;
	int n = scandir(dir, &names, is_json, alphasort);
	if (n < 0)
		return false;
	for (int i = 0; i < n; i++) {
		run_file(dir, names[i]->d_name, t);
		free(names[i]);
	}
	free(names);
	return true;
}

#define SUITE "/usr/share/json-schema-test-suite/tests/draft4"

static void the_suite_agrees_but_for_remote_references(void **state)
{
	(void)state;
	struct tally t = { 0 };
	if (!run_folder(SUITE, &t)) {
		printf("JSON Schema suite: skipped, json-schema-test-suite is not installed\n");
		skip();
	}
	printf("draft 4: %u agree, %u differ, %u error, %u out of scope\n", t.agree, t.differ,
	       t.error, t.out_of_scope);
	assert_true(t.agree > 250);
	assert_int_equal(t.differ + t.error, 0);
	assert_int_equal(t.out_of_scope, 19);
}

static void the_optional_suite_agrees(void **state)
{
	(void)state;
	struct tally t = { 0 };
	if (!run_folder(SUITE "/optional", &t)) {
		printf("JSON Schema suite: skipped, json-schema-test-suite is not installed\n");
		skip();
	}
	printf("draft 4, optional: %u agree, %u differ, %u error, %u out of scope\n", t.agree,
	       t.differ, t.error, t.out_of_scope);
	assert_int_equal(t.differ + t.error + t.out_of_scope, 0);
	assert_true(t.agree > 50);
}

/* ---- own cases ---- */

struct row {
	const char *schema, *doc;
	int expect;
};

static int check(const char *schema, const char *doc, struct err *e)
{
	AUTO(buf) struct buf spec = BUF_INIT, bytes = BUF_INIT;
	struct schema *s;
	struct eval ev;
	if (schema_compile(doc_of(schema, &spec), &s, e) < 0)
		fail_msg("%s: %s", schema, e->msg);
	buf_done(&spec); /* the schema keeps a copy */
	spec = (struct buf)BUF_INIT;
	eval_init(&ev);
	int rc = schema_check(s, &ev, value_doc(doc_of(doc, &bytes)), e);
	eval_done(&ev);
	schema_free(s);
	return rc;
}

static void bson_types_and_values(void **state)
{
	(void)state;
	static const struct row rows[] = {
		{ "{'properties': {'a': {'bsonType': 'int'}}}", "{'a': 1}", 1 },
		{ "{'properties': {'a': {'bsonType': 'int'}}}", "{'a': {'$numberLong': '1'}}", 0 },
		{ "{'properties': {'a': {'bsonType': ['long', 'objectId']}}}",
		  "{'a': {'$oid': '0123456789abcdef01234567'}}", 1 },
		{ "{'properties': {'a': {'bsonType': 'number'}}}", "{'a': {'$numberDecimal': '1'}}",
		  1 },
		{ "{'properties': {'a': {'type': 'number'}}}", "{'a': {'$numberDecimal': '1'}}",
		  1 },
		{ "{'properties': {'a': {'type': 'string'}}}",
		  "{'a': {'$oid': '0123456789abcdef01234567'}}", 0 },
		{ "{'properties': {'a': {'minimum': 2}}}", "{'a': {'$numberDecimal': '1.9'}}", 0 },
		{ "{'properties': {'a': {'minimum': 2}}}", "{'a': {'$numberDouble': 'NaN'}}", 0 },
		{ "{'properties': {'a': {'multipleOf': {'$numberDecimal': '0.1'}}}}", "{'a': 4.3}",
		  1 },
		{ "{'properties': {'a': {'multipleOf': 3}}}",
		  "{'a': {'$numberDouble': 'Infinity'}}", 0 },
		{ "{'properties': {'a': {'multipleOf': 3}}}", "{'a': 9.0}", 1 },
		{ "{'properties': {'a': {'enum': [{'x': 1, 'y': 2}]}}}",
		  "{'a': {'y': 2.0, 'x': {'$numberLong': '1'}}}", 1 },
		{ "{'properties': {'a': {'enum': [{'x': 1, 'y': 2}]}}}", "{'a': {'y': 2}}", 0 },
		{ "{'properties': {'a': {'uniqueItems': true}}}",
		  "{'a': [{'x': 1, 'y': 2}, {'y': 2, 'x': 1}]}", 0 },
		{ "{'properties': {'a': {'uniqueItems': true}}}",
		  "{'a': [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, {'x': 1, 'y': 2}, {'y': 2, 'x': 1.0}]}",
		  0 },
		{ "{'properties': {'a': {'uniqueItems': true}}}",
		  "{'a': [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, true, '1', [1], [2]]}", 1 },
		{ "{'properties': {'a': {'maxLength': 2}}}", "{'a': '\\ud83d\\ude00\\u00e4'}", 1 },
		{ "{'required': ['a', 'b']}", "{'a': 1}", 0 },
		{ "{'properties': {'a': {'required': ['b']}}}", "{}", 1 },
		{ "{'title': 'x', 'description': 'y', 'default': 5}", "{}", 1 },
		{ "{'properties': {'a': {'format': 'no such format'}}}", "{'a': 'x'}", 1 },
		{ "{'x': {'y': {'type': 'string'}}, 'properties': {'a': {'$ref': '#/x/y'}}}",
		  "{'a': 1}", 0 },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = ERR_INIT;
		int rc = check(rows[i].schema, rows[i].doc, &e);
		if (rc != rows[i].expect)
			fail_msg("%s on %s: %d, not %d (%s)", rows[i].schema, rows[i].doc, rc,
				 rows[i].expect, e.msg);
	}
}

static void errors_name_the_keyword(void **state)
{
	(void)state;
	static const struct {
		const char *schema;
		int code, number;
		const char *text;
	} rows[] = {
		{ "{'propertys': {}}", ERR_INVALID, 9, "did you mean properties?" },
		{ "{'properties': {'a': {'minumum': 1}}}", ERR_INVALID, 9,
		  "properties.a: unknown keyword: minumum; did you mean minimum?" },
		{ "{'patternProperties': {'a': {}}, 'patternProperties': {'b': {}}}", ERR_INVALID,
		  9, "patternProperties is there twice" },
		{ "{'properties': 1}", ERR_INVALID, 14, "properties: " },
		{ "{'properties': {'a': 1}}", ERR_INVALID, 14, "properties.a: " },
		{ "{'type': 'strin'}", ERR_INVALID, 9, "strin" },
		{ "{'type': []}", ERR_INVALID, 9, "type: " },
		{ "{'type': ['string', 'string']}", ERR_INVALID, 9, "twice" },
		{ "{'bsonType': 'integer'}", ERR_INVALID, 9, "integer" },
		{ "{'type': 'string', 'bsonType': 'string'}", ERR_INVALID, 9, "together" },
		{ "{'enum': []}", ERR_INVALID, 9, "empty" },
		{ "{'enum': 1}", ERR_INVALID, 14, "array" },
		{ "{'allOf': [{}, 1]}", ERR_INVALID, 14, "allOf[1]: " },
		{ "{'anyOf': []}", ERR_INVALID, 9, "anyOf: " },
		{ "{'minimum': '1'}", ERR_INVALID, 14, "not string" },
		{ "{'exclusiveMinimum': true}", ERR_INVALID, 9, "minimum" },
		{ "{'multipleOf': 0}", ERR_INVALID, 9, "greater" },
		{ "{'minLength': -1}", ERR_INVALID, 9, "from 0" },
		{ "{'minLength': 1.5}", ERR_INVALID, 9, "whole" },
		{ "{'pattern': '(x'}", ERR_INVALID, 51091, "pattern: " },
		{ "{'patternProperties': {'(x': {}}}", ERR_INVALID, 51091,
		  "patternProperties.(x: " },
		{ "{'required': []}", ERR_INVALID, 9, "empty" },
		{ "{'required': ['a', 'a']}", ERR_INVALID, 9, "twice" },
		{ "{'required': [1]}", ERR_INVALID, 14, "required[0]: " },
		{ "{'dependencies': {'a': 1}}", ERR_INVALID, 14, "dependencies.a: " },
		{ "{'uniqueItems': 1}", ERR_INVALID, 14, "true or false" },
		{ "{'$ref': '#/nowhere'}", ERR_INVALID, 9, "points to no schema" },
		{ "{'$ref': '#/a', 'a': 5}", ERR_INVALID, 9, "points to no schema" },
		{ "{'$ref': 'http://example.com/x#'}", ERR_UNSUPPORTED, 9, "out of the schema" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(buf) struct buf spec = BUF_INIT;
		struct err e = ERR_INIT;
		struct schema *s = NULL;
		int rc = schema_compile(doc_of(rows[i].schema, &spec), &s, &e);
		if (rc != rows[i].code || e.number != rows[i].number ||
		    !strstr(e.msg, rows[i].text))
			fail_msg("%s: %d, %d, \"%s\"", rows[i].schema, rc, e.number, e.msg);
		assert_null(s);
	}
}

static void endless_schemas_end_in_a_limit(void **state)
{
	(void)state;
	static const char *const schemas[] = {
		"{'$ref': '#'}",
		"{'allOf': [{'$ref': '#'}]}",
		"{'definitions': {'a': {'$ref': '#/definitions/b'}, 'b': {'$ref': "
		"'#/definitions/a'}},"
		" 'not': {'$ref': '#/definitions/a'}}",
		/* twice the work at every level */
		"{'anyOf': [{'not': {'$ref': '#'}}, {'not': {'$ref': '#'}}]}",
	};
	for (size_t i = 0; i < ARRAY_LEN(schemas); i++) {
		struct err e = ERR_INIT;
		assert_int_equal(check(schemas[i], "{'a': 1}", &e), ERR_LIMIT);
	}
}

/* ---- memory ---- */

static const char *const busy_schema =
	"{'properties': {'a': {'type': 'array', 'uniqueItems': true, 'items': {'minimum': 0}},"
	" 's': {'pattern': '^(x|y)+$', 'minLength': 2}, 'o': {'$ref': '#/definitions/o'}},"
	" 'patternProperties': {'^p': {'type': 'string'}}, 'additionalProperties': false,"
	" 'required': ['a', 's'], 'dependencies': {'s': ['a'], 'a': {'minProperties': 1}},"
	" 'definitions': {'o': {'oneOf': [{'type': 'null'}, {'enum': [{'x': 1}, 'z']}]}}}";
static const char *const busy_doc =
	"{'a': [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], 's': 'xyx', 'o': {'x': 1.0}, 'pq': ''}";

static void a_warm_check_allocates_nothing(void **state)
{
	(void)state;
	AUTO(buf) struct buf spec = BUF_INIT, doc = BUF_INIT;
	struct err e = ERR_INIT;
	doc_of(busy_schema, &spec);
	doc_of(busy_doc, &doc);
	scarce_begin();
	struct schema *s;
	struct eval ev;
	eval_init(&ev);
	assert_ok(schema_compile(buf_slice(&spec), &s, &e), &e);
	assert_int_equal(schema_check(s, &ev, value_doc(buf_slice(&doc)), &e), 1);
	long before = scarce_calls();
	for (int i = 0; i < 1000; i++) {
		eval_reset(&ev);
		assert_int_equal(schema_check(s, &ev, value_doc(buf_slice(&doc)), &e), 1);
	}
	assert_int_equal(scarce_calls(), before);
	eval_done(&ev);
	schema_free(s);
	scarce_end();
}

static void every_failed_allocation_is_an_error(void **state)
{
	(void)state;
	AUTO(buf) struct buf spec = BUF_INIT, doc = BUF_INIT;
	doc_of(busy_schema, &spec);
	doc_of(busy_doc, &doc);
	long k = 1;
	scarce_begin();
	for (;; k++) {
		struct err e = ERR_INIT;
		struct schema *s = NULL;
		struct eval ev;
		scarce_fail(k, false);
		eval_init(&ev);
		int rc = schema_compile(buf_slice(&spec), &s, &e);
		if (rc == 0)
			rc = schema_check(s, &ev, value_doc(buf_slice(&doc)), &e);
		schema_free(s);
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
		cmocka_unit_test(the_suite_agrees_but_for_remote_references),
		cmocka_unit_test(the_optional_suite_agrees),
		cmocka_unit_test(bson_types_and_values),
		cmocka_unit_test(errors_name_the_keyword),
		cmocka_unit_test(endless_schemas_end_in_a_limit),
		cmocka_unit_test(a_warm_check_allocates_nothing),
		cmocka_unit_test(every_failed_allocation_is_an_error),
	};
	return cmocka_run_group_tests_name("doc/schema", tests, NULL, NULL);
}
