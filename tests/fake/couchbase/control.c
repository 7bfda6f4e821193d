/* control.c: the functions that tests script data, users and collections with (place.c has where things are, faults.c
 * what goes wrong). Each takes the lock; the loop sees the change at its next turn, at once when it is woken. */
#include "tests/fake/couchbase/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void lock(struct fake *f)
{
	pthread_mutex_lock(&f->lock);
}

void unlock(struct fake *f)
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

/* ---- buckets and users ---- */

bool fake_create_bucket(struct fake *f, const struct fake_bucket *o)
{
	lock(f);
	struct bucket *b = bucket_create(f, o);
	if (b && !f->script)
		f->script = b;
	unlock(f);
	return b != NULL;
}

bool fake_delete_bucket(struct fake *f, const char *name)
{
	lock(f);
	struct bucket *b = bucket_named(f, slice_str(name));
	if (b)
		bucket_delete(b);
	unlock(f);
	return b != NULL;
}

bool fake_use_bucket(struct fake *f, const char *name)
{
	lock(f);
	struct bucket *b = bucket_named(f, slice_str(name));
	if (b)
		f->script = b;
	unlock(f);
	return b != NULL;
}

bool fake_set_user(struct fake *f, const char *name, const char *password, const char *roles)
{
	lock(f);
	bool ok = user_set(f, name, password, roles);
	unlock(f);
	return ok;
}

bool fake_remove_user(struct fake *f, const char *name)
{
	lock(f);
	bool ok = user_remove(f, name);
	unlock(f);
	return ok;
}

/* ---- data ---- */

uint64_t fake_set(struct fake *f, unsigned vb, uint32_t cid, const char *key, struct slice value)
{
	uint8_t datatype = value.len && (value.p[0] == '{' || value.p[0] == '[');
	return fake_put(f, vb, cid, key, value, datatype);
}

uint64_t fake_put(struct fake *f, unsigned vb, uint32_t cid, const char *key, struct slice value,
		  uint8_t datatype)
{
	lock(f);
	uint64_t seqno = engine_append(f->script, vb, ITEM_MUTATION, cid, key, strlen(key), value,
				       datatype, 0x02000000, engine_expiry(f->script, cid, 0))
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
	uint64_t seqno = engine_append(f->script, vb, ITEM_DELETION, cid, key, strlen(key),
				       SLICE_NONE, 0, 0, 0)
				 ->seqno;
	unlock(f);
	return seqno;
}

uint64_t fake_expire(struct fake *f, unsigned vb, uint32_t cid, const char *key)
{
	lock(f);
	uint64_t seqno = engine_append(f->script, vb, ITEM_EXPIRATION, cid, key, strlen(key),
				       SLICE_NONE, 0, 0, 0)
				 ->seqno;
	unlock(f);
	return seqno;
}

unsigned fake_vb_of_key(struct fake *f, const char *key, size_t len)
{
	lock(f);
	unsigned vb = engine_vb_of(f->script->n_vbs, key, len);
	unlock(f);
	return vb;
}

uint64_t fake_high_seqno(struct fake *f, unsigned vb)
{
	lock(f);
	uint64_t high = f->script->vb[vb].n;
	unlock(f);
	return high;
}

void fake_history(struct fake *f, unsigned vb,
		  void (*each)(void *arg, uint64_t seqno, char kind, uint32_t cid, struct slice key,
			       struct slice value),
		  void *arg)
{
	lock(f);
	for (size_t i = 0; i < f->script->vb[vb].n; i++) {
		const struct item *it = &f->script->vb[vb].item[i];
		if (it->compacted)
			continue;
		each(arg, it->seqno, (char)it->kind, it->cid, slice_of(it->key, it->key_len),
		     slice_of(it->value, it->value_len));
	}
	unlock(f);
}

unsigned fake_failover_log(struct fake *f, unsigned vb, struct fake_branch out[FAKE_FAILOVER_MAX])
{
	lock(f);
	unsigned n = f->script->vb[vb].n_log;
	memcpy(out, f->script->vb[vb].log, n * sizeof(*out));
	unlock(f);
	return n;
}

/* ---- collections ---- */

uint32_t fake_create_scope(struct fake *f, const char *name)
{
	lock(f);
	uint32_t id = collections_create_scope(f->script, name);
	unlock(f);
	return id;
}

uint32_t fake_create_collection(struct fake *f, const char *scope, const char *name)
{
	return fake_create_collection_as(f,
					 &(struct fake_collection){ .scope = scope, .name = name });
}

uint32_t fake_create_collection_as(struct fake *f, const struct fake_collection *c)
{
	lock(f);
	uint32_t id = collections_create(f->script, c);
	unlock(f);
	return id;
}

bool fake_modify_collection(struct fake *f, const struct fake_collection *c)
{
	lock(f);
	bool ok = collections_modify(f->script, c);
	unlock(f);
	return ok;
}

bool fake_flush_collection(struct fake *f, const char *scope, const char *name)
{
	lock(f);
	bool ok = collections_flush(f->script, scope, name);
	unlock(f);
	return ok;
}

bool fake_drop_collection(struct fake *f, const char *scope, const char *name)
{
	lock(f);
	bool ok = collections_drop(f->script, scope, name);
	unlock(f);
	return ok;
}

bool fake_drop_scope(struct fake *f, const char *name)
{
	lock(f);
	bool ok = collections_drop_scope(f->script, name);
	unlock(f);
	return ok;
}

void fake_number_collections(struct fake *f, uint64_t manifest_uid, uint32_t next_scope,
			     uint32_t next_collection)
{
	lock(f);
	f->script->manifest_uid = manifest_uid;
	f->script->next_sid = next_scope;
	f->script->next_cid = next_collection;
	unlock(f);
}
