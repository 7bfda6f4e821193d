/* args.c: argv against a command's option rows. Options may stand before, between and after operands;
 * --name VALUE, --name=VALUE, -nVALUE and -n VALUE are the same; -- ends the options. */
#include "cli/cli.h"

#include "base/base.h"
#include "base/suggest.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

static int row_of(const struct command *c, const char *name, size_t len)
{
	for (int i = 0; c->options[i].name; i++)
		if (strlen(c->options[i].name) == len &&
		    strncmp(c->options[i].name, name, len) == 0)
			return i;
	return -1;
}

static int row_of_letter(const struct command *c, char letter)
{
	for (int i = 0; c->options[i].name; i++)
		if (c->options[i].letter && c->options[i].letter == letter)
			return i;
	return -1;
}

bool parse_size(const char *text, uint64_t *out)
{
	static const struct {
		const char *unit;
		uint64_t factor;
	} units[] = {
		{ "", 1 },
		{ "B", 1 },
		{ "kB", 1000 },
		{ "KB", 1000 },
		{ "MB", 1000 * 1000 },
		{ "GB", 1000 * 1000 * 1000 },
		{ "KiB", 1 << 10 },
		{ "MiB", 1 << 20 },
		{ "GiB", 1 << 30 },
		{ "TiB", UINT64_C(1) << 40 },
	};
	if (!isdigit((unsigned char)*text))
		return false;
	char *end;
	errno = 0;
	unsigned long long v = strtoull(text, &end, 10);
	if (errno)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		uint64_t bytes;
		if (strcmp(end, units[i].unit) == 0 &&
		    !__builtin_mul_overflow((uint64_t)v, units[i].factor, &bytes)) {
			*out = bytes;
			return true;
		}
	}
	return false;
}

bool parse_duration_ms(const char *text, int64_t *out)
{
	static const struct {
		const char *unit;
		int64_t ms;
	} units[] = {
		{ "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 }
	};
	if (!isdigit((unsigned char)*text))
		return false;
	char *end;
	errno = 0;
	long long v = strtoll(text, &end, 10);
	if (errno)
		return false;
	if (*end == '\0' && v == 0) {
		*out = 0;
		return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		int64_t ms;
		if (strcmp(end, units[i].unit) == 0 &&
		    !__builtin_mul_overflow((int64_t)v, units[i].ms, &ms)) {
			*out = ms;
			return true;
		}
	}
	return false;
}

static bool parse_zone(const char *p, int *offset_s)
{
	int h, m, n = 0;
	if (strcmp(p, "Z") == 0 || strcmp(p, "z") == 0 || *p == '\0') {
		*offset_s = 0;
		return true;
	}
	if ((*p != '+' && *p != '-') || sscanf(p + 1, "%2d:%2d%n", &h, &m, &n) != 2 || p[1 + n] ||
	    h > 23 || m > 59)
		return false;
	*offset_s = (h * 3600 + m * 60) * (*p == '-' ? -1 : 1);
	return true;
}

bool parse_time_ms(const char *text, int64_t *out)
{
	int64_t ago;
	if (*text == '-' && parse_duration_ms(text + 1, &ago)) {
		struct timespec now;
		clock_gettime(CLOCK_REALTIME, &now);
		*out = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 - ago;
		return true;
	}
	char *end;
	errno = 0;
	long long ms = strtoll(text, &end, 10);
	if (end != text && *end == '\0' && errno == 0) {
		*out = ms;
		return true;
	}
	struct tm tm = { 0 };
	int n = 0;
	if (sscanf(text, "%4d-%2d-%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &n) != 3 || n != 10)
		return false;
	int fraction = 0, offset_s = 0;
	const char *p = text + n;
	if (*p == 'T' || *p == 't' || *p == ' ') {
		n = 0;
		if (sscanf(p + 1, "%2d:%2d:%2d%n", &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &n) != 3 ||
		    n != 8)
			return false;
		p += 1 + n;
		if (*p == '.') {
			int scale = 100;
			for (p++; isdigit((unsigned char)*p); p++, scale /= 10)
				fraction += (*p - '0') * scale;
		}
		if (!parse_zone(p, &offset_s))
			return false;
	} else if (*p) {
		return false;
	}
	if (tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 ||
	    tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
		return false;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	*out = ((int64_t)timegm(&tm) - offset_s) * 1000 + fraction;
	return true;
}

static bool choice_ok(const char *choices, const char *text)
{
	size_t len = strlen(text);
	for (const char *p = choices; *p;) {
		size_t n = strcspn(p, "|");
		if (n == len && strncmp(p, text, n) == 0)
			return true;
		p += n + (p[n] == '|');
	}
	return false;
}

/* What is wrong with an option's text, or NULL. */
static const char *text_fault(const struct option_row *o, const char *text)
{
	uint64_t u;
	int64_t ms;
	switch (o->kind) {
	case OPTION_FLAG:
	case OPTION_TEXT:
	case OPTION_FILE: return *text || o->kind == OPTION_TEXT ? NULL : "must not be empty";
	case OPTION_COUNT: {
		char *end;
		errno = 0;
		(void)strtoull(text, &end, 10);
		return isdigit((unsigned char)*text) && !*end && !errno ? NULL
									: "must be a whole number";
	}
	case OPTION_SIZE:
		return parse_size(text, &u) ? NULL : "must be a size such as 65536, 64KiB or 10MB";
	case OPTION_DURATION:
		return parse_duration_ms(text, &ms)
			       ? NULL
			       : "must be a duration such as 250ms, 30s, 5m, 12h or 7d";
	case OPTION_CHOICE: return choice_ok(o->choices, text) ? NULL : "must be one of";
	}
	return NULL;
}

static int set(struct args *a, int row, const char *text)
{
	const struct option_row *o = &a->command->options[row];
	const char *fault = o->kind == OPTION_FLAG ? NULL : text_fault(o, text);
	if (fault && o->kind == OPTION_CHOICE)
		return usage_error(a->command, "--%s %s one of %s, not '%s'", o->name, "must be",
				   o->choices, text);
	if (fault)
		return usage_error(a->command, "--%s %s, not '%s'", o->name, fault, text);
	if (a->given[row])
		return usage_error(a->command, "--%s is given twice", o->name);
	a->value[row] = text;
	a->given[row] = true;
	return EXIT_OK;
}

static int unknown(const struct command *c, const char *word, size_t len)
{
	const char *names[OPTIONS_MAX + 2];
	size_t n = 0;
	for (; c->options[n].name; n++)
		names[n] = c->options[n].name;
	names[n++] = "help";
	names[n] = NULL;
	char name[64];
	snprintf(name, sizeof(name), "%.*s", (int)MIN(len, sizeof(name) - 1), word);
	const char *near = suggest(name, names);
	if (near)
		return usage_error(c, "unknown option --%s; did you mean --%s?", name, near);
	return usage_error(c, "unknown option --%s", name);
}

/* One long option at argv[i]; *i moves over its argument. */
static int parse_long(struct args *a, int argc, const char *const *argv, int *i)
{
	const char *word = argv[*i] + 2;
	size_t len = strcspn(word, "=");
	int row = row_of(a->command, word, len);
	if (row < 0)
		return unknown(a->command, word, len);
	const struct option_row *o = &a->command->options[row];
	if (o->kind == OPTION_FLAG)
		return word[len] ? usage_error(a->command, "--%s takes no argument", o->name)
				 : set(a, row, "yes");
	if (word[len] == '=')
		return set(a, row, word + len + 1);
	if (*i + 1 >= argc)
		return usage_error(a->command, "--%s needs %s", o->name, o->arg);
	return set(a, row, argv[++*i]);
}

static int parse_letters(struct args *a, int argc, const char *const *argv, int *i, bool *help)
{
	for (const char *p = argv[*i] + 1; *p; p++) {
		int row = row_of_letter(a->command, *p);
		if (row < 0 && *p == 'h') {
			*help = true;
			return EXIT_OK;
		}
		if (row < 0)
			return usage_error(a->command, "unknown option -%c", *p);
		const struct option_row *o = &a->command->options[row];
		if (o->kind == OPTION_FLAG) {
			int rc = set(a, row, "yes");
			if (rc)
				return rc;
			continue;
		}
		if (p[1])
			return set(a, row, p + 1);
		if (*i + 1 >= argc)
			return usage_error(a->command, "-%c needs %s", *p, o->arg);
		return set(a, row, argv[++*i]);
	}
	return EXIT_OK;
}

int args_parse(const struct command *c, int argc, const char *const *argv, struct args *out,
	       bool *help)
{
	static const char *operand[1024];
	*out = (struct args){ .command = c, .operand = operand };
	*help = false;
	for (int i = 0; c->options[i].name; i++)
		out->value[i] = c->options[i].def;
	bool only_operands = false;
	for (int i = 0; i < argc; i++) {
		const char *w = argv[i];
		int rc = EXIT_OK;
		if (!only_operands && strcmp(w, "--") == 0) {
			only_operands = true;
		} else if (!only_operands && strcmp(w, "--help") == 0) {
			*help = true;
			return EXIT_OK;
		} else if (!only_operands && strncmp(w, "--", 2) == 0) {
			rc = parse_long(out, argc, argv, &i);
		} else if (!only_operands && w[0] == '-' && w[1]) {
			rc = parse_letters(out, argc, argv, &i, help);
			if (*help)
				return EXIT_OK;
		} else if (out->n_operands == (int)ARRAY_LEN(operand)) {
			return usage_error(c, "too many operands");
		} else {
			operand[out->n_operands++] = w;
		}
		if (rc)
			return rc;
	}
	if (out->n_operands < c->operands_min)
		return usage_error(c, "%s",
				   c->operands_min == 1 ? "an operand is missing"
							: "operands are missing");
	if (c->operands_max >= 0 && out->n_operands > c->operands_max)
		return usage_error(c, "one operand too many: '%s'", operand[c->operands_max]);
	return EXIT_OK;
}

static int row(const struct args *a, const char *name)
{
	int i = row_of(a->command, name, strlen(name));
	ASSERT(i >= 0);
	return i;
}

const char *args_text(const struct args *a, const char *name)
{
	return a->value[row(a, name)];
}

bool args_flag(const struct args *a, const char *name)
{
	return a->value[row(a, name)] != NULL;
}

bool args_given(const struct args *a, const char *name)
{
	return a->given[row(a, name)];
}

uint64_t args_count(const struct args *a, const char *name)
{
	uint64_t v = 0;
	const char *text = args_text(a, name);
	if (text)
		(void)parse_size(text, &v);
	return v;
}

int64_t args_duration_ms(const struct args *a, const char *name)
{
	int64_t v = -1;
	const char *text = args_text(a, name);
	if (text)
		(void)parse_duration_ms(text, &v);
	return v;
}

bool args_choice(const struct args *a, const char *name, const char *choice)
{
	const char *text = args_text(a, name);
	return text && strcmp(text, choice) == 0;
}

void format_time_ms(int64_t ms, char out[40])
{
	time_t s = (time_t)(ms / 1000);
	int fraction = (int)(ms % 1000);
	if (fraction < 0) {
		fraction += 1000;
		s--;
	}
	struct tm tm;
	char day[32];
	gmtime_r(&s, &tm);
	strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out, 40, "%s.%03dZ", day, fraction);
}
