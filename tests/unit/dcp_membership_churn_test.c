/* A group that changes all the time.
 *
 * The group's list is the test's; members learn of it late, are killed, stopped and continued, acknowledge late. Each
 * member is the real hand-over and the real claims over the shared store. */
#include "tests/dcp_claims.h"

#include <string.h>

enum { MEMBERS = 8, WINDOW = 20 };

struct member {
	bool alive, paused;
	unsigned id, heard; /* which version of the list it has heard */
	struct membership_info told;
	struct handover h;
	struct checkpoint_store *store;
	struct handle *handle;
	bool owns[SHARED_VBS];
	uint64_t pos[SHARED_VBS], saved[SHARED_VBS];
};

struct churn {
	struct shared s;
	struct member m[MEMBERS];
	unsigned list[MEMBERS], n_list, version; /* indexes into m by number */
	uint64_t high[SHARED_VBS],
		delivered[SHARED_VBS]; /* delivered: the prefix that somebody has seen */
	uint64_t duplicates;
	nsec now;
};

static void enlist(struct churn *c, unsigned i)
{
	c->list[c->n_list++] = i;
	c->version++;
}

static void member_start(struct churn *c, unsigned i)
{
	struct err e = ERR_INIT;
	struct member *m = &c->m[i];
	*m = (struct member){ .alive = true, .id = i };
	assert_ok(handover_init(&m->h, SPREAD_STEADY, SHARED_VBS, 30, &e), &e);
	m->store = claiming_open(&c->s, &m->handle);
	enlist(c, i);
}

static void member_gone(struct member *m)
{
	handover_done(&m->h);
	checkpoint_store_free(m->store);
	*m = (struct member){ 0 };
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

static void claim(struct member *m, const uint16_t *vb, size_t n)
{
	struct checkpoint cp[SHARED_VBS];
	struct err e = ERR_INIT;
	for (size_t i = 0; i < n; i++)
		cp[i] = (struct checkpoint){ .vb = vb[i] };
	assert_ok(checkpoint_load(m->store, cp, n, &e), &e);
	for (size_t i = 0; i < n; i++) {
		if (m->owns[vb[i]])
			continue;
		m->owns[vb[i]] = true;
		m->pos[vb[i]] = m->saved[vb[i]] = cp[i].found ? cp[i].pos.seqno : 0;
	}
}

static void let_go_all_but(struct member *m, const bool *next)
{
	uint16_t gone[SHARED_VBS];
	struct err e = ERR_INIT;
	size_t n_gone = 0;
	for (uint16_t v = 0; v < SHARED_VBS; v++) {
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

static void take_over(struct member *m, struct churn *c)
{
	uint16_t vb[SHARED_VBS];
	bool next[SHARED_VBS] = { false };
	size_t n;
	nsec due;
	if (handover_next(&m->h, c->now, vb, &n, &due) == 0)
		return;
	for (size_t i = 0; i < n; i++)
		next[vb[i]] = true;
	claim(m, vb, n);
	let_go_all_but(m, next);
}

static void member_save(struct churn *c, struct member *m)
{
	struct checkpoint cp[SHARED_VBS];
	bool fenced[SHARED_VBS];
	struct err e = ERR_INIT;
	size_t n = 0;
	for (uint16_t v = 0; v < SHARED_VBS; v++)
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
	assert_true(checkpoint_claiming_fenced(m->store, fenced, SHARED_VBS) > 0);
	for (size_t i = 0; i < n; i++)
		if (!fenced[cp[i].vb])
			m->saved[cp[i].vb] = cp[i].pos.seqno;
	for (uint16_t v = 0; v < SHARED_VBS; v++)
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
		m->told = (struct membership_info){ 0 };
		for (unsigned k = 0; k < c->n_list; k++)
			if (c->list[k] == m->id)
				m->told = (struct membership_info){ .member = k + 1,
								    .total = c->n_list };
		assert_ok(handover_see(&m->h, &m->told, c->now, &e), &e);
	}
	take_over(m, c);
	bool full = false;
	for (unsigned v = 0; v < SHARED_VBS; v++) {
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
	for (unsigned v = 0; v < SHARED_VBS; v++) {
		unsigned unfenced = 0;
		for (unsigned i = 0; i < MEMBERS; i++)
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
	for (unsigned v = 0; v < SHARED_VBS && grow; v++)
		c->high[v] += rand() % 3 == 0;
	for (unsigned i = 0; i < MEMBERS; i++)
		if (c->m[i].alive && !c->m[i].paused)
			member_run(c, &c->m[i]);
	check_owners(c);
}

static void change_something(struct churn *c)
{
	unsigned i = (unsigned)rand() % MEMBERS;
	struct member *m = &c->m[i];
	if (!m->alive) {
		member_start(c, i);
		return;
	}
	switch (rand() % 4) {
	case 0: /* killed: the others notice */
		unlist(c, i);
		member_gone(m);
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
		enlist(c, i);
		return;
	case 3: /* leaves: lets go first */
		if (!m->paused)
			member_save(c, m);
		unlist(c, i);
		member_gone(m);
	}
}

static void finish_churn(struct churn *c)
{
	for (unsigned i = 0; i < MEMBERS; i++) {
		if (!c->m[i].alive)
			continue;
		c->m[i].paused = false;
		unlist(c, i);
		enlist(c, i);
	}
	if (c->n_list == 0)
		member_start(c, 0);
	for (int k = 0; k < 2000; k++)
		churn_step(c, false);
	for (unsigned v = 0; v < SHARED_VBS; v++) {
		unsigned owners = 0;
		for (unsigned i = 0; i < MEMBERS; i++)
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
	for (unsigned i = 0; i < MEMBERS; i++)
		if (c.m[i].alive)
			member_gone(&c.m[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(b5_members_come_go_stop_and_wake_and_no_two_may_save),
	};
	return cmocka_run_group_tests_name("dcp/membership_churn", tests, NULL, NULL);
}
