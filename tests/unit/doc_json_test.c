#include "tests/scarce.h"
#include "tests/test.h"

#include "doc/big.h"
#include "doc/compare.h"
#include "doc/iso.h"
#include "doc/json.h"
#include "doc/number.h"
#include "tests/libbson.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct slice parse(const char *json, struct buf *out)
{
	struct err e = ERR_INIT;
	buf_reset(out);
	assert_ok(json_to_bson(slice_str(json), out, NULL, &e), &e);
	assert_ok(bson_validate(buf_slice(out), &e), &e);
	return buf_slice(out);
}

/* ---- reading ---- */

static void errors_tell_line_and_column_and_what_was_expected(void **state)
{
	(void)state;
	static const struct {
		const char *json, *msg;
	} rows[] = {
		{ "",
		  "line 1, column 1: expected a document, starting with '{', but the text ends" },
		{ "  [1]", "line 1, column 3: expected a document, starting with '{'" },
		{ "{\n  \"a\": 1,\n  \"\xc3\xa9\" 2\n}",
		  "line 3, column 7: expected ':' after a field name" },
		{ "{\"a\":1,}", "line 1, column 8: expected a field name" },
		{ "{\"a\":[1,]}", "line 1, column 9: expected a value" },
		{ "{\"a\":1 \"b\":2}", "line 1, column 8: expected ',' or '}'" },
		{ "{\"a\":1} x", "line 1, column 9: expected nothing more after the document" },
		{ "{a:1}", "line 1, column 2: expected a field name or '}'" },
		{ "{\"a\":NaN}", "line 1, column 6: expected a value" },
		{ "{\"a\":Infinity}", "line 1, column 6: expected a value" },
		{ "{\"a\":01}", "line 1, column 6: a number must not start with 0" },
		{ "{\"a\":1.}", "line 1, column 8: expected a digit after the decimal point" },
		{ "{\"a\":1e+}", "line 1, column 9: expected a digit in the exponent" },
		{ "{\"a\":-}", "line 1, column 7: expected a digit" },
		{ "{\"a\":1e999999}", "line 1, column 6: a number too large for a double" },
		{ "{\"a\":tru}", "line 1, column 6: expected a value" },
		{ "{\"a\":\"b",
		  "line 1, column 8: expected '\"' at the end of a string, but the text ends" },
		{ "{\"a\":\"0123456789abcdefghijklmnopqrstuvwxyz",
		  "line 1, column 43: expected '\"' at the end of a string, but the text ends" },
		{ "{\"a\":\"\t\"}",
		  "line 1, column 7: a control character in a string must be escaped" },
		{ "{\"a\":\"\\x\"}",
		  "line 1, column 8: expected one of \"\\/bfnrtu after a backslash" },
		{ "{\"a\":\"\\u12g4\"}",
		  "line 1, column 9: expected four hexadecimal digits after \\u" },
		{ "{\"a\":\"\\ud800\"}",
		  "line 1, column 7: a high surrogate without a low one behind it" },
		{ "{\"a\":\"\\udc00\"}",
		  "line 1, column 7: a low surrogate without a high one before it" },
		{ "{\"a\":\"x\xc0\x80\"}", "line 1, column 8: invalid UTF-8" },
		{ "{\"a\":\"0123456789abcdef\xed\xa0\x80\"}", "line 1, column 23: invalid UTF-8" },
		{ "{\"a\\u0000\":1}", "line 1, column 4: a NUL character is not allowed here" },
		{ "{\"a\":{\"$oid\":7}}",
		  "line 1, column 14: expected a string of 24 hexadecimal digits" },
		{ "{\"a\":{\"$oid\":\"xyz\"}}",
		  "line 1, column 14: $oid: expected 24 hexadecimal digits" },
		{ "{\"a\":{\"$numberInt\":\"2147483648\"}}",
		  "line 1, column 20: $numberInt: expected a 32-bit integer" },
		{ "{\"a\":{\"$numberLong\":\"9223372036854775808\"}}",
		  "line 1, column 21: $numberLong: expected a 64-bit integer" },
		{ "{\"a\":{\"$numberInt\":\"1\",\"b\":2}}",
		  "line 1, column 23: expected '}' after the value of $numberInt" },
		{ "{\"a\":{\"$date\":\"2012-02-30T00:00:00Z\"}}",
		  "line 1, column 15: $date: expected a date like 2012-12-24T12:15:30.501Z" },
	};
	AUTO(buf) struct buf out = BUF_INIT;
	buf_add_str(&out, "kept");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		/* In a block of its own exact size: a sanitizer sees every read beyond it. */
		size_t len = strlen(rows[i].json);
		char *exact = malloc(len ? len : 1);
		memcpy(exact, rows[i].json, len);
		struct err e = ERR_INIT;
		assert_int_equal(json_to_bson(slice_of(exact, len), &out, NULL, &e), ERR_FORMAT);
		assert_string_equal(e.msg, rows[i].msg);
		assert_true(slice_is(buf_slice(&out), "kept"));
		free(exact);
	}
}

static void numbers_take_the_smallest_type_that_holds_them(void **state)
{
	(void)state;
	static const struct {
		const char *json;
		uint8_t type;
		int64_t i;
		double d;
	} rows[] = {
		{ "0", BSON_INT32, 0, 0 },
		{ "-2147483648", BSON_INT32, INT32_MIN, 0 },
		{ "2147483648", BSON_INT64, 2147483648, 0 },
		{ "9007199254740993", BSON_INT64, 9007199254740993, 0 },
		{ "9223372036854775807", BSON_INT64, INT64_MAX, 0 },
		{ "-9223372036854775808", BSON_INT64, INT64_MIN, 0 },
		{ "9223372036854775808", BSON_DOUBLE, 0, 0x1p63 },
		{ "-9223372036854775809", BSON_DOUBLE, 0, -0x1p63 },
		{ "123456789012345678901234567890", BSON_DOUBLE, 0,
		  123456789012345678901234567890.0 },
		{ "1.0", BSON_DOUBLE, 0, 1 },
		{ "-0.0", BSON_DOUBLE, 0, -0.0 },
		{ "1E2", BSON_DOUBLE, 0, 100 },
		{ "0.1", BSON_DOUBLE, 0, 0.1 },
		{ "1e-400", BSON_DOUBLE, 0, 0 },
		{ "4.9406564584124654e-324", BSON_DOUBLE, 0, 4.9406564584124654e-324 },
		{ "1.7976931348623157e308", BSON_DOUBLE, 0, 1.7976931348623157e308 },
		{ "9007199254740993.0", BSON_DOUBLE, 0, 9007199254740992.0 },
		{ "9007199254740993.00000000000000000000000000000001", BSON_DOUBLE, 0,
		  9007199254740994.0 },
	};
	AUTO(buf) struct buf out = BUF_INIT;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct value v;
		struct err e = ERR_INIT;
		buf_reset(&out);
		assert_ok(json_to_value(slice_str(rows[i].json), &out, &v, NULL, &e), &e);
		assert_int_equal(v.type, rows[i].type);
		if (v.type == BSON_DOUBLE)
			assert_memory_equal(&v.f64, &rows[i].d, 8);
		else
			assert_int_equal(v.i64, rows[i].i);
	}
}

static void a_hundred_thousand_digits_and_a_million_brackets_end_soon(void **state)
{
	(void)state;
	AUTO(buf) struct buf text = BUF_INIT, out = BUF_INIT;
	struct err e = ERR_INIT;
	buf_add_str(&text, "{\"a\":0.");
	for (int i = 0; i < 100000; i++)
		buf_add_byte(&text, (uint8_t)('1' + i % 9));
	buf_add_str(&text, "}");
	assert_ok(json_to_bson(buf_slice(&text), &out, NULL, &e), &e);
	assert_true(bson_get_str(buf_slice(&out), "a").f64 == 0.123456789123456789123456789);

	buf_reset(&text);
	buf_reset(&out);
	buf_add_str(&text, "{\"a\":");
	for (int i = 0; i < 1000000; i++)
		buf_add_byte(&text, '[');
	assert_int_equal(json_to_bson(buf_slice(&text), &out, NULL, &e), ERR_LIMIT);
	assert_string_equal(e.msg, "line 1, column 206: nested more than 200 levels deep");
}

static void nesting_is_allowed_up_to_the_limit(void **state)
{
	(void)state;
	AUTO(buf) struct buf text = BUF_INIT, out = BUF_INIT;
	struct err e = ERR_INIT;
	for (int depth = BSON_DEPTH_MAX; depth <= BSON_DEPTH_MAX + 1; depth++) {
		buf_reset(&text);
		buf_reset(&out);
		buf_add_str(&text, "{\"a\":");
		for (int i = 0; i < depth; i++)
			buf_add_byte(&text, '[');
		for (int i = 0; i < depth; i++)
			buf_add_byte(&text, ']');
		buf_add_str(&text, "}");
		int rc = json_to_bson(buf_slice(&text), &out, NULL, &e);
		assert_int_equal(rc, depth <= BSON_DEPTH_MAX ? 0 : ERR_LIMIT);
		if (rc == 0)
			assert_ok(bson_validate(buf_slice(&out), &e), &e);
	}
}

static void duplicate_names_and_their_order_are_kept(void **state)
{
	(void)state;
	AUTO(buf) struct buf out = BUF_INIT, again = BUF_INIT;
	struct slice d = parse(
		"\xef\xbb\xbf {\"b\":1,\"a\":2,\"b\":3,\"\":4,\"x.y\":{\"$gt\":5,\"$oid\":6}} ",
		&out);
	json_from_bson(d, JSON_RELAXED, &again);
	assert_true(slice_is(buf_slice(&again),
			     "{\"b\":1,\"a\":2,\"b\":3,\"\":4,\"x.y\":{\"$gt\":5,\"$oid\":6}}"));
	assert_int_equal(bson_get_str(d, "b").i64, 1);
}

static void several_documents_are_read_one_by_one(void **state)
{
	(void)state;
	AUTO(buf) struct buf out = BUF_INIT;
	struct slice text = SLICE_LIT("{\"a\":1}\n{\"a\":2} {\"a\":3}\n\n");
	struct err e = ERR_INIT;
	for (int i = 1; i <= 3; i++) {
		size_t used;
		buf_reset(&out);
		assert_ok(json_to_bson(text, &out, &used, &e), &e);
		assert_int_equal(bson_get_str(buf_slice(&out), "a").i64, i);
		text = slice_of(text.p + used, text.len - used);
	}
	assert_int_equal(text.len, 0);
}

static void any_value_can_be_read_alone(void **state)
{
	(void)state;
	AUTO(buf) struct buf out = BUF_INIT;
	struct value v;
	struct err e = ERR_INIT;
	assert_ok(json_to_value(SLICE_LIT("[1,\"two\",{\"$numberLong\":\"3\"}]"), &out, &v, NULL,
				&e),
		  &e);
	assert_int_equal(v.type, BSON_ARRAY);
	assert_int_equal(bson_get_str(value_slice(v), "2").type, BSON_INT64);
	assert_ok(json_to_value(SLICE_LIT("{\"$timestamp\":{\"i\":2,\"t\":1}}"), &out, &v, NULL,
				&e),
		  &e);
	assert_int_equal(v.type, BSON_TIMESTAMP);
	assert_int_equal(v.i64, INT64_C(1) << 32 | 2);
	assert_ok(json_to_value(SLICE_LIT("\"plain\""), &out, &v, NULL, &e), &e);
	assert_true(slice_is(value_slice(v), "plain"));
}

static void regex_options_are_sorted_letter_by_letter(void **state)
{
	(void)state;
	AUTO(buf) struct buf out = BUF_INIT, text = BUF_INIT;
	struct err e = ERR_INIT;
	struct slice d =
		parse("{\"a\":{\"$regularExpression\":{\"options\":\"xmi\",\"pattern\":\"^b\"}}}",
		      &out);
	assert_true(slice_is(value_regex_options(bson_get_str(d, "a")), "imx"));
	/* Sorting must not take letters of several bytes apart. */
	assert_int_equal(json_to_bson(SLICE_LIT("{\"a\":{\"$regularExpression\":{\"pattern\":\"\","
						"\"options\":\"\xdd\x96$\"}}}"),
				      &out, NULL, &e),
			 ERR_FORMAT);
	assert_string_equal(e.msg,
			    "line 1, column 52: $regularExpression: options are ASCII letters");
	static const uint8_t stored[] = "b\0\xdd\x96$";
	json_from_value((struct value){ .type = BSON_REGEX, .len = sizeof(stored), .p = stored },
			JSON_RELAXED, &text);
	assert_string_equal(
		buf_cstr(&text),
		"{\"$regularExpression\":{\"pattern\":\"b\",\"options\":\"\xdd\x96$\"}}");
}

static void the_pretty_form_has_a_field_a_line(void **state)
{
	(void)state;
	AUTO(buf) struct buf out = BUF_INIT, text = BUF_INIT;
	json_from_bson_pretty(parse("{\"a\":1,\"b\":{\"c\":[true,null],\"d\":{},\"e\":[]}}", &out),
			      JSON_RELAXED, 2, &text);
	assert_string_equal(
		buf_cstr(&text),
		"{\n  \"a\": 1,\n  \"b\": {\n    \"c\": [\n      true,\n      null\n    "
		"],\n    \"d\": {},\n    \"e\": []\n  }\n}");
}

/* ---- numbers and dates as text ---- */

static uint64_t next(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

static void printed_doubles_read_back_and_are_shortest(void **state)
{
	(void)state;
	static const struct {
		double d;
		const char *text;
	} rows[] = {
		{ 1, "1.0" },
		{ -0.0, "-0.0" },
		{ 0.1, "0.1" },
		{ 100, "100.0" },
		{ 0.001, "0.001" },
		{ 1e15, "1000000000000000.0" },
		{ 1e16, "1E+16" },
		{ 1.2345678921232e18, "1.2345678921232E+18" },
		{ 1e-7, "0.0000001" },
		{ 1.5e-8, "1.5E-8" },
		{ 0.1 + 0.2, "0.30000000000000004" },
		{ 5e-324, "5E-324" },
		{ 1.7976931348623157e308, "1.7976931348623157E+308" },
		{ 0x1p-44, "5.684341886080802E-14" },
		{ 9007199254740993.0, "9007199254740992.0" },
		{ -123.456, "-123.456" },
	};
	char text[NUM_DOUBLE_MAX + 1], other[64];
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		text[num_print_double(rows[i].d, text)] = 0;
		assert_string_equal(text, rows[i].text);
	}
	uint64_t x = UINT64_C(88172645463325252);
	for (long i = 0; i < test_count(40000, 4000000); i++) {
		uint64_t bits = next(&x);
		double d, back;
		memcpy(&d, &bits, 8);
		if (i % 3 == 1)
			d = (double)(int64_t)(bits % 10000000000) / 1e5;
		if (i % 3 == 2) {
			bits &= i % 2 ? UINT64_C(0xfff0000000000000) : UINT64_C(0x000fffffffffffff);
			memcpy(&d, &bits, 8);
		}
		if (!isfinite(d))
			continue;
		size_t n = num_print_double(d, text);
		text[n] = 0;
		assert_int_equal(num_parse_double(slice_of(text, n), &back), 0);
		assert_memory_equal(&back, &d, 8);
		assert_true(strtod(text, NULL) == d);
		/* No text of fewer digits reads back. */
		int digits = 0, zeros = 0;
		for (char *p = text; *p && *p != 'E'; p++) {
			if (*p < '0' || *p > '9' || (*p == '0' && digits == 0))
				continue;
			digits++;
			zeros = *p == '0' ? zeros + 1 : 0;
		}
		digits -= zeros;
		if (digits > 1) {
			(void)snprintf(other, sizeof(other), "%.*e", digits - 2, d);
			assert_true(strtod(other, NULL) != d);
		}
	}
}

static void doubles_are_read_like_strtod_reads_them(void **state)
{
	(void)state;
	uint64_t x = UINT64_C(1234567890123456789);
	char text[1024];
	for (long i = 0; i < test_count(20000, 1000000); i++) {
		uint64_t a = next(&x), b = next(&x);
		if (i % 2)
			(void)snprintf(text, sizeof(text), "%llue%d",
				       (unsigned long long)(a >> i % 60), (int)(b % 700) - 350);
		else
			(void)snprintf(text, sizeof(text), "%llu.%llu%llue%d",
				       (unsigned long long)(a >> i % 60), (unsigned long long)b,
				       (unsigned long long)(a ^ b), (int)(b % 700) - 370);
		double ours, theirs = strtod(text, NULL);
		int rc = num_parse_double(slice_str(text), &ours);
		assert_int_equal(rc, isinf(theirs) ? ERR_LIMIT : 0);
		assert_true(ours == theirs);
	}
	/* The points halfway between two doubles, exactly, and just beside them. */
	for (int i = 0; i < 300; i++) {
		double low = ldexp((double)(next(&x) >> 12 | 1), (int)(next(&x) % 60) - 90), ours;
		long double half = ((long double)low + (long double)nextafter(low, INFINITY)) / 2;
		int n = snprintf(text, sizeof(text), "%.200Lf", half);
		assert_int_equal(num_parse_double(slice_of(text, (size_t)n), &ours), 0);
		assert_true(ours == strtod(text, NULL));
		text[n] = '1';
		assert_int_equal(num_parse_double(slice_of(text, (size_t)n + 1), &ours), 0);
		assert_true(ours == nextafter(low, INFINITY));
	}
	double d;
	static const char *const bad[] = { "",   "-",  ".",   "e5",    "1e",  "1e+",
					   "1 ", " 1", "0x1", "1.2.3", "inf", "nan" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(num_parse_double(slice_str(bad[i]), &d), ERR_FORMAT);
}

static void power_of_5(struct big *b, unsigned __int128 times, int n)
{
	big_set(b, times);
	for (; n > 0; n--)
		big_mul_add(b, 5, 0);
}

static int bits_of(const struct big *b)
{
	return b->n * 32 - __builtin_clz(b->w[b->n - 1]);
}

/* t <= 2^k / 5^n < t + 1 for some k: t is that quotient, cut off. */
static bool is_inverse_of_5(unsigned __int128 t, int n)
{
	struct big low, high, two;
	power_of_5(&low, t, n);
	power_of_5(&high, t + 1, n);
	big_set(&two, 1);
	big_mul_pow2(&two, bits_of(&high) - 1);
	return big_compare(&low, &two) <= 0 && big_compare(&two, &high) < 0;
}

static void the_table_of_powers_is_exact(void **state)
{
	(void)state;
	for (int q = POW10_MIN; q <= POW10_MAX; q++) {
		const uint64_t *t = pow10_table[q - POW10_MIN];
		unsigned __int128 entry = (unsigned __int128)t[0] << 64 | t[1];
		assert_true(t[0] >> 63);
		if (q < 0) {
			assert_true(is_inverse_of_5(q >= -27 ? entry - 1 : entry, -q));
			continue;
		}
		struct big power, low, high;
		power_of_5(&power, 1, q);
		int shift =
			bits_of(&power) - 128; /* entry * 2^shift <= 5^q < (entry + 1) * 2^shift */
		big_set(&low, entry);
		big_set(&high, entry + 1);
		if (shift < 0)
			big_mul_pow2(&power, -shift);
		big_mul_pow2(&low, shift);
		big_mul_pow2(&high, shift);
		assert_true(big_compare(&low, &power) <= 0);
		assert_true(big_compare(&power, &high) < 0);
	}
}

static void dates_print_and_read_back(void **state)
{
	(void)state;
	static const struct {
		int64_t ms;
		const char *text;
	} rows[] = {
		{ 0, "1970-01-01T00:00:00Z" },
		{ 1, "1970-01-01T00:00:00.001Z" },
		{ 951782400000, "2000-02-29T00:00:00Z" },
		{ 1356351330501, "2012-12-24T12:15:30.501Z" },
		{ 253402300799999, "9999-12-31T23:59:59.999Z" },
		{ -1, "1969-12-31T23:59:59.999Z" },
		{ -62167219200000, "0000-01-01T00:00:00Z" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char text[ISO_MAX + 1];
		int64_t ms;
		text[iso_print(rows[i].ms, text)] = 0;
		assert_string_equal(text, rows[i].text);
		assert_true(iso_parse(slice_str(text), &ms));
		assert_int_equal(ms, rows[i].ms);
	}
	int64_t ms;
	assert_true(iso_parse(slice_str("2012-12-24T12:15:30.501999+0130"), &ms) &&
		    ms == 1356345930501);
	assert_true(iso_parse(slice_str("2012-12-24T12:15:30-01:30"), &ms) && ms == 1356356730000);
	static const char *const bad[] = { "2012-12-24",
					   "2012-13-01T00:00:00Z",
					   "2011-02-29T00:00:00Z",
					   "2012-12-24T24:00:00Z",
					   "2012-12-24T12:15:30",
					   "2012-12-24T12:15:30.Z",
					   "2012-12-24T12:15:30Zx",
					   "2012-12-24T12:15:30+25:00",
					   "" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(iso_parse(slice_str(bad[i]), &ms));
}

/* ---- random documents ---- */

static void random_text(uint64_t *x, struct buf *out)
{
	static const char *const pieces[] = { "a",
					      "key",
					      "\"",
					      "\\",
					      "\n",
					      "\xc3\xa9",
					      "\xe2\x82\xac",
					      "\xf0\x9f\x98\x80",
					      "/",
					      "0123456789abcdef" };
	buf_reset(out);
	for (uint64_t n = next(x) % 8; n > 0; n--)
		buf_add_str(out, pieces[next(x) % ARRAY_LEN(pieces)]);
}

/* No code within arrays: libbson's reader names such an element wrongly, or fails. */
static void random_doc(uint64_t *x, struct bson_writer *w, bool array, int depth)
{
	AUTO(buf) struct buf key = BUF_INIT, text = BUF_INIT;
	for (uint64_t n = next(x) % 8; n > 0; n--) {
		random_text(x, &key);
		if (key.len && key.p[0] == '$')
			key.p[0] = 'd';
		random_text(x, &text);
		struct slice k = buf_slice(&key), t = buf_slice(&text);
		uint64_t r = next(x);
		double d;
		memcpy(&d, &r, 8);
		switch (next(x) % (depth > 0 ? 16 : 14)) {
		case 0: bson_put_double(w, k, isnan(d) ? 0.5 : d); break;
		case 1: bson_put_string(w, k, t); break;
		case 2: bson_put_int32(w, k, (int32_t)r); break;
		case 3: bson_put_int64(w, k, (int64_t)r); break;
		case 4: bson_put_bool(w, k, r & 1); break;
		case 5: bson_put_null(w, k); break;
		case 6: bson_put_date(w, k, (int64_t)r); break;
		case 7: bson_put_date(w, k, (int64_t)(r % 253402300800000)); break;
		case 8: bson_put_timestamp(w, k, (uint32_t)r, (uint32_t)(r >> 32)); break;
		case 9: bson_put_oid(w, k, (const uint8_t *)"abcdefghijkl"); break;
		case 10: bson_put_binary(w, k, (uint8_t)(r % 6), t); break;
		case 11:
			if (!array)
				bson_put(w, k,
					 (struct value){ .type = BSON_CODE,
							 .len = (uint32_t)t.len,
							 .p = t.p });
			break;
		case 12:
			bson_put(w, k,
				 (struct value){ .type = BSON_DECIMAL128,
						 .dec = { r, UINT64_C(0x3040) << 48 } });
			break;
		case 13:
			bson_put(w, k, (struct value){ .type = r & 1 ? BSON_MINKEY : BSON_MAXKEY });
			break;
		case 14:
			bson_begin_doc(w, k);
			random_doc(x, w, false, depth - 1);
			bson_end(w);
			break;
		case 15:
			bson_begin_array(w, k);
			random_doc(x, w, true, depth - 1);
			bson_end(w);
			break;
		}
	}
}

static void random_documents_survive_json_and_agree_with_libbson(void **state)
{
	(void)state;
	AUTO(buf) struct buf doc = BUF_INIT, json = BUF_INIT, back = BUF_INIT;
	uint64_t x = UINT64_C(42424242424242);
	for (long i = 0; i < test_count(3000, 300000); i++) {
		struct bson_writer w;
		struct err e = ERR_INIT;
		buf_reset(&doc);
		bson_writer_init(&w, &doc);
		random_doc(&x, &w, false, 4);
		assert_ok(bson_finish(&w, &e), &e);
		assert_ok(bson_validate(buf_slice(&doc), &e), &e);

		/* canonical: every type and bit survives, by weir's reader and by libbson's */
		buf_reset(&json);
		buf_reset(&back);
		json_from_bson(buf_slice(&doc), JSON_CANONICAL, &json);
		assert_ok(json_to_bson(buf_slice(&json), &back, NULL, &e), &e);
		assert_true(slice_eq(buf_slice(&doc), buf_slice(&back)));
		bson_t theirs;
		bson_error_t error;
		if (!bson_init_from_json(&theirs, (const char *)json.p, (ssize_t)json.len, &error))
			fail_msg("libbson: %s: " SLICE_FMT, error.message,
				 SLICE_ARG(buf_slice(&json)));
		assert_true(
			slice_eq(buf_slice(&doc), slice_of(bson_get_data(&theirs), theirs.len)));
		bson_destroy(&theirs);

		/* and weir reads what libbson writes */
		assert_true(bson_init_static(&theirs, doc.p, doc.len));
		size_t len;
		char *text = bson_as_canonical_extended_json(&theirs, &len);
		buf_reset(&back);
		assert_ok(json_to_bson(slice_of(text, len), &back, NULL, &e), &e);
		assert_true(slice_eq(buf_slice(&doc), buf_slice(&back)));
		bson_free(text);

		/* relaxed: equal values, and the pretty form says the same */
		buf_reset(&json);
		buf_reset(&back);
		json_from_bson_pretty(buf_slice(&doc), JSON_RELAXED, 3, &json);
		assert_ok(json_to_bson(buf_slice(&json), &back, NULL, &e), &e);
		assert_true(value_equal(value_doc(buf_slice(&doc)), value_doc(buf_slice(&back))));
	}
}

/* ---- memory ---- */

static void running_out_of_memory_is_an_error_in_both_directions(void **state)
{
	(void)state;
	AUTO(buf) struct buf text = BUF_INIT;
	buf_add_str(&text, "{\"a\":[");
	for (int i = 0; i < 200; i++)
		buf_add_str(&text,
			    "{\"b\":\"a text of some length with \\n in "
			    "it\",\"c\":{\"$binary\":{\"base64\":"
			    "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\",\"subType\":\"02\"}},"
			    "\"d\":{\"$code\":"
			    "\"f\",\"$scope\":{\"x\":1}},\"e\":{\"$numberDecimal\":\"1\"}},");
	buf_add_str(&text, "null]}");
	int failed = 0;
	scarce_begin();
	for (long k = 0; k < 16; k++) {
		AUTO(buf) struct buf doc = BUF_INIT, json = BUF_INIT;
		struct err e = ERR_INIT;
		scarce_fail(k + 1, true);
		int rc = json_to_bson(buf_slice(&text), &doc, NULL, &e);
		assert_true(rc == 0 || rc == ERR_NOMEM);
		failed += rc != 0;
		if (rc != 0) {
			assert_int_equal(doc.len, 0);
			continue;
		}
		for (long m = 0; m < 16; m++) {
			buf_done(&json);
			scarce_fail(m + 1, true);
			json_from_bson_pretty(buf_slice(&doc), JSON_CANONICAL, 2, &json);
			if (!json.failed)
				break;
			failed++;
		}
		assert_false(json.failed);
		break;
	}
	scarce_end();
	assert_true(failed > 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(errors_tell_line_and_column_and_what_was_expected),
		cmocka_unit_test(numbers_take_the_smallest_type_that_holds_them),
		cmocka_unit_test(a_hundred_thousand_digits_and_a_million_brackets_end_soon),
		cmocka_unit_test(nesting_is_allowed_up_to_the_limit),
		cmocka_unit_test(duplicate_names_and_their_order_are_kept),
		cmocka_unit_test(several_documents_are_read_one_by_one),
		cmocka_unit_test(any_value_can_be_read_alone),
		cmocka_unit_test(regex_options_are_sorted_letter_by_letter),
		cmocka_unit_test(the_pretty_form_has_a_field_a_line),
		cmocka_unit_test(printed_doubles_read_back_and_are_shortest),
		cmocka_unit_test(doubles_are_read_like_strtod_reads_them),
		cmocka_unit_test(the_table_of_powers_is_exact),
		cmocka_unit_test(dates_print_and_read_back),
		cmocka_unit_test(random_documents_survive_json_and_agree_with_libbson),
		cmocka_unit_test(running_out_of_memory_is_an_error_in_both_directions),
	};
	return cmocka_run_group_tests_name("doc_json", tests, NULL, NULL);
}
