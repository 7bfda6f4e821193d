/* internal.h: what the fake's files share. Everything here is guarded by struct fake's lock. */
#ifndef TESTS_FAKE_COUCHBASE_INTERNAL_H
#define TESTS_FAKE_COUCHBASE_INTERNAL_H

#include "tests/fake/couchbase/fake.h"

#include "base/buf.h"

#include <openssl/ssl.h>

enum item_kind { ITEM_MUTATION = 'm', ITEM_DELETION = 'd', ITEM_EXPIRATION = 'e', ITEM_SYSTEM = 's' };

struct item {
	uint64_t seqno, rev, cas;
	uint32_t flags, expiry, cid;
	uint32_t delete_time;
	enum item_kind kind;
	uint8_t datatype;
	uint8_t system_event;       /* ITEM_SYSTEM: 0 create, 1 drop, 3 create scope, 4 drop scope */
	uint32_t sid;               /* ITEM_SYSTEM: the scope */
	bool has_ttl, history;      /* ITEM_SYSTEM: the collection's */
	uint32_t max_ttl;
	uint64_t flush_uid;
	uint64_t manifest_uid;
	char *key;
	size_t key_len;
	uint8_t *value;
	size_t value_len;
	uint64_t next;              /* seqno of the next version of the key, 0: none */
	uint64_t prev;              /* seqno of the version before, 0: none */
	bool flushed;               /* its collection was flushed since */
	int64_t made_ms;
};

struct copy {
	int node;                   /* -1: absent */
	uint64_t have, persisted;
};

struct vb {
	struct item *item;          /* by seqno: item[i].seqno == i + 1 */
	size_t n, cap;
	uint64_t purge_seqno;
	uint64_t max_deleted_rev;
	struct fake_branch log[FAKE_FAILOVER_MAX]; /* newest first */
	unsigned n_log;
	struct copy copy[FAKE_COPIES_MAX];
	/* key -> seqno of its latest version: open addressing over item keys */
	uint64_t *slot;
	size_t n_slots, n_keys;
};

struct collection {
	uint32_t id, scope;
	char name[64];
	bool dropped, has_ttl, history;
	uint32_t max_ttl;
	uint64_t flush_uid;
};

struct scope {
	uint32_t id;
	char name[64];
	bool dropped;
};

struct conn;

struct node {
	int index;
	struct fake_fault cut_next, cut_input; /* while their count is not 0 */
	int kv_fd, kvs_fd, http_fd, https_fd;
	uint16_t kv_port, kvs_port, http_port, https_port;
	bool failed;                /* failed over: listens no more in the map */
	bool stalled, down;
	uint64_t slow_ms, split;
	struct conn *conns;
};

enum { FAULTS_MAX = 64 };

struct fake {
	pthread_mutex_t lock;
	pthread_t thread;
	bool stopping;
	int epoll_fd, wake_fd;
	struct fake_options o;
	char bucket[64], user[64], password[64], reader[64], reader_password[64], bucket_uuid[40];
	struct node node[FAKE_NODES_MAX];
	struct vb *vb;
	struct scope scope[256];
	struct collection coll[512];
	unsigned n_scopes, n_colls;
	uint32_t next_cid, next_sid;
	uint64_t manifest_uid;
	int64_t rev;
	uint64_t cas, uuid_state;
	uint64_t stamp_cas;           /* of the next change; 0: the clock's */
	uint32_t stamp_time;
	bool warming_up, hold;
	struct fake_fault fault[FAULTS_MAX];
	unsigned n_faults;
	struct fake_stats stats;
	SSL_CTX *tls;
	int64_t now_ms, expiry_checked;
};

/* ---- engine.c ---- */

void engine_init(struct fake *f);
void engine_done(struct fake *f);
void engine_reset(struct fake *f);
struct item *engine_find(struct fake *f, unsigned vb, uint32_t cid, const void *key, size_t len); /* the latest version, tombstones too */
struct item *engine_append(struct fake *f, unsigned vb, enum item_kind kind, uint32_t cid, const void *key, size_t len,
			   struct slice value, uint8_t datatype, uint32_t flags, uint32_t expiry);
struct item *engine_system(struct fake *f, unsigned vb, uint8_t event, uint32_t sid, const struct collection *coll, const char *name);
void engine_flush_collection(struct fake *f, unsigned vb, uint32_t cid); /* its documents are gone, without deletions */
void engine_truncate(struct fake *f, unsigned vb, uint64_t high);   /* loses what is above; no new branch */
void engine_branch(struct fake *f, unsigned vb);                    /* a new failover entry at the high seqno */
void engine_tick(struct fake *f);                                   /* replication, persistence, expiry */
uint64_t engine_cas(struct fake *f);
unsigned engine_vb_of(struct fake *f, const void *key, size_t len);
static inline uint64_t vb_high(const struct vb *v) { return v->n; }

/* ---- topology.c ---- */

void topology_init(struct fake *f);
void topology_map(struct fake *f, int node, struct buf *out);       /* terse JSON for the bucket */
void topology_node_services(struct fake *f, int node, struct buf *out);
void topology_manifest(struct fake *f, struct buf *out);
void topology_changed(struct fake *f);                              /* rev++, push */
struct collection *topology_collection(struct fake *f, uint32_t cid);
struct collection *topology_named(struct fake *f, const char *scope, const char *name);
struct scope *topology_scope(struct fake *f, const char *name);

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
	struct buf in, out;
	size_t out_at;
	uint32_t events;
	int64_t send_after_ms;
	uint64_t cut_after;           /* bytes to it; UINT64_MAX: never */
	uint64_t cut_input;           /* bytes from it; UINT64_MAX: never */
	/* HELLO */
	bool snappy, json, xattr, xerror, collections, duplex, map_push, map_brief, mutation_seqno, known_version, alt, tracing, dedupe_maps;
	int64_t map_rev;              /* the newest map that this connection was told */
	/* session */
	int auth;                     /* 0 no, 1 in the middle of SCRAM, 2 yes */
	bool no_dcp_privilege;
	const char *user, *password;  /* who logs in */
	uint8_t salt[64];
	size_t salt_len;
	char scram[640];              /* client-first-bare , server-first */
	char nonce[128];
	int scram_hash;               /* 1, 256, 512 */
	bool has_bucket;
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
	bool http_stream;
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

bool kv_on_bytes(struct fake *f, struct conn *c);   /* false: close */
void kv_respond(struct conn *c, const struct packet *req, uint16_t status, struct slice extras, struct slice key,
		struct slice value, uint8_t datatype, uint64_t cas);
void kv_error(struct fake *f, struct conn *c, const struct packet *req, uint16_t status, const char *context);
void kv_status(struct fake *f, struct conn *c, const struct packet *req, uint16_t status);
void kv_not_my_vbucket(struct fake *f, struct conn *c, const struct packet *req);
void kv_push_map(struct fake *f, struct conn *c);
bool kv_fault_status(struct fake *f, struct conn *c, const struct packet *p); /* answered by a scripted fault */

/* ---- dcp_open.c ---- */

enum { OPEN_XATTR = 0x04, OPEN_NO_VALUE = 0x08, OPEN_DELETE_TIMES = 0x20, OPEN_NO_VALUE_DATATYPE = 0x40 };

void dcp_open(struct fake *f, struct conn *c, const struct packet *p);
uint16_t dcp_control(struct fake *f, struct conn *c, struct slice key, const char *value); /* the status */

/* ---- dcp.c ---- */

bool dcp_request(struct fake *f, struct conn *c, const struct packet *p); /* true: it was one of DCP's */
void dcp_pump(struct fake *f, struct conn *c);
void dcp_tick(struct fake *f, struct conn *c);
void dcp_free(struct conn *c);
void dcp_unknown(struct fake *f, const struct fake_fault *x);
size_t dcp_failover_log(struct fake *f, unsigned vb, uint8_t out[16 * FAKE_FAILOVER_MAX]); /* the length */
void dcp_drop_cursor(struct fake *f, unsigned vb);
void dcp_repeat(struct fake *f, unsigned vb);
void dcp_end_streams(struct fake *f, unsigned vb, uint32_t reason);

/* ---- sysevent.c ---- */

enum { SYSTEM_EVENT_MAX = 256 };

/* The value of a system event into `out`; its version is returned. */
uint8_t sysevent_value(const struct item *it, bool flatbuffers, uint8_t out[SYSTEM_EVENT_MAX], size_t *len);

/* ---- sasl.c, http.c, subdoc.c ---- */

void sasl_certificate(struct fake *f, struct conn *c); /* who the TLS client's certificate says it is */
void sasl_request(struct fake *f, struct conn *c, const struct packet *p);
bool http_on_bytes(struct fake *f, struct conn *c);
void http_push(struct fake *f, struct conn *c); /* the newest map, to a stream of maps */
void subdoc_request(struct fake *f, struct conn *c, const struct packet *p, uint32_t cid, struct slice key);

#endif
