/* update_tree.h: what the files of update share: paths as a tree, and the operators at its leaves.
 *
 *	{ $set: { "a.b": 1, "a.c.$[]": 2 }, $inc: { n: 1 } }
 *
 *	root ─┬─ a ─┬─ b      $set 1
 *	      │     └─ c ── $[]   $set 2
 *	      └─ n      $inc 1
 *
 * The tree is built once; children stand in the order in which MongoDB works through them: indices by number, then
 * names by their bytes, then $. $[] and $[id] do not mix with those: what has elements is no document (error 40).
 * Applying is one walk through the document beside the tree: what no path touches is copied as bytes.
 *
 * Internal to update*.c.
 */
#ifndef DOC_UPDATE_TREE_H
#define DOC_UPDATE_TREE_H

#include "doc/match.h"
#include "doc/update.h"

struct update_op;
struct update_run;

/* ---- operators ---- */

enum update_result {
	UPDATE_KEEP,     /* as it was */
	UPDATE_VALUE,    /* the value */
	UPDATE_ELEMENTS, /* an array of the elements */
	UPDATE_REMOVE,
};

struct update_out {
	enum update_result kind;
	struct value value;
	const struct value *elements;
	size_t count;
};

/* Whether an operator makes the field (and the documents around it) where it is missing. */
enum update_creates { CREATES_NEVER, CREATES_ALWAYS, CREATES_ON_INSERT, CREATES_IF_RENAMED };

struct update_operator {
	const char *name, *group, *help;
	enum update_creates creates;
	/* Checks op->operand and prepares op->data; NULL: anything will do. */
	int (*compile)(struct update *u, struct update_op *op, struct err *e);
	/* old is BSON_MISSING where the field is not there. */
	int (*apply)(const struct update_op *op, struct update_run *run, struct value old,
		     struct update_out *out, struct err *e);
};

struct update_op {
	const struct update_operator *row;
	struct slice path;    /* as written, for messages */
	struct value operand; /* in the update's copy of the spec */
	void *data;           /* of the operator, in the update's arena */
};

/* Rows end with name NULL. */
extern const struct update_operator update_field_ops[], update_array_ops[];

/* ---- the tree ---- */

enum update_part { PART_INDEX, PART_NAME, PART_POSITIONAL, PART_ALL, PART_FILTER };

struct update_component {
	enum update_part kind;
	struct slice name;
	uint32_t index; /* PART_INDEX: the number that name spells; PART_FILTER: which filter */
};

struct update_node {
	struct update_component at;
	const struct update_op *op; /* a leaf */
	struct update_node **child; /* sorted */
	size_t n;
};

/* A path and what is done there, before the tree is built. */
struct update_leaf {
	struct update_component *parts;
	size_t n;
	struct update_op op;
};

struct update_filter {
	struct slice id;
	const char *roots[2]; /* { id, NULL } */
	struct match *match;
	bool used;
};

/* $rename: where the value comes from. */
struct update_rename {
	struct update_component *parts;
	size_t n;
	struct update_component *to;
	size_t n_to;
	struct slice path, to_path;
	size_t number;
};

struct update_positional {
	struct slice *parts; /* the path up to the array */
	size_t n;
	struct match *match; /* what the query says about the array's elements */
};

struct update {
	struct arena arena;
	struct slice spec;
	bool replacement;
	struct pipeline *pipeline;
	struct update_node *root;
	struct update_leaf *leaves; /* while compiling */
	size_t n_leaves, cap_leaves;
	struct update_filter *filters;
	size_t n_filters;
	struct slice query;
	struct update_positional *positional;
	struct update_rename **renames;
	size_t n_renames, cap_renames;
	struct match **matches; /* of $pull, to be freed */
	size_t n_matches, cap_matches;
};

struct update_run {
	const struct update *u;
	struct eval *ev;
	struct slice before;
	bool insert;
	uint32_t positional; /* the element that `$` stands for */
	struct slice positional_name;
	const struct value *renamed; /* the sources' values, one for each u->renames */
};

/* Splits a path. Empty parts, a `$` part in the first place and parts that begin with '$' otherwise are errors. */
int update_path_parse(struct update *u, struct slice path, struct update_component **parts, size_t *n,
		      struct err *e);

/* Adds a leaf; operand and path stay borrowed. */
int update_add(struct update *u, const struct update_operator *row, struct slice path,
	       struct value operand, struct update_leaf **out, struct err *e);

/* Sorts the leaves into u->root; paths that overlap are error 40. */
int update_tree_build(struct update *u, struct err *e);

/* Writes the after-image's fields into the open document of w. */
int update_tree_apply(struct update_run *run, struct bson_writer *w, struct err *e);

/* ---- positions (update_position.c) ---- */

int update_filters_compile(struct update *u, struct slice filters, struct err *e);
int update_filter_find(struct update *u, struct slice id, struct slice path, uint32_t *out, struct err *e);
int update_filters_all_used(const struct update *u, struct err *e);

/* Prepares `$` for the path whose parts up to the array are given. */
int update_positional_compile(struct update *u, const struct update_component *parts, size_t n,
			      struct err *e);
/* Finds run->positional for this document. */
int update_positional_find(struct update_run *run, struct err *e);

/* ---- shared by the operators ---- */

/* $rename: computes run->renamed. */
int update_renames_find(struct update_run *run, struct err *e);

#endif
