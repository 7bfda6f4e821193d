/* stage_replace.c: $replaceRoot and $replaceWith: the document becomes what an expression gives. */
#include "doc/stage.h"

#include "base/mem.h"

struct replace_stage {
	struct stage base;
	struct expr *expr;
};

static const struct replace_stage *self(const struct stage *s)
{
	return container_of(s, struct replace_stage, base);
}

static void release(struct stage *s)
{
	struct replace_stage *r = container_of(s, struct replace_stage, base);
	expr_free(r->expr);
	mem_free(r);
}

static int compile_at(struct value spec, const struct stage_env *env, const char *place,
		      struct stage **out, struct err *e)
{
	struct replace_stage *r = mem_try(sizeof(*r));
	if (!r)
		return err_nomem(e);
	int rc = stage_expr_compile(env, spec, &(struct expr_options){ .place = place }, &r->expr,
				    e);
	if (rc < 0) {
		mem_free(r);
		return rc;
	}
	*out = &r->base;
	return 0;
}

static int compile_with(struct value spec, const struct stage_env *env, struct stage **out,
			struct err *e)
{
	return compile_at(spec, env, env->name, out, e);
}

static int compile_root(struct value spec, const struct stage_env *env, struct stage **out,
			struct err *e)
{
	struct value root = VALUE_MISSING;
	struct bson_iter it;
	if (spec.type != BSON_DOCUMENT)
		return err_number(e, ERR_INVALID, 40229,
				  "%s: expected {newRoot: <expression>}, got a %s", env->name,
				  bson_type_name(spec.type));
	bson_iter_init(&it, value_slice(spec));
	while (bson_next(&it)) {
		if (!slice_is(it.key, "newRoot"))
			return err_number(e, ERR_INVALID, 40415,
					  "%s: unknown field '" SLICE_FMT
					  "'; expected {newRoot: <expression>}",
					  env->name, SLICE_ARG(it.key));
		root = it.value;
	}
	if (root.type == BSON_MISSING)
		return err_number(e, ERR_INVALID, 40414, "%s: newRoot is missing", env->name);
	return compile_at(root, env, "$replaceRoot.newRoot", out, e);
}

static int run(const struct stage *s, struct eval *ev, struct slice doc, struct slice *out,
	       struct err *e)
{
	struct value v;
	int rc = expr_eval(self(s)->expr, ev, doc, &v, e);
	if (rc < 0)
		return rc;
	if (v.type != BSON_DOCUMENT)
		return err_number(e, ERR_TYPE, 40228, "the new root must be an object, not %s",
				  v.type == BSON_MISSING ? "missing" : bson_type_name(v.type));
	*out = value_slice(v);
	return 1;
}

static void explain(const struct stage *s, struct buf *out)
{
	expr_explain(self(s)->expr, out);
}

const struct stage_ops stage_replace_root = {
	.name = "$replaceRoot",
	.group = "shape",
	.help = "replaces the document by an object computed from it",
	.in_change_stream = true,
	.compile = compile_root,
	.run = run,
	.explain = explain,
	.release = release,
};

const struct stage_ops stage_replace_with = {
	.name = "$replaceWith",
	.group = "shape",
	.help = "the same as $replaceRoot, with the expression alone",
	.in_change_stream = true,
	.compile = compile_with,
	.run = run,
	.explain = explain,
	.release = release,
};
