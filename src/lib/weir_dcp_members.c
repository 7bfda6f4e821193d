/* weir_dcp_members.c: the members of a group that share a bucket, and the thread that assigns by them. */
#include "lib/lib_dcp.h"

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
	case WEIR_DCP_MEMBERS_LEASE: return "kubernetesHa";
	}
	return NULL;
}

static int open_kind(const weir_dcp_membership *m, struct membership **out, struct err *e)
{
	switch (m->kind) {
	case WEIR_DCP_MEMBERS_NONE: break;
	case WEIR_DCP_MEMBERS_COUCHBASE: return 0; /* once there is a store */
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

static int open_documents(weir_dcp *d, const weir_dcp_options *o, const weir_dcp_membership *m,
			  size_t n_hosts, struct err *e)
{
	struct conn_options c = lib_dcp_bucket_conn(d, o, &d->member_scram);
	struct couchbase_members members = { .group = o->group,
					     .id = m->member_id,
					     .interval = ms(m->heartbeat_ms),
					     .tolerance = ms(m->heartbeat_tolerance_ms) };
	int rc = documents_couchbase(&c, d->host, n_hosts, lib_dcp_connect_time(o),
				     &members.documents, e);
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
	if (o->checkpoint_file && !group_is_fixed(m))
		return err_set(e, ERR_INVALID,
			       "the members of a group that changes hand vBuckets to each other: "
			       "they need checkpoint_bucket, not a checkpoint_file of each");
	if (m->kind == WEIR_DCP_MEMBERS_COUCHBASE && !o->checkpoint_bucket)
		return err_set(e, ERR_INVALID,
			       "members that find each other through documents need the "
			       "checkpoint_bucket that holds them");
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

int lib_dcp_start_membership(weir_dcp *d, const weir_dcp_options *opt, const weir_dcp_membership *m,
			     size_t n_hosts, struct err *e)
{
	int rc = m->kind == WEIR_DCP_MEMBERS_COUCHBASE ? open_documents(d, opt, m, n_hosts, e) : 0;
	if (rc < 0 || !d->membership)
		return rc;
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
