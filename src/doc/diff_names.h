/* diff_names.h: what diff.c and diff_apply.c share: a hash table of names, and names that are array indices.
 */
#ifndef DOC_DIFF_NAMES_H
#define DOC_DIFF_NAMES_H

#include "doc/bson.h"

/* From (level, name) to a pointer; one table serves many levels. Lives in the arena. */
struct names {
	struct arena *arena;
	struct name {
		const void *level;
		struct slice key;
		void *data;
	} *slots;
	size_t cap, count;
};

void *names_get(const struct names *t, const void *level, struct slice key);

/* Does nothing when the name is there. False: out of memory. */
bool names_add(struct names *t, const void *level, struct slice key, void *data);

/* "0", "17"; not "", "01", "1x". */
bool name_is_index(struct slice name);

/* The decimal text; returns its length. */
size_t index_text(uint32_t index, char out[12]);

#endif
