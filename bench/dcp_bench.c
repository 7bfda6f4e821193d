/* What reading a bucket costs: beside a client that only reads and discards the same bytes, in latency and in memory.
 *
 *	dcp [--quick] [--docs N] [--rounds N]
 *
 * The simulated cluster runs in a process of its own (one node, 64 vBuckets, values of 256 bytes). The two clients take
 * turns, and each round compares neighbours; a figure is the median of the rounds. CPU is the client process's, user and
 * system. Allocations are counted from the second half of each stream on, when everything is warm.
 *
 * Memory is the peak of a process that does nothing else: 1,024 vBuckets on three nodes, default settings.
 */
#include "bench/dcp_bench.h"

#include "base/mem.h"
#include "dcp/wire.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <sys/socket.h>

enum { VBS = 64, VALUE = 256, ROUNDS_MAX = 99, WINDOW = 16 << 20 };

static unsigned docs = 600000, rounds = 11;
static bool quick;
static atomic_ulong allocations;

struct figure {
	double seconds, cpu_us;
	unsigned long allocs;
};

static double cpu(void)
{
	struct rusage r;
	getrusage(RUSAGE_SELF, &r);
	return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1e6 +
	       (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec);
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

static struct dcp_source *open_source(uint16_t port, uint32_t window, enum mitigation_policy policy)
{
	static char seed[32];
	static const char *const seeds[] = { seed };
	struct err e = ERR_INIT;
	struct dcp_source *s;
	snprintf(seed, sizeof(seed), "127.0.0.1:%u", port);
	struct dcp_options o = { .seeds = seeds,
				 .n_seeds = 1,
				 .user = "Administrator",
				 .password = "password",
				 .bucket = "default",
				 .group = "bench",
				 .window_bytes = window,
				 .mitigation = { .policy = policy } };
	if (dcp_source_open(&o, &s, &e) < 0 || dcp_source_assign_share(s, 1, 1, &e) < 0)
		die(e.msg);
	return s;
}

static size_t poll_some(struct dcp_source *s, struct dcp_batch *b)
{
	struct err e = ERR_INIT;
	if (dcp_source_poll(s, b, 10 * NSEC_PER_SEC, &e) <= 0)
		die("the stream stopped");
	return b->n;
}

/* ---- the client under test ---- */

static struct figure weir_round(uint16_t port)
{
	struct dcp_batch b;
	double t0 = now(), c0 = cpu();
	unsigned long warm = 0;
	unsigned got = 0;
	struct dcp_source *s = open_source(port, WINDOW, MITIGATE_NONE);
	while (got < docs) {
		got += (unsigned)poll_some(s, &b);
		for (size_t i = 0; i < b.n; i++) /* as a consumer that handles events does */
			(void)dcp_source_ack(s, &b.ev[i]);
		if (!warm && got >= docs / 2)
			warm = atomic_load(&allocations);
	}
	struct figure f = { now() - t0, (cpu() - c0) / docs, atomic_load(&allocations) - warm };
	(void)dcp_source_close(s, NULL);
	return f;
}

/* ---- the client that only reads ---- */

static void put(int fd, const struct buf *b)
{
	if (write(fd, b->p, b->len) != (ssize_t)b->len)
		die("write");
}

static int drain_open(uint16_t port, struct buf *out)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons(port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	static const uint16_t features[] = { 0x06, 0x07, 0x08, 0x0a, 0x0b, 0x10, 0x12 };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	char window[16];
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		die("connect");
	wire_hello(out, 1, SLICE_LIT("{\"a\":\"drain\"}"), features, ARRAY_LEN(features));
	wire_simple(out, OP_SASL_AUTH, 2, SLICE_LIT("PLAIN"),
		    SLICE_LIT("\0Administrator\0password"));
	wire_simple(out, OP_SELECT_BUCKET, 3, SLICE_LIT("default"), SLICE_NONE);
	wire_dcp_open(out, 4, SLICE_LIT("drain:1"), DCP_OPEN_PRODUCER | DCP_OPEN_DELETE_TIMES);
	wire_dcp_control(out, 5, "enable_noop", "true");
	snprintf(window, sizeof(window), "%d", WINDOW);
	wire_dcp_control(out, 6, "connection_buffer_size", window);
	for (uint16_t vb = 0; vb < VBS; vb++)
		wire_stream_req(out, vb, 0x10000u + vb,
				&(struct wire_stream_req){ .end = UINT64_MAX,
							   .json = SLICE_LIT("{\"uid\":\"0\"}") });
	put(fd, out);
	return fd;
}

static struct figure discard_round(uint16_t port)
{
	static uint8_t in[256 << 10];
	AUTO(buf) struct buf out = BUF_INIT;
	double t0 = now(), c0 = cpu();
	size_t have = 0, unacked = 0;
	unsigned got = 0;
	int fd = drain_open(port, &out);
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

static void throughput(void)
{
	static double ratio[ROUNDS_MAX], weir[ROUNDS_MAX], drain[ROUNDS_MAX], weir_cpu[ROUNDS_MAX],
		drain_cpu[ROUNDS_MAX], beyond[ROUNDS_MAX];
	static const struct mem_allocator counting = { count_alloc, count_realloc, free };
	struct cluster c =
		cluster_start(&(struct fake_options){ .vbuckets = VBS, .checkpoint_items = 5000 },
			      docs, VALUE);
	unsigned long allocs = 0;
	mem_set_allocator(&counting);
	(void)discard_round(c.port); /* the server's first */
	for (unsigned i = 0; i < rounds; i++) {
		struct figure d = discard_round(c.port), w = weir_round(c.port);
		weir[i] = docs / w.seconds;
		drain[i] = docs / d.seconds;
		ratio[i] = 100 * d.seconds / w.seconds;
		weir_cpu[i] = w.cpu_us;
		drain_cpu[i] = d.cpu_us;
		beyond[i] = w.cpu_us - d.cpu_us;
		allocs += w.allocs;
	}
	mem_set_allocator(NULL);
	cluster_stop(&c);
	printf("%u documents of %d bytes, %d vBuckets, median of %u rounds\n", docs, VALUE, VBS,
	       rounds);
	printf("read and discard   %9.0f events/s   %6.3f us CPU per event\n",
	       median(drain, rounds), median(drain_cpu, rounds));
	printf("weir, acked        %9.0f events/s   %6.3f us CPU per event   %lu allocations in "
	       "%" PRIu64 " events (warm)\n",
	       median(weir, rounds), median(weir_cpu, rounds), allocs,
	       (uint64_t)rounds * (docs / 2));
	double middle = median(ratio, rounds);
	printf("beyond discarding  %6.3f us CPU per event; throughput %.0f %% (rounds %.0f to %.0f "
	       "%%)\n",
	       median(beyond, rounds), middle, ratio[0], ratio[rounds - 1]);
}

/* ---- latency ---- */

/* From a write to its event in the consumer's hands, one at a time. The cluster has three nodes and two replicas. */
static void latency(const char *what, enum mitigation_policy policy, int persist_ms)
{
	enum { WRITES = 2000 };
	static double t[WRITES];
	struct dcp_batch b;
	char key[24];
	unsigned n = quick ? 100 : WRITES;
	struct fake *f = fake_start(&(struct fake_options){
		.nodes = 3, .vbuckets = VBS, .replicas = 2, .persist_delay_ms = persist_ms });
	if (!f)
		die("no cluster");
	struct dcp_source *s = open_source(fake_kv_port(f, 0), 0, policy);
	struct dcp_status st = { 0 };
	while (st.n_streaming < VBS)
		(void)dcp_source_status(s, &st, NULL, NULL);
	for (unsigned i = 0; i < n; i++) {
		snprintf(key, sizeof(key), "key-%u", i);
		double start = now();
		(void)fake_set(f, (i * 7) % VBS, 0, key, SLICE_LIT("{}"));
		(void)poll_some(s, &b);
		t[i] = (now() - start) * 1e3;
		(void)dcp_source_ack_batch(s, b.ev, b.n);
	}
	(void)median(t, n);
	printf("latency, %-34s p50 %7.3f ms   p99 %7.3f ms   max %7.3f ms\n", what, t[n / 2],
	       t[n * 99 / 100], t[n - 1]);
	(void)dcp_source_close(s, NULL);
	fake_stop(f);
}

/* ---- memory ---- */

static double status_mib(const char *field)
{
	char line[128];
	unsigned long kib = 0;
	FILE *f = fopen("/proc/self/status", "r");
	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, field, strlen(field)) == 0)
			(void)sscanf(line + strlen(field), ": %lu", &kib);
	if (f)
		fclose(f);
	return (double)kib / 1024;
}

static void add_received(void *arg, const struct dcp_vbucket_status *v)
{
	*(uint64_t *)arg += v->received.seqno;
}

/* Until the windows are full: nothing more is received for a while. */
static void stall(struct dcp_source *s)
{
	uint64_t before, received = UINT64_MAX;
	do {
		before = received;
		received = 0;
		usleep(quick ? 100000 : 700000);
		(void)dcp_source_status(s, NULL, add_received, &received);
	} while (received != before);
}

/* In a process of its own. */
static int memory_of(const char *how, uint16_t port, unsigned n)
{
	struct dcp_batch b;
	double base = status_mib("VmRSS");
	struct dcp_source *s = open_source(port, 0, MITIGATE_NONE);
	if (strcmp(how, "stalled") == 0)
		stall(s);
	for (unsigned got = 0; got < n;) {
		got += (unsigned)poll_some(s, &b);
		(void)dcp_source_ack_batch(s, b.ev, b.n);
	}
	double after = status_mib("VmRSS");
	printf("peak %5.1f MiB, %4.1f when all is taken, %3.1f before it was opened\n",
	       status_mib("VmHWM"), after, base);
	(void)dcp_source_close(s, NULL);
	return 0;
}

static void memory(const char *what, const char *how, unsigned n, size_t value)
{
	struct cluster c = cluster_start(&(struct fake_options){ .nodes = 3,
								 .vbuckets = 1024,
								 .checkpoint_items = 5000 },
					 n, value);
	char port[16], count[16];
	snprintf(port, sizeof(port), "%u", c.port);
	snprintf(count, sizeof(count), "%u", n);
	printf("memory, %-36s ", what);
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		execl("/proc/self/exe", "dcp", "--memory", how, port, count, (char *)NULL);
		_exit(1);
	}
	int status;
	if (waitpid(pid, &status, 0) < 0 || status != 0)
		die("the process that is measured failed");
	cluster_stop(&c);
}

int main(int argc, char **argv)
{
	if (argc == 5 && strcmp(argv[1], "--memory") == 0)
		return memory_of(argv[2], (uint16_t)atoi(argv[3]), (unsigned)atoi(argv[4]));
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--quick") == 0) {
			docs = 5000;
			rounds = 3;
			quick = true;
		} else if (strcmp(argv[i], "--docs") == 0 && i + 1 < argc) {
			docs = (unsigned)atoi(argv[++i]);
		} else if (strcmp(argv[i], "--rounds") == 0 && i + 1 < argc) {
			rounds = (unsigned)atoi(argv[++i]);
			rounds = MAX(1u, MIN(rounds, (unsigned)ROUNDS_MAX));
		} else {
			die("usage: dcp [--quick] [--docs N] [--rounds N]");
		}
	}
	throughput();
	latency("no mitigation", MITIGATE_NONE, 0);
	latency("all copies, persisted at once", MITIGATE_ALL, 0);
	latency("all copies, persisted after 10 ms", MITIGATE_ALL, 10);
	unsigned some = quick ? 10000 : 300000;
	memory("a consumer that keeps up", "busy", some, VALUE);
	memory("one that stalls", "stalled", some, VALUE);
	memory("one that stalls, documents of 8 bytes", "stalled", 3 * some, 8);
	return 0;
}
