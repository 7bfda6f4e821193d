/* doc.h: documents: BSON bytes and JSON text, in and out.
 *
 * weir keeps documents as BSON. Wherever a function takes a weir_doc, it takes BSON bytes (from weir, libbson, a
 * driver) or Extended JSON text; the caller says which:
 *
 *	weir_json("{ \"_id\": \"user1\", \"age\": 30 }")
 *	weir_bson(bson_get_data(b), b->len)
 *
 * What weir hands out is always BSON, borrowed from the object it came from. Bytes that come in are checked in full
 * (WEIR_ERR_FORMAT with the place, WEIR_ERR_LIMIT for more than 200 levels or too many bytes).
 *
 * Thread: any; a weir_buffer belongs to one thread at a time.
 */
#ifndef WEIR_DOC_H
#define WEIR_DOC_H

#include <stdbool.h>
#include <string.h>

#include "weir/error.h"

#ifdef __cplusplus
extern "C" {
#endif

enum weir_form {
	WEIR_FORM_BSON,
	WEIR_FORM_JSON, /* MongoDB Extended JSON v2, canonical or relaxed, or plain JSON */
	WEIR_FORM_ARRAY /* BSON bytes of an array: where a pipeline is meant */
};

/* A borrowed document; { NULL, 0, 0 } is "none". */
typedef struct weir_doc {
	const void *data;
	size_t len; /* bytes */
	enum weir_form form;
} weir_doc;

static inline weir_doc weir_none(void)
{
	weir_doc d = { NULL, 0, WEIR_FORM_BSON };
	return d;
}

static inline weir_doc weir_bson(const void *data, size_t len)
{
	weir_doc d = { data, len, WEIR_FORM_BSON };
	return d;
}

static inline weir_doc weir_bson_array(const void *data, size_t len)
{
	weir_doc d = { data, len, WEIR_FORM_ARRAY };
	return d;
}

static inline weir_doc weir_json_n(const char *text, size_t len)
{
	weir_doc d = { text, len, WEIR_FORM_JSON };
	return d;
}

static inline weir_doc weir_json(const char *text)
{
	return weir_json_n(text, text ? strlen(text) : 0);
}

/* Bytes that the caller owns: start with WEIR_BUFFER_INIT, hand it to functions that append, read data[0 .. len),
 * end with weir_buffer_free. Text is followed by a NUL that len does not count. */
typedef struct weir_buffer {
	unsigned char *data;
	size_t len, cap;
	bool failed; /* weir's own */
} weir_buffer;

#ifdef __cplusplus
#define WEIR_BUFFER_INIT weir_buffer()
#else
#define WEIR_BUFFER_INIT { NULL, 0, 0, false }
#endif

WEIR_API void weir_buffer_clear(weir_buffer *b); /* empties, keeps the memory */
WEIR_API void weir_buffer_free(weir_buffer *b);  /* may be used again afterwards */

/* ---- JSON and BSON ---- */

enum weir_json_mode {
	WEIR_JSON_RELAXED,  /* 1, 1.5, "text", {"$date":"2026-..."} */
	WEIR_JSON_CANONICAL /* {"$numberInt":"1"}: keeps every type */
};

/* Appends the BSON of the JSON object at the start of text. *used (may be NULL) gets the bytes read, so that several
 * documents may follow each other; with used NULL, anything but white space after it is an error.
 * FORMAT ("line 3, column 14: ..."), LIMIT. out is unchanged on an error. */
WEIR_API int weir_json_to_bson(const char *text, size_t len, weir_buffer *out, size_t *used,
			       weir_error *e);

/* Appends JSON text; indent > 0 puts every field on a line of its own, indented by so many blanks. FORMAT, LIMIT. */
WEIR_API int weir_bson_to_json(weir_doc doc, enum weir_json_mode mode, int indent, weir_buffer *out,
			       weir_error *e);

/* Checks BSON bytes in full: 0, FORMAT (path and byte), LIMIT. */
WEIR_API int weir_bson_validate(const void *data, size_t len, weir_error *e);

/* ---- looking into BSON documents ---- */

enum weir_type {
	WEIR_TYPE_MISSING = 0x00,
	WEIR_TYPE_DOUBLE = 0x01,
	WEIR_TYPE_STRING = 0x02,
	WEIR_TYPE_DOCUMENT = 0x03,
	WEIR_TYPE_ARRAY = 0x04,
	WEIR_TYPE_BINARY = 0x05,
	WEIR_TYPE_UNDEFINED = 0x06,
	WEIR_TYPE_OID = 0x07,
	WEIR_TYPE_BOOL = 0x08,
	WEIR_TYPE_DATE = 0x09,
	WEIR_TYPE_NULL = 0x0a,
	WEIR_TYPE_REGEX = 0x0b,
	WEIR_TYPE_DBPOINTER = 0x0c,
	WEIR_TYPE_CODE = 0x0d,
	WEIR_TYPE_SYMBOL = 0x0e,
	WEIR_TYPE_CODE_W_SCOPE = 0x0f,
	WEIR_TYPE_INT32 = 0x10,
	WEIR_TYPE_TIMESTAMP = 0x11,
	WEIR_TYPE_INT64 = 0x12,
	WEIR_TYPE_DECIMAL128 = 0x13,
	WEIR_TYPE_MAXKEY = 0x7f,
	WEIR_TYPE_MINKEY = 0xff
};

/* One value, borrowed from the document it was found in. */
typedef struct weir_value {
	uint8_t type;    /* enum weir_type */
	uint8_t subtype; /* of a BINARY */
	uint32_t len;    /* bytes at u.bytes */
	union {
		/* INT32, INT64, DATE (ms since 1970), BOOL (0, 1), TIMESTAMP (seconds << 32 | i) */
		int64_t i64;
		double f64;      /* DOUBLE */
		uint64_t dec[2]; /* DECIMAL128: low, high */
		/* STRING, SYMBOL, CODE: text, followed by a NUL; DOCUMENT, ARRAY: BSON; BINARY: data;
		 * OID: 12 bytes; REGEX: pattern NUL options NUL; others: the raw value */
		const uint8_t *bytes;
	} u;
} weir_value;

/* The value at a dotted path ("a.b", "list.0.x") of a BSON document that weir gave out or has validated. 1 found, 0
 * not there (or the document is JSON text or none). */
WEIR_API int weir_get(weir_doc doc, const char *path, weir_value *out);

/* The same for one type. *out is unchanged unless 1 is returned; 0: not there or of another type. */
WEIR_API int weir_get_string(weir_doc doc, const char *path,
			     const char **out); /* NUL-terminated, borrowed */
WEIR_API int weir_get_int64(weir_doc doc, const char *path,
			    int64_t *out); /* int32, int64, a double without fraction */
WEIR_API int weir_get_double(weir_doc doc, const char *path, double *out); /* any number */
WEIR_API int weir_get_bool(weir_doc doc, const char *path, bool *out);
WEIR_API int weir_get_date(weir_doc doc, const char *path, int64_t *ms); /* ms since 1970 */
WEIR_API int weir_get_doc(weir_doc doc, const char *path,
			  weir_doc *out); /* a document or an array */

/* Walks the fields of a document or array (none of JSON text):
 *
 *	weir_iter it;
 *	weir_iter_init(&it, doc);
 *	while (weir_iter_next(&it)) use it.key, it.value;
 */
typedef struct weir_iter {
	const char *key; /* NUL-terminated */
	weir_value value;
	const void *at_, *end_; /* weir's own */
} weir_iter;

WEIR_API void weir_iter_init(weir_iter *it, weir_doc doc);
WEIR_API int weir_iter_next(weir_iter *it);

/* Appends the JSON text of one value. */
WEIR_API int weir_value_to_json(const weir_value *v, enum weir_json_mode mode, weir_buffer *out,
				weir_error *e);

/* Appends the text a table cell would show: strings without quotes, dates as 2026-01-31T12:00:00.000Z, else JSON. */
WEIR_API int weir_value_to_text(const weir_value *v, weir_buffer *out, weir_error *e);

/* < 0, 0, > 0 in BSON's order (numbers compare across types). */
WEIR_API int weir_value_compare(const weir_value *a, const weir_value *b);

/* "string", "int", "objectId", ... (MongoDB's names). Static. */
WEIR_API const char *weir_type_name(int type);

/* ---- making documents ---- */

/* Appends doc with an _id in front: the value at the dotted path id_path (replacing an _id that doc may have).
 * NOTFOUND when there is no such value, INVALID when it is an array, a regular expression or undefined. */
WEIR_API int weir_doc_with_id(weir_doc doc, const char *id_path, weir_buffer *out, weir_error *e);

/* Applies the updateDescription of a change event to the image before it and appends the image after it. What a
 * consumer that keeps a copy needs. INVALID when the two do not belong together. */
WEIR_API int weir_apply_update(weir_doc before, weir_doc update_description, weir_buffer *out,
			       weir_error *e);

/* ---- reading many documents out of JSON text ----
 *
 * Takes text in pieces of any size and gives documents: NDJSON (or documents one after the other), a JSON array of
 * documents, or a GeoJSON FeatureCollection (its features). Holds one document and the piece at hand, not the file.
 *
 *	while ((n = read(fd, piece, sizeof piece)) > 0) {
 *		weir_json_reader_feed(r, piece, n, &e);
 *		while ((rc = weir_json_reader_next(r, &doc, &place, &e)) == 1) ...
 *	}
 *	weir_json_reader_end(r);                    // then next until it returns 0
 *
 * Thread: one at a time.
 */
typedef struct weir_json_reader weir_json_reader;

enum weir_json_input {
	WEIR_INPUT_AUTO, /* by the first bytes */
	WEIR_INPUT_NDJSON,
	WEIR_INPUT_ARRAY,
	WEIR_INPUT_FEATURES
};

/* Where a document began. */
typedef struct weir_place {
	uint64_t line;   /* from 1 */
	uint64_t offset; /* bytes before it */
	uint64_t index;  /* documents before it */
} weir_place;

WEIR_API int weir_json_reader_new(enum weir_json_input input, weir_json_reader **out,
				  weir_error *e);
WEIR_API void weir_json_reader_free(weir_json_reader *r); /* NULL is fine */

/* Copies the piece. */
WEIR_API int weir_json_reader_feed(weir_json_reader *r, const char *text, size_t len,
				   weir_error *e);
WEIR_API void weir_json_reader_end(weir_json_reader *r); /* no more pieces */

/* 1: *doc is the next document (BSON, borrowed until the next call on r) and *place (may be NULL) where it began.
 * 0: feed more, or, after _end, that was all. FORMAT, LIMIT: the text of this document is wrong ("line 7, column 3:
 * ..." counted from the start of the input, and *place is set); the next call goes on behind it: at the next line
 * (NDJSON) or the next element. Where the input as a whole is broken (not an array, ends in the middle) the error
 * stays: every further call gives it again, with the same *place. */
WEIR_API int weir_json_reader_next(weir_json_reader *r, weir_doc *doc, weir_place *place,
				   weir_error *e);

/* What AUTO found: enum weir_json_input; AUTO while undecided. */
WEIR_API enum weir_json_input weir_json_reader_input(const weir_json_reader *r);

#ifdef __cplusplus
}
#endif

#endif
