/* Arbitrary bytes as a stream of packets: every packet goes to every parser that a connection would give it to. What
 * parses must encode to the same bytes. */
#include "dcp/wire.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk_value(const struct packet *p)
{
	struct slice xattrs, body, name, value;
	AUTO(buf) struct buf plain = BUF_INIT;
	struct slice v = p->value;
	if (p->datatype & DATATYPE_SNAPPY) {
		if (wire_inflate(v, 1u << 20, &plain, NULL) < 0)
			return;
		v = buf_slice(&plain);
	}
	if (wire_split_xattrs(v, &xattrs, &body, NULL) == 0)
		while (wire_xattr_next(&xattrs, &name, &value, NULL) > 0)
			;
}

static void walk_packet(const struct packet *p)
{
	struct wire_doc doc;
	struct wire_marker marker;
	uint64_t seqno;
	uint32_t reason;
	uint16_t vb, sid;
	bool start;
	size_t n;
	struct slice json;
	(void)framing_stream_id(p->framing, &sid, NULL);
	(void)wire_doc_parse(p, true, &doc, NULL);
	(void)wire_doc_parse(p, false, &doc, NULL);
	(void)wire_marker_parse(p, &marker, NULL);
	(void)wire_seqno_advanced_parse(p, &seqno, NULL);
	(void)wire_oso_parse(p, &start, NULL);
	(void)wire_stream_end_parse(p, &reason, NULL);
	(void)wire_rollback_parse(p, &seqno, NULL);
	(void)wire_xattr_get_parse(p, &json, NULL);
	if (wire_seqnos_count(p, &n, NULL) == 0)
		for (size_t i = 0; i < n; i++)
			wire_seqnos_at(p, i, &vb, &seqno);
	walk_value(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest = { data, size };
	struct packet p;
	size_t need;
	while (packet_parse(rest, 1u << 20, &p, &need, NULL) > 0) {
		walk_packet(&p);
		AUTO(buf) struct buf again = BUF_INIT;
		packet_encode(&again, &p);
		bool alt = p.magic == MAGIC_ALT_REQUEST || p.magic == MAGIC_ALT_RESPONSE;
		if (alt == (p.framing.len > 0) &&
		    (again.len != p.len || memcmp(again.p, rest.p, p.len) != 0))
			abort();
		rest.p += p.len;
		rest.len -= p.len;
	}
	return 0;
}
