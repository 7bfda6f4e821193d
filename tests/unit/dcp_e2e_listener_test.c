/* A listener instead of polling, and places to start from, through the public interface. */
#include "tests/dcp_api_world.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* ---- a listener that notes what it gets ---- */

/* Guards a sink while another thread runs it. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* A look at it from outside. */
#define SEEN(what) \
	({ \
		pthread_mutex_lock(&lock); \
		uint64_t seen_ = (what); \
		pthread_mutex_unlock(&lock); \
		seen_; \
	})

struct sink {
	unsigned events, ends, rollbacks, batches, readies, finishes, offsets;
	unsigned refuse_vb, refusals; /* vBucket, and how often its events are refused */
	uint64_t last[VBS];           /* seqno handed in */
	uint64_t offset[VBS];         /* told */
	weir_dcp_position told[VBS];
	uint64_t ticket[64];
	unsigned n_tickets, stop_after;
	bool later, disorder;
	int verdict; /* of the event after stop_after */
};

static int judge(struct sink *s, weir_dcp *d, const weir_dcp_event *ev)
{
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

static int on_event(void *arg, weir_dcp *d, const weir_dcp_event *ev)
{
	pthread_mutex_lock(&lock);
	int verdict = judge(arg, d, ev);
	pthread_mutex_unlock(&lock);
	return verdict;
}

static void on_offset(void *arg, const weir_dcp_position *p)
{
	struct sink *s = arg;
	pthread_mutex_lock(&lock);
	s->offset[p->vbucket] = p->seqno;
	s->told[p->vbucket] = *p;
	s->offsets++;
	pthread_mutex_unlock(&lock);
}

static void count(unsigned *n)
{
	pthread_mutex_lock(&lock);
	++*n;
	pthread_mutex_unlock(&lock);
}

static int on_batch(void *arg, weir_dcp *d)
{
	(void)d;
	count(&((struct sink *)arg)->batches);
	return WEIR_DCP_DONE;
}

static void on_ready(void *arg, weir_dcp *d)
{
	(void)d;
	count(&((struct sink *)arg)->readies);
}

static void on_finished(void *arg, weir_dcp *d)
{
	(void)d;
	count(&((struct sink *)arg)->finishes);
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

/* So many documents, to be read to their end. */
static void up_finite(struct world *w, unsigned n)
{
	up(w);
	load(w, "a", n);
	w->o.finite = true;
}

/* Runs to the end; with a sink of its own that refuses nothing. */
static struct sink run_to_the_end(struct world *w)
{
	weir_error e = WEIR_ERROR_INIT;
	struct sink s = { .refuse_vb = VBS };
	weir_dcp_listener l = listener(&s);
	assert_int_equal(weir_dcp_run(w->d, &l, &e), 1);
	return s;
}

/* A listener that runs on a thread of its own. */
struct runner {
	pthread_t thread;
	weir_dcp *d;
	weir_dcp_listener l;
	int rc;
};

static void *run_it(void *arg)
{
	struct runner *r = arg;
	weir_error e = WEIR_ERROR_INIT;
	r->rc = weir_dcp_run(r->d, &r->l, &e);
	return NULL;
}

static void runner_start(struct runner *r, weir_dcp *d, weir_dcp_listener l)
{
	*r = (struct runner){ .d = d, .l = l };
	assert_int_equal(pthread_create(&r->thread, NULL, run_it, r), 0);
}

static void runner_stop(struct runner *r)
{
	weir_dcp_stop(r->d);
	assert_int_equal(pthread_join(r->thread, NULL), 0);
	assert_int_equal(r->rc, 0);
}

static void a_listener_gets_everything_in_order_and_the_end(void **state)
{
	(void)state;
	struct world w;
	weir_error e = WEIR_ERROR_INIT;
	up_finite(&w, 400);
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
	up_finite(&w, 80);
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

static void events_may_be_acknowledged_later_from_another_thread(void **state)
{
	(void)state;
	struct world w;
	weir_error e = WEIR_ERROR_INIT;
	struct runner r;
	up(&w);
	load(&w, "a", 40);
	open_all(&w);
	assert_int_equal(weir_dcp_wait_ready(w.d, PATIENCE_MS, &e), 1);
	struct sink s = { .refuse_vb = VBS, .later = true };
	runner_start(&r, w.d, listener(&s));
	UNTIL(SEEN(s.events) == 40);
	UNTIL(SEEN(s.readies) == 1);
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
		UNTIL(SEEN(s.offset[vb]) == 5);
	runner_stop(&r);
	down(&w);
}

static void a_refused_rollback_is_handed_in_again(void **state)
{
	(void)state;
	struct world w;
	struct runner r;
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
	runner_start(&r, w.d, l);
	UNTIL(SEEN(s.last[2]) == 4);
	(void)SEEN(s.refusals = 3);
	fake_failover_vb(w.f, 2, 1);
	UNTIL(SEEN(s.rollbacks) == 1);
	assert_int_equal(s.refusals, 0);
	for (unsigned i = 0; i < 2; i++)
		(void)fake_set(w.f, 2, 0, i ? "x" : "y", SLICE_LIT("{}"));
	UNTIL(SEEN(s.last[2]) == 4);
	runner_stop(&r);
	down(&w);
}

/* ---- places ---- */

static void streams_begin_and_go_where_they_are_told(void **state)
{
	(void)state;
	struct world w;
	weir_error e = WEIR_ERROR_INIT;
	up_finite(&w, 80);
	weir_dcp_position at[3] = { { .vbucket = 1, .seqno = 7 },
				    { .vbucket = 2 },
				    { .vbucket = 3, .seqno = 99 } };
	w.o.positions = at;
	w.o.n_positions = 3;
	w.o.latest = true; /* for those that are not named */
	at[0].vbucket = 999;
	assert_int_equal(weir_dcp_open(&w.o, &w.d, &e), WEIR_ERR_INVALID);
	at[0].vbucket = 1;
	open_all(&w);
	struct sink s = run_to_the_end(&w);
	assert_int_equal(s.events,
			 3 + 10); /* vBucket 3 has ended with an error: it is not that far */
	assert_int_equal(s.last[1], 10);
	assert_int_equal(s.last[2], 10);
	assert_int_equal(s.ends, VBS);
	weir_dcp_position back[2] = { { .vbucket = 2, .seqno = 4 }, { .vbucket = 5, .seqno = 8 } };
	assert_int_equal(weir_dcp_seek(w.d, back, 2, &e), 0);
	s = run_to_the_end(&w);
	assert_int_equal(s.events, 6 + 2);
	assert_int_equal(s.offset[2], 10);
	back[0].vbucket = 77;
	assert_int_equal(weir_dcp_seek(w.d, back, 1, &e), WEIR_ERR_NOTFOUND);
	back[0] = (weir_dcp_position){ .vbucket = 1, .seqno = 4, .snapshot_end = 3, .vbuuid = 1 };
	assert_int_equal(weir_dcp_seek(w.d, back, 1, &e), WEIR_ERR_INVALID);
	down(&w);
}

static void a_vbucket_cannot_be_in_two_places(void **state)
{
	(void)state;
	struct world w;
	weir_error e = WEIR_ERROR_INIT;
	const weir_dcp_position two[] = { { .vbucket = 7 },
					  { .vbucket = 1 },
					  { .vbucket = 7, .seqno = 2 } };
	up(&w);
	open_all(&w);
	assert_int_equal(weir_dcp_seek(w.d, two, 3, &e), WEIR_ERR_INVALID);
	assert_string_equal(e.message, "positions: vBucket 7 is named twice");
	assert_int_equal(weir_dcp_seek(w.d, two, 2, &e), 0);
	assert_int_equal(weir_dcp_close(w.d, &e), 0);
	w.o.positions = two;
	w.o.n_positions = 3;
	assert_int_equal(weir_dcp_open(&w.o, &w.d, &e), WEIR_ERR_INVALID);
	fake_stop(w.f);
}

static void a_seek_is_saved(void **state)
{
	(void)state;
	struct world w;
	weir_error e = WEIR_ERROR_INIT;
	char folder[256], path[300];
	up_finite(&w, 80);
	(void)snprintf(folder, sizeof(folder), "%s", test_tmpdir());
	(void)snprintf(path, sizeof(path), "%s/cp.json", folder);
	w.o.checkpoint_file = path;
	open_all(&w);
	struct sink s = run_to_the_end(&w);
	assert_int_equal(s.events, 80);
	weir_dcp_position back = { .vbucket = 4, .seqno = 1 };
	assert_int_equal(weir_dcp_seek(w.d, &back, 1, &e), 0);
	assert_int_equal(weir_dcp_wait_ready(w.d, PATIENCE_MS, &e), 1);
	assert_int_equal(weir_dcp_close(w.d, &e), 0); /* without having taken any of it */
	open_all(&w);
	s = run_to_the_end(&w);
	assert_int_equal(s.events, 9);
	back = s.told[4]; /* with its branch this time, as track_offset tells it: saved before seek returns */
	assert_true(back.vbuuid != 0 && back.seqno == 10);
	back.seqno = back.snapshot_start = back.snapshot_end = 3;
	assert_int_equal(weir_dcp_seek(w.d, &back, 1, &e), 0);
	assert_int_equal(weir_dcp_close(w.d, &e), 0);
	open_all(&w);
	s = run_to_the_end(&w);
	assert_int_equal(s.events, 7);
	down(&w);
	test_rmdir(folder);
}

static void members_without_a_share_end_too(void **state)
{
	(void)state;
	struct world w;
	weir_error e = WEIR_ERROR_INIT;
	unsigned events = 0;
	up_finite(&w, 80);
	for (uint32_t n = 1; n <= VBS + 2; n++) { /* more of them than vBuckets */
		weir_dcp_membership m = { .size = sizeof(m),
					  .kind = WEIR_DCP_MEMBERS_STATIC,
					  .member = n,
					  .total = VBS + 2 };
		w.o.membership = &m;
		assert_int_equal(weir_dcp_open(&w.o, &w.d, &e), 0);
		struct sink s = run_to_the_end(&w);
		assert_int_equal(s.finishes, 1);
		events += s.events;
		assert_int_equal(weir_dcp_close(w.d, &e), 0);
	}
	assert_int_equal(events, 80);
	fake_stop(w.f);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_listener_gets_everything_in_order_and_the_end),
		cmocka_unit_test(a_stopped_run_goes_on_where_it_stopped),
		cmocka_unit_test(events_may_be_acknowledged_later_from_another_thread),
		cmocka_unit_test(a_refused_rollback_is_handed_in_again),
		cmocka_unit_test(streams_begin_and_go_where_they_are_told),
		cmocka_unit_test(a_vbucket_cannot_be_in_two_places),
		cmocka_unit_test(a_seek_is_saved),
		cmocka_unit_test(members_without_a_share_end_too),
	};
	return cmocka_run_group_tests_name("dcp/e2e listener", tests, NULL, NULL);
}
