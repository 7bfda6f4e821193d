/* The listener, places, hooks, spans and metrics of the public interface, against the simulated cluster. */
#include "tests/test.h"

#include "tests/fake/couchbase/fake.h"
#include "weir/weir.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { VBS = 8 };

struct world {
	struct fake *f;
	char hosts[64];
	weir_dcp_options o;
	weir_dcp *d;
};

static void up(struct world *w)
{
	*w = (struct world){ .f = fake_start(&(struct fake_options){
				     .nodes = 2, .vbuckets = VBS, .replicas = 1 }) };
	assert_non_null(w->f);
	(void)snprintf(w->hosts, sizeof(w->hosts), "127.0.0.1:%u,127.0.0.1:%u",
		       fake_kv_port(w->f, 0), fake_kv_port(w->f, 1));
	w->o = (weir_dcp_options){ .size = sizeof(w->o),
				   .hosts = w->hosts,
				   .user = "Administrator",
				   .password = "password",
				   .bucket = "default",
				   .group = "g" };
}

static void load(struct world *w, const char *prefix, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		char key[32];
		(void)snprintf(key, sizeof(key), "%s%u", prefix, i);
		(void)fake_set(w->f, i % VBS, 0, key, SLICE_LIT("{}"));
	}
}

static void open_all(struct world *w)
{
	weir_error e = WEIR_ERROR_INIT;
	assert_int_equal(weir_dcp_open(&w->o, &w->d, &e), 0);
	assert_int_equal(weir_dcp_assign_share(w->d, 1, 1, &e), 0);
}

static void down(struct world *w)
{
	weir_error e = WEIR_ERROR_INIT;
	assert_int_equal(weir_dcp_close(w->d, &e), 0);
	fake_stop(w->f);
}

/* ---- a listener that notes what it gets ---- */

struct sink {
	unsigned events, ends, rollbacks, batches, readies, finishes, offsets;
	unsigned refuse_vb, refusals; /* vBucket, and how often its events are refused */
	uint64_t last[VBS];           /* seqno handed in */
	uint64_t offset[VBS];         /* told */
	uint64_t ticket[64];
	unsigned n_tickets, stop_after;
	bool later, disorder;
	int verdict; /* of the event after stop_after */
};

static int on_event(void *arg, weir_dcp *d, const weir_dcp_event *ev)
{
	struct sink *s = arg;
	weir_dcp_info i = { .size = sizeof(i) };
	weir_dcp_event_info(d, ev, &i);
	if (i.kind == WEIR_DCP_END) {
		s->ends++;
		return WEIR_DCP_DONE;
	}
	if (i.kind == WEIR_DCP_ROLLBACK) {
		s->last[i.vbucket] = i.seqno;
		if (s->refusals > 0) {
			s->refusals--;
			return WEIR_DCP_RETRY;
		}
		s->rollbacks++;
		return WEIR_DCP_DONE;
	}
	if (s->stop_after && s->events == s->stop_after)
		return s->verdict;
	if (i.vbucket == s->refuse_vb && s->refusals > 0) {
		s->refusals--;
		return WEIR_DCP_RETRY;
	}
	s->disorder |= i.seqno != s->last[i.vbucket] + 1;
	s->last[i.vbucket] = i.seqno;
	s->events++;
	if (s->later && s->n_tickets < 64)
		s->ticket[s->n_tickets++] = (uint64_t)i.vbucket << 48 | i.ticket;
	return s->later ? WEIR_DCP_LATER : WEIR_DCP_DONE;
}

static void on_offset(void *arg, const weir_dcp_position *p)
{
	struct sink *s = arg;
	s->offset[p->vbucket] = p->seqno;
	s->offsets++;
}

static int on_batch(void *arg, weir_dcp *d)
{
	struct sink *s = arg;
	(void)d;
	s->batches++;
	return WEIR_DCP_DONE;
}

static void on_ready(void *arg, weir_dcp *d)
{
	struct sink *s = arg;
	(void)d;
	s->readies++;
}

static void on_finished(void *arg, weir_dcp *d)
{
	struct sink *s = arg;
	(void)d;
	s->finishes++;
}

static weir_dcp_listener listener(struct sink *s)
{
	return (weir_dcp_listener){ .size = sizeof(weir_dcp_listener),
				    .arg = s,
				    .consume_event = on_event,
				    .track_offset = on_offset,
				    .after_batch = on_batch,
				    .ready = on_ready,
				    .finished = on_finished,
				    .retry_min_ms = 1,
				    .retry_max_ms = 20 };
}

static void a_listener_gets_everything_in_order_and_the_end(void **state)
{
	(void)state;
	struct world w;
	weir_error e = WEIR_ERROR_INIT;
	up(&w);
	load(&w, "a", 400);
	w.o.finite = true;
	open_all(&w);
	struct sink s = { .refuse_vb = 3, .refusals = 5 };
	weir_dcp_listener l = listener(&s);
	assert_int_equal(weir_dcp_run(w.d, &l, &e), 1);
	assert_int_equal(s.events, 400);
	assert_false(
		s.disorder); /* what was on the way behind a refused event does not come before it */
	assert_int_equal(s.refusals, 0);
	assert_true(s.ends >= VBS && s.batches > 0);
	assert_int_equal(s.finishes, 1);
	for (unsigned vb = 0; vb < VBS; vb++)
		assert_int_equal(s.offset[vb], 50);
	weir_dcp_stats st = { .size = sizeof(st) };
	assert_int_equal(weir_dcp_stats_get(w.d, &st), 0);
	assert_int_equal(st.lag, 0);
	assert_int_equal(st.in_flight, 0);
	down(&w);
}

static void a_stopped_run_goes_on_where_it_stopped(void **state)
{
	(void)state;
	struct world w;
	weir_error e = WEIR_ERROR_INIT;
	up(&w);
	load(&w, "a", 80);
	w.o.finite = true;
	open_all(&w);
	struct sink s = { .refuse_vb = VBS, .stop_after = 30, .verdict = WEIR_DCP_STOP };
	weir_dcp_listener l = listener(&s);
	assert_int_equal(weir_dcp_run(w.d, &l, &e), 0);
	assert_int_equal(s.events, 30);
	s.verdict = WEIR_ERR_IO;
	assert_int_equal(weir_dcp_run(w.d, &l, &e), WEIR_ERR_IO);
	s.verdict = 77;
	assert_int_equal(weir_dcp_run(w.d, &l, &e), WEIR_ERR_INVALID);
	s.stop_after = 0;
	weir_dcp_stop(w.d); /* before it runs: the next one returns at once */
	assert_int_equal(weir_dcp_run(w.d, &l, &e), 0);
	assert_int_equal(s.events, 30);
	assert_int_equal(weir_dcp_run(w.d, &l, &e), 1);
	assert_int_equal(s.events, 80);
	assert_false(s.disorder);
	down(&w);
}

static void *run_it(void *arg)
{
	void **a = arg;
	weir_error e = WEIR_ERROR_INIT;
	return (void *)(intptr_t)weir_dcp_run(a[0], a[1], &e);
}

/* Waits, at most some seconds, for a number to be reached. */
#define UNTIL(condition) \
	do { \
		for (int i_ = 0; i_ < 5000 && !(condition); i_++) \
			usleep(1000); \
		assert_true(condition); \
	} while (0)

static uint64_t lag_of(weir_dcp *d)
{
	weir_dcp_stats st = { .size = sizeof(st) };
	assert_int_equal(weir_dcp_stats_get(d, &st), 0);
	return st.lag;
}

static void events_may_be_acknowledged_later_from_another_thread(void **state)
{
	(void)state;
	struct world w;
	weir_error e = WEIR_ERROR_INIT;
	pthread_t t;
	void *rc;
	up(&w);
	load(&w, "a", 40);
	open_all(&w);
	assert_int_equal(weir_dcp_wait_ready(w.d, 5000, &e), 1);
	struct sink s = { .refuse_vb = VBS, .later = true };
	weir_dcp_listener l = listener(&s);
	void *arg[2] = { w.d, &l };
	assert_int_equal(pthread_create(&t, NULL, run_it, arg), 0);
	UNTIL(__atomic_load_n(&s.events, __ATOMIC_ACQUIRE) == 40);
	UNTIL(__atomic_load_n(&s.readies, __ATOMIC_ACQUIRE) == 1);
	assert_int_equal(lag_of(w.d), 40);
	for (unsigned i = 40;
	     i-- > 1;) /* backwards: nothing is done before the first of a vBucket is */
		assert_int_equal(weir_dcp_ack_later(w.d, (uint16_t)(s.ticket[i] >> 48),
						    s.ticket[i] << 16 >> 16),
				 0);
	assert_int_equal(lag_of(w.d), 5); /* the first vBucket waits for its first event */
	assert_int_equal(weir_dcp_ack_later(w.d, (uint16_t)(s.ticket[0] >> 48),
					    s.ticket[0] << 16 >> 16),
			 0);
	assert_int_equal(lag_of(w.d), 0);
	assert_int_equal(weir_dcp_ack_later(w.d, (uint16_t)(s.ticket[0] >> 48),
					    s.ticket[0] << 16 >> 16),
			 WEIR_ERR_NOTFOUND);
	for (unsigned vb = 0; vb < VBS; vb++)
		UNTIL(__atomic_load_n(&s.offset[vb], __ATOMIC_ACQUIRE) == 5);
	weir_dcp_stop(w.d);
	assert_int_equal(pthread_join(t, &rc), 0);
	assert_int_equal((intptr_t)rc, 0);
	down(&w);
}

static void a_refused_rollback_is_handed_in_again(void **state)
{
	(void)state;
	struct world w;
	pthread_t t;
	void *rc;
	up(&w);
	fake_hold_persistence(w.f, true);
	for (unsigned i = 0; i < 4; i++)
		(void)fake_set(w.f, 2, 0, "k", SLICE_LIT("{}"));
	fake_persist(w.f, 2, 0, 2);
	fake_persist(w.f, 2, 1, 2);
	open_all(&w);
	struct sink s = { .refuse_vb = VBS };
	weir_dcp_listener l = listener(&s);
	l.track_offset = NULL;
	void *arg[2] = { w.d, &l };
	assert_int_equal(pthread_create(&t, NULL, run_it, arg), 0);
	UNTIL(__atomic_load_n(&s.last[2], __ATOMIC_ACQUIRE) == 4);
	__atomic_store_n(&s.refusals, 3, __ATOMIC_RELEASE);
	fake_failover_vb(w.f, 2, 1);
	UNTIL(__atomic_load_n(&s.rollbacks, __ATOMIC_ACQUIRE) == 1);
	assert_int_equal(s.refusals, 0);
	for (unsigned i = 0; i < 2; i++)
		(void)fake_set(w.f, 2, 0, i ? "x" : "y", SLICE_LIT("{}"));
	UNTIL(__atomic_load_n(&s.last[2], __ATOMIC_ACQUIRE) == 4);
	weir_dcp_stop(w.d);
	assert_int_equal(pthread_join(t, &rc), 0);
	down(&w);
}

/* ---- places ---- */

static void streams_begin_and_go_where_they_are_told(void **state)
{
	(void)state;
	struct world w;
	weir_error e = WEIR_ERROR_INIT;
	up(&w);
	load(&w, "a", 80);
	w.o.finite = true;
	weir_dcp_position at[3] = { { .vbucket = 1, .seqno = 7 },
				    { .vbucket = 2 },
				    { .vbucket = 3, .seqno = 99 } };
	w.o.positions = at;
	w.o.n_positions = 3;
	w.o.latest = true; /* for those that are not named */
	open_all(&w);
	struct sink s = { .refuse_vb = VBS };
	weir_dcp_listener l = listener(&s);
	assert_int_equal(weir_dcp_run(w.d, &l, &e), 1);
	assert_int_equal(s.events,
			 3 + 10); /* vBucket 3 has ended with an error: it is not that far */
	assert_int_equal(s.last[1], 10);
	assert_int_equal(s.last[2], 10);
	assert_int_equal(s.ends, VBS);
	weir_dcp_position back[2] = { { .vbucket = 2, .seqno = 4 }, { .vbucket = 5, .seqno = 8 } };
	assert_int_equal(weir_dcp_seek(w.d, back, 2, &e), 0);
	s = (struct sink){ .refuse_vb = VBS };
	assert_int_equal(weir_dcp_run(w.d, &l, &e), 1);
	assert_int_equal(s.events, 6 + 2);
	assert_int_equal(s.offset[2], 10);
	back[0].vbucket = 77;
	assert_int_equal(weir_dcp_seek(w.d, back, 1, &e), WEIR_ERR_NOTFOUND);
	back[0] = (weir_dcp_position){ .vbucket = 1, .seqno = 4, .snapshot_end = 3, .vbuuid = 1 };
	assert_int_equal(weir_dcp_seek(w.d, back, 1, &e), WEIR_ERR_INVALID);
	down(&w);
}

static void a_seek_is_saved(void **state)
{
	(void)state;
	struct world w;
	weir_error e = WEIR_ERROR_INIT;
	char folder[256], path[300];
	up(&w);
	(void)snprintf(folder, sizeof(folder), "%s", test_tmpdir());
	(void)snprintf(path, sizeof(path), "%s/cp.json", folder);
	load(&w, "a", 80);
	w.o.finite = true;
	w.o.checkpoint_file = path;
	open_all(&w);
	struct sink s = { .refuse_vb = VBS };
	weir_dcp_listener l = listener(&s);
	assert_int_equal(weir_dcp_run(w.d, &l, &e), 1);
	assert_int_equal(s.events, 80);
	weir_dcp_position back = { .vbucket = 4, .seqno = 1 };
	assert_int_equal(weir_dcp_seek(w.d, &back, 1, &e), 0);
	assert_int_equal(weir_dcp_wait_ready(w.d, 5000, &e), 1);
	assert_int_equal(weir_dcp_close(w.d, &e), 0); /* without having taken any of it */
	open_all(&w);
	s = (struct sink){ .refuse_vb = VBS };
	assert_int_equal(weir_dcp_run(w.d, &l, &e), 1);
	assert_int_equal(s.events, 9);
	down(&w);
	test_rmdir(folder);
}

/* ---- hooks ---- */

struct hooks {
	char text[2000];
	int commit;
};

static void on_hook(void *arg, weir_dcp *d, enum weir_dcp_hook what, const uint16_t *vb, size_t n)
{
	static const char *const names[] = { "start<", "start>", "stop<", "stop>",
					     "leave<", "leave>", "come<", "come>" };
	struct hooks *h = arg;
	weir_error e = WEIR_ERROR_INIT;
	size_t at = strlen(h->text);
	at += (size_t)snprintf(h->text + at, sizeof(h->text) - at, "%s", names[what]);
	for (size_t i = 0; i < n; i++)
		at += (size_t)snprintf(h->text + at, sizeof(h->text) - at, "%u", vb[i]);
	(void)snprintf(h->text + at, sizeof(h->text) - at, " ");
	if (what == WEIR_DCP_BEFORE_STREAM_STOP)
		h->commit = weir_dcp_commit(d, &e); /* what a sink does before its vBuckets leave */
}

static void hooks_come_in_order_and_may_commit(void **state)
{
	(void)state;
	struct world w;
	weir_error e = WEIR_ERROR_INIT;
	struct hooks h = { .commit = 1 };
	char folder[256], path[300];
	up(&w);
	(void)snprintf(folder, sizeof(folder), "%s", test_tmpdir());
	(void)snprintf(path, sizeof(path), "%s/cp.json", folder);
	w.o.checkpoint_file = path;
	w.o.hook = on_hook;
	w.o.hook_arg = &h;
	assert_int_equal(weir_dcp_open(&w.o, &w.d, &e), 0);
	uint16_t a[3] = { 0, 1, 2 }, b[3] = { 3, 2, 1 };
	assert_int_equal(weir_dcp_assign(w.d, a, 3, &e), 0);
	assert_string_equal(h.text, "start<012 start>012 ");
	h.text[0] = '\0';
	assert_int_equal(weir_dcp_assign(w.d, b, 3, &e), 0);
	assert_string_equal(h.text, "leave<0 stop<0 stop>0 leave>0 come<3 start<3 start>3 come>3 ");
	assert_int_equal(h.commit, 0);
	h.text[0] = '\0';
	assert_int_equal(weir_dcp_assign(w.d, b, 3, &e), 0); /* nothing changes */
	assert_string_equal(h.text, "");
	assert_int_equal(weir_dcp_assign(w.d, b, 2, &e), 0);
	assert_string_equal(h.text, "leave<1 stop<1 stop>1 leave>1 come< come> ");
	h.text[0] = '\0';
	down(&w);
	assert_string_equal(h.text, "stop<23 stop>23 ");
	test_rmdir(folder);
}

/* ---- spans ---- */

struct spans {
	unsigned started, ended[4];
	bool skip;
};

static void *on_start(void *arg, weir_dcp *d, const weir_dcp_event *ev)
{
	struct spans *s = arg;
	weir_dcp_info i = { .size = sizeof(i) };
	weir_dcp_event_info(d, ev, &i);
	assert_true(i.vbucket < VBS);
	s->started++;
	return s->skip ? NULL : malloc(1); /* so that one that is ended twice, or never, is found */
}

static void on_span_end(void *arg, void *span, enum weir_dcp_outcome outcome)
{
	struct spans *s = arg;
	free(span);
	s->ended[outcome]++;
}

static void every_span_ends_once(void **state)
{
	(void)state;
	struct world w;
	weir_error e = WEIR_ERROR_INIT;
	struct spans p = { 0 };
	weir_dcp_tracer tracer = {
		.size = sizeof(tracer), .arg = &p, .start = on_start, .end = on_span_end
	};
	up(&w);
	load(&w, "a", 80);
	w.o.finite = true;
	w.o.tracer = &tracer;
	open_all(&w);
	struct sink s = {
		.refuse_vb = 3, .refusals = 2, .stop_after = 60, .verdict = WEIR_DCP_STOP
	};
	weir_dcp_listener l = listener(&s);
	assert_int_equal(weir_dcp_run(w.d, &l, &e), 0);
	assert_int_equal(p.ended[WEIR_DCP_SPAN_ACKED], 60);
	assert_true(p.ended[WEIR_DCP_SPAN_NACKED] >= 2);
	down(&w);
	assert_int_equal(p.ended[0] + p.ended[1] + p.ended[2] + p.ended[3], p.started);
	assert_true(p.started >= 62);
}

/* ---- metrics ---- */

static bool has(const weir_buffer *b, const char *line)
{
	return strstr((const char *)b->data, line) != NULL;
}

struct nodes {
	unsigned n, vbuckets, connected;
};

static int on_node(void *arg, const weir_dcp_node *n)
{
	struct nodes *s = arg;
	s->n++;
	s->vbuckets += n->vbuckets;
	s->connected += n->connected;
	assert_true(n->window > 0);
	return 0;
}

static int on_vbucket(void *arg, const weir_dcp_vbucket *v)
{
	unsigned *n = arg;
	assert_int_equal(v->vbucket, *n);
	assert_true(v->node >= 0 && v->received.seqno == v->high);
	return ++*n == 5 ? 42 : 0;
}

static void metrics_have_both_names(void **state)
{
	(void)state;
	struct world w;
	weir_error e = WEIR_ERROR_INIT;
	weir_buffer b = WEIR_BUFFER_INIT;
	up(&w);
	load(&w, "a", 80);
	(void)fake_delete(w.f, 0, 0, "a0");
	w.o.finite = true;
	open_all(&w);
	struct sink s = { .refuse_vb = VBS };
	weir_dcp_listener l = listener(&s);
	assert_int_equal(weir_dcp_run(w.d, &l, &e), 1);
	assert_int_equal(weir_dcp_metrics(w.d, WEIR_DCP_METRICS_WEIR, &b, &e), 0);
	assert_true(has(&b, "# TYPE weir_dcp_mutations_total counter\n"));
	assert_true(has(&b, "\nweir_dcp_mutations_total{vbucket=\"1\"} 10\n"));
	assert_true(has(&b, "\nweir_dcp_deletions_total{vbucket=\"0\"} 1\n"));
	assert_true(has(&b, "\nweir_dcp_acknowledged_seqno{vbucket=\"7\"} 10\n"));
	assert_true(has(&b, "\nweir_dcp_total_lag_seqnos 0\n"));
	assert_true(has(&b, "\nweir_dcp_process_seconds_bucket{le=\"+Inf\"} "));
	assert_true(has(&b, "\nweir_dcp_delivery_seconds_count "));
	assert_false(has(&b, "cbgo_"));
	weir_buffer_clear(&b);
	assert_int_equal(weir_dcp_metrics(w.d, WEIR_DCP_METRICS_GODCP, &b, &e), 0);
	static const char *const godcp[] = {
		"mutation_total{vbId=\"1\"} 10",
		"deletion_total{vbId=\"0\"} 1",
		"expiration_total{vbId=\"0\"} 0",
		"agent_queue_current{address=\"127.0.0.1:",
		"agent_queue_max{address=\"127.0.0.1:",
		"seq_no_current{vbId=\"7\"} 10",
		"start_seq_no_current{vbId=\"7\"} ",
		"end_seq_no_current{vbId=\"7\"} ",
		"persist_seq_no_current{vbId=\"7\"} 0",
		"lag_current{vbId=\"7\"} 0",
		"total_lag_current 0",
		"process_latency_ms_current ",
		"dcp_latency_ms_current ",
		"rebalance_current 0",
		"active_stream_current 0",
		"vbucket_count_current 8",
		"vbucket_range_start_current 0",
		"vbucket_range_end_current 7",
		"offset_write_current ",
		"offset_write_latency_ms_current ",
	};
	for (size_t i = 0; i < sizeof(godcp) / sizeof(*godcp); i++) {
		char line[100];
		(void)snprintf(line, sizeof(line), "\ncbgo_%s", godcp[i]);
		if (!has(&b, line))
			fail_msg("no %s", line + 1);
	}
	assert_false(has(&b, "weir_dcp_"));
	weir_buffer_free(&b);
	struct nodes n = { 0 };
	assert_int_equal(weir_dcp_node_each(w.d, on_node, &n, &e), 0);
	assert_true(n.n == 2 && n.vbuckets == VBS && n.connected == 2);
	unsigned seen = 0;
	assert_int_equal(weir_dcp_vbucket_each(w.d, on_vbucket, &seen, &e), 42);
	assert_int_equal(seen, 5);
	down(&w);
}

/* Lag is of what is streamed, and is told while nothing comes. */
static void lag_is_of_the_streamed_collection(void **state)
{
	(void)state;
	struct world w;
	up(&w);
	uint32_t cid = fake_create_collection(w.f, "_default", "c");
	w.o.collections = "c";
	w.o.high_seqno_ms = 20;
	for (unsigned i = 0; i < 6; i++) {
		char key[8];
		(void)snprintf(key, sizeof(key), "k%u", i);
		(void)fake_set(w.f, 0, cid, key, SLICE_LIT("{}"));
	}
	open_all(&w);
	const weir_dcp_event *ev;
	size_t n, got = 0;
	weir_error e = WEIR_ERROR_INIT;
	while (got < 6 && weir_dcp_poll(w.d, 3000, &ev, &n, &e) == 1) {
		assert_int_equal(weir_dcp_ack(w.d, ev, n), 0);
		got += n;
	}
	for (unsigned i = 0; i < 50; i++) /* of another collection: nobody's business */
		(void)fake_set(w.f, 0, 0, "x", SLICE_LIT("{}"));
	for (unsigned vb = 0; vb < VBS; vb++)
		(void)fake_set(w.f, vb, cid, "new", SLICE_LIT("{}"));
	UNTIL(lag_of(w.d) > 0); /* nobody polls */
	got = 0;
	while (got < VBS && weir_dcp_poll(w.d, 3000, &ev, &n, &e) == 1) {
		assert_int_equal(weir_dcp_ack(w.d, ev, n), 0);
		got += n;
	}
	UNTIL(lag_of(w.d) == 0);
	for (unsigned i = 0; i < 50; i++)
		(void)fake_set(w.f, 0, 0, "x", SLICE_LIT("{}"));
	/* five rounds of asking: it must not rise for a consumer that waits */
	assert_int_equal(weir_dcp_poll(w.d, 100, &ev, &n, &e), 0);
	assert_int_equal(lag_of(w.d), 0);
	down(&w);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_listener_gets_everything_in_order_and_the_end),
		cmocka_unit_test(a_stopped_run_goes_on_where_it_stopped),
		cmocka_unit_test(events_may_be_acknowledged_later_from_another_thread),
		cmocka_unit_test(a_refused_rollback_is_handed_in_again),
		cmocka_unit_test(streams_begin_and_go_where_they_are_told),
		cmocka_unit_test(a_seek_is_saved),
		cmocka_unit_test(hooks_come_in_order_and_may_commit),
		cmocka_unit_test(every_span_ends_once),
		cmocka_unit_test(metrics_have_both_names),
		cmocka_unit_test(lag_is_of_the_streamed_collection),
	};
	return cmocka_run_group_tests_name("dcp/e2e listener", tests, NULL, NULL);
}
