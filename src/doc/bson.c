/* bson.c: the parts of BSON that are not hot enough for the header: names, validation, building.
 *
 * Validation walks nested documents with a stack of its own instead of recursion, so that hostile
 * depth costs nothing but an error:
 *
 *	frame:  the address of the document's final byte, the name it has in its parent
 *
 * A document is pushed when its header is seen and popped when the cursor stands on its final
 * byte. The names on the stack are the path of an error.
 */
#include "doc/bson.h"

#include "base/utf8.h"

#include <inttypes.h>
#include <stdio.h>

const uint8_t bson_empty[5] = { 5, 0, 0, 0, 0 };

#define PLUS(n) (BSON_SIZE_PLUS_INT32 + (n))
const uint8_t bson_size_[256] = {
	[BSON_DOUBLE] = 8,
	[BSON_STRING] = PLUS(4),
	[BSON_DOCUMENT] = PLUS(0),
	[BSON_ARRAY] = PLUS(0),
	[BSON_BINARY] = PLUS(5),
	[BSON_OID] = 12,
	[BSON_BOOL] = 1,
	[BSON_DATE] = 8,
	[BSON_REGEX] = BSON_SIZE_REGEX,
	[BSON_DBPOINTER] = PLUS(16),
	[BSON_CODE] = PLUS(4),
	[BSON_SYMBOL] = PLUS(4),
	[BSON_CODE_W_SCOPE] = PLUS(0),
	[BSON_INT32] = 4,
	[BSON_TIMESTAMP] = 8,
	[BSON_INT64] = 8,
	[BSON_DECIMAL128] = 16,
};

static const struct {
	uint8_t type;
	const char *name;
} type_names[] = {
	{ BSON_DOUBLE, "double" },
	{ BSON_STRING, "string" },
	{ BSON_DOCUMENT, "object" },
	{ BSON_ARRAY, "array" },
	{ BSON_BINARY, "binData" },
	{ BSON_UNDEFINED, "undefined" },
	{ BSON_OID, "objectId" },
	{ BSON_BOOL, "bool" },
	{ BSON_DATE, "date" },
	{ BSON_NULL, "null" },
	{ BSON_REGEX, "regex" },
	{ BSON_DBPOINTER, "dbPointer" },
	{ BSON_CODE, "javascript" },
	{ BSON_SYMBOL, "symbol" },
	{ BSON_CODE_W_SCOPE, "javascriptWithScope" },
	{ BSON_INT32, "int" },
	{ BSON_TIMESTAMP, "timestamp" },
	{ BSON_INT64, "long" },
	{ BSON_DECIMAL128, "decimal" },
	{ BSON_MINKEY, "minKey" },
	{ BSON_MAXKEY, "maxKey" },
};

size_t bson_regex_size_(const uint8_t *p)
{
	size_t pattern = strlen((const char *)p) + 1;
	return pattern + strlen((const char *)p + pattern) + 1;
}

struct value bson_value_rare_(uint8_t type, const uint8_t *p)
{
	struct value v = { .type = type };
	switch (type) {
	case BSON_BINARY:
		v.subtype = p[4];
		v.len = get_le32(p);
		v.p = p + 5;
		if (v.subtype == 2) {
			v.len -= 4;
			v.p += 4;
		}
		break;
	case BSON_OID:
		v.len = 12;
		v.p = p;
		break;
	case BSON_SYMBOL:
	case BSON_CODE:
		v.len = get_le32(p) - 1;
		v.p = p + 4;
		break;
	case BSON_DECIMAL128: v.dec = (struct dec128){ get_le64(p), get_le64(p + 8) }; break;
	case BSON_REGEX:
	case BSON_DBPOINTER:
	case BSON_CODE_W_SCOPE:
		v.len = (uint32_t)bson_value_size(type, p);
		v.p = p;
		break;
	}
	return v;
}

const char *bson_type_name(uint8_t type)
{
	for (size_t i = 0; i < ARRAY_LEN(type_names); i++)
		if (type_names[i].type == type)
			return type_names[i].name;
	return type == BSON_MISSING ? "missing" : "unknown";
}

int bson_type_of_name(struct slice alias)
{
	for (size_t i = 0; i < ARRAY_LEN(type_names); i++)
		if (slice_is(alias, type_names[i].name))
			return type_names[i].type;
	return -1;
}

struct slice value_regex_pattern(struct value v)
{
	return slice_str((const char *)v.p);
}

struct slice value_regex_options(struct value v)
{
	return slice_str((const char *)v.p + strlen((const char *)v.p) + 1);
}

/* ---- validating ---- */

struct frame {
	const uint8_t *last; /* the final byte, which must be 0 and where the elements must end */
	struct slice key;    /* its name in the parent */
};

struct check {
	struct slice bytes;
	const uint8_t *at; /* the cursor */
	struct slice key;  /* of the element at hand */
	uint32_t depth;
	struct err *e;
	struct frame frame[BSON_DEPTH_MAX + 1];
};

/* Writes "a.b.c" of the element at hand; cuts what is too long. */
static void path_of(const struct check *c, char *out, size_t cap)
{
	size_t n = 0;
	for (uint32_t i = 1; i <= c->depth; i++) {
		struct slice key = i < c->depth ? c->frame[i].key : c->key;
		if (n + key.len + 2 > cap)
			break;
		if (i > 1)
			out[n++] = '.';
		if (key.len)
			memcpy(out + n, key.p, key.len);
		n += key.len;
	}
	out[utf8_valid_prefix(slice_of(out, n))] = '\0';
}

static int bad(const struct check *c, const uint8_t *where, const char *what)
{
	char path[200] = "";
	path_of(c, path, sizeof(path));
	size_t off = (size_t)(where - c->bytes.p);
	if (path[0])
		return err_set(c->e, ERR_FORMAT, "BSON, byte %zu, field %s: %s", off, path, what);
	return err_set(c->e, ERR_FORMAT, "BSON, byte %zu: %s", off, what);
}

/* The length of the NUL-terminated name at p where it is short and ASCII, as nearly all are; else
 * SHORT_NAMES, which means: look closer. */
enum { SHORT_NAMES = 16 };

static inline size_t short_name(const uint8_t *p, const uint8_t *last)
{
#ifdef __SSE2__
	if (likely(last - p >= SHORT_NAMES)) {
		__m128i x = _mm_loadu_si128((const __m128i *)(const void *)p);
		unsigned nul = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(x, _mm_setzero_si128()));
		unsigned high = (unsigned)_mm_movemask_epi8(x);
		if (likely(nul && !(high & (nul - 1))))
			return (size_t)__builtin_ctz(nul);
	}
#else
	(void)p;
	(void)last;
#endif
	return SHORT_NAMES;
}

/* A NUL-terminated name at *p that ends before last. */
static inline int check_cstring(struct check *c, const uint8_t **p, const uint8_t *last,
				struct slice *out, const char *what)
{
	size_t n = short_name(*p, last);
	if (likely(n < SHORT_NAMES)) {
		*out = slice_of(*p, n);
		*p += n + 1;
		return 0;
	}
	const uint8_t *nul = memchr(*p, 0, (size_t)(last - *p));
	if (!nul)
		return bad(c, *p, what);
	struct slice s = slice_of(*p, (size_t)(nul - *p));
	size_t ok = utf8_valid_prefix(s);
	if (ok != s.len)
		return bad(c, s.p + ok, "invalid UTF-8");
	*out = s;
	*p = nul + 1;
	return 0;
}

/* An int32 length, text, NUL. */
static int check_string(struct check *c, const uint8_t **p, const uint8_t *last)
{
	if (last - *p < 5)
		return bad(c, *p, "a string is cut short");
	uint32_t len = get_le32(*p);
	if (len == 0 || len > (size_t)(last - *p) - 4)
		return bad(c, *p, "a string's length does not fit");
	struct slice s = slice_of(*p + 4, len - 1);
	if (s.p[s.len] != 0)
		return bad(c, s.p + s.len, "a string lacks its NUL");
	size_t ok = utf8_valid_prefix(s);
	if (ok != s.len)
		return bad(c, s.p + ok, "invalid UTF-8");
	*p = s.p + len;
	return 0;
}

static int check_binary(struct check *c, const uint8_t **p, const uint8_t *last)
{
	if (last - *p < 5)
		return bad(c, *p, "binary data is cut short");
	uint32_t len = get_le32(*p);
	if (len > (size_t)(last - *p) - 5)
		return bad(c, *p, "the length of binary data does not fit");
	if ((*p)[4] == 2 && (len < 4 || get_le32(*p + 5) != len - 4))
		return bad(c, *p + 5, "the inner length of binary subtype 2 does not fit");
	*p += 5 + (size_t)len;
	return 0;
}

/* Enters the document at p, whose bytes must end at or before limit. */
static int push(struct check *c, const uint8_t *p, const uint8_t *limit)
{
	if (limit - p < 5)
		return bad(c, p, "a document is cut short");
	uint32_t len = get_le32(p);
	if (len < 5 || len > (size_t)(limit - p))
		return bad(c, p, "a document's length does not fit");
	if (p[len - 1] != 0)
		return bad(c, p + len - 1, "a document lacks its final NUL");
	if (c->depth > BSON_DEPTH_MAX)
		return err_set(c->e, ERR_LIMIT, "BSON, byte %zu: nested more than %d levels deep",
			       (size_t)(p - c->bytes.p), BSON_DEPTH_MAX);
	c->frame[c->depth++] = (struct frame){ p + len - 1, c->key };
	c->at = p + 4;
	return 0;
}

/* Code with scope: int32 total, string, document; the document must end where the total says. */
static int push_scope(struct check *c, const uint8_t *p, const uint8_t *last)
{
	if (last - p < 14)
		return bad(c, p, "code with scope is cut short");
	uint32_t len = get_le32(p);
	if (len < 14 || len > (size_t)(last - p))
		return bad(c, p, "the length of code with scope does not fit");
	const uint8_t *end = p + len, *scope = p + 4;
	int rc = check_string(c, &scope, end);
	if (rc < 0)
		return rc;
	if (end - scope < 5 || get_le32(scope) != (size_t)(end - scope))
		return bad(c, scope, "the length of a scope does not fit");
	return push(c, scope, end);
}

static int check_fixed(struct check *c, const uint8_t *p, const uint8_t *last, size_t size)
{
	if ((size_t)(last - p) < size)
		return bad(c, p, "a value is cut short");
	c->at = p + size;
	return 0;
}

/* One element at c->at, inside a document whose final byte is last. */
static int check_element(struct check *c, const uint8_t *last)
{
	uint8_t type = *c->at;
	const uint8_t *p = c->at + 1;
	const uint8_t *type_at = c->at;
	c->key = SLICE_NONE;
	struct slice ignored;
	int rc = check_cstring(c, &p, last, &c->key, "a field name lacks its NUL");
	if (rc < 0)
		return rc;
	switch (type) {
	case BSON_STRING:
	case BSON_CODE:
	case BSON_SYMBOL: rc = check_string(c, &p, last); break;
	case BSON_DOCUMENT:
	case BSON_ARRAY: return push(c, p, last);
	case BSON_CODE_W_SCOPE: return push_scope(c, p, last);
	case BSON_BINARY: rc = check_binary(c, &p, last); break;
	case BSON_DBPOINTER:
		rc = check_string(c, &p, last);
		return rc < 0 ? rc : check_fixed(c, p, last, 12);
	case BSON_REGEX:
		rc = check_cstring(c, &p, last, &ignored, "a pattern lacks its NUL");
		if (rc == 0)
			rc = check_cstring(c, &p, last, &ignored, "regex options lack their NUL");
		break;
	case BSON_BOOL:
		if (p<last && * p> 1)
			return bad(c, p, "a boolean is neither 0 nor 1");
		return check_fixed(c, p, last, 1);
	case BSON_UNDEFINED:
	case BSON_NULL:
	case BSON_MINKEY:
	case BSON_MAXKEY: break;
	case BSON_DOUBLE:
	case BSON_OID:
	case BSON_DATE:
	case BSON_INT32:
	case BSON_TIMESTAMP:
	case BSON_INT64:
	case BSON_DECIMAL128: return check_fixed(c, p, last, bson_size_[type]);
	default: return bad(c, type_at, "unknown type");
	}
	if (rc == 0)
		c->at = p;
	return rc;
}

int bson_validate(struct slice bytes, struct err *e)
{
	struct check c;
	c.bytes = bytes;
	c.key = SLICE_NONE;
	c.depth = 0;
	c.e = e;
	if (bytes.len > BSON_DOC_MAX)
		return err_set(e, ERR_LIMIT, "BSON: %zu bytes, more than %u", bytes.len,
			       BSON_DOC_MAX);
	if (bytes.len < 5 || get_le32(bytes.p) != bytes.len)
		return err_set(e, ERR_FORMAT,
			       "BSON, byte 0: the document's length does not fit its %zu bytes",
			       bytes.len);
	int rc = push(&c, bytes.p, bytes.p + bytes.len);
	while (rc == 0 && c.depth > 0) {
		const uint8_t *last = c.frame[c.depth - 1].last;
		if (c.at < last)
			rc = check_element(&c, last);
		else {
			c.depth--;
			c.at = last + 1;
		}
	}
	return rc;
}

/* ---- building ---- */

static void fail(struct bson_writer *w, int rc)
{
	if (w->rc == 0)
		w->rc = rc;
}

/* Makes room for the element and writes its type and name; NULL after a failure. The caller writes
 * `size` bytes there. */
static uint8_t *put_head(struct bson_writer *w, uint8_t type, struct slice key, size_t size)
{
	if (w->rc)
		return NULL;
	char digits[12];
	if (w->open[w->depth].array) {
		uint32_t index = w->open[w->depth].index++;
		size_t n = sizeof(digits);
		do {
			digits[--n] = (char)('0' + index % 10);
			index /= 10;
		} while (index);
		key = slice_of(digits + n, sizeof(digits) - n);
	} else if (unlikely(key.len && memchr(key.p, 0, key.len))) {
		fail(w, ERR_INVALID);
		return NULL;
	}
	struct buf *out = w->out;
	if (unlikely(size > BSON_DOC_MAX || key.len > BSON_DOC_MAX)) {
		fail(w, ERR_LIMIT);
		return NULL;
	}
	if (unlikely(!buf_reserve(out, size + key.len + 2))) {
		fail(w, ERR_NOMEM);
		return NULL;
	}
	uint8_t *p = out->p + out->len;
	*p++ = type;
	if (key.len)
		memcpy(p, key.p, key.len);
	p += key.len;
	*p++ = 0;
	out->len += size + key.len + 2;
	return p;
}

static void open_doc(struct bson_writer *w, bool array)
{
	w->open[w->depth].start = w->out->len - 4;
	w->open[w->depth].index = 0;
	w->open[w->depth].array = array;
}

void bson_writer_init(struct bson_writer *w, struct buf *out)
{
	w->out = out;
	w->rc = 0;
	w->depth = 0;
	if (!buf_reserve(out, 4)) {
		w->open[0].start = out->len;
		fail(w, ERR_NOMEM);
		return;
	}
	out->len += 4;
	open_doc(w, false);
}

static void begin(struct bson_writer *w, struct slice key, uint8_t type, bool array)
{
	if (w->rc == 0 && w->depth == BSON_DEPTH_MAX)
		fail(w, ERR_LIMIT);
	if (!put_head(w, type, key, 4))
		return;
	w->depth++;
	open_doc(w, array);
}

void bson_begin_doc(struct bson_writer *w, struct slice key)
{
	begin(w, key, BSON_DOCUMENT, false);
}

void bson_begin_array(struct bson_writer *w, struct slice key)
{
	begin(w, key, BSON_ARRAY, true);
}

static void close_doc(struct bson_writer *w)
{
	struct buf *out = w->out;
	buf_add_byte(out, 0);
	if (out->failed) {
		fail(w, ERR_NOMEM);
		return;
	}
	size_t start = w->open[w->depth].start, len = out->len - start;
	if (len > BSON_DOC_MAX) {
		fail(w, ERR_LIMIT);
		return;
	}
	put_le32(out->p + start, (uint32_t)len);
}

void bson_end(struct bson_writer *w)
{
	if (w->rc)
		return;
	ASSERT(w->depth > 0);
	close_doc(w);
	w->depth--;
}

int bson_finish(struct bson_writer *w, struct err *e)
{
	if (w->rc == 0) {
		ASSERT(w->depth == 0);
		close_doc(w);
	}
	if (w->rc == 0)
		return 0;
	if (w->out->len > w->open[0].start)
		w->out->len = w->open[0].start;
	switch (w->rc) {
	case ERR_NOMEM: return err_nomem(e);
	case ERR_INVALID: return err_set(e, ERR_INVALID, "a field name contains a NUL character");
	default:
		return err_set(e, ERR_LIMIT,
			       "the document is nested more than %d levels deep or larger than %u "
			       "bytes",
			       BSON_DEPTH_MAX, BSON_DOC_MAX);
	}
}

static void put_text(struct bson_writer *w, uint8_t type, struct slice key, struct slice s)
{
	uint8_t *p = put_head(w, type, key, s.len + 5);
	if (!p)
		return;
	put_le32(p, (uint32_t)s.len + 1);
	if (s.len)
		memcpy(p + 4, s.p, s.len);
	p[4 + s.len] = 0;
}

static void put_bytes(struct bson_writer *w, uint8_t type, struct slice key, struct slice s)
{
	uint8_t *p = put_head(w, type, key, s.len);
	if (p && s.len)
		memcpy(p, s.p, s.len);
}

static void put_64(struct bson_writer *w, uint8_t type, struct slice key, uint64_t bits)
{
	uint8_t *p = put_head(w, type, key, 8);
	if (p)
		put_le64(p, bits);
}

void bson_put(struct bson_writer *w, struct slice key, struct value v)
{
	uint8_t *p;
	switch ((enum bson_type)v.type) {
	case BSON_MISSING: return;
	case BSON_STRING:
	case BSON_CODE:
	case BSON_SYMBOL: put_text(w, v.type, key, value_slice(v)); return;
	case BSON_DOUBLE:
	case BSON_INT64:
	case BSON_DATE:
	case BSON_TIMESTAMP: put_64(w, v.type, key, (uint64_t)v.i64); return;
	case BSON_INT32: bson_put_int32(w, key, (int32_t)v.i64); return;
	case BSON_BOOL: bson_put_bool(w, key, v.i64 != 0); return;
	case BSON_BINARY: bson_put_binary(w, key, v.subtype, value_slice(v)); return;
	case BSON_DECIMAL128:
		p = put_head(w, v.type, key, 16);
		if (p) {
			put_le64(p, v.dec.lo);
			put_le64(p + 8, v.dec.hi);
		}
		return;
	case BSON_UNDEFINED:
	case BSON_NULL:
	case BSON_MINKEY:
	case BSON_MAXKEY: (void)put_head(w, v.type, key, 0); return;
	case BSON_DOCUMENT:
	case BSON_ARRAY:
	case BSON_OID:
	case BSON_REGEX:
	case BSON_DBPOINTER:
	case BSON_CODE_W_SCOPE: put_bytes(w, v.type, key, value_slice(v)); return;
	}
	ASSERT(v.type == BSON_MISSING); /* not a type at all */
}

void bson_put_raw(struct bson_writer *w, struct slice element)
{
	if (w->rc)
		return;
	ASSERT(!w->open[w->depth].array);
	buf_add_slice(w->out, element);
	if (w->out->failed)
		fail(w, ERR_NOMEM);
}

void bson_put_int32(struct bson_writer *w, struct slice key, int32_t v)
{
	uint8_t *p = put_head(w, BSON_INT32, key, 4);
	if (p)
		put_le32(p, (uint32_t)v);
}

void bson_put_int64(struct bson_writer *w, struct slice key, int64_t v)
{
	put_64(w, BSON_INT64, key, (uint64_t)v);
}

void bson_put_double(struct bson_writer *w, struct slice key, double v)
{
	uint64_t bits;
	memcpy(&bits, &v, 8);
	put_64(w, BSON_DOUBLE, key, bits);
}

void bson_put_bool(struct bson_writer *w, struct slice key, bool v)
{
	uint8_t *p = put_head(w, BSON_BOOL, key, 1);
	if (p)
		*p = v;
}

void bson_put_null(struct bson_writer *w, struct slice key)
{
	(void)put_head(w, BSON_NULL, key, 0);
}

void bson_put_string(struct bson_writer *w, struct slice key, struct slice s)
{
	put_text(w, BSON_STRING, key, s);
}

void bson_put_date(struct bson_writer *w, struct slice key, int64_t ms)
{
	put_64(w, BSON_DATE, key, (uint64_t)ms);
}

void bson_put_timestamp(struct bson_writer *w, struct slice key, uint32_t seconds,
			uint32_t increment)
{
	put_64(w, BSON_TIMESTAMP, key, (uint64_t)seconds << 32 | increment);
}

void bson_put_oid(struct bson_writer *w, struct slice key, const uint8_t oid[12])
{
	put_bytes(w, BSON_OID, key, slice_of(oid, 12));
}

void bson_put_binary(struct bson_writer *w, struct slice key, uint8_t subtype, struct slice data)
{
	size_t inner = subtype == 2 ? 4 : 0;
	uint8_t *p = put_head(w, BSON_BINARY, key, data.len + inner + 5);
	if (!p)
		return;
	put_le32(p, (uint32_t)(data.len + inner));
	p[4] = subtype;
	if (inner)
		put_le32(p + 5, (uint32_t)data.len);
	if (data.len)
		memcpy(p + 5 + inner, data.p, data.len);
}

void bson_put_doc(struct bson_writer *w, struct slice key, struct slice doc)
{
	put_bytes(w, BSON_DOCUMENT, key, doc);
}
