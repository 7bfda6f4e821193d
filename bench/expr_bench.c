/* expr_bench.c: expressions and accumulators on documents of about 280 bytes and 12 fields: nanoseconds a document, and
 * allocations a document once warm; one expression beside the same written by hand with libbson; and how the cost grows
 * with the length of arrays. BENCH_SHORT=1 runs a hundredth of it. */
#include "tests/libbson.h"

#include "base/mem.h"
#include "doc/accum.h"
#include "doc/expr.h"
#include "doc/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { DOCS = 1000 };

static struct slice docs[DOCS];
static long rounds = 200;
static size_t allocations;

static double now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); /* others may be at work on the machine */
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void check(int rc, const struct err *e)
{
	if (rc < 0) {
		fprintf(stderr, "expr_bench: %s\n", e->msg);
		exit(1);
	}
}

static void *count_alloc(size_t n)
{
	allocations++;
	return malloc(n);
}

static void *count_realloc(void *p, size_t n)
{
	allocations++;
	return realloc(p, n);
}

static const struct mem_allocator counting = { count_alloc, count_realloc, free };

static struct slice make_doc(int i, struct buf *out)
{
	struct err e = ERR_INIT;
	AUTO(buf) struct buf json = BUF_INIT;
	buf_add_fmt(&json,
		    "{\"_id\":%d,\"type\":\"%s\",\"mag\":%.1f,\"place\":\"%d km NNW of The "
		    "Geysers, CA\","
		    "\"time\":{\"$date\":{\"$numberLong\":\"%lld\"}},\"status\":\"%s\",\"tsunami\":"
		    "%d,\"sig\":%d,"
		    "\"code\":\"nc%08d\",\"geometry\":{\"lon\":%f,\"lat\":38.8,\"depth\":%.1f},"
		    "\"tags\":[1,2,3],"
		    "\"net\":\"nc\"}",
		    i, i % 3 ? "earthquake" : "quarry blast", (i % 80) / 10.0, i % 90,
		    1700000000000LL + i * 7777, i % 5 ? "automatic" : "reviewed", i % 7 == 0,
		    i % 1000, i * 7919, -122.8 + i * 0.001, (i % 300) / 10.0);
	check(json_to_bson(buf_slice(&json), out, NULL, &e), &e);
	return buf_slice(out);
}

static struct expr *compiled(const char *json)
{
	AUTO(buf) struct buf spec = BUF_INIT;
	struct err e = ERR_INIT;
	struct value v;
	struct expr *x;
	check(json_to_value(slice_str(json), &spec, &v, NULL, &e), &e);
	check(expr_compile(v, NULL, &x, &e), &e);
	return x;
}

static double evaluate(const struct expr *x, const struct slice *d, size_t n, long times)
{
	struct err e = ERR_INIT;
	struct eval ev;
	struct value v;
	eval_init(&ev);
	for (size_t i = 0; i < n; i++) { /* warm */
		eval_reset(&ev);
		check(expr_eval(x, &ev, d[i], &v, &e), &e);
	}
	allocations = 0;
	mem_set_allocator(&counting);
	double start = now_ns();
	for (long r = 0; r < times; r++)
		for (size_t i = 0; i < n; i++) {
			eval_reset(&ev);
			check(expr_eval(x, &ev, d[i], &v, &e), &e);
		}
	double ns = (now_ns() - start) / (double)times / (double)n;
	mem_set_allocator(NULL);
	eval_done(&ev);
	return ns;
}

static void expression(const char *name, const char *json)
{
	struct expr *x = compiled(json);
	double ns = evaluate(x, docs, DOCS, rounds);
	printf("%-36s %8.1f ns/document   %.3f allocations\n", name, ns,
	       (double)allocations / (double)rounds / DOCS);
	expr_free(x);
}

/* { $gt: [{ $add: ["$mag", "$geometry.depth"] }, 5] } by hand. */
static double by_hand(size_t *hits)
{
	double start = now_ns();
	*hits = 0;
	for (long r = 0; r < rounds; r++)
		for (int i = 0; i < DOCS; i++) {
			bson_iter_t it, depth;
			double mag = 0, d = 0;
			if (!bson_iter_init_from_data(&it, docs[i].p, docs[i].len))
				exit(1);
			if (bson_iter_find(&it, "mag"))
				mag = bson_iter_as_double(&it);
			if (!bson_iter_init_from_data(&it, docs[i].p, docs[i].len))
				exit(1);
			if (bson_iter_find_descendant(&it, "geometry.depth", &depth))
				d = bson_iter_as_double(&depth);
			*hits += mag + d > 5;
		}
	return (now_ns() - start) / (double)rounds / DOCS;
}

static void beside_libbson(void)
{
	size_t hits;
	struct expr *x = compiled("{\"$gt\":[{\"$add\":[\"$mag\",\"$geometry.depth\"]},5]}");
	double ns = evaluate(x, docs, DOCS, rounds), other = by_hand(&hits);
	printf("%-36s %8.1f ns/document   libbson by hand %8.1f ns   %5.1f x\n",
	       "$gt of $add of two paths", ns, other, other / ns);
	expr_free(x);
}

static void growth(const char *name, const char *json)
{
	static const int lengths[] = { 10, 100, 1000, 10000 };
	struct expr *x = compiled(json);
	printf("%-36s", name);
	for (size_t k = 0; k < 4; k++) {
		AUTO(buf) struct buf doc = BUF_INIT;
		struct bson_writer w;
		bson_writer_init(&w, &doc);
		bson_begin_array(&w, SLICE_LIT("a"));
		for (int i = 0; i < lengths[k]; i++)
			bson_put_int32(&w, SLICE_NONE, i * 7919 % 10007);
		bson_end(&w);
		struct err e = ERR_INIT;
		check(bson_finish(&w, &e), &e);
		struct slice one = buf_slice(&doc);
		double ns = evaluate(x, &one, 1, rounds * 200 / lengths[k] + 1);
		printf("  %d: %.1f", lengths[k], ns / lengths[k]);
	}
	printf("  ns/element\n");
	expr_free(x);
}

static void accumulator(const char *json)
{
	AUTO(buf) struct buf spec = BUF_INIT;
	struct err e = ERR_INIT;
	struct value v;
	struct eval ev;
	struct accum_spec *s;
	struct accum *a;
	check(json_to_value(slice_str(json), &spec, &v, NULL, &e), &e);
	check(accum_spec_compile(v, NULL, &s, &e), &e);
	check(accum_new(s, &a, &e), &e);
	eval_init(&ev);
	long times = rounds / 4 + 1;
	double start = now_ns();
	for (long r = 0; r < times; r++)
		for (int i = 0; i < DOCS; i++) {
			eval_reset(&ev);
			check(accum_add_doc(a, &ev, docs[i], &e), &e);
		}
	double ns = (now_ns() - start) / (double)times / DOCS;
	printf("%-56s %8.1f ns/add   %zu bytes of state\n", json, ns, accum_bytes(a));
	eval_done(&ev);
	accum_free(a);
	accum_spec_free(s);
}

int main(void)
{
	static struct buf bytes[DOCS];
	if (getenv("BENCH_SHORT"))
		rounds = 2;
	for (int i = 0; i < DOCS; i++)
		docs[i] = make_doc(i, &bytes[i]);
	expression("a field", "\"$code\"");
	expression("a nested field", "\"$geometry.depth\"");
	beside_libbson();
	expression("$cond of $eq", "{\"$cond\":[{\"$eq\":[\"$status\",\"reviewed\"]},\"$mag\",0]}");
	expression("$concat of three", "{\"$concat\":[\"$type\",\"/\",\"$code\"]}");
	expression("$map over three",
		   "{\"$map\":{\"input\":\"$tags\",\"in\":{\"$multiply\":[\"$$this\",2]}}}");
	expression("$dateToString in a zone",
		   "{\"$dateToString\":{\"date\":\"$time\",\"timezone\":\"+02:00\"}}");
	expression("$dateTrunc to hours",
		   "{\"$dateTrunc\":{\"date\":\"$time\",\"unit\":\"hour\"}}");
	expression("$regexMatch",
		   "{\"$regexMatch\":{\"input\":\"$place\",\"regex\":\"Geysers, (CA|NV)$\"}}");
	expression("an object of four", "{\"t\":\"$type\",\"m\":{\"$round\":\"$mag\"},\"d\":\"$"
					"geometry.depth\",\"s\":{\"$size\":\"$tags\"}}");
	growth("$sum of an array", "{\"$sum\":\"$a\"}");
	growth("$map of an array",
	       "{\"$map\":{\"input\":\"$a\",\"in\":{\"$add\":[\"$$this\",1]}}}");
	growth("$setUnion with itself", "{\"$setUnion\":[\"$a\",\"$a\"]}");
	growth("$sortArray", "{\"$sortArray\":{\"input\":\"$a\",\"sortBy\":1}}");
	accumulator("{\"$sum\":\"$sig\"}");
	accumulator("{\"$sum\":\"$mag\"}");
	accumulator("{\"$avg\":\"$geometry.lon\"}");
	accumulator("{\"$max\":\"$mag\"}");
	accumulator("{\"$addToSet\":\"$type\"}");
	accumulator("{\"$maxN\":{\"input\":\"$mag\",\"n\":10}}");
	accumulator("{\"$topN\":{\"output\":\"$code\",\"sortBy\":{\"mag\":-1},\"n\":10}}");
	accumulator("{\"$stdDevPop\":\"$mag\"}");
	for (int i = 0; i < DOCS; i++)
		buf_done(&bytes[i]);
	return 0;
}
