/* json_bench.c: JSON to BSON and back, weir and libbson in the same run.
 *
 * Documents: generated events of about 300 bytes, and the features of
 * examples/data/earthquakes.json where that file is there. Thread CPU time, best of the rounds.
 * --quick: a tiny input, to see that it works.
 */
#include "doc/json.h"
#include "tests/libbson.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct set {
	const char *name;
	struct buf json, bson;     /* all documents, one after the other */
	size_t *json_at, *bson_at; /* n + 1 offsets each */
	size_t n, cap;
};

static double cpu_seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void die(const char *what)
{
	fprintf(stderr, "json_bench: %s\n", what);
	exit(1);
}

static void add(struct set *s, struct slice json)
{
	struct err e = ERR_INIT;
	if (s->n + 1 >= s->cap) {
		s->cap = s->cap ? s->cap * 2 : 1024;
		s->json_at = realloc(s->json_at, (s->cap + 1) * sizeof(size_t));
		s->bson_at = realloc(s->bson_at, (s->cap + 1) * sizeof(size_t));
		if (!s->json_at || !s->bson_at)
			die("out of memory");
	}
	s->json_at[s->n] = s->json.len;
	s->bson_at[s->n] = s->bson.len;
	buf_add_slice(&s->json, json);
	if (json_to_bson(json, &s->bson, NULL, &e) < 0)
		die(e.msg);
	s->n++;
	s->json_at[s->n] = s->json.len;
	s->bson_at[s->n] = s->bson.len;
}

static struct slice json_of(const struct set *s, size_t i)
{
	return slice_of(s->json.p + s->json_at[i], s->json_at[i + 1] - s->json_at[i]);
}

static struct slice bson_of(const struct set *s, size_t i)
{
	return slice_of(s->bson.p + s->bson_at[i], s->bson_at[i + 1] - s->bson_at[i]);
}

static void generate(struct set *s, size_t n)
{
	static const char *const kinds[] = { "view", "click", "purchase", "search" };
	static const char *const cities[] = { "Oslo", "Nairobi", "S\303\243o Paulo", "Kyoto" };
	uint64_t x = UINT64_C(88172645463325252);
	for (size_t i = 0; i < n; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		char text[1024];
		int len = snprintf(
			text, sizeof(text),
			"{\"_id\":%zu,\"type\":\"%s\",\"user\":{\"id\":%u,\"name\":\"user-%u\","
			"\"geo\":{\"lat\":%.5f,\"lon\":%.5f,\"city\":\"%s\"}},"
			"\"session\":\"%016llx\",\"at\":%lld,\"price\":%.2f,\"quantity\":%u,"
			"\"tags\":[\"web\",\"mobile\",\"beta\"],\"ok\":%s,\"note\":\"the quick "
			"brown fox jumps over the lazy dog\",\"parent\":null}",
			i, kinds[x % 4], (unsigned)(x >> 40), (unsigned)(x >> 44),
			(double)(int)(x >> 12 & 0xffffff) / 1e5 - 80,
			(double)(int)(x >> 20 & 0x1ffffff) / 1e5 - 160, cities[x >> 8 & 3],
			(unsigned long long)x, 1700000000000LL + (long long)(x >> 30),
			(double)(x >> 50) / 100, (unsigned)(x >> 60), x & 16 ? "true" : "false");
		add(s, slice_of(text, (size_t)len));
	}
}

/* Every feature of a GeoJSON collection as a document of its own. False when there is no such
 * file. */
static bool load(struct set *s, const char *path)
{
	FILE *f = fopen(path, "rb");
	if (!f)
		return false;
	AUTO(buf) struct buf text = BUF_INIT, bson = BUF_INIT, one = BUF_INIT;
	char piece[65536];
	for (size_t n; (n = fread(piece, 1, sizeof(piece), f)) > 0;)
		buf_add(&text, piece, n);
	fclose(f);
	struct err e = ERR_INIT;
	if (json_to_bson(buf_slice(&text), &bson, NULL, &e) < 0)
		die(e.msg);
	struct value features = bson_get_str(buf_slice(&bson), "features");
	if (features.type != BSON_ARRAY)
		return false;
	struct bson_iter it;
	bson_iter_init(&it, value_slice(features));
	while (bson_next(&it)) {
		buf_reset(&one);
		json_from_bson(value_slice(it.value), JSON_RELAXED, &one);
		add(s, buf_slice(&one));
	}
	return s->n > 0;
}

/* ---- the contestants: one pass over the set, returns something that depends on the work ---- */

static size_t weir_in(const struct set *s, struct buf *out)
{
	size_t sum = 0;
	for (size_t i = 0; i < s->n; i++) {
		buf_reset(out);
		if (json_to_bson(json_of(s, i), out, NULL, NULL) < 0)
			die("weir refuses a document");
		sum += out->len;
	}
	return sum;
}

static size_t libbson_in(const struct set *s, struct buf *out)
{
	(void)out;
	size_t sum = 0;
	for (size_t i = 0; i < s->n; i++) {
		struct slice json = json_of(s, i);
		bson_t doc;
		bson_error_t error;
		if (!bson_init_from_json(&doc, (const char *)json.p, (ssize_t)json.len, &error))
			die(error.message);
		sum += doc.len;
		bson_destroy(&doc);
	}
	return sum;
}

static size_t weir_out(const struct set *s, enum json_mode mode, struct buf *out)
{
	size_t sum = 0;
	for (size_t i = 0; i < s->n; i++) {
		buf_reset(out);
		json_from_bson(bson_of(s, i), mode, out);
		sum += out->len;
	}
	return sum;
}

static size_t weir_relaxed(const struct set *s, struct buf *out)
{
	return weir_out(s, JSON_RELAXED, out);
}

static size_t weir_canonical(const struct set *s, struct buf *out)
{
	return weir_out(s, JSON_CANONICAL, out);
}

static size_t libbson_out(const struct set *s, char *(*print)(const bson_t *, size_t *))
{
	size_t sum = 0;
	for (size_t i = 0; i < s->n; i++) {
		struct slice b = bson_of(s, i);
		bson_t doc;
		size_t len;
		if (!bson_init_static(&doc, b.p, b.len))
			die("libbson refuses a document");
		char *text = print(&doc, &len);
		sum += len;
		bson_free(text);
	}
	return sum;
}

static size_t libbson_relaxed(const struct set *s, struct buf *out)
{
	(void)out;
	return libbson_out(s, bson_as_relaxed_extended_json);
}

static size_t libbson_canonical(const struct set *s, struct buf *out)
{
	(void)out;
	return libbson_out(s, bson_as_canonical_extended_json);
}

static size_t weir_check(const struct set *s, struct buf *out)
{
	(void)out;
	for (size_t i = 0; i < s->n; i++)
		if (bson_validate(bson_of(s, i), NULL) < 0)
			die("weir finds a document invalid");
	return s->n;
}

static size_t libbson_check(const struct set *s, struct buf *out)
{
	(void)out;
	for (size_t i = 0; i < s->n; i++) {
		struct slice b = bson_of(s, i);
		bson_t doc;
		bson_error_t error;
		if (!bson_init_static(&doc, b.p, b.len) ||
		    !bson_validate_with_error(&doc,
					      BSON_VALIDATE_UTF8 | BSON_VALIDATE_UTF8_ALLOW_NULL,
					      &error))
			die("libbson finds a document invalid");
	}
	return s->n;
}

typedef size_t contestant(const struct set *s, struct buf *out);

static volatile size_t sink;

static double best(contestant *run, const struct set *s, int rounds)
{
	AUTO(buf) struct buf out = BUF_INIT;
	double least = 1e9;
	for (int i = 0; i < rounds; i++) {
		double start = cpu_seconds();
		sink += run(s, &out);
		double took = cpu_seconds() - start;
		least = MIN(least, took);
	}
	return least;
}

static void compare(const char *what, contestant *ours, contestant *theirs, const struct set *s,
		    size_t bytes, int rounds)
{
	double a = best(ours, s, rounds), b = best(theirs, s, rounds), n = (double)s->n;
	printf("  %-24s weir %7.3f us %7.1f MB/s   libbson %7.3f us %7.1f MB/s   %5.1f x\n", what,
	       a / n * 1e6, (double)bytes / a / 1e6, b / n * 1e6, (double)bytes / b / 1e6, b / a);
}

static void run(struct set *s, int rounds)
{
	printf("%s: %zu documents, %.0f bytes of JSON, %.0f of BSON on average\n", s->name, s->n,
	       (double)s->json.len / (double)s->n, (double)s->bson.len / (double)s->n);
	compare("JSON to BSON", weir_in, libbson_in, s, s->json.len, rounds);
	compare("BSON to relaxed JSON", weir_relaxed, libbson_relaxed, s, s->json.len, rounds);
	compare("BSON to canonical JSON", weir_canonical, libbson_canonical, s, s->json.len,
		rounds);
	compare("validate BSON", weir_check, libbson_check, s, s->bson.len, rounds);
	buf_done(&s->json);
	buf_done(&s->bson);
	free(s->json_at);
	free(s->bson_at);
}

int main(int argc, char **argv)
{
	bool quick = argc > 1 && strcmp(argv[1], "--quick") == 0;
	struct set events = { .name = "generated events" }, quakes = { .name = "earthquakes" };
	generate(&events, quick ? 50 : 20000);
	run(&events, quick ? 1 : 5);
	if (load(&quakes, "examples/data/earthquakes.json"))
		run(&quakes, quick ? 1 : 5);
	return 0;
}
