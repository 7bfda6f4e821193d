/* B7: connections that are half open, cut again and again, nodes that are gone, names that lead nowhere. */
#include "tests/dcp_measured.h"

#include <arpa/inet.h>
#include <pthread.h>

/* Where a time is judged, a busy machine may spoil one try or another: who is too slow by itself is so in each. */
enum { VBS = 16, TRIES = 8 };

/* ---- half open ---- */

/* How long it took to notice that node 1 says nothing any more. */
static nsec notice(struct world *w, bool busy, unsigned *counter)
{
	struct dcp_status st = { 0 };
	(void)dcp_source_status(w->source, &st, NULL, NULL);
	uint64_t before = st.reconnects;
	fake_fault(w->fake,
		   &(struct fake_fault){ .kind = FAKE_STALL, .node = 1, .vb = -1, .count = 1 });
	nsec start = now();
	while (st.reconnects == before && now() - start < PATIENCE) {
		if (busy && *counter < VBS * SEQNOS_MAX / 3)
			write_some(w, VBS, 5, counter);
		(void)pump_once(w, 2 * NSEC_PER_MS);
		(void)dcp_source_status(w->source, &st, NULL, NULL);
	}
	return now() - start;
}

static nsec half_open(nsec noop, bool busy)
{
	unsigned counter = 0;
	struct world *w = world_new(&(struct fake_options){ .nodes = 2, .vbuckets = VBS });
	w->o.noop = noop;
	world_open(w);
	write_some(w, VBS, 100, &counter);
	settle(w, VBS, PATIENCE);
	nsec took = notice(w, busy, &counter);
	print_message("%s: noticed after %d ms, interval %d ms\n", busy ? "busy" : "idle",
		      (int)(took / NSEC_PER_MS), (int)(noop / NSEC_PER_MS));
	fake_clear_faults(w->fake);
	write_some(w, VBS, 100, &counter);
	settle(w, VBS, PATIENCE);
	world_free(w);
	return took;
}

static void b7_a_half_open_connection_is_noticed_within_two_intervals(void **state)
{
	(void)state;
	nsec noop = (nsec)test_count(200, 5000) * NSEC_PER_MS;
	for (int busy = 0; busy < 2; busy++) {
		nsec limit = 2 * noop + 100 * NSEC_PER_MS, took = limit + 1;
		for (int i = 0; i < TRIES && took > limit; i++)
			took = half_open(noop, busy);
		assert_true(took <= limit);
	}
}

/* Whoever is silent from the first byte on holds up nobody: the other nodes stream. */
static void b7_a_node_that_never_answers_holds_up_no_other(void **state)
{
	(void)state;
	unsigned counter = 0;
	struct world *w = world_new(&(struct fake_options){ .nodes = 2, .vbuckets = VBS });
	w->o.noop = 200 * NSEC_PER_MS;
	write_some(w, VBS, 200, &counter);
	fake_fault(w->fake,
		   &(struct fake_fault){ .kind = FAKE_STALL, .node = 1, .vb = -1, .count = 1 });
	world_open(w);
	for (nsec limit = now() + PATIENCE; all_differ(w, VBS / 2) && now() < limit;)
		(void)pump_once(w, 2 * NSEC_PER_MS);
	assert_null(all_differ(w, VBS / 2));
	fake_clear_faults(w->fake);
	settle(w, VBS, PATIENCE);
	world_free(w);
}

/* It answers noops, and everything of a login but one step: given up after the time that a login has, and tried again. */
static void b7_a_login_that_stops_half_way_is_given_up(void **state)
{
	(void)state;
	static const uint8_t steps[] = {
		0x1f, 0x20, 0x21, 0x22, 0xfe, 0x89, 0xb5, 0xba, 0x50, 0x5e
	};
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		unsigned counter = 0;
		struct world *w = world_new(&(struct fake_options){ .nodes = 2, .vbuckets = VBS });
		w->o.noop = 50 * NSEC_PER_MS;
		w->o.connect_timeout = NSEC_PER_SEC;
		write_some(w, VBS, 50, &counter);
		fake_fault(w->fake, &(struct fake_fault){ .kind = FAKE_STATUS,
							  .node = 1,
							  .vb = -1,
							  .opcode = steps[i],
							  .status = FAKE_NO_ANSWER,
							  .count = 1 });
		world_open(w);
		settle(w, VBS, PATIENCE);
		world_free(w);
	}
}

/* The connection lives, noops and all, but one request is never answered: asked again over another one. */
static void b7_a_request_that_is_never_answered_is_made_again(void **state)
{
	(void)state;
	static const uint8_t requests[] = { 0x53, 0x54, 0x48 };
	for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
		unsigned counter = 0;
		struct world *w = world_new(&(struct fake_options){ .nodes = 2, .vbuckets = VBS });
		w->o.noop = 100 * NSEC_PER_MS;
		w->o.connect_timeout = 600 * NSEC_PER_MS;
		write_some(w, VBS, 100, &counter);
		if (requests[i] == 0x54) {
			world_open(w);
			settle(w, VBS, PATIENCE);
		}
		fake_fault(w->fake, &(struct fake_fault){ .kind = FAKE_STATUS,
							  .node = -1,
							  .vb = -1,
							  .opcode = requests[i],
							  .status = FAKE_NO_ANSWER,
							  .count = 1 });
		if (requests[i] == 0x54) {
			fake_fault(w->fake, &(struct fake_fault){ .kind = FAKE_ROLLBACK,
								  .node = -1,
								  .vb = 1,
								  .n = 2,
								  .count = 1 });
			fake_fault(w->fake, &(struct fake_fault){ .kind = FAKE_STREAM_END,
								  .node = -1,
								  .vb = 1,
								  .status = 4 });
		} else {
			world_open(w);
		}
		write_some(w, VBS, 100, &counter);
		settle(w, VBS, PATIENCE);
		world_free(w);
	}
}

/* ---- cut again and again ---- */

/* Once it has come back, at some moment of what follows. */
static void cut_once(struct fake *f, nsec limit)
{
	struct fake_stats before, st;
	fake_stats(f, &before);
	fake_drop_connections(f, -1);
	do {
		usleep(200);
		fake_stats(f, &st);
	} while (st.dcp_opens == before.dcp_opens && now() < limit);
	(void)fake_set(f, (unsigned)st.dcp_opens % VBS, 0, "key", SLICE_LIT("{}"));
}

static void b7_thousands_of_reconnects_leave_nothing_behind(void **state)
{
	(void)state;
	uint64_t n = (uint64_t)test_count(500, 10000);
	struct fake *f = fake_start(&(struct fake_options){ .nodes = 1, .vbuckets = VBS });
	assert_non_null(f);
	int fd = memfd_create("measured", 0);
	assert_int_equal(ftruncate(fd, sizeof(struct measured)), 0);
	struct measured *m = measured_map(fd);
	*m = (struct measured){ .job = JOB_RECONNECT,
				.port = fake_kv_port(f, 0),
				.window = 64 << 10 };
	for (unsigned i = 0; i < 200; i++)
		(void)fake_set(f, i % VBS, 0, "key", SLICE_LIT("{}"));
	pid_t pid = measured_start(m, fd);
	for (nsec limit = now() + 280 * NSEC_PER_SEC; now() < limit;) {
		if (m->ready && m->reconnects >= n + 200)
			break;
		if (!m->ready && m->reconnects >= 200)
			usleep(1000); /* it measures when it is whole */
		else
			cut_once(f, limit);
	}
	m->go_on = true;
	assert_true(measured_wait(&m->settled, PATIENCE));
	m->done = true;
	measured_end(pid);
	print_message("%u reconnects: descriptors %+d, resident %+d KiB\n", (unsigned)m->reconnects,
		      m->fds_end - m->fds_before,
		      (int)((int64_t)(m->rss_end - m->rss_before) / 1024));
	assert_true(m->reconnects >= n);
	assert_int_equal(m->fds_end, m->fds_before);
	if (!getenv("WEIR_SANITIZED"))
		assert_true((int64_t)(m->rss_end - m->rss_before) < 1 << 20);
	munmap(m, sizeof(*m));
	close(fd);
	fake_stop(f);
}

/* ---- back-off ---- */

struct door { /* accepts, notes the time, and hangs up */
	int fd;
	uint16_t port;
	_Atomic bool stop;
	pthread_t thread;
	_Atomic unsigned n, asked;
	nsec at[256];
};

static void *keep_door(void *arg)
{
	struct door *d = arg;
	while (!d->stop) {
		int fd = accept(d->fd, NULL, NULL);
		if (fd < 0)
			continue;
		uint8_t first[2] = { 0 };
		bool greets = recv(fd, first, sizeof(first), MSG_PEEK | MSG_WAITALL) == 2 &&
			      first[0] == 0x80 && first[1] == 0x1f;
		close(fd);
		if (!greets)
			d->asked++; /* what listens here */
		else if (d->n < ARRAY_LEN(d->at))
			d->at[d->n++] = now();
	}
	return NULL;
}

static void door_open(struct door *d)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	struct timeval often = { .tv_usec = 20000 };
	d->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(d->fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(d->fd, 16), 0);
	assert_int_equal(getsockname(d->fd, (struct sockaddr *)&a, &len), 0);
	assert_int_equal(setsockopt(d->fd, SOL_SOCKET, SO_RCVTIMEO, &often, sizeof(often)), 0);
	d->port = ntohs(a.sin_port);
	assert_int_equal(pthread_create(&d->thread, NULL, keep_door, d), 0);
}

static void door_close(struct door *d)
{
	d->stop = true;
	pthread_join(d->thread, NULL);
	close(d->fd);
}

static int knock(const char *seed, nsec limit, struct err *e)
{
	const char *seeds[] = { seed };
	struct dcp_source *s = NULL;
	struct dcp_options o = { .seeds = seeds,
				 .n_seeds = 1,
				 .user = "u",
				 .password = "p",
				 .bucket = "b",
				 .group = "g",
				 .connect_timeout = limit,
				 .backoff_min = 10 * NSEC_PER_MS,
				 .backoff_max = 160 * NSEC_PER_MS };
	int rc = dcp_source_open(&o, &s, e);
	assert_true(rc < 0);
	return rc;
}

/* 10, 20, 40, 80, 160, 160 ... ms, each somewhere in its upper half. The door may be late to look, never early: what
 * was waited in all is at least the sum, always. */
static bool delays_grow(const struct door *d, nsec began)
{
	unsigned n = d->n, different = 0;
	nsec earliest = began;
	bool grown = true;
	assert_true(n <= 40 && d->asked >= 2); /* in plain and with TLS, after the first try */
	for (unsigned i = 1; i < n; i++) {
		nsec gap = d->at[i] - d->at[i - 1], most = MIN(10 << (i - 1 < 4 ? i - 1 : 4), 160);
		nsec least = most * NSEC_PER_MS / 2 - NSEC_PER_MS;
		earliest += least;
		assert_true(d->at[i] >= earliest);
		grown &= gap >= least;
		if (i > 6)
			different += llabs(gap - (d->at[i - 1] - d->at[i - 2])) > NSEC_PER_MS;
	}
	return grown && n >= 12 && different >= 3;
}

static void b7_a_node_that_hangs_up_is_tried_with_growing_jittered_delays(void **state)
{
	(void)state;
	bool grown = false;
	for (int i = 0; i < TRIES && !grown; i++) {
		struct door d = { 0 };
		struct err e = ERR_INIT;
		char seed[32];
		door_open(&d);
		(void)snprintf(seed, sizeof(seed), "127.0.0.1:%u", d.port);
		nsec began = now();
		(void)knock(seed, 2500 * NSEC_PER_MS, &e);
		door_close(&d);
		grown = delays_grow(&d, began);
	}
	assert_true(grown);
}

/* ---- nodes and names ---- */

static void b7_a_node_that_is_failed_over_is_left(void **state)
{
	(void)state;
	unsigned counter = 0;
	struct dcp_status st;
	struct world *w =
		world_new(&(struct fake_options){ .nodes = 3, .vbuckets = VBS, .replicas = 1 });
	write_some(w, VBS, 200, &counter);
	world_open(w);
	settle(w, VBS, PATIENCE);
	fake_failover_node(w->fake, 2);
	write_some(w, VBS, 200, &counter);
	settle(w, VBS, PATIENCE);
	for (nsec limit = now() + PATIENCE; now() < limit;) {
		assert_int_equal(dcp_source_status(w->source, &st, NULL, NULL), 0);
		if (st.n_nodes == 2 && st.n_connected == 2)
			break;
		(void)pump_once(w, NSEC_PER_MS);
	}
	assert_true(st.n_nodes == 2 && st.n_connected == 2);
	world_free(w);
}

static void b7_a_name_that_leads_nowhere_is_named_and_the_next_seed_is_tried(void **state)
{
	(void)state;
	unsigned counter = 0;
	struct err e = ERR_INIT;
	int rc = knock("no-such-host.invalid:11210", NSEC_PER_SEC, &e);
	assert_true(rc == ERR_TIMEOUT || rc == ERR_NET || rc == ERR_NOTFOUND);
	assert_non_null(strstr(e.msg, "no-such-host.invalid"));
	struct world *w = world_new(&(struct fake_options){ .nodes = 2, .vbuckets = VBS });
	const char *seeds[] = { "127.0.0.1:1", w->seed };
	w->o.seeds = seeds;
	w->o.n_seeds = 2;
	write_some(w, VBS, 100, &counter);
	world_open(w);
	settle(w, VBS, PATIENCE);
	world_free(w);
}

/* A seed that accepts and says nothing must not use up the time of the one that answers. */
static void b7_a_silent_seed_does_not_keep_from_the_next_one(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	char silent_seed[32];
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int silent = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(silent, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(silent, 16), 0);
	assert_int_equal(getsockname(silent, (struct sockaddr *)&a, &len), 0);
	(void)snprintf(silent_seed, sizeof(silent_seed), "127.0.0.1:%u", ntohs(a.sin_port));
	struct world *w = world_new(&(struct fake_options){ .nodes = 2, .vbuckets = VBS });
	const char *seeds[] = { silent_seed, w->seed };
	w->o.seeds = seeds;
	w->o.n_seeds = 2;
	w->o.connect_timeout = 2 * NSEC_PER_SEC;
	assert_ok(dcp_source_open(&w->o, &w->source, &e), &e);
	world_free(w);
	close(silent);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return measured_main(argv);
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(b7_a_half_open_connection_is_noticed_within_two_intervals),
		cmocka_unit_test(b7_a_node_that_never_answers_holds_up_no_other),
		cmocka_unit_test(b7_a_login_that_stops_half_way_is_given_up),
		cmocka_unit_test(b7_a_request_that_is_never_answered_is_made_again),
		cmocka_unit_test(b7_thousands_of_reconnects_leave_nothing_behind),
		cmocka_unit_test(b7_a_node_that_hangs_up_is_tried_with_growing_jittered_delays),
		cmocka_unit_test(b7_a_node_that_is_failed_over_is_left),
		cmocka_unit_test(b7_a_name_that_leads_nowhere_is_named_and_the_next_seed_is_tried),
		cmocka_unit_test(b7_a_silent_seed_does_not_keep_from_the_next_one),
	};
	return cmocka_run_group_tests_name("dcp/e2e network faults", tests, NULL, NULL);
}
