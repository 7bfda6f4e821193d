/* error.h: errors are values.
 *
 * A function that can fail returns int: 0 done, negative one of WEIR_ERR_*; functions that look for a next thing
 * return 1 (got one), 0 (nothing now, or the end) or negative. The words go to a weir_error that the caller owns and
 * passes last; NULL is fine where only the code matters. weir never prints, exits or raises a signal.
 *
 *	weir_error e = WEIR_ERROR_INIT;
 *	if (weir_oplog_open("data", NULL, &oplog, &e) < 0)
 *		fprintf(stderr, "%s\n", e.message);       // what happened, where, what to do
 *
 * Any function may return WEIR_ERR_NOMEM, and WEIR_ERR_INVALID for arguments that make no sense (a NULL handle, a
 * name that is empty or too long); what else it may return stands beside it.
 */
#ifndef WEIR_ERROR_H
#define WEIR_ERROR_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define WEIR_API __attribute__((visibility("default")))
#else
#define WEIR_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* The numbers never change; new ones are added at the end. */
enum weir_code {
	WEIR_OK = 0,
	WEIR_ERR_NOMEM = -1, /* out of memory; nothing has changed */
	/* an argument, filter, pipeline, document or name is wrong; the message says where */
	WEIR_ERR_INVALID = -2,
	WEIR_ERR_UNSUPPORTED = -3, /* known, but weir does not do it */
	WEIR_ERR_LIMIT = -4,       /* a limit with a name was exceeded */
	WEIR_ERR_NOTFOUND = -5,    /* no such directory, log, document */
	WEIR_ERR_EXISTS = -6,      /* already there */
	WEIR_ERR_IO = -7,          /* reading or writing failed */
	WEIR_ERR_NOSPACE = -8,     /* the disk is full */
	/* data is damaged: file and byte range in the message; see weir_oplog_repair */
	WEIR_ERR_CORRUPT = -9,
	/* an earlier write or flush failed: close the oplog and open it again */
	WEIR_ERR_POISONED = -10,
	WEIR_ERR_LOCKED = -11,  /* another process is writing this log */
	WEIR_ERR_VERSION = -12, /* written by a newer weir */
	/* the position was trimmed away; oldest and newest tell what exists. Resuming cannot help */
	WEIR_ERR_HISTORY_LOST = -13,
	WEIR_ERR_TOKEN_CORRUPT = -14, /* the resume token is damaged or was tampered with */
	/* the resume token belongs to another log, or to a history that was rolled back */
	WEIR_ERR_TOKEN_FOREIGN = -15,
	/* the resume token lies beyond the end of this log (restored from a backup?) */
	WEIR_ERR_TOKEN_FUTURE = -16,
	WEIR_ERR_CLOSED = -17,      /* somebody closed it */
	WEIR_ERR_TIMEOUT = -18,     /* no answer in time */
	WEIR_ERR_INTERRUPTED = -19, /* a wait was interrupted */
	WEIR_ERR_NO_IMAGE = -20,    /* a document image is needed that the log does not have */
	WEIR_ERR_ACCESS = -21,      /* permission denied */
	WEIR_ERR_AUTH = -22,        /* authentication failed */
	WEIR_ERR_PROTOCOL = -23,    /* a peer broke the protocol */
	WEIR_ERR_NET = -24,         /* the network failed */
	WEIR_ERR_CONFLICT = -25,    /* somebody else changed it meanwhile */
	WEIR_ERR_FENCED = -26,      /* another owner has taken over */
	WEIR_ERR_TYPE = -27,        /* a value has the wrong type */
	/* malformed JSON or BSON: line and column, or path and byte, in the message */
	WEIR_ERR_FORMAT = -28,
	/* something else listens there: TLS, HTTP, a data service; the message says what to use instead */
	WEIR_ERR_WRONG_PORT = -29
};

#define WEIR_MESSAGE_MAX 512

typedef struct weir_error {
	int code;   /* WEIR_ERR_*, 0 while nothing was raised */
	int number; /* MongoDB's number where it has one (280, 40324, ...), else 0 */
	uint64_t oldest, newest; /* HISTORY_LOST, TOKEN_FUTURE: offsets of the entries there are */
	/* UTF-8, no newline; holds names and places, never a document's contents */
	char message[WEIR_MESSAGE_MAX];
} weir_error;

#ifdef __cplusplus
#define WEIR_ERROR_INIT weir_error()
#else
#define WEIR_ERROR_INIT { 0, 0, 0, 0, { 0 } }
#endif

/* "HISTORY_LOST"; "OK" for 0; "UNKNOWN". Static text. Any thread. */
WEIR_API const char *weir_error_name(int code);

/* One line that says what the code means. Static text. Any thread. */
WEIR_API const char *weir_error_text(int code);

/* 1 when the same call may succeed later without anybody changing anything (TIMEOUT, INTERRUPTED, NOSPACE, LOCKED,
 * NET, NOMEM); 0 when repeating it is pointless: never loop on those. Any thread. */
WEIR_API int weir_error_is_transient(int code);

#ifdef __cplusplus
}
#endif

#endif
