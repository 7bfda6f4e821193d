/* big.h: natural numbers of a few thousand bits, for the rare decisions that 128 bits cannot make:
 * is this decimal above or below that double?
 */
#ifndef DOC_BIG_H
#define DOC_BIG_H

#include "base/base.h"

enum { BIG_WORDS = 192 }; /* 6144 bits: 800 decimal digits times 10^1000 */

struct big {
	int n; /* words in use, the last not zero */
	uint32_t w[BIG_WORDS];
};

void big_set(struct big *b, unsigned __int128 v);
void big_mul_add(struct big *b, uint32_t by, uint32_t plus);
void big_mul_pow10(struct big *b, int n);
void big_mul_pow2(struct big *b, int n);
int big_compare(const struct big *a, const struct big *b);

#endif
