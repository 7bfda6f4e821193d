/* pipeline.h: the stateless stages, compiled once: $match $project $addFields $set $unset $replaceRoot
 * $replaceWith $redact $unwind. One table row a stage (pipeline.c).
 */
#ifndef DOC_PIPELINE_H
#define DOC_PIPELINE_H

#include "doc/eval.h"

#define PIPELINE_STAGES_MAX 1000

struct pipeline;

enum pipeline_context {
	PIPELINE_PLAIN,             /* all stateless stages */
	PIPELINE_CHANGE_STREAM,     /* $unwind and others: error 20 "... is not permitted in a $changeStream pipeline" */
};

struct pipeline_options {
	enum pipeline_context context;
	struct slice let;           /* {x: <expression>, ...}: $$x in all stages; computed once, each may use those before
	                               it; number 4890500 when one reads a field. Empty: none */
};

/* stages: a validated BSON array document ("0": {...}, "1": {...}); copied. Errors as match_compile's; an unknown
 * stage is number 40324, with a suggestion. */
int pipeline_compile(struct slice stages, const struct pipeline_options *o, struct pipeline **out, struct err *e);
void pipeline_free(struct pipeline *p);

/* Runs one document through and calls emit for each result (0 or 1; more after $unwind). The result lives in
 * ev->arena until eval_reset. A non-zero return of emit stops and is returned. 0 done, negative error. */
typedef int pipeline_emit(void *arg, struct slice doc, struct err *e);
int pipeline_run(const struct pipeline *p, struct eval *ev, struct slice doc, pipeline_emit *emit, void *arg,
		 struct err *e);

/* The leading $match stages as one filter (NULL when the first stage is none), so that a caller can evaluate them
 * before it builds the document: the filter's spec is {$and: [...]} or the single spec. Borrowed. */
struct slice pipeline_leading_match(const struct pipeline *p);

/* A stateless stage of this name exists. */
bool pipeline_stage_known(struct slice name);

/* Every stage, for help and the manual. A non-zero return of each stops and is returned. */
int pipeline_stages(int (*each)(void *arg, const char *name, const char *group, const char *help), void *arg);

size_t pipeline_stage_count(const struct pipeline *p);
void pipeline_explain(const struct pipeline *p, struct buf *out);

#endif
