/* env_sim.c: struct env over the simulated disk (sim_disk.h) and a simulated clock.
 *
 * One lock around every call makes it usable from threads; a run is repeatable only when one thread uses it, or
 * when threads take turns. */
#include "os/env_sim.h"

#include "base/mem.h"
#include "os/sim_disk.h"
#include "os/thread.h"

#include <inttypes.h>

#define LOOK_NS    1000 /* how far a look at the clock moves it */
#define START_MONO (1000 * NSEC_PER_SEC)
#define START_WALL INT64_C(1700000000000)
#define PAGE_BYTES 4096u

struct sim {
	struct env base;
	struct mutex lock; /* guards everything below */
	struct disk disk;
	struct sim_rng rng;
	nsec now;
	int64_t wall_offset_ms; /* wall time is this plus `now` */
	int64_t process_id;
	size_t open_files, open_maps;
};

struct sim_file {
	struct file base;
	struct sim *sim;
	struct node *node;
	bool writable;
	size_t maps;
	char path[];
};

static struct sim *sim_of(struct env *env)
{
	return container_of(env, struct sim, base);
}

static struct sim_file *of(struct file *f)
{
	return container_of(f, struct sim_file, base);
}

static void enter(struct sim *s)
{
	mutex_lock(&s->lock);
}

static int leave(struct sim *s, int rc)
{
	mutex_unlock(&s->lock);
	return rc;
}

static int64_t wall_now(const struct sim *s)
{
	return s->wall_offset_ms + s->now / NSEC_PER_MS;
}

static int failed(int rc, const char *doing, const char *path, struct err *e)
{
	return err_set(e, rc, "%s %s: %s", doing, path, err_text(rc));
}

/* ---- clocks and randomness ---- */

static int64_t wall_ms(struct env *env)
{
	struct sim *s = sim_of(env);
	enter(s);
	s->now += LOOK_NS;
	int64_t t = wall_now(s);
	(void)leave(s, 0);
	return t;
}

static nsec mono(struct env *env)
{
	struct sim *s = sim_of(env);
	enter(s);
	nsec t = s->now += LOOK_NS;
	(void)leave(s, 0);
	return t;
}

static int random_(struct env *env, void *p, size_t len, struct err *e)
{
	(void)e;
	struct sim *s = sim_of(env);
	enter(s);
	uint8_t *at = p;
	for (size_t i = 0; i < len; i++)
		at[i] = (uint8_t)(sim_rand(&s->rng) >> 56);
	return leave(s, 0);
}

/* ---- files ---- */

static int read_(struct file *file, uint64_t off, void *p, size_t len, size_t *got, struct err *e)
{
	(void)e;
	struct sim_file *f = of(file);
	enter(f->sim);
	const struct image *m = &f->node->cached;
	*got = off < m->size ? (size_t)MIN(m->size - off, (uint64_t)len) : 0;
	if (*got)
		memcpy(p, m->p + off, *got);
	return leave(f->sim, 0);
}

static int write_bytes(struct sim_file *f, uint64_t off, const void *p, size_t len)
{
	uint64_t end;
	if (!f->writable)
		return ERR_ACCESS;
	if (__builtin_add_overflow(off, len, &end))
		return ERR_INVALID;
	int rc = file_touch(&f->sim->disk, f->node);
	if (rc == 0 && len && end > f->node->cached.size)
		rc = file_resize(&f->sim->disk, f->node, end);
	if (rc == 0 && len)
		memcpy(f->node->cached.p + off, p, len);
	if (rc == 0 && len)
		file_written(f->node, off, len);
	f->node->mtime_ms = wall_now(f->sim);
	return rc;
}

static int write_(struct file *file, uint64_t off, const void *p, size_t len, struct err *e)
{
	struct sim_file *f = of(file);
	enter(f->sim);
	int rc = write_bytes(f, off, p, len);
	if (rc < 0)
		rc = failed(rc, "writing", f->path, e);
	return leave(f->sim, rc);
}

static int sync_(struct file *file, struct err *e)
{
	struct sim_file *f = of(file);
	enter(f->sim);
	int rc = file_make_durable(&f->sim->disk, f->node);
	if (rc < 0)
		rc = failed(rc, "flushing", f->path, e);
	return leave(f->sim, rc);
}

static int resize(struct sim_file *f, uint64_t size, const char *doing, struct err *e)
{
	int rc = f->writable ? file_resize(&f->sim->disk, f->node, size) : ERR_ACCESS;
	f->node->mtime_ms = wall_now(f->sim);
	return rc < 0 ? failed(rc, doing, f->path, e) : 0;
}

static int truncate_(struct file *file, uint64_t size, struct err *e)
{
	struct sim_file *f = of(file);
	enter(f->sim);
	return leave(f->sim, resize(f, size, "setting the size of", e));
}

static int allocate(struct file *file, uint64_t off, uint64_t len, struct err *e)
{
	struct sim_file *f = of(file);
	uint64_t end;
	if (__builtin_add_overflow(off, len, &end))
		return err_set(e, ERR_INVALID, "%s: byte range beyond the largest file", f->path);
	enter(f->sim);
	int rc = end > f->node->cached.size ? resize(f, end, "allocating", e) : 0;
	return leave(f->sim, rc);
}

static int size_(struct file *file, uint64_t *out, struct err *e)
{
	(void)e;
	struct sim_file *f = of(file);
	enter(f->sim);
	*out = f->node->cached.size;
	return leave(f->sim, 0);
}

static int map_locked(struct sim_file *f, uint64_t off, size_t len, bool writable, void **out)
{
	uint64_t end;
	if (writable && !f->writable)
		return ERR_ACCESS;
	if (__builtin_add_overflow(off, len, &end) || end > f->sim->disk.file_bytes)
		return ERR_INVALID;
	int rc = writable ? file_touch(&f->sim->disk, f->node) : 0;
	if (rc < 0)
		return rc;
	*out = f->node->cached.p + off;
	f->maps++;
	f->sim->open_maps++;
	return 0;
}

static int map(struct file *file, uint64_t off, size_t len, bool writable, void **out,
	       struct err *e)
{
	struct sim_file *f = of(file);
	ASSERT(off % PAGE_BYTES == 0);
	ASSERT(len % PAGE_BYTES == 0);
	ASSERT(len > 0);
	enter(f->sim);
	int rc = map_locked(f, off, len, writable, out);
	if (rc < 0)
		rc = failed(rc, "mapping", f->path, e);
	return leave(f->sim, rc);
}

static void unmap(struct file *file, void *p, size_t len)
{
	struct sim_file *f = of(file);
	enter(f->sim);
	const uint8_t *at = p, *image = f->node->cached.p;
	ASSERT(at >= image && at + len <= image + f->sim->disk.file_bytes);
	ASSERT(f->maps > 0);
	f->maps--;
	f->sim->open_maps--;
	(void)leave(f->sim, 0);
}

static void prefault(struct file *f, void *p, size_t len)
{
	(void)f;
	(void)p;
	(void)len;
}

static int lock(struct file *file, struct err *e)
{
	(void)e;
	struct sim_file *f = of(file);
	enter(f->sim);
	if (!f->node->lock_owner)
		f->node->lock_owner = f;
	return leave(f->sim, f->node->lock_owner == f);
}

static int locked_by_other(struct file *file, struct err *e)
{
	(void)e;
	struct sim_file *f = of(file);
	enter(f->sim);
	return leave(f->sim, f->node->lock_owner && f->node->lock_owner != f);
}

static void close_(struct file *file)
{
	struct sim_file *f = of(file);
	struct sim *s = f->sim;
	enter(s);
	if (f->node->lock_owner == f)
		f->node->lock_owner = NULL;
	s->open_maps -= f->maps; /* unmapping needs the file: these would be gone for good */
	ASSERT(f->maps == 0);
	node_unref(&s->disk, f->node);
	ASSERT(s->open_files > 0);
	s->open_files--;
	(void)leave(s, 0);
	mem_free(f);
}

static const struct file_ops sim_file_ops = {
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

static int open_node(struct sim *s, const char *path, enum file_mode mode, struct node **out)
{
	struct node *dir, *n;
	char name[SIM_NAME_BYTES];
	int rc = disk_walk(&s->disk, path, &dir, name, &n);
	if (rc < 0)
		return rc;
	if (n && mode == FILE_CREATE_NEW)
		return ERR_EXISTS;
	if (n && n->is_dir)
		return ERR_INVALID;
	if (!n && (mode == FILE_READ || mode == FILE_WRITE))
		return ERR_NOTFOUND;
	if (!n)
		rc = disk_create(&s->disk, dir, name, false, &n);
	if (rc == 0)
		n->mtime_ms = n->mtime_ms ? n->mtime_ms : wall_now(s);
	*out = n;
	return rc;
}

static int open_(struct env *env, const char *path, enum file_mode mode, struct file **out,
		 struct err *e)
{
	struct sim *s = sim_of(env);
	size_t path_len = strlen(path) + 1;
	struct sim_file *f = mem_try(sizeof(*f) + path_len);
	if (!f)
		return err_nomem(e);
	enter(s);
	int rc = open_node(s, path, mode, &f->node);
	if (rc == 0) {
		node_ref(f->node);
		s->open_files++;
	}
	(void)leave(s, 0);
	if (rc < 0) {
		mem_free(f);
		return failed(rc, "opening", path, e);
	}
	f->base.ops = &sim_file_ops;
	f->sim = s;
	f->writable = mode != FILE_READ;
	memcpy(f->path, path, path_len);
	*out = &f->base;
	return 0;
}

/* ---- directories ---- */

static int stat_(struct env *env, const char *path, struct file_stat *out, struct err *e)
{
	struct sim *s = sim_of(env);
	struct node *dir, *n = NULL;
	char name[SIM_NAME_BYTES];
	enter(s);
	int rc = disk_walk(&s->disk, path, &dir, name, &n);
	if (rc == 0 && !n)
		rc = ERR_NOTFOUND;
	if (rc == 0)
		*out = (struct file_stat){ .size_bytes = n->is_dir ? 0 : n->cached.size,
					   .mtime_ms = n->mtime_ms,
					   .is_dir = n->is_dir,
					   .is_regular = !n->is_dir };
	(void)leave(s, 0);
	return rc < 0 ? failed(rc, "looking at", path, e) : 0;
}

static int rename_locked(struct sim *s, const char *from, const char *to)
{
	struct node *from_dir, *to_dir, *a, *b;
	char a_name[SIM_NAME_BYTES], b_name[SIM_NAME_BYTES];
	int rc = disk_walk(&s->disk, from, &from_dir, a_name, &a);
	if (rc == 0)
		rc = disk_walk(&s->disk, to, &to_dir, b_name, &b);
	if (rc < 0)
		return rc;
	if (!a)
		return ERR_NOTFOUND;
	if (b && (b->is_dir || a->is_dir))
		return ERR_IO;
	if (from_dir !=
	    to_dir) /* nobody needs it, and it would tie two directories' durability together */
		return ERR_UNSUPPORTED;
	return disk_rename(&s->disk, from_dir, a_name, b_name);
}

static int rename_(struct env *env, const char *from, const char *to, struct err *e)
{
	struct sim *s = sim_of(env);
	enter(s);
	int rc = leave(s, rename_locked(s, from, to));
	return rc < 0 ? failed(rc, "renaming", from, e) : 0;
}

static int remove_locked(struct sim *s, const char *path, bool is_dir)
{
	struct node *dir, *n;
	char name[SIM_NAME_BYTES];
	int rc = disk_walk(&s->disk, path, &dir, name, &n);
	if (rc < 0)
		return rc;
	if (!n)
		return ERR_NOTFOUND;
	if (!dir || n->is_dir != is_dir || n->live.n)
		return ERR_IO;
	return disk_unlink(&s->disk, dir, name);
}

static int unlink_(struct env *env, const char *path, struct err *e)
{
	struct sim *s = sim_of(env);
	enter(s);
	int rc = leave(s, remove_locked(s, path, false));
	return rc < 0 ? failed(rc, "removing", path, e) : 0;
}

static int rmdir_(struct env *env, const char *path, struct err *e)
{
	struct sim *s = sim_of(env);
	enter(s);
	int rc = leave(s, remove_locked(s, path, true));
	return rc < 0 ? failed(rc, "removing the directory", path, e) : 0;
}

static int mkdir_locked(struct sim *s, const char *path)
{
	struct node *dir, *n;
	char name[SIM_NAME_BYTES];
	int rc = disk_walk(&s->disk, path, &dir, name, &n);
	if (rc < 0)
		return rc;
	return n ? ERR_EXISTS : disk_create(&s->disk, dir, name, true, &n);
}

static int mkdir_(struct env *env, const char *path, struct err *e)
{
	struct sim *s = sim_of(env);
	enter(s);
	int rc = leave(s, mkdir_locked(s, path));
	return rc < 0 ? failed(rc, "making the directory", path, e) : 0;
}

static int find_dir(struct sim *s, const char *path, struct node **out)
{
	struct node *above;
	char name[SIM_NAME_BYTES];
	int rc = disk_walk(&s->disk, path, &above, name, out);
	if (rc < 0)
		return rc;
	if (!*out)
		return ERR_NOTFOUND;
	return (*out)->is_dir ? 0 : ERR_INVALID;
}

static int sync_dir(struct env *env, const char *path, struct err *e)
{
	struct sim *s = sim_of(env);
	struct node *dir;
	enter(s);
	int rc = find_dir(s, path, &dir);
	if (rc == 0)
		rc = disk_sync_dir(&s->disk, dir);
	(void)leave(s, 0);
	return rc < 0 ? failed(rc, "flushing the directory", path, e) : 0;
}

/* The names are copied first: `each` may change the directory. */
static int list(struct env *env, const char *path, int (*each)(void *arg, const char *name),
		void *arg, struct err *e)
{
	struct sim *s = sim_of(env);
	struct node *dir;
	struct name *names = NULL;
	size_t n = 0;
	enter(s);
	int rc = find_dir(s, path, &dir);
	if (rc == 0) {
		n = dir->live.n;
		names = mem_try_array(n, sizeof(*names));
		if (!names)
			rc = ERR_NOMEM;
		else if (n)
			memcpy(names, dir->live.names, n * sizeof(*names));
	}
	(void)leave(s, 0);
	if (rc < 0)
		return failed(rc, "reading the directory", path, e);
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = each(arg, names[i].text);
	mem_free(names);
	return rc;
}

/* ---- waiting ---- */

/* Time passes, and that is all that can happen while the only thread waits: a wait without an end returns too, a
 * millisecond later, as a spurious wake-up. */
static int wait_(struct env *env, const uint32_t *word, uint32_t expected, nsec deadline)
{
	struct sim *s = sim_of(env);
	if (__atomic_load_n(word, __ATOMIC_ACQUIRE) != expected)
		return 1;
	enter(s);
	if (deadline < 0)
		s->now += NSEC_PER_MS;
	else
		s->now = MAX(s->now, deadline);
	return leave(s, deadline < 0);
}

static void wake(struct env *env, uint32_t *word)
{
	(void)env;
	(void)word;
}

static int64_t process_id(struct env *env)
{
	return sim_of(env)->process_id;
}

static const struct env_ops sim_ops = {
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

/* ---- the simulation ---- */

static void start_clock(struct sim *s, uint64_t seed)
{
	s->rng.state = seed;
	s->now = START_MONO;
	s->wall_offset_ms = START_WALL;
	s->process_id = 1;
}

struct sim *sim_new(const struct sim_options *o)
{
	static const struct sim_options defaults = { 0 };
	o = o ? o : &defaults;
	struct sim *s = mem_try(sizeof(*s));
	if (!s)
		return NULL;
	s->base.ops = &sim_ops;
	mutex_init(&s->lock);
	start_clock(s, o->seed);
	size_t file_bytes = o->file_bytes ? o->file_bytes : SIM_FILE_BYTES;
	file_bytes = (file_bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
	if (disk_init(&s->disk, file_bytes, o->disk_bytes, o->ignore_sync) < 0) {
		sim_free(s);
		return NULL;
	}
	return s;
}

void sim_free(struct sim *s)
{
	if (!s)
		return;
	ASSERT(s->open_files == 0);
	disk_done(&s->disk);
	mutex_done(&s->lock);
	mem_free(s);
}

struct env *sim_env(struct sim *s)
{
	return &s->base;
}

int sim_reset(struct sim *s, uint64_t seed)
{
	ASSERT(s->open_files == 0);
	start_clock(s, seed);
	return disk_clear(&s->disk);
}

static void go_on_from(struct sim *from, uint64_t seed, struct sim *into)
{
	ASSERT(from != into);
	ASSERT(into->open_files == 0);
	into->now = from->now;
	into->wall_offset_ms = from->wall_offset_ms;
	into->process_id = from->process_id + 1;
	into->rng.state = from->rng.state ^ seed;
}

int sim_crash(struct sim *from, uint64_t seed, struct sim *into)
{
	struct sim_rng r = { seed };
	go_on_from(from, sim_rand(&r), into);
	return disk_crash(&from->disk, &r, &into->disk);
}

int sim_copy(struct sim *from, struct sim *into)
{
	go_on_from(from, 1, into);
	return disk_copy(&from->disk, &into->disk);
}

void sim_writeback(struct sim *s, uint64_t seed)
{
	struct sim_rng r = { seed };
	disk_writeback(&s->disk, &r);
}

uint8_t *sim_bytes(struct sim *s, const char *path, uint64_t *size)
{
	struct node *dir, *n = NULL;
	char name[SIM_NAME_BYTES];
	if (disk_walk(&s->disk, path, &dir, name, &n) < 0 || !n || n->is_dir)
		return NULL;
	*size = n->cached.size;
	return n->cached.p;
}

void sim_drop_dirty(struct file *file)
{
	ASSERT(file->ops == &sim_file_ops);
	struct sim_file *f = of(file);
	enter(f->sim);
	(void)leave(f->sim, file_give_up_dirty(&f->sim->disk, f->node));
}

void sim_advance(struct sim *s, nsec by)
{
	ASSERT(by >= 0);
	s->now += by;
}

void sim_set_wall_ms(struct sim *s, int64_t wall)
{
	s->wall_offset_ms = wall - s->now / NSEC_PER_MS;
}

size_t sim_open_files(struct sim *s)
{
	return s->open_files;
}

size_t sim_open_maps(struct sim *s)
{
	return s->open_maps;
}

uint64_t sim_disk_used(struct sim *s)
{
	return s->disk.used_bytes;
}
