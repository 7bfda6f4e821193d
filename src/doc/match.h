/* match.h: MongoDB's query language, compiled once, evaluated without allocating.
 *
 * Semantics: reference is MongoDB's server (null and missing, arrays, type bracketing). Unknown operators and bad
 * operands are errors at compile time, with their place ("a.b.$in[2]: ..."), never "does not match".
 *
 * Virtual roots. A caller whose documents do not exist as BSON (a change event that is still a raw log entry)
 * names its top-level fields at compile time; the first component of every path is then an index into an array of
 * values that the caller fills, and no document is built to be matched:
 *
 *	static const char *const fields[] = { "operationType", "ns", "documentKey", NULL };
 *	match_compile(spec, &(struct match_options){ .roots = fields }, &m, e);
 *	struct value v[3] = { ... };
 *	match_roots(m, &ev, v, e);
 */
#ifndef DOC_MATCH_H
#define DOC_MATCH_H

#include "doc/eval.h"

#define MATCH_DEPTH_MAX 100   /* nesting of operators in a spec */
#define MATCH_FIELDS_MAX 200000   /* different fields, those above nested ones included */
#define MATCH_BITS_MAX  (1 << 20) /* bit positions of one $bits operator */

struct match;

struct match_options {
	const char *const *roots;   /* NULL: real documents. Else names of the virtual fields, NULL at the end */
};

/* spec: a validated document; copied. Errors: ERR_INVALID with the path in the spec, MongoDB's number in e->number,
 * and "did you mean" for misspelt operators; ERR_UNSUPPORTED ($where, $text, geo); ERR_LIMIT; ERR_NOMEM. */
int match_compile(struct slice spec, const struct match_options *o, struct match **out, struct err *e);
void match_free(struct match *m);

/* 1 matches, 0 does not, negative: $expr failed on this document, a regular expression hit its limit, ERR_LIMIT. */
int match_doc(const struct match *m, struct eval *ev, struct slice doc, struct err *e);
int match_roots(const struct match *m, struct eval *ev, const struct value *roots, struct err *e);

/* One value against one operator document or literal, as in $pull and $elemMatch on scalars: { $gt: 3 }, 5, /x/. */
int match_value_compile(struct value spec, struct match **out, struct err *e);
int match_value(const struct match *m, struct eval *ev, struct value v, struct err *e);

/* True when the match accepts every document. */
bool match_is_all(const struct match *m);

/* Bit i set: root i (or, for real documents, nothing) is read by the match. Roots beyond 63 set bit 63. */
uint64_t match_roots_used(const struct match *m);

/* The compiled form as text, for `--explain`. */
void match_explain(const struct match *m, struct buf *out);

/* Every operator by group, for help and the manual. A non-zero return of each stops and is returned. */
int match_operators(int (*each)(void *arg, const char *name, const char *group, const char *help), void *arg);

#endif
