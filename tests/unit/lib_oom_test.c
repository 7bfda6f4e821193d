/* Every allocation of a tour through the public API fails once: the call returns an error, nothing leaks, and the log is
 * whole afterwards. */
#include "tests/test.h"

#include "weir/weir.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static atomic_long calls, fail_at, live;
static atomic_bool for_ever;

static bool fails(void)
{
	long n = atomic_fetch_add(&calls, 1) + 1;
	return fail_at && (n == fail_at || (for_ever && n > fail_at));
}

static void *alloc(size_t n)
{
	if (fails())
		return NULL;
	void *p = malloc(n);
	live += p != NULL;
	return p;
}

static void *resize(void *p, size_t n)
{
	if (fails())
		return NULL;
	void *q = realloc(p, n);
	live += q && !p;
	return q;
}

static void release(void *p)
{
	live -= p != NULL;
	free(p);
}

static const char *dir;

/* The tour. Returns the first failure; everything is given back on every way out. */
struct tour {
	weir_oplog *o;
	weir_batch *b;
	weir_watch *w;
	weir_event *copy;
	weir_query *q;
	weir_json_reader *r;
	weir_buffer text, bson;
	int round;
};

#define try(call) \
	do { \
		int rc_ = (call); \
		if (rc_ < 0) \
			return rc_; \
	} while (0)

static int append_some(struct tour *t, weir_error *e)
{
	char doc[96];
	snprintf(doc, sizeof(doc), "{\"_id\":\"doc%d\",\"n\":1,\"list\":[1,2,{\"a\":null}]}",
		 t->round);
	try(weir_oplog_insert(t->o, "db", "c", weir_json(doc), NULL, NULL, e));
	snprintf(doc, sizeof(doc), "{\"_id\":\"doc%d\"}", t->round);
	try(weir_oplog_update(t->o, "db", "c", weir_json(doc),
			      weir_json("{\"$inc\":{\"n\":2},\"$push\":{\"list\":3}}"), NULL, NULL,
			      e));
	try(weir_oplog_update(t->o, "db", "c", weir_json(doc),
			      weir_json("[{\"$set\":{\"m\":\"$n\"}}]"), NULL, NULL, e));
	try(weir_batch_new(t->o, &t->b, e));
	snprintf(doc, sizeof(doc), "{\"_id\":\"put%d\"}", t->round);
	try(weir_batch_put(t->b, "db", "c", weir_json(doc), NULL, e));
	try(weir_batch_delete(t->b, "db", "c", weir_json(doc), NULL, e));
	try(weir_batch_commit(t->b, WEIR_ACK_WRITTEN, NULL, NULL, NULL, e));
	try(weir_oplog_rename_collection(t->o, "db", "c", "db", "d", NULL, NULL, e));
	return weir_oplog_rename_collection(t->o, "db", "d", "db", "c", NULL, NULL, e);
}

static int watch_some(struct tour *t, weir_error *e)
{
	const weir_event *ev, *const *evs;
	size_t n;
	char token[WEIR_TOKEN_MAX];
	weir_watch_options opt = {
		.size = sizeof(opt),
		.start = WEIR_START_OLDEST,
		.filter = weir_json("{\"operationType\":{\"$in\":[\"insert\",\"update\"]},"
				    "\"fullDocument.n\":{\"$gte\":1}}"),
		.pipeline = weir_json("[{\"$match\":{\"coll\":{\"$regex\":\"^c\"}}},{\"$"
				      "addFields\":{\"x\":{\"$add\":[1,2]}}}]"),
		.full_document = WEIR_FULL_WHEN_AVAILABLE,
		.follow_written = true,
	};
	try(weir_watch_open(t->o, "db", NULL, &opt, &t->w, e));
	try(weir_watch_try_next(t->w, &ev, e));
	try(weir_event_copy(ev, &t->copy, e));
	try(weir_event_to_json(t->copy, WEIR_JSON_CANONICAL, &t->text, e));
	try(weir_watch_next_batch(t->w, 0, &evs, &n, e));
	snprintf(token, sizeof(token), "%s", weir_watch_token(t->w));
	weir_watch_free(t->w);
	t->w = NULL;
	opt.start = WEIR_START_AFTER;
	opt.resume_after = token;
	opt.full_document = WEIR_FULL_UPDATE_LOOKUP;
	try(weir_watch_open(t->o, NULL, NULL, &opt, &t->w, e));
	int fd;
	try(weir_watch_fd(t->w, &fd, e));
	try(weir_watch_try_next(t->w, &ev, e));
	return 0;
}

static int emit(void *arg, weir_doc result)
{
	(void)arg;
	(void)result;
	return 0;
}

static int convert_some(struct tour *t, weir_error *e)
{
	weir_doc doc;
	weir_query_options opt = { .size = sizeof(opt),
				   .filter = weir_json("{\"a.b\":{\"$elemMatch\":{\"$gt\":1}}}"),
				   .pipeline = weir_json("[{\"$unwind\":\"$a.b\"},{\"$project\":{"
							 "\"c\":{\"$toString\":\"$a.b\"}}}]") };
	try(weir_json_to_bson("{\"a\":{\"b\":[1,2,3]}}", 19, &t->bson, NULL, e));
	try(weir_bson_to_json(weir_bson(t->bson.data, t->bson.len), WEIR_JSON_RELAXED, 2, &t->text,
			      e));
	try(weir_query_new(&opt, &t->q, e));
	try(weir_query_run(t->q, weir_bson(t->bson.data, t->bson.len), emit, NULL, e));
	try(weir_query_explain(t->q, &t->text, e));
	try(weir_json_reader_new(WEIR_INPUT_AUTO, &t->r, e));
	try(weir_json_reader_feed(t->r, "[{\"a\":1},{\"a\":2}]", 17, e));
	while (1) {
		int rc = weir_json_reader_next(t->r, &doc, NULL, e);
		if (rc <= 0)
			return rc;
	}
}

static int walk(struct tour *t, weir_error *e)
{
	static const char *const latest[] = { "*", NULL };
	weir_oplog_options opt = { .size = sizeof(opt), .latest = latest, .ack = WEIR_ACK_WRITTEN };
	weir_oplog_stats s = { .size = sizeof(s) };
	try(weir_oplog_open(dir, &opt, &t->o, e));
	try(append_some(t, e));
	try(watch_some(t, e));
	try(weir_oplog_stat(t->o, &s, e));
	return convert_some(t, e);
}

static int go(int round)
{
	struct tour t = { .round = round };
	weir_error e = WEIR_ERROR_INIT;
	int rc = walk(&t, &e);
	if (rc < 0 && rc != WEIR_ERR_NOMEM)
		fail_msg("allocation %ld failed, and the call with %s: %s", (long)fail_at,
			 weir_error_name(rc), e.message);
	weir_json_reader_free(t.r);
	weir_query_free(t.q);
	weir_buffer_free(&t.text);
	weir_buffer_free(&t.bson);
	weir_event_free(t.copy);
	weir_watch_free(t.w);
	weir_batch_free(t.b);
	int closed = weir_oplog_close(t.o, &e);
	if (closed < 0 && closed != WEIR_ERR_NOMEM)
		fail_msg("closing: %s", e.message);
	return rc < 0 ? rc : closed;
}

static void every_failed_allocation_is_an_error_and_leaks_nothing(void **state)
{
	(void)state;
	dir = strdup(test_tmpdir());
	weir_set_allocator(alloc, resize, release);
	assert_int_equal(go(0), 0);
	assert_int_equal(live, 0);
	calls = 0;
	assert_int_equal(go(1), 0);
	long n = calls;
	assert_true(n > 100);
	int round = 2, refused = 0;
	for (long k = 1; k <= n; k++) {
		for (int persistent = 0; persistent <= (k % 5 == 0); persistent++) {
			for_ever = persistent;
			calls = 0;
			fail_at = k;
			refused += go(round++) < 0;
			fail_at = 0;
			if (live != 0)
				fail_msg("allocation %ld failed: %ld blocks leaked", k, (long)live);
		}
	}
	print_message("%ld allocations, %d of %d tours refused\n", n, refused, round - 2);
	assert_true(refused > n / 2);
	assert_int_equal(go(round), 0); /* the log is whole */
	weir_set_allocator(NULL, NULL, NULL);
	test_rmdir(dir);
	free((void *)dir);
}

int main(void)
{
	test_in_memory();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_failed_allocation_is_an_error_and_leaks_nothing),
	};
	return cmocka_run_group_tests_name("lib/oom", tests, NULL, NULL);
}
