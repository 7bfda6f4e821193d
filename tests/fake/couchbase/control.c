/* control.c: the functions that tests script the cluster with. Each takes the lock; the loop sees the change at its
 * next turn, at once when it is woken. */
#include "tests/fake/couchbase/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void lock(struct fake *f)
{
	pthread_mutex_lock(&f->lock);
}

static void unlock(struct fake *f)
{
	pthread_mutex_unlock(&f->lock);
	uint64_t one = 1;
	(void)!write(f->wake_fd, &one, sizeof(one));
}

uint16_t fake_kv_port(struct fake *f, unsigned node)
{
	return f->node[node].kv_port;
}

uint16_t fake_kvs_port(struct fake *f, unsigned node)
{
	return f->node[node].kvs_port;
}

uint16_t fake_http_port(struct fake *f, unsigned node)
{
	return f->node[node].http_port;
}

uint16_t fake_https_port(struct fake *f, unsigned node)
{
	return f->node[node].https_port;
}

/* ---- data ---- */

uint64_t fake_set(struct fake *f, unsigned vb, uint32_t cid, const char *key, struct slice value)
{
	lock(f);
	uint8_t datatype = value.len && (value.p[0] == '{' || value.p[0] == '[');
	uint64_t seqno = engine_append(f, vb, ITEM_MUTATION, cid, key, strlen(key), value, datatype,
				       0x02000000, 0)
				 ->seqno;
	unlock(f);
	return seqno;
}

uint64_t fake_put(struct fake *f, unsigned vb, uint32_t cid, const char *key, struct slice value,
		  uint8_t datatype)
{
	lock(f);
	uint64_t seqno = engine_append(f, vb, ITEM_MUTATION, cid, key, strlen(key), value, datatype,
				       0x02000000, 0)
				 ->seqno;
	unlock(f);
	return seqno;
}

void fake_stamp_next(struct fake *f, uint64_t cas, uint32_t delete_time)
{
	lock(f);
	f->stamp_cas = cas;
	f->stamp_time = delete_time;
	unlock(f);
}

uint64_t fake_delete(struct fake *f, unsigned vb, uint32_t cid, const char *key)
{
	lock(f);
	uint64_t seqno =
		engine_append(f, vb, ITEM_DELETION, cid, key, strlen(key), SLICE_NONE, 0, 0, 0)
			->seqno;
	unlock(f);
	return seqno;
}

uint64_t fake_expire(struct fake *f, unsigned vb, uint32_t cid, const char *key)
{
	lock(f);
	uint64_t seqno =
		engine_append(f, vb, ITEM_EXPIRATION, cid, key, strlen(key), SLICE_NONE, 0, 0, 0)
			->seqno;
	unlock(f);
	return seqno;
}

unsigned fake_vb_of_key(struct fake *f, const char *key, size_t len)
{
	return engine_vb_of(f, key, len);
}

uint64_t fake_high_seqno(struct fake *f, unsigned vb)
{
	lock(f);
	uint64_t high = f->vb[vb].n;
	unlock(f);
	return high;
}

void fake_history(struct fake *f, unsigned vb,
		  void (*each)(void *arg, uint64_t seqno, char kind, uint32_t cid, struct slice key,
			       struct slice value),
		  void *arg)
{
	lock(f);
	for (size_t i = 0; i < f->vb[vb].n; i++) {
		const struct item *it = &f->vb[vb].item[i];
		each(arg, it->seqno, (char)it->kind, it->cid, slice_of(it->key, it->key_len),
		     slice_of(it->value, it->value_len));
	}
	unlock(f);
}

unsigned fake_failover_log(struct fake *f, unsigned vb, struct fake_branch out[FAKE_FAILOVER_MAX])
{
	lock(f);
	unsigned n = f->vb[vb].n_log;
	memcpy(out, f->vb[vb].log, n * sizeof(*out));
	unlock(f);
	return n;
}

/* ---- collections ---- */

void fake_create_scope_locked(struct fake *f, const char *name, uint32_t *id);
uint32_t fake_create_collection_locked(struct fake *f, const struct fake_collection *as);
bool fake_drop_collection_locked(struct fake *f, const char *scope, const char *name);
bool fake_drop_scope_locked(struct fake *f, const char *name);

static void system_event(struct fake *f, uint8_t event, uint32_t sid, const struct collection *coll,
			 const char *name)
{
	for (unsigned v = 0; v < f->o.vbuckets; v++)
		(void)engine_system(f, v, event, sid, coll, name);
}

void fake_create_scope_locked(struct fake *f, const char *name, uint32_t *id)
{
	if (topology_scope(f, name) || f->n_scopes == ARRAY_LEN(f->scope))
		return;
	struct scope *s = &f->scope[f->n_scopes++];
	*s = (struct scope){ .id = f->next_sid++ };
	snprintf(s->name, sizeof(s->name), "%s", name);
	f->manifest_uid++;
	system_event(f, 3, s->id, NULL, name);
	*id = s->id;
}

uint32_t fake_create_collection_locked(struct fake *f, const struct fake_collection *as)
{
	struct scope *s = topology_scope(f, as->scope);
	if (!s || topology_named(f, as->scope, as->name) || f->n_colls == ARRAY_LEN(f->coll))
		return 0;
	struct collection *c = &f->coll[f->n_colls++];
	*c = (struct collection){ .id = f->next_cid++,
				  .scope = s->id,
				  .has_ttl = as->has_ttl,
				  .max_ttl = as->max_ttl,
				  .history = as->history };
	snprintf(c->name, sizeof(c->name), "%s", as->name);
	f->manifest_uid++;
	system_event(f, 0, s->id, c, as->name);
	return c->id;
}

bool fake_drop_collection_locked(struct fake *f, const char *scope, const char *name)
{
	struct collection *c = topology_named(f, scope, name);
	if (!c)
		return false;
	c->dropped = true;
	f->manifest_uid++;
	system_event(f, 1, c->scope, c, NULL);
	return true;
}

bool fake_drop_scope_locked(struct fake *f, const char *name)
{
	struct scope *s = topology_scope(f, name);
	if (!s || s->id == 0)
		return false;
	for (unsigned i = 0; i < f->n_colls; i++) {
		struct collection *c = &f->coll[i];
		if (!c->dropped && c->scope == s->id) {
			c->dropped = true;
			system_event(f, 1, s->id, c, NULL);
		}
	}
	s->dropped = true;
	f->manifest_uid++;
	system_event(f, 4, s->id, NULL, NULL);
	return true;
}

uint32_t fake_create_scope(struct fake *f, const char *name)
{
	uint32_t id = 0;
	lock(f);
	fake_create_scope_locked(f, name, &id);
	unlock(f);
	return id;
}

uint32_t fake_create_collection(struct fake *f, const char *scope, const char *name)
{
	uint32_t id = 0;
	lock(f);
	id = fake_create_collection_locked(f, &(struct fake_collection){ .scope = scope,
									 .name = name });
	unlock(f);
	return id;
}

uint32_t fake_create_collection_as(struct fake *f, const struct fake_collection *c)
{
	lock(f);
	uint32_t id = fake_create_collection_locked(f, c);
	unlock(f);
	return id;
}

bool fake_modify_collection(struct fake *f, const struct fake_collection *as)
{
	lock(f);
	struct collection *c = topology_named(f, as->scope, as->name);
	if (c) {
		c->has_ttl = as->has_ttl;
		c->max_ttl = as->max_ttl;
		c->history = as->history;
		f->manifest_uid++;
		system_event(f, 5, c->scope, c, c->name);
	}
	unlock(f);
	return c != NULL;
}

/* A flush is a second creation, of a collection that has nothing of before. */
bool fake_flush_collection(struct fake *f, const char *scope, const char *name)
{
	lock(f);
	struct collection *c = topology_named(f, scope, name);
	if (c) {
		c->flush_uid = ++f->manifest_uid;
		for (unsigned v = 0; v < f->o.vbuckets; v++)
			engine_flush_collection(f, v, c->id);
		system_event(f, 0, c->scope, c, c->name);
	}
	unlock(f);
	return c != NULL;
}

void fake_number_collections(struct fake *f, uint64_t manifest_uid, uint32_t next_scope,
			     uint32_t next_collection)
{
	lock(f);
	f->manifest_uid = manifest_uid;
	f->next_sid = next_scope;
	f->next_cid = next_collection;
	unlock(f);
}

void fake_set_failover_log(struct fake *f, unsigned vb, const struct fake_branch *log, unsigned n)
{
	lock(f);
	f->vb[vb].n_log = n < FAKE_FAILOVER_MAX ? n : FAKE_FAILOVER_MAX;
	memcpy(f->vb[vb].log, log, f->vb[vb].n_log * sizeof(*log));
	unlock(f);
}

bool fake_drop_collection(struct fake *f, const char *scope, const char *name)
{
	lock(f);
	bool ok = fake_drop_collection_locked(f, scope, name);
	unlock(f);
	return ok;
}

bool fake_drop_scope(struct fake *f, const char *name)
{
	lock(f);
	bool ok = fake_drop_scope_locked(f, name);
	unlock(f);
	return ok;
}

/* ---- persistence, failover, topology ---- */

void fake_hold_persistence(struct fake *f, bool hold)
{
	lock(f);
	f->hold = hold;
	unlock(f);
}

static void advance(struct fake *f, unsigned vb, unsigned copy, uint64_t seqno, bool persist)
{
	struct vb *v = &f->vb[vb];
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

static void promote(struct fake *f, unsigned vb, unsigned copy)
{
	struct vb *v = &f->vb[vb];
	if (copy > f->o.replicas || v->copy[copy].node < 0)
		return;
	dcp_end_streams(f, vb, 2);
	struct copy chosen = v->copy[copy];
	v->copy[copy] = v->copy[0];
	v->copy[0] = chosen;
	engine_truncate(f, vb, chosen.have);
	engine_branch(f, vb);
}

void fake_failover_vb(struct fake *f, unsigned vb, unsigned copy)
{
	lock(f);
	promote(f, vb, copy);
	topology_changed(f);
	unlock(f);
}

void fake_failover_node(struct fake *f, unsigned node)
{
	lock(f);
	f->node[node].failed = true;
	for (unsigned v = 0; v < f->o.vbuckets; v++) {
		struct vb *vb = &f->vb[v];
		if (vb->copy[0].node == (int)node)
			promote(f, v, 1);
		for (unsigned k = 0; k < FAKE_COPIES_MAX; k++)
			if (vb->copy[k].node == (int)node)
				vb->copy[k].node = -1;
	}
	for (struct conn *c = f->node[node].conns; c; c = c->next)
		c->dead = true;
	topology_changed(f);
	unlock(f);
}

void fake_crash_vb(struct fake *f, unsigned vb)
{
	lock(f);
	dcp_end_streams(f, vb, 2);
	engine_truncate(f, vb, f->vb[vb].copy[0].persisted);
	engine_branch(f, vb);
	unlock(f);
}

void fake_move_vb(struct fake *f, unsigned vb, unsigned node)
{
	lock(f);
	struct vb *v = &f->vb[vb];
	int from = v->copy[0].node;
	if (from != (int)node) {
		dcp_end_streams(f, vb, 2);
		for (unsigned k = 1; k <= f->o.replicas; k++)
			if (v->copy[k].node == (int)node)
				v->copy[k].node = from;
		v->copy[0].node = (int)node;
		engine_branch(
			f,
			vb); /* a takeover makes a new entry too, at the high seqno: nothing is lost */
		topology_changed(f);
	}
	unlock(f);
}

void fake_purge(struct fake *f, unsigned vb, uint64_t seqno)
{
	lock(f);
	f->vb[vb].purge_seqno = seqno > f->vb[vb].n ? f->vb[vb].n : seqno;
	unlock(f);
}

void fake_flush_bucket(struct fake *f)
{
	lock(f);
	for (unsigned v = 0; v < f->o.vbuckets; v++)
		dcp_end_streams(f, v, 2);
	engine_reset(f);
	snprintf(f->bucket_uuid, sizeof(f->bucket_uuid), "%032llx",
		 (unsigned long long)f->vb[0].log[0].uuid);
	topology_changed(f);
	for (unsigned i = 0; i < f->o.nodes; i++)
		for (struct conn *c = f->node[i].conns; c; c = c->next)
			c->dead = true;
	unlock(f);
}

void fake_warmup(struct fake *f, bool on)
{
	lock(f);
	f->warming_up = on;
	unlock(f);
}


void fake_push_map(struct fake *f)
{
	lock(f);
	topology_changed(f);
	unlock(f);
}

/* ---- faults ---- */

static void per_node(struct fake *f, const struct fake_fault *x)
{
	for (unsigned i = 0; i < f->o.nodes; i++) {
		struct node *n = &f->node[i];
		if (x->node >= 0 && x->node != (int)i)
			continue;
		if (x->kind == FAKE_SLOW)
			n->slow_ms = x->n;
		else if (x->kind == FAKE_STALL)
			n->stalled = x->count != 0;
		else if (x->kind == FAKE_SPLIT)
			n->split = x->n;
		else if (x->kind == FAKE_DOWN)
			n->down = x->count != 0;
		else if (x->kind == FAKE_CUT_NEXT)
			n->cut_next = *x;
		else if (x->kind == FAKE_CUT_INPUT)
			n->cut_input = *x;
		for (struct conn *c = n->conns; c && x->kind == FAKE_DOWN && x->count; c = c->next)
			c->dead = true;
		for (struct conn *c = n->conns; c && x->kind == FAKE_CUT_AFTER; c = c->next)
			if (c->kind == CONN_KV && c->is_dcp)
				c->cut_after = x->n;
	}
}

void fake_fault(struct fake *f, const struct fake_fault *x)
{
	lock(f);
	if (x->kind == FAKE_STREAM_END && x->vb >= 0)
		dcp_end_streams(f, (unsigned)x->vb, x->status);
	else if (x->kind == FAKE_UNKNOWN)
		dcp_unknown(f, x);
	else if (x->kind == FAKE_REPEAT && x->vb >= 0)
		dcp_repeat(f, (unsigned)x->vb);
	else if (x->kind == FAKE_DROP_CURSOR && x->vb >= 0)
		dcp_drop_cursor(f, (unsigned)x->vb);
	else if (x->kind == FAKE_STATUS || x->kind == FAKE_ROLLBACK) {
		unsigned i = 0;
		while (i < f->n_faults && f->fault[i].count)
			i++;
		if (i < FAULTS_MAX) {
			f->fault[i] = *x;
			f->n_faults = i == f->n_faults ? i + 1 : f->n_faults;
		}
	} else {
		per_node(f, x);
	}
	unlock(f);
}

void fake_clear_faults(struct fake *f)
{
	lock(f);
	f->n_faults = 0;
	for (unsigned i = 0; i < f->o.nodes; i++) {
		f->node[i].slow_ms = f->node[i].split = 0;
		f->node[i].stalled = f->node[i].down = false;
		f->node[i].cut_next.count = f->node[i].cut_input.count = 0;
		for (struct conn *c = f->node[i].conns; c; c = c->next)
			c->cut_after = UINT64_MAX;
	}
	unlock(f);
}

void fake_drop_connections(struct fake *f, int node)
{
	lock(f);
	for (unsigned i = 0; i < f->o.nodes; i++)
		for (struct conn *c = f->node[i].conns; c; c = c->next)
			if (node < 0 || node == (int)i)
				c->dead = true;
	unlock(f);
}

void fake_stats(struct fake *f, struct fake_stats *out)
{
	lock(f);
	*out = f->stats;
	unlock(f);
}
