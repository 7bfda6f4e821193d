/* append.c: from operations to entries, in one append.
 *
 *	 check ─▶ encode what needs nothing ─▶ ┌ lock ────────────────────────────────────────────┐ ─▶ wait for
 *	          (insert, replace, delete,    │ updates and puts: image before ─▶ after ─▶ diff  │    the flush
 *	          collections, indexes)        │ stamp cluster times ─▶ append, written           │    (durable)
 *	                                       └──────────────────────────────────────────────────┘
 *
 * The lock makes the order: who holds it knows the next offset and that no document changes under an update. The
 * flush is waited for outside, so that appends of many threads share one.
 *
 * Cluster time. Within the lock each entry gets max(last + 1, (seconds, 1)), with the seconds of its wall time where
 * that is given and not ahead of the clock, else of the clock; so it never goes back, whatever the clock does, and
 * follows the history that is imported in order.
 *
 * Pending. An operation in a batch may change what an earlier one of the same batch left: `pending` finds the latest
 * earlier operation on a document. Its entry's offset is known before it is written.
 */
#include "change/append.h"

#include "base/mem.h"
#include "doc/compare.h"
#include "doc/update.h"

/* What became of one operation. */
struct made {
	struct entry_place at;
	struct update *update; /* compiled, where it is one */
	uint8_t chain;
	bool has_entry, deleted;
	bool image_is_doc; /* the image after it is op->doc */
	uint64_t offset;
	size_t image_at, image_len; /* else in images */
};

struct appender {
	struct appender *next;
	struct buf bytes;  /* headers and documents of the entries */
	struct buf images; /* after-images of updates, while others in the batch may need them */
	struct buf before, after;
	struct made *made;
	struct log_record *rec;
	size_t cap;
	uint32_t *pending; /* open addressing: index of an operation + 1 */
	size_t cap_pending;
	struct eval ev;
};

#define KEEP_BYTES (1u << 20) /* scratch larger than this is not kept */

struct appender *appender_next(struct appender *a)
{
	return a->next;
}

void appender_free(struct appender *a)
{
	if (!a)
		return;
	buf_done(&a->bytes);
	buf_done(&a->images);
	buf_done(&a->before);
	buf_done(&a->after);
	eval_done(&a->ev);
	mem_free(a->made);
	mem_free(a->rec);
	mem_free(a->pending);
	mem_free(a);
}

static struct appender *take(struct oplog *o)
{
	mutex_lock(&o->idle_lock);
	struct appender *a = o->idle;
	if (a)
		o->idle = a->next;
	mutex_unlock(&o->idle_lock);
	if (!a && (a = mem_try(sizeof(*a))))
		eval_init(&a->ev);
	return a;
}

static void give_back(struct oplog *o, struct appender *a, size_t n)
{
	for (size_t i = 0; i < n; i++)
		update_free(a->made[i].update);
	if (a->bytes.cap + a->images.cap + a->before.cap + a->after.cap + a->ev.arena.total_bytes >
		    KEEP_BYTES ||
	    a->cap > 1024) {
		appender_free(a);
		return;
	}
	buf_reset(&a->bytes);
	buf_reset(&a->images);
	eval_reset(&a->ev);
	mutex_lock(&o->idle_lock);
	a->next = o->idle;
	o->idle = a;
	mutex_unlock(&o->idle_lock);
}

static int make_room(struct appender *a, size_t n, struct err *e)
{
	if (a->cap < n) {
		mem_free(a->made);
		mem_free(a->rec);
		a->made = mem_try_array(n, sizeof(*a->made));
		a->rec = mem_try_array(n, sizeof(*a->rec));
		a->cap = a->made && a->rec ? n : 0;
		if (!a->cap)
			return err_nomem(e);
	}
	memset(a->made, 0, n * sizeof(*a->made));
	return 0;
}

/* ---- checking ---- */

static int check_name(struct slice s, const char *what, size_t max, const char *forbidden,
		      struct err *e)
{
	if (s.len == 0)
		return err_set(e, ERR_INVALID, "the %s name is empty", what);
	if (s.len > max)
		return err_set(e, ERR_INVALID, "the %s name has %zu bytes; %zu are allowed", what,
			       s.len, max);
	for (size_t i = 0; i < s.len; i++)
		if (s.p[i] == 0 || strchr(forbidden, s.p[i]))
			return err_set(e, ERR_INVALID,
				       "the %s name contains a forbidden character at byte %zu",
				       what, i);
	return 0;
}

static int check_ns(struct slice db, struct slice coll, bool has_coll, struct err *e)
{
	int rc = check_name(db, "database", OPLOG_DB_NAME_MAX, "/\\. \"$", e);
	if (rc == 0 && has_coll)
		rc = check_name(coll, "collection", OPLOG_COLL_NAME_MAX, "$", e);
	return rc;
}

static int check_id(struct slice doc, const char *what, struct err *e)
{
	struct value id = doc.len ? bson_get(doc, SLICE_LIT("_id")) : VALUE_MISSING;
	switch (id.type) {
	case BSON_MISSING: return err_set(e, ERR_INVALID, "the %s has no _id", what);
	case BSON_ARRAY:
	case BSON_REGEX:
	case BSON_UNDEFINED:
		return err_number(e, ERR_INVALID, 53, "the _id of the %s must not be of type %s",
				  what, bson_type_name(id.type));
	default: return 0;
	}
}

int oplog_check(const struct oplog_op *op, struct err *e)
{
	int rc;
	switch (op->op) {
	case CHANGE_INSERT:
	case CHANGE_REPLACE:
		rc = check_ns(op->db, op->coll, true, e);
		return rc < 0 ? rc : check_id(op->doc, "document", e);
	case CHANGE_UPDATE:
		rc = check_ns(op->db, op->coll, true, e);
		if (rc == 0)
			rc = check_id(op->key, "key", e);
		if (rc == 0 && !op->doc.len)
			rc = err_set(e, ERR_INVALID, "the update is missing");
		return rc;
	case CHANGE_DELETE:
		rc = check_ns(op->db, op->coll, true, e);
		return rc < 0 ? rc : check_id(op->key, "key", e);
	case CHANGE_CREATE:
	case CHANGE_DROP: return check_ns(op->db, op->coll, true, e);
	case CHANGE_RENAME:
		rc = check_ns(op->db, op->coll, true, e);
		return rc < 0 ? rc : check_ns(op->to_db, op->to_coll, true, e);
	case CHANGE_DROP_DATABASE: return check_ns(op->db, op->coll, false, e);
	case CHANGE_CREATE_INDEXES:
	case CHANGE_DROP_INDEXES:
		rc = check_ns(op->db, op->coll, true, e);
		if (rc == 0 && !op->doc.len)
			rc = err_set(e, ERR_INVALID, "the index's definition is missing");
		return rc;
	case CHANGE_NOOP: return 0;
	}
	return err_set(e, ERR_INVALID, "unknown operation");
}

static bool needs_before(const struct oplog_op *op)
{
	return op->put || (op->op == CHANGE_UPDATE && !op->before.len);
}

static int compile(const struct oplog_op *op, struct made *m, struct err *e)
{
	const struct update_options o = {
		.array_filters = op->array_filters,
		.query = op->query.len ? op->query : op->key,
	};
	int rc = update_compile(op->doc, op->pipeline, &o, &m->update, e);
	if (rc == 0 && !op->pipeline && update_is_replacement(m->update))
		return err_number(e, ERR_INVALID, 9,
				  "the update has no operators ($set, ...); to replace the "
				  "document use replace");
	return rc < 0 ? err_in(e, rc, "update") : 0;
}

/* ---- encoding ---- */

static int encode(struct appender *a, const struct entry_spec *s, struct made *m, struct err *e)
{
	int rc = entry_encode(s, &a->bytes, &m->at, e);
	if (rc == 0 && a->bytes.len > OPLOG_BATCH_BYTES_MAX)
		rc = err_set(e, ERR_LIMIT, "the operations of one append have more than %u bytes",
			     OPLOG_BATCH_BYTES_MAX);
	m->has_entry = rc == 0;
	m->chain = s->chain;
	return rc;
}

static int encode_blind(struct appender *a, struct oplog_op *op, struct made *m, struct err *e)
{
	struct entry_spec s = {
		.op = op->op,
		.db = op->db,
		.coll = op->coll,
		.to_db = op->to_db,
		.to_coll = op->to_coll,
		.prev = ENTRY_PREV_NONE,
	};
	if (op->op == CHANGE_INSERT || op->op == CHANGE_REPLACE) {
		s.full = op->doc;
		m->image_is_doc = true;
	} else if (op->op == CHANGE_DELETE) {
		s.key = op->key;
		m->deleted = true;
	} else {
		s.description = op->doc;
	}
	op->wrote = op->op;
	return encode(a, &s, m, e);
}

/* An update or put whose document was `before`: found in the log (found set) or told by the caller. */
static int encode_change(struct appender *a, struct oplog_op *op, struct made *m,
			 struct slice before, struct slice after, const struct lookup_found *found,
			 struct err *e)
{
	if (value_identical(value_doc(before), value_doc(after))) {
		op->outcome = OPLOG_UNCHANGED;
		return 0;
	}
	struct entry_spec s = {
		.op = CHANGE_UPDATE,
		.db = op->db,
		.coll = op->coll,
		.key = op->key,
		.full = after, /* for its _id, where there is no key */
		.before = before,
		.after = after,
		.prev = found ? found->offset : ENTRY_PREV_NONE,
		.chain = found ? (uint8_t)(found->chain + 1) : 0,
	};
	if (!found || s.chain > ENTRY_CHAIN_MAX) {
		s.keep_image = true;
		s.chain = 0;
	}
	op->wrote = CHANGE_UPDATE;
	if (op->put) {
		m->image_is_doc = true;
	} else {
		m->image_at = a->images.len;
		m->image_len = after.len;
		buf_add_slice(&a->images, after);
		int rc = buf_check(&a->images, e);
		if (rc < 0)
			return rc;
	}
	return encode(a, &s, m, e);
}

static int apply(struct appender *a, struct oplog_op *op, struct made *m, struct slice before,
		 const struct lookup_found *found, struct err *e)
{
	if (op->put)
		return encode_change(a, op, m, before, op->doc, found, e);
	eval_reset(&a->ev);
	buf_reset(&a->after);
	int rc = update_apply(m->update, &a->ev, before, false, &a->after, e);
	if (rc < 0)
		return rc;
	return encode_change(a, op, m, before, buf_slice(&a->after), found, e);
}

/* ---- operations of the same batch ---- */

static struct value id_of(const struct oplog_op *op)
{
	return bson_get(op->key.len ? op->key : op->doc, SLICE_LIT("_id"));
}

static uint64_t hash_of(const struct oplog_op *op)
{
	return value_hash(id_of(op), entry_ns_hash(op->db, op->coll));
}

static bool same_document(const struct oplog_op *x, const struct oplog_op *y)
{
	return slice_eq(x->coll, y->coll) && slice_eq(x->db, y->db) &&
	       value_equal(id_of(x), id_of(y));
}

static int pending_init(struct appender *a, size_t n, struct err *e)
{
	size_t cap = 16;
	while (cap < n * 2)
		cap *= 2;
	if (a->cap_pending < cap) {
		mem_free(a->pending);
		a->pending = mem_try_array(cap, sizeof(*a->pending));
		a->cap_pending = a->pending ? cap : 0;
		if (!a->pending)
			return err_nomem(e);
	}
	memset(a->pending, 0, a->cap_pending * sizeof(*a->pending));
	return 0;
}

/* The place of op's document: 0, or the index + 1 of the latest operation on it. */
static uint32_t *pending_place(struct appender *a, const struct oplog_op *ops,
			       const struct oplog_op *op)
{
	size_t mask = a->cap_pending - 1, i = (size_t)hash_of(op) & mask;
	while (a->pending[i] && !same_document(&ops[a->pending[i] - 1], op))
		i = (i + 1) & mask;
	return &a->pending[i];
}

static struct slice image_after(const struct appender *a, const struct oplog_op *op,
				const struct made *m)
{
	return m->image_is_doc ? op->doc : slice_of(a->images.p + m->image_at, m->image_len);
}

/* ---- within the lock ---- */

static int unknown_document(struct err *e)
{
	return err_number(e, ERR_NO_IMAGE, 47,
			  "the log knows no such document (never inserted, deleted, or trimmed "
			  "away): give the "
			  "image before the update");
}

static int resolve(struct oplog *o, struct appender *a, struct oplog_op *ops, size_t i, bool batch,
		   struct err *e)
{
	struct oplog_op *op = &ops[i];
	struct made *m = &a->made[i];
	if (op->before.len)
		return apply(a, op, m, op->before, NULL, e);
	uint32_t before = batch ? *pending_place(a, ops, op) : 0;
	struct lookup_found found;
	int rc = 0;
	buf_reset(&a->before);
	if (before) {
		const struct made *earlier = &a->made[before - 1];
		if (!earlier->deleted) {
			buf_add_slice(&a->before, image_after(a, &ops[before - 1], earlier));
			found = (struct lookup_found){ .offset = earlier->offset,
						       .chain = earlier->chain };
			rc = buf_check(&a->before, e);
			rc = rc < 0 ? rc : 1;
		}
	} else {
		rc = lookup_latest(o->lookup, op->db, op->coll, id_of(op), o->next, &a->before,
				   &found, e);
	}
	if (rc < 0)
		return rc;
	if (rc == 1)
		return apply(a, op, m, buf_slice(&a->before), &found, e);
	return op->put ? encode_blind(a, op, m, e) : unknown_document(e);
}

/* The entry's cluster time and its time in the log. */
static void stamp(struct oplog *o, int64_t wall_ms, int64_t now_ms, uint64_t *cluster,
		  int64_t *log_ms)
{
	int64_t t = wall_ms && wall_ms < now_ms ? wall_ms : now_ms;
	t = MAX(t, MAX(o->last_ms, 1));
	uint64_t seconds = MIN((uint64_t)t / 1000, (uint64_t)UINT32_MAX);
	*cluster = MAX(o->last_cluster + 1, seconds << 32 | 1);
	*log_ms = t;
	o->last_cluster = *cluster;
	o->last_ms = t;
}

static int write_entries(struct oplog *o, struct appender *a, struct oplog_op *ops, size_t n,
			 enum log_ack ack, struct oplog_position *out, struct err *e)
{
	int64_t now_ms = env_wall_ms(o->env);
	size_t count = 0;
	*out = (struct oplog_position){ .offset = UINT64_MAX };
	for (size_t i = 0; i < n; i++) {
		struct made *m = &a->made[i];
		if (!m->has_entry)
			continue;
		struct log_record *rec = &a->rec[count++];
		uint64_t cluster;
		*rec = (struct log_record){ .has_value = true };
		stamp(o, ops[i].wall_ms, now_ms, &cluster, &rec->time_ms);
		entry_set_times(&a->bytes, &m->at, cluster,
				ops[i].wall_ms ? ops[i].wall_ms : now_ms);
		rec->headers = slice_of(a->bytes.p + m->at.header, ENTRY_HEADER_BYTES);
		rec->value = slice_of(a->bytes.p + m->at.doc, m->at.end - m->at.doc);
		if (count == 1)
			out->cluster_time = cluster;
	}
	if (count == 0)
		return 0;
	int rc = log_append(o->topic, 0, a->rec, count,
			    ack == LOG_ACK_NONE ? LOG_ACK_NONE : LOG_ACK_WRITTEN, &out->offset, e);
	if (rc < 0) {
		o->next = log_topic_range(o->topic, 0, false).next;
		return rc;
	}
	ASSERT(out->offset == o->next);
	o->next += count;
	return 0;
}

/* What updates made of their documents is at hand here, and likely to be asked for soon. */
static void remember(struct oplog *o, const struct appender *a, const struct oplog_op *ops,
		     size_t n)
{
	for (size_t i = n > LOOKUP_CACHE_SLOTS ? n - LOOKUP_CACHE_SLOTS : 0; i < n; i++) {
		const struct made *m = &a->made[i];
		if (m->has_entry && ops[i].wrote == CHANGE_UPDATE)
			lookup_remember(o->lookup, m->offset, m->chain, image_after(a, &ops[i], m));
	}
}

static int append_locked(struct oplog *o, struct appender *a, struct oplog_op *ops, size_t n,
			 bool dependent, enum log_ack ack, struct oplog_position *out,
			 size_t *failed, struct err *e)
{
	bool batch = dependent && n > 1;
	uint64_t offset = o->next;
	int rc = batch ? pending_init(a, n, e) : 0;
	if (rc < 0)
		return rc;
	a->ev.now_ms = env_wall_ms(o->env);
	for (size_t i = 0; dependent && i < n; i++) {
		struct made *m = &a->made[i];
		if (!m->has_entry)
			rc = resolve(o, a, ops, i, batch, e);
		if (rc < 0) {
			*failed = i;
			return rc;
		}
		if (!m->has_entry)
			continue;
		m->offset = offset++;
		if (batch && ops[i].op <= CHANGE_DELETE)
			*pending_place(a, ops, &ops[i]) = (uint32_t)i + 1;
	}
	rc = write_entries(o, a, ops, n, ack, out, e);
	if (rc == 0 && dependent)
		remember(o, a, ops, n);
	return rc;
}

/* ---- the way in ---- */

/* What can be done before the lock is taken; *dependent: some operation needs it. */
static int prepare(struct appender *a, struct oplog_op *ops, size_t n, bool *dependent,
		   size_t *failed, struct err *e)
{
	int rc = make_room(a, n, e);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		struct oplog_op *op = &ops[i];
		*failed = i;
		op->outcome = OPLOG_WROTE;
		rc = oplog_check(op, e);
		if (rc == 0 && op->op == CHANGE_UPDATE)
			rc = compile(op, &a->made[i], e);
		if (rc < 0)
			break;
		if (needs_before(op) || op->op == CHANGE_UPDATE)
			*dependent = true;
		else
			rc = encode_blind(a, op, &a->made[i], e);
	}
	return rc;
}

int oplog_append(struct oplog *o, struct oplog_op *ops, size_t n, enum log_ack ack,
		 struct oplog_position *out, size_t *failed, struct err *e)
{
	struct oplog_position position = { .offset = UINT64_MAX };
	size_t at_fault = 0;
	bool dependent = false;
	if (o->read_only)
		return err_set(e, ERR_INVALID, "the oplog is open for reading only");
	if (n == 0 || n > OPLOG_BATCH_MAX)
		return err_set(e, ERR_LIMIT, "an append has 1 to %u operations, not %zu",
			       OPLOG_BATCH_MAX, n);
	struct appender *a = take(o);
	if (!a)
		return err_nomem(e);
	uint64_t next = 0;
	int rc = prepare(a, ops, n, &dependent, &at_fault, e);
	if (rc == 0) {
		mutex_lock(&o->lock);
		rc = append_locked(o, a, ops, n, dependent, ack, &position, &at_fault, e);
		next = o->next;
		mutex_unlock(&o->lock);
	}
	give_back(o, a, a->cap < n ? 0 : n);
	if (rc == 0 && ack == LOG_ACK_DURABLE && position.offset != UINT64_MAX)
		rc = log_flush(o->topic, 0, next, e);
	if (rc < 0 && failed)
		*failed = at_fault;
	if (rc == 0 && out)
		*out = position;
	return rc;
}
