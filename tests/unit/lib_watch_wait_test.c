/* Change streams: waiting, closing, descriptors and batches. */
#include "tests/lib_watch.h"

#include <poll.h>
#include <pthread.h>
#include <time.h>

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(next_waits_no_longer_than_it_was_told),
		T(close_from_another_thread_ends_a_next_that_waits),
		T(close_races_with_a_reader_that_is_busy),
		T(descriptor_polls_readable_when_there_is_an_event),
		T(batch_gives_no_more_than_its_size_and_loses_nothing),
		T(large_events_of_a_batch_all_stay_until_the_next_call),
	};
	return cmocka_run_group_tests_name("lib/watch_wait", tests, NULL, NULL);
}
