/* stage_match.c: $match: passes the documents that a query matches. */
#include "doc/stage.h"

#include "base/mem.h"

struct match_stage {
	struct stage base;
	struct match *match;
};

static const struct match_stage *self(const struct stage *s)
{
	return container_of(s, struct match_stage, base);
}

static void release(struct stage *s)
{
	struct match_stage *m = container_of(s, struct match_stage, base);
	match_free(m->match);
	mem_free(m);
}

static int compile(struct value spec, const struct stage_env *env, struct stage **out,
		   struct err *e)
{
	if (spec.type != BSON_DOCUMENT)
		return err_number(e, ERR_INVALID, 15959, "%s: expected a query document, got a %s",
				  env->name, bson_type_name(spec.type));
	struct match_stage *m = mem_try(sizeof(*m));
	if (!m)
		return err_nomem(e);
	int rc = match_compile(value_slice(spec), NULL, &m->match, e);
	if (rc < 0) {
		mem_free(m);
		return err_in(e, rc, "%s", env->name);
	}
	*out = &m->base;
	return 0;
}

static int run(const struct stage *s, struct eval *ev, struct slice doc, struct slice *out,
	       struct err *e)
{
	*out = doc;
	return match_doc(self(s)->match, ev, doc, e);
}

static void explain(const struct stage *s, struct buf *out)
{
	match_explain(self(s)->match, out);
}

const struct stage_ops stage_match = {
	.name = "$match",
	.group = "filter",
	.help = "passes the documents that a query matches",
	.in_change_stream = true,
	.compile = compile,
	.run = run,
	.explain = explain,
	.release = release,
};
