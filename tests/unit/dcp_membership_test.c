/* Memberships without others, the share, the hand-over, the claims, and a group that changes all the time. */
#include "tests/test.h"

#include "base/mem.h"
#include "dcp/membership.h"
#include "os/env.h"

#include <stdio.h>
#include <stdlib.h>
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

/* ---- a store with compare and swap, shared by members ---- */

enum { CHURN_VBS = 64, CHURN_MEMBERS = 8, WINDOW = 20 };

struct shared {
	uint64_t cas[CHURN_VBS], seqno[CHURN_VBS], clock;
	bool found[CHURN_VBS], damaged[CHURN_VBS];
	uint64_t refused;
	int interfere; /* the next so many loads are followed by somebody else's write to interfere_vb */
	unsigned interfere_vb;
};

struct handle {
	struct checkpoint_store base;
	struct shared *s;
	uint64_t cas[CHURN_VBS];
};

static int handle_load(struct checkpoint_store *b, struct checkpoint *c, size_t n, struct err *e)
{
	struct handle *h = container_of(b, struct handle, base);
	(void)e;
	for (size_t i = 0; i < n; i++) {
		uint16_t vb = c[i].vb;
		uint64_t s = h->s->seqno[vb];
		c[i] = (struct checkpoint){ .vb = vb,
					    .found = h->s->found[vb],
					    .pos = { s, s, s, s ? 7 : 0 } };
		if (h->s->damaged[vb])
			c[i] = (struct checkpoint){ .vb = vb, .damaged = true };
		h->cas[vb] = h->s->cas[vb];
	}
	if (h->s->interfere > 0) {
		h->s->interfere--;
		h->s->cas[h->s->interfere_vb] = ++h->s->clock;
		h->s->seqno[h->s->interfere_vb]++;
		h->s->found[h->s->interfere_vb] = true;
	}
	return 0;
}

static int handle_save(struct checkpoint_store *b, const struct checkpoint *c, size_t n,
		       struct err *e)
{
	struct handle *h = container_of(b, struct handle, base);
	int rc = 0;
	for (size_t i = 0; i < n; i++) {
		uint16_t vb = c[i].vb;
		if (h->cas[vb] != h->s->cas[vb]) {
			h->s->refused++;
			rc = err_set(e, ERR_FENCED, "vBucket %u", vb);
			continue;
		}
		if (c[i].pos.seqno < h->s->seqno[vb])
			fail_msg("the checkpoint of vBucket %u goes back from %u to %u", vb,
				 (unsigned)h->s->seqno[vb], (unsigned)c[i].pos.seqno);
		h->s->seqno[vb] = c[i].pos.seqno;
		h->s->found[vb] = true;
		h->s->damaged[vb] = false;
		h->cas[vb] = h->s->cas[vb] = ++h->s->clock;
	}
	return rc;
}

static int handle_clear(struct checkpoint_store *b, const uint16_t *vb, size_t n, struct err *e)
{
	(void)b;
	(void)vb;
	(void)n;
	(void)e;
	return 0;
}

static void handle_free(struct checkpoint_store *b)
{
	free(container_of(b, struct handle, base));
}

static struct checkpoint_store *claiming_open(struct shared *s, struct handle **h)
{
	static const struct checkpoint_store_ops ops = { handle_load, handle_save, handle_clear,
							 handle_free };
	struct err e = ERR_INIT;
	struct checkpoint_store *out;
	*h = calloc(1, sizeof(**h));
	(*h)->base.ops = &ops;
	(*h)->s = s;
	assert_ok(checkpoint_claiming(&(*h)->base, &out, &e), &e);
	return out;
}

static struct checkpoint at(uint16_t vb, uint64_t seqno)
{
	return (struct checkpoint){ .vb = vb, .found = true, .pos = { seqno, seqno, seqno, 7 } };
}

static void weakness_9_who_loads_fences_who_had_it_before(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	static struct shared s;
	struct handle *ha, *hb;
	bool fenced[CHURN_VBS];
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
	assert_int_equal(checkpoint_claiming_fenced(a, fenced, CHURN_VBS), 2);
	assert_true(fenced[1] && fenced[3] && !fenced[0]);
	assert_int_equal(checkpoint_claiming_fenced(b, fenced, CHURN_VBS), 0);

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

/* ---- a group that changes all the time ----
 *
 * The group's list is the test's; members learn of it late, are killed, stopped and continued, acknowledge late. Each
 * member is the real hand-over and the real claims over the shared store. */

struct member {
	bool alive, paused;
	unsigned id, heard; /* which version of the list it has heard */
	struct membership_info told;
	struct handover h;
	struct checkpoint_store *store;
	struct handle *handle;
	bool owns[CHURN_VBS];
	uint64_t pos[CHURN_VBS], saved[CHURN_VBS];
};

struct churn {
	struct shared s;
	struct member m[CHURN_MEMBERS];
	unsigned list[CHURN_MEMBERS], n_list, version; /* indexes into m by number */
	uint64_t high[CHURN_VBS],
		delivered[CHURN_VBS]; /* delivered: the prefix that somebody has seen */
	uint64_t duplicates;
	nsec now;
};

static void member_start(struct churn *c, unsigned i)
{
	struct err e = ERR_INIT;
	struct member *m = &c->m[i];
	*m = (struct member){ .alive = true, .id = i };
	assert_ok(handover_init(&m->h, SPREAD_STEADY, CHURN_VBS, 30, &e), &e);
	m->store = claiming_open(&c->s, &m->handle);
	c->list[c->n_list++] = i;
	c->version++;
}

static void member_gone(struct churn *c, unsigned i)
{
	struct member *m = &c->m[i];
	handover_done(&m->h);
	checkpoint_store_free(m->store);
	*m = (struct member){ 0 };
	(void)c;
}

/* Its number goes to the last one. */
static void unlist(struct churn *c, unsigned i)
{
	for (unsigned k = 0; k < c->n_list; k++)
		if (c->list[k] == i) {
			c->list[k] = c->list[--c->n_list];
			c->version++;
			return;
		}
}

static void take_over(struct member *m, struct churn *c)
{
	uint16_t vb[CHURN_VBS], gone[CHURN_VBS];
	struct checkpoint cp[CHURN_VBS];
	bool next[CHURN_VBS] = { false };
	struct err e = ERR_INIT;
	size_t n, n_gone = 0;
	nsec due;
	if (handover_next(&m->h, c->now, vb, &n, &due) == 0)
		return;
	for (size_t i = 0; i < n; i++) {
		next[vb[i]] = true;
		cp[i] = (struct checkpoint){ .vb = vb[i] };
	}
	assert_ok(checkpoint_load(m->store, cp, n, &e), &e);
	for (size_t i = 0; i < n; i++) {
		if (m->owns[vb[i]])
			continue;
		m->owns[vb[i]] = true;
		m->pos[vb[i]] = m->saved[vb[i]] = cp[i].found ? cp[i].pos.seqno : 0;
	}
	for (uint16_t v = 0; v < CHURN_VBS; v++) {
		if (!m->owns[v] || next[v])
			continue;
		struct checkpoint last = at(v, m->pos[v]); /* checkpoint first */
		if (m->pos[v] > m->saved[v])
			(void)checkpoint_save(m->store, &last, 1, &e);
		m->owns[v] = false;
		gone[n_gone++] = v;
	}
	checkpoint_claiming_release(m->store, gone, n_gone);
	if (n_gone) { /* a late acknowledgement */
		struct checkpoint late = at(gone[0], m->pos[gone[0]] + 1);
		assert_int_equal(checkpoint_save(m->store, &late, 1, &e), ERR_FENCED);
	}
}

static void member_save(struct churn *c, struct member *m)
{
	struct checkpoint cp[CHURN_VBS];
	bool fenced[CHURN_VBS];
	struct err e = ERR_INIT;
	size_t n = 0;
	for (uint16_t v = 0; v < CHURN_VBS; v++)
		if (m->owns[v] && m->pos[v] > m->saved[v])
			cp[n++] = at(v, m->pos[v]);
	int rc = checkpoint_save(m->store, cp, n, &e);
	for (size_t i = 0; i < n; i++)
		if (c->s.seqno[cp[i].vb] > c->delivered[cp[i].vb])
			fail_msg("vBucket %u: saved beyond what was delivered", cp[i].vb);
	if (rc == 0) {
		for (size_t i = 0; i < n; i++)
			m->saved[cp[i].vb] = cp[i].pos.seqno;
		return;
	}
	assert_int_equal(rc, ERR_FENCED);
	assert_true(checkpoint_claiming_fenced(m->store, fenced, CHURN_VBS) > 0);
	for (size_t i = 0; i < n; i++)
		if (!fenced[cp[i].vb])
			m->saved[cp[i].vb] = cp[i].pos.seqno;
	for (uint16_t v = 0; v < CHURN_VBS; v++)
		if (fenced[v]) {
			m->owns[v] = false;
			checkpoint_claiming_release(m->store, &v, 1);
		}
	handover_lost(&m->h, fenced, c->now, 10);
}

static void member_run(struct churn *c, struct member *m)
{
	struct err e = ERR_INIT;
	if (m->heard != c->version && rand() % 3 == 0) {
		m->heard = c->version;
		m->told = info(0, 0);
		for (unsigned k = 0; k < c->n_list; k++)
			if (c->list[k] == m->id)
				m->told = info(k + 1, c->n_list);
		assert_ok(handover_see(&m->h, &m->told, c->now, &e), &e);
	}
	take_over(m, c);
	bool full = false;
	for (unsigned v = 0; v < CHURN_VBS; v++) {
		if (!m->owns[v])
			continue;
		for (int k = rand() % 4; k > 0 && m->pos[v] < c->high[v]; k--) {
			if (m->pos[v] - m->saved[v] >= WINDOW)
				break;
			uint64_t seqno = ++m->pos[v];
			if (seqno > c->delivered[v] + 1)
				fail_msg("vBucket %u: a gap before %u", v, (unsigned)seqno);
			c->duplicates += seqno <= c->delivered[v];
			c->delivered[v] = MAX(c->delivered[v], seqno);
		}
		full |= m->pos[v] - m->saved[v] >= WINDOW;
	}
	if (full || rand() % 8 == 0)
		member_save(c, m);
}

static void check_owners(const struct churn *c)
{
	for (unsigned v = 0; v < CHURN_VBS; v++) {
		unsigned unfenced = 0;
		for (unsigned i = 0; i < CHURN_MEMBERS; i++)
			unfenced += c->m[i].alive && c->m[i].owns[v] && c->s.cas[v] &&
				    c->m[i].handle->cas[v] == c->s.cas[v];
		if (unfenced > 1)
			fail_msg("vBucket %u has %u owners that may save", v, unfenced);
		if (c->delivered[v] - c->s.seqno[v] > WINDOW)
			fail_msg("vBucket %u: more than the window would come again", v);
	}
}

static void churn_step(struct churn *c, bool grow)
{
	c->now++;
	for (unsigned v = 0; v < CHURN_VBS && grow; v++)
		c->high[v] += rand() % 3 == 0;
	for (unsigned i = 0; i < CHURN_MEMBERS; i++)
		if (c->m[i].alive && !c->m[i].paused)
			member_run(c, &c->m[i]);
	check_owners(c);
}

static void change_something(struct churn *c)
{
	unsigned i = (unsigned)rand() % CHURN_MEMBERS;
	struct member *m = &c->m[i];
	if (!m->alive) {
		member_start(c, i);
		return;
	}
	switch (rand() % 4) {
	case 0: /* killed: the others notice */
		unlist(c, i);
		member_gone(c, i);
		return;
	case 1: /* stopped for so long that it is given up, but it does not know */
		m->paused = true;
		unlist(c, i);
		return;
	case 2: /* continued: it goes on where it was, and only later hears */
		m->paused = false;
		for (unsigned k = 0; k < c->n_list; k++)
			if (c->list[k] == i)
				return;
		c->list[c->n_list++] = i;
		c->version++;
		return;
	case 3: /* leaves: lets go first */
		if (!m->paused)
			member_save(c, m);
		unlist(c, i);
		member_gone(c, i);
	}
}

static void finish_churn(struct churn *c)
{
	for (unsigned i = 0; i < CHURN_MEMBERS; i++) {
		if (!c->m[i].alive)
			continue;
		c->m[i].paused = false;
		unlist(c, i);
		c->list[c->n_list++] = i;
		c->version++;
	}
	if (c->n_list == 0)
		member_start(c, 0);
	for (int k = 0; k < 2000; k++)
		churn_step(c, false);
	for (unsigned v = 0; v < CHURN_VBS; v++) {
		unsigned owners = 0;
		for (unsigned i = 0; i < CHURN_MEMBERS; i++)
			owners += c->m[i].alive && c->m[i].owns[v];
		assert_int_equal(owners, 1);
		assert_int_equal(c->delivered[v], c->high[v]);
	}
}

static void b5_members_come_go_stop_and_wake_and_no_two_may_save(void **state)
{
	(void)state;
	static struct churn c;
	long changes = test_count(500, 20000);
	unsigned seed = 1;
	memset(&c, 0, sizeof(c));
	srand(seed);
	member_start(&c, 0);
	for (long i = 0; i < changes; i++) {
		change_something(&c);
		for (int k = rand() % 60; k > 0; k--)
			churn_step(&c, true);
	}
	finish_churn(&c);
	assert_true(c.s.refused > 0); /* somebody was fenced, or this tests nothing */
	for (unsigned i = 0; i < CHURN_MEMBERS; i++)
		if (c.m[i].alive)
			member_gone(&c, i);
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
		cmocka_unit_test(weakness_9_who_loads_fences_who_had_it_before),
		cmocka_unit_test(a_claim_that_crosses_a_save_sees_what_was_saved),
		cmocka_unit_test(b8_a_claim_leaves_a_damaged_checkpoint_as_it_is),
		cmocka_unit_test(b5_members_come_go_stop_and_wake_and_no_two_may_save),
	};
	return cmocka_run_group_tests_name("dcp/membership", tests, NULL, NULL);
}
