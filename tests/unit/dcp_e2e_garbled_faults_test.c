/* A source whose servers say anything: bytes of everything they send are changed on the way, in logins, maps, manifests
 * and streams.
 *
 * Nobody can tell a changed value from another one, so what arrives is not looked at. What must hold: the process lives,
 * nothing hangs, and when the noise is over every vBucket that did not end delivers what is written then, over new
 * connections (an answer may have been lost on the old ones) and by newer maps (a changed one is as good as any). */
#include "tests/dcp_memory.h"
#include "tests/dcp_world.h"

enum { VBS = 16, ROUNDS = 12, NEWER = 200 };

struct noise {
	struct world *w;
	struct memory memory;
	bool ended[VBS], fresh[VBS];
};

static bool one_in(int n)
{
	return rand() % n == 0;
}

static void draw_options(struct dcp_options *o)
{
	o->xattrs = one_in(2);
	o->system_events = one_in(2);
	o->force_compression = one_in(2);
	o->out_of_order = one_in(3);
	o->change_streams = one_in(4);
	o->stream_id = one_in(4) ? 7 : 0;
	o->finite = false;
	o->window_bytes = one_in(2) ? 4096 : 0;
	o->mitigation.policy = one_in(3) ? MITIGATE_ALL : MITIGATE_NONE;
	o->noop = NSEC_PER_SEC;
	o->connect_timeout = NSEC_PER_SEC;
	o->mitigation.config_watch_interval = 100 * NSEC_PER_MS;
	o->checkpoint_interval = 10 * NSEC_PER_MS;
}

static void open_client(struct noise *n)
{
	struct err e = ERR_INIT;
	memset(n->ended, 0, sizeof(n->ended));
	assert_ok(dcp_source_open(&n->w->o, &n->w->source, &e), &e);
	assert_ok(dcp_source_assign_share(n->w->source, 1, 1, &e), &e);
}

static void take(struct noise *n, const struct dcp_event *ev)
{
	assert_true(ev->vb < VBS);
	if (ev->kind == DCP_END)
		n->ended[ev->vb] = true;
	else if (ev->kind == DCP_MUTATION && slice_is(ev->key, "fresh"))
		n->fresh[ev->vb] = true;
}

static void poll_for(struct noise *n, nsec wait)
{
	struct err e = ERR_INIT;
	struct dcp_batch b;
	int rc = dcp_source_poll(n->w->source, &b, wait, &e);
	if (rc < 0)
		fail_msg("seed %u: %s", seeds_current(), e.msg);
	for (size_t i = 0; rc && i < b.n; i++)
		take(n, &b.ev[i]);
	if (rc)
		(void)dcp_source_ack_batch(n->w->source, b.ev, b.n);
}

static void write_fresh(struct noise *n)
{
	for (unsigned vb = 0; vb < VBS; vb++)
		(void)fake_set(n->w->fake, vb, 0, "fresh", SLICE_LIT("{}"));
}

static bool all_fresh(const struct noise *n)
{
	for (unsigned vb = 0; vb < VBS; vb++)
		if (!n->fresh[vb] && !n->ended[vb])
			return false;
	return true;
}

static void make_noise(struct noise *n, unsigned seed)
{
	static const unsigned distances[] = { 30, 300, 3000, 30000 };
	unsigned counter = 0;
	for (unsigned i = 0; i < ROUNDS; i++) {
		fake_fault(n->w->fake, &(struct fake_fault){ .kind = FAKE_GARBLE,
							     .node = one_in(2) ? -1 : rand() % 2,
							     .n = distances[(unsigned)rand() % 4],
							     .count = seed * ROUNDS + i });
		if (one_in(2))
			fake_drop_connections(n->w->fake, -1);
		if (one_in(3))
			fake_push_map(n->w->fake);
		write_some(n->w, VBS, 60, &counter);
		for (nsec t = now(); now() < t + 15 * NSEC_PER_MS;)
			poll_for(n, NSEC_PER_MS);
	}
	fake_clear_faults(n->w->fake);
	fake_drop_connections(n->w->fake, -1);
	fake_storm(n->w->fake, NEWER);
}

/* A map of a later epoch than the cluster's: no other is believed any more. */
static bool is_led_astray(const struct noise *n)
{
	return world_status(n->w).map_epoch != 1;
}

static void say_state(void *arg, const struct dcp_vbucket_status *v)
{
	const struct noise *n = arg;
	if (!n->fresh[v->vb] && !n->ended[v->vb])
		print_error("vBucket %u: %s, at %llu\n", v->vb, v->state,
			    (unsigned long long)v->received.seqno);
}

static void run_noise(unsigned seed)
{
	static struct noise n;
	struct err e = ERR_INIT;
	srand(seed);
	memset(&n, 0, sizeof(n));
	n.w = (one_in(4) ? world_http
			 : world_new)(&(struct fake_options){ .nodes = 2,
							      .vbuckets = VBS,
							      .replicas = 1,
							      .magma = one_in(3),
							      .oso_items = one_in(2) ? 5 : 0,
							      .version = one_in(2) ? 80 : 72 });
	memory_init(&n.memory);
	n.w->o.store = &n.memory.base;
	draw_options(&n.w->o);
	open_client(&n);
	make_noise(&n, seed);
	memset(n.fresh, 0, sizeof(n.fresh));
	write_fresh(&n);
	for (nsec deadline = now() + PATIENCE; !all_fresh(&n) && !is_led_astray(&n);) {
		if (now() > deadline) {
			struct dcp_status st;
			(void)dcp_source_status(n.w->source, &st, say_state, &n);
			print_error("map %lld.%lld, %u of %u nodes: %s\n", (long long)st.map_epoch,
				    (long long)st.map_rev, st.n_connected, st.n_nodes,
				    st.last_error);
			fail_msg("seed %u: it is quiet again, and something is missing", seed);
		}
		poll_for(&n, 20 * NSEC_PER_MS);
	}
	(void)dcp_source_close(n.w->source, &e);
	n.w->source = NULL;
	world_free(n.w);
}

static const struct seeded seeded[] = { { "noise", run_noise }, { 0 } };

static void b1_bytes_that_change_on_the_way_neither_end_nor_stop_the_client(void **state)
{
	(void)state;
	seeds_run(&seeded[0], test_count(60, 3000));
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return seeds_worker(argc, argv, seeded);
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(b1_bytes_that_change_on_the_way_neither_end_nor_stop_the_client),
	};
	return cmocka_run_group_tests_name("dcp/e2e garbled", tests, NULL, NULL);
}
