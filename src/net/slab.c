#include "net/slab.h"

#include "base/mem.h"

void slab_pool_init(struct slab_pool *pool, size_t slab_bytes, uint32_t keep)
{
	*pool = (struct slab_pool){ .slab_bytes = slab_bytes, .keep = keep };
	mutex_init(&pool->lock);
}

static void free_slab(struct slab *s)
{
	(void)atomic_fetch_sub(&s->pool->bytes, s->cap);
	mem_free(s);
}

void slab_pool_done(struct slab_pool *pool)
{
	while (pool->free) {
		struct slab *s = pool->free;
		pool->free = s->next;
		free_slab(s);
	}
	ASSERT(atomic_load(&pool->bytes) == 0);
	mutex_done(&pool->lock);
}

static struct slab *make_slab(struct slab_pool *pool, size_t bytes)
{
	struct slab *s = mem_retry(NULL, sizeof(*s) + bytes); /* not zeroed: it is read into */
	if (!s)
		return NULL;
	s->pool = pool;
	s->cap = bytes;
	(void)atomic_fetch_add(&pool->bytes, bytes);
	return s;
}

int slab_pool_fill(struct slab_pool *pool)
{
	while (pool->n_free < pool->keep) {
		struct slab *s = make_slab(pool, pool->slab_bytes);
		if (!s)
			return ERR_NOMEM;
		s->next = pool->free;
		pool->free = s;
		pool->n_free++;
	}
	return 0;
}

struct slab *slab_get(struct slab_pool *pool, size_t bytes)
{
	struct slab *s = NULL;
	if (bytes <= pool->slab_bytes) {
		bytes = pool->slab_bytes;
		mutex_lock(&pool->lock);
		s = pool->free;
		if (s) {
			pool->free = s->next;
			pool->n_free--;
		}
		mutex_unlock(&pool->lock);
	}
	if (!s)
		s = make_slab(pool, bytes);
	if (!s)
		return NULL;
	s->next = NULL;
	atomic_init(&s->refs, 1);
	return s;
}

void slab_unref(struct slab *s)
{
	if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) > 1)
		return;
	struct slab_pool *pool = s->pool;
	bool keep = s->cap == pool->slab_bytes;
	if (keep) {
		mutex_lock(&pool->lock);
		keep = pool->n_free < pool->keep;
		if (keep) {
			s->next = pool->free;
			pool->free = s;
			pool->n_free++;
		}
		mutex_unlock(&pool->lock);
	}
	if (!keep)
		free_slab(s);
}
