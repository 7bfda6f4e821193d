/* stage_redact.c: $redact: an expression decides, document by subdocument, what is kept.
 *
 * The expression gives one of three words (expr.h): "keep" takes the (sub)document whole, "prune" leaves it out,
 * "descend" takes its plain fields and asks again about each object in it, also about those in arrays.
 *
 * The answers are gathered first, in the order of a walk through the document, and the result is written in a
 * second walk that reads them in the same order.
 */
#include "doc/stage.h"

#include "base/mem.h"

struct redact_stage {
	struct stage base;
	struct expr *expr;
};

enum answer { ANSWER_KEEP, ANSWER_PRUNE, ANSWER_DESCEND };

struct redaction {
	const struct redact_stage *s;
	struct eval *ev;
	struct slice root;
	uint8_t *answers; /* enum answer */
	size_t n, cap, at;
	struct bson_writer *w;
	struct err *e;
};

static void release(struct stage *s)
{
	struct redact_stage *r = container_of(s, struct redact_stage, base);
	expr_free(r->expr);
	mem_free(r);
}

static int compile(struct value spec, const struct stage_env *env, struct stage **out,
		   struct err *e)
{
	struct redact_stage *r = mem_try(sizeof(*r));
	if (!r)
		return err_nomem(e);
	struct expr_options o = { .place = env->name, .redact = true };
	int rc = stage_expr_compile(env, spec, &o, &r->expr, e);
	if (rc < 0) {
		mem_free(r);
		return rc;
	}
	*out = &r->base;
	return 0;
}

/* ---- asking ---- */

static int answer(struct redaction *r, struct slice current, enum answer *out)
{
	struct expr_input in = { .root = r->root, .current = current };
	struct value v;
	int rc = expr_eval_input(r->s->expr, r->ev, &in, &v, r->e);
	if (rc < 0)
		return rc;
	struct slice word = v.type == BSON_STRING ? value_slice(v) : SLICE_NONE;
	if (slice_is(word, "keep"))
		*out = ANSWER_KEEP;
	else if (slice_is(word, "prune"))
		*out = ANSWER_PRUNE;
	else if (slice_is(word, "descend"))
		*out = ANSWER_DESCEND;
	else
		return err_number(r->e, ERR_INVALID, 17053,
				  "the expression must give $$KEEP, $$PRUNE or $$DESCEND, not a "
				  "value of type %s",
				  v.type == BSON_MISSING ? "missing" : bson_type_name(v.type));
	if (r->n == r->cap) {
		size_t cap = r->cap ? r->cap * 2 : 64;
		uint8_t *grown = arena_try(&r->ev->arena, cap);
		if (!grown)
			return eval_nomem(r->ev, r->e);
		if (r->n)
			memcpy(grown, r->answers, r->n);
		r->answers = grown;
		r->cap = cap;
	}
	r->answers[r->n++] = (uint8_t)*out;
	return 0;
}

static int ask(struct redaction *r, struct value v)
{
	struct bson_iter it;
	if (v.type == BSON_DOCUMENT) {
		enum answer a = ANSWER_KEEP;
		int rc = answer(r, value_slice(v), &a);
		if (rc < 0 || a != ANSWER_DESCEND)
			return rc;
	}
	bson_iter_init(&it, value_slice(v));
	while (bson_next(&it)) {
		if (it.value.type != BSON_DOCUMENT && it.value.type != BSON_ARRAY)
			continue;
		int rc = ask(r, it.value);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* ---- writing ---- */

static void write_members(struct redaction *r, struct slice doc, bool is_array);

static void write_value(struct redaction *r, struct slice key, struct value v)
{
	if (v.type == BSON_ARRAY) {
		bson_begin_array(r->w, key);
		write_members(r, value_slice(v), true);
		bson_end(r->w);
		return;
	}
	switch ((enum answer)r->answers[r->at++]) {
	case ANSWER_KEEP: bson_put(r->w, key, v); break;
	case ANSWER_PRUNE: break;
	case ANSWER_DESCEND:
		bson_begin_doc(r->w, key);
		write_members(r, value_slice(v), false);
		bson_end(r->w);
		break;
	}
}

static void write_members(struct redaction *r, struct slice doc, bool is_array)
{
	struct bson_iter it;
	bson_iter_init(&it, doc);
	while (bson_next(&it)) {
		if (it.value.type == BSON_DOCUMENT || it.value.type == BSON_ARRAY)
			write_value(r, it.key, it.value);
		else if (is_array)
			bson_put(r->w, SLICE_NONE, it.value);
		else
			bson_put_raw(r->w, it.raw);
	}
}

static int run(const struct stage *s, struct eval *ev, struct slice doc, struct slice *out,
	       struct err *e)
{
	struct bson_writer w;
	struct redaction r = {
		.s = container_of(s, struct redact_stage, base),
		.ev = ev,
		.root = doc,
		.w = &w,
		.e = e,
	};
	int rc = ask(&r, value_doc(doc));
	if (rc < 0)
		return rc;
	*out = doc;
	if (r.answers[0] != ANSWER_DESCEND)
		return r.answers[0] == ANSWER_KEEP;
	size_t start = ev->scratch.len;
	r.at = 1;
	bson_writer_init(&w, &ev->scratch);
	write_members(&r, doc, false);
	return stage_finish(&w, ev, start, out, e);
}

static void explain(const struct stage *s, struct buf *out)
{
	expr_explain(container_of(s, struct redact_stage, base)->expr, out);
}

const struct stage_ops stage_redact = {
	.name = "$redact",
	.group = "filter",
	.help = "keeps, prunes or descends into documents by what an expression says of each",
	.in_change_stream = true,
	.compile = compile,
	.run = run,
	.explain = explain,
	.release = release,
};
