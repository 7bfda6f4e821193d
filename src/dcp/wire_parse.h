/* wire_parse.h: what every document goes through twice (the I/O thread places it, the consumer reads it), inline: each
 * caller pays for the fields that it looks at. wire.h has the same as plain functions.
 */
#ifndef DCP_WIRE_PARSE_H
#define DCP_WIRE_PARSE_H

#include "dcp/wire.h"

/* wire.c: why a packet, or a document, is none. */
int packet_refuse(const uint8_t *h, size_t parts, size_t body, size_t body_max, struct err *e);
int packet_begun(struct slice bytes, struct err *e);
int wire_doc_refuse(const struct packet *p, size_t nmeta, size_t collection_bytes, struct err *e);

static inline bool packet_is_alt(const uint8_t *h)
{
	return h[0] == MAGIC_ALT_REQUEST || h[0] == MAGIC_ALT_RESPONSE;
}

/* As packet_parse; *need is set when more bytes are needed. */
static inline int packet_view(struct slice bytes, size_t body_max, struct packet *out, size_t *need,
			      struct err *e)
{
	const uint8_t *h = bytes.p;
	if (unlikely(bytes.len < PACKET_HEADER)) {
		if (need)
			*need = PACKET_HEADER;
		return packet_begun(bytes, e);
	}
	size_t framing_len = 0, key_len = get_be16(h + 2), extras_len = h[4];
	size_t body = get_be32(h + 8);
	if (unlikely(packet_is_alt(h))) {
		framing_len = h[2];
		key_len = h[3];
	}
	size_t parts = framing_len + extras_len + key_len;
	if (unlikely((h[0] & 0xfc) != 0x80 && !packet_is_alt(h)) ||
	    unlikely(body > body_max || parts > body))
		return packet_refuse(h, parts, body, body_max, e);
	if (bytes.len < PACKET_HEADER + body) {
		if (need)
			*need = PACKET_HEADER + body;
		return 0;
	}
	const uint8_t *p = h + PACKET_HEADER;
	*out = (struct packet){
		.magic = h[0],
		.opcode = h[1],
		.datatype = h[5],
		.vb_status = get_be16(h + 6),
		.opaque = get_be32(h + 12),
		.cas = get_be64(h + 16),
		.framing = { p, framing_len },
		.extras = { p + framing_len, extras_len },
		.key = { p + framing_len + extras_len, key_len },
		.value = { p + parts, body - parts },
		.len = PACKET_HEADER + body,
		.start = h,
	};
	return 1;
}

/* How much of the value of a document is extended metadata, behind its body. x: its n bytes of extras. */
static inline size_t wire_doc_nmeta(uint8_t opcode, const uint8_t *x, size_t n)
{
	if (likely(opcode == OP_DCP_MUTATION))
		return get_be16(x + 28);
	return opcode == OP_DCP_DELETION && n == 18 ? get_be16(x + 16) : 0; /* version 1 */
}

/* The length of the collection's id in front of the key; 0: there is none. */
static inline size_t wire_doc_collection(struct slice key, uint32_t *collection)
{
	*collection = 0;
	if (unlikely(key.len == 0 || key.p[0] >= 0x80))
		return leb128_get(key, collection);
	*collection = key.p[0];
	return 1;
}

/* What stands in the extras. A deletion of version 1 has no time of deletion. */
static inline void wire_doc_extras(uint8_t opcode, const uint8_t *x, size_t n, struct wire_doc *out)
{
	bool mutation = opcode == OP_DCP_MUTATION;
	out->seqno = get_be64(x);
	out->rev = get_be64(x + 8);
	out->flags = mutation ? get_be32(x + 16) : 0;
	out->expiry = mutation ? get_be32(x + 20) : 0;
	out->lock_time = mutation ? get_be32(x + 24) : 0;
	out->delete_time = mutation || n == 18 ? 0 : get_be32(x + 16);
}

/* As wire_doc_parse; *out is undefined when it fails. */
static inline int wire_doc_view(const struct packet *p, bool collections, struct wire_doc *out,
				struct err *e)
{
	const uint8_t *x = p->extras.p;
	size_t n = p->extras.len, prefix = 0;
	bool deletion = p->opcode == OP_DCP_DELETION;
	if (unlikely(n < (p->opcode == OP_DCP_MUTATION ? 31u
			  : !deletion		       ? 20u
			  : n == 18		       ? 18u
						       : 21u)))
		return wire_doc_refuse(p, 0, 1, e);
	size_t nmeta = wire_doc_nmeta(p->opcode, x, n);
	out->collection = 0;
	if (collections)
		prefix = wire_doc_collection(p->key, &out->collection);
	if (unlikely(nmeta > p->value.len || collections > prefix ||
		     (p->datatype & ~(DATATYPE_JSON | DATATYPE_SNAPPY | DATATYPE_XATTR))))
		return wire_doc_refuse(p, nmeta, collections ? prefix : 1, e);
	wire_doc_extras(p->opcode, x, n, out);
	out->cas = p->cas;
	out->datatype = p->datatype;
	out->key = slice_of(p->key.p + prefix, p->key.len - prefix);
	out->value = slice_of(p->value.p, p->value.len - nmeta);
	return 0;
}

/* A packet that wire_doc_view has taken, from its first byte on: nothing is checked again. */
static inline void wire_doc_again(const uint8_t *h, bool collections, struct wire_doc *out)
{
	bool alt = packet_is_alt(h);
	size_t n = h[4], body = get_be32(h + 8);
	const uint8_t *x = h + PACKET_HEADER + (alt ? h[2] : 0);
	struct slice key = { x + n, alt ? h[3] : get_be16(h + 2) };
	const uint8_t *value = key.p + key.len, *end = h + PACKET_HEADER + body;
	size_t prefix = 0;
	out->collection = 0;
	if (collections)
		prefix = wire_doc_collection(key, &out->collection);
	wire_doc_extras(h[1], x, n, out);
	out->cas = get_be64(h + 16);
	out->datatype = h[5];
	out->key = slice_of(key.p + prefix, key.len - prefix);
	out->value = slice_of(value, (size_t)(end - value) - wire_doc_nmeta(h[1], x, n));
}

struct wire_quick {
	uint64_t seqno, cas;
	uint32_t opaque;
	struct slice key; /* without its collection */
};

/* Whether `in` begins with a whole document of the plain form that nearly all have: its length, or 0: look at it again
 * with packet_view and wire_doc_view, which tell what it is. */
static inline size_t wire_doc_quick(struct slice in, bool collections, struct wire_quick *out)
{
	static const uint8_t extras[] = { 31, 21, 20 };
	const uint8_t *h = in.p;
	if (in.len < PACKET_HEADER || h[0] != MAGIC_REQUEST)
		return 0;
	unsigned kind = h[1] - (unsigned)OP_DCP_MUTATION;
	size_t body = get_be32(h + 8), prefix = 0;
	if (kind >= ARRAY_LEN(extras) || h[4] != extras[kind] || body < extras[kind] ||
	    body > PACKET_BODY_MAX || body > in.len - PACKET_HEADER)
		return 0;
	const uint8_t *x = h + PACKET_HEADER;
	struct slice key = { x + extras[kind], get_be16(h + 2) };
	size_t nmeta = kind == 0 ? get_be16(x + 28) : 0;
	uint32_t collection;
	if (extras[kind] + key.len + nmeta > body ||
	    (h[5] & ~(DATATYPE_JSON | DATATYPE_SNAPPY | DATATYPE_XATTR)))
		return 0;
	if (collections && (prefix = wire_doc_collection(key, &collection)) == 0)
		return 0;
	out->seqno = get_be64(x);
	out->cas = get_be64(h + 16);
	out->opaque = get_be32(h + 12);
	out->key = slice_of(key.p + prefix, key.len - prefix);
	return PACKET_HEADER + body;
}

#endif
