/* eval.h: what evaluating a compiled match, expression, stage or update needs besides the
 * document.
 *
 * Compiled objects are immutable and may be shared by threads; a struct eval is one thread's
 * scratch. Its arena holds intermediate and resulting values until the caller resets it; once
 * warm, evaluation allocates nothing.
 *
 *	struct eval ev;
 *	eval_init(&ev);
 *	for each document { eval_reset(&ev); match_doc(m, &ev, doc, e); }
 *	eval_done(&ev);
 */
#ifndef DOC_EVAL_H
#define DOC_EVAL_H

#include "doc/bson.h"

#define EVAL_MEMORY_DEFAULT (100u << 20) /* bytes one evaluation may hold in the arena */
#define EVAL_STEPS_DEFAULT  50000000u    /* operator evaluations of one document */

struct eval {
	struct arena arena;
	int64_t now_ms; /* $$NOW, in ms since 1970; 0: what needs it raises ERR_UNSUPPORTED */
	uint64_t rand;  /* state of $rand, $sampleRate; never 0 */
	uint64_t steps, steps_max; /* beyond it: ERR_LIMIT */
	void *regex_data;          /* owned by regex.c, which sets regex_free with it */
	void (*regex_free)(void *);
	void *vars; /* owned by expr.c, which sets vars_free with it */
	void (*vars_free)(void *);
	struct buf scratch; /* for whoever is at work; empty between calls */
};

void eval_init(struct eval *ev);
void eval_reset(struct eval *ev); /* before each document: forgets values, counts steps anew */
void eval_done(struct eval *ev);

/* Raises what a failed allocation from the arena means: ERR_LIMIT (146) when its limit is near, else ERR_NOMEM. */
int eval_nomem(const struct eval *ev, struct err *e);

#endif
