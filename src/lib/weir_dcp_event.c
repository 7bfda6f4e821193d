/* weir_dcp_event.c: events of a bucket handed out, what each says, and their acknowledgement. */
#include "lib/lib_dcp.h"

#include "base/mem.h"
#include "os/env.h"

/* ---- measured and traced ---- */

static uint64_t us_of(nsec took)
{
	return took > 0 ? (uint64_t)took / 1000 : 0;
}

/* The bucket whose bound, 64 << i, is the first above us. */
static unsigned bucket_of(uint64_t us)
{
	unsigned i = us < 64 ? 0 : 58u - (unsigned)__builtin_clzll(us);
	return MIN(i, (unsigned)LATENCY_BUCKETS);
}

static void count(uint64_t *to, uint64_t n)
{
	if (n)
		__atomic_fetch_add(to, n, __ATOMIC_RELAXED);
}

void lib_dcp_latency_add(struct latency *l, nsec took, uint64_t times)
{
	uint64_t us = us_of(took);
	count(&l->bucket[bucket_of(us)], times);
	count(&l->sum_us, us * times);
	__atomic_store_n(&l->latest_us, us, __ATOMIC_RELAXED);
}

/* From the document's last change, by the cluster's clock, to now, by ours. Summed up before it is told: the shared
 * counters cost as much as several events. */
static void measure(weir_dcp *d, const struct dcp_event *ev, size_t n)
{
	nsec now = env_wall_ms(env_posix()) * NSEC_PER_MS;
	struct latency sum = { 0 };
	for (size_t i = 0; i < n; i++)
		if (ev[i].cas) {
			sum.latest_us = us_of(now - (nsec)ev[i].cas);
			sum.sum_us += sum.latest_us;
			sum.bucket[bucket_of(sum.latest_us)]++;
		}
	for (unsigned i = 0; i <= LATENCY_BUCKETS; i++)
		count(&d->dcp_latency.bucket[i], sum.bucket[i]);
	count(&d->dcp_latency.sum_us, sum.sum_us);
	__atomic_store_n(&d->dcp_latency.latest_us, sum.latest_us, __ATOMIC_RELAXED);
	__atomic_store_n(&d->handed_at, env_mono(env_posix()), __ATOMIC_RELAXED);
}

int lib_dcp_poll(weir_dcp *d, struct dcp_batch *out, nsec wait, struct err *e)
{
	if (d->rest.n) {
		*out = d->rest;
		d->rest.n = 0;
		return 1;
	}
	int rc = dcp_source_poll(d->source, out, wait, e);
	if (rc > 0) {
		measure(d, out->ev, out->n);
		lib_dcp_trace_start(d, out->ev, out->n);
	}
	return rc;
}

int lib_dcp_ack(weir_dcp *d, const struct dcp_event *ev, size_t n)
{
	int rc = dcp_source_ack_batch(d->source, ev, n);
	lib_dcp_trace_end(d, ev, n, WEIR_DCP_SPAN_ACKED);
	return rc;
}

void lib_dcp_nack(weir_dcp *d, uint16_t vb, nsec delay)
{
	dcp_source_nack(d->source, vb, delay);
	lib_dcp_trace_all(d, vb, WEIR_DCP_SPAN_NACKED);
}

/* ---- places ---- */

weir_dcp_position lib_dcp_position_out(uint16_t vb, const struct dcp_position *pos)
{
	return (weir_dcp_position){ .vbucket = vb,
				    .seqno = pos->seqno,
				    .snapshot_start = pos->snap_start,
				    .snapshot_end = pos->snap_end,
				    .vbuuid = pos->uuid };
}

int lib_dcp_position_in(const weir_dcp_position *p, struct checkpoint *out, struct err *e)
{
	*out = (struct checkpoint){ .vb = p->vbucket, .found = true };
	if (p->vbuuid == 0) {
		if (p->snapshot_start || p->snapshot_end)
			return err_set(e, ERR_INVALID,
				       "the position of vBucket %u has a snapshot, but no vbuuid",
				       p->vbucket);
		out->any_branch = true;
		out->pos = (struct dcp_position){ p->seqno, p->seqno, p->seqno, 0 };
		return 0;
	}
	out->pos = (struct dcp_position){ p->seqno, p->snapshot_start, p->snapshot_end, p->vbuuid };
	if (!dcp_position_valid(&out->pos))
		return err_set(e, ERR_INVALID,
			       "the position of vBucket %u lies outside its snapshot", p->vbucket);
	return 0;
}

/* ---- what the caller asks for ---- */

int weir_dcp_poll(weir_dcp *d, int64_t timeout_ms, const weir_dcp_event **events, size_t *n,
		  weir_error *e)
{
	struct dcp_batch b;
	if (!d || !events || !n)
		return lib_null(lib_err(e), d ? "the output" : "the client");
	nsec wait = timeout_ms < 0 ? -1 : timeout_ms > INT32_MAX ? -1 : timeout_ms * NSEC_PER_MS;
	int rc = lib_dcp_poll(d, &b, wait, lib_err(e));
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

void weir_dcp_interrupt(weir_dcp *d)
{
	if (d)
		dcp_source_interrupt(d->source);
}

int weir_dcp_wait_ready(weir_dcp *d, int64_t timeout_ms, weir_error *e)
{
	if (!d)
		return lib_null(lib_err(e), "the client");
	nsec wait = timeout_ms < 0 || timeout_ms > INT32_MAX ? -1 : timeout_ms * NSEC_PER_MS;
	return dcp_source_wait_open(d->source, wait, lib_err(e));
}

int weir_dcp_fd(weir_dcp *d)
{
	return d ? dcp_source_fd(d->source) : -1;
}

int weir_dcp_ack(weir_dcp *d, const weir_dcp_event *events, size_t n)
{
	if (!d || (!events && n))
		return ERR_INVALID;
	nsec handed = __atomic_load_n(&d->handed_at, __ATOMIC_RELAXED);
	if (n)
		lib_dcp_latency_add(&d->process_latency, env_mono(env_posix()) - handed, n);
	return lib_dcp_ack(d, of(events), n);
}

int weir_dcp_ack_later(weir_dcp *d, uint16_t vbucket, uint64_t ticket)
{
	if (!d)
		return ERR_INVALID;
	struct dcp_event ev = { .kind = DCP_MUTATION, .vb = vbucket, .ticket = ticket };
	return lib_dcp_ack(d, &ev, 1);
}

void weir_dcp_nack(weir_dcp *d, uint16_t vbucket)
{
	weir_dcp_nack_after(d, vbucket, 0);
}

void weir_dcp_nack_after(weir_dcp *d, uint16_t vbucket, uint32_t delay_ms)
{
	if (d)
		lib_dcp_nack(d, vbucket, ms(delay_ms));
}

int weir_dcp_seek(weir_dcp *d, const weir_dcp_position *positions, size_t n, weir_error *e)
{
	if (!d || (!positions && n))
		return lib_null(lib_err(e), d ? "the positions" : "the client");
	struct checkpoint *cp = mem_try_array(n + 1, sizeof(*cp));
	int rc = cp ? 0 : err_nomem(lib_err(e));
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = lib_dcp_position_in(&positions[i], &cp[i], lib_err(e));
	if (rc == 0)
		rc = dcp_source_seek(d->source, cp, n, lib_err(e));
	mem_free(cp);
	return rc;
}

int weir_dcp_pause(weir_dcp *d, int vbucket, weir_error *e)
{
	if (!d)
		return lib_null(lib_err(e), "the client");
	return dcp_source_pause(d->source, vbucket, lib_err(e));
}

int weir_dcp_resume(weir_dcp *d, int vbucket, weir_error *e)
{
	if (!d)
		return lib_null(lib_err(e), "the client");
	return dcp_source_resume(d->source, vbucket, lib_err(e));
}

int weir_dcp_commit(weir_dcp *d, weir_error *e)
{
	if (!d)
		return lib_null(lib_err(e), "the client");
	return dcp_source_commit(d->source, lib_err(e));
}

int weir_dcp_clear_checkpoints(weir_dcp *d, const uint16_t *vbuckets, size_t n, weir_error *e)
{
	if (!d || (!vbuckets && n))
		return lib_null(lib_err(e), d ? "the vBuckets" : "the client");
	return dcp_source_clear(d->source, vbuckets, n, lib_err(e));
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
		.ticket = ev->kind == DCP_END ? 0 : ev->ticket,
		.came_ns = (uint64_t)ev->came,
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
	/* Where nothing was seen yet, the place is where it began: one that began with the latest goes on from there. */
	for (uint32_t vb = 0; vb < dcp_source_vbuckets(d->source); vb++) {
		struct dcp_position pos;
		uint64_t never = UINT64_MAX;
		if (dcp_source_mark(d->source, (uint16_t)vb, &never, &pos) && pos.uuid) {
			int rc = feed_seed_unseen(d->feed, (uint16_t)vb, &pos, lib_err(e));
			if (rc < 0)
				return rc;
		}
	}
	feed_token(d->feed, lib_buf(out));
	(void)buf_cstr(lib_buf(out)); /* the NUL that every text in a buffer has behind it */
	return buf_check(lib_buf(out), lib_err(e));
}
