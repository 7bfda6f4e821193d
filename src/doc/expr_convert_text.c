/* expr_convert_text.c: conversions to binData and to text, in the formats that $convert knows; hexadecimal digits. */
#include "doc/expr_convert.h"

#include "base/utf8.h"
#include "doc/datetime.h"
#include "doc/expr_text.h"
#include "doc/number.h"

int convert_none(struct value v, uint8_t to, struct err *e)
{
	return err_number(e, ERR_TYPE, 241, "$convert: %s does not become %s", value_type_name(v),
			  bson_type_name(to));
}

int convert_no_text(const char *what, struct err *e)
{
	return err_number(e, ERR_FORMAT, 241, "$convert: the text is no %s", what);
}

int convert_hex_digit(uint8_t b)
{
	if (b >= '0' && b <= '9')
		return b - '0';
	b |= 0x20;
	return b >= 'a' && b <= 'f' ? b - 'a' + 10 : -1;
}

bool convert_read_hex(struct slice s, uint8_t *out)
{
	for (size_t i = 0; i + 1 < s.len; i += 2) {
		int high = convert_hex_digit(s.p[i]), low = convert_hex_digit(s.p[i + 1]);
		if (high < 0 || low < 0)
			return false;
		out[i / 2] = (uint8_t)(high << 4 | low);
	}
	return s.len % 2 == 0;
}

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
	return convert_read_hex(slice_of(digits, 32), out);
}

static int text_to_binary(struct value v, const struct convert_target *to, struct expr_env *env,
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
		ok = convert_read_hex(s, p);
		len /= 2;
		break;
	case FORMAT_UTF8: memcpy(p, s.len ? s.p : p, s.len); break;
	case FORMAT_UUID:
		ok = read_uuid(s, p);
		len = 16;
		break;
	}
	if (!ok)
		return convert_no_text("binData of the format", e);
	*out = (struct value){
		.type = BSON_BINARY, .subtype = to->subtype, .len = (uint32_t)len, .p = p
	};
	return 0;
}

/* int32: 4 bytes; int64, double: 8. */
static int number_to_binary(struct value v, const struct convert_target *to, struct expr_env *env,
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

int convert_to_binary(struct value v, const struct convert_target *to, struct expr_env *env,
		      struct value *out, struct err *e)
{
	if (v.type == BSON_STRING)
		return text_to_binary(v, to, env, out, e);
	if (v.type == BSON_INT32 || v.type == BSON_INT64 || v.type == BSON_DOUBLE)
		return number_to_binary(v, to, env, out, e);
	if (v.type != BSON_BINARY)
		return convert_none(v, BSON_BINARY, e);
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

static int binary_to_text(struct value v, const struct convert_target *to, struct expr_env *env,
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

int convert_to_string(struct value v, const struct convert_target *to, struct expr_env *env,
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
	default: return convert_none(v, BSON_STRING, e);
	}
	int rc = text_of_value("$convert", env, v, &s, e);
	if (rc == 0)
		*out = value_string(s);
	return rc;
}
