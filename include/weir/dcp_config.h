/* dcp_config.h: the options of a Couchbase client as a YAML file, and go-dcp's files translated into weir's.
 *
 * Thread: any; a weir_dcp_config belongs to one at a time, its options may be read from several.
 */
#ifndef WEIR_DCP_CONFIG_H
#define WEIR_DCP_CONFIG_H

#include "weir/dcp.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Options as YAML (docs/manual/couchbase.md has the keys). ${NAME} and ${NAME:default} are the process's variables.
 * FORMAT not YAML; INVALID an unknown key, a value that is not what the key takes, a variable that is not set; LIMIT too
 * much of it. The message begins with name:line:column. */
typedef struct weir_dcp_config weir_dcp_config;
WEIR_API int weir_dcp_config_parse(const char *yaml, size_t len, const char *name,
				   weir_dcp_config **out, weir_error *e);
/* What it says, a membership always among it: nothing is left to assign. Its strings stay until the config is freed. */
WEIR_API const weir_dcp_options *weir_dcp_config_options(const weir_dcp_config *c);
WEIR_API void weir_dcp_config_free(weir_dcp_config *c);

/* Appends weir's YAML for a configuration file of go-dcp, with comments on what has no counterpart. */
WEIR_API int weir_dcp_config_import(const char *yaml, size_t len, const char *name,
				    weir_buffer *out, weir_error *e);
/* Appends the table of all keys, or that of go-dcp's keys and their counterparts, as Markdown. */
WEIR_API int weir_dcp_config_markdown(bool of_go_dcp, weir_buffer *out, weir_error *e);

#ifdef __cplusplus
}
#endif

#endif
