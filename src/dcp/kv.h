/* kv.h: documents of a bucket, read and written by a thread that waits for the answers.
 *
 *	kv_run: seed ─▶ map ─▶ a connection to each node that has one of the documents ─▶ all requests at once ─▶ answers
 *	                         ▲                                                                               │
 *	                         └────── moved, busy, connection lost: what is open is asked again ◀─────────────┘
 *
 * What is kept here (checkpoints, heartbeats) is small and rare: connections do not outlive a call, and there is no
 * thread.
 *
 * Writes compare and swap. A write that was sent and never answered may have happened: it is not sent again (it would
 * find its own CAS gone), but told to the caller as KV_LOST, who reads and decides.
 *
 * Thread: one at a time.
 */
#ifndef DCP_KV_H
#define DCP_KV_H

#include "base/buf.h"
#include "base/err.h"
#include "dcp/cluster.h"
#include "dcp/conn.h"

#define KV_CAS_NONE UINT64_C(0) /* must not be there yet */
#define KV_CAS_ANY  UINT64_MAX  /* whatever is there */

struct kv_options {
	const struct conn_options *conn; /* copied; its strings must stay */
	const char *const *seeds;        /* as seed.h reads them; must stay */
	size_t n_seeds;
	const char *scope, *collection; /* NULL: _default; must stay */
	nsec timeout;                   /* of one kv_run */
	enum cluster_network network;
	const char *
		dns_server; /* for names of services: "address:port"; NULL: as /etc/resolv.conf says */
};

enum kv_op {
	KV_GET,
	KV_PUT,
	KV_GET_ATTRIBUTE, /* an extended attribute; the document may lack it, or may have nothing else */
	KV_PUT_ATTRIBUTE,
	KV_PUT_FIELD, /* one field of a document that is there, whatever its CAS; its parent must be there, too */
};

enum kv_state {
	KV_OPEN, /* nothing has happened */
	KV_SENT, /* inside kv_run only */
	KV_LOST, /* a write whose answer was lost */
	KV_DONE, /* rc tells */
};

struct kv_request {
	enum kv_op op;
	struct slice key;   /* the document's name */
	struct slice path;  /* of the attribute (at most 16 bytes) or field */
	struct slice value; /* puts */
	uint32_t expiry;    /* KV_PUT: seconds; 0 never */
	struct buf *out;    /* gets: appended */
	uint64_t cas; /* puts: what must be there; answered: what is there now, 0 no document */
	/* The answer. 1 read or written; 0 a get found nothing; ERR_CONFLICT a put found another CAS; ERR_AUTH no right;
	 * ERR_NOTFOUND no such collection, or nothing that could have the field; ERR_NET another refusal, ERR_PROTOCOL. */
	int rc;
	uint16_t status; /* of the server */
	uint8_t state;   /* enum kv_state */
	/* kv.c: */
	uint16_t home;       /* the vBucket that it lies in */
	const void *sent_to; /* KV_SENT */
};

struct kv;

int kv_open(const struct kv_options *o, struct kv **out, struct err *e);
void kv_free(struct kv *k); /* NULL is fine */

/* 0: all are KV_DONE. Negative: some are not (their states tell): ERR_TIMEOUT, ERR_NET (KV_LOST), ERR_AUTH, ERR_NOTFOUND
 * (bucket, scope or collection), ERR_UNSUPPORTED (no collections there), ERR_LIMIT (a key that is too long). */
int kv_run(struct kv *k, struct kv_request *r, size_t n, struct err *e);

#endif
