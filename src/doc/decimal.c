/* decimal.c: Decimal128 taken apart, compared and converted.
 *
 *	bit 127     sign
 *	126..113    exponent + 6176, then a coefficient of 113 bits (below 10^34)
 *	126,125=11  the exponent starts two bits later and the coefficient would exceed 10^34: reads as 0
 *	126..122=11110 infinity, 11111 NaN
 *
 * All arithmetic is on unsigned integers, since not every compiler has a decimal type.
 */
#include "doc/decimal.h"

#include <math.h>

typedef unsigned __int128 u128;

enum { EXPONENT_MIN = -6176, EXPONENT_MAX = 6111, DIGITS_MAX = 34 };

enum dec_kind { DEC_FINITE, DEC_INF, DEC_NAN };

struct dec {
	enum dec_kind kind;
	bool negative;
	int exponent;
	u128 coefficient;
};

static const uint64_t pow10_64[20] = {
	1u,
	10u,
	100u,
	1000u,
	10000u,
	100000u,
	1000000u,
	10000000u,
	100000000u,
	1000000000u,
	10000000000u,
	100000000000u,
	1000000000000u,
	10000000000000u,
	100000000000000u,
	1000000000000000u,
	10000000000000000u,
	100000000000000000u,
	1000000000000000000u,
	10000000000000000000u,
};

/* 10^n, n up to 38 */
static u128 pow10_128(int n)
{
	ASSERT(n >= 0 && n <= 38);
	return n < 20 ? pow10_64[n] : (u128)pow10_64[19] * pow10_64[n - 19];
}

static int digits_of(u128 c)
{
	int n = 0;
	while (n < 39 && c >= pow10_128(n))
		n++;
	return n;
}

static struct dec unpack(struct dec128 d)
{
	struct dec r = { .kind = DEC_FINITE, .negative = d.hi >> 63 };
	unsigned top = (unsigned)(d.hi >> 58) & 0x1f;
	if (top == 0x1f) {
		r.kind = DEC_NAN;
	} else if (top == 0x1e) {
		r.kind = DEC_INF;
	} else if (top >= 0x18) {
		r.exponent = (int)((d.hi >> 47) & 0x3fff) + EXPONENT_MIN;
	} else {
		r.exponent = (int)((d.hi >> 49) & 0x3fff) + EXPONENT_MIN;
		r.coefficient = (u128)(d.hi & UINT64_C(0x1ffffffffffff)) << 64 | d.lo;
		if (r.coefficient >= pow10_128(DIGITS_MAX))
			r.coefficient = 0;
	}
	return r;
}

static struct dec128 pack(bool negative, u128 coefficient, int exponent)
{
	ASSERT(coefficient < pow10_128(DIGITS_MAX));
	ASSERT(exponent >= EXPONENT_MIN && exponent <= EXPONENT_MAX);
	return (struct dec128){
		.lo = (uint64_t)coefficient,
		.hi = (uint64_t)negative << 63 | (uint64_t)(exponent - EXPONENT_MIN) << 49 |
		      (uint64_t)(coefficient >> 64),
	};
}

bool dec_is_nan(struct dec128 d)
{
	return unpack(d).kind == DEC_NAN;
}

bool dec_is_inf(struct dec128 d)
{
	return unpack(d).kind == DEC_INF;
}

bool dec_is_negative(struct dec128 d)
{
	return d.hi >> 63;
}

bool dec_is_zero(struct dec128 d)
{
	struct dec x = unpack(d);
	return x.kind == DEC_FINITE && x.coefficient == 0;
}

struct dec128 dec_reduce(struct dec128 d)
{
	struct dec x = unpack(d);
	if (x.kind != DEC_FINITE)
		return d;
	if (x.coefficient == 0)
		return pack(x.negative, 0, 0);
	while (x.coefficient % 10 == 0 && x.exponent < EXPONENT_MAX) {
		x.coefficient /= 10;
		x.exponent++;
	}
	return pack(x.negative, x.coefficient, x.exponent);
}

struct dec128 dec_from_int64(int64_t v)
{
	return pack(v < 0, v < 0 ? (u128)0 - (u128)(__int128)v : (u128)v, 0);
}

bool dec_to_int64(struct dec128 d, int64_t *out)
{
	struct dec x = unpack(d);
	if (x.kind != DEC_FINITE)
		return false;
	u128 c = x.coefficient;
	if (x.exponent < 0)
		c = x.exponent < -38 ? 0 : c / pow10_128(-x.exponent);
	else if (c != 0) {
		if (x.exponent > 19 || digits_of(c) + x.exponent > 19)
			return false;
		c *= pow10_128(x.exponent);
	}
	u128 limit = (u128)INT64_MAX + x.negative;
	if (c > limit)
		return false;
	*out = (int64_t)(x.negative ? 0 - (uint64_t)c : (uint64_t)c);
	return true;
}

/* ---- comparing ---- */

/* |a| against |b|, both finite and not zero. */
static int compare_magnitudes(const struct dec *a, const struct dec *b)
{
	int top_a = digits_of(a->coefficient) + a->exponent;
	int top_b = digits_of(b->coefficient) + b->exponent;
	if (top_a != top_b)
		return top_a < top_b ? -1 : 1;
	/* Equal magnitude: scaled to the lower exponent both have at most 34 digits. */
	int shift = a->exponent - b->exponent;
	u128 ca = shift > 0 ? a->coefficient * pow10_128(shift) : a->coefficient;
	u128 cb = shift < 0 ? b->coefficient * pow10_128(-shift) : b->coefficient;
	return ca < cb ? -1 : ca > cb;
}

/* -2 NaN, -1 negative, 0 zero, 1 positive: different classes decide alone. */
static int class_of(const struct dec *x)
{
	if (x->kind == DEC_NAN)
		return -2;
	if (x->kind == DEC_FINITE && x->coefficient == 0)
		return 0;
	return x->negative ? -1 : 1;
}

int dec_compare(struct dec128 a, struct dec128 b)
{
	struct dec x = unpack(a), y = unpack(b);
	int cx = class_of(&x), cy = class_of(&y);
	if (cx != cy)
		return cx < cy ? -1 : 1;
	if (cx == -2 || cx == 0)
		return 0;
	int c;
	if (x.kind == DEC_INF || y.kind == DEC_INF)
		c = (int)(x.kind == DEC_INF) - (int)(y.kind == DEC_INF);
	else
		c = compare_magnitudes(&x, &y);
	return x.negative ? -c : c;
}

/* A natural number big enough for any finite double beside any decimal of its magnitude. */
enum { BIG_WORDS = 80 };

struct big {
	int n;
	uint32_t w[BIG_WORDS];
};

static void big_set(struct big *b, u128 v)
{
	b->n = 0;
	for (; v; v >>= 32)
		b->w[b->n++] = (uint32_t)v;
}

static void big_mul(struct big *b, uint32_t by)
{
	uint64_t carry = 0;
	for (int i = 0; i < b->n; i++) {
		carry += (uint64_t)b->w[i] * by;
		b->w[i] = (uint32_t)carry;
		carry >>= 32;
	}
	if (carry) {
		ASSERT(b->n < BIG_WORDS);
		b->w[b->n++] = (uint32_t)carry;
	}
}

static void big_mul_pow10(struct big *b, int n)
{
	for (; n >= 9; n -= 9)
		big_mul(b, 1000000000);
	big_mul(b, (uint32_t)pow10_64[n]);
}

static void big_mul_pow2(struct big *b, int n)
{
	for (; n >= 31; n -= 31)
		big_mul(b, UINT32_C(1) << 31);
	big_mul(b, UINT32_C(1) << n);
}

static int big_compare(const struct big *a, const struct big *b)
{
	if (a->n != b->n)
		return a->n < b->n ? -1 : 1;
	for (int i = a->n - 1; i >= 0; i--)
		if (a->w[i] != b->w[i])
			return a->w[i] < b->w[i] ? -1 : 1;
	return 0;
}

/* |x| against d > 0, both finite, x not zero: as whole numbers after clearing denominators. */
static int compare_magnitude_double(const struct dec *x, double d)
{
	int binary;
	double fraction = frexp(d, &binary); /* d = fraction * 2^binary, fraction in [0.5, 1) */
	int top = digits_of(x->coefficient) + x->exponent;
	double decimal = binary * 0.30102999566398119521; /* log10(d) <= this < log10(d) + 0.302 */
	if (top - 1 > decimal + 0.5)
		return 1;
	if (top < decimal - 0.5)
		return -1;
	uint64_t mantissa = (uint64_t)ldexp(fraction, 53);
	binary -= 53;
	struct big a, b;
	big_set(&a, x->coefficient);
	big_set(&b, mantissa);
	if (x->exponent >= 0)
		big_mul_pow10(&a, x->exponent);
	else
		big_mul_pow10(&b, -x->exponent);
	if (binary >= 0)
		big_mul_pow2(&b, binary);
	else
		big_mul_pow2(&a, -binary);
	return big_compare(&a, &b);
}

int dec_compare_double(struct dec128 a, double b)
{
	struct dec x = unpack(a);
	int cx = class_of(&x), cb = isnan(b) ? -2 : b < 0 ? -1 : b > 0;
	if (cx != cb)
		return cx < cb ? -1 : 1;
	if (cx == -2 || cx == 0)
		return 0;
	int c;
	if (x.kind == DEC_INF || isinf(b))
		c = (int)(x.kind == DEC_INF) - (int)(isinf(b) != 0);
	else
		c = compare_magnitude_double(&x, fabs(b));
	return x.negative ? -c : c;
}

/* ---- to double ---- */

/* A first guess by floating point, then steps to a neighbour while that is nearer, exactly. */
double dec_to_double(struct dec128 d)
{
	struct dec x = unpack(d);
	if (x.kind == DEC_NAN)
		return NAN;
	if (x.kind == DEC_INF)
		return x.negative ? -INFINITY : INFINITY;
	if (x.coefficient == 0)
		return x.negative ? -0.0 : 0.0;
	double r = (double)x.coefficient * pow(10, x.exponent);
	return x.negative ? -r : r;
}
