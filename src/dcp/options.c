/* options.c: the table, and what each kind of value takes. */
#include "dcp/options.h"

#include "base/suggest.h"
#include "doc/iso.h"

#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

#define AT(field) .offset = offsetof(struct dcp_config, field)

enum { MINUTE = 60000, HOUR = 60 * MINUTE, DAY = 24 * HOUR };

/* clang-format off: one row an option */
const struct dcp_option dcp_options_table[] = {
	{ "hosts", DCP_OPTION_NAMES, .required = true, AT(hosts),
	  .help = "Nodes to begin with, `host[:port]`; ports of the data service: 11210, with TLS "
		  "11207" },
	{ "user", DCP_OPTION_TEXT, .required = true, AT(user), .help = "Who logs in" },
	{ "password", DCP_OPTION_TEXT, .required = true, AT(password),
	  .help = "Best from a variable: `${COUCHBASE_PASSWORD}`" },
	{ "bucket", DCP_OPTION_TEXT, .required = true, AT(bucket), .help = "Whose changes" },
	{ "scope", DCP_OPTION_TEXT, AT(scope),
	  .help = "Of the collections; alone: everything in it; neither: the whole bucket" },
	{ "collections", DCP_OPTION_NAMES, AT(collections),
	  .help = "Only these, of the scope (`_default` without one), or `scope.collection` of "
		  "any" },
	{ "connect_timeout", DCP_OPTION_DURATION, "10s", .min = 1, .max = HOUR,
	  AT(connect_timeout_ms), .help = "How long connecting and logging in may take" },
	{ "allow_plain", DCP_OPTION_FLAG, "false", AT(allow_plain),
	  .help = "Send the password in the clear when the server offers nothing better" },
	{ "tls.enabled", DCP_OPTION_FLAG, "false", AT(tls),
	  .help = "Connect with TLS; so does any other key of `tls`" },
	{ "tls.ca", DCP_OPTION_TEXT, AT(tls_ca),
	  .help = "PEM file of who is trusted; none: the system's" },
	{ "tls.cert", DCP_OPTION_TEXT, AT(tls_cert),
	  .help = "PEM file of the client's certificate" },
	{ "tls.key", DCP_OPTION_TEXT, AT(tls_key),
	  .help = "PEM file of its key; none: it is in `tls.cert`" },
	{ "tls.server_name", DCP_OPTION_TEXT, AT(tls_server_name),
	  .help = "The name to look for in the server's certificate, instead of the host's" },
	{ "tls.insecure", DCP_OPTION_FLAG, "false", AT(tls_insecure),
	  .help = "Accept any certificate" },
	{ "group.name", DCP_OPTION_TEXT, "weir", AT(group),
	  .help = "Names the connections, and checkpoints in a bucket" },
	{ "group.member", DCP_OPTION_COUNT, "1", .min = 1, .max = 1024, AT(member),
	  .help = "Which share of the vBuckets, from 1" },
	{ "group.total", DCP_OPTION_COUNT, "1", .min = 1, .max = 1024, AT(total),
	  .help = "How many members share them" },
	{ "stream.mode", DCP_OPTION_CHOICE, "infinite", "infinite|finite", AT(mode),
	  .help = "finite: each vBucket ends where it stood at the start" },
	{ "stream.from", DCP_OPTION_CHOICE, "oldest", "oldest|now", AT(from),
	  .help = "Where a vBucket without a checkpoint begins" },
	{ "stream.skip_until", DCP_OPTION_TIME, AT(skip_until_ms),
	  .help = "Older documents are passed over; the position moves on all the same" },
	{ "stream.window", DCP_OPTION_SIZE, "16MiB", .min = 64 << 10, .max = 1 << 30,
	  AT(window_bytes), .help = "Flow control: what a node may have under way" },
	{ "stream.noop", DCP_OPTION_DURATION, "5s", .min = 1000, .max = HOUR, AT(noop_ms),
	  .help = "Liveness: a connection silent for twice as long is given up" },
	{ "stream.priority", DCP_OPTION_CHOICE, NULL, "low|medium|high", AT(priority),
	  .help = "Of the connections, among the server's; none: the server's default" },
	{ "stream.xattrs", DCP_OPTION_FLAG, "false", AT(xattrs),
	  .help = "Extended attributes, too" },
	{ "stream.id", DCP_OPTION_COUNT, .min = 1, .max = 65535, AT(stream_id),
	  .help = "Streams carry this id, and messages without it are refused; none: no ids" },
	{ "stream.backfill_order", DCP_OPTION_CHOICE, NULL, "round-robin|sequential",
	  AT(backfill_order),
	  .help = "How the server reads vBuckets from its disk; none: its default" },
	{ "stream.cursor_dropping", DCP_OPTION_FLAG, "false", AT(cursor_dropping),
	  .help = "When too slow, the server may go back to its disk instead of ending a stream" },
	{ "stream.compress", DCP_OPTION_FLAG, "false", AT(force_compression),
	  .help = "Values are compressed on the way even where they are not stored so" },
	{ "stream.no_value", DCP_OPTION_FLAG, "false", AT(no_value), .help = "Keys only" },
	{ "stream.no_value_datatype", DCP_OPTION_FLAG, "false", AT(no_value_datatype),
	  .help = "Keys only, but with what the value's datatype was" },
	{ "stream.skip_initial_deletes", DCP_OPTION_FLAG, "false", AT(skip_deletes),
	  .help = "No deletions in the first read from disk; servers before 8.0 send them all the "
		  "same" },
	{ "stream.system_events", DCP_OPTION_FLAG, "false", AT(system_events),
	  .help = "Collections and scopes that come and go" },
	{ "stream.change_history", DCP_OPTION_FLAG, "false", AT(change_history),
	  .help = "Every version that a magma bucket keeps, not only the newest" },
	{ "stream.out_of_order_snapshots", DCP_OPTION_FLAG, "false", AT(out_of_order_snapshots),
	  .help = "Faster first read of a collection; not resumable inside such a snapshot" },
	{ "stream.ignore_purged_tombstones", DCP_OPTION_FLAG, "false", AT(ignore_purged_tombstones),
	  .help = "Resume over a purge: deletions may be missed" },
	{ "stream.deliver_metadata", DCP_OPTION_FLAG, "false", AT(deliver_metadata),
	  .help = "Documents of connectors and transactions, too" },
	{ "stream.filter", DCP_OPTION_TEXT, AT(filter),
	  .help = "A query on the change event, as JSON text" },
	{ "stream.pipeline", DCP_OPTION_TEXT, AT(pipeline),
	  .help = "Stages for each change event, as JSON text" },
	{ "checkpoint.file", DCP_OPTION_TEXT, AT(checkpoint_file),
	  .help = "Keep positions in this file" },
	{ "checkpoint.bucket", DCP_OPTION_TEXT, AT(checkpoint_bucket),
	  .help = "Keep them in documents of this bucket, with the same login" },
	{ "checkpoint.read_only", DCP_OPTION_FLAG, "false", AT(checkpoint_read_only),
	  .help = "Begin where they say, but never write" },
	{ "checkpoint.commit", DCP_OPTION_CHOICE, "auto", "auto|manual", AT(commit),
	  .help = "manual: only when the program says so" },
	{ "checkpoint.interval", DCP_OPTION_DURATION, "1m", .min = 10, .max = DAY,
	  AT(checkpoint_interval_ms), .help = "How often they are saved" },
	{ "checkpoint.foreign", DCP_OPTION_CHOICE, "fail", "fail|restart|ignore", AT(foreign),
	  .help = "When a checkpoint is of another bucket" },
	{ "checkpoint.ahead", DCP_OPTION_CHOICE, "ignore", "fail|restart|ignore", AT(ahead),
	  .help = "When it lies above the server's highest seqno; ignore: the rollback protocol "
		  "decides" },
	{ "mitigation.enabled", DCP_OPTION_FLAG, "false", AT(mitigate),
	  .help = "Hold events back until copies have persisted them; so does any other key of "
		  "`mitigation`" },
	{ "mitigation.policy", DCP_OPTION_CHOICE, "all", "none|all|majority|active", AT(mitigation),
	  .help = "How many copies" },
	{ "mitigation.interval_min", DCP_OPTION_DURATION, "5ms", .min = 1, .max = MINUTE,
	  AT(mitigation_min_ms), .help = "How soon copies are asked again while they move" },
	{ "mitigation.interval", DCP_OPTION_DURATION, "50ms", .min = 1, .max = MINUTE,
	  AT(mitigation_max_ms), .help = "And at most, while they do not" },
	{ 0 },
};
static_assert(ARRAY_LEN(dcp_options_table) <= DCP_OPTIONS_MAX,
	      "readers keep an array of that many");

#define GATE_NOTE    "asked only about vBuckets that hold something back, every 5 to 50 ms"
#define SAME_CLUSTER "checkpoints are kept with the stream's own hosts and login"
#define LEASE        "weir has no leader election; give every member `group.member` and `group.total`"
#define NO_BUFFER    "there is no such buffer: memory follows `stream.window`"
#define NO_HTTP      "`weir couchbase status` and weir_dcp_stats tell it; there is no HTTP server here"

const struct godcp_key godcp_keys[] = {
	{ "hosts", NULL, "hosts", GODCP_HOSTS,
	  "ports of the management service (8091, 18091) fall away: weir begins at the data "
	  "service" },
	{ "username", NULL, "user", GODCP_SAME, NULL },
	{ "password", NULL, "password", GODCP_SAME, NULL },
	{ "bucketName", NULL, "bucket", GODCP_SAME, NULL },
	{ "scopeName", "_default", "scope", GODCP_SAME, "without one weir reads the whole bucket" },
	{ "collectionNames", "_default", "collections", GODCP_SAME,
	  "without any weir reads the whole scope" },
	{ "connectionBufferSize", "20mb", NULL, GODCP_NOTHING, NO_BUFFER },
	{ "maxQueueSize", "2048", NULL, GODCP_NOTHING, NO_BUFFER },
	{ "connectionTimeout", "1m", "connect_timeout", GODCP_NOTHING,
	  "one key for both; dcp.connectionTimeout is translated" },
	{ "secureConnection", "false", "tls.enabled", GODCP_SAME, NULL },
	{ "rootCAPath", NULL, "tls.ca", GODCP_SAME, NULL },
	{ "debug", "false", NULL, GODCP_NOTHING, NO_HTTP },
	{ "dcp.bufferSize", "16mb", "stream.window", GODCP_SIZE,
	  "MB is 1024 KiB there, 1000 KB in weir" },
	{ "dcp.mode", "infinite", "stream.mode", GODCP_SAME, NULL },
	{ "dcp.connectionBufferSize", "20mb", NULL, GODCP_NOTHING, NO_BUFFER },
	{ "dcp.connectionTimeout", "1m", "connect_timeout", GODCP_SAME, "one key for both" },
	{ "dcp.maxQueueSize", "2048", NULL, GODCP_NOTHING, NO_BUFFER },
	{ "dcp.listener.skipUntil", NULL, "stream.skip_until", GODCP_SAME,
	  "what is skipped advances the position" },
	{ "dcp.group.name", NULL, "group.name", GODCP_SAME, NULL },
	{ "dcp.group.membership.type", "couchbase", "group.member", GODCP_MEMBERS,
	  "only static; dynamic is the call weir_dcp_assign_share" },
	{ "dcp.group.membership.memberNumber", "1", "group.member", GODCP_SAME,
	  "instead of GO_DCP__DCP_GROUP_MEMBERSHIP_MEMBERNUMBER: `${MEMBER:1}`" },
	{ "dcp.group.membership.totalMembers", "1", "group.total", GODCP_SAME,
	  "instead of GO_DCP__DCP_GROUP_MEMBERSHIP_TOTALMEMBERS: `${MEMBERS:1}`" },
	{ "dcp.group.membership.rebalanceDelay", "30s", NULL, GODCP_NOTHING,
	  "only vBuckets that move stop, so there is nothing to wait for" },
	{ "dcp.group.membership.config.expirySeconds", "120", NULL, GODCP_NOTHING, LEASE },
	{ "dcp.group.membership.config.heartbeatInterval", "10s", NULL, GODCP_NOTHING, LEASE },
	{ "dcp.group.membership.config.heartbeatToleranceDuration", "1m", NULL, GODCP_NOTHING,
	  LEASE },
	{ "dcp.group.membership.config.monitorInterval", "30s", NULL, GODCP_NOTHING, LEASE },
	{ "dcp.group.membership.config.timeout", "30s", NULL, GODCP_NOTHING, LEASE },
	{ "dcp.config.disableChangeStreams", NULL, "stream.change_history", GODCP_NOT,
	  "go-dcp never looks at it; off in weir unless asked for" },
	{ "dcp.config.priority", "low", "stream.priority", GODCP_SAME, NULL },
	{ "leaderElection.enabled", "false", NULL, GODCP_NOTHING, LEASE },
	{ "leaderElection.type", "kubernetes", NULL, GODCP_NOTHING, LEASE },
	{ "leaderElection.config.leaseLockName", NULL, NULL, GODCP_NOTHING, LEASE },
	{ "leaderElection.config.leaseLockNamespace", NULL, NULL, GODCP_NOTHING, LEASE },
	{ "leaderElection.config.leaseDuration", "8s", NULL, GODCP_NOTHING, LEASE },
	{ "leaderElection.config.renewDeadline", "5s", NULL, GODCP_NOTHING, LEASE },
	{ "leaderElection.config.retryPeriod", "1s", NULL, GODCP_NOTHING, LEASE },
	{ "leaderElection.rpc.port", "8081", NULL, GODCP_NOTHING, LEASE },
	{ "checkpoint.type", "auto", "checkpoint.commit", GODCP_SAME, NULL },
	{ "checkpoint.autoReset", "earliest", "stream.from", GODCP_FROM,
	  "earliest: oldest; latest: now" },
	{ "checkpoint.interval", "1m", "checkpoint.interval", GODCP_SAME, NULL },
	{ "checkpoint.timeout", "1m", NULL, GODCP_NOTHING,
	  "saving to a bucket may take three times `connect_timeout`" },
	{ "healthCheck.disabled", "false", NULL, GODCP_NOTHING,
	  "every connection checks itself: `stream.noop`" },
	{ "healthCheck.interval", "1m", NULL, GODCP_NOTHING,
	  "every connection checks itself: `stream.noop`" },
	{ "healthCheck.timeout", "1m", NULL, GODCP_NOTHING,
	  "every connection checks itself: `stream.noop`" },
	{ "rollbackMitigation.disabled", "false", "mitigation.enabled", GODCP_NOT,
	  "off in weir unless asked for" },
	{ "rollbackMitigation.enabled", NULL, "mitigation.enabled", GODCP_SAME,
	  "of older versions" },
	{ "rollbackMitigation.interval", "1s", "mitigation.interval", GODCP_NOTHING, GATE_NOTE },
	{ "rollbackMitigation.configWatchInterval", "10s", NULL, GODCP_NOTHING,
	  "new maps are pushed by the server, not asked for" },
	{ "metadata.type", "couchbase", "checkpoint.bucket", GODCP_PLACE,
	  "couchbase: `checkpoint.bucket`; file: `checkpoint.file`; noop: neither" },
	{ "metadata.readOnly", "false", "checkpoint.read_only", GODCP_SAME, NULL },
	{ "metadata.config.hosts", "the source's", NULL, GODCP_NOTHING, SAME_CLUSTER },
	{ "metadata.config.username", "the source's", NULL, GODCP_NOTHING, SAME_CLUSTER },
	{ "metadata.config.password", "the source's", NULL, GODCP_NOTHING, SAME_CLUSTER },
	{ "metadata.config.bucket", "the source's", "checkpoint.bucket", GODCP_PLACE, NULL },
	{ "metadata.config.scope", "_default", NULL, GODCP_NOTHING,
	  "checkpoints are in the default collection" },
	{ "metadata.config.collection", "_default", NULL, GODCP_NOTHING,
	  "checkpoints are in the default collection" },
	{ "metadata.config.maxQueueSize", "2048", NULL, GODCP_NOTHING, NO_BUFFER },
	{ "metadata.config.connectionBufferSize", "5mb", NULL, GODCP_NOTHING, NO_BUFFER },
	{ "metadata.config.connectionTimeout", "1m", NULL, GODCP_NOTHING,
	  "`connect_timeout`, for both" },
	{ "metadata.config.secureConnection", "the source's", NULL, GODCP_NOTHING, SAME_CLUSTER },
	{ "metadata.config.rootCAPath", "the source's", NULL, GODCP_NOTHING, SAME_CLUSTER },
	{ "metadata.config.fileName", NULL, "checkpoint.file", GODCP_PLACE,
	  "the format is the same" },
	{ "api.disabled", "false", NULL, GODCP_NOTHING, NO_HTTP },
	{ "api.port", "8080", NULL, GODCP_NOTHING, NO_HTTP },
	{ "metric.path", "/metrics", NULL, GODCP_NOTHING, NO_HTTP },
	{ "logging.level", "info", NULL, GODCP_NOTHING,
	  "the library logs nothing; errors and statistics are values" },
	{ 0 },
};
/* clang-format on */

const struct dcp_option *dcp_option_find(const char *key)
{
	for (const struct dcp_option *o = dcp_options_table; o->key; o++)
		if (strcmp(o->key, key) == 0)
			return o;
	return NULL;
}

const struct godcp_key *godcp_find(const char *key)
{
	for (const struct godcp_key *k = godcp_keys; k->key; k++)
		if (strcmp(k->key, key) == 0)
			return k;
	return NULL;
}

const char *dcp_option_kind_name(enum dcp_option_kind k)
{
	switch (k) {
	case DCP_OPTION_TEXT: return "text";
	case DCP_OPTION_NAMES: return "a list of names";
	case DCP_OPTION_FLAG: return "true or false";
	case DCP_OPTION_COUNT: return "a whole number";
	case DCP_OPTION_SIZE: return "a size such as 64KiB or 16MiB";
	case DCP_OPTION_DURATION: return "a duration such as 250ms, 10s or 1m30s";
	case DCP_OPTION_TIME: return "a time such as 2026-01-31T10:00:00Z";
	case DCP_OPTION_CHOICE: return "one of a few words";
	}
	ASSERT(false);
	return "";
}

/* ---- values ---- */

/* "12", "1.5": thousandths, exact; at most three decimals. Moves *p over it. */
static bool number(const char **p, uint64_t *thousandths)
{
	uint64_t n = 0, unit = 1000;
	const char *s = *p;
	bool point = false;
	if (*s < '0' || *s > '9')
		return false;
	for (; (*s >= '0' && *s <= '9') || (*s == '.' && !point); s++) {
		if (*s == '.') {
			point = true;
			continue;
		}
		if (point && unit == 1)
			return false;
		if (n > (UINT64_MAX / 1000 - 9) / 10)
			return false;
		n = n * 10 + (uint64_t)(*s - '0');
		if (point)
			unit /= 10;
	}
	if (s[-1] == '.')
		return false;
	*p = s;
	return !__builtin_mul_overflow(n, unit, thousandths);
}

bool dcp_parse_size(const char *text, unsigned kilo, uint64_t *bytes)
{
	static const char letters[] = "kmgt";
	uint64_t thousandths, factor = 1;
	const char *p = text;
	if (!number(&p, &thousandths))
		return false;
	while (*p == ' ')
		p++;
	const char *letter = *p ? strchr(letters, *p | 32) : NULL;
	if (letter) {
		bool binary = (p[1] | 32) == 'i';
		for (const char *l = letters; l <= letter; l++)
			factor *= binary ? 1024 : kilo;
		p += binary ? 2 : 1;
		if (binary && (*p | 32) != 'b')
			return false;
	}
	if ((*p | 32) == 'b')
		p++;
	if (*p || __builtin_mul_overflow(thousandths, factor, &thousandths) || thousandths % 1000)
		return false;
	*bytes = thousandths / 1000;
	return true;
}

bool dcp_parse_duration_ms(const char *text, uint64_t *ms)
{
	static const struct {
		const char *unit;
		uint64_t ms;
	} units[] = { { "ms", 1 }, { "s", 1000 }, { "m", MINUTE }, { "h", HOUR }, { "d", DAY } };
	uint64_t sum = 0;
	const char *p = text;
	if (strcmp(text, "0") == 0) {
		*ms = 0;
		return true;
	}
	do {
		uint64_t n;
		size_t len, i = 0;
		if (!number(&p, &n))
			return false;
		for (len = 0; p[len] >= 'a' && p[len] <= 'z';)
			len++;
		while (i < ARRAY_LEN(units) &&
		       !(strlen(units[i].unit) == len && memcmp(units[i].unit, p, len) == 0))
			i++;
		if (i == ARRAY_LEN(units) || __builtin_mul_overflow(n, units[i].ms, &n) ||
		    n % 1000 || __builtin_add_overflow(sum, n / 1000, &sum))
			return false;
		p += len;
	} while (*p);
	*ms = sum;
	return true;
}

static int set_text(struct dcp_config *c, const char **at, const char *text, struct err *e)
{
	*at = arena_strdup(&c->arena, slice_str(text));
	return *at ? 0 : err_nomem(e);
}

/* The number of `text` among "a|b|c". */
static int choice_of(const char *choices, const char *text, uint32_t *out, struct err *e)
{
	enum { WORDS_MAX = 8, WORD_BYTES = 24 };
	char words[WORDS_MAX][WORD_BYTES];
	const char *names[WORDS_MAX + 1];
	uint32_t n = 0;
	for (const char *p = choices; *p; n++) {
		size_t len = strcspn(p, "|");
		ASSERT(len < WORD_BYTES && n < WORDS_MAX);
		memcpy(words[n], p, len);
		words[n][len] = '\0';
		names[n] = words[n];
		if (strcmp(words[n], text) == 0) {
			*out = n;
			return 0;
		}
		p += len + (p[len] == '|');
	}
	names[n] = NULL;
	const char *near = suggest(text, names);
	return err_set(e, ERR_INVALID, "'%.40s' is none of %s%s%s%s", text, choices,
		       near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

static int set_choice(struct dcp_config *c, const struct dcp_option *o, const char *text, void *at,
		      struct err *e)
{
	uint32_t n;
	int rc = choice_of(o->choices, text, &n, e);
	if (rc < 0)
		return rc;
	if (o->offset == offsetof(struct dcp_config, priority) ||
	    o->offset ==
		    offsetof(struct dcp_config, backfill_order)) /* the server takes the word */
		return set_text(c, at, text, e);
	*(uint32_t *)at = n;
	return 0;
}

static int set_number(const struct dcp_option *o, const char *text, uint32_t *at, struct err *e)
{
	uint64_t n, max = o->max ? o->max : UINT32_MAX;
	bool good = o->kind == DCP_OPTION_DURATION ? dcp_parse_duration_ms(text, &n)
						   : dcp_parse_size(text, 1000, &n);
	if (o->kind == DCP_OPTION_COUNT && text[strspn(text, "0123456789")])
		good = false;
	if (!good && o->kind == DCP_OPTION_DURATION && *text && !text[strspn(text, "0123456789")])
		return err_set(e, ERR_INVALID, "'%.40s' has no unit; did you mean %.40ss?", text,
			       text);
	if (!good)
		return err_set(e, ERR_INVALID, "'%.40s' is not %s", text,
			       dcp_option_kind_name(o->kind));
	if (n < o->min || n > max)
		return err_set(e, ERR_INVALID,
			       "'%.40s' is not between %" PRIu64 " and %" PRIu64 "%s", text, o->min,
			       max,
			       o->kind == DCP_OPTION_DURATION ? " ms"
			       : o->kind == DCP_OPTION_SIZE   ? " bytes"
							      : "");
	*at = (uint32_t)n;
	return 0;
}

static int set_flag(const char *text, bool *at, struct err *e)
{
	static const char *const yes[] = { "yes", "on", "y", "1", NULL };
	static const char *const no[] = { "no", "off", "n", "0", NULL };
	if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0) {
		*at = text[0] == 't';
		return 0;
	}
	for (size_t i = 0; yes[i]; i++) {
		if (strcasecmp(text, yes[i]) == 0)
			return err_set(e, ERR_INVALID,
				       "'%s' is not true or false; did you mean true?", text);
		if (strcasecmp(text, no[i]) == 0)
			return err_set(e, ERR_INVALID,
				       "'%s' is not true or false; did you mean false?", text);
	}
	return err_set(e, ERR_INVALID, "'%.40s' is not true or false", text);
}

int dcp_option_set(struct dcp_config *c, const struct dcp_option *o, const char *text,
		   struct err *e)
{
	void *at = (char *)c + o->offset;
	switch (o->kind) {
	case DCP_OPTION_TEXT:
	case DCP_OPTION_NAMES:
		if (!*text)
			return err_set(e, ERR_INVALID, "it is empty");
		return set_text(c, at, text, e);
	case DCP_OPTION_FLAG: return set_flag(text, at, e);
	case DCP_OPTION_COUNT:
	case DCP_OPTION_SIZE:
	case DCP_OPTION_DURATION: return set_number(o, text, at, e);
	case DCP_OPTION_TIME: {
		int64_t ms;
		if (!iso_parse(slice_str(text), &ms))
			return err_set(e, ERR_INVALID, "'%.40s' is not %s", text,
				       dcp_option_kind_name(o->kind));
		*(int64_t *)at = ms;
		return 0;
	}
	case DCP_OPTION_CHOICE: return set_choice(c, o, text, at, e);
	}
	ASSERT(false);
	return ERR_INVALID;
}

int dcp_config_init(struct dcp_config *c, struct err *e)
{
	*c = (struct dcp_config){ .arena = ARENA_INIT };
	for (const struct dcp_option *o = dcp_options_table; o->key; o++) {
		int rc = o->def ? dcp_option_set(c, o, o->def, e) : 0;
		if (rc < 0) {
			ASSERT(rc == ERR_NOMEM);
			dcp_config_done(c);
			return rc;
		}
	}
	return 0;
}

void dcp_config_done(struct dcp_config *c)
{
	arena_done(&c->arena);
	*c = (struct dcp_config){ .arena = ARENA_INIT };
}

int dcp_config_check(const struct dcp_config *c, struct err *e)
{
	for (const struct dcp_option *o = dcp_options_table; o->key; o++) {
		const char *const *at = (const void *)((const char *)c + o->offset);
		if (o->required && !*at)
			return err_set(e, ERR_INVALID, "%s is missing: %s", o->key, o->help);
	}
	if (c->member > c->total)
		return err_set(e, ERR_INVALID, "group.member %u is more than group.total %u",
			       c->member, c->total);
	if (c->checkpoint_file && c->checkpoint_bucket)
		return err_set(e, ERR_INVALID,
			       "checkpoint.file and checkpoint.bucket exclude each other");
	if (c->mitigation_min_ms > c->mitigation_max_ms)
		return err_set(e, ERR_INVALID,
			       "mitigation.interval_min is more than mitigation.interval");
	if (c->tls_key && !c->tls_cert)
		return err_set(e, ERR_INVALID, "tls.key without tls.cert");
	return 0;
}

/* ---- the manual ---- */

static const char *kind_word(const struct dcp_option *o)
{
	switch (o->kind) {
	case DCP_OPTION_TEXT: return "text";
	case DCP_OPTION_NAMES: return "list";
	case DCP_OPTION_FLAG: return "flag";
	case DCP_OPTION_COUNT: return "number";
	case DCP_OPTION_SIZE: return "size";
	case DCP_OPTION_DURATION: return "duration";
	case DCP_OPTION_TIME: return "time";
	case DCP_OPTION_CHOICE: return NULL;
	}
	ASSERT(false);
	return NULL;
}

/* Adds text for a cell: | would end it. */
static void add_cell(struct buf *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '|')
			buf_add_byte(out, '\\');
		buf_add_byte(out, (uint8_t)*text);
	}
}

void dcp_options_markdown(struct buf *out)
{
	buf_add_str(out, "| key | takes | default | what |\n|---|---|---|---|\n");
	for (const struct dcp_option *o = dcp_options_table; o->key; o++) {
		buf_add_fmt(out, "| `%s` | ", o->key);
		if (o->choices)
			for (const char *p = o->choices; *p;) {
				size_t n = strcspn(p, "|");
				buf_add_fmt(out, "%s`%.*s`", p == o->choices ? "" : ", ", (int)n,
					    p);
				p += n + (p[n] == '|');
			}
		else
			buf_add_str(out, kind_word(o));
		buf_add_str(out, " | ");
		if (o->required)
			buf_add_str(out, "required");
		else if (o->def)
			buf_add_fmt(out, "`%s`", o->def);
		else
			buf_add_str(out, "none");
		buf_add_str(out, " | ");
		add_cell(out, o->help);
		buf_add_str(out, " |\n");
	}
}

void godcp_markdown(struct buf *out)
{
	buf_add_str(out, "| go-dcp | its default | weir | |\n|---|---|---|---|\n");
	for (const struct godcp_key *k = godcp_keys; k->key; k++) {
		buf_add_fmt(out, "| `%s` | %s | ", k->key, k->def ? k->def : "");
		if (k->to)
			buf_add_fmt(out, "`%s`", k->to);
		else
			buf_add_str(out, "none");
		buf_add_str(out, " | ");
		add_cell(out, k->note ? k->note : "");
		buf_add_str(out, " |\n");
	}
}
