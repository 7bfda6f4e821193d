/* reader.h: the reader's inside, shared by reader.c (reading) and tail.c (waiting, descriptors). */
#ifndef LOG_READER_H
#define LOG_READER_H

#include "log/partition.h"

struct log_reader {
	struct partition *p;
	bool durable_only;
	size_t buffer_bytes;
	uint64_t pos;  /* the next offset to deliver */
	uint64_t seen; /* the highest end seen: the log must never end before it again */

	/* The place of the next batch, once found. */
	bool placed;
	bool near;        /* not placed, but the segment of pos is open */
	uint64_t reached; /* offsets from the open segment's first up to here are known to be in it */
	struct segment_header h;
	uint32_t seed;
	uint64_t byte, offset; /* in w.file; its base offset */
	struct window w;
	uint64_t session;
	struct tail
		blocked; /* a torn tail was met below this end: nothing to do until it changes */

	/* Records of the batch at hand, in w's memory. */
	const uint8_t *at, *end;
	uint32_t left;
	int64_t base_time_ms;
	uint64_t next_offset;

	_Atomic bool interrupted;
	int fd; /* -1: none */
	bool idle; /* next() found nothing: until reader_busy() the watching thread looks at the place */
	bool signalled; /* this and the rest guarded by log->watch.lock */
	struct log_reader *prev, *next;
};

/* True when log_reader_next may have something to say. */
bool reader_ready(struct log_reader *r);
/* Nothing there: the descriptor, if any, is cleared, and signalled again when something comes. */
void reader_idle(struct log_reader *r);
void reader_busy(struct log_reader *r);
void reader_unwatch(struct log_reader *r);

#endif
