/* filter.c: the query is translated, compiled against the event's fields as virtual roots, and run on an entry's values;
 * the pipeline is cut behind its leading $match stages.
 */
#include "change/filter.h"

#include "base/mem.h"

/* ---- translating older names of operations ---- */

static int translate_query(struct slice spec, struct bson_writer *w, int depth, struct err *e);

static bool is_operation_path(struct slice key)
{
	return slice_is(key, entry_field_names[ENTRY_OPERATION_TYPE]);
}

/* A value that operationType is compared with: every string in it may be a name. */
static int translate_operand(struct slice key, struct value v, struct bson_writer *w, int depth,
			     struct err *e)
{
	if (depth > MATCH_DEPTH_MAX)
		return err_set(e, ERR_LIMIT, "nested more than %d levels deep", MATCH_DEPTH_MAX);
	if (v.type == BSON_STRING) {
		bson_put_string(w, key, change_op_alias(value_slice(v)));
		return 0;
	}
	if (v.type != BSON_DOCUMENT && v.type != BSON_ARRAY) {
		bson_put(w, key, v);
		return 0;
	}
	if (v.type == BSON_DOCUMENT)
		bson_begin_doc(w, key);
	else
		bson_begin_array(w, key);
	struct bson_iter it;
	bson_iter_init(&it, value_slice(v));
	int rc = 0;
	while (rc == 0 && bson_next(&it)) {
		/* The text of a regular expression is no name. */
		if (slice_is(it.key, "$regex") || slice_is(it.key, "$options"))
			bson_put(w, it.key, it.value);
		else
			rc = translate_operand(it.key, it.value, w, depth + 1, e);
	}
	bson_end(w);
	return rc;
}

static int translate_list(struct slice key, struct slice list, struct bson_writer *w, int depth,
			  struct err *e)
{
	struct bson_iter it;
	int rc = 0;
	bson_begin_array(w, key);
	bson_iter_init(&it, list);
	while (rc == 0 && bson_next(&it)) {
		if (it.value.type != BSON_DOCUMENT) {
			bson_put(w, it.key, it.value);
			continue;
		}
		bson_begin_doc(w, it.key);
		rc = translate_query(value_slice(it.value), w, depth + 1, e);
		bson_end(w);
	}
	bson_end(w);
	return rc;
}

static int translate_query(struct slice spec, struct bson_writer *w, int depth, struct err *e)
{
	if (depth > MATCH_DEPTH_MAX)
		return err_set(e, ERR_LIMIT, "nested more than %d levels deep", MATCH_DEPTH_MAX);
	struct bson_iter it;
	int rc = 0;
	bson_iter_init(&it, spec);
	while (rc == 0 && bson_next(&it)) {
		bool is_list = slice_is(it.key, "$and") || slice_is(it.key, "$or") ||
			       slice_is(it.key, "$nor");
		if (is_list && it.value.type == BSON_ARRAY)
			rc = translate_list(it.key, value_slice(it.value), w, depth, e);
		else if (is_operation_path(it.key))
			rc = translate_operand(it.key, it.value, w, depth, e);
		else
			bson_put(w, it.key, it.value);
	}
	return rc;
}

int filter_translate(struct slice spec, struct buf *out, struct err *e)
{
	size_t start = out->len;
	struct bson_writer w;
	bson_writer_init(&w, out);
	int rc = translate_query(spec, &w, 0, e);
	if (rc == 0)
		return bson_finish(&w, e);
	out->len = start;
	return rc;
}

/* ---- compiling ---- */

static int compile_query(struct slice spec, struct match **out, struct err *e)
{
	AUTO(buf) struct buf translated = BUF_INIT;
	int rc = filter_translate(spec, &translated, e);
	if (rc < 0)
		return rc;
	const struct match_options o = { .roots = entry_field_names };
	rc = match_compile(buf_slice(&translated), &o, out, e);
	if (rc == 0 && match_is_all(*out)) {
		match_free(*out);
		*out = NULL;
	}
	return rc;
}

static bool is_match_stage(struct value stage)
{
	struct bson_iter it;
	if (stage.type != BSON_DOCUMENT)
		return false;
	bson_iter_init(&it, value_slice(stage));
	return bson_next(&it) && slice_is(it.key, "$match");
}

/* The stages behind the leading $match ones, as an array document. */
static int rest_of(struct slice stages, struct buf *out, struct err *e)
{
	struct bson_writer w;
	struct bson_iter it;
	bool leading = true;
	bson_writer_init(&w, out);
	bson_begin_array(&w, SLICE_LIT("rest"));
	bson_iter_init(&it, stages);
	while (bson_next(&it)) {
		leading = leading && is_match_stage(it.value);
		if (!leading)
			bson_put(&w, it.key, it.value);
	}
	bson_end(&w);
	return bson_finish(&w, e);
}

static int compile_rest(struct filter *f, struct slice stages, const struct pipeline_options *o,
			struct err *e)
{
	AUTO(buf) struct buf b = BUF_INIT;
	int rc = rest_of(stages, &b, e);
	if (rc < 0)
		return rc;
	struct slice rest = value_slice(bson_get(buf_slice(&b), SLICE_LIT("rest")));
	return rest.len > 5 ? pipeline_compile(rest, o, &f->rest, e) : 0;
}

/* The whole is compiled first, so that errors name the stage by its place; then its two parts. */
static int compile_pipeline(struct filter *f, struct slice stages, struct err *e)
{
	const struct pipeline_options o = { .context = PIPELINE_CHANGE_STREAM };
	struct pipeline *whole;
	int rc = pipeline_compile(stages, &o, &whole, e);
	if (rc < 0)
		return rc;
	struct slice lead = pipeline_leading_match(whole);
	if (lead.len)
		rc = compile_query(lead, &f->lead, e);
	if (rc == 0)
		rc = compile_rest(f, stages, &o, e);
	pipeline_free(whole);
	return rc;
}

static int copy_names(struct filter *f, struct slice db, struct slice coll, struct err *e)
{
	f->names = mem_try(db.len + coll.len + 1);
	if (!f->names)
		return err_nomem(e);
	if (db.len)
		memcpy(f->names, db.p, db.len);
	if (coll.len)
		memcpy(f->names + db.len, coll.p, coll.len);
	f->db = slice_of(f->names, db.len);
	f->coll = slice_of(f->names + db.len, coll.len);
	f->ns_hash = entry_ns_hash(db, coll);
	return 0;
}

int filter_init(struct filter *f, struct slice db, struct slice coll, struct slice spec,
		struct slice stages, struct err *e)
{
	*f = (struct filter){ 0 };
	int rc = copy_names(f, db, coll, e);
	if (rc == 0 && spec.len) {
		rc = compile_query(spec, &f->query, e);
		if (rc < 0)
			rc = err_in(e, rc, "filter");
	}
	if (rc == 0 && stages.len) {
		rc = compile_pipeline(f, stages, e);
		if (rc < 0)
			rc = err_in(e, rc, "pipeline");
	}
	if (f->query)
		f->used |= match_roots_used(f->query);
	if (f->lead)
		f->used |= match_roots_used(f->lead);
	if (rc < 0)
		filter_done(f);
	return rc;
}

void filter_done(struct filter *f)
{
	match_free(f->query);
	match_free(f->lead);
	pipeline_free(f->rest);
	mem_free(f->names);
	*f = (struct filter){ 0 };
}

/* ---- running ---- */

static bool is_text(struct value v, struct slice s)
{
	return v.type == BSON_STRING && slice_eq(value_slice(v), s);
}

static bool in_scope(const struct filter *f, struct value db, struct value coll)
{
	return is_text(db, f->db) && (!f->coll.len || is_text(coll, f->coll));
}

bool filter_in_scope(const struct filter *f, const struct entry *n, const struct value *v)
{
	if (!f->db.len || n->op == CHANGE_NOOP || in_scope(f, v[ENTRY_DB], v[ENTRY_COLL]))
		return true;
	/* Who watches a collection is told that its database went, or that something took its name. */
	if (n->op == CHANGE_DROP_DATABASE)
		return is_text(v[ENTRY_DB], f->db);
	if (n->op == CHANGE_RENAME && v[ENTRY_TO].type == BSON_DOCUMENT) {
		struct slice to = value_slice(v[ENTRY_TO]);
		return in_scope(f, bson_get(to, SLICE_LIT("db")), bson_get(to, SLICE_LIT("coll")));
	}
	return false;
}

int filter_matches(const struct filter *f, struct eval *ev, const struct value *v, struct err *e)
{
	int rc = 1;
	if (f->query)
		rc = match_roots(f->query, ev, v, e);
	if (rc == 1 && f->lead)
		rc = match_roots(f->lead, ev, v, e);
	return rc;
}
