/* options_godcp.c: go-dcp's keys and what has become of them, and both tables as the manual shows them. */
#include "dcp/options.h"

/* clang-format off: one row a key */
#define NO_BUFFER  "there is no such buffer: memory follows `stream.window`"
#define NO_HTTP    "`weir couchbase status` and weir_dcp_stats tell it; there is no HTTP server here"
#define SELF_CHECK "every connection checks itself: `stream.noop`"

#define STATIC    (1u << DCP_MEMBERS_STATIC)
#define STATEFUL  (1u << DCP_MEMBERS_STATEFULSET)
#define COUCHBASE (1u << DCP_MEMBERS_COUCHBASE)
#define LIL       (1u << DCP_MEMBERS_LIL_COUCHBASE)
#define LEASE     (1u << DCP_MEMBERS_LEASE)

const struct godcp_key godcp_keys[] = {
	{ "hosts", NULL, "hosts", GODCP_HOSTS,
	  "the same; with TLS port 8091 becomes 18091, which is the management service's then" },
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
	{ "dcp.bufferSize", "16mb", "stream.window", GODCP_SAME,
	  "MB is 1024 KiB there, 1000 KB in weir" },
	{ "dcp.mode", "infinite", "stream.mode", GODCP_SAME, NULL, .otherwise = "infinite" },
	{ "dcp.connectionBufferSize", "20mb", NULL, GODCP_NOTHING, NO_BUFFER },
	{ "dcp.connectionTimeout", "1m", "connect_timeout", GODCP_SAME, "one key for both" },
	{ "dcp.maxQueueSize", "2048", NULL, GODCP_NOTHING, NO_BUFFER },
	{ "dcp.listener.skipUntil", NULL, "stream.skip_until", GODCP_SAME,
	  "what is skipped advances the position" },
	{ "dcp.group.name", NULL, "group.name", GODCP_SAME, NULL },
	{ "dcp.group.membership.type", "couchbase", "group.membership.kind", GODCP_MEMBERS,
	  "kubernetesStatefulSet: statefulset; kubernetesHa: lease; lilCouchbase: lil_couchbase" },
	{ "dcp.group.membership.memberNumber", "1", "group.member", GODCP_SAME,
	  "the variable GO_DCP__DCP_GROUP_MEMBERSHIP_MEMBERNUMBER goes before it: "
	  "`${GO_DCP__DCP_GROUP_MEMBERSHIP_MEMBERNUMBER:1}`",
	  .members = STATIC, .variable = "GO_DCP__DCP_GROUP_MEMBERSHIP_MEMBERNUMBER" },
	{ "dcp.group.membership.totalMembers", "1", "group.total", GODCP_SAME,
	  "the variable GO_DCP__DCP_GROUP_MEMBERSHIP_TOTALMEMBERS goes before it",
	  .members = STATIC | STATEFUL, .variable = "GO_DCP__DCP_GROUP_MEMBERSHIP_TOTALMEMBERS" },
	{ "dcp.group.membership.rebalanceDelay", "30s", "group.membership.rebalance_delay",
	  GODCP_SAME, "3s unless it is given: only vBuckets that move wait",
	  .members = COUCHBASE | LIL | LEASE, .given = true },
	{ "dcp.group.membership.config.expirySeconds", "120", "group.membership.expiry",
	  GODCP_SECONDS, NULL, .members = COUCHBASE },
	{ "dcp.group.membership.config.heartbeatInterval", "10s", "group.membership.heartbeat",
	  GODCP_SAME, NULL, .members = COUCHBASE | LIL },
	{ "dcp.group.membership.config.heartbeatToleranceDuration", "1m",
	  "group.membership.tolerance", GODCP_SAME,
	  "by each member's own clock; hosts' clocks are not compared",
	  .members = COUCHBASE | LIL },
	{ "dcp.group.membership.config.monitorInterval", "30s", "group.membership.monitor",
	  GODCP_SAME, "1s unless it is given: one document is read", .members = COUCHBASE | LIL,
	  .given = true },
	{ "dcp.group.membership.config.timeout", "30s", "group.membership.timeout", GODCP_SAME,
	  "as `connect_timeout` unless it is given", .members = COUCHBASE | LIL, .given = true },
	{ "dcp.config.disableChangeStreams", NULL, "stream.change_history", GODCP_NOT,
	  "go-dcp never looks at it; off in weir unless asked for" },
	{ "dcp.config.priority", "low", "stream.priority", GODCP_SAME, NULL, .otherwise = "low" },
	{ "leaderElection.enabled", "false", "group.membership.kind", GODCP_MEMBERS,
	  "the kind lease says so" },
	{ "leaderElection.type", "kubernetes", "group.membership.kind", GODCP_MEMBERS,
	  "there is no other" },
	{ "leaderElection.config.leaseLockName", NULL, "group.lease.name", GODCP_SAME, NULL,
	  .members = LEASE },
	{ "leaderElection.config.leaseLockNamespace", NULL, "group.lease.namespace", GODCP_SAME,
	  NULL, .members = LEASE },
	{ "leaderElection.config.leaseDuration", "8s", "group.lease.duration", GODCP_SAME, NULL,
	  .members = LEASE },
	{ "leaderElection.config.renewDeadline", "5s", "group.lease.renew_deadline", GODCP_SAME,
	  NULL, .members = LEASE },
	{ "leaderElection.config.retryPeriod", "1s", "group.lease.retry", GODCP_SAME, NULL,
	  .members = LEASE },
	{ "leaderElection.rpc.port", "8081", NULL, GODCP_NOTHING,
	  "members read their numbers in the Lease; they do not talk to each other" },
	{ "checkpoint.type", "auto", "checkpoint.commit", GODCP_SAME, NULL, .otherwise = "manual" },
	{ "checkpoint.autoReset", "earliest", "stream.from", GODCP_FROM,
	  "earliest: oldest; latest: now", .otherwise = "oldest" },
	{ "checkpoint.interval", "1m", "checkpoint.interval", GODCP_SAME, NULL },
	{ "checkpoint.timeout", "1m", "checkpoint.timeout", GODCP_SAME, NULL, .apart = true },
	{ "healthCheck.disabled", "false", NULL, GODCP_NOTHING, SELF_CHECK " cannot be off" },
	{ "healthCheck.interval", "1m", "stream.noop", GODCP_SAME,
	  "5s unless it is given; a connection silent for twice as long is given up and made anew",
	  .given = true },
	{ "healthCheck.timeout", "1m", NULL, GODCP_NOTHING, SELF_CHECK },
	{ "rollbackMitigation.disabled", "false", "mitigation.enabled", GODCP_NOT,
	  "off in weir unless asked for" },
	{ "rollbackMitigation.enabled", NULL, "mitigation.enabled", GODCP_SAME,
	  "of older versions" },
	{ "rollbackMitigation.interval", "1s", "mitigation.interval", GODCP_SAME,
	  "15ms unless it is given: only vBuckets that hold something back are asked about",
	  .given = true },
	{ "rollbackMitigation.configWatchInterval", "10s", "mitigation.config_watch_interval",
	  GODCP_SAME, "besides, the server pushes new maps" },
	{ "metadata.type", "couchbase", "checkpoint.bucket", GODCP_PLACE,
	  "couchbase: `checkpoint.bucket`; file: `checkpoint.file`; noop: `checkpoint.none`" },
	{ "metadata.readOnly", "false", "checkpoint.read_only", GODCP_SAME, NULL },
	{ "metadata.config.hosts", "the source's", "checkpoint.hosts", GODCP_HOSTS, NULL,
	  .apart = true, .given = true },
	{ "metadata.config.username", "the source's", "checkpoint.user", GODCP_SAME, NULL,
	  .apart = true, .given = true },
	{ "metadata.config.password", "the source's", "checkpoint.password", GODCP_SAME, NULL,
	  .apart = true, .given = true },
	{ "metadata.config.bucket", "the source's", "checkpoint.bucket", GODCP_PLACE, NULL },
	{ "metadata.config.scope", "_default", "checkpoint.scope", GODCP_SAME, NULL, .apart = true,
	  .given = true },
	{ "metadata.config.collection", "_default", "checkpoint.collection", GODCP_SAME, NULL,
	  .apart = true, .given = true },
	{ "metadata.config.maxQueueSize", "2048", NULL, GODCP_NOTHING, NO_BUFFER },
	{ "metadata.config.connectionBufferSize", "5mb", NULL, GODCP_NOTHING, NO_BUFFER },
	{ "metadata.config.connectionTimeout", "1m", NULL, GODCP_NOTHING,
	  "`connect_timeout`, for both" },
	{ "metadata.config.secureConnection", "the source's", "checkpoint.tls.enabled", GODCP_SAME,
	  NULL, .apart = true, .given = true },
	{ "metadata.config.rootCAPath", "the source's", "checkpoint.tls.ca", GODCP_SAME, NULL,
	  .apart = true, .given = true },
	{ "metadata.config.fileName", NULL, "checkpoint.file", GODCP_PLACE,
	  "the format is the same" },
	{ "api.disabled", "false", NULL, GODCP_NOTHING, NO_HTTP },
	{ "api.port", "8080", NULL, GODCP_NOTHING, NO_HTTP },
	{ "metric.path", "/metrics", NULL, GODCP_NOTHING,
	  "weir_dcp_metrics writes them, under these names if wanted; there is no HTTP server "
	  "here" },
	{ "logging.level", "info", NULL, GODCP_NOTHING,
	  "the library logs nothing; errors and statistics are values" },
	{ 0 },
};
/* clang-format on */

const struct godcp_key *godcp_find(const char *key)
{
	for (const struct godcp_key *k = godcp_keys; k->key; k++)
		if (strcmp(k->key, key) == 0)
			return k;
	return NULL;
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
