/* dcp_stream.c: what streams send, and when.
 *
 * A stream sends snapshot after snapshot. The first is cut when the stream opens (a backfill of what is on disk), the
 * later ones from memory whenever there is more than was sent:
 *
 *	marker [start, end]   items of (at, end], each key's last version only    ... next snapshot
 *
 * With change streams a snapshot has every version. An out-of-order backfill has no marker: its items come by key,
 * between a begin and an end. A stream of a vBucket whose copy here is a replica shows what that copy has. A stream that
 * falls behind is thrown out of memory: back to the disk, or ended, as the client allowed.
 */
#include "tests/fake/couchbase/internal.h"

#include <stdlib.h>
#include <string.h>

enum { OUT_ENOUGH = 256 << 10 };

static void drop_oso(struct stream *s)
{
	free(s->oso);
	s->oso = NULL;
}

void dcp_end(struct fake *f, struct conn *c, struct stream *s, uint32_t reason)
{
	dcp_send_u32(f, c, s, 0x55, reason);
	dcp_close(s);
}

void dcp_close(struct stream *s)
{
	s->open = false;
	drop_oso(s);
}

/* ---- what a stream shows ---- */

static bool of_scope(const struct item *it)
{
	return it->kind == ITEM_SYSTEM && (it->system_event == 3 || it->system_event == 4);
}

bool dcp_wanted(const struct conn *c, const struct stream *s, const struct item *it)
{
	if (it->kind == ITEM_SYSTEM && it->system_event == 5 && !c->flatbuffers)
		return false;
	if (s->all)
		return true;
	if (!s->filtered)
		return it->kind != ITEM_SYSTEM && it->cid == 0;
	if (s->by_scope && it->kind == ITEM_SYSTEM)
		return it->sid == s->scope_id;
	for (unsigned i = 0; i < s->n_cids; i++)
		if (s->cid[i] == it->cid && !of_scope(it))
			return true;
	return false;
}

/* Every version is shown, of collections that keep history. */
static bool keeps_history(const struct conn *c, const struct item *it)
{
	if (!c->change_streams || it->kind == ITEM_SYSTEM)
		return c->change_streams;
	const struct collection *coll = topology_collection(c->b, it->cid);
	return !coll || coll->history;
}

/* A deletion, or a version that it deleted, where those are kept. */
static bool is_purged(const struct vb *v, const struct stream *s, const struct item *it)
{
	while (it->seqno <= s->purged) {
		if (it->kind != ITEM_MUTATION && it->kind != ITEM_SYSTEM)
			return true;
		if (!it->next)
			return false;
		it = &v->item[it->next - 1];
	}
	return false;
}

static bool visible(const struct conn *c, const struct stream *s, const struct item *it)
{
	if (it->next && it->next <= s->snap_end && !keeps_history(c, it))
		return false; /* deduplicated */
	if (it->flushed || it->compacted)
		return false;
	if (is_purged(&c->b->vb[s->vb], s, it))
		return false;
	bool deleted = it->kind != ITEM_MUTATION && it->kind != ITEM_SYSTEM;
	if (deleted && s->initial && (c->dcp_flags & OPEN_SKIP_DELETES))
		return false;
	return dcp_wanted(c, s, it);
}

/* A collection created in a scope that is streamed joins the filter. */
static void follow_scope(struct stream *s, const struct item *it)
{
	if (s->by_scope && it->kind == ITEM_SYSTEM && it->system_event == 0 &&
	    it->sid == s->scope_id && s->n_cids < ARRAY_LEN(s->cid))
		s->cid[s->n_cids++] = it->cid;
}

static bool filter_gone(struct stream *s, const struct item *it)
{
	if (it->kind != ITEM_SYSTEM || !s->filtered)
		return false;
	if (s->by_scope)
		return it->system_event == 4 && it->sid == s->scope_id;
	if (it->system_event != 1)
		return false;
	for (unsigned i = 0; i < s->n_cids; i++)
		if (s->cid[i] == it->cid)
			s->cid[i] = s->cid[--s->n_cids];
	return s->n_cids == 0;
}

static const struct copy *copy_here(const struct conn *c, unsigned vb)
{
	const struct vb *v = &c->b->vb[vb];
	for (unsigned k = 0; k <= c->b->replicas; k++)
		if (v->copy[k].node == c->node->index)
			return &v->copy[k];
	return NULL;
}

/* How far the copy's disk is on this node; an ephemeral bucket's memory serves as its disk. */
static uint64_t disk_high(const struct conn *c, const struct stream *s)
{
	const struct copy *copy = copy_here(c, s->vb);
	return !copy ? 0 : c->b->ephemeral ? copy->have : copy->persisted;
}

uint64_t dcp_copy_high(const struct conn *c, const struct stream *s)
{
	const struct copy *copy = copy_here(c, s->vb);
	return s->flags & REQ_DISK_ONLY ? disk_high(c, s) : copy ? copy->have : 0;
}

static __thread const struct vb *sorting;

static int by_key(const void *a, const void *b)
{
	const struct item *x = &sorting->item[*(const uint64_t *)a - 1],
			  *y = &sorting->item[*(const uint64_t *)b - 1];
	int c = slice_cmp(slice_of(x->key, x->key_len), slice_of(y->key, y->key_len));
	return c ? c : (x->seqno > y->seqno) - (x->seqno < y->seqno);
}

/* The server chooses: a whole backfill of one filter, and not a small one. */
static bool cut_oso(struct fake *f, struct conn *c, struct stream *s)
{
	struct vb *v = &c->b->vb[s->vb];
	if (!c->oso || c->change_streams || s->at || !s->filtered || !f->o.oso_items)
		return false;
	s->oso = malloc(s->snap_end * sizeof(*s->oso));
	s->n_oso = s->oso_at = 0;
	for (uint64_t i = 0; i < s->snap_end; i++) {
		if (!visible(c, s, &v->item[i]))
			continue;
		follow_scope(s, &v->item[i]);
		s->oso[s->n_oso++] = i + 1;
	}
	if (s->n_oso < f->o.oso_items) {
		drop_oso(s);
		return false;
	}
	s->oso_max = s->oso[s->n_oso - 1];
	sorting = v;
	qsort(s->oso, s->n_oso, sizeof(*s->oso), by_key);
	dcp_send_u32(f, c, s, 0x65, 1);
	return true;
}

/* It begins to read from disk. False: what it has not sent yet was purged since it was asked for, and it has ended. */
static bool open_disk(struct fake *f, struct conn *c, struct stream *s)
{
	uint64_t purged = c->b->vb[s->vb].purge_seqno;
	bool missed = purged != s->purged && s->at > 0 && s->at < purged;
	if (missed && !(s->flags & REQ_IGNORE_PURGED)) {
		dcp_end(f, c, s, 6);
		return false;
	}
	s->purged = purged;
	return true;
}

static bool cut_snapshot(struct fake *f, struct conn *c, struct stream *s)
{
	struct vb *v = &c->b->vb[s->vb];
	uint64_t high = dcp_copy_high(c, s);
	high = high < s->end ? high : s->end;
	if (s->at >= high)
		return false;
	uint32_t history = c->change_streams ? SNAP_HISTORY | SNAP_DUPLICATES : 0;
	uint64_t on_disk = disk_high(c, s), first = s->at + 1, from = s->at;
	bool backfill = !s->backfilled && on_disk > s->at;
	bool first_marker = !s->backfilled;
	if (backfill && !open_disk(f, c, s))
		return false;
	s->initial = backfill && s->at == 0;
	s->backfilled = true;
	s->snap_from = from;
	if (backfill) {
		s->snap_end = on_disk < high ? on_disk : high;
		s->disk = true;
		if (!cut_oso(f, c, s))
			dcp_send_marker(f, c, s, from, s->snap_end,
					SNAP_DISK | SNAP_CHECKPOINT | history);
		return true;
	}
	uint64_t end = s->at + f->o.checkpoint_items;
	s->snap_end = end < high ? end : high;
	s->disk = s->flags & REQ_DISK_ONLY;
	while (first < s->snap_end && !visible(c, s, &v->item[first - 1]))
		first++;
	if (!visible(c, s, &v->item[first - 1]) && !s->all) {
		/* A fully filtered memory snapshot produces nothing at all. */
		s->at = s->snap_end;
		return true;
	}
	dcp_send_marker(f, c, s, first_marker ? from : first, s->snap_end,
			(s->disk ? SNAP_DISK : SNAP_MEMORY) | SNAP_CHECKPOINT | history);
	return true;
}

static bool room(const struct conn *c)
{
	return c->out.len - c->out_at < OUT_ENOUGH && (!c->window || c->unacked < c->window);
}

static void pump_oso(struct fake *f, struct conn *c, struct stream *s)
{
	while (s->oso_at < s->n_oso && room(c))
		dcp_send_item(f, c, s, &c->b->vb[s->vb].item[s->oso[s->oso_at++] - 1]);
	if (s->oso_at < s->n_oso)
		return;
	if (c->oso_advanced && s->oso_max < s->snap_end)
		dcp_send_advanced(f, c, s, s->snap_end);
	dcp_send_u32(f, c, s, 0x65, 2);
	drop_oso(s);
	s->at = s->last_sent = s->snap_end;
}

/* What is left of the snapshot being sent. */
static void pump_snapshot(struct fake *f, struct conn *c, struct stream *s)
{
	struct vb *v = &c->b->vb[s->vb];
	while (s->at < s->snap_end && s->open && room(c)) {
		const struct item *it = &v->item[s->at];
		if (s->at + 4 < v->n)
			__builtin_prefetch(v->item[s->at + 4].key);
		s->at++;
		if (!visible(c, s, it))
			continue;
		follow_scope(s, it);
		dcp_send_item(f, c, s, it);
		if (filter_gone(s, it))
			dcp_end(f, c, s, 7);
	}
	if (s->open && s->at == s->snap_end && s->last_sent != s->snap_end && c->collections &&
	    s->filtered) {
		dcp_send_advanced(f, c, s, s->snap_end);
		s->last_sent = s->snap_end;
	}
}

/* Sends until the stream has nothing more, or there is no room. */
static void pump_stream(struct fake *f, struct conn *c, struct stream *s)
{
	for (unsigned burst = 0; s->open && burst < 512 && room(c); burst++) {
		if (s->oso) {
			pump_oso(f, c, s);
			continue;
		}
		if (s->at >= s->end) {
			dcp_end(f, c, s, 0);
			return;
		}
		if (s->at >= s->snap_end && !cut_snapshot(f, c, s))
			return;
		if (!s->oso)
			pump_snapshot(f, c, s);
	}
}

void dcp_pump(struct fake *f, struct conn *c)
{
	for (unsigned i = 0; i < c->n_streams && room(c); i++) {
		c->turn = (c->turn + 1) % c->n_streams;
		if (c->stream[c->turn].open)
			pump_stream(f, c, &c->stream[c->turn]);
	}
}

/* ---- liveness ---- */

/* A noop goes out when nothing else did for the interval; who leaves one unanswered, or says nothing at all for the
 * idle time-out, is cut off. */
static void noop_tick(struct fake *f, struct conn *c)
{
	if (!c->noop || !c->noop_ms || !c->n_streams)
		return;
	bool silent = f->o.dcp_idle_ms && f->now_ms - c->heard_ms > f->o.dcp_idle_ms;
	if (silent || (c->noop_sent && f->now_ms - c->noop_sent > 2 * c->noop_ms + 1000)) {
		f->stats.idle_kills++;
		c->dead = true;
		return;
	}
	if (c->noop_sent || f->now_ms < c->noop_due)
		return;
	uint8_t h[24] = { 0x80, 0x5c };
	put_be32(h + 12, 0x10000001);
	conn_send(c, h, sizeof(h));
	c->noop_sent = f->now_ms;
	c->noop_due = f->now_ms + c->noop_ms;
	f->stats.noops_sent++;
}

static void drop_cursor(struct fake *f, struct conn *c, struct stream *s)
{
	if (!s->open || s->oso)
		return;
	f->stats.cursor_drops++;
	if (!c->cursor_dropping) {
		dcp_end(f, c, s, 4);
		return;
	}
	/* What is left of the snapshot comes with the next one, from disk. */
	s->backfilled = false;
	s->snap_end = s->at;
}

/* Streams in memory whose client takes nothing, while changes pile up. */
static void cursor_tick(struct fake *f, struct conn *c)
{
	if (!f->o.cursor_items || room(c))
		return;
	for (unsigned i = 0; i < c->n_streams; i++) {
		struct stream *s = &c->stream[i];
		if (s->open && s->backfilled && !s->disk &&
		    dcp_copy_high(c, s) > s->at + f->o.cursor_items)
			drop_cursor(f, c, s);
	}
}

void dcp_tick(struct fake *f, struct conn *c)
{
	noop_tick(f, c);
	cursor_tick(f, c);
}

/* ---- what scripts do to streams ---- */

/* For each open stream of the bucket's vBucket (-1: of all). */
static void each_stream(struct bucket *b, int vb,
			void (*act)(struct fake *f, struct conn *c, struct stream *s, void *arg),
			void *arg)
{
	struct fake *f = b->f;
	for (unsigned i = 0; i < f->o.nodes; i++)
		for (struct conn *c = f->node[i].conns; c; c = c->next)
			for (unsigned k = 0; c->b == b && !c->dead && k < c->n_streams; k++)
				if (c->stream[k].open && (vb < 0 || (int)c->stream[k].vb == vb))
					act(f, c, &c->stream[k], arg);
}

static void end_one(struct fake *f, struct conn *c, struct stream *s, void *arg)
{
	dcp_end(f, c, s, *(const uint32_t *)arg);
}

void dcp_end_streams(struct bucket *b, int vb, uint32_t reason)
{
	each_stream(b, vb, end_one, &reason);
}

void dcp_end_all(struct fake *f, struct conn *c, uint32_t reason)
{
	for (unsigned k = 0; k < c->n_streams; k++)
		if (c->stream[k].open)
			dcp_end(f, c, &c->stream[k], reason);
}

struct unknown {
	uint8_t opcode;
	struct slice body;
};

static void unknown_one(struct fake *f, struct conn *c, struct stream *s, void *arg)
{
	const struct unknown *u = arg;
	dcp_message(f, c, s, u->opcode, SLICE_NONE, SLICE_NONE, u->body);
}

void dcp_unknown(struct bucket *b, const struct fake_fault *x)
{
	size_t len = x->n < 1 << 20 ? (size_t)x->n : 1 << 20;
	uint8_t *body = calloc(1, len + 1);
	struct unknown u = { x->opcode, slice_of(body, len) };
	each_stream(b, x->vb, unknown_one, &u);
	free(body);
}

static void drop_one(struct fake *f, struct conn *c, struct stream *s, void *arg)
{
	(void)arg;
	drop_cursor(f, c, s);
}

void dcp_drop_cursor(struct bucket *b, int vb)
{
	each_stream(b, vb, drop_one, NULL);
}

/* No server should, but some did: what the client has comes once more. */
static void repeat_one(struct fake *f, struct conn *c, struct stream *s, void *arg)
{
	(void)f;
	(void)c;
	(void)arg;
	if (!s->oso)
		s->at = s->snap_end = s->snap_from;
}

void dcp_repeat(struct bucket *b, int vb)
{
	each_stream(b, vb, repeat_one, NULL);
}

void dcp_free(struct conn *c)
{
	for (unsigned i = 0; i < c->n_streams; i++)
		free(c->stream[i].oso);
	free(c->stream);
}
