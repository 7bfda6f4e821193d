/* options.h: every setting of a Couchbase stream as one row of a table: the key, what it takes, the default, limits,
 * help, and which of go-dcp's keys it answers. Reading a file, its error messages, the manual's table and the
 * translation of go-dcp's files all come from these rows, so they cannot disagree.
 *
 * Values are text until they are set: the table does not know which format they came from.
 *
 * Thread: any; a struct dcp_config belongs to one at a time.
 */
#ifndef DCP_OPTIONS_H
#define DCP_OPTIONS_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

enum dcp_option_kind {
	DCP_OPTION_TEXT,
	DCP_OPTION_NAMES,    /* a list; in one text, separated by commas */
	DCP_OPTION_FLAG,     /* true, false */
	DCP_OPTION_COUNT,    /* a whole number */
	DCP_OPTION_SIZE,     /* bytes: 65536, 64KiB, 10MB; KB is 1000, KiB 1024 */
	DCP_OPTION_DURATION, /* 250ms, 10s, 1m30s, 1.5h */
	DCP_OPTION_TIME,     /* 2026-01-31T10:00:00Z */
	DCP_OPTION_CHOICE,   /* one of `choices`, separated by |; stored as its number from 0 */
};

/* What the rows fill. Text is in the arena, or NULL. */
struct dcp_config {
	struct arena arena;
	const char *hosts, *user, *password, *bucket, *scope, *collections;
	const char *group, *tls_ca, *tls_cert, *tls_key, *tls_server_name, *priority, *backfill_order;
	const char *filter, *pipeline, *checkpoint_file, *checkpoint_bucket;
	const char *checkpoint_log, *checkpoint_scope, *checkpoint_collection, *checkpoint_hosts,
		*checkpoint_user, *checkpoint_password;
	const char *checkpoint_tls_ca, *checkpoint_tls_cert, *checkpoint_tls_key,
		*checkpoint_tls_name;
	const char *member_id, *host_name, *total_file, *total_key, *members_bucket;
	const char *lease_api, *lease_namespace, *lease_name, *lease_token, *lease_ca;
	uint32_t member, total, stream_id, window_bytes, noop_ms, connect_timeout_ms;
	uint32_t mitigation_min_ms, mitigation_max_ms, config_watch_ms, high_seqno_ms;
	uint32_t checkpoint_interval_ms, checkpoint_timeout_ms;
	uint32_t heartbeat_ms, tolerance_ms, monitor_ms, expiry_ms, member_timeout_ms;
	uint32_t rebalance_delay_ms; /* DCP_DELAY_BY_KIND */
	uint32_t lease_ms, lease_renew_ms, lease_retry_ms;
	/* choices */
	uint32_t network, mode, from, commit, mitigation, foreign, ahead, damaged, members;
	int64_t skip_until_ms;
	bool mitigate, tls, tls_insecure, allow_plain, xattrs, no_value, system_events,
		change_history, out_of_order_snapshots, ignore_purged_tombstones, deliver_metadata,
		checkpoint_read_only, checkpoint_none, checkpoint_tls, checkpoint_tls_insecure,
		contiguous, no_value_datatype, cursor_dropping, force_compression, skip_deletes;
};

#define DCP_DELAY_BY_KIND UINT32_MAX

enum { DCP_MODE_INFINITE, DCP_MODE_FINITE };
enum { DCP_FROM_OLDEST, DCP_FROM_NOW };
enum { DCP_COMMIT_AUTO, DCP_COMMIT_MANUAL };
enum {
	DCP_MEMBERS_STATIC,
	DCP_MEMBERS_DYNAMIC,
	DCP_MEMBERS_STATEFULSET,
	DCP_MEMBERS_COUCHBASE,
	DCP_MEMBERS_LIL_COUCHBASE,
	DCP_MEMBERS_LEASE,
};

struct dcp_option {
	const char *key; /* "stream.window" */
	enum dcp_option_kind kind;
	const char *def;     /* as text; NULL: none */
	const char *choices; /* DCP_OPTION_CHOICE */
	uint64_t min, max;   /* of counts, sizes and durations (ms); max 0: UINT32_MAX */
	bool required;
	const char *help;
	size_t offset; /* in struct dcp_config */
};

#define DCP_OPTIONS_MAX 128

extern const struct dcp_option dcp_options_table[]; /* ends with a row without a key */

const struct dcp_option *dcp_option_find(const char *key);
const char *dcp_option_kind_name(enum dcp_option_kind k); /* "a duration such as 10s" */

/* Sets every default. */
int dcp_config_init(struct dcp_config *c, struct err *e);
void dcp_config_done(struct dcp_config *c);

/* ERR_INVALID: not of the row's kind, or out of its limits; the message names the value, but not where it stands. A
 * secret is not repeated. */
int dcp_option_set(struct dcp_config *c, const struct dcp_option *o, const char *text,
		   struct err *e);

/* What the rows cannot say alone: what is required, and what excludes each other. */
int dcp_config_check(const struct dcp_config *c, struct err *e);

bool dcp_parse_size(const char *text, unsigned kilo, uint64_t *bytes); /* kilo: what KB is */
bool dcp_parse_duration_ms(const char *text, uint64_t *ms);

/* ---- go-dcp's keys ---- */

enum godcp_way {
	GODCP_SAME,    /* what it means, as the row's kind is written */
	GODCP_HOSTS,   /* a list, or one text with commas; the ports are those of the management service */
	GODCP_FROM,    /* earliest, latest */
	GODCP_NOT,     /* the opposite */
	GODCP_SECONDS, /* a number of seconds, as a duration */
	GODCP_PLACE,   /* metadata.type and what belongs to it: one of the checkpoint.* keys */
	GODCP_MEMBERS, /* the membership's type */
	GODCP_NOTHING, /* no counterpart: `note` says why */
};

struct godcp_key {
	const char *key, *def;
	const char *to; /* the row's key, or NULL */
	enum godcp_way way;
	const char *note; /* for the manual and the translation's comments; may be NULL */
	uint32_t members; /* bits of DCP_MEMBERS_*: it means something with these only; 0: always */
	const char *otherwise; /* of a choice: what go-dcp takes any other word for */
	const char *variable;  /* that overrides it */
	bool given;            /* translated when it is given; else weir's own default holds */
	bool apart;            /* means something with checkpoints in a bucket only */
};

extern const struct godcp_key godcp_keys[]; /* ends with a row without a key */

const struct godcp_key *godcp_find(const char *key);

/* Both tables as Markdown. */
void dcp_options_markdown(struct buf *out);
void godcp_markdown(struct buf *out);

#endif
