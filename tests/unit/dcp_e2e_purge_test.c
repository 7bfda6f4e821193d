/* Deletions that are purged while nobody looks: a consumer that comes back has them told, or is told to forget. The
 * simulated cluster deletes, compacts and purges; the world's oracle finds documents that outlived their deletion. */
#include "tests/dcp_memory.h"
#include "tests/dcp_world.h"

enum { VBS = 4, KEYS = 40 };

struct scene {
	struct world *w;
	struct memory k;
	uint32_t cid;
};

static void put(struct scene *s, unsigned n)
{
	char key[24];
	(void)snprintf(key, sizeof(key), "k%u", n);
	(void)fake_set(s->w->fake, 0, s->cid, key, SLICE_LIT("{}"));
}

static void drop(struct scene *s, unsigned n)
{
	char key[24];
	(void)snprintf(key, sizeof(key), "k%u", n);
	(void)fake_delete(s->w->fake, 0, s->cid, key);
}

static void purge(struct scene *s)
{
	uint64_t high = fake_high_seqno(s->w->fake, 0);
	s->w->seen[0].purged = high;
	fake_purge(s->w->fake, 0, high);
}

static void scene_begin(struct scene *s, const struct fake_options *fo)
{
	s->w = world_new(fo);
	s->cid = 0;
	memory_init(&s->k);
	s->w->o.store = &s->k.base;
	s->w->o.checkpoint_interval = 2 * NSEC_PER_MS;
}

/* In one collection, so that a backfill may come out of order. */
static void into_a_collection(struct scene *s)
{
	static const char *const names[] = { "c0" };
	assert_true(fake_create_scope(s->w->fake, "shop") != 0);
	s->cid = s->w->cid[s->w->n_cids++] = fake_create_collection(s->w->fake, "shop", "c0");
	s->w->o.scope = "shop";
	s->w->o.collections = names;
	s->w->o.n_collections = 1;
	s->w->o.out_of_order = true;
}

static void fill(struct scene *s)
{
	for (unsigned i = 0; i < KEYS; i++)
		put(s, i);
}

/* What was saved before stays; what is acknowledged from now on never was. */
static void killed(struct scene *s)
{
	memory_moment left;
	memory_look(&s->k, left);
	world_close(s->w);
	memory_go_back(&s->k, left);
}

static void come_back(struct scene *s)
{
	s->w->ack = true;
	world_open(s->w);
	settle(s->w, VBS, 20 * NSEC_PER_SEC);
}

/* ---- in the middle of the first read ---- */

/* Below the purge seqno, with some of it acknowledged and saved. */
static void read_a_part(struct scene *s)
{
	struct err e = ERR_INIT;
	fill(s);
	drop(s, 3);
	put(s, KEYS);
	fake_purge(s->w->fake, 0, KEYS + 1);
	s->w->seen[0].purged = KEYS + 1;
	s->w->o.window_bytes = 1000;
	world_open(s->w);
	while (s->w->events == 0)
		assert_true(pump_once(s->w, 10 * NSEC_PER_SEC));
	assert_true(s->w->events < 30);
	assert_ok(dcp_source_commit(s->w->source, &e), &e);
	killed(s);
	s->w->o.window_bytes = 0;
}

static void a_first_read_below_the_purge_goes_on_after_a_kill(void **state)
{
	(void)state;
	struct scene s;
	struct fake_stats st;
	scene_begin(&s, &(struct fake_options){ .vbuckets = VBS, .version = 80 });
	read_a_part(&s);
	assert_true(s.k.cp[0].pos.seqno > 0 && s.k.cp[0].pos.seqno < KEYS);
	assert_true(s.k.cp[0].purge.seqno == KEYS + 1 && s.k.cp[0].purge.from == 0);
	come_back(&s);
	fake_stats(s.w->fake, &st);
	assert_true(st.rollbacks == 0 && s.w->rollbacks == 0);
	world_free(s.w);
}

static void a_first_read_begins_again_when_more_was_purged_meanwhile(void **state)
{
	(void)state;
	static const unsigned versions[] = { 0, 80 };
	for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
		struct scene s;
		scene_begin(&s, &(struct fake_options){ .vbuckets = VBS, .version = versions[i] });
		read_a_part(&s);
		for (unsigned k = 0; k < 30; k++)
			drop(&s, k);
		purge(&s);
		come_back(&s);
		assert_true(s.w->rollbacks == 1);
		world_free(s.w);
	}
}

/* ---- from 0, with something handed out ---- */

/* Everything is handed out, nothing is acknowledged; then it is killed. */
static void read_all(struct scene *s)
{
	fill(s);
	s->w->ack = false;
	world_open(s->w);
	settle(s->w, VBS, 20 * NSEC_PER_SEC);
	killed(s);
	assert_true(s->k.cp[0].found && s->k.cp[0].pos.seqno == 0);
	drop(s, 7);
	drop(s, 8);
	put(s, KEYS);
}

static void whoever_starts_at_0_again_is_told_to_forget_what_was_purged(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		bool out_of_order = i & 1, newer = i & 2, purged = i & 4;
		struct scene s;
		scene_begin(&s, &(struct fake_options){ .vbuckets = VBS,
							.version = newer ? 80 : 0,
							.oso_items = out_of_order ? 3 : 0 });
		if (out_of_order)
			into_a_collection(&s);
		read_all(&s);
		if (purged)
			purge(&s);
		come_back(&s);
		assert_true(s.w->rollbacks == purged);
		world_free(s.w);
	}
}

static bool has_document(const struct scene *s, unsigned n)
{
	char key[24];
	(void)snprintf(key, sizeof(key), "k%u", n);
	uint64_t id = identity('m', s->cid, slice_str(key));
	for (uint64_t i = s->w->seen[0].high; i > 0; i--)
		if (s->w->seen[0].item[i].hash && s->w->seen[0].item[i].key == id)
			return s->w->seen[0].item[i].hash ==
			       content_hash('m', id, SLICE_NONE, SLICE_LIT("{}"));
	return false;
}

/* Compaction takes the purged deletions, and what they deleted, out of the server's files. */
static void after_a_compaction_the_consumer_has_what_the_server_has(void **state)
{
	(void)state;
	for (unsigned newer = 0; newer < 2; newer++) {
		struct scene s;
		scene_begin(&s,
			    &(struct fake_options){ .vbuckets = VBS, .version = newer ? 80 : 0 });
		read_all(&s);
		assert_true(has_document(&s, 7));
		uint64_t high = fake_high_seqno(s.w->fake, 0);
		fake_compact(s.w->fake, 0, high);
		s.w->ack = true;
		world_open(s.w);
		for (nsec until = now() + 10 * NSEC_PER_SEC;
		     s.w->rollbacks == 0 || s.w->seen[0].high < high;) {
			(void)pump_once(s.w, 10 * NSEC_PER_MS);
			assert_true(now() < until);
		}
		for (unsigned n = 0; n <= KEYS; n++)
			assert_true(has_document(&s, n) == (n != 7 && n != 8));
		world_free(s.w);
	}
}

/* There was a purge before, and none since: what the checkpoint knows of it is enough. */
static void whoever_starts_at_0_again_goes_on_when_nothing_more_was_purged(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct scene s;
		scene_begin(&s, &(struct fake_options){ .vbuckets = VBS,
							.version = i ? 0 : 80,
							.oso_items = i ? 3 : 0 });
		if (i)
			into_a_collection(&s);
		put(&s, 1);
		drop(&s, 1);
		put(&s, 2);
		purge(&s);
		read_all(&s);
		assert_true(s.k.cp[0].purge.uuid != 0);
		come_back(&s);
		assert_true(s.w->rollbacks == 0);
		world_free(s.w);
	}
}

static void where_statistics_are_refused_everything_is_forgotten(void **state)
{
	(void)state;
	struct scene s;
	scene_begin(&s, &(struct fake_options){ .vbuckets = VBS });
	read_all(&s);
	purge(&s);
	fake_fault(s.w->fake, &(struct fake_fault){ .kind = FAKE_STATUS,
						    .node = -1,
						    .vb = -1,
						    .opcode = 0x10,
						    .count = 1000,
						    .status = 0x24 });
	come_back(&s);
	assert_true(s.w->rollbacks == 1);
	world_free(s.w);
}

static void going_back_to_0_by_seeking_is_told_as_well(void **state)
{
	(void)state;
	for (unsigned purged = 0; purged < 2; purged++) {
		struct err e = ERR_INIT;
		struct scene s;
		scene_begin(&s, &(struct fake_options){ .vbuckets = VBS });
		fill(&s);
		world_open(s.w);
		settle(s.w, VBS, 20 * NSEC_PER_SEC);
		assert_ok(dcp_source_pause(s.w->source, 0, &e), &e);
		drop(&s, 7);
		put(&s, KEYS);
		if (purged)
			purge(&s);
		struct checkpoint to = { .vb = 0, .any_branch = true };
		assert_ok(dcp_source_seek(s.w->source, &to, 1, &e), &e);
		assert_ok(dcp_source_resume(s.w->source, 0, &e), &e);
		settle(s.w, VBS, 20 * NSEC_PER_SEC);
		assert_true(s.w->rollbacks == purged);
		world_free(s.w);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_first_read_below_the_purge_goes_on_after_a_kill),
		cmocka_unit_test(a_first_read_begins_again_when_more_was_purged_meanwhile),
		cmocka_unit_test(whoever_starts_at_0_again_is_told_to_forget_what_was_purged),
		cmocka_unit_test(after_a_compaction_the_consumer_has_what_the_server_has),
		cmocka_unit_test(whoever_starts_at_0_again_goes_on_when_nothing_more_was_purged),
		cmocka_unit_test(where_statistics_are_refused_everything_is_forgotten),
		cmocka_unit_test(going_back_to_0_by_seeking_is_told_as_well),
	};
	return cmocka_run_group_tests_name("dcp/e2e purge", tests, NULL, NULL);
}
