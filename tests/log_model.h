/* log_model.h: records that prove themselves, for the fault tests of the log.
 *
 * A record is made from two numbers, its stream and its id in it, and nothing else; from the record alone the two
 * numbers are read back and every byte is compared. So a test only remembers numbers, and a wrong byte, a record of
 * another place or one that was never written cannot pass for a right one.
 */
#ifndef TESTS_LOG_MODEL_H
#define TESTS_LOG_MODEL_H

#include "log/log.h"

/* Sanitizers look for other things than these tests and make them ten times as slow: there they do a tenth. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MODEL_SLOWER 10
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define MODEL_SLOWER 10
#endif
#endif
#ifndef MODEL_SLOWER
#define MODEL_SLOWER 1
#endif

#define MODEL_BATCH_MAX     8
#define MODEL_PROCESSES_MAX 8

struct model_id {
	uint32_t stream;
	uint64_t id;
};

/* Builds the record in *bytes (emptied first) with a value of [0, max_value) bytes; some have headers, no key's
 * missing, some values are. Valid until *bytes changes. */
void model_record(struct model_id which, size_t max_value, struct buf *bytes,
		  struct log_record *out);

/* False when the record is not exactly what model_record made of some pair of numbers. */
bool model_check(const struct log_record *r, size_t max_value, struct model_id *which);

#define MODEL_NEW_LIFE 1000u /* added to the stream of records written after a crash */

struct model_range {
	uint32_t partition;
	uint64_t from, next;
	uint64_t
		new_from; /* from here on the records are of the new life: stream partition + MODEL_NEW_LIFE */
	size_t max_value;
	bool durable_only;
};

/* Reads the range: every offset in turn, its record of the stream `partition` with the offset as id. 0, or negative
 * with what is wrong; ERR_CONFLICT for a record that is not the one that was written. */
int model_read(struct log_topic *t, const struct model_range *range, struct err *e);

struct model_outcome {
	uint64_t delivered, lost, ranges;
};

/* Reads partition 0 of a damaged log up to offset `next`: every offset is delivered with its own bytes or lies in a
 * range reported as ERR_CORRUPT, behind which reading goes on. Anything else is ERR_CONFLICT. */
int model_read_around(struct log_topic *t, uint64_t next, size_t max_value,
		      struct model_outcome *out, struct err *e);

/* What a test knows of a partition, in offsets. */
struct model_part {
	uint64_t submitted; /* below it: handed to log_append */
	uint64_t
		written; /* below it: acknowledged at least as written; 0 where that does not count */
	uint64_t durable; /* below it: acknowledged as durable */
	uint64_t trim_asked;
	uint64_t new_from; /* see model_range */
};

/* The partition after a restart: nothing acknowledged is missing, nothing is there that was never submitted, no more
 * is trimmed than was asked for, and every record in its range is the right one. 0, or negative with what is wrong. */
int model_check_part(struct log_topic *t, uint32_t partition, const struct model_part *want,
		     size_t max_value, struct err *e);

/* Appends n records to follow offset `next` of the partition. */
int model_append(struct log_topic *t, uint32_t partition, uint64_t next, size_t n, uint32_t stream,
		 size_t max_value, enum log_ack ack, struct err *e);

/* Runs fn(arg, i) in n processes at once, i from 0; true when all of them return 0. A child must not use cmocka's
 * assertions: it prints what is wrong and returns 1. */
bool model_parallel(int (*fn)(void *arg, int i), void *arg, int n);

#endif
