/* weir_oplog.c: the oplog through the public API. */
#include "base/mem.h"
#include "change/lookup.h"
#include "lib/lib.h"

/* ---- opening ---- */

static void free_patterns(char **p)
{
	for (char **at = p; at && *at; at++)
		mem_free(*at);
	mem_free(p);
}

static int copy_patterns(const char *const *in, char ***out, struct err *e)
{
	size_t n = 0;
	while (in[n])
		n++;
	char **copy = mem_try_array(n + 1, sizeof(*copy));
	if (!copy)
		return err_nomem(e);
	for (size_t i = 0; i < n; i++) {
		copy[i] = mem_strdup(in[i]);
		if (!copy[i]) {
			free_patterns(copy);
			return err_nomem(e);
		}
	}
	*out = copy;
	return 0;
}

static enum log_ack ack_of(enum weir_ack ack, enum log_ack fallback)
{
	switch (ack) {
	case WEIR_ACK_DEFAULT: return fallback;
	case WEIR_ACK_DURABLE: return LOG_ACK_DURABLE;
	case WEIR_ACK_WRITTEN: return LOG_ACK_WRITTEN;
	case WEIR_ACK_NONE: return LOG_ACK_NONE;
	}
	return fallback;
}

int weir_oplog_open(const char *dir, const weir_oplog_options *options, weir_oplog **out,
		    weir_error *we)
{
	struct err *e = lib_err(we);
	weir_oplog_options opt = { 0 };
	if (!dir || !out)
		return lib_null(e, dir ? "the output" : "the directory");
	int rc = lib_options(&opt, sizeof(opt), options, e);
	if (rc < 0)
		return rc;
	weir_oplog *o = mem_try(sizeof(*o));
	if (!o)
		return err_nomem(e);
	if (opt.latest)
		rc = copy_patterns(opt.latest, &o->latest, e);
	const struct oplog_options oo = {
		.read_only = opt.read_only,
		.must_exist = opt.must_exist,
		.ack = ack_of(opt.ack, LOG_ACK_DURABLE),
		.segment_bytes = opt.segment_bytes,
		.flush_interval_ms = opt.flush_interval_ms,
		.latest = (const char *const *)o->latest,
		.latest_bytes_max = opt.latest_bytes_max,
	};
	if (rc == 0)
		rc = oplog_open(dir, &oo, &o->oplog, e);
	if (rc < 0) {
		free_patterns(o->latest);
		mem_free(o);
		return rc;
	}
	*out = o;
	return 0;
}

int weir_oplog_close(weir_oplog *o, weir_error *e)
{
	if (!o)
		return 0;
	int rc = oplog_close(o->oplog, lib_err(e));
	free_patterns(o->latest);
	mem_free(o);
	return rc;
}

const char *weir_oplog_name(const weir_oplog *o)
{
	return o ? oplog_name(o->oplog) : "";
}

/* ---- one operation ---- */

/* Documents of one call, converted. */
struct incoming {
	struct buf doc, key, before, array_filters, query;
	weir_append_options opt;
	struct oplog_op op;
};

static void incoming_auto(struct incoming *in)
{
	buf_done(&in->doc);
	buf_done(&in->key);
	buf_done(&in->before);
	buf_done(&in->array_filters);
	buf_done(&in->query);
}

static struct slice text(const char *s)
{
	return s ? slice_str(s) : SLICE_NONE;
}

/* Fills in->op but for what only some operations have. */
static int take_op(struct incoming *in, enum change_op op, const char *db, const char *coll,
		   weir_doc key, weir_doc doc, const weir_append_options *options, struct err *e)
{
	bool is_array = false;
	int rc = lib_options(&in->opt, sizeof(in->opt), options, e);
	in->op.op = op;
	in->op.db = text(db);
	in->op.coll = text(coll);
	in->op.wall_ms = in->opt.wall_time_ms;
	if (rc == 0)
		rc = lib_doc(key, "key", &in->key, &in->op.key, NULL, e);
	if (rc == 0)
		rc = lib_doc(doc, op == CHANGE_UPDATE ? "update" : "document", &in->doc,
			     &in->op.doc, op == CHANGE_UPDATE ? &is_array : NULL, e);
	in->op.pipeline = is_array;
	if (rc == 0 && op == CHANGE_UPDATE) {
		rc = lib_doc(in->opt.before, "before", &in->before, &in->op.before, NULL, e);
		if (rc == 0)
			rc = lib_array(in->opt.array_filters, "array_filters", &in->array_filters,
				       &in->op.array_filters, e);
		if (rc == 0)
			rc = lib_doc(in->opt.query, "query", &in->query, &in->op.query, NULL, e);
	}
	return rc;
}

static int append(weir_oplog *o, struct incoming *in, weir_position *out, struct err *e)
{
	struct oplog_position p;
	int rc = oplog_append(o->oplog, &in->op, 1, ack_of(in->opt.ack, oplog_ack(o->oplog)), &p,
			      NULL, e);
	if (rc == 0 && out) {
		out->offset = p.offset;
		out->cluster_time = lib_timestamp(p.cluster_time);
	}
	return rc;
}

static int run(weir_oplog *o, enum change_op op, const char *db, const char *coll, weir_doc key,
	       weir_doc doc, const weir_append_options *options, weir_position *out, weir_error *e)
{
	AUTO(incoming) struct incoming in = { 0 };
	if (!o)
		return lib_null(lib_err(e), "the oplog");
	int rc = take_op(&in, op, db, coll, key, doc, options, lib_err(e));
	return rc < 0 ? rc : append(o, &in, out, lib_err(e));
}

int weir_oplog_insert(weir_oplog *o, const char *db, const char *coll, weir_doc doc,
		      const weir_append_options *options, weir_position *out, weir_error *e)
{
	return run(o, CHANGE_INSERT, db, coll, weir_none(), doc, options, out, e);
}

int weir_oplog_update(weir_oplog *o, const char *db, const char *coll, weir_doc key,
		      weir_doc update, const weir_append_options *options, weir_position *out,
		      weir_error *e)
{
	return run(o, CHANGE_UPDATE, db, coll, key, update, options, out, e);
}

int weir_oplog_replace(weir_oplog *o, const char *db, const char *coll, weir_doc doc,
		       const weir_append_options *options, weir_position *out, weir_error *e)
{
	return run(o, CHANGE_REPLACE, db, coll, weir_none(), doc, options, out, e);
}

static enum weir_outcome outcome_of(const struct oplog_op *op)
{
	if (op->outcome == OPLOG_UNCHANGED)
		return WEIR_UNCHANGED;
	switch (op->wrote) {
	case CHANGE_UPDATE: return WEIR_UPDATED;
	case CHANGE_REPLACE: return WEIR_REPLACED;
	default: return WEIR_INSERTED;
	}
}

int weir_oplog_put(weir_oplog *o, const char *db, const char *coll, weir_doc doc,
		   const weir_append_options *options, weir_position *out,
		   enum weir_outcome *outcome, weir_error *e)
{
	AUTO(incoming) struct incoming in = { 0 };
	if (!o)
		return lib_null(lib_err(e), "the oplog");
	int rc = take_op(&in, CHANGE_INSERT, db, coll, weir_none(), doc, options, lib_err(e));
	if (rc < 0)
		return rc;
	in.op.put = true;
	rc = append(o, &in, out, lib_err(e));
	if (rc == 0 && outcome)
		*outcome = outcome_of(&in.op);
	return rc;
}

int weir_oplog_delete(weir_oplog *o, const char *db, const char *coll, weir_doc key,
		      const weir_append_options *options, weir_position *out, weir_error *e)
{
	return run(o, CHANGE_DELETE, db, coll, key, weir_none(), options, out, e);
}

int weir_oplog_create_collection(weir_oplog *o, const char *db, const char *coll,
				 weir_doc description, const weir_append_options *options,
				 weir_position *out, weir_error *e)
{
	return run(o, CHANGE_CREATE, db, coll, weir_none(), description, options, out, e);
}

int weir_oplog_drop_collection(weir_oplog *o, const char *db, const char *coll,
			       const weir_append_options *options, weir_position *out,
			       weir_error *e)
{
	return run(o, CHANGE_DROP, db, coll, weir_none(), weir_none(), options, out, e);
}

int weir_oplog_rename_collection(weir_oplog *o, const char *db, const char *coll, const char *to_db,
				 const char *to_coll, const weir_append_options *options,
				 weir_position *out, weir_error *e)
{
	AUTO(incoming) struct incoming in = { 0 };
	if (!o)
		return lib_null(lib_err(e), "the oplog");
	int rc = take_op(&in, CHANGE_RENAME, db, coll, weir_none(), weir_none(), options,
			 lib_err(e));
	if (rc < 0)
		return rc;
	in.op.to_db = text(to_db);
	in.op.to_coll = text(to_coll);
	return append(o, &in, out, lib_err(e));
}

int weir_oplog_drop_database(weir_oplog *o, const char *db, const weir_append_options *options,
			     weir_position *out, weir_error *e)
{
	return run(o, CHANGE_DROP_DATABASE, db, NULL, weir_none(), weir_none(), options, out, e);
}

int weir_oplog_create_index(weir_oplog *o, const char *db, const char *coll, weir_doc index,
			    const weir_append_options *options, weir_position *out, weir_error *e)
{
	return run(o, CHANGE_CREATE_INDEXES, db, coll, weir_none(), index, options, out, e);
}

int weir_oplog_drop_index(weir_oplog *o, const char *db, const char *coll, weir_doc index,
			  const weir_append_options *options, weir_position *out, weir_error *e)
{
	return run(o, CHANGE_DROP_INDEXES, db, coll, weir_none(), index, options, out, e);
}

int weir_oplog_noop(weir_oplog *o, weir_doc note, const weir_append_options *options,
		    weir_position *out, weir_error *e)
{
	return run(o, CHANGE_NOOP, NULL, NULL, weir_none(), note, options, out, e);
}

int weir_oplog_flush(weir_oplog *o, weir_error *e)
{
	return o ? oplog_flush(o->oplog, lib_err(e)) : lib_null(lib_err(e), "the oplog");
}

int weir_oplog_find(weir_oplog *o, const char *db, const char *coll, weir_doc key, weir_buffer *out,
		    weir_error *we)
{
	struct err *e = lib_err(we);
	AUTO(buf) struct buf tmp = BUF_INIT;
	struct slice k;
	if (!o || !out || !db || !coll)
		return lib_null(e, !o ? "the oplog" : !out ? "the output" : "a name");
	int rc = lib_doc(key, "key", &tmp, &k, NULL, e);
	if (rc < 0)
		return rc;
	struct value id = k.len ? bson_get(k, SLICE_LIT("_id")) : VALUE_MISSING;
	if (id.type == BSON_MISSING)
		return err_set(e, ERR_INVALID, "the key has no _id");
	uint64_t next = log_topic_range(oplog_topic(o->oplog), 0, false).next;
	size_t before = out->len;
	rc = lookup_latest(oplog_lookup(o->oplog), slice_str(db), slice_str(coll), id, next,
			   lib_buf(out), NULL, e);
	if (rc < 0)
		out->len = before;
	return rc;
}

/* ---- batches ---- */

struct weir_batch {
	weir_oplog *o;
	struct oplog_op *ops;
	size_t n, cap;
	struct arena arena; /* copies of what the operations point to */
	size_t bytes;
};

int weir_batch_new(weir_oplog *o, weir_batch **out, weir_error *e)
{
	if (!o || !out)
		return lib_null(lib_err(e), o ? "the output" : "the oplog");
	weir_batch *b = mem_try(sizeof(*b));
	if (!b)
		return err_nomem(lib_err(e));
	b->o = o;
	*out = b;
	return 0;
}

void weir_batch_free(weir_batch *b)
{
	if (!b)
		return;
	arena_done(&b->arena);
	mem_free(b->ops);
	mem_free(b);
}

size_t weir_batch_count(const weir_batch *b)
{
	return b ? b->n : 0;
}

static bool keep(struct arena *a, struct slice *s)
{
	if (!s->len)
		return true;
	s->p = arena_copy(a, s->p, s->len);
	return s->p != NULL;
}

static int keep_op(weir_batch *b, const struct oplog_op *op, struct err *e)
{
	if (b->n == b->cap) {
		size_t cap = b->cap ? b->cap * 2 : 16;
		struct oplog_op *ops = mem_retry(b->ops, cap * sizeof(*ops));
		if (!ops)
			return err_nomem(e);
		b->ops = ops;
		b->cap = cap;
	}
	struct oplog_op copy = *op;
	struct arena_mark mark = arena_mark(&b->arena);
	if (!keep(&b->arena, &copy.db) || !keep(&b->arena, &copy.coll) ||
	    !keep(&b->arena, &copy.key) || !keep(&b->arena, &copy.doc) ||
	    !keep(&b->arena, &copy.before) || !keep(&b->arena, &copy.array_filters) ||
	    !keep(&b->arena, &copy.query)) {
		arena_rewind(&b->arena, mark);
		return err_nomem(e);
	}
	b->ops[b->n++] = copy;
	return 0;
}

static int add(weir_batch *b, enum change_op op, bool is_put, const char *db, const char *coll,
	       weir_doc key, weir_doc doc, const weir_append_options *options, weir_error *we)
{
	struct err *e = lib_err(we);
	AUTO(incoming) struct incoming in = { 0 };
	if (!b)
		return lib_null(e, "the batch");
	int rc = take_op(&in, op, db, coll, key, doc, options, e);
	in.op.put = is_put;
	if (rc == 0)
		rc = oplog_check(&in.op, e);
	if (rc < 0)
		return rc;
	size_t bytes = in.op.key.len + in.op.doc.len + in.op.before.len + 256;
	if (b->n == OPLOG_BATCH_MAX || b->bytes + bytes > OPLOG_BATCH_BYTES_MAX)
		return err_set(e, ERR_LIMIT, "the batch is full: commit it first");
	rc = keep_op(b, &in.op, e);
	if (rc == 0)
		b->bytes += bytes;
	return rc;
}

int weir_batch_insert(weir_batch *b, const char *db, const char *coll, weir_doc doc,
		      const weir_append_options *options, weir_error *e)
{
	return add(b, CHANGE_INSERT, false, db, coll, weir_none(), doc, options, e);
}

int weir_batch_update(weir_batch *b, const char *db, const char *coll, weir_doc key,
		      weir_doc update, const weir_append_options *options, weir_error *e)
{
	return add(b, CHANGE_UPDATE, false, db, coll, key, update, options, e);
}

int weir_batch_replace(weir_batch *b, const char *db, const char *coll, weir_doc doc,
		       const weir_append_options *options, weir_error *e)
{
	return add(b, CHANGE_REPLACE, false, db, coll, weir_none(), doc, options, e);
}

int weir_batch_put(weir_batch *b, const char *db, const char *coll, weir_doc doc,
		   const weir_append_options *options, weir_error *e)
{
	return add(b, CHANGE_INSERT, true, db, coll, weir_none(), doc, options, e);
}

int weir_batch_delete(weir_batch *b, const char *db, const char *coll, weir_doc key,
		      const weir_append_options *options, weir_error *e)
{
	return add(b, CHANGE_DELETE, false, db, coll, key, weir_none(), options, e);
}

static void count_outcomes(const weir_batch *b, weir_batch_result *r)
{
	*r = (weir_batch_result){ 0 };
	for (size_t i = 0; i < b->n; i++) {
		const struct oplog_op *op = &b->ops[i];
		if (op->outcome == OPLOG_UNCHANGED)
			r->unchanged++;
		else if (op->wrote == CHANGE_INSERT)
			r->inserted++;
		else if (op->wrote == CHANGE_UPDATE)
			r->updated++;
		else if (op->wrote == CHANGE_REPLACE)
			r->replaced++;
		else
			r->deleted++;
	}
}

int weir_batch_commit(weir_batch *b, enum weir_ack ack, weir_position *out,
		      weir_batch_result *result, size_t *failed, weir_error *we)
{
	struct err *e = lib_err(we);
	struct oplog_position p = { .offset = WEIR_OFFSET_NONE };
	int rc = 0;
	if (!b)
		return lib_null(e, "the batch");
	if (b->n)
		rc = oplog_append(b->o->oplog, b->ops, b->n, ack_of(ack, oplog_ack(b->o->oplog)),
				  &p, failed, e);
	if (rc == 0 && out) {
		out->offset = p.offset;
		out->cluster_time = lib_timestamp(p.cluster_time);
	}
	if (rc == 0 && result)
		count_outcomes(b, result);
	b->n = 0;
	b->bytes = 0;
	arena_reset(&b->arena);
	return rc;
}
