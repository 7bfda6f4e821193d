/* decimal.c: Decimal128 taken apart, compared and converted.
 *
 *	bit 127     sign
 *	126..113    exponent + 6176, then a coefficient of 113 bits (below 10^34)
 *	126,125=11  the exponent starts two bits later; the coefficient would exceed 10^34: reads as 0
 *	126..122=11110 infinity, 11111 NaN
 *
 * All arithmetic is on unsigned integers, since not every compiler has a decimal type.
 */
#include "doc/decimal_parts.h"

#include "doc/big.h"
#include "doc/number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct dec dec_unpack(struct dec128 d)
{
	struct dec r = { .kind = DEC_FINITE, .negative = d.hi >> 63 };
	unsigned top = (unsigned)(d.hi >> 58) & 0x1f;
	if (top == 0x1f) {
		r.kind = DEC_NAN;
	} else if (top == 0x1e) {
		r.kind = DEC_INF;
	} else if (top >= 0x18) {
		r.exponent = (int)((d.hi >> 47) & 0x3fff) + DEC_EXPONENT_MIN;
	} else {
		r.exponent = (int)((d.hi >> 49) & 0x3fff) + DEC_EXPONENT_MIN;
		r.coefficient = (u128)(d.hi & UINT64_C(0x1ffffffffffff)) << 64 | d.lo;
		if (r.coefficient >= dec_pow10(DEC_DIGITS))
			r.coefficient = 0;
	}
	return r;
}

static struct dec128 pack(bool negative, u128 coefficient, int exponent)
{
	ASSERT(coefficient < dec_pow10(DEC_DIGITS));
	ASSERT(exponent >= DEC_EXPONENT_MIN && exponent <= DEC_EXPONENT_MAX);
	return (struct dec128){
		.lo = (uint64_t)coefficient,
		.hi = (uint64_t)negative << 63 | (uint64_t)(exponent - DEC_EXPONENT_MIN) << 49 |
		      (uint64_t)(coefficient >> 64),
	};
}

bool dec_is_nan(struct dec128 d)
{
	return dec_unpack(d).kind == DEC_NAN;
}

bool dec_is_inf(struct dec128 d)
{
	return dec_unpack(d).kind == DEC_INF;
}

bool dec_is_negative(struct dec128 d)
{
	return d.hi >> 63;
}

bool dec_is_zero(struct dec128 d)
{
	struct dec x = dec_unpack(d);
	return x.kind == DEC_FINITE && x.coefficient == 0;
}

struct dec128 dec_reduce(struct dec128 d)
{
	struct dec x = dec_unpack(d);
	if (x.kind != DEC_FINITE)
		return d;
	if (x.coefficient == 0)
		return pack(x.negative, 0, 0);
	while (x.coefficient % 10 == 0 && x.exponent < DEC_EXPONENT_MAX) {
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
	struct dec x = dec_unpack(d);
	if (x.kind != DEC_FINITE)
		return false;
	u128 c = x.coefficient;
	if (x.exponent < 0)
		c = x.exponent < -38 ? 0 : c / dec_pow10(-x.exponent);
	else if (c != 0) {
		if (x.exponent > 19 || dec_digits(c) + x.exponent > 19)
			return false;
		c *= dec_pow10(x.exponent);
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
	int top_a = dec_digits(a->coefficient) + a->exponent;
	int top_b = dec_digits(b->coefficient) + b->exponent;
	if (top_a != top_b)
		return top_a < top_b ? -1 : 1;
	/* Equal magnitude: scaled to the lower exponent both have at most 34 digits. */
	int shift = a->exponent - b->exponent;
	u128 ca = shift > 0 ? a->coefficient * dec_pow10(shift) : a->coefficient;
	u128 cb = shift < 0 ? b->coefficient * dec_pow10(-shift) : b->coefficient;
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
	struct dec x = dec_unpack(a), y = dec_unpack(b);
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

/* |x| against d > 0, both finite, x not zero: as whole numbers after clearing denominators. */
static int compare_magnitude_double(const struct dec *x, double d)
{
	int binary;
	double fraction = frexp(d, &binary); /* d = fraction * 2^binary, fraction in [0.5, 1) */
	int top = dec_digits(x->coefficient) + x->exponent;
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
	struct dec x = dec_unpack(a);
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

double dec_to_double(struct dec128 d)
{
	struct dec x = dec_unpack(d);
	double r = 0;
	if (x.kind == DEC_NAN)
		return NAN;
	if (x.kind == DEC_INF)
		r = INFINITY;
	else if (x.coefficient >> 64 == 0)
		r = num_scale((uint64_t)x.coefficient, x.exponent);
	else {
		char text[DECIMAL_STRING_MAX];
		size_t n = dec_to_string(dec_abs(d), text);
		(void)num_parse_double(slice_of(text, n), &r);
	}
	return x.negative ? -r : r;
}

/* The n leading decimal digits of d, rounded half to even. The C library knows them exactly;
 * whatever stands for the decimal point in its locale is skipped. */
static struct dec128 from_digits(double d, int n, bool keep_zeros)
{
	if (isnan(d))
		return dec_nan();
	if (isinf(d))
		return dec_inf(d < 0);
	if (d == 0)
		return pack(signbit(d), 0, 0);
	char text[64];
	(void)snprintf(text, sizeof(text), "%.*e", n - 1, fabs(d));
	u128 c = 0;
	const char *p = text;
	for (; *p != 'e'; p++)
		if (*p >= '0' && *p <= '9')
			c = c * 10 + (unsigned)(*p - '0');
	int exponent = atoi(p + 1) - (n - 1);
	while (!keep_zeros && exponent < 0 && c % 10 == 0) {
		c /= 10;
		exponent++;
	}
	return pack(d < 0, c, exponent);
}

struct dec128 dec_from_double(double v)
{
	return from_digits(v, 15, true);
}

struct dec128 dec_from_double_exact(double v)
{
	return from_digits(v, DEC_DIGITS, false);
}

/* ---- text ---- */

static bool is_word(struct slice s, const char *word)
{
	for (size_t i = 0; i < s.len; i++)
		if ((s.p[i] | 0x20) != (uint8_t)word[i] || !word[i])
			return false;
	return word[s.len] == 0;
}

/* The digits of a decimal's text: those that fit into the coefficient, and what became of the
 * others. */
struct digits {
	u128 coefficient;
	int used; /* digits in the coefficient, from the first that is not zero */
	int64_t exponent;
	bool more; /* a digit left out was not zero */
};

enum { COEFFICIENT_DIGITS = 37 };

static void add_digit(struct digits *d, int digit, bool after_point)
{
	if (d->used < COEFFICIENT_DIGITS) {
		d->coefficient = d->coefficient * 10 + (unsigned)digit;
		d->used += d->coefficient != 0;
		d->exponent -= after_point;
	} else {
		d->more = d->more || digit != 0;
		d->exponent += !after_point;
	}
}

int dec_from_string(struct slice s, struct dec128 *out, bool *inexact)
{
	const uint8_t *p = s.p, *end = s.p + s.len;
	bool negative = false, any = false, point = false;
	*inexact = false;
	if (p < end && (*p == '-' || *p == '+'))
		negative = *p++ == '-';
	struct slice word = slice_of(p, (size_t)(end - p));
	if (is_word(word, "nan")) {
		*out = dec_nan();
		return 0;
	}
	if (is_word(word, "inf") || is_word(word, "infinity")) {
		*out = dec_inf(negative);
		return 0;
	}
	struct digits d = { 0 };
	for (; p < end; p++) {
		if (*p == '.' && !point) {
			point = true;
		} else if (*p >= '0' && *p <= '9') {
			add_digit(&d, *p - '0', point);
			any = true;
		} else {
			break;
		}
	}
	if (!any)
		return ERR_FORMAT;
	if (p < end && (*p == 'e' || *p == 'E')) {
		p++;
		bool minus = false;
		int64_t v = 0;
		if (p < end && (*p == '-' || *p == '+'))
			minus = *p++ == '-';
		if (p == end)
			return ERR_FORMAT;
		for (; p < end && *p >= '0' && *p <= '9'; p++)
			if (v < INT64_C(1000000000000))
				v = v * 10 + (*p - '0');
		d.exponent += minus ? -v : v;
	}
	if (p != end)
		return ERR_FORMAT;
	*out = dec_round(negative, wide_of(d.coefficient), d.exponent, d.more, inexact);
	return 0;
}

static size_t put_digits(char *out, u128 c)
{
	uint64_t unit = (uint64_t)dec_pow10(17);
	uint64_t high = (uint64_t)(c / unit), low = (uint64_t)(c % unit); /* 34 digits: 17 and 17 */
	if (high == 0)
		return num_print_uint64(low, out);
	size_t n = num_print_uint64(high, out);
	(void)num_print_uint64(low + unit, out + n); /* with a leading 1 that keeps the zeros ... */
	memmove(out + n, out + n + 1, 17);           /* ... and goes */
	return n + 17;
}

size_t dec_to_string(struct dec128 v, char out[DECIMAL_STRING_MAX])
{
	struct dec x = dec_unpack(v);
	char *p = out, digits[40];
	if (x.kind == DEC_NAN) {
		memcpy(out, "NaN", 4);
		return 3;
	}
	if (x.negative)
		*p++ = '-';
	if (x.kind == DEC_INF) {
		memcpy(p, "Infinity", 9);
		return (size_t)(p - out) + 8;
	}
	int n = (int)put_digits(digits, x.coefficient);
	int top = x.exponent + n - 1; /* exponent of the first digit */
	if (x.exponent > 0 || top < -6) {
		*p++ = digits[0];
		if (n > 1) {
			*p++ = '.';
			memcpy(p, digits + 1, (size_t)n - 1);
			p += n - 1;
		}
		*p++ = 'E';
		*p++ = top < 0 ? '-' : '+';
		p += num_print_uint64((uint64_t)(top < 0 ? -top : top), p);
	} else if (top < 0) {
		*p++ = '0';
		*p++ = '.';
		for (int i = -1; i > top; i--)
			*p++ = '0';
		memcpy(p, digits, (size_t)n);
		p += n;
	} else {
		int whole = top + 1;
		memcpy(p, digits, (size_t)whole);
		p += whole;
		if (whole < n) {
			*p++ = '.';
			memcpy(p, digits + whole, (size_t)(n - whole));
			p += n - whole;
		}
	}
	*p = 0;
	return (size_t)(p - out);
}
