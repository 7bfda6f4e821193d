/* cmd_oplog_keep.c: what operators do to a log: stat, verify, repair, trim. */
#include "cli/commands.h"
#include "cli/outcome.h"

#include <inttypes.h>
#include <string.h>

static void format_bytes(uint64_t bytes, char out[32])
{
	static const char *const unit[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	double v = (double)bytes;
	int i = 0;
	for (; v >= 1024 && i < 4; i++)
		v /= 1024;
	snprintf(out, 32, i ? "%.1f %s" : "%.0f %s", v, unit[i]);
}

/* ---- stat ---- */

static const struct option_row stat_options[] = {
	{ .name = "json", .kind = OPTION_FLAG, .help = "Print one JSON document" },
	{ 0 },
};

static void print_stat_json(weir_oplog *o, const weir_oplog_stats *s)
{
	printf("{\"log\":\"%s\",\"entries\":%" PRIu64 ",\"oldest\":%" PRIu64 ",\"next\":%" PRIu64
	       ",\"oldestWallTime\":%" PRId64 ",\"newestWallTime\":%" PRId64
	       ",\"segments\":%" PRIu64 ",\"bytesOnDisk\":%" PRIu64 ",\"retainBytes\":%" PRIu64
	       ",\"retainAgeMs\":%" PRId64 "}\n",
	       weir_oplog_name(o), s->next - s->oldest, s->oldest, s->next, s->oldest_wall_ms,
	       s->newest_wall_ms, s->segments, s->bytes_on_disk, s->retain_bytes, s->retain_age_ms);
}

static void print_stat(weir_oplog *o, const weir_oplog_stats *s)
{
	char from[40], to[40], bytes[32], keep[32];
	printf("log         %s\n", weir_oplog_name(o));
	printf("entries     %" PRIu64, s->next - s->oldest);
	if (s->next > s->oldest)
		printf("  (offsets %" PRIu64 " to %" PRIu64 ")", s->oldest, s->next - 1);
	putchar('\n');
	if (s->next > s->oldest) {
		format_time_ms(s->oldest_wall_ms, from);
		format_time_ms(s->newest_wall_ms, to);
		printf("wall times  %s to %s\n", from, to);
	}
	format_bytes(s->bytes_on_disk, bytes);
	printf("on disk     %s in %" PRIu64 " segment%s\n", bytes, s->segments,
	       s->segments == 1 ? "" : "s");
	if (!s->retain_bytes && !s->retain_age_ms) {
		puts("retention   everything is kept");
		return;
	}
	printf("retention  ");
	if (s->retain_bytes) {
		format_bytes(s->retain_bytes, keep);
		printf(" %s", keep);
	}
	if (s->retain_age_ms)
		printf(" %.1f days", (double)s->retain_age_ms / 86400000);
	putchar('\n');
}

static int run_stat(const struct args *a)
{
	int rc = EXIT_OK;
	weir_error e = WEIR_ERROR_INIT;
	weir_oplog *o = open_oplog(a->operand[0], true, true, NULL, &rc);
	if (!o)
		return rc;
	weir_oplog_stats s = { .size = sizeof(s) };
	if (weir_oplog_stat(o, &s, &e) < 0)
		rc = fail(NULL, &e);
	else if (args_flag(a, "json"))
		print_stat_json(o, &s);
	else
		print_stat(o, &s);
	rc = close_oplog(o, rc);
	return rc ? rc : out_finish();
}

const struct command oplog_stat_command = {
	.group = "oplog",
	.name = "stat",
	.operands = "LOG",
	.operands_min = 1,
	.operands_max = 1,
	.summary = "Show what an oplog holds",
	.options = stat_options,
	.run = run_stat,
};

/* ---- verify and repair ---- */

struct check {
	struct progress progress;
};

static int on_progress(void *arg, uint64_t done, uint64_t total)
{
	struct check *c = arg;
	c->progress.total_bytes = total;
	progress_step(&c->progress, done, done >> 20);
	return 0;
}

static int on_damage(void *arg, const weir_damage *d)
{
	struct check *c = arg;
	progress_end(&c->progress);
	printf("%s: bytes %" PRIu64 " to %" PRIu64 ": %s", d->file, d->from_byte, d->to_byte,
	       d->what);
	if (d->to_offset > d->from_offset)
		printf("; entries %" PRIu64 " to %" PRIu64 " cannot be read", d->from_offset,
		       d->to_offset - 1);
	putchar('\n');
	return 0;
}

static void print_report(const char *dir, const weir_check_report *r, const char *verdict)
{
	char bytes[32];
	format_bytes(r->bytes, bytes);
	printf("%s: %s: %" PRIu64 " entries in %" PRIu64 " batches, %" PRIu64 " segment%s, %s", dir,
	       verdict, r->entries, r->batches, r->segments, r->segments == 1 ? "" : "s", bytes);
	if (r->damages)
		printf("; %" PRIu64 " damaged range%s", r->damages, r->damages == 1 ? "" : "s");
	putchar('\n');
}

static const struct option_row verify_options[] = { { 0 } };

static int run_verify(const struct args *a)
{
	struct check c;
	progress_start(&c.progress, "verifying", "MiB", 0);
	weir_check_options options = { .size = sizeof(options),
				       .on_damage = on_damage,
				       .on_progress = on_progress,
				       .arg = &c };
	weir_check_report report = { 0 };
	weir_error e = WEIR_ERROR_INIT;
	int rc = weir_oplog_verify(a->operand[0], &options, &report, &e);
	progress_end(&c.progress);
	if (rc < 0)
		return fail(NULL, &e);
	print_report(a->operand[0], &report, rc ? "damaged" : "whole");
	int flushed = out_finish();
	return rc ? EXIT_DAMAGED : flushed;
}

const struct command oplog_verify_command = {
	.group = "oplog",
	.name = "verify",
	.operands = "LOG",
	.operands_min = 1,
	.operands_max = 1,
	.summary = "Read everything and report damage",
	.details = "Takes no lock and changes nothing; a writer may be at work. Exit code 6 when "
		   "there is damage.",
	.options = verify_options,
	.run = run_verify,
};

static const struct option_row repair_options[] = {
	{ .name = "accept-loss",
	  .kind = OPTION_FLAG,
	  .help = "Go on although entries are lost for good" },
	{ 0 },
};

static int run_repair(const struct args *a)
{
	struct check c;
	progress_start(&c.progress, "repairing", "MiB", 0);
	weir_check_options options = { .size = sizeof(options),
				       .accept_loss = args_flag(a, "accept-loss"),
				       .on_damage = on_damage,
				       .on_progress = on_progress,
				       .arg = &c };
	weir_check_report report = { 0 };
	weir_error e = WEIR_ERROR_INIT;
	int rc = weir_oplog_repair(a->operand[0], &options, &report, &e);
	progress_end(&c.progress);
	if (rc == WEIR_ERR_CORRUPT) {
		say("%s", e.message);
		fprintf(stderr, "      nothing was changed; --accept-loss repairs all the same: "
				"what cannot be read is set\n"
				"      aside in files beside the segments, and everything else "
				"stays as it is\n");
		(void)out_finish();
		return EXIT_DAMAGED;
	}
	if (rc < 0)
		return fail(NULL, &e);
	print_report(a->operand[0], &report,
		     report.damages ? "repaired" : "whole, nothing to repair");
	return out_finish();
}

const struct command oplog_repair_command = {
	.group = "oplog",
	.name = "repair",
	.operands = "LOG",
	.operands_min = 1,
	.operands_max = 1,
	.summary = "Make a damaged oplog usable again",
	.details = "Rebuilds what can be derived. Where entries are lost it stops before it "
		   "changes anything, unless\n"
		   "--accept-loss is given; readers then get a typed error for the lost entries "
		   "and all the others as\n"
		   "before. The damaged bytes are kept in files beside the segments.",
	.options = repair_options,
	.run = run_repair,
};

/* ---- trim ---- */

static const struct option_row trim_options[] = {
	{ .name = "before",
	  .kind = OPTION_COUNT,
	  .arg = "OFFSET",
	  .help = "Remove entries below this offset" },
	{ .name = "before-time",
	  .kind = OPTION_TEXT,
	  .arg = "TIME",
	  .help = "Remove entries older than this" },
	{ .name = "keep-bytes",
	  .kind = OPTION_SIZE,
	  .arg = "SIZE",
	  .help = "Keep about this much from now on (0: no limit)" },
	{ .name = "keep-age",
	  .kind = OPTION_DURATION,
	  .arg = "AGE",
	  .help = "Keep this long from now on (0: no limit)" },
	{ 0 },
};

static int trim(weir_oplog *o, const struct args *a)
{
	weir_error e = WEIR_ERROR_INIT;
	uint64_t oldest = 0;
	bool keep = args_given(a, "keep-bytes") || args_given(a, "keep-age");
	weir_oplog_stats s = { .size = sizeof(s) };
	if (weir_oplog_stat(o, &s, &e) < 0)
		return fail(NULL, &e);
	uint64_t was = s.oldest;
	if (keep) {
		uint64_t bytes =
			args_given(a, "keep-bytes") ? args_count(a, "keep-bytes") : s.retain_bytes;
		int64_t age = args_given(a, "keep-age") ? args_duration_ms(a, "keep-age")
							: s.retain_age_ms;
		if (weir_oplog_retain(o, bytes, age, &e) < 0)
			return fail(NULL, &e);
	}
	if (args_given(a, "before") && args_count(a, "before") > 0 &&
	    weir_oplog_trim(o, args_count(a, "before"), 0, &oldest, &e) < 0)
		return fail(NULL, &e);
	int64_t time_ms = 0;
	if (args_given(a, "before-time")) {
		if (!parse_time_ms(args_text(a, "before-time"), &time_ms))
			return usage_error(
				a->command,
				"--before-time must be a time such as 2026-01-31 or -7d, not '%s'",
				args_text(a, "before-time"));
		if (weir_oplog_trim(o, 0, time_ms, &oldest, &e) < 0)
			return fail(NULL, &e);
	}
	if (weir_oplog_stat(o, &s, &e) < 0)
		return fail(NULL, &e);
	printf("removed %" PRIu64 " entries; the oldest is now %" PRIu64 "\n", s.oldest - was,
	       s.oldest);
	return EXIT_OK;
}

static int run_trim(const struct args *a)
{
	if (!args_given(a, "before") && !args_given(a, "before-time") &&
	    !args_given(a, "keep-bytes") && !args_given(a, "keep-age"))
		return usage_error(
			a->command,
			"say what to remove: --before, --before-time, --keep-bytes or --keep-age");
	int rc = EXIT_OK;
	weir_oplog *o = open_oplog(a->operand[0], false, true, NULL, &rc);
	if (!o)
		return rc;
	rc = close_oplog(o, trim(o, a));
	int flushed = out_finish();
	return rc ? rc : flushed;
}

const struct command oplog_trim_command = {
	.group = "oplog",
	.name = "trim",
	.operands = "LOG",
	.operands_min = 1,
	.operands_max = 1,
	.summary = "Remove old entries, or set how much is kept",
	.details = "Whole segments are removed, so somewhat more may stay than asked for; the "
		   "newest entry always stays.\n"
		   "A stream that stands before the oldest entry fails with 'history lost' (exit "
		   "code 5), never with a\n"
		   "silent gap.",
	.examples = "weir oplog trim ./log --keep-age 7d\tKeep a week from now on\n"
		    "weir oplog trim ./log --before-time 2026-01-01\tRemove what is older, once",
	.options = trim_options,
	.run = run_trim,
};
