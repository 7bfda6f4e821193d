/* stage_let.c: variables of the caller (`let`) that every expression of a pipeline sees.
 *
 *	let {x: 20, y: {$add: ["$$x", 2]}}        computed once, when the pipeline is compiled
 *	  ─▶ {x: {$literal: 20}, y: {$literal: 22}}
 *
 * An expression X is compiled as {$let: {vars: <that>, in: X}}; so is the operand of every $expr in a $match.
 */
#include "doc/stage.h"

/* {$let: {vars: vars, in: spec}} under the key. */
static void put_let(struct bson_writer *w, struct slice key, struct slice vars, struct value spec)
{
	bson_begin_doc(w, key);
	bson_begin_doc(w, SLICE_LIT("$let"));
	bson_put_doc(w, SLICE_LIT("vars"), vars);
	bson_put(w, SLICE_LIT("in"), spec);
	bson_end(w);
	bson_end(w);
}

int stage_expr_compile(const struct stage_env *env, struct value spec, const struct expr_options *o,
		       struct expr **out, struct err *e)
{
	if (!env->let.len)
		return expr_compile(spec, o, out, e);
	AUTO(buf) struct buf b = BUF_INIT;
	struct bson_writer w;
	bson_writer_init(&w, &b);
	put_let(&w, SLICE_LIT("x"), env->let, spec);
	int rc = bson_finish(&w, e);
	return rc < 0 ? rc : expr_compile(bson_get_str(buf_slice(&b), "x"), o, out, e);
}

/* "$a", "$$ROOT", "$$CURRENT.b" anywhere but in a $literal. */
static bool reads_document(struct value v, int depth)
{
	if (v.type == BSON_STRING) {
		struct slice s = value_slice(v);
		if (s.len < 2 || s.p[0] != '$')
			return false;
		return s.p[1] != '$' || (s.len >= 6 && memcmp(s.p, "$$ROOT", 6) == 0) ||
		       (s.len >= 9 && memcmp(s.p, "$$CURRENT", 9) == 0);
	}
	if ((v.type != BSON_DOCUMENT && v.type != BSON_ARRAY) || depth > EXPR_DEPTH_MAX)
		return false;
	struct bson_iter it;
	bson_iter_init(&it, value_slice(v));
	while (bson_next(&it))
		if (!slice_is(it.key, "$literal") && reads_document(it.value, depth + 1))
			return true;
	return false;
}

static void put_variable(struct bson_writer *w, struct slice name, struct value v)
{
	if (v.type == BSON_MISSING) {
		bson_put_string(w, name, SLICE_LIT("$$REMOVE"));
		return;
	}
	bson_begin_doc(w, name);
	bson_put(w, SLICE_LIT("$literal"), v);
	bson_end(w);
}

/* vars holds the variables before this one, as a finished document; next gets them and this one. */
static int add_variable(struct slice name, struct value spec, struct slice vars, struct buf *next,
			struct err *e)
{
	AUTO(buf) struct buf place = BUF_INIT;
	struct stage_env env = { .let = vars };
	struct expr *x;
	struct value v;
	buf_add_fmt(&place, "let." SLICE_FMT, SLICE_ARG(name));
	struct expr_options o = { .place = buf_cstr(&place) };
	int rc = buf_check(&place, e);
	if (rc == 0 && reads_document(spec, 0))
		rc = err_number(e, ERR_INVALID, 4890500,
				"let." SLICE_FMT ": there is no document to read a field of",
				SLICE_ARG(name));
	if (rc == 0)
		rc = stage_expr_compile(&env, spec, &o, &x, e);
	if (rc < 0)
		return rc;
	struct eval ev;
	eval_init(&ev);
	rc = expr_eval(x, &ev, BSON_EMPTY, &v, e);
	if (rc < 0) {
		rc = err_in(e, rc, "let." SLICE_FMT, SLICE_ARG(name));
	} else {
		struct bson_writer w;
		struct bson_iter it;
		bson_writer_init(&w, next);
		bson_iter_init(&it, vars.len ? vars : BSON_EMPTY);
		while (bson_next(&it))
			bson_put_raw(&w, it.raw);
		put_variable(&w, name, v);
		rc = bson_finish(&w, e);
	}
	eval_done(&ev);
	expr_free(x);
	return rc;
}

int stage_let_compile(struct slice let, struct buf *vars, struct err *e)
{
	struct bson_iter it;
	size_t n = 0;
	for (bson_iter_init(&it, let); bson_next(&it); n++) {
		if (n >= EXPR_VARS_MAX)
			return err_set(e, ERR_LIMIT, "more than %d variables", EXPR_VARS_MAX);
		AUTO(buf) struct buf next = BUF_INIT;
		int rc = add_variable(it.key, it.value, buf_slice(vars), &next, e);
		if (rc < 0)
			return rc;
		struct buf before = *vars;
		*vars = next;
		next = before;
	}
	return 0;
}

static void rewrite_match(struct bson_writer *w, struct slice query, struct slice vars, int depth)
{
	struct bson_iter it, branch;
	bson_iter_init(&it, query);
	while (bson_next(&it)) {
		bool logical = slice_is(it.key, "$and") || slice_is(it.key, "$or") ||
			       slice_is(it.key, "$nor");
		if (slice_is(it.key, "$expr")) {
			put_let(w, it.key, vars, it.value);
		} else if (logical && it.value.type == BSON_ARRAY && depth < MATCH_DEPTH_MAX) {
			bson_begin_array(w, it.key);
			bson_iter_init(&branch, value_slice(it.value));
			while (bson_next(&branch)) {
				if (branch.value.type != BSON_DOCUMENT) {
					bson_put(w, SLICE_NONE, branch.value);
					continue;
				}
				bson_begin_doc(w, SLICE_NONE);
				rewrite_match(w, value_slice(branch.value), vars, depth + 1);
				bson_end(w);
			}
			bson_end(w);
		} else {
			bson_put_raw(w, it.raw);
		}
	}
}

int stage_let_rewrite(struct slice stages, struct slice vars, struct buf *out, struct err *e)
{
	struct bson_writer w;
	struct bson_iter it, stage;
	bson_writer_init(&w, out);
	bson_iter_init(&it, stages);
	while (bson_next(&it)) {
		struct slice doc =
			it.value.type == BSON_DOCUMENT ? value_slice(it.value) : BSON_EMPTY;
		bson_iter_init(&stage, doc);
		bool match = bson_next(&stage) && slice_is(stage.key, "$match") &&
			     stage.value.type == BSON_DOCUMENT;
		struct slice query = match ? value_slice(stage.value) : SLICE_NONE;
		if (!match || bson_next(&stage)) {
			bson_put_raw(&w, it.raw);
			continue;
		}
		bson_begin_doc(&w, it.key);
		bson_begin_doc(&w, SLICE_LIT("$match"));
		rewrite_match(&w, query, vars, 0);
		bson_end(&w);
		bson_end(&w);
	}
	return bson_finish(&w, e);
}
