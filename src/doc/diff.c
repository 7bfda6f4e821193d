/* diff.c: what changed between two images of a document, and the change applied again.
 *
 * diff_docs walks both images side by side. A level whose fields stand in the same order (apart from
 * removed ones, and new ones at the end) is compared field by field; documents and arrays on both
 * sides are entered, anything else is one updated field. Changes are collected in a list, because the
 * four parts of the description are written one after the other:
 *
 *	before {a: 1, b: {c: 1, d: [1, 2, 3]}, e: 5}
 *	after  {a: 1, b: {c: 2, d: [1]}, f: 6}
 *	  set "b.c" 2 -> truncate "b.d" 1 -> remove "e" -> set "f" 6
 *
 * Arrays: elements are compared by index; a shorter array is truncated, elements past the old end
 * are set. Where that would say more than the new array is long (elements shifted), the array is
 * reported whole.
 *
 * Order. A description is a map of paths and has no words for "moved". A document below the top whose
 * fields changed places is therefore reported whole. At the top there is no parent to report; there
 * the fields from the first one out of place onward are listed with their values in the new order,
 * changed or not. Whoever applies the description as plain assignments gets the right values;
 * diff_apply also gets the order right, by this rule: a top-level field that is listed although its
 * value is the same, or listed after a field that stood behind it or after a new one, is moved to the
 * end, and so is every existing top-level field listed after it.
 *
 * Ambiguity. A key that contains dots, or looks like an array index, gives paths whose text reads
 * two ways: their components go into disambiguatedPaths. If two fields could give the same text ("a.b"
 * beside {a: {b}}), the shorter one is reported whole, so that no text ever occurs twice.
 *
 * Names are taken to be unique within a document; of repeated names the first counts.
 */
#include "doc/diff.h"

#include <stdio.h>
#include <stdlib.h>

#include "doc/compare.h"

#define PATH_DEPTH_MAX (BSON_DEPTH_MAX + 1)
#define PAD_MAX        1500000 /* nulls put between an array's end and a new element */

/* ---- a table from (level, name) to a number ---- */

struct names {
	struct arena *arena;
	struct name {
		const void *level;
		struct slice key;
		void *data;
	} * slots;
	size_t cap, count;
};

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

static void *names_get(const struct names *t, const void *level, struct slice key)
{
	return t->count ? name_slot(t, level, key)->data : NULL;
}

/* Does nothing when the name is there. False: out of memory. */
static bool names_add(struct names *t, const void *level, struct slice key, void *data)
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

/* ---- paths ---- */

struct component {
	struct slice name; /* empty for an index: the number counts */
	uint32_t index;
	bool is_index;
};

struct path {
	struct component at[PATH_DEPTH_MAX + 1];
	size_t depth;
	struct buf text;
};

static size_t path_push(struct path *p, struct component c)
{
	size_t mark = p->text.len;
	ASSERT(p->depth <= PATH_DEPTH_MAX);
	if (p->depth)
		buf_add_byte(&p->text, '.');
	if (c.is_index) {
		char digits[12];
		int n = snprintf(digits, sizeof(digits), "%u", (unsigned)c.index);
		buf_add(&p->text, digits, (size_t)n);
	} else {
		buf_add_slice(&p->text, c.name);
	}
	p->at[p->depth++] = c;
	return mark;
}

static void path_pop(struct path *p, size_t mark)
{
	p->text.len = mark;
	p->depth--;
}

/* "0", "17"; not "", "01", "1x". */
static bool looks_like_index(struct slice s)
{
	if (!s.len || (s.len > 1 && s.p[0] == '0'))
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	return true;
}

static bool path_ambiguous(const struct path *p)
{
	for (size_t i = 0; i < p->depth; i++) {
		const struct component *c = &p->at[i];
		if (c->is_index)
			continue;
		if (memchr(c->name.p, '.', c->name.len) || (i > 0 && looks_like_index(c->name)))
			return true;
	}
	return false;
}

/* ---- collecting the changes ---- */

enum change_kind { CHANGE_SET, CHANGE_REMOVE, CHANGE_TRUNCATE };

struct change {
	struct change *next;
	enum change_kind kind;
	struct slice path;
	struct value value;           /* SET: the new value, TRUNCATE: the new size */
	struct component *components; /* where the path is ambiguous */
	size_t n_components;
};

struct differ {
	struct arena arena;
	struct change *first, **last;
	struct path path;
	size_t cost; /* roughly the bytes that the changes take in a description */
	bool failed; /* out of memory */
};

static void differ_done(struct differ *d)
{
	buf_done(&d->path.text);
	arena_done(&d->arena);
}

static size_t value_bytes(struct value v)
{
	switch (v.type) {
	case BSON_STRING:
	case BSON_SYMBOL:
	case BSON_CODE:
	case BSON_BINARY: return v.len + 5u;
	case BSON_DOCUMENT:
	case BSON_ARRAY:
	case BSON_REGEX:
	case BSON_DBPOINTER:
	case BSON_CODE_W_SCOPE: return v.len;
	case BSON_INT32: return 4;
	case BSON_DECIMAL128: return 16;
	default: return 8;
	}
}

static void add(struct differ *d, enum change_kind kind, struct value v)
{
	struct change *c = arena_try(&d->arena, sizeof(*c));
	struct slice text = buf_slice(&d->path.text);
	const void *copy = arena_copy(&d->arena, text.p, text.len);
	if (!c || !copy || d->path.text.failed) {
		d->failed = true;
		return;
	}
	*c = (struct change){ .kind = kind, .path = { copy, text.len }, .value = v };
	if (path_ambiguous(&d->path)) {
		c->n_components = d->path.depth;
		c->components =
			arena_copy(&d->arena, d->path.at, d->path.depth * sizeof(d->path.at[0]));
		d->failed |= !c->components;
	}
	d->cost += text.len + 2 + value_bytes(v);
	*d->last = c;
	d->last = &c->next;
}

/* ---- comparing ---- */

static void diff_value(struct differ *d, struct value before, struct value after);

/* A place in the list of changes to go back to. */
struct mark {
	struct change **last;
	size_t cost;
};

static struct mark mark_here(const struct differ *d)
{
	return (struct mark){ d->last, d->cost };
}

static void go_back(struct differ *d, struct mark m)
{
	d->last = m.last;
	*d->last = NULL;
	d->cost = m.cost;
}

static void diff_array(struct differ *d, struct value before, struct value after)
{
	struct mark m = mark_here(d);
	struct bson_iter b, a;
	bson_iter_init(&b, value_slice(before));
	bson_iter_init(&a, value_slice(after));
	bool more_b = bson_next(&b), more_a = bson_next(&a);
	uint32_t i = 0;
	for (; more_b && more_a; i++, more_b = bson_next(&b), more_a = bson_next(&a)) {
		if (value_identical(b.value, a.value))
			continue;
		size_t p = path_push(&d->path, (struct component){ .index = i, .is_index = true });
		diff_value(d, b.value, a.value);
		path_pop(&d->path, p);
	}
	for (; more_a; i++, more_a = bson_next(&a)) {
		size_t p = path_push(&d->path, (struct component){ .index = i, .is_index = true });
		add(d, CHANGE_SET, a.value);
		path_pop(&d->path, p);
	}
	bool edited = d->last != m.last;
	if (more_b)
		add(d, CHANGE_TRUNCATE, value_int32((int32_t)i));
	if (edited && d->cost - m.cost > d->path.text.len + 2 + after.len) {
		go_back(d, m);
		add(d, CHANGE_SET, after);
	}
}

/* How the fields of the new level stand to those of the old one:
 *
 *	kept prefix, in the old order | tail: only new fields, or `moved`
 */
struct level {
	struct slice before, after;
	struct names index;    /* of before; built at the first mismatch */
	size_t prefix;         /* fields of after before the tail */
	const uint8_t *tail;   /* where the tail starts in after */
	bool moved;            /* the tail holds fields that before has too */
	bool dots_known, dots; /* a name holds a dot */
};

/* Where a field of before starts; the pointers are ordered as the fields are. */
static const uint8_t *find_field(struct differ *d, struct level *l, struct slice key)
{
	if (!l->index.count) {
		l->index.arena = &d->arena;
		struct bson_iter it;
		bson_iter_init(&it, l->before);
		while (bson_next(&it))
			if (!names_add(&l->index, NULL, it.key, (void *)(uintptr_t)it.raw.p))
				d->failed = true;
	}
	return names_get(&l->index, NULL, key);
}

static void level_order(struct differ *d, struct level *l)
{
	struct bson_iter b, a;
	bson_iter_init(&b, l->before);
	bson_iter_init(&a, l->after);
	const uint8_t *last = NULL;
	bool in_step = true;
	while (bson_next(&a) && !d->failed) {
		if (in_step && !bson_next(&b)) {
			l->tail = a.raw.p; /* all of before was kept; the rest is new */
			return;
		}
		in_step = in_step && slice_eq(a.key, b.key);
		if (in_step) {
			last = b.raw.p;
			l->prefix++;
			continue;
		}
		const uint8_t *at = find_field(d, l, a.key);
		if (!l->tail && at && (!last || at > last)) {
			last = at;
			l->prefix++;
			continue;
		}
		if (!l->tail)
			l->tail = a.raw.p;
		if (at)
			l->moved = true;
	}
}

/* Whether the text of a path below `key` could be that of another field of this level. */
static bool text_collides(struct level *l, struct slice key)
{
	const struct slice docs[] = { l->before, l->after };
	if (l->dots_known && !l->dots)
		return false;
	bool collides = false;
	l->dots_known = true;
	for (size_t i = 0; i < ARRAY_LEN(docs); i++) {
		struct bson_iter it;
		bson_iter_init(&it, docs[i]);
		while (bson_next(&it)) {
			l->dots |= memchr(it.key.p, '.', it.key.len) != NULL;
			if (it.key.len > key.len && it.key.p[key.len] == '.' &&
			    memcmp(it.key.p, key.p, key.len) == 0)
				collides = true;
		}
	}
	return collides;
}

static void diff_field(struct differ *d, struct level *l, struct slice key, struct value before,
		       struct value after, bool whole)
{
	bool both = (before.type == BSON_DOCUMENT || before.type == BSON_ARRAY) &&
		    before.type == after.type;
	size_t p = path_push(&d->path, (struct component){ .name = key });
	if (both && !whole && !text_collides(l, key))
		diff_value(d, before, after);
	else
		add(d, CHANGE_SET, after);
	path_pop(&d->path, p);
}

static void report_removed(struct differ *d, const struct level *l)
{
	struct names after = { .arena = &d->arena };
	struct bson_iter b, a;
	bson_iter_init(&a, l->after);
	while (bson_next(&a) && !d->failed)
		d->failed |= !names_add(&after, NULL, a.key, (void *)(uintptr_t)a.raw.p);
	bson_iter_init(&b, l->before);
	while (bson_next(&b) && !d->failed) {
		if (names_get(&after, NULL, b.key))
			continue;
		size_t p = path_push(&d->path, (struct component){ .name = b.key });
		add(d, CHANGE_REMOVE, VALUE_NULL);
		path_pop(&d->path, p);
	}
}

/* The value that a kept field had: before's fields are passed in step with after's. */
static bool skip_to(struct bson_iter *b, struct slice key, bool *skipped)
{
	while (bson_next(b)) {
		if (slice_eq(b->key, key))
			return true;
		*skipped = true;
	}
	return false;
}

/* The first field out of place was changed as well, so that nothing about its entry shows that it
 * moved: then the field before it is listed too, whole. */
static bool first_moved_changed(const struct level *l)
{
	if (!l->moved || !l->prefix)
		return false;
	struct bson_iter a;
	bson_iter_init(&a, l->after);
	while (bson_next(&a) && a.raw.p != l->tail)
		;
	struct value before = bson_get(l->before, a.key);
	return before.type != BSON_MISSING && !value_identical(before, a.value);
}

static void diff_level(struct differ *d, struct level *l)
{
	struct bson_iter b, a;
	bson_iter_init(&b, l->before);
	bson_iter_init(&a, l->after);
	bool removed = false;
	bool show_last = first_moved_changed(l);
	for (size_t i = 0; i < l->prefix && bson_next(&a); i++) {
		if (!skip_to(&b, a.key, &removed))
			break;
		bool show = show_last && i + 1 == l->prefix;
		if (show || !value_identical(b.value, a.value))
			diff_field(d, l, a.key, b.value, a.value, show);
	}
	while (bson_next(&a)) {
		size_t p = path_push(&d->path, (struct component){ .name = a.key });
		add(d, CHANGE_SET, a.value);
		path_pop(&d->path, p);
	}
	if (removed || bson_next(&b))
		report_removed(d, l);
}

static void diff_value(struct differ *d, struct value before, struct value after)
{
	if (d->failed)
		return;
	if (before.type == BSON_ARRAY && after.type == BSON_ARRAY) {
		diff_array(d, before, after);
		return;
	}
	if (before.type != BSON_DOCUMENT || after.type != BSON_DOCUMENT) {
		add(d, CHANGE_SET, after);
		return;
	}
	struct level l = { .before = value_slice(before), .after = value_slice(after) };
	level_order(d, &l);
	if (l.moved && d->path.depth)
		add(d, CHANGE_SET, after);
	else
		diff_level(d, &l);
}

/* ---- writing the description ---- */

static void write_components(struct bson_writer *w, const struct change *c)
{
	bson_begin_array(w, c->path);
	for (size_t i = 0; i < c->n_components; i++) {
		if (c->components[i].is_index)
			bson_put_int32(w, SLICE_NONE, (int32_t)c->components[i].index);
		else
			bson_put_string(w, SLICE_NONE, c->components[i].name);
	}
	bson_end(w);
}

static void write_changes(struct bson_writer *w, const struct change *first)
{
	bool ambiguous = false;
	bson_begin_doc(w, SLICE_LIT("updatedFields"));
	for (const struct change *c = first; c; c = c->next) {
		ambiguous |= c->components != NULL;
		if (c->kind == CHANGE_SET)
			bson_put(w, c->path, c->value);
	}
	bson_end(w);
	bson_begin_array(w, SLICE_LIT("removedFields"));
	for (const struct change *c = first; c; c = c->next)
		if (c->kind == CHANGE_REMOVE)
			bson_put_string(w, SLICE_NONE, c->path);
	bson_end(w);
	bson_begin_array(w, SLICE_LIT("truncatedArrays"));
	for (const struct change *c = first; c; c = c->next) {
		if (c->kind != CHANGE_TRUNCATE)
			continue;
		bson_begin_doc(w, SLICE_NONE);
		bson_put_string(w, SLICE_LIT("field"), c->path);
		bson_put(w, SLICE_LIT("newSize"), c->value);
		bson_end(w);
	}
	bson_end(w);
	if (!ambiguous)
		return;
	bson_begin_doc(w, SLICE_LIT("disambiguatedPaths"));
	for (const struct change *c = first; c; c = c->next)
		if (c->components)
			write_components(w, c);
	bson_end(w);
}

int diff_docs(struct slice before, struct slice after, struct bson_writer *w, struct err *e)
{
	struct differ d = { .arena = ARENA_INIT, .path.text = BUF_INIT };
	d.last = &d.first;
	if (before.len != after.len || memcmp(before.p, after.p, after.len) != 0)
		diff_value(&d, value_doc(before), value_doc(after));
	int rc = d.failed ? err_nomem(e) : 0;
	if (!rc) {
		write_changes(w, d.first);
		rc = w->rc < 0 ? err_set(e, w->rc, "writing an update description") : 0;
	}
	differ_done(&d);
	return rc;
}

/* ---- applying: the description as a tree of paths ---- */

struct node {
	struct node *parent, *first, **last, *next;
	struct component at;
	size_t count;       /* children */
	struct value value; /* SET */
	int64_t size;       /* TRUNCATE; -1: none */
	bool set, removed;
	bool seen;             /* the document had the field */
	bool moved;            /* see "Order" above */
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
		if (slice_eq(n->at.name, key))
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
	*n = (struct node){ .parent = parent, .size = -1, .at.name = key };
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
			int len = snprintf(digits, sizeof(digits), "%d", (int)it.value.i64);
			key = (struct slice){ arena_copy(&p->arena, digits, (size_t)len),
					      (size_t)len };
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

/* ---- applying: the walk ---- */

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
		int rc = apply_new(p, c, c->at.name, w, e);
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
			rc = apply_new(p, c, c->at.name, w, e);
	return rc;
}

static int index_of(struct slice key, uint32_t *out)
{
	uint32_t v = 0;
	if (!looks_like_index(key) || key.len > 9)
		return ERR_INVALID;
	for (size_t i = 0; i < key.len; i++)
		v = v * 10 + (uint32_t)(key.p[i] - '0');
	*out = v;
	return 0;
}

static int by_index(const void *a, const void *b)
{
	uint32_t x = (*(struct node *const *)a)->at.index, y = (*(struct node *const *)b)->at.index;
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
		if (index_of(c->at.name, &c->at.index) < 0)
			return err_number(e, ERR_INVALID, 28,
					  "cannot change field '" SLICE_FMT "' of an array",
					  SLICE_ARG(c->at.name));
		if (c->at.index < len || !(c->set || c->first))
			continue;
		sorted[count++] = c;
	}
	qsort(sorted, count, sizeof(*sorted), by_index);
	for (size_t i = 0; i < count; i++) {
		if (sorted[i]->at.index - len > PAD_MAX)
			return err_set(e, ERR_LIMIT,
				       "element %u lies too far beyond the array's end",
				       (unsigned)sorted[i]->at.index);
		for (; len < sorted[i]->at.index; len++)
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
		int len = snprintf(digits, sizeof(digits), "%u", (unsigned)i);
		struct node *c = n->first ? child_get(p, n, slice_of(digits, (size_t)len)) : NULL;
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
