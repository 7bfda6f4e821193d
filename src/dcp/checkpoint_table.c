#include "dcp/checkpoint_table.h"

#include "base/mem.h"

void checkpoint_table_done(struct checkpoint_table *t)
{
	for (size_t i = 0; i < t->n; i++)
		mem_free(t->entry[i].raw);
	mem_free(t->entry);
	*t = (struct checkpoint_table){ 0 };
}

/* Where it is, or would be. */
static size_t place_of(const struct checkpoint_table *t, uint16_t vb)
{
	size_t low = 0, high = t->n;
	while (low < high) {
		size_t mid = (low + high) / 2;
		if (t->entry[mid].c.vb < vb)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

struct checkpoint_entry *checkpoint_table_find(const struct checkpoint_table *t, uint16_t vb)
{
	size_t at = place_of(t, vb);
	return at < t->n && t->entry[at].c.vb == vb ? &t->entry[at] : NULL;
}

static int make_room(struct checkpoint_table *t, struct err *e)
{
	if (t->n < t->cap)
		return 0;
	size_t cap = t->cap ? 2 * t->cap : 64;
	struct checkpoint_entry *grown = mem_retry(t->entry, cap * sizeof(*grown));
	if (!grown)
		return err_nomem(e);
	t->entry = grown;
	t->cap = cap;
	return 0;
}

int checkpoint_table_put(struct checkpoint_table *t, const struct checkpoint *c, uint64_t at,
			 struct err *e)
{
	size_t i = place_of(t, c->vb);
	if (i < t->n && t->entry[i].c.vb == c->vb) {
		mem_free(t->entry[i].raw);
	} else {
		int rc = make_room(t, e);
		if (rc < 0)
			return rc;
		memmove(t->entry + i + 1, t->entry + i, (t->n - i) * sizeof(*t->entry));
		t->n++;
	}
	t->entry[i] = (struct checkpoint_entry){ .c = *c, .at = at };
	return 0;
}

int checkpoint_table_read(struct checkpoint_table *t, uint16_t vb, struct slice document,
			  uint64_t at, struct err *e)
{
	struct checkpoint c = { .vb = vb };
	int rc = checkpoint_take(document, &c, e);
	if (rc == 0)
		rc = checkpoint_table_put(t, &c, at, e);
	if (rc < 0 || !c.damaged)
		return rc;
	struct checkpoint_entry *entry = checkpoint_table_find(t, vb);
	t->partial = true;
	entry->raw = mem_try(document.len + 1);
	if (!entry->raw)
		return err_nomem(e);
	memcpy(entry->raw, document.p, document.len);
	entry->raw_len = document.len;
	return 0;
}

void checkpoint_table_remove(struct checkpoint_table *t, uint16_t vb)
{
	struct checkpoint_entry *entry = checkpoint_table_find(t, vb);
	if (!entry)
		return;
	mem_free(entry->raw);
	size_t i = (size_t)(entry - t->entry);
	t->n--;
	memmove(entry, entry + 1, (t->n - i) * sizeof(*entry));
}

void checkpoint_table_load(const struct checkpoint_table *t, struct checkpoint *c, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct checkpoint_entry *entry = checkpoint_table_find(t, c[i].vb);
		if (entry)
			c[i] = entry->c;
		else
			c[i] = (struct checkpoint){ .vb = c[i].vb, .damaged = t->partial };
	}
}

void checkpoint_entry_text(const struct checkpoint_entry *e, struct buf *out)
{
	if (e->raw)
		buf_add(out, e->raw, e->raw_len);
	else
		checkpoint_encode(&e->c, out);
}

/* ---- a store that only knows ---- */

struct look {
	struct checkpoint_store base;
	struct checkpoint_table table;
};

static int look_load(struct checkpoint_store *s, struct checkpoint *c, size_t n, struct err *e)
{
	(void)e;
	checkpoint_table_load(&container_of(s, struct look, base)->table, c, n);
	return 0;
}

static void look_free(struct checkpoint_store *s)
{
	struct look *l = container_of(s, struct look, base);
	checkpoint_table_done(&l->table);
	mem_free(l);
}

int checkpoint_table_look(struct checkpoint_table *t, int rc, bool forgive,
			  struct checkpoint_store **out, struct err *e)
{
	static const struct checkpoint_store_ops ops = { .load = look_load, .free = look_free };
	bool damaged = rc == ERR_CORRUPT && forgive;
	struct look *l = rc == 0 || damaged ? mem_try(sizeof(*l)) : NULL;
	if (!l) {
		checkpoint_table_done(t);
		return rc == 0 || damaged ? err_nomem(e) : rc;
	}
	if (damaged) {
		err_clear(e);
		checkpoint_table_done(t);
		t->partial = true;
	}
	l->base.ops = &ops;
	l->table = *t;
	*out = &l->base;
	return 0;
}
