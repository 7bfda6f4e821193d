/* tzfile.c: one file read whole. The name has been checked by doc/timezone.c: it cannot leave the folder. */
#include "os/tzfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TZFILE_MAX = 1 << 20 };

static int read_all(int fd, const char *path, struct buf *out, struct err *e)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return err_errno(e, errno, "%s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_NOTFOUND, "%s is no file", path);
	while (out->len <= TZFILE_MAX) {
		if (!buf_reserve(out, 4096))
			return err_nomem(e);
		ssize_t n = read(fd, out->p + out->len, 4096);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(e, errno, "%s", path);
		if (n == 0)
			return 0;
		out->len += (size_t)n;
	}
	return err_set(e, ERR_LIMIT, "%s is larger than %d bytes", path, TZFILE_MAX);
}

int tzfile_load(const char *name, struct buf *out, struct err *e)
{
	char path[PATH_MAX];
	const char *dir = getenv("TZDIR");
	int n = snprintf(path, sizeof(path), "%s/%s", dir && *dir ? dir : TZFILE_DIR, name);
	if (n < 0 || (size_t)n >= sizeof(path))
		return err_set(e, ERR_NOTFOUND, "time zone %s: the path is too long", name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(e, errno == ENOTDIR ? ENOENT : errno, "%s", path);
	int rc = read_all(fd, path, out, e);
	(void)close(fd);
	return rc;
}
