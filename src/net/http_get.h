/* http_get.h: one GET on a loop, whose answer may never end: pieces of the body come as they arrive.
 *
 *	http_get_open ─▶ head ─▶ body, body, ... ─▶ end      exactly one `end`, unless http_get_close came first
 *
 * On the loop rather than with libcurl on a thread of its own (http_client.h): closing it takes no join that could wait
 * for a name server or a silent peer, and connections, TLS and certificates are tcp.h's, as everywhere else.
 *
 * Each GET has a connection of its own. Redirects are not followed. The password is in no message.
 *
 * Thread: the loop's.
 */
#ifndef NET_HTTP_GET_H
#define NET_HTTP_GET_H

#include "base/err.h"
#include "base/slice.h"
#include "net/loop.h"

struct tls;
struct tcp_expected;

struct http_get_options {
	const char *path;            /* "/pools" */
	const char *user, *password; /* of Basic authentication; NULL or "" user: none */
	struct tls *tls;             /* NULL: plain text */
	nsec connect_timeout;
	nsec silence; /* an answer that brings nothing for so long is given up */
	const struct tcp_expected *expected; /* NULL: what listens there is not looked at */
	bool asked;                          /* before, in vain */
};

struct http_get_ops {
	void (*head)(void *arg, int status);
	void (*body)(void *arg, struct slice piece);
	/* NULL: the answer is whole. ERR_NET, ERR_TIMEOUT, ERR_AUTH (certificate), ERR_PROTOCOL,
	 * ERR_WRONG_PORT. Then http_get_close. */
	void (*end)(void *arg, const struct err *why);
};

struct http_get;

/* The options are not needed any more once it returns. */
int http_get_open(struct loop *l, const char *host, uint16_t port, const struct http_get_options *o,
		  const struct http_get_ops *ops, void *arg, struct http_get **out, struct err *e);
void http_get_close(struct http_get *g); /* NULL is fine; also from within an op; calls nothing */

#endif
