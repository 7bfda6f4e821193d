/* dcp.h: a Couchbase bucket's changes: batches of events, acknowledged in any order, resumed where they were.
 *
 *	weir_dcp_options o = { .size = sizeof o, .hosts = "10.0.0.1,10.0.0.2", .user = "u", .password = "p",
 *	                       .bucket = "orders", .group = "billing", .checkpoint_file = "billing.json" };
 *	weir_dcp *d;
 *	weir_dcp_open(&o, &d, &e);
 *	weir_dcp_assign_share(d, 1, 1, &e);                 // member 1 of 1: all vBuckets
 *	const weir_dcp_event *events;
 *	size_t n;
 *	while (weir_dcp_poll(d, WEIR_DCP_FOREVER, &events, &n, &e) == 1) {
 *		for (size_t i = 0; i < n; i++)
 *			handle(weir_dcp_event_at(events, i));
 *		weir_dcp_ack(d, events, n);
 *	}
 *	weir_dcp_close(d, &e);
 *
 * Every event arrives at least once. Within a vBucket they come in the order of their seqnos. What is saved is the
 * acknowledged prefix of each vBucket: acknowledging a later event never acknowledges an earlier one.
 *
 * When a node was lost with items that no other had, WEIR_DCP_ROLLBACK says so before anything newer comes: what was
 * seen of that vBucket above rollback_to never happened. It has to be acknowledged, too: the checkpoint goes back with
 * it, and only then the vBucket goes on. With mitigation, events wait until enough copies have persisted them, so that
 * this does not happen.
 *
 * What is not taken stays in the server's flow-control window: nothing is dropped to make room.
 *
 * Thread: poll from one thread at a time; everything else from any, unless it says otherwise. close when no other call
 * is running.
 *
 * Units: times in milliseconds where the name ends so, sizes in bytes, seqnos as the server counts them. Errors are
 * negative (error.h); every call that takes a client, an option struct or an output refuses NULL with INVALID.
 */
#ifndef WEIR_DCP_H
#define WEIR_DCP_H

#include "weir/dcp_options.h"

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_DCP_FOREVER ((int64_t)-1) /* and so is every other negative timeout */

enum weir_dcp_kind {
	WEIR_DCP_MUTATION,
	WEIR_DCP_DELETION,
	WEIR_DCP_EXPIRATION,
	WEIR_DCP_SYSTEM, /* a collection or scope came, went or changed (system_events) */
	WEIR_DCP_ROLLBACK, /* what was seen above rollback_to never happened; what lies above seqno comes again */
	WEIR_DCP_END /* nothing more comes from this vBucket: end_reason, or an error in code */
};

/* Zero is the default everywhere. Strings must stay until the weir_dcp is closed. */
typedef struct weir_dcp_options {
	size_t size;
	/* "host[:port][,...]": the data service, 11210 (TLS 11207); the management service with port 8091 (TLS 18091) or
	 * as "http://host[:port]", "https://host[:port]". "couchbase://" and "couchbases://" may stand in front; couchbases,
	 * https and port 18091 turn tls on. One name without a port may be a service's in DNS (_couchbase._tcp). */
	const char *hosts;
	const char *user, *password, *bucket; /* tls_cert is a login, too */
	const char *group; /* names the connections */
	bool tls; /* without it, and without a host that turns it on, any other tls_... is INVALID */
	const char *tls_ca, *tls_cert, *tls_key,
		*tls_server_name; /* PEM files; NULL ca: the system's */
	bool tls_insecure;        /* accept any certificate */
	bool allow_plain; /* send the password in the clear when the server offers nothing better */
	const char *scope; /* of the collections; alone: everything in the scope */
	/* "a,b", of that scope (_default without one), or "scope.a" of any; NULL and no scope: the whole bucket */
	const char *collections;
	bool latest; /* a vBucket without a checkpoint begins with what comes, not with what is there */
	bool finite; /* end each vBucket where it stood at the start */
	bool xattrs, no_value, system_events, change_history, out_of_order_snapshots;
	bool ignore_purged_tombstones; /* resume over a purge: deletions may be missed. Else it is a rollback to 0 */
	bool deliver_metadata;         /* documents of connectors and transactions, too */
	int64_t skip_until_ms;         /* ms since 1970, perhaps to come: older documents are passed over */
	uint32_t window_bytes;         /* of flow control per node; 0: 8 MiB */
	uint32_t noop_ms;              /* liveness; 0: 5000 */
	uint32_t connect_timeout_ms;   /* 0: 10000 */
	enum weir_dcp_mitigation mitigation;
	uint32_t mitigation_min_ms, mitigation_max_ms; /* how often copies are asked; 0: 5 and 15, but no less than min */
	/* Where checkpoints are kept; at most one of file, bucket, log, store, none. Without any the caller keeps positions,
	 * and weir_dcp_commit is UNSUPPORTED. */
	const char *checkpoint_file;
	const char *
		checkpoint_bucket; /* in documents of this bucket (go-dcp's); see checkpoint_hosts */
	bool checkpoint_read_only; /* begins there and never writes; a file or a log is not locked then */
	bool manual_commit;              /* only weir_dcp_commit saves what was acknowledged */
	uint32_t checkpoint_interval_ms; /* 0: 60000 */
	/* As change events (weir_dcp_event_doc): */
	weir_doc filter;   /* a query on the event; none: all */
	weir_doc pipeline; /* an array of stages; none: the event as it is */
	const char *
		resume_after; /* a token of weir_dcp_token; not together with a place for checkpoints */
	enum weir_dcp_policy
		foreign; /* the checkpoint is of another bucket; default: fail (TOKEN_FOREIGN) */
	enum weir_dcp_policy
		ahead; /* it lies above the server's high seqno; default: ignore (TOKEN_FUTURE). REWIND: it goes back to the
			  greatest end of a whole snapshot that both histories have, and says so with a rollback event */
	const weir_dcp_membership *membership; /* NULL: the caller assigns */
	uint32_t
		config_watch_ms; /* how often a newer cluster map is asked for, besides those pushed; 0: 10000 */
	const char *
		priority; /* "low", "medium", "high" among the server's connections; NULL: its default */
	const char *
		checkpoint_log; /* the directory of a log of weir's own, for this group alone; made if there is none */
	const weir_dcp_store *checkpoint_store; /* the caller's own */
	bool checkpoint_none; /* forgets them when closed, but commits and goes on as if they were kept */
	enum weir_dcp_policy damaged; /* it cannot be read; default: fail (CORRUPT). Or RESTART */
	/* Of checkpoint_bucket: another cluster than `hosts`, with its own login and TLS. NULL hosts: the same, with the same
	 * login and TLS unless told otherwise here. The documents of a Couchbase membership are kept there, too. */
	const char *checkpoint_hosts;
	const char *checkpoint_user, *checkpoint_password;    /* NULL: user and password */
	const char *checkpoint_scope, *checkpoint_collection; /* NULL: _default */
	bool checkpoint_tls; /* with checkpoint_hosts; files that are NULL are those of tls_* */
	const char *checkpoint_tls_ca, *checkpoint_tls_cert, *checkpoint_tls_key,
		*checkpoint_tls_server_name;
	bool checkpoint_tls_insecure;
	/* Where vBuckets without a checkpoint begin; those that are not named begin as `latest` says. Must stay until the
	 * weir_dcp is closed. One that the bucket does not have, or that is named twice, is INVALID. */
	const weir_dcp_position *positions;
	size_t n_positions;
	uint32_t
		high_seqno_ms; /* how often servers are asked how far they are, for lag; 0: 10000 */
	/* Called on the thread that assigns (weir_dcp_assign and its kin, weir_dcp_seek, the membership's own) or closes,
	 * which waits for it. It may call everything but what assigns, seeks or closes; d is valid even before weir_dcp_open
	 * has returned. vbuckets is borrowed until it returns. */
	void (*hook)(void *arg, weir_dcp *d, enum weir_dcp_hook what, const uint16_t *vbuckets,
		     size_t n);
	void *hook_arg;
	const weir_dcp_tracer *tracer; /* copied; NULL: none, which costs nothing */
	enum weir_dcp_network network;
	/* Of the streams: */
	uint16_t stream_id; /* each has this id, and its messages have to carry it; 0: no ids */
	const char *
		backfill_order; /* "round-robin", "sequential": how the server reads from disk; NULL: its default */
	bool cursor_dropping; /* too slow: the server may go back to its disk, instead of ending the stream */
	bool force_compression; /* values compressed on the way, even where they are not stored so */
	bool no_value_datatype; /* no values, but what their datatype was */
	bool skip_initial_deletes; /* no deletions in the first read from disk; servers before 8.0 send them */
	uint32_t checkpoint_timeout_ms; /* of one saving or reading; 0: three times connect_timeout_ms */
} weir_dcp_options;

/* INVALID, AUTH, NOTFOUND (bucket, scope, collection), TIMEOUT (with the last cause), NET, and for the checkpoint file and
 * log LOCKED, CORRUPT (as a whole, and `damaged` does not say RESTART), IO. A single checkpoint that cannot be used ends
 * its vBucket with WEIR_DCP_END and the code. */
WEIR_API int weir_dcp_open(const weir_dcp_options *o, weir_dcp **out, weir_error *e);

/* Stops, saves what is acknowledged, frees, also when it fails. An error is that of the last save. NULL is fine. */
WEIR_API int weir_dcp_close(weir_dcp *d, weir_error *e);

/* How many the bucket has. */
WEIR_API uint32_t weir_dcp_vbuckets(weir_dcp *d);

/* The whole new set: what stays is not disturbed, what leaves is stopped and saved before this returns. INVALID: no such
 * vBucket, or a membership assigns; what loading and saving checkpoints fails with: after a failed load nothing has
 * changed, after a failed save all has. */
WEIR_API int weir_dcp_assign(weir_dcp *d, const uint16_t *vbuckets, size_t n, weir_error *e);
/* The contiguous share of member (1..total) of total. */
WEIR_API int weir_dcp_assign_share(weir_dcp *d, uint32_t member, uint32_t total, weir_error *e);

/* The member number of a pod of a Kubernetes StatefulSet, out of its host name "NAME-N": N + 1. INVALID. */
WEIR_API int weir_dcp_statefulset_member(const char *host_name, uint32_t *member, weir_error *e);

/* WEIR_DCP_MEMBERS_DYNAMIC: from now on member (1..total) of total; 0 of 0: nothing. */
WEIR_API int weir_dcp_set_membership(weir_dcp *d, uint32_t member, uint32_t total, weir_error *e);
/* Looks at the group now, instead of at the next turn, and hands over what has changed; nothing else is disturbed. It does
 * not wait for that. INVALID: opened without a membership. */
WEIR_API int weir_dcp_rebalance(weir_dcp *d, weir_error *e);

/* Goes elsewhere with vBuckets that are assigned, back or forth: each stops, the new place is saved at once (but for one
 * that is only a seqno: with the next save), and it starts there. What was handed out before takes no acknowledgements
 * any more. NOTFOUND: one of them is not assigned, nothing is done; INVALID: seqno outside its snapshot, or a vBucket
 * that is named twice; FENCED: another member has taken one of them, none is assigned any more; or what a save fails
 * with. A seqno that the server has not reached ends the vBucket (WEIR_DCP_END, TOKEN_FUTURE). Back at 0 a rollback to 0
 * comes first when deletions were purged since that nothing else would tell. */
WEIR_API int weir_dcp_seek(weir_dcp *d, const weir_dcp_position *positions, size_t n,
			   weir_error *e);

/* Waits until something is assigned and all of it streams (or has ended, or waits for you to acknowledge a rollback).
 * 1 so it is, 0 not within timeout_ms (WEIR_DCP_FOREVER: however long), negative: it cannot go on. */
WEIR_API int weir_dcp_wait_ready(weir_dcp *d, int64_t timeout_ms, weir_error *e);

/* 1 some: *events (n of them, for weir_dcp_event_at) is borrowed until the next poll; 0 none within timeout_ms (0: do not
 * wait, WEIR_DCP_FOREVER), or interrupted; negative: it cannot go on (NET, AUTH, NOMEM, ...). */
WEIR_API int weir_dcp_poll(weir_dcp *d, int64_t timeout_ms, const weir_dcp_event **events,
			   size_t *n, weir_error *e);
WEIR_API const weir_dcp_event *weir_dcp_event_at(const weir_dcp_event *events, size_t i);
/* The poll that waits, or else the next one, returns at once. */
WEIR_API void weir_dcp_interrupt(weir_dcp *d);
/* A descriptor that polls readable while events wait. It is the client's: do not read or close it. */
WEIR_API int weir_dcp_fd(weir_dcp *d);

/* n events in a row of the batch that was polled last. NOTFOUND: some were not valid any more (rolled back, handed over,
 * acknowledged before with all that came before them), which may be ignored. */
WEIR_API int weir_dcp_ack(weir_dcp *d, const weir_dcp_event *events, size_t n);
/* The same for one event by what its info said, at any time later. In any order: only the prefix is saved. */
WEIR_API int weir_dcp_ack_later(weir_dcp *d, uint16_t vbucket, uint64_t ticket);
/* Everything of the vBucket that is not acknowledged comes again: at once (or not before delay_ms have passed), and when
 * that happens at the same place again and again after a while that grows from 100 ms to 10 s. What is still on the way
 * comes once more before that, and cannot be acknowledged. */
WEIR_API void weir_dcp_nack(weir_dcp *d, uint16_t vbucket);
WEIR_API void weir_dcp_nack_after(weir_dcp *d, uint16_t vbucket, uint32_t delay_ms);
#define WEIR_DCP_ALL (-1)
/* Nothing of the vBucket (or of all) is handed out until it is resumed, whatever happens meanwhile: reconnecting, a
 * failover, being assigned elsewhere and back. What was on its way to poll when this returns still comes;
 * acknowledgements are taken and saved as ever; the others go on, with the whole flow-control window. Resuming goes on
 * where it stopped. INVALID: there is no such vBucket. */
WEIR_API int weir_dcp_pause(weir_dcp *d, int vbucket, weir_error *e);
WEIR_API int weir_dcp_resume(weir_dcp *d, int vbucket, weir_error *e);
/* Saves what is acknowledged; durable when it returns. UNSUPPORTED without a place for checkpoints; FENCED: another
 * member has taken some vBuckets (the others are saved); else what the place fails with (IO, NET, TIMEOUT, ...). */
WEIR_API int weir_dcp_commit(weir_dcp *d, weir_error *e);
/* Forgets the checkpoints of vBuckets that are not assigned (INVALID if one is): they begin anew when they are. */
WEIR_API int weir_dcp_clear_checkpoints(weir_dcp *d, const uint16_t *vbuckets, size_t n,
					weir_error *e);

typedef struct weir_dcp_info {
	size_t size; /* set by the caller */
	enum weir_dcp_kind kind;
	uint16_t vbucket;
	uint64_t seqno, snapshot_start, snapshot_end, vbuuid; /* together: a place to resume from */
	uint64_t revision, cas;           /* cas: ns since 1970, a hybrid logical clock */
	const void *key, *value, *xattrs; /* xattrs: the section as sent, names and values */
	size_t key_len, value_len, xattrs_len;
	uint32_t collection_id;
	const char *scope, *collection; /* NULL unknown */
	uint32_t item_flags, expiry, delete_time;
	bool json;                           /* the value is JSON */
	bool from_disk;                      /* of a disk snapshot */
	uint64_t rollback_to, rollback_from; /* from: UINT64_MAX unknown, after a restart */
	uint32_t end_reason;
	int code;
	int system_kind; /* 0 collection created, 1 dropped, 2 flushed, 3 scope created, 4 dropped, 5 modified; key: name */
	uint64_t manifest_uid;
	uint64_t ticket; /* for weir_dcp_ack_later; 0: needs none (WEIR_DCP_END) */
	/* With a tracer: when it was read from the socket, or, had it to wait for its copies, when they had it; by
	 * CLOCK_MONOTONIC, the same for what was read together. Without one 0. */
	uint64_t came_ns;
} weir_dcp_info;

/* What the event says. Its pointers are borrowed until the next poll, but for scope and collection, which stay until
 * close. The revision of a new document is not always 1: nothing tells insert from replace. */
WEIR_API void weir_dcp_event_info(weir_dcp *d, const weir_dcp_event *ev, weir_dcp_info *out);

/* The event as a change event: { _id: { _data }, operationType, clusterTime, wallTime, ns: { db, coll }, documentKey,
 * fullDocument, couchbase: { vbucket, seqno, vbuuid, revision, cas, flags, expiry, expired, ... } }. A mutation is always
 * "replace": nothing tells insert from replace. 1: *doc is borrowed until the next call; 0: the filter or the pipeline
 * left it out (acknowledge it all the same); negative: they failed on it. From the polling thread. */
WEIR_API int weir_dcp_event_doc(weir_dcp *d, const weir_dcp_event *ev, weir_doc *doc,
				weir_error *e);

/* Appends the resume token: the places of all vBuckets whose events weir_dcp_event_doc has seen. Save it after the
 * events are handled. From the polling thread. */
WEIR_API int weir_dcp_token(weir_dcp *d, weir_buffer *out, weir_error *e);

#ifdef __cplusplus
}
#endif

#endif
