#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static const struct mem_allocator libc_allocator = { malloc, realloc, free };
static const struct mem_allocator *allocator = &libc_allocator;

void mem_set_allocator(const struct mem_allocator *a)
{
	allocator = a ? a : &libc_allocator;
}

void *mem_try(size_t n)
{
	void *p = allocator->alloc(n ? n : 1);
	if (p)
		memset(p, 0, n);
	return p;
}

void *mem_try_array(size_t n, size_t size)
{
	size_t total;
	if (__builtin_mul_overflow(n, size, &total))
		return NULL;
	return mem_try(total);
}

void *mem_retry(void *p, size_t n)
{
	return allocator->realloc(p, n ? n : 1);
}

char *mem_strdup(const char *s)
{
	size_t n = strlen(s) + 1;
	char *p = allocator->alloc(n);
	if (p)
		memcpy(p, s, n);
	return p;
}

void mem_free(void *p)
{
	if (p)
		allocator->free(p);
}
