/* kv_doc.c: documents: reading, writing, counting, touching, with what every write may ask for beside (CAS, expiry,
 * durability, keeping the expiry). */
#include "tests/fake/couchbase/internal.h"

#include <ctype.h>
#include <inttypes.h>
#include <snappy-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { VALUE_MAX = 20 << 20, KEY_MAX = 250 };

/* What the handlers are given, decoded. */
struct doc {
	uint32_t cid;
	struct slice key;
	struct item *it; /* alive; NULL: there is none */
	bool quiet;
};

static bool decode_key(struct conn *c, struct slice key, uint32_t *cid, struct slice *rest)
{
	*cid = 0;
	*rest = key;
	if (!c->collections)
		return true;
	uint32_t v = 0;
	for (unsigned i = 0; i < 5 && i < key.len; i++) {
		v |= (uint32_t)(key.p[i] & 0x7f) << (7 * i);
		if (!(key.p[i] & 0x80)) {
			*cid = v;
			*rest = slice_of(key.p + i + 1, key.len - i - 1);
			return true;
		}
	}
	return false;
}

static struct slice body_of(const struct item *it)
{
	struct slice v = slice_of(it->value, it->value_len);
	if (!(it->datatype & 4) || v.len < 4)
		return v;
	size_t skip = 4 + (size_t)get_be32(v.p);
	return skip <= v.len ? slice_of(v.p + skip, v.len - skip) : SLICE_NONE;
}

static bool looks_like_json(struct slice v)
{
	size_t i = 0;
	while (i < v.len && isspace(v.p[i]))
		i++;
	return i < v.len && strchr("{[\"-0123456789tfn", v.p[i]) != NULL;
}

void doc_mutated(struct fake *f, struct conn *c, const struct packet *p, const struct item *it,
		 struct slice value)
{
	(void)f;
	uint8_t token[16];
	put_be64(token, c->b->vb[p->vb].log[0].uuid);
	put_be64(token + 8, it->seqno);
	kv_respond(c, p, ST_OK, c->mutation_seqno ? slice_of(token, 16) : SLICE_NONE, SLICE_NONE,
		   value, 0, it->cas);
}

static void mutated(struct fake *f, struct conn *c, const struct packet *p, const struct doc *d,
		    const struct item *it)
{
	if (!d->quiet)
		doc_mutated(f, c, p, it, SLICE_NONE);
}

/* ---- what a write asks for ---- */

/* Durable writes are durable at once here; but there must be copies enough, and the request well-formed. */
static uint16_t check_durability(struct conn *c, const struct packet *p)
{
	struct slice d;
	if (!kv_framing(p, 1, &d))
		return ST_OK;
	if (d.len != 1 && d.len != 3)
		return ST_EINVAL;
	if (d.p[0] < 1 || d.p[0] > 3)
		return ST_DURABILITY_LEVEL;
	if (d.len == 3 && (get_be16(d.p + 1) == 0 || get_be16(d.p + 1) == 0xffff))
		return ST_EINVAL;
	const struct vb *v = &c->b->vb[p->vb];
	unsigned have = 0;
	for (unsigned k = 0; k <= c->b->replicas; k++)
		have += v->copy[k].node >= 0;
	return have < (c->b->replicas + 1) / 2 + 1 ? ST_DURABILITY_IMPOSSIBLE : ST_OK;
}

static uint16_t check_cas(const struct packet *p, const struct item *it)
{
	if (!p->cas)
		return ST_OK;
	return !it ? ST_ENOENT : it->cas != p->cas ? ST_EXISTS : ST_OK;
}

static bool section_is_whole(struct slice v)
{
	if (v.len < 4 || get_be32(v.p) > v.len - 4)
		return false;
	struct slice x = slice_of(v.p + 4, get_be32(v.p));
	while (x.len >= 4) {
		size_t n = get_be32(x.p);
		const uint8_t *nul = n <= x.len - 4 ? memchr(x.p + 4, 0, n) : NULL;
		if (!nul || n < 2 || x.p[4 + n - 1] != 0 || nul == x.p + 4 + n - 1)
			return false;
		x = slice_of(x.p + 4 + n, x.len - 4 - n);
	}
	return x.len == 0;
}

/* The value as it is kept, plain; *held is to be freed. */
static uint16_t plain_value(struct conn *c, const struct packet *p, struct slice *value,
			    uint8_t *datatype, char **held)
{
	*value = p->value;
	*held = NULL;
	if (((p->datatype & 2) && !c->snappy) || ((p->datatype & 4) && !c->xattr) ||
	    ((p->datatype & 1) && !c->json) || p->datatype > 7)
		return ST_EINVAL;
	if (p->datatype & 2) {
		size_t len = 0;
		const char *packed = (const char *)value->p;
		if (snappy_uncompressed_length(packed, value->len, &len) != SNAPPY_OK ||
		    len > VALUE_MAX)
			return ST_EINVAL;
		*held = malloc(len + 1);
		if (snappy_uncompress(packed, value->len, *held, &len) != SNAPPY_OK) {
			free(*held);
			*held = NULL;
			return ST_EINVAL;
		}
		*value = slice_of(*held, len);
	}
	struct slice body = *value;
	if (p->datatype & 4) {
		if (!section_is_whole(*value)) {
			free(*held);
			*held = NULL;
			return 0x87;
		}
		size_t skip = 4 + (size_t)get_be32(value->p);
		body = slice_of(value->p + skip, value->len - skip);
	}
	*datatype = (uint8_t)((p->datatype & 4) | (looks_like_json(body) ? 1 : 0));
	return body.len > VALUE_MAX ? ST_E2BIG : ST_OK;
}

/* ---- reading ---- */

static void get(struct conn *c, const struct packet *p, const struct doc *d, bool with_key,
		struct fake *f)
{
	if (!d->it) {
		if (!d->quiet)
			kv_status(f, c, p, ST_ENOENT);
		return;
	}
	uint8_t flags[4];
	put_be32(flags, d->it->flags);
	kv_respond(c, p, ST_OK, slice_of(flags, 4), with_key ? p->key : SLICE_NONE, body_of(d->it),
		   c->json ? d->it->datatype & 1 : 0, d->it->cas);
}

/* What a document is without its value; tombstones too. The 21 byte form is version 2's. */
static void get_meta(struct fake *f, struct conn *c, const struct packet *p, const struct doc *d)
{
	const struct item *it = engine_find(c->b, p->vb, d->cid, d->key.p, d->key.len);
	if (!it || it->flushed) {
		kv_status(f, c, p, ST_ENOENT);
		return;
	}
	bool v2 = p->extras.len == 1 && p->extras.p[0] == 2;
	uint8_t extras[21];
	put_be32(extras, it->kind != ITEM_MUTATION);
	put_be32(extras + 4, it->flags);
	put_be32(extras + 8, it->expiry);
	put_be64(extras + 12, it->rev);
	extras[20] = it->datatype;
	kv_respond(c, p, ST_OK, slice_of(extras, v2 ? 21 : 20), SLICE_NONE, SLICE_NONE, 0, it->cas);
}

/* ---- writing ---- */

enum { ADD = 2, REPLACE = 3, APPEND = 0x0e, PREPEND = 0x0f };

static uint16_t may_store(const struct packet *p, const struct doc *d, uint8_t op)
{
	if (op == ADD && d->it)
		return ST_EXISTS;
	if (op == REPLACE && !d->it)
		return ST_ENOENT;
	if ((op == APPEND || op == PREPEND) && !d->it)
		return ST_NOT_STORED;
	return check_cas(p, d->it);
}

static void store(struct fake *f, struct conn *c, const struct packet *p, const struct doc *d,
		  uint8_t op)
{
	struct slice value, keep;
	char *held;
	uint8_t datatype;
	uint16_t status = p->extras.len == 8 ? may_store(p, d, op) : ST_EINVAL;
	if (!status)
		status = plain_value(c, p, &value, &datatype, &held);
	if (status) {
		kv_status(f, c, p, status);
		return;
	}
	uint32_t expiry = engine_expiry(c->b, d->cid, get_be32(p->extras.p + 4));
	if (d->it && kv_framing(p, 5, &keep))
		expiry = d->it->expiry;
	struct item *it = engine_append(c->b, p->vb, ITEM_MUTATION, d->cid, d->key.p, d->key.len,
					value, datatype, get_be32(p->extras.p), expiry);
	free(held);
	mutated(f, c, p, d, it);
}

/* A version of the document that is there, with another value or expiry. */
static struct item *again(struct conn *c, const struct packet *p, const struct doc *d,
			  struct slice value, uint8_t datatype, uint32_t expiry)
{
	struct buf copy = BUF_INIT;
	buf_add_slice(&copy, value);
	struct item *it = engine_append(c->b, p->vb, ITEM_MUTATION, d->cid, d->key.p, d->key.len,
					buf_slice(&copy), datatype, d->it->flags, expiry);
	buf_done(&copy);
	return it;
}

static void extend(struct fake *f, struct conn *c, const struct packet *p, const struct doc *d,
		   bool in_front)
{
	uint16_t status = p->extras.len ? ST_EINVAL : may_store(p, d, APPEND);
	if (status || (p->datatype & 6)) {
		kv_status(f, c, p, status ? status : ST_EINVAL);
		return;
	}
	struct buf v = BUF_INIT;
	struct slice body = body_of(d->it);
	buf_add(&v, d->it->value, d->it->value_len - body.len); /* extended attributes */
	buf_add_slice(&v, in_front ? p->value : body);
	buf_add_slice(&v, in_front ? body : p->value);
	mutated(f, c, p, d, again(c, p, d, buf_slice(&v), d->it->datatype & 4, d->it->expiry));
	buf_done(&v);
}

static void delete_(struct fake *f, struct conn *c, const struct packet *p, const struct doc *d)
{
	uint16_t status = !d->it ? ST_ENOENT : check_cas(p, d->it);
	if (status) {
		kv_status(f, c, p, status);
		return;
	}
	mutated(f, c, p, d,
		engine_append(c->b, p->vb, ITEM_DELETION, d->cid, d->key.p, d->key.len, SLICE_NONE,
			      0, 0, 0));
}

static void touch(struct fake *f, struct conn *c, const struct packet *p, struct doc *d,
		  bool and_get)
{
	uint16_t status = p->extras.len != 4 ? ST_EINVAL : !d->it ? ST_ENOENT : ST_OK;
	if (status) {
		kv_status(f, c, p, status);
		return;
	}
	uint32_t expiry = engine_expiry(c->b, d->cid, get_be32(p->extras.p));
	if (expiry != d->it->expiry)
		d->it = again(c, p, d, slice_of(d->it->value, d->it->value_len), d->it->datatype,
			      expiry);
	if (and_get)
		get(c, p, d, false, f);
	else
		mutated(f, c, p, d, d->it);
}

/* Extras: u64 delta, u64 initial, u32 expiry; the expiry of all ones: do not create. */
static void count(struct fake *f, struct conn *c, const struct packet *p, const struct doc *d,
		  bool down)
{
	uint64_t v = 0;
	char text[32] = "";
	uint16_t status = p->extras.len != 20 ? ST_EINVAL : check_cas(p, d->it);
	if (!status && !d->it && get_be32(p->extras.p + 16) == UINT32_MAX)
		status = ST_ENOENT;
	if (!status && d->it) {
		struct slice body = body_of(d->it);
		char *end;
		snprintf(text, sizeof(text), "%.*s", (int)(body.len < 30 ? body.len : 30),
			 (const char *)body.p);
		v = strtoull(text, &end, 10);
		if (!isdigit((unsigned char)text[0]) || *end)
			status = ST_DELTA_BADVAL;
	}
	if (status) {
		kv_status(f, c, p, status);
		return;
	}
	uint64_t delta = get_be64(p->extras.p);
	v = !d->it ? get_be64(p->extras.p + 8) : !down ? v + delta : v > delta ? v - delta : 0;
	snprintf(text, sizeof(text), "%" PRIu64, v);
	uint32_t expiry =
		d->it ? d->it->expiry : engine_expiry(c->b, d->cid, get_be32(p->extras.p + 16));
	struct item *it = engine_append(c->b, p->vb, ITEM_MUTATION, d->cid, d->key.p, d->key.len,
					slice_str(text), 1, d->it ? d->it->flags : 0, expiry);
	uint8_t answer[8];
	put_be64(answer, v);
	if (!d->quiet)
		doc_mutated(f, c, p, it, slice_of(answer, 8));
}

/* ---- dispatch ---- */

/* The quiet forms answer only what is not as it should be. */
static uint8_t loud(uint8_t opcode)
{
	switch (opcode) {
	case 0x09: return 0x00;
	case 0x0d: return 0x0c;
	case 0x11:
	case 0x12:
	case 0x13:
	case 0x14:
	case 0x15:
	case 0x16: return (uint8_t)(opcode - 0x10);
	case 0x19:
	case 0x1a: return (uint8_t)(opcode - 0x0b);
	default: return opcode;
	}
}

static bool on_replica(struct conn *c, const struct packet *p)
{
	for (unsigned k = 1; p->vb < c->b->n_vbs && k <= c->b->replicas; k++)
		if (c->b->vb[p->vb].copy[k].node == c->node->index)
			return true;
	return false;
}

/* The document as this node's replica has it. */
static struct item *replica_of(struct conn *c, const struct packet *p, struct item *it)
{
	const struct vb *v = &c->b->vb[p->vb];
	uint64_t have = 0;
	for (unsigned k = 1; k <= c->b->replicas; k++)
		if (v->copy[k].node == c->node->index)
			have = v->copy[k].have;
	while (it && it->seqno > have)
		it = it->prev ? &v->item[it->prev - 1] : NULL;
	return it && it->kind == ITEM_MUTATION && !it->flushed && !it->compacted ? it : NULL;
}

void doc_request(struct fake *f, struct conn *c, const struct packet *p)
{
	struct doc d = { .quiet = loud(p->opcode) != p->opcode };
	uint8_t op = loud(p->opcode);
	if (op == 0x83 ? !on_replica(c, p) : kv_here(f, c, p) != KV_HERE) {
		if (op == 0x83)
			kv_not_my_vbucket(f, c, p);
		return;
	}
	if (!decode_key(c, p->key, &d.cid, &d.key) || d.key.len == 0 || d.key.len > KEY_MAX) {
		kv_status(f, c, p, ST_EINVAL);
		return;
	}
	if (!topology_collection(c->b, d.cid)) {
		kv_status(f, c, p, ST_UNKNOWN_COLLECTION);
		return;
	}
	uint16_t status = check_durability(c, p);
	if (status) {
		kv_status(f, c, p, status);
		return;
	}
	if (op == 0x83)
		d.it = replica_of(c, p, engine_find(c->b, p->vb, d.cid, d.key.p, d.key.len));
	else if (op != 0xa0)
		d.it = engine_live(c->b, p->vb, d.cid, d.key.p, d.key.len);
	switch (op) {
	case 0x00:
	case 0x83: get(c, p, &d, false, f); break;
	case 0x0c: get(c, p, &d, true, f); break;
	case 0x01:
	case 0x02:
	case 0x03: store(f, c, p, &d, op); break;
	case 0x04: delete_(f, c, p, &d); break;
	case 0x05:
	case 0x06: count(f, c, p, &d, op == 0x06); break;
	case 0x0e:
	case 0x0f: extend(f, c, p, &d, op == 0x0f); break;
	case 0x1c:
	case 0x1d: touch(f, c, p, &d, op == 0x1d); break;
	case 0xa0: get_meta(f, c, p, &d); break;
	default: subdoc_request(f, c, p, d.cid, d.key); break;
	}
}
