#include "doc/spec_place.h"

#include "base/base.h"

#include <stdio.h>

size_t spec_place_text(const struct spec_place *at, unsigned parts, char *out, size_t cap)
{
	if (!at)
		return 0;
	if (parts == 0)
		return (size_t)snprintf(out, cap, "...");
	size_t n = spec_place_text(at->up, parts - 1, out, cap);
	if (n + 1 >= cap)
		return n;
	int k = at->name.p ? snprintf(out + n, cap - n, "%s" SLICE_FMT, n ? "." : "",
				      (int)MIN(at->name.len, 64), (const char *)at->name.p)
			   : snprintf(out + n, cap - n, "[%u]", at->index);
	return MIN(n + (size_t)MAX(k, 0), cap - 1);
}
