/* kv.c: packets of the key-value protocol, the session, and the commands that loaders and SDKs use. */
#include "tests/fake/couchbase/internal.h"

#include <snappy-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	HEADER = 24,
	BODY_MAX = 30 << 20,
	ST_OK = 0,
	ST_ENOENT = 1,
	ST_EXISTS = 2,
	ST_EINVAL = 4,
	ST_NOT_STORED = 5,
	ST_NMVB = 7,
	ST_NO_BUCKET = 8,
	ST_EACCESS = 0x24,
	ST_UNKNOWN_COMMAND = 0x81,
	ST_NOT_SUPPORTED = 0x83,
	ST_TMPFAIL = 0x86,
	ST_UNKNOWN_COLLECTION = 0x88,
	ST_UNKNOWN_SCOPE = 0x8c,
};

/* ---- sending ---- */

void kv_respond(struct conn *c, const struct packet *req, uint16_t status, struct slice extras,
		struct slice key, struct slice value, uint8_t datatype, uint64_t cas)
{
	uint8_t h[HEADER] = { 0x81, req->opcode };
	put_be16(h + 2, (uint16_t)key.len);
	h[4] = (uint8_t)extras.len;
	h[5] = datatype;
	put_be16(h + 6, status);
	put_be32(h + 8, (uint32_t)(extras.len + key.len + value.len));
	put_be32(h + 12, req->opaque);
	put_be64(h + 16, cas);
	conn_send(c, h, sizeof(h));
	conn_send(c, extras.p, extras.len);
	conn_send(c, key.p, key.len);
	conn_send(c, value.p, value.len);
}

void kv_status(struct fake *f, struct conn *c, const struct packet *req, uint16_t status)
{
	char body[96] = "";
	uint8_t datatype = 0;
	if (status == ST_UNKNOWN_COLLECTION || status == ST_UNKNOWN_SCOPE) {
		snprintf(body, sizeof(body), "{\"manifest_uid\":\"%llx\"}",
			 (unsigned long long)f->manifest_uid);
		datatype = c->json ? 1 : 0;
	}
	kv_respond(c, req, status, SLICE_NONE, SLICE_NONE, slice_str(body), datatype, 0);
}

/* With extended errors it says why. */
void kv_error(struct fake *f, struct conn *c, const struct packet *req, uint16_t status,
	      const char *context)
{
	char body[200];
	if (!c->xerror) {
		kv_status(f, c, req, status);
		return;
	}
	snprintf(body, sizeof(body), "{\"error\":{\"context\":\"%s\"}}", context);
	kv_respond(c, req, status, SLICE_NONE, SLICE_NONE, slice_str(body), c->json ? 1 : 0, 0);
}

void kv_not_my_vbucket(struct fake *f, struct conn *c, const struct packet *req)
{
	struct buf map = BUF_INIT;
	if (!c->dedupe_maps || c->map_rev < f->rev)
		topology_map(f, c->node->index, &map);
	c->map_rev = f->rev;
	kv_respond(c, req, ST_NMVB, SLICE_NONE, SLICE_NONE, buf_slice(&map),
		   c->json && map.len ? 1 : 0, 0);
	buf_done(&map);
}

void kv_push_map(struct fake *f, struct conn *c)
{
	struct buf map = BUF_INIT;
	if (c->map_push)
		topology_map(f, c->node->index, &map);
	uint8_t h[HEADER + 16] = { 0x82, 0x01 };
	size_t key = strlen(f->bucket);
	put_be16(h + 2, (uint16_t)key);
	h[4] = 16;
	h[5] = map.len ? 1 : 0;
	put_be32(h + 8, (uint32_t)(16 + key + map.len));
	put_be64(h + 24, 1);
	put_be64(h + 32, (uint64_t)f->rev);
	conn_send(c, h, sizeof(h));
	conn_send(c, f->bucket, key);
	conn_send(c, map.p, map.len);
	buf_done(&map);
}

bool kv_fault_status(struct fake *f, struct conn *c, const struct packet *p)
{
	for (unsigned i = 0; i < f->n_faults; i++) {
		struct fake_fault *x = &f->fault[i];
		if (x->kind != FAKE_STATUS || !x->count || x->opcode != p->opcode ||
		    (x->node >= 0 && x->node != c->node->index) || (x->vb >= 0 && x->vb != p->vb))
			continue;
		x->count--;
		if (x->status == ST_NMVB)
			kv_not_my_vbucket(f, c, p);
		else
			kv_status(f, c, p, x->status);
		return true;
	}
	return false;
}

/* ---- the session ---- */

static void hello(struct fake *f, struct conn *c, const struct packet *p)
{
	(void)f;
	uint8_t accepted[128];
	size_t n = 0;
	for (size_t i = 0; i + 1 < p->value.len && n + 2 <= sizeof(accepted); i += 2) {
		uint16_t code = get_be16(p->value.p + i);
		bool *flag = NULL, plain;
		switch (code) {
		case 0x03: flag = &plain; break;
		case 0x04: flag = &c->mutation_seqno; break;
		case 0x06: flag = &c->xattr; break;
		case 0x07: flag = &c->xerror; break;
		case 0x08: flag = &plain; break;
		case 0x0a: flag = &c->snappy; break;
		case 0x0b: flag = &c->json; break;
		case 0x0c: flag = &c->duplex; break;
		case 0x0d: flag = &c->map_push; break;
		case 0x10: flag = &c->alt; break;
		case 0x11: flag = &plain; break;
		case 0x12: flag = &c->collections; break;
		case 0x13: flag = &plain; break;
		case 0x14: flag = &plain; break;
		case 0x17: flag = &plain; break;
		case 0x1d: flag = &c->known_version; break;
		case 0x1e: flag = &c->dedupe_maps; break;
		case 0x1f: flag = &c->map_brief; break;
		}
		if (!flag)
			continue;
		*flag = true;
		put_be16(accepted + n, code);
		n += 2;
	}
	if (c->map_brief)
		c->map_push = false;
	kv_respond(c, p, ST_OK, SLICE_NONE, SLICE_NONE, slice_of(accepted, n), 0, 0);
}

static void error_map(struct conn *c, const struct packet *p)
{
	static const char map[] =
		"{\"version\":2,\"revision\":1,\"errors\":{"
		"\"0\":{\"name\":\"SUCCESS\",\"desc\":\"ok\",\"attrs\":[\"success\"]},"
		"\"1\":{\"name\":\"KEY_ENOENT\",\"desc\":\"no such "
		"key\",\"attrs\":[\"item-only\"]},"
		"\"2\":{\"name\":\"KEY_EEXISTS\",\"desc\":\"exists, or another "
		"cas\",\"attrs\":[\"item-only\"]},"
		"\"7\":{\"name\":\"NOT_MY_VBUCKET\",\"desc\":\"elsewhere\",\"attrs\":[\"fetch-"
		"config\",\"invalid-input\"]},"
		"\"24\":{\"name\":\"EACCESS\",\"desc\":\"not allowed\",\"attrs\":[\"support\"]},"
		"\"85\":{\"name\":\"EBUSY\",\"desc\":\"busy\",\"attrs\":[\"temp\",\"retry-later\"]}"
		","
		"\"86\":{\"name\":\"ETMPFAIL\",\"desc\":\"not "
		"now\",\"attrs\":[\"temp\",\"retry-later\"]},"
		"\"88\":{\"name\":\"UNKNOWN_COLLECTION\",\"desc\":\"no such "
		"collection\",\"attrs\":[\"item-only\"]}}}";
	kv_respond(c, p, ST_OK, SLICE_NONE, SLICE_NONE, SLICE_LIT(map), c->json ? 1 : 0, 0);
}

static void select_bucket(struct fake *f, struct conn *c, const struct packet *p)
{
	if (!slice_is(p->key, f->bucket)) {
		kv_status(f, c, p, ST_EACCESS);
		return;
	}
	c->has_bucket = true;
	kv_status(f, c, p, ST_OK);
}

static void cluster_config(struct fake *f, struct conn *c, const struct packet *p)
{
	struct buf map = BUF_INIT;
	bool known = c->known_version && p->extras.len == 16 && get_be64(p->extras.p) == 1 &&
		     (int64_t)get_be64(p->extras.p + 8) >= f->rev;
	if (!known && c->has_bucket)
		topology_map(f, c->node->index, &map);
	else if (!known)
		topology_node_services(f, c->node->index, &map);
	kv_respond(c, p, ST_OK, SLICE_NONE, SLICE_NONE, buf_slice(&map), c->json && map.len ? 1 : 0,
		   0);
	buf_done(&map);
}

/* ---- keys and vBuckets ---- */

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

/* The vBucket is here and awake. */
static bool vb_ready(struct fake *f, struct conn *c, const struct packet *p)
{
	if (p->vb >= f->o.vbuckets || f->vb[p->vb].copy[0].node != c->node->index) {
		kv_not_my_vbucket(f, c, p);
		return false;
	}
	if (f->warming_up) {
		kv_status(f, c, p, ST_TMPFAIL);
		return false;
	}
	return true;
}

static bool is_live(const struct item *it)
{
	return it && it->kind == ITEM_MUTATION && !it->flushed &&
	       !(it->expiry && it->expiry <= (uint32_t)time(NULL));
}

/* ---- commands on documents ---- */

static struct slice body_of(const struct item *it)
{
	struct slice v = slice_of(it->value, it->value_len);
	if (!(it->datatype & 4) || v.len < 4)
		return v;
	size_t skip = 4 + (size_t)get_be32(v.p);
	return skip <= v.len ? slice_of(v.p + skip, v.len - skip) : SLICE_NONE;
}

static void get(struct fake *f, struct conn *c, const struct packet *p, uint32_t cid,
		struct slice key, bool quiet)
{
	struct item *it = engine_find(f, p->vb, cid, key.p, key.len);
	if (!is_live(it)) {
		if (!quiet)
			kv_status(f, c, p, ST_ENOENT);
		return;
	}
	uint8_t flags[4];
	put_be32(flags, it->flags);
	kv_respond(c, p, ST_OK, slice_of(flags, 4), SLICE_NONE, body_of(it),
		   c->json ? it->datatype & 1 : 0, it->cas);
}

static void mutation_done(struct fake *f, struct conn *c, const struct packet *p,
			  const struct item *it, bool quiet)
{
	uint8_t token[16];
	put_be64(token, f->vb[p->vb].log[0].uuid);
	put_be64(token + 8, it->seqno);
	if (!quiet)
		kv_respond(c, p, ST_OK, c->mutation_seqno ? slice_of(token, 16) : SLICE_NONE,
			   SLICE_NONE, SLICE_NONE, 0, it->cas);
}

static bool looks_like_json(struct slice v)
{
	size_t i = 0;
	while (i < v.len && (v.p[i] == ' ' || v.p[i] == '\n' || v.p[i] == '\t' || v.p[i] == '\r'))
		i++;
	return i < v.len && strchr("{[\"-0123456789tfn", v.p[i]) != NULL;
}

static uint32_t absolute_expiry(uint32_t expiry)
{
	return expiry && expiry <= 30 * 86400 ? (uint32_t)time(NULL) + expiry : expiry;
}

static void store(struct fake *f, struct conn *c, const struct packet *p, uint32_t cid,
		  struct slice key, uint8_t op, bool quiet)
{
	if (p->extras.len != 8) {
		kv_status(f, c, p, ST_EINVAL);
		return;
	}
	struct item *it = engine_find(f, p->vb, cid, key.p, key.len);
	bool live = is_live(it);
	uint16_t status = ST_OK;
	if (op == 0x02 && live)
		status = ST_EXISTS;
	else if ((op == 0x03 || p->cas) && !live)
		status = ST_ENOENT;
	else if (p->cas && it->cas != p->cas)
		status = ST_EXISTS;
	if (status) {
		kv_status(f, c, p, status);
		return;
	}
	struct slice value = p->value;
	char *plain = NULL;
	if (p->datatype & 2) {
		size_t len = 0;
		if (snappy_uncompressed_length((const char *)value.p, value.len, &len) !=
			    SNAPPY_OK ||
		    len > BODY_MAX) {
			kv_status(f, c, p, ST_EINVAL);
			return;
		}
		plain = malloc(len ? len : 1);
		if (snappy_uncompress((const char *)value.p, value.len, plain, &len) != SNAPPY_OK) {
			free(plain);
			kv_status(f, c, p, ST_EINVAL);
			return;
		}
		value = slice_of(plain, len);
	}
	it = engine_append(f, p->vb, ITEM_MUTATION, cid, key.p, key.len, value,
			   looks_like_json(value) ? 1 : 0, get_be32(p->extras.p),
			   absolute_expiry(get_be32(p->extras.p + 4)));
	free(plain);
	mutation_done(f, c, p, it, quiet);
}

static void delete_(struct fake *f, struct conn *c, const struct packet *p, uint32_t cid,
		    struct slice key, bool quiet)
{
	struct item *it = engine_find(f, p->vb, cid, key.p, key.len);
	if (!is_live(it)) {
		kv_status(f, c, p, ST_ENOENT);
		return;
	}
	if (p->cas && it->cas != p->cas) {
		kv_status(f, c, p, ST_EXISTS);
		return;
	}
	it = engine_append(f, p->vb, ITEM_DELETION, cid, key.p, key.len, SLICE_NONE, 0, 0, 0);
	mutation_done(f, c, p, it, quiet);
}

/* What a document is without its value; tombstones too. The 21 byte form is version 2's. */
static void get_meta(struct fake *f, struct conn *c, const struct packet *p, uint32_t cid,
		     struct slice key)
{
	struct item *it = engine_find(f, p->vb, cid, key.p, key.len);
	if (!it) {
		kv_status(f, c, p, ST_ENOENT);
		return;
	}
	bool v2 = p->extras.len == 1 && p->extras.p[0] == 2;
	uint8_t extras[21];
	put_be32(extras, !is_live(it));
	put_be32(extras + 4, it->flags);
	put_be32(extras + 8, it->expiry);
	put_be64(extras + 12, it->rev);
	extras[20] = it->datatype;
	kv_respond(c, p, ST_OK, slice_of(extras, v2 ? 21 : 20), SLICE_NONE, SLICE_NONE, 0, it->cas);
}

static void touch(struct fake *f, struct conn *c, const struct packet *p, uint32_t cid,
		  struct slice key)
{
	struct item *it = engine_find(f, p->vb, cid, key.p, key.len);
	if (!is_live(it)) {
		kv_status(f, c, p, ST_ENOENT);
		return;
	}
	if (p->extras.len != 4) {
		kv_status(f, c, p, ST_EINVAL);
		return;
	}
	char *value = malloc(it->value_len ? it->value_len : 1);
	memcpy(value, it->value, it->value_len);
	struct slice v = slice_of(value, it->value_len);
	it = engine_append(f, p->vb, ITEM_MUTATION, cid, key.p, key.len, v, it->datatype, it->flags,
			   absolute_expiry(get_be32(p->extras.p)));
	free(value);
	mutation_done(f, c, p, it, false);
}

static void document_command(struct fake *f, struct conn *c, const struct packet *p)
{
	uint32_t cid;
	struct slice key;
	if (!vb_ready(f, c, p))
		return;
	if (!decode_key(c, p->key, &cid, &key) || key.len == 0 || key.len > 250) {
		kv_status(f, c, p, ST_EINVAL);
		return;
	}
	if (!topology_collection(f, cid)) {
		kv_status(f, c, p, ST_UNKNOWN_COLLECTION);
		return;
	}
	switch (p->opcode) {
	case 0x00: get(f, c, p, cid, key, false); break;
	case 0x09: get(f, c, p, cid, key, true); break;
	case 0x01:
	case 0x02:
	case 0x03: store(f, c, p, cid, key, p->opcode, false); break;
	case 0x11:
	case 0x12:
	case 0x13: store(f, c, p, cid, key, (uint8_t)(p->opcode - 0x10), true); break;
	case 0x04: delete_(f, c, p, cid, key, false); break;
	case 0x14: delete_(f, c, p, cid, key, true); break;
	case 0x1c: touch(f, c, p, cid, key); break;
	case 0xa0: get_meta(f, c, p, cid, key); break;
	default: subdoc_request(f, c, p, cid, key); break;
	}
}

/* ---- questions ---- */

static void all_seqnos(struct fake *f, struct conn *c, const struct packet *p)
{
	uint32_t state = p->extras.len >= 4 ? get_be32(p->extras.p) : 1;
	bool by_collection = p->extras.len == 8;
	uint32_t cid = by_collection ? get_be32(p->extras.p + 4) : 0;
	if (by_collection && !topology_collection(f, cid)) {
		kv_status(f, c, p, ST_UNKNOWN_COLLECTION);
		return;
	}
	struct buf out = BUF_INIT;
	for (unsigned v = 0; v < f->o.vbuckets; v++) {
		struct vb *vb = &f->vb[v];
		bool active = vb->copy[0].node == c->node->index, here = active;
		for (unsigned k = 1; k <= f->o.replicas && state != 1; k++)
			here |= vb->copy[k].node == c->node->index;
		if (!here || (state == 2 && active))
			continue;
		uint64_t seqno = 0;
		for (unsigned k = 0; k <= f->o.replicas; k++)
			if (vb->copy[k].node == c->node->index)
				seqno = vb->copy[k].have;
		while (by_collection && seqno && vb->item[seqno - 1].cid != cid)
			seqno--;
		uint8_t row[10];
		put_be16(row, (uint16_t)v);
		put_be64(row + 2, seqno);
		buf_add(&out, row, sizeof(row));
	}
	kv_respond(c, p, ST_OK, SLICE_NONE, SLICE_NONE, buf_slice(&out), 0, 0);
	buf_done(&out);
}

static void observe_seqno(struct fake *f, struct conn *c, const struct packet *p)
{
	f->stats.observes++;
	if (p->value.len != 8) {
		kv_status(f, c, p, ST_EINVAL);
		return;
	}
	struct copy *copy = NULL;
	for (unsigned k = 0; p->vb < f->o.vbuckets && k <= f->o.replicas; k++)
		if (f->vb[p->vb].copy[k].node == c->node->index)
			copy = &f->vb[p->vb].copy[k];
	if (!copy) {
		kv_not_my_vbucket(f, c, p);
		return;
	}
	struct vb *vb = &f->vb[p->vb];
	uint64_t uuid = get_be64(p->value.p);
	unsigned i = 0;
	while (i < vb->n_log && vb->log[i].uuid != uuid)
		i++;
	if (i == vb->n_log) {
		kv_status(f, c, p, ST_ENOENT);
		return;
	}
	uint8_t out[43] = { i > 0 };
	put_be16(out + 1, p->vb);
	put_be64(out + 3, vb->log[0].uuid);
	put_be64(out + 11, copy->persisted);
	put_be64(out + 19, copy->have);
	if (i > 0) {
		put_be64(out + 27, uuid);
		put_be64(out + 35, vb->log[i - 1].seqno);
	}
	kv_respond(c, p, ST_OK, SLICE_NONE, SLICE_NONE, slice_of(out, i > 0 ? 43 : 27), 0, 0);
}

static void split_path(struct slice s, char *scope, char *coll, size_t cap)
{
	snprintf(scope, cap, "%.*s", (int)s.len, (const char *)s.p);
	char *dot = strchr(scope, '.');
	snprintf(coll, cap, "%s", dot ? dot + 1 : "");
	if (dot)
		*dot = '\0';
	if (!*scope)
		strcpy(scope, "_default");
	if (!*coll)
		strcpy(coll, "_default");
}

static void collection_id(struct fake *f, struct conn *c, const struct packet *p)
{
	char scope[130], coll[130];
	split_path(p->value.len ? p->value : p->key, scope, coll, sizeof(scope));
	struct scope *s = topology_scope(f, scope);
	struct collection *found = topology_named(f, scope, coll);
	if (p->opcode == 0xbc ? !s : !found) {
		kv_status(f, c, p, s ? ST_UNKNOWN_COLLECTION : ST_UNKNOWN_SCOPE);
		return;
	}
	uint8_t extras[12];
	put_be64(extras, f->manifest_uid);
	put_be32(extras + 8, p->opcode == 0xbc ? s->id : found->id);
	kv_respond(c, p, ST_OK, slice_of(extras, 12), SLICE_NONE, SLICE_NONE, 0, 0);
}

static void manifest(struct fake *f, struct conn *c, const struct packet *p)
{
	struct buf out = BUF_INIT;
	topology_manifest(f, &out);
	kv_respond(c, p, ST_OK, SLICE_NONE, SLICE_NONE, buf_slice(&out), c->json ? 1 : 0, 0);
	buf_done(&out);
}

/* The failover log, for who does not stream. */
static void get_failover_log(struct fake *f, struct conn *c, const struct packet *p)
{
	uint8_t log[16 * FAKE_FAILOVER_MAX];
	if (!vb_ready(f, c, p))
		return;
	size_t len = dcp_failover_log(f, p->vb, log);
	kv_respond(c, p, ST_OK, SLICE_NONE, SLICE_NONE, slice_of(log, len), 0, 0);
}

static void stat_line(struct conn *c, const struct packet *p, const char *key, unsigned vb,
		      uint64_t value)
{
	char name[64], text[32];
	snprintf(name, sizeof(name), "vb_%u:%s", vb, key);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	kv_respond(c, p, ST_OK, SLICE_NONE, slice_str(name), slice_str(text), 0, 0);
}

static void stat_(struct fake *f, struct conn *c, const struct packet *p)
{
	char key[64];
	snprintf(key, sizeof(key), "%.*s", (int)p->key.len, (const char *)p->key.p);
	unsigned vb;
	if (p->key.len == 0)
		kv_respond(c, p, ST_OK, SLICE_NONE, SLICE_LIT("ep_bucket_type"),
			   slice_str(f->o.ephemeral ? "ephemeral" : "persistent"), 0, 0);
	if (sscanf(key, "vbucket-details %u", &vb) == 1 && vb < f->o.vbuckets) {
		stat_line(c, p, "high_seqno", vb, f->vb[vb].n);
		stat_line(c, p, "purge_seqno", vb, f->vb[vb].purge_seqno);
		stat_line(c, p, "uuid", vb, f->vb[vb].log[0].uuid);
		stat_line(c, p, "max_deleted_revid", vb, f->vb[vb].max_deleted_rev);
	}
	kv_respond(c, p, ST_OK, SLICE_NONE, SLICE_NONE, SLICE_NONE, 0, 0);
}

/* ---- dispatch ---- */

static bool needs_bucket(uint8_t opcode)
{
	return opcode != 0xb5 && opcode != 0x0a;
}

static void request(struct fake *f, struct conn *c, const struct packet *p)
{
	if (kv_fault_status(f, c, p))
		return;
	switch (p->opcode) {
	case 0x1f: hello(f, c, p); return;
	case 0xfe: error_map(c, p); return;
	case 0x20:
	case 0x21:
	case 0x22: sasl_request(f, c, p); return;
	case 0x0a: kv_status(f, c, p, ST_OK); return;
	}
	if (c->auth != 2 || (needs_bucket(p->opcode) && p->opcode != 0x89 && !c->has_bucket)) {
		kv_status(f, c, p, c->auth != 2 ? ST_EACCESS : ST_NO_BUCKET);
		return;
	}
	if (dcp_request(f, c, p))
		return;
	switch (p->opcode) {
	case 0x89: select_bucket(f, c, p); return;
	case 0xb5: cluster_config(f, c, p); return;
	case 0x48: all_seqnos(f, c, p); return;
	case 0x91: observe_seqno(f, c, p); return;
	case 0x96: get_failover_log(f, c, p); return;
	case 0xba: manifest(f, c, p); return;
	case 0xbb:
	case 0xbc: collection_id(f, c, p); return;
	case 0x10: stat_(f, c, p); return;
	case 0x00:
	case 0x01:
	case 0x02:
	case 0x03:
	case 0x04:
	case 0x09:
	case 0x11:
	case 0x12:
	case 0x13:
	case 0x14:
	case 0x1c:
	case 0xa0:
	case 0xc5:
	case 0xd0:
	case 0xd1: document_command(f, c, p); return;
	}
	kv_status(f, c, p, ST_UNKNOWN_COMMAND);
}

/* Cuts one packet off the input. 1, 0 not whole yet, -1 not the protocol. */
static int cut(struct slice in, struct packet *p, size_t *used)
{
	if (in.len < HEADER)
		return 0;
	const uint8_t *h = in.p;
	bool alt = h[0] == 0x08 || h[0] == 0x18;
	if (!alt && h[0] != 0x80 && h[0] != 0x81 && h[0] != 0x83)
		return -1;
	uint32_t body = get_be32(h + 8);
	size_t framing = alt ? h[2] : 0, key = alt ? h[3] : get_be16(h + 2), extras = h[4];
	if (body > BODY_MAX || framing + key + extras > body)
		return -1;
	if (in.len < HEADER + (size_t)body)
		return 0;
	const uint8_t *b = h + HEADER;
	*p = (struct packet){ .magic = h[0],
			      .opcode = h[1],
			      .datatype = h[5],
			      .vb = get_be16(h + 6),
			      .opaque = get_be32(h + 12),
			      .cas = get_be64(h + 16) };
	p->framing = slice_of(b, framing);
	p->extras = slice_of(b + framing, extras);
	p->key = slice_of(b + framing + extras, key);
	p->value = slice_of(b + framing + extras + key, body - framing - extras - key);
	*used = HEADER + (size_t)body;
	return 1;
}

bool kv_on_bytes(struct fake *f, struct conn *c)
{
	size_t at = 0, used;
	struct packet p;
	int rc;
	while ((rc = cut(slice_of(c->in.p + at, c->in.len - at), &p, &used)) == 1) {
		if (p.magic == 0x80 || p.magic == 0x08)
			request(f, c, &p);
		else if (p.magic == 0x81 && p.opcode == 0x5c) {
			c->noop_sent = 0;
			f->stats.noops_answered++;
		}
		at += used;
	}
	memmove(c->in.p, c->in.p + at, c->in.len - at);
	c->in.len -= at;
	return rc >= 0;
}
