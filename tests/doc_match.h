/* doc_match.h: filters on documents, both from JSON text, and tables of what matches. For the doc_match* tests. */
#ifndef TESTS_DOC_MATCH_H
#define TESTS_DOC_MATCH_H

#include "tests/doc_text.h"

#include "doc/match.h"

static inline int compile_json(const char *json, struct match **m, struct err *e)
{
	AUTO(buf) struct buf b = BUF_INIT;
	return match_compile(doc_of(json, &b), NULL, m, e);
}

static inline int matches_within(const char *filter, const char *json, uint64_t steps_max)
{
	AUTO(buf) struct buf b = BUF_INIT;
	struct err e = ERR_INIT;
	struct match *m;
	struct eval ev;
	if (compile_json(filter, &m, &e) < 0)
		fail_msg("%s: %s", filter, e.msg);
	eval_init(&ev);
	ev.steps_max = steps_max;
	int rc = match_doc(m, &ev, doc_of(json, &b), &e);
	eval_done(&ev);
	match_free(m);
	return rc;
}

static inline int matches(const char *filter, const char *json)
{
	return matches_within(filter, json, EVAL_STEPS_DEFAULT);
}

struct row {
	const char *filter, *doc;
	int expect;
};

static inline void check_rows(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int rc = matches(rows[i].filter, rows[i].doc);
		if (rc != rows[i].expect)
			fail_msg("%s on %s: %d, not %d", rows[i].filter, rows[i].doc, rc,
				 rows[i].expect);
	}
}

#endif
