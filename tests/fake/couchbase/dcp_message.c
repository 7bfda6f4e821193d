/* dcp_message.c: what a producer sends, byte by byte. Everything counts against the window but noops.
 *
 * Messages are written straight into the connection's output: a header, the frame with the stream id where there is one,
 * extras, key, value.
 */
#include "tests/fake/couchbase/internal.h"

#include <snappy-c.h>
#include <stdlib.h>
#include <string.h>

enum { HEADER = 24, FRAME = 3 };

/* Where a message goes while it is written. */
struct out {
	uint8_t *p;
};

static void put(struct out *o, const void *p, size_t len)
{
	if (len)
		memcpy(o->p, p, len);
	o->p += len;
}

/* Header and frame; the caller puts exactly so many bytes of extras, key and value. */
static struct out begin(struct fake *f, struct conn *c, const struct stream *s, uint8_t opcode,
			size_t extras, size_t key, size_t value, uint8_t datatype, uint64_t cas)
{
	size_t frame = s->has_sid ? FRAME : 0, total = HEADER + frame + extras + key + value;
	if (!buf_reserve(&c->out, total))
		abort();
	uint8_t *h = c->out.p + c->out.len;
	c->out.len += total;
	h[0] = frame ? 0x08 : 0x80;
	h[1] = opcode;
	if (frame) {
		h[2] = FRAME;
		h[3] = (uint8_t)key;
		h[HEADER] = 0x22;
		put_be16(h + HEADER + 1, s->sid);
	} else {
		put_be16(h + 2, (uint16_t)key);
	}
	h[4] = (uint8_t)extras;
	h[5] = datatype;
	put_be16(h + 6, (uint16_t)s->vb);
	put_be32(h + 8, (uint32_t)(total - HEADER));
	put_be32(h + 12, s->opaque);
	put_be64(h + 16, cas);
	if (c->window) {
		c->unacked += total;
		if (c->unacked > f->stats.unacked_max)
			f->stats.unacked_max = c->unacked;
	}
	return (struct out){ h + HEADER + frame };
}

void dcp_message(struct fake *f, struct conn *c, const struct stream *s, uint8_t opcode,
		 struct slice extras, struct slice key, struct slice value)
{
	struct out o = begin(f, c, s, opcode, extras.len, key.len, value.len, 0, 0);
	put(&o, extras.p, extras.len);
	put(&o, key.p, key.len);
	put(&o, value.p, value.len);
}

void dcp_send_u32(struct fake *f, struct conn *c, const struct stream *s, uint8_t opcode,
		  uint32_t v)
{
	uint8_t extras[4];
	put_be32(extras, v);
	dcp_message(f, c, s, opcode, slice_of(extras, 4), SLICE_NONE, SLICE_NONE);
}

void dcp_send_advanced(struct fake *f, struct conn *c, const struct stream *s, uint64_t seqno)
{
	uint8_t extras[8];
	put_be64(extras, seqno);
	dcp_message(f, c, s, 0x64, slice_of(extras, 8), SLICE_NONE, SLICE_NONE);
}

/* Memory snapshots use 2.0, disk snapshots 2.2 where allowed, so that a client meets all three. */
void dcp_send_marker(struct fake *f, struct conn *c, const struct stream *s, uint64_t start,
		     uint64_t end, uint32_t flags)
{
	uint8_t m[52] = { 0 }, version = 0;
	put_be64(m, start);
	put_be64(m + 8, end);
	put_be32(m + 16, flags);
	if (c->marker < 20) {
		dcp_message(f, c, s, 0x56, slice_of(m, 20), SLICE_NONE, SLICE_NONE);
		return;
	}
	put_be64(m + 20, end); /* max visible; nothing is prepared or completed here */
	if (c->marker == 22 && (flags & SNAP_DISK)) {
		version = 2;
		put_be64(m + 36, s->purged);
	}
	dcp_message(f, c, s, 0x56, slice_of(&version, 1), SLICE_NONE,
		    slice_of(m, version ? 52 : 36));
}

static void send_system(struct fake *f, struct conn *c, struct stream *s, const struct item *it)
{
	uint8_t extras[13], value[SYSTEM_EVENT_MAX];
	size_t len;
	put_be64(extras, it->seqno);
	put_be32(extras + 8, it->system_event);
	extras[12] = sysevent_value(it, c->flatbuffers, value, &len);
	bool drop = it->system_event == 1 || it->system_event == 4;
	dcp_message(f, c, s, 0x5f, slice_of(extras, 13),
		    drop ? SLICE_NONE : slice_of(it->key, it->key_len), slice_of(value, len));
}

static size_t put_leb128(uint8_t *out, uint32_t v)
{
	size_t n = 0;
	do {
		out[n] = (uint8_t)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
		v >>= 7;
		n++;
	} while (v);
	return n;
}

/* The value as the connection wants it: without extended attributes, without the body, without what it cannot read. */
static struct slice shown_value(const struct conn *c, const struct item *it, uint8_t *datatype)
{
	struct slice value = slice_of(it->value, it->value_len);
	*datatype = it->datatype;
	if ((*datatype & 4) && !(c->dcp_flags & OPEN_XATTR)) {
		size_t skip = 4 + (size_t)get_be32(value.p);
		value = slice_of(value.p + skip, value.len - skip);
		*datatype &= (uint8_t)~4;
		if (!value.len)
			*datatype = 0;
	}
	if (c->dcp_flags & (OPEN_NO_VALUE | OPEN_NO_VALUE_DATATYPE)) {
		value = *datatype & 4 ? slice_of(value.p, 4 + (size_t)get_be32(value.p))
				      : SLICE_NONE;
		if (c->dcp_flags & OPEN_NO_VALUE)
			*datatype &= 4;
	}
	if (!c->json)
		*datatype &= (uint8_t)~1;
	return value;
}

static char *squeeze(struct slice *value, uint8_t *datatype)
{
	size_t len = snappy_max_compressed_length(value->len);
	char *packed = malloc(len);
	if (snappy_compress((const char *)value->p, value->len, packed, &len) == SNAPPY_OK &&
	    len < value->len) {
		*value = slice_of(packed, len);
		*datatype |= 2;
	}
	return packed;
}

/* Extras of what is gone: 18 bytes, 21 with the time of a deletion, 20 with that of an expiration. */
static uint8_t gone(const struct conn *c, const struct item *it, uint8_t *extras, size_t *len)
{
	if (!(c->dcp_flags & OPEN_DELETE_TIMES)) {
		*len = 18;
		return 0x58;
	}
	put_be32(extras + 16, it->delete_time);
	bool expiration = it->kind == ITEM_EXPIRATION && c->expiry_opcode;
	*len = expiration ? 20 : 21;
	return expiration ? 0x59 : 0x58;
}

void dcp_send_item(struct fake *f, struct conn *c, struct stream *s, const struct item *it)
{
	f->stats.items_sent++;
	s->last_sent = it->seqno;
	if (it->kind == ITEM_SYSTEM) {
		send_system(f, c, s, it);
		return;
	}
	uint8_t prefix[5], extras[31] = { 0 }, datatype, opcode = 0x57;
	size_t extras_len = 31, prefix_len = c->collections ? put_leb128(prefix, it->cid) : 0;
	struct slice value = shown_value(c, it, &datatype);
	char *packed = NULL;
	put_be64(extras, it->seqno);
	put_be64(extras + 8, it->rev);
	if (it->kind == ITEM_MUTATION) {
		if (c->snappy && c->force_snappy && value.len > 32)
			packed = squeeze(&value, &datatype);
		put_be32(extras + 16, it->flags);
		put_be32(extras + 20, it->expiry);
		extras[30] = 2; /* internal to the server, but this is what one sends */
	} else {
		opcode = gone(c, it, extras, &extras_len);
		if (opcode == 0x59) {
			value = SLICE_NONE;
			datatype = 0;
		}
	}
	struct out o = begin(f, c, s, opcode, extras_len, prefix_len + it->key_len, value.len,
			     datatype, it->cas);
	put(&o, extras, extras_len);
	put(&o, prefix, prefix_len);
	put(&o, it->key, it->key_len);
	put(&o, value.p, value.len);
	free(packed);
}
