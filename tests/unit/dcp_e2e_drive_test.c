/* Whoever runs the loop, the I/O thread or a consumer in its polls: everything comes once and in order, and nobody waits
 * for a loop that stands still. */
#include "tests/dcp_world.h"

#include "dcp/source_internal.h"

#include <pthread.h>
#include <stdatomic.h>

enum { VBS = 8, SMALL = 4000, BIG = 30, BIG_BYTES = 100 << 10 };

/* One big document is enough for the loop to be lent to a consumer that waits for it. */
static struct world *full_world_of(const struct fake_options *o, unsigned docs, size_t bytes)
{
	struct world *w = world_new(o);
	static char value[BIG_BYTES];
	char key[16];
	memset(value, 'v', bytes);
	for (unsigned i = 0; i < docs; i++)
		for (uint16_t vb = 0; vb < VBS; vb++) {
			(void)snprintf(key, sizeof(key), "k%u", i);
			(void)fake_set(w->fake, vb, 0, key, slice_of(value, bytes));
		}
	return w;
}

static struct world *full_world(unsigned docs, size_t bytes)
{
	return full_world_of(&(struct fake_options){ .vbuckets = VBS }, docs, bytes);
}

static uint64_t turns(struct world *w)
{
	mutex_lock(&w->source->hand);
	uint64_t n = w->source->drive.turns;
	mutex_unlock(&w->source->hand);
	return n;
}

static bool lent(struct world *w)
{
	mutex_lock(&w->source->hand);
	bool is = w->source->drive.lent;
	mutex_unlock(&w->source->hand);
	return is;
}

struct reader {
	uint64_t seqno[VBS], n;
};

/* Takes and acknowledges a batch; every seqno comes once, in order. */
static void read_some(struct world *w, struct reader *r, nsec wait)
{
	struct err e = ERR_INIT;
	struct dcp_batch b;
	int rc = dcp_source_poll(w->source, &b, wait, &e);
	assert_ok(MIN(rc, 0), &e);
	for (size_t i = 0; rc > 0 && i < b.n; i++) {
		assert_int_equal(b.ev[i].kind, DCP_MUTATION);
		assert_int_equal(b.ev[i].pos.seqno, r->seqno[b.ev[i].vb] + 1);
		r->seqno[b.ev[i].vb]++;
		r->n++;
		assert_int_equal(dcp_source_ack(w->source, &b.ev[i]), 0);
	}
}

/* Opens it and reads until the consumer has the loop. */
static void open_and_drive(struct world *w, struct reader *r)
{
	for (int i = 0; i < 50; i++) { /* on a busy machine the consumer may never have to wait */
		if (w->source)
			world_close(w);
		*r = (struct reader){ .n = 0 };
		world_open(w);
		while (!lent(w) && r->n < VBS * BIG)
			read_some(w, r, 10 * NSEC_PER_SEC);
		if (lent(w))
			return;
	}
	fail_msg("the consumer never had the loop");
}

static void a_quick_consumer_runs_the_loop_itself(void **state)
{
	(void)state;
	struct reader r;
	struct world *w = full_world(BIG, BIG_BYTES);
	open_and_drive(w, &r);
	while (r.n < VBS * BIG)
		read_some(w, &r, 10 * NSEC_PER_SEC);
	assert_true(turns(w) > 0);
	world_free(w);
}

/* Once in a while slow, waiting in different ways, while another thread wants something of the loop all the time. */
static atomic_bool over;

static void *ask_all_the_time(void *arg)
{
	struct world *w = arg;
	struct dcp_status st;
	while (!over) {
		assert_int_equal(dcp_source_status(w->source, &st, NULL, NULL), 0);
		usleep(500);
	}
	return NULL;
}

static void a_consumer_that_is_slow_at_times_gets_everything_once(void **state)
{
	(void)state;
	static const nsec waits[] = { 10 * NSEC_PER_SEC, 0, 100 * 1000, -1 };
	struct reader r = { .n = 0 };
	struct world *w = full_world(SMALL, 40);
	pthread_t asking;
	over = false;
	world_open(w);
	assert_int_equal(pthread_create(&asking, NULL, ask_all_the_time, w), 0);
	for (unsigned i = 0; r.n < VBS * SMALL; i++) {
		read_some(w, &r, waits[i % ARRAY_LEN(waits)]);
		if (i % 97 == 0)
			usleep(i % 5 * 1000);
	}
	over = true;
	(void)pthread_join(asking, NULL);
	assert_int_equal(w->source->reconnects, 0);
	world_free(w);
}

struct shift {
	struct world *w;
	struct reader r;
	pthread_mutex_t lock;
};

static void *poll_in_turn(void *arg)
{
	static const nsec waits[] = { NSEC_PER_SEC, 0, 100 * 1000, -1 };
	struct shift *sh = arg;
	for (unsigned i = 0; !over; i++) {
		(void)pthread_mutex_lock(&sh->lock);
		if (sh->r.n < VBS * SMALL)
			read_some(sh->w, &sh->r, waits[i % ARRAY_LEN(waits)]);
		over = sh->r.n == VBS * SMALL;
		(void)pthread_mutex_unlock(&sh->lock);
	}
	return NULL;
}

/* Each poll is another thread's, perhaps; some of it is held back, for want of copies or because the hour is past. */
static void consumers_that_take_turns_get_everything_once(void **state)
{
	(void)state;
	struct shift sh = { .w = full_world_of(&(struct fake_options){ .nodes = 3,
								       .vbuckets = VBS,
								       .replicas = 1,
								       .persist_delay_ms = 1 },
					       SMALL, 40),
			    .lock = PTHREAD_MUTEX_INITIALIZER };
	pthread_t poller[2];
	sh.w->o.mitigation.policy = MITIGATE_ALL;
	over = false;
	world_open(sh.w);
	for (unsigned i = 0; i < ARRAY_LEN(poller); i++)
		assert_int_equal(pthread_create(&poller[i], NULL, poll_in_turn, &sh), 0);
	while (!over) {
		dcp_source_hand_out_until(sh.w->source, now());
		dcp_source_interrupt(sh.w->source);
		usleep(300);
		dcp_source_hand_out_until(sh.w->source, INT64_MAX);
		usleep(3000);
	}
	for (unsigned i = 0; i < ARRAY_LEN(poller); i++)
		(void)pthread_join(poller[i], NULL);
	assert_int_equal(sh.w->source->reconnects, 0);
	world_free(sh.w);
}

/* The server asks every second whether anybody is there. */
static void a_consumer_that_goes_away_leaves_the_loop_to_the_io_thread(void **state)
{
	(void)state;
	struct reader r;
	struct world *w = full_world(BIG, BIG_BYTES);
	w->o.noop = NSEC_PER_SEC;
	open_and_drive(w, &r);
	nsec begun = now();
	while (lent(w) && now() - begun < 5 * NSEC_PER_SEC)
		usleep(1000);
	assert_false(lent(w));
	usleep(2500 * 1000);
	while (r.n < VBS * BIG)
		read_some(w, &r, 10 * NSEC_PER_SEC);
	assert_int_equal(w->source->reconnects, 0);
	world_free(w);
}

static void a_source_is_closed_while_its_consumer_has_the_loop(void **state)
{
	(void)state;
	struct world *w = full_world(BIG, BIG_BYTES);
	for (int i = 0; i < 5; i++) {
		struct reader r;
		open_and_drive(w, &r);
		nsec begun = now();
		world_close(w);
		assert_true(now() - begun < 5 * NSEC_PER_SEC);
	}
	world_free(w);
}

/* A descriptor tells of what came only if somebody looks at the sockets. */
static void who_waits_at_the_descriptor_does_not_run_the_loop(void **state)
{
	(void)state;
	struct reader r;
	struct world *w = full_world(BIG, BIG_BYTES);
	open_and_drive(w, &r);
	(void)dcp_source_fd(w->source);
	uint64_t before = turns(w);
	while (r.n < VBS * BIG)
		read_some(w, &r, 10 * NSEC_PER_SEC);
	assert_int_equal(turns(w), before);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_quick_consumer_runs_the_loop_itself),
		cmocka_unit_test(a_consumer_that_is_slow_at_times_gets_everything_once),
		cmocka_unit_test(consumers_that_take_turns_get_everything_once),
		cmocka_unit_test(a_consumer_that_goes_away_leaves_the_loop_to_the_io_thread),
		cmocka_unit_test(a_source_is_closed_while_its_consumer_has_the_loop),
		cmocka_unit_test(who_waits_at_the_descriptor_does_not_run_the_loop),
	};
	return cmocka_run_group_tests_name("dcp/e2e_drive", tests, NULL, NULL);
}
