#include "net/tls.h"

#include "base/mem.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>

struct tls {
	SSL_CTX *ctx;
	char *server_name;
	bool has_cert, insecure;
};

struct tls_session {
	SSL *ssl;
	const char *name; /* for messages; the context's or a copy */
	char *owned_name;
};

/* OpenSSL's words without its numbers. Static text, or the C library's. */
static const char *reason_of(unsigned long code)
{
	if (ERR_SYSTEM_ERROR(code))
		return strerror(ERR_GET_REASON(code));
	const char *text = code ? ERR_reason_error_string(code) : NULL;
	return text ? text : "unknown reason";
}

static int ssl_error(struct err *e, const char *what, const char *arg)
{
	const char *why = reason_of(ERR_get_error());
	ERR_clear_error();
	return err_set(e, ERR_NET, "TLS: %s%s%s: %s", what, arg ? " " : "", arg ? arg : "", why);
}

/* A file that is named wrongly stays wrong, however often it is tried. */
static int file_error(struct err *e, const char *what, const char *path)
{
	unsigned long code = ERR_get_error();
	bool is_read = !ERR_SYSTEM_ERROR(code);
	ERR_clear_error();
	return err_set(e, ERR_INVALID, "TLS: loading %s %s: %s%s", what, path, reason_of(code),
		       is_read ? " (a PEM file with it is wanted)" : "");
}

static int load(struct tls *t, const struct tls_options *o, struct err *e)
{
	SSL_CTX *c = t->ctx;
	if (SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION) != 1)
		return ssl_error(e, "setting the version", NULL);
	int rc = o->ca_file ? SSL_CTX_load_verify_locations(c, o->ca_file, NULL)
			    : SSL_CTX_set_default_verify_paths(c);
	if (rc != 1)
		return file_error(e, "trusted certificates",
				  o->ca_file ? o->ca_file : "of the system");
	if (o->cert_file) {
		const char *key = o->key_file ? o->key_file : o->cert_file;
		if (SSL_CTX_use_certificate_chain_file(c, o->cert_file) != 1)
			return file_error(e, "the client's certificate", o->cert_file);
		if (SSL_CTX_use_PrivateKey_file(c, key, SSL_FILETYPE_PEM) != 1 ||
		    SSL_CTX_check_private_key(c) != 1)
			return file_error(e, "the client's key", key);
		t->has_cert = true;
	}
	SSL_CTX_set_verify(c, o->insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_mode(c, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	t->insecure = o->insecure;
	return 0;
}

int tls_new(const struct tls_options *o, struct tls **out, struct err *e)
{
	struct tls *t = mem_try(sizeof(*t));
	if (!t)
		return err_nomem(e);
	t->ctx = SSL_CTX_new(TLS_client_method());
	int rc = t->ctx ? load(t, o, e) : ssl_error(e, "making a context", NULL);
	if (rc == 0 && o->server_name) {
		t->server_name = mem_strdup(o->server_name);
		if (!t->server_name)
			rc = err_nomem(e);
	}
	if (rc < 0) {
		tls_free(t);
		return rc;
	}
	*out = t;
	return 0;
}

void tls_free(struct tls *t)
{
	if (!t)
		return;
	SSL_CTX_free(t->ctx);
	mem_free(t->server_name);
	mem_free(t);
}

bool tls_has_client_cert(const struct tls *t)
{
	return t->has_cert;
}

static bool is_address(const char *host)
{
	uint8_t bytes[16];
	return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

static int expect_host(struct tls_session *s, const char *host, struct err *e)
{
	X509_VERIFY_PARAM *p = SSL_get0_param(s->ssl);
	X509_VERIFY_PARAM_set_hostflags(p, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (is_address(host)) {
		if (X509_VERIFY_PARAM_set1_ip_asc(p, host) != 1)
			return ssl_error(e, "expecting the address", host);
		return 0;
	}
	if (SSL_set_tlsext_host_name(s->ssl, host) != 1 || SSL_set1_host(s->ssl, host) != 1)
		return ssl_error(e, "expecting the host", host);
	return 0;
}

int tls_session_new(struct tls *t, int fd, const char *host, struct tls_session **out,
		    struct err *e)
{
	struct tls_session *s = mem_try(sizeof(*s));
	if (!s)
		return err_nomem(e);
	int rc = 0;
	s->ssl = SSL_new(t->ctx);
	s->owned_name = mem_strdup(t->server_name ? t->server_name : host);
	if (!s->ssl || !s->owned_name || SSL_set_fd(s->ssl, fd) != 1)
		rc = err_nomem(e);
	if (rc == 0)
		rc = expect_host(s, s->owned_name, e);
	if (rc < 0) {
		tls_session_free(s);
		return rc;
	}
	s->name = s->owned_name;
	SSL_set_connect_state(s->ssl);
	*out = s;
	return 0;
}

void tls_session_free(struct tls_session *s)
{
	if (!s)
		return;
	SSL_free(s->ssl);
	mem_free(s->owned_name);
	mem_free(s);
}

static int outcome(struct tls_session *s, int rc, const char *what, struct err *e)
{
	switch (SSL_get_error(s->ssl, rc)) {
	case SSL_ERROR_WANT_READ: return TLS_WANT_READ;
	case SSL_ERROR_WANT_WRITE: return TLS_WANT_WRITE;
	case SSL_ERROR_ZERO_RETURN: return TLS_EOF;
	}
	if (ERR_peek_error() == 0)
		return TLS_EOF; /* the peer went away */
	return ssl_error(e, what, s->name);
}

int tls_handshake(struct tls_session *s, struct err *e)
{
	ERR_clear_error();
	int rc = SSL_do_handshake(s->ssl);
	if (rc == 1)
		return 0;
	long verify = SSL_get_verify_result(s->ssl);
	int reason = ERR_GET_REASON(ERR_peek_error());
	bool other = reason == SSL_R_UNEXPECTED_EOF_WHILE_READING ||
		     reason == SSL_R_WRONG_VERSION_NUMBER;
	int out = outcome(s, rc, "greeting", e);
	if (out == TLS_WANT_READ || out == TLS_WANT_WRITE)
		return out;
	if (verify != X509_V_OK)
		return err_set(e, ERR_AUTH, "TLS: the certificate of %s is not accepted: %s",
			       s->name, X509_verify_cert_error_string(verify));
	if (out == TLS_EOF)
		return err_set(e, ERR_NET, "TLS: %s hung up while greeting", s->name);
	if (other)
		return err_set(e, ERR_NET, "TLS: %s does not answer in TLS: is it the port for it?",
			       s->name);
	return out;
}

long tls_read(struct tls_session *s, void *p, size_t len, struct err *e)
{
	ERR_clear_error();
	int n = SSL_read(s->ssl, p, (int)MIN(len, 1u << 30));
	return n > 0 ? n : outcome(s, n, "reading from", e);
}

/* Within a renegotiation of TLS 1.2 only reading can go on: data that the peer had sent before may come first, and OpenSSL
 * takes it for a breach of the protocol where it comes while one writes. */
static bool renegotiating(const struct tls_session *s)
{
	return SSL_in_init(s->ssl) && SSL_version(s->ssl) <= TLS1_2_VERSION;
}

long tls_write(struct tls_session *s, const void *p, size_t len, struct err *e)
{
	if (renegotiating(s))
		return TLS_WANT_READ;
	ERR_clear_error();
	int n = SSL_write(s->ssl, p, (int)MIN(len, 1u << 30));
	return n > 0 ? n : outcome(s, n, "writing to", e);
}
