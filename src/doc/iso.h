/* iso.h: instants as ISO-8601 text: 2012-12-24T12:15:30.501Z and milliseconds since 1970. */
#ifndef DOC_ISO_H
#define DOC_ISO_H

#include "base/slice.h"

#define ISO_MAX 32

/* YYYY-MM-DDThh:mm:ss, optionally a fraction (cut to milliseconds), then Z, +hh, +hhmm or
 * +hh:mm. */
bool iso_parse(struct slice s, int64_t *ms);

/* Years 0 to 9999; the fraction is left out when it is zero. Returns the length; writes no NUL. */
size_t iso_print(int64_t ms, char out[ISO_MAX]);

/* Days since 1970-01-01 of a date in the proleptic Gregorian calendar, and back. */
int64_t iso_days(int64_t year, unsigned month, unsigned day);
void iso_date(int64_t days, int64_t *year, unsigned *month, unsigned *day);

#endif
