/* decimal_arith.c: arithmetic on decimals: exact, then rounded once, half to even.
 *
 * Where the result is exact its exponent is the standard's preferred one: the lower of the
 * operands' for sums and remainders, their sum for products, their difference for quotients, half
 * of it for roots; or as near to it as 34 digits allow.
 */
#include "doc/decimal_parts.h"

static struct dec128 with_sign(struct dec128 d, bool negative)
{
	d.hi = (d.hi & ~(UINT64_C(1) << 63)) | (uint64_t)negative << 63;
	return d;
}

struct dec128 dec_neg(struct dec128 a)
{
	return dec_is_nan(a) ? dec_nan() : with_sign(a, !dec_is_negative(a));
}

struct dec128 dec_abs(struct dec128 a)
{
	return dec_is_nan(a) ? dec_nan() : with_sign(a, false);
}

/* a + b with exponents a >= b. Scaled to 75 digits, a dwarfs all that b can add below: of b's
 * lower digits it then matters only whether there are any. */
static struct dec128 add_aligned(const struct dec *a, const struct dec *b)
{
	struct wide big = wide_of(a->coefficient), small = wide_of(b->coefficient);
	int64_t shift = (int64_t)a->exponent - b->exponent, exponent = b->exponent;
	bool more = false;
	if (a->coefficient == 0) {
		shift = 0;
	} else {
		int64_t space = 75 - dec_digits(a->coefficient), up = MIN(shift, space);
		wide_mul_pow10(&big, (int)up);
		exponent = a->exponent - up;
		for (shift -= up; shift > 0 && !wide_is_zero(&small); shift--)
			more |= wide_div_small(&small, 10) != 0;
	}
	if (a->negative == b->negative) {
		wide_add(&big, &small);
		return dec_round(a->negative, big, exponent, more, NULL);
	}
	int c = wide_compare(&big, &small);
	if (c == 0 && !more)
		return dec_round(false, wide_of(0), exponent, false, NULL);
	if (c < 0) { /* then nothing of b was cut off */
		wide_sub(&small, &big);
		return dec_round(b->negative, small, exponent, false, NULL);
	}
	wide_sub(&big, &small);
	if (more) /* a little was taken away: one less, and a little above that */
		wide_sub(&big, &(struct wide){ { 1, 0, 0, 0 } });
	return dec_round(a->negative, big, exponent, more, NULL);
}

struct dec128 dec_add(struct dec128 a, struct dec128 b)
{
	struct dec x = dec_unpack(a), y = dec_unpack(b);
	if (x.kind == DEC_NAN || y.kind == DEC_NAN)
		return dec_nan();
	if (x.kind == DEC_INF && y.kind == DEC_INF && x.negative != y.negative)
		return dec_nan();
	if (x.kind == DEC_INF)
		return dec_inf(x.negative);
	if (y.kind == DEC_INF)
		return dec_inf(y.negative);
	return x.exponent >= y.exponent ? add_aligned(&x, &y) : add_aligned(&y, &x);
}

struct dec128 dec_sub(struct dec128 a, struct dec128 b)
{
	return dec_add(a, dec_neg(b));
}

struct dec128 dec_mul(struct dec128 a, struct dec128 b)
{
	struct dec x = dec_unpack(a), y = dec_unpack(b);
	bool negative = x.negative != y.negative;
	if (x.kind == DEC_NAN || y.kind == DEC_NAN)
		return dec_nan();
	if (x.kind == DEC_INF || y.kind == DEC_INF) {
		bool zero = (x.kind == DEC_FINITE && x.coefficient == 0) ||
			    (y.kind == DEC_FINITE && y.coefficient == 0);
		return zero ? dec_nan() : dec_inf(negative);
	}
	return dec_round(negative, wide_mul(x.coefficient, y.coefficient),
			 (int64_t)x.exponent + y.exponent, false, NULL);
}

/* Takes zeros off the end while the exponent is below the preferred one. */
static u128 strip(u128 c, int64_t *exponent, int64_t preferred)
{
	while (c != 0 && *exponent < preferred && c % 10 == 0) {
		c /= 10;
		++*exponent;
	}
	return c;
}

/* Long division, four digits a step, until it comes out or there are digits enough to round. */
static struct dec128 divide(const struct dec *x, const struct dec *y, bool negative)
{
	int64_t preferred = (int64_t)x->exponent - y->exponent, exponent = preferred;
	u128 q = x->coefficient / y->coefficient, rest = x->coefficient % y->coefficient;
	while (rest != 0 && dec_digits(q) <= DEC_DIGITS) {
		rest *= 10000;
		q = q * 10000 + rest / y->coefficient;
		rest %= y->coefficient;
		exponent -= 4;
	}
	if (rest == 0)
		q = strip(q, &exponent, preferred);
	return dec_round(negative, wide_of(q), exponent, rest != 0, NULL);
}

struct dec128 dec_div(struct dec128 a, struct dec128 b)
{
	struct dec x = dec_unpack(a), y = dec_unpack(b);
	bool negative = x.negative != y.negative;
	if (x.kind == DEC_NAN || y.kind == DEC_NAN || (x.kind == DEC_INF && y.kind == DEC_INF))
		return dec_nan();
	if (x.kind == DEC_INF)
		return dec_inf(negative);
	if (y.kind == DEC_INF)
		return dec_round(negative, wide_of(0), DEC_EXPONENT_MIN, false, NULL);
	if (y.coefficient == 0)
		return x.coefficient == 0 ? dec_nan() : dec_inf(negative);
	if (x.coefficient == 0)
		return dec_round(negative, wide_of(0), (int64_t)x.exponent - y.exponent, false,
				 NULL);
	return divide(&x, &y, negative);
}

struct dec128 dec_mod(struct dec128 a, struct dec128 b)
{
	struct dec x = dec_unpack(a), y = dec_unpack(b);
	if (x.kind != DEC_FINITE || y.kind == DEC_NAN)
		return dec_nan();
	if (y.kind == DEC_INF)
		return a;
	if (y.coefficient == 0)
		return dec_nan();
	int exponent = MIN(x.exponent, y.exponent);
	int up_x = x.exponent - exponent, up_y = y.exponent - exponent;
	u128 rest = x.coefficient;
	if (up_y > 0) {
		/* Scaled up, y is beyond x unless it stays within x's 34 digits. */
		if (dec_digits(y.coefficient) + up_y <= DEC_DIGITS)
			rest %= y.coefficient * dec_pow10(up_y);
	} else {
		for (rest %= y.coefficient; up_x > 0 && rest != 0; up_x -= 4)
			rest = rest * dec_pow10(MIN(up_x, 4)) % y.coefficient;
	}
	return dec_round(x.negative, wide_of(rest), exponent, false, NULL);
}

/* ---- to a given exponent ---- */

enum direction { TO_NEAREST, TO_ZERO, TO_FLOOR, TO_CEILING };

/* |x| without the digits below 10^exponent, plus one where the direction asks for it. */
static u128 cut(const struct dec *x, int64_t exponent, enum direction to)
{
	int64_t n = exponent - x->exponent;
	u128 c = x->coefficient, kept = 0, unit = 0, rest = c;
	if (n <= DEC_DIGITS) {
		unit = dec_pow10((int)n);
		kept = c / unit;
		rest = c % unit;
	}
	bool up = false;
	switch (to) {
	case TO_NEAREST:
		up = unit != 0 && (rest > unit / 2 || (rest == unit / 2 && (kept & 1)));
		break;
	case TO_ZERO: break;
	case TO_FLOOR: up = rest != 0 && x->negative; break;
	case TO_CEILING: up = rest != 0 && !x->negative; break;
	}
	return kept + up;
}

struct dec128 dec_quantize(struct dec128 a, int places, bool truncate)
{
	struct dec x = dec_unpack(a);
	int64_t exponent = -(int64_t)places;
	if (x.kind != DEC_FINITE)
		return x.kind == DEC_NAN ? dec_nan() : a;
	if (x.exponent < exponent)
		return dec_round(x.negative,
				 wide_of(cut(&x, exponent, truncate ? TO_ZERO : TO_NEAREST)),
				 exponent, false, NULL);
	/* More places than there are: zeros, as many as fit. */
	int64_t space = DEC_DIGITS - dec_digits(x.coefficient);
	int64_t more = x.coefficient ? MIN(x.exponent - exponent, space) : 0;
	struct wide c = wide_of(x.coefficient);
	wide_mul_pow10(&c, (int)more);
	return dec_round(x.negative, c, x.coefficient ? x.exponent - more : exponent, false, NULL);
}

static struct dec128 to_integer(struct dec128 a, enum direction to)
{
	struct dec x = dec_unpack(a);
	if (x.kind == DEC_NAN)
		return dec_nan();
	if (x.kind == DEC_INF || x.exponent >= 0)
		return a;
	return dec_round(x.negative, wide_of(cut(&x, 0, to)), 0, false, NULL);
}

struct dec128 dec_floor(struct dec128 a)
{
	return to_integer(a, TO_FLOOR);
}

struct dec128 dec_ceil(struct dec128 a)
{
	return to_integer(a, TO_CEILING);
}

/* ---- square root ---- */

/* floor(sqrt(n)), n below 2^252: bit by bit from the top, keeping square = root^2 implicitly. */
static u128 root_of(struct wide n, bool *exact)
{
	u128 root = 0;
	for (int bit = 125; bit >= 0; bit--) {
		u128 candidate = root | (u128)1 << bit;
		struct wide square = wide_mul(candidate, candidate);
		if (wide_compare(&square, &n) <= 0)
			root = candidate;
	}
	struct wide square = wide_mul(root, root);
	*exact = wide_compare(&square, &n) == 0;
	return root;
}

struct dec128 dec_sqrt(struct dec128 a)
{
	struct dec x = dec_unpack(a);
	int64_t preferred = x.exponent >= 0 ? x.exponent / 2 : -((1 - x.exponent) / 2);
	if (x.kind == DEC_NAN)
		return dec_nan();
	if (x.kind == DEC_FINITE && x.coefficient == 0)
		return dec_round(x.negative, wide_of(0), preferred, false, NULL);
	if (x.negative)
		return dec_nan();
	if (x.kind == DEC_INF)
		return dec_inf(false);
	/* 72 or 73 digits, so that the root has 36 or 37; with an even exponent. */
	struct wide c = wide_of(x.coefficient);
	int up = 72 - dec_digits(x.coefficient);
	if ((x.exponent - up) % 2 != 0)
		up++;
	wide_mul_pow10(&c, up);
	bool exact;
	u128 root = root_of(c, &exact);
	int64_t exponent = ((int64_t)x.exponent - up) / 2;
	if (exact)
		root = strip(root, &exponent, preferred);
	return dec_round(false, wide_of(root), exponent, !exact, NULL);
}
