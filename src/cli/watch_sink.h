/* watch_sink.h: where a watch's events go, and the token that stands behind them: what watching a log and watching a
 * bucket share.
 *
 *	events ─▶ printer ─▶ standard output or --out ─ flushed, synced ─▶ token file: token, length of the output
 *
 * The token is saved behind the events before it. With --out the next run cuts the file back to the remembered length,
 * so that not even a kill -9 makes an event come twice. */
#ifndef CLI_WATCH_SINK_H
#define CLI_WATCH_SINK_H

#include "cli/event_print.h"
#include "cli/token_file.h"

struct args;

struct watch_sink {
	struct event_printer printer;
	struct token_file token; /* path NULL: none */
	FILE *out;
	bool out_is_file;
	const char *out_path; /* NULL: standard output */
	int64_t saved_ms; /* when the token was saved last */
};

#define WATCH_SAVE_EVERY_MS 500

/* --token is read first: it decides where to start, and how much of --out counts. Reads the options token, out and
 * format of `a`. EXIT_OK, or an exit code after telling why. */
int watch_sink_open_token(struct watch_sink *s, const struct args *a);
int watch_sink_open_out(struct watch_sink *s, const struct args *a);
bool watch_sink_has_token(const struct watch_sink *s); /* one to resume from */
/* Whether the place is to be saved before anything is printed: else a kill before the first save leaves a file of which
 * nothing says how much counts. */
bool watch_sink_wants_start(const struct watch_sink *s);

/* What was printed reaches the output. sync: the disk, when it is a file. */
int watch_sink_flush(struct watch_sink *s, bool sync);
/* And then the token its file. token NULL, or none is kept: only flushed. */
int watch_sink_save(struct watch_sink *s, const char *token);
/* Keeps an earlier failure, else reports its own. */
int watch_sink_close(struct watch_sink *s, int code);

#endif
