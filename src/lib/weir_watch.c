/* weir_watch.c: change streams through the public API. A weir_event is a struct event, a weir_watch a struct watch. */
#include "lib/lib.h"

#include "base/mem.h"
#include "change/watch.h"
#include "doc/json.h"

static_assert(TOKEN_TEXT + 1 <= WEIR_TOKEN_MAX, "a token's text fits");
static_assert((int)WEIR_START_WALL_TIME == (int)WATCH_WALL_TIME &&
		      (int)WEIR_START_AFTER == (int)WATCH_AFTER,
	      "starts have one number");
static_assert((int)WEIR_FULL_REQUIRED == (int)WATCH_FULL_REQUIRED &&
		      (int)WEIR_FULL_UPDATE_LOOKUP == (int)WATCH_FULL_LOOKUP,
	      "full document modes have one number");
static_assert(WEIR_FOREVER == WATCH_FOREVER && WEIR_MAX_AWAIT == WATCH_MAX_AWAIT,
	      "time-outs have one number");
static_assert(WEIR_BATCH_SIZE_LIMIT == WATCH_BATCH_MAX &&
		      WEIR_BATCH_SIZE_DEFAULT == WATCH_BATCH_DEFAULT &&
		      WEIR_MAX_AWAIT_MS_DEFAULT == WATCH_MAX_AWAIT_DEFAULT,
	      "limits have one number");

static struct watch *in(weir_watch *w)
{
	return (struct watch *)(void *)w;
}

static const struct event *of(const weir_event *ev)
{
	return (const struct event *)(const void *)ev;
}

static const weir_event *to_event(const struct event *ev)
{
	return (const weir_event *)(const void *)ev;
}

/* ---- the stream ---- */

int weir_watch_open(weir_oplog *o, const char *db, const char *coll,
		    const weir_watch_options *options, weir_watch **out, weir_error *we)
{
	struct err *e = lib_err(we);
	AUTO(buf) struct buf filter = BUF_INIT;
	AUTO(buf) struct buf pipeline = BUF_INIT;
	weir_watch_options opt = { 0 };
	if (!o || !out)
		return lib_null(e, o ? "the output" : "the oplog");
	int rc = lib_options(&opt, sizeof(opt), options, e);
	struct watch_options wo = {
		.start = (enum watch_start)opt.start,
		.resume_after = opt.resume_after ? slice_str(opt.resume_after) : SLICE_NONE,
		.start_cluster_time =
			(uint64_t)opt.start_time.seconds << 32 | opt.start_time.increment,
		.start_wall_ms = opt.start_wall_ms,
		.full = (enum watch_full)opt.full_document,
		.batch_size = opt.batch_size,
		.max_await_ms = opt.max_await_ms,
		.follow_written = opt.follow_written,
		.show_noops = opt.show_noops,
	};
	if (rc == 0)
		rc = lib_doc(opt.filter, "filter", &filter, &wo.filter, NULL, e);
	if (rc == 0)
		rc = lib_array(opt.pipeline, "pipeline", &pipeline, &wo.pipeline, e);
	struct watch *w = NULL;
	if (rc == 0)
		rc = watch_open(o->oplog, db ? slice_str(db) : SLICE_NONE,
				coll ? slice_str(coll) : SLICE_NONE, &wo, &w, e);
	if (rc == 0)
		*out = (weir_watch *)(void *)w;
	return rc;
}

void weir_watch_close(weir_watch *w)
{
	if (w)
		watch_close(in(w));
}

void weir_watch_free(weir_watch *w)
{
	watch_free(in(w));
}

int weir_watch_next(weir_watch *w, int64_t timeout_ms, const weir_event **ev, weir_error *e)
{
	const struct event *got = NULL;
	if (!w || !ev)
		return lib_null(lib_err(e), w ? "the output" : "the watch");
	int rc = watch_next(in(w), timeout_ms, &got, lib_err(e));
	if (rc == 1)
		*ev = to_event(got);
	return rc;
}

int weir_watch_try_next(weir_watch *w, const weir_event **ev, weir_error *e)
{
	return weir_watch_next(w, 0, ev, e);
}

int weir_watch_next_batch(weir_watch *w, int64_t timeout_ms, const weir_event *const **evs,
			  size_t *n, weir_error *e)
{
	const struct event *const *got = NULL;
	if (!w || !evs || !n)
		return lib_null(lib_err(e), w ? "the output" : "the watch");
	int rc = watch_next_batch(in(w), timeout_ms, &got, n, lib_err(e));
	if (rc == 1)
		*evs = (const weir_event *const *)(const void *)got;
	return rc;
}

int weir_watch_skip(weir_watch *w, uint64_t *skipped, weir_error *e)
{
	return w ? watch_skip(in(w), skipped, lib_err(e)) : lib_null(lib_err(e), "the watch");
}

const char *weir_watch_token(weir_watch *w)
{
	return w ? watch_token(in(w)) : "";
}

int weir_watch_fd(weir_watch *w, int *fd, weir_error *e)
{
	if (!w || !fd)
		return lib_null(lib_err(e), w ? "the output" : "the watch");
	return watch_fd(in(w), fd, lib_err(e));
}

int weir_watch_stat(weir_watch *w, weir_watch_stats *out, weir_error *we)
{
	struct err *e = lib_err(we);
	size_t bytes = 0;
	if (!w)
		return lib_null(e, "the watch");
	int rc = lib_out_size(out, sizeof(*out), &bytes, e);
	if (rc < 0)
		return rc;
	struct watch_stats s;
	watch_stat(in(w), &s);
	const weir_watch_stats all = {
		.size = out->size,
		.scanned = s.scanned,
		.returned = s.returned,
		.position = s.position,
		.lag_entries = s.lag_entries,
		.lag_ms = s.lag_ms,
		.memory_bytes = s.memory_bytes,
	};
	memcpy(out, &all, bytes);
	return 0;
}

/* ---- events ---- */

const char *weir_event_operation(const weir_event *ev)
{
	return change_op_name(of(ev)->op);
}

const char *weir_event_token(const weir_event *ev)
{
	return of(ev)->token;
}

weir_timestamp weir_event_cluster_time(const weir_event *ev)
{
	return lib_timestamp(of(ev)->cluster_time);
}

int64_t weir_event_wall_time(const weir_event *ev)
{
	return of(ev)->wall_ms;
}

uint64_t weir_event_offset(const weir_event *ev)
{
	return of(ev)->offset;
}

static const char *ns_text(const weir_event *ev, const char *name)
{
	struct value ns = event_get(of(ev), ENTRY_NS);
	struct value v =
		ns.type == BSON_DOCUMENT ? bson_get_str(value_slice(ns), name) : VALUE_MISSING;
	return v.type == BSON_STRING ? (const char *)v.p : ""; /* BSON's strings end in NUL */
}

const char *weir_event_database(const weir_event *ev)
{
	return ns_text(ev, "db");
}

const char *weir_event_collection(const weir_event *ev)
{
	return ns_text(ev, "coll");
}

weir_doc weir_event_document_key(const weir_event *ev)
{
	return lib_doc_out(event_get(of(ev), ENTRY_DOCUMENT_KEY));
}

weir_doc weir_event_full_document(const weir_event *ev)
{
	return lib_doc_out(event_get(of(ev), ENTRY_FULL_DOCUMENT));
}

weir_doc weir_event_update_description(const weir_event *ev)
{
	return lib_doc_out(event_get(of(ev), ENTRY_UPDATE_DESCRIPTION));
}

weir_doc weir_event_description(const weir_event *ev)
{
	return lib_doc_out(event_get(of(ev), ENTRY_OPERATION_DESCRIPTION));
}

weir_doc weir_event_index(const weir_event *ev)
{
	weir_doc index = weir_none();
	(void)weir_get_doc(weir_event_description(ev), "indexes.0", &index);
	return index;
}

weir_doc weir_event_bson(const weir_event *ev)
{
	struct slice s = event_bson(of(ev));
	return weir_bson(s.p, s.len);
}

int weir_event_to_json(const weir_event *ev, enum weir_json_mode mode, weir_buffer *out,
		       weir_error *e)
{
	if (!ev || !out)
		return lib_null(lib_err(e), ev ? "the output" : "the event");
	json_from_bson(event_bson(of(ev)),
		       mode == WEIR_JSON_CANONICAL ? JSON_CANONICAL : JSON_RELAXED, lib_buf(out));
	(void)buf_cstr(lib_buf(out));
	return buf_check(lib_buf(out), lib_err(e));
}

int weir_event_copy(const weir_event *ev, weir_event **out, weir_error *e)
{
	if (!ev || !out)
		return lib_null(lib_err(e), ev ? "the output" : "the event");
	struct event *copy = mem_try(sizeof(*copy));
	if (!copy)
		return err_nomem(lib_err(e));
	int rc = event_copy(of(ev), copy, lib_err(e));
	if (rc < 0) {
		mem_free(copy);
		return rc;
	}
	*out = (weir_event *)(void *)copy;
	return 0;
}

void weir_event_free(weir_event *copy)
{
	if (!copy)
		return;
	event_done((struct event *)(void *)copy);
	mem_free(copy);
}

/* ---- tokens ---- */

int weir_token_check(weir_oplog *o, const char *token, weir_token_info *out, weir_error *we)
{
	struct err *e = lib_err(we);
	size_t bytes = 0;
	if (!o || !token)
		return lib_null(e, o ? "the token" : "the oplog");
	int rc = lib_out_size(out, sizeof(*out), &bytes, e);
	if (rc < 0)
		return rc;
	struct token t = { .position = UINT64_MAX };
	rc = oplog_resume(o->oplog, slice_str(token), &t, e);
	if (rc < 0 && t.position == UINT64_MAX)
		return rc;
	const weir_token_info info = {
		.size = out->size,
		.offset = token_next(&t),
		.cluster_time = lib_timestamp(t.cluster_time),
		.is_event = t.kind != TOKEN_MARK,
	};
	memcpy(out, &info, bytes);
	return rc;
}
