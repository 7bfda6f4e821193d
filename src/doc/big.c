/* big.c: schoolbook arithmetic on 32-bit words, least significant first. */
#include "doc/big.h"

void big_set(struct big *b, unsigned __int128 v)
{
	b->n = 0;
	for (; v; v >>= 32)
		b->w[b->n++] = (uint32_t)v;
}

void big_mul_add(struct big *b, uint32_t by, uint32_t plus)
{
	uint64_t carry = plus;
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

void big_mul_pow10(struct big *b, int n)
{
	for (; n >= 9; n -= 9)
		big_mul_add(b, 1000000000, 0);
	for (; n > 0; n--)
		big_mul_add(b, 10, 0);
}

void big_mul_pow2(struct big *b, int n)
{
	for (; n >= 31; n -= 31)
		big_mul_add(b, UINT32_C(1) << 31, 0);
	if (n > 0)
		big_mul_add(b, UINT32_C(1) << n, 0);
}

int big_compare(const struct big *a, const struct big *b)
{
	if (a->n != b->n)
		return a->n < b->n ? -1 : 1;
	for (int i = a->n - 1; i >= 0; i--)
		if (a->w[i] != b->w[i])
			return a->w[i] < b->w[i] ? -1 : 1;
	return 0;
}
