/* weir_query.c: the document language by itself, through the public API. */
#include "lib/lib.h"

#include "base/mem.h"
#include "doc/accum.h"
#include "doc/expr.h"
#include "doc/match.h"
#include "doc/pipeline.h"
#include "doc/update.h"
#include "os/env.h"

struct weir_query {
	struct match *filter;      /* NULL: every document */
	struct pipeline *pipeline; /* NULL: as it is */
	struct eval ev;
	struct buf doc; /* JSON text converted */
	int64_t now_ms;
	bool running;
};

static int compile(weir_query *q, const weir_query_options *opt, struct err *e)
{
	AUTO(buf) struct buf tmp = BUF_INIT;
	struct slice spec, stages;
	int rc = lib_doc(opt->filter, "filter", &tmp, &spec, NULL, e);
	if (rc < 0)
		return rc;
	if (spec.len) {
		rc = match_compile(spec, NULL, &q->filter, e);
		if (rc < 0)
			return err_in(e, rc, "filter");
	}
	buf_reset(&tmp);
	rc = lib_array(opt->pipeline, "pipeline", &tmp, &stages, e);
	if (rc == 0 && stages.len) {
		rc = pipeline_compile(stages, NULL, &q->pipeline, e);
		if (rc < 0)
			return err_in(e, rc, "pipeline");
	}
	return rc;
}

int weir_query_new(const weir_query_options *options, weir_query **out, weir_error *we)
{
	struct err *e = lib_err(we);
	weir_query_options opt = { 0 };
	if (!out)
		return lib_null(e, "the output");
	int rc = lib_options(&opt, sizeof(opt), options, e);
	if (rc < 0)
		return rc;
	weir_query *q = mem_try(sizeof(*q));
	if (!q)
		return err_nomem(e);
	eval_init(&q->ev);
	q->now_ms = opt.now_ms ? opt.now_ms : env_wall_ms(env_posix());
	rc = compile(q, &opt, e);
	if (rc < 0) {
		weir_query_free(q);
		return rc;
	}
	*out = q;
	return 0;
}

void weir_query_free(weir_query *q)
{
	if (!q)
		return;
	match_free(q->filter);
	pipeline_free(q->pipeline);
	eval_done(&q->ev);
	buf_done(&q->doc);
	mem_free(q);
}

struct emit {
	int (*fn)(void *arg, weir_doc result);
	void *arg;
};

static int pass_on(void *arg, struct slice doc, struct err *e)
{
	const struct emit *emit = arg;
	(void)e;
	return emit->fn(emit->arg, weir_bson(doc.p, doc.len));
}

static int run(weir_query *q, struct slice doc, struct emit *emit, struct err *e)
{
	eval_reset(&q->ev);
	q->ev.now_ms = q->now_ms;
	int rc = q->filter ? match_doc(q->filter, &q->ev, doc, e) : 1;
	if (rc <= 0)
		return rc;
	if (!q->pipeline)
		return emit->fn(emit->arg, weir_bson(doc.p, doc.len));
	return pipeline_run(q->pipeline, &q->ev, doc, pass_on, emit, e);
}

int weir_query_run(weir_query *q, weir_doc doc, int (*emit)(void *arg, weir_doc result), void *arg,
		   weir_error *we)
{
	struct err *e = lib_err(we);
	struct slice s;
	if (!q || !emit || !doc.data)
		return lib_null(e, !q     ? "the query"
				   : emit ? "the document"
					  : "the function to call");
	if (q->running)
		return err_set(
			e, ERR_INVALID,
			"the query is running: it cannot be used from within its own results");
	buf_reset(&q->doc);
	int rc = lib_doc(doc, "document", &q->doc, &s, NULL, e);
	if (rc < 0)
		return rc;
	q->running = true;
	rc = run(q, s, &(struct emit){ .fn = emit, .arg = arg }, e);
	q->running = false;
	return rc;
}

int weir_query_explain(const weir_query *q, weir_buffer *out, weir_error *we)
{
	struct err *e = lib_err(we);
	if (!q || !out)
		return lib_null(e, q ? "the output" : "the query");
	struct buf *b = lib_buf(out);
	size_t start = b->len;
	if (q->filter)
		match_explain(q->filter, b);
	if (q->pipeline)
		pipeline_explain(q->pipeline, b);
	(void)buf_cstr(b);
	int rc = buf_check(b, e);
	if (rc < 0) {
		b->len = start;
		b->failed = false;
	}
	return rc;
}

/* ---- the language's words ---- */

enum { OPERATORS_MAX = 1000 };

struct listing {
	const char *kind;
	struct listed {
		weir_operator op;
		size_t order; /* of its group: where the group came up first */
	} * row;
	size_t n;
};

static int list_grouped(void *arg, const char *name, const char *group, const char *help)
{
	struct listing *l = arg;
	if (l->n == OPERATORS_MAX)
		return ERR_LIMIT;
	struct listed *r = &l->row[l->n];
	r->op = (weir_operator){ .kind = l->kind, .group = group, .name = name, .help = help };
	r->order = l->n;
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->row[i].op.kind, l->kind) == 0 &&
		    strcmp(l->row[i].op.group, group) == 0) {
			r->order = l->row[i].order;
			break;
		}
	l->n++;
	return 0;
}

static int list_plain(void *arg, const char *name, const char *help)
{
	return list_grouped(arg, name, "accumulator", help);
}

static int list_all(struct listing *l)
{
	l->kind = "match";
	int rc = match_operators(list_grouped, l);
	l->kind = "expression";
	rc = rc ? rc : expr_operators(list_grouped, l);
	l->kind = "accumulator";
	rc = rc ? rc : accum_operators(list_plain, l);
	l->kind = "stage";
	rc = rc ? rc : pipeline_stages(list_grouped, l);
	l->kind = "update";
	return rc ? rc : update_operators(list_grouped, l);
}

int weir_query_operators(int (*each)(void *arg, const weir_operator *op), void *arg)
{
	if (!each)
		return ERR_INVALID;
	struct listing l = { .row = mem_try_array(OPERATORS_MAX, sizeof(*l.row)) };
	if (!l.row)
		return ERR_NOMEM;
	int rc = list_all(&l);
	/* Group by group: the tables list some kinds alphabetically. */
	for (size_t order = 0; rc == 0 && order < l.n; order++)
		for (size_t i = order; rc == 0 && i < l.n; i++)
			if (l.row[i].order == order)
				rc = each(arg, &l.row[i].op);
	mem_free(l.row);
	return rc;
}
