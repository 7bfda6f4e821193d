/* weir_dcp_places.c: where a group's checkpoints stand beside the server's high seqnos, while no client runs. */
#include "lib/lib_dcp.h"

#include "base/mem.h"
#include "os/env.h"

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
	size_t hosts = 0;
	while (hosts < NAMES_MAX && d->host[hosts])
		hosts++;
	return lib_dcp_look(d, o, hosts, p->cp, p->n, e);
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
		at->snapshot_start = c->found ? c->pos.snap_start : 0;
		at->snapshot_end = c->found ? c->pos.snap_end : 0;
		at->ahead = at->seqno > at->high;
		at->lag = at->ahead ? 0 : at->high - at->seqno;
		at->foreign = c->found && c->bucket_uuid[0] &&
			      strcmp(c->bucket_uuid, dcp_source_bucket_uuid(d->source)) != 0;
		at->damaged = c->damaged;
		rc = each(arg, at);
	}
	return rc;
}

/* Connects as the stream would, and neither saves, nor joins, nor sees an event. */
weir_dcp_options lib_dcp_without_state(const weir_dcp_options *o)
{
	weir_dcp_options ask = *o;
	ask.size = sizeof(ask);
	ask.checkpoint_file = ask.checkpoint_bucket = ask.checkpoint_log = ask.resume_after = NULL;
	ask.checkpoint_hosts = ask.checkpoint_user = NULL;
	ask.checkpoint_scope = ask.checkpoint_collection = NULL;
	ask.checkpoint_store = NULL;
	ask.checkpoint_none = false;
	ask.membership = NULL; /* one who looks is no member */
	ask.scope = ask.collections = NULL;
	ask.filter = ask.pipeline = (weir_doc){ 0 };
	ask.latest = ask.finite = ask.no_value = true;
	ask.system_events = ask.change_history = ask.out_of_order_snapshots = false;
	ask.mitigation = WEIR_DCP_MITIGATE_NONE;
	ask.positions = NULL;
	ask.n_positions = 0;
	ask.hook = NULL;
	ask.tracer = NULL;
	return ask;
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
	ask = lib_dcp_without_state(&o);
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
