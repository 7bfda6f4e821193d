/* weir_dcp_members.c: the members of a group that share a bucket, and the thread that assigns by them. */
#include "lib/lib_dcp.h"

#include "base/mem.h"
#include "dcp/kv.h"
#include "os/env.h"

#include <stdio.h>

/* As go-dcp names them where it has them: for metrics. */
static const char *kind_name(enum weir_dcp_members kind)
{
	switch (kind) {
	case WEIR_DCP_MEMBERS_NONE: return NULL;
	case WEIR_DCP_MEMBERS_STATIC: return "static";
	case WEIR_DCP_MEMBERS_DYNAMIC: return "dynamic";
	case WEIR_DCP_MEMBERS_STATEFULSET: return "kubernetesStatefulSet";
	case WEIR_DCP_MEMBERS_COUCHBASE: return "couchbase";
	case WEIR_DCP_MEMBERS_LIL_COUCHBASE: return "lilCouchbase";
	case WEIR_DCP_MEMBERS_LEASE: return "kubernetesHa";
	}
	return NULL;
}

static int open_kind(const weir_dcp_membership *m, struct membership **out, struct err *e)
{
	switch (m->kind) {
	case WEIR_DCP_MEMBERS_NONE: break;
	case WEIR_DCP_MEMBERS_COUCHBASE:
	case WEIR_DCP_MEMBERS_LIL_COUCHBASE: return 0; /* once there is a source */
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
					   .retry = ms(m->lease_retry_ms),
					   .timeout = ms(m->member_timeout_ms) };
		return membership_lease(&o, out, e);
	}
	}
	return err_set(e, ERR_INVALID, "there is no membership of kind %d", (int)m->kind);
}

static bool in_documents(const weir_dcp_membership *m)
{
	return m->kind == WEIR_DCP_MEMBERS_COUCHBASE || m->kind == WEIR_DCP_MEMBERS_LIL_COUCHBASE;
}

static int open_documents(weir_dcp *d, const weir_dcp_options *o, const weir_dcp_membership *m,
			  size_t n_hosts, struct err *e)
{
	struct conn_options conn;
	struct kv_options kv;
	struct couchbase_members members = { .group = o->group ? o->group : "",
					     .id = m->member_id,
					     .lil = m->kind == WEIR_DCP_MEMBERS_LIL_COUCHBASE,
					     .interval = ms(m->heartbeat_ms),
					     .tolerance = ms(m->heartbeat_tolerance_ms),
					     .monitor = ms(m->heartbeat_monitor_ms),
					     .expiry_s = m->heartbeat_expiry_s };
	int rc = lib_dcp_bucket(d, o, &d->member_scram, n_hosts, &conn, &kv, e);
	if (rc < 0)
		return rc;
	if (m->member_bucket || !conn.bucket)
		conn.bucket = m->member_bucket ? m->member_bucket : o->bucket;
	if (m->member_timeout_ms)
		kv.timeout = ms(m->member_timeout_ms);
	rc = documents_couchbase(&kv, &members.documents, e);
	if (rc < 0)
		return rc;
	rc = membership_couchbase(&members, &d->membership, e);
	if (rc < 0)
		documents_free(members.documents);
	return rc;
}

static bool group_is_fixed(const weir_dcp_membership *m)
{
	return m->kind == WEIR_DCP_MEMBERS_STATIC ||
	       (m->kind == WEIR_DCP_MEMBERS_STATEFULSET && !m->total_file);
}

/* The memberships are opened before anything is connected: what is wrong with them is told at once. */
int lib_dcp_open_membership(weir_dcp *d, const weir_dcp_options *o, weir_dcp_membership *m,
			    struct err *e)
{
	if (!o->membership)
		return 0;
	int rc = lib_options(m, sizeof(*m), o->membership, e);
	if (rc < 0 || m->kind == WEIR_DCP_MEMBERS_NONE)
		return rc;
	d->membership_kind = kind_name(m->kind);
	bool keeps = o->checkpoint_file || o->checkpoint_log || o->checkpoint_store;
	if (keeps && !lib_dcp_store_fences(o) && !group_is_fixed(m))
		return err_set(e, ERR_INVALID,
			       "the members of a group that changes hand vBuckets to each other: "
			       "they need checkpoint_bucket or a checkpoint_store that fences, not "
			       "a checkpoint_file or checkpoint_log of each");
	return open_kind(m, &d->membership, e);
}

static int give(void *arg, const uint16_t *vb, size_t n, struct err *e)
{
	weir_dcp *d = arg;
	return dcp_source_assign(d->source, vb, n, e);
}

static void limit(void *arg, nsec until)
{
	dcp_source_hand_out_until(((weir_dcp *)arg)->source, until);
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

int lib_dcp_start_membership(weir_dcp *d, const weir_dcp_options *opt, const weir_dcp_membership *m,
			     size_t n_hosts, struct err *e)
{
	int rc = in_documents(m) ? open_documents(d, opt, m, n_hosts, e) : 0;
	if (rc < 0 || !d->membership)
		return rc;
	struct membership_run_options o = { .membership = d->membership,
					    .claims = d->claims ? d->store : NULL,
					    .n_vbuckets = dcp_source_vbuckets(d->source),
					    .how = m->contiguous ? SPREAD_CONTIGUOUS
								 : SPREAD_STEADY,
					    .delay = delay_of(m),
					    .fixed = group_is_fixed(m),
					    .assign = give,
					    .limit = limit,
					    .arg = d };
	d->contiguous = m->contiguous;
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

int weir_dcp_rebalance(weir_dcp *d, weir_error *e)
{
	if (!d)
		return lib_null(lib_err(e), "the client");
	if (!d->run)
		return err_set(lib_err(e), ERR_INVALID, "opened without a membership");
	membership_run_wake(d->run);
	return 0;
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
			      .over = st.over,
			      .settled = st.settled };
	(void)snprintf(m.message, sizeof(m.message), "%.*s", (int)sizeof(m.message) - 1,
		       st.error.code ? st.error.msg : "");
	memcpy(out, &m, bytes);
	return 0;
}

/* ---- the others ---- */

struct told {
	int (*each)(void *arg, const weir_dcp_peer *p);
	void *arg;
	uint32_t n_vbuckets;
	bool contiguous;
};

static int tell_peers(const struct told *t, const struct membership_peer *peer, size_t n,
		      struct err *e)
{
	uint32_t *owner = mem_try_array((size_t)t->n_vbuckets + 1, sizeof(*owner)), total = 0;
	int rc = owner ? 0 : err_nomem(e);
	for (size_t i = 0; i < n; i++)
		total += peer[i].member != 0;
	if (rc == 0 && total)
		rc = spread_all(t->contiguous ? SPREAD_CONTIGUOUS : SPREAD_STEADY, t->n_vbuckets,
				total, owner, e);
	for (size_t i = 0; i < n && rc == 0; i++) {
		const struct membership_peer *p = &peer[i];
		weir_dcp_peer out = { .size = sizeof(out),
				      .id = p->id,
				      .member = p->member,
				      .total = total,
				      .self = p->self,
				      .leads = p->leads,
				      .joined_ms = p->joined_ms,
				      .seen_ms = p->seen_ms,
				      .silent_ms = p->silent < 0 ? -1 : p->silent / NSEC_PER_MS };
		for (uint32_t vb = 0; p->member && vb < t->n_vbuckets; vb++)
			out.vbuckets += owner[vb] == p->member;
		rc = t->each(t->arg, &out);
	}
	mem_free(owner);
	return rc;
}

int weir_dcp_peers(weir_dcp *d, int (*each)(void *arg, const weir_dcp_peer *p), void *arg,
		   weir_error *e)
{
	struct membership_peer *peer;
	size_t n;
	if (!d || !each)
		return lib_null(lib_err(e), d ? "the callback" : "the client");
	if (!d->run)
		return err_set(lib_err(e), ERR_INVALID, "opened without a membership");
	struct told t = { .each = each,
			  .arg = arg,
			  .n_vbuckets = dcp_source_vbuckets(d->source),
			  .contiguous = d->contiguous };
	int rc = membership_run_peers(d->run, &peer, &n, lib_err(e));
	if (rc == 0)
		rc = tell_peers(&t, peer, n, lib_err(e));
	mem_free(peer);
	return rc;
}

/* A client that assigns nothing knows how many vBuckets there are. */
static int look_at(weir_dcp *d, const weir_dcp_options *o, const weir_dcp_membership *m,
		   struct told *t, struct err *e)
{
	size_t hosts = 0;
	while (hosts < NAMES_MAX && d->host[hosts])
		hosts++;
	int rc = in_documents(m) ? open_documents(d, o, m, hosts, e)
				 : open_kind(m, &d->membership, e);
	if (rc < 0)
		return rc;
	if (!membership_has_list(d->membership))
		return err_set(e, ERR_UNSUPPORTED, "this kind of membership keeps no list");
	rc = membership_look(d->membership, e);
	size_t n = rc < 0 ? 0 : membership_peers(d->membership, NULL, 0);
	struct membership_peer *peer = mem_try_array(n + 1, sizeof(*peer));
	if (rc == 0)
		rc = peer ? 0 : err_nomem(e);
	if (rc == 0) {
		n = membership_peers(d->membership, peer, n);
		t->n_vbuckets = dcp_source_vbuckets(d->source);
		rc = tell_peers(t, peer, n, e);
	}
	mem_free(peer);
	return rc;
}

int weir_dcp_group(const weir_dcp_options *options, int (*each)(void *arg, const weir_dcp_peer *p),
		   void *arg, weir_error *we)
{
	struct err *e = lib_err(we);
	weir_dcp_options o = { 0 };
	weir_dcp_membership m = { 0 };
	weir_dcp *d;
	if (!options || !each)
		return lib_null(e, options ? "the callback" : "the options");
	int rc = lib_options(&o, sizeof(o), options, e);
	if (rc == 0 && o.membership)
		rc = lib_options(&m, sizeof(m), o.membership, e);
	if (rc < 0)
		return rc;
	if (!in_documents(&m) && m.kind != WEIR_DCP_MEMBERS_LEASE)
		return err_set(e, ERR_UNSUPPORTED, "this kind of membership keeps no list");
	weir_dcp_options ask = lib_dcp_without_state(&o);
	rc = weir_dcp_open(&ask, &d, we);
	if (rc < 0)
		return rc;
	struct told t = { .each = each, .arg = arg, .contiguous = m.contiguous };
	rc = look_at(d, &o, &m, &t, e);
	membership_free(d->membership);
	int closed = weir_dcp_close(d, rc == 0 ? we : NULL);
	return rc ? rc : closed;
}
