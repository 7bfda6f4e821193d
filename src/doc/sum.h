/* sum.h: exact sums of numbers of any type.
 *
 * Integers add up in 128 bits. Doubles are kept as a list of parts that do not overlap and whose exact sum is the exact
 * sum of what was added; the result is rounded once, at the end. So the order of adding and the cutting into
 * partial sums never show. Decimals are added as such (34 digits). The result has the widest type seen.
 */
#ifndef DOC_SUM_H
#define DOC_SUM_H

#include "doc/bson.h"

#define SUM_PARTS_MAX 48 /* compressed, 2098 bits of range need 40 parts of 53 bits */

enum sum_type { SUM_INT32, SUM_INT64, SUM_DOUBLE, SUM_DECIMAL };

struct sum {
	__int128 ints;
	struct dec128 decimal;
	double special; /* sum of infinities and NaNs, or 0 */
	int64_t huge; /* multiples of 2^1023 taken out of the parts, so that they never overflow */
	uint8_t widest; /* enum sum_type */
	uint8_t n_parts;
	double part[SUM_PARTS_MAX]; /* ascending magnitude */
};

void sum_init(struct sum *s);
void sum_add(struct sum *s, struct value number);
void sum_merge(struct sum *s, const struct sum *other);
struct value sum_value(const struct sum *s);
struct value sum_average(const struct sum *s, int64_t n); /* null of none */
double sum_double(const struct sum *s);                   /* of the integers and doubles */
struct dec128 sum_decimal(const struct sum *s);           /* of all */
bool sum_int64(const struct sum *s,
	       int64_t *out); /* of the integers and doubles, rounded; false: does not fit */

void sum_encode(const struct sum *s, struct buf *out);
/* Moves *in behind what it read; false: not a sum. */
bool sum_decode(struct sum *s, struct slice *in);

#endif
