/* couchbase_config.h: configuration files for the couchbase commands. */
#ifndef CLI_COUCHBASE_CONFIG_H
#define CLI_COUCHBASE_CONFIG_H

#include "base/buf.h"
#include "cli/outcome.h"

/* Appends the file ("-": standard input) to text. EXIT_OK, or an exit code after telling why. */
int config_text(const char *path, struct buf *text);

/* Reads it as a stream's configuration. EXIT_OK, or an exit code after telling why. */
int config_open(const char *path, weir_dcp_config **out);

#endif
