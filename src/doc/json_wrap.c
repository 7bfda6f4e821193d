/* json_wrap.c: the objects by which Extended JSON writes values that JSON lacks.
 *
 *	{"$oid": "5f..."}   {"$date": {"$numberLong": "0"}}
 *	{"$binary": {"base64": "", "subType": "00"}} ...
 *
 * An object whose first name is one of these must be such a value, whole and without other fields;
 * anything else that starts with '$' ($gt, $ref, $regex, ...) is an ordinary document. Each
 * handler stands behind the colon, reads the content and writes the value's bytes.
 *
 * Text that needs decoding (hexadecimal, base64, digits) is read into the output and decoded in
 * place: the result is never longer.
 */
#include "doc/json_scan.h"

#include "doc/decimal.h"
#include "doc/iso.h"
#include "doc/number.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- pieces ---- */

/* Reads a string; the text lies at w, which does not move. */
static int text(struct json_reader *r, struct slice *out, const char *what)
{
	if (json_peek(r) != '"')
		return json_bad(r, r->p, "expected %s", what);
	size_t start = json_at(r);
	r->p++;
	int rc = json_string(r, false);
	if (rc < 0)
		return rc;
	size_t len = json_at(r) - start;
	r->w -= len;
	rc = json_room(r, len + 64);
	*out = slice_of(r->w, len);
	return rc;
}

/* "name" : */
static int name(struct json_reader *r, const char *want, bool *found)
{
	size_t len = strlen(want);
	*found = false;
	json_skip_space(r);
	const uint8_t *p = r->p;
	if ((size_t)(r->end - p) < len + 2 || *p != '"' || memcmp(p + 1, want, len) != 0 ||
	    p[len + 1] != '"')
		return 0;
	r->p += len + 2;
	json_skip_space(r);
	if (json_peek(r) != ':')
		return json_bad(r, r->p, "expected ':' after a field name");
	r->p++;
	json_skip_space(r);
	*found = true;
	return 0;
}

static int need(struct json_reader *r, char c, const char *what)
{
	json_skip_space(r);
	if (json_peek(r) != (uint8_t)c)
		return json_bad(r, r->p, "expected %s", what);
	r->p++;
	return 0;
}

/* An object of exactly two fields, in either order: each is read by its function. */
struct field {
	const char *name;
	int (*read)(struct json_reader *r, void *arg);
};

static int two_fields(struct json_reader *r, const struct field f[2], void *arg)
{
	bool seen[2] = { false, false };
	int rc = need(r, '{', "'{'");
	for (int i = 0; i < 2 && rc == 0; i++) {
		bool found = false;
		for (int k = 0; k < 2 && rc == 0 && !found; k++) {
			if (seen[k])
				continue;
			rc = name(r, f[k].name, &found);
			if (rc == 0 && found) {
				seen[k] = true;
				rc = f[k].read(r, arg);
			}
		}
		if (rc == 0 && !found)
			return json_bad(r, r->p, "expected the field %s", f[seen[0] ? 1 : 0].name);
		if (rc == 0 && i == 0)
			rc = need(r, ',', "','");
	}
	return rc < 0 ? rc : need(r, '}', "'}'");
}

static bool parse_int64(struct slice s, int64_t *out)
{
	bool negative = s.len && s.p[0] == '-';
	size_t i = s.len && (s.p[0] == '-' || s.p[0] == '+');
	uint64_t v = 0;
	if (i == s.len)
		return false;
	for (; i < s.len; i++) {
		if (s.p[i] < '0' || s.p[i] > '9' || __builtin_mul_overflow(v, 10u, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v))
			return false;
	}
	if (v > (uint64_t)INT64_MAX + negative)
		return false;
	*out = (int64_t)(negative ? 0 - v : v);
	return true;
}

static int put_int64(struct json_reader *r, int64_t v, int type)
{
	put_le64(r->w, (uint64_t)v);
	r->w += 8;
	return type;
}

static int nibble(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool unhex(const uint8_t *p, size_t n, uint8_t *out)
{
	for (size_t i = 0; i < n; i++) {
		int hi = nibble(p[2 * i]), lo = nibble(p[2 * i + 1]);
		if (hi < 0 || lo < 0)
			return false;
		out[i] = (uint8_t)(hi << 4 | lo);
	}
	return true;
}

/* Padded base64, in place; the bytes, or -1. */
static ptrdiff_t unbase64(uint8_t *p, size_t len)
{
	uint8_t *out = p, *start = p;
	if (len % 4)
		return -1;
	for (size_t i = 0; i < len; i += 4) {
		uint32_t v = 0;
		int pad = 0;
		for (size_t k = 0; k < 4; k++) {
			uint8_t c = p[i + k];
			uint32_t d = 0;
			if (c >= 'A' && c <= 'Z')
				d = c - 'A';
			else if (c >= 'a' && c <= 'z')
				d = c - 'a' + 26u;
			else if (c >= '0' && c <= '9')
				d = c - '0' + 52u;
			else if (c == '+')
				d = 62;
			else if (c == '/')
				d = 63;
			else if (c == '=' && i + 4 == len && k >= 2)
				pad++;
			else
				return -1;
			if (pad && c != '=')
				return -1;
			v = v << 6 | d;
		}
		*out++ = (uint8_t)(v >> 16);
		if (pad < 2)
			*out++ = (uint8_t)(v >> 8);
		if (pad < 1)
			*out++ = (uint8_t)v;
	}
	return out - start;
}

/* ---- one handler a wrapper ---- */

static int oid(struct json_reader *r)
{
	const uint8_t *at = r->p;
	struct slice s;
	int rc = text(r, &s, "a string of 24 hexadecimal digits");
	if (rc < 0)
		return rc;
	uint8_t bytes[12];
	if (s.len != 24 || !unhex(s.p, 12, bytes))
		return json_bad(r, at, "$oid: expected 24 hexadecimal digits");
	memcpy(r->w, bytes, 12);
	r->w += 12;
	return BSON_OID;
}

static int number_int(struct json_reader *r)
{
	const uint8_t *at = r->p;
	struct slice s;
	int64_t v;
	int rc = text(r, &s, "an integer as a string");
	if (rc < 0)
		return rc;
	if (!parse_int64(s, &v) || v < INT32_MIN || v > INT32_MAX)
		return json_bad(r, at, "$numberInt: expected a 32-bit integer");
	put_le32(r->w, (uint32_t)v);
	r->w += 4;
	return BSON_INT32;
}

static int number_long(struct json_reader *r)
{
	const uint8_t *at = r->p;
	struct slice s;
	int64_t v;
	int rc = text(r, &s, "an integer as a string");
	if (rc < 0)
		return rc;
	if (!parse_int64(s, &v))
		return json_bad(r, at, "$numberLong: expected a 64-bit integer");
	return put_int64(r, v, BSON_INT64);
}

static int number_double(struct json_reader *r)
{
	const uint8_t *at = r->p;
	struct slice s;
	double d;
	int rc = text(r, &s, "a number as a string");
	if (rc < 0)
		return rc;
	if (slice_is(s, "NaN"))
		d = __builtin_nan("");
	else if (slice_is(s, "Infinity"))
		d = __builtin_inf();
	else if (slice_is(s, "-Infinity"))
		d = -__builtin_inf();
	else if (num_parse_double(s, &d) == ERR_FORMAT)
		return json_bad(r, at, "$numberDouble: expected a number");
	memcpy(r->w, &d, 8);
	r->w += 8;
	return BSON_DOUBLE;
}

static int number_decimal(struct json_reader *r)
{
	const uint8_t *at = r->p;
	struct slice s;
	struct dec128 d;
	bool inexact;
	int rc = text(r, &s, "a number as a string");
	if (rc < 0)
		return rc;
	if (dec_from_string(s, &d, &inexact) < 0)
		return json_bad(r, at, "$numberDecimal: expected a decimal number");
	if (inexact)
		return json_bad(r, at, "$numberDecimal: the number does not fit into 34 digits");
	put_le64(r->w, d.lo);
	put_le64(r->w + 8, d.hi);
	r->w += 16;
	return BSON_DECIMAL128;
}

static int date(struct json_reader *r)
{
	const uint8_t *at = r->p;
	struct slice s;
	int64_t ms;
	if (json_peek(r) == '{') {
		bool found;
		r->p++;
		int rc = name(r, "$numberLong", &found);
		if (rc < 0)
			return rc;
		if (!found)
			return json_bad(r, r->p, "$date: expected $numberLong");
		rc = number_long(r);
		if (rc < 0)
			return rc;
		rc = need(r, '}', "'}'");
		return rc < 0 ? rc : BSON_DATE;
	}
	int rc = text(r, &s, "an ISO-8601 string or {\"$numberLong\": \"...\"}");
	if (rc < 0)
		return rc;
	if (!iso_parse(s, &ms))
		return json_bad(r, at, "$date: expected a date like 2012-12-24T12:15:30.501Z");
	return put_int64(r, ms, BSON_DATE);
}

struct binary {
	size_t start; /* of the value in the output; the data follow 5 bytes later */
	size_t len;
	uint8_t subtype;
};

static int binary_data(struct json_reader *r, void *arg)
{
	struct binary *b = arg;
	const uint8_t *at = r->p;
	struct slice s;
	r->w += 5;
	int rc = text(r, &s, "a base64 string");
	if (rc < 0)
		return rc;
	ptrdiff_t n = unbase64(r->w, s.len);
	if (n < 0)
		return json_bad(r, at, "$binary: expected base64");
	b->len = (size_t)n;
	r->w += n;
	return json_room(r, 64);
}

static int binary_subtype(struct json_reader *r, void *arg)
{
	struct binary *b = arg;
	const uint8_t *at = r->p;
	struct slice s;
	int rc = text(r, &s, "a string of two hexadecimal digits");
	if (rc < 0)
		return rc;
	int v = 0;
	for (size_t i = 0; i < s.len; i++) {
		int d = nibble(s.p[i]);
		v = d < 0 || i > 1 ? -1 : v << 4 | d;
		if (v < 0)
			break;
	}
	if (s.len == 0 || v < 0)
		return json_bad(r, at, "$binary: expected a subtype of two hexadecimal digits");
	b->subtype = (uint8_t)v;
	return 0;
}

/* Puts the head before data that are there already; subtype 2 repeats the length inside. */
static int finish_binary(struct json_reader *r, const struct binary *b)
{
	int rc = json_room(r, 64);
	if (rc < 0)
		return rc;
	uint8_t *p = r->out->p + b->start;
	size_t inner = b->subtype == 2 ? 4 : 0;
	if (inner) {
		memmove(p + 9, p + 5, b->len);
		put_le32(p + 5, (uint32_t)b->len);
		r->w += 4;
	}
	put_le32(p, (uint32_t)(b->len + inner));
	p[4] = b->subtype;
	return BSON_BINARY;
}

static int binary(struct json_reader *r)
{
	struct binary b = { .start = json_at(r) };
	if (json_peek(r) == '"') { /* the old form: {"$binary": "...", "$type": "00"} */
		bool found = false;
		int rc = binary_data(r, &b);
		if (rc == 0)
			rc = need(r, ',', "',' and \"$type\"");
		if (rc == 0)
			rc = name(r, "$type", &found);
		if (rc == 0 && !found)
			rc = json_bad(r, r->p, "expected the field $type");
		if (rc == 0)
			rc = binary_subtype(r, &b);
		return rc < 0 ? rc : finish_binary(r, &b);
	}
	static const struct field fields[2] = { { "base64", binary_data },
						{ "subType", binary_subtype } };
	int rc = two_fields(r, fields, &b);
	return rc < 0 ? rc : finish_binary(r, &b);
}

static int uuid(struct json_reader *r)
{
	static const uint8_t groups[] = { 4, 2, 2, 2, 6 }; /* bytes between the dashes */
	const uint8_t *at = r->p;
	struct slice s;
	int rc = text(r, &s, "a UUID as a string");
	if (rc < 0)
		return rc;
	uint8_t bytes[16];
	size_t n = 0, i = 0;
	bool good = s.len == 36;
	for (size_t g = 0; good && g < ARRAY_LEN(groups); g++) {
		if (g > 0)
			good = s.p[i++] == '-';
		good = good && unhex(s.p + i, groups[g], bytes + n);
		i += 2u * groups[g];
		n += groups[g];
	}
	if (!good)
		return json_bad(r, at, "$uuid: expected 8-4-4-4-12 hexadecimal digits");
	put_le32(r->w, 16);
	r->w[4] = 4;
	memcpy(r->w + 5, bytes, 16);
	r->w += 21;
	return BSON_BINARY;
}

/* int32 length, text, NUL */
static int length_and_text(struct json_reader *r, const char *what)
{
	if (json_peek(r) != '"')
		return json_bad(r, r->p, "expected %s", what);
	r->p++;
	size_t start = json_at(r);
	r->w += 4;
	int rc = json_string(r, false);
	if (rc < 0)
		return rc;
	r->w++;
	put_le32(r->out->p + start, (uint32_t)(json_at(r) - start - 4));
	return json_room(r, 64);
}

static int symbol(struct json_reader *r)
{
	int rc = length_and_text(r, "a string");
	return rc < 0 ? rc : BSON_SYMBOL;
}

/* {"$code": "..."} or {"$code": "...", "$scope": {...}} */
static int code(struct json_reader *r)
{
	size_t start = json_at(r);
	int rc = length_and_text(r, "a string");
	if (rc < 0)
		return rc;
	json_skip_space(r);
	if (json_peek(r) != ',')
		return BSON_CODE;
	r->p++;
	bool found;
	rc = name(r, "$scope", &found);
	if (rc < 0)
		return rc;
	if (!found)
		return json_bad(r, r->p, "expected the field $scope");
	memmove(r->out->p + start + 4, r->out->p + start, json_at(r) - start);
	r->w += 4;
	rc = need(r, '{', "a document");
	if (rc == 0)
		rc = json_object(r);
	if (rc < 0)
		return rc;
	put_le32(r->out->p + start, (uint32_t)(json_at(r) - start));
	return BSON_CODE_W_SCOPE;
}

static int timestamp_part(struct json_reader *r, uint32_t *out)
{
	uint64_t v = 0;
	const uint8_t *at = r->p;
	while (r->p < r->end && *r->p >= '0' && *r->p <= '9' && v <= UINT32_MAX)
		v = v * 10 + (uint64_t)(*r->p++ - '0');
	if (r->p == at || v > UINT32_MAX)
		return json_bad(r, at, "$timestamp: expected an integer from 0 to %u", UINT32_MAX);
	*out = (uint32_t)v;
	return 0;
}

static int timestamp_seconds(struct json_reader *r, void *arg)
{
	return timestamp_part(r, (uint32_t *)arg + 1);
}

static int timestamp_increment(struct json_reader *r, void *arg)
{
	return timestamp_part(r, (uint32_t *)arg);
}

static int timestamp(struct json_reader *r)
{
	static const struct field fields[2] = { { "t", timestamp_seconds },
						{ "i", timestamp_increment } };
	uint32_t v[2] = { 0, 0 }; /* as stored: increment, seconds */
	int rc = two_fields(r, fields, v);
	if (rc < 0)
		return rc;
	return put_int64(r, (int64_t)((uint64_t)v[1] << 32 | v[0]), BSON_TIMESTAMP);
}

/* The pattern is written as it is read; options that came first wait here. */
struct regex {
	char options[16];
	size_t n;
	bool pattern_done;
};

static int regex_text(struct json_reader *r, const char *what)
{
	if (json_peek(r) != '"')
		return json_bad(r, r->p, "expected %s", what);
	r->p++;
	return json_string(r, /* is_name: no NUL */ true);
}

static int regex_pattern(struct json_reader *r, void *arg)
{
	struct regex *x = arg;
	int rc = regex_text(r, "a pattern as a string");
	if (rc < 0)
		return rc;
	r->w++;
	x->pattern_done = true;
	return json_room(r, 64);
}

static int compare_chars(const void *a, const void *b)
{
	return *(const char *)a - *(const char *)b;
}

static int regex_options(struct json_reader *r, void *arg)
{
	struct regex *x = arg;
	const uint8_t *at = r->p;
	size_t start = json_at(r);
	int rc = regex_text(r, "options as a string");
	if (rc < 0)
		return rc;
	size_t n = json_at(r) - start;
	const uint8_t *text_at = r->out->p + start;
	if (n > sizeof(x->options))
		return json_bad(r, at, "$regularExpression: too many options");
	for (size_t i = 0; i < n; i++)
		if (text_at[i] >= 0x80)
			return json_bad(r, at, "$regularExpression: options are ASCII letters");
	memcpy(x->options, text_at, n);
	x->n = n;
	r->w -= n;
	qsort(x->options, n, 1, compare_chars);
	return 0;
}

static int regex(struct json_reader *r)
{
	static const struct field fields[2] = { { "pattern", regex_pattern },
						{ "options", regex_options } };
	struct regex x = { .n = 0 };
	int rc = two_fields(r, fields, &x);
	if (rc < 0)
		return rc;
	memcpy(r->w, x.options, x.n);
	r->w[x.n] = 0;
	r->w += x.n + 1;
	return BSON_REGEX;
}

struct pointer {
	uint8_t id[12];
};

static int pointer_ref(struct json_reader *r, void *arg)
{
	(void)arg;
	return length_and_text(r, "a namespace as a string");
}

static int pointer_id(struct json_reader *r, void *arg)
{
	struct pointer *x = arg;
	bool found = false;
	int rc = need(r, '{', "{\"$oid\": \"...\"}");
	if (rc == 0)
		rc = name(r, "$oid", &found);
	if (rc == 0 && !found)
		rc = json_bad(r, r->p, "expected the field $oid");
	if (rc == 0)
		rc = oid(r);
	if (rc < 0)
		return rc;
	r->w -= 12;
	memcpy(x->id, r->w, 12);
	return need(r, '}', "'}'");
}

static int pointer(struct json_reader *r)
{
	static const struct field fields[2] = { { "$ref", pointer_ref }, { "$id", pointer_id } };
	struct pointer x;
	int rc = two_fields(r, fields, &x);
	if (rc < 0)
		return rc;
	memcpy(r->w, x.id, 12);
	r->w += 12;
	return BSON_DBPOINTER;
}

static int constant(struct json_reader *r, const char *word, int type)
{
	size_t len = strlen(word);
	if ((size_t)(r->end - r->p) < len || memcmp(r->p, word, len) != 0)
		return json_bad(r, r->p, "expected %s", word);
	r->p += len;
	return type;
}

static int undefined(struct json_reader *r)
{
	return constant(r, "true", BSON_UNDEFINED);
}

static int min_key(struct json_reader *r)
{
	return constant(r, "1", BSON_MINKEY);
}

static int max_key(struct json_reader *r)
{
	return constant(r, "1", BSON_MAXKEY);
}

/* ---- the table ---- */

static const struct wrapper {
	struct slice name;
	int (*read)(struct json_reader *r);
} wrappers[] = {
#define ROW(n, f) \
	{ \
		{ (const uint8_t *)(n), sizeof(n) - 1 }, f \
	}
	ROW("$oid", oid),
	ROW("$date", date),
	ROW("$numberLong", number_long),
	ROW("$numberInt", number_int),
	ROW("$numberDouble", number_double),
	ROW("$numberDecimal", number_decimal),
	ROW("$binary", binary),
	ROW("$uuid", uuid),
	ROW("$timestamp", timestamp),
	ROW("$regularExpression", regex),
	ROW("$minKey", min_key),
	ROW("$maxKey", max_key),
	ROW("$code", code),
	ROW("$symbol", symbol),
	ROW("$dbPointer", pointer),
	ROW("$undefined", undefined),
#undef ROW
};

int json_wrapper(struct json_reader *r)
{
	const uint8_t *at = r->p + 1;
	for (size_t i = 0; i < ARRAY_LEN(wrappers); i++) {
		const struct wrapper *x = &wrappers[i];
		if ((size_t)(r->end - at) <= x->name.len || at[x->name.len] != '"' ||
		    memcmp(at, x->name.p, x->name.len) != 0)
			continue;
		r->p = at + x->name.len + 1;
		int rc = need(r, ':', "':' after a field name");
		if (rc < 0)
			return rc;
		json_skip_space(r);
		int type = x->read(r);
		if (type < 0)
			return type;
		json_skip_space(r);
		if (json_peek(r) != '}')
			return json_bad(r, r->p, "expected '}' after the value of %s",
					(const char *)x->name.p);
		r->p++;
		return type;
	}
	return 0;
}
