/* Damaged logs through the public API: found with its place, never delivered, passed only knowingly, repaired. */
#include "tests/test.h"

#include "change/entry.h"
#include "weir/weir.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ENTRIES = 6000 };

static char dir[256];
static weir_error e;

#define must(call) \
	do { \
		if ((call) != 0) \
			fail_msg("%s: %s %s", #call, weir_error_name(e.code), e.message); \
	} while (0)

static int setup(void **state)
{
	(void)state;
	weir_oplog *o;
	weir_batch *b;
	snprintf(dir, sizeof(dir), "%s", test_tmpdir());
	weir_oplog_options opt = { .size = sizeof(opt), .segment_bytes = 2 << 20 };
	must(weir_oplog_open(dir, &opt, &o, &e));
	must(weir_batch_new(o, &b, &e));
	for (int i = 0; i < ENTRIES; i++) {
		char doc[1200];
		snprintf(doc, sizeof(doc), "{\"_id\":%d,\"pad\":\"%0900d\"}", i, i);
		must(weir_batch_insert(b, "db", "c", weir_json(doc), NULL, &e));
		if (i % 10 == 9)
			must(weir_batch_commit(b, WEIR_ACK_WRITTEN, NULL, NULL, NULL, &e));
	}
	weir_batch_free(b);
	must(weir_oplog_close(o, &e));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	test_rmdir(dir);
	return 0;
}

/* Flips bytes in the middle of the second segment. */
static void damage(void)
{
	char topic[300], path[600], found[2][600] = { "", "" };
	snprintf(topic, sizeof(topic), "%s/topics/oplog/0", dir);
	DIR *d = opendir(topic);
	if (!d) {
		snprintf(topic, sizeof(topic), "%s/topics/oplog/p0", dir);
		d = opendir(topic);
	}
	assert_non_null(d);
	for (struct dirent *x; (x = readdir(d));) {
		if (!strstr(x->d_name, ".seg"))
			continue;
		snprintf(path, sizeof(path), "%s/%s", topic, x->d_name);
		/* the two smallest names, in order */
		if (!*found[0] || strcmp(path, found[0]) < 0) {
			memcpy(found[1], found[0], sizeof(path));
			memcpy(found[0], path, sizeof(path));
		} else if (!*found[1] || strcmp(path, found[1]) < 0) {
			memcpy(found[1], path, sizeof(path));
		}
	}
	closedir(d);
	assert_true(*found[1] != 0);
	int fd = open(found[1], O_RDWR);
	assert_true(fd >= 0);
	unsigned char bytes[8];
	assert_int_equal(pread(fd, bytes, 8, 1 << 20), 8);
	for (int i = 0; i < 8; i++)
		bytes[i] ^= 0x55;
	assert_int_equal(pwrite(fd, bytes, 8, 1 << 20), 8);
	close(fd);
}

struct told {
	int damages, steps;
	uint64_t from, to, done, total;
	char file[512];
	bool stop;
};

static int on_damage(void *arg, const weir_damage *d)
{
	struct told *t = arg;
	t->damages++;
	t->from = d->from_offset;
	t->to = d->to_offset;
	snprintf(t->file, sizeof(t->file), "%s", d->file);
	assert_true(d->to_byte > d->from_byte);
	return 0;
}

static int on_progress(void *arg, uint64_t done, uint64_t total)
{
	struct told *t = arg;
	assert_true(done <= total);
	t->steps++;
	t->done = done;
	t->total = total;
	return t->stop;
}

static weir_check_options check_options(struct told *t)
{
	return (weir_check_options){ .size = sizeof(weir_check_options),
				     .on_damage = on_damage,
				     .on_progress = on_progress,
				     .arg = t };
}

static void whole_log_is_found_whole_with_progress(void **state)
{
	(void)state;
	struct told t = { 0 };
	weir_check_options opt = check_options(&t);
	weir_check_report r;
	must(weir_oplog_verify(dir, &opt, &r, &e));
	assert_int_equal(r.entries, ENTRIES);
	assert_int_equal(r.damages, 0);
	assert_true(r.segments >= 3);
	assert_true(t.steps >= 2 && t.done == t.total);
	t = (struct told){ .stop = true };
	assert_int_equal(weir_oplog_verify(dir, &opt, &r, &e), WEIR_ERR_INTERRUPTED);
	must(weir_oplog_repair(dir, NULL, &r, &e));
	assert_int_equal(weir_oplog_verify("/nonexistent/dir", NULL, &r, &e), WEIR_ERR_NOTFOUND);
}

/* Reads everything, passing damage knowingly; returns the events and how many entries were passed. */
static int read_around(weir_oplog *o, uint64_t *passed, int *faults)
{
	weir_watch *w;
	const weir_event *ev;
	weir_watch_options opt = { .size = sizeof(opt), .start = WEIR_START_OLDEST };
	int n = 0, rc;
	uint64_t next = 0;
	must(weir_watch_open(o, NULL, NULL, &opt, &w, &e));
	*passed = 0;
	*faults = 0;
	while ((rc = weir_watch_try_next(w, &ev, &e)) != 0) {
		if (rc == 1) {
			int64_t id;
			assert_true(weir_event_offset(ev) == next);
			assert_int_equal(weir_get_int64(weir_event_document_key(ev), "_id", &id),
					 1);
			assert_true((uint64_t)id == next);
			next++;
			n++;
			continue;
		}
		uint64_t skipped;
		assert_int_equal(rc, WEIR_ERR_CORRUPT);
		/* It stays until it is passed. */
		assert_int_equal(weir_watch_try_next(w, &ev, &e), WEIR_ERR_CORRUPT);
		assert_true(++*faults < 5);
		must(weir_watch_skip(w, &skipped, &e));
		*passed += skipped;
		next += skipped;
	}
	weir_watch_free(w);
	return n;
}

static void damage_is_reported_with_its_place_and_passed_only_knowingly(void **state)
{
	(void)state;
	struct told t = { 0 };
	weir_check_options opt = check_options(&t);
	weir_check_report r;
	weir_oplog *o;
	uint64_t passed;
	int faults;
	damage();
	assert_int_equal(weir_oplog_verify(dir, &opt, &r, &e), 1);
	assert_int_equal(t.damages, 1);
	assert_int_equal(r.damages, 1);
	assert_non_null(strstr(t.file, ".seg"));
	assert_int_equal(t.to - t.from, 10);
	weir_oplog_options ro = { .size = sizeof(ro), .read_only = true };
	must(weir_oplog_open(dir, &ro, &o, &e));
	assert_int_equal(read_around(o, &passed, &faults), ENTRIES - 10);
	assert_int_equal(passed, 10);
	assert_int_equal(faults, 1);
	must(weir_oplog_close(o, &e));
	/* Repair does not lose entries unless it is told to. */
	assert_int_equal(weir_oplog_repair(dir, &opt, &r, &e), WEIR_ERR_CORRUPT);
	opt.accept_loss = true;
	must(weir_oplog_repair(dir, &opt, &r, &e));
	/* Now the log can be written again; the lost entries are still an error, not a silence. */
	must(weir_oplog_open(dir, NULL, &o, &e));
	must(weir_oplog_insert(o, "db", "c", weir_json("{\"_id\":6000}"), NULL, NULL, &e));
	assert_int_equal(read_around(o, &passed, &faults), ENTRIES - 10 + 1);
	assert_int_equal(passed, 10);
	must(weir_oplog_close(o, &e));
}

static void entry_of_a_newer_format_stops_the_stream_with_its_place(void **state)
{
	(void)state;
	struct err why = ERR_INIT;
	struct log *l;
	struct log_topic *t;
	uint8_t header[ENTRY_HEADER_BYTES] = { ENTRY_VERSION + 1 };
	struct log_record rec = { .has_value = true,
				  .value = SLICE_LIT("of the future"),
				  .headers = slice_of(header, sizeof(header)) };
	uint64_t first;
	assert_ok(log_open(dir, &(struct log_options){ 0 }, &l, &why), &why);
	assert_ok(log_topic_open(l, "oplog", &t, &why), &why);
	assert_ok(log_append(t, 0, &rec, 1, LOG_ACK_DURABLE, &first, &why), &why);
	assert_ok(log_close(l, &why), &why);
	weir_oplog *o;
	weir_watch *w;
	const weir_event *ev;
	weir_oplog_options ro = { .size = sizeof(ro), .read_only = true };
	weir_watch_options opt = { .size = sizeof(opt), .start = WEIR_START_OLDEST };
	must(weir_oplog_open(dir, &ro, &o, &e));
	must(weir_watch_open(o, NULL, NULL, &opt, &w, &e));
	int rc, n = 0;
	while ((rc = weir_watch_try_next(w, &ev, &e)) == 1)
		n++;
	assert_int_equal(n, ENTRIES);
	assert_int_equal(rc, WEIR_ERR_VERSION);
	assert_non_null(strstr(e.message, "entry 6000"));
	weir_watch_free(w);
	must(weir_oplog_close(o, &e));
	/* A writer that does not understand the newest entry does not go on behind it. */
	assert_int_equal(weir_oplog_open(dir, NULL, &o, &e), WEIR_ERR_VERSION);
}

int main(void)
{
	test_in_memory();
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(whole_log_is_found_whole_with_progress),
		T(damage_is_reported_with_its_place_and_passed_only_knowingly),
		T(entry_of_a_newer_format_stops_the_stream_with_its_place),
	};
	return cmocka_run_group_tests_name("lib/damage", tests, NULL, NULL);
}
