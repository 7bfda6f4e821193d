/* expr_convert.c: $convert and its short forms, $type, $isNumber.
 *
 * One function a target type; binData and text are in expr_convert_text.c. What a source cannot become is error 241,
 * which onError replaces. A wrong specification (an unknown type, a bad format) is an error in any case.
 */
#include "doc/expr_convert.h"

#include "doc/datetime.h"
#include "doc/number.h"

#include <math.h>

#define GROUP "type"

/* ---- to numbers ---- */

static int overflow(struct err *e)
{
	return err_number(e, ERR_INVALID, 241, "$convert: the number does not fit the type");
}

static int text_to_int64(struct slice s, int base, int64_t *out, struct err *e)
{
	bool negative = s.len && s.p[0] == '-';
	if (s.len && (s.p[0] == '-' || s.p[0] == '+'))
		s = slice_of(s.p + 1, s.len - 1);
	int64_t v = 0;
	if (s.len == 0)
		return convert_no_text("integer", e);
	for (size_t i = 0; i < s.len; i++) {
		int digit = convert_hex_digit(s.p[i]);
		if (digit < 0 || digit >= base)
			return convert_no_text("integer", e);
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
static int to_int64(struct value v, const struct convert_target *to, int64_t *out, struct err *e)
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
			return convert_none(v, to->type, e);
		*out = v.i64;
		return 0;
	case BSON_BINARY:
		if (to->type != BSON_DATE && (to->type == BSON_INT64 || v.len <= 4) &&
		    binary_to_int64(v, to->big_endian, out))
			return 0;
		return convert_none(v, to->type, e);
	default: return convert_none(v, to->type, e);
	}
}

static int to_integer(struct value v, const struct convert_target *to, struct value *out,
		      struct err *e)
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
static bool wants_base(struct value v, const struct convert_target *to)
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

static int to_double(struct value v, const struct convert_target *to, struct value *out,
		     struct err *e)
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
			return convert_none(v, BSON_DOUBLE, e);
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
				return rc == ERR_LIMIT ? overflow(e) : convert_no_text("number", e);
		}
		break;
	default: return convert_none(v, BSON_DOUBLE, e);
	}
	*out = value_double(d);
	return 0;
}

static int to_decimal(struct value v, const struct convert_target *to, struct value *out,
		      struct err *e)
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
			return convert_no_text("number", e);
		else if (dec_is_inf(d))
			return overflow(e);
		break;
	default: return convert_none(v, BSON_DECIMAL128, e);
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
		rc = to_int64(v, &(struct convert_target){ .type = BSON_DATE }, &ms, e);
		break;
	case BSON_STRING:
		rc = date_parse(value_slice(v), SLICE_NONE, NULL, &ms, e);
		if (rc < 0)
			rc = err_in(e, rc, "$convert");
		break;
	default: return convert_none(v, BSON_DATE, e);
	}
	if (rc == 0)
		*out = value_date(ms);
	return rc;
}

static int to_oid(struct value v, struct expr_env *env, struct value *out, struct err *e)
{
	if (v.type == BSON_OID) {
		*out = v;
		return 0;
	}
	if (v.type != BSON_STRING)
		return convert_none(v, BSON_OID, e);
	uint8_t *p = env_alloc(env, 12);
	if (!p)
		return env_nomem(env, e);
	if (v.len != 24 || !convert_read_hex(value_slice(v), p))
		return convert_no_text("ObjectId", e);
	*out = (struct value){ .type = BSON_OID, .len = 12, .p = p };
	return 0;
}

/* ---- all of it ---- */

static int convert(struct value v, const struct convert_target *to, struct expr_env *env,
		   struct value *out, struct err *e)
{
	switch (to->type) {
	case BSON_DOUBLE: return to_double(v, to, out, e);
	case BSON_STRING: return convert_to_string(v, to, env, out, e);
	case BSON_BINARY: return convert_to_binary(v, to, env, out, e);
	case BSON_OID: return to_oid(v, env, out, e);
	case BSON_BOOL: to_bool(v, out); return 0;
	case BSON_DATE: return to_date(v, out, e);
	case BSON_INT32:
	case BSON_INT64: return to_integer(v, to, out, e);
	case BSON_DECIMAL128: return to_decimal(v, to, out, e);
	default: return convert_none(v, to->type, e);
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
static int target_of(struct value v, struct convert_target *to, struct err *e)
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
static int numeric_options(const struct node *x, struct expr_env *env, struct convert_target *to,
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
	struct convert_target to = { 0 };
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
	rc = numeric ? convert_none(input, to.type, &cause) : convert(input, &to, env, out, &cause);
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
	struct convert_target to = { .type = (uint8_t)x->op->arg, .format = VALUE_MISSING };
	if (to.type == BSON_STRING)
		to.format = value_string(SLICE_LIT("auto"));
	return convert(v[0], &to, env, out, e);
}

static int op_to_uuid(const struct node *x, struct expr_env *env, const struct value *v,
		      struct value *out, struct err *e)
{
	struct convert_target to = { .type = BSON_BINARY,
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
