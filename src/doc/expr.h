/* expr.h: MongoDB's aggregation expressions, compiled once, evaluated without allocating from the heap.
 *
 *	"$a.b"  "$$NOW"  { $add: ["$a", 1] }  { x: "$a", y: [1, "$b"] }  5
 *
 * A spec is any value: a string that starts with '$' is a field path or a variable, an object whose first key starts
 * with '$' is an operator, other objects and arrays are built from their members, everything else is itself. What
 * does not depend on the document is computed when the spec is compiled (and fails there). Unknown operators, wrong
 * arity and unknown argument names are errors at compile time, with their place and a suggestion.
 *
 *	struct expr *x;
 *	rc = expr_compile(spec, NULL, &x, e);
 *	rc = expr_eval(x, &ev, doc, &v, e);       // v may be BSON_MISSING; lives in doc, x or ev->arena
 *	expr_free(x);
 *
 * The operators stand in tables, one row each (expr_*.c); expr_operators() lists them.
 *
 * Virtual roots are match.h's: options.roots names the top-level fields, expr_input.roots holds their values.
 *
 * Thread: a compiled expression is immutable; any number of threads may evaluate it, each with its own struct eval.
 */
#ifndef DOC_EXPR_H
#define DOC_EXPR_H

#include "doc/eval.h"

#define EXPR_DEPTH_MAX 100    /* nesting of operators, objects and arrays in a spec */
#define EXPR_NODES_MAX 200000 /* operators, paths and constants in a spec */
#define EXPR_VARS_MAX  1000   /* variables visible at one place of a spec */

struct expr;

struct expr_options {
	const char *place; /* where the spec stands, for messages: "$project.a"; NULL: nowhere */
	const char *const *
		roots; /* NULL: real documents. Else names of the virtual fields, NULL at the end */
	const char *const
		*vars; /* the caller's variables ($$name), e.g. of `let`; NULL at the end */
	bool redact; /* $$DESCEND, $$PRUNE and $$KEEP exist: the strings "descend", "prune", "keep" */
};

/* What an evaluation reads. Unused parts stay zero. */
struct expr_input {
	struct slice
		root; /* $$ROOT; and $$CURRENT, which field paths start from, unless current is set */
	struct slice current;      /* p NULL: root */
	const struct value *roots; /* options.roots: their values, in that order, instead of root */
	const struct value *vars;  /* options.vars: their values, in that order */
};

/* spec is copied. Errors: ERR_INVALID (ERR_TYPE and others where a constant part fails) with the place in the spec and
 * MongoDB's number in e->number; ERR_UNSUPPORTED ($function, $meta, ...); ERR_LIMIT; ERR_NOMEM. */
int expr_compile(struct value spec, const struct expr_options *o, struct expr **out, struct err *e);
void expr_free(struct expr *x);

/* 0 and *out, or negative: the values do not suit the operator (ERR_TYPE, ERR_INVALID; e->number), ERR_LIMIT (steps,
 * memory, depth), ERR_NOMEM. */
int expr_eval(const struct expr *x, struct eval *ev, struct slice root, struct value *out,
	      struct err *e);
int expr_eval_input(const struct expr *x, struct eval *ev, const struct expr_input *in,
		    struct value *out, struct err *e);

/* MongoDB's truth: false, 0 of any type, null, undefined and missing are false; everything else is true. */
bool value_truth(struct value v);

/* ---- looking inside ---- */

/* True when the value is known: *out (may be NULL) gets it. */
bool expr_is_constant(const struct expr *x, struct value *out);

/* "$a.b": true and the components when x is nothing but a path from the document. */
bool expr_is_field_path(const struct expr *x, const struct slice **components, size_t *n);

/* Bit i set: virtual root i is read (all bits: $$ROOT as a whole). Roots beyond 63 set bit 63. */
uint64_t expr_roots_used(const struct expr *x);

/* The compiled form as text, for --explain. */
void expr_explain(const struct expr *x, struct buf *out);

/* Every operator in alphabetical order, for help and the manual. A non-zero return of each stops and is returned. */
int expr_operators(int (*each)(void *arg, const char *name, const char *group, const char *help),
		   void *arg);

#endif
