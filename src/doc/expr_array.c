/* expr_array.c: arrays: picking, searching, slicing, joining. Those that bind variables are in expr_array_more.c. */
#include "doc/expr_node.h"

#define GROUP "array"

static int not_array(const struct node *x, int number, struct value v, struct err *e)
{
	return err_number(e, ERR_TYPE, number, "%s takes an array, not %s", x->op->name,
			  value_type_name(v));
}

/* The element at index (negative: from the end); missing when there is none. */
static struct value element(struct value array, int64_t index)
{
	if (index < 0) {
		index += (int64_t)array_length(array);
		if (index < 0)
			return VALUE_MISSING;
	}
	struct bson_iter it;
	bson_iter_init(&it, value_slice(array));
	while (bson_next(&it))
		if (index-- == 0)
			return it.value;
	return VALUE_MISSING;
}

static int op_array_elem_at(const struct node *x, struct expr_env *env, const struct value *v,
			    struct value *out, struct err *e)
{
	int32_t index;
	(void)env;
	if (v[0].type != BSON_ARRAY)
		return not_array(x, 28689, v[0], e);
	if (!value_is_number(v[1]))
		return err_number(e, ERR_TYPE, 28690, "$arrayElemAt: the index is a number, not %s",
				  value_type_name(v[1]));
	if (!value_to_int32_exact(v[1], &index))
		return err_number(e, ERR_INVALID, 28691,
				  "$arrayElemAt: the index is no 32-bit integer");
	*out = element(v[0], index);
	return 0;
}

static int op_end(const struct node *x, struct expr_env *env, const struct value *v,
		  struct value *out, struct err *e)
{
	(void)env;
	if (v[0].type != BSON_ARRAY)
		return not_array(x, 28689, v[0], e);
	*out = element(v[0], x->op->arg);
	return 0;
}

static int op_size(const struct node *x, struct expr_env *env, const struct value *v,
		   struct value *out, struct err *e)
{
	(void)env;
	if (v[0].type != BSON_ARRAY)
		return not_array(x, 17124, v[0], e);
	*out = value_int((int64_t)array_length(v[0]));
	return 0;
}

static int op_is_array(const struct node *x, struct expr_env *env, const struct value *v,
		       struct value *out, struct err *e)
{
	(void)x;
	(void)env;
	(void)e;
	*out = value_bool(v[0].type == BSON_ARRAY);
	return 0;
}

static int op_in(const struct node *x, struct expr_env *env, const struct value *v,
		 struct value *out, struct err *e)
{
	(void)x;
	(void)env;
	if (v[1].type != BSON_ARRAY)
		return err_number(e, ERR_TYPE, 40081,
				  "$in: the second argument is an array, not %s",
				  value_type_name(v[1]));
	struct bson_iter it;
	bool found = false;
	bson_iter_init(&it, value_slice(v[1]));
	while (!found && bson_next(&it))
		found = value_equal(v[0], it.value);
	*out = value_bool(found);
	return 0;
}

static int bound_of(const struct node *x, struct value v, const char *which, int32_t *out,
		    struct err *e)
{
	if (!value_to_int32_exact(v, out))
		return err_number(e, ERR_TYPE, 40096, "%s: the %s is an integer, not %s",
				  x->op->name, which, value_type_name(v));
	if (*out < 0)
		return err_number(e, ERR_INVALID, 40097, "%s: the %s is negative", x->op->name,
				  which);
	return 0;
}

static int op_index_of_array(const struct node *x, struct expr_env *env, const struct value *v,
			     struct value *out, struct err *e)
{
	int32_t start = 0, end = INT32_MAX, i = 0;
	(void)env;
	if (value_nullish(v[0])) {
		*out = VALUE_NULL;
		return 0;
	}
	if (v[0].type != BSON_ARRAY)
		return not_array(x, 40090, v[0], e);
	int rc = x->n > 2 ? bound_of(x, v[2], "start", &start, e) : 0;
	if (rc == 0 && x->n > 3)
		rc = bound_of(x, v[3], "end", &end, e);
	if (rc < 0)
		return rc;
	struct bson_iter it;
	bson_iter_init(&it, value_slice(v[0]));
	for (; i < end && bson_next(&it); i++) {
		if (i < start || !value_equal(v[1], it.value))
			continue;
		*out = value_int32(i);
		return 0;
	}
	*out = value_int32(-1);
	return 0;
}

/* ---- $slice ---- */

static int slice_int(struct value v, const char *which, int type_number, int range_number,
		     int32_t *out, struct err *e)
{
	if (!value_is_number(v))
		return err_number(e, ERR_TYPE, type_number, "$slice: the %s is a number, not %s",
				  which, value_type_name(v));
	if (!value_to_int32_exact(v, out))
		return err_number(e, ERR_INVALID, range_number,
				  "$slice: the %s is no 32-bit integer", which);
	return 0;
}

/* The elements [start, start + count). */
static int sub_array(struct expr_env *env, struct value array, int64_t start, int64_t count,
		     struct value *out, struct err *e)
{
	struct values s = { 0 };
	struct bson_iter it;
	bson_iter_init(&it, value_slice(array));
	for (int64_t i = 0; (int64_t)s.n < count && bson_next(&it); i++) {
		int rc = i < start ? 0 : values_add(env, &s, it.value, e);
		if (rc < 0)
			return rc;
	}
	return build_array(env, s.v, s.n, out, e);
}

static int op_slice(const struct node *x, struct expr_env *env, const struct value *v,
		    struct value *out, struct err *e)
{
	int32_t a, n;
	if (v[0].type != BSON_ARRAY)
		return not_array(x, 28724, v[0], e);
	int rc = slice_int(v[1], "second argument", 28725, 28726, &a, e);
	if (rc < 0)
		return rc;
	int64_t length = (int64_t)array_length(v[0]);
	if (x->n == 2) {
		int64_t from = a < 0 ? MAX(0, length + a) : 0;
		return sub_array(env, v[0], from, a < 0 ? length : a, out, e);
	}
	rc = slice_int(v[2], "third argument", 28727, 28728, &n, e);
	if (rc < 0)
		return rc;
	if (n <= 0)
		return err_number(e, ERR_INVALID, 28729,
				  "$slice: the third argument is not positive");
	return sub_array(env, v[0], a < 0 ? MAX(0, length + a) : a, n, out, e);
}

/* ---- $range ---- */

static int range_int(struct value v, const char *which, int type_number, int range_number,
		     int32_t *out, struct err *e)
{
	if (!value_is_number(v))
		return err_number(e, ERR_TYPE, type_number, "$range: the %s is a number, not %s",
				  which, value_type_name(v));
	if (!value_to_int32_exact(v, out))
		return err_number(e, ERR_INVALID, range_number,
				  "$range: the %s is no 32-bit integer", which);
	return 0;
}

static int op_range(const struct node *x, struct expr_env *env, const struct value *v,
		    struct value *out, struct err *e)
{
	int32_t start, end, step = 1;
	int rc = range_int(v[0], "start", 34443, 34444, &start, e);
	if (rc == 0)
		rc = range_int(v[1], "end", 34445, 34446, &end, e);
	if (rc == 0 && x->n > 2)
		rc = range_int(v[2], "step", 34447, 34448, &step, e);
	if (rc < 0)
		return rc;
	if (step == 0)
		return err_number(e, ERR_INVALID, 34449, "$range: the step is 0");
	int64_t distance = (int64_t)end - start, count = 0;
	if ((distance > 0) == (step > 0) && distance != 0) {
		int64_t span = distance > 0 ? distance : -distance,
			stride = step > 0 ? step : -(int64_t)step;
		count = (span + stride - 1) / stride;
	}
	rc = env_step(env, (uint64_t)count / 8, e);
	if (rc < 0)
		return rc;
	struct value *list = arena_try_array(&env->ev->arena, (size_t)count + 1, sizeof(*list));
	if (!list)
		return env_nomem(env, e);
	for (int64_t i = 0; i < count; i++)
		list[i] = value_int32((int32_t)(start + i * step));
	return build_array(env, list, (size_t)count, out, e);
}

/* ---- whole arrays ---- */

static int op_reverse_array(const struct node *x, struct expr_env *env, const struct value *v,
			    struct value *out, struct err *e)
{
	struct values s = { 0 };
	if (v[0].type != BSON_ARRAY)
		return not_array(x, 34435, v[0], e);
	int rc = values_of_array(env, v[0], &s, e);
	if (rc < 0)
		return rc;
	for (size_t i = 0, j = s.n; i + 1 < j; i++) {
		struct value t = s.v[i];
		s.v[i] = s.v[--j];
		s.v[j] = t;
	}
	return build_array(env, s.v, s.n, out, e);
}

static int op_concat_arrays(const struct node *x, struct expr_env *env, const struct value *v,
			    struct value *out, struct err *e)
{
	struct values s = { 0 };
	for (uint32_t i = 0; i < x->n; i++) {
		if (value_nullish(v[i])) {
			*out = VALUE_NULL;
			return 0;
		}
		if (v[i].type != BSON_ARRAY)
			return not_array(x, 28664, v[i], e);
		int rc = values_of_array(env, v[i], &s, e);
		if (rc < 0)
			return rc;
	}
	return build_array(env, s.v, s.n, out, e);
}

/* ---- $zip: arg[0] is the list of inputs, arg[1] useLongestLength, arg[2] defaults ---- */

static const struct expr_param zip_params[] = {
	{ "inputs", 34465 }, { "useLongestLength", 0 }, { "defaults", 0 }, { NULL, 0 }
};

static int zip_rows(struct expr_env *env, const struct values *columns, size_t n, size_t rows,
		    const struct values *defaults, struct value *out, struct err *e)
{
	struct values table = { 0 };
	struct value *row = arena_try_array(&env->ev->arena, n, sizeof(*row));
	if (!row)
		return env_nomem(env, e);
	for (size_t r = 0; r < rows; r++) {
		struct value one;
		for (size_t i = 0; i < n; i++) {
			if (r < columns[i].n)
				row[i] = columns[i].v[r];
			else
				row[i] = i < defaults->n ? defaults->v[i] : VALUE_NULL;
		}
		int rc = env_step(env, 1 + n / 8, e);
		if (rc == 0)
			rc = build_array(env, row, n, &one, e);
		if (rc == 0)
			rc = values_add(env, &table, one, e);
		if (rc < 0)
			return rc;
	}
	return build_array(env, table.v, table.n, out, e);
}

static int op_zip(const struct node *x, struct expr_env *env, const struct value *v,
		  struct value *out, struct err *e)
{
	struct values inputs = { 0 }, defaults = { 0 };
	bool longest = value_truth(v[1]);
	size_t rows = 0;
	if (v[0].type != BSON_ARRAY)
		return err_number(e, ERR_TYPE, 34461, "$zip: 'inputs' is an array, not %s",
				  value_type_name(v[0]));
	int rc = values_of_array(env, v[0], &inputs, e);
	if (rc == 0 && v[2].type == BSON_ARRAY)
		rc = values_of_array(env, v[2], &defaults, e);
	if (rc < 0)
		return rc;
	if (inputs.n == 0)
		return err_number(e, ERR_INVALID, 34465, "$zip needs at least one input");
	if (x->arg[2] && v[2].type != BSON_ARRAY)
		return err_number(e, ERR_TYPE, 34462, "$zip: 'defaults' is an array, not %s",
				  value_type_name(v[2]));
	if (x->arg[2] && defaults.n != inputs.n)
		return err_number(e, ERR_INVALID, 34467,
				  "$zip: as many defaults as inputs are needed");
	struct values *columns = arena_try_array(&env->ev->arena, inputs.n, sizeof(*columns));
	if (!columns)
		return env_nomem(env, e);
	for (size_t i = 0; i < inputs.n; i++) {
		if (value_nullish(inputs.v[i])) {
			*out = VALUE_NULL;
			return 0;
		}
		if (inputs.v[i].type != BSON_ARRAY)
			return not_array(x, 34468, inputs.v[i], e);
		columns[i] = (struct values){ 0 };
		rc = values_of_array(env, inputs.v[i], &columns[i], e);
		if (rc < 0)
			return rc;
		rows = i == 0    ? columns[i].n
		       : longest ? MAX(rows, columns[i].n)
				 : MIN(rows, columns[i].n);
	}
	return zip_rows(env, columns, inputs.n, rows, &defaults, out, e);
}

static int compile_zip(struct compile *c, const struct expr_op *op, struct value spec,
		       struct node **out, struct err *e)
{
	if (spec.type == BSON_DOCUMENT) {
		struct value longest = bson_get_str(value_slice(spec), "useLongestLength");
		struct value defaults = bson_get_str(value_slice(spec), "defaults");
		struct value inputs = bson_get_str(value_slice(spec), "inputs");
		if (longest.type != BSON_MISSING && longest.type != BSON_BOOL)
			return err_number(e, ERR_INVALID, 34463,
					  "$zip: 'useLongestLength' is a bool, not %s",
					  value_type_name(longest));
		if (defaults.type != BSON_MISSING && !value_truth(longest))
			return err_number(e, ERR_INVALID, 34466,
					  "$zip: 'defaults' needs 'useLongestLength: true'");
		if (inputs.type != BSON_MISSING && inputs.type != BSON_ARRAY)
			return err_number(e, ERR_INVALID, 34461,
					  "$zip: 'inputs' is an array, not %s",
					  value_type_name(inputs));
	}
	return compile_named(c, op, spec, out, e);
}

static const struct expr_op ops[] = {
	{ "$arrayElemAt", GROUP, "the element at an index; negative ones count from the end",
	  .apply = op_array_elem_at, .min = 2, .max = 2, .flags = EXPR_NULL },
	{ "$concatArrays", GROUP, "arrays joined to one", .apply = op_concat_arrays, .max = -1 },
	{ "$first", GROUP, "the first element", .apply = op_end, .min = 1, .max = 1,
	  .flags = EXPR_NULL, .arg = 0 },
	{ "$in", GROUP, "whether a value is an element of an array", .apply = op_in, .min = 2,
	  .max = 2 },
	{ "$indexOfArray", GROUP, "the index of the first equal element, or -1",
	  .apply = op_index_of_array, .min = 2, .max = 4 },
	{ "$isArray", GROUP, "whether a value is an array", .apply = op_is_array, .min = 1,
	  .max = 1 },
	{ "$last", GROUP, "the last element", .apply = op_end, .min = 1, .max = 1,
	  .flags = EXPR_NULL, .arg = -1 },
	{ "$range", GROUP, "the integers from start to before end, by a step", .apply = op_range,
	  .min = 2, .max = 3 },
	{ "$reverseArray", GROUP, "an array backwards", .apply = op_reverse_array, .min = 1,
	  .max = 1, .flags = EXPR_NULL },
	{ "$size", GROUP, "the number of elements", .apply = op_size, .min = 1, .max = 1 },
	{ "$slice", GROUP, "the first n, last n, or n elements from a position", .apply = op_slice,
	  .min = 2, .max = 3, .flags = EXPR_NULL },
	{ "$zip", GROUP, "the rows of a table whose columns are arrays", .apply = op_zip,
	  .compile = compile_zip, .params = zip_params, .object_number = 34460,
	  .unknown_number = 34464 },
};

const struct expr_table expr_array_ops = { ops, ARRAY_LEN(ops) };
