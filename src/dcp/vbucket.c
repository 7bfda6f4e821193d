/* vbucket.c: the life of one stream.
 *
 *	                 start
 *	  IDLE ────────────────────────▶ WAIT ◀───────────────────────────────────────────┐
 *	   ▲                              │ node ready and timer passed                    │
 *	   │ stop (from anywhere)         ▼  [ASKING first: what is purged]                │ back-off
 *	   │                    ┌──── OPENING ── busy, moved, refused, connection lost ───▶│
 *	   │          rollback R│         │ ok: failover log                               │
 *	   │                    ▼         ▼                                                │
 *	   │                   LOG    STREAMING ── stream end, violation, connection lost ▶┘
 *	   │   its log arrived  │         │ end reached, filter empty
 *	   │  nothing handed    ▼         ▼
 *	   │  out above: ─▶  REWIND     DONE ◀── refused VBUCKET_FATAL_TRIES times
 *	   │  OPENING           │ [checkpoint gone back,] told, acknowledged
 *	   └────────────────    └──────▶ OPENING
 *
 *	  WAIT to LOG, STREAMING ──────── pause ──▶ PAUSED ── resume ──▶ WAIT        whatever leads to WAIT while it
 *	  REWIND stays until it is acknowledged                                       is paused leads to PAUSED
 *
 * How often. A stream that fails goes through WAIT. The first reopening comes after some 100 ms; while none brings
 * anything the others are a second apart, or more where the back-off has grown:
 *
 *	opened ─ 0.1 s ─ again ─── 1 to 1.25 s ─── again ─── 1 to 1.25 s ─── again ─── ... ─── 5 to 10 s ─── again
 *
 * A place that the map names newly is asked at once. What the server's rollbacks ask for does not pass through there.
 *
 * The rest of the machine: vbucket_answer.c (what the server answers, and going back), vbucket_stream.c (the packets
 * of a running stream), vbucket_purge.c (deletions that are gone), vbucket_held.c (holding back). vbucket_internal.h has
 * what they share. */
#include "dcp/vbucket_internal.h"

#include "base/mem.h"

#define BACKOFF_MIN (100 * NSEC_PER_MS)
#define BACKOFF_MAX (10 * NSEC_PER_SEC)
#define STEADY      (5 * NSEC_PER_SEC) /* a stream that ran this long was no failure */

const char *vbucket_state_name(enum vbucket_state s)
{
	switch (s) {
	case VB_IDLE: return "idle";
	case VB_WAIT: return "waiting";
	case VB_ASKING: return "asking what is purged";
	case VB_OPENING: return "opening";
	case VB_LOG: return "reading failover log";
	case VB_REWIND: return "rewinding";
	case VB_STREAMING: return "streaming";
	case VB_PAUSED: return "paused";
	case VB_DONE: return "done";
	}
	return "?";
}

void vbucket_init(struct vbucket *v, uint16_t id, const struct vbucket_config *config,
		  uint64_t random)
{
	*v = (struct vbucket){ .config = config,
			       .id = id,
			       .node = -1,
			       .generation = 1,
			       .random = random * 0x9e3779b97f4a7c15 + id + 1,
			       .end_seqno = VBUCKET_NO_END };
	if (v->random == 0)
		v->random = 1;
}

void vbucket_done(struct vbucket *v)
{
	mem_free(v->held.p);
	v->held = (struct vbucket_held){ 0 };
	v->state = VB_IDLE;
}

/* ---- time ---- */

static uint64_t next_random(struct vbucket *v)
{
	v->random ^= v->random << 13;
	v->random ^= v->random >> 7;
	v->random ^= v->random << 17;
	return v->random;
}

void vb_set_timer(struct vbucket *v, nsec at)
{
	if (v->timer_at == at)
		return;
	v->timer_at = at;
	v->config->ops->timer(v->config->arg, v);
}

static nsec backoff_min(const struct vbucket *v)
{
	return v->config->backoff_min ? v->config->backoff_min : BACKOFF_MIN;
}

/* Doubles from min to max, each time somewhere in the upper half of the interval. */
static nsec growing(struct vbucket *v, uint32_t tries)
{
	nsec min = backoff_min(v);
	nsec max = v->config->backoff_max ? v->config->backoff_max : BACKOFF_MAX;
	nsec wait = min;
	for (uint32_t i = 1; i < tries && wait < max; i++)
		wait *= 2;
	wait = MIN(wait, max);
	return wait / 2 + (nsec)(next_random(v) % (uint64_t)(wait / 2 + 1));
}

nsec vb_backoff(struct vbucket *v)
{
	return growing(v, v->tries);
}

/* ---- how often ---- */

/* Before the position changes, or the stream is given up: what it brought, or that it held, makes up for failures. */
static void note_progress(struct vbucket *v, nsec now)
{
	bool held = v->state == VB_STREAMING && now - v->opened_at > STEADY;
	if (held)
		v->tries = 0;
	if (held || (v->pos.seqno > v->requested && !v->checking))
		v->barren = 0;
}

/* The consumer wants it closed for now. What was running has not failed. */
static void note_wish(struct vbucket *v, nsec now)
{
	note_progress(v, now);
	if (v->state == VB_STREAMING)
		v->barren = 0;
}

/* When it may be opened again. Going back as the server says is not counted: that ends at 0. */
static nsec in_pace(const struct vbucket *v)
{
	return v->barren > 1 ? v->asked_at + VBUCKET_PACE * backoff_min(v) : 0;
}

static nsec jittered_pace(struct vbucket *v)
{
	nsec at = in_pace(v), jitter = VBUCKET_PACE * backoff_min(v) / 4;
	return at ? at + (nsec)(next_random(v) % (uint64_t)(jitter + 1)) : 0;
}

/* A new place has not failed yet; but a map may go to and fro between places that all do. */
static void credit_move(struct vbucket *v, nsec now)
{
	bool again = v->moved_at && now < v->moved_at + VBUCKET_PACE * backoff_min(v);
	if (again && v->state != VB_STREAMING)
		return;
	v->moved_at = now;
	v->barren = MIN(v->barren, 1);
}

/* ---- opening ---- */

/* Packets of the stream so far mean nothing any more. An out-of-order snapshot starts anew. */
void vb_abandon(struct vbucket *v)
{
	if (v->checking)
		vb_stop_checking(v);
	if (v->oso)
		vb_drop_held(v, &v->pos);
	v->generation++;
	if (v->generation == 0)
		v->generation = 1;
	v->in_snapshot = false;
	v->oso = false;
}

void vb_ask_log(struct vbucket *v)
{
	vb_enter(v, VB_LOG);
	v->config->ops->failover_log(v->config->arg, v);
}

/* At its end already, but of which history? Only the server knows, and has not been asked yet. */
static bool must_ask(const struct vbucket *v)
{
	return v->log.n == 0 && v->delivered > 0;
}

void vb_open(struct vbucket *v)
{
	ASSERT(dcp_position_valid(&v->pos));
	if (v->end_seqno != VBUCKET_NO_END && v->pos.seqno >= v->end_seqno && !must_ask(v)) {
		vb_finish(v, STREAM_END_OK, 0);
		return;
	}
	if (v->pos.seqno < v->purge.from)
		vb_know_purge(v, NULL);
	if (vb_asks_purge_first(v)) {
		vb_abandon(v);
		vb_enter(v, VB_ASKING);
		vb_ask_purge(v);
	} else {
		vb_request(v);
	}
}

void vb_request(struct vbucket *v)
{
	vb_abandon(v);
	vb_enter(v, VB_OPENING);
	v->requested = v->pos.seqno;
	struct wire_stream_req r = {
		.flags = v->config->stream_flags,
		.start = v->pos.seqno,
		.end = MAX(v->end_seqno, v->pos.seqno),
		.uuid = v->pos.uuid,
		.snap_start = v->pos.snap_start,
		.snap_end = v->pos.snap_end,
		.json = v->config->stream_json,
		.sid = v->config->stream_id,
		.knows_purge = v->purge.uuid && v->pos.seqno > 0,
		.purge_seqno = v->purge.seqno,
	};
	v->config->ops->stream_req(v->config->arg, v, &r);
}

static void try_open(struct vbucket *v, nsec now)
{
	if (v->state != VB_WAIT)
		return;
	if (v->paused) {
		vb_set_timer(v, 0);
		vb_enter(v, VB_PAUSED);
		return;
	}
	if (!v->node_ready || v->node < 0 || v->timer_at > now)
		return;
	if (v->not_before > now) {
		vb_set_timer(v, v->not_before);
		return;
	}
	note_progress(v, now);
	if (in_pace(v) > now) {
		vb_set_timer(v, jittered_pace(v));
		return;
	}
	v->barren++;
	v->asked_at = now;
	vb_set_timer(v, 0);
	if (v->from_latest || v->rewind)
		vb_ask_log(v);
	else
		vb_open(v);
}

/* Back to WAIT, to be opened again after a while. */
void vb_retry(struct vbucket *v, nsec now)
{
	note_progress(v, now);
	vb_abandon(v);
	vb_enter(v, VB_WAIT);
	v->tries++;
	v->n_reopens++;
	vb_set_timer(v, MAX(now + vb_backoff(v), jittered_pace(v)));
}

/* The same after the peer broke the protocol: the stream may still be running. */
void vb_violation(struct vbucket *v, nsec now)
{
	v->n_violations++;
	v->config->ops->close_stream(v->config->arg, v, v->node, vbucket_opaque(v));
	vb_retry(v, now);
}

void vb_finish(struct vbucket *v, uint32_t reason, int code)
{
	struct dcp_event ev = {
		.kind = DCP_END, .vb = v->id, .pos = v->pos, .end_reason = reason, .code = code
	};
	if (!v->checking) /* else the answer is still to come: it may have to begin anew */
		vb_abandon(v);
	vb_set_timer(v, 0);
	vb_enter(v, VB_DONE);
	(void)vb_release_held(v);
	(void)vb_hand_out(v, &ev);
}

/* ---- starting and stopping ---- */

void vbucket_start(struct vbucket *v, const struct vbucket_start *s, nsec now)
{
	ASSERT(v->state == VB_IDLE);
	ASSERT(v->held.n == 0);
	ASSERT(dcp_position_valid(&s->pos));
	v->pos = s->pos;
	v->points = s->points;
	points_cut(&v->points, s->pos.seqno);
	points_add(&v->points, s->pos.snap_start);
	if (s->pos.snap_start == s->pos.snap_end)
		points_add(&v->points, s->pos.seqno);
	v->from_latest = s->latest;
	v->rewind = s->rewind;
	v->end_seqno = s->end_seqno;
	v->delivered = s->restarted ? UINT64_MAX : s->pos.seqno;
	v->seen_limit = s->high_seqno;
	v->relieved = false;
	v->untold = v->retreating = false;
	v->purge = s->purge;
	v->persisted_uuid = v->persisted = 0;
	v->tries = v->refusals = v->nacks = v->barren = 0;
	v->requested = s->pos.seqno;
	v->moved_at = 0;
	v->nacked_at = UINT64_MAX;
	v->not_before = 0;
	v->log.n = 0;
	vb_set_timer(v, 0);
	vb_enter(v, VB_WAIT);
	try_open(v, now);
}

void vbucket_stop(struct vbucket *v)
{
	if (v->state == VB_IDLE)
		return;
	if (vb_may_run(v) && v->node_ready)
		v->config->ops->close_stream(v->config->arg, v, v->node, vbucket_opaque(v));
	vb_abandon(v);
	vb_set_timer(v, 0);
	vb_drop_all_held(v);
	v->state = VB_IDLE;
}

void vbucket_rewind(struct vbucket *v, const struct dcp_position *pos, nsec at, nsec now)
{
	if (v->state == VB_IDLE)
		return;
	v->nacks = pos->seqno == v->nacked_at ? v->nacks + 1 : 0;
	v->nacked_at = pos->seqno;
	note_wish(v, now);
	v->not_before = MAX(at, v->nacks ? now + growing(v, v->nacks) : 0);
	if (v->state ==
	    VB_REWIND) { /* still waits for its acknowledgement, but starts further back */
		if (pos->seqno < v->pos.seqno)
			v->pos = *pos;
		return;
	}
	if (vb_may_run(v) && v->node_ready)
		v->config->ops->close_stream(v->config->arg, v, v->node, vbucket_opaque(v));
	vb_abandon(v);
	vb_drop_held(v, pos);
	v->pos = *pos;
	points_cut(&v->points, pos->seqno);
	points_add(&v->points, pos->snap_start);
	vb_enter(v, VB_WAIT);
	vb_set_timer(v, 0);
	try_open(v, now);
}

void vbucket_on_node(struct vbucket *v, int node, bool ready, uint32_t connection, nsec now)
{
	bool moved = node != v->node || connection != v->connection;
	if (!moved && ready == v->node_ready)
		return;
	if (moved && vb_may_run(v) && v->node_ready && node != v->node)
		v->config->ops->close_stream(v->config->arg, v, v->node, vbucket_opaque(v));
	bool lost = (moved || !ready) && (vb_may_run(v) || vb_asks(v));
	if (lost)
		note_progress(v, now);
	if (node != v->node && node >= 0)
		credit_move(v, now);
	v->node = node;
	v->node_ready = ready;
	v->connection = connection;
	if (lost) {
		vb_abandon(v);
		vb_enter(v, VB_WAIT);
		v->n_reopens++;
	}
	if (moved && v->state == VB_WAIT)
		vb_set_timer(v, 0); /* what failed on the old node says nothing about the new one */
	try_open(v, now);
}

void vbucket_on_timer(struct vbucket *v, nsec now)
{
	if (v->timer_at == 0 || v->timer_at > now)
		return;
	vb_set_timer(v, 0);
	if (v->state == VB_REWIND && v->untold)
		vb_rewind_tell(v, now);
	else
		try_open(v, now);
}

void vbucket_on_rollback_acked(struct vbucket *v, nsec now)
{
	if (v->state != VB_REWIND || v->untold || v->retreating)
		return;
	v->barren = 0;
	vb_enter(v, VB_WAIT);
	try_open(v, now);
}

void vbucket_on_retreated(struct vbucket *v, nsec now)
{
	if (v->state != VB_REWIND || !v->retreating)
		return;
	v->retreating = false;
	vb_rewind_tell(v, now);
}

/* ---- pausing ---- */

void vbucket_pause(struct vbucket *v, nsec now)
{
	if (v->paused)
		return;
	v->paused = true;
	note_wish(v, now);
	if (vb_may_run(v) && v->node_ready)
		v->config->ops->close_stream(v->config->arg, v, v->node, vbucket_opaque(v));
	vb_disown_held(v);
	if (vb_may_run(v) || vb_asks(v)) {
		vb_abandon(v);
		vb_enter(v, VB_WAIT);
	}
	try_open(v, now); /* to where it stays */
}

void vbucket_resume(struct vbucket *v, nsec now)
{
	if (!v->paused)
		return;
	v->paused = false;
	if (v->state == VB_REWIND && v->untold && !v->retreating)
		vb_rewind_tell(v, now);
	if (v->state == VB_DONE)
		(void)vb_release_held(v);
	if (v->state != VB_PAUSED)
		return;
	/* what is held waits for the server's answer: the branch may have gone meanwhile */
	vb_enter(v, VB_WAIT);
	try_open(v, now);
}

/* ---- facts ---- */

static void release(struct vbucket *v, nsec now)
{
	if (vb_release_held(v) < 0 && vb_may_run(v))
		vb_violation(v, now);
	if (!v->relieved || v->held.n)
		return;
	v->relieved = false;
	v->tries = v->barren = 0;
	if (v->state != VB_WAIT)
		return;
	vb_set_timer(v, 0);
	try_open(v, now);
}

void vbucket_on_persisted(struct vbucket *v, uint64_t uuid, uint64_t seqno, nsec now)
{
	if (v->state == VB_IDLE)
		return;
	v->persisted_uuid = uuid;
	v->persisted = seqno;
	release(v, now);
}

void vbucket_relieve(struct vbucket *v, nsec now)
{
	if (v->state != VB_STREAMING || v->checking || !vb_keep_first_held(v))
		return;
	v->config->ops->close_stream(v->config->arg, v, v->node, vbucket_opaque(v));
	v->relieved = true;
	vb_retry(v, now);
}

void vbucket_on_history_changed(struct vbucket *v, nsec now)
{
	if (v->state != VB_STREAMING)
		return;
	v->config->ops->close_stream(v->config->arg, v, v->node, vbucket_opaque(v));
	vb_retry(v, now);
}

void vbucket_set_gate(struct vbucket *v, enum vbucket_gate gate, nsec now)
{
	v->open_gate = (uint8_t)gate;
	if (!v->checking)
		v->gate = v->open_gate;
	release(v, now);
}
