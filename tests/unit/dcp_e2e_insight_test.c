/* Hooks, spans, metrics and lag: what a program sees of a client through the public interface. */
#include "tests/dcp_api_world.h"

#include "os/env.h"

#include <stdlib.h>
#include <string.h>

/* Takes every event, but for some of vBucket 3 and what comes behind the last one wanted. */
struct taker {
	unsigned events, refusals, stop_after;
};

static int on_event(void *arg, weir_dcp *d, const weir_dcp_event *ev)
{
	struct taker *s = arg;
	weir_dcp_info i = { .size = sizeof(i) };
	weir_dcp_event_info(d, ev, &i);
	if (i.kind == WEIR_DCP_END)
		return WEIR_DCP_DONE;
	if (s->stop_after && s->events == s->stop_after)
		return WEIR_DCP_STOP;
	if (i.vbucket == 3 && s->refusals) {
		s->refusals--;
		return WEIR_DCP_RETRY;
	}
	s->events++;
	return WEIR_DCP_DONE;
}

static weir_dcp_listener listener(struct taker *s)
{
	return (weir_dcp_listener){ .size = sizeof(weir_dcp_listener),
				    .arg = s,
				    .consume_event = on_event,
				    .retry_min_ms = 1 };
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
	nsec opened, waited; /* the longest between coming in and being handed out */
};

static void *on_start(void *arg, weir_dcp *d, const weir_dcp_event *ev)
{
	struct spans *s = arg;
	weir_dcp_info i = { .size = sizeof(i) };
	weir_dcp_event_info(d, ev, &i);
	assert_true(i.vbucket < VBS);
	nsec came = (nsec)i.came_ns;
	assert_true(came >= s->opened && came <= env_mono(env_posix()));
	s->waited = MAX(s->waited, env_mono(env_posix()) - came);
	s->started++;
	return s->skip ? NULL : malloc(1); /* so that one that is ended twice, or never, is found */
}

static void on_span_end(void *arg, void *span, enum weir_dcp_outcome outcome)
{
	struct spans *s = arg;
	free(span);
	s->ended[outcome]++;
}

/* What came while nobody polled waited for as long as that; what came later did not, though it may lie in the same block. */
static void a_span_may_begin_when_its_event_came_in(void **state)
{
	(void)state;
	struct world w;
	weir_error e = WEIR_ERROR_INIT;
	struct spans p = { .skip = true, .opened = env_mono(env_posix()) };
	weir_dcp_tracer tracer = {
		.size = sizeof(tracer), .arg = &p, .start = on_start, .end = on_span_end
	};
	const weir_dcp_event *events;
	size_t n;
	up(&w);
	w.o.tracer = &tracer;
	open_all(&w);
	load(&w, "a", 20);
	usleep(600000); /* so long that it has come in early enough on a busy machine, too */
	while (p.started < 20)
		assert_true(weir_dcp_poll(w.d, 1000, &events, &n, &e) >= 0);
	assert_true(p.waited >= 250 * NSEC_PER_MS);
	load(&w, "b", 1);
	usleep(200000);
	nsec written = env_mono(env_posix());
	load(&w, "c", 1);
	usleep(20000);
	while (p.started < 22)
		assert_true(weir_dcp_poll(w.d, 1000, &events, &n, &e) >= 0);
	weir_dcp_info i = { .size = sizeof(i) };
	weir_dcp_event_info(w.d, weir_dcp_event_at(events, n - 1), &i);
	assert_true((nsec)i.came_ns >= written);
	down(&w);
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
	struct taker s = { .refusals = 2, .stop_after = 60 };
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
	struct taker s = { 0 };
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
	while (got < 6 && weir_dcp_poll(w.d, PATIENCE_MS, &ev, &n, &e) == 1) {
		assert_int_equal(weir_dcp_ack(w.d, ev, n), 0);
		got += n;
	}
	for (unsigned i = 0; i < 50; i++) /* of another collection: nobody's business */
		(void)fake_set(w.f, 0, 0, "x", SLICE_LIT("{}"));
	for (unsigned vb = 0; vb < VBS; vb++)
		(void)fake_set(w.f, vb, cid, "new", SLICE_LIT("{}"));
	UNTIL(lag_of(w.d) > 0); /* nobody polls */
	got = 0;
	while (got < VBS && weir_dcp_poll(w.d, PATIENCE_MS, &ev, &n, &e) == 1) {
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

/* Questions that are refused or cut off say nothing: lag stays what it was, it does not fall to 0. */
static void weakness_15_a_failed_question_is_not_seqno_0(void **state)
{
	(void)state;
	struct world w;
	struct fake_stats before, after;
	up(&w);
	w.o.scope = "_default"; /* with a filter only the answers count */
	w.o.high_seqno_ms = 20;
	load(&w, "a", 80);
	open_all(&w);
	UNTIL(lag_of(w.d) == 80); /* nobody polls */
	fake_fault(w.f, &(struct fake_fault){ .kind = FAKE_STATUS,
					      .node = -1,
					      .vb = -1,
					      .opcode = 0x48,
					      .status = 0x86,
					      .count = 1000000 });
	for (unsigned i = 0; i < 20; i++) { /* a good many rounds */
		usleep(10000);
		assert_int_equal(lag_of(w.d), 80);
	}
	fake_clear_faults(w.f);
	load(&w, "b", 8);
	UNTIL(lag_of(w.d) == 88);
	fake_stats(w.f, &before);
	fake_drop_connections(w.f, -1);
	for (unsigned i = 0; i < 20; i++) {
		usleep(10000);
		assert_true(lag_of(w.d) >= 88);
	}
	UNTIL((fake_stats(w.f, &after), after.connections > before.connections));
	down(&w);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(hooks_come_in_order_and_may_commit),
		cmocka_unit_test(a_span_may_begin_when_its_event_came_in),
		cmocka_unit_test(every_span_ends_once),
		cmocka_unit_test(metrics_have_both_names),
		cmocka_unit_test(lag_is_of_the_streamed_collection),
		cmocka_unit_test(weakness_15_a_failed_question_is_not_seqno_0),
	};
	return cmocka_run_group_tests_name("dcp/e2e insight", tests, NULL, NULL);
}
