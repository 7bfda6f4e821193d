#include "tests/test.h"

#include "base/buf.h"
#include "net/http_response.h"

/* Feeds `text` in pieces of `step` bytes, as a connection would, with what was not taken in front of the next piece.
 * The status, or the error; the body is appended to out. */
static int read_in_pieces(const char *text, size_t step, struct buf *out, bool *done, struct err *e)
{
	struct http_response r = { 0 };
	AUTO(buf) struct buf in = BUF_INIT;
	size_t len = strlen(text), at = 0;
	while (at < len && !r.done) {
		size_t n = MIN(step, len - at);
		buf_add(&in, text + at, n);
		at += n;
		size_t from = 0, taken;
		struct slice body;
		int rc = 1;
		while (!r.done && (rc = http_response_step(&r, slice_of(in.p + from, in.len - from),
							   &taken, &body, e)) == 1) {
			buf_add(out, body.p, body.len);
			from += taken;
		}
		if (rc < 0)
			return rc;
		memmove(in.p, in.p + from, in.len - from);
		in.len -= from;
	}
	int rc = http_response_end(&r, e);
	*done = r.done;
	return rc < 0 ? rc : r.status;
}

static void whole_answers_are_read_however_they_are_cut(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int status;
		const char *body;
	} rows[] = {
		{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello" },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhellomore", 200, "hello" },
		{ "HTTP/1.1 200\r\ncontent-length:0\r\n\r\n", 200, "" },
		{ "HTTP/1.0 404 Not here\r\nX: y\r\n\r\nuntil the end", 404, "until the end" },
		{ "HTTP/1.1 204 No\r\n\r\n", 204, "" },
		{ "HTTP/1.1 100 Go on\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", 200,
		  "x" },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n"
		  "5\r\nhello\r\n00A;name=v\r\n, world! \n\r\n0\r\nTrailer: x\r\n\r\n",
		  200, "hello, world! \n" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		for (size_t step = 1; step <= strlen(rows[i].text); step++) {
			AUTO(buf) struct buf out = BUF_INIT;
			struct err e = ERR_INIT;
			bool done;
			int rc = read_in_pieces(rows[i].text, step, &out, &done, &e);
			buf_add_byte(&out, 0);
			if (rc != rows[i].status || !done ||
			    strcmp((const char *)out.p, rows[i].body) != 0)
				fail_msg("row %zu in pieces of %zu: %d %s \"%s\"", i, step, rc,
					 e.msg, (const char *)out.p);
		}
	}
}

static void broken_answers_are_errors(void **state)
{
	(void)state;
#define CHUNKED "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	static const struct {
		const char *text;
		int code;
	} rows[] = {
		{ "", ERR_NET },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", ERR_NET },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", ERR_NET },
		{ CHUNKED "5\r\nhell", ERR_NET },
		{ CHUNKED "5\r\nhello\r\n", ERR_NET },
		{ CHUNKED "0\r\n", ERR_NET },
		{ "SSH-2.0-x\r\n\r\n", ERR_PROTOCOL },
		{ "HTTP/2.0 200 OK\r\n\r\n", ERR_PROTOCOL },
		{ "HTTP/1.1 2x0 OK\r\n\r\n", ERR_PROTOCOL },
		{ "HTTP/1.1 2000 OK\r\n\r\n", ERR_PROTOCOL },
		{ "HTTP/1.1 099 OK\r\n\r\n", ERR_PROTOCOL },
		{ "HTTP/1.1 101 Switch\r\n\r\n", ERR_PROTOCOL },
		{ "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", ERR_PROTOCOL },
		{ "HTTP/1.1 200 OK\r\nno header\r\n\r\n", ERR_PROTOCOL },
		{ "HTTP/1.1 200 OK\r\nA: b\r\n folded: x\r\n\r\n", ERR_PROTOCOL },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\n", ERR_PROTOCOL },
		{ "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", ERR_PROTOCOL },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
		  ERR_PROTOCOL },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
		  ERR_PROTOCOL },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", ERR_PROTOCOL },
		{ CHUNKED "x\r\n", ERR_PROTOCOL },
		{ CHUNKED "-1\r\n", ERR_PROTOCOL },
		{ CHUNKED "123456789\r\n", ERR_PROTOCOL },
		{ CHUNKED "1\r\nab\r\n", ERR_PROTOCOL },
		{ CHUNKED "1\na\r\n", ERR_PROTOCOL },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		for (size_t step = 1; step <= strlen(rows[i].text) + 1; step++) {
			AUTO(buf) struct buf out = BUF_INIT;
			struct err e = ERR_INIT;
			bool done;
			int rc = read_in_pieces(rows[i].text, step, &out, &done, &e);
			if (rc != rows[i].code)
				fail_msg("row %zu in pieces of %zu: %d %s", i, step, rc, e.msg);
		}
	}
}

static void headers_have_a_limit(void **state)
{
	(void)state;
	AUTO(buf) struct buf text = BUF_INIT, out = BUF_INIT;
	struct err e = ERR_INIT;
	bool done;
	buf_add_str(&text, "HTTP/1.1 200 OK\r\nX: ");
	while (text.len < HTTP_HEAD_MAX + 10)
		buf_add_byte(&text, 'x');
	buf_add_byte(&text, 0);
	assert_int_equal(read_in_pieces((const char *)text.p, 1000, &out, &done, &e), ERR_LIMIT);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_answers_are_read_however_they_are_cut),
		cmocka_unit_test(broken_answers_are_errors),
		cmocka_unit_test(headers_have_a_limit),
	};
	return cmocka_run_group_tests_name("net/http_response", tests, NULL, NULL);
}
