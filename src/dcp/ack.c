#include "dcp/ack.h"

#include "base/mem.h"

enum { RING_MIN = 16, RING_KEEP = 64 << 10 };

void ack_init(struct ack_window *w, uint64_t first_ticket, const struct dcp_position *mark,
	      const struct points *points)
{
	*w = (struct ack_window){ .head = first_ticket, .tail = first_ticket, .mark = *mark };
	if (points)
		w->points = *points;
}

void ack_share(struct ack_window *w, struct ack_rings *rings)
{
	ASSERT(!w->ring);
	w->rings = rings;
}

/* ---- rings ---- */

static int class_of(uint32_t cap)
{
	int c = 0;
	while ((uint32_t)RING_MIN << c < cap)
		c++;
	return c;
}

/* Of a free ring the first bytes point to the next one. A larger one does, too: then the number of rings settles at
 * the number of windows that are open at once. */
static struct ack_entry *take_ring(struct ack_window *w, uint32_t *cap)
{
	for (int class = class_of(*cap); w->rings && class < ACK_RING_CLASSES; class ++) {
		void *ring = w->rings->free[class];
		if (!ring)
			continue;
		memcpy(&w->rings->free[class], ring, sizeof(void *));
		*cap = (uint32_t)RING_MIN << class;
		w->rings->bytes -= *cap * sizeof(struct ack_entry);
		return ring;
	}
	return mem_try_array(*cap, sizeof(struct ack_entry));
}

static bool put_ring(struct ack_rings *r, struct ack_entry *ring, uint32_t cap)
{
	size_t bytes = cap * sizeof(*ring);
	int class = class_of(cap);
	if (class >= ACK_RING_CLASSES || r->bytes + bytes > ACK_RINGS_KEEP)
		return false;
	memcpy(ring, &r->free[class], sizeof(void *));
	r->free[class] = ring;
	r->bytes += bytes;
	return true;
}

static void leave_ring(struct ack_window *w)
{
	if (w->ring && !(w->rings && put_ring(w->rings, w->ring, w->cap)))
		mem_free(w->ring);
	w->ring = NULL;
	w->cap = 0;
}

int ack_rings_init(struct ack_rings *r, uint32_t n, uint32_t entries)
{
	*r = (struct ack_rings){ 0 };
	for (uint32_t i = 0; i < n; i++) {
		struct ack_entry *ring = mem_try_array(entries, sizeof(*ring));
		if (!ring)
			return ERR_NOMEM;
		ASSERT(put_ring(r, ring, entries));
	}
	return 0;
}

void ack_rings_done(struct ack_rings *r)
{
	for (int i = 0; i < ACK_RING_CLASSES; i++)
		while (r->free[i]) {
			void *ring = r->free[i];
			memcpy(&r->free[i], ring, sizeof(void *));
			mem_free(ring);
		}
	r->bytes = 0;
}

void ack_done(struct ack_window *w)
{
	leave_ring(w);
	w->head = w->tail;
}

static struct ack_entry *at(const struct ack_window *w, uint64_t ticket)
{
	ASSERT(ticket >= w->head && ticket < w->tail);
	return &w->ring[ticket & (w->cap - 1)];
}

static int grow(struct ack_window *w, struct err *e)
{
	uint32_t cap = w->cap ? w->cap * 2 : MAX(w->first_cap, (uint32_t)RING_MIN);
	if (cap > ACK_IN_FLIGHT_MAX)
		return err_set(e, ERR_LIMIT, "more than %u unacknowledged events in a vBucket",
			       ACK_IN_FLIGHT_MAX);
	struct ack_entry *ring = take_ring(w, &cap);
	if (!ring)
		return err_nomem(e);
	for (uint64_t t = w->head; t != w->tail; t++)
		ring[t & (cap - 1)] = w->ring[t & (w->cap - 1)];
	leave_ring(w);
	w->ring = ring;
	w->cap = cap;
	return 0;
}

/* The ring goes to whoever needs it next; this window begins again with one that would have been enough. */
static void emptied(struct ack_window *w)
{
	if (!w->rings && w->cap <= RING_KEEP)
		return;
	w->first_cap = RING_MIN;
	while (w->first_cap < w->peak)
		w->first_cap *= 2;
	w->peak = 0;
	leave_ring(w);
}

static void move_mark(struct ack_window *w, const struct dcp_position *pos, bool heard)
{
	if (pos->seqno < w->mark.seqno)
		points_cut(&w->points, pos->seqno);
	w->mark = *pos;
	if (pos->snap_start == pos->snap_end)
		points_add(&w->points, pos->seqno);
	w->version++;
	if (heard)
		w->heard = w->version;
}

/* Pops the acknowledged prefix; true when the mark moved. */
static bool pop(struct ack_window *w)
{
	uint64_t before = w->version;
	while (w->head != w->tail) {
		struct ack_entry *n = at(w, w->head);
		if (!n->done)
			break;
		if (n->kind != ACK_VOID && n->kind != ACK_HOLD)
			move_mark(w, &n->pos, n->kind != ACK_ADVANCE);
		if (n->kind == ACK_ROLLBACK)
			w->rollbacks_acked++;
		w->head++;
	}
	if (w->head == w->tail && w->ring)
		emptied(w);
	return w->version != before;
}

int ack_reserve(struct ack_window *w, size_t n, struct err *e)
{
	int rc = 0;
	while (rc == 0 && w->tail - w->head + n > w->cap)
		rc = grow(w, e);
	w->peak = MAX(w->peak, (uint32_t)(w->tail - w->head + n));
	return rc;
}

int ack_push(struct ack_window *w, enum ack_kind kind, const struct dcp_position *pos,
	     uint64_t *ticket, struct err *e)
{
	int rc = ack_reserve(w, 1, e);
	if (rc == 0)
		*ticket = ack_put(w, kind, pos);
	return rc;
}

int ack_advance(struct ack_window *w, const struct dcp_position *pos, struct err *e)
{
	if (w->head == w->tail) {
		move_mark(w, pos, false);
		return 0;
	}
	struct ack_entry *last = at(w, w->tail - 1);
	if (last->kind == ACK_ADVANCE) {
		last->pos = *pos;
		return 0;
	}
	uint64_t ticket;
	int rc = ack_push(w, ACK_ADVANCE, pos, &ticket, e);
	if (rc == 0)
		at(w, ticket)->done = true;
	return rc;
}

int ack_rollback(struct ack_window *w, const struct dcp_position *pos, uint64_t *ticket,
		 struct err *e)
{
	int rc = ack_push(w, ACK_ROLLBACK, pos, ticket, e);
	if (rc < 0)
		return rc;
	w->rollbacks_told++;
	for (uint64_t t = w->head; t != *ticket; t++) {
		struct ack_entry *n = at(w, t);
		if (n->pos.seqno > pos->seqno) {
			w->rollbacks_told -= n->kind == ACK_ROLLBACK; /* this one stands for it */
			n->kind = ACK_VOID;
			n->done = true;
		}
	}
	(void)pop(w);
	return 0;
}

int ack_one(struct ack_window *w, uint64_t ticket, enum ack_kind *was)
{
	if (ticket < w->head || ticket >= w->tail)
		return ERR_NOTFOUND;
	struct ack_entry *n = at(w, ticket);
	if (n->kind == ACK_VOID)
		return ERR_NOTFOUND;
	if (was)
		*was = (enum ack_kind)n->kind;
	n->done = true;
	return pop(w);
}

bool ack_valid(const struct ack_window *w, uint64_t ticket)
{
	return ticket >= w->head && ticket < w->tail &&
	       w->ring[ticket & (w->cap - 1)].kind != ACK_VOID;
}

void ack_rewind(struct ack_window *w)
{
	for (uint64_t t = w->head; t != w->tail; t++) {
		struct ack_entry *n = at(w, t);
		if (n->kind != ACK_ROLLBACK) {
			n->kind = ACK_VOID;
			n->done = true;
		} else if (w->mark.seqno < n->pos.seqno) {
			n->pos = w->mark;
		}
	}
	(void)pop(w);
}

void ack_retreat(struct ack_window *w, const struct dcp_position *pos)
{
	for (uint64_t t = w->head; t != w->tail; t++) {
		struct ack_entry *n = at(w, t);
		if (n->pos.seqno <= pos->seqno)
			continue;
		if (n->kind != ACK_ROLLBACK) {
			n->kind = ACK_VOID;
			n->done = true;
		} else {
			n->pos = *pos;
		}
	}
	(void)pop(w);
	if (w->mark.seqno > pos->seqno)
		move_mark(w, pos, true);
}
