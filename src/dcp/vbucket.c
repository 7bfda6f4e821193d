/* vbucket.c: the life of one stream.
 *
 *	                 start
 *	  IDLE ────────────────────────▶ WAIT ◀───────────────────────────────────────────┐
 *	   ▲                              │ node ready and timer passed                    │
 *	   │ stop (from anywhere)         ▼                                                │ back-off
 *	   │                    ┌──── OPENING ── busy, moved, refused, connection lost ───▶│
 *	   │          rollback R│         │ ok: failover log                               │
 *	   │                    ▼         ▼                                                │
 *	   │                   LOG    STREAMING ── stream end, violation, connection lost ▶┘
 *	   │   its log arrived  │         │ end reached, filter empty
 *	   │  nothing handed    ▼         ▼
 *	   │  out above: ─▶  REWIND     DONE ◀── refused VBUCKET_FATAL_TRIES times
 *	   │  OPENING           │ acknowledged
 *	   └────────────────    └──────▶ OPENING
 *
 * Going back. On ROLLBACK R nothing of the lost branch may count, and nothing of the new one may be left out. The
 * stream restarts at the greatest point (failover.h) at or below R, with the branch that the server's log has there.
 * If anything was handed out above the seqno where our branch ended, the consumer gets a DCP_ROLLBACK event first, and
 * until it has acknowledged that (so that the checkpoint has moved back) nothing newer is asked for. The server may answer with a
 * lower R each time; every restart is strictly below the last, so it ends at 0.
 *
 * A branch can also change above the place where we resume: then the server accepts, but events that were handed out
 * beyond the branch point (or may have been, before a restart) are void. The consumer gets the same event, while the
 * position stays.
 *
 * Snapshots. snap_start is the seqno at which the client was complete before the snapshot, never above the marker's
 * start: the server takes "start == snapshot start" to mean that nothing of the snapshot was received. When a
 * snapshot was left unfinished and the next one begins within it (the server went back to disk), the two are one.
 *
 * Holding back. With the gate on, an event waits in `held` until enough copies have persisted its seqno on the
 * current branch. Everything behind it waits too, so the order is kept; other vBuckets are not concerned. What is
 * rolled back while held was never seen by anybody. */
#include "dcp/vbucket.h"

#include "base/mem.h"
#include "dcp/collections.h"

#include <inttypes.h>

#define BACKOFF_MIN (100 * NSEC_PER_MS)
#define BACKOFF_MAX (10 * NSEC_PER_SEC)
#define STEADY      (5 * NSEC_PER_SEC) /* a stream that ran this long was no failure */

enum { HELD_KEEP = 4096 };

const char *vbucket_state_name(enum vbucket_state s)
{
	switch (s) {
	case VB_IDLE: return "idle";
	case VB_WAIT: return "waiting";
	case VB_OPENING: return "opening";
	case VB_LOG: return "reading failover log";
	case VB_REWIND: return "rewinding";
	case VB_STREAMING: return "streaming";
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

static void set_timer(struct vbucket *v, nsec at)
{
	if (v->timer_at == at)
		return;
	v->timer_at = at;
	v->config->ops->timer(v->config->arg, v);
}

/* Doubles from min to max, each time somewhere in the upper half of the interval. */
static nsec backoff(struct vbucket *v)
{
	nsec min = v->config->backoff_min ? v->config->backoff_min : BACKOFF_MIN;
	nsec max = v->config->backoff_max ? v->config->backoff_max : BACKOFF_MAX;
	nsec wait = min;
	for (uint32_t i = 1; i < v->tries && wait < max; i++)
		wait *= 2;
	wait = MIN(wait, max);
	return wait / 2 + (nsec)(next_random(v) % (uint64_t)(wait / 2 + 1));
}

/* The branch that a seqno belongs to. Not simply the newest: that one may begin above it, and be cut off again. All
 * branches share the beginning; the oldest stands for it. */
static uint64_t branch_of(const struct vbucket *v, uint64_t seqno)
{
	ASSERT(v->log.n > 0);
	if (likely(seqno >= v->log.entry[0].seqno && seqno > 0))
		return v->log.entry[0].uuid;
	return seqno ? failover_uuid_at(&v->log, seqno) : v->log.entry[v->log.n - 1].uuid;
}

/* ---- opening ---- */

static void enter(struct vbucket *v, enum vbucket_state to)
{
	ASSERT(v->state != VB_IDLE || to == VB_WAIT);
	v->state = (uint8_t)to;
}

static void drop_held(struct vbucket *v, uint64_t limit);

/* Packets of the stream so far mean nothing any more. An out-of-order snapshot starts anew. */
static void abandon_stream(struct vbucket *v)
{
	if (v->oso)
		drop_held(v, v->pos.seqno);
	v->generation++;
	if (v->generation == 0)
		v->generation = 1;
	v->in_snapshot = false;
	v->oso = false;
}

static void finish(struct vbucket *v, uint32_t reason, int code);
static void rewind_tell(struct vbucket *v, nsec now);

static void ask_log(struct vbucket *v)
{
	enter(v, VB_LOG);
	v->config->ops->failover_log(v->config->arg, v);
}

static void open_stream(struct vbucket *v)
{
	ASSERT(dcp_position_valid(&v->pos));
	if (v->end_seqno != VBUCKET_NO_END && v->pos.seqno >= v->end_seqno) {
		finish(v, STREAM_END_OK, 0);
		return;
	}
	abandon_stream(v);
	enter(v, VB_OPENING);
	v->requested = v->pos.seqno;
	struct wire_stream_req r = {
		.flags = v->config->stream_flags,
		.start = v->pos.seqno,
		.end = v->end_seqno,
		.uuid = v->pos.uuid,
		.snap_start = v->pos.snap_start,
		.snap_end = v->pos.snap_end,
		.json = v->config->stream_json,
	};
	v->config->ops->stream_req(v->config->arg, v, &r);
}

static void try_open(struct vbucket *v, nsec now)
{
	if (v->state != VB_WAIT || !v->node_ready || v->node < 0)
		return;
	if (v->timer_at > now)
		return;
	set_timer(v, 0);
	if (v->from_latest)
		ask_log(v);
	else
		open_stream(v);
}

/* Back to WAIT, to be opened again after a while. */
static void retry(struct vbucket *v, nsec now)
{
	if (v->state == VB_STREAMING && now - v->opened_at > STEADY)
		v->tries = 0;
	abandon_stream(v);
	enter(v, VB_WAIT);
	v->tries++;
	v->n_reopens++;
	set_timer(v, now + backoff(v));
}

/* The same after the peer broke the protocol: the stream may still be running. */
static void violation(struct vbucket *v, nsec now)
{
	v->n_violations++;
	v->config->ops->close_stream(v->config->arg, v, v->node, vbucket_opaque(v));
	retry(v, now);
}

/* ---- handing out ---- */

static int emit(struct vbucket *v, const struct dcp_event *ev)
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

static bool may_pass(const struct vbucket *v, uint64_t seqno)
{
	return v->gate == GATE_OFF ||
	       (v->persisted >= seqno && v->log.n && v->persisted_uuid == v->log.entry[0].uuid);
}

struct held_item {
	size_t total;
	struct dcp_event ev; /* its slices are rebuilt from the lengths */
};

static size_t held_size(const struct dcp_event *ev)
{
	size_t n = sizeof(struct held_item) + ev->key.len + ev->value.len + ev->xattrs.len;
	return (n + 15) & ~(size_t)15;
}

static int held_room(struct vbucket_held *h, size_t more)
{
	if (h->cap - h->tail >= more)
		return 0;
	size_t used = h->tail - h->head;
	if (used + more > VBUCKET_HELD_MAX)
		return ERR_LIMIT;
	if (h->head && used + more <= h->cap / 2) {
		memmove(h->p, h->p + h->head, used);
		h->head = 0;
		h->tail = used;
		return 0;
	}
	size_t cap = h->cap ? h->cap : 1024;
	while (cap < 2 * (used + more))
		cap *= 2;
	uint8_t *p = mem_try(cap);
	if (!p)
		return ERR_NOMEM;
	if (used)
		memcpy(p, h->p + h->head, used);
	mem_free(h->p);
	*h = (struct vbucket_held){ .p = p, .tail = used, .cap = cap, .n = h->n };
	return 0;
}

static int hold(struct vbucket *v, const struct dcp_event *ev)
{
	struct vbucket_held *h = &v->held;
	struct held_item item = { .total = held_size(ev), .ev = *ev };
	int rc = held_room(h, item.total);
	if (rc < 0)
		return rc;
	uint8_t *p = h->p + h->tail;
	memcpy(p, &item, sizeof(item));
	p += sizeof(item);
	const struct slice part[] = { ev->key, ev->value, ev->xattrs };
	for (size_t i = 0; i < ARRAY_LEN(part); i++) {
		if (part[i].len)
			memcpy(p, part[i].p, part[i].len);
		p += part[i].len;
	}
	h->tail += item.total;
	h->n++;
	return 0;
}

static void held_first(const struct vbucket_held *h, struct held_item *item)
{
	const uint8_t *p = h->p + h->head;
	memcpy(item, p, sizeof(*item));
	p += sizeof(*item);
	item->ev.key.p = p;
	item->ev.value.p = p + item->ev.key.len;
	item->ev.xattrs.p = item->ev.value.p + item->ev.value.len;
}

static void held_pop(struct vbucket_held *h, size_t total)
{
	h->head += total;
	h->n--;
	if (h->head != h->tail)
		return;
	ASSERT(h->n == 0);
	h->head = h->tail = 0;
	if (h->cap > HELD_KEEP) {
		mem_free(h->p);
		*h = (struct vbucket_held){ 0 };
	}
}

static int release_held(struct vbucket *v)
{
	while (v->held.n) {
		struct held_item item;
		held_first(&v->held, &item);
		if (item.ev.kind != DCP_ROLLBACK && !may_pass(v, item.ev.pos.seqno))
			return 0;
		int rc = emit(v, &item.ev);
		if (rc < 0)
			return rc;
		held_pop(&v->held, item.total);
	}
	return 0;
}

/* Forgets what is held above `limit`: it was rolled back before anybody saw it. */
static void drop_held(struct vbucket *v, uint64_t limit)
{
	struct vbucket_held *h = &v->held;
	size_t at = h->head, to = h->head;
	uint64_t kept = 0;
	while (at != h->tail) {
		struct held_item item;
		memcpy(&item, h->p + at, sizeof(item));
		if (item.ev.pos.seqno > limit) {
			v->config->ops->dropped(v->config->arg, v, item.ev.connection,
						item.ev.wire_bytes);
		} else {
			memmove(h->p + to, h->p + at, item.total);
			to += item.total;
			kept++;
		}
		at += item.total;
	}
	h->tail = to;
	h->n = kept;
	if (kept == 0) {
		mem_free(h->p);
		*h = (struct vbucket_held){ 0 };
	}
}

static void drop_all_held(struct vbucket *v)
{
	while (v->held.n) {
		struct held_item item;
		held_first(&v->held, &item);
		v->config->ops->dropped(v->config->arg, v, item.ev.connection, item.ev.wire_bytes);
		held_pop(&v->held, item.total);
	}
}

/* In order: nothing passes what is held. */
static int hand_out(struct vbucket *v, const struct dcp_event *ev)
{
	if (likely(v->held.n == 0 && may_pass(v, ev->pos.seqno)))
		return emit(v, ev);
	return hold(v, ev);
}

static void finish(struct vbucket *v, uint32_t reason, int code)
{
	struct dcp_event ev = {
		.kind = DCP_END, .vb = v->id, .pos = v->pos, .end_reason = reason, .code = code
	};
	abandon_stream(v);
	set_timer(v, 0);
	enter(v, VB_DONE);
	(void)hand_out(v, &ev);
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
	v->end_seqno = s->end_seqno;
	v->delivered = s->restarted ? UINT64_MAX : s->pos.seqno;
	v->seen_limit = s->high_seqno;
	v->untold = false;
	v->persisted_uuid = v->persisted = 0;
	v->tries = v->refusals = 0;
	v->log.n = 0;
	set_timer(v, 0);
	enter(v, VB_WAIT);
	try_open(v, now);
}

static bool stream_may_run(const struct vbucket *v)
{
	return v->state == VB_OPENING || v->state == VB_STREAMING;
}

void vbucket_stop(struct vbucket *v)
{
	if (v->state == VB_IDLE)
		return;
	if (stream_may_run(v) && v->node_ready)
		v->config->ops->close_stream(v->config->arg, v, v->node, vbucket_opaque(v));
	abandon_stream(v);
	set_timer(v, 0);
	drop_all_held(v);
	v->state = VB_IDLE;
}

void vbucket_rewind(struct vbucket *v, const struct dcp_position *pos, nsec at, nsec now)
{
	if (v->state == VB_IDLE)
		return;
	if (v->state ==
	    VB_REWIND) { /* still waits for its acknowledgement, but starts further back */
		if (pos->seqno < v->pos.seqno)
			v->pos = *pos;
		return;
	}
	if (stream_may_run(v) && v->node_ready)
		v->config->ops->close_stream(v->config->arg, v, v->node, vbucket_opaque(v));
	abandon_stream(v);
	drop_held(v, pos->seqno);
	v->pos = *pos;
	points_cut(&v->points, pos->seqno);
	points_add(&v->points, pos->snap_start);
	enter(v, VB_WAIT);
	set_timer(v, at > now ? at : 0);
	try_open(v, now);
}

void vbucket_on_node(struct vbucket *v, int node, bool ready, uint32_t connection, nsec now)
{
	bool moved = node != v->node || connection != v->connection;
	if (!moved && ready == v->node_ready)
		return;
	if (moved && stream_may_run(v) && v->node_ready && node != v->node)
		v->config->ops->close_stream(v->config->arg, v, v->node, vbucket_opaque(v));
	bool lost = (moved || !ready) && (stream_may_run(v) || v->state == VB_LOG);
	v->node = node;
	v->node_ready = ready;
	v->connection = connection;
	if (lost) {
		abandon_stream(v);
		enter(v, VB_WAIT);
		v->n_reopens++;
	}
	if (moved && v->state == VB_WAIT)
		set_timer(v, 0); /* what failed on the old node says nothing about the new one */
	try_open(v, now);
}

void vbucket_on_timer(struct vbucket *v, nsec now)
{
	if (v->timer_at == 0 || v->timer_at > now)
		return;
	set_timer(v, 0);
	if (v->state == VB_REWIND && v->untold)
		rewind_tell(v, now);
	else
		try_open(v, now);
}

/* ---- going back ---- */

static int tell_rollback(struct vbucket *v, uint64_t to, uint64_t server)
{
	struct dcp_event ev = {
		.kind = DCP_ROLLBACK,
		.vb = v->id,
		.pos = v->pos,
		.rollback_from = v->delivered,
		.rollback_to = to,
		.rollback_server = server,
	};
	v->n_rollbacks++;
	return v->held.n ? hold(v, &ev) : emit(v, &ev);
}

/* In REWIND; when there is no room for the event it is told later. */
static void rewind_tell(struct vbucket *v, nsec now)
{
	v->untold = tell_rollback(v, v->rollback_to, v->rollback_server) < 0;
	if (v->untold)
		set_timer(v, now + backoff(v));
	else if (v->config->rollback_unacked)
		open_stream(v);
}

static uint64_t first_held(const struct vbucket *v)
{
	struct held_item item;
	held_first(&v->held, &item);
	return item.ev.pos.seqno;
}

/* Where the history we had and the server's part. 1, 0 they do not (as far as is known), ERR_NOTFOUND they have
 * nothing in common. After a restart only the position's own branch is known. */
static int parted_at(const struct vbucket *v, const struct failover_log *now, uint64_t *end)
{
	if (v->log.n)
		return failover_common_end(&v->log, now, end);
	return v->pos.uuid ? failover_branch_end(now, v->pos.uuid, end) : 0;
}

/* Above which seqno nothing that was handed out counts. What lies between the point of restart and there is merely
 * sent again, so a consumer that is killed now and resumes from an older mark has lost nothing. */
static uint64_t void_above(const struct vbucket *v, const struct failover_log *now, uint64_t server)
{
	uint64_t end;
	if (parted_at(v, now, &end) <= 0)
		return server; /* a foreign history, or tombstones were purged, or we were ahead */
	uint64_t snap_end = v->requested == v->pos.snap_start ? v->requested : v->pos.snap_end;
	bool purged = server == 0 && snap_end <= end;
	return purged ? 0 : end;
}

static void go_back(struct vbucket *v, const struct failover_log *log, nsec now)
{
	uint64_t server = v->rollback_server;
	uint64_t to = void_above(v, log, server);
	v->log = *log;
	uint64_t limit = MIN(server, v->requested ? v->requested - 1 : 0);
	if (v->held.n) /* all of it comes again: nothing may come before the rollback */
		limit = MIN(limit, first_held(v) ? first_held(v) - 1 : 0);
	drop_all_held(v);
	uint64_t point = points_floor(&v->points, limit);
	v->pos = (struct dcp_position){ point, point, point, branch_of(v, point) };
	points_cut(&v->points, point);
	v->persisted_uuid = v->persisted = 0;
	v->rollback_to = MAX(to, point);
	if (v->delivered > v->rollback_to) {
		enter(v, VB_REWIND);
		rewind_tell(v, now);
	} else {
		open_stream(v);
	}
}

void vbucket_on_rollback_acked(struct vbucket *v, nsec now)
{
	if (v->state != VB_REWIND)
		return;
	enter(v, VB_WAIT);
	try_open(v, now);
}

static void on_log(struct vbucket *v, const struct packet *p, nsec now)
{
	struct failover_log log;
	if (p->vb_status != STATUS_OK || failover_parse(p->value, &log, NULL) < 0) {
		v->last_status = p->vb_status;
		retry(v, now);
		return;
	}
	if (!v->from_latest) {
		go_back(v, &log, now);
		v->config->ops->history(v->config->arg, v);
		return;
	}
	v->log = log;
	v->config->ops->history(v->config->arg, v);
	v->from_latest = false;
	uint64_t s = v->pos.seqno;
	v->pos = (struct dcp_position){ s, s, s, branch_of(v, s) };
	v->delivered = s;
	points_add(&v->points, s);
	open_stream(v);
}

/* ---- answers ---- */

/* The server accepted. If the branch we came from ended below what was handed out, the rest of it is void. */
static void on_accepted(struct vbucket *v, const struct packet *p, nsec now)
{
	struct failover_log log;
	if (failover_parse(p->value, &log, NULL) < 0) {
		violation(v, now);
		return;
	}
	uint64_t end;
	int parted = parted_at(v, &log, &end);
	if (parted < 0)
		end = v->pos.seqno; /* at 0 a server takes any branch; what we had is not even in its past */
	if (v->log.n == 0 || v->log.entry[0].uuid != log.entry[0].uuid)
		v->persisted_uuid = v->persisted = 0;
	struct failover_log before = v->log;
	v->log = log;
	v->refusals = 0;
	v->opened_at = now;
	enter(v, VB_STREAMING);
	uint64_t uuid_before = v->pos.uuid;
	v->pos.uuid = branch_of(v, v->pos.seqno);
	v->config->ops->history(v->config->arg, v);
	int rc = 0;
	if (parted != 0 && end < v->delivered)
		rc = tell_rollback(v, MAX(end, v->pos.seqno), end);
	else if (v->delivered == UINT64_MAX)
		v->delivered = v->seen_limit ? MAX(v->seen_limit, v->pos.seqno) : UINT64_MAX;
	if (rc < 0) { /* no room: so that it is found again */
		v->log = before;
		v->pos.uuid = uuid_before;
	}
	if (rc < 0 || release_held(v) < 0)
		violation(v, now);
}

/* The owner may learn a new map from this and move the vBucket at once. */
static void moved_away(struct vbucket *v, struct slice map_json, nsec now)
{
	uint16_t generation = v->generation;
	v->config->ops->wrong_node(v->config->arg, v, map_json);
	if (v->generation == generation)
		retry(v, now);
}

static void refused(struct vbucket *v, int code, nsec now)
{
	if (++v->refusals < VBUCKET_FATAL_TRIES) {
		retry(v, now);
		return;
	}
	finish(v, STREAM_END_CLOSED, code);
}

static void on_opened(struct vbucket *v, const struct packet *p, nsec now)
{
	uint64_t seqno;
	v->last_status = p->vb_status;
	switch (p->vb_status) {
	case STATUS_OK: on_accepted(v, p, now); return;
	case STATUS_ROLLBACK:
		if (wire_rollback_parse(p, &seqno, NULL) < 0 || v->requested == 0) {
			/* at the beginning there is nothing to go back to: only a foreign uuid can be refused */
			v->pos.uuid = 0;
			retry(v, now);
			return;
		}
		v->rollback_server = seqno;
		ask_log(v);
		return;
	case STATUS_NOT_MY_VBUCKET: moved_away(v, p->value, now); return;
	case STATUS_KEY_EEXISTS:
		v->config->ops->close_stream(v->config->arg, v, v->node, vbucket_opaque(v));
		retry(v, now);
		return;
	case STATUS_EINVAL:
	case STATUS_ERANGE: refused(v, ERR_PROTOCOL, now); return;
	case STATUS_NOT_SUPPORTED:
	case STATUS_STREAMID_INVALID: refused(v, ERR_UNSUPPORTED, now); return;
	case STATUS_UNKNOWN_COLLECTION:
	case STATUS_UNKNOWN_SCOPE: refused(v, ERR_NOTFOUND, now); return;
	default: retry(v, now); return;
	}
}

void vbucket_on_response(struct vbucket *v, const struct packet *p, nsec now)
{
	if (p->opaque != vbucket_opaque(v))
		return; /* of a stream that was given up */
	if (p->opcode == OP_DCP_STREAM_REQ && v->state == VB_OPENING)
		on_opened(v, p, now);
	else if (p->opcode == OP_DCP_GET_FAILOVER_LOG && v->state == VB_LOG)
		on_log(v, p, now);
}

/* ---- the stream ---- */

static void on_marker(struct vbucket *v, const struct packet *p, nsec now)
{
	struct wire_marker m;
	if (wire_marker_parse(p, &m, NULL) < 0 || m.end < v->pos.seqno) {
		violation(v, now);
		return;
	}
	bool unfinished = v->pos.seqno < v->pos.snap_end;
	uint64_t start = MIN(m.start, v->pos.seqno);
	if (unfinished && m.start <= v->pos.snap_end)
		start = MIN(start, v->pos.snap_start);
	v->in_snapshot = true;
	v->snap_start = start;
	v->snap_end =
		unfinished && m.start <= v->pos.snap_end ? MAX(m.end, v->pos.snap_end) : m.end;
	v->snap_flags = m.flags;
}

/* The place of a seqno in the current snapshot; false: it does not belong there. */
static inline bool place(struct vbucket *v, uint64_t seqno, struct dcp_position *pos)
{
	if (v->oso) {
		*pos = (struct dcp_position){ seqno, seqno, seqno, branch_of(v, seqno) };
		return seqno > v->pos.seqno;
	}
	if (unlikely(!v->in_snapshot || seqno <= v->pos.seqno || seqno > v->snap_end))
		return false;
	*pos = (struct dcp_position){ seqno, v->snap_start, v->snap_end, branch_of(v, seqno) };
	if (seqno == v->snap_end)
		pos->snap_start = seqno;
	return true;
}

static inline void received(struct vbucket *v, const struct dcp_position *pos)
{
	if (v->oso) {
		v->oso_max = MAX(v->oso_max, pos->seqno);
		return;
	}
	v->pos = *pos;
	if (pos->snap_start == pos->snap_end)
		points_add(&v->points, pos->seqno);
}

static bool skipped(const struct vbucket_config *c, const struct wire_doc *d)
{
	if (d->cas < c->skip_until_cas)
		return true;
	for (size_t i = 0; i < c->n_skip_prefix; i++) {
		struct slice s = c->skip_prefix[i];
		if (d->key.len >= s.len && memcmp(d->key.p, s.p, s.len) == 0)
			return true;
	}
	return false;
}

static void deliver(struct vbucket *v, struct dcp_event *ev, const struct packet *p, nsec now)
{
	ev->vb = v->id;
	ev->out_of_order = v->oso;
	ev->snapshot_flags = v->snap_flags;
	ev->wire_bytes = (uint32_t)p->len;
	ev->connection = v->connection;
	if (v->oso &&
	    ev->kind == DCP_ADVANCED) { /* only the end of the snapshot moves the position */
		v->config->ops->dropped(v->config->arg, v, ev->connection, ev->wire_bytes);
		received(v, &ev->pos);
	} else if (hand_out(v, ev) < 0) {
		v->config->ops->dropped(v->config->arg, v, ev->connection, ev->wire_bytes);
		v->config->ops->close_stream(v->config->arg, v, v->node, vbucket_opaque(v));
		retry(v, now);
	} else {
		received(v, &ev->pos);
	}
}

static void on_doc(struct vbucket *v, const struct packet *p, nsec now)
{
	struct wire_doc d;
	struct dcp_event ev = { .kind = (uint8_t)(p->opcode - OP_DCP_MUTATION) };
	if (wire_doc_parse(p, v->config->collections, &d, NULL) < 0 ||
	    !place(v, d.seqno, &ev.pos)) {
		violation(v, now);
		return;
	}
	static_assert(DCP_DELETION == OP_DCP_DELETION - OP_DCP_MUTATION &&
			      DCP_EXPIRATION == OP_DCP_EXPIRATION - OP_DCP_MUTATION,
		      "event kinds follow the opcodes");
	if (skipped(v->config, &d)) {
		ev.kind = DCP_ADVANCED;
		deliver(v, &ev, p, now);
		return;
	}
	if (ev.kind == DCP_MUTATION)
		v->n_mutations++;
	else if (ev.kind == DCP_DELETION)
		v->n_deletions++;
	else
		v->n_expirations++;
	ev.datatype = d.datatype;
	ev.collection = d.collection;
	ev.rev = d.rev;
	ev.cas = d.cas;
	ev.flags = d.flags;
	ev.expiry = d.expiry;
	ev.lock_time = d.lock_time;
	ev.delete_time = d.delete_time;
	ev.key = d.key;
	ev.value = d.value;
	deliver(v, &ev, p, now);
}

static void on_system_event(struct vbucket *v, const struct packet *p, nsec now)
{
	struct dcp_event ev = { .kind = DCP_SYSTEM };
	uint64_t seqno = 0;
	int rc = system_event_parse(p, &seqno, &ev.system, &ev.key, NULL);
	if (rc < 0 || !place(v, seqno, &ev.pos)) {
		violation(v, now);
		return;
	}
	ev.collection = ev.system.collection;
	if (rc == 0 || !v->config->system_events)
		ev = (struct dcp_event){ .kind = DCP_ADVANCED, .pos = ev.pos };
	deliver(v, &ev, p, now);
}

static void on_advanced(struct vbucket *v, const struct packet *p, nsec now)
{
	struct dcp_event ev = { .kind = DCP_ADVANCED };
	uint64_t seqno;
	if (wire_seqno_advanced_parse(p, &seqno, NULL) < 0) {
		violation(v, now);
		return;
	}
	if (seqno <= v->pos.seqno && !v->oso) { /* says nothing new */
		v->config->ops->dropped(v->config->arg, v, v->connection, (uint32_t)p->len);
		return;
	}
	if (!place(v, seqno, &ev.pos)) {
		/* after an out-of-order snapshot it may stand alone: everything up to it was sent */
		if (v->in_snapshot) {
			violation(v, now);
			return;
		}
		ev.pos = (struct dcp_position){ seqno, seqno, seqno, branch_of(v, seqno) };
	}
	deliver(v, &ev, p, now);
}

static void on_oso(struct vbucket *v, const struct packet *p, nsec now)
{
	bool start;
	if (wire_oso_parse(p, &start, NULL) < 0 || start == v->oso) {
		violation(v, now);
		return;
	}
	if (start) {
		v->oso = true;
		v->oso_max = v->pos.seqno;
		v->in_snapshot = false;
		v->snap_flags = SNAPSHOT_DISK;
		v->config->ops->dropped(v->config->arg, v, v->connection, (uint32_t)p->len);
		return;
	}
	v->oso = false;
	uint64_t s = v->oso_max;
	struct dcp_event ev = { .kind = DCP_ADVANCED, .pos = { s, s, s, branch_of(v, s) } };
	deliver(v, &ev, p, now);
}

static void on_end(struct vbucket *v, const struct packet *p, nsec now)
{
	uint32_t reason;
	if (wire_stream_end_parse(p, &reason, NULL) < 0) {
		violation(v, now);
		return;
	}
	v->last_reason = reason;
	switch (reason) {
	case STREAM_END_OK:
		if (v->end_seqno != VBUCKET_NO_END)
			finish(v, reason, 0);
		else
			retry(v, now);
		return;
	case STREAM_END_FILTER_EMPTY: finish(v, reason, 0); return;
	case STREAM_END_STATE_CHANGED: moved_away(v, SLICE_NONE, now); return;
	default: retry(v, now); return;
	}
}

void vbucket_on_packet(struct vbucket *v, const struct packet *p, nsec now)
{
	/* DCP_END and markers carry no event whose consumption would give their bytes back */
	if (unlikely(v->state != VB_STREAMING || p->opaque != vbucket_opaque(v))) {
		v->config->ops->dropped(v->config->arg, v, v->connection, (uint32_t)p->len);
		return;
	}
	uint64_t violations = v->n_violations;
	switch (p->opcode) {
	case OP_DCP_MUTATION:
	case OP_DCP_DELETION:
	case OP_DCP_EXPIRATION: on_doc(v, p, now); break;
	case OP_DCP_SYSTEM_EVENT: on_system_event(v, p, now); break;
	case OP_DCP_SEQNO_ADVANCED: on_advanced(v, p, now); break;
	case OP_DCP_OSO_SNAPSHOT: on_oso(v, p, now); break;
	case OP_DCP_SNAPSHOT_MARKER:
		on_marker(v, p, now);
		v->config->ops->dropped(v->config->arg, v, v->connection, (uint32_t)p->len);
		return;
	case OP_DCP_STREAM_END:
		on_end(v, p, now);
		v->config->ops->dropped(v->config->arg, v, v->connection, (uint32_t)p->len);
		return;
	default: /* something newer servers send: its bytes count all the same */
		v->config->ops->dropped(v->config->arg, v, v->connection, (uint32_t)p->len);
		return;
	}
	if (unlikely(v->n_violations != violations))
		v->config->ops->dropped(v->config->arg, v, v->connection, (uint32_t)p->len);
}

/* ---- facts ---- */

void vbucket_on_persisted(struct vbucket *v, uint64_t uuid, uint64_t seqno, nsec now)
{
	if (v->state == VB_IDLE)
		return;
	v->persisted_uuid = uuid;
	v->persisted = seqno;
	if (release_held(v) < 0 && stream_may_run(v))
		violation(v, now);
}

void vbucket_on_history_changed(struct vbucket *v, nsec now)
{
	if (v->state != VB_STREAMING)
		return;
	v->config->ops->close_stream(v->config->arg, v, v->node, vbucket_opaque(v));
	retry(v, now);
}

void vbucket_set_gate(struct vbucket *v, enum vbucket_gate gate, nsec now)
{
	v->gate = (uint8_t)gate;
	if (release_held(v) < 0 && stream_may_run(v))
		violation(v, now);
}
