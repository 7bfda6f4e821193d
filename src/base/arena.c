#include "base/arena.h"

#include "base/mem.h"

enum { ARENA_FIRST = 4096, ARENA_BLOCK_MAX = 1 << 20 };

struct arena_block {
	struct arena_block *next;
	size_t cap;
	_Alignas(16) uint8_t data[];
};

static void use(struct arena *a, struct arena_block *b)
{
	a->cur = b;
	a->at = b->data;
	a->end = b->data + b->cap;
}

void *arena_grow_(struct arena *a, size_t n)
{
	size_t need = (n + 15) & ~(size_t)15;
	if (need < n)
		return NULL;
	/* After a reset the next blocks are empty and may be big enough; a block too small for
	 * this one request is skipped and comes back into use at the next reset. */
	for (struct arena_block *b = a->cur ? a->cur->next : NULL; b; b = b->next) {
		if (b->cap < need)
			continue;
		use(a, b);
		return arena_try(a, n);
	}
	size_t cap = a->cur ? MIN(a->cur->cap * 2, (size_t)ARENA_BLOCK_MAX) : ARENA_FIRST;
	if (cap < need)
		cap = need;
	if (a->limit_bytes &&
	    (a->total_bytes > a->limit_bytes || cap > a->limit_bytes - a->total_bytes)) {
		cap = need;
		if (a->total_bytes > a->limit_bytes || cap > a->limit_bytes - a->total_bytes)
			return NULL;
	}
	struct arena_block *b = mem_retry(NULL, sizeof(*b) + cap);
	if (!b)
		return NULL;
	b->cap = cap;
	b->next = NULL;
	struct arena_block **tail = a->cur ? &a->cur->next : &a->first;
	while (*tail)
		tail = &(*tail)->next;
	*tail = b;
	a->total_bytes += cap;
	use(a, b);
	return arena_try(a, n);
}

void *arena_try_array(struct arena *a, size_t n, size_t size)
{
	size_t total;
	if (__builtin_mul_overflow(n, size, &total))
		return NULL;
	return arena_try(a, total);
}

void *arena_room(struct arena *a, void *array, size_t n, size_t *cap, size_t size)
{
	if (n < *cap)
		return array;
	size_t more = *cap ? *cap * 2 : 8;
	void *p = arena_try_array(a, more, size);
	if (!p)
		return NULL;
	if (n)
		memcpy(p, array, n * size);
	*cap = more;
	return p;
}

void *arena_copy(struct arena *a, const void *p, size_t len)
{
	void *q = arena_try(a, len);
	if (q && len)
		memcpy(q, p, len);
	return q;
}

char *arena_strdup(struct arena *a, struct slice s)
{
	char *q = arena_try(a, s.len + 1);
	if (!q)
		return NULL;
	if (s.len)
		memcpy(q, s.p, s.len);
	q[s.len] = '\0';
	return q;
}

struct arena_mark arena_mark(const struct arena *a)
{
	return (struct arena_mark){ a->cur, a->at };
}

void arena_rewind(struct arena *a, struct arena_mark m)
{
	if (!m.cur) {
		arena_reset(a);
		return;
	}
	a->cur = m.cur;
	a->at = m.at;
	a->end = m.cur->data + m.cur->cap;
}

void arena_reset(struct arena *a)
{
	if (a->first)
		use(a, a->first);
}

void arena_done(struct arena *a)
{
	for (struct arena_block *b = a->first; b;) {
		struct arena_block *next = b->next;
		mem_free(b);
		b = next;
	}
	*a = (struct arena)ARENA_INIT;
}
