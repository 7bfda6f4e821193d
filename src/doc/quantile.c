/* quantile.c: ranks of sorted numbers. */
#include "doc/quantile.h"

#include "doc/expr_node.h"

#include <math.h>
#include <stdlib.h>

int quantile_method_of(const char *op, struct value v, enum quantile_method *out, struct err *e)
{
	if (v.type == BSON_STRING) {
		*out = slice_is(value_slice(v), "continuous") ? QUANTILE_CONTINUOUS
							      : QUANTILE_DISCRETE;
		if (*out == QUANTILE_CONTINUOUS || slice_is(value_slice(v), "approximate") ||
		    slice_is(value_slice(v), "discrete"))
			return 0;
	}
	return err_number(e, ERR_INVALID, 2,
			  "%s: 'method' is one of \"approximate\", \"discrete\", \"continuous\"",
			  op);
}

int quantile_check_p(const char *op, const struct value *p, size_t n, struct err *e)
{
	if (n == 0)
		return err_number(e, ERR_INVALID, 7750301, "%s: 'p' is empty", op);
	for (size_t i = 0; i < n; i++) {
		if (!value_is_number(p[i]))
			return err_number(e, ERR_TYPE, 7750302,
					  "%s: 'p' has %s instead of a number", op,
					  value_type_name(p[i]));
		double d = value_to_double(p[i]);
		if (!(d >= 0 && d <= 1))
			return err_number(e, ERR_INVALID, 7750303,
					  "%s: 'p' has %g, which is not in [0, 1]", op, d);
	}
	return 0;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	if (isnan(x) || isnan(y))
		return isnan(y) - isnan(x);
	return (x > y) - (x < y);
}

void quantile_sort(double *d, size_t n)
{
	if (n > 1)
		qsort(d, n, sizeof(*d), by_value);
}

struct value quantile_at(const double *sorted, size_t n, double p, enum quantile_method method)
{
	if (n == 0)
		return VALUE_NULL;
	if (method == QUANTILE_CONTINUOUS) {
		double rank = p * (double)(n - 1), below = floor(rank);
		size_t i = (size_t)below, j = MIN(i + 1, n - 1);
		if (rank == below)
			return value_double(sorted[i]);
		return value_double(sorted[i] + (sorted[j] - sorted[i]) * (rank - below));
	}
	double rank = ceil(p * (double)n);
	size_t i = rank < 1 ? 0 : (size_t)rank - 1;
	return value_double(sorted[MIN(i, n - 1)]);
}
