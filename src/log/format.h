/* format.h: the bytes of segments, batches, records and index entries. docs/formats/log.md is the
 * reference; this is the code that agrees with it. Pure: bytes in, bytes out.
 *
 *	segment   header copy A (512) | header copy B (512) | batch | batch | ... | seal | end
 *	                                                                     zeros up to what is
 *	                                                                     preallocated
 *	batch     header (64) | records | zeros to a multiple of 8
 *	index     header (128) | entry (32) | entry ...
 *
 * Every checksum starts from the segment's seed, which is made of the log's, the topic's and the
 * segment's identity and a random epoch: bytes of another log, another segment or an older life of a
 * file never validate.
 *
 * Thread: any; no state.
 */
#ifndef LOG_FORMAT_H
#define LOG_FORMAT_H

#include "base/err.h"
#include "base/slice.h"
#include "log/log.h"

#define LOG_FORMAT_VERSION 1

#define SEGMENT_COPY_BYTES   512  /* one header copy: a sector of its own */
#define SEGMENT_HEADER_BYTES 1024 /* the first batch begins here */
#define SEGMENT_BYTES_MIN    4096
#define SEGMENT_BYTES_MAX    (UINT64_C(1) << 30)
#define HEADER_BLOCK_BYTES   128
#define BATCH_HEADER_BYTES   64
#define BATCH_BYTES_MAX      (128u << 20)
#define BATCH_MAGIC          0x7742u
#define INDEX_ENTRY_BYTES    32
#define INDEX_STEP_BYTES     (16u << 10) /* an index entry at least every so many bytes of batches */

static_assert(LOG_RECORD_MAX + 1024 < BATCH_BYTES_MAX, "the largest record fits a batch");

/* What makes a segment this one. */
struct segment_header {
	uint8_t log_id[16], topic_id[16];
	uint32_t partition;
	uint64_t base_offset;   /* of its first record; also its file name */
	uint64_t base_position; /* bytes of all segments before it: positions grow for ever */
	uint64_t epoch;         /* random */
	uint64_t durable;       /* every offset below it was durable when the segment was made */
	int64_t created_ms;
};

enum header_kind { HEADER_SEGMENT, HEADER_INDEX };

void header_encode(const struct segment_header *h, enum header_kind kind,
		   uint8_t out[HEADER_BLOCK_BYTES]);
/* 1 valid, 0 not; ERR_VERSION for a valid header of a newer format. */
int header_decode(const uint8_t in[HEADER_BLOCK_BYTES], enum header_kind kind,
		  struct segment_header *out);
uint32_t header_seed(const struct segment_header *h);

enum batch_kind {
	BATCH_DATA = 1, /* records */
	BATCH_SEAL,     /* the segment ends here, the next begins at its base offset */
	BATCH_MARK,     /* everything before was durable: written at a clean close */
	BATCH_LOST,     /* offsets given up by repair; span of them */
	BATCH_CONTROL,  /* reserved: transaction commit and abort marks */
};

struct batch {
	uint64_t base_offset;
	uint64_t span;   /* offsets it covers: count, or more once compacted */
	uint32_t length; /* header, records and padding */
	uint32_t count;  /* records inside */
	uint32_t body_crc;
	uint16_t flags;
	uint8_t kind, codec;
	int64_t base_time_ms, max_time_ms;
	uint64_t durable; /* every offset below it was durable when this was written */
};

#define BATCH_FLAGS_KNOWN 0u

void batch_encode(const struct batch *b, uint32_t seed, uint8_t out[BATCH_HEADER_BYTES]);
/* True when the header validates (checksum, magic, sane length); the body is not looked at. */
bool batch_decode(const uint8_t in[BATCH_HEADER_BYTES], uint32_t seed, struct batch *out);
bool batch_body_valid(const struct batch *b, uint32_t seed, const uint8_t *body);
/* 0, or ERR_VERSION when it needs a newer reader. */
int batch_supported(const struct batch *b, struct err *e);

/* Bytes the record takes inside a batch whose first record has base_time_ms. */
size_t record_size(const struct log_record *r, int64_t base_time_ms);
uint8_t *record_encode(const struct log_record *r, int64_t base_time_ms, uint8_t *out);
/* Reads the record at *at, moves *at behind it; false when malformed. Views into the bytes. */
bool record_decode(const uint8_t **at, const uint8_t *end, int64_t base_time_ms,
		   struct log_record *out);

/* "At `byte` of the segment the batch of `offset` begins (or the segment's data end)". */
struct index_entry {
	uint32_t byte;
	uint64_t offset;
	int64_t max_time_ms; /* of all records of the segment before byte; INT64_MIN: none */
	uint64_t durable;    /* every offset below it was durable when this was written */
};

void index_entry_encode(const struct index_entry *x, uint32_t seed, uint8_t out[INDEX_ENTRY_BYTES]);
bool index_entry_decode(const uint8_t in[INDEX_ENTRY_BYTES], uint32_t seed,
			struct index_entry *out);

#endif
