#include "tests/fake/lease.h"

#include "doc/json.h"

#include <arpa/inet.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LEASES_MAX = 256, REQUEST_MAX = 65536, SERVED_MAX = 64 };

struct lease {
	char name[256];
	uint64_t version;
	struct buf labels, annotations, spec; /* BSON documents */
};

struct served { /* a connection */
	struct lease_fake *f;
	pthread_t thread;
	bool begun; /* and not joined; the accepting thread's */
	int fd;     /* -1 none */
};

struct lease_fake {
	int listener;
	char url[64];
	SSL_CTX *tls;
	pthread_t thread;
	pthread_mutex_t lock; /* guards what follows */
	bool stop;
	char token[256], fail_method[16];
	int fail_status;
	unsigned fail_count, delay_ms, n;
	uint64_t clock;
	struct lease lease[LEASES_MAX];
	struct served served[SERVED_MAX];
};

/* ---- a certificate ---- */

static bool make_certificate(struct lease_fake *f, const char *path)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	FILE *out = fopen(path, "w");
	if (!key || !x || !out)
		return false;
	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), 86400);
	X509_set_pubkey(x, key);
	X509_NAME *name = X509_get_subject_name(x);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"lease", -1, -1,
				   0);
	X509_set_issuer_name(x, name);
	X509_EXTENSION *san = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "IP:127.0.0.1");
	X509_add_ext(x, san, -1);
	X509_EXTENSION_free(san);
	X509_sign(x, key, EVP_sha256());
	f->tls = SSL_CTX_new(TLS_server_method());
	bool good = PEM_write_X509(out, x) == 1 && f->tls &&
		    SSL_CTX_use_certificate(f->tls, x) == 1 &&
		    SSL_CTX_use_PrivateKey(f->tls, key) == 1;
	(void)fclose(out);
	X509_free(x);
	EVP_PKEY_free(key);
	return good;
}

/* ---- Leases ---- */

static void keep(struct buf *to, struct slice doc, const char *name)
{
	struct value v = bson_get_str(doc, name);
	if (v.type != BSON_DOCUMENT)
		return;
	buf_reset(to);
	buf_add_slice(to, value_slice(v));
}

static struct lease *find(struct lease_fake *f, const char *name)
{
	for (unsigned i = 0; i < f->n; i++)
		if (strcmp(f->lease[i].name, name) == 0)
			return &f->lease[i];
	return NULL;
}

static void show_part(struct buf *out, const char *name, const struct buf *doc)
{
	buf_add_fmt(out, "\"%s\":", name);
	if (doc->len)
		json_from_bson(buf_slice(doc), JSON_RELAXED, out);
	else
		buf_add_str(out, "{}");
}

static void show(const struct lease *l, struct buf *out)
{
	buf_add_fmt(out, "{\"metadata\":{\"name\":\"%s\",\"resourceVersion\":\"%llu\",", l->name,
		    (unsigned long long)l->version);
	show_part(out, "labels", &l->labels);
	buf_add_byte(out, ',');
	show_part(out, "annotations", &l->annotations);
	buf_add_str(out, "},");
	show_part(out, "spec", &l->spec);
	buf_add_byte(out, '}');
}

static bool labelled(const struct lease *l, const char *group)
{
	if (!l->labels.len)
		return false;
	struct value v = bson_get_str(buf_slice(&l->labels), "weir-group");
	return v.type == BSON_STRING && slice_is(value_slice(v), group);
}

static int list(struct lease_fake *f, const char *group, struct buf *out)
{
	bool some = false;
	buf_add_str(out, "{\"items\":[");
	for (unsigned i = 0; i < f->n; i++) {
		if (!labelled(&f->lease[i], group))
			continue;
		if (some)
			buf_add_byte(out, ',');
		some = true;
		show(&f->lease[i], out);
	}
	buf_add_str(out, "]}");
	return 200;
}

static void write_parts(struct lease_fake *f, struct lease *l, struct slice doc)
{
	struct value meta = bson_get_str(doc, "metadata");
	keep(&l->labels, value_slice(meta), "labels");
	keep(&l->annotations, value_slice(meta), "annotations");
	keep(&l->spec, doc, "spec");
	l->version = ++f->clock;
}

static int create(struct lease_fake *f, struct slice doc, struct buf *out)
{
	char name[256];
	struct value v = bson_get_str(value_slice(bson_get_str(doc, "metadata")), "name");
	(void)snprintf(name, sizeof(name), "%.*s", (int)v.len, (const char *)v.p);
	if (find(f, name))
		return 409;
	if (f->n == LEASES_MAX)
		return 500;
	struct lease *l = &f->lease[f->n++];
	memset(l, 0, sizeof(*l));
	(void)snprintf(l->name, sizeof(l->name), "%s", name);
	write_parts(f, l, doc);
	show(l, out);
	return 201;
}

static int patch(struct lease_fake *f, struct lease *l, struct slice doc, struct buf *out)
{
	struct value v =
		bson_get_str(value_slice(bson_get_str(doc, "metadata")), "resourceVersion");
	char now[32];
	(void)snprintf(now, sizeof(now), "%llu", (unsigned long long)l->version);
	if (v.type == BSON_STRING && !slice_is(value_slice(v), now))
		return 409;
	write_parts(f, l, doc);
	show(l, out);
	return 200;
}

static void lease_free(struct lease *l)
{
	buf_done(&l->labels);
	buf_done(&l->annotations);
	buf_done(&l->spec);
}

static int answer(struct lease_fake *f, const char *method, char *path, struct slice json,
		  struct buf *out)
{
	AUTO(buf) struct buf doc = BUF_INIT;
	static const char prefix[] = "/apis/coordination.k8s.io/v1/namespaces/";
	char *at = strncmp(path, prefix, sizeof(prefix) - 1) == 0
			   ? strstr(path + sizeof(prefix) - 1, "/leases")
			   : NULL;
	if (!at)
		return 404;
	at += 7;
	if (json.len && json_to_bson(json, &doc, NULL, NULL) < 0)
		return 400;
	if (at[0] == '?') {
		static const char selector[] = "?labelSelector=weir-group%3D";
		return strncmp(at, selector, sizeof(selector) - 1) == 0
			       ? list(f, at + sizeof(selector) - 1, out)
			       : 400;
	}
	if (at[0] == '\0')
		return strcmp(method, "POST") == 0 && json.len ? create(f, buf_slice(&doc), out)
							       : 405;
	struct lease *l = find(f, at + 1);
	if (!l)
		return 404;
	if (strcmp(method, "PATCH") == 0 && json.len)
		return patch(f, l, buf_slice(&doc), out);
	if (strcmp(method, "DELETE") == 0) {
		lease_free(l);
		*l = f->lease[--f->n];
		return 200;
	}
	show(l, out);
	return strcmp(method, "GET") == 0 ? 200 : 405;
}

/* ---- HTTP ---- */

struct stream {
	int fd;
	SSL *ssl;
};

static long stream_read(struct stream *s, char *p, size_t n)
{
	return s->ssl ? SSL_read(s->ssl, p, (int)n) : read(s->fd, p, n);
}

static void stream_write(struct stream *s, const void *p, size_t n)
{
	if (s->ssl)
		(void)SSL_write(s->ssl, p, (int)n);
	else
		(void)!send(s->fd, p, n, MSG_NOSIGNAL);
}

/* Reads a whole request; the offset of its body, 0 on failure. */
static size_t read_request(struct stream *s, char *text, size_t *len)
{
	size_t got = 0;
	for (;;) {
		long n = stream_read(s, text + got, REQUEST_MAX - 1 - got);
		if (n <= 0)
			return 0;
		got += (size_t)n;
		text[got] = '\0';
		const char *end = strstr(text, "\r\n\r\n");
		if (!end)
			continue;
		size_t head = (size_t)(end - text) + 4;
		const char *length = strcasestr(text, "\r\nContent-Length:");
		size_t body = length && length < end ? strtoul(length + 17, NULL, 10) : 0;
		if (got >= head + body) {
			*len = head + body;
			return head;
		}
	}
}

static int judge(struct lease_fake *f, char *text, size_t head, size_t len, struct buf *out)
{
	char method[16], path[1024], bearer[320];
	text[head - 1] = '\0';
	if (sscanf(text, "%15s %1023s", method, path) != 2)
		return 400;
	(void)snprintf(bearer, sizeof(bearer), "\r\nAuthorization: Bearer %s\r\n", f->token);
	if (!strstr(text, bearer))
		return 401;
	if (f->fail_count && (!f->fail_method[0] || strcmp(f->fail_method, method) == 0)) {
		f->fail_count--;
		return f->fail_status;
	}
	return answer(f, method, path, slice_of(text + head, len - head), out);
}

static void answer_one(struct lease_fake *f, int fd)
{
	char *text = malloc(REQUEST_MAX);
	struct stream s = { .fd = fd };
	AUTO(buf) struct buf body = BUF_INIT;
	char head[160];
	size_t len;
	if (f->tls) {
		s.ssl = SSL_new(f->tls);
		SSL_set_fd(s.ssl, fd);
	}
	size_t at = s.ssl && SSL_accept(s.ssl) != 1 ? 0 : read_request(&s, text, &len);
	if (at) {
		pthread_mutex_lock(&f->lock);
		unsigned delay = f->delay_ms;
		int status = judge(f, text, at, len, &body);
		pthread_mutex_unlock(&f->lock);
		(void)usleep(delay * 1000);
		if (body.len == 0)
			buf_add_str(&body, "{}");
		int n = snprintf(head, sizeof(head),
				 "HTTP/1.1 %d x\r\nContent-Type: application/json\r\n"
				 "Content-Length: %zu\r\nConnection: close\r\n\r\n",
				 status, body.len);
		stream_write(&s, head, (size_t)n);
		stream_write(&s, body.p, body.len);
	}
	if (s.ssl) {
		(void)SSL_shutdown(s.ssl);
		SSL_free(s.ssl);
	}
	free(text);
}

static void *serve(void *arg)
{
	struct served *s = arg;
	answer_one(s->f, s->fd);
	pthread_mutex_lock(&s->f->lock);
	(void)close(s->fd);
	s->fd = -1;
	pthread_mutex_unlock(&s->f->lock);
	return NULL;
}

/* A place for one connection more, or NULL. */
static struct served *vacant(struct lease_fake *f)
{
	struct served *s = NULL;
	pthread_mutex_lock(&f->lock);
	for (int i = 0; i < SERVED_MAX && !s; i++)
		if (f->served[i].fd < 0)
			s = &f->served[i];
	pthread_mutex_unlock(&f->lock);
	if (s && s->begun)
		pthread_join(s->thread, NULL);
	if (s)
		s->begun = false;
	return s;
}

static void take_one(struct lease_fake *f)
{
	struct served *s = vacant(f);
	int fd = s ? accept4(f->listener, NULL, NULL, SOCK_CLOEXEC) : -1;
	if (fd < 0)
		return;
	pthread_mutex_lock(&f->lock);
	s->f = f;
	s->fd = fd;
	pthread_mutex_unlock(&f->lock);
	s->begun = pthread_create(&s->thread, NULL, serve, s) == 0;
}

static void end_all(struct lease_fake *f)
{
	pthread_mutex_lock(&f->lock);
	for (int i = 0; i < SERVED_MAX; i++)
		if (f->served[i].fd >= 0)
			(void)shutdown(f->served[i].fd, SHUT_RDWR);
	pthread_mutex_unlock(&f->lock);
	for (int i = 0; i < SERVED_MAX; i++)
		if (f->served[i].begun)
			pthread_join(f->served[i].thread, NULL);
}

static void *run(void *arg)
{
	struct lease_fake *f = arg;
	/* OpenSSL writes to sockets that the client has closed: an error, not a signal for the whole process. */
	sigset_t pipe_signal;
	sigemptyset(&pipe_signal);
	sigaddset(&pipe_signal, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe_signal, NULL);
	for (;;) {
		struct pollfd p = { .fd = f->listener, .events = POLLIN };
		(void)poll(&p, 1, 20);
		pthread_mutex_lock(&f->lock);
		bool stop = f->stop;
		pthread_mutex_unlock(&f->lock);
		if (stop)
			break;
		if (p.revents)
			take_one(f);
	}
	end_all(f);
	return NULL;
}

struct lease_fake *lease_fake_start(const char *token, const char *cert_file)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	struct lease_fake *f = calloc(1, sizeof(*f));
	if (!f || (cert_file && !make_certificate(f, cert_file)))
		return NULL;
	f->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (f->listener < 0 || bind(f->listener, (struct sockaddr *)&a, sizeof(a)) < 0 ||
	    listen(f->listener, 16) < 0 ||
	    getsockname(f->listener, (struct sockaddr *)&a, &len) < 0)
		return NULL;
	(void)snprintf(f->url, sizeof(f->url), "%s://127.0.0.1:%u", cert_file ? "https" : "http",
		       ntohs(a.sin_port));
	pthread_mutex_init(&f->lock, NULL);
	for (int i = 0; i < SERVED_MAX; i++)
		f->served[i].fd = -1;
	(void)snprintf(f->token, sizeof(f->token), "%s", token);
	return pthread_create(&f->thread, NULL, run, f) == 0 ? f : NULL;
}

void lease_fake_stop(struct lease_fake *f)
{
	pthread_mutex_lock(&f->lock);
	f->stop = true;
	pthread_mutex_unlock(&f->lock);
	pthread_join(f->thread, NULL);
	(void)close(f->listener);
	for (unsigned i = 0; i < f->n; i++)
		lease_free(&f->lease[i]);
	SSL_CTX_free(f->tls);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

const char *lease_fake_url(const struct lease_fake *f)
{
	return f->url;
}

void lease_fake_fail(struct lease_fake *f, const char *method, int status, unsigned count)
{
	pthread_mutex_lock(&f->lock);
	(void)snprintf(f->fail_method, sizeof(f->fail_method), "%s", method);
	f->fail_status = status;
	f->fail_count = count;
	pthread_mutex_unlock(&f->lock);
}

void lease_fake_delay(struct lease_fake *f, unsigned ms)
{
	pthread_mutex_lock(&f->lock);
	f->delay_ms = ms;
	pthread_mutex_unlock(&f->lock);
}

void lease_fake_token(struct lease_fake *f, const char *token)
{
	pthread_mutex_lock(&f->lock);
	(void)snprintf(f->token, sizeof(f->token), "%s", token);
	pthread_mutex_unlock(&f->lock);
}

bool lease_fake_holder(struct lease_fake *f, const char *name, char *out, size_t room)
{
	pthread_mutex_lock(&f->lock);
	struct lease *l = find(f, name);
	struct value v = l ? bson_get_str(buf_slice(&l->spec), "holderIdentity") : VALUE_MISSING;
	if (v.type == BSON_STRING)
		(void)snprintf(out, room, SLICE_FMT, SLICE_ARG(value_slice(v)));
	pthread_mutex_unlock(&f->lock);
	return v.type == BSON_STRING;
}

unsigned lease_fake_leases(struct lease_fake *f)
{
	pthread_mutex_lock(&f->lock);
	unsigned n = f->n;
	pthread_mutex_unlock(&f->lock);
	return n;
}
