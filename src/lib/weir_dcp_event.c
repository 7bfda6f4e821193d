/* weir_dcp_event.c: events of a bucket handed out, what each says, and their acknowledgement. */
#include "lib/lib_dcp.h"

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
		dcp_source_nack(d->source, vbucket, 0);
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
