/* watch_options.h: option rows that 'weir watch' and 'weir couchbase watch' share, so that they say and mean the same. */
#ifndef CLI_WATCH_OPTIONS_H
#define CLI_WATCH_OPTIONS_H

#define WATCH_ROW_RESUME_AFTER                                                                     \
	{ .name = "resume-after",                                                                  \
	  .kind = OPTION_TEXT,                                                                     \
	  .arg = "TOKEN",                                                                          \
	  .help = "Start behind this resume token" }

#define WATCH_ROW_TOKEN                                                                            \
	{ .name = "token",                                                                         \
	  .letter = 't',                                                                           \
	  .kind = OPTION_FILE,                                                                     \
	  .arg = "FILE",                                                                           \
	  .help = "Start behind the token in FILE, when it exists, and keep it up to date" }

#define WATCH_ROW_FILTER                                                                           \
	{ .name = "filter",                                                                        \
	  .kind = OPTION_TEXT,                                                                     \
	  .arg = "JSON",                                                                           \
	  .help = "Only events that match this query; @FILE reads it" }

#define WATCH_ROW_PIPELINE                                                                         \
	{ .name = "pipeline",                                                                      \
	  .kind = OPTION_TEXT,                                                                     \
	  .arg = "JSON",                                                                           \
	  .help = "An array of stages for each event; @FILE reads it" }

#define WATCH_ROW_FORMAT                                                                           \
	{ .name = "format",                                                                        \
	  .kind = OPTION_CHOICE,                                                                   \
	  .arg = "FORMAT",                                                                         \
	  .choices = "ndjson|canonical|pretty|table",                                              \
	  .def = "ndjson",                                                                         \
	  .help = "How events are printed; ndjson is relaxed JSON, one event a line" }

#define WATCH_ROW_OUT                                                                              \
	{ .name = "out",                                                                           \
	  .letter = 'o',                                                                           \
	  .kind = OPTION_FILE,                                                                     \
	  .arg = "FILE",                                                                           \
	  .help = "Append to FILE; with --token exactly once" }

#define WATCH_ROW_LIMIT                                                                            \
	{ .name = "limit",                                                                         \
	  .letter = 'n',                                                                           \
	  .kind = OPTION_COUNT,                                                                    \
	  .arg = "N",                                                                              \
	  .help = "End after N events (0: no limit)" }

#define WATCH_ROW_TIMEOUT                                                                          \
	{ .name = "timeout",                                                                       \
	  .kind = OPTION_DURATION,                                                                 \
	  .arg = "TIME",                                                                           \
	  .help = "With --follow: end (exit code 7) after so long without an event" }

#endif
