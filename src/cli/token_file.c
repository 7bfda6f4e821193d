#include "cli/token_file.h"

#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TOKEN_BYTES_MAX = 16 << 20 };

static int cannot_save(const struct token_file *f)
{
	say("cannot save the token in %s: %s", f->path, strerror(errno));
	return EXIT_FAILED;
}

/* Line 1 into f->token, what follows "out " in line 2 into f->out_bytes. */
static int parse(struct token_file *f, struct buf *text)
{
	char *line = (char *)text->p, *end = line ? memchr(line, '\n', text->len) : NULL;
	size_t n = end ? (size_t)(end - line) : text->len;
	if (end && strncmp(end + 1, "out ", 4) == 0)
		f->out_bytes = strtoll(end + 5, NULL, 10);
	while (n && line[n - 1] == '\r')
		n--;
	if (n == 0) {
		say("the token file %s is empty: remove it to start anew", f->path);
		return EXIT_USAGE;
	}
	buf_add(&f->token, line, n);
	(void)buf_cstr(&f->token);
	return EXIT_OK;
}

static int read_file(struct token_file *f)
{
	AUTO(buf) struct buf text = BUF_INIT;
	char piece[4096];
	size_t n;
	FILE *in = fopen(f->path, "re");
	if (!in && errno == ENOENT)
		return EXIT_OK;
	while (in && text.len < TOKEN_BYTES_MAX && (n = fread(piece, 1, sizeof(piece), in)) > 0)
		buf_add(&text, piece, n);
	bool bad = !in || ferror(in);
	if (bad)
		say("cannot read the token file %s: %s", f->path, strerror(errno));
	if (in)
		fclose(in);
	if (bad)
		return EXIT_FAILED;
	if (text.len >= TOKEN_BYTES_MAX) {
		say("%s holds no resume token", f->path);
		return EXIT_USAGE;
	}
	(void)buf_cstr(&text);
	return parse(f, &text);
}

/* Before hours of work: the place can be written. */
static int try_to_write(struct token_file *f)
{
	struct stat st;
	if (stat(f->path, &st) == 0 && !S_ISREG(st.st_mode)) {
		errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
		return cannot_save(f);
	}
	int fd = open(buf_cstr(&f->temporary), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return cannot_save(f);
	(void)close(fd);
	(void)unlink(buf_cstr(&f->temporary));
	return EXIT_OK;
}

int token_file_open(struct token_file *f, const char *path)
{
	*f = (struct token_file){ .path = path, .out_bytes = -1 };
	buf_add_fmt(&f->temporary, "%s.new", path);
	int code = read_file(f);
	return code == EXIT_OK ? try_to_write(f) : code;
}

static bool write_whole(const char *path, const struct buf *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return false;
	size_t done = 0;
	ssize_t n = 0;
	while (done < text->len && (n = write(fd, text->p + done, text->len - done)) > 0)
		done += (size_t)n;
	bool ok = done == text->len && fsync(fd) == 0;
	int saved = errno;
	ok = close(fd) == 0 && ok;
	if (!ok)
		errno = saved;
	return ok;
}

int token_file_save(struct token_file *f, const char *token, long long out_bytes)
{
	AUTO(buf) struct buf text = BUF_INIT;
	if (f->token.len && strcmp(buf_cstr(&f->token), token) == 0 && f->out_bytes == out_bytes)
		return EXIT_OK;
	buf_add_fmt(&text, "%s\n", token);
	if (out_bytes >= 0)
		buf_add_fmt(&text, "out %lld\n", out_bytes);
	if (!write_whole(buf_cstr(&f->temporary), &text) ||
	    rename(buf_cstr(&f->temporary), f->path) != 0)
		return cannot_save(f);
	buf_reset(&f->token);
	buf_add_str(&f->token, token);
	(void)buf_cstr(&f->token);
	f->out_bytes = out_bytes;
	return EXIT_OK;
}

void token_file_done(struct token_file *f)
{
	buf_done(&f->token);
	buf_done(&f->temporary);
}
