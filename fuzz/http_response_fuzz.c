/* Arbitrary bytes as a response: however they are cut, they mean the same. The first byte says where to cut. */
#include "base/buf.h"
#include "net/http_response.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int read_all(struct slice text, size_t step, struct buf *body)
{
	struct http_response r = { 0 };
	size_t from = 0, to = 0, taken;
	struct slice piece;
	while (to < text.len && !r.done) {
		to = MIN(text.len, to + step);
		int rc;
		while (!r.done && (rc = http_response_step(&r, slice_of(text.p + from, to - from),
							   &taken, &piece, NULL)) != 0) {
			if (rc < 0)
				return rc;
			if (taken == 0 || taken > to - from || piece.len > taken)
				abort();
			buf_add(body, piece.p, piece.len);
			from += taken;
		}
	}
	int rc = http_response_end(&r, NULL);
	return rc < 0 ? rc : r.status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(buf) struct buf whole = BUF_INIT;
	AUTO(buf) struct buf cut = BUF_INIT;
	if (size == 0)
		return 0;
	struct slice text = slice_of(data + 1, size - 1);
	int a = read_all(text, text.len + 1, &whole);
	int b = read_all(text, 1 + (size_t)data[0], &cut);
	if (a != b || whole.len != cut.len || (cut.len && memcmp(whole.p, cut.p, cut.len) != 0))
		abort();
	return 0;
}
