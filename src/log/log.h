/* log.h: an embedded, durable, partitioned log.
 *
 * A log directory holds topics; a topic has partitions; a partition is a chain of preallocated segment files with
 * sparse indexes. A record has key, value, headers and a timestamp; offsets are dense per partition. One process
 * writes (it holds the lock), any number read. docs/formats/log.md has the bytes; log/README.md the idea.
 *
 * Acknowledgement. Appends of many threads share one flush. LOG_ACK_NONE returns once the records have their
 * offsets; LOG_ACK_WRITTEN when every reader and a process crash would find them; LOG_ACK_DURABLE when a power loss
 * would. After the first failed flush the log is poisoned: every later append fails with ERR_POISONED until the log
 * is reopened, and nothing unflushed is ever acknowledged as durable. An append that finds no space fails with
 * ERR_NOSPACE and has changed nothing.
 *
 * Thread: a struct log and its topics from any thread; a struct log_reader from one at a time, except
 * log_reader_interrupt().
 */
#ifndef LOG_LOG_H
#define LOG_LOG_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "os/env.h"

#define LOG_RECORD_MAX      (64u << 20)   /* key + value + headers, bytes */
#define LOG_TOPIC_NAME_MAX  200           /* [A-Za-z0-9._-], not starting with '.' or '_' + '_' (internal) */
#define LOG_PARTITIONS_MAX  4096

struct log;
struct log_topic;
struct log_reader;

enum log_ack { LOG_ACK_DURABLE, LOG_ACK_WRITTEN, LOG_ACK_NONE };

struct log_options {
	struct env *env;                /* NULL: env_posix() */
	bool read_only;                 /* a reader process: takes no lock, repairs nothing */
	bool create;                    /* make the directory and an empty log when there is none */
	uint64_t segment_bytes;         /* 0: 64 MiB */
	uint32_t flush_interval_ms;     /* a background flush of what was only written; 0: 1000; UINT32_MAX: never */
	/* log_verify and log_repair, for each partition: how far it is read. Non-zero stops with ERR_INTERRUPTED. */
	int (*progress)(void *arg, uint64_t done_bytes, uint64_t total_bytes);
	void *progress_arg;
};

struct log_retention {
	uint64_t max_bytes;             /* of each partition; 0: no limit */
	int64_t max_age_ms;             /* 0: no limit; by record timestamps, never by a jump of the wall clock alone */
};

struct log_record {
	uint64_t offset;                /* set by the log */
	int64_t time_ms;                /* wall time; 0 at append: now */
	bool has_key, has_value;        /* a missing key or value differs from an empty one; no value: a tombstone */
	struct slice key, value;
	struct slice headers;           /* opaque to the log */
};

struct log_range { uint64_t oldest, next; };  /* offsets [oldest, next) exist */

/* Opens (and, as the writer, repairs a torn tail of) the log at dir. ERR_NOTFOUND no directory; ERR_INVALID not a
 * log; ERR_VERSION newer format; ERR_LOCKED another writer; ERR_CORRUPT damage that needs `repair`; ERR_IO ... */
int log_open(const char *dir, const struct log_options *o, struct log **out, struct err *e);
int log_close(struct log *l, struct err *e);     /* flushes; frees even when that fails */

/* The log's identity: 16 random bytes made at creation. */
const uint8_t *log_id(const struct log *l);
bool log_is_read_only(const struct log *l);

/* Topics live as long as the log is open. */
int log_topic_create(struct log *l, const char *name, uint32_t partitions, struct log_topic **out, struct err *e); /* ERR_EXISTS */
int log_topic_open(struct log *l, const char *name, struct log_topic **out, struct err *e);                        /* ERR_NOTFOUND */
int log_topic_list(struct log *l, int (*each)(void *arg, const char *name, uint32_t partitions), void *arg, struct err *e);
uint32_t log_topic_partitions(const struct log_topic *t);
int log_topic_set_retention(struct log_topic *t, const struct log_retention *r, struct err *e);   /* kept in the topic's metadata */
struct log_retention log_topic_retention(struct log_topic *t);

/* Appends n records to one partition, all or none, with consecutive offsets; *first gets the first. The batch is
 * one checksummed unit. Sets rec[i].offset and, where 0, rec[i].time_ms. */
int log_append(struct log_topic *t, uint32_t partition, struct log_record *rec, size_t n, enum log_ack ack,
	       uint64_t *first, struct err *e);

/* Waits until every offset below `next` is durable (flushing if needed). */
int log_flush(struct log_topic *t, uint32_t partition, uint64_t next, struct err *e);

/* The offsets a reader may see: all written ones, or only the durable ones. */
struct log_range log_topic_range(struct log_topic *t, uint32_t partition, bool durable_only);

/* The first offset whose record has time_ms >= the given (the end when none has). */
int log_topic_seek_time(struct log_topic *t, uint32_t partition, int64_t time_ms, uint64_t *offset, struct err *e);

/* ---- reading ---- */

struct log_reader_options {
	bool durable_only;              /* follow durable records instead of written ones */
	size_t buffer_bytes;            /* 0: 256 KiB; grows for a larger batch; released while idle */
};

int log_reader_open(struct log_topic *t, uint32_t partition, uint64_t from, const struct log_reader_options *o,
		    struct log_reader **out, struct err *e);
void log_reader_close(struct log_reader *r);

/* 1: *rec is the record at the reader's position, borrowed until the next call; the position moves behind it.
 * 0: nothing there yet. ERR_HISTORY_LOST (e->oldest, e->newest set): trimmed away, also while reading, never a gap;
 * ERR_CORRUPT: damage, with file and byte range; the lost offsets are [e->oldest, e->newest): log_reader_seek to the
 * latter to go on. Also ERR_HISTORY_LOST when the log now ends before the position: what was only written was lost. */
int log_reader_next(struct log_reader *r, struct log_record *rec, struct err *e);
void log_reader_seek(struct log_reader *r, uint64_t offset);
uint64_t log_reader_position(const struct log_reader *r);

/* Sleeps until a record may be there, the deadline (mono clock; -1 none) or an interrupt. 1, 0 time-out, ERR_INTERRUPTED. */
int log_reader_wait(struct log_reader *r, nsec deadline, struct err *e);
void log_reader_interrupt(struct log_reader *r);  /* any thread: ends this or the next wait */
/* A descriptor that polls readable when log_reader_next may have something (made at the first call; then kept up to
 * date without a busy loop, also for records of another process). */
int log_reader_fd(struct log_reader *r, int *fd, struct err *e);

/* ---- keeping ---- */

int log_trim(struct log_topic *t, uint32_t partition, uint64_t before, uint64_t *oldest, struct err *e); /* whole segments wholly below `before` */
int log_retain(struct log *l, struct err *e);     /* applies every topic's retention now; the writer also does so as segments roll */

struct log_damage {
	const char *topic, *file;
	uint32_t partition;
	uint64_t from_byte, to_byte;        /* in the file */
	uint64_t from_offset, to_offset;    /* lost offsets [from, to) */
	const char *what;
};
struct log_report { uint64_t topics, partitions, segments, batches, records, bytes, damages; };

/* Reads everything, calls each for every damage. 0 whole, 1 damaged, negative: could not look. Takes no lock. */
int log_verify(const char *dir, const struct log_options *o, int (*each)(void *arg, const struct log_damage *d), void *arg,
	       struct log_report *out, struct err *e);
/* Makes a damaged log writable and readable again: rebuilds indexes, quarantines damaged ranges (the bytes are kept in
 * a file beside), so that readers get a typed error for the lost offsets and everything else. Needs the lock. */
int log_repair(const char *dir, const struct log_options *o, bool accept_loss,
	       int (*each)(void *arg, const struct log_damage *d), void *arg, struct log_report *out, struct err *e);

struct log_stats {
	uint64_t appended_records, appended_bytes, flushes, bytes_on_disk, segments;
	bool poisoned;
};
void log_stats(struct log *l, struct log_stats *out);

#endif
