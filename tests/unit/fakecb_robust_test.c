/* The simulated cluster is a server in its own right: frames that are none, connections by the thousand, clients that go
 * away in the middle or never read must neither kill it nor leave anything behind. WEIR_TORTURE=1: ten times as much;
 * WEIR_SEED=n: other bytes.
 */
#include "tests/fakecb_wire.h"

#include <dirent.h>
#include <signal.h>

static unsigned rounds(unsigned n)
{
	return getenv("WEIR_TORTURE") ? n * 10 : n;
}

static unsigned open_files(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;
	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* All connections of the cluster are gone. */
static void wait_for_files(unsigned at_most)
{
	bool gone = false;
	for (int i = 0; i < PATIENCE_MS && !gone; i++) {
		gone = open_files() <= at_most;
		usleep(1000);
	}
	assert_true(gone);
}

static void still_serves(struct fake *f)
{
	struct wire w = w_dcp(f, 0, W_ALL_FEATURES, 0x21);
	assert_int_equal(w_stream(&w, (struct w_stream){ .vb = 1, .end = W_ENDLESS }), 0);
	(void)w_until(&w, W_MUTATION, 1);
	w_close(&w);
	assert_int_equal(w_manage(f, W_ADMIN, "GET", "/pools/default/buckets/default", ""), 200);
}

static struct fake *cluster(void)
{
	struct fake *f =
		fake_start(&(struct fake_options){ .nodes = 2, .replicas = 1, .vbuckets = 8 });
	assert_non_null(f);
	(void)fake_set(f, 1, 0, "k", SLICE_LIT("{\"n\":1}"));
	return f;
}

static unsigned seed;

static unsigned rnd(unsigned n)
{
	seed = seed * 1103515245u + 12345u;
	return (seed >> 8) % n;
}

/* The same for everybody, unless WEIR_SEED says otherwise. */
static void draw_from_the_beginning(void)
{
	const char *said = getenv("WEIR_SEED");
	seed = said && *said ? (unsigned)strtoul(said, NULL, 10) : 1;
	print_message("seed %u\n", seed);
}

/* What may come back is read away, so that nobody waits for anybody. */
static void drain(struct wire *w)
{
	char sink[65536];
	while (recv(w->fd, sink, sizeof(sink), MSG_DONTWAIT) > 0)
		;
}

/* ---- bytes that are no frames, and frames that are wrong ---- */

static void random_bytes(struct wire *w)
{
	uint8_t junk[600];
	size_t n = 1 + rnd(sizeof(junk));
	for (size_t i = 0; i < n; i++)
		junk[i] = (uint8_t)rnd(256);
	(void)send(w->fd, junk, n, MSG_NOSIGNAL);
}

/* A frame whose lengths fit, with anything else in it. */
static void random_frame(struct wire *w)
{
	static const uint8_t opcodes[] = { 0x00, 0x01, 0x02, 0x04, 0x05, 0x0e, 0x10, 0x1c,
					   0x1d, 0x1f, 0x20, 0x21, 0x22, 0x3d, 0x48, 0x50,
					   0x52, 0x53, 0x54, 0x5d, 0x5e, 0x83, 0x87, 0x91,
					   0x96, 0xa0, 0xb3, 0xb5, 0xba, 0xbb, 0xbc, 0xc5,
					   0xc8, 0xcb, 0xcf, 0xd0, 0xd1, 0xfe };
	uint8_t p[24 + 400] = { rnd(4) ? 0x80 : 0x08,
				rnd(8) ? opcodes[rnd(sizeof(opcodes))] : (uint8_t)rnd(256) };
	static const uint8_t extras_of[] = { 0, 0, 4, 8, 20, 48, 24, 1 };
	size_t framing = p[0] == 0x08 ? rnd(12) : 0, extras = extras_of[rnd(8)], key = rnd(40),
	       value = rnd(200);
	if (p[0] == 0x08) {
		p[2] = (uint8_t)framing;
		p[3] = (uint8_t)key;
	} else {
		put_be16(p + 2, (uint16_t)key);
	}
	p[4] = (uint8_t)extras;
	p[5] = (uint8_t)(rnd(3) ? 0 : rnd(8));
	put_be16(p + 6, (uint16_t)rnd(12));
	size_t body = framing + extras + key + value;
	put_be32(p + 8, (uint32_t)body);
	for (size_t i = 0; i < body; i++)
		p[24 + i] = rnd(3) ? (uint8_t) "\0\1{}[]\":,0a.`sid"[rnd(16)] : (uint8_t)rnd(256);
	(void)send(w->fd, p, 24 + body, MSG_NOSIGNAL);
}

static void bytes_that_are_no_frames_close_one_connection(void **state)
{
	(void)state;
	struct fake *f = cluster();
	unsigned before = open_files();
	draw_from_the_beginning();
	for (unsigned i = 0; i < rounds(200); i++) {
		struct wire w =
			w_connect(i % 3 ? fake_kv_port(f, i % 2) : fake_http_port(f, i % 2));
		random_bytes(&w);
		drain(&w);
		w_close(&w);
	}
	wait_for_files(before);
	still_serves(f);
	fake_stop(f);
}

static void frames_of_anything_are_answered_or_refused(void **state)
{
	(void)state;
	struct fake *f = cluster();
	unsigned before = open_files();
	draw_from_the_beginning();
	for (unsigned i = 0; i < rounds(60); i++) {
		struct wire w = i % 2 ? w_login(f, 0, W_ALL_FEATURES "000f 0011 001d 001e 000d")
				      : w_dcp(f, 0, W_ALL_FEATURES, 0x25);
		for (int k = 0; k < 50; k++) {
			random_frame(&w);
			drain(&w);
		}
		w_close(&w);
	}
	wait_for_files(before);
	fake_warmup(f, false); /* traffic may have been stopped */
	fake_set_vb_state(f, 1, FAKE_VB_ACTIVE);
	fake_empty_bucket(f);
	(void)fake_set(f, 1, 0, "k", SLICE_LIT("1"));
	still_serves(f);
	fake_stop(f);
}

static void requests_of_the_management_port_may_be_anything(void **state)
{
	(void)state;
	static const char *const requests[] = {
		"GET / HTTP/1.1\r\n\r\n",
		"BREW /pot HTTP/1.1\r\n\r\n",
		"GET /%%%zz/%41?a=%&b HTTP/1.1\r\nAuthorization: Basic !!!!\r\n\r\n",
		"GET /pools HTTP/1.1\r\nAuthorization: Basic QWRtaW5pc3RyYXRvcg==\r\n\r\n",
		"POST /pools/default/buckets HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
		"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
		"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
		"GET /a/b/c/d/e/f/g/h/i/j/k/l/m/n HTTP/1.1\r\n\r\n",
		"\r\n\r\n",
		"GET",
	};
	struct fake *f = cluster();
	unsigned before = open_files();
	for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
		struct wire w = w_connect(fake_http_port(f, 0));
		/* Byte by byte, so that every cut is met. */
		for (const char *p = requests[i]; *p; p++)
			(void)send(w.fd, p, 1, MSG_NOSIGNAL);
		drain(&w);
		w_close(&w);
	}
	wait_for_files(before);
	still_serves(f);
	fake_stop(f);
}

/* ---- many, and rude ones ---- */

static void ten_thousand_connections_leave_nothing_behind(void **state)
{
	(void)state;
	struct fake *f = cluster();
	unsigned before = open_files();
	for (unsigned i = 0; i < rounds(1000) * (getenv("WEIR_SANITIZED") ? 1 : 10); i++) {
		struct wire w =
			w_connect(i % 4 ? fake_kv_port(f, i % 2) : fake_http_port(f, i % 2));
		if (i % 3 == 0)
			random_frame(&w);
		if (i % 5 == 0) { /* reset */
			struct linger now = { .l_onoff = 1 };
			(void)setsockopt(w.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		}
		w_close(&w);
	}
	wait_for_files(before);
	still_serves(f);
	fake_stop(f);
}

static void clients_that_never_read_cost_little(void **state)
{
	(void)state;
	enum { RUDE = 8, DOCS = 64, SIZE = 256 << 10 };
	struct fake *f = cluster();
	char *value = calloc(1, SIZE);
	struct wire rude[RUDE];
	struct w_request get = { .opcode = W_GET, .vb = 1, .key = "00|d0|" };
	memset(value, 'v', SIZE);
	for (int i = 0; i < DOCS; i++) {
		char key[16];
		(void)snprintf(key, sizeof(key), "d%d", i);
		(void)fake_set(f, 1, 0, key, slice_of(value, SIZE));
	}
	for (int i = 0; i < RUDE; i++) {
		rude[i] = i % 2 ? w_login(f, 0, W_ALL_FEATURES) : w_dcp(f, 0, W_ALL_FEATURES, 0x21);
		if (i % 2 == 0)
			w_stream_send(&rude[i], (struct w_stream){ .vb = 1, .end = W_ENDLESS });
		for (int k = 0; i % 2 && k < 500; k++) /* 125 MB of answers */
			w_send(&rude[i], get);
	}
	for (int i = 0; i < 3; i++)
		still_serves(f);
	/* Some go away, some read in the end: the answers are all there. */
	for (int i = 0; i < RUDE; i++) {
		for (int k = 0; i == 1 && k < 500; k++)
			assert_int_equal(w_next(&rude[i]).len, 24 + 4 + SIZE);
		w_close(&rude[i]);
	}
	still_serves(f);
	free(value);
	fake_stop(f);
}

/* The bytes that it writes meet a socket that is gone: an error for it, not a signal for the program. */
static void who_goes_in_the_middle_of_an_answer_harms_nobody(void **state)
{
	(void)state;
	struct fake *f = cluster();
	unsigned before = open_files();
	char value[20000];
	memset(value, 'v', sizeof(value));
	for (int i = 0; i < 300; i++) {
		char key[16];
		(void)snprintf(key, sizeof(key), "d%d", i);
		(void)fake_set(f, 1, 0, key, slice_of(value, sizeof(value)));
	}
	(void)signal(SIGPIPE, SIG_DFL);
	for (unsigned i = 0; i < rounds(30); i++) {
		struct wire w = w_dcp(f, 0, W_ALL_FEATURES, 0x21);
		struct linger now = { .l_onoff = 1 };
		w_stream_send(&w, (struct w_stream){ .vb = 1, .end = W_ENDLESS });
		(void)w_next(&w);
		if (i % 2)
			(void)setsockopt(w.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		w_close(&w);
	}
	wait_for_files(before);
	still_serves(f);
	fake_stop(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_that_are_no_frames_close_one_connection),
		cmocka_unit_test(frames_of_anything_are_answered_or_refused),
		cmocka_unit_test(requests_of_the_management_port_may_be_anything),
		cmocka_unit_test(ten_thousand_connections_leave_nothing_behind),
		cmocka_unit_test(clients_that_never_read_cost_little),
		cmocka_unit_test(who_goes_in_the_middle_of_an_answer_harms_nobody),
	};
	return cmocka_run_group_tests_name("fakecb/robust", tests, NULL, NULL);
}
