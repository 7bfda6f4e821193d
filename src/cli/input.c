#include "cli/input.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

enum { INPUT_BLOCK = 1 << 18, DETECT_BYTES = 1 << 16 };

static int fault(struct input *in, const char *what)
{
	snprintf(in->fault, sizeof(in->fault), "line %llu: %s", (unsigned long long)in->line, what);
	in->ended = true;
	return -1;
}

/* Reads more behind what is not consumed. False at the end of the file. */
static bool refill(struct input *in)
{
	if (in->eof)
		return false;
	if (in->at > 0) {
		memmove(in->buf.p, in->buf.p + in->at, in->buf.len - in->at);
		in->buf.len -= in->at;
		in->at = 0;
	}
	if (!buf_reserve(&in->buf, INPUT_BLOCK))
		return false;
	size_t n = fread(in->buf.p + in->buf.len, 1, INPUT_BLOCK, in->file);
	in->buf.len += n;
	in->read_bytes += n;
	if (n == 0)
		in->eof = true;
	return n > 0;
}

/* The byte `ahead` of the position, or -1 at the end. */
static int peek(struct input *in, size_t ahead)
{
	while (in->at + ahead >= in->buf.len)
		if (!refill(in))
			return -1;
	return in->buf.p[in->at + ahead];
}

static void consume(struct input *in, size_t n)
{
	for (size_t i = 0; i < n; i++)
		in->line += in->buf.p[in->at + i] == '\n';
	in->at += n;
}

static int skip_space(struct input *in)
{
	int c;
	while ((c = peek(in, 0)) == ' ' || c == '\t' || c == '\r' || c == '\n')
		consume(in, 1);
	return c;
}

/* Where the bracketed value at `start` (relative to the position) ends; 0 when the text ends before it. */
static size_t balanced_end(struct input *in, size_t start)
{
	size_t depth = 0;
	bool in_string = false;
	for (size_t i = start;; i++) {
		int c = peek(in, i);
		if (c < 0 || i > INPUT_DOCUMENT_MAX)
			return 0;
		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		} else if (c == '"') {
			in_string = true;
		} else if (c == '{' || c == '[') {
			depth++;
		} else if (c == '}' || c == ']') {
			if (--depth == 0)
				return i + 1;
		}
	}
}

/* The end of the JSON string that starts (with its quote) at `start`; 0 when it does not end. */
static size_t string_end(struct input *in, size_t start)
{
	for (size_t i = start + 1;; i++) {
		int c = peek(in, i);
		if (c < 0)
			return 0;
		if (c == '\\')
			i++;
		else if (c == '"')
			return i + 1;
	}
}

/* Looks at the fields of the object at the position: where the array "features" starts, and whether "type" before
 * it says FeatureCollection. 0: it is no feature collection. */
static size_t find_features(struct input *in)
{
	bool is_collection = false;
	size_t i = 1;
	for (;;) {
		int c;
		while ((c = peek(in, i)) >= 0 && (isspace(c) || c == ','))
			i++;
		if (c != '"')
			return 0;
		size_t key = i, key_end = string_end(in, i);
		if (!key_end)
			return 0;
		struct slice name = slice_of(in->buf.p + in->at + key + 1, key_end - key - 2);
		bool is_type = slice_is(name, "type"), is_features = slice_is(name, "features");
		i = key_end;
		while ((c = peek(in, i)) >= 0 && (isspace(c) || c == ':'))
			i++;
		if (is_features && c == '[' && is_collection)
			return i;
		size_t end = i;
		if (c == '"') {
			end = string_end(in, i);
			if (end && is_type)
				is_collection = slice_is(slice_of(in->buf.p + in->at + i, end - i),
							 "\"FeatureCollection\"");
		} else if (c == '{' || c == '[') {
			end = balanced_end(in, i);
		} else {
			while ((c = peek(in, end)) >= 0 && c != ',' && c != '}')
				end++;
		}
		if (!end || peek(in, end) < 0)
			return 0;
		i = end;
		if (i > DETECT_BYTES)
			return 0;
	}
}

static int start_features(struct input *in)
{
	size_t features = find_features(in);
	if (!features)
		return fault(in, "not a GeoJSON FeatureCollection");
	consume(in, features + 1);
	in->in_array = true;
	in->format = INPUT_GEOJSON;
	return 0;
}

/* A whole document on the first line: one document a line. */
static bool first_line_is_whole(struct input *in)
{
	size_t end = balanced_end(in, 0);
	if (!end)
		return true; /* broken: by lines, a later line may still be read */
	return memchr(in->buf.p + in->at, '\n', end) == NULL;
}

static int start(struct input *in)
{
	in->started = true;
	if (peek(in, 0) == 0xef && peek(in, 1) == 0xbb && peek(in, 2) == 0xbf)
		in->at += 3;
	if (in->format == INPUT_NDJSON)
		return 0;
	int c = skip_space(in);
	if (c < 0)
		return 0;
	if (in->format == INPUT_GEOJSON)
		return c == '{' ? start_features(in) : fault(in, "not a GeoJSON FeatureCollection");
	if (c == '[') {
		consume(in, 1);
		in->format = INPUT_JSON;
		in->in_array = true;
		return 0;
	}
	if (in->format == INPUT_AUTO) {
		if (c == '{' && find_features(in))
			return start_features(in);
		in->format = c != '{' || first_line_is_whole(in) ? INPUT_NDJSON : INPUT_JSON;
	}
	return 0;
}

static int next_line(struct input *in, struct slice *doc, uint64_t *line)
{
	for (;;) {
		size_t len = 0;
		int c;
		while ((c = peek(in, len)) >= 0 && c != '\n')
			if (++len > INPUT_DOCUMENT_MAX)
				return fault(in, "a line longer than 64 MiB");
		if (c < 0 && len == 0)
			return 0;
		*doc = slice_of(in->buf.p + in->at, len);
		*line = in->line;
		in->at += len;
		if (c == '\n')
			in->at++;
		in->line++;
		while (doc->len && isspace(doc->p[doc->len - 1]))
			doc->len--;
		size_t lead = 0;
		while (lead < doc->len && isspace(doc->p[lead]))
			lead++;
		if (lead < doc->len)
			return 1;
	}
}

static int next_value(struct input *in, struct slice *doc, uint64_t *line)
{
	int c = skip_space(in);
	if (in->in_array && c == ',') {
		consume(in, 1);
		c = skip_space(in);
	}
	if (in->in_array && c == ']') {
		in->ended = true;
		return 0;
	}
	if (c < 0)
		return in->in_array ? fault(in, "the array does not end") : 0;
	if (c != '{')
		return fault(in, "expected a document, '{'");
	size_t end = balanced_end(in, 0);
	if (!end)
		return fault(in, "a document that starts here does not end (or exceeds 64 MiB)");
	*doc = slice_of(in->buf.p + in->at, end);
	*line = in->line;
	consume(in, end);
	return 1;
}

int input_next(struct input *in, struct slice *doc, uint64_t *line)
{
	if (in->ended)
		return 0;
	if (!in->started) {
		int rc = start(in);
		if (rc)
			return rc;
	}
	int rc = in->format == INPUT_NDJSON ? next_line(in, doc, line) : next_value(in, doc, line);
	if (in->buf.failed)
		return fault(in, "out of memory");
	if (rc == 0 && ferror(in->file))
		return fault(in, strerror(errno));
	if (rc == 0)
		in->ended = true;
	return rc;
}

/* A copy that can seek, for input that cannot. */
static bool spool(struct input *in)
{
	FILE *copy = tmpfile();
	if (!copy) {
		snprintf(in->fault, sizeof(in->fault), "cannot make a temporary file: %s", strerror(errno));
		return false;
	}
	char block[65536];
	size_t n;
	bool ok = true;
	while (ok && (n = fread(block, 1, sizeof(block), in->file)) > 0)
		ok = fwrite(block, 1, n, copy) == n;
	if (!ok || ferror(in->file) || fflush(copy) != 0) {
		snprintf(in->fault, sizeof(in->fault), "cannot copy %s: %s", in->path, strerror(errno));
		fclose(copy);
		return false;
	}
	if (in->file != stdin)
		fclose(in->file);
	in->file = copy;
	rewind(copy);
	return true;
}

bool input_open(struct input *in, const char *path, enum input_format format, bool seekable)
{
	*in = (struct input){ .path = path, .format = format, .line = 1, .buf = BUF_INIT };
	if (strcmp(path, "-") == 0) {
		in->path = "standard input";
		in->file = stdin;
	} else {
		in->file = fopen(path, "rbe");
	}
	if (!in->file) {
		snprintf(in->fault, sizeof(in->fault), "cannot open: %s", strerror(errno));
		return false;
	}
	struct stat st;
	if (fstat(fileno(in->file), &st) == 0 && S_ISDIR(st.st_mode)) {
		snprintf(in->fault, sizeof(in->fault), "is a directory");
		input_close(in);
		return false;
	}
	if (seekable && fseeko(in->file, 0, SEEK_CUR) != 0 && !spool(in)) {
		input_close(in);
		return false;
	}
	if (fstat(fileno(in->file), &st) == 0 && S_ISREG(st.st_mode))
		in->size_bytes = (uint64_t)st.st_size;
	return true;
}

void input_rewind(struct input *in)
{
	rewind(in->file);
	buf_reset(&in->buf);
	in->at = 0;
	in->read_bytes = 0;
	in->line = 1;
	in->eof = in->started = in->in_array = in->ended = false;
}

void input_close(struct input *in)
{
	if (in->file && in->file != stdin)
		fclose(in->file);
	in->file = NULL;
	buf_done(&in->buf);
}

uint64_t input_position(const struct input *in)
{
	return in->read_bytes - (in->buf.len - in->at);
}
