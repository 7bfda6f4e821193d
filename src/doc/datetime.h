/* datetime.h: instants and calendars: parts, weeks, arithmetic, truncation, formatting and parsing.
 *
 * Instants are milliseconds since 1970 in UTC. A calendar is read in a zone; a day there has 23 to 25 hours where the
 * clocks change. The calendar is the proleptic Gregorian one, for all years.
 */
#ifndef DOC_DATETIME_H
#define DOC_DATETIME_H

#include "doc/timezone.h"

#define MS_PER_SECOND INT64_C(1000)
#define MS_PER_MINUTE INT64_C(60000)
#define MS_PER_HOUR   INT64_C(3600000)
#define MS_PER_DAY    INT64_C(86400000)

struct datetime {
	int64_t year;
	int month, day; /* from 1 */
	int hour, minute, second, ms;
};

struct isoweek {
	int64_t year;
	int week;    /* 1 to 53 */
	int weekday; /* 1 Monday to 7 */
};

enum date_unit {
	UNIT_YEAR,
	UNIT_QUARTER,
	UNIT_MONTH,
	UNIT_WEEK,
	UNIT_DAY,
	UNIT_HOUR,
	UNIT_MINUTE,
	UNIT_SECOND,
	UNIT_MS
};

#define TIMEZONE_UTC ((struct timezone_ref){ NULL, 0 })

/* Quotient rounded down, and the rest that is never negative. */
static inline int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

int64_t days_of_date(int64_t year, int month,
		     int day); /* since 1970-01-01; month 1 to 12, any day */
int days_in_month(int64_t year, int month);
void datetime_of_ms(int64_t ms, struct datetime *out);
void datetime_in_zone(int64_t utc_ms, struct timezone_ref z, struct datetime *out);
int64_t local_of_utc(int64_t utc_ms, struct timezone_ref z);
int64_t utc_of_local(int64_t local_ms, struct timezone_ref z);

int weekday_of_days(int64_t days);          /* 0 Sunday to 6 */
int day_of_year(const struct datetime *t);  /* from 1 */
int week_of_year(const struct datetime *t); /* 0 to 53, weeks begin on Sunday */
void isoweek_of(const struct datetime *t, struct isoweek *out);
int64_t days_of_isoweek(int64_t year, int64_t week, int64_t weekday); /* any week and weekday */

/* Parts out of their ranges carry over: month 14 is February of the next year. False: beyond what 64 bits hold. */
bool datetime_carry(int64_t year, int64_t month, int64_t day, int64_t hour, int64_t minute,
		    int64_t second, int64_t ms, int64_t *local_ms);

int date_unit_of(struct slice name);    /* enum date_unit, or -1 */
int weekday_of_name(struct slice name); /* "mon", "Monday", ...: 0 Sunday to 6, or -1 */

/* Months clamp to the last day; days keep the local time. False: overflow. */
bool date_add(int64_t ms, enum date_unit unit, int64_t amount, struct timezone_ref z, int64_t *out);
/* Boundaries of the unit crossed. */
int64_t date_diff(int64_t start_ms, int64_t end_ms, enum date_unit unit, struct timezone_ref z,
		  int week_start);
/* The start of the bin, counted from 2000-01-01 local time. False: overflow. */
bool date_trunc(int64_t ms, enum date_unit unit, uint64_t bin, struct timezone_ref z,
		int week_start, int64_t *out);

/* ---- text ---- */

/* 0, or the number of the error: 18535 (unmatched % at the end), 18536 (unknown letter). */
int date_format_check(struct slice format, bool parsing);
/* Appends. 0, or 18537: the year is not in 0 to 9999. */
int date_format(struct slice format, int64_t ms, struct timezone_ref z, struct buf *out);

/* Text by a format, or (format empty) in the usual forms: ISO 8601 and its relatives. The zone counts where the text has no
 * offset of its own; a text with one while a zone is given is an error. ERR_FORMAT number 241. */
int date_parse(struct slice text, struct slice format, const struct timezone_ref *z, int64_t *ms,
	       struct err *e);

#endif
