/* recover.h: finds out how far a partition's data go, when nobody vouches for it.
 *
 * Used by the writer at open (which then cuts what is torn), by reader processes without a live writer, by verify and
 * repair. It reads only what was not known durable: from the last index entry at or before the highest offset that
 * any header, batch or index entry says was durable when it was written.
 *
 *	        known durable D                     n: the first offset without a whole batch
 *	............|--- scanned, all whole ---------|####################
 *	                                             nothing behind it claims durable > n: torn, to be cut
 *	                                             something does: damage, to be reported and kept
 *
 * A file that simply ends (no bytes where the batch should be) counts as torn even below D: there is nothing left to
 * report but its absence.
 *
 * Thread: any; takes no lock.
 */
#ifndef LOG_RECOVER_H
#define LOG_RECOVER_H

#include "log/segment.h"

struct recovered {
	uint64_t *bases; /* of the segments there are, ascending; the trimmed ones left out */
	size_t n;
	uint64_t *trimmed; /* leftovers of an interrupted trim, to be unlinked */
	size_t n_trimmed;
	uint64_t oldest;
	uint64_t low; /* what the trim mark says is trimmed; 0 without one */

	/* The end of the data. `last` is an index into bases; segments behind it are torn too. */
	size_t last;
	struct segment_header header; /* of bases[last]; when n > 0 */
	uint64_t end_byte, next;      /* in the file; offset */
	uint64_t file_bytes;          /* its size; beyond end_byte: torn bytes, or zeros */
	bool clean;                   /* nothing but zeros behind the end */
	bool sealed, marked;          /* the last batch is a seal, a mark */
	int64_t max_time_ms;          /* of the last segment's records */
	size_t scanned_from;   /* first segment scanned: from there on nothing was known durable */
	uint64_t durable_next; /* known durable, and */
	uint64_t durable_position; /* where that is: base position + byte */
	uint64_t
		claimed; /* the highest offset anything says was durable: beyond next when it was cut off */
	struct index_entry *index; /* of the last segment: what its index file should hold */
	size_t n_index, cap_index;
	uint64_t index_valid_bytes; /* as much of the file agrees already */

	bool headless; /* there are segment files, but none that says what it is */
	bool damaged;  /* the scan met damage; where and what */
	uint64_t damage_base, damage_from_byte, damage_to_byte, damage_from, damage_to;
};

/* 0 also when damaged. ERR_VERSION; ERR_IO; ERR_NOMEM. */
int recover_scan(const struct place *pl, struct recovered *out, struct err *e);
void recovered_done(struct recovered *r);

/* The typed error for r's damage. */
int recovered_damage(const struct place *pl, const struct recovered *r, struct err *e);

#endif
