/* checkpoint.h: where a vBucket's consumer stands, and where that is kept.
 *
 * The text of a checkpoint is go-dcp's document, so that one can read the other's:
 *
 *	{"checkpoint":{"snapshot":{"startSeqno":S,"endSeqno":E},"vbuuid":U,"seqno":N},"bucketUuid":"...",
 *	 "weir":{"points":[...],"purge":{"seqno":P,"from":F,"vbuuid":U},"mark":M,"sum":C}}
 *
 * Numbers are unsigned 64-bit. "weir" is ours and ignored by go-dcp: the points make a rollback after a restart
 * partial; the purge, where one is known, tells whether deletions were missed; the sum tells damage. A document without it
 * is foreign: its snapshot start may be the seqno of the snapshot's first item, so that the place to go back to lies
 * before it. docs/formats/dcp-checkpoint.md has the rules.
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
	bool found;   /* load: there was one */
	bool damaged; /* load: there was one, or may have been, that cannot be read; found is false */
	struct dcp_position pos;
	struct points points;
	struct dcp_purge purge;
	char bucket_uuid[BUCKET_UUID_MAX + 1];
	uint64_t mark; /* which write this is; 0: not told */
	bool any_branch; /* not kept: pos.seqno alone is known, the branch is the one that the server has there */
	bool again; /* not kept: what lies above pos has been handed out before */
};

void checkpoint_encode(const struct checkpoint *c, struct buf *out);
/* c->vb says whose it must be. ERR_FORMAT not such a document; ERR_CORRUPT its numbers contradict each other (and
 * cannot be put right), or its sum does not fit. A foreign one whose seqno lies outside its snapshot is clamped to the
 * seqno. */
int checkpoint_decode(struct slice json, struct checkpoint *c, struct err *e);
/* The same for who loads many: what cannot be read is no error but c->damaged, and a place of zero on no branch is none
 * (found is false). ERR_NOMEM. */
int checkpoint_take(struct slice json, struct checkpoint *c, struct err *e);

/* The members of a whole file, {"<vb>": document, ...}, without looking into the documents. `each` may return an error
 * to stop. ERR_FORMAT: the file is not of that form. */
int checkpoint_split(struct slice json, int (*each)(void *arg, uint16_t vb, struct slice document),
		     void *arg, struct err *e);

struct checkpoint_store;
struct checkpoint_store_ops {
	/* Fills c[i] for c[i].vb; found and damaged tell. */
	int (*load)(struct checkpoint_store *s, struct checkpoint *c, size_t n, struct err *e);
	/* NULL: nothing is kept. Durable when it returns 0. After an error nothing is known about any of them: each is old or new.
	 * ERR_FENCED: another owner has written since; e->newest is the vBucket (e is not NULL then). The others may or
	 * may not be saved: save them again without it. */
	int (*save)(struct checkpoint_store *s, const struct checkpoint *c, size_t n,
		    struct err *e);
	/* NULL: nothing is kept beyond the store itself. */
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
	return n && s->ops->save ? s->ops->save(s, c, n, e) : 0;
}
static inline int checkpoint_clear(struct checkpoint_store *s, const uint16_t *vb, size_t n,
				   struct err *e)
{
	return s->ops->clear ? s->ops->clear(s, vb, n, e) : 0;
}
static inline void checkpoint_store_free(struct checkpoint_store *s)
{
	if (s)
		s->ops->free(s);
}

/* One file for all vBuckets of a group: an object of documents under decimal keys, as go-dcp writes it. Replaced
 * whole (write, sync, rename, sync the folder), and kept locked (PATH.lock) while open: ERR_LOCKED. vBuckets of other
 * members that are in the file stay there.
 *
 * A document that cannot be read is damaged, and so is then every vBucket that is not in the file: its key may be what
 * was damaged. A file that is no such object is ERR_CORRUPT; with `forgive` it opens, everything in it is damaged, and
 * before the first save replaces it, it is copied to PATH.damaged. */
int checkpoint_file_open(struct env *env, const char *path, bool forgive,
			 struct checkpoint_store **out, struct err *e);

/* What such a file holds now, without its lock: somebody else may be writing the next one. It is read once, nothing is
 * written or made, and saves are forgotten. Empty when there is no file. */
int checkpoint_file_look(struct env *env, const char *path, bool forgive,
			 struct checkpoint_store **out, struct err *e);

/* A log of weir's own (log.h) for one group: topic "checkpoints", a record per checkpoint, a save is one batch. Now and
 * then a save writes all it knows, and what lies before is trimmed. The log is locked while open: ERR_LOCKED. Damage as
 * in a file: every vBucket whose newest record may have been lost is damaged; with `forgive` a log that cannot be opened
 * for damage is repaired first. docs/formats/dcp-checkpoint.md. */
struct checkpoint_log_options {
	struct env *env;
	const char *dir;
	bool forgive;
	uint64_t segment_bytes; /* 0: 1 MiB */
};
int checkpoint_log_open(const struct checkpoint_log_options *o, struct checkpoint_store **out,
			struct err *e);
/* As checkpoint_file_look. */
int checkpoint_log_look(struct env *env, const char *dir, bool forgive,
			struct checkpoint_store **out, struct err *e);

/* Documents in a bucket, as go-dcp keeps them: one per vBucket, _connector:cbgo:GROUP:checkpoint:VB, the text in the
 * extended attribute `cbgo`. Each is written with the CAS that was last seen of it, so a member that lost a vBucket to
 * another cannot write over the other's progress: ERR_FENCED. It connects for each call and keeps no thread. group must
 * stay. */
struct kv_options;
int checkpoint_couchbase_open(const struct kv_options *o, const char *group,
			      struct checkpoint_store **out, struct err *e);

/* Keeps nothing. */
int checkpoint_none_open(struct checkpoint_store **out, struct err *e);

/* Loads from `inner` (owned) but never writes to it. */
int checkpoint_read_only(struct checkpoint_store *inner, struct checkpoint_store **out,
			 struct err *e);

/* What to do with a checkpoint that cannot be used as it is. */
enum checkpoint_policy {
	CHECKPOINT_DEFAULT, /* fail; but ahead of the server: ignore, since a failover may have lost items */
	CHECKPOINT_FAIL,    /* a typed error; the vBucket does not start */
	CHECKPOINT_RESTART, /* as if there were none */
	CHECKPOINT_IGNORE, /* use it: the rollback protocol decides, and tells the consumer. Not for damaged ones */
	CHECKPOINT_REWIND, /* ahead only: go back to what the server has, and tell the consumer */
};
struct checkpoint_policies {
	enum checkpoint_policy foreign, ahead, damaged;
};

/* Checks a loaded checkpoint against the bucket: another bucket (recreated, flushed and recreated, another cluster)
 * is ERR_TOKEN_FOREIGN; a seqno above the server's (high UINT64_MAX: not asked) ERR_TOKEN_FUTURE; a damaged one
 * ERR_CORRUPT. Applies the policies: 0 use *c (found may have been cleared), 1 rewind it to the server's history first,
 * negative the error. */
int checkpoint_check(struct checkpoint *c, const char *bucket_uuid, uint64_t high,
		     const struct checkpoint_policies *p, struct err *e);

#endif
