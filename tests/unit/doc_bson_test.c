#include "tests/scarce.h"
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

/* ---- validating ---- */

static int validate(struct slice s, struct err *e)
{
	/* In a block of its own exact size, so that a sanitizer sees every read beyond it. */
	uint8_t *exact = malloc(s.len ? s.len : 1);
	if (s.len)
		memcpy(exact, s.p, s.len);
	int rc = bson_validate(slice_of(exact, s.len), e);
	free(exact);
	return rc;
}

#define BYTES(s) \
	{ \
		(const uint8_t *)(s), sizeof(s) - 1 \
	}

static void damage_is_reported_with_its_place(void **state)
{
	(void)state;
	static const struct {
		struct slice bytes;
		const char *msg;
	} rows[] = {
		{ BYTES(""), "BSON, byte 0: the document's length does not fit its 0 bytes" },
		{ BYTES("\0\0\0\0\0"),
		  "BSON, byte 0: the document's length does not fit its 5 bytes" },
		{ BYTES("\xff\xff\xff\xff\0"),
		  "BSON, byte 0: the document's length does not fit its 5 bytes" },
		{ BYTES("\xff\xff\xff\x7f\0"),
		  "BSON, byte 0: the document's length does not fit its 5 bytes" },
		{ BYTES("\6\0\0\0\0"),
		  "BSON, byte 0: the document's length does not fit its 5 bytes" },
		{ BYTES("\5\0\0\0\0\0"),
		  "BSON, byte 0: the document's length does not fit its 6 bytes" },
		{ BYTES("\5\0\0\0\1"), "BSON, byte 4: a document lacks its final NUL" },
		{ BYTES("\7\0\0\0\x0a"
			"a\0"),
		  "BSON, byte 5: a field name lacks its NUL" },
		{ BYTES("\x08\0\0\0\x20"
			"a\0\0"),
		  "BSON, byte 4, field a: unknown type" },
		{ BYTES("\x08\0\0\0\x0a\xff\0\0"), "BSON, byte 5: invalid UTF-8" },
		{ BYTES("\x09\0\0\0\x08"
			"a\0\2\0"),
		  "BSON, byte 7, field a: a boolean is neither 0 nor 1" },
		{ BYTES("\x0b\0\0\0\x10"
			"a\0\1\0\0\0"),
		  "BSON, byte 7, field a: a value is cut short" },
		{ BYTES("\x0d\0\0\0\2"
			"a\0\0\0\0\0\0\0"),
		  "BSON, byte 7, field a: a string's length does not fit" },
		{ BYTES("\x0d\0\0\0\2"
			"a\0\xff\xff\xff\xff\0\0"),
		  "BSON, byte 7, field a: a string's length does not fit" },
		{ BYTES("\x0d\0\0\0\2"
			"a\0\2\0\0\0\0\0"),
		  "BSON, byte 7, field a: a string's length does not fit" },
		{ BYTES("\x0e\0\0\0\2"
			"a\0\2\0\0\0xx\0"),
		  "BSON, byte 12, field a: a string lacks its NUL" },
		{ BYTES("\x0f\0\0\0\2"
			"a\0\3\0\0\0\xc0\x80\0\0"),
		  "BSON, byte 11, field a: invalid UTF-8" },
		{ BYTES("\x10\0\0\0\2"
			"a\0\4\0\0\0\xed\xa0\x80\0\0"),
		  "BSON, byte 11, field a: invalid UTF-8" },
		{ BYTES("\x0d\0\0\0\5"
			"a\0\xff\xff\xff\xff\0\0"),
		  "BSON, byte 7, field a: the length of binary data does not fit" },
		{ BYTES("\x12\0\0\0\5"
			"a\0\5\0\0\0\2\2\0\0\0x\0"),
		  "BSON, byte 12, field a: the inner length of binary subtype 2 does not fit" },
		{ BYTES("\x10\0\0\0\5"
			"a\0\3\0\0\0\2\1\1\1\0"),
		  "BSON, byte 12, field a: the inner length of binary subtype 2 does not fit" },
		{ BYTES("\x0d\0\0\0\3"
			"a\0\4\0\0\0\0\0"),
		  "BSON, byte 7, field a: a document's length does not fit" },
		{ BYTES("\x15\0\0\0\3"
			"a\0\x0d\0\0\0\4"
			"b\0\6\0\0\0\0\0\0"),
		  "BSON, byte 14, field a.b: a document's length does not fit" },
		{ BYTES("\x0c\0\0\0\x0b"
			"a\0xy\0i\0"),
		  "BSON, byte 10, field a: regex options lack their NUL" },
		{ BYTES("\x18\0\0\0\x0f"
			"a\0\x14\0\0\0\2\0\0\0x\0\5\0\0\0\0\0\0"),
		  "BSON, byte 7, field a: the length of code with scope does not fit" },
		{ BYTES("\x18\0\0\0\x0f"
			"a\0\x10\0\0\0\2\0\0\0x\0\5\0\0\0\0\0\0"),
		  "BSON, byte 17, field a: the length of a scope does not fit" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = ERR_INIT;
		assert_int_equal(validate(rows[i].bytes, &e), ERR_FORMAT);
		assert_string_equal(e.msg, rows[i].msg);
	}
	/* Odd, but no damage: array indexes of any name, repeated and empty names. */
	assert_int_equal(validate((struct slice)BYTES("\x10\0\0\0\4"
						      "a\0\x08\0\0\0\x0ax\0\0\0"),
				  NULL),
			 0);
	assert_int_equal(validate((struct slice)BYTES("\x0b\0\0\0\x0a"
						      "a\0\x0a"
						      "a\0\0"),
				  NULL),
			 0);
	assert_int_equal(validate((struct slice)BYTES("\x07\0\0\0\x0a\0\0"), NULL), 0);
}

static void every_cut_is_noticed(void **state)
{
	(void)state;
	AUTO(buf) struct buf b = BUF_INIT;
	build_sample(&b);
	for (size_t n = 0; n < b.len; n++) {
		/* Cut off, with the old length and with a length that claims to be right. */
		AUTO(buf) struct buf cut = BUF_INIT;
		buf_add(&cut, b.p, n);
		assert_int_equal(validate(buf_slice(&cut), NULL), ERR_FORMAT);
		if (n < 5)
			continue;
		put_le32(cut.p, (uint32_t)n);
		cut.p[n - 1] = 0;
		if (validate(buf_slice(&cut), NULL) != 0)
			continue;
		/* Valid all the same: the cut fell between two elements. */
		struct bson_iter it;
		const uint8_t *at = b.p + 4;
		bson_iter_init(&it, buf_slice(&b));
		while (bson_next(&it) && at < b.p + n - 1)
			at = it.raw.p + it.raw.len;
		assert_ptr_equal(at, b.p + n - 1);
	}
}

/* libbson's validator without UTF-8 checks of names is laxer in places; none may accept what weir
 * finds damaged in its lengths, and weir must refuse whatever libbson refuses. */
static void weir_refuses_what_libbson_refuses(void **state)
{
	(void)state;
	AUTO(buf) struct buf b = BUF_INIT;
	build_sample(&b);
	uint64_t x = UINT64_C(88172645463325252);
	long accepted = 0;
	for (long i = 0; i < test_count(200000, 20000000); i++) {
		AUTO(buf) struct buf hurt = BUF_INIT;
		buf_add(&hurt, b.p, b.len);
		for (int k = 0; k < 1 + i % 3; k++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			hurt.p[4 + x % (hurt.len - 4)] = (uint8_t)(x >> 40);
		}
		if (bson_validate(buf_slice(&hurt), NULL) < 0)
			continue;
		accepted++;
		bson_t theirs;
		assert_true(bson_init_static(&theirs, hurt.p, hurt.len));
		assert_true(bson_validate_with_error(
			&theirs, BSON_VALIDATE_UTF8 | BSON_VALIDATE_UTF8_ALLOW_NULL, NULL));
	}
	assert_true(accepted > 1000);
}

static void depth_is_limited_not_the_stack(void **state)
{
	(void)state;
	for (int depth = BSON_DEPTH_MAX; depth <= 100000;
	     depth = depth == BSON_DEPTH_MAX ? depth + 1 : depth * 100) {
		/* {"a": {"a": ... {}}} */
		size_t len = 5 + 8 * (size_t)depth;
		AUTO(buf) struct buf b = BUF_INIT;
		assert_true(buf_reserve(&b, len));
		memset(b.p, 0, len);
		b.len = len;
		for (int i = 0; i <= depth; i++) {
			put_le32(b.p + 7 * i, (uint32_t)(len - 8 * (size_t)i));
			if (i < depth) {
				b.p[7 * i + 4] = BSON_DOCUMENT;
				b.p[7 * i + 5] = 'a';
			}
		}
		struct err e = ERR_INIT;
		int rc = bson_validate(buf_slice(&b), &e);
		if (depth == BSON_DEPTH_MAX) {
			assert_ok(rc, &e);
			continue;
		}
		assert_int_equal(rc, ERR_LIMIT);
		assert_string_equal(e.msg, "BSON, byte 1407: nested more than 200 levels deep");
		if (depth > BSON_DEPTH_MAX + 1)
			break;
	}
}

/* ---- building ---- */

static void the_writer_refuses_what_would_not_be_valid(void **state)
{
	(void)state;
	AUTO(buf) struct buf b = BUF_INIT;
	struct bson_writer w;
	struct err e = ERR_INIT;
	buf_add_str(&b, "kept");

	bson_writer_init(&w, &b);
	bson_put_int32(&w, SLICE_LIT("a\0b"), 1);
	bson_put_int32(&w, SLICE_LIT("c"), 1);
	assert_int_equal(bson_finish(&w, &e), ERR_INVALID);
	assert_true(slice_is(buf_slice(&b), "kept"));

	bson_writer_init(&w, &b);
	for (int i = 0; i < BSON_DEPTH_MAX + 1; i++)
		bson_begin_array(&w, SLICE_LIT("a"));
	for (int i = 0; i < BSON_DEPTH_MAX + 1; i++)
		bson_end(&w);
	assert_int_equal(bson_finish(&w, &e), ERR_LIMIT);
	assert_true(slice_is(buf_slice(&b), "kept"));

	bson_writer_init(&w, &b);
	for (int i = 0; i < BSON_DEPTH_MAX; i++)
		bson_begin_array(&w, SLICE_LIT("a"));
	for (int i = 0; i < BSON_DEPTH_MAX; i++)
		bson_end(&w);
	assert_ok(bson_finish(&w, &e), &e);
	assert_ok(bson_validate(slice_of(b.p + 4, b.len - 4), &e), &e);
}

static void running_out_of_memory_is_an_error_at_the_end(void **state)
{
	(void)state;
	scarce_begin();
	int failed = 0;
	for (int k = 0; k < 8; k++) {
		AUTO(buf) struct buf b = BUF_INIT;
		struct bson_writer w;
		struct err e = ERR_INIT;
		scarce_fail(k + 1, true);
		bson_writer_init(&w, &b);
		for (int i = 0; i < 100; i++) {
			bson_begin_doc(&w, SLICE_LIT("document"));
			bson_put_string(&w, SLICE_LIT("a"), SLICE_LIT("text"));
			bson_end(&w);
		}
		int rc = bson_finish(&w, &e);
		assert_true(rc == 0 || rc == ERR_NOMEM);
		failed += rc != 0;
		if (rc == 0)
			assert_ok(bson_validate(buf_slice(&b), &e), &e);
	}
	scarce_end();
	assert_in_range(failed, 1, 7);
}

static void names_of_types_go_both_ways(void **state)
{
	(void)state;
	int named = 0;
	for (int type = 1; type < 256; type++) {
		const char *name = bson_type_name((uint8_t)type);
		if (strcmp(name, "unknown") == 0)
			continue;
		assert_int_equal(bson_type_of_name(slice_str(name)), type);
		named++;
	}
	assert_int_equal(named, 21);
	assert_int_equal(bson_type_of_name(SLICE_LIT("integer")), -1);
	assert_string_equal(bson_type_name(BSON_MISSING), "missing");
	assert_string_equal(bson_type_name(BSON_CODE_W_SCOPE), "javascriptWithScope");
}

static void evaluation_starts_seeded_and_frees_what_hangs_in_it(void **state)
{
	(void)state;
	struct eval a, b;
	eval_init(&a);
	eval_init(&b);
	assert_true(a.rand != 0 && b.rand != 0 && a.rand != b.rand);
	assert_int_equal(a.steps_max, EVAL_STEPS_DEFAULT);
	assert_non_null(arena_try(&a.arena, 100));
	assert_null(arena_try(&a.arena, EVAL_MEMORY_DEFAULT));
	a.steps = 7;
	buf_add_str(&a.scratch, "x");
	eval_reset(&a);
	assert_int_equal(a.steps, 0);
	assert_int_equal(a.scratch.len, 0);
	a.vars = malloc(1);
	a.vars_free = free;
	eval_done(&a);
	eval_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_reads_back_type_by_type),
		cmocka_unit_test(damage_is_reported_with_its_place),
		cmocka_unit_test(every_cut_is_noticed),
		cmocka_unit_test(weir_refuses_what_libbson_refuses),
		cmocka_unit_test(depth_is_limited_not_the_stack),
		cmocka_unit_test(the_writer_refuses_what_would_not_be_valid),
		cmocka_unit_test(running_out_of_memory_is_an_error_at_the_end),
		cmocka_unit_test(names_of_types_go_both_ways),
		cmocka_unit_test(evaluation_starts_seeded_and_frees_what_hangs_in_it),
	};
	return cmocka_run_group_tests_name("doc_bson", tests, NULL, NULL);
}
