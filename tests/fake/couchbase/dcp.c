/* dcp.c: the producer's requests: stream requests with the rollback rules, closing, acknowledging, failover logs.
 * dcp_open.c has opening and settings, dcp_filter.c what a stream shows, dcp_stream.c what it sends, dcp_message.c how.
 */
#include "tests/fake/couchbase/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- rollback ---- */

/* A purge took nothing that the client has not: it saw this purge, or its collections have nothing newer. */
static bool purge_harmless(const struct conn *c, const struct stream *t, const struct dcp_asked *r)
{
	const struct vb *v = &c->b->vb[t->vb];
	if (r->flags & REQ_IGNORE_PURGED)
		return true;
	if (c->b->f->o.version >= 80 && r->knows_purge && r->purge_seqno == v->purge_seqno)
		return true;
	if (!t->filtered)
		return false;
	uint64_t high = v->n;
	while (high && !dcp_wanted(c, t, &v->item[high - 1]))
		high--;
	return high <= r->start && high <= v->purge_seqno;
}

/* The rules of the protocol's rollback chapter. True: roll back to *to. */
static bool needs_rollback(const struct conn *c, const struct stream *t, const struct dcp_asked *r,
			   uint64_t *to)
{
	const struct vb *v = &c->b->vb[t->vb];
	uint64_t start = r->start, s = r->snap_start, e = r->snap_end;
	*to = 0;
	if (start == 0 && (!(r->flags & REQ_STRICT) || r->uuid == 0))
		return false;
	if (start < v->purge_seqno && start != 0 && !purge_harmless(c, t, r))
		return true;
	unsigned i = 0;
	while (i < v->n_log && v->log[i].uuid != r->uuid)
		i++;
	if (i == v->n_log)
		return true;
	uint64_t upper = i == 0 ? dcp_copy_high(c, t) : v->log[i - 1].seqno;
	if (start == s)
		e = start;
	if (e <= upper)
		return false;
	if (start == e)
		s = start;
	*to = upper < s ? upper : s;
	return true;
}

/* ---- stream requests ---- */

/* The newest of what the stream would show. */
static uint64_t latest(const struct conn *c, const struct stream *t)
{
	uint64_t high = dcp_copy_high(c, t);
	while (t->filtered && high && !dcp_wanted(c, t, &c->b->vb[t->vb].item[high - 1]))
		high--;
	return high;
}

static bool scripted_rollback(struct fake *f, const struct packet *p, uint64_t *to)
{
	for (unsigned i = 0; i < f->n_faults; i++) {
		struct fake_fault *x = &f->fault[i];
		if (x->kind == FAKE_ROLLBACK && x->count && (x->vb < 0 || x->vb == p->vb)) {
			x->count--;
			*to = x->n;
			return true;
		}
	}
	return false;
}

static void answer_rollback(struct fake *f, struct conn *c, const struct packet *p, uint64_t to)
{
	uint8_t body[8];
	put_be64(body, to);
	f->stats.rollbacks++;
	kv_respond(c, p, ST_ROLLBACK, SLICE_NONE, SLICE_NONE, slice_of(body, 8), 0, 0);
}

static struct stream *free_slot(struct conn *c)
{
	for (unsigned i = 0; i < c->n_streams; i++)
		if (!c->stream[i].open)
			return &c->stream[i];
	if (c->n_streams == c->cap_streams) {
		c->cap_streams = c->cap_streams ? c->cap_streams * 2 : 64;
		c->stream = realloc(c->stream, c->cap_streams * sizeof(*c->stream));
	}
	return &c->stream[c->n_streams++];
}

size_t dcp_failover_log(const struct bucket *b, unsigned vb, uint8_t out[16 * FAKE_FAILOVER_MAX])
{
	unsigned n = b->vb[vb].n_log;
	for (unsigned i = 0; i < n; i++) {
		put_be64(out + 16 * i, b->vb[vb].log[i].uuid);
		put_be64(out + 16 * i + 8, b->vb[vb].log[i].seqno);
	}
	return 16 * (size_t)n;
}

/* Active here, or a replica or pending where the client did not insist. */
static bool streams_here(const struct conn *c, const struct packet *p, bool active_only)
{
	const struct vb *v = p->vb < c->b->n_vbs ? &c->b->vb[p->vb] : NULL;
	if (!v)
		return false;
	if (v->copy[0].node == c->node->index)
		return v->state == FAKE_VB_ACTIVE || (!active_only && v->state != FAKE_VB_DEAD);
	for (unsigned k = 1; !active_only && k <= c->b->replicas; k++)
		if (v->copy[k].node == c->node->index)
			return true;
	return false;
}

static uint16_t check_request(struct fake *f, struct conn *c, const struct packet *p,
			      struct stream *t, struct dcp_asked *r)
{
	(void)f;
	if (c->b->warming_up)
		return ST_TMPFAIL;
	if (!(user_may(c->user, c->b) & MAY_STREAM))
		return ST_EACCESS;
	if ((p->value.len || (c->dcp_flags & OPEN_XATTR)) && !c->noop)
		return ST_NOT_SUPPORTED;
	if (r->flags & ~(uint32_t)REQ_KNOWN)
		return ST_EINVAL;
	uint16_t status = dcp_filter(c, t, r, p->value);
	if (status)
		return status;
	if (r->flags & REQ_TO_LATEST)
		r->end = latest(c, t);
	if (r->start > r->end || !(r->snap_start <= r->start && r->start <= r->snap_end))
		return ST_ERANGE;
	for (unsigned i = 0; i < c->n_streams; i++)
		if (c->stream[i].open && c->stream[i].vb == p->vb && c->stream[i].sid == t->sid)
			return ST_EXISTS;
	return ST_OK;
}

static void stream_request(struct fake *f, struct conn *c, const struct packet *p)
{
	f->stats.stream_requests++;
	if (p->extras.len != 48) {
		kv_status(f, c, p, ST_EINVAL);
		return;
	}
	const uint8_t *x = p->extras.p;
	struct dcp_asked r = { .flags = get_be32(x),
			       .start = get_be64(x + 8),
			       .end = get_be64(x + 16),
			       .uuid = get_be64(x + 24),
			       .snap_start = get_be64(x + 32),
			       .snap_end = get_be64(x + 40) };
	if (!streams_here(c, p, r.flags & REQ_ACTIVE_ONLY)) {
		kv_not_my_vbucket(f, c, p);
		return;
	}
	struct stream t = { .vb = p->vb, .opaque = p->opaque, .flags = r.flags };
	uint16_t status = check_request(f, c, p, &t, &r);
	uint64_t to;
	if (status) {
		if (status == ST_EINVAL && (r.flags & ~(uint32_t)REQ_KNOWN))
			kv_error(f, c, p, status, "Request contains invalid flags");
		else
			kv_status(f, c, p, status);
		return;
	}
	if (scripted_rollback(f, p, &to) || needs_rollback(c, &t, &r, &to)) {
		answer_rollback(f, c, p, to);
		return;
	}
	t.open = true;
	t.start = t.at = t.snap_from = t.snap_end = t.last_sent = r.start;
	t.end = r.end;
	t.purged = c->b->vb[p->vb].purge_seqno;
	*free_slot(c) = t;
	uint8_t log[16 * FAKE_FAILOVER_MAX];
	kv_respond(c, p, ST_OK, SLICE_NONE, SLICE_NONE,
		   slice_of(log, dcp_failover_log(c->b, p->vb, log)), 0, 0);
	if (!c->noop_due)
		c->noop_due = f->now_ms + c->noop_ms;
}

/* ---- the other requests ---- */

static void close_stream(struct fake *f, struct conn *c, const struct packet *p)
{
	struct slice frame;
	bool has_sid = kv_framing(p, 2, &frame) && frame.len == 2;
	uint16_t sid = has_sid ? get_be16(frame.p) : 0;
	if (has_sid != c->stream_ids) {
		kv_status(f, c, p, ST_STREAM_ID);
		return;
	}
	for (unsigned i = 0; i < c->n_streams; i++) {
		struct stream *s = &c->stream[i];
		if (!s->open || s->vb != p->vb || s->sid != sid)
			continue;
		kv_status(f, c, p, ST_OK);
		if (c->end_on_close)
			dcp_end(f, c, s, 1);
		dcp_close(s);
		return;
	}
	kv_status(f, c, p, ST_ENOENT);
}

bool dcp_request(struct fake *f, struct conn *c, const struct packet *p)
{
	char value[64];
	uint8_t log[16 * FAKE_FAILOVER_MAX];
	if (p->opcode < 0x50 || p->opcode > 0x68)
		return false;
	if (p->opcode == 0x50) {
		dcp_open(f, c, p);
		return true;
	}
	if (!c->is_dcp) {
		kv_error(f, c, p, ST_EINVAL, "The command can only be sent on a DCP connection");
		return true;
	}
	switch (p->opcode) {
	case 0x5e:
		snprintf(value, sizeof(value), "%.*s", (int)p->value.len, (const char *)p->value.p);
		kv_status(f, c, p, dcp_control(f, c, p->key, value));
		break;
	case 0x53: stream_request(f, c, p); break;
	case 0x52: close_stream(f, c, p); break;
	case 0x5d: {
		uint32_t n = p->extras.len == 4 ? get_be32(p->extras.p) : 0;
		f->stats.buffer_acks++;
		c->unacked = n < c->unacked ? c->unacked - n : 0;
		break;
	}
	case 0x54:
		if (p->vb >= c->b->n_vbs || c->b->vb[p->vb].copy[0].node != c->node->index) {
			kv_not_my_vbucket(f, c, p);
			break;
		}
		kv_respond(c, p, ST_OK, SLICE_NONE, SLICE_NONE,
			   slice_of(log, dcp_failover_log(c->b, p->vb, log)), 0, 0);
		break;
	default: kv_status(f, c, p, 0x81);
	}
	return true;
}
