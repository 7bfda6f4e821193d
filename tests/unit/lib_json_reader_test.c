#include "tests/test.h"

#include "weir/weir.h"

#include <stdio.h>
#include <string.h>

/* Feeds text in pieces of `piece` bytes; writes what comes out, one line a result, to out. */
static void read_all(const char *text, size_t piece, enum weir_json_input input, char *out,
		     size_t cap)
{
	weir_error e = WEIR_ERROR_INIT;
	weir_json_reader *r;
	size_t len = strlen(text), at = 0;
	out[0] = '\0';
	assert_int_equal(weir_json_reader_new(input, &r, &e), 0);
	for (bool ended = false; !ended;) {
		size_t n = len - at < piece ? len - at : piece;
		if (n)
			assert_int_equal(weir_json_reader_feed(r, text + at, n, &e), 0);
		at += n;
		ended = n == 0;
		if (ended)
			weir_json_reader_end(r);
		weir_doc doc;
		weir_place place;
		int rc, errors = 0;
		while ((rc = weir_json_reader_next(r, &doc, &place, &e)) != 0 && errors < 4) {
			size_t used = strlen(out);
			if (rc < 0) {
				errors++;
				snprintf(out + used, cap - used, "%s %s\n", weir_error_name(rc),
					 e.message);
				continue;
			}
			weir_buffer json = WEIR_BUFFER_INIT;
			assert_int_equal(weir_bson_to_json(doc, WEIR_JSON_RELAXED, 0, &json, &e),
					 0);
			snprintf(out + used, cap - used, "%d:%d:%d %s\n", (int)place.index,
				 (int)place.line, (int)place.offset, (const char *)json.data);
			weir_buffer_free(&json);
		}
		if (rc < 0)
			break;
	}
	weir_json_reader_free(r);
}

/* The result must not depend on how the text is cut into pieces. */
static void check(const char *text, enum weir_json_input input, const char *expected)
{
	for (size_t piece = 1; piece <= strlen(text) + 1; piece++) {
		char out[4096];
		read_all(text, piece, input, out, sizeof(out));
		if (strcmp(out, expected) != 0)
			fail_msg("pieces of %zu bytes gave:\n%swanted:\n%s", piece, out, expected);
	}
}

static void lines_are_documents(void **state)
{
	(void)state;
	check("{\"a\":1}\n{\"a\":2}\r\n\n{\"a\":\"}{\\\"\"}", WEIR_INPUT_AUTO,
	      "0:1:0 {\"a\":1}\n1:2:8 {\"a\":2}\n2:4:18 {\"a\":\"}{\\\"\"}\n");
}

static void several_documents_may_stand_on_a_line(void **state)
{
	(void)state;
	check("{\"a\":1} {\"a\":2}\n{\"a\":3}\n", WEIR_INPUT_AUTO,
	      "0:1:0 {\"a\":1}\n1:1:8 {\"a\":2}\n2:2:16 {\"a\":3}\n");
}

static void documents_may_span_lines(void **state)
{
	(void)state;
	check("{\n  \"a\": 1\n}\n{\n  \"a\": 2\n}\n", WEIR_INPUT_AUTO,
	      "0:1:0 {\"a\":1}\n1:4:13 {\"a\":2}\n");
}

static void array_gives_its_elements(void **state)
{
	(void)state;
	check(" [ {\"a\":1},\n{\"b\":[1,{}]} ]\n", WEIR_INPUT_AUTO,
	      "0:1:3 {\"a\":1}\n1:2:12 {\"b\":[1,{}]}\n");
	check("[]", WEIR_INPUT_AUTO, "");
}

static void feature_collection_gives_its_features(void **state)
{
	(void)state;
	check("{\"type\":\"FeatureCollection\",\"metadata\":{\"n\":[2]},\n\"features\":[{\"id\":"
	      "\"x\"},{\"id\":\"y\"}],"
	      "\"bbox\":[1,2]}",
	      WEIR_INPUT_AUTO, "0:2:62 {\"id\":\"x\"}\n1:2:73 {\"id\":\"y\"}\n");
	/* An ordinary document with such a field is a document. */
	check("{\"type\":\"thing\",\"features\":[{\"id\":1}]}", WEIR_INPUT_AUTO,
	      "0:1:0 {\"type\":\"thing\",\"features\":[{\"id\":1}]}\n");
}

static void bad_line_is_reported_with_its_place_and_spoils_no_other(void **state)
{
	(void)state;
	char out[4096];
	read_all("{\"a\":1}\n{\"a\":}\n{\"a\":3}\n{\"a\":4\n{\"a\":5}\n", 7, WEIR_INPUT_AUTO, out,
		 sizeof(out));
	assert_non_null(strstr(out, "0:1:0 {\"a\":1}\n"));
	assert_non_null(strstr(out, "FORMAT line 2, column 6: "));
	assert_non_null(strstr(out, "2:3:15 {\"a\":3}\n"));
	assert_non_null(strstr(out, "FORMAT line 4, column "));
	assert_non_null(strstr(out, "4:5:30 {\"a\":5}\n"));
}

static void bad_first_line_spoils_no_other(void **state)
{
	(void)state;
	char out[4096];
	read_all("{\"a\":\n{\"a\":2}\n", 64, WEIR_INPUT_AUTO, out, sizeof(out));
	assert_non_null(strstr(out, "FORMAT line 1, column 6: "));
	assert_non_null(strstr(out, "{\"a\":2}\n"));
}

static void bad_element_of_an_array_is_passed(void **state)
{
	(void)state;
	char out[4096];
	read_all("[{\"a\":1},\n {\"a\" 2},\n{\"a\":3}]", 5, WEIR_INPUT_AUTO, out, sizeof(out));
	assert_non_null(strstr(out, "0:1:1 {\"a\":1}\n"));
	assert_non_null(strstr(out, "FORMAT line 2, column "));
	assert_non_null(strstr(out, "2:3:20 {\"a\":3}\n"));
}

static void input_that_ends_in_the_middle_is_an_error_that_stays(void **state)
{
	(void)state;
	static const char *const texts[] = {
		"[{\"a\":1}",
		"[{\"a\":1},",
		"[{\"a\":1",
		"[",
		"{\"type\":\"FeatureCollection\",\"features\":[{\"a\":1}]",
		"[{\"a\":1}] x"
	};
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		weir_error e = WEIR_ERROR_INIT;
		weir_json_reader *r;
		weir_doc doc;
		int rc, n = 0;
		assert_int_equal(weir_json_reader_new(WEIR_INPUT_AUTO, &r, &e), 0);
		assert_int_equal(weir_json_reader_feed(r, texts[i], strlen(texts[i]), &e), 0);
		weir_json_reader_end(r);
		while ((rc = weir_json_reader_next(r, &doc, NULL, &e)) == 1 && n < 10)
			n++;
		assert_int_equal(rc, WEIR_ERR_FORMAT);
		assert_int_equal(weir_json_reader_next(r, &doc, NULL, &e), WEIR_ERR_FORMAT);
		weir_json_reader_free(r);
	}
}

static void elements_that_are_no_documents_are_passed(void **state)
{
	(void)state;
	check("[{\"a\":1}, 5,\n\"x]{\", [{}, 1], {\"a\":2}]", WEIR_INPUT_AUTO,
	      "0:1:1 {\"a\":1}\n"
	      "FORMAT line 1, column 11: expected a document\n"
	      "FORMAT line 2, column 1: expected a document\n"
	      "FORMAT line 2, column 8: expected a document\n"
	      "4:2:29 {\"a\":2}\n");
}

static void broken_input_fails_at_the_same_place_whether_it_has_ended_or_not(void **state)
{
	(void)state;
	static const char *const texts[] = { "[{\"a\":1}] x", "[{\"a\":1} {\"a\":2}]", "[,1]" };
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		weir_error e = WEIR_ERROR_INIT;
		weir_json_reader *r;
		weir_doc doc;
		weir_place first = { 0 }, again = { 0 };
		int rc;
		assert_int_equal(weir_json_reader_new(WEIR_INPUT_AUTO, &r, &e), 0);
		assert_int_equal(weir_json_reader_feed(r, texts[i], strlen(texts[i]), &e), 0);
		do
			rc = weir_json_reader_next(r, &doc, &first, &e);
		while (rc == 1);
		assert_int_equal(rc, WEIR_ERR_FORMAT);
		assert_int_equal(first.line, 1);
		assert_int_equal(weir_json_reader_next(r, &doc, &again, &e), WEIR_ERR_FORMAT);
		assert_int_equal(again.offset, first.offset);
		weir_json_reader_free(r);
	}
}

static void wrong_kind_of_input_is_refused(void **state)
{
	(void)state;
	char out[4096];
	read_all("{\"a\":1}", 100, WEIR_INPUT_ARRAY, out, sizeof(out));
	assert_non_null(strstr(out, "FORMAT line 1, column 1: expected an array"));
	read_all("{\"a\":1}", 100, WEIR_INPUT_FEATURES, out, sizeof(out));
	assert_non_null(strstr(out, "expected a FeatureCollection"));
	read_all("[1]", 100, WEIR_INPUT_AUTO, out, sizeof(out));
	assert_non_null(strstr(out, "expected a document"));
}

static void byte_order_mark_is_passed(void **state)
{
	(void)state;
	check("\xef\xbb\xbf{\"a\":1}", WEIR_INPUT_NDJSON, "0:1:3 {\"a\":1}\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_documents),
		cmocka_unit_test(several_documents_may_stand_on_a_line),
		cmocka_unit_test(documents_may_span_lines),
		cmocka_unit_test(array_gives_its_elements),
		cmocka_unit_test(feature_collection_gives_its_features),
		cmocka_unit_test(bad_line_is_reported_with_its_place_and_spoils_no_other),
		cmocka_unit_test(bad_first_line_spoils_no_other),
		cmocka_unit_test(bad_element_of_an_array_is_passed),
		cmocka_unit_test(input_that_ends_in_the_middle_is_an_error_that_stays),
		cmocka_unit_test(elements_that_are_no_documents_are_passed),
		cmocka_unit_test(broken_input_fails_at_the_same_place_whether_it_has_ended_or_not),
		cmocka_unit_test(wrong_kind_of_input_is_refused),
		cmocka_unit_test(byte_order_mark_is_passed),
	};
	return cmocka_run_group_tests_name("lib/json_reader", tests, NULL, NULL);
}
