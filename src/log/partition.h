/* partition.h: the inside of log/: the log, its topics, and the partition, where appends meet flushes.
 *
 * The writer keeps the last segment mapped and stores batches into the map:
 *
 *	|header|batch|batch|batch|batch|zeros, preallocated ........|  (not allocated yet) ...|
 *	                    ^durable    ^used (= published)          ^allocated                ^map_len
 *
 * Lock order: log.lock, partition.trim_lock, partition.lock, flusher.lock or tail.lock. The hot path takes
 * partition.lock only.
 */
#ifndef LOG_PARTITION_H
#define LOG_PARTITION_H

#include "log/page.h"
#include "log/recover.h"
#include "log/segment.h"
#include "os/thread.h"

#define INDEX_PENDING 32 /* index entries gathered before they are written */

/* The segment that is written. */
struct active {
	struct file *file, *index; /* index NULL: could not be opened; readers do without */
	uint8_t *map;
	size_t map_len;
	uint64_t allocated, prefaulted, used; /* bytes from the file's start */
	uint64_t flushed;                     /* used at the last flush */
	uint32_t seed;
	struct segment_header header;
	int64_t max_time_ms;
	uint64_t indexed;     /* byte of the last index entry */
	uint64_t index_bytes; /* of its file */
	uint8_t pending[INDEX_PENDING * INDEX_ENTRY_BYTES];
	size_t n_pending;
	bool marked; /* the last batch is a mark */
	bool sealed; /* recovered with a seal at its end: the next append begins a new one */
};

/* What is kept of each segment; the last one is the active one. */
struct segment_info {
	uint64_t base;
	uint64_t bytes;      /* 0: ask the file system */
	int64_t max_time_ms; /* when known */
	bool max_time_known;
	bool stamped;          /* has records that the log, open since, gave their time */
	nsec sealed_mono;      /* when it was sealed, if stamped */
	struct file *unsynced; /* sealed, not flushed yet */
};

struct tail {
	uint64_t position, next;
};

/* What a reader process knows while no writer vouches for the page. */
struct known {
	bool valid;
	uint64_t session; /* the page's when it was found out */
	nsec when;
	uint64_t oldest;
	struct tail written, durable;
};

struct partition {
	struct log_topic *topic;
	struct place place;
	struct page_slot *slot; /* NULL: a reader process on a log it cannot write to */

	struct mutex trim_lock; /* one trim at a time */
	struct mutex lock;      /* guards everything below */
	struct cond gathered;   /* enough appends wait for the leader to start */
	struct segment_info *segs;
	size_t n_segs, cap_segs;
	struct active a; /* a.file NULL: no segment yet */
	uint64_t next;
	uint64_t end_position; /* where the next segment would begin, when there is none active */
	struct tail durable;
	uint64_t oldest;
	bool flushing;                    /* somebody leads a round */
	bool dir_dirty;                   /* a file was created since the directory was synced */
	bool queued;                      /* with the flusher */
	struct partition *next_dirty;     /* guarded by flusher.lock */
	unsigned waiting;                 /* appends that wait for the next round to start */
	unsigned gather_at;               /* wake the leader when that many do */
	unsigned last_group;              /* appends that the last round made durable */
	nsec flush_ema;                   /* how long a sync takes */
	uint64_t records, bytes, flushes; /* counters */

	_Atomic uint32_t round;   /* rounds that ended: those who wait for one sleep on it */
	_Atomic uint64_t trusted; /* reader process: the session believed; stored under lock */
	uint64_t first_session;   /* reader process: what the page held when it was opened */
	struct known known;       /* reader process */
};

struct log_topic {
	struct log *log;
	struct topic_meta meta; /* retention guarded by log->lock */
	char *dir;
	struct file *page_file;
	void *page;
	size_t page_len;
	struct partition *parts;
	uint32_t n_parts; /* initialised so far */
};

struct flusher {
	struct mutex lock; /* guards the rest */
	struct cond more;
	struct thread thread;
	bool started, stop;
	struct partition *first_dirty;
};

struct tail_watch {
	struct mutex lock; /* guards the rest and every reader's fd state */
	struct thread thread;
	bool started;
	_Atomic bool stop;
	struct log_reader *first; /* readers with a descriptor */
};

struct log {
	struct env *env;
	char *dir;
	struct log_options options;
	struct log_meta meta;
	struct file *lock_file; /* held by the writer; may be NULL in a reader process */
	struct file *page_file;
	struct page_log *page; /* NULL: as partition.slot */
	uint64_t session;
	int64_t opened_wall_ms;
	nsec opened_mono;

	struct mutex lock; /* guards topics, their retention */
	struct log_topic **topics;
	size_t n_topics;
	_Atomic bool poisoned;
	struct mutex poison_lock; /* guards poison; nothing is locked under it */
	struct err poison;

	struct flusher flusher;
	struct tail_watch watch;
};

/* ---- log.c ---- */

int log_writable(const struct log *l, struct err *e); /* ERR_ACCESS */

/* ---- partition.c ---- */

/* The topic's partition of that number; ERR_INVALID. To write: ERR_ACCESS, too. */
int partition_of(struct log_topic *t, uint32_t number, struct partition **out, struct err *e);
int partition_to_write(struct log_topic *t, uint32_t number, struct partition **out,
		       struct err *e);
int partition_init(struct partition *p, struct log_topic *t, uint32_t number, struct err *e);
int partition_start_writing(struct partition *p, struct err *e); /* recovers, then publishes */
int partition_stop_writing(struct partition *p, struct err *e);  /* flushes, marks, truncates */
void partition_done(struct partition *p);
/* The segment that holds offset (the last with base <= offset): ERR_HISTORY_LOST below the oldest. */
int partition_find_segment(struct partition *p, uint64_t offset, uint64_t *base, struct err *e);
/* The next segment behind base; ERR_NOTFOUND when base is the last. */
int partition_next_segment(struct partition *p, uint64_t base, uint64_t *next, struct err *e);
int history_lost(struct partition *p, uint64_t offset, struct err *e);

/* ---- active.c ---- */

int active_create(struct partition *p, size_t batch_len, struct active *out, struct err *e);
int active_resume(struct partition *p, const struct recovered *r, struct err *e);
/* Makes room for a batch of len bytes and the seal behind it, in this segment or a new one. Lock held. */
int active_reserve(struct partition *p, size_t len, struct err *e);
void active_note_index(struct partition *p); /* before a batch is stored at a.used */
void active_put_empty(struct partition *p, enum batch_kind kind);
void active_write_index(struct active *a);
void active_close(struct partition *p, struct active *a);
uint64_t partition_position(const struct partition *p); /* of the end of the data */

/* ---- flush.c ---- */

/* Waits until durable.position >= position, leading a flush if nobody does. Lock not held. */
int partition_wait_durable(struct partition *p, uint64_t position, struct err *e);
void log_poison(struct log *l, const struct err *cause);
int log_poisoned_error(struct log *l, struct err *e);
void flusher_init(struct flusher *f);
void flusher_note(struct partition *p); /* p has something unflushed; p->lock held */
void flusher_stop(struct log *l);

/* ---- tail.c ---- */

void partition_publish(struct partition *p); /* the written end; p->lock held */
void partition_wake(struct partition *p);
int partition_tail(struct partition *p, bool durable, struct tail *out, uint64_t *oldest,
		   struct err *e);
void watch_init(struct tail_watch *w);
void watch_stop(struct log *l);

/* ---- retain.c ---- */

int partition_trim(struct partition *p, uint64_t before, struct err *e);
int partition_retain(struct partition *p, struct err *e);

#endif
