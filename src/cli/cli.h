/* cli.h: the command line as tables.
 *
 * A command is one file, cmd_NAME.c, with a `const struct command`: its name, operands, options, help and run
 * function; main.c lists them. Parsing, defaults, `--help`, the man page and the shells' completions all come from
 * the same rows, so they cannot disagree.
 *
 * Data goes to stdout, everything else to stderr. A run function returns an exit code.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum exit_code {
	EXIT_OK = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_NOT_FOUND = 3,
	EXIT_AUTH = 4,
	EXIT_HISTORY_LOST = 5,
	EXIT_DAMAGED = 6,
	EXIT_TIMED_OUT = 7,
};

enum option_kind {
	OPTION_FLAG,      /* no argument */
	OPTION_TEXT,
	OPTION_FILE,      /* text that shells complete as a path */
	OPTION_COUNT,     /* a whole number >= 0 */
	OPTION_SIZE,      /* bytes: 65536, 64KiB, 10MB */
	OPTION_DURATION,  /* 250ms, 30s, 5m, 12h, 7d */
	OPTION_CHOICE,    /* one of `choices`, separated by | */
};

struct option_row {
	const char *name;      /* without the dashes */
	char letter;           /* 0: none */
	enum option_kind kind;
	const char *arg;       /* its argument's name in help; NULL for flags */
	const char *choices;   /* OPTION_CHOICE: "ndjson|json" */
	const char *def;       /* the default as text, or NULL */
	const char *help;      /* one line */
};

#define OPTIONS_MAX 32

struct args;

struct command {
	const char *group;     /* "oplog", or NULL */
	const char *name;
	const char *operands;  /* "LOG [FILE]" for the usage line */
	int operands_min, operands_max; /* -1: no upper bound */
	const char *summary;   /* one line, no full stop */
	const char *details;   /* paragraphs, separated by empty lines */
	const char *examples;  /* lines of "command\tWhat it does" */
	const struct option_row *options; /* ends with a row without a name */
	int (*run)(const struct args *a);
};

struct args {
	const struct command *command;
	const char *value[OPTIONS_MAX]; /* by row: the text given, else the default, else NULL */
	bool given[OPTIONS_MAX];
	const char *const *operand;
	int n_operands;
};

extern const struct command *const commands[]; /* ends with NULL */

/* ---- args.c ---- */

/* Parses argv after the command's words. EXIT_OK, or EXIT_USAGE after telling why. *help: --help was given. */
int args_parse(const struct command *c, int argc, const char *const *argv, struct args *out, bool *help);

/* By option name; asking for a name the command does not have is a bug. */
const char *args_text(const struct args *a, const char *name);
bool args_flag(const struct args *a, const char *name);
bool args_given(const struct args *a, const char *name);
uint64_t args_count(const struct args *a, const char *name);    /* counts, sizes; 0 when absent */
int64_t args_duration_ms(const struct args *a, const char *name); /* -1 when absent */
bool args_choice(const struct args *a, const char *name, const char *choice);

bool parse_size(const char *text, uint64_t *out);
bool parse_duration_ms(const char *text, int64_t *out);
/* "2026-01-31", "2026-01-31T10:00:00Z" (any RFC 3339 offset and fraction), "1517966773840" (ms), "-5m" (ago).
 * Milliseconds since 1970. */
bool parse_time_ms(const char *text, int64_t *out);
void format_time_ms(int64_t ms, char out[40]); /* "2026-01-31T10:00:00.000Z" */

/* ---- help.c, man.c, completion.c ---- */

void help_overview(FILE *out);
void help_group(const char *group, FILE *out);
void help_command(const struct command *c, FILE *out);
void man_page(FILE *out);
bool completion_script(const char *shell, FILE *out); /* false: no such shell */
int usage_error(const struct command *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- say.c: what goes to stderr ---- */

void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));           /* "weir: ...\n" */
/* A progress line with rate and time left, drawn at most ten times a second, only when stderr is a terminal. */
struct progress {
	const char *verb;       /* "importing" */
	const char *unit;       /* "documents" */
	uint64_t total_bytes;   /* 0: unknown */
	int64_t started_ms, drawn_ms;
	bool on, drawn;
};
void progress_start(struct progress *p, const char *verb, const char *unit, uint64_t total_bytes);
void progress_step(struct progress *p, uint64_t done_bytes, uint64_t done_units);
void progress_end(struct progress *p); /* wipes the line */
int64_t mono_ms(void);

/* Flushes stdout; EXIT_FAILED after telling why when it cannot (a full disk), else EXIT_OK. */
int out_finish(void);

/* ---- stop.c: Ctrl-C ---- */

/* SIGINT and SIGTERM call fn(arg) once, from a thread of its own; one that comes half a second or more
 * later ends the process at once. */
void stop_on_signal(void (*fn)(void *arg), void *arg);
bool stop_requested(void);

#endif
