/* expr_cond.c: comparing, deciding, naming: what is evaluated only when it is needed. */
#include "doc/expr_node.h"

#define COMPARISON  "comparison"
#define BOOLEAN     "boolean"
#define CONDITIONAL "conditional"

/* ---- comparison: the total order of all values ---- */

enum { CMP, EQ, NE, GT, GTE, LT, LTE };

static int op_compare(const struct node *x, struct expr_env *env, const struct value *v,
		      struct value *out, struct err *e)
{
	int c = value_compare(v[0], v[1]);
	(void)env;
	(void)e;
	switch (x->op->arg) {
	case CMP: *out = value_int32(c < 0 ? -1 : c > 0); break;
	case EQ: *out = value_bool(c == 0); break;
	case NE: *out = value_bool(c != 0); break;
	case GT: *out = value_bool(c > 0); break;
	case GTE: *out = value_bool(c >= 0); break;
	case LT: *out = value_bool(c < 0); break;
	default: *out = value_bool(c <= 0); break;
	}
	return 0;
}

/* ---- boolean ---- */

enum { AND, OR };

static int op_and_or(const struct node *x, struct expr_env *env, struct value *out, struct err *e)
{
	bool stop_at = x->op->arg == OR;
	for (uint32_t i = 0; i < x->n; i++) {
		struct value v;
		int rc = node_eval(x->arg[i], env, &v, e);
		if (rc < 0)
			return rc;
		if (value_truth(v) == stop_at) {
			*out = value_bool(stop_at);
			return 0;
		}
	}
	*out = value_bool(!stop_at);
	return 0;
}

static int op_not(const struct node *x, struct expr_env *env, const struct value *v,
		  struct value *out, struct err *e)
{
	(void)x;
	(void)env;
	(void)e;
	*out = value_bool(!value_truth(v[0]));
	return 0;
}

/* ---- $cond ---- */

static int op_cond(const struct node *x, struct expr_env *env, struct value *out, struct err *e)
{
	struct value v;
	int rc = node_eval(x->arg[0], env, &v, e);
	if (rc < 0)
		return rc;
	return node_eval(x->arg[value_truth(v) ? 1 : 2], env, out, e);
}

static int compile_cond(struct compile *c, const struct expr_op *op, struct value spec,
			struct node **out, struct err *e)
{
	if (spec.type == BSON_DOCUMENT)
		return compile_named(c, op, spec, out, e);
	return compile_positional(c, op, spec, out, e);
}

static const struct expr_param cond_params[] = {
	{ "if", 17080 }, { "then", 17081 }, { "else", 17082 }, { NULL, 0 }
};

/* ---- $ifNull ---- */

static int op_if_null(const struct node *x, struct expr_env *env, struct value *out, struct err *e)
{
	struct value v = VALUE_NULL;
	for (uint32_t i = 0; i < x->n; i++) {
		int rc = node_eval(x->arg[i], env, &v, e);
		if (rc < 0)
			return rc;
		if (!value_nullish(v))
			break;
	}
	*out = v;
	return 0;
}

static int compile_if_null(struct compile *c, const struct expr_op *op, struct value spec,
			   struct node **out, struct err *e)
{
	if (spec.type != BSON_ARRAY || array_length(spec) < 2)
		return err_number(e, ERR_INVALID, 1257300, "$ifNull takes at least two arguments");
	return compile_positional(c, op, spec, out, e);
}

/* ---- $switch: arg[0] is the default; then case and result of each branch ---- */

static int op_switch(const struct node *x, struct expr_env *env, struct value *out, struct err *e)
{
	for (uint32_t i = 1; i < x->n; i += 2) {
		struct value v;
		int rc = node_eval(x->arg[i], env, &v, e);
		if (rc < 0)
			return rc;
		if (value_truth(v))
			return node_eval(x->arg[i + 1], env, out, e);
	}
	if (!x->arg[0])
		return err_number(e, ERR_INVALID, 40066,
				  "$switch: no branch matches and there is no default");
	return node_eval(x->arg[0], env, out, e);
}

static int compile_branch(struct compile *c, struct value branch, struct node **pair, struct err *e)
{
	struct bson_iter it;
	if (branch.type != BSON_DOCUMENT)
		return err_number(e, ERR_INVALID, 40062, "$switch: a branch is an object, not %s",
				  value_type_name(branch));
	bson_iter_init(&it, value_slice(branch));
	while (bson_next(&it)) {
		bool is_case = slice_is(it.key, "case");
		if (!is_case && !slice_is(it.key, "then"))
			return err_number(e, ERR_INVALID, 40063,
					  "$switch: a branch has no '" SLICE_FMT "'",
					  SLICE_ARG(it.key));
		int rc = compile_at(c, is_case ? "case" : "then", it.value, &pair[is_case ? 0 : 1],
				    e);
		if (rc < 0)
			return rc;
	}
	if (!pair[0])
		return err_number(e, ERR_INVALID, 40064, "$switch: a branch lacks 'case'");
	if (!pair[1])
		return err_number(e, ERR_INVALID, 40065, "$switch: a branch lacks 'then'");
	return 0;
}

static int compile_branches(struct compile *c, struct value branches, struct node *x, struct err *e)
{
	struct bson_iter it;
	uint32_t i = 1;
	bson_iter_init(&it, value_slice(branches));
	for (; bson_next(&it); i += 2) {
		int rc = compile_branch(c, it.value, &x->arg[i], e);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int compile_switch(struct compile *c, const struct expr_op *op, struct value spec,
			  struct node **out, struct err *e)
{
	struct value branches = VALUE_MISSING, otherwise = VALUE_MISSING;
	struct bson_iter it;
	if (spec.type != BSON_DOCUMENT)
		return err_number(e, ERR_INVALID, 40060, "$switch takes an object, not %s",
				  value_type_name(spec));
	bson_iter_init(&it, value_slice(spec));
	while (bson_next(&it)) {
		if (slice_is(it.key, "branches"))
			branches = it.value;
		else if (slice_is(it.key, "default"))
			otherwise = it.value;
		else
			return err_number(e, ERR_INVALID, 40067,
					  "$switch has no argument '" SLICE_FMT "'",
					  SLICE_ARG(it.key));
	}
	if (branches.type != BSON_ARRAY && branches.type != BSON_MISSING)
		return err_number(e, ERR_INVALID, 40061, "$switch: 'branches' is an array, not %s",
				  value_type_name(branches));
	size_t n = branches.type == BSON_ARRAY ? array_length(branches) : 0;
	if (n == 0)
		return err_number(e, ERR_INVALID, 40068, "$switch needs at least one branch");
	struct node *x = compile_node(c, op_switch, op, (uint32_t)(1 + 2 * n));
	if (!x)
		return err_nomem(e);
	int rc = compile_branches(c, branches, x, e);
	if (rc == 0 && otherwise.type != BSON_MISSING)
		rc = compile_at(c, "default", otherwise, &x->arg[0], e);
	return rc < 0 ? rc : compile_finish(c, x, out, e);
}

/* ---- $let: arg[0] is the body; then the variables' values, into slots from x->slot on ---- */

static int op_let(const struct node *x, struct expr_env *env, struct value *out, struct err *e)
{
	for (uint32_t i = 1; i < x->n; i++) {
		int rc = node_eval(x->arg[i], env, &env->vars[x->slot + i - 1], e);
		if (rc < 0)
			return rc;
	}
	return node_eval(x->arg[0], env, out, e);
}

/* The values are computed before any of the variables exists, but into the slots they will have: so slots that they
 * use themselves must lie behind. */
static int compile_let_vars(struct compile *c, struct value vars, struct node *x, struct err *e)
{
	struct bson_iter it;
	uint32_t i = 1, n = x->n - 1, first = c->n_vars;
	if (n > EXPR_VARS_MAX - c->n_vars)
		return err_set(e, ERR_LIMIT, "more than %d variables", EXPR_VARS_MAX);
	x->slot = first;
	c->n_vars += n;
	c->x->slots = MAX(c->x->slots, c->n_vars);
	bson_iter_init(&it, value_slice(vars));
	for (; bson_next(&it); i++) {
		int rc = compile_at(c, "vars", it.value, &x->arg[i], e);
		if (rc < 0)
			return rc;
	}
	c->n_vars = first;
	bson_iter_init(&it, value_slice(vars));
	while (bson_next(&it)) {
		uint32_t slot;
		int rc = compile_bind(c, it.key, /* allow_current */ true, &slot, e);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int compile_let(struct compile *c, const struct expr_op *op, struct value spec,
		       struct node **out, struct err *e)
{
	struct value vars = VALUE_MISSING, in = VALUE_MISSING;
	struct bson_iter it;
	if (spec.type != BSON_DOCUMENT)
		return err_number(e, ERR_INVALID, 16874, "$let takes an object, not %s",
				  value_type_name(spec));
	bson_iter_init(&it, value_slice(spec));
	while (bson_next(&it)) {
		if (slice_is(it.key, "vars"))
			vars = it.value;
		else if (slice_is(it.key, "in"))
			in = it.value;
		else
			return err_number(e, ERR_INVALID, 16875,
					  "$let has no argument '" SLICE_FMT "'",
					  SLICE_ARG(it.key));
	}
	if (vars.type == BSON_MISSING)
		return err_number(e, ERR_INVALID, 16876, "$let: 'vars' is missing");
	if (in.type == BSON_MISSING)
		return err_number(e, ERR_INVALID, 16877, "$let: 'in' is missing");
	if (vars.type != BSON_DOCUMENT)
		return err_number(e, ERR_INVALID, 10065, "$let: 'vars' is an object, not %s",
				  value_type_name(vars));
	uint32_t n = (uint32_t)array_length(vars);
	struct node *x = compile_node(c, op_let, op, n + 1);
	if (!x)
		return err_nomem(e);
	int rc = compile_let_vars(c, vars, x, e);
	if (rc < 0)
		return rc;
	rc = compile_at(c, "in", in, &x->arg[0], e);
	compile_unbind(c, n);
	return rc < 0 ? rc : compile_finish(c, x, out, e);
}

/* ---- $literal ---- */

static int compile_literal(struct compile *c, const struct expr_op *op, struct value spec,
			   struct node **out, struct err *e)
{
	(void)op;
	*out = compile_constant(c, spec);
	return *out ? 0 : err_nomem(e);
}

#define COMPARE(name, help, which) \
	{ \
		name, COMPARISON, help, .apply = op_compare, .min = 2, .max = 2, .arg = (which) \
	}

static const struct expr_op ops[] = {
	COMPARE("$cmp", "-1, 0 or 1: less, equal, greater in the order of all values", CMP),
	COMPARE("$eq", "whether two values are equal", EQ),
	COMPARE("$ne", "whether two values differ", NE),
	COMPARE("$gt", "whether the first value is greater", GT),
	COMPARE("$gte", "whether the first value is greater or equal", GTE),
	COMPARE("$lt", "whether the first value is less", LT),
	COMPARE("$lte", "whether the first value is less or equal", LTE),
	{ "$and", BOOLEAN, "whether all are true; stops at the first that is not", .fn = op_and_or,
	  .max = -1, .arg = AND },
	{ "$or", BOOLEAN, "whether any is true; stops at the first that is", .fn = op_and_or,
	  .max = -1, .arg = OR },
	{ "$not", BOOLEAN, "the opposite truth", .apply = op_not, .min = 1, .max = 1 },
	{ "$cond", CONDITIONAL, "then or else, by a condition", .fn = op_cond,
	  .compile = compile_cond, .params = cond_params, .min = 3, .max = 3,
	  .unknown_number = 17083 },
	{ "$ifNull", CONDITIONAL, "the first value that is not null or missing", .fn = op_if_null,
	  .compile = compile_if_null, .min = 2, .max = -1 },
	{ "$switch", CONDITIONAL, "the result of the first branch whose case is true",
	  .compile = compile_switch },
	{ "$let", "variables", "an expression with variables of its own", .compile = compile_let },
	{ "$literal", "variables", "a value taken as it is", .compile = compile_literal },
	{ "$const", "variables", "a value taken as it is ($literal)", .compile = compile_literal },
};

const struct expr_table expr_cond_ops = { ops, ARRAY_LEN(ops) };
