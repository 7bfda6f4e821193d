/* http_response.h: the bytes of one HTTP/1.x response, taken apart as they come.
 *
 *	bytes ─▶ status line, headers ─▶ body by length | in chunks | until the connection ends ─▶ done
 *
 * Pure and strict: line ends are CR LF, a length and chunks exclude each other, lengths are digits only; an answer that
 * two readers could cut differently is an error. Informational answers (1xx) are passed over.
 *
 * Thread: one at a time.
 */
#ifndef NET_HTTP_RESPONSE_H
#define NET_HTTP_RESPONSE_H

#include "base/err.h"
#include "base/slice.h"

#define HTTP_HEAD_MAX (64u << 10) /* of the status line with the headers, or of a chunk's line */

struct http_response {
	int status; /* once head_done */
	bool head_done, done;
	/* private */
	uint8_t part;
	bool until_close;
	uint64_t left; /* of the body, or of the chunk */
};

/* Looks at the front of `in`. 1: took *taken bytes; *body is a piece of the body among them (perhaps empty). 0: it needs
 * to see more than there is, and took nothing. Negative: ERR_PROTOCOL, ERR_LIMIT. Not to be called once done. */
int http_response_step(struct http_response *r, struct slice in, size_t *taken, struct slice *body,
		       struct err *e);

/* The connection ended. 0: the response is whole. */
int http_response_end(struct http_response *r, struct err *e);

#endif
