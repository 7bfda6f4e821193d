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

#include "doc/big.h"
#include "doc/number.h"

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

double dec_to_double(struct dec128 d)
{
	struct dec x = unpack(d);
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

struct dec128 dec_abs(struct dec128 d)
{
	d.hi &= ~(UINT64_C(1) << 63);
	return d;
}

/* ---- text ---- */

/* Cuts digits off the end, rounding half to even; `more`: something not zero lay below already. */
static u128 drop_digits(u128 c, int n, bool more)
{
	if (n <= 0)
		return c;
	if (n > 38)
		return 0;
	u128 unit = pow10_128(n), rest = c % unit, half = unit / 2;
	c /= unit;
	if (rest > half || (rest == half && (more || (c & 1))))
		c++;
	return c;
}

/* Brings a coefficient below 10^38 and any exponent into the format's range, rounding half to even where digits
 * must go. `more`: the exact value lies a little above the coefficient. */
static struct dec128 round_pack(bool negative, u128 c, int64_t exponent, bool more, bool *inexact)
{
	int digits = digits_of(c);
	int64_t drop = MAX((int64_t)digits - DIGITS_MAX, EXPONENT_MIN - exponent);
	*inexact = more;
	if (drop > 0) {
		int n = (int)MIN(drop, 40);
		*inexact = more || n > 38 ? c != 0 || more : c % pow10_128(n) != 0;
		c = drop_digits(c, n, more);
		exponent += drop;
		if (c == pow10_128(DIGITS_MAX)) {
			c /= 10;
			exponent++;
		}
	}
	if (exponent > EXPONENT_MAX) {
		if (c == 0) {
			exponent = EXPONENT_MAX;
		} else if (exponent - EXPONENT_MAX <= DIGITS_MAX - digits_of(c)) {
			c *= pow10_128((int)(exponent - EXPONENT_MAX));
			exponent = EXPONENT_MAX;
		} else {
			*inexact = true;
			return (struct dec128){ 0, (uint64_t)negative << 63 |
							   UINT64_C(0x7800000000000000) };
		}
	}
	return pack(negative, c, (int)exponent);
}

static bool is_word(struct slice s, const char *word)
{
	for (size_t i = 0; i < s.len; i++)
		if ((s.p[i] | 0x20) != (uint8_t)word[i] || !word[i])
			return false;
	return word[s.len] == 0;
}

/* The digits of a decimal's text: those that fit into the coefficient, and what became of the others. */
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
	uint64_t sign = (uint64_t)negative << 63;
	if (is_word(word, "nan")) {
		*out = (struct dec128){ 0, UINT64_C(0x7c00000000000000) };
		return 0;
	}
	if (is_word(word, "inf") || is_word(word, "infinity")) {
		*out = (struct dec128){ 0, sign | UINT64_C(0x7800000000000000) };
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
	*out = round_pack(negative, d.coefficient, d.exponent, d.more, inexact);
	return 0;
}

static size_t put_digits(char *out, u128 c)
{
	uint64_t unit = pow10_64[17];
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
	struct dec x = unpack(v);
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
