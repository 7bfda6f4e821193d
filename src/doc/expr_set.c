/* expr_set.c: arrays as sets: order and repetition do not count.
 *
 * Members are found by a hash table of their positions, open addressing, twice as large as the set.
 */
#include "doc/expr_node.h"

#define GROUP "set"

struct set {
	struct values member; /* in the order added */
	uint32_t *slot;       /* position + 1; 0: free */
	size_t mask;
};

static int set_init(struct expr_env *env, struct set *s, size_t expect, struct err *e)
{
	size_t size = 16;
	while (size < 2 * expect)
		size *= 2;
	*s = (struct set){ .mask = size - 1 };
	s->slot = arena_try_array(&env->ev->arena, size, sizeof(*s->slot));
	if (!s->slot)
		return env_nomem(env, e);
	memset(s->slot, 0, size * sizeof(*s->slot));
	return 0;
}

/* The slot of v: its own, or the free one where it would go. */
static size_t set_slot(const struct set *s, struct value v)
{
	size_t i = value_hash(v, 0) & s->mask;
	while (s->slot[i] && !value_equal(s->member.v[s->slot[i] - 1], v))
		i = (i + 1) & s->mask;
	return i;
}

static bool set_has(const struct set *s, struct value v)
{
	return s->slot[set_slot(s, v)] != 0;
}

static int set_add(struct expr_env *env, struct set *s, struct value v, struct err *e)
{
	size_t i = set_slot(s, v);
	if (s->slot[i])
		return 0;
	int rc = values_add(env, &s->member, v, e);
	if (rc < 0)
		return rc;
	s->slot[i] = (uint32_t)s->member.n;
	return 0;
}

static int set_add_array(struct expr_env *env, struct set *s, struct value array, struct err *e)
{
	struct bson_iter it;
	bson_iter_init(&it, value_slice(array));
	while (bson_next(&it)) {
		int rc = set_add(env, s, it.value, e);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int set_of(struct expr_env *env, struct set *s, struct value array, struct err *e)
{
	int rc = set_init(env, s, array_length(array), e);
	return rc < 0 ? rc : set_add_array(env, s, array, e);
}

static int not_array(const struct node *x, int number, struct value v, struct err *e)
{
	return err_number(e, ERR_TYPE, number, "%s takes arrays, not %s", x->op->name,
			  value_type_name(v));
}

/* Null wins over a wrong type that comes later. */
static int check_arrays(const struct node *x, const struct value *v, int number, bool *null,
			struct err *e)
{
	*null = false;
	for (uint32_t i = 0; i < x->n; i++) {
		if (value_nullish(v[i])) {
			*null = true;
			return 0;
		}
		if (v[i].type != BSON_ARRAY)
			return not_array(x, number, v[i], e);
	}
	return 0;
}

static int op_union(const struct node *x, struct expr_env *env, const struct value *v,
		    struct value *out, struct err *e)
{
	bool null;
	size_t total = 0;
	struct set s;
	int rc = check_arrays(x, v, 17043, &null, e);
	if (rc < 0 || null) {
		*out = VALUE_NULL;
		return rc;
	}
	for (uint32_t i = 0; i < x->n; i++)
		total += array_length(v[i]);
	rc = set_init(env, &s, total, e);
	for (uint32_t i = 0; rc == 0 && i < x->n; i++)
		rc = set_add_array(env, &s, v[i], e);
	return rc < 0 ? rc : build_array(env, s.member.v, s.member.n, out, e);
}

/* Keeps of s what the array has too. */
static int intersect(struct expr_env *env, struct set *s, struct value array, struct err *e)
{
	struct set kept;
	struct bson_iter it;
	int rc = set_init(env, &kept, s->member.n, e);
	bson_iter_init(&it, value_slice(array));
	while (rc == 0 && bson_next(&it))
		if (set_has(s, it.value))
			rc = set_add(env, &kept, it.value, e);
	*s = kept;
	return rc;
}

static int op_intersection(const struct node *x, struct expr_env *env, const struct value *v,
			   struct value *out, struct err *e)
{
	bool null;
	struct set s = { 0 };
	int rc = check_arrays(x, v, 17047, &null, e);
	if (rc < 0 || null) {
		*out = VALUE_NULL;
		return rc;
	}
	if (x->n)
		rc = set_of(env, &s, v[0], e);
	for (uint32_t i = 1; rc == 0 && i < x->n; i++)
		rc = intersect(env, &s, v[i], e);
	return rc < 0 ? rc : build_array(env, s.member.v, s.member.n, out, e);
}

static int op_difference(const struct node *x, struct expr_env *env, const struct value *v,
			 struct value *out, struct err *e)
{
	struct set without;
	struct values s = { 0 };
	struct bson_iter it;
	if (v[0].type != BSON_ARRAY)
		return not_array(x, 17048, v[0], e);
	if (v[1].type != BSON_ARRAY)
		return not_array(x, 17049, v[1], e);
	int rc = set_init(env, &without, array_length(v[0]) + array_length(v[1]), e);
	if (rc == 0)
		rc = set_add_array(env, &without, v[1], e);
	bson_iter_init(&it, value_slice(v[0]));
	while (rc == 0 && bson_next(&it)) {
		if (set_has(&without, it.value))
			continue;
		rc = set_add(env, &without, it.value, e); /* once only */
		if (rc == 0)
			rc = values_add(env, &s, it.value, e);
	}
	return rc < 0 ? rc : build_array(env, s.v, s.n, out, e);
}

static bool contains_all(const struct set *s, const struct set *other)
{
	for (size_t i = 0; i < other->member.n; i++)
		if (!set_has(s, other->member.v[i]))
			return false;
	return true;
}

static int op_equals(const struct node *x, struct expr_env *env, const struct value *v,
		     struct value *out, struct err *e)
{
	struct set first, other;
	for (uint32_t i = 0; i < x->n; i++)
		if (v[i].type != BSON_ARRAY)
			return not_array(x, 17044, v[i], e);
	bool equal = true;
	int rc = set_of(env, &first, v[0], e);
	for (uint32_t i = 1; rc == 0 && equal && i < x->n; i++) {
		rc = set_of(env, &other, v[i], e);
		equal = rc == 0 && other.member.n == first.member.n && contains_all(&first, &other);
	}
	if (rc == 0)
		*out = value_bool(equal);
	return rc;
}

static int compile_equals(struct compile *c, const struct expr_op *op, struct value spec,
			  struct node **out, struct err *e)
{
	if (spec.type != BSON_ARRAY || array_length(spec) < 2)
		return err_number(e, ERR_INVALID, 17045, "$setEquals takes at least two arguments");
	return compile_positional(c, op, spec, out, e);
}

static int op_is_subset(const struct node *x, struct expr_env *env, const struct value *v,
			struct value *out, struct err *e)
{
	struct set part, whole;
	if (v[0].type != BSON_ARRAY)
		return not_array(x, 17046, v[0], e);
	if (v[1].type != BSON_ARRAY)
		return not_array(x, 17042, v[1], e);
	int rc = set_of(env, &part, v[0], e);
	if (rc == 0)
		rc = set_of(env, &whole, v[1], e);
	if (rc == 0)
		*out = value_bool(contains_all(&whole, &part));
	return rc;
}

enum { ALL, ANY };

static int op_elements_true(const struct node *x, struct expr_env *env, const struct value *v,
			    struct value *out, struct err *e)
{
	bool stop_at = x->op->arg == ANY;
	struct bson_iter it;
	(void)env;
	if (v[0].type != BSON_ARRAY)
		return not_array(x, stop_at ? 17041 : 17040, v[0], e);
	bson_iter_init(&it, value_slice(v[0]));
	bool result = !stop_at;
	while (result != stop_at && bson_next(&it))
		if (value_truth(it.value) == stop_at)
			result = stop_at;
	*out = value_bool(result);
	return 0;
}

static const struct expr_op ops[] = {
	{ "$allElementsTrue", GROUP, "whether no element is false", .apply = op_elements_true,
	  .min = 1, .max = 1, .arg = ALL },
	{ "$anyElementTrue", GROUP, "whether any element is true", .apply = op_elements_true,
	  .min = 1, .max = 1, .arg = ANY },
	{ "$setDifference", GROUP, "the elements of the first array that the second lacks",
	  .apply = op_difference, .min = 2, .max = 2, .flags = EXPR_NULL },
	{ "$setEquals", GROUP, "whether arrays have the same distinct elements", .apply = op_equals,
	  .compile = compile_equals, .min = 2, .max = -1 },
	{ "$setIntersection", GROUP, "the distinct elements that all arrays have",
	  .apply = op_intersection, .max = -1 },
	{ "$setIsSubset", GROUP, "whether the second array has all elements of the first",
	  .apply = op_is_subset, .min = 2, .max = 2 },
	{ "$setUnion", GROUP, "the distinct elements of all arrays", .apply = op_union, .max = -1 },
};

const struct expr_table expr_set_ops = { ops, ARRAY_LEN(ops) };
