#include "net/tcp.h"

#include "base/mem.h"
#include "net/tls.h"

#include <errno.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <event2/util.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	READS_PER_ROUND = 8,
	READ_MIN_PART =
		8, /* with less than this part of a slab left, the next read begins another one */
};

struct tcp {
	struct loop *loop;
	const struct tcp_ops *ops;
	void *arg;
	struct tcp_options o;
	char host[256];
	uint16_t port;
	int fd;
	struct evdns_getaddrinfo_request *lookup; /* may be called off */
	bool looking_up; /* on_address is still to come, called off or not: until then nothing is freed */
	struct evutil_addrinfo *address, *next_address;
	struct event *reads, *writes, *flush;
	struct timer timeout;
	struct tls_session *session;
	bool connecting, greeting, open, closed, in_callback, freed, paused;
	bool read_waits, write_waits; /* within TLS: until it can be written, read */
	bool reached, heard,
		probed; /* somebody is there; has said something; was asked what it is */
	struct speech_probe *probe;
	struct err why; /* code != 0: closed, once the probe has said what is there */
	struct slab_pool *slabs, own_slabs;
	struct slab *in;
	size_t in_at, in_len, need; /* in->p[in_at, in_at + in_len) is not taken yet */
	struct buf out;
	size_t out_done;
};

static void really_free(struct tcp *t)
{
	if (t->reads)
		event_free(t->reads);
	if (t->writes)
		event_free(t->writes);
	if (t->flush)
		event_free(t->flush);
	timer_done(&t->timeout);
	speech_probe_free(t->probe);
	tls_session_free(t->session);
	if (t->fd >= 0)
		(void)close(t->fd);
	if (t->address)
		evutil_freeaddrinfo(t->address);
	slab_unref(t->in);
	slab_pool_done(&t->own_slabs);
	buf_done(&t->out);
	mem_free(t);
}

void tcp_close(struct tcp *t)
{
	if (!t || t->freed)
		return;
	t->freed = t->closed = true;
	t->open = false;
	if (t->lookup) {
		struct evdns_getaddrinfo_request *r = t->lookup;
		t->lookup = NULL;
		evdns_getaddrinfo_cancel(r);
	}
	if (!t->in_callback && !t->looking_up)
		really_free(t);
}

static void stop_events(struct tcp *t)
{
	t->open = false;
	if (t->reads)
		(void)event_del(t->reads);
	if (t->writes)
		(void)event_del(t->writes);
	timer_clear(&t->timeout);
}

static void close_with(struct tcp *t, const struct err *why)
{
	t->closed = true;
	stop_events(t);
	bool outer = t->in_callback;
	t->in_callback = true;
	t->ops->closed(t->arg, why);
	t->in_callback = outer;
	if (t->freed && !outer && !t->looking_up)
		really_free(t);
}

/* ---- what is there ---- */

#define PROBE_PATIENCE NSEC_PER_SEC

static bool is_wrong(const struct tcp *t, struct speech_found found)
{
	bool tls = t->o.tls != NULL;
	switch (found.speech) {
	case SPEECH_UNKNOWN: break;
	case SPEECH_TLS: return !tls;
	case SPEECH_HTTP:
	case SPEECH_PACKETS:
		return found.speech != t->o.expected->speech || found.within_tls != tls;
	}
	return false;
}

static void close_wrong(struct tcp *t, struct speech_found found)
{
	struct err e = ERR_INIT;
	(void)t->o.expected->wrong(&e, t->host, t->port, t->o.tls != NULL, found);
	close_with(t, &e);
}

static void on_probed(void *arg, struct speech_found found)
{
	struct tcp *t = arg;
	speech_probe_free(t->probe);
	t->probe = NULL;
	if (is_wrong(t, found))
		close_wrong(t, found);
	else if (t->why.code)
		close_with(t, &t->why);
}

/* Once. Within TLS only when its greeting went well. */
static bool probe(struct tcp *t)
{
	enum speech_asked asked = !t->o.tls     ? SPEECH_ASK_PLAIN
				  : t->greeting ? SPEECH_ASK_WITHOUT_TLS
						: SPEECH_ASK_WITHIN_TLS;
	if (t->probe)
		return true;
	if (!t->o.expected || t->o.asked || !t->reached || t->heard || t->probed)
		return false;
	t->probed = true;
	return speech_ask(t->loop, t->host, t->port, asked, t->o.tls,
			  MIN(PROBE_PATIENCE, t->o.connect_timeout), on_probed, t, &t->probe,
			  NULL) == 0;
}

/* What fails before anything was heard was perhaps something else than was meant. */
static void fail(struct tcp *t, const struct err *why)
{
	if (t->closed || t->why.code)
		return;
	if (why->code != ERR_NET || !probe(t)) {
		close_with(t, why);
		return;
	}
	t->why = *why;
	stop_events(t);
}

static void on_silence(void *arg)
{
	(void)probe(arg);
}

/* The first bytes. False: the connection is gone. */
static bool hear(struct tcp *t)
{
	struct speech_found found = { speech_of(slice_of(t->in->p + t->in_at, t->in_len)),
				      t->session != NULL };
	t->heard = true;
	timer_clear(&t->timeout);
	speech_probe_free(t->probe);
	t->probe = NULL;
	if (!t->o.expected || !is_wrong(t, found))
		return true;
	close_wrong(t, found);
	return false;
}

static void fail_errno(struct tcp *t, int errnum, const char *what)
{
	struct err e = ERR_INIT;
	(void)err_errno(&e, errnum, "%s %s:%u", what, t->host, t->port);
	e.code = ERR_NET;
	fail(t, &e);
}

/* ---- out ---- */

static long write_some(struct tcp *t, const uint8_t *p, size_t len, struct err *e)
{
	if (t->session)
		return tls_write(t->session, p, len, e);
	ssize_t n = send(t->fd, p, len, MSG_NOSIGNAL);
	if (n >= 0)
		return n;
	if (errno == EAGAIN || errno == EINTR)
		return TLS_WANT_WRITE;
	(void)err_errno(e, errno, "writing to %s:%u", t->host, t->port);
	e->code = ERR_NET;
	return ERR_NET;
}

static void write_out(struct tcp *t)
{
	while (t->open && t->out_done < t->out.len) {
		struct err e = ERR_INIT;
		long n = write_some(t, t->out.p + t->out_done, t->out.len - t->out_done, &e);
		if (n > 0) {
			t->out_done += (size_t)n;
			continue;
		}
		if (n == TLS_WANT_WRITE) {
			(void)event_add(t->writes, NULL);
			return;
		}
		if (n == TLS_WANT_READ) {
			t->write_waits = true;
			return;
		}
		if (n == TLS_EOF)
			(void)err_set(&e, ERR_NET, "%s:%u hung up", t->host, t->port);
		fail(t, &e);
		return;
	}
	if (t->out_done == t->out.len) {
		buf_reset(&t->out);
		t->out_done = 0;
	}
}

static void on_flush(evutil_socket_t fd, short what, void *arg)
{
	struct tcp *t = arg;
	(void)fd;
	(void)what;
	if (t->out.failed || t->out.len > TCP_OUT_MAX) {
		struct err e = ERR_INIT;
		(void)err_set(&e, ERR_LIMIT, "%s:%u takes nothing more", t->host, t->port);
		fail(t, &e);
		return;
	}
	write_out(t);
}

struct buf *tcp_out(struct tcp *t)
{
	return &t->out;
}

void tcp_flush_soon(struct tcp *t)
{
	if (t->open)
		event_active(t->flush, EV_WRITE, 0);
}

/* ---- in ---- */

/* Whether the next read may go behind what is there: a packet that has begun fits, and a read is worth its while. */
static bool has_room(const struct tcp *t)
{
	const struct slab *in = t->in;
	size_t part = t->slabs->slab_bytes / READ_MIN_PART;
	if (!in || in->cap - t->in_at < t->need)
		return false;
	return t->in_len > 0 || in->cap - t->in_at >= part;
}

/* What has begun moves to the front; or, when others have views of the slab, to the front of another one. */
static int make_room(struct tcp *t, struct err *e)
{
	bool alone = t->in && !slab_shared(t->in);
	if (t->in_len == 0 && alone)
		t->in_at = 0;
	bool too_big = t->in && t->in_len == 0 && t->in->cap > t->slabs->slab_bytes;
	if (has_room(t) && !too_big)
		return 0;
	if (t->need > TCP_IN_MAX)
		return err_set(e, ERR_LIMIT, "%s:%u: a packet of %zu bytes", t->host, t->port,
			       t->need);
	struct slab *to = alone && t->in->cap >= t->need && !too_big ? slab_ref(t->in)
								     : slab_get(t->slabs, t->need);
	if (!to)
		return err_nomem(e);
	if (t->in_len)
		memmove(to->p, t->in->p + t->in_at, t->in_len);
	slab_unref(t->in);
	t->in = to;
	t->in_at = 0;
	return 0;
}

static long read_some(struct tcp *t, uint8_t *at, size_t room, struct err *e)
{
	if (t->session)
		return tls_read(t->session, at, room, e);
	ssize_t n = recv(t->fd, at, room, 0);
	if (n > 0)
		return n;
	if (n == 0)
		return TLS_EOF;
	if (errno == EAGAIN || errno == EINTR)
		return TLS_WANT_READ;
	(void)err_errno(e, errno, "reading from %s:%u", t->host, t->port);
	e->code = ERR_NET;
	return ERR_NET;
}

/* Shows the owner what is there. False when the connection is gone. */
static bool show(struct tcp *t)
{
	t->in_callback = true;
	size_t taken = t->ops->bytes(t->arg, slice_of(t->in->p + t->in_at, t->in_len), &t->need);
	t->in_callback = false;
	if (t->freed) {
		really_free(t);
		return false;
	}
	if (t->closed)
		return false;
	ASSERT(taken <= t->in_len);
	t->in_at += taken;
	t->in_len -= taken;
	return true;
}

/* Of a round. One is due even when the loop is being left: else all others would wait while the first of them has more
 * than a turn takes. TLS may hold bytes that no event announces. */
static bool reads_on(const struct tcp *t, int n_read)
{
	if (t->paused)
		return false;
	return t->session || n_read == 0 || (n_read < READS_PER_ROUND && !loop_leaving(t->loop));
}

static void read_in(struct tcp *t)
{
	struct err e = ERR_INIT;
	for (int i = 0; reads_on(t, i); i++) {
		if (make_room(t, &e) < 0) {
			fail(t, &e);
			return;
		}
		size_t end = t->in_at + t->in_len, room = t->in->cap - end;
		long n = read_some(t, t->in->p + end, room, &e);
		if (n == TLS_WANT_READ)
			return;
		if (n == TLS_WANT_WRITE) {
			t->read_waits = true;
			(void)event_add(t->writes, NULL);
			return;
		}
		if (n < 0) {
			if (n == TLS_EOF)
				(void)err_set(&e, ERR_NET, "%s:%u hung up", t->host, t->port);
			fail(t, &e);
			return;
		}
		t->in_len += (size_t)n;
		if (unlikely(!t->heard) && !hear(t))
			return;
		if (t->in_len >= t->need && !show(t))
			return;
		if (!t->session && (size_t)n < room)
			return; /* nothing more there */
	}
}

bool tcp_has_asked(const struct tcp *t)
{
	return t && t->probed;
}

struct slab *tcp_in(struct tcp *t)
{
	return t->in;
}

void tcp_pause(struct tcp *t, bool pause)
{
	if (t->paused == pause || !t->open)
		return;
	t->paused = pause;
	if (pause) {
		(void)event_del(t->reads);
		return;
	}
	(void)event_add(t->reads, NULL);
	event_active(t->reads, EV_READ, 0); /* TLS may hold bytes */
}

/* ---- connecting ---- */

static void try_next_address(struct tcp *t);

static void is_open(struct tcp *t)
{
	t->open = true;
	t->greeting = false;
	t->timeout.fire = on_silence;
	if (t->o.expected && !t->o.asked)
		timer_set(&t->timeout, MIN(PROBE_PATIENCE, t->o.connect_timeout / 3));
	else
		timer_clear(&t->timeout);
	t->in_callback = true;
	t->ops->connected(t->arg);
	t->in_callback = false;
	if (t->freed) {
		really_free(t);
		return;
	}
	if (!t->closed)
		write_out(t);
}

static void greet(struct tcp *t)
{
	struct err e = ERR_INIT;
	int rc = tls_handshake(t->session, &e);
	if (rc == 0)
		is_open(t);
	else if (rc == TLS_WANT_WRITE)
		(void)event_add(t->writes, NULL);
	else if (rc != TLS_WANT_READ)
		fail(t, &e);
}

static void connected(struct tcp *t)
{
	int one = 1;
	(void)setsockopt(t->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	(void)setsockopt(t->fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	t->connecting = false;
	t->reached = true;
	(void)event_add(t->reads, NULL);
	if (!t->o.tls) {
		is_open(t);
		return;
	}
	struct err e = ERR_INIT;
	if (tls_session_new(t->o.tls, t->fd, t->host, &t->session, &e) < 0) {
		fail(t, &e);
		return;
	}
	t->greeting = true;
	greet(t);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct tcp *t = arg;
	(void)fd;
	(void)what;
	if (t->greeting) {
		greet(t);
		return;
	}
	if (t->write_waits) {
		t->write_waits = false;
		tcp_flush_soon(t); /* behind this read */
	}
	read_in(t);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct tcp *t = arg;
	(void)what;
	if (t->connecting) {
		int error = 0;
		socklen_t len = sizeof(error);
		if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
			error = errno;
		if (error && t->next_address)
			try_next_address(t);
		else if (error)
			fail_errno(t, error, "connecting to");
		else
			connected(t);
		return;
	}
	if (t->greeting) {
		greet(t);
		return;
	}
	if (t->read_waits) {
		t->read_waits = false;
		event_active(t->reads, EV_READ, 0);
	}
	write_out(t);
}

static int make_events(struct tcp *t)
{
	struct event_base *base = loop_base(t->loop);
	t->reads = event_new(base, t->fd, EV_READ | EV_PERSIST, on_readable, t);
	t->writes = event_new(base, t->fd, EV_WRITE, on_writable, t);
	return t->reads && t->writes ? 0 : ERR_NOMEM;
}

static void drop_socket(struct tcp *t)
{
	if (t->reads)
		event_free(t->reads);
	if (t->writes)
		event_free(t->writes);
	t->reads = t->writes = NULL;
	if (t->fd >= 0)
		(void)close(t->fd);
	t->fd = -1;
}

static void try_next_address(struct tcp *t)
{
	int error = EADDRNOTAVAIL;
	while (t->next_address) {
		struct evutil_addrinfo *a = t->next_address;
		t->next_address = a->ai_next;
		drop_socket(t);
		t->fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (t->fd < 0 || make_events(t) < 0) {
			error = errno ? errno : ENOMEM;
			continue;
		}
		t->connecting = true;
		if (connect(t->fd, a->ai_addr, a->ai_addrlen) == 0 || errno == EINPROGRESS) {
			(void)event_add(t->writes, NULL);
			return;
		}
		error = errno;
	}
	fail_errno(t, error, "connecting to");
}

static void on_address(int rc, struct evutil_addrinfo *res, void *arg)
{
	struct tcp *t = arg;
	t->lookup = NULL;
	t->looking_up = false;
	if (t->closed) { /* its time was over */
		if (res)
			evutil_freeaddrinfo(res);
		if (t->freed)
			really_free(t);
		return;
	}
	if (rc != 0 || !res) {
		struct err e = ERR_INIT;
		(void)err_set(&e, ERR_NET, "looking up %s: %s", t->host, evutil_gai_strerror(rc));
		fail(t, &e);
		return;
	}
	t->address = t->next_address = res;
	try_next_address(t);
}

static void on_timeout(void *arg)
{
	struct tcp *t = arg;
	struct err e = ERR_INIT;
	(void)err_set(&e, ERR_TIMEOUT, "connecting to %s:%u: no answer in %" PRId64 " ms", t->host,
		      t->port, (int64_t)(t->o.connect_timeout / NSEC_PER_MS));
	fail(t, &e);
}

static void start(void *arg)
{
	struct tcp *t = arg;
	char service[8];
	struct evutil_addrinfo hints = { .ai_family = AF_UNSPEC,
					 .ai_socktype = SOCK_STREAM,
					 .ai_protocol = IPPROTO_TCP,
					 .ai_flags = EVUTIL_AI_NUMERICSERV };
	(void)snprintf(service, sizeof(service), "%u", t->port);
	t->timeout.fire = on_timeout;
	timer_set(&t->timeout, t->o.connect_timeout);
	struct evutil_addrinfo numeric = hints, *res = NULL;
	numeric.ai_flags |= EVUTIL_AI_NUMERICHOST;
	if (evutil_getaddrinfo(t->host, service, &numeric, &res) == 0) {
		on_address(0, res, t);
		return;
	}
	struct evdns_base *dns = loop_dns(t->loop);
	if (!dns) {
		on_address(EVUTIL_EAI_FAIL, NULL, t);
		return;
	}
	t->looking_up = true;
	struct evdns_getaddrinfo_request *r =
		evdns_getaddrinfo(dns, t->host, service, &hints, on_address, t);
	if (r)
		t->lookup = r; /* NULL: it was answered at once */
}

int tcp_connect(struct loop *l, const char *host, uint16_t port, const struct tcp_options *o,
		const struct tcp_ops *ops, void *arg, struct tcp **out, struct err *e)
{
	struct tcp *t = mem_try(sizeof(*t));
	if (!t)
		return err_nomem(e);
	t->loop = l;
	t->ops = ops;
	t->arg = arg;
	t->o = *o;
	t->fd = -1;
	t->port = port;
	slab_pool_init(&t->own_slabs, o->read_bytes, 1);
	t->slabs = o->slabs ? o->slabs : &t->own_slabs;
	(void)snprintf(t->host, sizeof(t->host), "%s", host);
	t->flush = event_new(loop_base(l), -1, 0, on_flush, t);
	int rc = t->flush ? timer_init(&t->timeout, l, start, t, e) : err_nomem(e);
	if (rc < 0) {
		really_free(t);
		return rc;
	}
	timer_set(&t->timeout, 0); /* from the loop, so that no callback comes before we return */
	*out = t;
	return 0;
}
