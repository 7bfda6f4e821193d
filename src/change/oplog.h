/* oplog.h: the oplog: operations in, entries of a log topic out.
 *
 * One topic, "oplog", one partition. Every operation becomes one entry (entry.h) with the next offset and a cluster
 * time above all before it. An update is resolved to its exact difference before it is written.
 *
 * Thread: a struct oplog from any thread.
 */
#ifndef CHANGE_OPLOG_H
#define CHANGE_OPLOG_H

#include "change/entry.h"
#include "change/token.h"

#define OPLOG_TOPIC           "oplog"
#define OPLOG_DB_NAME_MAX     63
#define OPLOG_COLL_NAME_MAX   255
#define OPLOG_BATCH_MAX       100000u     /* operations of one append */
#define OPLOG_BATCH_BYTES_MAX (60u << 20) /* and their entries */
#define OPLOG_LATEST_BYTES    (256u << 20)

struct oplog;

struct oplog_options {
	struct env *env; /* NULL: env_posix() */
	bool read_only, must_exist;
	enum log_ack ack; /* the default of appends */
	uint64_t segment_bytes;
	uint32_t flush_interval_ms;
	const char *const *latest; /* borrowed while open */
	size_t latest_bytes_max;   /* 0: OPLOG_LATEST_BYTES */
};

int oplog_open(const char *dir, const struct oplog_options *o, struct oplog **out, struct err *e);
int oplog_close(struct oplog *o, struct err *e); /* frees in any case; NULL is fine */

struct log *oplog_log(struct oplog *o);
struct log_topic *oplog_topic(struct oplog *o);
struct lookup *oplog_lookup(struct oplog *o);
struct env *oplog_env(struct oplog *o);
const struct token_key *oplog_token_key(const struct oplog *o);
const char *oplog_name(const struct oplog *o); /* 16 hex digits */
enum log_ack oplog_ack(const struct oplog *o); /* the default */

/* ---- appending ---- */

enum oplog_outcome { OPLOG_WROTE, OPLOG_UNCHANGED };

struct oplog_op {
	enum change_op op;
	bool put;      /* CHANGE_INSERT: insert, update or nothing, by what the log knows */
	bool pipeline; /* doc of an update is an array of stages */
	struct slice db, coll, to_db, to_coll;
	struct slice key; /* update, delete: a document with the _id */
	struct slice
		doc; /* the document; an update's operators; a description; an index's definition */
	struct slice before; /* update: the image before it; empty: found in the log */
	struct slice array_filters, query;
	int64_t wall_ms; /* 0: now */
	/* out */
	enum change_op wrote;
	enum oplog_outcome outcome;
};

struct oplog_position {
	uint64_t offset; /* UINT64_MAX: nothing was written */
	uint64_t cluster_time;
};

/* Checks one operation without writing: names, _id. What oplog_append would refuse, but for updates' operators. */
int oplog_check(const struct oplog_op *op, struct err *e);

/* Appends n operations, all or none, as one batch. *out (may be NULL): the first one's position. *failed (may be NULL):
 * which operation was at fault. All documents are validated BSON. */
int oplog_append(struct oplog *o, struct oplog_op *ops, size_t n, enum log_ack ack,
		 struct oplog_position *out, size_t *failed, struct err *e);

int oplog_flush(struct oplog *o, struct err *e); /* until everything appended so far is durable */

/* ---- positions ---- */

/* Where a stream goes on behind a token: decodes it, and compares it with the log. Besides token_decode's errors:
 * ERR_HISTORY_LOST, ERR_TOKEN_FUTURE (with e->oldest, e->newest), ERR_TOKEN_FOREIGN for a token of a history that was
 * rolled back and written anew. *out is set once the token itself is whole. */
int oplog_resume(struct oplog *o, struct slice text, struct token *out, struct err *e);

/* The first entry with a cluster time, or a wall time in the log's order, at or after the given. ERR_HISTORY_LOST when
 * it may have been trimmed away. */
int oplog_seek_cluster_time(struct oplog *o, uint64_t cluster_time, uint64_t *offset,
			    struct err *e);
int oplog_seek_wall_time(struct oplog *o, int64_t wall_ms, uint64_t *offset, struct err *e);

/* ---- keeping ---- */

/* Whole segments below offset or, with offset 0, whose entries are all older than time_ms; never the newest entry. */
int oplog_trim(struct oplog *o, uint64_t offset, int64_t time_ms, uint64_t *oldest, struct err *e);
int oplog_retain(struct oplog *o, const struct log_retention *r, struct err *e);

int oplog_history_lost(struct err *e, struct log_range range, const char *fmt, ...) PRINTF(3, 4);

#endif
