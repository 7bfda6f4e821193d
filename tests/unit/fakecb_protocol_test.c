/* The simulated cluster says byte for byte what a server 7.2.9 said: the captured vectors of the protocol's reference.
 *
 * The history that was captured is written again, with the same sequence numbers, revisions, CAS values and times, and
 * read through a bare socket. src/dcp has no part in it.
 */
#include "tests/fakecb_wire.h"

enum { VB = 40, CAPTURED_FROM = 4730, CAPTURED_TO = 4742 };

static const struct fake_branch captured_log[] = {
	{ UINT64_C(0x0000b16e4367c140), 0x1245 },
	{ UINT64_C(0x00003adddfa1a7c0), 3 },
	{ UINT64_C(0x0000f9900b895ce1), 0 },
};

#define LOG \
	"0000b16e4367c140 0000000000001245 00003adddfa1a7c0 0000000000000003 " \
	"0000f9900b895ce1 0000000000000000"

static void pad_to(struct fake *f, uint64_t seqno)
{
	while (fake_high_seqno(f, VB) < seqno)
		(void)fake_set(f, VB, 0, "pad", SLICE_LIT("."));
}

static struct fake *captured_cluster(void)
{
	struct fake *f = fake_start(&(struct fake_options){ .nodes = 2, .vbuckets = 64 });
	char big[209];
	assert_non_null(f);
	fake_set_failover_log(f, VB, captured_log, 3);
	fake_number_collections(f, UINT64_MAX, 8, 8);
	(void)fake_create_collection(f, "_default",
				     "orders"); /* manifest 0: the first of two in one */
	fake_number_collections(f, 2, 0xc, 0xd);
	(void)fake_create_scope(f, "gone");
	(void)fake_create_collection(f, "gone", "too");
	(void)fake_set(f, VB, 8, "o1", SLICE_LIT("{}"));
	(void)fake_set(f, VB, 0, "k1", SLICE_LIT("{}"));
	(void)fake_set(f, VB, 0, "k1", SLICE_LIT("{}"));
	(void)fake_set(f, VB, 0, "k2", SLICE_LIT("{}"));
	pad_to(f, 0x127c);
	fake_number_collections(f, 4, 0xe, 0xa);
	(void)fake_create_collection_as(f, &(struct fake_collection){ "_default", "ttl", true, 60,
								      false });
	pad_to(f, 0x127e);
	fake_stamp_next(f, UINT64_C(0x18ea2d30c9c90000), 0);
	assert_int_equal(fake_set(f, VB, 0, "k2", SLICE_LIT("{\"b\":2}")), 0x127f);
	fake_stamp_next(f, UINT64_C(0x18ea2d30c9cc0000), 0x6b020f40);
	(void)fake_delete(f, VB, 0, "k1");
	(void)fake_set(f, VB, 0, "e1", SLICE_LIT("{}"));
	pad_to(f, 0x1282);
	(void)snprintf(big, sizeof(big), "{\"p\":\"%0200d\"}", 0);
	memset(big + 6, 'x', 200);
	fake_stamp_next(f, UINT64_C(0x18ea2d30ca0d0000), 0);
	(void)fake_set(f, VB, 0, "big", slice_of(big, 208));
	assert_true(fake_drop_scope(f, "gone"));
	fake_stamp_next(f, UINT64_C(0x18ea2d3141960000), 0x6b020f42);
	assert_int_equal(fake_expire(f, VB, 0, "e1"), CAPTURED_TO);
	return f;
}

/* The node of the captured vBucket, of two. */
enum { NODE = 1 };

static struct w_stream from_captured(const char *value)
{
	return (struct w_stream){ .vb = VB,
				  .opaque = 0x101,
				  .start = CAPTURED_FROM,
				  .end = W_ENDLESS,
				  .uuid = captured_log[0].uuid,
				  .snap_start = CAPTURED_FROM,
				  .snap_end = CAPTURED_FROM,
				  .value = value };
}

static void a_session_answers_what_a_server_answered(void **state)
{
	(void)state;
	struct fake *f = captured_cluster();
	struct wire w = w_connect(fake_kv_port(f, NODE));
	w_send(&w, (struct w_request){ .opcode = W_HELLO,
				       .opaque = 1,
				       .key = "|{\"a\":\"x\",\"i\":\"1/1\"}|",
				       .value = W_ALL_FEATURES "0002" });
	w_expect(&w, "811f0000 00000000 00000012 00000001 0000000000000000"
		     "0004 0006 0007 0008 000a 000b 000c 0010 0012");
	assert_int_equal(w_ask(&w, (struct w_request){ .opcode = W_AUTH,
						       .key = "|PLAIN|",
						       .value = "00|Administrator|00|password|" }),
			 0);
	w_send(&w, (struct w_request){ .opcode = W_SELECT, .opaque = 3, .key = "|default|" });
	w_expect(&w, "81890000 00000000 00000000 00000003 0000000000000000");
	w_send(&w, (struct w_request){ .opcode = W_OPEN,
				       .opaque = 4,
				       .extras = "00000000 00000021",
				       .key = "|svc:1|" });
	w_expect(&w, "81500000 00000000 00000000 00000004 0000000000000000");
	w_send(&w, (struct w_request){ .opcode = W_CONTROL,
				       .opaque = 5,
				       .key = "|enable_noop|",
				       .value = "|true|" });
	w_expect(&w, "815e0000 00000000 00000000 00000005 0000000000000000");
	w_send(&w, (struct w_request){ .opcode = W_CONTROL,
				       .opaque = 7,
				       .key = "|no_such_key|",
				       .value = "|true|" });
	w_expect(&w, "815e0000 00000004 00000000 00000007 0000000000000000");
	w_send(&w, (struct w_request){ .opcode = W_LOG, .vb = VB, .opaque = 8 });
	w_expect(&w, "81540000 00000000 00000030 00000008 0000000000000000" LOG);
	w_close(&w);
	fake_stop(f);
}

static void stream_requests_are_answered_as_by_a_server(void **state)
{
	(void)state;
	struct fake *f = captured_cluster();
	struct wire w = w_dcp(f, NODE, W_ALL_FEATURES, 0x21);
	struct w_stream s = from_captured(NULL);
	s.opaque = 0x102;
	s.uuid = 1;
	w_stream_send(&w, s);
	w_expect(&w, "81530000 00000023 00000008 00000102 0000000000000000 0000000000000000");
	s.opaque = 0x103;
	s.vb = 0; /* the other node's */
	w_stream_send(&w, s);
	struct slice answer = w_next(&w);
	char head[80];
	(void)snprintf(head, sizeof(head), "81530000 00010007 %08x 00000103 0000000000000000",
		       (unsigned)answer.len - 24);
	w_equal(slice_of(answer.p, 24), head);
	w_equal(slice_of(answer.p + 24, 7), "|{\"rev\":|");
	w_stream_send(&w, from_captured(NULL));
	w_expect(&w, "81530000 00000000 00000030 00000101 0000000000000000" LOG);
	w_send(&w, (struct w_request){ .opcode = W_CLOSE, .vb = VB, .opaque = 0x104 });
	w_until(&w, W_CLOSE, 0);
	w_equal(buf_slice(&w.got), "81520000 00000000 00000000 00000104 0000000000000000");
	w_close(&w);
	fake_stop(f);
}

static void a_stream_is_byte_for_byte_the_captured_one(void **state)
{
	(void)state;
	struct fake *f = captured_cluster();
	struct wire w = w_dcp(f, NODE, W_ALL_FEATURES, 0x21);
	assert_int_equal(w_control(&w, "enable_expiry_opcode", "true"), 0);
	assert_int_equal(w_stream(&w, from_captured("|{\"uid\":\"0\"}|")), 0);
	w_expect(&w, "80560000 14000028 00000014 00000101 0000000000000000"
		     "000000000000127a 0000000000001286 00000006");
	w_equal(w_until(&w, W_SYSTEM, 0x127d),
		"805f0003 0d000028 00000024 00000101 0000000000000000"
		"000000000000127d 00000000 01 74746c"
		"0000000000000005 00000000 0000000a 0000003c");
	w_equal(w_until(&w, W_MUTATION, 0x127f),
		"80570003 1f010028 00000029 00000101 18ea2d30c9c90000"
		"000000000000127f 0000000000000002 02000000 00000000 00000000 0000 02"
		"006b32 7b2262223a327d");
	w_equal(w_until(&w, W_DELETION, 0x1280),
		"80580003 15000028 00000018 00000101 18ea2d30c9cc0000"
		"0000000000001280 0000000000000003 6b020f40 00 006b31");
	w_equal(w_until(&w, W_SYSTEM, 0x1284),
		"805f0000 0d000028 0000001d 00000101 0000000000000000"
		"0000000000001284 00000001 00"
		"0000000000000005 0000000c 0000000d");
	w_equal(w_until(&w, W_SYSTEM, 0x1285),
		"805f0000 0d000028 00000019 00000101 0000000000000000"
		"0000000000001285 00000004 00"
		"0000000000000006 0000000c");
	w_equal(w_until(&w, W_EXPIRATION, 0x1286),
		"80590003 14000028 00000017 00000101 18ea2d3141960000"
		"0000000000001286 0000000000000005 6b020f42 006531");
	w_close(&w);
	fake_stop(f);
}

static void a_compressed_mutation_is_the_captured_one(void **state)
{
	(void)state;
	struct fake *f = captured_cluster();
	struct wire w = w_dcp(f, NODE, W_ALL_FEATURES, 0x21);
	struct w_stream s = from_captured(NULL);
	assert_int_equal(w_control(&w, "force_value_compression", "true"), 0);
	s.opaque = 7;
	assert_int_equal(w_stream(&w, s), 0);
	w_equal(w_until(&w, W_MUTATION, 0x1283),
		"80570004 1f030028 0000003b 00000007 18ea2d30ca0d0000"
		"0000000000001283 0000000000000004 02000000 00000000 00000000 0000 02"
		"00626967"
		"d001187b2270223a2278fe0100fe0100fe01000d0104227d");
	w_close(&w);
	fake_stop(f);
}

static void without_delete_times_deletions_and_expirations_are_of_version_1(void **state)
{
	(void)state;
	struct fake *f = captured_cluster();
	struct wire w = w_dcp(f, NODE, W_ALL_FEATURES, 0x01);
	assert_int_equal(w_control(&w, "enable_expiry_opcode", "true"), 0);
	assert_int_equal(w_stream(&w, from_captured(NULL)), 0);
	w_equal(w_until(&w, W_DELETION, 0x1280),
		"80580003 12000028 00000015 00000101 18ea2d30c9cc0000"
		"0000000000001280 0000000000000003 0000 006b31");
	w_equal(w_until(&w, W_DELETION, 0x1286),
		"80580003 12000028 00000015 00000101 18ea2d3141960000"
		"0000000000001286 0000000000000005 0000 006531");
	w_close(&w);
	fake_stop(f);
}

static void collections_come_as_version_0_or_as_flatbuffers(void **state)
{
	(void)state;
	struct fake *f = captured_cluster();
	struct wire w = w_dcp(f, NODE, W_ALL_FEATURES, 0x21);
	struct w_stream s = { .vb = VB, .opaque = 0x101, .end = W_ENDLESS };
	assert_int_equal(w_stream(&w, s), 0);
	(void)w_until(&w, W_SYSTEM, 1);
	w_equal(w_part(&w, 'x'), "0000000000000001 00000000 00");
	w_equal(w_part(&w, 'k'), "6f7264657273");
	w_equal(w_part(&w, 'v'), "0000000000000000 00000000 00000008");
	while (!slice_is(w_part(&w, 'k'), "\010o1"))
		(void)w_until(&w, W_MUTATION, 0);
	w_equal(w_part(&w, 'k'), "086f31");
	w_close(&w);
	w = w_dcp(f, NODE, W_ALL_FEATURES, 0x21);
	assert_int_equal(w_control(&w, "flatbuffers_system_events", "false"), 4);
	assert_int_equal(w_control(&w, "flatbuffers_system_events", "true"), 0);
	assert_int_equal(w_stream(&w, s), 0);
	(void)w_until(&w, W_SYSTEM, 1);
	w_equal(w_part(&w, 'x'), "0000000000000001 00000000 02");
	w_equal(w_part(&w, 'k'), "6f7264657273");
	w_equal(w_part(&w, 'v'),
		"1400000010000c00000000000400000000000800100000000800000004000000060000006f7264"
		"6572730000");
	w_close(&w);
	fake_stop(f);
}

static void messages_with_a_stream_id_carry_it_in_front(void **state)
{
	(void)state;
	struct fake *f = fake_start(&(struct fake_options){ .vbuckets = 64 });
	struct wire w = w_dcp(f, 0, W_ALL_FEATURES, 0x21);
	struct w_stream s = { .vb = 20, .opaque = 0x101, .end = W_ENDLESS };
	(void)fake_set(f, 20, 0, "a", SLICE_LIT("1"));
	s.value = "|{\"sid\":7}|";
	assert_int_equal(w_stream(&w, s), 0x8d); /* not asked for */
	assert_int_equal(w_control(&w, "enable_stream_id", "true"), 0);
	s.value = NULL;
	assert_int_equal(w_stream(&w, s), 0x8d); /* missing */
	s.value = "|{\"sid\":7}|";
	assert_int_equal(w_stream(&w, s), 0);
	w_expect(&w, "08560300 14000014 00000017 00000101 0000000000000000 220007"
		     "0000000000000000 0000000000000001 00000006");
	w_close(&w);
	fake_stop(f);
}

static void observing_a_sequence_number_has_two_formats(void **state)
{
	(void)state;
	struct fake *f = captured_cluster();
	struct wire w = w_login(f, NODE, W_ALL_FEATURES);
	fake_persist(f, VB, 0, UINT64_MAX);
	assert_int_equal(w_ask(&w, (struct w_request){ .opcode = W_OBSERVE,
						       .vb = VB,
						       .value = "0000b16e4367c140" }),
			 0);
	w_equal(w_part(&w, 'v'), "00 0028 0000b16e4367c140 0000000000001286 0000000000001286");
	w_close(&w);
	fake_stop(f);

	f = fake_start(&(struct fake_options){ .vbuckets = 64 });
	const struct fake_branch log[] = { { UINT64_C(0x639fe3699b64), 7 },
					   { UINT64_C(0xa5473e43126e), 0 } };
	for (int i = 0; i < 7; i++)
		(void)fake_set(f, 20, 0, "a", SLICE_LIT("1"));
	fake_persist(f, 20, 0, UINT64_MAX);
	fake_set_failover_log(f, 20, log, 2);
	w = w_login(f, 0, W_ALL_FEATURES);
	assert_int_equal(w_ask(&w, (struct w_request){ .opcode = W_OBSERVE,
						       .vb = 20,
						       .value = "0000a5473e43126e" }),
			 0);
	w_equal(w_part(&w, 'v'), "01 0014 0000639fe3699b64 0000000000000007 0000000000000007"
				 "0000a5473e43126e 0000000000000007");
	assert_int_equal(w_ask(&w, (struct w_request){ .opcode = W_OBSERVE,
						       .vb = 20,
						       .value = "0000000000000001" }),
			 1);
	w_close(&w);
	fake_stop(f);
}

static void extended_attributes_stand_before_the_body(void **state)
{
	(void)state;
	struct fake *f = fake_start(&(struct fake_options){ .vbuckets = 64 });
	struct wire w = w_login(f, 0, W_ALL_FEATURES);
	struct w_stream s = { .vb = 5, .end = W_ENDLESS };
	/* As go-dcp saves a checkpoint: refused, the empty document, again. */
	struct w_request save = { .opcode = W_SUBDOC,
				  .vb = 5,
				  .key = "00 |ckpt|",
				  .value = "c8 04 0004 00000010 |cbgo| |{\"checkpoint\":1}|" };
	assert_int_equal(w_ask(&w, save), 1);
	assert_int_equal(w_ask(&w, (struct w_request){ .opcode = W_SET,
						       .vb = 5,
						       .extras = "03000800 00000000",
						       .key = "00 |ckpt|" }),
			 0);
	assert_int_equal(w_ask(&w, save), 0);
	assert_int_equal(w_part(&w, 'x').len, 16);
	w_close(&w);
	w = w_dcp(f, 0, W_ALL_FEATURES, 0x25);
	assert_int_equal(w_stream(&w, s), 0);
	(void)w_until(&w, W_MUTATION, 2);
	assert_int_equal(w.got.p[5], 4);
	w_equal(w_part(&w, 'v'),
		"0000001a 00000016 6362676f 00 7b22636865636b706f696e74223a317d 00");
	w_close(&w);
	w = w_dcp(f, 0, W_ALL_FEATURES, 0x21);
	assert_int_equal(w_stream(&w, s), 0);
	(void)w_until(&w, W_MUTATION, 2);
	assert_int_equal(w.got.p[5], 0);
	assert_int_equal(w_part(&w, 'v').len, 0);
	w_close(&w);
	fake_stop(f);
}

static void collection_ids_in_keys_are_leb128(void **state)
{
	(void)state;
	struct fake *f = fake_start(&(struct fake_options){ .vbuckets = 64 });
	static const struct {
		uint32_t id;
		const char *key;
	} cases[] = { { 8, "08 |k|" },
		      { 0x7f, "7f |k|" },
		      { 0x80, "8001 |k|" },
		      { 0xcafef00d, "8de0fbd70c |k|" } };
	struct wire w = w_dcp(f, 0, W_ALL_FEATURES, 0x21);
	struct w_stream s = { .vb = 1, .end = W_ENDLESS };
	assert_int_equal(w_stream(&w, s), 0);
	(void)fake_set(f, 1, 0, "k", SLICE_LIT("1"));
	(void)w_until(&w, W_MUTATION, 0);
	w_equal(w_part(&w, 'k'), "00 |k|");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char name[8];
		(void)snprintf(name, sizeof(name), "c%zu", i);
		fake_number_collections(f, i, 8, cases[i].id);
		assert_int_equal(fake_create_collection(f, "_default", name), cases[i].id);
		(void)fake_set(f, 1, cases[i].id, "k", SLICE_LIT("1"));
		(void)w_until(&w, W_MUTATION, 0);
		w_equal(w_part(&w, 'k'), cases[i].key);
	}
	w_close(&w);
	fake_stop(f);
}

static void keys_belong_to_the_vbuckets_that_servers_put_them_in(void **state)
{
	(void)state;
	static const struct {
		const char *key;
		unsigned of_1024, of_64;
	} cases[] = { { "key-0", 491, 43 }, { "hello", 528, 16 }, { "user::1", 997, 37 } };
	struct fake *big = fake_start(&(struct fake_options){ .vbuckets = 1024 });
	struct fake *small = fake_start(&(struct fake_options){ .vbuckets = 64 });
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t len = strlen(cases[i].key);
		assert_int_equal(fake_vb_of_key(big, cases[i].key, len), cases[i].of_1024);
		assert_int_equal(fake_vb_of_key(small, cases[i].key, len), cases[i].of_64);
	}
	fake_stop(big);
	fake_stop(small);
}

static void scram_sha256_computes_what_a_server_computed(void **state)
{
	(void)state;
	struct fake *f = fake_start(&(struct fake_options){
		.user = "user",
		.password = "123456",
		.scram_nonce = "5bd23b7072090977",
		.scram_salt = "qkuqDVsIla1Z481SMdnlPc9AqsgQ5I3A/o//xcj6JWs=" });
	struct w_request first = { .opcode = W_AUTH,
				   .key = "|SCRAM-SHA256|",
				   .value = "|n,,n=user,r=0123456789abcdef|" };
	struct wire w = w_connect(fake_kv_port(f, 0));
	assert_int_equal(w_ask(&w, first), 0x21);
	w_equal(w_part(&w, 'v'), "|r=0123456789abcdef5bd23b7072090977,"
				 "s=qkuqDVsIla1Z481SMdnlPc9AqsgQ5I3A/o//xcj6JWs=,i=10|");
	assert_int_equal(
		w_ask(&w, (struct w_request){ .opcode = W_STEP,
					      .key = "|SCRAM-SHA256|",
					      .value = "|c=biws,r=0123456789abcdef5bd23b7072090977,"
						       "p=N4Nj2rR8IthUPvaKy/CZMrutxTjP9rxwPJSa/"
						       "ANmW90=|" }),
		0);
	w_equal(w_part(&w, 'v'), "|v=pe6HQqKcvhkuqiOZRWO35tp56+F/YxEYtLe9/+8RKqY=|");
	w_close(&w);
	w = w_connect(fake_kv_port(f, 0));
	assert_int_equal(w_ask(&w, first), 0x21);
	assert_int_equal(
		w_ask(&w, (struct w_request){ .opcode = W_STEP,
					      .key = "|SCRAM-SHA256|",
					      .value = "|c=biws,r=0123456789abcdef5bd23b7072090977,"
						       "p=A4Nj2rR8IthUPvaKy/CZMrutxTjP9rxwPJSa/"
						       "ANmW90=|" }),
		0x20);
	w_equal(slice_of(w_part(&w, 'v').p, 17), "|{\"error\":{\"ref\":\"|");
	w_close(&w);
	fake_stop(f);
}

/* The Node SDK's nonces have 39 to 87 characters. */
static void a_client_chooses_how_long_its_nonce_is(void **state)
{
	(void)state;
	static const struct {
		size_t len;
		uint16_t status;
	} cases[] = { { 1, 0x21 },  { 77, 0x21 },  { 78, 0x21 },
		      { 87, 0x21 }, { 256, 0x21 }, { 257, 0x20 } };
	struct fake *f = fake_start(&(struct fake_options){ .user = "user" });
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char nonce[300], value[320];
		memset(nonce, 'x', cases[i].len);
		nonce[cases[i].len] = '\0';
		(void)snprintf(value, sizeof(value), "|n,,n=user,r=%s|", nonce);
		struct wire w = w_connect(fake_kv_port(f, 0));
		assert_int_equal(w_ask(&w, (struct w_request){ .opcode = W_AUTH,
							       .key = "|SCRAM-SHA512|",
							       .value = value }),
				 cases[i].status);
		if (cases[i].status == 0x21)
			assert_memory_equal(w_part(&w, 'v').p + 2, nonce, cases[i].len);
		w_close(&w);
	}
	fake_stop(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_session_answers_what_a_server_answered),
		cmocka_unit_test(stream_requests_are_answered_as_by_a_server),
		cmocka_unit_test(a_stream_is_byte_for_byte_the_captured_one),
		cmocka_unit_test(a_compressed_mutation_is_the_captured_one),
		cmocka_unit_test(without_delete_times_deletions_and_expirations_are_of_version_1),
		cmocka_unit_test(collections_come_as_version_0_or_as_flatbuffers),
		cmocka_unit_test(messages_with_a_stream_id_carry_it_in_front),
		cmocka_unit_test(observing_a_sequence_number_has_two_formats),
		cmocka_unit_test(extended_attributes_stand_before_the_body),
		cmocka_unit_test(collection_ids_in_keys_are_leb128),
		cmocka_unit_test(keys_belong_to_the_vbuckets_that_servers_put_them_in),
		cmocka_unit_test(scram_sha256_computes_what_a_server_computed),
		cmocka_unit_test(a_client_chooses_how_long_its_nonce_is),
	};
	return cmocka_run_group_tests_name("fakecb/protocol", tests, NULL, NULL);
}
