/* Accumulators: results, and the law that parts merged in order equal the whole, also through bytes. */
#include "tests/test.h"

#include "base/mem.h"
#include "doc/accum.h"
#include "doc/compare.h"
#include "doc/json.h"
#include "doc/sum.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- helpers ---- */

static uint64_t seed = 88172645463325252u;

static uint64_t next(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static struct accum_spec *spec_of(const char *text, size_t memory)
{
	AUTO(buf) struct buf b = BUF_INIT;
	struct accum_spec *s = NULL;
	struct err e = ERR_INIT;
	struct value v;
	assert_ok(json_to_value(slice_str(text), &b, &v, NULL, &e), &e);
	assert_ok(accum_spec_compile(v, &(struct accum_options){ .memory_max_bytes = memory }, &s,
				     &e),
		  &e);
	return s;
}

static struct accum *new_of(const struct accum_spec *s)
{
	struct accum *a = NULL;
	struct err e = ERR_INIT;
	assert_ok(accum_new(s, &a, &e), &e);
	return a;
}

static void add_json(struct accum *a, struct eval *ev, const char *doc)
{
	AUTO(buf) struct buf b = BUF_INIT;
	struct err e = ERR_INIT;
	assert_ok(json_to_bson(slice_str(doc), &b, NULL, &e), &e);
	eval_reset(ev);
	assert_ok(accum_add_doc(a, ev, buf_slice(&b), &e), &e);
}

static void result_text(const struct accum *a, struct eval *ev, struct buf *out)
{
	struct value v;
	struct err e = ERR_INIT;
	assert_ok(accum_finish(a, ev, &v, &e), &e);
	buf_reset(out);
	if (v.type == BSON_MISSING)
		buf_add_str(out, "missing");
	else
		json_from_value(v, JSON_CANONICAL, out);
}

struct row {
	const char *spec;
	const char *docs[6];
	const char *want; /* relaxed JSON would hide types, so canonical */
};

#define I(n) "{\"$numberInt\":\"" #n "\"}"
#define D(n) "{\"$numberDouble\":\"" #n "\"}"

static const struct row rows[] = {
	{ "{\"$sum\":\"$a\"}", { "{\"a\":1}", "{\"a\":\"x\"}", "{\"a\":2}" }, I(3) },
	{ "{\"$sum\":\"$a\"}", { NULL }, I(0) },
	{ "{\"$sum\":\"$a\"}", { "{\"a\":1}", "{\"a\":2.5}" }, D(3.5) },
	{ "{\"$sum\":\"$a\"}",
	  { "{\"a\":2147483647}", "{\"a\":1}" },
	  "{\"$numberLong\":\"2147483648\"}" },
	{ "{\"$sum\":[\"$a\"]}", { "{\"a\":4}" }, I(4) },
	{ "{\"$avg\":\"$a\"}", { "{\"a\":1}", "{\"a\":2}", "{}" }, D(1.5) },
	{ "{\"$avg\":\"$a\"}", { "{}" }, "null" },
	{ "{\"$count\":{}}", { "{}", "{\"a\":null}" }, I(2) },
	{ "{\"$min\":\"$a\"}", { "{\"a\":2}", "{\"a\":null}", "{\"a\":1}", "{}" }, I(1) },
	{ "{\"$max\":\"$a\"}", { "{\"a\":2}", "{\"a\":\"x\"}", "{}" }, "\"x\"" },
	{ "{\"$max\":\"$a\"}", { "{}" }, "null" },
	{ "{\"$first\":\"$a\"}", { "{\"a\":2}", "{\"a\":3}" }, I(2) },
	{ "{\"$first\":\"$a\"}", { "{}", "{\"a\":3}" }, "missing" },
	{ "{\"$last\":\"$a\"}", { "{\"a\":2}", "{\"a\":[3]}" }, "[" I(3) "]" },
	{ "{\"$last\":\"$a\"}", { "{\"a\":2}", "{}" }, "missing" },
	{ "{\"$push\":\"$a\"}",
	  { "{\"a\":2}", "{}", "{\"a\":null}", "{\"a\":\"s\"}" },
	  "[" I(2) ",null,\"s\"]" },
	{ "{\"$push\":{\"x\":\"$a\"}}", { "{\"a\":2}", "{}" }, "[{\"x\":" I(2) "},{}]" },
	{ "{\"$addToSet\":\"$a\"}",
	  { "{\"a\":1}", "{\"a\":1.0}", "{\"a\":{\"b\":1}}", "{\"a\":{\"b\":1}}", "{}" },
	  "[" I(1) ",{\"b\":" I(1) "}]" },
	{ "{\"$firstN\":{\"input\":\"$a\",\"n\":2}}",
	  { "{\"a\":1}", "{}", "{\"a\":3}" },
	  "[" I(1) ",null]" },
	{ "{\"$lastN\":{\"input\":\"$a\",\"n\":2}}",
	  { "{\"a\":1}", "{\"a\":2}", "{\"a\":3}" },
	  "[" I(2) "," I(3) "]" },
	{ "{\"$minN\":{\"input\":\"$a\",\"n\":2}}",
	  { "{\"a\":5}", "{\"a\":1}", "{}", "{\"a\":3}" },
	  "[" I(1) "," I(3) "]" },
	{ "{\"$maxN\":{\"input\":\"$a\",\"n\":2}}",
	  { "{\"a\":5}", "{\"a\":1}", "{\"a\":3}" },
	  "[" I(5) "," I(3) "]" },
	{ "{\"$top\":{\"output\":\"$a\",\"sortBy\":{\"s\":-1}}}",
	  { "{\"a\":1,\"s\":1}", "{\"a\":2,\"s\":9}" },
	  I(2) },
	{ "{\"$bottom\":{\"output\":\"$a\",\"sortBy\":{\"s\":-1}}}",
	  { "{\"a\":1,\"s\":1}", "{\"a\":2,\"s\":9}" },
	  I(1) },
	{ "{\"$topN\":{\"output\":\"$a\",\"sortBy\":{\"s\":1},\"n\":2}}",
	  { "{\"a\":1,\"s\":3}", "{\"a\":2,\"s\":1}", "{\"s\":2}" },
	  "[" I(2) ",null]" },
	{ "{\"$bottomN\":{\"output\":\"$a\",\"sortBy\":{\"s\":1},\"n\":2}}",
	  { "{\"a\":1,\"s\":3}", "{\"a\":2,\"s\":1}", "{\"a\":3,\"s\":2}" },
	  "[" I(3) "," I(1) "]" },
	{ "{\"$mergeObjects\":\"$a\"}",
	  { "{\"a\":{\"x\":1,\"y\":1}}", "{\"a\":null}", "{\"a\":{\"x\":2}}" },
	  "{\"x\":" I(2) ",\"y\":" I(1) "}" },
	{ "{\"$mergeObjects\":\"$a\"}", { "{}" }, "{}" },
	{ "{\"$stdDevPop\":\"$a\"}", { "{\"a\":1}", "{\"a\":3}", "{\"a\":\"x\"}" }, D(1.0) },
	{ "{\"$stdDevSamp\":\"$a\"}", { "{\"a\":1}" }, "null" },
	{ "{\"$median\":{\"input\":\"$a\",\"method\":\"approximate\"}}",
	  { "{\"a\":5}", "{\"a\":1}", "{\"a\":3}" },
	  D(3.0) },
	{ "{\"$percentile\":{\"input\":\"$a\",\"p\":[0.1,0.9],\"method\":\"approximate\"}}",
	  { "{\"a\":5}", "{\"a\":1}", "{\"a\":3}" },
	  "[" D(1.0) "," D(5.0) "]" },
	{ "{\"$concatArrays\":\"$a\"}",
	  { "{\"a\":[1]}", "{}", "{\"a\":[2,3]}" },
	  "[" I(1) "," I(2) "," I(3) "]" },
	{ "{\"$setUnion\":\"$a\"}", { "{\"a\":[1,2]}", "{\"a\":[2]}" }, "[" I(1) "," I(2) "]" },
};

static void each_accumulator_gives_its_result(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(buf) struct buf got = BUF_INIT;
		struct accum_spec *s = spec_of(rows[i].spec, 0);
		struct accum *a = new_of(s);
		struct eval ev;
		eval_init(&ev);
		for (size_t j = 0; j < ARRAY_LEN(rows[i].docs) && rows[i].docs[j]; j++)
			add_json(a, &ev, rows[i].docs[j]);
		/* twice: finishing changes nothing */
		result_text(a, &ev, &got);
		result_text(a, &ev, &got);
		if (strcmp(buf_cstr(&got), rows[i].want) != 0)
			fail_msg("%s: %s instead of %s", rows[i].spec, buf_cstr(&got),
				 rows[i].want);
		eval_done(&ev);
		accum_free(a);
		accum_spec_free(s);
	}
}

/* ---- parts and the whole ---- */

static void random_doc(char *out, size_t size)
{
	char value[64];
	switch (next() % 8) {
	case 0: (void)snprintf(value, sizeof(value), "%d", (int)(next() % 7)); break;
	case 1:
		(void)snprintf(value, sizeof(value), "{\"$numberLong\":\"%lld\"}",
			       (long long)next());
		break;
	case 2:
		(void)snprintf(value, sizeof(value), "%.17g",
			       ldexp((double)(next() >> 12) - 0x1p51, (int)(next() % 600) - 300));
		break;
	case 3: (void)snprintf(value, sizeof(value), "\"s%d\"", (int)(next() % 5)); break;
	case 4: (void)snprintf(value, sizeof(value), "null"); break;
	case 5: (void)snprintf(value, sizeof(value), "%.1f", (double)(next() % 100) / 10); break;
	case 6: (void)snprintf(value, sizeof(value), "-%d.5", (int)(next() % 1000)); break;
	default: (void)snprintf(out, size, "{\"s\":%d}", (int)(next() % 4)); return;
	}
	(void)snprintf(out, size, "{\"a\":%s,\"s\":%d,\"o\":{\"k%d\":1,\"z\":%d},\"l\":[%d,1]}",
		       value, (int)(next() % 4), (int)(next() % 3), (int)(next() % 9),
		       (int)(next() % 5));
}

static const char *const merged_specs[] = {
	"{\"$sum\":\"$a\"}",
	"{\"$avg\":\"$a\"}",
	"{\"$count\":{}}",
	"{\"$min\":\"$a\"}",
	"{\"$max\":\"$a\"}",
	"{\"$first\":\"$a\"}",
	"{\"$last\":\"$a\"}",
	"{\"$push\":\"$a\"}",
	"{\"$addToSet\":\"$a\"}",
	"{\"$firstN\":{\"input\":\"$a\",\"n\":3}}",
	"{\"$lastN\":{\"input\":\"$a\",\"n\":3}}",
	"{\"$minN\":{\"input\":\"$a\",\"n\":3}}",
	"{\"$maxN\":{\"input\":\"$a\",\"n\":3}}",
	"{\"$top\":{\"output\":\"$a\",\"sortBy\":{\"s\":1}}}",
	"{\"$bottom\":{\"output\":\"$a\",\"sortBy\":{\"s\":1}}}",
	"{\"$topN\":{\"output\":\"$a\",\"sortBy\":{\"s\":1},\"n\":4}}",
	"{\"$bottomN\":{\"output\":\"$a\",\"sortBy\":{\"s\":-1},\"n\":4}}",
	"{\"$mergeObjects\":\"$o\"}",
	"{\"$median\":{\"input\":\"$a\",\"method\":\"approximate\"}}",
	"{\"$percentile\":{\"input\":\"$a\",\"p\":[0.25,0.75],\"method\":\"continuous\"}}",
	"{\"$concatArrays\":\"$l\"}",
	"{\"$setUnion\":\"$l\"}",
};

/* The state through bytes and back. */
static struct accum *recoded(const struct accum_spec *s, struct accum *a)
{
	AUTO(buf) struct buf bytes = BUF_INIT;
	struct accum *b = NULL;
	struct err e = ERR_INIT;
	assert_ok(accum_encode(a, &bytes, &e), &e);
	assert_ok(accum_decode(s, buf_slice(&bytes), &b, &e), &e);
	accum_free(a);
	return b;
}

static void check_merge(const char *text, int rounds)
{
	struct accum_spec *s = spec_of(text, 0);
	struct eval ev;
	eval_init(&ev);
	for (int round = 0; round < rounds; round++) {
		AUTO(buf) struct buf whole_text = BUF_INIT;
		AUTO(buf) struct buf merged_text = BUF_INIT;
		struct accum *whole = new_of(s), *merged = new_of(s), *part = new_of(s);
		struct err e = ERR_INIT;
		int n = (int)(next() % 30);
		for (int i = 0; i < n; i++) {
			char doc[300];
			random_doc(doc, sizeof(doc));
			add_json(whole, &ev, doc);
			add_json(part, &ev, doc);
			if (next() % 4)
				continue;
			if (next() % 2)
				part = recoded(s, part);
			assert_ok(accum_merge(merged, part, &e), &e);
			if (next() % 2)
				merged = recoded(s, merged);
			accum_reset(part);
		}
		assert_ok(accum_merge(merged, part, &e), &e);
		result_text(whole, &ev, &whole_text);
		result_text(merged, &ev, &merged_text);
		if (strcmp(buf_cstr(&whole_text), buf_cstr(&merged_text)) != 0)
			fail_msg("%s: whole %s, parts %s", text, buf_cstr(&whole_text),
				 buf_cstr(&merged_text));
		accum_free(whole);
		accum_free(merged);
		accum_free(part);
	}
	eval_done(&ev);
	accum_spec_free(s);
}

static void parts_merged_equal_the_whole_bit_by_bit(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(merged_specs); i++)
		check_merge(merged_specs[i], (int)test_count(300, 5000));
}

static double std_dev(const double *d, size_t n)
{
	long double mean = 0, m2 = 0;
	for (size_t i = 0; i < n; i++)
		mean += d[i];
	mean /= (long double)n;
	for (size_t i = 0; i < n; i++)
		m2 += (d[i] - mean) * (d[i] - mean);
	return (double)sqrtl(m2 / (long double)n);
}

static void standard_deviations_of_parts_agree_but_for_rounding(void **state)
{
	struct accum_spec *s = spec_of("{\"$stdDevPop\":\"$a\"}", 0);
	struct eval ev;
	(void)state;
	eval_init(&ev);
	for (int round = 0; round < 100; round++) {
		struct accum *merged = new_of(s), *part = new_of(s);
		struct err e = ERR_INIT;
		struct value v;
		double d[200];
		size_t n = 1 + next() % ARRAY_LEN(d);
		for (size_t i = 0; i < n; i++) {
			char doc[64];
			d[i] = 1e6 + (double)(next() % 100000) / 7;
			(void)snprintf(doc, sizeof(doc), "{\"a\":%.17g}", d[i]);
			add_json(part, &ev, doc);
			if (next() % 8)
				continue;
			part = recoded(s, part);
			assert_ok(accum_merge(merged, part, &e), &e);
			accum_reset(part);
		}
		assert_ok(accum_merge(merged, part, &e), &e);
		assert_ok(accum_finish(merged, &ev, &v, &e), &e);
		double want = std_dev(d, n);
		assert_true(fabs(v.f64 - want) <= 1e-9 * fmax(want, 1));
		accum_free(merged);
		accum_free(part);
	}
	eval_done(&ev);
	accum_spec_free(s);
}

/* ---- sums ---- */

static double sum_of(const double *d, const size_t *order, size_t n)
{
	struct sum s;
	sum_init(&s);
	for (size_t i = 0; i < n; i++)
		sum_add(&s, value_double(d[order[i]]));
	return sum_double(&s);
}

static void a_sum_is_exact_in_any_order(void **state)
{
	(void)state;
	for (int round = 0; round < 300; round++) {
		double d[60];
		size_t order[60], n = ARRAY_LEN(d);
		for (size_t i = 0; i < n; i++) {
			order[i] = i;
			int range = round % 3 == 0 ? 2000 : 100;
			d[i] = ldexp((double)(next() >> 11) * (next() % 2 ? 1 : -1),
				     (int)(next() % (uint64_t)range) - range / 2 - 53);
			if (!isfinite(d[i]))
				d[i] = DBL_MAX;
		}
		double want = sum_of(d, order, n);
		for (int k = 0; k < 5; k++) {
			for (size_t i = n - 1; i > 0; i--) {
				size_t j = next() % (i + 1), t = order[i];
				order[i] = order[j];
				order[j] = t;
			}
			double got = sum_of(d, order, n);
			assert_memory_equal(&got, &want, sizeof(got));
		}
	}
}

static void sums_that_overflow_on_the_way_are_right_in_the_end(void **state)
{
	static const double d[] = { DBL_MAX, DBL_MAX, -DBL_MAX, DBL_MAX, -DBL_MAX, 1, -DBL_MAX };
	static const size_t order[] = { 0, 1, 2, 3, 4, 5, 6 };
	(void)state;
	assert_true(sum_of(d, order, 7) == 1);
	assert_true(sum_of(d, order, 2) == INFINITY);
	assert_true(sum_of(d, order, 3) == DBL_MAX);
	struct sum s;
	sum_init(&s);
	sum_add(&s, value_int64(INT64_MAX));
	sum_add(&s, value_int64(INT64_MAX));
	sum_add(&s, value_double(0.5));
	sum_add(&s, value_int64(-INT64_MAX));
	sum_add(&s, value_int64(-INT64_MAX));
	assert_true(sum_double(&s) == 0.5);
	sum_add(&s, value_double(INFINITY));
	assert_true(sum_double(&s) == INFINITY);
	sum_add(&s, value_double(-INFINITY));
	assert_true(isnan(sum_double(&s)));
}

/* ---- errors and limits ---- */

static void wrong_specs_have_their_numbers(void **state)
{
	static const struct {
		const char *spec;
		int number;
	} bad[] = {
		{ "{\"$sun\":1}", 15952 },
		{ "{}", 40238 },
		{ "{\"$sum\":1,\"$avg\":1}", 40238 },
		{ "5", 40234 },
		{ "{\"$sum\":[1,2]}", 40237 },
		{ "{\"$firstN\":{\"input\":1}}", 5787906 },
		{ "{\"$firstN\":{\"n\":1}}", 5787907 },
		{ "{\"$firstN\":{\"input\":1,\"n\":0}}", 5787908 },
		{ "{\"$firstN\":{\"input\":1,\"n\":1.5}}", 5787903 },
		{ "{\"$firstN\":{\"input\":1,\"n\":1,\"x\":1}}", 5787901 },
		{ "{\"$top\":{\"output\":1}}", 5788005 },
		{ "{\"$topN\":{\"output\":1,\"sortBy\":{\"a\":1}}}", 5788003 },
		{ "{\"$topN\":{\"output\":1,\"sortBy\":1,\"n\":1}}", 10065 },
		{ "{\"$median\":{\"input\":1,\"method\":\"x\"}}", 2 },
		{ "{\"$percentile\":{\"input\":1,\"method\":\"approximate\",\"p\":[1.5]}}",
		  7750303 },
		{ "{\"$count\":1}", 40415 },
		{ "{\"$sum\":{\"$divide\":[1,0]}}", 2 },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		AUTO(buf) struct buf b = BUF_INIT;
		struct accum_spec *s;
		struct err e = ERR_INIT;
		struct value v;
		assert_ok(json_to_value(slice_str(bad[i].spec), &b, &v, NULL, &e), &e);
		assert_true(accum_spec_compile(v, NULL, &s, &e) < 0);
		if (e.number != bad[i].number)
			fail_msg("%s: number %d instead of %d (%s)", bad[i].spec, e.number,
				 bad[i].number, e.msg);
	}
}

static void memory_is_limited_and_given_back(void **state)
{
	static const char *const specs[] = {
		"{\"$push\":\"$a\"}", "{\"$addToSet\":\"$a\"}",
		"{\"$maxN\":{\"input\":\"$a\",\"n\":1000000}}",
		"{\"$median\":{\"input\":\"$a\",\"method\":\"approximate\"}}"
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(specs); i++) {
		struct accum_spec *s = spec_of(specs[i], 20000);
		struct accum *a = new_of(s);
		size_t empty = accum_bytes(a);
		struct err e = ERR_INIT;
		struct eval ev;
		int rc = 0;
		eval_init(&ev);
		for (int k = 0; rc == 0 && k < 100000; k++) {
			AUTO(buf) struct buf b = BUF_INIT;
			struct bson_writer w;
			bson_writer_init(&w, &b);
			bson_put_int32(&w, SLICE_LIT("a"), k);
			assert_ok(bson_finish(&w, &e), &e);
			eval_reset(&ev);
			rc = accum_add_doc(a, &ev, buf_slice(&b), &e);
		}
		assert_int_equal(rc, ERR_LIMIT);
		assert_int_equal(e.number, 146);
		assert_true(accum_bytes(a) <= 20000 + empty);
		accum_reset(a);
		assert_int_equal(accum_bytes(a), empty);
		eval_done(&ev);
		accum_free(a);
		accum_spec_free(s);
	}
}

static void damaged_states_are_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(merged_specs); i++) {
		AUTO(buf) struct buf bytes = BUF_INIT;
		struct accum_spec *s = spec_of(merged_specs[i], 0);
		struct accum *a = new_of(s), *b;
		struct err e = ERR_INIT;
		struct eval ev;
		eval_init(&ev);
		for (int k = 0; k < 8; k++) {
			char doc[300];
			random_doc(doc, sizeof(doc));
			add_json(a, &ev, doc);
		}
		assert_ok(accum_encode(a, &bytes, &e), &e);
		for (size_t cut = 0; cut + 1 < bytes.len; cut++) {
			if (accum_decode(s, slice_of(bytes.p, cut), &b, &e) == 0)
				accum_free(b); /* a list of doubles may end anywhere between two */
		}
		for (int k = 0; k < 300; k++) {
			size_t at = next() % bytes.len;
			uint8_t old = bytes.p[at];
			bytes.p[at] ^= (uint8_t)(1 + next() % 255);
			if (accum_decode(s, buf_slice(&bytes), &b, &e) == 0) {
				struct value v;
				eval_reset(&ev);
				(void)accum_finish(b, &ev, &v, &e);
				accum_free(b);
			}
			bytes.p[at] = old;
		}
		bytes.p[0] = 9;
		assert_int_equal(accum_decode(s, buf_slice(&bytes), &b, &e), ERR_VERSION);
		bytes.p[0] = 1;
		bytes.p[1] = 99;
		assert_int_equal(accum_decode(s, buf_slice(&bytes), &b, &e), ERR_CORRUPT);
		eval_done(&ev);
		accum_free(a);
		accum_spec_free(s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_accumulator_gives_its_result),
		cmocka_unit_test(parts_merged_equal_the_whole_bit_by_bit),
		cmocka_unit_test(standard_deviations_of_parts_agree_but_for_rounding),
		cmocka_unit_test(a_sum_is_exact_in_any_order),
		cmocka_unit_test(sums_that_overflow_on_the_way_are_right_in_the_end),
		cmocka_unit_test(wrong_specs_have_their_numbers),
		cmocka_unit_test(memory_is_limited_and_given_back),
		cmocka_unit_test(damaged_states_are_refused),
	};
	return cmocka_run_group_tests_name("doc_accum", tests, NULL, NULL);
}
