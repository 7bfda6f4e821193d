/* dcp_bench.h: what the benchmarks of the Couchbase client share. */
#ifndef BENCH_DCP_BENCH_H
#define BENCH_DCP_BENCH_H

#include "dcp/source.h"
#include "tests/fake/couchbase/fake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static inline double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static inline void die(const char *what)
{
	fprintf(stderr, "dcp: %s\n", what);
	exit(1);
}

static inline int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

static inline double median(double *v, size_t n)
{
	qsort(v, n, sizeof(*v), by_value);
	return v[n / 2];
}

/* A cluster in a process of its own, with `docs` documents of `value` bytes. It ends when `stop` is closed. */
struct cluster {
	pid_t pid;
	uint16_t port;
	int stop;
};

static inline void load(struct fake *f, unsigned vbs, unsigned docs, size_t value)
{
	char key[24], *bytes = malloc(value + 1);
	memset(bytes, 'v', value);
	for (unsigned i = 0; i < docs; i++) {
		snprintf(key, sizeof(key), "key-%08u", i);
		(void)fake_set(f, i % vbs, 0, key, slice_of(bytes, value));
	}
	free(bytes);
}

static inline struct cluster cluster_start(const struct fake_options *o, unsigned docs,
					   size_t value)
{
	struct cluster c;
	int up[2], down[2];
	if (pipe(up) < 0 || pipe(down) < 0)
		die("pipe");
	c.pid = fork();
	if (c.pid != 0) {
		close(up[1]);
		close(down[0]);
		if (c.pid < 0 || read(up[0], &c.port, sizeof(c.port)) != sizeof(c.port))
			die("no cluster");
		close(up[0]);
		c.stop = down[1];
		return c;
	}
	close(up[0]);
	close(down[1]);
	char byte;
	struct fake *f = fake_start(o);
	if (!f)
		_exit(1);
	load(f, o->vbuckets, docs, value);
	c.port = fake_kv_port(f, 0);
	if (write(up[1], &c.port, sizeof(c.port)) != sizeof(c.port))
		_exit(1);
	(void)!read(down[0], &byte, 1);
	_exit(0);
}

static inline void cluster_stop(const struct cluster *c)
{
	close(c->stop);
	(void)waitpid(c->pid, NULL, 0);
}

#endif
