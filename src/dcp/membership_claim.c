/* membership_claim.c: a store in which what is loaded is claimed.
 *
 *	         load: read, and written back as it is                  save: FENCED
 *	FREE ───────────────────────────────────────────▶ HELD ───────────────────────▶ FENCED
 *	  ▲                                                 │                              │
 *	  └───────────────── release ───────────────────────┴──────── release, load ───────┘
 *
 * The store below compares and swaps. Writing back what was read changes what the last owner would have to match, so
 * from then on its saves fail, however long it slept before them; and since what is held is never read again, it cannot
 * learn the new one by accident. If somebody saved between the reading and the writing, the newer state is read and
 * claimed instead.
 *
 * A save of many vBuckets that is fenced is cut in halves until those that were taken stand alone; all others are
 * saved. */
#include "dcp/membership.h"

#include "base/mem.h"
#include "os/thread.h"

#include <stdlib.h>

enum { FREE, HELD, FENCED };

enum { CLAIM_ROUNDS = 8 };

struct claimed {
	uint8_t state;
	struct checkpoint *last; /* HELD: what was loaded or saved last */
};

struct claiming {
	struct checkpoint_store base;
	struct checkpoint_store *inner;
	struct mutex lock; /* guards vb, and inner's calls with it */
	struct claimed *vb;
	size_t n_vb; /* room */
};

static int make_room(struct claiming *s, const struct checkpoint *c, size_t n, struct err *e)
{
	size_t most = 0;
	for (size_t i = 0; i < n; i++)
		most = MAX(most, (size_t)c[i].vb + 1);
	if (most <= s->n_vb)
		return 0;
	struct claimed *grown = mem_retry(s->vb, most * sizeof(*grown));
	if (!grown)
		return err_nomem(e);
	memset(grown + s->n_vb, 0, (most - s->n_vb) * sizeof(*grown));
	s->vb = grown;
	s->n_vb = most;
	return 0;
}

static void drop(struct claimed *k, uint8_t state)
{
	mem_free(k->last);
	k->last = NULL;
	k->state = state;
}

static int hold(struct claiming *s, const struct checkpoint *c, struct err *e)
{
	struct claimed *k = &s->vb[c->vb];
	if (!k->last)
		k->last = mem_try(sizeof(*k->last));
	if (!k->last)
		return err_nomem(e);
	*k->last = *c;
	k->state = HELD;
	return 0;
}

/* Saves what can be saved; lost[i] is set for what another owner has taken. 0, or an error that is not ERR_FENCED. */
static int save_apart(struct checkpoint_store *inner, const struct checkpoint *c, size_t n,
		      bool *lost, struct err *e)
{
	if (n == 0)
		return 0;
	int rc = checkpoint_save(inner, c, n, e);
	if (rc != ERR_FENCED)
		return rc;
	if (n == 1) {
		lost[0] = true;
		return 0;
	}
	rc = save_apart(inner, c, n / 2, lost, e);
	return rc < 0 ? rc : save_apart(inner, c + n / 2, n - n / 2, lost + n / 2, e);
}

/* A claim of what nobody had saved yet is a position of zero. */
static void read_as_none(struct checkpoint *c)
{
	if (c->found && c->pos.seqno == 0 && c->pos.uuid == 0)
		*c = (struct checkpoint){ .vb = c->vb };
}

/* What cannot be read stays as it is: to write it over would hide the damage. Its CAS is known, so it is still fenced:
 * either the last owner writes first, or we do. Puts those to the end; how many are whole. */
static size_t whole_first(struct checkpoint *part, size_t n)
{
	size_t whole = 0;
	for (size_t i = 0; i < n; i++) {
		if (part[i].damaged)
			continue;
		struct checkpoint t = part[whole];
		part[whole++] = part[i];
		part[i] = t;
	}
	return whole;
}

/* Claims part[0..n); on return all of it is loaded and written back. Reorders part. */
static int claim(struct claiming *s, struct checkpoint *part, size_t n, struct err *e)
{
	bool *lost = mem_try_array(n + 1, sizeof(*lost));
	if (!lost)
		return err_nomem(e);
	size_t open = n; /* part[0..open) is still to be claimed */
	int rc = 0;
	for (int round = 0; open && rc == 0 && round < CLAIM_ROUNDS; round++) {
		memset(lost, 0, n * sizeof(*lost));
		rc = checkpoint_load(s->inner, part, open, e);
		if (rc == 0)
			rc = save_apart(s->inner, part, whole_first(part, open), lost, e);
		size_t left = 0;
		for (size_t i = 0; rc == 0 && i < open; i++) {
			if (!lost[i])
				continue;
			struct checkpoint t = part[left];
			part[left++] = part[i];
			part[i] = t;
		}
		open = rc == 0 ? left : open;
	}
	mem_free(lost);
	if (rc == 0 && open)
		rc = err_set(e, ERR_FENCED,
			     "vBucket %u: another member keeps changing the checkpoint",
			     part[0].vb);
	return rc;
}

static int by_vb(const void *a, const void *b)
{
	return (int)((const struct checkpoint *)a)->vb - (int)((const struct checkpoint *)b)->vb;
}

static int load_new(struct claiming *s, struct checkpoint *c, size_t n, struct checkpoint *part,
		    struct err *e)
{
	size_t n_part = 0;
	for (size_t i = 0; i < n; i++) {
		if (s->vb[c[i].vb].state == HELD)
			c[i] = *s->vb[c[i].vb].last;
		else
			part[n_part++] = (struct checkpoint){ .vb = c[i].vb };
	}
	int rc = claim(s, part, n_part, e);
	if (rc < 0)
		return rc;
	qsort(part, n_part, sizeof(*part), by_vb);
	for (size_t i = 0; i < n_part && rc == 0; i++) {
		read_as_none(&part[i]);
		rc = hold(s, &part[i], e);
	}
	for (size_t i = 0; i < n && rc == 0; i++) {
		struct checkpoint *mine = bsearch(&c[i], part, n_part, sizeof(*part), by_vb);
		if (mine)
			c[i] = *mine;
	}
	return rc;
}

static int load(struct checkpoint_store *base, struct checkpoint *c, size_t n, struct err *e)
{
	struct claiming *s = container_of(base, struct claiming, base);
	struct checkpoint *part = mem_try_array(n + 1, sizeof(*part));
	if (!part)
		return err_nomem(e);
	mutex_lock(&s->lock);
	int rc = make_room(s, c, n, e);
	if (rc == 0)
		rc = load_new(s, c, n, part, e);
	mutex_unlock(&s->lock);
	mem_free(part);
	return rc;
}

static int save_held(struct claiming *s, const struct checkpoint *c, size_t n,
		     struct checkpoint *part, bool *lost, struct err *e)
{
	size_t n_part = 0, gone = 0;
	uint16_t first = 0;
	for (size_t i = 0; i < n; i++) {
		bool held = c[i].vb < s->n_vb && s->vb[c[i].vb].state == HELD;
		if (held)
			part[n_part++] = c[i];
		else if (gone++ == 0)
			first = c[i].vb;
	}
	int rc = save_apart(s->inner, part, n_part, lost, e);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < n_part; i++) {
		if (!lost[i]) {
			*s->vb[part[i].vb].last = part[i];
			continue;
		}
		drop(&s->vb[part[i].vb], FENCED);
		if (gone++ == 0)
			first = part[i].vb;
	}
	if (gone == 0)
		return 0;
	(void)err_set(e, ERR_FENCED,
		      "%zu vBuckets, the first is %u, belong to another member by now; the rest is "
		      "saved",
		      gone, first);
	if (e)
		e->newest = first;
	return ERR_FENCED;
}

static int save(struct checkpoint_store *base, const struct checkpoint *c, size_t n, struct err *e)
{
	struct claiming *s = container_of(base, struct claiming, base);
	struct checkpoint *part = mem_try_array(n + 1, sizeof(*part));
	bool *lost = mem_try_array(n + 1, sizeof(*lost));
	int rc = ERR_NOMEM;
	if (part && lost) {
		mutex_lock(&s->lock);
		rc = save_held(s, c, n, part, lost, e);
		mutex_unlock(&s->lock);
	} else {
		rc = err_nomem(e);
	}
	mem_free(part);
	mem_free(lost);
	return rc;
}

static int clear(struct checkpoint_store *base, const uint16_t *vb, size_t n, struct err *e)
{
	struct claiming *s = container_of(base, struct claiming, base);
	mutex_lock(&s->lock);
	int rc = checkpoint_clear(s->inner, vb, n, e);
	mutex_unlock(&s->lock);
	return rc;
}

static void free_(struct checkpoint_store *base)
{
	struct claiming *s = container_of(base, struct claiming, base);
	for (size_t i = 0; i < s->n_vb; i++)
		mem_free(s->vb[i].last);
	mem_free(s->vb);
	checkpoint_store_free(s->inner);
	mutex_done(&s->lock);
	mem_free(s);
}

static const struct checkpoint_store_ops ops = { load, save, clear, free_ };

int checkpoint_claiming(struct checkpoint_store *inner, struct checkpoint_store **out,
			struct err *e)
{
	struct claiming *s = mem_try(sizeof(*s));
	if (!s)
		return err_nomem(e);
	s->base.ops = &ops;
	s->inner = inner;
	mutex_init(&s->lock);
	*out = &s->base;
	return 0;
}

void checkpoint_claiming_release(struct checkpoint_store *base, const uint16_t *vb, size_t n)
{
	struct claiming *s = container_of(base, struct claiming, base);
	ASSERT(base->ops == &ops);
	mutex_lock(&s->lock);
	for (size_t i = 0; i < n; i++)
		if (vb[i] < s->n_vb)
			drop(&s->vb[vb[i]], FREE);
	mutex_unlock(&s->lock);
}

size_t checkpoint_claiming_fenced(struct checkpoint_store *base, bool *fenced, size_t n)
{
	struct claiming *s = container_of(base, struct claiming, base);
	size_t count = 0;
	ASSERT(base->ops == &ops);
	mutex_lock(&s->lock);
	for (size_t i = 0; i < n; i++) {
		fenced[i] = i < s->n_vb && s->vb[i].state == FENCED;
		count += fenced[i];
	}
	mutex_unlock(&s->lock);
	return count;
}
