/* doc_decimal.h: decimals from text and back, and random numbers. For the doc_decimal* tests. */
#ifndef TESTS_DOC_DECIMAL_H
#define TESTS_DOC_DECIMAL_H

#include "tests/test.h"

#include "doc/decimal.h"

#include <string.h>

static inline struct dec128 dec(const char *text)
{
	struct dec128 d;
	bool inexact;
	assert_int_equal(dec_from_string(slice_str(text), &d, &inexact), 0);
	return d;
}

static inline const char *text(struct dec128 d)
{
	static char out[8][DECIMAL_STRING_MAX];
	static int i;
	i = (i + 1) % 8;
	size_t len = dec_to_string(d, out[i]);
	assert_int_equal(len, strlen(out[i]));
	return out[i];
}

static inline uint64_t next(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

#endif
