/* checkpoint_file.c: all checkpoints of a group in one file.
 *
 *	PATH        {"0": {...}, "1": {...}, ...}     the current ones
 *	PATH.new    the next ones while they are written; whatever is there after a crash is nobody's
 *	PATH.lock   held while open
 *
 * save: write PATH.new, sync it, rename it over PATH, sync the folder. So PATH is always one whole set, the old or
 * the new. The set in memory is the file's plus what was saved since; a vBucket of another member is carried along. */
#include "dcp/checkpoint.h"

#include "base/mem.h"
#include "os/env.h"

#define CHECKPOINT_FILE_MAX (64u << 20)

struct file_store {
	struct checkpoint_store base;
	struct env *env;
	char *path, *new_path, *folder;
	struct file *lock;
	struct checkpoint *entry; /* sorted by vb */
	size_t n, cap;
};

static struct checkpoint *find(struct file_store *f, uint16_t vb, size_t *at)
{
	size_t low = 0, high = f->n;
	while (low < high) {
		size_t mid = (low + high) / 2;
		if (f->entry[mid].vb < vb)
			low = mid + 1;
		else
			high = mid;
	}
	if (at)
		*at = low;
	return low < f->n && f->entry[low].vb == vb ? &f->entry[low] : NULL;
}

static int put(struct file_store *f, const struct checkpoint *c, struct err *e)
{
	size_t at;
	struct checkpoint *there = find(f, c->vb, &at);
	if (there) {
		*there = *c;
		return 0;
	}
	if (f->n == f->cap) {
		size_t cap = f->cap ? 2 * f->cap : 64;
		struct checkpoint *grown = mem_retry(f->entry, cap * sizeof(*grown));
		if (!grown)
			return err_nomem(e);
		f->entry = grown;
		f->cap = cap;
	}
	memmove(f->entry + at + 1, f->entry + at, (f->n - at) * sizeof(*c));
	f->entry[at] = *c;
	f->n++;
	return 0;
}

static int put_loaded(void *arg, const struct checkpoint *c)
{
	return put(arg, c, NULL);
}

int checkpoint_file_each(struct env *env, const char *path,
			 int (*each)(void *arg, const struct checkpoint *c), void *arg,
			 struct err *e)
{
	struct file *file;
	int rc = env_open(env, path, FILE_READ, &file, e);
	if (rc == ERR_NOTFOUND) {
		err_clear(e);
		return 0;
	}
	if (rc < 0)
		return rc;
	AUTO(buf) struct buf text = BUF_INIT;
	uint64_t size = 0;
	rc = file_size(file, &size, e);
	if (rc == 0 && size > CHECKPOINT_FILE_MAX)
		rc = err_set(e, ERR_LIMIT, "%s: %llu bytes are too many for checkpoints", path,
			     (unsigned long long)size);
	if (rc == 0 && !buf_reserve(&text, size + 1))
		rc = err_nomem(e);
	if (rc == 0)
		rc = file_read(file, 0, text.p, size, &text.len, e);
	file_close(file);
	if (rc < 0)
		return rc;
	rc = checkpoint_decode_all(buf_slice(&text), each, arg, e);
	if (rc < 0 && rc != ERR_NOMEM) {
		rc = err_in(e, ERR_CORRUPT, "checkpoints in %s", path);
		if (e)
			e->code = ERR_CORRUPT;
	}
	return rc;
}

static int read_file(struct file_store *f, struct err *e)
{
	return checkpoint_file_each(f->env, f->path, put_loaded, f, e);
}

static int write_file(struct file_store *f, struct err *e)
{
	AUTO(buf) struct buf text = BUF_INIT;
	buf_add_byte(&text, '{');
	for (size_t i = 0; i < f->n; i++) {
		buf_add_fmt(&text, "%s\n  \"%u\": ", i ? "," : "", f->entry[i].vb);
		checkpoint_encode(&f->entry[i], &text);
	}
	buf_add_str(&text, "\n}\n");
	int rc = buf_check(&text, e);
	struct file *file;
	if (rc < 0 || (rc = env_open(f->env, f->new_path, FILE_CREATE, &file, e)) < 0)
		return rc;
	rc = file_truncate(file, 0, e);
	if (rc == 0)
		rc = file_write(file, 0, text.p, text.len, e);
	if (rc == 0)
		rc = file_sync(file, e);
	file_close(file);
	if (rc == 0)
		rc = env_rename(f->env, f->new_path, f->path, e);
	if (rc == 0)
		rc = env_sync_dir(f->env, f->folder, e);
	return rc;
}

static int load(struct checkpoint_store *s, struct checkpoint *c, size_t n, struct err *e)
{
	struct file_store *f = container_of(s, struct file_store, base);
	(void)e;
	for (size_t i = 0; i < n; i++) {
		const struct checkpoint *there = find(f, c[i].vb, NULL);
		c[i] = there ? *there : (struct checkpoint){ .vb = c[i].vb };
	}
	return 0;
}

static int save(struct checkpoint_store *s, const struct checkpoint *c, size_t n, struct err *e)
{
	struct file_store *f = container_of(s, struct file_store, base);
	for (size_t i = 0; i < n; i++) {
		int rc = put(f, &c[i], e);
		if (rc < 0)
			return rc;
	}
	int rc = write_file(f, e);
	return rc < 0 ? err_in(e, rc, "saving checkpoints to %s", f->path) : 0;
}

static int clear(struct checkpoint_store *s, const uint16_t *vb, size_t n, struct err *e)
{
	struct file_store *f = container_of(s, struct file_store, base);
	for (size_t i = 0; i < n; i++) {
		size_t at;
		if (!find(f, vb[i], &at))
			continue;
		f->n--;
		memmove(f->entry + at, f->entry + at + 1, (f->n - at) * sizeof(*f->entry));
	}
	return write_file(f, e);
}

static void free_(struct checkpoint_store *s)
{
	struct file_store *f = container_of(s, struct file_store, base);
	file_close(f->lock);
	mem_free(f->path);
	mem_free(f->new_path);
	mem_free(f->folder);
	mem_free(f->entry);
	mem_free(f);
}

static char *joined(const char *a, const char *b)
{
	size_t na = strlen(a), nb = strlen(b);
	char *p = mem_try(na + nb + 1);
	if (p) {
		memcpy(p, a, na);
		memcpy(p + na, b, nb);
	}
	return p;
}

static char *folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	if (!slash)
		return mem_strdup(".");
	char *p = mem_strdup(path);
	if (p)
		p[slash == path ? 1 : slash - path] = '\0';
	return p;
}

static int take_lock(struct file_store *f, struct err *e)
{
	char *path = joined(f->path, ".lock");
	if (!path)
		return err_nomem(e);
	int rc = env_open(f->env, path, FILE_CREATE, &f->lock, e);
	if (rc == 0)
		rc = file_lock(f->lock, e);
	if (rc == 0)
		rc = err_set(e, ERR_LOCKED, "%s: another process keeps its checkpoints there",
			     path);
	mem_free(path);
	return MIN(rc, 0);
}

int checkpoint_file_open(struct env *env, const char *path, struct checkpoint_store **out,
			 struct err *e)
{
	static const struct checkpoint_store_ops ops = {
		.load = load, .save = save, .clear = clear, .free = free_
	};
	struct file_store *f = mem_try(sizeof(*f));
	if (!f)
		return err_nomem(e);
	f->base.ops = &ops;
	f->env = env;
	f->path = mem_strdup(path);
	f->new_path = joined(path, ".new");
	f->folder = folder_of(path);
	int rc = f->path && f->new_path && f->folder ? 0 : err_nomem(e);
	if (rc == 0)
		rc = take_lock(f, e);
	if (rc == 0)
		rc = read_file(f, e);
	if (rc < 0) {
		free_(&f->base);
		return rc;
	}
	*out = &f->base;
	return 0;
}
