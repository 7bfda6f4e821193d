/* weir.h: everything public. libweir turns changes into streams.
 *
 *	error.h   errors are values
 *	doc.h     documents: BSON and JSON
 *	oplog.h   the durable log of changes
 *	change.h  watching it
 *	query.h   the document language by itself
 *	dcp.h     a Couchbase bucket's changes (dcp_options.h: parts of its options); dcp_run.h a listener for them,
 *	          dcp_status.h where a client stands and its metrics, dcp_config.h its options as YAML
 *
 * Conventions of all headers: handles (weir_oplog, weir_watch, ...) are opaque, made by _open or _new and given back by
 * _close or _free, which take NULL. Outputs are set only on success. What is borrowed says how long. Times are
 * milliseconds since 1970 UTC unless the name says otherwise. The headers are plain C99 and work in C++.
 *
 *	cc app.c $(pkg-config --cflags --libs weir)
 */
#ifndef WEIR_WEIR_H
#define WEIR_WEIR_H

#include "weir/change.h"
#include "weir/dcp.h"
#include "weir/dcp_config.h"
#include "weir/dcp_run.h"
#include "weir/dcp_status.h"
#include "weir/query.h"
#include "weir/doc.h"
#include "weir/error.h"
#include "weir/oplog.h"
#include "weir/version.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The version of the library in use, as WEIR_VERSION. Any thread. */
WEIR_API const char *weir_version(void);

/* Makes weir allocate through these; they must behave as malloc, realloc and free. Before any other call, or while
 * nothing of weir's is alive. All three NULL: the C library's again. */
WEIR_API void weir_set_allocator(void *(*alloc)(size_t n), void *(*resize)(void *p, size_t n),
				 void (*release)(void *p));

#ifdef __cplusplus
}
#endif

#endif
