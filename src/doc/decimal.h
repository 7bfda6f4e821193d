/* decimal.h: IEEE 754-2008 Decimal128 in the BID encoding, exactly, with either compiler.
 *
 * The quantum (exponent) of results is that of the standard's preferred exponent rules.
 */
#ifndef DOC_DECIMAL_H
#define DOC_DECIMAL_H

#include "doc/bson.h"

#define DECIMAL_STRING_MAX 48

/* 0 or ERR_FORMAT; rounds half to even past 34 digits. */
int dec_from_string(struct slice s, struct dec128 *out, bool *inexact);
/* The length; NUL-terminated. */
size_t dec_to_string(struct dec128 d, char out[DECIMAL_STRING_MAX]);
struct dec128 dec_from_int64(int64_t v);
/* 15 significant digits, zero-padded, as MongoDB converts. */
struct dec128 dec_from_double(double v);
/* The exact value, rounded to 34 digits. */
struct dec128 dec_from_double_exact(double v);
/* The nearest double. */
double dec_to_double(struct dec128 d);
/* Truncates; false when out of range or not a number. */
bool dec_to_int64(struct dec128 d, int64_t *out);
bool dec_is_nan(struct dec128 d);
bool dec_is_inf(struct dec128 d);
bool dec_is_negative(struct dec128 d);
bool dec_is_zero(struct dec128 d);
/* The same value without trailing zeros. */
struct dec128 dec_reduce(struct dec128 d);
/* NaN = NaN, and less than all numbers. Exact, also against a double. */
int dec_compare(struct dec128 a, struct dec128 b);
int dec_compare_double(struct dec128 a, double b);

struct dec128 dec_add(struct dec128 a, struct dec128 b);
struct dec128 dec_sub(struct dec128 a, struct dec128 b);
struct dec128 dec_mul(struct dec128 a, struct dec128 b);
struct dec128 dec_div(struct dec128 a, struct dec128 b);
struct dec128 dec_mod(struct dec128 a, struct dec128 b); /* truncated, sign of a */
struct dec128 dec_neg(struct dec128 a);
struct dec128 dec_abs(struct dec128 a);
/* To so many decimal places (they may be negative): half to even ($round) or towards zero
 * ($trunc). */
struct dec128 dec_quantize(struct dec128 a, int places, bool truncate);
struct dec128 dec_floor(struct dec128 a);
struct dec128 dec_ceil(struct dec128 a);
struct dec128 dec_sqrt(struct dec128 a);

/* The rest is computed with 96 digits and rounded once to 34; results keep all 34, so that 10^2 is
 * 100.00...0. */
struct dec128 dec_exp(struct dec128 a);
struct dec128 dec_ln(struct dec128 a);
struct dec128 dec_log10(struct dec128 a);
struct dec128 dec_log(struct dec128 a, struct dec128 base); /* ln a / ln base, each rounded */
struct dec128 dec_pow(struct dec128 a, struct dec128 b);
struct dec128 dec_sin(struct dec128 a);
struct dec128 dec_cos(struct dec128 a);
struct dec128 dec_tan(struct dec128 a);
struct dec128 dec_asin(struct dec128 a);
struct dec128 dec_acos(struct dec128 a);
struct dec128 dec_atan(struct dec128 a);
struct dec128 dec_atan2(struct dec128 y, struct dec128 x);
struct dec128 dec_sinh(struct dec128 a);
struct dec128 dec_cosh(struct dec128 a);
struct dec128 dec_tanh(struct dec128 a);
struct dec128 dec_asinh(struct dec128 a);
struct dec128 dec_acosh(struct dec128 a);
struct dec128 dec_atanh(struct dec128 a);

#endif
