/* dcp_group.h: a simulated cluster and members of one group through the public interface, which count how often each
 * document came. For dcp_e2e_membership, dcp_e2e_heartbeats and dcp_e2e_move. */
#ifndef TESTS_DCP_GROUP_H
#define TESTS_DCP_GROUP_H

#include "tests/test.h"

#include "os/env.h"
#include "tests/dcp_client.h"
#include "tests/fake/couchbase/fake.h"

#include <stdio.h>

enum { KEYS = 1 << 16 };

struct group {
	struct fake *fake;
	char hosts[64];
	unsigned vbs, written;
	bool acked_only;          /* what cannot be acknowledged any more does not count */
	unsigned char seen[KEYS]; /* by the number in the key */
};

static inline void group_open(struct group *g, unsigned nodes, unsigned vbs)
{
	*g = (struct group){ .fake = fake_start(
				     &(struct fake_options){ .nodes = nodes, .vbuckets = vbs }),
			     .vbs = vbs };
	assert_non_null(g->fake);
	(void)snprintf(g->hosts, sizeof(g->hosts), "127.0.0.1:%u", fake_kv_port(g->fake, 0));
}

/* Of somebody who asks about the group; a member says where checkpoints are, too. */
static inline weir_dcp_options group_options(const struct group *g, const weir_dcp_membership *m)
{
	weir_dcp_options o = client_options(g->hosts);
	o.membership = m;
	return o;
}

static inline weir_dcp *group_join(const struct group *g, const weir_dcp_membership *m,
				   bool manual_commit)
{
	weir_error e = WEIR_ERROR_INIT;
	weir_dcp *d;
	weir_dcp_options o = group_options(g, m);
	o.checkpoint_bucket = "default";
	o.manual_commit = manual_commit;
	if (weir_dcp_open(&o, &d, &e) != 0)
		fail_msg("open: %s", e.message);
	return d;
}

static inline void group_write(struct group *g, unsigned n)
{
	for (unsigned i = 0; i < n && g->written < KEYS; i++) {
		char key[24];
		(void)snprintf(key, sizeof(key), "k%u", g->written);
		(void)fake_set(g->fake, g->written++ * 37 % g->vbs, 0, key, SLICE_LIT("{\"a\":1}"));
	}
}

static inline void take_one(struct group *g, weir_dcp *d, const weir_dcp_event *ev)
{
	unsigned number;
	char key[24];
	weir_dcp_info info = { .size = sizeof(info) };
	weir_dcp_event_info(d, ev, &info);
	(void)snprintf(key, sizeof(key), "%.*s", (int)info.key_len, (const char *)info.key);
	if (weir_dcp_ack(d, ev, 1) != 0 && g->acked_only)
		return;
	if (info.kind == WEIR_DCP_MUTATION && sscanf(key, "k%u", &number) == 1)
		g->seen[number]++;
}

static inline void take(struct group *g, weir_dcp *d, int wait_ms)
{
	weir_error e = WEIR_ERROR_INIT;
	const weir_dcp_event *events;
	size_t n;
	int rc = weir_dcp_poll(d, wait_ms, &events, &n, &e);
	if (rc < 0)
		fail_msg("poll: %s", e.message);
	for (size_t i = 0; rc == 1 && i < n; i++)
		take_one(g, d, weir_dcp_event_at(events, i));
}

static inline unsigned unseen(const struct group *g)
{
	unsigned n = 0;
	for (unsigned i = 0; i < g->written; i++)
		n += g->seen[i] == 0;
	return n;
}

/* How many came more than once; none may be lost. */
static inline unsigned came_twice(const struct group *g)
{
	unsigned n = 0;
	for (unsigned i = 0; i < g->written; i++) {
		if (!g->seen[i])
			fail_msg("k%u is lost", i);
		n += g->seen[i] > 1;
	}
	return n;
}

/* A scenario in which members tell each other by time alone gives what came twice. Where a machine is too busy for one to
 * let go within the delay, its successor takes again what was not saved: as it is meant to be, but not each time. */
static inline void each_came_once_in(unsigned (*scenario)(int kind), int kind)
{
	unsigned n = 1;
	for (int i = 0; i < 5 && n; i++)
		n = scenario(kind);
	assert_int_equal(n, 0);
}

static inline void each_came_once(const struct group *g)
{
	for (unsigned i = 0; i < g->written; i++)
		if (g->seen[i] != 1)
			fail_msg("k%u came %u times", i, g->seen[i]);
}

static inline void leave(weir_dcp *d)
{
	weir_error e = WEIR_ERROR_INIT;
	assert_int_equal(weir_dcp_close(d, &e), 0);
}

#endif
