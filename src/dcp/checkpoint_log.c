/* checkpoint_log.c: all checkpoints of a group in a log of weir's own.
 *
 *	offset  0        1024     1030      1071              2095
 *	       [full set][some   ][some    ][full set        ][some]...     a bracket is one save, and one batch
 *	        ─────── trimmed, once the later full set is durable
 *
 * A record is a checkpoint: key the vBucket in decimal, value the document; no value: cleared. The newest record of a
 * vBucket counts. A batch is there whole or not at all, so a save is too. When what was written since the last full set
 * has grown to twice its size (and half a segment), a save writes everything; then whole segments before it are
 * trimmed. The log holds about three full sets at most, however long it runs, and is read whole at the start.
 *
 * Damage loses a range of records: every vBucket whose newest record lies before its end may have had a newer one in
 * it. Nothing is trimmed while anything is damaged, unless that is forgiven.
 *
 * After a failed flush the log takes nothing more until it is opened again, which the next save does. */
#include "dcp/checkpoint_table.h"

#include "base/mem.h"
#include "log/log.h"

#include <inttypes.h>
#include <stdio.h>

#define TOPIC           "checkpoints"
#define SEGMENT_DEFAULT (1u << 20)

struct log_store {
	struct checkpoint_store base;
	struct checkpoint_log_options o;
	char *dir;
	struct log *log;
	struct log_topic *topic;
	struct checkpoint_table table;
	uint64_t next;        /* what was written by us ends here */
	uint64_t in_doubt;    /* records of a save that failed: there or not */
	uint64_t since, full; /* bytes since the last full set, and of it */
};

/* ---- reading ---- */

/* Reading a log: a full set that has begun, and what is missing of it. */
struct reading {
	struct checkpoint_table *t;
	uint64_t left; /* 0: none */
};

static bool is_number(struct slice s, uint64_t most, uint64_t *out)
{
	uint64_t n = 0;
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] < '0' || s.p[i] > '9' || n > most)
			return false;
		n = 10 * n + (uint64_t)(s.p[i] - '0');
	}
	*out = n;
	return s.len && n <= most;
}

static int put_record(struct checkpoint_table *t, const struct log_record *rec, uint16_t vb,
		      struct err *e)
{
	if (rec->has_value)
		return checkpoint_table_read(t, vb, rec->value, rec->offset, e);
	return checkpoint_table_put(t, &(struct checkpoint){ .vb = vb }, rec->offset, e);
}

/* A full set says what there is: what is not in it is not lost. */
static void full_set_read(struct checkpoint_table *t)
{
	t->partial = false;
	for (size_t i = 0; i < t->n; i++)
		t->partial |= t->entry[i].c.damaged;
}

static int take_record(struct reading *r, const struct log_record *rec, struct err *e)
{
	uint64_t vb, n;
	if (!is_number(rec->key, UINT16_MAX, &vb))
		return err_set(e, ERR_CORRUPT, "a record of no vBucket");
	int rc = put_record(r->t, rec, (uint16_t)vb, e);
	if (rc < 0)
		return rc;
	if (is_number(rec->headers, UINT16_MAX + 1u, &n))
		r->left = n;
	if (r->left && --r->left == 0)
		full_set_read(r->t);
	return 0;
}

/* Records up to `end` are lost: what was known before may be out of date. */
static void lose(struct reading *r, uint64_t end)
{
	struct checkpoint_table *t = r->t;
	t->partial = true;
	r->left = 0;
	for (size_t i = 0; i < t->n; i++)
		if (t->entry[i].at < end)
			t->entry[i].c =
				(struct checkpoint){ .vb = t->entry[i].c.vb, .damaged = true };
}

static int read_records(struct log_reader *from, struct checkpoint_table *t, struct err *e)
{
	struct reading r = { .t = t };
	for (;;) {
		struct log_record rec;
		struct err why = ERR_INIT;
		int rc = log_reader_next(from, &rec, &why);
		uint64_t at = log_reader_position(from), end = rc < 0 ? why.newest : at;
		if (rc == 0)
			return 0;
		if (rc > 0)
			rc = take_record(&r, &rec, &why);
		if (rc == ERR_CORRUPT) {
			lose(&r, MAX(end, at));
			if (end < at || (end == at && why.newest == at))
				return 0; /* and nothing behind it */
			log_reader_seek(from, end);
			rc = 0;
		}
		if (rc < 0) {
			if (e)
				*e = why;
			return rc;
		}
	}
}

static int read_log(struct log_topic *topic, struct checkpoint_table *t, struct err *e)
{
	struct log_reader *r;
	uint64_t from = log_topic_range(topic, 0, false).oldest;
	int rc = log_reader_open(topic, 0, from, NULL, &r, e);
	if (rc < 0)
		return rc;
	rc = read_records(r, t, e);
	log_reader_close(r);
	return rc;
}

int checkpoint_log_look(struct env *env, const char *dir, bool forgive,
			struct checkpoint_store **out, struct err *e)
{
	struct log_options o = { .env = env, .read_only = true };
	struct checkpoint_table t = { 0 };
	struct log *l = NULL;
	struct log_topic *topic;
	int rc = log_open(dir, &o, &l, e);
	if (rc == 0)
		rc = log_topic_open(l, TOPIC, &topic, e);
	if (rc == 0)
		rc = read_log(topic, &t, e);
	if (l)
		(void)log_close(l, NULL);
	if (rc == ERR_NOTFOUND) {
		err_clear(e);
		rc = 0;
	}
	return checkpoint_table_look(&t, rc, forgive, out, e);
}

/* ---- opening ---- */

static void close_log(struct log_store *s)
{
	if (s->log)
		(void)log_close(s->log, NULL);
	s->log = NULL;
}

static int open_log(struct log_store *s, struct err *e)
{
	struct log_options o = { .env = s->o.env,
				 .create = true,
				 .segment_bytes = s->o.segment_bytes,
				 .flush_interval_ms = UINT32_MAX };
	int rc = log_open(s->dir, &o, &s->log, e);
	if (rc == ERR_CORRUPT && s->o.forgive) {
		struct log_report report;
		err_clear(e);
		rc = log_repair(s->dir, &o, true, NULL, NULL, &report, e);
		if (rc >= 0)
			rc = log_open(s->dir, &o, &s->log, e);
	}
	if (rc < 0)
		return rc;
	rc = log_topic_open(s->log, TOPIC, &s->topic, e);
	if (rc == ERR_NOTFOUND) {
		err_clear(e);
		rc = log_topic_create(s->log, TOPIC, 1, &s->topic, e);
	}
	if (rc < 0)
		close_log(s);
	return rc;
}

/* After a failed flush. Nobody else may have written meanwhile. */
static int reopen(struct log_store *s, struct err *e)
{
	close_log(s);
	int rc = open_log(s, e);
	if (rc < 0)
		return rc;
	uint64_t next = log_topic_range(s->topic, 0, false).next;
	if (next == s->next || next == s->next + s->in_doubt) {
		s->next = next;
		s->in_doubt = 0;
		return 0;
	}
	close_log(s);
	rc = err_set(e, ERR_FENCED,
		     "%s: somebody else has written to the log: it ends at %" PRIu64
		     ", not %" PRIu64 " (and %" PRIu64 " in doubt)",
		     s->dir, next, s->next, s->in_doubt);
	if (e)
		e->newest = UINT64_MAX; /* no single vBucket */
	return rc;
}

/* ---- saving ---- */

struct batch {
	struct log_record *rec;
	size_t n;
	struct buf text;
	size_t *end; /* of each record's key and value in text: two each */
	char full[8];
};

static int add_entry(struct batch *b, const struct checkpoint_entry *entry, struct err *e)
{
	buf_add_fmt(&b->text, "%u", entry->c.vb);
	b->end[2 * b->n] = b->text.len;
	bool cleared = !entry->c.found && !entry->c.damaged;
	if (!cleared)
		checkpoint_entry_text(entry, &b->text);
	b->end[2 * b->n + 1] = b->text.len;
	b->rec[b->n++] = (struct log_record){ .has_key = true, .has_value = !cleared };
	return buf_check(&b->text, e);
}

static void point_at_text(struct batch *b)
{
	size_t at = 0;
	for (size_t i = 0; i < b->n; i++) {
		size_t key = b->end[2 * i], value = b->end[2 * i + 1];
		b->rec[i].key = slice_of(b->text.p + at, key - at);
		b->rec[i].value = slice_of(b->text.p + key, value - key);
		at = value;
	}
}

static int append_once(struct log_store *s, struct batch *b, struct err *e)
{
	uint64_t first;
	int rc = log_append(s->topic, 0, b->rec, b->n, LOG_ACK_DURABLE, &first, e);
	if (rc == 0)
		s->next = first + b->n;
	if (rc != ERR_POISONED)
		s->in_doubt = rc == 0 ? 0 : b->n;
	return rc;
}

static int append(struct log_store *s, struct batch *b, struct err *e)
{
	point_at_text(b);
	int rc = s->log ? append_once(s, b, e) : ERR_POISONED;
	if (rc != ERR_POISONED)
		return rc;
	err_clear(e);
	rc = reopen(s, e);
	return rc < 0 ? rc : append_once(s, b, e);
}

/* Damage is not to be forgotten: what is lost must be found lost the next time, too. */
static bool full_set_is_due(const struct log_store *s)
{
	return s->since >= MAX(2 * s->full, s->o.segment_bytes / 2) &&
	       (!s->table.partial || s->o.forgive);
}

static int fill(struct log_store *s, struct batch *b, const uint16_t *vb, size_t n, bool full,
		struct err *e)
{
	size_t count = full ? s->table.n : n;
	int rc = 0;
	b->rec = mem_try_array(count + 1, sizeof(*b->rec));
	b->end = mem_try_array(2 * count + 1, sizeof(*b->end));
	if (!b->rec || !b->end)
		return err_nomem(e);
	for (size_t i = 0; i < count && rc == 0; i++) {
		const struct checkpoint_entry *entry =
			full ? &s->table.entry[i] : checkpoint_table_find(&s->table, vb[i]);
		/* nothing is known of what is lost: it stays unsaid, and so lost */
		if (!entry->c.damaged || entry->raw)
			rc = add_entry(b, entry, e);
	}
	if (full && b->n) {
		int len = snprintf(b->full, sizeof(b->full), "%zu", b->n);
		b->rec[0].headers = slice_of(b->full, (size_t)len);
	}
	return rc;
}

/* The vBuckets' entries are in the table. */
static int write_entries(struct log_store *s, const uint16_t *vb, size_t n, struct err *e)
{
	struct batch b = { .text = BUF_INIT };
	bool full = full_set_is_due(s);
	int rc = fill(s, &b, vb, n, full, e);
	if (rc == 0 && b.n)
		rc = append(s, &b, e);
	if (rc == 0) {
		s->since = full ? 0 : s->since + b.text.len;
		s->full = full ? b.text.len : s->full;
	}
	if (rc == 0 && full) {
		uint64_t oldest; /* one that fails is made up for by the next */
		(void)log_trim(s->topic, 0, s->next - b.n, &oldest, NULL);
	}
	buf_done(&b.text);
	mem_free(b.rec);
	mem_free(b.end);
	return rc < 0 ? err_in(e, rc, "saving checkpoints to %s", s->dir) : 0;
}

static int load(struct checkpoint_store *base, struct checkpoint *c, size_t n, struct err *e)
{
	(void)e;
	checkpoint_table_load(&container_of(base, struct log_store, base)->table, c, n);
	return 0;
}

static int save(struct checkpoint_store *base, const struct checkpoint *c, size_t n, struct err *e)
{
	struct log_store *s = container_of(base, struct log_store, base);
	uint16_t *vb = mem_try_array(n + 1, sizeof(*vb));
	int rc = vb ? 0 : err_nomem(e);
	for (size_t i = 0; i < n && rc == 0; i++) {
		struct checkpoint kept = c[i];
		vb[i] = kept.vb;
		kept.found = true;
		rc = checkpoint_table_put(&s->table, &kept, s->next, e);
	}
	if (rc == 0)
		rc = write_entries(s, vb, n, e);
	mem_free(vb);
	return rc;
}

static int clear(struct checkpoint_store *base, const uint16_t *vb, size_t n, struct err *e)
{
	struct log_store *s = container_of(base, struct log_store, base);
	int rc = 0;
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = checkpoint_table_put(&s->table, &(struct checkpoint){ .vb = vb[i] }, s->next,
					  e);
	return rc < 0 ? rc : write_entries(s, vb, n, e);
}

static void free_(struct checkpoint_store *base)
{
	struct log_store *s = container_of(base, struct log_store, base);
	close_log(s);
	checkpoint_table_done(&s->table);
	mem_free(s->dir);
	mem_free(s);
}

int checkpoint_log_open(const struct checkpoint_log_options *o, struct checkpoint_store **out,
			struct err *e)
{
	static const struct checkpoint_store_ops ops = {
		.load = load, .save = save, .clear = clear, .free = free_
	};
	struct log_store *s = mem_try(sizeof(*s));
	if (!s)
		return err_nomem(e);
	s->base.ops = &ops;
	s->o = *o;
	if (!s->o.segment_bytes)
		s->o.segment_bytes = SEGMENT_DEFAULT;
	s->dir = mem_strdup(o->dir);
	int rc = s->dir ? open_log(s, e) : err_nomem(e);
	if (rc == 0)
		rc = read_log(s->topic, &s->table, e);
	if (rc < 0) {
		free_(&s->base);
		return rc;
	}
	s->next = log_topic_range(s->topic, 0, false).next;
	s->since = s->o.segment_bytes; /* unknown: the first save is a full set */
	*out = &s->base;
	return 0;
}
