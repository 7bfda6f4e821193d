/* Arbitrary bytes as a stream of packets: every packet goes to every parser that a connection would give it to. What
 * parses must encode to the same bytes. Texts that a server hands out (maps, manifests, its map of errors) are values of
 * packets, too. */
#include "dcp/cluster.h"
#include "dcp/collections.h"
#include "dcp/errormap.h"
#include "dcp/wire_parse.h"

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

static void walk_text(const struct packet *p)
{
	struct cluster_map *map;
	struct manifest manifest;
	struct error_map *errors;
	struct dcp_system event;
	struct slice name;
	uint64_t seqno;
	switch (p->opcode) {
	case OP_GET_CLUSTER_CONFIG:
		if (cluster_map_parse(p->value, "host", &map, NULL) == 0)
			cluster_map_free(map);
		return;
	case OP_COLLECTIONS_GET_MANIFEST:
		if (manifest_parse(p->value, &manifest, NULL) == 0)
			manifest_done(&manifest);
		return;
	case OP_GET_ERROR_MAP:
		if (error_map_parse(p->value, &errors, NULL) < 0)
			return;
		if (error_reaction(errors, p->vb_status) > REACT_REFUSED)
			abort();
		error_map_free(errors);
		return;
	default: (void)system_event_parse(p, &seqno, &event, &name, NULL);
	}
}

/* What a client asks for out of a packet's numbers; its text is read back by nobody here, but has to be whole. */
static void walk_request(const struct packet *p)
{
	AUTO(buf) struct buf out = BUF_INIT;
	struct packet again;
	wire_stream_req(&out, p->vb_status, p->opaque,
			&(struct wire_stream_req){ .json = SLICE_LIT("{\"uid\":\"0\"}"),
						   .sid = (uint16_t)p->opaque,
						   .knows_purge = p->datatype & 1,
						   .purge_seqno = p->cas });
	wire_close_stream(&out, p->vb_status, p->opaque, (uint16_t)p->opaque);
	struct slice rest = buf_slice(&out);
	for (int i = 0; i < 2; i++) {
		if (packet_parse(rest, 1u << 20, &again, NULL, NULL) != 1)
			abort();
		rest.p += again.len;
		rest.len -= again.len;
	}
	uint16_t sid;
	if (framing_stream_id(again.framing, &sid, NULL) < 0 || sid != (uint16_t)p->opaque)
		abort();
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
	walk_text(p);
	walk_request(p);
}

static bool same(struct slice a, struct slice b)
{
	return a.p == b.p && a.len == b.len;
}

/* What is taken at a glance, and what is read without a check, is what the parsers with all their checks find. */
static void walk_document(struct slice in, const struct packet *p, bool collections)
{
	struct wire_quick quick;
	struct wire_doc doc, again;
	bool plain = p && p->opcode >= OP_DCP_MUTATION && p->opcode <= OP_DCP_EXPIRATION &&
		     wire_doc_parse(p, collections, &doc, NULL) == 0;
	size_t len = wire_doc_quick(in, collections, &quick);
	if (len && (!plain || len != p->len || quick.seqno != doc.seqno || quick.cas != doc.cas ||
		    quick.opaque != p->opaque || !same(quick.key, doc.key)))
		abort();
	if (!plain)
		return;
	wire_doc_again(p->start, collections, &again);
	if (again.seqno != doc.seqno || again.rev != doc.rev || again.cas != doc.cas ||
	    again.flags != doc.flags || again.expiry != doc.expiry ||
	    again.lock_time != doc.lock_time || again.delete_time != doc.delete_time ||
	    again.collection != doc.collection || again.datatype != doc.datatype ||
	    !same(again.key, doc.key) || !same(again.value, doc.value))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest = { data, size };
	struct packet p;
	size_t need;
	while (packet_parse(rest, 1u << 20, &p, &need, NULL) > 0) {
		walk_packet(&p);
		walk_document(rest, &p, true);
		walk_document(rest, &p, false);
		AUTO(buf) struct buf again = BUF_INIT;
		packet_encode(&again, &p);
		bool alt = p.magic == MAGIC_ALT_REQUEST || p.magic == MAGIC_ALT_RESPONSE;
		if (alt == (p.framing.len > 0) &&
		    (again.len != p.len || memcmp(again.p, rest.p, p.len) != 0))
			abort();
		rest.p += p.len;
		rest.len -= p.len;
	}
	walk_document(rest, NULL, true); /* nothing, or not all of it */
	walk_document(rest, NULL, false);
	return 0;
}
