/* tls.h: TLS on a non-blocking socket: contexts (certificates, trust) and sessions.
 *
 * Verification of the peer's certificate and of its host name is on unless `insecure`. TLS 1.2 is the least.
 *
 * Thread: a context from any thread once made; a session belongs to its connection's loop.
 */
#ifndef NET_TLS_H
#define NET_TLS_H

#include "base/err.h"

struct tls_options {
	const char *ca_file;     /* NULL: the system's */
	const char *cert_file;   /* of the client, with its chain; NULL none */
	const char *key_file;    /* NULL: in cert_file */
	const char *server_name; /* check this name instead of the host's */
	bool insecure;           /* accept any certificate */
};

struct tls; /* a context */
int tls_new(const struct tls_options *o, struct tls **out, struct err *e);
void tls_free(struct tls *t);
bool tls_has_client_cert(const struct tls *t);

struct tls_session;
int tls_session_new(struct tls *t, int fd, const char *host, struct tls_session **out,
		    struct err *e);
void tls_session_free(struct tls_session *s);

enum tls_want { TLS_WANT_READ = -1001, TLS_WANT_WRITE = -1002, TLS_EOF = -1003 };

/* 0 done, TLS_WANT_*, or ERR_*. */
int tls_handshake(struct tls_session *s, struct err *e);
/* Bytes (> 0), TLS_WANT_*, TLS_EOF, or ERR_*. */
long tls_read(struct tls_session *s, void *p, size_t len, struct err *e);
long tls_write(struct tls_session *s, const void *p, size_t len, struct err *e);

#endif
