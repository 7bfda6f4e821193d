/* utf8.h: strict UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing above U+10FFFF. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include "base/slice.h"

/* Offset of the first byte that does not belong to valid UTF-8, or s.len when all do. */
size_t utf8_valid_prefix(struct slice s);

static inline bool utf8_valid(struct slice s)
{
	return utf8_valid_prefix(s) == s.len;
}

/* Reads one code point at s.p; returns its bytes (1 to 4), or 0 when empty or invalid. */
size_t utf8_decode(struct slice s, uint32_t *cp);

/* Writes cp (valid, no surrogate) to out[4]; returns the bytes written. */
size_t utf8_encode(uint32_t cp, uint8_t out[4]);

/* Code points in valid UTF-8. */
size_t utf8_count(struct slice s);

#endif
