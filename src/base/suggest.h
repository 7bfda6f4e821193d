/* suggest.h: "did you mean": the known name that a misspelt word most likely stands for. */
#ifndef BASE_SUGGEST_H
#define BASE_SUGGEST_H

#include "base/slice.h"

#define SUGGEST_WORD_MAX 64 /* longer words get no suggestion */

/* The name nearest to word by edit distance (a wrong, missing, extra or swapped letter counts one; case counts
 * nothing), or NULL when none is near: at most a third of the word's length may differ, and one letter of words
 * below six. The first wins among equals. names ends in NULL. Allocates nothing. */
const char *suggest(const char *word, const char *const *names);

/* The same step by step, for tables whose rows hold more than names:
 *
 *	struct suggestion s = SUGGESTION_INIT;
 *	for each row: suggest_add(&s, word, row->name);
 *	if (s.name) ...
 */
struct suggestion {
	const char *name;
	size_t distance;
};

#define SUGGESTION_INIT \
	{ \
		NULL, 0 \
	}

void suggest_add(struct suggestion *s, struct slice word, const char *name);

#endif
