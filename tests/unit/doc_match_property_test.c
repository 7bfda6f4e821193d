/* Random filters on random documents, compiled and by a naive evaluator that reads the filter afresh for every
 * document: no tree of fields, no lazy walk, no hashing, no order of costs. Each case also runs with virtual roots. */
#include "tests/test.h"

#include "doc/compare.h"
#include "doc/json.h"
#include "doc/match.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- random numbers ---- */

static uint64_t rng;

static unsigned below(unsigned n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (unsigned)(rng >> 33) % n;
}

/* ---- the naive evaluator ---- */

struct found {
	struct value v[4096];
	size_t n;
};

static void found_add(struct found *f, struct value v)
{
	if (f->n == ARRAY_LEN(f->v))
		fail_msg("too many values");
	f->v[f->n++] = v;
}

static struct slice first_part(struct slice path, struct slice *rest)
{
	const uint8_t *dot = path.len ? memchr(path.p, '.', path.len) : NULL;
	if (!dot) {
		*rest = SLICE_NONE;
		return path;
	}
	*rest = slice_of(dot + 1, (size_t)(path.p + path.len - dot - 1));
	return slice_of(path.p, (size_t)(dot - path.p));
}

static void values_in_array(struct slice array, struct slice path, bool expand, struct found *f);

/* At the end of a path: elements, then the array. */
static void leaf(struct value v, bool expand, struct found *f)
{
	if (v.type == BSON_ARRAY && expand) {
		struct bson_iter it;
		bson_iter_init(&it, value_slice(v));
		while (bson_next(&it))
			found_add(f, it.value);
	}
	found_add(f, v);
}

/* Everything that a test of path sees in doc. */
static void values_at(struct slice doc, struct slice path, bool expand, struct found *f)
{
	struct slice rest, part = first_part(path, &rest);
	struct value v = bson_get(doc, part);
	if (!rest.p)
		leaf(v, expand, f);
	else if (v.type == BSON_DOCUMENT)
		values_at(value_slice(v), rest, expand, f);
	else if (v.type == BSON_ARRAY)
		values_in_array(value_slice(v), rest, expand, f);
	else
		found_add(f, VALUE_MISSING);
}

static void values_in_array(struct slice array, struct slice path, bool expand, struct found *f)
{
	struct slice rest, part = first_part(path, &rest);
	struct bson_iter it;
	char index[16];
	int i = 0;
	bson_iter_init(&it, array);
	for (; bson_next(&it); i++) {
		snprintf(index, sizeof(index), "%d", i);
		if (it.value.type == BSON_DOCUMENT)
			values_at(value_slice(it.value), path, expand, f);
		if (!slice_is(part, index))
			continue;
		if (!rest.p)
			found_add(f, it.value);
		else if (it.value.type == BSON_DOCUMENT)
			values_at(value_slice(it.value), rest, expand, f);
		else if (it.value.type == BSON_ARRAY)
			values_in_array(value_slice(it.value), rest, expand, f);
	}
}

static bool naive_query(struct slice spec, struct slice doc);
static bool naive_value_condition(struct value cond, struct value v);

/* Operators of a field; $and, $or and $nor begin a query. */
static bool is_operators(struct value v)
{
	struct bson_iter it;
	if (v.type != BSON_DOCUMENT)
		return false;
	bson_iter_init(&it, value_slice(v));
	return bson_next(&it) && it.key.len && it.key.p[0] == '$' && !slice_is(it.key, "$and") &&
	       !slice_is(it.key, "$or") && !slice_is(it.key, "$nor");
}

static bool equal_or_null(struct value v, struct value x)
{
	if (v.type == BSON_MISSING)
		return x.type == BSON_NULL;
	return value_rank(v.type) == value_rank(x.type) && value_compare(v, x) == 0;
}

static bool ordered(struct value v, struct value x, const char *op)
{
	if (equal_or_null(v, x))
		return op[3] == 'e'; /* $gte, $lte */
	if (v.type == BSON_MISSING || value_rank(v.type) != value_rank(x.type))
		return false;
	return op[1] == 'g' ? value_compare(v, x) > 0 : value_compare(v, x) < 0;
}

/* One positive operator on one value, arrays not taken apart. */
static bool naive_test(const char *op, struct value arg, struct value v)
{
	struct bson_iter it;
	if (strcmp(op, "$eq") == 0)
		return equal_or_null(v, arg);
	if (strcmp(op, "$exists") == 0)
		return v.type != BSON_MISSING;
	if (strcmp(op, "$type") == 0)
		return v.type != BSON_MISSING && v.type == (uint8_t)arg.i64;
	if (strcmp(op, "$mod") == 0) {
		if (!value_is_number(v))
			return false;
		int64_t x = v.type == BSON_DOUBLE ? (int64_t)v.f64 : v.i64;
		return x % bson_get_str(value_slice(arg), "0").i64 ==
		       bson_get_str(value_slice(arg), "1").i64;
	}
	if (strcmp(op, "$regex") == 0)
		return v.type == BSON_STRING && memmem(v.p, v.len, arg.p, arg.len);
	if (strcmp(op, "$in") == 0) {
		bson_iter_init(&it, value_slice(arg));
		while (bson_next(&it)) {
			if (equal_or_null(v, it.value))
				return true;
		}
		return false;
	}
	if (strcmp(op, "$size") == 0) {
		if (v.type != BSON_ARRAY)
			return false;
		int64_t n = 0;
		for (bson_iter_init(&it, value_slice(v)); bson_next(&it);)
			n++;
		return n == arg.i64;
	}
	if (strcmp(op, "$elemMatch") == 0) {
		if (v.type != BSON_ARRAY)
			return false;
		for (bson_iter_init(&it, value_slice(v)); bson_next(&it);) {
			bool doc = it.value.type == BSON_DOCUMENT || it.value.type == BSON_ARRAY;
			if (is_operators(arg)
				    ? naive_value_condition(arg, it.value)
				    : doc && naive_query(value_slice(arg), value_slice(it.value)))
				return true;
		}
		return false;
	}
	return ordered(v, arg, op);
}

static bool any(const char *op, struct value arg, const struct value *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (naive_test(op, arg, v[i]))
			return true;
	}
	return false;
}

/* What an operator sees: the values of a path, or one value. */
struct subject {
	struct slice doc, path;
	const struct value *single;
};

static bool naive_operator(const char *op, struct value arg, const struct subject *s);

static bool naive_operators(struct slice cond, const struct subject *s)
{
	struct bson_iter it;
	bson_iter_init(&it, cond);
	while (bson_next(&it)) {
		if (!naive_operator((const char *)it.key.p, it.value, s))
			return false;
	}
	return true;
}

static bool naive_all(struct value arg, const struct subject *s)
{
	struct bson_iter it;
	size_t n = 0;
	bson_iter_init(&it, value_slice(arg));
	for (; bson_next(&it); n++) {
		if (!naive_operator("$eq", it.value, s))
			return false;
	}
	return n > 0;
}

static bool naive_operator(const char *op, struct value arg, const struct subject *s)
{
	if (strcmp(op, "$ne") == 0)
		return !naive_operator("$eq", arg, s);
	if (strcmp(op, "$nin") == 0)
		return !naive_operator("$in", arg, s);
	if (strcmp(op, "$exists") == 0 && !arg.i64)
		return !naive_operator("$exists", value_bool(true), s);
	if (strcmp(op, "$not") == 0)
		return !naive_operators(value_slice(arg), s);
	if (strcmp(op, "$all") == 0)
		return naive_all(arg, s);
	if (s->single)
		return any(op, arg, s->single, 1);
	bool expand = strcmp(op, "$size") != 0 && strcmp(op, "$elemMatch") != 0;
	struct found *f = malloc(sizeof(*f));
	assert_non_null(f);
	f->n = 0;
	values_at(s->doc, s->path, expand, f);
	bool holds = any(op, arg, f->v, f->n);
	free(f);
	return holds;
}

static bool naive_value_condition(struct value cond, struct value v)
{
	return naive_operators(value_slice(cond), &(struct subject){ .single = &v });
}

static bool naive_logic(struct slice op, struct slice list, struct slice doc)
{
	unsigned n = 0, hits = 0;
	struct bson_iter it;
	for (bson_iter_init(&it, list); bson_next(&it); n++)
		hits += naive_query(value_slice(it.value), doc);
	return slice_is(op, "$and") ? hits == n : slice_is(op, "$or") ? hits > 0 : hits == 0;
}

static bool naive_query(struct slice spec, struct slice doc)
{
	struct bson_iter it;
	bson_iter_init(&it, spec);
	while (bson_next(&it)) {
		struct subject s = { .doc = doc, .path = it.key };
		bool holds;
		if (it.key.p[0] == '$')
			holds = naive_logic(it.key, value_slice(it.value), doc);
		else if (is_operators(it.value))
			holds = naive_operators(value_slice(it.value), &s);
		else
			holds = naive_operator("$eq", it.value, &s);
		if (!holds)
			return false;
	}
	return true;
}

/* ---- random documents and filters ---- */

static const char *const names[] = { "a", "b", "c", "0", "1" };
static const char *const texts[] = { "", "x", "xy", "yxz", "a longer text" };

static void put_random(struct bson_writer *w, struct slice key, unsigned depth);

static void put_scalar(struct bson_writer *w, struct slice key)
{
	switch (below(7)) {
	case 0: bson_put_null(w, key); break;
	case 1: bson_put_bool(w, key, below(2)); break;
	case 2: bson_put_double(w, key, below(4) + below(2) * 0.5); break;
	case 3: bson_put_string(w, key, slice_str(texts[below(5)])); break;
	case 4: bson_put_int64(w, key, below(4)); break;
	default: bson_put_int32(w, key, (int32_t)below(4)); break;
	}
}

static void put_members(struct bson_writer *w, unsigned depth)
{
	unsigned present = below(1u << ARRAY_LEN(names));
	for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
		if (present >> i & 1)
			put_random(w, slice_str(names[i]), depth);
	}
}

static void put_random(struct bson_writer *w, struct slice key, unsigned depth)
{
	unsigned kind = depth ? below(3) : 0;
	if (kind == 0) {
		put_scalar(w, key);
		return;
	}
	if (kind == 1) {
		bson_begin_doc(w, key);
		put_members(w, depth - 1);
	} else {
		bson_begin_array(w, key);
		for (unsigned n = below(4); n; n--)
			put_random(w, SLICE_NONE, depth - 1);
	}
	bson_end(w);
}

static void put_operators(struct bson_writer *w, unsigned depth);
static void put_query(struct bson_writer *w, unsigned depth);

static void put_list(struct bson_writer *w, const char *op)
{
	bson_begin_array(w, slice_str(op));
	for (unsigned n = 1 + below(8); n; n--)
		put_random(w, SLICE_NONE, below(4) == 0);
	bson_end(w);
}

static void put_operator(struct bson_writer *w, unsigned depth)
{
	static const char *const relations[] = { "$eq", "$ne", "$gt", "$gte", "$lt", "$lte" };
	static const char *const lists[] = { "$in", "$nin", "$all" };
	static const uint8_t types[] = { BSON_INT32, BSON_STRING, BSON_ARRAY, BSON_DOCUMENT };
	switch (below(depth ? 9 : 7)) {
	case 0:
	case 1: put_random(w, slice_str(relations[below(6)]), below(2)); break;
	case 2: put_list(w, lists[below(3)]); break;
	case 3: bson_put_bool(w, SLICE_LIT("$exists"), below(2)); break;
	case 4: bson_put_int32(w, SLICE_LIT("$type"), types[below(4)]); break;
	case 5: bson_put_int32(w, SLICE_LIT("$size"), (int32_t)below(4)); break;
	case 6:
		if (below(2)) {
			bson_put_string(w, SLICE_LIT("$regex"), slice_str(texts[below(4)]));
			break;
		}
		bson_begin_array(w, SLICE_LIT("$mod"));
		bson_put_int32(w, SLICE_NONE, 1 + (int32_t)below(3));
		bson_put_int32(w, SLICE_NONE, (int32_t)below(2));
		bson_end(w);
		break;
	case 7:
		bson_begin_doc(w, SLICE_LIT("$not"));
		put_operators(w, depth - 1);
		bson_end(w);
		break;
	default:
		bson_begin_doc(w, SLICE_LIT("$elemMatch"));
		if (below(2))
			put_operators(w, depth - 1);
		else
			put_query(w, depth - 1);
		bson_end(w);
	}
}

static void put_operators(struct bson_writer *w, unsigned depth)
{
	for (unsigned n = 1 + below(2); n; n--)
		put_operator(w, depth);
}

static void put_query_member(struct bson_writer *w, unsigned depth)
{
	static const char *const logic[] = { "$and", "$or", "$nor" };
	if (depth && below(4) == 0) {
		bson_begin_array(w, slice_str(logic[below(3)]));
		for (unsigned n = 1 + below(3); n; n--) {
			bson_begin_doc(w, SLICE_NONE);
			put_query(w, depth - 1);
			bson_end(w);
		}
		bson_end(w);
		return;
	}
	char path[64] = "";
	strcat(path, names[below(3)]);
	for (unsigned n = below(4); n; n--) {
		strcat(path, ".");
		strcat(path, names[below(5)]);
	}
	if (below(3) == 0) {
		put_random(w, slice_str(path), below(2));
		return;
	}
	bson_begin_doc(w, slice_str(path));
	put_operators(w, depth);
	bson_end(w);
}

static void put_query(struct bson_writer *w, unsigned depth)
{
	for (unsigned n = 1 + below(3); n; n--)
		put_query_member(w, depth);
}

static void random_doc(struct buf *out)
{
	struct bson_writer w;
	struct err e = ERR_INIT;
	buf_reset(out);
	bson_writer_init(&w, out);
	for (unsigned i = 0; i < 3; i++) {
		if (below(5))
			put_random(&w, slice_str(names[i]), 4);
	}
	assert_ok(bson_finish(&w, &e), &e);
}

static void random_filter(struct buf *out)
{
	struct bson_writer w;
	struct err e = ERR_INIT;
	buf_reset(out);
	bson_writer_init(&w, out);
	put_query(&w, 3);
	assert_ok(bson_finish(&w, &e), &e);
}

/* ---- the comparison ---- */

static const char *const roots[] = { "a", "b", "c", NULL };

static void differ(struct slice filter, struct slice doc, int got, bool expected)
{
	AUTO(buf) struct buf text = BUF_INIT;
	json_from_bson(filter, JSON_CANONICAL, &text);
	buf_add_str(&text, "\non ");
	json_from_bson(doc, JSON_CANONICAL, &text);
	fail_msg("%d, not %d:\n%s", got, expected, buf_cstr(&text));
}

static unsigned compare_on(const struct match *m, const struct match *on_roots, struct slice filter,
			   struct slice doc)
{
	static struct eval ev;
	static bool ready;
	struct err e = ERR_INIT;
	if (!ready)
		eval_init(&ev);
	ready = true;
	eval_reset(&ev);
	bool expected = naive_query(filter, doc);
	int rc = match_doc(m, &ev, doc, &e);
	if (rc != expected)
		differ(filter, doc, rc, expected);
	struct value v[3] = { bson_get_str(doc, "a"), bson_get_str(doc, "b"),
			      bson_get_str(doc, "c") };
	rc = match_roots(on_roots, &ev, v, &e);
	if (rc != expected)
		differ(filter, doc, rc, expected);
	return expected;
}

static void compiled_filters_agree_with_a_naive_evaluator(void **state)
{
	(void)state;
	AUTO(buf) struct buf filter = BUF_INIT;
	struct buf docs[8] = { 0 };
	unsigned long matched = 0, total = 0;
	rng = 0x9e3779b97f4a7c15;
	for (long i = test_count(60000, 3000000); i; i--) {
		struct err e = ERR_INIT;
		struct match *m, *on_roots;
		random_filter(&filter);
		if (i % 64 == 0) {
			for (size_t k = 0; k < ARRAY_LEN(docs); k++)
				random_doc(&docs[k]);
		}
		assert_ok(match_compile(buf_slice(&filter), NULL, &m, &e), &e);
		assert_ok(match_compile(buf_slice(&filter),
					&(struct match_options){ .roots = roots }, &on_roots, &e),
			  &e);
		for (size_t k = 0; k < ARRAY_LEN(docs); k++, total++)
			matched += docs[k].len ? compare_on(m, on_roots, buf_slice(&filter),
							    buf_slice(&docs[k]))
					       : 0;
		match_free(m);
		match_free(on_roots);
	}
	for (size_t k = 0; k < ARRAY_LEN(docs); k++)
		buf_done(&docs[k]);
	printf("%lu of %lu match\n", matched, total);
	assert_true(matched > total / 20); /* neither answer is rare, or nothing is tested */
	assert_true(matched < total - total / 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(compiled_filters_agree_with_a_naive_evaluator),
	};
	return cmocka_run_group_tests_name("doc/match property", tests, NULL, NULL);
}
