/* doc_expr.h: expressions from JSON text, and tables of what they give or how they fail. For the doc_expr* tests. */
#ifndef TESTS_DOC_EXPR_H
#define TESTS_DOC_EXPR_H

#include "tests/test.h"

#include "doc/expr.h"
#include "doc/json.h"

#include <string.h>

static inline struct expr *compiled(const char *spec, const struct expr_options *o)
{
	AUTO(buf) struct buf b = BUF_INIT;
	struct err e = ERR_INIT;
	struct value v;
	struct expr *x = NULL;
	assert_ok(json_to_value(slice_str(spec), &b, &v, NULL, &e), &e);
	assert_ok(expr_compile(v, o, &x, &e), &e);
	return x;
}

/* The number and code of the error of compiling, or else of evaluating on doc. */
static inline int failure(const char *spec, const char *doc, struct err *e)
{
	AUTO(buf) struct buf b = BUF_INIT;
	AUTO(buf) struct buf d = BUF_INIT;
	struct value v;
	struct expr *x;
	struct eval ev;
	*e = (struct err)ERR_INIT;
	assert_ok(json_to_value(slice_str(spec), &b, &v, NULL, e), e);
	assert_ok(json_to_bson(slice_str(doc), &d, NULL, e), e);
	int rc = expr_compile(v, NULL, &x, e);
	if (rc < 0)
		return rc;
	eval_init(&ev);
	rc = expr_eval(x, &ev, buf_slice(&d), &v, e);
	eval_done(&ev);
	expr_free(x);
	return rc;
}

static inline void eval_text(const char *spec, const char *doc, struct buf *out)
{
	AUTO(buf) struct buf d = BUF_INIT;
	struct err e = ERR_INIT;
	struct eval ev;
	struct value v;
	struct expr *x = compiled(spec, NULL);
	assert_ok(json_to_bson(slice_str(doc), &d, NULL, &e), &e);
	eval_init(&ev);
	ev.now_ms = 1600000000000;
	int rc = expr_eval(x, &ev, buf_slice(&d), &v, &e);
	if (rc < 0)
		fail_msg("%s on %s: %s", spec, doc, e.msg);
	if (v.type == BSON_MISSING)
		buf_add_str(out, "missing");
	else
		json_from_value(v, JSON_CANONICAL, out);
	eval_done(&ev);
	expr_free(x);
}

/* want: canonical Extended JSON, or "missing"; short forms int, long, double are written in the test with I, L, D. */
struct row {
	const char *spec, *doc, *want;
};

/* 5i 5l 5.0d outside strings become $numberInt, $numberLong, $numberDouble. */
static inline void canonical(const char *text, struct buf *out)
{
	bool quoted = false;
	for (const char *p = text; *p;) {
		size_t n = strspn(p, "-0123456789.eE+");
		char kind = n ? p[n] : 0;
		if (*p == '"')
			quoted = !quoted;
		if (quoted || !n || !strchr("ild", kind) || !kind) {
			buf_add_byte(out, (uint8_t)*p++);
			continue;
		}
		buf_add_fmt(out, "{\"$number%s\":\"%.*s\"}",
			    kind == 'i'   ? "Int"
			    : kind == 'l' ? "Long"
					  : "Double",
			    (int)n, p);
		p += n + 1;
	}
}

static inline void check_rows(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		AUTO(buf) struct buf got = BUF_INIT;
		AUTO(buf) struct buf want = BUF_INIT;
		eval_text(rows[i].spec, rows[i].doc, &got);
		canonical(rows[i].want, &want);
		if (strcmp(buf_cstr(&got), buf_cstr(&want)) != 0)
			fail_msg("%s on %s: %s instead of %s", rows[i].spec, rows[i].doc,
				 buf_cstr(&got), buf_cstr(&want));
	}
}

struct error_row {
	const char *spec, *doc;
	int number;
};

static inline void check_errors(const struct error_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct err e;
		int rc = failure(rows[i].spec, rows[i].doc, &e);
		if (rc == 0)
			fail_msg("%s on %s: no error", rows[i].spec, rows[i].doc);
		if (e.number != rows[i].number)
			fail_msg("%s: number %d instead of %d (%s)", rows[i].spec, e.number,
				 rows[i].number, e.msg);
	}
}

#endif
