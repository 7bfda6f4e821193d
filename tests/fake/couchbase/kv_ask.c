/* kv_ask.c: what clients ask about vBuckets and collections: sequence numbers, persistence, failover logs, ids. */
#include "tests/fake/couchbase/internal.h"

#include <stdio.h>
#include <string.h>

/* The state of a vBucket on this node; 0: it is not here. */
static enum fake_vb_state state_here(const struct conn *c, const struct vb *v,
				     const struct copy **copy)
{
	for (unsigned k = 0; k <= c->b->replicas; k++) {
		if (v->copy[k].node == c->node->index) {
			*copy = &v->copy[k];
			return k ? FAKE_VB_REPLICA : v->state;
		}
	}
	return 0;
}

/* Without extras the active ones; state 0 asks for all that live. */
void ask_all_seqnos(struct fake *f, struct conn *c, const struct packet *p)
{
	if (p->extras.len != 0 && p->extras.len != 4 && p->extras.len != 8) {
		kv_status(f, c, p, ST_EINVAL);
		return;
	}
	uint32_t state = p->extras.len >= 4 ? get_be32(p->extras.p) : FAKE_VB_ACTIVE;
	bool by_collection = p->extras.len == 8;
	uint32_t cid = by_collection ? get_be32(p->extras.p + 4) : 0;
	if (state > FAKE_VB_DEAD) {
		kv_status(f, c, p, ST_EINVAL);
		return;
	}
	if (by_collection && !topology_collection(c->b, cid)) {
		kv_status(f, c, p, ST_UNKNOWN_COLLECTION);
		return;
	}
	struct buf out = BUF_INIT;
	for (unsigned v = 0; v < c->b->n_vbs; v++) {
		const struct vb *vb = &c->b->vb[v];
		const struct copy *copy = NULL;
		enum fake_vb_state here = state_here(c, vb, &copy);
		if (!here || (state ? here != state : here == FAKE_VB_DEAD))
			continue;
		uint64_t seqno = copy->have;
		while (by_collection && seqno && vb->item[seqno - 1].cid != cid)
			seqno--;
		uint8_t row[10];
		put_be16(row, (uint16_t)v);
		put_be64(row + 2, seqno);
		buf_add(&out, row, sizeof(row));
	}
	kv_respond(c, p, ST_OK, SLICE_NONE, SLICE_NONE, buf_slice(&out), 0, 0);
	buf_done(&out);
}

void ask_observe_seqno(struct fake *f, struct conn *c, const struct packet *p)
{
	f->stats.observes++;
	if (p->value.len != 8) {
		kv_status(f, c, p, ST_EINVAL);
		return;
	}
	const struct copy *copy = NULL;
	enum fake_vb_state here = p->vb < c->b->n_vbs ? state_here(c, &c->b->vb[p->vb], &copy) : 0;
	if (!here || here == FAKE_VB_DEAD) {
		kv_not_my_vbucket(f, c, p);
		return;
	}
	const struct vb *vb = &c->b->vb[p->vb];
	uint64_t uuid = get_be64(p->value.p);
	unsigned i = 0;
	while (i < vb->n_log && vb->log[i].uuid != uuid)
		i++;
	if (i == vb->n_log) {
		kv_status(f, c, p, ST_ENOENT);
		return;
	}
	uint8_t out[43] = { i > 0 };
	put_be16(out + 1, p->vb);
	put_be64(out + 3, vb->log[0].uuid);
	put_be64(out + 11, c->b->ephemeral ? 0 : copy->persisted); /* nothing ever is */
	put_be64(out + 19, copy->have);
	if (i > 0) {
		put_be64(out + 27, uuid);
		put_be64(out + 35, vb->log[i - 1].seqno);
	}
	kv_respond(c, p, ST_OK, SLICE_NONE, SLICE_NONE, slice_of(out, i > 0 ? 43 : 27), 0, 0);
}

static void split_path(struct slice s, char *scope, char *coll, size_t cap)
{
	snprintf(scope, cap, "%.*s", (int)s.len, (const char *)s.p);
	char *dot = strchr(scope, '.');
	snprintf(coll, cap, "%s", dot ? dot + 1 : "");
	if (dot)
		*dot = '\0';
	if (!*scope)
		strcpy(scope, "_default");
	if (!*coll)
		strcpy(coll, "_default");
}

void ask_collection_id(struct fake *f, struct conn *c, const struct packet *p)
{
	char scope[130], coll[130];
	split_path(p->value.len ? p->value : p->key, scope, coll, sizeof(scope));
	struct scope *s = topology_scope(c->b, scope);
	struct collection *found = topology_named(c->b, scope, coll);
	if (p->opcode == 0xbc ? !s : !found) {
		kv_status(f, c, p, s ? ST_UNKNOWN_COLLECTION : ST_UNKNOWN_SCOPE);
		return;
	}
	uint8_t extras[12];
	put_be64(extras, c->b->manifest_uid);
	put_be32(extras + 8, p->opcode == 0xbc ? s->id : found->id);
	kv_respond(c, p, ST_OK, slice_of(extras, 12), SLICE_NONE, SLICE_NONE, 0, 0);
}

void ask_manifest(struct fake *f, struct conn *c, const struct packet *p)
{
	(void)f;
	struct buf out = BUF_INIT;
	topology_manifest(c->b, &out);
	kv_respond(c, p, ST_OK, SLICE_NONE, SLICE_NONE, buf_slice(&out), c->json ? 1 : 0, 0);
	buf_done(&out);
}

/* The failover log, for who does not stream. */
void ask_failover_log(struct fake *f, struct conn *c, const struct packet *p)
{
	uint8_t log[16 * FAKE_FAILOVER_MAX];
	if (kv_here(f, c, p) != KV_HERE)
		return;
	size_t len = dcp_failover_log(c->b, p->vb, log);
	kv_respond(c, p, ST_OK, SLICE_NONE, SLICE_NONE, slice_of(log, len), 0, 0);
}

static void stat_line(struct conn *c, const struct packet *p, const char *key, unsigned vb,
		      uint64_t value)
{
	char name[64], text[32];
	snprintf(name, sizeof(name), "vb_%u:%s", vb, key);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	kv_respond(c, p, ST_OK, SLICE_NONE, slice_str(name), slice_str(text), 0, 0);
}

/* Of a bucket: what tools look at. */
static void bucket_stats(struct conn *c, const struct packet *p)
{
	uint64_t items = 0;
	kv_respond(c, p, ST_OK, SLICE_NONE, SLICE_LIT("ep_bucket_type"),
		   slice_str(c->b->ephemeral ? "ephemeral" : "persistent"), 0, 0);
	for (unsigned v = 0; v < c->b->n_vbs; v++)
		items += c->b->vb[v].n_keys;
	const struct {
		const char *name;
		uint64_t value;
	} rows[] = { { "curr_items", items },
		     { "ep_total_persisted", items },
		     { "vb_active_num", c->b->n_vbs },
		     { "ep_queue_size", c->b->n_dirty } };
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		char text[32];
		snprintf(text, sizeof(text), "%llu", (unsigned long long)rows[i].value);
		kv_respond(c, p, ST_OK, SLICE_NONE, slice_str(rows[i].name), slice_str(text), 0, 0);
	}
}

void ask_stats(struct fake *f, struct conn *c, const struct packet *p)
{
	(void)f;
	char key[64];
	snprintf(key, sizeof(key), "%.*s", (int)p->key.len, (const char *)p->key.p);
	unsigned vb;
	if (sscanf(key, "vbucket-details %u", &vb) == 1 && vb < c->b->n_vbs) {
		static const char *const states[] = { "", "active", "replica", "pending", "dead" };
		char name[24];
		snprintf(name, sizeof(name), "vb_%u", vb);
		kv_respond(c, p, ST_OK, SLICE_NONE, slice_str(name),
			   slice_str(states[c->b->vb[vb].state]), 0, 0);
		stat_line(c, p, "high_seqno", vb, c->b->vb[vb].n);
		stat_line(c, p, "purge_seqno", vb, c->b->vb[vb].purge_seqno);
		stat_line(c, p, "uuid", vb, c->b->vb[vb].log[0].uuid);
		stat_line(c, p, "max_deleted_revid", vb, c->b->vb[vb].max_deleted_rev);
	} else if (!*key) {
		bucket_stats(c, p);
	} else if (strncmp(key, "vbucket", 7) != 0) {
		kv_status(f, c, p, ST_ENOENT);
		return;
	}
	kv_respond(c, p, ST_OK, SLICE_NONE, SLICE_NONE, SLICE_NONE, 0, 0);
}
