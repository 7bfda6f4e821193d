/* A disk that is really full: a tmpfs of 1 MiB and an ext4 of 16 MiB (both need the right to mount; otherwise skipped
 * with a word) and, the same without that right, the simulated disk.
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
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define DISK_BYTES (1u << 20)
#define EXT4_BYTES (16u << 20)

struct disk {
	struct env *env;
	char dir[320];
	struct model_part part;
	struct log *log;
	struct log_topic *topic;
	uint64_t refused;
	uint64_t segment_bytes, durable_every; /* this many records */
	size_t max_value;
};

static void open_log(struct disk *d)
{
	struct err e = ERR_INIT;
	struct log_options o = { .env = d->env,
				 .create = true,
				 .segment_bytes = d->segment_bytes,
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
		int rc = model_append(d->topic, 0, next, 4, 0, d->max_value,
				      next % d->durable_every ? LOG_ACK_WRITTEN : LOG_ACK_DURABLE,
				      &e);
		if (rc < 0) {
			if (rc != ERR_NOSPACE)
				fail_msg("a full disk is reported as %s: %s", err_name(rc), e.msg);
			assert_true(*e.msg);
			d->refused++;
			return d->part.durable - before;
		}
		d->part.written = next + 4;
		if (next % d->durable_every == 0)
			d->part.durable = next + 4;
		assert_true(next < 1000000);
	}
}

static void check(struct disk *d)
{
	struct err e = ERR_INIT;
	d->part.new_from = UINT64_MAX;
	assert_ok(model_check_part(d->topic, 0, &d->part, d->max_value, &e), &e);
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

static struct disk small_disk(struct env *env)
{
	return (struct disk){
		.env = env, .segment_bytes = 64u << 10, .durable_every = 12, .max_value = 4000
	};
}

static char tmp[256], mnt[300];

/* A fresh directory with an empty one in it to mount on; both go again however the test ends. */
static int make_mount_point(void **state)
{
	(void)state;
	snprintf(tmp, sizeof(tmp), "%s", test_tmpdir());
	snprintf(mnt, sizeof(mnt), "%.250s/mnt", tmp);
	return mkdir(mnt, 0700);
}

static int remove_mount_point(void **state)
{
	(void)state;
	(void)umount2(mnt, MNT_DETACH);
	test_rmdir(tmp);
	return 0;
}

static void a_full_tmpfs_is_an_error_and_with_room_the_log_goes_on(void **state)
{
	(void)state;
	struct disk d = small_disk(env_posix());
	char size[32];
	snprintf(size, sizeof(size), "size=%u", DISK_BYTES);
	if (mount("none", mnt, "tmpfs", 0, size) < 0) {
		print_message("cannot mount a tmpfs (%s): skipped\n", strerror(errno));
		skip();
	}
	snprintf(d.dir, sizeof(d.dir), "%s/log", mnt);
	fill_and_free(&d, test_count(5, 100));
}

static bool mount_ext4(void)
{
	char image[300], command[1000];
	snprintf(image, sizeof(image), "%.250s/image", tmp);
	int fd = open(image, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return false;
	bool sized = ftruncate(fd, EXT4_BYTES) == 0;
	close(fd);
	snprintf(command, sizeof(command),
		 "PATH=$PATH:/sbin:/usr/sbin; mkfs.ext4 -q -F '%s' && mount -o loop '%s' '%s'",
		 image, image, mnt);
	char quiet[1100];
	snprintf(quiet, sizeof(quiet), "{ %s ; } >/dev/null 2>&1", command);
	return sized && geteuid() == 0 && system(quiet) == 0;
}

static void a_full_ext4_is_an_error_and_with_room_the_log_goes_on(void **state)
{
	(void)state;
	struct disk d = { .env = env_posix(),
			  .segment_bytes = 1u << 20,
			  .durable_every = 120,
			  .max_value = 60000 };
	if (!mount_ext4()) {
		print_message("cannot make and mount an ext4 image here: skipped\n");
		skip();
	}
	snprintf(d.dir, sizeof(d.dir), "%s/log", mnt);
	fill_and_free(&d, test_count(3, 100));
}

static void a_full_simulated_disk_is_an_error_and_with_room_the_log_goes_on(void **state)
{
	(void)state;
	struct sim *s = sim_new(
		&(struct sim_options){ .disk_bytes = DISK_BYTES, .file_bytes = 256u << 10 });
	assert_non_null(s);
	struct disk d = small_disk(sim_env(s));
	snprintf(d.dir, sizeof(d.dir), "log");
	fill_and_free(&d, test_count(20, 400));
	assert_int_equal(sim_open_files(s), 0);
	sim_free(s);
}

#define MOUNTS(test) cmocka_unit_test_setup_teardown(test, make_mount_point, remove_mount_point)

int main(void)
{
	const struct CMUnitTest tests[] = {
		MOUNTS(a_full_tmpfs_is_an_error_and_with_room_the_log_goes_on),
		MOUNTS(a_full_ext4_is_an_error_and_with_room_the_log_goes_on),
		cmocka_unit_test(a_full_simulated_disk_is_an_error_and_with_room_the_log_goes_on),
	};
	return cmocka_run_group_tests_name("log_faults_disk", tests, NULL, NULL);
}
