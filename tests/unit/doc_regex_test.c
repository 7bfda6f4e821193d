/* Regular expressions: captures, offsets, characters, limits, memory. */
#include "tests/scarce.h"
#include "tests/test.h"

#include "doc/regex.h"

#include <stdlib.h>
#include <string.h>

static struct regex *compiled(const char *pattern, const char *options)
{
	struct err e = ERR_INIT;
	struct regex *r;
	assert_ok(regex_compile(slice_str(pattern), slice_str(options), &r, &e), &e);
	return r;
}

static void captures_are_byte_offsets(void **state)
{
	(void)state;
	struct regex *r = compiled("(\\d+)-(x)?(\\d+)", "");
	struct regex_found f;
	struct err e = ERR_INIT;
	struct eval ev;
	eval_init(&ev);
	assert_int_equal(regex_groups(r), 4);
	assert_int_equal(regex_find(r, &ev, slice_str("\xc3\xa4 12-345"), 0, &f, &e), 1);
	assert_int_equal(f.n, 4);
	assert_int_equal(f.group[0].start, 3);
	assert_int_equal(f.group[0].end, 9);
	assert_int_equal(f.group[1].end, 5);
	assert_int_equal(f.group[2].start, REGEX_NONE);
	assert_int_equal(f.group[3].start, 6);
	assert_int_equal(regex_find(r, &ev, slice_str("12-3"), 1, &f, &e), 1);
	assert_int_equal(f.group[0].start, 1);
	assert_int_equal(regex_find(r, &ev, slice_str("12-3"), 2, &f, &e), 0);
	assert_int_equal(regex_find(r, &ev, SLICE_NONE, 0, &f, &e), 0);
	regex_free(r);
	eval_done(&ev);
}

static void groups_behind_the_last_that_matched_are_none(void **state)
{
	(void)state;
	struct regex *r = compiled("(a)|(b)|(c)", "");
	struct regex_found f;
	struct eval ev;
	eval_init(&ev);
	assert_int_equal(regex_find(r, &ev, slice_str("c"), 0, &f, NULL), 1);
	assert_int_equal(regex_find(r, &ev, slice_str("a"), 0, &f, NULL), 1);
	assert_int_equal(f.group[1].start, 0);
	assert_int_equal(f.group[2].start, REGEX_NONE);
	assert_int_equal(f.group[3].start, REGEX_NONE);
	regex_free(r);
	eval_done(&ev);
}

/* The scratch of an eval grows with the patterns it meets. */
static void one_eval_serves_patterns_of_any_size(void **state)
{
	(void)state;
	struct eval ev;
	struct regex_found f;
	eval_init(&ev);
	for (int n = 1; n < 100; n += 30) {
		AUTO(buf) struct buf pattern = BUF_INIT, text = BUF_INIT;
		for (int i = 0; i < n; i++) {
			buf_add_str(&pattern, "(.)");
			buf_add_str(&text, "z");
		}
		struct regex *r = compiled(buf_cstr(&pattern), "");
		assert_int_equal(regex_find(r, &ev, buf_slice(&text), 0, &f, NULL), 1);
		assert_int_equal(f.n, n + 1);
		assert_int_equal(f.group[n].end, n);
		regex_free(r);
	}
	eval_done(&ev);
}

static void options_work(void **state)
{
	(void)state;
	static const struct {
		const char *pattern, *options, *text;
		int expect;
	} rows[] = {
		{ "ABC", "", "abc", 0 },
		{ "ABC", "i", "abc", 1 },
		{ "\xc3\x84", "i", "\xc3\xa4", 1 },
		{ "^b", "", "a\nb", 0 },
		{ "^b", "m", "a\nb", 1 },
		{ "a.b", "", "a\nb", 0 },
		{ "a.b", "s", "a\nb", 1 },
		{ "a b", "x", "ab", 1 },
		{ "^.$", "u", "\xc3\xa4", 1 },
		{ "^.$", "", "\xc3\xa4", 1 },
		{ "", "", "", 1 },
		{ "a.b", "smixu", "A\nB", 1 },
	};
	struct eval ev;
	eval_init(&ev);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct regex *r = compiled(rows[i].pattern, rows[i].options);
		int rc = regex_matches(r, &ev, slice_str(rows[i].text), NULL);
		if (rc != rows[i].expect)
			fail_msg("/%s/%s on %s: %d", rows[i].pattern, rows[i].options, rows[i].text,
				 rc);
		regex_free(r);
	}
	eval_done(&ev);
}

static void bad_patterns_are_errors(void **state)
{
	(void)state;
	static const struct {
		struct slice pattern, options;
		int number;
	} rows[] = {
		{ SLICE_LIT("(a"), SLICE_LIT(""), 51091 },
		{ SLICE_LIT("a**"), SLICE_LIT(""), 51091 },
		{ SLICE_LIT("[z-a]"), SLICE_LIT(""), 51091 },
		{ SLICE_LIT("\\C"), SLICE_LIT(""), 51091 }, /* half a character */
		{ SLICE_LIT("((a{1000}){1000}){1000}"), SLICE_LIT(""), 51091 },
		{ SLICE_LIT("a"), SLICE_LIT("g"), 51108 },
		{ SLICE_LIT("a"), SLICE_LIT("i\0"), 51108 },
		{ SLICE_LIT("a\0b"), SLICE_LIT(""), 2 },
		{ SLICE_LIT("\xff"), SLICE_LIT(""), 2 },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = ERR_INIT;
		struct regex *r = NULL;
		assert_int_equal(regex_compile(rows[i].pattern, rows[i].options, &r, &e),
				 ERR_INVALID);
		assert_int_equal(e.number, rows[i].number);
		assert_null(r);
	}
	AUTO(buf) struct buf longest = BUF_INIT;
	struct err e = ERR_INIT;
	struct regex *r = NULL;
	for (int i = 0; i <= REGEX_PATTERN_MAX; i++)
		buf_add_byte(&longest, 'a');
	assert_int_equal(regex_compile(buf_slice(&longest), SLICE_NONE, &r, &e), ERR_INVALID);
}

/* Nested choices, work at every start, long runs at every start, recursion. */
static void runaway_matches_end_in_a_limit(void **state)
{
	(void)state;
	static const char *const patterns[] = {
		"^(a|aa)+$",         "^(a*)*$",   "(?:a?){30}a{30}b|c$", "(a|aa){1,14}[bc]",
		"a.*+[bc]",          "(a+)+[bc]", "^(?:(a|a)*)*[bc]",    "(a(?1)?[bc])",
		"(?=(a+))\\1*+[bc]", "[a-z]+\\d",
	};
	AUTO(buf) struct buf text = BUF_INIT;
	struct eval ev;
	eval_init(&ev);
	for (int i = 0; i < 300000; i++)
		buf_add_byte(&text, 'a');
	buf_add_byte(&text, '!');
	for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
		struct err e = ERR_INIT;
		struct regex *r = compiled(patterns[i], "");
		eval_reset(&ev);
		int rc = regex_matches(r, &ev, buf_slice(&text), &e);
		if (rc != ERR_LIMIT)
			fail_msg("%s: %d %s", patterns[i], rc, e.msg);
		regex_free(r);
	}
	struct regex *r = compiled("^a+!$|foo", "");
	eval_reset(&ev);
	assert_int_equal(regex_matches(r, &ev, buf_slice(&text), NULL), 1);
	regex_free(r);
	eval_done(&ev);
}

/* Each match is cheap enough; all of them together are not. */
static void matches_count_towards_the_steps_of_the_eval(void **state)
{
	(void)state;
	struct regex *r = compiled("(a|aa){1,8}[bc]", "");
	struct eval ev;
	int n = 0, rc = 0;
	eval_init(&ev);
	ev.steps_max = 3000000;
	while (rc == 0 && n < 1000000) {
		rc = regex_matches(r, &ev, slice_str("aaaaaaaaaaaaaaaaaaaaaa!"), NULL);
		n++;
	}
	assert_int_equal(rc, ERR_LIMIT);
	assert_true(n > 10);
	regex_free(r);
	eval_done(&ev);
}

/* Long texts take another way (regex.c); what they give is the same. */
static void long_texts_match_like_short_ones(void **state)
{
	(void)state;
	static const char *const patterns[] = {
		"b+",      "a(*COMMIT)x|b",  "a(*SKIP)x|b",
		"\\Gaa",   "(?<=a)b",        "(?<!a)b",
		"(a)|(b)", "(a|aa)+b",       "(?i)C(?-i)d",
		"\\bcd",   "^a(*ACCEPT)zzz", "(?|(c)|(b))",
		"a\\Kb",   "(?=ab)a",        "x?",
		"a{2,}?",  "(?>a+)b",        "zzzz",
	};
	AUTO(buf) struct buf text = BUF_INIT;
	buf_add_str(&text, "aaab cd aab");
	size_t len = text.len;
	for (int i = 0; i < 5000; i++)
		buf_add_byte(&text, 'y');
	struct eval ev;
	eval_init(&ev);
	for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
		struct regex *r = compiled(patterns[i], "");
		for (size_t at = 0; at <= len; at++) {
			struct regex_found f;
			struct regex_group first[4];
			int rc = regex_find(r, &ev, slice_of(text.p, len), at, &f, NULL);
			if (rc > 0)
				memcpy(first, f.group, f.n * sizeof(*first));
			int rc_long = regex_find(r, &ev, buf_slice(&text), at, &f, NULL);
			if (rc != rc_long ||
			    (rc > 0 && memcmp(first, f.group, f.n * sizeof(*first)) != 0))
				fail_msg("%s from %zu: %d, %d", patterns[i], at, rc, rc_long);
		}
		regex_free(r);
	}
	eval_done(&ev);
}

static void a_warm_match_allocates_nothing(void **state)
{
	(void)state;
	scarce_begin();
	struct regex *r = compiled("(a|b|(cd)+)*e$", "i");
	struct eval ev;
	eval_init(&ev);
	assert_int_equal(regex_matches(r, &ev, slice_str("abcdcdabababcdE"), NULL), 1);
	long before = scarce_calls();
	assert_true(before > 0);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(regex_matches(r, &ev, slice_str("abcdcdabababcdE"), NULL), 1);
	assert_int_equal(scarce_calls(), before);
	regex_free(r);
	eval_done(&ev);
	scarce_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(captures_are_byte_offsets),
		cmocka_unit_test(groups_behind_the_last_that_matched_are_none),
		cmocka_unit_test(one_eval_serves_patterns_of_any_size),
		cmocka_unit_test(options_work),
		cmocka_unit_test(bad_patterns_are_errors),
		cmocka_unit_test(runaway_matches_end_in_a_limit),
		cmocka_unit_test(matches_count_towards_the_steps_of_the_eval),
		cmocka_unit_test(long_texts_match_like_short_ones),
		cmocka_unit_test(a_warm_match_allocates_nothing),
	};
	return cmocka_run_group_tests_name("doc/regex", tests, NULL, NULL);
}
