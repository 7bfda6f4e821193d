/* accum_spec.c: the table of accumulators, and compiling their specs. */
#include "doc/accum_spec.h"

#include "base/mem.h"
#include "base/suggest.h"
#include "doc/expr_node.h"

static const struct accum_op ops[] = {
	{ "$addToSet", "the distinct values", ACCUM_ADD_TO_SET, KIND_SET, FORM_UNARY },
	{ "$avg", "the mean of numbers", ACCUM_AVG, KIND_SUM, FORM_UNARY },
	{ "$bottom", "the value of the last document by a sort order", ACCUM_BOTTOM, KIND_RANKED,
	  FORM_SORTED },
	{ "$bottomN", "the values of the last n documents by a sort order", ACCUM_BOTTOM_N,
	  KIND_RANKED, FORM_SORTED_N },
	{ "$concatArrays", "all arrays joined to one", ACCUM_CONCAT_ARRAYS, KIND_LIST, FORM_UNARY },
	{ "$count", "how many documents", ACCUM_COUNT, KIND_SUM, FORM_NONE },
	{ "$first", "the first value", ACCUM_FIRST, KIND_ONE, FORM_UNARY },
	{ "$firstN", "the first n values", ACCUM_FIRST_N, KIND_LIST, FORM_N },
	{ "$last", "the last value", ACCUM_LAST, KIND_ONE, FORM_UNARY },
	{ "$lastN", "the last n values", ACCUM_LAST_N, KIND_LIST, FORM_N },
	{ "$max", "the greatest value that is not null", ACCUM_MAX, KIND_ONE, FORM_UNARY },
	{ "$maxN", "the n greatest values", ACCUM_MAX_N, KIND_RANKED, FORM_N },
	{ "$median", "the middle of numbers", ACCUM_MEDIAN, KIND_NUMBERS, FORM_MEDIAN },
	{ "$mergeObjects", "all objects merged; later fields win", ACCUM_MERGE_OBJECTS, KIND_OBJECT,
	  FORM_UNARY },
	{ "$min", "the least value that is not null", ACCUM_MIN, KIND_ONE, FORM_UNARY },
	{ "$minN", "the n least values", ACCUM_MIN_N, KIND_RANKED, FORM_N },
	{ "$percentile", "the numbers below which given shares lie", ACCUM_PERCENTILE, KIND_NUMBERS,
	  FORM_PERCENTILE },
	{ "$push", "all values", ACCUM_PUSH, KIND_LIST, FORM_UNARY },
	{ "$setUnion", "the distinct elements of all arrays", ACCUM_SET_UNION, KIND_SET,
	  FORM_UNARY },
	{ "$stdDevPop", "the standard deviation of numbers", ACCUM_STD_DEV_POP, KIND_MOMENTS,
	  FORM_UNARY },
	{ "$stdDevSamp", "the standard deviation of a sample", ACCUM_STD_DEV_SAMP, KIND_MOMENTS,
	  FORM_UNARY },
	{ "$sum", "the sum of numbers", ACCUM_SUM, KIND_SUM, FORM_UNARY },
	{ "$top", "the value of the first document by a sort order", ACCUM_TOP, KIND_RANKED,
	  FORM_SORTED },
	{ "$topN", "the values of the first n documents by a sort order", ACCUM_TOP_N, KIND_RANKED,
	  FORM_SORTED_N },
};

int accum_operators(int (*each)(void *arg, const char *name, const char *help), void *arg)
{
	for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
		int rc = each(arg, ops[i].name, ops[i].help);
		if (rc)
			return rc;
	}
	return 0;
}

/* ---- specs ---- */

static int unknown_accumulator(struct slice name, struct err *e)
{
	struct suggestion s = SUGGESTION_INIT;
	for (size_t i = 0; i < ARRAY_LEN(ops); i++)
		suggest_add(&s, name, ops[i].name);
	return err_number(e, ERR_INVALID, 15952, "unknown accumulator '" SLICE_FMT "'%s%s%s",
			  SLICE_ARG(name), s.name ? "; did you mean '" : "", s.name ? s.name : "",
			  s.name ? "'?" : "");
}

static const struct accum_op *op_of(struct slice name)
{
	for (size_t i = 0; i < ARRAY_LEN(ops); i++)
		if (slice_is(name, ops[i].name))
			return &ops[i];
	return NULL;
}

struct argument {
	const char *name;
	int missing;
	struct value v;
};

static int read_arguments(const struct accum_op *op, struct value spec, struct argument *a,
			  size_t n, struct err *e)
{
	struct bson_iter it;
	if (spec.type != BSON_DOCUMENT)
		return err_number(e, ERR_INVALID, 5787801,
				  "%s takes an object of named arguments, not %s", op->name,
				  value_type_name(spec));
	bson_iter_init(&it, value_slice(spec));
	while (bson_next(&it)) {
		size_t i = 0;
		while (i < n && !slice_is(it.key, a[i].name))
			i++;
		if (i == n)
			return err_number(e, ERR_INVALID, 5787901,
					  "%s has no argument '" SLICE_FMT "'", op->name,
					  SLICE_ARG(it.key));
		a[i].v = it.value;
	}
	for (size_t i = 0; i < n; i++)
		if (a[i].v.type == BSON_MISSING)
			return err_number(e, ERR_INVALID, a[i].missing, "%s: '%s' is missing",
					  op->name, a[i].name);
	return 0;
}

static int compile_operand(struct accum_spec *s, struct value spec, const struct expr_options *o,
			   struct err *e)
{
	int rc = expr_compile(spec, o, &s->operand, e);
	return rc < 0 ? err_in(e, rc, "%s", s->op->name) : 0;
}

/* An argument whose value is needed before the first document. */
static int constant_argument(struct accum_spec *s, const char *name, struct value spec,
			     struct expr **x, struct value *v, struct err *e)
{
	int rc = expr_compile(spec, NULL, x, e);
	if (rc < 0)
		return err_in(e, rc, "%s.%s", s->op->name, name);
	if (!expr_is_constant(*x, v))
		return err_number(e, ERR_INVALID, 5787902, "%s: '%s' is a constant", s->op->name,
				  name);
	return 0;
}

static int compile_n(struct accum_spec *s, struct value spec, struct err *e)
{
	struct expr *x = NULL;
	struct value v;
	int64_t n;
	int rc = constant_argument(s, "n", spec, &x, &v, e);
	if (rc == 0 && !value_is_number(v))
		rc = err_number(e, ERR_TYPE, 5787902, "%s: 'n' is a number, not %s", s->op->name,
				value_type_name(v));
	if (rc == 0 && !value_to_int64_exact(v, &n))
		rc = err_number(e, ERR_INVALID, 5787903, "%s: 'n' is no 64-bit integer",
				s->op->name);
	if (rc == 0 && n <= 0)
		rc = err_number(e, ERR_INVALID, 5787908, "%s: 'n' is not positive", s->op->name);
	if (rc == 0)
		s->n = (uint64_t)n > SIZE_MAX / 4 ? SIZE_MAX / 4 : (size_t)n;
	expr_free(x);
	return rc;
}

static int compile_sorted(struct accum_spec *s, struct value spec, const struct expr_options *o,
			  bool has_n, struct err *e)
{
	struct argument a[] = { { "output", 5788004, VALUE_MISSING },
				{ "sortBy", 5788005, VALUE_MISSING },
				{ "n", 5788003, VALUE_MISSING } };
	int rc = read_arguments(s->op, spec, a, has_n ? 3 : 2, e);
	if (rc == 0 && a[1].v.type != BSON_DOCUMENT)
		rc = err_number(e, ERR_TYPE, 10065, "%s: 'sortBy' is an object, not %s",
				s->op->name, value_type_name(a[1].v));
	if (rc == 0)
		rc = sort_compile(a[1].v, &s->arena, &s->order, e);
	s->n = 1;
	if (rc == 0 && has_n)
		rc = compile_n(s, a[2].v, e);
	return rc < 0 ? rc : compile_operand(s, a[0].v, o, e);
}

static int compile_p(struct accum_spec *s, struct value spec, struct err *e)
{
	struct expr *x = NULL;
	struct value list;
	struct bson_iter it;
	int rc = constant_argument(s, "p", spec, &x, &list, e);
	if (rc == 0 && list.type != BSON_ARRAY)
		rc = err_number(e, ERR_TYPE, 7750300, "%s: 'p' is an array, not %s", s->op->name,
				value_type_name(list));
	size_t n = rc == 0 ? array_length(list) : 0;
	s->p = arena_try_array(&s->arena, n + 1, sizeof(*s->p));
	if (rc == 0 && !s->p)
		rc = err_nomem(e);
	if (rc == 0 && n == 0)
		rc = quantile_check_p(s->op->name, NULL, 0, e);
	if (rc == 0)
		bson_iter_init(&it, value_slice(list));
	while (rc == 0 && bson_next(&it)) {
		rc = quantile_check_p(s->op->name, &it.value, 1, e);
		if (rc == 0)
			s->p[s->n_p++] = value_to_double(it.value);
	}
	expr_free(x);
	return rc;
}

static int compile_quantile(struct accum_spec *s, struct value spec, const struct expr_options *o,
			    bool has_p, struct err *e)
{
	struct argument a[] = { { "input", 40414, VALUE_MISSING },
				{ "method", 40414, VALUE_MISSING },
				{ "p", 40414, VALUE_MISSING } };
	int rc = read_arguments(s->op, spec, a, has_p ? 3 : 2, e);
	if (rc == 0)
		rc = quantile_method_of(s->op->name, a[1].v, &s->method, e);
	if (rc == 0 && has_p)
		rc = compile_p(s, a[2].v, e);
	return rc < 0 ? rc : compile_operand(s, a[0].v, o, e);
}

static int compile_unary(struct accum_spec *s, struct value spec, const struct expr_options *o,
			 struct err *e)
{
	if (spec.type == BSON_ARRAY) {
		if (array_length(spec) != 1)
			return err_number(e, ERR_INVALID, 40237,
					  "%s takes one operand, not a list of %zu", s->op->name,
					  array_length(spec));
		spec = bson_get_str(value_slice(spec), "0");
	}
	return compile_operand(s, spec, o, e);
}

static int compile_arguments(struct accum_spec *s, struct value spec, const struct expr_options *o,
			     struct err *e)
{
	struct argument n_args[] = { { "input", 5787907, VALUE_MISSING },
				     { "n", 5787906, VALUE_MISSING } };
	int rc;
	switch (s->op->form) {
	case FORM_UNARY: return compile_unary(s, spec, o, e);
	case FORM_NONE:
		if (spec.type != BSON_DOCUMENT || spec.len != 5)
			return err_number(e, ERR_INVALID, 40415, "$count takes an empty object");
		return 0;
	case FORM_N:
		rc = read_arguments(s->op, spec, n_args, 2, e);
		if (rc == 0)
			rc = compile_n(s, n_args[1].v, e);
		return rc < 0 ? rc : compile_operand(s, n_args[0].v, o, e);
	case FORM_SORTED: return compile_sorted(s, spec, o, false, e);
	case FORM_SORTED_N: return compile_sorted(s, spec, o, true, e);
	case FORM_MEDIAN: return compile_quantile(s, spec, o, false, e);
	case FORM_PERCENTILE: return compile_quantile(s, spec, o, true, e);
	}
	return 0;
}

int accum_spec_compile(struct value spec, const struct accum_options *o, struct accum_spec **out,
		       struct err *e)
{
	struct bson_iter it;
	if (spec.type != BSON_DOCUMENT)
		return err_number(e, ERR_INVALID, 40234, "an accumulator is an object, not %s",
				  value_type_name(spec));
	bson_iter_init(&it, value_slice(spec));
	if (!bson_next(&it))
		return err_number(e, ERR_INVALID, 40238,
				  "an accumulator is an object of one field, not empty");
	struct slice name = it.key;
	struct value arguments = it.value;
	const struct accum_op *op = op_of(name);
	if (!op)
		return unknown_accumulator(name, e);
	if (bson_next(&it))
		return err_number(e, ERR_INVALID, 40238,
				  "an accumulator is an object of one field");
	struct accum_spec *s = mem_try(sizeof(*s));
	if (!s)
		return err_nomem(e);
	s->op = op;
	s->memory_max_bytes = o && o->memory_max_bytes ? o->memory_max_bytes : ACCUM_MEMORY_MAX;
	int rc = compile_arguments(s, arguments, o ? &o->expr : NULL, e);
	if (rc < 0) {
		accum_spec_free(s);
		return rc;
	}
	*out = s;
	return 0;
}

void accum_spec_free(struct accum_spec *s)
{
	if (!s)
		return;
	expr_free(s->operand);
	arena_done(&s->arena);
	mem_free(s);
}
