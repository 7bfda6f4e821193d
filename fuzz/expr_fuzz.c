/* Expressions. The first byte picks one of two readings of the rest: JSON text, the spec and behind a NUL the document; or
 * choices that grow a spec out of the table of operators, so that deep and well-formed ones are common.
 *
 * Compiling and evaluating must not fail but by an error, must end within the limits, and must give valid BSON, twice the
 * same. What comes out goes through an accumulator, whose state must survive its own bytes.
 */
#include "doc/accum.h"
#include "doc/compare.h"
#include "doc/expr_node.h"
#include "doc/json.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
	if (!ok)
		abort();
}

/* ---- growing a spec ---- */

struct choices {
	const uint8_t *at, *end;
	unsigned nodes;
};

static const char *names[400];
static size_t n_names;

static int collect(void *arg, const char *name, const char *group, const char *help)
{
	(void)arg;
	(void)group;
	(void)help;
	names[n_names++] = name;
	return 0;
}

static uint8_t choose(struct choices *c)
{
	return c->at < c->end ? *c->at++ : 0;
}

static void grow(struct choices *c, struct bson_writer *w, struct slice key, unsigned depth);

static void grow_leaf(struct choices *c, struct bson_writer *w, struct slice key)
{
	static const char *const words[] = { "$a",
					     "$b",
					     "$a.b",
					     "$$ROOT",
					     "$$this",
					     "$$value",
					     "$$CURRENT.a",
					     "$$NOW",
					     "$$REMOVE",
					     "",
					     "x",
					     "a,b",
					     "year",
					     "week",
					     "UTC",
					     "+01:30",
					     "%Y-%m",
					     "int",
					     "2020-01-02T03:04:05Z",
					     "(a+)+$" };
	uint8_t b = choose(c);
	switch (b % 8) {
	case 0: bson_put_int32(w, key, (int8_t)choose(c)); break;
	case 1: bson_put_int64(w, key, (int64_t)((UINT64_C(1) << (choose(c) % 64)) - 1)); break;
	case 2: bson_put_double(w, key, (int8_t)choose(c) / 4.0); break;
	case 3: bson_put_null(w, key); break;
	case 4:
		bson_put_date(w, key, ((int64_t)choose(c) << 40) - ((int64_t)choose(c) << 38));
		break;
	case 5: bson_put(w, key, value_decimal(dec_from_int64((int8_t)choose(c)))); break;
	default: bson_put_string(w, key, slice_str(words[choose(c) % ARRAY_LEN(words)])); break;
	}
}

static void grow_arguments(struct choices *c, struct bson_writer *w, const struct expr_op *op,
			   unsigned depth)
{
	struct slice key = slice_str(op->name);
	if (op->params && choose(c) % 8) {
		bson_begin_doc(w, key);
		for (size_t i = 0; op->params[i].name; i++)
			if (op->params[i].missing || choose(c) % 2)
				grow(c, w, slice_str(op->params[i].name), depth + 1);
		bson_end(w);
		return;
	}
	unsigned n = (unsigned)MAX(op->min, 0) + (choose(c) % 4 == 0 ? choose(c) % 3 : 0);
	bson_begin_array(w, key);
	for (unsigned i = 0; i < n; i++)
		grow(c, w, SLICE_NONE, depth + 1);
	bson_end(w);
}

static void grow(struct choices *c, struct bson_writer *w, struct slice key, unsigned depth)
{
	uint8_t b = choose(c);
	if (depth > 12 || ++c->nodes > 200 || b < 60) {
		grow_leaf(c, w, key);
		return;
	}
	if (b < 85) {
		bson_begin_array(w, key);
		for (unsigned i = 0; i < b % 4u; i++)
			grow(c, w, SLICE_NONE, depth + 1);
		bson_end(w);
		return;
	}
	bson_begin_doc(w, key);
	if (b < 100) {
		grow(c, w, SLICE_LIT("a"), depth + 1);
		if (b % 2)
			grow(c, w, SLICE_LIT("b"), depth + 1);
	} else
		grow_arguments(c, w, expr_op_find(slice_str(names[choose(c) % n_names])), depth);
	bson_end(w);
}

static bool grown(const uint8_t *data, size_t size, struct buf *spec, struct buf *doc)
{
	static const char text[] =
		"{\"a\":[1,2.5,\"x\",{\"b\":[3,null]}],\"b\":\"aaab\",\"c\":{\"a\":-1}}";
	struct choices c = { data, data + size, 0 };
	struct bson_writer w;
	if (!n_names)
		(void)expr_operators(collect, NULL);
	bson_writer_init(&w, spec);
	grow(&c, &w, SLICE_LIT("x"), 0);
	return bson_finish(&w, NULL) == 0 && json_to_bson(slice_str(text), doc, NULL, NULL) == 0;
}

static bool written(const uint8_t *data, size_t size, struct buf *spec, struct buf *doc)
{
	const uint8_t *nul = memchr(data, 0, size);
	struct slice s = { data, nul ? (size_t)(nul - data) : size };
	struct slice d = nul ? slice_of(nul + 1, size - s.len - 1)
			     : SLICE_LIT("{\"a\":[1,2,{\"b\":3}],\"b\":\"x\"}");
	return json_to_bson(s, spec, NULL, NULL) == 0 && json_to_bson(d, doc, NULL, NULL) == 0;
}

/* ---- checking ---- */

static void check_value(struct value v)
{
	struct err e = ERR_INIT;
	if (v.type == BSON_DOCUMENT || v.type == BSON_ARRAY)
		check(bson_validate(value_slice(v), &e) == 0);
}

static void accumulate(struct slice doc, struct eval *ev, uint8_t which)
{
	static const char *const specs[] = { "$sum",          "$avg",      "$min",  "$max",
					     "$first",        "$last",     "$push", "$addToSet",
					     "$mergeObjects", "$stdDevPop" };
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(buf) struct buf bytes = BUF_INIT;
	struct bson_writer w;
	struct accum_spec *s;
	struct accum *a, *b;
	struct value x, y;
	bson_writer_init(&w, &text);
	bson_put_string(&w, slice_str(specs[which % ARRAY_LEN(specs)]), SLICE_LIT("$x"));
	check(bson_finish(&w, NULL) == 0);
	check(accum_spec_compile(value_doc(buf_slice(&text)), NULL, &s, NULL) == 0);
	check(accum_new(s, &a, NULL) == 0);
	if (accum_add_doc(a, ev, doc, NULL) == 0 && accum_add_doc(a, ev, doc, NULL) == 0 &&
	    accum_encode(a, &bytes, NULL) == 0) {
		check(accum_decode(s, buf_slice(&bytes), &b, NULL) == 0);
		if (accum_finish(a, ev, &x, NULL) == 0 && accum_finish(b, ev, &y, NULL) == 0)
			check(value_identical(x, y) || value_equal(x, y));
		accum_free(b);
	}
	accum_free(a);
	accum_spec_free(s);
}

static bool is_random(const struct node *x)
{
	if (x->op && (x->op->flags & EXPR_VOLATILE))
		return true;
	for (uint32_t i = 0; i < x->n; i++)
		if (x->arg[i] && is_random(x->arg[i]))
			return true;
	return false;
}

static void run(struct value spec, struct slice doc, uint8_t which)
{
	struct err e = ERR_INIT;
	struct expr *x;
	struct eval ev;
	struct value v, again;
	AUTO(buf) struct buf text = BUF_INIT;
	if (expr_compile(spec, NULL, &x, &e) < 0) {
		check(e.code < 0 && e.msg[0]);
		return;
	}
	expr_explain(x, &text);
	eval_init(&ev);
	ev.now_ms = 1600000000000;
	ev.steps_max = 30000;
	ev.arena.limit_bytes = 8 << 20;
	int rc = expr_eval(x, &ev, doc, &v, &e);
	check(rc <= 0 && (rc == 0 || e.code == rc));
	if (rc == 0) {
		check_value(v);
		ev.steps = 0;
		int second = expr_eval(x, &ev, doc, &again, &e);
		if (second == 0 && !is_random(x->root))
			check(value_identical(v, again) || value_equal(v, again));
		AUTO(buf) struct buf result = BUF_INIT;
		struct bson_writer w;
		bson_writer_init(&w, &result);
		bson_put(&w, SLICE_LIT("x"), v);
		if (bson_finish(&w, NULL) == 0 && result.len < 100000)
			accumulate(buf_slice(&result), &ev, which);
	}
	eval_done(&ev);
	expr_free(x);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(buf) struct buf spec = BUF_INIT;
	AUTO(buf) struct buf doc = BUF_INIT;
	if (size < 2 || size > 20000)
		return 0;
	bool ok = data[0] % 2 ? grown(data + 1, size - 1, &spec, &doc)
			      : written(data + 1, size - 1, &spec, &doc);
	if (ok && data[0] % 2)
		run(bson_get_str(buf_slice(&spec), "x"), buf_slice(&doc), data[0] / 2);
	else if (ok)
		run(value_doc(buf_slice(&spec)), buf_slice(&doc), data[0] / 2);
	return 0;
}
