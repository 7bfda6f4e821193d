/* match_tests.c: the query operators that ask what a value is like: whether it is there, its type, its size, its bits. */
#include "doc/match_compile.h"

#include "doc/decimal.h"
#include "doc/expr.h"

#include <math.h>

bool match_whole_number(struct value v, int64_t *out)
{
	switch (v.type) {
	case BSON_INT32:
	case BSON_INT64: *out = v.i64; return true;
	case BSON_DOUBLE:
		if (!(v.f64 >= -0x1p63 && v.f64 < 0x1p63) || v.f64 != trunc(v.f64))
			return false;
		*out = (int64_t)v.f64;
		return true;
	case BSON_DECIMAL128:
		return dec_to_int64(v.dec, out) && dec_compare(v.dec, dec_from_int64(*out)) == 0;
	default: return false;
	}
}

/* ---- element ---- */

int match_op_exists(struct match_compiler *c, const struct match_operator *row,
		    const struct match_predicate *p, struct match_nodes *out)
{
	(void)row;
	struct match_node *n = match_test_add(c, out, p->field, OP_EXISTS);
	if (!n)
		return err_nomem(c->e);
	n->negate = !value_truth(p->arg);
	n->traverse = false;
	return 0;
}

static int type_bits(struct match_compiler *c, struct value v, const struct spec_place *at,
		     uint32_t *bits)
{
	int64_t number;
	int type;
	if (v.type == BSON_STRING && slice_is(value_slice(v), "number")) {
		*bits |= 1u << BSON_DOUBLE | 1u << BSON_INT32 | 1u << BSON_INT64 |
			 1u << BSON_DECIMAL128;
		return 0;
	}
	if (v.type == BSON_STRING) {
		type = bson_type_of_name(value_slice(v));
		if (type <= 0)
			return BAD(c, at, "unknown type name: " SLICE_FMT, (int)MIN(v.len, 40),
				   (const char *)v.p);
	} else if (match_whole_number(v, &number)) {
		bool known = number == -1 || number == BSON_MAXKEY || number == BSON_MINKEY ||
			     (number >= BSON_DOUBLE && number <= BSON_DECIMAL128);
		if (number == 0)
			return BAD(c, at, "0 is no type; use { $exists: false }");
		if (!known)
			return BAD(c, at, "unknown type number: %lld", (long long)number);
		type = number == -1 ? BSON_MINKEY : (int)number;
	} else {
		return match_fail(c, at, ERR_INVALID, value_is_number(v) ? 2 : 14,
				  "a type is a name or a whole number");
	}
	*bits |= 1u << match_type_bit((uint8_t)type);
	return 0;
}

int match_op_type(struct match_compiler *c, const struct match_operator *row,
		  const struct match_predicate *p, struct match_nodes *out)
{
	(void)row;
	uint32_t bits = 0;
	int rc = 0;
	if (p->arg.type == BSON_ARRAY) {
		uint64_t i = 0;
		struct bson_iter it;
		bson_iter_init(&it, value_slice(p->arg));
		for (; rc == 0 && bson_next(&it); i++) {
			struct spec_place here = spec_element(p->at, i);
			rc = type_bits(c, it.value, &here, &bits);
		}
		if (rc == 0 && i == 0)
			rc = match_fail(c, p->at, ERR_INVALID, 9, "$type needs at least one type");
	} else {
		rc = type_bits(c, p->arg, p->at, &bits);
	}
	if (rc < 0)
		return rc;
	struct match_node *n = match_test_add(c, out, p->field, OP_TYPE);
	if (!n)
		return err_nomem(c->e);
	n->types = bits;
	return 0;
}

/* ---- $mod, $size, $bits ---- */

static int mod_part(struct match_compiler *c, struct value v, const char *what,
		    const struct spec_place *at, int64_t *out)
{
	if (!value_is_number(v))
		return BAD(c, at, "the %s of $mod must be a number, not %s", what,
			   bson_type_name(v.type));
	bool fits = true;
	if (v.type == BSON_DOUBLE) {
		fits = v.f64 >= -0x1p63 && v.f64 < 0x1p63;
		*out = fits ? (int64_t)v.f64 : 0;
	} else if (v.type == BSON_DECIMAL128) {
		fits = dec_to_int64(v.dec, out);
	} else {
		*out = v.i64;
	}
	return fits ? 0 : BAD(c, at, "the %s of $mod does not fit 64 bits", what);
}

int match_op_mod(struct match_compiler *c, const struct match_operator *row,
		 const struct match_predicate *p, struct match_nodes *out)
{
	(void)row;
	if (p->arg.type != BSON_ARRAY)
		return BAD(c, p->at, "$mod needs an array: [divisor, remainder]");
	uint64_t n = bson_count(value_slice(p->arg));
	if (n != 2)
		return BAD(c, p->at, "$mod needs two numbers, [divisor, remainder], not %llu",
			   (unsigned long long)n);
	int64_t divisor, remainder;
	struct bson_iter it;
	bson_iter_init(&it, value_slice(p->arg));
	(void)bson_next(&it);
	int rc = mod_part(c, it.value, "divisor", p->at, &divisor);
	if (rc < 0)
		return rc;
	(void)bson_next(&it);
	rc = mod_part(c, it.value, "remainder", p->at, &remainder);
	if (rc < 0)
		return rc;
	if (divisor == 0)
		return BAD(c, p->at, "the divisor of $mod cannot be 0");
	struct match_node *node = match_test_add(c, out, p->field, OP_MOD);
	if (!node)
		return err_nomem(c->e);
	node->mod.divisor = divisor;
	node->mod.remainder = remainder;
	return 0;
}

int match_op_size(struct match_compiler *c, const struct match_operator *row,
		  const struct match_predicate *p, struct match_nodes *out)
{
	(void)row;
	int64_t n;
	if (!match_whole_number(p->arg, &n))
		return BAD(c, p->at, "$size must be a whole number");
	if (n < 0)
		return BAD(c, p->at, "$size cannot be negative");
	struct match_node *node = match_test_add(c, out, p->field, OP_SIZE);
	if (!node)
		return err_nomem(c->e);
	node->size = (uint64_t)n;
	return 0;
}

#define BAD_MASK(c, at, ...) match_fail(c, at, ERR_INVALID, 9, __VA_ARGS__)

static void add_position(struct match_bits *b, uint32_t *positions, uint32_t position)
{
	positions[b->n++] = position;
	b->mask |= UINT64_C(1) << MIN(position, 63);
}

static int bit_positions(struct match_compiler *c, struct value list, const struct spec_place *at,
			 struct match_bits *b, uint32_t *positions)
{
	uint64_t i = 0;
	struct bson_iter it;
	bson_iter_init(&it, value_slice(list));
	for (; bson_next(&it); i++) {
		struct spec_place here = spec_element(at, i);
		int64_t position;
		if (!match_whole_number(it.value, &position))
			return BAD_MASK(c, &here, "a bit position must be a whole number");
		if (position < 0 || position > INT32_MAX)
			return BAD_MASK(c, &here, "a bit position lies between 0 and %d",
					INT32_MAX);
		add_position(b, positions, (uint32_t)position);
	}
	return 0;
}

int match_op_bits(struct match_compiler *c, const struct match_operator *row,
		  const struct match_predicate *p, struct match_nodes *out)
{
	struct match_bits *b = arena_try(&c->m->arena, sizeof(*b));
	int64_t mask = 0;
	struct value v = p->arg;
	bool is_mask = value_is_number(v);
	if (is_mask && (!match_whole_number(v, &mask) || mask < 0))
		return BAD_MASK(c, p->at, "the mask of %s must be a whole number from 0 on",
				row->name);
	if (!is_mask && v.type != BSON_ARRAY && v.type != BSON_BINARY)
		return BAD_MASK(c, p->at,
				"%s needs a number, binary data or an array of bit positions, "
				"not %s",
				row->name, bson_type_name(v.type));
	uint64_t room = is_mask                 ? 64
			: v.type == BSON_BINARY ? (uint64_t)v.len * 8
						: bson_count(value_slice(v));
	if (room > MATCH_BITS_MAX)
		return match_fail(c, p->at, ERR_LIMIT, 0, "%s takes at most %d bit positions",
				  row->name, MATCH_BITS_MAX);
	uint32_t *positions = arena_try_array(&c->m->arena, room, sizeof(*positions));
	if (!b || !positions)
		return err_nomem(c->e);
	*b = (struct match_bits){ .op = (enum match_bits_op)row->param, .position = positions };
	for (uint32_t i = 0; is_mask && i < 64; i++) {
		if (mask >> i & 1)
			add_position(b, positions, i);
	}
	for (uint32_t i = 0; v.type == BSON_BINARY && i < room; i++) {
		if (v.p[i / 8] >> (i % 8) & 1)
			add_position(b, positions, i);
	}
	if (v.type == BSON_ARRAY) {
		int rc = bit_positions(c, v, p->at, b, positions);
		if (rc < 0)
			return rc;
	}
	struct match_node *n = match_test_add(c, out, p->field, OP_BITS);
	if (!n)
		return err_nomem(c->e);
	n->bits = b;
	return 0;
}
