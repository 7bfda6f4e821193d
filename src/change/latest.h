/* latest.h: where in the log each document was last written: the index of latest documents.
 *
 * It maps (collection, 128-bit keyed hash of _id) to the offset of an entry. Two documents with one hash are not
 * expected before the heat death (a billion documents: one chance in 10^20); yet who looks one up reads its entry anyway
 * and compares the _id, so an answer is never another document. Nothing of a document is kept: 24 bytes a slot, at
 * most three quarters of the slots used.
 *
 * Collections have numbers. Dropping a collection retires its number, renaming moves it, so neither touches the slots;
 * slots of retired collections are left out when the table grows.
 *
 * Bounded. When the table would need more than its limit it gives its memory back and is `full`: from then on there
 * is no answer (ERR_LIMIT), which is better than a wrong one. Nothing is evicted: an index with holes could not tell
 * "never written" from "forgotten".
 *
 * Pure: no I/O. Thread: one at a time (lookup.c has the lock).
 */
#ifndef CHANGE_LATEST_H
#define CHANGE_LATEST_H

#include "base/err.h"
#include "base/slice.h"

#define LATEST_OFFSET_BITS 40 /* a trillion entries */
#define LATEST_COLLS_MAX   (1u << 20)
#define LATEST_NONE        UINT32_MAX

struct latest_hash {
	uint64_t a, b;
};

struct latest_slot {
	struct latest_hash hash;
	uint64_t where; /* collection's number << 40 | offset; all ones: free */
};

struct latest_coll {
	char *name;         /* "db" NUL "coll" */
	size_t db_len, len; /* of name without its last NUL */
	uint32_t ns_hash;
	uint32_t number; /* LATEST_NONE: retired, or not chosen */
	bool chosen;
};

struct latest {
	struct latest_slot *slots;
	size_t cap, used; /* cap is a power of two, or 0 */
	struct latest_coll *colls;
	size_t n_colls, cap_colls;
	uint32_t *by_hash; /* open addressing over colls by ns_hash: index + 1, 0 free */
	size_t cap_by_hash;
	bool *live; /* by collection number */
	uint32_t n_numbers, cap_numbers;
	const char *const *patterns; /* borrowed */
	size_t bytes_max;
	bool full;
};

void latest_init(struct latest *l, const char *const *patterns, size_t bytes_max);
void latest_done(struct latest *l);
size_t latest_bytes(const struct latest *l);

/* "*", "db.*", "db.coll"; NULL patterns: everything. */
bool latest_chosen(const char *const *patterns, struct slice db, struct slice coll);

/* *number gets the collection's number, LATEST_NONE when it has none (not seen or not chosen) and create is false. */
int latest_coll(struct latest *l, struct slice db, struct slice coll, bool create, uint32_t *number,
		struct err *e);

/* The document's slot, or NULL. */
struct latest_slot *latest_get(const struct latest *l, uint32_t coll, struct latest_hash hash);

static inline uint64_t latest_offset(const struct latest_slot *s)
{
	return s->where & ((UINT64_C(1) << LATEST_OFFSET_BITS) - 1);
}

void latest_move(struct latest_slot *s, uint64_t offset); /* the same document, written again */
/* A document that is not in the table. ERR_NOMEM; a table that is full says 0 and drops it. */
int latest_add(struct latest *l, uint32_t coll, struct latest_hash hash, uint64_t offset,
	       struct err *e);
void latest_remove(struct latest *l, struct latest_slot *s);

void latest_drop(struct latest *l, struct slice db, struct slice coll);
void latest_drop_database(struct latest *l, struct slice db);
int latest_rename(struct latest *l, struct slice db, struct slice coll, struct slice to_db,
		  struct slice to_coll, struct err *e);

#endif
