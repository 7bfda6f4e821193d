#include "cli/outcome.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

int exit_code_of(int code)
{
	switch (code) {
	case WEIR_OK: return EXIT_OK;
	case WEIR_ERR_INVALID:
	case WEIR_ERR_UNSUPPORTED:
	case WEIR_ERR_FORMAT:
	case WEIR_ERR_TYPE:
	case WEIR_ERR_WRONG_PORT:
	case WEIR_ERR_TOKEN_CORRUPT:
	case WEIR_ERR_TOKEN_FOREIGN:
	case WEIR_ERR_TOKEN_FUTURE: return EXIT_USAGE;
	case WEIR_ERR_NOTFOUND:
	case WEIR_ERR_NO_IMAGE: return EXIT_NOT_FOUND;
	case WEIR_ERR_ACCESS:
	case WEIR_ERR_AUTH: return EXIT_AUTH;
	case WEIR_ERR_HISTORY_LOST: return EXIT_HISTORY_LOST;
	case WEIR_ERR_CORRUPT: return EXIT_DAMAGED;
	case WEIR_ERR_TIMEOUT: return EXIT_TIMED_OUT;
	}
	return EXIT_FAILED;
}

static const char *hint_for(int code)
{
	switch (code) {
	case WEIR_ERR_HISTORY_LOST:
		return "start again with --from oldest, or with --from now to skip what was missed";
	case WEIR_ERR_CORRUPT:
		return "'weir oplog verify LOG' lists the damage, 'weir oplog repair LOG' mends "
		       "what can be mended";
	case WEIR_ERR_LOCKED: return "one process writes a log at a time; readers need no lock";
	case WEIR_ERR_VERSION: return "use the newer weir that wrote it";
	}
	return NULL;
}

int fail(const char *context, const weir_error *e)
{
	const char *message = e->message[0] ? e->message : weir_error_text(e->code);
	char number[32] = "";
	if (e->number)
		snprintf(number, sizeof(number), " (code %d)", e->number);
	if (context)
		say("%s: %s%s", context, message, number);
	else
		say("%s%s", message, number);
	const char *hint = hint_for(e->code);
	if (hint)
		fprintf(stderr, "      %s\n", hint);
	return exit_code_of(e->code);
}

enum weir_ack ack_of(const char *text)
{
	if (text && strcmp(text, "written") == 0)
		return WEIR_ACK_WRITTEN;
	if (text && strcmp(text, "none") == 0)
		return WEIR_ACK_NONE;
	return WEIR_ACK_DURABLE;
}

weir_oplog *open_oplog(const char *dir, bool read_only, bool must_exist, const char *ack,
		       int *exit_code)
{
	weir_oplog_options options = {
		.size = sizeof(options),
		.read_only = read_only,
		.must_exist = must_exist,
		.ack = ack_of(ack),
	};
	weir_error e = WEIR_ERROR_INIT;
	weir_oplog *o = NULL;
	if (weir_oplog_open(dir, &options, &o, &e) < 0) {
		*exit_code = fail(NULL, &e);
		return NULL;
	}
	return o;
}

int close_oplog(weir_oplog *o, int exit_code)
{
	weir_error e = WEIR_ERROR_INIT;
	if (weir_oplog_close(o, &e) < 0 && exit_code == EXIT_OK)
		return fail(NULL, &e);
	return exit_code;
}

bool split_ns(const char *ns, char *out, size_t cap, const char **db, const char **coll)
{
	if (!*ns || strlen(ns) >= cap)
		return false;
	memcpy(out, ns, strlen(ns) + 1);
	char *dot = strchr(out, '.');
	*db = out;
	*coll = dot ? dot + 1 : "";
	if (dot)
		*dot = '\0';
	return **db && (!dot || **coll);
}

static int read_stream(FILE *f, const char *path, weir_buffer *out)
{
	size_t cap = 1 << 16, len = 0, n;
	char *text = malloc(cap);
	while (text && (n = fread(text + len, 1, cap - len, f)) > 0) {
		len += n;
		if (len == cap) {
			char *more = realloc(text, cap *= 2);
			if (!more)
				free(text);
			text = more;
		}
	}
	if (!text || ferror(f)) {
		say("cannot read %s: %s", path, strerror(errno));
		free(text);
		return EXIT_FAILED;
	}
	out->data = (unsigned char *)text;
	out->len = len;
	out->cap = cap;
	return EXIT_OK;
}

int json_operand(const char *text, weir_buffer *out)
{
	if (text[0] != '@') {
		char *copy = strdup(text);
		if (!copy) {
			say("out of memory");
			return EXIT_FAILED;
		}
		*out = (weir_buffer){ .data = (unsigned char *)copy,
				      .len = strlen(text),
				      .cap = strlen(text) + 1 };
		return EXIT_OK;
	}
	if (strcmp(text, "@-") == 0)
		return read_stream(stdin, "standard input", out);
	FILE *f = fopen(text + 1, "rbe");
	if (!f) {
		say("cannot open %s: %s", text + 1, strerror(errno));
		return errno == ENOENT ? EXIT_NOT_FOUND : EXIT_FAILED;
	}
	int rc = read_stream(f, text + 1, out);
	fclose(f);
	return rc;
}

enum weir_json_input json_input_of(const char *text)
{
	if (strcmp(text, "ndjson") == 0)
		return WEIR_INPUT_NDJSON;
	if (strcmp(text, "json") == 0)
		return WEIR_INPUT_ARRAY;
	return strcmp(text, "geojson") == 0 ? WEIR_INPUT_FEATURES : WEIR_INPUT_AUTO;
}
