/* match_operators.c: the query operators, one row each; here those that hold filters or expressions of their own.
 *
 * A row's function checks the operand and adds nodes; it runs once, when the filter is compiled. The table also feeds
 * `weir query --list` and the manual. To add an operator: a function, a row, and where it needs a new test a case in
 * match_eval.c. Operators that compare: match_values.c; that ask what a value is like: match_tests.c.
 */
#include "doc/match_compile.h"

#include "doc/decimal.h"
#include "doc/expr.h"
#include "doc/schema.h"

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
		       bool elem, const struct spec_place *at, struct match_nodes *out)
{
	if (elem != (elem_match_in(v).type != BSON_MISSING))
		return BAD(c, at, "$all takes $elemMatch objects only, or none");
	if (elem)
		return match_compile_predicates(c, p->field, value_slice(v), at, out);
	if (match_is_operators(v, false))
		return BAD(c, at, "operators cannot stand inside $all");
	return match_compile_condition(c, p->field, v, at, out);
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
		struct spec_place here = spec_element(p->at, i);
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
		rc = match_compile_condition(c, p->field, p->arg, p->at, &list);
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
		 const struct spec_place *at, struct match_nodes *out)
{
	struct match_nodes list = { 0 };
	uint64_t i = 0;
	if (arg.type != BSON_ARRAY)
		return BAD(c, at, "%s needs an array of objects, not %s", row->name,
			   bson_type_name(arg.type));
	struct bson_iter it;
	bson_iter_init(&it, value_slice(arg));
	for (; bson_next(&it); i++) {
		struct spec_place here = spec_element(at, i);
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
		   const struct spec_place *at, struct match_nodes *out)
{
	(void)c;
	(void)row;
	(void)arg;
	(void)at;
	(void)out;
	return 0;
}

static int always(struct match_compiler *c, const struct match_operator *row, struct value arg,
		  const struct spec_place *at, struct match_nodes *out)
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
		       const struct spec_place *at, struct match_nodes *out)
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
			const struct spec_place *at)
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
		const struct spec_place *at, struct match_nodes *out)
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
		       const struct spec_place *at, struct match_nodes *out)
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
		  const struct spec_place *at)
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
		      const struct spec_place *at, struct match_nodes *out)
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
	FIELD("$eq", "comparison", match_op_compare, OP_EQ, "equal to the value"),
	FIELD("$ne", "comparison", match_op_not_equal, 0, "not equal to the value, or missing"),
	FIELD("$gt", "comparison", match_op_compare, OP_GT,
	      "greater than a value of the same type"),
	FIELD("$gte", "comparison", match_op_compare, OP_GTE, "greater than or equal"),
	FIELD("$lt", "comparison", match_op_compare, OP_LT, "less than a value of the same type"),
	FIELD("$lte", "comparison", match_op_compare, OP_LTE, "less than or equal"),
	FIELD("$in", "comparison", match_op_in, 0,
	      "equal to one of the values, or matches one of the patterns"),
	FIELD("$nin", "comparison", match_op_in, 1, "none of the values, or missing"),
	TOP("$and", "logical", logic, LOGIC_AND, "all of the filters match"),
	TOP("$or", "logical", logic, LOGIC_OR, "at least one of the filters matches"),
	TOP("$nor", "logical", logic, LOGIC_NOR, "none of the filters matches"),
	FIELD("$not", "logical", not, 0, "the operators do not match"),
	FIELD("$exists", "element", match_op_exists, 0, "the field is there (true) or not (false)"),
	FIELD("$type", "element", match_op_type, 0,
	      "the value, or an element, has one of the types"),
	TOP("$expr", "evaluation", expr, 0, "the aggregation expression is true"),
	TOP("$jsonSchema", "evaluation", json_schema, 0,
	    "the document is valid by the JSON Schema (draft 4)"),
	FIELD("$mod", "evaluation", match_op_mod, 0,
	      "the remainder of a division: [divisor, remainder]"),
	FIELD("$regex", "evaluation", match_op_regex, 0, "the text matches the pattern (PCRE2)"),
	FIELD("$options", "evaluation", match_op_options, 0, "options of $regex: i, m, s, x, u"),
	TOP("$sampleRate", "evaluation", sample_rate, 0, "chosen at random with this probability"),
	FIELD("$all", "array", all, 0, "every one of the values is there"),
	FIELD("$elemMatch", "array", elem_match, 0, "one element matches all of it"),
	FIELD("$size", "array", match_op_size, 0, "the array has so many elements"),
	FIELD("$bitsAllClear", "bitwise", match_op_bits, BITS_ALL_CLEAR, "all these bits are 0"),
	FIELD("$bitsAllSet", "bitwise", match_op_bits, BITS_ALL_SET, "all these bits are 1"),
	FIELD("$bitsAnyClear", "bitwise", match_op_bits, BITS_ANY_CLEAR, "one of these bits is 0"),
	FIELD("$bitsAnySet", "bitwise", match_op_bits, BITS_ANY_SET, "one of these bits is 1"),
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
