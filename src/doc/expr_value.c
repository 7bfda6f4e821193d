/* expr_value.c: values for expressions: gathered in the evaluation's arena, written as BSON in one pass.
 *
 * The size of an array or object is known before its first byte is written: the values' own sizes are stored with
 * them. So a result costs one allocation and one copy, and nothing is patched afterwards.
 */
#include "doc/expr_node.h"

#include "base/mem.h"

#include <math.h>

/* An arena does not say why it refused. Where the heap still gives memory, it was the limit. */
int env_nomem(struct expr_env *env, struct err *e)
{
	const struct arena *a = &env->ev->arena;
	void *probe = a->limit_bytes ? mem_retry(NULL, 65536) : NULL;
	if (!probe)
		return err_nomem(e);
	mem_free(probe);
	return err_number(e, ERR_LIMIT, 146, "the expression needs more than %zu MiB of memory",
			  a->limit_bytes >> 20);
}

int expr_steps_exceeded(struct err *e)
{
	return err_number(e, ERR_LIMIT, 146, "the expression takes too many steps");
}

/* ---- numbers ---- */

double value_to_double(struct value v)
{
	switch (v.type) {
	case BSON_DOUBLE: return v.f64;
	case BSON_DECIMAL128: return dec_to_double(v.dec);
	default: return (double)v.i64;
	}
}

struct dec128 value_to_decimal(struct value v)
{
	switch (v.type) {
	case BSON_DOUBLE: return dec_from_double(v.f64);
	case BSON_DECIMAL128: return v.dec;
	default: return dec_from_int64(v.i64);
	}
}

bool value_to_int64_exact(struct value v, int64_t *out)
{
	switch (v.type) {
	case BSON_DOUBLE:
		if (!(v.f64 >= -0x1p63 && v.f64 < 0x1p63) || v.f64 != trunc(v.f64))
			return false;
		*out = (int64_t)v.f64;
		return true;
	case BSON_DECIMAL128: {
		int64_t i;
		if (!dec_to_int64(v.dec, &i) || dec_compare(dec_from_int64(i), v.dec) != 0)
			return false;
		*out = i;
		return true;
	}
	case BSON_INT32:
	case BSON_INT64: *out = v.i64; return true;
	default: return false;
	}
}

bool value_truth(struct value v)
{
	switch (v.type) {
	case BSON_MISSING:
	case BSON_UNDEFINED:
	case BSON_NULL: return false;
	case BSON_BOOL:
	case BSON_INT32:
	case BSON_INT64: return v.i64 != 0;
	case BSON_DOUBLE: return v.f64 != 0;
	case BSON_DECIMAL128: return !dec_is_zero(v.dec);
	default: return true;
	}
}

/* ---- vectors ---- */

int values_grow(struct expr_env *env, struct values *s, struct err *e)
{
	struct value *p = arena_room(&env->ev->arena, s->v, s->n, &s->cap, sizeof(*p));
	if (!p)
		return env_nomem(env, e);
	s->v = p;
	return 0;
}

int values_of_array(struct expr_env *env, struct value array, struct values *s, struct err *e)
{
	struct bson_iter it;
	bson_iter_init(&it, value_slice(array));
	while (bson_next(&it)) {
		int rc = values_add(env, s, it.value, e);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int fields_add(struct expr_env *env, struct fields *s, struct slice key, struct value v,
	       struct err *e)
{
	if (s->n == s->cap) {
		struct field *p = arena_room(&env->ev->arena, s->f, s->n, &s->cap, sizeof(*p));
		if (!p)
			return env_nomem(env, e);
		s->f = p;
	}
	s->f[s->n++] = (struct field){ key, v };
	return 0;
}

int fields_of_doc(struct expr_env *env, struct slice doc, struct fields *s, struct err *e)
{
	struct bson_iter it;
	bson_iter_init(&it, doc);
	while (bson_next(&it)) {
		int rc = fields_add(env, s, it.key, it.value, e);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* ---- writing ---- */

/* Bytes of the value as BSON stores it, behind type and name. */
static size_t encoded_size(struct value v)
{
	switch (v.type) {
	case BSON_DOUBLE:
	case BSON_DATE:
	case BSON_TIMESTAMP:
	case BSON_INT64: return 8;
	case BSON_INT32: return 4;
	case BSON_BOOL: return 1;
	case BSON_DECIMAL128: return 16;
	case BSON_STRING:
	case BSON_SYMBOL:
	case BSON_CODE: return 4 + (size_t)v.len + 1;
	case BSON_BINARY: return 5 + (size_t)v.len + (v.subtype == 2 ? 4 : 0);
	case BSON_DOCUMENT:
	case BSON_ARRAY:
	case BSON_OID:
	case BSON_REGEX:
	case BSON_DBPOINTER:
	case BSON_CODE_W_SCOPE: return v.len;
	default: return 0;
	}
}

static uint8_t *put_string(uint8_t *p, struct value v)
{
	put_le32(p, v.len + 1);
	if (v.len)
		memcpy(p + 4, v.p, v.len);
	p[4 + v.len] = '\0';
	return p + 5 + v.len;
}

static uint8_t *put_binary(uint8_t *p, struct value v)
{
	uint32_t inner = v.subtype == 2 ? 4 : 0;
	put_le32(p, v.len + inner);
	p[4] = v.subtype;
	if (inner)
		put_le32(p + 5, v.len);
	p += 5 + inner;
	if (v.len)
		memcpy(p, v.p, v.len);
	return p + v.len;
}

static uint8_t *put_value(uint8_t *p, struct value v)
{
	switch (v.type) {
	case BSON_DOUBLE: memcpy(p, &v.f64, 8); return p + 8;
	case BSON_DATE:
	case BSON_TIMESTAMP:
	case BSON_INT64: put_le64(p, (uint64_t)v.i64); return p + 8;
	case BSON_INT32: put_le32(p, (uint32_t)v.i64); return p + 4;
	case BSON_BOOL: *p = (uint8_t)(v.i64 != 0); return p + 1;
	case BSON_DECIMAL128:
		put_le64(p, v.dec.lo);
		put_le64(p + 8, v.dec.hi);
		return p + 16;
	case BSON_STRING:
	case BSON_SYMBOL:
	case BSON_CODE: return put_string(p, v);
	case BSON_BINARY: return put_binary(p, v);
	case BSON_DOCUMENT:
	case BSON_ARRAY:
	case BSON_OID:
	case BSON_REGEX:
	case BSON_DBPOINTER:
	case BSON_CODE_W_SCOPE: memcpy(p, v.p, v.len); return p + v.len;
	default: return p;
	}
}

/* Decimal digits of an array index, counted up by the caller: no division an element. */
struct index_text {
	char digit[12];
	unsigned len;
};

static void index_next(struct index_text *t)
{
	unsigned i = t->len;
	while (i-- > 0) {
		if (t->digit[i] != '9') {
			t->digit[i]++;
			return;
		}
		t->digit[i] = '0';
	}
	memmove(t->digit + 1, t->digit, t->len++);
	t->digit[0] = '1';
}

static size_t index_digits(size_t n) /* of all indices below n */
{
	size_t total = 0, from = 0;
	for (size_t digits = 1, end = 10; from < n; digits++, from = end, end *= 10)
		total += digits * (MIN(n, end) - from);
	return total;
}

static int too_large(struct err *e)
{
	return err_number(e, ERR_LIMIT, 4031700,
			  "a value of the expression would be larger than %u MiB",
			  BSON_DOC_MAX >> 20);
}

int build_array(struct expr_env *env, const struct value *v, size_t n, struct value *out,
		struct err *e)
{
	size_t size = 5 + 2 * n + index_digits(n);
	for (size_t i = 0; i < n; i++)
		size += encoded_size(v[i]);
	if (size > BSON_DOC_MAX)
		return too_large(e);
	uint8_t *start = env_alloc(env, size);
	if (!start)
		return env_nomem(env, e);
	uint8_t *p = start;
	put_le32(p, (uint32_t)size);
	p += 4;
	struct index_text index = { "0", 1 };
	for (size_t i = 0; i < n; i++) {
		*p++ = v[i].type == BSON_MISSING ? BSON_NULL : v[i].type;
		memcpy(p, index.digit, index.len);
		p += index.len;
		*p++ = '\0';
		p = put_value(p, v[i]);
		index_next(&index);
	}
	*p++ = '\0';
	ASSERT((size_t)(p - start) == size);
	*out = value_array(slice_of(start, size));
	return 0;
}

int build_doc(struct expr_env *env, const struct field *f, size_t n, struct value *out,
	      struct err *e)
{
	size_t size = 5;
	for (size_t i = 0; i < n; i++)
		if (f[i].value.type != BSON_MISSING)
			size += 2 + f[i].key.len + encoded_size(f[i].value);
	if (size > BSON_DOC_MAX)
		return too_large(e);
	uint8_t *start = env_alloc(env, size);
	if (!start)
		return env_nomem(env, e);
	uint8_t *p = start;
	put_le32(p, (uint32_t)size);
	p += 4;
	for (size_t i = 0; i < n; i++) {
		if (f[i].value.type == BSON_MISSING)
			continue;
		*p++ = f[i].value.type;
		if (f[i].key.len)
			memcpy(p, f[i].key.p, f[i].key.len);
		p += f[i].key.len;
		*p++ = '\0';
		p = put_value(p, f[i].value);
	}
	*p++ = '\0';
	ASSERT((size_t)(p - start) == size);
	*out = value_doc(slice_of(start, size));
	return 0;
}

int build_string(struct expr_env *env, struct slice s, struct value *out, struct err *e)
{
	if (s.len > BSON_DOC_MAX)
		return too_large(e);
	uint8_t *p = env_alloc(env, s.len + 1);
	if (!p)
		return env_nomem(env, e);
	if (s.len)
		memcpy(p, s.p, s.len);
	*out = value_string(slice_of(p, s.len));
	return 0;
}

size_t array_length(struct value array)
{
	return bson_count(value_slice(array));
}

unsigned value_depth(struct value v, unsigned max)
{
	if (v.type != BSON_DOCUMENT && v.type != BSON_ARRAY)
		return 0;
	if (max == 0)
		return 1;
	struct bson_iter it;
	unsigned deepest = 0;
	bson_iter_init(&it, value_slice(v));
	while (deepest < max && bson_next(&it)) {
		unsigned d = value_depth(it.value, max - 1);
		deepest = MAX(deepest, d);
	}
	return deepest + 1;
}

int value_copy(struct arena *a, struct value v, struct value *out)
{
	switch (v.type) {
	case BSON_STRING:
	case BSON_SYMBOL:
	case BSON_CODE:
	case BSON_DOCUMENT:
	case BSON_ARRAY:
	case BSON_BINARY:
	case BSON_OID:
	case BSON_REGEX:
	case BSON_DBPOINTER:
	case BSON_CODE_W_SCOPE: {
		/* One byte more: texts keep the NUL that stands behind them. */
		uint8_t *p = arena_try(a, (size_t)v.len + 1);
		if (!p)
			return ERR_NOMEM;
		if (v.len)
			memcpy(p, v.p, v.len);
		p[v.len] = '\0';
		*out = v;
		out->p = p;
		return 0;
	}
	default: *out = v; return 0;
	}
}
