/* engine.c: the data of the vBuckets: histories, revisions, failover logs, copies, expiry (see fake.h for the model).
 *
 * A revision counts a key's changes; a key that is new to the vBucket starts above the greatest revision of any key
 * deleted there, as the real one's do.
 */
#include "tests/fake/couchbase/internal.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

uint64_t engine_random(struct fake *f)
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

unsigned engine_vb_of(unsigned n_vbs, const void *key, size_t len)
{
	uint32_t crc = 0xffffffff;
	const uint8_t *p = key;
	for (size_t i = 0; i < len; i++) {
		crc ^= p[i];
		for (int k = 0; k < 8; k++)
			crc = crc & 1 ? (crc >> 1) ^ 0xedb88320u : crc >> 1;
	}
	crc = ~crc;
	return ((crc >> 16) & 0x7fff) % n_vbs;
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
		if (it->kind == ITEM_SYSTEM || it->compacted)
			continue;
		uint64_t *slot = slot_of(v, it->cid, it->key, it->key_len);
		v->n_keys += *slot == 0;
		*slot = it->seqno;
	}
}

struct item *engine_find(struct bucket *b, unsigned vb, uint32_t cid, const void *key, size_t len)
{
	struct vb *v = &b->vb[vb];
	if (!v->n_slots)
		return NULL;
	uint64_t *slot = slot_of(v, cid, key, len);
	return *slot ? &v->item[*slot - 1] : NULL;
}

/* ---- appending ---- */

static struct item *append(struct bucket *b, unsigned vb)
{
	struct fake *f = b->f;
	struct vb *v = &b->vb[vb];
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
	engine_touch(b, vb);
	return it;
}

static void take_bytes(struct item *it, const void *key, size_t len, struct slice value)
{
	it->key = malloc(len + value.len + 1);
	memcpy(it->key, key, len);
	it->key[len] = '\0';
	it->key_len = (uint32_t)len;
	it->value = (uint8_t *)it->key + len;
	if (value.len)
		memcpy(it->value, value.p, value.len);
	it->value_len = (uint32_t)value.len;
}

struct item *engine_append(struct bucket *b, unsigned vb, enum item_kind kind, uint32_t cid,
			   const void *key, size_t len, struct slice value, uint8_t datatype,
			   uint32_t flags, uint32_t expiry)
{
	struct vb *v = &b->vb[vb];
	if ((v->n_keys + 1) * 2 > v->n_slots)
		rebuild(v, v->n_slots ? v->n_slots * 2 : 32);
	uint64_t *slot = slot_of(v, cid, key, len);
	uint64_t before = *slot;
	struct item *it = append(b, vb);
	it->kind = kind;
	it->cid = cid;
	take_bytes(it, key, len, value);
	it->datatype = datatype;
	it->flags = flags;
	it->expiry = expiry;
	if (expiry && (!v->next_expiry || expiry < v->next_expiry))
		v->next_expiry = expiry;
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

const struct item *engine_event_of(const struct bucket *b, unsigned vb, bool of_scope, uint32_t sid,
				   uint32_t cid)
{
	const struct vb *v = &b->vb[vb];
	for (size_t i = v->n; i > 0; i--) {
		const struct item *it = &v->item[i - 1];
		if (it->kind == ITEM_SYSTEM &&
		    of_scope == (it->system_event == 3 || it->system_event == 4) &&
		    (of_scope ? it->sid == sid : it->cid == cid))
			return it;
	}
	return NULL;
}

/* What is dropped or flushed shows no creation of before in one snapshot. */
static uint64_t replaces(const struct bucket *b, unsigned vb, uint8_t event, uint32_t sid,
			 const struct collection *coll)
{
	if (event == 3 || (event == 0 && !coll->flush_uid))
		return 0;
	const struct item *it = engine_event_of(b, vb, event == 4, sid, coll ? coll->id : 0);
	return it ? it->seqno : 0;
}

struct item *engine_system(struct bucket *b, unsigned vb, uint8_t event, uint32_t sid,
			   const struct collection *coll, const char *name)
{
	struct vb *v = &b->vb[vb];
	uint32_t cid = coll ? coll->id : 0;
	uint64_t before = replaces(b, vb, event, sid, coll);
	struct item *it = append(b, vb);
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
	take_bytes(it, name ? name : "", name ? strlen(name) : 0, SLICE_NONE);
	it->manifest_uid = b->manifest_uid;
	it->rev = 1;
	return it;
}

/* ---- losing ---- */

void engine_flush_collection(struct bucket *b, unsigned vb, uint32_t cid)
{
	struct vb *v = &b->vb[vb];
	for (size_t i = 0; i < v->n; i++) {
		struct item *it = &v->item[i];
		if (it->kind != ITEM_SYSTEM && it->cid == cid && !it->flushed)
			it->flushed = v->n + 1;
	}
}

void engine_truncate(struct bucket *b, unsigned vb, uint64_t high)
{
	struct vb *v = &b->vb[vb];
	while (v->n > high) {
		struct item *it = &v->item[--v->n];
		if (it->prev)
			v->item[it->prev - 1].next = 0;
		free(it->key);
	}
	for (size_t i = 0; i < v->n; i++)
		if (v->item[i].flushed > high)
			v->item[i].flushed = 0;
	if (v->n_slots)
		rebuild(v, v->n_slots);
	for (unsigned i = 0; i < FAKE_COPIES_MAX; i++) {
		struct copy *c = &v->copy[i];
		c->have = c->have > high ? high : c->have;
		c->persisted = c->persisted > high ? high : c->persisted;
	}
	if (v->purge_seqno > high)
		v->purge_seqno = high;
	engine_touch(b, vb);
}

void engine_branch(struct bucket *b, unsigned vb)
{
	struct vb *v = &b->vb[vb];
	/* An entry above the new branch's point describes what was lost. */
	unsigned keep = 0;
	while (keep < v->n_log && v->log[keep].seqno > v->n)
		keep++;
	memmove(v->log, v->log + keep, (v->n_log - keep) * sizeof(v->log[0]));
	v->n_log -= keep;
	if (v->n_log == FAKE_FAILOVER_MAX)
		v->n_log--;
	memmove(v->log + 1, v->log, v->n_log * sizeof(v->log[0]));
	v->log[0] = (struct fake_branch){ (engine_random(b->f) >> 16) | 1, v->n };
	v->n_log++;
}

/* Whatever copy a failover promotes, it has what replaced this version. */
static bool cannot_come_back(const struct bucket *b, const struct vb *v, const struct item *it)
{
	if (!it->next || it->kind == ITEM_SYSTEM || b->magma)
		return false;
	for (unsigned k = 0; k <= b->replicas; k++)
		if (v->copy[k].node >= 0 && v->copy[k].persisted < it->next)
			return false;
	return true;
}

void engine_init(struct bucket *b)
{
	b->vb = calloc(b->n_vbs, sizeof(*b->vb));
	b->dirty = calloc(b->n_vbs, sizeof(*b->dirty));
	for (unsigned i = 0; i < b->n_vbs; i++) {
		b->vb[i].state = FAKE_VB_ACTIVE;
		engine_branch(b, i);
	}
}

void engine_reset(struct bucket *b)
{
	for (unsigned i = 0; i < b->n_vbs; i++) {
		engine_truncate(b, i, 0);
		b->vb[i].n_log = 0;
		b->vb[i].max_deleted_rev = 0;
		b->vb[i].purge_seqno = 0;
		b->vb[i].next_expiry = 0;
		engine_branch(b, i);
	}
}

void engine_done(struct bucket *b)
{
	for (unsigned i = 0; i < b->n_vbs; i++) {
		engine_truncate(b, i, 0);
		free(b->vb[i].item);
		free(b->vb[i].slot);
	}
	free(b->vb);
	free(b->dirty);
}

/* ---- time ---- */

/* As a server does: the second of its expiry is the last one of a document, which so lives a second longer than it was
 * given at most, and never less. */
static bool is_due(const struct item *it, uint32_t now)
{
	return it->kind == ITEM_MUTATION && it->expiry && !it->next && !it->flushed &&
	       it->expiry < now;
}

/* The item may move. */
static void expire(struct bucket *b, unsigned vb, const struct item *it)
{
	char key[256];
	size_t len = it->key_len < sizeof(key) ? it->key_len : sizeof(key);
	memcpy(key, it->key, len);
	engine_append(b, vb, ITEM_EXPIRATION, it->cid, key, len, SLICE_NONE, 0, 0, 0);
}

static void expire_due(struct bucket *b, unsigned vb)
{
	struct vb *v = &b->vb[vb];
	uint32_t now = (uint32_t)time(NULL), next = 0;
	if (!v->next_expiry || v->next_expiry >= now)
		return;
	for (size_t i = 0; i < v->n; i++) {
		const struct item *it = &v->item[i];
		if (is_due(it, now))
			expire(b, vb, it);
		else if (it->kind == ITEM_MUTATION && it->expiry && !it->next &&
			 (!next || it->expiry < next))
			next = it->expiry;
	}
	v->next_expiry = next;
}

struct item *engine_live(struct bucket *b, unsigned vb, uint32_t cid, const void *key, size_t len)
{
	struct item *it = engine_find(b, vb, cid, key, len);
	if (!it || it->kind != ITEM_MUTATION || it->flushed)
		return NULL;
	if (it->expiry && it->expiry < (uint32_t)time(NULL)) {
		expire(b, vb, it);
		return NULL;
	}
	return it;
}

uint32_t engine_expiry(struct bucket *b, uint32_t cid, uint32_t expiry)
{
	enum { RELATIVE_MAX = 30 * 86400 };
	const struct collection *c = topology_collection(b, cid);
	uint32_t now = (uint32_t)time(NULL);
	uint32_t most = c && c->has_ttl ? c->max_ttl : b->max_ttl;
	if (expiry && expiry <= RELATIVE_MAX)
		expiry += now;
	if (most && (!expiry || expiry > now + most))
		expiry = now + most;
	return expiry;
}

void engine_compact(struct bucket *b, unsigned vb, uint64_t purge)
{
	struct vb *v = &b->vb[vb];
	expire_due(b, vb);
	if (purge > v->n)
		purge = v->n;
	if (purge > v->purge_seqno)
		v->purge_seqno = purge;
	for (size_t i = 0; i < v->n; i++) {
		struct item *it = &v->item[i];
		if (it->compacted || !cannot_come_back(b, v, it))
			continue;
		free(it->key);
		it->key = NULL;
		it->value = NULL;
		it->key_len = it->value_len = 0;
		it->compacted = true;
	}
}

void engine_touch(struct bucket *b, unsigned vb)
{
	if (b->vb[vb].dirty)
		return;
	b->vb[vb].dirty = true;
	b->dirty[b->n_dirty++] = (uint16_t)vb;
}

/* The copies catch up. True: they have everything, on disk. */
static bool catch_up(struct bucket *b, struct vb *v)
{
	const struct fake *f = b->f;
	uint64_t upto = f->o.persist_delay_ms ? v->copy[0].persisted : v->n;
	while (upto < v->n && v->item[upto].made_ms + f->o.persist_delay_ms <= f->now_ms)
		upto++;
	for (unsigned k = 0; k <= b->replicas; k++) {
		struct copy *c = &v->copy[k];
		c->have = v->n;
		if (upto > c->persisted)
			c->persisted = upto;
	}
	return upto == v->n;
}

static void bucket_tick(struct bucket *b, bool expire_now)
{
	for (unsigned i = 0; expire_now && i < b->n_vbs; i++)
		expire_due(b, i);
	if (b->hold)
		return;
	unsigned left = 0;
	for (unsigned i = 0; i < b->n_dirty; i++) {
		unsigned vb = b->dirty[i];
		if (catch_up(b, &b->vb[vb]))
			b->vb[vb].dirty = false;
		else
			b->dirty[left++] = (uint16_t)vb;
	}
	b->n_dirty = left;
}

void engine_tick(struct fake *f)
{
	bool expire_now = f->now_ms - f->expiry_checked >= f->o.expiry_pager_ms;
	if (expire_now)
		f->expiry_checked = f->now_ms;
	for (unsigned i = 0; i < f->n_buckets; i++)
		bucket_tick(f->bucket[i], expire_now);
}
