/* vbucket_held.c: events that wait for their copies.
 *
 * With the gate on, an event waits in `held` until enough copies have persisted its seqno on the current branch.
 * Everything behind it waits too, so the order is kept; other vBuckets are not concerned. What is rolled back while
 * held was never seen by anybody. */
#include "base/mem.h"
#include "dcp/vbucket_internal.h"

enum { HELD_KEEP = 4096 };

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

int vb_hold(struct vbucket *v, const struct dcp_event *ev)
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

int vb_release_held(struct vbucket *v)
{
	while (v->held.n && !v->paused) {
		struct held_item item;
		held_first(&v->held, &item);
		if (item.ev.kind != DCP_ROLLBACK && !vb_may_pass(v, item.ev.pos.seqno))
			return 0;
		int rc = vb_emit(v, &item.ev);
		if (rc < 0)
			return rc;
		held_pop(&v->held, item.total);
	}
	return 0;
}

uint64_t vb_first_held(const struct vbucket *v)
{
	struct held_item item;
	held_first(&v->held, &item);
	return item.ev.pos.seqno;
}

uint64_t vb_held_rollback(const struct vbucket *v)
{
	uint64_t lowest = UINT64_MAX;
	struct held_item item;
	for (size_t at = v->held.head; at != v->held.tail; at += item.total) {
		memcpy(&item, v->held.p + at, sizeof(item));
		if (item.ev.kind == DCP_ROLLBACK)
			lowest = MIN(lowest, item.ev.rollback_to);
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
		bool above = item.ev.pos.seqno > limit->seqno;
		if (above && item.ev.kind == DCP_ROLLBACK) {
			item.ev.pos = *limit;
			memcpy(h->p + at, &item, sizeof(item));
			above = false;
		}
		if (above) {
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

void vb_drop_all_held(struct vbucket *v)
{
	while (v->held.n) {
		struct held_item item;
		held_first(&v->held, &item);
		v->config->ops->dropped(v->config->arg, v, item.ev.connection, item.ev.wire_bytes);
		held_pop(&v->held, item.total);
	}
}

void vb_disown_held(struct vbucket *v)
{
	struct held_item item;
	for (size_t at = v->held.head; at != v->held.tail; at += item.total) {
		memcpy(&item, v->held.p + at, sizeof(item));
		if (item.ev.wire_bytes == 0)
			continue;
		v->config->ops->dropped(v->config->arg, v, item.ev.connection, item.ev.wire_bytes);
		item.ev.wire_bytes = 0;
		memcpy(v->held.p + at, &item, sizeof(item));
	}
}
