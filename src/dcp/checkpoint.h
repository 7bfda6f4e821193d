/* checkpoint.h: where a vBucket's consumer stands, and where that is kept.
 *
 * The text of a checkpoint is go-dcp's document, so that one can read the other's:
 *
 *	{"checkpoint":{"snapshot":{"startSeqno":S,"endSeqno":E},"vbuuid":U,"seqno":N},"bucketUuid":"...",
 *	 "weir":{"points":[...]}}
 *
 * Numbers are unsigned 64-bit. "weir" is ours and ignored by go-dcp: the points make a rollback after a restart
 * partial. A document without it is foreign: its snapshot start may be the seqno of the snapshot's first item, so
 * that the place to go back to lies before it. docs/formats/dcp-checkpoint.md has the rules.
 *
 * A store is an ops table; save is all or nothing per vBucket and durable when it returns.
 *
 * Thread: a store belongs to one thread at a time.
 */
#ifndef DCP_CHECKPOINT_H
#define DCP_CHECKPOINT_H

#include "base/buf.h"
#include "dcp/failover.h"

#define BUCKET_UUID_MAX     63
#define CHECKPOINT_TEXT_MAX 65536

struct env;

struct checkpoint {
	uint16_t vb;
	bool found; /* load: there was one */
	struct dcp_position pos;
	struct points points;
	char bucket_uuid[BUCKET_UUID_MAX + 1];
	bool any_branch; /* not kept: pos.seqno alone is known, the branch is the one that the server has there */
};

void checkpoint_encode(const struct checkpoint *c, struct buf *out);
/* ERR_FORMAT not such a document; ERR_CORRUPT its numbers contradict each other (and cannot be put right). A foreign
 * one whose seqno lies outside its snapshot is clamped to the seqno. c->vb is left alone. */
int checkpoint_decode(struct slice json, struct checkpoint *c, struct err *e);

/* A whole file of them: {"<vb>": document, ...}. `each` may return an error to stop. */
int checkpoint_decode_all(struct slice json, int (*each)(void *arg, const struct checkpoint *c),
			  void *arg, struct err *e);

struct checkpoint_store;
struct checkpoint_store_ops {
	/* Fills c[i] for c[i].vb; found tells. ERR_CORRUPT names what is damaged. */
	int (*load)(struct checkpoint_store *s, struct checkpoint *c, size_t n, struct err *e);
	/* Durable when it returns 0. After an error nothing is known about any of them: each is old or new.
	 * ERR_FENCED: another owner has written since; e->newest is the vBucket (e is not NULL then). The others may or
	 * may not be saved: save them again without it. */
	int (*save)(struct checkpoint_store *s, const struct checkpoint *c, size_t n,
		    struct err *e);
	int (*clear)(struct checkpoint_store *s, const uint16_t *vb, size_t n, struct err *e);
	void (*free)(struct checkpoint_store *s);
};
struct checkpoint_store {
	const struct checkpoint_store_ops *ops;
};

static inline int checkpoint_load(struct checkpoint_store *s, struct checkpoint *c, size_t n,
				  struct err *e)
{
	return s->ops->load(s, c, n, e);
}
static inline int checkpoint_save(struct checkpoint_store *s, const struct checkpoint *c, size_t n,
				  struct err *e)
{
	return n ? s->ops->save(s, c, n, e) : 0;
}
static inline int checkpoint_clear(struct checkpoint_store *s, const uint16_t *vb, size_t n,
				   struct err *e)
{
	return s->ops->clear(s, vb, n, e);
}
static inline void checkpoint_store_free(struct checkpoint_store *s)
{
	if (s)
		s->ops->free(s);
}

/* One file for all vBuckets of a group: an object of documents under decimal keys, as go-dcp writes it. Replaced
 * whole (write, sync, rename, sync the folder), and kept locked (PATH.lock) while open: ERR_LOCKED. vBuckets of other
 * members that are in the file stay there. */
int checkpoint_file_open(struct env *env, const char *path, struct checkpoint_store **out,
			 struct err *e);

/* What such a file holds now, without its lock: somebody else may be writing the next one. None when it is not there. */
int checkpoint_file_each(struct env *env, const char *path,
			 int (*each)(void *arg, const struct checkpoint *c), void *arg,
			 struct err *e);

/* Documents in a bucket, as go-dcp keeps them: one per vBucket, _connector:cbgo:GROUP:checkpoint:VB in the default
 * collection, the text in the extended attribute `cbgo`. Each is written with the CAS that was last seen of it, so a
 * member that lost a vBucket to another cannot write over the other's progress: ERR_FENCED. It connects for each call
 * and keeps no thread. The strings must stay. */
struct conn_options;
int checkpoint_couchbase_open(const struct conn_options *o, const char *const *seeds,
			      size_t n_seeds, const char *group, nsec timeout,
			      struct checkpoint_store **out, struct err *e);

/* Keeps nothing. */
int checkpoint_none_open(struct checkpoint_store **out, struct err *e);

/* Loads from `inner` (owned) but never writes to it. */
int checkpoint_read_only(struct checkpoint_store *inner, struct checkpoint_store **out,
			 struct err *e);

/* What to do with a checkpoint that cannot be used as it is. */
enum checkpoint_policy {
	CHECKPOINT_DEFAULT, /* of another bucket: fail; ahead of the server: ignore, since a failover may have lost items */
	CHECKPOINT_FAIL,    /* a typed error; the vBucket does not start */
	CHECKPOINT_RESTART, /* as if there were none */
	CHECKPOINT_IGNORE,  /* use it: the rollback protocol decides, and tells the consumer */
};

/* Checks a loaded checkpoint against the bucket: another bucket (recreated, flushed and recreated, another cluster)
 * is ERR_TOKEN_FOREIGN; a seqno above the server's (high UINT64_MAX: not asked) ERR_TOKEN_FUTURE. Applies the policy:
 * 0 use *c (found may have been cleared), negative the error. */
int checkpoint_check(struct checkpoint *c, const char *bucket_uuid, uint64_t high,
		     enum checkpoint_policy foreign, enum checkpoint_policy ahead, struct err *e);

#endif
