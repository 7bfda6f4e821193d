/* internal.h: what the fake's files share. Everything here is guarded by struct fake's lock. */
#ifndef TESTS_FAKE_COUCHBASE_INTERNAL_H
#define TESTS_FAKE_COUCHBASE_INTERNAL_H

#include "tests/fake/couchbase/fake.h"

#include "base/buf.h"

#include <openssl/ssl.h>

enum item_kind { ITEM_MUTATION = 'm', ITEM_DELETION = 'd', ITEM_EXPIRATION = 'e', ITEM_SYSTEM = 's' };

enum { NAME_MAX_ = 104, USERS_MAX = 32, ROLES_MAX = 12, BUCKETS_MAX = 16 };

struct item {
	uint64_t seqno, rev, cas;
	char *key;                  /* one allocation: the key, then the value */
	uint8_t *value;
	uint32_t key_len, value_len;
	uint64_t next;              /* seqno of the next version of the key, 0: none */
	uint64_t prev;              /* seqno of the version before, 0: none */
	int64_t made_ms;
	uint32_t flags, expiry, cid;
	uint32_t delete_time;
	enum item_kind kind;
	uint8_t datatype;
	uint64_t flushed;           /* by the event with this seqno its collection was flushed or dropped; 0: no */
	bool compacted;             /* nothing can bring it back: its bytes are gone */
	uint8_t system_event;       /* ITEM_SYSTEM: 0 create, 1 drop, 3 create scope, 4 drop scope, 5 modify */
	bool has_ttl, history;      /* ITEM_SYSTEM: the collection's */
	uint32_t sid;               /* ITEM_SYSTEM: the scope */
	uint32_t max_ttl;
	uint64_t flush_uid;
	uint64_t manifest_uid;
};

/* Of one copy on one node; a copy that is absent has node -1. */
struct copy {
	int node;
	uint64_t have, persisted;
};

struct vb {
	struct item *item;          /* by seqno: item[i].seqno == i + 1 */
	size_t n, cap;
	uint64_t purge_seqno;
	uint64_t max_deleted_rev;
	enum fake_vb_state state;   /* of copy 0; the others are replicas */
	struct fake_branch log[FAKE_FAILOVER_MAX]; /* newest first */
	unsigned n_log;
	struct copy copy[FAKE_COPIES_MAX];
	bool dirty;                 /* some copy has not everything, or not on disk */
	uint32_t next_expiry;       /* no document expires before; 0: none at all */
	/* key -> seqno of its latest version: open addressing over item keys */
	uint64_t *slot;
	size_t n_slots, n_keys;
};

struct collection {
	uint32_t id, scope;
	char name[NAME_MAX_];
	bool dropped, has_ttl, history;
	uint32_t max_ttl;
	uint64_t flush_uid;
};

struct scope {
	uint32_t id;
	char name[NAME_MAX_];
	bool dropped;
};

/* What one bucket is. The script's functions work on one at a time (fake_use_bucket). */
struct bucket {
	struct fake *f;
	char name[NAME_MAX_], uuid[40];
	bool ephemeral, magma, flush_enabled, warming_up, hold, gone;
	unsigned n_vbs, replicas;
	uint32_t nodes;             /* a bit for each that has it */
	uint32_t max_ttl;
	struct vb *vb;
	uint16_t *dirty;            /* the vBuckets that are */
	unsigned n_dirty;
	int64_t rev;                /* of its map */
	struct scope scope[256];
	struct collection coll[512];
	unsigned n_scopes, n_colls;
	uint32_t next_cid, next_sid;
	uint64_t manifest_uid;
};

/* What a user may do with a bucket. */
enum {
	MAY_READ = 1,
	MAY_WRITE = 2,
	MAY_META = 4,
	MAY_STAT = 8,
	MAY_STREAM = 16,
	MAY_MANAGE = 32,            /* its scopes and collections, by HTTP */
	MAY_ADMIN = 64,             /* buckets, users, the cluster */
	MAY_VIEW = 128,             /* its configuration, by HTTP */
	MAY_DATA = MAY_READ | MAY_WRITE | MAY_META | MAY_STAT | MAY_STREAM,
};

struct role {
	unsigned may;
	char bucket[NAME_MAX_];     /* "*": every */
};

struct user {
	char name[64], password[64];
	char roles_text[200];
	struct role role[ROLES_MAX];
	unsigned n_roles;
	bool removed;
};

struct conn;

struct node {
	int index;
	int kv_fd, kvs_fd, http_fd, https_fd;
	uint16_t kv_port, kvs_port, http_port, https_port;
	bool failed;                /* failed over: listens no more in the map */
	bool stalled, deaf, down;
	uint64_t slow_ms, split, garble, rekey;
	unsigned garble_seed;
	struct fake_fault cut_next, cut_input; /* while their count is not 0 */
	char alternate[64];         /* host of the external network; "": none */
	uint16_t alternate_kv, alternate_mgmt, alternate_kvs, alternate_mgmts; /* 0: the usual ones */
	struct conn *conns;
};

enum { FAULTS_MAX = 64 };

struct fake {
	pthread_mutex_t lock;
	pthread_t thread;
	bool stopping;
	int epoll_fd, wake_fd, spare_fd;
	struct fake_options o;
	struct user user[USERS_MAX];  /* 0: who may do everything */
	unsigned n_users;
	struct bucket *bucket[BUCKETS_MAX];
	unsigned n_buckets;
	struct bucket *script;        /* what the script's functions work on; NULL: there is none */
	struct node node[FAKE_NODES_MAX];
	int64_t rev;                  /* the newest of all maps */
	uint64_t cas, uuid_state;
	uint64_t stamp_cas;           /* of the next change; 0: the clock's */
	uint32_t stamp_time;
	struct fake_fault fault[FAULTS_MAX];
	unsigned n_faults;
	struct fake_stats stats;
	SSL_CTX *tls;
	int64_t now_ms, expiry_checked;
	unsigned storm;               /* this many more maps, one each turn of the loop */
};

/* ---- engine.c ---- */

uint64_t engine_random(struct fake *f);
void engine_init(struct bucket *b);
void engine_done(struct bucket *b);
void engine_reset(struct bucket *b);
struct item *engine_find(struct bucket *b, unsigned vb, uint32_t cid, const void *key, size_t len); /* the latest version, tombstones too */
struct item *engine_append(struct bucket *b, unsigned vb, enum item_kind kind, uint32_t cid, const void *key, size_t len,
			   struct slice value, uint8_t datatype, uint32_t flags, uint32_t expiry);
struct item *engine_system(struct bucket *b, unsigned vb, uint8_t event, uint32_t sid, const struct collection *coll, const char *name);
const struct item *engine_event_of(const struct bucket *b, unsigned vb, bool of_scope, uint32_t sid, uint32_t cid); /* the last one; NULL: none */
void engine_flush_collection(struct bucket *b, unsigned vb, uint32_t cid); /* its documents are gone, without deletions */
void engine_truncate(struct bucket *b, unsigned vb, uint64_t high);   /* loses what is above; no new branch */
void engine_branch(struct bucket *b, unsigned vb);                    /* a new failover entry at the high seqno */
void engine_touch(struct bucket *b, unsigned vb);                     /* a copy may lag */
void engine_compact(struct bucket *b, unsigned vb, uint64_t purge);   /* expires, purges tombstones up to it, frees what cannot come back */
struct item *engine_live(struct bucket *b, unsigned vb, uint32_t cid, const void *key, size_t len); /* NULL: none; one past its time expires now */
uint32_t engine_expiry(struct bucket *b, uint32_t cid, uint32_t expiry); /* absolute, within what the collection allows */
void engine_tick(struct fake *f);                                     /* replication, persistence, expiry */
uint64_t engine_cas(struct fake *f);
unsigned engine_vb_of(unsigned n_vbs, const void *key, size_t len);
static inline uint64_t vb_high(const struct vb *v) { return v->n; }

/* ---- topology.c ---- */

void topology_init(struct bucket *b);
void topology_map(struct bucket *b, int node, struct buf *out);       /* terse JSON for the bucket */
void topology_node_services(struct fake *f, int node, struct buf *out);
void topology_manifest(struct bucket *b, struct buf *out);
void topology_changed(struct bucket *b);                              /* rev++, push */
void topology_all_changed(struct fake *f);
struct collection *topology_collection(struct bucket *b, uint32_t cid);
struct collection *topology_named(struct bucket *b, const char *scope, const char *name);
struct scope *topology_scope(struct bucket *b, const char *name);
static inline bool topology_has(const struct bucket *b, int node) { return b->nodes >> node & 1; }

/* ---- collections.c: the lock is held ---- */

uint32_t collections_create_scope(struct bucket *b, const char *name); /* 0: exists */
uint32_t collections_create(struct bucket *b, const struct fake_collection *as);
bool collections_modify(struct bucket *b, const struct fake_collection *as);
bool collections_flush(struct bucket *b, const char *scope, const char *name);
bool collections_drop(struct bucket *b, const char *scope, const char *name);
bool collections_drop_scope(struct bucket *b, const char *name);
void collections_announce(struct bucket *b);                          /* their events again, after a flush of the bucket */

void collections_repair(struct bucket *b, unsigned vb);               /* the events that a failover lost */

/* ---- control.c ---- */

void lock(struct fake *f);
void unlock(struct fake *f); /* and wakes the loop */

/* ---- buckets.c: the lock is held ---- */

struct bucket *bucket_named(struct fake *f, struct slice name);
struct bucket *bucket_create(struct fake *f, const struct fake_bucket *o); /* NULL: exists, or too many */
void bucket_delete(struct bucket *b);   /* its connections, too */
void bucket_recreate(struct bucket *b); /* deleted and made again: another uuid */
void bucket_flush(struct bucket *b);    /* empty; same uuid, same collections */
void buckets_reap(struct fake *f);      /* frees what was deleted; no connection may be left */

/* ---- users.c ---- */

struct user *user_named(struct fake *f, const char *name);
bool user_set(struct fake *f, const char *name, const char *password, const char *roles); /* NULL password: as it was */
bool user_remove(struct fake *f, const char *name);
unsigned user_may(const struct user *u, const struct bucket *b); /* NULL bucket: in any */
struct user *user_of_certificate(struct fake *f, SSL *ssl, bool *has_one);
void users_json(struct fake *f, struct buf *out);

/* ---- server.c: connections ---- */

enum conn_kind { CONN_KV, CONN_HTTP };

struct stream {
	bool open;
	unsigned vb;
	uint16_t sid;
	bool has_sid;
	uint32_t opaque, flags;
	uint64_t start, end;          /* requested */
	uint64_t at;                  /* last seqno looked at */
	uint64_t snap_from;           /* where the last snapshot was cut */
	uint64_t snap_end;            /* of the snapshot being sent; at == snap_end: none */
	bool backfilled;              /* the first snapshot was cut */
	bool disk;
	bool initial;                 /* the snapshot is the first backfill of a stream from 0 */
	bool filtered;                /* a collections or scope filter */
	bool all;                     /* everything, with system events */
	uint32_t cid[64];
	unsigned n_cids;
	bool by_scope;
	uint32_t scope_id;
	uint64_t last_sent;
	bool replica;                 /* of a vBucket that is not active here */
	uint64_t *oso;                /* what is left of an out-of-order snapshot, by key; NULL: none */
	size_t n_oso, oso_at;
	uint64_t oso_max;
};

struct conn {
	struct conn *next;
	struct node *node;
	enum conn_kind kind;
	int fd;
	SSL *ssl;
	bool tls_ready, closing, dead;
	uint64_t since_rekey;         /* bytes sent */
	struct buf in, out;
	size_t out_at;
	uint32_t events;
	int64_t send_after_ms;
	int64_t heard_ms;             /* when it said something last */
	uint64_t cut_after;           /* bytes to it; UINT64_MAX: never */
	uint64_t cut_input;           /* bytes from it; UINT64_MAX: never */
	bool parked;                  /* its next request waits for a pending vBucket */
	bool full;                    /* its next request waits until the answers before are read */
	/* HELLO */
	bool snappy, json, xattr, xerror, collections, duplex, map_push, map_brief, mutation_seqno, known_version, alt, tracing, dedupe_maps, skip_deletes;
	bool sync_writes;
	int64_t map_rev;              /* the newest map that this connection was told */
	/* session */
	int auth;                     /* 0 no, 1 in the middle of SCRAM, 2 yes */
	struct user *user;            /* who logs in */
	uint8_t salt[64];
	size_t salt_len;
	char scram[1200];             /* client-first-bare , server-first */
	char nonce[320];              /* the client's, then the server's */
	int scram_hash;               /* 1, 256, 512 */
	struct bucket *b;             /* selected; NULL: none */
	/* DCP */
	bool is_dcp;
	char name[201];
	uint32_t dcp_flags;
	bool noop, expiry_opcode, end_on_close, stream_ids, oso, oso_advanced, force_snappy, v7_codes;
	bool flatbuffers, change_streams, cursor_dropping;
	unsigned marker;              /* the newest marker format allowed: 10, 20 or 22 */
	int64_t noop_ms, noop_due, noop_sent;
	uint64_t window, unacked;
	struct stream *stream;
	unsigned n_streams, cap_streams, turn;
	/* HTTP */
	bool http_stream;             /* the answer is a stream of b's maps, or the cluster's when b is NULL */
};

void conn_close(struct conn *c);
void conn_send(struct conn *c, const void *p, size_t len);

/* ---- kv.c ---- */

struct packet {
	uint8_t magic, opcode, datatype;
	uint16_t vb;                  /* vBucket or status */
	uint32_t opaque;
	uint64_t cas;
	struct slice framing, extras, key, value;
};

enum {
	ST_OK = 0,
	ST_ENOENT = 1,
	ST_EXISTS = 2,
	ST_E2BIG = 3,
	ST_EINVAL = 4,
	ST_NOT_STORED = 5,
	ST_DELTA_BADVAL = 6,
	ST_NMVB = 7,
	ST_NO_BUCKET = 8,
	ST_LOCKED = 9,
	ST_CONFIG_ONLY = 0x0d,
	ST_AUTH_ERROR = 0x20,
	ST_AUTH_CONTINUE = 0x21,
	ST_ERANGE = 0x22,
	ST_ROLLBACK = 0x23,
	ST_EACCESS = 0x24,
	ST_UNKNOWN_FRAME = 0x80,
	ST_UNKNOWN_COMMAND = 0x81,
	ST_NOT_SUPPORTED = 0x83,
	ST_TMPFAIL = 0x86,
	ST_UNKNOWN_COLLECTION = 0x88,
	ST_UNKNOWN_SCOPE = 0x8c,
	ST_STREAM_ID = 0x8d,
	ST_DURABILITY_LEVEL = 0xa0,
	ST_DURABILITY_IMPOSSIBLE = 0xa1,
};

/* Where a request's vBucket is. Answered already unless it is here; KV_LATER: to be looked at again when it is not
 * pending any more. */
enum kv_where { KV_HERE, KV_ANSWERED, KV_LATER };

bool kv_on_bytes(struct fake *f, struct conn *c);   /* false: close */
void kv_respond(struct conn *c, const struct packet *req, uint16_t status, struct slice extras, struct slice key,
		struct slice value, uint8_t datatype, uint64_t cas);
void kv_error(struct fake *f, struct conn *c, const struct packet *req, uint16_t status, const char *context);
void kv_status(struct fake *f, struct conn *c, const struct packet *req, uint16_t status);
void kv_not_my_vbucket(struct fake *f, struct conn *c, const struct packet *req);
void kv_push_map(struct fake *f, struct conn *c);
enum kv_where kv_here(struct fake *f, struct conn *c, const struct packet *p);
bool kv_framing(const struct packet *p, unsigned id, struct slice *data); /* an element of the framing extras */
bool kv_fault_status(struct fake *f, struct conn *c, const struct packet *p); /* answered by a scripted fault */

/* ---- kv_hello.c ---- */

void session_hello(struct fake *f, struct conn *c, const struct packet *p);
void session_error_map(struct fake *f, struct conn *c, const struct packet *p);
void session_select(struct fake *f, struct conn *c, const struct packet *p);
void session_config(struct fake *f, struct conn *c, const struct packet *p);

/* ---- kv_doc.c ---- */

void doc_request(struct fake *f, struct conn *c, const struct packet *p);
void doc_mutated(struct fake *f, struct conn *c, const struct packet *p, const struct item *it, struct slice value);

/* ---- kv_ask.c ---- */

void ask_all_seqnos(struct fake *f, struct conn *c, const struct packet *p);
void ask_observe_seqno(struct fake *f, struct conn *c, const struct packet *p);
void ask_collection_id(struct fake *f, struct conn *c, const struct packet *p);
void ask_manifest(struct fake *f, struct conn *c, const struct packet *p);
void ask_failover_log(struct fake *f, struct conn *c, const struct packet *p);
void ask_stats(struct fake *f, struct conn *c, const struct packet *p);

/* ---- kv_admin.c ---- */

void admin_request(struct fake *f, struct conn *c, const struct packet *p);

/* ---- dcp_open.c ---- */

enum { OPEN_XATTR = 0x04, OPEN_NO_VALUE = 0x08, OPEN_DELETE_TIMES = 0x20, OPEN_NO_VALUE_DATATYPE = 0x40,
       OPEN_SKIP_DELETES = 0x200 };

void dcp_open(struct fake *f, struct conn *c, const struct packet *p);
uint16_t dcp_control(struct fake *f, struct conn *c, struct slice key, const char *value); /* the status */

/* ---- dcp_message.c ---- */

enum {
	SNAP_MEMORY = 0x01,
	SNAP_DISK = 0x02,
	SNAP_CHECKPOINT = 0x04,
	SNAP_HISTORY = 0x10,
	SNAP_DUPLICATES = 0x20,
};

void dcp_message(struct fake *f, struct conn *c, const struct stream *s, uint8_t opcode, struct slice extras, struct slice key,
		 struct slice value);
void dcp_send_u32(struct fake *f, struct conn *c, const struct stream *s, uint8_t opcode, uint32_t v);
void dcp_send_advanced(struct fake *f, struct conn *c, const struct stream *s, uint64_t seqno);
void dcp_send_marker(struct fake *f, struct conn *c, const struct stream *s, uint64_t start, uint64_t end, uint32_t flags);
void dcp_send_item(struct fake *f, struct conn *c, struct stream *s, const struct item *it);

/* ---- dcp_filter.c ---- */

enum {
	REQ_DISK_ONLY = 0x02,
	REQ_TO_LATEST = 0x04,
	REQ_ACTIVE_ONLY = 0x10,
	REQ_STRICT = 0x20,
	REQ_IGNORE_PURGED = 0x80,
	REQ_KNOWN = REQ_DISK_ONLY | REQ_TO_LATEST | REQ_ACTIVE_ONLY | REQ_STRICT | REQ_IGNORE_PURGED,
};

struct dcp_asked {
	uint64_t start, end, uuid, snap_start, snap_end;
	uint32_t flags;
	bool knows_purge; /* the value named a purge seqno */
	uint64_t purge_seqno;
};

/* The value of a stream request into the stream; a status. */
uint16_t dcp_filter(struct conn *c, struct stream *s, struct dcp_asked *r, struct slice value);
bool dcp_wanted(const struct conn *c, const struct stream *s, const struct item *it); /* by the filter alone */

/* ---- dcp_stream.c ---- */

uint64_t dcp_copy_high(const struct conn *c, const struct stream *s); /* how far the copy on this node is */
void dcp_end(struct fake *f, struct conn *c, struct stream *s, uint32_t reason);
void dcp_close(struct stream *s); /* without a word */

/* ---- dcp.c ---- */

bool dcp_request(struct fake *f, struct conn *c, const struct packet *p); /* true: it was one of DCP's */
void dcp_pump(struct fake *f, struct conn *c);
void dcp_tick(struct fake *f, struct conn *c);
void dcp_free(struct conn *c);
void dcp_unknown(struct bucket *b, const struct fake_fault *x);
size_t dcp_failover_log(const struct bucket *b, unsigned vb, uint8_t out[16 * FAKE_FAILOVER_MAX]); /* the length */
void dcp_drop_cursor(struct bucket *b, int vb);
void dcp_repeat(struct bucket *b, int vb);
void dcp_end_streams(struct bucket *b, int vb, uint32_t reason); /* vb -1: of every one */
void dcp_end_all(struct fake *f, struct conn *c, uint32_t reason); /* of one connection */

/* ---- sysevent.c ---- */

enum { SYSTEM_EVENT_MAX = 256 };

/* The value of a system event into `out`; its version is returned. */
uint8_t sysevent_value(const struct item *it, bool flatbuffers, uint8_t out[SYSTEM_EVENT_MAX], size_t *len);

/* ---- sasl.c, http.c, subdoc.c ---- */

bool sasl_certificate(struct fake *f, struct conn *c); /* who the TLS client's certificate says it is; false: nobody, close */
void sasl_request(struct fake *f, struct conn *c, const struct packet *p);
bool http_on_bytes(struct fake *f, struct conn *c);
void http_push_map(struct fake *f, struct conn *c); /* the next block of a stream of maps */
void subdoc_request(struct fake *f, struct conn *c, const struct packet *p, uint32_t cid, struct slice key);

#endif
