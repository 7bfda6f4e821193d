/* cmd_watch.c: a change stream on standard output. What is printed, and the token behind it, is watch_sink.h's. */
#include "cli/commands.h"
#include "cli/couchbase_stream.h"
#include "cli/outcome.h"
#include "cli/watch_options.h"
#include "cli/watch_sink.h"

#include "base/base.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

enum { REFRESH_MS = 10000 };

static const struct option_row watch_options[] = {
	{ .name = "follow",
	  .letter = 'f',
	  .kind = OPTION_FLAG,
	  .help = "Go on with what is appended from now on, until Ctrl-C" },
	{ .name = "from",
	  .kind = OPTION_CHOICE,
	  .arg = "WHERE",
	  .choices = "oldest|now",
	  .help = "Where to start; default: now with --follow, else oldest" },
	{ .name = "since",
	  .kind = OPTION_TEXT,
	  .arg = "TIME",
	  .help = "Start at this time (2026-01-31T10:00:00Z, -5m, milliseconds)" },
	WATCH_ROW_RESUME_AFTER,
	WATCH_ROW_TOKEN,
	WATCH_ROW_FILTER,
	WATCH_ROW_PIPELINE,
	{ .name = "full-document",
	  .kind = OPTION_CHOICE,
	  .arg = "MODE",
	  .choices = "default|updateLookup|whenAvailable|required",
	  .def = "default",
	  .help = "fullDocument of updates" },
	WATCH_ROW_FORMAT,
	WATCH_ROW_OUT,
	WATCH_ROW_LIMIT,
	WATCH_ROW_TIMEOUT,
	{ .name = "written",
	  .kind = OPTION_FLAG,
	  .help = "Show what is written but not yet durable, too" },
	{ .name = "noops", .kind = OPTION_FLAG, .help = "Show noop entries, too" },
	{ 0 },
};

struct watching {
	const struct args *args;
	weir_watch *watch;
	struct watch_sink sink;
	uint64_t shown, limit;
	int64_t event_ms;
};

static void close_watch(void *arg)
{
	weir_watch_close(arg);
}

enum step { STEP_WAIT, STEP_END };

/* Prints up to a batch of events, waiting at most wait_ms for the first. Near the limit it takes one by one, so that
 * the token stands behind the last one shown. 1, 0 none came, or the library's error in *e. */
static int show_some(struct watching *w, int64_t wait_ms, weir_error *e)
{
	const weir_event *one;
	const weir_event *const *events = &one;
	size_t n = 1;
	bool near_limit = w->limit && w->limit - w->shown < WEIR_BATCH_SIZE_DEFAULT;
	int rc = near_limit ? weir_watch_next(w->watch, wait_ms, &one, e)
			    : weir_watch_next_batch(w->watch, wait_ms, &events, &n, e);
	if (rc != 1)
		return rc;
	for (size_t i = 0; i < n; i++) {
		int printed = event_print(&w->sink.printer, events[i], e);
		if (printed < 0)
			return printed;
	}
	w->shown += n;
	w->event_ms = mono_ms();
	return 1;
}

/* Nothing is there: the end, or a wait that ends now and then so that a quiet stream's token stays fresh. */
static enum step wait_more(struct watching *w, int64_t *wait_ms, int *exit_code)
{
	*exit_code = EXIT_OK;
	if (!args_flag(w->args, "follow"))
		return STEP_END;
	*wait_ms = REFRESH_MS;
	int64_t timeout = args_duration_ms(w->args, "timeout");
	if (timeout < 0)
		return STEP_WAIT;
	int64_t left = w->event_ms + timeout - mono_ms();
	if (left <= 0) {
		say("no event for %s", args_text(w->args, "timeout"));
		*exit_code = EXIT_TIMED_OUT;
		return STEP_END;
	}
	*wait_ms = MIN(left, *wait_ms);
	return STEP_WAIT;
}

/* Prints and saves until the end, the limit, a signal or an error. */
static int pump(struct watching *w)
{
	weir_error e = WEIR_ERROR_INIT;
	int64_t wait_ms = 0;
	w->event_ms = mono_ms();
	if (watch_sink_wants_start(&w->sink)) {
		int saved = watch_sink_save(&w->sink, weir_watch_token(w->watch));
		if (saved != EXIT_OK)
			return saved;
	}
	for (;;) {
		int rc = show_some(w, wait_ms, &e);
		bool limit_reached = w->limit && w->shown >= w->limit;
		wait_ms = 0;
		if (rc == 1 && !limit_reached && mono_ms() - w->sink.saved_ms < WATCH_SAVE_EVERY_MS)
			continue;
		int saved = watch_sink_save(&w->sink, weir_watch_token(w->watch));
		if (saved || limit_reached || rc == WEIR_ERR_CLOSED) /* CLOSED: Ctrl-C */
			return saved;
		if (rc < 0)
			return fail(NULL, &e);
		int exit_code;
		if (rc == 0 && wait_more(w, &wait_ms, &exit_code) == STEP_END)
			return exit_code;
	}
}

static enum weir_full_document full_document_of(const char *text)
{
	if (strcmp(text, "updateLookup") == 0)
		return WEIR_FULL_UPDATE_LOOKUP;
	if (strcmp(text, "whenAvailable") == 0)
		return WEIR_FULL_WHEN_AVAILABLE;
	return strcmp(text, "required") == 0 ? WEIR_FULL_REQUIRED : WEIR_FULL_DEFAULT;
}

/* Where to start: the token file before everything else, then what the options say. */
static int set_start(struct watching *w, weir_watch_options *o)
{
	const struct args *a = w->args;
	const char *since = args_text(a, "since"), *from = args_text(a, "from");
	int ways = (since != NULL) + (from != NULL) + (args_text(a, "resume-after") != NULL);
	if (ways > 1)
		return usage_error(a->command,
				   "--from, --since and --resume-after exclude each other");
	if (watch_sink_has_token(&w->sink)) {
		o->start = WEIR_START_AFTER;
		o->resume_after = buf_cstr(&w->sink.token.token);
	} else if (args_text(a, "resume-after")) {
		o->start = WEIR_START_AFTER;
		o->resume_after = args_text(a, "resume-after");
	} else if (since) {
		o->start = WEIR_START_WALL_TIME;
		if (!parse_time_ms(since, &o->start_wall_ms))
			return usage_error(a->command,
					   "--since must be a time such as 2026-01-31T10:00:00Z or "
					   "-5m, not '%s'",
					   since);
	} else {
		bool now = from ? strcmp(from, "now") == 0 : args_flag(a, "follow");
		o->start = now ? WEIR_START_NOW : WEIR_START_OLDEST;
	}
	return EXIT_OK;
}

static int open_and_pump(struct watching *w, weir_oplog *o, weir_watch_options *options)
{
	char ns[400];
	const char *db = NULL, *coll = NULL;
	if (w->args->n_operands > 1 && !split_ns(w->args->operand[1], ns, sizeof(ns), &db, &coll))
		return usage_error(w->args->command,
				   "the scope is DATABASE or DATABASE.COLLECTION, not '%s'",
				   w->args->operand[1]);
	weir_error e = WEIR_ERROR_INIT;
	if (weir_watch_open(o, db, coll, options, &w->watch, &e) < 0)
		return fail(NULL, &e);
	stop_on_signal(close_watch, w->watch);
	return pump(w);
}

static int run(const struct args *a)
{
	if (couchbase_is_address(a->operand[0]))
		return couchbase_watch_address(a);
	struct watching w = { .args = a, .limit = args_count(a, "limit") };
	weir_watch_options options = {
		.size = sizeof(options),
		.full_document = full_document_of(args_text(a, "full-document")),
		.follow_written = args_flag(a, "written"),
		.show_noops = args_flag(a, "noops"),
	};
	weir_buffer filter = WEIR_BUFFER_INIT, pipeline = WEIR_BUFFER_INIT;
	weir_oplog *o = NULL;
	int rc = watch_sink_open_token(&w.sink, a);
	if (!rc)
		rc = set_start(&w, &options);
	if (!rc && args_text(a, "filter")) {
		rc = json_operand(args_text(a, "filter"), &filter);
		options.filter = weir_json_n((const char *)filter.data, filter.len);
	}
	if (!rc && args_text(a, "pipeline")) {
		rc = json_operand(args_text(a, "pipeline"), &pipeline);
		options.pipeline = weir_json_n((const char *)pipeline.data, pipeline.len);
	}
	if (!rc)
		o = open_oplog(a->operand[0], true, true, NULL, &rc);
	if (o && !rc)
		rc = watch_sink_open_out(&w.sink, a);
	if (o && !rc)
		rc = open_and_pump(&w, o, &options);
	weir_watch_free(w.watch);
	if (o)
		rc = close_oplog(o, rc);
	rc = watch_sink_close(&w.sink, rc);
	weir_buffer_free(&filter);
	weir_buffer_free(&pipeline);
	return rc;
}

const struct command watch_command = {
	.name = "watch",
	.operands = "LOG|ADDRESS [DB[.COLL]]",
	.operands_min = 1,
	.operands_max = 2,
	.summary = "Print the change events of an oplog, a database, a collection or a bucket",
	.details =
		"Without --follow it prints what is there and ends. Filter and pipeline see the "
		"event's fields:\n"
		"operationType, ns.db, ns.coll, documentKey._id, fullDocument.x, "
		"updateDescription.updatedFields.x, ...\n\n"
		"With --token FILE the position survives: the next run goes on behind the last "
		"event that was printed.\n"
		"A kill repeats some events at most; with --out FILE as well, not even that.\n\n"
		"An ADDRESS is couchbase://[USER@]HOST[:PORT][,...]/BUCKET[/SCOPE[/COLLECTION]], "
		"with TLS couchbases://;\n"
		"the password is taken from $COUCHBASE_PASSWORD ('weir couchbase watch' has more "
		"options).\n\n"
		"Exit code 5: the position was trimmed away. Ctrl-C ends a --follow in good "
		"order (exit code 0).",
	.examples =
		"weir watch ./log shop.orders -f\tFollow a collection\n"
		"weir watch ./log --filter '{\"operationType\": \"delete\"}'\tAll deletes so far\n"
		"weir watch ./log shop -f --token shop.token --out shop.ndjson\tExactly once into "
		"a file",
	.options = watch_options,
	.run = run,
};
