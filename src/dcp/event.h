/* event.h: what a consumer gets.
 *
 * Slices are borrowed: in the state machine until the call returns, in a polled batch until the next poll.
 */
#ifndef DCP_EVENT_H
#define DCP_EVENT_H

#include "dcp/failover.h"
#include "dcp/wire.h"

enum dcp_event_kind {
	DCP_MUTATION,
	DCP_DELETION,
	DCP_EXPIRATION,
	DCP_SYSTEM, /* a collection or scope came, went or changed */
	DCP_ROLLBACK, /* the vBucket went back: what was seen above rollback_to never happened; what lies
			   above pos.seqno comes again */
	DCP_END,      /* nothing more will come from this vBucket: reason, or an error in code */
	DCP_ADVANCED, /* internal: a seqno without an event; never delivered */
};

enum dcp_system_kind {
	DCP_COLLECTION_CREATED = 0,
	DCP_COLLECTION_DROPPED = 1,
	DCP_COLLECTION_FLUSHED = 2,
	DCP_SCOPE_CREATED = 3,
	DCP_SCOPE_DROPPED = 4,
	DCP_COLLECTION_MODIFIED = 5,
};

struct dcp_system {
	enum dcp_system_kind kind;
	uint64_t manifest_uid, flush_uid;
	uint32_t scope, collection;
	uint32_t max_ttl;
	bool has_ttl, history;
};

/* What every document fills comes first: a batch's events are written and read one behind the other. */
struct dcp_event {
	uint8_t kind;     /* enum dcp_event_kind */
	uint8_t datatype; /* as on the wire; delivered values are inflated and lack their attributes */
	uint16_t vb;
	bool out_of_order;       /* within an out-of-order snapshot */
	uint32_t snapshot_flags; /* enum snapshot_flag */
	uint32_t collection;
	uint64_t ticket; /* what to acknowledge */
	struct dcp_position
		pos; /* pos.seqno is the event's; the rest makes it a place to resume from */
	uint64_t rev, cas;
	uint32_t flags, expiry, lock_time, delete_time;
	struct slice key, value, xattrs;

	/* on the way to the consumer */
	struct slice packet; /* that it was read from; empty: none, or not needed any more */
	uint32_t wire_bytes; /* for flow control */
	uint32_t connection; /* the connection they came over */

	nsec came; /* when it was read, or let through by mitigation; 0 unless that is asked for */

	/* zero but for the kinds that are named */
	struct dcp_system system; /* DCP_SYSTEM; its name is key */
	uint64_t
		rollback_from; /* DCP_ROLLBACK: the highest seqno handed out before; UINT64_MAX unknown (a restart) */
	uint64_t rollback_to; /* DCP_ROLLBACK: what was seen above it is void */
	uint64_t
		rollback_server; /* DCP_ROLLBACK: the seqno that the server named, >= rollback_to */
	uint32_t end_reason;     /* DCP_END: enum stream_end_reason */
	int code;                /* DCP_END: 0 or ERR_* */
};

static inline void event_take_doc(struct dcp_event *ev, const struct wire_doc *d)
{
	ev->datatype = d->datatype;
	ev->collection = d->collection;
	ev->rev = d->rev;
	ev->cas = d->cas;
	ev->flags = d->flags;
	ev->expiry = d->expiry;
	ev->lock_time = d->lock_time;
	ev->delete_time = d->delete_time;
	ev->key = d->key;
	ev->value = d->value;
	ev->xattrs = SLICE_NONE;
}

/* What the packet of a document or a system event says: all but vb, position, snapshot and ticket. *seqno is its own.
 * 1, 0 it is one of a kind that has no event, negative: ERR_PROTOCOL. */
int event_of_packet(const struct packet *p, bool collections, struct dcp_event *out,
		    uint64_t *seqno);

#endif
