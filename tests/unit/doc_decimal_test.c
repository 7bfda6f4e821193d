#include "tests/doc_decimal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Any coefficient length, exponents near each other or far apart, specials now and then. */
static struct dec128 random_decimal(uint64_t *x)
{
	char s[64], *p = s;
	switch (next(x) % 40) {
	case 0: return dec("NaN");
	case 1: return dec("Infinity");
	case 2: return dec("-Infinity");
	}
	if (next(x) & 1)
		*p++ = '-';
	bool nines = next(x) % 8 == 0, round = next(x) % 8 == 0;
	for (uint64_t n = next(x) % 34 + 1, i = 0; i < n; i++)
		*p++ = (char)(nines ? '9' : round && i > 0 ? '0' : '0' + (char)(next(x) % 10));
	static const int spans[] = { 1, 6, 40, 80, 6000 };
	int span = spans[next(x) % 5];
	(void)sprintf(p, "E%d", (int)(next(x) % (uint64_t)(2 * span)) - span);
	return dec(s);
}

static void the_visible_quantum_is_the_standards(void **state)
{
	(void)state;
	assert_string_equal(text(dec_mod(dec("10"), dec("1.032"))), "0.712");
	assert_string_equal(text(dec_quantize(dec("123.391"), -2, false)), "1E+2");
	assert_string_equal(text(dec_quantize(dec("1.397"), 35, false)),
			    "1.397000000000000000000000000000000");
	assert_string_equal(text(dec_quantize(dec("0.0"), 100, false)), "0E-100");
	assert_string_equal(text(dec_div(dec_from_double(10.2), dec("1"))), "10.2000000000000");
	assert_string_equal(text(dec_mod(dec_from_double(10.2), dec("1"))), "0.2000000000000");
	assert_string_equal(text(dec_add(dec("0.1"), dec("0.2"))), "0.3");
	assert_string_equal(text(dec_add(dec("1.20"), dec("1.3"))), "2.50");
	assert_string_equal(text(dec_sub(dec("1.5"), dec("1.50"))), "0.00");
	assert_string_equal(text(dec_mul(dec("1.20"), dec("2"))), "2.40");
	assert_string_equal(text(dec_div(dec("1"), dec("8"))), "0.125");
	assert_string_equal(text(dec_div(dec("2.40"), dec("2"))), "1.20");
	assert_string_equal(text(dec_div(dec("100"), dec("0.01"))), "1.00E+4");
	assert_string_equal(text(dec_div(dec("1"), dec("3"))),
			    "0.3333333333333333333333333333333333");
	assert_string_equal(text(dec_div(dec("2"), dec("3"))),
			    "0.6666666666666666666666666666666667");
	assert_string_equal(text(dec_sqrt(dec("2"))), "1.414213562373095048801688724209698");
	assert_string_equal(text(dec_sqrt(dec("4.00"))), "2.0");
	assert_string_equal(text(dec_sqrt(dec("1E-3"))), "0.03162277660168379331998893544432719");
}

static void rounding_follows_its_mode(void **state)
{
	(void)state;
	static const struct {
		const char *d;
		int places;
		const char *nearest, *truncated;
	} rows[] = {
		{ "2.5", 0, "2", "2" },
		{ "3.5", 0, "4", "3" },
		{ "-2.51", 0, "-3", "-2" },
		{ "1.25", 1, "1.2", "1.2" },
		{ "1.35", 1, "1.4", "1.3" },
		{ "0.04", 1, "0.0", "0.0" },
		{ "-0.04", 1, "-0.0", "-0.0" },
		{ "99.99", 1, "100.0", "99.9" },
		{ "7", 2, "7.00", "7.00" },
		{ "1E+3", 0, "1000", "1000" },
		{ "5", -1, "0E+1", "0E+1" },
		{ "15", -1, "2E+1", "1E+1" },
		{ "1E+40", 2, "1.000000000000000000000000000000000E+40",
		  "1.000000000000000000000000000000000E+40" },
		{ "NaN", 2, "NaN", "NaN" },
		{ "-Infinity", 2, "-Infinity", "-Infinity" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_string_equal(text(dec_quantize(dec(rows[i].d), rows[i].places, false)),
				    rows[i].nearest);
		assert_string_equal(text(dec_quantize(dec(rows[i].d), rows[i].places, true)),
				    rows[i].truncated);
	}
	assert_string_equal(text(dec_floor(dec("-1.5"))), "-2");
	assert_string_equal(text(dec_floor(dec("1.5"))), "1");
	assert_string_equal(text(dec_ceil(dec("1.5"))), "2");
	assert_string_equal(text(dec_ceil(dec("-0.5"))), "-0");
	assert_string_equal(text(dec_ceil(dec("1E-6000"))), "1");
	assert_string_equal(text(dec_floor(dec("1E+6000"))), "1E+6000");
}

static void specials_follow_the_standard(void **state)
{
	(void)state;
	assert_string_equal(text(dec_add(dec("Infinity"), dec("-Infinity"))), "NaN");
	assert_string_equal(text(dec_mul(dec("Infinity"), dec("0"))), "NaN");
	assert_string_equal(text(dec_div(dec("-1"), dec("0"))), "-Infinity");
	assert_string_equal(text(dec_div(dec("0"), dec("0"))), "NaN");
	assert_string_equal(text(dec_mod(dec("1"), dec("0"))), "NaN");
	assert_string_equal(text(dec_mod(dec("-7.5"), dec("Infinity"))), "-7.5");
	assert_string_equal(text(dec_mod(dec("-7.5"), dec("2"))), "-1.5");
	assert_string_equal(text(dec_mod(dec("1E+6000"), dec("7"))), "1");
	assert_string_equal(text(dec_sqrt(dec("-1"))), "NaN");
	assert_string_equal(text(dec_sqrt(dec("-0"))), "-0");
	assert_string_equal(text(dec_mul(dec("1E+6144"), dec("10"))), "Infinity");
	assert_string_equal(text(dec_mul(dec("1E-6176"), dec("0.1"))), "0E-6176");
	assert_string_equal(text(dec_neg(dec("0"))), "-0");
	assert_string_equal(text(dec_abs(dec("-Infinity"))), "Infinity");
}

static void strings_of_every_form_are_read(void **state)
{
	(void)state;
	static const struct {
		const char *in, *out;
	} rows[] = {
		{ "+1", "1" },
		{ "Inf", "Infinity" },
		{ "-inFINity", "-Infinity" },
		{ "-NaN", "NaN" },
		{ ".5", "0.5" },
		{ "5.", "5" },
		{ "000123.4500", "123.4500" },
		{ "1E400000000000000000", "Infinity" },
		{ "0E400000000000000000", "0E+6111" },
		{ "1E-400000000000000000", "0E-6176" },
		{ "1E6112", "1.0E+6112" },
		{ "12345678901234567890123456789012345",
		  "1.234567890123456789012345678901234E+34" },
		{ "12345678901234567890123456789012355",
		  "1.234567890123456789012345678901236E+34" },
		{ "12345678901234567890123456789012345000000001",
		  "1.234567890123456789012345678901235E+43" },
		{ "99999999999999999999999999999999999",
		  "1.000000000000000000000000000000000E+35" },
		{ "0.00000123", "0.00000123" },
		{ "0.000000123", "1.23E-7" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_string_equal(text(dec(rows[i].in)), rows[i].out);
	static const char *const bad[] = { "",        "+",         ".",    "E5",    "1E",
					   "1E+",     "1e5x",      "1 ",   " 1",    "0x1",
					   "Infinit", "infinityy", "nan0", "1.2.3", "--1" };
	struct dec128 d;
	bool inexact;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(dec_from_string(slice_str(bad[i]), &d, &inexact), ERR_FORMAT);
	uint64_t x = 77;
	for (int i = 0; i < 5000; i++) {
		d = random_decimal(&x);
		struct dec128 back = dec(text(d));
		assert_memory_equal(&d, &back, sizeof(d));
	}
}

static void doubles_and_integers_convert_as_stated(void **state)
{
	(void)state;
	assert_string_equal(text(dec_from_double(10.2)), "10.2000000000000");
	assert_string_equal(text(dec_from_double(3)), "3.00000000000000");
	assert_string_equal(text(dec_from_double(-1e300)), "-1.00000000000000E+300");
	assert_string_equal(text(dec_from_double(0.1 + 0.2)), "0.300000000000000");
	assert_string_equal(text(dec_from_double(-0.0)), "-0");
	assert_string_equal(text(dec_from_double(-INFINITY)), "-Infinity");
	assert_string_equal(text(dec_from_double_exact(0.5)), "0.5");
	assert_string_equal(text(dec_from_double_exact(100)), "100");
	assert_string_equal(text(dec_from_double_exact(0.1)),
			    "0.1000000000000000055511151231257827");
	assert_string_equal(text(dec_from_int64(INT64_MIN)), "-9223372036854775808");
	int64_t v;
	assert_true(dec_to_int64(dec("-9223372036854775808.9"), &v) && v == INT64_MIN);
	assert_false(dec_to_int64(dec("9223372036854775808"), &v));
	assert_true(dec_to_int64(dec("92233720368547758.07E2"), &v) && v == INT64_MAX);
	assert_true(dec_to_int64(dec("0E+6000"), &v) && v == 0);
	assert_true(dec_to_int64(dec("-1E-6000"), &v) && v == 0);
	assert_false(dec_to_int64(dec("1E+19"), &v));
	assert_false(dec_to_int64(dec("NaN"), &v));
	assert_true(dec_to_double(dec("1E+400")) == INFINITY);
	assert_true(dec_to_double(dec("1E-400")) == 0);
	uint64_t x = 99;
	for (int i = 0; i < 3000; i++) {
		struct dec128 d = random_decimal(&x);
		double ours = dec_to_double(d);
		if (!dec_is_nan(d))
			assert_true(ours == strtod(text(d), NULL));
	}
}

static void comparing_with_doubles_is_exact(void **state)
{
	(void)state;
	assert_int_equal(dec_compare_double(dec("0.1"), 0.1), -1);
	assert_int_equal(dec_compare_double(dec("0.5"), 0.5), 0);
	assert_int_equal(dec_compare_double(dec("0.5000"), 0.5), 0);
	assert_int_equal(dec_compare_double(dec("-0"), 0.0), 0);
	assert_int_equal(dec_compare_double(dec("NaN"), -INFINITY), -1);
	assert_int_equal(dec_compare_double(dec("NaN"), (double)NAN), 0);
	assert_int_equal(dec_compare_double(dec("Infinity"), INFINITY), 0);
	assert_int_equal(dec_compare_double(dec("1E+400"), INFINITY), -1);
	assert_int_equal(dec_compare_double(dec("-1E+400"), -1.7976931348623157e308), -1);
	assert_int_equal(dec_compare_double(dec("1E-400"), 5e-324), -1);
	assert_int_equal(dec_compare_double(dec("1.7976931348623157E+308"), 1.7976931348623157e308),
			 -1);
	assert_int_equal(dec_compare_double(dec("9007199254740993"), 9007199254740992.0), 1);
	/* A double and its 34 digits: on the side that rounding went. */
	uint64_t x = 5;
	for (int i = 0; i < 20000; i++) {
		uint64_t bits = next(&x);
		double d;
		memcpy(&d, &bits, 8);
		if (i % 2)
			d = (double)(int64_t)bits / 1024;
		if (!isfinite(d))
			continue;
		char exact[1200], rounded[64];
		(void)snprintf(rounded, sizeof(rounded), "%.33e", d);
		(void)snprintf(exact, sizeof(exact), "%.800e", d);
		int c = 0; /* compare digit strings: the same exponent unless rounding carried */
		size_t n = strcspn(rounded, "e");
		if (strcmp(rounded + n, exact + strcspn(exact, "e")) != 0)
			continue;
		c = memcmp(rounded, exact, n);
		if (c == 0 && strspn(exact + n, "0") != strcspn(exact + n, "e"))
			c = -1;
		if (d < 0)
			c = -c;
		assert_int_equal(dec_compare_double(dec(rounded), d), (c > 0) - (c < 0));
	}
}

static void comparing_orders_all_decimals(void **state)
{
	(void)state;
	static const char *const order[] = { "NaN",
					     "-Infinity",
					     "-1E+6144",
					     "-2",
					     "-1.0001",
					     "-1",
					     "-1E-6176",
					     "0",
					     "1E-6176",
					     "0.1",
					     "0.9999999999999999999999999999999999",
					     "1",
					     "1E+6144",
					     "Infinity" };
	for (size_t i = 0; i < ARRAY_LEN(order); i++)
		for (size_t k = 0; k < ARRAY_LEN(order); k++)
			assert_int_equal(dec_compare(dec(order[i]), dec(order[k])),
					 (i > k) - (i < k));
	assert_int_equal(dec_compare(dec("1.0"), dec("1")), 0);
	assert_int_equal(dec_compare(dec("-0E+5"), dec("0")), 0);
	assert_int_equal(dec_compare(dec("1E+3"), dec("1000.000")), 0);
	struct dec128 a = dec_reduce(dec("1E+3")), b = dec_reduce(dec("1000.000"));
	assert_memory_equal(&a, &b, sizeof(a));
}

static void roots_are_the_nearest(void **state)
{
	(void)state;
	uint64_t x = 31337;
	for (int i = 0; i < 3000; i++) {
		struct dec128 d = dec_abs(random_decimal(&x));
		struct dec128 r = dec_sqrt(d);
		if (dec_is_nan(d) || dec_is_inf(d) || dec_is_zero(d))
			continue;
		/* One unit in the last place to either side, the square lies beyond d. */
		char s[DECIMAL_STRING_MAX], unit[DECIMAL_STRING_MAX];
		(void)dec_to_string(r, s);
		char *e = strchr(s, 'E');
		int digits = 0, point = 0, seen = 0;
		for (char *p = s; p != (e ? e : s + strlen(s)); p++) {
			if (*p == '.')
				seen = 1;
			else {
				digits += digits || *p != '0';
				point += seen;
			}
		}
		int exponent = (e ? atoi(e + 1) : 0) - point - (34 - digits);
		(void)snprintf(unit, sizeof(unit), "1E%d", exponent);
		struct dec128 below = dec_sub(r, dec(unit)), above = dec_add(r, dec(unit));
		assert_true(dec_compare(dec_mul(below, below), d) <= 0);
		assert_true(dec_compare(dec_mul(above, above), d) >= 0);
	}
}

#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__)
typedef _Decimal128 peer;

static peer to_peer(struct dec128 d)
{
	peer p;
	memcpy(&p, &d, 16);
	return p;
}

static void check(const char *what, struct dec128 a, struct dec128 b, struct dec128 ours,
		  peer theirs)
{
	struct dec128 t;
	memcpy(&t, &theirs, 16);
	if (dec_is_nan(ours) && dec_is_nan(t))
		return;
	if (ours.lo != t.lo || ours.hi != t.hi)
		fail_msg("%s %s %s: %s, gcc: %s", text(a), what, text(b), text(ours), text(t));
}

static void arithmetic_is_bit_for_bit_that_of_gcc(void **state)
{
	(void)state;
	uint64_t x = UINT64_C(88172645463325252);
	for (long i = 0; i < test_count(100000, 10000000); i++) {
		struct dec128 a = random_decimal(&x), b = random_decimal(&x);
		if (i % 16 == 0) /* any bits at all, non-canonical ones among them */
			a = (struct dec128){ next(&x), next(&x) };
		peer p = to_peer(a), q = to_peer(b);
		check("+", a, b, dec_add(a, b), p + q);
		check("-", a, b, dec_sub(a, b), p - q);
		check("*", a, b, dec_mul(a, b), p * q);
		check("/", a, b, dec_div(a, b), p / q);
		if (!dec_is_nan(a) && !dec_is_nan(b))
			assert_int_equal(dec_compare(a, b), (p > q) - (p < q));
	}
}
#else
static void arithmetic_is_bit_for_bit_that_of_gcc(void **state)
{
	(void)state;
	print_message("this compiler has no _Decimal128 to compare with\n");
	skip();
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_visible_quantum_is_the_standards),
		cmocka_unit_test(rounding_follows_its_mode),
		cmocka_unit_test(specials_follow_the_standard),
		cmocka_unit_test(strings_of_every_form_are_read),
		cmocka_unit_test(doubles_and_integers_convert_as_stated),
		cmocka_unit_test(comparing_with_doubles_is_exact),
		cmocka_unit_test(comparing_orders_all_decimals),
		cmocka_unit_test(roots_are_the_nearest),
		cmocka_unit_test(arithmetic_is_bit_for_bit_that_of_gcc),
	};
	return cmocka_run_group_tests_name("doc_decimal", tests, NULL, NULL);
}
