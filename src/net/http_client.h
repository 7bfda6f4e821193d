/* http_client.h: one HTTP(S) request and its answer, within a time. The only user of libcurl.
 *
 * No redirect is followed, no proxy or password is taken from the environment or a file, only http and https are spoken.
 * Connections are kept for the next request. Certificate and host name are verified unless `insecure`.
 *
 * Thread: one at a time.
 */
#ifndef NET_HTTP_CLIENT_H
#define NET_HTTP_CLIENT_H

#include "base/buf.h"
#include "base/err.h"

#define HTTP_BODY_MAX (16u << 20) /* of an answer */

struct tls_options;

struct http_client;
int http_client_new(const struct tls_options *tls, struct http_client **out, struct err *e);
void http_client_free(struct http_client *c); /* NULL is fine */

struct http_request {
	const char *method, *url;
	const char *bearer;       /* token; NULL none */
	const char *content_type; /* of the body */
	struct slice body;
	nsec timeout; /* of all of it */
};

/* 0: *status and *body (appended) are the answer, whatever the status. ERR_NET, ERR_TIMEOUT, ERR_LIMIT (body). The
 * message names the method and the host, never the token. */
int http_client_do(struct http_client *c, const struct http_request *r, int *status,
		   struct buf *body, struct err *e);

#endif
