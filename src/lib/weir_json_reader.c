/* weir_json_reader.c: many documents out of JSON text that arrives in pieces.
 *
 *	        ┌───────── first byte '[' ────────▶ LIST ─ '{...}' ',' ... ']' ─▶ TAIL ─▶ end
 *	 START ─┼─ '{', "features": [ at the top ─▶ LIST
 *	        └─ '{' otherwise ─────────────────▶ LINES  one document a line (or more)
 *	                                            LOOSE  documents that span lines, one after the other
 *
 * The text of one document is found by counting braces outside strings, which needs no understanding of it, and is then
 * read by doc/json. LINES is what NDJSON is: a line that is wrong spoils no other. LOOSE is chosen where the first
 * document does not end on its line and the second line does not begin with a brace.
 *
 *	text:  consumed | document being looked for ... | not yet looked at
 *	       0        at                              scan                  len
 */
#include "lib/lib.h"

#include "base/mem.h"
#include "doc/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define READER_TEXT_MAX (256u << 20) /* bytes of one document's text */

enum state { START, LIST, TAIL, LINES, LOOSE, BROKEN };

struct weir_json_reader {
	enum weir_json_input input;
	enum state state;
	bool ended, after_element, decided;
	struct buf text;
	size_t at, scan;
	size_t tried;   /* length of text when START was last undecided */
	unsigned depth; /* of the brace count at scan, or of TAIL */
	bool in_string, escaped;
	uint64_t line, column;  /* of at, from 1 and 0 */
	uint64_t offset, index; /* bytes and documents before at */
	struct buf doc;
	struct err broken;
};

int weir_json_reader_new(enum weir_json_input input, weir_json_reader **out, weir_error *e)
{
	if (!out)
		return lib_null(lib_err(e), "the output");
	if ((unsigned)input > WEIR_INPUT_FEATURES)
		return err_set(lib_err(e), ERR_INVALID, "unknown kind of input %d", (int)input);
	weir_json_reader *r = mem_try(sizeof(*r));
	if (!r)
		return err_nomem(lib_err(e));
	r->input = input;
	r->line = 1;
	*out = r;
	return 0;
}

void weir_json_reader_free(weir_json_reader *r)
{
	if (!r)
		return;
	buf_done(&r->text);
	buf_done(&r->doc);
	mem_free(r);
}

int weir_json_reader_feed(weir_json_reader *r, const char *text, size_t len, weir_error *we)
{
	struct err *e = lib_err(we);
	if (!r || (!text && len))
		return lib_null(e, r ? "the text" : "the reader");
	if (r->ended)
		return err_set(e, ERR_INVALID, "the input has ended");
	if (r->text.len - r->at + len > READER_TEXT_MAX)
		return err_set(e, ERR_LIMIT, "line %" PRIu64 ": a document of more than %u bytes",
			       r->line, READER_TEXT_MAX);
	/* What was consumed goes before the rest grows. */
	if (r->at) {
		memmove(r->text.p, r->text.p + r->at, r->text.len - r->at);
		r->text.len -= r->at;
		r->scan -= r->at;
		r->at = 0;
	}
	if (!buf_reserve(&r->text, len)) {
		r->text.failed = false;
		return err_nomem(e);
	}
	buf_add(&r->text, text, len);
	return 0;
}

void weir_json_reader_end(weir_json_reader *r)
{
	if (r)
		r->ended = true;
}

enum weir_json_input weir_json_reader_input(const weir_json_reader *r)
{
	return r && (r->decided || r->input) ? r->input : WEIR_INPUT_AUTO;
}

/* ---- moving ---- */

static void advance(struct weir_json_reader *r, size_t to)
{
	const uint8_t *p = r->text.p;
	for (size_t i = r->at; i < to; i++) {
		if (p[i] == '\n') {
			r->line++;
			r->column = 0;
		} else {
			r->column++;
		}
	}
	r->offset += to - r->at;
	r->at = r->scan = to;
	r->depth = 0;
	r->in_string = r->escaped = false;
}

static bool is_space(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* The next byte that is no blank, or -1. */
static int skip_space(struct weir_json_reader *r)
{
	size_t i = r->at;
	while (i < r->text.len && is_space(r->text.p[i]))
		i++;
	if (i > r->at) /* else the search for the end at `scan` goes on where it was */
		advance(r, i);
	return i < r->text.len ? r->text.p[i] : -1;
}

static void count_byte(struct weir_json_reader *r, uint8_t c)
{
	if (r->in_string) {
		if (r->escaped)
			r->escaped = false;
		else if (c == '\\')
			r->escaped = true;
		else if (c == '"')
			r->in_string = false;
		return;
	}
	switch (c) {
	case '"': r->in_string = true; break;
	case '{':
	case '[': r->depth++; break;
	case '}':
	case ']': r->depth -= r->depth > 0; break;
	default: break;
	}
}

/* Looks for the end of the document that begins at `at`: its end, or 0 when the text ends first. */
static size_t find_end(struct weir_json_reader *r, size_t limit)
{
	while (r->scan < limit) {
		uint8_t c = r->text.p[r->scan++];
		count_byte(r, c);
		if (r->depth == 0 && !r->in_string)
			return r->scan;
	}
	return 0;
}

static size_t find_newline(const struct weir_json_reader *r, size_t from)
{
	const uint8_t *nl =
		from < r->text.len ? memchr(r->text.p + from, '\n', r->text.len - from) : NULL;
	return nl ? (size_t)(nl - r->text.p) : r->text.len;
}

/* ---- errors ---- */

static void place_of(const struct weir_json_reader *r, weir_place *place)
{
	if (place)
		*place = (weir_place){ .line = r->line, .offset = r->offset, .index = r->index };
}

static int broken(struct weir_json_reader *r, struct err *e, const char *what)
{
	r->state = BROKEN;
	int rc = err_set(&r->broken, ERR_FORMAT, "line %" PRIu64 ", column %" PRIu64 ": %s",
			 r->line, r->column + 1, what);
	if (e)
		*e = r->broken;
	return rc;
}

/* "line 1, column 5: ..." of a document's text becomes the place in the whole input. */
static int place_error(const struct weir_json_reader *r, int rc, const struct err *inner,
		       struct err *e)
{
	uint64_t line, column;
	int used = 0;
	if (sscanf(inner->msg, "line %" SCNu64 ", column %" SCNu64 ": %n", &line, &column, &used) ==
		    2 &&
	    used > 0)
		return err_set(e, rc, "line %" PRIu64 ", column %" PRIu64 ": %s",
			       r->line + line - 1, line == 1 ? r->column + column : column,
			       inner->msg + used);
	return err_set(e, rc, "line %" PRIu64 ": %s", r->line, inner->msg);
}

/* ---- where the documents are ---- */

/* Walks the head of an object: the position behind "features": [, or 0. *undecided: the text ends too early. */
struct head {
	const uint8_t *p;
	size_t at, len;
	bool undecided;
};

static int head_peek(struct head *h)
{
	while (h->at < h->len && is_space(h->p[h->at]))
		h->at++;
	if (h->at < h->len)
		return h->p[h->at];
	h->undecided = true;
	return -1;
}

/* Behind the string, object, array or scalar at h->at. */
static bool head_skip(struct head *h)
{
	struct weir_json_reader count = { 0 };
	if (head_peek(h) < 0)
		return false;
	uint8_t first = h->p[h->at];
	if (first == '"' || first == '{' || first == '[') {
		do
			count_byte(&count, h->p[h->at++]);
		while (h->at < h->len && (count.depth || count.in_string));
		h->undecided = count.depth || count.in_string;
		return !h->undecided;
	}
	while (h->at < h->len && !is_space(h->p[h->at]) && !strchr(",}]", h->p[h->at]))
		h->at++;
	h->undecided = h->at == h->len;
	return !h->undecided;
}

static size_t find_features(struct head *h, bool typed)
{
	h->at++; /* { */
	for (;;) {
		if (head_peek(h) != '"')
			return 0;
		size_t key = h->at;
		if (!head_skip(h))
			return 0;
		struct slice name = slice_of(h->p + key, h->at - key);
		if (head_peek(h) != ':')
			return 0;
		h->at++;
		int c = head_peek(h);
		if (c == '[' && typed && slice_is(name, "\"features\""))
			return h->at + 1;
		size_t value = h->at;
		if (!head_skip(h))
			return 0;
		if (slice_is(name, "\"type\""))
			typed = typed || slice_is(slice_of(h->p + value, h->at - value),
						  "\"FeatureCollection\"");
		if (head_peek(h) != ',')
			return 0;
		h->at++;
	}
}

static void begin(struct weir_json_reader *r, enum state s, enum weir_json_input input, size_t at)
{
	advance(r, at);
	r->state = s;
	r->input = input;
	r->decided = true;
}

/* One document a line, or documents that span lines? */
static int begin_lines(struct weir_json_reader *r)
{
	size_t nl = find_newline(r, r->at);
	if (nl == r->text.len && !r->ended)
		return 0;
	size_t end = find_end(r, nl);
	bool loose = !end && nl + 1 < r->text.len && r->text.p[nl + 1] != '{';
	if (!end && nl + 1 >= r->text.len && !r->ended)
		return 0;
	begin(r, loose ? LOOSE : LINES, WEIR_INPUT_NDJSON, r->at);
	return 1;
}

/* 1 decided, 0 needs more text, negative: not what was asked for. */
static int decide(struct weir_json_reader *r, struct err *e)
{
	if (r->offset == 0 && r->at == 0 && r->text.len >= 3 &&
	    memcmp(r->text.p, "\xef\xbb\xbf", 3) == 0)
		advance(r, 3); /* byte order mark */
	int c = skip_space(r);
	if (c < 0)
		return 0;
	/* An undecided head is walked again only when the text has doubled. */
	if (!r->ended && r->tried && r->text.len - r->at < r->tried * 2)
		return 0;
	r->tried = r->text.len - r->at;
	if (c == '[' && r->input != WEIR_INPUT_NDJSON && r->input != WEIR_INPUT_FEATURES) {
		begin(r, LIST, WEIR_INPUT_ARRAY, r->at + 1);
		return 1;
	}
	if (r->input == WEIR_INPUT_ARRAY)
		return broken(r, e, "expected an array");
	if (c == '{' && r->input != WEIR_INPUT_NDJSON) {
		struct head h = { .p = r->text.p, .at = r->at, .len = r->text.len };
		size_t list = find_features(&h, r->input == WEIR_INPUT_FEATURES);
		if (list) {
			begin(r, LIST, WEIR_INPUT_FEATURES, list);
			return 1;
		}
		if (h.undecided && !r->ended)
			return 0;
	}
	if (r->input == WEIR_INPUT_FEATURES)
		return broken(r, e, "expected a FeatureCollection with an array of features");
	r->scan = r->at;
	r->depth = 0;
	r->in_string = r->escaped = false;
	return begin_lines(r);
}

/* ---- documents ---- */

/* Reads the document at [at, end) and moves behind it. */
static int read_document(struct weir_json_reader *r, size_t end, weir_doc *doc, weir_place *place,
			 struct err *e)
{
	struct err why = ERR_INIT;
	place_of(r, place);
	buf_reset(&r->doc);
	int rc = json_to_bson(slice_of(r->text.p + r->at, end - r->at), &r->doc, NULL, &why);
	if (rc == ERR_NOMEM)
		return err_nomem(e);
	if (rc < 0)
		rc = place_error(r, rc, &why, e);
	else
		*doc = weir_bson(r->doc.p, r->doc.len);
	advance(r, end);
	r->index++;
	return rc < 0 ? rc : 1;
}

static int end_of_input(struct weir_json_reader *r, struct err *e, const char *what)
{
	return r->ended ? broken(r, e, what) : 0;
}

/* Behind an element of the list that is no document; 0 when the text ends first. */
static size_t skip_element(struct weir_json_reader *r)
{
	uint8_t first = r->text.p[r->at];
	if (first == '"' || first == '[')
		return find_end(r, r->text.len);
	size_t i = r->at;
	while (i < r->text.len && !is_space(r->text.p[i]) && !strchr(",]}", r->text.p[i]))
		i++;
	return i < r->text.len ? i : 0;
}

static int not_a_document(struct weir_json_reader *r, weir_place *place, struct err *e)
{
	size_t end = skip_element(r);
	if (!end)
		return end_of_input(r, e, "the array ends in the middle");
	if (end == r->at)
		return broken(r, e, "expected a document");
	place_of(r, place);
	int rc = err_set(e, ERR_FORMAT, "line %" PRIu64 ", column %" PRIu64 ": expected a document",
			 r->line, r->column + 1);
	advance(r, end);
	r->after_element = true;
	r->index++;
	return rc;
}

static int next_in_list(struct weir_json_reader *r, weir_doc *doc, weir_place *place, struct err *e)
{
	int c = skip_space(r);
	if (c == ',' && r->after_element) {
		advance(r, r->at + 1);
		r->after_element = false;
		c = skip_space(r);
		if (c == ']')
			return broken(r, e, "expected a document behind the comma");
	} else if (c == ']') {
		advance(r, r->at + 1);
		r->state = TAIL;
		r->depth = r->input == WEIR_INPUT_FEATURES;
		return 2;
	} else if (c >= 0 && r->after_element) {
		return broken(r, e, "expected ',' or ']'");
	}
	if (c < 0)
		return end_of_input(r, e, "the array ends in the middle");
	if (c != '{')
		return not_a_document(r, place, e);
	size_t end = find_end(r, r->text.len);
	if (!end)
		return end_of_input(r, e, "the document ends in the middle");
	r->after_element = true;
	return read_document(r, end, doc, place, e);
}

/* Behind the list: the rest of a FeatureCollection, then nothing. */
static int read_tail(struct weir_json_reader *r, struct err *e)
{
	size_t i = r->at;
	while (i < r->text.len && (r->depth || is_space(r->text.p[i])))
		count_byte(r, r->text.p[i++]);
	unsigned depth = r->depth;
	bool in_string = r->in_string, escaped = r->escaped;
	advance(r, i);
	r->depth = depth;
	r->in_string = in_string;
	r->escaped = escaped;
	if (i < r->text.len)
		return broken(r, e, "expected nothing more");
	if (r->depth)
		return end_of_input(r, e, "the collection ends in the middle");
	return 0;
}

static int next_line(struct weir_json_reader *r, weir_doc *doc, weir_place *place, struct err *e)
{
	if (skip_space(r) < 0)
		return 0;
	size_t nl = find_newline(r, r->scan);
	if (nl == r->text.len && !r->ended) {
		/* Several documents may stand on an unfinished line; the first one may be whole. */
		size_t early = 0;
		if (r->text.p[r->at] == '{')
			early = find_end(r, r->text.len);
		else
			r->scan = r->text.len;
		return early ? read_document(r, early, doc, place, e) : 0;
	}
	r->scan = r->at;
	r->depth = 0;
	r->in_string = r->escaped = false;
	size_t end = r->text.p[r->at] == '{' ? find_end(r, nl) : 0;
	int rc = read_document(r, end ? end : nl, doc, place, e);
	if (rc < 0 && rc != ERR_NOMEM && end)
		advance(r, find_newline(r, end)); /* the rest of a bad line is not trusted */
	return rc;
}

static int next_loose(struct weir_json_reader *r, weir_doc *doc, weir_place *place, struct err *e)
{
	int c = skip_space(r);
	if (c < 0)
		return 0;
	if (c != '{')
		return broken(r, e, "expected a document");
	size_t end = find_end(r, r->text.len);
	if (!end)
		return end_of_input(r, e, "the document ends in the middle");
	return read_document(r, end, doc, place, e);
}

static int next_document(struct weir_json_reader *r, weir_doc *doc, weir_place *place,
			 struct err *e)
{
	int rc = 1;
	if (r->state == START)
		rc = decide(r, e);
	if (rc <= 0)
		return rc;
	if (r->state == LIST)
		rc = next_in_list(r, doc, place, e);
	switch (r->state) {
	case START: return 0;
	case LIST: return rc;
	case TAIL: return read_tail(r, e);
	case LINES: return next_line(r, doc, place, e);
	case LOOSE: return next_loose(r, doc, place, e);
	case BROKEN: break;
	}
	return r->broken.code;
}

int weir_json_reader_next(weir_json_reader *r, weir_doc *doc, weir_place *place, weir_error *we)
{
	struct err *e = lib_err(we);
	if (!r || !doc)
		return lib_null(e, r ? "the output" : "the reader");
	int rc = r->state == BROKEN ? r->broken.code : next_document(r, doc, place, e);
	if (rc < 0 && r->state == BROKEN) {
		place_of(r, place);
		if (e)
			*e = r->broken;
	}
	return rc;
}
