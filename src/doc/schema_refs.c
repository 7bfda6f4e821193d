/* schema_refs.c: $ref in schemas: pointers ("#/definitions/x"), the root ("#"), and ids.
 *
 * Before anything is compiled, one walk collects all ids and all references, each joined with the ids around it. Then a
 * reference can name a subschema by its URI; what no id in the schema names lies elsewhere, and is
 * refused.
 *
 * URIs are joined by the rules that schemas use: absolute, "/path", "#fragment", or a last segment.
 */
#include "doc/schema_compile.h"

#include "doc/compare.h"

#include <limits.h>

/* ---- nodes by address ---- */

static uint64_t address_hash(struct slice spec)
{
	return (uint64_t)(uintptr_t)spec.p * UINT64_C(0x9e3779b97f4a7c15) >> 20;
}

const struct schema_node *schema_index_find(const struct schema_compiler *c, struct slice spec)
{
	if (!c->index_cap)
		return NULL;
	for (uint64_t i = address_hash(spec);; i++) {
		const struct schema_node *n = c->index[i & (c->index_cap - 1)];
		if (!n || n->spec.p == spec.p)
			return n;
	}
}

static void index_put(struct schema_node **index, uint32_t cap, struct schema_node *n)
{
	uint64_t i = address_hash(n->spec);
	while (index[i & (cap - 1)])
		i++;
	index[i & (cap - 1)] = n;
}

bool schema_index_add(struct schema_compiler *c, struct schema_node *n)
{
	if (c->n_nodes * 2 >= c->index_cap) {
		uint32_t cap = c->index_cap ? c->index_cap * 2 : 16;
		struct schema_node **index = arena_try_array(&c->s->arena, cap, sizeof(*index));
		if (!index)
			return false;
		memset(index, 0, cap * sizeof(*index));
		for (uint32_t i = 0; i < c->index_cap; i++) {
			if (c->index[i])
				index_put(index, cap, c->index[i]);
		}
		c->index = index;
		c->index_cap = cap;
	}
	index_put(c->index, c->index_cap, n);
	c->n_nodes++;
	return true;
}

static int id_add(struct schema_compiler *c, struct slice uri, struct slice spec)
{
	struct schema_id *v = arena_room(&c->s->arena, c->ids, c->n_ids, &c->ids_cap, sizeof(*v));
	if (!v)
		return err_nomem(c->e);
	c->ids = v;
	v[c->n_ids++] = (struct schema_id){ uri, spec };
	return 0;
}

/* ---- URIs ---- */

static const uint8_t *find(struct slice s, char ch)
{
	return s.len ? memchr(s.p, ch, s.len) : NULL;
}

static struct slice without_fragment(struct slice uri)
{
	const uint8_t *hash = find(uri, '#');
	return hash ? slice_of(uri.p, (size_t)(hash - uri.p)) : uri;
}

static struct slice fragment(struct slice uri)
{
	const uint8_t *hash = find(uri, '#');
	return hash ? slice_of(hash + 1, (size_t)(uri.p + uri.len - hash - 1)) : SLICE_NONE;
}

static bool is_absolute(struct slice uri)
{
	for (size_t i = 0; i < uri.len; i++) {
		if (uri.p[i] == ':')
			return i > 0;
		if (uri.p[i] == '/' || uri.p[i] == '?' || uri.p[i] == '#')
			return false;
	}
	return false;
}

/* How much of the base stays in front of a relative reference. */
static size_t kept_of_base(struct slice base, struct slice ref)
{
	if (ref.len == 0 || ref.p[0] == '#')
		return base.len;
	size_t path = 0; /* where the path begins, behind scheme://authority */
	const uint8_t *colon = find(base, ':');
	if (colon) {
		path = (size_t)(colon - base.p) + 1;
		if (path + 1 < base.len && base.p[path] == '/' && base.p[path + 1] == '/') {
			path += 2;
			while (path < base.len && base.p[path] != '/')
				path++;
		}
	}
	if (ref.p[0] == '/')
		return path;
	size_t keep = base.len;
	while (keep > path && base.p[keep - 1] != '/')
		keep--;
	return keep;
}

/* out has room for base.len + ref.len bytes. */
static struct slice join(struct slice base, struct slice ref, uint8_t *out)
{
	if (is_absolute(ref))
		base = SLICE_NONE;
	base = without_fragment(base);
	size_t keep = base.len ? kept_of_base(base, ref) : 0;
	if (keep)
		memcpy(out, base.p, keep);
	if (ref.len)
		memcpy(out + keep, ref.p, ref.len);
	size_t len = keep + ref.len;
	if (len && out[len - 1] == '#')
		len--;
	return slice_of(out, len);
}

static int join_in_arena(struct schema_compiler *c, struct slice base, struct slice ref,
			 struct slice *out)
{
	uint8_t *p = arena_try(&c->s->arena, base.len + ref.len + 1);
	if (!p)
		return err_nomem(c->e);
	*out = join(base, ref, p);
	return 0;
}

/* ---- the ids of a schema ---- */

static bool is_data(struct slice key)
{
	return slice_is(key, "enum") || slice_is(key, "default");
}

static int uri_add(struct schema_compiler *c, struct slice uri, struct slice spec)
{
	struct schema_id *v =
		arena_room(&c->s->arena, c->uris, c->n_uris, &c->uris_cap, sizeof(*v));
	if (!v)
		return err_nomem(c->e);
	c->uris = v;
	v[c->n_uris++] = (struct schema_id){ uri, spec };
	return 0;
}

/* Every object below spec that is no data. base: the ids around it, joined. */
static int collect(struct schema_compiler *c, struct slice spec, bool is_array, struct slice base)
{
	struct value id = is_array ? VALUE_MISSING : bson_get_str(spec, "id");
	struct value ref = is_array ? VALUE_MISSING : bson_get_str(spec, "$ref");
	struct slice uri;
	int rc = 0;
	if (ref.type == BSON_STRING) {
		rc = join_in_arena(c, base, value_slice(ref), &uri);
		if (rc == 0)
			rc = uri_add(c, uri, spec);
	} else if (id.type == BSON_STRING) {
		rc = join_in_arena(c, base, value_slice(id), &base);
		if (rc == 0)
			rc = id_add(c, base, spec);
	}
	if (rc == 0 && (c->n_ids > SCHEMA_REFS_MAX || c->n_uris > SCHEMA_REFS_MAX))
		rc = schema_fail(c, NULL, ERR_LIMIT, 9, "more than %d references or ids",
				 SCHEMA_REFS_MAX);
	struct bson_iter it;
	bson_iter_init(&it, spec);
	while (rc == 0 && bson_next(&it)) {
		if ((it.value.type == BSON_DOCUMENT || it.value.type == BSON_ARRAY) &&
		    (is_array || !is_data(it.key)))
			rc = collect(c, value_slice(it.value), it.value.type == BSON_ARRAY, base);
	}
	return rc;
}

int schema_collect_ids(struct schema_compiler *c)
{
	return collect(c, c->spec, false, SLICE_NONE);
}

/* The absolute form of the reference that stands at spec: uris are in the order of addresses. */
static struct slice uri_of(const struct schema_compiler *c, struct slice spec, struct slice text)
{
	uint32_t lo = 0, hi = c->n_uris;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (c->uris[mid].spec.p == spec.p)
			return c->uris[mid].uri;
		if (c->uris[mid].spec.p < spec.p)
			lo = mid + 1;
		else
			hi = mid;
	}
	return text; /* inside data */
}

int schema_ref_add(struct schema_compiler *c, struct schema_node *n, struct slice text,
		   const struct spec_place *at)
{
	struct schema_ref *r =
		arena_room(&c->s->arena, c->refs, c->n_refs, &c->refs_cap, sizeof(*r));
	if (!r)
		return err_nomem(c->e);
	c->refs = r;
	r[c->n_refs] = (struct schema_ref){ .node = n, .text = uri_of(c, n->spec, text) };
	(void)spec_place_text(at, UINT_MAX, r[c->n_refs].place, sizeof(r->place));
	c->n_refs++;
	return 0;
}

/* ---- following ---- */

static int hex(uint8_t c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
				      : -1;
}

/* One part of a pointer: %xx, then ~1 for / and ~0 for ~. out has room for part.len bytes. */
static struct slice decode_part(struct slice part, uint8_t *out)
{
	size_t n = 0;
	for (size_t i = 0; i < part.len; i++) {
		uint8_t ch = part.p[i];
		if (ch == '%' && i + 2 < part.len && hex(part.p[i + 1]) >= 0 &&
		    hex(part.p[i + 2]) >= 0) {
			ch = (uint8_t)(hex(part.p[i + 1]) << 4 | hex(part.p[i + 2]));
			i += 2;
		}
		if (n && out[n - 1] == '~' && (ch == '0' || ch == '1'))
			out[n - 1] = ch == '0' ? 0 : '/'; /* 0: a ~ that is done */
		else
			out[n++] = ch;
	}
	for (size_t i = 0; i < n; i++) {
		if (out[i] == 0)
			out[i] = '~';
	}
	return slice_of(out, n);
}

static void mark_known(struct schema_compiler *c, struct slice schema, struct slice name)
{
	for (uint32_t i = 0; i < c->n_unknown; i++) {
		if (c->unknown[i].schema.p == schema.p && slice_eq(c->unknown[i].name, name))
			c->unknown[i].used = true;
	}
}

/* "/definitions/a~1b/0" from an object or array downwards; BSON_MISSING where nothing is. */
static int follow_pointer(struct schema_compiler *c, struct slice from, struct slice pointer,
			  struct value *out)
{
	uint8_t *part = arena_try(&c->s->arena, pointer.len + 1);
	if (!part)
		return err_nomem(c->e);
	struct value v = value_doc(from);
	while (pointer.len && (v.type == BSON_DOCUMENT || v.type == BSON_ARRAY)) {
		struct slice rest = slice_of(pointer.p + 1, pointer.len - 1);
		const uint8_t *slash = find(rest, '/');
		size_t len = slash ? (size_t)(slash - rest.p) : rest.len;
		struct slice name = decode_part(slice_of(rest.p, len), part);
		mark_known(c, value_slice(v), name);
		v = bson_get(value_slice(v), name);
		pointer = slice_of(rest.p + len, rest.len - len);
	}
	*out = pointer.len ? VALUE_MISSING : v;
	return 0;
}

static struct slice find_id(const struct schema_compiler *c, struct slice uri)
{
	for (uint32_t i = 0; i < c->n_ids; i++) {
		if (slice_eq(c->ids[i].uri, uri))
			return c->ids[i].spec;
	}
	return SLICE_NONE;
}

static int find_target(struct schema_compiler *c, const struct schema_ref *r,
		       const struct spec_place *at, struct value *out)
{
	struct slice uri = without_fragment(r->text), frag = fragment(r->text);
	struct slice spec = find_id(c, r->text);
	if (spec.p) {
		*out = value_doc(spec);
		return 0;
	}
	spec = uri.len ? find_id(c, uri) : c->spec;
	if (!spec.p)
		return schema_fail(c, at, ERR_UNSUPPORTED, 9,
				   "the reference " SLICE_FMT " points out of the schema",
				   (int)MIN(r->text.len, 100), (const char *)r->text.p);
	if (frag.len && frag.p[0] != '/') {
		*out = VALUE_MISSING;
		return 0;
	}
	return follow_pointer(c, spec, frag, out);
}

static int follow(struct schema_compiler *c, uint32_t i)
{
	struct schema_ref r = c->refs[i];
	struct spec_place at = { .name = slice_str(r.place) };
	const struct spec_place *place = r.place[0] ? &at : NULL;
	struct value target = VALUE_MISSING;
	int rc = find_target(c, &r, place, &target);
	if (rc < 0)
		return rc;
	if (target.type != BSON_DOCUMENT)
		return schema_fail(c, place, ERR_INVALID, 9,
				   "the reference " SLICE_FMT " points to no schema",
				   (int)MIN(r.text.len, 100), (const char *)r.text.p);
	return schema_node_at(c, value_slice(target), place, &r.node->ref);
}

/* Targets that were not compiled yet may bring references of their own. */
int schema_follow_refs(struct schema_compiler *c)
{
	int rc = 0;
	for (uint32_t i = 0; rc == 0 && i < c->n_refs; i++)
		rc = follow(c, i);
	return rc;
}
