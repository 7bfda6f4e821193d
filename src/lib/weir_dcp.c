/* weir_dcp.c: Couchbase through the public API. A weir_dcp_event is a struct dcp_event. */
#include "lib/lib.h"

#include "base/mem.h"
#include "dcp/conn.h"
#include "dcp/feed.h"
#include "dcp/membership_run.h"
#include "dcp/source.h"
#include "net/tls.h"
#include "os/env.h"
#include "weir/dcp.h"

#include <stdio.h>

static_assert((int)WEIR_DCP_END == (int)DCP_END && (int)WEIR_DCP_ROLLBACK == (int)DCP_ROLLBACK &&
		      (int)WEIR_DCP_SYSTEM == (int)DCP_SYSTEM,
	      "events have one number");
static_assert((int)WEIR_DCP_MITIGATE_ACTIVE == (int)MITIGATE_ACTIVE &&
		      (int)WEIR_DCP_MITIGATE_ALL == (int)MITIGATE_ALL,
	      "mitigation policies have one number");
static_assert((int)WEIR_DCP_POLICY_IGNORE == (int)CHECKPOINT_IGNORE &&
		      (int)WEIR_DCP_POLICY_FAIL == (int)CHECKPOINT_FAIL,
	      "checkpoint policies have one number");

enum { NAMES_MAX = 256 };

struct weir_dcp {
	struct dcp_source *source;
	struct checkpoint_store *store;
	bool claims; /* store is one that claims */
	struct membership *membership;
	struct membership_run *run; /* NULL: the caller assigns */
	struct feed *feed;
	struct tls *store_tls;
	struct scram_cache store_scram;
	char *hosts, *collections; /* copies, cut at the commas */
	const char *host[NAMES_MAX], *collection[NAMES_MAX];
};

static const struct dcp_event *of(const weir_dcp_event *ev)
{
	return (const struct dcp_event *)(const void *)ev;
}

static const weir_dcp_event *to_event(const struct dcp_event *ev)
{
	return (const weir_dcp_event *)(const void *)ev;
}

/* Cuts a copy of "a,b,c"; the names point into it. */
static int split(const char *list, const char *what, char **copy, const char **name, size_t *n,
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

static nsec ms(uint32_t n)
{
	return (nsec)n * NSEC_PER_MS;
}

/* A store that begins where a resume token says, and forgets: the caller keeps the tokens. */
struct token_store {
	struct checkpoint_store base;
	struct checkpoint *cp;
	size_t n;
};

static int token_load(struct checkpoint_store *s, struct checkpoint *c, size_t n, struct err *e)
{
	struct token_store *t = container_of(s, struct token_store, base);
	(void)e;
	for (size_t i = 0; i < n; i++) {
		uint16_t vb = c[i].vb;
		c[i] = (struct checkpoint){ .vb = vb };
		for (size_t j = 0; j < t->n; j++)
			if (t->cp[j].vb == vb)
				c[i] = t->cp[j];
	}
	return 0;
}

/* Within this process what is handed back and forth between members stays known. */
static int token_save(struct checkpoint_store *s, const struct checkpoint *c, size_t n,
		      struct err *e)
{
	struct token_store *t = container_of(s, struct token_store, base);
	for (size_t i = 0; i < n; i++) {
		size_t j = 0;
		while (j < t->n && t->cp[j].vb != c[i].vb)
			j++;
		if (j == t->n) {
			struct checkpoint *grown = mem_retry(t->cp, (t->n + 1) * sizeof(*grown));
			if (!grown)
				return err_nomem(e);
			t->cp = grown;
			t->n++;
		}
		t->cp[j] = c[i];
	}
	return 0;
}

static int token_clear(struct checkpoint_store *s, const uint16_t *vb, size_t n, struct err *e)
{
	(void)s;
	(void)vb;
	(void)n;
	(void)e;
	return 0;
}

static void token_free(struct checkpoint_store *s)
{
	struct token_store *t = container_of(s, struct token_store, base);
	mem_free(t->cp);
	mem_free(t);
}

static int open_token_store(weir_dcp *d, const char *token, struct err *e)
{
	static const struct checkpoint_store_ops token_ops = { token_load, token_save, token_clear,
							       token_free };
	enum { VBUCKETS = 65536 };
	struct token_store *t = mem_try(sizeof(*t));
	if (!t)
		return err_nomem(e);
	t->base.ops = &token_ops;
	d->store = &t->base;
	t->cp = mem_try_array(strlen(token) / 64 + 1, sizeof(*t->cp));
	if (!t->cp)
		return err_nomem(e);
	int rc = feed_token_parse(slice_str(token), t->cp, MIN(strlen(token) / 64 + 1, VBUCKETS),
				  &t->n, e);
	return rc < 0 ? rc : feed_seed(d->feed, t->cp, t->n, e);
}

static void free_dcp(weir_dcp *d)
{
	feed_free(d->feed);
	checkpoint_store_free(d->store);
	tls_free(d->store_tls);
	scram_cache_wipe(&d->store_scram);
	mem_free(d->hosts);
	mem_free(d->collections);
	mem_free(d);
}

static struct tls_options tls_of(const weir_dcp_options *o)
{
	return (struct tls_options){ .ca_file = o->tls_ca,
				     .cert_file = o->tls_cert,
				     .key_file = o->tls_key,
				     .server_name = o->tls_server_name,
				     .insecure = o->tls_insecure };
}

/* In a bucket of the same cluster. Its writes may take as long as connecting does, several times over. */
static int open_bucket_store(weir_dcp *d, const weir_dcp_options *o, size_t n_hosts, struct err *e)
{
	enum { CONNECT_MS = 10000, NOOP_MS = 5000 };
	nsec connect = ms(o->connect_timeout_ms ? o->connect_timeout_ms : CONNECT_MS);
	struct tls_options tls = tls_of(o);
	if (o->tls) {
		int rc = tls_new(&tls, &d->store_tls, e);
		if (rc < 0)
			return rc;
	}
	d->store_scram.mechanism = SASL_NONE;
	struct conn_options c = { .env = env_posix(),
				  .user = o->user ? o->user : "",
				  .password = o->password ? o->password : "",
				  .bucket = o->checkpoint_bucket,
				  .tls = d->store_tls,
				  .allow_plain = o->allow_plain,
				  .cache = &d->store_scram,
				  .agent = "weir",
				  .connect_timeout = connect,
				  .noop = ms(o->noop_ms ? o->noop_ms : NOOP_MS) };
	return checkpoint_couchbase_open(&c, d->host, n_hosts, o->group ? o->group : "",
					 3 * connect, &d->store, e);
}

static int open_store(weir_dcp *d, const weir_dcp_options *o, size_t n_hosts, struct err *e)
{
	int places = (o->resume_after != NULL) + (o->checkpoint_file != NULL) +
		     (o->checkpoint_bucket != NULL),
	    rc = 0;
	if (places > 1)
		return err_set(
			e, ERR_INVALID,
			"resume_after, checkpoint_file and checkpoint_bucket exclude each other");
	if (places == 0)
		return 0;
	if (o->resume_after)
		rc = open_token_store(d, o->resume_after, e);
	else if (o->checkpoint_file)
		rc = checkpoint_file_open(env_posix(), o->checkpoint_file, &d->store, e);
	else
		rc = open_bucket_store(d, o, n_hosts, e);
	if (rc == 0 && o->checkpoint_read_only)
		rc = checkpoint_read_only(d->store, &d->store, e);
	else if (rc == 0 && o->checkpoint_bucket && o->membership) {
		rc = checkpoint_claiming(d->store, &d->store, e);
		d->claims = rc == 0;
	}
	return rc;
}

static int open_source(weir_dcp *d, const weir_dcp_options *o, size_t n_hosts, size_t n_collections,
		       struct err *e)
{
	struct tls_options tls = tls_of(o);
	struct dcp_options s = {
		.seeds = d->host,
		.n_seeds = n_hosts,
		.user = o->user,
		.password = o->password,
		.bucket = o->bucket,
		.group = o->group,
		.tls = o->tls ? &tls : NULL,
		.allow_plain = o->allow_plain,
		.scope = o->scope,
		.collections = d->collection,
		.n_collections = n_collections,
		.begin = o->latest ? DCP_LATEST : DCP_EARLIEST,
		.finite = o->finite,
		.xattrs = o->xattrs,
		.no_value = o->no_value,
		.system_events = o->system_events,
		.change_streams = o->change_history,
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
				.interval_max = ms(o->mitigation_max_ms) },
		.store = d->store,
		.manual_commit = o->manual_commit,
		.checkpoint_interval = ms(o->checkpoint_interval_ms),
		.foreign = (enum checkpoint_policy)o->foreign,
		.ahead = (enum checkpoint_policy)o->ahead,
	};
	return dcp_source_open(&s, &d->source, e);
}

static bool collection_names(void *arg, uint32_t id, const char **scope, const char **name)
{
	weir_dcp *d = arg;
	return dcp_source_collection(d->source, id, scope, name);
}

static int open_feed(weir_dcp *d, const weir_dcp_options *o, struct err *e)
{
	AUTO(buf) struct buf filter = BUF_INIT;
	AUTO(buf) struct buf pipeline = BUF_INIT;
	struct feed_options fo = { .bucket = o->bucket ? o->bucket : "",
				   .collection = collection_names,
				   .arg = d };
	int rc = 0;
	if (o->filter.data)
		rc = lib_doc(o->filter, "filter", &filter, &fo.filter, NULL, e);
	if (rc == 0 && o->pipeline.data)
		rc = lib_array(o->pipeline, "pipeline", &pipeline, &fo.pipeline, e);
	return rc < 0 ? rc : feed_new(&fo, &d->feed, e);
}

/* ---- members of a group ---- */

static int open_kind(const weir_dcp_membership *m, struct membership **out, struct err *e)
{
	switch (m->kind) {
	case WEIR_DCP_MEMBERS_NONE: break;
	case WEIR_DCP_MEMBERS_STATIC: return membership_static(m->member, m->total, out, e);
	case WEIR_DCP_MEMBERS_DYNAMIC: return membership_dynamic(out, e);
	case WEIR_DCP_MEMBERS_STATEFULSET: {
		struct statefulset_options o = { .host = m->host_name,
						 .total = m->total,
						 .total_file = m->total_file,
						 .total_key = m->total_key };
		return membership_statefulset(&o, out, e);
	}
	case WEIR_DCP_MEMBERS_LEASE: {
		struct lease_options o = { .api = m->lease_api,
					   .space = m->lease_namespace,
					   .name = m->lease_name,
					   .id = m->member_id,
					   .token_file = m->lease_token_file,
					   .ca_file = m->lease_ca_file,
					   .duration = ms(m->lease_ms),
					   .renew_deadline = ms(m->lease_renew_ms),
					   .retry = ms(m->lease_retry_ms) };
		return membership_lease(&o, out, e);
	}
	}
	return err_set(e, ERR_INVALID, "there is no membership of kind %d", (int)m->kind);
}

static bool group_is_fixed(const weir_dcp_membership *m)
{
	return m->kind == WEIR_DCP_MEMBERS_STATIC ||
	       (m->kind == WEIR_DCP_MEMBERS_STATEFULSET && !m->total_file);
}

/* The memberships are opened before anything is connected: what is wrong with them is told at once. */
static int open_membership(weir_dcp *d, const weir_dcp_options *o, weir_dcp_membership *m,
			   struct err *e)
{
	if (!o->membership)
		return 0;
	int rc = lib_options(m, sizeof(*m), o->membership, e);
	if (rc < 0 || m->kind == WEIR_DCP_MEMBERS_NONE)
		return rc;
	if (o->checkpoint_file && !group_is_fixed(m))
		return err_set(e, ERR_INVALID,
			       "the members of a group that changes hand vBuckets to each other: "
			       "they need checkpoint_bucket, not a checkpoint_file of each");
	return open_kind(m, &d->membership, e);
}

static int give(void *arg, const uint16_t *vb, size_t n, struct err *e)
{
	weir_dcp *d = arg;
	return dcp_source_assign(d->source, vb, n, e);
}

static nsec delay_of(const weir_dcp_membership *m)
{
	enum { DELAY_MS = 3000 };
	if (m->rebalance_delay_ms == WEIR_DCP_NO_DELAY)
		return REBALANCE_DELAY_NO;
	if (m->rebalance_delay_ms)
		return ms(m->rebalance_delay_ms);
	return group_is_fixed(m) || m->kind == WEIR_DCP_MEMBERS_DYNAMIC ? REBALANCE_DELAY_NO
									: ms(DELAY_MS);
}

static int start_membership(weir_dcp *d, const weir_dcp_membership *m, struct err *e)
{
	if (!d->membership)
		return 0;
	struct membership_run_options o = { .membership = d->membership,
					    .claims = d->claims ? d->store : NULL,
					    .n_vbuckets = dcp_source_vbuckets(d->source),
					    .how = m->contiguous ? SPREAD_CONTIGUOUS
								 : SPREAD_STEADY,
					    .delay = delay_of(m),
					    .assign = give,
					    .arg = d };
	return membership_run_start(&o, &d->run, e);
}

int weir_dcp_set_membership(weir_dcp *d, uint32_t member, uint32_t total, weir_error *e)
{
	if (!d)
		return lib_null(lib_err(e), "the client");
	if (!d->run)
		return err_set(lib_err(e), ERR_INVALID, "opened without a dynamic membership");
	int rc = membership_dynamic_set(d->membership, member, total, lib_err(e));
	if (rc == 0)
		membership_run_wake(d->run);
	return rc;
}

int weir_dcp_member_get(weir_dcp *d, weir_dcp_member *out, weir_error *e)
{
	struct membership_status st;
	size_t bytes;
	if (!d || !out)
		return lib_null(lib_err(e), d ? "the output" : "the client");
	int rc = lib_out_size(out, sizeof(*out), &bytes, lib_err(e));
	if (rc < 0)
		return rc;
	if (!d->run)
		return err_set(lib_err(e), ERR_INVALID, "opened without a membership");
	membership_run_status(d->run, &st);
	weir_dcp_member m = { .size = out->size,
			      .member = st.info.member,
			      .total = st.info.total,
			      .generation = st.info.generation,
			      .vbuckets = st.n_held,
			      .rebalances = st.changes,
			      .error = st.error.code,
			      .over = st.over };
	(void)snprintf(m.message, sizeof(m.message), "%.*s", (int)sizeof(m.message) - 1,
		       st.error.code ? st.error.msg : "");
	memcpy(out, &m, bytes);
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
	rc = split(o.hosts, "hosts", &d->hosts, d->host, &n_hosts, e);
	if (rc == 0)
		rc = split(o.collections, "collections", &d->collections, d->collection,
			   &n_collections, e);
	if (rc == 0)
		rc = open_feed(d, &o, e);
	if (rc == 0)
		rc = open_membership(d, &o, &m, e);
	if (rc == 0)
		rc = open_store(d, &o, n_hosts, e);
	if (rc == 0)
		rc = open_source(d, &o, n_hosts, n_collections, e);
	if (rc == 0)
		rc = start_membership(d, &m, e);
	if (rc < 0) {
		membership_free(d->membership);
		(void)dcp_source_close(d->source, NULL);
		free_dcp(d);
		return rc;
	}
	*out = d;
	return 0;
}

int weir_dcp_close(weir_dcp *d, weir_error *e)
{
	if (!d)
		return 0;
	membership_run_stop(d->run);
	int rc = dcp_source_close(d->source, lib_err(e));
	free_dcp(d);
	return rc;
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

int weir_dcp_poll(weir_dcp *d, int64_t timeout_ms, const weir_dcp_event **events, size_t *n,
		  weir_error *e)
{
	struct dcp_batch b;
	if (!d || !events || !n)
		return lib_null(lib_err(e), d ? "the output" : "the client");
	nsec wait = timeout_ms < 0 ? -1 : timeout_ms > INT32_MAX ? -1 : timeout_ms * NSEC_PER_MS;
	int rc = dcp_source_poll(d->source, &b, wait, lib_err(e));
	if (rc > 0) {
		*events = to_event(b.ev);
		*n = b.n;
	}
	return rc;
}

const weir_dcp_event *weir_dcp_event_at(const weir_dcp_event *events, size_t i)
{
	return to_event(of(events) + i);
}

int weir_dcp_fd(weir_dcp *d)
{
	return d ? dcp_source_fd(d->source) : -1;
}

int weir_dcp_ack(weir_dcp *d, const weir_dcp_event *events, size_t n)
{
	if (!d || (!events && n))
		return ERR_INVALID;
	return dcp_source_ack_batch(d->source, of(events), n);
}

void weir_dcp_nack(weir_dcp *d, uint16_t vbucket)
{
	if (d)
		dcp_source_nack(d->source, vbucket);
}

int weir_dcp_commit(weir_dcp *d, weir_error *e)
{
	if (!d)
		return lib_null(lib_err(e), "the client");
	return dcp_source_commit(d->source, lib_err(e));
}

void weir_dcp_event_info(weir_dcp *d, const weir_dcp_event *event, weir_dcp_info *out)
{
	size_t bytes;
	if (!d || !event || !out || lib_out_size(out, sizeof(*out), &bytes, NULL) < 0)
		return;
	const struct dcp_event *ev = of(event);
	weir_dcp_info i = {
		.size = out->size,
		.kind = (enum weir_dcp_kind)ev->kind,
		.vbucket = ev->vb,
		.seqno = ev->pos.seqno,
		.snapshot_start = ev->pos.snap_start,
		.snapshot_end = ev->pos.snap_end,
		.vbuuid = ev->pos.uuid,
		.revision = ev->rev,
		.cas = ev->cas,
		.key = ev->key.p,
		.value = ev->value.p,
		.xattrs = ev->xattrs.p,
		.key_len = ev->key.len,
		.value_len = ev->value.len,
		.xattrs_len = ev->xattrs.len,
		.collection_id = ev->collection,
		.item_flags = ev->flags,
		.expiry = ev->expiry,
		.delete_time = ev->delete_time,
		.json = (ev->datatype & 1) != 0,
		.from_disk = (ev->snapshot_flags & 2) != 0,
		.rollback_to = ev->rollback_to,
		.rollback_from = ev->rollback_from,
		.end_reason = ev->end_reason,
		.code = ev->code,
		.system_kind = (int)ev->system.kind,
		.manifest_uid = ev->system.manifest_uid,
	};
	(void)dcp_source_collection(d->source, ev->collection, &i.scope, &i.collection);
	memcpy(out, &i, bytes);
}

int weir_dcp_event_doc(weir_dcp *d, const weir_dcp_event *ev, weir_doc *doc, weir_error *e)
{
	struct slice out;
	if (!d || !ev || !doc)
		return lib_null(lib_err(e), "an argument");
	int rc = feed_event(d->feed, of(ev), &out, lib_err(e));
	if (rc > 0)
		*doc = weir_bson(out.p, out.len);
	return rc;
}

int weir_dcp_token(weir_dcp *d, weir_buffer *out, weir_error *e)
{
	if (!d || !out)
		return lib_null(lib_err(e), "an argument");
	feed_token(d->feed, lib_buf(out));
	(void)buf_cstr(lib_buf(out)); /* the NUL that every text in a buffer has behind it */
	return buf_check(lib_buf(out), lib_err(e));
}

static void add_up(void *arg, const struct dcp_vbucket_status *v)
{
	weir_dcp_stats *s = arg;
	s->events += v->mutations + v->deletions + v->expirations;
	s->rollbacks += v->rollbacks;
	if (v->high > v->acknowledged.seqno)
		s->lag += v->high - v->acknowledged.seqno;
}

int weir_dcp_stats_get(weir_dcp *d, weir_dcp_stats *out)
{
	size_t bytes;
	struct dcp_status st;
	if (!d || !out)
		return ERR_INVALID;
	int rc = lib_out_size(out, sizeof(*out), &bytes, NULL);
	weir_dcp_stats s = { .size = out->size };
	if (rc == 0)
		rc = dcp_source_status(d->source, &st, add_up, &s);
	if (rc < 0)
		return rc;
	s.vbuckets = st.n_vbuckets;
	s.assigned = st.n_assigned;
	s.streaming = st.n_streaming;
	s.ended = st.n_done;
	s.nodes = st.n_nodes;
	s.connected = st.n_connected;
	s.reconnects = st.reconnects;
	s.saves = st.saves;
	s.save_failures = st.save_failures;
	memcpy(s.last_error, st.last_error, sizeof(s.last_error));
	memcpy(out, &s, bytes);
	return 0;
}

/* ---- where a group stands ---- */

struct places {
	weir_dcp_place *place; /* by vBucket */
	struct checkpoint *cp;
	size_t n;
};

static void take_high(void *arg, const struct dcp_vbucket_status *v)
{
	struct places *p = arg;
	if (v->vb < p->n)
		p->place[v->vb].high = v->high;
}

static int take_checkpoint(void *arg, const struct checkpoint *c)
{
	struct places *p = arg;
	if (c->vb < p->n)
		p->cp[c->vb] = *c;
	return 0;
}

/* Streams from the server's high seqnos to there: ends at once, and each vBucket has been asked. */
static int learn_highs(weir_dcp *d, struct places *p, nsec wait, struct err *e)
{
	struct env *env = env_posix();
	nsec deadline = env_mono(env) + wait;
	int rc = dcp_source_assign_share(d->source, 1, 1, e);
	while (rc == 0) {
		struct dcp_batch b;
		struct dcp_status st;
		rc = dcp_source_status(d->source, &st, take_high, p);
		if (rc < 0 || st.n_done == st.n_vbuckets)
			return rc;
		nsec left = deadline - env_mono(env);
		if (left <= 0)
			return err_set(e, ERR_TIMEOUT, "%u of %u vBuckets have not answered%s%s",
				       st.n_vbuckets - st.n_done, st.n_vbuckets,
				       st.last_error[0] ? ": " : "", st.last_error);
		rc = dcp_source_poll(d->source, &b, MIN(left, 50 * NSEC_PER_MS), e);
		if (rc > 0) {
			(void)dcp_source_ack_batch(d->source, b.ev, b.n);
			rc = 0;
		}
	}
	return rc;
}

static int learn_checkpoints(weir_dcp *d, const weir_dcp_options *o, struct places *p,
			     struct err *e)
{
	if (o->checkpoint_file)
		return checkpoint_file_each(env_posix(), o->checkpoint_file, take_checkpoint, p, e);
	if (!o->checkpoint_bucket)
		return 0;
	size_t hosts = 0;
	while (hosts < NAMES_MAX && d->host[hosts])
		hosts++;
	int rc = open_bucket_store(d, o, hosts, e);
	return rc < 0 ? rc : checkpoint_load(d->store, p->cp, p->n, e);
}

static int tell_places(weir_dcp *d, struct places *p,
		       int (*each)(void *arg, const weir_dcp_place *p), void *arg)
{
	int rc = 0;
	for (size_t vb = 0; vb < p->n && rc == 0; vb++) {
		weir_dcp_place *at = &p->place[vb];
		const struct checkpoint *c = &p->cp[vb];
		at->size = sizeof(*at);
		at->vbucket = (uint16_t)vb;
		at->found = c->found;
		at->seqno = c->found ? c->pos.seqno : 0;
		at->vbuuid = c->found ? c->pos.uuid : 0;
		at->ahead = at->seqno > at->high;
		at->lag = at->ahead ? 0 : at->high - at->seqno;
		at->foreign = c->found && c->bucket_uuid[0] &&
			      strcmp(c->bucket_uuid, dcp_source_bucket_uuid(d->source)) != 0;
		rc = each(arg, at);
	}
	return rc;
}

int weir_dcp_places(const weir_dcp_options *options, int64_t timeout_ms,
		    int (*each)(void *arg, const weir_dcp_place *p), void *arg, weir_error *we)
{
	struct err *e = lib_err(we);
	weir_dcp_options o = { 0 }, ask;
	weir_dcp *d;
	if (!options || !each)
		return lib_null(e, options ? "the callback" : "the options");
	int rc = lib_options(&o, sizeof(o), options, e);
	if (rc < 0)
		return rc;
	ask = o;
	ask.size = sizeof(ask);
	ask.checkpoint_file = ask.checkpoint_bucket = ask.resume_after = NULL;
	ask.scope = ask.collections = NULL;
	ask.filter = ask.pipeline = (weir_doc){ 0 };
	ask.latest = ask.finite = ask.no_value = true;
	ask.system_events = ask.change_history = ask.out_of_order_snapshots = false;
	ask.mitigation = WEIR_DCP_MITIGATE_NONE;
	rc = weir_dcp_open(&ask, &d, we);
	if (rc < 0)
		return rc;
	struct places p = { .n = dcp_source_vbuckets(d->source) };
	p.place = mem_try_array(p.n, sizeof(*p.place));
	p.cp = mem_try_array(p.n, sizeof(*p.cp));
	rc = p.place && p.cp ? 0 : err_nomem(e);
	for (size_t vb = 0; rc == 0 && vb < p.n; vb++)
		p.cp[vb].vb = (uint16_t)vb;
	if (rc == 0)
		rc = learn_highs(d, &p, MIN(timeout_ms, INT32_MAX) * NSEC_PER_MS, e);
	if (rc == 0)
		rc = learn_checkpoints(d, &o, &p, e);
	if (rc == 0)
		rc = tell_places(d, &p, each, arg);
	int closed = weir_dcp_close(d, rc == 0 ? we : NULL);
	mem_free(p.place);
	mem_free(p.cp);
	return rc ? rc : closed;
}
