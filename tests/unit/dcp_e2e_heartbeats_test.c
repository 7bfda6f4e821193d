/* Members that find each other by heartbeats in documents of the simulated cluster, a clock for each. */
#include "tests/dcp_group.h"

#include "dcp/kv.h"
#include "dcp/membership.h"
#include "tests/clocked_env.h"

#include <string.h>

struct herd {
	struct group g;
	bool lil;
	const char *seeds[1];
	struct scram_cache cache;
	struct conn_options o;
	struct clocked clock[4];
	struct membership *m[4];
	struct membership_info info[4];
	nsec timeout; /* of what is asked of the documents */
};

static void herd_open(struct herd *h, bool lil)
{
	memset(h, 0, sizeof(*h));
	h->lil = lil;
	group_open(&h->g, 2, 16);
	h->seeds[0] = h->g.hosts;
	h->cache.mechanism = SASL_NONE;
	h->o = (struct conn_options){ .env = env_posix(),
				      .user = "Administrator",
				      .password = "password",
				      .bucket = "default",
				      .cache = &h->cache,
				      .connect_timeout = PATIENCE,
				      .noop = PATIENCE };
	h->timeout = PATIENCE;
}

static void herd_join(struct herd *h, unsigned i)
{
	char id[2] = { (char)('a' + i), '\0' };
	struct err e = ERR_INIT;
	struct couchbase_members o = {
		.env = &h->clock[i].base, .group = "g", .id = id, .lil = h->lil
	};
	h->clock[i] = clocked_env((i + 1) * 100000 * NSEC_PER_SEC, -7200000 * (int64_t)i);
	struct kv_options kv = {
		.conn = &h->o, .seeds = h->seeds, .n_seeds = 1, .timeout = h->timeout
	};
	assert_ok(documents_couchbase(&kv, &o.documents, &e), &e);
	assert_ok(membership_couchbase(&o, &h->m[i], &e), &e);
}

static void beats(struct herd *h, int times)
{
	for (int t = 0; t < times; t++)
		for (unsigned i = 0; i < 4; i++) {
			struct err e = ERR_INIT;
			nsec next;
			h->clock[i].mono += 10 * NSEC_PER_SEC;
			if (!h->m[i])
				continue;
			assert_int_equal(membership_step(h->m[i], &h->info[i], &next, &e), 1);
			if (h->m[i]->trouble.code)
				fail_msg("member %u: %s", i, h->m[i]->trouble.msg);
		}
}

/* Who finds nobody has little time to do so, so that a busy machine may be trouble to it, too. */
static void a_member_out_of_touch_lets_go_in_time(void **state)
{
	(void)state;
	static struct herd h;
	struct err e = ERR_INIT;
	nsec next;
	herd_open(&h, false);
	h.timeout = NSEC_PER_SEC;
	herd_join(&h, 0);
	do {
		h.clock[0].mono += 10 * NSEC_PER_SEC;
		assert_int_equal(membership_step(h.m[0], &h.info[0], &next, &e), 1);
	} while (h.info[0].total != 1 || h.m[0]->trouble.code);
	fake_fault(h.g.fake,
		   &(struct fake_fault){ .kind = FAKE_DOWN, .node = -1, .vb = -1, .count = 1 });
	h.clock[0].mono += 30 * NSEC_PER_SEC;
	assert_int_equal(membership_step(h.m[0], &h.info[0], &next, &e), 1);
	assert_int_not_equal(h.m[0]->trouble.code, 0);
	assert_number(h.info[0], 1, 1); /* may pass */
	h.clock[0].mono += 60 * NSEC_PER_SEC;
	assert_int_equal(membership_step(h.m[0], &h.info[0], &next, &e), 1);
	assert_number(h.info[0], 0, 0);
	fake_stop(h.g.fake);
	membership_free(h.m[0]);
}

/* Each member's wall clock is hours behind the one before: go-dcp would take them for dead. */
static void members_find_each_other(bool lil)
{
	static struct herd h;
	struct membership_peer peer[4];
	herd_open(&h, lil);
	for (unsigned i = 0; i < 3; i++)
		herd_join(&h, i);
	beats(&h, 2);
	for (unsigned i = 0; i < 3; i++) {
		assert_number(h.info[i], i + 1, 3);
		assert_int_equal(h.info[i].generation, h.info[0].generation);
	}
	beats(&h, 10);
	assert_number(h.info[2], 3, 3);

	struct membership *paused = h.m[0];
	h.m[0] = NULL;
	beats(&h, 6);
	assert_number(h.info[1], 2, 3);
	beats(&h, 4);
	assert_number(h.info[1], 2, 2);
	assert_number(h.info[2], 1, 2); /* the last has taken the number that was free */
	assert_int_equal(membership_peers(h.m[1], peer, 4), 2);
	assert_true(strcmp(peer[0].id, "c") == 0 && strcmp(peer[1].id, "b") == 0);
	assert_true(peer[1].self && !peer[0].self && peer[0].silent >= 0);
	h.m[0] = paused; /* no panic: it lets go, and enters again, behind the others */
	beats(&h, 1);
	assert_number(h.info[0], 0, 0);
	beats(&h, 2);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(h.info[i].total, 3);
	assert_number(h.info[0], 3, 3);

	membership_leave(h.m[2]);
	membership_free(h.m[2]);
	h.m[2] = NULL;
	beats(&h, 1);
	assert_int_equal(h.info[0].total, 2);
	assert_int_equal(h.info[0].member + h.info[1].member, 3);

	fake_stop(h.g.fake);
	for (unsigned i = 0; i < 4; i++)
		membership_free(h.m[i]);
}

static void members_find_each_other_through_documents(void **state)
{
	(void)state;
	members_find_each_other(false);
}

static void members_find_each_other_through_one_document(void **state)
{
	(void)state;
	members_find_each_other(true);
}

/* Everybody else slept as long: the list is as it was, and yet what it held may have been somebody's meanwhile. */
static void a_member_that_slept_too_long_lets_go_though_it_is_still_listed(void **state)
{
	(void)state;
	static struct herd h;
	struct err e = ERR_INIT;
	nsec next;
	herd_open(&h, false);
	herd_join(&h, 0);
	herd_join(&h, 1);
	beats(&h, 2);
	assert_number(h.info[0], 1, 2);
	assert_int_equal(h.info[0].until, h.clock[0].mono + 60 * NSEC_PER_SEC);
	h.clock[0].mono += 61 * NSEC_PER_SEC;
	assert_int_equal(membership_step(h.m[0], &h.info[0], &next, &e), 1);
	assert_number(h.info[0], 0, 0);
	assert_int_equal(next, 0);
	assert_int_equal(membership_step(h.m[0], &h.info[0], &next, &e), 1);
	assert_number(h.info[0], 1, 2);
	assert_int_equal(next, NSEC_PER_SEC); /* the list is read more often than it beats */
	h.clock[0].mono += NSEC_PER_SEC;
	membership_leave(h.m[1]);
	assert_int_equal(membership_step(h.m[0], &h.info[0], &next, &e), 1);
	assert_number(h.info[0], 1, 1);
	fake_stop(h.g.fake);
	membership_free(h.m[0]);
	membership_free(h.m[1]);
}

/* As the reference has it, so that go-dcp's members understand it. */
static void the_one_document_is_go_dcps(void **state)
{
	(void)state;
	static struct herd h;
	struct err e = ERR_INIT;
	uint64_t cas;
	struct documents *docs;
	AUTO(buf) struct buf text = BUF_INIT;
	herd_open(&h, true);
	struct kv_options kv = {
		.conn = &h.o, .seeds = h.seeds, .n_seeds = 1, .timeout = h.timeout
	};
	assert_ok(documents_couchbase(&kv, &docs, &e), &e);
	herd_join(&h, 0);
	beats(&h, 1);
	h.clock[0].skew_ms = 5000;
	beats(&h, 1);
	assert_int_equal(docs->ops->get(docs, "_connector:cbgo:g:instance:lil", &text, &cas, &e),
			 1);
	assert_string_equal(buf_cstr(&text),
			    "{\"a\":{\"id\":\"a\",\"type\":\"instance\",\"heartbeatTime\":"
			    "1800000005000000000,\"clusterJoinTime\":1800000000000000000}}");
	/* taken off by somebody: the next heartbeat tells it, and it enters anew */
	assert_ok(docs->ops->put(docs, "_connector:cbgo:g:instance:lil", SLICE_LIT("{}"), cas, 0,
				 &e),
		  &e);
	beats(&h, 1);
	assert_number(h.info[0], 0, 0);
	beats(&h, 1);
	assert_number(h.info[0], 1, 1);
	documents_free(docs);
	membership_free(h.m[0]);
	fake_stop(h.g.fake);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(members_find_each_other_through_documents),
		cmocka_unit_test(members_find_each_other_through_one_document),
		cmocka_unit_test(a_member_out_of_touch_lets_go_in_time),
		cmocka_unit_test(a_member_that_slept_too_long_lets_go_though_it_is_still_listed),
		cmocka_unit_test(the_one_document_is_go_dcps),
	};
	return cmocka_run_group_tests_name("dcp/e2e_heartbeats", tests, NULL, NULL);
}
