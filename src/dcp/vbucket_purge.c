/* vbucket_purge.c: deletions that are gone.
 *
 * A server forgets deletions after a while. Who has a document from before, and comes back below what is purged, will
 * never be told that it was deleted:
 *
 *	what the consumer has    a1 b2                    what the server has by then    b2 ........ c9   purged up to 5
 *	what had happened        a1 b2 ... a deleted (5) ... c9                              (no word of a)
 *
 * Above 0 the server sees to it: a request below the purge seqno is answered with ROLLBACK 0, unless it names the very
 * purge seqno that the server has. A client may do so when it was told of it at or below the place where it resumes (in
 * the middle of a first read, that is), even after a restart: it is part of the checkpoint.
 *
 * A request from 0 is never rolled back, since who begins there mostly has nothing. When something had been handed out all
 * the same, its consumer is told to forget it: as a rollback to 0, the checkpoint first. Whether anything was purged
 * since says
 *
 *	a disk snapshot of a server since 8.0   its marker (2.2)
 *	older ones, and out-of-order snapshots  the vBucket's statistics, asked when the snapshot has begun, so that no purge
 *	                                        comes between; until they answer the gate is shut. When they are refused the
 *	                                        consumer is told.
 *	a memory snapshot                       nothing: all that was deleted since 0 is in it
 *
 * The number known may be too low, never too high. So that out-of-order snapshots have one to compare with, the statistics
 * are also asked before the first request. */
#include "dcp/vbucket_internal.h"

static bool minds(const struct vbucket *v)
{
	return !(v->config->stream_flags & STREAM_IGNORE_PURGED);
}

/* Something was handed out, and comes again without the server's protection. */
static bool unprotected(const struct vbucket *v)
{
	return v->pos.seqno == 0 && v->delivered > 0 && minds(v);
}

void vb_know_purge(struct vbucket *v, const struct dcp_purge *p)
{
	struct dcp_purge now = p ? *p : (struct dcp_purge){ 0 };
	if (memcmp(&now, &v->purge, sizeof(now)) == 0)
		return;
	v->purge = now;
	v->config->ops->purge(v->config->arg, v);
}

/* Nothing that was handed out counts: told as a rollback to 0, when no checkpoint says otherwise. */
static void begin_anew(struct vbucket *v)
{
	v->config->ops->close_stream(v->config->arg, v, v->node, vbucket_opaque(v));
	vb_abandon(v);
	vb_drop_all_held(v);
	vb_know_purge(v, NULL);
	v->pos = (struct dcp_position){ .uuid = vb_branch_of(v, 0) };
	points_cut(&v->points, 0);
	v->rollback_to = v->rollback_server = 0;
	vb_enter(v, VB_REWIND);
	v->retreating = true;
	v->config->ops->retreat(v->config->arg, v, &v->pos);
}

static bool is_same(const struct vbucket *v, uint64_t purged)
{
	return v->purge.uuid && v->purge.uuid == v->log.entry[0].uuid && v->purge.seqno == purged;
}

bool vb_learn_purge(struct vbucket *v, uint64_t purged)
{
	if (v->checking) /* what is known must stay: it is going to be compared */
		return true;
	v->purge_settled = true;
	if (is_same(v, purged))
		return true;
	if (unprotected(v) && purged > 0) {
		begin_anew(v);
		return false;
	}
	vb_know_purge(v, &(struct dcp_purge){ purged, v->pos.seqno, v->log.entry[0].uuid });
	return true;
}

/* ---- statistics ---- */

bool vb_asks_purge_first(const struct vbucket *v)
{
	return v->config->ask_purge_first && v->pos.seqno == 0 && minds(v);
}

void vb_ask_purge(struct vbucket *v)
{
	v->answer = (struct dcp_purge){ .from = UINT64_MAX };
	v->config->ops->ask_purge(v->config->arg, v);
}

/* What was known before is of another stream, maybe of another copy, which had purged more. */
static void know_what_was_asked(struct vbucket *v)
{
	bool usable = v->requested == 0 && v->asked.uuid == v->log.entry[0].uuid;
	vb_know_purge(v, usable ? &v->asked : NULL);
}

void vb_doubt_purge(struct vbucket *v, bool from_disk)
{
	if (v->purge_settled)
		return;
	v->purge_settled = true;
	if (!from_disk || !unprotected(v)) {
		know_what_was_asked(v);
		return;
	}
	v->checking = true;
	v->gate = GATE_SHUT;
	vb_ask_purge(v);
}

static void stop_checking(struct vbucket *v)
{
	v->checking = false;
	v->gate = v->open_gate;
}

void vb_stop_checking(struct vbucket *v)
{
	stop_checking(v);
	v->pos = (struct dcp_position){ .uuid = vb_branch_of(v, 0) };
	points_cut(&v->points, 0);
	vb_drop_held(v, &v->pos);
}

static bool number(struct slice text, uint64_t *out)
{
	uint64_t n = 0;
	for (size_t i = 0; i < text.len; i++)
		if (text.p[i] < '0' || text.p[i] > '9' || __builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, text.p[i] - '0', &n))
			return false;
	*out = n;
	return text.len > 0;
}

/* "vb_40:purge_seqno". */
static void take_statistic(struct dcp_purge *a, const struct packet *p)
{
	const uint8_t *colon = memchr(p->key.p, ':', p->key.len);
	uint64_t n;
	if (!colon || !number(p->value, &n))
		return;
	struct slice name = slice_of(colon + 1, p->key.len - (size_t)(colon + 1 - p->key.p));
	if (slice_is(name, "uuid")) {
		a->uuid = n;
	} else if (slice_is(name, "purge_seqno")) {
		a->seqno = n;
		a->from = 0;
	}
}

/* False: the server may say it another time. */
static bool is_final(const struct vbucket *v, uint16_t status)
{
	switch (status) {
	case STATUS_NOT_MY_VBUCKET:
	case STATUS_ETMPFAIL:
	case STATUS_EBUSY:
	case STATUS_ENOMEM:
	case STATUS_WOULD_THROTTLE: return v->tries >= VBUCKET_FATAL_TRIES;
	default: return true;
	}
}

/* What was asked since the snapshot began: an upper limit. */
static void checked(struct vbucket *v, const struct dcp_purge *answer, nsec now)
{
	bool same = is_same(v, answer->seqno);
	bool none = answer->seqno == 0;
	if (answer->uuid != v->log.entry[0].uuid || !(same || none)) {
		begin_anew(v);
		return;
	}
	if (none)
		vb_know_purge(v, answer);
	else
		know_what_was_asked(v);
	stop_checking(v);
	if (vb_release_held(v) < 0) {
		vb_drop_held(v, &v->pos); /* its end, if that came */
		vb_violation(v, now);
	}
}

void vb_on_statistic(struct vbucket *v, const struct packet *p, nsec now)
{
	if (p->vb_status == STATUS_OK && p->key.len) {
		take_statistic(&v->answer, p);
		return;
	}
	if (p->vb_status != STATUS_OK && !is_final(v, p->vb_status)) {
		v->last_status = p->vb_status;
		vb_retry(v, now);
		return;
	}
	struct dcp_purge answer = v->answer;
	if (p->vb_status != STATUS_OK || answer.from != 0)
		answer = (struct dcp_purge){ 0 };
	if (v->checking) {
		checked(v, &answer, now);
		return;
	}
	v->asked = answer;
	vb_request(v);
}
