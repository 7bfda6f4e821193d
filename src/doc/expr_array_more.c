/* expr_array_more.c: arrays: mapping, filtering, folding, sorting; the N first, last, least and greatest; objects and
 * arrays of their fields.
 *
 * Where an expression is evaluated for each element, its variables' slots are simply overwritten. What an evaluation
 * left in the arena is given back at once when only a truth came of it.
 */
#include "doc/expr_node.h"

#include "doc/sort.h"

#define GROUP "array"

static int check_object(const struct expr_op *op, struct value spec, struct err *e)
{
	if (spec.type == BSON_DOCUMENT)
		return 0;
	return err_number(e, ERR_INVALID, op->object_number,
			  "%s takes an object of named arguments, not %s", op->name,
			  value_type_name(spec));
}

/* The name of the element's variable: "as", or "this". */
static int as_name(const struct expr_op *op, struct value as, struct slice *name, struct err *e)
{
	*name = SLICE_LIT("this");
	if (as.type == BSON_MISSING)
		return 0;
	if (as.type != BSON_STRING)
		return err_number(e, ERR_INVALID, 9, "%s: 'as' is the name of a variable, not %s",
				  op->name, value_type_name(as));
	*name = value_slice(as);
	return 0;
}

/* Finds the named arguments; spec[i] stays missing where row i's was not given. */
static int read_params(const struct expr_op *op, struct value spec, struct value *found,
		       struct err *e)
{
	struct bson_iter it;
	int rc = check_object(op, spec, e);
	if (rc < 0)
		return rc;
	size_t n = 0;
	for (; op->params[n].name; n++)
		found[n] = VALUE_MISSING;
	bson_iter_init(&it, value_slice(spec));
	while (bson_next(&it)) {
		size_t i = 0;
		while (i < n && !slice_is(it.key, op->params[i].name))
			i++;
		if (i == n)
			return err_number(e, ERR_INVALID, op->unknown_number,
					  "%s has no argument '" SLICE_FMT "'", op->name,
					  SLICE_ARG(it.key));
		found[i] = it.value;
	}
	for (size_t i = 0; i < n; i++)
		if (found[i].type == BSON_MISSING && op->params[i].missing)
			return err_number(e, ERR_INVALID, op->params[i].missing,
					  "%s: '%s' is missing", op->name, op->params[i].name);
	return 0;
}

/* ---- $map, $filter: arg[0] input, arg[1] the expression, arg[2] limit; slots: the element, its index where it has a
 * name ---- */

/* n: how many variables come before the index's. */
static inline void set_index(const struct node *x, struct expr_env *env, uint32_t n, int64_t i)
{
	if (x->extra)
		env->vars[x->slot + n] = value_int(i);
}

/* Binds the name of the index, where one is given: x->extra says so. Returns how many were bound, or negative. */
static int bind_index(struct compile *c, struct node *x, struct value name, struct err *e)
{
	uint32_t ignored;
	if (name.type == BSON_MISSING)
		return 0;
	if (name.type != BSON_STRING)
		return err_number(e, ERR_INVALID, 9,
				  "%s: 'arrayIndexAs' is the name of a variable, not %s",
				  x->op->name, value_type_name(name));
	int rc = compile_bind(c, value_slice(name), /* allow_current */ false, &ignored, e);
	x->extra = x;
	return rc < 0 ? rc : 1;
}

static int each_element(const struct node *x, struct expr_env *env, int number, struct value *input,
			struct err *e)
{
	int rc = node_eval(x->arg[0], env, input, e);
	if (rc < 0 || value_nullish(*input) || input->type == BSON_ARRAY)
		return rc;
	return err_number(e, ERR_TYPE, number, "%s takes an array, not %s", x->op->name,
			  value_type_name(*input));
}

static int op_map(const struct node *x, struct expr_env *env, struct value *out, struct err *e)
{
	struct value input;
	struct values s = { 0 };
	struct bson_iter it;
	int rc = each_element(x, env, 16883, &input, e);
	if (rc < 0)
		return rc;
	if (value_nullish(input)) {
		*out = VALUE_NULL;
		return 0;
	}
	bson_iter_init(&it, value_slice(input));
	for (int64_t i = 0; bson_next(&it); i++) {
		struct value v;
		env->vars[x->slot] = it.value;
		set_index(x, env, 1, i);
		rc = node_eval(x->arg[1], env, &v, e);
		if (rc == 0)
			rc = values_add(env, &s, v, e);
		if (rc < 0)
			return rc;
	}
	return build_array(env, s.v, s.n, out, e);
}

static int filter_limit(const struct node *x, struct expr_env *env, int32_t *limit, struct err *e)
{
	struct value v;
	int rc = node_eval_opt(x->arg[2], env, &v, e);
	*limit = INT32_MAX;
	if (rc < 0 || value_nullish(v))
		return rc;
	if (!value_to_int32_exact(v, limit))
		return err_number(e, ERR_TYPE, 327391, "$filter: 'limit' is no 32-bit integer");
	if (*limit <= 0)
		return err_number(e, ERR_INVALID, 327392, "$filter: 'limit' is not positive");
	return 0;
}

static int op_filter(const struct node *x, struct expr_env *env, struct value *out, struct err *e)
{
	struct value input;
	struct values s = { 0 };
	struct bson_iter it;
	int32_t limit = INT32_MAX;
	int rc = each_element(x, env, 28651, &input, e);
	if (rc == 0)
		rc = filter_limit(x, env, &limit, e);
	if (rc < 0)
		return rc;
	if (value_nullish(input)) {
		*out = VALUE_NULL;
		return 0;
	}
	bson_iter_init(&it, value_slice(input));
	for (int64_t i = 0; s.n < (size_t)limit && bson_next(&it); i++) {
		struct value v;
		struct arena_mark m = arena_mark(&env->ev->arena);
		env->vars[x->slot] = it.value;
		set_index(x, env, 1, i);
		rc = node_eval(x->arg[1], env, &v, e);
		bool keep = rc == 0 && value_truth(v);
		if (m.cur)
			arena_rewind(&env->ev->arena, m);
		if (keep)
			rc = values_add(env, &s, it.value, e);
		if (rc < 0)
			return rc;
	}
	return build_array(env, s.v, s.n, out, e);
}

static const struct expr_param map_params[] = {
	{ "input", 16880 }, { "in", 16882 }, { "as", 0 }, { "arrayIndexAs", 0 }, { NULL, 0 }
};
static const struct expr_param filter_params[] = { { "input", 28648 },    { "cond", 28650 },
						   { "limit", 0 },        { "as", 0 },
						   { "arrayIndexAs", 0 }, { NULL, 0 } };

/* Input (and limit) do not see the variable; the expression does. */
static int compile_each(struct compile *c, const struct expr_op *op, struct value spec,
			struct node **out, struct err *e)
{
	struct value given[EXPR_PARAMS_MAX];
	struct slice name;
	bool filter = op->params == filter_params;
	int rc = read_params(op, spec, given, e);
	if (rc == 0)
		rc = as_name(op, given[filter ? 3 : 2], &name, e);
	if (rc < 0)
		return rc;
	struct node *x = compile_node(c, op->fn, op, 3);
	if (!x)
		return err_nomem(e);
	rc = compile_at(c, op->params[0].name, given[0], &x->arg[0], e);
	if (rc == 0 && filter && given[2].type != BSON_MISSING)
		rc = compile_at(c, "limit", given[2], &x->arg[2], e);
	if (rc == 0)
		rc = compile_bind(c, name, /* allow_current */ true, &x->slot, e);
	if (rc < 0)
		return rc;
	int index = bind_index(c, x, given[filter ? 4 : 3], e);
	if (index < 0)
		return index;
	rc = compile_at(c, op->params[1].name, given[1], &x->arg[1], e);
	compile_unbind(c, 1 + (uint32_t)index);
	return rc < 0 ? rc : compile_finish(c, x, out, e);
}

/* ---- $reduce: arg[0] input, arg[1] initialValue, arg[2] in; slots value, this, the index where it has a name ---- */

/* A value may grow by a level in each round: what could not be stored or compared ends here. */
static int check_growth(struct value v, struct err *e)
{
	if (value_depth(v, BSON_DEPTH_MAX) > BSON_DEPTH_MAX)
		return err_set(e, ERR_LIMIT, "$reduce: the value nests deeper than %d levels",
			       BSON_DEPTH_MAX);
	return 0;
}

static int op_reduce(const struct node *x, struct expr_env *env, struct value *out, struct err *e)
{
	struct value input, v;
	struct bson_iter it;
	int rc = each_element(x, env, 40080, &input, e);
	if (rc < 0)
		return rc;
	if (value_nullish(input)) {
		*out = VALUE_NULL;
		return 0;
	}
	rc = node_eval(x->arg[1], env, &v, e);
	if (rc < 0)
		return rc;
	bson_iter_init(&it, value_slice(input));
	for (int64_t i = 0; bson_next(&it); i++) {
		env->vars[x->slot] = v;
		env->vars[x->slot + 1] = it.value;
		set_index(x, env, 2, i);
		rc = node_eval(x->arg[2], env, &v, e);
		if (rc == 0)
			rc = env_step(env, v.len / 64, e);
		if (rc == 0)
			rc = check_growth(v, e);
		if (rc < 0)
			return rc;
	}
	*out = v;
	return 0;
}

static const struct expr_param reduce_params[] = { { "input", 40077 },
						   { "initialValue", 40078 },
						   { "in", 40079 },
						   { "arrayIndexAs", 0 },
						   { NULL, 0 } };

static int compile_reduce(struct compile *c, const struct expr_op *op, struct value spec,
			  struct node **out, struct err *e)
{
	struct value given[EXPR_PARAMS_MAX];
	uint32_t ignored;
	int rc = read_params(op, spec, given, e);
	if (rc < 0)
		return rc;
	struct node *x = compile_node(c, op_reduce, op, 3);
	if (!x)
		return err_nomem(e);
	rc = compile_at(c, "input", given[0], &x->arg[0], e);
	if (rc == 0)
		rc = compile_at(c, "initialValue", given[1], &x->arg[1], e);
	if (rc == 0)
		rc = compile_bind(c, SLICE_LIT("value"), /* allow_current */ false, &x->slot, e);
	if (rc == 0)
		rc = compile_bind(c, SLICE_LIT("this"), /* allow_current */ false, &ignored, e);
	if (rc < 0)
		return rc;
	int index = bind_index(c, x, given[3], e);
	if (index < 0)
		return index;
	rc = compile_at(c, "in", given[2], &x->arg[2], e);
	compile_unbind(c, 2 + (uint32_t)index);
	return rc < 0 ? rc : compile_finish(c, x, out, e);
}

/* ---- $sortArray: arg[0] input; extra: the order ---- */

static int op_sort_array(const struct node *x, struct expr_env *env, struct value *out,
			 struct err *e)
{
	struct value input;
	struct values s = { 0 };
	int rc = node_eval(x->arg[0], env, &input, e);
	if (rc < 0)
		return rc;
	if (value_nullish(input)) {
		*out = VALUE_NULL;
		return 0;
	}
	if (input.type != BSON_ARRAY)
		return err_number(e, ERR_TYPE, 2942504, "$sortArray takes an array, not %s",
				  value_type_name(input));
	rc = values_of_array(env, input, &s, e);
	if (rc == 0)
		rc = env_step(env, s.n, e);
	if (rc == 0)
		rc = sort_values(x->extra, env->ev, s.v, s.n, e);
	return rc < 0 ? rc : build_array(env, s.v, s.n, out, e);
}

static const struct expr_param sort_params[] = { { "input", 2942502 },
						 { "sortBy", 2942503 },
						 { NULL, 0 } };

static int compile_sort_array(struct compile *c, const struct expr_op *op, struct value spec,
			      struct node **out, struct err *e)
{
	struct value given[EXPR_PARAMS_MAX];
	int rc = read_params(op, spec, given, e);
	if (rc < 0)
		return rc;
	struct node *x = compile_node(c, op_sort_array, op, 1);
	struct sort_order *order = x ? compile_alloc(c, sizeof(*order)) : NULL;
	if (!order)
		return err_nomem(e);
	rc = sort_compile(given[1], &c->x->arena, order, e);
	if (rc < 0)
		return rc;
	x->extra = order;
	rc = compile_at(c, "input", given[0], &x->arg[0], e);
	return rc < 0 ? rc : compile_finish(c, x, out, e);
}

/* ---- $firstN, $lastN, $minN, $maxN ---- */

enum { FIRST_N, LAST_N, MIN_N, MAX_N };

static int count_of(const struct node *x, struct value v, int64_t *n, struct err *e)
{
	if (!value_is_number(v))
		return err_number(e, ERR_TYPE, 5787902, "%s: 'n' is a number, not %s", x->op->name,
				  value_type_name(v));
	if (!value_to_int64_exact(v, n))
		return err_number(e, ERR_INVALID, 5787903, "%s: 'n' is no 64-bit integer",
				  x->op->name);
	if (*n <= 0)
		return err_number(e, ERR_INVALID, 5787908, "%s: 'n' is not positive", x->op->name);
	return 0;
}

static int op_n(const struct node *x, struct expr_env *env, const struct value *v,
		struct value *out, struct err *e)
{
	int which = x->op->arg;
	struct values s = { 0 };
	int64_t count;
	int rc = count_of(x, v[1], &count, e);
	if (rc < 0)
		return rc;
	if (v[0].type != BSON_ARRAY)
		return err_number(e, ERR_TYPE, 5788200, "%s: 'input' is an array, not %s",
				  x->op->name, value_type_name(v[0]));
	rc = values_of_array(env, v[0], &s, e);
	if (rc < 0)
		return rc;
	if (which == MIN_N || which == MAX_N) {
		size_t kept = 0;
		for (size_t i = 0; i < s.n; i++)
			if (!value_nullish(s.v[i]))
				s.v[kept++] = s.v[i];
		s.n = kept;
		struct sort_order order = { .descending = which == MAX_N };
		rc = env_step(env, s.n, e);
		if (rc == 0)
			rc = sort_values(&order, env->ev, s.v, s.n, e);
		if (rc < 0)
			return rc;
	}
	size_t n = (uint64_t)count < s.n ? (size_t)count : s.n;
	return build_array(env, which == LAST_N && n < s.n ? s.v + (s.n - n) : s.v, n, out, e);
}

static const struct expr_param n_params[] = { { "input", 5787907 }, { "n", 5787906 }, { NULL, 0 } };

/* ---- objects and arrays of fields ---- */

static int pair_of_array(struct value pair, struct slice *key, struct value *v, struct err *e)
{
	struct bson_iter it;
	struct value two[2];
	size_t n = 0;
	if (pair.type != BSON_ARRAY)
		return err_number(e, ERR_TYPE, 40396,
				  "$arrayToObject: all elements are pairs, or all objects");
	bson_iter_init(&it, value_slice(pair));
	while (bson_next(&it)) {
		if (n < 2)
			two[n] = it.value;
		n++;
	}
	if (n != 2)
		return err_number(e, ERR_INVALID, 40397,
				  "$arrayToObject: a pair has two elements, not %zu", n);
	if (two[0].type != BSON_STRING)
		return err_number(e, ERR_TYPE, 40395,
				  "$arrayToObject: a pair's first element is a string, not %s",
				  value_type_name(two[0]));
	*key = value_slice(two[0]);
	*v = two[1];
	return 0;
}

static int pair_of_object(struct value pair, struct slice *key, struct value *v, struct err *e)
{
	if (pair.type != BSON_DOCUMENT)
		return err_number(e, ERR_TYPE, 40391,
				  "$arrayToObject: all elements are pairs, or all objects");
	if (array_length(pair) != 2)
		return err_number(e, ERR_INVALID, 40392,
				  "$arrayToObject: an object has 'k' and 'v', nothing else");
	struct value k = bson_get_str(value_slice(pair), "k");
	*v = bson_get_str(value_slice(pair), "v");
	if (k.type == BSON_MISSING || v->type == BSON_MISSING)
		return err_number(e, ERR_INVALID, 40393,
				  "$arrayToObject: an object has 'k' and 'v', nothing else");
	if (k.type != BSON_STRING)
		return err_number(e, ERR_TYPE, 40394, "$arrayToObject: 'k' is a string, not %s",
				  value_type_name(k));
	*key = value_slice(k);
	return 0;
}

/* The last of equal keys wins, in the place of the first: sorted by key, then by place, equal ones are neighbours. */
static int by_key(const void *a, const void *b, void *arg)
{
	const struct field *f = arg;
	const uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
	int c = slice_cmp(f[i].key, f[j].key);
	return c ? c : i < j ? -1 : i > j;
}

int fields_unique(struct expr_env *env, struct fields *s, struct err *e)
{
	if (s->n < 2)
		return 0;
	uint32_t *index = arena_try_array(&env->ev->arena, s->n, sizeof(*index));
	if (!index)
		return env_nomem(env, e);
	for (uint32_t i = 0; i < s->n; i++)
		index[i] = i;
	int rc = sort_indices(env->ev, index, s->n, by_key, s->f, e);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < s->n;) {
		size_t j = i + 1;
		while (j < s->n && slice_eq(s->f[index[i]].key, s->f[index[j]].key))
			j++;
		s->f[index[i]].value = s->f[index[j - 1]].value;
		for (size_t k = i + 1; k < j; k++)
			s->f[index[k]].value = VALUE_MISSING;
		i = j;
	}
	return 0;
}

static int op_array_to_object(const struct node *x, struct expr_env *env, const struct value *v,
			      struct value *out, struct err *e)
{
	struct fields f = { 0 };
	struct bson_iter it;
	uint8_t kind = 0;
	(void)x;
	if (v[0].type != BSON_ARRAY)
		return err_number(e, ERR_TYPE, 40386, "$arrayToObject takes an array, not %s",
				  value_type_name(v[0]));
	bson_iter_init(&it, value_slice(v[0]));
	while (bson_next(&it)) {
		struct slice key;
		struct value value;
		if (!kind && it.value.type != BSON_ARRAY && it.value.type != BSON_DOCUMENT)
			return err_number(
				e, ERR_TYPE, 40398,
				"$arrayToObject: an element is a pair or an object, not %s",
				value_type_name(it.value));
		kind = kind ? kind : it.value.type;
		int rc = kind == BSON_ARRAY ? pair_of_array(it.value, &key, &value, e)
					    : pair_of_object(it.value, &key, &value, e);
		if (rc == 0 && memchr(key.p, '\0', key.len))
			rc = err_number(e, ERR_INVALID, 4940400,
					"$arrayToObject: a key contains a NUL");
		if (rc == 0)
			rc = fields_add(env, &f, key, value, e);
		if (rc < 0)
			return rc;
	}
	int rc = fields_unique(env, &f, e);
	return rc < 0 ? rc : build_doc(env, f.f, f.n, out, e);
}

static int op_object_to_array(const struct node *x, struct expr_env *env, const struct value *v,
			      struct value *out, struct err *e)
{
	struct values s = { 0 };
	struct bson_iter it;
	(void)x;
	if (v[0].type != BSON_DOCUMENT)
		return err_number(e, ERR_TYPE, 40390, "$objectToArray takes an object, not %s",
				  value_type_name(v[0]));
	bson_iter_init(&it, value_slice(v[0]));
	while (bson_next(&it)) {
		struct field kv[2] = { { SLICE_LIT("k"), VALUE_MISSING },
				       { SLICE_LIT("v"), it.value } };
		struct value pair;
		int rc = build_string(env, it.key, &kv[0].value, e);
		if (rc == 0)
			rc = build_doc(env, kv, 2, &pair, e);
		if (rc == 0)
			rc = values_add(env, &s, pair, e);
		if (rc < 0)
			return rc;
	}
	return build_array(env, s.v, s.n, out, e);
}

#define N_OP(name, help, which) \
	{ \
		name, GROUP, help, .apply = op_n, .params = n_params, .object_number = 5787900, \
				   .unknown_number = 5787901, .arg = (which) \
	}

static const struct expr_op ops[] = {
	{ "$arrayToObject", GROUP, "an object of [key, value] pairs or {k, v} objects",
	  .apply = op_array_to_object, .min = 1, .max = 1, .flags = EXPR_NULL },
	{ "$filter", GROUP, "the elements for which a condition holds", .fn = op_filter,
	  .compile = compile_each, .params = filter_params, .object_number = 28646,
	  .unknown_number = 28647 },
	N_OP("$firstN", "the first n elements", FIRST_N),
	N_OP("$lastN", "the last n elements", LAST_N),
	{ "$map", GROUP, "an expression's value for each element", .fn = op_map,
	  .compile = compile_each, .params = map_params, .object_number = 16878,
	  .unknown_number = 16879 },
	N_OP("$maxN", "the n greatest elements, greatest first", MAX_N),
	N_OP("$minN", "the n least elements, least first", MIN_N),
	{ "$objectToArray", GROUP, "an object's fields as {k, v} objects",
	  .apply = op_object_to_array, .min = 1, .max = 1, .flags = EXPR_NULL },
	{ "$reduce", GROUP, "one value from all elements, by an expression over $$value and $$this",
	  .compile = compile_reduce, .params = reduce_params, .object_number = 40075,
	  .unknown_number = 40076 },
	{ "$sortArray", GROUP, "an array sorted by value or by fields",
	  .compile = compile_sort_array, .params = sort_params, .object_number = 2942500,
	  .unknown_number = 2942501 },
};

const struct expr_table expr_array_more_ops = { ops, ARRAY_LEN(ops) };
