/* Change streams: where tokens stand, and where a stream starts. */
#include "tests/lib_watch.h"

static void token_of_a_filtered_stream_moves_over_what_it_leaves_out(void **state)
{
	(void)state;
	char before[WEIR_TOKEN_MAX], after[WEIR_TOKEN_MAX];
	weir_token_info info = { .size = sizeof(info) };
	const weir_event *ev;
	weir_watch *w = watch("quiet", NULL, (weir_watch_options){ 0 });
	snprintf(before, sizeof(before), "%s", weir_watch_token(w));
	insert_n(1, 500);
	assert_int_equal(weir_watch_try_next(w, &ev, &e), 0);
	snprintf(after, sizeof(after), "%s", weir_watch_token(w));
	assert_true(strcmp(after, before) > 0);
	must(weir_token_check(o, after, &info, &e));
	assert_true(info.offset == 500);
	assert_false(info.is_event);
	assert_true(info.cluster_time.seconds > 0);
	weir_watch_free(w);
	w = watch(NULL, NULL, (weir_watch_options){ .resume_after = after });
	assert_int_equal(count(w), 0);
	weir_watch_free(w);
}

static void tokens_of_a_stream_sort_in_its_order_also_across_marks(void **state)
{
	(void)state;
	char last[WEIR_TOKEN_MAX] = "";
	insert_n(1, 100);
	weir_watch *w = from_oldest("{\"fullDocument.n\":3}", NULL);
	const weir_event *ev;
	int rc;
	do {
		rc = weir_watch_try_next(w, &ev, &e);
		const char *token = weir_watch_token(w);
		assert_true(strcmp(last, token) < 0);
		snprintf(last, sizeof(last), "%s", token);
	} while (rc == 1);
	weir_watch_free(w);
}

static void token_of_another_log_is_foreign(void **state)
{
	(void)state;
	char other[300], token[WEIR_TOKEN_MAX];
	weir_oplog *p;
	weir_watch *w;
	snprintf(other, sizeof(other), "%s-other", dir);
	must(weir_oplog_open(other, NULL, &p, &e));
	must(weir_watch_open(p, NULL, NULL, NULL, &w, &e));
	snprintf(token, sizeof(token), "%s", weir_watch_token(w));
	weir_watch_free(w);
	must(weir_oplog_close(p, &e));
	test_rmdir(other);
	weir_watch_options opt = { .size = sizeof(opt), .resume_after = token };
	assert_int_equal(weir_watch_open(o, NULL, NULL, &opt, &w, &e), WEIR_ERR_TOKEN_FOREIGN);
	opt.resume_after = "";
	assert_int_equal(weir_watch_open(o, NULL, NULL, &opt, &w, &e), WEIR_ERR_TOKEN_CORRUPT);
}

static void stream_starts_at_a_time(void **state)
{
	(void)state;
	for (int i = 0; i < 30; i++) {
		/* three entries a second */
		const weir_append_options ao = { .size = sizeof(ao),
						 .wall_time_ms = 1700000000000 + i / 3 * 1000 };
		char json[32];
		snprintf(json, sizeof(json), "{\"_id\":%d}", i);
		must(weir_oplog_insert(o, "db", "c", weir_json(json), &ao, NULL, &e));
	}
	static const struct {
		uint32_t seconds, increment;
		int n;
	} times[] = {
		{ 1, 0, 30 },          { 1700000000, 0, 30 }, { 1700000000, 2, 29 },
		{ 1700000004, 0, 18 }, { 1700000004, 3, 16 }, { 1700000009, 3, 1 },
		{ 1700000009, 4, 0 },
	};
	for (size_t i = 0; i < sizeof(times) / sizeof(*times); i++) {
		weir_watch *w = watch(NULL, NULL,
				      (weir_watch_options){ .start = WEIR_START_TIME,
							    .start_time = { times[i].seconds,
									    times[i].increment } });
		assert_int_equal(count(w), times[i].n);
		weir_watch_free(w);
	}
	weir_watch *w = watch(NULL, NULL,
			      (weir_watch_options){ .start = WEIR_START_WALL_TIME,
						    .start_wall_ms = 1700000003500 });
	assert_int_equal(count(w), 18);
	weir_watch_free(w);
}

static void cluster_time_never_goes_back_even_when_wall_times_do(void **state)
{
	(void)state;
	static const int64_t walls[] = {
		1700000000000, 1600000000000, 1700000001000, 4000000000000, 1, 1700000001000
	};
	weir_timestamp last = { 0, 0 };
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < sizeof(walls) / sizeof(*walls); i++) {
			const weir_append_options ao = { .size = sizeof(ao),
							 .wall_time_ms = walls[i] };
			weir_position p;
			must(weir_oplog_noop(o, weir_none(), &ao, &p, &e));
			assert_true(p.cluster_time.seconds > last.seconds ||
				    (p.cluster_time.seconds == last.seconds &&
				     p.cluster_time.increment > last.increment));
			last = p.cluster_time;
		}
		must(weir_oplog_close(o, &e));
		must(weir_oplog_open(dir, NULL, &o, &e));
	}
	assert_true(last.seconds <
		    4000000000); /* a wall time ahead of the clock does not drag it along */
}

static void starts_that_exclude_each_other_are_refused(void **state)
{
	(void)state;
	weir_watch *w;
	weir_watch_options opt = { .size = sizeof(opt),
				   .start = WEIR_START_OLDEST,
				   .resume_after = "00" };
	assert_int_equal(weir_watch_open(o, NULL, NULL, &opt, &w, &e), WEIR_ERR_INVALID);
	opt = (weir_watch_options){ .size = sizeof(opt), .start = WEIR_START_AFTER };
	assert_int_equal(weir_watch_open(o, NULL, NULL, &opt, &w, &e), WEIR_ERR_INVALID);
	assert_int_equal(weir_watch_open(o, NULL, "c", NULL, &w, &e), WEIR_ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(token_of_a_filtered_stream_moves_over_what_it_leaves_out),
		T(tokens_of_a_stream_sort_in_its_order_also_across_marks),
		T(token_of_another_log_is_foreign),
		T(stream_starts_at_a_time),
		T(cluster_time_never_goes_back_even_when_wall_times_do),
		T(starts_that_exclude_each_other_are_refused),
	};
	return cmocka_run_group_tests_name("lib/watch_token", tests, NULL, NULL);
}
