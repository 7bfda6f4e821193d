/* env_posix against the contract in os/env.h, with a table of system calls in between where the real ones do not
 * misbehave when asked. */
#include "tests/test.h"

#include "os/env.h"
#include "os/env_posix.h"
#include "os/thread.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct fixture {
	char dir[256];
	char path[300];
	struct env *env;
};

static int setup(void **state)
{
	static struct fixture f;
	snprintf(f.dir, sizeof(f.dir), "%s", test_tmpdir());
	snprintf(f.path, sizeof(f.path), "%s/file", f.dir);
	f.env = env_posix();
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	env_posix_set_syscalls(NULL);
	test_rmdir(f->dir);
	return 0;
}

static struct file *open_ok(struct fixture *f, enum file_mode mode)
{
	struct err e = ERR_INIT;
	struct file *file = NULL;
	assert_ok(env_open(f->env, f->path, mode, &file, &e), &e);
	return file;
}

static size_t open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	assert_non_null(d);
	size_t n = 0;
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* ---- files ---- */

static void reads_return_what_was_written_and_less_only_at_the_end(void **state)
{
	struct fixture *f = *state;
	struct err e = ERR_INIT;
	struct file *file = open_ok(f, FILE_CREATE_NEW);
	assert_ok(file_write(file, 10, "hello", 5, &e), &e);
	char got[64] = { 1 };
	size_t n = 99;
	assert_ok(file_read(file, 0, got, sizeof(got), &n, &e), &e);
	assert_int_equal(n, 15);
	assert_memory_equal(got, "\0\0\0\0\0\0\0\0\0\0hello", 15);
	assert_ok(file_read(file, 15, got, 1, &n, &e), &e);
	assert_int_equal(n, 0);
	assert_ok(file_read(file, 1000, got, 1, &n, &e), &e);
	assert_int_equal(n, 0);
	assert_ok(file_sync(file, &e), &e);
	uint64_t size;
	assert_ok(file_truncate(file, 12, &e), &e);
	assert_ok(file_size(file, &size, &e), &e);
	assert_int_equal(size, 12);
	file_close(file);

	file = open_ok(f, FILE_READ);
	assert_ok(file_read(file, 10, got, 5, &n, &e), &e);
	assert_int_equal(n, 2);
	assert_true(file_write(file, 0, "x", 1, &e) < 0);
	file_close(file);
	file_close(NULL);
}

static void a_range_beyond_the_largest_file_is_refused(void **state)
{
	struct fixture *f = *state;
	struct err e = ERR_INIT;
	struct file *file = open_ok(f, FILE_CREATE_NEW);
	char c = 0;
	size_t n;
	assert_int_equal(file_read(file, UINT64_MAX, &c, 1, &n, &e), ERR_INVALID);
	assert_int_equal(file_write(file, INT64_MAX, &c, 1, &e), ERR_INVALID);
	assert_int_equal(file_truncate(file, UINT64_MAX, &e), ERR_INVALID);
	assert_int_equal(file_allocate(file, 1, UINT64_MAX, &e), ERR_INVALID);
	file_close(file);
}

static void allocate_grows_the_file_with_zeros_and_keeps_what_is_there(void **state)
{
	struct fixture *f = *state;
	struct err e = ERR_INIT;
	struct file *file = open_ok(f, FILE_CREATE_NEW);
	assert_ok(file_write(file, 0, "abc", 3, &e), &e);
	assert_ok(file_allocate(file, 0, 300000, &e), &e);
	uint64_t size;
	assert_ok(file_size(file, &size, &e), &e);
	assert_int_equal(size, 300000);
	struct stat st;
	assert_int_equal(stat(f->path, &st), 0);
	assert_true(st.st_blocks * 512 >= 300000);
	char got[8];
	size_t n;
	assert_ok(file_read(file, 0, got, 8, &n, &e), &e);
	assert_memory_equal(got, "abc\0\0\0\0\0", 8);
	file_close(file);
}

static int no_fallocate(int fd, int mode, off_t off, off_t len)
{
	(void)fd;
	(void)mode;
	(void)off;
	(void)len;
	errno = EOPNOTSUPP;
	return -1;
}

static void allocate_works_where_the_file_system_has_no_fallocate(void **state)
{
	struct fixture *f = *state;
	struct env_syscalls calls = env_syscalls_real;
	calls.fallocate = no_fallocate;
	env_posix_set_syscalls(&calls);
	allocate_grows_the_file_with_zeros_and_keeps_what_is_there((void **)&f);
}

static void open_modes_differ_in_what_they_demand(void **state)
{
	struct fixture *f = *state;
	struct err e = ERR_INIT;
	struct file *file = NULL;
	assert_int_equal(env_open(f->env, f->path, FILE_READ, &file, &e), ERR_NOTFOUND);
	assert_non_null(strstr(e.msg, f->path));
	assert_int_equal(env_open(f->env, f->path, FILE_WRITE, &file, &e), ERR_NOTFOUND);
	file_close(open_ok(f, FILE_CREATE));
	file_close(open_ok(f, FILE_CREATE));
	assert_int_equal(env_open(f->env, f->path, FILE_CREATE_NEW, &file, &e), ERR_EXISTS);
	assert_null(file);
	struct stat st;
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
}

static void only_regular_files_are_opened_and_nothing_blocks(void **state)
{
	struct fixture *f = *state;
	struct err e = ERR_INIT;
	struct file *file = NULL;
	static const enum file_mode modes[] = { FILE_READ, FILE_WRITE, FILE_CREATE };
	for (int kind = 0; kind < 3; kind++) {
		if (kind == 0)
			assert_int_equal(mkfifo(f->path, 0600), 0);
		else if (kind == 1)
			assert_int_equal(symlink("/etc/passwd", f->path), 0);
		else
			assert_int_equal(mkdir(f->path, 0700), 0);
		for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
			assert_int_equal(env_open(f->env, f->path, modes[i], &file, &e),
					 ERR_INVALID);
			assert_non_null(strstr(e.msg, f->path));
		}
		assert_int_equal(remove(f->path), 0);
	}
	assert_null(file);
	snprintf(f->path, sizeof(f->path), "/dev/null");
	assert_int_equal(env_open(f->env, f->path, FILE_READ, &file, &e), ERR_INVALID);
}

static void failed_opens_leave_no_descriptor_behind(void **state)
{
	struct fixture *f = *state;
	struct file *file;
	size_t before = open_descriptors();
	for (int i = 0; i < 20; i++) {
		assert_true(env_open(f->env, f->dir, FILE_READ, &file, NULL) < 0);
		assert_true(env_open(f->env, "/dev/null", FILE_READ, &file, NULL) < 0);
		assert_true(env_open(f->env, f->path, FILE_READ, &file, NULL) < 0);
		assert_true(env_sync_dir(f->env, f->path, NULL) < 0);
		assert_true(env_list(f->env, "/dev/null", NULL, NULL, NULL) < 0);
	}
	assert_int_equal(open_descriptors(), before);
}

static void use_up_descriptors(void *arg)
{
	struct fixture *f = arg;
	struct rlimit limit = { 5, 5 };
	struct file *a, *b = NULL, *c = NULL;
	struct err e = ERR_INIT;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		_exit(1);
	for (int fd = 3; fd < 5; fd++)
		close(fd);
	if (env_open(f->env, f->path, FILE_CREATE, &a, &e) < 0 ||
	    env_open(f->env, f->path, FILE_CREATE, &b, &e) < 0)
		_exit(2);
	if (env_open(f->env, f->path, FILE_CREATE, &c, &e) != ERR_IO || c ||
	    !strstr(e.msg, "Too many open files"))
		_exit(3);
	if (env_sync_dir(f->env, f->dir, &e) != ERR_IO)
		_exit(4);
	file_close(a);
	_exit(env_open(f->env, f->path, FILE_CREATE, &c, &e) < 0);
}

static void running_out_of_descriptors_is_an_error_and_passes(void **state)
{
	assert_int_equal(test_in_child(use_up_descriptors, *state, 10), 0);
}

static void open_without_stdio(void *arg)
{
	struct fixture *f = arg;
	for (int fd = 0; fd < 3; fd++)
		close(fd);
	struct file *file;
	if (env_open(f->env, f->path, FILE_CREATE_NEW, &file, NULL) < 0)
		_exit(1);
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) != -1)
			_exit(2);
	_exit(0);
}

static void a_file_never_takes_the_place_of_stdout(void **state)
{
	assert_int_equal(test_in_child(open_without_stdio, *state, 10), 0);
}

/* ---- short counts and EINTR ---- */

static int calls_made;

static ssize_t dribbling_pread(int fd, void *p, size_t len, off_t off)
{
	if (calls_made++ % 2 == 0) {
		errno = EINTR;
		return -1;
	}
	return pread(fd, p, MIN(len, 7u), off);
}

static ssize_t dribbling_pwrite(int fd, const void *p, size_t len, off_t off)
{
	if (calls_made++ % 2 == 0) {
		errno = EINTR;
		return -1;
	}
	return pwrite(fd, p, MIN(len, 7u), off);
}

#define INTERRUPTED_TWICE(name, params, args) \
	static int name##_left; \
	static int interrupted_##name params \
	{ \
		if (name##_left-- > 0) { \
			errno = EINTR; \
			return -1; \
		} \
		return name args; \
	}
INTERRUPTED_TWICE(open, (const char *path, int flags, mode_t mode), (path, flags, mode))
INTERRUPTED_TWICE(fdatasync, (int fd), (fd))
INTERRUPTED_TWICE(fsync, (int fd), (fd))
INTERRUPTED_TWICE(ftruncate, (int fd, off_t size), (fd, size))
INTERRUPTED_TWICE(fallocate, (int fd, int mode, off_t off, off_t len), (fd, mode, off, len))

static void short_counts_and_interruptions_are_completed_inside(void **state)
{
	struct fixture *f = *state;
	struct err e = ERR_INIT;
	struct env_syscalls calls = env_syscalls_real;
	calls.pread = dribbling_pread;
	calls.pwrite = dribbling_pwrite;
	calls.open = interrupted_open;
	calls.fdatasync = interrupted_fdatasync;
	calls.fsync = interrupted_fsync;
	calls.ftruncate = interrupted_ftruncate;
	calls.fallocate = interrupted_fallocate;
	open_left = fdatasync_left = fsync_left = ftruncate_left = fallocate_left = 2;
	calls_made = 0;
	env_posix_set_syscalls(&calls);

	uint8_t bytes[1000], got[1000];
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 31 + i / 7);
	struct file *file = open_ok(f, FILE_CREATE_NEW);
	assert_ok(file_allocate(file, 0, 4096, &e), &e);
	assert_ok(file_write(file, 3, bytes, sizeof(bytes), &e), &e);
	assert_ok(file_sync(file, &e), &e);
	assert_ok(file_truncate(file, 1003, &e), &e);
	size_t n;
	assert_ok(file_read(file, 3, got, sizeof(got), &n, &e), &e);
	assert_int_equal(n, 1000);
	assert_memory_equal(got, bytes, 1000);
	assert_ok(env_sync_dir(f->env, f->dir, &e), &e);
	assert_true(calls_made > 400);
	assert_int_equal(fdatasync_left, -1);
	assert_int_equal(fsync_left, -1);
	assert_int_equal(ftruncate_left, -1);
	assert_int_equal(fallocate_left, -1);
	file_close(file);
}

static int fail_errno, flushes;

static ssize_t failing_pwrite(int fd, const void *p, size_t len, off_t off)
{
	(void)fd;
	(void)p;
	(void)len;
	(void)off;
	errno = fail_errno;
	return fail_errno ? -1 : 0;
}

static int failing_fdatasync(int fd)
{
	(void)fd;
	flushes++;
	errno = fail_errno;
	return -1;
}

static void a_failed_write_or_flush_is_a_typed_error_and_is_not_repeated(void **state)
{
	struct fixture *f = *state;
	static const struct {
		int errnum, code;
	} rows[] = { { ENOSPC, ERR_NOSPACE }, { EDQUOT, ERR_NOSPACE }, { EIO, ERR_IO } };
	struct env_syscalls calls = env_syscalls_real;
	calls.pwrite = failing_pwrite;
	calls.fdatasync = failing_fdatasync;
	struct file *file = open_ok(f, FILE_CREATE_NEW);
	env_posix_set_syscalls(&calls);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = ERR_INIT;
		fail_errno = rows[i].errnum;
		flushes = 0;
		assert_int_equal(file_write(file, 5, "x", 1, &e), rows[i].code);
		assert_non_null(strstr(e.msg, "byte 5"));
		assert_int_equal(file_sync(file, &e), rows[i].code);
		assert_int_equal(flushes, 1);
	}
	fail_errno = 0;
	assert_int_equal(file_write(file, 0, "x", 1, NULL),
			 ERR_IO); /* a write of nothing never ends otherwise */
	file_close(file);
}

/* ---- directories ---- */

static int collect(void *arg, const char *name)
{
	struct buf *b = arg;
	buf_add_str(b, name);
	buf_add_byte(b, ' ');
	return 0;
}

static int stop_at_once(void *arg, const char *name)
{
	(void)name;
	(*(int *)arg)++;
	return ERR_CLOSED;
}

static void directories_are_made_listed_renamed_and_removed(void **state)
{
	struct fixture *f = *state;
	struct err e = ERR_INIT;
	char sub[300], from[320], to[320];
	snprintf(sub, sizeof(sub), "%s/sub", f->dir);
	snprintf(from, sizeof(from), "%s/a", sub);
	snprintf(to, sizeof(to), "%s/b", sub);
	assert_ok(env_mkdir(f->env, sub, &e), &e);
	assert_int_equal(env_mkdir(f->env, sub, &e), ERR_EXISTS);
	struct file_stat st;
	assert_ok(env_stat(f->env, sub, &st, &e), &e);
	assert_true(st.is_dir);
	assert_false(st.is_regular);

	struct file *file;
	assert_ok(env_open(f->env, from, FILE_CREATE, &file, &e), &e);
	assert_ok(file_write(file, 0, "12345", 5, &e), &e);
	file_close(file);
	assert_ok(env_open(f->env, to, FILE_CREATE, &file, &e), &e);
	file_close(file);
	assert_ok(env_rename(f->env, from, to, &e), &e); /* replaces */
	assert_ok(env_sync_dir(f->env, sub, &e), &e);
	assert_ok(env_stat(f->env, to, &st, &e), &e);
	assert_true(st.is_regular);
	assert_int_equal(st.size_bytes, 5);
	assert_in_range(st.mtime_ms, env_wall_ms(f->env) - 60000, env_wall_ms(f->env) + 1000);
	assert_int_equal(env_stat(f->env, from, &st, &e), ERR_NOTFOUND);

	AUTO(buf) struct buf names = BUF_INIT;
	assert_ok(env_list(f->env, sub, collect, &names, &e), &e);
	assert_string_equal(buf_cstr(&names), "b ");
	int seen = 0;
	assert_int_equal(env_list(f->env, f->dir, stop_at_once, &seen, &e), ERR_CLOSED);
	assert_int_equal(seen, 1);

	assert_true(env_rmdir(f->env, sub, &e) < 0); /* not empty */
	assert_ok(env_unlink(f->env, to, &e), &e);
	assert_int_equal(env_unlink(f->env, to, &e), ERR_NOTFOUND);
	assert_ok(env_rmdir(f->env, sub, &e), &e);
	assert_int_equal(env_list(f->env, sub, collect, &names, &e), ERR_NOTFOUND);
	assert_int_equal(symlink("nowhere", f->path), 0);
	assert_ok(env_stat(f->env, f->path, &st, &e), &e);
	assert_false(st.is_dir || st.is_regular);
}

/* ---- locks ---- */

static void try_lock(void *arg)
{
	struct fixture *f = arg;
	struct file *file;
	if (env_open(f->env, f->path, FILE_WRITE, &file, NULL) < 0)
		_exit(10);
	_exit(file_lock(file, NULL));
}

static void the_lock_excludes_other_processes_and_other_opens(void **state)
{
	struct fixture *f = *state;
	struct err e = ERR_INIT;
	struct file *a = open_ok(f, FILE_CREATE);
	struct file *b = open_ok(f, FILE_CREATE);
	struct file *r = open_ok(f, FILE_READ);
	assert_int_equal(file_locked_by_other(r, &e), 0);
	assert_int_equal(file_lock(a, &e), 1);
	assert_int_equal(file_lock(a, &e), 1);
	assert_int_equal(file_locked_by_other(a, &e), 0);
	assert_int_equal(file_locked_by_other(r, &e), 1);
	assert_int_equal(file_lock(b, &e), 0);
	file_close(b); /* does not release a's */
	assert_int_equal(file_locked_by_other(r, &e), 1);
	assert_int_equal(WEXITSTATUS(test_in_child(try_lock, f, 10)), 0);
	file_close(a);
	assert_int_equal(file_locked_by_other(r, &e), 0);
	assert_int_equal(WEXITSTATUS(test_in_child(try_lock, f, 10)), 1);
	file_close(r);
}

static void the_lock_dies_with_a_killed_process(void **state)
{
	struct fixture *f = *state;
	struct err e = ERR_INIT;
	file_close(open_ok(f, FILE_CREATE));
	int ready[2];
	assert_int_equal(pipe(ready), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct file *file;
		if (env_open(f->env, f->path, FILE_WRITE, &file, NULL) == 0 &&
		    file_lock(file, NULL) == 1)
			(void)!write(ready[1], "1", 1);
		for (;;)
			pause();
	}
	char c;
	assert_int_equal(read(ready[0], &c, 1), 1);
	struct file *file = open_ok(f, FILE_WRITE);
	assert_int_equal(file_lock(file, &e), 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_int_equal(file_lock(file, &e), 1);
	file_close(file);
	close(ready[0]);
	close(ready[1]);
}

/* ---- maps and waiting ---- */

static void stores_through_a_map_are_the_files_contents(void **state)
{
	struct fixture *f = *state;
	struct err e = ERR_INIT;
	struct file *w = open_ok(f, FILE_CREATE), *r = open_ok(f, FILE_READ);
	assert_ok(file_allocate(w, 0, 3 * 4096, &e), &e);
	void *p, *q;
	assert_ok(file_map(w, 4096, 8192, true, &p, &e), &e);
	assert_ok(file_map(r, 4096, 4096, false, &q, &e), &e);
	file_prefault(w, (uint8_t *)p + 100, 5000);
	file_prefault(w, p, 8192);
	memcpy((uint8_t *)p + 5, "stored", 6);
	assert_memory_equal((uint8_t *)q + 5, "stored", 6);
	char got[6];
	size_t n;
	assert_ok(file_read(r, 4096 + 5, got, 6, &n, &e), &e);
	assert_memory_equal(got, "stored", 6);
	assert_ok(file_write(w, 4096, "W", 1, &e), &e);
	assert_int_equal(*(char *)q, 'W');
	file_unmap(w, p, 8192);
	file_unmap(r, q, 4096);
	assert_true(file_map(r, 0, 4096, true, &p, &e) < 0); /* opened for reading */
	file_close(w);
	file_close(r);
}

static void wait_returns_at_once_when_the_word_has_changed_or_time_is_up(void **state)
{
	struct fixture *f = *state;
	uint32_t word = 7;
	nsec start = env_mono(f->env);
	assert_int_equal(env_wait(f->env, &word, 6, -1), 1);
	assert_int_equal(env_wait(f->env, &word, 7, 0), 0);
	assert_true(env_mono(f->env) - start < PATIENCE);
	nsec deadline = env_mono(f->env) + 20 * NSEC_PER_MS;
	while (env_wait(f->env, &word, 7, deadline) != 0)
		assert_true(env_mono(f->env) < deadline + PATIENCE);
	assert_true(env_mono(f->env) >= deadline);
	env_wake(f->env, &word); /* nobody there */
}

static void sleep_on_the_word(void *arg)
{
	struct fixture *f = arg;
	struct file *r;
	void *p;
	if (env_open(f->env, f->path, FILE_READ, &r, NULL) < 0 ||
	    file_map(r, 0, 4096, false, &p, NULL) < 0)
		_exit(1);
	const uint32_t *word = p;
	nsec deadline = env_mono(f->env) + 3 * PATIENCE;
	while (__atomic_load_n(word, __ATOMIC_ACQUIRE) == 0)
		if (env_wait(f->env, word, 0, deadline) == 0)
			_exit(2);
	_exit(0);
}

static void *wake_soon(void *arg)
{
	uint32_t *word = arg;
	nanosleep(&(struct timespec){ .tv_nsec = 50 * NSEC_PER_MS }, NULL);
	__atomic_store_n(word, 1, __ATOMIC_RELEASE);
	env_wake(env_posix(), word);
	return NULL;
}

static void a_process_that_sleeps_on_a_read_only_map_is_woken_by_another(void **state)
{
	struct fixture *f = *state;
	struct err e = ERR_INIT;
	struct file *w = open_ok(f, FILE_CREATE);
	assert_ok(file_allocate(w, 0, 4096, &e), &e);
	void *p;
	assert_ok(file_map(w, 0, 4096, true, &p, &e), &e);
	struct thread waker = { 0 };
	assert_ok(thread_start(&waker, "waker", wake_soon, p, &e), &e);
	nsec start = env_mono(f->env);
	assert_int_equal(test_in_child(sleep_on_the_word, f, 4 * PATIENCE_MS / 1000), 0);
	assert_true(env_mono(f->env) - start < 2 * PATIENCE); /* not by its deadline */
	thread_join(&waker);
	file_unmap(w, p, 4096);
	file_close(w);
}

static void clocks_and_randomness_are_there(void **state)
{
	struct fixture *f = *state;
	struct err e = ERR_INIT;
	assert_true(env_wall_ms(f->env) > INT64_C(1600000000000));
	nsec a = env_mono(f->env), b = env_mono(f->env);
	assert_true(a > 0 && b >= a);
	uint8_t x[40] = { 0 }, y[40] = { 0 };
	assert_ok(env_random(f->env, x, sizeof(x), &e), &e);
	assert_ok(env_random(f->env, y, sizeof(y), &e), &e);
	assert_memory_not_equal(x, y, sizeof(x));
	assert_int_equal(env_process_id(f->env), getpid());
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(reads_return_what_was_written_and_less_only_at_the_end),
		T(a_range_beyond_the_largest_file_is_refused),
		T(allocate_grows_the_file_with_zeros_and_keeps_what_is_there),
		T(allocate_works_where_the_file_system_has_no_fallocate),
		T(open_modes_differ_in_what_they_demand),
		T(only_regular_files_are_opened_and_nothing_blocks),
		T(failed_opens_leave_no_descriptor_behind),
		T(running_out_of_descriptors_is_an_error_and_passes),
		T(a_file_never_takes_the_place_of_stdout),
		T(short_counts_and_interruptions_are_completed_inside),
		T(a_failed_write_or_flush_is_a_typed_error_and_is_not_repeated),
		T(directories_are_made_listed_renamed_and_removed),
		T(the_lock_excludes_other_processes_and_other_opens),
		T(the_lock_dies_with_a_killed_process),
		T(stores_through_a_map_are_the_files_contents),
		T(wait_returns_at_once_when_the_word_has_changed_or_time_is_up),
		T(a_process_that_sleeps_on_a_read_only_map_is_woken_by_another),
		T(clocks_and_randomness_are_there),
	};
	return cmocka_run_group_tests_name("os_env_posix", tests, NULL, NULL);
}
