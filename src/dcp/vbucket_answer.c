/* vbucket_answer.c: what the server answers to a request for a stream or a failover log, and going back.
 *
 * On ROLLBACK R nothing of the lost branch may count, and nothing of the new one may be left out. The stream restarts
 * at the greatest point (failover.h) at or below R, with the branch that the server's log has there. If anything was
 * handed out above the seqno where our branch ended, the consumer gets a DCP_ROLLBACK event first, and until it has
 * acknowledged that (so that the checkpoint has moved back) nothing newer is asked for. The server may answer with a
 * lower R each time; every restart is strictly below the last, so it ends at 0.
 *
 * Told and killed. A consumer that has undone what was called void, and is killed before its acknowledgement is saved,
 * resumes from its old checkpoint. Where branches part that is safe: the server accepts it only if it lies on the common
 * part, which was not called void. When the branch is the same (the server merely has less of it), or tombstones were
 * purged, nothing in that checkpoint shows it:
 *
 *	ours   s ····· checkpoint ····· e      the server had less than e: ROLLBACK s, everything above s is void, undone;
 *	theirs s ··························▶   killed; it has e again by now and accepts the checkpoint: s..checkpoint is lost
 *
 * So there the checkpoint goes back first (ops.retreat), and the event follows when that is durable.
 *
 * A branch can also change above the place where we resume: then the server accepts, but events that were handed out
 * beyond the branch point (or may have been, before a restart) are void. The consumer gets the same event, while the
 * position stays. */
#include "dcp/vbucket_internal.h"

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
	return v->held.n ? vb_hold(v, &ev) : vb_emit(v, &ev);
}

/* In REWIND; when there is no room for the event it is told later. */
void vb_rewind_tell(struct vbucket *v, nsec now)
{
	v->untold = v->paused || tell_rollback(v, v->rollback_to, v->rollback_server) < 0;
	if (v->paused)
		return; /* until it is resumed */
	if (v->untold)
		vb_set_timer(v, now + vb_backoff(v));
	else if (v->config->rollback_unacked)
		vb_open(v);
}

/* Where the history we had and the server's part. 1, 0 they do not (as far as is known), ERR_NOTFOUND they have
 * nothing in common. After a restart only the position's own branch is known. */
static int parted_at(const struct vbucket *v, const struct failover_log *now, uint64_t *end)
{
	if (v->log.n)
		return failover_common_end(&v->log, now, end);
	return v->pos.uuid ? failover_branch_end(now, v->pos.uuid, end) : 0;
}

/* Above which seqno nothing that was handed out counts; *silent: an old checkpoint would not show it. */
static uint64_t void_above(const struct vbucket *v, const struct failover_log *now, uint64_t server,
			   bool *silent)
{
	uint64_t end;
	int parted = parted_at(v, now, &end);
	*silent = parted == 0;
	if (parted < 0)
		/* a foreign history, which refuses an old checkpoint as well; who rewinds says that it is none */
		return v->rewind ? server : 0;
	if (parted == 0)
		return server; /* tombstones were purged, or we were ahead */
	uint64_t snap_end = v->requested == v->pos.snap_start ? v->requested : v->pos.snap_end;
	bool purged = server == 0 && snap_end <= end;
	*silent = purged;
	return purged ? 0 : end;
}

static void go_back(struct vbucket *v, const struct failover_log *log, nsec now)
{
	uint64_t server = v->rollback_server;
	bool silent;
	uint64_t to = void_above(v, log, server, &silent);
	v->log = *log;
	to = MIN(to, vb_held_rollback(v)); /* which goes with the rest that is held, untold */
	uint64_t limit = MIN(server, v->requested ? v->requested - 1 : 0);
	/* the log is newer than the answer: it may have gone back further since */
	limit = MIN(limit, to);
	if (v->held.n) /* all of it comes again: nothing may come before the rollback */
		limit = MIN(limit, vbucket_first_held(v) ? vbucket_first_held(v) - 1 : 0);
	vb_drop_all_held(v);
	uint64_t point = points_floor(&v->points, limit);
	v->pos = (struct dcp_position){ point, point, point, vb_branch_of(v, point) };
	points_cut(&v->points, point);
	v->persisted_uuid = v->persisted = 0;
	vb_know_purge(v, NULL);
	v->rollback_to = MAX(to, point);
	if (v->delivered <= v->rollback_to) {
		vb_open(v);
		return;
	}
	vb_enter(v, VB_REWIND);
	v->retreating = silent;
	if (silent)
		v->config->ops->retreat(v->config->arg, v, &v->pos);
	else
		vb_rewind_tell(v, now);
}

/* As if the server had been asked, and had answered with the last seqno that both histories can have. */
static void rewind_to_high(struct vbucket *v, const struct failover_log *log)
{
	uint64_t end;
	v->requested = v->pos.seqno;
	v->rollback_server = v->seen_limit;
	if (parted_at(v, log, &end) > 0)
		v->rollback_server = MIN(end, v->seen_limit);
}

static void on_log(struct vbucket *v, const struct packet *p, nsec now)
{
	struct failover_log log;
	if (p->vb_status != STATUS_OK || failover_parse(p->value, &log, NULL) < 0) {
		v->last_status = p->vb_status;
		vb_retry(v, now);
		return;
	}
	if (v->rewind)
		rewind_to_high(v, &log);
	if (!v->from_latest) {
		go_back(v, &log, now);
		v->rewind = false;
		v->config->ops->history(v->config->arg, v);
		return;
	}
	v->log = log;
	v->config->ops->history(v->config->arg, v);
	v->from_latest = false;
	uint64_t s = v->pos.seqno;
	v->pos = (struct dcp_position){ s, s, s, vb_branch_of(v, s) };
	v->delivered = s;
	points_add(&v->points, s);
	vb_open(v);
}

/* ---- answers ---- */

/* The server accepted. If the branch we came from ended below what was handed out, the rest of it is void. */
static void on_accepted(struct vbucket *v, const struct packet *p, nsec now)
{
	struct failover_log log;
	if (failover_parse(p->value, &log, NULL) < 0) {
		vb_violation(v, now);
		return;
	}
	uint64_t end;
	int parted = parted_at(v, &log, &end);
	if (parted < 0)
		end = v->pos.seqno; /* at 0 a server takes any branch; what we had is not even in its past */
	if (v->log.n == 0 || v->log.entry[0].uuid != log.entry[0].uuid)
		v->persisted_uuid = v->persisted = 0;
	if (v->purge.uuid != log.entry[0].uuid)
		vb_know_purge(v, NULL); /* of another branch's numbers */
	v->purge_settled = false;
	struct failover_log before = v->log;
	v->log = log;
	v->refusals = 0;
	v->opened_at = now;
	vb_enter(v, VB_STREAMING);
	uint64_t uuid_before = v->pos.uuid;
	v->pos.uuid = vb_branch_of(v, v->pos.seqno);
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
	if (rc < 0 || vb_release_held(v) < 0)
		vb_violation(v, now);
}

/* The owner may learn a new map from this and move the vBucket at once. */
void vb_moved_away(struct vbucket *v, struct slice map_json, nsec now)
{
	uint16_t generation = v->generation;
	v->config->ops->wrong_node(v->config->arg, v, map_json);
	if (v->generation == generation)
		vb_retry(v, now);
}

static void refused(struct vbucket *v, int code, nsec now)
{
	if (++v->refusals < VBUCKET_FATAL_TRIES) {
		vb_retry(v, now);
		return;
	}
	vb_finish(v, STREAM_END_CLOSED, code);
}

static void react(struct vbucket *v, uint16_t status, nsec now)
{
	const struct vbucket_ops *ops = v->config->ops;
	bool first = v->tries == 0;
	switch (ops->reaction ? ops->reaction(v->config->arg, v, status)
			      : error_reaction(NULL, status)) {
	case REACT_FETCH_MAP: vb_moved_away(v, SLICE_NONE, now); return;
	case REACT_REFUSED: refused(v, ERR_PROTOCOL, now); return;
	case REACT_RETRY_NOW:
		vb_retry(v, now);
		if (first)
			vb_set_timer(v, now);
		return;
	case REACT_RETRY_LATER:
	case REACT_RECONNECT: /* the owner does: the node is lost and found again */
		vb_retry(v, now);
		return;
	}
}

static void on_opened(struct vbucket *v, const struct packet *p, nsec now)
{
	uint64_t seqno;
	v->last_status = p->vb_status;
	switch (p->vb_status) {
	case STATUS_OK: on_accepted(v, p, now); return;
	case STATUS_ROLLBACK:
		if (wire_rollback_parse(p, &seqno, NULL) < 0 ||
		    (v->requested == 0 && v->delivered != UINT64_MAX)) {
			/* at the beginning there is nothing to go back to: only a foreign uuid can be refused;
			 * after a restart the log still says what of the events before it counts */
			v->pos.uuid = 0;
			vb_retry(v, now);
			return;
		}
		v->rollback_server = seqno;
		vb_ask_log(v);
		return;
	case STATUS_NOT_MY_VBUCKET: vb_moved_away(v, p->value, now); return;
	case STATUS_KEY_EEXISTS:
		v->config->ops->close_stream(v->config->arg, v, v->node, vbucket_opaque(v));
		vb_retry(v, now);
		return;
	case STATUS_EINVAL:
	case STATUS_ERANGE: refused(v, ERR_PROTOCOL, now); return;
	case STATUS_NOT_SUPPORTED:
	case STATUS_STREAMID_INVALID: /* the connection has no ids, or asks for them */
		refused(v, ERR_UNSUPPORTED, now);
		return;
	case STATUS_UNKNOWN_COLLECTION:
	case STATUS_UNKNOWN_SCOPE: refused(v, ERR_NOTFOUND, now); return;
	default: react(v, p->vb_status, now); return;
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
	else if (p->opcode == OP_STAT && (v->state == VB_ASKING || v->checking))
		vb_on_statistic(v, p, now);
}
