/* schema_check.c: a value against a compiled schema.
 *
 * A walk down the schema and the value together. References can make the schema endless and alternatives can make the
 * walk exponential; depth and steps are counted and end in ERR_LIMIT.
 */
#include "doc/schema_tree.h"

#include "base/utf8.h"
#include "doc/compare.h"
#include "doc/decimal.h"
#include "doc/match_tree.h"
#include "doc/regex.h"

#include <math.h>

enum { PRESENT_MAX = 64, PAIRWISE_MAX = 8 };

struct cx {
	struct eval *ev;
	struct err *e;
	uint32_t depth;
};

static int check(struct cx *cx, const struct schema_node *n, struct value v);

static int count_steps(struct cx *cx, uint64_t n)
{
	cx->ev->steps += n;
	if (likely(cx->ev->steps <= cx->ev->steps_max))
		return 0;
	return err_number(cx->e, ERR_LIMIT, 146, "checking one value takes more than %llu steps",
			  (unsigned long long)cx->ev->steps_max);
}

/* ---- equality without regard to the order of members ---- */

static int same(struct cx *cx, struct value a, struct value b);

static int same_objects(struct cx *cx, struct slice a, struct slice b)
{
	size_t n = bson_count(b);
	if (bson_count(a) != n)
		return 0;
	struct bson_iter x, y;
	bson_iter_init(&x, a);
	bson_iter_init(&y, b);
	while (bson_next(&x)) {
		struct value other;
		int rc = 0;
		if (bson_next(&y) && slice_eq(x.key, y.key)) {
			other = y.value;
		} else {
			rc = count_steps(cx, n);
			other = bson_get(b, x.key);
		}
		if (rc == 0)
			rc = other.type != BSON_MISSING ? same(cx, x.value, other) : 0;
		if (rc <= 0)
			return rc;
	}
	return 1;
}

static int same_arrays(struct cx *cx, struct slice a, struct slice b)
{
	struct bson_iter x, y;
	bson_iter_init(&x, a);
	bson_iter_init(&y, b);
	for (;;) {
		bool more_x = bson_next(&x), more_y = bson_next(&y);
		if (!more_x || !more_y)
			return more_x == more_y;
		int rc = same(cx, x.value, y.value);
		if (rc <= 0)
			return rc;
	}
}

static int same(struct cx *cx, struct value a, struct value b)
{
	int rc = count_steps(cx, 1);
	if (rc < 0)
		return rc;
	if (a.type == BSON_DOCUMENT && b.type == BSON_DOCUMENT)
		return same_objects(cx, value_slice(a), value_slice(b));
	if (a.type == BSON_ARRAY && b.type == BSON_ARRAY)
		return same_arrays(cx, value_slice(a), value_slice(b));
	return value_equal(a, b);
}

static uint64_t hash(struct value v)
{
	struct bson_iter it;
	uint64_t sum = v.type;
	switch (v.type) {
	case BSON_DOCUMENT:
		bson_iter_init(&it, value_slice(v));
		while (bson_next(&it))
			sum += value_hash(value_string(it.key), hash(it.value));
		return sum;
	case BSON_ARRAY:
		bson_iter_init(&it, value_slice(v));
		while (bson_next(&it))
			sum = sum * UINT64_C(0x9e3779b97f4a7c15) + hash(it.value);
		return sum;
	default: return value_hash(v, 0);
	}
}

static int has_value(struct cx *cx, const struct schema_set *s, struct value v)
{
	for (uint32_t i = 0; i < s->n; i++) {
		int rc = same(cx, s->value[i], v);
		if (rc)
			return rc;
	}
	return 0;
}

/* ---- numbers ---- */

static bool is_nan(struct value v)
{
	return (v.type == BSON_DOUBLE && isnan(v.f64)) ||
	       (v.type == BSON_DECIMAL128 && dec_is_nan(v.dec));
}

static struct dec128 to_decimal(struct value v)
{
	return v.type == BSON_DECIMAL128 ? v.dec
	       : v.type == BSON_DOUBLE   ? dec_from_double(v.f64)
					 : dec_from_int64(v.i64);
}

/* Fractions are meant as they are written: 0.0075 is a multiple of 0.0001, though not as doubles. */
static bool is_multiple(struct value v, struct value of)
{
	int64_t a, b;
	if (match_whole_number(v, &a) && match_whole_number(of, &b))
		return b == -1 || a % b == 0;
	struct dec128 rest = dec_mod(to_decimal(v), to_decimal(of));
	return !dec_is_nan(rest) && dec_is_zero(rest);
}

static bool number_is_valid(const struct schema_node *n, struct value v)
{
	if (n->minimum.type != BSON_MISSING) {
		int c = value_compare(v, n->minimum);
		if (is_nan(v) || c < 0 || (c == 0 && n->exclusive_minimum))
			return false;
	}
	if (n->maximum.type != BSON_MISSING) {
		int c = value_compare(v, n->maximum);
		if (is_nan(v) || c > 0 || (c == 0 && n->exclusive_maximum))
			return false;
	}
	return n->multiple_of.type == BSON_MISSING || is_multiple(v, n->multiple_of);
}

/* ---- texts ---- */

static int check_string(struct cx *cx, const struct schema_node *n, struct slice text)
{
	if (n->min_length || n->max_length != UINT64_MAX) {
		size_t length = utf8_count(text);
		if (length < n->min_length || length > n->max_length)
			return 0;
	}
	if (n->format && !n->format(text))
		return 0;
	return n->pattern ? regex_matches(n->pattern, cx->ev, text, cx->e) : 1;
}

/* ---- arrays ---- */

static int all_differ_pairwise(struct cx *cx, struct slice array)
{
	struct bson_iter x;
	bson_iter_init(&x, array);
	while (bson_next(&x)) {
		struct bson_iter y = x;
		while (bson_next(&y)) {
			int rc = same(cx, x.value, y.value);
			if (rc)
				return rc < 0 ? rc : 0;
		}
	}
	return 1;
}

struct seen {
	uint64_t hash;
	struct value value;
};

static int add_seen(struct cx *cx, struct seen *slot, uint32_t mask, struct value v)
{
	uint64_t h = hash(v);
	uint64_t i = h * UINT64_C(0x9e3779b97f4a7c15) >> 32;
	for (; slot[i & mask].value.type != BSON_MISSING; i++) {
		int rc = count_steps(cx, 1);
		if (rc == 0 && slot[i & mask].hash == h)
			rc = same(cx, slot[i & mask].value, v);
		if (rc)
			return rc < 0 ? rc : 0;
	}
	slot[i & mask] = (struct seen){ h, v };
	return 1;
}

static int all_differ(struct cx *cx, struct slice array, uint32_t n)
{
	if (n <= PAIRWISE_MAX)
		return all_differ_pairwise(cx, array);
	uint32_t cap = 16;
	while (cap < n * 2)
		cap *= 2;
	struct arena_mark mark = arena_mark(&cx->ev->arena);
	struct seen *slot = arena_try_array(&cx->ev->arena, cap, sizeof(*slot));
	if (!slot)
		return err_nomem(cx->e);
	memset(slot, 0, cap * sizeof(*slot));
	int rc = 1;
	struct bson_iter it;
	bson_iter_init(&it, array);
	while (rc > 0 && bson_next(&it))
		rc = add_seen(cx, slot, cap - 1, it.value);
	arena_rewind(&cx->ev->arena, mark);
	return rc;
}

static int check_element(struct cx *cx, const struct schema_node *n, uint32_t index, struct value v)
{
	if (!n->has_tuple)
		return n->items ? check(cx, n->items, v) : 1;
	if (index < n->tuple.n)
		return check(cx, n->tuple.v[index], v);
	if (n->no_additional_items)
		return 0;
	return n->additional_items ? check(cx, n->additional_items, v) : 1;
}

static int check_array(struct cx *cx, const struct schema_node *n, struct slice array)
{
	uint32_t count = 0;
	struct bson_iter it;
	bson_iter_init(&it, array);
	for (; bson_next(&it); count++) {
		int rc = check_element(cx, n, count, it.value);
		if (rc <= 0)
			return rc;
	}
	if (count < n->min_items || count > n->max_items)
		return 0;
	return n->unique_items ? all_differ(cx, array, count) : 1;
}

/* ---- objects ---- */

uint64_t schema_name_hash(struct slice name)
{
	return value_hash(value_string(name), 0);
}

static uint32_t find_member(const struct schema_node *n, struct slice name)
{
	if (!n->n_members)
		return MATCH_NONE;
	for (uint64_t i = schema_name_hash(name); n->member_slot[i & n->member_mask]; i++) {
		uint32_t at = n->member_slot[i & n->member_mask] - 1;
		if (slice_eq(n->member[at].name, name))
			return at;
	}
	return MATCH_NONE;
}

static int check_member(struct cx *cx, const struct schema_node *n, uint32_t at,
			const struct bson_iter *it)
{
	bool named = at != MATCH_NONE && n->member[at].node;
	if (named) {
		int rc = check(cx, n->member[at].node, it->value);
		if (rc <= 0)
			return rc;
	}
	for (uint32_t i = 0; i < n->n_patterns; i++) {
		int rc = regex_matches(n->patterns[i].regex, cx->ev, it->key, cx->e);
		if (rc < 0)
			return rc;
		if (rc == 0)
			continue;
		named = true;
		rc = check(cx, n->patterns[i].node, it->value);
		if (rc <= 0)
			return rc;
	}
	if (named)
		return 1;
	if (n->no_additional)
		return 0;
	return n->additional ? check(cx, n->additional, it->value) : 1;
}

/* required and dependencies, once it is known who is there. */
static int check_presence(struct cx *cx, const struct schema_node *n, const bool *present,
			  struct value object)
{
	for (uint32_t i = 0; i < n->n_members; i++) {
		const struct schema_member *m = &n->member[i];
		if (!present[i]) {
			if (m->required)
				return 0;
			continue;
		}
		for (uint32_t k = 0; k < m->n_need; k++) {
			if (!present[m->need[k]])
				return 0;
		}
		int rc = m->then ? check(cx, m->then, object) : 1;
		if (rc <= 0)
			return rc;
	}
	return 1;
}

static int check_members(struct cx *cx, const struct schema_node *n, struct value object,
			 bool *present)
{
	uint32_t count = 0;
	struct bson_iter it;
	bson_iter_init(&it, value_slice(object));
	for (; bson_next(&it); count++) {
		uint32_t at = find_member(n, it.key);
		if (at != MATCH_NONE)
			present[at] = true;
		int rc = check_member(cx, n, at, &it);
		if (rc <= 0)
			return rc;
	}
	if (count < n->min_members || count > n->max_members)
		return 0;
	return check_presence(cx, n, present, object);
}

static int check_object(struct cx *cx, const struct schema_node *n, struct value object)
{
	bool few[PRESENT_MAX];
	if (n->n_members <= PRESENT_MAX) {
		memset(few, 0, n->n_members);
		return check_members(cx, n, object, few);
	}
	struct arena_mark mark = arena_mark(&cx->ev->arena);
	bool *present = arena_try(&cx->ev->arena, n->n_members);
	if (!present)
		return err_nomem(cx->e);
	memset(present, 0, n->n_members);
	int rc = check_members(cx, n, object, present);
	arena_rewind(&cx->ev->arena, mark);
	return rc;
}

/* ---- any value ---- */

/* An integer that does not fit 64 bits arrives as a double, and 1.0 is no integer in draft 4. */
static unsigned types_of(struct value v)
{
	switch (v.type) {
	case BSON_NULL: return SCHEMA_NULL;
	case BSON_BOOL: return SCHEMA_BOOLEAN;
	case BSON_INT32:
	case BSON_INT64: return SCHEMA_INTEGER | SCHEMA_NUMBER;
	case BSON_DOUBLE:
		return fabs(v.f64) >= 0x1p63 && isfinite(v.f64) ? SCHEMA_INTEGER | SCHEMA_NUMBER
								: SCHEMA_NUMBER;
	case BSON_DECIMAL128: return SCHEMA_NUMBER;
	case BSON_STRING: return SCHEMA_STRING;
	case BSON_ARRAY: return SCHEMA_ARRAY;
	case BSON_DOCUMENT: return SCHEMA_OBJECT;
	}
	return 0;
}

static int check_alternatives(struct cx *cx, const struct schema_node *n, struct value v)
{
	int rc = 1;
	for (uint32_t i = 0; i < n->all_of.n && rc > 0; i++)
		rc = check(cx, n->all_of.v[i], v);
	if (rc <= 0)
		return rc;
	if (n->any_of.n) {
		rc = 0;
		for (uint32_t i = 0; i < n->any_of.n && rc == 0; i++)
			rc = check(cx, n->any_of.v[i], v);
		if (rc <= 0)
			return rc;
	}
	uint32_t valid = 0;
	for (uint32_t i = 0; i < n->one_of.n && valid < 2; i++) {
		rc = check(cx, n->one_of.v[i], v);
		if (rc < 0)
			return rc;
		valid += (uint32_t)rc;
	}
	if (n->one_of.n && valid != 1)
		return 0;
	rc = n->not ? check(cx, n->not, v) : 0;
	return rc < 0 ? rc : !rc;
}

static int check_node(struct cx *cx, const struct schema_node *n, struct value v)
{
	if (n->types && !(n->types & types_of(v)))
		return 0;
	if (n->bson_types && !(n->bson_types >> match_type_bit(v.type) & 1))
		return 0;
	int rc = n->values.n ? has_value(cx, &n->values, v) : 1;
	if (rc <= 0)
		return rc;
	if (n->is_constrained) {
		if (value_is_number(v))
			rc = number_is_valid(n, v);
		else if (v.type == BSON_STRING)
			rc = check_string(cx, n, value_slice(v));
		else if (v.type == BSON_ARRAY)
			rc = check_array(cx, n, value_slice(v));
		else if (v.type == BSON_DOCUMENT)
			rc = check_object(cx, n, v);
		if (rc <= 0)
			return rc;
	}
	return check_alternatives(cx, n, v);
}

static int check(struct cx *cx, const struct schema_node *n, struct value v)
{
	int rc = count_steps(cx, 1);
	while (rc == 0 && n->is_ref) {
		n = n->ref;
		rc = count_steps(cx, 1);
	}
	if (rc < 0)
		return rc;
	if (cx->depth >= SCHEMA_DEPTH_MAX)
		return err_number(cx->e, ERR_LIMIT, 146,
				  "the schema refers to itself more than %d deep",
				  SCHEMA_DEPTH_MAX);
	cx->depth++;
	rc = check_node(cx, n, v);
	cx->depth--;
	return rc;
}

int schema_check(const struct schema *s, struct eval *ev, struct value v, struct err *e)
{
	struct cx cx = { .ev = ev, .e = e };
	return check(&cx, s->root, v);
}
