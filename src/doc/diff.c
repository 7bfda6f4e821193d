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

#include "doc/compare.h"
#include "doc/diff_names.h"

#define PATH_DEPTH_MAX (BSON_DEPTH_MAX + 1)

/* ---- paths ---- */

struct component {
	struct slice name; /* empty for an index: the number counts */
	uint32_t index;
	bool is_index;
};

struct path {
	struct component at[PATH_DEPTH_MAX + 1];
	size_t depth;
};

static void path_push(struct path *p, struct component c)
{
	ASSERT(p->depth <= PATH_DEPTH_MAX);
	p->at[p->depth++] = c;
}

/* "a.3.b"; p NULL: out of memory. */
static struct slice path_text(const struct path *p, struct arena *a)
{
	size_t len = 0;
	for (size_t i = 0; i < p->depth; i++)
		len += p->at[i].is_index ? 11 : p->at[i].name.len + 1;
	uint8_t *text = arena_try(a, len + 1), *to = text;
	if (!text)
		return SLICE_NONE;
	for (size_t i = 0; i < p->depth; i++) {
		const struct component *c = &p->at[i];
		char digits[12];
		if (i)
			*to++ = '.';
		size_t n = c->is_index ? index_text(c->index, digits) : c->name.len;
		if (n)
			memcpy(to, c->is_index ? (const void *)digits : c->name.p, n);
		to += n;
	}
	return slice_of(text, (size_t)(to - text));
}

static bool path_ambiguous(const struct path *p)
{
	for (size_t i = 0; i < p->depth; i++) {
		const struct component *c = &p->at[i];
		if (c->is_index)
			continue;
		if (memchr(c->name.p, '.', c->name.len) || (i > 0 && name_is_index(c->name)))
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
	struct slice text = path_text(&d->path, &d->arena);
	if (!c || !text.p) {
		d->failed = true;
		return;
	}
	*c = (struct change){ .kind = kind, .path = text, .value = v };
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
		path_push(&d->path, (struct component){ .index = i, .is_index = true });
		diff_value(d, b.value, a.value);
		d->path.depth--;
	}
	for (; more_a; i++, more_a = bson_next(&a)) {
		path_push(&d->path, (struct component){ .index = i, .is_index = true });
		add(d, CHANGE_SET, a.value);
		d->path.depth--;
	}
	bool edited = d->last != m.last;
	size_t whole = after.len + 2 + (edited ? path_text(&d->path, &d->arena).len : 0);
	if (more_b)
		add(d, CHANGE_TRUNCATE, value_int32((int32_t)i));
	if (edited && d->cost - m.cost > whole) {
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
	struct names index;       /* of before; built at the first mismatch */
	size_t prefix;            /* fields of after before the tail */
	const uint8_t *tail;      /* where the tail starts in after */
	struct bson_iter tail_at; /* the same, where the levels are in step */
	size_t n_edited; /* in step: the fields that differ; and the first, on both sides */
	struct bson_iter edited_before, edited_after;
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

/* One walk through both levels in step; true when nothing else is needed to compare them: the same names
 * in the same order, and perhaps new ones behind. */
static bool in_step(struct level *l)
{
	struct bson_iter b, a;
	bson_iter_init(&b, l->before);
	bson_iter_init(&a, l->after);
	for (; bson_next(&a); l->prefix++) {
		if (!bson_next(&b)) {
			l->tail = a.raw.p;
			l->tail_at = a;
			return true;
		}
		if (slice_eq(a.raw, b.raw))
			continue;
		if (!slice_eq(a.key, b.key))
			return false;
		if (l->n_edited++ == 0) {
			l->edited_before = b;
			l->edited_after = a;
		}
	}
	return !bson_next(&b);
}

static void level_order(struct differ *d, struct level *l)
{
	struct bson_iter a;
	const uint8_t *last = NULL;
	l->prefix = 0;
	bson_iter_init(&a, l->after);
	while (bson_next(&a) && !d->failed) {
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
	path_push(&d->path, (struct component){ .name = key });
	if (both && !whole && !text_collides(l, key))
		diff_value(d, before, after);
	else
		add(d, CHANGE_SET, after);
	d->path.depth--;
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
		path_push(&d->path, (struct component){ .name = b.key });
		add(d, CHANGE_REMOVE, VALUE_NULL);
		d->path.depth--;
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

static void add_tail(struct differ *d, struct bson_iter *a)
{
	path_push(&d->path, (struct component){ .name = a->key });
	add(d, CHANGE_SET, a->value);
	d->path.depth--;
}

static void diff_in_step(struct differ *d, struct level *l)
{
	struct bson_iter b, a;
	if (l->n_edited) {
		b = l->edited_before;
		a = l->edited_after;
	}
	for (size_t left = l->n_edited; left > 0;) {
		if (!slice_eq(a.raw, b.raw)) {
			diff_field(d, l, a.key, b.value, a.value, false);
			left--;
		}
		if (left > 0)
			(void)(bson_next(&a) && bson_next(&b));
	}
	if (!l->tail)
		return;
	a = l->tail_at;
	do
		add_tail(d, &a);
	while (bson_next(&a));
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
	while (bson_next(&a))
		add_tail(d, &a);
	if (removed || bson_next(&b))
		report_removed(d, l);
}

/* The iterators stay as they are: they count only once something was found. */
static void level_init(struct level *l, struct slice before, struct slice after)
{
	l->before = before;
	l->after = after;
	l->index = (struct names){ 0 };
	l->prefix = l->n_edited = 0;
	l->tail = NULL;
	l->moved = l->dots_known = l->dots = false;
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
	struct level l;
	level_init(&l, value_slice(before), value_slice(after));
	if (in_step(&l)) {
		diff_in_step(d, &l);
		return;
	}
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
	struct differ d; /* not zeroed: the path is long */
	d.arena = (struct arena)ARENA_INIT;
	d.first = NULL;
	d.last = &d.first;
	d.path.depth = 0;
	d.cost = 0;
	d.failed = false;
	if (before.len != after.len || memcmp(before.p, after.p, after.len) != 0)
		diff_value(&d, value_doc(before), value_doc(after));
	int rc = d.failed ? err_nomem(e) : 0;
	if (!rc) {
		write_changes(w, d.first);
		rc = w->rc < 0 ? err_set(e, w->rc, "writing an update description") : 0;
	}
	arena_done(&d.arena);
	return rc;
}
