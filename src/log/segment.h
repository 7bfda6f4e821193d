/* segment.h: the files of a partition: their names, opening one for reading, its sparse index.
 *
 *	DIR/topics/NAME/PARTITION/00000000000000000000.seg    records from offset 0 on
 *	                          00000000000000000000.idx    where in it which offset is
 *	                          00000000000000131072.seg    the next
 *	                          trimmed                     the low-water mark, once trimmed
 *
 * An index is an aid and never believed blindly: its entries carry their own checksums, what one points at must be
 * the batch it names, and a segment reads as well without.
 *
 * Thread: any; no shared state.
 */
#ifndef LOG_SEGMENT_H
#define LOG_SEGMENT_H

#include "log/format.h"
#include "log/meta.h"
#include "log/window.h"

/* Where a partition lives and who it is. */
struct place {
	struct env *env;
	char *dir;
	uint8_t log_id[16], topic_id[16];
	uint32_t partition;
};

int segment_path(const struct place *pl, uint64_t base, const char *suffix, char out[PATH_BYTES],
		 struct err *e);
/* "00000000000000000042.seg" with that suffix? Then its base offset. */
bool segment_name_parse(const char *name, const char *suffix, uint64_t *base);

/* Opens the segment for reading and finds its identity in one of the two header copies or, when both are damaged, in
 * its index. copies_valid (may be NULL) tells how many copies were good. ERR_NOTFOUND; ERR_CORRUPT when no identity
 * was found or it is another segment's; ERR_VERSION. */
int segment_open(const struct place *pl, uint64_t base, struct file **out,
		 struct segment_header *header, int *copies_valid, struct err *e);

/* The sorted base offsets of all files with that suffix; *out is the caller's to mem_free. */
int segment_list(const struct place *pl, const char *suffix, uint64_t **out, size_t *n,
		 struct err *e);

/* The entry to start from to find `offset`: the last at or before it; the segment's first batch when there is no
 * such entry, no index or a damaged one. Verified to point at a batch of w->file. */
int index_seek_offset(const struct place *pl, const struct segment_header *h, struct window *w,
		      uint64_t offset, struct index_entry *out, struct err *e);
/* The same for the first record with a time >= time_ms. */
int index_seek_time(const struct place *pl, const struct segment_header *h, struct window *w,
		    int64_t time_ms, struct index_entry *out, struct err *e);

/* All valid entries of the index, in the file's order, as far as they ascend. *valid_bytes: where the first that is
 * not would be, so 0 when the header is bad or the file missing. *durable: the highest of all valid entries. */
int index_load(const struct place *pl, const struct segment_header *h, struct index_entry **out,
	       size_t *n, uint64_t *valid_bytes, uint64_t *durable, struct err *e);

/* Writes the index anew from the segment's batch headers. */
int index_rebuild(const struct place *pl, uint64_t base, struct err *e);

/* The greatest record time of a segment; INT64_MIN when it has none. */
int segment_max_time(const struct place *pl, uint64_t base, int64_t *out, struct err *e);

#endif
