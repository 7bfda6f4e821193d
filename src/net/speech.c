#include "net/speech.h"

#include "base/mem.h"
#include "net/tcp.h"

#include <stdio.h>

/* NOOP, and the end of what an HTTP server would take for a request: each answers in its own way. */
static const char noop[] = "\x80\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\r\n\r\n";
static_assert(sizeof(noop) - 1 == 28, "a header and two line ends");

/* A record, ClientHello of TLS 1.2, random bytes, no session, two ciphers, no compression. Accepted or refused, the answer
 * is a record, too. */
static const char client_hello[] = "\x16\x03\x01\x00\x2f"
				   "\x01\x00\x00\x2b\x03\x03"
				   "weir asks what is spoken here..."
				   "\x00"
				   "\x00\x04\xc0\x2f\x00\x9c"
				   "\x01\x00";
static_assert(sizeof(client_hello) - 1 == 5 + 0x2f, "as its head says");

enum step { STEP_PLAIN, STEP_GREETING, STEP_WITHIN, STEP_END };

struct speech_probe {
	struct loop *loop;
	char host[256];
	uint16_t port;
	struct tls *tls;
	nsec patience;
	enum speech_asked asked;
	enum step step;
	struct tcp *tcp;
	struct timer timer;
	struct speech_found found;
	speech_done done;
	void *arg;
};

enum speech speech_of(struct slice answer)
{
	if (answer.len == 0)
		return SPEECH_UNKNOWN;
	uint8_t first = answer.p[0];
	if ((first & 0xfc) == 0x80 || first == 0x18)
		return SPEECH_PACKETS;
	if ((first == 0x15 || first == 0x16) && answer.len > 1 && answer.p[1] == 3)
		return SPEECH_TLS;
	if (answer.len >= 5 && memcmp(answer.p, "HTTP/", 5) == 0)
		return SPEECH_HTTP;
	return SPEECH_UNKNOWN;
}

void speech_probe_free(struct speech_probe *p)
{
	if (!p)
		return;
	tcp_close(p->tcp);
	timer_done(&p->timer);
	mem_free(p);
}

static void take_step(void *arg);

/* From the loop: the last connection's callbacks are over. */
static void next_later(struct speech_probe *p, enum step step)
{
	p->step = step;
	p->timer.fire = take_step;
	timer_set(&p->timer, 0);
}

static enum step step_after(const struct speech_probe *p)
{
	bool greet = p->step == STEP_PLAIN && p->asked == SPEECH_ASK_PLAIN;
	return greet ? STEP_GREETING : STEP_END;
}

static void on_connected(void *arg)
{
	struct speech_probe *p = arg;
	if (p->step == STEP_GREETING)
		buf_add(tcp_out(p->tcp), client_hello, sizeof(client_hello) - 1);
	else
		buf_add(tcp_out(p->tcp), noop, sizeof(noop) - 1);
	tcp_flush_soon(p->tcp);
}

static size_t on_bytes(void *arg, struct slice in, size_t *need)
{
	struct speech_probe *p = arg;
	*need = 0;
	p->found.speech = speech_of(in);
	p->found.within_tls = p->step == STEP_WITHIN;
	next_later(p, p->found.speech == SPEECH_UNKNOWN ? step_after(p) : STEP_END);
	return in.len;
}

static void on_closed(void *arg, const struct err *why)
{
	struct speech_probe *p = arg;
	(void)why;
	if (p->found.speech == SPEECH_UNKNOWN)
		next_later(p, step_after(p));
}

static void out_of_patience(void *arg)
{
	struct speech_probe *p = arg;
	p->step = step_after(p);
	take_step(p);
}

static void take_step(void *arg)
{
	static const struct tcp_ops ops = { on_connected, on_bytes, on_closed };
	struct speech_probe *p = arg;
	const struct tcp_options o = { .tls = p->step == STEP_WITHIN ? p->tls : NULL,
				       .read_bytes = 512,
				       .connect_timeout = p->patience };
	tcp_close(p->tcp);
	p->tcp = NULL;
	if (p->step == STEP_END ||
	    tcp_connect(p->loop, p->host, p->port, &o, &ops, p, &p->tcp, NULL) < 0) {
		p->done(p->arg, p->found);
		return;
	}
	p->timer.fire = out_of_patience;
	timer_set(&p->timer, p->patience);
}

int speech_ask(struct loop *l, const char *host, uint16_t port, enum speech_asked asked,
	       struct tls *tls, nsec patience, speech_done done, void *arg,
	       struct speech_probe **out, struct err *e)
{
	struct speech_probe *p = mem_try(sizeof(*p));
	if (!p)
		return err_nomem(e);
	p->loop = l;
	p->port = port;
	p->asked = asked;
	p->tls = tls;
	p->patience = patience;
	p->done = done;
	p->arg = arg;
	(void)snprintf(p->host, sizeof(p->host), "%s", host);
	p->step = asked == SPEECH_ASK_WITHIN_TLS ? STEP_WITHIN : STEP_PLAIN;
	int rc = timer_init(&p->timer, l, take_step, p, e);
	if (rc < 0) {
		speech_probe_free(p);
		return rc;
	}
	timer_set(&p->timer, 0);
	*out = p;
	return 0;
}
