/* server.c: listeners and connections: one epoll loop for all nodes. TLS runs through OpenSSL on the same
 * non-blocking sockets. */
#include "tests/fake/couchbase/internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { READ_BLOCK = 1 << 16, OUT_FULL = 1 << 20, TICK_MS = 2, STREAM_ROUNDS = 16 };

static int64_t mono_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ---- connections ---- */

void conn_close(struct conn *c)
{
	c->dead = true;
}

void conn_send(struct conn *c, const void *p, size_t len)
{
	buf_add(&c->out, p, len);
}

static void watch(struct fake *f, struct conn *c)
{
	bool want_out = c->out.len > c->out_at;
	bool deaf = c->node->stalled || c->node->deaf || c->parked || c->full || c->closing;
	uint32_t events = (deaf ? 0u : (uint32_t)EPOLLIN) | (want_out ? (uint32_t)EPOLLOUT : 0u);
	if (c->parked)
		events |= EPOLLRDHUP; /* or who goes while it waits would not be noticed */
	if (c->node->stalled || c->send_after_ms > f->now_ms)
		events &= ~(uint32_t)EPOLLOUT;
	if (events == c->events)
		return;
	c->events = events;
	struct epoll_event ev = { .events = events, .data.ptr = c };
	(void)epoll_ctl(f->epoll_fd, EPOLL_CTL_MOD, c->fd, &ev);
}

static ssize_t raw_write(struct conn *c, const void *p, size_t len)
{
	if (!c->ssl)
		return send(c->fd, p, len, MSG_NOSIGNAL);
	int n = SSL_write(c->ssl, p, (int)(len > 1 << 20 ? 1 << 20 : len));
	if (n > 0)
		return n;
	int why = SSL_get_error(c->ssl, n);
	errno = why == SSL_ERROR_WANT_WRITE || why == SSL_ERROR_WANT_READ ? EAGAIN : EPIPE;
	return -1;
}

/* One at a time. It is called between two records. */
static void rekey(struct conn *c, size_t sent)
{
	c->since_rekey += sent;
	if (!c->ssl || !c->node->rekey || c->since_rekey < c->node->rekey || SSL_in_init(c->ssl) ||
	    SSL_renegotiate_pending(c->ssl) ||
	    SSL_get_key_update_type(c->ssl) != SSL_KEY_UPDATE_NONE)
		return;
	c->since_rekey = 0;
	bool begun = SSL_version(c->ssl) == TLS1_3_VERSION
			     ? SSL_key_update(c->ssl, SSL_KEY_UPDATE_REQUESTED) == 1
			     : SSL_renegotiate(c->ssl) == 1;
	if (begun)
		(void)SSL_do_handshake(c->ssl);
}

/* What the client says to it: a greeting in the middle, or new keys. */
static void on_tls_message(int is_sent, int version, int type, const void *p, size_t len, SSL *ssl,
			   void *arg)
{
	enum { HANDSHAKE = 22, CLIENT_HELLO = 1, KEY_UPDATE = 24 };
	struct fake *f = arg;
	(void)version;
	uint8_t what = len ? *(const uint8_t *)p : 0;
	bool again = what == KEY_UPDATE || (what == CLIENT_HELLO && SSL_num_renegotiations(ssl));
	f->stats.rekeys += !is_sent && type == HANDSHAKE && again;
}

static ssize_t raw_read(struct conn *c, void *p, size_t len)
{
	if (!c->ssl)
		return recv(c->fd, p, len, 0);
	int n = SSL_read(c->ssl, p, (int)len);
	if (n > 0)
		return n;
	int why = SSL_get_error(c->ssl, n);
	if (why == SSL_ERROR_ZERO_RETURN)
		return 0;
	errno = why == SSL_ERROR_WANT_WRITE || why == SSL_ERROR_WANT_READ ? EAGAIN : EPIPE;
	return -1;
}

/* Some bytes are not what they were: one bit, or anything. */
static void garble(struct node *n, uint8_t *p, size_t len)
{
	for (size_t i = (size_t)rand_r(&n->garble_seed) % (2 * n->garble); i < len;
	     i += 1 + (size_t)rand_r(&n->garble_seed) % (2 * n->garble)) {
		int r = rand_r(&n->garble_seed);
		p[i] = (uint8_t)(r & 0x800 ? r : p[i] ^ 1 << (r & 7));
	}
}

static void flush_out(struct fake *f, struct conn *c)
{
	struct node *n = c->node;
	while (!c->dead && c->out_at < c->out.len) {
		if (n->stalled || c->send_after_ms > f->now_ms)
			return;
		size_t len = c->out.len - c->out_at;
		if (n->split && len > n->split)
			len = n->split;
		if (len > c->cut_after)
			len = (size_t)c->cut_after;
		if (len == 0) {
			c->dead = true; /* the script cut it here */
			return;
		}
		if (n->garble)
			garble(n, c->out.p + c->out_at, len);
		ssize_t sent = raw_write(c, c->out.p + c->out_at, len);
		if (sent < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (sent <= 0) {
			c->dead = true;
			return;
		}
		c->out_at += (size_t)sent;
		f->stats.bytes_sent += (uint64_t)sent;
		rekey(c, (size_t)sent);
		if (c->cut_after != UINT64_MAX)
			c->cut_after -= (uint64_t)sent;
		if (n->slow_ms)
			c->send_after_ms = f->now_ms + (int64_t)n->slow_ms;
		if (n->split)
			break;
	}
	if (c->out_at == c->out.len) {
		buf_reset(&c->out);
		c->out_at = 0;
		if (c->closing)
			c->dead = true;
	} else if (c->out_at > OUT_FULL && c->out_at > c->out.len / 2) {
		/* What was sent goes, or a client that is always a little behind makes it grow for ever. */
		memmove(c->out.p, c->out.p + c->out_at, c->out.len - c->out_at);
		c->out.len -= c->out_at;
		c->out_at = 0;
	}
}

static void take_input(struct fake *f, struct conn *c)
{
	bool ok = c->kind == CONN_KV ? kv_on_bytes(f, c) : http_on_bytes(f, c);
	if (!ok)
		c->dead = true;
}

static void on_readable(struct fake *f, struct conn *c)
{
	if (c->ssl && !c->tls_ready) {
		int n = SSL_accept(c->ssl);
		if (n == 1) {
			c->tls_ready = true;
			if (!sasl_certificate(f, c)) {
				c->dead = true;
				return;
			}
		} else {
			int why = SSL_get_error(c->ssl, n);
			if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
				c->dead = true;
			return;
		}
	}
	for (int rounds = 0; rounds < 16; rounds++) {
		if (!buf_reserve(&c->in, READ_BLOCK)) {
			c->dead = true;
			return;
		}
		ssize_t n = raw_read(c, c->in.p + c->in.len, READ_BLOCK);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n <= 0) {
			c->dead = true;
			return;
		}
		bool cut = (uint64_t)n > c->cut_input;
		if (cut)
			n = (ssize_t)c->cut_input;
		c->in.len += (size_t)n;
		c->heard_ms = f->now_ms;
		if (c->cut_input != UINT64_MAX)
			c->cut_input -= (uint64_t)n;
		if (cut) {
			c->closing = true; /* once what was asked for so far is answered */
			break;
		}
		if (n < READ_BLOCK && !c->ssl)
			break;
	}
	take_input(f, c);
}

/* No descriptor is left: the spare one serves to take the connection and close it, or it would wait for ever. */
static void turn_away(struct fake *f, int listener)
{
	close(f->spare_fd);
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		close(fd);
	f->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void accept_one(struct fake *f, struct node *n, int listener, enum conn_kind kind, bool tls)
{
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0 && (errno == EMFILE || errno == ENFILE))
		turn_away(f, listener);
	if (fd < 0)
		return;
	if (n->down) {
		close(fd);
		return;
	}
	int one = 1;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	struct conn *c = calloc(1, sizeof(*c));
	c->node = n;
	c->fd = fd;
	c->kind = kind;
	c->cut_after = UINT64_MAX;
	c->cut_input = UINT64_MAX;
	if (kind == CONN_KV && n->cut_next.count) {
		n->cut_next.count--;
		c->cut_after = n->cut_next.n;
	}
	if (kind == CONN_KV && n->cut_input.count) {
		n->cut_input.count--;
		c->cut_input = n->cut_input.n;
	}
	c->heard_ms = f->now_ms;
	c->events = EPOLLIN;
	if (tls) {
		c->ssl = SSL_new(f->tls);
		SSL_set_fd(c->ssl, fd);
		SSL_set_mode(c->ssl,
			     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	}
	c->next = n->conns;
	n->conns = c;
	f->stats.connections++;
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };
	(void)epoll_ctl(f->epoll_fd, EPOLL_CTL_ADD, fd, &ev);
}

/* A process that is just being forked may hold the socket, too, and with it epoll would go on to tell of it. */
static void free_conn(struct fake *f, struct conn *c)
{
	(void)epoll_ctl(f->epoll_fd, EPOLL_CTL_DEL, c->fd, NULL);
	if (c->ssl)
		SSL_free(c->ssl);
	close(c->fd);
	buf_done(&c->in);
	buf_done(&c->out);
	dcp_free(c);
	free(c);
}

static void reap(struct fake *f)
{
	for (unsigned i = 0; i < f->o.nodes; i++) {
		for (struct conn **p = &f->node[i].conns; *p;) {
			struct conn *c = *p;
			if (c->dead) {
				*p = c->next;
				free_conn(f, c);
			} else {
				p = &c->next;
			}
		}
	}
}

/* ---- the loop ---- */

/* What epoll's data points to for listeners: the node, tagged. */
enum { TAG_KV = 1, TAG_KVS = 2, TAG_HTTP = 3, TAG_HTTPS = 4, TAG_MASK = 7 };

static void on_event(struct fake *f, const struct epoll_event *ev)
{
	uintptr_t tag = (uintptr_t)ev->data.ptr & TAG_MASK;
	if (!ev->data.ptr) {
		uint64_t n;
		(void)!read(f->wake_fd, &n, sizeof(n));
		return;
	}
	if (tag) {
		struct node *n = (struct node *)((uintptr_t)ev->data.ptr & ~(uintptr_t)TAG_MASK);
		if (tag == TAG_KV)
			accept_one(f, n, n->kv_fd, CONN_KV, false);
		else if (tag == TAG_KVS)
			accept_one(f, n, n->kvs_fd, CONN_KV, true);
		else if (tag == TAG_HTTP)
			accept_one(f, n, n->http_fd, CONN_HTTP, false);
		else
			accept_one(f, n, n->https_fd, CONN_HTTP, true);
		return;
	}
	struct conn *c = ev->data.ptr;
	if (c->dead)
		return;
	if (c->events & EPOLLIN && ev->events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		on_readable(f, c);
	else if (ev->events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP))
		c->dead = true; /* gone, while nothing was to be read */
}

/* Makes and sends in turn, as long as the client takes it. True: there may be more. */
static bool stream(struct fake *f, struct conn *c)
{
	for (int round = 0; round < STREAM_ROUNDS; round++) {
		size_t before = c->out.len;
		dcp_pump(f, c);
		if (c->out.len == before)
			return false;
		flush_out(f, c);
		if (c->out.len || c->dead)
			return true;
	}
	return true;
}

static bool pump(struct fake *f)
{
	bool busy = false;
	for (unsigned i = 0; i < f->o.nodes; i++) {
		for (struct conn *c = f->node[i].conns; c; c = c->next) {
			if (!c->dead && !c->node->stalled && (c->parked || c->full))
				take_input(f, c);
			if (!c->dead && c->is_dcp && !c->node->stalled) {
				busy |= stream(f, c);
				dcp_tick(f, c);
			}
			flush_out(f, c);
			watch(f, c);
		}
	}
	return busy;
}

static void *serve(void *arg)
{
	struct fake *f = arg;
	struct epoll_event ev[64];
	/* OpenSSL writes to sockets that the client has closed: an error, not a signal for the whole process. */
	sigset_t pipe_signal;
	sigemptyset(&pipe_signal);
	sigaddset(&pipe_signal, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe_signal, NULL);
	bool busy = false;
	for (;;) {
		int n = epoll_wait(f->epoll_fd, ev, 64, busy ? 0 : TICK_MS);
		pthread_mutex_lock(&f->lock);
		if (f->stopping) {
			pthread_mutex_unlock(&f->lock);
			return NULL;
		}
		f->now_ms = mono_ms();
		for (int i = 0; i < n; i++)
			on_event(f, &ev[i]);
		if (f->storm) {
			f->storm--;
			topology_all_changed(f);
		}
		engine_tick(f);
		busy = pump(f);
		reap(f);
		buckets_reap(f);
		pthread_mutex_unlock(&f->lock);
	}
}

/* ---- start and stop ---- */

static int listen_on(struct fake *f, struct node *n, uint16_t port, uint16_t *got, uintptr_t tag)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int one = 1;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons(port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0 || listen(fd, 1024) != 0 ||
	    getsockname(fd, (struct sockaddr *)&a, &len) != 0) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	*got = ntohs(a.sin_port);
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = (void *)((uintptr_t)n | tag) };
	(void)epoll_ctl(f->epoll_fd, EPOLL_CTL_ADD, fd, &ev);
	return fd;
}

static bool start_tls(struct fake *f)
{
	if (!f->o.tls_cert)
		return true;
	f->tls = SSL_CTX_new(TLS_server_method());
	if (f->tls) {
		SSL_CTX_set_msg_callback(f->tls, on_tls_message);
		SSL_CTX_set_msg_callback_arg(f->tls, f);
	}
	if (f->tls && f->o.tls_12)
		SSL_CTX_set_max_proto_version(f->tls, TLS1_2_VERSION);
	if (f->tls && f->o.tls_ca) {
		if (SSL_CTX_load_verify_locations(f->tls, f->o.tls_ca, NULL) != 1)
			return false;
		SSL_CTX_set_verify(f->tls,
				   SSL_VERIFY_PEER |
					   (f->o.tls_mandatory ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT
							       : 0),
				   NULL);
		SSL_CTX_set_session_id_context(f->tls, (const uint8_t *)"fake", 4);
	}
	return f->tls && SSL_CTX_use_certificate_chain_file(f->tls, f->o.tls_cert) == 1 &&
	       SSL_CTX_use_PrivateKey_file(f->tls, f->o.tls_key, SSL_FILETYPE_PEM) == 1;
}

static bool start_nodes(struct fake *f)
{
	for (unsigned i = 0; i < f->o.nodes; i++) {
		struct node *n = &f->node[i];
		n->index = (int)i;
		n->kv_fd = n->kvs_fd = n->http_fd = n->https_fd = -1;
		uint16_t base = f->o.port ? (uint16_t)(f->o.port + i * 10) : 0;
		n->kv_fd = listen_on(f, n, base, &n->kv_port, TAG_KV);
		uint16_t http = f->o.http_port ? (uint16_t)(f->o.http_port + i * 10)
				: base         ? (uint16_t)(base + 1)
					       : 0;
		n->http_fd = listen_on(f, n, http, &n->http_port, TAG_HTTP);
		if (n->kv_fd < 0 || n->http_fd < 0)
			return false;
		if (f->tls) {
			n->kvs_fd = listen_on(f, n, base ? (uint16_t)(base + 2) : 0, &n->kvs_port,
					      TAG_KVS);
			n->https_fd = listen_on(f, n, base ? (uint16_t)(base + 3) : 0,
						&n->https_port, TAG_HTTPS);
			if (n->kvs_fd < 0 || n->https_fd < 0)
				return false;
		}
		if (f->o.external)
			fake_set_alternate_address(f, i, "127.0.0.1", true);
	}
	return true;
}

static void take_options(struct fake *f, const struct fake_options *o)
{
	f->o = *o;
	if (!f->o.nodes)
		f->o.nodes = 1;
	if (f->o.nodes > FAKE_NODES_MAX)
		f->o.nodes = FAKE_NODES_MAX;
	if (!f->o.vbuckets)
		f->o.vbuckets = 64;
	if (f->o.replicas >= f->o.nodes)
		f->o.replicas = f->o.nodes - 1;
	if (f->o.replicas >= FAKE_COPIES_MAX)
		f->o.replicas = FAKE_COPIES_MAX - 1;
	if (!f->o.checkpoint_items)
		f->o.checkpoint_items = 500;
	if (!f->o.expiry_pager_ms)
		f->o.expiry_pager_ms = 500;
	(void)user_set(f, o->user ? o->user : "Administrator",
		       o->password ? o->password : "password", "admin");
	if (o->reader)
		(void)user_set(f, o->reader, o->reader_password ? o->reader_password : "",
			       "data_reader[*],data_writer[*]");
}

static void first_bucket(struct fake *f, const struct fake_options *o)
{
	f->uuid_state = (uint64_t)time(NULL) ^ (uint64_t)(uintptr_t)f;
	f->script =
		bucket_create(f, &(struct fake_bucket){ .name = o->bucket ? o->bucket : "default",
							.vbuckets = f->o.vbuckets,
							.replicas = f->o.replicas,
							.nodes = o->bucket_nodes,
							.ephemeral = o->ephemeral,
							.magma = o->magma,
							.flush_enabled = true });
	f->script->hold = o->hold_persistence;
}

struct fake *fake_start(const struct fake_options *o)
{
	struct fake *f = calloc(1, sizeof(*f));
	take_options(f, o);
	/* Recursive: the management port scripts the cluster through fake.h's functions, too. */
	pthread_mutexattr_t recursive;
	pthread_mutexattr_init(&recursive);
	pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&f->lock, &recursive);
	pthread_mutexattr_destroy(&recursive);
	f->now_ms = f->expiry_checked = mono_ms();
	f->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	f->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = NULL };
	(void)epoll_ctl(f->epoll_fd, EPOLL_CTL_ADD, f->wake_fd, &ev);
	f->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	first_bucket(f, o);
	if (!start_tls(f) || !start_nodes(f) || pthread_create(&f->thread, NULL, serve, f) != 0) {
		fake_stop(f);
		return NULL;
	}
	return f;
}

void fake_stop(struct fake *f)
{
	if (!f)
		return;
	if (f->thread) {
		pthread_mutex_lock(&f->lock);
		f->stopping = true;
		pthread_mutex_unlock(&f->lock);
		uint64_t one = 1;
		(void)!write(f->wake_fd, &one, sizeof(one));
		pthread_join(f->thread, NULL);
	}
	for (unsigned i = 0; i < f->o.nodes; i++) {
		struct node *n = &f->node[i];
		for (struct conn *c = n->conns; c; c = c->next)
			c->dead = true;
		if (n->kv_fd > 0)
			close(n->kv_fd);
		if (n->kvs_fd > 0)
			close(n->kvs_fd);
		if (n->http_fd > 0)
			close(n->http_fd);
		if (n->https_fd > 0)
			close(n->https_fd);
	}
	reap(f);
	for (unsigned i = 0; i < f->n_buckets; i++)
		f->bucket[i]->gone = true;
	buckets_reap(f);
	if (f->tls)
		SSL_CTX_free(f->tls);
	close(f->epoll_fd);
	close(f->wake_fd);
	close(f->spare_fd);
	pthread_mutex_destroy(&f->lock);
	free(f);
}
