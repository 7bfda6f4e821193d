/* check.h: reads a partition from its first byte to its last and names everything that is not as it should be.
 * verify reports what it finds; repair acts on it.
 *
 * Thread: one at a time.
 */
#ifndef LOG_CHECK_H
#define LOG_CHECK_H

#include "log/partition.h"

enum damage_kind {
	DAMAGE_HEADER, /* a header copy; the other, or the index, still names the segment */
	DAMAGE_RANGE,  /* bytes between two whole batches */
	DAMAGE_END, /* bytes up to the end of a segment's data: no seal, or batches that should be there */
	DAMAGE_MISSING,    /* a segment file that should be there */
	DAMAGE_UNREADABLE, /* one that cannot be identified */
	DAMAGE_INDEX,      /* an index: costs time, loses nothing */
};

struct damage {
	enum damage_kind kind;
	uint64_t base;               /* of the segment */
	uint64_t from_byte, to_byte; /* multiples of 8, but for an end of file */
	uint64_t from, to;           /* offsets lost: none when equal */
	uint64_t position;           /* DAMAGE_MISSING: where the segment would begin */
	bool last;                   /* of the last segment */
	const char *what;
};

/* Calls each for every damage, in order; a non-zero return ends the check with it. Counts into *out. */
int check_partition(struct partition *p, int (*each)(void *arg, const struct damage *d), void *arg,
		    struct log_report *out, struct err *e);

/* Writes damaged or missing description files (weir-log, topic) anew from the segments' headers; the lock is held. */
int mend_descriptions(struct env *env, const char *dir,
		      int (*each)(void *arg, const struct log_damage *d), void *arg,
		      uint64_t *damages, struct err *e);

#endif
