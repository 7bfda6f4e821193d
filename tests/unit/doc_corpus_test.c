/* Runs every file of the BSON corpus: one line a file says how many cases agree, differ or were
 * left out. */
#include "tests/test.h"

#include "doc/decimal.h"
#include "doc/json.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tally {
	int agree, differ, skipped;
};

struct run {
	const char *file;
	struct tally t;
	struct slice description;
	bool case_failed;
};

static void differs(struct run *r, const char *what, struct slice got, struct slice want)
{
	if (!r->case_failed)
		printf("  %s: " SLICE_FMT "\n", r->file, SLICE_ARG(r->description));
	printf("    %s\n      got  " SLICE_FMT "\n      want " SLICE_FMT "\n", what, SLICE_ARG(got),
	       SLICE_ARG(want));
	r->case_failed = true;
}

static void case_done(struct run *r)
{
	if (r->case_failed)
		r->t.differ++;
	else
		r->t.agree++;
	r->case_failed = false;
}

static struct slice text_of(struct slice doc, const char *field)
{
	struct value v = bson_get_str(doc, field);
	return v.type == BSON_STRING ? value_slice(v) : SLICE_NONE;
}

static int nibble(uint8_t c)
{
	return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

static void unhex(struct slice s, struct buf *out)
{
	for (size_t i = 0; i + 1 < s.len; i += 2)
		buf_add_byte(out, (uint8_t)(nibble(s.p[i]) << 4 | nibble(s.p[i + 1])));
}

static void hex(struct slice s, struct buf *out)
{
	for (size_t i = 0; i < s.len; i++)
		buf_add_fmt(out, "%02x", s.p[i]);
}

/* Leaves out the white space between tokens. */
static void compact(struct slice s, struct buf *out)
{
	bool in_string = false;
	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.p[i];
		if (!in_string && (c == ' ' || c == '\n' || c == '\t'))
			continue;
		buf_add_byte(out, c);
		if (c == '"')
			in_string = !in_string;
		else if (c == '\\' && in_string)
			buf_add_byte(out, s.p[++i]);
	}
}

/* The same JSON but for white space, escapes that are not needed, and the case of an exponent: the
 * expected text is compared as it stands first, then as weir would write what it says. */
static void expect_json(struct run *r, const char *what, struct slice got, struct slice want,
			enum json_mode mode)
{
	AUTO(buf) struct buf plain = BUF_INIT, again = BUF_INIT, bson = BUF_INIT;
	compact(want, &plain);
	if (slice_eq(got, buf_slice(&plain)))
		return;
	if (memmem(want.p, want.len, "\\u", 2) && json_to_bson(want, &bson, NULL, NULL) == 0) {
		json_from_bson(buf_slice(&bson), mode, &again);
		if (slice_eq(got, buf_slice(&again)))
			return;
	}
	differs(r, what, got, buf_slice(&plain));
}

static void expect_bson(struct run *r, const char *what, struct slice json, struct slice want)
{
	AUTO(buf) struct buf bson = BUF_INIT, got_hex = BUF_INIT, want_hex = BUF_INIT;
	struct err e = ERR_INIT;
	if (json_to_bson(json, &bson, NULL, &e) < 0) {
		differs(r, what, slice_str(e.msg), json);
		return;
	}
	if (slice_eq(buf_slice(&bson), want))
		return;
	hex(buf_slice(&bson), &got_hex);
	hex(want, &want_hex);
	differs(r, what, buf_slice(&got_hex), buf_slice(&want_hex));
}

static void expect_printed(struct run *r, const char *what, struct slice bson, enum json_mode mode,
			   struct slice want)
{
	AUTO(buf) struct buf out = BUF_INIT;
	struct err e = ERR_INIT;
	if (bson_validate(bson, &e) < 0) {
		differs(r, what, slice_str(e.msg), SLICE_LIT("valid BSON"));
		return;
	}
	json_from_bson(bson, mode, &out);
	expect_json(r, what, buf_slice(&out), want, mode);
}

static void valid_case(struct run *r, struct slice c)
{
	AUTO(buf)
	struct buf canonical = BUF_INIT, degenerate = BUF_INIT, converted = BUF_INIT,
		   text = BUF_INIT;
	r->description = text_of(c, "description");
	bool lossy = bson_get_str(c, "lossy").i64 != 0;
	struct slice cej = text_of(c, "canonical_extjson"), rej = text_of(c, "relaxed_extjson");
	struct slice dej = text_of(c, "degenerate_extjson"), dbson = text_of(c, "degenerate_bson");
	unhex(text_of(c, "canonical_bson"), &canonical);
	struct slice cb = buf_slice(&canonical);

	expect_printed(r, "canonical BSON to canonical JSON", cb, JSON_CANONICAL, cej);
	if (!lossy)
		expect_bson(r, "canonical JSON to BSON", cej, cb);
	if (rej.len) {
		expect_printed(r, "canonical BSON to relaxed JSON", cb, JSON_RELAXED, rej);
		AUTO(buf) struct buf again = BUF_INIT;
		if (json_to_bson(rej, &again, NULL, NULL) < 0)
			differs(r, "relaxed JSON", SLICE_LIT("error"), rej);
		else
			expect_printed(r, "relaxed JSON and back", buf_slice(&again), JSON_RELAXED,
				       rej);
	}
	if (dej.len && !lossy)
		expect_bson(r, "degenerate JSON to BSON", dej, cb);
	if (dbson.len) {
		unhex(dbson, &degenerate);
		expect_printed(r, "degenerate BSON to JSON", buf_slice(&degenerate), JSON_CANONICAL,
			       cej);
		json_from_bson(buf_slice(&degenerate), JSON_CANONICAL, &text);
		expect_bson(r, "degenerate BSON through JSON", buf_slice(&text), cb);
	}
	struct slice converted_bson = text_of(c, "converted_bson");
	/* What a driver without the deprecated type would make of it: also fine documents. */
	if (converted_bson.len) {
		struct slice cvj = text_of(c, "converted_extjson");
		unhex(converted_bson, &converted);
		expect_printed(r, "converted BSON to JSON", buf_slice(&converted), JSON_CANONICAL,
			       cvj);
		expect_bson(r, "converted JSON to BSON", cvj, buf_slice(&converted));
	}
	case_done(r);
}

static void decode_error(struct run *r, struct slice c)
{
	AUTO(buf) struct buf b = BUF_INIT;
	struct err e = ERR_INIT;
	r->description = text_of(c, "description");
	unhex(text_of(c, "bson"), &b);
	if (bson_validate(buf_slice(&b), &e) != ERR_FORMAT || !strstr(e.msg, "byte "))
		differs(r, "decode error", slice_str(e.msg), SLICE_LIT("an error with its byte"));
	case_done(r);
}

static void parse_error(struct run *r, struct slice c, bool decimal)
{
	AUTO(buf) struct buf b = BUF_INIT;
	struct err e = ERR_INIT;
	r->description = text_of(c, "description");
	struct slice text = text_of(c, "string");
	if (decimal) {
		struct dec128 d;
		bool inexact = false;
		if (dec_from_string(text, &d, &inexact) == 0 && !inexact)
			differs(r, "decimal parse error", SLICE_LIT("accepted"), text);
	} else if (json_to_bson(text, &b, NULL, &e) != ERR_FORMAT ||
		   !strstr(e.msg, "line 1, column ")) {
		differs(r, "parse error", slice_str(e.msg), text);
	}
	case_done(r);
}

static void each(struct run *r, struct slice doc, const char *field, bool decimal)
{
	struct value v = bson_get_str(doc, field);
	if (v.type != BSON_ARRAY)
		return;
	struct bson_iter it;
	bson_iter_init(&it, value_slice(v));
	while (bson_next(&it)) {
		struct slice c = value_slice(it.value);
		if (field[0] == 'v')
			valid_case(r, c);
		else if (field[0] == 'd')
			decode_error(r, c);
		else
			parse_error(r, c, decimal);
	}
}

static struct tally run_file(const char *dir, const char *name)
{
	AUTO(buf) struct buf path = BUF_INIT, text = BUF_INIT, doc = BUF_INIT;
	struct err e = ERR_INIT;
	struct run r = { .file = name };
	buf_add_fmt(&path, "%s/%s", dir, name);
	test_read_file(buf_cstr(&path), &text);
	assert_ok(json_to_bson(buf_slice(&text), &doc, NULL, &e), &e);
	struct slice d = buf_slice(&doc);
	bool decimal = slice_is(text_of(d, "bson_type"), "0x13");
	each(&r, d, "valid", decimal);
	each(&r, d, "decodeErrors", decimal);
	each(&r, d, "parseErrors", decimal);
	printf("%-30s %4d agree %4d differ %4d skipped\n", name, r.t.agree, r.t.differ,
	       r.t.skipped);
	return r.t;
}

static int is_json(const struct dirent *d)
{
	return strstr(d->d_name, ".json") != NULL;
}

static void every_case_of_the_bson_corpus_agrees(void **state)
{
	(void)state;
	const char *oracle = test_oracle();
	if (!oracle) {
		print_message("the BSON corpus is not there\n");
		skip();
	}
	AUTO(buf) struct buf dir = BUF_INIT;
	buf_add_fmt(&dir, "%s/bson-corpus", oracle);
	struct dirent **files;
	int n = scandir(buf_cstr(&dir), &files, is_json, alphasort);
	assert_true(n > 0);
	struct tally sum = { 0 };
	for (int i = 0; i < n; i++) {
		struct tally t = run_file(buf_cstr(&dir), files[i]->d_name);
		sum.agree += t.agree;
		sum.differ += t.differ;
		sum.skipped += t.skipped;
		free(files[i]);
	}
	free(files);
	printf("%-30s %4d agree %4d differ %4d skipped\n", "all", sum.agree, sum.differ,
	       sum.skipped);
	assert_int_equal(sum.differ, 0);
	assert_true(sum.agree > 800);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_case_of_the_bson_corpus_agrees),
	};
	return cmocka_run_group_tests_name("doc_corpus", tests, NULL, NULL);
}
