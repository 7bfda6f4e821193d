/* dcp_measured.h: a source in a process of its own, whose memory and descriptors the test can see. For dcp_e2e_*_faults.
 *
 *	this process                    the client (this program once more, "measured" and its orders)
 *	simulated cluster    ◀───────▶  source
 *	reads  ◀─────────── shared ───  writes what it measures
 */
#ifndef TESTS_DCP_MEASURED_H
#define TESTS_DCP_MEASURED_H

#include "tests/dcp_world.h"

#include <dirent.h>
#include <signal.h>
#include <sys/wait.h>

enum measured_job { JOB_STALL, JOB_RECONNECT };

struct measured {
	/* orders */
	enum measured_job job;
	uint16_t port;
	uint32_t window, noop_ms;
	/* what the test says while it runs */
	_Atomic bool go_on; /* JOB_STALL: poll now; JOB_RECONNECT: measure, and end */
	/* what is measured: bytes, numbers */
	_Atomic bool ready, settled, done;
	_Atomic uint64_t rss_before, rss_stalled, rss_end, rss_most;
	_Atomic uint64_t events, bytes, reconnects;
	_Atomic int fds_before, fds_end;
	char last_error[256]; /* of a connection; written before `done` is answered */
};

static inline uint64_t measured_rss(const char *field)
{
	char line[256];
	unsigned long long kib = 0;
	FILE *f = fopen("/proc/self/status", "r");
	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, field, strlen(field)) == 0)
			kib = strtoull(line + strlen(field) + 1, NULL, 10);
	if (f)
		fclose(f);
	return (uint64_t)kib << 10;
}

static inline int measured_fds(void)
{
	int n = 0;
	DIR *d = opendir("/proc/self/fd");
	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

static inline struct measured *measured_map(int fd)
{
	void *p = mmap(NULL, sizeof(struct measured), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(p != MAP_FAILED);
	return p;
}

static inline bool measured_wait(_Atomic bool *flag, nsec limit)
{
	for (nsec deadline = now() + limit; !*flag && now() < deadline;)
		usleep(1000);
	return *flag;
}

static inline pid_t measured_start(struct measured *m, int fd)
{
	char number[16];
	(void)snprintf(number, sizeof(number), "%d", fd);
	m->ready = m->settled = m->done = m->go_on = false;
	fflush(NULL);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		execl("/proc/self/exe", "measured", "measured", number, NULL);
		_exit(127);
	}
	return pid;
}

static inline void measured_end(pid_t pid)
{
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* ---- in the client's process ---- */

static inline void measured_poll(struct measured *m, struct world *w, nsec wait)
{
	struct err e = ERR_INIT;
	struct dcp_batch b;
	int rc = dcp_source_poll(w->source, &b, wait, &e);
	if (rc < 0)
		fail_msg("poll: %s", e.msg);
	for (size_t i = 0; rc > 0 && i < b.n; i++) {
		m->events++;
		m->bytes += b.ev[i].value.len;
	}
	if (rc > 0)
		(void)dcp_source_ack_batch(w->source, b.ev, b.n);
}

static inline uint64_t measured_reconnects(struct world *w)
{
	struct dcp_status st = { 0 };
	(void)dcp_source_status(w->source, &st, NULL, NULL);
	return st.reconnects;
}

/* Takes nothing until it is told to; then everything. */
static inline void measured_stall(struct measured *m, struct world *w)
{
	m->ready = true;
	while (!m->go_on)
		usleep(10000);
	m->rss_stalled = measured_rss("VmRSS:");
	m->settled = true;
	while (!m->done)
		measured_poll(m, w, 20 * NSEC_PER_MS);
}

static inline bool measured_streaming(struct world *w)
{
	struct dcp_status st = { 0 };
	(void)dcp_source_status(w->source, &st, NULL, NULL);
	return st.n_assigned && st.n_streaming == st.n_assigned;
}

/* Reads on while its connections are cut. */
static inline void measured_reconnect(struct measured *m, struct world *w)
{
	bool stood = false;
	while (m->reconnects < 200 || !measured_streaming(w)) {
		measured_poll(m, w, NSEC_PER_MS);
		m->reconnects = measured_reconnects(w);
		if (m->reconnects >= 100 && !stood) {
			usleep(300000); /* a backlog, so that the memory kept for one is there */
			stood = true;
		}
	}
	m->rss_before = measured_rss("VmRSS:");
	m->fds_before = measured_fds();
	m->ready = true;
	while (!m->go_on || !measured_streaming(w)) {
		measured_poll(m, w, NSEC_PER_MS);
		m->reconnects = measured_reconnects(w);
	}
	m->fds_end = measured_fds();
	m->rss_end = measured_rss("VmRSS:");
	m->settled = true;
	while (!m->done)
		usleep(1000);
}

static inline int measured_main(char **argv)
{
	struct measured *m = measured_map(atoi(argv[2]));
	struct world w = { .vbs = 0 };
	(void)snprintf(w.seed, sizeof(w.seed), "127.0.0.1:%u", m->port);
	w.seeds[0] = w.seed;
	world_options(&w);
	w.o.window_bytes = m->window;
	w.o.noop = (nsec)m->noop_ms * NSEC_PER_MS;
	w.o.backoff_max = 5 * NSEC_PER_MS;
	if (m->job == JOB_STALL)
		m->rss_before = measured_rss("VmRSS:");
	world_open(&w);
	if (m->job == JOB_STALL)
		measured_stall(m, &w);
	else
		measured_reconnect(m, &w);
	m->reconnects = measured_reconnects(&w);
	(void)snprintf(m->last_error, sizeof(m->last_error), "%s", world_status(&w).last_error);
	m->rss_most = measured_rss("VmHWM:");
	world_close(&w);
	return 0;
}

#endif
