/* compare.h: BSON's total order (MongoDB's canonical type order; numbers compare exactly across
 * types). */
#ifndef DOC_COMPARE_H
#define DOC_COMPARE_H

#include "doc/bson.h"

/* < 0, 0, > 0. Missing equals undefined and sorts before null. NaN equals NaN and sorts before all
 * numbers. */
int value_compare(struct value a, struct value b);

static inline bool value_equal(struct value a, struct value b)
{
	return value_compare(a, b) == 0;
}

/* The rank of a type in the canonical order (-1 MinKey ... 127 MaxKey): values of different rank
 * never compare under type bracketing. */
int value_rank(uint8_t type);

/* Equal values (across number types) have equal hashes. */
uint64_t value_hash(struct value v, uint64_t seed);

/* Equal in type and bytes: int32 1 is not int64 1, 1.0 is not 1, field order counts. */
bool value_identical(struct value a, struct value b);

#endif
