/* wire_requests.c: what a client asks and answers, packet by packet. */
#include "dcp/wire.h"

#include <inttypes.h>

void wire_simple(struct buf *out, uint8_t opcode, uint32_t opaque, struct slice key,
		 struct slice value)
{
	packet_encode(out, &(struct packet){ .magic = MAGIC_REQUEST,
					     .opcode = opcode,
					     .opaque = opaque,
					     .key = key,
					     .value = value });
}

void wire_hello(struct buf *out, uint32_t opaque, struct slice agent_json, const uint16_t *features,
		size_t n)
{
	uint8_t codes[64 * 2];
	ASSERT(n <= 64);
	for (size_t i = 0; i < n; i++)
		put_be16(codes + 2 * i, features[i]);
	wire_simple(out, OP_HELLO, opaque, agent_json, slice_of(codes, 2 * n));
}

void wire_dcp_open(struct buf *out, uint32_t opaque, struct slice name, uint32_t flags)
{
	uint8_t extras[8] = { 0 };
	ASSERT(name.len <= WIRE_NAME_MAX);
	put_be32(extras + 4, flags);
	packet_encode(out, &(struct packet){ .magic = MAGIC_REQUEST,
					     .opcode = OP_DCP_OPEN,
					     .opaque = opaque,
					     .extras = slice_of(extras, sizeof(extras)),
					     .key = name });
}

void wire_dcp_control(struct buf *out, uint32_t opaque, const char *key, const char *value)
{
	wire_simple(out, OP_DCP_CONTROL, opaque, slice_str(key), slice_str(value));
}

/* The object with what belongs to one stream alone. */
static void stream_value(struct buf *out, const struct wire_stream_req *r)
{
	const char *before = "{";
	if (r->json.len) {
		ASSERT(r->json.p[r->json.len - 1] == '}');
		buf_add(out, r->json.p, r->json.len - 1);
		before = ",";
	}
	if (r->sid) {
		buf_add_fmt(out, "%s\"sid\":%u", before, r->sid);
		before = ",";
	}
	if (r->knows_purge)
		buf_add_fmt(out, "%s\"purge_seqno\":\"%" PRIu64 "\"", before, r->purge_seqno);
	buf_add_byte(out, '}');
}

void wire_stream_req(struct buf *out, uint16_t vb, uint32_t opaque, const struct wire_stream_req *r)
{
	uint8_t x[48] = { 0 };
	put_be32(x, r->flags);
	put_be64(x + 8, r->start);
	put_be64(x + 16, r->end);
	put_be64(x + 24, r->uuid);
	put_be64(x + 32, r->snap_start);
	put_be64(x + 40, r->snap_end);
	AUTO(buf) struct buf value = BUF_INIT;
	if (r->sid || r->knows_purge)
		stream_value(&value, r);
	else
		buf_add(&value, r->json.p, r->json.len);
	packet_encode(out, &(struct packet){ .magic = MAGIC_REQUEST,
					     .opcode = OP_DCP_STREAM_REQ,
					     .vb_status = vb,
					     .opaque = opaque,
					     .extras = slice_of(x, sizeof(x)),
					     .value = buf_slice(&value) });
}

void wire_close_stream(struct buf *out, uint16_t vb, uint32_t opaque, uint16_t sid)
{
	uint8_t frame[3] = { FRAMING_STREAM_ID << 4 | 2 };
	put_be16(frame + 1, sid);
	packet_encode(out, &(struct packet){ .magic = MAGIC_REQUEST,
					     .opcode = OP_DCP_CLOSE_STREAM,
					     .vb_status = vb,
					     .opaque = opaque,
					     .framing = slice_of(frame, sid ? 3 : 0) });
}

void wire_get_failover_log(struct buf *out, uint16_t vb, uint32_t opaque)
{
	packet_encode(out, &(struct packet){ .magic = MAGIC_REQUEST,
					     .opcode = OP_DCP_GET_FAILOVER_LOG,
					     .vb_status = vb,
					     .opaque = opaque });
}

void wire_buffer_ack(struct buf *out, uint32_t bytes)
{
	uint8_t x[4];
	put_be32(x, bytes);
	packet_encode(out, &(struct packet){ .magic = MAGIC_REQUEST,
					     .opcode = OP_DCP_BUFFER_ACK,
					     .extras = slice_of(x, sizeof(x)) });
}

void wire_noop_response(struct buf *out, const struct packet *noop)
{
	packet_encode(out, &(struct packet){ .magic = MAGIC_RESPONSE,
					     .opcode = noop->opcode,
					     .opaque = noop->opaque });
}

void wire_observe_seqno(struct buf *out, uint16_t vb, uint32_t opaque, uint64_t uuid)
{
	uint8_t v[8];
	put_be64(v, uuid);
	packet_encode(out, &(struct packet){ .magic = MAGIC_REQUEST,
					     .opcode = OP_OBSERVE_SEQNO,
					     .vb_status = vb,
					     .opaque = opaque,
					     .value = slice_of(v, sizeof(v)) });
}

void wire_get_all_vb_seqnos(struct buf *out, uint32_t opaque, uint32_t state, bool has_collection,
			    uint32_t collection)
{
	uint8_t x[8];
	put_be32(x, state);
	put_be32(x + 4, collection);
	size_t len = has_collection ? 8 : state ? 4 : 0;
	packet_encode(out, &(struct packet){ .magic = MAGIC_REQUEST,
					     .opcode = OP_GET_ALL_VB_SEQNOS,
					     .opaque = opaque,
					     .extras = slice_of(x, len) });
}

void wire_get_cluster_config(struct buf *out, uint32_t opaque, bool known, int64_t epoch,
			     int64_t rev)
{
	uint8_t x[16];
	put_be64(x, (uint64_t)epoch);
	put_be64(x + 8, (uint64_t)rev);
	packet_encode(out, &(struct packet){ .magic = MAGIC_REQUEST,
					     .opcode = OP_GET_CLUSTER_CONFIG,
					     .opaque = opaque,
					     .extras = slice_of(x, known ? sizeof(x) : 0) });
}

void wire_get_error_map(struct buf *out, uint32_t opaque)
{
	static const uint8_t version_2[2] = { 0, 2 };
	wire_simple(out, OP_GET_ERROR_MAP, opaque, SLICE_NONE, slice_of(version_2, 2));
}

enum { PATH_XATTR = 0x04 };

void wire_xattr_get(struct buf *out, uint16_t vb, uint32_t opaque, struct slice key,
		    struct slice attr)
{
	uint8_t spec[4 + 16] = { OP_SUBDOC_GET, PATH_XATTR };
	ASSERT(attr.len <= 16);
	put_be16(spec + 2, (uint16_t)attr.len);
	memcpy(spec + 4, attr.p, attr.len);
	packet_encode(out, &(struct packet){ .magic = MAGIC_REQUEST,
					     .opcode = OP_SUBDOC_MULTI_LOOKUP,
					     .vb_status = vb,
					     .opaque = opaque,
					     .key = key,
					     .value = slice_of(spec, 4 + attr.len) });
}

static void subdoc_upsert(struct buf *out, const struct packet *p, uint8_t path_flags,
			  struct slice path, struct slice json)
{
	uint8_t spec[8] = { OP_SUBDOC_DICT_UPSERT, path_flags };
	struct packet whole = *p;
	put_be16(spec + 2, (uint16_t)path.len);
	put_be32(spec + 4, (uint32_t)json.len);
	AUTO(buf) struct buf v = BUF_INIT;
	buf_add(&v, spec, sizeof(spec));
	buf_add_slice(&v, path);
	buf_add_slice(&v, json);
	if (v.failed) {
		out->failed = true;
		return;
	}
	whole.magic = MAGIC_REQUEST;
	whole.opcode = OP_SUBDOC_MULTI_MUTATION;
	whole.value = buf_slice(&v);
	packet_encode(out, &whole);
}

void wire_xattr_upsert(struct buf *out, uint16_t vb, uint32_t opaque, struct slice key,
		       struct slice attr, struct slice json, uint64_t cas, uint8_t doc_flags)
{
	struct packet p = { .vb_status = vb,
			    .opaque = opaque,
			    .cas = cas,
			    .extras = slice_of(&doc_flags, doc_flags ? 1 : 0),
			    .key = key };
	subdoc_upsert(out, &p, PATH_XATTR, attr, json);
}

void wire_field_upsert(struct buf *out, uint16_t vb, uint32_t opaque, struct slice key,
		       struct slice path, struct slice json)
{
	struct packet p = { .vb_status = vb, .opaque = opaque, .key = key };
	subdoc_upsert(out, &p, 0, path, json);
}
