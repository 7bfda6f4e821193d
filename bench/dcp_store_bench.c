/* Checkpoint stores with 1,024 vBuckets on three nodes: until the first event of a group that has none yet (its branches
 * are saved first), until the first event when it has them, and one save of all.
 *
 *	build/release/bench/dcp_store [--quick] [DIR]        DIR: where file and log are kept; default: a new one in /tmp
 */
#include "base/err.h"
#include "dcp/kv.h"
#include "dcp/source.h"
#include "os/env.h"
#include "tests/fake/couchbase/fake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ALL = 1024, ROUNDS = 9, ROUNDS_QUICK = 1 };

static unsigned rounds = ROUNDS;

static char folder[200];
static char seed[32];
static const char *seeds[] = { seed };
static struct fake *fake;
static struct scram_cache cache;
static struct conn_options conn;

static void die(const char *what)
{
	fprintf(stderr, "%s\n", what);
	exit(1);
}

static double now_ms(void)
{
	return (double)env_mono(env_posix()) / 1e6;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double median(double *t)
{
	qsort(t, rounds, sizeof(*t), by_size);
	return t[rounds / 2];
}

enum place { NOWHERE, FILE_, LOG_, BUCKET };
static const char *const names[] = { "none", "file", "log", "documents" };

static struct checkpoint_store *open_store(enum place place, int round)
{
	struct err e = ERR_INIT;
	struct checkpoint_store *s = NULL;
	char path[300], group[32];
	snprintf(path, sizeof(path), "%s/%s-%d", folder, names[place], round);
	int rc = 0;
	if (place == FILE_) {
		rc = checkpoint_file_open(env_posix(), path, false, &s, &e);
	} else if (place == LOG_) {
		struct checkpoint_log_options o = { .env = env_posix(), .dir = path };
		rc = checkpoint_log_open(&o, &s, &e);
	} else if (place == BUCKET) {
		static char groups[ROUNDS][32];
		struct kv_options kv = {
			.conn = &conn, .seeds = seeds, .n_seeds = 1, .timeout = 30 * NSEC_PER_SEC
		};
		snprintf(group, sizeof(group), "g%d", round);
		memcpy(groups[round], group, sizeof(group));
		rc = checkpoint_couchbase_open(&kv, groups[round], &s, &e);
	}
	if (rc < 0)
		die(e.msg);
	return s;
}

/* From opening the store to the first event, and from there to every vBucket's first. */
static double start(enum place place, int round)
{
	struct err e = ERR_INIT;
	struct dcp_source *s;
	struct dcp_batch b;
	double t0 = now_ms();
	struct checkpoint_store *store = open_store(place, round);
	struct dcp_options o = { .seeds = seeds,
				 .n_seeds = 1,
				 .user = "Administrator",
				 .password = "password",
				 .bucket = "default",
				 .group = "bench",
				 .store = store };
	if (dcp_source_open(&o, &s, &e) < 0 || dcp_source_assign_share(s, 1, 1, &e) < 0 ||
	    dcp_source_poll(s, &b, 60 * NSEC_PER_SEC, &e) != 1)
		die(e.msg);
	double t = now_ms() - t0;
	for (size_t i = 0; i < b.n; i++) /* leave something to come again */
		if (i)
			(void)dcp_source_ack(s, &b.ev[i]);
	(void)dcp_source_close(s, &e);
	checkpoint_store_free(store);
	return t;
}

static double save_all(enum place place, int round)
{
	static struct checkpoint c[ALL];
	struct err e = ERR_INIT;
	struct checkpoint_store *s = open_store(place, round);
	for (uint16_t vb = 0; vb < ALL; vb++)
		c[vb] = (struct checkpoint){ .vb = vb };
	if (checkpoint_load(s, c, ALL, &e) < 0)
		die(e.msg);
	for (uint16_t vb = 0; vb < ALL; vb++) {
		c[vb].found = true;
		c[vb].pos = (struct dcp_position){ 123456, 123000, 123999, 4711471147114711 };
	}
	double t0 = now_ms();
	if (checkpoint_save(s, c, ALL, &e) < 0)
		die(e.msg);
	double t = now_ms() - t0;
	checkpoint_store_free(s);
	return t;
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "--quick") == 0) {
		rounds = ROUNDS_QUICK;
		argc--;
		argv++;
	}
	snprintf(folder, sizeof(folder), "%.190s",
		 argc > 1 ? argv[1] : "/tmp/weir-store-bench-XXXXXX");
	if (argc <= 1 && !mkdtemp(folder))
		die("no folder");
	fake = fake_start(&(struct fake_options){ .nodes = 3, .vbuckets = ALL });
	if (!fake)
		die("no cluster");
	for (unsigned i = 0; i < ALL; i++)
		(void)fake_set(fake, i, 0, "k", SLICE_LIT("{}"));
	snprintf(seed, sizeof(seed), "127.0.0.1:%u", fake_kv_port(fake, 0));
	cache.mechanism = SASL_NONE;
	conn = (struct conn_options){ .env = env_posix(),
				      .user = "Administrator",
				      .password = "password",
				      .bucket = "default",
				      .cache = &cache,
				      .connect_timeout = 10 * NSEC_PER_SEC,
				      .noop = 5 * NSEC_PER_SEC };
	for (enum place p = NOWHERE; p <= BUCKET; p++) {
		double first[ROUNDS], again[ROUNDS], save[ROUNDS] = { 0 };
		for (unsigned i = 0; i < rounds; i++) {
			first[i] = start(p, i);
			again[i] = start(p, i);
			if (p != NOWHERE)
				save[i] = save_all(p, i);
		}
		printf("%-10s first event: new group %6.1f ms, known %6.1f ms; save of %d "
		       "vBuckets %6.1f ms\n",
		       names[p], median(first), median(again), ALL, median(save));
	}
	fake_stop(fake);
	return 0;
}
