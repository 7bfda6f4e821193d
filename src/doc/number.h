/* number.h: text to doubles and back, correctly rounded, whatever the locale.
 *
 * Reading gives the nearest double (half to even). Printing gives the shortest text that reads
 * back as the same double, and of those the nearest.
 */
#ifndef DOC_NUMBER_H
#define DOC_NUMBER_H

#include "base/err.h"
#include "base/slice.h"

enum { POW10_MIN = -342, POW10_MAX = 342 };
extern const uint64_t pow10_table[POW10_MAX - POW10_MIN + 1][2];

/* The nearest double to mantissa * 10^exponent; infinity when too large. */
double num_scale(uint64_t mantissa, int exponent);

/* Reads an optional sign, digits with an optional point (one digit at least), an optional
 * exponent; the whole of s. 0; ERR_FORMAT; ERR_LIMIT too large for a double (*out is then an
 * infinity). */
int num_parse_double(struct slice s, double *out);

#define NUM_DOUBLE_MAX 32
#define NUM_INT64_MAX  21

/* A finite double: "1.0", "0.001", "-1.5E+300"; always with a point or an exponent. Returns the
 * length; writes no NUL. */
size_t num_print_double(double d, char out[NUM_DOUBLE_MAX]);
size_t num_print_int64(int64_t v, char *out); /* NUM_INT64_MAX bytes at most, no NUL */
size_t num_print_uint64(uint64_t v, char *out);

#endif
