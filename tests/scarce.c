#include "tests/scarce.h"

#include "base/mem.h"

#include <stdlib.h>

static struct {
	long calls, fail_at;
	bool for_ever;
} heap;

static bool may_allocate(void)
{
	heap.calls++;
	return !heap.fail_at ||
	       (heap.for_ever ? heap.calls < heap.fail_at : heap.calls != heap.fail_at);
}

static void *scarce_alloc(size_t n)
{
	return may_allocate() ? malloc(n) : NULL;
}

static void *scarce_realloc(void *p, size_t n)
{
	return may_allocate() ? realloc(p, n) : NULL;
}

static const struct mem_allocator scarce = { scarce_alloc, scarce_realloc, free };

void scarce_begin(void)
{
	scarce_fail(0, false);
	mem_set_allocator(&scarce);
}

void scarce_fail(long nth, bool for_ever)
{
	heap.calls = 0;
	heap.fail_at = nth;
	heap.for_ever = for_ever;
}

long scarce_calls(void)
{
	return heap.calls;
}

void scarce_end(void)
{
	mem_set_allocator(NULL);
}
