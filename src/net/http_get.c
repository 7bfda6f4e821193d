#include "net/http_get.h"

#include "base/buf.h"
#include "base/mem.h"
#include "net/http_response.h"
#include "net/tcp.h"

#include <inttypes.h>
#include <stdio.h>

enum { READ_BYTES = 16 << 10 };

struct http_get {
	struct tcp *tcp;
	const struct http_get_ops *ops;
	void *arg;
	struct timer quiet;
	struct http_response response;
	struct buf request;
	char where[300]; /* host and port, for messages */
	nsec silence;
	bool told_head, ended, busy, freed;
};

static void really_free(struct http_get *g)
{
	tcp_close(g->tcp);
	timer_done(&g->quiet);
	if (g->request.len)
		explicit_bzero(g->request.p, g->request.len);
	buf_done(&g->request);
	mem_free(g);
}

void http_get_close(struct http_get *g)
{
	if (!g)
		return;
	g->freed = true;
	if (!g->busy)
		really_free(g);
}

static void end(struct http_get *g, const struct err *why)
{
	struct err e = ERR_INIT;
	if (g->ended || g->freed)
		return;
	g->ended = true;
	timer_clear(&g->quiet);
	if (why) {
		e = *why;
		if (e.code != ERR_WRONG_PORT) /* it says where already */
			(void)err_in(&e, e.code ? e.code : ERR_NET, "GET %s", g->where);
	}
	g->ops->end(g->arg, why ? &e : NULL);
}

/* ---- the connection ---- */

static void on_connected(void *arg)
{
	struct http_get *g = arg;
	struct buf *out = tcp_out(g->tcp);
	buf_add(out, g->request.p, g->request.len);
	timer_set(&g->quiet, g->silence);
	tcp_flush_soon(g->tcp);
}

/* One step further. False: nothing more to be done with these bytes. */
static bool step(struct http_get *g, struct slice in, size_t *taken)
{
	struct err e = ERR_INIT;
	struct slice body;
	int rc = http_response_step(&g->response, in, taken, &body, &e);
	if (rc < 0)
		end(g, &e);
	if (rc != 1)
		return false;
	if (g->response.head_done && !g->told_head) {
		g->told_head = true;
		g->ops->head(g->arg, g->response.status);
	}
	if (body.len && !g->freed && !g->ended)
		g->ops->body(g->arg, body);
	if (g->response.done)
		end(g, NULL);
	return !g->freed && !g->ended;
}

static size_t on_bytes(void *arg, struct slice in, size_t *need)
{
	struct http_get *g = arg;
	size_t at = 0, taken = 0;
	*need = 0;
	if (g->ended)
		return in.len;
	timer_set(&g->quiet, g->silence);
	g->busy = true;
	while (step(g, slice_of(in.p + at, in.len - at), &taken)) {
		at += taken;
		taken = 0;
	}
	at += taken;
	g->busy = false;
	if (g->ended)
		at = in.len;
	else if (at < in.len)
		*need = in.len - at + 1;
	if (g->freed)
		really_free(g);
	return at;
}

static void on_closed(void *arg, const struct err *why)
{
	struct http_get *g = arg;
	struct err e = ERR_INIT;
	g->busy = true;
	if (g->told_head && http_response_end(&g->response, &e) == 0)
		end(g, NULL);
	else
		end(g, why);
	g->busy = false;
	if (g->freed)
		really_free(g);
}

static void on_quiet(void *arg)
{
	struct http_get *g = arg;
	struct err e = ERR_INIT;
	(void)err_set(&e, ERR_TIMEOUT, "nothing came for %" PRId64 " ms",
		      (int64_t)(g->silence / NSEC_PER_MS));
	g->busy = true;
	end(g, &e);
	g->busy = false;
	if (g->freed)
		really_free(g);
}

/* ---- the request ---- */

static void add_base64(struct buf *out, const uint8_t *p, size_t len)
{
	static const char digit[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	for (size_t i = 0; i < len; i += 3) {
		size_t n = MIN(len - i, 3u);
		uint32_t w = (uint32_t)p[i] << 16 | (n > 1 ? (uint32_t)p[i + 1] << 8 : 0) |
			     (n > 2 ? p[i + 2] : 0u);
		for (size_t k = 0; k < 4; k++)
			buf_add_byte(out, k <= n ? (uint8_t)digit[w >> (18 - 6 * k) & 63] : '=');
	}
}

static int add_login(struct buf *out, const char *user, const char *password, struct err *e)
{
	AUTO(buf) struct buf plain = BUF_INIT;
	buf_add_fmt(&plain, "%s:%s", user, password ? password : "");
	int rc = buf_check(&plain, e);
	if (rc < 0)
		return rc;
	buf_add_str(out, "Authorization: Basic ");
	add_base64(out, plain.p, plain.len);
	buf_add_str(out, "\r\n");
	explicit_bzero(plain.p, plain.len);
	return 0;
}

static int make_request(struct http_get *g, const char *host, uint16_t port,
			const struct http_get_options *o, struct err *e)
{
	bool v6 = strchr(host, ':') != NULL;
	(void)snprintf(g->where, sizeof(g->where), "%s%s%s:%u", v6 ? "[" : "", host, v6 ? "]" : "",
		       port);
	if (o->path[0] != '/' || strpbrk(o->path, " \r\n") || strpbrk(host, " \r\n/"))
		return err_set(e, ERR_INVALID, "not a path or not a host");
	buf_add_fmt(&g->request,
		    "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: weir\r\n"
		    "Accept: application/json\r\nConnection: close\r\n",
		    o->path, g->where);
	int rc = o->user && *o->user ? add_login(&g->request, o->user, o->password, e) : 0;
	buf_add_str(&g->request, "\r\n");
	return rc < 0 ? rc : buf_check(&g->request, e);
}

int http_get_open(struct loop *l, const char *host, uint16_t port, const struct http_get_options *o,
		  const struct http_get_ops *ops, void *arg, struct http_get **out, struct err *e)
{
	static const struct tcp_ops tcp_ops = { on_connected, on_bytes, on_closed };
	struct http_get *g = mem_try(sizeof(*g));
	if (!g)
		return err_nomem(e);
	g->ops = ops;
	g->arg = arg;
	g->silence = o->silence;
	struct tcp_options t = { .tls = o->tls,
				 .read_bytes = READ_BYTES,
				 .connect_timeout = o->connect_timeout,
				 .expected = o->expected,
				 .asked = o->asked };
	int rc = make_request(g, host, port, o, e);
	if (rc == 0)
		rc = timer_init(&g->quiet, l, on_quiet, g, e);
	if (rc == 0)
		rc = tcp_connect(l, host, port, &t, &tcp_ops, g, &g->tcp, e);
	if (rc < 0) {
		really_free(g);
		return rc;
	}
	*out = g;
	return 0;
}
