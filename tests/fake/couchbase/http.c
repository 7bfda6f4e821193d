/* http.c: HTTP/1.1 of the management port: requests are cut off the input (bodies may be chunked), users found, answers
 * and streams of maps sent. http_paths.c has the paths. */
#include "tests/fake/couchbase/http.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { BODY_MAX = 1 << 20, HEAD_MAX = 16 << 10, BEHIND_MAX = 8 << 20 };

/* ---- who asks ---- */

static struct user *basic(struct fake *f, const char *head)
{
	uint8_t plain[200];
	char encoded[200];
	const char *p = strcasestr(head, "\r\nAuthorization:");
	if (!p || sscanf(p + strlen("\r\nAuthorization:"), " Basic %180[^\r\n ]", encoded) != 1)
		return NULL;
	int n = EVP_DecodeBlock(plain, (const uint8_t *)encoded, (int)strlen(encoded));
	if (n <= 0)
		return NULL;
	plain[n] = '\0';
	char *password = strchr((char *)plain, ':');
	if (!password)
		return NULL;
	*password++ = '\0';
	struct user *u = user_named(f, (char *)plain);
	return u && strcmp(u->password, password) == 0 ? u : NULL;
}

/* ---- answers ---- */

static const char *reason(int status)
{
	switch (status) {
	case 200: return "OK";
	case 202: return "Accepted";
	case 400: return "Bad Request";
	case 401: return "Unauthorized";
	case 403: return "Forbidden";
	case 404: return "Object Not Found";
	default: return "Error";
	}
}

void http_respond(struct conn *c, int status, const char *type, struct slice body)
{
	char head[300];
	int n = snprintf(head, sizeof(head),
			 "HTTP/1.1 %d %s\r\nContent-Type: %s\r\n%sContent-Length: %zu\r\n\r\n",
			 status, reason(status), type,
			 status == 401 ? "WWW-Authenticate: Basic realm=\"Couchbase\"\r\n" : "",
			 body.len);
	conn_send(c, head, (size_t)n);
	conn_send(c, body.p, body.len);
}

void http_json(struct conn *c, int status, struct buf *body)
{
	http_respond(c, status, "application/json", buf_slice(body));
	buf_done(body);
}

static void chunk(struct conn *c, const struct buf *b)
{
	char head[32];
	int n = snprintf(head, sizeof(head), "%zx\r\n", b->len + 4);
	conn_send(c, head, (size_t)n);
	conn_send(c, b->p, b->len);
	conn_send(c, "\n\n\n\n\r\n", 6);
}

/* A reader that is too far behind is cut off. */
void http_push_map(struct fake *f, struct conn *c)
{
	struct buf map = BUF_INIT;
	if (c->out.len - c->out_at > BEHIND_MAX) {
		c->dead = true;
		return;
	}
	if (c->b)
		topology_map(c->b, c->node->index, &map);
	else
		topology_node_services(f, c->node->index, &map);
	chunk(c, &map);
	buf_done(&map);
}

void http_stream_map(struct fake *f, struct conn *c, const struct request *r)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: "
				   "application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
	conn_send(c, head, sizeof(head) - 1);
	c->http_stream = true;
	c->b = r->b;
	http_push_map(f, c);
}

/* ---- forms ---- */

static int hex_digit(char c)
{
	return isdigit((unsigned char)c)    ? c - '0'
	       : isxdigit((unsigned char)c) ? (c | 32) - 'a' + 10
					    : -1;
}

/* Percent signs, and blanks written as plus signs, undone. */
static void decode(const char *p, size_t len, bool plus, char *out, size_t cap)
{
	size_t n = 0;
	for (size_t i = 0; i < len && n + 1 < cap; i++, n++) {
		out[n] = plus && p[i] == '+' ? ' ' : p[i];
		if (p[i] == '%' && i + 2 < len && hex_digit(p[i + 1]) >= 0 &&
		    hex_digit(p[i + 2]) >= 0) {
			out[n] = (char)(hex_digit(p[i + 1]) * 16 + hex_digit(p[i + 2]));
			i += 2;
		}
	}
	out[n] = '\0';
}

bool http_value(struct slice form, const char *key, char *out, size_t cap)
{
	const char *p = (const char *)form.p, *end = p + form.len;
	size_t key_len = strlen(key);
	while (p < end) {
		const char *amp = memchr(p, '&', (size_t)(end - p));
		size_t len = (size_t)((amp ? amp : end) - p);
		if (len > key_len && memcmp(p, key, key_len) == 0 && p[key_len] == '=') {
			decode(p + key_len + 1, len - key_len - 1, true, out, cap);
			return true;
		}
		p += len + 1;
	}
	return false;
}

/* ---- requests ---- */

/* Joins the chunks of a body in place. 1, 0 not whole, -1 malformed. With `move` false it only looks. */
static int join_chunks(uint8_t *p, size_t len, bool move, size_t *body, size_t *used)
{
	size_t at = 0;
	*body = 0;
	for (;;) {
		uint8_t *eol = len > at ? memmem(p + at, len - at, "\r\n", 2) : NULL;
		if (!eol)
			return len - at > 64 ? -1 : 0;
		char *end;
		size_t n = strtoul((char *)p + at, &end, 16);
		if (end == (char *)p + at || n > BODY_MAX || *body > BODY_MAX)
			return -1;
		at = (size_t)(eol - p) + 2;
		if (len - at < n + 2)
			return 0;
		if (move)
			memmove(p + *body, p + at, n);
		*body += n;
		at += n + 2;
		if (n == 0)
			break;
	}
	*used = at;
	return 1;
}

static bool split_target(const char *target, struct request *r)
{
	size_t path = strcspn(target, "?");
	snprintf(r->query, sizeof(r->query), "%s", target[path] ? target + path + 1 : "");
	for (size_t at = 0; at < path;) {
		if (target[at] == '/') {
			at++;
			continue;
		}
		size_t len = strcspn(target + at, "/?");
		if (r->n_segments == SEGMENTS_MAX || len >= NAME_MAX_ * 3)
			return false;
		decode(target + at, len, false, r->segment[r->n_segments++], NAME_MAX_);
		at += len;
	}
	return true;
}

static bool parse_head(struct fake *f, struct conn *c, const char *head, struct request *r)
{
	char target[1200];
	if (sscanf(head, "%7s %1199s HTTP/1.", r->method, target) != 2 || !split_target(target, r))
		return false;
	r->user = c->user ? c->user : basic(f, head); /* a certificate's, or a password's */
	return true;
}

/* One request off the input. 1, 0 not whole, -1 malformed. */
static int cut(struct fake *f, struct conn *c, struct request *r, size_t *used)
{
	struct buf *in = &c->in;
	const char *end = memmem(in->p, in->len, "\r\n\r\n", 4);
	if (!end)
		return in->len > HEAD_MAX ? -1 : 0;
	size_t head_len = (size_t)(end - (const char *)in->p) + 4, body, taken;
	char *head = strndup((const char *)in->p, head_len);
	bool ok = parse_head(f, c, head, r);
	const char *p = strcasestr(head, "\r\nContent-Length:");
	bool chunked = strcasestr(head, "\r\nTransfer-Encoding: chunked") != NULL;
	taken = body = p ? strtoul(p + strlen("\r\nContent-Length:"), NULL, 10) : 0;
	free(head);
	if (!ok || body > BODY_MAX)
		return -1;
	uint8_t *start = in->p + head_len;
	size_t have = in->len - head_len;
	if (chunked) {
		int rc = buf_reserve(in, 1)
				 ? join_chunks(in->p + head_len, have, false, &body, &taken)
				 : -1;
		if (rc != 1)
			return rc;
		start = in->p + head_len;
		(void)join_chunks(start, have, true, &body, &taken);
	}
	if (have < taken)
		return 0;
	r->body = slice_of(start, body);
	*used = head_len + taken;
	return 1;
}

/* A first line that is none of HTTP's: what a client of another port sends. The servers' answer comes at its end. */
static bool is_strange(const struct buf *in)
{
	const char *p = (const char *)in->p, *eol = memchr(p, '\n', in->len);
	return eol && !memmem(p, (size_t)(eol - p), " HTTP/1.", 8);
}

bool http_on_bytes(struct fake *f, struct conn *c)
{
	if (!c->closing && is_strange(&c->in)) {
		static const char answer[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
		conn_send(c, answer, sizeof(answer) - 1);
		c->closing = true;
	}
	if (c->closing)
		return true;
	while (c->in.len) {
		size_t used = 0;
		int rc;
		struct request r = { 0 };
		if (!buf_reserve(&c->in, 1))
			return false;
		c->in.p[c->in.len] = '\0'; /* numbers are read as text */
		if ((rc = cut(f, c, &r, &used)) <= 0)
			return rc == 0;
		if (!c->http_stream) /* what follows on a stream of maps is not answered */
			http_route(f, c, &r);
		memmove(c->in.p, c->in.p + used, c->in.len - used);
		c->in.len -= used;
	}
	return true;
}
