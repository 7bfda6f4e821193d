/* match_values.c: the query operators that compare: with a value, with a pattern, with a set of both ($in). */
#include "doc/match_compile.h"

#include "doc/compare.h"
#include "doc/regex.h"

#include <stdlib.h>

/* ---- comparison ---- */

static int add_comparison(struct match_compiler *c, enum match_op op, uint32_t field,
			  struct value operand, const struct spec_place *at,
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

int match_op_compare(struct match_compiler *c, const struct match_operator *row,
		     const struct match_predicate *p, struct match_nodes *out)
{
	if (p->arg.type == BSON_REGEX && row->param != OP_EQ)
		return BAD(c, p->at,
			   "cannot compare with a regular expression; use $regex, or $not with it");
	return add_comparison(c, (enum match_op)row->param, p->field, p->arg, p->at, out);
}

int match_op_not_equal(struct match_compiler *c, const struct match_operator *row,
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
			 const struct spec_place *at, struct match_regex *out)
{
	struct regex *r;
	int rc = regex_compile(pattern, options, &r, c->e);
	if (rc < 0)
		return match_fail_in(c, at, rc);
	*out = (struct match_regex){ r, pattern, options };
	return match_own(c, r, free_regex);
}

static int add_regex(struct match_compiler *c, uint32_t field, struct slice pattern,
		     struct slice options, const struct spec_place *at, struct match_nodes *out)
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

int match_op_regex(struct match_compiler *c, const struct match_operator *row,
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

int match_op_options(struct match_compiler *c, const struct match_operator *row,
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
		   const struct match_operator *row, const struct spec_place *at)
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

int match_op_in(struct match_compiler *c, const struct match_operator *row,
		const struct match_predicate *p, struct match_nodes *out)
{
	if (p->arg.type != BSON_ARRAY)
		return BAD(c, p->at, "%s needs an array, not %s", row->name,
			   bson_type_name(p->arg.type));
	uint64_t n = bson_count(value_slice(p->arg)), n_regex = 0, i = 0;
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
		struct spec_place here = spec_element(p->at, i);
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
