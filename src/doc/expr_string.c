/* expr_string.c: strings: joining, cutting by bytes and by code points, searching, case.
 *
 * Upper and lower case are ASCII's: other letters stay as they are.
 */
#include "doc/expr_node.h"

#include "base/utf8.h"
#include "doc/expr_text.h"

#define GROUP "string"

static int not_string(const struct node *x, int number, const char *what, struct value v,
		      struct err *e)
{
	return err_number(e, ERR_TYPE, number, "%s: %s a string, not %s", x->op->name, what,
			  value_type_name(v));
}

static bool is_continuation(uint8_t b)
{
	return (b & 0xc0) == 0x80;
}

/* The byte offset of code point n, or s.len when there are fewer. */
static size_t offset_of(struct slice s, uint64_t n)
{
	size_t at = 0;
	while (at < s.len && n > 0) {
		at++;
		while (at < s.len && is_continuation(s.p[at]))
			at++;
		n--;
	}
	return at;
}

/* ---- $concat ---- */

static int op_concat(const struct node *x, struct expr_env *env, struct value *out, struct err *e)
{
	struct values s = { 0 };
	size_t total = 0;
	for (uint32_t i = 0; i < x->n; i++) {
		struct value v;
		int rc = node_eval(x->arg[i], env, &v, e);
		if (rc < 0)
			return rc;
		if (value_nullish(v)) {
			*out = VALUE_NULL;
			return 0;
		}
		if (v.type != BSON_STRING)
			return not_string(x, 16702, "every argument is", v, e);
		total += v.len;
		rc = values_add(env, &s, v, e);
		if (rc < 0)
			return rc;
	}
	int rc = env_step(env, total / 64, e);
	if (rc < 0)
		return rc;
	if (total > BSON_DOC_MAX)
		return err_number(e, ERR_LIMIT, 4031700,
				  "$concat: the string would be larger than %u MiB",
				  BSON_DOC_MAX >> 20);
	uint8_t *p = env_alloc(env, total + 1), *at = p;
	if (!p)
		return env_nomem(env, e);
	for (size_t i = 0; i < s.n; i++) {
		if (s.v[i].len)
			memcpy(at, s.v[i].p, s.v[i].len);
		at += s.v[i].len;
	}
	*out = value_string(slice_of(p, total));
	return 0;
}

/* ---- $split ---- */

static int op_split(const struct node *x, struct expr_env *env, const struct value *v,
		    struct value *out, struct err *e)
{
	struct values s = { 0 };
	if (v[0].type != BSON_STRING)
		return not_string(x, 40085, "the first argument is", v[0], e);
	if (v[1].type != BSON_STRING)
		return not_string(x, 40086, "the second argument is", v[1], e);
	if (v[1].len == 0)
		return err_number(e, ERR_INVALID, 40087, "$split: the separator is empty");
	const uint8_t *at = v[0].p, *end = v[0].p + v[0].len;
	for (;;) {
		const uint8_t *hit = memmem(at, (size_t)(end - at), v[1].p, v[1].len);
		struct slice part = { at, (size_t)((hit ? hit : end) - at) };
		int rc = values_add(env, &s, value_string(part), e);
		if (rc < 0)
			return rc;
		if (!hit)
			return build_array(env, s.v, s.n, out, e);
		at = hit + v[1].len;
	}
}

/* ---- lengths ---- */

static int op_length(const struct node *x, struct expr_env *env, const struct value *v,
		     struct value *out, struct err *e)
{
	(void)env;
	if (v[0].type != BSON_STRING)
		return not_string(x, x->op->arg ? 34471 : 34473, "the argument is", v[0], e);
	*out = value_int((int64_t)(x->op->arg ? utf8_count(value_slice(v[0])) : v[0].len));
	return 0;
}

/* ---- $indexOfBytes, $indexOfCP ---- */

static int bound_of(const struct node *x, struct value v, const char *which, uint64_t *out,
		    struct err *e)
{
	int32_t i;
	if (!value_to_int32_exact(v, &i))
		return err_number(e, ERR_TYPE, 40096, "%s: the %s is an integer, not %s",
				  x->op->name, which, value_type_name(v));
	if (i < 0)
		return err_number(e, ERR_INVALID, 40097, "%s: the %s is negative", x->op->name,
				  which);
	*out = (uint64_t)i;
	return 0;
}

static int op_index_of(const struct node *x, struct expr_env *env, const struct value *v,
		       struct value *out, struct err *e)
{
	bool by_cp = x->op->arg;
	uint64_t start = 0, end = UINT64_MAX;
	(void)env;
	if (value_nullish(v[0])) {
		*out = VALUE_NULL;
		return 0;
	}
	if (v[0].type != BSON_STRING)
		return not_string(x, by_cp ? 40093 : 40091, "the first argument is", v[0], e);
	if (v[1].type != BSON_STRING)
		return not_string(x, by_cp ? 40094 : 40092, "the second argument is", v[1], e);
	int rc = x->n > 2 ? bound_of(x, v[2], "start", &start, e) : 0;
	if (rc == 0 && x->n > 3)
		rc = bound_of(x, v[3], "end", &end, e);
	if (rc < 0)
		return rc;
	struct slice s = value_slice(v[0]);
	*out = value_int32(-1);
	if (start > (by_cp ? utf8_count(s) : s.len) || end < start)
		return 0;
	size_t from = by_cp ? offset_of(s, start) : (size_t)start;
	size_t to = by_cp ? offset_of(s, end) : (size_t)MIN(end, s.len);
	const uint8_t *hit =
		v[1].len ? memmem(s.p + from, to - from, v[1].p, v[1].len) : s.p + from;
	if (hit)
		*out = value_int((int64_t)(by_cp ? utf8_count(slice_of(s.p, (size_t)(hit - s.p)))
						 : (size_t)(hit - s.p)));
	return 0;
}

/* ---- $substrBytes, $substrCP ---- */

static int64_t truncated(struct value v)
{
	int64_t i = 0;
	if (v.type == BSON_DECIMAL128)
		return dec_to_int64(v.dec, &i) ? i : dec_is_negative(v.dec) ? INT64_MIN : INT64_MAX;
	if (v.type == BSON_DOUBLE)
		return v.f64 != v.f64     ? 0
		       : v.f64 >= 0x1p63  ? INT64_MAX
		       : v.f64 <= -0x1p63 ? INT64_MIN
					  : (int64_t)v.f64;
	return v.i64;
}

static int op_substr_bytes(const struct node *x, struct expr_env *env, const struct value *v,
			   struct value *out, struct err *e)
{
	struct slice s;
	int rc = text_of_value(x->op->name, env, v[0], &s, e);
	if (rc < 0)
		return rc;
	if (!value_is_number(v[1]))
		return err_number(e, ERR_TYPE, 16034, "%s: the start is a number, not %s",
				  x->op->name, value_type_name(v[1]));
	if (!value_is_number(v[2]))
		return err_number(e, ERR_TYPE, 16035, "%s: the length is a number, not %s",
				  x->op->name, value_type_name(v[2]));
	int64_t start = truncated(v[1]), length = truncated(v[2]);
	if (start < 0)
		return err_number(e, ERR_INVALID, 50752, "%s: the start is negative", x->op->name);
	size_t from = (size_t)MIN((uint64_t)start, s.len);
	size_t n = length < 0 ? s.len - from : (size_t)MIN((uint64_t)length, s.len - from);
	if (from < s.len && is_continuation(s.p[from]))
		return err_number(e, ERR_INVALID, 28656, "%s: the start is inside a character",
				  x->op->name);
	if (from + n < s.len && is_continuation(s.p[from + n]))
		return err_number(e, ERR_INVALID, 28657, "%s: the end is inside a character",
				  x->op->name);
	*out = value_string(slice_of(s.p + from, n));
	return 0;
}

static int cp_bound(struct value v, const char *which, int type_number, int range_number,
		    int sign_number, int32_t *out, struct err *e)
{
	if (!value_is_number(v))
		return err_number(e, ERR_TYPE, type_number, "$substrCP: the %s is a number, not %s",
				  which, value_type_name(v));
	if (!value_to_int32_exact(v, out))
		return err_number(e, ERR_INVALID, range_number,
				  "$substrCP: the %s is no 32-bit integer", which);
	if (*out < 0)
		return err_number(e, ERR_INVALID, sign_number, "$substrCP: the %s is negative",
				  which);
	return 0;
}

static int op_substr_cp(const struct node *x, struct expr_env *env, const struct value *v,
			struct value *out, struct err *e)
{
	struct slice s;
	int32_t start, length;
	int rc = text_of_value(x->op->name, env, v[0], &s, e);
	if (rc == 0)
		rc = cp_bound(v[1], "start", 34450, 34451, 34455, &start, e);
	if (rc == 0)
		rc = cp_bound(v[2], "length", 34452, 34453, 34454, &length, e);
	if (rc < 0)
		return rc;
	size_t from = offset_of(s, (uint64_t)start);
	struct slice rest = { s.p + from, s.len - from };
	*out = value_string(slice_of(rest.p, offset_of(rest, (uint64_t)length)));
	return 0;
}

/* ---- case ---- */

static uint8_t upper(uint8_t b)
{
	return b >= 'a' && b <= 'z' ? (uint8_t)(b - 32) : b;
}

static uint8_t lower(uint8_t b)
{
	return b >= 'A' && b <= 'Z' ? (uint8_t)(b + 32) : b;
}

static int op_case(const struct node *x, struct expr_env *env, const struct value *v,
		   struct value *out, struct err *e)
{
	struct slice s;
	int rc = text_of_value(x->op->name, env, v[0], &s, e);
	if (rc < 0)
		return rc;
	uint8_t *p = env_alloc(env, s.len + 1);
	if (!p)
		return env_nomem(env, e);
	for (size_t i = 0; i < s.len; i++)
		p[i] = x->op->arg ? upper(s.p[i]) : lower(s.p[i]);
	*out = value_string(slice_of(p, s.len));
	return 0;
}

static int op_strcasecmp(const struct node *x, struct expr_env *env, const struct value *v,
			 struct value *out, struct err *e)
{
	struct slice a, b;
	int rc = text_of_value(x->op->name, env, v[0], &a, e);
	if (rc == 0)
		rc = text_of_value(x->op->name, env, v[1], &b, e);
	if (rc < 0)
		return rc;
	int c = 0;
	for (size_t i = 0; c == 0 && i < MIN(a.len, b.len); i++)
		c = (int)upper(a.p[i]) - upper(b.p[i]);
	if (c == 0)
		c = a.len < b.len ? -1 : a.len > b.len;
	*out = value_int32(c < 0 ? -1 : c > 0);
	return 0;
}

static const struct expr_op ops[] = {
	{ "$concat", GROUP, "strings joined to one", .fn = op_concat, .max = -1 },
	{ "$indexOfBytes", GROUP, "where a string begins in another, in bytes; -1: nowhere",
	  .apply = op_index_of, .min = 2, .max = 4, .arg = false },
	{ "$indexOfCP", GROUP, "where a string begins in another, in characters; -1: nowhere",
	  .apply = op_index_of, .min = 2, .max = 4, .arg = true },
	{ "$split", GROUP, "the parts of a string between separators", .apply = op_split, .min = 2,
	  .max = 2, .flags = EXPR_NULL },
	{ "$strLenBytes", GROUP, "a string's length in bytes", .apply = op_length, .min = 1,
	  .max = 1, .arg = false },
	{ "$strLenCP", GROUP, "a string's length in characters", .apply = op_length, .min = 1,
	  .max = 1, .arg = true },
	{ "$strcasecmp", GROUP, "-1, 0 or 1: two strings compared without case",
	  .apply = op_strcasecmp, .min = 2, .max = 2 },
	{ "$substr", GROUP, "part of a string, by bytes ($substrBytes)", .apply = op_substr_bytes,
	  .min = 3, .max = 3 },
	{ "$substrBytes", GROUP, "part of a string, by bytes", .apply = op_substr_bytes, .min = 3,
	  .max = 3 },
	{ "$substrCP", GROUP, "part of a string, by characters", .apply = op_substr_cp, .min = 3,
	  .max = 3 },
	{ "$toLower", GROUP, "a string with ASCII letters in lower case", .apply = op_case,
	  .min = 1, .max = 1, .arg = false },
	{ "$toUpper", GROUP, "a string with ASCII letters in upper case", .apply = op_case,
	  .min = 1, .max = 1, .arg = true },
};

const struct expr_table expr_string_ops = { ops, ARRAY_LEN(ops) };
