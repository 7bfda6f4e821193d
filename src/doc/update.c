/* update.c: what an update spec is, and the frame around its application.
 *
 *	{ $set: ..., $inc: ... }     operators: a tree of paths (update_tree.h)
 *	{ a: 1, ... }                a replacement: the new document, with the old _id
 *	[ {$set: ...}, ... ]         a pipeline of stages
 *
 * Whatever the form, _id stays what it was.
 */
#include "doc/update_tree.h"

#include "base/mem.h"
#include "base/suggest.h"
#include "doc/compare.h"
#include "doc/pipeline.h"

static const struct update_operator *const op_tables[] = { update_field_ops, update_array_ops };

static const struct update_operator *find_operator(struct slice name)
{
	for (size_t t = 0; t < ARRAY_LEN(op_tables); t++)
		for (const struct update_operator *row = op_tables[t]; row->name; row++)
			if (slice_is(name, row->name))
				return row;
	return NULL;
}

int update_operators(int (*each)(void *arg, const char *name, const char *group, const char *help),
		     void *arg)
{
	for (size_t t = 0; t < ARRAY_LEN(op_tables); t++) {
		for (const struct update_operator *row = op_tables[t]; row->name; row++) {
			int rc = each(arg, row->name, row->group, row->help);
			if (rc != 0)
				return rc;
		}
	}
	return 0;
}

/* ---- compiling ---- */

static int unknown_operator(struct slice name, struct err *e)
{
	struct suggestion s = SUGGESTION_INIT;
	for (size_t t = 0; t < ARRAY_LEN(op_tables); t++)
		for (const struct update_operator *row = op_tables[t]; row->name; row++)
			suggest_add(&s, name, row->name);
	if (name.len && name.p[0] != '$')
		return err_number(e, ERR_INVALID, 9,
				  "'" SLICE_FMT
				  "' is a field beside update operators: an update is "
				  "either operators or a replacement",
				  SLICE_ARG(name));
	return err_number(e, ERR_INVALID, 9, "unknown update operator '" SLICE_FMT "'%s%s%s",
			  SLICE_ARG(name), s.name ? "; did you mean " : "", s.name ? s.name : "",
			  s.name ? "?" : "");
}

static int compile_operator(struct update *u, const struct bson_iter *spec, struct err *e)
{
	const struct update_operator *row = find_operator(spec->key);
	if (!row)
		return unknown_operator(spec->key, e);
	if (spec->value.type != BSON_DOCUMENT)
		return err_number(e, ERR_INVALID, 9, "%s: expected {<path>: ...}, got a %s",
				  row->name, bson_type_name(spec->value.type));
	struct bson_iter it;
	bson_iter_init(&it, value_slice(spec->value));
	while (bson_next(&it)) {
		struct update_leaf *leaf;
		int rc = update_add(u, row, it.key, it.value, &leaf, e);
		if (rc == 0 && row->compile) {
			size_t i = u->n_leaves - 1;
			struct update_op op = leaf->op;
			rc = row->compile(u, &op, e); /* may add leaves and move them */
			u->leaves[i].op = op;
		}
		if (rc < 0)
			return err_in(e, rc, "%s." SLICE_FMT, row->name, SLICE_ARG(it.key));
	}
	return 0;
}

static int compile_operators(struct update *u, struct err *e)
{
	struct bson_iter it;
	bson_iter_init(&it, u->spec);
	while (bson_next(&it)) {
		int rc = compile_operator(u, &it, e);
		if (rc < 0)
			return rc;
	}
	int rc = update_filters_all_used(u, e);
	return rc < 0 ? rc : update_tree_build(u, e);
}

static int compile_replacement(struct update *u, struct err *e)
{
	struct bson_iter it;
	u->replacement = true;
	bson_iter_init(&it, u->spec);
	while (bson_next(&it))
		if (it.key.len && it.key.p[0] == '$')
			return err_number(
				e, ERR_INVALID, 52,
				"'" SLICE_FMT
				"' in a replacement: a field name must not begin with '$'",
				SLICE_ARG(it.key));
	return u->n_filters ? update_filters_all_used(u, e) : 0;
}

/* The stages that make sense on a single document that must remain one. */
static int compile_pipeline(struct update *u, struct err *e)
{
	static const char *const allowed[] = { "$addFields", "$set",         "$unset",
					       "$project",   "$replaceRoot", "$replaceWith" };
	struct bson_iter it, stage;
	bson_iter_init(&it, u->spec);
	for (size_t i = 0; bson_next(&it); i++) {
		if (it.value.type != BSON_DOCUMENT)
			continue; /* pipeline_compile says it */
		bson_iter_init(&stage, value_slice(it.value));
		if (!bson_next(&stage) || !pipeline_stage_known(stage.key))
			continue;
		bool ok = false;
		for (size_t k = 0; k < ARRAY_LEN(allowed); k++)
			ok |= slice_is(stage.key, allowed[k]);
		if (!ok)
			return err_number(e, ERR_INVALID, 72,
					  "[%zu]: " SLICE_FMT " is not allowed in an update", i,
					  SLICE_ARG(stage.key));
	}
	if (u->n_filters)
		return err_number(e, ERR_INVALID, 9,
				  "arrayFilters do not go with an update pipeline");
	return pipeline_compile(u->spec, NULL, &u->pipeline, e);
}

static int compile(struct update *u, struct slice spec, bool is_pipeline,
		   const struct update_options *o, struct err *e)
{
	u->spec.p = arena_copy(&u->arena, spec.p, spec.len);
	u->spec.len = spec.len;
	if (!u->spec.p)
		return err_nomem(e);
	if (o && o->array_filters.len) {
		int rc = update_filters_compile(u, o->array_filters, e);
		if (rc < 0)
			return rc;
	}
	if (is_pipeline)
		return compile_pipeline(u, e);
	if (o && o->query.len) {
		u->query = (struct slice){ arena_copy(&u->arena, o->query.p, o->query.len),
					   o->query.len };
		if (!u->query.p)
			return err_nomem(e);
	}
	struct bson_iter it;
	bson_iter_init(&it, u->spec);
	bool operators = bson_next(&it) && it.key.len && it.key.p[0] == '$';
	return operators ? compile_operators(u, e) : compile_replacement(u, e);
}

int update_compile(struct slice spec, bool is_pipeline, const struct update_options *o,
		   struct update **out, struct err *e)
{
	struct update *u = mem_try(sizeof(*u));
	if (!u)
		return err_nomem(e);
	int rc = compile(u, spec, is_pipeline, o, e);
	if (rc < 0) {
		update_free(u);
		return rc;
	}
	*out = u;
	return 0;
}

void update_free(struct update *u)
{
	if (!u)
		return;
	for (size_t i = 0; i < u->n_filters; i++)
		match_free(u->filters[i].match);
	for (size_t i = 0; i < u->n_matches; i++)
		match_free(u->matches[i]);
	if (u->positional)
		match_free(u->positional->match);
	pipeline_free(u->pipeline);
	arena_done(&u->arena);
	mem_free(u);
}

bool update_is_replacement(const struct update *u)
{
	return u->replacement;
}

/* ---- applying ---- */

static int immutable_id(struct err *e)
{
	return err_number(e, ERR_INVALID, 66, "the update would change _id, which must stay");
}

/* doc with the old _id in front, unless it has its own, equal one. */
static int replace(struct slice doc, struct value id, struct bson_writer *w, struct err *e)
{
	struct value own = bson_get_str(doc, "_id");
	if (own.type != BSON_MISSING && id.type != BSON_MISSING && !value_equal(own, id))
		return immutable_id(e);
	bool keep = id.type != BSON_MISSING;
	if (keep)
		bson_put(w, SLICE_LIT("_id"), id);
	struct bson_iter it;
	bson_iter_init(&it, doc);
	while (bson_next(&it))
		if (!keep || !slice_is(it.key, "_id"))
			bson_put_raw(w, it.raw);
	return 0;
}

struct staged {
	struct slice doc;
	bool got;
};

static int keep_result(void *arg, struct slice doc, struct err *e)
{
	struct staged *s = arg;
	(void)e;
	s->doc = doc;
	s->got = true;
	return 0;
}

static int apply_pipeline(const struct update *u, struct eval *ev, struct slice before,
			  struct bson_writer *w, struct err *e)
{
	struct staged s = { .doc = SLICE_NONE };
	int rc = pipeline_run(u->pipeline, ev, before, keep_result, &s, e);
	if (rc < 0)
		return rc;
	ASSERT(s.got);
	return replace(s.doc, bson_get_str(before, "_id"), w, e);
}

static int apply_operators(const struct update *u, struct eval *ev, struct slice before,
			   bool upsert_insert, struct bson_writer *w, struct err *e)
{
	struct update_run run = { .u = u, .ev = ev, .before = before, .insert = upsert_insert };
	int rc = update_positional_find(&run, e);
	if (rc == 0)
		rc = update_renames_find(&run, e);
	return rc < 0 ? rc : update_tree_apply(&run, w, e);
}

int update_apply(const struct update *u, struct eval *ev, struct slice before, bool upsert_insert,
		 struct buf *out, struct err *e)
{
	size_t start = out->len;
	struct value id = bson_get_str(before, "_id");
	struct bson_writer w;
	bson_writer_init(&w, out);
	int rc = u->replacement ? replace(u->spec, id, &w, e)
		 : u->pipeline  ? apply_pipeline(u, ev, before, &w, e)
				: apply_operators(u, ev, before, upsert_insert, &w, e);
	if (rc == 0)
		rc = bson_finish(&w, e);
	if (rc == 0 && !u->replacement && !u->pipeline && id.type != BSON_MISSING) {
		struct slice after = slice_of(out->p + start, out->len - start);
		if (!value_equal(id, bson_get_str(after, "_id")))
			rc = immutable_id(e);
	}
	if (rc < 0)
		out->len = start;
	return rc;
}
