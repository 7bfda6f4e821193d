/* format.c: see format.h for the picture. The record's layout, all numbers LEB128:
 *
 *	flags | [time delta, zigzag] | [key length] | [headers length] | [value length] | key headers value
 *
 * flags says what is present; a bit that is not known makes the record malformed.
 */
#include "log/format.h"

#include "base/crc32c.h"

enum record_flags {
	RECORD_KEY = 1,
	RECORD_VALUE = 2,
	RECORD_HEADERS = 4,
	RECORD_TIME = 8,
	RECORD_KNOWN = 15,
};

static const uint8_t header_magic[2][8] = {
	[HEADER_SEGMENT] = { 'w', 'e', 'i', 'r', 's', 'e', 'g', '\n' },
	[HEADER_INDEX] = { 'w', 'e', 'i', 'r', 'i', 'd', 'x', '\n' },
};

/* ---- headers of files ---- */

static uint32_t header_crc(const uint8_t in[HEADER_BLOCK_BYTES])
{
	static const uint8_t zero[4];
	uint32_t c = crc32c(0, in, 12);
	c = crc32c(c, zero, 4);
	return crc32c(c, in + 16, HEADER_BLOCK_BYTES - 16);
}

void header_encode(const struct segment_header *h, enum header_kind kind,
		   uint8_t out[HEADER_BLOCK_BYTES])
{
	memset(out, 0, HEADER_BLOCK_BYTES);
	memcpy(out, header_magic[kind], 8);
	put_le32(out + 8, LOG_FORMAT_VERSION);
	memcpy(out + 16, h->log_id, 16);
	memcpy(out + 32, h->topic_id, 16);
	put_le32(out + 48, h->partition);
	put_le64(out + 56, h->base_offset);
	put_le64(out + 64, h->base_position);
	put_le64(out + 72, h->epoch);
	put_le64(out + 80, h->durable);
	put_le64(out + 88, (uint64_t)h->created_ms);
	put_le32(out + 12, header_crc(out));
}

int header_decode(const uint8_t in[HEADER_BLOCK_BYTES], enum header_kind kind,
		  struct segment_header *out)
{
	if (memcmp(in, header_magic[kind], 8) != 0 || get_le32(in + 12) != header_crc(in))
		return 0;
	if (get_le32(in + 8) > LOG_FORMAT_VERSION)
		return ERR_VERSION;
	if (get_le32(in + 8) != LOG_FORMAT_VERSION)
		return 0;
	memcpy(out->log_id, in + 16, 16);
	memcpy(out->topic_id, in + 32, 16);
	out->partition = get_le32(in + 48);
	out->base_offset = get_le64(in + 56);
	out->base_position = get_le64(in + 64);
	out->epoch = get_le64(in + 72);
	out->durable = get_le64(in + 80);
	out->created_ms = (int64_t)get_le64(in + 88);
	return out->durable <= out->base_offset;
}

uint32_t header_seed(const struct segment_header *h)
{
	uint8_t id[52];
	memcpy(id, h->log_id, 16);
	memcpy(id + 16, h->topic_id, 16);
	put_le32(id + 32, h->partition);
	put_le64(id + 36, h->base_offset);
	put_le64(id + 44, h->epoch);
	return crc32c(0, id, sizeof(id));
}

/* ---- batches ---- */

void batch_encode(const struct batch *b, uint32_t seed, uint8_t out[BATCH_HEADER_BYTES])
{
	uint8_t h[BATCH_HEADER_BYTES];
	put_le32(h + 4, b->body_crc);
	put_le64(h + 8, b->base_offset);
	put_le32(h + 16, b->length);
	put_le32(h + 20, b->count);
	put_le16(h + 24, BATCH_MAGIC);
	h[26] = b->kind;
	h[27] = b->codec;
	put_le16(h + 28, b->flags);
	put_le16(h + 30, 0);
	put_le64(h + 32, (uint64_t)b->base_time_ms);
	put_le64(h + 40, (uint64_t)b->max_time_ms);
	put_le64(h + 48, b->durable);
	put_le64(h + 56, b->span);
	put_le32(h, crc32c(seed, h + 4, BATCH_HEADER_BYTES - 4));
	memcpy(out, h, sizeof(h));
}

static bool batch_sane(const struct batch *b)
{
	if (b->length < BATCH_HEADER_BYTES || b->length % 8 != 0)
		return false;
	if (b->base_offset + b->span < b->base_offset)
		return false;
	/* Nothing is durable before it is written. */
	if (b->durable > b->base_offset + (b->kind == BATCH_LOST ? b->span : 0))
		return false;
	switch (b->kind) {
	case BATCH_DATA:
	case BATCH_CONTROL:
		return b->length <= BATCH_BYTES_MAX && b->count <= b->span && b->count > 0;
	case BATCH_SEAL:
	case BATCH_MARK: return b->length == BATCH_HEADER_BYTES && b->count == 0 && b->span == 0;
	case BATCH_LOST: return b->count == 0;
	}
	return b->length <= BATCH_BYTES_MAX; /* of a newer format */
}

bool batch_decode(const uint8_t in[BATCH_HEADER_BYTES], uint32_t seed, struct batch *out)
{
	if (get_le16(in + 24) != BATCH_MAGIC)
		return false;
	if (get_le32(in) != crc32c(seed, in + 4, BATCH_HEADER_BYTES - 4))
		return false;
	*out = (struct batch){
		.body_crc = get_le32(in + 4),
		.base_offset = get_le64(in + 8),
		.length = get_le32(in + 16),
		.count = get_le32(in + 20),
		.kind = in[26],
		.codec = in[27],
		.flags = get_le16(in + 28),
		.base_time_ms = (int64_t)get_le64(in + 32),
		.max_time_ms = (int64_t)get_le64(in + 40),
		.durable = get_le64(in + 48),
		.span = get_le64(in + 56),
	};
	return batch_sane(out);
}

bool batch_body_valid(const struct batch *b, uint32_t seed, const uint8_t *body)
{
	if (b->kind == BATCH_LOST)
		return true; /* nothing inside matters */
	return crc32c(seed, body, b->length - BATCH_HEADER_BYTES) == b->body_crc;
}

int batch_supported(const struct batch *b, struct err *e)
{
	bool known = (b->kind == BATCH_DATA || b->kind == BATCH_SEAL || b->kind == BATCH_MARK ||
		      b->kind == BATCH_LOST) &&
		     b->codec == 0 && (b->flags & ~BATCH_FLAGS_KNOWN) == 0;
	if (known)
		return 0;
	return err_set(e, ERR_VERSION,
		       "the batch of offset %llu (kind %u, codec %u, flags %#x) needs a newer weir",
		       (unsigned long long)b->base_offset, b->kind, b->codec, b->flags);
}

/* ---- records ---- */

static size_t varint_size(uint64_t v)
{
	return v ? (size_t)(63 - __builtin_clzll(v)) / 7 + 1 : 1;
}

static inline uint8_t *varint_put(uint8_t *p, uint64_t v)
{
	while (v >= 0x80) {
		*p++ = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	*p++ = (uint8_t)v;
	return p;
}

static inline bool varint_get(const uint8_t **at, const uint8_t *end, uint64_t *v)
{
	const uint8_t *p = *at;
	uint64_t x = 0;
	for (unsigned shift = 0; shift < 64 && p < end; shift += 7) {
		uint8_t c = *p++;
		if (shift == 63 && c > 1)
			return false;
		x |= (uint64_t)(c & 0x7f) << shift;
		if (c < 0x80) {
			*at = p;
			*v = x;
			return true;
		}
	}
	return false;
}

static uint64_t zigzag(int64_t base, int64_t t)
{
	uint64_t d = (uint64_t)t - (uint64_t)base;
	return (d << 1) ^ (0 - (d >> 63));
}

static int64_t unzigzag(int64_t base, uint64_t z)
{
	return (int64_t)((uint64_t)base + ((z >> 1) ^ (0 - (z & 1))));
}

size_t record_size(const struct log_record *r, int64_t base_time_ms)
{
	size_t n = 1;
	if (r->time_ms != base_time_ms)
		n += varint_size(zigzag(base_time_ms, r->time_ms));
	if (r->has_key)
		n += varint_size(r->key.len) + r->key.len;
	if (r->headers.len)
		n += varint_size(r->headers.len) + r->headers.len;
	if (r->has_value)
		n += varint_size(r->value.len) + r->value.len;
	return n;
}

static inline uint8_t *put_bytes(uint8_t *p, struct slice s)
{
	if (s.len)
		memcpy(p, s.p, s.len);
	return p + s.len;
}

uint8_t *record_encode(const struct log_record *r, int64_t base_time_ms, uint8_t *out)
{
	uint8_t *p = out + 1;
	unsigned flags = 0;
	if (r->time_ms != base_time_ms) {
		flags |= RECORD_TIME;
		p = varint_put(p, zigzag(base_time_ms, r->time_ms));
	}
	if (r->has_key) {
		flags |= RECORD_KEY;
		p = varint_put(p, r->key.len);
	}
	if (r->headers.len) {
		flags |= RECORD_HEADERS;
		p = varint_put(p, r->headers.len);
	}
	if (r->has_value) {
		flags |= RECORD_VALUE;
		p = varint_put(p, r->value.len);
	}
	*out = (uint8_t)flags;
	if (r->has_key)
		p = put_bytes(p, r->key);
	p = put_bytes(p, r->headers);
	if (r->has_value)
		p = put_bytes(p, r->value);
	return p;
}

static inline bool take(const uint8_t **at, const uint8_t *end, uint64_t len, struct slice *out)
{
	if (len > (uint64_t)(end - *at))
		return false;
	*out = slice_of(*at, (size_t)len);
	*at += len;
	return true;
}

bool record_decode(const uint8_t **at, const uint8_t *end, int64_t base_time_ms,
		   struct log_record *out)
{
	const uint8_t *p = *at;
	if (p == end)
		return false;
	unsigned flags = *p++;
	uint64_t time = 0, key = 0, headers = 0, value = 0;
	if ((flags & ~(unsigned)RECORD_KNOWN) ||
	    ((flags & RECORD_TIME) && !varint_get(&p, end, &time)) ||
	    ((flags & RECORD_KEY) && !varint_get(&p, end, &key)) ||
	    ((flags & RECORD_HEADERS) && !varint_get(&p, end, &headers)) ||
	    ((flags & RECORD_VALUE) && !varint_get(&p, end, &value)))
		return false;
	out->time_ms = unzigzag(base_time_ms, time);
	out->has_key = flags & RECORD_KEY;
	out->has_value = flags & RECORD_VALUE;
	if (!take(&p, end, key, &out->key) || !take(&p, end, headers, &out->headers) ||
	    !take(&p, end, value, &out->value))
		return false;
	*at = p;
	return true;
}

/* ---- index entries ---- */

void index_entry_encode(const struct index_entry *x, uint32_t seed, uint8_t out[INDEX_ENTRY_BYTES])
{
	put_le32(out + 4, x->byte);
	put_le64(out + 8, x->offset);
	put_le64(out + 16, (uint64_t)x->max_time_ms);
	put_le64(out + 24, x->durable);
	put_le32(out, crc32c(seed, out + 4, INDEX_ENTRY_BYTES - 4));
}

bool index_entry_decode(const uint8_t in[INDEX_ENTRY_BYTES], uint32_t seed, struct index_entry *out)
{
	if (get_le32(in) != crc32c(seed, in + 4, INDEX_ENTRY_BYTES - 4))
		return false;
	out->byte = get_le32(in + 4);
	out->offset = get_le64(in + 8);
	out->max_time_ms = (int64_t)get_le64(in + 16);
	out->durable = get_le64(in + 24);
	return out->durable <= out->offset;
}
