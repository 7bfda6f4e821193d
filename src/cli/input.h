/* input.h: JSON documents out of a file, one at a time, whatever they are wrapped in.
 *
 *	ndjson   one document a line; an empty line is skipped. A malformed line harms no other.
 *	json     an array of documents, or documents one after another
 *	geojson  a FeatureCollection: its features
 *
 * Only the text is cut here (by lines, or by brackets outside strings); parsing is the library's.
 */
#ifndef CLI_INPUT_H
#define CLI_INPUT_H

#include "base/buf.h"

#include <stdio.h>

#define INPUT_DOCUMENT_MAX (64u << 20) /* bytes of one document's text */

enum input_format { INPUT_AUTO, INPUT_NDJSON, INPUT_JSON, INPUT_GEOJSON };

struct input {
	FILE *file;
	const char *path;        /* as the user wrote it; "standard input" for - */
	enum input_format format;
	uint64_t size_bytes;     /* 0: unknown */
	uint64_t read_bytes;
	struct buf buf;          /* what is read and not yet consumed starts at `at` */
	size_t at;
	uint64_t line;           /* of the byte at `at`, from 1 */
	bool eof, started, in_array, ended;
	char fault[256];         /* after -1 */
};

/* path "-": standard input. False after telling why in in->fault. With `seekable`, input that cannot seek is first
 * copied to a temporary file, so that input_rewind works. */
bool input_open(struct input *in, const char *path, enum input_format format, bool seekable);
void input_rewind(struct input *in);
void input_close(struct input *in);

/* 1: *doc is the text of the next document (until the next call) and *line where it starts; 0: the end;
 * -1: the input is broken here (in->fault says how) and cannot be followed further. */
int input_next(struct input *in, struct slice *doc, uint64_t *line);

uint64_t input_position(const struct input *in); /* bytes consumed */

#endif
