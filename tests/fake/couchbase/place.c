/* place.c: what is where: copies that lag, failovers, crashes, moves, vBucket states, maps; for scripts. */
#include "tests/fake/couchbase/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fake_set_failover_log(struct fake *f, unsigned vb, const struct fake_branch *log, unsigned n)
{
	lock(f);
	struct vb *v = &f->script->vb[vb];
	v->n_log = n < FAKE_FAILOVER_MAX ? n : FAKE_FAILOVER_MAX;
	memcpy(v->log, log, v->n_log * sizeof(*log));
	unlock(f);
}

void fake_rotate_failover_log(struct fake *f, unsigned vb, unsigned n)
{
	lock(f);
	for (unsigned i = 0; i < n; i++)
		engine_branch(f->script, vb);
	unlock(f);
}

/* ---- copies ---- */

void fake_hold_persistence(struct fake *f, bool hold)
{
	lock(f);
	f->script->hold = hold;
	unlock(f);
}

static void advance(struct fake *f, unsigned vb, unsigned copy, uint64_t seqno, bool persist)
{
	struct vb *v = &f->script->vb[vb];
	struct copy *c = &v->copy[copy];
	seqno = seqno > v->n ? v->n : seqno;
	if (c->have < seqno)
		c->have = seqno;
	if (persist && c->persisted < seqno)
		c->persisted = seqno;
}

void fake_persist(struct fake *f, unsigned vb, unsigned copy, uint64_t seqno)
{
	lock(f);
	advance(f, vb, copy, seqno, true);
	unlock(f);
}

void fake_replicate(struct fake *f, unsigned vb, unsigned copy, uint64_t seqno)
{
	lock(f);
	advance(f, vb, copy, seqno, false);
	unlock(f);
}

/* ---- failover ---- */

/* What is above `high` is lost. Changes of collections that it held are made again, as the cluster's manager does. */
static void lose(struct bucket *b, unsigned vb, uint64_t high)
{
	engine_truncate(b, vb, high);
	engine_branch(b, vb);
	collections_repair(b, vb);
}

static void promote(struct bucket *b, unsigned vb, unsigned copy)
{
	struct vb *v = &b->vb[vb];
	if (copy > b->replicas || v->copy[copy].node < 0)
		return;
	dcp_end_streams(b, (int)vb, 2);
	struct copy chosen = v->copy[copy];
	v->copy[copy] = v->copy[0];
	v->copy[0] = chosen;
	v->state = FAKE_VB_ACTIVE;
	lose(b, vb, chosen.have);
}

void fake_failover_vb(struct fake *f, unsigned vb, unsigned copy)
{
	lock(f);
	promote(f->script, vb, copy);
	topology_changed(f->script);
	unlock(f);
}

static void without_node(struct bucket *b, int node)
{
	for (unsigned v = 0; v < b->n_vbs; v++) {
		struct vb *vb = &b->vb[v];
		if (vb->copy[0].node == node)
			promote(b, v, 1);
		for (unsigned k = 0; k < FAKE_COPIES_MAX; k++)
			if (vb->copy[k].node == node)
				vb->copy[k].node = -1;
	}
}

void fake_failover_node(struct fake *f, unsigned node)
{
	lock(f);
	f->node[node].failed = true;
	for (unsigned i = 0; i < f->n_buckets; i++)
		without_node(f->bucket[i], (int)node);
	for (struct conn *c = f->node[node].conns; c; c = c->next)
		c->dead = true;
	topology_all_changed(f);
	unlock(f);
}

void fake_crash_vb(struct fake *f, unsigned vb)
{
	lock(f);
	struct bucket *b = f->script;
	dcp_end_streams(b, (int)vb, 2);
	lose(b, vb, b->ephemeral ? 0 : b->vb[vb].copy[0].persisted);
	unlock(f);
}

/* ---- moves and states ---- */

void fake_move_vb(struct fake *f, unsigned vb, unsigned node)
{
	lock(f);
	struct bucket *b = f->script;
	struct vb *v = &b->vb[vb];
	int from = v->copy[0].node;
	if (from != (int)node) {
		dcp_end_streams(b, (int)vb, 2);
		for (unsigned k = 1; k <= b->replicas; k++)
			if (v->copy[k].node == (int)node)
				v->copy[k].node = from;
		v->copy[0].node = (int)node;
		b->nodes |= 1u << node;
		/* A takeover makes a new entry too, at the high seqno: nothing is lost. */
		engine_branch(b, vb);
		engine_touch(b, vb);
		topology_changed(b);
	}
	unlock(f);
}

void fake_set_vb_state(struct fake *f, unsigned vb, enum fake_vb_state state)
{
	lock(f);
	if (f->script->vb[vb].state != state) {
		f->script->vb[vb].state = state;
		dcp_end_streams(f->script, (int)vb, 2);
	}
	unlock(f);
}

void fake_add_node(struct fake *f, unsigned node)
{
	lock(f);
	f->script->nodes |= 1u << node;
	topology_changed(f->script);
	unlock(f);
}

void fake_set_alternate_address(struct fake *f, unsigned node, const char *host, bool with_ports)
{
	lock(f);
	struct node *n = &f->node[node];
	snprintf(n->alternate, sizeof(n->alternate), "%s", host ? host : "");
	n->alternate_kv = with_ports ? n->kv_port : 0;
	n->alternate_mgmt = with_ports ? n->http_port : 0;
	n->alternate_kvs = with_ports ? n->kvs_port : 0;
	n->alternate_mgmts = with_ports ? n->https_port : 0;
	topology_all_changed(f);
	unlock(f);
}

void fake_push_map(struct fake *f)
{
	lock(f);
	topology_changed(f->script);
	unlock(f);
}

void fake_storm(struct fake *f, unsigned maps)
{
	lock(f);
	f->storm = maps;
	unlock(f);
}

/* ---- what is gone ---- */

void fake_purge(struct fake *f, unsigned vb, uint64_t seqno)
{
	lock(f);
	struct vb *v = &f->script->vb[vb];
	v->purge_seqno = seqno > v->n ? v->n : seqno;
	unlock(f);
}

void fake_compact(struct fake *f, unsigned vb, uint64_t purge)
{
	lock(f);
	engine_compact(f->script, vb, purge);
	unlock(f);
}

void fake_flush_bucket(struct fake *f)
{
	lock(f);
	bucket_recreate(f->script);
	unlock(f);
}

void fake_empty_bucket(struct fake *f)
{
	lock(f);
	bucket_flush(f->script);
	unlock(f);
}

void fake_warmup(struct fake *f, bool on)
{
	lock(f);
	f->script->warming_up = on;
	unlock(f);
}
