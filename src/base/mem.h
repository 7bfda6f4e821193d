/* mem.h: the only door to the heap.
 *
 * The library uses mem_try and returns ERR_NOMEM when it fails. The allocator is a table so that a test can fail the
 * k-th allocation.
 *
 * Thread: any. mem_set_allocator only before the first allocation, or in a single-threaded test.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include "base/base.h"

struct mem_allocator {
	void *(*alloc)(size_t n); /* uninitialised; NULL when it fails */
	void *(*realloc)(void *p, size_t n);
	void (*free)(void *p);
};

void mem_set_allocator(const struct mem_allocator *a); /* NULL: malloc's again */

void *mem_try(size_t n);                    /* zeroed; NULL when out of memory; n may be 0 */
void *mem_try_array(size_t n, size_t size); /* the same with an overflow check */
void *mem_retry(void *p, size_t n);         /* realloc: contents beyond the old size undefined */
char *mem_strdup(const char *s);            /* NULL when out of memory */
void mem_free(void *p);                     /* NULL is fine */

#endif
