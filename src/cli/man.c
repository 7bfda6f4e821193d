/* man.c: weir(1) in man(7) macros, from the same tables as --help. */
#include "cli/cli.h"

#include "weir/version.h"

#include <string.h>

/* Text with what troff would take for requests escaped. */
static void text(const char *s, size_t len, FILE *out)
{
	bool line_start = true;
	for (size_t i = 0; i < len; i++) {
		if (line_start && (s[i] == '.' || s[i] == '\''))
			fputs("\\&", out);
		if (s[i] == '\\')
			fputs("\\e", out);
		else if (s[i] == '-')
			fputs("\\-", out);
		else
			fputc(s[i], out);
		line_start = s[i] == '\n';
	}
}

static void str(const char *s, FILE *out)
{
	text(s, strlen(s), out);
}

static void paragraphs(const char *s, FILE *out)
{
	while (*s) {
		const char *end = strstr(s, "\n\n");
		size_t len = end ? (size_t)(end - s) : strlen(s);
		bool as_is = s[0] == ' ';
		fputs(as_is ? ".PP\n.nf\n" : ".PP\n", out);
		text(s, len, out);
		fputs(as_is ? "\n.fi\n" : "\n", out);
		s += len + (end ? 2 : 0);
	}
}

static void option(const struct option_row *o, FILE *out)
{
	fputs(".TP\n", out);
	if (o->letter)
		fprintf(out, "\\fB\\-%c\\fR, ", o->letter);
	fputs("\\fB\\-\\-", out);
	str(o->name, out);
	fputs("\\fR", out);
	if (o->arg) {
		fputs(" \\fI", out);
		str(o->arg, out);
		fputs("\\fR", out);
	}
	fputc('\n', out);
	str(o->help, out);
	if (o->choices) {
		fputs(" (", out);
		str(o->choices, out);
		fputc(')', out);
	}
	if (o->def) {
		fputs("; default: ", out);
		str(o->def, out);
	}
	fputs(".\n", out);
}

static void command(const struct command *c, FILE *out)
{
	fputs(".SS weir ", out);
	if (c->group)
		fprintf(out, "%s ", c->group);
	fprintf(out, "%s%s", c->name, c->options[0].name ? " [OPTION...]" : "");
	fputs(*c->operands ? " " : "", out);
	str(c->operands, out);
	fputc('\n', out);
	str(c->summary, out);
	fputs(".\n", out);
	if (c->details)
		paragraphs(c->details, out);
	for (int i = 0; c->options[i].name; i++)
		option(&c->options[i], out);
	if (!c->examples)
		return;
	fputs(".PP\nExamples:\n", out);
	for (const char *p = c->examples; *p;) {
		size_t line = strcspn(p, "\n"), tab = strcspn(p, "\t");
		fputs(".PP\n", out);
		if (tab < line) {
			text(p + tab + 1, line - tab - 1, out);
			fputc(':', out);
		}
		fputs("\n.nf\n    ", out);
		text(p, tab < line ? tab : line, out);
		fputs("\n.fi\n", out);
		p += line + (p[line] == '\n');
	}
}

void man_page(FILE *out)
{
	fprintf(out, ".TH WEIR 1 \"\" \"weir %s\" \"User Commands\"\n", WEIR_VERSION);
	fputs(".SH NAME\nweir \\- a durable change log, change streams over it, and a language to "
	      "filter them\n"
	      ".SH SYNOPSIS\n.B weir\n.I COMMAND\n[OPTION...] [OPERAND...]\n"
	      ".SH DESCRIPTION\n"
	      "weir appends changes to an embedded, durable log (the oplog) and watches them as "
	      "resumable, filtered\n"
	      "change streams. Data goes to standard output, everything else to standard error.\n"
	      ".SH COMMANDS\n",
	      out);
	for (int i = 0; commands[i]; i++)
		command(commands[i], out);
	fputs(".SH EXIT STATUS\n"
	      ".TP\n0\nDone.\n.TP\n1\nFailed.\n.TP\n2\nWrong usage or bad input.\n"
	      ".TP\n3\nNot found.\n.TP\n4\nNot authenticated, or not allowed.\n"
	      ".TP\n5\nHistory lost: the position asked for no longer exists.\n"
	      ".TP\n6\nDamaged data was found.\n.TP\n7\nTimed out.\n"
	      ".SH SEE ALSO\nThe README and the folder docs in the source.\n",
	      out);
}
