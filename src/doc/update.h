/* update.h: MongoDB's update operators, replacement documents and update pipelines: before-image in, after-image out. */
#ifndef DOC_UPDATE_H
#define DOC_UPDATE_H

#include "doc/eval.h"

struct update;

struct update_options {
	struct slice array_filters;   /* BSON array of filter documents; empty: none */
	struct slice query;           /* the query that chose the document, for the positional $; empty: none */
};

/* spec: a document of operators ({$set: ...}) or a replacement document; or, as an array document with
 * is_pipeline, stages. Copied. */
int update_compile(struct slice spec, bool is_pipeline, const struct update_options *o, struct update **out,
		   struct err *e);
void update_free(struct update *u);
bool update_is_replacement(const struct update *u);

/* Appends the after-image to out. The _id of before is kept; changing it is error 66 (ImmutableField).
 * upsert_insert: $setOnInsert applies (before is then the document made from the query). */
int update_apply(const struct update *u, struct eval *ev, struct slice before, bool upsert_insert, struct buf *out,
		 struct err *e);

/* Every update operator, for help and the manual. A non-zero return of each stops and is returned. */
int update_operators(int (*each)(void *arg, const char *name, const char *group, const char *help), void *arg);

#endif
