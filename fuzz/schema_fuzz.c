/* schema_fuzz.c: JSON Schemas and values as Extended JSON: the schema on the first line, a document on each other
 * line.
 *
 * A schema that compiles must compile again as { not: schema }, where it says nothing by reference, and then give
 * the opposite answer. */
#include "doc/json.h"
#include "doc/schema.h"

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

/* References would point elsewhere one level down. */
static struct schema *compile_opposite(struct slice spec)
{
	AUTO(buf) struct buf b = BUF_INIT;
	struct bson_writer w;
	struct schema *s = NULL;
	if (memmem(spec.p, spec.len, "$ref", 4))
		return NULL;
	bson_writer_init(&w, &b);
	bson_put_doc(&w, SLICE_LIT("not"), spec);
	if (bson_finish(&w, NULL) == 0)
		(void)schema_compile(buf_slice(&b), &s, NULL);
	return s;
}

static void check(const struct schema *s, const struct schema *opposite, struct eval *ev,
		  struct slice doc)
{
	struct err e = ERR_INIT;
	eval_reset(ev);
	int rc = schema_check(s, ev, value_doc(doc), &e);
	ASSERT(rc >= 0 ? rc <= 1 : e.code == rc && e.msg[0]);
	if (!opposite || rc < 0)
		return;
	eval_reset(ev);
	int other = schema_check(opposite, ev, value_doc(doc), &e);
	ASSERT(other < 0 || other == !rc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(buf) struct buf spec = BUF_INIT, doc = BUF_INIT;
	struct slice rest = slice_of(data, size);
	struct err e = ERR_INIT;
	struct schema *s = NULL;
	if (json_to_bson(next_line(&rest), &spec, NULL, NULL) < 0)
		return 0;
	int rc = schema_compile(buf_slice(&spec), &s, &e);
	ASSERT(rc == 0 ? s != NULL : e.code == rc && e.msg[0]);
	if (rc < 0)
		return 0;
	struct schema *opposite = compile_opposite(buf_slice(&spec));
	struct eval ev;
	eval_init(&ev);
	ev.steps_max = STEPS_MAX;
	while (rest.len) {
		buf_reset(&doc);
		if (json_to_bson(next_line(&rest), &doc, NULL, NULL) == 0)
			check(s, opposite, &ev, buf_slice(&doc));
	}
	eval_done(&ev);
	schema_free(opposite);
	schema_free(s);
	return 0;
}
