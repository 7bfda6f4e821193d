/* expr_string_more.c: strings: trimming and replacing; and values as text. */
#include "doc/expr_node.h"

#include "base/utf8.h"
#include "doc/datetime.h"
#include "doc/expr_text.h"
#include "doc/number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define GROUP "string"

/* ---- values as text ---- */

/* The shortest digits and the exponent of the first: 0.00125 is "125", -3. Returns how many digits. */
static int shortest_digits(double d, char digits[NUM_DOUBLE_MAX], int *exponent)
{
	char text[NUM_DOUBLE_MAX + 1];
	int n = 0, point = 0, scale = 0;
	bool behind_point = false;
	size_t len = num_print_double(fabs(d), text);
	text[len] = '\0';
	for (const char *p = text; *p; p++) {
		if (*p == 'E' || *p == 'e') {
			scale = atoi(p + 1);
			break;
		}
		if (*p == '.')
			behind_point = true;
		else if (n > 0 || *p != '0') {
			digits[n++] = *p;
			point += !behind_point;
		} else
			point -= behind_point;
	}
	while (n > 1 && digits[n - 1] == '0')
		n--;
	*exponent = point - 1 + scale;
	return n;
}

size_t text_of_double(double d, char out[TEXT_NUMBER_MAX])
{
	char digits[NUM_DOUBLE_MAX];
	int exponent;
	char *p = out;
	if (isnan(d))
		return (size_t)snprintf(out, TEXT_NUMBER_MAX, "NaN");
	if (isinf(d))
		return (size_t)snprintf(out, TEXT_NUMBER_MAX, d < 0 ? "-Infinity" : "Infinity");
	if (signbit(d))
		*p++ = '-';
	if (d == 0) {
		*p++ = '0';
		return (size_t)(p - out);
	}
	int n = shortest_digits(d, digits, &exponent);
	if (exponent < -4 || exponent >= 16) {
		*p++ = digits[0];
		if (n > 1)
			*p++ = '.';
		for (int i = 1; i < n; i++)
			*p++ = digits[i];
		return (size_t)(p - out) + (size_t)snprintf(p, 8, "e%+03d", exponent);
	}
	int last = MAX(n - 1, exponent); /* digit i has the weight 10^(exponent - i) */
	for (int i = MIN(exponent, 0); i <= last; i++) {
		*p++ = i < 0 || i >= n ? '0' : digits[i];
		if (i == exponent && i < last)
			*p++ = '.';
	}
	return (size_t)(p - out);
}

size_t text_of_date(int64_t ms, char out[TEXT_NUMBER_MAX])
{
	struct datetime t;
	datetime_of_ms(ms, &t);
	const char *sign = t.year > 9999 ? "+" : t.year < 0 ? "-" : "";
	int64_t year = t.year < 0 ? -t.year : t.year;
	return (size_t)snprintf(out, TEXT_NUMBER_MAX,
				"%s%04" PRId64 "-%02d-%02dT%02d:%02d:%02d.%03dZ", sign, year,
				t.month, t.day, t.hour, t.minute, t.second, t.ms);
}

int text_of_value(const char *op, struct expr_env *env, struct value v, struct slice *out,
		  struct err *e)
{
	char text[TEXT_NUMBER_MAX];
	size_t n;
	switch (v.type) {
	case BSON_STRING:
	case BSON_SYMBOL:
	case BSON_CODE: *out = value_slice(v); return 0;
	case BSON_NULL:
	case BSON_UNDEFINED:
	case BSON_MISSING: *out = SLICE_LIT(""); return 0;
	case BSON_INT32:
	case BSON_INT64: n = (size_t)snprintf(text, sizeof(text), "%" PRId64, v.i64); break;
	case BSON_DOUBLE: n = text_of_double(v.f64, text); break;
	case BSON_DECIMAL128: n = dec_to_string(v.dec, text); break;
	case BSON_DATE: n = text_of_date(v.i64, text); break;
	default:
		return err_number(e, ERR_TYPE, 16007, "%s: %s has no text", op, value_type_name(v));
	}
	uint8_t *p = env_alloc(env, n + 1);
	if (!p)
		return env_nomem(env, e);
	memcpy(p, text, n);
	*out = slice_of(p, n);
	return 0;
}

/* ---- $trim ---- */

enum { LEFT = 1, RIGHT = 2, BOTH = 3 };

/* What is trimmed when no characters are given. */
static bool is_space(uint32_t cp)
{
	return cp == 0 || cp == ' ' || (cp >= '\t' && cp <= '\r') || cp == 0xa0 || cp == 0x1680 ||
	       (cp >= 0x2000 && cp <= 0x200a);
}

static bool is_trimmed(uint32_t cp, struct slice chars, bool given)
{
	if (!given)
		return is_space(cp);
	while (chars.len) {
		uint32_t c;
		size_t n = utf8_decode(chars, &c);
		if (n == 0)
			return false;
		if (c == cp)
			return true;
		chars = slice_of(chars.p + n, chars.len - n);
	}
	return false;
}

static int op_trim(const struct node *x, struct expr_env *env, const struct value *v,
		   struct value *out, struct err *e)
{
	bool given = x->arg[1] != NULL;
	if (v[0].type != BSON_STRING)
		return err_number(e, ERR_TYPE, 50699, "%s: 'input' is a string, not %s",
				  x->op->name, value_type_name(v[0]));
	if (given && v[1].type != BSON_STRING)
		return err_number(e, ERR_TYPE, 50700, "%s: 'chars' is a string, not %s",
				  x->op->name, value_type_name(v[1]));
	struct slice s = value_slice(v[0]), chars = given ? value_slice(v[1]) : SLICE_NONE;
	uint32_t cp;
	int rc = 0;
	while ((x->op->arg & LEFT) && s.len && rc == 0) {
		size_t n = utf8_decode(s, &cp);
		rc = env_step(env, chars.len / 16, e);
		if (n == 0 || !is_trimmed(cp, chars, given))
			break;
		s = slice_of(s.p + n, s.len - n);
	}
	while ((x->op->arg & RIGHT) && s.len && rc == 0) {
		size_t n = 1;
		while (n < s.len && n < 4 && (s.p[s.len - n] & 0xc0) == 0x80)
			n++;
		rc = env_step(env, chars.len / 16, e);
		if (!utf8_decode(slice_of(s.p + s.len - n, n), &cp) ||
		    !is_trimmed(cp, chars, given))
			break;
		s.len -= n;
	}
	*out = value_string(s);
	return rc;
}

static const struct expr_param trim_params[] = { { "input", 50695 }, { "chars", 0 }, { NULL, 0 } };

/* ---- $replaceOne, $replaceAll ---- */

static int check_text(const struct node *x, struct value v, const char *which, int number,
		      struct err *e)
{
	if (v.type == BSON_STRING || value_nullish(v))
		return 0;
	return err_number(e, ERR_TYPE, number, "%s: '%s' is a string, not %s", x->op->name, which,
			  value_type_name(v));
}

struct text {
	struct expr_env *env;
	uint8_t *p;
	size_t len, cap;
};

static int text_add(struct text *t, struct slice s, struct err *e)
{
	if (t->cap - t->len < s.len) {
		size_t cap = MAX(t->cap * 2, t->len + s.len + 64);
		if (cap > BSON_DOC_MAX)
			return err_number(e, ERR_LIMIT, 4031700,
					  "a string would be larger than %u MiB",
					  BSON_DOC_MAX >> 20);
		uint8_t *p = env_alloc(t->env, cap);
		if (!p)
			return env_nomem(t->env, e);
		if (t->len)
			memcpy(p, t->p, t->len);
		t->p = p;
		t->cap = cap;
	}
	if (s.len)
		memcpy(t->p + t->len, s.p, s.len);
	t->len += s.len;
	return 0;
}

/* An empty `find` stands before every character and at the end. */
static const uint8_t *find_next(const uint8_t *from, const uint8_t *end, struct slice find,
				bool first)
{
	if (find.len)
		return memmem(from, (size_t)(end - from), find.p, find.len);
	if (first)
		return from;
	if (from == end)
		return NULL;
	do
		from++;
	while (from < end && (*from & 0xc0) == 0x80);
	return from;
}

static int op_replace(const struct node *x, struct expr_env *env, const struct value *v,
		      struct value *out, struct err *e)
{
	int rc = check_text(x, v[0], "input", 51746, e);
	if (rc == 0)
		rc = check_text(x, v[1], "find", 51745, e);
	if (rc == 0)
		rc = check_text(x, v[2], "replacement", 51744, e);
	if (rc < 0)
		return rc;
	if (value_nullish(v[0]) || value_nullish(v[1]) || value_nullish(v[2])) {
		*out = VALUE_NULL;
		return 0;
	}
	struct text t = { .env = env };
	struct slice find = value_slice(v[1]), by = value_slice(v[2]);
	const uint8_t *from = v[0].p, *end = v[0].p + v[0].len,
		      *hit = find_next(from, end, find, true);
	while (hit) {
		rc = text_add(&t, slice_of(from, (size_t)(hit - from)), e);
		if (rc == 0)
			rc = text_add(&t, by, e);
		if (rc < 0)
			return rc;
		from = hit + find.len;
		hit = x->op->arg ? find_next(from, end, find, false) : NULL;
	}
	rc = text_add(&t, slice_of(from, (size_t)(end - from)), e);
	if (rc < 0)
		return rc;
	*out = value_string(slice_of(t.p, t.len));
	return env_step(env, t.len / 64, e);
}

static const struct expr_param replace_params[] = {
	{ "input", 51749 }, { "find", 51748 }, { "replacement", 51747 }, { NULL, 0 }
};

#define TRIM(name, help, which) \
	{ \
		name, GROUP, help, .apply = op_trim, .params = trim_params, \
				   .object_number = 50696, .unknown_number = 50694, \
				   .flags = EXPR_NULL, .arg = (which) \
	}

static const struct expr_op ops[] = {
	TRIM("$trim", "a string without white space (or given characters) at its ends", BOTH),
	TRIM("$ltrim", "a string without white space (or given characters) at its start", LEFT),
	TRIM("$rtrim", "a string without white space (or given characters) at its end", RIGHT),
	{ "$replaceAll", GROUP, "every occurrence of a string replaced", .apply = op_replace,
	  .params = replace_params, .object_number = 51751, .unknown_number = 51750, .arg = true },
	{ "$replaceOne", GROUP, "the first occurrence of a string replaced", .apply = op_replace,
	  .params = replace_params, .object_number = 51751, .unknown_number = 51750, .arg = false },
};

const struct expr_table expr_string_more_ops = { ops, ARRAY_LEN(ops) };
