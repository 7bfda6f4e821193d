/* diff_names.c: open addressing; a slot is free while its data is NULL. */
#include "doc/diff_names.h"

#include <stdio.h>

static uint64_t name_hash(const void *level, struct slice key)
{
	uint64_t h = (uint64_t)(uintptr_t)level * UINT64_C(0x9e3779b97f4a7c15);
	for (size_t i = 0; i < key.len; i++)
		h = (h ^ key.p[i]) * UINT64_C(0x100000001b3);
	return h ^ h >> 29;
}

/* The slot that holds the name, or the free one where it belongs. */
static struct name *name_slot(const struct names *t, const void *level, struct slice key)
{
	size_t i = name_hash(level, key) & (t->cap - 1);
	while (t->slots[i].data && !(t->slots[i].level == level && slice_eq(t->slots[i].key, key)))
		i = (i + 1) & (t->cap - 1);
	return &t->slots[i];
}

void *names_get(const struct names *t, const void *level, struct slice key)
{
	return t->count ? name_slot(t, level, key)->data : NULL;
}

bool names_add(struct names *t, const void *level, struct slice key, void *data)
{
	if (t->count * 2 >= t->cap) {
		struct names bigger = { .arena = t->arena, .cap = t->cap ? t->cap * 2 : 32 };
		bigger.slots = arena_try_array(t->arena, bigger.cap, sizeof(*bigger.slots));
		if (!bigger.slots)
			return false;
		memset(bigger.slots, 0, bigger.cap * sizeof(*bigger.slots));
		for (size_t i = 0; i < t->cap; i++) {
			const struct name *n = &t->slots[i];
			if (n->data)
				*name_slot(&bigger, n->level, n->key) = *n;
		}
		t->slots = bigger.slots;
		t->cap = bigger.cap;
	}
	struct name *n = name_slot(t, level, key);
	if (!n->data) {
		*n = (struct name){ level, key, data };
		t->count++;
	}
	return true;
}

bool name_is_index(struct slice name)
{
	if (!name.len || (name.len > 1 && name.p[0] == '0'))
		return false;
	for (size_t i = 0; i < name.len; i++)
		if (name.p[i] < '0' || name.p[i] > '9')
			return false;
	return true;
}

size_t index_text(uint32_t index, char out[12])
{
	return (size_t)snprintf(out, 12, "%u", (unsigned)index);
}
