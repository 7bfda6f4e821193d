/* schema_format.c: the formats of draft 4: date-time, email, hostname, ipv4, ipv6, uri, regex. */
#include "doc/schema_tree.h"

#include "doc/regex.h"

/* A cursor over the text; every take_* returns false and stays where the text does not fit. */
struct cursor {
	const uint8_t *at, *end;
};

static struct cursor cursor_of(struct slice s)
{
	return (struct cursor){ s.p, s.p + s.len };
}

static bool take(struct cursor *c, const char *any_of)
{
	if (c->at == c->end || !*c->at || !strchr(any_of, *c->at))
		return false;
	c->at++;
	return true;
}

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter(uint8_t c)
{
	return (c | 32) >= 'a' && (c | 32) <= 'z';
}

static bool is_hex(uint8_t c)
{
	return is_digit(c) || ((c | 32) >= 'a' && (c | 32) <= 'f');
}

/* Exactly n digits, between lo and hi. */
static bool take_number(struct cursor *c, int n, int lo, int hi, int *out)
{
	int v = 0;
	if (c->end - c->at < n)
		return false;
	for (int i = 0; i < n; i++) {
		if (!is_digit(c->at[i]))
			return false;
		v = v * 10 + (c->at[i] - '0');
	}
	c->at += n;
	*out = v;
	return v >= lo && v <= hi;
}

static int days_of(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	return days[month - 1] + (month == 2 && leap);
}

/* RFC 3339. */
static bool is_date_time(struct slice s)
{
	struct cursor c = cursor_of(s);
	int year, month, day, n;
	if (!take_number(&c, 4, 0, 9999, &year) || !take(&c, "-") ||
	    !take_number(&c, 2, 1, 12, &month) || !take(&c, "-") ||
	    !take_number(&c, 2, 1, days_of(year, month), &day) || !take(&c, "Tt") ||
	    !take_number(&c, 2, 0, 23, &n) || !take(&c, ":") || !take_number(&c, 2, 0, 59, &n) ||
	    !take(&c, ":") || !take_number(&c, 2, 0, 60, &n))
		return false;
	if (take(&c, ".")) {
		if (!take(&c, "0123456789"))
			return false;
		while (take(&c, "0123456789"))
			;
	}
	if (take(&c, "Zz"))
		return c.at == c.end;
	return take(&c, "+-") && take_number(&c, 2, 0, 23, &n) && take(&c, ":") &&
	       take_number(&c, 2, 0, 59, &n) && c.at == c.end;
}

static bool is_ipv4(struct slice s)
{
	struct cursor c = cursor_of(s);
	for (int part = 0; part < 4; part++) {
		int digits = 0, v = 0;
		if (part && !take(&c, "."))
			return false;
		for (; c.at < c.end && is_digit(*c.at) && digits < 4; digits++)
			v = v * 10 + (*c.at++ - '0');
		if (digits == 0 || digits > 3 || v > 255)
			return false;
	}
	return c.at == c.end;
}

/* Eight groups of up to four hexadecimal digits; "::" once for one or more of zeros; the last two may be an IPv4
 * address. */
static bool is_ipv6(struct slice s)
{
	struct cursor c = cursor_of(s);
	int groups = 0;
	bool gap = false;
	if (s.len >= 2 && s.p[0] == ':' && s.p[1] == ':') {
		gap = true;
		c.at += 2;
	}
	while (c.at < c.end) {
		const uint8_t *start = c.at;
		while (c.at < c.end && is_hex(*c.at))
			c.at++;
		if (c.at < c.end && *c.at == '.') {
			groups += 2;
			if (!is_ipv4(slice_of(start, (size_t)(c.end - start))))
				return false;
			break;
		}
		if (c.at == start || c.at - start > 4)
			return false;
		groups++;
		if (c.at == c.end)
			break;
		if (!take(&c, ":") || c.at == c.end)
			return false;
		if (take(&c, ":")) {
			if (gap)
				return false;
			gap = true;
		}
	}
	return gap ? groups < 8 : groups == 8;
}

/* RFC 1034: labels of letters, digits and inner hyphens. */
static bool is_hostname(struct slice s)
{
	size_t label = 0;
	if (s.len == 0 || s.len > 255)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.p[i];
		bool last = i + 1 == s.len || s.p[i + 1] == '.';
		if (c == '.') {
			if (label == 0)
				return false;
			label = 0;
			continue;
		}
		if (++label > 63)
			return false;
		if (!is_letter(c) && !is_digit(c) && (c != '-' || label == 1 || last))
			return false;
	}
	return label > 0;
}

static bool is_email(struct slice s)
{
	const uint8_t *at = s.len ? memrchr(s.p, '@', s.len) : NULL;
	if (!at || at == s.p || at + 1 == s.p + s.len)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] <= ' ' || s.p[i] == 0x7f)
			return false;
	}
	return true;
}

/* scheme ":" and only characters that a URI may hold. */
static bool is_uri(struct slice s)
{
	size_t i = 0;
	while (i < s.len &&
	       (is_letter(s.p[i]) || (i && (is_digit(s.p[i]) || strchr("+-.", s.p[i])) && s.p[i])))
		i++;
	if (i == 0 || i == s.len || s.p[i] != ':')
		return false;
	for (; i < s.len; i++) {
		uint8_t c = s.p[i];
		if (c == '%' && (i + 2 >= s.len || !is_hex(s.p[i + 1]) || !is_hex(s.p[i + 2])))
			return false;
		if (!c || (!is_letter(c) && !is_digit(c) && !strchr("-._~:/?#[]@!$&'()*+,;=%", c)))
			return false;
	}
	return true;
}

/* ECMA 262 knows neither \A nor \Z nor \z. The only format that allocates: it compiles the text. */
static bool is_regex(struct slice s)
{
	for (size_t i = 0; i + 1 < s.len; i++) {
		if (s.p[i] != '\\')
			continue;
		i++;
		if (s.p[i] == 'A' || s.p[i] == 'Z' || s.p[i] == 'z')
			return false;
	}
	struct regex *r;
	if (regex_compile(s, SLICE_NONE, &r, NULL) < 0)
		return false;
	regex_free(r);
	return true;
}

static const struct {
	const char *name;
	schema_format *fn;
} formats[] = {
	{ "date-time", is_date_time }, { "email", is_email }, { "hostname", is_hostname },
	{ "ipv4", is_ipv4 },           { "ipv6", is_ipv6 },   { "uri", is_uri },
	{ "regex", is_regex },
};

schema_format *schema_find_format(struct slice name)
{
	for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
		if (slice_is(name, formats[i].name))
			return formats[i].fn;
	}
	return NULL;
}
