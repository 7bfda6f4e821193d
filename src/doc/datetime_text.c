/* datetime_text.c: instants as text, by a format and in the usual forms.
 *
 * Parsing fills in a struct parsed, part by part; at the end the parts must make one whole date, either of the
 * calendar (year, month, day; or year, day of year) or of ISO weeks (year, week, weekday), never mixed.
 */
#include "doc/datetime.h"

#include "base/slice.h"

#include <inttypes.h>
#include <string.h>
#include <strings.h>

enum { NONE = INT32_MIN };

struct parsed {
	int year, month, day, day_of_year;
	int iso_year, iso_week, iso_day;
	int hour, minute, second, ms;
	bool has_offset;
	int32_t offset_s;
};

#define PARSED_INIT \
	((struct parsed){ NONE, NONE, NONE, NONE, NONE, NONE, NONE, 0, 0, 0, 0, false, 0 })

static const char *const month_names[] = { "january",   "february", "march",    "april",
					   "may",       "june",     "july",     "august",
					   "september", "october",  "november", "december" };

/* ---- formatting ---- */

static const char print_letters[] = "dGHjLmMSuUVwYzZbB%", parse_letters[] = "dGHjLmMSuVYzZbB%";

int date_format_check(struct slice f, bool parsing)
{
	const char *letters = parsing ? parse_letters : print_letters;
	for (size_t i = 0; i < f.len; i++) {
		if (f.p[i] != '%')
			continue;
		if (++i == f.len)
			return 18535;
		if (!f.p[i] || !strchr(letters, f.p[i]))
			return 18536;
	}
	return 0;
}

static void put_month(struct buf *out, int month, size_t letters)
{
	const char *name = month_names[month - 1];
	size_t n = strlen(name);
	buf_add_byte(out, (uint8_t)(name[0] - 32));
	buf_add(out, name + 1, (letters ? MIN(letters, n) : n) - 1);
}

/* At least `width` digits. Only the ISO year of the first days of year 0 is negative. */
static void put_number(struct buf *out, int64_t v, unsigned width)
{
	uint8_t digits[20];
	size_t at = sizeof(digits);
	if (v < 0) {
		buf_add_byte(out, '-');
		v = -v;
	}
	do {
		digits[--at] = (uint8_t)('0' + v % 10);
		v /= 10;
	} while (v || sizeof(digits) - at < width);
	buf_add(out, digits + at, sizeof(digits) - at);
}

static void put_offset(struct buf *out, int64_t offset_s)
{
	int64_t minutes = (offset_s < 0 ? -offset_s : offset_s) / 60;
	buf_add_byte(out, offset_s < 0 ? '-' : '+');
	put_number(out, minutes / 60, 2);
	put_number(out, minutes % 60, 2);
}

static void put_letter(char letter, const struct datetime *t, int64_t offset_s, struct buf *out)
{
	struct isoweek w;
	int64_t days = days_of_date(t->year, t->month, t->day);
	isoweek_of(t, &w);
	switch (letter) {
	case 'd': put_number(out, t->day, 2); break;
	case 'G': put_number(out, w.year, 4); break;
	case 'H': put_number(out, t->hour, 2); break;
	case 'j': put_number(out, day_of_year(t), 3); break;
	case 'L': put_number(out, t->ms, 3); break;
	case 'm': put_number(out, t->month, 2); break;
	case 'M': put_number(out, t->minute, 2); break;
	case 'S': put_number(out, t->second, 2); break;
	case 'u': put_number(out, w.weekday, 1); break;
	case 'U': put_number(out, week_of_year(t), 2); break;
	case 'V': put_number(out, w.week, 2); break;
	case 'w': put_number(out, weekday_of_days(days) + 1, 1); break;
	case 'Y': put_number(out, t->year, 4); break;
	case 'z': put_offset(out, offset_s); break;
	case 'Z': buf_add_fmt(out, "%d", (int)(offset_s / 60)); break;
	case 'b': put_month(out, t->month, 3); break;
	case 'B': put_month(out, t->month, 0); break;
	default: buf_add_byte(out, '%'); break;
	}
}

int date_format(struct slice f, int64_t ms, struct timezone_ref z, struct buf *out)
{
	struct datetime t;
	int64_t local = local_of_utc(ms, z);
	datetime_of_ms(local, &t);
	if (t.year < 0 || t.year > 9999)
		return 18537;
	for (size_t i = 0; i < f.len; i++) {
		if (f.p[i] == '%' && i + 1 < f.len)
			put_letter((char)f.p[++i], &t, (local - ms) / 1000, out);
		else
			buf_add_byte(out, f.p[i]);
	}
	return 0;
}

/* ---- reading pieces; each moves s behind what it took ---- */

static void skip(struct slice *s, size_t n)
{
	s->p += n;
	s->len -= n;
}

static bool is_digit(uint8_t b)
{
	return b >= '0' && b <= '9';
}

static bool is_letter(uint8_t b)
{
	return (b | 0x20) >= 'a' && (b | 0x20) <= 'z';
}

static size_t digits_of(struct slice s)
{
	size_t n = 0;
	while (n < s.len && is_digit(s.p[n]))
		n++;
	return n;
}

static size_t letters_of(struct slice s)
{
	size_t n = 0;
	while (n < s.len && is_letter(s.p[n]))
		n++;
	return n;
}

/* Up to max digits. */
static bool take_number(struct slice *s, size_t max, int *out)
{
	size_t n = MIN(digits_of(*s), max);
	int v = 0;
	for (size_t i = 0; i < n; i++)
		v = v * 10 + (s->p[i] - '0');
	if (n == 0)
		return false;
	skip(s, n);
	*out = v;
	return true;
}

static bool take_char(struct slice *s, char c)
{
	if (!s->len || s->p[0] != (uint8_t)c)
		return false;
	skip(s, 1);
	return true;
}

/* ".5" is 500 ms; digits past the third are dropped. */
static bool take_fraction(struct slice *s, size_t max, int *ms)
{
	size_t n = MIN(digits_of(*s), max);
	int v = 0;
	if (n == 0)
		return false;
	for (size_t i = 0; i < 3; i++)
		v = v * 10 + (i < n ? s->p[i] - '0' : 0);
	skip(s, n);
	*ms = v;
	return true;
}

static bool take_month(struct slice *s, int *month)
{
	size_t n = letters_of(*s);
	for (int m = 0; m < 12; m++) {
		size_t full = strlen(month_names[m]);
		bool sept = m == 8 && n == 4;
		if (n != 3 && n != full && !sept)
			continue;
		if (strncasecmp((const char *)s->p, month_names[m], n) != 0)
			continue;
		skip(s, n);
		*month = m + 1;
		return true;
	}
	return false;
}

static bool take_offset(struct slice *s, int32_t *offset_s)
{
	int sign = s->len && s->p[0] == '-' ? -1 : 1, hours, minutes = 0;
	if (!s->len || (s->p[0] != '+' && s->p[0] != '-'))
		return false;
	skip(s, 1);
	if (!take_number(s, 2, &hours))
		return false;
	bool colon = s->len > 1 && s->p[0] == ':' && is_digit(s->p[1]);
	if (colon)
		skip(s, 1);
	if ((colon || digits_of(*s) == 2) && !take_number(s, 2, &minutes))
		return false;
	*offset_s = sign * (hours * 3600 + minutes * 60);
	return minutes < 60;
}

/* Z, UTC, GMT (with an offset, or without), the usual abbreviations, an offset. */
static bool take_zone(struct slice *s, struct parsed *p)
{
	static const struct {
		const char *name;
		int hours;
	} zones[] = {
		{ "z", 0 },     { "utc", 0 },   { "gmt", 0 },   { "est", -5 }, { "edt", -4 },
		{ "cst", -6 },  { "cdt", -5 },  { "mst", -7 },  { "mdt", -6 }, { "pst", -8 },
		{ "pdt", -7 },  { "bst", 1 },   { "wet", 0 },   { "west", 1 }, { "cet", 1 },
		{ "cest", 2 },  { "eet", 2 },   { "eest", 3 },  { "msk", 3 },  { "jst", 9 },
		{ "akst", -9 }, { "akdt", -8 }, { "hst", -10 },
	};
	size_t n = letters_of(*s);
	if (p->has_offset)
		return false;
	if (n == 0) {
		p->has_offset = true;
		return take_offset(s, &p->offset_s);
	}
	for (size_t i = 0; i < ARRAY_LEN(zones); i++) {
		if (strlen(zones[i].name) != n ||
		    strncasecmp((const char *)s->p, zones[i].name, n) != 0)
			continue;
		skip(s, n);
		p->has_offset = true;
		p->offset_s = zones[i].hours * 3600;
		int32_t more = 0;
		if (n == 3 && zones[i].hours == 0 && s->len && (s->p[0] == '+' || s->p[0] == '-')) {
			if (!take_offset(s, &more))
				return false;
			p->offset_s = more;
		}
		return true;
	}
	return false;
}

/* ---- by a format ---- */

static bool take_letter(char letter, struct slice *s, struct parsed *p)
{
	int minutes, sign = 1;
	switch (letter) {
	case 'd': return take_number(s, 2, &p->day);
	case 'G': return take_number(s, 4, &p->iso_year);
	case 'H': return take_number(s, 2, &p->hour);
	case 'j': return take_number(s, 3, &p->day_of_year);
	case 'L': return take_fraction(s, 3, &p->ms);
	case 'm': return take_number(s, 2, &p->month);
	case 'M': return take_number(s, 2, &p->minute);
	case 'S': return take_number(s, 2, &p->second);
	case 'u': return take_number(s, 1, &p->iso_day);
	case 'V': return take_number(s, 2, &p->iso_week);
	case 'Y': return take_number(s, 4, &p->year);
	case 'z': return take_zone(s, p);
	case 'Z':
		if (s->len && (s->p[0] == '+' || s->p[0] == '-')) {
			sign = s->p[0] == '-' ? -1 : 1;
			skip(s, 1);
		}
		if (p->has_offset || !take_number(s, 4, &minutes))
			return false;
		p->has_offset = true;
		p->offset_s = sign * minutes * 60;
		return true;
	case 'b':
	case 'B': return take_month(s, &p->month);
	default: return take_char(s, '%');
	}
}

static bool parse_by_format(struct slice s, struct slice f, struct parsed *p)
{
	for (size_t i = 0; i < f.len; i++) {
		bool ok = f.p[i] == '%' && i + 1 < f.len ? take_letter((char)f.p[++i], &s, p)
							 : take_char(&s, (char)f.p[i]);
		if (!ok)
			return false;
	}
	return s.len == 0;
}

/* ---- in the usual forms ---- */

/* 11am, 12:30, 12:30:15.5 pm; the hour has been read. */
static bool take_time(struct slice *s, struct parsed *p)
{
	if (take_char(s, ':') && !take_number(s, 2, &p->minute))
		return false;
	if (take_char(s, ':') && !take_number(s, 2, &p->second))
		return false;
	if (s->len > 1 && (s->p[0] == '.' || s->p[0] == ',') && is_digit(s->p[1])) {
		skip(s, 1);
		if (!take_fraction(s, 20, &p->ms))
			return false;
	}
	struct slice rest = *s;
	while (take_char(&rest, ' '))
		;
	if (letters_of(rest) == 2 && (rest.p[1] | 0x20) == 'm') {
		uint8_t which = rest.p[0] | 0x20;
		if ((which != 'a' && which != 'p') || p->hour < 1 || p->hour > 12)
			return false;
		p->hour = p->hour % 12 + (which == 'p' ? 12 : 0);
		skip(&rest, 2);
		*s = rest;
	}
	return true;
}

/* A number's meaning shows in what follows it. */
static bool take_numeric(struct slice *s, struct parsed *p, bool *has_time)
{
	size_t n = digits_of(*s);
	uint8_t next = n < s->len ? s->p[n] : 0;
	struct slice behind = { s->p + n, s->len - n };
	if (n == 8 && p->year == NONE)
		return take_number(s, 4, &p->year) && take_number(s, 2, &p->month) &&
		       take_number(s, 2, &p->day);
	if (n == 4 && (next == '-' || next == '/') && p->year == NONE && p->month == NONE) {
		bool ok = take_number(s, 4, &p->year) && take_char(s, (char)next) &&
			  take_number(s, 2, &p->month);
		if (!take_char(s, (char)next))
			return ok;
		return ok && take_number(s, 2, &p->day);
	}
	if (n == 4 && p->year == NONE)
		return take_number(s, 4, &p->year);
	if (n > 2)
		return false;
	if (next == '/' && p->month == NONE)
		return take_number(s, 2, &p->month) && take_char(s, '/') &&
		       take_number(s, 2, &p->day) && take_char(s, '/') && digits_of(*s) == 4 &&
		       take_number(s, 4, &p->year);
	while (take_char(&behind, ' '))
		;
	bool clock = letters_of(behind) == 2 && (behind.p[1] | 0x20) == 'm' &&
		     ((behind.p[0] | 0x20) == 'a' || (behind.p[0] | 0x20) == 'p');
	if ((next == ':' || clock) && !*has_time) {
		*has_time = true;
		return take_number(s, 2, &p->hour) && take_time(s, p);
	}
	if (p->day != NONE || !take_number(s, 2, &p->day))
		return false;
	if (letters_of(*s) == 2 && (strncasecmp((const char *)s->p, "st", 2) == 0 ||
				    strncasecmp((const char *)s->p, "nd", 2) == 0 ||
				    strncasecmp((const char *)s->p, "rd", 2) == 0 ||
				    strncasecmp((const char *)s->p, "th", 2) == 0))
		skip(s, 2);
	take_char(s, '-');
	return true;
}

static bool parse_freely(struct slice s, struct parsed *p)
{
	bool has_time = false;
	while (s.len) {
		size_t letters = letters_of(s);
		uint8_t b = s.p[0];
		if (b == ' ' || b == ',')
			skip(&s, 1);
		else if (is_digit(b)) {
			if (!take_numeric(&s, p, &has_time))
				return false;
		} else if ((b | 0x20) == 't' && letters == 1 && !has_time && p->year != NONE)
			skip(&s, 1);
		else if (letters && p->month == NONE && take_month(&s, &p->month))
			take_char(&s, '-');
		else if (letters && weekday_of_name(slice_of(s.p, letters)) >= 0)
			skip(&s, letters);
		else if (!take_zone(&s, p))
			return false;
	}
	return true;
}

/* ---- the whole ---- */

static bool in_range(int v, int low, int high)
{
	return v == NONE || (v >= low && v <= high);
}

/* NULL, or what is wrong. */
static const char *complete(const struct parsed *p, int64_t *local_ms)
{
	bool iso = p->iso_year != NONE || p->iso_week != NONE || p->iso_day != NONE;
	bool natural =
		p->year != NONE || p->month != NONE || p->day != NONE || p->day_of_year != NONE;
	int64_t days;
	if (iso && natural)
		return "ISO weeks and calendar dates are mixed";
	if (!in_range(p->hour, 0, 24) || !in_range(p->minute, 0, 59) || !in_range(p->second, 0, 60))
		return "the time is out of range";
	if (iso) {
		if (p->iso_year == NONE)
			return "the year is missing";
		if (!in_range(p->iso_week, 1, 53) || !in_range(p->iso_day, 1, 7))
			return "the week or weekday is out of range";
		days = days_of_isoweek(p->iso_year, p->iso_week == NONE ? 1 : p->iso_week,
				       p->iso_day == NONE ? 1 : p->iso_day);
	} else if (p->day_of_year != NONE) {
		if (p->year == NONE || !in_range(p->day_of_year, 1, 366))
			return "the day of the year is out of range, or the year is missing";
		days = days_of_date(p->year, 1, 1) + p->day_of_year - 1;
	} else {
		if (p->year == NONE)
			return "the year is missing";
		int month = p->month == NONE ? 1 : p->month, day = p->day == NONE ? 1 : p->day;
		if (!in_range(month, 1, 12) || !in_range(day, 1, 31))
			return "the month or day is out of range";
		days = days_of_date(p->year, month, day);
		if (month < 12 && days >= days_of_date(p->year, month + 1, 1))
			return "the month has no such day";
	}
	*local_ms = days * MS_PER_DAY + p->hour * MS_PER_HOUR + p->minute * MS_PER_MINUTE +
		    p->second * MS_PER_SECOND + p->ms;
	return NULL;
}

int date_parse(struct slice text, struct slice format, const struct timezone_ref *z, int64_t *ms,
	       struct err *e)
{
	struct parsed p = PARSED_INIT;
	int64_t local;
	bool ok = format.p ? parse_by_format(text, format, &p) : parse_freely(text, &p);
	const char *wrong = ok         ? complete(&p, &local)
			    : format.p ? "it does not have the format"
				       : "no known form";
	if (!wrong && !format.p && (p.month == NONE || p.day == NONE))
		wrong = "the date is incomplete";
	if (!wrong && p.has_offset && z)
		wrong = "it has an offset of its own besides the time zone";
	if (wrong)
		return err_number(e, ERR_FORMAT, 241, "text is not a date: %s", wrong);
	struct timezone_ref zone = p.has_offset ? (struct timezone_ref){ NULL, p.offset_s }
				   : z          ? *z
						: TIMEZONE_UTC;
	*ms = utc_of_local(local, zone);
	return 0;
}
