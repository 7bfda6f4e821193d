/* iso.c: one strict form of ISO 8601, read and printed without a format; the calendar is
 * datetime.h's.
 */
#include "doc/iso.h"

#include "doc/datetime.h"

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
	const uint8_t *p = s.p, *end = s.p + s.len;
	int year = number_at(&p, end, 4);
	if (year < 0 || !char_at(&p, end, '-'))
		return false;
	int month = number_at(&p, end, 2);
	if (month < 1 || month > 12 || !char_at(&p, end, '-'))
		return false;
	int day = number_at(&p, end, 2);
	if (day < 1 || day > days_in_month(year, month) || !char_at(&p, end, 'T'))
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
	int64_t minutes = days_of_date(year, month, day) * 1440 + h * 60 + m - zone;
	*ms = (minutes * 60 + sec) * MS_PER_SECOND + fraction;
	return true;
}

static char *two(char *p, int v)
{
	p[0] = (char)('0' + v / 10);
	p[1] = (char)('0' + v % 10);
	return p + 2;
}

size_t iso_print(int64_t ms, char out[ISO_MAX])
{
	struct datetime t;
	datetime_of_ms(ms, &t);
	char *p = two(out, (int)(t.year / 100 % 100));
	p = two(p, (int)(t.year % 100));
	*p++ = '-';
	p = two(p, t.month);
	*p++ = '-';
	p = two(p, t.day);
	*p++ = 'T';
	p = two(p, t.hour);
	*p++ = ':';
	p = two(p, t.minute);
	*p++ = ':';
	p = two(p, t.second);
	if (t.ms) {
		*p++ = '.';
		*p++ = (char)('0' + t.ms / 100);
		p = two(p, t.ms % 100);
	}
	*p++ = 'Z';
	return (size_t)(p - out);
}
