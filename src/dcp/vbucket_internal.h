/* vbucket_internal.h: what the files of the state machine share. vbucket.c draws the states.
 *
 * What an event goes through is inline here, so that it costs no calls across files.
 */
#ifndef DCP_VBUCKET_INTERNAL_H
#define DCP_VBUCKET_INTERNAL_H

#include "dcp/vbucket.h"

/* ---- vbucket.c ---- */

void vb_set_timer(struct vbucket *v, nsec at);
nsec vb_backoff(struct vbucket *v);
void vb_abandon(struct vbucket *v);
void vb_ask_log(struct vbucket *v);
void vb_open(struct vbucket *v);
void vb_request(struct vbucket *v); /* vb_open, when what is purged has been asked */
void vb_retry(struct vbucket *v, nsec now);
void vb_violation(struct vbucket *v, nsec now);
void vb_finish(struct vbucket *v, uint32_t reason, int code);

/* ---- vbucket_answer.c ---- */

void vb_rewind_tell(struct vbucket *v, nsec now);
void vb_moved_away(struct vbucket *v, struct slice map_json, nsec now);

/* ---- vbucket_purge.c ---- */

void vb_know_purge(struct vbucket *v, const struct dcp_purge *p); /* NULL: nothing */
/* A disk snapshot says what is purged. False: the stream was given up, since deletions were missed. */
bool vb_learn_purge(struct vbucket *v, uint64_t purged);
/* One begins that does not say: where deletions may be missing, nothing is handed out until that is known. */
void vb_doubt_purge(struct vbucket *v, bool from_disk);
bool vb_asks_purge_first(const struct vbucket *v);
void vb_ask_purge(struct vbucket *v);
void vb_stop_checking(struct vbucket *v); /* what came meanwhile comes again */
void vb_on_statistic(struct vbucket *v, const struct packet *p, nsec now);

/* ---- vbucket_held.c ---- */

int vb_hold(struct vbucket *v, const struct dcp_event *ev); /* ERR_LIMIT, ERR_NOMEM */
int vb_release_held(struct vbucket *v);
uint64_t vb_held_rollback(const struct vbucket *v); /* the lowest rollback_to; UINT64_MAX: none */
/* Forgets what is held above `to`, and an end: it was rolled back before anybody saw it, or comes again. A rollback
 * stays. */
void vb_drop_held(struct vbucket *v, const struct dcp_position *to);
void vb_drop_all_held(struct vbucket *v);
/* Forgets all but the first, from which on it comes again. False: there is no more, or no place to resume from. */
bool vb_keep_first_held(struct vbucket *v);
void vb_disown_held(struct vbucket *v); /* gives the bytes back, keeps the events */

/* ---- here ---- */

static inline void vb_enter(struct vbucket *v, enum vbucket_state to)
{
	ASSERT(v->state != VB_IDLE || to == VB_WAIT);
	v->state = (uint8_t)to;
}

static inline bool vb_may_run(const struct vbucket *v)
{
	return v->state == VB_OPENING || v->state == VB_STREAMING;
}

/* Waits for an answer that is no stream. */
static inline bool vb_asks(const struct vbucket *v)
{
	return v->state == VB_LOG || v->state == VB_ASKING || v->checking;
}

/* The branch that a seqno belongs to. Not simply the newest: that one may begin above it, and be cut off again. All
 * branches share the beginning; the oldest stands for it. */
static inline uint64_t vb_branch_of(const struct vbucket *v, uint64_t seqno)
{
	ASSERT(v->log.n > 0);
	if (likely(seqno >= v->log.entry[0].seqno && seqno > 0))
		return v->log.entry[0].uuid;
	return seqno ? failover_uuid_at(&v->log, seqno) : v->log.entry[v->log.n - 1].uuid;
}

static inline int vb_emit(struct vbucket *v, const struct dcp_event *ev)
{
	int rc = v->config->ops->emit(v->config->arg, v, ev);
	if (rc < 0)
		return rc;
	if (ev->kind == DCP_ROLLBACK)
		v->delivered = ev->rollback_to;
	if (ev->kind <= DCP_SYSTEM || ev->kind == DCP_ADVANCED)
		if (v->delivered != UINT64_MAX && ev->pos.seqno > v->delivered)
			v->delivered = ev->pos.seqno;
	return 0;
}

static inline bool vb_may_pass(const struct vbucket *v, uint64_t seqno)
{
	return v->gate == GATE_OFF || (v->gate == GATE_ON && v->persisted >= seqno && v->log.n &&
				       v->persisted_uuid == v->log.entry[0].uuid);
}

/* In order: nothing passes what is held. */
static inline int vb_hand_out(struct vbucket *v, const struct dcp_event *ev)
{
	if (likely(v->held.n == 0 && vb_may_pass(v, ev->pos.seqno)))
		return vb_emit(v, ev);
	return vb_hold(v, ev);
}

#endif
