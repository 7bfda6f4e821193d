/* Trim against readers, slow readers, and clocks that jump.
 *
 * A reader gets every offset in turn, or ERR_HISTORY_LOST with the range that does exist; never a hole, whatever is
 * trimmed while it reads. With threads, where anything may interleave; and in the simulator, where every step is
 * drawn from a seed and positions at each boundary, one before and one behind come up.
 *
 * Offsets, reading and waiting do not depend on the wall clock; a jump of it deletes nothing that is not old.
 */
#include "tests/log_model.h"
#include "tests/test.h"

#include "os/env_sim.h"
#include "os/thread.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define MAX_VALUE 500
#define READERS   3

/* ---- one reader's view, checked step by step ---- */

struct view {
	struct log_topic *topic;
	struct log_reader *r;
	uint64_t at; /* the next offset it must get */
	uint64_t delivered, lost;
	size_t max_value; /* 0: MAX_VALUE */
};

/* 1 a record, 0 none yet; negative with what is wrong. */
static int view_step(struct view *v, struct err *e)
{
	struct log_record rec;
	struct model_id which = { 0 };
	int rc = log_reader_next(v->r, &rec, e);
	if (rc == 0)
		return 0;
	if (rc == ERR_HISTORY_LOST) {
		if (e->oldest <= v->at)
			return err_set(e, ERR_CONFLICT,
				       "offset %" PRIu64
				       " called lost, the oldest is said to be %" PRIu64,
				       v->at, e->oldest);
		v->lost++;
		v->at = e->oldest;
		log_reader_seek(v->r, v->at);
		return 1;
	}
	if (rc < 0)
		return err_in(e, rc, "at offset %" PRIu64, v->at);
	if (rec.offset != v->at ||
	    !model_check(&rec, v->max_value ? v->max_value : MAX_VALUE, &which) ||
	    which.id != v->at)
		return err_set(e, ERR_CONFLICT,
			       "a hole: offset %" PRIu64 " where %" PRIu64 " belongs", rec.offset,
			       v->at);
	v->at++;
	v->delivered++;
	return 1;
}

/* ---- threads ---- */

struct race {
	struct log_topic *topic;
	_Atomic bool stop;
	_Atomic int failed;
	char why[300];
};

struct racer {
	struct race *race;
	struct view view;
	struct thread thread;
};

static void race_failed(struct race *race, const struct err *e)
{
	int expected = 0;
	if (atomic_compare_exchange_strong(&race->failed, &expected, 1))
		snprintf(race->why, sizeof(race->why), "%.290s", e->msg);
}

static void *read_and_restart(void *arg)
{
	struct racer *me = arg;
	struct race *race = me->race;
	struct view *v = &me->view;
	struct err e = ERR_INIT;
	v->topic = race->topic;
	struct sim_rng rng = { (uintptr_t)me };
	while (!atomic_load(&race->stop) && !atomic_load(&race->failed)) {
		struct log_range range = log_topic_range(race->topic, 0, false);
		v->at = range.oldest + sim_below(&rng, 40); /* close to where it is trimmed */
		v->at = MIN(v->at, range.next);
		int rc = log_reader_open(race->topic, 0, v->at, NULL, &v->r, &e);
		for (int i = 0; i < 500 && rc >= 0; i++)
			rc = view_step(v, &e);
		if (rc < 0)
			race_failed(race, &e);
		log_reader_close(v->r);
		v->r = NULL;
	}
	return NULL;
}

static void readers_racing_with_trim_never_see_a_hole(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	char tmp[256], dir[300];
	snprintf(tmp, sizeof(tmp), "%s", test_tmpdir());
	snprintf(dir, sizeof(dir), "%s/log", tmp);
	struct log_options o = { .create = true, .segment_bytes = 8192 };
	struct log *l;
	struct race race = { 0 };
	assert_ok(log_open(dir, &o, &l, &e), &e);
	assert_ok(log_topic_create(l, "t", 1, &race.topic, &e), &e);
	static struct racer racers[READERS];
	memset(racers, 0, sizeof(racers));
	for (int i = 0; i < READERS; i++) {
		racers[i].race = &race;
		assert_ok(thread_start(&racers[i].thread, "reader", read_and_restart, &racers[i],
				       &e),
			  &e);
	}
	nsec end = env_mono(env_posix()) + test_count(2, 60) * NSEC_PER_SEC;
	uint64_t next = 0, trims = 0;
	int rc = 0;
	while (rc == 0 && env_mono(env_posix()) < end && !atomic_load(&race.failed)) {
		rc = model_append(race.topic, 0, next, 4, 0, MAX_VALUE, LOG_ACK_WRITTEN, &e);
		next += 4;
		uint64_t oldest;
		if (rc == 0 && next > 200 && next % 16 == 0) {
			rc = log_trim(race.topic, 0, next - 150, &oldest, &e);
			trims++;
		}
	}
	atomic_store(&race.stop, true);
	uint64_t delivered = 0, lost = 0;
	for (int i = 0; i < READERS; i++) {
		thread_join(&racers[i].thread);
		delivered += racers[i].view.delivered;
		lost += racers[i].view.lost;
	}
	if (atomic_load(&race.failed))
		fail_msg("%s", race.why);
	assert_ok(rc, &e);
	assert_ok(log_close(l, &e), &e);
	print_message("%" PRIu64 " records read, %" PRIu64 " trims, history lost %" PRIu64
		      " times\n",
		      delivered, trims, lost);
	assert_true(lost > 0 && delivered > 1000);
	test_rmdir(tmp);
}

/* ---- step by step ---- */

struct steps {
	struct sim *sim;
	struct log *log;
	struct log_topic *topic;
	struct sim_rng rng;
	uint64_t next;
	struct view view[READERS];
};

static void steps_open(struct steps *s, uint32_t segment_bytes)
{
	struct err e = ERR_INIT;
	s->sim = sim_new(&(struct sim_options){ .file_bytes = 128u << 10 });
	assert_non_null(s->sim);
	struct log_options o = { .env = sim_env(s->sim),
				 .create = true,
				 .segment_bytes = segment_bytes,
				 .flush_interval_ms = UINT32_MAX };
	assert_ok(log_open("log", &o, &s->log, &e), &e);
	assert_ok(log_topic_create(s->log, "t", 1, &s->topic, &e), &e);
}

static uint64_t near_a_boundary(struct steps *s)
{
	struct log_range range = log_topic_range(s->topic, 0, false);
	uint64_t at = sim_below(&s->rng, 2) ? range.oldest : range.next;
	at += sim_below(&s->rng, 3);
	return at ? at - 1 : 0;
}

static int reopen_reader(struct steps *s, struct view *v, struct err *e)
{
	log_reader_close(v->r);
	v->r = NULL;
	v->topic = s->topic;
	v->at = MIN(near_a_boundary(s), s->next);
	return log_reader_open(s->topic, 0, v->at, NULL, &v->r, e);
}

static int one_step(struct steps *s, struct err *e)
{
	struct view *v = &s->view[sim_below(&s->rng, READERS)];
	uint64_t what = sim_below(&s->rng, 20), oldest;
	int rc;
	if (what < 4) {
		size_t n = 1 + sim_below(&s->rng, 4);
		rc = model_append(s->topic, 0, s->next, n, 0, MAX_VALUE, LOG_ACK_WRITTEN, e);
		s->next += n;
		return rc;
	}
	if (what < 6)
		return log_trim(s->topic, 0, MIN(near_a_boundary(s), s->next), &oldest, e);
	if (what < 8 || !v->r)
		return reopen_reader(s, v, e);
	rc = view_step(v, e);
	return MIN(rc, 0);
}

static void no_interleaving_of_trims_and_reads_shows_a_hole(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct steps s = { .rng = { 7 } };
	steps_open(&s, 4096);
	long steps = test_count(200000, 1000000);
	for (long i = 0; i < steps; i++)
		if (one_step(&s, &e) < 0)
			fail_msg("step %ld: %s", i, e.msg);
	uint64_t delivered = 0, lost = 0;
	for (int i = 0; i < READERS; i++) {
		delivered += s.view[i].delivered;
		lost += s.view[i].lost;
		log_reader_close(s.view[i].r);
	}
	print_message("%ld steps: %" PRIu64 " records read, history lost %" PRIu64 " times\n",
		      steps, delivered, lost);
	assert_true(delivered > (uint64_t)steps / 10);
	assert_true(lost > 100);
	assert_ok(log_close(s.log, &e), &e);
	assert_int_equal(sim_open_files(s.sim), 0);
	sim_free(s.sim);
}

/* ---- a slow reader ---- */

#define SLOW_RECORDS 1000000
#define SLOW_RATIO   1000

static void a_reader_a_thousand_times_slower_gets_everything_in_bounded_memory(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	char tmp[256], dir[300];
	snprintf(tmp, sizeof(tmp), "%s", test_tmpdir());
	snprintf(dir, sizeof(dir), "%s/log", tmp);
	struct log_options o = { .create = true, .segment_bytes = 4u << 20 };
	struct log *l;
	struct view view = { .max_value = 20 };
	assert_ok(log_open(dir, &o, &l, &e), &e);
	assert_ok(log_topic_create(l, "t", 1, &view.topic, &e), &e);
	assert_ok(log_reader_open(view.topic, 0, 0, NULL, &view.r, &e), &e);
	uint64_t next = 0, n = SLOW_RECORDS / MODEL_SLOWER;
	size_t before = 0;
	while (next < n) {
		assert_ok(model_append(view.topic, 0, next, 8, 0, view.max_value, LOG_ACK_WRITTEN,
				       &e),
			  &e);
		next += 8;
		if (next % SLOW_RATIO == 0)
			assert_int_equal(view_step(&view, &e), 1);
		if (next == 16 * SLOW_RATIO) /* everybody has what he needs */
			before = mallinfo2().uordblks;
	}
	assert_in_range(view.at, n / SLOW_RATIO / 8, n / SLOW_RATIO);
	int rc;
	while ((rc = view_step(&view, &e)) == 1)
		;
	assert_ok(rc, &e);
	assert_int_equal(view.delivered, n);
	assert_int_equal(view.lost, 0);
	if (MODEL_SLOWER == 1)
		assert_true(mallinfo2().uordblks < before + (1u << 20));
	log_reader_close(view.r);
	assert_ok(log_close(l, &e), &e);
	test_rmdir(tmp);
}

/* ---- clocks ---- */

#define YEAR_MS INT64_C(31536000000)
#define HOUR_MS INT64_C(3600000)

static void a_jumping_wall_clock_reorders_and_deletes_nothing(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct steps s = { .rng = { 3 } };
	steps_open(&s, 8192);
	assert_ok(log_topic_set_retention(s.topic, &(struct log_retention){ .max_age_ms = HOUR_MS },
					  &e),
		  &e);
	static const int64_t jumps[] = { HOUR_MS, -HOUR_MS, YEAR_MS, -YEAR_MS, -1000, 2 * HOUR_MS };
	int64_t start = env_wall_ms(sim_env(s.sim));
	long n = test_count(2000, 10000);
	for (long i = 0; i < n; i++) {
		sim_set_wall_ms(s.sim, start + jumps[sim_below(&s.rng, ARRAY_LEN(jumps))]);
		if (i % 3 == 0)
			assert_ok(log_retain(s.log, &e), &e);
		/* The record says when it happened: none is ever an hour old. */
		struct buf bytes = BUF_INIT;
		struct log_record rec;
		model_record((struct model_id){ 0, s.next }, MAX_VALUE, &bytes, &rec);
		rec.time_ms = start + i;
		uint64_t first;
		assert_ok(log_append(s.topic, 0, &rec, 1, LOG_ACK_WRITTEN, &first, &e), &e);
		assert_int_equal(first, s.next);
		buf_done(&bytes);
		s.next++;
	}
	sim_set_wall_ms(s.sim, start);
	assert_ok(log_retain(s.log, &e), &e);
	assert_int_equal(log_topic_range(s.topic, 0, false).oldest, 0);
	assert_ok(model_read(s.topic,
			     &(struct model_range){ .next = s.next,
						    .new_from = UINT64_MAX,
						    .max_value = MAX_VALUE },
			     &e),
		  &e);
	sim_advance(s.sim, 2 * HOUR_MS * NSEC_PER_MS); /* now they are old */
	assert_ok(log_retain(s.log, &e), &e);
	assert_in_range(log_topic_range(s.topic, 0, false).oldest, 1, s.next - 1);
	assert_ok(log_close(s.log, &e), &e);
	sim_free(s.sim);
}

static void records_stamped_by_a_wrong_clock_are_not_deleted_early(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct steps s = { .rng = { 5 } };
	steps_open(&s, 8192);
	int64_t start = env_wall_ms(sim_env(s.sim));
	assert_ok(log_topic_set_retention(s.topic, &(struct log_retention){ .max_age_ms = HOUR_MS },
					  &e),
		  &e);
	static const int64_t jumps[] = { HOUR_MS, -HOUR_MS, YEAR_MS, -YEAR_MS, -1000, 2 * HOUR_MS };
	long n = test_count(2000, 10000);
	for (long i = 0; i < n; i++) {
		sim_set_wall_ms(s.sim, start + jumps[sim_below(&s.rng, ARRAY_LEN(jumps))]);
		assert_ok(model_append(s.topic, 0, s.next, 1, 0, MAX_VALUE, LOG_ACK_WRITTEN, &e),
			  &e);
		s.next++;
		if (i % 3 == 0)
			assert_ok(log_retain(s.log, &e), &e);
	}
	assert_int_equal(log_topic_range(s.topic, 0, false).oldest, 0);
	struct model_range left = { .next = s.next,
				    .new_from = UINT64_MAX,
				    .max_value = MAX_VALUE };
	assert_ok(model_read(s.topic, &left, &e), &e);
	assert_ok(log_close(s.log, &e), &e);
	sim_free(s.sim);
}

static void waiting_does_not_look_at_the_wall_clock(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct steps s = { .rng = { 3 } };
	s.sim = sim_new(NULL);
	assert_non_null(s.sim);
	struct env *env = sim_env(s.sim);
	struct log_options o = { .env = env, .create = true, .flush_interval_ms = UINT32_MAX };
	assert_ok(log_open("log", &o, &s.log, &e), &e);
	assert_ok(log_topic_create(s.log, "t", 1, &s.topic, &e), &e);
	struct log_reader *r;
	assert_ok(log_reader_open(s.topic, 0, 0, NULL, &r, &e), &e);
	for (int i = 0; i < 20; i++) {
		nsec begin = env_mono(env), deadline = begin + NSEC_PER_SEC;
		sim_set_wall_ms(s.sim, i % 2 ? 1000 : 4 * YEAR_MS * 20);
		int rc;
		while ((rc = log_reader_wait(r, deadline, &e)) == 1 && env_mono(env) < deadline)
			;
		assert_true(rc == 0 || rc == 1);
		assert_in_range(env_mono(env) - begin, NSEC_PER_SEC, 2 * NSEC_PER_SEC);
	}
	log_reader_close(r);
	assert_ok(log_close(s.log, &e), &e);
	sim_free(s.sim);
}

int main(void)
{
	test_in_memory(); /* trims sync: a slow disk would leave little to race */
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(readers_racing_with_trim_never_see_a_hole),
		cmocka_unit_test(no_interleaving_of_trims_and_reads_shows_a_hole),
		cmocka_unit_test(
			a_reader_a_thousand_times_slower_gets_everything_in_bounded_memory),
		cmocka_unit_test(a_jumping_wall_clock_reorders_and_deletes_nothing),
		cmocka_unit_test(records_stamped_by_a_wrong_clock_are_not_deleted_early),
		cmocka_unit_test(waiting_does_not_look_at_the_wall_clock),
	};
	return cmocka_run_group_tests_name("log_faults_race", tests, NULL, NULL);
}
