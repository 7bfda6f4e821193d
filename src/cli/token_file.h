/* token_file.h: where a watch keeps its resume token between runs.
 *
 *	line 1: the token
 *	line 2: "out N": the output file had N bytes when this token was saved (only with --out)
 *
 * Saved by writing a new file (PATH.new), flushing it and renaming it over the old one, so that a crash leaves the old
 * token or the new one, never a torn one.
 */
#ifndef CLI_TOKEN_FILE_H
#define CLI_TOKEN_FILE_H

#include "base/buf.h"

struct token_file {
	const char *path;    /* NULL: none is kept */
	struct buf token;    /* with a NUL behind it; empty when there is none yet */
	struct buf temporary; /* PATH.new */
	long long out_bytes; /* -1: not recorded */
};

/* Reads what is there (nothing yet is fine) and makes sure that it can be replaced. EXIT_OK, or an exit code after telling
 * why. token_file_done in any case. */
int token_file_open(struct token_file *f, const char *path);
int token_file_save(struct token_file *f, const char *token, long long out_bytes);
void token_file_done(struct token_file *f);

#endif
