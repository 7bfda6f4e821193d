/* subdoc.c: sub-document lookups and mutations: of the body and of extended attributes, single and many, whole documents
 * among them, macros and the virtual attributes $document and $vbucket. subjson.c has the paths.
 *
 * An extended attribute's path begins with its key: the operation is done on the object {"key": value}.
 */
#include "tests/fake/couchbase/internal.h"
#include "tests/fake/couchbase/subjson.h"

#include "base/crc32c.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
	ST_XATTR_UNKNOWN = 0xd1,
	ST_MULTI_FAILURE = 0xcc,
	ST_XATTR_ORDER = 0xd4,
	DOC_MKDOC = 1,
	DOC_ADD = 2,
	PATH_MKDIR = 1,
	PATH_XATTR = 4,
	PATH_MACROS = 0x10,
	OP_GET_BODY = 0x00,
	OP_SET_BODY = 0x01,
	OP_DELETE_DOC = 0x04,
	OP_BODY_WITH_XATTR = 0xd3,
	SPECS_MAX = 16,
};

struct spec {
	uint8_t op, flags;
	struct slice path, value;
};

/* A document being looked at or changed. */
struct work {
	struct conn *c;
	unsigned vb;
	const struct item *it; /* NULL: none yet */
	struct buf xattrs, body;
	uint64_t cas; /* of the change */
	bool delete;
};

static int parse(struct slice in, bool mutation, struct spec out[SPECS_MAX])
{
	int n = 0;
	size_t head = mutation ? 8 : 4;
	while (in.len) {
		if (n == SPECS_MAX || in.len < head)
			return -1;
		struct spec *s = &out[n++];
		size_t path = get_be16(in.p + 2), value = mutation ? get_be32(in.p + 4) : 0;
		if (path + value > in.len - head)
			return -1;
		*s = (struct spec){ in.p[0], in.p[1], slice_of(in.p + head, path),
				    slice_of(in.p + head + path, value) };
		in = slice_of(in.p + head + path + value, in.len - head - path - value);
	}
	return n;
}

/* Extended attributes go first. */
static bool in_order(const struct spec *spec, int n)
{
	for (int i = 1; i < n; i++)
		if ((spec[i].flags & PATH_XATTR) && !(spec[i - 1].flags & PATH_XATTR))
			return false;
	return true;
}

static void work_init(struct work *w, struct conn *c, unsigned vb, const struct item *it)
{
	*w = (struct work){ .c = c, .vb = vb, .it = it, .xattrs = BUF_INIT, .body = BUF_INIT };
	if (!it)
		return;
	struct slice body = slice_of(it->value, it->value_len);
	if ((it->datatype & 4) && body.len >= 4) {
		size_t n = get_be32(body.p);
		buf_add(&w->xattrs, body.p + 4, n);
		body = slice_of(body.p + 4 + n, body.len - 4 - n);
	}
	buf_add_slice(&w->body, body);
}

static void work_done(struct work *w)
{
	buf_done(&w->xattrs);
	buf_done(&w->body);
}

/* ---- extended attributes: pairs of u32 length, key NUL value NUL ---- */

static bool find(struct slice x, struct slice key, struct slice *value, struct slice *pair)
{
	while (x.len >= 4) {
		size_t n = get_be32(x.p);
		if (n + 4 > x.len)
			return false;
		const uint8_t *p = x.p + 4;
		size_t k = strnlen((const char *)p, n);
		if (slice_eq(slice_of(p, k), key) && k + 2 <= n) {
			*value = slice_of(p + k + 1, n - k - 2);
			*pair = slice_of(x.p, n + 4);
			return true;
		}
		x = slice_of(x.p + 4 + n, x.len - 4 - n);
	}
	return false;
}

static void put_pair(struct buf *xattrs, struct slice key, struct slice value)
{
	struct slice old, pair;
	uint8_t n[4];
	if (find(buf_slice(xattrs), key, &old, &pair)) {
		size_t at = (size_t)(pair.p - xattrs->p);
		memmove(xattrs->p + at, xattrs->p + at + pair.len, xattrs->len - at - pair.len);
		xattrs->len -= pair.len;
	}
	if (!value.len)
		return;
	put_be32(n, (uint32_t)(key.len + value.len + 2));
	buf_add(xattrs, n, 4);
	buf_add_slice(xattrs, key);
	buf_add_byte(xattrs, 0);
	buf_add_slice(xattrs, value);
	buf_add_byte(xattrs, 0);
}

/* What the server knows of the document and its vBucket. */
static bool virtual_xattr(const struct work *w, struct slice key, struct buf *out)
{
	const struct item *it = w->it;
	if (slice_is(key, "$document") && it)
		buf_add_fmt(out,
			    "{\"CAS\":\"0x%016" PRIx64 "\",\"seqno\":\"0x%016" PRIx64
			    "\",\"vbucket_uuid\":\"0x%016" PRIx64 "\",\"exptime\":%u,\"flags\":%u,"
			    "\"value_bytes\":%zu,\"deleted\":false,\"revid\":\"%" PRIu64
			    "\",\"last_modified\":\"%" PRIu64
			    "\",\"value_crc32c\":\"0x%08x\",\"datatype\":[%s%s%s]}",
			    it->cas, it->seqno, w->c->b->vb[w->vb].log[0].uuid, it->expiry,
			    it->flags, w->body.len, it->rev, it->cas / 1000000000u,
			    crc32c(0, w->body.p, w->body.len), it->datatype & 1 ? "\"json\"" : "",
			    (it->datatype & 5) == 5 ? "," : "",
			    it->datatype & 4 ? "\"xattr\"" : "");
	else if (slice_is(key, "$vbucket"))
		buf_add_fmt(out, "{\"HLC\":{\"now\":\"%lld\",\"mode\":\"real\"}}",
			    (long long)time(NULL));
	else
		return false;
	return true;
}

/* {"key": value}, or {} when there is none. */
static void as_object(const struct work *w, struct slice key, struct buf *out)
{
	struct slice value, pair;
	struct buf made = BUF_INIT;
	bool there = key.len && key.p[0] == '$' && virtual_xattr(w, key, &made);
	if (there)
		value = buf_slice(&made);
	else
		there = find(buf_slice(&w->xattrs), key, &value, &pair);
	buf_add_str(out, "{");
	if (there) {
		buf_add_str(out, "\"");
		buf_add_slice(out, key);
		buf_add_str(out, "\":");
		buf_add_slice(out, value);
	}
	buf_add_str(out, "}");
	buf_done(&made);
}

/* ---- lookups ---- */

static uint16_t look(const struct work *w, const struct spec *s, struct buf *out)
{
	if (s->op == OP_GET_BODY) {
		if (s->path.len || (s->flags & PATH_XATTR))
			return SUB_PATH_EINVAL;
		buf_add(out, w->body.p, w->body.len);
		return ST_OK;
	}
	if (s->op != SUB_GET && s->op != SUB_EXISTS && s->op != SUB_GET_COUNT)
		return 0xcb;
	if (!(s->flags & PATH_XATTR))
		return subjson_lookup(buf_slice(&w->body), s->op, s->path, out);
	struct slice rest, key = subjson_first(s->path, &rest);
	struct buf object = BUF_INIT;
	as_object(w, key, &object);
	uint16_t status = key.len && key.p[0] == '$' && object.len == 2
				  ? ST_XATTR_UNKNOWN
				  : subjson_lookup(buf_slice(&object), s->op, s->path, out);
	buf_done(&object);
	return status;
}

static void lookup(struct fake *f, struct conn *c, const struct packet *p, const struct item *it,
		   const struct spec *spec, int n)
{
	struct buf out = BUF_INIT;
	struct work w;
	bool failed = false;
	uint16_t status = n <= 0               ? ST_EINVAL
			  : !it                ? ST_ENOENT
			  : !in_order(spec, n) ? ST_XATTR_ORDER
					       : ST_OK;
	if (status) {
		kv_status(f, c, p, status);
		return;
	}
	work_init(&w, c, p->vb, it);
	for (int i = 0; i < n; i++) {
		struct buf value = BUF_INIT;
		status = look(&w, &spec[i], &value);
		failed |= status != ST_OK;
		if (status)
			buf_reset(&value);
		uint8_t head[6];
		put_be16(head, status);
		put_be32(head + 2, (uint32_t)value.len);
		if (p->opcode == 0xd0)
			buf_add(&out, head, sizeof(head));
		buf_add(&out, value.p, value.len);
		buf_done(&value);
	}
	if (p->opcode == 0xd0)
		status = failed ? ST_MULTI_FAILURE : ST_OK;
	kv_respond(c, p, status, SLICE_NONE, SLICE_NONE, buf_slice(&out), 0, it->cas);
	buf_done(&out);
	work_done(&w);
}

/* ---- mutations ---- */

/* What a value stands for that asks to be expanded. */
static struct slice expand(const struct work *w, const struct spec *s, char *text, size_t cap)
{
	uint64_t seqno = w->c->b->vb[w->vb].n + 1, cas = __builtin_bswap64(w->cas);
	if (!(s->flags & PATH_MACROS))
		return s->value;
	if (slice_is(s->value, "\"${Mutation.CAS}\"") ||
	    slice_is(s->value, "\"${$document.mutation.CAS}\""))
		snprintf(text, cap, "\"0x%016" PRIx64 "\"", cas);
	else if (slice_is(s->value, "\"${Mutation.seqno}\""))
		snprintf(text, cap, "\"0x%016" PRIx64 "\"", seqno);
	else if (slice_is(s->value, "\"${Mutation.value_crc32c}\""))
		snprintf(text, cap, "\"0x%08x\"", crc32c(0, w->body.p, w->body.len));
	else
		return s->value;
	return slice_str(text);
}

static uint16_t change_xattr(struct work *w, const struct spec *s, struct buf *out)
{
	char text[40];
	struct slice rest, key = subjson_first(s->path, &rest), value;
	struct buf object = BUF_INIT, found = BUF_INIT;
	if (!key.len || key.p[0] == '$')
		return key.len ? 0xd2 : SUB_PATH_EINVAL;
	as_object(w, key, &object);
	value = expand(w, s, text, sizeof(text));
	uint16_t status =
		subjson_mutate(&object, s->op, s->flags & PATH_MKDIR, s->path, value, out);
	if (!status) {
		struct buf name = BUF_INIT; /* the key alone, as a path */
		buf_add_str(&name, "`");
		buf_add_slice(&name, key);
		buf_add_str(&name, "`");
		(void)subjson_lookup(buf_slice(&object), SUB_GET, buf_slice(&name), &found);
		put_pair(&w->xattrs, key, buf_slice(&found));
		buf_done(&name);
	}
	buf_done(&object);
	buf_done(&found);
	return status;
}

static uint16_t change(struct work *w, const struct spec *s, struct buf *out)
{
	if (s->op == OP_BODY_WITH_XATTR) {
		const struct spec get = { SUB_GET, s->flags, s->path, SLICE_NONE };
		uint16_t status = look(w, &get, out);
		if (!status) {
			buf_reset(&w->body);
			buf_add(&w->body, out->p, out->len);
		}
		buf_reset(out);
		return status;
	}
	if (s->flags & PATH_XATTR)
		return change_xattr(w, s, out);
	if (s->op == OP_SET_BODY || s->op == OP_DELETE_DOC) {
		if (s->path.len)
			return SUB_PATH_EINVAL;
		w->delete = s->op == OP_DELETE_DOC;
		buf_reset(&w->body);
		buf_add_slice(&w->body, s->value);
		return ST_OK;
	}
	if (!w->it && !w->body.len) /* a document that begins as what the operation is about */
		buf_add_str(&w->body, s->path.len && s->path.p[0] != '[' ? "{}" : "[]");
	return subjson_mutate(&w->body, s->op, s->flags & PATH_MKDIR, s->path, s->value, out);
}

static struct item *keep(struct work *w, uint32_t cid, struct slice key, uint32_t expiry)
{
	struct bucket *b = w->c->b;
	struct buf whole = BUF_INIT;
	b->f->stamp_cas = w->cas;
	if (w->delete)
		return engine_append(b, w->vb, ITEM_DELETION, cid, key.p, key.len, SLICE_NONE, 0, 0,
				     0);
	if (w->xattrs.len) {
		uint8_t total[4];
		put_be32(total, (uint32_t)w->xattrs.len);
		buf_add(&whole, total, 4);
		buf_add(&whole, w->xattrs.p, w->xattrs.len);
	}
	buf_add(&whole, w->body.p, w->body.len);
	bool json = w->body.len && (w->body.p[0] == '{' || w->body.p[0] == '[');
	struct item *it =
		engine_append(b, w->vb, ITEM_MUTATION, cid, key.p, key.len, buf_slice(&whole),
			      (uint8_t)((w->xattrs.len ? 4 : 0) | json), w->it ? w->it->flags : 0,
			      expiry);
	buf_done(&whole);
	return it;
}

static uint16_t may_mutate(const struct packet *p, const struct item *it, const struct spec *spec,
			   int n, uint8_t doc_flags)
{
	bool make = doc_flags & (DOC_MKDOC | DOC_ADD);
	if (n <= 0 || (doc_flags & (DOC_MKDOC | DOC_ADD)) == (DOC_MKDOC | DOC_ADD))
		return ST_EINVAL;
	if (!in_order(spec, n))
		return ST_XATTR_ORDER;
	if (!it && (!make || p->cas))
		return ST_ENOENT;
	if (it && ((doc_flags & DOC_ADD) || (p->cas && it->cas != p->cas)))
		return ST_EXISTS;
	return ST_OK;
}

/* As they stand; but macros speak of the body that comes out, so it is made before them. */
static void order_of(const struct spec *spec, int n, int order[SPECS_MAX])
{
	int at = 0;
	for (int macros = 0; macros < 2; macros++)
		for (int i = 0; i < n; i++)
			if (!!(spec[i].flags & PATH_MACROS) == macros)
				order[at++] = i;
}

struct target {
	uint32_t cid, expiry;
	struct slice key;
	uint8_t doc_flags;
};

static void mutate(struct fake *f, struct conn *c, const struct packet *p, const struct item *it,
		   const struct spec *spec, int n, const struct target *t)
{
	bool many = p->opcode == 0xd1;
	struct buf results = BUF_INIT;
	struct work w;
	uint16_t status = may_mutate(p, it, spec, n, t->doc_flags);
	if (status) {
		kv_status(f, c, p, status);
		return;
	}
	work_init(&w, c, p->vb, it);
	w.cas = engine_cas(f);
	int order[SPECS_MAX];
	order_of(spec, n, order);
	for (int k = 0; k < n && !status; k++) {
		int i = order[k];
		struct buf value = BUF_INIT;
		uint8_t head[7] = { (uint8_t)i };
		status = change(&w, &spec[i], &value);
		put_be16(head + 1, status);
		put_be32(head + 3, (uint32_t)value.len);
		if (status)
			buf_add(&results, head, many ? 3 : 0);
		else if (value.len)
			buf_add(&results, head, many ? 7 : 0);
		if (!status)
			buf_add(&results, value.p, value.len);
		buf_done(&value);
	}
	if (status) { /* nothing is done; only the failure is told */
		size_t tell = many && results.len >= 3 ? 3 : 0;
		kv_respond(c, p, many ? ST_MULTI_FAILURE : status, SLICE_NONE, SLICE_NONE,
			   slice_of(results.p + results.len - tell, tell), 0, 0);
	} else {
		struct slice frame;
		uint32_t expiry = it && kv_framing(p, 5, &frame) ? it->expiry : t->expiry;
		doc_mutated(f, c, p, keep(&w, t->cid, t->key, expiry), buf_slice(&results));
	}
	buf_done(&results);
	work_done(&w);
}

/* Single commands have their path's length and flags in the extras, and both texts in the value. */
static bool single(const struct packet *p, struct spec *s, size_t *used)
{
	if (p->extras.len < 3)
		return false;
	size_t path = get_be16(p->extras.p);
	*used = 3;
	*s = (struct spec){ .op = p->opcode, .flags = p->extras.p[2] };
	if (path > p->value.len)
		return false;
	s->path = slice_of(p->value.p, path);
	s->value = slice_of(p->value.p + path, p->value.len - path);
	return true;
}

void subdoc_request(struct fake *f, struct conn *c, const struct packet *p, uint32_t cid,
		    struct slice key)
{
	struct spec spec[SPECS_MAX];
	struct target t = { .cid = cid, .key = key };
	const struct item *it = engine_live(c->b, p->vb, cid, key.p, key.len);
	uint8_t op = p->opcode;
	bool looks = op == 0xd0 || op == SUB_GET || op == SUB_EXISTS || op == SUB_GET_COUNT;
	size_t used = 0;
	int n = 1;
	if (op == 0xd0 || op == 0xd1)
		n = parse(p->value, op == 0xd1, spec);
	else if (!single(p, &spec[0], &used))
		n = 0;
	size_t left = p->extras.len - used;
	if (left != 0 && left != 1 && left != 4 && left != 5)
		n = 0;
	if (n > 0 && left >= 4)
		t.expiry = get_be32(p->extras.p + used);
	if (n > 0 && (left == 1 || left == 5))
		t.doc_flags = p->extras.p[p->extras.len - 1];
	t.expiry = engine_expiry(c->b, cid, t.expiry);
	if (looks)
		lookup(f, c, p, it, spec, n);
	else
		mutate(f, c, p, it, spec, n, &t);
}
