/* env_posix.h: the system calls under env_posix, as a table that a test may replace.
 *
 * Short counts and EINTR never leave env_posix.c; a test of that needs to make them happen. The table also lets a
 * test fail the one call that a real disk will not fail when asked.
 */
#ifndef OS_ENV_POSIX_H
#define OS_ENV_POSIX_H

#include <stddef.h>
#include <sys/types.h>

struct env_syscalls {
	int (*open)(const char *path, int flags, mode_t mode);
	int (*close)(int fd);
	ssize_t (*pread)(int fd, void *p, size_t len, off_t off);
	ssize_t (*pwrite)(int fd, const void *p, size_t len, off_t off);
	int (*fdatasync)(int fd);
	int (*fsync)(int fd);
	int (*ftruncate)(int fd, off_t size);
	int (*fallocate)(int fd, int mode, off_t off, off_t len);
	void *(*mmap)(void *at, size_t len, int prot, int flags, int fd, off_t off);
	ssize_t (*getrandom)(void *p, size_t len, unsigned flags);
};

extern const struct env_syscalls env_syscalls_real;

/* Takes effect for every file, open ones too; NULL: the real ones again. Thread: only while no other uses the env. */
void env_posix_set_syscalls(const struct env_syscalls *calls);

#endif
