/* update_ops.c: the update operators on single fields, one table row each. */
#include "doc/update_tree.h"

#include "doc/compare.h"
#include "doc/decimal.h"

static int set(struct update_out *out, struct value v)
{
	out->kind = UPDATE_VALUE;
	out->value = v;
	return 0;
}

/* ---- $set $setOnInsert $unset $min $max ---- */

static int apply_set(const struct update_op *op, struct update_run *run, struct value old,
		     struct update_out *out, struct err *e)
{
	(void)run, (void)old, (void)e;
	return set(out, op->operand);
}

static int apply_set_on_insert(const struct update_op *op, struct update_run *run, struct value old,
			       struct update_out *out, struct err *e)
{
	(void)old, (void)e;
	return run->insert ? set(out, op->operand) : 0;
}

static int apply_unset(const struct update_op *op, struct update_run *run, struct value old,
		       struct update_out *out, struct err *e)
{
	(void)op, (void)run, (void)old, (void)e;
	out->kind = UPDATE_REMOVE;
	return 0;
}

static int apply_min(const struct update_op *op, struct update_run *run, struct value old,
		     struct update_out *out, struct err *e)
{
	(void)run, (void)e;
	if (old.type == BSON_MISSING || value_compare(op->operand, old) < 0)
		return set(out, op->operand);
	return 0;
}

static int apply_max(const struct update_op *op, struct update_run *run, struct value old,
		     struct update_out *out, struct err *e)
{
	(void)run, (void)e;
	if (old.type == BSON_MISSING || value_compare(op->operand, old) > 0)
		return set(out, op->operand);
	return 0;
}

/* ---- $inc $mul ---- */

static int compile_number(struct update *u, struct update_op *op, struct err *e)
{
	(void)u;
	if (value_is_number(op->operand))
		return 0;
	return err_number(e, ERR_TYPE, 14, "expected a number, got a %s",
			  bson_type_name(op->operand.type));
}

static struct dec128 to_decimal(struct value v)
{
	if (v.type == BSON_DECIMAL128)
		return v.dec;
	return v.type == BSON_DOUBLE ? dec_from_double(v.f64) : dec_from_int64(v.i64);
}

static double to_double(struct value v)
{
	return v.type == BSON_DOUBLE ? v.f64 : (double)v.i64;
}

/* The wider of both types; int32 widens to int64 where the result needs it; int64 does not widen. */
static int arithmetic(struct value a, struct value b, bool multiply, struct value *out,
		      struct err *e)
{
	if (a.type == BSON_DECIMAL128 || b.type == BSON_DECIMAL128) {
		struct dec128 x = to_decimal(a), y = to_decimal(b);
		*out = (struct value){ .type = BSON_DECIMAL128 };
		out->dec = multiply ? dec_mul(x, y) : dec_add(x, y);
		return 0;
	}
	if (a.type == BSON_DOUBLE || b.type == BSON_DOUBLE) {
		double x = to_double(a), y = to_double(b);
		*out = value_double(multiply ? x * y : x + y);
		return 0;
	}
	int64_t r;
	bool overflow = multiply ? __builtin_mul_overflow(a.i64, b.i64, &r)
				 : __builtin_add_overflow(a.i64, b.i64, &r);
	if (overflow)
		return err_number(e, ERR_INVALID, 2, "the result does not fit a 64-bit integer");
	bool narrow =
		a.type == BSON_INT32 && b.type == BSON_INT32 && r >= INT32_MIN && r <= INT32_MAX;
	*out = narrow ? value_int32((int32_t)r) : value_int64(r);
	return 0;
}

static int apply_arithmetic(struct value operand, struct value old, bool multiply,
			    struct update_out *out, struct err *e)
{
	if (!value_is_number(old))
		return err_number(e, ERR_TYPE, 14, "the field is a %s, not a number",
				  bson_type_name(old.type));
	struct value v;
	int rc = arithmetic(old, operand, multiply, &v, e);
	return rc < 0 ? rc : set(out, v);
}

static int apply_inc(const struct update_op *op, struct update_run *run, struct value old,
		     struct update_out *out, struct err *e)
{
	(void)run;
	if (old.type == BSON_MISSING)
		return set(out, op->operand);
	return apply_arithmetic(op->operand, old, false, out, e);
}

/* A missing field becomes zero of the operand's type. */
static int apply_mul(const struct update_op *op, struct update_run *run, struct value old,
		     struct update_out *out, struct err *e)
{
	(void)run;
	if (old.type == BSON_MISSING)
		old = value_int32(0);
	return apply_arithmetic(op->operand, old, true, out, e);
}

/* ---- $bit ---- */

enum bit_kind { BIT_AND, BIT_OR, BIT_XOR };

static const char *const bit_names[] = { "and", "or", "xor" };

static bool is_integer(struct value v)
{
	return v.type == BSON_INT32 || v.type == BSON_INT64;
}

static int compile_bit(struct update *u, struct update_op *op, struct err *e)
{
	(void)u;
	if (op->operand.type != BSON_DOCUMENT)
		return err_number(e, ERR_INVALID, 2,
				  "expected {and|or|xor: <integer>}, got a value of type %s",
				  bson_type_name(op->operand.type));
	struct bson_iter it;
	size_t n = 0;
	for (bson_iter_init(&it, value_slice(op->operand)); bson_next(&it); n++) {
		bool known = false;
		for (size_t i = 0; i < ARRAY_LEN(bit_names); i++)
			known |= slice_is(it.key, bit_names[i]);
		if (!known)
			return err_number(e, ERR_INVALID, 2,
					  "'" SLICE_FMT "' is not one of and, or, xor",
					  SLICE_ARG(it.key));
		if (!is_integer(it.value))
			return err_number(e, ERR_INVALID, 2,
					  SLICE_FMT ": expected an integer, got a %s",
					  SLICE_ARG(it.key), bson_type_name(it.value.type));
	}
	if (!n)
		return err_number(e, ERR_INVALID, 2, "expected {and|or|xor: <integer>}");
	return 0;
}

static int apply_bit(const struct update_op *op, struct update_run *run, struct value old,
		     struct update_out *out, struct err *e)
{
	(void)run;
	if (old.type == BSON_MISSING)
		old = value_int32(0);
	if (!is_integer(old))
		return err_number(e, ERR_INVALID, 2, "the field is a %s, not an integer",
				  bson_type_name(old.type));
	struct bson_iter it;
	bson_iter_init(&it, value_slice(op->operand));
	while (bson_next(&it)) {
		uint64_t a = (uint64_t)old.i64, b = (uint64_t)it.value.i64, r = a ^ b;
		if (slice_is(it.key, bit_names[BIT_AND]))
			r = a & b;
		else if (slice_is(it.key, bit_names[BIT_OR]))
			r = a | b;
		old.i64 = (int64_t)r;
		if (it.value.type == BSON_INT64)
			old.type = BSON_INT64;
	}
	return set(out, old);
}

/* ---- $currentDate ---- */

static int compile_current_date(struct update *u, struct update_op *op, struct err *e)
{
	static const char expected[] = "expected true, {$type: 'date'} or {$type: 'timestamp'}";
	(void)u;
	if (op->operand.type == BSON_BOOL)
		return 0;
	if (op->operand.type != BSON_DOCUMENT)
		return err_number(e, ERR_INVALID, 2, "%s", expected);
	struct bson_iter it;
	bson_iter_init(&it, value_slice(op->operand));
	while (bson_next(&it)) {
		if (!slice_is(it.key, "$type"))
			return err_number(e, ERR_INVALID, 2, "unknown option '" SLICE_FMT "'; %s",
					  SLICE_ARG(it.key), expected);
		struct slice type =
			it.value.type == BSON_STRING ? value_slice(it.value) : SLICE_NONE;
		if (!slice_is(type, "date") && !slice_is(type, "timestamp"))
			return err_number(e, ERR_INVALID, 2, "%s", expected);
		if (slice_is(type, "timestamp"))
			op->data = op; /* any pointer: it is a timestamp */
		return 0;
	}
	return err_number(e, ERR_INVALID, 2, "%s", expected);
}

static int apply_current_date(const struct update_op *op, struct update_run *run, struct value old,
			      struct update_out *out, struct err *e)
{
	(void)old;
	int64_t now = run->ev->now_ms;
	if (!now)
		return err_set(e, ERR_UNSUPPORTED, "the current time is not known here");
	return set(out, op->data ? value_timestamp((uint32_t)(now / 1000), 1) : value_date(now));
}

/* ---- $rename: the source is a leaf that removes, the target one that sets ---- */

static int rename_value(struct slice doc, const struct update_component *parts, size_t n,
			struct slice path, struct value *out, struct err *e)
{
	struct value v = value_doc(doc);
	for (size_t i = 0; i < n; i++) {
		if (v.type == BSON_ARRAY)
			return err_number(e, ERR_INVALID, 2,
					  "$rename: '" SLICE_FMT "' leads into an array",
					  SLICE_ARG(path));
		if (v.type != BSON_DOCUMENT) {
			v = VALUE_MISSING;
			break;
		}
		v = bson_get(value_slice(v), parts[i].name);
	}
	*out = v;
	return 0;
}

int update_renames_find(struct update_run *run, struct err *e)
{
	const struct update *u = run->u;
	if (!u->n_renames)
		return 0;
	struct value *v = arena_try_array(&run->ev->arena, u->n_renames, sizeof(*v));
	if (!v)
		return eval_nomem(run->ev, e);
	for (size_t i = 0; i < u->n_renames; i++) {
		const struct update_rename *r = u->renames[i];
		struct value target;
		int rc = rename_value(run->before, r->parts, r->n, r->path, &v[i], e);
		if (rc == 0 && v[i].type != BSON_MISSING)
			rc = rename_value(run->before, r->to, r->n_to, r->to_path, &target, e);
		if (rc < 0)
			return rc;
	}
	run->renamed = v;
	return 0;
}

static int apply_rename_to(const struct update_op *op, struct update_run *run, struct value old,
			   struct update_out *out, struct err *e)
{
	(void)old, (void)e;
	const struct update_rename *r = op->data;
	struct value v = run->renamed[r->number];
	return v.type == BSON_MISSING ? 0 : set(out, v);
}

static const struct update_operator rename_to = {
	"$rename", NULL, NULL, CREATES_IF_RENAMED, NULL, apply_rename_to,
};

/* One is the other, or a document around it. */
static bool on_one_path(struct slice a, struct slice b)
{
	struct slice shorter = a.len < b.len ? a : b, longer = a.len < b.len ? b : a;
	return slice_eq(shorter, slice_of(longer.p, shorter.len)) &&
	       (longer.len == shorter.len || longer.p[shorter.len] == '.');
}

static int compile_rename(struct update *u, struct update_op *op, struct err *e)
{
	if (op->operand.type != BSON_STRING)
		return err_number(e, ERR_INVALID, 2, "the new name must be a string, got a %s",
				  bson_type_name(op->operand.type));
	struct slice path = op->path, to = value_slice(op->operand);
	if (on_one_path(path, to))
		return err_number(e, ERR_INVALID, 2,
				  "the old and the new name must not lie on one path");
	struct update_rename **grown = arena_room(&u->arena, u->renames, u->n_renames,
						  &u->cap_renames, sizeof(struct update_rename *));
	struct update_rename *r = arena_try(&u->arena, sizeof(*r));
	if (!r || !grown)
		return err_nomem(e);
	u->renames = grown;
	*r = (struct update_rename){ .path = path, .to_path = to, .number = u->n_renames };
	u->renames[u->n_renames++] = r;
	int rc = update_path_parse(u, path, &r->parts, &r->n, e);
	struct update_leaf *leaf;
	if (rc == 0)
		rc = update_add(u, &rename_to, to, op->operand, &leaf, e);
	if (rc < 0)
		return rc;
	leaf->op.data = r;
	r->to = leaf->parts;
	r->n_to = leaf->n;
	for (size_t i = 0; i < r->n + r->n_to; i++) {
		const struct update_component *c = i < r->n ? &r->parts[i] : &r->to[i - r->n];
		if (c->kind != PART_INDEX && c->kind != PART_NAME)
			return err_number(e, ERR_INVALID, 2,
					  "the old and the new name must not hold '$' elements");
	}
	return 0;
}

const struct update_operator update_field_ops[] = {
	{ "$set", "fields", "sets a field to a value", CREATES_ALWAYS, NULL, apply_set },
	{ "$unset", "fields", "removes a field; an array element becomes null", CREATES_NEVER, NULL,
	  apply_unset },
	{ "$inc", "fields", "adds a number to a field", CREATES_ALWAYS, compile_number, apply_inc },
	{ "$mul", "fields", "multiplies a field by a number; a missing one becomes 0",
	  CREATES_ALWAYS, compile_number, apply_mul },
	{ "$min", "fields", "sets a field if the value is less, in BSON order", CREATES_ALWAYS,
	  NULL, apply_min },
	{ "$max", "fields", "sets a field if the value is greater, in BSON order", CREATES_ALWAYS,
	  NULL, apply_max },
	{ "$rename", "fields", "gives a field another path", CREATES_NEVER, compile_rename,
	  apply_unset },
	{ "$setOnInsert", "fields", "sets a field, but only when an upsert inserts",
	  CREATES_ON_INSERT, NULL, apply_set_on_insert },
	{ "$currentDate", "fields", "sets a field to the current time, as date or timestamp",
	  CREATES_ALWAYS, compile_current_date, apply_current_date },
	{ "$bit", "bits", "and, or, xor of an integer field", CREATES_ALWAYS, compile_bit,
	  apply_bit },
	{ NULL, NULL, NULL, CREATES_NEVER, NULL, NULL },
};
