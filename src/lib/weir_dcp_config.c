/* weir_dcp_config.c: configuration files of a Couchbase stream through the public API. */
#include "lib/lib_dcp.h"

#include "app/conf_couchbase.h"
#include "base/mem.h"
#include "weir/dcp.h"

struct weir_dcp_config {
	struct dcp_config c;
	weir_dcp_membership m;
	weir_dcp_options o;
};

static enum weir_dcp_policy policy_of(uint32_t choice)
{
	return (enum weir_dcp_policy)(WEIR_DCP_POLICY_FAIL + (int)choice);
}

static_assert(WEIR_DCP_POLICY_RESTART == WEIR_DCP_POLICY_FAIL + 1 &&
		      WEIR_DCP_POLICY_IGNORE == WEIR_DCP_POLICY_FAIL + 2 &&
		      WEIR_DCP_POLICY_REWIND == WEIR_DCP_POLICY_FAIL + 3,
	      "fail|restart|ignore|rewind, in this order");
static_assert(WEIR_DCP_MITIGATE_NONE == 0 && WEIR_DCP_MITIGATE_ALL == 1 &&
		      WEIR_DCP_MITIGATE_MAJORITY == 2 && WEIR_DCP_MITIGATE_ACTIVE == 3,
	      "none|all|majority|active, in this order");

static_assert((int)WEIR_DCP_MEMBERS_STATIC == (int)DCP_MEMBERS_STATIC + 1 &&
		      (int)WEIR_DCP_MEMBERS_DYNAMIC == (int)DCP_MEMBERS_DYNAMIC + 1 &&
		      (int)WEIR_DCP_MEMBERS_STATEFULSET == (int)DCP_MEMBERS_STATEFULSET + 1 &&
		      (int)WEIR_DCP_MEMBERS_COUCHBASE == (int)DCP_MEMBERS_COUCHBASE + 1 &&
		      (int)WEIR_DCP_MEMBERS_LIL_COUCHBASE == (int)DCP_MEMBERS_LIL_COUCHBASE + 1 &&
		      (int)WEIR_DCP_MEMBERS_LEASE == (int)DCP_MEMBERS_LEASE + 1,
	      "the kinds of members, in one order");

static weir_dcp_membership membership_of(const struct dcp_config *c)
{
	enum { SECOND_MS = 1000 };
	return (weir_dcp_membership){
		.size = sizeof(weir_dcp_membership),
		.kind = (enum weir_dcp_members)(c->members + 1),
		.member = c->member,
		.total = c->total,
		.host_name = c->host_name,
		.total_file = c->total_file,
		.total_key = c->total_key,
		.lease_api = c->lease_api,
		.lease_namespace = c->lease_namespace,
		.lease_name = c->lease_name,
		.member_id = c->member_id,
		.lease_token_file = c->lease_token,
		.lease_ca_file = c->lease_ca,
		.lease_ms = c->lease_ms,
		.lease_renew_ms = c->lease_renew_ms,
		.lease_retry_ms = c->lease_retry_ms,
		.member_bucket = c->members_bucket,
		.heartbeat_ms = c->heartbeat_ms,
		.heartbeat_tolerance_ms = c->tolerance_ms,
		.heartbeat_monitor_ms = c->monitor_ms,
		.heartbeat_expiry_s = (c->expiry_ms + SECOND_MS - 1) / SECOND_MS,
		.member_timeout_ms = c->member_timeout_ms,
		.rebalance_delay_ms = c->rebalance_delay_ms == DCP_DELAY_BY_KIND ? 0
				      : c->rebalance_delay_ms == 0               ? WEIR_DCP_NO_DELAY
								   : c->rebalance_delay_ms,
		.contiguous = c->contiguous,
	};
}

static weir_dcp_options options_of(const struct dcp_config *c)
{
	return (weir_dcp_options){
		.size = sizeof(weir_dcp_options),
		.hosts = c->hosts,
		.user = c->user,
		.password = c->password,
		.bucket = c->bucket,
		.group = c->group,
		.tls = c->tls,
		/* with enabled: false they are there for another day */
		.tls_ca = c->tls ? c->tls_ca : NULL,
		.tls_cert = c->tls ? c->tls_cert : NULL,
		.tls_key = c->tls ? c->tls_key : NULL,
		.tls_server_name = c->tls ? c->tls_server_name : NULL,
		.tls_insecure = c->tls && c->tls_insecure,
		.allow_plain = c->allow_plain,
		.network = (enum weir_dcp_network)c->network,
		.scope = c->scope,
		.collections = c->collections,
		.latest = c->from == DCP_FROM_NOW,
		.finite = c->mode == DCP_MODE_FINITE,
		.xattrs = c->xattrs,
		.no_value = c->no_value,
		.system_events = c->system_events,
		.change_history = c->change_history,
		.stream_id = (uint16_t)c->stream_id,
		.backfill_order = c->backfill_order,
		.cursor_dropping = c->cursor_dropping,
		.force_compression = c->force_compression,
		.no_value_datatype = c->no_value_datatype,
		.skip_initial_deletes = c->skip_deletes,
		.out_of_order_snapshots = c->out_of_order_snapshots,
		.ignore_purged_tombstones = c->ignore_purged_tombstones,
		.deliver_metadata = c->deliver_metadata,
		.skip_until_ms = c->skip_until_ms,
		.window_bytes = c->window_bytes,
		.noop_ms = c->noop_ms,
		.connect_timeout_ms = c->connect_timeout_ms,
		.mitigation = c->mitigate ? (enum weir_dcp_mitigation)c->mitigation
					  : WEIR_DCP_MITIGATE_NONE,
		.mitigation_min_ms = c->mitigation_min_ms,
		.mitigation_max_ms = c->mitigation_max_ms,
		.config_watch_ms = c->config_watch_ms,
		.high_seqno_ms = c->high_seqno_ms,
		.checkpoint_file = c->checkpoint_file,
		.checkpoint_bucket = c->checkpoint_bucket,
		.checkpoint_log = c->checkpoint_log,
		.checkpoint_none = c->checkpoint_none,
		.checkpoint_scope = c->checkpoint_scope,
		.checkpoint_collection = c->checkpoint_collection,
		.checkpoint_hosts = c->checkpoint_hosts,
		.checkpoint_user = c->checkpoint_user,
		.checkpoint_password = c->checkpoint_password,
		.checkpoint_tls = c->checkpoint_tls,
		.checkpoint_tls_ca = c->checkpoint_tls_ca,
		.checkpoint_tls_cert = c->checkpoint_tls_cert,
		.checkpoint_tls_key = c->checkpoint_tls_key,
		.checkpoint_tls_server_name = c->checkpoint_tls_name,
		.checkpoint_tls_insecure = c->checkpoint_tls_insecure,
		.checkpoint_timeout_ms = c->checkpoint_timeout_ms,
		.checkpoint_read_only = c->checkpoint_read_only,
		.manual_commit = c->commit == DCP_COMMIT_MANUAL,
		.checkpoint_interval_ms = c->checkpoint_interval_ms,
		.filter = c->filter ? weir_json(c->filter) : (weir_doc){ 0 },
		.pipeline = c->pipeline ? weir_json(c->pipeline) : (weir_doc){ 0 },
		.foreign = policy_of(c->foreign),
		.ahead = policy_of(c->ahead),
		.damaged = policy_of(c->damaged),
		.priority = c->priority,
	};
}

/* The rows take any text; what is in it is seen here. What is wrong begins with "filter: " or "pipeline: ". */
static int check_language(const weir_dcp_options *o, const char *name, struct err *e)
{
	const weir_doc none = { 0 };
	struct err why = ERR_INIT;
	struct feed *f = NULL;
	int rc = lib_dcp_new_feed(NULL, o->bucket, o->filter, none, &f, &why);
	feed_free(f);
	f = NULL;
	if (rc == 0)
		rc = lib_dcp_new_feed(NULL, o->bucket, none, o->pipeline, &f, &why);
	feed_free(f);
	return rc < 0 ? err_set(e, rc, "%s: stream.%s", name, why.msg) : 0;
}

int weir_dcp_config_parse(const char *yaml, size_t len, const char *name, weir_dcp_config **out,
			  weir_error *e)
{
	if (!yaml || !name || !out)
		return lib_null(lib_err(e), yaml ? name ? "the output" : "the name" : "the text");
	weir_dcp_config *c = mem_try(sizeof(*c));
	if (!c)
		return err_nomem(lib_err(e));
	int rc = conf_couchbase_read(slice_of(yaml, len), name, conf_environment, NULL, &c->c,
				     lib_err(e));
	if (rc < 0) {
		mem_free(c);
		return rc;
	}
	c->m = membership_of(&c->c);
	c->o = options_of(&c->c);
	c->o.membership = &c->m;
	rc = check_language(&c->o, name, lib_err(e));
	if (rc < 0) {
		weir_dcp_config_free(c);
		return rc;
	}
	*out = c;
	return 0;
}

const weir_dcp_options *weir_dcp_config_options(const weir_dcp_config *c)
{
	return c ? &c->o : NULL;
}

void weir_dcp_config_free(weir_dcp_config *c)
{
	if (!c)
		return;
	dcp_config_done(&c->c);
	mem_free(c);
}

int weir_dcp_config_import(const char *yaml, size_t len, const char *name, weir_buffer *out,
			   weir_error *e)
{
	if (!yaml || !name || !out)
		return lib_null(lib_err(e), yaml ? name ? "the output" : "the name" : "the text");
	return conf_couchbase_import(slice_of(yaml, len), name, lib_buf(out), lib_err(e));
}

int weir_dcp_config_markdown(bool of_go_dcp, weir_buffer *out, weir_error *e)
{
	if (!out)
		return lib_null(lib_err(e), "the output");
	if (of_go_dcp)
		godcp_markdown(lib_buf(out));
	else
		dcp_options_markdown(lib_buf(out));
	return buf_check(lib_buf(out), lib_err(e));
}
