/* iso.h: instants as Extended JSON writes them: 2012-12-24T12:15:30.501Z and milliseconds since
 * 1970. (The forms and formats of the language are datetime.h's.) */
#ifndef DOC_ISO_H
#define DOC_ISO_H

#include "base/slice.h"

#define ISO_MAX 32

/* YYYY-MM-DDThh:mm:ss, optionally a fraction (cut to milliseconds), then Z, +hh, +hhmm or
 * +hh:mm. */
bool iso_parse(struct slice s, int64_t *ms);

/* Years 0 to 9999; the fraction is left out when it is zero. Returns the length; writes no NUL. */
size_t iso_print(int64_t ms, char out[ISO_MAX]);

#endif
