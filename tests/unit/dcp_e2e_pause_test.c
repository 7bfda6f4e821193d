/* Pausing and refusing vBuckets of a source, against the simulated cluster. */
#include "tests/dcp_client.h"
#include "tests/dcp_memory.h"
#include "tests/dcp_world.h"

enum { VBS = 8 };

static void put(struct world *w, unsigned vb, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++) {
		char key[24], value[64];
		(void)snprintf(key, sizeof(key), "k%u", i % 40);
		(void)snprintf(value, sizeof(value), "{\"n\":%u}", i);
		(void)fake_set(w->fake, vb, 0, key, slice_str(value));
	}
}

struct look {
	unsigned vb;
	struct dcp_vbucket_status st;
};

static void take_status(void *arg, const struct dcp_vbucket_status *v)
{
	struct look *l = arg;
	if (v->vb == l->vb)
		l->st = *v;
}

static struct dcp_vbucket_status vb_status(struct world *w, unsigned vb)
{
	struct look l = { .vb = vb };
	assert_int_equal(dcp_source_status(w->source, NULL, take_status, &l), 0);
	return l.st;
}

static void pause_one(struct world *w, int vb)
{
	struct err e = ERR_INIT;
	assert_ok(dcp_source_pause(w->source, vb, &e), &e);
}

static void resume_one(struct world *w, int vb)
{
	struct err e = ERR_INIT;
	assert_ok(dcp_source_resume(w->source, vb, &e), &e);
}

/* Until nothing more comes for a while: what was on its way when the pause began is here. */
static void drain(struct world *w)
{
	while (pump_once(w, 30 * NSEC_PER_MS))
		;
}

static bool has_all(struct world *w, unsigned vb)
{
	return differs(w, vb) == NULL;
}

static void until_has_all(struct world *w, unsigned vb)
{
	nsec deadline = now() + PATIENCE;
	while (!has_all(w, vb) && now() < deadline)
		(void)pump_once(w, 20 * NSEC_PER_MS);
	const char *what = differs(w, vb);
	if (what)
		fail_msg("not here: %s", what);
}

static void a_paused_vbucket_stands_still_and_the_others_go_on(void **state)
{
	(void)state;
	struct world *w = world_new(&(struct fake_options){ .vbuckets = VBS });
	put(w, 3, 0, 10);
	put(w, 4, 0, 10);
	world_open(w);
	settle(w, VBS, PATIENCE);
	pause_one(w, 3);
	drain(w);
	assert_string_equal(vb_status(w, 3).state, "paused");
	assert_string_equal(vb_status(w, 4).state, "streaming");
	put(w, 3, 10, 20);
	put(w, 4, 10, 20);
	until_has_all(w, 4);
	drain(w);
	assert_true(w->seen[3].item[11].hash == 0);
	uint64_t before = w->duplicates;
	resume_one(w, 3);
	settle(w, VBS, PATIENCE);
	assert_string_equal(vb_status(w, 3).state, "streaming");
	assert_true(w->duplicates == before);
	struct err e = ERR_INIT;
	assert_int_equal(dcp_source_pause(w->source, VBS, &e), ERR_INVALID);
	assert_int_equal(dcp_source_resume(w->source, -2, &e), ERR_INVALID);
	world_free(w);
}

/* The window is 64 KiB: what a paused vBucket kept of it would stop the others. */
static void a_pause_keeps_nothing_of_the_window(void **state)
{
	(void)state;
	static char big[4096];
	struct world *w =
		world_new(&(struct fake_options){ .vbuckets = VBS, .checkpoint_items = 4 });
	w->o.window_bytes = 64 << 10;
	memset(big, 'x', sizeof(big) - 1);
	world_open(w);
	settle(w, VBS, PATIENCE);
	for (unsigned round = 0; round < 30; round++) {
		char key[24];
		for (unsigned i = 0; i < 12; i++) {
			(void)snprintf(key, sizeof(key), "k%u", i);
			(void)fake_set(w->fake, 2, 0, key, slice_str(big));
			(void)fake_set(w->fake, 5, 0, key, slice_str(big));
		}
		pause_one(w, 2);
		until_has_all(w, 5);
		resume_one(w, 2);
		(void)pump_once(w, 0);
	}
	settle(w, VBS, PATIENCE);
	world_free(w);
}

static void a_pause_holds_across_reconnects_failovers_and_reassignments(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct world *w = world_new(&(struct fake_options){
		.nodes = 2, .vbuckets = VBS, .replicas = 1, .hold_persistence = true });
	struct memory m;
	memory_init(&m);
	w->o.store = &m.base;
	put(w, 3, 0, 10);
	world_open(w);
	settle(w, VBS, PATIENCE);
	pause_one(w, 3);
	drain(w);
	uint64_t events = w->events;
	put(w, 3, 10, 14);
	fake_drop_connections(w->fake, -1);
	drain(w);
	fake_replicate(w->fake, 3, 1, 6);
	fake_failover_vb(w->fake, 3, 1); /* 7 to 14 never happened */
	drain(w);
	uint16_t rest[VBS], n = 0;
	for (uint16_t vb = 0; vb < VBS; vb++)
		if (vb != 3)
			rest[n++] = vb;
	assert_ok(dcp_source_assign(w->source, rest, n, &e), &e);
	assert_ok(dcp_source_assign_share(w->source, 1, 1, &e), &e);
	assert_int_equal(dcp_source_wait_open(w->source, PATIENCE, &e), 1);
	drain(w);
	assert_true(w->events == events && w->rollbacks == 0);
	assert_string_equal(vb_status(w, 3).state, "paused");
	put(w, 3, 20, 24);
	resume_one(w, 3);
	until_has_all(w, 3);
	assert_true(w->rollbacks == 1);
	world_free(w);
}

static void a_rollback_during_a_pause_is_told_when_it_ends(void **state)
{
	(void)state;
	struct world *w = world_new(&(struct fake_options){
		.nodes = 2, .vbuckets = VBS, .replicas = 1, .hold_persistence = true });
	put(w, 3, 0, 10);
	world_open(w);
	settle(w, VBS, PATIENCE);
	pause_one(w, 3);
	fake_replicate(w->fake, 3, 1, 6);
	fake_failover_vb(w->fake, 3, 1);
	put(w, 3, 20, 24);
	drain(w);
	assert_true(w->rollbacks == 0);
	resume_one(w, 3);
	settle(w, VBS, PATIENCE);
	assert_true(w->rollbacks == 1);
	world_free(w);
}

static void all_are_paused_at_once_and_one_may_be_resumed_alone(void **state)
{
	(void)state;
	struct world *w = world_new(&(struct fake_options){ .nodes = 2, .vbuckets = VBS });
	struct dcp_status st;
	world_open(w);
	settle(w, VBS, PATIENCE);
	pause_one(w, DCP_ALL_VBUCKETS);
	for (unsigned vb = 0; vb < VBS; vb++)
		put(w, vb, 0, 10);
	drain(w);
	assert_true(w->events == 0);
	assert_int_equal(dcp_source_status(w->source, &st, NULL, NULL), 0);
	assert_int_equal(st.n_paused, VBS);
	resume_one(w, 6);
	until_has_all(w, 6);
	drain(w);
	assert_true(w->events == 10);
	resume_one(w, DCP_ALL_VBUCKETS);
	settle(w, VBS, PATIENCE);
	assert_true(w->events == 10 * VBS && w->duplicates == 0);
	world_free(w);
}

/* With the gate on and nothing persisted: what is held back while paused comes in order, once. */
static void what_waits_for_copies_survives_a_pause(void **state)
{
	(void)state;
	struct world *w = world_new(&(struct fake_options){
		.nodes = 2, .vbuckets = VBS, .replicas = 1, .hold_persistence = true });
	w->o.mitigation.policy = MITIGATE_ALL;
	world_open(w);
	put(w, 3, 0, 10);
	nsec deadline = now() + PATIENCE;
	while (vb_status(w, 3).held < 10 && now() < deadline)
		(void)pump_once(w, 5 * NSEC_PER_MS);
	pause_one(w, 3);
	fake_persist(w->fake, 3, 0, UINT64_MAX);
	fake_persist(w->fake, 3, 1, UINT64_MAX);
	drain(w);
	assert_true(w->events == 0);
	assert_int_equal(vb_status(w, 3).held, 10);
	resume_one(w, 3);
	settle(w, VBS, PATIENCE);
	assert_true(w->events == 10 && w->duplicates == 0);
	world_free(w);
}

/* The event is refused again and again: without a wait between, thousands of streams would be opened in this time. */
static void a_consumer_that_always_refuses_leaves_the_server_alone(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct fake_stats st;
	struct world *w = world_new(&(struct fake_options){ .vbuckets = VBS });
	w->o.backoff_min = 20 * NSEC_PER_MS;
	w->o.backoff_max = NSEC_PER_SEC;
	put(w, 3, 0, 1);
	world_open(w);
	nsec began = now();
	unsigned refusals = 0;
	while (refusals < 7 && now() - began < PATIENCE) {
		struct dcp_batch b;
		if (dcp_source_poll(w->source, &b, 10 * NSEC_PER_MS, &e) == 1) {
			dcp_source_nack(w->source, 3, 0);
			refusals++;
		}
	}
	nsec took = now() - began;
	fake_stats(w->fake, &st);
	assert_int_equal(refusals, 7);
	/* At once the first time, then after 20, 40, 80, 160, 320 ms, each time somewhere in its upper half. */
	assert_true(took >= (10 + 20 + 40 + 80 + 160) * NSEC_PER_MS);
	assert_in_range(st.stream_requests, VBS + 6, VBS + 7); /* the last may be under way */
	settle(w, VBS, PATIENCE);                              /* it takes them now */
	world_free(w);
}

static void pause_all(void *arg, weir_dcp *d, enum weir_dcp_hook what, const uint16_t *vbuckets,
		      size_t n)
{
	weir_error e = WEIR_ERROR_INIT;
	(void)arg;
	(void)vbuckets;
	(void)n;
	if (what == WEIR_DCP_BEFORE_STREAM_START)
		assert_int_equal(weir_dcp_pause(d, WEIR_DCP_ALL, &e), 0);
}

/* The same through the door that programs use. */
static void the_api_pauses_resumes_and_counts(void **state)
{
	(void)state;
	struct world *w = world_new(&(struct fake_options){ .vbuckets = VBS });
	weir_error e = WEIR_ERROR_INIT;
	weir_dcp_options o = client_options(w->seed);
	o.hook = pause_all;
	weir_dcp_stats st = { .size = sizeof(st) };
	const weir_dcp_event *events;
	weir_dcp *d;
	size_t n;
	assert_int_equal(weir_dcp_open(&o, &d, &e), 0);
	assert_int_equal(weir_dcp_assign_share(d, 1, 1, &e), 0);
	put(w, 3, 0, 1);
	assert_int_equal(weir_dcp_wait_ready(d, PATIENCE_MS, &e), 1);
	assert_int_equal(weir_dcp_poll(d, 50, &events, &n, &e), 0);
	assert_int_equal(weir_dcp_stats_get(d, &st), 0);
	assert_int_equal(st.paused, VBS);
	assert_int_equal(weir_dcp_resume(d, 3, &e), 0);
	assert_int_equal(weir_dcp_poll(d, PATIENCE_MS, &events, &n, &e), 1);
	assert_int_equal(n, 1);
	assert_int_equal(weir_dcp_ack(d, events, n), 0);
	assert_int_equal(weir_dcp_pause(d, VBS, &e), WEIR_ERR_INVALID);
	assert_int_equal(weir_dcp_resume(NULL, 0, &e), WEIR_ERR_INVALID);
	assert_int_equal(weir_dcp_close(d, &e), 0);
	world_free(w);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_paused_vbucket_stands_still_and_the_others_go_on),
		cmocka_unit_test(a_pause_keeps_nothing_of_the_window),
		cmocka_unit_test(a_pause_holds_across_reconnects_failovers_and_reassignments),
		cmocka_unit_test(a_rollback_during_a_pause_is_told_when_it_ends),
		cmocka_unit_test(all_are_paused_at_once_and_one_may_be_resumed_alone),
		cmocka_unit_test(what_waits_for_copies_survives_a_pause),
		cmocka_unit_test(a_consumer_that_always_refuses_leaves_the_server_alone),
		cmocka_unit_test(the_api_pauses_resumes_and_counts),
	};
	return cmocka_run_group_tests_name("dcp/e2e_pause", tests, NULL, NULL);
}
