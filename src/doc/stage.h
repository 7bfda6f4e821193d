/* stage.h: the contract between pipeline.c and the stages (stage_*.c). Internal to them.
 *
 * A stage is compiled from its specification into a struct stage of its own (base first), and turns one document into
 * one or none; $unwind into many. Results are built in eval.scratch and copied into the arena; since evaluating an
 * expression or a match may use scratch too, a stage evaluates first and writes then.
 */
#ifndef DOC_STAGE_H
#define DOC_STAGE_H

#include "doc/expr.h"
#include "doc/match.h"
#include "doc/pipeline.h"

struct stage;

/* Where the documents of a stage go: the stages after it, and emit at the end. */
struct stage_next {
	const struct pipeline *p;
	size_t stage; /* the first of those after */
	pipeline_emit *emit;
	void *arg;
};

int stage_pass(const struct stage_next *next, struct eval *ev, struct slice doc, struct err *e);

/* What a stage is compiled in. */
struct stage_env {
	const char *name; /* as the specification calls the stage */
	struct slice let; /* the caller's variables, {x: {$literal: 20}}; empty: none */
};

struct stage_ops {
	const char *name, *group, *help;
	bool in_change_stream; /* allowed there */
	/* spec lives as long as the pipeline. 0 and *out, or negative. */
	int (*compile)(struct value spec, const struct stage_env *env, struct stage **out, struct err *e);
	/* One document to one: 1 and *out (the document itself, or one in ev->arena), 0 dropped, negative. */
	int (*run)(const struct stage *s, struct eval *ev, struct slice doc, struct slice *out, struct err *e);
	/* Or one to many, through stage_pass; then run is NULL. A non-zero return ends the pipeline. */
	int (*spread)(const struct stage *s, struct eval *ev, struct slice doc,
		      const struct stage_next *next, struct err *e);
	void (*explain)(const struct stage *s, struct buf *out);
	void (*release)(struct stage *s);
};

struct stage {
	const struct stage_ops *ops;
};

extern const struct stage_ops stage_match, stage_project, stage_add_fields, stage_set, stage_unset,
	stage_replace_root, stage_replace_with, stage_redact, stage_unwind;

/* Closes the writer's document that starts at `start` of ev->scratch, moves it into the arena, empties scratch. */
int stage_finish(struct bson_writer *w, struct eval *ev, size_t start, struct slice *out, struct err *e);

/* ---- the caller's variables (stage_let.c) ---- */

/* expr_compile, with the variables in sight. */
int stage_expr_compile(const struct stage_env *env, struct value spec,
		       const struct expr_options *o, struct expr **out, struct err *e);

/* Computes `let` into what stage_env.let wants. */
int stage_let_compile(struct slice let, struct buf *vars, struct err *e);

/* Copies the stages, with the variables put into every $expr of a $match. */
int stage_let_rewrite(struct slice stages, struct slice vars, struct buf *out, struct err *e);

/* Checks a dotted path: 40352 empty, 9 an empty part, 16410 a part that begins with '$'. */
int stage_path_check(struct slice path, struct err *e);

#endif
