#include "tests/test.h"

#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

const char *test_tmpdir(void)
{
	static char path[256];
	const char *base = getenv("TMPDIR");
	snprintf(path, sizeof(path), "%s/weir-test-XXXXXX", base && *base ? base : "/tmp");
	assert_non_null(mkdtemp(path));
	return path;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	(void)chmod(path, 0700);
	return remove(path);
}

void test_rmdir(const char *dir)
{
	(void)nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void test_in_memory(void)
{
	if (access("/dev/shm", W_OK) == 0)
		(void)setenv("TMPDIR", "/dev/shm", 0);
}

const char *test_oracle(void)
{
	static char path[1024];
	const char *env = getenv("WEIR_ORACLE");
	snprintf(path, sizeof(path), "%s", env && *env ? env : "../shared/oracle");
	struct stat st;
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return path;
	print_message("no conformance data at %s (set WEIR_ORACLE): skipped\n", path);
	return NULL;
}

void test_read_file(const char *path, struct buf *out)
{
	FILE *f = fopen(path, "rb");
	if (!f)
		fail_msg("cannot open %s", path);
	char block[65536];
	size_t n;
	while ((n = fread(block, 1, sizeof(block), f)) > 0)
		buf_add(out, block, n);
	fclose(f);
	assert_false(out->failed);
}

int test_in_child(void (*fn)(void *arg), void *arg, int seconds)
{
	fflush(NULL);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		fn(arg);
		_exit(0);
	}
	int status = 0;
	for (int ms = 0; ms < seconds * 1000; ms += 2) {
		pid_t got = waitpid(pid, &status, WNOHANG);
		if (got == pid)
			return status;
		nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return -1;
}

long test_count(long short_form, long long_form)
{
	const char *env = getenv("WEIR_TORTURE");
	return env && *env && strcmp(env, "0") != 0 ? long_form : short_form;
}
