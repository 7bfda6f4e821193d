/* decimal_wide.c: 256-bit integers, as far as decimals need them. */
#include "doc/decimal_parts.h"

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

u128 dec_pow10(int n)
{
	ASSERT(n >= 0 && n <= 38);
	return n < 20 ? pow10_64[n] : (u128)pow10_64[19] * pow10_64[n - 19];
}

int dec_digits(u128 c)
{
	if (c == 0)
		return 0;
	uint64_t hi = (uint64_t)(c >> 64);
	int bits = hi ? 128 - __builtin_clzll(hi) : 64 - __builtin_clzll((uint64_t)c);
	int n = bits * 1233 >> 12; /* log10(2): the digits, or one too few */
	return n + (n > 38 || c >= dec_pow10(n));
}

struct wide wide_of(u128 v)
{
	return (struct wide){ { (uint64_t)v, (uint64_t)(v >> 64), 0, 0 } };
}

struct wide wide_mul(u128 a, u128 b)
{
	uint64_t x[2] = { (uint64_t)a, (uint64_t)(a >> 64) };
	uint64_t y[2] = { (uint64_t)b, (uint64_t)(b >> 64) };
	struct wide r = { { 0, 0, 0, 0 } };
	for (int i = 0; i < 2; i++) {
		u128 carry = 0;
		for (int k = 0; k < 2; k++) {
			carry += (u128)x[i] * y[k] + r.w[i + k];
			r.w[i + k] = (uint64_t)carry;
			carry >>= 64;
		}
		r.w[i + 2] = (uint64_t)carry;
	}
	return r;
}

void wide_mul_small(struct wide *a, uint64_t by)
{
	u128 carry = 0;
	for (int i = 0; i < 4; i++) {
		carry += (u128)a->w[i] * by;
		a->w[i] = (uint64_t)carry;
		carry >>= 64;
	}
	ASSERT(carry == 0);
}

uint64_t wide_div_small(struct wide *a, uint64_t by)
{
	u128 rest = 0;
	for (int i = 3; i >= 0; i--) {
		rest = rest << 64 | a->w[i];
		a->w[i] = (uint64_t)(rest / by);
		rest %= by;
	}
	return (uint64_t)rest;
}

void wide_mul_pow10(struct wide *a, int n)
{
	for (; n > 19; n -= 19)
		wide_mul_small(a, pow10_64[19]);
	wide_mul_small(a, pow10_64[n]);
}

void wide_add(struct wide *a, const struct wide *b)
{
	u128 carry = 0;
	for (int i = 0; i < 4; i++) {
		carry += (u128)a->w[i] + b->w[i];
		a->w[i] = (uint64_t)carry;
		carry >>= 64;
	}
	ASSERT(carry == 0);
}

void wide_sub(struct wide *a, const struct wide *b)
{
	unsigned borrow = 0;
	for (int i = 0; i < 4; i++) {
		u128 d = (u128)a->w[i] - b->w[i] - borrow;
		a->w[i] = (uint64_t)d;
		borrow = (unsigned)(d >> 64) & 1;
	}
	ASSERT(borrow == 0);
}

int wide_compare(const struct wide *a, const struct wide *b)
{
	for (int i = 3; i >= 0; i--)
		if (a->w[i] != b->w[i])
			return a->w[i] < b->w[i] ? -1 : 1;
	return 0;
}

bool wide_is_zero(const struct wide *a)
{
	return (a->w[0] | a->w[1] | a->w[2] | a->w[3]) == 0;
}

int wide_digits(const struct wide *a)
{
	struct wide v = *a;
	int n = 0;
	while (v.w[3] | v.w[2]) {
		(void)wide_div_small(&v, pow10_64[19]);
		n += 19;
	}
	return n + dec_digits((u128)v.w[1] << 64 | v.w[0]);
}

/* Takes n digits off the end of *c: the last of them decides, what lies below only says "more".
 * Returns whether anything was lost. */
static bool drop_digits(struct wide *c, int64_t n, bool more)
{
	for (n--; n > 0; n -= 19) {
		if (wide_is_zero(c))
			break;
		more |= wide_div_small(c, pow10_64[MIN(n, 19)]) != 0;
	}
	uint64_t last = wide_div_small(c, 10);
	if (last > 5 || (last == 5 && (more || (c->w[0] & 1))))
		wide_add(c, &(struct wide){ { 1, 0, 0, 0 } });
	return more || last != 0;
}

struct dec128 dec_round(bool negative, struct wide c, int64_t exponent, bool more, bool *inexact)
{
	bool ignored;
	if (!inexact)
		inexact = &ignored;
	int64_t drop = MAX((int64_t)wide_digits(&c) - DEC_DIGITS, DEC_EXPONENT_MIN - exponent);
	*inexact = more;
	if (drop > 0) {
		*inexact = drop_digits(&c, drop, more);
		exponent += drop;
		if (wide_digits(&c) > DEC_DIGITS) { /* 99...9 became 100...0 */
			(void)wide_div_small(&c, 10);
			exponent++;
		}
	}
	u128 v = (u128)c.w[1] << 64 | c.w[0];
	if (exponent > DEC_EXPONENT_MAX) {
		int64_t over = exponent - DEC_EXPONENT_MAX;
		if (v != 0 && over > DEC_DIGITS - dec_digits(v)) {
			*inexact = true;
			return dec_inf(negative);
		}
		if (v != 0)
			v *= dec_pow10((int)over);
		exponent = DEC_EXPONENT_MAX;
	}
	return (struct dec128){
		.lo = (uint64_t)v,
		.hi = (uint64_t)negative << 63 | (uint64_t)(exponent - DEC_EXPONENT_MIN) << 49 |
		      (uint64_t)(v >> 64),
	};
}
