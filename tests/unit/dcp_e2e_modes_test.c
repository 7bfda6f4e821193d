/* Ways to stream: with ids, of several scopes, with history, without values, compressed, and what a server may do within
 * them, against the simulated cluster. */
#include "tests/dcp_world.h"

#include "weir/dcp_config.h"

enum { VBS = 4 };

static void put(struct world *w, unsigned vb, uint32_t cid, const char *key, const char *value)
{
	assert_true(fake_set(w->fake, vb, cid, key, slice_str(value)) > 0);
}

/* ---- what came, as it came ---- */

struct arrived {
	struct dcp_event ev;
	char key[24];
	uint8_t value[512];
};

struct take {
	struct arrived a[64];
	size_t n;
};

static void poll_into(struct world *w, struct take *t, size_t n)
{
	struct err e = ERR_INIT;
	nsec deadline = now() + PATIENCE;
	while (t->n < n && now() < deadline) {
		struct dcp_batch b;
		int rc = dcp_source_poll(w->source, &b, 20 * NSEC_PER_MS, &e);
		assert_true(rc >= 0);
		for (size_t i = 0; rc && i < b.n; i++) {
			struct arrived *a = &t->a[t->n++];
			assert_true(t->n <= ARRAY_LEN(t->a));
			a->ev = b.ev[i];
			(void)snprintf(a->key, sizeof(a->key), SLICE_FMT, SLICE_ARG(b.ev[i].key));
			assert_true(b.ev[i].value.len <= sizeof(a->value));
			if (b.ev[i].value.len)
				memcpy(a->value, b.ev[i].value.p, b.ev[i].value.len);
			a->ev.value.p = a->value;
		}
		if (rc)
			(void)dcp_source_ack_batch(w->source, b.ev, b.n);
	}
	assert_int_equal(t->n, n);
}

static void nothing_more(struct world *w)
{
	struct err e = ERR_INIT;
	struct dcp_batch b;
	assert_int_equal(dcp_source_poll(w->source, &b, 50 * NSEC_PER_MS, &e), 0);
}

/* ---- stream ids ---- */

static void streams_with_ids_open_deliver_close_and_open_again(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct take t = { .n = 0 };
	struct world *w = world_new(&(struct fake_options){ .vbuckets = VBS });
	w->o.stream_id = 7;
	put(w, 0, 0, "a", "1");
	world_open(w);
	poll_into(w, &t, 1);
	/* delivered, so its message carried the id: one without is a violation */
	/* closed by the frame with its id, else the second request finds the stream still there */
	assert_ok(dcp_source_pause(w->source, 0, &e), &e);
	put(w, 0, 0, "b", "2");
	assert_ok(dcp_source_resume(w->source, 0, &e), &e);
	poll_into(w, &t, 2);
	struct dcp_status st;
	assert_int_equal(dcp_source_status(w->source, &st, NULL, NULL), 0);
	assert_int_equal(st.n_streaming, VBS);
	fake_drop_connections(w->fake, -1);
	put(w, 0, 0, "c", "3");
	poll_into(w, &t, 3);
	world_free(w);
}

static void a_server_that_refuses_the_id_ends_the_vbucket(void **state)
{
	(void)state;
	struct world *w = world_new(&(struct fake_options){ .vbuckets = VBS });
	w->o.stream_id = 7;
	struct take t = { .n = 0 };
	fake_fault(w->fake, &(struct fake_fault){ .kind = FAKE_STATUS,
						  .node = -1,
						  .vb = 2,
						  .opcode = 0x53,
						  .status = 0x8d,
						  .count = 100 });
	world_open(w);
	poll_into(w, &t, 1);
	assert_int_equal(t.a[0].ev.kind, DCP_END);
	assert_int_equal(t.a[0].ev.code, ERR_UNSUPPORTED);
	assert_int_equal(t.a[0].ev.vb, 2);
	world_free(w);
}

/* ---- collections of several scopes ---- */

static void collections_of_several_scopes_come_in_one_stream(void **state)
{
	(void)state;
	struct world *w = world_new(&(struct fake_options){ .vbuckets = VBS });
	static const char *const names[] = { "shop.orders", "users", "audit.log" };
	(void)fake_create_scope(w->fake, "shop");
	(void)fake_create_scope(w->fake, "people");
	(void)fake_create_scope(w->fake, "audit");
	uint32_t orders = fake_create_collection(w->fake, "shop", "orders"),
		 other = fake_create_collection(w->fake, "shop", "other"),
		 users = fake_create_collection(w->fake, "people", "users"),
		 logs = fake_create_collection(w->fake, "audit", "log");
	w->o.scope = "people";
	w->o.collections = names;
	w->o.n_collections = ARRAY_LEN(names);
	put(w, 1, orders, "o", "1");
	put(w, 1, other, "x", "1");
	put(w, 1, 0, "d", "1");
	put(w, 1, users, "u", "1");
	put(w, 1, logs, "l", "1");
	world_open(w);
	struct take t = { .n = 0 };
	poll_into(w, &t, 3);
	static const char *const want[][3] = { { "o", "shop", "orders" },
					       { "u", "people", "users" },
					       { "l", "audit", "log" } };
	for (size_t i = 0; i < 3; i++) {
		const char *scope, *name;
		assert_true(dcp_source_collection(w->source, t.a[i].ev.collection, &scope, &name));
		assert_string_equal(t.a[i].key, want[i][0]);
		assert_string_equal(scope, want[i][1]);
		assert_string_equal(name, want[i][2]);
	}
	nothing_more(w);
	world_free(w);
}

static void names_that_do_not_exist_are_named(void **state)
{
	(void)state;
	static const struct {
		const char *scope, *name;
		int code;
		const char *message;
	} cases[] = {
		{ NULL, "shop.nothing", ERR_NOTFOUND,
		  "bucket default has no collection shop.nothing" },
		{ NULL, "nowhere.orders", ERR_NOTFOUND,
		  "bucket default has no scope nowhere, of collection nowhere.orders" },
		{ "shop", "nothing", ERR_NOTFOUND,
		  "bucket default has no collection shop.nothing" },
		{ NULL, "orders", ERR_NOTFOUND,
		  "bucket default has no collection _default.orders" },
		{ NULL, "a.b.c", ERR_INVALID,
		  "'a.b.c' is no collection: it is NAME, or SCOPE.NAME" },
		{ NULL, ".b", ERR_INVALID, "'.b' is no collection: it is NAME, or SCOPE.NAME" },
		{ NULL, "b.", ERR_INVALID, "'b.' is no collection: it is NAME, or SCOPE.NAME" },
	};
	struct world *w = world_new(&(struct fake_options){ .vbuckets = VBS });
	(void)fake_create_scope(w->fake, "shop");
	(void)fake_create_collection(w->fake, "shop", "orders");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err e = ERR_INIT;
		w->o.scope = cases[i].scope;
		w->o.collections = &cases[i].name;
		w->o.n_collections = 1;
		assert_int_equal(dcp_source_open(&w->o, &w->source, &e), cases[i].code);
		assert_string_equal(e.msg, cases[i].message);
	}
	w->source = NULL;
	world_free(w);
}

/* ---- what happens to collections ---- */

struct told {
	enum dcp_system_kind kind;
	const char *name;
	bool has_ttl;
	uint32_t max_ttl;
	bool flushed;
};

/* Each as the server tells it, with its fields; of one vBucket. */
static void collections_that_come_change_are_emptied_and_go_are_told(void **state)
{
	(void)state;
	static const struct told want[] = {
		{ DCP_SCOPE_CREATED, "shop", false, 0, false },
		{ DCP_COLLECTION_CREATED, "orders", true, 60, false },
		{ DCP_COLLECTION_MODIFIED, "orders", true, 90, false },
		{ DCP_COLLECTION_CREATED, "orders", true, 90, true },
		{ DCP_COLLECTION_DROPPED, "", false, 0, false },
		{ DCP_SCOPE_DROPPED, "", false, 0, false },
	};
	struct take t = { .n = 0 };
	struct err e = ERR_INIT;
	struct fake_collection c = { "shop", "orders", true, 60, false };
	struct world *w = world_new(&(struct fake_options){ .vbuckets = VBS });
	w->o.system_events = true;
	assert_ok(dcp_source_open(&w->o, &w->source, &e), &e);
	assert_ok(dcp_source_assign(w->source, (uint16_t[]){ 0 }, 1, &e), &e);
	assert_int_equal(dcp_source_wait_open(w->source, PATIENCE, &e), 1);
	uint32_t scope = fake_create_scope(w->fake, "shop");
	poll_into(w, &t, 1);
	uint32_t id = fake_create_collection_as(w->fake, &c);
	poll_into(w, &t, 2);
	c.max_ttl = 90;
	assert_true(fake_modify_collection(w->fake, &c));
	poll_into(w, &t, 3);
	assert_true(fake_flush_collection(w->fake, "shop", "orders"));
	poll_into(w, &t, 4);
	assert_true(fake_drop_scope(w->fake, "shop"));
	poll_into(w, &t, ARRAY_LEN(want));
	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		const struct dcp_system *s = &t.a[i].ev.system;
		bool of_scope =
			want[i].kind == DCP_SCOPE_CREATED || want[i].kind == DCP_SCOPE_DROPPED;
		assert_int_equal(t.a[i].ev.kind, DCP_SYSTEM);
		assert_int_equal(s->kind, want[i].kind);
		assert_string_equal(t.a[i].key, want[i].name);
		assert_int_equal(s->scope, scope);
		assert_int_equal(s->collection, of_scope ? 0 : id);
		assert_true(s->has_ttl == want[i].has_ttl && s->max_ttl == want[i].max_ttl);
		assert_true((s->flush_uid != 0) == want[i].flushed);
	}
	world_free(w);
}

/* ---- history ---- */

static void change_history_brings_every_version_and_resumes_in_the_middle(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct take t = { .n = 0 };
	struct world *w = world_new(&(struct fake_options){ .vbuckets = VBS, .magma = true });
	w->o.change_streams = true;
	put(w, 0, 0, "a", "1");
	put(w, 0, 0, "a", "2");
	put(w, 0, 0, "b", "3");
	put(w, 0, 0, "a", "4");
	(void)fake_delete(w->fake, 0, 0, "a");
	world_open(w);
	poll_into(w, &t, 5);
	for (size_t i = 0; i < 5; i++) {
		assert_true(t.a[i].ev.pos.seqno == i + 1);
		assert_true(t.a[i].ev.snapshot_flags & SNAPSHOT_HISTORY);
		assert_true(t.a[i].ev.snapshot_flags & SNAPSHOT_DUPLICATES);
	}
	assert_int_equal(t.a[4].ev.kind, DCP_DELETION);
	/* a rollback into it goes to where everything was seen, and brings the versions again */
	fake_fault(w->fake,
		   &(struct fake_fault){
			   .kind = FAKE_ROLLBACK, .node = -1, .vb = 0, .n = 3, .count = 1 });
	fake_drop_connections(w->fake, -1);
	t.n = 0;
	poll_into(w, &t, 6);
	assert_int_equal(t.a[0].ev.kind, DCP_ROLLBACK);
	assert_true(t.a[1].ev.pos.seqno == 1 && t.a[5].ev.pos.seqno == 5);
	assert_ok(dcp_source_close(w->source, &e), &e);
	w->source = NULL;
	world_free(w);
}

static void without_storage_that_keeps_history_the_newest_versions_come(void **state)
{
	(void)state;
	struct take t = { .n = 0 };
	struct world *w = world_new(&(struct fake_options){ .vbuckets = VBS });
	w->o.change_streams = true; /* answered with 0x83 */
	put(w, 0, 0, "a", "1");
	put(w, 0, 0, "a", "2");
	world_open(w);
	poll_into(w, &t, 1);
	assert_true(t.a[0].ev.pos.seqno == 2);
	assert_false(t.a[0].ev.snapshot_flags & (SNAPSHOT_HISTORY | SNAPSHOT_DUPLICATES));
	world_free(w);
}

/* ---- settings of the connection ---- */

static void priorities_and_orders_are_taken_and_bad_ones_refused_at_once(void **state)
{
	(void)state;
	static const char *const good[] = { "low", "medium", "high" };
	static const char *const bad[] = { "", "urgent", "LOW" };
	struct err e = ERR_INIT;
	struct world *w = world_new(&(struct fake_options){ .vbuckets = VBS });
	put(w, 0, 0, "a", "1");
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct take t = { .n = 0 };
		w->o.priority = good[i];
		w->o.backfill_order = i ? "sequential" : "round-robin";
		world_open(w);
		poll_into(w, &t, 1);
		world_close(w);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		w->o.priority = bad[i];
		w->o.backfill_order = NULL;
		assert_int_equal(dcp_source_open(&w->o, &w->source, &e), ERR_INVALID);
		w->o.priority = NULL;
		w->o.backfill_order = bad[i];
		assert_int_equal(dcp_source_open(&w->o, &w->source, &e), ERR_INVALID);
	}
	w->source = NULL;
	world_free(w);
}

static void keys_come_without_values_and_with_their_datatype_if_wanted(void **state)
{
	(void)state;
	struct world *w = world_new(&(struct fake_options){ .vbuckets = VBS });
	put(w, 0, 0, "a", "{\"n\":1}");
	for (int keep = 0; keep < 2; keep++) {
		struct take t = { .n = 0 };
		w->o.no_value = !keep;
		w->o.no_value_datatype = keep;
		world_open(w);
		poll_into(w, &t, 1);
		assert_string_equal(t.a[0].key, "a");
		assert_int_equal(t.a[0].ev.value.len, 0);
		assert_int_equal(t.a[0].ev.datatype & DATATYPE_JSON, keep ? DATATYPE_JSON : 0);
		assert_true(t.a[0].ev.cas != 0);
		world_close(w);
	}
	world_free(w);
}

static void values_that_come_compressed_are_handed_out_plain(void **state)
{
	(void)state;
	struct take t = { .n = 0 };
	struct world *w = world_new(&(struct fake_options){ .vbuckets = VBS });
	char value[400];
	memset(value, 'x', sizeof(value));
	value[0] = value[398] = '"';
	value[399] = '\0';
	w->o.force_compression = true;
	put(w, 0, 0, "a", value);
	world_open(w);
	poll_into(w, &t, 1);
	assert_true(slice_is(t.a[0].ev.value, value));
	assert_false(t.a[0].ev.datatype & DATATYPE_SNAPPY);
	assert_true(t.a[0].ev.wire_bytes < 200); /* it did come compressed */
	world_free(w);
}

/* The deletion of "b" is in the first read from disk, that of "c" comes later. */
static void deletions_of_the_first_read_are_left_out_where_servers_can(void **state)
{
	(void)state;
	for (unsigned version = 72; version <= 80; version += 8) {
		struct take t = { .n = 0 };
		struct world *w =
			world_new(&(struct fake_options){ .vbuckets = VBS, .version = version });
		bool can = version == 80;
		w->o.skip_deletes = true;
		put(w, 0, 0, "a", "1");
		put(w, 0, 0, "b", "2");
		(void)fake_delete(w->fake, 0, 0, "b");
		put(w, 0, 0, "c", "4");
		world_open(w);
		poll_into(w, &t, can ? 2 : 3);
		(void)fake_delete(w->fake, 0, 0, "c");
		poll_into(w, &t, can ? 3 : 4);
		for (size_t i = 0; i < t.n; i++)
			assert_true(!can || t.a[i].ev.pos.seqno != 3);
		assert_int_equal(t.a[t.n - 1].ev.kind, DCP_DELETION);
		assert_string_equal(t.a[t.n - 1].key, "c");
		world_free(w);
	}
}

/* ---- a slow reader ---- */

/* 64 items in snapshots of 8, a window for a few of them; the cursor is dropped in the middle of one. */
static void drop_cursor_in_mid_stream(bool allowed)
{
	static char big[8192];
	struct world *w =
		world_new(&(struct fake_options){ .vbuckets = VBS, .checkpoint_items = 8 });
	struct err e = ERR_INIT;
	memset(big, 'x', sizeof(big) - 1);
	w->o.window_bytes = 64 << 10;
	w->o.cursor_dropping = allowed;
	world_open(w);
	settle(w, VBS, PATIENCE);
	assert_ok(dcp_source_pause(w->source, 0, &e), &e);
	for (int i = 0; i < 64; i++) {
		char key[24];
		(void)snprintf(key, sizeof(key), "k%d", i % 30);
		(void)fake_set(w->fake, 0, 0, key, slice_str(big));
	}
	assert_ok(dcp_source_resume(w->source, 0, &e), &e);
	for (int drops = 0; drops < 5; drops++) {
		(void)pump_once(w, 50 * NSEC_PER_MS);
		fake_fault(w->fake,
			   &(struct fake_fault){ .kind = FAKE_DROP_CURSOR, .node = -1, .vb = 0 });
	}
	settle(w, VBS, PATIENCE);
	assert_true(w->rollbacks == 0);
	world_free(w);
}

static void a_dropped_cursor_comes_back_as_a_disk_snapshot_without_a_gap(void **state)
{
	(void)state;
	drop_cursor_in_mid_stream(true);
}

static void where_dropping_is_not_allowed_the_stream_ends_and_goes_on(void **state)
{
	(void)state;
	drop_cursor_in_mid_stream(false);
}

/* ---- purges ---- */

/* A client that has read a purged history from its beginning missed no deletion by the purge. It is in the middle of it
 * when its connection goes: below the purge seqno, which a server takes for a reason to begin anew. */
static void a_purge_that_was_seen_is_no_reason_to_go_back(void **state)
{
	(void)state;
	struct world *w = world_new(&(struct fake_options){ .vbuckets = VBS, .version = 80 });
	struct fake_stats st;
	for (int i = 0; i < 40; i++) {
		char key[24];
		(void)snprintf(key, sizeof(key), "k%d", i);
		put(w, 0, 0, key, "{}");
	}
	(void)fake_delete(w->fake, 0, 0, "k0");
	put(w, 0, 0, "k0", "{}");
	fake_purge(w->fake, 0, 41);
	w->o.window_bytes = 1000; /* some of it: what is not taken keeps the rest away */
	world_open(w);
	while (w->events == 0)
		assert_true(pump_once(w, PATIENCE));
	assert_true(w->events < 30);
	fake_drop_connections(w->fake, -1);
	settle(w, VBS, PATIENCE);
	fake_stats(w->fake, &st);
	assert_true(st.stream_requests > VBS);
	assert_true(st.rollbacks == 0);
	assert_true(w->rollbacks == 0 && w->duplicates == 0);
	world_free(w);
}

/* ---- the keys of configuration files ---- */

static void files_say_how_to_stream(void **state)
{
	(void)state;
	static const char head[] = "hosts: h\nuser: u\npassword: p\nbucket: b\n"
				   "collections: [shop.orders, users]\nstream:\n";
	static const char *const bad[] = { "  id: 0\n",
					   "  id: 65536\n",
					   "  backfill_order: any\n",
					   "  priority: urgent\n",
					   "  compress: 3\n",
					   "  high_seqno_interval: 9ms\n" };
	weir_error e = WEIR_ERROR_INIT;
	weir_dcp_config *c;
	char text[400];
	(void)snprintf(text, sizeof(text), "%s%s", head,
		       "  id: 65535\n  backfill_order: sequential\n  cursor_dropping: true\n"
		       "  compress: true\n  no_value_datatype: true\n  skip_initial_deletes: true\n"
		       "  priority: medium\n  change_history: true\n"
		       "  high_seqno_interval: 250ms\n");
	assert_int_equal(weir_dcp_config_parse(text, strlen(text), "f.yml", &c, &e), 0);
	const weir_dcp_options *o = weir_dcp_config_options(c);
	assert_int_equal(o->stream_id, 65535);
	assert_string_equal(o->backfill_order, "sequential");
	assert_string_equal(o->collections, "shop.orders,users");
	assert_string_equal(o->priority, "medium");
	assert_int_equal(o->high_seqno_ms, 250);
	assert_true(o->cursor_dropping && o->force_compression && o->no_value_datatype);
	assert_true(o->skip_initial_deletes && o->change_history && !o->no_value);
	weir_dcp_config_free(c);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		(void)snprintf(text, sizeof(text), "%s%s", head, bad[i]);
		assert_int_equal(weir_dcp_config_parse(text, strlen(text), "f.yml", &c, &e),
				 WEIR_ERR_INVALID);
		assert_non_null(strstr(e.message, "f.yml:7:"));
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(streams_with_ids_open_deliver_close_and_open_again),
		cmocka_unit_test(a_server_that_refuses_the_id_ends_the_vbucket),
		cmocka_unit_test(collections_of_several_scopes_come_in_one_stream),
		cmocka_unit_test(names_that_do_not_exist_are_named),
		cmocka_unit_test(collections_that_come_change_are_emptied_and_go_are_told),
		cmocka_unit_test(change_history_brings_every_version_and_resumes_in_the_middle),
		cmocka_unit_test(without_storage_that_keeps_history_the_newest_versions_come),
		cmocka_unit_test(priorities_and_orders_are_taken_and_bad_ones_refused_at_once),
		cmocka_unit_test(keys_come_without_values_and_with_their_datatype_if_wanted),
		cmocka_unit_test(values_that_come_compressed_are_handed_out_plain),
		cmocka_unit_test(deletions_of_the_first_read_are_left_out_where_servers_can),
		cmocka_unit_test(a_dropped_cursor_comes_back_as_a_disk_snapshot_without_a_gap),
		cmocka_unit_test(where_dropping_is_not_allowed_the_stream_ends_and_goes_on),
		cmocka_unit_test(a_purge_that_was_seen_is_no_reason_to_go_back),
		cmocka_unit_test(files_say_how_to_stream),
	};
	return cmocka_run_group_tests_name("dcp/e2e_modes", tests, NULL, NULL);
}
