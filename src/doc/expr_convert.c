/* expr_convert.c: $convert and its short forms, $type, $isNumber.
 *
 * One function a target type; what a source cannot become is error 241, which onError replaces. A wrong specification
 * (an unknown type, a bad format) is an error in any case.
 */
#include "doc/expr_node.h"

#include "base/utf8.h"
#include "doc/datetime.h"
#include "doc/expr_text.h"
#include "doc/number.h"

#include <math.h>
#include <stdio.h>

#define GROUP "type"

struct target {
	uint8_t type;
	uint8_t subtype;
	bool big_endian; /* numbers in binData */
	int base;        /* of whole numbers as text: 2, 8, 10, 16; 0: not given */
	struct value format;
};

static int no_conversion(struct value v, uint8_t to, struct err *e)
{
	return err_number(e, ERR_TYPE, 241, "$convert: %s does not become %s", value_type_name(v),
			  bson_type_name(to));
}

static int overflow(struct err *e)
{
	return err_number(e, ERR_INVALID, 241, "$convert: the number does not fit the type");
}

static int not_text_of(const char *what, struct err *e)
{
	return err_number(e, ERR_FORMAT, 241, "$convert: the text is no %s", what);
}

/* ---- to numbers ---- */

static int hex_digit(uint8_t b)
{
	if (b >= '0' && b <= '9')
		return b - '0';
	b |= 0x20;
	return b >= 'a' && b <= 'f' ? b - 'a' + 10 : -1;
}

static int text_to_int64(struct slice s, int base, int64_t *out, struct err *e)
{
	bool negative = s.len && s.p[0] == '-';
	if (s.len && (s.p[0] == '-' || s.p[0] == '+'))
		s = slice_of(s.p + 1, s.len - 1);
	int64_t v = 0;
	if (s.len == 0)
		return not_text_of("integer", e);
	for (size_t i = 0; i < s.len; i++) {
		int digit = hex_digit(s.p[i]);
		if (digit < 0 || digit >= base)
			return not_text_of("integer", e);
		if (__builtin_mul_overflow(v, base, &v) || __builtin_sub_overflow(v, digit, &v))
			return overflow(e);
	}
	if (!negative && v == INT64_MIN)
		return overflow(e);
	*out = negative ? v : -v;
	return 0;
}

/* A whole number as binData: 1, 2, 4 or 8 bytes in two's complement. */
static bool binary_to_int64(struct value v, bool big_endian, int64_t *out)
{
	uint64_t bits = 0;
	if (v.subtype != 0 || (v.len != 1 && v.len != 2 && v.len != 4 && v.len != 8))
		return false;
	for (uint32_t i = 0; i < v.len; i++)
		bits = bits << 8 | v.p[big_endian ? i : v.len - 1 - i];
	unsigned unused = 64 - 8 * v.len;
	*out = (int64_t)(bits << unused) >> unused;
	return true;
}

/* The whole part. */
static int to_int64(struct value v, const struct target *to, int64_t *out, struct err *e)
{
	switch (v.type) {
	case BSON_INT32:
	case BSON_INT64:
	case BSON_BOOL: *out = v.i64; return 0;
	case BSON_DOUBLE:
		if (isnan(v.f64) || isinf(v.f64))
			return err_number(e, ERR_INVALID, 241,
					  "$convert: NaN and infinity are no integers");
		if (!(v.f64 >= -0x1p63 && v.f64 < 0x1p63))
			return overflow(e);
		*out = (int64_t)v.f64;
		return 0;
	case BSON_DECIMAL128: return dec_to_int64(v.dec, out) ? 0 : overflow(e);
	case BSON_STRING: return text_to_int64(value_slice(v), to->base ? to->base : 10, out, e);
	case BSON_DATE:
		if (to->type == BSON_INT32)
			return no_conversion(v, to->type, e);
		*out = v.i64;
		return 0;
	case BSON_BINARY:
		if (to->type != BSON_DATE && (to->type == BSON_INT64 || v.len <= 4) &&
		    binary_to_int64(v, to->big_endian, out))
			return 0;
		return no_conversion(v, to->type, e);
	default: return no_conversion(v, to->type, e);
	}
}

static int to_integer(struct value v, const struct target *to, struct value *out, struct err *e)
{
	int64_t i;
	int rc = to_int64(v, to, &i, e);
	if (rc < 0)
		return rc;
	if (to->type == BSON_INT32 && (i < INT32_MIN || i > INT32_MAX))
		return overflow(e);
	*out = to->type == BSON_INT32 ? value_int32((int32_t)i) : value_int64(i);
	return 0;
}

static bool special_text(struct slice s, double *out)
{
	bool negative = s.len && s.p[0] == '-';
	if (s.len && (s.p[0] == '-' || s.p[0] == '+'))
		s = slice_of(s.p + 1, s.len - 1);
	char text[10] = "";
	if (s.len == 0 || s.len >= sizeof(text))
		return false;
	for (size_t i = 0; i < s.len; i++)
		text[i] = (char)(s.p[i] | 0x20);
	if (strcmp(text, "nan") == 0)
		*out = NAN;
	else if (strcmp(text, "inf") == 0 || strcmp(text, "infinity") == 0)
		*out = negative ? -INFINITY : INFINITY;
	else
		return false;
	return true;
}

/* A whole number in another base than ten, where one is asked for; then no other text is a number. */
static bool wants_base(struct value v, const struct target *to)
{
	return to->base && to->base != 10 && v.type == BSON_STRING;
}

/* 4 or 8 bytes of IEEE 754. */
static bool binary_to_double(struct value v, bool big_endian, double *out)
{
	uint8_t bytes[8] = { 0 };
	if (v.subtype != 0 || (v.len != 4 && v.len != 8))
		return false;
	for (uint32_t i = 0; i < v.len; i++)
		bytes[i] = v.p[big_endian ? v.len - 1 - i : i];
	uint32_t narrow = get_le32(bytes);
	float f;
	memcpy(&f, &narrow, sizeof(f));
	*out = f;
	if (v.len == 8) {
		uint64_t wide = get_le64(bytes);
		memcpy(out, &wide, sizeof(*out));
	}
	return true;
}

static int to_double(struct value v, const struct target *to, struct value *out, struct err *e)
{
	double d;
	int64_t whole;
	switch (v.type) {
	case BSON_DOUBLE: d = v.f64; break;
	case BSON_DATE:
	case BSON_BOOL:
	case BSON_INT32:
	case BSON_INT64: d = (double)v.i64; break;
	case BSON_DECIMAL128:
		d = dec_to_double(v.dec);
		if (isinf(d) && !dec_is_inf(v.dec))
			return overflow(e);
		break;
	case BSON_BINARY:
		if (!binary_to_double(v, to->big_endian, &d))
			return no_conversion(v, BSON_DOUBLE, e);
		break;
	case BSON_STRING:
		if (wants_base(v, to)) {
			int rc = text_to_int64(value_slice(v), to->base, &whole, e);
			if (rc < 0)
				return rc;
			d = (double)whole;
		} else if (!special_text(value_slice(v), &d)) {
			int rc = num_parse_double(value_slice(v), &d);
			if (rc < 0)
				return rc == ERR_LIMIT ? overflow(e) : not_text_of("number", e);
		}
		break;
	default: return no_conversion(v, BSON_DOUBLE, e);
	}
	*out = value_double(d);
	return 0;
}

static int to_decimal(struct value v, const struct target *to, struct value *out, struct err *e)
{
	struct dec128 d;
	double special;
	int64_t whole;
	bool inexact;
	switch (v.type) {
	case BSON_DOUBLE:
	case BSON_INT32:
	case BSON_INT64:
	case BSON_DECIMAL128: d = value_to_decimal(v); break;
	case BSON_DATE:
	case BSON_BOOL: d = dec_from_int64(v.i64); break;
	case BSON_STRING:
		if (wants_base(v, to)) {
			int rc = text_to_int64(value_slice(v), to->base, &whole, e);
			if (rc < 0)
				return rc;
			d = dec_from_int64(whole);
		} else if (special_text(value_slice(v), &special))
			d = dec_from_double(special);
		else if (dec_from_string(value_slice(v), &d, &inexact) < 0)
			return not_text_of("number", e);
		else if (dec_is_inf(d))
			return overflow(e);
		break;
	default: return no_conversion(v, BSON_DECIMAL128, e);
	}
	*out = value_decimal(d);
	return 0;
}

/* ---- to bool, date, ObjectId ---- */

static void to_bool(struct value v, struct value *out)
{
	*out = value_bool(value_truth(v));
}

static int to_date(struct value v, struct value *out, struct err *e)
{
	int64_t ms;
	int rc = 0;
	switch (v.type) {
	case BSON_DATE: ms = v.i64; break;
	case BSON_TIMESTAMP: ms = (int64_t)((uint64_t)v.i64 >> 32) * 1000; break;
	case BSON_OID: ms = (int64_t)get_be32(v.p) * 1000; break;
	case BSON_DOUBLE:
	case BSON_INT64:
	case BSON_DECIMAL128:
		rc = to_int64(v, &(struct target){ .type = BSON_DATE }, &ms, e);
		break;
	case BSON_STRING:
		rc = date_parse(value_slice(v), SLICE_NONE, NULL, &ms, e);
		if (rc < 0)
			rc = err_in(e, rc, "$convert");
		break;
	default: return no_conversion(v, BSON_DATE, e);
	}
	if (rc == 0)
		*out = value_date(ms);
	return rc;
}

/* Two digits a byte into out, s.len / 2 of them. */
static bool read_hex(struct slice s, uint8_t *out)
{
	for (size_t i = 0; i + 1 < s.len; i += 2) {
		int high = hex_digit(s.p[i]), low = hex_digit(s.p[i + 1]);
		if (high < 0 || low < 0)
			return false;
		out[i / 2] = (uint8_t)(high << 4 | low);
	}
	return s.len % 2 == 0;
}

static int to_oid(struct value v, struct expr_env *env, struct value *out, struct err *e)
{
	if (v.type == BSON_OID) {
		*out = v;
		return 0;
	}
	if (v.type != BSON_STRING)
		return no_conversion(v, BSON_OID, e);
	uint8_t *p = env_alloc(env, 12);
	if (!p)
		return env_nomem(env, e);
	if (v.len != 24 || !read_hex(value_slice(v), p))
		return not_text_of("ObjectId", e);
	*out = (struct value){ .type = BSON_OID, .len = 12, .p = p };
	return 0;
}

/* ---- binData and text ---- */

enum format { FORMAT_AUTO, FORMAT_BASE64, FORMAT_BASE64URL, FORMAT_HEX, FORMAT_UTF8, FORMAT_UUID };

static int format_of(struct value v, enum format *out, struct err *e)
{
	static const char *const names[] = { "auto", "base64", "base64url", "hex", "utf8", "uuid" };
	if (v.type == BSON_MISSING)
		return err_number(e, ERR_INVALID, 4341115,
				  "$convert between strings and binData needs a 'format'");
	if (v.type != BSON_STRING)
		return err_number(e, ERR_TYPE, 4341114, "$convert: 'format' is a string, not %s",
				  value_type_name(v));
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (!slice_is(value_slice(v), names[i]))
			continue;
		*out = (enum format)i;
		return 0;
	}
	return err_number(e, ERR_INVALID, 4341125,
			  "$convert: 'format' is one of auto, base64, base64url, hex, utf8, uuid");
}

static int base64_digit(uint8_t b, bool url)
{
	if (b >= 'A' && b <= 'Z')
		return b - 'A';
	if (b >= 'a' && b <= 'z')
		return b - 'a' + 26;
	if (b >= '0' && b <= '9')
		return b - '0' + 52;
	if (b == (url ? '-' : '+'))
		return 62;
	return b == (url ? '_' : '/') ? 63 : -1;
}

static bool read_base64(struct slice s, bool url, uint8_t *out, size_t *len)
{
	size_t padding = 0, n = 0;
	while (padding < 2 && s.len && s.p[s.len - 1] == '=') {
		padding++;
		s.len--;
	}
	if (s.len % 4 == 1 || (padding && (s.len + padding) % 4) || (!url && (s.len + padding) % 4))
		return false;
	uint32_t bits = 0;
	for (size_t i = 0; i < s.len; i++) {
		int digit = base64_digit(s.p[i], url);
		if (digit < 0)
			return false;
		bits = bits << 6 | (uint32_t)digit;
		if (i % 4)
			out[n++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
	}
	*len = n;
	return true;
}

/* 8-4-4-4-12 hexadecimal digits. */
static bool read_uuid(struct slice s, uint8_t out[16])
{
	uint8_t digits[32];
	size_t n = 0;
	if (s.len != 36)
		return false;
	for (size_t i = 0; i < 36; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;
		if ((s.p[i] == '-') != dash)
			return false;
		if (!dash)
			digits[n++] = s.p[i];
	}
	return read_hex(slice_of(digits, 32), out);
}

static int text_to_binary(struct value v, const struct target *to, struct expr_env *env,
			  struct value *out, struct err *e)
{
	enum format f;
	int rc = format_of(to->format, &f, e);
	if (rc < 0)
		return rc;
	if (f == FORMAT_AUTO)
		return err_number(e, ERR_INVALID, 4341125,
				  "$convert: the format 'auto' is only for binData to string");
	if ((f == FORMAT_UUID) != (to->subtype == 4))
		return err_number(e, ERR_INVALID, 241,
				  "$convert: the format 'uuid' and subtype 4 go together");
	struct slice s = value_slice(v);
	size_t len = s.len;
	uint8_t *p = env_alloc(env, s.len + 16);
	bool ok = true;
	if (!p)
		return env_nomem(env, e);
	switch (f) {
	case FORMAT_AUTO: break;
	case FORMAT_BASE64:
	case FORMAT_BASE64URL: ok = read_base64(s, f == FORMAT_BASE64URL, p, &len); break;
	case FORMAT_HEX:
		ok = read_hex(s, p);
		len /= 2;
		break;
	case FORMAT_UTF8: memcpy(p, s.len ? s.p : p, s.len); break;
	case FORMAT_UUID:
		ok = read_uuid(s, p);
		len = 16;
		break;
	}
	if (!ok)
		return not_text_of("binData of the format", e);
	*out = (struct value){
		.type = BSON_BINARY, .subtype = to->subtype, .len = (uint32_t)len, .p = p
	};
	return 0;
}

/* int32: 4 bytes; int64, double: 8. */
static int number_to_binary(struct value v, const struct target *to, struct expr_env *env,
			    struct value *out, struct err *e)
{
	uint64_t bits = (uint64_t)v.i64;
	uint32_t len = v.type == BSON_INT32 ? 4 : 8;
	if (v.type == BSON_DOUBLE)
		memcpy(&bits, &v.f64, sizeof(bits));
	if (to->subtype != 0)
		return err_number(e, ERR_INVALID, 241,
				  "$convert: numbers become binData of subtype 0 only");
	uint8_t *p = env_alloc(env, len);
	if (!p)
		return env_nomem(env, e);
	for (uint32_t i = 0; i < len; i++)
		p[to->big_endian ? len - 1 - i : i] = (uint8_t)(bits >> (8 * i));
	*out = (struct value){ .type = BSON_BINARY, .len = len, .p = p };
	return 0;
}

static int to_binary(struct value v, const struct target *to, struct expr_env *env,
		     struct value *out, struct err *e)
{
	if (v.type == BSON_STRING)
		return text_to_binary(v, to, env, out, e);
	if (v.type == BSON_INT32 || v.type == BSON_INT64 || v.type == BSON_DOUBLE)
		return number_to_binary(v, to, env, out, e);
	if (v.type != BSON_BINARY)
		return no_conversion(v, BSON_BINARY, e);
	if (v.subtype != to->subtype)
		return err_number(e, ERR_INVALID, 241, "$convert: binData keeps its subtype");
	*out = v;
	return 0;
}

static const char upper_digits[] = "0123456789ABCDEF", lower_digits[] = "0123456789abcdef";

static size_t put_base64(struct slice s, bool url, uint8_t *out)
{
	static const char common[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
	size_t n = 0;
	for (size_t i = 0; i < s.len; i += 3) {
		size_t have = MIN((size_t)3, s.len - i);
		uint32_t bits = 0;
		for (size_t j = 0; j < 3; j++)
			bits = bits << 8 | (j < have ? s.p[i + j] : 0);
		for (size_t j = 0; j <= have; j++) {
			uint32_t digit = bits >> (18 - 6 * j) & 63;
			out[n++] = (uint8_t)(digit < 62    ? common[digit]
					     : digit == 62 ? (url ? '-' : '+')
							   : (url ? '_' : '/'));
		}
		for (size_t j = have; !url && j < 3; j++)
			out[n++] = '=';
	}
	return n;
}

static size_t put_hex(struct slice s, const char *digits, bool dashes, uint8_t *out)
{
	size_t n = 0;
	for (size_t i = 0; i < s.len; i++) {
		if (dashes && (i == 4 || i == 6 || i == 8 || i == 10))
			out[n++] = '-';
		out[n++] = (uint8_t)digits[s.p[i] >> 4];
		out[n++] = (uint8_t)digits[s.p[i] & 15];
	}
	return n;
}

static int binary_to_text(struct value v, const struct target *to, struct expr_env *env,
			  struct value *out, struct err *e)
{
	enum format f;
	struct slice s = value_slice(v);
	int rc = format_of(to->format, &f, e);
	if (rc < 0)
		return rc;
	if (f == FORMAT_AUTO)
		f = v.subtype == 4 ? FORMAT_UUID : FORMAT_BASE64;
	if (f == FORMAT_UUID && (v.subtype != 4 || v.len != 16))
		return err_number(e, ERR_INVALID, 241, "$convert: the binData is no UUID");
	if (f == FORMAT_UTF8 && !utf8_valid(s))
		return err_number(e, ERR_INVALID, 241, "$convert: the binData is no UTF-8");
	uint8_t *p = env_alloc(env, 2 * s.len + 8);
	size_t n = s.len;
	if (!p)
		return env_nomem(env, e);
	switch (f) {
	case FORMAT_AUTO: break;
	case FORMAT_BASE64:
	case FORMAT_BASE64URL: n = put_base64(s, f == FORMAT_BASE64URL, p); break;
	case FORMAT_HEX: n = put_hex(s, upper_digits, false, p); break;
	case FORMAT_UTF8: memcpy(p, s.len ? s.p : p, s.len); break;
	case FORMAT_UUID: n = put_hex(s, lower_digits, true, p); break;
	}
	*out = value_string(slice_of(p, n));
	return 0;
}

/* A whole number in base 2, 8 or 16: digits in upper case, a sign before them. */
static int whole_to_text(struct value v, int base, struct expr_env *env, struct value *out,
			 struct err *e)
{
	char text[65], *end = text + sizeof(text), *p = end;
	int64_t i;
	if (!value_to_int64_exact(v, &i))
		return err_number(e, ERR_INVALID, 241,
				  "$convert: only whole numbers of 64 bits have a 'base'");
	uint64_t left = i < 0 ? -(uint64_t)i : (uint64_t)i;
	do {
		*--p = upper_digits[left % (unsigned)base];
		left /= (unsigned)base;
	} while (left);
	if (i < 0)
		*--p = '-';
	return build_string(env, slice_of(p, (size_t)(end - p)), out, e);
}

static int to_string(struct value v, const struct target *to, struct expr_env *env,
		     struct value *out, struct err *e)
{
	char text[TEXT_NUMBER_MAX];
	struct slice s;
	if (to->base && to->base != 10 && value_is_number(v))
		return whole_to_text(v, to->base, env, out, e);
	switch (v.type) {
	case BSON_BINARY: return binary_to_text(v, to, env, out, e);
	case BSON_STRING: *out = v; return 0;
	case BSON_BOOL:
		*out = value_string(v.i64 ? SLICE_LIT("true") : SLICE_LIT("false"));
		return 0;
	case BSON_OID:
		s = slice_of(text, put_hex(value_slice(v), lower_digits, false, (uint8_t *)text));
		return build_string(env, s, out, e);
	case BSON_DATE: {
		struct datetime t;
		datetime_of_ms(v.i64, &t);
		if (t.year < 0 || t.year > 9999)
			return err_number(e, ERR_INVALID, 241,
					  "$convert: the date's year is not in 0 to 9999");
		break;
	}
	case BSON_INT32:
	case BSON_INT64:
	case BSON_DOUBLE:
	case BSON_DECIMAL128: break;
	default: return no_conversion(v, BSON_STRING, e);
	}
	int rc = text_of_value("$convert", env, v, &s, e);
	if (rc == 0)
		*out = value_string(s);
	return rc;
}

/* ---- all of it ---- */

static int convert(struct value v, const struct target *to, struct expr_env *env, struct value *out,
		   struct err *e)
{
	switch (to->type) {
	case BSON_DOUBLE: return to_double(v, to, out, e);
	case BSON_STRING: return to_string(v, to, env, out, e);
	case BSON_BINARY: return to_binary(v, to, env, out, e);
	case BSON_OID: return to_oid(v, env, out, e);
	case BSON_BOOL: to_bool(v, out); return 0;
	case BSON_DATE: return to_date(v, out, e);
	case BSON_INT32:
	case BSON_INT64: return to_integer(v, to, out, e);
	case BSON_DECIMAL128: return to_decimal(v, to, out, e);
	default: return no_conversion(v, to->type, e);
	}
}

static bool is_type_code(int64_t code)
{
	return (code >= 1 && code <= 19) || code == -1 || code == 127;
}

static int type_of_value(struct value v, uint8_t *type, struct err *e)
{
	int64_t code;
	if (v.type == BSON_STRING) {
		int found = bson_type_of_name(value_slice(v));
		if (found <= 0)
			return err_number(e, ERR_INVALID, 2, "$convert: 'to' is no known type");
		*type = (uint8_t)found;
		return 0;
	}
	if (!value_is_number(v))
		return err_number(e, ERR_INVALID, 9,
				  "$convert: 'to' is a type's name or number, not %s",
				  value_type_name(v));
	if (!value_to_int64_exact(v, &code) || !is_type_code(code))
		return err_number(e, ERR_INVALID, 9, "$convert: 'to' is no type's number");
	*type = (uint8_t)code;
	return 0;
}

/* to: a type, or { type, subtype }. 1: null. */
static int target_of(struct value v, struct target *to, struct err *e)
{
	int64_t subtype = 0;
	if (value_nullish(v))
		return 1;
	if (v.type != BSON_DOCUMENT)
		return type_of_value(v, &to->type, e);
	struct value sub = bson_get_str(value_slice(v), "subtype");
	struct value type = bson_get_str(value_slice(v), "type");
	if (type.type == BSON_MISSING)
		return err_number(e, ERR_INVALID, 9, "$convert: 'to' lacks 'type'");
	if (value_nullish(type))
		return 1;
	if (sub.type != BSON_MISSING &&
	    (!value_to_int64_exact(sub, &subtype) ||
	     !((subtype >= 0 && subtype <= 9) || (subtype >= 128 && subtype <= 255))))
		return err_number(e, ERR_INVALID, 4341107, "$convert: no subtype of binData");
	to->subtype = (uint8_t)subtype;
	return type_of_value(type, &to->type, e);
}

enum { C_INPUT, C_TO, C_ERROR, C_NULL, C_FORMAT, C_BASE, C_ORDER };

/* 'base' and 'byteOrder'; null is as if not given. */
static int numeric_options(const struct node *x, struct expr_env *env, struct target *to,
			   struct err *e)
{
	struct value base, order;
	int64_t b = 0;
	int rc = node_eval_opt(x->arg[C_BASE], env, &base, e);
	if (rc == 0)
		rc = node_eval_opt(x->arg[C_ORDER], env, &order, e);
	if (rc < 0)
		return rc;
	if (!value_nullish(base) && (!value_is_number(base) || !value_to_int64_exact(base, &b) ||
				     (b != 2 && b != 8 && b != 10 && b != 16)))
		return err_number(e, ERR_INVALID, 9, "$convert: 'base' is one of 2, 8, 10, 16");
	to->base = (int)b;
	if (value_nullish(order))
		return 0;
	to->big_endian = order.type == BSON_STRING && slice_is(value_slice(order), "big");
	if (!to->big_endian &&
	    (order.type != BSON_STRING || !slice_is(value_slice(order), "little")))
		return err_number(e, ERR_INVALID, 9, "$convert: 'byteOrder' is one of big, little");
	return 0;
}

static int op_convert(const struct node *x, struct expr_env *env, struct value *out, struct err *e)
{
	struct value input, type;
	struct target to = { 0 };
	struct err cause = ERR_INIT;
	int rc = node_eval(x->arg[C_INPUT], env, &input, e);
	if (rc == 0)
		rc = node_eval(x->arg[C_TO], env, &type, e);
	if (rc == 0)
		rc = node_eval_opt(x->arg[C_FORMAT], env, &to.format, e);
	if (rc == 0)
		rc = numeric_options(x, env, &to, e);
	if (rc < 0)
		return rc;
	int null = target_of(type, &to, e);
	if (null < 0)
		return null;
	if (value_nullish(input) && x->arg[C_NULL])
		return node_eval(x->arg[C_NULL], env, out, e);
	if (null || value_nullish(input) || (x->arg[C_FORMAT] && value_nullish(to.format))) {
		*out = VALUE_NULL;
		return 0;
	}
	/* A format is for text. */
	bool numeric =
		x->arg[C_FORMAT] &&
		((value_is_number(input) && to.type == BSON_BINARY) ||
		 (input.type == BSON_BINARY &&
		  (to.type == BSON_INT32 || to.type == BSON_INT64 || to.type == BSON_DOUBLE)));
	rc = numeric ? no_conversion(input, to.type, &cause)
		     : convert(input, &to, env, out, &cause);
	if (rc == 0)
		return 0;
	if (x->arg[C_ERROR] && cause.number == 241)
		return node_eval(x->arg[C_ERROR], env, out, e);
	if (e)
		*e = cause;
	return rc;
}

static const struct expr_param convert_params[] = { { "input", 9 },     { "to", 9 },
						    { "onError", 0 },   { "onNull", 0 },
						    { "format", 0 },    { "base", 0 },
						    { "byteOrder", 0 }, { NULL, 0 } };

static int op_to(const struct node *x, struct expr_env *env, const struct value *v,
		 struct value *out, struct err *e)
{
	struct target to = { .type = (uint8_t)x->op->arg, .format = VALUE_MISSING };
	if (to.type == BSON_STRING)
		to.format = value_string(SLICE_LIT("auto"));
	return convert(v[0], &to, env, out, e);
}

static int op_to_uuid(const struct node *x, struct expr_env *env, const struct value *v,
		      struct value *out, struct err *e)
{
	struct target to = { .type = BSON_BINARY,
			     .subtype = 4,
			     .format = value_string(SLICE_LIT("uuid")) };
	(void)x;
	return convert(v[0], &to, env, out, e);
}

static int op_type(const struct node *x, struct expr_env *env, const struct value *v,
		   struct value *out, struct err *e)
{
	(void)x;
	(void)env;
	(void)e;
	*out = value_string(slice_str(value_type_name(v[0])));
	return 0;
}

static int op_is_number(const struct node *x, struct expr_env *env, const struct value *v,
			struct value *out, struct err *e)
{
	(void)x;
	(void)env;
	(void)e;
	*out = value_bool(value_is_number(v[0]));
	return 0;
}

#define TO(name, help, which) \
	{ \
		name, GROUP, help, .apply = op_to, .min = 1, .max = 1, .flags = EXPR_NULL, \
				   .arg = (which) \
	}

static const struct expr_op ops[] = {
	{ "$convert", GROUP, "a value as another type, with onError and onNull", .fn = op_convert,
	  .params = convert_params, .object_number = 9, .unknown_number = 9 },
	{ "$isNumber", GROUP, "whether a value is a number", .apply = op_is_number, .min = 1,
	  .max = 1 },
	TO("$toBool", "a value as a bool", BSON_BOOL),
	TO("$toDate", "a value as a date", BSON_DATE),
	TO("$toDecimal", "a value as a decimal", BSON_DECIMAL128),
	TO("$toDouble", "a value as a double", BSON_DOUBLE),
	TO("$toInt", "a value as an int", BSON_INT32),
	TO("$toLong", "a value as a long", BSON_INT64),
	TO("$toObjectId", "a string as an ObjectId", BSON_OID),
	TO("$toString", "a value as a string", BSON_STRING),
	{ "$toUUID", GROUP, "a string as a UUID", .apply = op_to_uuid, .min = 1, .max = 1,
	  .flags = EXPR_NULL },
	{ "$type", GROUP, "the name of a value's type", .apply = op_type, .min = 1, .max = 1 },
};

const struct expr_table expr_convert_ops = { ops, ARRAY_LEN(ops) };
