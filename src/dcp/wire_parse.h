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

/* As wire_doc_parse; *out is undefined when it fails. */
static inline int wire_doc_view(const struct packet *p, bool collections, struct wire_doc *out,
				struct err *e)
{
	const uint8_t *x = p->extras.p;
	size_t n = p->extras.len, nmeta = 0, prefix = 0;
	bool mutation = p->opcode == OP_DCP_MUTATION, deletion = p->opcode == OP_DCP_DELETION;
	bool v1 = deletion && n == 18; /* has no time of deletion */
	if (unlikely(n < (mutation ? 31u : v1 ? 18u : deletion ? 21u : 20u)))
		return wire_doc_refuse(p, 0, 1, e);
	if (mutation)
		nmeta = get_be16(x + 28);
	else if (v1)
		nmeta = get_be16(x + 16);
	out->collection = 0;
	if (collections) {
		prefix =
			p->key.len && p->key.p[0] < 0x80 ? 1 : leb128_get(p->key, &out->collection);
		if (prefix == 1)
			out->collection = p->key.p[0];
	}
	if (unlikely(nmeta > p->value.len || collections > prefix ||
		     (p->datatype & ~(DATATYPE_JSON | DATATYPE_SNAPPY | DATATYPE_XATTR))))
		return wire_doc_refuse(p, nmeta, collections ? prefix : 1, e);
	out->cas = p->cas;
	out->datatype = p->datatype;
	out->seqno = get_be64(x);
	out->rev = get_be64(x + 8);
	out->flags = mutation ? get_be32(x + 16) : 0;
	out->expiry = mutation ? get_be32(x + 20) : 0;
	out->lock_time = mutation ? get_be32(x + 24) : 0;
	out->delete_time = mutation || v1 ? 0 : get_be32(x + 16);
	out->key = slice_of(p->key.p + prefix, p->key.len - prefix);
	out->value = slice_of(p->value.p, p->value.len - nmeta);
	return 0;
}

#endif
