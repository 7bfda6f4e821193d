/* The simulated cluster keeps documents and vBuckets as a server does: states, times to live, collections that are
 * dropped, compaction, losses, failover logs, streams that fall behind, maps that change. Through a bare socket, without
 * src/dcp.
 */
#include "tests/fakecb_wire.h"

static void fill(struct fake *f, unsigned vb, const char *name, unsigned n)
{
	char key[24];
	for (unsigned i = 0; i < n; i++) {
		(void)snprintf(key, sizeof(key), "%s%03u", name, i);
		(void)fake_set(f, vb, 0, key, SLICE_LIT("{\"n\":1}"));
	}
}

static struct w_request set_in(const char *key, const char *extras)
{
	return (struct w_request){
		.opcode = W_SET, .vb = 1, .extras = extras, .key = key, .value = "|{}|"
	};
}

/* ---- vBucket states ---- */

static void a_pending_vbucket_makes_requests_wait_and_a_dead_one_is_not_here(void **state)
{
	(void)state;
	struct fake *f = fake_start(&(struct fake_options){ .vbuckets = 8 });
	struct fake_branch log[FAKE_FAILOVER_MAX];
	fill(f, 1, "k", 3);
	(void)fake_failover_log(f, 1, log);
	char uuid[20];
	(void)snprintf(uuid, sizeof(uuid), "%016llx", (unsigned long long)log[0].uuid);
	struct wire w = w_login(f, 0, W_ALL_FEATURES), other = w_login(f, 0, W_ALL_FEATURES);
	struct w_request get = { .opcode = W_GET, .vb = 1, .key = "00|k001|" },
			 observe = { .opcode = W_OBSERVE, .vb = 1, .value = uuid },
			 pending = { .opcode = 0x48, .extras = "00000003" },
			 dead = { .opcode = 0x48, .extras = "00000004" },
			 alive = { .opcode = 0x48, .extras = "00000000" };
	fake_set_vb_state(f, 1, FAKE_VB_PENDING);
	w_send(&w, get);
	w_send(&w, (struct w_request){ .opcode = 0x0a });
	assert_true(w_silent(&w, 60)); /* in order: what is behind waits, too */
	assert_int_equal(w_ask(&other, observe), 0);
	assert_int_equal(w_ask(&other, pending), 0);
	w_equal(w_part(&other, 'v'), "0001 0000000000000003");
	assert_int_equal(w_ask(&other, dead), 0);
	assert_int_equal(w_part(&other, 'v').len, 0);
	assert_int_equal(w_ask(&other, (struct w_request){ .opcode = 0x48, .extras = "00000009" }),
			 4);
	fake_set_vb_state(f, 1, FAKE_VB_ACTIVE);
	(void)w_next(&w);
	assert_int_equal(w_opcode(&w), W_GET);
	assert_int_equal(w_word(&w), 0);
	(void)w_next(&w);
	assert_int_equal(w_opcode(&w), 0x0a);

	fake_set_vb_state(f, 1, FAKE_VB_DEAD);
	assert_int_equal(w_ask(&w, get), 7);
	assert_int_equal(w_ask(&w, observe), 7);
	assert_int_equal(w_ask(&w, dead), 0);
	w_equal(w_part(&w, 'v'), "0001 0000000000000003");
	assert_int_equal(w_ask(&w, alive), 0);
	assert_int_equal(w_part(&w, 'v').len, 70);
	/* An administrator may say so, too. */
	assert_int_equal(w_ask(&w,
			       (struct w_request){ .opcode = 0x3d, .vb = 1, .extras = "00000001" }),
			 0);
	assert_int_equal(w_ask(&w, get), 0);
	w_close(&w);
	w_close(&other);
	fake_stop(f);
}

static void a_state_that_changes_ends_the_streams(void **state)
{
	(void)state;
	struct fake *f = fake_start(&(struct fake_options){ .vbuckets = 8 });
	struct w_stream s = { .vb = 1, .end = W_ENDLESS };
	struct wire w = w_dcp(f, 0, W_ALL_FEATURES, 0x21);
	assert_int_equal(w_stream(&w, s), 0);
	fake_set_vb_state(f, 1, FAKE_VB_PENDING);
	(void)w_until(&w, W_END, 0);
	w_equal(w_part(&w, 'x'), "00000002");
	s.flags = 0x10; /* of an active one only */
	assert_int_equal(w_stream(&w, s), 7);
	s.flags = 0;
	assert_int_equal(w_stream(&w, s), 0);
	fake_set_vb_state(f, 1, FAKE_VB_DEAD);
	(void)w_until(&w, W_END, 0);
	assert_int_equal(w_stream(&w, s), 7);
	w_close(&w);
	fake_stop(f);
}

static void failover_logs_keep_the_newest_entries(void **state)
{
	(void)state;
	struct fake *f = fake_start(&(struct fake_options){ .vbuckets = 8 });
	struct fake_branch before[FAKE_FAILOVER_MAX], after[FAKE_FAILOVER_MAX];
	fill(f, 1, "k", 3);
	(void)fake_failover_log(f, 1, before);
	fake_rotate_failover_log(f, 1, 10);
	assert_int_equal(fake_failover_log(f, 1, after), 11);
	assert_int_equal(after[10].uuid, before[0].uuid);
	assert_int_equal(after[0].seqno, 3);
	fake_rotate_failover_log(f, 1, 30);
	assert_int_equal(fake_failover_log(f, 1, after), FAKE_FAILOVER_MAX);
	struct wire w = w_dcp(f, 0, W_ALL_FEATURES, 0x21);
	struct w_stream s = { .vb = 1,
			      .start = 2,
			      .end = W_ENDLESS,
			      .uuid = before[0].uuid,
			      .snap_start = 2,
			      .snap_end = 2 };
	assert_int_equal(w_stream(&w, s), 0x23); /* its branch is forgotten */
	s.uuid = after[20].uuid;
	assert_int_equal(w_stream(&w, s), 0);
	w_close(&w);
	fake_stop(f);
}

/* ---- collections, times to live ---- */

static void a_collections_time_to_live_is_its_documents(void **state)
{
	(void)state;
	struct fake *f = fake_start(&(struct fake_options){ .vbuckets = 8 });
	struct fake_collection short_lived = { "_default", "short", true, 1, false, false },
			       longer = { "_default", "longer", true, 1000, false, false };
	assert_int_equal(fake_create_collection_as(f, &short_lived), 8);
	assert_int_equal(fake_create_collection_as(f, &longer), 9);
	struct wire w = w_login(f, 0, W_ALL_FEATURES);
	struct w_request meta = { .opcode = 0xa0, .vb = 1, .key = "09|a|" },
			 get = { .opcode = W_GET, .vb = 1, .key = "08|a|" };
	static const char *const asked[] = { "00000000 00000000", "00000000 00001000" };
	for (size_t i = 0; i < ARRAY_LEN(asked); i++) { /* none, and longer than is allowed */
		uint32_t before = (uint32_t)time(NULL);
		assert_int_equal(w_ask(&w, set_in("09|a|", asked[i])), 0);
		uint32_t after = (uint32_t)time(NULL);
		assert_int_equal(w_ask(&w, meta), 0);
		assert_in_range(get_be32(w_part(&w, 'x').p + 8), before + 1000, after + 1000);
	}
	assert_int_equal(w_ask(&w, set_in("08|a|", "00000000 00000000")), 0);
	struct wire d = w_dcp(f, 0, W_ALL_FEATURES, 0x21);
	assert_int_equal(w_control(&d, "enable_expiry_opcode", "true"), 0);
	assert_int_equal(w_stream(&d, (struct w_stream){ .vb = 1,
							 .end = W_ENDLESS,
							 .value = "|{\"collections\":[\"8\"]}|" }),
			 0);
	(void)w_until(&d, W_EXPIRATION, 0); /* the pager comes by itself */
	w_equal(w_part(&d, 'k'), "08|a|");
	assert_int_equal(w_ask(&w, get), 1);
	w_close(&d);
	w_close(&w);
	fake_stop(f);
}

static void an_access_expires_what_is_past_its_time(void **state)
{
	(void)state;
	struct fake *f =
		fake_start(&(struct fake_options){ .vbuckets = 8, .expiry_pager_ms = 600000 });
	struct wire w = w_login(f, 0, W_ALL_FEATURES);
	/* A time of long ago: it is there for the stream, and gone for who asks. */
	assert_int_equal(w_ask(&w, set_in("00|a|", "00000000 50000000")), 0);
	assert_int_equal(fake_high_seqno(f, 1), 1);
	assert_int_equal(w_ask(&w, (struct w_request){ .opcode = W_GET, .vb = 1, .key = "00|a|" }),
			 1);
	assert_int_equal(fake_high_seqno(f, 1), 2);
	assert_int_equal(w_ask(&w, set_in("00|b|", "00000000 50000000")), 0);
	fake_compact(f, 1, 0);
	assert_int_equal(fake_high_seqno(f, 1), 4);
	w_close(&w);
	fake_stop(f);
}

static void what_a_dropped_collection_had_is_not_sent(void **state)
{
	(void)state;
	struct fake *f = fake_start(&(struct fake_options){ .vbuckets = 8 });
	uint32_t cid = fake_create_collection(f, "_default", "c");
	for (int i = 0; i < 5; i++)
		(void)fake_set(f, 1, cid, "k", SLICE_LIT("1"));
	(void)fake_set(f, 1, 0, "left", SLICE_LIT("1"));
	assert_true(fake_drop_collection(f, "_default", "c"));
	struct wire w = w_dcp(f, 0, W_ALL_FEATURES, 0x21);
	assert_int_equal(w_stream(&w, (struct w_stream){ .vb = 1, .end = W_ENDLESS }), 0);
	(void)w_until(&w, W_MARKER, 0);
	(void)w_next(&w);
	assert_int_equal(w_opcode(&w), W_MUTATION);
	w_equal(w_part(&w, 'k'), "00|left|");
	(void)w_next(&w);
	assert_int_equal(w_opcode(&w), W_SYSTEM);
	w_equal(w_part(&w, 'x'), "0000000000000008 00000001 00");
	w_close(&w);
	fake_stop(f);
}

/* The cluster's manager brings a copy that lost it up to the manifest again. */
static void a_failover_that_loses_a_drop_drops_again(void **state)
{
	(void)state;
	struct fake *f =
		fake_start(&(struct fake_options){ .nodes = 2, .replicas = 1, .vbuckets = 8 });
	uint32_t cid = fake_create_collection(f, "_default", "c");
	(void)fake_set(f, 1, cid, "k", SLICE_LIT("1"));
	fake_hold_persistence(f, true);
	fake_replicate(f, 1, 1, UINT64_MAX);
	assert_true(fake_drop_collection(f, "_default", "c"));
	assert_int_equal(fake_high_seqno(f, 1), 3);
	(void)fake_set(f, 1, 0, "lost", SLICE_LIT("1"));
	fake_failover_vb(f, 1, 1);
	assert_int_equal(fake_high_seqno(f, 1), 3);
	struct wire w = w_dcp(f, 1, W_ALL_FEATURES, 0x21);
	assert_int_equal(w_stream(&w, (struct w_stream){ .vb = 1, .end = W_ENDLESS }), 0);
	(void)w_until(&w, W_SYSTEM, 3);
	w_equal(w_part(&w, 'x'), "0000000000000003 00000001 00");
	w_close(&w);
	fake_stop(f);
}

/* ---- what is kept ---- */

static void compaction_frees_what_no_failover_brings_back(void **state)
{
	(void)state;
	struct fake *f = fake_start(&(struct fake_options){
		.nodes = 2, .replicas = 1, .vbuckets = 8, .hold_persistence = true });
	for (int i = 0; i < 6; i++)
		(void)fake_set(f, 1, 0, "same", SLICE_LIT("{\"n\":1}"));
	fake_persist(f, 1, 0, UINT64_MAX);
	fake_persist(f, 1, 1, 4); /* versions 4 to 6 may still be lost */
	fake_compact(f, 1, 0);
	fake_failover_vb(f, 1, 1);
	struct wire w = w_dcp(f, 1, W_ALL_FEATURES, 0x21);
	assert_int_equal(w_stream(&w, (struct w_stream){ .vb = 1, .end = W_ENDLESS }), 0);
	(void)w_until(&w, W_MUTATION, 4);
	w_equal(w_part(&w, 'v'), "|{\"n\":1}|");
	w_close(&w);
	fake_stop(f);
}

static void an_ephemeral_bucket_persists_nothing_and_loses_all(void **state)
{
	(void)state;
	struct fake *f = fake_start(&(struct fake_options){ .vbuckets = 8, .ephemeral = true });
	struct fake_branch log[FAKE_FAILOVER_MAX];
	char uuid[20];
	fill(f, 1, "k", 4);
	(void)fake_failover_log(f, 1, log);
	(void)snprintf(uuid, sizeof(uuid), "%016llx", (unsigned long long)log[0].uuid);
	struct wire w = w_login(f, 0, W_ALL_FEATURES);
	assert_int_equal(w_ask(&w,
			       (struct w_request){ .opcode = W_OBSERVE, .vb = 1, .value = uuid }),
			 0);
	assert_int_equal(get_be64(w_part(&w, 'v').p + 11), 0);
	assert_int_equal(get_be64(w_part(&w, 'v').p + 19), 4);
	fake_crash_vb(f, 1);
	assert_int_equal(fake_high_seqno(f, 1), 0);
	w_close(&w);
	fake_stop(f);
}

/* ---- key-value commands ---- */

static void quiet_commands_answer_only_what_went_wrong(void **state)
{
	(void)state;
	struct fake *f = fake_start(&(struct fake_options){ .vbuckets = 8 });
	struct wire w = w_login(f, 0, W_ALL_FEATURES);
	static const struct {
		uint8_t opcode;
		const char *extras, *value;
		int status; /* -1: silence */
	} cases[] = {
		{ 0x09, NULL, NULL, -1 },                 /* get: not there */
		{ 0x13, "0000000000000000", "|1|", 1 },   /* replace: not there */
		{ 0x12, "0000000000000000", "|1|", -1 },  /* add */
		{ 0x12, "0000000000000000", "|1|", 2 },   /* again */
		{ 0x11, "0000000000000000", "|12|", -1 }, /* set */
		{ 0x19, NULL, "|3|", -1 },                /* append */
		{ 0x1a, NULL, "|0|", -1 },                /* prepend: "0123" */
		{ 0x05, "0000000000000001 0000000000000000 00000000", NULL, 0 },  /* 124 */
		{ 0x16, "0000000000000200 0000000000000000 00000000", NULL, -1 }, /* down to 0 */
		{ 0x09, NULL, NULL, 0 },
		{ 0x14, NULL, NULL, -1 }, /* delete */
		{ 0x14, NULL, NULL, 1 },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		w_send(&w, (struct w_request){ .opcode = cases[i].opcode,
					       .vb = 1,
					       .key = "00|a|",
					       .extras = cases[i].extras,
					       .value = cases[i].value });
		if (cases[i].status >= 0) {
			(void)w_next(&w);
			assert_int_equal(w_opcode(&w), cases[i].opcode);
			assert_int_equal(w_word(&w), cases[i].status);
		}
		assert_int_equal(w_ask(&w, (struct w_request){ .opcode = 0x0a }), 0);
	}
	assert_int_equal(fake_high_seqno(f, 1), 7);
	w_close(&w);
	fake_stop(f);
}

static void durable_writes_need_copies_enough(void **state)
{
	(void)state;
	struct fake *f =
		fake_start(&(struct fake_options){ .nodes = 2, .replicas = 1, .vbuckets = 8 });
	struct wire w = w_login(f, 0, W_ALL_FEATURES "0011");
	struct w_request set = set_in("00|a|", "0000000000000000");
	static const struct {
		const char *framing;
		uint16_t status;
	} cases[] = { { "11 01", 0 },
		      { "13 03 1000", 0 },
		      { "11 07", 0xa0 },
		      { "13 01 ffff", 4 },
		      { "12 01 00", 4 } };
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		set.framing = cases[i].framing;
		assert_int_equal(w_ask(&w, set), cases[i].status);
	}
	fake_failover_node(f, 1);
	set.framing = "11 01";
	assert_int_equal(w_ask(&w, set), 0xa1);
	set.framing = NULL;
	assert_int_equal(w_ask(&w, set), 0);
	w_close(&w);
	fake_stop(f);
}

static void the_error_map_is_of_the_version_asked_for(void **state)
{
	(void)state;
	struct fake *f = fake_start(&(struct fake_options){ .vbuckets = 8 });
	struct wire w = w_connect(fake_kv_port(f, 0));
	struct w_request ask = { .opcode = 0xfe, .value = "0000" };
	assert_int_equal(w_ask(&w, ask), 4);
	ask.value = "0001";
	assert_int_equal(w_ask(&w, ask), 0);
	struct slice v = w_part(&w, 'v');
	assert_memory_equal(v.p, "{\"version\":1,", 13);
	assert_null(memmem(v.p, v.len, "UNKNOWN_COLLECTION", 18));
	ask.value = "0009";
	assert_int_equal(w_ask(&w, ask), 0);
	v = w_part(&w, 'v');
	assert_memory_equal(v.p, "{\"version\":2,", 13);
	assert_non_null(memmem(v.p, v.len, "\"86\":{\"name\":\"ETMPFAIL\"", 23));
	assert_non_null(memmem(v.p, v.len, "\"retry-later\"", 13));
	w_close(&w);
	fake_stop(f);
}

/* ---- maps ---- */

static void features_are_those_of_the_version(void **state)
{
	(void)state;
	static const struct {
		unsigned version;
		const char *offered, *accepted;
	} cases[] = {
		{ 72, "0002 0013 001d 001e 001f 0012 000c", "0012 000c" },
		{ 76, "0013 001d 001e 000c 001f", "0013 001d 001e 000c 001f" },
		{ 0, "000d 001f", "" }, /* nothing is pushed to who cannot take it */
		{ 0, "000c 000d", "000c 000d" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct fake *f = fake_start(
			&(struct fake_options){ .vbuckets = 8, .version = cases[i].version });
		struct wire w = w_connect(fake_kv_port(f, 0));
		assert_int_equal(w_ask(&w, (struct w_request){ .opcode = W_HELLO,
							       .value = cases[i].offered }),
				 0);
		w_equal(w_part(&w, 'v'), cases[i].accepted);
		w_close(&w);
		fake_stop(f);
	}
}

static void a_newer_map_is_pushed_whole_or_in_brief(void **state)
{
	(void)state;
	struct fake *f = fake_start(&(struct fake_options){ .vbuckets = 8 });
	struct wire full = w_login(f, 0, W_ALL_FEATURES "000d"),
		    brief = w_login(f, 0, W_ALL_FEATURES "000d 001f");
	fake_push_map(f);
	(void)w_next(&full);
	w_equal(slice_of(full.got.p, 6), "8201 0007 10 01");
	w_equal(w_part(&full, 'x'), "0000000000000001 0000000000000002");
	w_equal(w_part(&full, 'k'), "|default|");
	assert_true(w_part(&full, 'v').len > 100);
	(void)w_next(&brief);
	w_equal(slice_of(brief.got.p, 24),
		"8201 0007 10 00 0000 00000017 00000000 0000000000000000");
	fake_storm(f, 50);
	for (unsigned rev = 3; rev <= 52; rev++) {
		(void)w_next(&brief);
		assert_int_equal(get_be64(w_part(&brief, 'x').p + 8), rev);
	}
	w_close(&full);
	w_close(&brief);
	fake_stop(f);
}

static void read_block(struct wire *h, struct buf *out)
{
	char c;
	buf_reset(out);
	do {
		assert_true(w_read(h, &c, 1));
		buf_add_byte(out, (uint8_t)c);
	} while (out->len < 6 || memcmp(out->p + out->len - 6, "\n\n\n\n\r\n", 6) != 0);
	buf_add_byte(out, 0);
}

static void a_stream_of_maps_has_a_block_for_each_change(void **state)
{
	(void)state;
	static const char *const paths[] = { "bs/default", "bucketsStreaming/default",
					     "nodeServicesStreaming" };
	struct buf block = BUF_INIT;
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		struct fake *f = fake_start(
			&(struct fake_options){ .nodes = 2, .replicas = 1, .vbuckets = 8 });
		struct wire h = w_connect(fake_http_port(f, 0));
		char request[200];
		int n = snprintf(request, sizeof(request),
				 "GET /pools/default/%s HTTP/1.1\r\nAuthorization: Basic "
				 "QWRtaW5pc3RyYXRvcjpwYXNzd29yZA==\r\n\r\n",
				 paths[i]);
		w_write(&h, request, (size_t)n);
		read_block(&h, &block);
		assert_non_null(strstr((char *)block.p, "Transfer-Encoding: chunked"));
		assert_non_null(strstr((char *)block.p, "{\"rev\":1,"));
		fake_failover_node(f, 1);
		read_block(&h, &block);
		assert_non_null(strstr((char *)block.p, "{\"rev\":2,"));
		fake_set_alternate_address(f, 0, "outside.example", false);
		read_block(&h, &block);
		assert_non_null(strstr((char *)block.p, "\"alternateAddresses\":{\"external\":{"
							"\"hostname\":\"outside.example\"}}"));
		w_close(&h);
		fake_stop(f);
	}
	buf_done(&block);
}

/* ---- streams ---- */

/* 1 MB that nobody reads fills the sockets; what piles up behind is more than is kept for a slow one. */
static void a_stream_that_takes_nothing_loses_its_place_in_memory(void **state)
{
	(void)state;
	char value[4000];
	memset(value, 'v', sizeof(value));
	for (int dropping = 0; dropping < 2; dropping++) {
		struct fake *f =
			fake_start(&(struct fake_options){ .vbuckets = 8, .cursor_items = 100 });
		struct fake_stats stats;
		struct wire w = w_dcp(f, 0, W_ALL_FEATURES, 0x21);
		assert_int_equal(w_control(&w, "connection_buffer_size", "50000"), 0);
		if (dropping)
			assert_int_equal(w_control(&w, "supports_cursor_dropping", "true"), 0);
		assert_int_equal(w_stream(&w, (struct w_stream){ .vb = 1, .end = W_ENDLESS }), 0);
		(void)fake_set(f, 1, 0, "first", slice_of(value, sizeof(value)));
		(void)w_until(&w, W_MUTATION, 1);
		(void)fake_set(f, 1, 0, "second", slice_of(value, sizeof(value)));
		(void)w_until(&w, W_MUTATION, 2); /* from memory now */
		for (int i = 0; i < 200; i++) {
			char key[16];
			(void)snprintf(key, sizeof(key), "k%d", i);
			(void)fake_set(f, 1, 0, key, slice_of(value, sizeof(value)));
		}
		do
			fake_stats(f, &stats);
		while (!stats.cursor_drops);
		bool ended = false, from_disk = false;
		for (uint64_t at = 2; at < 202 && !ended;) {
			(void)w_next(&w);
			uint64_t seqno = w_part(&w, 'x').len >= 8 ? get_be64(w_part(&w, 'x').p) : 0;
			char ack[12];
			(void)snprintf(ack, sizeof(ack), "%08x", (unsigned)w.got.len);
			w_send(&w, (struct w_request){ .opcode = W_ACK, .extras = ack });
			if (w_opcode(&w) == W_MUTATION) {
				assert_true(seqno > at);
				at = seqno;
			} else if (w_opcode(&w) == W_MARKER) {
				from_disk |= w_part(&w, 'x').p[19] & 2;
			} else {
				assert_int_equal(w_opcode(&w), W_END);
				w_equal(w_part(&w, 'x'), "00000004");
				ended = true;
			}
		}
		assert_int_equal(ended, !dropping);
		assert_int_equal(from_disk, dropping);
		w_close(&w);
		fake_stop(f);
	}
}

static void a_name_in_use_ends_the_connection_that_has_it(void **state)
{
	(void)state;
	struct fake *f = fake_start(&(struct fake_options){ .vbuckets = 8 });
	assert_true(fake_create_bucket(f, &(struct fake_bucket){ .name = "other" }));
	struct wire first = w_dcp(f, 0, W_ALL_FEATURES, 0x21),
		    elsewhere = w_login(f, 0, W_ALL_FEATURES);
	char byte;
	assert_int_equal(w_select(&elsewhere, "other"), 0);
	struct w_request open = { .opcode = W_OPEN,
				  .extras = "00000000 00000021",
				  .key = "|test:one|" };
	assert_int_equal(w_ask(&elsewhere, open), 0); /* of another bucket: nobody minds */
	assert_int_equal(w_control(&first, "enable_noop", "true"), 0);
	struct wire second = w_dcp(f, 0, W_ALL_FEATURES, 0x21);
	assert_false(w_read(&first, &byte, 1));
	assert_int_equal(w_control(&second, "enable_noop", "true"), 0);
	w_close(&first);
	w_close(&second);
	w_close(&elsewhere);
	fake_stop(f);
}

static void who_says_nothing_is_cut_off(void **state)
{
	(void)state;
	struct fake *f = fake_start(&(struct fake_options){ .vbuckets = 8, .dcp_idle_ms = 2000 });
	struct wire w = w_dcp(f, 0, W_ALL_FEATURES, 0x21);
	char byte;
	assert_int_equal(w_control(&w, "set_noop_interval", "0.05"), 4);
	assert_int_equal(w_control(&w, "set_noop_interval", "0.1"), 0);
	assert_int_equal(w_stream(&w, (struct w_stream){ .vb = 1, .end = W_ENDLESS }), 0);
	for (int i = 0; i < 5; i++) { /* who answers stays */
		(void)w_next(&w);
		assert_int_equal(w_opcode(&w), 0x5c);
		uint8_t answer[24] = { 0x81, 0x5c };
		memcpy(answer + 12, w.got.p + 12, 4);
		w_write(&w, answer, sizeof(answer));
	}
	(void)w_next(&w);
	assert_false(w_read(&w, &byte, 1));
	struct fake_stats stats;
	fake_stats(f, &stats);
	assert_int_equal(stats.idle_kills, 1);
	w_close(&w);
	fake_stop(f);
}

static void stream_ids_are_checked_to_the_end(void **state)
{
	(void)state;
	struct fake *f = fake_start(&(struct fake_options){ .vbuckets = 8 });
	struct wire w = w_dcp(f, 0, W_ALL_FEATURES, 0x21);
	struct w_stream s = { .vb = 1, .end = W_ENDLESS };
	static const struct {
		const char *value;
		uint16_t status;
	} cases[] = {
		{ "|{\"sid\":0}|", 0x8d },
		{ "|{\"sid\":65536}|", 0x8d },
		{ "|{\"sid\":\"7\"}|", 4 },
		{ "|{\"uid\":\"0\"}|", 0x8d },
		{ "|{\"sid\":7,\"unknown\":{\"a\":[1,\"]\"]}}|", 0 },
		{ "|{\"sid\":7}|", 2 },
		{ "|{\"sid\":8,\"collections\":[\"0\"]}|", 0 },
		{ "|{\"sid\":9,\"collections\":[]}|", 4 },
		{ "|{\"sid\":9|", 4 },
		{ "|{\"sid\":9}x|", 4 },
	};
	assert_int_equal(w_control(&w, "enable_stream_id", "true"), 0);
	assert_int_equal(w_control(&w, "enable_stream_id", "false"), 4);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		s.value = cases[i].value;
		uint16_t status = w_stream(&w, s);
		if (status != cases[i].status)
			fail_msg("case %zu: status %#x", i, status);
	}
	struct w_request close = { .opcode = W_CLOSE, .vb = 1 };
	assert_int_equal(w_ask(&w, close), 0x8d);
	close.framing = "22 0005";
	assert_int_equal(w_ask(&w, close), 1);
	close.framing = "22 0008";
	assert_int_equal(w_ask(&w, close), 0);
	w_close(&w);
	fake_stop(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pending_vbucket_makes_requests_wait_and_a_dead_one_is_not_here),
		cmocka_unit_test(a_state_that_changes_ends_the_streams),
		cmocka_unit_test(failover_logs_keep_the_newest_entries),
		cmocka_unit_test(a_collections_time_to_live_is_its_documents),
		cmocka_unit_test(an_access_expires_what_is_past_its_time),
		cmocka_unit_test(what_a_dropped_collection_had_is_not_sent),
		cmocka_unit_test(a_failover_that_loses_a_drop_drops_again),
		cmocka_unit_test(compaction_frees_what_no_failover_brings_back),
		cmocka_unit_test(an_ephemeral_bucket_persists_nothing_and_loses_all),
		cmocka_unit_test(quiet_commands_answer_only_what_went_wrong),
		cmocka_unit_test(durable_writes_need_copies_enough),
		cmocka_unit_test(the_error_map_is_of_the_version_asked_for),
		cmocka_unit_test(features_are_those_of_the_version),
		cmocka_unit_test(a_newer_map_is_pushed_whole_or_in_brief),
		cmocka_unit_test(a_stream_of_maps_has_a_block_for_each_change),
		cmocka_unit_test(a_stream_that_takes_nothing_loses_its_place_in_memory),
		cmocka_unit_test(a_name_in_use_ends_the_connection_that_has_it),
		cmocka_unit_test(who_says_nothing_is_cut_off),
		cmocka_unit_test(stream_ids_are_checked_to_the_end),
	};
	return cmocka_run_group_tests_name("fakecb/engine", tests, NULL, NULL);
}
