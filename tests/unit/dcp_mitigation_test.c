#include "tests/test.h"

#include "dcp/mitigation.h"

static void observations_of_both_formats_parse(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct observe_reply r;
	static const uint8_t same[] = { 0,    0,    0x28, 0, 0, 0xb1, 0x6e, 0x43, 0x67,
					0xc1, 0x40, 0,    0, 0, 0,    0,    0,    0x12,
					0x86, 0,    0,    0, 0, 0,    0,    0x12, 0x86 };
	struct packet p = { .value = slice_of(same, sizeof(same)) };
	assert_ok(observe_parse(&p, &r, &e), &e);
	assert_true(r.vb == 40 && r.uuid == 0xb16e4367c140 && r.persisted == 0x1286 &&
		    !r.failed_over);
	static const uint8_t other[] = { 1,    0,    0x14, 0, 0, 0x63, 0x9f, 0xe3, 0x69, 0x9b, 0x64,
					 0,    0,    0,    0, 0, 0,    0,    7,    0,    0,    0,
					 0,    0,    0,    0, 7, 0,    0,    0xa5, 0x47, 0x3e, 0x43,
					 0x12, 0x6e, 0,    0, 0, 0,    0,    0,    0,    7 };
	p.value = slice_of(other, sizeof(other));
	assert_ok(observe_parse(&p, &r, &e), &e);
	assert_true(r.failed_over && r.uuid == 0x639fe3699b64 && r.old_uuid == 0xa5473e43126e &&
		    r.old_last == 7);
	for (size_t cut = 0; cut < sizeof(other); cut++) {
		p.value.len = cut;
		assert_int_equal(observe_parse(&p, &r, &e), ERR_PROTOCOL);
	}
}

static void say(struct mitigation *m, uint32_t copy, uint64_t uuid, uint64_t persisted)
{
	struct observe_reply r = { .uuid = uuid, .persisted = persisted };
	(void)mitigation_answer(m, copy, uuid, STATUS_OK, &r);
}

static void policies_ask_for_all_a_majority_or_the_active_copy(void **state)
{
	(void)state;
	struct mitigation m = { 0 };
	say(&m, 0, 7, 120);
	say(&m, 1, 7, 117);
	assert_true(mitigation_safe(&m, MITIGATE_ALL, 7, 7) == 0); /* the third has not answered */
	assert_true(mitigation_safe(&m, MITIGATE_MAJORITY, 7, 7) == 117);
	assert_true(mitigation_safe(&m, MITIGATE_ACTIVE, 7, 7) == 120);
	assert_true(mitigation_safe(&m, MITIGATE_NONE, 7, 7) == UINT64_MAX);
	say(&m, 2, 7, 50);
	assert_true(mitigation_safe(&m, MITIGATE_ALL, 7, 7) == 50);
	assert_true(mitigation_safe(&m, MITIGATE_ALL, 3, 7) ==
		    117); /* absent copies do not count */
	assert_true(mitigation_safe(&m, MITIGATE_MAJORITY, 3, 7) == 117);
	assert_true(mitigation_safe(&m, MITIGATE_MAJORITY, 1, 7) == 120);
	assert_true(mitigation_safe(&m, MITIGATE_ALL, 0, 7) == 0);
	assert_true(mitigation_safe(&m, MITIGATE_ALL, 7, 8) ==
		    0); /* of another branch nothing is known */
}

static void
a_copy_that_does_not_know_the_branch_holds_back_and_one_on_another_is_reported(void **state)
{
	(void)state;
	struct mitigation m = { 0 };
	struct observe_reply r = { .uuid = 9, .persisted = 5, .failed_over = true, .old_uuid = 7 };
	say(&m, 0, 7, 120);
	assert_false(mitigation_answer(&m, 1, 7, STATUS_KEY_ENOENT, NULL));
	assert_true(mitigation_safe(&m, MITIGATE_ALL, 3, 7) == 0);
	assert_true(mitigation_answer(&m, 0, 7, STATUS_OK, &r));
	assert_true(mitigation_safe(&m, MITIGATE_ACTIVE, 3, 7) == 0);
	assert_true(mitigation_safe(&m, MITIGATE_ACTIVE, 3, 9) == 5);
	say(&m, 0, 9, 6);
	assert_false(
		mitigation_answer(&m, 0, 9, STATUS_ETMPFAIL, NULL)); /* busy: what it said stands */
	assert_true(mitigation_safe(&m, MITIGATE_ACTIVE, 3, 9) == 6);
}

static void the_polling_interval_adapts(void **state)
{
	(void)state;
	struct mitigation m = { 0 };
	struct mitigation_options o = { 0 };
	nsec now = 1000;
	mitigation_schedule(&m, &o, false, now);
	assert_true(m.next_at - now == 5 * NSEC_PER_MS);
	for (int i = 0; i < 10; i++)
		mitigation_schedule(&m, &o, false, now);
	assert_true(m.interval == 15 * NSEC_PER_MS);
	mitigation_schedule(&m, &o, true, now);
	assert_true(m.interval == 5 * NSEC_PER_MS);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(observations_of_both_formats_parse),
		cmocka_unit_test(policies_ask_for_all_a_majority_or_the_active_copy),
		cmocka_unit_test(
			a_copy_that_does_not_know_the_branch_holds_back_and_one_on_another_is_reported),
		cmocka_unit_test(the_polling_interval_adapts),
	};
	return cmocka_run_group_tests_name("dcp/mitigation", tests, NULL, NULL);
}
