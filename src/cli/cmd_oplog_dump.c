#include "cli/commands.h"
#include "cli/event_print.h"
#include "cli/outcome.h"

#include <inttypes.h>

static const struct option_row dump_options[] = {
	{ .name = "offset",
	  .kind = OPTION_COUNT,
	  .arg = "N",
	  .def = "0",
	  .help = "Start at this offset" },
	{ .name = "limit",
	  .letter = 'n',
	  .kind = OPTION_COUNT,
	  .arg = "N",
	  .help = "End after N entries (0: no limit)" },
	{ .name = "format",
	  .kind = OPTION_CHOICE,
	  .arg = "FORMAT",
	  .choices = "ndjson|canonical|pretty|table",
	  .def = "canonical",
	  .help = "How entries are printed; canonical keeps every type" },
	{ .name = "skip-damage",
	  .kind = OPTION_FLAG,
	  .help = "Tell about damaged entries and go on behind them" },
	{ 0 },
};

static int dump(weir_watch *w, const struct args *a)
{
	struct event_printer printer;
	event_printer_init(&printer, args_text(a, "format"), stdout);
	uint64_t from = args_count(a, "offset"), limit = args_count(a, "limit"), shown = 0, skipped;
	weir_error e = WEIR_ERROR_INIT;
	const weir_event *ev;
	int rc = 1, code = EXIT_OK;
	bool seen = false;
	while (rc == 1 && !(limit && shown == limit)) {
		rc = weir_watch_try_next(w, &ev, &e);
		if (rc == 1 && from && !seen && weir_event_offset(ev) > from)
			say("the log begins at offset %" PRIu64 "; what lay before it was trimmed",
			    weir_event_offset(ev));
		seen |= rc == 1;
		if (rc == 1 && weir_event_offset(ev) >= from) {
			rc = event_print(&printer, ev, &e) < 0 ? -1 : 1;
			shown++;
		}
		if (rc == WEIR_ERR_CORRUPT && args_flag(a, "skip-damage")) {
			say("%s", e.message);
			code = EXIT_DAMAGED;
			rc = weir_watch_skip(w, &skipped, &e) < 0 ? -1 : 1;
		}
	}
	event_printer_done(&printer);
	int flushed = out_finish();
	if (rc < 0)
		return fail(NULL, &e);
	return code ? code : flushed;
}

static int run(const struct args *a)
{
	int rc = EXIT_OK;
	weir_error e = WEIR_ERROR_INIT;
	weir_oplog *o = open_oplog(a->operand[0], true, true, NULL, &rc);
	if (!o)
		return rc;
	weir_watch_options options = { .size = sizeof(options),
				       .start = WEIR_START_OLDEST,
				       .follow_written = true,
				       .show_noops = true };
	weir_watch *w = NULL;
	if (weir_watch_open(o, NULL, NULL, &options, &w, &e) < 0)
		rc = fail(NULL, &e);
	else
		rc = dump(w, a);
	weir_watch_free(w);
	return close_oplog(o, rc);
}

const struct command oplog_dump_command = {
	.group = "oplog",
	.name = "dump",
	.operands = "LOG",
	.operands_min = 1,
	.operands_max = 1,
	.summary = "Print every entry, noops included, with its types",
	.options = dump_options,
	.run = run,
};
