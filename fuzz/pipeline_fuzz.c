/* Two lines of text: a pipeline of stages and a document, both as JSON. What compiles is run; whatever comes out must be
 * a valid document, and running twice must give the same. Input that begins with a zero byte is read as choices instead
 * (generate.h). */
#include "doc/json.h"
#include "doc/pipeline.h"
#include "fuzz/generate.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct output {
	size_t n;
	uint64_t hash;
};

static int check(void *arg, struct slice doc, struct err *e)
{
	struct output *o = arg;
	(void)e;
	/* Only depth may exceed what a reader takes: stages nest what they are given. */
	int rc = bson_validate(doc, NULL);
	if (rc < 0 && rc != ERR_LIMIT)
		abort();
	for (size_t i = 0; i < doc.len; i++)
		o->hash = (o->hash ^ doc.p[i]) * UINT64_C(0x100000001b3);
	return ++o->n < 10000 ? 0 : 1;
}

static void run(struct slice spec, struct slice doc, enum pipeline_context context)
{
	struct pipeline *p;
	struct pipeline_options o = { .context = context };
	if (pipeline_compile(spec, &o, &p, NULL) < 0)
		return;
	struct output out[2] = { { 0 } };
	int rc[2];
	for (int i = 0; i < 2; i++) {
		struct eval ev;
		eval_init(&ev);
		ev.now_ms = 1700000000000;
		ev.rand = 1;
		ev.steps_max = 200000;
		ev.arena.limit_bytes = 16u << 20;
		rc[i] = pipeline_run(p, &ev, doc, check, &out[i], NULL);
		if (ev.scratch.len != 0)
			abort();
		eval_done(&ev);
	}
	if (rc[0] != rc[1] || out[0].n != out[1].n || out[0].hash != out[1].hash)
		abort();
	AUTO(buf) struct buf text = BUF_INIT;
	pipeline_explain(p, &text);
	struct slice leading = pipeline_leading_match(p);
	if (leading.len && bson_validate(leading, NULL) < 0 && pipeline_stage_count(p) < 2)
		abort();
	pipeline_free(p);
}

static const char *const stages[] = { "$project", "$set",         "$unset",
				      "$match",   "$replaceWith", "$replaceRoot",
				      "$redact",  "$unwind",      NULL };
static const char *const paths[] = { "a",   "a.b", "a.0", "b.c",   "_id", "d",
				     "e.f", "0",   "b",   "c.d.e", NULL };
static const char *const texts[] = { "$a",      "$a.b",   "$b.0", "$$ROOT", "$$REMOVE", "$$DESCEND",
				     "$$PRUNE", "$$KEEP", "a",    "$d",     NULL };
static const char *const operators[] = { "$add",
					 "$cond",
					 "$literal",
					 "$arrayElemAt",
					 "$concatArrays",
					 "$eq",
					 "$map",
					 "$size",
					 "path",
					 "newRoot",
					 "$gt",
					 "includeArrayIndex",
					 "preserveNullAndEmptyArrays",
					 NULL };

static void generate_spec(struct generator *g, struct bson_writer *w, struct slice key, int depth)
{
	switch (generate_byte(g, depth < 4 ? 6 : 3)) {
	case 0: bson_put_int32(w, key, (int32_t)generate_byte(g, 2)); break;
	case 1:
	case 2: bson_put_string(w, key, generate_word(g, texts)); break;
	case 3:
		bson_begin_doc(w, key);
		generate_spec(g, w, generate_word(g, operators), depth + 1);
		if (generate_byte(g, 2))
			generate_spec(g, w, generate_word(g, operators), depth + 1);
		bson_end(w);
		break;
	case 4:
		bson_begin_array(w, key);
		for (unsigned n = generate_byte(g, 4); n > 0; n--)
			generate_spec(g, w, SLICE_NONE, depth + 1);
		bson_end(w);
		break;
	default:
		bson_begin_doc(w, key);
		for (unsigned n = generate_byte(g, 4) + 1; n > 0; n--)
			generate_spec(g, w, generate_word(g, paths), depth + 1);
		bson_end(w);
	}
}

static void run_generated(struct generator g)
{
	AUTO(buf) struct buf spec = BUF_INIT, doc = BUF_INIT;
	struct bson_writer w;
	bson_writer_init(&w, &spec);
	bson_begin_array(&w, SLICE_LIT("stages"));
	for (unsigned n = generate_byte(&g, 4) + 1; n > 0; n--) {
		bson_begin_doc(&w, SLICE_NONE);
		generate_spec(&g, &w, generate_word(&g, stages), 0);
		bson_end(&w);
	}
	bson_end(&w);
	if (bson_finish(&w, NULL) == 0 && generate_doc(&g, &doc))
		run(value_slice(bson_get_str(buf_slice(&spec), "stages")), buf_slice(&doc),
		    PIPELINE_PLAIN);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(buf) struct buf text = BUF_INIT, doc = BUF_INIT;
	struct value v;
	if (size && size < 32768 && data[0] == 0) {
		run_generated((struct generator){ data + 1, data + size });
		return 0;
	}
	const uint8_t *end = size && size < 32768 ? memchr(data, '\n', size) : NULL;
	if (!end)
		return 0;
	struct slice first = { data, (size_t)(end - data) };
	struct slice second = { end + 1, size - first.len - 1 };
	if (json_to_value(first, &text, &v, NULL, NULL) < 0 || v.type != BSON_ARRAY ||
	    json_to_bson(second, &doc, NULL, NULL) < 0)
		return 0;
	run(value_slice(v), buf_slice(&doc), PIPELINE_PLAIN);
	run(value_slice(v), buf_slice(&doc), PIPELINE_CHANGE_STREAM);
	return 0;
}
