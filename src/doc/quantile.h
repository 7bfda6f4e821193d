/* quantile.h: percentiles of numbers that are all at hand: exact.
 *
 * "approximate" and "discrete" give the number at rank ceil(p * n); "continuous" interpolates between its neighbours.
 */
#ifndef DOC_QUANTILE_H
#define DOC_QUANTILE_H

#include "doc/bson.h"

enum quantile_method { QUANTILE_DISCRETE, QUANTILE_CONTINUOUS };

int quantile_method_of(const char *op, struct value v, enum quantile_method *out, struct err *e);
/* Each is a number in [0, 1], and there is at least one. ERR_INVALID number 7750301 to 7750303. */
int quantile_check_p(const char *op, const struct value *p, size_t n, struct err *e);
void quantile_sort(double *d, size_t n); /* NaN first */
struct value quantile_at(const double *sorted, size_t n, double p,
			 enum quantile_method method); /* null of none */

#endif
