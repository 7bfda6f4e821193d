/* doc_diff: update descriptions are exact, and applying them gives the after-image back. */
#include "tests/test.h"

#include "doc/diff.h"
#include "doc/compare.h"
#include "doc/json.h"

#include <stdio.h>

static struct slice parse(struct buf *b, const char *json)
{
	struct err e = ERR_INIT;
	buf_reset(b);
	assert_ok(json_to_bson(slice_str(json), b, NULL, &e), &e);
	return buf_slice(b);
}

static int describe(struct slice before, struct slice after, struct buf *out, struct err *e)
{
	struct bson_writer w;
	bson_writer_init(&w, out);
	int rc = diff_docs(before, after, &w, e);
	return rc < 0 ? rc : bson_finish(&w, e);
}

static void check_diff(const char *before, const char *after, const char *expected)
{
	struct err e = ERR_INIT;
	AUTO(buf)
	struct buf b = BUF_INIT, a = BUF_INIT, d = BUF_INIT, text = BUF_INIT, r = BUF_INIT;
	struct slice sb = parse(&b, before), sa = parse(&a, after);
	assert_ok(describe(sb, sa, &d, &e), &e);
	json_from_bson(buf_slice(&d), JSON_RELAXED, &text);
	AUTO(buf) struct buf want = BUF_INIT, want_text = BUF_INIT;
	json_from_bson(parse(&want, expected), JSON_RELAXED, &want_text);
	assert_string_equal(buf_cstr(&text), buf_cstr(&want_text));
	assert_ok(diff_apply(sb, buf_slice(&d), &r, &e), &e);
	AUTO(buf) struct buf got = BUF_INIT, wanted = BUF_INIT;
	json_from_bson(buf_slice(&r), JSON_CANONICAL, &got);
	json_from_bson(sa, JSON_CANONICAL, &wanted);
	assert_string_equal(buf_cstr(&got), buf_cstr(&wanted));
}

static void diff_names_what_changed_in_nested_documents_and_arrays(void **state)
{
	(void)state;
	static const struct {
		const char *before, *after, *diff;
	} cases[] = {
		{ "{\"a\":1}", "{\"a\":1}",
		  "{\"updatedFields\":{},\"removedFields\":[],\"truncatedArrays\":[]}" },
		{ "{\"a\":1,\"b\":{\"c\":1,\"d\":[1,2,3]},\"e\":5}",
		  "{\"a\":1,\"b\":{\"c\":2,\"d\":[1]},\"f\":6}",
		  "{\"updatedFields\":{\"b.c\":2,\"f\":6},\"removedFields\":[\"e\"],"
		  "\"truncatedArrays\":[{\"field\":\"b.d\",\"newSize\":1}]}" },
		{ "{\"arr\":[0,1,2,{\"b\":1,\"c\":\"a long enough text\"}]}",
		  "{\"arr\":[0,1,2,{\"b\":2,\"c\":\"a long enough text\"}]}",
		  "{\"updatedFields\":{\"arr.3.b\":2},\"removedFields\":[],\"truncatedArrays\":[]"
		  "}" },
		{ "{\"arr\":[1,2]}", "{\"arr\":[1,2,3]}",
		  "{\"updatedFields\":{\"arr.2\":3},\"removedFields\":[],\"truncatedArrays\":[]}" },
		{ "{\"a\":1}", "{\"a\":{\"$numberLong\":\"1\"}}",
		  "{\"updatedFields\":{\"a\":{\"$numberLong\":\"1\"}},\"removedFields\":[],"
		  "\"truncatedArrays\":[]}" },
		{ "{\"a\":{\"x\":1}}", "{\"a\":5}",
		  "{\"updatedFields\":{\"a\":5},\"removedFields\":[],\"truncatedArrays\":[]}" },
		{ "{\"a\":{\"x\":1,\"y\":2}}", "{\"a\":{\"y\":2}}",
		  "{\"updatedFields\":{},\"removedFields\":[\"a.x\"],\"truncatedArrays\":[]}" },
		{ "{\"a\":[[1,2],[3,4]]}", "{\"a\":[[1,2],[3,5]]}",
		  "{\"updatedFields\":{\"a.1.1\":5},\"removedFields\":[],\"truncatedArrays\":[]}" },
		{ "{}", "{\"a\":{}}",
		  "{\"updatedFields\":{\"a\":{}},\"removedFields\":[],\"truncatedArrays\":[]}" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		check_diff(cases[i].before, cases[i].after, cases[i].diff);
}

static void diff_of_an_array_that_keeps_a_prefix_is_a_truncation_alone(void **state)
{
	(void)state;
	check_diff("{\"_id\":1,\"a\":1,\"array\":[\"foo\",{\"a\":\"bar\"},1,2,3]}",
		   "{\"_id\":1,\"a\":1,\"array\":[\"foo\",{\"a\":\"bar\"}]}",
		   "{\"updatedFields\":{},\"removedFields\":[],"
		   "\"truncatedArrays\":[{\"field\":\"array\",\"newSize\":2}]}");
}

static void diff_reports_a_shifted_array_whole(void **state)
{
	(void)state;
	check_diff("{\"a\":[1,2,3,4,5,6,7,8]}", "{\"a\":[2,3,4,5,6,7,8]}",
		   "{\"updatedFields\":{\"a\":[2,3,4,5,6,7,8]},\"removedFields\":[],"
		   "\"truncatedArrays\":[]}");
}

static void diff_disambiguates_numeric_and_dotted_names(void **state)
{
	(void)state;
	static const struct {
		const char *before, *after, *diff;
	} cases[] = {
		{ "{\"_id\":1,\"a\":{\"1\":1}}", "{\"_id\":1,\"a\":{\"1\":2}}",
		  "{\"updatedFields\":{\"a.1\":2},\"removedFields\":[],\"truncatedArrays\":[],"
		  "\"disambiguatedPaths\":{\"a.1\":[\"a\",\"1\"]}}" },
		{ "{\"_id\":1,\"a\":[{\"1\":1}]}", "{\"_id\":1,\"a\":[{\"1\":2}]}",
		  "{\"updatedFields\":{\"a.0.1\":2},\"removedFields\":[],\"truncatedArrays\":[],"
		  "\"disambiguatedPaths\":{\"a.0.1\":[\"a\",0,\"1\"]}}" },
		{ "{\"a.b\":1,\"c\":1}", "{\"a.b\":2,\"c\":1}",
		  "{\"updatedFields\":{\"a.b\":2},\"removedFields\":[],\"truncatedArrays\":[],"
		  "\"disambiguatedPaths\":{\"a.b\":[\"a.b\"]}}" },
		{ "{\"1\":1}", "{\"1\":2}",
		  "{\"updatedFields\":{\"1\":2},\"removedFields\":[],\"truncatedArrays\":[]}" },
		/* The same text twice is avoided: the shorter path is reported whole. */
		{ "{\"a\":{\"b\":1,\"c\":1},\"a.b\":1}", "{\"a\":{\"b\":2,\"c\":1},\"a.b\":2}",
		  "{\"updatedFields\":{\"a\":{\"b\":2,\"c\":1},\"a.b\":2},\"removedFields\":[],"
		  "\"truncatedArrays\":[],\"disambiguatedPaths\":{\"a.b\":[\"a.b\"]}}" },
		{ "{\"x\":{\"0\":[1,2]}}", "{\"x\":{\"0\":[1]}}",
		  "{\"updatedFields\":{},\"removedFields\":[],"
		  "\"truncatedArrays\":[{\"field\":\"x.0\",\"newSize\":1}],"
		  "\"disambiguatedPaths\":{\"x.0\":[\"x\",\"0\"]}}" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		check_diff(cases[i].before, cases[i].after, cases[i].diff);
}

static void diff_represents_reordered_fields(void **state)
{
	(void)state;
	static const struct {
		const char *before, *after, *diff;
	} cases[] = {
		/* Below the top: the whole document. */
		{ "{\"d\":{\"a\":1,\"b\":2}}", "{\"d\":{\"b\":2,\"a\":1}}",
		  "{\"updatedFields\":{\"d\":{\"b\":2,\"a\":1}},\"removedFields\":[],"
		  "\"truncatedArrays\":[]}" },
		/* At the top: the fields from the first one out of place. */
		{ "{\"a\":1,\"b\":2,\"c\":3}", "{\"a\":1,\"c\":3,\"b\":2}",
		  "{\"updatedFields\":{\"b\":2},\"removedFields\":[],\"truncatedArrays\":[]}" },
		{ "{\"a\":1,\"b\":2}", "{\"b\":3,\"a\":4}",
		  "{\"updatedFields\":{\"b\":3,\"a\":4},\"removedFields\":[],\"truncatedArrays\":[]"
		  "}" },
		{ "{\"a\":1,\"b\":2}", "{\"b\":2,\"a\":4}",
		  "{\"updatedFields\":{\"b\":2,\"a\":4},\"removedFields\":[],\"truncatedArrays\":[]"
		  "}" },
		{ "{\"a\":1,\"b\":2}", "{\"n\":0,\"a\":1,\"b\":3}",
		  "{\"updatedFields\":{\"n\":0,\"a\":1,\"b\":3},\"removedFields\":[],"
		  "\"truncatedArrays\":[]}" },
		{ "{\"x\":1,\"a\":1,\"b\":2,\"y\":3}", "{\"a\":1,\"n\":0,\"b\":2}",
		  "{\"updatedFields\":{\"n\":0,\"b\":2},\"removedFields\":[\"x\",\"y\"],"
		  "\"truncatedArrays\":[]}" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		check_diff(cases[i].before, cases[i].after, cases[i].diff);
}

/* ---- the property ---- */

static uint64_t random_next(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

static void random_fields(uint64_t *s, struct bson_writer *w, bool array, int depth);

static void random_value(uint64_t *s, struct bson_writer *w, struct slice key, int depth)
{
	switch (random_next(s) % (depth < 4 ? 7 : 4)) {
	case 0: bson_put_int32(w, key, (int32_t)(random_next(s) % 3)); break;
	case 1:
		bson_put_string(w, key, slice_str(random_next(s) % 2 ? "x" : "a longer text"));
		break;
	case 2: bson_put_null(w, key); break;
	case 3: bson_put_int64(w, key, (int64_t)(random_next(s) % 3)); break;
	case 4:
	case 5:
		bson_begin_array(w, key);
		random_fields(s, w, true, depth + 1);
		bson_end(w);
		break;
	default:
		bson_begin_doc(w, key);
		random_fields(s, w, false, depth + 1);
		bson_end(w);
	}
}

static const char *const names[] = { "a", "b", "c", "a.b", "0", "1", "", "b.0", "d", "e" };

static void random_fields(uint64_t *s, struct bson_writer *w, bool array, int depth)
{
	size_t n = random_next(s) % 6;
	size_t first = random_next(s) % ARRAY_LEN(names), step = random_next(s) % 2 ? 1 : 3;
	for (size_t i = 0; i < n; i++) {
		const char *name = names[(first + i * step) % ARRAY_LEN(names)];
		random_value(s, w, array ? SLICE_NONE : slice_str(name), depth);
	}
}

/* A copy with some fields changed, removed, swapped, appended; arrays likewise. */
static void mutate(uint64_t *s, struct slice doc, bool array, struct bson_writer *w, int depth)
{
	struct bson_iter it;
	bson_iter_init(&it, doc);
	uint64_t what = random_next(s) % 4;
	while (bson_next(&it)) {
		uint64_t dice = random_next(s) % 12;
		if (dice == 0 && what != 3)
			continue;
		if (dice == 1) {
			random_value(s, w, it.key, depth);
		} else if (it.value.type == BSON_DOCUMENT || it.value.type == BSON_ARRAY) {
			bool inner = it.value.type == BSON_ARRAY;
			if (inner)
				bson_begin_array(w, it.key);
			else
				bson_begin_doc(w, it.key);
			mutate(s, value_slice(it.value), inner, w, depth + 1);
			bson_end(w);
		} else {
			bson_put(w, it.key, it.value);
		}
		if (array && random_next(s) % 9 == 0)
			break;
	}
	if (what == 0 && array)
		random_value(s, w, SLICE_NONE, depth);
	if (what == 0 && !array && bson_get_str(doc, "new").type == BSON_MISSING)
		random_value(s, w, slice_str("new"), depth);
}

/* The same fields, two neighbours of the top level swapped. */
static void swap_fields(uint64_t *s, struct slice doc, struct bson_writer *w)
{
	struct slice raw[32];
	struct bson_iter it;
	size_t n = 0;
	for (bson_iter_init(&it, doc); n < ARRAY_LEN(raw) && bson_next(&it); n++)
		raw[n] = it.raw;
	if (n > 1) {
		size_t i = random_next(s) % n, j = random_next(s) % n;
		struct slice t = raw[i];
		raw[i] = raw[j];
		raw[j] = t;
	}
	for (size_t i = 0; i < n; i++)
		bson_put_raw(w, raw[i]);
}

static void diff_applied_to_the_before_image_gives_the_after_image_byte_for_byte(void **state)
{
	(void)state;
	uint64_t s = 88172645463325252u;
	AUTO(buf) struct buf b = BUF_INIT, a = BUF_INIT, a2 = BUF_INIT, d = BUF_INIT, r = BUF_INIT;
	long rounds = test_count(60000, 2000000);
	for (long i = 0; i < rounds; i++) {
		struct err e = ERR_INIT;
		struct bson_writer w;
		buf_reset(&b), buf_reset(&a), buf_reset(&a2), buf_reset(&d), buf_reset(&r);
		uint64_t seed = s;
		bson_writer_init(&w, &b);
		random_fields(&s, &w, false, 0);
		assert_ok(bson_finish(&w, &e), &e);
		bson_writer_init(&w, &a);
		if (random_next(&s) % 8 == 0)
			random_fields(&s, &w, false, 0);
		else
			mutate(&s, buf_slice(&b), false, &w, 0);
		assert_ok(bson_finish(&w, &e), &e);
		struct slice after = buf_slice(&a);
		if (random_next(&s) % 4 == 0) {
			bson_writer_init(&w, &a2);
			swap_fields(&s, after, &w);
			assert_ok(bson_finish(&w, &e), &e);
			after = buf_slice(&a2);
		}
		assert_ok(describe(buf_slice(&b), after, &d, &e), &e);
		assert_ok(bson_validate(buf_slice(&d), &e), &e);
		assert_ok(diff_apply(buf_slice(&b), buf_slice(&d), &r, &e), &e);
		if (slice_eq(buf_slice(&r), after))
			continue;
		AUTO(buf) struct buf text = BUF_INIT;
		buf_add_fmt(&text, "seed %llu\n", (unsigned long long)seed);
		json_from_bson(buf_slice(&b), JSON_RELAXED, &text);
		buf_add_str(&text, "\n");
		json_from_bson(after, JSON_RELAXED, &text);
		buf_add_str(&text, "\n");
		json_from_bson(buf_slice(&d), JSON_RELAXED, &text);
		buf_add_str(&text, "\n");
		json_from_bson(buf_slice(&r), JSON_RELAXED, &text);
		fail_msg("%s", buf_cstr(&text));
	}
}

static void diff_of_wide_documents_takes_linear_time(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	AUTO(buf) struct buf b = BUF_INIT, a = BUF_INIT, d = BUF_INIT, r = BUF_INIT;
	struct bson_writer wb, wa;
	bson_writer_init(&wb, &b);
	bson_writer_init(&wa, &a);
	for (int i = 0; i < 50000; i++) {
		char name[24];
		int n = snprintf(name, sizeof(name), "before%d", i);
		bson_put_int32(&wb, slice_of(name, (size_t)n), i);
		n = snprintf(name, sizeof(name), "after%d", i);
		bson_put_int32(&wa, slice_of(name, (size_t)n), i);
	}
	assert_ok(bson_finish(&wb, &e), &e);
	assert_ok(bson_finish(&wa, &e), &e);
	assert_ok(describe(buf_slice(&b), buf_slice(&a), &d, &e), &e);
	assert_ok(diff_apply(buf_slice(&b), buf_slice(&d), &r, &e), &e);
	assert_true(slice_eq(buf_slice(&r), buf_slice(&a)));
}

static void diff_apply_refuses_what_does_not_fit(void **state)
{
	(void)state;
	static const struct {
		const char *before, *description;
	} cases[] = {
		{ "{\"a\":1}", "{\"updatedFields\":{\"a.b\":1}}" },
		{ "{\"a\":[1]}", "{\"updatedFields\":{\"a.x\":1}}" },
		{ "{\"a\":1}", "{\"truncatedArrays\":[{\"field\":\"a\",\"newSize\":1}]}" },
		{ "{\"a\":1}", "{\"truncatedArrays\":[{\"field\":\"a\"}]}" },
		{ "{\"a\":1}", "{\"updatedFields\":5}" },
		{ "{\"a\":1}", "{\"removedFields\":[5]}" },
		{ "{\"a\":[]}", "{\"updatedFields\":{\"a.99999999\":1}}" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err e = ERR_INIT;
		AUTO(buf) struct buf b = BUF_INIT, d = BUF_INIT, r = BUF_INIT;
		struct slice sb = parse(&b, cases[i].before), sd = parse(&d, cases[i].description);
		if (diff_apply(sb, sd, &r, &e) >= 0)
			fail_msg("case %zu was accepted", i);
		assert_int_equal(r.len, 0);
		assert_true(e.msg[0] != '\0');
	}
}

static void diff_apply_follows_descriptions_made_elsewhere(void **state)
{
	(void)state;
	static const struct {
		const char *before, *description, *after;
	} cases[] = {
		{ "{\"a\":[1]}", "{\"updatedFields\":{\"a.3\":9,\"a.1\":5}}",
		  "{\"a\":[1,5,null,9]}" },
		{ "{\"_id\":1}", "{\"updatedFields\":{\"x.y\":2}}", "{\"_id\":1,\"x\":{\"y\":2}}" },
		{ "{\"a\":[1,2,3]}", "{\"removedFields\":[\"a.1\",\"zz\"]}", "{\"a\":[1,null,3]}" },
		{ "{\"a\":[1,2,3]}",
		  "{\"updatedFields\":{\"a.1\":7},\"truncatedArrays\":[{\"field\":\"a\","
		  "\"newSize\":2}]}",
		  "{\"a\":[1,7]}" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err e = ERR_INIT;
		AUTO(buf) struct buf b = BUF_INIT, d = BUF_INIT, a = BUF_INIT, r = BUF_INIT;
		struct slice sb = parse(&b, cases[i].before), sd = parse(&d, cases[i].description);
		assert_ok(diff_apply(sb, sd, &r, &e), &e);
		assert_true(slice_eq(buf_slice(&r), parse(&a, cases[i].after)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(diff_names_what_changed_in_nested_documents_and_arrays),
		cmocka_unit_test(diff_of_an_array_that_keeps_a_prefix_is_a_truncation_alone),
		cmocka_unit_test(diff_reports_a_shifted_array_whole),
		cmocka_unit_test(diff_disambiguates_numeric_and_dotted_names),
		cmocka_unit_test(diff_represents_reordered_fields),
		cmocka_unit_test(
			diff_applied_to_the_before_image_gives_the_after_image_byte_for_byte),
		cmocka_unit_test(diff_of_wide_documents_takes_linear_time),
		cmocka_unit_test(diff_apply_refuses_what_does_not_fit),
		cmocka_unit_test(diff_apply_follows_descriptions_made_elsewhere),
	};
	return cmocka_run_group_tests_name("doc_diff", tests, NULL, NULL);
}
