/* vbucket.h: one vBucket's stream as a pure state machine: packets, timers and facts in, actions out.
 *
 * It decides what to ask of the server, what to hand to the consumer and when, and where to start again. It knows no
 * sockets, clocks or files: the owner passes `now` and carries the actions out. vbucket.c draws the states.
 *
 * Thread: the one that runs the owner's loop.
 */
#ifndef DCP_VBUCKET_H
#define DCP_VBUCKET_H

#include "dcp/errormap.h"
#include "dcp/event.h"
#include "dcp/wire.h"

#define VBUCKET_HELD_MAX (64u << 20) /* bytes held back; flow control keeps it at the window */
#define VBUCKET_FATAL_TRIES \
	5u /* refusals of a request in a row before the vBucket ends with an error */
#define VBUCKET_NO_END UINT64_MAX
/* A stream that fails is opened again at once, but from then on, until one brings something, there is a second between
 * two openings: that many times backoff_min. */
#define VBUCKET_PACE 10

enum vbucket_state {
	VB_IDLE,    /* not assigned */
	VB_WAIT,    /* wants to open: no connection to its node, or waiting for its time */
	VB_ASKING,  /* before it opens: the vBucket's statistics, for what is purged */
	VB_OPENING, /* STREAM_REQ sent */
	VB_LOG,     /* told to roll back (or to start from now): GET_FAILOVER_LOG sent */
	VB_REWIND,  /* the consumer was told that it went back; waits for the acknowledgement */
	VB_STREAMING,
	VB_PAUSED, /* the consumer wants nothing of it for now */
	VB_DONE,   /* will not go on by itself */
};
const char *vbucket_state_name(enum vbucket_state s);

enum vbucket_gate {
	GATE_OFF,  /* hand out at once */
	GATE_ON,   /* hand out what enough copies have persisted */
	GATE_SHUT, /* nothing: it is being found out whether the consumer has missed deletions */
};

struct vbucket;

/* Documents of the current snapshot, its last one not among them, whose packets stand one behind the other. */
struct doc_run {
	const uint8_t *first;
	uint32_t n, bytes; /* the bytes count for flow control, too */
	uint64_t uuid;     /* the branch that all of them belong to */
};

/* The actions. The machine never calls itself back from within one. */
struct vbucket_ops {
	void (*stream_req)(void *arg, struct vbucket *v, const struct wire_stream_req *r);
	void (*failover_log)(void *arg, struct vbucket *v); /* ask for it on the DCP connection */
	void (*close_stream)(void *arg, struct vbucket *v, int node, uint32_t opaque);
	/* Hands an event on. Of a document, a system event and a seqno without an event only these are set: kind, vb,
	 * out_of_order, snapshot_flags, pos, packet, wire_bytes, connection; what it says is read from its packet with
	 * event_of_packet by whoever needs it. Valid during the call. Negative: out of room or memory; the stream is
	 * reopened. */
	int (*emit)(void *arg, struct vbucket *v, const struct dcp_event *ev);
	/* The same for a run of documents. Negative: they are to come one by one. NULL: they always do. */
	int (*emit_run)(void *arg, struct vbucket *v, const struct doc_run *run);
	void (*dropped)(void *arg, struct vbucket *v, uint32_t connection, uint32_t wire_bytes);
	void (*timer)(void *arg, struct vbucket *v); /* v->timer_at changed */
	void (*wrong_node)(void *arg, struct vbucket *v,
			   struct slice map_json); /* a newer map may be needed */
	/* The checkpoint has to stand at *pos or below, durably: vbucket_on_retreated when it does. */
	void (*retreat)(void *arg, struct vbucket *v, const struct dcp_position *pos);
	void (*history)(void *arg, struct vbucket *v); /* the branch changed: v->log is new */
	/* Asks for the statistics "vbucket-details" of the vBucket, with its opaque: vbucket_on_response gets all of them. */
	void (*ask_purge)(void *arg, struct vbucket *v);
	void (*purge)(void *arg,
		      struct vbucket *v); /* v->purge changed: part of the next checkpoint */
	/* What to do about a status that the machine does not know. NULL: as the protocol alone says. */
	enum reaction (*reaction)(void *arg, struct vbucket *v, uint16_t status);
};

/* What all vBuckets of a source share. */
struct vbucket_config {
	const struct vbucket_ops *ops;
	void *arg;
	uint32_t stream_flags;
	struct slice stream_json;
	uint16_t stream_id;    /* every message has to carry it; 0: streams have no ids */
	bool collections;      /* negotiated on the connection */
	bool system_events;    /* deliver them; else they only advance */
	bool rollback_unacked; /* go on after a rollback without waiting for its acknowledgement */
	bool ask_purge_first; /* snapshots may come out of order: they do not show what is purged */
	uint64_t skip_until_cas;         /* older documents only advance; 0: none */
	const struct slice *skip_prefix; /* keys that only advance */
	size_t n_skip_prefix;
	nsec backoff_min, backoff_max; /* 0: 100 ms, 10 s; see VBUCKET_PACE */
};

struct vbucket_held { /* serialised events, oldest first */
	uint8_t *p;
	size_t head, tail, cap;
	uint64_t n;
};

struct vbucket {
	const struct vbucket_config *config;
	uint16_t id;
	uint8_t state;     /* enum vbucket_state */
	uint8_t gate;      /* enum vbucket_gate */
	uint8_t open_gate; /* what it is when it is not shut */

	/* where it is served */
	int node; /* index in the map; -1 none */
	bool node_ready, paused;
	uint32_t connection; /* of node; part of every event */

	/* requests in flight */
	uint16_t generation; /* of the stream; upper half of the opaque */
	uint64_t requested;  /* start of the last STREAM_REQ */
	uint32_t refusals;   /* in a row */
	uint32_t tries;      /* failures in a row, of whatever kind */
	uint32_t barren;     /* openings in a row that brought nothing */
	nsec asked_at;       /* the last opening */
	nsec moved_at;       /* to another node, where it may be opened at once */
	nsec timer_at;       /* 0: none */
	nsec not_before;     /* refused by the consumer: not to be opened until then; 0: at once */
	uint32_t nacks;      /* in a row at nacked_at */
	uint64_t nacked_at;
	nsec opened_at;
	uint64_t random; /* state of the jitter */
	uint16_t last_status;
	uint32_t last_reason;

	/* what was received */
	struct dcp_position pos;
	uint64_t end_seqno;
	struct failover_log log;
	struct points points;
	bool from_latest, rewind;
	uint64_t rollback_server, rollback_to;
	bool in_snapshot;
	uint64_t snap_start, snap_end; /* start: where the client was before it */
	uint32_t snap_flags;
	struct dcp_purge purge;
	bool purge_settled; /* of this stream: its first snapshot said it, or did not */
	bool checking; /* GATE_SHUT: was anything purged that the consumer has not seen deleted? */
	struct dcp_purge answer; /* of the statistics; from: UINT64_MAX until the number came */
	struct dcp_purge asked;  /* before the request */
	bool oso;
	uint64_t oso_max;

	/* what was handed out */
	uint64_t delivered;  /* highest seqno of this branch; UINT64_MAX unknown after a restart */
	uint64_t seen_limit; /* what delivered can be at most when it is unknown */
	bool untold;         /* REWIND: the rollback event had no room yet */
	bool retreating;     /* REWIND: the checkpoint goes back first */

	/* hold-back */
	uint64_t persisted_uuid, persisted; /* by enough copies */
	struct vbucket_held held;
	bool relieved; /* of what it held, but for the first: opened again when that has gone */

	/* counters */
	uint64_t n_docs[DCP_EXPIRATION + 1], n_reopens, n_rollbacks, n_violations;
};

void vbucket_init(struct vbucket *v, uint16_t id, const struct vbucket_config *config,
		  uint64_t random);
void vbucket_done(struct vbucket *v);

struct vbucket_start {
	struct dcp_position pos; /* of the checkpoint; all zero: from the beginning */
	struct points points;
	struct dcp_purge purge; /* of the checkpoint */
	bool latest;            /* no checkpoint: from pos.seqno (the server's high seqno) on */
	bool restarted;         /* events above pos may have been handed out before */
	bool rewind; /* pos lies above high_seqno: go back to it before anything is asked for */
	uint64_t
		high_seqno; /* the server's when started: nobody saw more of this branch; 0 unknown */
	uint64_t end_seqno; /* VBUCKET_NO_END: go on for ever */
};
void vbucket_start(struct vbucket *v, const struct vbucket_start *s, nsec now);
void vbucket_stop(struct vbucket *v); /* closes the stream, forgets what is held back */
/* Goes back to a position already handed out (a nack): what lies above it comes again, not before `at`. A consumer that
 * refuses the same place again and again gets it after a growing while. */
void vbucket_rewind(struct vbucket *v, const struct dcp_position *pos, nsec at, nsec now);

/* The map or a connection changed. node -1: nobody serves it. */
void vbucket_on_node(struct vbucket *v, int node, bool ready, uint32_t connection, nsec now);
void vbucket_on_packet(struct vbucket *v, const struct packet *p,
		       nsec now); /* a request of the server */
/* What vbucket_on_packet does, for as many documents at the beginning of `in` as need no second look. How many bytes they
 * are; 0: vbucket_on_packet takes the next one. */
size_t vbucket_on_documents(struct vbucket *v, struct slice in);
void vbucket_on_response(struct vbucket *v, const struct packet *p,
			 nsec now); /* to STREAM_REQ, failover log, close, statistics */
void vbucket_on_timer(struct vbucket *v, nsec now); /* timer_at has come */
void vbucket_on_persisted(struct vbucket *v, uint64_t uuid, uint64_t seqno, nsec now);
/* What it holds back fills the window, and has for a while: the stream is closed, all but the first event forgotten, and
 * asked for again when that has been handed out (or by and by, since the branch may have changed). */
void vbucket_relieve(struct vbucket *v, nsec now);
uint64_t vbucket_first_held(const struct vbucket *v);         /* its seqno; held.n is not 0 */
void vbucket_on_history_changed(struct vbucket *v, nsec now); /* a copy reports another branch */
void vbucket_on_rollback_acked(struct vbucket *v, nsec now);  /* no other is open */
void vbucket_on_retreated(struct vbucket *v, nsec now);
void vbucket_set_gate(struct vbucket *v, enum vbucket_gate gate, nsec now);
/* Nothing is handed out until it is resumed, over whatever happens meanwhile, being stopped and started included. The
 * stream is closed; what is held back stays, but its bytes are given back. */
void vbucket_pause(struct vbucket *v, nsec now);
void vbucket_resume(struct vbucket *v, nsec now);

static inline uint32_t vbucket_opaque(const struct vbucket *v)
{
	return (uint32_t)v->generation << 16 | v->id;
}

#endif
