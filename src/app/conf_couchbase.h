/* conf_couchbase.h: a Couchbase stream's settings from YAML, and go-dcp's file as weir's. The keys are the rows of
 * dcp/options.h; conf_yaml.h says what YAML may hold. Messages are "file:line:column: key: ...". */
#ifndef APP_CONF_COUCHBASE_H
#define APP_CONF_COUCHBASE_H

#include "app/conf_yaml.h"
#include "base/buf.h"
#include "dcp/options.h"

/* Sets *out (dcp_config_done when it returned 0). */
int conf_couchbase_read(struct slice text, const char *name, conf_variable *variable, void *arg,
			struct dcp_config *out, struct err *e);

/* Appends weir's YAML for what go-dcp's says, its defaults included where weir's differ; what has no counterpart
 * becomes a comment with its line and the reason. Variables stay as they are written. */
int conf_couchbase_import(struct slice text, const char *name, struct buf *out, struct err *e);

#endif
