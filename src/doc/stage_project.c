/* stage_project.c: $project, $addFields, $set and $unset: a tree of paths laid over the document.
 *
 *	{ a: 1, "b.c": 1, "b.d": { $add: ["$x", 1] } }
 *
 *	root ─┬─ _id    keep          (unless excluded)
 *	      ├─ a      keep
 *	      └─ b ─┬─ c   keep
 *	            └─ d   compute 0
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
#include "doc/stage.h"

#include <stdlib.h>

#include "base/mem.h"

#define PROJECTION_PATHS_MAX 10000

enum field_kind { FIELD_KEEP, FIELD_DROP, FIELD_COMPUTE, FIELD_INNER };

struct field {
	struct field *next; /* in the order of the spec */
	struct slice name;
	enum field_kind kind;
	size_t index; /* COMPUTE: which value */
	struct node *inner;
	size_t number; /* among its siblings */
};

struct node {
	struct field *first, **last;
	struct field **sorted; /* by name, once sealed */
	size_t n, kept;        /* fields; those kept or entered */
	bool computes;         /* here or below */
};

struct computed {
	struct expr *expr; /* NULL: the value is given by the caller */
	struct slice path;
};

struct projection {
	struct arena arena;
	enum projection_mode mode;
	struct node root;
	struct computed *computed;
	size_t n_computed, cap_computed, n_paths;
};

/* ---- building ---- */

static void node_init(struct node *n)
{
	*n = (struct node){ 0 };
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

static struct field *find(const struct node *n, struct slice name)
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
	for (struct field *f = n->first; f; f = f->next)
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

/* Adds a leaf. path must live as long as p. */
static int add(struct projection *p, struct slice path, enum field_kind kind, size_t index,
	       struct err *e)
{
	int rc = stage_path_check(path, e);
	if (rc < 0)
		return rc;
	if (++p->n_paths > PROJECTION_PATHS_MAX)
		return err_set(e, ERR_LIMIT, "more than %d paths", PROJECTION_PATHS_MAX);
	struct node *n = &p->root;
	for (struct slice rest = path;;) {
		const uint8_t *dot = memchr(rest.p, '.', rest.len);
		struct slice name = { rest.p, dot ? (size_t)(dot - rest.p) : rest.len };
		struct field *f = find(n, name);
		if (f && (!dot || f->kind != FIELD_INNER))
			return collision(p, path, e);
		n->computes |= kind == FIELD_COMPUTE;
		if (!f) {
			f = arena_try(&p->arena, sizeof(*f));
			struct node *inner = dot ? arena_try(&p->arena, sizeof(*inner)) : NULL;
			if (!f || (dot && !inner))
				return err_nomem(e);
			*f = (struct field){ .name = name,
					     .kind = dot ? FIELD_INNER : kind,
					     .index = index,
					     .inner = inner,
					     .number = n->n++ };
			if (inner)
				node_init(inner);
			n->kept += f->kind == FIELD_KEEP || f->kind == FIELD_INNER;
			*n->last = f;
			n->last = &f->next;
		}
		if (!dot)
			return 0;
		n = f->inner;
		rest = slice_of(dot + 1, rest.len - name.len - 1);
	}
}

static int add_computed(struct projection *p, struct slice path, struct expr *expr, size_t *index,
			struct err *e)
{
	if (p->n_computed == p->cap_computed) {
		size_t cap = p->cap_computed ? p->cap_computed * 2 : 8;
		struct computed *grown = arena_try_array(&p->arena, cap, sizeof(*grown));
		if (!grown) {
			expr_free(expr);
			return err_nomem(e);
		}
		if (p->n_computed)
			memcpy(grown, p->computed, p->n_computed * sizeof(*grown));
		p->computed = grown;
		p->cap_computed = cap;
	}
	size_t i = p->n_computed++;
	p->computed[i] = (struct computed){ expr, path };
	if (index)
		*index = i;
	return add(p, path, FIELD_COMPUTE, i, e);
}

int projection_add_value(struct projection *p, struct slice path, size_t *index, struct err *e)
{
	return add_computed(p, path, NULL, index, e);
}

static int by_name(const void *a, const void *b)
{
	return slice_cmp((*(struct field *const *)a)->name, (*(struct field *const *)b)->name);
}

static int seal(struct projection *p, struct node *n, struct err *e)
{
	size_t i = 0;
	n->sorted = arena_try_array(&p->arena, n->n + 1, sizeof(struct field *));
	if (!n->sorted)
		return err_nomem(e);
	for (struct field *f = n->first; f; f = f->next) {
		n->sorted[i++] = f;
		int rc = f->kind == FIELD_INNER ? seal(p, f->inner, e) : 0;
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

static int walk_value(const struct walk *k, const struct node *n, struct slice key, struct value v);

/* What is computed below, with the objects around it. */
static void write_new(const struct walk *k, const struct node *n)
{
	for (const struct field *f = n->first; f; f = f->next) {
		if (f->kind == FIELD_COMPUTE) {
			bson_put(k->w, f->name, k->values[f->index]);
		} else if (f->kind == FIELD_INNER && f->inner->computes) {
			bson_begin_doc(k->w, f->name);
			write_new(k, f->inner);
			bson_end(k->w);
		}
	}
}

/* The fields that were computed and did not get their place in the walk. */
static void write_rest(const struct walk *k, const struct node *n, const bool *seen)
{
	for (const struct field *f = n->first; f; f = f->next) {
		if (seen[f->number])
			continue;
		if (f->kind == FIELD_COMPUTE) {
			bson_put(k->w, f->name, k->values[f->index]);
		} else if (f->kind == FIELD_INNER && f->inner->computes) {
			bson_begin_doc(k->w, f->name);
			write_new(k, f->inner);
			bson_end(k->w);
		}
	}
}

/* Nothing computed: copy what is included, and stop when all of it was met. */
static int walk_included(const struct walk *k, const struct node *n, struct slice doc)
{
	struct bson_iter it;
	size_t left = n->kept;
	bson_iter_init(&it, doc);
	while (left > 0 && bson_next(&it)) {
		const struct field *f = find(n, it.key);
		if (!f || f->kind == FIELD_DROP)
			continue;
		left--;
		if (f->kind == FIELD_KEEP) {
			bson_put_raw(k->w, it.raw);
			continue;
		}
		int rc = walk_value(k, f->inner, it.key, it.value);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int walk_doc(const struct walk *k, const struct node *n, struct slice doc)
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
		const struct field *f = find(n, it.key);
		if (!f) {
			if (k->mode != PROJECTION_INCLUDE)
				bson_put_raw(k->w, it.raw);
			continue;
		}
		switch (f->kind) {
		case FIELD_KEEP: bson_put_raw(k->w, it.raw); break;
		case FIELD_DROP: break;
		case FIELD_COMPUTE:
			if (k->mode == PROJECTION_ADD && !seen[f->number]) {
				bson_put(k->w, it.key, k->values[f->index]);
				seen[f->number] = true;
			}
			break;
		case FIELD_INNER: {
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

static int walk_value(const struct walk *k, const struct node *n, struct slice key, struct value v)
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

/* ---- reading a specification ---- */

/* One path of the specification, before it is known whether it includes or excludes. */
struct entry {
	struct entry *next;
	struct slice path;
	enum field_kind kind; /* not INNER */
	struct value value;
};

struct reader {
	struct projection *p;
	const struct stage_env *env;
	bool adds; /* $addFields: every value is computed */
	struct entry *first, **last;
	size_t n;
	struct err *e;
};

static bool is_selector(struct value v)
{
	return value_is_number(v) || v.type == BSON_BOOL;
}

/* prefix "." name, in the projection's arena. */
static bool join(struct projection *p, struct slice prefix, struct slice name, struct slice *out)
{
	size_t len = name.len + (prefix.len ? prefix.len + 1 : 0);
	uint8_t *text = arena_try(&p->arena, len + 1), *at = text;
	if (!text)
		return false;
	if (prefix.len) {
		memcpy(at, prefix.p, prefix.len);
		at[prefix.len] = '.';
		at += prefix.len + 1;
	}
	if (name.len)
		memcpy(at, name.p, name.len);
	*out = slice_of(text, len);
	return true;
}

static bool is_operator_object(struct slice doc)
{
	struct bson_iter it;
	bson_iter_init(&it, doc);
	return bson_next(&it) && it.key.len && it.key.p[0] == '$';
}

static int read_object(struct reader *r, struct slice prefix, struct slice doc, int depth);

static int read_entry(struct reader *r, struct slice path, struct value v, int depth)
{
	if (v.type == BSON_DOCUMENT && !is_operator_object(value_slice(v)))
		return read_object(r, path, value_slice(v), depth + 1);
	struct entry *entry = arena_try(&r->p->arena, sizeof(*entry));
	if (!entry)
		return err_nomem(r->e);
	*entry = (struct entry){ .path = path, .kind = FIELD_COMPUTE, .value = v };
	if (!r->adds && is_selector(v))
		entry->kind = value_truth(v) ? FIELD_KEEP : FIELD_DROP;
	*r->last = entry;
	r->last = &entry->next;
	r->n++;
	return 0;
}

static int read_object(struct reader *r, struct slice prefix, struct slice doc, int depth)
{
	struct bson_iter it;
	size_t n = 0;
	if (depth > BSON_DEPTH_MAX)
		return err_set(r->e, ERR_LIMIT, "more than %d objects nested", BSON_DEPTH_MAX);
	for (bson_iter_init(&it, doc); bson_next(&it); n++) {
		struct slice path;
		if (depth && r->adds && memchr(it.key.p, '.', it.key.len))
			return err_number(r->e, ERR_INVALID, 40183,
					  "'" SLICE_FMT
					  "': no dots in the names of a nested object",
					  SLICE_ARG(it.key));
		if (!join(r->p, prefix, it.key, &path))
			return err_nomem(r->e);
		int rc = stage_path_check(path, r->e);
		if (rc == 0)
			rc = read_entry(r, path, it.value, depth);
		if (rc < 0)
			return rc;
	}
	if (n > 0)
		return 0;
	if (depth)
		return err_number(r->e, ERR_INVALID, r->adds ? 40180 : 51270,
				  "'" SLICE_FMT "': an empty object is not a valid value",
				  SLICE_ARG(prefix));
	return err_number(r->e, ERR_INVALID, r->adds ? 40177 : 51272,
			  "the specification must have at least one field");
}

/* Inclusion or exclusion: the first path other than _id decides, and the others must agree. */
static int decide_mode(struct reader *r)
{
	const struct entry *decider = NULL, *id = NULL;
	for (const struct entry *x = r->first; x; x = x->next) {
		if (slice_is(x->path, "_id") && x->kind != FIELD_COMPUTE) {
			id = x;
			continue;
		}
		if (!decider) {
			decider = x;
			r->p->mode =
				x->kind == FIELD_DROP ? PROJECTION_EXCLUDE : PROJECTION_INCLUDE;
			continue;
		}
		bool excluding = r->p->mode == PROJECTION_EXCLUDE;
		if (excluding == (x->kind == FIELD_DROP))
			continue;
		if (x->kind == FIELD_COMPUTE)
			return err_number(r->e, ERR_INVALID, 31252,
					  "'" SLICE_FMT
					  "' cannot be computed in a projection that excludes "
					  "(as '" SLICE_FMT "' does)",
					  SLICE_ARG(x->path), SLICE_ARG(decider->path));
		return err_number(r->e, ERR_INVALID, excluding ? 31253 : 31254,
				  "'" SLICE_FMT "' is %s, but '" SLICE_FMT "' before it is %s",
				  SLICE_ARG(x->path), excluding ? "included" : "excluded",
				  SLICE_ARG(decider->path), excluding ? "excluded" : "included");
	}
	if (!decider)
		r->p->mode = id->kind == FIELD_DROP ? PROJECTION_EXCLUDE : PROJECTION_INCLUDE;
	return 0;
}

static int add_expression(struct reader *r, const struct entry *x)
{
	AUTO(buf) struct buf place = BUF_INIT;
	buf_add_fmt(&place, "%s." SLICE_FMT, r->env->name, SLICE_ARG(x->path));
	struct expr_options o = { .place = buf_cstr(&place) };
	struct expr *expr;
	int rc = buf_check(&place, r->e);
	if (rc == 0)
		rc = stage_expr_compile(r->env, x->value, &o, &expr, r->e);
	if (rc < 0) {
		if (r->e && r->e->number == 168 && !r->adds)
			r->e->number = 31325;
		return rc;
	}
	return add_computed(r->p, x->path, expr, NULL, r->e);
}

static int build(struct reader *r)
{
	bool id_named = false;
	for (const struct entry *x = r->first; x; x = x->next) {
		bool is_id = slice_is(x->path, "_id");
		id_named |= is_id || (x->path.len > 4 && memcmp(x->path.p, "_id.", 4) == 0);
		if (is_id && x->kind == FIELD_KEEP && r->p->mode == PROJECTION_EXCLUDE)
			continue; /* it stays anyway */
		int rc = x->kind == FIELD_COMPUTE ? add_expression(r, x)
						  : add(r->p, x->path, x->kind, 0, r->e);
		if (rc < 0)
			return rc;
	}
	if (r->p->mode == PROJECTION_INCLUDE && !id_named) {
		int rc = add(r->p, SLICE_LIT("_id"), FIELD_KEEP, 0, r->e);
		if (rc < 0)
			return rc;
	}
	return projection_seal(r->p, r->e);
}

/* ---- the stages ---- */

struct project_stage {
	struct stage base;
	struct projection *p;
};

static const struct projection *self(const struct stage *s)
{
	return container_of(s, struct project_stage, base)->p;
}

static void release(struct stage *s)
{
	struct project_stage *x = container_of(s, struct project_stage, base);
	projection_free(x->p);
	mem_free(x);
}

/* Takes ownership of p. */
static int stage_new(struct projection *p, struct stage **out, struct err *e)
{
	struct project_stage *x = mem_try(sizeof(*x));
	if (!x) {
		projection_free(p);
		return err_nomem(e);
	}
	x->p = p;
	*out = &x->base;
	return 0;
}

static int compile_spec(struct value spec, const struct stage_env *env, bool adds,
			struct stage **out, struct err *e)
{
	if (spec.type != BSON_DOCUMENT)
		return err_number(e, ERR_INVALID, adds ? 40272 : 15969,
				  "%s: expected an object, got a %s", env->name,
				  bson_type_name(spec.type));
	struct reader r = { .env = env, .adds = adds, .e = e };
	r.last = &r.first;
	r.p = projection_new(PROJECTION_ADD);
	if (!r.p)
		return err_nomem(e);
	int rc = read_object(&r, SLICE_NONE, value_slice(spec), 0);
	if (rc == 0 && !adds)
		rc = decide_mode(&r);
	if (rc < 0)
		rc = err_in(e, rc, "%s", env->name);
	else
		rc = build(&r);
	if (rc < 0) {
		projection_free(r.p);
		return rc;
	}
	return stage_new(r.p, out, e);
}

static int compile_project(struct value spec, const struct stage_env *env, struct stage **out,
			   struct err *e)
{
	return compile_spec(spec, env, false, out, e);
}

static int compile_add(struct value spec, const struct stage_env *env, struct stage **out,
		       struct err *e)
{
	return compile_spec(spec, env, true, out, e);
}

static int unset_paths(struct projection *p, struct value spec, struct err *e)
{
	struct bson_iter it;
	size_t n = 0;
	if (spec.type == BSON_STRING)
		return add(p, value_slice(spec), FIELD_DROP, 0, e);
	for (bson_iter_init(&it, value_slice(spec)); bson_next(&it); n++) {
		if (it.value.type != BSON_STRING)
			return err_number(e, ERR_INVALID, 31120, "[%zu]: expected a path, got a %s",
					  n, bson_type_name(it.value.type));
		int rc = add(p, value_slice(it.value), FIELD_DROP, 0, e);
		if (rc < 0)
			return rc;
	}
	return n ? 0 : err_number(e, ERR_INVALID, 31119, "expected at least one path");
}

static int compile_unset(struct value spec, const struct stage_env *env, struct stage **out,
			 struct err *e)
{
	if (spec.type != BSON_STRING && spec.type != BSON_ARRAY)
		return err_number(e, ERR_INVALID, 31002,
				  "%s: expected a path or an array of paths, got a %s", env->name,
				  bson_type_name(spec.type));
	struct projection *p = projection_new(PROJECTION_EXCLUDE);
	if (!p)
		return err_nomem(e);
	int rc = unset_paths(p, spec, e);
	if (rc == 0)
		rc = projection_seal(p, e);
	if (rc < 0) {
		projection_free(p);
		return err_in(e, rc, "%s", env->name);
	}
	return stage_new(p, out, e);
}

static int run(const struct stage *s, struct eval *ev, struct slice doc, struct slice *out,
	       struct err *e)
{
	const struct projection *p = self(s);
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

/* "a, b{c}" */
static void explain_paths(const struct node *n, enum field_kind kind, struct buf *out)
{
	bool first = true;
	for (const struct field *f = n->first; f; f = f->next) {
		if (f->kind != kind && f->kind != FIELD_INNER)
			continue;
		size_t mark = out->len;
		if (!first)
			buf_add_str(out, ", ");
		buf_add_slice(out, f->name);
		if (f->kind == FIELD_INNER) {
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

static void explain_kind(const struct projection *p, enum field_kind kind, const char *word,
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

static void explain(const struct stage *s, struct buf *out)
{
	const struct projection *p = self(s);
	explain_kind(p, FIELD_KEEP, "include", out);
	explain_kind(p, FIELD_DROP, "exclude", out);
	for (size_t i = 0; i < p->n_computed; i++) {
		const struct computed *c = &p->computed[i];
		buf_add_fmt(out, SLICE_FMT " = ", SLICE_ARG(c->path));
		expr_explain(c->expr, out);
		buf_add_byte(out, '\n');
	}
}

const struct stage_ops stage_project = {
	.name = "$project",
	.group = "shape",
	.help = "includes, excludes or computes fields",
	.in_change_stream = true,
	.compile = compile_project,
	.run = run,
	.explain = explain,
	.release = release,
};

const struct stage_ops stage_add_fields = {
	.name = "$addFields",
	.group = "shape",
	.help = "computes fields and keeps the others",
	.in_change_stream = true,
	.compile = compile_add,
	.run = run,
	.explain = explain,
	.release = release,
};

const struct stage_ops stage_set = {
	.name = "$set",
	.group = "shape",
	.help = "another name of $addFields",
	.in_change_stream = true,
	.compile = compile_add,
	.run = run,
	.explain = explain,
	.release = release,
};

const struct stage_ops stage_unset = {
	.name = "$unset",
	.group = "shape",
	.help = "removes fields",
	.in_change_stream = true,
	.compile = compile_unset,
	.run = run,
	.explain = explain,
	.release = release,
};
