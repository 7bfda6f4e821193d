/* source_vbucket.c: what the vBuckets' machines ask for, when their clocks ring, and where they start.
 *
 *	assigned ─▶ high seqno of its owner asked ─▶ checkpoint checked ─▶ started ─▶ requests, events, closes */
#include "dcp/source_internal.h"

#include <stdio.h>

#define SEQNO_RETRY (100 * NSEC_PER_MS)

enum { VB_ACTIVE = 1 };

/* ---- what they ask for ---- */

static void send_stream_req(void *arg, struct vbucket *v, const struct wire_stream_req *r)
{
	struct conn *c = source_ready_conn(arg, v->node);
	if (!c)
		return;
	struct wire_stream_req req = *r;
	if (!conn_has(c, HELLO_COLLECTIONS))
		req.json = SLICE_NONE;
	wire_stream_req(conn_out(c), v->id, vbucket_opaque(v), &req);
	conn_await(c);
	conn_flush(c);
}

static void send_failover_log(void *arg, struct vbucket *v)
{
	struct conn *c = source_ready_conn(arg, v->node);
	if (!c)
		return;
	wire_get_failover_log(conn_out(c), v->id, vbucket_opaque(v));
	conn_await(c);
	conn_flush(c);
}

static void send_ask_purge(void *arg, struct vbucket *v)
{
	struct conn *c = source_ready_conn(arg, v->node);
	char key[32];
	if (!c)
		return;
	(void)snprintf(key, sizeof(key), "vbucket-details %u", v->id);
	wire_simple(conn_out(c), OP_STAT, vbucket_opaque(v), slice_str(key), SLICE_NONE);
	conn_await(c);
	conn_flush(c);
}

static void send_close(void *arg, struct vbucket *v, int node, uint32_t opaque)
{
	struct conn *c = source_ready_conn(arg, node);
	if (!c)
		return;
	wire_close_stream(conn_out(c), v->id, opaque, v->config->stream_id);
	conn_flush(c);
}

static void arm_vb_timer(struct dcp_source *s, nsec at)
{
	if (at == 0 || (s->vb_timer_at && s->vb_timer_at <= at))
		return;
	s->vb_timer_at = at;
	timer_set(&s->vb_timer, at - source_now(s));
}

static void on_vb_timer_changed(void *arg, struct vbucket *v)
{
	arm_vb_timer(arg, v->timer_at);
}

void source_vb_timer(void *arg)
{
	struct dcp_source *s = arg;
	nsec now = source_now(s), next = 0;
	s->vb_timer_at = 0;
	for (uint32_t i = 0; i < s->n_slots; i++) {
		struct vbucket *v = &s->slot[i].v;
		if (v->timer_at && v->timer_at <= now)
			vbucket_on_timer(v, now);
		if (v->timer_at && (next == 0 || v->timer_at < next))
			next = v->timer_at;
	}
	arm_vb_timer(s, next);
	source_flush(s);
	source_look_if_open(s);
}

static void on_wrong_node(void *arg, struct vbucket *v, struct slice json)
{
	struct dcp_source *s = arg;
	struct node *n = source_node_of(s, v);
	bool accepted = false;
	if (json.len && n)
		source_adopt_map(s, json, n->host, n->port, &accepted);
	if (!accepted)
		for (uint32_t i = 0; i < s->n_nodes; i++)
			if (conn_is_ready(s->node[i]->dcp))
				conn_ask_map(s->node[i]->dcp);
}

/* Under lock. Nothing is handed out until the mark as it is now is saved. */
static void save_first(struct dcp_source *s, struct slot *slot)
{
	slot->unsaved_version = slot->w.version;
	if (!s->o.store)
		return;
	if (!slot->branch_unsaved)
		source_hold_back(s, 1);
	slot->branch_unsaved = true;
	s->save_now = true; /* again, when a save is under way: that one knows nothing of it */
	cond_broadcast(&s->changed);
}

/* A mark without a branch (at the beginning of everything, at a seqno that was the latest or that a caller named) adopts
 * it and is saved, since without a checkpoint a restart knows nothing: it goes on here, and can tell when the branch is
 * gone. Before the oldest branch that the server still knows there is none to be had, and nothing to wait for: the server
 * takes whoever comes back from there to the beginning. Under lock. */
static void settle_branch(struct dcp_source *s, struct slot *slot, const struct failover_log *log)
{
	uint64_t at = slot->w.mark.seqno;
	uint64_t uuid = at ? failover_uuid_at(log, at) : log->entry[log->n - 1].uuid;
	if (uuid == 0) {
		source_branch_settled(s, slot);
		return;
	}
	slot->w.mark.uuid = uuid;
	slot->w.version++;
	save_first(s, slot);
}

static void on_history(void *arg, struct vbucket *v)
{
	struct dcp_source *s = arg;
	struct slot *slot = slot_of(v);
	mitigation_reset(&slot->m);
	mutex_lock(&s->lock);
	if (slot->owned && slot->w.mark.uuid == 0)
		settle_branch(s, slot, &v->log);
	mutex_unlock(&s->lock);
	source_observe_soon(s);
}

/* Saved with the mark. What a checkpoint at 0 says of a reading that was given up must not be taken for this one's. */
static void on_purge(void *arg, struct vbucket *v)
{
	struct dcp_source *s = arg;
	struct slot *slot = slot_of(v);
	mutex_lock(&s->lock);
	slot->purge = v->purge;
	if (slot->owned && slot->w.mark.uuid) { /* else it is saved with the branch */
		slot->w.heard = ++slot->w.version;
		if (slot->saved_purge.uuid && slot->saved_seqno == 0)
			save_first(s, slot);
	}
	mutex_unlock(&s->lock);
}

static void on_retreat(void *arg, struct vbucket *v, const struct dcp_position *pos)
{
	struct dcp_source *s = arg;
	struct slot *slot = slot_of(v);
	source_flush(s); /* what is on its way lies above */
	mutex_lock(&s->lock);
	if (slot->owned) {
		ack_retreat(&slot->w, pos);
		source_recall(s, slot, pos);
		slot->retreat = true;
		source_save_rollback(s);
	}
	mutex_unlock(&s->lock);
}

static enum reaction reaction(void *arg, struct vbucket *v, uint16_t status)
{
	struct conn *c = source_ready_conn(arg, v->node);
	return c ? conn_reaction(c, status) : REACT_RETRY_LATER;
}

const struct vbucket_ops source_vbucket_ops = {
	.stream_req = send_stream_req,
	.failover_log = send_failover_log,
	.close_stream = send_close,
	.emit = source_emit,
	.emit_run = source_emit_run,
	.dropped = source_give_back,
	.timer = on_vb_timer_changed,
	.wrong_node = on_wrong_node,
	.history = on_history,
	.ask_purge = send_ask_purge,
	.purge = on_purge,
	.retreat = on_retreat,
	.reaction = reaction,
};

/* ---- starting them ---- */

static void end_with(struct dcp_source *s, struct slot *slot, const struct err *why)
{
	struct dcp_event ev = { .kind = DCP_END, .vb = slot->v.id, .code = why->code };
	source_note_error(s, why);
	(void)source_emit(s, &slot->v, &ev);
}

/* Once its checkpoint and the server's high seqno are known. */
static void start_slot(struct dcp_source *s, struct slot *slot)
{
	struct err e = ERR_INIT;
	struct vbucket_start st = { .end_seqno = s->o.finite ? slot->high : VBUCKET_NO_END };
	slot->started = true;
	struct checkpoint_policies policies = s->o.policies;
	if (slot->cp.any_branch)
		policies.ahead = CHECKPOINT_FAIL;
	int checked = checkpoint_check(&slot->cp, s->map->uuid, slot->high, &policies, &e);
	if (checked < 0) {
		end_with(s, slot, &e);
		return;
	}
	if (slot->cp.found && slot->cp.any_branch) {
		st.pos = slot->cp.pos;
		st.latest = st.pos.seqno > 0;
		st.restarted = slot->cp.again && st.pos.seqno == 0;
		st.high_seqno = slot->high;
	} else if (slot->cp.found) {
		st.pos = slot->cp.pos;
		st.points = slot->cp.points;
		st.purge = slot->cp.purge;
		st.restarted = true;
		st.rewind = checked > 0;
		st.high_seqno = slot->high;
	} else if (s->o.begin == DCP_LATEST && slot->high > 0) {
		st.pos = (struct dcp_position){ slot->high, slot->high, slot->high, 0 };
		st.latest = true;
	}
	mutex_lock(&s->lock);
	uint64_t version = slot->w.version + 1; /* goes on: whoever compares sees a change */
	ack_init(&slot->w, slot->w.tail + 1, &st.pos, &st.points);
	ack_share(&slot->w, &s->rings);
	slot->tenure = slot->polled = ++slot->epoch;
	slot->n_recalls = slot->rollbacks_queued = 0;
	slot->saved_version = slot->w.version = version;
	slot->saved_seqno = st.pos.seqno;
	slot->purge = slot->saved_purge = st.purge;
	slot->quiet_rounds = 0;
	slot->rollbacks_released = 0;
	slot->retreat = false;
	source_branch_settled(s, slot);
	slot->owned = true;
	mutex_unlock(&s->lock);
	mitigation_reset(&slot->m);
	vbucket_set_gate(&slot->v, source_gate(s), source_now(s));
	vbucket_start(&slot->v, &st, source_now(s));
}

void source_place_slot(struct dcp_source *s, struct slot *slot)
{
	int owner = s->map ? cluster_owner(s->map, slot->v.id, 0) : -1;
	int node = owner >= 0 ? s->map_node[owner] : -1;
	struct conn *c = source_ready_conn(s, node);
	vbucket_on_node(&slot->v, node, c != NULL, c ? conn_id(c) : 0, source_now(s));
}

void source_place_all(struct dcp_source *s)
{
	for (uint32_t i = 0; i < s->n_slots; i++)
		if (s->slot[i].assigned)
			source_place_slot(s, &s->slot[i]);
	source_flush(s);
}

static void ask_seqnos(struct node *n)
{
	if (!conn_is_ready(n->dcp) || n->asked_seqnos)
		return;
	n->asked_seqnos = true;
	wire_get_all_vb_seqnos(conn_out(n->dcp), 0, VB_ACTIVE, false, 0);
	conn_await(n->dcp);
	conn_flush(n->dcp);
}

/* Asks the owners of vBuckets that wait for their high seqno. */
void source_ask_seqnos(void *arg)
{
	struct dcp_source *s = arg;
	bool missing = false;
	for (uint32_t i = 0; i < s->n_slots; i++) {
		struct slot *slot = &s->slot[i];
		if (!slot->assigned || slot->started)
			continue;
		missing = true;
		int owner = cluster_owner(s->map, i, 0);
		if (owner >= 0 && s->map_node[owner] >= 0)
			ask_seqnos(s->node[s->map_node[owner]]);
	}
	if (missing)
		timer_set(&s->seqno_timer, SEQNO_RETRY);
}

void source_on_seqnos(struct dcp_source *s, struct node *n, const struct packet *p)
{
	size_t count;
	n->asked_seqnos = false;
	if (p->vb_status != STATUS_OK || wire_seqnos_count(p, &count, NULL) < 0)
		return; /* asked again by the timer */
	for (size_t i = 0; i < count; i++) {
		uint16_t vb;
		uint64_t seqno;
		wire_seqnos_at(p, i, &vb, &seqno);
		if (vb >= s->n_slots)
			continue;
		struct slot *slot = &s->slot[vb];
		int owner = cluster_owner(s->map, vb, 0);
		if (owner < 0 || s->map_node[owner] != n->index)
			continue;
		slot->high = slot->high_now = seqno;
		slot->has_high = true;
		if (slot->assigned && !slot->started) {
			source_place_slot(s, slot);
			start_slot(s, slot);
		}
	}
}
