/* pipeline.c: the stateless stages in a row.
 *
 *	[{$match: ...}, {$unwind: ...}, {$project: ...}]
 *
 *	document ─▶ $match ─▶ $unwind ─┬─▶ $project ─▶ emit
 *	                               └─▶ $project ─▶ emit
 *
 * One table row a stage; what a stage does stands in its own file. Stages that need more than one document, or time,
 * are not here: their names are known, so that the error can say so.
 */
#include "doc/pipeline.h"

#include "base/mem.h"
#include "base/suggest.h"
#include "doc/stage.h"

static const struct stage_ops *const stages[] = {
	&stage_match,        &stage_project,      &stage_add_fields, &stage_set,    &stage_unset,
	&stage_replace_root, &stage_replace_with, &stage_redact,     &stage_unwind,
};

/* Stages that exist, but not as functions of one document. */
static const char *const other_stages[] = {
	"$bucket",
	"$bucketAuto",
	"$changeStream",
	"$changeStreamSplitLargeEvent",
	"$collStats",
	"$count",
	"$currentOp",
	"$densify",
	"$documents",
	"$facet",
	"$fill",
	"$geoNear",
	"$graphLookup",
	"$group",
	"$indexStats",
	"$limit",
	"$lookup",
	"$merge",
	"$out",
	"$planCacheStats",
	"$sample",
	"$search",
	"$setWindowFields",
	"$skip",
	"$sort",
	"$sortByCount",
	"$unionWith",
};

struct pipeline {
	struct buf copy; /* of the specification, which stages point into */
	struct slice spec;
	struct stage **stage;
	size_t n;
	struct buf leading; /* the leading $match stages as one filter; empty: none */
};

static const struct stage_ops *find_stage(struct slice name)
{
	for (size_t i = 0; i < ARRAY_LEN(stages); i++)
		if (slice_is(name, stages[i]->name))
			return stages[i];
	return NULL;
}

static bool is_other_stage(struct slice name)
{
	for (size_t i = 0; i < ARRAY_LEN(other_stages); i++)
		if (slice_is(name, other_stages[i]))
			return true;
	return false;
}

bool pipeline_stage_known(struct slice name)
{
	return find_stage(name) != NULL || is_other_stage(name);
}

int pipeline_stages(int (*each)(void *arg, const char *name, const char *group, const char *help),
		    void *arg)
{
	for (size_t i = 0; i < ARRAY_LEN(stages); i++) {
		int rc = each(arg, stages[i]->name, stages[i]->group, stages[i]->help);
		if (rc != 0)
			return rc;
	}
	return 0;
}

/* ---- compiling ---- */

static int unknown_stage(struct slice name, enum pipeline_context context, struct err *e)
{
	if (is_other_stage(name)) {
		/* Permitted, but the work of the change stream itself, which takes it off before. */
		bool split = slice_is(name, "$changeStreamSplitLargeEvent");
		if (context == PIPELINE_CHANGE_STREAM && split)
			return err_set(e, ERR_UNSUPPORTED, SLICE_FMT " is not supported",
				       SLICE_ARG(name));
		if (context == PIPELINE_CHANGE_STREAM)
			return err_number(e, ERR_INVALID, 20,
					  SLICE_FMT " is not permitted in a $changeStream pipeline",
					  SLICE_ARG(name));
		return err_set(e, ERR_UNSUPPORTED,
			       SLICE_FMT
			       " needs more than one document and is not a stateless stage",
			       SLICE_ARG(name));
	}
	struct suggestion s = SUGGESTION_INIT;
	for (size_t i = 0; i < ARRAY_LEN(stages); i++)
		suggest_add(&s, name, stages[i]->name);
	for (size_t i = 0; i < ARRAY_LEN(other_stages); i++)
		suggest_add(&s, name, other_stages[i]);
	return err_number(e, ERR_INVALID, 40324, "unknown stage '" SLICE_FMT "'%s%s%s",
			  SLICE_ARG(name), s.name ? "; did you mean " : "", s.name ? s.name : "",
			  s.name ? "?" : "");
}

static int compile_stage(struct pipeline *p, struct value v, enum pipeline_context context,
			 struct slice let, struct err *e)
{
	struct bson_iter it;
	if (v.type != BSON_DOCUMENT)
		return err_number(e, ERR_TYPE, 14, "a stage is a document, not a value of type %s",
				  bson_type_name(v.type));
	bson_iter_init(&it, value_slice(v));
	if (!bson_next(&it))
		return err_number(e, ERR_INVALID, 40323, "a stage has exactly one field, not none");
	struct slice name = it.key;
	struct value spec = it.value;
	if (bson_next(&it))
		return err_number(e, ERR_INVALID, 40323,
				  "a stage has exactly one field, not '" SLICE_FMT
				  "' and '" SLICE_FMT "'",
				  SLICE_ARG(name), SLICE_ARG(it.key));
	const struct stage_ops *ops = find_stage(name);
	if (!ops)
		return unknown_stage(name, context, e);
	if (context == PIPELINE_CHANGE_STREAM && !ops->in_change_stream)
		return err_number(e, ERR_INVALID, 20,
				  "%s is not permitted in a $changeStream pipeline", ops->name);
	struct stage *s;
	struct stage_env env = { .name = ops->name, .let = let };
	int rc = ops->compile(spec, &env, &s, e);
	if (rc < 0)
		return rc;
	s->ops = ops;
	p->stage[p->n++] = s;
	return 0;
}

static int build_leading(struct pipeline *p, struct err *e)
{
	struct bson_iter it, stage;
	size_t n = 0;
	while (n < p->n && p->stage[n]->ops == &stage_match)
		n++;
	if (n == 0)
		return 0;
	struct bson_writer w;
	bson_iter_init(&it, p->spec);
	if (n > 1) {
		bson_writer_init(&w, &p->leading);
		bson_begin_array(&w, SLICE_LIT("$and"));
	}
	for (size_t i = 0; i < n && bson_next(&it); i++) {
		bson_iter_init(&stage, value_slice(it.value));
		(void)bson_next(&stage);
		if (n > 1)
			bson_put(&w, SLICE_NONE, stage.value);
		else
			buf_add_slice(&p->leading, value_slice(stage.value));
	}
	if (n == 1)
		return buf_check(&p->leading, e);
	bson_end(&w);
	return bson_finish(&w, e);
}

static int copy_spec(struct pipeline *p, struct slice spec, struct slice let, struct err *e)
{
	int rc = 0;
	if (let.len)
		rc = stage_let_rewrite(spec, let, &p->copy, e);
	else
		buf_add_slice(&p->copy, spec);
	p->spec = buf_slice(&p->copy);
	return rc < 0 ? rc : buf_check(&p->copy, e);
}

static int compile(struct pipeline *p, struct slice spec, const struct pipeline_options *o,
		   struct err *e)
{
	AUTO(buf) struct buf vars = BUF_INIT;
	struct bson_iter it;
	size_t n = 0;
	for (bson_iter_init(&it, spec); bson_next(&it); n++)
		;
	if (n > PIPELINE_STAGES_MAX)
		return err_set(e, ERR_LIMIT, "more than %d stages", PIPELINE_STAGES_MAX);
	int rc = o->let.len ? stage_let_compile(o->let, &vars, e) : 0;
	if (rc == 0)
		rc = copy_spec(p, spec, buf_slice(&vars), e);
	if (rc < 0)
		return rc;
	p->stage = mem_try_array(n + 1, sizeof(struct stage *));
	if (!p->stage)
		return err_nomem(e);
	bson_iter_init(&it, p->spec);
	for (size_t i = 0; bson_next(&it); i++) {
		rc = compile_stage(p, it.value, o->context, buf_slice(&vars), e);
		if (rc < 0)
			return err_in(e, rc, "stage %zu", i);
	}
	return build_leading(p, e);
}

int pipeline_compile(struct slice spec, const struct pipeline_options *o, struct pipeline **out,
		     struct err *e)
{
	struct pipeline *p = mem_try(sizeof(*p));
	if (!p)
		return err_nomem(e);
	static const struct pipeline_options plain = { 0 };
	int rc = compile(p, spec, o ? o : &plain, e);
	if (rc < 0) {
		pipeline_free(p);
		return rc;
	}
	*out = p;
	return 0;
}

void pipeline_free(struct pipeline *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->n; i++)
		p->stage[i]->ops->release(p->stage[i]);
	mem_free(p->stage);
	buf_done(&p->copy);
	buf_done(&p->leading);
	mem_free(p);
}

/* ---- running ---- */

int stage_pass(const struct stage_next *next, struct eval *ev, struct slice doc, struct err *e)
{
	const struct pipeline *p = next->p;
	for (size_t i = next->stage; i < p->n; i++) {
		const struct stage *s = p->stage[i];
		int rc;
		if (s->ops->spread) {
			struct stage_next after = *next;
			after.stage = i + 1;
			return s->ops->spread(s, ev, doc, &after, e);
		}
		rc = s->ops->run(s, ev, doc, &doc, e);
		if (rc < 0)
			return err_in(e, rc, "stage %zu (%s)", i, s->ops->name);
		if (rc == 0)
			return 0;
	}
	return next->emit(next->arg, doc, e);
}

int pipeline_run(const struct pipeline *p, struct eval *ev, struct slice doc, pipeline_emit *emit,
		 void *arg, struct err *e)
{
	struct stage_next all = { .p = p, .stage = 0, .emit = emit, .arg = arg };
	return stage_pass(&all, ev, doc, e);
}

int stage_finish(struct bson_writer *w, struct eval *ev, size_t start, struct slice *out,
		 struct err *e)
{
	struct buf *b = &ev->scratch;
	int rc = bson_finish(w, e);
	const void *copy = rc < 0 ? NULL : arena_copy(&ev->arena, b->p + start, b->len - start);
	if (copy)
		*out = slice_of(copy, b->len - start);
	else if (rc == 0)
		rc = eval_nomem(ev, e);
	b->len = start;
	b->failed = false;
	return rc < 0 ? rc : 1;
}

int stage_path_check(struct slice path, struct err *e)
{
	if (!path.len)
		return err_number(e, ERR_INVALID, 40352, "an empty path");
	size_t start = 0, depth = 1;
	for (size_t i = 0; i <= path.len; i++) {
		if (i < path.len && path.p[i] == '\0')
			return err_number(e, ERR_INVALID, 16411, "a path holds a NUL byte");
		if (i < path.len && path.p[i] != '.')
			continue;
		if (i == start)
			return err_number(e, ERR_INVALID, 9,
					  "'" SLICE_FMT "': a path has an empty part",
					  SLICE_ARG(path));
		if (path.p[start] == '$')
			return err_number(e, ERR_INVALID, 16410,
					  "'" SLICE_FMT "': a field name must not begin with '$'",
					  SLICE_ARG(path));
		start = i + 1;
		depth++;
	}
	if (depth > BSON_DEPTH_MAX)
		return err_set(e, ERR_LIMIT, "a path has more than %d parts", BSON_DEPTH_MAX);
	return 0;
}

/* ---- looking inside ---- */

struct slice pipeline_leading_match(const struct pipeline *p)
{
	return buf_slice(&p->leading);
}

size_t pipeline_stage_count(const struct pipeline *p)
{
	return p->n;
}

/* The stage's lines, each four blanks in. */
void pipeline_explain(const struct pipeline *p, struct buf *out)
{
	AUTO(buf) struct buf text = BUF_INIT;
	for (size_t i = 0; i < p->n; i++) {
		buf_add_fmt(out, "%zu %s\n", i, p->stage[i]->ops->name);
		buf_reset(&text);
		p->stage[i]->ops->explain(p->stage[i], &text);
		for (size_t at = 0; at < text.len;) {
			const uint8_t *end = memchr(text.p + at, '\n', text.len - at);
			size_t len = end ? (size_t)(end - (text.p + at)) : text.len - at;
			if (len) {
				buf_add_str(out, "    ");
				buf_add(out, text.p + at, len);
				buf_add_byte(out, '\n');
			}
			at += len + 1;
		}
	}
	out->failed |= text.failed;
}
