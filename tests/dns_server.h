/* dns_server.h: a name server on loopback that has one SRV record, or so many alike, whatever it is asked for. */
#ifndef TESTS_DNS_SERVER_H
#define TESTS_DNS_SERVER_H

#include "tests/test.h"

#include "base/buf.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct dns_server {
	const char *target; /* NULL: there is no such name */
	uint16_t port;
	bool silent, wrong_first; /* an answer with another id before the right one */
	unsigned records; /* 0: one. More come over TCP: the datagram says that it was cut short */
	bool no_tcp;      /* nobody listens there */
	/* private */
	int fd, listener;
	pthread_t tcp_thread;
	char address[32];
	pthread_t thread;
};

static void dns_server_record(const struct dns_server *s, struct buf *out)
{
	AUTO(buf) struct buf name = BUF_INIT;
	uint8_t head[18] = { 0xc0, 0x0c, 0, 33, 0, 1, 0, 0, 0, 60, 0, 0, 0, 1, 0, 1 };
	for (const char *p = s->target; *p;) {
		size_t n = strcspn(p, ".");
		buf_add_byte(&name, (uint8_t)n);
		buf_add(&name, p, n);
		p += n + (p[n] == '.');
	}
	buf_add_byte(&name, 0);
	put_be16(head + 10, (uint16_t)(6 + name.len));
	put_be16(head + 16, s->port);
	buf_add(out, head, sizeof(head));
	buf_add(out, name.p, name.len);
}

static void dns_server_answer(const struct dns_server *s, struct slice question, unsigned records,
			      bool cut_short, struct buf *out)
{
	buf_add(out, question.p, question.len - 11); /* without the options */
	put_be16(out->p + 2, cut_short ? 0x8380 : s->target ? 0x8180 : 0x8183);
	put_be16(out->p + 6, (uint16_t)records);
	put_be16(out->p + 10, 0);
	for (unsigned i = 0; i < records; i++)
		dns_server_record(s, out);
}

/* In pieces: a message need not come in one. */
static void *dns_server_run_tcp(void *arg)
{
	struct dns_server *s = arg;
	int fd;
	while ((fd = accept(s->listener, NULL, NULL)) >= 0) {
		AUTO(buf) struct buf out = BUF_INIT;
		uint8_t in[512], len[2];
		ssize_t n = recv(fd, in, sizeof(in), 0);
		if (n > 2 && get_be16(in) == n - 2) {
			dns_server_answer(s, slice_of(in + 2, (size_t)n - 2), s->records, false,
					  &out);
			put_be16(len, (uint16_t)out.len);
			(void)!send(fd, len, 1, MSG_NOSIGNAL);
			usleep(2000);
			(void)!send(fd, len + 1, 1, MSG_NOSIGNAL);
			(void)!send(fd, out.p, out.len / 2, MSG_NOSIGNAL);
			usleep(2000);
			(void)!send(fd, out.p + out.len / 2, out.len - out.len / 2, MSG_NOSIGNAL);
		}
		(void)close(fd);
	}
	return NULL;
}

static void *dns_server_run(void *arg)
{
	struct dns_server *s = arg;
	uint8_t in[512];
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	ssize_t n;
	while ((n = recvfrom(s->fd, in, sizeof(in), 0, (struct sockaddr *)&from, &len)) > 1) {
		AUTO(buf) struct buf out = BUF_INIT;
		if (s->silent)
			continue;
		bool cut_short = s->records > 1;
		dns_server_answer(s, slice_of(in, (size_t)n), s->target && !cut_short, cut_short,
				  &out);
		if (s->wrong_first) {
			out.p[0] ^= 1;
			(void)sendto(s->fd, out.p, out.len, 0, (struct sockaddr *)&from, len);
			out.p[0] ^= 1;
		}
		(void)sendto(s->fd, out.p, out.len, 0, (struct sockaddr *)&from, len);
	}
	return NULL;
}

/* Both on one port; one that is free for TCP may be taken for datagrams. */
static inline bool dns_server_bind(struct dns_server *s, struct sockaddr_in *a)
{
	socklen_t len = sizeof(*a);
	*a = (struct sockaddr_in){ .sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	s->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (bind(s->listener, (struct sockaddr *)a, len) == 0 &&
	    getsockname(s->listener, (struct sockaddr *)a, &len) == 0 &&
	    bind(s->fd, (struct sockaddr *)a, len) == 0)
		return true;
	(void)close(s->listener);
	(void)close(s->fd);
	return false;
}

static inline void dns_server_start(struct dns_server *s)
{
	struct sockaddr_in a;
	int tries = 0;
	while (!dns_server_bind(s, &a))
		assert_true(++tries < 100);
	if (!s->no_tcp) {
		assert_int_equal(listen(s->listener, 8), 0);
		assert_int_equal(pthread_create(&s->tcp_thread, NULL, dns_server_run_tcp, s), 0);
	}
	(void)snprintf(s->address, sizeof(s->address), "127.0.0.1:%u", ntohs(a.sin_port));
	assert_int_equal(pthread_create(&s->thread, NULL, dns_server_run, s), 0);
}

static inline void dns_server_stop(struct dns_server *s)
{
	struct sockaddr_in a;
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_true(getsockname(s->fd, (struct sockaddr *)&a, &len) == 0);
	assert_true(sendto(fd, "", 1, 0, (struct sockaddr *)&a, len) == 1); /* the end */
	(void)pthread_join(s->thread, NULL);
	(void)close(fd);
	(void)close(s->fd);
	if (!s->no_tcp) {
		(void)shutdown(s->listener, SHUT_RDWR);
		(void)pthread_join(s->tcp_thread, NULL);
	}
	(void)close(s->listener);
}

#endif
