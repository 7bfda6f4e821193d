/* expr_math.c: roots, powers, logarithms and trigonometry: doubles by libm, decimals by decimal_math. */
#include "doc/expr_node.h"

#include <math.h>

#define GROUP "arithmetic"
#define TRIG  "trigonometry"

static int not_number(const struct node *x, int number, struct value v, struct err *e)
{
	return err_number(e, ERR_TYPE, number, "%s takes numbers, not %s", x->op->name,
			  value_type_name(v));
}

static int out_of_domain(const struct node *x, int number, double d, const char *domain,
			 struct err *e)
{
	return err_number(e, ERR_INVALID, number, "%s: %g is not in its domain, %s", x->op->name, d,
			  domain);
}

/* ---- functions of one number: a table of implementations and domains ---- */

enum domain { ANY, FINITE, UNIT, FROM_ONE };

struct unary {
	double (*f64)(double);
	struct dec128 (*dec)(struct dec128);
	enum domain domain;
};

static double radians(double d)
{
	return d * (M_PI / 180);
}

static double degrees(double d)
{
	return d * (180 / M_PI);
}

static struct dec128 times(struct dec128 d, const char *factor)
{
	struct dec128 f = { 0, 0 };
	bool inexact;
	(void)dec_from_string(slice_str(factor), &f, &inexact);
	return dec_mul(d, f);
}

static struct dec128 dec_radians(struct dec128 d)
{
	return times(d, "0.01745329251994329576923690768488613");
}

static struct dec128 dec_degrees(struct dec128 d)
{
	return times(d, "57.29577951308232087679815481410517");
}

enum {
	EXP,
	SIN,
	COS,
	TAN,
	ASIN,
	ACOS,
	ATAN,
	SINH,
	COSH,
	TANH,
	ASINH,
	ACOSH,
	ATANH,
	RADIANS,
	DEGREES
};

static const struct unary unaries[] = {
	[EXP] = { exp, dec_exp, ANY },
	[SIN] = { sin, dec_sin, FINITE },
	[COS] = { cos, dec_cos, FINITE },
	[TAN] = { tan, dec_tan, FINITE },
	[ASIN] = { asin, dec_asin, UNIT },
	[ACOS] = { acos, dec_acos, UNIT },
	[ATAN] = { atan, dec_atan, ANY },
	[SINH] = { sinh, dec_sinh, ANY },
	[COSH] = { cosh, dec_cosh, ANY },
	[TANH] = { tanh, dec_tanh, ANY },
	[ASINH] = { asinh, dec_asinh, ANY },
	[ACOSH] = { acosh, dec_acosh, FROM_ONE },
	[ATANH] = { atanh, dec_atanh, UNIT },
	[RADIANS] = { radians, dec_radians, ANY },
	[DEGREES] = { degrees, dec_degrees, ANY },
};

static int check_domain(const struct node *x, enum domain d, struct value v, struct err *e)
{
	struct value one = value_int32(1), minus_one = value_int32(-1);
	double f = value_to_double(v);
	if (isnan(f))
		return 0;
	switch (d) {
	case ANY: break;
	case FINITE:
		if (isinf(f))
			return out_of_domain(x, 50989, f, "the finite numbers", e);
		break;
	case UNIT:
		if (value_compare(v, one) > 0 || value_compare(v, minus_one) < 0)
			return out_of_domain(x, 50989, f, "[-1, 1]", e);
		break;
	case FROM_ONE:
		if (value_compare(v, one) < 0)
			return out_of_domain(x, 50989, f, "[1, inf]", e);
		break;
	}
	return 0;
}

static int op_unary(const struct node *x, struct expr_env *env, const struct value *v,
		    struct value *out, struct err *e)
{
	const struct unary *u = &unaries[x->op->arg];
	(void)env;
	if (!value_is_number(v[0]))
		return not_number(x, 28765, v[0], e);
	int rc = check_domain(x, u->domain, v[0], e);
	if (rc < 0)
		return rc;
	if (v[0].type == BSON_DECIMAL128)
		*out = value_decimal(u->dec(v[0].dec));
	else
		*out = value_double(u->f64(value_to_double(v[0])));
	return 0;
}

static int op_atan2(const struct node *x, struct expr_env *env, const struct value *v,
		    struct value *out, struct err *e)
{
	(void)env;
	if (!value_is_number(v[0]))
		return not_number(x, 51044, v[0], e);
	if (!value_is_number(v[1]))
		return not_number(x, 51045, v[1], e);
	if (v[0].type == BSON_DECIMAL128 || v[1].type == BSON_DECIMAL128)
		*out = value_decimal(dec_atan2(value_to_decimal(v[0]), value_to_decimal(v[1])));
	else
		*out = value_double(atan2(value_to_double(v[0]), value_to_double(v[1])));
	return 0;
}

/* ---- roots, logarithms, powers ---- */

static bool dec_positive(struct dec128 d)
{
	return !dec_is_nan(d) && !dec_is_negative(d) && !dec_is_zero(d);
}

static int op_sqrt(const struct node *x, struct expr_env *env, const struct value *v,
		   struct value *out, struct err *e)
{
	(void)env;
	if (!value_is_number(v[0]))
		return not_number(x, 28765, v[0], e);
	double d = value_to_double(v[0]);
	bool negative = d < 0;
	if (v[0].type == BSON_DECIMAL128)
		negative = !dec_is_nan(v[0].dec) && dec_is_negative(v[0].dec) &&
			   !dec_is_zero(v[0].dec);
	if (negative)
		return out_of_domain(x, 28714, d, "[0, inf]", e);
	if (v[0].type == BSON_DECIMAL128)
		*out = value_decimal(dec_sqrt(v[0].dec));
	else
		*out = value_double(sqrt(d));
	return 0;
}

enum { LN, LOG10 };

static int op_ln(const struct node *x, struct expr_env *env, const struct value *v,
		 struct value *out, struct err *e)
{
	bool ln = x->op->arg == LN;
	(void)env;
	if (!value_is_number(v[0]))
		return not_number(x, 28765, v[0], e);
	if (v[0].type == BSON_DECIMAL128 && dec_positive(v[0].dec)) {
		*out = value_decimal(ln ? dec_ln(v[0].dec) : dec_log10(v[0].dec));
		return 0;
	}
	double d = value_to_double(v[0]);
	if (d <= 0)
		return out_of_domain(x, ln ? 28766 : 28761, d, "the positive numbers", e);
	*out = value_double(ln ? log(d) : log10(d));
	return 0;
}

static int op_log(const struct node *x, struct expr_env *env, const struct value *v,
		  struct value *out, struct err *e)
{
	(void)env;
	if (!value_is_number(v[0]))
		return not_number(x, 28756, v[0], e);
	if (!value_is_number(v[1]))
		return not_number(x, 28757, v[1], e);
	double d = value_to_double(v[0]), base = value_to_double(v[1]);
	if (d <= 0)
		return out_of_domain(x, 28758, d, "the positive numbers", e);
	if (base <= 0 || base == 1)
		return err_number(e, ERR_INVALID, 28759, "$log: the base %g is not positive, or 1",
				  base);
	bool decimal = v[0].type == BSON_DECIMAL128 || v[1].type == BSON_DECIMAL128;
	if (decimal && !isnan(d) && !isnan(base))
		*out = value_decimal(dec_log(value_to_decimal(v[0]), value_to_decimal(v[1])));
	else
		*out = value_double(log(d) / log(base));
	return 0;
}

/* base^n by squaring; false when it overflows. */
static bool power(int64_t base, int64_t n, int64_t *out)
{
	int64_t p = 1;
	while (n > 0) {
		if ((n & 1) && __builtin_mul_overflow(p, base, &p))
			return false;
		n >>= 1;
		if (n && __builtin_mul_overflow(base, base, &base))
			return false;
	}
	*out = p;
	return true;
}

static int pow_ints(struct value base, struct value n, struct value *out, struct err *e)
{
	int64_t p;
	bool small = base.type == BSON_INT32 && n.type == BSON_INT32;
	if (base.i64 == 0 && n.i64 < 0)
		return err_number(e, ERR_INVALID, 28764, "$pow: 0 has no negative power");
	if (base.i64 == 1 || base.i64 == -1)
		p = base.i64 == 1 || n.i64 % 2 == 0 ? 1 : -1;
	else if (base.i64 == 0)
		p = n.i64 == 0;
	else if (n.i64 < 0 || !power(base.i64, n.i64, &p)) {
		*out = value_double(pow((double)base.i64, (double)n.i64));
		return 0;
	}
	*out = small ? value_int(p) : value_int64(p);
	return 0;
}

static int op_pow(const struct node *x, struct expr_env *env, const struct value *v,
		  struct value *out, struct err *e)
{
	struct value base = v[0], n = v[1];
	(void)env;
	if (!value_is_number(base))
		return not_number(x, 28762, base, e);
	if (!value_is_number(n))
		return not_number(x, 28763, n, e);
	double b = value_to_double(base), power_of = value_to_double(n);
	if (b == 0 && power_of < 0 && !value_truth(base))
		return err_number(e, ERR_INVALID, 28764, "$pow: 0 has no negative power");
	if (base.type == BSON_DECIMAL128 || n.type == BSON_DECIMAL128)
		*out = value_decimal(dec_pow(value_to_decimal(base), value_to_decimal(n)));
	else if (base.type == BSON_DOUBLE || n.type == BSON_DOUBLE)
		*out = value_double(pow(b, power_of));
	else
		return pow_ints(base, n, out, e);
	return 0;
}

static int op_sigmoid(const struct node *x, struct expr_env *env, const struct value *v,
		      struct value *out, struct err *e)
{
	(void)env;
	if (!value_is_number(v[0]))
		return not_number(x, 28765, v[0], e);
	if (v[0].type == BSON_DECIMAL128) {
		struct dec128 one = dec_from_int64(1);
		*out = value_decimal(dec_div(one, dec_add(one, dec_exp(dec_neg(v[0].dec)))));
	} else
		*out = value_double(1 / (1 + exp(-value_to_double(v[0]))));
	return 0;
}

#define UNARY(name, group, help, which) \
	{ \
		name, group, help, .apply = op_unary, .min = 1, .max = 1, .flags = EXPR_NULL, \
				   .arg = (which) \
	}

static const struct expr_op ops[] = {
	UNARY("$exp", GROUP, "e to the power of a number", EXP),
	{ "$ln", GROUP, "the natural logarithm", .apply = op_ln, .min = 1, .max = 1,
	  .flags = EXPR_NULL, .arg = LN },
	{ "$log", GROUP, "the logarithm of a number to a base", .apply = op_log, .min = 2, .max = 2,
	  .flags = EXPR_NULL },
	{ "$log10", GROUP, "the logarithm to the base 10", .apply = op_ln, .min = 1, .max = 1,
	  .flags = EXPR_NULL, .arg = LOG10 },
	{ "$pow", GROUP, "a number to a power", .apply = op_pow, .min = 2, .max = 2,
	  .flags = EXPR_NULL },
	{ "$sigmoid", GROUP, "1 / (1 + e^-x)", .apply = op_sigmoid, .min = 1, .max = 1,
	  .flags = EXPR_NULL },
	{ "$sqrt", GROUP, "the square root", .apply = op_sqrt, .min = 1, .max = 1,
	  .flags = EXPR_NULL },
	UNARY("$sin", TRIG, "the sine of radians", SIN),
	UNARY("$cos", TRIG, "the cosine of radians", COS),
	UNARY("$tan", TRIG, "the tangent of radians", TAN),
	UNARY("$asin", TRIG, "the arc sine in radians", ASIN),
	UNARY("$acos", TRIG, "the arc cosine in radians", ACOS),
	UNARY("$atan", TRIG, "the arc tangent in radians", ATAN),
	{ "$atan2", TRIG, "the arc tangent of y / x in radians", .apply = op_atan2, .min = 2,
	  .max = 2, .flags = EXPR_NULL },
	UNARY("$sinh", TRIG, "the hyperbolic sine", SINH),
	UNARY("$cosh", TRIG, "the hyperbolic cosine", COSH),
	UNARY("$tanh", TRIG, "the hyperbolic tangent", TANH),
	UNARY("$asinh", TRIG, "the inverse hyperbolic sine", ASINH),
	UNARY("$acosh", TRIG, "the inverse hyperbolic cosine", ACOSH),
	UNARY("$atanh", TRIG, "the inverse hyperbolic tangent", ATANH),
	UNARY("$degreesToRadians", TRIG, "degrees as radians", RADIANS),
	UNARY("$radiansToDegrees", TRIG, "radians as degrees", DEGREES),
};

const struct expr_table expr_math_ops = { ops, ARRAY_LEN(ops) };
