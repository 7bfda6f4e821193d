/* subdoc.c: sub-document lookups and mutations, as far as checkpoint stores and memberships use them: extended attributes
 * by a single key, the whole document, and fields of it by a path of names ("a.b", a name with dots in backticks). */
#include "tests/fake/couchbase/internal.h"

#include "doc/json.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	ST_PATH_ENOENT = 0xc0,
	ST_PATH_MISMATCH = 0xc1,
	ST_PATH_EINVAL = 0xc2,
	ST_PATH_EXISTS = 0xc9,
	ST_MULTI_FAILURE = 0xcc,
	DOC_MKDOC = 1,
	DOC_ADD = 2,
	PATH_XATTR = 4,
	SPECS_MAX = 16,
};

struct spec {
	uint8_t op, flags;
	struct slice path, value;
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

/* The xattr section of an item and its body. */
static void split(const struct item *it, struct slice *xattrs, struct slice *body)
{
	*xattrs = SLICE_NONE;
	*body = slice_of(it->value, it->value_len);
	if (!(it->datatype & 4) || body->len < 4)
		return;
	size_t n = get_be32(body->p);
	*xattrs = slice_of(body->p + 4, n);
	*body = slice_of(body->p + 4 + n, body->len - 4 - n);
}

/* The value of an xattr key: pairs of u32 length, key NUL value NUL. */
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

static void lookup(struct fake *f, struct conn *c, const struct packet *p, uint32_t cid,
		   struct slice key)
{
	struct item *it = engine_live(c->b, p->vb, cid, key.p, key.len);
	struct spec spec[SPECS_MAX];
	int n = parse(p->value, false, spec);
	if (!it || n <= 0) {
		kv_status(f, c, p, n <= 0 ? ST_EINVAL : ST_ENOENT);
		return;
	}
	struct slice xattrs, body, value, pair;
	split(it, &xattrs, &body);
	struct buf out = BUF_INIT;
	bool failed = false;
	for (int i = 0; i < n; i++) {
		uint16_t status = ST_OK;
		value = SLICE_NONE;
		if (spec[i].flags & PATH_XATTR) {
			if (!find(xattrs, spec[i].path, &value, &pair))
				status = ST_PATH_ENOENT;
			else if (spec[i].op == 0xc6)
				value = SLICE_NONE;
		} else if (spec[i].op == 0x00 && !spec[i].path.len) {
			value = body;
		} else {
			status = ST_PATH_EINVAL;
		}
		failed |= status != ST_OK;
		uint8_t head[6];
		put_be16(head, status);
		put_be32(head + 2, (uint32_t)value.len);
		buf_add(&out, head, sizeof(head));
		buf_add_slice(&out, value);
	}
	kv_respond(c, p, failed ? ST_MULTI_FAILURE : ST_OK, SLICE_NONE, SLICE_NONE, buf_slice(&out),
		   0, it->cas);
	buf_done(&out);
}

static void put_pair(struct buf *out, struct slice key, struct slice value)
{
	uint8_t n[4];
	put_be32(n, (uint32_t)(key.len + value.len + 2));
	buf_add(out, n, 4);
	buf_add_slice(out, key);
	buf_add_byte(out, 0);
	buf_add_slice(out, value);
	buf_add_byte(out, 0);
}

/* xattrs without one key. */
static void drop(struct buf *xattrs, struct slice key)
{
	struct slice value, pair;
	if (!find(buf_slice(xattrs), key, &value, &pair))
		return;
	size_t at = (size_t)(pair.p - xattrs->p);
	memmove(xattrs->p + at, xattrs->p + at + pair.len, xattrs->len - at - pair.len);
	xattrs->len -= pair.len;
}

/* The first name of a path; what is behind it. */
static struct slice first_name(struct slice path, struct slice *rest)
{
	bool quoted = path.len && path.p[0] == '`';
	struct slice name = quoted ? slice_of(path.p + 1, path.len - 1) : path;
	const uint8_t *end = name.len ? memchr(name.p, quoted ? '`' : '.', name.len) : NULL;
	size_t n = end ? (size_t)(end - name.p) : name.len, used = n + (quoted && end ? 2 : 0);
	*rest = path.len > used ? slice_of(path.p + used + 1, path.len - used - 1) : SLICE_NONE;
	return slice_of(name.p, n);
}

static void put_name(struct buf *out, struct slice name, bool *some)
{
	buf_add_str(out, *some ? ",\"" : "\"");
	buf_add_slice(out, name);
	buf_add_str(out, "\":");
	*some = true;
}

/* Upserts one field below `doc`; its parents must be there. */
static uint16_t upsert(struct slice doc, struct slice path, struct slice value, struct buf *out)
{
	struct slice rest, name = first_name(path, &rest);
	struct bson_iter it;
	bool some = false, done = false;
	buf_add_byte(out, '{');
	bson_iter_init(&it, doc);
	while (bson_next(&it)) {
		bool here = slice_eq(it.key, name);
		put_name(out, it.key, &some);
		done |= here;
		if (here && rest.len) {
			if (it.value.type != BSON_DOCUMENT)
				return ST_PATH_MISMATCH;
			uint16_t status = upsert(value_slice(it.value), rest, value, out);
			if (status)
				return status;
		} else if (here) {
			buf_add_slice(out, value);
		} else {
			json_from_value(it.value, JSON_RELAXED, out);
		}
	}
	if (!done && rest.len)
		return ST_PATH_ENOENT;
	if (!done) {
		put_name(out, name, &some);
		buf_add_slice(out, value);
	}
	buf_add_byte(out, '}');
	return ST_OK;
}

static uint16_t upsert_field(const struct spec *s, struct buf *body)
{
	AUTO(buf) struct buf doc = BUF_INIT;
	AUTO(buf) struct buf next = BUF_INIT;
	if (json_to_bson(buf_slice(body), &doc, NULL, NULL) < 0)
		return ST_PATH_MISMATCH;
	uint16_t status = upsert(buf_slice(&doc), s->path, s->value, &next);
	if (status == ST_OK) {
		buf_reset(body);
		buf_add_slice(body, buf_slice(&next));
	}
	return status;
}

static uint16_t apply(const struct spec *s, struct buf *xattrs, struct buf *body)
{
	struct slice value, pair;
	if (!(s->flags & PATH_XATTR) && s->op == 0xc8 && s->path.len)
		return upsert_field(s, body);
	if (!(s->flags & PATH_XATTR)) {
		if (s->path.len || s->op != 0x01)
			return ST_PATH_EINVAL;
		buf_reset(body);
		buf_add_slice(body, s->value);
		return ST_OK;
	}
	bool there = find(buf_slice(xattrs), s->path, &value, &pair);
	if (s->op == 0xc7 && there)
		return ST_PATH_EXISTS;
	if (s->op == 0xc9 || s->op == 0xca) {
		if (!there)
			return ST_PATH_ENOENT;
	} else if (s->op != 0xc7 && s->op != 0xc8) {
		return ST_PATH_EINVAL;
	}
	drop(xattrs, s->path);
	if (s->op != 0xc9)
		put_pair(xattrs, s->path, s->value);
	return ST_OK;
}

static void mutate(struct fake *f, struct conn *c, const struct packet *p, uint32_t cid,
		   struct slice key, const struct spec *spec, int n, uint8_t doc_flags,
		   uint32_t expiry)
{
	struct item *it = engine_live(c->b, p->vb, cid, key.p, key.len);
	bool there = it != NULL;
	if (n <= 0 || (!there && !(doc_flags & (DOC_MKDOC | DOC_ADD))) ||
	    (there && (doc_flags & DOC_ADD)) || (p->cas && (!there || it->cas != p->cas))) {
		kv_status(f, c, p, n <= 0 ? ST_EINVAL : !there ? ST_ENOENT : ST_EXISTS);
		return;
	}
	struct buf xattrs = BUF_INIT, body = BUF_INIT, whole = BUF_INIT;
	if (there) {
		struct slice x, b;
		split(it, &x, &b);
		buf_add_slice(&xattrs, x);
		buf_add_slice(&body, b);
	}
	for (int i = 0; i < n; i++) {
		uint16_t status = apply(&spec[i], &xattrs, &body);
		if (status) {
			uint8_t failure[3] = { (uint8_t)i };
			put_be16(failure + 1, status);
			kv_respond(c, p, ST_MULTI_FAILURE, SLICE_NONE, SLICE_NONE,
				   slice_of(failure, 3), 0, 0);
			goto done;
		}
	}
	if (xattrs.len) {
		uint8_t total[4];
		put_be32(total, (uint32_t)xattrs.len);
		buf_add(&whole, total, 4);
		buf_add(&whole, xattrs.p, xattrs.len);
	}
	buf_add(&whole, body.p, body.len);
	uint8_t datatype = (uint8_t)((xattrs.len ? 4 : 0) |
				     (body.len && (body.p[0] == '{' || body.p[0] == '[') ? 1 : 0));
	it = engine_append(c->b, p->vb, ITEM_MUTATION, cid, key.p, key.len, buf_slice(&whole),
			   datatype, 0, expiry);
	doc_mutated(f, c, p, it, SLICE_NONE);
done:
	buf_done(&xattrs);
	buf_done(&body);
	buf_done(&whole);
}

void subdoc_request(struct fake *f, struct conn *c, const struct packet *p, uint32_t cid,
		    struct slice key)
{
	struct spec spec[SPECS_MAX];
	uint8_t doc_flags = 0;
	uint32_t expiry = 0;
	size_t x = p->extras.len;
	if (p->opcode == 0xd0) {
		lookup(f, c, p, cid, key);
		return;
	}
	if (p->opcode != 0xd1) {
		kv_status(f, c, p, 0x83);
		return;
	}
	if (x == 4 || x == 5)
		expiry = get_be32(p->extras.p);
	if (x == 1 || x == 5)
		doc_flags = p->extras.p[x - 1];
	expiry = engine_expiry(c->b, cid, expiry);
	mutate(f, c, p, cid, key, spec, parse(p->value, true, spec), doc_flags, expiry);
}
