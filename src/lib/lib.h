/* lib.h: what the files of the public API share. They are thin: check arguments, take documents and options in, call,
 * hand out.
 *
 * weir_error is struct err, weir_buffer is struct buf and weir_value is struct value under public names: the layouts
 * are asserted in weir.c, and pointers are cast.
 */
#ifndef LIB_LIB_H
#define LIB_LIB_H

#include "base/buf.h"
#include "change/oplog.h"
#include "doc/bson.h"
#include "weir/weir.h"

struct weir_oplog {
	struct oplog *oplog;
	char **latest; /* copies of the patterns, NULL at the end; NULL: all */
};

static inline struct err *lib_err(weir_error *e)
{
	return (struct err *)(void *)e;
}

static inline struct buf *lib_buf(weir_buffer *b)
{
	return (struct buf *)(void *)b;
}

/* A document of the caller as validated BSON: *out points into the caller's bytes or into tmp. none: empty.
 * *is_array (may be NULL: arrays are refused). what: "document", "filter", ... for the message. */
int lib_doc(weir_doc in, const char *what, struct buf *tmp, struct slice *out, bool *is_array,
	    struct err *e);

/* An array, whichever way it is given. */
int lib_array(weir_doc in, const char *what, struct buf *tmp, struct slice *out, struct err *e);

/* What weir hands out. */
weir_doc lib_doc_out(struct value v); /* none unless a document or an array */

/* Copies the caller's options (NULL: none) over dst, a zeroed struct of dst_size bytes that begins with its size.
 * ERR_INVALID without a size, ERR_UNSUPPORTED for fields that this version does not know. */
int lib_options(void *dst, size_t dst_size, const void *src, struct err *e);

/* How many bytes of an output struct the caller has; ERR_INVALID without a size. */
int lib_out_size(const void *out, size_t known, size_t *bytes, struct err *e);

int lib_null(struct err *e, const char *what);

static inline weir_timestamp lib_timestamp(uint64_t t)
{
	weir_timestamp out = { (uint32_t)(t >> 32), (uint32_t)t };
	return out;
}

#endif
