/* What the log reaches, with LMDB, SQLite and RocksDB beside it where they are installed.
 *
 *	log_bench [--quick] [--dir DIR] [--only NAME]
 *
 * Peers are run in the same minute, taking turns with the log, since disks throttle. A figure is the median of its
 * rounds. --quick runs tiny inputs, to see that nothing has rotted.
 */
#include "base/base.h"
#include "log/log.h"
#include "os/thread.h"

#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifdef HAVE_LMDB
#include <lmdb.h>
#endif
#ifdef HAVE_SQLITE
#include <sqlite3.h>
#endif
#ifdef HAVE_ROCKSDB
#include <rocksdb/c.h>
#endif

#define RECORD_BYTES 256
#define BATCH        1000
#define ROUNDS       3
#define WRITERS      64

static bool quick;
static char dir[400];
static uint8_t record[RECORD_BYTES];
static struct err e;

static void die(const char *what)
{
	fprintf(stderr, "log_bench: %s: %s\n", what, e.msg);
	exit(1);
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static const char *fresh(const char *name)
{
	static char path[500];
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	(void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return path;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

static double median(double *x, size_t n)
{
	qsort(x, n, sizeof(*x), by_value);
	return x[n / 2];
}

static double percentile(double *x, size_t n, double p)
{
	qsort(x, n, sizeof(*x), by_value);
	return x[MIN(n - 1, (size_t)((double)n * p))];
}

/* ---- the log ---- */

struct opened {
	struct log *log;
	struct log_topic *topic;
};

/* With no background flush where a peer that never syncs stands beside it. */
static uint32_t flush_interval_ms;

static struct opened open_log(const char *path, bool read_only)
{
	struct opened o;
	struct log_options options = { .create = true,
				       .read_only = read_only,
				       .flush_interval_ms = flush_interval_ms };
	if (log_open(path, &options, &o.log, &e))
		die("open");
	int rc = log_topic_open(o.log, "t", &o.topic, &e);
	if (rc == ERR_NOTFOUND)
		rc = log_topic_create(o.log, "t", 1, &o.topic, &e);
	if (rc)
		die("topic");
	return o;
}

static void append_many(struct log_topic *t, uint64_t n, size_t batch, enum log_ack ack)
{
	static struct log_record rec[BATCH];
	for (uint64_t i = 0; i < n; i += batch) {
		for (size_t k = 0; k < batch; k++)
			rec[k] = (struct log_record){ .has_value = true,
						      .value = { record, sizeof(record) } };
		if (log_append(t, 0, rec, batch, ack, NULL, &e))
			die("append");
	}
}

static double log_rate(uint64_t n, size_t batch)
{
	struct opened o = open_log(fresh("log"), false);
	double t = now();
	append_many(o.topic, n, batch, LOG_ACK_WRITTEN);
	double rate = (double)n / (now() - t);
	if (log_close(o.log, &e))
		die("close");
	fresh("log");
	return rate;
}

/* ---- peers: n records in transactions of `batch`, synced or not, until `seconds` (0: no limit) have passed ---- */

struct peer {
	const char *name;
	double (*rate)(uint64_t n, size_t batch, bool sync, double seconds);
};

#ifdef HAVE_LMDB
static double lmdb_rate(uint64_t n, size_t batch, bool sync, double seconds)
{
	MDB_env *env;
	MDB_dbi dbi;
	MDB_txn *txn;
	const char *path = fresh("lmdb");
	mkdir(path, 0700);
	mdb_env_create(&env);
	mdb_env_set_mapsize(env, (size_t)4 << 30);
	if (mdb_env_open(env, path, sync ? 0 : MDB_NOSYNC | MDB_WRITEMAP, 0600))
		die("lmdb");
	mdb_txn_begin(env, NULL, 0, &txn);
	mdb_dbi_open(txn, NULL, MDB_INTEGERKEY, &dbi);
	mdb_txn_commit(txn);
	double t = now();
	uint64_t i = 0;
	while (i < n && (seconds <= 0 || now() - t < seconds)) {
		mdb_txn_begin(env, NULL, 0, &txn);
		for (size_t k = 0; k < batch; k++, i++) {
			MDB_val key = { sizeof(i), &i }, value = { sizeof(record), record };
			if (mdb_put(txn, dbi, &key, &value, MDB_APPEND))
				die("lmdb put");
		}
		if (mdb_txn_commit(txn))
			die("lmdb commit");
	}
	double rate = (double)i / (now() - t);
	mdb_env_close(env);
	fresh("lmdb");
	return rate;
}
#endif

#ifdef HAVE_SQLITE
static double sqlite_rate(uint64_t n, size_t batch, bool sync, double seconds)
{
	sqlite3 *db;
	sqlite3_stmt *put;
	char path[600];
	const char *folder = fresh("sqlite");
	mkdir(folder, 0700);
	snprintf(path, sizeof(path), "%s/db", folder);
	if (sqlite3_open(path, &db))
		die("sqlite");
	sqlite3_exec(db, "pragma journal_mode=wal", NULL, NULL, NULL);
	sqlite3_exec(db, sync ? "pragma synchronous=full" : "pragma synchronous=off", NULL, NULL,
		     NULL);
	sqlite3_exec(db, "create table t(i integer primary key, v blob)", NULL, NULL, NULL);
	sqlite3_prepare_v2(db, "insert into t values(?,?)", -1, &put, NULL);
	double t = now();
	uint64_t i = 0;
	while (i < n && (seconds <= 0 || now() - t < seconds)) {
		sqlite3_exec(db, "begin", NULL, NULL, NULL);
		for (size_t k = 0; k < batch; k++, i++) {
			sqlite3_bind_int64(put, 1, (sqlite3_int64)i);
			sqlite3_bind_blob(put, 2, record, sizeof(record), SQLITE_STATIC);
			if (sqlite3_step(put) != SQLITE_DONE)
				die("sqlite insert");
			sqlite3_reset(put);
		}
		sqlite3_exec(db, "commit", NULL, NULL, NULL);
	}
	double rate = (double)i / (now() - t);
	sqlite3_finalize(put);
	sqlite3_close(db);
	fresh("sqlite");
	return rate;
}
#endif

#ifdef HAVE_ROCKSDB
static double rocksdb_rate(uint64_t n, size_t batch, bool sync, double seconds)
{
	char *error = NULL;
	rocksdb_options_t *o = rocksdb_options_create();
	rocksdb_options_set_create_if_missing(o, 1);
	rocksdb_t *db = rocksdb_open(o, fresh("rocksdb"), &error);
	if (!db)
		die(error);
	rocksdb_writeoptions_t *w = rocksdb_writeoptions_create();
	rocksdb_writeoptions_set_sync(w, sync);
	rocksdb_writebatch_t *b = rocksdb_writebatch_create();
	double t = now();
	uint64_t i = 0;
	while (i < n && (seconds <= 0 || now() - t < seconds)) {
		rocksdb_writebatch_clear(b);
		for (size_t k = 0; k < batch; k++, i++) {
			uint64_t key = __builtin_bswap64(i);
			rocksdb_writebatch_put(b, (char *)&key, 8, (char *)record, sizeof(record));
		}
		rocksdb_write(db, w, b, &error);
		if (error)
			die(error);
	}
	double rate = (double)i / (now() - t);
	rocksdb_writebatch_destroy(b);
	rocksdb_writeoptions_destroy(w);
	rocksdb_close(db);
	rocksdb_options_destroy(o);
	fresh("rocksdb");
	return rate;
}
#endif

static const struct peer peers[] = {
#ifdef HAVE_LMDB
	{ "lmdb", lmdb_rate },
#endif
#ifdef HAVE_SQLITE
	{ "sqlite", sqlite_rate },
#endif
#ifdef HAVE_ROCKSDB
	{ "rocksdb", rocksdb_rate },
#endif
	{ NULL, NULL },
};

/* ---- append, acknowledged when written ---- */

static void bench_append(void)
{
	double single[ROUNDS], batched[ROUNDS], flushed[ROUNDS], peer[ARRAY_LEN(peers)][ROUNDS];
	uint64_t n = quick ? 20000 : 2000000;
	(void)log_rate(n,
		       BATCH); /* memory that a virtual machine never used is slow the first time */
	for (int r = 0; r < ROUNDS; r++) {
		flush_interval_ms = UINT32_MAX;
		single[r] = log_rate(n, 1);
		batched[r] = log_rate(n, BATCH);
		flush_interval_ms = 0;
		flushed[r] = log_rate(n, BATCH);
		for (size_t i = 0; peers[i].name; i++)
			peer[i][r] = peers[i].rate(n / 4, BATCH, false, 0);
	}
	double best = 0;
	for (size_t i = 0; peers[i].name; i++) {
		double x = median(peer[i], ROUNDS);
		printf("append 256 B, %-8s batches of %d, not synced   %8.0f k/s\n", peers[i].name,
		       BATCH, x / 1e3);
		best = MAX(best, x);
	}
	double s = median(single, ROUNDS), b = median(batched, ROUNDS);
	printf("append 256 B, weir     one by one, checksummed        %8.0f k/s", s / 1e3);
	printf(best > 0 ? "   %.2f x the fastest peer's batched\n" : "\n", s / best);
	printf("append 256 B, weir     batches of %d, checksummed   %8.0f k/s", BATCH, b / 1e3);
	printf(best > 0 ? "   %.2f x the fastest peer's batched\n" : "\n", b / best);
	printf("append 256 B, weir     the same, synced every second  %8.0f k/s\n",
	       median(flushed, ROUNDS) / 1e3);
}

/* ---- durable appends ---- */

struct durable {
	struct log_topic *topic;
	double until;
	_Atomic uint64_t done;
};

static void *append_durably(void *arg)
{
	struct durable *d = arg;
	struct err own = ERR_INIT;
	uint64_t n = 0;
	while (now() < d->until) {
		struct log_record r = { .has_value = true, .value = { record, sizeof(record) } };
		if (log_append(d->topic, 0, &r, 1, LOG_ACK_DURABLE, NULL, &own)) {
			fprintf(stderr, "log_bench: %s\n", own.msg);
			exit(1);
		}
		n++;
	}
	atomic_fetch_add(&d->done, n);
	return NULL;
}

static double durable_rate(double seconds, double *flushes)
{
	struct opened o = open_log(fresh("log"), false);
	static struct thread t[WRITERS];
	memset(t, 0, sizeof(t));
	double start = now();
	struct durable d = { .topic = o.topic, .until = start + seconds };
	for (int i = 0; i < WRITERS; i++)
		if (thread_start(&t[i], "writer", append_durably, &d, &e))
			die("thread");
	for (int i = 0; i < WRITERS; i++)
		thread_join(&t[i]);
	double took = now() - start;
	struct log_stats s;
	log_stats(o.log, &s);
	*flushes = (double)s.flushes / took;
	if (log_close(o.log, &e))
		die("close");
	return (double)atomic_load(&d.done) / took;
}

static void bench_durable(void)
{
	enum { TURNS = 5 };
	double own[TURNS], flushes[TURNS], peer[ARRAY_LEN(peers)][TURNS], best = 0;
	double seconds = quick ? 0.05 : 1;
	for (int r = 0; r < TURNS; r++) {
		own[r] = durable_rate(seconds, &flushes[r]);
		for (size_t i = 0; peers[i].name; i++)
			peer[i][r] = peers[i].rate(UINT64_MAX / 2, 1, true, seconds);
	}
	for (size_t i = 0; peers[i].name; i++) {
		double x = median(peer[i], TURNS);
		printf("durable append, %-8s one sync an append           %8.0f /s\n",
		       peers[i].name, x);
		best = MAX(best, x);
	}
	double x = median(own, TURNS);
	printf("durable append, weir     %d writers                   %8.0f /s   %.0f flushes/s",
	       WRITERS, x, median(flushes, TURNS));
	printf(best > 0 ? "   %.1f x the fastest peer\n" : "\n", x / best);
}

/* ---- delivery ---- */

static void bench_delivery(void)
{
	uint64_t n = quick ? 20000 : 2000000;
	struct opened o = open_log(fresh("log"), false);
	append_many(o.topic, n, BATCH, LOG_ACK_WRITTEN);
	double all[ROUNDS];
	for (int k = 0; k < ROUNDS; k++) {
		struct log_reader *r;
		struct log_record rec;
		if (log_reader_open(o.topic, 0, 0, NULL, &r, &e))
			die("reader");
		double t = now();
		uint64_t got = 0;
		while (log_reader_next(r, &rec, &e) == 1)
			got += rec.value.len == sizeof(record);
		all[k] = (double)got / (now() - t);
		if (got != n)
			die("delivery");
		log_reader_close(r);
	}
	printf("deliver raw records from the page cache               %8.0f k/s\n",
	       median(all, ROUNDS) / 1e3);
	(void)log_close(o.log, NULL);
	fresh("log");
}

/* ---- latency ---- */

struct latency {
	_Atomic bool ready;
	_Atomic uint64_t got;
	double took[20000];
};

static void follow(struct log_topic *t, struct latency *x, uint64_t n)
{
	struct err own = ERR_INIT;
	struct log_reader *r;
	struct log_record rec;
	if (log_reader_open(t, 0, log_topic_range(t, 0, false).next, NULL, &r, &own))
		exit(1);
	atomic_store(&x->ready, true);
	while (atomic_load(&x->got) < n) {
		int rc = log_reader_next(r, &rec, &own);
		if (rc == 0)
			rc = log_reader_wait(r, -1, &own);
		else if (rc == 1) {
			double sent, at = now();
			memcpy(&sent, rec.value.p, sizeof(sent));
			uint64_t i = atomic_load(&x->got);
			x->took[i] = at - sent;
			atomic_store(&x->got, i + 1);
		}
		if (rc < 0) {
			fprintf(stderr, "log_bench: %s\n", own.msg);
			exit(1);
		}
	}
	log_reader_close(r);
}

struct follower {
	struct log_topic *topic;
	struct latency *x;
	uint64_t n;
};

static void *follow_thread(void *arg)
{
	struct follower *f = arg;
	follow(f->topic, f->x, f->n);
	return NULL;
}

static void pace(struct log_topic *t, struct latency *x, uint64_t n)
{
	while (!atomic_load(&x->ready))
		usleep(100);
	for (uint64_t i = 0; i < n; i++) {
		usleep(200); /* idle in between: the reader is asleep */
		uint8_t value[RECORD_BYTES] = { 0 };
		double sent = now();
		memcpy(value, &sent, sizeof(sent));
		struct log_record r = { .has_value = true, .value = { value, sizeof(value) } };
		if (log_append(t, 0, &r, 1, LOG_ACK_WRITTEN, NULL, &e))
			die("append");
		while (atomic_load(&x->got) <= i)
			;
	}
}

static void print_latency(const char *what, struct latency *x, uint64_t n)
{
	printf("append to delivery, %-14s p50 %6.1f us   p99 %6.1f us   max %6.1f us\n", what,
	       percentile(x->took, n, 0.5) * 1e6, percentile(x->took, n, 0.99) * 1e6,
	       percentile(x->took, n, 1) * 1e6);
}

static void bench_latency(void)
{
	uint64_t n = quick ? 200 : 10000;
	struct latency *x =
		mmap(NULL, sizeof(*x), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char path[500];
	snprintf(path, sizeof(path), "%s", fresh("log"));
	struct opened o = open_log(path, false);
	if (log_close(o.log, &e))
		die("close");
	pid_t child = fork();
	if (child == 0) {
		o = open_log(path, true);
		follow(o.topic, x, n);
		_exit(0);
	}
	o = open_log(path, false);
	pace(o.topic, x, n);
	waitpid(child, NULL, 0);
	print_latency("other process", x, n);

	memset(x, 0, sizeof(*x));
	struct follower f = { o.topic, x, n };
	struct thread t = { 0 };
	if (thread_start(&t, "follow", follow_thread, &f, &e))
		die("thread");
	pace(o.topic, x, n);
	thread_join(&t);
	print_latency("same process", x, n);
	munmap(x, sizeof(*x));
	(void)log_close(o.log, NULL);
	fresh("log");
}

/* ---- opening ---- */

static double open_time(const char *path, bool read_only)
{
	double t = now();
	struct opened o = open_log(path, read_only);
	double took = now() - t;
	if (log_topic_range(o.topic, 0, false).next == 0)
		die("empty");
	took = MAX(took, now() - t);
	(void)log_close(o.log, NULL);
	return took;
}

static void bench_open(void)
{
	uint64_t n = quick ? 20000 : 4000000;
	char path[500];
	snprintf(path, sizeof(path), "%s", fresh("log"));
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		struct opened o = open_log(path, false);
		append_many(o.topic, n, BATCH, LOG_ACK_WRITTEN);
		_exit(0); /* as if killed */
	}
	int status;
	waitpid(child, &status, 0);
	if (status)
		die("child");
	double megabytes = (double)n * (RECORD_BYTES + 4) / 1e6;
	printf("open a log of %.0f MB: after a kill, reader %.1f ms", megabytes,
	       open_time(path, true) * 1e3);
	printf(", writer (flushes what was not) %.1f ms", open_time(path, false) * 1e3);
	printf("; after a clean close, reader %.1f ms", open_time(path, true) * 1e3);
	printf(", writer %.1f ms\n", open_time(path, false) * 1e3);
	fresh("log");
}

/* ---- idle readers ---- */

static long resident_kb(void)
{
	long pages = 0, all = 0;
	FILE *f = fopen("/proc/self/statm", "r");
	if (f) {
		if (fscanf(f, "%ld %ld", &all, &pages) != 2)
			pages = 0;
		fclose(f);
	}
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static double cpu_seconds(void)
{
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e-6;
}

static void bench_idle(void)
{
	enum { N = 1000 };
	static struct log_reader *r[N];
	struct opened o = open_log(fresh("log"), false);
	append_many(o.topic, 10000, BATCH, LOG_ACK_WRITTEN);
	long before = resident_kb();
	int fd;
	for (int i = 0; i < N; i++) {
		struct log_record rec;
		if (log_reader_open(o.topic, 0, 5000, NULL, &r[i], &e) ||
		    (i < 100 && log_reader_fd(r[i], &fd, &e)))
			die("reader");
		while (log_reader_next(r[i], &rec, &e) == 1)
			;
		(void)log_reader_wait(r[i], 0, &e);
	}
	long after = resident_kb();
	double cpu = cpu_seconds();
	usleep(quick ? 10000 : 3000000);
	printf("%d idle readers: %.1f KiB each, %.1f ms of processor time in %s\n", N,
	       (double)(after - before) / N, (cpu_seconds() - cpu) * 1e3, quick ? "10 ms" : "3 s");
	for (int i = 0; i < N; i++)
		log_reader_close(r[i]);
	(void)log_close(o.log, NULL);
	fresh("log");
}

int main(int argc, char **argv)
{
	const char *base = ".", *only = NULL;
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--quick") == 0)
			quick = true;
		else if (strcmp(argv[i], "--dir") == 0 && i + 1 < argc)
			base = argv[++i];
		else if (strcmp(argv[i], "--only") == 0 && i + 1 < argc)
			only = argv[++i];
	}
	snprintf(dir, sizeof(dir), "%.300s/log-bench-%d", base, (int)getpid());
	if (mkdir(dir, 0700)) {
		perror(dir);
		return 1;
	}
	for (size_t i = 0; i < sizeof(record); i++)
		record[i] = (uint8_t)(i * 7);
	static const struct {
		const char *name;
		void (*run)(void);
	} all[] = {
		/* Those that fork come first: before any thread was started. */
		{ "latency", bench_latency }, { "open", bench_open },
		{ "append", bench_append },   { "deliver", bench_delivery },
		{ "durable", bench_durable }, { "idle", bench_idle },
	};
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		if (!only || strcmp(only, all[i].name) == 0)
			all[i].run();
		fflush(stdout);
	}
	(void)nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return 0;
}
