/* json_read.c: JSON text straight into BSON, in one pass and without a tree.
 *
 * Each value's bytes are written where they belong as they are read; a field's type byte and a
 * document's length come before what they depend on and are filled in afterwards. Strings are
 * copied sixteen bytes at a time up to the next quote, backslash, control character or non-ASCII
 * byte; the store may run over the end of the text, into room that is always reserved.
 */
#include "doc/json_scan.h"

#include "base/utf8.h"
#include "doc/number.h"

#include <stdarg.h>
#include <stdio.h>

/* ---- errors ---- */

static int bad_at(struct json_reader *r, int code, const uint8_t *at, const char *what)
{
	size_t line = 1;
	const uint8_t *start = r->text;
	for (const uint8_t *p = r->text; p < at; p++) {
		if (*p == '\n') {
			line++;
			start = p + 1;
		}
	}
	size_t column = utf8_count(slice_of(start, (size_t)(at - start))) + 1;
	return err_set(r->e, code, "line %zu, column %zu: %s%s", line, column, what,
		       at >= r->end ? ", but the text ends" : "");
}

int json_bad(struct json_reader *r, const uint8_t *at, const char *fmt, ...)
{
	char what[160];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	return bad_at(r, ERR_FORMAT, at, what);
}

static int expected(struct json_reader *r, const char *what)
{
	return json_bad(r, r->p, "expected %s", what);
}

int json_grow(struct json_reader *r, size_t n)
{
	r->out->len = json_at(r);
	if (r->out->len - r->base > BSON_DOC_MAX)
		return err_set(r->e, ERR_LIMIT, "the document is larger than %u bytes",
			       BSON_DOC_MAX);
	if (!buf_grow(r->out, n))
		return err_nomem(r->e);
	r->w = r->out->p + r->out->len;
	r->w_end = r->out->p + r->out->cap;
	return 0;
}

/* ---- strings ---- */

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Four hex digits at p. */
static int hex4(const struct json_reader *r, const uint8_t *p, uint32_t *out)
{
	if (r->end - p < 4)
		return -1;
	uint32_t v = 0;
	for (int i = 0; i < 4; i++) {
		int d = hex_digit(p[i]);
		if (d < 0)
			return -1;
		v = v << 4 | (uint32_t)d;
	}
	*out = v;
	return 0;
}

/* The cursor stands behind "\u". */
static int unicode_escape(struct json_reader *r, bool is_name)
{
	const uint8_t *at = r->p - 2;
	uint32_t cp, low;
	if (hex4(r, r->p, &cp) < 0)
		return json_bad(r, r->p, "expected four hexadecimal digits after \\u");
	r->p += 4;
	if (cp >= 0xdc00 && cp <= 0xdfff)
		return json_bad(r, at, "a low surrogate without a high one before it");
	if (cp >= 0xd800 && cp <= 0xdbff) {
		if (r->end - r->p < 6 || r->p[0] != '\\' || r->p[1] != 'u' ||
		    hex4(r, r->p + 2, &low) < 0 || low < 0xdc00 || low > 0xdfff)
			return json_bad(r, at, "a high surrogate without a low one behind it");
		r->p += 6;
		cp = 0x10000 + ((cp - 0xd800) << 10) + (low - 0xdc00);
	}
	if (cp == 0 && is_name)
		return json_bad(r, at, "a NUL character is not allowed here");
	r->w += utf8_encode(cp, r->w);
	return 0;
}

/* The cursor stands behind the backslash. */
static int escape(struct json_reader *r, bool is_name)
{
	uint8_t c = json_peek(r);
	r->p++;
	switch (c) {
	case '"':
	case '\\':
	case '/': break;
	case 'b': c = '\b'; break;
	case 'f': c = '\f'; break;
	case 'n': c = '\n'; break;
	case 'r': c = '\r'; break;
	case 't': c = '\t'; break;
	case 'u': return unicode_escape(r, is_name);
	default: r->p--; return expected(r, "one of \"\\/bfnrtu after a backslash");
	}
	*r->w++ = c;
	return 0;
}

/* Copies plain ASCII up to the next character that needs a look. */
static inline int copy_plain(struct json_reader *r)
{
#ifdef __SSE2__
	const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\');
	const __m128i control = _mm_set1_epi8(0x1f);
	while (likely(r->end - r->p >= 16)) {
		if (unlikely(r->w_end - r->w < 32)) {
			int rc = json_grow(r, 64);
			if (rc < 0)
				return rc;
		}
		__m128i x = _mm_loadu_si128((const __m128i *)(const void *)r->p);
		_mm_storeu_si128((__m128i *)(void *)r->w, x);
		__m128i stop = _mm_or_si128(_mm_cmpeq_epi8(x, quote), _mm_cmpeq_epi8(x, backslash));
		stop = _mm_or_si128(stop, _mm_cmpeq_epi8(_mm_min_epu8(x, control), x));
		stop = _mm_or_si128(stop, x); /* the top bit is all that counts: non-ASCII */
		int mask = _mm_movemask_epi8(stop);
		int n = mask ? __builtin_ctz((unsigned)mask) : 16;
		r->p += n;
		r->w += n;
		if (mask)
			return 0;
	}
#endif
	while (r->p < r->end) {
		uint8_t c = *r->p;
		if (c == '"' || c == '\\' || c < 0x20 || c >= 0x80)
			break;
		int rc = json_room(r, 32);
		if (rc < 0)
			return rc;
		*r->w++ = c;
		r->p++;
	}
	return 0;
}

/* A run of non-ASCII text. */
static int copy_utf8(struct json_reader *r)
{
	while (r->p < r->end && *r->p >= 0x80) {
		uint32_t cp;
		size_t n = utf8_decode(slice_of(r->p, (size_t)(r->end - r->p)), &cp);
		if (n == 0)
			return json_bad(r, r->p, "invalid UTF-8");
		int rc = json_room(r, 32);
		if (rc < 0)
			return rc;
		memcpy(r->w, r->p, n);
		r->w += n;
		r->p += n;
	}
	return 0;
}

int json_string(struct json_reader *r, bool is_name)
{
	int rc = json_room(r, 32);
	if (rc < 0)
		return rc;
	for (;;) {
		rc = copy_plain(r);
		if (rc < 0)
			return rc;
		uint8_t c = json_peek(r);
		if (likely(c == '"')) {
			r->p++;
			*r->w = 0;
			return 0;
		}
		if (c == '\\') {
			r->p++;
			rc = json_room(r, 32);
			if (rc == 0)
				rc = escape(r, is_name);
		} else if (c >= 0x80) {
			rc = copy_utf8(r);
		} else if (r->p == r->end) {
			return expected(r, "'\"' at the end of a string");
		} else {
			return json_bad(r, r->p, "a control character in a string must be escaped");
		}
		if (rc < 0)
			return rc;
	}
}

/* ---- numbers ---- */

static inline bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static int put_double(struct json_reader *r, double d)
{
	memcpy(r->w, &d, 8);
	r->w += 8;
	return BSON_DOUBLE;
}

static int put_integer(struct json_reader *r, int64_t v)
{
	if (v >= INT32_MIN && v <= INT32_MAX) {
		put_le32(r->w, (uint32_t)v);
		r->w += 4;
		return BSON_INT32;
	}
	put_le64(r->w, (uint64_t)v);
	r->w += 8;
	return BSON_INT64;
}

/* The text from start to the cursor has the form of a number, but too many digits for one word. */
static int long_number(struct json_reader *r, const uint8_t *start)
{
	double d;
	int rc = num_parse_double(slice_of(start, (size_t)(r->p - start)), &d);
	if (rc == ERR_LIMIT)
		return json_bad(r, start, "a number too large for a double");
	ASSERT(rc == 0);
	return put_double(r, d);
}

static int number(struct json_reader *r)
{
	const uint8_t *p = r->p, *end = r->end, *start = p;
	bool negative = *p == '-';
	p += negative;
	const uint8_t *first = p;
	uint64_t w = 0;
	while (p < end && is_digit(*p))
		w = w * 10 + (uint64_t)(*p++ - '0');
	size_t digits = (size_t)(p - first);
	if (digits == 0) {
		r->p = p;
		return expected(r, "a digit");
	}
	if (digits > 1 && *first == '0') {
		r->p = first;
		return json_bad(r, first, "a number must not start with 0");
	}
	if (likely(p == end || (*p != '.' && *p != 'e' && *p != 'E'))) {
		r->p = p;
		if (likely(digits <= 19 && w <= (uint64_t)INT64_MAX + negative))
			return put_integer(r, (int64_t)(negative ? 0 - w : w));
		return long_number(r, start);
	}
	int64_t exponent = 0;
	if (*p == '.') {
		const uint8_t *point = p++;
		while (p < end && is_digit(*p))
			w = w * 10 + (uint64_t)(*p++ - '0');
		exponent = -(p - point - 1);
		if (exponent == 0) {
			r->p = p;
			return expected(r, "a digit after the decimal point");
		}
		digits += (size_t)-exponent;
	}
	if (p < end && (*p == 'e' || *p == 'E')) {
		p++;
		bool minus = p < end && *p == '-';
		if (p < end && (*p == '-' || *p == '+'))
			p++;
		int64_t v = 0;
		const uint8_t *at = p;
		for (; p < end && is_digit(*p); p++)
			if (v < 1000000)
				v = v * 10 + (*p - '0');
		if (p == at) {
			r->p = p;
			return expected(r, "a digit in the exponent");
		}
		exponent += minus ? -v : v;
	}
	r->p = p;
	if (unlikely(digits > 19))
		return long_number(r, start);
	double d = num_scale(w, (int)MAX(MIN(exponent, 100000), -100000));
	if (unlikely(d > 1.7976931348623157e308))
		return json_bad(r, start, "a number too large for a double");
	return put_double(r, negative ? -d : d);
}

/* ---- structure ---- */

#define STRING_(x) #x
#define STRING(x)  STRING_(x)
#define TOO_DEEP   "nested more than " STRING(BSON_DEPTH_MAX) " levels deep"

static int enter(struct json_reader *r)
{
	if (r->depth >= BSON_DEPTH_MAX + 1)
		return bad_at(r, ERR_LIMIT, r->p - 1, TOO_DEEP);
	r->depth++;
	return json_room(r, 64);
}

static int leave(struct json_reader *r, size_t start)
{
	int rc = json_room(r, 1);
	if (rc < 0)
		return rc;
	*r->w++ = 0;
	size_t len = json_at(r) - start;
	if (len > BSON_DOC_MAX)
		return err_set(r->e, ERR_LIMIT, "the document is larger than %u bytes",
			       BSON_DOC_MAX);
	put_le32(r->out->p + start, (uint32_t)len);
	r->depth--;
	return 0;
}

int json_object(struct json_reader *r)
{
	int rc = enter(r);
	if (rc < 0)
		return rc;
	size_t start = json_at(r);
	r->w += 4;
	json_skip_space(r);
	if (json_peek(r) == '}') {
		r->p++;
		return leave(r, start);
	}
	for (;;) {
		if (unlikely(json_peek(r) != '"'))
			return expected(r, json_at(r) == start + 4 ? "a field name or '}'"
								   : "a field name");
		r->p++;
		rc = json_room(r, 64);
		if (rc < 0)
			return rc;
		size_t type_at = json_at(r);
		r->w++;
		rc = json_string(r, true);
		if (rc < 0)
			return rc;
		r->w++;
		json_skip_space(r);
		if (unlikely(json_peek(r) != ':'))
			return expected(r, "':' after a field name");
		r->p++;
		json_skip_space(r);
		int type = json_value(r);
		if (type < 0)
			return type;
		r->out->p[type_at] = (uint8_t)type;
		json_skip_space(r);
		uint8_t c = json_peek(r);
		if (c == ',') {
			r->p++;
			json_skip_space(r);
		} else if (likely(c == '}')) {
			r->p++;
			return leave(r, start);
		} else {
			return expected(r, "',' or '}'");
		}
	}
}

static int array(struct json_reader *r)
{
	int rc = enter(r);
	if (rc < 0)
		return rc;
	size_t start = json_at(r);
	r->w += 4;
	json_skip_space(r);
	if (json_peek(r) == ']') {
		r->p++;
		return leave(r, start);
	}
	for (uint64_t index = 0;; index++) {
		rc = json_room(r, 64);
		if (rc < 0)
			return rc;
		size_t type_at = json_at(r);
		r->w++;
		if (index < 10)
			*r->w++ = (uint8_t)('0' + index);
		else
			r->w += num_print_uint64(index, (char *)r->w);
		*r->w++ = 0;
		int type = json_value(r);
		if (type < 0)
			return type;
		r->out->p[type_at] = (uint8_t)type;
		json_skip_space(r);
		uint8_t c = json_peek(r);
		if (c == ',') {
			r->p++;
			json_skip_space(r);
		} else if (likely(c == ']')) {
			r->p++;
			return leave(r, start);
		} else {
			return expected(r, "',' or ']'");
		}
	}
}

static int literal(struct json_reader *r, const char *word, size_t len)
{
	if ((size_t)(r->end - r->p) < len || memcmp(r->p, word, len) != 0)
		return expected(r, "a value");
	r->p += len;
	return 0;
}

static int boolean(struct json_reader *r, const char *word, size_t len, uint8_t v)
{
	int rc = literal(r, word, len);
	if (rc < 0)
		return rc;
	*r->w++ = v;
	return BSON_BOOL;
}

static int string_value(struct json_reader *r)
{
	size_t start = json_at(r);
	r->w += 4;
	r->p++;
	int rc = json_string(r, false);
	if (rc < 0)
		return rc;
	r->w++;
	put_le32(r->out->p + start, (uint32_t)(json_at(r) - start - 4));
	return BSON_STRING;
}

int json_value(struct json_reader *r)
{
	int rc = json_room(r, 64);
	if (rc < 0)
		return rc;
	switch (json_peek(r)) {
	case '"': return string_value(r);
	case '{':
		r->p++;
		json_skip_space(r);
		if (!r->plain && r->end - r->p >= 2 && r->p[0] == '"' && r->p[1] == '$') {
			rc = json_wrapper(r);
			if (rc != 0)
				return rc;
		}
		rc = json_object(r);
		return rc < 0 ? rc : BSON_DOCUMENT;
	case '[':
		r->p++;
		rc = array(r);
		return rc < 0 ? rc : BSON_ARRAY;
	case 't': return boolean(r, "true", 4, 1);
	case 'f': return boolean(r, "false", 5, 0);
	case 'n': rc = literal(r, "null", 4); return rc < 0 ? rc : BSON_NULL;
	case '-':
	case '0':
	case '1':
	case '2':
	case '3':
	case '4':
	case '5':
	case '6':
	case '7':
	case '8':
	case '9': return number(r);
	default: return expected(r, "a value");
	}
}

/* ---- entry points ---- */

enum { FIRST_ROOM = 512 };

static int begin(struct json_reader *r, struct slice text, struct buf *out, struct err *e)
{
	*r = (struct json_reader){ .p = text.p,
				   .end = text.p + text.len,
				   .text = text.p,
				   .out = out,
				   .base = out->len,
				   .e = e };
	if (!buf_reserve(out, FIRST_ROOM))
		return err_nomem(e);
	r->w = out->p + out->len;
	r->w_end = out->p + out->cap;
	if (text.len >= 3 && memcmp(text.p, "\xef\xbb\xbf", 3) == 0)
		r->p += 3; /* a byte order mark */
	json_skip_space(r);
	return 0;
}

/* Takes the written bytes into out, or forgets them. */
static int finish(struct json_reader *r, int rc, size_t *used)
{
	if (rc >= 0) {
		json_skip_space(r);
		if (used)
			*used = (size_t)(r->p - r->text);
		else if (r->p < r->end)
			rc = expected(r, "nothing more after the document");
	}
	r->out->len = rc < 0 ? r->base : json_at(r);
	return rc < 0 ? rc : 0;
}

int json_to_bson(struct slice text, struct buf *out, size_t *used, struct err *e)
{
	struct json_reader r;
	int rc = begin(&r, text, out, e);
	if (rc < 0)
		return rc;
	if (json_peek(&r) != '{') {
		rc = expected(&r, "a document, starting with '{'");
	} else {
		r.p++;
		rc = json_object(&r);
	}
	return finish(&r, rc, used);
}

/* r: begun. */
static int to_value(struct json_reader *r, struct value *v, size_t *used)
{
	int type = json_value(r);
	int rc = finish(r, type, used);
	if (rc == 0)
		*v = bson_value_at((uint8_t)type, r->out->p + r->base);
	return rc;
}

int json_to_value(struct slice text, struct buf *out, struct value *v, size_t *used, struct err *e)
{
	struct json_reader r;
	int rc = begin(&r, text, out, e);
	return rc < 0 ? rc : to_value(&r, v, used);
}

int json_plain_to_value(struct slice text, uint32_t around, struct buf *out, struct value *v,
			struct err *e)
{
	struct json_reader r;
	int rc = begin(&r, text, out, e);
	if (rc < 0)
		return rc;
	r.plain = true;
	r.depth = around;
	return to_value(&r, v, NULL);
}
