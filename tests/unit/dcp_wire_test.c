/* The golden vectors were captured from a real server; every one is checked byte for byte in the direction
 * in which a client meets it, and re-encoded. */
#include "tests/test.h"

#include "dcp/wire.h"

#include <ctype.h>
#include <string.h>

static struct buf hex(const char *text)
{
	struct buf b = BUF_INIT;
	int high = -1;
	for (; *text; text++) {
		if (isspace((unsigned char)*text))
			continue;
		int digit = isdigit((unsigned char)*text) ? *text - '0' : tolower(*text) - 'a' + 10;
		assert_in_range(digit, 0, 15);
		if (high < 0) {
			high = digit;
		} else {
			buf_add_byte(&b, (uint8_t)(high << 4 | digit));
			high = -1;
		}
	}
	assert_int_equal(high, -1);
	return b;
}

static void assert_bytes(const struct buf *got, const char *want_hex)
{
	AUTO(buf) struct buf want = hex(want_hex);
	assert_int_equal(got->len, want.len);
	assert_memory_equal(got->p, want.p, want.len);
}

/* Parses the packet, checks that encoding it gives the same bytes, and hands it out. */
static struct packet golden(const struct buf *b)
{
	struct packet p;
	struct err e = ERR_INIT;
	size_t need;
	assert_int_equal(packet_parse(buf_slice(b), PACKET_BODY_MAX, &p, &need, &e), 1);
	assert_int_equal(p.len, b->len);
	assert_int_equal(need, b->len);
	AUTO(buf) struct buf again = BUF_INIT;
	packet_encode(&again, &p);
	assert_int_equal(again.len, b->len);
	assert_memory_equal(again.p, b->p, b->len);
	return p;
}

static void hello_reply_lists_the_accepted_features(void **state)
{
	(void)state;
	AUTO(buf)
	struct buf b = hex("811f0000 00000000 00000012 00000001 0000000000000000"
			   "0004 0006 0007 0008 000a 000b 000c 0010 0012");
	struct packet p = golden(&b);
	assert_true(packet_is_response(&p));
	assert_int_equal(p.opcode, OP_HELLO);
	assert_int_equal(p.value.len, 18);
	assert_int_equal(get_be16(p.value.p + 16), HELLO_COLLECTIONS);
}

static void empty_replies_parse(void **state)
{
	(void)state;
	static const struct {
		const char *hex;
		uint8_t opcode;
		uint16_t status;
		uint32_t opaque;
	} rows[] = {
		{ "81890000 00000000 00000000 00000003 0000000000000000", OP_SELECT_BUCKET, 0, 3 },
		{ "81500000 00000000 00000000 00000004 0000000000000000", OP_DCP_OPEN, 0, 4 },
		{ "815e0000 00000000 00000000 00000009 0000000000000000", OP_DCP_CONTROL, 0, 9 },
		{ "815e0000 00000004 00000000 00000007 0000000000000000", OP_DCP_CONTROL,
		  STATUS_EINVAL, 7 },
		{ "81520000 00000000 00000000 00000104 0000000000000000", OP_DCP_CLOSE_STREAM, 0,
		  0x104 },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(buf) struct buf b = hex(rows[i].hex);
		struct packet p = golden(&b);
		assert_int_equal(p.opcode, rows[i].opcode);
		assert_int_equal(p.vb_status, rows[i].status);
		assert_int_equal(p.opaque, rows[i].opaque);
		assert_int_equal(p.value.len, 0);
	}
}

static void failover_logs_and_rollbacks_parse(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	AUTO(buf)
	struct buf ok = hex("81530000 00000000 00000030 00000101 0000000000000000"
			    "0000b16e4367c140 0000000000001245"
			    "00003adddfa1a7c0 0000000000000003"
			    "0000f9900b895ce1 0000000000000000");
	struct packet p = golden(&ok);
	assert_int_equal(p.value.len, 48);
	assert_true(get_be64(p.value.p) == 0xb16e4367c140);
	AUTO(buf)
	struct buf log = hex("81540000 00000000 00000030 00000008 0000000000000000"
			     "0000b16e4367c140 0000000000001245"
			     "00003adddfa1a7c0 0000000000000003"
			     "0000f9900b895ce1 0000000000000000");
	assert_int_equal(golden(&log).opcode, OP_DCP_GET_FAILOVER_LOG);
	AUTO(buf)
	struct buf back = hex("81530000 00000023 00000008 00000102 0000000000000000"
			      "0000000000000000");
	uint64_t seqno = 1;
	p = golden(&back);
	assert_int_equal(p.vb_status, STATUS_ROLLBACK);
	assert_ok(wire_rollback_parse(&p, &seqno, &e), &e);
	assert_true(seqno == 0);
	AUTO(buf)
	struct buf nmvb = hex("81530000 00010007 00000013 00000103 0000000000000000"
			      "7b22726576223a20332c202272657645706f63");
	p = golden(&nmvb);
	assert_int_equal(p.vb_status, STATUS_NOT_MY_VBUCKET);
	assert_int_equal(p.datatype, DATATYPE_JSON);
}

static void snapshot_markers_of_every_version_parse(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct wire_marker m;
	AUTO(buf)
	struct buf v1 = hex("80560000 14000028 00000014 00000101 0000000000000000"
			    "000000000000127a 0000000000001286 00000006");
	struct packet p = golden(&v1);
	assert_int_equal(p.vb_status, 40);
	assert_ok(wire_marker_parse(&p, &m, &e), &e);
	assert_true(m.start == 4730 && m.end == 4742);
	assert_int_equal(m.flags, SNAPSHOT_DISK | SNAPSHOT_CHECKPOINT);
	assert_false(m.has_purge);

	AUTO(buf)
	struct buf v20 = hex("80560000 01000028 00000025 00000101 0000000000000000 00"
			     "0000000000000001 0000000000000009 00000002"
			     "0000000000000008 0000000000000007");
	p = golden(&v20);
	assert_ok(wire_marker_parse(&p, &m, &e), &e);
	assert_true(m.start == 1 && m.end == 9 && m.max_visible == 8 && m.high_completed == 7);

	AUTO(buf)
	struct buf v22 = hex("80560000 01000028 00000035 00000101 0000000000000000 02"
			     "0000000000000001 0000000000000009 00000002"
			     "0000000000000008 0000000000000007"
			     "0000000000000006 0000000000000005");
	p = golden(&v22);
	assert_ok(wire_marker_parse(&p, &m, &e), &e);
	assert_true(m.has_purge && m.purge_seqno == 6 && m.high_prepared == 5);
	p.value.len--;
	assert_int_equal(wire_marker_parse(&p, &m, &e), ERR_PROTOCOL);
	p.value.len = 36;
	assert_int_equal(wire_marker_parse(&p, &m, &e), ERR_PROTOCOL);
}

static void mutations_parse_in_and_out_of_collections(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct wire_doc d;
	AUTO(buf)
	struct buf b = hex("80570003 1f010028 00000029 00000101 18ea2d30c9c90000"
			   "000000000000127f 0000000000000002 02000000 00000000"
			   "00000000 0000 02 006b32 7b2262223a327d");
	struct packet p = golden(&b);
	assert_ok(wire_doc_parse(&p, true, &d, &e), &e);
	assert_true(d.seqno == 4735 && d.rev == 2 && d.cas == 0x18ea2d30c9c90000);
	assert_int_equal(d.flags, 0x02000000);
	assert_int_equal(d.collection, 0);
	assert_int_equal(d.datatype, DATATYPE_JSON);
	assert_true(slice_is(d.key, "k2"));
	assert_true(slice_is(d.value, "{\"b\":2}"));
	p.key = SLICE_LIT("\x08"
			  "o1");
	assert_ok(wire_doc_parse(&p, true, &d, &e), &e);
	assert_int_equal(d.collection, 8);
	assert_true(slice_is(d.key, "o1"));
	assert_ok(wire_doc_parse(&p, false, &d, &e), &e);
	assert_int_equal(d.key.len, 3);
}

static void a_compressed_mutation_inflates(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct wire_doc d;
	AUTO(buf)
	struct buf b = hex("80570004 1f030028 0000003b 00000007 18ea2d30ca0d0000"
			   "0000000000001283 0000000000000004 02000000 00000000"
			   "00000000 0000 02 00626967"
			   "d001187b2270223a2278fe0100fe0100fe01000d0104227d");
	struct packet p = golden(&b);
	assert_ok(wire_doc_parse(&p, true, &d, &e), &e);
	assert_true(slice_is(d.key, "big"));
	assert_int_equal(d.datatype, DATATYPE_JSON | DATATYPE_SNAPPY);
	AUTO(buf) struct buf plain = BUF_INIT;
	assert_ok(wire_inflate(d.value, 1 << 20, &plain, &e), &e);
	assert_int_equal(plain.len, 208);
	assert_memory_equal(plain.p, "{\"p\":\"xxx", 9);
	assert_memory_equal(plain.p + 206, "\"}", 2);
	assert_int_equal(wire_inflate(d.value, 207, &plain, &e), ERR_LIMIT);
	d.value.len -= 5;
	assert_int_equal(wire_inflate(d.value, 1 << 20, &plain, &e), ERR_FORMAT);
	/* a claim of 4 GiB - 1 is refused before anything is allocated */
	assert_int_equal(wire_inflate(SLICE_LIT("\xff\xff\xff\xff\x0f\x00"), 1 << 20, &plain, &e),
			 ERR_LIMIT);
}

static void deletions_and_expirations_parse(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct wire_doc d;
	AUTO(buf)
	struct buf v2 = hex("80580003 15000028 00000018 00000101 18ea2d30c9cc0000"
			    "0000000000001280 0000000000000003 6b020f40 00 006b31");
	struct packet p = golden(&v2);
	assert_ok(wire_doc_parse(&p, true, &d, &e), &e);
	assert_true(d.seqno == 4736 && d.rev == 3);
	assert_int_equal(d.delete_time, 1795297088);
	assert_true(slice_is(d.key, "k1"));

	AUTO(buf)
	struct buf v1 = hex("80580003 12000028 00000015 00000101 18ea2d30c9cc0000"
			    "0000000000001280 0000000000000003 0000 006b31");
	p = golden(&v1);
	assert_ok(wire_doc_parse(&p, true, &d, &e), &e);
	assert_true(d.seqno == 4736 && d.delete_time == 0);

	AUTO(buf)
	struct buf exp = hex("80590003 14000028 00000017 00000101 18ea2d3141960000"
			     "0000000000001286 0000000000000005 6b020f42 006531");
	p = golden(&exp);
	assert_ok(wire_doc_parse(&p, true, &d, &e), &e);
	assert_true(d.seqno == 0x1286 && d.rev == 5);
	assert_int_equal(d.delete_time, 0x6b020f42);
	assert_true(slice_is(d.key, "e1"));
}

static void stream_ids_travel_in_framing_extras(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	AUTO(buf)
	struct buf b = hex("08560300 14000014 00000017 00000101 0000000000000000 220007"
			   "000000000000127a 0000000000001286 00000006");
	struct packet p = golden(&b);
	uint16_t sid;
	assert_ok(framing_stream_id(p.framing, &sid, &e), &e);
	assert_int_equal(sid, 7);
	assert_int_equal(p.vb_status, 20);
	struct wire_marker m;
	assert_ok(wire_marker_parse(&p, &m, &e), &e);

	AUTO(buf) struct buf close = BUF_INIT;
	wire_close_stream(&close, 20, 0x101, 7);
	assert_bytes(&close, "08520300 00000014 00000003 00000101 0000000000000000 220007");
}

static void framing_extras_use_escapes_for_what_exceeds_fourteen(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	static const uint8_t data[200] = { 1, 2, 3 };
	for (uint32_t id = 0; id < 271; id++) {
		AUTO(buf) struct buf b = BUF_INIT;
		struct slice in = { data, id % 200 }, out;
		framing_put(&b, id, in);
		framing_put(&b, 2, SLICE_LIT("\0\7"));
		struct slice rest = buf_slice(&b);
		uint32_t got;
		assert_int_equal(framing_next(&rest, &got, &out, &e), 1);
		assert_int_equal(got, id);
		assert_true(slice_eq(in, out));
		if (id != 2) {
			uint16_t sid;
			assert_ok(framing_stream_id(buf_slice(&b), &sid, &e), &e);
			assert_int_equal(sid, 7);
		}
	}
	static const char *const bad[] = { "f1", "1f", "21", "ff01", "ff00f0" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		AUTO(buf) struct buf b = hex(bad[i]);
		struct slice rest = buf_slice(&b), out;
		uint32_t got;
		assert_int_equal(framing_next(&rest, &got, &out, &e), ERR_PROTOCOL);
	}
}

static void leb128_is_canonical(void **state)
{
	(void)state;
	static const struct {
		uint32_t v;
		const char *hex;
	} rows[] = { { 0, "00" },
		     { 8, "08" },
		     { 0x7f, "7f" },
		     { 0x80, "8001" },
		     { 0xcafef00d, "8de0fbd70c" },
		     { UINT32_MAX, "ffffffff0f" } };
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(buf) struct buf b = hex(rows[i].hex);
		uint8_t out[5];
		uint32_t v;
		assert_int_equal(leb128_put(rows[i].v, out), b.len);
		assert_memory_equal(out, b.p, b.len);
		assert_int_equal(leb128_get(buf_slice(&b), &v), b.len);
		assert_int_equal(v, rows[i].v);
	}
	static const char *const bad[] = { "",           "80",           "8000",
					   "ffffffff10", "808080808001", "ffffffffff" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		AUTO(buf) struct buf b = hex(bad[i]);
		uint32_t v;
		assert_int_equal(leb128_get(buf_slice(&b), &v), 0);
	}
}

static void keys_hash_to_the_vbuckets_of_the_server(void **state)
{
	(void)state;
	assert_int_equal(wire_vbucket_of(SLICE_LIT("key-0"), 1024), 491);
	assert_int_equal(wire_vbucket_of(SLICE_LIT("key-0"), 64), 43);
	assert_int_equal(wire_vbucket_of(SLICE_LIT("hello"), 1024), 528);
	assert_int_equal(wire_vbucket_of(SLICE_LIT("hello"), 64), 16);
	assert_int_equal(wire_vbucket_of(SLICE_LIT("user::1"), 1024), 997);
	assert_int_equal(wire_vbucket_of(SLICE_LIT("user::1"), 64), 37);
}

static void extended_attributes_split_from_the_body(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	AUTO(buf)
	struct buf b = hex("0000001a 00000016 6362676f 00 7b22636865636b706f696e74223a317d 00");
	struct slice xattrs, body, name, value;
	assert_ok(wire_split_xattrs(buf_slice(&b), &xattrs, &body, &e), &e);
	assert_int_equal(body.len, 0);
	assert_int_equal(wire_xattr_next(&xattrs, &name, &value, &e), 1);
	assert_true(slice_is(name, "cbgo"));
	assert_true(slice_is(value, "{\"checkpoint\":1}"));
	assert_int_equal(wire_xattr_next(&xattrs, &name, &value, &e), 0);
	for (size_t cut = 0; cut < b.len; cut++) {
		struct slice s = { b.p, cut };
		assert_int_equal(wire_split_xattrs(s, &xattrs, &body, &e), ERR_FORMAT);
	}
}

/* What a deletion carries is attributes. */
static void a_deletion_may_have_extended_attributes(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct wire_doc d;
	AUTO(buf)
	struct buf b = hex("80580003 15040028 00000036 00000101 18ea2d30c9cc0000"
			   "0000000000001280 0000000000000003 6b020f40 00 006b31"
			   "0000001a 00000016 6362676f 00 7b22636865636b706f696e74223a317d 00");
	struct packet p = golden(&b);
	struct slice xattrs, body, name, value;
	assert_ok(wire_doc_parse(&p, true, &d, &e), &e);
	assert_int_equal(d.datatype, DATATYPE_XATTR);
	assert_ok(wire_split_xattrs(d.value, &xattrs, &body, &e), &e);
	assert_int_equal(wire_xattr_next(&xattrs, &name, &value, &e), 1);
	assert_true(slice_is(name, "cbgo") && body.len == 0);
}

static void checkpoint_requests_have_the_bytes_that_go_dcp_sends(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	AUTO(buf) struct buf b = BUF_INIT;
	wire_xattr_upsert(&b, 40, 5, SLICE_LIT("k"), SLICE_LIT("cbgo"),
			  SLICE_LIT("{\"checkpoint\":1}"), 0, 0);
	assert_bytes(&b, "80d10001 00000028 0000001d 00000005 0000000000000000 6b"
			 "c8 04 0004 00000010 6362676f 7b22636865636b706f696e74223a317d");
	buf_reset(&b);
	wire_xattr_get(&b, 40, 5, SLICE_LIT("k"), SLICE_LIT("cbgo"));
	assert_bytes(&b, "80d00001 00000028 00000009 00000005 0000000000000000 6b"
			 "c5 04 0004 6362676f");
	AUTO(buf)
	struct buf reply = hex("81d00000 00000000 00000016 00000005 0000000000000001"
			       "0000 00000010 7b22636865636b706f696e74223a317d");
	struct packet p = golden(&reply);
	struct slice json;
	assert_int_equal(wire_xattr_get_parse(&p, &json, &e), 1);
	assert_true(slice_is(json, "{\"checkpoint\":1}"));
	AUTO(buf)
	struct buf none = hex("81d00000 000000cc 00000006 00000005 0000000000000001"
			      "00c0 00000000");
	p = golden(&none);
	assert_int_equal(wire_xattr_get_parse(&p, &json, &e), 0);
}

static void requests_have_the_documented_layout(void **state)
{
	(void)state;
	AUTO(buf) struct buf b = BUF_INIT;
	wire_stream_req(&b, 40, 0x101,
			&(struct wire_stream_req){ .flags = STREAM_ACTIVE_ONLY,
						   .start = 5,
						   .end = UINT64_MAX,
						   .uuid = 0xb16e4367c140,
						   .snap_start = 4,
						   .snap_end = 6,
						   .json = SLICE_LIT("{\"uid\":\"0\"}") });
	assert_bytes(&b, "80530000 30000028 0000003b 00000101 0000000000000000"
			 "00000010 00000000 0000000000000005 ffffffffffffffff 0000b16e4367c140"
			 "0000000000000004 0000000000000006 7b22756964223a2230227d");
	buf_reset(&b);
	wire_dcp_open(&b, 4, SLICE_LIT("a:b"), DCP_OPEN_PRODUCER | DCP_OPEN_DELETE_TIMES);
	assert_bytes(
		&b,
		"80500003 08000000 0000000b 00000004 0000000000000000 00000000 00000021 613a62");
	buf_reset(&b);
	wire_buffer_ack(&b, 0x1234);
	assert_bytes(&b, "805d0000 04000000 00000004 00000000 0000000000000000 00001234");
	buf_reset(&b);
	wire_get_all_vb_seqnos(&b, 1, 1, true, 8);
	assert_bytes(&b, "80480000 08000000 00000008 00000001 0000000000000000 00000001 00000008");
	buf_reset(&b);
	wire_observe_seqno(&b, 40, 2, 0xb16e4367c140);
	assert_bytes(&b, "80910000 00000028 00000008 00000002 0000000000000000 0000b16e4367c140");
	buf_reset(&b);
	wire_noop_response(&b, &(struct packet){ .opcode = OP_DCP_NOOP, .opaque = 77 });
	assert_bytes(&b, "815c0000 00000000 00000000 0000004d 0000000000000000");
}

/* What belongs to one stream alone joins the object that says what to stream. */
static void a_stream_request_carries_its_id_and_the_purge_it_has_seen(void **state)
{
	(void)state;
	static const struct {
		struct wire_stream_req r;
		const char *value;
	} cases[] = {
		{ { .json = SLICE_LIT("{\"uid\":\"0\"}") }, "{\"uid\":\"0\"}" },
		{ { .json = SLICE_LIT("{\"uid\":\"0\"}"), .sid = 7 }, "{\"uid\":\"0\",\"sid\":7}" },
		{ { .json = SLICE_LIT("{\"scope\":\"8\"}"),
		    .sid = 65535,
		    .knows_purge = true,
		    .purge_seqno = 81021 },
		  "{\"scope\":\"8\",\"sid\":65535,\"purge_seqno\":\"81021\"}" },
		{ { .json = SLICE_LIT("{\"collections\":[\"0\"]}"),
		    .knows_purge = true,
		    .purge_seqno = UINT64_MAX },
		  "{\"collections\":[\"0\"],\"purge_seqno\":\"18446744073709551615\"}" },
		{ { .sid = 1 }, "{\"sid\":1}" },
		{ { .knows_purge = true }, "{\"purge_seqno\":\"0\"}" },
		{ { .flags = 0 }, "" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(buf) struct buf b = BUF_INIT;
		wire_stream_req(&b, 1, 2, &cases[i].r);
		struct packet p = golden(&b);
		assert_true(slice_is(p.value, cases[i].value));
		assert_int_equal(p.extras.len, 48);
	}
}

static void packets_split_at_any_byte_wait_for_the_rest(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	AUTO(buf)
	struct buf b = hex("80580003 15000028 00000018 00000101 18ea2d30c9cc0000"
			   "0000000000001280 0000000000000003 6b020f40 00 006b31");
	struct packet p;
	size_t need;
	for (size_t cut = 0; cut < b.len; cut++) {
		assert_int_equal(packet_parse(slice_of(b.p, cut), PACKET_BODY_MAX, &p, &need, &e),
				 0);
		assert_int_equal(need, cut < PACKET_HEADER ? PACKET_HEADER : b.len);
	}
}

static void broken_headers_are_protocol_errors(void **state)
{
	(void)state;
	static const struct {
		const char *hex;
		int code;
	} rows[] = {
		{ "99", ERR_PROTOCOL },
		{ "80570003 1f010028 00000010 00000101 18ea2d30c9c90000", ERR_PROTOCOL },
		{ "80570003 1f010028 ffffffff 00000101 18ea2d30c9c90000", ERR_LIMIT },
		{ "8057ffff 1f010028 00000029 00000101 18ea2d30c9c90000", ERR_PROTOCOL },
		{ "0857ffff 1f010028 00000029 00000101 18ea2d30c9c90000", ERR_PROTOCOL },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = ERR_INIT;
		struct packet p;
		AUTO(buf) struct buf b = hex(rows[i].hex);
		assert_int_equal(packet_parse(buf_slice(&b), PACKET_BODY_MAX, &p, NULL, &e),
				 rows[i].code);
	}
}

static void extras_of_a_wrong_size_are_protocol_errors(void **state)
{
	(void)state;
	static const struct {
		uint8_t opcode;
		size_t good;
	} rows[] = {
		{ OP_DCP_MUTATION, 31 },      { OP_DCP_DELETION, 21 },
		{ OP_DCP_EXPIRATION, 20 },    { OP_DCP_SNAPSHOT_MARKER, 20 },
		{ OP_DCP_SEQNO_ADVANCED, 8 }, { OP_DCP_OSO_SNAPSHOT, 4 },
		{ OP_DCP_STREAM_END, 4 },
	};
	uint8_t zeros[64] = { 0 };
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		for (size_t len = 0; len < rows[i].good; len++) {
			struct err e = ERR_INIT;
			struct packet p = { .magic = MAGIC_REQUEST,
					    .opcode = rows[i].opcode,
					    .extras = slice_of(zeros, len),
					    .key = SLICE_LIT("\0k") };
			struct wire_doc d;
			struct wire_marker m;
			uint64_t seqno;
			uint32_t reason;
			bool start;
			int rc = 1;
			if (rows[i].opcode == OP_DCP_DELETION && len == 18)
				continue;
			switch (rows[i].opcode) {
			case OP_DCP_SNAPSHOT_MARKER: rc = wire_marker_parse(&p, &m, &e); break;
			case OP_DCP_SEQNO_ADVANCED:
				rc = wire_seqno_advanced_parse(&p, &seqno, &e);
				break;
			case OP_DCP_OSO_SNAPSHOT: rc = wire_oso_parse(&p, &start, &e); break;
			case OP_DCP_STREAM_END: rc = wire_stream_end_parse(&p, &reason, &e); break;
			default: rc = wire_doc_parse(&p, true, &d, &e); break;
			}
			assert_int_equal(rc, ERR_PROTOCOL);
		}
}

static void the_sequence_numbers_of_all_vbuckets_parse(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	AUTO(buf) struct buf b = hex("0028 0000000000001286 0029 0000000000000000");
	struct packet p = { .value = buf_slice(&b) };
	size_t n;
	uint16_t vb;
	uint64_t seqno;
	assert_ok(wire_seqnos_count(&p, &n, &e), &e);
	assert_int_equal(n, 2);
	wire_seqnos_at(&p, 0, &vb, &seqno);
	assert_true(vb == 40 && seqno == 0x1286);
	p.value.len = 15;
	assert_int_equal(wire_seqnos_count(&p, &n, &e), ERR_PROTOCOL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(hello_reply_lists_the_accepted_features),
		cmocka_unit_test(empty_replies_parse),
		cmocka_unit_test(failover_logs_and_rollbacks_parse),
		cmocka_unit_test(snapshot_markers_of_every_version_parse),
		cmocka_unit_test(mutations_parse_in_and_out_of_collections),
		cmocka_unit_test(a_compressed_mutation_inflates),
		cmocka_unit_test(deletions_and_expirations_parse),
		cmocka_unit_test(stream_ids_travel_in_framing_extras),
		cmocka_unit_test(framing_extras_use_escapes_for_what_exceeds_fourteen),
		cmocka_unit_test(leb128_is_canonical),
		cmocka_unit_test(keys_hash_to_the_vbuckets_of_the_server),
		cmocka_unit_test(extended_attributes_split_from_the_body),
		cmocka_unit_test(a_deletion_may_have_extended_attributes),
		cmocka_unit_test(checkpoint_requests_have_the_bytes_that_go_dcp_sends),
		cmocka_unit_test(requests_have_the_documented_layout),
		cmocka_unit_test(a_stream_request_carries_its_id_and_the_purge_it_has_seen),
		cmocka_unit_test(packets_split_at_any_byte_wait_for_the_rest),
		cmocka_unit_test(broken_headers_are_protocol_errors),
		cmocka_unit_test(extras_of_a_wrong_size_are_protocol_errors),
		cmocka_unit_test(the_sequence_numbers_of_all_vbuckets_parse),
	};
	return cmocka_run_group_tests_name("dcp/wire", tests, NULL, NULL);
}
