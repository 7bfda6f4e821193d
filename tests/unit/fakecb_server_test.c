/* The simulated cluster behaves as its options and faults say: the answers to stream requests, replicas,
 * flow control, markers, history, out-of-order snapshots, purges, cursors. Through a bare socket, without src/dcp.
 */
#include "tests/fakecb_wire.h"

#include <sys/wait.h>

#define EVERYTHING "|{\"uid\":\"0\"}|"

static void fill(struct fake *f, unsigned vb, unsigned n)
{
	char key[16];
	for (unsigned i = 0; i < n; i++) {
		(void)snprintf(key, sizeof(key), "k%03u", n - i);
		(void)fake_set(f, vb, 0, key, SLICE_LIT("1"));
	}
}

/* ---- stream requests ---- */

static void stream_requests_are_checked_as_documented(void **state)
{
	(void)state;
	struct fake *f = fake_start(&(struct fake_options){ 0 });
	struct fake_branch log[FAKE_FAILOVER_MAX];
	fill(f, 9, 20);
	assert_int_equal(fake_failover_log(f, 9, log), 1);
	uint64_t uuid = log[0].uuid;
	const struct {
		struct w_stream s;
		uint16_t status;
		uint64_t rollback;
	} cases[] = {
		{ { .start = 25, .end = W_ENDLESS, .uuid = uuid, .snap_start = 25, .snap_end = 25 },
		  0x23,
		  20 },
		{ { .start = 5, .end = W_ENDLESS, .uuid = 1, .snap_start = 5, .snap_end = 5 },
		  0x23,
		  0 },
		{ { .end = W_ENDLESS, .uuid = 1, .flags = 0x20 }, 0x23, 0 },
		{ { .start = 5, .end = W_ENDLESS, .uuid = uuid, .snap_start = 6, .snap_end = 7 },
		  0x22,
		  0 },
		{ { .start = 9, .end = 5, .uuid = uuid, .snap_start = 9, .snap_end = 9 }, 0x22, 0 },
		{ { .end = W_ENDLESS, .flags = 0x40 }, 0x04, 0 },
		{ { .end = W_ENDLESS, .value = "|{}|" }, 0x04, 0 },
		{ { .end = W_ENDLESS, .value = "|{\"collections\":[\"0\"],\"scope\":\"0\"}|" },
		  0x04,
		  0 },
		{ { .end = W_ENDLESS, .value = "|{\"collections\":[\"99\"]}|" }, 0x88, 0 },
		{ { .end = W_ENDLESS, .value = "|{\"scope\":\"99\"}|" }, 0x8c, 0 },
		{ { .end = W_ENDLESS, .value = "|{\"purge_seqno\":\"x\"}|" }, 0x04, 0 },
		{ { .end = W_ENDLESS, .uuid = 1 }, 0x00, 0 },
		{ { .end = W_ENDLESS }, 0x02, 0 }, /* there is one now */
	};
	struct wire w = w_dcp(f, 0, W_ALL_FEATURES, 0x21);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct w_stream s = cases[i].s;
		s.vb = 9;
		uint16_t status = w_stream(&w, s);
		if (status != cases[i].status)
			fail_msg("case %zu: status %#x", i, status);
		if (status == 0x23)
			assert_int_equal(get_be64(w_part(&w, 'v').p), cases[i].rollback);
	}
	w_close(&w);
	w = w_dcp(f, 0, W_ALL_FEATURES, 0x21);
	struct w_stream at_end = {
		.vb = 9, .start = 20, .end = 20, .uuid = uuid, .snap_start = 20, .snap_end = 20
	};
	assert_int_equal(w_stream(&w, at_end), 0);
	(void)w_next(&w);
	assert_int_equal(w_opcode(&w), W_END);
	w_equal(w_part(&w, 'x'), "00000000");
	assert_int_equal(w_stream(&w, (struct w_stream){ .vb = 9, .flags = 0x04 }),
			 0); /* to latest */
	(void)w_until(&w, W_MUTATION, 20);
	(void)w_until(&w, W_END, 0);
	assert_int_equal(w_ask(&w, (struct w_request){ .opcode = W_CLOSE, .vb = 9 }), 1);
	w_close(&w);
	fake_stop(f);
}

static void a_replica_streams_where_the_client_allows_it_until_it_is_promoted(void **state)
{
	(void)state;
	struct fake *f = fake_start(
		&(struct fake_options){ .nodes = 2, .replicas = 1, .hold_persistence = true });
	fill(f, 0, 10); /* vBucket 0 is active on node 0 */
	fake_replicate(f, 0, 1, 6);
	struct wire w = w_dcp(f, 1, W_ALL_FEATURES, 0x21);
	assert_int_equal(w_stream(&w, (struct w_stream){ .end = W_ENDLESS, .flags = 0x10 }), 7);
	assert_int_equal(w_stream(&w, (struct w_stream){ .end = W_ENDLESS }), 0);
	(void)w_until(&w, W_MUTATION, 6);
	assert_true(w_silent(&w, 50));
	fake_failover_vb(f, 0, 1);
	(void)w_until(&w, W_END, 0);
	w_equal(w_part(&w, 'x'), "00000002");
	w_close(&w);
	fake_stop(f);
}

static void a_purge_rolls_back_who_has_not_seen_it(void **state)
{
	(void)state;
	struct fake *f = fake_start(&(struct fake_options){ .version = 80 });
	struct fake_branch log[FAKE_FAILOVER_MAX];
	fill(f, 2, 10);
	(void)fake_delete(f, 2, 0, "k001");
	fill(f, 2, 5);
	fake_purge(f, 2, 11);
	(void)fake_failover_log(f, 2, log);
	uint32_t cid = fake_create_collection(f, "_default", "quiet");
	assert_int_equal(cid, 8);
	struct w_stream s = { .vb = 2,
			      .start = 5,
			      .end = W_ENDLESS,
			      .uuid = log[0].uuid,
			      .snap_start = 5,
			      .snap_end = 5 };
	struct wire w = w_dcp(f, 0, W_ALL_FEATURES, 0x21);
	assert_int_equal(w_stream(&w, s), 0x23);
	s.value = "|{\"purge_seqno\":\"10\"}|";
	assert_int_equal(w_stream(&w, s), 0x23);
	s.value = "|{\"purge_seqno\":\"11\"}|";
	assert_int_equal(w_stream(&w, s), 0);
	w_close(&w);
	w = w_dcp(f, 0, W_ALL_FEATURES, 0x21);
	s.value = NULL;
	s.flags = 0x80; /* purged tombstones do not matter */
	assert_int_equal(w_stream(&w, s), 0);
	w_close(&w);
	fake_stop(f);
}

/* ---- streams ---- */

static void the_window_is_passed_by_one_message_at_most(void **state)
{
	(void)state;
	struct fake *f = fake_start(&(struct fake_options){ 0 });
	struct wire w = w_dcp(f, 0, W_ALL_FEATURES, 0x21);
	fill(f, 1, 30);
	assert_int_equal(w_control(&w, "connection_buffer_size", "many"), 4);
	assert_int_equal(w_control(&w, "connection_buffer_size", "200"), 0);
	assert_int_equal(w_stream(&w, (struct w_stream){ .vb = 1, .end = W_ENDLESS }), 0);
	size_t sent = 0, last = 0, acked = 0;
	for (int round = 0; round < 5; round++) {
		/* On a busy machine the server may pause inside the window; past it, it must stop. */
		while (sent - acked < 200 || !w_silent(&w, 60)) {
			last = w_next(&w).len;
			sent += last;
		}
		assert_true(sent - acked - last < 200);
		char n[12];
		(void)snprintf(n, sizeof(n), "%08x", (unsigned)(sent - acked));
		w_send(&w, (struct w_request){ .opcode = W_ACK, .extras = n });
		acked = sent;
	}
	w_close(&w);
	fake_stop(f);
}

static void what_is_not_on_disk_comes_from_memory(void **state)
{
	(void)state;
	struct fake *f = fake_start(&(struct fake_options){ .hold_persistence = true });
	fill(f, 1, 9);
	fake_persist(f, 1, 0, 6);
	struct wire w = w_dcp(f, 0, W_ALL_FEATURES, 0x21);
	assert_int_equal(w_stream(&w, (struct w_stream){ .vb = 1, .end = W_ENDLESS }), 0);
	(void)w_until(&w, W_MARKER, 0);
	w_equal(w_part(&w, 'x'), "0000000000000000 0000000000000006 00000006");
	(void)w_until(&w, W_MARKER, 0);
	w_equal(w_part(&w, 'x'), "0000000000000007 0000000000000009 00000005");
	(void)w_until(&w, W_MUTATION, 9);
	w_close(&w);
	w = w_dcp(f, 0, W_ALL_FEATURES, 0x21);
	assert_int_equal(w_stream(&w,
				  (struct w_stream){ .vb = 1, .end = W_ENDLESS, .flags = 0x02 }),
			 0);
	(void)w_until(&w, W_MUTATION, 6);
	assert_true(w_silent(&w, 50)); /* disk only */
	w_close(&w);
	struct fake_branch log[FAKE_FAILOVER_MAX];
	(void)fake_failover_log(f, 1, log);
	w = w_dcp(f, 0, W_ALL_FEATURES, 0x21);
	assert_int_equal(w_stream(&w, (struct w_stream){ .vb = 1,
							 .start = 7,
							 .end = W_ENDLESS,
							 .uuid = log[0].uuid,
							 .snap_start = 7,
							 .snap_end = 7 }),
			 0);
	(void)w_until(&w, W_MARKER, 0);
	w_equal(w_part(&w, 'x'), "0000000000000007 0000000000000009 00000005");
	w_close(&w);
	fake_stop(f);
}

static void a_node_that_is_down_has_no_connections(void **state)
{
	(void)state;
	struct fake *f = fake_start(&(struct fake_options){ .nodes = 2 });
	struct fake_fault down = { .kind = FAKE_DOWN, .node = 0, .count = 1 };
	struct wire w = w_login(f, 0, W_ALL_FEATURES), other = w_login(f, 1, W_ALL_FEATURES);
	char byte;
	fake_fault(f, &down);
	assert_false(w_read(&w, &byte, 1));
	w_close(&w);
	w = w_connect(fake_kv_port(f, 0));
	assert_false(w_read(&w, &byte, 1));
	w_close(&w);
	assert_int_equal(w_ask(&other, (struct w_request){ .opcode = 0x0a }), 0);
	w_close(&other);
	down.count = 0;
	fake_fault(f, &down);
	w = w_login(f, 0, W_ALL_FEATURES);
	w_close(&w);
	fake_stop(f);
}

static void markers_are_of_the_newest_version_allowed(void **state)
{
	(void)state;
	struct fake *old = fake_start(&(struct fake_options){ 0 });
	struct wire w = w_dcp(old, 0, W_ALL_FEATURES, 0x21);
	assert_int_equal(w_control(&w, "max_marker_version", "2.2"), 4);
	w_close(&w);
	fake_stop(old);

	struct fake *f = fake_start(&(struct fake_options){ .version = 80 });
	fill(f, 1, 8);
	fake_purge(f, 1, 3);
	w = w_dcp(f, 0, W_ALL_FEATURES, 0x21);
	assert_int_equal(w_control(&w, "max_marker_version", "3.0"), 4);
	assert_int_equal(w_control(&w, "max_marker_version", "2.2"), 0);
	assert_int_equal(w_stream(&w, (struct w_stream){ .vb = 1, .end = W_ENDLESS }), 0);
	(void)w_until(&w, W_MARKER, 0);
	w_equal(w_part(&w, 'x'), "02");
	w_equal(w_part(&w, 'v'), "0000000000000000 0000000000000008 00000006 0000000000000008"
				 "0000000000000000 0000000000000003 0000000000000000");
	(void)w_until(&w, W_MUTATION, 8);
	(void)fake_set(f, 1, 0, "new", SLICE_LIT("1"));
	(void)w_until(&w, W_MARKER, 0);
	w_equal(w_part(&w, 'x'), "00");
	w_equal(w_part(&w, 'v'), "0000000000000009 0000000000000009 00000005 0000000000000009"
				 "0000000000000000");
	w_close(&w);
	fake_stop(f);
}

static void history_has_every_version(void **state)
{
	(void)state;
	struct fake *plain = fake_start(&(struct fake_options){ 0 });
	struct wire w = w_dcp(plain, 0, W_ALL_FEATURES, 0x21);
	assert_int_equal(w_control(&w, "change_streams", "true"), 0x83);
	w_close(&w);
	fake_stop(plain);

	struct fake *f = fake_start(&(struct fake_options){ .magma = true });
	for (int i = 0; i < 5; i++)
		(void)fake_set(f, 1, 0, "same", SLICE_LIT("1"));
	w = w_dcp(f, 0, W_ALL_FEATURES, 0x21);
	assert_int_equal(w_stream(&w, (struct w_stream){ .vb = 1, .end = W_ENDLESS }), 0);
	(void)w_until(&w, W_MUTATION, 0);
	assert_int_equal(get_be64(w_part(&w, 'x').p), 5);
	w_close(&w);
	w = w_dcp(f, 0, W_ALL_FEATURES, 0x21);
	assert_int_equal(w_control(&w, "change_streams", "true"), 0);
	assert_int_equal(w_stream(&w, (struct w_stream){ .vb = 1, .end = W_ENDLESS }), 0);
	(void)w_until(&w, W_MARKER, 0);
	w_equal(w_part(&w, 'x'), "0000000000000000 0000000000000005 00000036");
	for (uint64_t i = 1; i <= 5; i++) {
		(void)w_next(&w);
		assert_int_equal(w_opcode(&w), W_MUTATION);
		assert_int_equal(get_be64(w_part(&w, 'x').p), i);
	}
	w_close(&w);
	fake_stop(f);
}

static void an_out_of_order_backfill_comes_by_key_between_begin_and_end(void **state)
{
	(void)state;
	struct fake *f = fake_start(&(struct fake_options){ .oso_items = 10 });
	fill(f, 1, 20); /* keys fall while seqnos rise */
	uint32_t other = fake_create_collection(f, "_default", "other");
	(void)fake_set(f, 1, other, "x", SLICE_LIT("1")); /* 21 is the event, 22 this */
	struct wire w = w_dcp(f, 0, W_ALL_FEATURES, 0x21);
	assert_int_equal(w_control(&w, "enable_out_of_order_snapshots", "maybe"), 4);
	assert_int_equal(w_control(&w, "enable_out_of_order_snapshots", "true_with_seqno_advanced"),
			 0);
	assert_int_equal(w_stream(&w, (struct w_stream){ .vb = 1,
							 .end = W_ENDLESS,
							 .value = "|{\"collections\":[\"0\"]}|" }),
			 0);
	(void)w_next(&w);
	assert_int_equal(w_opcode(&w), W_OSO);
	w_equal(w_part(&w, 'x'), "00000001");
	for (uint64_t seqno = 20; seqno > 0; seqno--) {
		(void)w_next(&w);
		assert_int_equal(w_opcode(&w), W_MUTATION);
		assert_int_equal(get_be64(w_part(&w, 'x').p), seqno);
	}
	(void)w_next(&w);
	assert_int_equal(w_opcode(&w), W_ADVANCED);
	assert_int_equal(get_be64(w_part(&w, 'x').p), 22);
	(void)w_next(&w);
	assert_int_equal(w_opcode(&w), W_OSO);
	w_equal(w_part(&w, 'x'), "00000002");
	(void)fake_set(f, 1, 0, "after", SLICE_LIT("1"));
	(void)w_next(&w);
	assert_int_equal(w_opcode(&w), W_MARKER);
	(void)w_until(&w, W_MUTATION, 23);
	w_close(&w);
	fake_stop(f);
}

static void a_slow_stream_goes_back_to_disk_or_ends(void **state)
{
	(void)state;
	struct fake *f = fake_start(&(struct fake_options){ 0 });
	const struct fake_fault slow = { .kind = FAKE_DROP_CURSOR, .node = -1, .vb = 1 };
	fill(f, 1, 5);
	struct wire w = w_dcp(f, 0, W_ALL_FEATURES, 0x21);
	assert_int_equal(w_control(&w, "supports_cursor_dropping", "true"), 0);
	assert_int_equal(w_stream(&w, (struct w_stream){ .vb = 1, .end = W_ENDLESS }), 0);
	(void)w_until(&w, W_MUTATION, 5);
	fake_fault(f, &slow);
	(void)fake_set(f, 1, 0, "new", SLICE_LIT("1"));
	(void)w_until(&w, W_MARKER, 0);
	w_equal(w_part(&w, 'x'), "0000000000000005 0000000000000006 00000006");
	w_close(&w);
	w = w_dcp(f, 0, W_ALL_FEATURES, 0x21);
	assert_int_equal(w_stream(&w, (struct w_stream){ .vb = 1, .end = W_ENDLESS }), 0);
	(void)w_until(&w, W_MUTATION, 6);
	fake_fault(f, &slow);
	(void)w_until(&w, W_END, 0);
	w_equal(w_part(&w, 'x'), "00000004");
	w_close(&w);
	fake_stop(f);
}

static void unknown_messages_count_against_the_window(void **state)
{
	(void)state;
	struct fake *f = fake_start(&(struct fake_options){ 0 });
	struct wire w = w_dcp(f, 0, W_ALL_FEATURES, 0x21);
	fill(f, 1, 1);
	assert_int_equal(w_control(&w, "connection_buffer_size", "1000"), 0);
	assert_int_equal(w_stream(&w, (struct w_stream){ .vb = 1, .opaque = 9, .end = W_ENDLESS }),
			 0);
	(void)w_until(&w, W_MUTATION, 1);
	fake_fault(f,
		   &(struct fake_fault){
			   .kind = FAKE_UNKNOWN, .node = -1, .vb = 1, .opcode = 0x6f, .n = 1000 });
	(void)w_next(&w);
	w_equal(slice_of(w.got.p, 24), "806f0000 00000001 000003e8 00000009 0000000000000000");
	(void)fake_set(f, 1, 0, "new", SLICE_LIT("1"));
	assert_true(w_silent(&w, 60));
	w_send(&w, (struct w_request){ .opcode = W_ACK, .extras = "000003e8" });
	(void)w_until(&w, W_MUTATION, 2);
	w_close(&w);
	fake_stop(f);
}

/* ---- maps and questions ---- */

static bool mentions(const struct wire *w, const char *text)
{
	struct slice v = w_part(w, 'v');
	return memmem(v.p, v.len, text, strlen(text)) != NULL;
}

static void a_map_that_the_client_has_is_not_sent_again(void **state)
{
	(void)state;
	struct fake *f = fake_start(&(struct fake_options){ .nodes = 2 });
	struct wire w = w_login(f, 0, W_ALL_FEATURES "001d 001e");
	struct w_request elsewhere = { .opcode = W_GET, .vb = 63, .key = "00|a|" };
	struct w_request config = { .opcode = 0xb5 };
	assert_int_equal(w_ask(&w, elsewhere), 7);
	assert_true(mentions(&w, "\"rev\":1,"));
	assert_int_equal(w_ask(&w, elsewhere), 7);
	assert_int_equal(w_part(&w, 'v').len, 0);
	fake_push_map(f);
	assert_int_equal(w_ask(&w, elsewhere), 7);
	assert_true(mentions(&w, "\"rev\":2,"));
	config.extras = "0000000000000001 0000000000000001";
	assert_int_equal(w_ask(&w, config), 0);
	assert_true(mentions(&w, "\"rev\":2,"));
	config.extras = "0000000000000001 0000000000000002";
	assert_int_equal(w_ask(&w, config), 0);
	assert_int_equal(w_part(&w, 'v').len, 0);
	w_close(&w);
	fake_stop(f);
}

static void an_external_network_has_addresses_of_its_own(void **state)
{
	(void)state;
	struct fake *f = fake_start(&(struct fake_options){ .nodes = 2, .external = true });
	struct wire w = w_login(f, 0, W_ALL_FEATURES);
	char external[160];
	assert_int_equal(w_ask(&w, (struct w_request){ .opcode = 0xb5 }), 0);
	(void)snprintf(
		external, sizeof(external),
		"\"alternateAddresses\":{\"external\":{\"hostname\":\"127.0.0.1\",\"ports\":{"
		"\"mgmt\":%u,\"kv\":%u}}}",
		fake_http_port(f, 1), fake_kv_port(f, 1));
	assert_true(mentions(&w, external));
	assert_true(
		mentions(&w, "\"serverList\":[\"node-0.invalid:11210\",\"node-1.invalid:11210\"]"));
	w_close(&w);
	fake_stop(f);
}

static void failover_logs_are_asked_for_in_two_ways(void **state)
{
	(void)state;
	struct fake *f = fake_start(&(struct fake_options){ 0 });
	const struct fake_branch log[] = { { 2, 5 }, { 1, 0 } };
	fake_set_failover_log(f, 4, log, 2);
	struct wire w = w_login(f, 0, W_ALL_FEATURES);
	assert_int_equal(w_ask(&w, (struct w_request){ .opcode = W_LOG, .vb = 4 }), 4);
	assert_true(mentions(&w, "can only be sent on a DCP connection"));
	assert_int_equal(w_ask(&w, (struct w_request){ .opcode = 0x96, .vb = 4 }), 0);
	w_equal(w_part(&w, 'v'),
		"0000000000000002 0000000000000005 0000000000000001 0000000000000000");
	w_close(&w);
	fake_stop(f);
}

/* ---- collections ---- */

static void changes_of_collections_are_events(void **state)
{
	(void)state;
	struct fake *f = fake_start(&(struct fake_options){ 0 });
	struct fake_collection c = { "_default", "c", true, 0x3c, true };
	struct wire w = w_dcp(f, 0, W_ALL_FEATURES, 0x21);
	struct w_stream s = { .vb = 1, .end = W_ENDLESS, .value = EVERYTHING };
	assert_int_equal(w_control(&w, "flatbuffers_system_events", "true"), 0);
	assert_int_equal(w_stream(&w, s), 0);
	assert_int_equal(fake_create_collection_as(f, &c), 8);
	(void)w_until(&w, W_SYSTEM, 1);
	w_equal(w_part(&w, 'x'), "0000000000000001 00000000 02");
	/* Fields in their places: collection 8, max TTL 60, the name, manifest 1, TTL valid, history. */
	struct slice v = w_part(&w, 'v');
	assert_int_equal(v.p[0], 24); /* the table, after a vtable of 18 bytes */
	w_equal(slice_of(v.p + 4, 18), "1200 1a00 1000 0000 0400 1800 0800 0c00 1900");
	w_equal(slice_of(v.p + 28, 8), "08000000 3c000000");
	w_equal(slice_of(v.p + 40, 10), "0100000000000000 01 01");
	assert_memory_equal(v.p + 36 + v.p[36], "\1\0\0\0c", 6);
	(void)fake_set(f, 1, 8, "k", SLICE_LIT("1"));
	c.max_ttl = 0;
	assert_true(fake_modify_collection(f, &c));
	(void)w_until(&w, W_SYSTEM, 3);
	w_equal(w_part(&w, 'x'), "0000000000000003 00000005 02");
	assert_true(fake_flush_collection(f, "_default", "c"));
	(void)w_until(&w, W_SYSTEM, 4);
	w_equal(w_part(&w, 'x'), "0000000000000004 00000000 02");
	w_close(&w);
	/* Who comes now sees the creation where the flush put it, and nothing of before. */
	w = w_dcp(f, 0, W_ALL_FEATURES, 0x21);
	assert_int_equal(w_stream(&w, s), 0);
	(void)w_until(&w, W_MARKER, 0);
	(void)w_next(&w);
	assert_int_equal(w_opcode(&w), W_SYSTEM);
	w_equal(w_part(&w, 'x'), "0000000000000004 00000000 01");
	assert_true(fake_drop_collection(f, "_default", "c"));
	(void)w_until(&w, W_SYSTEM, 5);
	w_equal(w_part(&w, 'v'), "0000000000000004 00000000 00000008");
	w_close(&w);
	fake_stop(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stream_requests_are_checked_as_documented),
		cmocka_unit_test(a_replica_streams_where_the_client_allows_it_until_it_is_promoted),
		cmocka_unit_test(a_purge_rolls_back_who_has_not_seen_it),
		cmocka_unit_test(the_window_is_passed_by_one_message_at_most),
		cmocka_unit_test(what_is_not_on_disk_comes_from_memory),
		cmocka_unit_test(a_node_that_is_down_has_no_connections),
		cmocka_unit_test(markers_are_of_the_newest_version_allowed),
		cmocka_unit_test(history_has_every_version),
		cmocka_unit_test(an_out_of_order_backfill_comes_by_key_between_begin_and_end),
		cmocka_unit_test(a_slow_stream_goes_back_to_disk_or_ends),
		cmocka_unit_test(unknown_messages_count_against_the_window),
		cmocka_unit_test(a_map_that_the_client_has_is_not_sent_again),
		cmocka_unit_test(an_external_network_has_addresses_of_its_own),
		cmocka_unit_test(failover_logs_are_asked_for_in_two_ways),
		cmocka_unit_test(changes_of_collections_are_events),
	};
	return cmocka_run_group_tests_name("fakecb/server", tests, NULL, NULL);
}
