/* feed.h: a bucket's changes as weir's change events: BSON documents that filters, pipelines and topologies take.
 *
 *	{ _id: { _data: "01ea-0000000000001283-0000b16e4367c140-...-..." },      the event's place
 *	  operationType: "replace",              or "delete", "rollback", "end", "createCollection", "modify",
 *	                                       "flushCollection", "dropCollection", "createScope", "dropScope"
 *	  clusterTime: Timestamp(cas), wallTime: Date(cas),
 *	  ns: { db: bucket, coll: "scope.collection" },    no coll in what happens to a scope
 *	  documentKey: { _id: key },
 *	  fullDocument: { ... },                 a mutation whose value is a JSON object
 *	  couchbase: { vbucket, seqno, vbuuid, revision, cas, flags, expiry, expired, value, ... } }
 *
 * A mutation is always "replace": the revision of a new document need not be 1, so insert cannot be told from replace.
 * An expiration is a "delete" with couchbase.expired. A value that is no JSON object is couchbase.value: the JSON value
 * (an array, a number, ...), or binary where it is no JSON, or none that an event can hold. It is plain JSON: {"$date": ...}
 * in it is somebody's document. Integers beyond 64 bits become doubles.
 *
 * The feed's token holds the position of every vBucket that it saw, as text.
 *
 * Thread: one at a time.
 */
#ifndef DCP_FEED_H
#define DCP_FEED_H

#include "base/arena.h"
#include "dcp/checkpoint.h"
#include "dcp/event.h"
#include "doc/bson.h"

struct feed;

struct feed_options {
	const char *bucket;
	struct slice filter;   /* a validated query on the event; empty: all */
	struct slice pipeline; /* a validated array of stages; empty: none */
	/* The names of a collection; false unknown. */
	bool (*collection)(void *arg, uint32_t id, const char **scope, const char **name);
	void *arg;
};

int feed_new(const struct feed_options *o, struct feed **out, struct err *e);
void feed_free(struct feed *f);

/* 1: *doc is the event, borrowed until the next call; 0: filtered out (the place counts all the same); negative: the
 * filter or pipeline failed on it. */
int feed_event(struct feed *f, const struct dcp_event *ev, struct slice *doc, struct err *e);

/* Where the vBuckets stood before: part of the token until something newer is seen. */
int feed_seed(struct feed *f, const struct checkpoint *c, size_t n, struct err *e);

/* The same for one, unless it is known already. */
int feed_seed_unseen(struct feed *f, uint16_t vb, const struct dcp_position *pos, struct err *e);

/* The places of all vBuckets seen so far, as text, and back: c[0 .. *n), at most max. ERR_TOKEN_CORRUPT. */
void feed_token(const struct feed *f, struct buf *out);
int feed_token_parse(struct slice token, struct checkpoint *c, size_t max, size_t *n,
		     struct err *e);

#endif
