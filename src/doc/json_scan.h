/* json_scan.h: what json_read.c and json_wrap.c share: the cursor through the text and the place
 * that BSON is written to. Not for others; see json.h.
 */
#ifndef DOC_JSON_SCAN_H
#define DOC_JSON_SCAN_H

#include "doc/json.h"

/* The output is written through w; out->len is brought up to date only when out must grow and at
 * the end. Places in the output are kept as offsets, since growing moves it. */
struct json_reader {
	const uint8_t *p, *end, *text;
	uint8_t *w, *w_end;
	struct buf *out;
	size_t base; /* where this document starts in out */
	uint32_t depth;
	bool plain; /* {"$date": ...} and the like are ordinary documents */
	struct err *e;
};

/* Raises ERR_FORMAT at a place in the text: "line 3, column 14: expected ...". */
int json_bad(struct json_reader *r, const uint8_t *at, const char *fmt, ...) PRINTF(3, 4);
int json_grow(struct json_reader *r, size_t n);

/* Makes room for n bytes at w. */
static inline int json_room(struct json_reader *r, size_t n)
{
	if (likely((size_t)(r->w_end - r->w) >= n))
		return 0;
	return json_grow(r, n);
}

static inline size_t json_at(const struct json_reader *r)
{
	return (size_t)(r->w - r->out->p);
}

/* The next character, 0 at the end. */
static inline uint8_t json_peek(const struct json_reader *r)
{
	return likely(r->p < r->end) ? *r->p : 0;
}

static inline void json_skip_space(struct json_reader *r)
{
	while (r->p < r->end && *r->p <= ' ' &&
	       (*r->p == ' ' || *r->p == '\n' || *r->p == '\r' || *r->p == '\t'))
		r->p++;
}

/* Copies the text of a string, whose opening quote is behind the cursor, to w, and a NUL that is
 * not counted. A NUL within is an error for names. */
int json_string(struct json_reader *r, bool is_name);

/* Writes the bytes of a value at the cursor; returns its type or a negative error. */
int json_value(struct json_reader *r);

/* Writes the document whose '{' is behind the cursor. */
int json_object(struct json_reader *r);

/* The cursor stands on the quote of an object's first name, which starts with '$'. When it is one
 * of Extended JSON's, reads the rest of the object as that value and returns its type; 0 when it
 * is not, without moving. */
int json_wrapper(struct json_reader *r);

#endif
