/* outcome.h: from a library error to words on stderr and an exit code. */
#ifndef CLI_OUTCOME_H
#define CLI_OUTCOME_H

#include "cli/cli.h"

#include "weir/weir.h"

/* Says "weir: [context: ]message" with a hint where there is one, and returns the exit code. context may be NULL. */
int fail(const char *context, const weir_error *e);
int exit_code_of(int code);

/* An oplog opened for the command, or NULL after telling why, with *exit_code set. */
weir_oplog *open_oplog(const char *dir, bool read_only, bool must_exist, const char *ack, int *exit_code);

/* Closes; keeps an earlier failure, else reports its own. */
int close_oplog(weir_oplog *o, int exit_code);

/* Splits "db.coll" at the first dot into out (cap bytes): *db and *coll point into it; *coll is "" without a dot. */
bool split_ns(const char *ns, char *out, size_t cap, const char **db, const char **coll);

/* A JSON operand or option: the text itself, or with @FILE (@- standard input) the file's. Appends it to out. EXIT_OK, or an exit
 * code after telling why. */
int json_operand(const char *text, weir_buffer *out);

enum weir_ack ack_of(const char *text);
enum weir_json_input json_input_of(const char *text); /* anything else: auto */

#endif
