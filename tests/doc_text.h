/* doc_text.h: documents and arrays from JSON text. For the doc_* tests. */
#ifndef TESTS_DOC_TEXT_H
#define TESTS_DOC_TEXT_H

#include "tests/test.h"

#include "doc/json.h"

#include <stdlib.h>
#include <string.h>

/* Lies in b; NULL gives nothing. */
static inline struct slice parse(struct buf *b, const char *json)
{
	struct err e = ERR_INIT;
	struct value v;
	buf_reset(b);
	if (!json)
		return SLICE_NONE;
	if (json_to_value(slice_str(json), b, &v, NULL, &e) < 0)
		fail_msg("%s: %s", json, e.msg);
	return value_slice(v);
}

/* The same; single quotes stand for double ones, so that C strings stay readable. */
static inline struct slice doc_of(const char *json, struct buf *b)
{
	char *text = strdup(json);
	assert_non_null(text);
	for (char *p = text; (p = strchr(p, '\'')); p++)
		*p = '"';
	struct slice doc = parse(b, text);
	free(text);
	return doc;
}

#endif
