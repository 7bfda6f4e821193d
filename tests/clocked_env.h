/* clocked_env.h: an environment with a clock that the test turns (the wall clock stands, skewed); files are those of the process. */
#ifndef TESTS_CLOCKED_ENV_H
#define TESTS_CLOCKED_ENV_H

#include "os/env.h"

struct clocked {
	struct env base;
	nsec mono;
	int64_t skew_ms;
};

static int64_t clocked_wall(struct env *env)
{
	struct clocked *c = container_of(env, struct clocked, base);
	return 1800000000000 + c->skew_ms;
}

static nsec clocked_mono(struct env *env)
{
	return container_of(env, struct clocked, base)->mono;
}

static int clocked_open(struct env *env, const char *path, enum file_mode mode, struct file **out,
			struct err *e)
{
	(void)env;
	return env_open(env_posix(), path, mode, out, e);
}

static const struct env_ops clocked_ops = { .wall_ms = clocked_wall,
					    .mono = clocked_mono,
					    .open = clocked_open };

static inline struct clocked clocked_env(nsec mono, int64_t skew_ms)
{
	return (struct clocked){ .base = { &clocked_ops }, .mono = mono, .skew_ms = skew_ms };
}

#define assert_number(info, n, of) \
	do { \
		assert_int_equal((info).member, n); \
		assert_int_equal((info).total, of); \
	} while (0)

#endif
