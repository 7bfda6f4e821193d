/* json.h: MongoDB Extended JSON v2, canonical and relaxed, to and from BSON.
 *
 * Reading takes both forms and plain JSON; single pass, straight into BSON.
 */
#ifndef DOC_JSON_H
#define DOC_JSON_H

#include "doc/bson.h"

enum json_mode { JSON_RELAXED, JSON_CANONICAL };

/* Reads one JSON document (an object) at the start of text, surrounded by white space; appends
 * BSON to out. *used (may be NULL) gets the bytes consumed; with used NULL, anything after the
 * document is an error. ERR_FORMAT with line and column ("line 3, column 14: expected ':' after a
 * field name"), ERR_LIMIT (depth, size). */
int json_to_bson(struct slice text, struct buf *out, size_t *used, struct err *e);

/* The same for any JSON value: array, string, number, ... The value is stored in *v; what it
 * points to lives in out (which must not be touched while v is used). */
int json_to_value(struct slice text, struct buf *out, struct value *v, size_t *used, struct err *e);

/* The same for a text that is nothing but JSON: what looks like Extended JSON in it, {"$date": ...} say, is somebody's
 * document and stays one. around: as many levels will stand around it, and count as its own. */
int json_plain_to_value(struct slice text, uint32_t around, struct buf *out, struct value *v,
			struct err *e);

/* Appends the JSON text of a validated document. Never fails but for memory (out->failed). */
void json_from_bson(struct slice doc, enum json_mode mode, struct buf *out);
void json_from_value(struct value v, enum json_mode mode, struct buf *out);

/* indent > 0: one field a line. */
void json_from_bson_pretty(struct slice doc, enum json_mode mode, int indent, struct buf *out);

#endif
