#include "tests/test.h"

#include "net/loop.h"
#include "net/tcp.h"

#include <arpa/inet.h>
#include <event2/dns.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* A name server that says nothing. */
static int silent_server(uint16_t *port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	*port = ntohs(a.sin_port);
	return fd;
}

static void ask_only(struct loop *l, uint16_t port)
{
	char address[32];
	struct evdns_base *dns = loop_dns(l);
	(void)snprintf(address, sizeof(address), "127.0.0.1:%u", port);
	assert_non_null(dns);
	assert_int_equal(evdns_base_clear_nameservers_and_suspend(dns), 0);
	assert_int_equal(evdns_base_nameserver_ip_add(dns, address), 0);
	assert_int_equal(evdns_base_resume(dns), 0);
}

struct peer {
	struct tcp *tcp;
	int code;
};

static void on_open(void *arg)
{
	(void)arg;
	fail_msg("connected to nobody");
}

static size_t on_bytes(void *arg, struct slice in, size_t *need)
{
	(void)arg;
	(void)need;
	return in.len;
}

static void on_closed(void *arg, const struct err *why)
{
	struct peer *p = arg;
	p->code = why->code;
	tcp_close(p->tcp);
}

static void stop(void *arg)
{
	loop_stop(arg);
}

/* The lookup is still under way when the time is over: it is called off, and its answer comes to nobody. */
static void a_name_that_takes_longer_than_connecting_may_is_given_up(void **state)
{
	(void)state;
	static const struct tcp_ops ops = { on_open, on_bytes, on_closed };
	struct err e = ERR_INIT;
	struct peer peers[5] = { 0 };
	struct loop *l;
	struct timer end;
	uint16_t port;
	int fd = silent_server(&port);
	assert_ok(loop_new(NULL, NULL, &l, &e), &e);
	ask_only(l, port);
	for (size_t i = 0; i < ARRAY_LEN(peers); i++) {
		struct tcp_options o = { .read_bytes = 4096, .connect_timeout = 20 * NSEC_PER_MS };
		assert_ok(tcp_connect(l, "slow.example", 1, &o, &ops, &peers[i], &peers[i].tcp, &e),
			  &e);
	}
	assert_ok(timer_init(&end, l, stop, l, &e), &e);
	timer_set(&end, 100 * NSEC_PER_MS);
	loop_run(l);
	for (size_t i = 0; i < ARRAY_LEN(peers); i++)
		assert_int_equal(peers[i].code, ERR_TIMEOUT);
	timer_done(&end);
	loop_free(l);
	close(fd);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_that_takes_longer_than_connecting_may_is_given_up),
	};
	return cmocka_run_group_tests_name("net/tcp", tests, NULL, NULL);
}
