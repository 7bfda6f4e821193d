/* Rollbacks and what the checkpoints hold meanwhile, against the simulated cluster. */
#include "tests/dcp_memory.h"
#include "tests/dcp_world.h"

enum { VBS = 4 };

static void write_keys(struct world *w, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++) {
		char key[24];
		(void)snprintf(key, sizeof(key), "k%u", i);
		(void)fake_set(w->fake, 0, 0, key, SLICE_LIT("{}"));
	}
}

/* The server has less of the branch for a moment, and everything again when the killed consumer comes back. */
static void a_consumer_killed_between_undoing_and_acknowledging_gets_everything_again(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct world *w = world_new(&(struct fake_options){ .vbuckets = VBS });
	struct memory m;
	memory_init(&m);
	w->o.store = &m.base;
	write_keys(w, 0, 20);
	world_open(w);
	settle(w, VBS, PATIENCE);
	assert_ok(dcp_source_commit(w->source, &e), &e);
	assert_true(m.cp[0].pos.seqno == 20);
	w->ack = false;
	fake_fault(w->fake,
		   &(struct fake_fault){
			   .kind = FAKE_ROLLBACK, .node = -1, .vb = 0, .n = 10, .count = 1 });
	fake_drop_connections(w->fake, -1);
	nsec deadline = now() + PATIENCE;
	while (w->rollbacks == 0 && now() < deadline)
		(void)pump_once(w, 20 * NSEC_PER_MS);
	assert_true(w->rollbacks == 1);
	assert_true(w->seen[0].item[11].hash == 0);
	memory_moment left;
	memory_look(&m, left); /* killed: nothing is saved any more */
	assert_true(left[0].pos.seqno <= 10);
	world_close(w);
	memory_go_back(&m, left);
	w->ack = true;
	world_open(w);
	settle(w, VBS, PATIENCE);
	world_free(w);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			a_consumer_killed_between_undoing_and_acknowledging_gets_everything_again),
	};
	return cmocka_run_group_tests_name("dcp/e2e_rollback", tests, NULL, NULL);
}
