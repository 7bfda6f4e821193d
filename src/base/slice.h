/* slice.h: bytes somebody else owns, passed by value; and the little-endian and big-endian access
 * that formats need. A slice is never assumed to end in NUL. */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include "base/base.h"

#include <string.h>

struct slice {
	const uint8_t *p;
	size_t len;
};

#define SLICE_NONE   ((struct slice){ NULL, 0 })
#define SLICE_LIT(s) ((struct slice){ (const uint8_t *)(s), sizeof(s) - 1 })
#define SLICE_FMT    "%.*s"
#define SLICE_ARG(s) ((int)(s).len), ((const char *)(s).p)

static inline struct slice slice_of(const void *p, size_t len)
{
	return (struct slice){ p, len };
}

static inline struct slice slice_str(const char *s)
{
	return (struct slice){ (const uint8_t *)s, strlen(s) };
}

static inline bool slice_eq(struct slice a, struct slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

static inline bool slice_is(struct slice a, const char *s)
{
	return slice_eq(a, slice_str(s));
}

/* memcmp order; the shorter is less. */
static inline int slice_cmp(struct slice a, struct slice b)
{
	size_t n = MIN(a.len, b.len);
	int c = n ? memcmp(a.p, b.p, n) : 0;
	if (c)
		return c;
	return a.len < b.len ? -1 : a.len > b.len;
}

static inline uint16_t get_le16(const void *p)
{
	uint16_t v;
	memcpy(&v, p, 2);
	return v;
}
static inline uint32_t get_le32(const void *p)
{
	uint32_t v;
	memcpy(&v, p, 4);
	return v;
}
static inline uint64_t get_le64(const void *p)
{
	uint64_t v;
	memcpy(&v, p, 8);
	return v;
}
static inline void put_le16(void *p, uint16_t v)
{
	memcpy(p, &v, 2);
}
static inline void put_le32(void *p, uint32_t v)
{
	memcpy(p, &v, 4);
}
static inline void put_le64(void *p, uint64_t v)
{
	memcpy(p, &v, 8);
}
static inline uint16_t get_be16(const void *p)
{
	return __builtin_bswap16(get_le16(p));
}
static inline uint32_t get_be32(const void *p)
{
	return __builtin_bswap32(get_le32(p));
}
static inline uint64_t get_be64(const void *p)
{
	return __builtin_bswap64(get_le64(p));
}
static inline void put_be16(void *p, uint16_t v)
{
	put_le16(p, __builtin_bswap16(v));
}
static inline void put_be32(void *p, uint32_t v)
{
	put_le32(p, __builtin_bswap32(v));
}
static inline void put_be64(void *p, uint64_t v)
{
	put_le64(p, __builtin_bswap64(v));
}

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	      "weir's formats are read in place: little-endian only");

#endif
