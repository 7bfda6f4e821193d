/* dcp_options.h: what the options of a Couchbase client (dcp.h) consist of: policies, a store for checkpoints, a
 * membership, places to start from, hooks, a tracer. */
#ifndef WEIR_DCP_OPTIONS_H
#define WEIR_DCP_OPTIONS_H

#include <stdbool.h>

#include "weir/doc.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weir_dcp weir_dcp;
typedef struct weir_dcp_event weir_dcp_event;

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
	void (*free)(
		void *arg); /* by weir_dcp_close, also when that fails; not when weir_dcp_open does; may be NULL */
} weir_dcp_store;

/* Which of its addresses a node is reached by. */
enum weir_dcp_network {
	WEIR_DCP_NETWORK_AUTO, /* external when `hosts` names no node's own address and all nodes have one */
	WEIR_DCP_NETWORK_DEFAULT, /* the nodes' own */
	WEIR_DCP_NETWORK_EXTERNAL /* alternate addresses, where a node has one */
};

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
	uint32_t
		heartbeat_monitor_ms; /* how often the list is read; 0: 1000; at most half the tolerance */
	uint32_t heartbeat_expiry_s; /* COUCHBASE: of a member's document; 0: 120 */
	uint32_t member_timeout_ms;  /* of one request; 0: connect_timeout_ms, LEASE 2000 */
	uint32_t rebalance_delay_ms; /* 0: 3000, none for static and dynamic; WEIR_DCP_NO_DELAY */
	bool contiguous;             /* shares as go-dcp cuts them, not those that move least */
} weir_dcp_membership;

/* A place in a vBucket. seqno alone is enough: then it is of the branch that the server has there. With the other three
 * (as an event's info or track_offset gave them) a failover that lost it meanwhile is noticed and told. */
typedef struct weir_dcp_position {
	uint16_t vbucket;
	uint64_t seqno; /* what comes next lies above it; 0: from the beginning */
	uint64_t snapshot_start, snapshot_end, vbuuid; /* all 0: not known */
} weir_dcp_position;

/* When streams stop and start. A rebalance is an assignment after the first one that changes something:
 *
 *	BEFORE_REBALANCE_START  BEFORE_STREAM_STOP ─ stopped, saved ─ AFTER_STREAM_STOP   AFTER_REBALANCE_START
 *	BEFORE_REBALANCE_END    BEFORE_STREAM_START ─ asked for ─ AFTER_STREAM_START      AFTER_REBALANCE_END
 *
 * START is about what leaves, END about what comes; the STREAM hooks are left out when nothing leaves or comes. The first
 * assignment has only the START pair of the streams, close only their STOP pair, a seek both, without a rebalance. With a
 * rebalance delay, what leaves and what comes later are two rebalances. */
enum weir_dcp_hook {
	WEIR_DCP_BEFORE_STREAM_START,
	WEIR_DCP_AFTER_STREAM_START, /* the servers are asked; weir_dcp_wait_ready tells when they stream */
	WEIR_DCP_BEFORE_STREAM_STOP, /* acknowledgements still count: write out what is pending */
	WEIR_DCP_AFTER_STREAM_STOP,  /* they do not any more; the checkpoints are saved */
	WEIR_DCP_BEFORE_REBALANCE_START,
	WEIR_DCP_AFTER_REBALANCE_START,
	WEIR_DCP_BEFORE_REBALANCE_END,
	WEIR_DCP_AFTER_REBALANCE_END
};

enum weir_dcp_outcome {
	WEIR_DCP_SPAN_ACKED,
	WEIR_DCP_SPAN_NACKED, /* it comes again */
	WEIR_DCP_SPAN_VOID,   /* rolled back: it never happened */
	WEIR_DCP_SPAN_LEFT /* not acknowledged when its vBucket was handed over, moved or closed */
};

/* A span for each event, to its acknowledgement. start: on the polling thread, as the batch is handed out; attributes by
 * weir_dcp_event_info (vBucket, seqno, collection, ...), where came_ns says when the event came in, for spans that are to
 * begin there. What it returns is given to end, once, on the thread that acknowledges, nacks, assigns or closes; NULL: no
 * end is wanted (sampling). Neither may call anything that polls, acknowledges or closes. */
typedef struct weir_dcp_tracer {
	size_t size;
	void *arg;
	void *(*start)(void *arg, weir_dcp *d, const weir_dcp_event *ev);
	void (*end)(void *arg, void *span, enum weir_dcp_outcome outcome);
} weir_dcp_tracer;

#ifdef __cplusplus
}
#endif

#endif
