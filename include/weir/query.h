/* query.h: the document language by itself: a filter and a pipeline over any documents.
 *
 *	weir_query *q;
 *	weir_query_options o = { .size = sizeof o, .filter = weir_json("{ \"qty\": { \"$gt\": 5 } }") };
 *	weir_query_new(&o, &q, &e);
 *	weir_query_run(q, doc, print, NULL, &e);
 *
 * Filters are MongoDB's query language (all of it but $where, $text and the geo operators), pipelines the stages that look
 * at one document at a time: $match $project $addFields $set $unset $replaceRoot $replaceWith $redact $unwind, with
 * MongoDB's aggregation expressions. Unknown operators are errors when the query is made, with their place, never
 * "does not match".
 *
 * Thread: one at a time for each weir_query.
 */
#ifndef WEIR_QUERY_H
#define WEIR_QUERY_H

#include "weir/doc.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weir_query weir_query;

typedef struct weir_query_options {
	size_t size;
	weir_doc filter;   /* none: every document */
	weir_doc pipeline; /* an array of stages; none: documents come out as they are */
	int64_t now_ms;    /* what $$NOW is, ms since 1970; 0: the time of weir_query_new */
} weir_query_options;

/* INVALID with the place in filter or pipeline and MongoDB's number where it has one; FORMAT; UNSUPPORTED; LIMIT. */
WEIR_API int weir_query_new(const weir_query_options *options, weir_query **out, weir_error *e);
WEIR_API void weir_query_free(weir_query *q); /* NULL is fine */

/* Runs one document through and calls emit for each result (none or one; more after $unwind), borrowed for the call. A
 * non-zero return of emit stops and is returned. 0 done; INVALID, TYPE, LIMIT: an expression failed on this document;
 * FORMAT: doc is malformed. */
WEIR_API int weir_query_run(weir_query *q, weir_doc doc, int (*emit)(void *arg, weir_doc result), void *arg,
			    weir_error *e);

/* Appends the compiled form as text. */
WEIR_API int weir_query_explain(const weir_query *q, weir_buffer *out, weir_error *e);

/* Every operator of the language, from the tables that compile it. kind: "match", "expression", "accumulator", "stage" or
 * "update"; group: what belongs together ("comparison", "string", ...); help: one line. Static text. */
typedef struct weir_operator {
	const char *kind, *group, *name, *help;
} weir_operator;

WEIR_API int weir_query_operators(int (*each)(void *arg, const weir_operator *op), void *arg);

#ifdef __cplusplus
}
#endif

#endif
