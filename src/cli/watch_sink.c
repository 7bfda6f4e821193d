#include "cli/watch_sink.h"

#include "cli/cli.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int cannot_write(const struct watch_sink *s)
{
	say("cannot write the events to %s: %s", s->out_path ? s->out_path : "standard output",
	    strerror(errno));
	return EXIT_FAILED;
}

int watch_sink_open_token(struct watch_sink *s, const struct args *a)
{
	*s = (struct watch_sink){ .out = stdout, .saved_ms = mono_ms() };
	return args_text(a, "token") ? token_file_open(&s->token, args_text(a, "token")) : EXIT_OK;
}

bool watch_sink_has_token(const struct watch_sink *s)
{
	return s->token.token.len > 0;
}

bool watch_sink_wants_start(const struct watch_sink *s)
{
	return s->out_is_file && s->token.path && !watch_sink_has_token(s);
}

/* Back to where the token stands. */
static int cut_back(struct watch_sink *s, const char *path)
{
	if (!watch_sink_has_token(s) || s->token.out_bytes < 0)
		return EXIT_OK;
	if (ftello(s->out) < s->token.out_bytes) {
		say("%s is shorter than the %lld bytes that %s remembers: it is another file, or "
		    "it was cut",
		    path, s->token.out_bytes, s->token.path);
		return EXIT_USAGE;
	}
	if (ftruncate(fileno(s->out), s->token.out_bytes) != 0) {
		say("cannot cut %s back to where the token stands: %s", path, strerror(errno));
		return EXIT_FAILED;
	}
	fseeko(s->out, 0, SEEK_END);
	return EXIT_OK;
}

/* A device or a pipe can neither be cut back nor synced. */
static bool regular(FILE *f)
{
	struct stat st;
	return fstat(fileno(f), &st) == 0 && S_ISREG(st.st_mode);
}

int watch_sink_open_out(struct watch_sink *s, const struct args *a)
{
	const char *path = args_text(a, "out");
	int code = EXIT_OK;
	if (path) {
		FILE *out = fopen(path, "abe");
		if (!out) {
			say("cannot open %s: %s", path, strerror(errno));
			return EXIT_FAILED;
		}
		s->out = out;
		s->out_is_file = true;
		s->out_path = path;
		if (s->token.path && !regular(out)) {
			say("--out %s with --token: it is not a regular file, which the token "
			    "could cut back",
			    path);
			code = EXIT_USAGE;
		}
		fseeko(out, 0, SEEK_END);
		if (code == EXIT_OK)
			code = cut_back(s, path);
	}
	event_printer_init(&s->printer, args_text(a, "format"), s->out);
	return code;
}

int watch_sink_flush(struct watch_sink *s, bool sync)
{
	if (fflush(s->out) != 0 || ferror(s->out))
		return cannot_write(s);
	return sync && s->out_is_file && fdatasync(fileno(s->out)) != 0 ? cannot_write(s) : EXIT_OK;
}

int watch_sink_save(struct watch_sink *s, const char *token)
{
	bool keep = s->token.path && token;
	int code = watch_sink_flush(s, keep);
	if (code != EXIT_OK || !keep)
		return code;
	s->saved_ms = mono_ms();
	long long bytes = s->out_is_file ? (long long)ftello(s->out) : -1;
	if (s->out_is_file && bytes < 0)
		return cannot_write(s);
	return token_file_save(&s->token, token, bytes);
}

int watch_sink_close(struct watch_sink *s, int code)
{
	event_printer_done(&s->printer);
	if (s->out_is_file && fclose(s->out) != 0 && code == EXIT_OK)
		code = cannot_write(s);
	token_file_done(&s->token);
	return code;
}
