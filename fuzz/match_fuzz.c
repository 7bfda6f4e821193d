/* match_fuzz.c: filters and documents as Extended JSON: the filter on the first line, a document on each other line.
 *
 * A filter that compiles must compile again inside $nor, and then give the opposite answer on every document; it must
 * explain itself and be evaluated within its limits. */
#include "doc/json.h"
#include "doc/match.h"

#include <stdlib.h>

#define STEPS_MAX 200000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct slice next_line(struct slice *rest)
{
	const uint8_t *end = rest->len ? memchr(rest->p, '\n', rest->len) : NULL;
	size_t len = end ? (size_t)(end - rest->p) : rest->len;
	struct slice line = slice_of(rest->p, len);
	size_t used = MIN(len + 1, rest->len);
	*rest = slice_of(rest->p + used, rest->len - used);
	return line;
}

static bool is_random(struct slice text)
{
	return memmem(text.p, text.len, "ample", 5) || memmem(text.p, text.len, "and", 3) ||
	       memmem(text.p, text.len, "\\", 1);
}

static struct match *compile_opposite(struct slice filter)
{
	AUTO(buf) struct buf b = BUF_INIT;
	struct bson_writer w;
	struct match *m = NULL;
	bson_writer_init(&w, &b);
	bson_begin_array(&w, SLICE_LIT("$nor"));
	bson_put_doc(&w, SLICE_NONE, filter);
	bson_end(&w);
	if (bson_finish(&w, NULL) == 0)
		(void)match_compile(buf_slice(&b), NULL, &m, NULL);
	return m;
}

static void check(const struct match *m, const struct match *opposite, struct eval *ev,
		  struct slice doc, bool random)
{
	struct err e = ERR_INIT;
	eval_reset(ev);
	int rc = match_doc(m, ev, doc, &e);
	ASSERT(rc >= 0 ? rc <= 1 : e.code == rc && e.msg[0]);
	if (!opposite || random || rc < 0)
		return;
	eval_reset(ev);
	int other = match_doc(opposite, ev, doc, &e);
	ASSERT(other < 0 || other == !rc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(buf) struct buf spec = BUF_INIT, doc = BUF_INIT, text = BUF_INIT;
	struct slice rest = slice_of(data, size), line = next_line(&rest);
	struct err e = ERR_INIT;
	struct match *m = NULL;
	if (json_to_bson(line, &spec, NULL, NULL) < 0)
		return 0;
	int rc = match_compile(buf_slice(&spec), NULL, &m, &e);
	ASSERT(rc == 0 ? m != NULL : e.code == rc && e.msg[0]);
	if (rc < 0)
		return 0;
	struct match *opposite = compile_opposite(buf_slice(&spec));
	bool random = is_random(line);
	struct eval ev;
	eval_init(&ev);
	ev.now_ms = 1;
	ev.steps_max = STEPS_MAX;
	match_explain(m, &text);
	while (rest.len) {
		buf_reset(&doc);
		if (json_to_bson(next_line(&rest), &doc, NULL, NULL) == 0)
			check(m, opposite, &ev, buf_slice(&doc), random);
	}
	eval_done(&ev);
	match_free(opposite);
	match_free(m);
	return 0;
}
