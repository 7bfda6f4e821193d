/* app_conf_yaml_test.c: configuration files: YAML, variables, the option table, and go-dcp's files. */
#include "tests/scarce.h"
#include "tests/test.h"

#include "app/conf_couchbase.h"
#include "dcp/options.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD "hosts: [a, b]\nuser: u\npassword: p\nbucket: o\n"

__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);

/* libfyaml 0.7.12 does not free what it used to join a scalar of many parts (fy_token_get_text). */
const char *__lsan_default_suppressions(void)
{
	return "leak:libfyaml.so";
}

static const char *variable(void *arg, const char *name)
{
	(void)arg;
	if (strcmp(name, "SET") == 0)
		return "from outside";
	if (strcmp(name, "EMPTY") == 0)
		return "";
	if (strcmp(name, "SIZE") == 0)
		return "1MiB";
	if (strcmp(name, "TRICK") == 0)
		return "x\nbucket: other ${SET}";
	return NULL;
}

static int read_text(const char *text, struct dcp_config *c, struct err *e)
{
	return conf_couchbase_read(slice_str(text), "w.yml", variable, NULL, c, e);
}

static void refused(const char *text, int code, const char *message)
{
	struct dcp_config c;
	struct err e = ERR_INIT;
	int rc = read_text(text, &c, &e);
	if (rc >= 0)
		dcp_config_done(&c);
	if (rc != code || strcmp(e.msg, message) != 0)
		fail_msg("%s\ngave %s \"%s\",\nnot %s \"%s\"", text, err_name(rc), e.msg,
			 err_name(code), message);
}

static void a_certificate_needs_no_user(void **state)
{
	(void)state;
	struct dcp_config c;
	struct err e = ERR_INIT;
	assert_ok(read_text("hosts: [couchbases://a]\nbucket: o\nnetwork: external\n"
			    "tls: {cert: c.pem, key: k.pem}\n",
			    &c, &e),
		  &e);
	assert_true(c.tls && !c.user && !c.password && c.network == 2);
	dcp_config_done(&c);
	assert_int_equal(read_text("hosts: [a]\nbucket: o\ntls: {ca: c.pem}\n", &c, &e),
			 ERR_INVALID);
	assert_non_null(strstr(e.msg, "user is missing"));
}

static void a_whole_file_sets_what_it_says_and_leaves_the_defaults(void **state)
{
	(void)state;
	struct dcp_config c;
	struct err e = ERR_INIT;
	assert_ok(read_text("\xEF\xBB\xBFhosts:\r\n  - 10.0.0.1\r\n  - '10.0.0.2:11999'\r\n"
			    "user: weir # who\r\npassword: \"p:#{}\"\r\nbucket: orders\r\n"
			    "collections: a,b\r\ntls:\r\n  ca: ca.pem\r\n"
			    "stream: { window: 1.5MiB, mode: finite, from: now, noop: 1m30s,\r\n"
			    "          skip_until: 2026-01-31T10:00:00Z, priority: high }\r\n"
			    "checkpoint:\r\n  file: f.json\r\n  interval: 500ms\r\n"
			    "  ahead: restart\r\n"
			    "mitigation: {policy: majority}\r\ngroup: {member: 2, total: 3}\r\n",
			    &c, &e),
		  &e);
	assert_string_equal(c.hosts, "10.0.0.1,10.0.0.2:11999");
	assert_string_equal(c.user, "weir");
	assert_string_equal(c.password, "p:#{}");
	assert_string_equal(c.collections, "a,b");
	assert_true(c.tls);
	assert_string_equal(c.tls_ca, "ca.pem");
	assert_int_equal(c.window_bytes, 1536 << 10);
	assert_int_equal(c.mode, DCP_MODE_FINITE);
	assert_int_equal(c.from, DCP_FROM_NOW);
	assert_int_equal(c.noop_ms, 90000);
	assert_int_equal(c.skip_until_ms, INT64_C(1769853600000));
	assert_string_equal(c.priority, "high");
	assert_int_equal(c.checkpoint_interval_ms, 500);
	assert_int_equal(c.ahead, 1);
	assert_true(c.mitigate);
	assert_int_equal(c.mitigation, 2);
	assert_int_equal(c.member, 2);
	assert_int_equal(c.total, 3);
	assert_int_equal(c.connect_timeout_ms, 10000);
	assert_string_equal(c.group, "weir");
	assert_int_equal(c.foreign, 0);
	assert_null(c.scope);
	dcp_config_done(&c);
}

static void variables_are_filled_into_values_once(void **state)
{
	(void)state;
	struct dcp_config c;
	struct err e = ERR_INIT;
	assert_ok(read_text("hosts: ${NOT_SET:h1,h2}\nuser: a${SET}b${EMPTY:c}\n"
			    "password: ${TRICK}\nbucket: $${SET}\nscope: ${EMPTY:s:t}\n"
			    "stream: {window: '${SIZE}'}\n",
			    &c, &e),
		  &e);
	assert_string_equal(c.hosts, "h1,h2");
	assert_string_equal(c.user, "afrom outsidebc");
	assert_string_equal(c.password,
			    "x\nbucket: other ${SET}"); /* no structure, no second round */
	assert_string_equal(c.bucket, "${SET}");
	assert_string_equal(c.scope, "s:t");
	assert_int_equal(c.window_bytes, 1 << 20);
	dcp_config_done(&c);
	refused("user: ${NOT_SET}\n", ERR_INVALID,
		"w.yml:1:7: the variable NOT_SET is not set; set it, or write ${NOT_SET:default} "
		"($${ "
		"for a plain ${)");
	refused("a: b\nuser: x ${SET\n", ERR_INVALID, "w.yml:2:7: ${ without its }");
	refused("user: ${}\n", ERR_INVALID, "w.yml:1:7: '' is no name of a variable");
	refused("user: ${A B}\n", ERR_INVALID, "w.yml:1:7: 'A B' is no name of a variable");
	refused("user: ${A:${SET}}\n", ERR_INVALID,
		"w.yml:1:7: ${A:...}: a default cannot hold another ${");
	refused("user: ${EMPTY}\n", ERR_INVALID,
		"w.yml:1:1: user has no value; leave the key out instead");
}

static void scalars_of_many_parts_are_joined_as_yaml_says(void **state)
{
	(void)state;
	struct dcp_config c;
	struct err e = ERR_INIT;
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(buf) struct buf want = BUF_INIT;
	buf_add_str(&text, "hosts: a\nuser: u\npassword: ''''''''''''\nbucket: "
			   "\"\\x41\\u00e9\\t\\\"\"\nstream:\n  filter: |\n");
	for (int i = 0; i < 40; i++) {
		buf_add_fmt(&text, "    line %d\n", i);
		buf_add_fmt(&want, "line %d\n", i);
	}
	assert_ok(read_text(buf_cstr(&text), &c, &e), &e);
	assert_string_equal(c.password, "'''''");
	assert_string_equal(c.bucket, "A\xC3\xA9\t\"");
	assert_string_equal(c.filter, buf_cstr(&want));
	dcp_config_done(&c);
}

static void what_is_wrong_is_told_with_its_place_and_a_suggestion(void **state)
{
	(void)state;
	static const struct {
		const char *text, *message;
	} cases[] = {
		{ "buckett: o\n", "w.yml:1:1: unknown key 'buckett'; did you mean bucket?" },
		{ "stream:\n  widow: 1MiB\n",
		  "w.yml:2:3: unknown key 'widow'; did you mean window?" },
		{ "steam:\n  window: 1MiB\n",
		  "w.yml:1:1: unknown key 'steam'; did you mean stream?" },
		{ "window: 1MiB\n",
		  "w.yml:1:1: unknown key 'window'; did you mean stream.window?" },
		{ "bucketName: o\n",
		  "w.yml:1:1: unknown key 'bucketName': go-dcp's; here it is bucket" },
		{ "zzz: 1\n", "w.yml:1:1: unknown key 'zzz'" },
		{ "stream: 3\n", "w.yml:1:9: stream is a section: a mapping, not a single value" },
		{ "user: [a]\n", "w.yml:1:7: user takes text, not a list" },
		{ "hosts: {a: b}\n", "w.yml:1:8: hosts takes a list of names, not a mapping" },
		{ "hosts: [a, [b]]\n", "w.yml:1:12: hosts: each is one name, without a comma" },
		{ "hosts: []\n", "w.yml:1:8: hosts: the list is empty" },
		{ "user:\nbucket: o\n", "w.yml:1:1: user has no value; leave the key out instead" },
		{ "- a\n", "w.yml:1:1: keys and values are wanted, not a list" },
		{ "user: a\nuser: b\n",
		  "w.yml:2:1: 'user' stands here a second time; first on line 1" },
		{ "{user: a, 'user': b}\n",
		  "w.yml:1:11: 'user' stands here a second time; first on line 1" },
		{ "user: !!str a\n",
		  "w.yml:1:13: tags such as tag:yaml.org,2002:str mean nothing here" },
		{ "user: a\n---\nuser: b\n", "w.yml:2:1: one document, not several" },
		{ "stream:\n  window: 16mbb\n",
		  "w.yml:2:11: stream.window: '16mbb' is not a size such as 64KiB or 16MiB" },
		{ "stream: {window: -1}\n",
		  "w.yml:1:18: stream.window: '-1' is not a size such as 64KiB or 16MiB" },
		{ "stream: {window: 1_000_000}\n",
		  "w.yml:1:18: stream.window: '1_000_000' is not a size such as 64KiB or 16MiB" },
		{ "stream: {window: 99999999999GiB}\n",
		  "w.yml:1:18: stream.window: '99999999999GiB' is not a size such as 64KiB or "
		  "16MiB" },
		{ "stream: {window: 1KiB}\n",
		  "w.yml:1:18: stream.window: '1KiB' is not between 64KiB and 1GiB" },
		{ "checkpoint: {interval: 10}\n",
		  "w.yml:1:24: checkpoint.interval: '10' has no unit; did you mean 10s?" },
		{ "checkpoint: {interval: -1s}\n", "w.yml:1:24: checkpoint.interval: '-1s' is not "
						   "a duration such as 250ms, 10s or 1m30s" },
		{ "checkpoint: {interval: 1e9h}\n", "w.yml:1:24: checkpoint.interval: '1e9h' is "
						    "not a duration such as 250ms, 10s or 1m30s" },
		{ "checkpoint: {interval: 1:30}\n", "w.yml:1:24: checkpoint.interval: '1:30' is "
						    "not a duration such as 250ms, 10s or 1m30s" },
		{ "group: {member: 0x10}\n",
		  "w.yml:1:17: group.member: '0x10' is not a whole number" },
		{ "group: {member: 1KB}\n",
		  "w.yml:1:17: group.member: '1KB' is not a whole number" },
		{ "group: {member: 0}\n",
		  "w.yml:1:17: group.member: '0' is not between 1 and 1024" },
		{ "tls: {enabled: no}\n",
		  "w.yml:1:16: tls.enabled: 'no' is not true or false; did you mean false?" },
		{ "tls: {enabled: maybe}\n",
		  "w.yml:1:16: tls.enabled: 'maybe' is not true or false" },
		{ "stream: {from: oldst}\n",
		  "w.yml:1:16: stream.from: 'oldst' is none of oldest|now; did you mean oldest?" },
		{ "stream: {skip_until: yesterday}\n",
		  "w.yml:1:22: stream.skip_until: 'yesterday' is not a time such as "
		  "2026-01-31T10:00:00Z" },
		{ "user: *nobody\n", "w.yml:1:7: there is no anchor &nobody" },
		{ "", "w.yml: hosts is missing: Nodes to begin with, `host[:port]`: the data "
		      "service (11210, with TLS 11207) or the management service (8091, with TLS "
		      "18091, or `http://host:port`)" },
		{ "# nothing\n", "w.yml: hosts is missing: Nodes to begin with, `host[:port]`: the "
				 "data service (11210, with TLS 11207) or the management service "
				 "(8091, with TLS 18091, or `http://host:port`)" },
		{ HEAD "group: {member: 2}\n", "w.yml: group.member 2 is more than group.total 1" },
		{ HEAD "checkpoint: {file: a, bucket: b}\n",
		  "w.yml: checkpoint.file, checkpoint.bucket, checkpoint.log and checkpoint.none "
		  "exclude "
		  "each other" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		refused(cases[i].text, ERR_INVALID, cases[i].message);
}

static void what_is_no_yaml_is_told_with_its_place(void **state)
{
	(void)state;
	static const struct {
		const char *text, *place;
	} cases[] = {
		{ "user: a\n\tbucket: b\n", "w.yml:1:7: " }, { "user: 'a\n", "w.yml:1:8: " },
		{ "user: {a: b\n", "w.yml:2:1: " },          { "a: b: c\n", "w.yml:1:5: " },
		{ "user: a\n bucket: b\n", "w.yml:1:7: " },  { "%YAML 9.9\n%%%\n---\n", "w.yml:" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct dcp_config c;
		struct err e = ERR_INIT;
		assert_int_equal(read_text(cases[i].text, &c, &e), ERR_FORMAT);
		if (strncmp(e.msg, cases[i].place, strlen(cases[i].place)) != 0)
			fail_msg("%s: %s", cases[i].text, e.msg);
	}
	refused("user: a\nbucket: \xC3\xA9\xFF\n", ERR_FORMAT, "w.yml:2:10: not UTF-8");
	struct dcp_config c;
	struct err e = ERR_INIT;
	assert_int_equal(conf_couchbase_read(SLICE_LIT("user: a\0b\n"), "w.yml", NULL, NULL, &c,
					     &e),
			 ERR_FORMAT);
	assert_string_equal(e.msg, "w.yml:1:8: a NUL byte; is this a text file?");
}

static void aliases_work_but_cannot_grow_or_go_round(void **state)
{
	(void)state;
	struct dcp_config c;
	struct err e = ERR_INIT;
	assert_ok(read_text("hosts: &h [a, b]\nuser: &u x\npassword: *u\nbucket: *u\n"
			    "collections: *h\n",
			    &c, &e),
		  &e);
	assert_string_equal(c.password, "x");
	assert_string_equal(c.collections, "a,b");
	dcp_config_done(&c);
	refused("user: &a [b, *a]\n", ERR_INVALID,
		"w.yml:1:14: *a stands inside what it names (a cycle)");
	AUTO(buf) struct buf laughs = BUF_INIT;
	buf_add_str(&laughs, "a0: &a0 [l,l,l,l,l,l,l,l,l]\n");
	for (int i = 1; i < 10; i++) {
		buf_add_fmt(&laughs, "a%d: &a%d [", i, i);
		for (int j = 0; j < 9; j++)
			buf_add_fmt(&laughs, "%s*a%d", j ? "," : "", i - 1);
		buf_add_str(&laughs, "]\n");
	}
	refused(buf_cstr(&laughs), ERR_LIMIT,
		"w.yml:5:10: more than 10000 values, aliases filled in");
	AUTO(buf) struct buf deep = BUF_INIT;
	for (int i = 0; i < 40; i++)
		buf_add_byte(&deep, '[');
	for (int i = 0; i < 40; i++)
		buf_add_byte(&deep, ']');
	refused(buf_cstr(&deep), ERR_LIMIT, "w.yml:1:33: nested deeper than 32");
	AUTO(buf) struct buf big = BUF_INIT;
	for (size_t i = 0; i <= CONF_BYTES_MAX; i++)
		buf_add_byte(&big, '#');
	refused(buf_cstr(&big), ERR_LIMIT, "w.yml: 1048577 bytes are more than 1048576");
}

static void sizes_and_durations_are_exact(void **state)
{
	(void)state;
	uint64_t n;
	static const struct {
		const char *text;
		uint64_t bytes;
	} sizes[] = { { "0", 0 },       { "5B", 5 },           { "1kb", 1000 },
		      { "1KiB", 1024 }, { "1.5 MB", 1500000 }, { "2g", 2000000000 },
		      { "0.001K", 1 },  { "16mib", 16 << 20 } };
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		assert_true(dcp_parse_size(sizes[i].text, 1000, &n));
		assert_int_equal(n, sizes[i].bytes);
	}
	assert_true(dcp_parse_size("16mb", 1024, &n));
	assert_int_equal(n, 16 << 20);
	static const char *const no_sizes[] = { "",
						"B",
						"1.",
						".5",
						"1.5",
						"1x",
						"1kbb",
						"1ki",
						"1 k b",
						"1e3",
						"+1",
						"0x1",
						"99999999999999999999",
						"1.0001k" };
	for (size_t i = 0; i < ARRAY_LEN(no_sizes); i++)
		if (dcp_parse_size(no_sizes[i], 1000, &n))
			fail_msg("'%s' is a size of %" PRIu64, no_sizes[i], n);
	static const struct {
		const char *text;
		uint64_t ms;
	} durations[] = { { "0", 0 },         { "250ms", 250 },    { "1.5h", 5400000 },
			  { "1m30s", 90000 }, { "2d", 172800000 }, { "0.001s", 1 } };
	for (size_t i = 0; i < ARRAY_LEN(durations); i++) {
		assert_true(dcp_parse_duration_ms(durations[i].text, &n));
		assert_int_equal(n, durations[i].ms);
	}
	static const char *const no_durations[] = {
		"", "s", "1", "1 s", "1.5ms", "-1s", "1s2", "1sec", "1S", "99999999999999999d"
	};
	for (size_t i = 0; i < ARRAY_LEN(no_durations); i++)
		if (dcp_parse_duration_ms(no_durations[i], &n))
			fail_msg("'%s' is a duration of %" PRIu64 " ms", no_durations[i], n);
}

static void every_key_of_go_dcp_leads_to_a_row_or_says_why_not(void **state)
{
	(void)state;
	size_t n = 0;
	for (const struct godcp_key *k = godcp_keys; k->key; k++, n++) {
		if (k->to && !dcp_option_find(k->to))
			fail_msg("%s leads to %s, which is not there", k->key, k->to);
		if (!k->to && !k->note)
			fail_msg("%s leads nowhere and does not say why", k->key);
		for (const struct godcp_key *o = k + 1; o->key; o++)
			assert_string_not_equal(k->key, o->key);
	}
	assert_true(n >= 64);
	for (const struct dcp_option *o = dcp_options_table; o->key; o++)
		for (const struct dcp_option *p = o + 1; p->key; p++)
			assert_true(o->offset != p->offset && strcmp(o->key, p->key) != 0);
}

static const char go_dcp[] =
	"hosts:\n  - cb1:8091\n  - cb2:8091\nusername: u\n"
	"password: \"${CB_PASSWORD}\"\nbucketName: orders\nscopeName: shop\n"
	"collectionNames: [a, b]\nsecureConnection: true\nrootCAPath: /etc/ca.pem\n"
	"connectionBufferSize: 20mb\n"
	"dcp:\n  bufferSize: 1,5mb\n  mode: finite\n"
	"  listener:\n    skipUntil: 2026-01-31T10:00:00Z\n"
	"  group:\n    name: billing\n    membership:\n      type: static\n"
	"      memberNumber: 2\n      totalMembers: 3\n"
	"checkpoint:\n  type: manual\n  autoReset: latest\n  interval: 20s\n"
	"rollbackMitigation:\n  interval: 2s\n"
	"metadata:\n  type: file\n  readOnly: true\n"
	"  config:\n    fileName: \"a b.json\"\n";

static void a_file_of_go_dcp_becomes_one_of_weir(void **state)
{
	(void)state;
	AUTO(buf) struct buf out = BUF_INIT;
	struct err e = ERR_INIT;
	assert_ok(conf_couchbase_import(slice_str(go_dcp), "g.yml", &out, &e), &e);
	assert_string_equal(
		buf_cstr(&out),
		"# From g.yml, a configuration of go-dcp. Stop go-dcp before this takes over its "
		"checkpoints: go-dcp does not fence.\n"
		"hosts: [cb1:18091, cb2:18091]\nuser: u\npassword: \"${CB_PASSWORD}\"\nbucket: "
		"orders\n"
		"scope: shop\ncollections: [a, b]\nconnect_timeout: 1m\n"
		"tls:\n  enabled: true\n  ca: /etc/ca.pem\n"
		"group:\n  name: billing\n"
		"  member: \"${GO_DCP__DCP_GROUP_MEMBERSHIP_MEMBERNUMBER:2}\"\n"
		"  total: \"${GO_DCP__DCP_GROUP_MEMBERSHIP_TOTALMEMBERS:3}\"\n"
		"  membership:\n    kind: static\n    contiguous: true\n"
		"stream:\n  mode: finite\n  from: now\n  skip_until: 2026-01-31T10:00:00Z\n"
		"  window: 1536KiB\n  priority: low\n"
		"checkpoint:\n  file: \"a b.json\"\n  read_only: true\n  commit: manual\n"
		"  interval: 20s\n"
		"mitigation:\n  enabled: true\n  interval: 2s\n"
		"\n# Without a counterpart, or to be looked at:\n"
		"# line 1: hosts: with TLS the management service has port 18091, not 8091\n"
		"# line 11: connectionBufferSize: there is no such buffer: memory follows "
		"`stream.window`\n");
}

static void the_translation_is_read_back(void **state)
{
	(void)state;
	static const char *const files[] = {
		"hosts: h:8091\nusername: u\npassword: 'a\"b\\c: #'\nbucketName: o\n",
		"hosts: [h]\nusername: u\npassword: p\nbucketName: o\ncollectionNames: [x]\n"
		"rollbackMitigation: {disabled: true}\nmetadata: {type: noop}\n"
		"dcp: {config: {priority: high, disableChangeStreams: true}}\n",
		"hosts: [h]\nusername: u\npassword: p\nbucketName: o\n"
		"dcp: {rollbackMitigation: {enabled: false}}\n"
		"metadata: {config: {bucket: meta}}\n",
	};
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		AUTO(buf) struct buf out = BUF_INIT;
		struct dcp_config c;
		struct err e = ERR_INIT;
		assert_ok(conf_couchbase_import(slice_str(files[i]), "g.yml", &out, &e), &e);
		assert_ok(conf_couchbase_read(buf_slice(&out), "w.yml", variable, NULL, &c, &e),
			  &e);
		assert_string_equal(c.hosts, i == 0 ? "h:8091" : "h");
		assert_string_equal(c.bucket, "o");
		assert_string_equal(c.scope,
				    "_default"); /* go-dcp's default, which is not weir's */
		assert_string_equal(c.collections, i == 1 ? "x" : "_default");
		assert_string_equal(c.password, i == 0 ? "a\"b\\c: #" : "p");
		assert_int_equal(c.mitigate, i == 0);
		if (i == 1)
			assert_null(c.checkpoint_bucket);
		else
			assert_string_equal(c.checkpoint_bucket, i == 0 ? "o" : "meta");
		assert_string_equal(c.priority, i == 1 ? "high" : "low");
		assert_false(c.change_history);
		dcp_config_done(&c);
	}
}

static void what_go_dcp_would_not_know_is_refused(void **state)
{
	(void)state;
	static const struct {
		const char *text, *message;
	} cases[] = {
		{ "hostss: [a]\n", "g.yml:1:1: 'hostss' is no key of go-dcp; did you mean hosts?" },
		{ "dcp:\n  bufferSize: 5xb\n",
		  "g.yml:2:15: dcp.bufferSize: '5xb' is not a size such as 16mb" },
		{ "dcp: 3\n", "g.yml:1:6: dcp is a section: a mapping, not a single value" },
		{ "metadata: {type: redis}\n",
		  "g.yml:1:18: metadata.type: 'redis' is none of couchbase|file|noop" },
		{ "metadata: {type: file}\n",
		  "g.yml:1:18: metadata.type: file needs metadata.config.fileName" },
		{ "checkpoint: {interval: 5}\n",
		  "g.yml:1:24: checkpoint.interval: '5' has no unit; did you mean 5s?" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(buf) struct buf out = BUF_INIT;
		struct err e = ERR_INIT;
		assert_int_equal(conf_couchbase_import(slice_str(cases[i].text), "g.yml", &out, &e),
				 ERR_INVALID);
		assert_string_equal(e.msg, cases[i].message);
	}
}

static void running_out_of_memory_is_an_error_at_every_allocation(void **state)
{
	(void)state;
	bool done = false;
	scarce_begin();
	for (long k = 1; !done; k++) {
		struct dcp_config c;
		struct err e = ERR_INIT;
		scarce_fail(k, false);
		int rc = read_text(HEAD "scope: ${SET}\n", &c, &e);
		done = scarce_calls() < k;
		scarce_fail(0, false);
		if (rc == 0)
			dcp_config_done(&c);
		if (!done)
			assert_int_equal(rc, ERR_NOMEM);
		else
			assert_int_equal(rc, 0);
		assert_true(k < 1000);
	}
	scarce_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_certificate_needs_no_user),
		cmocka_unit_test(a_whole_file_sets_what_it_says_and_leaves_the_defaults),
		cmocka_unit_test(variables_are_filled_into_values_once),
		cmocka_unit_test(scalars_of_many_parts_are_joined_as_yaml_says),
		cmocka_unit_test(what_is_wrong_is_told_with_its_place_and_a_suggestion),
		cmocka_unit_test(what_is_no_yaml_is_told_with_its_place),
		cmocka_unit_test(aliases_work_but_cannot_grow_or_go_round),
		cmocka_unit_test(sizes_and_durations_are_exact),
		cmocka_unit_test(every_key_of_go_dcp_leads_to_a_row_or_says_why_not),
		cmocka_unit_test(a_file_of_go_dcp_becomes_one_of_weir),
		cmocka_unit_test(the_translation_is_read_back),
		cmocka_unit_test(what_go_dcp_would_not_know_is_refused),
		cmocka_unit_test(running_out_of_memory_is_an_error_at_every_allocation),
	};
	return cmocka_run_group_tests_name("conf_yaml", tests, NULL, NULL);
}
