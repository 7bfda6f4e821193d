/* weir_dcp_metrics.c: what there is to measure of a client, as Prometheus's text format.
 *
 * Each metric is a row with weir's name and, where go-dcp has such a one, go-dcp's. Units differ: weir's are
 * Prometheus's base units (seconds, bytes), go-dcp's are its own (milliseconds). */
#include "lib/lib_dcp.h"

#include "base/mem.h"

#include <inttypes.h>

struct metric {
	const char *weir, *godcp; /* NULL: not under that name */
	const char *type, *help;
};

struct page {
	weir_dcp *d;
	struct buf *out;
	bool godcp; /* the names being written */
	struct dcp_status status;
	struct dcp_vbucket_status *vb;
	uint32_t n, cap;
};

static const char *begin(struct page *p, const struct metric *m)
{
	const char *name = p->godcp ? m->godcp : m->weir;
	if (name)
		buf_add_fmt(p->out, "# HELP %s %s\n# TYPE %s %s\n", name, m->help, name, m->type);
	return name;
}

/* ---- one number for each vBucket ---- */

static uint64_t mutations(const struct dcp_vbucket_status *v)
{
	return v->mutations;
}
static uint64_t deletions(const struct dcp_vbucket_status *v)
{
	return v->deletions;
}
static uint64_t expirations(const struct dcp_vbucket_status *v)
{
	return v->expirations;
}
static uint64_t acknowledged(const struct dcp_vbucket_status *v)
{
	return v->acknowledged.seqno;
}
static uint64_t snap_start(const struct dcp_vbucket_status *v)
{
	return v->acknowledged.snap_start;
}
static uint64_t snap_end(const struct dcp_vbucket_status *v)
{
	return v->acknowledged.snap_end;
}
static uint64_t received(const struct dcp_vbucket_status *v)
{
	return v->received.seqno;
}
static uint64_t high(const struct dcp_vbucket_status *v)
{
	return v->high;
}
static uint64_t persisted(const struct dcp_vbucket_status *v)
{
	return v->persisted;
}
static uint64_t held(const struct dcp_vbucket_status *v)
{
	return v->held;
}
static uint64_t in_flight(const struct dcp_vbucket_status *v)
{
	return v->in_flight;
}
static uint64_t reopens(const struct dcp_vbucket_status *v)
{
	return v->reopens;
}
static uint64_t rollbacks(const struct dcp_vbucket_status *v)
{
	return v->rollbacks;
}
static uint64_t lag(const struct dcp_vbucket_status *v)
{
	return v->high > v->acknowledged.seqno ? v->high - v->acknowledged.seqno : 0;
}

static const struct vb_metric {
	struct metric m;
	uint64_t (*of)(const struct dcp_vbucket_status *v);
} vb_metrics[] = {
	{ { "weir_dcp_mutations_total", "cbgo_mutation_total", "counter", "Mutations received." },
	  mutations },
	{ { "weir_dcp_deletions_total", "cbgo_deletion_total", "counter", "Deletions received." },
	  deletions },
	{ { "weir_dcp_expirations_total", "cbgo_expiration_total", "counter",
	    "Expirations received." },
	  expirations },
	{ { "weir_dcp_acknowledged_seqno", "cbgo_seq_no_current", "gauge",
	    "The acknowledged seqno." },
	  acknowledged },
	{ { "weir_dcp_snapshot_start_seqno", "cbgo_start_seq_no_current", "gauge",
	    "The start of the snapshot it lies in." },
	  snap_start },
	{ { "weir_dcp_snapshot_end_seqno", "cbgo_end_seq_no_current", "gauge",
	    "The end of that snapshot." },
	  snap_end },
	{ { "weir_dcp_persisted_seqno", "cbgo_persist_seq_no_current", "gauge",
	    "What enough copies have on disk; 0 when that is not asked for." },
	  persisted },
	{ { "weir_dcp_lag_seqnos", "cbgo_lag_current", "gauge",
	    "The server's seqno minus the acknowledged one, at least 0." },
	  lag },
	{ { "weir_dcp_received_seqno", NULL, "gauge", "The highest seqno received." }, received },
	{ { "weir_dcp_high_seqno", NULL, "gauge",
	    "The server's seqno, of the collections that are streamed." },
	  high },
	{ { "weir_dcp_held_events", NULL, "gauge",
	    "Events held back until enough copies have persisted them." },
	  held },
	{ { "weir_dcp_in_flight_events", NULL, "gauge", "Events handed out and not acknowledged." },
	  in_flight },
	{ { "weir_dcp_reopens_total", NULL, "counter", "How often the stream was opened again." },
	  reopens },
	{ { "weir_dcp_rollbacks_total", NULL, "counter", "Rollbacks." }, rollbacks },
};

static void write_vbuckets(struct page *p)
{
	for (size_t i = 0; i < ARRAY_LEN(vb_metrics); i++) {
		const char *name = begin(p, &vb_metrics[i].m);
		for (uint32_t k = 0; name && k < p->n; k++)
			buf_add_fmt(p->out, "%s{%s=\"%u\"} %" PRIu64 "\n", name,
				    p->godcp ? "vbId" : "vbucket", p->vb[k].vb,
				    vb_metrics[i].of(&p->vb[k]));
	}
}

/* ---- one number ---- */

static void write_one(struct page *p, const char *weir, const char *godcp, const char *type,
		      const char *help, double value)
{
	struct metric m = { weir, godcp, type, help };
	const char *name = begin(p, &m);
	if (name)
		buf_add_fmt(p->out, "%s %.15g\n", name, value);
}

static void write_members(struct page *p)
{
	struct membership_status st = { 0 };
	if (!p->d->run)
		return;
	membership_run_status(p->d->run, &st);
	write_one(p, "weir_dcp_group_members", "cbgo_total_members_current", "gauge",
		  "Members of the group; 0 when not known.", st.info.total);
	write_one(p, "weir_dcp_member_number", "cbgo_member_number_current", "gauge",
		  "The number of this one; 0 when it has none.", st.info.member);
	const char *name = begin(p, &(struct metric){ "weir_dcp_membership_info",
						      "cbgo_membership_type_current", "gauge",
						      "How members share the bucket." });
	buf_add_fmt(p->out, "%s{type=\"%s\"} %d\n", name, p->d->membership_kind, p->godcp ? 0 : 1);
}

static void write_totals(struct page *p)
{
	const struct dcp_status *st = &p->status;
	uint64_t total = 0;
	for (uint32_t i = 0; i < p->n; i++)
		total += lag(&p->vb[i]);
	write_one(p, "weir_dcp_total_lag_seqnos", "cbgo_total_lag_current", "gauge",
		  "The sum of all vBuckets' lag.", (double)total);
	write_one(p, "weir_dcp_rebalances_total", "cbgo_rebalance_current", "counter",
		  "Assignments after the first that changed something.", (double)st->rebalances);
	write_one(p, "weir_dcp_streams", "cbgo_active_stream_current", "gauge",
		  "vBuckets that stream.", st->n_streaming);
	write_one(p, "weir_dcp_assigned_vbuckets", "cbgo_vbucket_count_current", "gauge",
		  "vBuckets assigned.", st->n_assigned);
	write_one(p, NULL, "cbgo_vbucket_range_start_current", "gauge", "The lowest one assigned.",
		  p->n ? p->vb[0].vb : 0);
	write_one(p, NULL, "cbgo_vbucket_range_end_current", "gauge", "The highest one assigned.",
		  p->n ? p->vb[p->n - 1].vb : 0);
	write_one(p, "weir_dcp_last_save_vbuckets", "cbgo_offset_write_current", "gauge",
		  "Checkpoints that the last save wrote.", st->last_save_vbuckets);
	double took = (double)st->last_save_took;
	write_one(p, NULL, "cbgo_offset_write_latency_ms_current", "gauge",
		  "How long the last save took.", took / NSEC_PER_MS);
	write_one(p, "weir_dcp_last_save_seconds", NULL, "gauge", "How long the last save took.",
		  took / NSEC_PER_SEC);
	write_one(p, "weir_dcp_saves_total", NULL, "counter", "Saves of checkpoints.",
		  (double)st->saves);
	write_one(p, "weir_dcp_save_failures_total", NULL, "counter", "Saves that failed.",
		  (double)st->save_failures);
	write_one(p, "weir_dcp_reconnects_total", NULL, "counter", "Connections lost.",
		  (double)st->reconnects);
}

/* ---- nodes ---- */

static int write_node(void *arg, const weir_dcp_node *n)
{
	struct page *p = arg;
	if (p->godcp)
		buf_add_fmt(p->out,
			    "cbgo_agent_queue_current{address=\"%s\",is_dcp=\"true\"} %" PRIu64
			    "\n",
			    n->address, n->unacknowledged);
	else
		buf_add_fmt(p->out, "weir_dcp_unacknowledged_bytes{address=\"%s\"} %" PRIu64 "\n",
			    n->address, n->unacknowledged);
	return 0;
}

static int write_window(void *arg, const weir_dcp_node *n)
{
	struct page *p = arg;
	if (p->godcp)
		buf_add_fmt(p->out,
			    "cbgo_agent_queue_max{address=\"%s\",is_dcp=\"true\"} %" PRIu64 "\n",
			    n->address, n->window);
	else
		buf_add_fmt(p->out, "weir_dcp_window_bytes{address=\"%s\"} %" PRIu64 "\n",
			    n->address, n->window);
	return 0;
}

static int write_nodes(struct page *p)
{
	static const struct metric current = { "weir_dcp_unacknowledged_bytes",
					       "cbgo_agent_queue_current", "gauge",
					       "Bytes of flow control outstanding at the node." };
	static const struct metric max = { "weir_dcp_window_bytes", "cbgo_agent_queue_max", "gauge",
					   "Bytes that may be outstanding." };
	(void)begin(p, &current);
	int rc = weir_dcp_node_each(p->d, write_node, p, NULL);
	(void)begin(p, &max);
	return rc < 0 ? rc : weir_dcp_node_each(p->d, write_window, p, NULL);
}

/* ---- latencies ---- */

static void write_latency(struct page *p, const struct latency *l, const char *weir,
			  const char *godcp, const char *help)
{
	uint64_t latest = __atomic_load_n(&l->latest_us, __ATOMIC_RELAXED), below = 0;
	if (p->godcp) {
		write_one(p, NULL, godcp, "gauge", help, (double)latest / 1e3);
		return;
	}
	(void)begin(p, &(struct metric){ weir, NULL, "histogram", help });
	for (unsigned i = 0; i < LATENCY_BUCKETS; i++) {
		below += __atomic_load_n(&l->bucket[i], __ATOMIC_RELAXED);
		buf_add_fmt(p->out, "%s_bucket{le=\"%.9g\"} %" PRIu64 "\n", weir,
			    (double)(UINT64_C(64) << i) / 1e6, below);
	}
	below += __atomic_load_n(&l->bucket[LATENCY_BUCKETS], __ATOMIC_RELAXED);
	buf_add_fmt(p->out,
		    "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum %.9g\n%s_count %" PRIu64 "\n", weir,
		    below, weir, (double)__atomic_load_n(&l->sum_us, __ATOMIC_RELAXED) / 1e6, weir,
		    below);
}

static int write_page(struct page *p)
{
	write_vbuckets(p);
	write_totals(p);
	write_members(p);
	write_latency(p, &p->d->process_latency, "weir_dcp_process_seconds",
		      "cbgo_process_latency_ms_current",
		      "From an event's hand-out to its acknowledgement.");
	write_latency(p, &p->d->dcp_latency, "weir_dcp_delivery_seconds",
		      "cbgo_dcp_latency_ms_current",
		      "From a document's change, by the cluster's clock, to its hand-out.");
	return write_nodes(p);
}

static void keep(void *arg, const struct dcp_vbucket_status *v)
{
	struct page *p = arg;
	if (p->n < p->cap)
		p->vb[p->n++] = *v;
}

int weir_dcp_metrics(weir_dcp *d, enum weir_dcp_metric_names names, weir_buffer *out,
		     weir_error *we)
{
	struct err *e = lib_err(we);
	if (!d || !out)
		return lib_null(e, d ? "the output" : "the client");
	if (names > WEIR_DCP_METRICS_BOTH)
		return err_set(e, ERR_INVALID, "there are no metric names %d", (int)names);
	struct page p = { .d = d, .out = lib_buf(out), .cap = dcp_source_vbuckets(d->source) };
	p.vb = mem_try_array(p.cap + 1, sizeof(*p.vb));
	int rc = p.vb ? dcp_source_status(d->source, &p.status, keep, &p) : ERR_NOMEM;
	if (rc == 0 && names != WEIR_DCP_METRICS_GODCP)
		rc = write_page(&p);
	p.godcp = true;
	if (rc == 0 && names != WEIR_DCP_METRICS_WEIR)
		rc = write_page(&p);
	mem_free(p.vb);
	if (rc < 0)
		return err_nomem(e);
	(void)buf_cstr(p.out);
	return buf_check(p.out, e);
}
