/* couchbase_config.c: reads a file, whatever it is, up to a limit; a world-readable one with a password in it gets a
 * warning. */
#include "cli/couchbase_config.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

enum { CONFIG_BYTES_MAX = 1 << 20 };

static int read_all(FILE *f, const char *path, struct buf *text)
{
	char piece[4096];
	size_t n;
	while ((n = fread(piece, 1, sizeof(piece), f)) > 0) {
		if (text->len + n > CONFIG_BYTES_MAX) {
			say("%s: more than %d bytes: not a configuration", path, CONFIG_BYTES_MAX);
			return EXIT_FAILED;
		}
		buf_add(text, piece, n);
	}
	if (text->failed) {
		say("out of memory");
		return EXIT_FAILED;
	}
	if (ferror(f)) {
		say("cannot read %s: %s", path, strerror(errno));
		return EXIT_FAILED;
	}
	return EXIT_OK;
}

int config_text(const char *path, struct buf *text)
{
	if (strcmp(path, "-") == 0)
		return read_all(stdin, "standard input", text);
	FILE *f = fopen(path, "r");
	if (!f) {
		say("cannot read %s: %s", path, strerror(errno));
		return errno == ENOENT ? EXIT_NOT_FOUND : EXIT_FAILED;
	}
	int code = read_all(f, path, text);
	fclose(f);
	return code;
}

static void warn_of_readers(const char *path, const struct buf *text)
{
	struct stat st;
	const char *at = text->len ? memmem(text->p, text->len, "password:", 9) : NULL;
	if (!at || stat(path, &st) != 0 || !S_ISREG(st.st_mode) || !(st.st_mode & S_IROTH))
		return;
	const char *end = (const char *)text->p + text->len;
	for (at += 9; at < end && (*at == ' ' || *at == '"' || *at == '\''); at++)
		;
	if (end - at < 2 || memcmp(at, "${", 2) != 0)
		say("warning: %s holds a password and anybody may read it (chmod 600, or "
		    "password: ${COUCHBASE_PASSWORD})",
		    path);
}

int config_open(const char *path, weir_dcp_config **out)
{
	weir_error e = WEIR_ERROR_INIT;
	AUTO(buf) struct buf text = BUF_INIT;
	int code = config_text(path, &text);
	if (code == EXIT_OK && weir_dcp_config_parse(buf_cstr(&text), text.len, path, out, &e) < 0)
		code = fail(NULL, &e);
	if (code == EXIT_OK)
		warn_of_readers(path, &text);
	return code;
}
