/* real.c: arithmetic and elementary functions with 320 bits.
 *
 * Quotients and roots start from a double and double their good bits by Newton's iteration. The
 * functions shrink their argument by an identity until a few terms of the Taylor series suffice,
 * and undo the identity at the end:
 *
 *	exp   x = n ln 2 + r; exp(r) = exp(r / 4096)^4096
 *	ln    Newton (Halley) on exp, from the logarithm of a double
 *	atan  atan(x) = 2 atan(x / (1 + sqrt(1 + x^2))), five times
 *
 * Where a function is nearly linear around 0 (sinh, atanh, asinh) the series is used directly, so
 * that small results have as many good digits as large ones.
 */
#include "doc/real.h"

#include <math.h>
#include <string.h>

typedef unsigned __int128 u128;

enum { TOP = REAL_WORDS - 1 };

const struct real real_half_pi = { false,
				   1,
				   { 0x514a08798e3404de, 0x020bbea63b139b22, 0x29024e088a67cc74,
				     0xc4c6628b80dc1cd1, 0xc90fdaa22168c234 } };
const struct real real_ln2 = { false,
			       0,
			       { 0xe7b876206debac98, 0x8a0d175b8baafa2b, 0x40f343267298b62d,
				 0xc9e3b39803f2f6af, 0xb17217f7d1cf79ab } };
const struct real real_ln10 = { false,
				2,
				{ 0x962f02d7b1a8105d, 0x83c61e8201f02d72, 0xe28fecf9da5df90e,
				  0xea56d62b82d30a28, 0x935d8dddaaa8ac16 } };

static const struct real zero = { false, 0, { 0, 0, 0, 0, 0 } };

/* ---- making and taking apart ---- */

struct real real_of_words(const uint64_t *w, int n, int32_t exponent)
{
	struct real r = zero;
	while (n > 0 && w[n - 1] == 0) {
		n--;
		exponent -= 64;
	}
	if (n == 0)
		return r;
	int shift = __builtin_clzll(w[n - 1]);
	for (int i = 0; i < REAL_WORDS; i++) {
		int from = n - REAL_WORDS + i;
		uint64_t hi = from >= 0 ? w[from] : 0, lo = from >= 1 ? w[from - 1] : 0;
		r.m[i] = shift ? hi << shift | lo >> (64 - shift) : hi;
	}
	r.exponent = exponent - shift;
	return r;
}

struct real real_of_u128(u128 v)
{
	uint64_t w[2] = { (uint64_t)v, (uint64_t)(v >> 64) };
	return real_of_words(w, 2, 128);
}

struct real real_of(int64_t v)
{
	struct real r = real_of_u128(v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
	r.negative = v < 0;
	return r;
}

static struct real of_double(double d)
{
	int exponent;
	double f = frexp(fabs(d), &exponent);
	uint64_t w = (uint64_t)ldexp(f, 64);
	struct real r = real_of_words(&w, 1, exponent);
	r.negative = d < 0;
	return r;
}

double real_to_double(const struct real *a)
{
	double d = ldexp((double)(a->m[TOP] >> 11), a->exponent - 53);
	return a->negative ? -d : d;
}

int64_t real_round(const struct real *a)
{
	if (real_is_zero(a) || a->exponent < 0)
		return 0;
	ASSERT(a->exponent <= 62);
	int shift = 63 - a->exponent; /* keeps one bit below the point */
	int64_t twice = (int64_t)(a->m[TOP] >> shift);
	int64_t v = (twice + 1) >> 1;
	return a->negative ? -v : v;
}

struct real real_neg(struct real a)
{
	if (!real_is_zero(&a))
		a.negative = !a.negative;
	return a;
}

struct real real_abs(struct real a)
{
	a.negative = false;
	return a;
}

struct real real_scale(struct real a, int32_t power)
{
	if (!real_is_zero(&a))
		a.exponent += power;
	return a;
}

int real_compare_abs(const struct real *a, const struct real *b)
{
	if (real_is_zero(a) || real_is_zero(b))
		return (int)!real_is_zero(a) - (int)!real_is_zero(b);
	if (a->exponent != b->exponent)
		return a->exponent < b->exponent ? -1 : 1;
	for (int i = TOP; i >= 0; i--)
		if (a->m[i] != b->m[i])
			return a->m[i] < b->m[i] ? -1 : 1;
	return 0;
}

/* ---- arithmetic ---- */

/* b's words moved n bits down, with one word more below to keep what a subtraction needs. */
static void shift_down(const struct real *b, int64_t n, uint64_t out[REAL_WORDS + 1])
{
	uint64_t w[REAL_WORDS + 1] = { 0 };
	memcpy(w + 1, b->m, sizeof(b->m));
	memset(out, 0, sizeof(w));
	if (n >= 64 * (REAL_WORDS + 1))
		return;
	int words = (int)(n / 64), bits = (int)(n % 64);
	for (int i = 0; i + words <= REAL_WORDS; i++) {
		uint64_t lo = w[i + words], hi = i + words + 1 <= REAL_WORDS ? w[i + words + 1] : 0;
		out[i] = bits ? lo >> bits | hi << (64 - bits) : lo;
	}
}

/* |a| + |b| or |a| - |b|, |a| >= |b|, with a's sign. */
static struct real combine(struct real a, struct real b, bool subtract)
{
	uint64_t x[REAL_WORDS + 2] = { 0 }, y[REAL_WORDS + 1];
	if (real_is_zero(&b))
		return a;
	memcpy(x + 1, a.m, sizeof(a.m));
	shift_down(&b, (int64_t)a.exponent - b.exponent, y);
	unsigned carry = 0;
	for (int i = 0; i <= REAL_WORDS; i++) {
		u128 v = subtract ? (u128)x[i] - y[i] - carry : (u128)x[i] + y[i] + carry;
		x[i] = (uint64_t)v;
		carry = (unsigned)(v >> 64) & 1;
	}
	x[REAL_WORDS + 1] = subtract ? 0 : carry;
	struct real r = real_of_words(x, REAL_WORDS + 2, a.exponent + 64);
	r.negative = !real_is_zero(&r) && a.negative;
	return r;
}

struct real real_add(struct real a, struct real b)
{
	if (real_compare_abs(&a, &b) < 0) {
		struct real t = a;
		a = b;
		b = t;
	}
	return combine(a, b, a.negative != b.negative);
}

struct real real_sub(struct real a, struct real b)
{
	return real_add(a, real_neg(b));
}

struct real real_mul(struct real a, struct real b)
{
	uint64_t p[2 * REAL_WORDS] = { 0 };
	if (real_is_zero(&a) || real_is_zero(&b))
		return zero;
	for (int i = 0; i < REAL_WORDS; i++) {
		u128 carry = 0;
		for (int k = 0; k < REAL_WORDS; k++) {
			carry += (u128)a.m[i] * b.m[k] + p[i + k];
			p[i + k] = (uint64_t)carry;
			carry >>= 64;
		}
		p[i + REAL_WORDS] = (uint64_t)carry;
	}
	struct real r = real_of_words(p, 2 * REAL_WORDS, a.exponent + b.exponent);
	r.negative = a.negative != b.negative;
	return r;
}

struct real real_div_small(struct real a, uint64_t b)
{
	uint64_t q[REAL_WORDS + 1];
	u128 rest = 0;
	if (real_is_zero(&a))
		return a;
	for (int i = REAL_WORDS; i >= 0; i--) {
		rest = rest << 64 | (i > 0 ? a.m[i - 1] : 0);
		q[i] = (uint64_t)(rest / b);
		rest %= b;
	}
	struct real r = real_of_words(q, REAL_WORDS + 1, a.exponent);
	r.negative = a.negative;
	return r;
}

struct real real_div(struct real a, struct real b)
{
	ASSERT(!real_is_zero(&b));
	struct real d = b, one = real_of(1);
	d.negative = false;
	d.exponent = 0; /* in [0.5, 1) */
	struct real r = of_double(1 / real_to_double(&d));
	for (int i = 0; i < 3; i++) /* 52, 104, 208, 416 bits */
		r = real_add(r, real_mul(r, real_sub(one, real_mul(r, d))));
	r.exponent -= b.exponent;
	r.negative = b.negative;
	struct real q = real_mul(a, r);
	return real_add(q, real_mul(r, real_sub(a, real_mul(q, b))));
}

struct real real_sqrt(struct real a)
{
	if (real_is_zero(&a))
		return a;
	ASSERT(!a.negative);
	struct real x = a, one = real_of(1);
	int32_t half = a.exponent / 2;
	x.exponent -= 2 * half; /* near 1 */
	struct real y = of_double(1 / sqrt(real_to_double(&x)));
	for (int i = 0; i < 3; i++) {
		struct real off = real_sub(one, real_mul(x, real_mul(y, y)));
		y = real_add(y, real_scale(real_mul(y, off), -1));
	}
	struct real s = real_mul(x, y);
	s = real_add(s, real_scale(real_mul(y, real_sub(x, real_mul(s, s))), -1));
	return real_scale(s, half);
}

struct real real_pow10(int n)
{
	struct real r = real_of(1), base = real_of(10);
	for (unsigned k = (unsigned)(n < 0 ? -n : n); k; k >>= 1) {
		if (k & 1)
			r = real_mul(r, base);
		base = real_mul(base, base);
	}
	return n < 0 ? real_div(real_of(1), r) : r;
}

/* ---- series ---- */

/* True once a term no longer changes the sum. */
static bool negligible(const struct real *term, const struct real *sum)
{
	return real_is_zero(term) || term->exponent < sum->exponent - REAL_BITS - 2;
}

struct real real_exp(struct real a)
{
	enum { HALVINGS = 12 };
	if (real_is_zero(&a))
		return real_of(1);
	struct real n = real_div(a, real_ln2);
	int64_t whole = real_round(&n);
	struct real r = real_sub(a, real_mul(real_of(whole), real_ln2));
	r = real_scale(r, -HALVINGS);
	struct real sum = real_of(1), term = sum;
	for (uint64_t k = 1;; k++) {
		term = real_div_small(real_mul(term, r), k);
		if (negligible(&term, &sum))
			break;
		sum = real_add(sum, term);
	}
	for (int i = 0; i < HALVINGS; i++)
		sum = real_mul(sum, sum);
	return real_scale(sum, (int32_t)whole);
}

/* y + 2 (x - e^y) / (x + e^y) has three times the good bits of y. Working on x = m 2^n with m near
 * 1 keeps logarithms of numbers near 1 exact. */
struct real real_ln(struct real a)
{
	ASSERT(!a.negative && !real_is_zero(&a));
	struct real m = a, one = real_of(1);
	int32_t n = a.exponent;
	m.exponent = 0;
	double d = real_to_double(&m);
	if (d < 0.70710678118654752) {
		m.exponent++;
		d *= 2;
		n--;
	}
	if (real_compare_abs(&m, &one) == 0)
		return real_mul(real_of(n), real_ln2);
	/* Near 1 a double has too few bits of what matters: there the series of atanh does it. */
	struct real off = real_sub(m, one), y;
	if (off.exponent < -6) {
		y = real_scale(real_atanh(real_div(off, real_add(m, one))), 1);
	} else {
		y = of_double(log(d));
		for (int i = 0; i < 2; i++) {
			struct real e = real_exp(y);
			struct real q = real_div(real_sub(m, e), real_add(m, e));
			y = real_add(y, real_scale(q, 1));
		}
	}
	return real_add(y, real_mul(real_of(n), real_ln2));
}

/* sum of a^k / k! over k = first, first + 2, ... with alternating signs or not */
static struct real factorial_series(struct real a, bool odd, bool alternate)
{
	struct real square = real_mul(a, a);
	struct real term = odd ? a : real_of(1), sum = term;
	if (real_is_zero(&a))
		return sum;
	for (uint64_t k = odd ? 2 : 1;; k += 2) {
		term = real_div_small(real_mul(term, square), k * (k + 1));
		if (alternate)
			term = real_neg(term);
		if (negligible(&term, &sum))
			return sum;
		sum = real_add(sum, term);
	}
}

void real_sin_cos(struct real a, struct real *sine, struct real *cosine)
{
	*sine = factorial_series(a, true, true);
	*cosine = factorial_series(a, false, true);
}

/* sum of a^k / k over odd k, with alternating signs or not */
static struct real odd_series(struct real a, bool alternate)
{
	struct real square = real_mul(a, a), power = a, sum = a;
	if (real_is_zero(&a))
		return a;
	for (uint64_t k = 3;; k += 2) {
		power = real_mul(power, square);
		if (alternate)
			power = real_neg(power);
		struct real term = real_div_small(power, k);
		if (negligible(&term, &sum))
			return sum;
		sum = real_add(sum, term);
	}
}

struct real real_atan(struct real a)
{
	enum { HALVINGS = 5 };
	struct real one = real_of(1), x = real_abs(a);
	if (real_is_zero(&a))
		return a;
	bool inverted = real_compare_abs(&x, &one) > 0;
	if (inverted)
		x = real_div(one, x);
	for (int i = 0; i < HALVINGS; i++) {
		struct real root = real_sqrt(real_add(one, real_mul(x, x)));
		x = real_div(x, real_add(one, root));
	}
	struct real r = real_scale(odd_series(x, true), HALVINGS);
	if (inverted)
		r = real_sub(real_half_pi, r);
	r.negative = a.negative;
	return r;
}

struct real real_sinh(struct real a)
{
	if (a.exponent < 0)
		return factorial_series(a, true, false);
	struct real e = real_exp(a);
	return real_scale(real_sub(e, real_div(real_of(1), e)), -1);
}

struct real real_atanh(struct real a)
{
	struct real one = real_of(1);
	if (a.exponent < -5)
		return odd_series(a, false);
	return real_scale(real_ln(real_div(real_add(one, a), real_sub(one, a))), -1);
}

struct real real_asinh(struct real a)
{
	struct real one = real_of(1);
	struct real root = real_sqrt(real_add(one, real_mul(a, a)));
	if (a.exponent < -5)
		return real_atanh(real_div(a, root));
	struct real r = real_ln(real_add(real_abs(a), root));
	r.negative = a.negative;
	return r;
}
