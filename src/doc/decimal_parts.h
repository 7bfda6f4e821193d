/* decimal_parts.h: a decimal taken apart, and the wide integers its arithmetic needs. Shared by the
 * decimal_*.c files; others see decimal.h.
 *
 *	value = (-1)^negative * coefficient * 10^exponent
 */
#ifndef DOC_DECIMAL_PARTS_H
#define DOC_DECIMAL_PARTS_H

#include "doc/decimal.h"
#include "doc/real.h"

typedef unsigned __int128 u128;

enum { DEC_EXPONENT_MIN = -6176, DEC_EXPONENT_MAX = 6111, DEC_DIGITS = 34 };

enum dec_kind { DEC_FINITE, DEC_INF, DEC_NAN };

struct dec {
	enum dec_kind kind;
	bool negative;
	int exponent;
	u128 coefficient; /* below 10^34 */
};

struct dec dec_unpack(struct dec128 d);

static inline struct dec128 dec_nan(void)
{
	return (struct dec128){ 0, UINT64_C(0x7c00000000000000) };
}

static inline struct dec128 dec_inf(bool negative)
{
	return (struct dec128){ 0, (uint64_t)negative << 63 | UINT64_C(0x7800000000000000) };
}

u128 dec_pow10(int n);  /* 10^n, 0 <= n <= 38 */
int dec_digits(u128 c); /* 0 for 0 */

/* 256 bits, least significant word first: the exact product of two coefficients, or one with 42
 * more digits. */
struct wide {
	uint64_t w[4];
};

struct wide wide_of(u128 v);
struct wide wide_mul(u128 a, u128 b);
void wide_mul_small(struct wide *a, uint64_t by);     /* must fit */
uint64_t wide_div_small(struct wide *a, uint64_t by); /* returns the remainder */
void wide_mul_pow10(struct wide *a, int n);
void wide_add(struct wide *a, const struct wide *b);
void wide_sub(struct wide *a, const struct wide *b); /* a >= b */
int wide_compare(const struct wide *a, const struct wide *b);
int wide_digits(const struct wide *a);
bool wide_is_zero(const struct wide *a);

/* The nearest decimal to coefficient * 10^exponent, half to even. `more`: the exact value lies a
 * little above the coefficient. The exponent stays as it is where the digits fit, and goes up only
 * by what rounding takes off. *inexact (may be NULL) tells whether something was lost. */
struct dec128 dec_round(bool negative, struct wide coefficient, int64_t exponent, bool more,
			bool *inexact);

/* To the format of real.h and back. A value within 10^-18 of the 37th digit counts as exact. */
struct real dec_to_real(const struct dec *x);
struct dec128 dec_of_real(const struct real *r);

#endif
