/* Memberships without others, the share and the hand-over. */
#include "tests/test.h"

#include "dcp/membership.h"
#include "os/env.h"

#include <stdio.h>
#include <string.h>

/* ---- kinds that need nobody else ---- */

static void a_static_member_has_its_numbers_and_bad_ones_are_refused(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct membership *m;
	struct membership_info i;
	nsec next;
	assert_ok(membership_static(3, 5, &m, &e), &e);
	assert_int_equal(membership_step(m, &i, &next, &e), 1);
	assert_true(i.member == 3 && i.total == 5);
	assert_int_equal(membership_dynamic_set(m, 1, 2, &e), ERR_INVALID);
	membership_leave(m);
	membership_free(m);
	assert_int_equal(membership_static(0, 5, &m, &e), ERR_INVALID);
	assert_int_equal(membership_static(6, 5, &m, &e), ERR_INVALID);
	assert_int_equal(membership_static(1, 0, &m, &e), ERR_INVALID);
	assert_int_equal(membership_static(1, MEMBERS_MAX + 1, &m, &e), ERR_INVALID);
}

static void a_dynamic_member_has_no_share_until_it_is_told(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct membership *m;
	struct membership_info i;
	nsec next;
	assert_ok(membership_dynamic(&m, &e), &e);
	assert_int_equal(membership_step(m, &i, &next, &e), 1);
	assert_int_equal(i.member, 0);
	uint64_t before = i.generation;
	assert_int_equal(membership_dynamic_set(m, 3, 2, &e), ERR_INVALID);
	assert_ok(membership_dynamic_set(m, 2, 2, &e), &e);
	assert_int_equal(membership_step(m, &i, &next, &e), 1);
	assert_true(i.member == 2 && i.total == 2 && i.generation > before);
	assert_ok(membership_dynamic_set(m, 0, 0, &e), &e);
	assert_int_equal(membership_step(m, &i, &next, &e), 1);
	assert_int_equal(i.member, 0);
	membership_free(m);
}

static int ordinal(const char *host, uint32_t total, struct membership_info *i)
{
	struct err e = ERR_INIT;
	struct membership *m;
	nsec next;
	struct statefulset_options o = { .host = host, .total = total };
	int rc = membership_statefulset(&o, &m, &e);
	if (rc < 0)
		return rc;
	assert_int_equal(membership_step(m, i, &next, &e), 1);
	membership_free(m);
	return 0;
}

static void a_pod_of_a_stateful_set_is_numbered_by_its_host_name(void **state)
{
	(void)state;
	struct membership_info i;
	assert_int_equal(ordinal("orders-3", 5, &i), 0);
	assert_true(i.member == 4 && i.total == 5);
	assert_int_equal(ordinal("my-2-app-0.svc.cluster.local", 1, &i), 0);
	assert_true(i.member == 1 && i.total == 1);
	/* go-dcp panics here */
	assert_int_equal(ordinal("orders-5", 5, &i), ERR_INVALID);
	static const char *const bad[] = { "orders",     "orders-",   "-3", "3",
					   "orders-x",   "orders-3x", "",   "orders-99999999999",
					   "orders-4096" };
	for (size_t k = 0; k < ARRAY_LEN(bad); k++)
		assert_int_equal(ordinal(bad[k], 5, &i), ERR_INVALID);
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void a_stateful_set_that_scales_tells_its_pods_through_a_file(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct membership *m;
	struct membership_info i;
	nsec next;
	char path[256];
	const char *dir = test_tmpdir();
	(void)snprintf(path, sizeof(path), "%s/annotations", dir);
	struct statefulset_options o = { .host = "a-2",
					 .total_file = path,
					 .total_key = "members" };
	assert_int_equal(membership_statefulset(&o, &m, &e), ERR_NOTFOUND);
	write_file(path, "other=\"9\"\nmembers2=\"8\"\nmembers=\"4\"\n");
	assert_ok(membership_statefulset(&o, &m, &e), &e);
	assert_int_equal(membership_step(m, &i, &next, &e), 1);
	assert_true(i.member == 3 && i.total == 4 && next == 10 * NSEC_PER_SEC);
	write_file(path, "members=\"2\"\n");
	assert_int_equal(membership_step(m, &i, &next, &e), 1);
	assert_int_equal(i.member, 0); /* on its way out */
	write_file(path, "members=\"many\"\n");
	assert_int_equal(membership_step(m, &i, &next, &e), 1);
	assert_int_equal(m->trouble.code, ERR_INVALID);
	assert_int_equal(i.member, 0);
	write_file(path, "members=\"3\"");
	assert_int_equal(membership_step(m, &i, &next, &e), 1);
	assert_true(i.member == 3 && i.total == 3 && m->trouble.code == 0);
	membership_free(m);
	test_rmdir(dir);
}

/* ---- the share ---- */

enum { VBS = 1024 };

static void spread(enum spread how, uint32_t n, uint32_t total, uint32_t *owner)
{
	struct err e = ERR_INIT;
	for (uint32_t i = 0; i < n; i++)
		owner[i] = 0;
	assert_ok(spread_all(how, n, total, owner, &e), &e);
}

static void check_balance(const uint32_t *owner, uint32_t n, uint32_t total)
{
	static uint32_t count[VBS + 2];
	memset(count, 0, sizeof(count));
	for (uint32_t i = 0; i < n; i++) {
		assert_in_range(owner[i], 1, total);
		count[owner[i]]++;
	}
	for (uint32_t m = 1; m <= MIN(total, n); m++)
		assert_in_range(count[m], n / total, (n + total - 1) / total);
}

static void every_vbucket_has_one_owner_and_shares_differ_by_at_most_one(void **state)
{
	(void)state;
	static uint32_t owner[VBS];
	static const uint32_t sizes[] = { 1, 2, 7, 16, 64, 100, 1024 };
	for (size_t s = 0; s < ARRAY_LEN(sizes); s++)
		for (uint32_t total = 1; total <= 70; total++) {
			spread(SPREAD_STEADY, sizes[s], total, owner);
			check_balance(owner, sizes[s], total);
			spread(SPREAD_CONTIGUOUS, sizes[s], total, owner);
			check_balance(owner, sizes[s], total);
		}
	spread(SPREAD_STEADY, VBS, MEMBERS_MAX, owner);
	check_balance(owner, VBS, MEMBERS_MAX);
}

/* go-dcp panics with more members than vBuckets */
static void members_beyond_the_number_of_vbuckets_get_nothing(void **state)
{
	(void)state;
	uint32_t owner[4];
	spread(SPREAD_STEADY, 4, 9, owner);
	for (int i = 0; i < 4; i++)
		for (int j = 0; j < i; j++)
			assert_int_not_equal(owner[i], owner[j]);
}

static uint32_t moved(const uint32_t *a, const uint32_t *b, uint32_t n)
{
	uint32_t count = 0;
	for (uint32_t i = 0; i < n; i++)
		count += a[i] != b[i];
	return count;
}

static void a_new_member_moves_its_own_share_and_nothing_else(void **state)
{
	(void)state;
	static uint32_t a[VBS], b[VBS];
	spread(SPREAD_STEADY, VBS, 1, a);
	for (uint32_t total = 2; total <= 130; total++) {
		spread(SPREAD_STEADY, VBS, total, b);
		assert_int_equal(moved(a, b, VBS), VBS / total);
		for (uint32_t i = 0; i < VBS; i++)
			assert_true(b[i] == a[i] || b[i] == total);
		memcpy(a, b, sizeof(a));
	}
}

/* Member `gone` leaves, the last one takes its number: the ids of the owners, before and after. */
static void a_member_that_leaves_the_middle_moves_twice_the_least(void **state)
{
	(void)state;
	static uint32_t a[VBS], b[VBS];
	for (uint32_t total = 2; total <= 40; total++)
		for (uint32_t gone = 1; gone <= total; gone++) {
			uint32_t count = 0;
			spread(SPREAD_STEADY, VBS, total, a);
			spread(SPREAD_STEADY, VBS, total - 1, b);
			for (uint32_t i = 0; i < VBS; i++)
				count += a[i] != (b[i] == gone ? total : b[i]);
			assert_in_range(count, VBS / total, 2 * ((VBS + total - 1) / total));
		}
}

/* ---- the hand-over ---- */

static struct membership_info info(uint32_t member, uint32_t total)
{
	return (struct membership_info){ .member = member, .total = total };
}

static void what_goes_goes_at_once_and_what_comes_comes_after_the_delay(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct handover h;
	uint16_t vb[16];
	size_t n;
	nsec due;
	assert_ok(handover_init(&h, SPREAD_CONTIGUOUS, 12, 100, &e), &e);
	assert_int_equal(handover_next(&h, 0, vb, &n, &due), 0);
	assert_int_equal(due, -1);
	struct membership_info i = info(1, 1); /* alone: nobody to wait for */
	assert_ok(handover_see(&h, &i, 0, &e), &e);
	assert_int_equal(handover_next(&h, 0, vb, &n, &due), 1);
	assert_int_equal(n, 12);
	i = info(2, 2); /* 0..5 go; 6..11 stay */
	assert_ok(handover_see(&h, &i, 10, &e), &e);
	assert_int_equal(handover_next(&h, 10, vb, &n, &due), 1);
	assert_true(n == 6 && vb[0] == 6 && vb[5] == 11 && due == -1);
	i = info(2, 3); /* 4..7: 6 and 7 stay, 4 and 5 come later */
	assert_ok(handover_see(&h, &i, 20, &e), &e);
	assert_int_equal(handover_next(&h, 20, vb, &n, &due), 1);
	assert_true(n == 2 && vb[0] == 6 && vb[1] == 7 && due == 120);
	assert_int_equal(handover_next(&h, 119, vb, &n, &due), 0);
	assert_int_equal(due, 120);
	assert_ok(handover_see(&h, &i, 60, &e), &e); /* the same again restarts nothing */
	assert_int_equal(handover_next(&h, 120, vb, &n, &due), 1);
	assert_true(n == 4 && vb[0] == 4 && vb[3] == 7 && due == -1);
	i = info(3, 3); /* a change before the delay is over restarts it */
	assert_ok(handover_see(&h, &i, 200, &e), &e);
	assert_int_equal(handover_next(&h, 200, vb, &n, &due), 1);
	assert_int_equal(n, 0);
	i = info(1, 3);
	assert_ok(handover_see(&h, &i, 250, &e), &e);
	assert_int_equal(handover_next(&h, 300, vb, &n, &due), 0);
	assert_int_equal(due, 350);
	i = info(0, 0); /* out of touch */
	assert_ok(handover_see(&h, &i, 340, &e), &e);
	assert_int_equal(handover_next(&h, 400, vb, &n, &due), 0);
	assert_int_equal(due, -1);
	handover_done(&h);
}

static void what_was_lost_leaves_at_once_and_comes_back_later(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct handover h;
	uint16_t vb[4];
	bool lost[4] = { false, true, false, false };
	size_t n;
	nsec due;
	struct membership_info i = info(1, 1);
	assert_ok(handover_init(&h, SPREAD_STEADY, 4, 0, &e), &e);
	assert_ok(handover_see(&h, &i, 0, &e), &e);
	assert_int_equal(handover_next(&h, 0, vb, &n, &due), 1);
	handover_lost(&h, lost, 0, 50);
	assert_int_equal(handover_next(&h, 0, vb, &n, &due), 1);
	assert_true(n == 3 && vb[1] == 2 && due == 50);
	assert_int_equal(handover_next(&h, 50, vb, &n, &due), 1);
	assert_int_equal(n, 4);
	handover_done(&h);
}

static void what_others_still_have_comes_when_they_have_let_it_go(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct handover h;
	uint16_t vb[4];
	bool busy[4] = { false, true, true, false };
	size_t n;
	nsec due;
	struct membership_info i = info(1, 1);
	assert_ok(handover_init(&h, SPREAD_STEADY, 4, 0, &e), &e);
	assert_ok(handover_see(&h, &i, 0, &e), &e);
	assert_true(handover_grows(&h, 0));
	handover_busy(&h, busy, 30);
	assert_int_equal(handover_next(&h, 0, vb, &n, &due), 1);
	assert_true(n == 2 && vb[1] == 3 && due == 30);
	assert_false(handover_grows(&h, 29));
	assert_int_equal(handover_next(&h, 30, vb, &n, &due), 0); /* nothing is free yet */
	assert_int_equal(due, 60);
	busy[1] = false;
	handover_busy(&h, busy, 30);
	assert_int_equal(handover_next(&h, 60, vb, &n, &due), 1);
	assert_true(n == 3 && due == 90 && h.changed == 0);
	handover_busy(&h, NULL, 30);
	assert_int_equal(handover_next(&h, 90, vb, &n, &due), 1);
	assert_true(n == 4 && due == -1);
	handover_done(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_static_member_has_its_numbers_and_bad_ones_are_refused),
		cmocka_unit_test(a_dynamic_member_has_no_share_until_it_is_told),
		cmocka_unit_test(a_pod_of_a_stateful_set_is_numbered_by_its_host_name),
		cmocka_unit_test(a_stateful_set_that_scales_tells_its_pods_through_a_file),
		cmocka_unit_test(every_vbucket_has_one_owner_and_shares_differ_by_at_most_one),
		cmocka_unit_test(members_beyond_the_number_of_vbuckets_get_nothing),
		cmocka_unit_test(a_new_member_moves_its_own_share_and_nothing_else),
		cmocka_unit_test(a_member_that_leaves_the_middle_moves_twice_the_least),
		cmocka_unit_test(what_goes_goes_at_once_and_what_comes_comes_after_the_delay),
		cmocka_unit_test(what_was_lost_leaves_at_once_and_comes_back_later),
		cmocka_unit_test(what_others_still_have_comes_when_they_have_let_it_go),
	};
	return cmocka_run_group_tests_name("dcp/membership", tests, NULL, NULL);
}
