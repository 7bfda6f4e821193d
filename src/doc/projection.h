/* projection.h: a tree of paths that is laid over a document; $project, $addFields, $set, $unset and $unwind build one.
 *
 *	{ a: 1, "b.c": 1, "b.d": { $add: ["$x", 1] } }
 *
 *	root ─┬─ _id    keep          (unless excluded)
 *	      ├─ a      keep
 *	      └─ b ─┬─ c   keep
 *	            └─ d   compute 0
 *
 * Internal to the stages. Paths and the arena of what is built live as long as the projection.
 */
#ifndef DOC_PROJECTION_H
#define DOC_PROJECTION_H

#include "base/arena.h"
#include "doc/expr.h"

enum projection_mode {
	PROJECTION_INCLUDE, /* what is not named goes */
	PROJECTION_EXCLUDE, /* what is not named stays; nothing is computed */
	PROJECTION_ADD,     /* what is not named stays; fields are computed in place */
};

enum projection_kind { PROJECTION_KEEP, PROJECTION_DROP, PROJECTION_COMPUTE, PROJECTION_INNER };

struct projection_field {
	struct projection_field *next; /* in the order of the spec */
	struct slice name;
	enum projection_kind kind;
	size_t index; /* COMPUTE: which value */
	struct projection_node *inner;
	size_t number; /* among its siblings */
};

struct projection_node {
	struct projection_field *first, **last;
	struct projection_field **sorted; /* by name, once sealed */
	size_t n, kept;        /* fields; those kept or entered */
	bool computes;         /* here or below */
};

struct projection_value {
	struct expr *expr; /* NULL: the value is given by the caller */
	struct slice path;
};

struct projection {
	struct arena arena;
	enum projection_mode mode;
	struct projection_node root;
	struct projection_value *computed;
	size_t n_computed, cap_computed, n_paths;
};

/* An empty projection; paths are added, then it is sealed. NULL: out of memory. */
struct projection *projection_new(enum projection_mode mode);
void projection_free(struct projection *p);

/* Adds "a.b", which is kept or dropped. */
int projection_add(struct projection *p, struct slice path, enum projection_kind kind, struct err *e);

/* The same with a value: of the expression, which is taken over, or given at run time, in the order of adding. */
int projection_add_expr(struct projection *p, struct slice path, struct expr *expr, struct err *e);
int projection_add_value(struct projection *p, struct slice path, struct err *e);

int projection_seal(struct projection *p, struct err *e);

/* values: one for each value added. */
int projection_apply(const struct projection *p, struct eval *ev, struct slice doc,
		     const struct value *values, struct slice *out, struct err *e);

/* Evaluates the expressions, then applies it. */
int projection_run(const struct projection *p, struct eval *ev, struct slice doc, struct slice *out,
		   struct err *e);
void projection_explain(const struct projection *p, struct buf *out);

#endif
