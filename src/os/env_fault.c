#include "os/env_fault.h"

#include "base/mem.h"

struct fault_file {
	struct file base;
	struct env_fault *env;
	struct file *inner;
};

const char *fault_call_name(enum fault_call call)
{
	static const char *const names[FAULT_CALLS] = {
		"random",   "open",     "stat", "rename", "unlink", "mkdir",
		"rmdir",    "sync_dir", "list", "read",   "write",  "sync",
		"truncate", "allocate", "size", "map",    "lock",   "locked_by_other",
	};
	return names[call];
}

static struct env_fault *env_of(struct env *env)
{
	return container_of(env, struct env_fault, base);
}

static struct fault_file *of(struct file *f)
{
	return container_of(f, struct fault_file, base);
}

/* Counts a call; negative when it has to fail. */
static int check(struct env_fault *f, enum fault_call call, struct err *e)
{
	const struct fault *fault = &f->fault;
	if (fault->only && !(fault->only & 1u << call))
		return 0;
	uint64_t index = __atomic_add_fetch(&f->calls, 1, __ATOMIC_RELAXED);
	if (f->before)
		f->before(f->arg, call, index);
	if (!fault->at || index < fault->at || (index > fault->at && !fault->persistent))
		return 0;
	if (__atomic_fetch_add(&f->failed, 1, __ATOMIC_RELAXED) == 0)
		f->failed_call = call;
	return err_set(e, fault->code, "%s: injected: %s", fault_call_name(call),
		       err_text(fault->code));
}

/* How much of a write happens before it fails. */
static size_t part(const struct env_fault *f, size_t len)
{
	return f->fault.part_bytes ? (size_t)MIN(f->fault.part_bytes, (uint64_t)len) : len / 2;
}

/* ---- files ---- */

static int read_(struct file *file, uint64_t off, void *p, size_t len, size_t *got, struct err *e)
{
	struct fault_file *f = of(file);
	int rc = check(f->env, FAULT_READ, e);
	return rc < 0 ? rc : file_read(f->inner, off, p, len, got, e);
}

static int write_(struct file *file, uint64_t off, const void *p, size_t len, struct err *e)
{
	struct fault_file *f = of(file);
	int rc = check(f->env, FAULT_WRITE, e);
	if (rc < 0 && f->env->fault.part)
		(void)file_write(f->inner, off, p, part(f->env, len), NULL);
	return rc < 0 ? rc : file_write(f->inner, off, p, len, e);
}

static int sync_(struct file *file, struct err *e)
{
	struct fault_file *f = of(file);
	int rc = check(f->env, FAULT_SYNC, e);
	if (rc < 0 && f->env->on_failed_sync)
		f->env->on_failed_sync(f->inner);
	return rc < 0 ? rc : file_sync(f->inner, e);
}

static int truncate_(struct file *file, uint64_t size, struct err *e)
{
	struct fault_file *f = of(file);
	int rc = check(f->env, FAULT_TRUNCATE, e);
	return rc < 0 ? rc : file_truncate(f->inner, size, e);
}

static int allocate(struct file *file, uint64_t off, uint64_t len, struct err *e)
{
	struct fault_file *f = of(file);
	int rc = check(f->env, FAULT_ALLOCATE, e);
	if (rc < 0 && f->env->fault.part)
		(void)file_allocate(f->inner, off, len / 2, NULL);
	return rc < 0 ? rc : file_allocate(f->inner, off, len, e);
}

static int size_(struct file *file, uint64_t *out, struct err *e)
{
	struct fault_file *f = of(file);
	int rc = check(f->env, FAULT_SIZE, e);
	return rc < 0 ? rc : file_size(f->inner, out, e);
}

static int map(struct file *file, uint64_t off, size_t len, bool writable, void **out,
	       struct err *e)
{
	struct fault_file *f = of(file);
	int rc = check(f->env, FAULT_MAP, e);
	if (rc == 0)
		rc = file_map(f->inner, off, len, writable, out, e);
	if (rc == 0)
		__atomic_add_fetch(&f->env->open_maps, 1, __ATOMIC_RELAXED);
	return rc;
}

static void unmap(struct file *file, void *p, size_t len)
{
	struct fault_file *f = of(file);
	file_unmap(f->inner, p, len);
	__atomic_sub_fetch(&f->env->open_maps, 1, __ATOMIC_RELAXED);
}

static void prefault(struct file *file, void *p, size_t len)
{
	file_prefault(of(file)->inner, p, len);
}

static int lock(struct file *file, struct err *e)
{
	struct fault_file *f = of(file);
	int rc = check(f->env, FAULT_LOCK, e);
	return rc < 0 ? rc : file_lock(f->inner, e);
}

static int locked_by_other(struct file *file, struct err *e)
{
	struct fault_file *f = of(file);
	int rc = check(f->env, FAULT_LOCKED, e);
	return rc < 0 ? rc : file_locked_by_other(f->inner, e);
}

static void close_(struct file *file)
{
	struct fault_file *f = of(file);
	file_close(f->inner);
	__atomic_sub_fetch(&f->env->open_files, 1, __ATOMIC_RELAXED);
	mem_free(f);
}

static const struct file_ops fault_file_ops = {
	.read = read_,
	.write = write_,
	.sync = sync_,
	.truncate = truncate_,
	.allocate = allocate,
	.size = size_,
	.map = map,
	.unmap = unmap,
	.prefault = prefault,
	.lock = lock,
	.locked_by_other = locked_by_other,
	.close = close_,
};

static int open_(struct env *env, const char *path, enum file_mode mode, struct file **out,
		 struct err *e)
{
	struct env_fault *f = env_of(env);
	int rc = check(f, FAULT_OPEN, e);
	if (rc < 0)
		return rc;
	struct fault_file *file = mem_try(sizeof(*file));
	if (!file)
		return err_nomem(e);
	rc = env_open(f->inner, path, mode, &file->inner, e);
	if (rc < 0) {
		mem_free(file);
		return rc;
	}
	file->base.ops = &fault_file_ops;
	file->env = f;
	__atomic_add_fetch(&f->open_files, 1, __ATOMIC_RELAXED);
	*out = &file->base;
	return 0;
}

/* ---- the rest ---- */

static int64_t wall_ms(struct env *env)
{
	return env_wall_ms(env_of(env)->inner);
}

static nsec mono(struct env *env)
{
	return env_mono(env_of(env)->inner);
}

static int random_(struct env *env, void *p, size_t len, struct err *e)
{
	struct env_fault *f = env_of(env);
	int rc = check(f, FAULT_RANDOM, e);
	return rc < 0 ? rc : env_random(f->inner, p, len, e);
}

static int stat_(struct env *env, const char *path, struct file_stat *out, struct err *e)
{
	struct env_fault *f = env_of(env);
	int rc = check(f, FAULT_STAT, e);
	return rc < 0 ? rc : env_stat(f->inner, path, out, e);
}

static int rename_(struct env *env, const char *from, const char *to, struct err *e)
{
	struct env_fault *f = env_of(env);
	int rc = check(f, FAULT_RENAME, e);
	return rc < 0 ? rc : env_rename(f->inner, from, to, e);
}

static int unlink_(struct env *env, const char *path, struct err *e)
{
	struct env_fault *f = env_of(env);
	int rc = check(f, FAULT_UNLINK, e);
	return rc < 0 ? rc : env_unlink(f->inner, path, e);
}

static int mkdir_(struct env *env, const char *path, struct err *e)
{
	struct env_fault *f = env_of(env);
	int rc = check(f, FAULT_MKDIR, e);
	return rc < 0 ? rc : env_mkdir(f->inner, path, e);
}

static int rmdir_(struct env *env, const char *path, struct err *e)
{
	struct env_fault *f = env_of(env);
	int rc = check(f, FAULT_RMDIR, e);
	return rc < 0 ? rc : env_rmdir(f->inner, path, e);
}

static int sync_dir(struct env *env, const char *path, struct err *e)
{
	struct env_fault *f = env_of(env);
	int rc = check(f, FAULT_SYNC_DIR, e);
	return rc < 0 ? rc : env_sync_dir(f->inner, path, e);
}

static int list(struct env *env, const char *path, int (*each)(void *arg, const char *name),
		void *arg, struct err *e)
{
	struct env_fault *f = env_of(env);
	int rc = check(f, FAULT_LIST, e);
	return rc < 0 ? rc : env_list(f->inner, path, each, arg, e);
}

static int wait_(struct env *env, const uint32_t *word, uint32_t expected, nsec deadline)
{
	return env_wait(env_of(env)->inner, word, expected, deadline);
}

static void wake(struct env *env, uint32_t *word)
{
	env_wake(env_of(env)->inner, word);
}

static int64_t process_id(struct env *env)
{
	return env_process_id(env_of(env)->inner);
}

static const struct env_ops fault_ops = {
	.wall_ms = wall_ms,
	.mono = mono,
	.random = random_,
	.open = open_,
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

void env_fault_init(struct env_fault *f, struct env *inner)
{
	*f = (struct env_fault){ .base.ops = &fault_ops, .inner = inner };
}

void env_fault_arm(struct env_fault *f, const struct fault *fault)
{
	f->fault = fault ? *fault : (struct fault){ 0 };
	f->calls = f->failed = 0;
}
