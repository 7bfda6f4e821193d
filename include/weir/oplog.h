/* oplog.h: the durable log of changes that an application appends to.
 *
 * An oplog is a directory. One process at a time has it open for writing; any number have it open for reading, and
 * watch it (change.h). Each operation becomes one entry with a dense offset (0, 1, 2, ...) and a cluster time that
 * only ever grows; that order is the order in which every stream sees it.
 *
 *	weir_oplog *o;
 *	weir_oplog_open("data", NULL, &o, &e);
 *	weir_oplog_insert(o, "mydb", "users", weir_json("{ \"_id\": \"user1\", \"age\": 30 }"), NULL, NULL, &e);
 *	weir_oplog_update(o, "mydb", "users", weir_json("{ \"_id\": \"user1\" }"),
 *			  weir_json("{ \"$inc\": { \"age\": 1 } }"), NULL, NULL, &e);
 *	weir_oplog_close(o, &e);
 *
 * An entry holds what happened, never instructions: an update given as operators is resolved to its exact difference
 * before it is written, so a reader never guesses. For that weir must know the document before the update: the caller
 * gives it (`before`), or weir looks for it in the log through an index of latest documents (`latest`).
 *
 * Names. A database name has 1 to 63 bytes, a collection name 1 to 255, UTF-8 without NUL; a database name has none of
 * / \ . " $ and no blank, a collection name no $.
 *
 * Thread: a weir_oplog from any thread; a weir_batch from one at a time. Close it when no call on it is under way and
 * its watches are freed.
 */
#ifndef WEIR_OPLOG_H
#define WEIR_OPLOG_H

#include "weir/doc.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weir_oplog weir_oplog;
typedef struct weir_batch weir_batch;

/* Structs of options start with their size, so that they can grow: set it, leave the rest zero for the defaults.
 *
 *	weir_oplog_options o = { .size = sizeof o, .read_only = true };
 */

/* When an append returns. */
enum weir_ack {
	WEIR_ACK_DEFAULT, /* the oplog's default, which is DURABLE unless its options say otherwise */
	WEIR_ACK_DURABLE, /* a power loss would not lose it; appends of many threads share one flush */
	WEIR_ACK_WRITTEN, /* a crash of the process would not lose it; flushed within flush_interval_ms */
	WEIR_ACK_NONE /* it has its place in the order */
};

/* memory of the index of latest documents: about 6 million documents */
#define WEIR_LATEST_BYTES_DEFAULT (256u << 20)

typedef struct weir_oplog_options {
	size_t size;
	bool read_only;    /* a reader: takes no lock, writes nothing; the directory must exist */
	bool must_exist;   /* a writer that does not create a missing oplog: NOTFOUND instead */
	enum weir_ack ack; /* the default of appends */
	/* size of a segment file; 0: 64 MiB. What trim removes is whole segments */
	uint64_t segment_bytes;
	/* the longest that what was only WRITTEN stays unflushed; 0: 1000 */
	uint32_t flush_interval_ms;

	/* Collections whose latest documents weir may look up by _id: NULL-terminated patterns "db.coll", "db.*", "*".
	 * NULL: all. The index is built by one scan of the log at the first update or look-up that needs it, and costs
	 * nothing before; 32 to 64 bytes a document then. */
	const char *const *latest;
	/* 0: WEIR_LATEST_BYTES_DEFAULT. Beyond it look-ups fail with LIMIT; appends go on */
	uint64_t latest_bytes_max;
} weir_oplog_options;

/* Opens the oplog at dir; NULL options: a writer, created when missing.
 * NOTFOUND (no such directory), INVALID (not an oplog), VERSION, LOCKED (a second writer), CORRUPT (needs repair; a
 * torn tail left by a crash is mended silently), ACCESS, IO, NOSPACE. */
WEIR_API int weir_oplog_open(const char *dir, const weir_oplog_options *options, weir_oplog **out,
			     weir_error *e);

/* Flushes what was written and frees the handle, also when it returns an error (IO, POISONED: what was acknowledged as
 * durable is safe, the rest may be lost). NULL is fine. */
WEIR_API int weir_oplog_close(weir_oplog *o, weir_error *e);

/* 16 hex digits that name this log, as resume tokens do. Lives as long as o. */
WEIR_API const char *weir_oplog_name(const weir_oplog *o);

/* ---- appending ----
 *
 * Errors of all appends: INVALID (bad name or document, a read-only oplog), FORMAT, LIMIT (an entry above
 * WEIR_ENTRY_MAX), POISONED, NOSPACE, IO. After an error nothing of the call is in the log, except that after IO,
 * NOSPACE or POISONED of a durable append it may be there after reopening: it was not acknowledged.
 */

/* bytes of an entry: the document, or the difference, and its key */
#define WEIR_ENTRY_MAX (48u << 20)

/* Seconds since 1970 and a counter within the second: orders every entry of a log. */
typedef struct weir_timestamp {
	uint32_t seconds, increment;
} weir_timestamp;

typedef struct weir_position {
	uint64_t offset; /* of the entry; of the first one for a batch */
	weir_timestamp cluster_time;
} weir_position;

enum weir_outcome { WEIR_INSERTED, WEIR_UPDATED, WEIR_REPLACED, WEIR_UNCHANGED };

typedef struct weir_append_options {
	size_t size;
	enum weir_ack ack;
	/* When it happened, ms since 1970; 0: now. For imports of history: the entry's wallTime. Cluster time follows it
	 * as far as it can: never back, and never ahead of the clock. */
	int64_t wall_time_ms;
	/* update and replace: the document before the change, as the caller knows it; none: weir looks it up. */
	weir_doc before;
	/* update: [ { "x": ... } ], the filters of $[name] in the operators. */
	weir_doc array_filters;
	/* update: the query that chose the document, for the positional $; none: the key. */
	weir_doc query;
} weir_append_options;

/* out (may be NULL) gets the entry's position. doc must have an _id, which no array may be.
 * insert trusts the caller that the _id is new (a database knows); put is the one that looks. */
WEIR_API int weir_oplog_insert(weir_oplog *o, const char *db, const char *coll, weir_doc doc,
			       const weir_append_options *options, weir_position *out,
			       weir_error *e);

/* update: a document of operators ({"$set": ...}, also $inc $unset $push ...) or an array of pipeline stages. key: a
 * document with the _id. Writes an update entry whose updateDescription holds the values after the update. An update
 * that changes nothing writes nothing: out->offset is then WEIR_OFFSET_NONE.
 * NO_IMAGE: the document is not known: give options.before, or let `latest` cover the collection, or it was trimmed
 * away or never inserted. LIMIT: see latest_bytes_max. INVALID: unknown operator, with its place. */
#define WEIR_OFFSET_NONE UINT64_MAX
WEIR_API int weir_oplog_update(weir_oplog *o, const char *db, const char *coll, weir_doc key,
			       weir_doc update, const weir_append_options *options,
			       weir_position *out, weir_error *e);

/* doc, with its _id, takes the place of the document with that _id. Needs no before-image. */
WEIR_API int weir_oplog_replace(weir_oplog *o, const char *db, const char *coll, weir_doc doc,
				const weir_append_options *options, weir_position *out,
				weir_error *e);

/* Looks whether the document is known: writes an insert when it is not, an update with the exact difference when it
 * differs, and nothing when it is the same. outcome may be NULL. For imports and synchronisation. */
WEIR_API int weir_oplog_put(weir_oplog *o, const char *db, const char *coll, weir_doc doc,
			    const weir_append_options *options, weir_position *out,
			    enum weir_outcome *outcome, weir_error *e);

WEIR_API int weir_oplog_delete(weir_oplog *o, const char *db, const char *coll, weir_doc key,
			       const weir_append_options *options, weir_position *out,
			       weir_error *e);

/* description: whatever belongs to it ({"capped": true}); may be none. Shows as operationDescription. */
WEIR_API int weir_oplog_create_collection(weir_oplog *o, const char *db, const char *coll,
					  weir_doc description, const weir_append_options *options,
					  weir_position *out, weir_error *e);
WEIR_API int weir_oplog_drop_collection(weir_oplog *o, const char *db, const char *coll,
					const weir_append_options *options, weir_position *out,
					weir_error *e);
WEIR_API int weir_oplog_rename_collection(weir_oplog *o, const char *db, const char *coll,
					  const char *to_db, const char *to_coll,
					  const weir_append_options *options, weir_position *out,
					  weir_error *e);
WEIR_API int weir_oplog_drop_database(weir_oplog *o, const char *db,
				      const weir_append_options *options, weir_position *out,
				      weir_error *e);

/* index: its definition, {"v": 2, "key": {"age": 1}, "name": "age_1"}. */
WEIR_API int weir_oplog_create_index(weir_oplog *o, const char *db, const char *coll,
				     weir_doc index, const weir_append_options *options,
				     weir_position *out, weir_error *e);
WEIR_API int weir_oplog_drop_index(weir_oplog *o, const char *db, const char *coll, weir_doc index,
				   const weir_append_options *options, weir_position *out,
				   weir_error *e);

/* An entry that says nothing but "time has passed"; streams do not show it. note may be none. */
WEIR_API int weir_oplog_noop(weir_oplog *o, weir_doc note, const weir_append_options *options,
			     weir_position *out, weir_error *e);

/* Waits until everything appended so far, by any thread, is durable. IO, POISONED. */
WEIR_API int weir_oplog_flush(weir_oplog *o, weir_error *e);

/* The latest version of a document, appended to out as BSON: 1 found; 0 the log knows of none (deleted, dropped, never
 * inserted, or all its history was trimmed away); NO_IMAGE (it exists, but what its last updates started from was
 * trimmed away); LIMIT, INVALID (see latest_bytes_max, latest). Writers and readers. */
WEIR_API int weir_oplog_find(weir_oplog *o, const char *db, const char *coll, weir_doc key,
			     weir_buffer *out, weir_error *e);

/* ---- batches: many operations in one append, all or none ----
 *
 * The functions copy what they are given and check it; options->ack is that of commit. commit writes everything as
 * one checksummed unit with consecutive offsets and empties the batch, also when it fails. An update in a batch sees
 * what stands before it in the same batch. Put no more than WEIR_BATCH_MAX operations and WEIR_BATCH_BYTES_MAX bytes
 * in one (LIMIT, and the batch stays as it was: commit it and add again).
 */
#define WEIR_BATCH_MAX       100000u
#define WEIR_BATCH_BYTES_MAX (60u << 20)

WEIR_API int weir_batch_new(weir_oplog *o, weir_batch **out, weir_error *e);
WEIR_API void weir_batch_free(weir_batch *b); /* NULL is fine; before the oplog is closed */

WEIR_API int weir_batch_insert(weir_batch *b, const char *db, const char *coll, weir_doc doc,
			       const weir_append_options *options, weir_error *e);
WEIR_API int weir_batch_update(weir_batch *b, const char *db, const char *coll, weir_doc key,
			       weir_doc update, const weir_append_options *options, weir_error *e);
WEIR_API int weir_batch_replace(weir_batch *b, const char *db, const char *coll, weir_doc doc,
				const weir_append_options *options, weir_error *e);
WEIR_API int weir_batch_put(weir_batch *b, const char *db, const char *coll, weir_doc doc,
			    const weir_append_options *options, weir_error *e);
WEIR_API int weir_batch_delete(weir_batch *b, const char *db, const char *coll, weir_doc key,
			       const weir_append_options *options, weir_error *e);
WEIR_API size_t weir_batch_count(const weir_batch *b);

typedef struct weir_batch_result {
	uint64_t inserted, updated, replaced, deleted, unchanged;
} weir_batch_result;

/* out (may be NULL): the position of the first entry written (WEIR_OFFSET_NONE when none was). result may be NULL.
 * *failed (may be NULL): on an error of one operation (NO_IMAGE, INVALID), its index in the batch. */
WEIR_API int weir_batch_commit(weir_batch *b, enum weir_ack ack, weir_position *out,
			       weir_batch_result *result, size_t *failed, weir_error *e);

/* ---- keeping ---- */

typedef struct weir_oplog_stats {
	size_t size;                             /* set by the caller */
	uint64_t oldest, next;                   /* the entries with offsets [oldest, next) exist */
	uint64_t durable_next;                   /* those below are durable */
	weir_timestamp oldest_time, newest_time; /* cluster times; zero when empty */
	int64_t oldest_wall_ms, newest_wall_ms;
	uint64_t bytes_on_disk, segments;
	uint64_t retain_bytes;                              /* 0: no limit */
	int64_t retain_age_ms;                              /* 0: no limit */
	uint64_t appended_entries, appended_bytes, flushes; /* by this handle */
	uint64_t latest_documents; /* in the index of latest documents; 0 until it is built */
	uint64_t latest_bytes;     /* of memory that it takes */
	bool read_only, poisoned;
} weir_oplog_stats;

WEIR_API int weir_oplog_stat(weir_oplog *o, weir_oplog_stats *out, weir_error *e);

/* Removes whole segments whose every entry is below offset, or, with offset 0, older than time_ms (ms since 1970).
 * The newest entry always stays. *oldest (may be NULL): the oldest offset left. Streams that stand before it get
 * HISTORY_LOST. Writers only. */
WEIR_API int weir_oplog_trim(weir_oplog *o, uint64_t offset, int64_t time_ms, uint64_t *oldest,
			     weir_error *e);

/* Sets how much history is kept, by bytes and by age (0: no limit), remembers it in the log, and applies it now and as
 * segments fill. Age goes by wall times in the log. Writers only. */
WEIR_API int weir_oplog_retain(weir_oplog *o, uint64_t max_bytes, int64_t max_age_ms,
			       weir_error *e);

typedef struct weir_damage {
	const char *file;                /* path */
	uint64_t from_byte, to_byte;     /* in the file */
	uint64_t from_offset, to_offset; /* entries [from, to) that cannot be read */
	const char *what;                /* "bad checksum", ... */
} weir_damage;

typedef struct weir_check_report {
	uint64_t segments, batches, entries, bytes, damages;
} weir_check_report;

typedef struct weir_check_options {
	size_t size;
	/* repair: go on although entries are lost for good; without it repair stops with CORRUPT before it loses any */
	bool accept_loss;
	/* called for each damage as it is found; d is borrowed for the call. Non-zero stops with that value */
	int (*on_damage)(void *arg, const weir_damage *d);
	/* called every few megabytes and at the end; non-zero stops with INTERRUPTED */
	int (*on_progress)(void *arg, uint64_t done_bytes, uint64_t total_bytes);
	void *arg;
} weir_check_options;

/* Reads everything at dir and checks it. 0 whole, 1 damaged, NOTFOUND, INVALID (no oplog), VERSION, ACCESS, IO. Takes
 * no lock: a writer may be at work. report may be NULL. */
WEIR_API int weir_oplog_verify(const char *dir, const weir_check_options *options,
			       weir_check_report *report, weir_error *e);

/* Makes a damaged log usable again: rebuilds what can be derived, and sets damaged ranges aside in files beside the
 * segments, so that readers get CORRUPT for the lost entries and everything else as before. 0 whole now, LOCKED,
 * CORRUPT (entries would be lost: see accept_loss), and verify's errors. */
WEIR_API int weir_oplog_repair(const char *dir, const weir_check_options *options,
			       weir_check_report *report, weir_error *e);

#ifdef __cplusplus
}
#endif

#endif
