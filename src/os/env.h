/* env.h: the outside world, as a table.
 *
 * Files, directories, clocks, randomness and cross-process waiting reach weir through a struct env, so that the same
 * code runs on POSIX (env_posix.c) and in the simulator (env_sim.c), which crashes, tears, delays and fails any call.
 * Nothing outside os/ calls the operating system. Sockets are net/'s.
 *
 * All functions return 0 or negative ERR_*; the message names the path and the call. A short read or write is
 * completed by the implementation (EINTR and partial counts never reach the caller), except that a read at the end
 * of the file returns fewer bytes.
 *
 * Thread: an env and its functions from any thread; a struct file from any thread for reads at offsets, otherwise as
 * the owner arranges.
 */
#ifndef OS_ENV_H
#define OS_ENV_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

struct env;
struct file;

enum file_mode {
	FILE_READ,                  /* must exist */
	FILE_WRITE,                 /* read and write, must exist */
	FILE_CREATE,                /* read and write, created (0600) or opened */
	FILE_CREATE_NEW,            /* read and write, ERR_EXISTS when it is there */
};

struct file_stat {
	uint64_t size_bytes;
	int64_t mtime_ms;
	bool is_dir, is_regular;    /* symbolic links are not followed: neither */
};

struct env_ops {
	/* clocks and randomness */
	int64_t (*wall_ms)(struct env *env);            /* since 1970; may jump */
	nsec (*mono)(struct env *env);                  /* never goes back */
	int (*random)(struct env *env, void *p, size_t len, struct err *e);

	/* files; paths are relative to the process's directory */
	int (*open)(struct env *env, const char *path, enum file_mode mode, struct file **out, struct err *e);
	int (*stat)(struct env *env, const char *path, struct file_stat *out, struct err *e);
	int (*rename)(struct env *env, const char *from, const char *to, struct err *e);  /* replaces `to` */
	int (*unlink)(struct env *env, const char *path, struct err *e);
	int (*mkdir)(struct env *env, const char *path, struct err *e);                   /* 0700 */
	int (*rmdir)(struct env *env, const char *path, struct err *e);
	int (*sync_dir)(struct env *env, const char *path, struct err *e);                /* makes create, rename, unlink durable */
	int (*list)(struct env *env, const char *path, int (*each)(void *arg, const char *name), void *arg,
		    struct err *e);                                                   /* unordered; without . and .. */

	/* Waiting on a 32-bit word in a shared mapping, across processes: sleeps while *word == expected, until woken,
	 * or until `deadline` on the mono clock (0: now, -1: none). 1 woken or changed, 0 time-out. Spurious wake-ups are allowed. */
	int (*wait)(struct env *env, const uint32_t *word, uint32_t expected, nsec deadline);
	void (*wake)(struct env *env, uint32_t *word);  /* everybody */

	int64_t (*process_id)(struct env *env);
};

struct file_ops {
	/* *got < len only at the end of the file */
	int (*read)(struct file *f, uint64_t off, void *p, size_t len, size_t *got, struct err *e);
	int (*write)(struct file *f, uint64_t off, const void *p, size_t len, struct err *e);
	int (*sync)(struct file *f, struct err *e);                     /* data and size durable (fdatasync) */
	int (*truncate)(struct file *f, uint64_t size, struct err *e);
	int (*allocate)(struct file *f, uint64_t off, uint64_t len, struct err *e); /* zero-filled blocks, size grows */
	int (*size)(struct file *f, uint64_t *out, struct err *e);
	/* Maps [off, off + len) shared; off and len multiples of 4096. May reach beyond the end of the file; touching
	 * what lies beyond it is the caller's bug. Stores through a writable map are the file's contents at once
	 * (for every process), durable after sync(). */
	int (*map)(struct file *f, uint64_t off, size_t len, bool writable, void **out, struct err *e);
	void (*unmap)(struct file *f, void *p, size_t len);
	/* Hint: [off, off + len) of a writable map will be stored to soon. Never fails. */
	void (*prefault)(struct file *f, void *p, size_t len);
	/* Exclusive advisory lock against other processes and other opens of this one; dies with the process.
	 * 1 got it, 0 somebody else has it, negative error. */
	int (*lock)(struct file *f, struct err *e);
	int (*locked_by_other)(struct file *f, struct err *e);          /* 1 yes, 0 no, negative error; takes nothing */
	void (*close)(struct file *f);
};

struct env { const struct env_ops *ops; };
struct file { const struct file_ops *ops; };

struct env *env_posix(void);        /* one per process; never freed */

/* env_sim.h declares the simulated one. */

static inline int64_t env_wall_ms(struct env *env) { return env->ops->wall_ms(env); }
static inline nsec env_mono(struct env *env) { return env->ops->mono(env); }
static inline int env_random(struct env *env, void *p, size_t len, struct err *e) { return env->ops->random(env, p, len, e); }
static inline int env_open(struct env *env, const char *path, enum file_mode m, struct file **out, struct err *e) { return env->ops->open(env, path, m, out, e); }
static inline int env_stat(struct env *env, const char *path, struct file_stat *out, struct err *e) { return env->ops->stat(env, path, out, e); }
static inline int env_rename(struct env *env, const char *from, const char *to, struct err *e) { return env->ops->rename(env, from, to, e); }
static inline int env_unlink(struct env *env, const char *path, struct err *e) { return env->ops->unlink(env, path, e); }
static inline int env_mkdir(struct env *env, const char *path, struct err *e) { return env->ops->mkdir(env, path, e); }
static inline int env_rmdir(struct env *env, const char *path, struct err *e) { return env->ops->rmdir(env, path, e); }
static inline int env_sync_dir(struct env *env, const char *path, struct err *e) { return env->ops->sync_dir(env, path, e); }
static inline int env_list(struct env *env, const char *path, int (*each)(void *, const char *), void *arg, struct err *e) { return env->ops->list(env, path, each, arg, e); }
static inline int env_wait(struct env *env, const uint32_t *word, uint32_t expected, nsec deadline) { return env->ops->wait(env, word, expected, deadline); }
static inline void env_wake(struct env *env, uint32_t *word) { env->ops->wake(env, word); }
static inline int64_t env_process_id(struct env *env) { return env->ops->process_id(env); }

static inline int file_read(struct file *f, uint64_t off, void *p, size_t len, size_t *got, struct err *e) { return f->ops->read(f, off, p, len, got, e); }
static inline int file_write(struct file *f, uint64_t off, const void *p, size_t len, struct err *e) { return f->ops->write(f, off, p, len, e); }
static inline int file_sync(struct file *f, struct err *e) { return f->ops->sync(f, e); }
static inline int file_truncate(struct file *f, uint64_t size, struct err *e) { return f->ops->truncate(f, size, e); }
static inline int file_allocate(struct file *f, uint64_t off, uint64_t len, struct err *e) { return f->ops->allocate(f, off, len, e); }
static inline int file_size(struct file *f, uint64_t *out, struct err *e) { return f->ops->size(f, out, e); }
static inline int file_map(struct file *f, uint64_t off, size_t len, bool w, void **out, struct err *e) { return f->ops->map(f, off, len, w, out, e); }
static inline void file_unmap(struct file *f, void *p, size_t len) { f->ops->unmap(f, p, len); }
static inline void file_prefault(struct file *f, void *p, size_t len) { f->ops->prefault(f, p, len); }
static inline int file_lock(struct file *f, struct err *e) { return f->ops->lock(f, e); }
static inline int file_locked_by_other(struct file *f, struct err *e) { return f->ops->locked_by_other(f, e); }
static inline void file_close(struct file *f) { if (f) f->ops->close(f); }

#endif
