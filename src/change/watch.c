/* watch.c: the cursor.
 *
 *	        ┌────────────────────────── next entry ◀─────────────────────────┐
 *	        ▼                                                                 │
 *	 log_reader_next ─1─▶ consider: header, scope, image if the filter needs  │
 *	        │             it, filter, build, pipeline ───────────0────────────┤
 *	        0                   │1                │ error: the position stays │
 *	        ▼                   ▼                 ▼                           │
 *	 time left? wait ──▶  return the event   return the error                 │
 *	        └─────────────────────────── woken ───────────────────────────────┘
 *
 * Closing sets a flag and interrupts the reader's wait; it frees nothing, so it may come at any moment.
 */
#include "change/watch.h"

#include <inttypes.h>
#include <stdatomic.h>

#include "base/mem.h"
#include "change/filter.h"
#include "change/lookup.h"
#include "doc/compare.h"

#define KEEP_BYTES   2048 /* buffers larger than this are given back when there is nothing to do */
#define LOOK_UP_EACH 256  /* entries between two looks at the clock and the closed flag */

/* What the last call failed with, for watch_skip. */
enum fault { FAULT_NONE, FAULT_ENTRY, FAULT_DAMAGE };

struct watch {
	struct oplog *oplog;
	struct log_reader *reader;
	struct filter filter;
	struct eval ev;
	enum watch_full full;
	uint32_t batch_size, max_await_ms;
	bool durable_only;
	atomic_bool closed; /* set by watch_close in any thread, read at each step of the owner */

	uint64_t last_cluster; /* cluster time of the entry before the position; 0: not known */
	uint32_t last_check;   /* and its checksum */
	int64_t last_wall_ms;  /* and its wall time */
	bool at_event;         /* the entry before the position is the event returned last */
	enum fault fault;
	uint64_t scanned, returned;

	struct event **events; /* events[0] serves watch_next */
	size_t held;           /* events filled so far of the batch under way */
	size_t n_events, cap_events;
	struct buf image; /* fullDocument of an update */
	uint8_t id[EVENT_ID_BYTES];
	char token[TOKEN_TEXT + 1];
};

/* ---- opening and closing ---- */

static int start_position(struct oplog *o, const struct watch_options *opt, uint64_t *position,
			  struct err *e)
{
	enum watch_start start = opt->start;
	if (opt->resume_after.p) {
		if (start != WATCH_NOW && start != WATCH_AFTER)
			return err_set(e, ERR_INVALID,
				       "resume_after and another start exclude each other");
		start = WATCH_AFTER;
	}
	switch (start) {
	case WATCH_NOW: *position = log_topic_range(oplog_topic(o), 0, false).next; return 0;
	case WATCH_OLDEST: *position = log_topic_range(oplog_topic(o), 0, false).oldest; return 0;
	case WATCH_AFTER: {
		struct token t;
		if (!opt->resume_after.p)
			return err_set(e, ERR_INVALID,
				       "the start says after a token, but there is none");
		int rc = oplog_resume(o, opt->resume_after, &t, e);
		if (rc == 0)
			*position = token_next(&t);
		return rc;
	}
	case WATCH_TIME: return oplog_seek_cluster_time(o, opt->start_cluster_time, position, e);
	case WATCH_WALL_TIME: return oplog_seek_wall_time(o, opt->start_wall_ms, position, e);
	}
	return err_set(e, ERR_INVALID, "unknown start %d", (int)start);
}

static int check_options(struct slice db, struct slice coll, const struct watch_options *opt,
			 struct err *e)
{
	if (coll.len && !db.len)
		return err_set(e, ERR_INVALID, "a collection needs a database");
	if (db.len > OPLOG_DB_NAME_MAX || coll.len > OPLOG_COLL_NAME_MAX)
		return err_set(e, ERR_INVALID, "the %s name is too long",
			       coll.len > OPLOG_COLL_NAME_MAX ? "collection" : "database");
	if (opt->batch_size > WATCH_BATCH_MAX)
		return err_set(e, ERR_LIMIT, "a batch size of %u; %d are allowed", opt->batch_size,
			       WATCH_BATCH_MAX);
	if (opt->full > WATCH_FULL_REQUIRED)
		return err_set(e, ERR_INVALID, "unknown full document mode %d", (int)opt->full);
	return 0;
}

static int open_reader(struct watch *w, const struct watch_options *opt, struct err *e)
{
	uint64_t position = 0;
	int rc = start_position(w->oplog, opt, &position, e);
	if (rc < 0)
		return rc;
	const struct log_reader_options ro = { .durable_only = !opt->follow_written };
	return log_reader_open(oplog_topic(w->oplog), 0, position, &ro, &w->reader, e);
}

int watch_open(struct oplog *o, struct slice db, struct slice coll, const struct watch_options *opt,
	       struct watch **out, struct err *e)
{
	static const struct watch_options defaults;
	if (!opt)
		opt = &defaults;
	int rc = check_options(db, coll, opt, e);
	if (rc < 0)
		return rc;
	struct watch *w = mem_try(sizeof(*w));
	if (!w)
		return err_nomem(e);
	w->oplog = o;
	w->full = opt->full;
	w->batch_size = opt->batch_size ? opt->batch_size : WATCH_BATCH_DEFAULT;
	w->max_await_ms = opt->max_await_ms ? opt->max_await_ms : WATCH_MAX_AWAIT_DEFAULT;
	w->durable_only = !opt->follow_written;
	atomic_init(&w->closed, false);
	eval_init(&w->ev);
	rc = filter_init(&w->filter, db, coll, opt->filter, opt->pipeline, e);
	w->filter.show_noops = opt->show_noops;
	if (rc == 0)
		rc = open_reader(w, opt, e);
	if (rc < 0) {
		watch_free(w);
		return rc;
	}
	*out = w;
	return 0;
}

void watch_close(struct watch *w)
{
	atomic_store(&w->closed, true);
	log_reader_interrupt(w->reader);
}

void watch_free(struct watch *w)
{
	if (!w)
		return;
	log_reader_close(w->reader);
	filter_done(&w->filter);
	eval_done(&w->ev);
	for (size_t i = 0; i < w->n_events; i++) {
		event_done(w->events[i]);
		mem_free(w->events[i]);
	}
	mem_free(w->events);
	buf_done(&w->image);
	mem_free(w);
}

/* ---- one entry ---- */

static int raise_closed(struct err *e)
{
	return err_set(e, ERR_CLOSED, "the watch was closed");
}

/* The fullDocument of an update, as the options ask. */
static int find_image(struct watch *w, const struct entry *n, const struct value *v,
		      enum event_full *full, struct err *e)
{
	*full = EVENT_FULL_NONE;
	if (n->op != CHANGE_UPDATE || w->full == WATCH_FULL_DEFAULT)
		return 0;
	struct lookup *l = oplog_lookup(w->oplog);
	buf_reset(&w->image);
	int rc;
	if (w->full == WATCH_FULL_LOOKUP) {
		struct value id = entry_key_id(n);
		rc = lookup_latest(l, value_slice(v[ENTRY_DB]), value_slice(v[ENTRY_COLL]), id,
				   n->offset + 1, &w->image, NULL, e);
		if (rc < 0)
			return rc;
		*full = rc ? EVENT_FULL_IMAGE : EVENT_FULL_NULL;
		return 0;
	}
	rc = lookup_image(l, n->offset, &w->image, e);
	if (rc == ERR_NO_IMAGE && w->full == WATCH_FULL_WHEN_AVAILABLE) {
		*full = EVENT_FULL_NULL;
		return 0;
	}
	if (rc == 0)
		*full = EVENT_FULL_IMAGE;
	return rc;
}

static void show_image(const struct watch *w, enum event_full full, struct value *v)
{
	if (full == EVENT_FULL_IMAGE)
		v[ENTRY_FULL_DOCUMENT] = value_doc(buf_slice(&w->image));
	else if (full == EVENT_FULL_NULL)
		v[ENTRY_FULL_DOCUMENT] = VALUE_NULL;
}

static void show_id(struct watch *w, const struct entry *n, struct value *v)
{
	char text[TOKEN_TEXT + 1];
	const struct token t = {
		.position = n->offset,
		.cluster_time = (uint64_t)v[ENTRY_CLUSTER_TIME].i64,
		.check = entry_check(n),
		.kind = TOKEN_EVENT,
	};
	token_encode(oplog_token_key(w->oplog), &t, text);
	event_id(text, w->id);
	v[ENTRY_ID] = value_doc(slice_of(w->id, sizeof(w->id)));
}

static int take_piped(void *arg, struct slice doc, struct err *e)
{
	struct event *ev = arg;
	buf_reset(&ev->piped);
	buf_add_slice(&ev->piped, doc);
	ev->has_piped = true;
	return buf_check(&ev->piped, e);
}

/* A stream whose events have lost their tokens could not be resumed. */
static int check_id(const struct event *ev, struct err *e)
{
	struct value id = bson_get(buf_slice(&ev->piped), SLICE_LIT("_id"));
	if (value_identical(id, bson_get(buf_slice(&ev->source), SLICE_LIT("_id"))))
		return 0;
	return err_number(e, ERR_INVALID, 280,
			  "the pipeline %s _id, the resume token: keep it as it is",
			  id.type == BSON_MISSING ? "removes" : "changes");
}

static int run_pipeline(struct watch *w, struct event *ev, struct err *e)
{
	if (!w->filter.rest)
		return 1;
	int rc = pipeline_run(w->filter.rest, &w->ev, buf_slice(&ev->source), take_piped, ev, e);
	if (rc < 0)
		return err_in(e, rc, "pipeline, entry %" PRIu64, ev->offset);
	if (!ev->has_piped)
		return 0;
	rc = check_id(ev, e);
	return rc < 0 ? rc : 1;
}

/* 1: *ev is the event of this record; 0: the stream does not show it. */
static int consider(struct watch *w, const struct log_record *rec, struct event *ev, struct err *e)
{
	struct entry n;
	int rc = entry_open(&n, rec, e);
	if (rc < 0)
		return rc;
	if (!filter_may_pass(&w->filter, &n))
		return 0;
	struct value v[ENTRY_FIELDS];
	size_t event_bytes = entry_fields(&n, v);
	if (!filter_in_scope(&w->filter, &n, v))
		return 0;
	eval_reset(&w->ev);
	w->ev.now_ms = v[ENTRY_WALL_TIME].i64;
	enum event_full full = EVENT_FULL_NONE;
	bool early = w->filter.used >> ENTRY_FULL_DOCUMENT & 1;
	if (early)
		rc = find_image(w, &n, v, &full, e);
	if (rc < 0)
		return rc;
	show_image(w, full, v);
	if (w->filter.used >> ENTRY_ID & 1)
		show_id(w, &n, v);
	rc = filter_matches(&w->filter, &w->ev, v, e);
	if (rc < 0)
		return err_in(e, rc, "filter, entry %" PRIu64, n.offset);
	if (rc == 1 && !early) {
		rc = find_image(w, &n, v, &full, e);
		if (rc == 0)
			rc = 1;
	}
	if (rc <= 0)
		return rc;
	rc = event_build(ev, oplog_token_key(w->oplog), &n, v, event_bytes, full,
			 buf_slice(&w->image), e);
	if (rc < 0)
		return rc;
	return run_pipeline(w, ev, e);
}

/* ---- next ---- */

/* Nothing to do for a while: memory that only work needs goes back, but for the events of a batch under way. */
static void rest(struct watch *w)
{
	for (size_t i = w->held; i < w->n_events; i++)
		if (event_memory(w->events[i]) > KEEP_BYTES)
			event_done(w->events[i]);
	if (w->image.cap > KEEP_BYTES)
		buf_done(&w->image);
	if (w->ev.arena.total_bytes > KEEP_BYTES)
		arena_done(&w->ev.arena);
	if (w->ev.scratch.cap > KEEP_BYTES)
		buf_done(&w->ev.scratch);
}

static bool is_transient(int rc)
{
	return rc == ERR_NOMEM || rc == ERR_CLOSED || rc == ERR_HISTORY_LOST || rc == ERR_IO;
}

/* Looks at what is there: 1 an event, 0 nothing (any more, or the time is up: *expired). */
static int scan(struct watch *w, nsec deadline, bool *expired, struct event *ev, struct err *e)
{
	struct env *env = oplog_env(w->oplog);
	for (uint32_t i = 1;; i++) {
		struct log_record rec;
		uint64_t position = log_reader_position(w->reader);
		int rc = log_reader_next(w->reader, &rec, e);
		if (rc == 0)
			return 0;
		if (rc < 0) {
			w->fault = rc == ERR_CORRUPT ? FAULT_DAMAGE : FAULT_NONE;
			if (rc == ERR_HISTORY_LOST && e)
				e->number = 286;
			return rc;
		}
		rc = consider(w, &rec, ev, e);
		if (rc < 0) {
			log_reader_seek(w->reader, position);
			w->fault = is_transient(rc) ? FAULT_NONE : FAULT_ENTRY;
			return rc;
		}
		w->scanned++;
		w->last_wall_ms = rec.time_ms;
		w->at_event = rc == 1;
		w->last_cluster = rc == 1 ? ev->cluster_time : 0;
		w->last_check = ev->check;
		if (rc == 1)
			return 1;
		if (i % LOOK_UP_EACH)
			continue;
		if (atomic_load(&w->closed))
			return raise_closed(e);
		if (deadline > 0 && env_mono(env) >= deadline) {
			*expired = true;
			return 0;
		}
	}
}

/* deadline: 0 does not wait, -1 for ever. */
static int pull(struct watch *w, nsec deadline, struct event *ev, struct err *e)
{
	w->fault = FAULT_NONE;
	for (;;) {
		bool expired = false;
		if (atomic_load(&w->closed))
			return raise_closed(e);
		int rc = scan(w, deadline, &expired, ev, e);
		if (rc != 0 || expired)
			return rc;
		if (deadline == 0) {
			rest(w);
			return 0;
		}
		rest(w);
		rc = log_reader_wait(w->reader, deadline, e);
		if (rc == 0)
			return atomic_load(&w->closed) ? raise_closed(e) : 0;
		if (rc == ERR_INTERRUPTED && atomic_load(&w->closed))
			return raise_closed(e);
		if (rc < 0 && rc != ERR_INTERRUPTED)
			return rc;
	}
}

static nsec deadline_of(struct watch *w, int64_t timeout_ms)
{
	if (timeout_ms == WATCH_FOREVER)
		return -1;
	if (timeout_ms == WATCH_MAX_AWAIT)
		timeout_ms = w->max_await_ms;
	if (timeout_ms <= 0)
		return 0;
	timeout_ms = MIN(timeout_ms, INT64_MAX / 4 / NSEC_PER_MS);
	return env_mono(oplog_env(w->oplog)) + timeout_ms * NSEC_PER_MS;
}

/* The i-th event to fill. */
static struct event *event_slot(struct watch *w, size_t i)
{
	if (i < w->n_events)
		return w->events[i];
	if (w->n_events == w->cap_events) {
		size_t cap = w->cap_events ? MIN(w->cap_events * 2, (size_t)WATCH_BATCH_MAX) : 1;
		struct event **events = mem_retry(w->events, cap * sizeof(*events));
		if (!events)
			return NULL;
		w->events = events;
		w->cap_events = cap;
	}
	struct event *ev = mem_try(sizeof(*ev));
	if (ev)
		w->events[w->n_events++] = ev;
	return ev;
}

int watch_next(struct watch *w, int64_t timeout_ms, const struct event **ev, struct err *e)
{
	struct event *slot = event_slot(w, 0);
	if (!slot)
		return err_nomem(e);
	int rc = pull(w, deadline_of(w, timeout_ms), slot, e);
	if (rc == 1) {
		w->returned++;
		*ev = slot;
	}
	return rc;
}

int watch_next_batch(struct watch *w, int64_t timeout_ms, const struct event *const **evs,
		     size_t *n, struct err *e)
{
	nsec deadline = deadline_of(w, timeout_ms);
	size_t count = 0;
	int rc = 1;
	while (rc == 1 && count < w->batch_size) {
		struct event *slot = event_slot(w, count);
		if (!slot)
			rc = err_nomem(e);
		else
			rc = pull(w, count ? 0 : deadline, slot, e);
		if (rc == 1)
			w->held = ++count;
	}
	w->held = 0;
	if (count == 0)
		return rc;
	/* What stopped the batch is met again by the next call. */
	err_clear(e);
	w->returned += count;
	*evs = (const struct event *const *)w->events;
	*n = count;
	return 1;
}

/* ---- faults ---- */

/* Goes behind the damaged range, as far as the log knows it. */
static int pass_damage(struct watch *w, struct err *e)
{
	struct log_record rec;
	uint64_t position = log_reader_position(w->reader);
	struct err why = ERR_INIT;
	int rc = log_reader_next(w->reader, &rec, &why);
	if (rc >= 0) {
		log_reader_seek(w->reader, position); /* it can be read after all */
		return 0;
	}
	if (rc != ERR_CORRUPT) {
		if (e)
			*e = why;
		return rc;
	}
	log_reader_seek(w->reader, MAX(why.newest, position + 1));
	return 0;
}

int watch_skip(struct watch *w, uint64_t *skipped, struct err *e)
{
	uint64_t position = log_reader_position(w->reader);
	int rc = 0;
	switch (w->fault) {
	case FAULT_NONE: return err_set(e, ERR_INVALID, "there is nothing to skip");
	case FAULT_ENTRY: log_reader_seek(w->reader, position + 1); break;
	case FAULT_DAMAGE: rc = pass_damage(w, e); break;
	}
	if (rc < 0) {
		log_reader_seek(w->reader, position);
		return rc;
	}
	w->fault = FAULT_NONE;
	w->at_event = false;
	w->last_cluster = 0;
	if (skipped)
		*skipped = log_reader_position(w->reader) - position;
	return 0;
}

/* ---- where it stands ---- */

const char *watch_token(struct watch *w)
{
	uint64_t position = log_reader_position(w->reader);
	if (w->last_cluster == 0 && position > 0) {
		struct entry_mark mark;
		if (lookup_mark(oplog_lookup(w->oplog), position - 1, &mark, NULL) == 0) {
			w->last_cluster = mark.cluster_time;
			w->last_check = mark.check;
		}
	}
	struct token t = {
		.position = position,
		.cluster_time = w->last_cluster,
		.check = w->last_cluster ? w->last_check : 0,
		.kind = TOKEN_MARK,
	};
	if (w->at_event) {
		t.position--;
		t.kind = TOKEN_EVENT;
	}
	token_encode(oplog_token_key(w->oplog), &t, w->token);
	return w->token;
}

int watch_fd(struct watch *w, int *fd, struct err *e)
{
	return log_reader_fd(w->reader, fd, e);
}

void watch_stat(struct watch *w, struct watch_stats *out)
{
	struct env *env = oplog_env(w->oplog);
	uint64_t next = log_topic_range(oplog_topic(w->oplog), 0, w->durable_only).next;
	uint64_t position = log_reader_position(w->reader);
	*out = (struct watch_stats){
		.scanned = w->scanned,
		.returned = w->returned,
		.position = position,
		.lag_entries = next > position ? next - position : 0,
		.memory_bytes = sizeof(*w) + w->cap_events * sizeof(*w->events) + w->image.cap +
				w->ev.arena.total_bytes + w->ev.scratch.cap,
	};
	for (size_t i = 0; i < w->n_events; i++)
		out->memory_bytes += sizeof(**w->events) + event_memory(w->events[i]);
	if (out->lag_entries && w->last_wall_ms)
		out->lag_ms = MAX(env_wall_ms(env) - w->last_wall_ms, 0);
}
