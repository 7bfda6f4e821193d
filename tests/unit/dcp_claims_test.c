/* Who loads checkpoints has claimed them: whoever had them before cannot save any more. */
#include "tests/dcp_claims.h"

#include <string.h>

static void weakness_9_who_loads_fences_who_had_it_before(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	static struct shared s;
	struct handle *ha, *hb;
	bool fenced[SHARED_VBS];
	struct checkpoint c[4];
	memset(&s, 0, sizeof(s));
	struct checkpoint_store *a = claiming_open(&s, &ha), *b = claiming_open(&s, &hb);
	for (uint16_t i = 0; i < 4; i++)
		c[i] = (struct checkpoint){ .vb = i };
	assert_ok(checkpoint_load(a, c, 4, &e), &e);
	assert_false(c[0].found || c[3].found);
	for (uint16_t i = 0; i < 4; i++)
		c[i] = at(i, 10u + i);
	assert_ok(checkpoint_save(a, c, 4, &e), &e);

	struct checkpoint two[2] = { { .vb = 1 }, { .vb = 3 } };
	assert_ok(checkpoint_load(b, two, 2, &e), &e); /* b has saved nothing yet */
	assert_true(two[0].pos.seqno == 11 && two[1].pos.seqno == 13);
	for (uint16_t i = 0; i < 4; i++)
		c[i] = at(i, 20u + i);
	assert_int_equal(checkpoint_save(a, c, 4, &e), ERR_FENCED);
	assert_true(s.seqno[0] == 20 && s.seqno[1] == 11 && s.seqno[2] == 22 && s.seqno[3] == 13);
	assert_int_equal(checkpoint_claiming_fenced(a, fenced, SHARED_VBS), 2);
	assert_true(fenced[1] && fenced[3] && !fenced[0]);
	assert_int_equal(checkpoint_claiming_fenced(b, fenced, SHARED_VBS), 0);

	/* looking again at what it holds must not lend it b's CAS */
	c[0] = (struct checkpoint){ .vb = 0 };
	c[1] = (struct checkpoint){ .vb = 2 };
	two[0] = (struct checkpoint){ .vb = 0 };
	assert_ok(checkpoint_load(b, two, 1, &e), &e); /* b takes 0, too */
	assert_ok(checkpoint_load(a, c, 2, &e), &e);
	assert_int_equal(c[0].pos.seqno, 20);
	c[0] = at(0, 30);
	assert_int_equal(checkpoint_save(a, c, 1, &e), ERR_FENCED);
	assert_int_equal(s.seqno[0], 20);

	/* claimed again it is a's, and b is the one who is fenced */
	uint16_t zero = 0;
	checkpoint_claiming_release(a, &zero, 1);
	c[0] = at(0, 31);
	assert_int_equal(checkpoint_save(a, c, 1, &e), ERR_FENCED); /* a late acknowledgement */
	c[0] = (struct checkpoint){ .vb = 0 };
	assert_ok(checkpoint_load(a, c, 1, &e), &e);
	two[0] = at(0, 40);
	assert_int_equal(checkpoint_save(b, two, 1, &e), ERR_FENCED);
	checkpoint_store_free(a);
	checkpoint_store_free(b);
}

/* To claim is to write back what was read. What could not be read is not written over, and yet fenced. */
static void b8_a_claim_leaves_a_damaged_checkpoint_as_it_is(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	static struct shared s;
	struct handle *ha, *hb;
	memset(&s, 0, sizeof(s));
	struct checkpoint_store *a = claiming_open(&s, &ha), *b = claiming_open(&s, &hb);
	struct checkpoint c[3] = { { .vb = 5 }, { .vb = 6 }, { .vb = 7 } };
	s.damaged[6] = true;
	assert_ok(checkpoint_load(a, c, 3, &e), &e);
	assert_true(c[1].vb == 6 && c[1].damaged && !c[0].damaged && !c[2].damaged);
	assert_true(s.damaged[6]);
	/* both begin anew: the first that saves wins */
	struct checkpoint again = { .vb = 6 };
	assert_ok(checkpoint_load(b, &again, 1, &e), &e);
	assert_true(again.damaged);
	c[0] = at(6, 10);
	assert_ok(checkpoint_save(b, c, 1, &e), &e);
	c[0] = at(6, 20);
	assert_int_equal(checkpoint_save(a, c, 1, &e), ERR_FENCED);
	assert_int_equal(s.seqno[6], 10);
	checkpoint_store_free(a);
	checkpoint_store_free(b);
}

static void a_claim_that_crosses_a_save_sees_what_was_saved(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	static struct shared s;
	struct handle *h;
	memset(&s, 0, sizeof(s));
	struct checkpoint_store *a = claiming_open(&s, &h);
	struct checkpoint c[3] = { { .vb = 5 }, { .vb = 6 }, { .vb = 7 } };
	s.interfere = 3;
	s.interfere_vb = 6;
	assert_ok(checkpoint_load(a, c, 3, &e), &e);
	assert_true(c[1].vb == 6 && c[1].pos.seqno == 3 && !c[0].found && !c[2].found);
	uint16_t six = 6;
	checkpoint_claiming_release(a, &six, 1);
	s.interfere = 1000;
	assert_int_equal(checkpoint_load(a, c, 3, &e), ERR_FENCED);
	checkpoint_store_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weakness_9_who_loads_fences_who_had_it_before),
		cmocka_unit_test(b8_a_claim_leaves_a_damaged_checkpoint_as_it_is),
		cmocka_unit_test(a_claim_that_crosses_a_save_sees_what_was_saved),
	};
	return cmocka_run_group_tests_name("dcp/claims", tests, NULL, NULL);
}
