/* lib_world.h: an oplog in a folder of its own, through the public interface. For the lib_* tests. */
#ifndef TESTS_LIB_WORLD_H
#define TESTS_LIB_WORLD_H

#include "tests/test.h"

#include "weir/weir.h"

#include <stdio.h>
#include <string.h>

static char dir[256];
static weir_oplog *o;
static weir_error e;

#define must(call) \
	do { \
		if ((call) != 0) \
			fail_msg("%s: %s %s", #call, weir_error_name(e.code), e.message); \
	} while (0)

static inline void open_with(weir_oplog_options opt)
{
	opt.size = sizeof(opt);
	must(weir_oplog_open(dir, &opt, &o, &e));
}

/* In a fresh folder. */
static inline int open_anew(weir_oplog_options opt)
{
	snprintf(dir, sizeof(dir), "%s", test_tmpdir());
	open_with(opt);
	return 0;
}

static inline int teardown(void **state)
{
	(void)state;
	assert_int_equal(weir_oplog_close(o, &e), 0);
	test_rmdir(dir);
	return 0;
}

#endif
