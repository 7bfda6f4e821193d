/* conn.h: one connection to a node's data service, logged in and ready: bytes to packets and back, flow control,
 * liveness.
 *
 *	connect ─▶ HELLO, error map, LIST_MECHS ─▶ SASL ... ─▶ SELECT_BUCKET, map, manifest, [DCP_OPEN, controls] ─▶ ready
 *	                                                                                                   │
 *	                closed, with the reason  ◀──── any failure, silence, protocol error ───────────────┘
 *
 * Liveness: after `noop` of silence a NOOP is sent; after twice that the connection counts as dead, unless this process
 * stood still meanwhile. The server's own NOOPs are answered here.
 *
 * Flow control (DCP): the owner says how many bytes of stream messages were consumed; a fifth of the window at a time
 * is given back. Bytes of another connection must not be given back on this one: conn_id tells them apart.
 *
 * Statuses that mean that the connection or its login is void (auth_stale, and what the server's error map says so
 * of) end it here. Answers that the server has packed are unpacked here.
 *
 * Thread: the loop's.
 */
#ifndef DCP_CONN_H
#define DCP_CONN_H

#include "dcp/errormap.h"
#include "dcp/sasl.h"
#include "dcp/wire.h"
#include "net/loop.h"

struct tls;
struct env;
struct slab;
struct slab_pool;

struct map_version {
	bool is; /* there is one */
	int64_t epoch, rev;
};

struct conn_options {
	struct env *env;
	const char *user, *password, *bucket;
	struct tls *tls;  /* NULL: plain text */
	bool allow_plain; /* SASL PLAIN without TLS */
	struct scram_cache *cache;
	const char *agent; /* "weir/0.1" */
	nsec connect_timeout, noop;
	bool unproven; /* nobody has shown yet that a data service is there: ERR_WRONG_PORT when it is none */
	bool asked;    /* it was asked in vain what it is */
	bool push_maps;                  /* ask for map notifications */
	const struct map_version *known; /* the newest map that the owner has; NULL: none is told */
	struct slab_pool *slabs;         /* to read into; NULL: its own */
	/* DCP only */
	bool dcp;
	const char *name;           /* of the connection: service:unique; copied */
	uint32_t open_flags;        /* enum dcp_open_flag beyond producer and delete times */
	uint32_t window_bytes;      /* 0: no flow control */
	const char *priority;       /* NULL: the server's default */
	const char *backfill_order; /* NULL: the server's default */
	bool change_streams, out_of_order, force_compression, cursor_dropping, stream_ids,
		skip_deletes;
};

#define CONN_PATIENCE 6

struct conn;

struct conn_ops {
	void (*ready)(void *arg, struct conn *c);
	/* once ready: takes packets at the beginning of `in`; how many bytes they are. 0: the next one goes through packet.
	 * NULL: all do */
	size_t (*documents)(void *arg, struct slice in);
	/* once ready; now: when the packets of this round came */
	void (*packet)(void *arg, struct conn *c, const struct packet *p, nsec now);
	void (*round)(void *arg, struct conn *c); /* no more packets for the moment */
	void (*map)(void *arg, struct conn *c, struct slice json);
	void (*manifest)(void *arg, struct conn *c, struct slice json);
	void (*closed)(void *arg, struct conn *c, const struct err *why); /* then conn_free */
};

int conn_open(struct loop *l, const char *host, uint16_t port, const struct conn_options *o,
	      const struct conn_ops *ops, void *arg, struct conn **out, struct err *e);
void conn_free(struct conn *c); /* NULL is fine; may be called from within an op */

struct buf *conn_out(struct conn *c); /* append packets, then conn_flush */
void conn_flush(struct conn *c);
/* A request for a stream, a failover log, sequence numbers or a vBucket's statistics was appended. When none of those
 * that are open is answered for CONN_PATIENCE times connect_timeout, the connection is given up, however alive it is
 * otherwise. */
void conn_await(struct conn *c);
void conn_consumed(struct conn *c, uint32_t bytes);
struct slab *
conn_slab(const struct conn *c);      /* within packet: where it lies, to be kept by reference */
void conn_pause(struct conn *c, bool pause); /* reads nothing for a while */

uint32_t conn_id(const struct conn *c); /* unique in the process, never 0 */
bool conn_is_ready(const struct conn *c);
bool conn_has(const struct conn *c, enum hello_feature f);
const char *conn_host(const struct conn *c);
uint16_t conn_port(const struct conn *c);
bool conn_has_asked(const struct conn *c);  /* what listens there */
bool conn_gives_maps(const struct conn *c); /* ready, and the server hands out cluster maps here */
void conn_ask_map(struct conn *c); /* ready; what is newer than options.known comes to ops.map */
enum reaction conn_reaction(const struct conn *c, uint16_t status); /* by this server's error map */
uint64_t conn_unacked_max(const struct conn *c);             /* the most bytes ever outstanding */
uint64_t conn_unacked(const struct conn *c);                 /* outstanding now */

#endif
