#include "cli/token_file.h"

#include "cli/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

int token_file_load(struct token_file *f, const char *path)
{
	*f = (struct token_file){ .path = path, .out_bytes = -1 };
	FILE *in = fopen(path, "re");
	if (!in && errno == ENOENT)
		return EXIT_OK;
	if (!in) {
		say("cannot read the token file %s: %s", path, strerror(errno));
		return EXIT_FAILED;
	}
	char line[WEIR_TOKEN_MAX + 64];
	if (fgets(line, sizeof(line), in)) {
		line[strcspn(line, "\r\n")] = '\0';
		if (strlen(line) >= sizeof(f->token)) {
			say("%s holds no resume token", path);
			fclose(in);
			return EXIT_USAGE;
		}
		memcpy(f->token, line, strlen(line) + 1);
	}
	if (fgets(line, sizeof(line), in) && strncmp(line, "out ", 4) == 0)
		f->out_bytes = strtoll(line + 4, NULL, 10);
	fclose(in);
	return EXIT_OK;
}

static bool write_whole(const char *path, const char *token, long long out_bytes)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return false;
	char text[WEIR_TOKEN_MAX + 64];
	int n = out_bytes >= 0 ? snprintf(text, sizeof(text), "%s\nout %lld\n", token, out_bytes)
			       : snprintf(text, sizeof(text), "%s\n", token);
	bool ok = n > 0 && write(fd, text, (size_t)n) == n && fsync(fd) == 0;
	int saved = errno;
	ok = close(fd) == 0 && ok;
	if (!ok)
		errno = saved;
	return ok;
}

int token_file_save(struct token_file *f, const char *token, long long out_bytes)
{
	if (strcmp(f->token, token) == 0 && f->out_bytes == out_bytes)
		return EXIT_OK;
	char temporary[4096];
	if (snprintf(temporary, sizeof(temporary), "%s.new", f->path) >= (int)sizeof(temporary)) {
		say("the token file's name is too long");
		return EXIT_USAGE;
	}
	if (!write_whole(temporary, token, out_bytes) || rename(temporary, f->path) != 0) {
		say("cannot save the token in %s: %s", f->path, strerror(errno));
		return EXIT_FAILED;
	}
	snprintf(f->token, sizeof(f->token), "%s", token);
	f->out_bytes = out_bytes;
	return EXIT_OK;
}
