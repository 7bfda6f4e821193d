/* arena.h: memory that follows the batch.
 *
 * Blocks are bumped through and never freed singly; arena_reset forgets everything but keeps the
 * blocks, so a warm arena allocates nothing. A mark lets a caller give back what came after it.
 *
 *	block ──▶ block ──▶ block
 *	[used....|free]     the current one is bumped; older ones are full
 *
 * Thread: one at a time.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/slice.h"

struct arena_block;

struct arena {
	struct arena_block *first, *cur;
	uint8_t *at, *end;  /* free space of cur */
	size_t total_bytes; /* in blocks held */
	size_t limit_bytes; /* 0: none; beyond it allocations fail */
};

#define ARENA_INIT \
	{ \
		NULL, NULL, NULL, NULL, 0, 0 \
	}

struct arena_mark {
	struct arena_block *cur;
	uint8_t *at;
};

void *arena_grow_(struct arena *a, size_t n);

/* 16-byte aligned, not zeroed; NULL when out of memory or over the limit. */
static inline void *arena_try(struct arena *a, size_t n)
{
	size_t need = (n + 15) & ~(size_t)15;
	if (likely(need >= n && (size_t)(a->end - a->at) >= need)) {
		void *p = a->at;
		a->at += need;
		return p;
	}
	return arena_grow_(a, n);
}

void *arena_try_array(struct arena *a, size_t n, size_t size);
/* Room for one more behind n of at most *cap elements: the array as it is, or a copy twice as long. NULL: none, and the
 * old one stays. */
void *arena_room(struct arena *a, void *array, size_t n, size_t *cap, size_t size);
void *arena_copy(struct arena *a, const void *p, size_t len); /* NULL when out of memory */
char *arena_strdup(struct arena *a, struct slice s);          /* adds a NUL */
struct arena_mark arena_mark(const struct arena *a);
void arena_rewind(struct arena *a, struct arena_mark m);
void arena_reset(struct arena *a); /* keeps the blocks */
void arena_done(struct arena *a);  /* frees them */
static inline void arena_auto(struct arena *a)
{
	arena_done(a);
}

#endif
