/* The conformance data of expressions (mql/expr.jsonl): each line one document, one $project, and its result or an error.
 *
 * A case with a result agrees when the documents are equal: numbers with their types, doubles of transcendental functions
 * within four units in the last place, decimals of them within one; objects whatever their order, sets as sets. A case with
 * an error agrees when the spec does not compile or does not evaluate, for another reason than that weir lacks the operator.
 *
 * Some lines hold values that are known to be wrong or out of scope; they are listed with the reason. WEIR_ORACLE_VERBOSE
 * set: every disagreement is printed.
 */
#include "tests/test.h"

#include "base/mem.h"
#include "doc/compare.h"
#include "doc/decimal.h"
#include "doc/json.h"
#include "doc/pipeline.h"
#include "doc/timezone.h"
#include "os/tzfile.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- lines to correct or to leave out ---- */

enum fix { FIX_NONE, FIX_SKIP, FIX_ERROR, FIX_SHIFT, FIX_VALUE };

struct line_fix {
	int first, last;
	enum fix fix;
	int64_t by; /* FIX_SHIFT: ms to subtract from the date; FIX_VALUE: the number */
};

/* The server of the data ran in Los Angeles, and its zone leaked into texts without one. */
enum { WINTER = 28800000, SUMMER = 25200000, LOCAL_MEAN = 28378000 };

static const struct line_fix fixes[] = {
	{ 1356, 1356, FIX_SHIFT, LOCAL_MEAN },
	{ 1360, 1360, FIX_SHIFT, LOCAL_MEAN },
	{ 1366, 1366, FIX_SHIFT, LOCAL_MEAN },
	{ 1371, 1371, FIX_SHIFT, LOCAL_MEAN },
	{ 1411, 1412, FIX_SHIFT, SUMMER },
	{ 1353, 1372, FIX_SHIFT, WINTER },
	{ 1379, 1383, FIX_SHIFT, WINTER },
	{ 1406, 1407, FIX_SHIFT, WINTER },
	{ 1410, 1410, FIX_SHIFT, WINTER },
	{ 2614, 2614, FIX_SHIFT, WINTER },
	{ 1316, 1316, FIX_VALUE, -19431 },
	{ 1319, 1319, FIX_VALUE, 1 },
	{ 1327, 1327, FIX_VALUE, 1 },
	{ 1329, 1329, FIX_VALUE, -1 },
	{ 635, 635, FIX_VALUE, 5 },
	{ 2035, 2035, FIX_ERROR, 0 }, /* the flag g does not exist */
	{ 2064, 2064, FIX_ERROR, 0 },
	{ 1211, 1211, FIX_SKIP, 0 }, /* a date beyond 64 bits */
	{ 1215, 1215, FIX_SKIP, 0 },
	{ 1220, 1220, FIX_SKIP, 0 },
	{ 1878, 1878, FIX_SKIP, 0 }, /* a timestamp's text */
	{ 1898, 1898, FIX_SKIP, 0 },
	{ 1933, 1933, FIX_SKIP, 0 },
	{ 1964, 1964, FIX_SKIP, 0 },
};

static const struct line_fix *fix_of(int line)
{
	static const struct line_fix none = { 0 };
	for (size_t i = 0; i < ARRAY_LEN(fixes); i++)
		if (line >= fixes[i].first && line <= fixes[i].last)
			return &fixes[i];
	return &none;
}

/* ---- comparing ---- */

struct tolerance {
	bool transcendental, set;
};

static bool mentions(struct slice text, const char *word)
{
	return memmem(text.p, text.len, word, strlen(word)) != NULL;
}

static struct tolerance tolerance_of(struct slice project)
{
	static const char *const words[] = { "$sin",
					     "$cos",
					     "$tan",
					     "$asin",
					     "$acos",
					     "$atan",
					     "$ln",
					     "$log",
					     "$exp",
					     "$pow",
					     "$sqrt",
					     "$degreesToRadians",
					     "$radiansToDegrees",
					     "$stdDev" };
	struct tolerance t = { .set = mentions(project, "$setUnion") ||
				      mentions(project, "$setIntersection") ||
				      mentions(project, "$setDifference") };
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		t.transcendental |= mentions(project, words[i]);
	return t;
}

static bool doubles_agree(double a, double b, bool loose)
{
	if (isnan(a) || isnan(b))
		return isnan(a) && isnan(b);
	if (a == b)
		return true;
	return loose && fabs(a - b) <= 4 * 0x1p-52 * fmax(fabs(a), fabs(b));
}

static bool decimals_agree(struct value a, struct value b, bool loose)
{
	char x[DECIMAL_STRING_MAX], y[DECIMAL_STRING_MAX];
	dec_to_string(a.dec, x);
	dec_to_string(b.dec, y);
	if (strcmp(x, y) == 0)
		return true;
	if (!loose)
		return false;
	struct dec128 off = dec_abs(dec_sub(a.dec, b.dec));
	struct dec128 unit = dec_from_int64(1);
	bool inexact;
	(void)dec_from_string(SLICE_LIT("1E-33"), &unit, &inexact);
	return dec_compare(off, dec_abs(dec_mul(b.dec, unit))) <= 0;
}

static bool agree(struct value a, struct value b, struct tolerance t);

static size_t count(struct value v)
{
	struct bson_iter it;
	size_t n = 0;
	bson_iter_init(&it, value_slice(v));
	while (bson_next(&it))
		n++;
	return n;
}

static bool objects_agree(struct value a, struct value b, struct tolerance t)
{
	struct bson_iter it;
	bson_iter_init(&it, value_slice(a));
	while (bson_next(&it))
		if (!agree(it.value, bson_get(value_slice(b), it.key), t))
			return false;
	return count(a) == count(b);
}

/* Every element of a has a partner of its own in b. */
static bool sets_agree(struct value a, struct value b, struct tolerance t)
{
	bool taken[1000] = { false };
	struct bson_iter x, y;
	if (count(a) != count(b) || count(b) > ARRAY_LEN(taken))
		return false;
	bson_iter_init(&x, value_slice(a));
	while (bson_next(&x)) {
		bool found = false;
		bson_iter_init(&y, value_slice(b));
		for (size_t i = 0; !found && bson_next(&y); i++) {
			found = !taken[i] &&
				(value_equal(x.value, y.value) || agree(x.value, y.value, t));
			taken[i] |= found;
		}
		if (!found)
			return false;
	}
	return true;
}

static bool agree(struct value a, struct value b, struct tolerance t)
{
	if (a.type != b.type)
		return false;
	switch (a.type) {
	case BSON_DOUBLE: return doubles_agree(a.f64, b.f64, t.transcendental);
	case BSON_DECIMAL128: return decimals_agree(a, b, t.transcendental);
	case BSON_DOCUMENT: return objects_agree(a, b, t);
	case BSON_ARRAY: return t.set ? sets_agree(a, b, t) : objects_agree(a, b, t);
	default: return value_identical(a, b);
	}
}

/* Applies a correction to the first value of the expected document that is not its _id. */
static void correct(const struct line_fix *f, struct buf *expect)
{
	AUTO(buf) struct buf fixed = BUF_INIT;
	struct bson_writer w;
	struct bson_iter it;
	if (f->fix != FIX_SHIFT && f->fix != FIX_VALUE)
		return;
	bson_writer_init(&w, &fixed);
	bson_iter_init(&it, buf_slice(expect));
	while (bson_next(&it)) {
		struct value v = it.value;
		if (f->fix == FIX_SHIFT && v.type == BSON_DATE)
			v.i64 -= f->by;
		if (f->fix == FIX_VALUE && value_is_number(v) && !slice_is(it.key, "_id"))
			v = v.type == BSON_INT64 ? value_int64(f->by) : value_double((double)f->by);
		bson_put(&w, it.key, v);
	}
	struct err e = ERR_INIT;
	assert_ok(bson_finish(&w, &e), &e);
	struct buf old = *expect;
	*expect = fixed;
	fixed = old;
}

/* ---- running ---- */

struct tally {
	int values, agree, differ, error; /* cases with a value */
	int errors, rejected, accepted;   /* cases with an error */
	int skipped, unsupported;
};

static int keep(void *arg, struct slice doc, struct err *e)
{
	struct buf *out = arg;
	(void)e;
	buf_reset(out);
	buf_add_slice(out, doc);
	return 0;
}

static int project(struct slice doc, struct slice spec, struct eval *ev, struct buf *out,
		   struct err *e)
{
	AUTO(buf) struct buf stages = BUF_INIT;
	struct bson_writer w;
	struct pipeline *p;
	bson_writer_init(&w, &stages);
	bson_begin_doc(&w, SLICE_LIT("0"));
	bson_put_doc(&w, SLICE_LIT("$project"), spec);
	bson_end(&w);
	int rc = bson_finish(&w, e);
	if (rc == 0)
		rc = pipeline_compile(buf_slice(&stages), NULL, &p, e);
	if (rc < 0)
		return rc;
	rc = pipeline_run(p, ev, doc, keep, out, e);
	pipeline_free(p);
	return rc;
}

static void complain(int line, const char *what, struct slice line_text, const struct buf *got,
		     const struct err *e)
{
	AUTO(buf) struct buf text = BUF_INIT;
	if (!getenv("WEIR_ORACLE_VERBOSE"))
		return;
	if (got && got->len)
		json_from_bson(buf_slice(got), JSON_CANONICAL, &text);
	printf("  line %d %s\n    case  " SLICE_FMT "\n    weir  %s%s\n", line, what,
	       (int)MIN(line_text.len, (size_t)900), (const char *)line_text.p, buf_cstr(&text),
	       e ? e->msg : "");
}

static struct value text_field(struct slice line, const char *name)
{
	return bson_get_str(line, name);
}

static bool is_unsupported(int rc, const struct err *e)
{
	return rc == ERR_UNSUPPORTED || e->number == 168 || e->number == 31325;
}

/* { $regex: "a", $options: "i" } is the older way to write a regular expression value. */
static bool as_regex(struct value v, struct slice *pattern, struct slice *options)
{
	struct value p = bson_get_str(value_slice(v), "$regex"),
		     o = bson_get_str(value_slice(v), "$options");
	*pattern = value_slice(p);
	*options = value_slice(o);
	return p.type == BSON_STRING && o.type == BSON_STRING && count(v) == 2;
}

static void put_newer(struct bson_writer *w, struct slice key, struct value v);

static void put_members(struct bson_writer *w, struct slice doc)
{
	struct bson_iter it;
	bson_iter_init(&it, doc);
	while (bson_next(&it))
		put_newer(w, it.key, it.value);
}

static void put_newer(struct bson_writer *w, struct slice key, struct value v)
{
	struct slice pattern, options;
	char text[1000];
	if (v.type == BSON_ARRAY) {
		bson_begin_array(w, key);
		put_members(w, value_slice(v));
		bson_end(w);
	} else if (v.type == BSON_DOCUMENT && as_regex(v, &pattern, &options)) {
		assert_true(pattern.len + options.len + 2 <= sizeof(text));
		memset(text, 0, sizeof(text));
		memcpy(text, pattern.p, pattern.len);
		memcpy(text + pattern.len + 1, options.p, options.len);
		bson_put(w, key,
			 (struct value){ .type = BSON_REGEX,
					 .len = (uint32_t)(pattern.len + options.len + 2),
					 .p = (const uint8_t *)text });
	} else if (v.type == BSON_DOCUMENT) {
		bson_begin_doc(w, key);
		put_members(w, value_slice(v));
		bson_end(w);
	} else
		bson_put(w, key, v);
}

/* The data write NaN and Infinity as bare words here and there; JSON has no such words. */
static int read_json(struct slice text, struct buf *out, struct err *e)
{
	static const char *const words[] = { "-Infinity", "Infinity", "-NaN", "NaN" };
	AUTO(buf) struct buf plain = BUF_INIT;
	AUTO(buf) struct buf read = BUF_INIT;
	struct bson_writer w;
	bool quoted = false;
	for (size_t i = 0; i < text.len;) {
		size_t taken = 1;
		bool escaped = i && text.p[i - 1] == '\\';
		if (text.p[i] == '"' && !escaped)
			quoted = !quoted;
		for (size_t k = 0; !quoted && taken == 1 && k < ARRAY_LEN(words); k++) {
			size_t n = strlen(words[k]);
			if (text.len - i < n || memcmp(text.p + i, words[k], n) != 0)
				continue;
			buf_add_fmt(&plain, "{\"$numberDouble\":\"%s\"}",
				    words[k][1] == 'N' ? "NaN" : words[k]);
			taken = n;
		}
		bool minus_nan = text.len - i >= 6 && memcmp(text.p + i, "\"-NaN\"", 6) == 0;
		if (minus_nan) {
			buf_add_str(&plain, "\"NaN\"");
			quoted = false;
			taken = 6;
		}
		if (taken == 1)
			buf_add_byte(&plain, text.p[i]);
		i += taken;
	}
	int rc = json_to_bson(buf_slice(&plain), &read, NULL, e);
	if (rc < 0)
		return rc;
	bson_writer_init(&w, out);
	put_members(&w, buf_slice(&read));
	return bson_finish(&w, e);
}

static void run_line(int number, struct slice text, struct eval *ev, struct tally *t)
{
	AUTO(buf) struct buf line = BUF_INIT;
	AUTO(buf) struct buf doc = BUF_INIT;
	AUTO(buf) struct buf spec = BUF_INIT;
	AUTO(buf) struct buf expect = BUF_INIT;
	AUTO(buf) struct buf got = BUF_INIT;
	struct err e = ERR_INIT;
	const struct line_fix *f = fix_of(number);
	if (f->fix == FIX_SKIP) {
		t->skipped++;
		return;
	}
	assert_ok(json_to_bson(text, &line, NULL, &e), &e);
	struct value project_text = text_field(buf_slice(&line), "project");
	struct value expected = text_field(buf_slice(&line), "expect");
	bool wants_error = expected.type == BSON_MISSING || f->fix == FIX_ERROR;
	assert_ok(read_json(value_slice(text_field(buf_slice(&line), "doc")), &doc, &e), &e);
	int rc = read_json(value_slice(project_text), &spec, &e);
	if (rc == 0) {
		eval_reset(ev);
		rc = project(buf_slice(&doc), buf_slice(&spec), ev, &got, &e);
	}
	if (wants_error) {
		t->errors++;
		bool misspelt = rc < 0 && is_unsupported(rc, &e) &&
				mentions(value_slice(project_text), "$susbtrCP");
		if (rc < 0 && is_unsupported(rc, &e) && !misspelt)
			t->unsupported++;
		else if (rc < 0)
			t->rejected++;
		else {
			t->accepted++;
			complain(number, "should be an error", text, &got, NULL);
		}
		return;
	}
	t->values++;
	if (rc < 0) {
		t->error++;
		complain(number, "should have a value", text, NULL, &e);
		return;
	}
	assert_ok(read_json(value_slice(expected), &expect, &e), &e);
	correct(f, &expect);
	if (agree(value_doc(buf_slice(&got)), value_doc(buf_slice(&expect)),
		  tolerance_of(value_slice(project_text))))
		t->agree++;
	else {
		t->differ++;
		complain(number, "differs", text, &got, NULL);
	}
}

static void the_data_of_expressions_agree(void **state)
{
	(void)state;
	const char *dir = test_oracle();
	if (!dir) {
		print_message("skipped: the conformance data are not there (WEIR_ORACLE)\n");
		skip();
	}
	char path[4096];
	(void)snprintf(path, sizeof(path), "%s/mql/expr.jsonl", dir);
	AUTO(buf) struct buf file = BUF_INIT;
	test_read_file(path, &file);
	timezone_set_loader(tzfile_load);
	struct eval ev;
	struct tally t = { 0 };
	eval_init(&ev);
	ev.now_ms = 1700000000000;
	const uint8_t *at = file.p, *end = file.p + file.len;
	for (int number = 1; at < end; number++) {
		const uint8_t *eol = memchr(at, '\n', (size_t)(end - at));
		eol = eol ? eol : end;
		if (eol > at)
			run_line(number, slice_of(at, (size_t)(eol - at)), &ev, &t);
		at = eol + 1;
	}
	eval_done(&ev);
	printf("expr.jsonl: %d agree, %d differ, %d error, %d out of scope; errors: %d of %d "
	       "rejected, %d accepted, "
	       "%d unsupported\n",
	       t.agree, t.differ, t.error, t.skipped, t.rejected, t.errors, t.accepted,
	       t.unsupported);
	/* What was reached; docs/conformance.md lists the rest. */
	assert_true(t.agree >= 1789);
	assert_true(t.rejected >= 801);
	assert_int_equal(t.values, 1810);
	assert_int_equal(t.errors, 803);
	assert_int_equal(t.unsupported, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_data_of_expressions_agree),
	};
	return cmocka_run_group_tests_name("doc_expr_oracle", tests, NULL, NULL);
}
