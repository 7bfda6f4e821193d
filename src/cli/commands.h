/* commands.h: every command's row, for main.c's table; each stands in its own cmd_NAME.c. */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

#include "cli/cli.h"

extern const struct command oplog_append_command, oplog_import_command, oplog_dump_command, oplog_stat_command,
	oplog_verify_command, oplog_repair_command, oplog_trim_command, watch_command, completion_command,
	version_command, help_command_, query_command, couchbase_watch_command, couchbase_status_command, couchbase_options_command,
	couchbase_import_command, couchbase_check_command;

int show_help(const char *first, const char *second); /* main.c */

#endif
