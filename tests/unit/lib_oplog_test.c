/* Appending through the public API: what becomes of each operation, and what is refused. */
#include "tests/lib_world.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static int setup(void **state)
{
	(void)state;
	return open_anew((weir_oplog_options){ .ack = WEIR_ACK_WRITTEN });
}

static void reopen(weir_oplog_options opt)
{
	must(weir_oplog_close(o, &e));
	open_with(opt);
}

static void put(const char *json, enum weir_outcome expected)
{
	enum weir_outcome outcome;
	must(weir_oplog_put(o, "db", "c", weir_json(json), NULL, NULL, &outcome, &e));
	assert_int_equal(outcome, expected);
}

static void insert(const char *coll, const char *json)
{
	must(weir_oplog_insert(o, "db", coll, weir_json(json), NULL, NULL, &e));
}

static void update(const char *key, const char *ops)
{
	must(weir_oplog_update(o, "db", "c", weir_json(key), weir_json(ops), NULL, NULL, &e));
}

/* The latest version as JSON; "none". */
static const char *find_in(const char *coll, const char *key)
{
	static char out[4096];
	weir_buffer bson = WEIR_BUFFER_INIT, json = WEIR_BUFFER_INIT;
	int rc = weir_oplog_find(o, "db", coll, weir_json(key), &bson, &e);
	if (rc < 0)
		snprintf(out, sizeof(out), "%s", weir_error_name(rc));
	else if (rc == 0)
		snprintf(out, sizeof(out), "none");
	else {
		must(weir_bson_to_json(weir_bson(bson.data, bson.len), WEIR_JSON_RELAXED, 0, &json,
				       &e));
		snprintf(out, sizeof(out), "%s", (const char *)json.data);
	}
	weir_buffer_free(&bson);
	weir_buffer_free(&json);
	return out;
}

static const char *find(const char *key)
{
	return find_in("c", key);
}

static int events(void)
{
	weir_watch *w;
	const weir_event *ev;
	weir_watch_options opt = { .size = sizeof(opt),
				   .start = WEIR_START_OLDEST,
				   .follow_written = true };
	int n = 0, rc;
	must(weir_watch_open(o, NULL, NULL, &opt, &w, &e));
	while ((rc = weir_watch_try_next(w, &ev, &e)) == 1)
		n++;
	assert_int_equal(rc, 0);
	weir_watch_free(w);
	return n;
}

/* ---- latest documents ---- */

static void latest_version_of_a_document_is_found(void **state)
{
	(void)state;
	insert("c", "{\"_id\":1,\"a\":1}");
	insert("c", "{\"_id\":2,\"a\":2}");
	assert_string_equal(find("{\"_id\":1}"), "{\"_id\":1,\"a\":1}");
	update("{\"_id\":1}", "{\"$set\":{\"a\":5}}");
	assert_string_equal(find("{\"_id\":1}"), "{\"_id\":1,\"a\":5}");
	must(weir_oplog_replace(o, "db", "c", weir_json("{\"_id\":2,\"b\":0}"), NULL, NULL, &e));
	assert_string_equal(find("{\"_id\":2}"), "{\"_id\":2,\"b\":0}");
	must(weir_oplog_delete(o, "db", "c", weir_json("{\"_id\":1}"), NULL, NULL, &e));
	assert_string_equal(find("{\"_id\":1}"), "none");
	assert_string_equal(find("{\"_id\":3}"), "none");
	/* 2 and 2.0 are the same _id */
	assert_string_equal(find("{\"_id\":2.0}"), "{\"_id\":2,\"b\":0}");
}

static void chain_of_many_updates_gives_the_right_document_also_after_reopening(void **state)
{
	(void)state;
	insert("c", "{\"_id\":1,\"n\":0,\"pad\":\"xxxxxxxxxxxxxxxx\"}");
	for (int i = 1; i <= 100; i++) {
		char want[64];
		update("{\"_id\":1}", "{\"$inc\":{\"n\":1}}");
		if (i % 9 == 0)
			reopen((weir_oplog_options){ .ack = WEIR_ACK_WRITTEN });
		snprintf(want, sizeof(want), "{\"_id\":1,\"n\":%d,\"pad\":\"xxxxxxxxxxxxxxxx\"}",
			 i);
		assert_string_equal(find("{\"_id\":1}"), want);
	}
	/* And every one of them as it was: */
	weir_watch *w;
	weir_watch_options opt = { .size = sizeof(opt),
				   .start = WEIR_START_OLDEST,
				   .follow_written = true,
				   .full_document = WEIR_FULL_REQUIRED };
	must(weir_watch_open(o, NULL, NULL, &opt, &w, &e));
	for (int i = 0; i <= 100; i++) {
		const weir_event *ev;
		int64_t n;
		assert_int_equal(weir_watch_try_next(w, &ev, &e), 1);
		assert_int_equal(weir_get_int64(weir_event_full_document(ev), "n", &n), 1);
		assert_int_equal(n, i);
	}
	weir_watch_free(w);
}

static void dropping_and_renaming_move_whole_collections(void **state)
{
	(void)state;
	insert("c", "{\"_id\":1}");
	insert("d", "{\"_id\":2}");
	must(weir_oplog_rename_collection(o, "db", "c", "db", "d", NULL, NULL, &e));
	assert_string_equal(find_in("c", "{\"_id\":1}"), "none");
	assert_string_equal(find_in("d", "{\"_id\":1}"), "{\"_id\":1}");
	assert_string_equal(find_in("d", "{\"_id\":2}"),
			    "none"); /* what stood there was replaced */
	insert("c", "{\"_id\":1,\"new\":true}");
	assert_string_equal(find_in("c", "{\"_id\":1}"), "{\"_id\":1,\"new\":true}");
	assert_string_equal(find_in("d", "{\"_id\":1}"), "{\"_id\":1}");
	must(weir_oplog_drop_collection(o, "db", "d", NULL, NULL, &e));
	assert_string_equal(find_in("d", "{\"_id\":1}"), "none");
	must(weir_oplog_drop_database(o, "db", NULL, NULL, &e));
	assert_string_equal(find_in("c", "{\"_id\":1}"), "none");
	insert("c", "{\"_id\":1,\"again\":true}");
	assert_string_equal(find_in("c", "{\"_id\":1}"), "{\"_id\":1,\"again\":true}");
}

static void index_follows_many_documents(void **state)
{
	(void)state;
	enum { N = 20000 };
	weir_batch *b;
	weir_batch_result r;
	must(weir_batch_new(o, &b, &e));
	for (int i = 0; i < N; i++) {
		char json[64];
		snprintf(json, sizeof(json), "{\"_id\":\"k%d\",\"v\":%d}", i, i);
		must(weir_batch_put(b, "db", "c", weir_json(json), NULL, &e));
	}
	must(weir_batch_commit(b, WEIR_ACK_DEFAULT, NULL, &r, NULL, &e));
	assert_int_equal(r.inserted, N);
	for (int i = 0; i < N; i += 2) {
		char json[64];
		snprintf(json, sizeof(json), "{\"_id\":\"k%d\"}", i);
		must(weir_batch_delete(b, "db", "c", weir_json(json), NULL, &e));
	}
	must(weir_batch_commit(b, WEIR_ACK_DEFAULT, NULL, &r, NULL, &e));
	assert_int_equal(r.deleted, N / 2);
	for (int i = 0; i < N; i += 97) {
		char key[64], want[64];
		snprintf(key, sizeof(key), "{\"_id\":\"k%d\"}", i);
		snprintf(want, sizeof(want), "{\"_id\":\"k%d\",\"v\":%d}", i, i);
		assert_string_equal(find(key), i % 2 ? want : "none");
	}
	weir_oplog_stats s = { .size = sizeof(s) };
	must(weir_oplog_stat(o, &s, &e));
	assert_int_equal(s.latest_documents, N / 2);
	weir_batch_free(b);
}

static void index_that_is_full_says_so_and_appends_go_on(void **state)
{
	(void)state;
	reopen((weir_oplog_options){ .ack = WEIR_ACK_WRITTEN, .latest_bytes_max = 4096 });
	for (int i = 0; i < 1000; i++) {
		char json[64];
		snprintf(json, sizeof(json), "{\"_id\":%d}", i);
		insert("c", json);
	}
	assert_string_equal(find("{\"_id\":5}"), "LIMIT");
	assert_int_equal(weir_oplog_update(o, "db", "c", weir_json("{\"_id\":5}"),
					   weir_json("{\"$set\":{\"a\":1}}"), NULL, NULL, &e),
			 WEIR_ERR_LIMIT);
	assert_non_null(strstr(e.message, "latest_bytes_max"));
	/* With the image given the update needs no index. */
	weir_append_options ao = { .size = sizeof(ao), .before = weir_json("{\"_id\":5}") };
	must(weir_oplog_update(o, "db", "c", weir_json("{\"_id\":5}"),
			       weir_json("{\"$set\":{\"a\":1}}"), &ao, NULL, &e));
	insert("c", "{\"_id\":1000}");
	assert_int_equal(events(), 1002);
}

static void only_chosen_collections_are_looked_up(void **state)
{
	(void)state;
	static const char *const latest[] = { "db.c", "other.*", NULL };
	reopen((weir_oplog_options){ .ack = WEIR_ACK_WRITTEN, .latest = latest });
	insert("c", "{\"_id\":1}");
	insert("d", "{\"_id\":1}");
	assert_string_equal(find("{\"_id\":1}"), "{\"_id\":1}");
	assert_string_equal(find_in("d", "{\"_id\":1}"), "INVALID");
	assert_non_null(strstr(e.message, "db.d"));
}

static void update_of_an_unknown_document_says_what_to_do(void **state)
{
	(void)state;
	assert_int_equal(weir_oplog_update(o, "db", "c", weir_json("{\"_id\":1}"),
					   weir_json("{\"$set\":{\"a\":1}}"), NULL, NULL, &e),
			 WEIR_ERR_NO_IMAGE);
	assert_non_null(strstr(e.message, "give the image before"));
	assert_int_equal(events(), 0);
}

static void image_given_by_the_caller_is_what_the_difference_is_made_from(void **state)
{
	(void)state;
	weir_append_options ao = { .size = sizeof(ao),
				   .before = weir_json("{\"_id\":1,\"n\":40,\"x\":1}") };
	must(weir_oplog_update(o, "db", "c", weir_json("{\"_id\":1}"),
			       weir_json("{\"$inc\":{\"n\":2},\"$unset\":{\"x\":1}}"), &ao, NULL,
			       &e));
	assert_string_equal(find("{\"_id\":1}"), "{\"_id\":1,\"n\":42}");
}

static void update_by_a_pipeline_and_by_array_filters(void **state)
{
	(void)state;
	insert("c", "{\"_id\":1,\"a\":2,\"list\":[{\"k\":1},{\"k\":2}]}");
	update("{\"_id\":1}", "[{\"$set\":{\"b\":\"$a\"}},{\"$unset\":\"a\"}]");
	assert_string_equal(find("{\"_id\":1}"),
			    "{\"_id\":1,\"list\":[{\"k\":1},{\"k\":2}],\"b\":2}");
	weir_append_options ao = { .size = sizeof(ao),
				   .array_filters = weir_json("[{\"x.k\":2}]") };
	must(weir_oplog_update(o, "db", "c", weir_json("{\"_id\":1}"),
			       weir_json("{\"$set\":{\"list.$[x].k\":9}}"), &ao, NULL, &e));
	assert_string_equal(find("{\"_id\":1}"),
			    "{\"_id\":1,\"list\":[{\"k\":1},{\"k\":9}],\"b\":2}");
}

/* ---- put and batches ---- */

static void put_inserts_updates_or_does_nothing(void **state)
{
	(void)state;
	put("{\"_id\":1,\"a\":1}", WEIR_INSERTED);
	put("{\"_id\":1,\"a\":1}", WEIR_UNCHANGED);
	put("{\"_id\":1,\"a\":2}", WEIR_UPDATED);
	put("{\"_id\":1,\"a\":2,\"b\":[1]}", WEIR_UPDATED);
	assert_string_equal(find("{\"_id\":1}"), "{\"_id\":1,\"a\":2,\"b\":[1]}");
	assert_int_equal(events(), 3);
}

static void batch_sees_what_stands_before_it_in_the_same_batch(void **state)
{
	(void)state;
	weir_batch *b;
	weir_batch_result r;
	weir_position p;
	insert("c", "{\"_id\":1,\"n\":1}");
	must(weir_batch_new(o, &b, &e));
	must(weir_batch_update(b, "db", "c", weir_json("{\"_id\":1}"),
			       weir_json("{\"$inc\":{\"n\":1}}"), NULL, &e));
	must(weir_batch_insert(b, "db", "c", weir_json("{\"_id\":2,\"n\":10}"), NULL, &e));
	must(weir_batch_update(b, "db", "c", weir_json("{\"_id\":2}"),
			       weir_json("{\"$inc\":{\"n\":1}}"), NULL, &e));
	must(weir_batch_update(b, "db", "c", weir_json("{\"_id\":1}"),
			       weir_json("{\"$inc\":{\"n\":1}}"), NULL, &e));
	must(weir_batch_put(b, "db", "c", weir_json("{\"_id\":2,\"n\":11}"), NULL, &e));
	must(weir_batch_put(b, "db", "c", weir_json("{\"_id\":2,\"n\":12}"), NULL, &e));
	must(weir_batch_delete(b, "db", "c", weir_json("{\"_id\":1}"), NULL, &e));
	must(weir_batch_put(b, "db", "c", weir_json("{\"_id\":1,\"n\":100}"), NULL, &e));
	assert_int_equal(weir_batch_count(b), 8);
	must(weir_batch_commit(b, WEIR_ACK_DURABLE, &p, &r, NULL, &e));
	assert_int_equal(weir_batch_count(b), 0);
	assert_int_equal(p.offset, 1);
	assert_int_equal(r.inserted, 2);
	assert_int_equal(r.updated, 4);
	assert_int_equal(r.unchanged, 1);
	assert_int_equal(r.deleted, 1);
	assert_string_equal(find("{\"_id\":1}"), "{\"_id\":1,\"n\":100}");
	assert_string_equal(find("{\"_id\":2}"), "{\"_id\":2,\"n\":12}");
	assert_int_equal(events(), 8);
	weir_batch_free(b);
}

static void long_chain_within_one_batch_is_right(void **state)
{
	(void)state;
	weir_batch *b;
	must(weir_batch_new(o, &b, &e));
	must(weir_batch_insert(b, "db", "c", weir_json("{\"_id\":1,\"n\":0}"), NULL, &e));
	for (int i = 0; i < 50; i++)
		must(weir_batch_update(b, "db", "c", weir_json("{\"_id\":1}"),
				       weir_json("{\"$inc\":{\"n\":1}}"), NULL, &e));
	must(weir_batch_commit(b, WEIR_ACK_DEFAULT, NULL, NULL, NULL, &e));
	assert_string_equal(find("{\"_id\":1}"), "{\"_id\":1,\"n\":50}");
	weir_batch_free(b);
}

static void batch_with_one_bad_operation_writes_nothing_and_names_it(void **state)
{
	(void)state;
	weir_batch *b;
	size_t failed = 99;
	must(weir_batch_new(o, &b, &e));
	must(weir_batch_insert(b, "db", "c", weir_json("{\"_id\":1}"), NULL, &e));
	must(weir_batch_insert(b, "db", "c", weir_json("{\"_id\":2}"), NULL, &e));
	must(weir_batch_update(b, "db", "c", weir_json("{\"_id\":7}"),
			       weir_json("{\"$set\":{\"a\":1}}"), NULL, &e));
	assert_int_equal(weir_batch_commit(b, WEIR_ACK_DEFAULT, NULL, NULL, &failed, &e),
			 WEIR_ERR_NO_IMAGE);
	assert_int_equal(failed, 2);
	assert_int_equal(events(), 0);
	must(weir_batch_commit(b, WEIR_ACK_DEFAULT, NULL, NULL, NULL, &e)); /* empty now */
	assert_int_equal(events(), 0);
	weir_batch_free(b);
}

/* ---- what is refused ---- */

static void bad_names_and_documents_are_refused(void **state)
{
	(void)state;
	static const struct {
		const char *db, *coll, *doc;
		int code;
	} cases[] = {
		{ "", "c", "{\"_id\":1}", WEIR_ERR_INVALID },
		{ NULL, "c", "{\"_id\":1}", WEIR_ERR_INVALID },
		{ "a.b", "c", "{\"_id\":1}", WEIR_ERR_INVALID },
		{ "a b", "c", "{\"_id\":1}", WEIR_ERR_INVALID },
		{ "db", "", "{\"_id\":1}", WEIR_ERR_INVALID },
		{ "db", "$cmd", "{\"_id\":1}", WEIR_ERR_INVALID },
		{ "0123456789012345678901234567890123456789012345678901234567890123", "c",
		  "{\"_id\":1}", WEIR_ERR_INVALID },
		{ "db", "c", "{\"a\":1}", WEIR_ERR_INVALID },
		{ "db", "c", "{\"_id\":[1]}", WEIR_ERR_INVALID },
		{ "db", "c", "{\"_id\":1", WEIR_ERR_FORMAT },
		{ "db", "c", "[]", WEIR_ERR_INVALID },
		{ "db", "c", NULL, WEIR_ERR_INVALID },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		int rc = weir_oplog_insert(o, cases[i].db, cases[i].coll, weir_json(cases[i].doc),
					   NULL, NULL, &e);
		if (rc != cases[i].code)
			fail_msg("case %zu: %s %s", i, weir_error_name(rc), e.message);
	}
	static const unsigned char cut[] = { 14, 0, 0, 0, 0x10, '_', 'i', 'd', 0, 1, 0, 0, 0 };
	assert_int_equal(weir_oplog_insert(o, "db", "c", weir_bson(cut, sizeof(cut)), NULL, NULL,
					   &e),
			 WEIR_ERR_FORMAT);
	assert_int_equal(events(), 0);
}

static void document_too_deep_to_be_part_of_an_event_is_refused(void **state)
{
	(void)state;
	for (int depth = 190; depth <= 202; depth++) {
		char json[4096] = "{\"_id\":1,\"a\":";
		for (int i = 0; i < depth; i++)
			strcat(json, "{\"a\":");
		strcat(json, "1");
		for (int i = 0; i <= depth; i++)
			strcat(json, "}");
		int before = events();
		int rc = weir_oplog_insert(o, "db", "c", weir_json(json), NULL, NULL, &e);
		assert_true(rc == 0 || rc == WEIR_ERR_LIMIT);
		assert_int_equal(events(), before + (rc == 0));
	}
	weir_watch *w;
	const weir_event *ev;
	weir_watch_options opt = { .size = sizeof(opt),
				   .start = WEIR_START_OLDEST,
				   .follow_written = true };
	must(weir_watch_open(o, NULL, NULL, &opt, &w, &e));
	while (weir_watch_try_next(w, &ev, &e) == 1) {
		weir_doc event = weir_event_bson(ev);
		must(weir_bson_validate(event.data, event.len, &e));
	}
	weir_watch_free(w);
}

static void update_without_or_with_unknown_operators_is_refused(void **state)
{
	(void)state;
	insert("c", "{\"_id\":1}");
	static const char *const updates[] = { "{\"a\":1}", "{}", "{\"$bogus\":{\"a\":1}}",
					       "{\"$set\":{\"_id\":2}}", "[{\"$group\":{}}]" };
	for (size_t i = 0; i < sizeof(updates) / sizeof(*updates); i++)
		if (weir_oplog_update(o, "db", "c", weir_json("{\"_id\":1}"), weir_json(updates[i]),
				      NULL, NULL, &e) >= 0)
			fail_msg("accepted %s", updates[i]);
	assert_int_equal(events(), 1);
}

static void options_without_a_size_or_from_the_future_are_refused(void **state)
{
	(void)state;
	weir_append_options none = { 0 };
	assert_int_equal(weir_oplog_insert(o, "db", "c", weir_json("{\"_id\":1}"), &none, NULL, &e),
			 WEIR_ERR_INVALID);
	struct {
		weir_append_options known;
		int more;
	} newer = { { .size = sizeof(newer) }, 1 };
	assert_int_equal(weir_oplog_insert(o, "db", "c", weir_json("{\"_id\":1}"), &newer.known,
					   NULL, &e),
			 WEIR_ERR_UNSUPPORTED);
	newer.more = 0;
	must(weir_oplog_insert(o, "db", "c", weir_json("{\"_id\":1}"), &newer.known, NULL, &e));
	/* A caller built against an older header has a smaller struct. */
	weir_append_options older = { .size = offsetof(weir_append_options, before) };
	must(weir_oplog_insert(o, "db", "c", weir_json("{\"_id\":2}"), &older, NULL, &e));
}

static void second_writer_is_refused_and_readers_are_not(void **state)
{
	(void)state;
	weir_oplog *p;
	insert("c", "{\"_id\":1}");
	assert_int_equal(weir_oplog_open(dir, NULL, &p, &e), WEIR_ERR_LOCKED);
	weir_oplog_options opt = { .size = sizeof(opt), .read_only = true };
	must(weir_oplog_open(dir, &opt, &p, &e));
	assert_int_equal(weir_oplog_insert(p, "db", "c", weir_json("{\"_id\":2}"), NULL, NULL, &e),
			 WEIR_ERR_INVALID);
	weir_buffer b = WEIR_BUFFER_INIT;
	assert_int_equal(weir_oplog_find(p, "db", "c", weir_json("{\"_id\":1}"), &b, &e), 1);
	insert("c", "{\"_id\":3}");
	assert_int_equal(weir_oplog_find(p, "db", "c", weir_json("{\"_id\":3}"), &b, &e), 1);
	weir_buffer_free(&b);
	must(weir_oplog_close(p, &e));
}

static void directories_that_are_no_oplog_are_told_apart(void **state)
{
	(void)state;
	weir_oplog *p;
	weir_oplog_options ro = { .size = sizeof(ro), .read_only = true };
	weir_oplog_options must_exist = { .size = sizeof(must_exist), .must_exist = true };
	char path[300];
	snprintf(path, sizeof(path), "%s/none", dir);
	assert_int_equal(weir_oplog_open(path, &ro, &p, &e), WEIR_ERR_NOTFOUND);
	assert_int_equal(weir_oplog_open(path, &must_exist, &p, &e), WEIR_ERR_NOTFOUND);
	snprintf(path, sizeof(path), "%s-other", dir);
	char command[700];
	snprintf(command, sizeof(command), "mkdir %s && echo hello > %s/file", path, path);
	assert_int_equal(system(command), 0);
	assert_int_equal(weir_oplog_open(path, NULL, &p, &e), WEIR_ERR_INVALID);
	test_rmdir(path);
}

/* ---- history ---- */

static void trimmed_history_is_lost_loudly_and_the_rest_stays(void **state)
{
	(void)state;
	reopen((weir_oplog_options){ .ack = WEIR_ACK_WRITTEN, .segment_bytes = 1 << 20 });
	weir_watch *behind, *w;
	const weir_event *ev;
	char first[WEIR_TOKEN_MAX], doc[3000];
	weir_watch_options opt = { .size = sizeof(opt),
				   .start = WEIR_START_OLDEST,
				   .follow_written = true };
	must(weir_watch_open(o, NULL, NULL, &opt, &behind, &e));
	for (int i = 0; i < 2000; i++) {
		snprintf(doc, sizeof(doc), "{\"_id\":%d,\"pad\":\"%02000d\"}", i, i);
		insert("c", doc);
	}
	assert_int_equal(weir_watch_try_next(behind, &ev, &e), 1);
	snprintf(first, sizeof(first), "%s", weir_event_token(ev));
	uint64_t oldest;
	must(weir_oplog_trim(o, 1500, 0, &oldest, &e));
	assert_true(oldest > 0 && oldest <= 1500);
	/* A token from before, ... */
	opt = (weir_watch_options){ .size = sizeof(opt),
				    .resume_after = first,
				    .follow_written = true };
	assert_int_equal(weir_watch_open(o, NULL, NULL, &opt, &w, &e), WEIR_ERR_HISTORY_LOST);
	assert_int_equal(e.number, 286);
	assert_true(e.oldest == oldest);
	assert_true(e.newest == 1999);
	/* ... a stream that was too slow, ... */
	int rc, n = 0;
	while ((rc = weir_watch_try_next(behind, &ev, &e)) == 1)
		n++;
	assert_int_equal(rc, WEIR_ERR_HISTORY_LOST);
	assert_int_equal(weir_watch_try_next(behind, &ev, &e), WEIR_ERR_HISTORY_LOST);
	weir_watch_free(behind);
	/* ... a time before the oldest: all the same error. */
	opt = (weir_watch_options){ .size = sizeof(opt),
				    .start = WEIR_START_TIME,
				    .start_time = { 1, 1 } };
	assert_int_equal(weir_watch_open(o, NULL, NULL, &opt, &w, &e), WEIR_ERR_HISTORY_LOST);
	/* From the oldest everything left comes. */
	assert_int_equal(events(), 2000 - (int)oldest);
	/* The newest entry always stays. */
	must(weir_oplog_trim(o, UINT64_MAX, 0, &oldest, &e));
	assert_true(oldest <= 1999);
	/* A document whose history is gone is not made up. */
	reopen((weir_oplog_options){ .ack = WEIR_ACK_WRITTEN });
	assert_string_equal(find("{\"_id\":0}"), "none");
	assert_int_equal(weir_oplog_update(o, "db", "c", weir_json("{\"_id\":0}"),
					   weir_json("{\"$set\":{\"a\":1}}"), NULL, NULL, &e),
			 WEIR_ERR_NO_IMAGE);
}

static void statistics_tell_what_is_there(void **state)
{
	(void)state;
	weir_oplog_stats s = { .size = sizeof(s) };
	must(weir_oplog_stat(o, &s, &e));
	assert_true(s.oldest == 0 && s.next == 0 && s.newest_time.seconds == 0);
	weir_append_options ao = { .size = sizeof(ao), .wall_time_ms = 1700000000000 };
	must(weir_oplog_insert(o, "db", "c", weir_json("{\"_id\":1}"), &ao, NULL, &e));
	insert("c", "{\"_id\":2}");
	must(weir_oplog_flush(o, &e));
	must(weir_oplog_retain(o, 1 << 30, 3600000, &e));
	must(weir_oplog_stat(o, &s, &e));
	assert_true(s.next == 2 && s.durable_next == 2);
	assert_int_equal(s.oldest_time.seconds, 1700000000);
	assert_true(s.oldest_wall_ms == 1700000000000);
	assert_true(s.newest_time.seconds > 1700000000);
	assert_int_equal(s.appended_entries, 2);
	assert_true(s.bytes_on_disk > 0 && s.segments >= 1 && s.flushes >= 1);
	assert_true(s.retain_bytes == 1 << 30 && s.retain_age_ms == 3600000);
	assert_false(s.read_only || s.poisoned);
	assert_int_equal(strlen(weir_oplog_name(o)), 16);
}

/* ---- threads ---- */

enum { THREADS = 4, EACH = 500 };

static void *increment(void *arg)
{
	weir_error mine = WEIR_ERROR_INIT;
	(void)arg;
	for (int i = 0; i < EACH; i++)
		if (weir_oplog_update(o, "db", "c", weir_json("{\"_id\":1}"),
				      weir_json("{\"$inc\":{\"n\":1}}"), NULL, NULL, &mine) < 0)
			return (void *)1;
	return NULL;
}

static void updates_of_one_document_from_many_threads_lose_none(void **state)
{
	(void)state;
	pthread_t t[THREADS];
	char want[64];
	insert("c", "{\"_id\":1,\"n\":0}");
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, increment, NULL), 0);
	for (int i = 0; i < THREADS; i++) {
		void *failed;
		pthread_join(t[i], &failed);
		assert_null(failed);
	}
	snprintf(want, sizeof(want), "{\"_id\":1,\"n\":%d}", THREADS * EACH);
	assert_string_equal(find("{\"_id\":1}"), want);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(latest_version_of_a_document_is_found),
		T(chain_of_many_updates_gives_the_right_document_also_after_reopening),
		T(dropping_and_renaming_move_whole_collections),
		T(index_follows_many_documents),
		T(index_that_is_full_says_so_and_appends_go_on),
		T(only_chosen_collections_are_looked_up),
		T(update_of_an_unknown_document_says_what_to_do),
		T(image_given_by_the_caller_is_what_the_difference_is_made_from),
		T(update_by_a_pipeline_and_by_array_filters),
		T(put_inserts_updates_or_does_nothing),
		T(batch_sees_what_stands_before_it_in_the_same_batch),
		T(long_chain_within_one_batch_is_right),
		T(batch_with_one_bad_operation_writes_nothing_and_names_it),
		T(bad_names_and_documents_are_refused),
		T(document_too_deep_to_be_part_of_an_event_is_refused),
		T(update_without_or_with_unknown_operators_is_refused),
		T(options_without_a_size_or_from_the_future_are_refused),
		T(second_writer_is_refused_and_readers_are_not),
		T(directories_that_are_no_oplog_are_told_apart),
		T(trimmed_history_is_lost_loudly_and_the_rest_stays),
		T(statistics_tell_what_is_there),
		T(updates_of_one_document_from_many_threads_lose_none),
	};
	return cmocka_run_group_tests_name("lib/oplog", tests, NULL, NULL);
}
