/* meta.h: the small files that say what a directory is: the log's, a topic's, a partition's low-water mark.
 *
 * Each is one block of META_BYTES: magic (8), format version (4), CRC-32C of the block with this field zero (4), then
 * its fields. It is replaced as a whole: temporary file, sync, rename, sync of the directory. So it is the old one or
 * the new one after any crash. Only the low-water mark is overwritten in place when the disk is full, as trimming is
 * what makes space again: a torn mark is no more than none, and the segments say themselves what there is.
 *
 * Thread: any; no state.
 */
#ifndef LOG_META_H
#define LOG_META_H

#include "log/log.h"

#define META_BYTES 512
#define PATH_BYTES 4096

struct log_meta {
	uint8_t id[16];
	int64_t created_ms;
};

struct topic_meta {
	uint8_t id[16];
	uint32_t partitions;
	struct log_retention retention;
	char name[LOG_TOPIC_NAME_MAX + 1];
};

/* Offsets below `oldest` were trimmed away; what is left of their segments is to be deleted. */
struct trim_meta {
	uint8_t topic_id[16];
	uint32_t partition;
	uint64_t oldest;
};

/* Reading: 0; ERR_NOTFOUND no such file; ERR_INVALID not such a file; ERR_VERSION; ERR_CORRUPT; ERR_IO. */
int log_meta_read(struct env *env, const char *dir, struct log_meta *out, struct err *e);
int log_meta_write(struct env *env, const char *dir, const struct log_meta *m, struct err *e);
int topic_meta_read(struct env *env, const char *dir, struct topic_meta *out, struct err *e);
int topic_meta_write(struct env *env, const char *dir, const struct topic_meta *m, struct err *e);
int trim_meta_read(struct env *env, const char *dir, struct trim_meta *out, struct err *e);
int trim_meta_write(struct env *env, const char *dir, const struct trim_meta *m, struct err *e);

#define META_LOG_FILE   "weir-log"
#define META_TOPIC_FILE "topic"
#define META_TRIM_FILE  "trimmed"

/* Writes path "a/b" (or "a" when b is NULL); ERR_LIMIT when it is too long. */
int path_join(char out[PATH_BYTES], const char *a, const char *b, struct err *e);

/* mkdir that does not mind one that is there. */
int make_dir(struct env *env, const char *path, struct err *e);

#endif
