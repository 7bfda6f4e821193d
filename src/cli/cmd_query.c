/* cmd_query.c: the document language over files: a filter, a pipeline, results on standard output. */
#include "cli/commands.h"
#include "cli/outcome.h"

#include "base/slice.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { QUERY_PIECE = 1 << 18, BSON_DOCUMENT_MAX = 256 << 20 };

static const struct option_row query_options[] = {
	{ .name = "filter",
	  .letter = 'f',
	  .kind = OPTION_TEXT,
	  .arg = "JSON",
	  .help = "Only documents that match this query; @FILE reads it" },
	{ .name = "pipeline",
	  .letter = 'p',
	  .kind = OPTION_TEXT,
	  .arg = "JSON",
	  .help = "An array of stages for each document; @FILE reads it" },
	{ .name = "input",
	  .kind = OPTION_CHOICE,
	  .arg = "FORMAT",
	  .choices = "auto|ndjson|json|geojson|bson",
	  .def = "auto",
	  .help = "What the files hold" },
	{ .name = "format",
	  .kind = OPTION_CHOICE,
	  .arg = "FORMAT",
	  .choices = "ndjson|canonical|pretty|bson",
	  .def = "ndjson",
	  .help = "How results are printed" },
	{ .name = "limit",
	  .letter = 'n',
	  .kind = OPTION_COUNT,
	  .arg = "N",
	  .help = "End after N results" },
	{ .name = "count",
	  .letter = 'c',
	  .kind = OPTION_FLAG,
	  .help = "Print how many results there are" },
	{ .name = "on-error",
	  .kind = OPTION_CHOICE,
	  .arg = "WHAT",
	  .choices = "stop|skip",
	  .def = "stop",
	  .help = "A malformed document, or an expression that fails on one" },
	{ .name = "explain", .kind = OPTION_FLAG, .help = "Print the compiled form and end" },
	{ .name = "list",
	  .kind = OPTION_FLAG,
	  .help = "Print every operator with a line of help and end" },
	{ .name = "list-markdown",
	  .kind = OPTION_FLAG,
	  .help = "The same as the manual page docs/manual/operators.md" },
	{ 0 },
};

struct querying {
	const struct args *args;
	weir_query *query;
	weir_buffer text;
	uint64_t results, skipped;
	bool full;
};

static int print_result(void *arg, weir_doc doc)
{
	struct querying *q = arg;
	q->results++;
	uint64_t limit = args_count(q->args, "limit");
	q->full = limit && q->results >= limit;
	if (args_flag(q->args, "count"))
		return 0;
	if (args_choice(q->args, "format", "bson")) {
		fwrite(doc.data, 1, doc.len, stdout);
		return 0;
	}
	weir_buffer_clear(&q->text);
	enum weir_json_mode mode = args_choice(q->args, "format", "canonical") ? WEIR_JSON_CANONICAL
									       : WEIR_JSON_RELAXED;
	int indent = args_choice(q->args, "format", "pretty") ? 2 : 0;
	int rc = weir_bson_to_json(doc, mode, indent, &q->text, NULL);
	if (rc < 0)
		return rc;
	fwrite(q->text.data, 1, q->text.len, stdout);
	putchar('\n');
	return 0;
}

/* A document failed at this place; unit NULL: the message tells the place. EXIT_OK: go on. */
static int failed(struct querying *q, const char *path, const char *unit, uint64_t at,
		  const weir_error *e)
{
	char context[512];
	if (unit)
		snprintf(context, sizeof(context), "%.400s: %s %" PRIu64, path, unit, at);
	else
		snprintf(context, sizeof(context), "%.400s", path);
	q->skipped++;
	if (!args_choice(q->args, "on-error", "skip"))
		return fail(context, e);
	say("%s: %s; skipped", context, e->message);
	return EXIT_OK;
}

/* ---- JSON ---- */

/* *over: the rest cannot be read. */
static int drain_json(struct querying *q, weir_json_reader *r, const char *path, bool *over)
{
	uint64_t failed_at = UINT64_MAX;
	while (!q->full) {
		weir_error e = WEIR_ERROR_INIT;
		weir_doc doc;
		weir_place place = { 0 };
		int rc = weir_json_reader_next(r, &doc, &place, &e);
		if (rc == 0)
			return EXIT_OK;
		bool text_is_wrong = rc < 0;
		*over = text_is_wrong && place.offset == failed_at;
		if (*over) {
			say("%s: what follows cannot be read", path);
			return EXIT_OK;
		}
		failed_at = text_is_wrong ? place.offset : UINT64_MAX;
		if (rc == 1)
			rc = weir_query_run(q->query, doc, print_result, q, &e);
		/* A reader's message begins with the line itself. */
		int code = rc < 0 ? failed(q, path, text_is_wrong ? NULL : "line", place.line, &e)
				  : EXIT_OK;
		if (code)
			return code;
	}
	return EXIT_OK;
}

static int read_json(struct querying *q, FILE *f, const char *path)
{
	weir_error e = WEIR_ERROR_INIT;
	weir_json_reader *r;
	if (weir_json_reader_new(json_input_of(args_text(q->args, "input")), &r, &e) < 0)
		return fail(path, &e);
	char *piece = malloc(QUERY_PIECE);
	int code = piece ? EXIT_OK : EXIT_FAILED;
	bool over = false;
	for (bool more = true; more && !code && !q->full && !over;) {
		size_t n = fread(piece, 1, QUERY_PIECE, f);
		more = n > 0;
		if (!more)
			weir_json_reader_end(r);
		else if (weir_json_reader_feed(r, piece, n, &e) < 0)
			code = fail(path, &e);
		if (!code)
			code = drain_json(q, r, path, &over);
	}
	free(piece);
	weir_json_reader_free(r);
	return code;
}

/* ---- BSON: documents one after the other ---- */

static int bson_fault(const char *path, uint64_t offset, const char *what)
{
	say("%s: byte %" PRIu64 ": %s", path, offset, what);
	return EXIT_USAGE;
}

static int read_bson(struct querying *q, FILE *f, const char *path)
{
	uint8_t *doc = NULL;
	int code = EXIT_OK;
	for (uint64_t offset = 0; !code && !q->full;) {
		uint8_t head[4];
		size_t n = fread(head, 1, sizeof(head), f);
		if (n == 0)
			break;
		uint32_t len = n == sizeof(head) ? get_le32(head) : 0;
		if (len < 5 || len > BSON_DOCUMENT_MAX) {
			code = bson_fault(path, offset, "no BSON document starts here");
			break;
		}
		uint8_t *more = realloc(doc, len);
		if (!more) {
			code = bson_fault(path, offset, "out of memory");
			break;
		}
		doc = more;
		memcpy(doc, head, sizeof(head));
		if (fread(doc + 4, 1, len - 4, f) != len - 4) {
			code = bson_fault(path, offset,
					  "the document that starts here is cut short");
			break;
		}
		weir_error e = WEIR_ERROR_INIT;
		if (weir_query_run(q->query, weir_bson(doc, len), print_result, q, &e) < 0)
			code = failed(q, path, "byte", offset, &e);
		offset += len;
	}
	free(doc);
	return code;
}

/* ---- the command ---- */

static int read_one(struct querying *q, const char *path)
{
	FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "rbe");
	const char *name = f == stdin ? "standard input" : path;
	if (!f) {
		say("cannot open %s: %s", path, strerror(errno));
		return errno == ENOENT ? EXIT_NOT_FOUND : EXIT_FAILED;
	}
	int code = args_choice(q->args, "input", "bson") ? read_bson(q, f, name)
							 : read_json(q, f, name);
	if (!code && ferror(f)) {
		say("cannot read %s: %s", name, strerror(errno));
		code = EXIT_FAILED;
	}
	if (f != stdin)
		fclose(f);
	return code;
}

static int list_plain(void *arg, const weir_operator *op)
{
	const char **group = arg;
	if (!*group || strcmp(*group, op->group) != 0)
		printf("%s%s: %s\n", *group ? "\n" : "", op->kind, op->group);
	*group = op->group;
	printf("  %-22s %s\n", op->name, op->help);
	return 0;
}

static int list_markdown(void *arg, const weir_operator *op)
{
	const char **last = arg; /* kind, group */
	if (!last[0] || strcmp(last[0], op->kind) != 0) {
		printf("\n## %c%s operators\n", op->kind[0] - 'a' + 'A', op->kind + 1);
		last[1] = NULL;
	}
	if (!last[1] || strcmp(last[1], op->group) != 0)
		printf("\n### %s\n\n| operator | what it does |\n|---|---|\n", op->group);
	last[0] = op->kind;
	last[1] = op->group;
	printf("| `%s` | ", op->name);
	for (const char *p = op->help; *p; p++)
		printf(*p == '|' ? "\\|" : "%c", *p);
	puts(" |");
	return 0;
}

static int list(bool markdown)
{
	const char *last[2] = { NULL, NULL };
	if (markdown)
		puts("# Operators\n\nGenerated by `weir query --list-markdown` from the tables "
		     "that compile the language.");
	(void)weir_query_operators(markdown ? list_markdown : list_plain, last);
	return out_finish();
}

static int explain(struct querying *q)
{
	weir_error e = WEIR_ERROR_INIT;
	if (weir_query_explain(q->query, &q->text, &e) < 0)
		return fail(NULL, &e);
	fwrite(q->text.data, 1, q->text.len, stdout);
	return out_finish();
}

static int run_files(struct querying *q)
{
	static const char *const standard_input[] = { "-" };
	const struct args *a = q->args;
	const char *const *path = a->n_operands ? a->operand : standard_input;
	int n = a->n_operands ? a->n_operands : 1, code = EXIT_OK;
	for (int i = 0; !code && i < n && !q->full; i++)
		code = read_one(q, path[i]);
	if (!code && args_flag(a, "count"))
		printf("%" PRIu64 "\n", q->results);
	int flushed = out_finish();
	if (!code && q->skipped)
		return EXIT_FAILED;
	return code ? code : flushed;
}

static int run(const struct args *a)
{
	if (args_flag(a, "list") || args_flag(a, "list-markdown"))
		return list(args_flag(a, "list-markdown"));
	struct querying q = { .args = a };
	weir_buffer filter = WEIR_BUFFER_INIT, pipeline = WEIR_BUFFER_INIT;
	weir_query_options o = { .size = sizeof(o) };
	int code = EXIT_OK;
	if (args_text(a, "filter")) {
		code = json_operand(args_text(a, "filter"), &filter);
		o.filter = weir_json_n((const char *)filter.data, filter.len);
	}
	if (!code && args_text(a, "pipeline")) {
		code = json_operand(args_text(a, "pipeline"), &pipeline);
		o.pipeline = weir_json_n((const char *)pipeline.data, pipeline.len);
	}
	weir_error e = WEIR_ERROR_INIT;
	if (!code && weir_query_new(&o, &q.query, &e) < 0)
		code = fail(NULL, &e);
	if (!code)
		code = args_flag(a, "explain") ? explain(&q) : run_files(&q);
	weir_query_free(q.query);
	weir_buffer_free(&q.text);
	weir_buffer_free(&filter);
	weir_buffer_free(&pipeline);
	return code;
}

const struct command query_command = {
	.name = "query",
	.operands = "[FILE...]",
	.operands_max = -1,
	.summary = "Filter and reshape documents from files",
	.details = "Reads NDJSON, JSON arrays, GeoJSON features or BSON; without FILE, or with -, "
		   "standard input.\n"
		   "The language is MongoDB's: query operators, and the stages $match $project "
		   "$addFields $set $unset\n"
		   "$replaceRoot $replaceWith $redact $unwind with aggregation expressions. 'weir "
		   "query --list' has them all.",
	.examples =
		"weir query orders.ndjson --filter '{\"qty\": {\"$gt\": 5}}'\tOnly large orders\n"
		"weir query quakes.json --pipeline '[{\"$project\": {\"mag\": "
		"\"$properties.mag\"}}]'\tOne field each",
	.options = query_options,
	.run = run,
};
