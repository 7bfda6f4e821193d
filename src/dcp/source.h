/* source.h: a bucket's changes as batches of events: assign vBuckets, poll, acknowledge.
 *
 *	  consumer's thread                    I/O thread                          saver's thread
 *	 assign ───────────────────────────▶  connections, one vbucket.h each
 *	 poll ◀────────── queue of blocks ──  emit: where its bytes are
 *	 (returns the last block) ─────────▶  flow control gives its bytes back
 *	 ack, nack ─▶ acknowledgement windows ───────────────────────────────▶  checkpoints, every interval
 *
 * Nothing is dropped to make room: what the consumer does not take stays unacknowledged in the server's window.
 * Events of a polled batch are borrowed until the next poll. There is no allocation per event once the blocks exist.
 *
 * Thread: poll from one thread at a time; ack, nack, commit and the rest from any.
 */
#ifndef DCP_SOURCE_H
#define DCP_SOURCE_H

#include "dcp/checkpoint.h"
#include "dcp/cluster.h"
#include "dcp/event.h"
#include "dcp/mitigation.h"

#define DCP_WINDOW_DEFAULT (8u << 20)
#define DCP_VALUE_MAX      (32u << 20) /* one document, inflated */

struct tls_options;
struct env;

enum dcp_begin { DCP_EARLIEST, DCP_LATEST }; /* a vBucket without a checkpoint */

/* In this order, where there is something to stop or to start; a first assignment and the end are no rebalance:
 *
 *	BEFORE_REBALANCE_START  BEFORE_STREAM_STOP ─ stopped, saved ─ AFTER_STREAM_STOP  AFTER_REBALANCE_START
 *	BEFORE_REBALANCE_END    BEFORE_STREAM_START ─ started ─ AFTER_STREAM_START       AFTER_REBALANCE_END
 */
enum dcp_hook {
	DCP_BEFORE_STREAM_START,
	DCP_AFTER_STREAM_START,
	DCP_BEFORE_STREAM_STOP,
	DCP_AFTER_STREAM_STOP,
	DCP_BEFORE_REBALANCE_START,
	DCP_AFTER_REBALANCE_START,
	DCP_BEFORE_REBALANCE_END,
	DCP_AFTER_REBALANCE_END,
};

/* What the pointers point to must stay until the source is closed. */
struct dcp_options {
	struct env *env; /* NULL: env_posix() */
	const char *const *
		seeds; /* "host", "host:port", "[v6]:port", "couchbases://host", "http://host:8091": seed.h */
	size_t n_seeds; /* one name without a port may also be a service's: _couchbase._tcp in DNS */
	const char *dns_server; /* "address:port" to ask for that; NULL: as /etc/resolv.conf says */
	const char *user, *password, *bucket;
	const char *group;             /* names connections; required */
	const struct tls_options *tls; /* NULL: plain text */
	bool allow_plain;
	enum cluster_network network;
	/* what */
	const char *scope; /* NULL with collections: _default */
	/* of that scope, or "scope.collection"; none, and no scope: the whole bucket */
	const char *const *collections;
	size_t n_collections;
	uint16_t stream_id; /* of every stream, to tell apart who reads over one proxy; 0: none */
	enum dcp_begin begin;
	bool finite;            /* up to what is there at the start */
	bool no_value_datatype; /* no value, but what its datatype was */
	bool skip_deletes;      /* deletions of the first read from disk; servers since 8.0 */
	bool xattrs, no_value, system_events, change_streams, out_of_order;
	bool ignore_purged;    /* go-dcp's way: may lose deletions */
	int64_t skip_until_ms; /* wall time; older documents are not delivered; 0: none */
	bool deliver_metadata; /* also keys of connectors and transactions ("_connector:cbgo:", "_txn:") */
	/* how */
	uint32_t window_bytes;      /* of flow control per node; 0: DCP_WINDOW_DEFAULT */
	const char *priority;       /* "low", "medium", "high"; NULL: the server's default */
	const char *backfill_order; /* "round-robin", "sequential"; NULL: the server's default */
	bool cursor_dropping; /* too slow: the server goes back to its disk, instead of ending the stream */
	bool force_compression;     /* values come compressed even where they are not stored so */
	nsec noop, connect_timeout; /* 0: 5 s, 10 s */
	nsec backoff_min, backoff_max; /* 0: 100 ms, 10 s */
	bool rollback_unacked;
	struct mitigation_options mitigation;
	/* where it stands */
	struct checkpoint_store *store; /* borrowed; NULL: the caller keeps positions */
	bool manual_commit;             /* only dcp_source_commit saves */
	nsec checkpoint_interval;       /* 0: 1 minute */
	struct checkpoint_policies policies;
	bool timed; /* events tell when they came */
	nsec seqno_interval; /* how often high seqnos are asked for; 0: 10 s */
	/* Where vBuckets without a checkpoint start, before `begin` is looked at. */
	const struct checkpoint *start_at;
	size_t n_start_at;
	/* Told on the thread that assigns or closes, without a lock: it may acknowledge and commit. The vBuckets are those
	 * that stop or start. */
	void (*hook)(void *arg, enum dcp_hook h, const uint16_t *vb, size_t n);
	void *hook_arg;
};

struct dcp_source;

/* Connects and learns the map and the collections; up to connect_timeout. ERR_AUTH, ERR_NOTFOUND (bucket, scope,
 * collection), ERR_NET, ERR_TIMEOUT. */
int dcp_source_open(const struct dcp_options *o, struct dcp_source **out, struct err *e);
/* Stops, saves what is acknowledged, frees. The error of the last save, if any. */
int dcp_source_close(struct dcp_source *s, struct err *e);

uint32_t dcp_source_vbuckets(struct dcp_source *s);
const char *dcp_source_bucket_uuid(struct dcp_source *s);

/* The whole new set. What leaves is stopped and its checkpoints saved before this returns; what stays is not
 * disturbed; what comes is loaded and started. */
int dcp_source_assign(struct dcp_source *s, const uint16_t *vb, size_t n, struct err *e);
/* The share of member n of total (1-based). */
int dcp_source_assign_share(struct dcp_source *s, uint32_t member, uint32_t total, struct err *e);

struct dcp_batch {
	const struct dcp_event *ev;
	size_t n;
};
/* 1 some, 0 none within `wait` (0: at once, -1: for ever) or interrupted, negative: it cannot go on. */
int dcp_source_poll(struct dcp_source *s, struct dcp_batch *out, nsec wait, struct err *e);
/* The poll that waits, or else the next one, returns without waiting. */
void dcp_source_interrupt(struct dcp_source *s);
/* Nothing is handed out after that moment of the monotonic clock, until a later one is told; INT64_MAX: no limit, as at
 * the beginning. A member of a group that was paused, and may have been given up meanwhile, does not go on with what it
 * had. */
void dcp_source_hand_out_until(struct dcp_source *s, nsec until);
/* A descriptor that polls readable while a batch waits. */
int dcp_source_fd(struct dcp_source *s);

/* In any order. ERR_NOTFOUND: not valid any more (rolled back, handed over, acknowledged long ago): ignore it. */
int dcp_source_ack(struct dcp_source *s, const struct dcp_event *ev);
int dcp_source_ack_batch(struct dcp_source *s, const struct dcp_event *ev, size_t n);
/* The vBucket goes back to its acknowledged position and everything above it comes again, not before `delay` is over. */
void dcp_source_nack(struct dcp_source *s, uint16_t vb, nsec delay);
/* Counts the nacks of the vBucket that were carried out. The ticket of a DCP_END is this number when it was handed out:
 * an end from before a nack comes again. */
uint64_t dcp_source_nacked(struct dcp_source *s, uint16_t vb);
#define DCP_ALL_VBUCKETS (-1)
/* Hands out nothing of the vBucket (or of all) until it is resumed, whatever happens meanwhile: reconnecting, a rollback,
 * being assigned elsewhere and back. Its stream is closed when this returns; what was on its way to poll still comes.
 * Acknowledgements are taken and saved as ever, the others go on. ERR_INVALID: no such vBucket. */
int dcp_source_pause(struct dcp_source *s, int vb, struct err *e);
int dcp_source_resume(struct dcp_source *s, int vb, struct err *e); /* goes on where it stopped */
/* Whether an acknowledgement would still count: not after a nack, a rollback, a hand-over. */
bool dcp_source_ticket_valid(struct dcp_source *s, uint16_t vb, uint64_t ticket);
/* The acknowledged position, when *version is not the one it has (which is then stored there). */
bool dcp_source_mark(struct dcp_source *s, uint16_t vb, uint64_t *version,
		     struct dcp_position *pos);
/* Moves vBuckets that are assigned to other places, backwards or forwards: they are stopped, the place is saved, and
 * they start there. cp: vb, pos, any_branch. ERR_NOTFOUND: one of them is not assigned (nothing is moved); ERR_FENCED:
 * another member has one of them (none of them is assigned any more). */
int dcp_source_seek(struct dcp_source *s, struct checkpoint *cp, size_t n, struct err *e);
/* Until something is assigned and each of it streams, has ended, or waits for the consumer to acknowledge a rollback.
 * wait as in poll. 1, 0 not in time, negative: it cannot go on. */
int dcp_source_wait_open(struct dcp_source *s, nsec wait, struct err *e);
/* Saves everything acknowledged so far; returns when it is durable. */
int dcp_source_commit(struct dcp_source *s, struct err *e);
/* Of vBuckets that are not assigned: ERR_INVALID. */
int dcp_source_clear(struct dcp_source *s, const uint16_t *vb, size_t n, struct err *e);

/* A collection's name; false unknown. Valid until the source closes. */
bool dcp_source_collection(struct dcp_source *s, uint32_t id, const char **scope,
			   const char **name);

struct dcp_vbucket_status {
	uint16_t vb;
	const char *state;
	int node;
	struct dcp_position received, acknowledged;
	uint64_t high; /* of the collections that are streamed; as fresh as seqno_interval */
	uint64_t persisted, held, in_flight;
	uint64_t mutations, deletions, expirations, reopens, rollbacks, violations;
	uint16_t last_status;
};
struct dcp_status {
	uint32_t n_vbuckets, n_assigned, n_streaming, n_paused, n_done, n_nodes, n_connected;
	bool queued;     /* something waits for poll, though it may not come at once */
	uint32_t n_open; /* streaming, paused, done, or waiting for a rollback's acknowledgement */
	int64_t map_epoch, map_rev;
	bool map_over_http; /* the data service hands out none */
	bool ephemeral;     /* in memory only: mitigation is off, for there is nothing to persist */
	uint64_t reconnects, saves, save_failures, saved_vbuckets, rebalances;
	uint32_t last_save_vbuckets; /* how many the last save wrote, and how long it took */
	nsec last_save_took;
	uint64_t blocks,
		unacked_max; /* most bytes the server ever had outstanding on a connection */
	char last_error[256];
};
struct dcp_node_status {
	int node;
	const char *host; /* until the source closes */
	uint16_t port;
	bool connected;
	uint32_t vbuckets;        /* assigned ones that it serves */
	uint64_t unacked, window; /* bytes */
};
/* Nodes of the map. each: non-zero stops, and is returned. */
int dcp_source_nodes(struct dcp_source *s, int (*each)(void *arg, const struct dcp_node_status *n),
		     void *arg);

/* each may be NULL. */
int dcp_source_status(struct dcp_source *s, struct dcp_status *out,
		      void (*each)(void *arg, const struct dcp_vbucket_status *v), void *arg);

#endif
