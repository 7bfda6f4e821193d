/* real.h: binary floating point with 320 bits (96 digits), in which the transcendental functions
 * of decimals are computed before they are rounded to 34 digits.
 *
 *	value = (-1)^negative * 0.m * 2^exponent
 *	m: five words, least significant first, top bit set; all 0 for zero
 *
 * Operations cut off what does not fit: each is good to about 318 bits. There are no infinities;
 * exponents of decimals and of all intermediate results fit easily into 32 bits.
 */
#ifndef DOC_REAL_H
#define DOC_REAL_H

#include "base/base.h"

enum { REAL_WORDS = 5, REAL_BITS = 64 * REAL_WORDS };

struct real {
	bool negative;
	int32_t exponent;
	uint64_t m[REAL_WORDS];
};

extern const struct real real_half_pi, real_ln2, real_ln10;

/* 2/pi = the sum of real_two_over_pi[i] / 2^(64 (i + 1)): enough to bring 10^6145 into the first
 * quadrant. */
enum { TWO_OVER_PI_WORDS = 330 };
extern const uint64_t real_two_over_pi[TWO_OVER_PI_WORDS];

struct real real_of(int64_t v);
struct real real_of_u128(unsigned __int128 v);
/* 0.w * 2^exponent from n words, least significant first; leading zeros are fine. */
struct real real_of_words(const uint64_t *w, int n, int32_t exponent);

static inline bool real_is_zero(const struct real *a)
{
	return a->m[REAL_WORDS - 1] == 0;
}

struct real real_neg(struct real a);
struct real real_abs(struct real a);
struct real real_scale(struct real a, int32_t power_of_2);
struct real real_add(struct real a, struct real b);
struct real real_sub(struct real a, struct real b);
struct real real_mul(struct real a, struct real b);
struct real real_div(struct real a, struct real b);    /* b not zero */
struct real real_div_small(struct real a, uint64_t b); /* b not zero */
struct real real_sqrt(struct real a);                  /* a >= 0 */
int real_compare_abs(const struct real *a, const struct real *b);

double
real_to_double(const struct real *a); /* to about 52 bits; exponents beyond a double's saturate */
int64_t real_round(const struct real *a); /* the nearest integer, below 2^62 */
struct real real_pow10(int n);            /* 10^n */

/* exp, |a| < 2^20 */
struct real real_exp(struct real a);
/* a > 0 */
struct real real_ln(struct real a);
/* |a| <= pi/4 or so */
void real_sin_cos(struct real a, struct real *sine, struct real *cosine);
struct real real_atan(struct real a);
struct real real_sinh(struct real a);  /* |a| < 2^20 */
struct real real_atanh(struct real a); /* |a| < 1 */
struct real real_asinh(struct real a);

#endif
