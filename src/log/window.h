/* window.h: a private copy of a stretch of a file, and the batch that stands in it.
 *
 * Everything that reads segments (readers, recovery, verify, repair) reads them into its own memory and validates
 * that copy: a file cut short under a reader gives fewer bytes, not a SIGBUS, and bytes that change after their
 * checksum was verified do not matter.
 *
 * Thread: one at a time.
 */
#ifndef LOG_WINDOW_H
#define LOG_WINDOW_H

#include "log/format.h"

#define WINDOW_SMALL_BYTES 8192 /* what an idle reader keeps */

struct window {
	struct file *file;
	uint8_t *p;
	size_t cap;
	uint64_t off; /* of p[0] in the file */
	size_t len;
	size_t ahead; /* bytes to read at once when that many are there */
};

/* Points *p at the bytes of the file at [off, off + need); *got says how many there are, fewer at the end of the file
 * or at `limit`. Valid until the next call. */
int window_get(struct window *w, uint64_t off, size_t need, uint64_t limit, const uint8_t **p,
	       size_t *got, struct err *e);
void window_forget(struct window *w); /* the bytes, not the memory */
void window_shrink(struct window *w); /* to WINDOW_SMALL_BYTES at most */
void window_done(struct window *w);

enum batch_state {
	BATCH_WHOLE,
	BATCH_NONE,  /* zeros, or nothing, where a header would be: the end of the data */
	BATCH_SHORT, /* the bytes end inside it */
	BATCH_BAD_HEADER,
	BATCH_BAD_BODY, /* header and so its extent are right */
};

/* Looks at the batch at off; bytes from `limit` on do not exist. Returns the state or a negative error. With body
 * false the records are neither read nor checked. *body is valid until the next call on w. */
int batch_at(struct window *w, uint32_t seed, uint64_t off, uint64_t limit, bool body,
	     struct batch *out, const uint8_t **body_out, struct err *e);

/* Finds the first valid batch (header and body) at or after `from`, a multiple of 8. 1 found, 0 none. */
int batch_find(struct window *w, uint32_t seed, uint64_t from, uint64_t limit, uint64_t *at,
	       struct batch *out, struct err *e);

/* 1 when [from, limit) up to the end of the file holds zeros only, 0 when not. */
int window_zero(struct window *w, uint64_t from, uint64_t limit, struct err *e);

#endif
