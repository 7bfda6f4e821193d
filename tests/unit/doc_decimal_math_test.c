#include "tests/doc_decimal.h"

#include "doc/real.h"

#include <stdio.h>
#include <string.h>

typedef struct dec128 function(struct dec128);

static const struct {
	const char *name;
	function *f;
	const char *in, *out;
} rows[] = {
	{ "exp", dec_exp, "-1", "0.3678794411714423215955237701614609" },
	{ "exp", dec_exp, "1", "2.718281828459045235360287471352662" },
	{ "exp", dec_exp, "0", "1" },
	{ "exp", dec_exp, "1E-6000", "1.000000000000000000000000000000000" },
	{ "exp", dec_exp, "14149", "6.801809260978894125530050851897730E+6144" },
	{ "exp", dec_exp, "14150", "Infinity" },
	{ "exp", dec_exp, "1E+6000", "Infinity" },
	{ "exp", dec_exp, "-1E+6000", "0E-6176" },
	{ "exp", dec_exp, "-Infinity", "0" },
	{ "ln", dec_ln, "2.718281828459045235360287471352662",
	  "0.9999999999999999999999999999999998" },
	{ "ln", dec_ln, "1.000000000000000000000000000000001",
	  "9.999999999999999999999999999999995E-34" },
	{ "ln", dec_ln, "1E-6176", "-14220.76553433122614449511522413063" },
	{ "ln", dec_ln, "1.00", "0" },
	{ "ln", dec_ln, "0", "-Infinity" },
	{ "ln", dec_ln, "-1", "NaN" },
	{ "log10", dec_log10, "0.0000000001", "-10.00000000000000000000000000000000" },
	{ "log10", dec_log10, "10000", "4" },
	{ "log10", dec_log10, "1E+6144", "6144" },
	{ "log10", dec_log10, "2", "0.3010299956639811952137388947244930" },
	{ "sin", dec_sin, "1E-10", "9.999999999999999999983333333333333E-11" },
	{ "sin", dec_sin, "1E+22", "-0.8522008497671888017727058937530294" },
	{ "sin", dec_sin, "-1E+6000", "0.7249266534376325863453460198136025" },
	{ "sin", dec_sin, "-0", "-0" },
	{ "sin", dec_sin, "Infinity", "NaN" },
	{ "cos", dec_cos, "1E-10", "0.9999999999999999999950000000000000" },
	{ "cos", dec_cos, "1.5707963267948966", "1.923132169163975144209858469968755E-17" },
	{ "cos", dec_cos, "9.999999999999999999999999999999999E+6144",
	  "-0.8296453523350967216289114223081673" },
	{ "cos", dec_cos, "0", "1" },
	{ "tan", dec_tan, "0.0001", "0.0001000000003333333346666666720634921" },
	{ "tan", dec_tan, "1.5707963267948966", "51998506188720270.66019474166122687" },
	{ "asin", dec_asin, "-0.1", "-0.1001674211615597963455231794526933" },
	{ "asin", dec_asin, "1", "1.570796326794896619231321691639751" },
	{ "asin", dec_asin, "1.1", "NaN" },
	{ "acos", dec_acos, "1E-10", "1.570796326694896619231321691639585" },
	{ "acos", dec_acos, "-0.1", "1.670963747956456415576844871092445" },
	{ "acos", dec_acos, "1.0", "0" },
	{ "acos", dec_acos, "-1", "3.141592653589793238462643383279503" },
	{ "acos", dec_acos, "0", "1.570796326794896619231321691639751" },
	{ "atan", dec_atan, "1", "0.7853981633974483096156608458198757" },
	{ "atan", dec_atan, "-Infinity", "-1.570796326794896619231321691639751" },
	{ "atan", dec_atan, "1E-6000", "1.000000000000000000000000000000000E-6000" },
	{ "sinh", dec_sinh, "1E-10", "1.000000000000000000001666666666667E-10" },
	{ "sinh", dec_sinh, "1.5707963267948966", "2.301298902307294825208221518622109" },
	{ "sinh", dec_sinh, "-20000", "-Infinity" },
	{ "cosh", dec_cosh, "0.0001", "1.000000005000000004166666668055556" },
	{ "tanh", dec_tanh, "1.5707963267948966", "0.9171523356672743433185514582011665" },
	{ "tanh", dec_tanh, "-200", "-1.000000000000000000000000000000000" },
	{ "asinh", dec_asinh, "1", "0.8813735870195430252326093249797923" },
	{ "acosh", dec_acosh, "1", "0" },
	{ "acosh", dec_acosh, "1.000000000000000000000000000000001",
	  "4.472135954999579392818347337462552E-17" },
	{ "acosh", dec_acosh, "0.9", "NaN" },
	{ "atanh", dec_atanh, "1E-10", "1.000000000000000000003333333333333E-10" },
	{ "atanh", dec_atanh, "-1", "-Infinity" },
	{ "atanh", dec_atanh, "2", "NaN" },
};

static void known_values_come_out_to_the_last_digit(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *got = text(rows[i].f(dec(rows[i].in)));
		if (strcmp(got, rows[i].out) != 0)
			fail_msg("%s(%s) = %s, not %s", rows[i].name, rows[i].in, got, rows[i].out);
		assert_string_equal(text(rows[i].f(dec("NaN"))), "NaN");
	}
}

static void powers_and_angles_follow_the_standard(void **state)
{
	(void)state;
	static const struct {
		const char *a, *b, *power, *angle; /* a^b, atan2(a, b) */
	} pairs[] = {
		{ "10", "2", "100.0000000000000000000000000000000",
		  "1.373400766945015860861271926444961" },
		{ "5", "-112", "5.192296858534827628530496329220096E-79",
		  "3.096979418543490445495044397307917" },
		{ "1", "NaN", "1.000000000000000000000000000000000", "NaN" },
		{ "NaN", "0", "1.000000000000000000000000000000000", "NaN" },
		{ "NaN", "1", "NaN", "NaN" },
		{ "-2", "3", "-8.000000000000000000000000000000000",
		  "-0.5880026035475675512456110806250854" },
		{ "-2", "0.5", "NaN", "-1.325817663668032465059239210428476" },
		{ "-1", "1E+40", "1.000000000000000000000000000000000",
		  "-1.000000000000000000000000000000000E-40" },
		{ "0", "-1", "Infinity", "3.141592653589793238462643383279503" },
		{ "-0", "-3", "-Infinity", "-3.141592653589793238462643383279503" },
		{ "0", "2", "0", "0" },
		{ "-0", "0", "1.000000000000000000000000000000000", "-0" },
		{ "0.5", "Infinity", "0", "0" },
		{ "2", "-Infinity", "0", "3.141592653589793238462643383279503" },
		{ "-Infinity", "3", "-Infinity", "-1.570796326794896619231321691639751" },
		{ "Infinity", "-Infinity", "0", "2.356194490192344928846982537459627" },
		{ "1E+6000", "2", "Infinity", "1.570796326794896619231321691639751" },
	};
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		struct dec128 a = dec(pairs[i].a), b = dec(pairs[i].b);
		assert_string_equal(text(dec_pow(a, b)), pairs[i].power);
		assert_string_equal(text(dec_atan2(a, b)), pairs[i].angle);
	}
	assert_string_equal(text(dec_log(dec("10"), dec("10"))), "1");
}

/* |a - b| at most a few units in the last place of the larger */
static void assert_close(const char *what, struct dec128 x, struct dec128 a, struct dec128 b,
			 const char *tolerance)
{
	struct dec128 gap = dec_abs(dec_sub(a, b));
	struct dec128 limit =
		dec_mul(dec_abs(dec_compare(dec_abs(a), dec_abs(b)) > 0 ? a : b), dec(tolerance));
	if (dec_compare(gap, limit) > 0)
		fail_msg("%s at %s: %s and %s", what, text(x), text(a), text(b));
}

static void inverse_functions_undo_each_other(void **state)
{
	(void)state;
	uint64_t seed = UINT64_C(2718281828);
	for (long i = 0; i < test_count(150, 20000); i++) {
		char s[64];
		(void)snprintf(s, sizeof(s), "0.%018llu%015llu",
			       (unsigned long long)(next(&seed) % 1000000000000000000),
			       (unsigned long long)(next(&seed) % 1000000000000000));
		struct dec128 x = dec(s), one = dec("1"), ten = dec("10");
		struct dec128 big = dec_add(one, dec_mul(x, ten));
		assert_close("ln exp", x, dec_ln(dec_exp(dec_add(x, one))), dec_add(x, one),
			     "1E-32");
		assert_close("exp ln", big, dec_exp(dec_ln(big)), big, "2E-32");
		assert_close("asin sin", x, dec_asin(dec_sin(x)), x, "1E-32");
		assert_close("acos cos", big, dec_cos(dec_acos(x)), x, "1E-29");
		assert_close("atan tan", x, dec_atan(dec_tan(x)), x, "1E-32");
		assert_close("asinh sinh", x, dec_asinh(dec_sinh(x)), x, "1E-32");
		assert_close("acosh cosh", big, dec_acosh(dec_cosh(big)), big, "1E-31");
		assert_close("atanh tanh", x, dec_atanh(dec_tanh(x)), x, "1E-31");
		assert_close("pow", big,
			     dec_pow(dec_pow(big, dec("3.5")), dec_div(one, dec("3.5"))), big,
			     "1E-31");
		struct dec128 c = dec_cos(big), sn = dec_sin(big);
		assert_close("pythagoras", big, dec_add(dec_mul(c, c), dec_mul(sn, sn)), one,
			     "1E-32");
		assert_close("sqrt", big, dec_pow(big, dec("0.5")), dec_sqrt(big), "1E-33");
	}
}

/* ---- pi, anew ---- */

enum {
	PI_WORDS = TWO_OVER_PI_WORDS + 3
}; /* below the point; one more above it; most significant first */

static void add_quotient(uint64_t *sum, const uint64_t *x, uint64_t by, bool subtract)
{
	uint64_t q[PI_WORDS + 1];
	unsigned __int128 rest = 0;
	for (int i = 0; i <= PI_WORDS; i++) {
		rest = rest << 64 | x[i];
		q[i] = (uint64_t)(rest / by);
		rest %= by;
	}
	unsigned carry = 0;
	for (int i = PI_WORDS; i >= 0; i--) {
		unsigned __int128 v = subtract ? (unsigned __int128)sum[i] - q[i] - carry
					       : (unsigned __int128)sum[i] + q[i] + carry;
		sum[i] = (uint64_t)v;
		carry = (unsigned)(v >> 64) & 1;
	}
}

/* sum += or -= times * atan(1 / n) */
static void add_atan(uint64_t *sum, uint64_t times, uint64_t n, bool subtract)
{
	uint64_t x[PI_WORDS + 1] = { times };
	uint64_t zero[PI_WORDS + 1] = { 0 }, t[PI_WORDS + 1];
	memcpy(t, zero, sizeof(t));
	add_quotient(t, x, n, false);
	memcpy(x, t, sizeof(x));
	for (uint64_t k = 1; memcmp(x, zero, sizeof(x)) != 0; k += 2) {
		add_quotient(sum, x, k, subtract != (k % 4 == 3));
		memcpy(t, zero, sizeof(t));
		add_quotient(t, x, n * n, false);
		memcpy(x, t, sizeof(x));
	}
}

static void two_over_pi_is_that_of_machins_formula(void **state)
{
	(void)state;
	uint64_t pi[PI_WORDS + 1] = { 0 };
	add_atan(pi, 16, 5, false);
	add_atan(pi, 4, 239, true);
	assert_int_equal(pi[0], 3);
	/* The table times pi is 2 but for what was cut off: 1.ffff... */
	static uint64_t product[TWO_OVER_PI_WORDS + PI_WORDS + 1];
	memset(product, 0, sizeof(product));
	for (int i = TWO_OVER_PI_WORDS - 1; i >= 0; i--) {
		unsigned __int128 carry = 0;
		for (int k = PI_WORDS; k >= 0; k--) {
			carry += (unsigned __int128)real_two_over_pi[i] * pi[k] + product[i + k];
			product[i + k] = (uint64_t)carry;
			carry >>= 64;
		}
		for (int j = i - 1; carry && j >= 0; j--) {
			carry += product[j];
			product[j] = (uint64_t)carry;
			carry >>= 64;
		}
	}
	/* The whole part, 1, was carried out of word 0: what is left are the fraction's words. */
	for (int i = 0; i < TWO_OVER_PI_WORDS - 1; i++)
		assert_true(product[i] == UINT64_MAX);
	/* And the constants' leading bits are pi's: half of 3.14... is 0.11001001... * 2. */
	for (int i = 0; i < REAL_WORDS - 1; i++)
		assert_true(real_half_pi.m[REAL_WORDS - 1 - i] == (pi[i] << 62 | pi[i + 1] >> 2));
}

static void the_logarithms_of_2_and_10_are_right(void **state)
{
	(void)state;
	struct real two = real_exp(real_ln2), ten = real_exp(real_ln10);
	struct real off2 = real_sub(two, real_of(2)), off10 = real_sub(ten, real_of(10));
	assert_true(real_is_zero(&off2) || off2.exponent < -290);
	assert_true(real_is_zero(&off10) || off10.exponent < -290);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_values_come_out_to_the_last_digit),
		cmocka_unit_test(powers_and_angles_follow_the_standard),
		cmocka_unit_test(inverse_functions_undo_each_other),
		cmocka_unit_test(two_over_pi_is_that_of_machins_formula),
		cmocka_unit_test(the_logarithms_of_2_and_10_are_right),
	};
	return cmocka_run_group_tests_name("doc_decimal_math", tests, NULL, NULL);
}
