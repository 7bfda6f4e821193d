/* Two lines of text: a pipeline of stages and a document, both as JSON. What compiles is run; whatever comes out must be
 * a valid document, and running twice must give the same. */
#include "doc/json.h"
#include "doc/pipeline.h"

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

static void run(struct slice stages, struct slice doc, enum pipeline_context context)
{
	struct pipeline *p;
	struct pipeline_options o = { .context = context };
	if (pipeline_compile(stages, &o, &p, NULL) < 0)
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(buf) struct buf stages = BUF_INIT, doc = BUF_INIT;
	struct value v;
	const uint8_t *end = size && size < 32768 ? memchr(data, '\n', size) : NULL;
	if (!end)
		return 0;
	struct slice first = { data, (size_t)(end - data) };
	struct slice second = { end + 1, size - first.len - 1 };
	if (json_to_value(first, &stages, &v, NULL, NULL) < 0 || v.type != BSON_ARRAY ||
	    json_to_bson(second, &doc, NULL, NULL) < 0)
		return 0;
	run(value_slice(v), buf_slice(&doc), PIPELINE_PLAIN);
	run(value_slice(v), buf_slice(&doc), PIPELINE_CHANGE_STREAM);
	return 0;
}
