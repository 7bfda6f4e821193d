/* bson.h: BSON read in place, built in one pass, and validated before use (specification:
 * bsonspec.org 1.1).
 *
 *	document:  int32 total | elements ... | 00
 *	element:   type byte | name 00 | value
 *
 * A document is a struct slice of BSON bytes. Bytes from outside pass bson_validate() once;
 * everything else in doc/ reads validated bytes without checking them again.
 *
 * struct value is one value, borrowed from the document (or arena) that it points into.
 */
#ifndef DOC_BSON_H
#define DOC_BSON_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define BSON_DEPTH_MAX 200          /* nested documents and arrays */
#define BSON_DOC_MAX   (256u << 20) /* bytes of one document inside weir; outer limits are lower */

enum bson_type {
	BSON_MISSING = 0x00, /* no value: the field is not there (never on disk) */
	BSON_DOUBLE = 0x01,
	BSON_STRING = 0x02,
	BSON_DOCUMENT = 0x03,
	BSON_ARRAY = 0x04,
	BSON_BINARY = 0x05,
	BSON_UNDEFINED = 0x06,
	BSON_OID = 0x07,
	BSON_BOOL = 0x08,
	BSON_DATE = 0x09,
	BSON_NULL = 0x0a,
	BSON_REGEX = 0x0b,
	BSON_DBPOINTER = 0x0c,
	BSON_CODE = 0x0d,
	BSON_SYMBOL = 0x0e,
	BSON_CODE_W_SCOPE = 0x0f,
	BSON_INT32 = 0x10,
	BSON_TIMESTAMP = 0x11,
	BSON_INT64 = 0x12,
	BSON_DECIMAL128 = 0x13,
	BSON_MAXKEY = 0x7f,
	BSON_MINKEY = 0xff,
};

struct dec128 {
	uint64_t lo, hi; /* IEEE 754-2008 BID, as stored */
};

/* What the union holds:
 *
 *	INT32 (sign-extended), INT64, BOOL (0 or 1)     i64
 *	DATE (ms), TIMESTAMP (seconds << 32 | incr.)    i64
 *	DOUBLE                                          f64
 *	DECIMAL128                                      dec
 *	STRING, SYMBOL, CODE                            p: text without its NUL
 *	DOCUMENT, ARRAY                                 p: the whole document
 *	BINARY                                          p: data (subtype 2: without the inner length)
 *	OID                                             p: 12 bytes
 *	REGEX                                           p: pattern NUL options NUL
 *	DBPOINTER, CODE_W_SCOPE                         p: the raw value bytes
 */
struct value {
	uint8_t type;    /* enum bson_type */
	uint8_t subtype; /* BSON_BINARY */
	uint32_t len;    /* bytes at p */
	union {
		int64_t i64;
		double f64;
		struct dec128 dec;
		const uint8_t *p;
	};
};

#define VALUE_MISSING ((struct value){ .type = BSON_MISSING })
#define VALUE_NULL    ((struct value){ .type = BSON_NULL })

static inline struct value value_int32(int32_t v)
{
	return (struct value){ .type = BSON_INT32, .i64 = v };
}
static inline struct value value_int64(int64_t v)
{
	return (struct value){ .type = BSON_INT64, .i64 = v };
}
static inline struct value value_double(double v)
{
	return (struct value){ .type = BSON_DOUBLE, .f64 = v };
}
static inline struct value value_bool(bool v)
{
	return (struct value){ .type = BSON_BOOL, .i64 = v };
}
static inline struct value value_date(int64_t ms)
{
	return (struct value){ .type = BSON_DATE, .i64 = ms };
}
static inline struct value value_timestamp(uint32_t s, uint32_t inc)
{
	return (struct value){ .type = BSON_TIMESTAMP, .i64 = (int64_t)((uint64_t)s << 32 | inc) };
}
static inline struct value value_string(struct slice s)
{
	return (struct value){ .type = BSON_STRING, .len = (uint32_t)s.len, .p = s.p };
}
static inline struct value value_doc(struct slice d)
{
	return (struct value){ .type = BSON_DOCUMENT, .len = (uint32_t)d.len, .p = d.p };
}
static inline struct value value_array(struct slice d)
{
	return (struct value){ .type = BSON_ARRAY, .len = (uint32_t)d.len, .p = d.p };
}
static inline struct slice value_slice(struct value v)
{
	return (struct slice){ v.p, v.len };
}
static inline bool value_is_number(struct value v)
{
	return v.type == BSON_DOUBLE || v.type == BSON_INT32 || v.type == BSON_INT64 ||
	       v.type == BSON_DECIMAL128;
}

/* ---- reading (validated bytes) ----
 *
 * These are the hot path of everything that reads documents, hence inline. Skipping a value is one
 * table look-up: its fixed size, or a base that the leading int32 is added to.
 */

enum { BSON_SIZE_PLUS_INT32 = 0x20, BSON_SIZE_REGEX = 0x40 };
extern const uint8_t bson_size_[256];
size_t bson_regex_size_(const uint8_t *p);
struct value bson_value_rare_(uint8_t type, const uint8_t *p);

/* Bytes of a raw value of the given type at p (validated). */
static inline size_t bson_value_size(uint8_t type, const uint8_t *p)
{
	uint8_t s = bson_size_[type];
	if (s < BSON_SIZE_PLUS_INT32)
		return s;
	if (likely(s < BSON_SIZE_REGEX))
		return (size_t)(s & (BSON_SIZE_PLUS_INT32 - 1)) + get_le32(p);
	return bson_regex_size_(p);
}

static inline struct value bson_value_at(uint8_t type, const uint8_t *p)
{
	struct value v;
	v.type = type;
	v.subtype = 0;
	v.len = 0;
	switch (type) {
	case BSON_STRING:
		v.len = get_le32(p) - 1;
		v.p = p + 4;
		return v;
	case BSON_DOCUMENT:
	case BSON_ARRAY:
		v.len = get_le32(p);
		v.p = p;
		return v;
	case BSON_INT32: v.i64 = (int32_t)get_le32(p); return v;
	case BSON_DOUBLE:
	case BSON_INT64:
	case BSON_DATE:
	case BSON_TIMESTAMP: v.i64 = (int64_t)get_le64(p); return v;
	case BSON_BOOL: v.i64 = p[0]; return v;
	default: return bson_value_rare_(type, p);
	}
}

/* Length of the NUL-terminated name at p; last is the address of the document's final byte. */
static inline size_t bson_key_len(const uint8_t *p, const uint8_t *last)
{
	const uint8_t *at = p;
#ifdef __SSE2__
	while (likely(last - at >= 15)) {
		__m128i x = _mm_loadu_si128((const __m128i *)(const void *)at);
		int mask = _mm_movemask_epi8(_mm_cmpeq_epi8(x, _mm_setzero_si128()));
		if (likely(mask))
			return (size_t)(at - p) + (size_t)__builtin_ctz((unsigned)mask);
		at += 16;
	}
#endif
	while (*at)
		at++;
	return (size_t)(at - p);
}

/* struct bson_iter it; bson_iter_init(&it, doc);
 * while (bson_next(&it)) use it.key, it.value */
struct bson_iter {
	const uint8_t *at, *end; /* next element; the document's final byte */
	struct slice key;
	struct value value;
	struct slice raw; /* the whole element: type byte, name, value */
};

static inline void bson_iter_init(struct bson_iter *it, struct slice doc)
{
	it->at = doc.p + 4;
	it->end = doc.p + doc.len - 1;
}

static inline bool bson_next(struct bson_iter *it)
{
	const uint8_t *p = it->at;
	if (p >= it->end)
		return false;
	uint8_t type = p[0];
	it->key.p = p + 1;
	it->key.len = bson_key_len(p + 1, it->end);
	const uint8_t *v = p + it->key.len + 2;
	it->value = bson_value_at(type, v);
	it->at = v + bson_value_size(type, v);
	it->raw.p = p;
	it->raw.len = (size_t)(it->at - p);
	return true;
}

/* The elements of an array, or the fields of a document. */
static inline size_t bson_count(struct slice doc)
{
	struct bson_iter it;
	size_t n = 0;
	bson_iter_init(&it, doc);
	while (bson_next(&it))
		n++;
	return n;
}

/* The named top-level field; BSON_MISSING when it is not there. The first wins where names
 * repeat. */
static inline struct value bson_get(struct slice doc, struct slice key)
{
	const uint8_t *p = doc.p + 4, *last = doc.p + doc.len - 1;
	while (p < last) {
		uint8_t type = p[0];
		size_t n = bson_key_len(p + 1, last);
		const uint8_t *v = p + n + 2;
		if (n == key.len && memcmp(p + 1, key.p, n) == 0)
			return bson_value_at(type, v);
		p = v + bson_value_size(type, v);
	}
	return VALUE_MISSING;
}

static inline struct value bson_get_str(struct slice doc, const char *key)
{
	return bson_get(doc, slice_str(key));
}

/* The empty document, 5 bytes. */
extern const uint8_t bson_empty[5];
#define BSON_EMPTY ((struct slice){ bson_empty, 5 })

const char *bson_type_name(uint8_t type);  /* "double", "string", "object", ... "missing" */
int bson_type_of_name(struct slice alias); /* the byte, or -1 */
struct slice value_regex_pattern(struct value v);
struct slice value_regex_options(struct value v);

/* ---- validating ---- */

/* Every length, terminator, UTF-8 text, nesting up to BSON_DEPTH_MAX, known types, nothing left
 * over. ERR_FORMAT with the path and the byte offset, ERR_LIMIT for depth or size. */
int bson_validate(struct slice bytes, struct err *e);

/* ---- building ---- Failures (memory, depth, size) are sticky; bson_finish reports them. A writer
 * appends to `out`, which may hold other bytes before it.
 *
 *	struct bson_writer w;
 *	bson_writer_init(&w, &out);          // opens the root document
 *	bson_put_int32(&w, SLICE_LIT("a"), 1);
 *	bson_begin_array(&w, SLICE_LIT("b"));
 *	bson_put_string(&w, SLICE_NONE, ...) // in arrays the key is ignored: "0", "1", ...
 *	bson_end(&w);
 *	rc = bson_finish(&w, e);             // closes the root
 */
struct bson_writer {
	struct buf *out;
	int rc; /* 0 or the first failure */
	uint32_t depth;
	struct {
		size_t start;   /* of the document's length field in out */
		uint32_t index; /* next array index */
		bool array;
	} open[BSON_DEPTH_MAX + 1];
};

void bson_writer_init(struct bson_writer *w, struct buf *out);
void bson_begin_doc(struct bson_writer *w, struct slice key);
void bson_begin_array(struct bson_writer *w, struct slice key);
void bson_end(struct bson_writer *w);
int bson_finish(struct bson_writer *w, struct err *e);

/* BSON_MISSING puts nothing. */
void bson_put(struct bson_writer *w, struct slice key, struct value v);
/* A whole element, as in bson_iter.raw; not in arrays. */
void bson_put_raw(struct bson_writer *w, struct slice element);
void bson_put_int32(struct bson_writer *w, struct slice key, int32_t v);
void bson_put_int64(struct bson_writer *w, struct slice key, int64_t v);
void bson_put_double(struct bson_writer *w, struct slice key, double v);
void bson_put_bool(struct bson_writer *w, struct slice key, bool v);
void bson_put_null(struct bson_writer *w, struct slice key);
void bson_put_string(struct bson_writer *w, struct slice key, struct slice s);
void bson_put_date(struct bson_writer *w, struct slice key, int64_t ms);
void bson_put_timestamp(struct bson_writer *w, struct slice key, uint32_t seconds,
			uint32_t increment);
void bson_put_oid(struct bson_writer *w, struct slice key, const uint8_t oid[12]);
void bson_put_binary(struct bson_writer *w, struct slice key, uint8_t subtype, struct slice data);
void bson_put_doc(struct bson_writer *w, struct slice key, struct slice doc);

#endif
