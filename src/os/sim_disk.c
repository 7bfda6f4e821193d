#include "os/sim_disk.h"

#include "base/mem.h"

#include <stdio.h>
#include <sys/mman.h>

#define CLEAR_BY_HAND (256u << 10) /* larger images are given back to the kernel instead */
#define COMPARE_BYTES 4096u        /* compared at once before single sectors are */
#define DIRTY_BYTES   4096u        /* the kernel's unit of dirtiness */
#define SIM_DEPTH     64           /* directories in one another */

/* ---- images ---- */

static int image_need(struct disk *d, struct image *m)
{
	if (m->p)
		return 0;
	void *p = mmap(NULL, d->file_bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return ERR_NOMEM;
	m->p = p;
	return 0;
}

static void image_clear(struct image *m)
{
	if (m->used > CLEAR_BY_HAND)
		(void)madvise(m->p, m->used, MADV_DONTNEED);
	else if (m->used)
		memset(m->p, 0, m->used);
	m->size = m->used = 0;
}

static void image_done(struct disk *d, struct image *m)
{
	if (m->p)
		ASSERT(munmap(m->p, d->file_bytes) == 0);
	*m = (struct image){ 0 };
}

/* What lies beyond the size is always zeros. */
static void image_resize(struct image *m, uint64_t size)
{
	if (size < m->size)
		memset(m->p + size, 0, m->size - size);
	m->size = size;
	m->used = MAX(m->used, size);
}

static void image_copy(struct image *to, const struct image *from)
{
	image_resize(to, from->size);
	if (from->size)
		memcpy(to->p, from->p, from->size);
}

/* ---- tables ---- */

static struct name *table_find(const struct table *t, const char *text)
{
	for (size_t i = 0; i < t->n; i++)
		if (strcmp(t->names[i].text, text) == 0)
			return &t->names[i];
	return NULL;
}

static void table_remove(struct disk *d, struct table *t, const char *text)
{
	struct name *name = table_find(t, text);
	if (!name)
		return;
	struct node *n = name->node;
	*name = t->names[--t->n];
	node_unref(d, n);
}

static int table_reserve(struct table *t)
{
	if (t->n < t->cap)
		return 0;
	size_t cap = t->cap ? 2 * t->cap : 8;
	struct name *names = mem_retry(t->names, cap * sizeof(*names));
	if (!names)
		return ERR_NOMEM;
	t->names = names;
	t->cap = cap;
	return 0;
}

static int table_set(struct disk *d, struct table *t, const char *text, struct node *n)
{
	node_ref(n);
	struct name *old = table_find(t, text);
	if (old) {
		node_unref(d, old->node);
		old->node = n;
		return 0;
	}
	int rc = table_reserve(t);
	if (rc < 0) {
		node_unref(d, n);
		return rc;
	}
	struct name *name = &t->names[t->n++];
	(void)snprintf(name->text, sizeof(name->text), "%s", text);
	name->node = n;
	return 0;
}

static void table_clear(struct disk *d, struct table *t)
{
	while (t->n)
		node_unref(d, t->names[--t->n].node);
}

/* ---- nodes ---- */

static struct node *node_new(struct disk *d, bool is_dir)
{
	struct node *n = d->free_nodes;
	if (n)
		d->free_nodes = n->next_free;
	else
		n = mem_try(sizeof(*n));
	if (!n)
		return NULL;
	n->is_dir = is_dir;
	n->refs = 1;
	n->clean = false;
	n->lock_owner = NULL;
	n->mtime_ms = 0;
	return n;
}

void node_ref(struct node *n)
{
	n->refs++;
}

static void drop_pending(struct disk *d, struct node *n)
{
	for (size_t i = 0; i < n->n_pending; i++)
		if (n->pending[i].node)
			node_unref(d, n->pending[i].node);
	n->n_pending = 0;
}

/* The last reference puts the node, its arrays and its reservations aside for the next one. */
void node_unref(struct disk *d, struct node *n)
{
	ASSERT(n->refs > 0);
	if (--n->refs > 0)
		return;
	table_clear(d, &n->live);
	table_clear(d, &n->durable);
	drop_pending(d, n);
	if (!n->is_dir)
		d->used_bytes -= n->cached.size;
	image_clear(&n->cached);
	image_clear(&n->stable);
	image_clear(&n->dropped);
	n->next_free = d->free_nodes;
	d->free_nodes = n;
}

static void node_free(struct disk *d, struct node *n)
{
	image_done(d, &n->cached);
	image_done(d, &n->stable);
	image_done(d, &n->dropped);
	mem_free(n->live.names);
	mem_free(n->durable.names);
	mem_free(n->pending);
	mem_free(n);
}

/* ---- the disk ---- */

int disk_init(struct disk *d, size_t file_bytes, uint64_t limit_bytes, bool ignore_sync)
{
	*d = (struct disk){ .file_bytes = file_bytes,
			    .limit_bytes = limit_bytes,
			    .ignore_sync = ignore_sync };
	d->root = node_new(d, true);
	return d->root ? 0 : ERR_NOMEM;
}

void disk_done(struct disk *d)
{
	if (d->root)
		node_unref(d, d->root);
	while (d->free_nodes) {
		struct node *n = d->free_nodes;
		d->free_nodes = n->next_free;
		node_free(d, n);
	}
}

int disk_clear(struct disk *d)
{
	if (d->root)
		node_unref(d, d->root);
	ASSERT(d->used_bytes == 0);
	d->root = node_new(d, true);
	return d->root ? 0 : ERR_NOMEM;
}

/* Takes the next component off *path; false at the end. */
static bool next_component(const char **path, char name[SIM_NAME_BYTES])
{
	const char *p = *path;
	for (;;) {
		while (*p == '/')
			p++;
		if (p[0] != '.' || (p[1] != '/' && p[1] != '\0'))
			break;
		p++;
	}
	size_t len = strcspn(p, "/");
	ASSERT(len < SIM_NAME_BYTES);
	memcpy(name, p, len);
	name[len] = '\0';
	*path = p + len;
	return len > 0;
}

int disk_walk(struct disk *d, const char *path, struct node **dir, char name[SIM_NAME_BYTES],
	      struct node **out)
{
	struct node *above[SIM_DEPTH], *at = d->root;
	size_t depth = 0;
	char part[SIM_NAME_BYTES];
	name[0] = '\0';
	while (next_component(&path, part)) {
		if (!at)
			return ERR_NOTFOUND;
		if (!at->is_dir)
			return ERR_INVALID;
		if (strcmp(part, "..") == 0) { /* the root is its own parent */
			at = depth ? above[--depth] : at;
			name[0] = '\0';
			continue;
		}
		ASSERT(depth < SIM_DEPTH);
		above[depth++] = at;
		struct name *found = table_find(&at->live, part);
		at = found ? found->node : NULL;
		memcpy(name, part, SIM_NAME_BYTES);
	}
	*dir = name[0] ? above[depth - 1] : NULL;
	*out = at;
	return 0;
}

static struct change *new_change(struct node *dir, enum change_kind kind, const char *name,
				 const char *to, struct node *n)
{
	if (dir->n_pending == dir->cap_pending) {
		size_t cap = dir->cap_pending ? 2 * dir->cap_pending : 8;
		struct change *p = mem_retry(dir->pending, cap * sizeof(*p));
		if (!p)
			return NULL;
		dir->pending = p;
		dir->cap_pending = cap;
	}
	struct change *c = &dir->pending[dir->n_pending++];
	c->kind = kind;
	c->node = n;
	(void)snprintf(c->name, sizeof(c->name), "%s", name);
	(void)snprintf(c->to, sizeof(c->to), "%s", to);
	if (n)
		node_ref(n);
	return c;
}

int disk_create(struct disk *d, struct node *dir, const char *name, bool is_dir, struct node **out)
{
	struct node *n = node_new(d, is_dir);
	if (!n)
		return ERR_NOMEM;
	int rc = is_dir ? 0 : image_need(d, &n->cached);
	if (rc == 0)
		rc = table_set(d, &dir->live, name, n);
	if (rc == 0 && !new_change(dir, CHANGE_CREATE, name, "", n)) {
		table_remove(d, &dir->live, name);
		rc = ERR_NOMEM;
	}
	*out = n;
	node_unref(d, n); /* the table's is left, or none */
	return rc;
}

int disk_unlink(struct disk *d, struct node *dir, const char *name)
{
	if (!new_change(dir, CHANGE_UNLINK, name, "", NULL))
		return ERR_NOMEM;
	table_remove(d, &dir->live, name);
	return 0;
}

static int apply_rename(struct disk *d, struct table *t, const char *from, const char *to,
			struct node *n)
{
	int rc = table_set(d, t, to, n);
	if (rc == 0)
		table_remove(d, t, from);
	return rc;
}

int disk_rename(struct disk *d, struct node *dir, const char *from, const char *to)
{
	struct name *name = table_find(&dir->live, from);
	ASSERT(name);
	struct node *n = name->node;
	if (strcmp(from, to) == 0)
		return 0;
	if (!new_change(dir, CHANGE_RENAME, from, to, n))
		return ERR_NOMEM;
	return apply_rename(d, &dir->live, from, to, n);
}

static int apply_change(struct disk *d, struct table *t, const struct change *c, struct node *n)
{
	switch (c->kind) {
	case CHANGE_CREATE: return table_set(d, t, c->name, n);
	case CHANGE_UNLINK: table_remove(d, t, c->name); return 0;
	case CHANGE_RENAME: return apply_rename(d, t, c->name, c->to, n);
	}
	return 0;
}

int disk_sync_dir(struct disk *d, struct node *dir)
{
	if (d->ignore_sync)
		return 0;
	for (size_t i = 0; i < dir->n_pending; i++) {
		struct change *c = &dir->pending[i];
		int rc = apply_change(d, &dir->durable, c, c->node);
		if (rc < 0)
			return rc;
	}
	drop_pending(d, dir);
	return 0;
}

/* ---- files ---- */

int file_touch(struct disk *d, struct node *n)
{
	if (!n->clean)
		return 0;
	int rc = image_need(d, &n->stable);
	if (rc < 0)
		return rc;
	image_copy(&n->stable, &n->cached);
	n->clean = false;
	return 0;
}

int file_resize(struct disk *d, struct node *n, uint64_t size)
{
	if (size > d->file_bytes)
		return ERR_NOSPACE;
	uint64_t used = d->used_bytes - n->cached.size + size;
	if (size > n->cached.size && d->limit_bytes && used > d->limit_bytes)
		return ERR_NOSPACE;
	int rc = file_touch(d, n);
	if (rc < 0)
		return rc;
	image_resize(&n->cached, size);
	d->used_bytes = used;
	return 0;
}

/* Calls each for every sector of [0, size) that differs between the cached and the stable image. */
static void each_dirty_sector(struct node *n, uint64_t size,
			      void (*each)(void *arg, struct node *n, uint64_t at, size_t len),
			      void *arg)
{
	for (uint64_t block = 0; block < size; block += COMPARE_BYTES) {
		size_t block_len = (size_t)MIN(size - block, (uint64_t)COMPARE_BYTES);
		if (memcmp(n->cached.p + block, n->stable.p + block, block_len) == 0)
			continue;
		for (size_t i = 0; i < block_len; i += SECTOR_BYTES) {
			size_t len = MIN(block_len - i, (size_t)SECTOR_BYTES);
			uint64_t at = block + i;
			if (memcmp(n->cached.p + at, n->stable.p + at, len) != 0)
				each(arg, n, at, len);
		}
	}
}

static bool given_up(const struct node *n, uint64_t at, size_t len)
{
	return n->dropped.size >= at + len && memcmp(n->cached.p + at, n->dropped.p + at, len) == 0;
}

static void write_sector(void *arg, struct node *n, uint64_t at, size_t len)
{
	(void)arg;
	if (!given_up(n, at, len))
		memcpy(n->stable.p + at, n->cached.p + at, len);
}

int file_make_durable(struct disk *d, struct node *n)
{
	if (n->clean || d->ignore_sync)
		return 0;
	int rc = image_need(d, &n->stable);
	if (rc < 0)
		return rc;
	image_resize(&n->stable, n->cached.size);
	each_dirty_sector(n, n->cached.size, write_sector, NULL);
	return 0;
}

int file_give_up_dirty(struct disk *d, struct node *n)
{
	int rc = image_need(d, &n->stable);
	if (rc == 0)
		rc = image_need(d, &n->dropped);
	if (rc == 0 && !n->clean)
		image_copy(&n->dropped, &n->cached);
	return rc;
}

void file_written(struct node *n, uint64_t off, uint64_t len)
{
	uint64_t from = off / DIRTY_BYTES * DIRTY_BYTES;
	uint64_t to = (off + len + DIRTY_BYTES - 1) / DIRTY_BYTES * DIRTY_BYTES;
	for (uint64_t at = from; at < MIN(to, n->dropped.size); at++)
		n->dropped.p[at] = (uint8_t)~n->cached.p[at];
}

static void write_sector_sometimes(void *arg, struct node *n, uint64_t at, size_t len)
{
	struct sim_rng *r = arg;
	if (sim_below(r, 2))
		write_sector(NULL, n, at, len);
}

static void writeback_below(struct disk *d, struct node *dir, struct sim_rng *r)
{
	for (size_t i = 0; i < dir->live.n; i++) {
		struct node *n = dir->live.names[i].node;
		if (n->is_dir) {
			writeback_below(d, n, r);
		} else if (!n->clean && image_need(d, &n->stable) == 0) {
			if (n->cached.size > n->stable.size)
				image_resize(&n->stable, n->cached.size);
			each_dirty_sector(n, n->cached.size, write_sector_sometimes, r);
		}
	}
}

void disk_writeback(struct disk *d, struct sim_rng *r)
{
	writeback_below(d, d->root, r);
}

/* ---- the power loss ---- */

enum keep_how { KEEP_BY_CHANCE, KEEP_BEGINNING, KEEP_END };

/* How one power loss treats what was not durable; drawn once for it. */
struct loss {
	struct sim_rng *r;
	enum keep_how how;
	uint64_t keep_of_8; /* of eight changes or sectors this many are kept */
	uint64_t tear_of_8; /* of eight kept sectors this many are torn */
	uint64_t border;    /* KEEP_BEGINNING, KEEP_END: where in the file */
	uint8_t *to;        /* the image under construction */
};

static struct loss draw_loss(struct sim_rng *r)
{
	static const uint8_t keep[] = { 0, 1, 4, 7, 8 };
	struct loss l = { .r = r };
	uint64_t pick = sim_below(r, 8);
	l.how = pick == 0 ? KEEP_BEGINNING : pick == 1 ? KEEP_END : KEEP_BY_CHANCE;
	l.keep_of_8 = keep[sim_below(r, ARRAY_LEN(keep))];
	l.tear_of_8 = sim_below(r, 3);
	return l;
}

static bool chance(struct sim_rng *r, uint64_t of_8)
{
	return sim_below(r, 8) < of_8;
}

static bool keeps(struct loss *l, uint64_t at)
{
	switch (l->how) {
	case KEEP_BY_CHANCE: return chance(l->r, l->keep_of_8);
	case KEEP_BEGINNING: return at < l->border;
	case KEEP_END: return at >= l->border;
	}
	return false;
}

static void lose_sector(void *arg, struct node *n, uint64_t at, size_t len)
{
	struct loss *l = arg;
	if (given_up(n, at, len) || !keeps(l, at))
		return;
	if (chance(l->r, l->tear_of_8))
		len = (size_t)sim_below(l->r, len);
	memcpy(l->to + at, n->cached.p + at, len);
}

static uint64_t size_after(struct loss *l, uint64_t old, uint64_t new)
{
	switch (sim_below(l->r, 4)) {
	case 0: return old;
	case 1: return MIN(old, new) + sim_below(l->r, MAX(old, new) - MIN(old, new) + 1);
	}
	return l->keep_of_8 ? new : old;
}

/* `to` is a fresh file. A sector beyond the cached size belongs to a truncation that was lost: it is the old one. */
static int crash_file(struct disk *from, struct node *n, struct loss *l, struct disk *into,
		      struct node *to)
{
	int rc = n->clean ? 0 : image_need(from, &n->stable);
	if (rc == 0)
		rc = image_need(into, &to->cached);
	if (rc < 0)
		return rc;
	uint64_t size = n->clean ? n->cached.size : size_after(l, n->stable.size, n->cached.size);
	image_resize(&to->cached, size);
	into->used_bytes += size;
	const struct image *base = n->clean ? &n->cached : &n->stable;
	uint64_t old = MIN(size, base->size);
	if (old)
		memcpy(to->cached.p, base->p, old);
	if (!n->clean) {
		uint64_t end = MIN(size, n->cached.size);
		l->border = sim_below(l->r, end + 1);
		l->to = to->cached.p;
		each_dirty_sector(n, end, lose_sector, l);
	}
	to->clean = true;
	to->mtime_ms = n->mtime_ms;
	return 0;
}

static bool names_one_of(const struct change *c, const struct change *lost)
{
	bool renames = c->kind == CHANGE_RENAME, lost_renames = lost->kind == CHANGE_RENAME;
	return strcmp(c->name, lost->name) == 0 || (renames && strcmp(c->to, lost->name) == 0) ||
	       (lost_renames && strcmp(c->name, lost->to) == 0) ||
	       (renames && lost_renames && strcmp(c->to, lost->to) == 0);
}

static bool depends_on_lost(const struct node *dir, const bool *lost, size_t i)
{
	for (size_t j = 0; j < i; j++)
		if (lost[j] && names_one_of(&dir->pending[i], &dir->pending[j]))
			return true;
	return false;
}

/* Which names the directory has after the loss: `t`, whose nodes are still those of the old disk. */
static int surviving_names(struct disk *from, struct node *dir, struct loss *l, struct table *t)
{
	int rc = 0;
	for (size_t i = 0; i < dir->durable.n && rc == 0; i++)
		rc = table_set(from, t, dir->durable.names[i].text, dir->durable.names[i].node);
	bool *lost = mem_try_array(dir->n_pending, sizeof(*lost));
	if (!lost)
		return ERR_NOMEM;
	uint64_t border = sim_below(l->r, dir->n_pending + 1);
	for (size_t i = 0; i < dir->n_pending && rc == 0; i++) {
		l->border = border;
		lost[i] = depends_on_lost(dir, lost, i) || !keeps(l, i);
		if (!lost[i])
			rc = apply_change(from, t, &dir->pending[i], dir->pending[i].node);
	}
	mem_free(lost);
	return rc;
}

static int crash_dir(struct disk *from, struct node *dir, struct loss *l, struct disk *into,
		     struct node *to)
{
	struct table survivors = { 0 };
	int rc = surviving_names(from, dir, l, &survivors);
	for (size_t i = 0; i < survivors.n && rc == 0; i++) {
		const struct name *name = &survivors.names[i];
		struct node *n = node_new(into, name->node->is_dir);
		if (!n) {
			rc = ERR_NOMEM;
			break;
		}
		rc = table_set(into, &to->live, name->text, n);
		if (rc == 0)
			rc = table_set(into, &to->durable, name->text, n);
		node_unref(into, n);
		if (rc == 0)
			rc = n->is_dir ? crash_dir(from, name->node, l, into, n)
				       : crash_file(from, name->node, l, into, n);
	}
	table_clear(from, &survivors);
	mem_free(survivors.names);
	return rc;
}

int disk_crash(struct disk *from, struct sim_rng *r, struct disk *into)
{
	ASSERT(from->file_bytes == into->file_bytes);
	int rc = disk_clear(into);
	struct loss l = draw_loss(r);
	return rc < 0 ? rc : crash_dir(from, from->root, &l, into, into->root);
}

/* ---- copies ---- */

struct copying {
	struct disk *into;
	struct node *copied; /* the originals, to forget their copies */
};

static struct node *copy_node(struct copying *c, struct node *n);

static int copy_image(struct disk *into, struct image *to, const struct image *from)
{
	if (!from->p)
		return 0;
	int rc = image_need(into, to);
	if (rc == 0)
		image_copy(to, from);
	return rc;
}

static int copy_file(struct copying *c, const struct node *n, struct node *to)
{
	to->clean = n->clean;
	to->mtime_ms = n->mtime_ms;
	int rc = copy_image(c->into, &to->cached, &n->cached);
	c->into->used_bytes += to->cached.size;
	if (rc == 0 && !n->clean)
		rc = copy_image(c->into, &to->stable, &n->stable);
	if (rc == 0 && n->dropped.size)
		rc = copy_image(c->into, &to->dropped, &n->dropped);
	return rc;
}

static int copy_table(struct copying *c, const struct table *from, struct table *to)
{
	int rc = 0;
	for (size_t i = 0; i < from->n && rc == 0; i++) {
		struct node *n = copy_node(c, from->names[i].node);
		rc = n ? table_set(c->into, to, from->names[i].text, n) : ERR_NOMEM;
	}
	return rc;
}

static int copy_dir(struct copying *c, const struct node *n, struct node *to)
{
	int rc = copy_table(c, &n->live, &to->live);
	if (rc == 0)
		rc = copy_table(c, &n->durable, &to->durable);
	for (size_t i = 0; i < n->n_pending && rc == 0; i++) {
		const struct change *change = &n->pending[i];
		struct node *node = change->node ? copy_node(c, change->node) : NULL;
		if ((change->node && !node) ||
		    !new_change(to, change->kind, change->name, change->to, node))
			rc = ERR_NOMEM;
	}
	return rc;
}

/* A node has several names, so the copy is remembered; that reference is dropped at the end. */
static struct node *copy_node(struct copying *c, struct node *n)
{
	if (n->copy)
		return n->copy;
	n->copy = node_new(c->into, n->is_dir);
	if (!n->copy)
		return NULL;
	n->next_copied = c->copied;
	c->copied = n;
	int rc = n->is_dir ? copy_dir(c, n, n->copy) : copy_file(c, n, n->copy);
	return rc == 0 ? n->copy : NULL;
}

int disk_copy(struct disk *from, struct disk *into)
{
	ASSERT(from->file_bytes == into->file_bytes);
	node_unref(into, into->root);
	ASSERT(into->used_bytes == 0);
	struct copying c = { .into = into };
	struct node *root = copy_node(&c, from->root);
	into->root = from->root->copy;
	if (into->root)
		node_ref(into->root);
	while (c.copied) {
		struct node *n = c.copied;
		c.copied = n->next_copied;
		node_unref(into, n->copy);
		n->copy = NULL;
	}
	return root ? 0 : ERR_NOMEM;
}
