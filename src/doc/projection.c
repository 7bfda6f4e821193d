/* projection.c: building the tree of paths, and the walk that lays it over a document.
 *
 * Applying evaluates every expression first, on the whole document, and then writes in one walk:
 *
 *	             a field not named    named by a path that goes on          computed
 *	include      goes                 enter objects, also in arrays of      at the end, in the order of the spec
 *	                                  arrays; other values go
 *	exclude      stays                enter; other values stay              (an error)
 *	add          stays                enter; other values become objects    in place; at the end where it is new
 *
 * Where something is computed below, "enter" makes an object of whatever is no object or array.
 */
#include "doc/projection.h"

#include <stdlib.h>

#include "base/mem.h"
#include "doc/stage.h"

#define PROJECTION_PATHS_MAX 10000

/* ---- building ---- */

static void node_init(struct projection_node *n)
{
	*n = (struct projection_node){ 0 };
	n->last = &n->first;
}

struct projection *projection_new(enum projection_mode mode)
{
	struct projection *p = mem_try(sizeof(*p));
	if (!p)
		return NULL;
	p->mode = mode;
	node_init(&p->root);
	return p;
}

void projection_free(struct projection *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->n_computed; i++)
		expr_free(p->computed[i].expr);
	arena_done(&p->arena);
	mem_free(p);
}

static struct projection_field *find(const struct projection_node *n, struct slice name)
{
	if (n->n > 8 && n->sorted) {
		size_t lo = 0, hi = n->n;
		while (lo < hi) {
			size_t mid = lo + (hi - lo) / 2;
			int c = slice_cmp(n->sorted[mid]->name, name);
			if (c == 0)
				return n->sorted[mid];
			if (c < 0)
				lo = mid + 1;
			else
				hi = mid;
		}
		return NULL;
	}
	/* Names of a specification are never empty, so the first byte can be asked before the rest. */
	for (struct projection_field *f = n->first; f; f = f->next)
		if (f->name.len == name.len && f->name.p[0] == name.p[0] &&
		    memcmp(f->name.p, name.p, name.len) == 0)
			return f;
	return NULL;
}

static int collision(const struct projection *p, struct slice path, struct err *e)
{
	return err_number(e, ERR_INVALID, p->mode == PROJECTION_ADD ? 40176 : 31250,
			  "'" SLICE_FMT "' collides with another path of the specification",
			  SLICE_ARG(path));
}

static int add(struct projection *p, struct slice path, enum projection_kind kind, size_t index,
	       struct err *e)
{
	int rc = stage_path_check(path, e);
	if (rc < 0)
		return rc;
	if (++p->n_paths > PROJECTION_PATHS_MAX)
		return err_set(e, ERR_LIMIT, "more than %d paths", PROJECTION_PATHS_MAX);
	struct projection_node *n = &p->root;
	for (struct slice rest = path;;) {
		const uint8_t *dot = memchr(rest.p, '.', rest.len);
		struct slice name = { rest.p, dot ? (size_t)(dot - rest.p) : rest.len };
		struct projection_field *f = find(n, name);
		if (f && (!dot || f->kind != PROJECTION_INNER))
			return collision(p, path, e);
		n->computes |= kind == PROJECTION_COMPUTE;
		if (!f) {
			f = arena_try(&p->arena, sizeof(*f));
			struct projection_node *inner =
				dot ? arena_try(&p->arena, sizeof(*inner)) : NULL;
			if (!f || (dot && !inner))
				return err_nomem(e);
			*f = (struct projection_field){ .name = name,
							.kind = dot ? PROJECTION_INNER : kind,
							.index = index,
							.inner = inner,
							.number = n->n++ };
			if (inner)
				node_init(inner);
			n->kept += f->kind == PROJECTION_KEEP || f->kind == PROJECTION_INNER;
			*n->last = f;
			n->last = &f->next;
		}
		if (!dot)
			return 0;
		n = f->inner;
		rest = slice_of(dot + 1, rest.len - name.len - 1);
	}
}

int projection_add(struct projection *p, struct slice path, enum projection_kind kind,
		   struct err *e)
{
	return add(p, path, kind, /* index */ 0, e);
}

int projection_add_expr(struct projection *p, struct slice path, struct expr *expr, struct err *e)
{
	struct projection_value *grown =
		arena_room(&p->arena, p->computed, p->n_computed, &p->cap_computed, sizeof(*grown));
	if (!grown) {
		expr_free(expr);
		return err_nomem(e);
	}
	p->computed = grown;
	size_t i = p->n_computed++;
	p->computed[i] = (struct projection_value){ expr, path };
	return add(p, path, PROJECTION_COMPUTE, i, e);
}

int projection_add_value(struct projection *p, struct slice path, struct err *e)
{
	return projection_add_expr(p, path, /* expr */ NULL, e);
}

static int by_name(const void *a, const void *b)
{
	return slice_cmp((*(struct projection_field *const *)a)->name,
			 (*(struct projection_field *const *)b)->name);
}

static int seal(struct projection *p, struct projection_node *n, struct err *e)
{
	size_t i = 0;
	n->sorted = arena_try_array(&p->arena, n->n + 1, sizeof(struct projection_field *));
	if (!n->sorted)
		return err_nomem(e);
	for (struct projection_field *f = n->first; f; f = f->next) {
		n->sorted[i++] = f;
		int rc = f->kind == PROJECTION_INNER ? seal(p, f->inner, e) : 0;
		if (rc < 0)
			return rc;
	}
	qsort(n->sorted, n->n, sizeof(n->sorted[0]), by_name);
	return 0;
}

int projection_seal(struct projection *p, struct err *e)
{
	return seal(p, &p->root, e);
}

/* ---- applying ---- */

struct walk {
	enum projection_mode mode;
	struct eval *ev;
	const struct value *values;
	struct bson_writer *w;
	struct err *e;
};

static int walk_value(const struct walk *k, const struct projection_node *n, struct slice key,
		      struct value v);

static void write_new(const struct walk *k, const struct projection_node *n);

/* What is computed there or below, with the objects around it. */
static void write_computed(const struct walk *k, const struct projection_field *f)
{
	if (f->kind == PROJECTION_COMPUTE) {
		bson_put(k->w, f->name, k->values[f->index]);
	} else if (f->kind == PROJECTION_INNER && f->inner->computes) {
		bson_begin_doc(k->w, f->name);
		write_new(k, f->inner);
		bson_end(k->w);
	}
}

static void write_new(const struct walk *k, const struct projection_node *n)
{
	for (const struct projection_field *f = n->first; f; f = f->next)
		write_computed(k, f);
}

/* The fields that were computed and did not get their place in the walk. */
static void write_rest(const struct walk *k, const struct projection_node *n, const bool *seen)
{
	for (const struct projection_field *f = n->first; f; f = f->next)
		if (!seen[f->number])
			write_computed(k, f);
}

/* Nothing computed: copy what is included, and stop when all of it was met. */
static int walk_included(const struct walk *k, const struct projection_node *n, struct slice doc)
{
	struct bson_iter it;
	size_t left = n->kept;
	bson_iter_init(&it, doc);
	while (left > 0 && bson_next(&it)) {
		const struct projection_field *f = find(n, it.key);
		if (!f || f->kind == PROJECTION_DROP)
			continue;
		left--;
		if (f->kind == PROJECTION_KEEP) {
			bson_put_raw(k->w, it.raw);
			continue;
		}
		int rc = walk_value(k, f->inner, it.key, it.value);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int walk_doc(const struct walk *k, const struct projection_node *n, struct slice doc)
{
	if (k->mode == PROJECTION_INCLUDE && !n->computes)
		return walk_included(k, n, doc);
	bool *seen = arena_try(&k->ev->arena, n->n);
	if (!seen)
		return eval_nomem(k->ev, k->e);
	memset(seen, 0, n->n);
	struct bson_iter it;
	bson_iter_init(&it, doc);
	while (bson_next(&it)) {
		const struct projection_field *f = find(n, it.key);
		if (!f) {
			if (k->mode != PROJECTION_INCLUDE)
				bson_put_raw(k->w, it.raw);
			continue;
		}
		switch (f->kind) {
		case PROJECTION_KEEP: bson_put_raw(k->w, it.raw); break;
		case PROJECTION_DROP: break;
		case PROJECTION_COMPUTE:
			if (k->mode == PROJECTION_ADD && !seen[f->number]) {
				bson_put(k->w, it.key, k->values[f->index]);
				seen[f->number] = true;
			}
			break;
		case PROJECTION_INNER: {
			seen[f->number] = true;
			int rc = walk_value(k, f->inner, it.key, it.value);
			if (rc < 0)
				return rc;
			break;
		}
		}
	}
	if (n->computes)
		write_rest(k, n, seen);
	return 0;
}

static int walk_value(const struct walk *k, const struct projection_node *n, struct slice key,
		      struct value v)
{
	int rc = 0;
	if (v.type == BSON_DOCUMENT) {
		bson_begin_doc(k->w, key);
		rc = walk_doc(k, n, value_slice(v));
		bson_end(k->w);
	} else if (v.type == BSON_ARRAY) {
		struct bson_iter it;
		bson_iter_init(&it, value_slice(v));
		bson_begin_array(k->w, key);
		while (rc == 0 && bson_next(&it))
			rc = walk_value(k, n, SLICE_NONE, it.value);
		bson_end(k->w);
	} else if (n->computes) {
		bson_begin_doc(k->w, key);
		write_new(k, n);
		bson_end(k->w);
	} else if (k->mode != PROJECTION_INCLUDE) {
		bson_put(k->w, key, v);
	}
	return rc;
}

int projection_apply(const struct projection *p, struct eval *ev, struct slice doc,
		     const struct value *values, struct slice *out, struct err *e)
{
	struct bson_writer w;
	struct walk k = { .mode = p->mode, .ev = ev, .values = values, .w = &w, .e = e };
	size_t start = ev->scratch.len;
	bson_writer_init(&w, &ev->scratch);
	int rc = walk_doc(&k, &p->root, doc);
	if (rc < 0) {
		ev->scratch.len = start;
		return rc;
	}
	return stage_finish(&w, ev, start, out, e);
}

int projection_run(const struct projection *p, struct eval *ev, struct slice doc, struct slice *out,
		   struct err *e)
{
	struct value *values = NULL;
	if (p->n_computed) {
		values = arena_try_array(&ev->arena, p->n_computed, sizeof(*values));
		if (!values)
			return eval_nomem(ev, e);
	}
	for (size_t i = 0; i < p->n_computed; i++) {
		int rc = expr_eval(p->computed[i].expr, ev, doc, &values[i], e);
		if (rc < 0)
			return err_in(e, rc, SLICE_FMT, SLICE_ARG(p->computed[i].path));
	}
	return projection_apply(p, ev, doc, values, out, e);
}

/* ---- explaining ---- */

/* "a, b{c}" */
static void explain_paths(const struct projection_node *n, enum projection_kind kind,
			  struct buf *out)
{
	bool first = true;
	for (const struct projection_field *f = n->first; f; f = f->next) {
		if (f->kind != kind && f->kind != PROJECTION_INNER)
			continue;
		size_t mark = out->len;
		if (!first)
			buf_add_str(out, ", ");
		buf_add_slice(out, f->name);
		if (f->kind == PROJECTION_INNER) {
			buf_add_byte(out, '{');
			size_t inner = out->len;
			explain_paths(f->inner, kind, out);
			if (out->len == inner) {
				out->len = mark;
				continue;
			}
			buf_add_byte(out, '}');
		}
		first = false;
	}
}

static void explain_kind(const struct projection *p, enum projection_kind kind, const char *word,
			 struct buf *out)
{
	size_t mark = out->len;
	buf_add_fmt(out, "%s ", word);
	size_t start = out->len;
	explain_paths(&p->root, kind, out);
	if (out->len == start)
		out->len = mark;
	else
		buf_add_byte(out, '\n');
}

void projection_explain(const struct projection *p, struct buf *out)
{
	explain_kind(p, PROJECTION_KEEP, "include", out);
	explain_kind(p, PROJECTION_DROP, "exclude", out);
	for (size_t i = 0; i < p->n_computed; i++) {
		const struct projection_value *c = &p->computed[i];
		buf_add_fmt(out, SLICE_FMT " = ", SLICE_ARG(c->path));
		expr_explain(c->expr, out);
		buf_add_byte(out, '\n');
	}
}
