/* Stopping, killing and resuming, handing over, and beginning in the middle, against the simulated cluster. */
#include "tests/dcp_world.h"

enum { VBS = 16 };

struct kept { /* a store in memory that can be told to fail, and that counts */
	struct checkpoint_store base;
	struct checkpoint cp[VBS];
	unsigned saves;
	bool broken;
};

static int kept_load(struct checkpoint_store *s, struct checkpoint *c, size_t n, struct err *e)
{
	struct kept *k = container_of(s, struct kept, base);
	(void)e;
	for (size_t i = 0; i < n; i++) {
		uint16_t vb = c[i].vb;
		c[i] = k->cp[vb];
		c[i].vb = vb;
	}
	return 0;
}

static int kept_save(struct checkpoint_store *s, const struct checkpoint *c, size_t n,
		     struct err *e)
{
	struct kept *k = container_of(s, struct kept, base);
	if (k->broken)
		return err_set(e, ERR_NOSPACE, "the test's disk is full");
	for (size_t i = 0; i < n; i++)
		k->cp[c[i].vb] = c[i];
	k->saves++;
	return 0;
}

static int kept_clear(struct checkpoint_store *s, const uint16_t *vb, size_t n, struct err *e)
{
	struct kept *k = container_of(s, struct kept, base);
	(void)e;
	for (size_t i = 0; i < n; i++)
		k->cp[vb[i]] = (struct checkpoint){ 0 };
	return 0;
}

static void kept_free(struct checkpoint_store *s)
{
	(void)s;
}

static const struct checkpoint_store_ops kept_ops = { kept_load, kept_save, kept_clear, kept_free };

static struct world *world_kept(struct kept *k, unsigned nodes)
{
	struct world *w = world_new(&(struct fake_options){
		.nodes = nodes, .vbuckets = VBS, .replicas = nodes > 1, .hold_persistence = true });
	*k = (struct kept){ .base.ops = &kept_ops };
	w->o.store = &k->base;
	return w;
}

static void a_closed_source_resumes_without_repeating(void **state)
{
	(void)state;
	unsigned counter = 0;
	struct kept k;
	struct world *w = world_kept(&k, 2);
	write_some(w, VBS, 300, &counter);
	world_open(w);
	settle(w, VBS, PATIENCE);
	world_close(w); /* saves */
	write_some(w, VBS, 300, &counter);
	world_open(w);
	settle(w, VBS, PATIENCE);
	assert_true(w->duplicates == 0 && w->rollbacks == 0);
	world_free(w);
}

static void weakness_9_handing_over_saves_first_and_disturbs_nobody_else(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	unsigned counter = 0;
	struct kept k;
	struct dcp_status st;
	struct world *w = world_kept(&k, 2);
	write_some(w, VBS, 200, &counter);
	world_open(w);
	settle(w, VBS, PATIENCE);
	struct fake_stats before, after;
	fake_stats(w->fake, &before);
	assert_ok(dcp_source_assign_share(w->source, 1, 2, &e), &e); /* 0..7 stay, 8..15 leave */
	for (unsigned vb = VBS / 2; vb < VBS; vb++)
		assert_true(fake_high_seqno(w->fake, vb) == 0 ||
			    k.cp[vb].pos.seqno == fake_high_seqno(w->fake, vb));
	fake_stats(w->fake, &after);
	assert_true(after.stream_requests == before.stream_requests);
	assert_int_equal(dcp_source_status(w->source, &st, NULL, NULL), 0);
	assert_int_equal(st.n_assigned, VBS / 2);
	write_some(w, VBS, 200, &counter);
	settle(w, VBS / 2, PATIENCE);
	assert_ok(dcp_source_assign_share(w->source, 1, 1, &e), &e);
	settle(w, VBS, PATIENCE);
	assert_true(w->duplicates == 0);
	world_free(w);
}

static void late_acks_of_a_vbucket_that_left_are_refused(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct kept k;
	struct dcp_batch b;
	struct world *w = world_kept(&k, 1);
	(void)fake_set(w->fake, 3, 0, "k", SLICE_LIT("1"));
	world_open(w);
	assert_int_equal(dcp_source_poll(w->source, &b, PATIENCE, &e), 1);
	struct dcp_event ev = b.ev[0];
	assert_int_equal(ev.vb, 3);
	assert_ok(dcp_source_assign(w->source, (uint16_t[]){ 1 }, 1, &e), &e);
	assert_int_equal(dcp_source_ack(w->source, &ev), ERR_NOTFOUND);
	assert_ok(dcp_source_assign(w->source, (uint16_t[]){ 3 }, 1, &e), &e);
	assert_int_equal(dcp_source_ack(w->source, &ev),
			 ERR_NOTFOUND); /* of the earlier ownership */
	assert_true(k.cp[3].pos.seqno == 0);
	world_free(w);
}

static void a_nack_brings_everything_unacknowledged_again(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct kept k;
	struct world *w = world_kept(&k, 1);
	for (int i = 0; i < 5; i++) {
		char key[16];
		(void)snprintf(key, sizeof(key), "k%d", i);
		(void)fake_set(w->fake, 3, 0, key, SLICE_LIT("1"));
	}
	world_open(w);
	struct dcp_event ev[5];
	take_some(w, ev, 5);
	assert_ok(dcp_source_ack(w->source, &ev[0]), &e);
	assert_ok(dcp_source_ack(w->source, &ev[3]), &e);
	dcp_source_nack(w->source, 3, 0);
	take_some(w, ev, 4);
	for (unsigned i = 0; i < 4;
	     i++) /* 4 was acknowledged, but behind an open one: it comes again, too */
		assert_true(ev[i].pos.seqno == i + 2);
	world_free(w);
}

static void a_finite_source_ends_with_what_was_there(void **state)
{
	(void)state;
	unsigned counter = 0;
	struct world *w = world_new(&(struct fake_options){ .nodes = 2, .vbuckets = VBS });
	write_some(w, VBS / 2, 100, &counter); /* half of the vBuckets are empty */
	w->o.finite = true;
	world_open(w);
	nsec deadline = now() + PATIENCE;
	while (w->ends < VBS && now() < deadline)
		(void)pump_once(w, 20 * NSEC_PER_MS);
	assert_int_equal(w->ends, VBS);
	assert_null(all_differ(w, VBS));
	world_free(w);
}

static void starting_at_the_latest_skips_what_was_there(void **state)
{
	(void)state;
	unsigned counter = 0;
	struct world *w = world_new(&(struct fake_options){ .nodes = 2, .vbuckets = VBS });
	write_some(w, VBS, 100, &counter);
	w->o.begin = DCP_LATEST;
	world_open(w);
	struct dcp_status st = { 0 };
	for (nsec limit = now() + PATIENCE; st.n_streaming < VBS && now() < limit;) {
		(void)pump_once(w, 20 * NSEC_PER_MS);
		(void)dcp_source_status(w->source, &st, NULL, NULL);
	}
	assert_int_equal(st.n_streaming, VBS);
	assert_int_equal(w->events, 0);
	(void)fake_set(w->fake, 2, 0, "new", SLICE_LIT("1"));
	nsec deadline = now() + PATIENCE;
	while (w->events < 1 && now() < deadline)
		(void)pump_once(w, 20 * NSEC_PER_MS);
	assert_int_equal(w->events, 1);
	world_free(w);
}

static int open_code(struct world *w, struct err *e)
{
	struct dcp_source *s = NULL;
	int rc = dcp_source_open(&w->o, &s, e);
	if (rc == 0)
		(void)dcp_source_close(s, NULL);
	return rc;
}

static void what_cannot_work_is_a_typed_error_at_once(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct world *w = world_new(&(struct fake_options){ .nodes = 1, .vbuckets = VBS });
	w->o.connect_timeout = PATIENCE;
	w->o.password = "wrong";
	assert_int_equal(open_code(w, &e), ERR_AUTH);
	w->o.password = "password";
	w->o.bucket = "nothere";
	assert_true(open_code(w, &e) == ERR_NOTFOUND || open_code(w, &e) == ERR_AUTH);
	w->o.bucket = "default";
	const char *none[] = { "nope" };
	w->o.collections = none;
	w->o.n_collections = 1;
	assert_int_equal(open_code(w, &e), ERR_NOTFOUND);
	assert_non_null(strstr(e.msg, "nope"));
	w->o.n_collections = 0;
	w->o.scope = "noscope";
	assert_int_equal(open_code(w, &e), ERR_NOTFOUND);
	w->o.scope = NULL;
	w->seeds[0] = "127.0.0.1:1";
	w->o.connect_timeout = NSEC_PER_SEC;
	assert_int_equal(open_code(w, &e), ERR_TIMEOUT);
	assert_non_null(strstr(e.msg, "127.0.0.1:1"));
	w->seeds[0] = "127.0.0.1:x";
	assert_int_equal(open_code(w, &e), ERR_INVALID);
	w->o.group = "";
	assert_int_equal(open_code(w, &e), ERR_INVALID);
	w->o.group = "g";
	world_free(w);
}

static void weakness_16_collections_filter_and_system_events_tell_about_them(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct world *w = world_new(&(struct fake_options){ .nodes = 1, .vbuckets = VBS });
	uint32_t scope = fake_create_scope(w->fake, "shop");
	uint32_t orders = fake_create_collection(w->fake, "shop", "orders");
	uint32_t other = fake_create_collection(w->fake, "shop", "other");
	assert_true(scope && orders && other);
	const char *names[] = { "orders" };
	w->o.scope = "shop";
	w->o.collections = names;
	w->o.n_collections = 1;
	w->o.system_events = true;
	(void)fake_set(w->fake, 1, other, "no", SLICE_LIT("1"));
	(void)fake_set(w->fake, 1, orders, "yes", SLICE_LIT("1"));
	world_open(w);
	unsigned documents = 0, created = 0, dropped = 0, ends = 0;
	nsec deadline = now() + PATIENCE;
	bool told = false;
	while (ends < VBS && now() < deadline) {
		struct dcp_batch b;
		if (dcp_source_poll(w->source, &b, 20 * NSEC_PER_MS, &e) <= 0)
			continue;
		for (size_t i = 0; i < b.n; i++) {
			const struct dcp_event *ev = &b.ev[i];
			if (ev->kind == DCP_MUTATION) {
				const char *s, *c;
				documents++;
				assert_true(ev->collection == orders && slice_is(ev->key, "yes"));
				assert_true(
					dcp_source_collection(w->source, ev->collection, &s, &c));
				assert_string_equal(s, "shop");
				assert_string_equal(c, "orders");
			}
			created +=
				ev->kind == DCP_SYSTEM && ev->system.kind == DCP_COLLECTION_CREATED;
			dropped +=
				ev->kind == DCP_SYSTEM && ev->system.kind == DCP_COLLECTION_DROPPED;
			ends += ev->kind == DCP_END && ev->end_reason == 7;
		}
		(void)dcp_source_ack_batch(w->source, b.ev, b.n);
		if (documents && created == VBS && !told) {
			told = true;
			assert_true(fake_drop_collection(w->fake, "shop", "orders"));
		}
	}
	assert_int_equal(documents, 1);
	assert_int_equal(created, VBS);
	assert_int_equal(dropped, VBS);
	assert_int_equal(ends,
			 VBS); /* a dropped collection is an event and an end, never an abort */
	world_free(w);
}

static void b8_a_bucket_that_was_flushed_is_noticed(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	unsigned counter = 0;
	struct kept k;
	struct world *w = world_kept(&k, 1);
	write_some(w, VBS, 200, &counter);
	world_open(w);
	settle(w, VBS, PATIENCE);
	world_close(w);
	fake_flush_bucket(w->fake);
	world_open(w);
	nsec deadline = now() + PATIENCE;
	unsigned refused = 0;
	while (refused < VBS && now() < deadline) {
		struct dcp_batch b;
		if (dcp_source_poll(w->source, &b, 20 * NSEC_PER_MS, &e) <= 0)
			continue;
		for (size_t i = 0; i < b.n; i++)
			refused += b.ev[i].kind == DCP_END && b.ev[i].code == ERR_TOKEN_FOREIGN;
	}
	unsigned with_checkpoint = 0;
	for (unsigned vb = 0; vb < VBS; vb++)
		with_checkpoint += k.cp[vb].found;
	assert_true(refused == with_checkpoint && refused > 0);
	world_close(w);
	w->o.policies.foreign = w->o.policies.ahead = CHECKPOINT_RESTART;
	for (unsigned vb = 0; vb < VBS; vb++)
		forget(w, vb);
	write_some(w, VBS, 100, &counter);
	world_open(w);
	settle(w, VBS, PATIENCE);
	world_free(w);
}

static void warm_up_is_waited_for(void **state)
{
	(void)state;
	unsigned counter = 0;
	struct world *w = world_new(&(struct fake_options){ .nodes = 1, .vbuckets = VBS });
	write_some(w, VBS, 100, &counter);
	world_open(w);
	settle(w, VBS, PATIENCE);
	fake_warmup(w->fake, true);
	fake_drop_connections(w->fake, -1);
	nsec until = now() + 300 * NSEC_PER_MS;
	while (now() < until)
		(void)pump_once(w, 20 * NSEC_PER_MS);
	fake_warmup(w->fake, false);
	write_some(w, VBS, 100, &counter);
	settle(w, VBS, PATIENCE);
	assert_true(w->duplicates == 0);
	world_free(w);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_closed_source_resumes_without_repeating),
		cmocka_unit_test(weakness_9_handing_over_saves_first_and_disturbs_nobody_else),
		cmocka_unit_test(late_acks_of_a_vbucket_that_left_are_refused),
		cmocka_unit_test(a_nack_brings_everything_unacknowledged_again),
		cmocka_unit_test(a_finite_source_ends_with_what_was_there),
		cmocka_unit_test(starting_at_the_latest_skips_what_was_there),
		cmocka_unit_test(what_cannot_work_is_a_typed_error_at_once),
		cmocka_unit_test(weakness_16_collections_filter_and_system_events_tell_about_them),
		cmocka_unit_test(b8_a_bucket_that_was_flushed_is_noticed),
		cmocka_unit_test(warm_up_is_waited_for),
	};
	return cmocka_run_group_tests_name("dcp/e2e resume", tests, NULL, NULL);
}
