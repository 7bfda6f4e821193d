/* What reading a bucket costs, beside a client that only reads and discards the same bytes.
 *
 *	dcp_bench [--quick] [--docs N]
 *
 * The simulated cluster runs in a process of its own (one node, 64 vBuckets, values of 256 bytes). The two clients take
 * turns; a figure is the median of the rounds. CPU is the client process's, user and system. Allocations are counted
 * from the second half of the stream on, when everything is warm.
 */
#include "base/mem.h"
#include "dcp/source.h"
#include "dcp/wire.h"
#include "tests/fake/couchbase/fake.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { VBS = 64, VALUE = 256, ROUNDS = 5, WINDOW = 16 << 20 };

static unsigned docs = 300000;
static atomic_ulong allocations;

struct figure {
	double seconds, cpu_us, allocs;
};

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double cpu(void)
{
	struct rusage r;
	getrusage(RUSAGE_SELF, &r);
	return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1e6 +
	       (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec);
}

static void die(const char *what)
{
	fprintf(stderr, "dcp_bench: %s\n", what);
	exit(1);
}

static void *count_alloc(size_t n)
{
	atomic_fetch_add(&allocations, 1);
	return malloc(n);
}

static void *count_realloc(void *p, size_t n)
{
	atomic_fetch_add(&allocations, 1);
	return realloc(p, n);
}

/* ---- the cluster's process ---- */

static pid_t serve(uint16_t *port, int *stop)
{
	int up[2], down[2];
	if (pipe(up) < 0 || pipe(down) < 0)
		die("pipe");
	pid_t pid = fork();
	if (pid != 0) {
		if (pid < 0 || read(up[0], port, sizeof(*port)) != sizeof(*port))
			die("no cluster");
		close(up[1]);
		close(down[0]);
		*stop = down[1];
		return pid;
	}
	close(up[0]);
	close(down[1]);
	struct fake *f =
		fake_start(&(struct fake_options){ .vbuckets = VBS, .checkpoint_items = 5000 });
	char value[VALUE + 1], key[24], byte;
	if (!f)
		_exit(1);
	memset(value, 'v', VALUE);
	for (unsigned i = 0; i < docs; i++) {
		snprintf(key, sizeof(key), "key-%08u", i);
		(void)fake_set(f, i % VBS, 0, key, slice_of(value, VALUE));
	}
	uint16_t p = fake_kv_port(f, 0);
	if (write(up[1], &p, sizeof(p)) != sizeof(p))
		_exit(1);
	(void)!read(down[0], &byte, 1);
	_exit(0);
}

/* ---- the client under test ---- */

static struct figure weir_round(uint16_t port)
{
	struct err e = ERR_INIT;
	struct dcp_source *s;
	struct dcp_batch b;
	char seed[32];
	const char *seeds[] = { seed };
	snprintf(seed, sizeof(seed), "127.0.0.1:%u", port);
	struct dcp_options o = { .seeds = seeds,
				 .n_seeds = 1,
				 .user = "Administrator",
				 .password = "password",
				 .bucket = "default",
				 .group = "bench",
				 .window_bytes = WINDOW };
	double t0 = now(), c0 = cpu();
	unsigned long warm = 0;
	unsigned got = 0;
	if (dcp_source_open(&o, &s, &e) < 0 || dcp_source_assign_share(s, 1, 1, &e) < 0)
		die(e.msg);
	while (got < docs) {
		if (dcp_source_poll(s, &b, 5 * NSEC_PER_SEC, &e) <= 0)
			die("the stream stopped");
		for (size_t i = 0; i < b.n;
		     i++) /* one by one, as a consumer that handles events does */
			(void)dcp_source_ack(s, &b.ev[i]);
		got += (unsigned)b.n;
		if (!warm && got >= docs / 2)
			warm = atomic_load(&allocations);
	}
	struct figure f = { now() - t0, (cpu() - c0) / docs,
			    (double)(atomic_load(&allocations) - warm) / (docs / 2) };
	(void)dcp_source_close(s, &e);
	return f;
}

/* ---- the client that only reads ---- */

static void put(int fd, const struct buf *b)
{
	if (write(fd, b->p, b->len) != (ssize_t)b->len)
		die("write");
}

static struct figure discard_round(uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons(port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	static const uint16_t features[] = { 0x06, 0x07, 0x08, 0x0a, 0x0b, 0x10, 0x12 };
	static uint8_t in[256 << 10];
	AUTO(buf) struct buf out = BUF_INIT;
	double t0 = now(), c0 = cpu();
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	char window[16];
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		die("connect");
	wire_hello(&out, 1, SLICE_LIT("{\"a\":\"drain\"}"), features, ARRAY_LEN(features));
	wire_simple(&out, OP_SASL_AUTH, 2, SLICE_LIT("PLAIN"),
		    SLICE_LIT("\0Administrator\0password"));
	wire_simple(&out, OP_SELECT_BUCKET, 3, SLICE_LIT("default"), SLICE_NONE);
	wire_dcp_open(&out, 4, SLICE_LIT("drain:1"), DCP_OPEN_PRODUCER | DCP_OPEN_DELETE_TIMES);
	wire_dcp_control(&out, 5, "enable_noop", "true");
	snprintf(window, sizeof(window), "%d", WINDOW);
	wire_dcp_control(&out, 6, "connection_buffer_size", window);
	for (uint16_t vb = 0; vb < VBS; vb++)
		wire_stream_req(&out, vb, 0x10000u + vb,
				&(struct wire_stream_req){ .end = UINT64_MAX,
							   .json = SLICE_LIT("{\"uid\":\"0\"}") });
	put(fd, &out);
	size_t have = 0, unacked = 0;
	unsigned got = 0;
	while (got < docs) {
		ssize_t n = read(fd, in + have, sizeof(in) - have);
		if (n <= 0)
			die("the drain was cut off");
		have += (size_t)n;
		size_t at = 0;
		while (have - at >= PACKET_HEADER) { /* nothing is looked at but the header */
			size_t len = PACKET_HEADER + get_be32(in + at + 8);
			if (have - at < len)
				break;
			got += in[at + 1] == OP_DCP_MUTATION;
			unacked += in[at] == MAGIC_REQUEST ? len : 0;
			at += len;
		}
		memmove(in, in + at, have - at);
		have -= at;
		if (unacked > WINDOW / 4) {
			buf_reset(&out);
			wire_buffer_ack(&out, (uint32_t)unacked);
			put(fd, &out);
			unacked = 0;
		}
	}
	close(fd);
	return (struct figure){ now() - t0, (cpu() - c0) / docs, 0 };
}

static int by_cpu(const void *a, const void *b)
{
	double x = ((const struct figure *)a)->cpu_us, y = ((const struct figure *)b)->cpu_us;
	return x < y ? -1 : x > y;
}

static int by_time(const void *a, const void *b)
{
	double x = ((const struct figure *)a)->seconds, y = ((const struct figure *)b)->seconds;
	return x < y ? -1 : x > y;
}

static double median_cpu(struct figure *f)
{
	qsort(f, ROUNDS, sizeof(*f), by_cpu);
	return f[ROUNDS / 2].cpu_us;
}

static double median_time(struct figure *f)
{
	qsort(f, ROUNDS, sizeof(*f), by_time);
	return f[ROUNDS / 2].seconds;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

/* From a write to its event in the consumer's hands, one at a time. The cluster has three nodes and two replicas. */
static void latency(const char *what, enum mitigation_policy policy, int persist_ms)
{
	enum { WRITES = 2000 };
	static double t[WRITES];
	struct err e = ERR_INIT;
	struct dcp_source *s;
	struct dcp_batch b;
	char seed[32], key[24];
	const char *seeds[] = { seed };
	unsigned n = docs < 100000 ? 100 : WRITES;
	struct fake *f = fake_start(&(struct fake_options){
		.nodes = 3, .vbuckets = VBS, .replicas = 2, .persist_delay_ms = persist_ms });
	if (!f)
		die("no cluster");
	snprintf(seed, sizeof(seed), "127.0.0.1:%u", fake_kv_port(f, 0));
	struct dcp_options o = { .seeds = seeds,
				 .n_seeds = 1,
				 .user = "Administrator",
				 .password = "password",
				 .bucket = "default",
				 .group = "bench",
				 .mitigation = { .policy = policy } };
	struct dcp_status st = { 0 };
	if (dcp_source_open(&o, &s, &e) < 0 || dcp_source_assign_share(s, 1, 1, &e) < 0)
		die(e.msg);
	while (st.n_streaming < VBS)
		(void)dcp_source_status(s, &st, NULL, NULL);
	for (unsigned i = 0; i < n; i++) {
		snprintf(key, sizeof(key), "key-%u", i);
		double start = now();
		(void)fake_set(f, (i * 7) % VBS, 0, key, SLICE_LIT("{}"));
		if (dcp_source_poll(s, &b, 5 * NSEC_PER_SEC, &e) <= 0)
			die("an event did not come");
		t[i] = (now() - start) * 1e3;
		(void)dcp_source_ack_batch(s, b.ev, b.n);
	}
	qsort(t, n, sizeof(t[0]), by_value);
	printf("latency, %-34s p50 %7.3f ms   p99 %7.3f ms   max %7.3f ms\n", what, t[n / 2],
	       t[n * 99 / 100], t[n - 1]);
	(void)dcp_source_close(s, &e);
	fake_stop(f);
}

static void wait_streaming(struct dcp_source *s, uint32_t n)
{
	struct dcp_status st = { 0 };
	while (st.n_streaming < n) {
		usleep(200);
		(void)dcp_source_status(s, &st, NULL, NULL);
	}
}

/* 1,024 vBuckets on three nodes: until all stream, and until 128 more do. */
static void rebalance(void)
{
	enum { ALL = 1024, MOVE = 128 };
	struct err e = ERR_INIT;
	struct dcp_source *s;
	char seed[32];
	const char *seeds[] = { seed };
	static uint16_t vb[ALL];
	struct fake *f = fake_start(&(struct fake_options){ .nodes = 3, .vbuckets = ALL });
	if (!f)
		die("no cluster");
	for (unsigned i = 0; i < ALL; i++) {
		vb[i] = (uint16_t)i;
		(void)fake_set(f, i, 0, "k", SLICE_LIT("{}"));
	}
	snprintf(seed, sizeof(seed), "127.0.0.1:%u", fake_kv_port(f, 0));
	struct dcp_options o = { .seeds = seeds,
				 .n_seeds = 1,
				 .user = "Administrator",
				 .password = "password",
				 .bucket = "default",
				 .group = "bench" };
	double t0 = now();
	if (dcp_source_open(&o, &s, &e) < 0 || dcp_source_assign(s, vb, ALL - MOVE, &e) < 0)
		die(e.msg);
	wait_streaming(s, ALL - MOVE);
	double t1 = now();
	if (dcp_source_assign(s, vb, ALL, &e) < 0)
		die(e.msg);
	wait_streaming(s, ALL);
	double t2 = now();
	if (dcp_source_assign(s, vb, ALL - MOVE, &e) < 0)
		die(e.msg);
	printf("start of %d vBuckets %.0f ms; %d more %.1f ms; letting them go %.1f ms\n",
	       ALL - MOVE, (t1 - t0) * 1e3, MOVE, (t2 - t1) * 1e3, (now() - t2) * 1e3);
	(void)dcp_source_close(s, &e);
	fake_stop(f);
}

int main(int argc, char **argv)
{
	struct figure weir[ROUNDS], drain[ROUNDS];
	uint16_t port;
	int stop;
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--quick") == 0)
			docs = 5000;
		else if (strcmp(argv[i], "--docs") == 0 && i + 1 < argc)
			docs = (unsigned)atoi(argv[++i]);
		else
			die("usage: dcp_bench [--quick] [--docs N]");
	}
	pid_t pid = serve(&port, &stop);
	static const struct mem_allocator counting = { count_alloc, count_realloc, free };
	mem_set_allocator(&counting);
	double allocs = 0;
	for (int i = 0; i < ROUNDS; i++) {
		drain[i] = discard_round(port);
		weir[i] = weir_round(port);
		allocs = MAX(allocs, weir[i].allocs);
	}
	double wc = median_cpu(weir), dc = median_cpu(drain), wt = median_time(weir),
	       dt = median_time(drain);
	struct rusage r;
	getrusage(RUSAGE_SELF, &r);
	printf("%u documents of %d bytes, %d vBuckets, median of %d rounds\n", docs, VALUE, VBS,
	       ROUNDS);
	printf("read and discard   %9.0f events/s   %6.3f us CPU per event\n", docs / dt, dc);
	printf("weir, acked        %9.0f events/s   %6.3f us CPU per event   %.4f allocations per "
	       "event (warm)\n",
	       docs / wt, wc, allocs);
	printf("beyond discarding  %6.3f us CPU per event; throughput %.0f %%; peak memory %ld "
	       "MiB\n",
	       wc - dc, 100 * dt / wt, r.ru_maxrss / 1024);
	if (getenv("ONLY"))
		return 0;
	latency("no mitigation", MITIGATE_NONE, 0);
	latency("all copies, persisted at once", MITIGATE_ALL, 0);
	latency("all copies, persisted after 10 ms", MITIGATE_ALL, 10);
	rebalance();
	close(stop);
	(void)waitpid(pid, NULL, 0);
	return 0;
}
