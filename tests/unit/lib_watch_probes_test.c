/* Change streams: what such streams got wrong elsewhere. */
#include "tests/lib_watch.h"

#include <stdlib.h>

static void slow_consumer_gets_every_one_of_150_events(void **state)
{
	(void)state;
	weir_watch *w = watch("db", "c", (weir_watch_options){ 0 });
	insert_n(1, 150);
	assert_int_equal(count(w), 150);
	weir_watch_free(w);
}

static void resume_after_event_100_of_15000_gives_the_other_14900(void **state)
{
	(void)state;
	char token[WEIR_TOKEN_MAX];
	const weir_event *ev;
	insert_n(1, 15000);
	weir_watch *w = from_oldest(NULL, NULL);
	for (int i = 0; i < 100; i++)
		assert_int_equal(weir_watch_try_next(w, &ev, &e), 1);
	snprintf(token, sizeof(token), "%s", weir_event_token(ev));
	weir_watch_free(w);
	w = watch(NULL, NULL, (weir_watch_options){ .resume_after = token });
	for (int i = 101; i <= 15000; i++) {
		int64_t id;
		assert_int_equal(weir_watch_try_next(w, &ev, &e), 1);
		assert_int_equal(weir_get_int64(weir_event_document_key(ev), "_id", &id), 1);
		assert_int_equal(id, i);
	}
	assert_int_equal(weir_watch_try_next(w, &ev, &e), 0);
	weir_watch_free(w);
}

static void filter_on_the_document_key_matches(void **state)
{
	(void)state;
	insert("db", "users", "{\"_id\":\"user1\"}");
	insert("db", "users", "{\"_id\":\"user2\"}");
	assert_int_equal(count_filtered("{\"documentKey._id\":\"user1\"}", NULL), 1);
	assert_int_equal(count_filtered("{\"fullDocument._id\":\"user2\"}", NULL), 1);
}

static void filters_know_nor_and_missing_fields_and_refuse_unknown_operators(void **state)
{
	(void)state;
	insert("db", "c", "{\"_id\":1,\"x\":1}");
	insert("db", "c", "{\"_id\":2}");
	assert_int_equal(count_filtered("{\"$nor\":[{\"fullDocument.x\":1}]}", NULL), 1);
	assert_int_equal(count_filtered("{\"fullDocument.x\":{\"$ne\":1}}", NULL), 1);
	assert_int_equal(count_filtered("{\"fullDocument.x\":null}", NULL), 1);
	weir_watch_options opt = { .size = sizeof(opt),
				   .filter = weir_json("{\"fullDocument.x\":{\"$bogus\":1}}") };
	weir_watch *w;
	assert_int_equal(weir_watch_open(o, NULL, NULL, &opt, &w, &e), WEIR_ERR_INVALID);
	assert_non_null(strstr(e.message, "filter"));
	assert_non_null(strstr(e.message, "$bogus"));
}

static void pipeline_with_an_unknown_or_forbidden_stage_is_refused(void **state)
{
	(void)state;
	weir_watch_options opt = { .size = sizeof(opt) };
	weir_watch *w;
	opt.pipeline = weir_json("[{\"$project\":{\"ns\":1}},{\"$bogusStage\":{}}]");
	assert_true(weir_watch_open(o, NULL, NULL, &opt, &w, &e) < 0);
	assert_int_equal(e.number, 40324);
	assert_non_null(strstr(e.message, "$bogusStage"));
	opt.pipeline = weir_json("[{\"$group\":{\"_id\":1}}]");
	assert_true(weir_watch_open(o, NULL, NULL, &opt, &w, &e) < 0);
	assert_int_equal(e.number, 20);
}

static void token_after_the_first_of_50_events_resumes_at_the_second(void **state)
{
	(void)state;
	char token[WEIR_TOKEN_MAX];
	const weir_event *ev;
	insert_n(1, 50);
	weir_watch *w = from_oldest(NULL, NULL);
	assert_int_equal(weir_watch_next(w, 0, &ev, &e), 1);
	snprintf(token, sizeof(token), "%s", weir_watch_token(w));
	weir_watch_free(w);
	w = watch(NULL, NULL, (weir_watch_options){ .resume_after = token });
	assert_int_equal(count(w), 49);
	weir_watch_free(w);
}

static void token_of_the_future_is_refused_with_what_exists(void **state)
{
	(void)state;
	char token[WEIR_TOKEN_MAX], copy[300], command[700];
	const weir_event *ev;
	insert_n(1, 5);
	snprintf(copy, sizeof(copy), "%s-copy", dir);
	snprintf(command, sizeof(command), "cp -r %s %s", dir, copy);
	assert_int_equal(system(command), 0);
	insert_n(6, 10);
	weir_watch *w = from_oldest(NULL, NULL);
	while (weir_watch_try_next(w, &ev, &e) == 1)
		snprintf(token, sizeof(token), "%s", weir_event_token(ev));
	weir_watch_free(w);
	/* The copy is what a backup restores: the same log, a shorter history. */
	weir_oplog *restored;
	weir_watch_options opt = { .size = sizeof(opt), .resume_after = token };
	must(weir_oplog_open(copy, NULL, &restored, &e));
	assert_int_equal(weir_watch_open(restored, NULL, NULL, &opt, &w, &e),
			 WEIR_ERR_TOKEN_FUTURE);
	assert_true(e.oldest == 0);
	assert_true(e.newest == 4);
	/* Written on, it has another entry at that place: the history was rolled back. */
	for (int i = 0; i < 10; i++)
		must(weir_oplog_insert(restored, "db", "c", weir_json("{\"_id\":\"other\"}"), NULL,
				       NULL, &e));
	assert_int_equal(weir_watch_open(restored, NULL, NULL, &opt, &w, &e),
			 WEIR_ERR_TOKEN_FOREIGN);
	must(weir_oplog_close(restored, &e));
	test_rmdir(copy);
}

static void int64_bytes_and_time_survive_reopening(void **state)
{
	(void)state;
	const char *json = "{\"_id\":{\"$numberLong\":\"9007199254740993\"},"
			   "\"b\":{\"$binary\":{\"base64\":\"AAEC/w==\",\"subType\":\"00\"}},"
			   "\"t\":{\"$date\":{\"$numberLong\":\"1700000000123\"}}}";
	const weir_event *ev;
	weir_buffer b = WEIR_BUFFER_INIT;
	insert("db", "c", json);
	must(weir_oplog_close(o, &e));
	must(weir_oplog_open(dir, NULL, &o, &e));
	weir_watch *w = from_oldest(NULL, NULL);
	assert_int_equal(weir_watch_try_next(w, &ev, &e), 1);
	must(weir_bson_to_json(weir_event_full_document(ev), WEIR_JSON_CANONICAL, 0, &b, &e));
	assert_string_equal((const char *)b.data, json);
	weir_buffer_free(&b);
	weir_watch_free(w);
}

static void caller_that_changes_its_document_afterwards_changes_no_history(void **state)
{
	(void)state;
	weir_buffer b = WEIR_BUFFER_INIT;
	must(weir_json_to_bson("{\"_id\":1,\"x\":\"before\"}", 22, &b, NULL, &e));
	must(weir_oplog_insert(o, "db", "c", weir_bson(b.data, b.len), NULL, NULL, &e));
	memset(b.data, 0xee, b.len);
	weir_watch *w = from_oldest(NULL, NULL);
	assert_non_null(strstr(next_json(w), "fullDocument:{\"_id\":1,\"x\":\"before\"}"));
	weir_watch_free(w);
	weir_buffer_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(slow_consumer_gets_every_one_of_150_events),
		T(resume_after_event_100_of_15000_gives_the_other_14900),
		T(filter_on_the_document_key_matches),
		T(filters_know_nor_and_missing_fields_and_refuse_unknown_operators),
		T(pipeline_with_an_unknown_or_forbidden_stage_is_refused),
		T(token_after_the_first_of_50_events_resumes_at_the_second),
		T(token_of_the_future_is_refused_with_what_exists),
		T(int64_bytes_and_time_survive_reopening),
		T(caller_that_changes_its_document_afterwards_changes_no_history),
	};
	return cmocka_run_group_tests_name("lib/watch_probes", tests, NULL, NULL);
}
