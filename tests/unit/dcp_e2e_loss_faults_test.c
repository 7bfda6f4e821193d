/* What is taken away while it is read: the bucket, its content, a collection, the right to read, the password. Each is
 * told, none ends the process, and what comes back is read whole. */
#include "tests/dcp_memory.h"
#include "tests/dcp_world.h"

enum { VBS = 8 };

static struct world *world_kept(struct memory *m)
{
	struct world *w = world_new(&(struct fake_options){ .nodes = 2, .vbuckets = VBS });
	memory_init(m);
	w->o.store = &m->base;
	w->o.checkpoint_interval = 20 * NSEC_PER_MS;
	return w;
}

/* Until the last error of a connection says `what`. */
static void until_said(struct world *w, const char *what)
{
	struct dcp_status st = { 0 };
	for (nsec limit = now() + PATIENCE; now() < limit;) {
		(void)pump_once(w, 2 * NSEC_PER_MS);
		(void)dcp_source_status(w->source, &st, NULL, NULL);
		if (strstr(st.last_error, what))
			return;
	}
	fail_msg("the last error does not say \"%s\": %s", what, st.last_error);
}

static void read_whole(struct world *w, unsigned *counter)
{
	write_some(w, VBS, 200, counter);
	settle(w, VBS, PATIENCE);
}

/* The user is one whose rights and password the test changes. */
static void as_reader(struct world *w, const char *roles)
{
	assert_true(fake_set_user(w->fake, "reader", "secret", roles));
	w->o.user = "reader";
	w->o.password = "secret";
}

/* One that has read all there is; roles NULL: as the administrator. */
static struct world *world_read(struct memory *m, unsigned *counter, const char *roles)
{
	struct world *w = world_kept(m);
	if (roles)
		as_reader(w, roles);
	world_open(w);
	read_whole(w, counter);
	return w;
}

/* ---- the bucket ---- */

static void goes_back_to_nothing(void (*take_away)(struct fake *f))
{
	unsigned counter = 0;
	struct memory m;
	struct world *w = world_read(&m, &counter, NULL);
	take_away(w->fake);
	read_whole(w, &counter);
	assert_true(w->rollbacks >= VBS);
	world_close(w);
	world_open(w); /* from the checkpoints of the new branches */
	uint64_t rollbacks = w->rollbacks;
	read_whole(w, &counter);
	assert_true(w->rollbacks == rollbacks);
	world_free(w);
}

/* The same bucket, other branches. */
static void a_bucket_flushed_while_it_is_read_goes_back_to_nothing(void **state)
{
	(void)state;
	goes_back_to_nothing(fake_empty_bucket);
}

/* Another uuid. */
static void a_bucket_recreated_while_it_is_read_goes_back_to_nothing(void **state)
{
	(void)state;
	goes_back_to_nothing(fake_flush_bucket);
}

static void a_bucket_that_is_dropped_is_waited_for(void **state)
{
	(void)state;
	unsigned counter = 0;
	struct memory m;
	struct world *w = world_read(&m, &counter, NULL);
	assert_true(fake_delete_bucket(w->fake, "default"));
	until_said(w, "there is no bucket default");
	assert_true(fake_create_bucket(w->fake, &(struct fake_bucket){ .name = "default",
								       .vbuckets = VBS }));
	assert_true(fake_use_bucket(w->fake, "default"));
	read_whole(w, &counter);
	assert_true(w->rollbacks >= VBS);
	world_free(w);
}

/* ---- the collection ---- */

static void a_collection_dropped_while_nobody_reads_is_a_typed_end(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct memory m;
	struct world *w = world_kept(&m);
	const char *names[] = { "orders" };
	assert_true(fake_create_scope(w->fake, "shop") != 0);
	uint32_t id = fake_create_collection(w->fake, "shop", "orders");
	w->o.scope = "shop";
	w->o.collections = names;
	w->o.n_collections = 1;
	(void)fake_set(w->fake, 1, id, "k", SLICE_LIT("1"));
	world_open(w);
	for (nsec limit = now() + PATIENCE; w->events < 1 && now() < limit;)
		(void)pump_once(w, 2 * NSEC_PER_MS);
	assert_int_equal(w->events, 1);
	fake_fault(w->fake,
		   &(struct fake_fault){ .kind = FAKE_DOWN, .node = -1, .vb = -1, .count = 1 });
	assert_true(fake_drop_collection(w->fake, "shop", "orders"));
	fake_clear_faults(w->fake);
	unsigned ends = 0;
	for (nsec limit = now() + PATIENCE; ends < VBS && now() < limit;) {
		struct dcp_batch b;
		if (dcp_source_poll(w->source, &b, 2 * NSEC_PER_MS, &e) <= 0)
			continue;
		for (size_t i = 0; i < b.n; i++)
			ends += b.ev[i].kind == DCP_END && b.ev[i].code == ERR_NOTFOUND;
		(void)dcp_source_ack_batch(w->source, b.ev, b.n);
	}
	assert_int_equal(ends, VBS);
	world_free(w);
}

/* ---- the right ---- */

static void who_may_not_stream_is_told_at_once(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct memory m;
	struct world *w = world_kept(&m);
	as_reader(w, "data_reader[*]");
	w->o.connect_timeout = 2 * PATIENCE;
	nsec start = now();
	assert_int_equal(dcp_source_open(&w->o, &w->source, &e), ERR_AUTH);
	assert_true(now() - start < PATIENCE); /* it is not tried until the time is up */
	w->source = NULL;
	assert_null(strstr(e.msg, "secret"));
	assert_true(fake_set_user(w->fake, "reader", NULL, "data_dcp_reader[*]"));
	world_open(w);
	world_free(w);
}

static void a_right_that_is_taken_away_and_given_back_loses_nothing(void **state)
{
	(void)state;
	unsigned counter = 0;
	struct memory m;
	struct world *w = world_read(&m, &counter, "data_dcp_reader[*]");
	assert_true(fake_set_user(w->fake, "reader", NULL, "data_reader[*]"));
	write_some(w, VBS, 200, &counter);
	fake_drop_connections(w->fake, -1);
	until_said(w, "may not stream bucket default");
	assert_true(fake_set_user(w->fake, "reader", NULL, "data_dcp_reader[*]"));
	read_whole(w, &counter);
	assert_true(w->rollbacks == 0 && w->duplicates == 0);
	world_free(w);
}

static void a_password_that_changes_is_said_and_does_not_end_it(void **state)
{
	(void)state;
	unsigned counter = 0;
	struct memory m;
	struct world *w = world_read(&m, &counter, "data_dcp_reader[*]");
	assert_true(fake_set_user(w->fake, "reader", "another", "data_dcp_reader[*]"));
	fake_drop_connections(w->fake, -1);
	until_said(w, "the login of user reader was refused");
	write_some(w, VBS, 200, &counter);
	assert_true(fake_set_user(w->fake, "reader", "secret", "data_dcp_reader[*]"));
	read_whole(w, &counter);
	assert_true(w->rollbacks == 0 && w->duplicates == 0);
	world_free(w);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_bucket_flushed_while_it_is_read_goes_back_to_nothing),
		cmocka_unit_test(a_bucket_recreated_while_it_is_read_goes_back_to_nothing),
		cmocka_unit_test(a_bucket_that_is_dropped_is_waited_for),
		cmocka_unit_test(a_collection_dropped_while_nobody_reads_is_a_typed_end),
		cmocka_unit_test(who_may_not_stream_is_told_at_once),
		cmocka_unit_test(a_right_that_is_taken_away_and_given_back_loses_nothing),
		cmocka_unit_test(a_password_that_changes_is_said_and_does_not_end_it),
	};
	return cmocka_run_group_tests_name("dcp/e2e loss faults", tests, NULL, NULL);
}
