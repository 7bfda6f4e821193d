/* lookup.h: documents out of the log: as they are now, and as one entry left them.
 *
 * "As they are now" goes through the index of latest documents (latest.h). It is a follower of the log like any other:
 * each look-up first reads what was appended since the last one, so it works in the writer and in reader processes
 * alike, and costs nothing until the first look-up.
 *
 * "As one entry left them" follows the chain of entries back to a whole image and applies the differences forward. The
 * images made last are kept, so that a document that changes often costs one step, not the whole chain.
 *
 * Thread: any; takes its own lock, which is below the oplog's.
 */
#ifndef CHANGE_LOOKUP_H
#define CHANGE_LOOKUP_H

#include "change/entry.h"

#define LOOKUP_CACHE_SLOTS 4096         /* images kept, at most */
#define LOOKUP_CACHE_BYTES (16u << 20)  /* and their bytes */
#define LOOKUP_CACHE_IMAGE (256u << 10) /* bytes of the largest one kept */

struct lookup;

/* patterns: collections whose documents may be looked up (latest_chosen); borrowed. Borrows the topic. */
int lookup_new(struct log_topic *topic, struct env *env, const char *const *patterns,
	       size_t bytes_max, struct lookup **out, struct err *e);
void lookup_free(struct lookup *l);

struct lookup_found {
	uint64_t offset; /* of the document's latest entry */
	uint8_t chain;
};

/* 1: appends the image of the document as of all entries below `upto` (offset; what the log has by now, if less is
 * known) to image and fills *found (may be NULL). 0: the log knows of no such document. ERR_NO_IMAGE: its history was
 * trimmed away. ERR_LIMIT: the index is full. ERR_INVALID: the collection is not chosen. */
int lookup_latest(struct lookup *l, struct slice db, struct slice coll, struct value id,
		  uint64_t upto, struct buf *image, struct lookup_found *found, struct err *e);

/* Appends the document as the entry at offset left it. ERR_NO_IMAGE (number 47): the log does not have it. */
int lookup_image(struct lookup *l, uint64_t offset, struct buf *image, struct err *e);

/* What identifies the entry at offset, and when it was. */
struct entry_mark {
	uint64_t cluster_time;
	uint32_t check;  /* entry_check */
	int64_t wall_ms; /* its wallTime */
	int64_t log_ms;  /* its time in the log: never goes back */
};

/* ERR_HISTORY_LOST, ERR_NOTFOUND (not there yet). */
int lookup_mark(struct lookup *l, uint64_t offset, struct entry_mark *out, struct err *e);

/* Tells what the entry at offset, just appended, made of its document. */
void lookup_remember(struct lookup *l, uint64_t offset, uint8_t chain, struct slice image);

void lookup_stat(struct lookup *l, uint64_t *documents, uint64_t *bytes);

#endif
