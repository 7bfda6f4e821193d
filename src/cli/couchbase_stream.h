/* couchbase_stream.h: what `weir couchbase watch` and `weir watch couchbase://` share: a bucket's changes on standard
 * output. */
#ifndef CLI_COUCHBASE_STREAM_H
#define CLI_COUCHBASE_STREAM_H

#include "cli/outcome.h"

#define COUCHBASE_PASSWORD_MAX 1024

/* Until the stream's end, the limit, a signal or an error; o->finite decides whether there is an end. o has a membership;
 * what the options resume-after, since, token, filter, pipeline, format, out, limit and timeout of `a` say is added to it.
 * An exit code. */
int couchbase_stream(const struct args *a, weir_dcp_options *o);

/* As fail(), without its hints, which are about logs. */
int fail_stream(const weir_error *e);

/* The first line of the file, or $COUCHBASE_PASSWORD without one. EXIT_OK, or an exit code after telling why. */
int couchbase_password(const char *path, char out[COUCHBASE_PASSWORD_MAX]);

/* weir watch's door: couchbase://[USER@]HOST[:PORT][,...]/BUCKET[/SCOPE[/COLLECTION]], couchbases:// with TLS. */
bool couchbase_is_address(const char *text);
int couchbase_watch_address(const struct args *a);

#endif
