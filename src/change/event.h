/* event.h: a change event: an entry of the oplog with its resume token in front.
 *
 *	entry   { operationType, clusterTime, wallTime, ns, documentKey, ..., [weir] }
 *	event   { _id: { _data: token }, operationType, clusterTime, ..., [fullDocument] }
 *
 * Built by copying bytes. An event owns what it holds and may be reused for the next one.
 *
 * Thread: one at a time.
 */
#ifndef CHANGE_EVENT_H
#define CHANGE_EVENT_H

#include "change/entry.h"
#include "change/token.h"

#define EVENT_ID_BYTES (4 + 1 + 6 + 4 + TOKEN_TEXT + 1 + 1) /* the document { _data: token } */

/* The fullDocument of an update event. */
enum event_full { EVENT_FULL_NONE, EVENT_FULL_NULL, EVENT_FULL_IMAGE };

struct event {
	enum change_op op;
	uint64_t offset, cluster_time;
	int64_t wall_ms;
	uint32_t check; /* entry_check, as in the token */
	char token[TOKEN_TEXT + 1];
	struct buf source; /* the event as it happened */
	struct buf piped;  /* as the pipeline left it */
	bool has_piped;
};

/* Zero-initialised is empty. */
void event_done(struct event *ev);
size_t event_memory(const struct event *ev);

/* Makes ev the event of entry n, of which event_bytes belong to it and v are the fields (entry_fields). */
int event_build(struct event *ev, const struct token_key *k, const struct entry *n,
		const struct value *v, size_t event_bytes, enum event_full full, struct slice image,
		struct err *e);

/* Writes { _data: text }. */
void event_id(const char token[TOKEN_TEXT + 1], uint8_t out[EVENT_ID_BYTES]);

int event_copy(const struct event *ev, struct event *out, struct err *e);

/* What the caller of a stream sees. */
static inline struct slice event_bson(const struct event *ev)
{
	return buf_slice(ev->has_piped ? &ev->piped : &ev->source);
}

/* A field of the event as it happened. */
struct value event_get(const struct event *ev, enum entry_field f);

#endif
