/* slab.h: counted runs of bytes that a connection reads into and others may keep.
 *
 *	recv ─▶ | packet | packet | packet | pack    the next read goes on behind it
 *	          ▲        ▲
 *	          └ views of whoever holds a reference: nothing is copied, nothing moves
 *
 * A pool keeps a few slabs of its own size for the next reads; what exceeds that, and every slab of another size, goes
 * back to the heap with its last reference.
 *
 * Thread: any. Bytes are written by the one that reads the connection, always behind what it has shown to others.
 */
#ifndef NET_SLAB_H
#define NET_SLAB_H

#include "base/err.h"
#include "os/thread.h"

#include <stdatomic.h>

struct slab {
	struct slab_pool *pool;
	struct slab *next; /* in the pool */
	atomic_uint refs;
	size_t cap;
	uint8_t p[];
};

struct slab_pool {
	struct mutex lock; /* guards free, n_free */
	struct slab *free;
	uint32_t n_free, keep;
	size_t slab_bytes;
	atomic_size_t bytes; /* of all slabs that exist */
};

void slab_pool_init(struct slab_pool *pool, size_t slab_bytes, uint32_t keep);
/* Has as many as it keeps from now on; they take address space until they are used. ERR_NOMEM. */
int slab_pool_fill(struct slab_pool *pool);
void slab_pool_done(struct slab_pool *pool); /* all slabs have come back */

/* At least `bytes`, uninitialised, with one reference; NULL when out of memory. */
struct slab *slab_get(struct slab_pool *pool, size_t bytes);
void slab_unref(struct slab *s); /* NULL is fine */

static inline struct slab *slab_ref(struct slab *s)
{
	(void)atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

/* Somebody else has a view of it. Pairs with the release in slab_unref: once false, their reads are over. */
static inline bool slab_shared(struct slab *s)
{
	return atomic_load_explicit(&s->refs, memory_order_acquire) > 1;
}

static inline bool slab_has(const struct slab *s, const uint8_t *p)
{
	return (uintptr_t)p - (uintptr_t)s->p < s->cap;
}

#endif
