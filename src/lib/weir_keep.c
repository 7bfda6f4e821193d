/* weir_keep.c: statistics, trimming, verifying and repairing through the public API. */
#include "lib/lib.h"

#include "change/lookup.h"

static int times_of(weir_oplog *o, uint64_t offset, weir_timestamp *cluster, int64_t *wall_ms,
		    struct err *e)
{
	struct entry_mark t;
	int rc = lookup_mark(oplog_lookup(o->oplog), offset, &t, e);
	/* Trimmed meanwhile, or damaged: statistics go on without. */
	if (rc == ERR_HISTORY_LOST || rc == ERR_CORRUPT || rc == ERR_NOTFOUND)
		return 0;
	if (rc < 0)
		return rc;
	*cluster = lib_timestamp(t.cluster_time);
	*wall_ms = t.wall_ms;
	return 0;
}

int weir_oplog_stat(weir_oplog *o, weir_oplog_stats *out, weir_error *we)
{
	struct err *e = lib_err(we);
	size_t bytes = 0;
	if (!o)
		return lib_null(e, "the oplog");
	int rc = lib_out_size(out, sizeof(*out), &bytes, e);
	if (rc < 0)
		return rc;
	struct log_topic *t = oplog_topic(o->oplog);
	struct log_range range = log_topic_range(t, 0, false);
	struct log_stats ls;
	log_stats(oplog_log(o->oplog), &ls);
	struct log_retention keep = log_topic_retention(t);
	weir_oplog_stats s = {
		.size = out->size,
		.oldest = range.oldest,
		.next = range.next,
		.durable_next = log_topic_range(t, 0, true).next,
		.bytes_on_disk = ls.bytes_on_disk,
		.segments = ls.segments,
		.retain_bytes = keep.max_bytes,
		.retain_age_ms = keep.max_age_ms,
		.appended_entries = ls.appended_records,
		.appended_bytes = ls.appended_bytes,
		.flushes = ls.flushes,
		.read_only = log_is_read_only(oplog_log(o->oplog)),
		.poisoned = ls.poisoned,
	};
	lookup_stat(oplog_lookup(o->oplog), &s.latest_documents, &s.latest_bytes);
	if (range.next > range.oldest) {
		rc = times_of(o, range.oldest, &s.oldest_time, &s.oldest_wall_ms, e);
		if (rc == 0)
			rc = times_of(o, range.next - 1, &s.newest_time, &s.newest_wall_ms, e);
	}
	if (rc == 0)
		memcpy(out, &s, bytes);
	return rc;
}

int weir_oplog_trim(weir_oplog *o, uint64_t offset, int64_t time_ms, uint64_t *oldest,
		    weir_error *e)
{
	return o ? oplog_trim(o->oplog, offset, time_ms, oldest, lib_err(e))
		 : lib_null(lib_err(e), "the oplog");
}

int weir_oplog_retain(weir_oplog *o, uint64_t max_bytes, int64_t max_age_ms, weir_error *e)
{
	const struct log_retention r = { .max_bytes = max_bytes, .max_age_ms = max_age_ms };
	if (!o)
		return lib_null(lib_err(e), "the oplog");
	if (max_age_ms < 0)
		return err_set(lib_err(e), ERR_INVALID, "the age to keep is negative");
	return oplog_retain(o->oplog, &r, lib_err(e));
}

/* ---- verify and repair ---- */

static int pass_damage(void *arg, const struct log_damage *d)
{
	const weir_check_options *o = arg;
	const weir_damage out = {
		.file = d->file,
		.from_byte = d->from_byte,
		.to_byte = d->to_byte,
		.from_offset = d->from_offset,
		.to_offset = d->to_offset,
		.what = d->what,
	};
	return o->on_damage ? o->on_damage(o->arg, &out) : 0;
}

static void report_out(const struct log_report *in, weir_check_report *out)
{
	if (out)
		*out = (weir_check_report){
			.segments = in->segments,
			.batches = in->batches,
			.entries = in->records,
			.bytes = in->bytes,
			.damages = in->damages,
		};
}

static int check(const char *dir, bool repair, const weir_check_options *options,
		 weir_check_report *report, struct err *e)
{
	weir_check_options opt = { 0 };
	struct log_report r = { 0 };
	if (!dir)
		return lib_null(e, "the directory");
	int rc = lib_options(&opt, sizeof(opt), options, e);
	if (rc < 0)
		return rc;
	const struct log_options lo = {
		.read_only = !repair,
		.progress = opt.on_progress,
		.progress_arg = opt.arg,
	};
	if (repair)
		rc = log_repair(dir, &lo, opt.accept_loss, pass_damage, &opt, &r, e);
	else
		rc = log_verify(dir, &lo, pass_damage, &opt, &r, e);
	if (rc >= 0)
		report_out(&r, report);
	return rc;
}

int weir_oplog_verify(const char *dir, const weir_check_options *options, weir_check_report *report,
		      weir_error *e)
{
	return check(dir, false, options, report, lib_err(e));
}

int weir_oplog_repair(const char *dir, const weir_check_options *options, weir_check_report *report,
		      weir_error *e)
{
	return check(dir, true, options, report, lib_err(e));
}
