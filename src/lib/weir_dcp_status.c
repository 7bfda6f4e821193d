/* weir_dcp_status.c: where a Couchbase client stands: totals, vBuckets, nodes. */
#include "lib/lib_dcp.h"

#include "base/mem.h"

#include <stdio.h>

static uint64_t lag_of(const struct dcp_vbucket_status *v)
{
	return v->high > v->acknowledged.seqno ? v->high - v->acknowledged.seqno : 0;
}

static void add_up(void *arg, const struct dcp_vbucket_status *v)
{
	weir_dcp_stats *s = arg;
	s->mutations += v->mutations;
	s->deletions += v->deletions;
	s->expirations += v->expirations;
	s->events += v->mutations + v->deletions + v->expirations;
	s->rollbacks += v->rollbacks;
	s->reopens += v->reopens;
	s->held += v->held;
	s->in_flight += v->in_flight;
	s->lag += lag_of(v);
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
	s.paused = st.n_paused;
	s.queued = st.queued;
	s.nodes = st.n_nodes;
	s.connected = st.n_connected;
	s.reconnects = st.reconnects;
	s.saves = st.saves;
	s.save_failures = st.save_failures;
	s.rebalances = st.rebalances;
	s.last_save_vbuckets = st.last_save_vbuckets;
	s.last_save_ms = (uint32_t)(st.last_save_took / NSEC_PER_MS);
	s.map_epoch = st.map_epoch;
	s.map_rev = st.map_rev;
	s.map_over_http = st.map_over_http;
	s.ephemeral = st.ephemeral;
	memcpy(s.last_error, st.last_error, sizeof(s.last_error));
	memcpy(out, &s, bytes);
	return 0;
}

/* ---- one by one ---- */

struct telling {
	int (*vbucket)(void *arg, const weir_dcp_vbucket *v);
	int (*node)(void *arg, const weir_dcp_node *n);
	void *arg;
	int rc;
};

static void tell_vbucket(void *arg, const struct dcp_vbucket_status *v)
{
	struct telling *t = arg;
	if (t->rc)
		return;
	weir_dcp_vbucket out = {
		.size = sizeof(out),
		.vbucket = v->vb,
		.last_status = v->last_status,
		.node = v->node,
		.state = v->state,
		.received = lib_dcp_position_out(v->vb, &v->received),
		.acknowledged = lib_dcp_position_out(v->vb, &v->acknowledged),
		.high = v->high,
		.lag = lag_of(v),
		.persisted = v->persisted,
		.held = v->held,
		.in_flight = v->in_flight,
		.mutations = v->mutations,
		.deletions = v->deletions,
		.expirations = v->expirations,
		.reopens = v->reopens,
		.rollbacks = v->rollbacks,
	};
	t->rc = t->vbucket(t->arg, &out);
}

int weir_dcp_vbucket_each(weir_dcp *d, int (*each)(void *arg, const weir_dcp_vbucket *v), void *arg,
			  weir_error *e)
{
	if (!d || !each)
		return lib_null(lib_err(e), d ? "the callback" : "the client");
	struct telling t = { .vbucket = each, .arg = arg };
	if (dcp_source_status(d->source, NULL, tell_vbucket, &t) < 0)
		return err_nomem(lib_err(e));
	return t.rc;
}

static int tell_node(void *arg, const struct dcp_node_status *n)
{
	struct telling *t = arg;
	char address[300];
	bool v6 = strchr(n->host, ':') != NULL;
	(void)snprintf(address, sizeof(address), "%s%s%s:%u", v6 ? "[" : "", n->host, v6 ? "]" : "",
		       n->port);
	weir_dcp_node out = { .size = sizeof(out),
			      .node = n->node,
			      .address = address,
			      .connected = n->connected,
			      .vbuckets = n->vbuckets,
			      .unacknowledged = n->unacked,
			      .window = n->window };
	return t->node(t->arg, &out);
}

int weir_dcp_node_each(weir_dcp *d, int (*each)(void *arg, const weir_dcp_node *n), void *arg,
		       weir_error *e)
{
	if (!d || !each)
		return lib_null(lib_err(e), d ? "the callback" : "the client");
	struct telling t = { .node = each, .arg = arg };
	int rc = dcp_source_nodes(d->source, tell_node, &t);
	return rc == ERR_NOMEM ? err_nomem(lib_err(e)) : rc;
}
