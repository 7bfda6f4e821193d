/* decimal_trig.c: circular functions of decimals.
 *
 * Reduction: x * 2/pi = quadrant + fraction. A decimal may be as large as 10^6145, so 2/pi is kept
 * with enough bits that the fraction has 34 good digits even then. With x = c * 10^e:
 *
 *	e >= 0:  c 5^e is a whole number; times 2/pi in one long product, its point e bits up
 *	e < 0:   c * 2/pi, then divided by 10^-e
 *
 *	product: [ ... whole part | q q . f f f f f f f f ... ]
 *	q: quadrant, f: what is kept of the fraction
 */
#include "doc/decimal_parts.h"

enum {
	FIVES_WORDS = 226, /* c 5^e below 2^(113 + 14190) */
	KEPT_WORDS = 8,    /* of the fraction: 512 bits, of which cancellation may take 150 */
	LOW_WORDS = 16,    /* of 2/pi, where x is below 10^34 */
};

static void words_mul_small(uint64_t *w, int *n, uint64_t by)
{
	u128 carry = 0;
	for (int i = 0; i < *n; i++) {
		carry += (u128)w[i] * by;
		w[i] = (uint64_t)carry;
		carry >>= 64;
	}
	if (carry) {
		ASSERT(*n < FIVES_WORDS);
		w[(*n)++] = (uint64_t)carry;
	}
}

/* c * 5^e, least significant word first; returns the words. */
static int times_five(u128 c, int e, uint64_t *w)
{
	static const uint64_t five_27 = UINT64_C(7450580596923828125);
	int n = 2;
	w[0] = (uint64_t)c;
	w[1] = (uint64_t)(c >> 64);
	for (; e >= 27; e -= 27)
		words_mul_small(w, &n, five_27);
	for (; e > 0; e--)
		words_mul_small(w, &n, 5);
	return n;
}

/* The product of a (n words) and the first t words of 2/pi: n + t words, least significant first,
 * with the point 64 t bits up. */
static void times_two_over_pi(const uint64_t *a, int n, int t, uint64_t *p)
{
	memset(p, 0, (size_t)(n + t) * sizeof(*p));
	for (int k = 0; k < t; k++) {
		uint64_t x = real_two_over_pi[t - 1 - k];
		u128 carry = 0;
		for (int i = 0; i < n; i++) {
			carry += (u128)a[i] * x + p[i + k];
			p[i + k] = (uint64_t)carry;
			carry >>= 64;
		}
		p[n + k] = (uint64_t)carry;
	}
}

/* 64 bits starting at the given bit of w (n words); 0 beyond either end. */
static uint64_t bits_at(const uint64_t *w, int n, int64_t bit)
{
	int64_t i = bit >= 0 ? bit / 64 : -((63 - bit) / 64);
	int shift = (int)(bit - i * 64);
	uint64_t lo = i >= 0 && i < n ? w[i] : 0, hi = i + 1 >= 0 && i + 1 < n ? w[i + 1] : 0;
	return shift ? lo >> shift | hi << (64 - shift) : lo;
}

/* From a product whose point is at the given bit: the quadrant that |x| lies in, counted from
 * -pi/4, and the angle from its middle. */
static int quadrant_of(const uint64_t *p, int n, int64_t point, struct real *angle)
{
	uint64_t kept[KEPT_WORDS];
	int quadrant = (int)(bits_at(p, n, point) & 3);
	for (int i = 0; i < KEPT_WORDS; i++)
		kept[i] = bits_at(p, n, point - 64 * (KEPT_WORDS - i));
	struct real f = real_of_words(kept, KEPT_WORDS, 0);
	if (kept[KEPT_WORDS - 1] >>
	    63) { /* above one half: the next quadrant, from the other side */
		uint64_t carry = 1;
		for (int i = 0; i < KEPT_WORDS; i++) {
			kept[i] = ~kept[i] + carry;
			carry = carry && kept[i] == 0;
		}
		f = real_neg(real_of_words(kept, KEPT_WORDS, 0));
		quadrant++;
	}
	*angle = real_mul(f, real_half_pi);
	return quadrant & 3;
}

static int reduce(const struct dec *x, struct real *angle)
{
	uint64_t a[FIVES_WORDS], p[FIVES_WORDS + TWO_OVER_PI_WORDS];
	if (dec_digits(x->coefficient) + x->exponent < 0) { /* below 0.1 */
		*angle = real_abs(dec_to_real(x));
		return 0;
	}
	if (x->exponent >= 0) {
		int n = times_five(x->coefficient, x->exponent, a);
		int t = (64 * n + x->exponent) / 64 + KEPT_WORDS + 1;
		ASSERT(t <= TWO_OVER_PI_WORDS);
		times_two_over_pi(a, n, t, p);
		return quadrant_of(p, n + t, (int64_t)64 * t - x->exponent, angle);
	}
	int n = times_five(x->coefficient, 0, a);
	times_two_over_pi(a, n, LOW_WORDS, p);
	for (int e = -x->exponent; e > 0;
	     e -= 19) { /* at most 34 places, since x is not below 0.1 */
		uint64_t unit = (uint64_t)dec_pow10(MIN(e, 19));
		u128 rest = 0;
		for (int i = n + LOW_WORDS - 1; i >= 0; i--) {
			rest = rest << 64 | p[i];
			p[i] = (uint64_t)(rest / unit);
			rest %= unit;
		}
	}
	return quadrant_of(p, n + LOW_WORDS, 64 * LOW_WORDS, angle);
}

/* Sine and cosine of |x|. */
static void sin_cos(const struct dec *x, struct real *sine, struct real *cosine)
{
	struct real angle, s, c;
	int quadrant = reduce(x, &angle);
	real_sin_cos(angle, &s, &c);
	switch (quadrant) {
	case 0:
		*sine = s;
		*cosine = c;
		return;
	case 1:
		*sine = c;
		*cosine = real_neg(s);
		return;
	case 2:
		*sine = real_neg(s);
		*cosine = real_neg(c);
		return;
	default:
		*sine = real_neg(c);
		*cosine = s;
		return;
	}
}

struct dec128 dec_sin(struct dec128 a)
{
	struct dec x = dec_unpack(a);
	struct real s, c;
	if (x.kind != DEC_FINITE)
		return dec_nan();
	if (x.coefficient == 0)
		return a;
	sin_cos(&x, &s, &c);
	s.negative ^= x.negative;
	return dec_of_real(&s);
}

struct dec128 dec_cos(struct dec128 a)
{
	struct dec x = dec_unpack(a);
	struct real s, c;
	if (x.kind != DEC_FINITE)
		return dec_nan();
	if (x.coefficient == 0)
		return dec_from_int64(1);
	sin_cos(&x, &s, &c);
	return dec_of_real(&c);
}

struct dec128 dec_tan(struct dec128 a)
{
	struct dec x = dec_unpack(a);
	struct real s, c;
	if (x.kind != DEC_FINITE)
		return dec_nan();
	if (x.coefficient == 0)
		return a;
	sin_cos(&x, &s, &c);
	s = real_div(s, c);
	s.negative ^= x.negative;
	return dec_of_real(&s);
}

/* sqrt(1 - x^2) as (1 - x)(1 + x), which keeps its digits near 1. */
static struct real other_leg(struct real x)
{
	struct real one = real_of(1);
	return real_sqrt(real_mul(real_sub(one, x), real_add(one, x)));
}

static struct dec128 signed_half_pi(bool negative)
{
	struct real r = real_half_pi;
	r.negative = negative;
	return dec_of_real(&r);
}

static bool beyond_one(struct dec128 a, bool *is_one)
{
	int c = dec_compare(dec_abs(a), dec_from_int64(1));
	*is_one = c == 0;
	return c > 0 || dec_is_nan(a);
}

struct dec128 dec_asin(struct dec128 a)
{
	struct dec x = dec_unpack(a);
	bool one;
	if (beyond_one(a, &one))
		return dec_nan();
	if (one)
		return signed_half_pi(x.negative);
	if (x.coefficient == 0)
		return a;
	struct real r = dec_to_real(&x);
	r = real_atan(real_div(r, other_leg(r)));
	return dec_of_real(&r);
}

static struct real pi(void)
{
	return real_scale(real_half_pi, 1);
}

struct dec128 dec_acos(struct dec128 a)
{
	struct dec x = dec_unpack(a);
	bool one;
	if (beyond_one(a, &one))
		return dec_nan();
	struct real r = dec_to_real(&x);
	if (one)
		r = x.negative ? pi() : real_of(0);
	else if (real_is_zero(&r))
		r = real_half_pi;
	else {
		r = real_atan(real_div(other_leg(r), r));
		if (r.negative)
			r = real_add(r, pi());
	}
	return dec_of_real(&r);
}

struct dec128 dec_atan(struct dec128 a)
{
	struct dec x = dec_unpack(a);
	if (x.kind == DEC_NAN)
		return dec_nan();
	if (x.kind == DEC_INF)
		return signed_half_pi(x.negative);
	if (x.coefficient == 0)
		return a;
	struct real r = real_atan(dec_to_real(&x));
	return dec_of_real(&r);
}

/* The angle of |y|, |x| in the first quadrant. */
static struct real first_quadrant(const struct dec *y, const struct dec *x)
{
	bool y_inf = y->kind == DEC_INF, x_inf = x->kind == DEC_INF;
	if (y_inf && x_inf)
		return real_scale(real_half_pi, -1);
	if (y_inf || (!x_inf && x->coefficient == 0 && y->coefficient != 0))
		return real_half_pi;
	if (x_inf || y->coefficient == 0)
		return real_of(0);
	return real_atan(real_div(real_abs(dec_to_real(y)), real_abs(dec_to_real(x))));
}

struct dec128 dec_atan2(struct dec128 b, struct dec128 a)
{
	struct dec y = dec_unpack(b), x = dec_unpack(a);
	if (y.kind == DEC_NAN || x.kind == DEC_NAN)
		return dec_nan();
	struct real r = first_quadrant(&y, &x);
	if (x.negative)
		r = real_sub(pi(), r);
	struct dec128 d = dec_of_real(&r);
	return y.negative ? dec_neg(d) : d;
}
