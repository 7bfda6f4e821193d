/* test.h: what cmocka lacks: its own includes in the right order, temporary directories, a child
 * process for a test that may crash or hang, and a place for the conformance data. */
#ifndef TESTS_TEST_H
#define TESTS_TEST_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/err.h"

/* A fresh directory under $TMPDIR (or /tmp), removed with all it holds by test_rmdir. The name is static
 * storage, valid until the next call. */
const char *test_tmpdir(void);
void test_rmdir(const char *dir);

/* For tests that are not about the disk: temporary directories are in memory where that can be had. */
void test_in_memory(void);

/* The conformance data folder ($WEIR_ORACLE, else ../shared/oracle), or NULL: then say so and skip(). */
const char *test_oracle(void);

/* Reads a whole file; fails the test when it cannot. */
void test_read_file(const char *path, struct buf *out);

/* How long to wait for what must come. Only a wait in vain sees its end, so that it may be longer than the slowest
 * machine takes; a test that wants something to come soon counts, or says what must not come before it. */
#define PATIENCE    (60 * NSEC_PER_SEC)
#define PATIENCE_MS 60000

/* Runs fn(arg) in a child with a time limit; returns its wait status, or -1 when it had to be killed. */
int test_in_child(void (*fn)(void *arg), void *arg, int seconds);

/* $WEIR_TORTURE set: the long form of a test; scales a short count to a long one. */
long test_count(long short_form, long long_form);

/* Fails with the error's text unless rc == 0. */
#define assert_ok(rc, e) \
	do { \
		int rc_ = (rc); \
		if (rc_ != 0) \
			fail_msg("%s: %d %s", #rc, rc_, (e)->msg); \
	} while (0)

#endif
