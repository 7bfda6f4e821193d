/* watch.h: a change stream: a cursor over the oplog that knows what to show.
 *
 * It reads the log at the caller's pace, one entry at a time; there is no thread and no queue behind it. So nothing is
 * dropped, and an idle stream is a few hundred bytes asleep in the log's wait.
 *
 * Where it stands. `position` is the next entry to look at. The resume token says: behind the event returned last, or,
 * once entries behind that were looked at and not shown, a high-water mark at the position. An error leaves the
 * position before the entry at fault, so that the same comes again, until watch_skip().
 *
 * Thread: one at a time, except watch_close().
 */
#ifndef CHANGE_WATCH_H
#define CHANGE_WATCH_H

#include "change/event.h"
#include "change/oplog.h"

#define WATCH_BATCH_DEFAULT     100
#define WATCH_BATCH_MAX         10000
#define WATCH_MAX_AWAIT_DEFAULT 1000

#define WATCH_FOREVER   INT64_C(-1)
#define WATCH_MAX_AWAIT INT64_C(-2)

enum watch_start { WATCH_NOW, WATCH_OLDEST, WATCH_AFTER, WATCH_TIME, WATCH_WALL_TIME };
enum watch_full {
	WATCH_FULL_DEFAULT,
	WATCH_FULL_LOOKUP,
	WATCH_FULL_WHEN_AVAILABLE,
	WATCH_FULL_REQUIRED
};

struct watch_options {
	enum watch_start start;
	struct slice resume_after; /* a token */
	uint64_t start_cluster_time;
	int64_t start_wall_ms;
	struct slice filter;   /* a query document */
	struct slice pipeline; /* an array document */
	enum watch_full full;
	uint32_t batch_size;   /* 0: the default */
	uint32_t max_await_ms; /* 0: the default */
	bool follow_written, show_noops;
};

struct watch;

int watch_open(struct oplog *o, struct slice db, struct slice coll, const struct watch_options *opt,
	       struct watch **out, struct err *e);
void watch_close(struct watch *w); /* any thread: next returns ERR_CLOSED from now on */
void watch_free(struct watch *w);

/* 1: *ev, borrowed until the next call. 0: none within timeout_ms. Errors: include/weir/change.h has the list. */
int watch_next(struct watch *w, int64_t timeout_ms, const struct event **ev, struct err *e);
int watch_next_batch(struct watch *w, int64_t timeout_ms, const struct event *const **evs,
		     size_t *n, struct err *e);
int watch_skip(struct watch *w, uint64_t *skipped, struct err *e);

const char *watch_token(struct watch *w);
int watch_fd(struct watch *w, int *fd, struct err *e);

struct watch_stats {
	uint64_t scanned, returned, position, lag_entries;
	int64_t lag_ms;
	size_t memory_bytes; /* but for the log's reader */
};
void watch_stat(struct watch *w, struct watch_stats *out);

#endif
