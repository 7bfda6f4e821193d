/* update_position.c: which elements $[id] and $ mean.
 *
 * $[id]: arrayFilters holds one document for each id, { "id.x": ..., "id.y": ... }, { id: ... } or such conditions
 * under $and, $or, $nor. It is compiled with the id as its only virtual root (match.h); the root's value is the element.
 *
 * $: the first element that the query's conditions on the array accept. Those conditions (the ones at the top or
 * under $and whose path is the array's or goes on from it) form a query of their own, which is asked about a document
 * that holds nothing but the array with one element:
 *
 *	query {_id: 1, "a.x": {$gt: 5}}, path "a.$.y"    asks {"a.x": {$gt: 5}} of {a: [element]}, element by element
 */
#include "doc/update_tree.h"

#include <stdio.h>

/* ---- $[id] ---- */

/* The identifier that a filter is about: the first part of its paths, which must agree. */
static int filter_id(struct slice filter, struct slice *id, int depth, struct err *e)
{
	struct bson_iter it, branch;
	if (depth > MATCH_DEPTH_MAX)
		return err_set(e, ERR_LIMIT, "more than %d operators nested", MATCH_DEPTH_MAX);
	bson_iter_init(&it, filter);
	while (bson_next(&it)) {
		if (it.key.len && it.key.p[0] == '$') {
			if (it.value.type != BSON_ARRAY)
				continue;
			bson_iter_init(&branch, value_slice(it.value));
			while (bson_next(&branch)) {
				int rc = branch.value.type != BSON_DOCUMENT
						 ? 0
						 : filter_id(value_slice(branch.value), id,
							     depth + 1, e);
				if (rc < 0)
					return rc;
			}
			continue;
		}
		const uint8_t *dot = it.key.len ? memchr(it.key.p, '.', it.key.len) : NULL;
		struct slice name = { it.key.p, dot ? (size_t)(dot - it.key.p) : it.key.len };
		if (id->len && !slice_eq(*id, name))
			return err_number(e, ERR_INVALID, 9,
					  "a filter is about one identifier, not '" SLICE_FMT
					  "' and '" SLICE_FMT "'",
					  SLICE_ARG(*id), SLICE_ARG(name));
		*id = name;
	}
	return 0;
}

static bool identifier_valid(struct slice id)
{
	if (!id.len || id.p[0] < 'a' || id.p[0] > 'z')
		return false;
	for (size_t i = 1; i < id.len; i++) {
		uint8_t c = id.p[i];
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')))
			return false;
	}
	return true;
}

static int filter_compile(struct update *u, struct value v, struct err *e)
{
	struct update_filter *f = &u->filters[u->n_filters];
	if (v.type != BSON_DOCUMENT)
		return err_number(e, ERR_TYPE, 14, "expected a document, got a %s",
				  bson_type_name(v.type));
	int rc = filter_id(value_slice(v), &f->id, 0, e);
	if (rc < 0)
		return rc;
	if (!f->id.len)
		return err_number(e, ERR_INVALID, 9, "the filter names no identifier");
	if (!identifier_valid(f->id))
		return err_number(
			e, ERR_INVALID, 2,
			"'" SLICE_FMT
			"': an identifier is a lower-case letter, then letters and digits",
			SLICE_ARG(f->id));
	for (size_t i = 0; i < u->n_filters; i++)
		if (slice_eq(u->filters[i].id, f->id))
			return err_number(e, ERR_INVALID, 9,
					  "two filters for the identifier '" SLICE_FMT "'",
					  SLICE_ARG(f->id));
	f->roots[0] = arena_strdup(&u->arena, f->id);
	if (!f->roots[0])
		return err_nomem(e);
	rc = match_compile(value_slice(v), &(struct match_options){ .roots = f->roots }, &f->match,
			   e);
	if (rc == 0)
		u->n_filters++;
	return rc;
}

int update_filters_compile(struct update *u, struct slice filters, struct err *e)
{
	struct bson_iter it;
	size_t n = 0;
	for (bson_iter_init(&it, filters); bson_next(&it); n++)
		;
	const void *copy = arena_copy(&u->arena, filters.p, filters.len);
	u->filters = arena_try_array(&u->arena, n + 1, sizeof(u->filters[0]));
	if (!u->filters || !copy)
		return err_nomem(e);
	memset(u->filters, 0, (n + 1) * sizeof(u->filters[0]));
	bson_iter_init(&it, slice_of(copy, filters.len));
	for (size_t i = 0; bson_next(&it); i++) {
		int rc = filter_compile(u, it.value, e);
		if (rc < 0)
			return err_in(e, rc, "arrayFilters[%zu]", i);
	}
	return 0;
}

int update_filter_find(struct update *u, struct slice id, struct slice path, uint32_t *out,
		       struct err *e)
{
	for (size_t i = 0; i < u->n_filters; i++) {
		if (!slice_eq(u->filters[i].id, id))
			continue;
		u->filters[i].used = true;
		*out = (uint32_t)i;
		return 0;
	}
	return err_number(e, ERR_INVALID, 2,
			  "no array filter for the identifier '" SLICE_FMT "' in '" SLICE_FMT "'",
			  SLICE_ARG(id), SLICE_ARG(path));
}

int update_filters_all_used(const struct update *u, struct err *e)
{
	for (size_t i = 0; i < u->n_filters; i++)
		if (!u->filters[i].used)
			return err_number(e, ERR_INVALID, 9,
					  "the array filter for '" SLICE_FMT "' is not used",
					  SLICE_ARG(u->filters[i].id));
	return 0;
}

/* ---- $ ---- */

/* key is the path or goes on from it. */
static bool is_about(struct slice key, struct slice path)
{
	return key.len >= path.len && memcmp(key.p, path.p, path.len) == 0 &&
	       (key.len == path.len || key.p[path.len] == '.');
}

/* Copies the query's conditions on the array into the open $and. */
static void gather(struct slice query, struct slice path, struct bson_writer *w, size_t *n,
		   int depth)
{
	struct bson_iter it, branch;
	bson_iter_init(&it, query);
	while (bson_next(&it)) {
		if (slice_is(it.key, "$and") && it.value.type == BSON_ARRAY &&
		    depth < MATCH_DEPTH_MAX) {
			bson_iter_init(&branch, value_slice(it.value));
			while (bson_next(&branch))
				if (branch.value.type == BSON_DOCUMENT)
					gather(value_slice(branch.value), path, w, n, depth + 1);
			continue;
		}
		if (!is_about(it.key, path))
			continue;
		bson_begin_doc(w, SLICE_NONE);
		bson_put(w, it.key, it.value);
		bson_end(w);
		++*n;
	}
}

static int positional_compile(struct update *u, struct slice path, struct buf *spec, struct err *e)
{
	struct bson_writer w;
	size_t n = 0;
	bson_writer_init(&w, spec);
	bson_begin_array(&w, SLICE_LIT("$and"));
	if (u->query.len)
		gather(u->query, path, &w, &n, 0);
	bson_end(&w);
	int rc = bson_finish(&w, e);
	if (rc < 0 || n == 0)
		return rc; /* without conditions nothing will be found, which is said then */
	return match_compile(buf_slice(spec), NULL, &u->positional->match, e);
}

int update_positional_compile(struct update *u, const struct update_component *parts, size_t n,
			      struct err *e)
{
	if (u->positional)
		return 0;
	struct update_positional *p = arena_try(&u->arena, sizeof(*p));
	struct slice *names = arena_try_array(&u->arena, n, sizeof(*names));
	if (!p || !names)
		return err_nomem(e);
	AUTO(buf) struct buf path = BUF_INIT;
	for (size_t i = 0; i < n; i++) {
		if (parts[i].kind != PART_NAME && parts[i].kind != PART_INDEX)
			return err_number(e, ERR_INVALID, 2,
					  "'$' cannot follow another positional element");
		names[i] = parts[i].name;
		if (i)
			buf_add_byte(&path, '.');
		buf_add_slice(&path, names[i]);
	}
	*p = (struct update_positional){ .parts = names, .n = n };
	u->positional = p;
	AUTO(buf) struct buf spec = BUF_INIT;
	int rc = buf_check(&path, e);
	return rc < 0 ? rc : positional_compile(u, buf_slice(&path), &spec, e);
}

/* 1 when the conditions hold for {a: {b: [element]}}. */
static int element_matches(struct update_run *run, struct value element, struct err *e)
{
	const struct update_positional *p = run->u->positional;
	struct buf *scratch = &run->ev->scratch;
	size_t start = scratch->len;
	struct bson_writer w;
	bson_writer_init(&w, scratch);
	for (size_t i = 0; i + 1 < p->n; i++)
		bson_begin_doc(&w, p->parts[i]);
	bson_begin_array(&w, p->parts[p->n - 1]);
	bson_put(&w, SLICE_NONE, element);
	for (size_t i = 0; i < p->n; i++)
		bson_end(&w);
	int rc = bson_finish(&w, e);
	const void *doc = NULL;
	size_t len = scratch->len - start;
	if (rc == 0) {
		doc = arena_copy(&run->ev->arena, scratch->p + start, len);
		rc = doc ? 0 : eval_nomem(run->ev, e);
	}
	scratch->len = start;
	return rc < 0 ? rc : match_doc(p->match, run->ev, slice_of(doc, len), e);
}

int update_positional_find(struct update_run *run, struct err *e)
{
	const struct update_positional *p = run->u->positional;
	if (!p)
		return 0;
	struct value v = value_doc(run->before);
	for (size_t i = 0; i < p->n && v.type != BSON_MISSING; i++)
		v = v.type == BSON_DOCUMENT || v.type == BSON_ARRAY
			    ? bson_get(value_slice(v), p->parts[i])
			    : VALUE_MISSING;
	if (p->match && v.type == BSON_ARRAY) {
		struct bson_iter it;
		bson_iter_init(&it, value_slice(v));
		for (uint32_t i = 0; bson_next(&it); i++) {
			struct arena_mark mark = arena_mark(&run->ev->arena);
			int rc = element_matches(run, it.value, e);
			arena_rewind(&run->ev->arena, mark);
			if (rc < 0)
				return rc;
			if (rc == 0)
				continue;
			char *digits = arena_try(&run->ev->arena, 12);
			if (!digits)
				return eval_nomem(run->ev, e);
			int len = snprintf(digits, 12, "%u", (unsigned)i);
			run->positional = i;
			run->positional_name = slice_of(digits, (size_t)len);
			return 0;
		}
	}
	return err_number(e, ERR_INVALID, 2,
			  "'$': the query chose no element of the array that the path names");
}
