/* wire.c: packets, and what comes in them. What a client asks: wire_requests.c. */
#include "dcp/wire.h"

#include "dcp/wire_parse.h"

#include <snappy-c.h>

const char *status_name(uint16_t status)
{
	switch (status) {
	case 0x00: return "success";
	case 0x01: return "key_enoent";
	case 0x02: return "key_eexists";
	case 0x03: return "e2big";
	case 0x04: return "einval";
	case 0x05: return "not_stored";
	case 0x07: return "not_my_vbucket";
	case 0x08: return "no_bucket";
	case 0x09: return "locked";
	case 0x0a: return "dcp_stream_not_found";
	case 0x0b: return "opaque_no_match";
	case 0x0c: return "would_throttle";
	case 0x0d: return "config_only";
	case 0x0f: return "cas_value_invalid";
	case 0x1f: return "auth_stale";
	case 0x20: return "auth_error";
	case 0x21: return "auth_continue";
	case 0x22: return "erange";
	case 0x23: return "rollback";
	case 0x24: return "eaccess";
	case 0x25: return "not_initialized";
	case 0x30: return "rate_limited_network_ingress";
	case 0x31: return "rate_limited_network_egress";
	case 0x32: return "rate_limited_max_connections";
	case 0x33: return "rate_limited_max_commands";
	case 0x50: return "bucket_paused";
	case 0x80: return "unknown_frame_info";
	case 0x81: return "unknown_command";
	case 0x82: return "enomem";
	case 0x83: return "not_supported";
	case 0x84: return "einternal";
	case 0x85: return "ebusy";
	case 0x86: return "etmpfail";
	case 0x87: return "xattr_einval";
	case 0x88: return "unknown_collection";
	case 0x8a: return "cannot_apply_collections_manifest";
	case 0x8c: return "unknown_scope";
	case 0x8d: return "dcp_streamid_invalid";
	case 0xc0: return "subdoc_path_enoent";
	case 0xcc: return "subdoc_multi_path_failure";
	}
	return NULL;
}

const char *stream_end_name(uint32_t reason)
{
	static const char *const names[] = {
		"end reached",     "closed",   "state changed", "disconnected",    "too slow",
		"backfill failed", "rollback", "filter empty",  "lost privileges",
	};
	return reason < ARRAY_LEN(names) ? names[reason] : "unknown reason";
}

/* ---- packets ---- */

static bool known_magic(uint8_t m)
{
	return (m >= 0x80 && m <= 0x83) || m == MAGIC_ALT_REQUEST || m == MAGIC_ALT_RESPONSE;
}

int packet_begun(struct slice bytes, struct err *e)
{
	if (bytes.len && !known_magic(bytes.p[0]))
		return err_set(e, ERR_PROTOCOL, "a packet begins with the unknown magic 0x%02x",
			       bytes.p[0]);
	return 0;
}

int packet_refuse(const uint8_t *h, size_t parts, size_t body, size_t body_max, struct err *e)
{
	if (!known_magic(h[0]))
		return err_set(e, ERR_PROTOCOL, "a packet begins with the unknown magic 0x%02x",
			       h[0]);
	if (body > body_max)
		return err_set(e, ERR_LIMIT, "packet 0x%02x: a body of %zu bytes, the limit is %zu",
			       h[1], body, body_max);
	return err_set(e, ERR_PROTOCOL,
		       "packet 0x%02x: its parts (%zu bytes) exceed its body (%zu bytes)", h[1],
		       parts, body);
}

int packet_parse(struct slice bytes, size_t body_max, struct packet *out, size_t *need,
		 struct err *e)
{
	int rc = packet_view(bytes, body_max, out, need, e);
	if (rc > 0 && need)
		*need = out->len;
	return rc;
}

void packet_encode(struct buf *out, const struct packet *p)
{
	bool alt = p->framing.len > 0;
	ASSERT(p->extras.len <= UINT8_MAX);
	ASSERT(p->key.len <= (alt ? UINT8_MAX : UINT16_MAX));
	ASSERT(p->framing.len <= UINT8_MAX);
	size_t body = p->framing.len + p->extras.len + p->key.len + p->value.len;
	ASSERT(body <= UINT32_MAX);
	uint8_t h[PACKET_HEADER] = { p->magic, p->opcode };
	if (alt) {
		h[0] = packet_is_response(p) ? MAGIC_ALT_RESPONSE : MAGIC_ALT_REQUEST;
		h[2] = (uint8_t)p->framing.len;
		h[3] = (uint8_t)p->key.len;
	} else {
		put_be16(h + 2, (uint16_t)p->key.len);
	}
	h[4] = (uint8_t)p->extras.len;
	h[5] = p->datatype;
	put_be16(h + 6, p->vb_status);
	put_be32(h + 8, (uint32_t)body);
	put_be32(h + 12, p->opaque);
	put_be64(h + 16, p->cas);
	buf_add(out, h, sizeof(h));
	buf_add_slice(out, p->framing);
	buf_add_slice(out, p->extras);
	buf_add_slice(out, p->key);
	buf_add_slice(out, p->value);
}

static int framing_byte(struct slice *s, uint8_t *b)
{
	if (s->len == 0)
		return 0;
	*b = s->p[0];
	s->p++;
	s->len--;
	return 1;
}

int framing_next(struct slice *rest, uint32_t *id, struct slice *data, struct err *e)
{
	uint8_t head, more;
	if (!framing_byte(rest, &head))
		return 0;
	*id = head >> 4;
	size_t len = head & 15;
	if (*id == 15) {
		if (!framing_byte(rest, &more))
			return err_set(e, ERR_PROTOCOL, "framing extras end within an id");
		*id += more;
	}
	if (len == 15) {
		if (!framing_byte(rest, &more))
			return err_set(e, ERR_PROTOCOL, "framing extras end within a length");
		len += more;
	}
	if (len > rest->len)
		return err_set(e, ERR_PROTOCOL, "framing extra %u has %zu of %zu bytes", *id,
			       rest->len, len);
	*data = slice_of(rest->p, len);
	rest->p += len;
	rest->len -= len;
	return 1;
}

void framing_put(struct buf *out, uint32_t id, struct slice data)
{
	ASSERT(id < 15 + 256);
	ASSERT(data.len < 15 + 256);
	uint8_t head = (uint8_t)((id < 15 ? id : 15) << 4 | (data.len < 15 ? data.len : 15));
	buf_add_byte(out, head);
	if (id >= 15)
		buf_add_byte(out, (uint8_t)(id - 15));
	if (data.len >= 15)
		buf_add_byte(out, (uint8_t)(data.len - 15));
	buf_add_slice(out, data);
}

int framing_stream_id(struct slice framing, uint16_t *sid, struct err *e)
{
	uint32_t id;
	struct slice data;
	int rc;
	*sid = 0;
	while ((rc = framing_next(&framing, &id, &data, e)) > 0) {
		if (id != FRAMING_STREAM_ID)
			continue;
		if (data.len != 2)
			return err_set(e, ERR_PROTOCOL, "a stream id of %zu bytes", data.len);
		*sid = get_be16(data.p);
	}
	return rc;
}

/* ---- LEB128 ---- */

size_t leb128_put(uint32_t v, uint8_t out[5])
{
	size_t n = 0;
	while (v >= 0x80) {
		out[n++] = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	out[n++] = (uint8_t)v;
	return n;
}

size_t leb128_get(struct slice s, uint32_t *v)
{
	uint64_t acc = 0;
	for (size_t i = 0; i < s.len && i < 5; i++) {
		acc |= (uint64_t)(s.p[i] & 0x7f) << (7 * i);
		if (s.p[i] & 0x80)
			continue;
		if (acc > UINT32_MAX || (i > 0 && s.p[i] == 0))
			return 0; /* too big, or longer than it need be */
		*v = (uint32_t)acc;
		return i + 1;
	}
	return 0;
}

/* ---- stream messages ---- */

static int bad_extras(const struct packet *p, const char *what, struct err *e)
{
	return err_set(e, ERR_PROTOCOL, "%s: extras of %zu bytes", what, p->extras.len);
}

int wire_doc_refuse(const struct packet *p, size_t nmeta, size_t collection_bytes, struct err *e)
{
	size_t n = p->extras.len;
	if (p->opcode == OP_DCP_MUTATION && n < 31)
		return bad_extras(p, "mutation", e);
	if (p->opcode == OP_DCP_DELETION && n != 18 && n < 21)
		return bad_extras(p, "deletion", e);
	if (p->opcode == OP_DCP_EXPIRATION && n < 20)
		return bad_extras(p, "expiration", e);
	if (nmeta > p->value.len)
		return err_set(e, ERR_PROTOCOL, "%zu bytes of metadata in a value of %zu", nmeta,
			       p->value.len);
	if (collection_bytes == 0)
		return err_set(e, ERR_PROTOCOL, "a key without a collection id");
	return err_set(e, ERR_PROTOCOL, "unknown datatype bits 0x%02x", p->datatype);
}

int wire_doc_parse(const struct packet *p, bool collections, struct wire_doc *out, struct err *e)
{
	struct wire_doc d;
	int rc = wire_doc_view(p, collections, &d, e);
	if (rc == 0)
		*out = d;
	return rc;
}

enum { MARKER_V20_LEN = 36, MARKER_V22_LEN = 52 };

int wire_marker_parse(const struct packet *p, struct wire_marker *out, struct err *e)
{
	struct wire_marker m = { 0 };
	const uint8_t *x = p->extras.p;
	if (p->extras.len == 1) {
		uint8_t version = x[0];
		size_t want = version == 0 ? MARKER_V20_LEN : MARKER_V22_LEN;
		if (version != 0 && version != 2)
			return err_set(e, ERR_PROTOCOL, "snapshot marker of version 2.%u", version);
		if (p->value.len < want)
			return err_set(e, ERR_PROTOCOL,
				       "snapshot marker 2.%u: a value of %zu bytes, not %zu",
				       version, p->value.len, want);
		x = p->value.p;
		m.max_visible = get_be64(x + 20);
		m.high_completed = get_be64(x + 28);
		if (version == 2) {
			m.purge_seqno = get_be64(x + 36);
			m.high_prepared = get_be64(x + 44);
			m.has_purge = true;
		}
	} else if (p->extras.len != 20) {
		return bad_extras(p, "snapshot marker", e);
	}
	m.start = get_be64(x);
	m.end = get_be64(x + 8);
	m.flags = get_be32(x + 16);
	if (m.start > m.end)
		return err_set(e, ERR_PROTOCOL, "a snapshot from %llu to %llu",
			       (unsigned long long)m.start, (unsigned long long)m.end);
	*out = m;
	return 0;
}

int wire_seqno_advanced_parse(const struct packet *p, uint64_t *seqno, struct err *e)
{
	if (p->extras.len != 8)
		return bad_extras(p, "seqno advanced", e);
	*seqno = get_be64(p->extras.p);
	return 0;
}

int wire_oso_parse(const struct packet *p, bool *start, struct err *e)
{
	if (p->extras.len != 4)
		return bad_extras(p, "out-of-order snapshot", e);
	uint32_t flag = get_be32(p->extras.p);
	if (flag != 1 && flag != 2)
		return err_set(e, ERR_PROTOCOL, "out-of-order snapshot: flag %u", flag);
	*start = flag == 1;
	return 0;
}

int wire_stream_end_parse(const struct packet *p, uint32_t *reason, struct err *e)
{
	if (p->extras.len != 4)
		return bad_extras(p, "stream end", e);
	*reason = get_be32(p->extras.p);
	return 0;
}

int wire_rollback_parse(const struct packet *p, uint64_t *seqno, struct err *e)
{
	if (p->value.len != 8)
		return err_set(e, ERR_PROTOCOL, "rollback: a value of %zu bytes", p->value.len);
	*seqno = get_be64(p->value.p);
	return 0;
}

int wire_seqnos_count(const struct packet *p, size_t *n, struct err *e)
{
	if (p->value.len % 10)
		return err_set(e, ERR_PROTOCOL, "sequence numbers: %zu bytes, no multiple of 10",
			       p->value.len);
	*n = p->value.len / 10;
	return 0;
}

void wire_seqnos_at(const struct packet *p, size_t i, uint16_t *vb, uint64_t *seqno)
{
	ASSERT((i + 1) * 10 <= p->value.len);
	*vb = get_be16(p->value.p + i * 10);
	*seqno = get_be64(p->value.p + i * 10 + 2);
}

/* ---- values ---- */

int wire_inflated_size(struct slice packed, size_t limit, size_t *size, struct err *e)
{
	if (snappy_uncompressed_length((const char *)packed.p, packed.len, size) != SNAPPY_OK)
		return err_set(e, ERR_FORMAT, "a compressed value without a length");
	if (*size > limit)
		return err_set(e, ERR_LIMIT,
			       "a compressed value claims %zu bytes, the limit is %zu", *size,
			       limit);
	return 0;
}

int wire_inflate_into(struct slice packed, uint8_t *out, size_t size, struct err *e)
{
	size_t got = size;
	if (snappy_uncompress((const char *)packed.p, packed.len, (char *)out, &got) != SNAPPY_OK ||
	    got != size)
		return err_set(e, ERR_FORMAT, "a compressed value is damaged");
	return 0;
}

int wire_inflate(struct slice packed, size_t limit, struct buf *out, struct err *e)
{
	size_t size;
	int rc = wire_inflated_size(packed, limit, &size, e);
	if (rc < 0)
		return rc;
	if (!buf_reserve(out, size + 1))
		return err_nomem(e);
	rc = wire_inflate_into(packed, out->p + out->len, size, e);
	if (rc == 0)
		out->len += size;
	return rc;
}

int wire_split_xattrs(struct slice value, struct slice *xattrs, struct slice *body, struct err *e)
{
	if (value.len < 4 || get_be32(value.p) > value.len - 4)
		return err_set(e, ERR_FORMAT,
			       "the extended attributes are longer than their value (%zu bytes)",
			       value.len);
	size_t total = get_be32(value.p);
	*xattrs = slice_of(value.p + 4, total);
	*body = slice_of(value.p + 4 + total, value.len - 4 - total);
	return 0;
}

int wire_xattr_next(struct slice *rest, struct slice *name, struct slice *value, struct err *e)
{
	if (rest->len == 0)
		return 0;
	if (rest->len < 4 || get_be32(rest->p) > rest->len - 4)
		return err_set(e, ERR_FORMAT, "an extended attribute is cut off");
	struct slice pair = { rest->p + 4, get_be32(rest->p) };
	const uint8_t *nul = pair.len ? memchr(pair.p, 0, pair.len) : NULL;
	if (!nul || pair.p[pair.len - 1] != 0 || nul == pair.p + pair.len - 1)
		return err_set(e, ERR_FORMAT, "an extended attribute lacks its terminators");
	*name = slice_of(pair.p, (size_t)(nul - pair.p));
	*value = slice_of(nul + 1, (size_t)(pair.p + pair.len - 1 - (nul + 1)));
	rest->p += 4 + pair.len;
	rest->len -= 4 + pair.len;
	return 1;
}

static uint32_t crc32_ieee(struct slice s)
{
	uint32_t crc = 0xffffffffu;
	for (size_t i = 0; i < s.len; i++) {
		crc ^= s.p[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (0xedb88320u & (0u - (crc & 1)));
	}
	return ~crc;
}

uint16_t wire_vbucket_of(struct slice key, uint32_t n_vbuckets)
{
	ASSERT(n_vbuckets > 0);
	return (uint16_t)((crc32_ieee(key) >> 16 & 0x7fff) % n_vbuckets);
}

int wire_xattr_get_parse(const struct packet *p, struct slice *json, struct err *e)
{
	if (p->vb_status == STATUS_KEY_ENOENT)
		return 0;
	if (p->vb_status != STATUS_OK && p->vb_status != STATUS_SUBDOC_MULTI_FAILURE)
		return err_set(e, ERR_NET, "reading an attribute: status 0x%02x", p->vb_status);
	if (p->value.len < 6)
		return err_set(e, ERR_PROTOCOL, "an attribute's reply has %zu bytes", p->value.len);
	uint16_t status = get_be16(p->value.p);
	size_t len = get_be32(p->value.p + 2);
	if (status == STATUS_SUBDOC_PATH_ENOENT)
		return 0;
	if (status != STATUS_OK)
		return err_set(e, ERR_NET, "reading an attribute: status 0x%02x", status);
	if (len != p->value.len - 6)
		return err_set(e, ERR_PROTOCOL, "an attribute of %zu bytes in %zu", len,
			       p->value.len - 6);
	*json = slice_of(p->value.p + 6, len);
	return 1;
}
