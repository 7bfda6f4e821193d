/* subjson.c: paths in JSON texts (see subjson.h). A path has names between dots, with backticks around a name that has
 * dots itself, and positions in brackets, [-1] for the last:
 *
 *	a.b[2].`c.d`[-1]
 *
 * The text is scanned, not parsed into a tree; a mutation splices bytes at the place that was found.
 */
#include "tests/fake/couchbase/subjson.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 32, PATH_MAX_ = 1024 };

/* ---- scanning ---- */

static const uint8_t *blank(const uint8_t *p, const uint8_t *end)
{
	while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
		p++;
	return p;
}

static const uint8_t *skip_string(const uint8_t *p, const uint8_t *end)
{
	for (p++; p < end && *p != '"'; p++)
		if (*p == '\\')
			p++;
	return p < end ? p + 1 : NULL;
}

static const uint8_t *skip_scalar(const uint8_t *p, const uint8_t *end)
{
	static const char *const words[] = { "true", "false", "null" };
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		size_t n = strlen(words[i]);
		if ((size_t)(end - p) >= n && memcmp(p, words[i], n) == 0)
			return p + n;
	}
	const uint8_t *start = p;
	while (p < end && *p && strchr("+-0123456789.eE", *p))
		p++;
	return p > start && *start != '+' && *start != '.' ? p : NULL;
}

/* Behind the value at p; NULL: it is none. */
static const uint8_t *skip_value(const uint8_t *p, const uint8_t *end, unsigned depth)
{
	p = blank(p, end);
	if (p >= end || depth > DEPTH_MAX)
		return NULL;
	if (*p == '"')
		return skip_string(p, end);
	if (*p != '{' && *p != '[')
		return skip_scalar(p, end);
	uint8_t open = *p, close = open == '{' ? '}' : ']';
	p = blank(p + 1, end);
	if (p < end && *p == close)
		return p + 1;
	for (;;) {
		if (open == '{') {
			p = blank(p, end);
			p = p < end && *p == '"' ? skip_string(p, end) : NULL;
			p = p ? blank(p, end) : NULL;
			if (!p || p >= end || *p++ != ':')
				return NULL;
		}
		p = skip_value(p, end, depth + 1);
		p = p ? blank(p, end) : NULL;
		if (!p || p >= end || (*p != ',' && *p != close))
			return NULL;
		if (*p++ == close)
			return p;
	}
}

static bool is_json(struct slice s)
{
	const uint8_t *end = s.p + s.len, *p = s.len ? skip_value(s.p, end, 0) : NULL;
	return p && blank(p, end) == end;
}

/* The entry of a container at p: the key without its quotes, the value. Moves p on; false at the end. */
static bool next_entry(const uint8_t **at, const uint8_t *end, bool object, struct slice *entry,
		       struct slice *key, struct slice *value)
{
	const uint8_t *p = blank(*at, end);
	if (p >= end || *p == '}' || *p == ']')
		return false;
	const uint8_t *start = p;
	if (object) {
		const uint8_t *behind = skip_string(p, end);
		*key = slice_of(p + 1, (size_t)(behind - p) - 2);
		p = blank(blank(behind, end) + 1, end);
	}
	const uint8_t *from = blank(p, end);
	p = skip_value(from, end, 0);
	*value = slice_of(from, (size_t)(p - from));
	*entry = slice_of(start, (size_t)(p - start));
	p = blank(p, end);
	*at = p < end && *p == ',' ? p + 1 : p;
	return true;
}

static unsigned count(struct slice container)
{
	const uint8_t *at = container.p + 1, *end = container.p + container.len;
	struct slice entry, key, value;
	unsigned n = 0;
	while (next_entry(&at, end, *container.p == '{', &entry, &key, &value))
		n++;
	return n;
}

/* ---- paths ---- */

struct step {
	bool index;
	long n; /* [n]; -1: the last */
	struct slice name;
};

/* Cuts the first step off the path. False: it is malformed. */
static bool next_step(struct slice *path, struct step *s)
{
	const uint8_t *p = path->p, *end = p + path->len;
	*s = (struct step){ 0 };
	if (*p == '[') {
		char text[16] = "", *rest;
		const uint8_t *close = memchr(p, ']', path->len);
		if (!close || close - p > 12)
			return false;
		memcpy(text, p + 1, (size_t)(close - p) - 1);
		s->index = true;
		s->n = strtol(text, &rest, 10);
		if (!*text || *rest || s->n < -1)
			return false;
		p = close + 1;
	} else if (*p == '`') {
		const uint8_t *close = memchr(p + 1, '`', path->len - 1);
		if (!close)
			return false;
		s->name = slice_of(p + 1, (size_t)(close - p) - 1);
		p = close + 1;
	} else {
		const uint8_t *start = p;
		while (p < end && *p != '.' && *p != '[')
			p++;
		s->name = slice_of(start, (size_t)(p - start));
	}
	if (!s->index && !s->name.len)
		return false;
	if (p < end && *p == '.') {
		if (++p == end)
			return false;
	} else if (p < end && *p != '[') {
		return false;
	}
	*path = slice_of(p, (size_t)(end - p));
	return true;
}

struct slice subjson_first(struct slice path, struct slice *rest)
{
	struct step s;
	*rest = path;
	if (!path.len || !next_step(rest, &s)) {
		*rest = SLICE_NONE;
		return path;
	}
	return s.name;
}

/* Where a path leads. The parent is the deepest container that is there on the way. */
struct place {
	uint16_t status; /* 0 found; PATH_ENOENT with `step` missing in `parent` */
	struct slice parent, entry, value;
	struct step step;  /* the last one looked for */
	struct slice left; /* of the path, behind it */
	unsigned at;       /* the entry's position */
};

static uint16_t enter(struct place *x)
{
	struct slice key = SLICE_NONE, entry, value;
	bool object = x->parent.p[0] == '{';
	if (x->step.index ? x->parent.p[0] != '[' : !object)
		return SUB_PATH_MISMATCH;
	const uint8_t *at = x->parent.p + 1, *end = x->parent.p + x->parent.len;
	long want = x->step.index && x->step.n < 0 ? (long)count(x->parent) - 1 : x->step.n;
	for (x->at = 0; next_entry(&at, end, object, &entry, &key, &value); x->at++) {
		if (x->step.index ? (long)x->at == want : slice_eq(key, x->step.name)) {
			x->entry = entry;
			x->value = value;
			return 0;
		}
	}
	return SUB_PATH_ENOENT;
}

static struct place find(struct slice doc, struct slice path)
{
	const uint8_t *p = blank(doc.p, doc.p + doc.len);
	struct place x = { .value = slice_of(p, (size_t)(skip_value(p, doc.p + doc.len, 0) - p)),
			   .left = path };
	x.entry = x.value;
	for (unsigned depth = 0; x.left.len; depth++) {
		if (depth == DEPTH_MAX) {
			x.status = SUB_PATH_E2BIG;
			return x;
		}
		x.parent = x.value;
		if (!next_step(&x.left, &x.step)) {
			x.status = SUB_PATH_EINVAL;
			return x;
		}
		x.status = enter(&x);
		if (x.status)
			return x;
	}
	return x;
}

/* ---- lookups ---- */

uint16_t subjson_lookup(struct slice doc, uint8_t op, struct slice path, struct buf *out)
{
	if (path.len > PATH_MAX_)
		return SUB_PATH_E2BIG;
	if (!is_json(doc))
		return SUB_NOTJSON;
	struct place x = find(doc, path);
	if (x.status || op == SUB_EXISTS)
		return x.status;
	if (op == SUB_GET) {
		buf_add_slice(out, x.value);
		return 0;
	}
	if (x.value.p[0] != '{' && x.value.p[0] != '[')
		return SUB_PATH_MISMATCH;
	buf_add_fmt(out, "%u", count(x.value));
	return 0;
}

/* ---- mutations ---- */

/* Replaces the bytes of `old`, which lies in doc, by `fresh`. */
static void splice(struct buf *doc, struct slice old, struct slice fresh)
{
	struct buf next = BUF_INIT;
	size_t at = (size_t)(old.p - doc->p);
	buf_add(&next, doc->p, at);
	buf_add_slice(&next, fresh);
	buf_add(&next, old.p + old.len, doc->len - at - old.len);
	buf_done(doc);
	*doc = next;
}

/* Puts text before entry number `before` of a container (at its end: UINT_MAX). */
static void put_entry(struct buf *doc, struct slice container, unsigned before, struct slice text)
{
	unsigned n = count(container), i = 0;
	const uint8_t *at = container.p + 1, *end = container.p + container.len, *where = at;
	struct slice entry, key, value;
	struct buf with = BUF_INIT;
	bool in_front = before < n;
	while (i <= before && next_entry(&at, end, *container.p == '{', &entry, &key, &value)) {
		where = i == before ? entry.p : entry.p + entry.len;
		i++;
	}
	buf_add_str(&with, n && !in_front ? "," : "");
	buf_add_slice(&with, text);
	buf_add_str(&with, in_front ? "," : "");
	splice(doc, slice_of(where, 0), buf_slice(&with));
	buf_done(&with);
}

/* `"name":` and the value, with objects around it for the rest of the path. */
static uint16_t put_member(struct buf *doc, const struct place *x, bool make_parents,
			   struct slice value)
{
	struct buf text = BUF_INIT;
	struct step s = x->step;
	struct slice left = x->left;
	unsigned open = 0;
	uint16_t status = 0;
	for (;;) {
		if (s.index)
			status = SUB_PATH_ENOENT;
		buf_add_str(&text, "\"");
		buf_add_slice(&text, s.name);
		buf_add_str(&text, "\":");
		if (status || !left.len)
			break;
		if (!make_parents)
			status = SUB_PATH_ENOENT;
		else if (!next_step(&left, &s))
			status = SUB_PATH_EINVAL;
		if (status)
			break;
		buf_add_str(&text, "{");
		open++;
	}
	buf_add_slice(&text, value);
	while (open--)
		buf_add_str(&text, "}");
	if (!status)
		put_entry(doc, x->parent, UINT32_MAX, buf_slice(&text));
	buf_done(&text);
	return status;
}

static uint16_t dict(struct buf *doc, uint8_t op, bool make_parents, const struct place *x,
		     struct slice value)
{
	if (x->status == SUB_PATH_ENOENT)
		return op == SUB_REPLACE ? SUB_PATH_ENOENT
					 : put_member(doc, x, make_parents, value);
	if (x->status)
		return x->status;
	if (op == SUB_DICT_ADD)
		return SUB_PATH_EXISTS;
	if (op == SUB_DICT_UPSERT && x->step.index)
		return SUB_PATH_EINVAL;
	splice(doc, x->value, value);
	return 0;
}

static uint16_t delete_entry(struct buf *doc, const struct place *x)
{
	if (x->status)
		return x->status;
	/* With the comma behind it, or before it when it is the last. */
	const uint8_t *from = x->entry.p, *to = x->entry.p + x->entry.len, *end = doc->p + doc->len;
	to = blank(to, end);
	if (*to == ',') {
		to++;
	} else if (x->at) {
		while (*from != ',')
			from--;
	}
	splice(doc, slice_of(from, (size_t)(to - from)), SLICE_NONE);
	return 0;
}

/* Values with commas between them, as those that are pushed may be. */
static bool are_values(struct slice s, unsigned *n)
{
	struct buf array = BUF_INIT;
	buf_add_str(&array, "[");
	buf_add_slice(&array, s);
	buf_add_str(&array, "]");
	bool ok = is_json(buf_slice(&array));
	*n = ok ? count(slice_of(array.p, array.len)) : 0;
	buf_done(&array);
	return ok && *n;
}

/* 1 there, 0 not, -1 something in the array that cannot be compared. */
static int has_element(struct slice array, struct slice element)
{
	const uint8_t *at = array.p + 1, *end = array.p + array.len;
	struct slice entry, key, value;
	int found = 0;
	while (next_entry(&at, end, false, &entry, &key, &value)) {
		if (*value.p == '{' || *value.p == '[')
			return -1;
		found |= slice_eq(value, element);
	}
	return found;
}

static uint16_t push(struct buf *doc, uint8_t op, bool make_parents, const struct place *x,
		     struct slice value)
{
	if (x->status == SUB_PATH_ENOENT && make_parents) {
		struct buf array = BUF_INIT;
		buf_add_str(&array, "[");
		buf_add_slice(&array, value);
		buf_add_str(&array, "]");
		uint16_t status = put_member(doc, x, true, buf_slice(&array));
		buf_done(&array);
		return status;
	}
	if (x->status)
		return x->status;
	if (x->value.p[0] != '[')
		return SUB_PATH_MISMATCH;
	if (op == SUB_ADD_UNIQUE) {
		int has = has_element(x->value, value);
		if (has)
			return has < 0 ? SUB_PATH_MISMATCH : SUB_PATH_EXISTS;
	}
	put_entry(doc, x->value, op == SUB_PUSH_FIRST ? 0 : UINT32_MAX, value);
	return 0;
}

/* Before the element that the path names; at the end when it names the one behind the last. */
static uint16_t insert(struct buf *doc, const struct place *x, struct slice value)
{
	if (!x->step.index || x->step.n < 0 || x->left.len)
		return x->status == SUB_PATH_MISMATCH ? SUB_PATH_MISMATCH : SUB_PATH_EINVAL;
	if (x->status && (x->status != SUB_PATH_ENOENT || (unsigned)x->step.n != x->at))
		return x->status;
	put_entry(doc, x->parent, (unsigned)x->step.n, value);
	return 0;
}

static bool whole_number(struct slice s, int64_t *out)
{
	char text[32], *end;
	if (!s.len || s.len >= sizeof(text))
		return false;
	memcpy(text, s.p, s.len);
	text[s.len] = '\0';
	*out = strtoll(text, &end, 10);
	return *end == '\0';
}

static uint16_t counter(struct buf *doc, bool make_parents, const struct place *x,
			struct slice value, struct buf *out)
{
	int64_t delta, old = 0, now;
	if (!whole_number(value, &delta) || !delta)
		return SUB_DELTA_EINVAL;
	if (x->status && x->status != SUB_PATH_ENOENT)
		return x->status;
	if (!x->status && !whole_number(x->value, &old))
		return SUB_PATH_MISMATCH;
	if (__builtin_add_overflow(old, delta, &now))
		return SUB_ERANGE;
	buf_add_fmt(out, "%" PRId64, now);
	if (x->status)
		return put_member(doc, x, make_parents, buf_slice(out));
	splice(doc, x->value, buf_slice(out));
	return 0;
}

uint16_t subjson_mutate(struct buf *doc, uint8_t op, bool make_parents, struct slice path,
			struct slice value, struct buf *out)
{
	unsigned n;
	if (path.len > PATH_MAX_)
		return SUB_PATH_E2BIG;
	if (!is_json(buf_slice(doc)))
		return SUB_NOTJSON;
	bool many = op == SUB_PUSH_FIRST || op == SUB_PUSH_LAST || op == SUB_INSERT;
	if (op != SUB_DELETE && op != SUB_COUNTER &&
	    (many ? !are_values(value, &n) : !is_json(value)))
		return SUB_CANTINSERT;
	if (op == SUB_ADD_UNIQUE && (value.p[0] == '{' || value.p[0] == '['))
		return SUB_CANTINSERT;
	struct place x = find(buf_slice(doc), path);
	if (!path.len && op != SUB_PUSH_FIRST && op != SUB_PUSH_LAST && op != SUB_ADD_UNIQUE)
		return SUB_PATH_EINVAL;
	switch (op) {
	case SUB_DICT_ADD:
	case SUB_DICT_UPSERT:
	case SUB_REPLACE: return dict(doc, op, make_parents, &x, value);
	case SUB_DELETE: return delete_entry(doc, &x);
	case SUB_PUSH_LAST:
	case SUB_PUSH_FIRST:
	case SUB_ADD_UNIQUE: return push(doc, op, make_parents, &x, value);
	case SUB_INSERT: return insert(doc, &x, value);
	case SUB_COUNTER: return counter(doc, make_parents, &x, value, out);
	default: return SUB_PATH_EINVAL;
	}
}
