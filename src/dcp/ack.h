/* ack.h: how far a vBucket is done, when its events are acknowledged in any order.
 *
 * Everything that was handed out has a ticket, counted upwards per vBucket. The mark is the position of the last entry
 * of the acknowledged prefix; only the mark is ever written to a checkpoint:
 *
 *	ticket   7     8     9     10    11    12
 *	        done  done  open  done  adv   open
 *	               ^ mark     `- acknowledged, but behind an open one: does not count yet
 *
 *	EVENT     moves the mark when it is popped
 *	ADVANCE   done from the start: a seqno nobody has to acknowledge (filtered, skipped); waits behind open ones
 *	HOLD      within an out-of-order snapshot: popped without moving the mark, which moves at the snapshot's end
 *	VOID      rolled back: popped without moving the mark, acknowledged or not
 *	ROLLBACK  moves the mark backwards, once the consumer has acknowledged that the vBucket went back
 *
 * Tickets that are popped or void are refused (ERR_NOTFOUND), so a late acknowledgement of a lost branch, or of a
 * vBucket that was handed over, changes nothing.
 *
 * Thread: guarded by the owner's lock.
 */
#ifndef DCP_ACK_H
#define DCP_ACK_H

#include "base/err.h"
#include "dcp/failover.h"

#define ACK_IN_FLIGHT_MAX (1u << 24) /* per vBucket; beyond it nothing more is handed out */

enum ack_kind { ACK_EVENT, ACK_ADVANCE, ACK_HOLD, ACK_VOID, ACK_ROLLBACK };

struct ack_entry {
	struct dcp_position pos;
	uint8_t kind; /* enum ack_kind */
	bool done;
};

/* What windows with nothing open leave for others: a vBucket has a ring only while it waits for acknowledgements. */
#define ACK_RING_CLASSES 12         /* 16, 32, ... 32768 entries */
#define ACK_RINGS_KEEP   (1u << 20) /* bytes */

struct ack_rings {
	void *free[ACK_RING_CLASSES];
	size_t bytes; /* of the free ones */
};
int ack_rings_init(struct ack_rings *r, uint32_t n, uint32_t entries); /* n of them to begin with */
void ack_rings_done(struct ack_rings *r);

struct ack_window {
	struct ack_entry *ring;  /* ring[ticket & (cap - 1)] */
	struct ack_rings *rings; /* NULL: it has its own */
	uint32_t cap;
	uint32_t peak, first_cap; /* most open since it was empty; what it begins with next time */
	uint64_t head, tail;      /* tickets [head, tail) are known */
	struct dcp_position mark;
	struct points points; /* whole snapshots at or below the mark */
	uint64_t version;     /* counts moves of the mark */
	uint64_t heard;       /* version of the last one that was not an ADVANCE alone */
	uint64_t rollbacks_told, rollbacks_acked;
};

void ack_init(struct ack_window *w, uint64_t first_ticket, const struct dcp_position *mark,
	      const struct points *points);
void ack_share(struct ack_window *w,
	       struct ack_rings *rings); /* after ack_init; the same lock guards both */
void ack_done(struct ack_window *w);

/* Room for n more tickets. ERR_NOMEM, ERR_LIMIT. */
int ack_reserve(struct ack_window *w, size_t n, struct err *e);
/* Hands out a ticket. ERR_NOMEM, ERR_LIMIT. */
int ack_push(struct ack_window *w, enum ack_kind kind, const struct dcp_position *pos,
	     uint64_t *ticket, struct err *e);
/* A seqno that needs no acknowledgement: moves the mark at once when nothing is open before it. */
int ack_advance(struct ack_window *w, const struct dcp_position *pos, struct err *e);
/* Voids what lies above pos->seqno (it comes again) and hands out the ticket whose acknowledgement sets the mark to
 * *pos. */
int ack_rollback(struct ack_window *w, const struct dcp_position *pos, uint64_t *ticket,
		 struct err *e);

/* 1 the mark moved, 0 noted (or known already), ERR_NOTFOUND a ticket that is no longer valid. *was tells the kind. */
int ack_one(struct ack_window *w, uint64_t ticket, enum ack_kind *was);
/* Everything above the mark is going to be handed out again: voids it. A rollback that is still to be acknowledged
 * stays so, but leads no further than the mark. */
void ack_rewind(struct ack_window *w);
/* What lies above pos->seqno comes again, and the mark stands there at most: a restart from now on must not begin above
 * it. */
void ack_retreat(struct ack_window *w, const struct dcp_position *pos);
/* Whether ack_one would take it. */
bool ack_valid(const struct ack_window *w, uint64_t ticket);

/* As ack_push, where ack_reserve has made room. */
static inline uint64_t ack_put(struct ack_window *w, enum ack_kind kind,
			       const struct dcp_position *pos)
{
	ASSERT(dcp_position_valid(pos) && w->tail - w->head < w->cap);
	struct ack_entry *n = &w->ring[w->tail & (w->cap - 1)];
	n->pos = *pos;
	n->kind = (uint8_t)kind;
	n->done = false;
	return w->tail++;
}

static inline uint64_t ack_open(const struct ack_window *w)
{
	return w->tail - w->head;
}

static inline bool ack_rollback_open(const struct ack_window *w)
{
	return w->rollbacks_told != w->rollbacks_acked;
}

#endif
