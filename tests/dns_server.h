/* dns_server.h: a name server on loopback that has one SRV record, whatever it is asked for. */
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
	/* private */
	int fd;
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
		buf_add(&out, in, (size_t)n - 11); /* without the options */
		put_be16(out.p + 2, s->target ? 0x8180 : 0x8183);
		put_be16(out.p + 6, s->target ? 1 : 0);
		put_be16(out.p + 10, 0);
		if (s->target)
			dns_server_record(s, &out);
		if (s->wrong_first) {
			out.p[0] ^= 1;
			(void)sendto(s->fd, out.p, out.len, 0, (struct sockaddr *)&from, len);
			out.p[0] ^= 1;
		}
		(void)sendto(s->fd, out.p, out.len, 0, (struct sockaddr *)&from, len);
	}
	return NULL;
}

static inline void dns_server_start(struct dns_server *s)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	s->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_true(bind(s->fd, (struct sockaddr *)&a, sizeof(a)) == 0);
	assert_true(getsockname(s->fd, (struct sockaddr *)&a, &len) == 0);
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
}

#endif
