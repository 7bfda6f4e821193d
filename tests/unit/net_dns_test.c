/* SRV records: questions and answers as bytes, resolv.conf, and a look-up against a name server made here. */
#include "tests/dns_server.h"
#include "tests/test.h"

#include "net/dns_lookup.h"
#include "net/tcp.h"
#include "os/env.h"

#include <event2/dns.h>

static const char NAME[] = "_couchbase._tcp.db.test";

static void the_question_is_as_the_protocol_says(void **state)
{
	(void)state;
	static const uint8_t want[] = "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01"
				      "\x0a_couchbase\x04_tcp\x02"
				      "db\x04test\x00\x00\x21\x00\x01"
				      "\x00\x00\x29\x10\x00\x00\x00\x00\x00\x00";
	AUTO(buf) struct buf out = BUF_INIT;
	struct err e = ERR_INIT;
	assert_ok(dns_srv_question(NAME, 0x1234, &out, &e), &e);
	assert_int_equal(out.len, sizeof(want)); /* with the NUL: the options' length ends in one */
	assert_memory_equal(out.p, want, out.len);
	static const char *const bad[] = {
		"",   ".",  "a..b",
		".a", "a.", "0123456789012345678901234567890123456789012345678901234567890123.a"
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		AUTO(buf) struct buf none = BUF_INIT;
		int rc = dns_srv_question(bad[i], 1, &none, &e);
		if (i == 4 ? rc != 0 : rc != ERR_INVALID)
			fail_msg("\"%s\": %d", bad[i], rc);
	}
}

/* Records of `rr`, n of them, behind the header and the question. */
static struct slice message(uint8_t *m, uint16_t flags, unsigned n, const void *rr, size_t len)
{
	static const uint8_t question[] = "\x0a_couchbase\x04_tcp\x02"
					  "DB\x04test\x00\x00\x21\x00"; /* and the NUL... */
	memset(m, 0, 12);
	put_be16(m, 0x1234);
	put_be16(m + 2, flags);
	put_be16(m + 4, 1);
	put_be16(m + 6, (uint16_t)n);
	memcpy(m + 12, question, sizeof(question) - 1);
	m[12 + sizeof(question) - 1] = 1; /* ...is the class' last byte */
	memcpy(m + 12 + sizeof(question), rr, len);
	return slice_of(m, 12 + sizeof(question) + len);
}

/* Owner is the question's name; 0x1c is where "db.test" stands in it. */
#define RR(prio, weight, port, len, target) \
	"\xc0\x0c\x00\x21\x00\x01\x00\x00\x00\x3c\x00" len "\x00" prio "\x00" weight port target
#define LIT(s) s, sizeof(s) - 1

static void answers_are_read_and_ordered(void **state)
{
	(void)state;
	static const char rr[] = RR("\x0a", "\x01", "\x2b\xcb", "\x0b", "\x02n3\xc0\x1c")
		RR("\x05", "\x01", "\x2b\xca", "\x0b", "\x02n1\xc0\x1c")
		/* a CNAME and an address are passed over */
		"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x02\xc0\x1c"
		"\xc0\x1c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x7f\x00\x00\x01" RR(
			"\x05", "\x09", "\x2b\xca", "\x10", "\x02n2\x05other\x00")
		/* "." : no such service */
		RR("\x00", "\x00", "\x00\x00", "\x07", "\x00");
	uint8_t m[512];
	struct dns_srv srv[DNS_SRV_MAX];
	struct err e = ERR_INIT;
	size_t n;
	struct slice text = message(m, 0x8180, 6, LIT(rr));
	int rc = dns_srv_answer(text, NAME, 0x1234, srv, &n, &e);
	if (rc != 1)
		fail_msg("%d %s", rc, e.msg);
	assert_int_equal(n, 3);
	assert_string_equal(srv[0].target, "n2.other");
	assert_string_equal(srv[1].target, "n1.DB.test");
	assert_string_equal(srv[2].target, "n3.DB.test");
	assert_true(srv[0].port == 11210 && srv[2].port == 11211 && srv[2].priority == 10);
	/* cut anywhere it is an error, and never more */
	for (size_t len = 0; len < text.len; len++)
		assert_true(dns_srv_answer(slice_of(m, len), NAME, 0x1234, srv, &n, &e) < 0);
	/* no byte is trusted */
	for (size_t i = 0; i < text.len; i++)
		for (unsigned bit = 0; bit < 8; bit++) {
			m[i] ^= (uint8_t)(1u << bit);
			(void)dns_srv_answer(text, NAME, 0x1234, srv, &n, &e);
			m[i] ^= (uint8_t)(1u << bit);
		}
}

static void other_answers_are_told_apart(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		uint16_t id, flags;
		const char *rr;
		size_t len;
		unsigned n;
		int rc;
	} rows[] = {
		{ NAME, 0x1234, 0x8183, LIT(""), 0, 0 },            /* no such name */
		{ NAME, 0x1234, 0x8180, LIT(""), 0, 0 },            /* no such record */
		{ NAME, 0x1234, 0x8182, LIT(""), 0, ERR_NET },      /* the server failed */
		{ NAME, 0x1234, 0x8380, LIT(""), 0, ERR_LIMIT },    /* cut short */
		{ NAME, 0x1235, 0x8180, LIT(""), 0, ERR_PROTOCOL }, /* another id */
		{ "_couchbase._tcp.db.tesT.", 0x1234, 0x8180, LIT(""), 0, 0 },
		{ "_couchbase._tcp.db2.test", 0x1234, 0x8180, LIT(""), 0, ERR_PROTOCOL },
		{ NAME, 0x1234, 0x0100, LIT(""), 0, ERR_PROTOCOL }, /* a question */
		{ NAME, 0x1234, 0x8180, LIT(RR("\1", "\1", "\1\1", "\x08", "\xc0\xff")), 1,
		  ERR_PROTOCOL }, /* a name that points forwards */
		{ NAME, 0x1234, 0x8180, LIT(RR("\1", "\1", "\1\1", "\x08", "\xc0\x3b")), 1,
		  ERR_PROTOCOL }, /* or at itself */
		{ NAME, 0x1234, 0x8180, LIT(RR("\1", "\1", "\1\1", "\x09", "\x01/\x00")), 1, 1 },
		{ NAME, 0x1234, 0x8180, LIT(RR("\1", "\1", "\1\1", "\x09", "\x01 \x00")), 1,
		  ERR_PROTOCOL },
		{ NAME, 0x1234, 0x8180, LIT(RR("\1", "\1", "\1\1", "\x0a", "\x01y\x00\x00")), 1,
		  ERR_PROTOCOL }, /* longer than its name */
	};
	uint8_t m[512];
	struct dns_srv srv[DNS_SRV_MAX];
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = ERR_INIT;
		size_t n;
		struct slice text = message(m, rows[i].flags, rows[i].n, rows[i].rr, rows[i].len);
		int rc = dns_srv_answer(text, rows[i].name, rows[i].id, srv, &n, &e);
		if (rc != rows[i].rc)
			fail_msg("row %zu: %d %s", i, rc, e.msg);
	}
}

static void resolv_conf_is_read(void **state)
{
	(void)state;
	struct dns_config c;
	char name[DNS_NAME_MAX + 1];
	dns_config_parse(slice_str("# comment\nnameserver 10.0.0.2\nnameserver nonsense\n"
				   "domain gone.test\nsearch ns.svc.test\tsvc.test\r\n"
				   "options timeout:1 ndots:5 rotate\nnameserver fd00::1"),
			 &c);
	assert_int_equal(c.n_servers, 2);
	assert_string_equal(c.server[1], "fd00::1");
	assert_int_equal(c.n_search, 2);
	assert_int_equal(c.ndots, 5);
	static const char *const few[] = { "_c._tcp.db.ns.svc.test", "_c._tcp.db.svc.test",
					   "_c._tcp.db" };
	for (size_t i = 0; i < 3; i++) {
		assert_true(dns_candidate(&c, "_c._tcp.db", i, name));
		assert_string_equal(name, few[i]);
	}
	assert_false(dns_candidate(&c, "_c._tcp.db", 3, name));
	assert_true(dns_candidate(&c, "_c._tcp.a.b.c.d", 0, name));
	assert_string_equal(name, "_c._tcp.a.b.c.d");
	assert_true(dns_candidate(&c, "_c._tcp.a.b.c.d", 1, name));
	assert_string_equal(name, "_c._tcp.a.b.c.d.ns.svc.test");
	assert_true(dns_candidate(&c, "db.", 0, name));
	assert_false(dns_candidate(&c, "db.", 1, name));
	dns_config_parse(SLICE_NONE, &c);
	assert_string_equal(c.server[0], "127.0.0.1");
	assert_int_equal(c.ndots, 1);
}

/* ---- a name server ---- */

struct result {
	struct loop *loop;
	struct dns_lookup *lookup;
	size_t n;
	struct dns_srv first;
	int why;
};

static void on_done(void *arg, const struct dns_srv *srv, size_t n, const struct err *why)
{
	struct result *r = arg;
	r->n = n;
	if (n)
		r->first = srv[0];
	r->why = why ? why->code : 0;
	dns_lookup_free(r->lookup);
	loop_stop(r->loop);
}

static struct result look_up(const char *name, const char *server, nsec limit)
{
	struct result r = { 0 };
	struct err e = ERR_INIT;
	assert_ok(loop_new(NULL, NULL, &r.loop, &e), &e);
	assert_ok(dns_lookup_srv(r.loop, env_posix(), name, server, limit, on_done, &r, &r.lookup,
				 &e),
		  &e);
	loop_run(r.loop);
	loop_free(r.loop);
	return r;
}

static void a_service_is_found(void **state)
{
	(void)state;
	struct dns_server s = { .target = "n1.db.test", .port = 11210, .wrong_first = true };
	dns_server_start(&s);
	struct result r = look_up("_couchbase._tcp.db.test", s.address, PATIENCE);
	assert_int_equal(r.why, 0);
	assert_int_equal(r.n, 1);
	assert_string_equal(r.first.target, "n1.db.test");
	assert_int_equal(r.first.port, 11210);
	dns_server_stop(&s);
}

/* 60 records are more than a datagram's 1,232 bytes. */
static void an_answer_too_long_for_a_datagram_comes_over_tcp(void **state)
{
	(void)state;
	struct dns_server s = { .target = "a-name-of-some-length.db.test",
				.port = 11210,
				.records = 60 };
	dns_server_start(&s);
	struct result r = look_up("_couchbase._tcp.db.test", s.address, 5 * NSEC_PER_SEC);
	assert_int_equal(r.why, 0);
	assert_int_equal(r.n, 60);
	assert_string_equal(r.first.target, "a-name-of-some-length.db.test");
	dns_server_stop(&s);

	s = (struct dns_server){ .target = "n.test", .port = 1, .records = 60, .no_tcp = true };
	dns_server_start(&s);
	r = look_up("_couchbase._tcp.db.test", s.address, 5 * NSEC_PER_SEC);
	assert_int_equal(r.n, 0);
	assert_int_equal(r.why, ERR_NET); /* and at once */
	dns_server_stop(&s);
}

static void a_silent_server_is_waited_for_no_longer_than_told(void **state)
{
	(void)state;
	struct dns_server s = { .silent = true };
	dns_server_start(&s);
	nsec before = env_mono(env_posix());
	struct result r = look_up("_couchbase._tcp.db.test", s.address, 150 * NSEC_PER_MS);
	nsec took = env_mono(env_posix()) - before;
	assert_int_equal(r.why, ERR_TIMEOUT);
	assert_true(took >= 140 * NSEC_PER_MS && took < PATIENCE);
	dns_server_stop(&s);
	r = look_up("_couchbase._tcp.db.test", s.address, NSEC_PER_SEC); /* nobody there */
	assert_int_equal(r.n, 0);
	assert_true(r.why == ERR_NET);
	r = look_up("no..name", s.address, PATIENCE);
	assert_int_equal(r.why, ERR_INVALID);
}

/* ---- a host whose name nobody looks up in time ---- */

struct visit {
	struct loop *loop;
	struct tcp *tcp;
	struct timer later;
	int why;
	unsigned closed;
	bool close_later;
};

static void leave(void *arg)
{
	struct visit *v = arg;
	tcp_close(v->tcp);
	loop_stop(v->loop);
}

static void on_closed(void *arg, const struct err *why)
{
	struct visit *v = arg;
	v->why = why->code;
	v->closed++;
	if (!v->close_later)
		leave(v);
	else
		timer_set(&v->later, 0);
}

/* Its time is over while the name server is still silent: closed at once, in the callback or behind it, it is freed
 * once, by then or by the look-up's end. */
static void a_connection_whose_look_up_outlasts_its_time_is_freed_once(void **state)
{
	(void)state;
	static const struct tcp_ops ops = { .closed = on_closed };
	struct tcp_options o = { .read_bytes = 4096, .connect_timeout = 20 * NSEC_PER_MS };
	struct dns_server s = { .silent = true };
	dns_server_start(&s);
	for (int i = 0; i < 4; i++) {
		struct visit v = { .close_later = i % 2 };
		struct err e = ERR_INIT;
		assert_ok(loop_new(NULL, NULL, &v.loop, &e), &e);
		assert_ok(timer_init(&v.later, v.loop, leave, &v, &e), &e);
		struct evdns_base *dns = loop_dns(v.loop);
		assert_int_equal(evdns_base_clear_nameservers_and_suspend(dns), 0);
		assert_int_equal(evdns_base_nameserver_ip_add(dns, s.address), 0);
		assert_int_equal(evdns_base_resume(dns), 0);
		assert_ok(tcp_connect(v.loop, "silent.test", 1, &o, &ops, &v, &v.tcp, &e), &e);
		loop_run(v.loop);
		assert_int_equal(v.closed, 1);
		assert_int_equal(v.why, ERR_TIMEOUT);
		timer_done(&v.later);
		loop_free(v.loop);
	}
	dns_server_stop(&s);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_question_is_as_the_protocol_says),
		cmocka_unit_test(answers_are_read_and_ordered),
		cmocka_unit_test(other_answers_are_told_apart),
		cmocka_unit_test(resolv_conf_is_read),
		cmocka_unit_test(a_service_is_found),
		cmocka_unit_test(an_answer_too_long_for_a_datagram_comes_over_tcp),
		cmocka_unit_test(a_silent_server_is_waited_for_no_longer_than_told),
		cmocka_unit_test(a_connection_whose_look_up_outlasts_its_time_is_freed_once),
	};
	return cmocka_run_group_tests_name("net/dns", tests, NULL, NULL);
}
