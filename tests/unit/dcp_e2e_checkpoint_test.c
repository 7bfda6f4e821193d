/* Checkpoints in the documents of a bucket, against the simulated cluster. */
#include "tests/dcp_world.h"

#include "dcp/kv.h"

enum { VBS = 16 };

struct place {
	struct fake *fake;
	char seed[32];
	const char *seeds[1];
	struct scram_cache cache;
	struct conn_options o;
};

static void place_open(struct place *p, unsigned nodes)
{
	*p = (struct place){ .fake = fake_start(
				     &(struct fake_options){ .nodes = nodes, .vbuckets = VBS }) };
	assert_non_null(p->fake);
	(void)snprintf(p->seed, sizeof(p->seed), "127.0.0.1:%u", fake_kv_port(p->fake, 0));
	p->seeds[0] = p->seed;
	p->cache.mechanism = SASL_NONE;
	p->o = (struct conn_options){ .env = env_posix(),
				      .user = "Administrator",
				      .password = "password",
				      .bucket = "default",
				      .cache = &p->cache,
				      .connect_timeout = PATIENCE,
				      .noop = PATIENCE };
}

static struct checkpoint_store *store_at(struct place *p, const char *const *seeds, nsec timeout)
{
	struct err e = ERR_INIT;
	struct checkpoint_store *s;
	struct kv_options kv = { .conn = &p->o, .seeds = seeds, .n_seeds = 1, .timeout = timeout };
	assert_ok(checkpoint_couchbase_open(&kv, "grp", &s, &e), &e);
	return s;
}

static struct checkpoint_store *store_open(struct place *p)
{
	return store_at(p, p->seeds, PATIENCE);
}

static void load_all(struct checkpoint_store *s, struct checkpoint c[VBS])
{
	struct err e = ERR_INIT;
	for (uint16_t vb = 0; vb < VBS; vb++)
		c[vb] = (struct checkpoint){ .vb = vb };
	assert_ok(checkpoint_load(s, c, VBS, &e), &e);
}

static struct checkpoint at(uint16_t vb, uint64_t seqno)
{
	return (struct checkpoint){
		.vb = vb, .found = true, .pos = { seqno, seqno, seqno, 77 }, .bucket_uuid = "u"
	};
}

static void documents_are_written_read_and_fenced_by_their_cas(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct place p;
	struct checkpoint c[VBS], d[VBS];
	place_open(&p, 3);
	struct checkpoint_store *mine = store_open(&p), *other = store_open(&p);
	load_all(mine, c);
	for (unsigned vb = 0; vb < VBS; vb++)
		assert_false(c[vb].found);
	for (uint16_t vb = 0; vb < VBS; vb++)
		c[vb] = at(vb, 100 + vb);
	assert_ok(checkpoint_save(mine, c, VBS, &e), &e);
	load_all(other, d);
	for (unsigned vb = 0; vb < VBS; vb++)
		assert_true(d[vb].found && d[vb].pos.seqno == 100 + vb && d[vb].pos.uuid == 77);
	struct checkpoint one = at(3, 500);
	assert_ok(checkpoint_save(other, &one, 1, &e),
		  &e); /* the other member has taken vBucket 3 over */
	one = at(3, 120);
	assert_int_equal(checkpoint_save(mine, &one, 1, &e), ERR_FENCED);
	one = at(4, 130);
	assert_ok(checkpoint_save(mine, &one, 1, &e), &e);
	load_all(other, d);
	assert_true(d[3].pos.seqno == 500 && d[4].pos.seqno == 130);
	checkpoint_store_free(mine);
	checkpoint_store_free(other);
	fake_stop(p.fake);
}

/* Every node comes back with what was on its disk. */
static void crash_all(struct place *p)
{
	for (unsigned vb = 0; vb < VBS; vb++)
		fake_crash_vb(p->fake, vb);
}

static void to_disk(struct place *p)
{
	fake_hold_persistence(p->fake, false);
	for (unsigned vb = 0; vb < VBS; vb++)
		fake_persist(p->fake, vb, 0, UINT64_MAX);
}

/* Its node lost what this member had written last: nobody else has it for that. */
static void documents_that_went_back_are_written_again(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct place p;
	struct checkpoint c[VBS], one = at(3, 100);
	place_open(&p, 2);
	struct checkpoint_store *s = store_open(&p);
	load_all(s, c);
	fake_hold_persistence(p.fake, true);
	assert_ok(checkpoint_save(s, &one, 1, &e), &e);
	crash_all(&p); /* to nothing */
	one = at(3, 200);
	assert_ok(checkpoint_save(s, &one, 1, &e), &e);
	one = at(3, 300);
	assert_ok(checkpoint_save(s, &one, 1, &e), &e);
	to_disk(&p);
	fake_hold_persistence(p.fake, true);
	one = at(3, 400);
	assert_ok(checkpoint_save(s, &one, 1, &e), &e);
	crash_all(&p); /* to 300 */
	one = at(3, 500);
	assert_ok(checkpoint_save(s, &one, 1, &e), &e);
	to_disk(&p);
	checkpoint_store_free(s);

	s = store_open(&p);
	load_all(s, c);
	assert_int_equal(c[3].pos.seqno, 500);
	fake_hold_persistence(p.fake, true);
	one = at(3, 600);
	assert_ok(checkpoint_save(s, &one, 1, &e), &e);
	crash_all(&p); /* to what this store has loaded */
	one = at(3, 700);
	assert_ok(checkpoint_save(s, &one, 1, &e), &e);
	load_all(s, c);
	assert_int_equal(c[3].pos.seqno, 700);
	checkpoint_store_free(s);
	fake_stop(p.fake);
}

/* It went back to what another member had written since: that one has it. */
static void a_document_that_went_back_to_another_owner_is_the_others(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct place p;
	struct checkpoint c[VBS], one = at(3, 100);
	place_open(&p, 1);
	struct checkpoint_store *mine = store_open(&p), *other = store_open(&p);
	load_all(mine, c);
	assert_ok(checkpoint_save(mine, &one, 1, &e), &e);
	load_all(other, c);
	one = at(3, 150);
	assert_ok(checkpoint_save(other, &one, 1, &e), &e);
	load_all(mine, c); /* takes it back */
	to_disk(&p);
	fake_hold_persistence(p.fake, true);
	one = at(3, 160);
	assert_ok(checkpoint_save(mine, &one, 1, &e), &e);
	crash_all(&p); /* to the other's 150 */
	one = at(3, 170);
	assert_ok(checkpoint_save(other, &one, 1, &e), &e); /* who knew of nothing */
	one = at(3, 180);
	assert_int_equal(checkpoint_save(mine, &one, 1, &e), ERR_FENCED);
	load_all(other, c);
	assert_int_equal(c[3].pos.seqno, 170);
	checkpoint_store_free(mine);
	checkpoint_store_free(other);
	fake_stop(p.fake);
}

static void a_first_write_does_not_overwrite_somebody_elses(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct place p;
	struct checkpoint c[VBS];
	place_open(&p, 1);
	struct checkpoint_store *mine = store_open(&p), *other = store_open(&p);
	load_all(mine, c);
	load_all(other, c);
	struct checkpoint one = at(3, 500), two = at(3, 5);
	assert_ok(checkpoint_save(other, &one, 1, &e), &e);
	assert_int_equal(checkpoint_save(mine, &two, 1, &e), ERR_FENCED);
	checkpoint_store_free(mine);
	checkpoint_store_free(other);
	fake_stop(p.fake);
}

static void busy_nodes_are_asked_again_and_dead_ones_time_out(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct place p;
	struct checkpoint c[VBS];
	place_open(&p, 2);
	struct checkpoint_store *s = store_open(&p);
	fake_fault(p.fake, &(struct fake_fault){ .kind = FAKE_STATUS,
						 .node = -1,
						 .vb = -1,
						 .opcode = 0xd0,
						 .status = 0x86,
						 .count = 5 });
	load_all(s, c);
	checkpoint_store_free(s);
	p.seeds[0] = "127.0.0.1:1";
	s = store_at(&p, p.seeds, 300 * NSEC_PER_MS);
	c[0] = (struct checkpoint){ .vb = 0 };
	assert_int_equal(checkpoint_load(s, c, 1, &e), ERR_TIMEOUT);
	checkpoint_store_free(s);
	p.seeds[0] = p.seed;
	p.o.password = "wrong";
	p.cache.mechanism = SASL_NONE;
	s = store_at(&p, p.seeds, PATIENCE);
	assert_int_equal(checkpoint_load(s, c, 1, &e), ERR_AUTH);
	checkpoint_store_free(s);
	fake_stop(p.fake);
}

static void a_source_keeps_its_place_in_the_bucket_itself(void **state)
{
	(void)state;
	unsigned counter = 0;
	struct place p;
	struct world *w = world_new(&(struct fake_options){ .nodes = 2, .vbuckets = VBS });
	place_open(&p, 1);
	struct checkpoint_store *s = store_at(&p, w->seeds, PATIENCE);
	w->o.store = s;
	write_some(w, VBS, 200, &counter);
	for (int round = 0; round < 3; round++) {
		world_open(w);
		for (nsec deadline = now() + PATIENCE; w->events <= 100 && now() < deadline;)
			(void)pump_once(w, 20 * NSEC_PER_MS);
		/* What it has already must not come: the cluster's history also has the checkpoints' documents. */
		for (nsec until = now() + 300 * NSEC_PER_MS; now() < until;)
			(void)pump_once(w, 20 * NSEC_PER_MS);
		world_close(w);
	}
	assert_true(w->events > 100 && w->duplicates == 0);
	checkpoint_store_free(s);
	world_free(w);
	fake_stop(p.fake);
}

/* Each save of a vBucket makes a document there, whose seqno nobody has to acknowledge. */
static void
weakness_24_checkpoints_in_the_bucket_that_is_watched_do_not_cause_each_other(void **state)
{
	(void)state;
	enum { EVERY_MS = 10, LOOK_MS = 300 };
	unsigned counter = 0;
	struct place p;
	struct world *w = world_new(&(struct fake_options){ .nodes = 1, .vbuckets = VBS });
	place_open(&p, 1);
	struct checkpoint_store *s = store_at(&p, w->seeds, PATIENCE);
	w->o.store = s;
	w->o.checkpoint_interval = EVERY_MS * NSEC_PER_MS;
	write_some(w, VBS, 200, &counter);
	world_open(w);
	nsec until = now() + PATIENCE;
	uint64_t before = 0, after = LOOK_MS;
	while (after - before > 2 && now() < until) { /* till it is quiet */
		before = world_status(w).saves;
		for (nsec t = now(); now() < t + LOOK_MS * NSEC_PER_MS;)
			(void)pump_once(w, 10 * NSEC_PER_MS);
		after = world_status(w).saves;
	}
	assert_true(after - before <= 2); /* not LOOK_MS / EVERY_MS */
	world_close(w);
	checkpoint_store_free(s);
	world_free(w);
	fake_stop(p.fake);
}

/* Two members that disagree about who has what: whoever loads last wins, the other is told and stops. */
static void b5_a_member_that_was_overtaken_is_fenced_and_told(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct place p;
	struct dcp_batch b;
	struct world *w = world_new(&(struct fake_options){ .nodes = 1, .vbuckets = VBS });
	place_open(&p, 1);
	w->o.manual_commit = true;
	struct checkpoint_store *store[2] = { store_at(&p, w->seeds, PATIENCE),
					      store_at(&p, w->seeds, PATIENCE) };
	struct dcp_source *member[2];
	for (int i = 0; i < 2; i++) {
		w->o.store = store[i];
		assert_ok(dcp_source_open(&w->o, &member[i], &e), &e);
	}
	(void)fake_set(w->fake, 3, 0, "a", SLICE_LIT("1"));
	(void)fake_set(w->fake, 4, 0, "a", SLICE_LIT("1"));
	for (int i = 0; i < 2; i++) {
		assert_ok(dcp_source_assign(member[i], (uint16_t[]){ 3 + 0, 4 }, 2 - (size_t)i, &e),
			  &e);
		for (unsigned got = 0; got < 2u - (unsigned)i; got += (unsigned)b.n) {
			assert_int_equal(dcp_source_poll(member[i], &b, PATIENCE, &e), 1);
			assert_int_equal(dcp_source_ack_batch(member[i], b.ev, b.n), 0);
		}
	}
	assert_ok(dcp_source_commit(member[1], &e), &e); /* has vBucket 3, too */
	assert_int_equal(dcp_source_commit(member[0], &e), ERR_FENCED);
	assert_int_equal(dcp_source_poll(member[0], &b, PATIENCE, &e), 1);
	assert_true(b.n == 1 && b.ev[0].kind == DCP_END && b.ev[0].vb == 3 &&
		    b.ev[0].code == ERR_FENCED);
	struct checkpoint c = { .vb = 4 };
	assert_ok(checkpoint_load(store[1], &c, 1, &e), &e);
	assert_true(c.found); /* what was not fenced was saved all the same */
	assert_ok(dcp_source_close(member[0], &e), &e);
	assert_ok(dcp_source_close(member[1], &e), &e);
	checkpoint_store_free(store[0]);
	checkpoint_store_free(store[1]);
	world_free(w);
	fake_stop(p.fake);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(documents_are_written_read_and_fenced_by_their_cas),
		cmocka_unit_test(documents_that_went_back_are_written_again),
		cmocka_unit_test(a_document_that_went_back_to_another_owner_is_the_others),
		cmocka_unit_test(a_first_write_does_not_overwrite_somebody_elses),
		cmocka_unit_test(busy_nodes_are_asked_again_and_dead_ones_time_out),
		cmocka_unit_test(a_source_keeps_its_place_in_the_bucket_itself),
		cmocka_unit_test(
			weakness_24_checkpoints_in_the_bucket_that_is_watched_do_not_cause_each_other),
		cmocka_unit_test(b5_a_member_that_was_overtaken_is_fenced_and_told),
	};
	return cmocka_run_group_tests_name("dcp/e2e checkpoint", tests, NULL, NULL);
}
