/* buf.h: a growing run of bytes.
 *
 * Growth can fail; the failure is sticky (`failed`), so code that appends many small pieces checks
 * once at the end with buf_check(). After a failure appends do nothing.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/err.h"
#include "base/slice.h"

struct buf {
	uint8_t *p;
	size_t len, cap;
	bool failed;
};

#define BUF_INIT \
	{ \
		NULL, 0, 0, false \
	}

/* Makes room for `more` bytes after len. False (and b->failed) when out of memory. */
bool buf_grow(struct buf *b, size_t more);

static inline bool buf_reserve(struct buf *b, size_t more)
{
	if (likely(b->cap - b->len >= more))
		return !b->failed;
	return buf_grow(b, more);
}

static inline void buf_add(struct buf *b, const void *p, size_t len)
{
	if (len && likely(buf_reserve(b, len))) {
		memcpy(b->p + b->len, p, len);
		b->len += len;
	}
}

static inline void buf_add_slice(struct buf *b, struct slice s)
{
	buf_add(b, s.p, s.len);
}

static inline void buf_add_str(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

static inline void buf_add_byte(struct buf *b, uint8_t c)
{
	if (likely(buf_reserve(b, 1)))
		b->p[b->len++] = c;
}

void buf_add_fmt(struct buf *b, const char *fmt, ...) PRINTF(2, 3);

static inline struct slice buf_slice(const struct buf *b)
{
	return (struct slice){ b->p, b->len };
}

static inline void buf_reset(struct buf *b)
{
	b->len = 0;
	b->failed = false;
}

/* 0, or ERR_NOMEM when an append failed since the last reset. */
static inline int buf_check(const struct buf *b, struct err *e)
{
	return b->failed ? err_nomem(e) : 0;
}

/* NUL-terminates without counting the NUL; "" on failure. */
const char *buf_cstr(struct buf *b);

void buf_done(struct buf *b);
static inline void buf_auto(struct buf *b)
{
	buf_done(b);
}

#endif
