/* env_posix.c: struct env over POSIX and Linux.
 *
 * What this file takes care of so that nobody above has to:
 *
 * - Short counts and EINTR are completed here, for reads, writes, truncation, allocation and flushes. A flush that
 *   failed with anything else is never repeated: the kernel may have dropped the dirty pages, and a second fsync
 *   would then report success without the data. Repeating after EINTR is safe, since no page was given up.
 * - Only regular files are opened. O_NONBLOCK keeps the open of a FIFO from waiting for its other end, O_NOFOLLOW
 *   refuses a link planted at the last component, and fstat decides on what was really opened.
 * - Descriptors 0 to 2 are never used for a file: a host that closed its stdout must not print into its log.
 * - The lock is an open-file-description lock (F_OFD_SETLK): it belongs to this open, so a second open of the same
 *   process is refused like any other process, and closing some other descriptor of the file does not release it,
 *   as it would with the older per-process record locks. The kernel drops it when the process dies.
 * - Waiting is a futex without FUTEX_PRIVATE_FLAG, keyed by the file's page: it works between processes and also
 *   through a read-only mapping.
 */
#include "os/env.h"
#include "os/env_posix.h"

#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/futex.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

#define PAGE_BYTES      4096u
#define FIRST_FD        3           /* below stand stdin, stdout and stderr */
#define ZERO_BLOCK      (64u << 10) /* what allocate writes at a time where fallocate does not exist */
#define FUTEX_BAD_PAUSE (10 * NSEC_PER_MS)

struct posix_file {
	struct file base;
	int fd;
	char path[]; /* for messages */
};

/* ---- system calls ---- */

static int open_(const char *path, int flags, mode_t mode)
{
	return open(path, flags, mode);
}

const struct env_syscalls env_syscalls_real = {
	.open = open_,
	.close = close,
	.pread = pread,
	.pwrite = pwrite,
	.fdatasync = fdatasync,
	.fsync = fsync,
	.ftruncate = ftruncate,
	.fallocate = fallocate,
	.mmap = mmap,
	.getrandom = getrandom,
};

static const struct env_syscalls *sys = &env_syscalls_real;

void env_posix_set_syscalls(const struct env_syscalls *calls)
{
	sys = calls ? calls : &env_syscalls_real;
}

/* ---- clocks and randomness ---- */

static int64_t wall_ms(struct env *env)
{
	(void)env;
	struct timespec t;
	ASSERT(clock_gettime(CLOCK_REALTIME, &t) == 0);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / NSEC_PER_MS;
}

static nsec mono(struct env *env)
{
	(void)env;
	struct timespec t;
	ASSERT(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
	return (nsec)t.tv_sec * NSEC_PER_SEC + t.tv_nsec;
}

static int random_(struct env *env, void *p, size_t len, struct err *e)
{
	(void)env;
	uint8_t *at = p;
	while (len) {
		ssize_t n = sys->getrandom(at, len, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_errno(e, errno, "reading random bytes");
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

/* ---- files ---- */

static struct posix_file *of(struct file *f)
{
	return container_of(f, struct posix_file, base);
}

static int check_range(struct posix_file *f, uint64_t off, uint64_t len, struct err *e)
{
	uint64_t end;
	if (__builtin_add_overflow(off, len, &end) || end > INT64_MAX)
		return err_set(e, ERR_INVALID, "%s: byte range beyond the largest file", f->path);
	return 0;
}

static int file_read_(struct file *file, uint64_t off, void *p, size_t len, size_t *got,
		      struct err *e)
{
	struct posix_file *f = of(file);
	int rc = check_range(f, off, len, e);
	if (rc < 0)
		return rc;
	size_t done = 0;
	while (done < len) {
		ssize_t n = sys->pread(f->fd, (uint8_t *)p + done, len - done, (off_t)(off + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(e, errno, "reading %s at byte %" PRIu64, f->path,
					 off + done);
		if (n == 0)
			break;
		done += (size_t)n;
	}
	*got = done;
	return 0;
}

static int file_write_(struct file *file, uint64_t off, const void *p, size_t len, struct err *e)
{
	struct posix_file *f = of(file);
	int rc = check_range(f, off, len, e);
	if (rc < 0)
		return rc;
	size_t done = 0;
	while (done < len) {
		ssize_t n = sys->pwrite(f->fd, (const uint8_t *)p + done, len - done,
					(off_t)(off + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_errno(e, n < 0 ? errno : EIO, "writing %s at byte %" PRIu64,
					 f->path, off + done);
		done += (size_t)n;
	}
	return 0;
}

static int file_sync_(struct file *file, struct err *e)
{
	struct posix_file *f = of(file);
	while (sys->fdatasync(f->fd) < 0)
		if (errno != EINTR)
			return err_errno(e, errno, "flushing %s", f->path);
	return 0;
}

static int file_truncate_(struct file *file, uint64_t size, struct err *e)
{
	struct posix_file *f = of(file);
	int rc = check_range(f, size, 0, e);
	if (rc < 0)
		return rc;
	while (sys->ftruncate(f->fd, (off_t)size) < 0)
		if (errno != EINTR)
			return err_errno(e, errno, "setting the size of %s to %" PRIu64, f->path,
					 size);
	return 0;
}

static int file_size_(struct file *file, uint64_t *out, struct err *e)
{
	struct posix_file *f = of(file);
	struct stat st;
	if (fstat(f->fd, &st) < 0)
		return err_errno(e, errno, "asking for the size of %s", f->path);
	*out = (uint64_t)st.st_size;
	return 0;
}

/* Where the file system has no fallocate: what lies beyond the end is written as zeros, which allocates it. A hole
 * inside the file stays one; nobody can fill it without racing those who write there. */
static int allocate_by_writing(struct file *file, uint64_t end, struct err *e)
{
	static const uint8_t zeros[ZERO_BLOCK];
	uint64_t size;
	int rc = file_size_(file, &size, e);
	while (rc == 0 && size < end) {
		size_t n = (size_t)MIN(end - size, (uint64_t)ZERO_BLOCK);
		rc = file_write_(file, size, zeros, n, e);
		size += n;
	}
	return rc;
}

static int file_allocate_(struct file *file, uint64_t off, uint64_t len, struct err *e)
{
	struct posix_file *f = of(file);
	int rc = check_range(f, off, len, e);
	if (rc < 0 || len == 0)
		return rc;
	while (sys->fallocate(f->fd, 0, (off_t)off, (off_t)len) < 0) {
		if (errno == EINTR)
			continue;
		if (errno == EOPNOTSUPP || errno == ENOSYS)
			return allocate_by_writing(file, off + len, e);
		return err_errno(e, errno, "allocating %" PRIu64 " bytes for %s", len, f->path);
	}
	return 0;
}

static int file_map_(struct file *file, uint64_t off, size_t len, bool writable, void **out,
		     struct err *e)
{
	struct posix_file *f = of(file);
	ASSERT(off % PAGE_BYTES == 0);
	ASSERT(len % PAGE_BYTES == 0);
	ASSERT(len > 0);
	int rc = check_range(f, off, len, e);
	if (rc < 0)
		return rc;
	void *p = sys->mmap(NULL, len, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, f->fd,
			    (off_t)off);
	if (p == MAP_FAILED)
		return err_errno(e, errno, "mapping %zu bytes of %s at %" PRIu64, len, f->path,
				 off);
	*out = p;
	return 0;
}

static void file_unmap_(struct file *file, void *p, size_t len)
{
	(void)file;
	ASSERT(munmap(p, len) == 0);
}

static void file_prefault_(struct file *file, void *p, size_t len)
{
	(void)file;
	uintptr_t from = (uintptr_t)p & ~(uintptr_t)(PAGE_BYTES - 1);
	(void)madvise((void *)from, (uintptr_t)p + len - from, MADV_POPULATE_WRITE);
}

/* l_pid must be 0 for the open-file-description commands. */
static struct flock whole_file(void)
{
	return (struct flock){ .l_type = F_WRLCK, .l_whence = SEEK_SET };
}

static int file_lock_(struct file *file, struct err *e)
{
	struct posix_file *f = of(file);
	struct flock l = whole_file();
	while (fcntl(f->fd, F_OFD_SETLK, &l) < 0) {
		if (errno == EAGAIN || errno == EACCES)
			return 0;
		if (errno != EINTR)
			return err_errno(e, errno, "locking %s", f->path);
	}
	return 1;
}

static int file_locked_by_other_(struct file *file, struct err *e)
{
	struct posix_file *f = of(file);
	struct flock l = whole_file();
	while (fcntl(f->fd, F_OFD_GETLK, &l) < 0)
		if (errno != EINTR)
			return err_errno(e, errno, "asking for the lock of %s", f->path);
	return l.l_type != F_UNLCK;
}

static void file_close_(struct file *file)
{
	struct posix_file *f = of(file);
	(void)sys->close(f->fd);
	mem_free(f);
}

static const struct file_ops posix_file_ops = {
	.read = file_read_,
	.write = file_write_,
	.sync = file_sync_,
	.truncate = file_truncate_,
	.allocate = file_allocate_,
	.size = file_size_,
	.map = file_map_,
	.unmap = file_unmap_,
	.prefault = file_prefault_,
	.lock = file_lock_,
	.locked_by_other = file_locked_by_other_,
	.close = file_close_,
};

/* ---- opening ---- */

static int open_flags(enum file_mode mode)
{
	switch (mode) {
	case FILE_READ: return O_RDONLY;
	case FILE_WRITE: return O_RDWR;
	case FILE_CREATE: return O_RDWR | O_CREAT;
	case FILE_CREATE_NEW: return O_RDWR | O_CREAT | O_EXCL;
	}
	bug_("file mode", __FILE__, __LINE__);
}

/* Like open(2), but EINTR is tried again and the descriptor is none of the first three. */
static int open_fd(const char *path, int flags, mode_t mode)
{
	int fd;
	do
		fd = sys->open(path, flags | O_CLOEXEC, mode);
	while (fd < 0 && errno == EINTR);
	if (fd < 0 || fd >= FIRST_FD)
		return fd;
	int high = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FD);
	int why = errno;
	(void)sys->close(fd);
	errno = why;
	return high;
}

static int check_regular(int fd, const char *path, struct err *e)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return err_errno(e, errno, "looking at %s", path);
	if (S_ISDIR(st.st_mode))
		return err_set(e, ERR_INVALID, "%s is a directory, not a file", path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_INVALID, "%s is not a regular file", path);
	return 0;
}

static int open_failed(const char *path, int errnum, struct err *e)
{
	if (errnum == ELOOP)
		return err_set(e, ERR_INVALID, "%s is a symbolic link, not a file", path);
	if (errnum == EISDIR)
		return err_set(e, ERR_INVALID, "%s is a directory, not a file", path);
	if (errnum == ENXIO || errnum == ENODEV)
		return err_set(e, ERR_INVALID, "%s is not a regular file", path);
	return err_errno(e, errnum, "opening %s", path);
}

static int open_file(struct env *env, const char *path, enum file_mode mode, struct file **out,
		     struct err *e)
{
	(void)env;
	size_t path_len = strlen(path) + 1;
	struct posix_file *f = mem_try(sizeof(*f) + path_len);
	if (!f)
		return err_nomem(e);
	f->base.ops = &posix_file_ops;
	memcpy(f->path, path, path_len);
	int rc;
	f->fd = open_fd(path, open_flags(mode) | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600);
	if (f->fd < 0) {
		rc = open_failed(path, errno, e);
		goto fail;
	}
	rc = check_regular(f->fd, path, e);
	if (rc < 0)
		goto fail_close;
	*out = &f->base;
	return 0;
fail_close:
	(void)sys->close(f->fd);
fail:
	mem_free(f);
	return rc;
}

/* ---- directories ---- */

static int stat_(struct env *env, const char *path, struct file_stat *out, struct err *e)
{
	(void)env;
	struct stat st;
	if (lstat(path, &st) < 0)
		return err_errno(e, errno, "looking at %s", path);
	*out = (struct file_stat){
		.size_bytes = (uint64_t)st.st_size,
		.mtime_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / NSEC_PER_MS,
		.is_dir = S_ISDIR(st.st_mode),
		.is_regular = S_ISREG(st.st_mode),
	};
	return 0;
}

static int rename_(struct env *env, const char *from, const char *to, struct err *e)
{
	(void)env;
	if (rename(from, to) < 0)
		return err_errno(e, errno, "renaming %s to %s", from, to);
	return 0;
}

static int unlink_(struct env *env, const char *path, struct err *e)
{
	(void)env;
	if (unlink(path) < 0)
		return err_errno(e, errno, "removing %s", path);
	return 0;
}

static int mkdir_(struct env *env, const char *path, struct err *e)
{
	(void)env;
	if (mkdir(path, 0700) < 0)
		return err_errno(e, errno, "making the directory %s", path);
	return 0;
}

static int rmdir_(struct env *env, const char *path, struct err *e)
{
	(void)env;
	if (rmdir(path) < 0)
		return err_errno(e, errno, "removing the directory %s", path);
	return 0;
}

static int open_dir(const char *path, int *fd, struct err *e)
{
	*fd = open_fd(path, O_RDONLY | O_DIRECTORY, 0);
	if (*fd < 0 && errno == ENOTDIR)
		return err_set(e, ERR_INVALID, "%s is not a directory", path);
	if (*fd < 0)
		return err_errno(e, errno, "opening the directory %s", path);
	return 0;
}

static int sync_dir(struct env *env, const char *path, struct err *e)
{
	(void)env;
	int fd;
	int rc = open_dir(path, &fd, e);
	if (rc < 0)
		return rc;
	while (rc == 0 && sys->fsync(fd) < 0)
		if (errno != EINTR)
			rc = err_errno(e, errno, "flushing the directory %s", path);
	(void)sys->close(fd);
	return rc;
}

static int list(struct env *env, const char *path, int (*each)(void *arg, const char *name),
		void *arg, struct err *e)
{
	(void)env;
	int fd;
	int rc = open_dir(path, &fd, e);
	if (rc < 0)
		return rc;
	DIR *dir = fdopendir(fd);
	if (!dir) {
		rc = err_errno(e, errno, "reading the directory %s", path);
		(void)sys->close(fd);
		return rc;
	}
	while (rc == 0) {
		errno = 0;
		struct dirent *d = readdir(dir);
		if (!d) {
			if (errno)
				rc = err_errno(e, errno, "reading the directory %s", path);
			break;
		}
		if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
			rc = each(arg, d->d_name);
	}
	(void)closedir(dir);
	return rc;
}

/* ---- waiting ---- */

static int wait_(struct env *env, const uint32_t *word, uint32_t expected, nsec deadline)
{
	(void)env;
	if (__atomic_load_n(word, __ATOMIC_ACQUIRE) != expected)
		return 1;
	if (deadline == 0)
		return 0;
	struct timespec t = { .tv_sec = deadline / NSEC_PER_SEC,
			      .tv_nsec = deadline % NSEC_PER_SEC };
	/* WAIT_BITSET takes an absolute time on the monotonic clock; plain WAIT a duration. */
	long rc = syscall(SYS_futex, word, FUTEX_WAIT_BITSET, expected, deadline < 0 ? NULL : &t,
			  NULL, FUTEX_BITSET_MATCH_ANY);
	if (rc == 0 || errno == EAGAIN || errno == EINTR)
		return 1;
	if (errno == ETIMEDOUT)
		return 0;
	/* The mapping is unusable, for instance because its file was cut short. The caller's next look finds out;
	 * the pause keeps a loop around this from burning a core. */
	(void)nanosleep(&(struct timespec){ .tv_nsec = FUTEX_BAD_PAUSE }, NULL);
	return 1;
}

static void wake(struct env *env, uint32_t *word)
{
	(void)env;
	(void)syscall(SYS_futex, word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

static int64_t process_id(struct env *env)
{
	(void)env;
	return getpid();
}

static const struct env_ops posix_ops = {
	.wall_ms = wall_ms,
	.mono = mono,
	.random = random_,
	.open = open_file,
	.stat = stat_,
	.rename = rename_,
	.unlink = unlink_,
	.mkdir = mkdir_,
	.rmdir = rmdir_,
	.sync_dir = sync_dir,
	.list = list,
	.wait = wait_,
	.wake = wake,
	.process_id = process_id,
};

struct env *env_posix(void)
{
	static struct env posix = { .ops = &posix_ops };
	return &posix;
}
