/* json_write.c: BSON to Extended JSON v2.
 *
 * Text is written through a cursor into reserved room; strings sixteen bytes at a time up to the
 * next character that must be escaped. Output is compact; the pretty form puts one field a line.
 */
#include "doc/json.h"

#include "doc/decimal.h"
#include "doc/iso.h"
#include "doc/number.h"

#include <math.h>
#include <stdlib.h>

struct writer {
	struct buf *out;
	uint8_t *w, *w_end;
	bool canonical;
	int indent; /* spaces a level, 0: compact */
	int depth;
};

static bool grow(struct writer *t, size_t n)
{
	t->out->len = (size_t)(t->w - t->out->p);
	if (!buf_grow(t->out, n))
		return false;
	t->w = t->out->p + t->out->len;
	t->w_end = t->out->p + t->out->cap;
	return true;
}

static inline bool room(struct writer *t, size_t n)
{
	if (likely((size_t)(t->w_end - t->w) >= n))
		return true;
	return grow(t, n);
}

/* Room is the caller's business: every value reserves for its fixed parts at once. */
static inline void put(struct writer *t, const void *p, size_t n)
{
	memcpy(t->w, p, n);
	t->w += n;
}
#define PUT(t, literal) put(t, literal, sizeof(literal) - 1)

static void put_text(struct writer *t, const void *p, size_t n)
{
	if (n && room(t, n))
		put(t, p, n);
}

static void newline(struct writer *t)
{
	size_t n = (size_t)(t->indent * t->depth);
	if (!room(t, n + 1))
		return;
	*t->w++ = '\n';
	memset(t->w, ' ', n);
	t->w += n;
}

/* ---- strings ---- */

static void escape(struct writer *t, uint8_t c)
{
	static const char hex[] = "0123456789abcdef";
	*t->w++ = '\\';
	switch (c) {
	case '"':
	case '\\': *t->w++ = c; return;
	case '\b': *t->w++ = 'b'; return;
	case '\f': *t->w++ = 'f'; return;
	case '\n': *t->w++ = 'n'; return;
	case '\r': *t->w++ = 'r'; return;
	case '\t': *t->w++ = 't'; return;
	}
	PUT(t, "u00");
	*t->w++ = (uint8_t)hex[c >> 4];
	*t->w++ = (uint8_t)hex[c & 15];
}

/* A quoted string; leaves room for 32 bytes more. */
static void string(struct writer *t, struct slice s)
{
	const uint8_t *p = s.p, *end = s.p + s.len;
	if (!room(t, s.len + 64))
		return;
	*t->w++ = '"';
	while (p < end) {
#ifdef __SSE2__
		if (likely(end - p >= 16)) {
			__m128i x = _mm_loadu_si128((const __m128i *)(const void *)p);
			_mm_storeu_si128((__m128i *)(void *)t->w, x);
			__m128i stop = _mm_or_si128(_mm_cmpeq_epi8(x, _mm_set1_epi8('"')),
						    _mm_cmpeq_epi8(x, _mm_set1_epi8('\\')));
			stop = _mm_or_si128(stop,
					    _mm_cmpeq_epi8(_mm_min_epu8(x, _mm_set1_epi8(0x1f)),
							   x));
			int mask = _mm_movemask_epi8(stop);
			int n = mask ? __builtin_ctz((unsigned)mask) : 16;
			p += n;
			t->w += n;
			if (!mask)
				continue;
		}
#endif
		uint8_t c = *p++;
		if (likely(c >= 0x20 && c != '"' && c != '\\')) {
			*t->w++ = c;
			continue;
		}
		escape(t, c);
		if (!room(t, (size_t)(end - p) + 64))
			return;
	}
	*t->w++ = '"';
}

/* ---- values ---- */

static void document(struct writer *t, struct slice doc, bool array);

static void quoted_int(struct writer *t, const char *head, size_t len, int64_t v)
{
	put(t, head, len);
	t->w += num_print_int64(v, (char *)t->w);
	PUT(t, "\"}");
}

static void write_double(struct writer *t, double d)
{
	bool finite = isfinite(d), wrap = t->canonical || !finite;
	if (wrap)
		PUT(t, "{\"$numberDouble\":\"");
	if (finite)
		t->w += num_print_double(d, (char *)t->w);
	else if (isnan(d))
		PUT(t, "NaN");
	else if (d < 0)
		PUT(t, "-Infinity");
	else
		PUT(t, "Infinity");
	if (wrap)
		PUT(t, "\"}");
}

static void hex(struct writer *t, const uint8_t *p, size_t n)
{
	static const char digit[] = "0123456789abcdef";
	for (size_t i = 0; i < n; i++) {
		*t->w++ = (uint8_t)digit[p[i] >> 4];
		*t->w++ = (uint8_t)digit[p[i] & 15];
	}
}

static void oid(struct writer *t, const uint8_t *p)
{
	PUT(t, "{\"$oid\":\"");
	hex(t, p, 12);
	PUT(t, "\"}");
}

static void base64(struct writer *t, struct slice s)
{
	static const char digit[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	for (size_t i = 0; i < s.len; i += 3) {
		size_t n = MIN(s.len - i, (size_t)3);
		uint32_t v = (uint32_t)s.p[i] << 16;
		if (n > 1)
			v |= (uint32_t)s.p[i + 1] << 8;
		if (n > 2)
			v |= s.p[i + 2];
		*t->w++ = (uint8_t)digit[v >> 18];
		*t->w++ = (uint8_t)digit[v >> 12 & 63];
		*t->w++ = (uint8_t)(n > 1 ? digit[v >> 6 & 63] : '=');
		*t->w++ = (uint8_t)(n > 2 ? digit[v & 63] : '=');
	}
}

static void binary(struct writer *t, struct value v)
{
	if (!room(t, (size_t)v.len / 3 * 4 + 128))
		return;
	PUT(t, "{\"$binary\":{\"base64\":\"");
	base64(t, value_slice(v));
	PUT(t, "\",\"subType\":\"");
	hex(t, &v.subtype, 1);
	PUT(t, "\"}}");
}

static void date(struct writer *t, int64_t ms)
{
	static const int64_t year_10000 = INT64_C(253402300800000);
	if (!t->canonical && ms >= 0 && ms < year_10000) {
		PUT(t, "{\"$date\":\"");
		t->w += iso_print(ms, (char *)t->w);
		PUT(t, "\"}");
		return;
	}
	static const char head[] = "{\"$date\":{\"$numberLong\":\"";
	quoted_int(t, head, sizeof(head) - 1, ms);
	*t->w++ = '}';
}

static int compare_chars(const void *a, const void *b)
{
	return *(const char *)a - *(const char *)b;
}

static bool is_ascii(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.p[i] >= 0x80)
			return false;
	return true;
}

/* Options are written in alphabetical order, whatever order they are stored in (but letters of
 * several bytes, which mean nothing, are left alone). */
static void regex(struct writer *t, struct value v)
{
	struct slice options = value_regex_options(v);
	char sorted[16];
	PUT(t, "{\"$regularExpression\":{\"pattern\":");
	string(t, value_regex_pattern(v));
	if (!room(t, 64))
		return;
	PUT(t, ",\"options\":");
	if (options.len <= sizeof(sorted) && is_ascii(options)) {
		if (options.len)
			memcpy(sorted, options.p, options.len);
		qsort(sorted, options.len, 1, compare_chars);
		options.p = (const uint8_t *)sorted;
	}
	string(t, options);
	PUT(t, "}}");
}

static void timestamp(struct writer *t, uint64_t v)
{
	PUT(t, "{\"$timestamp\":{\"t\":");
	t->w += num_print_uint64(v >> 32, (char *)t->w);
	PUT(t, ",\"i\":");
	t->w += num_print_uint64(v & UINT32_MAX, (char *)t->w);
	PUT(t, "}}");
}

static void decimal(struct writer *t, struct dec128 d)
{
	char text[DECIMAL_STRING_MAX];
	size_t n = dec_to_string(d, text);
	PUT(t, "{\"$numberDecimal\":\"");
	put(t, text, n);
	PUT(t, "\"}");
}

static void pointer(struct writer *t, struct value v)
{
	uint32_t n = get_le32(v.p);
	PUT(t, "{\"$dbPointer\":{\"$ref\":");
	string(t, slice_of(v.p + 4, n - 1));
	if (!room(t, 64))
		return;
	PUT(t, ",\"$id\":");
	oid(t, v.p + 4 + n);
	PUT(t, "}}");
}

static void scoped_code(struct writer *t, struct value v)
{
	uint32_t n = get_le32(v.p + 4);
	PUT(t, "{\"$code\":");
	string(t, slice_of(v.p + 8, n - 1));
	if (!room(t, 64))
		return;
	PUT(t, ",\"$scope\":");
	document(t, slice_of(v.p + 8 + n, v.len - 8 - n), false);
	put_text(t, "}", 1);
}

static void wrapped_string(struct writer *t, const char *head, size_t len, struct value v)
{
	put(t, head, len);
	string(t, value_slice(v));
	put_text(t, "}", 1);
}

enum { VALUE_ROOM = 128 }; /* of any value's parts of fixed size */

static void value(struct writer *t, struct value v)
{
	if (!room(t, VALUE_ROOM))
		return;
	switch ((enum bson_type)v.type) {
	case BSON_STRING: string(t, value_slice(v)); return;
	case BSON_DOCUMENT: document(t, value_slice(v), false); return;
	case BSON_ARRAY: document(t, value_slice(v), true); return;
	case BSON_DOUBLE: write_double(t, v.f64); return;
	case BSON_INT32:
		if (t->canonical)
			quoted_int(t, "{\"$numberInt\":\"", 15, v.i64);
		else
			t->w += num_print_int64(v.i64, (char *)t->w);
		return;
	case BSON_INT64:
		if (t->canonical)
			quoted_int(t, "{\"$numberLong\":\"", 16, v.i64);
		else
			t->w += num_print_int64(v.i64, (char *)t->w);
		return;
	case BSON_BOOL:
		if (v.i64)
			PUT(t, "true");
		else
			PUT(t, "false");
		return;
	case BSON_MISSING:
	case BSON_NULL: PUT(t, "null"); return;
	case BSON_OID: oid(t, v.p); return;
	case BSON_DATE: date(t, v.i64); return;
	case BSON_BINARY: binary(t, v); return;
	case BSON_TIMESTAMP: timestamp(t, (uint64_t)v.i64); return;
	case BSON_DECIMAL128: decimal(t, v.dec); return;
	case BSON_REGEX: regex(t, v); return;
	case BSON_CODE: wrapped_string(t, "{\"$code\":", 9, v); return;
	case BSON_SYMBOL: wrapped_string(t, "{\"$symbol\":", 11, v); return;
	case BSON_CODE_W_SCOPE: scoped_code(t, v); return;
	case BSON_DBPOINTER: pointer(t, v); return;
	case BSON_UNDEFINED: PUT(t, "{\"$undefined\":true}"); return;
	case BSON_MINKEY: PUT(t, "{\"$minKey\":1}"); return;
	case BSON_MAXKEY: PUT(t, "{\"$maxKey\":1}"); return;
	}
}

static void document(struct writer *t, struct slice doc, bool array)
{
	struct bson_iter it;
	bool first = true;
	put_text(t, array ? "[" : "{", 1);
	t->depth++;
	for (bson_iter_init(&it, doc); bson_next(&it); first = false) {
		if (!room(t, VALUE_ROOM))
			return;
		if (!first)
			*t->w++ = ',';
		if (t->indent)
			newline(t);
		if (!array) {
			string(t, it.key);
			put_text(t, ": ", t->indent ? 2 : 1);
		}
		if (t->out->failed)
			return;
		value(t, it.value);
	}
	t->depth--;
	if (t->indent && !first)
		newline(t);
	put_text(t, array ? "]" : "}", 1);
}

/* ---- entry points ---- */

static bool begin(struct writer *t, enum json_mode mode, int indent, struct buf *out)
{
	*t = (struct writer){ .out = out, .canonical = mode == JSON_CANONICAL, .indent = indent };
	if (!buf_reserve(out, VALUE_ROOM))
		return false;
	t->w = out->p + out->len;
	t->w_end = out->p + out->cap;
	return true;
}

static void end(struct writer *t)
{
	t->out->len = (size_t)(t->w - t->out->p);
}

void json_from_bson(struct slice doc, enum json_mode mode, struct buf *out)
{
	json_from_bson_pretty(doc, mode, 0, out);
}

void json_from_value(struct value v, enum json_mode mode, struct buf *out)
{
	struct writer t;
	if (!begin(&t, mode, 0, out))
		return;
	value(&t, v);
	end(&t);
}

void json_from_bson_pretty(struct slice doc, enum json_mode mode, int indent, struct buf *out)
{
	struct writer t;
	if (!begin(&t, mode, MAX(indent, 0), out))
		return;
	document(&t, doc, false);
	end(&t);
}
