#include "base/utf8.h"

static bool is_tail(uint8_t c)
{
	return (c & 0xc0) == 0x80;
}

size_t utf8_decode(struct slice s, uint32_t *cp)
{
	if (s.len == 0)
		return 0;
	const uint8_t *p = s.p;
	uint8_t c = p[0];
	if (c < 0x80) {
		*cp = c;
		return 1;
	}
	if (c < 0xc2)
		return 0;
	if (c < 0xe0) {
		if (s.len < 2 || !is_tail(p[1]))
			return 0;
		*cp = ((uint32_t)(c & 0x1f) << 6) | (p[1] & 0x3f);
		return 2;
	}
	if (c < 0xf0) {
		if (s.len < 3 || !is_tail(p[1]) || !is_tail(p[2]))
			return 0;
		uint32_t v = ((uint32_t)(c & 0x0f) << 12) | ((uint32_t)(p[1] & 0x3f) << 6) |
			     (p[2] & 0x3f);
		if (v < 0x800 || (v >= 0xd800 && v <= 0xdfff))
			return 0;
		*cp = v;
		return 3;
	}
	if (c < 0xf5) {
		if (s.len < 4 || !is_tail(p[1]) || !is_tail(p[2]) || !is_tail(p[3]))
			return 0;
		uint32_t v = ((uint32_t)(c & 0x07) << 18) | ((uint32_t)(p[1] & 0x3f) << 12) |
			     ((uint32_t)(p[2] & 0x3f) << 6) | (p[3] & 0x3f);
		if (v < 0x10000 || v > 0x10ffff)
			return 0;
		*cp = v;
		return 4;
	}
	return 0;
}

size_t utf8_encode(uint32_t cp, uint8_t out[4])
{
	ASSERT(cp <= 0x10ffff);
	if (cp < 0x80) {
		out[0] = (uint8_t)cp;
		return 1;
	}
	if (cp < 0x800) {
		out[0] = (uint8_t)(0xc0 | (cp >> 6));
		out[1] = (uint8_t)(0x80 | (cp & 0x3f));
		return 2;
	}
	if (cp < 0x10000) {
		out[0] = (uint8_t)(0xe0 | (cp >> 12));
		out[1] = (uint8_t)(0x80 | ((cp >> 6) & 0x3f));
		out[2] = (uint8_t)(0x80 | (cp & 0x3f));
		return 3;
	}
	out[0] = (uint8_t)(0xf0 | (cp >> 18));
	out[1] = (uint8_t)(0x80 | ((cp >> 12) & 0x3f));
	out[2] = (uint8_t)(0x80 | ((cp >> 6) & 0x3f));
	out[3] = (uint8_t)(0x80 | (cp & 0x3f));
	return 4;
}

size_t utf8_valid_prefix(struct slice s)
{
	size_t i = 0;
	while (i < s.len) {
		/* Eight ASCII bytes at a time: most text is. */
		while (s.len - i >= 8 && !(get_le64(s.p + i) & UINT64_C(0x8080808080808080)))
			i += 8;
		if (i == s.len)
			break;
		uint32_t cp;
		size_t n = utf8_decode(slice_of(s.p + i, s.len - i), &cp);
		if (n == 0)
			return i;
		i += n;
	}
	return s.len;
}

size_t utf8_count(struct slice s)
{
	size_t n = 0;
	for (size_t i = 0; i < s.len; i++)
		n += !is_tail(s.p[i]);
	return n;
}
