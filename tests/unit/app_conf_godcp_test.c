/* Files of go-dcp, made at random out of every key and every spelling that it takes: what is translated must be taken by
 * weir, and mean the same. */
#include "tests/test.h"

#include "app/conf_couchbase.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- an own generator, so that a seed means the same everywhere ---- */

static uint64_t state_;

static unsigned pick(unsigned n)
{
	state_ = state_ * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (unsigned)(state_ >> 33) % n;
}

static bool chance(unsigned percent)
{
	return pick(100) < percent;
}

enum kind { NAME, TEXT, FLAG, COUNT, SIZE, DURATION, WHEN, NAMES, HOSTS, WORD, FREE };

struct key {
	const char *path;
	enum kind kind;
	const char *words; /* WORD: separated by | */
	bool always;
};

static const struct key keys[] = {
	{ "hosts", HOSTS, .always = true },
	{ "username", NAME, .always = true },
	{ "password", TEXT, .always = true },
	{ "bucketName", NAME, .always = true },
	{ "scopeName", NAME },
	{ "collectionNames", NAMES },
	{ "connectionBufferSize", SIZE },
	{ "maxQueueSize", COUNT },
	{ "connectionTimeout", DURATION },
	{ "secureConnection", FLAG },
	{ "rootCAPath", TEXT },
	{ "debug", FLAG },
	{ "dcp.bufferSize", SIZE },
	{ "dcp.mode", WORD, "infinite|finite" },
	{ "dcp.connectionBufferSize", SIZE },
	{ "dcp.connectionTimeout", DURATION },
	{ "dcp.maxQueueSize", COUNT },
	{ "dcp.listener.skipUntil", WHEN },
	{ "dcp.group.name", NAME, .always = true },
	{ "dcp.group.membership.type", WORD,
	  "couchbase|lilCouchbase|static|dynamic|kubernetesStatefulSet|kubernetesHa" },
	{ "dcp.group.membership.memberNumber", WORD, "1|2|0x2|0b1|0o2|02" },
	{ "dcp.group.membership.totalMembers", WORD, "2|3|0x10|1_000|1024" },
	{ "dcp.group.membership.rebalanceDelay", DURATION },
	{ "dcp.group.membership.config.expirySeconds", COUNT },
	{ "dcp.group.membership.config.heartbeatInterval", DURATION },
	{ "dcp.group.membership.config.heartbeatToleranceDuration", DURATION },
	{ "dcp.group.membership.config.monitorInterval", DURATION },
	{ "dcp.group.membership.config.timeout", DURATION },
	{ "dcp.config.disableChangeStreams", FLAG },
	{ "dcp.config.priority", WORD, "low|medium|high|urgent" },
	{ "leaderElection.enabled", FLAG },
	{ "leaderElection.type", WORD, "kubernetes" },
	{ "leaderElection.config.leaseLockName", WORD, "orders|my-lock.v2" },
	{ "leaderElection.config.leaseLockNamespace", WORD, "default|shop" },
	{ "leaderElection.config.leaseDuration", WORD, "15s|8s|1m|12500ms|1h" },
	{ "leaderElection.config.renewDeadline", WORD, "5s|6500ms|7.5s|4s" },
	{ "leaderElection.config.retryPeriod", WORD, "1s|500ms|2s|0.25s" },
	{ "leaderElection.rpc.port", COUNT },
	{ "checkpoint.type", WORD, "auto|manual" },
	{ "checkpoint.autoReset", WORD, "earliest|latest" },
	{ "checkpoint.interval", DURATION },
	{ "checkpoint.timeout", DURATION },
	{ "healthCheck.disabled", FLAG },
	{ "healthCheck.interval", DURATION },
	{ "healthCheck.timeout", DURATION },
	{ "rollbackMitigation.disabled", FLAG },
	{ "rollbackMitigation.interval", DURATION },
	{ "rollbackMitigation.configWatchInterval", DURATION },
	{ "metadata.type", WORD, "couchbase|file|noop" },
	{ "metadata.readOnly", FLAG },
	{ "metadata.config.hosts", WORD, "m1:8091,m2:8091|meta:8091" },
	{ "metadata.config.username", NAME },
	{ "metadata.config.password", TEXT },
	{ "metadata.config.bucket", NAME },
	{ "metadata.config.scope", NAME },
	{ "metadata.config.collection", NAME },
	{ "metadata.config.maxQueueSize", COUNT },
	{ "metadata.config.connectionBufferSize", SIZE },
	{ "metadata.config.connectionTimeout", DURATION },
	{ "metadata.config.secureConnection", FLAG },
	{ "metadata.config.rootCAPath", TEXT },
	{ "metadata.config.fileName", TEXT },
	{ "api.disabled", FLAG },
	{ "api.port", COUNT },
	{ "metric.path", TEXT },
	{ "logging.level", WORD, "info|debug" },
	{ "kafka.brokers", FREE }, /* a connector's own */
};

enum { KEYS = ARRAY_LEN(keys), VALUE_BYTES = 160 };

struct file {
	char value[KEYS][VALUE_BYTES]; /* as go-dcp has it; "" not given */
	struct buf yaml;
};

static const char *word_of(const char *words)
{
	static char out[64];
	unsigned n = 1;
	for (const char *p = words; *p; p++)
		n += *p == '|';
	for (n = pick(n); n; n--)
		words = strchr(words, '|') + 1;
	(void)snprintf(out, sizeof(out), "%.*s", (int)strcspn(words, "|"), words);
	return out;
}

static void make_value(const struct key *k, char *out)
{
	static const char *const texts[] = { "p",   "a b", "'",        "a\"b\\c: #", "${CB_SECRET}",
					     "#",   "- x", "5",        "true",       "a${b",
					     "{x}", "[y",  "\xC3\xA9", "x:",         "${}" };
	static const char *const spans[] = { "10s",  "1m",    "250ms", "1h30m",  "0s",
					     "1.5s", "100us", "3m0s",  "1000ns", "2h",
					     "40h",  "7ms",   "1ms",   "+5s" };
	static const char *const sizes[] = { "20mb", "16MB", "1,5mb", "65536", "512kb",
					     "1gb",  "0",    "1kb",   "2GB",   "100" };
	static const char *const times[] = { "2026-01-31T10:00:00Z", "2026-1-2", "2026-1-2 3:4:5",
					     "2026-01-31T10:00:00.123456789+02:00",
					     "2026-01-31t10:00:00Z" };
	static const char *const flags[] = { "true", "false", "True", "FALSE",
					     "yes",  "no",    "on",   "off" };
	static const char *const counts[] = {
		"1", "120", "0", "4096", "0x1F", "1_000", "3000000000"
	};
	static const char *const names[] = { "_default", "orders", "Abc-1", "x_y%z", "n.m" };
	const char *text = "";
	switch (k->kind) {
	case NAME: text = names[pick(ARRAY_LEN(names))]; break;
	case TEXT: text = texts[pick(ARRAY_LEN(texts))]; break;
	case FLAG: text = flags[pick(ARRAY_LEN(flags))]; break;
	case COUNT: text = counts[pick(ARRAY_LEN(counts))]; break;
	case SIZE: text = sizes[pick(ARRAY_LEN(sizes))]; break;
	case DURATION: text = spans[pick(ARRAY_LEN(spans))]; break;
	case WHEN: text = times[pick(ARRAY_LEN(times))]; break;
	case NAMES: text = "a|b_c|_default"; break;
	case HOSTS: text = "cb1:8091|10.0.0.2:8091"; break;
	case WORD: text = word_of(k->words); break;
	case FREE: text = "k:9092"; break;
	}
	(void)snprintf(out, VALUE_BYTES, "%s", text);
}

/* In one of YAML's ways: plain where that is possible, else quoted. */
static void put_text(struct buf *out, const char *text, bool may_be_plain)
{
	bool plain = may_be_plain &&
		     text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVW"
				       "XYZ0123456789_.,:+-/")] == '\0' &&
		     *text && !strchr(":,-", *text) && text[strlen(text) - 1] != ':';
	if (plain && chance(70)) {
		buf_add_str(out, text);
		return;
	}
	char quote = chance(50) ? '"' : '\'';
	buf_add_byte(out, (uint8_t)quote);
	for (; *text; text++) {
		if (quote == '"' && (*text == '"' || *text == '\\'))
			buf_add_byte(out, '\\');
		if (quote == '\'' && *text == '\'')
			buf_add_byte(out, '\'');
		buf_add_byte(out, (uint8_t)*text);
	}
	buf_add_byte(out, (uint8_t)quote);
}

static void put_list(struct buf *out, const char *items)
{
	buf_add_byte(out, '[');
	for (const char *p = items; *p;) {
		char item[64];
		size_t n = strcspn(p, "|");
		(void)snprintf(item, sizeof(item), "%.*s", (int)n, p);
		put_text(out, item, false);
		p += n + (p[n] == '|');
		if (*p)
			buf_add_str(out, ", ");
	}
	buf_add_byte(out, ']');
}

/* The keys from `from` on that begin with the same section, `depth` deep. */
static size_t write_section(struct file *f, size_t from, const char *prefix, unsigned depth)
{
	size_t i = from, n = strlen(prefix);
	while (i < KEYS && strncmp(keys[i].path, prefix, n) == 0) {
		const char *own = keys[i].path + n, *dot = strchr(own, '.');
		if (!dot) {
			const char *v = f->value[i];
			if (*v) {
				buf_add_fmt(&f->yaml, "%*s%s: ", (int)(2 * depth), "", own);
				if (strcmp(v, "~") == 0)
					buf_add_str(&f->yaml, v);
				else if (keys[i].kind == NAMES || keys[i].kind == HOSTS)
					put_list(&f->yaml, v);
				else /* Go's YAML wants numbers and flags plain */
					put_text(&f->yaml, v,
						 keys[i].kind != COUNT && keys[i].kind != FLAG);
				buf_add_str(&f->yaml, chance(10) ? " # so\n" : "\n");
			}
			i++;
			continue;
		}
		char section[128];
		size_t before = f->yaml.len;
		(void)snprintf(section, sizeof(section), "%.*s", (int)(dot + 1 - keys[i].path),
			       keys[i].path);
		buf_add_fmt(&f->yaml, "%*s%.*s:\n", (int)(2 * depth), "", (int)(dot - own), own);
		size_t head = f->yaml.len;
		i = write_section(f, i, section, depth + 1);
		if (f->yaml.len == head && chance(80)) /* else a section with nothing in it */
			f->yaml.len = before;
	}
	return i;
}

static const char *at(const struct file *f, const char *path)
{
	for (size_t i = 0; i < KEYS; i++)
		if (strcmp(keys[i].path, path) == 0)
			return strcmp(f->value[i], "~") == 0 ? "" : f->value[i];
	fail_msg("%s is no key here", path);
	return "";
}

static void set(struct file *f, const char *path, const char *value)
{
	for (size_t i = 0; i < KEYS; i++)
		if (strcmp(keys[i].path, path) == 0)
			(void)snprintf(f->value[i], VALUE_BYTES, "%s", value);
}

static void make_file(struct file *f, unsigned percent)
{
	for (size_t i = 0; i < KEYS; i++) {
		f->value[i][0] = '\0';
		if (keys[i].always || chance(percent))
			make_value(&keys[i], f->value[i]);
		if (!keys[i].always && chance(3))
			set(f, keys[i].path, "~");
	}
	/* what go-dcp itself needs */
	if (strcmp(at(f, "metadata.type"), "file") == 0)
		set(f, "metadata.config.fileName", "cp.json");
	if (strcmp(at(f, "dcp.group.membership.type"), "kubernetesHa") == 0) {
		set(f, "leaderElection.config.leaseLockName", "orders");
		set(f, "leaderElection.config.leaseLockNamespace", "shop");
	}
	if (*at(f, "dcp.group.membership.memberNumber") &&
	    !*at(f, "dcp.group.membership.totalMembers"))
		set(f, "dcp.group.membership.totalMembers", "3");
	buf_reset(&f->yaml);
	(void)write_section(f, 0, "", 0);
}

static const char *variable(void *arg, const char *name)
{
	(void)arg;
	if (strcmp(name, "CB_SECRET") == 0)
		return "s3";
	return strcmp(name, "GO_DCP__DCP_GROUP_MEMBERSHIP_TOTALMEMBERS") == 0 && chance(30) ? "7"
											    : NULL;
}

/* ---- what it must mean ---- */

static bool truth(const char *text, bool otherwise)
{
	return *text ? strchr("tTyY", text[0]) || strcmp(text, "on") == 0 : otherwise;
}

static uint32_t kind_of(const struct file *f)
{
	static const char *const types[] = { "static",    "dynamic",      "kubernetesStatefulSet",
					     "couchbase", "lilCouchbase", "kubernetesHa" };
	const char *type = at(f, "dcp.group.membership.type");
	uint32_t i = 0;
	while (i < ARRAY_LEN(types) && strcmp(types[i], *type ? type : "couchbase") != 0)
		i++;
	bool file = strcmp(at(f, "metadata.type"), "file") == 0;
	return file && i != DCP_MEMBERS_STATEFULSET ? DCP_MEMBERS_STATIC : i;
}

static const char *given(const char *text, const char *otherwise)
{
	return *text ? text : otherwise;
}

static void check_meaning(const struct file *f, const struct dcp_config *c)
{
	const char *password = at(f, "password"),
		   *place = given(at(f, "metadata.type"), "couchbase");
	const char *bucket = given(at(f, "metadata.config.bucket"), at(f, "bucketName"));
	bool changes = c->members != DCP_MEMBERS_STATIC && c->members != DCP_MEMBERS_STATEFULSET;
	assert_string_equal(c->password, strcmp(password, "${CB_SECRET}") == 0 ? "s3" : password);
	assert_string_equal(c->bucket, at(f, "bucketName"));
	assert_string_equal(c->group, at(f, "dcp.group.name"));
	assert_string_equal(c->scope, given(at(f, "scopeName"), "_default"));
	assert_string_equal(c->collections,
			    *at(f, "collectionNames") ? "a,b_c,_default" : "_default");
	assert_int_equal(c->members, kind_of(f));
	assert_int_equal(c->tls, truth(at(f, "secureConnection"), false));
	assert_int_equal(c->mitigate, !truth(at(f, "rollbackMitigation.disabled"), false));
	assert_int_equal(c->checkpoint_read_only, truth(at(f, "metadata.readOnly"), false));
	assert_int_equal(c->mode, strcmp(at(f, "dcp.mode"), "finite") == 0);
	assert_int_equal(c->from, strcmp(at(f, "checkpoint.autoReset"), "latest") == 0);
	assert_int_equal(c->commit, strcmp(at(f, "checkpoint.type"), "manual") == 0);
	assert_int_equal(c->skip_until_ms != 0, *at(f, "dcp.listener.skipUntil") != 0);
	assert_int_equal(c->checkpoint_file != NULL, strcmp(place, "file") == 0);
	assert_int_equal(c->checkpoint_bucket != NULL, strcmp(place, "couchbase") == 0);
	if (c->checkpoint_bucket)
		assert_string_equal(c->checkpoint_bucket, bucket);
	bool apart = strcmp(place, "couchbase") == 0;
	assert_int_equal(c->checkpoint_none, strcmp(place, "noop") == 0);
	assert_int_equal(c->checkpoint_hosts != NULL, apart && *at(f, "metadata.config.hosts"));
	assert_int_equal(c->checkpoint_scope != NULL, apart && *at(f, "metadata.config.scope"));
	assert_int_equal(c->checkpoint_user != NULL, apart && *at(f, "metadata.config.username"));
	if (c->checkpoint_hosts)
		assert_int_equal(c->checkpoint_tls,
				 truth(at(f, "metadata.config.secureConnection"), c->tls));
	if (strcmp(place, "noop") == 0 && c->members == DCP_MEMBERS_COUCHBASE)
		assert_string_equal(c->members_bucket ? c->members_bucket : c->bucket, bucket);
	if (c->members == DCP_MEMBERS_LEASE)
		assert_string_equal(c->lease_name, at(f, "leaderElection.config.leaseLockName"));
	if (strcmp(at(f, "checkpoint.interval"), "1h30m") == 0)
		assert_int_equal(c->checkpoint_interval_ms, 5400000);
	if (strcmp(at(f, "dcp.group.membership.rebalanceDelay"), "100us") == 0 && changes &&
	    c->members != DCP_MEMBERS_DYNAMIC)
		assert_int_equal(c->rebalance_delay_ms, 1);
	if (strcmp(at(f, "dcp.bufferSize"), "1,5mb") == 0)
		assert_int_equal(c->window_bytes, 1536 << 10);
	if (strcmp(at(f, "rollbackMitigation.configWatchInterval"), "3m0s") == 0)
		assert_int_equal(c->config_watch_ms, 180000);
}

static void every_file_of_go_dcp_becomes_one_that_weir_takes(void **state)
{
	(void)state;
	static struct file f;
	long runs = test_count(1500, 20000);
	f.yaml = (struct buf)BUF_INIT;
	for (long run = 0; run < runs; run++) {
		AUTO(buf) struct buf out = BUF_INIT;
		struct dcp_config c;
		struct err e = ERR_INIT;
		state_ = (uint64_t)run * 2 + 1;
		make_file(&f, 5 + pick(90));
		if (conf_couchbase_import(buf_slice(&f.yaml), "g.yml", &out, &e) != 0)
			fail_msg("seed %ld: %s\n%s", run, e.msg, buf_cstr(&f.yaml));
		if (conf_couchbase_read(buf_slice(&out), "w.yml", variable, NULL, &c, &e) != 0)
			fail_msg("seed %ld: %s\n%s\nfrom\n%s", run, e.msg, buf_cstr(&out),
				 buf_cstr(&f.yaml));
		check_meaning(&f, &c);
		dcp_config_done(&c);
	}
	buf_done(&f.yaml);
}

static void import(const char *text, struct buf *out)
{
	struct err e = ERR_INIT;
	buf_reset(out);
	assert_ok(conf_couchbase_import(slice_str(text), "g.yml", out, &e), &e);
}

#define HEAD "hosts: [h]\nusername: u\npassword: p\nbucketName: o\n"

static void members_are_translated_with_what_belongs_to_them(void **state)
{
	(void)state;
	AUTO(buf) struct buf out = BUF_INIT;
	import(HEAD
	       "dcp: {group: {name: g, membership: {type: kubernetesHa, memberNumber: 4, "
	       "rebalanceDelay: 20s}}}\n"
	       "leaderElection: {enabled: true, config: {leaseLockName: l, leaseLockNamespace: n, "
	       "leaseDuration: 15s}, rpc: {port: 8081}}\n",
	       &out);
	const char *text = buf_cstr(&out);
	assert_non_null(strstr(text,
			       "group:\n  name: g\n  membership:\n    kind: lease\n"
			       "    rebalance_delay: 20s\n"
			       "  lease:\n    namespace: n\n    name: l\n    duration: 15s\n"));
	assert_non_null(strstr(text,
			       "# line 5: dcp.group.membership.memberNumber: means nothing with "
			       "these members\n"));
	assert_non_null(
		strstr(text, "# line 6: leaderElection.rpc.port: members read their numbers"));
	import(HEAD
	       "dcp: {group: {membership: {config: {expirySeconds: 90, monitorInterval: 5s}}}}\n"
	       "metadata: {type: noop, config: {bucket: meta}}\n",
	       &out);
	assert_non_null(strstr(buf_cstr(&out), "    kind: couchbase\n    bucket: meta\n"
					       "    monitor: 5s\n    expiry: 90s\n"));
	import(HEAD "dcp: {group: {membership: {type: couchbase}}}\nmetadata: {type: file, config: "
		    "{fileName: f}}\n",
	       &out);
	assert_null(strstr(buf_cstr(&out), "kind:"));
	assert_non_null(strstr(buf_cstr(&out),
			       "# line 5: dcp.group.membership.type: members that come "
			       "and go cannot share"));
}

static void what_weir_does_not_go_so_far_with_is_brought_near_and_said(void **state)
{
	(void)state;
	AUTO(buf) struct buf out = BUF_INIT;
	import(HEAD
	       "dcp: {bufferSize: 1kb, config: {priority: urgent}}\ncheckpoint: {interval: 1us}\n",
	       &out);
	const char *text = buf_cstr(&out);
	assert_non_null(strstr(text, "  window: 64KiB\n"));
	assert_non_null(strstr(text, "# line 5: dcp.bufferSize: 1kb is less than weir takes; "
				     "stream.window is the nearest\n"));
	assert_non_null(strstr(text, "  priority: low\n"));
	assert_non_null(strstr(text, "'urgent' is none of its words; go-dcp takes it for low"));
	assert_non_null(strstr(text, "  interval: 10ms\n"));
	import(HEAD "rootCAPath: /ca\nelasticsearch: {urls: [a]}\n", &out);
	assert_non_null(strstr(buf_cstr(&out), "tls:\n  enabled: false\n  ca: /ca\n"));
	assert_non_null(strstr(buf_cstr(&out),
			       "# line 6: elasticsearch: no key of go-dcp; it was left "
			       "out\n"));
}

static void what_go_dcp_does_not_take_is_refused(void **state)
{
	(void)state;
	static const struct {
		const char *text, *message;
	} cases[] = {
		{ "dcp: {group: {membership: {type: redis}}}\n",
		  "g.yml:1:34: dcp.group.membership.type: 'redis' is none of "
		  "static|dynamic|couchbase|lilCouchbase|kubernetesStatefulSet|kubernetesHa" },
		{ "dcp: {group: {membership: {type: kubernetesHa}}}\n",
		  "g.yml:1:34: dcp.group.membership.type: kubernetesHa needs "
		  "leaderElection.config.leaseLockName and leaseLockNamespace" },
		{ "checkpoint: {interval: -5s}\n",
		  "g.yml:1:24: checkpoint.interval: '-5s' is not a "
		  "duration such as 250ms, 10s or 1m30s" },
		{ "debug: true\nsecureConnection: maybe\n",
		  "g.yml:2:19: secureConnection: 'maybe' is not true or false" },
		{ "dcp: {listener: {skipUntil: soon}}\n",
		  "g.yml:1:29: dcp.listener.skipUntil: 'soon' is "
		  "not a time such as 2026-01-31T10:00:00Z" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(buf) struct buf out = BUF_INIT;
		struct err e = ERR_INIT;
		assert_int_equal(conf_couchbase_import(slice_str(cases[i].text), "g.yml", &out, &e),
				 ERR_INVALID);
		assert_string_equal(e.msg, cases[i].message);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_file_of_go_dcp_becomes_one_that_weir_takes),
		cmocka_unit_test(members_are_translated_with_what_belongs_to_them),
		cmocka_unit_test(what_weir_does_not_go_so_far_with_is_brought_near_and_said),
		cmocka_unit_test(what_go_dcp_does_not_take_is_refused),
	};
	return cmocka_run_group_tests_name("app/conf_godcp", tests, NULL, NULL);
}
