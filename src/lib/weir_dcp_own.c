/* weir_dcp_own.c: a checkpoint store of the caller's own: texts in and out. */
#include "lib/lib_dcp.h"

#include "base/mem.h"

struct own_store {
	struct checkpoint_store base;
	weir_dcp_store user;
	bool owned; /* free is ours to call */
};

struct weir_dcp_loaded {
	struct checkpoint *c;
	size_t n, next; /* next: where the one after the last found is likely to be */
	int rc;
	struct err *e;
};

static struct checkpoint *asked_for(weir_dcp_loaded *to, uint16_t vb)
{
	for (size_t i = 0; i < to->n; i++) {
		size_t at = to->next + i < to->n ? to->next + i : to->next + i - to->n;
		if (to->c[at].vb != vb)
			continue;
		to->next = at + 1 < to->n ? at + 1 : 0;
		return &to->c[at];
	}
	return NULL;
}

void weir_dcp_found(weir_dcp_loaded *to, uint16_t vbucket, const char *text, size_t len)
{
	struct checkpoint *c = to ? asked_for(to, vbucket) : NULL;
	if (c && to->rc == 0) /* without a text it is one that is damaged, not none */
		to->rc = checkpoint_take(slice_of(text, text ? len : 0), c, to->e);
}

/* Names the store's fault when it did not itself. What it said without the code, or which vBucket is fenced, stays. */
static int answered(int rc, const char *what, struct err *e)
{
	uint64_t newest = e->newest;
	if (rc >= 0)
		return 0;
	if (!e->msg[0])
		(void)err_set(e, rc, "the checkpoint store could not %s: %s", what, err_text(rc));
	e->code = rc;
	e->newest = newest;
	return rc;
}

static int load(struct checkpoint_store *base, struct checkpoint *c, size_t n, struct err *e)
{
	struct own_store *s = container_of(base, struct own_store, base);
	struct err why = ERR_INIT;
	weir_dcp_loaded to = { .c = c, .n = n, .e = &why };
	uint16_t *vb = mem_try_array(n + 1, sizeof(*vb));
	if (!vb)
		return err_nomem(e);
	for (size_t i = 0; i < n; i++) {
		vb[i] = c[i].vb;
		c[i] = (struct checkpoint){ .vb = vb[i] };
	}
	int rc = s->user.load(s->user.arg, vb, n, &to, (weir_error *)&why);
	rc = rc < 0 ? answered(rc, "load", &why) : to.rc;
	mem_free(vb);
	if (rc < 0 && e)
		*e = why;
	return rc;
}

static int save(struct checkpoint_store *base, const struct checkpoint *c, size_t n, struct err *e)
{
	struct own_store *s = container_of(base, struct own_store, base);
	struct err why = ERR_INIT;
	AUTO(buf) struct buf text = BUF_INIT;
	weir_dcp_saved *saved = mem_try_array(n + 1, sizeof(*saved));
	if (!saved)
		return err_nomem(e);
	for (size_t i = 0; i < n; i++) {
		size_t at = text.len;
		checkpoint_encode(&c[i], &text);
		buf_add_byte(&text, 0);
		saved[i] = (weir_dcp_saved){ .vbucket = c[i].vb, .len = text.len - at - 1 };
	}
	int rc = buf_check(&text, &why);
	size_t at = 0;
	for (size_t i = 0; i < n && rc == 0; at += saved[i++].len + 1)
		saved[i].text = (const char *)text.p + at;
	if (rc == 0)
		rc = answered(s->user.save(s->user.arg, saved, n, (weir_error *)&why), "save",
			      &why);
	mem_free(saved);
	if (rc < 0 && e)
		*e = why;
	return rc;
}

static int clear(struct checkpoint_store *base, const uint16_t *vb, size_t n, struct err *e)
{
	struct own_store *s = container_of(base, struct own_store, base);
	struct err why = ERR_INIT;
	if (!s->user.clear)
		return err_set(e, ERR_UNSUPPORTED, "the checkpoint store cannot clear");
	int rc = answered(s->user.clear(s->user.arg, vb, n, (weir_error *)&why), "clear", &why);
	if (rc < 0 && e)
		*e = why;
	return rc;
}

static void free_(struct checkpoint_store *base)
{
	struct own_store *s = container_of(base, struct own_store, base);
	void (*let_go)(void *arg) = s->user.free;
	if (s->owned && let_go)
		let_go(s->user.arg);
	mem_free(s);
}

int lib_dcp_own_store(const weir_dcp_store *user, struct checkpoint_store **out, struct err *e)
{
	static const struct checkpoint_store_ops ops = { load, save, clear, free_ };
	struct own_store *s = mem_try(sizeof(*s));
	if (!s)
		return err_nomem(e);
	s->base.ops = &ops;
	int rc = lib_options(&s->user, sizeof(s->user), user, e);
	if (rc == 0 && (!s->user.load || !s->user.save))
		rc = err_set(e, ERR_INVALID, "a checkpoint store needs load and save");
	if (rc < 0) {
		mem_free(s);
		return rc;
	}
	*out = &s->base;
	return 0;
}

void lib_dcp_own_store_taken(struct checkpoint_store *base)
{
	container_of(base, struct own_store, base)->owned = true;
}
