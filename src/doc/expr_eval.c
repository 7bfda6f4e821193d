/* expr_eval.c: evaluates compiled expressions: paths, variables, objects, arrays, and the arguments of strict operators.
 *
 * A path that meets an array is followed in each element, and what is found becomes an array; elements that lack it, and
 * those that are neither objects nor arrays, are left out.
 */
#include "doc/expr.h"

#include "doc/expr_node.h"

/* ---- field paths ---- */

static int path_in_array(const struct slice *c, size_t n, struct expr_env *env, struct value array,
			 struct value *out, struct err *e);

static int path_in_doc(const struct slice *c, size_t n, struct expr_env *env, struct slice doc,
		       struct value *out, struct err *e)
{
	for (;;) {
		struct value v = bson_get(doc, *c);
		if (--n == 0) {
			*out = v;
			return 0;
		}
		c++;
		if (v.type == BSON_ARRAY)
			return path_in_array(c, n, env, v, out, e);
		if (v.type != BSON_DOCUMENT) {
			*out = VALUE_MISSING;
			return 0;
		}
		doc = value_slice(v);
	}
}

static int path_in_array(const struct slice *c, size_t n, struct expr_env *env, struct value array,
			 struct value *out, struct err *e)
{
	struct values found = { 0 };
	struct bson_iter it;
	int rc = env_step(env, array.len / 64, e);
	if (rc < 0)
		return rc;
	bson_iter_init(&it, value_slice(array));
	while (bson_next(&it)) {
		struct value v = VALUE_MISSING;
		if (it.value.type == BSON_DOCUMENT)
			rc = path_in_doc(c, n, env, value_slice(it.value), &v, e);
		else if (it.value.type == BSON_ARRAY)
			rc = path_in_array(c, n, env, it.value, &v, e);
		if (rc == 0 && v.type != BSON_MISSING)
			rc = values_add(env, &found, v, e);
		if (rc < 0)
			return rc;
	}
	return build_array(env, found.v, found.n, out, e);
}

static int path_in_value(const struct slice *c, size_t n, struct expr_env *env, struct value v,
			 struct value *out, struct err *e)
{
	if (n == 0)
		*out = v;
	else if (v.type == BSON_DOCUMENT)
		return path_in_doc(c, n, env, value_slice(v), out, e);
	else if (v.type == BSON_ARRAY)
		return path_in_array(c, n, env, v, out, e);
	else
		*out = VALUE_MISSING;
	return 0;
}

int node_path(const struct node *x, struct expr_env *env, struct value *out, struct err *e)
{
	return path_in_doc(x->path, x->path_len, env, env->current, out, e);
}

int node_root_path(const struct node *x, struct expr_env *env, struct value *out, struct err *e)
{
	if (x->path_len == 0) {
		*out = value_doc(env->in->root);
		return 0;
	}
	return path_in_doc(x->path, x->path_len, env, env->in->root, out, e);
}

int node_current(const struct node *x, struct expr_env *env, struct value *out, struct err *e)
{
	(void)x;
	(void)e;
	*out = value_doc(env->current);
	return 0;
}

/* "$name.a" over virtual roots: slot is the root's index. */
int node_virtual_path(const struct node *x, struct expr_env *env, struct value *out, struct err *e)
{
	return path_in_value(x->path, x->path_len, env, env->in->roots[x->slot], out, e);
}

/* $$ROOT over virtual roots: the document that does not exist is made. */
int node_virtual_root(const struct node *x, struct expr_env *env, struct value *out, struct err *e)
{
	const struct expr *owner = x->extra;
	struct fields f = { 0 };
	struct value doc;
	for (uint32_t i = 0; i < owner->n_roots; i++) {
		int rc = fields_add(env, &f, slice_str(owner->roots[i]), env->in->roots[i], e);
		if (rc < 0)
			return rc;
	}
	int rc = build_doc(env, f.f, f.n, &doc, e);
	if (rc < 0)
		return rc;
	return path_in_value(x->path, x->path_len, env, doc, out, e);
}

int node_var(const struct node *x, struct expr_env *env, struct value *out, struct err *e)
{
	return path_in_value(x->path, x->path_len, env, env->vars[x->slot], out, e);
}

int node_now(const struct node *x, struct expr_env *env, struct value *out, struct err *e)
{
	(void)x;
	if (env->ev->now_ms == 0)
		return err_set(e, ERR_UNSUPPORTED, "$$NOW: the evaluation was given no time");
	*out = value_date(env->ev->now_ms);
	return 0;
}

/* ---- objects, arrays, strict operators ---- */

int node_object(const struct node *x, struct expr_env *env, struct value *out, struct err *e)
{
	struct fields f = { 0 };
	for (uint32_t i = 0; i < x->n; i++) {
		struct value v;
		int rc = node_eval(x->arg[i], env, &v, e);
		if (rc == 0)
			rc = fields_add(env, &f, x->path[i], v, e);
		if (rc < 0)
			return rc;
	}
	return build_doc(env, f.f, f.n, out, e);
}

int node_array(const struct node *x, struct expr_env *env, struct value *out, struct err *e)
{
	struct values s = { 0 };
	for (uint32_t i = 0; i < x->n; i++) {
		struct value v;
		int rc = node_eval(x->arg[i], env, &v, e);
		if (rc == 0)
			rc = values_add(env, &s, v, e);
		if (rc < 0)
			return rc;
	}
	return build_array(env, s.v, s.n, out, e);
}

static inline uint64_t value_steps(struct value v)
{
	return v.len / 64;
}

int op_strict(const struct node *x, struct expr_env *env, struct value *out, struct err *e)
{
	struct value few[EXPR_PARAMS_MAX], *v = few;
	if (x->n > ARRAY_LEN(few)) {
		v = arena_try_array(&env->ev->arena, x->n, sizeof(*v));
		if (!v)
			return env_nomem(env, e);
	}
	bool null = false;
	uint64_t steps = 0;
	for (uint32_t i = 0; i < x->n; i++) {
		int rc = node_eval_opt(x->arg[i], env, &v[i], e);
		if (rc < 0)
			return rc;
		null |= x->arg[i] && value_nullish(v[i]);
		steps += value_steps(v[i]);
	}
	if (null && (x->op->flags & EXPR_NULL)) {
		*out = VALUE_NULL;
		return 0;
	}
	if (steps) {
		int rc = env_step(env, steps, e);
		if (rc < 0)
			return rc;
	}
	return x->op->apply(x, env, v, out, e);
}

/* ---- evaluating ---- */

static int eval_frame(const struct expr *x, struct expr_env *env, struct value *out, struct err *e)
{
	struct value few[EXPR_FRAME_SMALL];
	env->vars = few;
	if (x->slots > EXPR_FRAME_SMALL) {
		env->vars = arena_try_array(&env->ev->arena, x->slots, sizeof(*env->vars));
		if (!env->vars)
			return env_nomem(env, e);
	}
	if (x->caller_vars)
		memcpy(env->vars, env->in->vars, x->caller_vars * sizeof(*env->vars));
	return node_eval(x->root, env, out, e);
}

int expr_eval_input(const struct expr *x, struct eval *ev, const struct expr_input *in,
		    struct value *out, struct err *e)
{
	ASSERT(!x->caller_vars || in->vars);
	ASSERT(!x->n_roots || in->roots);
	struct expr_env env = { .ev = ev,
				.in = in,
				.current = in->current.p ? in->current : in->root };
	struct value v;
	int rc = x->slots ? eval_frame(x, &env, &v, e) : node_eval(x->root, &env, &v, e);
	if (rc < 0)
		return rc;
	if (x->builds && value_depth(v, BSON_DEPTH_MAX) > BSON_DEPTH_MAX)
		return err_set(e, ERR_LIMIT, "the expression's result nests deeper than %d levels",
			       BSON_DEPTH_MAX);
	*out = v;
	return 0;
}

int expr_eval(const struct expr *x, struct eval *ev, struct slice root, struct value *out,
	      struct err *e)
{
	const struct node *n = x->root;
	if (!n->fn) {
		*out = n->constant;
		return 0;
	}
	struct expr_input in = { .root = root };
	return expr_eval_input(x, ev, &in, out, e);
}
