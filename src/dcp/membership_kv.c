/* membership_kv.c: single documents of a bucket, read and written with CAS. */
#include "dcp/membership.h"

#include "base/mem.h"
#include "dcp/kv.h"

struct bucket_documents {
	struct documents base;
	struct kv *kv;
};

static int failed(const struct kv_request *r, const char *what, const char *key, struct err *e)
{
	switch (r->rc) {
	case ERR_CONFLICT:
		return err_set(e, ERR_CONFLICT, "%s was changed or removed by another member", key);
	case ERR_AUTH: return err_set(e, ERR_AUTH, "no right to %s %s", what, key);
	case ERR_NOMEM: return err_nomem(e);
	}
	return err_set(e, r->rc, "%s: status 0x%02x", key, r->status);
}

static int get(struct documents *base, const char *key, struct buf *value, uint64_t *cas,
	       struct err *e)
{
	struct bucket_documents *d = container_of(base, struct bucket_documents, base);
	struct kv_request r = { .op = KV_GET, .key = slice_str(key), .out = value };
	int rc = kv_run(d->kv, &r, 1, e);
	if (rc < 0)
		return err_in(e, rc, "%s", key);
	if (r.rc == 1)
		*cas = r.cas;
	return r.rc < 0 ? failed(&r, "read", key, e) : r.rc;
}

/* One whose answer is lost is an error: whoever writes next reads first. */
static int put(struct documents *base, const char *key, struct slice value, uint64_t cas,
	       uint32_t expiry, struct err *e)
{
	struct bucket_documents *d = container_of(base, struct bucket_documents, base);
	struct kv_request r = {
		.op = KV_PUT, .key = slice_str(key), .value = value, .cas = cas, .expiry = expiry
	};
	int rc = kv_run(d->kv, &r, 1, e);
	if (rc < 0)
		return err_in(e, rc, "%s", key);
	return r.rc < 0 ? failed(&r, "write", key, e) : 0;
}

static int set_field(struct documents *base, const char *key, const char *path, struct slice json,
		     struct err *e)
{
	struct bucket_documents *d = container_of(base, struct bucket_documents, base);
	struct kv_request r = {
		.op = KV_PUT_FIELD, .key = slice_str(key), .path = slice_str(path), .value = json
	};
	int rc = kv_run(d->kv, &r, 1, e);
	if (rc < 0)
		return err_in(e, rc, "%s", key);
	if (r.rc == ERR_NOTFOUND)
		return err_set(e, ERR_NOTFOUND, "%s is not there, or has no %s", key, path);
	return r.rc < 0 ? failed(&r, "write", key, e) : 0;
}

static void free_(struct documents *base)
{
	struct bucket_documents *d = container_of(base, struct bucket_documents, base);
	kv_free(d->kv);
	mem_free(d);
}

int documents_couchbase(const struct kv_options *o, struct documents **out, struct err *e)
{
	static const struct documents_ops ops = { get, put, set_field, free_ };
	struct bucket_documents *d = mem_try(sizeof(*d));
	if (!d)
		return err_nomem(e);
	d->base.ops = &ops;
	int rc = kv_open(o, &d->kv, e);
	if (rc < 0) {
		mem_free(d);
		return rc;
	}
	*out = &d->base;
	return 0;
}
