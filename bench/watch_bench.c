/* watch_bench.c: change streams through the public API.
 *
 *	delivery   events of 256-byte documents from the page cache, through a filter of two terms that lets all pass, or
 *	           stops at the first term, at the second, or at the scope: time for each entry
 *	latency    from the append (acknowledged when written) to next() returning in a waiting thread, and in another process
 *	idle       1,000 open streams with nothing to do: memory of each, CPU of all
 *
 * --quick: a tiny input, to see that it works.
 */
#include "weir/weir.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static weir_error e;
static char dir[64] = "/tmp/weir-bench-XXXXXX";

static void must(int rc, const char *what)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "watch_bench: %s: %s %s\n", what, weir_error_name(rc), e.message);
	exit(1);
}

static double seconds(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* ---- delivery ---- */

static void fill(weir_oplog *o, int count)
{
	weir_batch *b;
	char doc[512];
	must(weir_batch_new(o, &b, &e), "batch");
	for (int i = 0; i < count; i++) {
		snprintf(doc, sizeof(doc),
			 "{\"_id\":%d,\"user\":\"user%d\",\"age\":%d,\"active\":%s,\"score\":%d.5,"
			 "\"text\":\"%0150d\"}",
			 i, i % 1000, i % 90, i % 2 ? "true" : "false", i, i);
		must(weir_batch_insert(b, "shop", "users", weir_json(doc), NULL, &e), "insert");
		if (weir_batch_count(b) == 500 || i + 1 == count)
			must(weir_batch_commit(b, WEIR_ACK_WRITTEN, NULL, NULL, NULL, &e),
			     "commit");
	}
	weir_batch_free(b);
	must(weir_oplog_flush(o, &e), "flush");
}

static double one_pass(weir_oplog *o, const char *coll, const char *filter, bool batched,
		       int expected)
{
	weir_watch_options opt = { .size = sizeof(opt),
				   .start = WEIR_START_OLDEST,
				   .filter = filter ? weir_json(filter) : weir_none(),
				   .batch_size = 1000 };
	weir_watch *w;
	const weir_event *ev, *const *evs;
	size_t n;
	int got = 0, rc;
	must(weir_watch_open(o, "shop", coll, &opt, &w, &e), "watch");
	double start = seconds(CLOCK_THREAD_CPUTIME_ID);
	if (batched)
		while ((rc = weir_watch_next_batch(w, 0, &evs, &n, &e)) == 1)
			got += (int)n;
	else
		while ((rc = weir_watch_try_next(w, &ev, &e)) == 1)
			got++;
	double took = seconds(CLOCK_THREAD_CPUTIME_ID) - start;
	must(rc, "next");
	weir_watch_free(w);
	if (got != expected) {
		fprintf(stderr, "watch_bench: %d events, expected %d\n", got, expected);
		exit(1);
	}
	return took;
}

static void delivery(weir_oplog *o, int count)
{
	static const struct {
		const char *what, *coll, *filter;
		bool batched, all;
	} cases[] = {
		{ "no filter", "users", NULL, false, true },
		{ "two terms, all pass", "users",
		  "{\"operationType\":\"insert\",\"fullDocument.age\":{\"$gte\":0}}", false, true },
		{ "the same, in batches", "users",
		  "{\"operationType\":\"insert\",\"fullDocument.age\":{\"$gte\":0}}", true, true },
		{ "two terms, second stops all", "users",
		  "{\"operationType\":\"insert\",\"fullDocument.age\":{\"$gte\":100}}", false,
		  false },
		{ "two terms, first stops all", "users",
		  "{\"operationType\":\"delete\",\"fullDocument.age\":{\"$gte\":0}}", false,
		  false },
		{ "another collection", "orders", NULL, false, false },
	};
	printf("delivery of %d events from the page cache (thread CPU time, best of 3)\n", count);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		double best = 1e9;
		for (int round = 0; round < 3; round++) {
			double t = one_pass(o, cases[i].coll, cases[i].filter, cases[i].batched,
					    cases[i].all ? count : 0);
			best = t < best ? t : best;
		}
		printf("  %-28s %8.3f us/entry  %7.2f M/s\n", cases[i].what, best / count * 1e6,
		       count / best * 1e-6);
	}
}

/* ---- latency ---- */

static int by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

static void print_latency(const char *what, int64_t *ns, int n)
{
	qsort(ns, (size_t)n, sizeof(*ns), by_value);
	printf("  %-28s p50 %7.1f us  p99 %7.1f us  max %8.1f us\n", what, (double)ns[n / 2] / 1000,
	       (double)ns[n * 99 / 100] / 1000, (double)ns[n - 1] / 1000);
}

struct receiver {
	weir_watch *w;
	int64_t *ns;
	int count;
};

static void *receive(void *arg)
{
	struct receiver *r = arg;
	weir_error mine = WEIR_ERROR_INIT;
	const weir_event *ev;
	for (int i = 0; i < r->count; i++) {
		int64_t sent;
		if (weir_watch_next(r->w, 10000, &ev, &mine) != 1 ||
		    !weir_get_int64(weir_event_full_document(ev), "sent", &sent)) {
			fprintf(stderr, "watch_bench: receiving: %s\n", mine.message);
			exit(1);
		}
		r->ns[i] = now_ns() - sent;
	}
	return NULL;
}

static void send_all(weir_oplog *o, const char *coll, int count)
{
	const weir_append_options written = { .size = sizeof(written), .ack = WEIR_ACK_WRITTEN };
	char doc[64];
	usleep(20000);
	for (int i = 0; i < count; i++) {
		usleep(200);
		snprintf(doc, sizeof(doc), "{\"_id\":%d,\"sent\":%lld}", i, (long long)now_ns());
		must(weir_oplog_insert(o, "shop", coll, weir_json(doc), &written, NULL, &e),
		     "insert");
	}
}

static void latency_thread(weir_oplog *o, int count)
{
	weir_watch_options opt = { .size = sizeof(opt), .follow_written = true };
	struct receiver r = { .ns = calloc((size_t)count, sizeof(int64_t)), .count = count };
	pthread_t t;
	must(weir_watch_open(o, "shop", "thread", &opt, &r.w, &e), "watch");
	if (!r.ns || pthread_create(&t, NULL, receive, &r) != 0)
		exit(1);
	send_all(o, "thread", count);
	pthread_join(t, NULL);
	print_latency("to a thread", r.ns, count);
	weir_watch_free(r.w);
	free(r.ns);
}

/* The child opens the log as a reader of its own and writes what it measured to the pipe. */
static void receive_in_child(int out, int count)
{
	weir_oplog_options ro = { .size = sizeof(ro), .read_only = true };
	weir_watch_options opt = { .size = sizeof(opt), .follow_written = true };
	struct receiver r = { .ns = calloc((size_t)count, sizeof(int64_t)), .count = count };
	weir_oplog *o;
	must(weir_oplog_open(dir, &ro, &o, &e), "open in the child");
	must(weir_watch_open(o, "shop", "process", &opt, &r.w, &e), "watch in the child");
	if (!r.ns || write(out, "r", 1) != 1)
		_exit(1);
	receive(&r);
	size_t bytes = (size_t)count * sizeof(int64_t);
	for (size_t at = 0; at < bytes;) {
		ssize_t n = write(out, (char *)r.ns + at, bytes - at);
		if (n <= 0)
			_exit(1);
		at += (size_t)n;
	}
	_exit(0);
}

static void latency_process(int count)
{
	int fd[2];
	char ready;
	weir_oplog *o;
	if (pipe(fd) != 0)
		exit(1);
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		close(fd[0]);
		receive_in_child(fd[1], count);
	}
	close(fd[1]);
	if (pid < 0 || read(fd[0], &ready, 1) != 1)
		exit(1);
	must(weir_oplog_open(dir, NULL, &o, &e), "open");
	send_all(o, "process", count);
	int64_t *ns = calloc((size_t)count, sizeof(int64_t));
	size_t bytes = (size_t)count * sizeof(int64_t);
	for (size_t at = 0; ns && at < bytes;) {
		ssize_t n = read(fd[0], (char *)ns + at, bytes - at);
		if (n <= 0)
			exit(1);
		at += (size_t)n;
	}
	waitpid(pid, NULL, 0);
	close(fd[0]);
	if (!ns)
		exit(1);
	print_latency("to another process", ns, count);
	free(ns);
	must(weir_oplog_close(o, &e), "close");
}

/* ---- idle ---- */

static long rss_kib(void)
{
	long pages = 0, resident = 0;
	FILE *f = fopen("/proc/self/statm", "r");
	if (!f || fscanf(f, "%ld %ld", &pages, &resident) != 2)
		exit(1);
	fclose(f);
	return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static void idle(weir_oplog *o, int count, int ms)
{
	weir_watch **w = calloc((size_t)count, sizeof(*w));
	struct pollfd *p = calloc((size_t)count, sizeof(*p));
	struct rlimit files = { 4096, 4096 };
	if (!w || !p)
		exit(1);
	(void)getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &files);
	for (int i = -1; i < count; i++) { /* the first one pays for what all share */
		weir_watch_options opt = { .size = sizeof(opt),
					   .filter = weir_json(
						   "{\"operationType\":\"insert\",\"fullDocument."
						   "age\":{\"$gte\":1000}}") };
		static long before;
		weir_watch *one;
		const weir_event *ev;
		must(weir_watch_open(o, "shop", "users", &opt, &one, &e), "watch");
		must(weir_watch_try_next(one, &ev, &e), "next");
		int fd;
		must(weir_watch_fd(one, &fd, &e), "descriptor");
		must(weir_watch_try_next(one, &ev, &e), "next");
		if (i < 0) {
			before = rss_kib();
			weir_watch_free(one);
			continue;
		}
		w[i] = one;
		p[i] = (struct pollfd){ .fd = fd, .events = POLLIN };
		if (i == count - 1)
			printf("idle: %d streams, each with a filter and a descriptor\n  %-28s "
			       "%8.2f KiB each\n",
			       count, "memory (resident)", (double)(rss_kib() - before) / count);
	}
	(void)poll(p, (nfds_t)count, ms / 4); /* what opening left to do is done */
	double cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
	int ready = poll(p, (nfds_t)count, ms);
	cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	printf("  %-28s %8.3f %% of one core over %d ms, %d woken\n", "CPU",
	       cpu / (ms * 1e-3) * 100, ms, ready);
	weir_watch_stats s = { .size = sizeof(s) };
	must(weir_watch_stat(w[0], &s, &e), "stat");
	printf("  %-28s %8.2f KiB\n", "of which change/ holds", (double)s.memory_bytes / 1024);
	for (int i = 0; i < count; i++)
		weir_watch_free(w[i]);
	free(w);
	free(p);
}

int main(int argc, char **argv)
{
	bool quick = argc > 1 && !strcmp(argv[1], "--quick");
	char command[128];
	weir_oplog *o;
	if (!mkdtemp(dir))
		return 1;
	must(weir_oplog_open(dir, NULL, &o, &e), "open");
	fill(o, quick ? 2000 : 1000000);
	delivery(o, quick ? 2000 : 1000000);
	printf("latency from append to delivery\n");
	latency_thread(o, quick ? 50 : 5000);
	idle(o, quick ? 20 : 1000, quick ? 50 : 2000);
	must(weir_oplog_close(o, &e), "close");
	latency_process(quick ? 50 : 5000);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command) == 0 ? 0 : 1;
}
