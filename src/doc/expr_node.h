/* expr_node.h: the inside of expressions, shared by expr.c and the operators' files.
 *
 * A compiled expression is a tree of nodes in one arena. Evaluation is a function pointer a node:
 *
 *	node ──fn──▶ reads its arguments' nodes, the frame of variables, the document; sets *out
 *
 * Most operators are strict: op_strict() evaluates all arguments and calls the row's `apply` with the values. Lazy
 * ones ($cond, $and, ...) and those that bind variables bring their own fn. A constant node has no fn.
 *
 * Values that an operator makes live in the evaluation's arena. Arrays and objects are gathered as vectors of values
 * and written as BSON in one pass, when they are complete.
 *
 * Cost: each node evaluated counts one step, and strict operators count one more for every 64 bytes of their arguments,
 * so work is bounded by ev->steps_max whatever the operator does with them.
 */
#ifndef DOC_EXPR_NODE_H
#define DOC_EXPR_NODE_H

#include "doc/bson.h"
#include "doc/compare.h"
#include "doc/decimal.h"
#include "doc/eval.h"
#include "doc/expr.h"
#include "doc/timezone.h"

#include <inttypes.h>

struct node;
struct expr_op;

/* One evaluation under way. */
struct expr_env {
	struct eval *ev;
	const struct expr_input *in;
	struct slice current; /* where field paths start */
	struct value *vars;   /* the frame: caller's variables first, then by nesting */
};

/* 0 and *out, or negative. */
typedef int expr_fn(const struct node *x, struct expr_env *env, struct value *out, struct err *e);

/* Strict: v holds x->n values; BSON_MISSING for a named argument that was not given. */
typedef int expr_apply(const struct node *x, struct expr_env *env, const struct value *v,
		       struct value *out, struct err *e);

struct compile;
typedef int expr_compile_fn(struct compile *c, const struct expr_op *op, struct value spec,
			    struct node **out, struct err *e);

struct expr_param {
	const char *name;
	int missing; /* the number of the error when it is not given; 0: optional */
};

#define EXPR_PARAMS_MAX  12
#define EXPR_FRAME_SMALL 16 /* variables without an allocation */

enum expr_flags {
	EXPR_NULL = 1,     /* any null, undefined or missing argument: null, before `apply` */
	EXPR_VOLATILE = 2, /* never a constant ($rand) */
};

/* One row an operator. Positional arguments: min to max of them (max < 0: any number). With params: an object of named
 * arguments. With compile: the operator reads its spec itself. */
struct expr_op {
	const char *name;
	const char *group;
	const char *help;
	expr_apply *apply;
	expr_fn *fn; /* instead of apply: lazy */
	expr_compile_fn *compile;
	const struct expr_param *params; /* ends with a NULL name */
	int min, max;
	int object_number,
		unknown_number; /* with params: not an object; an argument of another name */
	unsigned flags;
	int arg; /* the operator's own: which of several that share a function */
};

struct node {
	expr_fn *fn; /* NULL: a constant */
	const struct expr_op *op;
	struct node **arg; /* NULL entries: named arguments not given */
	uint32_t n;
	uint32_t slot;            /* variables: the slot read, or the first one bound */
	const struct slice *path; /* components; or the keys of an object's fields */
	uint32_t path_len;
	struct value constant;
	void *extra; /* the operator's own, in the expression's arena */
};

/* Patterns compiled with the expression. */
struct regex;
struct expr_regex {
	struct regex *regex;
	struct expr_regex *next;
};

struct expr {
	struct arena arena;
	struct expr_regex *regexes;
	struct timezone_cache zones; /* of constant time zones */
	struct node *root;
	uint32_t slots; /* size of the frame */
	uint32_t caller_vars;
	const char *const *roots; /* copied */
	uint32_t n_roots;
	uint64_t roots_used;
	bool builds; /* makes arrays or objects: results are checked for depth */
};

/* ---- evaluating ---- */

int expr_steps_exceeded(struct err *e);

static inline int env_step(struct expr_env *env, uint64_t n, struct err *e)
{
	env->ev->steps += n;
	return likely(env->ev->steps <= env->ev->steps_max) ? 0 : expr_steps_exceeded(e);
}

static inline int node_eval(const struct node *x, struct expr_env *env, struct value *out,
			    struct err *e)
{
	if (!x->fn) {
		*out = x->constant;
		return 0;
	}
	if (unlikely(++env->ev->steps > env->ev->steps_max))
		return expr_steps_exceeded(e);
	return x->fn(x, env, out, e);
}

/* An argument that may not have been given: then BSON_MISSING. */
static inline int node_eval_opt(const struct node *x, struct expr_env *env, struct value *out,
				struct err *e)
{
	if (x)
		return node_eval(x, env, out, e);
	*out = VALUE_MISSING;
	return 0;
}

static inline bool value_nullish(struct value v)
{
	return v.type == BSON_NULL || v.type == BSON_MISSING || v.type == BSON_UNDEFINED;
}

/* int32, or int64 when it does not fit. */
static inline struct value value_int(int64_t v)
{
	return v >= INT32_MIN && v <= INT32_MAX ? value_int32((int32_t)v) : value_int64(v);
}

static inline struct value value_decimal(struct dec128 d)
{
	return (struct value){ .type = BSON_DECIMAL128, .dec = d };
}

double value_to_double(struct value v);         /* a number of any type */
struct dec128 value_to_decimal(struct value v); /* a number of any type; doubles with 15 digits */
bool value_to_int64_exact(struct value v, int64_t *out); /* a number that is integral and fits */

static inline bool value_to_int32_exact(struct value v, int32_t *out)
{
	int64_t i;
	if (!value_is_number(v) || !value_to_int64_exact(v, &i) || i < INT32_MIN || i > INT32_MAX)
		return false;
	*out = (int32_t)i;
	return true;
}

/* "string", "int", ... as messages name types. */
static inline const char *value_type_name(struct value v)
{
	return bson_type_name(v.type);
}

/* Memory of the evaluation; NULL: env_nomem() says whether it was the limit. */
static inline void *env_alloc(struct expr_env *env, size_t n)
{
	return arena_try(&env->ev->arena, n);
}
int env_nomem(struct expr_env *env, struct err *e);

/* ---- building values in an arena ---- */

struct values {
	struct value *v;
	size_t n, cap;
};

int values_grow(struct expr_env *env, struct values *s, struct err *e);
static inline int values_add(struct expr_env *env, struct values *s, struct value v, struct err *e)
{
	if (unlikely(s->n == s->cap)) {
		int rc = values_grow(env, s, e);
		if (rc < 0)
			return rc;
	}
	s->v[s->n++] = v;
	return 0;
}
int values_of_array(struct expr_env *env, struct value array, struct values *s,
		    struct err *e); /* appends */

struct field {
	struct slice key;
	struct value value;
};
struct fields {
	struct field *f;
	size_t n, cap;
};
int fields_add(struct expr_env *env, struct fields *s, struct slice key, struct value v,
	       struct err *e);
int fields_of_doc(struct expr_env *env, struct slice doc, struct fields *s,
		  struct err *e); /* appends */

/* Of equal keys the last value wins, in the first place. */
int fields_unique(struct expr_env *env, struct fields *s, struct err *e);

int build_array(struct expr_env *env, const struct value *v, size_t n, struct value *out,
		struct err *e); /* missing: null */
int build_doc(struct expr_env *env, const struct field *f, size_t n, struct value *out,
	      struct err *e); /* missing: left out */
int build_string(struct expr_env *env, struct slice s, struct value *out,
		 struct err *e); /* copies */

size_t array_length(struct value array);
unsigned value_depth(struct value v,
		     unsigned max); /* containers nested in it; stops counting beyond max */
int value_copy(struct arena *a, struct value v, struct value *out); /* ERR_NOMEM */

/* ---- compiling ---- */

struct compile {
	struct expr *x;
	const struct expr_options *o;
	struct scope *scope;
	uint32_t n_vars; /* slots in use here */
	uint32_t depth, nodes;
	struct buf place;     /* "$project.a.$add[1]" */
	char fail_place[200]; /* where the first error was */
	bool failed;
	struct eval ev; /* for folding constants */
};

struct scope {
	struct slice name;
	uint32_t slot;
	struct scope *up;
};

int compile_value(struct compile *c, struct value spec, struct node **out, struct err *e);
/* The same below a step of the place: ".input", "[2]". */
int compile_at(struct compile *c, const char *step, struct value spec, struct node **out,
	       struct err *e);
int compile_at_index(struct compile *c, size_t i, struct value spec, struct node **out,
		     struct err *e);
/* A node with room for n arguments. NULL: out of memory or too many. */
struct node *compile_node(struct compile *c, expr_fn *fn, const struct expr_op *op, uint32_t n);
struct node *compile_constant(struct compile *c, struct value v); /* v is not copied */
/* The end of an operator's compile: folds x when every argument is constant and it depends on nothing else. */
int compile_finish(struct compile *c, struct node *x, struct node **out, struct err *e);
/* Binds a variable from here to compile_unbind(); checks the name. */
int compile_bind(struct compile *c, struct slice name, bool allow_current, uint32_t *slot,
		 struct err *e);
void compile_unbind(struct compile *c, uint32_t n);
int compile_positional(struct compile *c, const struct expr_op *op, struct value spec,
		       struct node **out, struct err *e);
int compile_named(struct compile *c, const struct expr_op *op, struct value spec, struct node **out,
		  struct err *e);

static inline void *compile_alloc(struct compile *c, size_t n)
{
	return arena_try(&c->x->arena, n);
}

expr_fn op_strict;

/* What nodes that are no operators do. */
expr_fn node_path, node_root_path, node_current, node_virtual_path, node_virtual_root, node_var,
	node_now, node_object, node_array;

/* ---- the tables ---- */

struct expr_table {
	const struct expr_op *op;
	size_t n;
};

extern const struct expr_table expr_arith_ops, expr_math_ops, expr_compare_ops, expr_cond_ops,
	expr_array_ops, expr_array_more_ops, expr_set_ops, expr_object_ops, expr_string_ops,
	expr_string_more_ops, expr_regex_ops, expr_date_ops, expr_date_more_ops, expr_convert_ops,
	expr_accum_ops, expr_hash_ops, expr_json_ops, expr_misc_ops;

const struct expr_op *expr_op_find(struct slice name);
const char *expr_op_suggest(struct slice name); /* the nearest operator, or NULL */

#endif
