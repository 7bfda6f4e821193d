/* timezone.c: names to offsets.
 *
 * TZif (RFC 8536): a header, 32-bit data for old readers, then (version 2 and later) a second header, 64-bit data and a
 * footer: the rule for all later times as a POSIX TZ string.
 *
 *	"TZif" version 15 zero bytes, six counts (be32): isut, isstd, leap, time, type, char
 *	transition times | type index each | types: offset be32, dst, abbreviation index | names | leap | isstd | isut
 *	\n TZ string \n
 *
 * Before the first transition the first type that is not daylight saving counts. After the last: the TZ string, computed
 * year by year.
 */
#include "doc/timezone.h"

#include "base/mem.h"
#include "base/slice.h"
#include "doc/datetime.h"

#include <stdlib.h>

/* One half of the yearly rule: M3.2.0/2, J60, 59. */
struct tz_rule {
	enum { RULE_JULIAN, RULE_DAY, RULE_MONTH } kind;
	int month, week, day;
	int32_t time_s;
};

struct tz_tail {
	bool exists, has_dst;
	int32_t std_s, dst_s; /* seconds east */
	struct tz_rule start, end;
};

struct timezone_data {
	struct timezone_data *next;
	char name[TIMEZONE_NAME_MAX + 1];
	int64_t *at;     /* transitions, ascending */
	int32_t *offset; /* from each on */
	size_t n;
	int32_t first_offset;
	struct tz_tail tail;
	bool out_of_memory; /* while reading */
};

static timezone_load *loader;

void timezone_set_loader(timezone_load *load)
{
	loader = load;
}

/* ---- the TZ string ---- */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool read_int(const char **p, int max, int *out)
{
	int v = 0;
	if (!is_digit(**p))
		return false;
	for (; is_digit(**p); (*p)++) {
		v = v * 10 + (**p - '0');
		if (v > max)
			return false;
	}
	*out = v;
	return true;
}

/* [+-]hh[:mm[:ss]] */
static bool read_time(const char **p, int32_t *out)
{
	int sign = 1, part[3] = { 0, 0, 0 };
	if (**p == '+' || **p == '-')
		sign = *(*p)++ == '-' ? -1 : 1;
	for (int i = 0; i < 3; i++) {
		if (i && **p != ':')
			break;
		if (i)
			(*p)++;
		if (!read_int(p, i ? 59 : 167, &part[i]))
			return false;
	}
	*out = sign * (part[0] * 3600 + part[1] * 60 + part[2]);
	return true;
}

static bool skip_name(const char **p)
{
	const char *start = *p;
	if (**p == '<') {
		while (**p && **p != '>')
			(*p)++;
		return *(*p)++ == '>';
	}
	while ((**p >= 'A' && **p <= 'Z') || (**p >= 'a' && **p <= 'z'))
		(*p)++;
	return *p - start >= 3;
}

static bool read_rule(const char **p, struct tz_rule *r)
{
	r->time_s = 7200;
	if (*(*p)++ != ',')
		return false;
	if (**p == 'M') {
		(*p)++;
		r->kind = RULE_MONTH;
		if (!read_int(p, 12, &r->month) || r->month < 1 || *(*p)++ != '.' ||
		    !read_int(p, 5, &r->week) || r->week < 1 || *(*p)++ != '.' ||
		    !read_int(p, 6, &r->day))
			return false;
	} else {
		r->kind = **p == 'J' ? RULE_JULIAN : RULE_DAY;
		*p += **p == 'J';
		if (!read_int(p, 365, &r->day))
			return false;
	}
	if (**p != '/')
		return true;
	(*p)++;
	return read_time(p, &r->time_s);
}

static bool read_tail(const char *p, struct tz_tail *t)
{
	int32_t west;
	if (!skip_name(&p) || !read_time(&p, &west))
		return false;
	t->std_s = -west;
	t->exists = true;
	if (!*p)
		return true;
	if (!skip_name(&p))
		return false;
	t->dst_s = t->std_s + 3600;
	if (*p != ',') {
		if (!read_time(&p, &west))
			return false;
		t->dst_s = -west;
	}
	t->has_dst = true;
	return read_rule(&p, &t->start) && read_rule(&p, &t->end) && !*p;
}

/* Local seconds since 1970 at which the rule applies in a year. */
static int64_t rule_at(const struct tz_rule *r, int64_t year)
{
	int64_t days = 0;
	switch (r->kind) {
	case RULE_JULIAN: /* 1 to 365, February 29th is never counted */
		days = days_of_date(year, 1, 1) + r->day - 1;
		if (r->day >= 60 && days_in_month(year, 2) == 29)
			days++;
		break;
	case RULE_DAY: days = days_of_date(year, 1, 1) + r->day; break;
	case RULE_MONTH:
		days = days_of_date(year, r->month, 1);
		days += (r->day - weekday_of_days(days) + 7) % 7 + (r->week - 1) * 7;
		if (days >= days_of_date(year, r->month, 1) + days_in_month(year, r->month))
			days -= 7;
		break;
	}
	return days * 86400 + r->time_s;
}

static int32_t tail_offset(const struct tz_tail *t, int64_t utc_s)
{
	if (!t->has_dst)
		return t->std_s;
	struct datetime now;
	if (utc_s < INT64_MIN / 2000 || utc_s > INT64_MAX / 2000)
		return t->std_s;
	datetime_of_ms((utc_s + t->std_s) * 1000, &now);
	int64_t start = rule_at(&t->start, now.year) - t->std_s;
	int64_t end = rule_at(&t->end, now.year) - t->dst_s;
	bool dst = start < end ? utc_s >= start && utc_s < end : utc_s >= start || utc_s < end;
	return dst ? t->dst_s : t->std_s;
}

/* ---- TZif ---- */

enum { TZIF_HEADER = 44, TRANSITIONS_MAX = 100000, TYPES_MAX = 256 };

struct tzif_counts {
	uint32_t isut, isstd, leap, time, type, chars;
};

static bool read_header(struct slice s, struct tzif_counts *c, uint8_t *version)
{
	if (s.len < TZIF_HEADER || memcmp(s.p, "TZif", 4) != 0)
		return false;
	*version = s.p[4];
	*c = (struct tzif_counts){ get_be32(s.p + 20), get_be32(s.p + 24), get_be32(s.p + 28),
				   get_be32(s.p + 32), get_be32(s.p + 36), get_be32(s.p + 40) };
	return c->time <= TRANSITIONS_MAX && c->type > 0 && c->type <= TYPES_MAX &&
	       c->leap <= 1000 && c->chars <= 10000 && c->isut <= TYPES_MAX &&
	       c->isstd <= TYPES_MAX;
}

static size_t body_bytes(const struct tzif_counts *c, size_t time_bytes)
{
	return c->time * (time_bytes + 1) + c->type * 6 + c->chars + c->leap * (time_bytes + 4) +
	       c->isstd + c->isut;
}

static bool read_body(struct slice s, const struct tzif_counts *c, size_t time_bytes,
		      struct timezone_data *z)
{
	if (s.len < body_bytes(c, time_bytes))
		return false;
	const uint8_t *times = s.p, *index = times + c->time * time_bytes, *types = index + c->time;
	z->at = mem_try_array(c->time ? c->time : 1, sizeof(*z->at));
	z->offset = mem_try_array(c->time ? c->time : 1, sizeof(*z->offset));
	if (!z->at || !z->offset) {
		z->out_of_memory = true;
		return false;
	}
	for (uint32_t i = 0; i < c->time; i++) {
		if (index[i] >= c->type)
			return false;
		z->at[i] = time_bytes == 8 ? (int64_t)get_be64(times + 8 * i)
					   : (int32_t)get_be32(times + 4 * i);
		z->offset[i] = (int32_t)get_be32(types + 6 * index[i]);
		if (i && z->at[i] <= z->at[i - 1])
			return false;
	}
	z->n = c->time;
	for (uint32_t i = c->type; i-- > 0;)
		if (types[6 * i + 4] == 0)
			z->first_offset = (int32_t)get_be32(types + 6 * i);
	return true;
}

static bool read_footer(struct slice s, struct timezone_data *z)
{
	char text[128];
	if (s.len < 2 || s.p[0] != '\n')
		return true;
	const uint8_t *end = memchr(s.p + 1, '\n', s.len - 1);
	if (!end || (size_t)(end - s.p) > sizeof(text))
		return false;
	size_t n = (size_t)(end - s.p) - 1;
	memcpy(text, s.p + 1, n);
	text[n] = '\0';
	return n == 0 || read_tail(text, &z->tail);
}

static bool read_tzif(struct slice s, struct timezone_data *z)
{
	struct tzif_counts c;
	uint8_t version;
	if (!read_header(s, &c, &version))
		return false;
	s = slice_of(s.p + TZIF_HEADER, s.len - TZIF_HEADER);
	if (version < '2')
		return read_body(s, &c, 4, z);
	size_t skip = body_bytes(&c, 4);
	if (s.len < skip)
		return false;
	s = slice_of(s.p + skip, s.len - skip);
	if (!read_header(s, &c, &version))
		return false;
	s = slice_of(s.p + TZIF_HEADER, s.len - TZIF_HEADER);
	if (!read_body(s, &c, 8, z))
		return false;
	skip = body_bytes(&c, 8);
	return read_footer(slice_of(s.p + skip, s.len - skip), z);
}

/* ---- finding ---- */

static int unknown(struct slice name, struct err *e)
{
	return err_number(e, ERR_INVALID, 40485, "unknown time zone '" SLICE_FMT "'",
			  (int)MIN(name.len, (size_t)TIMEZONE_NAME_MAX), (const char *)name.p);
}

/* ±HH, ±HHMM, ±HH:MM */
static bool fixed_offset(struct slice s, int32_t *out)
{
	int digit[4] = { 0, 0, 0, 0 };
	size_t n = 0;
	for (size_t i = 1; i < s.len; i++) {
		if (s.p[i] == ':' && i == 3 && s.len == 6)
			continue;
		if (!is_digit((char)s.p[i]) || n == 4)
			return false;
		digit[n++] = s.p[i] - '0';
	}
	if (n != 2 && n != 4)
		return false;
	int minutes = digit[2] * 10 + digit[3];
	if (minutes > 59)
		return false;
	int32_t seconds = (digit[0] * 10 + digit[1]) * 3600 + minutes * 60;
	*out = s.p[0] == '-' ? -seconds : seconds;
	return true;
}

static bool is_safe_name(struct slice s)
{
	if (s.len == 0 || s.len > TIMEZONE_NAME_MAX || s.p[0] == '/' || s.p[0] == '.')
		return false;
	for (size_t i = 0; i < s.len; i++) {
		uint8_t b = s.p[i];
		bool ok = (b >= 'A' && b <= 'Z') || (b >= 'a' && b <= 'z') || is_digit((char)b) ||
			  b == '+' || b == '-' || b == '_' || b == '/';
		if (!ok)
			return false;
	}
	return true;
}

static void zone_free(struct timezone_data *z)
{
	if (!z)
		return;
	mem_free(z->at);
	mem_free(z->offset);
	mem_free(z);
}

static int load_zone(struct slice name, struct timezone_data **out, struct err *e)
{
	AUTO(buf) struct buf file = BUF_INIT;
	struct timezone_data *z = mem_try(sizeof(*z));
	if (!z)
		return err_nomem(e);
	memcpy(z->name, name.p, name.len);
	int rc = loader(z->name, &file, e);
	if (rc == ERR_NOTFOUND)
		rc = unknown(name, e);
	else if (rc == 0 && !read_tzif(buf_slice(&file), z))
		rc = z->out_of_memory
			     ? err_nomem(e)
			     : err_set(e, ERR_FORMAT, "time zone %s: its file is damaged", z->name);
	if (rc < 0) {
		zone_free(z);
		return rc;
	}
	*out = z;
	return 0;
}

void timezone_cache_done(struct timezone_cache *cache)
{
	while (cache->first) {
		struct timezone_data *z = cache->first;
		cache->first = z->next;
		zone_free(z);
	}
	cache->n = 0;
}

static int find_zone(struct timezone_cache *cache, struct slice name,
		     const struct timezone_data **out, struct err *e)
{
	struct timezone_data *z = cache->first;
	while (z && !slice_is(name, z->name))
		z = z->next;
	if (!z) {
		if (cache->n >= TIMEZONE_MAX)
			return err_set(e, ERR_LIMIT, "more than %d time zones", TIMEZONE_MAX);
		int rc = load_zone(name, &z, e);
		if (rc < 0)
			return rc;
		z->next = cache->first;
		cache->first = z;
		cache->n++;
	}
	*out = z;
	return 0;
}

int timezone_find(struct timezone_cache *cache, struct slice name, struct timezone_ref *out,
		  struct err *e)
{
	struct timezone_ref z = { NULL, 0 };
	if (slice_is(name, "UTC") || slice_is(name, "GMT") || slice_is(name, "Z")) {
		*out = z;
		return 0;
	}
	if (name.len && (name.p[0] == '+' || name.p[0] == '-')) {
		if (!fixed_offset(name, &z.offset_s))
			return unknown(name, e);
		*out = z;
		return 0;
	}
	if (!loader || !is_safe_name(name))
		return unknown(name, e);
	int rc = find_zone(cache, name, &z.data, e);
	if (rc == 0)
		*out = z;
	return rc;
}

int32_t timezone_offset_at(struct timezone_ref ref, int64_t utc_s)
{
	const struct timezone_data *z = ref.data;
	if (!z)
		return ref.offset_s;
	if (z->n == 0 || utc_s < z->at[0])
		return z->n == 0 && z->tail.exists ? tail_offset(&z->tail, utc_s) : z->first_offset;
	if (utc_s >= z->at[z->n - 1])
		return z->tail.exists ? tail_offset(&z->tail, utc_s) : z->offset[z->n - 1];
	size_t low = 0, high = z->n - 1; /* at[low] <= utc_s < at[high] */
	while (high - low > 1) {
		size_t mid = low + (high - low) / 2;
		if (z->at[mid] <= utc_s)
			low = mid;
		else
			high = mid;
	}
	return z->offset[low];
}

int64_t timezone_to_utc(struct timezone_ref z, int64_t local_s)
{
	if (!z.data)
		return local_s - z.offset_s;
	/* The offsets a day before and after are the two that can count. */
	int32_t before = timezone_offset_at(z, local_s - 86400 - 50400);
	int32_t after = timezone_offset_at(z, local_s + 86400 + 50400);
	int64_t early = local_s - before, late = local_s - after;
	if (timezone_offset_at(z, early) == before)
		return early;
	if (timezone_offset_at(z, late) == after)
		return late;
	/* Two changes within these days, or a local time that was skipped. */
	int32_t mid = timezone_offset_at(z, early);
	if (timezone_offset_at(z, local_s - mid) == mid)
		return local_s - mid;
	return early;
}
