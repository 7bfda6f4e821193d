/* filter.h: what a stream lets pass: scope, filter and the leading $match stages, on the raw entry; then the rest of
 * the pipeline, on the event.
 *
 *	entry ─▶ scope ─▶ filter ─▶ leading $match ─▶ (event is built) ─▶ other stages ─▶ out
 *	         └────────── no event is built for what stops here ─────┘
 *
 * In filter and leading $match the short names (db, database, coll, collection) are fields, and operations may be
 * called by their older names (change_op_alias): the query is translated before it is compiled.
 *
 * Thread: one at a time.
 */
#ifndef CHANGE_FILTER_H
#define CHANGE_FILTER_H

#include "change/entry.h"
#include "doc/match.h"
#include "doc/pipeline.h"

struct filter {
	struct slice db, coll; /* scope; copies; empty: any */
	char *names;           /* where the copies are */
	uint32_t ns_hash;
	struct match *query, *lead; /* NULL: all pass */
	struct pipeline *rest;      /* NULL: the event as it is */
	uint64_t used;              /* bits of enum entry_field that query and lead read */
	bool show_noops;
};

/* spec: a query document; stages: an array document; both may be empty. Copies what it needs. Errors of match_compile
 * and pipeline_compile with "filter: " or "pipeline: " in front. */
int filter_init(struct filter *f, struct slice db, struct slice coll, struct slice spec,
		struct slice stages, struct err *e);
void filter_done(struct filter *f);

/* By the header alone: false when the entry cannot be in scope. */
static inline bool filter_may_pass(const struct filter *f, const struct entry *n)
{
	if (n->op == CHANGE_NOOP)
		return f->show_noops;
	return !f->coll.len || n->ns_hash == f->ns_hash || n->op == CHANGE_RENAME ||
	       n->op == CHANGE_DROP_DATABASE;
}

bool filter_in_scope(const struct filter *f, const struct entry *n, const struct value *v);

/* 1, 0, negative: filter and leading $match on the fields v. */
int filter_matches(const struct filter *f, struct eval *ev, const struct value *v, struct err *e);

/* Translates a query: see above. */
int filter_translate(struct slice spec, struct buf *out, struct err *e);

#endif
