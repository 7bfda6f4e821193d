/* help.c: what people read: the overview, a group, one command. All of it comes from the tables. */
#include "cli/cli.h"

#include "weir/version.h"

#include <stdarg.h>
#include <string.h>

static void name_of(const struct command *c, char *out, size_t cap)
{
	if (c->group)
		snprintf(out, cap, "%s %s", c->group, c->name);
	else
		snprintf(out, cap, "%s", c->name);
}

int usage_error(const struct command *c, const char *fmt, ...)
{
	char name[64];
	va_list ap;
	va_start(ap, fmt);
	fputs("weir: ", stderr);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	if (c) {
		name_of(c, name, sizeof(name));
		fprintf(stderr, "\nusage: weir %s [OPTION...]%s%s\ntry 'weir %s --help'\n", name,
			*c->operands ? " " : "", c->operands, name);
	} else {
		fputs("\ntry 'weir help'\n", stderr);
	}
	return EXIT_USAGE;
}

static void summaries(const char *group, FILE *out)
{
	for (int i = 0; commands[i]; i++) {
		const struct command *c = commands[i];
		char name[64];
		if (group && (!c->group || strcmp(c->group, group) != 0))
			continue;
		name_of(c, name, sizeof(name));
		fprintf(out, "  %-24s %s\n", name, c->summary);
	}
}

/* ---- lines of 80 columns ---- */

#define COLUMNS 80
#define HELP_AT 33 /* where the words about an option stand */

/* Where the next word goes: column at of a line whose text begins at column indent. */
struct wrap {
	FILE *out;
	int at, indent;
};

/* Bytes that begin a character. */
static int columns_of(const char *s, size_t len)
{
	int n = 0;
	for (size_t i = 0; i < len; i++)
		n += ((unsigned char)s[i] & 0xc0) != 0x80;
	return n;
}

/* The words of s, whatever stands between them; one that is too long has a line of its own. */
static void words(struct wrap *w, const char *s, size_t len)
{
	for (size_t i = 0; i < len;) {
		size_t n = 0;
		while (i + n < len && s[i + n] != ' ' && s[i + n] != '\n')
			n++;
		int wide = columns_of(s + i, n);
		bool first = w->at == w->indent;
		if (n > 0 && !first && w->at + 1 + wide > COLUMNS) {
			fprintf(w->out, "\n%*s", w->indent, "");
			w->at = w->indent;
			first = true;
		}
		if (n > 0) {
			fprintf(w->out, "%s%.*s", first ? "" : " ", (int)n, s + i);
			w->at += wide + !first;
		}
		i += n + 1;
	}
}

/* Paragraphs are filled; one that begins with a space stands as it is (so does man.c). */
static void paragraphs(const char *s, FILE *out)
{
	while (*s) {
		const char *end = strstr(s, "\n\n");
		size_t len = end ? (size_t)(end - s) : strlen(s);
		if (s[0] == ' ')
			fprintf(out, "%.*s", (int)len, s);
		else
			words(&(struct wrap){ .out = out }, s, len);
		fputs(end ? "\n\n" : "\n", out);
		s += len + (end ? 2 : 0);
	}
}

void help_overview(FILE *out)
{
	fprintf(out,
		"weir %s: a durable change log, change streams over it, and a language to filter "
		"them\n\n"
		"usage: weir COMMAND [OPTION...] [OPERAND...]\n\n",
		WEIR_VERSION);
	summaries(NULL, out);
	fputs("\nA first look:\n"
	      "  weir oplog append ./log shop.orders insert '{\"_id\": 1, \"qty\": 2}'\n"
	      "  weir watch ./log shop.orders --from oldest\n"
	      "\n'weir COMMAND --help' tells more; 'weir help --exit-codes' lists the exit "
	      "codes.\n",
	      out);
}

void help_group(const char *group, FILE *out)
{
	fprintf(out, "usage: weir %s COMMAND [OPTION...] [OPERAND...]\n\n", group);
	summaries(group, out);
	fprintf(out, "\n'weir %s COMMAND --help' tells more.\n", group);
}

static void option_line(const struct option_row *o, FILE *out)
{
	char left[64], letter[8] = "    ", more[256];
	struct wrap w = { .out = out, .at = HELP_AT, .indent = HELP_AT };
	if (o->letter)
		snprintf(letter, sizeof(letter), "-%c, ", o->letter);
	snprintf(left, sizeof(left), "%s--%s%s%s", letter, o->name, o->arg ? " " : "",
		 o->arg ? o->arg : "");
	if (strlen(left) > 30)
		fprintf(out, "  %s\n%*s", left, HELP_AT, "");
	else
		fprintf(out, "  %-30s ", left);
	words(&w, o->help, strlen(o->help));
	if (o->choices)
		words(&w, more, (size_t)snprintf(more, sizeof(more), "(%s)", o->choices));
	if (o->def)
		words(&w, more, (size_t)snprintf(more, sizeof(more), "[%s]", o->def));
	fputc('\n', out);
}

void help_command(const struct command *c, FILE *out)
{
	char name[64];
	name_of(c, name, sizeof(name));
	struct wrap title = { .out = out };
	words(&title, "weir", 4);
	words(&title, name, strlen(name));
	fputc(':', out);
	title.at++;
	words(&title, c->summary, strlen(c->summary));
	fprintf(out, "\n\nusage: weir %s%s%s%s\n", name, c->options[0].name ? " [OPTION...]" : "",
		*c->operands ? " " : "", c->operands);
	if (c->details) {
		fputc('\n', out);
		paragraphs(c->details, out);
	}
	if (c->options[0].name)
		fputs("\noptions:\n", out);
	for (int i = 0; c->options[i].name; i++)
		option_line(&c->options[i], out);
	if (!c->examples)
		return;
	fputs("\nexamples:\n", out);
	for (const char *p = c->examples; *p;) {
		size_t line = strcspn(p, "\n"), tab = strcspn(p, "\t");
		if (tab < line) {
			fprintf(out, "  # %.*s\n", (int)(line - tab - 1), p + tab + 1);
			fprintf(out, "  %.*s\n", (int)tab, p);
		} else {
			fprintf(out, "  %.*s\n", (int)line, p);
		}
		p += line + (p[line] == '\n');
	}
}
