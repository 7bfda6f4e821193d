/* iso.c: calendar arithmetic by eras of 400 years (146,097 days), with years that begin in March,
 * so that the leap day is the last one.
 */
#include "doc/iso.h"

enum { ERA_DAYS = 146097, EPOCH_SHIFT = 719468 /* 0000-03-01 to 1970-01-01 */, DAY_MS = 86400000 };

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

int64_t iso_days(int64_t year, unsigned month, unsigned day)
{
	year -= month <= 2;
	int64_t era = floor_div(year, 400);
	int64_t year_of_era = year - era * 400;
	int64_t day_of_year =
		(153 * (int64_t)(month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
	int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
	return era * ERA_DAYS + day_of_era - EPOCH_SHIFT;
}

void iso_date(int64_t days, int64_t *year, unsigned *month, unsigned *day)
{
	days += EPOCH_SHIFT;
	int64_t era = floor_div(days, ERA_DAYS);
	int64_t doe = days - era * ERA_DAYS;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;
	*day = (unsigned)(doy - (153 * mp + 2) / 5 + 1);
	*month = (unsigned)(mp < 10 ? mp + 3 : mp - 9);
	*year = yoe + era * 400 + (*month <= 2);
}

/* n digits at *p; -1 when they are not digits. */
static int number_at(const uint8_t **p, const uint8_t *end, int n)
{
	if (end - *p < n)
		return -1;
	int v = 0;
	for (int i = 0; i < n; i++) {
		uint8_t c = *(*p)++;
		if (c < '0' || c > '9')
			return -1;
		v = v * 10 + (c - '0');
	}
	return v;
}

static bool char_at(const uint8_t **p, const uint8_t *end, char c)
{
	if (*p == end || **p != (uint8_t)c)
		return false;
	++*p;
	return true;
}

static bool zone_at(const uint8_t **p, const uint8_t *end, int *minutes)
{
	*minutes = 0;
	if (char_at(p, end, 'Z'))
		return *p == end;
	bool west = char_at(p, end, '-');
	if (!west && !char_at(p, end, '+'))
		return false;
	int h = number_at(p, end, 2), m = 0;
	if (*p != end) {
		(void)char_at(p, end, ':');
		m = number_at(p, end, 2);
	}
	if (h < 0 || h > 23 || m < 0 || m > 59)
		return false;
	*minutes = (h * 60 + m) * (west ? -1 : 1);
	return *p == end;
}

bool iso_parse(struct slice s, int64_t *ms)
{
	static const uint8_t days[] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	const uint8_t *p = s.p, *end = s.p + s.len;
	int year = number_at(&p, end, 4);
	if (year < 0 || !char_at(&p, end, '-'))
		return false;
	int month = number_at(&p, end, 2);
	if (month < 1 || month > 12 || !char_at(&p, end, '-'))
		return false;
	int day = number_at(&p, end, 2);
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	if (day < 1 || day > days[month - 1] || (month == 2 && day == 29 && !leap) ||
	    !char_at(&p, end, 'T'))
		return false;
	int h = number_at(&p, end, 2);
	if (h < 0 || h > 23 || !char_at(&p, end, ':'))
		return false;
	int m = number_at(&p, end, 2);
	if (m < 0 || m > 59 || !char_at(&p, end, ':'))
		return false;
	int sec = number_at(&p, end, 2);
	if (sec < 0 || sec > 59)
		return false;
	int fraction = 0;
	if (char_at(&p, end, '.')) {
		int unit = 100;
		const uint8_t *first = p;
		for (; p < end && *p >= '0' && *p <= '9'; p++, unit /= 10)
			fraction += (*p - '0') * unit;
		if (p == first)
			return false;
	}
	int zone;
	if (!zone_at(&p, end, &zone))
		return false;
	int64_t minutes = iso_days(year, (unsigned)month, (unsigned)day) * 1440 + h * 60 + m - zone;
	*ms = (minutes * 60 + sec) * 1000 + fraction;
	return true;
}

static char *two(char *p, unsigned v)
{
	p[0] = (char)('0' + v / 10);
	p[1] = (char)('0' + v % 10);
	return p + 2;
}

size_t iso_print(int64_t ms, char out[ISO_MAX])
{
	int64_t days = floor_div(ms, DAY_MS), year;
	unsigned rest = (unsigned)(ms - days * DAY_MS), month, day;
	iso_date(days, &year, &month, &day);
	char *p = two(out, (unsigned)(year / 100) % 100);
	p = two(p, (unsigned)(year % 100));
	*p++ = '-';
	p = two(p, month);
	*p++ = '-';
	p = two(p, day);
	*p++ = 'T';
	p = two(p, rest / 3600000);
	*p++ = ':';
	p = two(p, rest / 60000 % 60);
	*p++ = ':';
	p = two(p, rest / 1000 % 60);
	unsigned fraction = rest % 1000;
	if (fraction) {
		*p++ = '.';
		*p++ = (char)('0' + fraction / 100);
		p = two(p, fraction % 100);
	}
	*p++ = 'Z';
	return (size_t)(p - out);
}
