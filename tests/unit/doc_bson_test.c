#include "tests/test.h"

#include "doc/bson.h"
#include "doc/eval.h"
#include "tests/libbson.h"

#include <stdlib.h>
#include <string.h>

/* Every type once, nested twice; what the other tests damage. */
static void build_sample(struct buf *out)
{
	static const uint8_t oid[12] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 };
	static const uint8_t regex[] = "^a\0im";
	static const uint8_t pointer[] = "\4\0\0\0db.\0abcdefghijkl";
	static const uint8_t scoped[] = "\x13\0\0\0\6\0\0\0x = 1\0\5\0\0\0";
	struct bson_writer w;
	struct err e = ERR_INIT;
	bson_writer_init(&w, out);
	bson_put_double(&w, SLICE_LIT("double"), 1.5);
	bson_put_string(&w, SLICE_LIT("string"), SLICE_LIT("a\0b\xc3\xa9"));
	bson_begin_doc(&w, SLICE_LIT("doc"));
	bson_begin_array(&w, SLICE_LIT("array"));
	for (int i = 0; i < 11; i++)
		bson_put_int32(&w, SLICE_NONE, i - 5);
	bson_end(&w);
	bson_end(&w);
	bson_put_binary(&w, SLICE_LIT("binary"), 0, SLICE_LIT("\1\2\3"));
	bson_put_binary(&w, SLICE_LIT("old binary"), 2, SLICE_LIT("\1\2\3"));
	bson_put_oid(&w, SLICE_LIT("oid"), oid);
	bson_put_bool(&w, SLICE_LIT("bool"), true);
	bson_put_date(&w, SLICE_LIT("date"), -1);
	bson_put_null(&w, SLICE_LIT("null"));
	bson_put(&w, SLICE_LIT("regex"),
		 (struct value){ .type = BSON_REGEX, .len = sizeof(regex), .p = regex });
	bson_put(&w, SLICE_LIT("pointer"),
		 (struct value){ .type = BSON_DBPOINTER, .len = 20, .p = pointer });
	bson_put(&w, SLICE_LIT("code"),
		 (struct value){ .type = BSON_CODE, .len = 1, .p = pointer + 4 });
	bson_put(&w, SLICE_LIT("symbol"),
		 (struct value){ .type = BSON_SYMBOL, .len = 1, .p = pointer + 4 });
	bson_put(&w, SLICE_LIT("scoped"),
		 (struct value){ .type = BSON_CODE_W_SCOPE, .len = 19, .p = scoped });
	bson_put_timestamp(&w, SLICE_LIT("timestamp"), UINT32_MAX, 7);
	bson_put_int64(&w, SLICE_LIT("int64"), INT64_MIN);
	bson_put(&w, SLICE_LIT("decimal"),
		 (struct value){ .type = BSON_DECIMAL128, .dec = { 1, UINT64_C(0x3040) << 48 } });
	bson_put(&w, SLICE_LIT("undefined"), (struct value){ .type = BSON_UNDEFINED });
	bson_put(&w, SLICE_LIT("min"), (struct value){ .type = BSON_MINKEY });
	bson_put(&w, SLICE_LIT("max"), (struct value){ .type = BSON_MAXKEY });
	bson_put(&w, SLICE_LIT("nothing"), VALUE_MISSING);
	assert_ok(bson_finish(&w, &e), &e);
}

static void what_is_written_reads_back_type_by_type(void **state)
{
	(void)state;
	AUTO(buf) struct buf b = BUF_INIT;
	struct err e = ERR_INIT;
	build_sample(&b);
	struct slice doc = buf_slice(&b);
	assert_ok(bson_validate(doc, &e), &e);
	assert_true(bson_get_str(doc, "double").f64 == 1.5);
	assert_true(slice_eq(value_slice(bson_get_str(doc, "string")), SLICE_LIT("a\0b\xc3\xa9")));
	struct value array = bson_get_str(value_slice(bson_get_str(doc, "doc")), "array");
	assert_int_equal(array.type, BSON_ARRAY);
	assert_int_equal(bson_get_str(value_slice(array), "10").i64, 5);
	assert_int_equal(bson_get_str(value_slice(array), "0").i64, -5);
	assert_int_equal(bson_get_str(value_slice(array), "11").type, BSON_MISSING);
	struct value old = bson_get_str(doc, "old binary");
	assert_int_equal(old.subtype, 2);
	assert_true(slice_eq(value_slice(old), SLICE_LIT("\1\2\3")));
	assert_int_equal(bson_get_str(doc, "date").i64, -1);
	assert_true(slice_is(value_regex_pattern(bson_get_str(doc, "regex")), "^a"));
	assert_true(slice_is(value_regex_options(bson_get_str(doc, "regex")), "im"));
	assert_int_equal(bson_get_str(doc, "timestamp").i64,
			 (int64_t)(UINT64_C(0xffffffff) << 32 | 7));
	assert_int_equal(bson_get_str(doc, "nothing").type, BSON_MISSING);

	/* Copied value by value, or element by element, it is the same bytes. */
	AUTO(buf) struct buf copy = BUF_INIT;
	struct bson_iter it;
	for (int raw = 0; raw < 2; raw++) {
		struct bson_writer w;
		buf_reset(&copy);
		bson_writer_init(&w, &copy);
		bson_iter_init(&it, doc);
		while (bson_next(&it)) {
			if (raw)
				bson_put_raw(&w, it.raw);
			else
				bson_put(&w, it.key, it.value);
		}
		assert_ok(bson_finish(&w, &e), &e);
		assert_true(slice_eq(buf_slice(&copy), doc));
	}
}

static void libbson_agrees_with_the_sample(void **state)
{
	(void)state;
	AUTO(buf) struct buf b = BUF_INIT;
	build_sample(&b);
	bson_t theirs;
	assert_true(bson_init_static(&theirs, b.p, b.len));
	assert_true(bson_validate_with_error(&theirs, BSON_VALIDATE_NONE, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_reads_back_type_by_type),
		cmocka_unit_test(libbson_agrees_with_the_sample),
	};
	return cmocka_run_group_tests_name("doc_bson", tests, NULL, NULL);
}
