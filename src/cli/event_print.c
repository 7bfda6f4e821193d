#include "cli/event_print.h"

#include "cli/cli.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define NO_TIME INT64_MIN

enum { TABLE_WIDTH = 160, TABLE_FIXED = 24 + 1 + 16 + 1 + 24 + 1 + 20 + 1 };

void event_printer_init(struct event_printer *p, const char *format, FILE *out)
{
	*p = (struct event_printer){ .format = EVENT_NDJSON, .out = out, .width = TABLE_WIDTH };
	if (strcmp(format, "canonical") == 0)
		p->format = EVENT_CANONICAL;
	else if (strcmp(format, "pretty") == 0)
		p->format = EVENT_PRETTY;
	else if (strcmp(format, "table") == 0)
		p->format = EVENT_TABLE;
	struct winsize ws;
	bool terminal = isatty(fileno(out));
	if (terminal && ioctl(fileno(out), TIOCGWINSZ, &ws) == 0 && ws.ws_col > 40)
		p->width = ws.ws_col;
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
	p->color = terminal && !(no_color && *no_color) && !(term && strcmp(term, "dumb") == 0);
}

void event_printer_done(struct event_printer *p)
{
	weir_buffer_free(&p->text);
}

static const char *color_of(const char *operation)
{
	switch (operation[0]) {
	case 'i': return "\033[32m";
	case 'u':
	case 'r': return "\033[33m";
	case 'd': return "\033[31m";
	}
	return "\033[36m";
}

/* The bytes at `at` that a terminal may take for an order: C0, DEL, and C1 (0xc2 0x80 to 0x9f); 0 none. */
static size_t control_at(const char *text, size_t at, size_t len)
{
	const unsigned char *c = (const unsigned char *)text + at;
	if (*c < 0x20 || *c == 0x7f)
		return 1;
	return *c == 0xc2 && at + 1 < len && c[1] >= 0x80 && c[1] < 0xa0 ? 2 : 0;
}

/* At most `columns` characters of UTF-8 text, control characters blanked, "..." where it was cut. Padded. */
static void cell(FILE *out, const char *text, size_t len, int columns, bool pad)
{
	int used = 0;
	size_t i = 0, fits = 0, total = 0;
	for (size_t k = 0; k < len; k++)
		total += ((unsigned char)text[k] & 0xc0) != 0x80;
	size_t room = total > (size_t)columns ? (size_t)columns - 3 : total;
	for (; i < len; i++) {
		if (((unsigned char)text[i] & 0xc0) != 0x80 && fits++ == room)
			break;
		size_t control = control_at(text, i, len);
		fputc(control ? ' ' : text[i], out);
		i += control == 2;
	}
	used = (int)room;
	if (total > (size_t)columns) {
		fputs("...", out);
		used += 3;
	}
	for (; pad && used < columns; used++)
		fputc(' ', out);
}

static void cell_text(FILE *out, const char *text, int columns)
{
	cell(out, text, strlen(text), columns, true);
	fputc(' ', out);
}

/* What a row of the table shows, out of an event of either kind. */
struct row {
	const char *operation, *db, *coll;
	int64_t wall_ms;
	weir_doc key; /* documentKey */
	weir_doc details;
	const char *what; /* instead of them */
};

static void print_key(struct event_printer *p, weir_doc key)
{
	weir_value id;
	weir_buffer_clear(&p->text);
	if (key.data && weir_get(key, "_id", &id) == 1)
		(void)weir_value_to_text(&id, &p->text, NULL);
	cell(p->out, (const char *)p->text.data, p->text.len, 20, true);
	fputc(' ', p->out);
}

static int print_row(struct event_printer *p, const struct row *r, weir_error *e)
{
	if (!p->header_done) {
		fprintf(p->out, "%-24s %-16s %-24s %-20s %s\n", "TIME", "OPERATION", "COLLECTION",
			"KEY", "WHAT");
		p->header_done = true;
	}
	char ns[400];
	snprintf(ns, sizeof(ns), "%s%s%s", r->db, *r->coll ? "." : "", r->coll);
	char time[40] = "                        ";
	if (r->wall_ms != NO_TIME)
		format_time_ms(r->wall_ms, time);
	fprintf(p->out, "%s ", time);
	if (p->color)
		fputs(color_of(r->operation), p->out);
	cell_text(p->out, r->operation, 16);
	if (p->color)
		fputs("\033[0m", p->out);
	cell_text(p->out, ns, 24);
	print_key(p, r->key);
	weir_buffer_clear(&p->text);
	if (r->details.data && weir_bson_to_json(r->details, WEIR_JSON_RELAXED, 0, &p->text, e) < 0)
		return e->code;
	const char *what = r->what ? r->what : (const char *)p->text.data;
	int left = p->width - TABLE_FIXED;
	cell(p->out, what, r->what ? strlen(r->what) : p->text.len, left > 20 ? left : 20, false);
	fputc('\n', p->out);
	return 0;
}

static enum weir_json_mode mode_of(const struct event_printer *p)
{
	return p->format == EVENT_CANONICAL ? WEIR_JSON_CANONICAL : WEIR_JSON_RELAXED;
}

static void print_text(struct event_printer *p)
{
	fwrite(p->text.data, 1, p->text.len, p->out);
	fputc('\n', p->out);
	weir_buffer_clear(&p->text);
}

static int print_json(struct event_printer *p, weir_doc doc, weir_error *e)
{
	weir_buffer_clear(&p->text);
	int rc = weir_bson_to_json(doc, mode_of(p), p->format == EVENT_PRETTY ? 2 : 0, &p->text, e);
	if (rc == 0)
		print_text(p);
	return rc;
}

/* ---- of a log ---- */

/* What changed: the difference of an update, the document, or the description of a definition. */
static weir_doc details_of(const weir_event *ev)
{
	weir_doc d = weir_event_update_description(ev), changed;
	if (d.data)
		return weir_get_doc(d, "updatedFields", &changed) == 1 && changed.len > 5 ? changed
											  : d;
	d = weir_event_full_document(ev);
	return d.data ? d : weir_event_description(ev);
}

int event_print(struct event_printer *p, const weir_event *ev, weir_error *e)
{
	if (p->format == EVENT_PRETTY)
		return print_json(p, weir_event_bson(ev), e);
	if (p->format != EVENT_TABLE) { /* it need not be checked first */
		weir_buffer_clear(&p->text);
		int rc = weir_event_to_json(ev, mode_of(p), &p->text, e);
		if (rc == 0)
			print_text(p);
		return rc;
	}
	return print_row(p,
			 &(struct row){ .operation = weir_event_operation(ev),
					.db = weir_event_database(ev),
					.coll = weir_event_collection(ev),
					.wall_ms = weir_event_wall_time(ev),
					.key = weir_event_document_key(ev),
					.details = details_of(ev) },
			 e);
}

/* ---- of a bucket ---- */

static const char *text_at(weir_doc doc, const char *path)
{
	const char *text = "";
	(void)weir_get_string(doc, path, &text);
	return text;
}

enum { WHAT_MAX = 96 };

/* What to show of an event without a document, in text or line. NULL: its details. */
static const char *what_of(weir_doc doc, weir_buffer *text, char line[WHAT_MAX])
{
	weir_value value;
	int64_t to = 0, vb = 0;
	if (weir_get_int64(doc, "couchbase.rollbackTo", &to) == 1) {
		(void)weir_get_int64(doc, "couchbase.vbucket", &vb);
		(void)snprintf(line, WHAT_MAX,
			       "vBucket %" PRId64 ": what came above %" PRId64 " never happened",
			       vb, to);
		return line;
	}
	if (weir_get(doc, "couchbase.expired", &value) == 1)
		return "expired";
	if (weir_get(doc, "couchbase.value", &value) != 1)
		return weir_get(doc, "couchbase.cas", &value) == 1 ? "" : NULL;
	if (value.type != WEIR_TYPE_BINARY)
		return weir_value_to_text(&value, text, NULL) == 0 ? (char *)text->data : "";
	(void)snprintf(line, WHAT_MAX, "%" PRIu32 " bytes", value.len);
	return line;
}

int event_print_doc(struct event_printer *p, weir_doc doc, weir_error *e)
{
	weir_buffer text = WEIR_BUFFER_INIT;
	char line[WHAT_MAX];
	if (p->format != EVENT_TABLE)
		return print_json(p, doc, e);
	struct row r = { .operation = text_at(doc, "operationType"),
			 .db = text_at(doc, "ns.coll"), /* of one bucket, which is known */
			 .coll = "",
			 .wall_ms = NO_TIME };
	(void)weir_get_date(doc, "wallTime", &r.wall_ms);
	(void)weir_get_doc(doc, "documentKey", &r.key);
	if (weir_get_doc(doc, "fullDocument", &r.details) != 1) {
		(void)weir_get_doc(doc, "couchbase", &r.details);
		r.what = what_of(doc, &text, line);
	}
	int rc = print_row(p, &r, e);
	weir_buffer_free(&text);
	return rc;
}
