/* project_bench.c: stages, updates and diffs on documents of about 280 bytes and 12 fields; the projection against the
 * same written by hand with libbson. Prints nanoseconds per document. BENCH_SHORT=1 runs a hundredth of it. */
#include "tests/libbson.h"

#include "doc/diff.h"
#include "doc/json.h"
#include "doc/pipeline.h"
#include "doc/update.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { DOCS = 1000 };

static struct slice docs[DOCS];
static long rounds = 1000;

static double now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void check(int rc, const struct err *e)
{
	if (rc < 0) {
		fprintf(stderr, "project_bench: %s\n", e->msg);
		exit(1);
	}
}

static struct slice make_doc(int i, struct buf *out)
{
	struct err e = ERR_INIT;
	AUTO(buf) struct buf json = BUF_INIT;
	buf_add_fmt(
		&json,
		"{\"_id\":%d,\"type\":\"%s\",\"mag\":%.1f,\"place\":\"%d km NNW of The Geysers, "
		"CA\",\"time\":{\"$date\":{\"$numberLong\":\"%lld\"}},\"updated\":{\"$date\":"
		"{\"$numberLong\":\"%lld\"}},\"status\":\"%s\",\"tsunami\":%d,\"sig\":%d,\"code\":"
		"\"nc%08d\",\"geometry\":{\"lon\":%f,\"lat\":38.8,\"depth\":%.1f},\"tags\":[1,2,3]"
		"}",
		i, i % 3 ? "earthquake" : "quarry blast", (i % 80) / 10.0, i % 90,
		1700000000000LL + i, 1700000001000LL + i, i % 5 ? "automatic" : "reviewed",
		i % 7 == 0, i % 1000, i * 7919, -122.8 + i * 0.001, (i % 300) / 10.0);
	check(json_to_bson(buf_slice(&json), out, NULL, &e), &e);
	return buf_slice(out);
}

/* ---- stages ---- */

struct sum {
	size_t docs, bytes;
};

static int add_up(void *arg, struct slice doc, struct err *e)
{
	struct sum *s = arg;
	(void)e;
	s->docs++;
	s->bytes += doc.len;
	return 0;
}

static double run_pipeline(const char *json, struct sum *s)
{
	AUTO(buf) struct buf spec = BUF_INIT;
	struct err e = ERR_INIT;
	struct value v;
	struct pipeline *p;
	struct eval ev;
	check(json_to_value(slice_str(json), &spec, &v, NULL, &e), &e);
	check(pipeline_compile(value_slice(v), NULL, &p, &e), &e);
	eval_init(&ev);
	*s = (struct sum){ 0 };
	double start = now_ns();
	for (long r = 0; r < rounds; r++) {
		for (int i = 0; i < DOCS; i++) {
			eval_reset(&ev);
			check(pipeline_run(p, &ev, docs[i], add_up, s, &e), &e);
		}
	}
	double ns = (now_ns() - start) / (double)rounds / DOCS;
	eval_done(&ev);
	pipeline_free(p);
	return ns;
}

static double run_libbson(struct sum *s)
{
	*s = (struct sum){ 0 };
	double start = now_ns();
	for (long r = 0; r < rounds; r++) {
		for (int i = 0; i < DOCS; i++) {
			bson_t out = BSON_INITIALIZER;
			bson_iter_t it;
			if (!bson_iter_init_from_data(&it, docs[i].p, docs[i].len))
				exit(1);
			while (bson_iter_next(&it)) {
				const char *key = bson_iter_key(&it);
				if (strcmp(key, "type") == 0 || strcmp(key, "mag") == 0 ||
				    strcmp(key, "code") == 0)
					bson_append_iter(&out, key, -1, &it);
			}
			s->docs++;
			s->bytes += out.len;
			bson_destroy(&out);
		}
	}
	return (now_ns() - start) / (double)rounds / DOCS;
}

static void stages(const char *name, const char *json)
{
	struct sum s;
	double ns = run_pipeline(json, &s);
	printf("%-28s %8.1f ns/document   (%.1f documents out of each)\n", name, ns,
	       (double)s.docs / (double)rounds / DOCS);
}

static void projection(void)
{
	struct sum s, other;
	double ns =
		run_pipeline("[{\"$project\":{\"_id\":0,\"type\":1,\"mag\":1,\"code\":1}}]", &s);
	double by_hand = run_libbson(&other);
	printf("%-28s %8.1f ns/document   libbson by hand %8.1f ns   %5.1f x\n",
	       "$project 3 of 12 fields", ns, by_hand, by_hand / ns);
	if (s.bytes != other.bytes) {
		printf("project_bench: %zu bytes against %zu\n", s.bytes, other.bytes);
		exit(1);
	}
}

/* ---- updates ---- */

static void updates(const char *name, const char *json)
{
	AUTO(buf) struct buf spec = BUF_INIT, after = BUF_INIT, diff = BUF_INIT;
	struct err e = ERR_INIT;
	struct update *u;
	struct eval ev;
	struct bson_writer w;
	check(json_to_bson(slice_str(json), &spec, NULL, &e), &e);
	check(update_compile(buf_slice(&spec), false, NULL, &u, &e), &e);
	eval_init(&ev);
	double start = now_ns();
	for (long r = 0; r < rounds; r++) {
		for (int i = 0; i < DOCS; i++) {
			eval_reset(&ev);
			buf_reset(&after);
			check(update_apply(u, &ev, docs[i], false, &after, &e), &e);
		}
	}
	double applied = now_ns();
	struct slice before = docs[DOCS - 1];
	for (long r = 0; r < rounds * DOCS; r++) {
		buf_reset(&diff);
		bson_writer_init(&w, &diff);
		check(diff_docs(before, buf_slice(&after), &w, &e), &e);
		check(bson_finish(&w, &e), &e);
	}
	double n = (double)rounds * DOCS;
	printf("%-28s %8.1f ns/document   its diff %8.1f ns\n", name, (applied - start) / n,
	       (now_ns() - applied) / n);
	eval_done(&ev);
	update_free(u);
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
	projection();
	stages("$project nested", "[{\"$project\":{\"geometry.lon\":1,\"geometry.lat\":1}}]");
	stages("$unset 2 of 12", "[{\"$unset\":[\"place\",\"geometry.depth\"]}]");
	stages("$set 2 fields", "[{\"$set\":{\"m\":\"$mag\",\"where\":\"$geometry.lat\"}}]");
	stages("$unwind 3 elements", "[{\"$unwind\":\"$tags\"}]");
	updates("update $set 1", "{\"$set\":{\"status\":\"deleted\"}}");
	updates("update $set $inc $push",
		"{\"$set\":{\"geometry.depth\":1.5},\"$inc\":{\"sig\":1},\"$push\":{\"tags\":4}}");
	for (int i = 0; i < DOCS; i++)
		buf_done(&bytes[i]);
	return 0;
}
