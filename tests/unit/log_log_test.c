/* The log as its users see it: append, read, wait, reopen. */
#include "tests/test.h"

#include "base/mem.h"
#include "log/log.h"
#include "os/thread.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct fixture {
	char dir[300];
	struct log *log;
	struct log_topic *topic;
	struct err e;
};

static struct log_options small = { .create = true, .segment_bytes = 16384 };

static void open_log(struct fixture *f, const struct log_options *o)
{
	assert_ok(log_open(f->dir, o, &f->log, &f->e), &f->e);
	int rc = log_topic_open(f->log, "t", &f->topic, &f->e);
	if (rc == ERR_NOTFOUND)
		rc = log_topic_create(f->log, "t", 2, &f->topic, &f->e);
	assert_ok(rc, &f->e);
}

static void close_log(struct fixture *f)
{
	assert_ok(log_close(f->log, &f->e), &f->e);
	f->log = NULL;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	snprintf(f->dir, sizeof(f->dir), "%s/log", test_tmpdir());
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	(void)log_close(f->log, NULL);
	*strrchr(f->dir, '/') = 0;
	test_rmdir(f->dir);
	free(f);
	return 0;
}

/* Record number i: its content follows from i alone. */
static size_t make_value(uint64_t i, uint8_t *out)
{
	size_t len = (size_t)(i * 7919 % 300);
	for (size_t k = 0; k < len; k++)
		out[k] = (uint8_t)(i + k * 31);
	return len;
}

static void append_n(struct fixture *f, uint64_t from, uint64_t n, enum log_ack ack)
{
	for (uint64_t i = from; i < from + n; i++) {
		uint8_t value[300];
		struct log_record r = { .time_ms = 1000 + (int64_t)i, .has_value = true };
		r.value = slice_of(value, make_value(i, value));
		uint64_t first = 99999999;
		assert_ok(log_append(f->topic, 0, &r, 1, ack, &first, &f->e), &f->e);
		assert_int_equal(first, i);
		assert_int_equal(r.offset, i);
	}
}

static void check_record(const struct log_record *r, uint64_t i)
{
	uint8_t value[300];
	size_t len = make_value(i, value);
	assert_int_equal(r->offset, i);
	assert_int_equal(r->time_ms, 1000 + (int64_t)i);
	assert_false(r->has_key);
	assert_true(r->has_value);
	assert_int_equal(r->value.len, len);
	assert_memory_equal(r->value.p, value, len);
}

static void read_all(struct fixture *f, uint64_t from, uint64_t to)
{
	struct log_reader *r;
	struct log_record rec;
	assert_ok(log_reader_open(f->topic, 0, from, NULL, &r, &f->e), &f->e);
	for (uint64_t i = from; i < to; i++) {
		int rc = log_reader_next(r, &rec, &f->e);
		if (rc != 1)
			fail_msg("offset %d: %d %s", (int)i, rc, f->e.msg);
		check_record(&rec, i);
	}
	assert_int_equal(log_reader_next(r, &rec, &f->e), 0);
	assert_int_equal(log_reader_position(r), to);
	log_reader_close(r);
}

static void what_is_appended_is_read_in_order(void **state)
{
	struct fixture *f = *state;
	open_log(f, &small);
	append_n(f, 0, 1000, LOG_ACK_WRITTEN);
	read_all(f, 0, 1000);
	read_all(f, 777, 1000);
	struct log_range range = log_topic_range(f->topic, 0, false);
	assert_int_equal(range.oldest, 0);
	assert_int_equal(range.next, 1000);
	range = log_topic_range(f->topic, 1, false);
	assert_int_equal(range.next, 0);
}

static void a_reopened_log_has_everything_and_goes_on(void **state)
{
	struct fixture *f = *state;
	uint8_t id[16];
	for (uint64_t round = 0; round < 5; round++) {
		open_log(f, &small);
		if (round)
			assert_memory_equal(id, log_id(f->log), 16);
		memcpy(id, log_id(f->log), 16);
		assert_int_equal(log_topic_range(f->topic, 0, true).next, round * 300);
		append_n(f, round * 300, 300, LOG_ACK_WRITTEN);
		close_log(f);
	}
	open_log(f, &small);
	read_all(f, 0, 1500);
}

static void keys_headers_and_times_come_back_as_given(void **state)
{
	struct fixture *f = *state;
	open_log(f, &small);
	struct log_record in[4] = {
		{ .time_ms = -5,
		  .has_key = true,
		  .key = SLICE_LIT("k"),
		  .has_value = true,
		  .value = SLICE_LIT("v") },
		{ .time_ms = INT64_MAX, .has_key = true, .key = SLICE_LIT("tombstone") },
		{ .time_ms = INT64_MIN, .has_value = true, .headers = SLICE_LIT("h=1") },
		{ .time_ms = 0, .has_key = true },
	};
	uint64_t first;
	assert_ok(log_append(f->topic, 1, in, 4, LOG_ACK_DURABLE, &first, &f->e), &f->e);
	assert_int_equal(first, 0);
	assert_true(in[3].time_ms > 1500000000000);
	close_log(f);
	open_log(f, &small);
	struct log_reader *r;
	struct log_record rec;
	assert_ok(log_reader_open(f->topic, 1, 0, NULL, &r, &f->e), &f->e);
	for (uint64_t i = 0; i < 4; i++) {
		assert_int_equal(log_reader_next(r, &rec, &f->e), 1);
		assert_int_equal(rec.offset, i);
		assert_int_equal(rec.time_ms, in[i].time_ms);
		assert_int_equal(rec.has_key, in[i].has_key);
		assert_int_equal(rec.has_value, in[i].has_value);
		assert_true(slice_eq(rec.key, in[i].key));
		assert_true(slice_eq(rec.value, in[i].value));
		assert_true(slice_eq(rec.headers, in[i].headers));
	}
	log_reader_close(r);
}

static void a_record_may_be_larger_than_a_segment(void **state)
{
	struct fixture *f = *state;
	open_log(f, &small);
	size_t len = 3 << 20;
	uint8_t *big = malloc(len);
	memset(big, 'x', len);
	append_n(f, 0, 10, LOG_ACK_WRITTEN);
	struct log_record rec = { .time_ms = 1, .has_value = true, .value = slice_of(big, len) };
	assert_ok(log_append(f->topic, 0, &rec, 1, LOG_ACK_DURABLE, NULL, &f->e), &f->e);
	append_n(f, 11, 10, LOG_ACK_WRITTEN);
	close_log(f);
	open_log(f, &small);
	struct log_reader *r;
	assert_ok(log_reader_open(f->topic, 0, 9, NULL, &r, &f->e), &f->e);
	for (uint64_t i = 9; i < 21; i++) {
		assert_int_equal(log_reader_next(r, &rec, &f->e), 1);
		if (i != 10)
			check_record(&rec, i);
		else
			assert_true(slice_eq(rec.value, slice_of(big, len)));
	}
	log_reader_close(r);
	free(big);
}

static void limits_are_errors_and_change_nothing(void **state)
{
	struct fixture *f = *state;
	open_log(f, &small);
	struct log_record r = { .has_value = true,
				.value = { (const uint8_t *)"", LOG_RECORD_MAX + 1u } };
	assert_int_equal(log_append(f->topic, 0, &r, 1, LOG_ACK_WRITTEN, NULL, &f->e), ERR_LIMIT);
	r.value.len = 0;
	assert_int_equal(log_append(f->topic, 0, &r, 0, LOG_ACK_WRITTEN, NULL, &f->e), ERR_INVALID);
	assert_int_equal(log_append(f->topic, 2, &r, 1, LOG_ACK_WRITTEN, NULL, &f->e), ERR_INVALID);
	assert_int_equal(log_topic_range(f->topic, 0, false).next, 0);
	struct log_topic *t;
	assert_int_equal(log_topic_create(f->log, "t", 1, &t, &f->e), ERR_EXISTS);
	assert_int_equal(log_topic_create(f->log, "../t", 1, &t, &f->e), ERR_INVALID);
	assert_int_equal(log_topic_create(f->log, ".t", 1, &t, &f->e), ERR_INVALID);
	assert_int_equal(log_topic_create(f->log, "__t", 1, &t, &f->e), ERR_INVALID);
	assert_int_equal(log_topic_create(f->log, "u", 0, &t, &f->e), ERR_INVALID);
	assert_int_equal(log_topic_open(f->log, "u", &t, &f->e), ERR_NOTFOUND);
}

static void a_second_writer_is_refused(void **state)
{
	struct fixture *f = *state;
	open_log(f, &small);
	struct log *second;
	assert_int_equal(log_open(f->dir, &small, &second, &f->e), ERR_LOCKED);
	close_log(f);
	assert_ok(log_open(f->dir, &small, &second, &f->e), &f->e);
	assert_ok(log_close(second, &f->e), &f->e);
}

static void what_is_no_log_is_refused_and_left_alone(void **state)
{
	struct fixture *f = *state;
	struct log *l;
	struct log_options plain = { 0 }, read_only = { .read_only = true };
	assert_int_equal(log_open(f->dir, &plain, &l, &f->e), ERR_NOTFOUND);
	assert_int_equal(log_open(f->dir, &read_only, &l, &f->e), ERR_NOTFOUND);
	assert_int_equal(mkdir(f->dir, 0700), 0);
	assert_int_equal(log_open(f->dir, &plain, &l, &f->e), ERR_INVALID);
	char path[400];
	snprintf(path, sizeof(path), "%s/letter.txt", f->dir);
	assert_true(close(open(path, O_CREAT | O_WRONLY, 0600)) == 0);
	assert_int_equal(log_open(f->dir, &small, &l, &f->e), ERR_INVALID);
	assert_non_null(strstr(f->e.msg, "not a weir log"));
	snprintf(path, sizeof(path), "%s/lock", f->dir);
	assert_int_equal(access(path, F_OK), -1);
}

static void a_newer_log_is_refused(void **state)
{
	struct fixture *f = *state;
	open_log(f, &small);
	close_log(f);
	char path[400];
	snprintf(path, sizeof(path), "%s/weir-log", f->dir);
	int fd = open(path, O_WRONLY);
	assert_true(pwrite(fd, "\x02\0\0\0", 4, 8) == 4);
	close(fd);
	struct log *l;
	assert_int_equal(log_open(f->dir, &small, &l, &f->e), ERR_VERSION);
	fd = open(path, O_RDWR);
	uint8_t b[5];
	assert_true(pread(fd, b, 5, 8) == 5);
	b[0] = 1;
	b[4] ^= 0x40;
	assert_true(pwrite(fd, b, 5, 8) == 5);
	close(fd);
	assert_int_equal(log_open(f->dir, &small, &l, &f->e), ERR_CORRUPT);
}

struct waiter {
	struct fixture *f;
	uint64_t to;
	int rc;
};

static void *follow(void *arg)
{
	struct waiter *w = arg;
	struct err e = ERR_INIT;
	struct log_reader *r;
	struct log_record rec;
	if (log_reader_open(w->f->topic, 0, 0, NULL, &r, &e))
		return NULL;
	while (log_reader_position(r) < w->to) {
		w->rc = log_reader_next(r, &rec, &e);
		if (w->rc == 0)
			w->rc = log_reader_wait(r, env_mono(env_posix()) + PATIENCE, &e);
		if (w->rc != 1)
			break;
	}
	log_reader_close(r);
	return NULL;
}

static void a_waiting_reader_is_woken_by_an_append(void **state)
{
	struct fixture *f = *state;
	open_log(f, &small);
	struct waiter w[3] = { { f, 2000, 0 }, { f, 2000, 0 }, { f, 2000, 0 } };
	struct thread t[3] = { 0 };
	for (int i = 0; i < 3; i++)
		assert_ok(thread_start(&t[i], "follow", follow, &w[i], &f->e), &f->e);
	for (uint64_t i = 0; i < 2000; i += 10) {
		append_n(f, i, 10, LOG_ACK_WRITTEN);
		if (i % 100 == 0)
			usleep(200);
	}
	for (int i = 0; i < 3; i++) {
		thread_join(&t[i]);
		assert_int_equal(w[i].rc, 1);
	}
}

static void a_wait_ends_at_its_deadline_or_by_an_interrupt(void **state)
{
	struct fixture *f = *state;
	open_log(f, &small);
	struct log_reader *r;
	assert_ok(log_reader_open(f->topic, 0, 0, NULL, &r, &f->e), &f->e);
	nsec before = env_mono(env_posix());
	assert_int_equal(log_reader_wait(r, before + 20 * NSEC_PER_MS, &f->e), 0);
	assert_true(env_mono(env_posix()) - before >= 20 * NSEC_PER_MS);
	assert_int_equal(log_reader_wait(r, 0, &f->e), 0);
	log_reader_interrupt(r);
	assert_int_equal(log_reader_wait(r, -1, &f->e), ERR_INTERRUPTED);
	log_reader_close(r);
}

enum { APPENDERS = 8, APPENDS = 200 };

struct appender {
	struct fixture *f;
	uint64_t first[APPENDS];
};

static void *append_durably(void *arg)
{
	struct appender *a = arg;
	struct err e = ERR_INIT;
	for (int i = 0; i < APPENDS; i++) {
		struct log_record r = { .has_value = true, .value = slice_of(&a, sizeof(a)) };
		if (log_append(a->f->topic, 0, &r, 1, LOG_ACK_DURABLE, &a->first[i], &e) != 0)
			return arg;
	}
	return NULL;
}

/* Everybody's offsets are his own, and there is none between. Returns the flushes that it took. */
static uint64_t append_side_by_side(struct fixture *f, uint64_t base)
{
	static struct appender a[APPENDERS];
	struct thread t[APPENDERS] = { 0 };
	bool seen[APPENDERS * APPENDS] = { false };
	struct log_stats before, after;
	log_stats(f->log, &before);
	for (int i = 0; i < APPENDERS; i++) {
		a[i].f = f;
		assert_ok(thread_start(&t[i], "append", append_durably, &a[i], &f->e), &f->e);
	}
	for (int i = 0; i < APPENDERS; i++)
		thread_join(&t[i]);
	for (int i = 0; i < APPENDERS; i++)
		for (int k = 0; k < APPENDS; k++) {
			uint64_t offset = a[i].first[k] - base;
			assert_true(offset < APPENDERS * APPENDS && !seen[offset]);
			seen[offset] = true;
		}
	log_stats(f->log, &after);
	assert_int_equal(after.appended_records - before.appended_records, APPENDERS * APPENDS);
	return after.flushes - before.flushes;
}

/* A busy machine may run the threads one after the other: then there is nothing to share. */
static void durable_appends_of_many_threads_share_flushes(void **state)
{
	struct fixture *f = *state;
	open_log(f, &small);
	bool shared = false;
	for (uint64_t i = 0; i < 8 && !shared; i++)
		shared = append_side_by_side(f, i * APPENDERS * APPENDS) < APPENDERS * APPENDS / 2;
	assert_true(shared);
}

static void a_durable_reader_sees_only_what_was_flushed(void **state)
{
	struct fixture *f = *state;
	struct log_options o = small;
	o.flush_interval_ms = UINT32_MAX;
	open_log(f, &o);
	append_n(f, 0, 100, LOG_ACK_WRITTEN);
	struct log_reader *r;
	struct log_reader_options durable = { .durable_only = true };
	struct log_record rec;
	assert_ok(log_reader_open(f->topic, 0, 0, &durable, &r, &f->e), &f->e);
	assert_int_equal(log_reader_next(r, &rec, &f->e), 0);
	assert_int_equal(log_topic_range(f->topic, 0, true).next, 0);
	assert_ok(log_flush(f->topic, 0, 50, &f->e), &f->e);
	for (uint64_t i = 0; i < 100; i++)
		assert_int_equal(log_reader_next(r, &rec, &f->e), 1);
	assert_int_equal(log_reader_next(r, &rec, &f->e), 0);
	log_reader_close(r);
}

static void what_was_only_written_is_flushed_in_the_background(void **state)
{
	struct fixture *f = *state;
	struct log_options o = small;
	o.flush_interval_ms = 5;
	open_log(f, &o);
	append_n(f, 0, 3, LOG_ACK_WRITTEN);
	for (int i = 0; i < PATIENCE_MS && log_topic_range(f->topic, 0, true).next < 3; i++)
		usleep(1000);
	assert_int_equal(log_topic_range(f->topic, 0, true).next, 3);
}

static bool readable(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	return poll(&p, 1, ms) == 1;
}

static void a_descriptor_polls_readable_while_there_is_something(void **state)
{
	struct fixture *f = *state;
	open_log(f, &small);
	struct log_reader *r;
	struct log_record rec;
	int fd;
	assert_ok(log_reader_open(f->topic, 0, 0, NULL, &r, &f->e), &f->e);
	assert_ok(log_reader_fd(r, &fd, &f->e), &f->e);
	for (uint64_t i = 0; i < 50; i++) {
		assert_int_equal(log_reader_next(r, &rec, &f->e), 0);
		assert_false(readable(fd, i < 3 ? 20 : 0));
		append_n(f, i * 2, 2, LOG_ACK_WRITTEN);
		assert_true(readable(fd, PATIENCE_MS));
		assert_ok(log_reader_next(r, &rec, &f->e) - 1, &f->e);
		assert_true(readable(fd, 0));
		assert_int_equal(log_reader_next(r, &rec, &f->e), 1);
	}
	assert_int_equal(log_reader_next(r, &rec, &f->e), 0);
	log_reader_interrupt(r);
	assert_true(readable(fd, 0));
	log_reader_close(r);
}

/* ---- reader processes ---- */

static int reader_is_there[2]; /* a pipe */

static void read_as_another_process(void *arg)
{
	struct fixture *f = arg;
	struct fixture g = { .e = ERR_INIT };
	memcpy(g.dir, f->dir, sizeof(g.dir));
	struct log_options o = { .read_only = true };
	struct log_reader *r;
	struct log_record rec;
	if (log_open(g.dir, &o, &g.log, &g.e) || log_topic_open(g.log, "t", &g.topic, &g.e) ||
	    log_reader_open(g.topic, 0, 0, NULL, &r, &g.e))
		_exit(10);
	if (write(reader_is_there[1], "r", 1) != 1)
		_exit(14);
	for (uint64_t i = 0; i < 3000;) {
		int rc = log_reader_next(r, &rec, &g.e);
		if (rc == 0)
			rc = log_reader_wait(r, env_mono(env_posix()) + PATIENCE, &g.e);
		else if (rc == 1 && rec.offset != i++)
			_exit(11);
		if (rc != 1) {
			fprintf(stderr, "at %d: %d %s\n", (int)i, rc, g.e.msg);
			_exit(12);
		}
	}
	log_reader_close(r);
	_exit(log_close(g.log, NULL) ? 13 : 0);
}

static void *run_reader_process(void *arg)
{
	static int status;
	status = test_in_child(read_as_another_process, arg, 2 * PATIENCE_MS / 1000);
	return &status;
}

static void another_process_follows_across_writers(void **state)
{
	struct fixture *f = *state;
	open_log(f, &small);
	append_n(f, 0, 500, LOG_ACK_WRITTEN);
	close_log(f);
	pthread_t t;
	char there;
	/* The child reads what is there without a writer, then follows two of them. Forked later it would have the first
	 * one's lock, too. */
	assert_int_equal(pipe(reader_is_there), 0);
	assert_int_equal(pthread_create(&t, NULL, run_reader_process, f), 0);
	assert_int_equal(read(reader_is_there[0], &there, 1), 1);
	struct fixture g = { .e = ERR_INIT };
	memcpy(g.dir, f->dir, sizeof(g.dir));
	open_log(&g, &small);
	append_n(&g, 500, 1000, LOG_ACK_WRITTEN);
	usleep(20000);
	close_log(&g);
	open_log(&g, &small);
	append_n(&g, 1500, 1500, LOG_ACK_WRITTEN);
	void *status;
	assert_int_equal(pthread_join(t, &status), 0);
	assert_int_equal(*(int *)status, 0);
	close_log(&g);
	close(reader_is_there[0]);
	close(reader_is_there[1]);
}

static void write_and_die(void *arg)
{
	struct fixture *f = arg;
	struct log_options o = small;
	o.flush_interval_ms = UINT32_MAX;
	open_log(f, &o);
	append_n(f, log_topic_range(f->topic, 0, false).next, 400, LOG_ACK_WRITTEN);
	_exit(7);
}

static void a_killed_writer_loses_nothing_written(void **state)
{
	struct fixture *f = *state;
	for (uint64_t i = 1; i <= 3; i++) {
		assert_int_equal(test_in_child(write_and_die, f, PATIENCE_MS / 1000), 7 << 8);
		/* A reader finds the end by itself, without a writer and with a stale page. */
		struct log_options o = { .read_only = true };
		open_log(f, &o);
		assert_int_equal(log_topic_range(f->topic, 0, false).next, i * 400);
		read_all(f, 0, i * 400);
		close_log(f);
	}
	open_log(f, &small);
	assert_int_equal(log_topic_range(f->topic, 0, true).next, 1200);
	read_all(f, 0, 1200);
	append_n(f, 1200, 10, LOG_ACK_DURABLE);
	read_all(f, 0, 1210);
}

/* ---- keeping ---- */

static void trimming_removes_whole_segments_and_tells_readers(void **state)
{
	struct fixture *f = *state;
	open_log(f, &small);
	append_n(f, 0, 1000, LOG_ACK_WRITTEN);
	struct log_reader *r;
	struct log_record rec;
	assert_ok(log_reader_open(f->topic, 0, 0, NULL, &r, &f->e), &f->e);
	assert_int_equal(log_reader_next(r, &rec, &f->e), 1);
	uint64_t oldest;
	assert_ok(log_trim(f->topic, 0, 500, &oldest, &f->e), &f->e);
	assert_in_range(oldest, 300, 500);
	assert_int_equal(log_topic_range(f->topic, 0, false).oldest, oldest);
	int rc;
	uint64_t expect = 1;
	while ((rc = log_reader_next(r, &rec, &f->e)) == 1)
		assert_int_equal(rec.offset, expect++);
	assert_int_equal(rc, ERR_HISTORY_LOST);
	assert_int_equal(f->e.oldest, oldest);
	assert_int_equal(f->e.newest, 999);
	log_reader_seek(r, oldest);
	assert_int_equal(log_reader_next(r, &rec, &f->e), 1);
	check_record(&rec, oldest);
	log_reader_close(r);
	close_log(f);
	open_log(f, &small);
	assert_int_equal(log_topic_range(f->topic, 0, false).oldest, oldest);
	read_all(f, oldest, 1000);
	append_n(f, 1000, 10, LOG_ACK_WRITTEN);
}

static void retention_by_size_keeps_the_newest(void **state)
{
	struct fixture *f = *state;
	open_log(f, &small);
	struct log_retention r = { .max_bytes = 50000 };
	assert_ok(log_topic_set_retention(f->topic, &r, &f->e), &f->e);
	append_n(f, 0, 2000, LOG_ACK_WRITTEN);
	assert_ok(log_retain(f->log, &f->e), &f->e);
	struct log_stats s;
	log_stats(f->log, &s);
	assert_true(s.bytes_on_disk <= 50000);
	assert_true(s.bytes_on_disk > 30000);
	uint64_t oldest = log_topic_range(f->topic, 0, false).oldest;
	assert_true(oldest > 1000);
	read_all(f, oldest, 2000);
}

static void retention_by_age_goes_by_the_records_times(void **state)
{
	struct fixture *f = *state;
	open_log(f, &small);
	int64_t now = env_wall_ms(env_posix());
	for (int64_t i = 0; i < 1000; i++) {
		uint8_t value[200] = { 0 };
		struct log_record r = { .time_ms = now - (1000 - i) * 1000,
					.has_value = true,
					.value = slice_of(value, sizeof(value)) };
		assert_ok(log_append(f->topic, 0, &r, 1, LOG_ACK_WRITTEN, NULL, &f->e), &f->e);
	}
	struct log_retention r = { .max_age_ms = 500000 };
	assert_ok(log_topic_set_retention(f->topic, &r, &f->e), &f->e);
	assert_ok(log_retain(f->log, &f->e), &f->e);
	uint64_t oldest = log_topic_range(f->topic, 0, false).oldest;
	assert_in_range(oldest, 400, 505);
}

static void a_time_finds_the_first_record_at_or_after_it(void **state)
{
	struct fixture *f = *state;
	open_log(f, &small);
	append_n(f, 0, 1000, LOG_ACK_WRITTEN);
	for (int pass = 0; pass < 2; pass++) {
		for (int64_t i = 0; i < 1000; i += 37) {
			uint64_t offset = 0;
			assert_ok(log_topic_seek_time(f->topic, 0, 1000 + i, &offset, &f->e),
				  &f->e);
			assert_int_equal(offset, i);
		}
		uint64_t offset = 0;
		assert_ok(log_topic_seek_time(f->topic, 0, -100, &offset, &f->e), &f->e);
		assert_int_equal(offset, 0);
		assert_ok(log_topic_seek_time(f->topic, 0, 2000, &offset, &f->e), &f->e);
		assert_int_equal(offset, 1000);
		close_log(f);
		open_log(f, &small);
	}
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(what_is_appended_is_read_in_order),
		T(a_reopened_log_has_everything_and_goes_on),
		T(keys_headers_and_times_come_back_as_given),
		T(a_record_may_be_larger_than_a_segment),
		T(limits_are_errors_and_change_nothing),
		T(a_second_writer_is_refused),
		T(what_is_no_log_is_refused_and_left_alone),
		T(a_newer_log_is_refused),
		T(a_waiting_reader_is_woken_by_an_append),
		T(a_wait_ends_at_its_deadline_or_by_an_interrupt),
		T(durable_appends_of_many_threads_share_flushes),
		T(a_durable_reader_sees_only_what_was_flushed),
		T(what_was_only_written_is_flushed_in_the_background),
		T(a_descriptor_polls_readable_while_there_is_something),
		T(another_process_follows_across_writers),
		T(a_killed_writer_loses_nothing_written),
		T(trimming_removes_whole_segments_and_tells_readers),
		T(retention_by_size_keeps_the_newest),
		T(retention_by_age_goes_by_the_records_times),
		T(a_time_finds_the_first_record_at_or_after_it),
	};
	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
