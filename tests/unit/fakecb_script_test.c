/* What a script does from outside, over HTTP, is done; and sub-document operations find their paths. Through bare sockets,
 * without src/dcp.
 */
#include "tests/fakecb_wire.h"

#include <time.h>

/* Every verb that a test of this file has run with success, each behind a blank. */
static char scripted[2000] = " ";

static void note(const char *verb)
{
	size_t len = strlen(scripted);
	(void)snprintf(scripted + len, sizeof(scripted) - len, "%.*s ", (int)strcspn(verb, "?"),
		       verb);
}

static int script(struct fake *f, const char *verb)
{
	char path[200];
	(void)snprintf(path, sizeof(path), "/_fake/%s", verb);
	int status = w_manage(f, W_ADMIN, "POST", path, "");
	if (status == 200)
		note(verb);
	return status;
}

static void asked(struct fake *f, const char *path, const char *wanted)
{
	struct wire h = w_connect(fake_http_port(f, 0));
	assert_int_equal(w_http(&h, W_ADMIN, "GET", path, ""), 200);
	if (!strstr((char *)h.got.p, wanted))
		fail_msg("%s: no %s in %s", path, wanted, (char *)h.got.p);
	w_close(&h);
}

/* ---- scripts ---- */

static void scripts_change_data_copies_and_places(void **state)
{
	(void)state;
	struct fake *f =
		fake_start(&(struct fake_options){ .nodes = 2, .replicas = 1, .vbuckets = 8 });
	assert_int_equal(w_manage(f, NULL, "POST", "/_fake/load", ""), 401);
	assert_int_equal(script(f, "nonsense"), 400);
	assert_int_equal(script(f, "hold"), 200);
	assert_int_equal(script(f, "set?key=a&vb=1&value=%7B%22n%22%3A1%7D"), 200);
	assert_int_equal(script(f, "set?key=b&vb=1"), 200);
	assert_int_equal(script(f, "delete?key=a&vb=1"), 200);
	asked(f, "/_fake/vb?vb=1",
	      "{\"high\":3,\"purge\":0,\"state\":\"active\",\"copies\":[{\"node\":0,\"have\":3,"
	      "\"persisted\":0},{\"node\":1,\"have\":0,\"persisted\":0}]");
	assert_int_equal(script(f, "replicate?vb=1&copy=1&seqno=2"), 200);
	assert_int_equal(script(f, "persist?vb=1&copy=1&seqno=1"), 200);
	asked(f, "/_fake/vb?vb=1", "{\"node\":1,\"have\":2,\"persisted\":1}");
	assert_int_equal(script(f, "failover?vb=1"), 200);
	asked(f, "/_fake/vb?vb=1", "{\"high\":2,");
	assert_int_equal(script(f, "crash?vb=1"), 200);
	asked(f, "/_fake/vb?vb=1", "{\"high\":1,");
	assert_int_equal(script(f, "move?vb=1&node=0"), 200);
	assert_int_equal(script(f, "state?vb=1&state=pending"), 200);
	asked(f, "/_fake/vb?vb=1", "\"state\":\"pending\",\"copies\":[{\"node\":0,");
	assert_int_equal(script(f, "rotate?vb=2&n=3"), 200);
	struct fake_branch log[FAKE_FAILOVER_MAX];
	assert_int_equal(fake_failover_log(f, 2, log), 4);
	assert_int_equal(script(f, "hold?on=0"), 200);
	assert_int_equal(script(f, "load?count=50&name=n&size=200"), 200);
	uint64_t all = 0;
	for (unsigned v = 0; v < 8; v++)
		all += fake_high_seqno(f, v);
	assert_int_equal(all, 51);
	asked(f, "/_fake/", "POST /_fake/storm");
	fake_stop(f);
}

static void scripts_say_which_bucket(void **state)
{
	(void)state;
	struct fake *f = fake_start(&(struct fake_options){ .vbuckets = 8 });
	assert_true(fake_create_bucket(f, &(struct fake_bucket){ .name = "other" }));
	assert_int_equal(script(f, "set?bucket=other&key=a&vb=1"), 200);
	assert_int_equal(script(f, "set?bucket=nope&key=a&vb=1"), 404);
	assert_int_equal(fake_high_seqno(f, 1), 0);
	asked(f, "/_fake/vb?bucket=other&vb=1", "{\"high\":1,");
	assert_int_equal(script(f, "recreate?bucket=other"), 200);
	asked(f, "/_fake/vb?bucket=other&vb=1", "{\"high\":0,");
	fake_stop(f);
}

static void scripts_let_things_go_wrong(void **state)
{
	(void)state;
	struct fake *f = fake_start(&(struct fake_options){ .vbuckets = 8 });
	struct w_stream s = { .vb = 1, .end = W_ENDLESS };
	struct w_request nop = { .opcode = 0x0a };
	(void)fake_set(f, 1, 0, "k", SLICE_LIT("1"));
	assert_int_equal(script(f, "status?opcode=0x53&status=0x86&count=2"), 200);
	assert_int_equal(script(f, "rollback?vb=1&to=9"), 200);
	struct wire w = w_dcp(f, 0, W_ALL_FEATURES, 0x21);
	assert_int_equal(w_stream(&w, s), 0x86);
	assert_int_equal(w_stream(&w, s), 0x86);
	assert_int_equal(w_stream(&w, s), 0x23);
	assert_int_equal(get_be64(w_part(&w, 'v').p), 9);
	for (unsigned reason = 0; reason <= 8; reason++) {
		char verb[40], want[12];
		assert_int_equal(w_stream(&w, s), 0);
		(void)snprintf(verb, sizeof(verb), "end?reason=%u", reason);
		assert_int_equal(script(f, verb), 200);
		(void)w_until(&w, W_END, 0);
		(void)snprintf(want, sizeof(want), "%08x", reason);
		w_equal(w_part(&w, 'x'), want);
	}
	assert_int_equal(script(f, "deaf"), 200); /* of the key-value port and this one, too */
	w_send(&w, nop);
	assert_true(w_silent(&w, 60));
	fake_clear_faults(f);
	(void)w_until(&w, 0x0a, 0);
	assert_int_equal(script(f, "split?n=5"), 200); /* headers in pieces */
	assert_int_equal(w_ask(&w, nop), 0);
	assert_int_equal(script(f, "clear"), 200);
	char byte;
	assert_int_equal(script(f, "cut?n=10"), 200);
	w_send(&w, nop);
	char part[10];
	assert_true(w_read(&w, part, 10));
	assert_false(w_read(&w, &byte, 1));
	w_close(&w);
	fake_stop(f);
}

/* ---- documents past their time, tombstones ---- */

static void last_kind(void *arg, uint64_t seqno, char kind, uint32_t cid, struct slice key,
		      struct slice value)
{
	(void)seqno;
	(void)cid;
	(void)key;
	(void)value;
	*(char *)arg = kind;
}

static char newest(struct fake *f, unsigned vb)
{
	char kind = 0;
	fake_history(f, vb, last_kind, &kind);
	return kind;
}

static void scripts_expire_purge_and_empty(void **state)
{
	(void)state;
	struct fake *f =
		fake_start(&(struct fake_options){ .vbuckets = 8, .expiry_pager_ms = 1 << 30 });
	assert_int_equal(script(f, "set?key=a&vb=1"), 200);
	assert_int_equal(script(f, "expire?key=a&vb=1"), 200);
	assert_int_equal(newest(f, 1), 'e');
	struct wire w = w_login(f, 0, W_ALL_FEATURES);
	/* its time was in 1970 + 40 days: nobody looks at it */
	assert_int_equal(w_ask(&w, (struct w_request){ .opcode = W_SET,
						       .vb = 1,
						       .extras = "00000000 00349000",
						       .key = "00 |b|",
						       .value = "|1|" }),
			 0);
	assert_int_equal(newest(f, 1), 'm');
	assert_int_equal(script(f, "pager"), 200);
	for (int i = 0; i < 1000 && newest(f, 1) == 'm'; i++)
		usleep(2000);
	assert_int_equal(newest(f, 1), 'e');
	assert_int_equal(script(f, "purge?vb=1&seqno=2"), 200);
	asked(f, "/_fake/vb?vb=1", "{\"high\":4,\"purge\":2,");
	assert_int_equal(script(f, "set?key=c&vb=1"), 200);
	assert_int_equal(script(f, "compact?vb=1&purge=4"), 200);
	asked(f, "/_fake/vb?vb=1", "{\"high\":5,\"purge\":4,");
	assert_int_equal(script(f, "warmup"), 200);
	struct w_request get = { .opcode = W_GET, .vb = 1, .key = "00 |c|" };
	assert_int_equal(w_ask(&w, get), 0x86);
	assert_int_equal(script(f, "warmup?on=0"), 200);
	assert_int_equal(w_ask(&w, get), 0);
	assert_int_equal(script(f, "flush"), 200);
	asked(f, "/_fake/vb?vb=1", "{\"high\":0,");
	w_close(&w);
	fake_stop(f);
}

/* ---- maps and users ---- */

static unsigned long revision(struct fake *f)
{
	struct wire h = w_connect(fake_http_port(f, 0));
	assert_int_equal(w_http(&h, W_ADMIN, "GET", "/_fake/stats", ""), 200);
	const char *rev = strstr((char *)h.got.p, "\"rev\":");
	assert_non_null(rev);
	unsigned long n = strtoul(rev + 6, NULL, 10);
	w_close(&h);
	return n;
}

static void scripts_change_maps_and_users(void **state)
{
	(void)state;
	struct fake *f =
		fake_start(&(struct fake_options){ .nodes = 2, .vbuckets = 8, .bucket_nodes = 1 });
	char port[16];
	(void)snprintf(port, sizeof(port), ":%u\"", fake_kv_port(f, 1));
	struct wire h = w_connect(fake_http_port(f, 0));
	assert_int_equal(w_http(&h, W_ADMIN, "GET", "/pools/default/b/default", ""), 200);
	assert_null(strstr((char *)h.got.p, port));
	w_close(&h);
	assert_int_equal(script(f, "add-node"), 400);
	assert_int_equal(script(f, "add-node?node=1"), 200);
	asked(f, "/pools/default/b/default", port);
	assert_int_equal(script(f, "alternate?node=1&host=far.example"), 200);
	asked(f, "/pools/default/b/default", "\"hostname\":\"far.example\"");
	unsigned long before = revision(f);
	assert_int_equal(script(f, "push"), 200);
	assert_true(revision(f) == before + 1);
	assert_int_equal(script(f, "storm?n=20"), 200);
	for (int i = 0; i < 1000 && revision(f) < before + 21; i++)
		usleep(2000);
	assert_true(revision(f) == before + 21);
	assert_int_equal(script(f, "user?name=eve&password=pw&roles=data_reader[*]"), 200);
	struct wire w = w_connect(fake_kv_port(f, 0));
	w_login_as(&w, W_ALL_FEATURES, "00 |eve| 00 |pw|");
	w_close(&w);
	fake_stop(f);
}

/* ---- more that goes wrong ---- */

static bool is_closed(struct wire *w)
{
	char byte;
	return !w_read(w, &byte, 1);
}

static long took_ms(struct wire *w)
{
	struct timespec a, b;
	clock_gettime(CLOCK_MONOTONIC, &a);
	assert_int_equal(w_ask(w, (struct w_request){ .opcode = 0x0a }), 0);
	clock_gettime(CLOCK_MONOTONIC, &b);
	return (b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000;
}

/* All of it at node 1: the scripts go by node 0. */
static void scripts_slow_silence_and_close(void **state)
{
	(void)state;
	struct fake *f = fake_start(&(struct fake_options){ .nodes = 2, .vbuckets = 8 });
	struct w_request nop = { .opcode = 0x0a };
	struct wire w = w_login(f, 1, W_ALL_FEATURES);
	assert_int_equal(script(f, "slow?node=1&n=80"), 200);
	(void)took_ms(&w);
	assert_true(took_ms(&w) >= 40); /* it waits after each send */
	assert_int_equal(script(f, "slow?node=1&n=0"), 200);
	assert_int_equal(script(f, "garble?node=1&n=4"), 200);
	static const uint8_t answer[24] = { 0x81, 0x0a };
	uint8_t bytes[24];
	w_send(&w, nop);
	assert_true(w_read(&w, bytes, 24) && memcmp(bytes, answer, 24) != 0);
	assert_int_equal(script(f, "garble?node=1&n=0"), 200);
	(void)took_ms(&w);
	assert_int_equal(script(f, "stall?node=1"), 200);
	w_send(&w, nop);
	assert_true(w_silent(&w, 60));
	assert_int_equal(script(f, "stall?node=1&on=0"), 200);
	w_next(&w);
	assert_int_equal(script(f, "drop?node=1"), 200);
	assert_true(is_closed(&w));
	w_close(&w);
	assert_int_equal(script(f, "down?node=1"), 200);
	w = w_connect(fake_kv_port(f, 1));
	assert_true(is_closed(&w));
	w_close(&w);
	assert_int_equal(script(f, "down?node=1&on=0"), 200);
	assert_int_equal(script(f, "cut?node=1&next=1&n=10"), 200);
	w = w_connect(fake_kv_port(f, 1));
	char part[10];
	w_send(&w, nop);
	assert_true(w_read(&w, part, 10) && is_closed(&w));
	w_close(&w);
	assert_int_equal(script(f, "cut?node=1&input=1&n=30"), 200);
	w = w_connect(fake_kv_port(f, 1));
	w_send(&w, nop); /* 24 bytes */
	w_next(&w);
	w_send(&w, nop);
	assert_true(is_closed(&w));
	w_close(&w);
	w = w_connect(fake_kv_port(f, 1));
	assert_int_equal(w_ask(&w, nop), 0);
	w_close(&w);
	fake_stop(f);
}

static void scripts_disturb_streams(void **state)
{
	(void)state;
	struct fake *f = fake_start(&(struct fake_options){ .vbuckets = 8 });
	struct w_stream s = { .vb = 1, .end = W_ENDLESS };
	(void)fake_set(f, 1, 0, "k", SLICE_LIT("1"));
	struct wire w = w_dcp(f, 0, W_ALL_FEATURES, 0x21);
	assert_int_equal(w_stream(&w, s), 0);
	(void)w_until(&w, W_MUTATION, 1);
	assert_int_equal(script(f, "repeat?vb=1"), 200);
	(void)w_until(&w, W_MARKER, 0);
	(void)w_until(&w, W_MUTATION, 1);
	assert_int_equal(script(f, "unknown?vb=1&opcode=0x7f&n=5"), 200);
	(void)w_until(&w, 0x7f, 0);
	assert_int_equal(w_part(&w, 'v').len, 5);
	assert_int_equal(script(f, "cursor?vb=1"), 200); /* it may not go back to the disk */
	(void)w_until(&w, W_END, 0);
	w_equal(w_part(&w, 'x'), "00000004");
	w_close(&w);
	fake_stop(f);
}

/* After all others: a verb that no test runs is one that nobody knows to work. */
static void every_verb_was_scripted(void **state)
{
	(void)state;
	struct fake *f = fake_start(&(struct fake_options){ .vbuckets = 8 });
	struct wire h = w_connect(fake_http_port(f, 0));
	unsigned verbs = 0;
	assert_int_equal(w_http(&h, W_ADMIN, "GET", "/_fake/", ""), 200);
	for (const char *p = (char *)h.got.p; (p = strstr(p, "POST /_fake/")); verbs++) {
		char name[40];
		p += strlen("POST /_fake/");
		(void)snprintf(name, sizeof(name), " %.*s ", (int)strcspn(p, "?"), p);
		if (!strstr(scripted, name))
			fail_msg("nobody scripted%s", name);
	}
	assert_true(verbs > 30);
	w_close(&h);
	fake_stop(f);
}

/* ---- sub-documents ---- */

static void paths_lead_where_they_say(void **state)
{
	(void)state;
	static const struct {
		uint8_t op, flags;
		const char *path, *value;
		uint16_t status;
		const char *after; /* the document; NULL: as it was */
	} cases[] = {
		{ 0xc8, 0, "a", "2", 0, "{\"a\":2,\"l\":[1, 2],\"d.e\":{}}" },
		{ 0xc8, 0, "new", "true", 0, "{\"a\":1,\"l\":[1, 2],\"d.e\":{},\"new\":true}" },
		{ 0xc8, 0, "`d.e`.x", "\"y\"", 0, "{\"a\":1,\"l\":[1, 2],\"d.e\":{\"x\":\"y\"}}" },
		{ 0xc8, 0, "x.y", "1", 0xc0, NULL },
		{ 0xc8, 1, "x.y.z", "1", 0,
		  "{\"a\":1,\"l\":[1, 2],\"d.e\":{},\"x\":{\"y\":{\"z\":1}}}" },
		{ 0xc7, 0, "a", "2", 0xc9, NULL },
		{ 0xc9, 0, "a", "", 0, "{\"l\":[1, 2],\"d.e\":{}}" },
		{ 0xc9, 0, "`d.e`", "", 0, "{\"a\":1,\"l\":[1, 2]}" },
		{ 0xc9, 0, "l[0]", "", 0, "{\"a\":1,\"l\":[ 2],\"d.e\":{}}" },
		{ 0xca, 0, "l[-1]", "[3]", 0, "{\"a\":1,\"l\":[1, [3]],\"d.e\":{}}" },
		{ 0xca, 0, "nope", "1", 0xc0, NULL },
		{ 0xcb, 0, "l", "3,4", 0, "{\"a\":1,\"l\":[1, 2,3,4],\"d.e\":{}}" },
		{ 0xcc, 0, "l", "0", 0, "{\"a\":1,\"l\":[0,1, 2],\"d.e\":{}}" },
		{ 0xcd, 0, "l[1]", "9", 0, "{\"a\":1,\"l\":[1, 9,2],\"d.e\":{}}" },
		{ 0xcd, 0, "l[2]", "9", 0, "{\"a\":1,\"l\":[1, 2,9],\"d.e\":{}}" },
		{ 0xcd, 0, "l[3]", "9", 0xc0, NULL },
		{ 0xce, 0, "l", "2", 0xc9, NULL },
		{ 0xce, 0, "l", "{}", 0xc5, NULL },
		{ 0xcf, 0, "a", "-5", 0, "{\"a\":-4,\"l\":[1, 2],\"d.e\":{}}" },
		{ 0xcf, 0, "l", "1", 0xc1, NULL },
		{ 0xcf, 0, "a", "0", 0xc8, NULL },
		{ 0xcf, 0, "a", "9223372036854775807", 0xc7, NULL },
		{ 0xc8, 0, "a.b", "1", 0xc1, NULL },
		{ 0xc8, 0, "a..b", "1", 0xc2, NULL },
		{ 0xc8, 0, "a", "{no", 0xc5, NULL },
		{ 0xcb, 1, "m.n", "1", 0, "{\"a\":1,\"l\":[1, 2],\"d.e\":{},\"m\":{\"n\":[1]}}" },
	};
	static const char doc[] = "{\"a\":1,\"l\":[1, 2],\"d.e\":{}}";
	struct fake *f = fake_start(&(struct fake_options){ .vbuckets = 8 });
	struct wire w = w_login(f, 0, W_ALL_FEATURES);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char value[200], want[200];
		(void)fake_set(f, 1, 0, "k", SLICE_LIT(doc));
		(void)snprintf(value, sizeof(value), "%02x %02x %04zx %08zx |%s| |%s|", cases[i].op,
			       cases[i].flags, strlen(cases[i].path), strlen(cases[i].value),
			       cases[i].path, cases[i].value);
		uint16_t status = w_ask(&w, (struct w_request){ .opcode = W_SUBDOC,
								.vb = 1,
								.key = "00|k|",
								.value = value });
		if (status == 0xcc)
			status = get_be16(w_part(&w, 'v').p + 1);
		if (status != cases[i].status)
			fail_msg("case %zu, %s: status %#x", i, cases[i].path, status);
		assert_int_equal(
			w_ask(&w, (struct w_request){ .opcode = W_GET, .vb = 1, .key = "00|k|" }),
			0);
		(void)snprintf(want, sizeof(want), "|%s|", cases[i].after ? cases[i].after : doc);
		w_equal(w_part(&w, 'v'), want);
	}
	/* A single lookup, a count, and what is in an extended attribute. */
	(void)fake_set(f, 1, 0, "k", SLICE_LIT(doc));
	assert_int_equal(w_ask(&w, (struct w_request){ .opcode = 0xc5,
						       .vb = 1,
						       .key = "00|k|",
						       .extras = "0004 00",
						       .value = "|l[1]|" }),
			 0);
	w_equal(w_part(&w, 'v'), "|2|");
	assert_int_equal(w_ask(&w, (struct w_request){ .opcode = 0xd2,
						       .vb = 1,
						       .key = "00|k|",
						       .extras = "0001 00",
						       .value = "|l|" }),
			 0);
	w_equal(w_part(&w, 'v'), "|2|");
	assert_int_equal(w_ask(&w, (struct w_request){ .opcode = W_SUBDOC,
						       .vb = 1,
						       .key = "00|k|",
						       .value = "c8 05 0003 00000002 |x.y| |12|"
								"cf 04 0003 00000001 |x.y| |3|" }),
			 0);
	w_equal(w_part(&w, 'v'), "01 0000 00000002 |15|");
	assert_int_equal(w_ask(&w,
			       (struct w_request){
				       .opcode = 0xd0,
				       .vb = 1,
				       .key = "00|k|",
				       .value = "c5 04 0001 |x| c6 00 0001 |z| 00 00 0000" }),
			 0xcc);
	w_equal(w_part(&w, 'v'), "0000 00000008 |{\"y\":15}| 00c0 00000000 0000 0000001b "
				 "|{\"a\":1,\"l\":[1, 2],\"d.e\":{}}|");
	w_close(&w);
	fake_stop(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scripts_change_data_copies_and_places),
		cmocka_unit_test(scripts_say_which_bucket),
		cmocka_unit_test(scripts_let_things_go_wrong),
		cmocka_unit_test(scripts_expire_purge_and_empty),
		cmocka_unit_test(scripts_change_maps_and_users),
		cmocka_unit_test(scripts_slow_silence_and_close),
		cmocka_unit_test(scripts_disturb_streams),
		cmocka_unit_test(every_verb_was_scripted),
		cmocka_unit_test(paths_lead_where_they_say),
	};
	return cmocka_run_group_tests_name("fakecb/script", tests, NULL, NULL);
}
