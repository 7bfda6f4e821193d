/* dcp_status.h: where a Couchbase client stands: totals, each vBucket, each node, its member number, metrics; and where a
 * group's checkpoints stand while no client runs.
 *
 * Thread: any, also beside a poll or a run. Structs are filled as far as the `size` says that the caller set.
 */
#ifndef WEIR_DCP_STATUS_H
#define WEIR_DCP_STATUS_H

#include "weir/dcp.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weir_dcp_stats {
	size_t size; /* set by the caller */
	uint32_t vbuckets, assigned, streaming, ended, nodes, connected;
	uint64_t reconnects, saves, save_failures;
	uint64_t events, rollbacks;
	uint64_t
		lag; /* of all vBuckets: high seqnos (as weir_dcp_vbucket.high) minus acknowledged ones */
	char last_error[256];
	uint64_t mutations, deletions, expirations; /* together: events */
	uint64_t held;                              /* by mitigation */
	uint64_t in_flight; /* handed out or about to be, and not acknowledged */
	uint64_t reopens, rebalances;
	uint32_t last_save_vbuckets; /* how many checkpoints the last save wrote, */
	uint32_t last_save_ms;       /* and how long that took */
	uint32_t paused;             /* vBuckets */
	bool queued; /* events wait for weir_dcp_poll; also while it has none to give, as a first checkpoint is being saved */
	int64_t map_epoch, map_rev; /* of the cluster map; each newer one is greater */
	bool map_over_http; /* it comes from the management service: the data service hands out none */
	bool ephemeral;     /* the bucket is in memory only, so that mitigation is off */
} weir_dcp_stats;
/* INVALID, NOMEM. */
WEIR_API int weir_dcp_stats_get(weir_dcp *d, weir_dcp_stats *out);

typedef struct weir_dcp_vbucket {
	size_t size; /* of what weir filled */
	uint16_t vbucket;
	uint16_t last_status; /* what the server answered to the last request; 0 ok */
	int node;             /* that serves it, as in weir_dcp_node; -1 none */
	const char *state;    /* "idle", "waiting", "opening", "streaming", "paused", "done", ...; static */
	weir_dcp_position received, acknowledged;
	uint64_t
		high; /* the server's, of the collections that are streamed; asked for every high_seqno_ms */
	uint64_t
		lag; /* high - acknowledged.seqno, at least 0. Seqnos: deletions and replaced versions count */
	uint64_t persisted; /* what enough copies have on disk; 0: not asked for, or not known */
	uint64_t held;      /* events held back by mitigation */
	uint64_t in_flight; /* events handed out, or about to be, and not acknowledged */
	uint64_t mutations, deletions, expirations, reopens, rollbacks;
} weir_dcp_vbucket;
/* Every assigned vBucket, in order; one moment for all. each may return non-zero to stop: that is returned. */
WEIR_API int weir_dcp_vbucket_each(weir_dcp *d, int (*each)(void *arg, const weir_dcp_vbucket *v),
				   void *arg, weir_error *e);

typedef struct weir_dcp_node {
	size_t size; /* of what weir filled */
	int node;
	const char *address; /* "host:port"; valid during the call */
	bool connected;
	uint32_t vbuckets;               /* assigned ones that it serves */
	uint64_t unacknowledged, window; /* bytes of flow control: outstanding, and at most */
} weir_dcp_node;
/* Every node of the cluster map that has the data service. As weir_dcp_vbucket_each. */
WEIR_API int weir_dcp_node_each(weir_dcp *d, int (*each)(void *arg, const weir_dcp_node *n),
				void *arg, weir_error *e);

/* ---- members of the group ---- */

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
/* INVALID: opened without a membership. */
WEIR_API int weir_dcp_member_get(weir_dcp *d, weir_dcp_member *out, weir_error *e);

/* A member of a group with a list: *COUCHBASE and LEASE. */
typedef struct weir_dcp_peer {
	size_t size;
	const char *id;  /* until `each` returns */
	uint32_t member; /* its number, from 1; 0: it has shown itself and is not on the list yet */
	uint32_t total;  /* of the list */
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

/* ---- metrics ---- */

enum weir_dcp_metric_names {
	WEIR_DCP_METRICS_WEIR, /* weir_dcp_..., with label vbucket, in Prometheus's units, with histograms */
	WEIR_DCP_METRICS_GODCP, /* cbgo_..., with label vbId: what dashboards of go-dcp ask for; same meanings and units,
				  but for cbgo_agent_queue_*, which are bytes of flow control: weir queues no requests */
	WEIR_DCP_METRICS_BOTH
};

/* Appends everything as Prometheus's text format (version 0.0.4): about ten lines for each assigned vBucket, and totals.
 * Nothing is asked of the servers. docs/manual/couchbase.md lists the names. INVALID, NOMEM. */
WEIR_API int weir_dcp_metrics(weir_dcp *d, enum weir_dcp_metric_names names, weir_buffer *out,
			      weir_error *e);

/* ---- where a group stands ---- */

typedef struct weir_dcp_place {
	size_t size; /* of what weir filled */
	uint16_t vbucket;
	bool found;             /* there is a checkpoint */
	uint64_t seqno, vbuuid; /* of the checkpoint; 0 without */
	uint64_t high;          /* the server's */
	uint64_t lag;           /* high - seqno, or 0 when the checkpoint is ahead */
	bool ahead; /* the checkpoint lies above high: a failover lost items that the group has seen */
	bool foreign; /* it is of another bucket */
	bool damaged; /* there is one, or may have been, that cannot be read */
	uint64_t snapshot_start, snapshot_end; /* of the checkpoint */
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
