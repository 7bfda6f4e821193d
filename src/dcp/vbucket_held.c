/* vbucket_held.c: events that wait for their copies.
 *
 * With the gate on, an event waits in `held` until enough copies have persisted its seqno on the current branch.
 * Everything behind it waits too, so the order is kept; other vBuckets are not concerned. What is rolled back while
 * held was never seen by anybody. */
#include "base/mem.h"
#include "dcp/vbucket_internal.h"

enum { HELD_KEEP = 4096 };

/* What is kept of an event; its packet follows, or for what the machine made up itself the whole event. */
struct held_item {
	uint32_t total, packet_len;
	uint32_t wire_bytes, connection, snapshot_flags;
	uint8_t kind;
	bool out_of_order, made_up;
	struct dcp_position pos;
};

static bool is_made_up(const struct dcp_event *ev)
{
	return ev->kind == DCP_ROLLBACK || ev->kind == DCP_END;
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

int vb_hold(struct vbucket *v, const struct dcp_event *ev)
{
	struct vbucket_held *h = &v->held;
	bool made_up = is_made_up(ev);
	const void *body = made_up ? (const void *)ev : ev->packet.p;
	/* of a seqno without an event only the number of its bytes is needed */
	size_t len = made_up ? sizeof(*ev) : ev->kind == DCP_ADVANCED ? 0 : ev->packet.len;
	size_t total = (sizeof(struct held_item) + len + 7) & ~(size_t)7;
	int rc = held_room(h, total);
	if (rc < 0)
		return rc;
	struct held_item item = {
		.total = (uint32_t)total,
		.packet_len = made_up ? 0 : (uint32_t)len,
		.wire_bytes = ev->wire_bytes,
		.connection = ev->connection,
		.snapshot_flags = ev->snapshot_flags,
		.kind = ev->kind,
		.out_of_order = ev->out_of_order,
		.made_up = made_up,
		.pos = ev->pos,
	};
	memcpy(h->p + h->tail, &item, sizeof(item));
	if (len)
		memcpy(h->p + h->tail + sizeof(item), body, len);
	h->tail += total;
	h->n++;
	return 0;
}

static struct held_item held_first(const struct vbucket_held *h)
{
	struct held_item item;
	memcpy(&item, h->p + h->head, sizeof(item));
	return item;
}

static void held_event(const struct vbucket *v, const struct held_item *item, struct dcp_event *ev)
{
	const uint8_t *body = v->held.p + v->held.head + sizeof(*item);
	if (item->made_up) {
		memcpy(ev, body, sizeof(*ev));
		ev->pos = item->pos;
		return;
	}
	*ev = (struct dcp_event){
		.kind = item->kind,
		.vb = v->id,
		.out_of_order = item->out_of_order,
		.snapshot_flags = item->snapshot_flags,
		.pos = item->pos,
		.packet = slice_of(body, item->packet_len),
		.wire_bytes = item->wire_bytes,
		.connection = item->connection,
	};
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

int vb_release_held(struct vbucket *v)
{
	while (v->held.n && !v->paused) {
		struct held_item item = held_first(&v->held);
		struct dcp_event ev;
		if (item.kind != DCP_ROLLBACK && !vb_may_pass(v, item.pos.seqno))
			return 0;
		held_event(v, &item, &ev);
		int rc = vb_emit(v, &ev);
		if (rc < 0)
			return rc;
		held_pop(&v->held, item.total);
	}
	return 0;
}

uint64_t vbucket_first_held(const struct vbucket *v)
{
	return held_first(&v->held).pos.seqno;
}

uint64_t vb_held_rollback(const struct vbucket *v)
{
	uint64_t lowest = UINT64_MAX;
	struct held_item item;
	for (size_t at = v->held.head; at != v->held.tail; at += item.total) {
		memcpy(&item, v->held.p + at, sizeof(item));
		if (item.kind != DCP_ROLLBACK)
			continue;
		struct dcp_event ev;
		memcpy(&ev, v->held.p + at + sizeof(item), sizeof(ev));
		lowest = MIN(lowest, ev.rollback_to);
	}
	return lowest;
}

void vb_drop_held(struct vbucket *v, const struct dcp_position *limit)
{
	struct vbucket_held *h = &v->held;
	size_t at = h->head, to = h->head;
	uint64_t kept = 0;
	while (at != h->tail) {
		struct held_item item;
		memcpy(&item, h->p + at, sizeof(item));
		bool above = item.pos.seqno > limit->seqno || item.kind == DCP_END;
		if (above && item.kind == DCP_ROLLBACK) {
			item.pos = *limit;
			memcpy(h->p + at, &item, sizeof(item));
			above = false;
		}
		if (above) {
			v->config->ops->dropped(v->config->arg, v, item.connection,
						item.wire_bytes);
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

void vb_drop_all_held(struct vbucket *v)
{
	v->relieved = false;
	while (v->held.n) {
		struct held_item item = held_first(&v->held);
		v->config->ops->dropped(v->config->arg, v, item.connection, item.wire_bytes);
		held_pop(&v->held, item.total);
	}
}

bool vb_keep_first_held(struct vbucket *v)
{
	struct held_item first;
	if (v->held.n < 2 || v->oso || vb_held_rollback(v) != UINT64_MAX)
		return false;
	first = held_first(&v->held);
	if (first.out_of_order || first.made_up)
		return false;
	vb_drop_held(v, &first.pos);
	v->pos = first.pos;
	points_cut(&v->points, first.pos.seqno);
	return true;
}

void vb_disown_held(struct vbucket *v)
{
	struct held_item item;
	for (size_t at = v->held.head; at != v->held.tail; at += item.total) {
		memcpy(&item, v->held.p + at, sizeof(item));
		if (item.wire_bytes == 0)
			continue;
		v->config->ops->dropped(v->config->arg, v, item.connection, item.wire_bytes);
		item.wire_bytes = 0;
		memcpy(v->held.p + at, &item, sizeof(item));
	}
}
