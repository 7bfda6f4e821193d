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
 * Thread: poll from one thread at a time; everything else from any. close when no other call is running.
 */
#ifndef WEIR_DCP_H
#define WEIR_DCP_H

#include <stdbool.h>

#include "weir/doc.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weir_dcp weir_dcp;
typedef struct weir_dcp_event weir_dcp_event;

#define WEIR_DCP_FOREVER ((int64_t)-1)

enum weir_dcp_kind {
	WEIR_DCP_MUTATION,
	WEIR_DCP_DELETION,
	WEIR_DCP_EXPIRATION,
	WEIR_DCP_SYSTEM, /* a collection or scope came, went or changed (system_events) */
	WEIR_DCP_ROLLBACK, /* what was seen above rollback_to never happened; what lies above seqno comes again */
	WEIR_DCP_END /* nothing more comes from this vBucket: end_reason, or an error in code */
};

enum weir_dcp_mitigation {
	WEIR_DCP_MITIGATE_NONE,     /* hand out at once; rollbacks may happen, and are told */
	WEIR_DCP_MITIGATE_ALL,      /* what every copy has persisted */
	WEIR_DCP_MITIGATE_MAJORITY, /* what most copies have persisted */
	WEIR_DCP_MITIGATE_ACTIVE    /* what the active copy has persisted */
};

enum weir_dcp_policy {
	WEIR_DCP_POLICY_DEFAULT,
	WEIR_DCP_POLICY_FAIL,    /* the vBucket ends with the error */
	WEIR_DCP_POLICY_RESTART, /* it begins anew */
	WEIR_DCP_POLICY_IGNORE,  /* it resumes; the rollback protocol decides */
	WEIR_DCP_POLICY_REWIND   /* it goes back to the last place that the server has, too */
};

/* ---- where checkpoints are kept: a store of the caller's own ---- */

/* A checkpoint is a short text (JSON, go-dcp's document; docs/formats/dcp-checkpoint.md) that the store keeps as it is,
 * one per vBucket and group. It need not be looked into. */
typedef struct weir_dcp_saved {
	uint16_t vbucket;
	const char *text;
	size_t len;
} weir_dcp_saved;

typedef struct weir_dcp_loaded weir_dcp_loaded;
/* To be called from within load for each checkpoint that there is; the text is copied. A vBucket that was not asked for
 * is ignored. */
WEIR_API void weir_dcp_found(weir_dcp_loaded *to, uint16_t vbucket, const char *text, size_t len);

/* All return 0, or a negative code of weir/error.h; e is never NULL, and its message is passed on.
 *
 * save is all or nothing for each vBucket, and durable when it returns 0. After an error nothing is assumed: each may be
 * the old or the new, and all are saved again later.
 *
 * Fencing. A store that can tell that another owner has written a vBucket since this one loaded it (by comparing and
 * swapping a version, say) refuses with WEIR_ERR_FENCED and sets e->newest to that vBucket, having saved the others or
 * not. The vBucket then ends with that error, and save is called again for the rest. A store that always does this sets
 * `fences`: with it, groups whose members change may use the store (weir_dcp_membership). What a member takes over is
 * then loaded and written back at once, so that the saves of whoever had it before are refused from then on.
 *
 * Thread: load and save are called on the thread that assigns, closes or commits, and on one of weir's; never two at a
 * time. They may block, and delay only checkpoints. They must not call into the same weir_dcp. */
typedef struct weir_dcp_store {
	size_t size;
	void *arg;
	bool fences;
	int (*load)(void *arg, const uint16_t *vbuckets, size_t n, weir_dcp_loaded *to,
		    weir_error *e);
	int (*save)(void *arg, const weir_dcp_saved *saved, size_t n, weir_error *e);
	/* By weir_dcp_clear_checkpoints; NULL: that is UNSUPPORTED. */
	int (*clear)(void *arg, const uint16_t *vbuckets, size_t n, weir_error *e);
	void (*free)(void *arg); /* by weir_dcp_close, also when that fails; not when weir_dcp_open does; may be NULL */
} weir_dcp_store;

enum weir_dcp_members {
	WEIR_DCP_MEMBERS_NONE,   /* the caller assigns */
	WEIR_DCP_MEMBERS_STATIC, /* member of total */
	WEIR_DCP_MEMBERS_DYNAMIC, /* as weir_dcp_set_membership says; nothing before its first call */
	WEIR_DCP_MEMBERS_STATEFULSET, /* a Kubernetes pod NAME-3 is member 4 of total, or of what total_file says */
	WEIR_DCP_MEMBERS_COUCHBASE, /* a list and heartbeats in documents of a bucket, go-dcp's layout */
	WEIR_DCP_MEMBERS_LIL_COUCHBASE, /* the same in one document for all members, go-dcp's layout */
	WEIR_DCP_MEMBERS_LEASE /* a leader elected over a Kubernetes Lease numbers the members */
};

#define WEIR_DCP_NO_DELAY UINT32_MAX

/* How several members of a group share the bucket. A thread keeps the assignment; weir_dcp_assign is refused then. When
 * the group changes, what moves away is saved and let go at once, what moves here comes after the delay, and what stays
 * is not disturbed. With checkpoint_bucket, what comes is claimed: the checkpoints of whoever had it before are refused
 * from then on (FENCED), even if it was paused and knows nothing. Groups that change need checkpoint_bucket, or keep
 * positions themselves. Of a group that does not change (STATIC, STATEFULSET without total_file) the share is assigned
 * when weir_dcp_open returns. */
typedef struct weir_dcp_membership {
	size_t size;
	enum weir_dcp_members kind;
	uint32_t member, total;
	const char *host_name; /* of the pod; NULL: /etc/hostname */
	const char *total_file,
		*total_key; /* lines KEY="VALUE", as the downward API writes annotations; NULL: total */
	const char *lease_api; /* "https://host:port"; NULL: https://kubernetes.default.svc */
	const char *lease_namespace, *lease_name;
	const char *
		member_id; /* unique in the group: the pod's name; NULL: LEASE /etc/hostname, else drawn at random */
	const char *lease_token_file, *lease_ca_file;      /* NULL: the service account's */
	uint32_t lease_ms, lease_renew_ms, lease_retry_ms; /* 0: 8000, 5000, 1000 */
	const char *
		member_bucket; /* *COUCHBASE: of the documents; NULL: checkpoint_bucket, else the stream's bucket */
	uint32_t heartbeat_ms, heartbeat_tolerance_ms; /* *COUCHBASE; 0: 10000, 60000 */
	uint32_t heartbeat_monitor_ms; /* how often the list is read; 0: 1000; at most half the tolerance */
	uint32_t heartbeat_expiry_s;   /* COUCHBASE: of a member's document; 0: 120 */
	uint32_t member_timeout_ms;    /* of one request; 0: connect_timeout_ms, LEASE 2000 */
	uint32_t rebalance_delay_ms; /* 0: 3000, none for static and dynamic; WEIR_DCP_NO_DELAY */
	bool contiguous;             /* shares as go-dcp cuts them, not those that move least */
} weir_dcp_membership;

/* Zero is the default everywhere. Strings must stay until the weir_dcp is closed. */
typedef struct weir_dcp_options {
	size_t size;
	const char *hosts; /* "host[:port][,...]"; data service ports, 11210 (TLS 11207) */
	const char *user, *password, *bucket;
	const char *group; /* names the connections */
	bool tls;
	const char *tls_ca, *tls_cert, *tls_key,
		*tls_server_name; /* PEM files; NULL ca: the system's */
	bool tls_insecure;        /* accept any certificate */
	bool allow_plain; /* send the password in the clear when the server offers nothing better */
	const char *scope;       /* of the collections; alone: everything in the scope */
	const char *collections; /* "a,b"; NULL and no scope: the whole bucket */
	bool latest; /* a vBucket without a checkpoint begins with what comes, not with what is there */
	bool finite; /* end each vBucket where it stood at the start */
	bool xattrs, no_value, system_events, change_history, out_of_order_snapshots;
	bool ignore_purged_tombstones; /* resume over a purge: deletions may be missed */
	bool deliver_metadata;         /* documents of connectors and transactions, too */
	int64_t skip_until_ms;         /* ms since 1970: older documents are passed over */
	uint32_t window_bytes;         /* of flow control per node; 0: 8 MiB */
	uint32_t noop_ms;              /* liveness; 0: 5000 */
	uint32_t connect_timeout_ms;   /* 0: 10000 */
	enum weir_dcp_mitigation mitigation;
	uint32_t mitigation_min_ms, mitigation_max_ms; /* how often copies are asked; 0: 5 and 15 */
	/* Where checkpoints are kept; at most one of file, bucket, log, store, none. Without any the caller keeps positions,
	 * and weir_dcp_commit is UNSUPPORTED. */
	const char *checkpoint_file;
	const char *checkpoint_bucket; /* in documents of this bucket (go-dcp's); see checkpoint_hosts */
	bool checkpoint_read_only;
	bool manual_commit; /* only weir_dcp_commit saves what was acknowledged */
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
	uint32_t config_watch_ms; /* how often a newer cluster map is asked for, besides those pushed; 0: 10000 */
	const char *priority; /* "low", "medium", "high" among the server's connections; NULL: its default */
	const char *checkpoint_log; /* the directory of a log of weir's own, for this group alone; made if there is none */
	const weir_dcp_store *checkpoint_store; /* the caller's own */
	bool checkpoint_none; /* forgets them when closed, but commits and goes on as if they were kept */
	enum weir_dcp_policy damaged; /* it cannot be read; default: fail (CORRUPT). Or RESTART */
	/* Of checkpoint_bucket: another cluster than `hosts`, with its own login and TLS. NULL hosts: the same, with the same
	 * login and TLS unless told otherwise here. The documents of a Couchbase membership are kept there, too. */
	const char *checkpoint_hosts;
	const char *checkpoint_user, *checkpoint_password; /* NULL: user and password */
	const char *checkpoint_scope, *checkpoint_collection; /* NULL: _default */
	bool checkpoint_tls; /* with checkpoint_hosts; files that are NULL are those of tls_* */
	const char *checkpoint_tls_ca, *checkpoint_tls_cert, *checkpoint_tls_key,
		*checkpoint_tls_server_name;
	bool checkpoint_tls_insecure;
} weir_dcp_options;

/* INVALID, AUTH, NOTFOUND (bucket, scope, collection), TIMEOUT (with the last cause), NET, and for the checkpoint file and
 * log LOCKED, CORRUPT (as a whole, and `damaged` does not say RESTART), IO. A single checkpoint that cannot be used ends
 * its vBucket with WEIR_DCP_END and the code. */
WEIR_API int weir_dcp_open(const weir_dcp_options *o, weir_dcp **out, weir_error *e);

/* Stops, saves what is acknowledged, frees. An error is that of the last save. NULL is fine. */
WEIR_API int weir_dcp_close(weir_dcp *d, weir_error *e);

WEIR_API uint32_t weir_dcp_vbuckets(weir_dcp *d);

/* The whole new set: what stays is not disturbed, what leaves is stopped and saved before this returns. */
WEIR_API int weir_dcp_assign(weir_dcp *d, const uint16_t *vbuckets, size_t n, weir_error *e);
/* The contiguous share of member (1..total) of total. */
WEIR_API int weir_dcp_assign_share(weir_dcp *d, uint32_t member, uint32_t total, weir_error *e);

/* The member number of a pod of a Kubernetes StatefulSet, out of its host name "NAME-N": N + 1. INVALID. */
WEIR_API int weir_dcp_statefulset_member(const char *host_name, uint32_t *member, weir_error *e);

/* WEIR_DCP_MEMBERS_DYNAMIC: from now on member (1..total) of total; 0 of 0: nothing. */
WEIR_API int weir_dcp_set_membership(weir_dcp *d, uint32_t member, uint32_t total, weir_error *e);

typedef struct weir_dcp_member {
	size_t size;            /* set by the caller */
	uint32_t member, total; /* 0: none at present */
	uint64_t generation;    /* differs when the group's list does; 0 where there is none */
	uint32_t vbuckets;      /* assigned */
	uint64_t rebalances;    /* assignments made */
	int error;              /* what went wrong last; 0 nothing */
	bool over;              /* and will not pass: nothing is assigned any more */
	char message[256];
	bool settled; /* it has a number, and no vBucket is to come or to go */
} weir_dcp_member;
WEIR_API int weir_dcp_member_get(weir_dcp *d, weir_dcp_member *out, weir_error *e);

/* A member of a group with a list: *COUCHBASE and LEASE. */
typedef struct weir_dcp_peer {
	size_t size;
	const char *id;    /* until `each` returns */
	uint32_t member;   /* its number, from 1; 0: it has shown itself and is not on the list yet */
	uint32_t total;    /* of the list */
	uint32_t vbuckets; /* its share */
	bool self;
	bool leads;        /* LEASE: it holds the group's Lease */
	int64_t joined_ms; /* ms since 1970, by its own clock; 0 unknown */
	int64_t seen_ms;   /* its last sign of life, by its own clock; 0 unknown */
	int64_t silent_ms; /* since this process saw that sign; -1 it does not watch that one */
} weir_dcp_peer;

/* The members as this one knew them at its last look, in the order of their numbers; none for kinds without a list.
 * each may return non-zero to stop; that is returned. A LEASE's followers do not watch each other: silent_ms is -1. */
WEIR_API int weir_dcp_peers(weir_dcp *d, int (*each)(void *arg, const weir_dcp_peer *p), void *arg,
			    weir_error *e);
/* The same for somebody who is no member: reads the list that o->membership names, and writes nothing. UNSUPPORTED for
 * kinds without one. */
WEIR_API int weir_dcp_group(const weir_dcp_options *o,
			    int (*each)(void *arg, const weir_dcp_peer *p), void *arg,
			    weir_error *e);

/* 1 some: *events is borrowed until the next poll; 0 none in time; negative: it cannot go on. */
WEIR_API int weir_dcp_poll(weir_dcp *d, int64_t timeout_ms, const weir_dcp_event **events,
			   size_t *n, weir_error *e);
WEIR_API const weir_dcp_event *weir_dcp_event_at(const weir_dcp_event *events, size_t i);
/* A descriptor that polls readable while events wait. */
WEIR_API int weir_dcp_fd(weir_dcp *d);

/* NOTFOUND: some were not valid any more (rolled back, handed over, acknowledged before), which may be ignored. */
WEIR_API int weir_dcp_ack(weir_dcp *d, const weir_dcp_event *events, size_t n);
/* Everything of the vBucket that is not acknowledged comes again. */
WEIR_API void weir_dcp_nack(weir_dcp *d, uint16_t vbucket);
/* Durable when it returns. UNSUPPORTED without a place for checkpoints. */
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
} weir_dcp_info;

/* The revision of a new document is not always 1: nothing tells insert from replace. */
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

typedef struct weir_dcp_stats {
	size_t size; /* set by the caller */
	uint32_t vbuckets, assigned, streaming, ended, nodes, connected;
	uint64_t reconnects, saves, save_failures;
	uint64_t events, rollbacks,
		lag; /* lag: high seqnos at the start minus acknowledged, where still behind */
	char last_error[256];
} weir_dcp_stats;
WEIR_API int weir_dcp_stats_get(weir_dcp *d, weir_dcp_stats *out);

/* ---- configuration files ---- */

/* Options as YAML (docs/manual/couchbase.md has the keys). ${NAME} and ${NAME:default} are the process's variables.
 * FORMAT not YAML; INVALID an unknown key, a value that is not what the key takes, a variable that is not set; LIMIT too
 * much of it. The message begins with name:line:column. */
typedef struct weir_dcp_config weir_dcp_config;
WEIR_API int weir_dcp_config_parse(const char *yaml, size_t len, const char *name,
				   weir_dcp_config **out, weir_error *e);
/* What it says, a membership always among it: nothing is left to assign. Its strings stay until the config is freed. */
WEIR_API const weir_dcp_options *weir_dcp_config_options(const weir_dcp_config *c);
WEIR_API void weir_dcp_config_free(weir_dcp_config *c);

/* Appends weir's YAML for a configuration file of go-dcp, with comments on what has no counterpart. */
WEIR_API int weir_dcp_config_import(const char *yaml, size_t len, const char *name,
				    weir_buffer *out, weir_error *e);
/* Appends the table of all keys, or that of go-dcp's keys and their counterparts, as Markdown. */
WEIR_API int weir_dcp_config_markdown(bool of_go_dcp, weir_buffer *out, weir_error *e);

/* ---- where a group stands ---- */

typedef struct weir_dcp_place {
	size_t size;
	uint16_t vbucket;
	bool found;            /* there is a checkpoint */
	uint64_t seqno, vbuuid; /* of the checkpoint; 0 without */
	uint64_t high;         /* the server's */
	uint64_t lag;          /* high - seqno, or 0 when the checkpoint is ahead */
	bool ahead;            /* the checkpoint lies above high: a failover lost items that the group has seen */
	bool foreign;          /* it is of another bucket */
	bool damaged;          /* there is one, or may have been, that cannot be read */
} weir_dcp_place;

/* Compares the checkpoints that o names with the server's high seqnos, one vBucket at a time, in order; streams nothing,
 * writes nothing, and does not mind that somebody else has the checkpoint file open. each may return non-zero to stop;
 * that is returned. The server must answer within timeout_ms (TIMEOUT). */
WEIR_API int weir_dcp_places(const weir_dcp_options *o, int64_t timeout_ms,
			     int (*each)(void *arg, const weir_dcp_place *p), void *arg,
			     weir_error *e);

#ifdef __cplusplus
}
#endif

#endif
