/* The public conformance data for filters: mql/match.jsonl (DocumentDB's regression suite) and
 * mql/null-semantics.jsonl (facts of MongoDB's own tests). One line a file is printed:
 *
 *	match.jsonl: 204 agree, 0 differ, 0 error, 0 out of scope
 */
#include "tests/test.h"

#include "doc/compare.h"
#include "doc/json.h"
#include "doc/match.h"

#include <stdio.h>
#include <string.h>

struct tally {
	unsigned agree, differ, error, out_of_scope;
};

typedef int check_line(struct slice line, struct eval *ev, struct buf *why, struct err *e);

/* 1 matches, 0 does not, negative error. */
static int run_filter(const struct match *m, struct eval *ev, struct value doc, struct err *e)
{
	eval_reset(ev);
	return match_doc(m, ev, value_slice(doc), e);
}

static bool id_is_in(struct value id, struct value expect)
{
	struct bson_iter it;
	bson_iter_init(&it, value_slice(expect));
	while (bson_next(&it)) {
		if (value_equal(bson_get_str(value_slice(it.value), "_id"), id))
			return true;
	}
	return false;
}

/* { docs: [...], filter, expect: [...] }: the documents that match are those whose _id is expected. */
static int check_match_line(struct slice line, struct eval *ev, struct buf *why, struct err *e)
{
	struct match *m;
	struct bson_iter it;
	struct value expect = bson_get_str(line, "expect");
	unsigned matched = 0;
	bool agree = true;
	int rc = match_compile(value_slice(bson_get_str(line, "filter")), NULL, &m, e);
	if (rc < 0)
		return rc;
	bson_iter_init(&it, value_slice(bson_get_str(line, "docs")));
	while (rc >= 0 && bson_next(&it)) {
		struct value id = bson_get_str(value_slice(it.value), "_id");
		rc = run_filter(m, ev, it.value, e);
		matched += rc == 1;
		if (rc >= 0 && (rc == 1) != id_is_in(id, expect)) {
			buf_add_fmt(why, " %s _id ", rc ? "wrongly matches" : "misses");
			json_from_value(id, JSON_RELAXED, why);
			agree = false;
		}
	}
	match_free(m);
	if (rc < 0)
		return rc;
	return agree && matched == (unsigned)bson_count(value_slice(expect));
}

static bool name_is_in(struct slice name, struct value list)
{
	struct bson_iter it;
	bson_iter_init(&it, value_slice(list));
	while (bson_next(&it)) {
		if (slice_eq(value_slice(it.value), name))
			return true;
	}
	return false;
}

/* { filter, docs: { name: doc, ... }, match: [name, ...] } */
static int check_null_line(struct slice line, struct eval *ev, struct buf *why, struct err *e)
{
	struct match *m;
	struct bson_iter it;
	bool agree = true;
	int rc = match_compile(value_slice(bson_get_str(line, "filter")), NULL, &m, e);
	if (rc < 0)
		return rc;
	bson_iter_init(&it, value_slice(bson_get_str(line, "docs")));
	while (rc >= 0 && bson_next(&it)) {
		rc = run_filter(m, ev, it.value, e);
		if (rc >= 0 && (rc == 1) != name_is_in(it.key, bson_get_str(line, "match"))) {
			buf_add_fmt(why, " %s " SLICE_FMT, rc ? "wrongly matches" : "misses",
				    SLICE_ARG(it.key));
			agree = false;
		}
	}
	match_free(m);
	return rc < 0 ? rc : agree;
}

static void check_text_line(struct slice text, unsigned number, check_line *check, struct eval *ev,
			    struct tally *t)
{
	AUTO(buf) struct buf line = BUF_INIT, why = BUF_INIT;
	struct err e = ERR_INIT;
	int rc = json_to_bson(text, &line, NULL, &e);
	if (rc == 0)
		rc = check(buf_slice(&line), ev, &why, &e);
	if (rc == ERR_UNSUPPORTED) {
		t->out_of_scope++;
	} else if (rc < 0) {
		t->error++;
		printf("  line %u: %s\n", number, e.msg);
	} else if (rc == 0) {
		t->differ++;
		printf("  line %u:%s\n", number, buf_cstr(&why));
	} else {
		t->agree++;
	}
}

static void run_file(const char *name, check_line *check, struct tally *t)
{
	const char *oracle = test_oracle();
	if (!oracle) {
		printf("%s: skipped, the conformance data are not there\n", name);
		skip();
	}
	AUTO(buf) struct buf path = BUF_INIT, text = BUF_INIT;
	buf_add_fmt(&path, "%s/mql/%s", oracle, name);
	test_read_file(buf_cstr(&path), &text);
	struct eval ev;
	eval_init(&ev);
	unsigned number = 1;
	for (size_t at = 0; at < text.len; number++) {
		const uint8_t *end = memchr(text.p + at, '\n', text.len - at);
		size_t stop = end ? (size_t)(end - text.p) : text.len;
		if (stop > at)
			check_text_line(slice_of(text.p + at, stop - at), number, check, &ev, t);
		at = stop + 1;
	}
	eval_done(&ev);
	printf("%s: %u agree, %u differ, %u error, %u out of scope\n", name, t->agree, t->differ,
	       t->error, t->out_of_scope);
}

static void match_jsonl_agrees(void **state)
{
	(void)state;
	struct tally t = { 0 };
	run_file("match.jsonl", check_match_line, &t);
	assert_int_equal(t.agree, 204);
	assert_int_equal(t.differ + t.error + t.out_of_scope, 0);
}

static void null_semantics_jsonl_agrees(void **state)
{
	(void)state;
	struct tally t = { 0 };
	run_file("null-semantics.jsonl", check_null_line, &t);
	assert_int_equal(t.agree, 19);
	assert_int_equal(t.differ + t.error + t.out_of_scope, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(match_jsonl_agrees),
		cmocka_unit_test(null_semantics_jsonl_agrees),
	};
	return cmocka_run_group_tests_name("doc/match oracle", tests, NULL, NULL);
}
