/* spec_place.h: where in a specification its compiler stands, for messages: "$or[1].a.b.$gt". Lives on the stack. */
#ifndef DOC_SPEC_PLACE_H
#define DOC_SPEC_PLACE_H

#include "base/slice.h"

struct spec_place {
	const struct spec_place *up;
	struct slice name; /* p NULL: index counts */
	uint32_t index;
};

static inline struct spec_place spec_element(const struct spec_place *up, uint64_t index)
{
	return (struct spec_place){ .up = up, .index = (uint32_t)index };
}

/* The last `parts` of it, the first ones as "...". Returns the length, 0 for none. */
size_t spec_place_text(const struct spec_place *at, unsigned parts, char *out, size_t cap);

#endif
