/* match_bench.c: filters on documents of about 280 bytes and 12 fields, against the same tests written by hand with
 * libbson. Prints nanoseconds per document. BENCH_SHORT=1 runs a hundredth of it. */
#include "tests/libbson.h"

#include "doc/bson.h"
#include "doc/match.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { DOCS = 1000, WIDE_DOCS = 20 };

static struct slice docs[DOCS];
static int n_docs = DOCS;
static long rounds = 2000;

static double now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void check(int rc, const struct err *e)
{
	if (rc < 0) {
		fprintf(stderr, "match_bench: %s\n", e->msg);
		exit(1);
	}
}

/* ---- documents ---- */

static void put_text(struct bson_writer *w, const char *key, const char *text)
{
	bson_put_string(w, slice_str(key), slice_str(text));
}

static struct slice make_doc(int i, struct buf *out)
{
	struct err e = ERR_INIT;
	struct bson_writer w;
	char text[64];
	bson_writer_init(&w, out);
	bson_put_int64(&w, SLICE_LIT("_id"), i);
	put_text(&w, "type", i % 3 ? "earthquake" : "quarry blast");
	bson_put_double(&w, SLICE_LIT("mag"), (i % 80) / 10.0);
	snprintf(text, sizeof(text), "%d km NNW of The Geysers, CA", i % 90);
	put_text(&w, "place", text);
	bson_put_date(&w, SLICE_LIT("time"), 1700000000000 + i * 1000);
	bson_put_date(&w, SLICE_LIT("updated"), 1700000000000 + i * 1001);
	put_text(&w, "status", i % 5 ? "automatic" : "reviewed");
	bson_put_int32(&w, SLICE_LIT("tsunami"), i % 7 == 0);
	bson_put_int32(&w, SLICE_LIT("sig"), i % 1000);
	snprintf(text, sizeof(text), "nc%08d", i * 7919);
	put_text(&w, "code", text);
	bson_begin_doc(&w, SLICE_LIT("geometry"));
	bson_put_double(&w, SLICE_LIT("lon"), -122.8 + i * 0.001);
	bson_put_double(&w, SLICE_LIT("lat"), 38.8);
	bson_put_double(&w, SLICE_LIT("depth"), (i % 300) / 10.0);
	bson_end(&w);
	put_text(&w, "net", "nc");
	check(bson_finish(&w, &e), &e);
	return buf_slice(out);
}

/* ---- filters ---- */

static void two_terms(struct bson_writer *w)
{
	put_text(w, "type", "earthquake");
	bson_begin_doc(w, SLICE_LIT("mag"));
	bson_put_double(w, SLICE_LIT("$gte"), 4.5);
	bson_end(w);
}

static void relation(struct bson_writer *w, const char *field, const char *op, double v)
{
	bson_begin_doc(w, slice_str(field));
	bson_put_double(w, slice_str(op), v);
	bson_end(w);
}

/* Every document passes, so that all ten are evaluated. */
static void ten_terms(struct bson_writer *w)
{
	relation(w, "_id", "$gte", 0);
	relation(w, "mag", "$lt", 100);
	relation(w, "sig", "$lt", 5000);
	relation(w, "tsunami", "$lte", 1);
	relation(w, "geometry.depth", "$gte", 0);
	relation(w, "geometry.lat", "$gt", 30);
	relation(w, "geometry.lon", "$lt", 0);
	put_text(w, "net", "nc");
	bson_begin_doc(w, SLICE_LIT("status"));
	put_text(w, "$ne", "deleted");
	bson_end(w);
	bson_begin_doc(w, SLICE_LIT("time"));
	bson_put_date(w, SLICE_LIT("$gt"), 1);
	bson_end(w);
}

static void regex_term(struct bson_writer *w)
{
	bson_begin_doc(w, SLICE_LIT("place"));
	put_text(w, "$regex", "Geysers, [A-Z]{2}$");
	bson_end(w);
}

static void in_terms(struct bson_writer *w, int n)
{
	bson_begin_doc(w, SLICE_LIT("code"));
	bson_begin_array(w, SLICE_LIT("$in"));
	for (int i = 0; i < n; i++) {
		char text[32];
		snprintf(text, sizeof(text), "nc%08d", i * 3 * 7919);
		bson_put_string(w, SLICE_NONE, slice_str(text));
	}
	bson_end(w);
	bson_end(w);
}

static void in_10(struct bson_writer *w)
{
	in_terms(w, 10);
}

static void in_10000(struct bson_writer *w)
{
	in_terms(w, 10000);
}

/* { f0: { $gte: -1 }, f1: ... } on documents of the same fields: the cost of a term and of a field. */
static int wide_terms, wide_fields;

static void wide(struct bson_writer *w)
{
	for (int i = 0; i < wide_terms; i++) {
		char name[48];
		snprintf(name, sizeof(name), "field%d", wide_fields - 1 - i);
		relation(w, name, "$gte", -1);
	}
}

static struct slice make_wide_doc(struct buf *out)
{
	struct err e = ERR_INIT;
	struct bson_writer w;
	buf_reset(out);
	bson_writer_init(&w, out);
	for (int i = 0; i < wide_fields; i++) {
		char name[48];
		snprintf(name, sizeof(name), "field%d", i);
		bson_put_int32(&w, slice_str(name), i);
	}
	check(bson_finish(&w, &e), &e);
	return buf_slice(out);
}

/* ---- the same by hand, with libbson ---- */

static bool libbson_two_terms(const bson_t *b)
{
	bson_iter_t it;
	uint32_t len;
	return bson_iter_init_find(&it, b, "type") && BSON_ITER_HOLDS_UTF8(&it) &&
	       strcmp(bson_iter_utf8(&it, &len), "earthquake") == 0 &&
	       bson_iter_init_find(&it, b, "mag") && BSON_ITER_HOLDS_DOUBLE(&it) &&
	       bson_iter_double(&it) >= 4.5;
}

static bool libbson_less(const bson_t *b, const char *field, double v)
{
	bson_iter_t it;
	return bson_iter_init_find(&it, b, field) && BSON_ITER_HOLDS_NUMBER(&it) &&
	       bson_iter_as_double(&it) <= v;
}

static bool libbson_more(const bson_t *b, const char *field, double v)
{
	bson_iter_t it;
	return bson_iter_init_find(&it, b, field) && BSON_ITER_HOLDS_NUMBER(&it) &&
	       bson_iter_as_double(&it) >= v;
}

static bool libbson_inside(const bson_t *b, const char *path, double lo, double hi)
{
	bson_iter_t at, it;
	return bson_iter_init_from_data(&at, bson_get_data(b), b->len) &&
	       bson_iter_find_descendant(&at, path, &it) && BSON_ITER_HOLDS_NUMBER(&it) &&
	       bson_iter_as_double(&it) >= lo && bson_iter_as_double(&it) <= hi;
}

static bool libbson_ten_terms(const bson_t *b)
{
	bson_iter_t it;
	uint32_t len;
	return libbson_more(b, "_id", 0) && libbson_less(b, "mag", 100) &&
	       libbson_less(b, "sig", 5000) && libbson_less(b, "tsunami", 1) &&
	       libbson_inside(b, "geometry.depth", 0, 1e9) &&
	       libbson_inside(b, "geometry.lat", 30, 1e9) &&
	       libbson_inside(b, "geometry.lon", -1e9, 0) && bson_iter_init_find(&it, b, "net") &&
	       BSON_ITER_HOLDS_UTF8(&it) && strcmp(bson_iter_utf8(&it, &len), "nc") == 0 &&
	       bson_iter_init_find(&it, b, "status") && BSON_ITER_HOLDS_UTF8(&it) &&
	       strcmp(bson_iter_utf8(&it, &len), "deleted") != 0 &&
	       bson_iter_init_find(&it, b, "time") && BSON_ITER_HOLDS_DATE_TIME(&it) &&
	       bson_iter_date_time(&it) > 1;
}

/* ---- running ---- */

static double run_weir(void (*fill)(struct bson_writer *w), unsigned long *hits)
{
	AUTO(buf) struct buf spec = BUF_INIT;
	struct bson_writer w;
	struct err e = ERR_INIT;
	struct match *m;
	struct eval ev;
	bson_writer_init(&w, &spec);
	fill(&w);
	check(bson_finish(&w, &e), &e);
	check(match_compile(buf_slice(&spec), NULL, &m, &e), &e);
	eval_init(&ev);
	*hits = 0;
	double start = now_ns();
	for (long r = 0; r < rounds; r++) {
		for (int i = 0; i < n_docs; i++) {
			eval_reset(&ev);
			int rc = match_doc(m, &ev, docs[i], &e);
			check(rc, &e);
			*hits += (unsigned long)rc;
		}
	}
	double ns = (now_ns() - start) / (double)rounds / n_docs;
	eval_done(&ev);
	match_free(m);
	return ns;
}

static double run_libbson(bool (*fn)(const bson_t *b), unsigned long *hits)
{
	*hits = 0;
	double start = now_ns();
	for (long r = 0; r < rounds; r++) {
		for (int i = 0; i < n_docs; i++) {
			bson_t b;
			*hits += bson_init_static(&b, docs[i].p, docs[i].len) && fn(&b);
		}
	}
	return (now_ns() - start) / (double)rounds / n_docs;
}

static void compare(const char *name, void (*fill)(struct bson_writer *w),
		    bool (*fn)(const bson_t *b))
{
	unsigned long hits, hits_libbson;
	double ns = run_weir(fill, &hits);
	printf("%-24s %8.1f ns/document", name, ns);
	if (fn) {
		double other = run_libbson(fn, &hits_libbson);
		printf("   libbson by hand %8.1f ns   %5.1f x", other, other / ns);
		if (hits != hits_libbson) {
			printf("\nmatch_bench: %lu hits against %lu\n", hits, hits_libbson);
			exit(1);
		}
	}
	printf("   (%.0f %% match)\n", 100.0 * (double)hits / (double)rounds / n_docs);
}

static void scaling(struct buf *bytes)
{
	static const struct {
		int terms, fields;
	} shapes[] = { { 1, 10 },    { 1, 100 },    { 1, 1000 },
		       { 10, 1000 }, { 100, 1000 }, { 1000, 1000 } };
	rounds = MAX(rounds / 4, 1);
	n_docs = WIDE_DOCS; /* all in the cache */
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
		char name[48];
		wide_terms = shapes[i].terms;
		wide_fields = shapes[i].fields;
		for (int k = 0; k < n_docs; k++)
			docs[k] = make_wide_doc(&bytes[k]);
		snprintf(name, sizeof(name), "%d terms, %d fields", wide_terms, wide_fields);
		compare(name, wide, NULL);
	}
}

int main(void)
{
	static struct buf bytes[DOCS];
	size_t total = 0;
	if (getenv("BENCH_SHORT"))
		rounds /= 100;
	for (int i = 0; i < DOCS; i++) {
		docs[i] = make_doc(i, &bytes[i]);
		total += docs[i].len;
	}
	printf("%d documents of %zu bytes\n", DOCS, total / DOCS);
	compare("two terms", two_terms, libbson_two_terms);
	compare("ten terms", ten_terms, libbson_ten_terms);
	compare("$in, 10 values", in_10, NULL);
	compare("$in, 10,000 values", in_10000, NULL);
	compare("$regex", regex_term, NULL);
	scaling(bytes);
	for (int i = 0; i < DOCS; i++)
		buf_done(&bytes[i]);
	return 0;
}
