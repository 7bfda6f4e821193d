/* checkpoint_couchbase.c: checkpoints in documents of a bucket.
 *
 * A save writes every document with the CAS that was seen of it last. One whose answer was lost may have happened, and
 * one that was answered may be lost when its node fails over:
 *
 *	 put ── answered ─▶ its CAS is known
 *	  ├── lost ─▶ UNSURE ── read: our mark ─▶ it has happened, its CAS is known
 *	  │                         the old CAS ─▶ it has not: put again
 *	  │                         another ─▶ somebody else's: the put finds that out
 *	  └── refused ─▶ REFUSED ── read: nothing, a mark of ours, or the one that was loaded ─▶ it went back: put again
 *	                            another ─▶ somebody else's: FENCED
 *
 * The mark is a number in the text of each write, its upper half drawn by this store, its lower half counted. The text
 * alone would not do: whoever takes a vBucket over writes back what it read, so that the same text may be another's. */
#include "dcp/checkpoint.h"

#include "base/mem.h"
#include "dcp/kv.h"
#include "os/env.h"

#include <stdio.h>

enum { ROUNDS = 4 };

struct seen {
	uint64_t cas;    /* of the document; 0: none was there */
	uint64_t unsure; /* the mark of a write whose answer was lost; 0: none */
	uint64_t loaded; /* the mark that was there when it was loaded; 0: none */
	bool refused;    /* the last write was: whose is it? */
};

struct couchbase_store {
	struct checkpoint_store base;
	struct env *env;
	struct kv *kv;
	const char *group;
	uint64_t mark;     /* of the last write */
	struct seen *seen; /* by vBucket */
};

/* One call's requests, for the checkpoints c[0..n). */
struct batch {
	struct couchbase_store *s;
	struct kv_request *r;
	uint32_t *of;      /* r[i] is about c[of[i]] */
	struct buf *value; /* of r[i]: read, or to be written */
	uint64_t *mark;    /* of r[i], puts */
	bool went_back;    /* some document did: another round can help */
	size_t n, cap;
	struct buf keys; /* each KEY_ROOM bytes */
};

enum { KEY_ROOM = 256 };

static int batch_init(struct batch *b, struct couchbase_store *s, size_t n, struct err *e)
{
	*b = (struct batch){ .s = s,
			     .cap = n,
			     .r = mem_try_array(n + 1, sizeof(*b->r)),
			     .of = mem_try_array(n + 1, sizeof(*b->of)),
			     .value = mem_try_array(n + 1, sizeof(*b->value)),
			     .mark = mem_try_array(n + 1, sizeof(*b->mark)),
			     .keys = BUF_INIT };
	bool ok = b->r && b->of && b->value && b->mark && buf_reserve(&b->keys, n * KEY_ROOM + 1);
	return ok ? 0 : err_nomem(e);
}

static void batch_done(struct batch *b)
{
	for (size_t i = 0; b->value && i < b->cap; i++)
		buf_done(&b->value[i]);
	buf_done(&b->keys);
	mem_free(b->r);
	mem_free(b->of);
	mem_free(b->value);
	mem_free(b->mark);
}

static int add(struct batch *b, enum kv_op op, uint32_t of, uint16_t vb, struct err *e)
{
	ASSERT(b->n < b->cap);
	char *key = (char *)b->keys.p + b->n * KEY_ROOM;
	int len = snprintf(key, KEY_ROOM, "_connector:cbgo:%s:checkpoint:%u", b->s->group, vb);
	if (len >= KEY_ROOM)
		return err_set(e, ERR_LIMIT, "the group's name is too long for a document key");
	buf_reset(&b->value[b->n]);
	b->r[b->n] = (struct kv_request){ .op = op,
					  .key = slice_of(key, (size_t)len),
					  .path = SLICE_LIT("cbgo"),
					  .out = &b->value[b->n],
					  .cas = b->s->seen[vb].cas };
	b->of[b->n++] = of;
	return 0;
}

static int refused(const struct kv_request *r, const char *what, struct err *e)
{
	if (r->rc == ERR_AUTH)
		return err_set(e, ERR_AUTH, "no right to %s the document " SLICE_FMT, what,
			       SLICE_ARG(r->key));
	return err_set(e, r->rc, "the document " SLICE_FMT ": status 0x%02x", SLICE_ARG(r->key),
		       r->status);
}

/* ---- loading ---- */

static int load_batch(struct batch *b, struct checkpoint *c, size_t n, struct err *e)
{
	int rc = 0;
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = add(b, KV_GET_ATTRIBUTE, (uint32_t)i, c[i].vb, e);
	if (rc == 0)
		rc = kv_run(b->s->kv, b->r, b->n, e);
	for (size_t i = 0; i < n && rc == 0; i++) {
		const struct kv_request *r = &b->r[i];
		if (r->rc < 0)
			return refused(r, "read", e);
		/* without the attribute the document may still be there: then it is written over by its CAS */
		struct seen *seen = &b->s->seen[c[i].vb];
		*seen = (struct seen){ .cas = r->cas };
		c[i] = (struct checkpoint){ .vb = c[i].vb };
		if (r->rc == 1)
			rc = checkpoint_take(buf_slice(r->out), &c[i], e);
		seen->loaded = c[i].mark;
	}
	return rc;
}

static int load(struct checkpoint_store *base, struct checkpoint *c, size_t n, struct err *e)
{
	struct couchbase_store *s = container_of(base, struct couchbase_store, base);
	struct batch b;
	int rc = batch_init(&b, s, n, e);
	if (rc == 0)
		rc = load_batch(&b, c, n, e);
	batch_done(&b);
	return rc;
}

/* ---- saving ---- */

static bool is_ours(const struct couchbase_store *s, const struct seen *seen, uint64_t mark)
{
	return mark && (mark >> 32 == s->mark >> 32 || mark == seen->loaded);
}

/* What became of a write whose answer was lost, or whose it is that is there instead. */
static void settle_one(struct batch *b, const struct kv_request *r, const struct checkpoint *there)
{
	struct seen *seen = &b->s->seen[there->vb];
	bool went_back = seen->refused && (r->cas == 0 || is_ours(b->s, seen, there->mark));
	if (went_back || (seen->unsure && there->mark == seen->unsure))
		seen->cas = r->cas;
	b->went_back |= went_back;
	seen->unsure = 0;
	seen->refused = false;
}

/* Reads what may have been written, or was refused. */
static int settle(struct batch *b, const struct checkpoint *c, size_t n, struct err *e)
{
	int rc = 0;
	b->n = 0;
	for (size_t i = 0; i < n && rc == 0; i++)
		if (b->s->seen[c[i].vb].unsure || b->s->seen[c[i].vb].refused)
			rc = add(b, KV_GET_ATTRIBUTE, (uint32_t)i, c[i].vb, e);
	if (rc == 0)
		rc = kv_run(b->s->kv, b->r, b->n, e);
	for (size_t i = 0; i < b->n && rc == 0; i++) {
		struct checkpoint there = { .vb = c[b->of[i]].vb };
		const struct kv_request *r = &b->r[i];
		if (r->rc < 0)
			return refused(r, "read", e);
		if (r->rc == 1)
			rc = checkpoint_take(buf_slice(r->out), &there, e);
		settle_one(b, r, &there);
	}
	return rc;
}

static int add_put(struct batch *b, const struct checkpoint *c, uint32_t of, struct err *e)
{
	size_t i = b->n;
	int rc = add(b, KV_PUT_ATTRIBUTE, of, c->vb, e);
	if (rc < 0)
		return rc;
	struct checkpoint marked = *c;
	marked.mark = b->mark[i] = ++b->s->mark;
	checkpoint_encode(&marked, &b->value[i]);
	b->r[i].value = buf_slice(&b->value[i]);
	return buf_check(&b->value[i], e);
}

/* What became of each; done[] of those that are. The first refusal is returned, FENCED only if there is no other. */
static int take_answers(struct batch *b, const struct checkpoint *c, bool *done, struct err *e)
{
	int rc = 0;
	for (size_t i = 0; i < b->n; i++) {
		const struct kv_request *r = &b->r[i];
		struct seen *seen = &b->s->seen[c[b->of[i]].vb];
		if (r->state == KV_LOST)
			seen->unsure = b->mark[i];
		if (r->state != KV_DONE)
			continue;
		if (r->rc == 1)
			seen->cas = r->cas;
		done[b->of[i]] = r->rc == 1;
		seen->refused = r->rc == ERR_CONFLICT;
		if (r->rc == ERR_CONFLICT && rc == 0) {
			rc = err_set(e, ERR_FENCED,
				     "the checkpoint of vBucket %u was changed by another member",
				     c[b->of[i]].vb);
			if (e)
				e->newest = c[b->of[i]].vb;
		} else if (r->rc < 0 && r->rc != ERR_CONFLICT && (rc == 0 || rc == ERR_FENCED)) {
			rc = refused(r, "write", e);
		}
	}
	return rc;
}

/* One round: 0 all are written, ERR_NET some answers were lost, ERR_FENCED some were refused. */
static int put_round(struct batch *b, const struct checkpoint *c, size_t n, bool *done,
		     struct err *e)
{
	b->went_back = false;
	int rc = settle(b, c, n, e);
	b->n = 0;
	for (size_t i = 0; i < n && rc == 0; i++)
		if (!done[i])
			rc = add_put(b, &c[i], (uint32_t)i, e);
	if (rc < 0)
		return rc;
	int run = kv_run(b->s->kv, b->r, b->n, e);
	struct err why = ERR_INIT;
	rc = take_answers(b, c, done, &why);
	if (rc < 0 && (run == 0 || run == ERR_NET)) {
		if (e)
			*e = why;
		return rc;
	}
	return run;
}

/* Another round. The first refusal does not say yet whose the document is. */
static bool may_help(const struct batch *b, int round, int rc)
{
	return rc == ERR_NET || (rc == ERR_FENCED && (round == 1 || b->went_back));
}

static int save(struct checkpoint_store *base, const struct checkpoint *c, size_t n, struct err *e)
{
	struct couchbase_store *s = container_of(base, struct couchbase_store, base);
	struct batch b;
	bool *done = mem_try_array(n + 1, sizeof(*done));
	int rc = done ? batch_init(&b, s, n, e) : err_nomem(e);
	if (done) {
		if (rc == 0)
			rc = put_round(&b, c, n, done, e);
		for (int round = 1; round < ROUNDS && may_help(&b, round, rc); round++) {
			err_clear(e);
			rc = put_round(&b, c, n, done, e);
		}
		batch_done(&b);
	}
	mem_free(done);
	return rc;
}

/* A position of zero, which go-dcp too reads as "none". */
static int clear(struct checkpoint_store *base, const uint16_t *vb, size_t n, struct err *e)
{
	struct checkpoint *c = mem_try_array(n + 1, sizeof(*c));
	if (!c)
		return err_nomem(e);
	for (size_t i = 0; i < n; i++)
		c[i].vb = vb[i];
	int rc = load(base, c, n, e); /* for the CAS */
	for (size_t i = 0; i < n; i++)
		c[i] = (struct checkpoint){ .vb = vb[i] };
	if (rc == 0)
		rc = save(base, c, n, e);
	mem_free(c);
	return rc;
}

static void free_(struct checkpoint_store *base)
{
	struct couchbase_store *s = container_of(base, struct couchbase_store, base);
	kv_free(s->kv);
	mem_free(s->seen);
	mem_free(s);
}

int checkpoint_couchbase_open(const struct kv_options *o, const char *group,
			      struct checkpoint_store **out, struct err *e)
{
	static const struct checkpoint_store_ops store_ops = { load, save, clear, free_ };
	struct couchbase_store *s = mem_try(sizeof(*s));
	if (!s)
		return err_nomem(e);
	s->base.ops = &store_ops;
	s->env = o->conn->env ? o->conn->env : env_posix();
	s->group = group;
	s->seen = mem_try_array(WIRE_VBUCKETS_MAX, sizeof(*s->seen));
	int rc = s->seen ? env_random(s->env, &s->mark, sizeof(s->mark), e) : err_nomem(e);
	s->mark = (s->mark | 1ull << 63) & ~(uint64_t)UINT32_MAX; /* never 0 */
	if (rc == 0)
		rc = kv_open(o, &s->kv, e);
	if (rc < 0) {
		free_(&s->base);
		return rc;
	}
	*out = &s->base;
	return 0;
}
