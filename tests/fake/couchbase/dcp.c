/* dcp.c: the producer: opening, controls, stream requests with the rollback rules, snapshots, flow control, noop.
 *
 * A stream sends snapshot after snapshot. The first is cut when the stream opens (a backfill of what is on disk), the
 * later ones from memory whenever there is more than was sent:
 *
 *	marker [start, end]   items of (at, end], each key's last version only    ... next snapshot
 *
 * With change streams a snapshot has every version. An out-of-order backfill has no marker: its items come by key,
 * between a begin and an end. A stream of a vBucket whose copy here is a replica shows what that copy has.
 */
#include "tests/fake/couchbase/internal.h"

#include <snappy-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	ST_OK = 0,
	ST_ENOENT = 1,
	ST_EXISTS = 2,
	ST_EINVAL = 4,
	ST_NMVB = 7,
	ST_ERANGE = 0x22,
	ST_ROLLBACK = 0x23,
	ST_NOT_SUPPORTED = 0x83,
	ST_TMPFAIL = 0x86,
	ST_UNKNOWN_COLLECTION = 0x88,
	ST_UNKNOWN_SCOPE = 0x8c,
	ST_STREAM_ID = 0x8d,
	SNAP_MEMORY = 0x01,
	SNAP_DISK = 0x02,
	SNAP_CHECKPOINT = 0x04,
	SNAP_HISTORY = 0x10,
	SNAP_DUPLICATES = 0x20,
	REQ_DISK_ONLY = 0x02,
	REQ_TO_LATEST = 0x04,
	REQ_ACTIVE_ONLY = 0x10,
	REQ_STRICT = 0x20,
	REQ_FROM_LATEST = 0x40,
	REQ_IGNORE_PURGED = 0x80,
	OUT_ENOUGH = 1 << 20,
};

/* ---- sending stream messages ---- */

/* Everything of the stream's path counts against the window, noop does not. */
static void message(struct fake *f, struct conn *c, const struct stream *s, uint8_t opcode,
		    struct slice extras, struct slice key, struct slice value, uint8_t datatype,
		    uint64_t cas)
{
	uint8_t h[24] = { 0x80, opcode }, frame[3] = { 0x22 };
	bool alt = s->has_sid;
	if (alt) {
		h[0] = 0x08;
		h[2] = 3;
		h[3] = (uint8_t)key.len;
		put_be16(frame + 1, s->sid);
	} else {
		put_be16(h + 2, (uint16_t)key.len);
	}
	uint32_t body = (uint32_t)((alt ? 3 : 0) + extras.len + key.len + value.len);
	h[4] = (uint8_t)extras.len;
	h[5] = datatype;
	put_be16(h + 6, (uint16_t)s->vb);
	put_be32(h + 8, body);
	put_be32(h + 12, s->opaque);
	put_be64(h + 16, cas);
	conn_send(c, h, sizeof(h));
	conn_send(c, frame, alt ? 3 : 0);
	conn_send(c, extras.p, extras.len);
	conn_send(c, key.p, key.len);
	conn_send(c, value.p, value.len);
	if (c->window) {
		c->unacked += 24 + body;
		if (c->unacked > f->stats.unacked_max)
			f->stats.unacked_max = c->unacked;
	}
}

static void send_end(struct fake *f, struct conn *c, struct stream *s, uint32_t reason)
{
	uint8_t extras[4];
	put_be32(extras, reason);
	message(f, c, s, 0x55, slice_of(extras, 4), SLICE_NONE, SLICE_NONE, 0, 0);
	s->open = false;
	free(s->oso);
	s->oso = NULL;
}

static size_t put_leb128(uint8_t *out, uint32_t v)
{
	size_t n = 0;
	do {
		out[n] = (uint8_t)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
		v >>= 7;
		n++;
	} while (v);
	return n;
}

static void send_system(struct fake *f, struct conn *c, struct stream *s, const struct item *it)
{
	uint8_t extras[13], value[SYSTEM_EVENT_MAX];
	size_t len;
	put_be64(extras, it->seqno);
	put_be32(extras + 8, it->system_event);
	extras[12] = sysevent_value(it, c->flatbuffers, value, &len);
	bool drop = it->system_event == 1 || it->system_event == 4;
	message(f, c, s, 0x5f, slice_of(extras, 13),
		drop ? SLICE_NONE : slice_of(it->key, it->key_len), slice_of(value, len), 0, 0);
}

/* What is left without the body: the extended attributes, if there are any. */
static struct slice no_value(struct slice value, uint8_t *datatype)
{
	if (!(*datatype & 4))
		return SLICE_NONE;
	return slice_of(value.p, 4 + (size_t)get_be32(value.p));
}

static void send_item(struct fake *f, struct conn *c, struct stream *s, const struct item *it)
{
	f->stats.items_sent++;
	s->last_sent = it->seqno;
	if (it->kind == ITEM_SYSTEM) {
		send_system(f, c, s, it);
		return;
	}
	uint8_t key[256 + 5], extras[31] = { 0 };
	size_t prefix = c->collections ? put_leb128(key, it->cid) : 0;
	memcpy(key + prefix, it->key, it->key_len);
	struct slice k = slice_of(key, prefix + it->key_len);
	put_be64(extras, it->seqno);
	put_be64(extras + 8, it->rev);
	struct slice value = slice_of(it->value, it->value_len);
	uint8_t datatype = it->datatype;
	if ((datatype & 4) && !(c->dcp_flags & OPEN_XATTR)) {
		size_t skip = 4 + (size_t)get_be32(value.p);
		value = slice_of(value.p + skip, value.len - skip);
		datatype &= (uint8_t)~4;
		if (!value.len)
			datatype = 0;
	}
	if (c->dcp_flags & (OPEN_NO_VALUE | OPEN_NO_VALUE_DATATYPE)) {
		value = no_value(value, &datatype);
		if (c->dcp_flags & OPEN_NO_VALUE)
			datatype &= 4;
	}
	if (!c->json)
		datatype &= (uint8_t)~1;
	if (it->kind == ITEM_MUTATION) {
		char *packed = NULL;
		if (c->snappy && c->force_snappy && value.len > 32) {
			size_t len = snappy_max_compressed_length(value.len);
			packed = malloc(len);
			if (snappy_compress((const char *)value.p, value.len, packed, &len) ==
				    SNAPPY_OK &&
			    len < value.len) {
				value = slice_of(packed, len);
				datatype |= 2;
			}
		}
		put_be32(extras + 16, it->flags);
		put_be32(extras + 20, it->expiry);
		extras[30] = 2; /* internal to the server, but this is what one sends */
		message(f, c, s, 0x57, slice_of(extras, 31), k, value, datatype, it->cas);
		free(packed);
	} else if (it->kind == ITEM_EXPIRATION && c->expiry_opcode &&
		   (c->dcp_flags & OPEN_DELETE_TIMES)) {
		put_be32(extras + 16, it->delete_time);
		message(f, c, s, 0x59, slice_of(extras, 20), k, SLICE_NONE, 0, it->cas);
	} else if (c->dcp_flags & OPEN_DELETE_TIMES) {
		put_be32(extras + 16, it->delete_time);
		message(f, c, s, 0x58, slice_of(extras, 21), k, value, datatype, it->cas);
	} else {
		message(f, c, s, 0x58, slice_of(extras, 18), k, value, datatype, it->cas);
	}
}

/* Memory snapshots use 2.0, disk snapshots 2.2 where allowed, so that a client meets all three. */
static void send_marker(struct fake *f, struct conn *c, struct stream *s, uint64_t start,
			uint64_t end, uint32_t flags)
{
	uint8_t m[52] = { 0 }, version = 0;
	put_be64(m, start);
	put_be64(m + 8, end);
	put_be32(m + 16, flags);
	if (c->marker < 20) {
		message(f, c, s, 0x56, slice_of(m, 20), SLICE_NONE, SLICE_NONE, 0, 0);
		return;
	}
	put_be64(m + 20, end); /* max visible; nothing is prepared or completed here */
	if (c->marker == 22 && (flags & SNAP_DISK)) {
		version = 2;
		put_be64(m + 36, f->vb[s->vb].purge_seqno);
	}
	message(f, c, s, 0x56, slice_of(&version, 1), SLICE_NONE, slice_of(m, version ? 52 : 36), 0,
		0);
}

static void send_u64(struct fake *f, struct conn *c, struct stream *s, uint8_t opcode, uint64_t v)
{
	uint8_t extras[8];
	put_be64(extras, v);
	message(f, c, s, opcode, slice_of(extras, 8), SLICE_NONE, SLICE_NONE, 0, 0);
}

/* ---- what a stream shows ---- */

static bool of_scope(const struct item *it)
{
	return it->kind == ITEM_SYSTEM && (it->system_event == 3 || it->system_event == 4);
}

static bool wanted(const struct conn *c, const struct stream *s, const struct item *it)
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

static bool visible(const struct conn *c, const struct vb *v, const struct stream *s,
		    const struct item *it)
{
	if (it->next && it->next <= s->snap_end && !c->change_streams)
		return false; /* deduplicated */
	if (it->flushed)
		return false;
	if (it->kind != ITEM_MUTATION && it->kind != ITEM_SYSTEM && it->seqno <= v->purge_seqno)
		return false;
	return wanted(c, s, it);
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

static const struct copy *copy_here(struct fake *f, const struct conn *c, unsigned vb)
{
	const struct vb *v = &f->vb[vb];
	for (unsigned k = 0; k <= f->o.replicas; k++)
		if (v->copy[k].node == c->node->index)
			return &v->copy[k];
	return NULL;
}

/* How far the copy's disk is on this node; an ephemeral bucket's memory serves as its disk. */
static uint64_t disk_high(struct fake *f, const struct conn *c, const struct stream *s)
{
	const struct copy *copy = copy_here(f, c, s->vb);
	return !copy ? 0 : f->o.ephemeral ? copy->have : copy->persisted;
}

/* How far the copy on this node is. */
static uint64_t copy_high(struct fake *f, const struct conn *c, const struct stream *s)
{
	const struct copy *copy = copy_here(f, c, s->vb);
	return s->flags & REQ_DISK_ONLY ? disk_high(f, c, s) : copy ? copy->have : 0;
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
	struct vb *v = &f->vb[s->vb];
	if (!c->oso || c->change_streams || s->at || !s->filtered || !f->o.oso_items)
		return false;
	s->oso = malloc(s->snap_end * sizeof(*s->oso));
	s->n_oso = s->oso_at = 0;
	for (uint64_t i = 0; i < s->snap_end; i++) {
		if (!visible(c, v, s, &v->item[i]))
			continue;
		follow_scope(s, &v->item[i]);
		s->oso[s->n_oso++] = i + 1;
	}
	if (s->n_oso < f->o.oso_items) {
		free(s->oso);
		s->oso = NULL;
		return false;
	}
	s->oso_max = s->oso[s->n_oso - 1];
	sorting = v;
	qsort(s->oso, s->n_oso, sizeof(*s->oso), by_key);
	uint8_t extras[4] = { 0, 0, 0, 1 };
	message(f, c, s, 0x65, slice_of(extras, 4), SLICE_NONE, SLICE_NONE, 0, 0);
	return true;
}

static bool cut_snapshot(struct fake *f, struct conn *c, struct stream *s)
{
	struct vb *v = &f->vb[s->vb];
	uint64_t high = copy_high(f, c, s);
	high = high < s->end ? high : s->end;
	if (s->at >= high)
		return false;
	uint32_t history = c->change_streams ? SNAP_HISTORY | SNAP_DUPLICATES : 0;
	uint64_t on_disk = disk_high(f, c, s), first = s->at + 1, from = s->at;
	bool backfill = !s->backfilled && on_disk > s->at;
	bool first_marker = !s->backfilled;
	s->backfilled = true;
	s->snap_from = from;
	if (backfill) {
		s->snap_end = on_disk < high ? on_disk : high;
		s->disk = true;
		if (!cut_oso(f, c, s))
			send_marker(f, c, s, from, s->snap_end,
				    SNAP_DISK | SNAP_CHECKPOINT | history);
		return true;
	}
	uint64_t end = s->at + f->o.checkpoint_items;
	s->snap_end = end < high ? end : high;
	s->disk = s->flags & REQ_DISK_ONLY;
	while (first < s->snap_end && !visible(c, v, s, &v->item[first - 1]))
		first++;
	if (!visible(c, v, s, &v->item[first - 1]) && !s->all) {
		/* A fully filtered memory snapshot produces nothing at all. */
		s->at = s->snap_end;
		return true;
	}
	send_marker(f, c, s, first_marker ? from : first, s->snap_end,
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
		send_item(f, c, s, &f->vb[s->vb].item[s->oso[s->oso_at++] - 1]);
	if (s->oso_at < s->n_oso)
		return;
	if (c->oso_advanced && s->oso_max < s->snap_end)
		send_u64(f, c, s, 0x64, s->snap_end);
	uint8_t extras[4] = { 0, 0, 0, 2 };
	message(f, c, s, 0x65, slice_of(extras, 4), SLICE_NONE, SLICE_NONE, 0, 0);
	free(s->oso);
	s->oso = NULL;
	s->at = s->last_sent = s->snap_end;
}

/* Sends until the stream has nothing more, or there is no room. */
static void pump_stream(struct fake *f, struct conn *c, struct stream *s)
{
	struct vb *v = &f->vb[s->vb];
	for (unsigned burst = 0; s->open && burst < 512 && room(c); burst++) {
		if (s->oso) {
			pump_oso(f, c, s);
			continue;
		}
		if (s->at >= s->end) {
			send_end(f, c, s, 0);
			return;
		}
		if (s->at >= s->snap_end && !cut_snapshot(f, c, s))
			return;
		if (s->oso)
			continue;
		while (s->at < s->snap_end && room(c) && s->open) {
			struct item *it = &v->item[s->at];
			s->at++;
			if (visible(c, v, s, it)) {
				follow_scope(s, it);
				send_item(f, c, s, it);
				if (filter_gone(s, it))
					send_end(f, c, s, 7);
			}
		}
		if (s->open && s->at == s->snap_end && s->last_sent != s->snap_end &&
		    c->collections && s->filtered) {
			send_u64(f, c, s, 0x64, s->snap_end);
			s->last_sent = s->snap_end;
		}
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

void dcp_tick(struct fake *f, struct conn *c)
{
	if (!c->noop || !c->noop_ms || !c->n_streams)
		return;
	if (c->noop_sent && f->now_ms - c->noop_sent > 2 * c->noop_ms + 1000) {
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

void dcp_end_streams(struct fake *f, unsigned vb, uint32_t reason)
{
	for (unsigned i = 0; i < f->o.nodes; i++)
		for (struct conn *c = f->node[i].conns; c; c = c->next)
			for (unsigned k = 0; k < c->n_streams; k++)
				if (c->stream[k].open && c->stream[k].vb == vb)
					send_end(f, c, &c->stream[k], reason);
}

void dcp_unknown(struct fake *f, const struct fake_fault *x)
{
	size_t len = x->n < 1 << 20 ? (size_t)x->n : 1 << 20;
	uint8_t *body = calloc(1, len + 1);
	for (unsigned i = 0; i < f->o.nodes; i++)
		for (struct conn *c = f->node[i].conns; c; c = c->next)
			for (unsigned k = 0; k < c->n_streams; k++)
				if (c->stream[k].open &&
				    (x->vb < 0 || (int)c->stream[k].vb == x->vb))
					message(f, c, &c->stream[k], x->opcode, SLICE_NONE,
						SLICE_NONE, slice_of(body, len), 0, 0);
	free(body);
}

/* What is left of the snapshot comes with the next one, from disk. */
void dcp_drop_cursor(struct fake *f, unsigned vb)
{
	for (unsigned i = 0; i < f->o.nodes; i++) {
		for (struct conn *c = f->node[i].conns; c; c = c->next) {
			for (unsigned k = 0; k < c->n_streams; k++) {
				struct stream *s = &c->stream[k];
				if (!s->open || s->vb != vb || s->oso)
					continue;
				if (!c->cursor_dropping) {
					send_end(f, c, s, 4);
					continue;
				}
				s->backfilled = false;
				s->snap_end = s->at;
			}
		}
	}
}

/* No server should, but some did: what the client has comes once more. */
void dcp_repeat(struct fake *f, unsigned vb)
{
	for (unsigned i = 0; i < f->o.nodes; i++) {
		for (struct conn *c = f->node[i].conns; c; c = c->next) {
			for (unsigned k = 0; k < c->n_streams; k++) {
				struct stream *s = &c->stream[k];
				if (s->open && s->vb == vb && !s->oso)
					s->at = s->snap_end = s->snap_from;
			}
		}
	}
}

void dcp_free(struct conn *c)
{
	for (unsigned i = 0; i < c->n_streams; i++)
		free(c->stream[i].oso);
	free(c->stream);
}

/* ---- STREAM_REQ ---- */

struct asked {
	uint64_t start, end, uuid, snap_start, snap_end;
	uint32_t flags;
	bool knows_purge; /* the value named a purge seqno */
	uint64_t purge_seqno;
};

/* A purge took nothing that the client has not: it saw this purge, or its collections have nothing newer. */
static bool purge_harmless(struct fake *f, const struct conn *c, const struct stream *t,
			   const struct asked *r)
{
	const struct vb *v = &f->vb[t->vb];
	if (r->flags & REQ_IGNORE_PURGED)
		return true;
	if (f->o.version >= 80 && r->knows_purge && r->purge_seqno == v->purge_seqno)
		return true;
	if (!t->filtered)
		return false;
	uint64_t high = v->n;
	while (high && !wanted(c, t, &v->item[high - 1]))
		high--;
	return high <= r->start && high <= v->purge_seqno;
}

/* The rules of the protocol's rollback chapter. True: roll back to *to. */
static bool needs_rollback(struct fake *f, const struct conn *c, const struct stream *t,
			   const struct asked *r, uint64_t *to)
{
	const struct vb *v = &f->vb[t->vb];
	uint64_t start = r->start, s = r->snap_start, e = r->snap_end;
	*to = 0;
	if (start == 0 && (!(r->flags & REQ_STRICT) || r->uuid == 0))
		return false;
	if (start < v->purge_seqno && start != 0 && !purge_harmless(f, c, t, r))
		return true;
	unsigned i = 0;
	while (i < v->n_log && v->log[i].uuid != r->uuid)
		i++;
	if (i == v->n_log)
		return true;
	uint64_t upper = i == 0 ? copy_high(f, c, t) : v->log[i - 1].seqno;
	if (start == s)
		e = start;
	if (e <= upper)
		return false;
	if (start == e)
		s = start;
	*to = upper < s ? upper : s;
	return true;
}

/* The text after "key": in a small JSON object, or NULL. Enough for the four keys that a request may have. */
static const char *member(const char *json, const char *key)
{
	char quoted[40];
	snprintf(quoted, sizeof(quoted), "\"%s\"", key);
	const char *p = strstr(json, quoted);
	if (!p)
		return NULL;
	p += strlen(quoted);
	while (*p == ' ' || *p == ':')
		p++;
	return p;
}

static uint16_t parse_filter(struct fake *f, struct conn *c, struct stream *s, struct asked *r,
			     struct slice value)
{
	/* Without a value a connection with collections gets everything (gocbcore's tests rely on it), one without them
	 * the default collection only. */
	s->all = c->collections;
	if (!value.len)
		return c->stream_ids ? ST_STREAM_ID : ST_OK;
	char *json = strndup((const char *)value.p, value.len);
	uint16_t status = ST_OK;
	const char *colls = member(json, "collections"), *scope = member(json, "scope"),
		   *sid = member(json, "sid"), *purge = member(json, "purge_seqno");
	if (!strchr(json, '"') || (colls && scope))
		status = ST_EINVAL;
	else if (!!sid != c->stream_ids)
		status = ST_STREAM_ID;
	if (!status && sid) {
		s->sid = (uint16_t)strtoul(sid, NULL, 10);
		s->has_sid = true;
		status = s->sid ? ST_OK : ST_STREAM_ID;
	}
	if (purge) {
		char *end = NULL;
		r->knows_purge = true;
		r->purge_seqno = *purge == '"' ? strtoull(purge + 1, &end, 10) : 0;
		if (!end || end == purge + 1)
			status = ST_EINVAL;
	}
	s->all = !colls && !scope;
	s->filtered = !s->all;
	const char *end = colls ? strchr(colls, ']') : NULL;
	for (const char *p = colls ? strchr(colls, '"') : NULL; !status && p && end && p < end;) {
		uint32_t cid = (uint32_t)strtoul(p + 1, NULL, 16);
		if (!topology_collection(f, cid))
			status = ST_UNKNOWN_COLLECTION;
		else if (s->n_cids < ARRAY_LEN(s->cid))
			s->cid[s->n_cids++] = cid;
		p = strchr(p + 1, '"');
		p = p ? strchr(p + 1, '"') : NULL;
	}
	if (!status && scope && *scope == '"') {
		s->by_scope = true;
		s->scope_id = (uint32_t)strtoul(scope + 1, NULL, 16);
		bool known = false;
		for (unsigned i = 0; i < f->n_scopes; i++)
			known |= !f->scope[i].dropped && f->scope[i].id == s->scope_id;
		for (unsigned i = 0; i < f->n_colls && s->n_cids < ARRAY_LEN(s->cid); i++)
			if (!f->coll[i].dropped && f->coll[i].scope == s->scope_id)
				s->cid[s->n_cids++] = f->coll[i].id;
		status = known ? ST_OK : ST_UNKNOWN_SCOPE;
	}
	free(json);
	return status;
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

size_t dcp_failover_log(struct fake *f, unsigned vb, uint8_t out[16 * FAKE_FAILOVER_MAX])
{
	unsigned n = f->vb[vb].n_log;
	for (unsigned i = 0; i < n; i++) {
		put_be64(out + 16 * i, f->vb[vb].log[i].uuid);
		put_be64(out + 16 * i + 8, f->vb[vb].log[i].seqno);
	}
	return 16 * (size_t)n;
}

/* Active here, or a replica where the client did not insist. */
static bool streams_here(struct fake *f, const struct conn *c, const struct packet *p,
			 bool active_only)
{
	for (unsigned k = 0; p->vb < f->o.vbuckets && k <= (active_only ? 0 : f->o.replicas); k++)
		if (f->vb[p->vb].copy[k].node == c->node->index)
			return true;
	return false;
}

static uint16_t check_request(struct fake *f, struct conn *c, const struct packet *p,
			      struct stream *t, struct asked *r)
{
	if (f->warming_up)
		return ST_TMPFAIL;
	if ((p->value.len || (c->dcp_flags & OPEN_XATTR)) && !c->noop)
		return ST_NOT_SUPPORTED;
	if (r->flags & REQ_FROM_LATEST)
		return ST_EINVAL;
	uint16_t status = parse_filter(f, c, t, r, p->value);
	if (status)
		return status;
	if (r->flags & REQ_TO_LATEST)
		r->end = copy_high(f, c, t);
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
	struct asked r = { .flags = get_be32(x),
			   .start = get_be64(x + 8),
			   .end = get_be64(x + 16),
			   .uuid = get_be64(x + 24),
			   .snap_start = get_be64(x + 32),
			   .snap_end = get_be64(x + 40) };
	if (!streams_here(f, c, p, r.flags & REQ_ACTIVE_ONLY)) {
		kv_not_my_vbucket(f, c, p);
		return;
	}
	struct stream t = { .vb = p->vb, .opaque = p->opaque, .flags = r.flags };
	uint16_t status = check_request(f, c, p, &t, &r);
	uint64_t to;
	if (status) {
		if (r.flags & REQ_FROM_LATEST)
			kv_error(f, c, p, status, "Request contains invalid flags");
		else
			kv_status(f, c, p, status);
		return;
	}
	if (scripted_rollback(f, p, &to) || needs_rollback(f, c, &t, &r, &to)) {
		answer_rollback(f, c, p, to);
		return;
	}
	t.open = true;
	t.start = t.at = t.snap_from = t.snap_end = t.last_sent = r.start;
	t.end = r.end;
	*free_slot(c) = t;
	uint8_t log[16 * FAKE_FAILOVER_MAX];
	kv_respond(c, p, ST_OK, SLICE_NONE, SLICE_NONE,
		   slice_of(log, dcp_failover_log(f, p->vb, log)), 0, 0);
	if (!c->noop_due)
		c->noop_due = f->now_ms + c->noop_ms;
}

/* ---- the other requests ---- */

static void close_stream(struct fake *f, struct conn *c, const struct packet *p)
{
	uint16_t sid = p->framing.len == 3 ? get_be16(p->framing.p + 1) : 0;
	for (unsigned i = 0; i < c->n_streams; i++) {
		struct stream *s = &c->stream[i];
		if (!s->open || s->vb != p->vb || s->sid != sid)
			continue;
		kv_status(f, c, p, ST_OK);
		if (c->end_on_close)
			send_end(f, c, s, 1);
		s->open = false;
		free(s->oso);
		s->oso = NULL;
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
		if (p->vb >= f->o.vbuckets || f->vb[p->vb].copy[0].node != c->node->index) {
			kv_not_my_vbucket(f, c, p);
			break;
		}
		kv_respond(c, p, ST_OK, SLICE_NONE, SLICE_NONE,
			   slice_of(log, dcp_failover_log(f, p->vb, log)), 0, 0);
		break;
	default: kv_status(f, c, p, 0x81);
	}
	return true;
}
