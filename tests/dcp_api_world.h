/* dcp_api_world.h: a simulated cluster and a client of it through the public interface, for the tests of that interface. */
#ifndef TESTS_DCP_API_WORLD_H
#define TESTS_DCP_API_WORLD_H

#include "tests/test.h"

#include "tests/dcp_client.h"
#include "tests/fake/couchbase/fake.h"

#include <stdio.h>
#include <unistd.h>

enum { VBS = 8 };

struct world {
	struct fake *f;
	char hosts[64];
	weir_dcp_options o;
	weir_dcp *d;
};

static inline void up(struct world *w)
{
	*w = (struct world){ .f = fake_start(&(struct fake_options){
				     .nodes = 2, .vbuckets = VBS, .replicas = 1 }) };
	assert_non_null(w->f);
	(void)snprintf(w->hosts, sizeof(w->hosts), "127.0.0.1:%u,127.0.0.1:%u",
		       fake_kv_port(w->f, 0), fake_kv_port(w->f, 1));
	w->o = client_options(w->hosts);
}

static inline void load(struct world *w, const char *prefix, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		char key[32];
		(void)snprintf(key, sizeof(key), "%s%u", prefix, i);
		(void)fake_set(w->f, i % VBS, 0, key, SLICE_LIT("{}"));
	}
}

static inline void open_all(struct world *w)
{
	weir_error e = WEIR_ERROR_INIT;
	assert_int_equal(weir_dcp_open(&w->o, &w->d, &e), 0);
	assert_int_equal(weir_dcp_assign_share(w->d, 1, 1, &e), 0);
}

static inline void down(struct world *w)
{
	weir_error e = WEIR_ERROR_INIT;
	assert_int_equal(weir_dcp_close(w->d, &e), 0);
	fake_stop(w->f);
}

/* Waits for a number to be reached. */
#define UNTIL(condition) \
	do { \
		for (int i_ = 0; i_ < PATIENCE_MS && !(condition); i_++) \
			usleep(1000); \
		assert_true(condition); \
	} while (0)

static inline uint64_t lag_of(weir_dcp *d)
{
	weir_dcp_stats st = { .size = sizeof(st) };
	assert_int_equal(weir_dcp_stats_get(d, &st), 0);
	return st.lag;
}

#endif
