/* Four lines of JSON: an update (an object, or an array: a pipeline), the document before it, arrayFilters, the query. What
 * applies must give a valid document with the same _id; its diff, applied to the document before, must give it back.
 * Input that begins with a zero byte is read as choices instead (generate.h). */
#include "doc/compare.h"
#include "doc/diff.h"
#include "doc/json.h"
#include "doc/update.h"
#include "fuzz/generate.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct slice line(struct slice *rest)
{
	const uint8_t *end = rest->len ? memchr(rest->p, '\n', rest->len) : NULL;
	struct slice l = { rest->p, end ? (size_t)(end - rest->p) : rest->len };
	*rest = slice_of(rest->p + l.len + (end ? 1 : 0), rest->len - l.len - (end ? 1 : 0));
	return l;
}

/* A name that occurs twice in one document has no path of its own. */
static bool repeats_names(struct slice doc)
{
	struct bson_iter it, other;
	bson_iter_init(&it, doc);
	while (bson_next(&it)) {
		bson_iter_init(&other, doc);
		while (bson_next(&other) && other.raw.p != it.raw.p)
			if (slice_eq(other.key, it.key))
				return true;
		bool nested = it.value.type == BSON_DOCUMENT || it.value.type == BSON_ARRAY;
		if (nested && repeats_names(value_slice(it.value)))
			return true;
	}
	return false;
}

static void check_diff(struct slice before, struct slice after)
{
	AUTO(buf) struct buf d = BUF_INIT, back = BUF_INIT;
	struct bson_writer w;
	if (repeats_names(before) || repeats_names(after))
		return;
	bson_writer_init(&w, &d);
	int rc = diff_docs(before, after, &w, NULL);
	if (rc == 0)
		rc = bson_finish(&w, NULL);
	if (rc == ERR_LIMIT)
		return; /* the description nests one deeper than the document */
	if (rc < 0 || diff_apply(before, buf_slice(&d), &back, NULL) < 0 ||
	    !slice_eq(buf_slice(&back), after))
		abort();
}

static void run(struct slice spec, bool is_pipeline, struct slice before,
		const struct update_options *o)
{
	struct update *u;
	if (update_compile(spec, is_pipeline, o, &u, NULL) < 0)
		return;
	struct eval ev;
	AUTO(buf) struct buf out = BUF_INIT;
	eval_init(&ev);
	ev.now_ms = 1700000000000;
	ev.steps_max = 200000;
	ev.arena.limit_bytes = 16u << 20;
	for (int insert = 0; insert < 2; insert++) {
		eval_reset(&ev);
		buf_reset(&out);
		if (update_apply(u, &ev, before, insert, &out, NULL) < 0) {
			if (out.len)
				abort();
			continue;
		}
		if (bson_validate(buf_slice(&out), NULL) < 0) {
			if (!is_pipeline)
				abort();
			continue; /* stages may nest deeper than readers go */
		}
		struct value id = bson_get_str(before, "_id");
		if (id.type != BSON_MISSING &&
		    !value_equal(id, bson_get_str(buf_slice(&out), "_id")))
			abort();
		check_diff(before, buf_slice(&out));
	}
	eval_done(&ev);
	update_free(u);
}

static const char *const operators[] = { "$set", "$unset",   "$inc",         "$mul",
					 "$min", "$max",     "$rename",      "$setOnInsert",
					 "$bit", "$push",    "$pull",        "$addToSet",
					 "$pop", "$pullAll", "$currentDate", NULL };
static const char *const paths[] = { "a",      "a.b", "a.0",     "a.0.b", "b.c",   "a.$[]",
				     "a.$[e]", "a.$", "a.$[].b", "d",     "e.f.g", "a.$[e].b.$[]",
				     "0",      "_id", "a.1.$[]", "b.7",   NULL };
static const char *const clauses[] = { "$each", "$slice", "$position", "$sort", "$gt",
				       "and",   "or",     "a",         NULL };

static void generate_operand(struct generator *g, struct bson_writer *w, struct slice key)
{
	switch (generate_byte(g, 4)) {
	case 0: bson_put_string(w, key, generate_word(g, paths)); break;
	case 1:
		bson_begin_doc(w, key);
		for (unsigned n = generate_byte(g, 4); n > 0; n--)
			generate_value(g, w, generate_word(g, clauses), 3);
		bson_end(w);
		break;
	default: generate_value(g, w, key, 2);
	}
}

static void run_generated(struct generator g)
{
	AUTO(buf) struct buf spec = BUF_INIT, before = BUF_INIT, rest = BUF_INIT;
	struct bson_writer w;
	bson_writer_init(&w, &spec);
	for (unsigned n = generate_byte(&g, 3) + 1; n > 0; n--) {
		bson_begin_doc(&w, generate_word(&g, operators));
		for (unsigned k = generate_byte(&g, 3) + 1; k > 0; k--) {
			struct slice path = generate_word(&g, paths);
			generate_operand(&g, &w, path);
		}
		bson_end(&w);
	}
	bool ok = bson_finish(&w, NULL) == 0 && generate_doc(&g, &before);
	bson_writer_init(&w, &rest);
	bson_begin_array(&w, SLICE_LIT("filters"));
	bson_begin_doc(&w, SLICE_NONE);
	generate_value(&g, &w, SLICE_LIT("e"), 3);
	bson_end(&w);
	bson_end(&w);
	bson_begin_doc(&w, SLICE_LIT("query"));
	generate_value(&g, &w, SLICE_LIT("a"), 3);
	bson_end(&w);
	if (!ok || bson_finish(&w, NULL) < 0)
		return;
	struct update_options o = {
		.query = value_slice(bson_get_str(buf_slice(&rest), "query")),
	};
	run(buf_slice(&spec), false, buf_slice(&before), &o);
	o.array_filters = value_slice(bson_get_str(buf_slice(&rest), "filters"));
	run(buf_slice(&spec), false, buf_slice(&before), &o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(buf)
	struct buf spec = BUF_INIT, before = BUF_INIT, filters = BUF_INIT, query = BUF_INIT;
	struct slice rest = { data, size };
	struct value u, f;
	struct update_options o = { 0 };
	if (size == 0 || size >= 32768)
		return 0;
	if (data[0] == 0) {
		run_generated((struct generator){ data + 1, data + size });
		return 0;
	}
	if (json_to_value(line(&rest), &spec, &u, NULL, NULL) < 0 ||
	    (u.type != BSON_ARRAY && u.type != BSON_DOCUMENT) ||
	    json_to_bson(line(&rest), &before, NULL, NULL) < 0)
		return 0;
	if (json_to_value(line(&rest), &filters, &f, NULL, NULL) == 0 && f.type == BSON_ARRAY)
		o.array_filters = value_slice(f);
	if (json_to_bson(line(&rest), &query, NULL, NULL) == 0)
		o.query = buf_slice(&query);
	run(value_slice(u), u.type == BSON_ARRAY, buf_slice(&before), &o);
	/* And two documents that have nothing to do with each other. */
	if (u.type == BSON_DOCUMENT)
		check_diff(buf_slice(&before), value_slice(u));
	return 0;
}
