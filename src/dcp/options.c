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
	  .help = "Nodes to begin with, `host[:port]`: the data service (11210, with TLS 11207) or "
		  "the management service (8091, with TLS 18091, or `http://host:port`)" },
	{ "user", DCP_OPTION_TEXT, .required = true, AT(user),
	  .help = "Who logs in; not needed with `tls.cert`" },
	{ "password", DCP_OPTION_TEXT, .required = true, AT(password),
	  .help = "Best from a variable: `${COUCHBASE_PASSWORD}`; not needed with `tls.cert`" },
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
	{ "network", DCP_OPTION_CHOICE, "auto", "auto|default|external", AT(network),
	  .help = "By which of its addresses a node is reached; auto: by the external ones where "
		  "`hosts` names none of the nodes' own" },
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
	{ "group.membership.kind", DCP_OPTION_CHOICE, "static",
	  "static|dynamic|statefulset|couchbase|lil_couchbase|lease", AT(members),
	  .help = "Who numbers the members: `group.member` and `group.total`; the program, by a "
		  "call; the pods' names; documents of a bucket; one such document; a leader over "
		  "a "
		  "Kubernetes Lease" },
	{ "group.membership.id", DCP_OPTION_TEXT, AT(member_id),
	  .help = "couchbase, lil_couchbase, lease: this member's name, unique in the group; none: "
		  "drawn at random, with a lease the host's name" },
	{ "group.membership.host_name", DCP_OPTION_TEXT, AT(host_name),
	  .help = "statefulset: the pod's name, `NAME-3` is member 4; none: /etc/hostname" },
	{ "group.membership.total_file", DCP_OPTION_TEXT, AT(total_file),
	  .help = "statefulset: a downward-API file that tells the total; none: `group.total`" },
	{ "group.membership.total_key", DCP_OPTION_TEXT, AT(total_key),
	  .help = "The annotation in that file" },
	{ "group.membership.bucket", DCP_OPTION_TEXT, AT(members_bucket),
	  .help = "couchbase, lil_couchbase: where the documents are; none: `checkpoint.bucket`, "
		  "else `bucket`" },
	{ "group.membership.heartbeat", DCP_OPTION_DURATION, "10s", .min = 10, .max = DAY,
	  AT(heartbeat_ms), .help = "couchbase, lil_couchbase: how often a member shows life" },
	{ "group.membership.tolerance", DCP_OPTION_DURATION, "1m", .min = 20, .max = DAY,
	  AT(tolerance_ms),
	  .help = "And how long beyond that it may be silent before others take it off the list" },
	{ "group.membership.monitor", DCP_OPTION_DURATION, "1s", .min = 10, .max = DAY,
	  AT(monitor_ms),
	  .help = "How often it reads the list; at most half the tolerance counts" },
	{ "group.membership.expiry", DCP_OPTION_DURATION, "2m", .min = 1000, .max = 30ull * DAY,
	  AT(expiry_ms), .help = "couchbase: of a member's own document, in whole seconds" },
	{ "group.membership.timeout", DCP_OPTION_DURATION, NULL, .min = 10, .max = HOUR,
	  AT(member_timeout_ms),
	  .help = "Of one request; none: `connect_timeout`, with a lease 2s" },
	{ "group.membership.rebalance_delay", DCP_OPTION_DURATION, NULL, .max = DAY,
	  AT(rebalance_delay_ms),
	  .help = "How long after a change what is new here waits; none: 3s where others may still "
		  "have it, else 0" },
	{ "group.membership.contiguous", DCP_OPTION_FLAG, "false", AT(contiguous),
	  .help = "Shares in one piece, as go-dcp cuts them, instead of those that move least" },
	{ "group.lease.namespace", DCP_OPTION_TEXT, AT(lease_namespace),
	  .help = "lease: where the Leases are" },
	{ "group.lease.name", DCP_OPTION_TEXT, AT(lease_name),
	  .help = "lease: the group's Lease; each member has one named `NAME-ID` besides" },
	{ "group.lease.api", DCP_OPTION_TEXT, AT(lease_api),
	  .help = "The API server; none: https://kubernetes.default.svc" },
	{ "group.lease.token_file", DCP_OPTION_TEXT, AT(lease_token),
	  .help = "Bearer token, read before each request; none: the service account's" },
	{ "group.lease.ca", DCP_OPTION_TEXT, AT(lease_ca),
	  .help = "PEM file of who signs its certificate; none: the service account's" },
	{ "group.lease.duration", DCP_OPTION_DURATION, "8s", .min = 30, .max = DAY, AT(lease_ms),
	  .help = "Silent for so long, a member is given up" },
	{ "group.lease.renew_deadline", DCP_OPTION_DURATION, "5s", .min = 20, .max = DAY,
	  AT(lease_renew_ms), .help = "Out of touch for so long, it stops; less than `duration`" },
	{ "group.lease.retry", DCP_OPTION_DURATION, "1s", .min = 10, .max = DAY, AT(lease_retry_ms),
	  .help = "How often it asks; less than `renew_deadline`" },
	{ "stream.mode", DCP_OPTION_CHOICE, "infinite", "infinite|finite", AT(mode),
	  .help = "finite: each vBucket ends where it stood at the start" },
	{ "stream.from", DCP_OPTION_CHOICE, "oldest", "oldest|now", AT(from),
	  .help = "Where a vBucket without a checkpoint begins" },
	{ "stream.skip_until", DCP_OPTION_TIME, AT(skip_until_ms),
	  .help = "Older documents are passed over; the position moves on all the same" },
	{ "stream.window", DCP_OPTION_SIZE, "8MiB", .min = 64 << 10, .max = 1 << 30,
	  AT(window_bytes), .help = "Flow control: what a node may have under way" },
	{ "stream.noop", DCP_OPTION_DURATION, "5s", .min = 1000, .max = HOUR, AT(noop_ms),
	  .help = "Liveness: a connection silent for twice as long is given up" },
	{ "stream.high_seqno_interval", DCP_OPTION_DURATION, "10s", .min = 10, .max = DAY,
	  AT(high_seqno_ms), .help = "How often servers are asked how far they are, for lag" },
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
	{ "checkpoint.log", DCP_OPTION_TEXT, AT(checkpoint_log),
	  .help = "Keep them in a log of weir's own in this directory, for this group alone" },
	{ "checkpoint.none", DCP_OPTION_FLAG, "false", AT(checkpoint_none),
	  .help = "Forget them at the end, but go on as if they were kept" },
	{ "checkpoint.bucket", DCP_OPTION_TEXT, AT(checkpoint_bucket),
	  .help = "Keep them in documents of this bucket" },
	{ "checkpoint.scope", DCP_OPTION_TEXT, AT(checkpoint_scope),
	  .help = "Of those documents; none: `_default`" },
	{ "checkpoint.collection", DCP_OPTION_TEXT, AT(checkpoint_collection),
	  .help = "And the collection; none: `_default`" },
	{ "checkpoint.hosts", DCP_OPTION_NAMES, AT(checkpoint_hosts),
	  .help = "The bucket is in another cluster; none: in the stream's own" },
	{ "checkpoint.user", DCP_OPTION_TEXT, AT(checkpoint_user),
	  .help = "Who logs in there; none: `user`" },
	{ "checkpoint.password", DCP_OPTION_TEXT, AT(checkpoint_password),
	  .help = "None: `password`" },
	{ "checkpoint.tls.enabled", DCP_OPTION_FLAG, "false", AT(checkpoint_tls),
	  .help = "Connect there with TLS; without `checkpoint.hosts` as the stream does" },
	{ "checkpoint.tls.ca", DCP_OPTION_TEXT, AT(checkpoint_tls_ca),
	  .help = "PEM file of who is trusted; none: `tls.ca`" },
	{ "checkpoint.tls.cert", DCP_OPTION_TEXT, AT(checkpoint_tls_cert),
	  .help = "PEM file of the client's certificate; none: `tls.cert`" },
	{ "checkpoint.tls.key", DCP_OPTION_TEXT, AT(checkpoint_tls_key),
	  .help = "PEM file of its key; none: `tls.key`" },
	{ "checkpoint.tls.server_name", DCP_OPTION_TEXT, AT(checkpoint_tls_name),
	  .help = "The name to look for in the server's certificate, instead of the host's" },
	{ "checkpoint.tls.insecure", DCP_OPTION_FLAG, "false", AT(checkpoint_tls_insecure),
	  .help = "Accept any certificate" },
	{ "checkpoint.timeout", DCP_OPTION_DURATION, NULL, .min = 10, .max = HOUR,
	  AT(checkpoint_timeout_ms),
	  .help = "How long saving in or reading from a bucket may take; none: three times "
		  "`connect_timeout`" },
	{ "checkpoint.read_only", DCP_OPTION_FLAG, "false", AT(checkpoint_read_only),
	  .help = "Begin where they say, but never write" },
	{ "checkpoint.commit", DCP_OPTION_CHOICE, "auto", "auto|manual", AT(commit),
	  .help = "manual: only when the program says so" },
	{ "checkpoint.interval", DCP_OPTION_DURATION, "1m", .min = 10, .max = DAY,
	  AT(checkpoint_interval_ms), .help = "How often they are saved" },
	{ "checkpoint.foreign", DCP_OPTION_CHOICE, "fail", "fail|restart|ignore", AT(foreign),
	  .help = "When a checkpoint is of another bucket" },
	{ "checkpoint.ahead", DCP_OPTION_CHOICE, "ignore", "fail|restart|ignore|rewind", AT(ahead),
	  .help = "When it lies above the server's highest seqno; ignore: the rollback protocol "
		  "decides; rewind: back to the last snapshot that both histories have" },
	{ "checkpoint.damaged", DCP_OPTION_CHOICE, "fail", "fail|restart", AT(damaged),
	  .help = "When it cannot be read" },
	{ "mitigation.enabled", DCP_OPTION_FLAG, "false", AT(mitigate),
	  .help = "Hold events back until copies have persisted them; so does any other key of "
		  "`mitigation`" },
	{ "mitigation.policy", DCP_OPTION_CHOICE, "all", "none|all|majority|active", AT(mitigation),
	  .help = "How many copies" },
	{ "mitigation.interval_min", DCP_OPTION_DURATION, "5ms", .min = 1, .max = MINUTE,
	  AT(mitigation_min_ms), .help = "How soon copies are asked again while they move" },
	{ "mitigation.interval", DCP_OPTION_DURATION, "15ms", .min = 1, .max = MINUTE,
	  AT(mitigation_max_ms), .help = "And at most, while they do not" },
	{ "mitigation.config_watch_interval", DCP_OPTION_DURATION, "10s", .min = 10, .max = HOUR,
	  AT(config_watch_ms),
	  .help = "How often a newer cluster map is asked for, besides those that are pushed; "
		  "without mitigation, too" },
	{ 0 },
};
static_assert(ARRAY_LEN(dcp_options_table) <= DCP_OPTIONS_MAX,
	      "readers keep an array of that many");

/* clang-format on */

const struct dcp_option *dcp_option_find(const char *key)
{
	for (const struct dcp_option *o = dcp_options_table; o->key; o++)
		if (strcmp(o->key, key) == 0)
			return o;
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
	*c = (struct dcp_config){ .arena = ARENA_INIT, .rebalance_delay_ms = DCP_DELAY_BY_KIND };
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

static bool members_change(const struct dcp_config *c)
{
	return c->members != DCP_MEMBERS_STATIC &&
	       !(c->members == DCP_MEMBERS_STATEFULSET && !c->total_file);
}

static int check_lease(const struct dcp_config *c, struct err *e)
{
	if (!c->lease_namespace || !c->lease_name)
		return err_set(e, ERR_INVALID, "%s is missing: the membership is lease",
			       c->lease_name ? "group.lease.namespace" : "group.lease.name");
	if (c->lease_renew_ms >= c->lease_ms)
		return err_set(e, ERR_INVALID,
			       "group.lease.renew_deadline must be less than group.lease.duration");
	if (c->lease_retry_ms >= c->lease_renew_ms)
		return err_set(e, ERR_INVALID,
			       "group.lease.retry must be less than group.lease.renew_deadline");
	return 0;
}

static int check_members(const struct dcp_config *c, struct err *e)
{
	if (c->members == DCP_MEMBERS_STATIC && c->member > c->total)
		return err_set(e, ERR_INVALID, "group.member %u is more than group.total %u",
			       c->member, c->total);
	if (c->total_file && !c->total_key)
		return err_set(e, ERR_INVALID,
			       "group.membership.total_file without group.membership.total_key");
	if (members_change(c) && (c->checkpoint_file || c->checkpoint_log))
		return err_set(e, ERR_INVALID,
			       "members that come and go hand vBuckets to each other: they need "
			       "checkpoint.bucket, not a checkpoint.%s of each",
			       c->checkpoint_file ? "file" : "log");
	return c->members == DCP_MEMBERS_LEASE ? check_lease(c, e) : 0;
}

static int check_places(const struct dcp_config *c, struct err *e)
{
	if ((c->checkpoint_file != NULL) + (c->checkpoint_bucket != NULL) +
		    (c->checkpoint_log != NULL) + c->checkpoint_none >
	    1)
		return err_set(e, ERR_INVALID,
			       "checkpoint.file, checkpoint.bucket, checkpoint.log and "
			       "checkpoint.none exclude each other");
	if (!c->checkpoint_bucket && (c->checkpoint_hosts || c->checkpoint_user ||
				      c->checkpoint_scope || c->checkpoint_collection))
		return err_set(e, ERR_INVALID,
			       "checkpoint.hosts, checkpoint.user, checkpoint.scope and "
			       "checkpoint.collection are about a checkpoint.bucket");
	return 0;
}

int dcp_config_check(const struct dcp_config *c, struct err *e)
{
	for (const struct dcp_option *o = dcp_options_table; o->key; o++) {
		const char *const *at = (const void *)((const char *)c + o->offset);
		bool login = at == &c->user || at == &c->password;
		if (o->required && !*at && !(login && c->tls_cert)) /* which is a login itself */
			return err_set(e, ERR_INVALID, "%s is missing: %s", o->key, o->help);
	}
	int rc = check_members(c, e);
	if (rc < 0)
		return rc;
	rc = check_places(c, e);
	if (rc < 0)
		return rc;
	if (c->mitigation_min_ms > c->mitigation_max_ms)
		return err_set(e, ERR_INVALID,
			       "mitigation.interval_min is more than mitigation.interval");
	if (c->tls_key && !c->tls_cert)
		return err_set(e, ERR_INVALID, "tls.key without tls.cert");
	return 0;
}
