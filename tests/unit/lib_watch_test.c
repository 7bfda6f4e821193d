/* Change streams through the public API: what is delivered, in which shape, and where the token stands. */
#include "tests/test.h"

#include "weir/weir.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static char dir[256];
static weir_oplog *o;
static weir_error e;

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "%s", test_tmpdir());
	assert_int_equal(weir_oplog_open(dir, NULL, &o, &e), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	assert_int_equal(weir_oplog_close(o, &e), 0);
	test_rmdir(dir);
	return 0;
}

#define must(call) \
	do { \
		if ((call) != 0) \
			fail_msg("%s: %s %s", #call, weir_error_name(e.code), e.message); \
	} while (0)

static void insert(const char *db, const char *coll, const char *json)
{
	must(weir_oplog_insert(o, db, coll, weir_json(json), NULL, NULL, &e));
}

static void insert_n(int from, int to)
{
	weir_batch *b;
	must(weir_batch_new(o, &b, &e));
	for (int i = from; i <= to; i++) {
		char json[64];
		snprintf(json, sizeof(json), "{\"_id\":%d,\"n\":%d}", i, i % 10);
		must(weir_batch_insert(b, "db", "c", weir_json(json), NULL, &e));
	}
	must(weir_batch_commit(b, WEIR_ACK_DURABLE, NULL, NULL, NULL, &e));
	weir_batch_free(b);
}

static weir_watch *watch(const char *db, const char *coll, weir_watch_options opt)
{
	weir_watch *w;
	opt.size = sizeof(opt);
	must(weir_watch_open(o, db, coll, &opt, &w, &e));
	return w;
}

static weir_watch *from_oldest(const char *filter, const char *pipeline)
{
	return watch(NULL, NULL,
		     (weir_watch_options){ .start = WEIR_START_OLDEST,
					   .filter = filter ? weir_json(filter) : weir_none(),
					   .pipeline =
						   pipeline ? weir_json(pipeline) : weir_none() });
}

/* The next event without its _id, clusterTime and wallTime, as JSON; "" when there is none. */
static const char *next_json(weir_watch *w)
{
	static char out[4096];
	const weir_event *ev;
	int rc = weir_watch_try_next(w, &ev, &e);
	if (rc < 0)
		fail_msg("next: %s %s", weir_error_name(rc), e.message);
	out[0] = '\0';
	if (rc == 0)
		return out;
	weir_iter it;
	weir_iter_init(&it, weir_event_bson(ev));
	while (weir_iter_next(&it)) {
		if (!strcmp(it.key, "_id") || !strcmp(it.key, "clusterTime") ||
		    !strcmp(it.key, "wallTime"))
			continue;
		weir_buffer b = WEIR_BUFFER_INIT;
		must(weir_value_to_json(&it.value, WEIR_JSON_RELAXED, &b, &e));
		size_t n = strlen(out);
		snprintf(out + n, sizeof(out) - n, "%s%s:%s", n ? " " : "", it.key,
			 (const char *)b.data);
		weir_buffer_free(&b);
	}
	return out;
}

static int count(weir_watch *w)
{
	const weir_event *ev;
	int n = 0, rc;
	while ((rc = weir_watch_try_next(w, &ev, &e)) == 1)
		n++;
	if (rc < 0)
		fail_msg("next: %s %s", weir_error_name(rc), e.message);
	return n;
}

static int count_filtered(const char *filter, const char *pipeline)
{
	weir_watch *w = from_oldest(filter, pipeline);
	int n = count(w);
	weir_watch_free(w);
	return n;
}

/* ---- events ---- */

static void every_operation_gives_its_event(void **state)
{
	(void)state;
	must(weir_oplog_create_collection(o, "db", "c", weir_json("{\"capped\":true}"), NULL, NULL,
					  &e));
	must(weir_oplog_create_index(o, "db", "c",
				     weir_json("{\"key\":{\"a\":1},\"name\":\"a_1\"}"), NULL, NULL,
				     &e));
	insert("db", "c", "{\"_id\":1,\"a\":1,\"old\":true}");
	must(weir_oplog_update(o, "db", "c", weir_json("{\"_id\":1}"),
			       weir_json("{\"$inc\":{\"a\":4},\"$unset\":{\"old\":\"\"}}"), NULL,
			       NULL, &e));
	must(weir_oplog_replace(o, "db", "c", weir_json("{\"_id\":1,\"b\":2}"), NULL, NULL, &e));
	must(weir_oplog_noop(o, weir_none(), NULL, NULL, &e));
	must(weir_oplog_delete(o, "db", "c", weir_json("{\"_id\":1}"), NULL, NULL, &e));
	must(weir_oplog_drop_index(o, "db", "c", weir_json("{\"name\":\"a_1\"}"), NULL, NULL, &e));
	must(weir_oplog_rename_collection(o, "db", "c", "db", "d", NULL, NULL, &e));
	must(weir_oplog_drop_collection(o, "db", "d", NULL, NULL, &e));
	must(weir_oplog_drop_database(o, "db", NULL, NULL, &e));
	static const char *const expected[] = {
		"operationType:\"create\" ns:{\"db\":\"db\",\"coll\":\"c\"} nsType:\"collection\" "
		"operationDescription:{\"capped\":true}",
		"operationType:\"createIndexes\" ns:{\"db\":\"db\",\"coll\":\"c\"} "
		"operationDescription:{\"indexes\":[{\"key\":{\"a\":1},\"name\":\"a_1\"}]}",
		"operationType:\"insert\" ns:{\"db\":\"db\",\"coll\":\"c\"} "
		"documentKey:{\"_id\":1} "
		"fullDocument:{\"_id\":1,\"a\":1,\"old\":true}",
		"operationType:\"update\" ns:{\"db\":\"db\",\"coll\":\"c\"} "
		"documentKey:{\"_id\":1} "
		"updateDescription:{\"updatedFields\":{\"a\":5},\"removedFields\":[\"old\"],"
		"\"truncatedArrays\":[]}",
		"operationType:\"replace\" ns:{\"db\":\"db\",\"coll\":\"c\"} "
		"documentKey:{\"_id\":1} "
		"fullDocument:{\"_id\":1,\"b\":2}",
		"operationType:\"delete\" ns:{\"db\":\"db\",\"coll\":\"c\"} "
		"documentKey:{\"_id\":1}",
		"operationType:\"dropIndexes\" ns:{\"db\":\"db\",\"coll\":\"c\"} "
		"operationDescription:{\"indexes\":[{\"name\":\"a_1\"}]}",
		"operationType:\"rename\" ns:{\"db\":\"db\",\"coll\":\"c\"} "
		"to:{\"db\":\"db\",\"coll\":\"d\"} "
		"operationDescription:{\"to\":{\"db\":\"db\",\"coll\":\"d\"}}",
		"operationType:\"drop\" ns:{\"db\":\"db\",\"coll\":\"d\"}",
		"operationType:\"dropDatabase\" ns:{\"db\":\"db\"}",
		"",
	};
	weir_watch *w = from_oldest(NULL, NULL);
	for (size_t i = 0; i < sizeof(expected) / sizeof(*expected); i++)
		assert_string_equal(next_json(w), expected[i]);
	weir_watch_free(w);
}

static void event_carries_token_times_and_what_its_functions_say(void **state)
{
	(void)state;
	const weir_append_options ao = { .size = sizeof(ao), .wall_time_ms = 1700000000123 };
	const weir_event *ev;
	const char *text;
	int64_t ms;
	weir_value v;
	must(weir_oplog_insert(o, "shop", "users", weir_json("{\"_id\":\"u1\",\"age\":3}"), &ao,
			       NULL, &e));
	weir_watch *w = from_oldest(NULL, NULL);
	assert_int_equal(weir_watch_try_next(w, &ev, &e), 1);
	assert_string_equal(weir_event_operation(ev), "insert");
	assert_string_equal(weir_event_database(ev), "shop");
	assert_string_equal(weir_event_collection(ev), "users");
	assert_true(weir_event_wall_time(ev) == 1700000000123);
	assert_true(weir_event_offset(ev) == 0);
	assert_int_equal(weir_event_cluster_time(ev).seconds, 1700000000);
	assert_int_equal(weir_get_string(weir_event_document_key(ev), "_id", &text), 1);
	assert_string_equal(text, "u1");
	assert_int_equal(weir_get_string(weir_event_bson(ev), "_id._data", &text), 1);
	assert_string_equal(text, weir_event_token(ev));
	assert_string_equal(text, weir_watch_token(w));
	assert_int_equal(weir_get_date(weir_event_bson(ev), "wallTime", &ms), 1);
	assert_true(ms == 1700000000123);
	assert_int_equal(weir_get(weir_event_bson(ev), "clusterTime", &v), 1);
	assert_int_equal(v.type, WEIR_TYPE_TIMESTAMP);
	assert_null(weir_event_update_description(ev).data);
	weir_event *copy;
	must(weir_event_copy(ev, &copy, &e));
	assert_int_equal(weir_watch_try_next(w, &ev, &e), 0);
	assert_string_equal(weir_event_collection(copy), "users");
	weir_event_free(copy);
	weir_watch_free(w);
}

static void update_description_holds_values_after_the_update_for_every_operator(void **state)
{
	(void)state;
	insert("db", "c",
	       "{\"_id\":1,\"n\":10,\"m\":4,\"list\":[1,2,3],\"tags\":[\"a\"],\"low\":5,\"gone\":1,"
	       "\"was\":7}");
	static const struct {
		const char *update, *expected;
	} cases[] = {
		{ "{\"$inc\":{\"n\":5}}",
		  "{\"updatedFields\":{\"n\":15},\"removedFields\":[],\"truncatedArrays\":[]}" },
		{ "{\"$mul\":{\"m\":3}}",
		  "{\"updatedFields\":{\"m\":12},\"removedFields\":[],\"truncatedArrays\":[]}" },
		{ "{\"$min\":{\"low\":2}}",
		  "{\"updatedFields\":{\"low\":2},\"removedFields\":[],\"truncatedArrays\":[]}" },
		{ "{\"$push\":{\"tags\":\"b\"}}", "{\"updatedFields\":{\"tags.1\":\"b\"},"
						  "\"removedFields\":[],\"truncatedArrays\":[]}" },
		{ "{\"$pop\":{\"list\":1}}",
		  "{\"updatedFields\":{},\"removedFields\":[],\"truncatedArrays\":[{\"field\":"
		  "\"list\",\"newSize\":2}]}" },
		{ "{\"$unset\":{\"gone\":1}}",
		  "{\"updatedFields\":{},\"removedFields\":[\"gone\"],\"truncatedArrays\":[]}" },
		{ "{\"$rename\":{\"was\":\"is\"}}",
		  "{\"updatedFields\":{\"is\":7},\"removedFields\":[\"was\"],\"truncatedArrays\":[]"
		  "}" },
	};
	weir_watch *w = watch("db", "c", (weir_watch_options){ 0 });
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const weir_event *ev;
		weir_buffer b = WEIR_BUFFER_INIT;
		must(weir_oplog_update(o, "db", "c", weir_json("{\"_id\":1}"),
				       weir_json(cases[i].update), NULL, NULL, &e));
		assert_int_equal(weir_watch_next(w, 5000, &ev, &e), 1);
		must(weir_bson_to_json(weir_event_update_description(ev), WEIR_JSON_RELAXED, 0, &b,
				       &e));
		assert_string_equal((const char *)b.data, cases[i].expected);
		weir_buffer_free(&b);
	}
	weir_position p;
	must(weir_oplog_update(o, "db", "c", weir_json("{\"_id\":1}"),
			       weir_json("{\"$set\":{\"n\":15}}"), NULL, &p, &e));
	assert_true(p.offset == WEIR_OFFSET_NONE); /* nothing changed: nothing is written */
	weir_watch_free(w);
}

static void scopes_show_what_they_name(void **state)
{
	(void)state;
	insert("a", "x", "{\"_id\":1}");
	insert("a", "y", "{\"_id\":2}");
	insert("b", "x", "{\"_id\":3}");
	static const struct {
		const char *db, *coll;
		int n;
	} cases[] = { { NULL, NULL, 3 }, { "", "", 3 },  { "a", NULL, 2 },
		      { "a", "x", 1 },   { "b", "", 1 }, { "c", "x", 0 } };
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		weir_watch *w = watch(cases[i].db, cases[i].coll,
				      (weir_watch_options){ .start = WEIR_START_OLDEST });
		assert_int_equal(count(w), cases[i].n);
		weir_watch_free(w);
	}
}

/* ---- the probes: what such streams got wrong elsewhere ---- */

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

/* ---- waiting and closing ---- */

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void next_waits_no_longer_than_it_was_told(void **state)
{
	(void)state;
	const weir_event *ev;
	weir_watch *w = watch("db", "c", (weir_watch_options){ .max_await_ms = 50 });
	int64_t start = now_ms();
	assert_int_equal(weir_watch_next(w, 60, &ev, &e), 0);
	assert_true(now_ms() - start >= 59);
	start = now_ms();
	assert_int_equal(weir_watch_next(w, WEIR_MAX_AWAIT, &ev, &e), 0);
	assert_true(now_ms() - start >= 49 && now_ms() - start < PATIENCE_MS);
	weir_watch_free(w);
	w = watch("db", "c", (weir_watch_options){ .max_await_ms = 2 * PATIENCE_MS });
	start = now_ms();
	assert_int_equal(weir_watch_try_next(w, &ev, &e), 0);
	assert_true(now_ms() - start < PATIENCE_MS);
	weir_watch_free(w);
}

static void *wait_for_close(void *arg)
{
	const weir_event *ev;
	weir_error mine = WEIR_ERROR_INIT;
	int rc;
	while ((rc = weir_watch_next(arg, WEIR_FOREVER, &ev, &mine)) == 1)
		continue;
	return (void *)(intptr_t)rc;
}

static void close_from_another_thread_ends_a_next_that_waits(void **state)
{
	(void)state;
	for (int i = 0; i < 100; i++) {
		pthread_t t;
		void *rc;
		weir_watch *w = watch("db", "c", (weir_watch_options){ 0 });
		assert_int_equal(pthread_create(&t, NULL, wait_for_close, w), 0);
		if (i % 2)
			nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
		weir_watch_close(w);
		pthread_join(t, &rc);
		assert_int_equal((int)(intptr_t)rc, WEIR_ERR_CLOSED);
		const weir_event *ev;
		assert_int_equal(weir_watch_try_next(w, &ev, &e), WEIR_ERR_CLOSED);
		weir_watch_close(w);
		weir_watch_free(w);
	}
}

static void close_races_with_a_reader_that_is_busy(void **state)
{
	(void)state;
	insert_n(1, 2000);
	for (int i = 0; i < 50; i++) {
		pthread_t t;
		void *rc;
		weir_watch *w = from_oldest("{\"fullDocument.n\":{\"$gte\":3}}", NULL);
		assert_int_equal(pthread_create(&t, NULL, wait_for_close, w), 0);
		for (volatile int spin = 0; spin < i * 2000; spin++)
			continue;
		weir_watch_close(w);
		pthread_join(t, &rc);
		assert_int_equal((int)(intptr_t)rc, WEIR_ERR_CLOSED);
		weir_watch_free(w);
	}
}

static void descriptor_polls_readable_when_there_is_an_event(void **state)
{
	(void)state;
	const weir_event *ev;
	int fd;
	weir_watch *w = watch("db", "c", (weir_watch_options){ 0 });
	must(weir_watch_fd(w, &fd, &e));
	struct pollfd p = { .fd = fd, .events = POLLIN };
	while (weir_watch_try_next(w, &ev, &e) == 1)
		continue;
	assert_int_equal(poll(&p, 1, 20), 0);
	for (int i = 0; i < 20; i++) {
		char json[32];
		snprintf(json, sizeof(json), "{\"_id\":%d}", i);
		insert("db", "c", json);
		assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
		assert_int_equal(weir_watch_try_next(w, &ev, &e), 1);
		assert_int_equal(weir_watch_try_next(w, &ev, &e), 0);
		assert_int_equal(poll(&p, 1, 0), 0);
	}
	weir_watch_free(w);
}

static void batch_gives_no_more_than_its_size_and_loses_nothing(void **state)
{
	(void)state;
	insert_n(1, 250);
	weir_watch *w =
		watch("db", NULL,
		      (weir_watch_options){ .start = WEIR_START_OLDEST, .batch_size = 100 });
	static const size_t sizes[] = { 100, 100, 50 };
	int64_t id, want = 1;
	for (size_t i = 0; i < 3; i++) {
		const weir_event *const *evs;
		size_t n;
		assert_int_equal(weir_watch_next_batch(w, 0, &evs, &n, &e), 1);
		assert_int_equal(n, sizes[i]);
		for (size_t j = 0; j < n; j++, want++) {
			assert_int_equal(weir_get_int64(weir_event_document_key(evs[j]), "_id",
							&id),
					 1);
			assert_int_equal(id, want);
		}
		assert_string_equal(weir_watch_token(w), weir_event_token(evs[n - 1]));
	}
	const weir_event *const *evs;
	size_t n;
	assert_int_equal(weir_watch_next_batch(w, 10, &evs, &n, &e), 0);
	weir_watch_free(w);
}

static void large_events_of_a_batch_all_stay_until_the_next_call(void **state)
{
	(void)state;
	const weir_event *const *evs;
	size_t n;
	for (int i = 0; i < 5; i++) {
		char json[6000];
		snprintf(json, sizeof(json), "{\"_id\":%d,\"pad\":\"%05000d\"}", i, i);
		insert("db", "c", json);
	}
	weir_watch *w = watch("db", "c", (weir_watch_options){ .start = WEIR_START_OLDEST });
	assert_int_equal(weir_watch_next_batch(w, 0, &evs, &n, &e), 1);
	assert_int_equal(n, 5); /* fewer than the batch size: the log ran out on the way */
	for (size_t i = 0; i < n; i++) {
		const char *pad;
		assert_int_equal(weir_get_string(weir_event_full_document(evs[i]), "pad", &pad), 1);
		assert_int_equal(strlen(pad), 5000);
		assert_int_equal(pad[4999], '0' + (int)i);
	}
	weir_watch_free(w);
}

/* ---- tokens and starts ---- */

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

/* ---- filters and pipelines ---- */

static void short_names_and_older_operation_names_work_in_filters(void **state)
{
	(void)state;
	insert("testdb", "users", "{\"_id\":1}");
	insert("other", "users", "{\"_id\":2}");
	must(weir_oplog_create_collection(o, "testdb", "logs", weir_none(), NULL, NULL, &e));
	must(weir_oplog_create_index(o, "testdb", "users", weir_json("{\"key\":{\"a\":1}}"), NULL,
				     NULL, &e));
	static const struct {
		const char *filter;
		int n;
	} cases[] = {
		{ "{\"db\":\"testdb\"}", 3 },
		{ "{\"database\":\"other\"}", 1 },
		{ "{\"coll\":\"users\"}", 3 },
		{ "{\"collection\":\"logs\"}", 1 },
		{ "{\"ns.coll\":\"users\",\"ns.db\":\"testdb\"}", 2 },
		{ "{\"$and\":[{\"operationType\":\"insert\"},{\"collection\":\"users\"}]}", 2 },
		{ "{\"operationType\":\"createCollection\"}", 1 },
		{ "{\"operationType\":{\"$in\":[\"createIndex\",\"create\"]}}", 2 },
		{ "{\"$nor\":[{\"operationType\":\"createIndex\"}]}", 3 },
		{ "{\"operationType\":{\"$regex\":\"^create\"}}", 2 },
		{ "{\"nosuchfield\":{\"$exists\":false}}", 4 },
		{ "{\"nosuchfield\":1}", 0 },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char pipeline[256];
		assert_int_equal(count_filtered(cases[i].filter, NULL), cases[i].n);
		snprintf(pipeline, sizeof(pipeline), "[{\"$match\":%s}]", cases[i].filter);
		assert_int_equal(count_filtered(NULL, pipeline), cases[i].n);
	}
	assert_int_equal(count_filtered(NULL, "[{\"$match\":{\"operationType\":\"insert\"}},"
					      "{\"$match\":{\"database\":\"testdb\"}}]"),
			 1);
}

static void pipeline_shapes_the_event(void **state)
{
	(void)state;
	insert("db", "c", "{\"_id\":1,\"a\":5}");
	insert("db", "c", "{\"_id\":2,\"a\":6}");
	weir_watch *w = from_oldest(
		NULL, "[{\"$match\":{\"fullDocument.a\":{\"$gt\":5}}},"
		      "{\"$project\":{\"documentKey\":1}},{\"$match\":{\"documentKey._id\":2}}]");
	assert_string_equal(next_json(w), "documentKey:{\"_id\":2}");
	assert_string_equal(next_json(w), "");
	weir_watch_free(w);
}

static void pipeline_that_loses_or_changes_the_token_fails_with_280(void **state)
{
	(void)state;
	static const char *const pipelines[] = { "[{\"$project\":{\"_id\":0}}]",
						 "[{\"$unset\":\"_id\"}]",
						 "[{\"$unset\":\"_id._data\"}]" };
	insert("db", "c", "{\"_id\":1}");
	for (size_t i = 0; i < sizeof(pipelines) / sizeof(*pipelines); i++) {
		const weir_event *ev;
		weir_watch *w = from_oldest(NULL, pipelines[i]);
		char token[WEIR_TOKEN_MAX];
		snprintf(token, sizeof(token), "%s", weir_watch_token(w));
		assert_true(weir_watch_try_next(w, &ev, &e) < 0);
		assert_int_equal(e.number, 280);
		/* The watch has not moved: the same again, until it is told to pass. */
		assert_string_equal(weir_watch_token(w), token);
		assert_true(weir_watch_try_next(w, &ev, &e) < 0);
		uint64_t skipped;
		must(weir_watch_skip(w, &skipped, &e));
		assert_int_equal(skipped, 1);
		assert_int_equal(weir_watch_try_next(w, &ev, &e), 0);
		assert_int_equal(weir_watch_skip(w, &skipped, &e), WEIR_ERR_INVALID);
		weir_watch_free(w);
	}
}

/* ---- full documents ---- */

static void full_document_follows_the_option(void **state)
{
	(void)state;
	insert("db", "c", "{\"_id\":1,\"a\":1}");
	for (int i = 2; i <= 3; i++) {
		char update[64];
		snprintf(update, sizeof(update), "{\"$set\":{\"a\":%d}}", i);
		must(weir_oplog_update(o, "db", "c", weir_json("{\"_id\":1}"), weir_json(update),
				       NULL, NULL, &e));
	}
	static const struct {
		enum weir_full_document mode;
		const char *first, *second;
	} cases[] = {
		{ WEIR_FULL_DEFAULT, NULL, NULL },
		{ WEIR_FULL_UPDATE_LOOKUP, "fullDocument:{\"_id\":1,\"a\":3}",
		  "fullDocument:{\"_id\":1,\"a\":3}" },
		{ WEIR_FULL_WHEN_AVAILABLE, "fullDocument:{\"_id\":1,\"a\":2}",
		  "fullDocument:{\"_id\":1,\"a\":3}" },
		{ WEIR_FULL_REQUIRED, "fullDocument:{\"_id\":1,\"a\":2}",
		  "fullDocument:{\"_id\":1,\"a\":3}" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		weir_watch *w = watch(NULL, NULL,
				      (weir_watch_options){
					      .start = WEIR_START_OLDEST,
					      .filter = weir_json("{\"operationType\":\"update\"}"),
					      .full_document = cases[i].mode });
		for (int j = 0; j < 2; j++) {
			const char *json = next_json(w),
				   *want = j ? cases[i].second : cases[i].first;
			if (want)
				assert_non_null(strstr(json, want));
			else
				assert_null(strstr(json, "fullDocument"));
		}
		weir_watch_free(w);
	}
	/* A filter on the looked-up document sees it. */
	weir_watch *w =
		watch(NULL, NULL,
		      (weir_watch_options){ .start = WEIR_START_OLDEST,
					    .filter = weir_json("{\"operationType\":\"update\","
								"\"fullDocument.a\":2}"),
					    .full_document = WEIR_FULL_WHEN_AVAILABLE });
	assert_int_equal(count(w), 1);
	weir_watch_free(w);
	must(weir_oplog_delete(o, "db", "c", weir_json("{\"_id\":1}"), NULL, NULL, &e));
	w = watch(NULL, NULL,
		  (weir_watch_options){ .start = WEIR_START_OLDEST,
					.filter = weir_json("{\"operationType\":\"update\"}"),
					.full_document = WEIR_FULL_UPDATE_LOOKUP });
	assert_non_null(strstr(next_json(w), "fullDocument:null"));
	weir_watch_free(w);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(every_operation_gives_its_event),
		T(event_carries_token_times_and_what_its_functions_say),
		T(update_description_holds_values_after_the_update_for_every_operator),
		T(scopes_show_what_they_name),
		T(slow_consumer_gets_every_one_of_150_events),
		T(resume_after_event_100_of_15000_gives_the_other_14900),
		T(filter_on_the_document_key_matches),
		T(filters_know_nor_and_missing_fields_and_refuse_unknown_operators),
		T(pipeline_with_an_unknown_or_forbidden_stage_is_refused),
		T(token_after_the_first_of_50_events_resumes_at_the_second),
		T(token_of_the_future_is_refused_with_what_exists),
		T(int64_bytes_and_time_survive_reopening),
		T(caller_that_changes_its_document_afterwards_changes_no_history),
		T(next_waits_no_longer_than_it_was_told),
		T(close_from_another_thread_ends_a_next_that_waits),
		T(close_races_with_a_reader_that_is_busy),
		T(descriptor_polls_readable_when_there_is_an_event),
		T(batch_gives_no_more_than_its_size_and_loses_nothing),
		T(large_events_of_a_batch_all_stay_until_the_next_call),
		T(token_of_a_filtered_stream_moves_over_what_it_leaves_out),
		T(tokens_of_a_stream_sort_in_its_order_also_across_marks),
		T(token_of_another_log_is_foreign),
		T(stream_starts_at_a_time),
		T(cluster_time_never_goes_back_even_when_wall_times_do),
		T(starts_that_exclude_each_other_are_refused),
		T(short_names_and_older_operation_names_work_in_filters),
		T(pipeline_shapes_the_event),
		T(pipeline_that_loses_or_changes_the_token_fails_with_280),
		T(full_document_follows_the_option),
	};
	return cmocka_run_group_tests_name("lib/watch", tests, NULL, NULL);
}
