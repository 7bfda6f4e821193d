/* diff_apply.c: an update description applied to the image before it.
 *
 * The description becomes a tree of paths, because one walk through the document then does everything:
 *
 *	{updatedFields: {"a.b": 1, c: 2}, removedFields: ["a.d"], truncatedArrays: [{field: "a.e", newSize: 1}]}
 *
 *	root ─┬─ a ─┬─ b  set 1
 *	      │     ├─ d  removed
 *	      │     └─ e  size 1
 *	      └─ c  set 2
 *
 * Whether a part of a path is an index or a name is decided by the value it meets. diff.c says how moved
 * top-level fields are recognised.
 */
#include "doc/diff.h"

#include <stdlib.h>

#include "doc/compare.h"
#include "doc/diff_names.h"

#define PAD_MAX 1500000 /* nulls put between an array's end and a new element */

/* ---- the description as a tree of paths ---- */

struct node {
	struct node *parent, *first, **last, *next;
	struct slice name;
	uint32_t index;     /* the number that name spells, where it has to */
	size_t count;       /* children */
	struct value value; /* SET */
	int64_t size;       /* TRUNCATE; -1: none */
	bool set, removed;
	bool seen;             /* the document had the field */
	bool moved;            /* see diff.c, "Order" */
	const uint8_t *before; /* where the field stood, for that */
};

struct patch {
	struct arena arena;
	struct names index; /* (parent, name or index) to node */
	struct node root;
	struct slice disambiguated;
};

/* Indices are kept under their decimal text: an array has no other names, and where the text alone
 * is given the document decides what it means. */
static struct node *child_get(const struct patch *p, const struct node *parent, struct slice key)
{
	if (parent->count > 8)
		return names_get(&p->index, parent, key);
	for (struct node *n = parent->first; n; n = n->next)
		if (slice_eq(n->name, key))
			return n;
	return NULL;
}

static struct node *child_make(struct patch *p, struct node *parent, struct slice key)
{
	struct node *n = child_get(p, parent, key);
	if (n)
		return n;
	n = arena_try(&p->arena, sizeof(*n));
	if (!n)
		return NULL;
	*n = (struct node){ .parent = parent, .size = -1, .name = key };
	n->last = &n->first;
	if (!parent->last)
		parent->last = &parent->first;
	*parent->last = n;
	parent->last = &n->next;
	parent->count++;
	return names_add(&p->index, parent, key, n) ? n : NULL;
}

/* The node of a path given as components. */
static int node_of_components(struct patch *p, struct slice array, struct node **out, struct err *e)
{
	struct node *n = &p->root;
	struct bson_iter it;
	bson_iter_init(&it, array);
	for (size_t depth = 0; bson_next(&it); depth++) {
		struct slice key = value_slice(it.value);
		if (depth >= BSON_DEPTH_MAX)
			return err_set(e, ERR_LIMIT, "a path has more than %d parts",
				       BSON_DEPTH_MAX);
		if (it.value.type == BSON_INT32 && it.value.i64 >= 0) {
			char digits[12];
			size_t len = index_text((uint32_t)it.value.i64, digits);
			key = (struct slice){ arena_copy(&p->arena, digits, len), len };
			if (!key.p)
				return err_nomem(e);
		} else if (it.value.type != BSON_STRING) {
			return err_set(e, ERR_INVALID,
				       "disambiguatedPaths: a part is neither a name nor an index");
		}
		n = child_make(p, n, key);
		if (!n)
			return err_nomem(e);
	}
	*out = n;
	return 0;
}

static int node_of_path(struct patch *p, struct slice text, struct node **out, struct err *e)
{
	if (p->disambiguated.len) {
		struct value v = bson_get(p->disambiguated, text);
		if (v.type == BSON_ARRAY)
			return node_of_components(p, value_slice(v), out, e);
	}
	struct node *n = &p->root;
	size_t depth = 0;
	for (struct slice rest = text;; depth++) {
		const uint8_t *dot = rest.len ? memchr(rest.p, '.', rest.len) : NULL;
		struct slice key = { rest.p, dot ? (size_t)(dot - rest.p) : rest.len };
		if (depth >= BSON_DEPTH_MAX)
			return err_set(e, ERR_LIMIT, "a path has more than %d parts",
				       BSON_DEPTH_MAX);
		n = child_make(p, n, key);
		if (!n)
			return err_nomem(e);
		if (!dot)
			break;
		rest = slice_of(dot + 1, rest.len - key.len - 1);
	}
	*out = n;
	return 0;
}

static int read_updated(struct patch *p, struct value fields, struct err *e)
{
	struct bson_iter it;
	bson_iter_init(&it, value_slice(fields));
	while (bson_next(&it)) {
		struct node *n;
		int rc = node_of_path(p, it.key, &n, e);
		if (rc < 0)
			return rc;
		n->set = true;
		n->value = it.value;
	}
	return 0;
}

static int read_removed(struct patch *p, struct value list, struct err *e)
{
	struct bson_iter it;
	bson_iter_init(&it, value_slice(list));
	while (bson_next(&it)) {
		struct node *n;
		if (it.value.type != BSON_STRING)
			return err_set(e, ERR_INVALID, "removedFields: not a list of paths");
		int rc = node_of_path(p, value_slice(it.value), &n, e);
		if (rc < 0)
			return rc;
		n->removed = true;
	}
	return 0;
}

static int read_truncated(struct patch *p, struct value list, struct err *e)
{
	struct bson_iter it;
	bson_iter_init(&it, value_slice(list));
	while (bson_next(&it)) {
		struct node *n;
		struct value field = VALUE_MISSING, size = VALUE_MISSING;
		if (it.value.type == BSON_DOCUMENT) {
			field = bson_get_str(value_slice(it.value), "field");
			size = bson_get_str(value_slice(it.value), "newSize");
		}
		if (field.type != BSON_STRING ||
		    (size.type != BSON_INT32 && size.type != BSON_INT64) || size.i64 < 0)
			return err_set(
				e, ERR_INVALID,
				"truncatedArrays: expected {field: <path>, newSize: <number>}");
		int rc = node_of_path(p, value_slice(field), &n, e);
		if (rc < 0)
			return rc;
		n->size = size.i64;
	}
	return 0;
}

static int read_description(struct patch *p, struct slice description, struct err *e)
{
	static const struct {
		const char *name;
		uint8_t type;
		int (*read)(struct patch *, struct value, struct err *);
	} parts[] = {
		{ "updatedFields", BSON_DOCUMENT, read_updated },
		{ "removedFields", BSON_ARRAY, read_removed },
		{ "truncatedArrays", BSON_ARRAY, read_truncated },
	};
	struct value v = bson_get_str(description, "disambiguatedPaths");
	if (v.type == BSON_DOCUMENT)
		p->disambiguated = value_slice(v);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		v = bson_get_str(description, parts[i].name);
		if (v.type == BSON_MISSING || v.type == BSON_NULL)
			continue;
		if (v.type != parts[i].type)
			return err_set(e, ERR_INVALID, "updateDescription.%s is a %s",
				       parts[i].name, bson_type_name(v.type));
		int rc = parts[i].read(p, v, e);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* ---- the walk ---- */

static int apply_value(struct patch *p, struct node *n, struct slice key, struct value before,
		       struct bson_writer *w, struct err *e);

/* A field that the document does not have. Only what is set comes into being. */
static int apply_new(struct patch *p, struct node *n, struct slice key, struct bson_writer *w,
		     struct err *e)
{
	if (n->set)
		return apply_value(p, n, key, n->value, w, e);
	bool sets = false;
	for (struct node *c = n->first; c && !sets; c = c->next)
		sets = c->set || c->first;
	if (!sets)
		return 0;
	bson_begin_doc(w, key);
	for (struct node *c = n->first; c; c = c->next) {
		int rc = apply_new(p, c, c->name, w, e);
		if (rc < 0)
			return rc;
	}
	bson_end(w);
	return 0;
}

/* Finds the top-level fields that moved to the end. */
static void mark_moved(struct patch *p, struct slice before)
{
	struct bson_iter it;
	bson_iter_init(&it, before);
	while (bson_next(&it)) {
		struct node *n = child_get(p, &p->root, it.key);
		if (!n || n->before)
			continue;
		n->before = it.raw.p;
		n->moved = n->set && value_identical(n->value, it.value);
	}
	const uint8_t *last = NULL;
	bool moving = false;
	for (struct node *n = p->root.first; n; n = n->next) {
		if (!n->set)
			continue;
		moving |= n->moved || !n->before || (last && n->before < last);
		n->moved = moving && n->before;
		last = n->before;
	}
}

static int apply_doc(struct patch *p, struct node *n, struct slice before, struct bson_writer *w,
		     struct err *e)
{
	struct bson_iter it;
	int rc = 0;
	bson_iter_init(&it, before);
	while (rc == 0 && bson_next(&it)) {
		struct node *c = child_get(p, n, it.key);
		if (!c) {
			bson_put_raw(w, it.raw);
		} else if (!c->moved) {
			c->seen = true;
			rc = apply_value(p, c, it.key, it.value, w, e);
		}
	}
	for (struct node *c = n->first; rc == 0 && c; c = c->next)
		if (!c->seen)
			rc = apply_new(p, c, c->name, w, e);
	return rc;
}

static int index_of(struct slice key, uint32_t *out)
{
	uint32_t v = 0;
	if (!name_is_index(key) || key.len > 9)
		return ERR_INVALID;
	for (size_t i = 0; i < key.len; i++)
		v = v * 10 + (uint32_t)(key.p[i] - '0');
	*out = v;
	return 0;
}

static int by_index(const void *a, const void *b)
{
	uint32_t x = (*(struct node *const *)a)->index, y = (*(struct node *const *)b)->index;
	return x < y ? -1 : x > y;
}

/* New elements come in the order of their index, with nulls where there are gaps. */
static int apply_appended(struct patch *p, struct node *n, uint32_t len, struct bson_writer *w,
			  struct err *e)
{
	struct node **sorted = arena_try_array(&p->arena, n->count + 1, sizeof(*sorted));
	size_t count = 0;
	if (!sorted)
		return err_nomem(e);
	for (struct node *c = n->first; c; c = c->next) {
		if (index_of(c->name, &c->index) < 0)
			return err_number(e, ERR_INVALID, 28,
					  "cannot change field '" SLICE_FMT "' of an array",
					  SLICE_ARG(c->name));
		if (c->index < len || !(c->set || c->first))
			continue;
		sorted[count++] = c;
	}
	qsort(sorted, count, sizeof(*sorted), by_index);
	for (size_t i = 0; i < count; i++) {
		if (sorted[i]->index - len > PAD_MAX)
			return err_set(e, ERR_LIMIT,
				       "element %u lies too far beyond the array's end",
				       (unsigned)sorted[i]->index);
		for (; len < sorted[i]->index; len++)
			bson_put_null(w, SLICE_NONE);
		int rc = apply_new(p, sorted[i], SLICE_NONE, w, e);
		if (rc < 0)
			return rc;
		len++;
	}
	return 0;
}

static int apply_array(struct patch *p, struct node *n, struct slice before, struct bson_writer *w,
		       struct err *e)
{
	struct bson_iter it;
	uint32_t i = 0;
	bson_iter_init(&it, before);
	for (; (n->size < 0 || i < n->size) && bson_next(&it); i++) {
		char digits[12];
		size_t len = index_text((uint32_t)i, digits);
		struct node *c = n->first ? child_get(p, n, slice_of(digits, len)) : NULL;
		int rc = 0;
		if (!c)
			bson_put(w, SLICE_NONE, it.value);
		else if (c->removed && !c->set)
			bson_put_null(w, SLICE_NONE);
		else
			rc = apply_value(p, c, SLICE_NONE, it.value, w, e);
		if (rc < 0)
			return rc;
	}
	return n->first ? apply_appended(p, n, i, w, e) : 0;
}

static int apply_value(struct patch *p, struct node *n, struct slice key, struct value before,
		       struct bson_writer *w, struct err *e)
{
	struct value v = n->set ? n->value : before;
	if (n->removed && !n->set)
		return 0;
	if (!n->first && n->size < 0) {
		bson_put(w, key, v);
		return 0;
	}
	if (v.type == BSON_ARRAY) {
		bson_begin_array(w, key);
		int rc = apply_array(p, n, value_slice(v), w, e);
		bson_end(w);
		return rc;
	}
	if (v.type != BSON_DOCUMENT || n->size >= 0)
		return err_number(e, ERR_INVALID, 28,
				  "the description does not fit: '" SLICE_FMT "' is a %s",
				  SLICE_ARG(key), bson_type_name(v.type));
	bson_begin_doc(w, key);
	int rc = apply_doc(p, n, value_slice(v), w, e);
	bson_end(w);
	return rc;
}

int diff_apply(struct slice before, struct slice description, struct buf *out, struct err *e)
{
	struct patch p = { .arena = ARENA_INIT, .root.size = -1 };
	size_t start = out->len;
	p.index.arena = &p.arena;
	int rc = read_description(&p, description, e);
	if (rc == 0) {
		struct bson_writer w;
		bson_writer_init(&w, out);
		mark_moved(&p, before);
		rc = apply_doc(&p, &p.root, before, &w, e);
		if (rc == 0)
			rc = bson_finish(&w, e);
	}
	if (rc < 0)
		out->len = start;
	arena_done(&p.arena);
	return rc;
}
