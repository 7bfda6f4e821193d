/* lib_watch.h: change streams of an oplog, and short words for what is put in and comes out. For the lib_watch* tests. */
#ifndef TESTS_LIB_WATCH_H
#define TESTS_LIB_WATCH_H

#include "tests/lib_world.h"

static inline int setup(void **state)
{
	(void)state;
	return open_anew((weir_oplog_options){ 0 });
}

static inline void insert(const char *db, const char *coll, const char *json)
{
	must(weir_oplog_insert(o, db, coll, weir_json(json), NULL, NULL, &e));
}

static inline void insert_n(int from, int to)
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

static inline weir_watch *watch(const char *db, const char *coll, weir_watch_options opt)
{
	weir_watch *w;
	opt.size = sizeof(opt);
	must(weir_watch_open(o, db, coll, &opt, &w, &e));
	return w;
}

static inline weir_watch *from_oldest(const char *filter, const char *pipeline)
{
	return watch(NULL, NULL,
		     (weir_watch_options){ .start = WEIR_START_OLDEST,
					   .filter = filter ? weir_json(filter) : weir_none(),
					   .pipeline =
						   pipeline ? weir_json(pipeline) : weir_none() });
}

/* The next event without its _id, clusterTime and wallTime, as JSON; "" when there is none. */
static inline const char *next_json(weir_watch *w)
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

static inline int count(weir_watch *w)
{
	const weir_event *ev;
	int n = 0, rc;
	while ((rc = weir_watch_try_next(w, &ev, &e)) == 1)
		n++;
	if (rc < 0)
		fail_msg("next: %s %s", weir_error_name(rc), e.message);
	return n;
}

static inline int count_filtered(const char *filter, const char *pipeline)
{
	weir_watch *w = from_oldest(filter, pipeline);
	int n = count(w);
	weir_watch_free(w);
	return n;
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
