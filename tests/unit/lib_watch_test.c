/* Change streams through the public API: which events are delivered, and in which shape. Where the token stands: lib_watch_token;
 * waiting and closing: lib_watch_wait. */
#include "tests/lib_watch.h"

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
	const struct CMUnitTest tests[] = {
		T(every_operation_gives_its_event),
		T(event_carries_token_times_and_what_its_functions_say),
		T(update_description_holds_values_after_the_update_for_every_operator),
		T(scopes_show_what_they_name),
		T(short_names_and_older_operation_names_work_in_filters),
		T(pipeline_shapes_the_event),
		T(pipeline_that_loses_or_changes_the_token_fails_with_280),
		T(full_document_follows_the_option),
	};
	return cmocka_run_group_tests_name("lib/watch", tests, NULL, NULL);
}
