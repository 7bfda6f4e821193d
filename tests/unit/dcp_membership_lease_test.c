/* Leader election and numbers over Leases, against a small API server. Each candidate has a clock of its own that the
 * test turns, so a test takes no time and no test depends on it. */
#include "tests/test.h"

#include "dcp/membership.h"
#include "os/env.h"
#include "tests/clocked_env.h"
#include "tests/fake/lease.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- a member with a clock of its own ---- */

enum { MEMBERS = 5 };

struct place {
	const char *dir;
	char token_file[256], ca_file[256];
	struct lease_fake *fake;
	struct clocked clock[MEMBERS];
	struct membership *m[MEMBERS];
	struct membership_info info[MEMBERS];
	struct lease_options o;
};

static void write_token(struct place *p, const char *token)
{
	FILE *f = fopen(p->token_file, "w");
	assert_non_null(f);
	assert_true(fprintf(f, "%s\n", token) > 0);
	assert_int_equal(fclose(f), 0);
}

static void place_open(struct place *p, bool tls)
{
	*p = (struct place){ .dir = test_tmpdir() };
	(void)snprintf(p->token_file, sizeof(p->token_file), "%s/token", p->dir);
	(void)snprintf(p->ca_file, sizeof(p->ca_file), "%s/ca.crt", p->dir);
	write_token(p, "secret-1");
	p->fake = lease_fake_start("secret-1", tls ? p->ca_file : NULL);
	assert_non_null(p->fake);
	p->o = (struct lease_options){ .api = lease_fake_url(p->fake),
				       .space = "shop",
				       .name = "orders",
				       .token_file = p->token_file,
				       .ca_file = p->ca_file,
				       .timeout = PATIENCE };
	for (int i = 0; i < MEMBERS; i++)
		p->clock[i] = clocked_env((i + 1) * 100000 * NSEC_PER_SEC, (i - 2) * 7200000);
}

static void place_close(struct place *p)
{
	for (int i = 0; i < MEMBERS; i++)
		membership_free(p->m[i]);
	lease_fake_stop(p->fake);
	test_rmdir(p->dir);
}

static void join(struct place *p, int i)
{
	char id[8] = { 'p', 'o', 'd', '-', (char)('a' + i) };
	struct err e = ERR_INIT;
	struct lease_options o = p->o;
	o.env = &p->clock[i].base;
	o.id = id;
	assert_ok(membership_lease(&o, &p->m[i], &e), &e);
}

static void die(struct place *p, int i)
{
	membership_free(p->m[i]);
	p->m[i] = NULL;
}

static void step(struct place *p, int i)
{
	struct err e = ERR_INIT;
	nsec next;
	if (membership_step(p->m[i], &p->info[i], &next, &e) != 1)
		fail_msg("step: %s", e.msg);
	assert_int_equal(next, NSEC_PER_SEC);
}

/* Seconds pass, everybody steps at each, in turn. At no time two lead, and no two have one number of one total. */
static void pass(struct place *p, int seconds)
{
	for (int s = 0; s < seconds; s++) {
		for (int i = 0; i < MEMBERS; i++)
			p->clock[i].mono += NSEC_PER_SEC;
		for (int i = 0; i < MEMBERS; i++)
			if (p->m[i])
				step(p, i);
		int leaders = 0;
		for (int i = 0; i < MEMBERS; i++)
			leaders += p->m[i] && membership_lease_leads(p->m[i]);
		assert_in_range(leaders, 0, 1);
		for (int i = 0; i < MEMBERS; i++)
			for (int j = 0; j < i; j++)
				if (p->m[i] && p->m[j] && p->info[i].member &&
				    p->info[i].generation == p->info[j].generation)
					assert_int_not_equal(p->info[i].member, p->info[j].member);
	}
}

/* So many, over plain HTTP, that have found each other. */
static void group_of(struct place *p, int n)
{
	place_open(p, false);
	for (int i = 0; i < n; i++)
		join(p, i);
	pass(p, 3);
}

static int leader(struct place *p)
{
	for (int i = 0; i < MEMBERS; i++)
		if (p->m[i] && membership_lease_leads(p->m[i]))
			return i;
	return -1;
}

#define assert_numbered(p, i, n, of) assert_number((p)->info[i], n, of)

/* ---- tests ---- */

static void one_member_leads_itself_over_https(void **state)
{
	(void)state;
	struct place p;
	char holder[64];
	place_open(&p, true);
	join(&p, 0);
	pass(&p, 1);
	assert_int_equal(leader(&p), 0);
	assert_numbered(&p, 0, 1, 1);
	assert_true(lease_fake_holder(p.fake, "orders", holder, sizeof(holder)));
	assert_string_equal(holder, "pod-a");
	membership_leave(p.m[0]);
	assert_true(lease_fake_holder(p.fake, "orders", holder, sizeof(holder)));
	assert_string_equal(holder, "");
	assert_int_equal(lease_fake_leases(p.fake), 1);
	place_close(&p);
}

static void a_server_whose_certificate_nobody_trusts_gets_no_token(void **state)
{
	(void)state;
	struct place p;
	place_open(&p, true);
	p.o.ca_file = "/etc/ssl/certs/ca-certificates.crt";
	join(&p, 0);
	pass(&p, 1);
	assert_int_equal(p.m[0]->trouble.code, ERR_NET);
	assert_int_equal(p.info[0].member, 0);
	assert_int_equal(lease_fake_leases(p.fake), 0);
	place_close(&p);
}

static void three_candidates_have_one_leader_and_three_numbers(void **state)
{
	(void)state;
	struct place p;
	group_of(&p, 3);
	assert_int_equal(leader(&p), 0);
	for (int i = 0; i < 3; i++)
		assert_numbered(&p, i, i + 1, 3);
	assert_int_equal(p.info[0].generation, p.info[2].generation);
	uint64_t before = p.info[0].generation;
	pass(&p, 20);
	assert_int_equal(p.info[0].generation, before); /* nothing changes by itself */
	place_close(&p);
}

static void when_the_leader_dies_another_leads_and_the_list_goes_on(void **state)
{
	(void)state;
	struct place p;
	group_of(&p, 3);
	die(&p, 0);
	pass(&p, 7);
	assert_int_equal(leader(&p), -1); /* its time is not over */
	assert_numbered(&p, 1, 2, 3);
	assert_numbered(&p, 2, 3, 3);
	pass(&p, 3);
	assert_int_equal(leader(&p), 1);
	assert_numbered(&p, 1, 2, 3); /* the dead one may still be at work */
	pass(&p, 10);
	assert_numbered(&p, 1, 2, 2);
	assert_numbered(&p, 2, 1, 2); /* the last takes the number of the one who left */
	assert_int_equal(lease_fake_leases(p.fake), 4);
	pass(&p, 160);
	assert_int_equal(lease_fake_leases(p.fake), 3); /* what it left behind is swept away */
	assert_numbered(&p, 2, 1, 2);
	place_close(&p);
}

static void a_follower_that_dies_or_leaves_loses_its_number(void **state)
{
	(void)state;
	struct place p;
	group_of(&p, 4);
	membership_leave(p.m[3]); /* tells: at once */
	die(&p, 3);
	pass(&p, 2);
	assert_numbered(&p, 2, 3, 3);
	die(&p, 1); /* does not tell */
	pass(&p, 6);
	assert_numbered(&p, 0, 1, 3);
	pass(&p, 5);
	assert_numbered(&p, 0, 1, 2);
	assert_numbered(&p, 2, 2, 2);
	join(&p, 4);
	pass(&p, 3);
	assert_numbered(&p, 4, 3, 3);
	place_close(&p);
}

static void a_leader_that_leaves_is_followed_at_once(void **state)
{
	(void)state;
	struct place p;
	group_of(&p, 3);
	membership_leave(p.m[0]);
	die(&p, 0);
	pass(&p, 2);
	assert_int_equal(leader(&p), 1);
	assert_numbered(&p, 2, 1, 2);
	place_close(&p);
}

static void a_paused_leader_finds_itself_replaced_and_joins_again(void **state)
{
	(void)state;
	struct place p;
	group_of(&p, 2);
	struct membership *paused = p.m[0];
	p.m[0] = NULL;
	pass(&p, 30);
	assert_int_equal(leader(&p), 1);
	assert_numbered(&p, 1, 1, 1);
	p.m[0] = paused; /* it believes that it leads until it looks */
	step(&p, 0);
	assert_false(membership_lease_leads(p.m[0]));
	assert_numbered(&p, 0, 0, 0);
	pass(&p, 3);
	assert_numbered(&p, 0, 2, 2);
	assert_int_equal(leader(&p), 1);
	place_close(&p);
}

/* The leader slept as long, so nobody took it off the list; and yet it may have been off it meanwhile. */
static void a_member_that_slept_too_long_has_no_number_for_a_step(void **state)
{
	(void)state;
	struct place p;
	group_of(&p, 2);
	assert_int_equal(p.info[1].until, p.clock[1].mono + 5 * NSEC_PER_SEC);
	p.clock[1].mono += 6 * NSEC_PER_SEC;
	step(&p, 1);
	assert_numbered(&p, 1, 0, 0);
	step(&p, 1);
	assert_numbered(&p, 1, 2, 2);
	place_close(&p);
}

static void members_and_onlookers_see_the_list(void **state)
{
	(void)state;
	struct place p;
	struct err e = ERR_INIT;
	struct membership_peer peer[4];
	group_of(&p, 2);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(membership_peers(p.m[i], peer, 4), 2);
		assert_true(strcmp(peer[0].id, "pod-a") == 0 && strcmp(peer[1].id, "pod-b") == 0);
		assert_true(peer[0].leads && !peer[1].leads && peer[i].self && !peer[1 - i].self);
		assert_true(peer[1].member == 2 && (peer[1].silent >= 0) == (i == 0));
	}
	join(&p, 2); /* has not stepped yet: it is no member */
	assert_ok(membership_look(p.m[2], &e), &e);
	assert_int_equal(membership_peers(p.m[2], peer, 1), 2);
	assert_true(strcmp(peer[0].id, "pod-a") == 0 && peer[0].leads && peer[0].seen_ms > 0);
	assert_int_equal(lease_fake_leases(p.fake), 3); /* nothing was written */
	place_close(&p);
}

static void without_the_api_server_everybody_stops_before_being_given_up(void **state)
{
	(void)state;
	struct place p;
	group_of(&p, 2);
	lease_fake_fail(p.fake, "", 500, 1000000);
	pass(&p, 5);
	assert_int_equal(p.m[1]->trouble.code, ERR_NET);
	assert_numbered(&p, 1, 2, 2); /* may pass */
	pass(&p, 1);
	assert_numbered(&p, 0, 0, 0);
	assert_numbered(&p, 1, 0, 0);
	assert_int_equal(leader(&p), -1);
	lease_fake_fail(p.fake, "", 0, 0);
	pass(&p, 10);
	assert_int_equal(p.m[1]->trouble.code, 0);
	assert_true(leader(&p) >= 0);
	assert_numbered(&p, 0, 1, 2); /* nobody has taken the numbers meanwhile */
	assert_numbered(&p, 1, 2, 2);
	place_close(&p);
}

static void a_conflict_costs_a_round_and_no_number(void **state)
{
	(void)state;
	struct place p;
	group_of(&p, 2);
	p.clock[0].mono += NSEC_PER_SEC;
	step(&p, 1);
	lease_fake_fail(p.fake, "PATCH", 409, 2); /* its own Lease and the group's */
	step(&p, 0);
	assert_int_equal(p.m[0]->trouble.code, ERR_CONFLICT);
	assert_numbered(&p, 0, 1, 2);
	lease_fake_fail(p.fake, "", 0, 0);
	pass(&p, 2);
	assert_int_equal(leader(&p), 0);
	assert_numbered(&p, 1, 2, 2);
	place_close(&p);
}

static void a_slow_api_server_is_given_up_in_time(void **state)
{
	(void)state;
	struct place p;
	place_open(&p, false);
	p.o.timeout = 300 * NSEC_PER_MS;
	join(&p, 0);
	for (int i = 0; i < 20 && leader(&p) != 0;
	     i++) /* of a machine that is slow itself it gives up as well */
		pass(&p, 1);
	lease_fake_delay(p.fake, 900);
	pass(&p, 1);
	assert_int_equal(p.m[0]->trouble.code, ERR_TIMEOUT);
	assert_numbered(&p, 0, 1, 1);
	lease_fake_delay(p.fake, 0);
	for (int i = 0; i < 20 && p.m[0]->trouble.code; i++) /* the fake is still at it */
		pass(&p, 1);
	pass(&p, 2);
	assert_int_equal(p.m[0]->trouble.code, 0);
	assert_int_equal(leader(&p), 0);
	place_close(&p);
}

static void a_bad_token_is_an_error_at_first_and_trouble_later(void **state)
{
	(void)state;
	struct place p;
	struct err e = ERR_INIT;
	struct membership_info i;
	nsec next;
	place_open(&p, false);
	write_token(&p, "wrong");
	join(&p, 0);
	assert_int_equal(membership_step(p.m[0], &i, &next, &e), ERR_AUTH);
	assert_null(strstr(e.msg, "wrong")); /* never the token itself */
	write_token(&p, "secret-1");
	pass(&p, 1);
	assert_numbered(&p, 0, 1, 1);
	lease_fake_token(p.fake, "secret-2"); /* rotated: the file follows */
	pass(&p, 1);
	assert_int_equal(p.m[0]->trouble.code, ERR_AUTH);
	assert_numbered(&p, 0, 1, 1);
	write_token(&p, "secret-2");
	pass(&p, 1);
	assert_int_equal(p.m[0]->trouble.code, 0);
	assert_int_equal(leader(&p), 0);
	place_close(&p);
}

static void bad_names_and_times_are_refused(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct membership *m;
	struct lease_options o = { .space = "s", .name = "n", .id = "Pod A" };
	assert_int_equal(membership_lease(&o, &m, &e), ERR_INVALID);
	o.id = "pod/a";
	assert_int_equal(membership_lease(&o, &m, &e), ERR_INVALID);
	o.id = "pod-a";
	o.name = "";
	assert_int_equal(membership_lease(&o, &m, &e), ERR_INVALID);
	o.name = "n";
	o.duration = o.renew_deadline = 5 * NSEC_PER_SEC;
	assert_int_equal(membership_lease(&o, &m, &e), ERR_INVALID);
	o.duration = 0;
	o.retry = 6 * NSEC_PER_SEC;
	assert_int_equal(membership_lease(&o, &m, &e), ERR_INVALID);
	o.retry = 0;
	o.token_file = "/nonexistent/token";
	assert_ok(membership_lease(&o, &m, &e), &e);
	struct membership_info i;
	nsec next;
	assert_int_equal(membership_step(m, &i, &next, &e), ERR_NOTFOUND);
	membership_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_member_leads_itself_over_https),
		cmocka_unit_test(a_server_whose_certificate_nobody_trusts_gets_no_token),
		cmocka_unit_test(three_candidates_have_one_leader_and_three_numbers),
		cmocka_unit_test(when_the_leader_dies_another_leads_and_the_list_goes_on),
		cmocka_unit_test(a_follower_that_dies_or_leaves_loses_its_number),
		cmocka_unit_test(a_leader_that_leaves_is_followed_at_once),
		cmocka_unit_test(a_paused_leader_finds_itself_replaced_and_joins_again),
		cmocka_unit_test(a_member_that_slept_too_long_has_no_number_for_a_step),
		cmocka_unit_test(members_and_onlookers_see_the_list),
		cmocka_unit_test(without_the_api_server_everybody_stops_before_being_given_up),
		cmocka_unit_test(a_conflict_costs_a_round_and_no_number),
		cmocka_unit_test(a_slow_api_server_is_given_up_in_time),
		cmocka_unit_test(a_bad_token_is_an_error_at_first_and_trouble_later),
		cmocka_unit_test(bad_names_and_times_are_refused),
	};
	return cmocka_run_group_tests_name("dcp/membership_lease", tests, NULL, NULL);
}
