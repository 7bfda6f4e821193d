#include "dcp/membership_run.h"

#include "base/mem.h"
#include "os/env.h"
#include "os/thread.h"

#define RETRY_AFTER NSEC_PER_SEC
#define LOOK_AFTER  NSEC_PER_SEC /* how often it is asked whether something was fenced */

struct membership_run {
	struct membership_run_options o;
	struct thread thread;
	struct mutex lock; /* guards stop, woken, status, peer */
	struct cond changed;
	bool stop, woken;
	struct membership_status status;
	struct membership_peer *peer;
	size_t n_peers;
	/* the thread's */
	struct handover h;
	uint16_t *vb; /* the set */
	size_t n;
	bool *held, *flags;
	bool again;
	nsec step_at, again_at;
	struct err left; /* of the last assignment, when it failed; for membership_run_stop */
};

static void note(struct membership_run *r, const struct err *e, bool over)
{
	mutex_lock(&r->lock);
	r->status.error = *e;
	r->status.over |= over;
	mutex_unlock(&r->lock);
}

/* What was in the last set and is not in this one may be claimed anew from now on. */
static void release_gone(struct membership_run *r)
{
	memset(r->flags, 0, r->o.n_vbuckets);
	for (size_t i = 0; i < r->n; i++)
		r->flags[r->vb[i]] = true;
	for (uint32_t v = 0; v < r->o.n_vbuckets; v++) {
		uint16_t vb = (uint16_t)v;
		if (r->held[v] && !r->flags[v] && r->o.claims)
			checkpoint_claiming_release(r->o.claims, &vb, 1);
		r->held[v] = r->flags[v];
	}
}

/* That of the last set and, where some come, of the next one: both are claimed before the others are let go. */
static void tell_held(struct membership_run *r, bool with_next)
{
	const struct membership_ops *ops = r->o.membership->ops;
	if (!ops->tell_held)
		return;
	memcpy(r->flags, r->held, r->o.n_vbuckets * sizeof(*r->flags));
	for (size_t i = 0; with_next && i < r->n; i++)
		r->flags[r->vb[i]] = true;
	ops->tell_held(r->o.membership, r->flags, r->o.n_vbuckets);
}

/* What was fenced while it was let go is let go by now: it is tried again at once. */
static void give(struct membership_run *r)
{
	struct err e = ERR_INIT;
	bool first = !r->again;
	tell_held(r, true);
	int rc = r->o.assign(r->o.arg, r->vb, r->n, &e);
	r->again = rc < 0;
	r->again_at = env_mono(r->o.env) + (first && rc == ERR_FENCED ? 0 : RETRY_AFTER);
	if (rc < 0) {
		note(r, &e, false);
		return;
	}
	release_gone(r);
	tell_held(r, false);
	mutex_lock(&r->lock);
	r->status.n_held = (uint32_t)r->n;
	r->status.changes++;
	mutex_unlock(&r->lock);
}

static void drop_fenced(struct membership_run *r)
{
	bool any = false;
	if (!r->o.claims || checkpoint_claiming_fenced(r->o.claims, r->flags, r->o.n_vbuckets) == 0)
		return;
	for (uint32_t v = 0; v < r->o.n_vbuckets; v++)
		any |= r->flags[v] &= r->held[v];
	if (any)
		handover_lost(&r->h, r->flags, env_mono(r->o.env), MAX(r->o.delay, RETRY_AFTER));
}

/* What others have is waited for: they save it before they let it go, so that nothing comes twice. Who does not let go
 * in time loses it all the same, and what it has not saved. */
static void look_who_has_it(struct membership_run *r, nsec now)
{
	struct membership *m = r->o.membership;
	if (!m->ops->find_held || !handover_grows(&r->h, now))
		return;
	memset(r->flags, 0, r->o.n_vbuckets * sizeof(*r->flags));
	nsec again = m->ops->find_held(m, r->flags, r->o.n_vbuckets);
	bool patient = now - r->h.changed < m->patience;
	handover_busy(&r->h, patient ? r->flags : NULL, again);
}

/* When something is due again. */
static nsec hand_over(struct membership_run *r)
{
	nsec due = -1;
	drop_fenced(r);
	nsec now = env_mono(r->o.env); /* for both: nothing comes that was not looked for */
	look_who_has_it(r, now);
	if (handover_next(&r->h, now, r->vb, &r->n, &due) ||
	    (r->again && env_mono(r->o.env) >= r->again_at))
		give(r);
	if (r->again && (due < 0 || r->again_at < due))
		due = r->again_at;
	return due;
}

static void copy_peers(struct membership_run *r)
{
	size_t n = membership_peers(r->o.membership, NULL, 0);
	struct membership_peer *peer = mem_try_array(n + 1, sizeof(*peer));
	if (!peer)
		return; /* the older copy stays */
	n = membership_peers(r->o.membership, peer, n);
	mutex_lock(&r->lock);
	struct membership_peer *old = r->peer;
	r->peer = peer;
	r->n_peers = n;
	mutex_unlock(&r->lock);
	mem_free(old);
}

static void step(struct membership_run *r)
{
	struct membership_info info = { 0 };
	struct err e = ERR_INIT;
	nsec next = RETRY_AFTER;
	int rc = membership_step(r->o.membership, &info, &next, &e);
	nsec now = env_mono(r->o.env);
	r->step_at = now + next;
	note(r, rc < 0 ? &e : &r->o.membership->trouble, rc < 0);
	if (handover_see(&r->h, &info, now, &e) < 0)
		note(r, &e, false);
	if (membership_has_list(r->o.membership))
		copy_peers(r);
	if (r->o.limit)
		r->o.limit(r->o.arg, !info.member ? now : info.until ? info.until : INT64_MAX);
	mutex_lock(&r->lock);
	r->status.info = info;
	mutex_unlock(&r->lock);
}

/* One step, and what follows from it; when to come again. */
static nsec turn(struct membership_run *r)
{
	if (env_mono(r->o.env) >= r->step_at)
		step(r);
	nsec due = hand_over(r), look = env_mono(r->o.env) + LOOK_AFTER;
	nsec until = r->o.claims ? MIN(r->step_at, look) : r->step_at;
	mutex_lock(&r->lock);
	r->status.settled = r->status.info.member && due < 0;
	mutex_unlock(&r->lock);
	return due >= 0 ? MIN(until, due) : until;
}

static void *run(void *arg)
{
	struct membership_run *r = arg;
	mutex_lock(&r->lock);
	while (!r->stop) {
		if (r->woken)
			r->step_at = 0;
		r->woken = false;
		mutex_unlock(&r->lock);
		nsec until = turn(r);
		mutex_lock(&r->lock);
		while (!r->stop && !r->woken && env_mono(r->o.env) < until)
			(void)cond_wait_until(&r->changed, &r->lock, until);
	}
	mutex_unlock(&r->lock);
	(void)r->o.assign(r->o.arg, NULL, 0, &r->left);
	membership_leave(r->o.membership);
	return NULL;
}

static void run_free(struct membership_run *r)
{
	handover_done(&r->h);
	mem_free(r->vb);
	mem_free(r->held);
	mem_free(r->flags);
	mem_free(r->peer);
	mutex_done(&r->lock);
	cond_done(&r->changed);
	mem_free(r);
}

static int first_turn(struct membership_run *r, struct err *e)
{
	(void)turn(r);
	int rc = r->again || r->status.over ? r->status.error.code : 0;
	if (rc && e)
		*e = r->status.error;
	return rc;
}

int membership_run_start(const struct membership_run_options *o, struct membership_run **out,
			 struct err *e)
{
	struct membership_run *r = mem_try(sizeof(*r));
	if (!r)
		return err_nomem(e);
	size_t room = (size_t)o->n_vbuckets + 1;
	r->o = *o;
	if (!r->o.env)
		r->o.env = env_posix();
	mutex_init(&r->lock);
	cond_init(&r->changed);
	r->vb = mem_try_array(room, sizeof(*r->vb));
	r->held = mem_try_array(room, sizeof(*r->held));
	r->flags = mem_try_array(room, sizeof(*r->flags));
	int rc = r->vb && r->held && r->flags ? 0 : err_nomem(e);
	if (rc == 0)
		rc = handover_init(&r->h, o->how, o->n_vbuckets, o->delay, e);
	if (rc == 0 && o->fixed)
		rc = first_turn(r, e);
	if (rc == 0)
		rc = thread_start(&r->thread, "weir-member", run, r, e);
	if (rc < 0) {
		run_free(r);
		return rc;
	}
	*out = r;
	return 0;
}

void membership_run_wake(struct membership_run *r)
{
	mutex_lock(&r->lock);
	r->woken = true;
	cond_signal(&r->changed);
	mutex_unlock(&r->lock);
}

int membership_run_stop(struct membership_run *r, struct err *e)
{
	if (!r)
		return 0;
	mutex_lock(&r->lock);
	r->stop = true;
	cond_signal(&r->changed);
	mutex_unlock(&r->lock);
	thread_join(&r->thread);
	int rc = r->left.code;
	if (rc < 0 && e)
		*e = r->left;
	membership_free(r->o.membership);
	run_free(r);
	return rc;
}

void membership_run_status(struct membership_run *r, struct membership_status *out)
{
	mutex_lock(&r->lock);
	*out = r->status;
	mutex_unlock(&r->lock);
}

int membership_run_peers(struct membership_run *r, struct membership_peer **out, size_t *n,
			 struct err *e)
{
	int rc = 0;
	mutex_lock(&r->lock);
	*n = r->n_peers;
	*out = r->n_peers ? mem_try_array(r->n_peers, sizeof(**out)) : NULL;
	if (*out)
		memcpy(*out, r->peer, r->n_peers * sizeof(**out));
	else if (r->n_peers)
		rc = err_nomem(e);
	mutex_unlock(&r->lock);
	return rc;
}
