/* Members of a group against the simulated cluster, through the public interface. */
#include "tests/dcp_group.h"

#include "dcp/kv.h"
#include "dcp/membership.h"
#include "tests/fake/lease.h"

#include <string.h>
#include <unistd.h>

enum { VBS = 16, EVENTS = 4096 };

static weir_dcp *join(struct group *g, const weir_dcp_membership *m)
{
	return group_join(g, m, /* manual_commit */ true);
}

static weir_dcp_member member(weir_dcp *d)
{
	weir_error e = WEIR_ERROR_INIT;
	weir_dcp_member m = { .size = sizeof(m) };
	assert_int_equal(weir_dcp_member_get(d, &m, &e), 0);
	return m;
}

/* Polls everybody until nothing is missing and d[i] has want[i] vBuckets. */
static void settle(struct group *g, weir_dcp **d, const unsigned *want, unsigned n)
{
	nsec deadline = env_mono(env_posix()) + PATIENCE;
	bool good = false;
	while (!good && env_mono(env_posix()) < deadline) {
		good = unseen(g) == 0;
		for (unsigned i = 0; i < n; i++) {
			take(g, d[i], 10);
			good &= member(d[i]).vbuckets == want[i];
		}
	}
	if (!good)
		fail_msg("%u events are missing; the first has %u vBuckets: %s", unseen(g),
			 member(d[0]).vbuckets, member(d[0]).message);
}

static void members_hand_vbuckets_over_and_a_stale_one_cannot_save(void **state)
{
	(void)state;
	static struct group g;
	weir_error e = WEIR_ERROR_INIT;
	weir_dcp *d[2];
	weir_dcp_membership m = { .size = sizeof(m), .kind = WEIR_DCP_MEMBERS_DYNAMIC };
	group_open(&g, 2, VBS);
	group_write(&g, 320);
	d[0] = join(&g, &m);
	d[1] = join(&g, &m);
	assert_int_equal(member(d[0]).member, 0);
	assert_int_equal(weir_dcp_assign_share(d[0], 1, 1, &e), WEIR_ERR_INVALID);
	assert_int_equal(weir_dcp_set_membership(d[0], 1, 1, &e), 0);
	settle(&g, d, (unsigned[]){ VBS, 0 }, 2);

	/* half of them move; they were acknowledged, never committed: letting go saves */
	assert_int_equal(weir_dcp_set_membership(d[0], 1, 2, &e), 0);
	settle(&g, d, (unsigned[]){ VBS / 2, 0 }, 2);
	group_write(&g, 160);
	assert_int_equal(weir_dcp_set_membership(d[1], 2, 2, &e), 0);
	settle(&g, d, (unsigned[]){ VBS / 2, VBS / 2 }, 2);
	each_came_once(&g);

	/* the second is told that it is alone; the first knows nothing of it */
	assert_int_equal(weir_dcp_set_membership(d[1], 1, 1, &e), 0);
	settle(&g, d, (unsigned[]){ VBS / 2, VBS }, 2);
	group_write(&g, 160);
	settle(&g, d, (unsigned[]){ VBS / 2, VBS }, 2);
	assert_int_equal(weir_dcp_commit(d[0], &e), WEIR_ERR_FENCED);
	assert_int_equal(weir_dcp_set_membership(d[0], 0, 2, &e), WEIR_ERR_INVALID);
	assert_int_equal(weir_dcp_set_membership(d[0], 0, 0, &e), 0);
	assert_int_equal(weir_dcp_commit(d[1], &e), 0);
	settle(&g, d, (unsigned[]){ 0, VBS }, 2);
	leave(d[0]);
	leave(d[1]);

	/* whoever comes next goes on where the last one was */
	memset(g.seen, 1, sizeof(g.seen));
	d[0] = join(&g, &m);
	assert_int_equal(weir_dcp_set_membership(d[0], 1, 1, &e), 0);
	group_write(&g, 16);
	memset(g.seen + g.written - 16, 0, 16);
	settle(&g, d, (unsigned[]){ VBS }, 1);
	each_came_once(&g);
	leave(d[0]);
	fake_stop(g.fake);
}

static void static_members_share_and_impossible_groups_are_refused(void **state)
{
	(void)state;
	static struct group g;
	weir_error e = WEIR_ERROR_INIT;
	weir_dcp *d[3];
	group_open(&g, 2, VBS);
	group_write(&g, 160);
	for (unsigned i = 0; i < 3; i++) {
		weir_dcp_membership m = { .size = sizeof(m),
					  .kind = WEIR_DCP_MEMBERS_STATIC,
					  .member = i + 1,
					  .total = 3,
					  .contiguous = true };
		d[i] = join(&g, &m);
	}
	settle(&g, d, (unsigned[]){ 6, 5, 5 }, 3);
	assert_int_equal(weir_dcp_set_membership(d[0], 1, 1, &e), WEIR_ERR_INVALID);
	for (unsigned i = 0; i < 3; i++)
		leave(d[i]);

	weir_dcp_membership bad = {
		.size = sizeof(bad), .kind = WEIR_DCP_MEMBERS_STATIC, .member = 4, .total = 3
	};
	weir_dcp_options o = group_options(&g, &bad);
	o.checkpoint_file = "never.json";
	assert_int_equal(weir_dcp_open(&o, &d[0], &e), WEIR_ERR_INVALID);
	bad.kind = WEIR_DCP_MEMBERS_DYNAMIC; /* with a file of its own */
	assert_int_equal(weir_dcp_open(&o, &d[0], &e), WEIR_ERR_INVALID);
	bad.kind = (enum weir_dcp_members)77;
	assert_int_equal(weir_dcp_open(&o, &d[0], &e), WEIR_ERR_INVALID);
	fake_stop(g.fake);
}

struct seen_peers {
	unsigned n, total, vbuckets, self;
	char ids[64];
};

static int see_peer(void *arg, const weir_dcp_peer *p)
{
	struct seen_peers *s = arg;
	assert_int_equal(p->member, s->n + 1);
	assert_true(p->joined_ms > 1700000000000 && p->seen_ms > p->joined_ms - 5000);
	assert_in_range(p->silent_ms, 0, PATIENCE_MS);
	(void)snprintf(s->ids + strlen(s->ids), sizeof(s->ids) - strlen(s->ids), "%s ", p->id);
	s->n++;
	s->total = p->total;
	s->vbuckets += p->vbuckets;
	s->self += p->self ? p->member : 0;
	return 0;
}

static void check_peers(struct group *g, weir_dcp *d, const weir_dcp_membership *m, unsigned self,
			const char *ids)
{
	weir_error e = WEIR_ERROR_INIT;
	struct seen_peers in = { 0 }, out = { 0 };
	weir_dcp_options o = group_options(g, m);
	assert_int_equal(weir_dcp_peers(d, see_peer, &in, &e), 0);
	assert_string_equal(in.ids, ids);
	assert_int_equal(in.self, self);
	assert_int_equal(in.vbuckets, VBS);
	assert_int_equal(weir_dcp_group(&o, see_peer, &out, &e), 0);
	assert_string_equal(out.ids, ids);
	assert_int_equal(out.self, 0);
	assert_int_equal(out.total, in.n);
}

static unsigned two_programs_meet(int kind)
{
	static struct group g;
	weir_dcp *d[2];
	weir_dcp_membership m = { .size = sizeof(m),
				  .kind = (enum weir_dcp_members)kind,
				  .heartbeat_ms = 50,
				  .heartbeat_monitor_ms = 20,
				  .member_id = "first.of-all",
				  .rebalance_delay_ms = 200 },
			    onlooker = { .size = sizeof(m), .kind = (enum weir_dcp_members)kind };
	group_open(&g, 2, VBS);
	group_write(&g, 160);
	d[0] = join(&g, &m);
	settle(&g, d, (unsigned[]){ VBS }, 1);
	check_peers(&g, d[0], &onlooker, 1, "first.of-all ");
	m.member_id = "second";
	d[1] = join(&g, &m);
	settle(&g, d, (unsigned[]){ VBS / 2, VBS / 2 }, 2);
	check_peers(&g, d[1], &onlooker, 2, "first.of-all second ");
	group_write(&g, 160);
	settle(&g, d, (unsigned[]){ VBS / 2, VBS / 2 }, 2);
	leave(d[0]);
	group_write(&g, 160);
	settle(&g, d + 1, (unsigned[]){ VBS }, 1);
	check_peers(&g, d[1], &onlooker, 1, "second ");
	leave(d[1]);
	fake_stop(g.fake);
	return came_twice(&g);
}

static void two_programs_find_each_other_through_documents(void **state)
{
	(void)state;
	each_came_once_in(two_programs_meet, WEIR_DCP_MEMBERS_COUCHBASE);
}

static void two_programs_find_each_other_through_one_document(void **state)
{
	(void)state;
	each_came_once_in(two_programs_meet, WEIR_DCP_MEMBERS_LIL_COUCHBASE);
}

static unsigned twice(const struct group *g)
{
	unsigned n = 0;
	for (unsigned i = 0; i < g->written; i++)
		n += g->seen[i] > 1;
	return n;
}

/* Nothing was saved when the second one came: it waits until the first has let go, and so has saved, what moves. */
static void a_move_without_delay_repeats_nothing(enum weir_dcp_members kind)
{
	static struct group g;
	weir_dcp *d[3];
	weir_dcp_membership m = { .size = sizeof(m),
				  .kind = kind,
				  .heartbeat_ms = 500,
				  .heartbeat_monitor_ms = 100,
				  .rebalance_delay_ms = WEIR_DCP_NO_DELAY };
	unsigned repeated = 0;
	group_open(&g, 2, VBS);
	group_write(&g, EVENTS);
	d[0] = join(&g, &m);
	settle(&g, d, (unsigned[]){ VBS }, 1);
	d[1] = join(&g, &m);
	settle(&g, d, (unsigned[]){ VBS / 2, VBS / 2 }, 2);
	repeated = twice(&g);
	d[2] = join(&g, &m);
	settle(&g, d, (unsigned[]){ 5, 6, 5 }, 3);
	print_message("%u of %u events came twice in two joins, %u of them in the first\n",
		      twice(&g), g.written, repeated);
	assert_int_equal(twice(&g), 0);
	for (unsigned i = 0; i < 3; i++)
		leave(d[i]);
	fake_stop(g.fake);
}

static void a_move_without_delay_repeats_nothing_with_documents(void **state)
{
	(void)state;
	a_move_without_delay_repeats_nothing(WEIR_DCP_MEMBERS_COUCHBASE);
}

static void a_move_without_delay_repeats_nothing_with_one_document(void **state)
{
	(void)state;
	a_move_without_delay_repeats_nothing(WEIR_DCP_MEMBERS_LIL_COUCHBASE);
}

static struct documents *documents_of(struct group *g)
{
	static const char *seeds[1];
	static struct scram_cache cache = { .mechanism = SASL_NONE };
	static struct conn_options conn;
	struct documents *docs;
	struct err e = ERR_INIT;
	seeds[0] = g->hosts;
	conn = (struct conn_options){ .env = env_posix(),
				      .user = "Administrator",
				      .password = "password",
				      .bucket = "default",
				      .cache = &cache,
				      .connect_timeout = NSEC_PER_SEC,
				      .noop = NSEC_PER_SEC };
	struct kv_options kv = {
		.conn = &conn, .seeds = seeds, .n_seeds = 1, .timeout = 2 * NSEC_PER_SEC
	};
	assert_ok(documents_couchbase(&kv, &docs, &e), &e);
	return docs;
}

static int ms_until(struct group *g, weir_dcp *d, unsigned vbuckets, nsec since)
{
	settle(g, &d, &vbuckets, 1);
	return (int)((env_mono(env_posix()) - since) / NSEC_PER_MS);
}

/* One that was killed: its document says that it has everything, and nothing more comes. One of go-dcp's says nothing. */
static void a_dead_member_is_waited_for_until_it_has_missed_two_signs_of_life(void **state)
{
	(void)state;
	static struct group g;
	static const char *const held[] = { ",\"held\":\"ffff\"", "" };
	weir_dcp_membership m = { .size = sizeof(m),
				  .kind = WEIR_DCP_MEMBERS_COUCHBASE,
				  .heartbeat_ms = 400,
				  .heartbeat_tolerance_ms = 2000,
				  .heartbeat_monitor_ms = 50,
				  .rebalance_delay_ms = WEIR_DCP_NO_DELAY };
	for (int i = 0; i < 2; i++) {
		struct err e = ERR_INIT;
		char text[160];
		group_open(&g, 2, VBS);
		struct documents *docs = documents_of(&g);
		(void)snprintf(
			text, sizeof(text),
			"{\"type\":\"instance\",\"heartbeatTime\":5,\"clusterJoinTime\":5%s}",
			held[i]);
		assert_ok(docs->ops->put(docs, "_connector:cbgo:g:instance:x", slice_str(text), 0,
					 0, &e),
			  &e);
		assert_ok(docs->ops->put(docs, "_connector:cbgo:g:instance:all",
					 SLICE_LIT("{\"_connector:cbgo:g:instance:x\":5}"), 0, 0,
					 &e),
			  &e);
		nsec began = env_mono(env_posix());
		weir_dcp *d = join(&g, &m);
		int half = ms_until(&g, d, VBS / 2, began), all = ms_until(&g, d, VBS, began);
		print_message("half of it after %d ms, all of it after %d ms\n", half, all);
		assert_true(i ? half < 700 : half > 700);
		assert_true(half < all);
		assert_true(all >= 2300);
		leave(d);
		documents_free(docs);
		fake_stop(g.fake);
	}
}

/* A program that was copied with its configuration: it is told, and the one that was there goes on. */
static void a_second_member_of_the_same_id_is_refused(enum weir_dcp_members kind)
{
	static struct group g;
	weir_error e = WEIR_ERROR_INIT;
	weir_dcp *d[2];
	weir_dcp_membership m = { .size = sizeof(m),
				  .kind = kind,
				  .member_id = "same",
				  .heartbeat_ms = 150,
				  .heartbeat_monitor_ms = 30,
				  .rebalance_delay_ms = 100 };
	group_open(&g, 2, VBS);
	group_write(&g, 160);
	d[0] = join(&g, &m);
	settle(&g, d, (unsigned[]){ VBS }, 1);
	usleep(1200000); /* it is no beginner any more */
	d[1] = join(&g, &m);
	nsec deadline = env_mono(env_posix()) + 8 * NSEC_PER_SEC;
	while (!strstr(member(d[1]).message, "\"same\"") && env_mono(env_posix()) < deadline) {
		take(&g, d[0], 5);
		take(&g, d[1], 5);
	}
	assert_non_null(strstr(member(d[1]).message, "ids must be unique"));
	leave(d[1]);
	/* what the other had claimed meanwhile is claimed back */
	int rc = -1;
	while (rc < 0 && env_mono(env_posix()) < deadline) {
		take(&g, d[0], 5);
		rc = weir_dcp_commit(d[0], &e);
	}
	assert_int_equal(rc, 0);
	group_write(&g, 160);
	settle(&g, d, (unsigned[]){ VBS }, 1);
	deadline = env_mono(env_posix()) + 8 * NSEC_PER_SEC;
	while (strstr(member(d[0]).message, "unique") && env_mono(env_posix()) < deadline)
		take(&g, d[0], 5);
	assert_null(strstr(member(d[0]).message, "unique")); /* it is alone by now */
	leave(d[0]);
	fake_stop(g.fake);
}

static void a_second_member_of_the_same_id_is_refused_in_its_document(void **state)
{
	(void)state;
	a_second_member_of_the_same_id_is_refused(WEIR_DCP_MEMBERS_COUCHBASE);
}

static void a_second_member_of_the_same_id_is_refused_in_one_document(void **state)
{
	(void)state;
	a_second_member_of_the_same_id_is_refused(WEIR_DCP_MEMBERS_LIL_COUCHBASE);
}

static int see_pod(void *arg, const weir_dcp_peer *p)
{
	unsigned *pods = arg;
	assert_string_equal(p->id, p->member == 1 ? "pod-a" : "pod-b");
	assert_true(p->leads == (p->member == 1) && p->vbuckets == VBS / 2 && p->total == 2);
	++*pods;
	return *pods == 3 ? 7 : 0; /* enough */
}

static unsigned two_programs_with_a_leader(int kind)
{
	static struct group g;
	weir_error e = WEIR_ERROR_INIT;
	weir_dcp *d[2];
	char token[256], ca[256];
	unsigned pods = 0;
	const char *dir = test_tmpdir();
	(void)snprintf(token, sizeof(token), "%s/token", dir);
	(void)snprintf(ca, sizeof(ca), "%s/ca.crt", dir);
	FILE *f = fopen(token, "w");
	assert_true(f && fputs("secret\n", f) >= 0 && fclose(f) == 0);
	struct lease_fake *api = lease_fake_start("secret", ca);
	assert_non_null(api);
	weir_dcp_membership m = { .size = sizeof(m),
				  .kind = (enum weir_dcp_members)kind,
				  .lease_api = lease_fake_url(api),
				  .lease_namespace = "shop",
				  .lease_name = "orders",
				  .lease_token_file = token,
				  .lease_ca_file = ca,
				  .lease_retry_ms = 50,
				  .rebalance_delay_ms = 200 };
	group_open(&g, 2, VBS);
	weir_dcp_options onlooker = group_options(&g, &m);
	group_write(&g, 160);
	m.member_id = "pod-a";
	d[0] = join(&g, &m);
	settle(&g, d, (unsigned[]){ VBS }, 1);
	m.member_id = "pod-b";
	d[1] = join(&g, &m);
	settle(&g, d, (unsigned[]){ VBS / 2, VBS / 2 }, 2);
	assert_int_equal(weir_dcp_peers(d[1], see_pod, &pods, &e), 0);
	assert_int_equal(weir_dcp_group(&onlooker, see_pod, &pods, &e), 7);
	assert_int_equal(lease_fake_leases(api), 3); /* who looks is no member */
	leave(d[0]);
	group_write(&g, 160);
	settle(&g, d + 1, (unsigned[]){ VBS }, 1);
	leave(d[1]);
	lease_fake_stop(api);
	fake_stop(g.fake);
	test_rmdir(dir);
	return came_twice(&g);
}

static void two_programs_are_numbered_by_a_leader(void **state)
{
	(void)state;
	each_came_once_in(two_programs_with_a_leader, WEIR_DCP_MEMBERS_LEASE);
}

static void write_total(const char *path, const char *total)
{
	FILE *f = fopen(path, "w");
	assert_true(f && fprintf(f, "members=\"%s\"\n", total) > 0 && fclose(f) == 0);
}

/* The file is read every ten seconds; the test does not wait for that. */
static void a_group_looks_at_once_when_it_is_asked_to(void **state)
{
	(void)state;
	static struct group g;
	weir_error e = WEIR_ERROR_INIT;
	char path[256];
	const char *dir = test_tmpdir();
	(void)snprintf(path, sizeof(path), "%s/annotations", dir);
	write_total(path, "1");
	weir_dcp_membership m = { .size = sizeof(m),
				  .kind = WEIR_DCP_MEMBERS_STATEFULSET,
				  .host_name = "orders-0",
				  .total_file = path,
				  .total_key = "members",
				  .rebalance_delay_ms = WEIR_DCP_NO_DELAY };
	group_open(&g, 2, VBS);
	weir_dcp *d = join(&g, &m);
	settle(&g, &d, (unsigned[]){ VBS }, 1);
	write_total(path, "2");
	assert_int_equal(weir_dcp_rebalance(d, &e), 0);
	settle(&g, &d, (unsigned[]){ VBS / 2 }, 1);
	leave(d);
	fake_stop(g.fake);
	test_rmdir(dir);
}

static void kinds_without_a_list_say_so(void **state)
{
	(void)state;
	static struct group g;
	weir_error e = WEIR_ERROR_INIT;
	struct seen_peers none = { 0 };
	weir_dcp_membership m = {
		.size = sizeof(m), .kind = WEIR_DCP_MEMBERS_STATIC, .member = 1, .total = 1
	};
	weir_dcp_options o = { .size = sizeof(o), .hosts = "127.0.0.1:1", .membership = &m };
	assert_int_equal(weir_dcp_group(&o, see_peer, &none, &e), WEIR_ERR_UNSUPPORTED);
	group_open(&g, 2, VBS);
	weir_dcp *d = join(&g, &m);
	assert_int_equal(member(d).vbuckets, VBS); /* assigned when open returns */
	assert_true(member(d).settled);
	assert_int_equal(weir_dcp_peers(d, see_peer, &none, &e), 0);
	assert_int_equal(none.n, 0);
	leave(d);
	fake_stop(g.fake);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(members_hand_vbuckets_over_and_a_stale_one_cannot_save),
		cmocka_unit_test(static_members_share_and_impossible_groups_are_refused),
		cmocka_unit_test(two_programs_find_each_other_through_documents),
		cmocka_unit_test(two_programs_find_each_other_through_one_document),
		cmocka_unit_test(a_move_without_delay_repeats_nothing_with_documents),
		cmocka_unit_test(a_move_without_delay_repeats_nothing_with_one_document),
		cmocka_unit_test(a_dead_member_is_waited_for_until_it_has_missed_two_signs_of_life),
		cmocka_unit_test(a_second_member_of_the_same_id_is_refused_in_its_document),
		cmocka_unit_test(a_second_member_of_the_same_id_is_refused_in_one_document),
		cmocka_unit_test(two_programs_are_numbered_by_a_leader),
		cmocka_unit_test(a_group_looks_at_once_when_it_is_asked_to),
		cmocka_unit_test(kinds_without_a_list_say_so),
	};
	return cmocka_run_group_tests_name("dcp/e2e_membership", tests, NULL, NULL);
}
