/* fake.h: a simulated Couchbase cluster: several nodes on loopback, the real protocol, scripted failures.
 *
 * It stands alone: it shares no wire code with the client it tests, so that no codec error hides on both sides. One
 * thread serves every node with epoll; a test in the same process scripts it through the functions below, which may be
 * called from any thread.
 *
 * Engine model (engine.c). A vBucket keeps its whole history as an array of items by seqno. Nothing is ever removed
 * from it but by a failover, so a version that a later one replaced comes back to life when the later one is lost.
 * Deduplication happens when a snapshot is cut: an item is left out when its key has a later version inside the same
 * snapshot. Each copy (0 the active, 1.. the replicas) knows how far it has the history (`have`) and how far that is on
 * its disk (`persisted`).
 *
 *	history   1 2 3 4 5 6 7 8 9
 *	copy 0    ..............|      have 9, persisted 7
 *	copy 1    ..........|          have 6, persisted 5     fail over to copy 1: 7, 8, 9 are lost,
 *	                                                       failover log gets (new uuid, 6)
 */
#ifndef TESTS_FAKE_COUCHBASE_FAKE_H
#define TESTS_FAKE_COUCHBASE_FAKE_H

#include "base/slice.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define FAKE_COPIES_MAX   4
#define FAKE_NODES_MAX    8
#define FAKE_FAILOVER_MAX 25
#define FAKE_RANGE_START  UINT64_C(0)
#define FAKE_NO_ANSWER    0xffff /* the status of a request that is not answered at all */

struct fake_options {
	unsigned nodes;          /* 0: 1 */
	unsigned vbuckets;       /* 0: 64; a power of two */
	unsigned replicas;       /* at most nodes - 1 */
	const char *bucket;      /* NULL: "default" */
	unsigned bucket_nodes;   /* only the first so many have it; 0: all. fake_add_node adds one */
	const char *user, *password; /* NULL: "Administrator", "password" */
	bool ephemeral;
	bool hold_persistence;   /* copies persist and replicate only when told */
	int persist_delay_ms;    /* without hold: how long after an item it is on the disk of every copy */
	uint16_t port;           /* the first KV port; 0: any free ones */
	unsigned checkpoint_items; /* items in a memory snapshot at most; 0: 500 */
	const char *tls_cert, *tls_key; /* PEM files; NULL: no TLS ports */
	uint16_t http_port;             /* of the first node; 0: as `port` says */
	const char *tls_ca;             /* client certificates that it signed log in: the common name is the user */
	bool tls_mandatory;             /* without such a certificate there is no TLS session */
	bool tls_12;                    /* no newer version of TLS */
	const char *reader, *reader_password; /* a second user, who may read and write but not stream; NULL: none */
	unsigned version;               /* 0: behaves as 7.2.9; 80: as 8.0, which has v2 markers and purge seqnos */
	bool magma;                     /* keeps history: change streams without deduplication */
	unsigned oso_items;             /* backfills of so many items come out of order where asked for; 0: none */
	unsigned http_ways;             /* to a map over HTTP: 0 all, 1 no "bs", 2 no streams at all */
	bool external;                  /* the nodes' own names lead nowhere: only the external network's addresses do */
	const char *scram_nonce, *scram_salt; /* the server's part, the salt in base64; NULL: random ones */
	unsigned cursor_items;          /* a stream that takes nothing while so many changes pile up loses its place in memory; 0: never */
	int dcp_idle_ms;                /* a DCP connection that says nothing for so long is closed; 0: only for unanswered noops */
	int expiry_pager_ms;            /* how often documents past their time are looked for; 0: 500 */
};

/* Of a bucket that comes later; the first one is as struct fake_options says. */
struct fake_bucket {
	const char *name;
	unsigned vbuckets;       /* 0: as the first bucket */
	unsigned replicas;
	unsigned nodes;          /* only the first so many have it; 0: all */
	bool ephemeral, magma;
	bool flush_enabled;      /* the management port may empty it */
	uint32_t max_ttl;        /* seconds a document lives at most; 0: for ever */
};

enum fake_vb_state { FAKE_VB_ACTIVE = 1, FAKE_VB_REPLICA, FAKE_VB_PENDING, FAKE_VB_DEAD };

struct fake;

struct fake *fake_start(const struct fake_options *o); /* NULL: could not listen */
void fake_stop(struct fake *f);
uint16_t fake_kv_port(struct fake *f, unsigned node);
uint16_t fake_kvs_port(struct fake *f, unsigned node);   /* TLS; 0 without */
uint16_t fake_http_port(struct fake *f, unsigned node);
uint16_t fake_https_port(struct fake *f, unsigned node);

/* ---- buckets and users ---- */

/* Every function below this part works on one bucket: the first, until another is chosen. */
bool fake_create_bucket(struct fake *f, const struct fake_bucket *b); /* false: there is one with the name, or too many */
bool fake_delete_bucket(struct fake *f, const char *name);            /* connections that selected it are closed */
bool fake_use_bucket(struct fake *f, const char *name);               /* false: there is none; as it was */

/* Roles as the management port writes them: "data_reader[orders],data_dcp_reader[*]"; users.c has the list. Streams of
 * who may not stream any more end with reason 8. NULL password: as it was. */
bool fake_set_user(struct fake *f, const char *name, const char *password, const char *roles);
bool fake_remove_user(struct fake *f, const char *name);

/* ---- data ---- */

/* Writes as a client would; collection id 0 is the default one. Returns the seqno. */
uint64_t fake_set(struct fake *f, unsigned vb, uint32_t cid, const char *key, struct slice value);
/* The same with the value as it is to lie there: compressed (datatype 2), with extended attributes before it (4). */
uint64_t fake_put(struct fake *f, unsigned vb, uint32_t cid, const char *key, struct slice value, uint8_t datatype);
uint64_t fake_delete(struct fake *f, unsigned vb, uint32_t cid, const char *key);
uint64_t fake_expire(struct fake *f, unsigned vb, uint32_t cid, const char *key);
/* The next change has this CAS and, if it deletes, this time: for golden vectors. */
void fake_stamp_next(struct fake *f, uint64_t cas, uint32_t delete_time);
unsigned fake_vb_of_key(struct fake *f, const char *key, size_t len);
uint64_t fake_high_seqno(struct fake *f, unsigned vb);

/* The history of a vBucket as it stands now, for oracles: each is called in seqno order. kind: 'm', 'd', 'e', 's'. */
void fake_history(struct fake *f, unsigned vb,
		  void (*each)(void *arg, uint64_t seqno, char kind, uint32_t cid, struct slice key, struct slice value),
		  void *arg);
struct fake_branch { uint64_t uuid, seqno; };
unsigned fake_failover_log(struct fake *f, unsigned vb, struct fake_branch out[FAKE_FAILOVER_MAX]); /* newest first */

/* ---- collections ---- */

uint32_t fake_create_scope(struct fake *f, const char *name);                     /* the id, 0: exists */
uint32_t fake_create_collection(struct fake *f, const char *scope, const char *name);
/* With a time to live (max_ttl seconds; 0 is one too), kept in history or not; on a magma bucket it is, unless no_history. */
struct fake_collection { const char *scope, *name; bool has_ttl; uint32_t max_ttl; bool history, no_history; };
uint32_t fake_create_collection_as(struct fake *f, const struct fake_collection *c);
bool fake_modify_collection(struct fake *f, const struct fake_collection *c);
bool fake_flush_collection(struct fake *f, const char *scope, const char *name);
/* What the next scope, collection and manifest are numbered from. */
void fake_number_collections(struct fake *f, uint64_t manifest_uid, uint32_t next_scope, uint32_t next_collection);
bool fake_drop_collection(struct fake *f, const char *scope, const char *name);
bool fake_drop_scope(struct fake *f, const char *name);

/* Replaces the failover log; newest first. */
void fake_set_failover_log(struct fake *f, unsigned vb, const struct fake_branch *log, unsigned n);

/* ---- persistence, failover, topology ---- */

void fake_hold_persistence(struct fake *f, bool hold);
void fake_persist(struct fake *f, unsigned vb, unsigned copy, uint64_t seqno);   /* up to seqno (UINT64_MAX: all); replicates first */
void fake_replicate(struct fake *f, unsigned vb, unsigned copy, uint64_t seqno);
/* The copy becomes the active one; what it has not is lost. Streams end with reason 2. */
void fake_failover_vb(struct fake *f, unsigned vb, unsigned copy);
void fake_failover_node(struct fake *f, unsigned node);    /* every vBucket whose active copy is there */
/* The active node crashed and came back with what was on its disk: same place, new branch. */
void fake_crash_vb(struct fake *f, unsigned vb);
void fake_move_vb(struct fake *f, unsigned vb, unsigned node); /* rebalance one vBucket, nothing is lost */
void fake_purge(struct fake *f, unsigned vb, uint64_t seqno);  /* tombstones up to seqno are gone */
void fake_flush_bucket(struct fake *f);                        /* recreated: new bucket uuid, empty history */
void fake_empty_bucket(struct fake *f);                        /* what the management port's flush does: same uuid, new branches */
/* The active copy's state. Pending: requests of documents wait until it changes, streams that do not insist on an
 * active one work. Dead: not this node's. Streams end with reason 2. */
void fake_set_vb_state(struct fake *f, unsigned vb, enum fake_vb_state state);
void fake_rotate_failover_log(struct fake *f, unsigned vb, unsigned n); /* so many more branches at the high seqno */
void fake_compact(struct fake *f, unsigned vb, uint64_t purge); /* expires, purges tombstones up to `purge`, frees old versions */
void fake_add_node(struct fake *f, unsigned node);             /* a node that had not the bucket is in its map from now on */
void fake_set_alternate_address(struct fake *f, unsigned node, const char *host, bool with_ports); /* NULL: none */
void fake_warmup(struct fake *f, bool on);                     /* STREAM_REQ and KV answer ETMPFAIL */
void fake_push_map(struct fake *f);                            /* a newer map, to who asked for notifications */
void fake_storm(struct fake *f, unsigned maps);                /* so many newer maps, one at each turn of the loop */

/* ---- faults ---- */

enum fake_fault_kind {
	FAKE_CUT_AFTER,      /* the connection is closed after `n` more bytes were sent to it */
	FAKE_STATUS,         /* the next `count` requests with `opcode` (on `vb` unless -1) are answered with `status` */
	FAKE_STREAM_END,     /* the stream of `vb` (-1: every one) ends now with reason `status` */
	FAKE_ROLLBACK,       /* the next `count` STREAM_REQ on `vb` are answered with a rollback to `n` */
	FAKE_SLOW,           /* every send to the node waits `n` ms */
	FAKE_STALL,          /* the node neither reads nor writes while `count` != 0 */
	FAKE_SPLIT,          /* sends at most `n` bytes in one write */
	FAKE_DROP_CURSOR,    /* the streams of `vb` are too slow: back to the disk, or ended with reason 4 where the client
	                      * did not allow that */
	FAKE_DOWN,           /* while `count` != 0 the node has no connections: they are closed, new ones at once */
	FAKE_REPEAT,         /* the streams of `vb` send their last snapshot once more, marker and all */
	FAKE_DEAF,           /* while `count` != 0 the node reads nothing; it still writes */
	FAKE_CUT_NEXT,       /* the next `count` connections to the node are closed after `n` bytes were sent to them */
	FAKE_CUT_INPUT,      /* the same after `n` bytes came from them: the rest is never looked at */
	FAKE_REKEY,          /* after each `n` bytes sent, a connection with TLS changes its keys, the client's, too: 1.3 with
	                      * a key update, 1.2 with a new handshake. 0: no more */
	FAKE_UNKNOWN,        /* the streams of `vb` send a message with the opcode `opcode`, with `n` bytes of value */
	FAKE_GARBLE,         /* of what the node sends about one byte in `n` is another; 0: none. `count` seeds */
};

struct fake_fault {
	enum fake_fault_kind kind;
	int node;            /* -1: every node */
	int vb;              /* -1: every vBucket */
	uint8_t opcode;
	uint16_t status;
	uint64_t n;
	unsigned count;
};

void fake_fault(struct fake *f, const struct fake_fault *fault);
void fake_clear_faults(struct fake *f);
void fake_drop_connections(struct fake *f, int node);   /* -1: all */

struct fake_stats {
	uint64_t connections, dcp_opens, stream_requests, rollbacks, noops_sent, noops_answered, items_sent, bytes_sent;
	uint64_t buffer_acks, unacked_max, observes, idle_kills, cursor_drops;
	uint64_t rekeys;     /* the client's part of a change of keys, begun by FAKE_REKEY */
	uint64_t maps_asked, maps_sent; /* on the data service, by request */
};
void fake_stats(struct fake *f, struct fake_stats *out);

#endif
