#include "net/http_response.h"

#include <strings.h>

enum part { HEAD, LENGTH, CHUNK_LINE, CHUNK, CHUNK_TAIL, TRAILER, REST };

static int malformed(struct err *e, const char *what)
{
	return err_set(e, ERR_PROTOCOL, "HTTP: %s", what);
}

/* The length of a line with its CR LF; 0: not there yet. */
static size_t line_length(struct slice in)
{
	const uint8_t *lf = memchr(in.p, '\n', in.len);
	return lf ? (size_t)(lf - in.p) + 1 : 0;
}

/* Without CR LF. */
static bool cut_line(struct slice *line)
{
	if (line->len < 2 || line->p[line->len - 2] != '\r')
		return false;
	line->len -= 2;
	return memchr(line->p, '\r', line->len) == NULL && memchr(line->p, 0, line->len) == NULL;
}

static int status_line(struct http_response *r, struct slice line, struct err *e)
{
	const char *p = (const char *)line.p;
	if (line.len < 12 || memcmp(p, "HTTP/1.", 7) != 0 || (p[7] != '0' && p[7] != '1') ||
	    p[8] != ' ' || (line.len > 12 && p[12] != ' '))
		return malformed(e, "no status line");
	int status = 0;
	for (int i = 9; i < 12; i++) {
		if (p[i] < '0' || p[i] > '9')
			return malformed(e, "a status that is no number");
		status = 10 * status + (p[i] - '0');
	}
	if (status < 100)
		return malformed(e, "a status below 100");
	r->status = status;
	return 0;
}

/* "Name: value": true when it is that header; *value without blanks around. */
static bool header(struct slice line, const char *name, struct slice *value)
{
	size_t n = strlen(name);
	if (line.len <= n || line.p[n] != ':' || strncasecmp((const char *)line.p, name, n) != 0)
		return false;
	const uint8_t *p = line.p + n + 1, *end = line.p + line.len;
	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	while (end > p && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	*value = slice_of(p, (size_t)(end - p));
	return true;
}

static bool decimal(struct slice text, uint64_t *out)
{
	uint64_t n = 0;
	if (text.len == 0 || text.len > 18)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		if (text.p[i] < '0' || text.p[i] > '9')
			return false;
		n = 10 * n + (uint64_t)(text.p[i] - '0');
	}
	*out = n;
	return true;
}

struct head {
	bool has_length, chunked;
	uint64_t length;
};

static int take_header(struct slice line, struct head *h, struct err *e)
{
	struct slice value;
	uint64_t n;
	if (header(line, "Content-Length", &value)) {
		if (!decimal(value, &n) || (h->has_length && n != h->length))
			return malformed(e, "a bad Content-Length");
		h->has_length = true;
		h->length = n;
	} else if (header(line, "Transfer-Encoding", &value)) {
		if (h->chunked || value.len != 7 ||
		    strncasecmp((const char *)value.p, "chunked", 7) != 0)
			return malformed(e, "a Transfer-Encoding other than chunked");
		h->chunked = true;
	} else if (line.p[0] == ' ' || line.p[0] == '\t' || !memchr(line.p, ':', line.len)) {
		return malformed(e, "a header that is none");
	}
	return 0;
}

/* Where the blank line ends; 0: not there yet. */
static size_t head_length(struct slice in)
{
	const uint8_t *end = memmem(in.p, in.len, "\r\n\r\n", 4);
	return end ? (size_t)(end - in.p) + 4 : 0;
}

static int take_head(struct http_response *r, struct slice head, struct err *e)
{
	struct head h = { 0 };
	bool first = true;
	for (size_t at = 0; at < head.len;) {
		struct slice line = slice_of(head.p + at, head.len - at);
		line.len = line_length(line);
		at += line.len;
		if (!cut_line(&line))
			return malformed(e, "a line end or a byte that does not belong there");
		int rc = first           ? status_line(r, line, e)
			 : line.len == 0 ? 0
					 : take_header(line, &h, e);
		if (rc < 0)
			return rc;
		first = false;
	}
	if (h.chunked && h.has_length)
		return malformed(e, "both a length and chunks");
	if (r->status < 200) {
		if (r->status == 101)
			return malformed(e, "another protocol");
		return 0;
	}
	r->head_done = true;
	bool no_body = r->status == 204 || r->status == 304;
	r->until_close = !no_body && !h.chunked && !h.has_length;
	r->left = no_body ? 0 : h.length;
	r->part = !no_body && h.chunked ? CHUNK_LINE : r->until_close ? REST : LENGTH;
	r->done = r->part == LENGTH && r->left == 0;
	return 0;
}

/* "1a" or "1a;extension" */
static int chunk_line(struct http_response *r, struct slice line, struct err *e)
{
	uint64_t n = 0;
	size_t i = 0;
	for (; i < line.len && i < 9; i++) {
		uint8_t c = line.p[i], low = c | 32;
		if (c >= '0' && c <= '9')
			n = n << 4 | (uint64_t)(c - '0');
		else if (low >= 'a' && low <= 'f')
			n = n << 4 | (uint64_t)(low - 'a' + 10);
		else
			break;
	}
	if (i == 0 || i == 9 || (i < line.len && line.p[i] != ';' && line.p[i] != ' '))
		return malformed(e, "a chunk without a length");
	r->left = n;
	r->part = n ? CHUNK : TRAILER;
	return 0;
}

static int on_line(struct http_response *r, struct slice line, struct err *e)
{
	if (!cut_line(&line))
		return malformed(e, "a line end or a byte that does not belong there");
	switch (r->part) {
	case CHUNK_LINE: return chunk_line(r, line, e);
	case CHUNK_TAIL:
		r->part = CHUNK_LINE;
		return line.len == 0 ? 0 : malformed(e, "a chunk longer than it says");
	}
	r->done = line.len == 0; /* of the trailer */
	return 0;
}

int http_response_step(struct http_response *r, struct slice in, size_t *taken, struct slice *body,
		       struct err *e)
{
	ASSERT(!r->done);
	*body = SLICE_NONE;
	if (in.len == 0)
		return 0;
	if (r->part == LENGTH || r->part == CHUNK || r->part == REST) {
		size_t n = r->part == REST ? in.len : (size_t)MIN(r->left, (uint64_t)in.len);
		*body = slice_of(in.p, n);
		*taken = n;
		r->left -= r->part == REST ? 0 : n;
		if (r->left == 0 && r->part == CHUNK)
			r->part = CHUNK_TAIL;
		r->done = r->left == 0 && r->part == LENGTH;
		return 1;
	}
	size_t n = r->part == HEAD ? head_length(in) : line_length(in);
	if (n > HTTP_HEAD_MAX || (n == 0 && in.len > HTTP_HEAD_MAX))
		return err_set(e, ERR_LIMIT, "HTTP: headers of more than %u bytes", HTTP_HEAD_MAX);
	if (n == 0)
		return 0;
	*taken = n;
	int rc = r->part == HEAD ? take_head(r, slice_of(in.p, n), e)
				 : on_line(r, slice_of(in.p, n), e);
	return rc < 0 ? rc : 1;
}

int http_response_end(struct http_response *r, struct err *e)
{
	if (r->done)
		return 0;
	if (!r->head_done || !r->until_close)
		return err_set(e, ERR_NET, "HTTP: the connection ended within the answer");
	r->done = true;
	return 0;
}
