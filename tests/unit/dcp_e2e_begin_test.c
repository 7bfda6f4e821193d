/* How a source begins: what it does with a checkpoint that cannot be used as it is, and that a vBucket has one before
 * anybody sees an event of it. */
#include "tests/dcp_world.h"

#include "os/thread.h"

enum { VBS = 8, VB = 3 };

/* A store in memory whose saves can be made to wait. */
struct kept {
	struct checkpoint_store base;
	struct mutex lock;
	struct cond changed;
	struct checkpoint cp[VBS];
	unsigned saves, waiting;
	bool shut, broken;
};

static int kept_load(struct checkpoint_store *s, struct checkpoint *c, size_t n, struct err *e)
{
	struct kept *k = container_of(s, struct kept, base);
	(void)e;
	mutex_lock(&k->lock);
	for (size_t i = 0; i < n; i++) {
		uint16_t vb = c[i].vb;
		c[i] = k->cp[vb];
		c[i].vb = vb;
	}
	mutex_unlock(&k->lock);
	return 0;
}

static int kept_save(struct checkpoint_store *s, const struct checkpoint *c, size_t n,
		     struct err *e)
{
	struct kept *k = container_of(s, struct kept, base);
	int rc = 0;
	mutex_lock(&k->lock);
	k->waiting++;
	cond_broadcast(&k->changed);
	while (k->shut)
		cond_wait(&k->changed, &k->lock);
	k->waiting--;
	if (k->broken)
		rc = err_set(e, ERR_NOSPACE, "the test's disk is full");
	for (size_t i = 0; i < n && rc == 0; i++)
		k->cp[c[i].vb] = c[i];
	k->saves++;
	mutex_unlock(&k->lock);
	return rc;
}

static int kept_clear(struct checkpoint_store *s, const uint16_t *vb, size_t n, struct err *e)
{
	(void)s;
	(void)vb;
	(void)n;
	(void)e;
	return 0;
}

static void kept_free(struct checkpoint_store *s)
{
	(void)s;
}

static const struct checkpoint_store_ops kept_ops = { kept_load, kept_save, kept_clear, kept_free };

static struct world *world_kept(struct kept *k)
{
	struct world *w = world_new(
		&(struct fake_options){ .nodes = 1, .vbuckets = VBS, .hold_persistence = true });
	*k = (struct kept){ .base.ops = &kept_ops };
	mutex_init(&k->lock);
	cond_init(&k->changed);
	w->o.store = &k->base;
	return w;
}

static void set_shut(struct kept *k, bool shut)
{
	mutex_lock(&k->lock);
	k->shut = shut;
	cond_broadcast(&k->changed);
	mutex_unlock(&k->lock);
}

static void set_broken(struct kept *k, bool broken)
{
	mutex_lock(&k->lock);
	k->broken = broken;
	mutex_unlock(&k->lock);
}

static void write_keys(struct world *w, unsigned vb, unsigned from, unsigned to)
{
	for (unsigned i = from; i <= to; i++) {
		char key[16];
		(void)snprintf(key, sizeof(key), "k%u", i);
		assert_int_equal(fake_set(w->fake, vb, 0, key, slice_str(key)), i);
	}
}

/* Takes events until there are n, all acknowledged. */
static void take(struct world *w, unsigned n)
{
	uint64_t want = w->events + n;
	nsec deadline = now() + PATIENCE;
	while (w->events < want && now() < deadline)
		(void)pump_once(w, 20 * NSEC_PER_MS);
	assert_int_equal(w->events, want);
}

/* ---- ahead of the server ---- */

/* A group has seen three snapshots of three items each; then only the first `left` of the nine are there. */
static void fall_behind(struct world *w, struct kept *k, uint64_t left)
{
	struct fake_branch log[FAKE_FAILOVER_MAX];
	write_keys(w, VB, 1, 9);
	assert_int_equal(fake_failover_log(w->fake, VB, log), 1);
	k->cp[VB] = (struct checkpoint){ .vb = VB,
					 .found = true,
					 .pos = { 9, 9, 9, log[0].uuid },
					 .points = { .n = 3, .seqno = { 3, 6, 9 } } };
	fake_persist(w->fake, VB, 0, left);
	fake_crash_vb(w->fake, VB);
	assert_int_equal(fake_high_seqno(w->fake, VB), left);
}

struct first {
	bool rollback;
	uint64_t to, point, again; /* again: the first seqno that comes after it */
	int code;                  /* of an end */
};

static bool same(const struct first *a, const struct first *b)
{
	return a->rollback == b->rollback && a->to == b->to && a->point == b->point &&
	       a->again == b->again && a->code == b->code;
}

static struct first begin_again(struct world *w, enum checkpoint_policy ahead)
{
	struct err e = ERR_INIT;
	struct first f = { 0 };
	struct dcp_batch b;
	w->o.policies = (struct checkpoint_policies){ .ahead = ahead };
	world_open(w);
	nsec deadline = now() + PATIENCE;
	while (!f.again && !f.code && now() < deadline) {
		if (dcp_source_poll(w->source, &b, 20 * NSEC_PER_MS, &e) <= 0)
			continue;
		for (size_t i = 0; i < b.n; i++) {
			const struct dcp_event *ev = &b.ev[i];
			if (ev->vb != VB)
				continue;
			if (ev->kind == DCP_ROLLBACK) {
				f.rollback = true;
				f.to = ev->rollback_to;
				f.point = ev->pos.seqno;
			} else if (ev->kind == DCP_END) {
				f.code = ev->code;
			} else if (!f.again) {
				f.again = ev->pos.seqno;
			}
		}
		(void)dcp_source_ack_batch(w->source, b.ev, b.n);
	}
	world_close(w);
	return f;
}

static void b8_ahead_of_the_server_fails_restarts_rewinds_or_rolls_back_as_told(void **state)
{
	(void)state;
	static const struct {
		enum checkpoint_policy policy;
		bool foreign; /* the server knows nothing of the branch */
		struct first want;
	} cases[] = {
		{ CHECKPOINT_FAIL, false, { .code = ERR_TOKEN_FUTURE } },
		{ CHECKPOINT_RESTART, false, { .again = 1 } },
		{ CHECKPOINT_IGNORE, false, { true, 7, 6, 7, 0 } },
		{ CHECKPOINT_REWIND, false, { true, 7, 6, 7, 0 } },
		/* the server would send everything; who rewinds says that it is the same history all the same */
		{ CHECKPOINT_IGNORE, true, { true, 0, 0, 1, 0 } },
		{ CHECKPOINT_REWIND, true, { true, 7, 6, 7, 0 } },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct kept k;
		struct world *w = world_kept(&k);
		fall_behind(w, &k, 7);
		if (cases[i].foreign)
			fake_set_failover_log(w->fake, VB, &(struct fake_branch){ 4711, 0 }, 1);
		struct first f = begin_again(w, cases[i].policy);
		if (!same(&f, &cases[i].want))
			fail_msg("case %zu: rollback %d to %u, from %u on, again %u, code %d", i,
				 f.rollback, (unsigned)f.to, (unsigned)f.point, (unsigned)f.again,
				 f.code);
		world_free(w);
	}
}

/* The branch it knew ended at 4, a newer one went on to 7 without it: the histories have 4 in common, not 7. */
static void b8_a_rewind_goes_no_further_than_what_both_histories_have(void **state)
{
	(void)state;
	struct kept k;
	struct world *w = world_kept(&k);
	fall_behind(w, &k, 4);
	write_keys(w, VB, 5, 7);
	struct first f = begin_again(w, CHECKPOINT_REWIND);
	assert_true(f.rollback && f.to == 4 && f.point == 3 && f.again == 4);
	world_free(w);
}

/* Nothing is left of it: back to the beginning, told. */
static void b8_a_rewind_to_nothing_is_told(void **state)
{
	(void)state;
	struct kept k;
	struct world *w = world_kept(&k);
	fall_behind(w, &k, 0);
	w->o.policies.ahead = CHECKPOINT_REWIND;
	world_open(w);
	nsec deadline = now() + PATIENCE;
	while (w->rollbacks == 0 && now() < deadline)
		(void)pump_once(w, 20 * NSEC_PER_MS);
	assert_int_equal(w->rollbacks, 1);
	write_keys(w, VB, 1, 2);
	take(w, 2);
	world_free(w);
}

/* ---- damaged ---- */

static void b8_a_damaged_checkpoint_ends_its_vbucket_or_restarts_it(void **state)
{
	(void)state;
	struct kept k;
	struct world *w = world_kept(&k);
	world_open(w);
	write_keys(w, VB, 1, 3);
	write_keys(w, VB + 1, 1, 3);
	take(w, 6);
	world_close(w);
	k.cp[VB] = (struct checkpoint){ .vb = VB, .damaged = true };
	struct first f = begin_again(w, CHECKPOINT_DEFAULT);
	assert_int_equal(f.code, ERR_CORRUPT);
	assert_true(k.cp[VB].damaged); /* and stays as it is */
	w->o.policies.damaged = CHECKPOINT_RESTART;
	world_open(w);
	take(w, 3); /* those of VB alone */
	world_close(w);
	assert_true(k.cp[VB].found && k.cp[VB].pos.seqno == 3);
	world_free(w);
}

/* ---- before the first event ---- */

static void nothing_is_handed_out_before_its_branch_is_saved(void **state)
{
	(void)state;
	for (int manual = 0; manual < 2; manual++) {
		struct err e = ERR_INIT;
		struct dcp_batch b;
		struct kept k;
		struct world *w = world_kept(&k);
		w->o.manual_commit = manual;
		write_keys(w, VB, 1, 3);
		set_shut(&k, true);
		assert_ok(dcp_source_open(&w->o, &w->source, &e), &e);
		assert_ok(dcp_source_assign(w->source, (uint16_t[]){ VB }, 1, &e), &e);
		mutex_lock(&k.lock);
		while (!k.waiting)
			cond_wait(&k.changed, &k.lock);
		mutex_unlock(&k.lock);
		assert_int_equal(dcp_source_poll(w->source, &b, 50 * NSEC_PER_MS, &e), 0);
		assert_false(k.cp[VB].found);
		set_shut(&k, false);
		struct dcp_event ev[3];
		take_some(w, ev, 3);
		assert_true(k.cp[VB].found && k.cp[VB].pos.uuid);
		assert_int_equal(k.cp[VB].pos.seqno, 0);
		world_free(w);
	}
}

/* Only what a commit is about is left to it. */
static void manual_commits_alone_save_what_was_acknowledged(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct kept k;
	struct world *w = world_kept(&k);
	w->o.manual_commit = true;
	w->o.checkpoint_interval = 5 * NSEC_PER_MS;
	world_open(w);
	write_keys(w, VB, 1, 3);
	take(w, 3);
	write_keys(w, VB + 1, 1, 1);
	take(w, 1);
	assert_true(k.cp[VB].found && k.cp[VB].pos.seqno == 0);
	assert_ok(dcp_source_commit(w->source, &e), &e);
	assert_true(k.cp[VB].pos.seqno == 3);
	world_free(w);
}

static void a_store_that_fails_holds_the_first_events_back_until_it_works(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct dcp_batch b;
	struct kept k;
	struct dcp_status st = { 0 };
	struct world *w = world_kept(&k);
	set_broken(&k, true);
	world_open(w);
	write_keys(w, VB, 1, 3);
	nsec deadline = now() + PATIENCE;
	while (!st.save_failures && now() < deadline) {
		assert_int_equal(dcp_source_poll(w->source, &b, 20 * NSEC_PER_MS, &e), 0);
		assert_int_equal(dcp_source_status(w->source, &st, NULL, NULL), 0);
	}
	assert_true(st.save_failures > 0);
	assert_non_null(strstr(st.last_error, "disk is full"));
	set_broken(&k, false);
	take(w, 3); /* it is tried again by itself */
	world_free(w);
}

/* The corner itself: it sees events, and is killed before anything of them is saved, while a failover takes them away.
 * The next one is told. */
static void who_is_killed_at_once_is_told_of_the_rollback(void **state)
{
	(void)state;
	struct kept k;
	struct world *w = world_kept(&k);
	fake_persist(w->fake, VB, 0, 0);
	w->ack = false;
	world_open(w);
	write_keys(w, VB, 1, 5);
	take(w, 5);
	struct checkpoint as_killed[VBS];
	mutex_lock(&k.lock);
	memcpy(as_killed, k.cp, sizeof(as_killed));
	mutex_unlock(&k.lock);
	world_close(w);
	memcpy(k.cp, as_killed, sizeof(as_killed));
	fake_persist(w->fake, VB, 0, 2);
	fake_crash_vb(w->fake, VB);
	w->ack = true;
	world_open(w);
	nsec deadline = now() + PATIENCE;
	while ((w->rollbacks == 0 || all_differ(w, VBS)) && now() < deadline)
		(void)pump_once(w, 20 * NSEC_PER_MS);
	assert_int_equal(w->rollbacks, 1);
	assert_null(all_differ(w, VBS));
	world_free(w);
}

/* Of an old vBucket the server knows the last branches only. A place before them has no branch that a checkpoint could
 * name: that keeps nobody waiting for one. */
static void a_place_before_the_servers_oldest_branch_holds_up_nobody(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct dcp_batch b;
	struct kept k;
	struct world *w = world_kept(&k);
	write_keys(w, VB, 1, 20);
	fake_set_failover_log(w->fake, VB, &(struct fake_branch){ 4711, 15 }, 1);
	world_open(w);
	for (size_t n = 0; n < 20; n += b.n) {
		assert_int_equal(dcp_source_poll(w->source, &b, PATIENCE, &e), 1);
		for (size_t i = 0; i < b.n; i++) {
			apply(w, &b.ev[i]);
			if (b.ev[i].pos.seqno <= 10)
				assert_int_equal(dcp_source_ack(w->source, &b.ev[i]), 0);
		}
	}
	fake_drop_connections(w->fake, -1);
	write_keys(w, VB, 21, 22);
	write_keys(w, VB + 1, 1, 3);
	nsec deadline = now() + PATIENCE;
	while (all_differ(w, VBS) && now() < deadline)
		(void)pump_once(w, 20 * NSEC_PER_MS);
	assert_null(all_differ(w, VBS));
	world_free(w);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			b8_ahead_of_the_server_fails_restarts_rewinds_or_rolls_back_as_told),
		cmocka_unit_test(b8_a_rewind_goes_no_further_than_what_both_histories_have),
		cmocka_unit_test(b8_a_rewind_to_nothing_is_told),
		cmocka_unit_test(b8_a_damaged_checkpoint_ends_its_vbucket_or_restarts_it),
		cmocka_unit_test(nothing_is_handed_out_before_its_branch_is_saved),
		cmocka_unit_test(manual_commits_alone_save_what_was_acknowledged),
		cmocka_unit_test(a_store_that_fails_holds_the_first_events_back_until_it_works),
		cmocka_unit_test(who_is_killed_at_once_is_told_of_the_rollback),
		cmocka_unit_test(a_place_before_the_servers_oldest_branch_holds_up_nobody),
	};
	return cmocka_run_group_tests_name("dcp/e2e begin", tests, NULL, NULL);
}
