/* expr_arith.c: arithmetic and bits.
 *
 * Numbers keep the widest type of the operands: int32 grows into int64 when it must, int64 into double; a decimal
 * makes everything decimal.
 */
#include "doc/expr_node.h"

#include "doc/sum.h"

#include <math.h>

#define GROUP "arithmetic"

static int not_number(const struct node *x, int number, struct value v, struct err *e)
{
	return err_number(e, ERR_TYPE, number, "%s takes numbers, not %s", x->op->name,
			  value_type_name(v));
}

/* ---- $add ---- */

static int date_overflow(const struct node *x, struct err *e)
{
	return err_number(e, ERR_INVALID, 15, "%s: the date overflows", x->op->name);
}

static int add_to_date(const struct node *x, const struct sum *s, int64_t date, struct value *out,
		       struct err *e)
{
	int64_t more, ms;
	bool fits;
	if (s->widest == SUM_DECIMAL)
		fits = dec_to_int64(dec_quantize(sum_decimal(s), 0, /* truncate */ false), &more);
	else
		fits = sum_int64(s, &more);
	if (!fits || __builtin_add_overflow(date, more, &ms))
		return date_overflow(x, e);
	*out = value_date(ms);
	return 0;
}

/* Two numbers that are not decimal: the common case. False: not that. */
static bool add_two(struct value a, struct value b, struct value *out)
{
	bool ints = (a.type == BSON_INT32 || a.type == BSON_INT64) &&
		    (b.type == BSON_INT32 || b.type == BSON_INT64);
	int64_t total;
	if (ints && !__builtin_add_overflow(a.i64, b.i64, &total)) {
		*out = a.type == BSON_INT32 && b.type == BSON_INT32 ? value_int(total)
								    : value_int64(total);
		return true;
	}
	if (a.type != BSON_DOUBLE || b.type != BSON_DOUBLE)
		return false;
	*out = value_double(a.f64 + b.f64);
	return true;
}

struct adding {
	struct sum sum;
	bool has_date;
	int64_t date;
};

static int add_one(struct adding *a, struct value v, struct err *e)
{
	if (v.type == BSON_DATE) {
		if (a->has_date)
			return err_number(e, ERR_TYPE, 16612, "$add takes only one date");
		a->has_date = true;
		a->date = v.i64;
	} else if (value_is_number(v))
		sum_add(&a->sum, v);
	else
		return err_number(e, ERR_TYPE, 14, "$add takes numbers and one date, not %s",
				  value_type_name(v));
	return 0;
}

/* The operands behind the first `done`, which are in a already. */
static int add_rest(const struct node *x, struct expr_env *env, struct adding *a, uint32_t done,
		    struct value *out, struct err *e)
{
	for (uint32_t i = done; i < x->n; i++) {
		struct value v;
		int rc = node_eval(x->arg[i], env, &v, e);
		if (rc < 0)
			return rc;
		if (value_nullish(v)) {
			*out = VALUE_NULL;
			return 0;
		}
		rc = add_one(a, v, e);
		if (rc < 0)
			return rc;
	}
	if (a->has_date)
		return add_to_date(x, &a->sum, a->date, out, e);
	*out = sum_value(&a->sum);
	return 0;
}

static int op_add(const struct node *x, struct expr_env *env, struct value *out, struct err *e)
{
	struct adding a;
	struct value two[2];
	a.has_date = false;
	a.date = 0;
	sum_init(&a.sum);
	if (x->n != 2)
		return add_rest(x, env, &a, 0, out, e);
	int rc = node_eval(x->arg[0], env, &two[0], e);
	if (rc < 0)
		return rc;
	if (value_nullish(two[0])) {
		*out = VALUE_NULL;
		return 0;
	}
	rc = node_eval(x->arg[1], env, &two[1], e);
	if (rc < 0 || add_two(two[0], two[1], out))
		return rc;
	rc = add_one(&a, two[0], e);
	if (rc == 0 && value_nullish(two[1])) {
		*out = VALUE_NULL;
		return 0;
	}
	if (rc == 0)
		rc = add_one(&a, two[1], e);
	return rc < 0 ? rc : add_rest(x, env, &a, 2, out, e);
}

/* ---- $subtract ---- */

static int subtract_from_date(const struct node *x, int64_t date, struct value b, struct value *out,
			      struct err *e)
{
	int64_t less, ms;
	bool fits = true;
	if (b.type == BSON_DATE) {
		if (__builtin_sub_overflow(date, b.i64, &ms))
			return date_overflow(x, e);
		*out = value_int64(ms);
		return 0;
	}
	if (!value_is_number(b))
		return err_number(e, ERR_TYPE, 14, "$subtract cannot take %s from a date",
				  value_type_name(b));
	if (b.type == BSON_DECIMAL128)
		fits = dec_to_int64(b.dec, &less);
	else if (b.type == BSON_DOUBLE) {
		fits = b.f64 >= -0x1p63 && b.f64 < 0x1p63;
		less = fits ? (int64_t)b.f64 : 0;
	} else
		less = b.i64;
	if (!fits || __builtin_sub_overflow(date, less, &ms))
		return date_overflow(x, e);
	*out = value_date(ms);
	return 0;
}

static int op_subtract(const struct node *x, struct expr_env *env, const struct value *v,
		       struct value *out, struct err *e)
{
	struct value a = v[0], b = v[1];
	(void)env;
	if (a.type == BSON_DATE)
		return subtract_from_date(x, a.i64, b, out, e);
	if (!value_is_number(a) || !value_is_number(b))
		return err_number(e, ERR_TYPE, 14, "$subtract cannot take %s from %s",
				  value_type_name(b), value_type_name(a));
	if (a.type == BSON_DECIMAL128 || b.type == BSON_DECIMAL128)
		*out = value_decimal(dec_sub(value_to_decimal(a), value_to_decimal(b)));
	else if (a.type == BSON_DOUBLE || b.type == BSON_DOUBLE)
		*out = value_double(value_to_double(a) - value_to_double(b));
	else {
		int64_t d;
		if (__builtin_sub_overflow(a.i64, b.i64, &d))
			*out = value_double((double)a.i64 - (double)b.i64);
		else if (a.type == BSON_INT32 && b.type == BSON_INT32)
			*out = value_int(d);
		else
			*out = value_int64(d);
	}
	return 0;
}

/* ---- $multiply, $divide, $mod ---- */

static struct value multiply(struct value a, struct value b)
{
	if (a.type == BSON_DECIMAL128 || b.type == BSON_DECIMAL128)
		return value_decimal(dec_mul(value_to_decimal(a), value_to_decimal(b)));
	if (a.type == BSON_DOUBLE || b.type == BSON_DOUBLE)
		return value_double(value_to_double(a) * value_to_double(b));
	int64_t p;
	if (__builtin_mul_overflow(a.i64, b.i64, &p))
		return value_double((double)a.i64 * (double)b.i64);
	return a.type == BSON_INT32 && b.type == BSON_INT32 ? value_int(p) : value_int64(p);
}

static int op_multiply(const struct node *x, struct expr_env *env, struct value *out, struct err *e)
{
	struct value product = value_int32(1);
	for (uint32_t i = 0; i < x->n; i++) {
		struct value v;
		int rc = node_eval(x->arg[i], env, &v, e);
		if (rc < 0)
			return rc;
		if (value_nullish(v)) {
			*out = VALUE_NULL;
			return 0;
		}
		if (!value_is_number(v))
			return not_number(x, 14, v, e);
		product = multiply(product, v);
	}
	*out = product;
	return 0;
}

static bool is_zero(struct value v)
{
	return !value_truth(v); /* of a number */
}

static int op_divide(const struct node *x, struct expr_env *env, const struct value *v,
		     struct value *out, struct err *e)
{
	(void)env;
	(void)x;
	if (!value_is_number(v[0]) || !value_is_number(v[1]))
		return err_number(e, ERR_TYPE, 14, "$divide takes numbers, not %s and %s",
				  value_type_name(v[0]), value_type_name(v[1]));
	if (is_zero(v[1]))
		return err_number(e, ERR_INVALID, 2, "$divide by zero");
	if (v[0].type == BSON_DECIMAL128 || v[1].type == BSON_DECIMAL128)
		*out = value_decimal(dec_div(value_to_decimal(v[0]), value_to_decimal(v[1])));
	else
		*out = value_double(value_to_double(v[0]) / value_to_double(v[1]));
	return 0;
}

static int op_mod(const struct node *x, struct expr_env *env, const struct value *v,
		  struct value *out, struct err *e)
{
	struct value a = v[0], b = v[1];
	int32_t small;
	(void)env;
	(void)x;
	if (!value_is_number(a) || !value_is_number(b))
		return err_number(e, ERR_TYPE, 16611, "$mod takes numbers, not %s and %s",
				  value_type_name(a), value_type_name(b));
	if (is_zero(b))
		return err_number(e, ERR_INVALID, 16610, "$mod by zero");
	if (a.type == BSON_DECIMAL128 || b.type == BSON_DECIMAL128) {
		*out = value_decimal(dec_mod(value_to_decimal(a), value_to_decimal(b)));
		return 0;
	}
	/* A whole double as divisor counts as an integer; as dividend it does not. */
	if (a.type == BSON_DOUBLE || (b.type == BSON_DOUBLE && !value_to_int32_exact(b, &small))) {
		*out = value_double(fmod(value_to_double(a), value_to_double(b)));
		return 0;
	}
	int64_t divisor = b.type == BSON_DOUBLE ? small : b.i64;
	int64_t m = divisor == -1 ? 0 : a.i64 % divisor;
	*out = a.type == BSON_INT64 || b.type == BSON_INT64 ? value_int64(m)
							    : value_int32((int32_t)m);
	return 0;
}

/* ---- one number ---- */

static int op_abs(const struct node *x, struct expr_env *env, const struct value *v,
		  struct value *out, struct err *e)
{
	struct value a = v[0];
	(void)env;
	switch (a.type) {
	case BSON_DOUBLE: *out = value_double(fabs(a.f64)); return 0;
	case BSON_DECIMAL128: *out = value_decimal(dec_abs(a.dec)); return 0;
	case BSON_INT32: *out = value_int(a.i64 < 0 ? -a.i64 : a.i64); return 0;
	case BSON_INT64:
		if (a.i64 == INT64_MIN)
			return err_number(e, ERR_INVALID, 28680,
					  "$abs of the smallest long overflows");
		*out = value_int64(a.i64 < 0 ? -a.i64 : a.i64);
		return 0;
	default: return not_number(x, 28765, a, e);
	}
}

enum { CEIL, FLOOR };

static int op_whole(const struct node *x, struct expr_env *env, const struct value *v,
		    struct value *out, struct err *e)
{
	struct value a = v[0];
	(void)env;
	if (!value_is_number(a))
		return not_number(x, 28765, a, e);
	if (a.type == BSON_DOUBLE)
		a.f64 = x->op->arg == CEIL ? ceil(a.f64) : floor(a.f64);
	else if (a.type == BSON_DECIMAL128)
		a.dec = x->op->arg == CEIL ? dec_ceil(a.dec) : dec_floor(a.dec);
	*out = a;
	return 0;
}

/* ---- $round, $trunc ---- */

static int precision_of(const struct node *x, struct value v, int *out, struct err *e)
{
	int64_t p;
	if (!value_is_number(v))
		return err_number(e, ERR_TYPE, 51081, "%s: the precision is a number, not %s",
				  x->op->name, value_type_name(v));
	if (!value_to_int64_exact(v, &p))
		return err_number(e, ERR_INVALID, 51082, "%s: the precision is not an integer",
				  x->op->name);
	if (p < -20 || p > 100)
		return err_number(e, ERR_INVALID, 51083,
				  "%s: the precision %" PRId64 " is not in -20 to 100", x->op->name,
				  p);
	*out = (int)p;
	return 0;
}

static int round_int(const struct node *x, struct value a, int precision, bool truncate,
		     struct value *out, struct err *e)
{
	if (precision >= 0) {
		*out = a;
		return 0;
	}
	if (precision <
	    -18) { /* beyond the digits of an int64, or just one: half of 10^19 rounds away */
		__int128 half = (__int128)5000000000000000000;
		__int128 mag = a.i64 < 0 ? -(__int128)a.i64 : a.i64;
		if (precision == -19 && !truncate && mag > half)
			return err_number(e, ERR_INVALID, 51080,
					  "%s: the result does not fit a long", x->op->name);
		a.i64 = 0;
		*out = a;
		return 0;
	}
	int64_t unit = 1, r;
	for (int i = precision; i < 0; i++)
		unit *= 10;
	int64_t rest = a.i64 % unit;
	bool overflow = __builtin_sub_overflow(a.i64, rest, &r);
	if (!truncate) {
		int64_t mag = rest < 0 ? -rest : rest;
		bool up = mag > unit / 2 || (mag == unit / 2 && (r / unit) % 2 != 0);
		if (up)
			overflow |= __builtin_add_overflow(r, a.i64 < 0 ? -unit : unit, &r);
	}
	if (overflow)
		return err_number(e, ERR_INVALID, 51080, "%s: the result does not fit a long",
				  x->op->name);
	*out = a.type == BSON_INT32 ? value_int(r) : value_int64(r);
	return 0;
}

enum { ROUND, TRUNC };

static int op_round(const struct node *x, struct expr_env *env, const struct value *v,
		    struct value *out, struct err *e)
{
	struct value a = v[0];
	bool truncate = x->op->arg == TRUNC;
	int precision = 0;
	(void)env;
	if (!value_is_number(a))
		return not_number(x, 51081, a, e);
	if (x->n > 1) {
		int rc = precision_of(x, v[1], &precision, e);
		if (rc < 0)
			return rc;
	}
	if (a.type == BSON_DECIMAL128)
		*out = value_decimal(dec_quantize(a.dec, precision, truncate));
	else if (a.type != BSON_DOUBLE)
		return round_int(x, a, precision, truncate, out, e);
	else if (!isfinite(a.f64))
		*out = a;
	else if (precision == 0)
		*out = value_double(truncate ? trunc(a.f64) : rint(a.f64));
	else
		*out = value_double(dec_to_double(
			dec_quantize(dec_from_double_exact(a.f64), precision, truncate)));
	return 0;
}

/* ---- bits ---- */

enum { AND, OR, XOR, NOT };

static int op_bits(const struct node *x, struct expr_env *env, struct value *out, struct err *e)
{
	int64_t bits = x->op->arg == AND ? -1 : 0;
	bool wide = false, null = false;
	for (uint32_t i = 0; i < x->n; i++) {
		struct value v;
		int rc = node_eval(x->arg[i], env, &v, e);
		if (rc < 0)
			return rc;
		if (value_nullish(v)) {
			null = true;
			continue;
		}
		if (v.type != BSON_INT32 && v.type != BSON_INT64)
			return err_number(e, ERR_TYPE,
					  value_is_number(v) || x->op->arg != NOT ? 14 : 28765,
					  "%s takes int and long, not %s", x->op->name,
					  value_type_name(v));
		wide |= v.type == BSON_INT64;
		switch (x->op->arg) {
		case AND: bits &= v.i64; break;
		case OR: bits |= v.i64; break;
		case XOR: bits ^= v.i64; break;
		default: bits = ~v.i64; break;
		}
	}
	if (null)
		*out = VALUE_NULL;
	else
		*out = wide ? value_int64(bits) : value_int32((int32_t)bits);
	return 0;
}

static const struct expr_op ops[] = {
	{ "$abs", GROUP, "the absolute value", .apply = op_abs, .min = 1, .max = 1,
	  .flags = EXPR_NULL },
	{ "$add", GROUP, "the sum of numbers; or a date and milliseconds", .fn = op_add,
	  .max = -1 },
	{ "$ceil", GROUP, "the smallest whole number not below", .apply = op_whole, .min = 1,
	  .max = 1, .flags = EXPR_NULL, .arg = CEIL },
	{ "$divide", GROUP, "the first number divided by the second; a double or decimal",
	  .apply = op_divide, .min = 2, .max = 2, .flags = EXPR_NULL },
	{ "$floor", GROUP, "the largest whole number not above", .apply = op_whole, .min = 1,
	  .max = 1, .flags = EXPR_NULL, .arg = FLOOR },
	{ "$mod", GROUP, "the remainder of a division, with the sign of the dividend",
	  .apply = op_mod, .min = 2, .max = 2, .flags = EXPR_NULL },
	{ "$multiply", GROUP, "the product of numbers", .fn = op_multiply, .max = -1 },
	{ "$round", GROUP, "rounded half to even, to a number of decimal places", .apply = op_round,
	  .min = 1, .max = 2, .flags = EXPR_NULL, .arg = ROUND },
	{ "$subtract", GROUP,
	  "the difference of numbers, of dates in milliseconds, of a date and milliseconds",
	  .apply = op_subtract, .min = 2, .max = 2, .flags = EXPR_NULL },
	{ "$trunc", GROUP, "cut to a number of decimal places", .apply = op_round, .min = 1,
	  .max = 2, .flags = EXPR_NULL, .arg = TRUNC },
	{ "$bitAnd", "bits", "the bits set in all integers", .fn = op_bits, .max = -1, .arg = AND },
	{ "$bitNot", "bits", "the bits of an integer inverted", .fn = op_bits, .min = 1, .max = 1,
	  .arg = NOT },
	{ "$bitOr", "bits", "the bits set in any integer", .fn = op_bits, .max = -1, .arg = OR },
	{ "$bitXor", "bits", "the bits set in an odd number of integers", .fn = op_bits, .max = -1,
	  .arg = XOR },
};

const struct expr_table expr_arith_ops = { ops, ARRAY_LEN(ops) };
