/* expr_accum.c: accumulators as expressions: over several operands, or over the elements of one array. */
#include "doc/expr_node.h"

#include "doc/moments.h"
#include "doc/quantile.h"
#include "doc/sum.h"

#define GROUP "accumulator"

/* One operand that is an array stands for its elements; else the operands themselves. */
static int operands(const struct node *x, struct expr_env *env, const struct value *v,
		    struct values *s, struct err *e)
{
	if (x->n == 1 && v[0].type == BSON_ARRAY)
		return values_of_array(env, v[0], s, e);
	*s = (struct values){ (struct value *)v, x->n, x->n };
	return 0;
}

enum { SUM, AVG };

static int op_sum(const struct node *x, struct expr_env *env, const struct value *v,
		  struct value *out, struct err *e)
{
	struct values s = { 0 };
	struct sum sum;
	int64_t n = 0;
	int rc = operands(x, env, v, &s, e);
	if (rc < 0)
		return rc;
	sum_init(&sum);
	for (size_t i = 0; i < s.n; i++) {
		if (!value_is_number(s.v[i]))
			continue;
		sum_add(&sum, s.v[i]);
		n++;
	}
	*out = x->op->arg == SUM ? sum_value(&sum) : sum_average(&sum, n);
	return 0;
}

enum { MINIMUM, MAXIMUM };

static int op_min_max(const struct node *x, struct expr_env *env, const struct value *v,
		      struct value *out, struct err *e)
{
	struct values s = { 0 };
	int rc = operands(x, env, v, &s, e);
	if (rc < 0)
		return rc;
	struct value best = VALUE_NULL;
	for (size_t i = 0; i < s.n; i++) {
		if (value_nullish(s.v[i]))
			continue;
		int c = best.type == BSON_NULL ? -1 : value_compare(s.v[i], best);
		if (best.type == BSON_NULL || (x->op->arg == MINIMUM ? c < 0 : c > 0))
			best = s.v[i];
	}
	*out = best;
	return 0;
}

static int op_std_dev(const struct node *x, struct expr_env *env, const struct value *v,
		      struct value *out, struct err *e)
{
	struct values s = { 0 };
	struct moments m = { 0 };
	int rc = operands(x, env, v, &s, e);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < s.n; i++)
		if (value_is_number(s.v[i]))
			moments_add(&m, value_to_double(s.v[i]));
	*out = moments_std_dev(&m, /* sample */ x->op->arg);
	return 0;
}

/* ---- $median, $percentile: arg[0] input, arg[1] method, arg[2] p ---- */

static int op_quantile(const struct node *x, struct expr_env *env, const struct value *v,
		       struct value *out, struct err *e)
{
	struct values s = { 0 }, p = { 0 };
	enum quantile_method method;
	int rc = quantile_method_of(x->op->name, v[1], &method, e);
	if (rc == 0 && x->n > 2) {
		if (v[2].type != BSON_ARRAY)
			return err_number(e, ERR_TYPE, 7750300, "%s: 'p' is an array, not %s",
					  x->op->name, value_type_name(v[2]));
		rc = values_of_array(env, v[2], &p, e);
	}
	if (rc == 0 && v[0].type == BSON_ARRAY)
		rc = values_of_array(env, v[0], &s, e);
	else if (rc == 0)
		rc = values_add(env, &s, v[0], e);
	if (rc == 0 && x->n > 2)
		rc = quantile_check_p(x->op->name, p.v, p.n, e);
	if (rc < 0)
		return rc;
	double *d = arena_try_array(&env->ev->arena, s.n + 1, sizeof(*d));
	if (!d)
		return env_nomem(env, e);
	size_t n = 0;
	for (size_t i = 0; i < s.n; i++)
		if (value_is_number(s.v[i]))
			d[n++] = value_to_double(s.v[i]);
	quantile_sort(d, n);
	if (x->n == 2) {
		*out = quantile_at(d, n, 0.5, method);
		return 0;
	}
	for (size_t i = 0; i < p.n; i++)
		p.v[i] = quantile_at(d, n, value_to_double(p.v[i]), method);
	return build_array(env, p.v, p.n, out, e);
}

static const struct expr_param median_params[] = { { "input", 40414 },
						   { "method", 40414 },
						   { NULL, 0 } };
static const struct expr_param percentile_params[] = {
	{ "input", 40414 }, { "method", 40414 }, { "p", 40414 }, { NULL, 0 }
};

static const struct expr_op ops[] = {
	{ "$avg", GROUP, "the mean of numbers; others are skipped", .apply = op_sum, .max = -1,
	  .arg = AVG },
	{ "$max", GROUP, "the greatest value that is not null", .apply = op_min_max, .max = -1,
	  .arg = MAXIMUM },
	{ "$median", GROUP, "the middle of numbers", .apply = op_quantile, .params = median_params,
	  .object_number = 7436100, .unknown_number = 40415 },
	{ "$min", GROUP, "the least value that is not null", .apply = op_min_max, .max = -1,
	  .arg = MINIMUM },
	{ "$percentile", GROUP, "the numbers below which given shares lie", .apply = op_quantile,
	  .params = percentile_params, .object_number = 7429703, .unknown_number = 40415 },
	{ "$stdDevPop", GROUP, "the standard deviation of numbers", .apply = op_std_dev, .max = -1,
	  .arg = false },
	{ "$stdDevSamp", GROUP, "the standard deviation of a sample", .apply = op_std_dev,
	  .max = -1, .arg = true },
	{ "$sum", GROUP, "the sum of numbers; others are skipped", .apply = op_sum, .max = -1,
	  .arg = SUM },
};

const struct expr_table expr_accum_ops = { ops, ARRAY_LEN(ops) };
