/* Segments that a hostile or unlucky hand has touched: wrong files under the right names, right checksums over wrong
 * numbers, pieces of other segments, missing and surplus files, indexes that lie.
 *
 * Whatever it is: opening gives a typed error or works, what is delivered is right, what is not is reported, and how
 * much is lost is known in advance for each row. */
#include "tests/log_model.h"
#include "tests/test.h"

#include "base/crc32c.h"
#include "log/format.h"
#include "os/env_sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES    (128u << 10)
#define SEGMENT_BYTES 8192
#define LOG_BYTES     (40u << 10)
#define MAX_VALUE     500
#define MAX_SEGMENTS  16
#define DIR           "log/topics/t/0"

struct segment {
	char path[128], index[128];
	uint64_t base, next;
};

struct log_at {
	struct sim *disk, *work, *other; /* other: a log like this one, but not this one */
	struct segment seg[MAX_SEGMENTS];
	size_t n;
	uint64_t next;
};

static struct log_options options(struct sim *s)
{
	return (struct log_options){ .env = sim_env(s),
				     .segment_bytes = SEGMENT_BYTES,
				     .flush_interval_ms = UINT32_MAX };
}

static uint64_t fill(struct sim *s)
{
	struct err e = ERR_INIT;
	struct log_options o = options(s);
	o.create = true;
	struct log *l;
	struct log_topic *t;
	assert_ok(log_open("log", &o, &l, &e), &e);
	assert_ok(log_topic_create(l, "t", 1, &t, &e), &e);
	struct log_stats stats = { 0 };
	uint64_t next = 0;
	while (stats.appended_bytes < LOG_BYTES) {
		assert_ok(model_append(t, 0, next, 3, 0, MAX_VALUE, LOG_ACK_WRITTEN, &e), &e);
		next += 3;
		log_stats(l, &stats);
	}
	assert_ok(log_close(l, &e), &e);
	return next;
}

static int add_segment(void *arg, const char *name)
{
	struct log_at *l = arg;
	unsigned long long base;
	char suffix[8];
	if (sscanf(name, "%20llu.%3s", &base, suffix) != 2 || strcmp(suffix, "seg") != 0)
		return 0;
	ASSERT(l->n < MAX_SEGMENTS);
	size_t i = l->n++;
	while (i > 0 && l->seg[i - 1].base > base) {
		l->seg[i] = l->seg[i - 1];
		i--;
	}
	struct segment *s = &l->seg[i];
	s->base = base;
	snprintf(s->path, sizeof(s->path), "%s/%020llu.seg", DIR, base);
	snprintf(s->index, sizeof(s->index), "%s/%020llu.idx", DIR, base);
	return 0;
}

static int setup(void **state)
{
	static struct log_at l;
	struct err e = ERR_INIT;
	l = (struct log_at){ 0 };
	l.disk = sim_new(&(struct sim_options){ .seed = 1, .file_bytes = FILE_BYTES });
	l.other = sim_new(&(struct sim_options){ .seed = 2, .file_bytes = FILE_BYTES });
	l.work = sim_new(&(struct sim_options){ .file_bytes = FILE_BYTES });
	assert_true(l.disk && l.work && l.other);
	l.next = fill(l.disk);
	assert_int_equal(fill(l.other), l.next);
	assert_ok(env_list(sim_env(l.disk), DIR, add_segment, &l, &e), &e);
	assert_true(l.n > 4);
	for (size_t i = 0; i < l.n; i++)
		l.seg[i].next = i + 1 < l.n ? l.seg[i + 1].base : l.next;
	*state = &l;
	return 0;
}

static int teardown(void **state)
{
	struct log_at *l = *state;
	sim_free(l->disk);
	sim_free(l->work);
	sim_free(l->other);
	return 0;
}

static uint8_t *bytes_of(struct sim *s, const char *path, uint64_t *size)
{
	uint8_t *p = sim_bytes(s, path, size);
	ASSERT(p && *size);
	return p;
}

static void replace(struct sim *s, const char *path, const void *p, size_t len)
{
	struct err e = ERR_INIT;
	struct file *f;
	assert_ok(env_open(sim_env(s), path, FILE_CREATE, &f, &e), &e);
	assert_ok(file_truncate(f, 0, &e), &e);
	assert_ok(file_write(f, 0, p, len, &e), &e);
	file_close(f);
}

/* ---- what is done to a log; each returns how many records that may cost, exactly ---- */

#define VICTIM 2 /* a segment in the middle */

static uint64_t both_headers_are_gone(struct log_at *l)
{
	uint64_t size;
	memset(bytes_of(l->work, l->seg[VICTIM].path, &size), 0xff, SEGMENT_HEADER_BYTES);
	return 0; /* the index knows who it is */
}

static uint64_t one_header_is_gone(struct log_at *l)
{
	uint64_t size;
	memset(bytes_of(l->work, l->seg[VICTIM].path, &size), 0, SEGMENT_COPY_BYTES);
	return 0;
}

static uint64_t both_headers_and_the_index_are_gone(struct log_at *l)
{
	struct err e = ERR_INIT;
	(void)both_headers_are_gone(l);
	assert_ok(env_unlink(sim_env(l->work), l->seg[VICTIM].index, &e), &e);
	return l->seg[VICTIM].next - l->seg[VICTIM].base;
}

static uint64_t it_is_empty(struct log_at *l)
{
	struct err e = ERR_INIT;
	struct file *f;
	assert_ok(env_open(sim_env(l->work), l->seg[VICTIM].path, FILE_WRITE, &f, &e), &e);
	assert_ok(file_truncate(f, 0, &e), &e);
	file_close(f);
	return l->seg[VICTIM].next - l->seg[VICTIM].base;
}

static uint64_t it_is_missing(struct log_at *l)
{
	struct err e = ERR_INIT;
	assert_ok(env_unlink(sim_env(l->work), l->seg[VICTIM].path, &e), &e);
	return l->seg[VICTIM].next - l->seg[VICTIM].base;
}

static uint64_t it_is_another_logs(struct log_at *l)
{
	uint64_t size;
	const uint8_t *p = bytes_of(l->other, l->seg[VICTIM].path, &size);
	replace(l->work, l->seg[VICTIM].path, p, size);
	p = bytes_of(l->other, l->seg[VICTIM].index, &size);
	replace(l->work, l->seg[VICTIM].index, p, size);
	return l->seg[VICTIM].next - l->seg[VICTIM].base;
}

static uint64_t it_holds_another_logs_batches(struct log_at *l)
{
	uint64_t size, n;
	uint8_t *p = bytes_of(l->work, l->seg[VICTIM].path, &n);
	const uint8_t *q = bytes_of(l->other, l->seg[VICTIM].path, &size);
	ASSERT(size == n);
	memcpy(p + SEGMENT_HEADER_BYTES, q + SEGMENT_HEADER_BYTES, n - SEGMENT_HEADER_BYTES);
	return l->seg[VICTIM].next - l->seg[VICTIM].base;
}

static uint64_t it_is_a_copy_of_the_one_before(struct log_at *l)
{
	uint64_t size;
	const uint8_t *p = bytes_of(l->work, l->seg[VICTIM - 1].path, &size);
	replace(l->work, l->seg[VICTIM].path, p, size);
	return l->seg[VICTIM].next - l->seg[VICTIM].base;
}

/* The i-th batch of the victim: its header, decoded; and where it is. */
static uint8_t *batch_of(struct log_at *l, size_t i, struct batch *out, uint32_t *seed)
{
	uint64_t size, at = SEGMENT_HEADER_BYTES;
	uint8_t *p = bytes_of(l->work, l->seg[VICTIM].path, &size);
	struct segment_header h;
	ASSERT(header_decode(p, HEADER_SEGMENT, &h) == 1);
	*seed = header_seed(&h);
	for (;; at += out->length) {
		ASSERT(batch_decode(p + at, *seed, out));
		if (i-- == 0)
			return p + at;
	}
}

static uint64_t rewrite_batch(struct log_at *l, void (*change)(struct batch *b))
{
	struct batch b;
	uint32_t seed;
	uint8_t *p = batch_of(l, 3, &b, &seed);
	uint64_t span = b.span;
	change(&b);
	batch_encode(&b, seed, p);
	return span;
}

static void has_no_length(struct batch *b)
{
	b->length = 0;
}
static void has_the_least_length(struct batch *b)
{
	b->length = BATCH_HEADER_BYTES;
}
static void says_it_is_longer(struct batch *b)
{
	b->length += 8;
}
static void says_it_is_far_too_long(struct batch *b)
{
	b->length = BATCH_BYTES_MAX - 8;
}
static void says_it_is_the_longest(struct batch *b)
{
	b->length = UINT32_MAX;
}
static void goes_back(struct batch *b)
{
	b->base_offset -= 3;
}
static void leaves_a_gap(struct batch *b)
{
	b->base_offset += 3;
}
static void claims_more_records(struct batch *b)
{
	b->count += 1;
}
static void claims_no_records(struct batch *b)
{
	b->count = 0;
}

#define BATCH_ROW(name) \
	static uint64_t a_batch_##name(struct log_at *l) \
	{ \
		return rewrite_batch(l, name); \
	}
BATCH_ROW(has_no_length)
BATCH_ROW(has_the_least_length)
BATCH_ROW(says_it_is_longer)
BATCH_ROW(says_it_is_far_too_long)
BATCH_ROW(says_it_is_the_longest)
BATCH_ROW(goes_back)
BATCH_ROW(leaves_a_gap)
BATCH_ROW(claims_more_records)
BATCH_ROW(claims_no_records)

static uint64_t a_batch_is_there_twice(struct log_at *l)
{
	struct batch a, b;
	uint32_t seed;
	const uint8_t *p = batch_of(l, 3, &a, &seed);
	uint8_t *q = batch_of(l, 4, &b, &seed);
	size_t len = MIN(a.length, b.length);
	memcpy(q, p, len);
	return b.span;
}

static uint64_t a_batch_is_a_hole(struct log_at *l)
{
	struct batch b;
	uint32_t seed;
	uint8_t *p = batch_of(l, 3, &b, &seed);
	memset(p, 0, b.length);
	return b.span;
}

static uint64_t there_is_a_surplus_segment(struct log_at *l)
{
	char path[128];
	uint64_t size;
	const uint8_t *p = bytes_of(l->work, l->seg[l->n - 1].path, &size);
	snprintf(path, sizeof(path), "%s/%020" PRIu64 ".seg", DIR, l->next + 1000);
	uint8_t copy[FILE_BYTES];
	memcpy(copy, p, size);
	replace(l->work, path, copy, size);
	return 0;
}

static uint64_t there_are_many_empty_segments(struct log_at *l)
{
	char path[128];
	for (uint64_t i = 1; i <= 500; i++) {
		snprintf(path, sizeof(path), "%s/%020" PRIu64 ".seg", DIR, l->next + i);
		replace(l->work, path, "", 0);
	}
	return 0;
}

static uint64_t there_are_files_of_nobody(struct log_at *l)
{
	replace(l->work, DIR "/core", "?", 1);
	replace(l->work, DIR "/1.seg", "?", 1);
	replace(l->work, DIR "/99999999999999999999.seg", "?", 1);
	replace(l->work, DIR "/00000000000000000000.seg.bak", "?", 1);
	replace(l->work, "log/topics/README", "?", 1);
	return 0;
}

static uint64_t rewrite_index(struct log_at *l, void (*change)(struct index_entry *x, size_t n))
{
	uint64_t size;
	uint8_t *p = bytes_of(l->work, l->seg[VICTIM].index, &size);
	struct segment_header h;
	ASSERT(header_decode(p, HEADER_INDEX, &h) == 1);
	size_t n = (size_t)(size - HEADER_BLOCK_BYTES) / INDEX_ENTRY_BYTES;
	struct index_entry x[8];
	ASSERT(n >= 1 && n < ARRAY_LEN(x));
	for (size_t i = 0; i < n; i++)
		ASSERT(index_entry_decode(p + HEADER_BLOCK_BYTES + i * INDEX_ENTRY_BYTES,
					  header_seed(&h), &x[i]));
	change(x, n);
	for (size_t i = 0; i < n; i++)
		index_entry_encode(&x[i], header_seed(&h),
				   p + HEADER_BLOCK_BYTES + i * INDEX_ENTRY_BYTES);
	return 0;
}

static void past_the_end(struct index_entry *x, size_t n)
{
	x[n - 1].byte = UINT32_MAX - 7;
}
static void between_batches(struct index_entry *x, size_t n)
{
	x[n - 1].byte -= 8;
}
static void of_other_offsets(struct index_entry *x, size_t n)
{
	x[n - 1].offset -= 2;
}
static void unsorted(struct index_entry *x, size_t n)
{
	x[0] = x[n - 1];
	x[n - 1] = (struct index_entry){ SEGMENT_HEADER_BYTES, 0, INT64_MIN, 0 };
}

#define INDEX_ROW(name) \
	static uint64_t the_index_is_##name(struct log_at *l) \
	{ \
		return rewrite_index(l, name); \
	}
INDEX_ROW(past_the_end)
INDEX_ROW(between_batches)
INDEX_ROW(of_other_offsets)
INDEX_ROW(unsorted)

static uint64_t all_indexes_are_missing(struct log_at *l)
{
	struct err e = ERR_INIT;
	for (size_t i = 0; i < l->n; i++)
		assert_ok(env_unlink(sim_env(l->work), l->seg[i].index, &e), &e);
	return 0;
}

/* ---- checking ---- */

static const struct {
	const char *name;
	uint64_t (*touch)(struct log_at *l);
} rows[] = {
#define ROW(f) \
	{ \
#f, f \
	}
	ROW(both_headers_are_gone),
	ROW(one_header_is_gone),
	ROW(both_headers_and_the_index_are_gone),
	ROW(it_is_empty),
	ROW(it_is_missing),
	ROW(it_is_another_logs),
	ROW(it_holds_another_logs_batches),
	ROW(it_is_a_copy_of_the_one_before),
	ROW(a_batch_has_no_length),
	ROW(a_batch_has_the_least_length),
	ROW(a_batch_says_it_is_longer),
	ROW(a_batch_says_it_is_far_too_long),
	ROW(a_batch_says_it_is_the_longest),
	ROW(a_batch_goes_back),
	ROW(a_batch_leaves_a_gap),
	ROW(a_batch_claims_more_records),
	ROW(a_batch_claims_no_records),
	ROW(a_batch_is_there_twice),
	ROW(a_batch_is_a_hole),
	ROW(there_is_a_surplus_segment),
	ROW(there_are_many_empty_segments),
	ROW(there_are_files_of_nobody),
	ROW(the_index_is_past_the_end),
	ROW(the_index_is_between_batches),
	ROW(the_index_is_of_other_offsets),
	ROW(the_index_is_unsorted),
	ROW(all_indexes_are_missing),
};

static int check(struct log_at *l, bool read_only, uint64_t lost, struct err *e)
{
	struct log_options o = options(l->work);
	o.read_only = read_only;
	struct log *log;
	struct log_topic *t;
	int rc = log_open("log", &o, &log, e);
	if (rc < 0)
		return err_in(e, rc, "opening");
	struct model_outcome out = { 0 };
	rc = log_topic_open(log, "t", &t, e);
	if (rc == 0)
		rc = model_read_around(t, l->next, MAX_VALUE, &out, e);
	if (rc == 0 && (out.lost != lost || out.delivered + lost != l->next))
		rc = err_set(e, ERR_CONFLICT, "%" PRIu64 " records lost, %" PRIu64 " expected",
			     out.lost, lost);
	/* From every offset, too: the index must not lead astray. */
	for (uint64_t at = 0; at < l->next && rc == 0 && lost == 0; at++)
		rc = model_read(t,
				&(struct model_range){ .from = at,
						       .next = at + 1,
						       .new_from = UINT64_MAX,
						       .max_value = MAX_VALUE },
				e);
	int closed = log_close(log, rc < 0 ? NULL : e);
	return rc < 0 ? rc : closed;
}

static int count(void *arg, const struct log_damage *d)
{
	*(uint64_t *)arg += d->to_offset - d->from_offset;
	return 0;
}

static int check_verify(struct log_at *l, uint64_t lost, struct err *e)
{
	struct log_options o = options(l->work);
	struct log_report report;
	uint64_t reported = 0;
	int rc = log_verify("log", &o, count, &reported, &report, e);
	if (rc >= 0 && reported != lost)
		return err_set(e, ERR_CONFLICT,
			       "verify reports %" PRIu64 " lost records, not %" PRIu64, reported,
			       lost);
	if (rc == 0 && lost)
		return err_set(e, ERR_CONFLICT, "verify calls it whole");
	return MIN(rc, 0);
}

static void touched_segments_cost_what_was_touched_and_no_more(void **state)
{
	struct log_at *l = *state;
	int bad = 0;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = ERR_INIT;
		ASSERT(sim_copy(l->disk, l->work) == 0);
		uint64_t lost = rows[i].touch(l);
		int rc = check_verify(l, lost, &e);
		if (rc == 0)
			rc = check(l, true, lost, &e);
		if (rc == 0)
			rc = check(l, false, lost, &e);
		if (rc < 0)
			print_message("%s: %s\n", rows[i].name, e.msg);
		bad += rc < 0;
	}
	assert_int_equal(bad, 0);
}

static void repair_keeps_the_rest_and_the_log_goes_on(void **state)
{
	struct log_at *l = *state;
	int bad = 0;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = ERR_INIT;
		struct log_options o = options(l->work);
		struct log_report report;
		uint64_t reported = 0;
		struct log *log = NULL;
		struct log_topic *t;
		struct model_outcome out = { 0 };
		ASSERT(sim_copy(l->disk, l->work) == 0);
		uint64_t lost = rows[i].touch(l);
		int rc = log_repair("log", &o, true, count, &reported, &report, &e);
		if (rc >= 0)
			rc = log_open("log", &o, &log, &e);
		if (rc == 0)
			rc = log_topic_open(log, "t", &t, &e);
		if (rc == 0)
			rc = model_read_around(t, l->next, MAX_VALUE, &out, &e);
		if (rc == 0)
			rc = model_append(t, 0, l->next, 2, 0, MAX_VALUE, LOG_ACK_DURABLE, &e);
		if (rc == 0 && out.lost != lost)
			rc = err_set(&e, ERR_CONFLICT, "%" PRIu64 " lost, %" PRIu64 " expected",
				     out.lost, lost);
		if (log)
			(void)log_close(log, NULL);
		if (rc < 0)
			print_message("%s: %s\n", rows[i].name, e.msg);
		bad += rc < 0;
	}
	assert_int_equal(bad, 0);
}

/* ---- metadata and whole directories ---- */

static int open_work(struct log_at *l, struct err *e)
{
	struct log_options o = options(l->work);
	struct log *log;
	int rc = log_open("log", &o, &log, e);
	struct log_topic *t;
	if (rc == 0) {
		rc = log_topic_open(log, "t", &t, e);
		(void)log_close(log, NULL);
	}
	return rc;
}

static void a_segment_of_a_newer_format_is_refused_as_such(void **state)
{
	struct log_at *l = *state;
	struct err e = ERR_INIT;
	uint64_t size;
	ASSERT(sim_copy(l->disk, l->work) == 0);
	uint8_t *p = bytes_of(l->work, l->seg[l->n - 1].path, &size);
	for (int copy = 0; copy < 2; copy++, p += SEGMENT_COPY_BYTES) {
		static const uint8_t zero[4];
		put_le32(p + 8, LOG_FORMAT_VERSION + 1);
		uint32_t c = crc32c(crc32c(0, p, 12), zero, 4);
		put_le32(p + 12, crc32c(c, p + 16, HEADER_BLOCK_BYTES - 16));
	}
	assert_int_equal(open_work(l, &e), ERR_VERSION);
	assert_true(*e.msg);
}

static void a_directory_that_is_no_log_is_refused(void **state)
{
	struct log_at *l = *state;
	struct err e = ERR_INIT;
	ASSERT(sim_copy(l->disk, l->work) == 0);
	struct log_options o = options(l->work);
	struct log *log = NULL;
	assert_int_equal(log_open("nowhere", &o, &log, &e), ERR_NOTFOUND);
	assert_ok(env_mkdir(sim_env(l->work), "photos", &e), &e);
	replace(l->work, "photos/cat", "meow", 4);
	assert_int_equal(log_open("photos", &o, &log, &e), ERR_INVALID);
	o.create = true;
	assert_int_equal(log_open("photos", &o, &log, &e),
			 ERR_INVALID); /* not made into one either */
	assert_null(log);
	uint64_t size;
	assert_non_null(sim_bytes(l->work, "photos/cat", &size));
}

/* ---- files that are none ---- */

static void make_real_log(char dir[300])
{
	struct err e = ERR_INIT;
	struct log_options o = { .create = true, .segment_bytes = SEGMENT_BYTES };
	struct log *l;
	struct log_topic *t;
	assert_ok(log_open(dir, &o, &l, &e), &e);
	assert_ok(log_topic_create(l, "t", 1, &t, &e), &e);
	for (uint64_t next = 0; next < 90; next += 3)
		assert_ok(model_append(t, 0, next, 3, 0, MAX_VALUE, LOG_ACK_WRITTEN, &e), &e);
	assert_ok(log_close(l, &e), &e);
}

static void open_real(void *arg)
{
	struct err e = ERR_INIT;
	for (int read_only = 0; read_only < 2; read_only++) {
		struct log_options o = { .read_only = read_only, .segment_bytes = SEGMENT_BYTES };
		struct log *l;
		struct log_topic *t;
		struct model_outcome out;
		int rc = log_open(arg, &o, &l, &e);
		if (rc < 0)
			continue;
		rc = log_topic_open(l, "t", &t, &e);
		if (rc == 0)
			rc = model_read_around(t, 90, MAX_VALUE, &out, &e);
		if (rc == ERR_CONFLICT) {
			fprintf(stderr, "%s\n", e.msg);
			_exit(1);
		}
		(void)log_close(l, NULL);
	}
}

static void links_fifos_and_directories_in_place_of_files_block_and_crash_nothing(void **state)
{
	(void)state;
	static const char *const names[] = {
		"topics/t/0/00000000000000000000.seg",
		"topics/t/0/00000000000000000000.idx",
		"topics/t/topic",
		"weir-log",
	};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		for (int kind = 0; kind < 3; kind++) {
			char tmp[256], dir[300], path[400];
			snprintf(tmp, sizeof(tmp), "%s", test_tmpdir());
			snprintf(dir, sizeof(dir), "%s/log", tmp);
			make_real_log(dir);
			snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
			assert_int_equal(unlink(path), 0);
			int rc = kind == 0   ? symlink("/etc/passwd", path)
				 : kind == 1 ? mkfifo(path, 0600)
					     : mkdir(path, 0700);
			assert_int_equal(rc, 0);
			int status = test_in_child(open_real, dir, PATIENCE_MS / 1000);
			if (status != 0)
				fail_msg("%s as %s: status %d", names[i],
					 kind == 0   ? "a link"
					 : kind == 1 ? "a FIFO"
						     : "a directory",
					 status);
			test_rmdir(tmp);
		}
	}
}

static void cut_while_read(void *arg)
{
	struct err e = ERR_INIT;
	struct log_options o = { .read_only = true };
	struct log *l;
	struct log_topic *t;
	struct log_reader *r;
	struct log_record rec;
	char path[400];
	snprintf(path, sizeof(path), "%s/topics/t/0/00000000000000000000.seg", (char *)arg);
	if (log_open(arg, &o, &l, &e) < 0 || log_topic_open(l, "t", &t, &e) < 0 ||
	    log_reader_open(t, 0, 0, &(struct log_reader_options){ .buffer_bytes = 1 }, &r, &e) < 0)
		_exit(1);
	int rc = log_reader_next(r, &rec, &e);
	if (rc != 1 || truncate(path, 1500) < 0)
		_exit(2);
	for (int i = 0; i < 100 && (rc = log_reader_next(r, &rec, &e)) == 1; i++)
		;
	if (rc != ERR_CORRUPT)
		_exit(3);
	log_reader_close(r);
	_exit(log_close(l, &e) < 0);
}

static void a_segment_cut_short_under_a_reader_is_an_error_not_a_signal(void **state)
{
	(void)state;
	char tmp[256], dir[300];
	snprintf(tmp, sizeof(tmp), "%s", test_tmpdir());
	snprintf(dir, sizeof(dir), "%s/log", tmp);
	make_real_log(dir);
	assert_int_equal(test_in_child(cut_while_read, dir, PATIENCE_MS / 1000), 0);
	test_rmdir(tmp);
}

int main(void)
{
	test_in_memory(); /* nothing here needs a real disk */
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(touched_segments_cost_what_was_touched_and_no_more),
		T(repair_keeps_the_rest_and_the_log_goes_on),
		T(a_segment_of_a_newer_format_is_refused_as_such),
		T(a_directory_that_is_no_log_is_refused),
		cmocka_unit_test(
			links_fifos_and_directories_in_place_of_files_block_and_crash_nothing),
		cmocka_unit_test(a_segment_cut_short_under_a_reader_is_an_error_not_a_signal),
	};
	return cmocka_run_group_tests_name("log_faults_segments", tests, NULL, NULL);
}
