/* source_assign.c: which vBuckets are streamed, from where, and who is told when that changes.
 *
 *	the whole new set ─▶ what leaves: stopped, saved, let go
 *	                 └─▶ what comes: loaded before anything stops, started
 *
 * `assigning` is held from beginning to end, hooks included; `api` only while the store is used, so that a hook may
 * commit. */
#include "dcp/source_internal.h"

#include "base/mem.h"

#include <stdio.h>

static void hook(struct dcp_source *s, enum dcp_hook h, const uint16_t *vb, size_t n)
{
	if (s->o.hook)
		s->o.hook(s->o.hook_arg, h, vb, n);
}

/* On the I/O thread: first the ones stop, then the others start. */
static void carry_out(struct dcp_source *s, const uint16_t *stop, size_t n_stop,
		      const struct checkpoint *start, size_t n_start)
{
	mutex_lock(&s->lock);
	s->command_stop = stop;
	s->command_n_stop = n_stop;
	s->command_start = start;
	s->command_n_start = n_start;
	s->command_done = false;
	s->command = true;
	mutex_unlock(&s->lock);
	source_wake(s);
	mutex_lock(&s->lock);
	while (!s->command_done)
		cond_wait(&s->changed, &s->lock);
	mutex_unlock(&s->lock);
}

/* What leaves: stopped, its last acknowledgements saved, and from then on it takes none. */
static int let_go(struct dcp_source *s, const uint16_t *vb, size_t n, struct err *e)
{
	if (n == 0)
		return 0;
	hook(s, DCP_BEFORE_STREAM_STOP, vb, n);
	carry_out(s, vb, n, NULL, 0);
	mutex_lock(&s->lock);
	for (size_t i = 0; i < n; i++)
		s->slot[vb[i]].leaving = true;
	mutex_unlock(&s->lock);
	mutex_lock(&s->api);
	int rc = s->o.store ? source_save(s, SAVE_ALL, e) : 0;
	mutex_lock(&s->lock);
	for (size_t i = 0; i < n; i++) {
		struct slot *slot = &s->slot[vb[i]];
		if (slot->owned)
			ack_done(&slot->w);
		slot->owned = slot->held = slot->leaving = false;
		source_branch_settled(s, slot);
	}
	mutex_unlock(&s->lock);
	mutex_unlock(&s->api);
	hook(s, DCP_AFTER_STREAM_STOP, vb, n);
	return rc;
}

static void begin(struct dcp_source *s, const uint16_t *vb, const struct checkpoint *cp, size_t n)
{
	if (n == 0)
		return;
	hook(s, DCP_BEFORE_STREAM_START, vb, n);
	mutex_lock(&s->lock);
	for (size_t i = 0; i < n; i++)
		s->slot[vb[i]].held = true;
	mutex_unlock(&s->lock);
	carry_out(s, NULL, 0, cp, n);
	hook(s, DCP_AFTER_STREAM_START, vb, n);
}

static const struct checkpoint *place_given(const struct dcp_source *s, uint16_t vb)
{
	for (size_t i = 0; i < s->o.n_start_at; i++)
		if (s->o.start_at[i].vb == vb)
			return &s->o.start_at[i];
	return NULL;
}

/* From the store, and for what it does not know from what the caller gave. */
static int load_checkpoints(struct dcp_source *s, struct checkpoint *cp, size_t n, struct err *e)
{
	if (s->o.store && n) {
		mutex_lock(&s->api);
		int rc = checkpoint_load(s->o.store, cp, n, e);
		mutex_unlock(&s->api);
		if (rc < 0)
			return rc;
	}
	for (size_t i = 0; s->o.n_start_at && i < n; i++) {
		const struct checkpoint *given = cp[i].found ? NULL : place_given(s, cp[i].vb);
		if (given) {
			cp[i] = *given;
			cp[i].found = true;
		}
	}
	return 0;
}

/* What an assignment changes. */
struct change {
	uint16_t *leave, *come;
	size_t n_leave, n_come;
	struct checkpoint *cp; /* of what comes */
};

static void change_done(struct change *c)
{
	mem_free(c->leave);
	mem_free(c->come);
	mem_free(c->cp);
}

static int change_of(struct dcp_source *s, const uint16_t *vb, size_t n, struct change *c,
		     struct err *e)
{
	size_t room = (size_t)s->n_slots + 1;
	bool *wanted = mem_try_array(room, sizeof(*wanted));
	*c = (struct change){ .leave = mem_try_array(room, sizeof(*c->leave)),
			      .come = mem_try_array(room, sizeof(*c->come)),
			      .cp = mem_try_array(room, sizeof(*c->cp)) };
	if (!wanted || !c->leave || !c->come || !c->cp) {
		mem_free(wanted);
		return err_nomem(e);
	}
	for (size_t i = 0; i < n; i++)
		wanted[vb[i]] = true;
	mutex_lock(&s->lock);
	for (uint32_t i = 0; i < s->n_slots; i++) {
		bool held = s->slot[i].held;
		if (held && !wanted[i])
			c->leave[c->n_leave++] = (uint16_t)i;
		else if (!held && wanted[i])
			c->come[c->n_come++] = (uint16_t)i;
	}
	mutex_unlock(&s->lock);
	for (size_t i = 0; i < c->n_come; i++)
		c->cp[i].vb = c->come[i];
	mem_free(wanted);
	return 0;
}

static int make_change(struct dcp_source *s, const struct change *c, bool rebalance, struct err *e)
{
	if (rebalance)
		hook(s, DCP_BEFORE_REBALANCE_START, c->leave, c->n_leave);
	int rc = let_go(s, c->leave, c->n_leave, e);
	if (rebalance) {
		hook(s, DCP_AFTER_REBALANCE_START, c->leave, c->n_leave);
		hook(s, DCP_BEFORE_REBALANCE_END, c->come, c->n_come);
	}
	begin(s, c->come, c->cp, c->n_come);
	if (rebalance) {
		hook(s, DCP_AFTER_REBALANCE_END, c->come, c->n_come);
		mutex_lock(&s->lock);
		s->rebalances++;
		mutex_unlock(&s->lock);
	}
	return rc;
}

int dcp_source_assign(struct dcp_source *s, const uint16_t *vb, size_t n, struct err *e)
{
	struct change c;
	for (size_t i = 0; i < n; i++)
		if (vb[i] >= s->n_slots)
			return err_set(e, ERR_INVALID, "there is no vBucket %u, only 0 to %u",
				       vb[i], s->n_slots - 1);
	mutex_lock(&s->assigning);
	int rc = change_of(s, vb, n, &c, e);
	if (rc == 0)
		rc = load_checkpoints(s, c.cp, c.n_come, e);
	if (rc == 0 && c.n_leave + c.n_come > 0) {
		rc = make_change(s, &c, s->assigned_before, e);
		s->assigned_before = true;
	}
	change_done(&c);
	mutex_unlock(&s->assigning);
	return rc;
}

/* ---- seeking ---- */

static int all_held(struct dcp_source *s, const struct checkpoint *cp, size_t n, struct err *e)
{
	int rc = 0;
	mutex_lock(&s->lock);
	for (size_t i = 0; i < n && rc == 0; i++)
		if (cp[i].vb >= s->n_slots || !s->slot[cp[i].vb].held)
			rc = err_set(e, ERR_NOTFOUND, "vBucket %u is not assigned", cp[i].vb);
	mutex_unlock(&s->lock);
	return rc;
}

/* In one save. A place without a branch is saved once the stream has told which one it is. */
static int save_places(struct dcp_source *s, struct checkpoint *cp, size_t n, struct err *e)
{
	size_t n_known = 0;
	if (!s->o.store)
		return 0;
	struct checkpoint *known = mem_try_array(n + 1, sizeof(*known));
	if (!known)
		return err_nomem(e);
	mutex_lock(&s->lock);
	for (size_t i = 0; i < n; i++) {
		(void)snprintf(cp[i].bucket_uuid, sizeof(cp[i].bucket_uuid), "%s", s->map->uuid);
		if (!cp[i].any_branch)
			known[n_known++] = cp[i];
	}
	mutex_unlock(&s->lock);
	mutex_lock(&s->api);
	int rc = checkpoint_save(s->o.store, known, n_known, e);
	mutex_unlock(&s->api);
	mem_free(known);
	return rc;
}

int dcp_source_seek(struct dcp_source *s, struct checkpoint *cp, size_t n, struct err *e)
{
	uint16_t *vb = mem_try_array(n + 1, sizeof(*vb));
	if (!vb)
		return err_nomem(e);
	mutex_lock(&s->assigning);
	int rc = all_held(s, cp, n, e);
	if (rc == 0) {
		for (size_t i = 0; i < n; i++) {
			vb[i] = cp[i].vb;
			cp[i].found = cp[i].again = true;
		}
		rc = let_go(s, vb, n, e);
		int saved = save_places(s, cp, n, rc == 0 ? e : NULL);
		rc = rc < 0 ? rc : saved;
		if (rc != ERR_FENCED && saved != ERR_FENCED)
			begin(s, vb, cp, n);
	}
	mutex_unlock(&s->assigning);
	mem_free(vb);
	return rc;
}

int dcp_source_assign_share(struct dcp_source *s, uint32_t member, uint32_t total, struct err *e)
{
	uint32_t first, count;
	if (member < 1 || member > total)
		return err_set(e, ERR_INVALID, "member %u of %u", member, total);
	cluster_share(s->n_slots, member, total, &first, &count);
	uint16_t *vb = mem_try_array(count + 1, sizeof(*vb));
	if (!vb)
		return err_nomem(e);
	for (uint32_t i = 0; i < count; i++)
		vb[i] = (uint16_t)(first + i);
	int rc = dcp_source_assign(s, vb, count, e);
	mem_free(vb);
	return rc;
}

int dcp_source_close(struct dcp_source *s, struct err *e)
{
	struct change c;
	if (!s)
		return 0;
	mutex_lock(&s->assigning);
	int rc = change_of(s, NULL, 0, &c, e);
	if (rc < 0 && s->o.store)
		(void)dcp_source_commit(s, NULL);
	int left = let_go(s, c.leave, c.n_leave, rc == 0 ? e : NULL);
	change_done(&c);
	mutex_unlock(&s->assigning);
	source_free(s);
	return rc < 0 ? rc : left;
}
