/* doc_aggregate_oracle: the cases of aggregate.jsonl whose stages are stateless, and the find commands, against
 * their published answers.
 *
 * A find is run as $match and $project. Its sort is not: documents are compared as multisets, as they are for
 * aggregations; a find with skip or limit is out of scope. Field order is free, types count.
 *
 * Prints one line; with $WEIR_ORACLE_VERBOSE every disagreement.
 */
#include "tests/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "doc/compare.h"
#include "doc/json.h"
#include "doc/pipeline.h"

enum outcome { AGREE, DIFFER, ERROR, OUT_OF_SCOPE };

/* Lines that test something else: extensions of the server they come from, its limits, random samples, the JSON
 * parser, results of other statements, undefined order. From the description of the data. */
static bool is_excluded(size_t line)
{
	static const struct {
		size_t from, to;
	} ranges[] = {
		{ 10, 31 },   { 249, 249 }, { 276, 301 }, { 632, 642 }, { 644, 653 }, { 41, 41 },
		{ 59, 61 },   { 322, 322 }, { 341, 341 }, { 519, 519 }, { 525, 525 }, { 540, 540 },
		{ 137, 137 }, { 261, 261 }, { 696, 696 }, { 682, 682 },
	};
	for (size_t i = 0; i < ARRAY_LEN(ranges); i++)
		if (line >= ranges[i].from && line <= ranges[i].to)
			return true;
	return false;
}

/* ---- comparing ---- */

static bool same(struct value a, struct value b);

static size_t count(struct slice doc)
{
	struct bson_iter it;
	size_t n = 0;
	for (bson_iter_init(&it, doc); bson_next(&it); n++)
		;
	return n;
}

static bool same_documents(struct slice a, struct slice b)
{
	struct bson_iter it;
	if (count(a) != count(b))
		return false;
	for (bson_iter_init(&it, a); bson_next(&it);)
		if (!same(it.value, bson_get(b, it.key)))
			return false;
	return true;
}

static bool same(struct value a, struct value b)
{
	if (a.type != b.type)
		return false;
	if (a.type == BSON_DOCUMENT || a.type == BSON_ARRAY)
		return same_documents(value_slice(a), value_slice(b));
	return value_equal(a, b);
}

struct results {
	struct value v[1000]; /* documents, copied into the arena */
	size_t n;
	struct arena arena;
};

static int keep(void *arg, struct slice doc, struct err *e)
{
	struct results *r = arg;
	(void)e;
	assert_true(r->n < ARRAY_LEN(r->v));
	void *copy = arena_copy(&r->arena, doc.p, doc.len);
	assert_non_null(copy);
	r->v[r->n++] = value_doc(slice_of(copy, doc.len));
	return 0;
}

static bool same_multiset(const struct results *r, struct value expected)
{
	struct bson_iter it;
	bool used[ARRAY_LEN(r->v)] = { false };
	if (count(value_slice(expected)) != r->n)
		return false;
	for (bson_iter_init(&it, value_slice(expected)); bson_next(&it);) {
		size_t i = 0;
		while (i < r->n && (used[i] || !same(r->v[i], it.value)))
			i++;
		if (i == r->n)
			return false;
		used[i] = true;
	}
	return true;
}

/* ---- running ---- */

/* The pipeline of a case; empty when it is out of scope. */
static struct slice stages_of(struct slice spec, struct buf *out)
{
	struct bson_iter it, stage;
	struct value pipeline = bson_get_str(spec, "pipeline");
	if (pipeline.type == BSON_ARRAY) {
		for (bson_iter_init(&it, value_slice(pipeline)); bson_next(&it);) {
			static const char *const ours[] = {
				"$match",  "$project",     "$addFields",   "$set",    "$unset",
				"$redact", "$replaceRoot", "$replaceWith", "$unwind",
			};
			if (it.value.type != BSON_DOCUMENT)
				continue;
			bson_iter_init(&stage, value_slice(it.value));
			bool known = false;
			if (bson_next(&stage))
				for (size_t i = 0; i < ARRAY_LEN(ours); i++)
					known |= slice_is(stage.key, ours[i]);
			if (!known)
				return SLICE_NONE;
		}
		return value_slice(pipeline);
	}
	static const char *const foreign[] = { "skip", "limit" };
	for (size_t i = 0; i < ARRAY_LEN(foreign); i++)
		if (bson_get_str(spec, foreign[i]).type != BSON_MISSING)
			return SLICE_NONE;
	struct bson_writer w;
	bson_writer_init(&w, out);
	bson_begin_array(&w, SLICE_LIT("pipeline"));
	static const struct {
		const char *part, *stage;
	} parts[] = { { "filter", "$match" }, { "projection", "$project" } };
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		struct value v = bson_get_str(spec, parts[i].part);
		if (v.type != BSON_DOCUMENT || count(value_slice(v)) == 0)
			continue;
		bson_begin_doc(&w, SLICE_NONE);
		bson_put(&w, slice_str(parts[i].stage), v);
		bson_end(&w);
	}
	bson_end(&w);
	struct err e = ERR_INIT;
	assert_ok(bson_finish(&w, &e), &e);
	return value_slice(bson_get_str(buf_slice(out), "pipeline"));
}

static int run(struct slice stages, struct value let, struct value docs, struct results *r,
	       struct err *e)
{
	struct pipeline *p;
	struct pipeline_options o = { 0 };
	if (let.type == BSON_DOCUMENT)
		o.let = value_slice(let);
	int rc = pipeline_compile(stages, &o, &p, e);
	if (rc < 0)
		return rc;
	struct eval ev;
	eval_init(&ev);
	ev.now_ms = 1700000000000;
	struct bson_iter it;
	if (docs.type == BSON_ARRAY) {
		bson_iter_init(&it, value_slice(docs));
		while (rc == 0 && bson_next(&it)) {
			eval_reset(&ev);
			rc = pipeline_run(p, &ev, value_slice(it.value), keep, r, e);
		}
	}
	eval_done(&ev);
	pipeline_free(p);
	return rc;
}

static void tell(size_t line, struct slice spec, const struct results *r, struct value expected,
		 const struct err *e)
{
	if (!getenv("WEIR_ORACLE_VERBOSE"))
		return;
	AUTO(buf) struct buf text = BUF_INIT;
	buf_add_fmt(&text, "aggregate.jsonl:%zu ", line);
	json_from_bson(spec, JSON_RELAXED, &text);
	buf_add_fmt(&text, "\n    weir: %s", e->msg);
	for (size_t i = 0; i < r->n; i++) {
		buf_add_byte(&text, ' ');
		json_from_value(r->v[i], JSON_CANONICAL, &text);
	}
	buf_add_str(&text, "\n    data: ");
	if (expected.type == BSON_MISSING)
		buf_add_str(&text, "an error");
	else
		json_from_value(expected, JSON_CANONICAL, &text);
	fprintf(stderr, "%s\n", buf_cstr(&text));
}

static enum outcome run_line(size_t line, struct slice text)
{
	struct err e = ERR_INIT;
	AUTO(buf) struct buf b = BUF_INIT, pipeline = BUF_INIT;
	if (is_excluded(line))
		return OUT_OF_SCOPE;
	assert_ok(json_to_bson(text, &b, NULL, &e), &e);
	struct slice doc = buf_slice(&b);
	struct slice spec = value_slice(bson_get_str(doc, "spec"));
	struct value name = bson_get_str(spec, "aggregate");
	if (name.type == BSON_MISSING)
		name = bson_get_str(spec, "find");
	struct value docs = bson_get(value_slice(bson_get_str(doc, "docs")), value_slice(name));
	struct value expected = bson_get_str(doc, "expect");
	struct slice stages = stages_of(spec, &pipeline);
	bool sort_error =
		expected.type == BSON_MISSING && bson_get_str(spec, "sort").type != BSON_MISSING;
	if (!stages.len || sort_error)
		return OUT_OF_SCOPE;

	struct results *r = calloc(1, sizeof(*r));
	int rc = run(stages, bson_get_str(spec, "let"), docs, r, &e);
	enum outcome o = AGREE;
	if (expected.type == BSON_MISSING)
		o = rc == ERR_UNSUPPORTED ? ERROR : rc < 0 ? AGREE : DIFFER;
	else if (rc < 0)
		o = ERROR;
	else if (!same_multiset(r, expected))
		o = DIFFER;
	if (o != AGREE)
		tell(line, spec, r, expected, &e);
	arena_done(&r->arena);
	free(r);
	return o;
}

static void stateless_pipelines_and_finds_agree_with_the_published_answers(void **state)
{
	(void)state;
	const char *dir = test_oracle();
	if (!dir) {
		print_message("no conformance data: skipped\n");
		skip();
	}
	char path[512];
	snprintf(path, sizeof(path), "%s/mql/aggregate.jsonl", dir);
	AUTO(buf) struct buf file = BUF_INIT;
	test_read_file(path, &file);
	size_t n[4] = { 0 }, line = 0;
	for (size_t at = 0; at < file.len;) {
		const uint8_t *end = memchr(file.p + at, '\n', file.len - at);
		size_t len = end ? (size_t)(end - (file.p + at)) : file.len - at;
		line++;
		if (len)
			n[run_line(line, slice_of(file.p + at, len))]++;
		at += len + 1;
	}
	print_message(
		"aggregate.jsonl (stateless): %zu agree, %zu differ, %zu error, %zu out of scope\n",
		n[AGREE], n[DIFFER], n[ERROR], n[OUT_OF_SCOPE]);
	size_t ran = n[AGREE] + n[DIFFER] + n[ERROR];
	assert_true(ran >= 80);
	assert_true(n[AGREE] * 100 >= ran * 97);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stateless_pipelines_and_finds_agree_with_the_published_answers),
	};
	return cmocka_run_group_tests_name("doc_aggregate_oracle", tests, NULL, NULL);
}
