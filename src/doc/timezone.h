/* timezone.h: offsets from UTC: fixed ones ("+05:30"), and the system's tz database read from TZif files.
 *
 * doc/ opens no files. A program registers a loader once (os/tzfile.h has the one for /usr/share/zoneinfo); without
 * one, only UTC, GMT and fixed offsets are known. What was read is kept in a cache that the caller owns.
 *
 * Thread: timezone_set_loader before any other call; a cache belongs to one thread while zones are looked up; zones
 * found may be read by any.
 */
#ifndef DOC_TIMEZONE_H
#define DOC_TIMEZONE_H

#include "base/buf.h"
#include "base/err.h"

#define TIMEZONE_NAME_MAX 64
#define TIMEZONE_FILE_MAX (1u << 20) /* bytes of one TZif file */
#define TIMEZONE_MAX      700        /* zones a cache keeps; there are about 600 names */

struct timezone_data;

struct timezone_cache {
	struct timezone_data *first;
	size_t n;
};

/* A zone by value: a fixed offset, or (data) a table. */
struct timezone_ref {
	const struct timezone_data *data;
	int32_t offset_s; /* without data */
};

/* Appends the TZif file of a zone to out. 0; ERR_NOTFOUND: no such zone; others as they come. The name has been
 * checked: letters, digits and "+-_/", no "..", at most TIMEZONE_NAME_MAX bytes. */
typedef int timezone_load(const char *name, struct buf *out, struct err *e);
void timezone_set_loader(timezone_load *load);

/* UTC, GMT, ±HH, ±HHMM, ±HH:MM or an Olson name. The result lives as long as the cache. ERR_INVALID number
 * 40485: unknown; ERR_LIMIT: the cache is full. */
int timezone_find(struct timezone_cache *cache, struct slice name, struct timezone_ref *out,
		  struct err *e);

void timezone_cache_done(struct timezone_cache *cache);

/* Seconds east of UTC at a UTC time (seconds since 1970). */
int32_t timezone_offset_at(struct timezone_ref z, int64_t utc_s);

/* The UTC time of a local time. Where a clock change repeats a local time, the earlier one; where it skips one, the time
 * moves forward by the gap. */
int64_t timezone_to_utc(struct timezone_ref z, int64_t local_s);

#endif
