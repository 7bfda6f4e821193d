/* kv_hello.c: the session: features, the error map, the bucket, its map. */
#include "tests/fake/couchbase/internal.h"

#include <stdio.h>
#include <string.h>

/* A server of the given version knows the feature. 0: one that knows all. */
static bool knows(const struct fake *f, uint16_t code)
{
	unsigned version = f->o.version ? f->o.version : 80;
	switch (code) {
	case 0x13:
	case 0x1d:
	case 0x1e:
	case 0x1f: return version >= 76;
	case 0x26: return version >= 80;
	default: return true;
	}
}

static bool *feature(struct conn *c, uint16_t code, bool *plain)
{
	switch (code) {
	case 0x03:
	case 0x08:
	case 0x13:
	case 0x14:
	case 0x17: return plain;
	case 0x04: return &c->mutation_seqno;
	case 0x06: return &c->xattr;
	case 0x07: return &c->xerror;
	case 0x0a: return &c->snappy;
	case 0x0b: return &c->json;
	case 0x0c: return &c->duplex;
	case 0x0d: return &c->map_push;
	case 0x0f: return &c->tracing;
	case 0x10: return &c->alt;
	case 0x11: return &c->sync_writes;
	case 0x12: return &c->collections;
	case 0x1d: return &c->known_version;
	case 0x1e: return &c->dedupe_maps;
	case 0x1f: return &c->map_brief;
	case 0x26: return &c->skip_deletes;
	default: return NULL;
	}
}

static bool offers(const struct packet *p, uint16_t code)
{
	for (size_t i = 0; i + 1 < p->value.len; i += 2)
		if (get_be16(p->value.p + i) == code)
			return true;
	return false;
}

/* Each HELLO says all: what the one before had and this one has not is off again. */
void session_hello(struct fake *f, struct conn *c, const struct packet *p)
{
	uint8_t accepted[128];
	size_t n = 0;
	bool plain, duplex = offers(p, 0x0c), tracing = false;
	if (p->value.len % 2) {
		kv_status(f, c, p, ST_EINVAL);
		return;
	}
	for (uint16_t code = 1; code < 0x30; code++) {
		bool *flag = feature(c, code, &plain);
		if (flag)
			*flag = false;
	}
	for (size_t i = 0; i + 1 < p->value.len && n + 2 <= sizeof(accepted); i += 2) {
		uint16_t code = get_be16(p->value.p + i);
		bool *flag = feature(c, code, &plain), push = code == 0x0d || code == 0x1f;
		if (!flag || !knows(f, code) || (push && !duplex))
			continue;
		*flag = true;
		put_be16(accepted + n, code);
		n += 2;
	}
	if (c->map_brief)
		c->map_push = false;
	tracing = c->tracing;
	c->tracing = false; /* from the next answer on */
	kv_respond(c, p, ST_OK, SLICE_NONE, SLICE_NONE, slice_of(accepted, n), 0, 0);
	c->tracing = tracing;
}

/* ---- the error map ---- */

static const struct {
	uint16_t status;
	const char *name, *desc, *attrs;
	bool v2; /* only in version 2 */
} errors[] = {
	{ 0x00, "SUCCESS", "it was done", "success", false },
	{ 0x01, "KEY_ENOENT", "no such key", "item-only", false },
	{ 0x02, "KEY_EEXISTS", "the key exists, or has another CAS", "item-only", false },
	{ 0x03, "E2BIG", "the value is too large", "item-only,invalid-input", false },
	{ 0x04, "EINVAL", "the request is malformed", "internal,invalid-input", false },
	{ 0x05, "NOT_STORED", "there is nothing to append to", "item-only", false },
	{ 0x06, "DELTA_BADVAL", "the value is not a number", "item-only,invalid-input", false },
	{ 0x07, "NOT_MY_VBUCKET", "the vBucket is on another node", "fetch-config,invalid-input",
	  false },
	{ 0x08, "NO_BUCKET", "no bucket is selected", "conn-state-invalidated", false },
	{ 0x09, "LOCKED", "the document is locked", "item-locked,item-only,retry-now", false },
	{ 0x0a, "DCP_STREAM_NOT_FOUND", "no stream with this opaque", "dcp,internal", true },
	{ 0x0b, "OPAQUE_NO_MATCH", "the opaque is not the stream's", "dcp,internal", true },
	{ 0x0d, "CONFIG_ONLY", "the node has the bucket's map only", "fetch-config", true },
	{ 0x1f, "AUTH_STALE", "log in again", "auth,conn-state-invalidated", false },
	{ 0x20, "AUTH_ERROR", "the login failed", "auth,conn-state-invalidated", false },
	{ 0x21, "AUTH_CONTINUE", "the login goes on", "special-handling", false },
	{ 0x22, "ERANGE", "a number is out of range", "invalid-input", false },
	{ 0x23, "ROLLBACK", "the history was rolled back", "dcp,special-handling", false },
	{ 0x24, "EACCESS", "not allowed", "support", false },
	{ 0x25, "NOT_INITIALIZED", "the node is starting", "conn-state-invalidated", false },
	{ 0x30, "RATE_LIMITED_NETWORK_INGRESS", "too many bytes sent", "rate-limit,retry-later",
	  true },
	{ 0x31, "RATE_LIMITED_NETWORK_EGRESS", "too many bytes received", "rate-limit,retry-later",
	  true },
	{ 0x32, "RATE_LIMITED_MAX_CONNECTIONS", "too many connections", "rate-limit", true },
	{ 0x33, "RATE_LIMITED_MAX_COMMANDS", "too many requests", "rate-limit,retry-later", true },
	{ 0x80, "UNKNOWN_FRAME_INFO", "framing extras that the server does not know", "support",
	  true },
	{ 0x81, "UNKNOWN_COMMAND", "no such command", "support", false },
	{ 0x82, "ENOMEM", "out of memory", "temp,retry-later", false },
	{ 0x83, "NOT_SUPPORTED", "not here", "support", false },
	{ 0x84, "EINTERNAL", "an error of the server's own", "internal,conn-state-invalidated",
	  false },
	{ 0x85, "EBUSY", "busy", "temp,retry-later", false },
	{ 0x86, "ETMPFAIL", "not now", "temp,retry-later", false },
	{ 0x87, "XATTR_EINVAL", "malformed extended attributes", "item-only,invalid-input", false },
	{ 0x88, "UNKNOWN_COLLECTION", "no such collection", "item-only", true },
	{ 0x8a, "CANNOT_APPLY_MANIFEST", "the manifest does not follow", "internal", true },
	{ 0x8c, "UNKNOWN_SCOPE", "no such scope", "item-only", true },
	{ 0x8d, "DCP_STREAM_ID_INVALID", "the stream id is wrong or missing", "dcp,internal",
	  true },
	{ 0xa0, "DURABILITY_INVALID_LEVEL", "no such level", "invalid-input", true },
	{ 0xa1, "DURABILITY_IMPOSSIBLE", "not enough copies", "retry-later", true },
	{ 0xa2, "SYNC_WRITE_IN_PROGRESS", "another durable write of the key",
	  "item-only,retry-later", true },
	{ 0xa3, "SYNC_WRITE_AMBIGUOUS", "nobody knows whether it was done", "", true },
	{ 0xc0, "SUBDOC_PATH_ENOENT", "no such path", "item-only,subdoc", false },
	{ 0xc1, "SUBDOC_PATH_MISMATCH", "something else is at the path", "item-only,subdoc",
	  false },
	{ 0xc2, "SUBDOC_PATH_EINVAL", "not a path", "subdoc,invalid-input", false },
	{ 0xc3, "SUBDOC_PATH_E2BIG", "the path is too long", "subdoc,invalid-input", false },
	{ 0xc5, "SUBDOC_VALUE_CANTINSERT", "the value does not fit there", "subdoc,invalid-input",
	  false },
	{ 0xc6, "SUBDOC_DOC_NOTJSON", "the document is not JSON", "item-only,subdoc", false },
	{ 0xc7, "SUBDOC_NUM_ERANGE", "the number is too large", "item-only,subdoc", false },
	{ 0xc8, "SUBDOC_DELTA_EINVAL", "the delta is not a number", "subdoc,invalid-input", false },
	{ 0xc9, "SUBDOC_PATH_EEXISTS", "the path exists", "item-only,subdoc", false },
	{ 0xcb, "SUBDOC_INVALID_COMBO", "these do not go together", "subdoc,invalid-input", false },
	{ 0xcc, "SUBDOC_MULTI_PATH_FAILURE", "look at the single results",
	  "subdoc,special-handling", false },
	{ 0xcd, "SUBDOC_SUCCESS_DELETED", "done, on a deleted document",
	  "item-deleted,subdoc,success", false },
	{ 0xd3, "SUBDOC_MULTI_PATH_FAILURE_DELETED",
	  "look at the single results of a deleted document",
	  "item-deleted,subdoc,special-handling", false },
};

static void add_error(struct buf *out, size_t i, bool first)
{
	buf_add_fmt(out, "%s\"%x\":{\"name\":\"%s\",\"desc\":\"%s\",\"attrs\":[", first ? "" : ",",
		    errors[i].status, errors[i].name, errors[i].desc);
	for (const char *p = errors[i].attrs; *p;) {
		size_t n = strcspn(p, ",");
		buf_add_fmt(out, "%s\"%.*s\"", p == errors[i].attrs ? "" : ",", (int)n, p);
		p += n + (p[n] == ',');
	}
	buf_add_str(out, "]}");
}

/* The newest version that is not newer than what was asked for. */
void session_error_map(struct fake *f, struct conn *c, const struct packet *p)
{
	unsigned version = p->value.len == 2 ? get_be16(p->value.p) : 0;
	if (!version || p->extras.len || p->key.len) {
		kv_status(f, c, p, ST_EINVAL);
		return;
	}
	version = version > 2 ? 2 : version;
	struct buf out = BUF_INIT;
	buf_add_fmt(&out, "{\"version\":%u,\"revision\":%u,\"errors\":{", version,
		    version == 1 ? 4 : 3);
	for (size_t i = 0; i < ARRAY_LEN(errors); i++)
		if (version == 2 || !errors[i].v2)
			add_error(&out, i, i == 0);
	buf_add_str(&out, "}}");
	kv_respond(c, p, ST_OK, SLICE_NONE, SLICE_NONE, buf_slice(&out), c->json ? 1 : 0, 0);
	buf_done(&out);
}

/* ---- the bucket ---- */

void session_select(struct fake *f, struct conn *c, const struct packet *p)
{
	struct bucket *b = bucket_named(f, p->key);
	if (c->is_dcp) {
		kv_status(f, c, p, ST_NOT_SUPPORTED);
		return;
	}
	if (!b || !(user_may(c->user, b) & (MAY_DATA | MAY_ADMIN))) {
		kv_error(f, c, p, ST_EACCESS, "No access to the bucket");
		return;
	}
	if (!topology_has(b, c->node->index)) {
		kv_status(f, c, p, f->o.version && f->o.version < 76 ? ST_ENOENT : ST_CONFIG_ONLY);
		return;
	}
	c->b = b;
	c->map_rev = 0;
	kv_status(f, c, p, ST_OK);
}

/* Nothing for who has it already. Without a bucket, the nodes. */
void session_config(struct fake *f, struct conn *c, const struct packet *p)
{
	int64_t rev = c->b ? c->b->rev : f->rev;
	if (p->extras.len != 0 && (p->extras.len != 16 || !c->known_version)) {
		kv_status(f, c, p, ST_EINVAL);
		return;
	}
	bool known = p->extras.len == 16 && get_be64(p->extras.p) == 1 &&
		     (int64_t)get_be64(p->extras.p + 8) >= rev;
	struct buf map = BUF_INIT;
	f->stats.maps_asked++;
	f->stats.maps_sent += !known;
	if (!known && c->b) {
		topology_map(c->b, c->node->index, &map);
		c->map_rev = rev;
	} else if (!known) {
		topology_node_services(f, c->node->index, &map);
	}
	kv_respond(c, p, ST_OK, SLICE_NONE, SLICE_NONE, buf_slice(&map), c->json && map.len ? 1 : 0,
		   0);
	buf_done(&map);
}
