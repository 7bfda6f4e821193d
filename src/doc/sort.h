/* sort.h: sort orders ({ a: 1, "b.c": -1 }) over values and documents: a stable merge sort in the evaluation's arena.
 *
 * A path that meets an array sorts by its least element when ascending, by its greatest when descending; missing sorts
 * as null.
 */
#ifndef DOC_SORT_H
#define DOC_SORT_H

#include "doc/eval.h"

#define SORT_KEYS_MAX 32

struct sort_key {
	struct slice *path;
	uint32_t n;
	bool descending;
};

/* No keys: the values themselves. */
struct sort_order {
	struct sort_key *key;
	uint32_t n;
	bool descending;
};

/* spec: 1, -1 or a document of them; what it needs is taken from a. ERR_INVALID number 15974 and others. */
int sort_compile(struct value spec, struct arena *a, struct sort_order *out, struct err *e);

/* What document v sorts by, key i: the least or greatest value that its path leads to; null of none. */
struct value sort_key_value(const struct sort_order *o, uint32_t i, struct value v);

/* By the keys, each of which may be an array along its path. */
int sort_compare(const struct sort_order *o, struct value a, struct value b);

int sort_values(const struct sort_order *o, struct eval *ev, struct value *v, size_t n,
		struct err *e);

/* Indices into what arg knows. compare gets pointers to two of them. */
int sort_indices(struct eval *ev, uint32_t *index, size_t n,
		 int (*compare)(const void *a, const void *b, void *arg), void *arg, struct err *e);

#endif
