/* tzfile.h: the system's time zone database for doc/timezone.h.
 *
 *	timezone_set_loader(tzfile_load);       // once, at the start of a program
 */
#ifndef OS_TZFILE_H
#define OS_TZFILE_H

#include "base/buf.h"
#include "base/err.h"

#define TZFILE_DIR "/usr/share/zoneinfo"

/* Reads $TZDIR/NAME, or TZFILE_DIR/NAME. A timezone_load: ERR_NOTFOUND no such zone; ERR_IO. Thread: any. */
int tzfile_load(const char *name, struct buf *out, struct err *e);

#endif
