/* checkpoint_file.c: all checkpoints of a group in one file.
 *
 *	PATH        {"0": {...}, "1": {...}, ...}     the current ones
 *	PATH.new    the next ones while they are written; whatever is there after a crash is nobody's
 *	PATH.lock   held while open
 *	PATH.damaged  what was no list of checkpoints, when it was replaced all the same
 *
 * save: write PATH.new, sync it, rename it over PATH, sync the folder. So PATH is always one whole set, the old or
 * the new. The set in memory is the file's plus what was saved since; a vBucket of another member is carried along, and so
 * is a document that cannot be read. */
#include "dcp/checkpoint_table.h"

#include "base/mem.h"
#include "os/env.h"

#define CHECKPOINT_FILE_MAX (64u << 20)

struct file_store {
	struct checkpoint_store base;
	struct env *env;
	char *path, *new_path, *folder;
	struct file *lock;
	struct checkpoint_table table;
	struct buf broken; /* the file's text, when it is no list of checkpoints */
};

/* The text of a file; ERR_NOTFOUND. */
static int read_text(struct env *env, const char *path, struct buf *text, struct err *e)
{
	struct file *file;
	int rc = env_open(env, path, FILE_READ, &file, e);
	if (rc < 0)
		return rc;
	uint64_t size = 0;
	rc = file_size(file, &size, e);
	if (rc == 0 && size > CHECKPOINT_FILE_MAX)
		rc = err_set(e, ERR_LIMIT, "%s: %llu bytes are too many for checkpoints", path,
			     (unsigned long long)size);
	if (rc == 0 && !buf_reserve(text, size + 1))
		rc = err_nomem(e);
	if (rc == 0)
		rc = file_read(file, 0, text->p, size, &text->len, e);
	file_close(file);
	return rc;
}

static int take_document(void *arg, uint16_t vb, struct slice document)
{
	return checkpoint_table_read(arg, vb, document, 0, NULL);
}

/* Fills an empty table. ERR_CORRUPT: it is no list of checkpoints; then *text is what it is. */
static int read_table(struct env *env, const char *path, struct checkpoint_table *t,
		      struct buf *text, struct err *e)
{
	int rc = read_text(env, path, text, e);
	if (rc == ERR_NOTFOUND) {
		err_clear(e);
		return 0;
	}
	if (rc == 0)
		rc = checkpoint_split(buf_slice(text), take_document, t, e);
	if (rc != ERR_FORMAT)
		return rc == ERR_NOMEM ? err_nomem(e) : rc;
	rc = err_in(e, ERR_CORRUPT, "checkpoints in %s", path);
	if (e)
		e->code = ERR_CORRUPT;
	return rc;
}

int checkpoint_file_look(struct env *env, const char *path, bool forgive,
			 struct checkpoint_store **out, struct err *e)
{
	AUTO(buf) struct buf text = BUF_INIT;
	struct checkpoint_table t = { 0 };
	int rc = read_table(env, path, &t, &text, e);
	return checkpoint_table_look(&t, rc, forgive, out, e);
}

static int read_file(struct file_store *f, bool forgive, struct err *e)
{
	AUTO(buf) struct buf text = BUF_INIT;
	int rc = read_table(f->env, f->path, &f->table, &text, e);
	if (rc != ERR_CORRUPT || !forgive)
		return rc;
	err_clear(e);
	checkpoint_table_done(&f->table);
	f->table.partial = true;
	buf_add_slice(&f->broken, buf_slice(&text));
	return buf_check(&f->broken, e);
}

static int write_text(struct file_store *f, const char *path, const struct buf *text, struct err *e)
{
	struct file *file;
	int rc = env_open(f->env, path, FILE_CREATE, &file, e);
	if (rc < 0)
		return rc;
	rc = file_truncate(file, 0, e);
	if (rc == 0)
		rc = file_write(file, 0, text->p, text->len, e);
	if (rc == 0)
		rc = file_sync(file, e);
	file_close(file);
	return rc;
}

static char *joined(const char *a, const char *b);

static int keep_broken(struct file_store *f, struct err *e)
{
	if (f->broken.len == 0)
		return 0;
	char *path = joined(f->path, ".damaged");
	int rc = path ? write_text(f, path, &f->broken, e) : err_nomem(e);
	mem_free(path);
	return rc;
}

static int write_file(struct file_store *f, struct err *e)
{
	AUTO(buf) struct buf text = BUF_INIT;
	buf_add_byte(&text, '{');
	for (size_t i = 0; i < f->table.n; i++) {
		buf_add_fmt(&text, "%s\n  \"%u\": ", i ? "," : "", f->table.entry[i].c.vb);
		checkpoint_entry_text(&f->table.entry[i], &text);
	}
	buf_add_str(&text, "\n}\n");
	int rc = buf_check(&text, e);
	if (rc == 0)
		rc = keep_broken(f, e);
	if (rc == 0)
		rc = write_text(f, f->new_path, &text, e);
	if (rc == 0)
		rc = env_rename(f->env, f->new_path, f->path, e);
	if (rc == 0)
		rc = env_sync_dir(f->env, f->folder, e);
	if (rc == 0)
		buf_reset(&f->broken);
	return rc;
}

static int load(struct checkpoint_store *s, struct checkpoint *c, size_t n, struct err *e)
{
	(void)e;
	checkpoint_table_load(&container_of(s, struct file_store, base)->table, c, n);
	return 0;
}

static int save(struct checkpoint_store *s, const struct checkpoint *c, size_t n, struct err *e)
{
	struct file_store *f = container_of(s, struct file_store, base);
	for (size_t i = 0; i < n; i++) {
		int rc = checkpoint_table_put(&f->table, &c[i], 0, e);
		if (rc < 0)
			return rc;
	}
	int rc = write_file(f, e);
	return rc < 0 ? err_in(e, rc, "saving checkpoints to %s", f->path) : 0;
}

static int clear(struct checkpoint_store *s, const uint16_t *vb, size_t n, struct err *e)
{
	struct file_store *f = container_of(s, struct file_store, base);
	for (size_t i = 0; i < n; i++)
		checkpoint_table_remove(&f->table, vb[i]);
	return write_file(f, e);
}

static void free_(struct checkpoint_store *s)
{
	struct file_store *f = container_of(s, struct file_store, base);
	file_close(f->lock);
	checkpoint_table_done(&f->table);
	buf_done(&f->broken);
	mem_free(f->path);
	mem_free(f->new_path);
	mem_free(f->folder);
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

int checkpoint_file_open(struct env *env, const char *path, bool forgive,
			 struct checkpoint_store **out, struct err *e)
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
		rc = read_file(f, forgive, e);
	if (rc < 0) {
		free_(&f->base);
		return rc;
	}
	*out = &f->base;
	return 0;
}
