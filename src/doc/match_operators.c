/* match_operators.c: the query operators, one row each.
 *
 * A row's function checks the operand and adds nodes; it runs once, when the filter is compiled. The table also feeds
 * `weir query --list` and the manual. To add an operator: a function, a row, and where it needs a new test a case in
 * match_eval.c.
 */
#include "doc/match_compile.h"

#include "doc/compare.h"
#include "doc/decimal.h"
#include "doc/expr.h"
#include "doc/regex.h"
#include "doc/schema.h"

#include <math.h>
#include <stdlib.h>

typedef int field_operator(struct match_compiler *c, const struct match_operator *row,
			   const struct match_predicate *p, struct match_nodes *out);
typedef int top_operator(struct match_compiler *c, const struct match_operator *row,
			 struct value arg, const struct match_place *at, struct match_nodes *out);

#define BAD(c, at, ...) match_fail(c, at, ERR_INVALID, 2, __VA_ARGS__)

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

static uint64_t count_elements(struct slice doc)
{
	uint64_t n = 0;
	struct bson_iter it;
	bson_iter_init(&it, doc);
	while (bson_next(&it))
		n++;
	return n;
}

static struct match_place element_place(const struct match_place *up, uint64_t index)
{
	return (struct match_place){ .up = up, .index = (uint32_t)index };
}

/* ---- comparison ---- */

static int add_comparison(struct match_compiler *c, enum match_op op, uint32_t field,
			  struct value operand, const struct match_place *at,
			  struct match_nodes *out)
{
	if (operand.type == BSON_UNDEFINED)
		return BAD(c, at, "cannot compare to undefined");
	struct match_node *n = match_test_add(c, out, field, op);
	if (!n)
		return err_nomem(c->e);
	n->operand = operand;
	n->rank = (int16_t)value_rank(operand.type);
	return 0;
}

static int compare(struct match_compiler *c, const struct match_operator *row,
		   const struct match_predicate *p, struct match_nodes *out)
{
	if (p->arg.type == BSON_REGEX && row->param != OP_EQ)
		return BAD(c, p->at,
			   "cannot compare with a regular expression; use $regex, or $not with it");
	return add_comparison(c, (enum match_op)row->param, p->field, p->arg, p->at, out);
}

static int not_equal(struct match_compiler *c, const struct match_operator *row,
		     const struct match_predicate *p, struct match_nodes *out)
{
	(void)row;
	if (p->arg.type == BSON_REGEX)
		return BAD(c, p->at, "$ne takes no regular expression; use $not: /pattern/");
	int rc = add_comparison(c, OP_EQ, p->field, p->arg, p->at, out);
	if (rc == 0)
		out->v[out->n - 1].negate = true;
	return rc;
}

/* ---- regular expressions ---- */

static void free_regex(void *r)
{
	regex_free(r);
}

static int compile_regex(struct match_compiler *c, struct slice pattern, struct slice options,
			 const struct match_place *at, struct match_regex *out)
{
	struct regex *r;
	int rc = regex_compile(pattern, options, &r, c->e);
	if (rc < 0)
		return match_fail_in(c, at, rc);
	*out = (struct match_regex){ r, pattern, options };
	return match_own(c, r, free_regex);
}

static int add_regex(struct match_compiler *c, uint32_t field, struct slice pattern,
		     struct slice options, const struct match_place *at, struct match_nodes *out)
{
	struct match_regex *r = arena_try(&c->m->arena, sizeof(*r));
	if (!r)
		return err_nomem(c->e);
	int rc = compile_regex(c, pattern, options, at, r);
	if (rc < 0)
		return rc;
	struct match_node *n = match_test_add(c, out, field, OP_REGEX);
	if (!n)
		return err_nomem(c->e);
	n->regex = r;
	return 0;
}

static int add_regex_value(struct match_compiler *c, uint32_t field, struct value v,
			   const struct match_place *at, struct match_nodes *out)
{
	return add_regex(c, field, value_regex_pattern(v), value_regex_options(v), at, out);
}

static int regex(struct match_compiler *c, const struct match_operator *row,
		 const struct match_predicate *p, struct match_nodes *out)
{
	(void)row;
	struct slice pattern, options = SLICE_NONE;
	struct value given = p->siblings.p ? bson_get_str(p->siblings, "$options") : VALUE_MISSING;
	if (given.type != BSON_MISSING && given.type != BSON_STRING)
		return BAD(c, p->at, "$options must be a string, not %s",
			   bson_type_name(given.type));
	if (given.type == BSON_STRING)
		options = value_slice(given);
	if (p->arg.type == BSON_REGEX) {
		pattern = value_regex_pattern(p->arg);
		struct slice own = value_regex_options(p->arg);
		if (own.len && given.type != BSON_MISSING)
			return match_fail(c, p->at, ERR_INVALID, 51075,
					  "options are set both in $regex and in $options");
		options = own.len ? own : options;
	} else if (p->arg.type == BSON_STRING) {
		pattern = value_slice(p->arg);
	} else {
		return BAD(c, p->at, "$regex must be a string or a regular expression, not %s",
			   bson_type_name(p->arg.type));
	}
	return add_regex(c, p->field, pattern, options, p->at, out);
}

static int options(struct match_compiler *c, const struct match_operator *row,
		   const struct match_predicate *p, struct match_nodes *out)
{
	(void)row;
	(void)out;
	if (bson_get_str(p->siblings, "$regex").type == BSON_MISSING)
		return BAD(c, p->at, "$options needs a $regex beside it");
	return 0;
}

/* ---- $in ---- */

enum { SET_TABLE_MIN = 5, SET_PROBES_MAX = 64 };

static int compare_values(const void *a, const void *b)
{
	const struct value *x = a, *y = b;
	return value_compare(*x, *y);
}

static void set_sort(struct match_set *s)
{
	if (s->n)
		qsort(s->value, s->n, sizeof(*s->value), compare_values);
	uint32_t n = 0;
	for (uint32_t i = 0; i < s->n; i++) {
		if (n == 0 || !value_equal(s->value[n - 1], s->value[i]))
			s->value[n++] = s->value[i];
	}
	s->n = n;
}

/* A table at most half full. Values made to collide get none: then the order serves. */
static int set_index(struct match_compiler *c, struct match_set *s)
{
	if (s->n < SET_TABLE_MIN)
		return 0;
	uint32_t cap = 16;
	while (cap < s->n * 2)
		cap *= 2;
	uint32_t *slot = arena_try_array(&c->m->arena, cap, sizeof(*slot));
	if (!slot)
		return err_nomem(c->e);
	memset(slot, 0, cap * sizeof(*slot));
	for (uint32_t i = 0; i < s->n; i++) {
		uint64_t at = value_hash(s->value[i], 0);
		uint32_t probes = 0;
		for (; slot[at & (cap - 1)]; at++) {
			if (++probes > SET_PROBES_MAX)
				return 0;
		}
		slot[at & (cap - 1)] = i + 1;
	}
	s->slot = slot;
	s->mask = cap - 1;
	return 0;
}

static int set_add(struct match_compiler *c, struct match_set *s, struct value v,
		   const struct match_operator *row, const struct match_place *at)
{
	if (v.type == BSON_UNDEFINED)
		return BAD(c, at, "cannot compare to undefined");
	if (match_is_operators(v, false))
		return BAD(c, at, "operators cannot stand inside %s", row->name);
	if (v.type == BSON_NULL)
		s->has_null = true;
	else if (v.type != BSON_REGEX)
		s->value[s->n++] = v;
	else
		return compile_regex(c, value_regex_pattern(v), value_regex_options(v), at,
				     &s->regex[s->n_regex++]);
	return 0;
}

static int in(struct match_compiler *c, const struct match_operator *row,
	      const struct match_predicate *p, struct match_nodes *out)
{
	if (p->arg.type != BSON_ARRAY)
		return BAD(c, p->at, "%s needs an array, not %s", row->name,
			   bson_type_name(p->arg.type));
	uint64_t n = count_elements(value_slice(p->arg)), n_regex = 0, i = 0;
	struct bson_iter it;
	for (bson_iter_init(&it, value_slice(p->arg)); bson_next(&it);)
		n_regex += it.value.type == BSON_REGEX;

	struct match_set *s = arena_try(&c->m->arena, sizeof(*s));
	if (!s)
		return err_nomem(c->e);
	*s = (struct match_set){
		.value = arena_try_array(&c->m->arena, n, sizeof(*s->value)),
		.regex = arena_try_array(&c->m->arena, n_regex, sizeof(*s->regex)),
	};
	if (!s->value || !s->regex)
		return err_nomem(c->e);
	for (bson_iter_init(&it, value_slice(p->arg)); bson_next(&it); i++) {
		struct match_place here = element_place(p->at, i);
		int rc = set_add(c, s, it.value, row, &here);
		if (rc < 0)
			return rc;
	}
	set_sort(s);
	int rc = set_index(c, s);
	if (rc < 0)
		return rc;
	struct match_node *node = match_test_add(c, out, p->field, OP_IN);
	if (!node)
		return err_nomem(c->e);
	node->set = s;
	node->negate = row->param != 0;
	return 0;
}

/* ---- element ---- */

static int exists(struct match_compiler *c, const struct match_operator *row,
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

static int type_bits(struct match_compiler *c, struct value v, const struct match_place *at,
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

static int type(struct match_compiler *c, const struct match_operator *row,
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
			struct match_place here = element_place(p->at, i);
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
		    const struct match_place *at, int64_t *out)
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

static int mod(struct match_compiler *c, const struct match_operator *row,
	       const struct match_predicate *p, struct match_nodes *out)
{
	(void)row;
	if (p->arg.type != BSON_ARRAY)
		return BAD(c, p->at, "$mod needs an array: [divisor, remainder]");
	uint64_t n = count_elements(value_slice(p->arg));
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

static int size(struct match_compiler *c, const struct match_operator *row,
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

static int bit_positions(struct match_compiler *c, struct value list, const struct match_place *at,
			 struct match_bits *b, uint32_t *positions)
{
	uint64_t i = 0;
	struct bson_iter it;
	bson_iter_init(&it, value_slice(list));
	for (; bson_next(&it); i++) {
		struct match_place here = element_place(at, i);
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

static int bits(struct match_compiler *c, const struct match_operator *row,
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
						: count_elements(value_slice(v));
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

/* ---- $elemMatch, $all, $not ---- */

/* Value form when the first key is an operator that belongs to a field; the form then decides what may follow. */
static int elem_match(struct match_compiler *c, const struct match_operator *row,
		      const struct match_predicate *p, struct match_nodes *out)
{
	(void)row;
	if (p->arg.type != BSON_DOCUMENT)
		return BAD(c, p->at, "$elemMatch needs an object, not %s",
			   bson_type_name(p->arg.type));
	bool of_values = false;
	if (match_is_operators(p->arg, true)) {
		struct bson_iter it;
		bson_iter_init(&it, value_slice(p->arg));
		(void)bson_next(&it);
		const struct match_operator *first = match_find_operator(it.key);
		of_values = !first || !first->top;
	}
	const struct match_program *program;
	int rc = match_compile_inner(c, value_slice(p->arg), of_values, p->at, &program);
	if (rc < 0)
		return rc;
	struct match_node *n =
		match_test_add(c, out, p->field, of_values ? OP_ELEM_VALUE : OP_ELEM_DOC);
	if (!n)
		return err_nomem(c->e);
	n->program = program;
	return 0;
}

static struct value elem_match_in(struct value v)
{
	if (v.type != BSON_DOCUMENT)
		return VALUE_MISSING;
	struct bson_iter it;
	bson_iter_init(&it, value_slice(v));
	return bson_next(&it) && slice_is(it.key, "$elemMatch") ? it.value : VALUE_MISSING;
}

static int all_element(struct match_compiler *c, const struct match_predicate *p, struct value v,
		       bool elem, const struct match_place *at, struct match_nodes *out)
{
	if (elem != (elem_match_in(v).type != BSON_MISSING))
		return BAD(c, at, "$all takes $elemMatch objects only, or none");
	if (elem)
		return match_compile_predicates(c, p->field, value_slice(v), at, out);
	if (match_is_operators(v, false))
		return BAD(c, at, "operators cannot stand inside $all");
	if (v.type == BSON_REGEX)
		return add_regex_value(c, p->field, v, at, out);
	return add_comparison(c, OP_EQ, p->field, v, at, out);
}

static int all(struct match_compiler *c, const struct match_operator *row,
	       const struct match_predicate *p, struct match_nodes *out)
{
	(void)row;
	if (p->arg.type != BSON_ARRAY)
		return BAD(c, p->at, "$all needs an array, not %s", bson_type_name(p->arg.type));
	struct match_nodes list = { 0 };
	uint64_t i = 0;
	bool elem = false;
	struct bson_iter it;
	bson_iter_init(&it, value_slice(p->arg));
	for (; bson_next(&it); i++) {
		struct match_place here = element_place(p->at, i);
		if (i == 0)
			elem = elem_match_in(it.value).type != BSON_MISSING;
		int rc = all_element(c, p, it.value, elem, &here, &list);
		if (rc < 0)
			return rc;
	}
	struct match_node *n = match_nodes_add(c, out);
	if (!n)
		return err_nomem(c->e);
	if (i == 0) { /* nothing matches */
		n->kind = NODE_TRUE;
		n->negate = true;
		return 0;
	}
	return match_join(c, NODE_AND, &list, n);
}

static int not(struct match_compiler * c, const struct match_operator *row,
	       const struct match_predicate *p, struct match_nodes *out)
{
	(void)row;
	struct match_nodes list = { 0 };
	int rc = match_enter(c, p->at);
	if (rc == 0 && p->arg.type == BSON_REGEX)
		rc = add_regex_value(c, p->field, p->arg, p->at, &list);
	else if (rc == 0 && p->arg.type != BSON_DOCUMENT)
		rc = BAD(c, p->at, "$not needs an object of operators or a regular expression");
	else if (rc == 0 && p->arg.len <= sizeof(bson_empty))
		rc = BAD(c, p->at, "$not cannot be empty");
	else if (rc == 0)
		rc = match_compile_predicates(c, p->field, value_slice(p->arg), p->at, &list);
	match_leave(c);
	if (rc < 0)
		return rc;
	struct match_node *n = match_nodes_add(c, out);
	if (!n)
		return err_nomem(c->e);
	rc = match_join(c, NODE_AND, &list, n);
	n->negate = !n->negate;
	return rc;
}

/* ---- beside fields ---- */

enum { LOGIC_AND, LOGIC_OR, LOGIC_NOR };

static int logic(struct match_compiler *c, const struct match_operator *row, struct value arg,
		 const struct match_place *at, struct match_nodes *out)
{
	struct match_nodes list = { 0 };
	uint64_t i = 0;
	if (arg.type != BSON_ARRAY)
		return BAD(c, at, "%s needs an array of objects, not %s", row->name,
			   bson_type_name(arg.type));
	struct bson_iter it;
	bson_iter_init(&it, value_slice(arg));
	for (; bson_next(&it); i++) {
		struct match_place here = element_place(at, i);
		if (it.value.type != BSON_DOCUMENT)
			return BAD(c, &here, "%s needs objects, not %s", row->name,
				   bson_type_name(it.value.type));
		struct match_node n;
		int rc = match_compile_query(c, value_slice(it.value), &here, &n);
		if (rc < 0)
			return rc;
		struct match_node *slot = match_nodes_add(c, &list);
		if (!slot)
			return err_nomem(c->e);
		*slot = n;
	}
	if (i == 0)
		return BAD(c, at, "%s cannot be an empty array", row->name);
	struct match_node *n = match_nodes_add(c, out);
	if (!n)
		return err_nomem(c->e);
	int rc = match_join(c, row->param == LOGIC_AND ? NODE_AND : NODE_OR, &list, n);
	if (row->param == LOGIC_NOR)
		n->negate = !n->negate;
	return rc;
}

static int comment(struct match_compiler *c, const struct match_operator *row, struct value arg,
		   const struct match_place *at, struct match_nodes *out)
{
	(void)c;
	(void)row;
	(void)arg;
	(void)at;
	(void)out;
	return 0;
}

static int always(struct match_compiler *c, const struct match_operator *row, struct value arg,
		  const struct match_place *at, struct match_nodes *out)
{
	int64_t one;
	if (!match_whole_number(arg, &one) || one != 1)
		return match_fail(c, at, ERR_INVALID, 9, "%s must be 1", row->name);
	struct match_node *n = match_nodes_add(c, out);
	if (!n)
		return err_nomem(c->e);
	n->kind = NODE_TRUE;
	n->negate = row->param != 0;
	return 0;
}

static int sample_rate(struct match_compiler *c, const struct match_operator *row, struct value arg,
		       const struct match_place *at, struct match_nodes *out)
{
	(void)row;
	double rate = arg.type == BSON_DOUBLE       ? arg.f64
		      : arg.type == BSON_DECIMAL128 ? dec_to_double(arg.dec)
		      : value_is_number(arg)        ? (double)arg.i64
						    : -1;
	if (!(rate >= 0 && rate <= 1))
		return BAD(c, at, "$sampleRate must be a number between 0 and 1");
	struct match_node *n = match_nodes_add(c, out);
	if (!n)
		return err_nomem(c->e);
	n->kind = NODE_SAMPLE;
	n->rate = rate;
	return 0;
}

/* ---- languages of their own ---- */

static int only_outside(struct match_compiler *c, const struct match_operator *row,
			const struct match_place *at)
{
	if (!c->b->inner)
		return 0;
	return BAD(c, at, "%s applies to whole documents; it cannot stand inside $elemMatch",
		   row->name);
}

static void free_expr(void *x)
{
	expr_free(x);
}

static int expr(struct match_compiler *c, const struct match_operator *row, struct value arg,
		const struct match_place *at, struct match_nodes *out)
{
	struct expr *x;
	char place[MATCH_PLACE_MAX];
	int rc = only_outside(c, row, at);
	if (rc < 0)
		return rc;
	match_place_text(at, place);
	rc = expr_compile(arg, &(struct expr_options){ .place = place, .roots = c->m->roots }, &x,
			  c->e);
	if (rc == 0)
		rc = match_own(c, x, free_expr);
	if (rc < 0)
		return rc;
	struct match_node *n = match_nodes_add(c, out);
	if (!n)
		return err_nomem(c->e);
	n->kind = NODE_EXPR;
	n->expr = x;
	if (c->m->roots)
		c->m->roots_used |= expr_roots_used(x);
	return 0;
}

static void free_schema(void *s)
{
	schema_free(s);
}

static int json_schema(struct match_compiler *c, const struct match_operator *row, struct value arg,
		       const struct match_place *at, struct match_nodes *out)
{
	struct schema *s;
	int rc = only_outside(c, row, at);
	if (rc < 0)
		return rc;
	if (arg.type != BSON_DOCUMENT)
		return match_fail(c, at, ERR_INVALID, 14, "$jsonSchema must be an object, not %s",
				  bson_type_name(arg.type));
	rc = schema_compile(value_slice(arg), &s, c->e);
	if (rc < 0)
		return match_fail_in(c, at, rc);
	rc = match_own(c, s, free_schema);
	if (rc < 0)
		return rc;
	struct match_node *n = match_nodes_add(c, out);
	if (!n)
		return err_nomem(c->e);
	n->kind = NODE_SCHEMA;
	n->schema = s;
	if (c->m->roots)
		c->m->roots_used = UINT64_MAX;
	return 0;
}

/* ---- refused ---- */

static int refuse(struct match_compiler *c, const struct match_operator *row,
		  const struct match_place *at)
{
	return match_fail(c, at, ERR_UNSUPPORTED, 0, "%s is not supported%s", row->name,
			  slice_is(slice_str(row->name), "$where") ? "; use $expr" : "");
}

static int refuse_field(struct match_compiler *c, const struct match_operator *row,
			const struct match_predicate *p, struct match_nodes *out)
{
	(void)out;
	return refuse(c, row, p->at);
}

static int refuse_top(struct match_compiler *c, const struct match_operator *row, struct value arg,
		      const struct match_place *at, struct match_nodes *out)
{
	(void)arg;
	(void)out;
	return refuse(c, row, at);
}

/* ---- the table ---- */

#define FIELD(name, group, fn, param, help) \
	{ \
		name, group, help, fn, NULL, param \
	}
#define TOP(name, group, fn, param, help) \
	{ \
		name, group, help, NULL, fn, param \
	}

const struct match_operator match_table[] = {
	FIELD("$eq", "comparison", compare, OP_EQ, "equal to the value"),
	FIELD("$ne", "comparison", not_equal, 0, "not equal to the value, or missing"),
	FIELD("$gt", "comparison", compare, OP_GT, "greater than a value of the same type"),
	FIELD("$gte", "comparison", compare, OP_GTE, "greater than or equal"),
	FIELD("$lt", "comparison", compare, OP_LT, "less than a value of the same type"),
	FIELD("$lte", "comparison", compare, OP_LTE, "less than or equal"),
	FIELD("$in", "comparison", in, 0,
	      "equal to one of the values, or matches one of the patterns"),
	FIELD("$nin", "comparison", in, 1, "none of the values, or missing"),
	TOP("$and", "logical", logic, LOGIC_AND, "all of the filters match"),
	TOP("$or", "logical", logic, LOGIC_OR, "at least one of the filters matches"),
	TOP("$nor", "logical", logic, LOGIC_NOR, "none of the filters matches"),
	FIELD("$not", "logical", not, 0, "the operators do not match"),
	FIELD("$exists", "element", exists, 0, "the field is there (true) or not (false)"),
	FIELD("$type", "element", type, 0, "the value, or an element, has one of the types"),
	TOP("$expr", "evaluation", expr, 0, "the aggregation expression is true"),
	TOP("$jsonSchema", "evaluation", json_schema, 0,
	    "the document is valid by the JSON Schema (draft 4)"),
	FIELD("$mod", "evaluation", mod, 0, "the remainder of a division: [divisor, remainder]"),
	FIELD("$regex", "evaluation", regex, 0, "the text matches the pattern (PCRE2)"),
	FIELD("$options", "evaluation", options, 0, "options of $regex: i, m, s, x, u"),
	TOP("$sampleRate", "evaluation", sample_rate, 0, "chosen at random with this probability"),
	FIELD("$all", "array", all, 0, "every one of the values is there"),
	FIELD("$elemMatch", "array", elem_match, 0, "one element matches all of it"),
	FIELD("$size", "array", size, 0, "the array has so many elements"),
	FIELD("$bitsAllClear", "bitwise", bits, BITS_ALL_CLEAR, "all these bits are 0"),
	FIELD("$bitsAllSet", "bitwise", bits, BITS_ALL_SET, "all these bits are 1"),
	FIELD("$bitsAnyClear", "bitwise", bits, BITS_ANY_CLEAR, "one of these bits is 0"),
	FIELD("$bitsAnySet", "bitwise", bits, BITS_ANY_SET, "one of these bits is 1"),
	TOP("$comment", "other", comment, 0, "a remark; matches everything"),
	TOP("$alwaysTrue", "other", always, 0, "matches everything; its value is 1"),
	TOP("$alwaysFalse", "other", always, 1, "matches nothing; its value is 1"),
	TOP("$where", NULL, refuse_top, 0, NULL),
	TOP("$text", NULL, refuse_top, 0, NULL),
	FIELD("$geoIntersects", NULL, refuse_field, 0, NULL),
	FIELD("$geoWithin", NULL, refuse_field, 0, NULL),
	FIELD("$within", NULL, refuse_field, 0, NULL),
	FIELD("$near", NULL, refuse_field, 0, NULL),
	FIELD("$nearSphere", NULL, refuse_field, 0, NULL),
};

const size_t match_table_len = ARRAY_LEN(match_table);

int match_operators(int (*each)(void *arg, const char *name, const char *group, const char *help),
		    void *arg)
{
	for (size_t i = 0; i < match_table_len; i++) {
		if (!match_table[i].help)
			continue;
		int rc = each(arg, match_table[i].name, match_table[i].group, match_table[i].help);
		if (rc)
			return rc;
	}
	return 0;
}
