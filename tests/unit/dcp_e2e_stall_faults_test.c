/* B6: a consumer that stands still over a backlog. The server's window bounds what lies between, the connection lives,
 * and what one vBucket waits for holds up no other. */
#include "tests/dcp_measured.h"

enum { WINDOW = 16 << 20, VALUE = 1000 };

/* `n` documents of `size` bytes over all vBuckets. */
static void load(struct fake *f, unsigned vbs, unsigned n, size_t size)
{
	char key[24], *value = malloc(size);
	memset(value, 'x', size);
	for (unsigned i = 0; i < n; i++) {
		(void)snprintf(key, sizeof(key), "key-%u", i);
		(void)fake_set(f, i % vbs, 0, key, slice_of(value, size));
	}
	free(value);
}

static struct fake_stats stats_of(struct fake *f)
{
	struct fake_stats st;
	fake_stats(f, &st);
	return st;
}

static unsigned mib(uint64_t bytes)
{
	return (unsigned)(bytes >> 20);
}

/* Long: 1 GiB, ten minutes. */
static void b6_a_backlog_stays_at_the_server_while_nobody_takes_it(void **state)
{
	(void)state;
	unsigned n = (unsigned)test_count(64 << 10, 1 << 20);
	nsec stand = test_count(3, 600) * NSEC_PER_SEC;
	uint32_t noop_ms = (uint32_t)test_count(2000, 1000);
	struct fake *f = fake_start(&(struct fake_options){ .nodes = 1, .vbuckets = 64 });
	assert_non_null(f);
	int fd = memfd_create("measured", 0);
	assert_int_equal(ftruncate(fd, sizeof(struct measured)), 0);
	struct measured *m = measured_map(fd);
	*m = (struct measured){
		.job = JOB_STALL, .port = fake_kv_port(f, 0), .window = WINDOW, .noop_ms = noop_ms
	};
	load(f, 64, n, VALUE);
	pid_t pid = measured_start(m, fd);
	assert_true(measured_wait(&m->ready, PATIENCE));
	struct fake_stats st = stats_of(f);
	uint64_t noops = (uint64_t)(stand / NSEC_PER_MS) / noop_ms;
	for (nsec began = now(), limit = began + stand + PATIENCE; now() < limit;
	     st = stats_of(f)) {
		if (now() - began >= stand && st.noops_answered >= noops)
			break;
		usleep(10000);
	}
	assert_true(st.unacked_max <= WINDOW + VALUE + 100);
	assert_true(st.noops_answered >= noops);
	assert_true(st.noops_answered + 1 >= st.noops_sent);
	m->go_on = true;
	assert_true(measured_wait(&m->settled, PATIENCE));
	for (nsec limit = now() + 120 * NSEC_PER_SEC; m->events < n && now() < limit;)
		usleep(1000);
	assert_true(m->events == n && m->bytes == (uint64_t)n * VALUE);
	m->done = true;
	measured_end(pid);
	print_message("backlog %u MiB, window %u MiB, resident %u MiB more while standing, %u MiB "
		      "at most, "
		      "%u noops, %u reconnects\n",
		      mib((uint64_t)n * VALUE), mib(WINDOW), mib(m->rss_stalled - m->rss_before),
		      mib(m->rss_most - m->rss_before), (unsigned)st.noops_answered,
		      (unsigned)m->reconnects);
	st = stats_of(f);
	if (m->reconnects)
		print_message("reconnected: %s\n", m->last_error);
	assert_true(m->reconnects == 0 && st.dcp_opens == 1 && st.idle_kills == 0);
	if (!getenv("WEIR_SANITIZED")) {
		assert_true(m->rss_stalled - m->rss_before <= 2 * WINDOW);
		assert_true(m->rss_most - m->rss_before <= 2 * WINDOW);
	}
	munmap(m, sizeof(*m));
	close(fd);
	fake_stop(f);
}

/* A stopped process, a suspended machine: when it goes on, nothing was heard for long, and for no reason of the other's. */
static void b6_who_stood_still_asks_before_it_gives_up_a_connection(void **state)
{
	(void)state;
	enum { VBS = 4, NOOP_MS = 1500, STILL_MS = 3300, LATE_MS = 200 };
	struct fake *f = fake_start(&(struct fake_options){ .nodes = 1, .vbuckets = VBS });
	assert_non_null(f);
	int fd = memfd_create("measured", 0);
	assert_int_equal(ftruncate(fd, sizeof(struct measured)), 0);
	struct measured *m = measured_map(fd);
	*m = (struct measured){
		.job = JOB_STALL, .port = fake_kv_port(f, 0), .window = WINDOW, .noop_ms = NOOP_MS
	};
	pid_t pid = measured_start(m, fd);
	for (nsec limit = now() + PATIENCE; stats_of(f).stream_requests < VBS && now() < limit;)
		usleep(1000);
	assert_int_equal(kill(pid, SIGSTOP), 0);
	/* The server stands still, too, and a little longer: nothing waits to be read. */
	fake_fault(f, &(struct fake_fault){ .kind = FAKE_STALL, .node = 0, .vb = -1, .count = 1 });
	usleep(STILL_MS * 1000);
	assert_int_equal(kill(pid, SIGCONT), 0);
	usleep(LATE_MS * 1000);
	fake_clear_faults(f);
	uint64_t answered = stats_of(f).noops_answered;
	for (nsec limit = now() + PATIENCE;
	     stats_of(f).noops_answered == answered && now() < limit;)
		usleep(1000);
	m->go_on = m->done = true;
	measured_end(pid);
	print_message("%u reconnects %s\n", (unsigned)m->reconnects, m->last_error);
	assert_int_equal(m->reconnects, 0);
	assert_int_equal(stats_of(f).dcp_opens, 1);
	munmap(m, sizeof(*m));
	close(fd);
	fake_stop(f);
}

/* Whoever acknowledges nothing of one vBucket still gets the others, and that one's events too. */
static void b6_an_open_vbucket_holds_up_no_other(void **state)
{
	(void)state;
	enum { VBS = 4, DOCS = 4000 };
	struct err e = ERR_INIT;
	struct dcp_batch b;
	struct world *w = world_new(&(struct fake_options){ .nodes = 1, .vbuckets = VBS });
	w->o.window_bytes = 64 << 10;
	load(w->fake, VBS, DOCS, VALUE);
	world_open(w);
	unsigned got = 0;
	for (nsec limit = now() + PATIENCE; got < DOCS && now() < limit;) {
		if (dcp_source_poll(w->source, &b, 20 * NSEC_PER_MS, &e) <= 0)
			continue;
		got += (unsigned)b.n;
		for (size_t i = 0; i < b.n; i++)
			if (b.ev[i].vb != 0)
				(void)dcp_source_ack(w->source, &b.ev[i]);
	}
	assert_int_equal(got, DOCS);
	world_free(w);
}

static unsigned had_of(const struct world *w, unsigned vb)
{
	return (unsigned)w->seen[vb].high;
}

/* One vBucket's copies persist nothing, with a backlog of many windows: it waits alone. */
static void b6_a_vbucket_that_waits_for_its_copies_holds_up_no_other(void **state)
{
	(void)state;
	enum { VBS = 4, DOCS = 4000, EACH = DOCS / VBS };
	struct world *w = world_new(&(struct fake_options){
		.nodes = 2, .vbuckets = VBS, .replicas = 1, .hold_persistence = true });
	w->o.mitigation.policy = MITIGATE_ALL;
	w->o.window_bytes = 64 << 10;
	world_open(w);
	load(w->fake, VBS, DOCS, VALUE);
	for (unsigned vb = 1; vb < VBS; vb++)
		for (unsigned copy = 0; copy < 2; copy++)
			fake_persist(w->fake, vb, copy, UINT64_MAX);
	for (nsec limit = now() + PATIENCE; now() < limit;) {
		(void)pump_once(w, 5 * NSEC_PER_MS);
		if (had_of(w, 1) == EACH && had_of(w, 2) == EACH && had_of(w, 3) == EACH)
			break;
	}
	for (unsigned vb = 1; vb < VBS; vb++)
		assert_int_equal(had_of(w, vb), EACH);
	assert_int_equal(had_of(w, 0), 0);
	for (unsigned round = 1; round <= 20; round++) { /* while it is asked for again and again */
		char key[24];
		(void)snprintf(key, sizeof(key), "more-%u", round);
		uint64_t seqno = fake_set(w->fake, 1, 0, key, SLICE_LIT("{}"));
		fake_persist(w->fake, 1, 0, seqno);
		fake_persist(w->fake, 1, 1, seqno);
		for (nsec limit = now() + PATIENCE; had_of(w, 1) < seqno && now() < limit;)
			(void)pump_once(w, 2 * NSEC_PER_MS);
		assert_int_equal(had_of(w, 1), seqno);
	}
	for (unsigned copy = 0; copy < 2; copy++)
		fake_persist(w->fake, 0, copy, UINT64_MAX);
	settle(w, VBS, PATIENCE);
	world_free(w);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return measured_main(argv);
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(b6_a_backlog_stays_at_the_server_while_nobody_takes_it),
		cmocka_unit_test(b6_who_stood_still_asks_before_it_gives_up_a_connection),
		cmocka_unit_test(b6_an_open_vbucket_holds_up_no_other),
		cmocka_unit_test(b6_a_vbucket_that_waits_for_its_copies_holds_up_no_other),
	};
	return cmocka_run_group_tests_name("dcp/e2e stall faults", tests, NULL, NULL);
}
