/* fakecb_wire.h: a bare client for the simulated Couchbase cluster: packets as bytes through a blocking socket.
 *
 * It knows nothing but the 24 byte header, so what the tests compare is what the cluster put on the wire. Hexadecimal
 * text may have blanks; "|TEXT|" in it stands for the text's own bytes.
 */
#ifndef TESTS_FAKECB_WIRE_H
#define TESTS_FAKECB_WIRE_H

#include "tests/fake/couchbase/fake.h"
#include "tests/test.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	W_GET = 0x00,
	W_SET = 0x01,
	W_HELLO = 0x1f,
	W_AUTH = 0x21,
	W_STEP = 0x22,
	W_OPEN = 0x50,
	W_CLOSE = 0x52,
	W_STREAM = 0x53,
	W_LOG = 0x54,
	W_END = 0x55,
	W_MARKER = 0x56,
	W_MUTATION = 0x57,
	W_DELETION = 0x58,
	W_EXPIRATION = 0x59,
	W_ACK = 0x5d,
	W_CONTROL = 0x5e,
	W_SYSTEM = 0x5f,
	W_ADVANCED = 0x64,
	W_OSO = 0x65,
	W_SELECT = 0x89,
	W_OBSERVE = 0x91,
	W_SUBDOC = 0xd1,
};

#define W_ALL_FEATURES "0004 0006 0007 0008 000a 000b 000c 0010 0012"
#define W_ENDLESS      UINT64_MAX

struct wire {
	int fd;
	SSL *ssl;
	struct buf got; /* the last packet */
};

/* ---- bytes ---- */

static inline void w_hex(struct buf *out, const char *text)
{
	for (const char *p = text; *p;) {
		if (isspace((unsigned char)*p)) {
			p++;
		} else if (*p == '|') {
			const char *end = strchr(p + 1, '|');
			assert_non_null(end);
			buf_add(out, p + 1, (size_t)(end - p - 1));
			p = end + 1;
		} else {
			unsigned byte;
			assert_int_equal(sscanf(p, "%2x", &byte), 1);
			buf_add_byte(out, (uint8_t)byte);
			p += 2;
		}
	}
}

static inline void w_print(const char *what, struct slice s)
{
	printf("%s:", what);
	for (size_t i = 0; i < s.len; i++)
		printf("%s%02x", i % 4 ? "" : " ", s.p[i]);
	printf("\n");
}

static inline void w_equal(struct slice got, const char *hex)
{
	struct buf want = BUF_INIT;
	w_hex(&want, hex);
	bool same = slice_eq(got, buf_slice(&want));
	if (!same) {
		w_print("got ", got);
		w_print("want", buf_slice(&want));
	}
	buf_done(&want);
	assert_true(same);
}

/* ---- the connection ---- */

static inline struct wire w_connect(uint16_t port)
{
	struct wire w = { .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .got = BUF_INIT };
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons(port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct timeval limit = { .tv_sec = PATIENCE / NSEC_PER_SEC };
	(void)setsockopt(w.fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	assert_int_equal(connect(w.fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return w;
}

static inline void w_close(struct wire *w)
{
	if (w->ssl)
		SSL_free(w->ssl);
	close(w->fd);
	buf_done(&w->got);
}

static inline void w_write(struct wire *w, const void *p, size_t len)
{
	ssize_t n = w->ssl ? SSL_write(w->ssl, p, (int)len) : send(w->fd, p, len, MSG_NOSIGNAL);
	assert_int_equal(n, len);
}

static inline bool w_read(struct wire *w, void *p, size_t len)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = w->ssl ? SSL_read(w->ssl, (char *)p + at, (int)(len - at))
				   : recv(w->fd, (char *)p + at, len - at, 0);
		if (n <= 0)
			return false;
		at += (size_t)n;
	}
	return true;
}

/* Nothing arrives for so long. */
static inline bool w_silent(struct wire *w, int ms)
{
	struct pollfd p = { .fd = w->fd, .events = POLLIN };
	return poll(&p, 1, ms) == 0;
}

struct w_request {
	uint8_t opcode;
	uint16_t vb;
	uint32_t opaque;
	const char *extras, *key, *value; /* hexadecimal; NULL: none */
	const char *framing;
};

static inline void w_send(struct wire *w, struct w_request r)
{
	struct buf f = BUF_INIT, x = BUF_INIT, k = BUF_INIT, v = BUF_INIT, all = BUF_INIT;
	w_hex(&f, r.framing ? r.framing : "");
	w_hex(&x, r.extras ? r.extras : "");
	w_hex(&k, r.key ? r.key : "");
	w_hex(&v, r.value ? r.value : "");
	uint8_t h[24] = { f.len ? 0x08 : 0x80, r.opcode };
	if (f.len) {
		h[2] = (uint8_t)f.len;
		h[3] = (uint8_t)k.len;
	} else {
		put_be16(h + 2, (uint16_t)k.len);
	}
	h[4] = (uint8_t)x.len;
	put_be16(h + 6, r.vb);
	put_be32(h + 8, (uint32_t)(f.len + x.len + k.len + v.len));
	put_be32(h + 12, r.opaque);
	buf_add(&all, h, sizeof(h));
	buf_add(&all, f.p, f.len);
	buf_add(&all, x.p, x.len);
	buf_add(&all, k.p, k.len);
	buf_add(&all, v.p, v.len);
	w_write(w, all.p, all.len);
	buf_done(&f);
	buf_done(&x);
	buf_done(&k);
	buf_done(&v);
	buf_done(&all);
}

/* The next packet, whole. */
static inline struct slice w_next(struct wire *w)
{
	buf_reset(&w->got);
	assert_true(buf_reserve(&w->got, 24));
	assert_true(w_read(w, w->got.p, 24));
	size_t body = get_be32(w->got.p + 8);
	w->got.len = 24;
	assert_true(buf_reserve(&w->got, body));
	assert_true(w_read(w, w->got.p + 24, body));
	w->got.len += body;
	return buf_slice(&w->got);
}

static inline void w_expect(struct wire *w, const char *hex)
{
	w_equal(w_next(w), hex);
}

static inline uint8_t w_opcode(const struct wire *w)
{
	return w->got.p[1];
}

static inline uint16_t w_word(const struct wire *w) /* status, or the vBucket */
{
	return get_be16(w->got.p + 6);
}

static inline uint16_t w_ask(struct wire *w, struct w_request r)
{
	w_send(w, r);
	w_next(w);
	assert_int_equal(w_opcode(w), r.opcode);
	return w_word(w);
}

/* Where framing extras, extras, key and value of the last packet are. */
static inline struct slice w_part(const struct wire *w, char which)
{
	const uint8_t *p = w->got.p;
	bool alt = p[0] == 0x08;
	size_t f = alt ? p[2] : 0, x = p[4], k = alt ? p[3] : get_be16(p + 2);
	switch (which) {
	case 'f': return slice_of(p + 24, f);
	case 'x': return slice_of(p + 24 + f, x);
	case 'k': return slice_of(p + 24 + f + x, k);
	default: return slice_of(p + 24 + f + x + k, w->got.len - 24 - f - x - k);
	}
}

/* Reads on until a message of this kind; of a stream's messages the first field is the seqno. */
static inline struct slice w_until(struct wire *w, uint8_t opcode, uint64_t seqno)
{
	for (;;) {
		struct slice p = w_next(w);
		if (w_opcode(w) == opcode && (!seqno || get_be64(w_part(w, 'x').p) == seqno))
			return p;
	}
}

/* ---- the management port ---- */

/* One request by a user ("name:password"); the status. The body is in w->got. */
static inline int w_http(struct wire *w, const char *user, const char *method, const char *path,
			 const char *form)
{
	uint8_t login[200] = "";
	struct buf head = BUF_INIT;
	int status = 0;
	size_t n = 0;
	if (user)
		(void)EVP_EncodeBlock(login, (const uint8_t *)user, (int)strlen(user));
	buf_add_fmt(&head, "%s %s HTTP/1.1\r\nHost: x\r\n", method, path);
	if (user)
		buf_add_fmt(&head, "Authorization: Basic %s\r\n", (const char *)login);
	buf_add_fmt(&head, "Content-Length: %zu\r\n\r\n%s", strlen(form), form);
	w_write(w, head.p, head.len);
	buf_reset(&head);
	char c = 0;
	while (!memmem(head.p, head.len, "\r\n\r\n", 4)) {
		assert_true(w_read(w, &c, 1));
		buf_add_byte(&head, (uint8_t)c);
	}
	buf_add_byte(&head, 0);
	assert_int_equal(sscanf((char *)head.p, "HTTP/1.1 %d", &status), 1);
	const char *len = strstr((char *)head.p, "Content-Length: ");
	buf_reset(&w->got);
	if (len)
		n = strtoul(len + 16, NULL, 10);
	assert_true(buf_reserve(&w->got, n + 1));
	assert_true(!n || w_read(w, w->got.p, n));
	w->got.len = n;
	w->got.p[n] = '\0';
	buf_done(&head);
	return status;
}

#define W_ADMIN "Administrator:password"

/* The same on a connection of its own. */
static inline int w_manage(struct fake *f, const char *user, const char *method, const char *path,
			   const char *form)
{
	struct wire w = w_connect(fake_http_port(f, 0));
	int status = w_http(&w, user, method, path, form);
	w_close(&w);
	return status;
}

/* ---- common steps ---- */

static inline uint16_t w_auth(struct wire *w, const char *plain)
{
	return w_ask(w, (struct w_request){ .opcode = W_AUTH, .key = "|PLAIN|", .value = plain });
}

static inline uint16_t w_select(struct wire *w, const char *bucket)
{
	char key[80];
	(void)snprintf(key, sizeof(key), "|%s|", bucket);
	return w_ask(w, (struct w_request){ .opcode = W_SELECT, .key = key });
}

static inline void w_login_as(struct wire *w, const char *features, const char *plain)
{
	assert_int_equal(w_ask(w, (struct w_request){ .opcode = W_HELLO, .value = features }), 0);
	if (plain)
		assert_int_equal(w_ask(w, (struct w_request){ .opcode = W_AUTH,
							      .key = "|PLAIN|",
							      .value = plain }),
				 0);
	assert_int_equal(w_ask(w, (struct w_request){ .opcode = W_SELECT, .key = "|default|" }), 0);
}

static inline struct wire w_login(struct fake *f, unsigned node, const char *features)
{
	struct wire w = w_connect(fake_kv_port(f, node));
	w_login_as(&w, features, "00 |Administrator| 00 |password|");
	return w;
}

static inline uint16_t w_control(struct wire *w, const char *key, const char *value)
{
	char k[80], v[80];
	(void)snprintf(k, sizeof(k), "|%s|", key);
	(void)snprintf(v, sizeof(v), "|%s|", value);
	return w_ask(w, (struct w_request){ .opcode = W_CONTROL, .key = k, .value = v });
}

/* A DCP connection that is ready to stream. */
static inline struct wire w_dcp(struct fake *f, unsigned node, const char *features, uint32_t flags)
{
	struct wire w = w_login(f, node, features);
	char extras[20];
	(void)snprintf(extras, sizeof(extras), "00000000 %08x", flags);
	assert_int_equal(w_ask(&w, (struct w_request){ .opcode = W_OPEN,
						       .extras = extras,
						       .key = "|test:one|" }),
			 0);
	assert_int_equal(w_control(&w, "enable_noop", "true"), 0);
	return w;
}

struct w_stream {
	uint16_t vb;
	uint32_t opaque, flags;
	uint64_t start, end, uuid, snap_start, snap_end;
	const char *value;
};

static inline void w_stream_send(struct wire *w, struct w_stream s)
{
	char extras[128];
	(void)snprintf(extras, sizeof(extras),
		       "%08x 00000000 %016llx %016llx %016llx %016llx %016llx", s.flags,
		       (unsigned long long)s.start, (unsigned long long)s.end,
		       (unsigned long long)s.uuid, (unsigned long long)s.snap_start,
		       (unsigned long long)s.snap_end);
	w_send(w, (struct w_request){ .opcode = W_STREAM,
				      .vb = s.vb,
				      .opaque = s.opaque,
				      .extras = extras,
				      .value = s.value });
}

static inline uint16_t w_stream(struct wire *w, struct w_stream s)
{
	w_stream_send(w, s);
	w_until(w, W_STREAM, 0);
	return w_word(w);
}

#endif
