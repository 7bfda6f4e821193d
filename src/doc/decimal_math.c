/* decimal_math.c: exponentials, logarithms, powers and hyperbolic functions of decimals.
 *
 * Each function deals with zeros, infinities and NaN as IEEE 754 has it for that function, then
 * works in real.h's 96 digits and rounds once.
 */
#include "doc/decimal_parts.h"

/* Beyond this a result of exp overflows or underflows whatever follows: ln(10^6145) is 14149. */
enum { EXP_BITS_MAX = 15 };

static struct dec128 small(int64_t v)
{
	return dec_from_int64(v);
}

struct real dec_to_real(const struct dec *x)
{
	struct real r = real_of_u128(x->coefficient),
		    p = real_pow10(x->exponent < 0 ? -x->exponent : x->exponent);
	r = x->exponent < 0 ? real_div(r, p) : real_mul(r, p);
	r.negative = x->negative && !real_is_zero(&r);
	return r;
}

struct dec128 dec_of_real(const struct real *r)
{
	enum { KEPT = 37, SNAP = 16 /* of 2^64 */ };
	if (real_is_zero(r))
		return small(0);
	/* Scaled to 37 or 38 digits before the point: below 2^127, with 190 bits behind it. */
	int top = (int)(((int64_t)(r->exponent - 1) * 78913) >> 18); /* log10(2) * 2^18 */
	int up = KEPT - 1 - top;
	struct real t = real_mul(real_abs(*r), real_pow10(up));
	ASSERT(t.exponent > 64 && t.exponent < 128);
	u128 high = (u128)t.m[4] << 64 | t.m[3], low = (u128)t.m[2] << 64 | t.m[1];
	int below = 128 - t.exponent; /* bits of high behind the point */
	u128 whole = high >> below;
	uint64_t fraction = (uint64_t)((high << t.exponent | low >> below) >> 64);
	bool more = fraction >= SNAP;
	if (fraction > UINT64_MAX - SNAP) {
		whole++;
		more = false;
	}
	return dec_round(r->negative, wide_of(whole), -(int64_t)up, more, NULL);
}

static bool is_zero(const struct dec *x)
{
	return x->kind == DEC_FINITE && x->coefficient == 0;
}

static bool is_one(const struct dec *x)
{
	if (x->kind != DEC_FINITE || x->coefficient == 0 || x->exponent > 0 ||
	    x->exponent < -DEC_DIGITS)
		return false;
	return x->coefficient == dec_pow10(-x->exponent);
}

/* e^r, or what it overflows or underflows to. */
static struct dec128 exp_of(const struct real *r)
{
	if (r->exponent > EXP_BITS_MAX)
		return r->negative ? dec_round(false, wide_of(0), DEC_EXPONENT_MIN, false, NULL)
				   : dec_inf(false);
	struct real y = real_exp(*r);
	return dec_of_real(&y);
}

struct dec128 dec_exp(struct dec128 a)
{
	struct dec x = dec_unpack(a);
	if (x.kind == DEC_NAN)
		return dec_nan();
	if (x.kind == DEC_INF)
		return x.negative ? small(0) : dec_inf(false);
	if (x.coefficient == 0)
		return small(1);
	struct real r = dec_to_real(&x);
	return exp_of(&r);
}

/* What ln and log10 share: true when *out is the answer already. */
static bool log_special(const struct dec *x, struct dec128 *out)
{
	if (x->kind == DEC_NAN)
		*out = dec_nan();
	else if (is_zero(x))
		*out = dec_inf(true);
	else if (x->negative)
		*out = dec_nan();
	else if (x->kind == DEC_INF)
		*out = dec_inf(false);
	else if (is_one(x))
		*out = small(0);
	else
		return false;
	return true;
}

struct dec128 dec_ln(struct dec128 a)
{
	struct dec x = dec_unpack(a);
	struct dec128 out;
	if (log_special(&x, &out))
		return out;
	struct real r = real_ln(dec_to_real(&x));
	return dec_of_real(&r);
}

struct dec128 dec_log10(struct dec128 a)
{
	struct dec x = dec_unpack(a);
	struct dec128 out;
	if (log_special(&x, &out))
		return out;
	/* Whole powers of ten from 1 up give a plain integer. */
	int digits = dec_digits(x.coefficient);
	if (x.coefficient == dec_pow10(digits - 1) && x.exponent + digits > 0)
		return small(x.exponent + digits - 1);
	struct real r = real_div(real_ln(dec_to_real(&x)), real_ln10);
	return dec_of_real(&r);
}

struct dec128 dec_log(struct dec128 a, struct dec128 base)
{
	return dec_div(dec_ln(a), dec_ln(base));
}

/* 1 odd integer, 2 even integer, 0 neither. */
static int parity(const struct dec *x)
{
	if (x->kind != DEC_FINITE)
		return 0;
	if (x->coefficient == 0 || x->exponent > 0)
		return 2;
	if (x->exponent < -DEC_DIGITS)
		return 0;
	u128 unit = dec_pow10(-x->exponent);
	if (x->coefficient % unit != 0)
		return 0;
	return x->coefficient / unit & 1 ? 1 : 2;
}

/* |x| against 1 */
static int against_one(const struct dec *x)
{
	if (x->kind == DEC_INF)
		return 1;
	if (is_one(x))
		return 0;
	if (x->coefficient == 0)
		return -1;
	return dec_digits(x->coefficient) + x->exponent > 0 ? 1 : -1;
}

static struct dec128 padded_one(bool negative)
{
	return dec_round(negative, wide_of(dec_pow10(DEC_DIGITS - 1)), 1 - DEC_DIGITS, false, NULL);
}

struct dec128 dec_pow(struct dec128 a, struct dec128 b)
{
	struct dec x = dec_unpack(a), y = dec_unpack(b);
	if (is_zero(&y) || (is_one(&x) && !x.negative))
		return padded_one(false); /* even for NaN */
	if (x.kind == DEC_NAN || y.kind == DEC_NAN)
		return dec_nan();
	int kind = parity(&y);
	bool negative = x.negative && kind == 1;
	if (y.kind == DEC_INF) {
		int c = against_one(&x);
		if (c == 0)
			return padded_one(false);
		return (c > 0) == y.negative ? small(0) : dec_inf(false);
	}
	if (is_zero(&x))
		return y.negative ? dec_inf(negative)
				  : dec_round(negative, wide_of(0), 0, false, NULL);
	if (x.kind == DEC_INF)
		return y.negative ? dec_round(negative, wide_of(0), 0, false, NULL)
				  : dec_inf(negative);
	if (x.negative && kind == 0)
		return dec_nan();
	struct dec128 r;
	x.negative = false;
	if (is_one(&x)) {
		r = padded_one(false);
	} else {
		struct real log = real_mul(dec_to_real(&y), real_ln(dec_to_real(&x)));
		r = exp_of(&log);
	}
	return negative ? dec_neg(r) : r;
}

/* ---- hyperbolic ---- */

struct dec128 dec_sinh(struct dec128 a)
{
	struct dec x = dec_unpack(a);
	if (x.kind != DEC_FINITE || x.coefficient == 0)
		return x.kind == DEC_NAN ? dec_nan() : a;
	struct real r = dec_to_real(&x);
	if (r.exponent > EXP_BITS_MAX)
		return dec_inf(x.negative);
	r = real_sinh(r);
	return dec_of_real(&r);
}

static struct real cosh_of(struct real r)
{
	struct real e = real_exp(r);
	return real_scale(real_add(e, real_div(real_of(1), e)), -1);
}

struct dec128 dec_cosh(struct dec128 a)
{
	struct dec x = dec_unpack(a);
	if (x.kind == DEC_NAN)
		return dec_nan();
	if (x.kind == DEC_INF)
		return dec_inf(false);
	if (x.coefficient == 0)
		return small(1);
	struct real r = dec_to_real(&x);
	if (r.exponent > EXP_BITS_MAX)
		return dec_inf(false);
	r = cosh_of(r);
	return dec_of_real(&r);
}

struct dec128 dec_tanh(struct dec128 a)
{
	enum { SATURATED_BITS = 8 }; /* 1 - tanh(128) is 10^-111 */
	struct dec x = dec_unpack(a);
	if (x.kind == DEC_NAN)
		return dec_nan();
	if (x.kind == DEC_INF)
		return small(x.negative ? -1 : 1);
	if (x.coefficient == 0)
		return a;
	struct real r = dec_to_real(&x);
	if (r.exponent >= SATURATED_BITS)
		return padded_one(x.negative);
	r = real_div(real_sinh(r), cosh_of(r));
	return dec_of_real(&r);
}

struct dec128 dec_asinh(struct dec128 a)
{
	struct dec x = dec_unpack(a);
	if (x.kind != DEC_FINITE || x.coefficient == 0)
		return x.kind == DEC_NAN ? dec_nan() : a;
	struct real r = real_asinh(dec_to_real(&x));
	return dec_of_real(&r);
}

/* 2 asinh(sqrt((x - 1) / 2)): good near 1 too */
struct dec128 dec_acosh(struct dec128 a)
{
	struct dec x = dec_unpack(a);
	if (x.kind == DEC_NAN || x.negative || against_one(&x) < 0)
		return dec_nan();
	if (x.kind == DEC_INF)
		return dec_inf(false);
	if (is_one(&x))
		return small(0);
	struct real r = real_sub(dec_to_real(&x), real_of(1));
	r = real_scale(real_asinh(real_sqrt(real_scale(r, -1))), 1);
	return dec_of_real(&r);
}

struct dec128 dec_atanh(struct dec128 a)
{
	struct dec x = dec_unpack(a);
	if (x.kind == DEC_NAN)
		return dec_nan();
	int c = against_one(&x);
	if (c > 0)
		return dec_nan();
	if (c == 0)
		return dec_inf(x.negative);
	if (x.coefficient == 0)
		return a;
	struct real r = real_atanh(dec_to_real(&x));
	return dec_of_real(&r);
}
