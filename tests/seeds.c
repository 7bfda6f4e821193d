#include "tests/seeds.h"

#include "tests/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORKERS = 6 };

static unsigned current;
static const struct seeded *current_row;
static long first_seed, step, last_seed;

unsigned seeds_current(void)
{
	return current;
}

static void run_share(void **state)
{
	(void)state;
	for (long seed = first_seed; seed <= last_seed; seed += step) {
		current = (unsigned)seed;
		current_row->run(current);
	}
	current = 0;
}

/* PROGRAM row first step last */
int seeds_worker(int argc, char **argv, const struct seeded *rows)
{
	if (argc != 5)
		return 2;
	for (current_row = rows; current_row->name && strcmp(current_row->name, argv[1]) != 0;)
		current_row++;
	first_seed = atol(argv[2]);
	step = atol(argv[3]);
	last_seed = atol(argv[4]);
	if (!current_row->name || first_seed < 1 || step < 1)
		return 2;
	const struct CMUnitTest tests[] = { { current_row->name, run_share, NULL, NULL, NULL } };
	int failed = cmocka_run_group_tests_name("worker", tests, NULL, NULL);
	if (failed)
		fprintf(stderr, "failed with WEIR_SEED=%u\n", current);
	return failed ? 1 : 0;
}

static pid_t start(const struct seeded *row, long first, long steps, long last, int out)
{
	char number[3][24];
	(void)snprintf(number[0], sizeof(number[0]), "%ld", first);
	(void)snprintf(number[1], sizeof(number[1]), "%ld", steps);
	(void)snprintf(number[2], sizeof(number[2]), "%ld", last);
	fflush(NULL);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(out, STDOUT_FILENO);
		dup2(out, STDERR_FILENO);
		execl("/proc/self/exe", "worker", row->name, number[0], number[1], number[2], NULL);
		_exit(127);
	}
	return pid;
}

static void show(int fd)
{
	char line[4096];
	lseek(fd, 0, SEEK_SET);
	for (ssize_t n; (n = read(fd, line, sizeof(line))) > 0;)
		(void)!write(STDERR_FILENO, line, (size_t)n);
}

void seeds_run(const struct seeded *row, long n)
{
	const char *one = getenv("WEIR_SEED");
	if (one && *one) {
		current = (unsigned)strtoul(one, NULL, 10);
		row->run(current);
		current = 0;
		return;
	}
	pid_t pid[WORKERS];
	int out[WORKERS], status;
	unsigned bad = 0;
	for (long i = 0; i < WORKERS; i++) {
		char path[] = "/tmp/weir-seeds-XXXXXX";
		out[i] = mkostemp(path, O_CLOEXEC);
		assert_true(out[i] >= 0);
		unlink(path);
		pid[i] = start(row, i + 1, WORKERS, n, out[i]);
	}
	for (long i = 0; i < WORKERS; i++) {
		assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
		if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
			bad++;
			show(out[i]);
			if (WIFSIGNALED(status))
				print_error("a worker died of signal %d\n", WTERMSIG(status));
		}
		close(out[i]);
	}
	if (bad)
		fail_msg("%s: %u of %d workers failed; their messages name the seeds", row->name,
			 bad, WORKERS);
}
