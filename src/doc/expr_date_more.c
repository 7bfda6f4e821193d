/* expr_date_more.c: dates as text and back, and arithmetic in calendar units. */
#include "doc/expr_date.h"

#include <math.h>

#define GROUP "date"

/* ---- $dateToString: date, format, timezone, onNull ---- */

static int format_of_value(const struct node *x, struct value v, int number, bool parsing,
			   struct err *e)
{
	if (value_nullish(v))
		return 0;
	if (v.type != BSON_STRING)
		return err_number(e, ERR_TYPE, number, "%s: 'format' is a string, not %s",
				  x->op->name, value_type_name(v));
	int wrong = date_format_check(value_slice(v), parsing);
	if (wrong == 18535)
		return err_number(e, ERR_INVALID, wrong, "%s: 'format' ends in '%%'", x->op->name);
	if (wrong)
		return err_number(e, ERR_INVALID, wrong,
				  "%s: 'format' has an unknown letter behind '%%'", x->op->name);
	return 0;
}

/* What stands in an evaluation's scratch, as a value. */
static int scratch_string(struct expr_env *env, struct value *out, struct err *e)
{
	int rc = buf_check(&env->ev->scratch, e);
	if (rc == 0)
		rc = build_string(env, buf_slice(&env->ev->scratch), out, e);
	buf_reset(&env->ev->scratch);
	return rc;
}

static int op_date_to_string(const struct node *x, struct expr_env *env, const struct value *v,
			     struct value *out, struct err *e)
{
	struct timezone_ref z;
	int64_t ms;
	int rc = format_of_value(x, v[1], 18533, false, e);
	if (rc < 0)
		return rc;
	rc = zone_of_arg(x, env, 2, v[2], &z, e);
	if (rc < 0)
		return rc;
	if (value_nullish(v[0])) {
		*out = x->arg[3] ? v[3] : VALUE_NULL;
		return 0;
	}
	if (rc > 0 || (x->arg[1] && value_nullish(v[1]))) {
		*out = VALUE_NULL;
		return 0;
	}
	rc = date_of_value(x, v[0], 16006, &ms, e);
	if (rc < 0)
		return rc;
	struct slice format = SLICE_LIT("%Y-%m-%dT%H:%M:%S.%LZ");
	if (x->arg[1])
		format = value_slice(v[1]);
	buf_reset(&env->ev->scratch);
	if (date_format(format, ms, z, &env->ev->scratch)) {
		buf_reset(&env->ev->scratch);
		return err_number(e, ERR_INVALID, 18537, "%s: the year is not in 0 to 9999",
				  x->op->name);
	}
	return scratch_string(env, out, e);
}

static const struct expr_param to_string_params[] = {
	{ "date", 18628 }, { "format", 0 }, { "timezone", 0 }, { "onNull", 0 }, { NULL, 0 }
};

/* ---- $dateFromString: dateString, format, timezone, onNull, onError (lazy) ---- */

enum { F_TEXT, F_FORMAT, F_ZONE, F_NULL, F_ERROR };

static int parse_text(const struct node *x, struct value text, struct value format,
		      const struct timezone_ref *z, int64_t *ms, struct err *e)
{
	if (text.type != BSON_STRING)
		return err_number(e, ERR_TYPE, 241,
				  "$dateFromString: 'dateString' is a string, not %s",
				  value_type_name(text));
	int rc = date_parse(value_slice(text), x->arg[F_FORMAT] ? value_slice(format) : SLICE_NONE,
			    z, ms, e);
	return rc < 0 ? err_in(e, rc, "$dateFromString") : 0;
}

static int op_date_from_string(const struct node *x, struct expr_env *env, struct value *out,
			       struct err *e)
{
	struct value text, format, zone;
	struct timezone_ref z;
	struct err cause = ERR_INIT;
	int64_t ms;
	int rc = node_eval(x->arg[F_TEXT], env, &text, e);
	if (rc == 0)
		rc = node_eval_opt(x->arg[F_FORMAT], env, &format, e);
	if (rc == 0)
		rc = node_eval_opt(x->arg[F_ZONE], env, &zone, e);
	if (rc == 0)
		rc = format_of_value(x, format, 40684, true, e);
	if (rc < 0)
		return rc;
	rc = zone_of_arg(x, env, F_ZONE, zone, &z, e);
	if (rc < 0)
		return rc;
	if (value_nullish(text)) {
		if (x->arg[F_NULL])
			return node_eval(x->arg[F_NULL], env, out, e);
		*out = VALUE_NULL;
		return 0;
	}
	bool null = rc > 0 || (x->arg[F_FORMAT] && value_nullish(format));
	if (null && text.type == BSON_STRING) {
		*out = VALUE_NULL;
		return 0;
	}
	rc = parse_text(x, text, format, x->arg[F_ZONE] ? &z : NULL, &ms, &cause);
	if (rc == 0) {
		*out = value_date(ms);
		return 0;
	}
	if (x->arg[F_ERROR])
		return node_eval(x->arg[F_ERROR], env, out, e);
	if (e)
		*e = cause;
	return rc;
}

static const struct expr_param from_string_params[] = { { "dateString", 40542 }, { "format", 0 },
							{ "timezone", 0 },       { "onNull", 0 },
							{ "onError", 0 },        { NULL, 0 } };

/* ---- units, week starts ---- */

static int unit_of_value(const struct node *x, struct value v, int type_number, int number,
			 enum date_unit *unit, struct err *e)
{
	if (v.type != BSON_STRING)
		return err_number(e, ERR_TYPE, type_number, "%s: 'unit' is a string, not %s",
				  x->op->name, value_type_name(v));
	int u = date_unit_of(value_slice(v));
	if (u < 0)
		return err_number(e, ERR_INVALID, number,
				  "%s: 'unit' is one of year, quarter, month, week, day, hour, "
				  "minute, second, "
				  "millisecond",
				  x->op->name);
	*unit = (enum date_unit)u;
	return 0;
}

/* 0; 1: null. Only weeks look at it. */
static int week_start_of(const struct node *x, uint32_t i, struct value v, enum date_unit unit,
			 int *start, struct err *e)
{
	*start = 0;
	if (!x->arg[i] || unit != UNIT_WEEK)
		return 0;
	if (value_nullish(v))
		return 1;
	if (v.type != BSON_STRING)
		return err_number(e, ERR_TYPE, 5439015, "%s: 'startOfWeek' is a string, not %s",
				  x->op->name, value_type_name(v));
	*start = weekday_of_name(value_slice(v));
	if (*start < 0)
		return err_number(e, ERR_INVALID, 5439016,
				  "%s: 'startOfWeek' is no day of the week", x->op->name);
	return 0;
}

/* ---- $dateAdd, $dateSubtract: startDate, unit, amount, timezone ---- */

static int op_date_add(const struct node *x, struct expr_env *env, const struct value *v,
		       struct value *out, struct err *e)
{
	enum date_unit unit;
	struct timezone_ref z;
	int64_t ms, amount;
	if (value_nullish(v[0]) || value_nullish(v[1]) || value_nullish(v[2])) {
		*out = VALUE_NULL;
		return 0;
	}
	int rc = date_of_value(x, v[0], 5166403, &ms, e);
	if (rc == 0)
		rc = unit_of_value(x, v[1], 5166404, 9, &unit, e);
	if (rc == 0 && !value_to_int64_exact(v[2], &amount))
		rc = err_number(e, ERR_TYPE, 5166405, "%s: 'amount' is an integer, not %s",
				x->op->name, value_type_name(v[2]));
	if (rc < 0)
		return rc;
	rc = zone_of_arg(x, env, 3, v[3], &z, e);
	if (rc < 0)
		return rc;
	if (rc > 0) {
		*out = VALUE_NULL;
		return 0;
	}
	if (x->op->arg < 0 && amount == INT64_MIN)
		return err_number(e, ERR_INVALID, 6045000, "%s: 'amount' is out of range",
				  x->op->name);
	if (!date_add(ms, unit, amount * x->op->arg, z, &ms))
		return err_number(e, ERR_INVALID, 5166406, "%s: the date overflows", x->op->name);
	*out = value_date(ms);
	return 0;
}

static const struct expr_param add_params[] = { { "startDate", 5166402 },
						{ "unit", 5166402 },
						{ "amount", 5166402 },
						{ "timezone", 0 },
						{ NULL, 0 } };

/* ---- $dateDiff: startDate, endDate, unit, timezone, startOfWeek ---- */

static int op_date_diff(const struct node *x, struct expr_env *env, const struct value *v,
			struct value *out, struct err *e)
{
	enum date_unit unit;
	struct timezone_ref z;
	int64_t start, end;
	int week_start = 0;
	if (value_nullish(v[0]) || value_nullish(v[1]) || value_nullish(v[2])) {
		*out = VALUE_NULL;
		return 0;
	}
	int rc = date_of_value(x, v[0], 5166307, &start, e);
	if (rc == 0)
		rc = date_of_value(x, v[1], 5166307, &end, e);
	if (rc == 0)
		rc = unit_of_value(x, v[2], 5439013, 9, &unit, e);
	if (rc < 0)
		return rc;
	rc = zone_of_arg(x, env, 3, v[3], &z, e);
	if (rc == 0)
		rc = week_start_of(x, 4, v[4], unit, &week_start, e);
	if (rc < 0)
		return rc;
	int64_t ignored;
	if (rc == 0 && unit == UNIT_MS && __builtin_sub_overflow(end, start, &ignored))
		return err_number(e, ERR_INVALID, 5166308, "$dateDiff: the difference overflows");
	*out = rc > 0 ? VALUE_NULL : value_int64(date_diff(start, end, unit, z, week_start));
	return 0;
}

static const struct expr_param diff_params[] = { { "startDate", 5166303 }, { "endDate", 5166304 },
						 { "unit", 5166305 },      { "timezone", 0 },
						 { "startOfWeek", 0 },     { NULL, 0 } };

/* ---- $dateTrunc: date, unit, binSize, timezone, startOfWeek ---- */

static int op_date_trunc(const struct node *x, struct expr_env *env, const struct value *v,
			 struct value *out, struct err *e)
{
	enum date_unit unit;
	struct timezone_ref z;
	int64_t ms, bin = 1;
	int week_start = 0;
	if (value_nullish(v[0]) || value_nullish(v[1]) || (x->arg[2] && value_nullish(v[2]))) {
		*out = VALUE_NULL;
		return 0;
	}
	int rc = date_of_value(x, v[0], 5439012, &ms, e);
	if (rc == 0)
		rc = unit_of_value(x, v[1], 5439013, 5439014, &unit, e);
	if (rc == 0 && x->arg[2] && !value_to_int64_exact(v[2], &bin))
		rc = err_number(e, ERR_TYPE, 5439017, "$dateTrunc: 'binSize' is an integer, not %s",
				value_type_name(v[2]));
	if (rc == 0 && bin <= 0)
		rc = err_number(e, ERR_INVALID, 5439018, "$dateTrunc: 'binSize' is not positive");
	if (rc < 0)
		return rc;
	rc = zone_of_arg(x, env, 3, v[3], &z, e);
	if (rc == 0)
		rc = week_start_of(x, 4, v[4], unit, &week_start, e);
	if (rc < 0)
		return rc;
	if (rc > 0) {
		*out = VALUE_NULL;
		return 0;
	}
	if (!date_trunc(ms, unit, (uint64_t)bin, z, week_start, &ms))
		return err_number(e, ERR_INVALID, 15, "$dateTrunc: the date overflows");
	*out = value_date(ms);
	return 0;
}

static const struct expr_param trunc_params[] = { { "date", 5439009 },  { "unit", 5439010 },
						  { "binSize", 0 },     { "timezone", 0 },
						  { "startOfWeek", 0 }, { NULL, 0 } };

static const struct expr_op ops[] = {
	{ "$dateAdd", GROUP, "a date and an amount of a unit", .apply = op_date_add,
	  .compile = compile_dated, .params = add_params, .object_number = 5166400,
	  .unknown_number = 5166401, .arg = 1 },
	{ "$dateDiff", GROUP, "how many boundaries of a unit lie between two dates",
	  .apply = op_date_diff, .compile = compile_dated, .params = diff_params,
	  .object_number = 5166301, .unknown_number = 5166302 },
	{ "$dateFromString", GROUP, "text as a date, by a format or in the usual forms",
	  .fn = op_date_from_string, .compile = compile_dated, .params = from_string_params,
	  .object_number = 40540, .unknown_number = 40541 },
	{ "$dateSubtract", GROUP, "a date less an amount of a unit", .apply = op_date_add,
	  .compile = compile_dated, .params = add_params, .object_number = 5166400,
	  .unknown_number = 5166401, .arg = -1 },
	{ "$dateToString", GROUP, "a date as text, by a format", .apply = op_date_to_string,
	  .compile = compile_dated, .params = to_string_params, .object_number = 18629,
	  .unknown_number = 18534 },
	{ "$dateTrunc", GROUP, "the start of the unit, or bin of units, that a date lies in",
	  .apply = op_date_trunc, .compile = compile_dated, .params = trunc_params,
	  .object_number = 5439007, .unknown_number = 5439008 },
};

const struct expr_table expr_date_more_ops = { ops, ARRAY_LEN(ops) };
