/* stage_project.c: $project, $addFields, $set and $unset: from a specification to a projection (projection.h).
 *
 * $project is read as a list first: only then is known whether it includes or excludes.
 */
#include "doc/stage.h"

#include "base/mem.h"
#include "doc/projection.h"

/* ---- reading a specification ---- */

/* One path of the specification, before it is known whether it includes or excludes. */
struct entry {
	struct entry *next;
	struct slice path;
	enum projection_kind kind; /* not INNER */
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
	*entry = (struct entry){ .path = path, .kind = PROJECTION_COMPUTE, .value = v };
	if (!r->adds && is_selector(v))
		entry->kind = value_truth(v) ? PROJECTION_KEEP : PROJECTION_DROP;
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
		if (slice_is(x->path, "_id") && x->kind != PROJECTION_COMPUTE) {
			id = x;
			continue;
		}
		if (!decider) {
			decider = x;
			r->p->mode = x->kind == PROJECTION_DROP ? PROJECTION_EXCLUDE
								: PROJECTION_INCLUDE;
			continue;
		}
		bool excluding = r->p->mode == PROJECTION_EXCLUDE;
		if (excluding == (x->kind == PROJECTION_DROP))
			continue;
		if (x->kind == PROJECTION_COMPUTE)
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
		r->p->mode = id->kind == PROJECTION_DROP ? PROJECTION_EXCLUDE : PROJECTION_INCLUDE;
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
	return projection_add_expr(r->p, x->path, expr, r->e);
}

static int build(struct reader *r)
{
	bool id_named = false;
	for (const struct entry *x = r->first; x; x = x->next) {
		bool is_id = slice_is(x->path, "_id");
		id_named |= is_id || (x->path.len > 4 && memcmp(x->path.p, "_id.", 4) == 0);
		if (is_id && x->kind == PROJECTION_KEEP && r->p->mode == PROJECTION_EXCLUDE)
			continue; /* it stays anyway */
		int rc = x->kind == PROJECTION_COMPUTE
				 ? add_expression(r, x)
				 : projection_add(r->p, x->path, x->kind, r->e);
		if (rc < 0)
			return rc;
	}
	if (r->p->mode == PROJECTION_INCLUDE && !id_named)
		return projection_add(r->p, SLICE_LIT("_id"), PROJECTION_KEEP, r->e);
	return 0;
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

/* The stage of a tree that was built, or not (rc). Takes ownership of p. */
static int stage_new(struct projection *p, int rc, struct stage **out, struct err *e)
{
	if (rc == 0)
		rc = projection_seal(p, e);
	struct project_stage *x = rc == 0 ? mem_try(sizeof(*x)) : NULL;
	if (!x) {
		projection_free(p);
		return rc < 0 ? rc : err_nomem(e);
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
	return stage_new(r.p, rc, out, e);
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
		return projection_add(p, value_slice(spec), PROJECTION_DROP, e);
	for (bson_iter_init(&it, value_slice(spec)); bson_next(&it); n++) {
		if (it.value.type != BSON_STRING)
			return err_number(e, ERR_INVALID, 31120, "[%zu]: expected a path, got a %s",
					  n, bson_type_name(it.value.type));
		int rc = projection_add(p, value_slice(it.value), PROJECTION_DROP, e);
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
	if (rc < 0)
		rc = err_in(e, rc, "%s", env->name);
	return stage_new(p, rc, out, e);
}

static int run(const struct stage *s, struct eval *ev, struct slice doc, struct slice *out,
	       struct err *e)
{
	return projection_run(self(s), ev, doc, out, e);
}

static void explain(const struct stage *s, struct buf *out)
{
	projection_explain(self(s), out);
}

#define ROW(name_, help_, compile_) \
	{ \
		.name = name_, .group = "shape", .help = help_, .in_change_stream = true, \
		.compile = compile_, .run = run, .explain = explain, .release = release, \
	}

const struct stage_ops stage_project =
	ROW("$project", "includes, excludes or computes fields", compile_project);
const struct stage_ops stage_add_fields =
	ROW("$addFields", "computes fields and keeps the others", compile_add);
const struct stage_ops stage_set = ROW("$set", "another name of $addFields", compile_add);
const struct stage_ops stage_unset = ROW("$unset", "removes fields", compile_unset);
