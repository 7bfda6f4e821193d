/* Members of a group against the simulated cluster, through the public interface. */
#include "tests/test.h"

#include "dcp/kv.h"
#include "dcp/membership.h"
#include "os/env.h"
#include "tests/clocked_env.h"
#include "tests/fake/couchbase/fake.h"
#include "tests/fake/lease.h"
#include "weir/weir.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { VBS = 16, KEYS = 4096 };

struct group {
	struct fake *fake;
	char hosts[64];
	unsigned written;
	unsigned char seen[KEYS]; /* by the number in the key */
};

static void group_open(struct group *g)
{
	*g = (struct group){ .fake = fake_start(
				     &(struct fake_options){ .nodes = 2, .vbuckets = VBS }) };
	assert_non_null(g->fake);
	(void)snprintf(g->hosts, sizeof(g->hosts), "127.0.0.1:%u", fake_kv_port(g->fake, 0));
}

static weir_dcp *join(struct group *g, const weir_dcp_membership *m)
{
	weir_error e = WEIR_ERROR_INIT;
	weir_dcp *d;
	weir_dcp_options o = { .size = sizeof(o),
			       .hosts = g->hosts,
			       .user = "Administrator",
			       .password = "password",
			       .bucket = "default",
			       .group = "g",
			       .connect_timeout_ms = PATIENCE_MS,
			       .manual_commit = true,
			       .checkpoint_bucket = "default",
			       .membership = m };
	if (weir_dcp_open(&o, &d, &e) != 0)
		fail_msg("open: %s", e.message);
	return d;
}

static void load(struct group *g, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		char key[24];
		(void)snprintf(key, sizeof(key), "k%u", g->written);
		(void)fake_set(g->fake, g->written++ % VBS, 0, key, SLICE_LIT("{\"a\":1}"));
	}
}

static void take(struct group *g, weir_dcp *d, int wait_ms)
{
	weir_error e = WEIR_ERROR_INIT;
	const weir_dcp_event *events;
	size_t n;
	int rc = weir_dcp_poll(d, wait_ms, &events, &n, &e);
	if (rc < 0)
		fail_msg("poll: %s", e.message);
	for (size_t i = 0; rc == 1 && i < n; i++) {
		unsigned number;
		char key[24];
		weir_dcp_info info = { .size = sizeof(info) };
		weir_dcp_event_info(d, weir_dcp_event_at(events, i), &info);
		(void)snprintf(key, sizeof(key), "%.*s", (int)info.key_len, (const char *)info.key);
		if (info.kind == WEIR_DCP_MUTATION && sscanf(key, "k%u", &number) == 1)
			g->seen[number]++;
	}
	if (rc == 1)
		(void)weir_dcp_ack(d, events, n);
}

static unsigned unseen(const struct group *g)
{
	unsigned n = 0;
	for (unsigned i = 0; i < g->written; i++)
		n += g->seen[i] == 0;
	return n;
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
	group_open(&g);
	load(&g, 320);
	d[0] = join(&g, &m);
	d[1] = join(&g, &m);
	assert_int_equal(member(d[0]).member, 0);
	assert_int_equal(weir_dcp_assign_share(d[0], 1, 1, &e), WEIR_ERR_INVALID);
	assert_int_equal(weir_dcp_set_membership(d[0], 1, 1, &e), 0);
	settle(&g, d, (unsigned[]){ VBS, 0 }, 2);

	/* half of them move; they were acknowledged, never committed: letting go saves */
	assert_int_equal(weir_dcp_set_membership(d[0], 1, 2, &e), 0);
	settle(&g, d, (unsigned[]){ VBS / 2, 0 }, 2);
	load(&g, 160);
	assert_int_equal(weir_dcp_set_membership(d[1], 2, 2, &e), 0);
	settle(&g, d, (unsigned[]){ VBS / 2, VBS / 2 }, 2);
	for (unsigned i = 0; i < g.written; i++)
		assert_int_equal(g.seen[i], 1);

	/* the second is told that it is alone; the first knows nothing of it */
	assert_int_equal(weir_dcp_set_membership(d[1], 1, 1, &e), 0);
	settle(&g, d, (unsigned[]){ VBS / 2, VBS }, 2);
	load(&g, 160);
	settle(&g, d, (unsigned[]){ VBS / 2, VBS }, 2);
	assert_int_equal(weir_dcp_commit(d[0], &e), WEIR_ERR_FENCED);
	assert_int_equal(weir_dcp_set_membership(d[0], 0, 2, &e), WEIR_ERR_INVALID);
	assert_int_equal(weir_dcp_set_membership(d[0], 0, 0, &e), 0);
	assert_int_equal(weir_dcp_commit(d[1], &e), 0);
	settle(&g, d, (unsigned[]){ 0, VBS }, 2);
	assert_int_equal(weir_dcp_close(d[0], &e), 0);
	assert_int_equal(weir_dcp_close(d[1], &e), 0);

	/* whoever comes next goes on where the last one was */
	memset(g.seen, 1, sizeof(g.seen));
	d[0] = join(&g, &m);
	assert_int_equal(weir_dcp_set_membership(d[0], 1, 1, &e), 0);
	load(&g, 16);
	memset(g.seen + g.written - 16, 0, 16);
	settle(&g, d, (unsigned[]){ VBS }, 1);
	for (unsigned i = 0; i < g.written; i++)
		assert_int_equal(g.seen[i], 1);
	assert_int_equal(weir_dcp_close(d[0], &e), 0);
	fake_stop(g.fake);
}

static void static_members_share_and_impossible_groups_are_refused(void **state)
{
	(void)state;
	static struct group g;
	weir_error e = WEIR_ERROR_INIT;
	weir_dcp *d[3];
	group_open(&g);
	load(&g, 160);
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
		assert_int_equal(weir_dcp_close(d[i], &e), 0);

	weir_dcp_membership bad = {
		.size = sizeof(bad), .kind = WEIR_DCP_MEMBERS_STATIC, .member = 4, .total = 3
	};
	weir_dcp_options o = { .size = sizeof(o),
			       .hosts = g.hosts,
			       .user = "Administrator",
			       .password = "password",
			       .bucket = "default",
			       .group = "g",
			       .connect_timeout_ms = PATIENCE_MS,
			       .checkpoint_file = "never.json",
			       .membership = &bad };
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
	weir_dcp_options o = { .size = sizeof(o),
			       .hosts = g->hosts,
			       .user = "Administrator",
			       .password = "password",
			       .bucket = "default",
			       .group = "g",
			       .connect_timeout_ms = PATIENCE_MS,
			       .membership = m };
	assert_int_equal(weir_dcp_peers(d, see_peer, &in, &e), 0);
	assert_string_equal(in.ids, ids);
	assert_int_equal(in.self, self);
	assert_int_equal(in.vbuckets, VBS);
	assert_int_equal(weir_dcp_group(&o, see_peer, &out, &e), 0);
	assert_string_equal(out.ids, ids);
	assert_int_equal(out.self, 0);
	assert_int_equal(out.total, in.n);
}

/* How many events were taken more than once; none may be lost. */
static unsigned twice(const struct group *g)
{
	unsigned n = 0;
	for (unsigned i = 0; i < g->written; i++) {
		assert_true(g->seen[i] > 0);
		n += g->seen[i] > 1;
	}
	return n;
}

static unsigned two_programs_meet(enum weir_dcp_members kind)
{
	static struct group g;
	weir_error e = WEIR_ERROR_INIT;
	weir_dcp *d[2];
	weir_dcp_membership m = { .size = sizeof(m),
				  .kind = kind,
				  .heartbeat_ms = 50,
				  .heartbeat_monitor_ms = 20,
				  .member_id = "first.of-all",
				  .rebalance_delay_ms = 200 },
			    onlooker = { .size = sizeof(m), .kind = kind };
	group_open(&g);
	load(&g, 160);
	d[0] = join(&g, &m);
	settle(&g, d, (unsigned[]){ VBS }, 1);
	check_peers(&g, d[0], &onlooker, 1, "first.of-all ");
	m.member_id = "second";
	d[1] = join(&g, &m);
	settle(&g, d, (unsigned[]){ VBS / 2, VBS / 2 }, 2);
	check_peers(&g, d[1], &onlooker, 2, "first.of-all second ");
	load(&g, 160);
	settle(&g, d, (unsigned[]){ VBS / 2, VBS / 2 }, 2);
	assert_int_equal(weir_dcp_close(d[0], &e), 0);
	load(&g, 160);
	settle(&g, d + 1, (unsigned[]){ VBS }, 1);
	check_peers(&g, d[1], &onlooker, 1, "second ");
	assert_int_equal(weir_dcp_close(d[1], &e), 0);
	fake_stop(g.fake);
	return twice(&g);
}

/* Where a machine is too busy for a member to let go within the delay, its successor takes again what was not saved: as
 * it is meant to be, but not each time. */
static void each_event_is_taken_once(unsigned (*meet)(enum weir_dcp_members kind),
				     enum weir_dcp_members kind)
{
	unsigned n = 1;
	for (int i = 0; i < 5 && n; i++)
		n = meet(kind);
	assert_int_equal(n, 0);
}

static void two_programs_find_each_other_through_documents(void **state)
{
	(void)state;
	each_event_is_taken_once(two_programs_meet, WEIR_DCP_MEMBERS_COUCHBASE);
}

static void two_programs_find_each_other_through_one_document(void **state)
{
	(void)state;
	each_event_is_taken_once(two_programs_meet, WEIR_DCP_MEMBERS_LIL_COUCHBASE);
}

static int see_pod(void *arg, const weir_dcp_peer *p)
{
	unsigned *pods = arg;
	assert_string_equal(p->id, p->member == 1 ? "pod-a" : "pod-b");
	assert_true(p->leads == (p->member == 1) && p->vbuckets == VBS / 2 && p->total == 2);
	++*pods;
	return *pods == 3 ? 7 : 0; /* enough */
}

static unsigned two_programs_with_a_leader(enum weir_dcp_members kind)
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
				  .kind = kind,
				  .lease_api = lease_fake_url(api),
				  .lease_namespace = "shop",
				  .lease_name = "orders",
				  .lease_token_file = token,
				  .lease_ca_file = ca,
				  .lease_retry_ms = 50,
				  .rebalance_delay_ms = 200 };
	weir_dcp_options onlooker = { .size = sizeof(onlooker),
				      .hosts = g.hosts,
				      .user = "Administrator",
				      .password = "password",
				      .bucket = "default",
				      .group = "g",
				      .connect_timeout_ms = PATIENCE_MS,
				      .membership = &m };
	group_open(&g);
	load(&g, 160);
	m.member_id = "pod-a";
	d[0] = join(&g, &m);
	settle(&g, d, (unsigned[]){ VBS }, 1);
	m.member_id = "pod-b";
	d[1] = join(&g, &m);
	settle(&g, d, (unsigned[]){ VBS / 2, VBS / 2 }, 2);
	assert_int_equal(weir_dcp_peers(d[1], see_pod, &pods, &e), 0);
	assert_int_equal(weir_dcp_group(&onlooker, see_pod, &pods, &e), 7);
	assert_int_equal(lease_fake_leases(api), 3); /* who looks is no member */
	assert_int_equal(weir_dcp_close(d[0], &e), 0);
	load(&g, 160);
	settle(&g, d + 1, (unsigned[]){ VBS }, 1);
	assert_int_equal(weir_dcp_close(d[1], &e), 0);
	lease_fake_stop(api);
	fake_stop(g.fake);
	test_rmdir(dir);
	return twice(&g);
}

static void two_programs_are_numbered_by_a_leader(void **state)
{
	(void)state;
	each_event_is_taken_once(two_programs_with_a_leader, WEIR_DCP_MEMBERS_LEASE);
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
	group_open(&g);
	weir_dcp *d = join(&g, &m);
	settle(&g, &d, (unsigned[]){ VBS }, 1);
	write_total(path, "2");
	assert_int_equal(weir_dcp_rebalance(d, &e), 0);
	settle(&g, &d, (unsigned[]){ VBS / 2 }, 1);
	assert_int_equal(weir_dcp_close(d, &e), 0);
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
	group_open(&g);
	weir_dcp *d = join(&g, &m);
	assert_int_equal(member(d).vbuckets, VBS); /* assigned when open returns */
	assert_true(member(d).settled);
	assert_int_equal(weir_dcp_peers(d, see_peer, &none, &e), 0);
	assert_int_equal(none.n, 0);
	assert_int_equal(weir_dcp_close(d, &e), 0);
	fake_stop(g.fake);
}

/* ---- heartbeats in documents; a clock for each member ---- */

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
	group_open(&h->g);
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
		cmocka_unit_test(members_hand_vbuckets_over_and_a_stale_one_cannot_save),
		cmocka_unit_test(static_members_share_and_impossible_groups_are_refused),
		cmocka_unit_test(two_programs_find_each_other_through_documents),
		cmocka_unit_test(two_programs_find_each_other_through_one_document),
		cmocka_unit_test(two_programs_are_numbered_by_a_leader),
		cmocka_unit_test(a_group_looks_at_once_when_it_is_asked_to),
		cmocka_unit_test(kinds_without_a_list_say_so),
		cmocka_unit_test(members_find_each_other_through_documents),
		cmocka_unit_test(members_find_each_other_through_one_document),
		cmocka_unit_test(a_member_out_of_touch_lets_go_in_time),
		cmocka_unit_test(a_member_that_slept_too_long_lets_go_though_it_is_still_listed),
		cmocka_unit_test(the_one_document_is_go_dcps),
	};
	return cmocka_run_group_tests_name("dcp/e2e_membership", tests, NULL, NULL);
}
