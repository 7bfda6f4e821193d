/* expr_date.c: parts of dates, dates from parts, time zones.
 *
 * A time zone that is constant is looked up when the expression is compiled; others by name each time, in a cache
 * that belongs to the evaluation.
 */
#include "doc/expr_date.h"

#include "base/mem.h"

#define GROUP "date"

/* ---- shared ---- */

int date_of_value(const struct node *x, struct value v, int number, int64_t *ms, struct err *e)
{
	switch (v.type) {
	case BSON_DATE: *ms = v.i64; return 0;
	case BSON_TIMESTAMP: *ms = (int64_t)((uint64_t)v.i64 >> 32) * 1000; return 0;
	case BSON_OID: *ms = (int64_t)get_be32(v.p) * 1000; return 0;
	default:
		return err_number(e, ERR_TYPE, number,
				  "%s takes a date, timestamp or ObjectId, not %s", x->op->name,
				  value_type_name(v));
	}
}

static void cache_free(void *p)
{
	timezone_cache_done(p);
	mem_free(p);
}

int zone_of_value(const struct node *x, struct expr_env *env, struct value v,
		  struct timezone_ref *z, struct err *e)
{
	if (v.type != BSON_STRING)
		return err_number(e, ERR_TYPE, 40533, "%s: 'timezone' is a string, not %s",
				  x->op->name, value_type_name(v));
	struct eval *ev = env->ev;
	if (!ev->vars) {
		ev->vars = mem_try(sizeof(struct timezone_cache));
		if (!ev->vars)
			return err_nomem(e);
		ev->vars_free = cache_free;
	}
	struct timezone_cache *cache = ev->vars;
	if (cache->n >= TIMEZONE_MAX)
		timezone_cache_done(cache);
	return timezone_find(cache, value_slice(v), z, e);
}

int zone_compile(struct compile *c, const struct node *arg, struct date_extra *extra, struct err *e)
{
	if (!arg || arg->fn || arg->constant.type != BSON_STRING)
		return 0;
	int rc = timezone_find(&c->x->zones, value_slice(arg->constant), &extra->zone, e);
	extra->has_zone = rc == 0;
	return rc;
}

int zone_of_arg(const struct node *x, struct expr_env *env, uint32_t i, struct value v,
		struct timezone_ref *z, struct err *e)
{
	const struct date_extra *extra = x->extra;
	*z = TIMEZONE_UTC;
	if (i >= x->n || !x->arg[i])
		return 0;
	if (extra && extra->has_zone) {
		*z = extra->zone;
		return 0;
	}
	if (value_nullish(v))
		return 1;
	return zone_of_value(x, env, v, z, e);
}

int compile_dated(struct compile *c, const struct expr_op *op, struct value spec, struct node **out,
		  struct err *e)
{
	int rc = compile_named(c, op, spec, out, e);
	struct node *x = rc < 0 ? NULL : *out;
	if (!x || !x->fn)
		return rc;
	struct date_extra *extra = compile_alloc(c, sizeof(*extra));
	if (!extra)
		return err_nomem(e);
	*extra = (struct date_extra){ 0 };
	for (uint32_t i = 0; op->params[i].name; i++)
		if (strcmp(op->params[i].name, "timezone") == 0)
			rc = zone_compile(c, x->arg[i], extra, e);
	x->extra = extra;
	return rc;
}

/* ---- one part: arg[0] date, arg[1] timezone ---- */

enum {
	YEAR,
	MONTH,
	DAY,
	DAY_OF_WEEK,
	DAY_OF_YEAR,
	HOUR,
	MINUTE,
	SECOND,
	MS,
	WEEK,
	ISO_DAY,
	ISO_WEEK,
	ISO_YEAR
};

static int op_part(const struct node *x, struct expr_env *env, const struct value *v,
		   struct value *out, struct err *e)
{
	struct timezone_ref z;
	struct datetime t;
	struct isoweek w;
	int64_t ms;
	int rc = zone_of_arg(x, env, 1, v[1], &z, e);
	if (rc < 0)
		return rc;
	if (rc > 0 || value_nullish(v[0])) {
		*out = VALUE_NULL;
		return 0;
	}
	rc = date_of_value(x, v[0], 16006, &ms, e);
	if (rc < 0)
		return rc;
	datetime_in_zone(ms, z, &t);
	switch (x->op->arg) {
	case YEAR: *out = value_int(t.year); break;
	case MONTH: *out = value_int32(t.month); break;
	case DAY: *out = value_int32(t.day); break;
	case DAY_OF_WEEK:
		*out = value_int32(weekday_of_days(days_of_date(t.year, t.month, t.day)) + 1);
		break;
	case DAY_OF_YEAR: *out = value_int32(day_of_year(&t)); break;
	case HOUR: *out = value_int32(t.hour); break;
	case MINUTE: *out = value_int32(t.minute); break;
	case SECOND: *out = value_int32(t.second); break;
	case MS: *out = value_int32(t.ms); break;
	case WEEK: *out = value_int32(week_of_year(&t)); break;
	default:
		isoweek_of(&t, &w);
		if (x->op->arg == ISO_YEAR)
			*out = value_int64(w.year);
		else
			*out = value_int32(x->op->arg == ISO_DAY ? w.weekday : w.week);
		break;
	}
	return 0;
}

static const struct expr_param part_params[] = { { "date", 40539 },
						 { "timezone", 0 },
						 { NULL, 0 } };

static bool has_named_arguments(struct value spec)
{
	struct bson_iter it;
	if (spec.type != BSON_DOCUMENT)
		return false;
	bson_iter_init(&it, value_slice(spec));
	return !bson_next(&it) || it.key.len == 0 || it.key.p[0] != '$';
}

/* A date, [date], or { date, timezone }. */
static int compile_part(struct compile *c, const struct expr_op *op, struct value spec,
			struct node **out, struct err *e)
{
	if (has_named_arguments(spec))
		return compile_dated(c, op, spec, out, e);
	if (spec.type == BSON_ARRAY) {
		if (array_length(spec) != 1)
			return err_number(e, ERR_INVALID, 40536,
					  "%s takes one date, not a list of %zu", op->name,
					  array_length(spec));
		spec = bson_get_str(value_slice(spec), "0");
	}
	struct node *x = compile_node(c, op_strict, op, 2);
	if (!x)
		return err_nomem(e);
	int rc = compile_value(c, spec, &x->arg[0], e);
	return rc < 0 ? rc : compile_finish(c, x, out, e);
}

/* ---- $dateToParts: date, timezone, iso8601 ---- */

static int op_to_parts(const struct node *x, struct expr_env *env, const struct value *v,
		       struct value *out, struct err *e)
{
	struct timezone_ref z;
	struct datetime t;
	struct isoweek w;
	int64_t ms;
	int rc = zone_of_arg(x, env, 1, v[1], &z, e);
	if (rc < 0)
		return rc;
	if (rc > 0 || (x->arg[2] && value_nullish(v[2]))) {
		*out = VALUE_NULL;
		return 0;
	}
	if (x->arg[2] && v[2].type != BSON_BOOL)
		return err_number(e, ERR_TYPE, 40521, "$dateToParts: 'iso8601' is a bool, not %s",
				  value_type_name(v[2]));
	if (value_nullish(v[0])) {
		*out = VALUE_NULL;
		return 0;
	}
	rc = date_of_value(x, v[0], 16006, &ms, e);
	if (rc < 0)
		return rc;
	datetime_in_zone(ms, z, &t);
	isoweek_of(&t, &w);
	bool iso = x->arg[2] && v[2].i64;
	struct field f[] = {
		{ iso ? SLICE_LIT("isoWeekYear") : SLICE_LIT("year"),
		  value_int(iso ? w.year : t.year) },
		{ iso ? SLICE_LIT("isoWeek") : SLICE_LIT("month"),
		  value_int32(iso ? w.week : t.month) },
		{ iso ? SLICE_LIT("isoDayOfWeek") : SLICE_LIT("day"),
		  value_int32(iso ? w.weekday : t.day) },
		{ SLICE_LIT("hour"), value_int32(t.hour) },
		{ SLICE_LIT("minute"), value_int32(t.minute) },
		{ SLICE_LIT("second"), value_int32(t.second) },
		{ SLICE_LIT("millisecond"), value_int32(t.ms) },
	};
	return build_doc(env, f, ARRAY_LEN(f), out, e);
}

static const struct expr_param to_parts_params[] = {
	{ "date", 40522 }, { "timezone", 0 }, { "iso8601", 0 }, { NULL, 0 }
};

/* ---- $dateFromParts ---- */

enum {
	P_YEAR,
	P_MONTH,
	P_DAY,
	P_ISO_YEAR,
	P_ISO_WEEK,
	P_ISO_DAY,
	P_HOUR,
	P_MINUTE,
	P_SECOND,
	P_MS,
	P_ZONE
};

static const struct expr_param from_parts_params[] = {
	{ "year", 0 },    { "month", 0 },        { "day", 0 },      { "isoWeekYear", 0 },
	{ "isoWeek", 0 }, { "isoDayOfWeek", 0 }, { "hour", 0 },     { "minute", 0 },
	{ "second", 0 },  { "millisecond", 0 },  { "timezone", 0 }, { NULL, 0 }
};

/* 0; 1: null. */
static int part_of(const struct node *x, const struct value *v, int i, int64_t otherwise,
		   int64_t *out, struct err *e)
{
	const char *name = from_parts_params[i].name;
	bool year = i == P_YEAR || i == P_ISO_YEAR;
	*out = otherwise;
	if (!x->arg[i])
		return 0;
	if (value_nullish(v[i]))
		return 1;
	if (!value_to_int64_exact(v[i], out))
		return err_number(e, ERR_TYPE, 40515, "$dateFromParts: '%s' is an integer, not %s",
				  name, value_type_name(v[i]));
	if (year && (*out < 1 || *out > 9999))
		return err_number(e, ERR_INVALID, i == P_YEAR ? 40523 : 31095,
				  "$dateFromParts: '%s' is not in 1 to 9999", name);
	/* Seconds and milliseconds may be many; the others fit 16 bits. */
	if (!year && i != P_SECOND && i != P_MS && (*out < INT16_MIN || *out > INT16_MAX))
		return err_number(e, ERR_INVALID, 31034,
				  "$dateFromParts: '%s' is not in -32768 to 32767", name);
	return 0;
}

static int op_from_parts(const struct node *x, struct expr_env *env, const struct value *v,
			 struct value *out, struct err *e)
{
	static const int64_t otherwise[] = { 1970, 1, 1, 1970, 1, 1, 0, 0, 0, 0 };
	int64_t p[P_ZONE], local;
	struct timezone_ref z;
	bool null = false;
	for (int i = 0; i < P_ZONE; i++) {
		int rc = part_of(x, v, i, otherwise[i], &p[i], e);
		if (rc < 0)
			return rc;
		null |= rc > 0;
	}
	int rc = zone_of_arg(x, env, P_ZONE, v[P_ZONE], &z, e);
	if (rc < 0)
		return rc;
	if (null || rc > 0) {
		*out = VALUE_NULL;
		return 0;
	}
	bool ok;
	if (x->arg[P_ISO_YEAR]) {
		int64_t days = days_of_isoweek(p[P_ISO_YEAR], p[P_ISO_WEEK], p[P_ISO_DAY]);
		ok = datetime_carry(1970, 1, days + 1, p[P_HOUR], p[P_MINUTE], p[P_SECOND], p[P_MS],
				    &local);
	} else
		ok = datetime_carry(p[P_YEAR], p[P_MONTH], p[P_DAY], p[P_HOUR], p[P_MINUTE],
				    p[P_SECOND], p[P_MS], &local);
	if (!ok)
		return err_number(e, ERR_INVALID, 15, "$dateFromParts: the date overflows");
	*out = value_date(utc_of_local(local, z));
	return 0;
}

static int compile_from_parts(struct compile *c, const struct expr_op *op, struct value spec,
			      struct node **out, struct err *e)
{
	if (spec.type == BSON_DOCUMENT) {
		struct slice d = value_slice(spec);
		bool year = bson_get_str(d, "year").type,
		     iso_year = bson_get_str(d, "isoWeekYear").type;
		bool natural = year || bson_get_str(d, "month").type || bson_get_str(d, "day").type;
		bool iso = iso_year || bson_get_str(d, "isoWeek").type ||
			   bson_get_str(d, "isoDayOfWeek").type;
		if (natural && iso)
			return err_number(e, ERR_INVALID, year ? 40489 : 40525,
					  "$dateFromParts: calendar and ISO week parts are mixed");
		if (!year && !iso_year)
			return err_number(e, ERR_INVALID, 40516,
					  "$dateFromParts needs 'year' or 'isoWeekYear'");
	}
	return compile_dated(c, op, spec, out, e);
}

#define PART(name, help, which) \
	{ \
		name, GROUP, help, .apply = op_part, .compile = compile_part, \
				   .params = part_params, .object_number = 40539, \
				   .unknown_number = 40535, .arg = (which) \
	}

static const struct expr_op ops[] = {
	PART("$dayOfMonth", "the day of the month, 1 to 31", DAY),
	PART("$dayOfWeek", "the day of the week, 1 (Sunday) to 7", DAY_OF_WEEK),
	PART("$dayOfYear", "the day of the year, 1 to 366", DAY_OF_YEAR),
	PART("$hour", "the hour, 0 to 23", HOUR),
	PART("$isoDayOfWeek", "the day of the ISO week, 1 (Monday) to 7", ISO_DAY),
	PART("$isoWeek", "the ISO week, 1 to 53", ISO_WEEK),
	PART("$isoWeekYear", "the year of the ISO week", ISO_YEAR),
	PART("$millisecond", "the milliseconds, 0 to 999", MS),
	PART("$minute", "the minute, 0 to 59", MINUTE),
	PART("$month", "the month, 1 to 12", MONTH),
	PART("$second", "the second, 0 to 59", SECOND),
	PART("$week", "the week of the year, 0 to 53, from Sundays", WEEK),
	PART("$year", "the year", YEAR),
	{ "$dateFromParts", GROUP, "a date made of year, month, day ... or ISO week parts",
	  .apply = op_from_parts, .compile = compile_from_parts, .params = from_parts_params,
	  .object_number = 40519, .unknown_number = 40518 },
	{ "$dateToParts", GROUP, "a date taken apart", .apply = op_to_parts,
	  .compile = compile_dated, .params = to_parts_params, .object_number = 40524,
	  .unknown_number = 40520 },
};

const struct expr_table expr_date_ops = { ops, ARRAY_LEN(ops) };
