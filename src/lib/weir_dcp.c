/* weir_dcp.c: a Couchbase client opened out of its options, what it is assigned, and its end. */
#include "lib/lib_dcp.h"

#include "base/mem.h"
#include "dcp/seed.h"

static_assert((int)WEIR_DCP_END == (int)DCP_END && (int)WEIR_DCP_ROLLBACK == (int)DCP_ROLLBACK &&
		      (int)WEIR_DCP_SYSTEM == (int)DCP_SYSTEM,
	      "events have one number");
static_assert((int)WEIR_DCP_MITIGATE_ACTIVE == (int)MITIGATE_ACTIVE &&
		      (int)WEIR_DCP_MITIGATE_ALL == (int)MITIGATE_ALL,
	      "mitigation policies have one number");
static_assert((int)WEIR_DCP_NETWORK_DEFAULT == (int)NETWORK_DEFAULT &&
		      (int)WEIR_DCP_NETWORK_EXTERNAL == (int)NETWORK_EXTERNAL,
	      "networks have one number");
static_assert((int)WEIR_DCP_POLICY_REWIND == (int)CHECKPOINT_REWIND &&
		      (int)WEIR_DCP_POLICY_FAIL == (int)CHECKPOINT_FAIL,
	      "checkpoint policies have one number");
static_assert((int)WEIR_DCP_BEFORE_STREAM_START == (int)DCP_BEFORE_STREAM_START &&
		      (int)WEIR_DCP_AFTER_STREAM_STOP == (int)DCP_AFTER_STREAM_STOP &&
		      (int)WEIR_DCP_AFTER_REBALANCE_END == (int)DCP_AFTER_REBALANCE_END,
	      "hooks have one number");
static_assert(WEIR_DCP_ALL == DCP_ALL_VBUCKETS, "all vBuckets have one number");

int lib_dcp_split(const char *list, const char *what, char **copy, const char **name, size_t *n,
		  struct err *e)
{
	*n = 0;
	if (!list)
		return 0;
	*copy = mem_strdup(list);
	if (!*copy)
		return err_nomem(e);
	for (char *p = *copy; p;) {
		char *comma = strchr(p, ',');
		if (comma)
			*comma++ = '\0';
		if (*p == '\0')
			return err_set(e, ERR_INVALID, "an empty name among the %s", what);
		if (*n == NAMES_MAX)
			return err_set(e, ERR_LIMIT, "more than %d %s", NAMES_MAX, what);
		name[(*n)++] = p;
		p = comma;
	}
	return 0;
}

static void free_dcp(weir_dcp *d)
{
	feed_free(d->feed);
	checkpoint_store_free(d->store);
	tls_free(d->store_tls);
	scram_cache_wipe(&d->store_scram);
	scram_cache_wipe(&d->member_scram);
	lib_dcp_trace_free(d);
	lib_dcp_listening_free(d);
	mem_free(d->start_at);
	mem_free(d->group);
	mem_free(d->hosts);
	mem_free(d->collections);
	mem_free(d->store_hosts);
	mem_free(d);
}

static void on_hook(void *arg, enum dcp_hook h, const uint16_t *vb, size_t n)
{
	weir_dcp *d = arg;
	for (size_t i = 0; h == DCP_AFTER_STREAM_STOP && i < n; i++)
		lib_dcp_trace_all(d, vb[i], WEIR_DCP_SPAN_LEFT);
	if (d->hook)
		d->hook(d->hook_arg, d, (enum weir_dcp_hook)h, vb, n);
}

static int take_positions(weir_dcp *d, const weir_dcp_options *o, struct err *e)
{
	if (!o->positions && o->n_positions)
		return lib_null(e, "the positions");
	if (o->n_positions == 0)
		return 0;
	d->start_at = mem_try_array(o->n_positions, sizeof(*d->start_at));
	int rc = d->start_at ? 0 : err_nomem(e);
	for (size_t i = 0; i < o->n_positions && rc == 0; i++)
		rc = lib_dcp_position_in(&o->positions[i], &d->start_at[i], e);
	return rc;
}

/* A number that stands for nothing: a mitigation of 77 would hold everything back for ever. */
static int check_choices(const weir_dcp_options *o, struct err *e)
{
	const struct {
		const char *name;
		int value, last;
	} choice[] = {
		{ "mitigation", (int)o->mitigation, WEIR_DCP_MITIGATE_ACTIVE },
		{ "foreign", (int)o->foreign, WEIR_DCP_POLICY_REWIND },
		{ "ahead", (int)o->ahead, WEIR_DCP_POLICY_REWIND },
		{ "damaged", (int)o->damaged, WEIR_DCP_POLICY_REWIND },
		{ "network", (int)o->network, WEIR_DCP_NETWORK_EXTERNAL },
	};
	for (size_t i = 0; i < ARRAY_LEN(choice); i++)
		if (choice[i].value < 0 || choice[i].value > choice[i].last)
			return err_set(e, ERR_INVALID, "%s is %d, which is none of its choices",
				       choice[i].name, choice[i].value);
	return 0;
}

/* What the client keeps for itself. */
static int take_options(weir_dcp *d, const weir_dcp_options *o, struct err *e)
{
	d->finite = o->finite;
	d->hook = o->hook;
	d->hook_arg = o->hook_arg;
	d->group = mem_strdup(o->group ? o->group : "");
	int rc = d->group ? 0 : err_nomem(e);
	if (rc == 0)
		rc = take_positions(d, o, e);
	return rc < 0 ? rc : lib_dcp_trace_open(d, o->tracer, e);
}

static int open_source(weir_dcp *d, const weir_dcp_options *o, size_t n_hosts, size_t n_collections,
		       struct err *e)
{
	struct tls_options tls = lib_dcp_tls(o);
	struct dcp_options s = {
		.seeds = d->host,
		.n_seeds = n_hosts,
		.user = o->user,
		.password = o->password,
		.bucket = o->bucket,
		.group = o->group,
		.tls = o->tls ? &tls : NULL,
		.allow_plain = o->allow_plain,
		.network = (enum cluster_network)o->network,
		.scope = o->scope,
		.collections = d->collection,
		.n_collections = n_collections,
		.begin = o->latest ? DCP_LATEST : DCP_EARLIEST,
		.finite = o->finite,
		.xattrs = o->xattrs,
		.no_value = o->no_value,
		.system_events = o->system_events,
		.change_streams = o->change_history,
		.stream_id = o->stream_id,
		.backfill_order = o->backfill_order,
		.cursor_dropping = o->cursor_dropping,
		.force_compression = o->force_compression,
		.no_value_datatype = o->no_value_datatype,
		.skip_deletes = o->skip_initial_deletes,
		.out_of_order = o->out_of_order_snapshots,
		.ignore_purged = o->ignore_purged_tombstones,
		.deliver_metadata = o->deliver_metadata,
		.skip_until_ms = o->skip_until_ms,
		.window_bytes = o->window_bytes,
		.priority = o->priority,
		.noop = ms(o->noop_ms),
		.connect_timeout = ms(o->connect_timeout_ms),
		.mitigation = { .policy = (enum mitigation_policy)o->mitigation,
				.interval_min = ms(o->mitigation_min_ms),
				.interval_max = ms(o->mitigation_max_ms),
				.config_watch_interval = ms(o->config_watch_ms) },
		.start_at = d->start_at,
		.n_start_at = o->n_positions,
		.timed = o->tracer != NULL,
		.seqno_interval = ms(o->high_seqno_ms),
		.hook = on_hook,
		.hook_arg = d,
		.store = d->store,
		.manual_commit = o->manual_commit,
		.checkpoint_interval = ms(o->checkpoint_interval_ms),
		.policies = { .foreign = (enum checkpoint_policy)o->foreign,
			      .ahead = (enum checkpoint_policy)o->ahead,
			      .damaged = (enum checkpoint_policy)o->damaged },
	};
	return dcp_source_open(&s, &d->source, e);
}

static bool collection_names(void *arg, uint32_t id, const char **scope, const char **name)
{
	weir_dcp *d = arg;
	return dcp_source_collection(d->source, id, scope, name);
}

int lib_dcp_new_feed(weir_dcp *d, const char *bucket, weir_doc filter, weir_doc pipeline,
		     struct feed **out, struct err *e)
{
	AUTO(buf) struct buf filter_bson = BUF_INIT;
	AUTO(buf) struct buf pipeline_bson = BUF_INIT;
	struct feed_options fo = { .bucket = bucket ? bucket : "",
				   .collection = collection_names,
				   .arg = d };
	int rc = 0;
	if (filter.data)
		rc = lib_doc(filter, "filter", &filter_bson, &fo.filter, NULL, e);
	if (rc == 0 && pipeline.data)
		rc = lib_array(pipeline, "pipeline", &pipeline_bson, &fo.pipeline, e);
	return rc < 0 ? rc : feed_new(&fo, out, e);
}

/* Once the bucket has told how many vBuckets it has. */
static int check_positions(weir_dcp *d, const weir_dcp_options *o, struct err *e)
{
	uint32_t n = dcp_source_vbuckets(d->source);
	for (size_t i = 0; i < o->n_positions; i++)
		if (o->positions[i].vbucket >= n)
			return err_set(e, ERR_INVALID,
				       "positions: there is no vBucket %u, only 0 to %u",
				       o->positions[i].vbucket, n - 1);
	return 0;
}

/* Who names certificates believes that they are looked at. */
static int check_login(const weir_dcp_options *o, struct err *e)
{
	if (!o->tls &&
	    (o->tls_ca || o->tls_cert || o->tls_key || o->tls_server_name || o->tls_insecure))
		return err_set(
			e, ERR_INVALID,
			"tls_ca, tls_cert, tls_key, tls_server_name and tls_insecure mean nothing "
			"without tls");
	if (!(o->user && *o->user) && !o->tls_cert)
		return err_set(e, ERR_INVALID, "no user");
	return 0;
}

int weir_dcp_open(const weir_dcp_options *options, weir_dcp **out, weir_error *we)
{
	struct err *e = lib_err(we);
	weir_dcp_options o = { 0 };
	weir_dcp_membership m = { 0 };
	size_t n_hosts, n_collections;
	if (!options || !out)
		return lib_null(e, options ? "the output" : "the options");
	int rc = lib_options(&o, sizeof(o), options, e);
	if (rc < 0)
		return rc;
	weir_dcp *d = mem_try(sizeof(*d));
	if (!d)
		return err_nomem(e);
	rc = lib_dcp_split(o.hosts, "hosts", &d->hosts, d->host, &n_hosts, e);
	for (size_t i = 0; rc == 0 && i < n_hosts; i++)
		o.tls = o.tls || seed_wants_tls(d->host[i]);
	if (rc == 0)
		rc = lib_dcp_split(o.collections, "collections", &d->collections, d->collection,
				   &n_collections, e);
	if (rc == 0)
		rc = check_choices(&o, e);
	if (rc == 0)
		rc = check_login(&o, e);
	if (rc == 0)
		rc = take_options(d, &o, e);
	if (rc == 0)
		rc = lib_dcp_new_feed(d, o.bucket, o.filter, o.pipeline, &d->feed, e);
	if (rc == 0)
		rc = lib_dcp_open_membership(d, &o, &m, e);
	if (rc == 0)
		rc = lib_dcp_open_store(d, &o, n_hosts, e);
	if (rc == 0)
		rc = open_source(d, &o, n_hosts, n_collections, e);
	if (rc == 0)
		rc = check_positions(d, &o, e);
	if (rc == 0)
		rc = lib_dcp_start_membership(d, &o, &m, n_hosts, e);
	if (rc < 0) {
		membership_free(d->membership);
		(void)dcp_source_close(d->source, NULL);
		free_dcp(d);
		return rc;
	}
	if (d->own)
		lib_dcp_own_store_taken(d->own);
	*out = d;
	return 0;
}

int weir_dcp_close(weir_dcp *d, weir_error *e)
{
	if (!d)
		return 0;
	int left = membership_run_stop(d->run, lib_err(e));
	int rc = dcp_source_close(d->source, left == 0 ? lib_err(e) : NULL);
	free_dcp(d);
	return left < 0 ? left : rc;
}

uint32_t weir_dcp_vbuckets(weir_dcp *d)
{
	return d ? dcp_source_vbuckets(d->source) : 0;
}

int weir_dcp_assign(weir_dcp *d, const uint16_t *vbuckets, size_t n, weir_error *e)
{
	if (!d || (!vbuckets && n))
		return lib_null(lib_err(e), d ? "the vBuckets" : "the client");
	if (d->run)
		return err_set(lib_err(e), ERR_INVALID, "the membership assigns");
	return dcp_source_assign(d->source, vbuckets, n, lib_err(e));
}

int weir_dcp_assign_share(weir_dcp *d, uint32_t member, uint32_t total, weir_error *e)
{
	if (!d)
		return lib_null(lib_err(e), "the client");
	if (d->run)
		return err_set(lib_err(e), ERR_INVALID, "the membership assigns");
	return dcp_source_assign_share(d->source, member, total, lib_err(e));
}

int weir_dcp_statefulset_member(const char *host_name, uint32_t *member, weir_error *e)
{
	if (!host_name || !member)
		return lib_null(lib_err(e), "an argument");
	return cluster_member_of_host(host_name, member, lib_err(e));
}
