/* Faults known from another client, end to end: each test is named after the number that docs/conformance-dcp.md gives
 * the fault, and fails for a client that has it. The numbers that are not here have their tests elsewhere; that page says
 * where. */
#include "tests/dcp_memory.h"
#include "tests/dcp_world.h"

#include "base/mem.h"
#include "os/thread.h"

#include <stdatomic.h>
#include <time.h>

enum { VBS = 8 };

static uint64_t put(struct world *w, unsigned vb, const char *key, const char *value)
{
	return fake_set(w->fake, vb, 0, key, slice_str(value));
}

static void pump_until(struct world *w, uint64_t events)
{
	nsec deadline = now() + PATIENCE;
	while (w->events < events && now() < deadline)
		(void)pump_once(w, 10 * NSEC_PER_MS);
	assert_int_equal(w->events, events);
}

static void sleep_ms(long ms)
{
	nanosleep(&(struct timespec){ .tv_nsec = ms * 1000000 }, NULL);
}

/* ---- 2: purged tombstones ---- */

/* It has "a" and is away while "a" is deleted and the deletion purged. */
static void live_through_a_purge(bool ignore, uint64_t *rollbacks, bool *has_a)
{
	struct memory m;
	struct world *w = world_new(&(struct fake_options){ .vbuckets = VBS });
	memory_init(&m);
	w->o.store = &m.base;
	w->o.ignore_purged = ignore;
	for (uint64_t i = 1; i <= 5; i++)
		assert_int_equal(put(w, 0, (char[]){ (char)('a' + i - 1), 0 }, "1"), i);
	world_open(w);
	pump_until(w, 5);
	world_close(w);
	assert_int_equal(fake_delete(w->fake, 0, 0, "a"), 6);
	assert_int_equal(put(w, 0, "z", "1"), 7);
	fake_purge(w->fake, 0, 6);
	w->seen[0].purged = 6;
	world_open(w);
	nsec deadline = now() + PATIENCE;
	while (w->seen[0].high < 7 && now() < deadline)
		(void)pump_once(w, 10 * NSEC_PER_MS);
	assert_int_equal(w->seen[0].high, 7);
	*rollbacks = w->rollbacks;
	*has_a = w->seen[0].item[1].hash != 0;
	world_free(w);
}

static void weakness_2_who_missed_a_purged_deletion_is_told_to_forget(void **state)
{
	(void)state;
	uint64_t rollbacks;
	bool has_a;
	live_through_a_purge(false, &rollbacks, &has_a);
	assert_int_equal(rollbacks, 1);
	assert_false(has_a);
	live_through_a_purge(true, &rollbacks, &has_a); /* the other client's way, if asked for */
	assert_int_equal(rollbacks, 0);
	assert_true(has_a);
}

/* ---- 3: expirations ---- */

static void weakness_3_an_expiration_arrives_as_one_with_its_time(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct dcp_batch b;
	enum dcp_event_kind kind = DCP_MUTATION;
	uint32_t time = 0;
	struct world *w = world_new(&(struct fake_options){ .vbuckets = VBS });
	(void)put(w, 0, "a", "1");
	assert_int_equal(fake_expire(w->fake, 0, 0, "a"), 2);
	world_open(w);
	while (kind == DCP_MUTATION && dcp_source_poll(w->source, &b, PATIENCE, &e) > 0)
		for (size_t i = 0; i < b.n; i++) {
			kind = b.ev[i].kind;
			time = b.ev[i].delete_time;
		}
	assert_int_equal(kind, DCP_EXPIRATION);
	assert_true(time != 0);
	world_free(w);
}

/* ---- 7, 8, 21: saving ---- */

/* A store in memory that does something in the middle of a save, and knows how many are going on. */
struct watched {
	struct checkpoint_store base;
	struct memory memory;
	_Atomic(void (*)(void *arg)) during; /* once */
	void *arg;
	_Atomic int inside;
	_Atomic bool forbidden, broke_it;
	_Atomic int kept_out; /* the vBucket that must not be saved; -1: none */
};

static int watched_load(struct checkpoint_store *s, struct checkpoint *c, size_t n, struct err *e)
{
	struct watched *x = container_of(s, struct watched, base);
	return checkpoint_load(&x->memory.base, c, n, e);
}

static int watched_save(struct checkpoint_store *s, const struct checkpoint *c, size_t n,
			struct err *e)
{
	struct watched *x = container_of(s, struct watched, base);
	if (x->inside++ || x->forbidden)
		x->broke_it = true;
	for (size_t i = 0; i < n; i++)
		if (c[i].vb == x->kept_out)
			x->broke_it = true;
	void (*during)(void *arg) = atomic_exchange(&x->during, NULL);
	if (during)
		during(x->arg);
	int rc = checkpoint_save(&x->memory.base, c, n, e);
	x->inside--;
	return rc;
}

static void watched_free(struct checkpoint_store *s)
{
	(void)s;
}

static void watched_init(struct watched *x, struct world *w)
{
	static const struct checkpoint_store_ops ops = { .load = watched_load,
							 .save = watched_save,
							 .free = watched_free };
	*x = (struct watched){ .base = { &ops }, .kept_out = -1 };
	memory_init(&x->memory);
	w->o.store = &x->base;
}

static uint64_t saved_seqno(struct watched *x, unsigned vb)
{
	static memory_moment at;
	memory_look(&x->memory, at);
	return at[vb].pos.seqno;
}

/* Nothing is handed out, nothing acknowledged, nobody closes or commits. */
static void weakness_7_an_idle_filtered_stream_is_saved_by_itself(void **state)
{
	(void)state;
	enum { MANY = 300 };
	static const char *const names[] = { "mine" };
	struct watched x;
	struct world *w = world_new(&(struct fake_options){ .vbuckets = VBS });
	watched_init(&x, w);
	(void)fake_create_collection(w->fake, "_default", "mine");
	w->o.collections = names;
	w->o.n_collections = 1;
	w->o.checkpoint_interval = 10 * NSEC_PER_MS;
	uint64_t high = 0;
	for (int i = 0; i < MANY; i++)
		high = put(w, 0, "k", "1");
	world_open(w);
	nsec deadline = now() + PATIENCE;
	while (saved_seqno(&x, 0) < high && now() < deadline)
		(void)pump_once(w, 10 * NSEC_PER_MS);
	assert_int_equal(saved_seqno(&x, 0), high);
	assert_int_equal(w->events, 0);
	world_free(w);
}

struct late {
	struct dcp_source *source;
	struct dcp_event ev[3];
};

static void acknowledge_late(void *arg)
{
	struct late *l = arg;
	assert_int_equal(dcp_source_ack_batch(l->source, l->ev, ARRAY_LEN(l->ev)), 0);
}

/* While a save is under way more is acknowledged: that is still to be saved, by the next round as by the last one. */
static void acknowledge_during_a_save(bool close)
{
	struct err e = ERR_INIT;
	struct watched x;
	struct late late;
	struct dcp_batch b;
	struct world *w = world_new(&(struct fake_options){ .vbuckets = VBS });
	watched_init(&x, w);
	w->o.manual_commit = close;
	w->o.checkpoint_interval = close ? 0 : 50 * NSEC_PER_MS;
	for (int i = 0; i < 4; i++)
		(void)put(w, 0, (char[]){ (char)('a' + i), 0 }, "1");
	world_open(w);
	size_t n = 0;
	while (n < 4) {
		assert_int_equal(dcp_source_poll(w->source, &b, PATIENCE, &e), 1);
		for (size_t i = 0; i < b.n; i++, n++)
			if (n == 0)
				assert_int_equal(dcp_source_ack(w->source, &b.ev[i]), 0);
			else
				late.ev[n - 1] = b.ev[i];
	}
	late.source = w->source;
	x.arg = &late;
	x.during = acknowledge_late;
	if (close)
		assert_ok(dcp_source_commit(w->source, &e), &e);
	for (nsec deadline = now() + PATIENCE; !close && now() < deadline;) {
		if (saved_seqno(&x, 0) == 4)
			break;
		sleep_ms(5);
	}
	assert_null(x.during); /* it was, within a save */
	assert_int_equal(saved_seqno(&x, 0), close ? 1 : 4);
	world_close(w);
	assert_int_equal(saved_seqno(&x, 0), 4);
	world_free(w);
}

static void weakness_8_what_is_acknowledged_during_a_save_is_saved_by_the_next(void **state)
{
	(void)state;
	acknowledge_during_a_save(false);
	acknowledge_during_a_save(true);
}

/* One saver, whatever is reassigned; what has left is not saved again; after closing nothing is. */
static void weakness_21_no_old_schedule_saves_what_is_not_its_own_any_more(void **state)
{
	(void)state;
	enum { ROUNDS = 30, LEAVES = 7 };
	struct err e = ERR_INIT;
	struct watched x;
	uint16_t all[VBS];
	struct world *w = world_new(&(struct fake_options){ .vbuckets = VBS });
	watched_init(&x, w);
	w->o.checkpoint_interval = NSEC_PER_MS;
	world_open(w);
	for (uint16_t i = 0; i < VBS; i++)
		all[i] = i;
	for (int round = 0; round < ROUNDS; round++) {
		x.kept_out = -1;
		assert_ok(dcp_source_assign(w->source, all, VBS, &e), &e);
		for (unsigned vb = 0; vb < VBS; vb++)
			(void)put(w, vb, "k", "1");
		uint64_t saves = world_status(w).saves;
		for (nsec t = now(); now() < t + 5 * NSEC_PER_MS ||
				     (world_status(w).saves == saves && now() < t + PATIENCE);)
			(void)pump_once(w, NSEC_PER_MS);
		assert_ok(dcp_source_assign(w->source, all, LEAVES, &e), &e);
		x.kept_out = LEAVES;
		for (nsec t = now(); now() < t + 5 * NSEC_PER_MS;)
			(void)pump_once(w, NSEC_PER_MS);
	}
	assert_true(world_status(w).saves > ROUNDS);
	world_close(w);
	x.forbidden = true;
	sleep_ms(50);
	assert_false(x.broke_it);
	world_free(w);
}

/* ---- 14: change history ---- */

/* The bucket keeps every version; who has not asked for them gets the newest. */
static void weakness_14_history_comes_only_if_it_is_asked_for(void **state)
{
	(void)state;
	for (int ask = 0; ask < 2; ask++) {
		struct world *w =
			world_new(&(struct fake_options){ .vbuckets = VBS, .magma = true });
		w->o.change_streams = ask;
		for (int i = 0; i < 5; i++)
			(void)put(w, 0, "k", "1");
		world_open(w);
		settle(w, VBS, PATIENCE);
		assert_int_equal(w->events, ask ? 5 : 1);
		world_free(w);
	}
}

/* ---- 20: threads ---- */

struct crowd {
	struct dcp_source *source;
	_Atomic bool stop;
	_Atomic unsigned turns;
};

static void look(void *arg, const struct dcp_vbucket_status *v)
{
	(void)arg;
	assert_true(v->vb < VBS);
}

static int look_at_node(void *arg, const struct dcp_node_status *n)
{
	(void)arg;
	assert_true(n->window > 0);
	return 0;
}

static void *onlooker(void *arg)
{
	struct crowd *c = arg;
	while (!c->stop) {
		struct dcp_status st;
		uint64_t version = 0;
		struct dcp_position pos;
		assert_int_equal(dcp_source_status(c->source, &st, look, NULL), 0);
		assert_int_equal(dcp_source_nodes(c->source, look_at_node, NULL), 0);
		(void)dcp_source_mark(c->source, 3, &version, &pos);
		(void)dcp_source_nacked(c->source, 3);
		c->turns++;
	}
	return NULL;
}

static void *meddler(void *arg)
{
	struct crowd *c = arg;
	struct err e = ERR_INIT;
	for (unsigned i = 0; !c->stop; i++) {
		(void)dcp_source_commit(c->source, &e);
		assert_ok(dcp_source_pause(c->source, (int)(i % VBS), &e), &e);
		if (i % 5 == 0)
			dcp_source_nack(c->source, (uint16_t)(i % VBS), 0);
		dcp_source_interrupt(c->source);
		assert_ok(dcp_source_resume(c->source, (int)(i % VBS), &e), &e);
		c->turns++;
	}
	return NULL;
}

/* Everything that any thread may do, while events come and connections break: under the thread sanitizer, above all. */
static void weakness_20_threads_share_a_source_without_races(void **state)
{
	(void)state;
	unsigned counter = 0;
	struct memory m;
	pthread_t thread[3];
	struct world *w = world_new(&(struct fake_options){ .nodes = 2, .vbuckets = VBS });
	memory_init(&m);
	w->o.store = &m.base;
	w->o.checkpoint_interval = 2 * NSEC_PER_MS;
	world_open(w);
	struct crowd c = { .source = w->source };
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, i ? onlooker : meddler, &c), 0);
	for (int round = 0; round < 30; round++) {
		write_some(w, VBS, 20, &counter);
		for (nsec t = now(); now() < t + 10 * NSEC_PER_MS;)
			(void)pump_once(w, NSEC_PER_MS);
		if (round % 7 == 3)
			fake_drop_connections(w->fake, -1);
	}
	c.stop = true;
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	assert_true(c.turns > 10);
	settle(w, VBS, PATIENCE);
	world_free(w);
}

/* ---- 22, 23: what it costs ---- */

static _Atomic uint64_t allocations;

static void *count_alloc(size_t n)
{
	allocations++;
	return malloc(n);
}

static void *count_realloc(void *p, size_t n)
{
	allocations++;
	return realloc(p, n);
}

static uint64_t resident(void)
{
	unsigned long long pages = 0, all;
	FILE *f = fopen("/proc/self/statm", "r");
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%llu %llu", &all, &pages), 2);
	fclose(f);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* In a process of its own: the cluster's allocations are not the client's. */
struct cost {
	struct world *w;
	uint64_t events;
};

static void read_and_count(void *arg)
{
	static const struct mem_allocator counting = { count_alloc, count_realloc, free };
	struct cost *c = arg;
	struct err e = ERR_INIT;
	struct dcp_batch b;
	uint64_t got = 0, warm = 0;
	mem_set_allocator(&counting);
	world_open(c->w);
	while (got < c->events) {
		assert_int_equal(dcp_source_poll(c->w->source, &b, PATIENCE, &e), 1);
		assert_int_equal(dcp_source_ack_batch(c->w->source, b.ev, b.n), 0);
		got += b.n;
		if (!warm && got > c->events / 2)
			warm = allocations;
	}
	uint64_t more = allocations - warm;
	if (more * 100 > c->events / 2)
		fail_msg("%u allocations for %u events", (unsigned)more, (unsigned)c->events / 2);
}

static void weakness_22_events_cost_no_allocations(void **state)
{
	(void)state;
	if (getenv("WEIR_SANITIZED"))
		skip(); /* the thread sanitizer knows no threads after a fork */
	struct cost c = { .w = world_new(&(struct fake_options){ .vbuckets = VBS }),
			  .events = 40000 };
	for (unsigned i = 0; i < c.events; i++) {
		char key[24];
		(void)snprintf(key, sizeof(key), "k%u", i);
		(void)put(c.w, i % VBS, key, "{\"n\":1}");
	}
	assert_int_equal(test_in_child(read_and_count, &c, 60), 0);
	world_free(c.w);
}

enum { IDLE_VBS = 1024, IDLE_NODES = 3 };

static void stand_idle(void *arg)
{
	struct world *w = arg;
	struct err e = ERR_INIT;
	uint64_t before = resident();
	world_open(w);
	assert_int_equal(dcp_source_wait_open(w->source, PATIENCE, &e), 1);
	uint64_t more = resident() - before;
	if (more > IDLE_VBS * 4096 + IDLE_NODES * (2u << 20))
		fail_msg("%u KiB for nothing", (unsigned)(more >> 10));
}

/* The other one: 25 MiB for a node. */
static void weakness_23_an_idle_client_has_next_to_no_memory(void **state)
{
	(void)state;
	if (getenv("WEIR_SANITIZED"))
		skip(); /* their shadows are not the client's */
	struct world *w =
		world_new(&(struct fake_options){ .nodes = IDLE_NODES, .vbuckets = IDLE_VBS });
	assert_int_equal(test_in_child(stand_idle, w, 60), 0);
	world_free(w);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(weakness_2_who_missed_a_purged_deletion_is_told_to_forget),
		cmocka_unit_test(weakness_3_an_expiration_arrives_as_one_with_its_time),
		cmocka_unit_test(weakness_7_an_idle_filtered_stream_is_saved_by_itself),
		cmocka_unit_test(
			weakness_8_what_is_acknowledged_during_a_save_is_saved_by_the_next),
		cmocka_unit_test(weakness_14_history_comes_only_if_it_is_asked_for),
		cmocka_unit_test(weakness_20_threads_share_a_source_without_races),
		cmocka_unit_test(weakness_21_no_old_schedule_saves_what_is_not_its_own_any_more),
		cmocka_unit_test(weakness_22_events_cost_no_allocations),
		cmocka_unit_test(weakness_23_an_idle_client_has_next_to_no_memory),
	};
	return cmocka_run_group_tests_name("dcp/e2e weakness", tests, NULL, NULL);
}
