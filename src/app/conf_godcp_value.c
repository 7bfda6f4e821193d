/* conf_godcp_value.c: values as Go and its YAML library read them, written as weir's. */
#include "app/conf_godcp.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum { TEXT_BYTES = 64 };

/* ---- writing ---- */

/* ${NAME} as both know it. Anything else that begins so is plain text for go-dcp. */
static bool is_variable(const char *text)
{
	size_t n =
		strspn(text + 2, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789");
	return n && text[2 + n] == '}' && !(text[2] >= '0' && text[2] <= '9');
}

bool godcp_has_variable(const char *text)
{
	for (const char *p = text; (p = strstr(p, "${")) != NULL; p += 2)
		if (is_variable(p))
			return true;
	return false;
}

/* A scalar that reads back as it is. */
void godcp_put_scalar(struct buf *out, const char *text)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "_./:-";
	size_t n = strspn(text, plain);
	bool risky = !*text || text[n] || text[0] == '-' || text[strlen(text) - 1] == ':' ||
		     strcmp(text, "null") == 0;
	if (!risky) {
		buf_add_str(out, text);
		return;
	}
	buf_add_byte(out, '"');
	for (; *text; text++) {
		uint8_t c = (uint8_t)*text;
		if (c == '$' && text[1] == '{' && !is_variable(text))
			buf_add_str(out, "$$");
		else if (c == '"' || c == '\\')
			buf_add_fmt(out, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			buf_add_fmt(out, "\\x%02x", c);
		else
			buf_add_byte(out, c);
	}
	buf_add_byte(out, '"');
}

/* Text for a comment: what would end the line is left out. */
void godcp_put_comment(struct buf *out, const char *text)
{
	for (; *text; text++)
		buf_add_byte(out, (uint8_t)*text < 0x20 || *text == 0x7f ? ' ' : (uint8_t)*text);
}

void godcp_note(struct import *m, const struct conf_node *n, const char *key, const char *why)
{
	if (n)
		buf_add_fmt(&m->notes, "# line %u: %s: ", n->key_line, key);
	else
		buf_add_fmt(&m->notes, "# %s (not given): ", key);
	godcp_put_comment(&m->notes, why);
	buf_add_byte(&m->notes, '\n');
}

/* ---- values as Go reads them ---- */

static int bad(struct import *m, const struct given *g, const char *what)
{
	return conf_error(m->c, g->n, m->e, ERR_INVALID, "%s: '%.40s' is not %s", g->key, g->text,
			  what);
}

/* Into the row's limits; what was changed is said. */
static uint64_t limited(struct import *m, const struct given *g, uint64_t v)
{
	char why[128];
	uint64_t max = g->o->max ? g->o->max : UINT32_MAX;
	uint64_t in = MAX(MIN(v, max), g->o->min);
	if (in != v) {
		(void)snprintf(why, sizeof(why), "%.40s is %s than weir takes; %s is the nearest",
			       g->text, v < in ? "less" : "more", g->o->key);
		godcp_note(m, g->n, g->key, why);
	}
	return in;
}

/* Go's durations: "1h2m3.5s", "-1us". Milliseconds, rounded up. False: none, or less than nothing. */
static bool go_duration(const char *p, uint64_t *ms)
{
	static const struct {
		const char *unit;
		double ms;
	} units[] = { { "ns", 1e-6 }, { "us", 1e-3 }, { "\xC2\xB5s", 1e-3 }, { "\xCE\xBCs", 1e-3 },
		      { "ms", 1 },    { "s", 1000 },  { "m", 60000 },        { "h", 3600000 } };
	double sum = 0;
	p += *p == '+';
	if (strcmp(p, "0") == 0) {
		*ms = 0;
		return true;
	}
	do {
		size_t digits = strspn(p, "0123456789."), i = 0;
		char *end;
		if (!digits || digits > 30 || !strpbrk(p, "0123456789"))
			return false;
		double n = strtod(p, &end);
		if (end != p + digits)
			return false;
		size_t len = strcspn(end, "0123456789.");
		while (i < ARRAY_LEN(units) &&
		       !(strlen(units[i].unit) == len && memcmp(units[i].unit, end, len) == 0))
			i++;
		if (i == ARRAY_LEN(units))
			return false;
		sum += n * units[i].ms;
		p = end + len;
	} while (*p);
	if (sum > 9.2e12) /* 292 years, Go's longest */
		return false;
	*ms = (uint64_t)ceil(sum - 1e-9);
	return true;
}

/* 1 written, 0 as good as not given. */
static int put_duration(struct import *m, const struct given *g, struct buf *out)
{
	uint64_t ms, same;
	bool plain = dcp_parse_duration_ms(g->text, &same);
	if (!go_duration(g->text, &ms)) {
		bool number = *g->text && !g->text[strspn(g->text, "0123456789")];
		return number ? conf_error(m->c, g->n, m->e, ERR_INVALID,
					   "%s: '%.40s' has no unit; did you mean %.40ss?", g->key,
					   g->text, g->text)
			      : bad(m, g, "a duration such as 250ms, 10s or 1m30s");
	}
	if (ms == 0)
		return 0;
	uint64_t in = limited(m, g, ms);
	if (plain && same == in)
		buf_add_str(out, g->text);
	else
		buf_add_fmt(out, "%" PRIu64 "ms", in);
	return 1;
}

/* KB is 1024 there, the comma is a point. Written in the largest unit that holds it. */
static int put_size(struct import *m, const struct given *g, struct buf *out)
{
	static const char *const units[] = { "", "KiB", "MiB", "GiB" };
	char point[TEXT_BYTES];
	uint64_t bytes;
	size_t unit = 0;
	(void)snprintf(point, sizeof(point), "%s", g->text);
	for (char *p = point; *p; p++)
		*p = *p == ',' ? '.' : *p;
	if (!dcp_parse_size(point, 1024, &bytes))
		return bad(m, g, "a size such as 16mb");
	bytes = limited(m, g, bytes);
	for (; unit < 3 && bytes && bytes % 1024 == 0; unit++)
		bytes /= 1024;
	buf_add_fmt(out, "%" PRIu64 "%s", bytes, units[unit]);
	return 1;
}

/* 12, 1_000, 0x10, 0o17, 0b11. */
static bool go_integer(const char *text, uint64_t *out)
{
	char digits[TEXT_BYTES], *end;
	size_t n = 0;
	text += *text == '+';
	for (; *text && n + 1 < sizeof(digits); text++)
		if (*text != '_')
			digits[n++] = *text;
	digits[n] = '\0';
	if (*text || !(digits[0] >= '0' && digits[0] <= '9'))
		return false;
	int base = digits[0] != '0' || n == 1 ? 10
		   : (digits[1] | 32) == 'x'  ? 16
		   : (digits[1] | 32) == 'b'  ? 2
					      : 8;
	const char *p = digits + (base == 10 ? 0 : (digits[1] | 32) >= 'a' ? 2 : 1);
	*out = strtoull(p, &end, base);
	return *p && !*end;
}

int godcp_put_count(struct import *m, const struct given *g, struct buf *out)
{
	uint64_t n;
	if (!go_integer(g->text, &n))
		return bad(m, g, "a whole number");
	if (n == 0)
		return 0;
	buf_add_fmt(out, "%" PRIu64, limited(m, g, n));
	return 1;
}

static int put_seconds(struct import *m, const struct given *g, struct buf *out)
{
	uint64_t n;
	if (!go_integer(g->text, &n))
		return bad(m, g, "a whole number");
	if (n == 0)
		return 0;
	buf_add_fmt(out, "%" PRIu64 "s", limited(m, g, MIN(n, UINT32_MAX) * 1000) / 1000);
	return 1;
}

/* Go's library still takes YAML 1.1's words where a bool is wanted. */
static int put_flag(struct import *m, const struct given *g, bool turned, struct buf *out)
{
	static const char *const words[] = { "false", "true", "no", "yes", "off", "on", "n", "y" };
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcasecmp(g->text, words[i]) == 0) {
			buf_add_str(out, (i % 2 != 0) != turned ? "true" : "false");
			return 1;
		}
	return bad(m, g, "true or false");
}

/* 2026-1-2, 2026-1-2 3:4:5, 2026-01-02T03:04:05.6+01:00 */
static int put_time(struct import *m, const struct given *g, struct buf *out)
{
	int year, month, day, hour = 0, minute = 0, second = 0, date = 0, used = 0;
	const char *t = g->text;
	if (sscanf(t, "%4d-%2d-%2d%n", &year, &month, &day, &date) != 3 || date == 0)
		return bad(m, g, "a time such as 2026-01-31T10:00:00Z");
	t += date;
	if (*t && (!strchr("Tt ", *t) ||
		   sscanf(t + 1, "%2d:%2d:%2d%n", &hour, &minute, &second, &used) != 3))
		return bad(m, g, "a time such as 2026-01-31T10:00:00Z");
	t += used ? used + 1 : 0;
	size_t fraction = *t == '.' ? 1 + strspn(t + 1, "0123456789") : 0;
	const char *zone = t + fraction;
	buf_add_fmt(out, "%04d-%02d-%02dT%02d:%02d:%02d%.*s%s", year, month, day, hour, minute,
		    second, (int)MIN(fraction, (size_t)4), t, *zone ? zone : "Z");
	return 1;
}

/* go-dcp compares with one word and takes everything else for the other. */
static int put_choice(struct import *m, const struct given *g, const struct godcp_key *k,
		      struct buf *out)
{
	struct dcp_config scratch;
	char why[128];
	const char *text = g->text;
	if (k->way == GODCP_FROM)
		text = strcmp(text, "latest") == 0     ? "now"
		       : strcmp(text, "earliest") == 0 ? "oldest"
						       : text;
	int rc = dcp_config_init(&scratch, m->e);
	if (rc < 0)
		return rc;
	rc = dcp_option_set(&scratch, g->o, text, NULL);
	dcp_config_done(&scratch);
	if (rc == ERR_NOMEM)
		return err_nomem(m->e);
	if (rc < 0) {
		(void)snprintf(why, sizeof(why),
			       "'%.40s' is none of its words; go-dcp takes it for %s", g->text,
			       k->otherwise);
		godcp_note(m, g->n, g->key, why);
		text = k->otherwise;
	}
	godcp_put_scalar(out, text);
	return 1;
}

/* As weir takes it under its row; variables are taken on trust. */
int godcp_put_value(struct import *m, const struct given *g, const struct godcp_key *k,
		    struct buf *out)
{
	if (godcp_has_variable(g->text)) {
		godcp_put_scalar(out, g->text);
		return 1;
	}
	if (k->way == GODCP_SECONDS)
		return put_seconds(m, g, out);
	switch (g->o->kind) {
	case DCP_OPTION_TEXT:
	case DCP_OPTION_NAMES: godcp_put_scalar(out, g->text); return 1;
	case DCP_OPTION_FLAG: return put_flag(m, g, k->way == GODCP_NOT, out);
	case DCP_OPTION_COUNT: return godcp_put_count(m, g, out);
	case DCP_OPTION_SIZE: return put_size(m, g, out);
	case DCP_OPTION_DURATION: return put_duration(m, g, out);
	case DCP_OPTION_TIME: return put_time(m, g, out);
	case DCP_OPTION_CHOICE: return put_choice(m, g, k, out);
	}
	ASSERT(false);
	return 0;
}
