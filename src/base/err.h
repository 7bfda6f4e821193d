/* err.h: errors are values.
 *
 * A function that can fail returns int: 0 done, negative ERR_*; iterators and polls return 1 (got
 * one), 0 (nothing now, or the end) or negative. The text goes to a struct err that the caller owns
 * and passes last; it may be NULL when only the code matters.
 *
 *	return err_set(e, ERR_CORRUPT, "%s: bad checksum at byte %" PRIu64, path, off);
 *	return err_in(e, rc, "opening topic %s", name);       // puts its words before the cause
 *
 * The message says what happened, where, and what to do. It never carries a document's content
 * beyond the token or name at fault.
 *
 * Thread: a struct err belongs to one thread at a time.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include "base/base.h"

/* code, name, what it means. The numbers are part of the public API (include/weir/error.h): append only. */
#define ERR_MAP(X) \
	X(1, NOMEM, "out of memory") \
	X(2, INVALID, "invalid argument or input") \
	X(3, UNSUPPORTED, "not supported") \
	X(4, LIMIT, "a limit was exceeded") \
	X(5, NOTFOUND, "not found") \
	X(6, EXISTS, "already exists") \
	X(7, IO, "input/output error") \
	X(8, NOSPACE, "no space left on device") \
	X(9, CORRUPT, "data is damaged") \
	X(10, POISONED, "the log refuses writes after a failed write; reopen it") \
	X(11, LOCKED, "another process is writing") \
	X(12, VERSION, "written by a newer version") \
	X(13, HISTORY_LOST, "the position no longer exists") \
	X(14, TOKEN_CORRUPT, "the resume token is damaged") \
	X(15, TOKEN_FOREIGN, "the resume token belongs to another log") \
	X(16, TOKEN_FUTURE, "the resume token lies beyond the end of the log") \
	X(17, CLOSED, "closed") \
	X(18, TIMEOUT, "timed out") \
	X(19, INTERRUPTED, "interrupted") \
	X(20, NO_IMAGE, "the required document image does not exist") \
	X(21, ACCESS, "permission denied") \
	X(22, AUTH, "authentication or authorisation failed") \
	X(23, PROTOCOL, "the peer broke the protocol") \
	X(24, NET, "network error") \
	X(25, CONFLICT, "somebody else changed it meanwhile") \
	X(26, FENCED, "another owner has taken over") \
	X(27, TYPE, "a value has the wrong type") \
	X(28, FORMAT, "malformed text or bytes") \
	X(29, WRONG_PORT, "something else listens at the port")

enum err_code {
#define X(n, name, text) ERR_##name = -(n),
	ERR_MAP(X)
#undef X
};

#define ERR_MSG_MAX 512

struct err {
	int code;   /* ERR_*, 0 while nothing was raised */
	int number; /* MongoDB's numeric code where it has one, else 0 */
	uint64_t oldest,
		newest; /* ERR_HISTORY_LOST, ERR_TOKEN_FUTURE: the positions that do exist */
	char msg[ERR_MSG_MAX];
};

#define ERR_INIT \
	{ \
		0 \
	}

/* Raises: stores code and text (cut at ERR_MSG_MAX - 1), clears number and range, returns code. */
int err_set(struct err *e, int code, const char *fmt, ...) PRINTF(3, 4);

/* Adds context in front of the text already there, "context: cause"; returns code. Where nothing was
 * stored yet, the cause is err_text(code). */
int err_in(struct err *e, int code, const char *fmt, ...) PRINTF(3, 4);

/* Raises from an errno value: picks the code (ENOSPC, EDQUOT -> NOSPACE; ENOMEM -> NOMEM; ENOENT ->
 * NOTFOUND; EACCES, EPERM, EROFS -> ACCESS; EEXIST -> EXISTS; EINTR -> INTERRUPTED; else IO) and
 * appends ": strerror". */
int err_errno(struct err *e, int errnum, const char *fmt, ...) PRINTF(3, 4);

/* Raises with MongoDB's number beside weir's code. */
int err_number(struct err *e, int code, int number, const char *fmt, ...) PRINTF(4, 5);

int err_nomem(struct err *e); /* raises ERR_NOMEM; formats nothing, allocates nothing */
void err_clear(struct err *e);
const char *err_name(int code); /* "HISTORY_LOST"; "OK" for 0; "UNKNOWN" */
const char *err_text(int code); /* the one-line meaning */

#endif
