/* change.h: change streams: watching an oplog.
 *
 * A watch delivers the change events of a collection, a database or everything, in the order of the log, each once,
 * none left out, however slow the caller is: it reads the log at the caller's pace and holds no queue.
 *
 *	weir_watch *w;
 *	weir_watch_options o = { .size = sizeof o, .filter = weir_json("{ \"operationType\": \"insert\" }") };
 *	weir_watch_open(oplog, "mydb", "users", &o, &w, &e);
 *	const weir_event *ev;
 *	while (weir_watch_next(w, WEIR_FOREVER, &ev, &e) == 1)
 *		puts(weir_event_operation(ev));
 *	weir_watch_free(w);
 *
 * Where it stands is its resume token: text that survives restarts, sorts with strcmp in the order of the log, names
 * the log it belongs to and cannot be made up. It moves when an event is returned, never before; over entries that the
 * filter left out it moves too, so the token of a quiet stream does not grow old. Save it after handling an event,
 * and resume after it: every event arrives at least once, and twice only if it came after the token saved last.
 *
 * Filter and pipeline see the event's fields (operationType, clusterTime, wallTime, ns.db, ns.coll, documentKey._id,
 * fullDocument.x, updateDescription.updatedFields.x, ...). In the filter and in leading $match stages the short names
 * db, database, coll and collection stand for ns.db and ns.coll, and the operation names createCollection,
 * dropCollection, renameCollection, createIndex and dropIndex for create, drop, rename, createIndexes and dropIndexes.
 *
 * Thread: a weir_watch from one thread at a time, except weir_watch_close (any thread).
 */
#ifndef WEIR_CHANGE_H
#define WEIR_CHANGE_H

#include "weir/oplog.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weir_watch weir_watch;
typedef struct weir_event weir_event;

/* Where a watch starts. */
enum weir_start {
	WEIR_START_NOW,      /* what is appended after opening */
	WEIR_START_OLDEST,   /* everything the log still has */
	WEIR_START_AFTER,    /* behind the token in resume_after */
	WEIR_START_TIME,     /* the first entry with a cluster time at or after start_time */
	WEIR_START_WALL_TIME /* the first entry at or after start_wall_ms */
};

/* What fullDocument shows in update events (insert and replace always have it). */
enum weir_full_document {
	WEIR_FULL_DEFAULT, /* nothing */
	WEIR_FULL_UPDATE_LOOKUP, /* the document as it is when the event is read; null when it is gone by then */
	WEIR_FULL_WHEN_AVAILABLE, /* the document as the update left it, from the log; null when history lacks it */
	WEIR_FULL_REQUIRED /* the same, but next fails with NO_IMAGE when history lacks it */
};

#define WEIR_BATCH_SIZE_DEFAULT   100
#define WEIR_BATCH_SIZE_LIMIT     10000
#define WEIR_MAX_AWAIT_MS_DEFAULT 1000

typedef struct weir_watch_options {
	size_t size;
	enum weir_start start;    /* AFTER may be left out when resume_after is given */
	const char *resume_after; /* a token */
	weir_timestamp start_time;
	int64_t start_wall_ms; /* ms since 1970 */
	weir_doc filter;       /* a query on the event; none: all */
	/* an array of stages: $match $project $addFields $set $unset $replaceRoot $replaceWith
	 * $redact. It must keep _id: else next fails with number 280 */
	weir_doc pipeline;
	enum weir_full_document full_document;
	/* the most events that weir_watch_next_batch returns; 0: the default */
	uint32_t batch_size;
	uint32_t max_await_ms; /* what WEIR_MAX_AWAIT waits for; 0: the default */
	bool follow_written; /* deliver what is written but not yet durable: sooner (no flush to wait for), but a
	                              * power loss can take back an event that was delivered */
	bool show_noops; /* noop entries too, with operationType "noop" */
} weir_watch_options;

/* db and coll NULL or "": everything; coll NULL or "": the database.
 * INVALID (filter or pipeline, with the place: "filter: a.b.$in: ..."; starts that exclude each other; number 40324 an
 * unknown stage, 20 a stage not permitted here), UNSUPPORTED, HISTORY_LOST, TOKEN_CORRUPT, TOKEN_FOREIGN,
 * TOKEN_FUTURE, VERSION (a token of a newer weir), IO. */
WEIR_API int weir_watch_open(weir_oplog *o, const char *db, const char *coll,
			     const weir_watch_options *options, weir_watch **out, weir_error *e);

/* Any thread, any number of times: a next that is waiting, and every later call, returns CLOSED. Frees nothing. */
WEIR_API void weir_watch_close(weir_watch *w);

/* Closes and frees; no other call may be under way. NULL is fine. Before the oplog is closed. */
WEIR_API void weir_watch_free(weir_watch *w);

#define WEIR_FOREVER   (-1) /* timeout_ms: until there is an event */
#define WEIR_MAX_AWAIT (-2) /* timeout_ms: the option max_await_ms */

/* 1: *ev is the next event, borrowed until the next call on w. 0: none within timeout_ms (0: does not wait).
 * CLOSED; HISTORY_LOST (trimmed away under a slow reader: e->oldest, e->newest; the watch is over); CORRUPT (damage,
 * with its place: weir_watch_skip to go on); NO_IMAGE; INVALID number 280 (the pipeline lost _id); INVALID,
 * LIMIT, TYPE (an expression of the pipeline failed on this event); IO. An error does not move the watch: the same
 * event comes again, unless weir_watch_skip is called. Damage is never taken for the end. */
WEIR_API int weir_watch_next(weir_watch *w, int64_t timeout_ms, const weir_event **ev,
			     weir_error *e);

/* The same, without waiting. */
WEIR_API int weir_watch_try_next(weir_watch *w, const weir_event **ev, weir_error *e);

/* Up to batch_size events at once: waits for the first, takes what else is there. *evs and the events are borrowed
 * until the next call on w; all of them count as returned. 1, 0 and errors as above; an error behind some events
 * comes with the next call. */
WEIR_API int weir_watch_next_batch(weir_watch *w, int64_t timeout_ms, const weir_event *const **evs,
				   size_t *n, weir_error *e);

/* After CORRUPT, NO_IMAGE, INVALID, LIMIT or TYPE of next: passes the damaged range or the event at fault, knowingly.
 * *skipped (may be NULL): how many entries. INVALID when the last next did not fail in such a way. */
WEIR_API int weir_watch_skip(weir_watch *w, uint64_t *skipped, weir_error *e);

/* The resume token of where the watch stands: behind the last event returned, or behind the last entry that the filter
 * left out. Never NULL; borrowed until the next call on w. */
WEIR_API const char *weir_watch_token(weir_watch *w);

/* A descriptor that polls readable when try_next may have an event; for poll, epoll, any loop. Call try_next until it
 * returns 0. Owned by w: do not close or read it. IO. */
WEIR_API int weir_watch_fd(weir_watch *w, int *fd, weir_error *e);

typedef struct weir_watch_stats {
	size_t size;          /* set by the caller */
	uint64_t scanned;     /* entries looked at */
	uint64_t returned;    /* events returned */
	uint64_t position;    /* offset of the next entry to look at */
	uint64_t lag_entries; /* entries between it and the end of the log */
	int64_t lag_ms; /* age of the last entry looked at while there are entries behind it; else 0 */
	size_t memory_bytes; /* held for this watch, about */
} weir_watch_stats;

WEIR_API int weir_watch_stat(weir_watch *w, weir_watch_stats *out, weir_error *e);

/* ---- events ----
 *
 * The functions from _token to _index tell what happened, whatever the pipeline made of it; weir_event_bson and
 * weir_event_to_json give the event as the pipeline left it. What they return is borrowed from ev.
 * Thread: as the watch; a copy as its owner likes.
 */

/* "insert" "update" "replace" "delete" "create" "drop" "rename" "dropDatabase" "createIndexes" "dropIndexes" "noop". */
WEIR_API const char *weir_event_operation(const weir_event *ev);
WEIR_API const char *weir_event_token(const weir_event *ev); /* resume behind this event */
WEIR_API weir_timestamp weir_event_cluster_time(const weir_event *ev);
WEIR_API int64_t weir_event_wall_time(const weir_event *ev);      /* ms since 1970 */
WEIR_API uint64_t weir_event_offset(const weir_event *ev);        /* of its entry in the log */
WEIR_API const char *weir_event_database(const weir_event *ev);   /* "" for a noop */
WEIR_API const char *weir_event_collection(const weir_event *ev); /* "" for dropDatabase and noop */
WEIR_API weir_doc weir_event_document_key(const weir_event *ev); /* none for operations without a document */
WEIR_API weir_doc weir_event_full_document(const weir_event *ev); /* none when there is none, or null */
/* {updatedFields, removedFields, truncatedArrays[, disambiguatedPaths]}; none but for updates. */
WEIR_API weir_doc weir_event_update_description(const weir_event *ev);
/* create, createIndexes, dropIndexes, rename: what belongs to it; else none. */
WEIR_API weir_doc weir_event_description(const weir_event *ev);
/* The definition of the index that createIndexes or dropIndexes is about; else none. */
WEIR_API weir_doc weir_event_index(const weir_event *ev);

WEIR_API weir_doc weir_event_bson(const weir_event *ev);
WEIR_API int weir_event_to_json(const weir_event *ev, enum weir_json_mode mode, weir_buffer *out,
				weir_error *e);

/* A copy that outlives the watch's next call; the caller frees it. */
WEIR_API int weir_event_copy(const weir_event *ev, weir_event **out, weir_error *e);
WEIR_API void weir_event_free(weir_event *copy); /* NULL is fine */

/* ---- tokens ---- */

#define WEIR_TOKEN_MAX 128 /* bytes of a token's text with its NUL */

typedef struct weir_token_info {
	size_t size;                 /* set by the caller */
	uint64_t offset;             /* resuming looks at this entry first */
	weir_timestamp cluster_time; /* of the entry before it, when known */
	bool is_event; /* made for an event; else a high-water mark: all below offset was looked at */
} weir_token_info;

/* Checks a token against this log and says what it means. TOKEN_CORRUPT, TOKEN_FOREIGN, TOKEN_FUTURE, HISTORY_LOST (it
 * was trimmed away), VERSION: *out is set for the last three of them where it can be. */
WEIR_API int weir_token_check(weir_oplog *o, const char *token, weir_token_info *out,
			      weir_error *e);

#ifdef __cplusplus
}
#endif

#endif
