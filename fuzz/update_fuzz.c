/* Four lines of JSON: an update (an object, or an array: a pipeline), the document before it, arrayFilters, the query. What
 * applies must give a valid document with the same _id; its diff, applied to the document before, must give it back. */
#include "doc/compare.h"
#include "doc/diff.h"
#include "doc/json.h"
#include "doc/update.h"

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(buf)
	struct buf spec = BUF_INIT,
		   before = BUF_INIT, filters = BUF_INIT, query = BUF_INIT;
	struct slice rest = { data, size };
	struct value u, f;
	struct update_options o = { 0 };
	if (size == 0 || size >= 32768)
		return 0;
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
