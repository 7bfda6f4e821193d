/* The oplog in a simulated world: clocks that jump, power that goes. */
#include "tests/test.h"

#include "change/lookup.h"
#include "change/oplog.h"
#include "change/watch.h"
#include "doc/json.h"
#include "os/env_sim.h"

#include <string.h>

static struct oplog *open_in(struct sim *s)
{
	const struct oplog_options o = { .env = sim_env(s),
					 .segment_bytes = 1 << 20,
					 .flush_interval_ms = UINT32_MAX };
	struct oplog *out;
	struct err e = ERR_INIT;
	assert_ok(oplog_open("log", &o, &out, &e), &e);
	return out;
}

static void close_(struct oplog *o)
{
	struct err e = ERR_INIT;
	assert_ok(oplog_close(o, &e), &e);
}

static struct oplog_position insert(struct oplog *o, int id, enum log_ack ack)
{
	AUTO(buf) struct buf doc = BUF_INIT;
	struct bson_writer w;
	struct err e = ERR_INIT;
	bson_writer_init(&w, &doc);
	bson_put_int32(&w, SLICE_LIT("_id"), id);
	assert_ok(bson_finish(&w, &e), &e);
	struct oplog_op op = { .op = CHANGE_INSERT,
			       .db = SLICE_LIT("db"),
			       .coll = SLICE_LIT("c"),
			       .doc = buf_slice(&doc) };
	struct oplog_position p;
	assert_ok(oplog_append(o, &op, 1, ack, &p, NULL, &e), &e);
	return p;
}

static void order_never_depends_on_the_clock(void **state)
{
	(void)state;
	static const int64_t jumps[] = {
		3600000, -3600000, 31536000000, -31536000000, -1000, 0, 1
	};
	const int64_t start = INT64_C(1700000000000);
	struct sim *s = sim_new(&(struct sim_options){ .seed = 7 });
	struct sim_rng rng = { 42 };
	struct oplog *o = open_in(s);
	uint64_t last = 0;
	int64_t wall = start, log_ms = 0;
	for (int i = 0; i < 10000; i++) {
		wall = MAX(wall + jumps[sim_below(&rng, ARRAY_LEN(jumps))], 0);
		sim_set_wall_ms(s, wall);
		struct oplog_position p = insert(o, i, LOG_ACK_WRITTEN);
		assert_int_equal(p.offset, i);
		assert_true(p.cluster_time > last);
		last = p.cluster_time;
		struct entry_mark mark;
		if (i % 100 == 0) {
			assert_ok(lookup_mark(oplog_lookup(o), p.offset, &mark, NULL),
				  &(struct err)ERR_INIT);
			assert_true(mark.log_ms >= log_ms);
			log_ms = mark.log_ms;
		}
		if (i % 1000 == 999) {
			close_(o);
			o = open_in(s);
		}
	}
	/* A stream still has them in their order. */
	struct watch *w;
	const struct event *ev;
	struct err e = ERR_INIT;
	const struct watch_options opt = { .start = WATCH_OLDEST, .follow_written = true };
	assert_ok(watch_open(o, SLICE_NONE, SLICE_NONE, &opt, &w, &e), &e);
	for (uint64_t i = 0; i < 10000; i++) {
		assert_int_equal(watch_next(w, 0, &ev, &e), 1);
		assert_true(ev->offset == i);
	}
	watch_free(w);
	close_(o);
	sim_free(s);
}

static void power_loss_keeps_what_was_acknowledged_and_cluster_time_goes_on(void **state)
{
	(void)state;
	struct sim *s = sim_new(&(struct sim_options){ .seed = 1 }), *after = sim_new(NULL);
	struct oplog *o = open_in(s);
	long n = test_count(200, 2000);
	for (long i = 0; i < n; i++) {
		struct err e = ERR_INIT;
		struct oplog_position durable = insert(o, (int)i, LOG_ACK_DURABLE);
		(void)insert(o, -1, LOG_ACK_WRITTEN); /* may be lost */
		assert_int_equal(sim_crash(s, (uint64_t)i, after), 0);
		struct oplog *p = open_in(after);
		struct entry_mark mark;
		assert_ok(lookup_mark(oplog_lookup(p), durable.offset, &mark, &e), &e);
		assert_true(mark.cluster_time == durable.cluster_time);
		assert_true(insert(p, 7, LOG_ACK_WRITTEN).cluster_time > durable.cluster_time);
		close_(p);
		assert_int_equal(sim_reset(after, (uint64_t)i), 0);
	}
	close_(o);
	sim_free(s);
	sim_free(after);
}

/* Who follows written entries may have seen one that a power loss takes back. Its token must never resume silently. */
static void token_of_an_entry_that_a_power_loss_took_back_is_refused(void **state)
{
	(void)state;
	int future = 0, foreign = 0, kept = 0;
	for (uint64_t seed = 0; seed < 60; seed++) {
		struct sim *s = sim_new(&(struct sim_options){ .seed = seed }),
			   *after = sim_new(NULL);
		struct oplog *o = open_in(s);
		struct err e = ERR_INIT;
		struct watch *w;
		const struct event *ev;
		const struct watch_options opt = { .start = WATCH_OLDEST, .follow_written = true };
		(void)insert(o, 1, LOG_ACK_DURABLE);
		(void)insert(o, 2, LOG_ACK_WRITTEN);
		assert_ok(watch_open(o, SLICE_NONE, SLICE_NONE, &opt, &w, &e), &e);
		assert_int_equal(watch_next(w, 0, &ev, &e), 1);
		assert_int_equal(watch_next(w, 0, &ev, &e), 1);
		assert_int_equal(ev->offset, 1);
		assert_int_equal(sim_crash(s, seed, after), 0);
		struct oplog *p = open_in(after);
		struct token t;
		bool lost = log_topic_range(oplog_topic(p), 0, false).next < 2;
		int rc = oplog_resume(p, slice_str(ev->token), &t, &e);
		assert_int_equal(rc, lost ? ERR_TOKEN_FUTURE : 0);
		kept += !lost;
		future += lost;
		if (lost) {
			(void)insert(p, 3, LOG_ACK_DURABLE);
			assert_int_equal(oplog_resume(p, slice_str(ev->token), &t, &e),
					 ERR_TOKEN_FOREIGN);
			foreign++;
		}
		watch_free(w);
		close_(o);
		close_(p);
		sim_free(s);
		sim_free(after);
	}
	assert_true(kept > 0 && future > 0); /* both were tried */
	print_message("%d kept, %d lost, %d written anew\n", kept, future, foreign);
}

/* A stream that follows durable entries, which is the default, shows nothing that could be taken back. */
static void stream_shows_only_what_is_durable_unless_told_otherwise(void **state)
{
	(void)state;
	struct sim *s = sim_new(&(struct sim_options){ .seed = 3 });
	struct oplog *o = open_in(s);
	struct err e = ERR_INIT;
	struct watch *w;
	const struct event *ev;
	assert_ok(watch_open(o, SLICE_NONE, SLICE_NONE, NULL, &w, &e), &e);
	(void)insert(o, 1, LOG_ACK_WRITTEN);
	assert_int_equal(watch_next(w, 0, &ev, &e), 0);
	assert_ok(oplog_flush(o, &e), &e);
	assert_int_equal(watch_next(w, 0, &ev, &e), 1);
	watch_free(w);
	close_(o);
	sim_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(order_never_depends_on_the_clock),
		cmocka_unit_test(power_loss_keeps_what_was_acknowledged_and_cluster_time_goes_on),
		cmocka_unit_test(token_of_an_entry_that_a_power_loss_took_back_is_refused),
		cmocka_unit_test(stream_shows_only_what_is_durable_unless_told_otherwise),
	};
	return cmocka_run_group_tests_name("change/oplog", tests, NULL, NULL);
}
