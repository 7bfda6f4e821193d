/* event.c: the bytes of an event.
 *
 *	u32 length
 *	03 "_id" 00        { u32 length, 02 "_data" 00, u32 length, token 00, 00 }
 *	...                the entry's elements, as they are
 *	[03 | 0a "fullDocument" 00 ...]
 *	00
 */
#include "change/event.h"

static const uint8_t id_head[] = { BSON_DOCUMENT, '_', 'i', 'd', 0 };

void event_done(struct event *ev)
{
	buf_done(&ev->source);
	buf_done(&ev->piped);
}

size_t event_memory(const struct event *ev)
{
	return ev->source.cap + ev->piped.cap;
}

void event_id(const char token[TOKEN_TEXT + 1], uint8_t out[EVENT_ID_BYTES])
{
	uint8_t *p = out;
	put_le32(p, EVENT_ID_BYTES);
	p += 4;
	*p++ = BSON_STRING;
	memcpy(p, "_data", 6);
	p += 6;
	put_le32(p, TOKEN_TEXT + 1);
	p += 4;
	memcpy(p, token, TOKEN_TEXT + 1);
	p += TOKEN_TEXT + 1;
	*p++ = 0;
	ASSERT(p == out + EVENT_ID_BYTES);
}

static void add_full_document(struct buf *b, enum event_full full, struct slice image)
{
	if (full == EVENT_FULL_NONE)
		return;
	const char *name = entry_field_names[ENTRY_FULL_DOCUMENT];
	buf_add_byte(b, full == EVENT_FULL_NULL ? BSON_NULL : BSON_DOCUMENT);
	buf_add(b, name, strlen(name) + 1);
	if (full == EVENT_FULL_IMAGE)
		buf_add_slice(b, image);
}

int event_build(struct event *ev, const struct token_key *k, const struct entry *n,
		const struct value *v, size_t event_bytes, enum event_full full, struct slice image,
		struct err *e)
{
	ev->op = n->op;
	ev->offset = n->offset;
	ev->cluster_time = (uint64_t)v[ENTRY_CLUSTER_TIME].i64;
	ev->wall_ms = v[ENTRY_WALL_TIME].i64;
	ev->check = entry_check(n);
	ev->has_piped = false;
	const struct token t = {
		.position = n->offset,
		.cluster_time = ev->cluster_time,
		.check = ev->check,
		.kind = TOKEN_EVENT,
	};
	token_encode(k, &t, ev->token);

	struct buf *b = &ev->source;
	buf_reset(b);
	if (!buf_reserve(b, sizeof(id_head) + EVENT_ID_BYTES + event_bytes + image.len + 32))
		return err_nomem(e);
	b->len = 4;
	buf_add(b, id_head, sizeof(id_head));
	event_id(ev->token, b->p + b->len);
	b->len += EVENT_ID_BYTES;
	buf_add(b, n->doc.p + 4, event_bytes - 4);
	add_full_document(b, full, image);
	buf_add_byte(b, 0);
	ASSERT(!b->failed);
	put_le32(b->p, (uint32_t)b->len);
	return 0;
}

int event_copy(const struct event *ev, struct event *out, struct err *e)
{
	*out = *ev;
	out->source = out->piped = (struct buf)BUF_INIT;
	buf_add_slice(&out->source, buf_slice(&ev->source));
	if (ev->has_piped)
		buf_add_slice(&out->piped, buf_slice(&ev->piped));
	if (!out->source.failed && !out->piped.failed)
		return 0;
	event_done(out);
	return err_nomem(e);
}

struct value event_get(const struct event *ev, enum entry_field f)
{
	return bson_get_str(buf_slice(&ev->source), entry_field_names[f]);
}
