/* checkpoint_fuzz.c: whatever is in a checkpoint file, reading gives documents or a typed error; what can be read is a
 * possible place, and encodes to a document that says the same. */
#include "dcp/checkpoint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_document(uint16_t vb, struct slice document)
{
	struct checkpoint c = { .vb = vb }, again = { .vb = vb };
	AUTO(buf) struct buf text = BUF_INIT;
	struct err e = ERR_INIT;
	int rc = checkpoint_decode(document, &c, &e);
	if (rc < 0) {
		ASSERT(e.code && e.msg[0]);
		ASSERT(checkpoint_take(document, &c, &e) < 0 || c.damaged);
		return;
	}
	ASSERT(c.vb == vb && c.found && dcp_position_valid(&c.pos));
	for (uint32_t i = 1; i < c.points.n; i++)
		ASSERT(c.points.seqno[i] > c.points.seqno[i - 1]);
	if (strpbrk(c.bucket_uuid, "\"\\") || !c.bucket_uuid[0])
		return; /* never written by anybody */
	for (const char *p = c.bucket_uuid; *p; p++)
		if ((unsigned char)*p < ' ' || (unsigned char)*p > '~')
			return;
	checkpoint_encode(&c, &text);
	ASSERT(checkpoint_decode(buf_slice(&text), &again, &e) == 0);
	ASSERT(memcmp(&again.pos, &c.pos, sizeof(c.pos)) == 0 && again.mark == c.mark);
	ASSERT(again.points.n == c.points.n);
	ASSERT(memcmp(again.points.seqno, c.points.seqno, c.points.n * sizeof(uint64_t)) == 0);
}

static int each(void *arg, uint16_t vb, struct slice document)
{
	++*(size_t *)arg;
	ASSERT(document.len >= 2 && document.p[0] == '{' && document.p[document.len - 1] == '}');
	check_document(vb, document);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err e = ERR_INIT;
	size_t n = 0;
	int rc = checkpoint_split(slice_of(data, size), each, &n, &e);
	ASSERT(rc == 0 || (rc == ERR_FORMAT && e.code == rc));
	check_document(7, slice_of(data, size));
	return 0;
}
