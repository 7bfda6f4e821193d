#include "tests/test.h"

#include "dcp/collections.h"
#include "dcp/event.h"

#include <stdio.h>
#include <string.h>

static size_t hex(const char *text, uint8_t *out)
{
	size_t n = 0;
	for (; *text; text += 2) {
		unsigned byte;
		while (*text == ' ')
			text++;
		assert_int_equal(sscanf(text, "%2x", &byte), 1);
		out[n++] = (uint8_t)byte;
	}
	return n;
}

static int parse(const char *text, uint64_t *seqno, struct dcp_system *s, struct slice *name,
		 struct err *e)
{
	static uint8_t bytes[256];
	struct packet p;
	size_t n = hex(text, bytes);
	assert_int_equal(packet_parse(slice_of(bytes, n), PACKET_BODY_MAX, &p, NULL, e), 1);
	return system_event_parse(&p, seqno, s, name, e);
}

static void system_events_of_the_fixed_versions_parse(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct dcp_system s;
	struct slice name;
	uint64_t seqno;
	assert_int_equal(
		parse("805f00030d0000280000002400000101 0000000000000000"
		      "000000000000127d000000000174746c 0000000000000005000000000000000a0000003c",
		      &seqno, &s, &name, &e),
		1);
	assert_true(seqno == 0x127d && s.kind == DCP_COLLECTION_CREATED && s.manifest_uid == 5);
	assert_true(s.collection == 10 && s.scope == 0 && s.has_ttl && s.max_ttl == 60);
	assert_true(slice_is(name, "ttl"));
	assert_int_equal(parse("805f00000d0000280000001d00000101 0000000000000000"
			       "00000000000012840000000100 0000000000000005 0000000c 0000000d",
			       &seqno, &s, &name, &e),
			 1);
	assert_true(s.kind == DCP_COLLECTION_DROPPED && s.scope == 12 && s.collection == 13);
	assert_int_equal(name.len, 0);
	assert_int_equal(parse("805f00000d0000280000001900000101 0000000000000000"
			       "00000000000012850000000400 0000000000000006 0000000c",
			       &seqno, &s, &name, &e),
			 1);
	assert_true(s.kind == DCP_SCOPE_DROPPED && s.manifest_uid == 6 && s.scope == 12);
	assert_int_equal(parse("805f00060d0000280000002300000101 0000000000000000"
			       "00000000000012460000000000 6f7264657273"
			       "0000000000000000 00000000 00000008",
			       &seqno, &s, &name, &e),
			 1);
	assert_true(s.kind == DCP_COLLECTION_CREATED && s.scope == 0 && s.collection == 8);
	assert_true(s.manifest_uid == 0 && !s.has_ttl && slice_is(name, "orders"));
	assert_int_equal(parse("805f00040d0000280000001d00000101 0000000000000000"
			       "00000000000012470000000300 73686f70 0000000000000007 0000000e",
			       &seqno, &s, &name, &e),
			 1);
	assert_true(s.kind == DCP_SCOPE_CREATED && s.manifest_uid == 7 && s.scope == 14);
	assert_true(slice_is(name, "shop"));
}

static void system_events_as_flatbuffers_parse(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct dcp_system s;
	struct slice name;
	uint64_t seqno;
	assert_int_equal(parse("805f00060d0000280000003f00000101 0000000000000000"
			       "0000000000001284 00000000 02 6f7264657273"
			       "1400000010000c00000000000400000000000800100000000800000004000000"
			       "060000006f72646572730000",
			       &seqno, &s, &name, &e),
			 1);
	assert_true(s.kind == DCP_COLLECTION_CREATED && s.collection == 8 && s.scope == 0);
	assert_false(s.has_ttl);
	assert_true(slice_is(name, "orders"));
}

/* A batch's events are written over those of an earlier batch. */
static void a_system_event_has_nothing_of_the_document_before_it(void **state)
{
	(void)state;
	uint8_t value[20] = { 0 }, extras[13] = { [7] = 9 };
	struct packet p = { .opcode = OP_DCP_SYSTEM_EVENT,
			    .extras = slice_of(extras, 13),
			    .key = SLICE_LIT("orders"),
			    .value = slice_of(value, 16) };
	struct dcp_event ev = { .kind = DCP_MUTATION,
				.datatype = 5,
				.rev = 3,
				.cas = 4,
				.expiry = 6,
				.value = SLICE_LIT("{}"),
				.xattrs = SLICE_LIT("x") };
	uint64_t seqno;
	assert_int_equal(event_of_packet(&p, true, &ev, &seqno), 1);
	assert_true(ev.kind == DCP_SYSTEM && seqno == 9 && slice_is(ev.key, "orders"));
	assert_true(ev.value.len == 0 && ev.xattrs.len == 0 && ev.datatype == 0);
	assert_true(ev.rev == 0 && ev.cas == 0 && ev.expiry == 0);
}

static void damaged_flatbuffers_are_refused_at_every_byte(void **state)
{
	(void)state;
	uint8_t good[64], bytes[64];
	size_t n = hex("1400000010000c00000000000400000000000800100000000800000004000000"
		       "060000006f72646572730000",
		       good);
	uint8_t extras[13] = { 0 };
	extras[12] = 2;
	struct packet p = { .extras = slice_of(extras, 13), .key = SLICE_LIT("orders") };
	struct dcp_system s;
	struct slice name;
	uint64_t seqno;
	for (size_t cut = 0; cut < n - 2; cut++) { /* the last two bytes are padding */
		p.value = slice_of(good, cut);
		assert_int_equal(system_event_parse(&p, &seqno, &s, &name, NULL), ERR_PROTOCOL);
	}
	for (size_t i = 0; i < n; i++)
		for (int v = 0; v < 256; v++) { /* whatever it says, it stays within its bytes */
			memcpy(bytes, good, n);
			bytes[i] = (uint8_t)v;
			p.value = slice_of(bytes, n);
			(void)system_event_parse(&p, &seqno, &s, &name, NULL);
		}
}

static void events_of_newer_servers_only_count(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	uint8_t extras[13] = { [7] = 9, [11] = 77 };
	struct packet p = { .extras = slice_of(extras, 13) };
	struct dcp_system s;
	struct slice name;
	uint64_t seqno;
	assert_int_equal(system_event_parse(&p, &seqno, &s, &name, &e), 0);
	assert_true(seqno == 9);
	extras[11] = 0;
	extras[12] = 9;
	assert_int_equal(system_event_parse(&p, &seqno, &s, &name, &e), 0);
}

static void a_manifest_maps_names_and_ids(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct manifest m;
	assert_ok(manifest_parse(SLICE_LIT("{\"uid\":\"1f\",\"scopes\":["
					   "{\"name\":\"s\",\"uid\":\"9\",\"collections\":["
					   "{\"name\":\"z\",\"uid\":\"8a\",\"maxTTL\":60},{"
					   "\"name\":\"a\",\"uid\":\"b\"}]},"
					   "{\"name\":\"_default\",\"uid\":\"0\",\"collections\":"
					   "[{\"name\":\"_default\",\"uid\":\"0\"}]}]}"),
				 &m, &e),
		  &e);
	assert_true(m.uid == 0x1f && m.n == 3);
	assert_string_equal(manifest_by_id(&m, 0x8a)->name, "z");
	assert_string_equal(manifest_by_id(&m, 0x8a)->scope, "s");
	assert_int_equal(manifest_by_id(&m, 0x8a)->max_ttl, 60);
	assert_int_equal(manifest_by_id(&m, 0)->scope_id, 0);
	assert_null(manifest_by_id(&m, 1));
	assert_int_equal(manifest_by_name(&m, SLICE_LIT("s"), SLICE_LIT("a"))->id, 11);
	assert_null(manifest_by_name(&m, SLICE_LIT("t"), SLICE_LIT("a")));
	uint32_t id;
	assert_ok(manifest_scope_id(&m, SLICE_LIT("s"), &id), &e);
	assert_int_equal(id, 9);
	struct dcp_system made = { .kind = DCP_SCOPE_CREATED, .scope = 20 };
	assert_ok(manifest_apply(&m, &made, SLICE_LIT("new"), &e), &e);
	const char *before = manifest_by_id(&m, 0x8a)->name;
	for (uint32_t i = 0; i < 100; i++) {
		made = (struct dcp_system){ .kind = DCP_COLLECTION_CREATED,
					    .scope = 20,
					    .collection = 1000 - i };
		assert_ok(manifest_apply(&m, &made, SLICE_LIT("c"), &e), &e);
		assert_ok(manifest_apply(&m, &made, SLICE_LIT("c"), &e),
			  &e); /* every vBucket tells it */
	}
	assert_true(m.n == 103);
	assert_string_equal(manifest_by_id(&m, 950)->scope, "new");
	assert_ptr_equal(manifest_by_id(&m, 0x8a)->name, before);
	assert_ok(manifest_scope_id(&m, SLICE_LIT("new"), &id), &e);
	manifest_done(&m);
	static const char *const bad[] = {
		"{}", "{\"uid\":\"g\",\"scopes\":[]}", "{\"uid\":\"1\",\"scopes\":[3]}",
		"{\"uid\":\"1\",\"scopes\":[{\"name\":\"s\"}]}",
		"{\"uid\":\"1\",\"scopes\":[{\"name\":\"s\",\"uid\":\"1\",\"collections\":[1]}]}"
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(manifest_parse(slice_str(bad[i]), &m, &e), ERR_PROTOCOL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(system_events_of_the_fixed_versions_parse),
		cmocka_unit_test(system_events_as_flatbuffers_parse),
		cmocka_unit_test(a_system_event_has_nothing_of_the_document_before_it),
		cmocka_unit_test(damaged_flatbuffers_are_refused_at_every_byte),
		cmocka_unit_test(events_of_newer_servers_only_count),
		cmocka_unit_test(a_manifest_maps_names_and_ids),
	};
	return cmocka_run_group_tests_name("dcp/collections", tests, NULL, NULL);
}
