#include "log/window.h"

#include "base/mem.h"

static int reserve(struct window *w, size_t cap, struct err *e)
{
	if (cap <= w->cap)
		return 0;
	uint8_t *p = mem_retry(w->p, cap);
	if (!p)
		return err_nomem(e);
	w->p = p;
	w->cap = cap;
	return 0;
}

int window_get(struct window *w, uint64_t off, size_t need, uint64_t limit, const uint8_t **p,
	       size_t *got, struct err *e)
{
	uint64_t room = limit > off ? limit - off : 0;
	need = (size_t)MIN((uint64_t)need, room);
	bool inside = off >= w->off && off <= w->off + w->len;
	size_t have = inside ? (size_t)MIN(w->off + w->len - off, room) : 0;
	if (likely(have >= need)) {
		*p = have ? w->p + (off - w->off) : w->p;
		*got = have;
		return 0;
	}
	size_t want = (size_t)MIN(room, (uint64_t)MAX(need, w->ahead));
	if (w->cap < want) {
		/* Small reads stay in a small buffer: an idle reader wakes without allocating. */
		int rc = reserve(w, MAX(want, (size_t)WINDOW_SMALL_BYTES), e);
		if (rc)
			return rc;
	}
	if (have)
		memmove(w->p, w->p + (off - w->off), have);
	w->off = off;
	w->len = have;
	size_t more = 0;
	int rc = file_read(w->file, off + have, w->p + have, want - have, &more, e);
	if (rc)
		return rc;
	w->len += more;
	*p = w->p;
	*got = w->len;
	return 0;
}

void window_forget(struct window *w)
{
	w->len = 0;
}

void window_shrink(struct window *w)
{
	if (w->cap <= WINDOW_SMALL_BYTES)
		return;
	mem_free(w->p);
	w->p = NULL;
	w->cap = w->len = 0;
}

void window_done(struct window *w)
{
	mem_free(w->p);
	w->p = NULL;
	w->cap = w->len = 0;
}

static bool all_zero(const uint8_t *p, size_t len)
{
	for (; len >= 8; p += 8, len -= 8)
		if (get_le64(p))
			return false;
	while (len--)
		if (*p++)
			return false;
	return true;
}

int batch_at(struct window *w, uint32_t seed, uint64_t off, uint64_t limit, bool body,
	     struct batch *out, const uint8_t **body_out, struct err *e)
{
	const uint8_t *p;
	size_t got;
	int rc = window_get(w, off, BATCH_HEADER_BYTES, limit, &p, &got, e);
	if (rc)
		return rc;
	if (got < BATCH_HEADER_BYTES)
		return all_zero(p, got) ? BATCH_NONE : BATCH_SHORT;
	if (!batch_decode(p, seed, out))
		return all_zero(p, BATCH_HEADER_BYTES) ? BATCH_NONE : BATCH_BAD_HEADER;
	if (!body || out->kind == BATCH_LOST) {
		*body_out = NULL;
		return BATCH_WHOLE;
	}
	if (got < out->length) {
		rc = window_get(w, off, out->length, limit, &p, &got, e);
		if (rc)
			return rc;
		if (got < out->length)
			return BATCH_SHORT;
		/* The header may have been read again: what counts is the copy at hand. */
		struct batch again;
		if (!batch_decode(p, seed, &again) || again.length != out->length)
			return BATCH_BAD_HEADER;
		*out = again;
	}
	*body_out = p + BATCH_HEADER_BYTES;
	return batch_body_valid(out, seed, *body_out) ? BATCH_WHOLE : BATCH_BAD_BODY;
}

int batch_find(struct window *w, uint32_t seed, uint64_t from, uint64_t limit, uint64_t *at,
	       struct batch *out, struct err *e)
{
	for (uint64_t off = from;;) {
		const uint8_t *p;
		size_t got;
		int rc = window_get(w, off, BATCH_HEADER_BYTES, limit, &p, &got, e);
		if (rc)
			return rc;
		if (got < BATCH_HEADER_BYTES)
			return 0;
		size_t i = 0;
		while (i + BATCH_HEADER_BYTES <= got &&
		       (get_le16(p + i + 24) != BATCH_MAGIC || !batch_decode(p + i, seed, out)))
			i += 8;
		off += i;
		if (i + BATCH_HEADER_BYTES > got)
			continue;
		const uint8_t *body;
		rc = batch_at(w, seed, off, limit, true, out, &body, e);
		if (rc < 0)
			return rc;
		if (rc == BATCH_WHOLE) {
			*at = off;
			return 1;
		}
		off += 8;
	}
}

int window_zero(struct window *w, uint64_t from, uint64_t limit, struct err *e)
{
	for (uint64_t off = from;;) {
		const uint8_t *p;
		size_t got;
		int rc = window_get(w, off, 1, limit, &p, &got, e);
		if (rc)
			return rc;
		if (got == 0)
			return 1;
		if (!all_zero(p, got))
			return 0;
		off += got;
	}
}
