/* accum_state.h: what accumulators keep: values of their own, lists, sets, the n best.
 *
 * Values are copied to the heap, since they outlive the documents they came from. Every state counts its bytes in
 * `bytes` and refuses to grow beyond a limit.
 */
#ifndef DOC_ACCUM_STATE_H
#define DOC_ACCUM_STATE_H

#include "doc/compare.h"
#include "doc/expr_node.h"
#include "doc/sort.h"

struct meter {
	const char *op; /* for the message */
	size_t bytes, max_bytes;
};

/* ERR_LIMIT number 146 when it would exceed the limit. */
int meter_add(struct meter *m, size_t bytes, struct err *e);
static inline void meter_sub(struct meter *m, size_t bytes)
{
	m->bytes -= bytes;
}

/* A copy on the heap; old (may be missing) is freed only when the copy is made. */
int own_replace(struct meter *m, struct value *slot, struct value v, struct err *e);
void own_free(struct meter *m, struct value *slot); /* and sets it to missing */

struct list {
	struct value *v;
	size_t n, cap;
};

int list_add(struct meter *m, struct list *l, struct value v, struct err *e); /* copies */
void list_done(struct meter *m, struct list *l);

/* Distinct values in the order they came. */
struct set_state {
	struct list member;
	uint32_t *slot; /* position + 1; 0: free */
	size_t size;    /* of slot: a power of two, or 0 */
};

int set_state_add(struct meter *m, struct set_state *s, struct value v, struct err *e);
void set_state_done(struct meter *m, struct set_state *s);

/* The first n of a stable order (from_end: the last n). Candidates gather behind the kept ones until twice as many are
 * there; then all are sorted and the rest is dropped. */
struct ranked {
	struct value *v; /* pairs: key, value; the key is the value itself unless has_key */
	size_t n, cap;   /* in entries */
	size_t keep;
	const struct sort_order *order; /* NULL: by the values */
	bool descending, from_end, has_key;
};

int ranked_add(struct meter *m, struct ranked *r, struct value key, struct value v, struct err *e);
int ranked_settle(struct meter *m, struct ranked *r, struct err *e); /* sorts, drops */
void ranked_done(struct meter *m, struct ranked *r);

#endif
