/* engine.c: the data of the vBuckets: histories, revisions, failover logs, copies, expiry (see fake.h for the model).
 *
 * A revision counts a key's changes; a key that is new to the vBucket starts above the greatest revision of any key
 * deleted there, as the real one's do.
 */
#include "tests/fake/couchbase/internal.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t next_random(struct fake *f)
{
	uint64_t z = (f->uuid_state += UINT64_C(0x9e3779b97f4a7c15));
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

uint64_t engine_cas(struct fake *f)
{
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	uint64_t now =
		((uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec) & ~UINT64_C(0xffff);
	f->cas = now > f->cas ? now : f->cas + 1;
	return f->cas;
}

unsigned engine_vb_of(struct fake *f, const void *key, size_t len)
{
	uint32_t crc = 0xffffffff;
	const uint8_t *p = key;
	for (size_t i = 0; i < len; i++) {
		crc ^= p[i];
		for (int k = 0; k < 8; k++)
			crc = crc & 1 ? (crc >> 1) ^ 0xedb88320u : crc >> 1;
	}
	crc = ~crc;
	return ((crc >> 16) & 0x7fff) % f->o.vbuckets;
}

/* ---- the latest version of a key ---- */

static uint64_t hash_of(uint32_t cid, const void *key, size_t len)
{
	uint64_t h = 14695981039346656037u ^ cid;
	const uint8_t *p = key;
	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 1099511628211u;
	return h ^ (h >> 29);
}

static bool same_key(const struct item *it, uint32_t cid, const void *key, size_t len)
{
	return it->kind != ITEM_SYSTEM && it->cid == cid && it->key_len == len &&
	       memcmp(it->key, key, len) == 0;
}

static uint64_t *slot_of(struct vb *v, uint32_t cid, const void *key, size_t len)
{
	size_t i = hash_of(cid, key, len) & (v->n_slots - 1);
	for (;; i = (i + 1) & (v->n_slots - 1)) {
		if (!v->slot[i] || same_key(&v->item[v->slot[i] - 1], cid, key, len))
			return &v->slot[i];
	}
}

static void rebuild(struct vb *v, size_t n_slots)
{
	free(v->slot);
	v->n_slots = n_slots;
	v->slot = calloc(n_slots, sizeof(*v->slot));
	v->n_keys = 0;
	for (size_t i = 0; i < v->n; i++) {
		struct item *it = &v->item[i];
		if (it->kind == ITEM_SYSTEM)
			continue;
		uint64_t *slot = slot_of(v, it->cid, it->key, it->key_len);
		v->n_keys += *slot == 0;
		*slot = it->seqno;
	}
}

struct item *engine_find(struct fake *f, unsigned vb, uint32_t cid, const void *key, size_t len)
{
	struct vb *v = &f->vb[vb];
	if (!v->n_slots)
		return NULL;
	uint64_t *slot = slot_of(v, cid, key, len);
	return *slot ? &v->item[*slot - 1] : NULL;
}

/* ---- appending ---- */

static struct item *append(struct fake *f, struct vb *v)
{
	if (v->n == v->cap) {
		v->cap = v->cap ? v->cap * 2 : 16;
		v->item = realloc(v->item, v->cap * sizeof(*v->item));
	}
	struct item *it = &v->item[v->n++];
	memset(it, 0, sizeof(*it));
	it->seqno = v->n;
	it->cas = f->stamp_cas ? f->stamp_cas : engine_cas(f);
	it->delete_time = f->stamp_time ? f->stamp_time : (uint32_t)time(NULL);
	f->stamp_cas = 0;
	f->stamp_time = 0;
	it->made_ms = f->now_ms;
	v->copy[0].have = v->n;
	return it;
}

struct item *engine_append(struct fake *f, unsigned vb, enum item_kind kind, uint32_t cid,
			   const void *key, size_t len, struct slice value, uint8_t datatype,
			   uint32_t flags, uint32_t expiry)
{
	struct vb *v = &f->vb[vb];
	if ((v->n_keys + 1) * 2 > v->n_slots)
		rebuild(v, v->n_slots ? v->n_slots * 2 : 32);
	uint64_t *slot = slot_of(v, cid, key, len);
	uint64_t before = *slot;
	struct item *it = append(f, v);
	it->kind = kind;
	it->cid = cid;
	it->key = malloc(len ? len : 1);
	memcpy(it->key, key, len);
	it->key_len = len;
	it->value = malloc(value.len ? value.len : 1);
	if (value.len)
		memcpy(it->value, value.p, value.len);
	it->value_len = value.len;
	it->datatype = datatype;
	it->flags = flags;
	it->expiry = expiry;
	it->prev = before;
	if (before) {
		v->item[before - 1].next = it->seqno;
		it->rev = v->item[before - 1].rev + 1;
	} else {
		it->rev = v->max_deleted_rev + 1;
		v->n_keys++;
	}
	if (kind != ITEM_MUTATION) {
		if (it->rev > v->max_deleted_rev)
			v->max_deleted_rev = it->rev;
	}
	*slot = it->seqno;
	return it;
}

/* The event before about the same collection or scope: what is dropped shows no creation in one snapshot. */
static uint64_t event_before(const struct vb *v, bool of_scope, uint32_t sid, uint32_t cid)
{
	for (size_t i = v->n; i > 0; i--) {
		const struct item *it = &v->item[i - 1];
		if (it->kind == ITEM_SYSTEM &&
		    of_scope == (it->system_event == 3 || it->system_event == 4) &&
		    (of_scope ? it->sid == sid : it->cid == cid))
			return it->seqno;
	}
	return 0;
}

struct item *engine_system(struct fake *f, unsigned vb, uint8_t event, uint32_t sid,
			   const struct collection *coll, const char *name)
{
	struct vb *v = &f->vb[vb];
	uint32_t cid = coll ? coll->id : 0;
	uint64_t before = event == 0 || event == 3 ? 0 : event_before(v, event == 4, sid, cid);
	if (event == 0 && coll->flush_uid)
		before = event_before(v, false, sid, cid);
	struct item *it = append(f, v);
	it->prev = before;
	if (before)
		v->item[before - 1].next = it->seqno;
	if (coll) {
		it->has_ttl = coll->has_ttl;
		it->max_ttl = coll->max_ttl;
		it->history = coll->history;
		it->flush_uid = coll->flush_uid;
	}
	it->kind = ITEM_SYSTEM;
	it->system_event = event;
	it->sid = sid;
	it->cid = cid;
	it->key = strdup(name ? name : "");
	it->key_len = strlen(it->key);
	it->manifest_uid = f->manifest_uid;
	it->rev = 1;
	return it;
}

/* ---- losing ---- */

void engine_flush_collection(struct fake *f, unsigned vb, uint32_t cid)
{
	struct vb *v = &f->vb[vb];
	for (size_t i = 0; i < v->n; i++)
		if (v->item[i].kind != ITEM_SYSTEM && v->item[i].cid == cid)
			v->item[i].flushed = true;
}

void engine_truncate(struct fake *f, unsigned vb, uint64_t high)
{
	struct vb *v = &f->vb[vb];
	while (v->n > high) {
		struct item *it = &v->item[--v->n];
		if (it->prev)
			v->item[it->prev - 1].next = 0;
		free(it->key);
		free(it->value);
	}
	if (v->n_slots)
		rebuild(v, v->n_slots);
	for (unsigned i = 0; i < FAKE_COPIES_MAX; i++) {
		struct copy *c = &v->copy[i];
		c->have = c->have > high ? high : c->have;
		c->persisted = c->persisted > high ? high : c->persisted;
	}
	if (v->purge_seqno > high)
		v->purge_seqno = high;
}

void engine_branch(struct fake *f, unsigned vb)
{
	struct vb *v = &f->vb[vb];
	/* An entry above the new branch's point describes what was lost. */
	unsigned keep = 0;
	while (keep < v->n_log && v->log[keep].seqno > v->n)
		keep++;
	memmove(v->log, v->log + keep, (v->n_log - keep) * sizeof(v->log[0]));
	v->n_log -= keep;
	if (v->n_log == FAKE_FAILOVER_MAX)
		v->n_log--;
	memmove(v->log + 1, v->log, v->n_log * sizeof(v->log[0]));
	v->log[0] = (struct fake_branch){ (next_random(f) >> 16) | 1, v->n };
	v->n_log++;
}

void engine_init(struct fake *f)
{
	f->vb = calloc(f->o.vbuckets, sizeof(*f->vb));
	f->uuid_state = (uint64_t)time(NULL) ^ (uint64_t)(uintptr_t)f;
	for (unsigned i = 0; i < f->o.vbuckets; i++)
		engine_branch(f, i);
}

void engine_reset(struct fake *f)
{
	for (unsigned i = 0; i < f->o.vbuckets; i++) {
		engine_truncate(f, i, 0);
		f->vb[i].n_log = 0;
		f->vb[i].max_deleted_rev = 0;
		f->vb[i].purge_seqno = 0;
		engine_branch(f, i);
	}
}

void engine_done(struct fake *f)
{
	for (unsigned i = 0; i < f->o.vbuckets; i++) {
		engine_truncate(f, i, 0);
		free(f->vb[i].item);
		free(f->vb[i].slot);
	}
	free(f->vb);
}

/* ---- time ---- */

static void expire_due(struct fake *f, unsigned vb)
{
	struct vb *v = &f->vb[vb];
	uint32_t now = (uint32_t)time(NULL);
	for (size_t i = 0; i < v->n; i++) {
		struct item *it = &v->item[i];
		if (it->kind == ITEM_MUTATION && it->expiry && !it->next && it->expiry <= now) {
			char *key = malloc(it->key_len + 1);
			size_t len = it->key_len;
			memcpy(key, it->key, len);
			engine_append(f, vb, ITEM_EXPIRATION, it->cid, key, len, SLICE_NONE, 0, 0,
				      0);
			free(key);
		}
	}
}

void engine_tick(struct fake *f)
{
	bool expire = f->now_ms - f->expiry_checked >= f->o.expiry_pager_ms;
	if (expire)
		f->expiry_checked = f->now_ms;
	for (unsigned i = 0; i < f->o.vbuckets; i++) {
		struct vb *v = &f->vb[i];
		if (expire)
			expire_due(f, i);
		if (f->hold)
			continue;
		uint64_t upto = v->n;
		while (f->o.persist_delay_ms && upto > v->copy[0].persisted &&
		       v->item[upto - 1].made_ms + f->o.persist_delay_ms > f->now_ms)
			upto--;
		for (unsigned k = 0; k <= f->o.replicas; k++) {
			struct copy *c = &v->copy[k];
			c->have = v->n;
			if (upto > c->persisted)
				c->persisted = upto;
		}
	}
}
