/* vbucket_stream.c: the packets of a running stream.
 *
 * snap_start is the seqno at which the client was complete before the snapshot, never above the marker's start: the
 * server takes "start == snapshot start" to mean that nothing of the snapshot was received. When a snapshot was left
 * unfinished and the next one begins within it (the server went back to disk), the two are one. */
#include "dcp/collections.h"
#include "dcp/vbucket_internal.h"
#include "dcp/wire_parse.h"

static void on_marker(struct vbucket *v, const struct packet *p, nsec now)
{
	struct wire_marker m;
	if (wire_marker_parse(p, &m, NULL) < 0 || m.end < v->pos.seqno) {
		vb_violation(v, now);
		return;
	}
	bool from_disk = !(m.flags & SNAPSHOT_MEMORY);
	if (!from_disk || !m.has_purge)
		vb_doubt_purge(v, from_disk);
	else if (!vb_learn_purge(v, m.purge_seqno))
		return;
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
		*pos = (struct dcp_position){ seqno, seqno, seqno, vb_branch_of(v, seqno) };
		return seqno > v->pos.seqno;
	}
	if (unlikely(!v->in_snapshot || seqno <= v->pos.seqno || seqno > v->snap_end))
		return false;
	*pos = (struct dcp_position){ seqno, v->snap_start, v->snap_end, vb_branch_of(v, seqno) };
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

static inline bool skipped(const struct vbucket_config *c, uint64_t cas, struct slice key)
{
	if (cas < c->skip_until_cas)
		return true;
	for (size_t i = 0; i < c->n_skip_prefix; i++) {
		struct slice s = c->skip_prefix[i];
		if (key.len >= s.len && key.p[0] == s.p[0] && memcmp(key.p, s.p, s.len) == 0)
			return true;
	}
	return false;
}

/* Its bytes count, but carry no event. */
static void drop(struct vbucket *v, const struct packet *p)
{
	v->config->ops->dropped(v->config->arg, v, v->connection, (uint32_t)p->len);
}

static inline void deliver(struct vbucket *v, struct dcp_event *ev, const struct packet *p,
			   nsec now)
{
	ev->vb = v->id;
	ev->out_of_order = v->oso;
	ev->snapshot_flags = v->snap_flags;
	ev->packet = slice_of(p->start, p->len);
	ev->wire_bytes = (uint32_t)p->len;
	ev->connection = v->connection;
	if (unlikely(v->oso && ev->kind == DCP_ADVANCED)) {
		drop(v, p); /* only the end of the snapshot moves the position */
		received(v, &ev->pos);
	} else if (unlikely(vb_hand_out(v, ev) < 0)) {
		drop(v, p);
		v->config->ops->close_stream(v->config->arg, v, v->node, vbucket_opaque(v));
		vb_retry(v, now);
	} else {
		received(v, &ev->pos);
	}
}

/* These say whether the packet belongs to the stream. */

static inline bool on_doc(struct vbucket *v, const struct packet *p, nsec now)
{
	struct wire_doc d;
	struct dcp_event ev; /* clearing what nobody looks at would cost more than all the rest */
	if (unlikely(wire_doc_view(p, v->config->collections, &d, NULL) < 0 ||
		     !place(v, d.seqno, &ev.pos)))
		return false;
	ev.kind = (uint8_t)(p->opcode - OP_DCP_MUTATION);
	if (unlikely(skipped(v->config, d.cas, d.key)))
		ev.kind = DCP_ADVANCED;
	else
		v->n_docs[ev.kind]++;
	deliver(v, &ev, p, now);
	return true;
}

static bool on_system_event(struct vbucket *v, const struct packet *p, nsec now)
{
	struct dcp_event ev = { .kind = DCP_SYSTEM };
	struct dcp_system system;
	struct slice name;
	uint64_t seqno = 0;
	int rc = system_event_parse(p, &seqno, &system, &name, NULL);
	if (rc < 0 || !place(v, seqno, &ev.pos))
		return false;
	if (rc == 0 || !v->config->system_events)
		ev.kind = DCP_ADVANCED;
	deliver(v, &ev, p, now);
	return true;
}

static bool on_advanced(struct vbucket *v, const struct packet *p, nsec now)
{
	struct dcp_event ev = { .kind = DCP_ADVANCED };
	uint64_t seqno;
	if (wire_seqno_advanced_parse(p, &seqno, NULL) < 0)
		return false;
	if (seqno <= v->pos.seqno && !v->oso) { /* says nothing new */
		drop(v, p);
		return true;
	}
	if (!place(v, seqno, &ev.pos)) {
		/* after an out-of-order snapshot it may stand alone: everything up to it was sent */
		if (v->in_snapshot)
			return false;
		ev.pos = (struct dcp_position){ seqno, seqno, seqno, vb_branch_of(v, seqno) };
	}
	deliver(v, &ev, p, now);
	return true;
}

static bool on_oso(struct vbucket *v, const struct packet *p, nsec now)
{
	bool start;
	if (wire_oso_parse(p, &start, NULL) < 0 || start == v->oso)
		return false;
	if (start) {
		v->oso = true;
		v->oso_max = v->pos.seqno;
		v->in_snapshot = false;
		v->snap_flags = SNAPSHOT_DISK;
		vb_doubt_purge(v, true);
		drop(v, p);
		return true;
	}
	v->oso = false;
	uint64_t s = v->oso_max;
	struct dcp_event ev = { .kind = DCP_ADVANCED, .pos = { s, s, s, vb_branch_of(v, s) } };
	deliver(v, &ev, p, now);
	return true;
}

static void on_end(struct vbucket *v, const struct packet *p, nsec now)
{
	uint32_t reason;
	if (wire_stream_end_parse(p, &reason, NULL) < 0) {
		vb_violation(v, now);
		return;
	}
	v->last_reason = reason;
	switch (reason) {
	case STREAM_END_OK:
		if (v->end_seqno != VBUCKET_NO_END)
			vb_finish(v, reason, 0);
		else
			vb_retry(v, now);
		return;
	case STREAM_END_FILTER_EMPTY: vb_finish(v, reason, 0); return;
	case STREAM_END_STATE_CHANGED: vb_moved_away(v, SLICE_NONE, now); return;
	default: vb_retry(v, now); return;
	}
}

/* Up to where documents of this snapshot are ordinary: its last one is a place of its own. */
static uint64_t ordinary_to(const struct vbucket *v)
{
	if (!v->in_snapshot || v->oso || v->held.n || v->snap_end == 0)
		return 0;
	if (vb_may_pass(v, v->snap_end))
		return v->snap_end - 1;
	return vb_may_pass(v, v->persisted) ? MIN(v->persisted, v->snap_end - 1) : 0;
}

size_t vbucket_on_documents(struct vbucket *v, struct slice in)
{
	enum { RUN_MAX = 64 };
	const struct vbucket_config *c = v->config;
	if (v->state != VB_STREAMING || c->stream_id || !c->ops->emit_run)
		return 0;
	uint64_t seqno = v->pos.seqno, to = ordinary_to(v), from = v->log.entry[0].seqno;
	uint32_t opaque = vbucket_opaque(v), n_docs[ARRAY_LEN(v->n_docs)] = { 0 };
	struct doc_run run = { .first = in.p, .uuid = v->log.entry[0].uuid };
	struct wire_quick d;
	while (run.n < RUN_MAX) {
		const uint8_t *h = in.p + run.bytes;
		size_t len = wire_doc_quick(slice_of(h, in.len - run.bytes), c->collections, &d);
		if (len == 0 || d.opaque != opaque || d.seqno <= seqno || d.seqno > to ||
		    d.seqno < from || skipped(c, d.cas, d.key))
			break;
		n_docs[h[1] - OP_DCP_MUTATION]++;
		seqno = d.seqno;
		run.n++;
		run.bytes += (uint32_t)len;
	}
	if (run.n == 0 || c->ops->emit_run(c->arg, v, &run) < 0)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(n_docs); i++)
		v->n_docs[i] += n_docs[i];
	received(v, &(struct dcp_position){ seqno, v->snap_start, v->snap_end, run.uuid });
	if (v->delivered != UINT64_MAX && seqno > v->delivered)
		v->delivered = seqno;
	return run.bytes;
}

static bool has_our_id(const struct vbucket *v, const struct packet *p)
{
	uint16_t id;
	return framing_stream_id(p->framing, &id, NULL) == 0 && id == v->config->stream_id;
}

/* Markers and ends carry no event whose consumption would give their bytes back; nor does what newer servers send. */
static bool on_other(struct vbucket *v, const struct packet *p, nsec now)
{
	switch (p->opcode) {
	case OP_DCP_SYSTEM_EVENT: return on_system_event(v, p, now);
	case OP_DCP_SEQNO_ADVANCED: return on_advanced(v, p, now);
	case OP_DCP_OSO_SNAPSHOT: return on_oso(v, p, now);
	case OP_DCP_SNAPSHOT_MARKER: on_marker(v, p, now); break;
	case OP_DCP_STREAM_END: on_end(v, p, now); break;
	default: break;
	}
	drop(v, p);
	return true;
}

void vbucket_on_packet(struct vbucket *v, const struct packet *p, nsec now)
{
	if (unlikely(v->state != VB_STREAMING || p->opaque != vbucket_opaque(v))) {
		drop(v, p);
		return;
	}
	bool ours = !v->config->stream_id || has_our_id(v, p);
	if (likely(ours && p->opcode >= OP_DCP_MUTATION && p->opcode <= OP_DCP_EXPIRATION))
		ours = on_doc(v, p, now);
	else if (ours)
		ours = on_other(v, p, now);
	if (unlikely(!ours)) {
		vb_violation(v, now);
		drop(v, p);
	}
}
