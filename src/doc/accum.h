/* accum.h: accumulators as pure objects, for $group, windows and expressions.
 *
 *	accum_spec_compile({ $sum: "$x" }) ──▶ struct accum_spec     immutable, shared
 *	accum_new(spec) ──▶ struct accum ──add──add──▶ finish ──▶ value
 *	                          ▲ merge │ serialise / deserialise
 *
 * Merging the states of parts gives the state of the whole, in the order merged: $first, $push and the like follow
 * it; $sum and $avg keep exact sums of integers and doubles, so every cut of the input gives the same bits (decimals are
 * rounded to 34 digits at each step); $stdDev* merge their moments (equal but for rounding). $median and $percentile keep their values: exact.
 *
 * Thread: an accumulator belongs to one at a time.
 */
#ifndef DOC_ACCUM_H
#define DOC_ACCUM_H

#include "doc/eval.h"
#include "doc/expr.h"

#define ACCUM_MEMORY_MAX \
	(100u << 20) /* bytes one accumulator may hold unless its spec says otherwise */

struct accum_spec;
struct accum;

struct accum_options {
	struct expr_options expr; /* for the operands */
	size_t memory_max_bytes;  /* 0: ACCUM_MEMORY_MAX */
};

/* spec: { $sum: <expression> }. ERR_INVALID: 15952 unknown accumulator, 40238 not one, 40234 no object. */
int accum_spec_compile(struct value spec, const struct accum_options *o, struct accum_spec **out,
		       struct err *e);
void accum_spec_free(struct accum_spec *s);

int accum_new(const struct accum_spec *s, struct accum **out, struct err *e);
void accum_free(struct accum *a);
void accum_reset(struct accum *a); /* as new */

/* Evaluates the spec's operand on the document and adds it. Temporary values live in ev->arena. */
int accum_add_doc(struct accum *a, struct eval *ev, struct slice doc, struct err *e);

/* The same with what a caller knows already: $$ROOT, variables. */
int accum_add_input(struct accum *a, struct eval *ev, const struct expr_input *in, struct err *e);

/* Adds what `part` (of the same spec) has seen, behind what a has seen. part is unchanged. */
int accum_merge(struct accum *a, const struct accum *part, struct err *e);

/* The result so far, in ev->arena; the accumulator may go on. BSON_MISSING where MongoDB has missing. */
int accum_finish(const struct accum *a, struct eval *ev, struct value *out, struct err *e);

/* The state as bytes (a version byte first), and back into a new accumulator of the same spec. ERR_CORRUPT, ERR_VERSION. */
int accum_encode(const struct accum *a, struct buf *out, struct err *e);
int accum_decode(const struct accum_spec *s, struct slice bytes, struct accum **out, struct err *e);

size_t accum_bytes(const struct accum *a); /* memory held */

int accum_operators(int (*each)(void *arg, const char *name, const char *help), void *arg);

#endif
