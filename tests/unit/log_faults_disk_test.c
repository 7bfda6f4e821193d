/* A disk that is really full: a small tmpfs (needs the right to mount; otherwise skipped with a word) and, the same
 * without that right, the simulated disk.
 *
 * Fill until an append fails; readers go on; make room by trimming; reopen without leaving the process; go on. Nothing
 * acknowledged is lost and nothing half-written is ever visible. */
#include "tests/log_model.h"
#include "tests/test.h"

#include "os/env_sim.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define DISK_BYTES    (1u << 20)
#define SEGMENT_BYTES (64u << 10)
#define MAX_VALUE     4000

struct disk {
	struct env *env;
	char dir[320];
	struct model_part part;
	struct log *log;
	struct log_topic *topic;
	uint64_t refused;
};

static void open_log(struct disk *d)
{
	struct err e = ERR_INIT;
	struct log_options o = { .env = d->env,
				 .create = true,
				 .segment_bytes = SEGMENT_BYTES,
				 .flush_interval_ms = UINT32_MAX };
	assert_ok(log_open(d->dir, &o, &d->log, &e), &e);
	int rc = log_topic_open(d->log, "t", &d->topic, &e);
	if (rc == ERR_NOTFOUND && d->part.submitted == 0)
		rc = log_topic_create(d->log, "t", 1, &d->topic, &e);
	assert_ok(rc, &e);
}

/* Appends until it is refused; how many records went in. */
static uint64_t fill(struct disk *d)
{
	uint64_t before = d->part.durable;
	for (;;) {
		struct err e = ERR_INIT;
		uint64_t next = log_topic_range(d->topic, 0, false).next;
		d->part.submitted = next + 4;
		int rc = model_append(d->topic, 0, next, 4, 0, MAX_VALUE,
				      next % 3 ? LOG_ACK_WRITTEN : LOG_ACK_DURABLE, &e);
		if (rc < 0) {
			if (rc != ERR_NOSPACE)
				fail_msg("a full disk is reported as %s: %s", err_name(rc), e.msg);
			assert_true(*e.msg);
			d->refused++;
			return d->part.durable - before;
		}
		d->part.written = next + 4;
		if (next % 3 == 0)
			d->part.durable = next + 4;
		assert_true(next < 1000000);
	}
}

static void check(struct disk *d)
{
	struct err e = ERR_INIT;
	d->part.new_from = UINT64_MAX;
	assert_ok(model_check_part(d->topic, 0, &d->part, MAX_VALUE, &e), &e);
}

static void make_room(struct disk *d)
{
	struct err e = ERR_INIT;
	struct log_range range = log_topic_range(d->topic, 0, false);
	uint64_t before = range.oldest + (range.next - range.oldest) * 3 / 4, oldest = 0;
	d->part.trim_asked = before;
	assert_ok(log_trim(d->topic, 0, before, &oldest, &e), &e);
	assert_true(oldest > range.oldest);
}

static void fill_and_free(struct disk *d, long cycles)
{
	open_log(d);
	for (long i = 0; i < cycles; i++) {
		struct err e = ERR_INIT;
		assert_true(fill(d) > 0 || i == 0);
		check(d);    /* readers do not mind */
		if (i % 2) { /* restarted while it is still full */
			(void)log_close(d->log, &e);
			open_log(d);
			check(d);
		}
		make_room(d);
		(void)log_close(d->log, &e);
		open_log(d);
		check(d);
	}
	struct err e = ERR_INIT;
	assert_ok(log_close(d->log, &e), &e);
	print_message("%" PRIu64 " times full, %" PRIu64 " records, 0 lost\n", d->refused,
		      d->part.written);
}

static void a_full_tmpfs_is_an_error_and_with_room_the_log_goes_on(void **state)
{
	(void)state;
	struct disk d = { .env = env_posix() };
	char tmp[256], size[32];
	snprintf(tmp, sizeof(tmp), "%s", test_tmpdir());
	snprintf(d.dir, sizeof(d.dir), "%s/mnt", tmp);
	assert_int_equal(mkdir(d.dir, 0700), 0);
	snprintf(size, sizeof(size), "size=%u", DISK_BYTES);
	if (mount("none", d.dir, "tmpfs", 0, size) < 0) {
		print_message("cannot mount a tmpfs (%s): skipped\n", strerror(errno));
		test_rmdir(tmp);
		skip();
	}
	char mnt[300];
	snprintf(mnt, sizeof(mnt), "%.250s/mnt", tmp);
	strcat(d.dir, "/log");
	fill_and_free(&d, test_count(5, 100));
	assert_int_equal(umount2(mnt, MNT_DETACH), 0);
	test_rmdir(tmp);
}

static void a_full_simulated_disk_is_an_error_and_with_room_the_log_goes_on(void **state)
{
	(void)state;
	struct sim *s = sim_new(
		&(struct sim_options){ .disk_bytes = DISK_BYTES, .file_bytes = 256u << 10 });
	assert_non_null(s);
	struct disk d = { .env = sim_env(s), .dir = "log" };
	fill_and_free(&d, test_count(20, 400));
	assert_int_equal(sim_open_files(s), 0);
	sim_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_tmpfs_is_an_error_and_with_room_the_log_goes_on),
		cmocka_unit_test(a_full_simulated_disk_is_an_error_and_with_room_the_log_goes_on),
	};
	return cmocka_run_group_tests_name("log_faults_disk", tests, NULL, NULL);
}
