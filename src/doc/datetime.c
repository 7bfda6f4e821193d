/* datetime.c: the calendar. Text is in datetime_text.c.
 *
 * Days are counted from 1970-01-01. A year is computed as if it began in March, so that the leap day is its last and
 * months have a regular pattern: 153 days every five months.
 */
#include "doc/datetime.h"

#include "base/slice.h"

int64_t days_of_date(int64_t year, int month, int day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = floor_div(y, 400);
	int64_t yoe = y - era * 400;
	int64_t doy = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5;
	int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
	return era * 146097 + doe - 719468 + day - 1;
}

static void date_of_days(int64_t days, struct datetime *t)
{
	int64_t z = days + 719468;
	int64_t era = floor_div(z, 146097);
	int64_t doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;
	t->day = (int)(doy - (153 * mp + 2) / 5 + 1);
	t->month = (int)(mp < 10 ? mp + 3 : mp - 9);
	t->year = yoe + era * 400 + (t->month <= 2);
}

static bool is_leap(int64_t year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

int days_in_month(int64_t year, int month)
{
	static const int8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	return days[month - 1] + (month == 2 && is_leap(year));
}

void datetime_of_ms(int64_t ms, struct datetime *t)
{
	int64_t days = floor_div(ms, MS_PER_DAY);
	int64_t rest = ms - days * MS_PER_DAY;
	date_of_days(days, t);
	t->hour = (int)(rest / MS_PER_HOUR);
	t->minute = (int)(rest / MS_PER_MINUTE % 60);
	t->second = (int)(rest / MS_PER_SECOND % 60);
	t->ms = (int)(rest % MS_PER_SECOND);
}

/* Close to the ends of int64 the offset would overflow; there it does not matter. */
static int64_t shift(int64_t ms, int64_t by)
{
	int64_t r;
	return __builtin_add_overflow(ms, by, &r) ? ms : r;
}

int64_t local_of_utc(int64_t utc_ms, struct timezone_ref z)
{
	if (!z.data && z.offset_s == 0)
		return utc_ms;
	return shift(utc_ms, timezone_offset_at(z, floor_div(utc_ms, 1000)) * MS_PER_SECOND);
}

int64_t utc_of_local(int64_t local_ms, struct timezone_ref z)
{
	if (!z.data && z.offset_s == 0)
		return local_ms;
	int64_t local_s = floor_div(local_ms, 1000);
	return shift(local_ms, (timezone_to_utc(z, local_s) - local_s) * MS_PER_SECOND);
}

void datetime_in_zone(int64_t utc_ms, struct timezone_ref z, struct datetime *t)
{
	datetime_of_ms(local_of_utc(utc_ms, z), t);
}

/* ---- weeks ---- */

int weekday_of_days(int64_t days)
{
	int64_t d = (days + 4) % 7; /* 1970-01-01 was a Thursday */
	return (int)(d < 0 ? d + 7 : d);
}

int day_of_year(const struct datetime *t)
{
	return (int)(days_of_date(t->year, t->month, t->day) - days_of_date(t->year, 1, 1)) + 1;
}

int week_of_year(const struct datetime *t)
{
	int weekday = weekday_of_days(days_of_date(t->year, t->month, t->day));
	return (day_of_year(t) + 6 - weekday) / 7;
}

/* The Monday of week 1: the week that has January 4th. */
static int64_t first_monday(int64_t year)
{
	int64_t fourth = days_of_date(year, 1, 4);
	return fourth - (weekday_of_days(fourth) + 6) % 7;
}

void isoweek_of(const struct datetime *t, struct isoweek *w)
{
	int64_t days = days_of_date(t->year, t->month, t->day);
	w->year = t->year;
	if (days < first_monday(t->year))
		w->year--;
	else if (days >= first_monday(t->year + 1))
		w->year++;
	w->week = (int)((days - first_monday(w->year)) / 7) + 1;
	w->weekday = (weekday_of_days(days) + 6) % 7 + 1;
}

int64_t days_of_isoweek(int64_t year, int64_t week, int64_t weekday)
{
	return first_monday(year) + (week - 1) * 7 + weekday - 1;
}

/* ---- arithmetic ---- */

bool datetime_carry(int64_t year, int64_t month, int64_t day, int64_t hour, int64_t minute,
		    int64_t second, int64_t ms, int64_t *local_ms)
{
	int64_t years = floor_div(month - 1, 12);
	int64_t m = month - 1 - years * 12;
	year += years;
	if (year < -300000000 || year > 300000000)
		return false;
	__int128 total = days_of_date(year, (int)m + 1, 1) + (__int128)day - 1;
	total = total * MS_PER_DAY + (__int128)hour * MS_PER_HOUR +
		(__int128)minute * MS_PER_MINUTE + (__int128)second * MS_PER_SECOND + ms;
	*local_ms = (int64_t)total;
	return total >= INT64_MIN && total <= INT64_MAX;
}

static const struct {
	const char *name;
	enum date_unit unit;
} units[] = {
	{ "year", UNIT_YEAR },     { "quarter", UNIT_QUARTER }, { "month", UNIT_MONTH },
	{ "week", UNIT_WEEK },     { "day", UNIT_DAY },         { "hour", UNIT_HOUR },
	{ "minute", UNIT_MINUTE }, { "second", UNIT_SECOND },   { "millisecond", UNIT_MS },
};

int date_unit_of(struct slice name)
{
	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if (slice_is(name, units[i].name))
			return (int)units[i].unit;
	return -1;
}

int weekday_of_name(struct slice name)
{
	static const char *const names[] = { "sunday",   "monday", "tuesday", "wednesday",
					     "thursday", "friday", "saturday" };
	for (int d = 0; d < 7; d++) {
		size_t full = strlen(names[d]);
		if ((name.len == 3 || name.len == full) &&
		    strncasecmp((const char *)name.p, names[d], name.len) == 0)
			return d;
	}
	return -1;
}

static int64_t unit_ms(enum date_unit unit)
{
	switch (unit) {
	case UNIT_WEEK: return 7 * MS_PER_DAY;
	case UNIT_DAY: return MS_PER_DAY;
	case UNIT_HOUR: return MS_PER_HOUR;
	case UNIT_MINUTE: return MS_PER_MINUTE;
	case UNIT_SECOND: return MS_PER_SECOND;
	case UNIT_MS: return 1;
	case UNIT_YEAR:
	case UNIT_QUARTER:
	case UNIT_MONTH: break;
	}
	return 0;
}

static int64_t unit_months(enum date_unit unit)
{
	return unit == UNIT_YEAR ? 12 : unit == UNIT_QUARTER ? 3 : 1;
}

static bool add_months(int64_t local, int64_t months, int64_t *out)
{
	struct datetime t;
	datetime_of_ms(local, &t);
	int64_t total;
	if (__builtin_add_overflow(t.year * 12 + t.month - 1, months, &total))
		return false;
	int64_t year = floor_div(total, 12);
	int month = (int)(total - year * 12) + 1;
	if (year < -290000000 || year > 290000000)
		return false;
	int last = days_in_month(year, month);
	return datetime_carry(year, month, MIN(t.day, last), t.hour, t.minute, t.second, t.ms, out);
}

bool date_add(int64_t ms, enum date_unit unit, int64_t amount, struct timezone_ref z, int64_t *out)
{
	int64_t by, local;
	if (unit >= UNIT_HOUR)
		return !__builtin_mul_overflow(amount, unit_ms(unit), &by) &&
		       !__builtin_add_overflow(ms, by, out);
	local = local_of_utc(ms, z);
	if (unit <= UNIT_MONTH) {
		if (__builtin_mul_overflow(amount, unit_months(unit), &by) ||
		    !add_months(local, by, &local))
			return false;
	} else if (__builtin_mul_overflow(amount, unit_ms(unit), &by) ||
		   __builtin_add_overflow(local, by, &local))
		return false;
	*out = utc_of_local(local, z);
	return true;
}

/* How many units since some fixed point, in local time. */
static int64_t units_since(int64_t local, enum date_unit unit, int week_start)
{
	struct datetime t;
	int64_t days = floor_div(local, MS_PER_DAY);
	switch (unit) {
	case UNIT_YEAR:
	case UNIT_QUARTER:
	case UNIT_MONTH:
		datetime_of_ms(local, &t);
		return floor_div(t.year * 12 + t.month - 1, unit_months(unit));
	case UNIT_WEEK: return floor_div(days + 4 - week_start, 7);
	case UNIT_DAY: return days;
	case UNIT_HOUR:
	case UNIT_MINUTE:
	case UNIT_SECOND:
	case UNIT_MS: break;
	}
	return floor_div(local, unit_ms(unit));
}

int64_t date_diff(int64_t start_ms, int64_t end_ms, enum date_unit unit, struct timezone_ref z,
		  int week_start)
{
	if (unit == UNIT_MS) {
		int64_t d;
		return __builtin_sub_overflow(end_ms, start_ms, &d)
			       ? (end_ms > start_ms ? INT64_MAX : INT64_MIN)
			       : d;
	}
	if (unit >= UNIT_HOUR) {
		/* Elapsed time counts, from the boundary before the start: a change of the clocks in between adds none. */
		int64_t offset = (local_of_utc(start_ms, z) - start_ms);
		return units_since(shift(end_ms, offset), unit, 0) -
		       units_since(shift(start_ms, offset), unit, 0);
	}
	return units_since(local_of_utc(end_ms, z), unit, week_start) -
	       units_since(local_of_utc(start_ms, z), unit, week_start);
}

/* 2000-01-01T00:00 local time; weeks: the first day of a week on or after it. */
static int64_t reference_days(enum date_unit unit, int week_start)
{
	int64_t days = days_of_date(2000, 1, 1);
	if (unit == UNIT_WEEK)
		days += (week_start - weekday_of_days(days) + 7) % 7;
	return days;
}

static bool trunc_elapsed(int64_t ms, enum date_unit unit, uint64_t bin, struct timezone_ref z,
			  int64_t *out)
{
	int64_t reference = utc_of_local(reference_days(unit, 0) * MS_PER_DAY, z);
	__int128 size = (__int128)bin * unit_ms(unit), distance = (__int128)ms - reference;
	__int128 r = distance % size;
	__int128 result = (__int128)ms - (r < 0 ? r + size : r);
	*out = (int64_t)result;
	return result >= INT64_MIN && result <= INT64_MAX;
}

bool date_trunc(int64_t ms, enum date_unit unit, uint64_t bin, struct timezone_ref z,
		int week_start, int64_t *out)
{
	if (unit >= UNIT_HOUR)
		return trunc_elapsed(ms, unit, bin, z, out);
	int64_t local = local_of_utc(ms, z), start;
	if (unit >= UNIT_WEEK) {
		int64_t days = floor_div(local, MS_PER_DAY),
			reference = reference_days(unit, week_start);
		__int128 size = (__int128)bin * (unit == UNIT_WEEK ? 7 : 1),
			 r = (days - reference) % size;
		__int128 result = (days - (r < 0 ? r + size : r)) * MS_PER_DAY;
		if (result < INT64_MIN || result > INT64_MAX)
			return false;
		start = (int64_t)result;
	} else {
		struct datetime t;
		datetime_of_ms(local, &t);
		int64_t months = (t.year - 2000) * 12 + t.month - 1;
		__int128 size = (__int128)bin * unit_months(unit), r = months % size;
		__int128 first = months - (r < 0 ? r + size : r);
		if (first < INT64_MIN / 4 ||
		    !add_months(reference_days(unit, 0) * MS_PER_DAY, (int64_t)first, &start))
			return false;
	}
	*out = utc_of_local(start, z);
	return true;
}
