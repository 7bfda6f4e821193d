/* accum_spec.h: the inside of compiled accumulators, shared by accum_spec.c and accum.c. */
#ifndef DOC_ACCUM_SPEC_H
#define DOC_ACCUM_SPEC_H

#include "doc/accum.h"
#include "doc/quantile.h"
#include "doc/sort.h"

enum kind {
	KIND_SUM,
	KIND_ONE,
	KIND_LIST,
	KIND_SET,
	KIND_RANKED,
	KIND_OBJECT,
	KIND_MOMENTS,
	KIND_NUMBERS
};

/* The numbers are stored: append only. */
enum accum_id {
	ACCUM_SUM = 1,
	ACCUM_AVG,
	ACCUM_COUNT,
	ACCUM_MIN,
	ACCUM_MAX,
	ACCUM_FIRST,
	ACCUM_LAST,
	ACCUM_PUSH,
	ACCUM_FIRST_N,
	ACCUM_LAST_N,
	ACCUM_CONCAT_ARRAYS,
	ACCUM_ADD_TO_SET,
	ACCUM_SET_UNION,
	ACCUM_MIN_N,
	ACCUM_MAX_N,
	ACCUM_TOP,
	ACCUM_TOP_N,
	ACCUM_BOTTOM,
	ACCUM_BOTTOM_N,
	ACCUM_MERGE_OBJECTS,
	ACCUM_STD_DEV_POP,
	ACCUM_STD_DEV_SAMP,
	ACCUM_MEDIAN,
	ACCUM_PERCENTILE,
};

enum form {
	FORM_UNARY,
	FORM_NONE,
	FORM_N,
	FORM_SORTED,
	FORM_SORTED_N,
	FORM_MEDIAN,
	FORM_PERCENTILE
};

struct accum_op {
	const char *name, *help;
	enum accum_id id;
	enum kind kind;
	enum form form;
};

struct accum_spec {
	const struct accum_op *op;
	struct arena arena;
	struct expr *operand;    /* NULL: $count */
	size_t n;                /* of $firstN and its like */
	struct sort_order order; /* $top and its like */
	double *p;               /* $percentile */
	size_t n_p;
	enum quantile_method method;
	size_t memory_max_bytes;
};

#endif
