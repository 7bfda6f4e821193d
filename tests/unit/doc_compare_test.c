#include "tests/test.h"

#include "doc/compare.h"
#include "doc/decimal.h"
#include "doc/json.h"

#include <math.h>
#include <stdlib.h>

static int sign(int c)
{
	return (c > 0) - (c < 0);
}

/* Ascending; values on one line are equal. Read as Extended JSON. */
static const char *const order[][6] = {
	{ "{\"$minKey\":1}" },
	{ "{\"$undefined\":true}" },
	{ "null" },
	{ "{\"$numberDouble\":\"NaN\"}", "{\"$numberDecimal\":\"NaN\"}" },
	{ "{\"$numberDouble\":\"-Infinity\"}", "{\"$numberDecimal\":\"-Infinity\"}" },
	{ "{\"$numberDecimal\":\"-1E+6000\"}" },
	{ "-1.7976931348623157E+308" },
	{ "-9223372036854775808", "-9223372036854775808.0",
	  "{\"$numberDecimal\":\"-9223372036854775808\"}" },
	{ "-1.5", "{\"$numberDecimal\":\"-1.50\"}" },
	{ "{\"$numberDecimal\":\"-1E-6000\"}" },
	{ "0", "{\"$numberLong\":\"0\"}", "0.0", "-0.0", "{\"$numberDecimal\":\"0\"}",
	  "{\"$numberDecimal\":\"-0.000\"}" },
	{ "5E-324" },
	{ "{\"$numberDecimal\":\"0.1\"}" },
	{ "0.1" },
	{ "0.5", "{\"$numberDecimal\":\"0.5\"}" },
	{ "1", "{\"$numberLong\":\"1\"}", "1.0", "{\"$numberDecimal\":\"1\"}",
	  "{\"$numberDecimal\":\"1.000\"}" },
	{ "9007199254740992", "9007199254740992.0", "{\"$numberDecimal\":\"9007199254740992\"}" },
	{ "9007199254740993", "{\"$numberDecimal\":\"9007199254740993\"}" },
	{ "9007199254740994", "9007199254740994.0" },
	{ "9223372036854775807", "{\"$numberDecimal\":\"9223372036854775807\"}" },
	{ "9223372036854775808.0", "{\"$numberDecimal\":\"9223372036854775808\"}" },
	{ "{\"$numberDecimal\":\"1E+300\"}" },
	{ "1E+300" }, /* the double nearest to it is a little more */
	{ "{\"$numberDecimal\":\"1.7976931348623157E+308\"}" },
	{ "1.7976931348623157E+308" },
	{ "{\"$numberDecimal\":\"1E+6000\"}" },
	{ "{\"$numberDouble\":\"Infinity\"}", "{\"$numberDecimal\":\"Infinity\"}" },
	{ "\"\"", "{\"$symbol\":\"\"}" },
	{ "\"a\"", "{\"$symbol\":\"a\"}" },
	{ "\"a\\u0000\"" },
	{ "\"aa\"" },
	{ "\"\xc3\xa9\"" },
	{ "{}" },
	{ "{\"b\":null}" },
	{ "{\"a\":1}", "{\"a\":1.0}" },
	{ "{\"a\":1,\"b\":1}" },
	{ "{\"a\":2}" },
	{ "{\"b\":1}" },
	{ "{\"a\":\"x\"}" },
	{ "[]" },
	{ "[1]", "[1.0]" },
	{ "[1,null]" },
	{ "[1,2]" },
	{ "[2]" },
	{ "[\"1\"]" },
	{ "{\"$binary\":{\"base64\":\"\",\"subType\":\"05\"}}" },
	{ "{\"$binary\":{\"base64\":\"/w==\",\"subType\":\"00\"}}" },
	{ "{\"$binary\":{\"base64\":\"AQ==\",\"subType\":\"01\"}}" },
	{ "{\"$binary\":{\"base64\":\"AgE=\",\"subType\":\"00\"}}" },
	{ "{\"$oid\":\"000000000000000000000000\"}" },
	{ "{\"$oid\":\"ff0000000000000000000000\"}" },
	{ "false" },
	{ "true" },
	{ "{\"$date\":{\"$numberLong\":\"-1\"}}" },
	{ "{\"$date\":{\"$numberLong\":\"0\"}}" },
	{ "{\"$timestamp\":{\"t\":1,\"i\":4294967295}}" },
	{ "{\"$timestamp\":{\"t\":2,\"i\":0}}" },
	{ "{\"$timestamp\":{\"t\":4294967295,\"i\":0}}" }, /* unsigned */
	{ "{\"$regularExpression\":{\"pattern\":\"a\",\"options\":\"\"}}" },
	{ "{\"$regularExpression\":{\"pattern\":\"a\",\"options\":\"i\"}}" },
	{ "{\"$regularExpression\":{\"pattern\":\"b\",\"options\":\"\"}}" },
	{ "{\"$dbPointer\":{\"$ref\":\"b\",\"$id\":{\"$oid\":\"000000000000000000000000\"}}}" },
	{ "{\"$dbPointer\":{\"$ref\":\"b\",\"$id\":{\"$oid\":\"000000000000000000000001\"}}}" },
	{ "{\"$dbPointer\":{\"$ref\":\"aa\",\"$id\":{\"$oid\":\"000000000000000000000000\"}}}" },
	{ "{\"$code\":\"f\"}" },
	{ "{\"$code\":\"g\"}" },
	{ "{\"$code\":\"f\",\"$scope\":{\"a\":1}}", "{\"$code\":\"f\",\"$scope\":{\"a\":1.0}}" },
	{ "{\"$code\":\"f\",\"$scope\":{\"a\":2}}" },
	{ "{\"$maxKey\":1}" },
};

struct entry {
	struct buf bytes;
	struct value v;
	size_t line;
};

static void values_of_all_types_stand_in_one_order(void **state)
{
	(void)state;
	static struct entry entries[ARRAY_LEN(order) * 6];
	size_t n = 0;
	for (size_t i = 0; i < ARRAY_LEN(order); i++)
		for (size_t k = 0; k < 6 && order[i][k]; k++) {
			struct err e = ERR_INIT;
			struct entry *x = &entries[n++];
			x->line = i;
			assert_ok(json_to_value(slice_str(order[i][k]), &x->bytes, &x->v, NULL, &e),
				  &e);
		}
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < n; k++) {
			struct value a = entries[i].v, b = entries[k].v;
			int want = (entries[i].line > entries[k].line) -
				   (entries[i].line < entries[k].line);
			if (sign(value_compare(a, b)) != want)
				fail_msg("%s against %s: %d", order[entries[i].line][0],
					 order[entries[k].line][0], value_compare(a, b));
			assert_int_equal(value_equal(a, b), want == 0);
			if (want == 0)
				assert_true(value_hash(a, 7) == value_hash(b, 7));
			else
				assert_true(value_hash(a, 7) != value_hash(b, 7) ||
					    a.type == BSON_CODE_W_SCOPE);
			if (value_rank(a.type) != value_rank(b.type))
				assert_int_equal(sign(value_rank(a.type) - value_rank(b.type)),
						 want);
			assert_int_equal(value_identical(a, b), i == k);
		}
	}
	for (size_t i = 0; i < n; i++)
		buf_done(&entries[i].bytes);
}

static void missing_is_like_undefined_and_before_null(void **state)
{
	(void)state;
	assert_int_equal(value_compare(VALUE_MISSING, (struct value){ .type = BSON_UNDEFINED }), 0);
	assert_true(value_compare(VALUE_MISSING, VALUE_NULL) < 0);
	assert_true(value_hash(VALUE_MISSING, 1) ==
		    value_hash((struct value){ .type = BSON_UNDEFINED }, 1));
}

static void identity_sees_types_signs_and_field_order(void **state)
{
	(void)state;
	assert_false(value_identical(value_int32(1), value_int64(1)));
	assert_false(value_identical(value_double(0.0), value_double(-0.0)));
	assert_true(value_identical(value_double(NAN), value_double(NAN)));
	AUTO(buf) struct buf a = BUF_INIT, b = BUF_INIT;
	assert_int_equal(json_to_bson(SLICE_LIT("{\"a\":1,\"b\":2}"), &a, NULL, NULL), 0);
	assert_int_equal(json_to_bson(SLICE_LIT("{\"b\":2,\"a\":1}"), &b, NULL, NULL), 0);
	assert_false(value_identical(value_doc(buf_slice(&a)), value_doc(buf_slice(&b))));
	assert_int_not_equal(value_compare(value_doc(buf_slice(&a)), value_doc(buf_slice(&b))), 0);
}

/* Random numbers of all four types, near each other: comparing them by type must agree with
 * comparing what they are in decimals of 34 digits wherever that is exact. */
static void mixed_numbers_compare_like_exact_decimals(void **state)
{
	(void)state;
	uint64_t x = UINT64_C(88172645463325252);
	for (long i = 0; i < test_count(200000, 20000000); i++) {
		struct value v[2];
		struct dec128 d[2];
		for (int k = 0; k < 2; k++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			/* eighths near 2^53, 2^63 or 0: exact in decimals, partly so in doubles */
			static const int64_t near[] = { 0, INT64_C(1) << 53, INT64_MAX - 7,
							INT64_MIN };
			int64_t base = near[x >> 60 & 3] + (int64_t)(x & 7);
			int type = (int)(x >> 50 & 3);
			if (type == 0)
				base = (int32_t)(x & 0xff);
			v[k] = type == 0 ? value_int32((int32_t)base) : value_int64(base);
			d[k] = dec_from_int64(base);
			if (type == 2) {
				double f = (double)base + (double)(x >> 40 & 7) / 8;
				v[k] = value_double(f);
				d[k] = dec_from_double_exact(f);
			} else if (type == 3) {
				struct dec128 eighth =
					dec_div(dec_from_int64((int64_t)(x >> 40 & 7)),
						dec_from_int64(8));
				d[k] = dec_add(d[k], eighth);
				v[k] = (struct value){ .type = BSON_DECIMAL128, .dec = d[k] };
			}
		}
		assert_int_equal(sign(value_compare(v[0], v[1])), dec_compare(d[0], d[1]));
		if (dec_compare(d[0], d[1]) == 0)
			assert_true(value_hash(v[0], 3) == value_hash(v[1], 3));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_of_all_types_stand_in_one_order),
		cmocka_unit_test(missing_is_like_undefined_and_before_null),
		cmocka_unit_test(identity_sees_types_signs_and_field_order),
		cmocka_unit_test(mixed_numbers_compare_like_exact_decimals),
	};
	return cmocka_run_group_tests_name("doc_compare", tests, NULL, NULL);
}
