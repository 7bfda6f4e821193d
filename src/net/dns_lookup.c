#include "net/dns_lookup.h"

#include "base/mem.h"
#include "net/tcp.h"
#include "os/env.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define ASK_AGAIN (700 * NSEC_PER_MS)

enum { DNS_PORT = 53, CONF_MAX = 64 << 10, READ_BYTES = 16 << 10 };

struct dns_lookup {
	struct loop *loop;
	struct env *env;
	struct dns_config config;
	uint16_t port;
	char name[DNS_NAME_MAX + 1];  /* as given */
	char asked[DNS_NAME_MAX + 1]; /* the candidate that is asked for */
	size_t candidate, server;
	uint16_t id;
	int fd;
	struct event *reads;
	struct tcp *tcp; /* the answer was too long for a datagram */
	struct timer again, limit;
	nsec limit_ns;
	struct err why;
	dns_done done;
	void *arg;
	bool busy, over, freed;
};

static void hang_up(struct dns_lookup *d)
{
	if (d->reads)
		event_free(d->reads);
	d->reads = NULL;
	if (d->fd >= 0)
		(void)close(d->fd);
	d->fd = -1;
	tcp_close(d->tcp);
	d->tcp = NULL;
}

static void really_free(struct dns_lookup *d)
{
	hang_up(d);
	timer_done(&d->again);
	timer_done(&d->limit);
	mem_free(d);
}

void dns_lookup_free(struct dns_lookup *d)
{
	if (!d)
		return;
	d->freed = true;
	if (!d->busy)
		really_free(d);
}

static void finish(struct dns_lookup *d, const struct dns_srv *srv, size_t n, const struct err *why)
{
	if (d->over)
		return;
	d->over = true;
	hang_up(d);
	timer_clear(&d->again);
	timer_clear(&d->limit);
	d->busy = true;
	d->done(d->arg, srv, n, why && why->code ? why : NULL);
	d->busy = false;
	if (d->freed)
		really_free(d);
}

static void ask(void *arg);

/* ---- asking ---- */

static bool server_address(const struct dns_lookup *d, struct sockaddr_storage *out, socklen_t *len)
{
	const char *text = d->config.server[d->server % d->config.n_servers];
	struct sockaddr_in *v4 = (void *)out;
	struct sockaddr_in6 *v6 = (void *)out;
	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(d->port);
		*len = sizeof(*v4);
		return true;
	}
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(d->port);
	*len = sizeof(*v6);
	return inet_pton(AF_INET6, text, &v6->sin6_addr) == 1;
}

static void on_readable(evutil_socket_t fd, short what, void *arg);

/* Connected, so that nobody else's datagrams come in, and a port where nobody listens is an error. */
static int send_question(struct dns_lookup *d, struct err *e)
{
	struct sockaddr_storage to;
	socklen_t len;
	AUTO(buf) struct buf question = BUF_INIT;
	int rc = env_random(d->env, &d->id, sizeof(d->id), e);
	if (rc == 0)
		rc = dns_srv_question(d->asked, d->id, &question, e);
	if (rc < 0)
		return rc;
	hang_up(d);
	if (!server_address(d, &to, &len))
		return err_set(e, ERR_INVALID, "the address of a name server is none");
	d->fd = socket(to.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (d->fd < 0 || connect(d->fd, (struct sockaddr *)&to, len) < 0 ||
	    send(d->fd, question.p, question.len, MSG_NOSIGNAL) < 0) {
		(void)err_errno(e, errno, "asking the name server %s",
				d->config.server[d->server % d->config.n_servers]);
		return e->code = ERR_NET;
	}
	d->reads = event_new(loop_base(d->loop), d->fd, EV_READ | EV_PERSIST, on_readable, d);
	if (!d->reads || event_add(d->reads, NULL) < 0)
		return err_nomem(e);
	return 0;
}

/* The next server, at once or after a while; the limit ends it. */
static void ask(void *arg)
{
	struct dns_lookup *d = arg;
	if (send_question(d, &d->why) < 0) {
		if (d->why.code != ERR_NET) {
			finish(d, NULL, 0, &d->why);
			return;
		}
		hang_up(d);
	}
	d->server++;
	timer_set(&d->again, ASK_AGAIN);
}

/* There is no such name: the next in the search list. */
static void next_candidate(struct dns_lookup *d)
{
	if (!dns_candidate(&d->config, d->name, d->candidate++, d->asked)) {
		finish(d, NULL, 0, &d->why);
		return;
	}
	d->server = 0;
	ask(d);
}

/* This server is of no use. */
static void next_server(struct dns_lookup *d, const struct err *why)
{
	d->why = *why;
	hang_up(d);
	if (d->server < d->config.n_servers)
		ask(d);
	else
		next_candidate(d);
}

/* ---- longer answers ---- */

static void on_tcp_connected(void *arg)
{
	struct dns_lookup *d = arg;
	AUTO(buf) struct buf question = BUF_INIT;
	struct err e = ERR_INIT;
	uint8_t len[2];
	if (dns_srv_question(d->asked, d->id, &question, &e) < 0) {
		finish(d, NULL, 0, &e);
		return;
	}
	put_be16(len, (uint16_t)question.len);
	buf_add(tcp_out(d->tcp), len, sizeof(len));
	buf_add_slice(tcp_out(d->tcp), buf_slice(&question));
	tcp_flush_soon(d->tcp);
}

static size_t on_tcp_bytes(void *arg, struct slice in, size_t *need)
{
	struct dns_lookup *d = arg;
	struct dns_srv srv[DNS_SRV_MAX];
	struct err e = ERR_INIT;
	size_t count;
	*need = in.len < 2 ? 2 : 2 + (size_t)get_be16(in.p);
	if (in.len < *need)
		return 0;
	size_t all = in.len;
	int rc = dns_srv_answer(slice_of(in.p + 2, *need - 2), d->asked, d->id, srv, &count, &e);
	if (rc == 1)
		finish(d, srv, count, NULL);
	else if (rc == 0)
		next_candidate(d);
	else
		next_server(d, &e);
	return all;
}

static void on_tcp_closed(void *arg, const struct err *why)
{
	next_server(arg, why);
}

/* Of the server that has just answered. */
static void ask_by_tcp(struct dns_lookup *d)
{
	static const struct tcp_ops ops = { on_tcp_connected, on_tcp_bytes, on_tcp_closed };
	const struct tcp_options o = { .read_bytes = READ_BYTES, .connect_timeout = ASK_AGAIN };
	const char *server = d->config.server[(d->server - 1) % d->config.n_servers];
	struct err e = ERR_INIT;
	hang_up(d);
	timer_set(&d->again, ASK_AGAIN);
	if (tcp_connect(d->loop, server, d->port, &o, &ops, d, &d->tcp, &e) < 0)
		finish(d, NULL, 0, &e);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct dns_lookup *d = arg;
	uint8_t in[DNS_MESSAGE_MAX];
	struct dns_srv srv[DNS_SRV_MAX];
	struct err e = ERR_INIT;
	size_t count;
	(void)what;
	ssize_t n = recv(fd, in, sizeof(in), 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) { /* nobody listens there */
		(void)err_errno(&d->why, errno, "asking for %s", d->asked);
		d->why.code = ERR_NET;
		hang_up(d);
		if (d->server < d->config.n_servers)
			ask(d);
		return;
	}
	int rc = dns_srv_answer(slice_of(in, (size_t)n), d->asked, d->id, srv, &count, &e);
	if (rc == ERR_PROTOCOL)
		return; /* not ours, or worse: the right one may still come */
	if (rc == 1) {
		finish(d, srv, count, NULL);
	} else if (rc == 0) {
		next_candidate(d);
	} else if (rc == ERR_LIMIT) {
		ask_by_tcp(d);
	} else {
		next_server(d, &e);
	}
}

static void on_limit(void *arg)
{
	struct dns_lookup *d = arg;
	if (!d->why.code)
		(void)err_set(&d->why, ERR_TIMEOUT, "asking for %s: no answer in %" PRId64 " ms",
			      d->asked, (int64_t)(d->limit_ns / NSEC_PER_MS));
	finish(d, NULL, 0, &d->why);
}

static void start(void *arg)
{
	struct dns_lookup *d = arg;
	d->again.fire = ask;
	timer_set(&d->limit, d->limit_ns);
	next_candidate(d);
}

/* ---- whom to ask ---- */

static void read_config(struct dns_config *c)
{
	AUTO(buf) struct buf text = BUF_INIT;
	FILE *f = fopen("/etc/resolv.conf", "re");
	if (f && buf_reserve(&text, CONF_MAX))
		text.len = fread(text.p, 1, CONF_MAX, f);
	if (f)
		(void)fclose(f);
	dns_config_parse(buf_slice(&text), c);
}

static int use_server(struct dns_lookup *d, const char *server, struct err *e)
{
	const char *colon = strrchr(server, ':');
	d->config = (struct dns_config){ .ndots = 1, .n_servers = 1 };
	d->port = colon ? (uint16_t)strtoul(colon + 1, NULL, 10) : 0;
	if (d->port == 0)
		return err_set(e, ERR_INVALID, "\"%s\" is no address:port", server);
	(void)snprintf(d->config.server[0], sizeof(d->config.server[0]), "%.*s",
		       (int)(colon - server), server);
	return 0;
}

int dns_lookup_srv(struct loop *l, struct env *env, const char *name, const char *server,
		   nsec limit, dns_done done, void *arg, struct dns_lookup **out, struct err *e)
{
	struct dns_lookup *d = mem_try(sizeof(*d));
	if (!d)
		return err_nomem(e);
	d->loop = l;
	d->env = env;
	d->fd = -1;
	d->port = DNS_PORT;
	d->limit_ns = limit;
	d->done = done;
	d->arg = arg;
	int rc = strlen(name) <= DNS_NAME_MAX
			 ? 0
			 : err_set(e, ERR_INVALID, "a name too long to look up");
	if (rc == 0)
		(void)snprintf(d->name, sizeof(d->name), "%s", name);
	if (rc == 0 && server)
		rc = use_server(d, server, e);
	else if (rc == 0)
		read_config(&d->config);
	if (rc == 0)
		rc = timer_init(&d->again, l, start, d, e);
	if (rc == 0)
		rc = timer_init(&d->limit, l, on_limit, d, e);
	if (rc < 0) {
		really_free(d);
		return rc;
	}
	timer_set(&d->again, 0); /* from the loop */
	*out = d;
	return 0;
}
