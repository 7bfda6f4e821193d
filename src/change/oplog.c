/* oplog.c: opening, positions and keeping; append.c has the way in.
 *
 * Opening as the writer reads one entry, the last: cluster time and log time go on from there, so they never go back
 * across restarts, whatever the clock says meanwhile.
 */
#include "change/oplog.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"
#include "change/append.h"

/* ---- opening ---- */

static int open_topic(struct oplog *o, struct err *e)
{
	int rc = log_topic_open(o->log, OPLOG_TOPIC, &o->topic, e);
	if (rc != ERR_NOTFOUND)
		return rc;
	if (o->read_only)
		return err_set(e, ERR_NOTFOUND, "the log holds no oplog yet");
	return log_topic_create(o->log, OPLOG_TOPIC, 1, &o->topic, e);
}

/* Goes on from the newest entry that can be read. */
static int restore_clock(struct oplog *o, struct err *e)
{
	struct log_range range = log_topic_range(o->topic, 0, false);
	o->next = range.next;
	for (uint64_t at = range.next; at > range.oldest; at--) {
		struct entry_mark last;
		int rc = lookup_mark(o->lookup, at - 1, &last, e);
		if (rc == ERR_CORRUPT)
			continue;
		if (rc == 0) {
			o->last_cluster = last.cluster_time;
			o->last_ms = last.log_ms;
		}
		return rc == ERR_HISTORY_LOST ? 0 : rc;
	}
	return 0;
}

static int open_parts(struct oplog *o, const char *dir, const struct oplog_options *opt,
		      struct err *e)
{
	const struct log_options lo = {
		.env = o->env,
		.read_only = o->read_only,
		.create = !o->read_only && !opt->must_exist,
		.segment_bytes = opt->segment_bytes,
		.flush_interval_ms = opt->flush_interval_ms,
	};
	int rc = log_open(dir, &lo, &o->log, e);
	if (rc == 0)
		rc = open_topic(o, e);
	if (rc < 0)
		return rc;
	token_key_init(&o->key, log_id(o->log));
	snprintf(o->name, sizeof(o->name), "%016" PRIX64, get_be64(o->key.name));
	rc = lookup_new(o->topic, o->env, opt->latest,
			opt->latest_bytes_max ? opt->latest_bytes_max : OPLOG_LATEST_BYTES,
			&o->lookup, e);
	if (rc == 0 && !o->read_only)
		rc = restore_clock(o, e);
	return rc;
}

int oplog_open(const char *dir, const struct oplog_options *opt, struct oplog **out, struct err *e)
{
	static const struct oplog_options defaults;
	if (!opt)
		opt = &defaults;
	struct oplog *o = mem_try(sizeof(*o));
	if (!o)
		return err_nomem(e);
	o->env = opt->env ? opt->env : env_posix();
	o->read_only = opt->read_only;
	o->ack = opt->ack;
	mutex_init(&o->lock);
	mutex_init(&o->idle_lock);
	int rc = open_parts(o, dir, opt, e);
	if (rc < 0) {
		(void)oplog_close(o, NULL);
		return err_in(e, rc, "opening the oplog %s", dir);
	}
	*out = o;
	return 0;
}

int oplog_close(struct oplog *o, struct err *e)
{
	if (!o)
		return 0;
	lookup_free(o->lookup);
	int rc = o->log ? log_close(o->log, e) : 0;
	while (o->idle) {
		struct appender *a = o->idle;
		o->idle = appender_next(a);
		appender_free(a);
	}
	mutex_done(&o->lock);
	mutex_done(&o->idle_lock);
	mem_free(o);
	return rc;
}

struct log *oplog_log(struct oplog *o)
{
	return o->log;
}

struct log_topic *oplog_topic(struct oplog *o)
{
	return o->topic;
}

struct lookup *oplog_lookup(struct oplog *o)
{
	return o->lookup;
}

struct env *oplog_env(struct oplog *o)
{
	return o->env;
}

const struct token_key *oplog_token_key(const struct oplog *o)
{
	return &o->key;
}

const char *oplog_name(const struct oplog *o)
{
	return o->name;
}

enum log_ack oplog_ack(const struct oplog *o)
{
	return o->ack;
}

int oplog_flush(struct oplog *o, struct err *e)
{
	mutex_lock(&o->lock);
	uint64_t next = o->next;
	mutex_unlock(&o->lock);
	return o->read_only ? 0 : log_flush(o->topic, 0, next, e);
}

/* ---- positions ---- */

int oplog_history_lost(struct err *e, struct log_range range, const char *fmt, ...)
{
	char what[128];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	if (range.next > range.oldest)
		(void)err_number(e, ERR_HISTORY_LOST, 286,
				 "%s was trimmed away; the log has entries %" PRIu64 " to %" PRIu64,
				 what, range.oldest, range.next - 1);
	else
		(void)err_number(e, ERR_HISTORY_LOST, 286, "%s was trimmed away; the log is empty",
				 what);
	if (e) {
		e->oldest = range.oldest;
		e->newest = range.next ? range.next - 1 : 0;
	}
	return ERR_HISTORY_LOST;
}

/* The token knows the entry before its position: a log that was set back and written anew has another one there. */
static int check_history(struct oplog *o, const struct token *t, struct err *e)
{
	struct entry_mark mark;
	uint64_t next = token_next(t);
	if (t->cluster_time == 0 || next == 0)
		return 0;
	int rc = lookup_mark(o->lookup, next - 1, &mark, e);
	if (rc == ERR_HISTORY_LOST || rc == ERR_CORRUPT)
		return 0; /* trimmed or damaged: nothing to compare with, and nothing that the stream would miss */
	if (rc < 0)
		return rc;
	if (mark.cluster_time != t->cluster_time || mark.check != t->check)
		return err_number(e, ERR_TOKEN_FOREIGN, 260,
				  "the resume token belongs to a history of this log that was "
				  "rolled back: entry "
				  "%" PRIu64 " is another one now",
				  next - 1);
	return 0;
}

int oplog_resume(struct oplog *o, struct slice text, struct token *out, struct err *e)
{
	int rc = token_decode(&o->key, text, out, e);
	if (rc < 0)
		return rc;
	struct log_range range = log_topic_range(o->topic, 0, false);
	uint64_t next = token_next(out);
	if (next > range.next) {
		(void)err_number(e, ERR_TOKEN_FUTURE, 260,
				 "the resume token stands before entry %" PRIu64
				 ", but the log ends before entry "
				 "%" PRIu64 " (restored from a backup?)",
				 next, range.next);
		if (e) {
			e->oldest = range.oldest;
			e->newest = range.next ? range.next - 1 : 0;
		}
		return ERR_TOKEN_FUTURE;
	}
	if (next < range.oldest)
		return oplog_history_lost(e, range,
					  "entry %" PRIu64 ", where the token would resume,", next);
	return check_history(o, out, e);
}

/* The first entry at or behind `from` whose cluster time is not below the given. */
static int scan_to_cluster_time(struct oplog *o, uint64_t from, uint64_t cluster_time,
				uint64_t *offset, struct err *e)
{
	struct log_reader *r;
	int rc = log_reader_open(o->topic, 0, from, NULL, &r, e);
	if (rc < 0)
		return rc;
	struct log_record rec;
	struct entry n;
	while ((rc = log_reader_next(r, &rec, e)) == 1) {
		rc = entry_open(&n, &rec, e);
		if (rc < 0 || entry_cluster_time(&n) >= cluster_time)
			break;
		from = rec.offset + 1;
	}
	log_reader_close(r);
	if (rc < 0)
		return rc;
	*offset = from;
	return 0;
}

/* A time before the oldest entry is fine as long as nothing was trimmed. */
static int check_trimmed(struct oplog *o, uint64_t offset, bool is_before, struct err *e)
{
	struct log_range range = log_topic_range(o->topic, 0, false);
	if (range.oldest > 0 && offset <= range.oldest && is_before)
		return oplog_history_lost(e, range, "the history at the start time");
	return 0;
}

int oplog_seek_cluster_time(struct oplog *o, uint64_t cluster_time, uint64_t *offset, struct err *e)
{
	uint64_t from;
	struct entry_mark mark;
	int rc = log_topic_seek_time(o->topic, 0, (int64_t)(cluster_time >> 32) * 1000, &from, e);
	if (rc == 0)
		rc = scan_to_cluster_time(o, from, cluster_time, &from, e);
	if (rc < 0)
		return rc;
	bool is_before =
		lookup_mark(o->lookup, from, &mark, NULL) == 0 && mark.cluster_time > cluster_time;
	rc = check_trimmed(o, from, is_before, e);
	if (rc == 0)
		*offset = from;
	return rc;
}

int oplog_seek_wall_time(struct oplog *o, int64_t wall_ms, uint64_t *offset, struct err *e)
{
	uint64_t from;
	struct entry_mark mark;
	int rc = log_topic_seek_time(o->topic, 0, wall_ms, &from, e);
	if (rc < 0)
		return rc;
	bool is_before = lookup_mark(o->lookup, from, &mark, NULL) == 0 && mark.log_ms > wall_ms;
	rc = check_trimmed(o, from, is_before, e);
	if (rc == 0)
		*offset = from;
	return rc;
}

/* ---- keeping ---- */

int oplog_trim(struct oplog *o, uint64_t offset, int64_t time_ms, uint64_t *oldest, struct err *e)
{
	if (o->read_only)
		return err_set(e, ERR_INVALID, "the oplog is open for reading only");
	struct log_range range = log_topic_range(o->topic, 0, false);
	int rc = 0;
	if (offset == 0)
		rc = log_topic_seek_time(o->topic, 0, time_ms, &offset, e);
	if (rc < 0)
		return rc;
	/* The newest entry stays: it carries the clock across a restart. */
	uint64_t last = range.next > range.oldest ? range.next - 1 : range.oldest;
	uint64_t left = range.oldest;
	if (MIN(offset, last) > range.oldest)
		rc = log_trim(o->topic, 0, MIN(offset, last), &left, e);
	if (rc == 0 && oldest)
		*oldest = left;
	return rc;
}

int oplog_retain(struct oplog *o, const struct log_retention *r, struct err *e)
{
	if (o->read_only)
		return err_set(e, ERR_INVALID, "the oplog is open for reading only");
	int rc = log_topic_set_retention(o->topic, r, e);
	return rc < 0 ? rc : log_retain(o->log, e);
}
