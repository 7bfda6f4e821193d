#include "doc/path.h"

uint32_t path_index(struct slice name)
{
	if (name.len == 0 || name.len > 9 || (name.len > 1 && name.p[0] == '0'))
		return PATH_NO_INDEX;
	uint32_t n = 0;
	for (size_t i = 0; i < name.len; i++) {
		if (name.p[i] < '0' || name.p[i] > '9')
			return PATH_NO_INDEX;
		n = n * 10 + (name.p[i] - '0');
	}
	return n;
}

int path_split(struct slice text, struct arena *a, struct path *out, struct err *e)
{
	uint32_t n = 1;
	for (size_t i = 0; i < text.len; i++) {
		n += text.p[i] == '.';
		if (n > PATH_PARTS_MAX)
			return err_set(e, ERR_LIMIT, "the path has more than %d parts",
				       PATH_PARTS_MAX);
	}
	struct path_part *part = arena_try_array(a, n, sizeof(*part));
	if (!part)
		return err_nomem(e);
	const uint8_t *at = text.p, *end = text.p + text.len;
	for (uint32_t i = 0; i < n; i++) {
		const uint8_t *dot = at < end ? memchr(at, '.', (size_t)(end - at)) : NULL;
		const uint8_t *stop = dot ? dot : end;
		part[i].name = slice_of(at, (size_t)(stop - at));
		part[i].index = path_index(part[i].name);
		at = stop + 1;
	}
	*out = (struct path){ part, n };
	return 0;
}
