/* Torn, cut, flipped, missing and foreign bytes: what a damaged log still gives, what it says, how it is repaired. */
#include "tests/scarce.h"
#include "tests/test.h"

#include "log/log.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECORDS 60
#define SEG0    "topics/t/0/00000000000000000000.seg"
#define IDX0    "topics/t/0/00000000000000000000.idx"

static struct log_options writing = { .create = true,
				      .segment_bytes = 16384,
				      .flush_interval_ms = UINT32_MAX };
static struct log_options reading = { .read_only = true };

struct fixture {
	char dir[300];
	struct err e;
};

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
	*strrchr(f->dir, '/') = 0;
	test_rmdir(f->dir);
	free(f);
	return 0;
}

static const char *file(struct fixture *f, const char *name)
{
	static char path[2][512];
	static int turn;
	turn ^= 1;
	snprintf(path[turn], sizeof(path[turn]), "%s/%s", f->dir, name);
	return path[turn];
}

static size_t make_value(uint64_t i, uint8_t *out)
{
	size_t len = 20 + (size_t)(i * 7919 % 90);
	for (size_t k = 0; k < len; k++)
		out[k] = (uint8_t)(i * 3 + k * 31);
	return len;
}

static void append_n(struct fixture *f, struct log_topic *t, uint64_t from, uint64_t n)
{
	for (uint64_t i = from; i < from + n; i++) {
		uint8_t value[200];
		struct log_record r = { .time_ms = 5000 + (int64_t)i, .has_value = true };
		r.value = slice_of(value, make_value(i, value));
		uint64_t first;
		assert_ok(log_append(t, 0, &r, 1, LOG_ACK_WRITTEN, &first, &f->e), &f->e);
		assert_int_equal(first, i);
	}
}

static void make_log(struct fixture *f, uint64_t n)
{
	struct log *l;
	struct log_topic *t;
	assert_ok(log_open(f->dir, &writing, &l, &f->e), &f->e);
	assert_ok(log_topic_create(l, "t", 1, &t, &f->e), &f->e);
	append_n(f, t, 0, n);
	assert_ok(log_close(l, &f->e), &f->e);
}

/* Reads from `from`; every record delivered must be the true one. Stops at the first error or the end; returns the
 * position reached and the last return code. */
static uint64_t read_from(struct log_topic *t, uint64_t from, int *rc, struct err *e)
{
	struct log_reader *r;
	struct log_record rec;
	*rc = log_reader_open(t, 0, from, NULL, &r, e);
	assert_int_equal(*rc, 0);
	uint64_t expect = from;
	while ((*rc = log_reader_next(r, &rec, e)) == 1) {
		uint8_t value[200];
		size_t len = make_value(expect, value);
		assert_int_equal(rec.offset, expect);
		assert_int_equal(rec.time_ms, 5000 + (int64_t)expect);
		assert_int_equal(rec.value.len, len);
		assert_memory_equal(rec.value.p, value, len);
		expect++;
	}
	uint64_t at = log_reader_position(r);
	assert_int_equal(at, expect);
	log_reader_close(r);
	return at;
}

struct found {
	struct log_damage last;
	char file[512], topic[64];
	int n;
};

static int on_damage(void *arg, const struct log_damage *d)
{
	struct found *x = arg;
	x->last = *d;
	snprintf(x->file, sizeof(x->file), "%s", d->file);
	snprintf(x->topic, sizeof(x->topic), "%s", d->topic);
	x->n++;
	return 0;
}

static int verify(struct fixture *f, struct found *x)
{
	struct log_report report;
	*x = (struct found){ .n = 0 };
	int rc = log_verify(f->dir, NULL, on_damage, x, &report, &f->e);
	if (rc >= 0)
		assert_int_equal(report.damages, x->n);
	return rc;
}

static void flip(const char *path, off_t byte, int bit)
{
	uint8_t b;
	int fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_true(pread(fd, &b, 1, byte) == 1);
	b ^= (uint8_t)(1 << bit);
	assert_true(pwrite(fd, &b, 1, byte) == 1);
	close(fd);
}

static size_t size_of(const char *path)
{
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	return (size_t)st.st_size;
}

static void copy_file(const char *from, const char *to)
{
	AUTO(buf) struct buf b = BUF_INIT;
	test_read_file(from, &b);
	int fd = open(to, O_CREAT | O_TRUNC | O_WRONLY, 0600);
	assert_true(fd >= 0);
	assert_true(write(fd, b.p, b.len) == (ssize_t)b.len);
	close(fd);
}

static void a_whole_log_verifies(void **state)
{
	struct fixture *f = *state;
	struct found x;
	make_log(f, 400);
	assert_int_equal(verify(f, &x), 0);
	/* Also while somebody writes. */
	struct log *l;
	struct log_topic *t;
	assert_ok(log_open(f->dir, &writing, &l, &f->e), &f->e);
	assert_ok(log_topic_open(l, "t", &t, &f->e), &f->e);
	append_n(f, t, 400, 300);
	assert_int_equal(verify(f, &x), 0);
	assert_ok(log_close(l, &f->e), &f->e);
	assert_int_equal(verify(f, &x), 0);
}

static void a_log_cut_at_any_byte_opens_with_every_whole_record(void **state)
{
	struct fixture *f = *state;
	make_log(f, RECORDS);
	AUTO(buf) struct buf whole = BUF_INIT;
	test_read_file(file(f, SEG0), &whole);
	copy_file(file(f, IDX0), file(f, "idx"));
	/* Where each batch ends, from the lengths in the headers. */
	size_t ends[RECORDS];
	size_t at = 1024;
	for (int i = 0; i < RECORDS; i++)
		ends[i] = at += get_le32(whole.p + at + 16);
	long step = test_count(5, 1);
	for (size_t cut = 1024; cut <= whole.len; cut += (size_t)step) {
		int fd = open(file(f, SEG0), O_CREAT | O_TRUNC | O_WRONLY, 0600);
		assert_true(write(fd, whole.p, cut) == (ssize_t)cut);
		close(fd);
		copy_file(file(f, "idx"), file(f, IDX0));
		uint64_t expect = 0;
		while (expect < RECORDS && ends[expect] <= cut)
			expect++;
		struct log *l;
		struct log_topic *t;
		int rc;
		assert_ok(log_open(f->dir, &reading, &l, &f->e), &f->e);
		assert_ok(log_topic_open(l, "t", &t, &f->e), &f->e);
		assert_int_equal(read_from(t, 0, &rc, &f->e), expect);
		assert_int_equal(rc, 0);
		assert_ok(log_close(l, &f->e), &f->e);
		assert_ok(log_open(f->dir, &writing, &l, &f->e), &f->e);
		assert_ok(log_topic_open(l, "t", &t, &f->e), &f->e);
		assert_int_equal(log_topic_range(t, 0, false).next, expect);
		append_n(f, t, expect, 1);
		assert_int_equal(read_from(t, 0, &rc, &f->e), expect + 1);
		assert_int_equal(rc, 0);
		assert_ok(log_close(l, &f->e), &f->e);
	}
}

static void every_flipped_bit_is_found_and_nothing_wrong_is_delivered(void **state)
{
	struct fixture *f = *state;
	make_log(f, RECORDS);
	static const char *const files[] = { SEG0, IDX0, "topics/t/topic", "weir-log" };
	long step = test_count(7, 1);
	for (size_t k = 0; k < ARRAY_LEN(files); k++) {
		char path[512];
		snprintf(path, sizeof(path), "%s", file(f, files[k]));
		size_t bits = size_of(path) * 8;
		for (size_t bit = 0; bit < bits; bit += (size_t)step) {
			flip(path, (off_t)(bit / 8), (int)(bit % 8));
			struct found x;
			int rc = verify(f, &x);
			if (rc == 0)
				fail_msg("bit %zu of %s is not noticed", bit, path);
			struct log *l;
			struct log_topic *t;
			rc = log_open(f->dir, &reading, &l, &f->e);
			if (rc == 0) {
				if (log_topic_open(l, "t", &t, &f->e) == 0) {
					uint64_t at = read_from(t, 0, &rc, &f->e);
					if (rc == 0)
						assert_int_equal(at, RECORDS);
					else if (rc == ERR_CORRUPT)
						assert_true(f->e.oldest <= at && at <= f->e.newest);
				}
				assert_ok(log_close(l, &f->e), &f->e);
			}
			flip(path, (off_t)(bit / 8), (int)(bit % 8));
		}
	}
	struct found x;
	assert_int_equal(verify(f, &x), 0);
}

/* Everything outside [from, to) must be readable, inside a typed error with that very range. */
static void check_around(struct fixture *f, uint64_t from, uint64_t to, uint64_t n)
{
	struct log *l;
	struct log_topic *t;
	int rc;
	assert_ok(log_open(f->dir, &reading, &l, &f->e), &f->e);
	assert_ok(log_topic_open(l, "t", &t, &f->e), &f->e);
	assert_int_equal(log_topic_range(t, 0, false).next, n);
	assert_int_equal(read_from(t, 0, &rc, &f->e), from);
	assert_int_equal(rc, ERR_CORRUPT);
	assert_int_equal(f->e.oldest, from);
	assert_int_equal(f->e.newest, to);
	for (uint64_t i = from; i < to; i += 1 + (to - from) / 5) {
		assert_int_equal(read_from(t, i, &rc, &f->e), i);
		assert_int_equal(rc, ERR_CORRUPT);
		assert_int_equal(f->e.newest, to);
	}
	assert_int_equal(read_from(t, to, &rc, &f->e), n);
	assert_int_equal(rc, 0);
	assert_int_equal(read_from(t, to + (n - to) / 2, &rc, &f->e), n);
	assert_int_equal(rc, 0);
	assert_ok(log_close(l, &f->e), &f->e);
}

static void repair_and_check(struct fixture *f, uint64_t from, uint64_t to, uint64_t n)
{
	struct found x = { .n = 0 };
	struct log_report report;
	assert_int_equal(log_repair(f->dir, NULL, false, on_damage, &x, &report, &f->e),
			 ERR_CORRUPT);
	assert_true(x.n > 0);
	check_around(f, from, to, n);
	assert_ok(log_repair(f->dir, NULL, true, on_damage, &x, &report, &f->e), &f->e);
	int rc = verify(f, &x);
	if (rc)
		fail_msg("after repair: %d %s %s", rc, x.file, x.last.what);
	check_around(f, from, to, n);
	struct log *l;
	struct log_topic *t;
	assert_ok(log_open(f->dir, &writing, &l, &f->e), &f->e);
	assert_ok(log_topic_open(l, "t", &t, &f->e), &f->e);
	append_n(f, t, n, 5);
	assert_ok(log_close(l, &f->e), &f->e);
	check_around(f, from, to, n + 5);
	assert_int_equal(verify(f, &x), 0);
}

static size_t batch_byte(struct fixture *f, const char *seg, int i)
{
	AUTO(buf) struct buf b = BUF_INIT;
	test_read_file(file(f, seg), &b);
	size_t at = 1024;
	while (i--)
		at += get_le32(b.p + at + 16);
	return at;
}

static void damage_in_the_middle_is_reported_read_around_and_repaired(void **state)
{
	struct fixture *f = *state;
	make_log(f, RECORDS);
	size_t from = batch_byte(f, SEG0, 20), to = batch_byte(f, SEG0, 21);
	flip(file(f, SEG0), (off_t)from + 70, 3);
	struct found x;
	assert_int_equal(verify(f, &x), 1);
	assert_int_equal(x.n, 1);
	assert_string_equal(x.topic, "t");
	assert_string_equal(x.file, file(f, SEG0));
	assert_int_equal(x.last.from_byte, from);
	assert_int_equal(x.last.to_byte, to);
	assert_int_equal(x.last.from_offset, 20);
	assert_int_equal(x.last.to_offset, 21);
	check_around(f, 20, 21, RECORDS);
	repair_and_check(f, 20, 21, RECORDS);
	/* The bytes are kept. */
	char name[100];
	snprintf(name, sizeof(name), "topics/t/0/00000000000000000000.damaged-%zu", from);
	assert_int_equal(size_of(file(f, name)), to - from);
}

static void zeroed_bytes_over_several_batches_lose_just_those(void **state)
{
	struct fixture *f = *state;
	make_log(f, RECORDS);
	size_t from = batch_byte(f, SEG0, 30), to = batch_byte(f, SEG0, 40);
	int fd = open(file(f, SEG0), O_WRONLY);
	static const uint8_t zeros[4096];
	assert_true(to - from < sizeof(zeros));
	assert_true(pwrite(fd, zeros, to - from, (off_t)from) == (ssize_t)(to - from));
	close(fd);
	repair_and_check(f, 30, 40, RECORDS);
}

static void damage_of_the_last_batch_of_a_closed_log_is_no_torn_tail(void **state)
{
	struct fixture *f = *state;
	make_log(f, RECORDS);
	flip(file(f, SEG0), (off_t)batch_byte(f, SEG0, RECORDS - 1) + 66, 0);
	/* Also when the index cannot bear witness. */
	assert_int_equal(unlink(file(f, IDX0)), 0);
	struct log *l;
	assert_int_equal(log_open(f->dir, &writing, &l, &f->e), ERR_CORRUPT);
	assert_int_equal(f->e.oldest, RECORDS - 1);
	assert_int_equal(f->e.newest, RECORDS);
	repair_and_check(f, RECORDS - 1, RECORDS, RECORDS);
}

/* The base offsets of the segments, ascending. */
static size_t segments(struct fixture *f, uint64_t *bases, size_t max)
{
	size_t n = 0;
	DIR *d = opendir(file(f, "topics/t/0"));
	for (struct dirent *x; (x = readdir(d));)
		if (strlen(x->d_name) == 24 && strcmp(x->d_name + 20, ".seg") == 0 && n < max)
			bases[n++] = strtoull(x->d_name, NULL, 10);
	closedir(d);
	for (size_t i = 0; i < n; i++)
		for (size_t j = i + 1; j < n; j++)
			if (bases[j] < bases[i]) {
				uint64_t t = bases[i];
				bases[i] = bases[j];
				bases[j] = t;
			}
	return n;
}

static const char *seg(struct fixture *f, uint64_t base, const char *suffix)
{
	char name[100];
	snprintf(name, sizeof(name), "topics/t/0/%020" PRIu64 ".%s", base, suffix);
	return file(f, name);
}

static void a_missing_segment_is_reported_and_replaced(void **state)
{
	struct fixture *f = *state;
	make_log(f, 500);
	uint64_t base[20];
	assert_true(segments(f, base, 20) >= 4);
	assert_int_equal(unlink(seg(f, base[1], "seg")), 0);
	repair_and_check(f, base[1], base[2], 500);
}

static void a_segment_without_identity_is_reported_and_kept_aside(void **state)
{
	struct fixture *f = *state;
	make_log(f, 500);
	uint64_t base[20];
	assert_true(segments(f, base, 20) >= 4);
	flip(seg(f, base[1], "seg"), 20, 0);
	/* One copy damaged: nothing is lost. */
	struct found x;
	assert_int_equal(verify(f, &x), 1);
	assert_int_equal(x.last.from_offset, x.last.to_offset);
	flip(seg(f, base[1], "seg"), 512 + 20, 0);
	/* Both: the index knows. */
	assert_int_equal(verify(f, &x), 1);
	assert_int_equal(x.last.from_offset, x.last.to_offset);
	flip(seg(f, base[1], "idx"), 20, 0);
	repair_and_check(f, base[1], base[2], 500);
	assert_int_equal(access(seg(f, base[1], "damaged-0"), F_OK), 0);
}

static void damaged_headers_are_mended_without_loss(void **state)
{
	struct fixture *f = *state;
	make_log(f, 500);
	uint64_t base[20];
	struct found x;
	segments(f, base, 20);
	flip(seg(f, base[1], "seg"), 20, 0);
	flip(seg(f, base[1], "seg"), 512 + 20, 0);
	assert_ok(log_repair(f->dir, NULL, false, NULL, NULL, NULL, &f->e), &f->e);
	assert_int_equal(verify(f, &x), 0);
}

static void a_lost_seal_loses_no_record(void **state)
{
	struct fixture *f = *state;
	make_log(f, 500);
	uint64_t base[20];
	struct found x;
	segments(f, base, 20);
	flip(seg(f, base[1], "seg"), (off_t)size_of(seg(f, base[1], "seg")) - 30, 5);
	assert_int_equal(verify(f, &x), 1);
	assert_int_equal(x.last.from_offset, x.last.to_offset);
	struct log *l;
	struct log_topic *t;
	int rc;
	assert_ok(log_open(f->dir, &reading, &l, &f->e), &f->e);
	assert_ok(log_topic_open(l, "t", &t, &f->e), &f->e);
	assert_int_equal(read_from(t, 0, &rc, &f->e), 500);
	assert_int_equal(rc, 0);
	assert_ok(log_close(l, &f->e), &f->e);
	assert_ok(log_repair(f->dir, NULL, false, NULL, NULL, NULL, &f->e), &f->e);
	assert_int_equal(verify(f, &x), 0);
}

static void a_segment_of_another_log_is_not_believed(void **state)
{
	struct fixture *f = *state;
	make_log(f, 500);
	uint64_t base[20];
	segments(f, base, 20);
	struct fixture other = { .e = ERR_INIT };
	snprintf(other.dir, sizeof(other.dir), "%.280s.other", f->dir);
	make_log(&other, 500);
	copy_file(seg(&other, base[1], "seg"), seg(f, base[1], "seg"));
	copy_file(seg(&other, base[1], "idx"), seg(f, base[1], "idx"));
	check_around(f, base[1], base[2], 500);
}

static void missing_indexes_are_rebuilt(void **state)
{
	struct fixture *f = *state;
	make_log(f, 500);
	uint64_t base[20];
	size_t n = segments(f, base, 20);
	struct found x;
	for (size_t i = 0; i < n; i++)
		assert_int_equal(unlink(seg(f, base[i], "idx")), 0);
	struct log *l;
	struct log_topic *t;
	int rc;
	assert_int_equal(verify(f, &x), 1);
	assert_ok(log_open(f->dir, &reading, &l, &f->e), &f->e);
	assert_ok(log_topic_open(l, "t", &t, &f->e), &f->e);
	assert_int_equal(read_from(t, 333, &rc, &f->e), 500);
	assert_int_equal(rc, 0);
	assert_ok(log_close(l, &f->e), &f->e);
	assert_ok(log_open(f->dir, &writing, &l, &f->e), &f->e);
	assert_ok(log_close(l, &f->e), &f->e);
	assert_int_equal(verify(f, &x), 0);
}

static void damaged_descriptions_are_written_anew_from_the_segments(void **state)
{
	struct fixture *f = *state;
	make_log(f, 500);
	AUTO(buf) struct buf before = BUF_INIT;
	AUTO(buf) struct buf after = BUF_INIT;
	test_read_file(file(f, "weir-log"), &before);
	flip(file(f, "weir-log"), 20, 0);
	flip(file(f, "topics/t/topic"), 3, 0);
	struct log *l;
	struct log_topic *t;
	struct found x = { .n = 0 };
	int rc;
	assert_int_equal(log_open(f->dir, &writing, &l, &f->e), ERR_CORRUPT);
	assert_ok(log_repair(f->dir, NULL, false, on_damage, &x, NULL, &f->e), &f->e);
	assert_int_equal(x.n, 2);
	assert_int_equal(verify(f, &x), 0);
	test_read_file(file(f, "weir-log"), &after);
	assert_memory_equal(before.p + 16, after.p + 16, 16); /* the identity */
	assert_ok(log_open(f->dir, &writing, &l, &f->e), &f->e);
	assert_ok(log_topic_open(l, "t", &t, &f->e), &f->e);
	assert_int_equal(log_topic_partitions(t), 1);
	assert_int_equal(read_from(t, 0, &rc, &f->e), 500);
	assert_ok(log_close(l, &f->e), &f->e);
	/* A directory that is no log stays untouched. */
	char other[400];
	snprintf(other, sizeof(other), "%.280s.other", f->dir);
	assert_int_equal(mkdir(other, 0700), 0);
	assert_int_equal(log_repair(other, NULL, true, NULL, NULL, NULL, &f->e), ERR_INVALID);
	assert_int_equal(rmdir(other), 0);
}

static void write_and_die(void *arg)
{
	struct fixture *f = arg;
	struct log *l;
	struct log_topic *t;
	assert_ok(log_open(f->dir, &writing, &l, &f->e), &f->e);
	assert_ok(log_topic_create(l, "t", 1, &t, &f->e), &f->e);
	append_n(f, t, 0, RECORDS);
	_exit(7);
}

static void a_torn_tail_is_cut_and_its_bytes_never_come_back(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(test_in_child(write_and_die, f, PATIENCE_MS / 1000), 7 << 8);
	/* The power went: of the unsynced batches one in the middle did not reach the disk. */
	flip(file(f, SEG0), (off_t)batch_byte(f, SEG0, 50) + 66, 0);
	struct log *l;
	struct log_topic *t;
	int rc;
	assert_ok(log_open(f->dir, &reading, &l, &f->e), &f->e);
	assert_ok(log_topic_open(l, "t", &t, &f->e), &f->e);
	assert_int_equal(read_from(t, 0, &rc, &f->e), 50);
	assert_ok(log_close(l, &f->e), &f->e);
	assert_ok(log_open(f->dir, &writing, &l, &f->e), &f->e);
	assert_ok(log_topic_open(l, "t", &t, &f->e), &f->e);
	append_n(f, t, 50, 1);
	assert_int_equal(read_from(t, 0, &rc, &f->e), 51);
	assert_int_equal(rc, 0);
	assert_ok(log_close(l, &f->e), &f->e);
	struct found x;
	assert_int_equal(verify(f, &x), 0);
}

/* ---- memory ---- */

static int use_everything(struct fixture *f, uint64_t *acked)
{
	struct log *l;
	struct log_topic *t;
	struct log_reader *r;
	struct log_record rec;
	int rc = log_open(f->dir, &writing, &l, &f->e);
	if (rc)
		return rc;
	rc = log_topic_open(l, "t", &t, &f->e);
	for (int i = 0; rc == 0 && i < 150; i++) {
		uint8_t value[200];
		uint64_t first = log_topic_range(t, 0, false).next;
		struct log_record a = { .time_ms = 5000 + (int64_t)first, .has_value = true };
		a.value = slice_of(value, make_value(first, value));
		rc = log_append(t, 0, &a, 1, LOG_ACK_WRITTEN, NULL, &f->e);
		*acked += rc == 0;
	}
	if (rc == 0)
		rc = log_reader_open(t, 0, 30, NULL, &r, &f->e);
	if (rc == 0) {
		while ((rc = log_reader_next(r, &rec, &f->e)) == 1)
			;
		log_reader_close(r);
	}
	uint64_t offset;
	if (rc == 0)
		rc = log_topic_seek_time(t, 0, 5100, &offset, &f->e);
	int rc1 = log_close(l, &f->e);
	return rc ? rc : rc1;
}

static void every_failing_allocation_is_an_error_and_loses_nothing(void **state)
{
	struct fixture *f = *state;
	int rc = ERR_NOMEM;
	for (long k = 0; rc; k++) {
		assert_true(k < 1000);
		test_rmdir(f->dir);
		make_log(f, 10);
		uint64_t acked = 10;
		scarce_begin();
		scarce_fail(k + 1, true);
		rc = use_everything(f, &acked);
		scarce_end();
		if (rc)
			assert_int_equal(rc, ERR_NOMEM);
		struct log *l;
		struct log_topic *t;
		int rc1;
		assert_ok(log_open(f->dir, &reading, &l, &f->e), &f->e);
		assert_ok(log_topic_open(l, "t", &t, &f->e), &f->e);
		assert_int_equal(read_from(t, 0, &rc1, &f->e), acked);
		assert_ok(rc1, &f->e);
		assert_ok(log_close(l, &f->e), &f->e);
	}
	struct found x;
	assert_int_equal(verify(f, &x), 0);
}

int main(void)
{
	/* Thousands of logs, and none of them needs a disk. */
	test_in_memory();
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_whole_log_verifies),
		T(a_log_cut_at_any_byte_opens_with_every_whole_record),
		T(every_flipped_bit_is_found_and_nothing_wrong_is_delivered),
		T(damage_in_the_middle_is_reported_read_around_and_repaired),
		T(zeroed_bytes_over_several_batches_lose_just_those),
		T(damage_of_the_last_batch_of_a_closed_log_is_no_torn_tail),
		T(a_missing_segment_is_reported_and_replaced),
		T(a_segment_without_identity_is_reported_and_kept_aside),
		T(damaged_headers_are_mended_without_loss),
		T(a_lost_seal_loses_no_record),
		T(a_segment_of_another_log_is_not_believed),
		T(missing_indexes_are_rebuilt),
		T(damaged_descriptions_are_written_anew_from_the_segments),
		T(a_torn_tail_is_cut_and_its_bytes_never_come_back),
		T(every_failing_allocation_is_an_error_and_loses_nothing),
	};
	return cmocka_run_group_tests_name("log damage", tests, NULL, NULL);
}
