/* token_file.h: where a watch keeps its resume token between runs.
 *
 *	line 1: the token
 *	line 2: "out N": the output file had N bytes when this token was saved (only with --out)
 *
 * Saved by writing a new file, flushing it and renaming it over the old one, so that a crash leaves the old token or
 * the new one, never a torn one.
 */
#ifndef CLI_TOKEN_FILE_H
#define CLI_TOKEN_FILE_H

#include "weir/weir.h"

struct token_file {
	const char *path;
	char token[WEIR_TOKEN_MAX];   /* "" when there is none yet */
	long long out_bytes;          /* -1: not recorded */
};

/* EXIT_OK (also when the file does not exist: token is then ""), or an exit code after telling why. */
int token_file_load(struct token_file *f, const char *path);
int token_file_save(struct token_file *f, const char *token, long long out_bytes);

#endif
