/* A loop that is left before all is read: whoever runs it next goes on, and nobody is forgotten. */
#include "tests/test.h"

#include "net/tcp.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PEERS = 3, TURNS = 20 };

struct turning {
	struct loop *loop;
	struct peer {
		struct turning *of;
		struct tcp *tcp;
		int fd;
		unsigned shown;
	} peer[PEERS];
};

static void on_connected(void *arg)
{
	(void)arg;
}

/* Each of them has enough for whoever runs the loop. */
static size_t on_bytes(void *arg, struct slice in, size_t *need)
{
	struct peer *p = arg;
	*need = 1;
	p->shown++;
	loop_leave(p->of->loop);
	return in.len;
}

static void on_closed(void *arg, const struct err *why)
{
	(void)arg;
	fail_msg("%s", why->msg);
}

static void connect_all(struct turning *t)
{
	static const struct tcp_ops ops = { on_connected, on_bytes, on_closed };
	struct err e = ERR_INIT;
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, len), 0);
	assert_int_equal(listen(fd, PEERS), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	struct tcp_options o = { .read_bytes = 4096, .connect_timeout = PATIENCE };
	for (struct peer *p = t->peer; p < t->peer + PEERS; p++) {
		p->of = t;
		assert_ok(tcp_connect(t->loop, "127.0.0.1", ntohs(a.sin_port), &o, &ops, p, &p->tcp,
				      &e),
			  &e);
		loop_turn(t->loop, 0);
		p->fd = accept(fd, NULL, NULL);
		assert_true(p->fd >= 0);
	}
	(void)close(fd);
}

/* So much that a turn never gets to its end. */
static void fill(struct turning *t)
{
	static const uint8_t bytes[64 << 10];
	for (struct peer *p = t->peer; p < t->peer + PEERS; p++)
		(void)send(p->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
}

static void no_connection_waits_while_another_has_more_than_a_turn_takes(void **state)
{
	(void)state;
	static const nsec waits[] = { 0, NSEC_PER_MS };
	struct err e = ERR_INIT;
	struct turning t = { 0 };
	assert_ok(loop_new(NULL, NULL, &t.loop, &e), &e);
	connect_all(&t);
	for (unsigned i = 0; i < TURNS; i++) {
		fill(&t);
		loop_turn(t.loop, waits[i % ARRAY_LEN(waits)]);
	}
	for (struct peer *p = t.peer; p < t.peer + PEERS; p++) {
		assert_true(p->shown >= TURNS / PEERS - 1);
		assert_true(p->shown <= TURNS); /* else the turns did not end */
		tcp_close(p->tcp);
		(void)close(p->fd);
	}
	loop_free(t.loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_connection_waits_while_another_has_more_than_a_turn_takes),
	};
	return cmocka_run_group_tests_name("net/turn", tests, NULL, NULL);
}
