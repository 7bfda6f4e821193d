/* collections.c: scopes and collections come, change and go; each change is an event in every vBucket. */
#include "tests/fake/couchbase/internal.h"

#include <stdio.h>
#include <string.h>

static void system_event(struct bucket *b, uint8_t event, uint32_t sid,
			 const struct collection *coll, const char *name)
{
	for (unsigned v = 0; v < b->n_vbs; v++)
		(void)engine_system(b, v, event, sid, coll, name);
}

uint32_t collections_create_scope(struct bucket *b, const char *name)
{
	if (topology_scope(b, name) || b->n_scopes == ARRAY_LEN(b->scope))
		return 0;
	struct scope *s = &b->scope[b->n_scopes++];
	*s = (struct scope){ .id = b->next_sid++ };
	snprintf(s->name, sizeof(s->name), "%s", name);
	b->manifest_uid++;
	system_event(b, 3, s->id, NULL, s->name);
	return s->id;
}

uint32_t collections_create(struct bucket *b, const struct fake_collection *as)
{
	struct scope *s = topology_scope(b, as->scope);
	if (!s || topology_named(b, as->scope, as->name) || b->n_colls == ARRAY_LEN(b->coll))
		return 0;
	struct collection *c = &b->coll[b->n_colls++];
	*c = (struct collection){ .id = b->next_cid++,
				  .scope = s->id,
				  .has_ttl = as->has_ttl,
				  .max_ttl = as->max_ttl,
				  .history = as->history || (b->magma && !as->no_history) };
	snprintf(c->name, sizeof(c->name), "%s", as->name);
	b->manifest_uid++;
	system_event(b, 0, s->id, c, c->name);
	return c->id;
}

bool collections_modify(struct bucket *b, const struct fake_collection *as)
{
	struct collection *c = topology_named(b, as->scope, as->name);
	if (!c)
		return false;
	c->has_ttl = as->has_ttl;
	c->max_ttl = as->max_ttl;
	c->history = as->history;
	b->manifest_uid++;
	system_event(b, 5, c->scope, c, c->name);
	return true;
}

static void forget_items(struct bucket *b, uint32_t cid)
{
	for (unsigned v = 0; v < b->n_vbs; v++)
		engine_flush_collection(b, v, cid);
}

/* A flush is a second creation, of a collection that has nothing of before. */
bool collections_flush(struct bucket *b, const char *scope, const char *name)
{
	struct collection *c = topology_named(b, scope, name);
	if (!c)
		return false;
	c->flush_uid = ++b->manifest_uid;
	forget_items(b, c->id);
	system_event(b, 0, c->scope, c, c->name);
	return true;
}

static void drop(struct bucket *b, struct collection *c)
{
	c->dropped = true;
	forget_items(b, c->id);
	system_event(b, 1, c->scope, c, NULL);
}

bool collections_drop(struct bucket *b, const char *scope, const char *name)
{
	struct collection *c = topology_named(b, scope, name);
	if (!c)
		return false;
	b->manifest_uid++;
	drop(b, c);
	return true;
}

/* One manifest drops the collections and their scope; only the last event is stamped with it. */
bool collections_drop_scope(struct bucket *b, const char *name)
{
	struct scope *s = topology_scope(b, name);
	if (!s || s->id == 0)
		return false;
	for (unsigned i = 0; i < b->n_colls; i++)
		if (!b->coll[i].dropped && b->coll[i].scope == s->id)
			drop(b, &b->coll[i]);
	s->dropped = true;
	b->manifest_uid++;
	system_event(b, 4, s->id, NULL, NULL);
	return true;
}

void collections_announce(struct bucket *b)
{
	for (unsigned i = 1; i < b->n_scopes; i++)
		if (!b->scope[i].dropped)
			system_event(b, 3, b->scope[i].id, NULL, b->scope[i].name);
	for (unsigned i = 1; i < b->n_colls; i++)
		if (!b->coll[i].dropped)
			system_event(b, 0, b->coll[i].scope, &b->coll[i], b->coll[i].name);
}

void collections_repair(struct bucket *b, unsigned vb)
{
	for (unsigned i = 1; i < b->n_scopes; i++) {
		const struct scope *s = &b->scope[i];
		const struct item *last = engine_event_of(b, vb, true, s->id, 0);
		if (!s->dropped && !last)
			(void)engine_system(b, vb, 3, s->id, NULL, s->name);
	}
	for (unsigned i = 1; i < b->n_colls; i++) {
		const struct collection *c = &b->coll[i];
		const struct item *last = engine_event_of(b, vb, false, c->scope, c->id);
		bool there = last && last->system_event != 1;
		if (!c->dropped && !there) {
			(void)engine_system(b, vb, 0, c->scope, c, c->name);
		} else if (c->dropped && there) {
			engine_flush_collection(b, vb, c->id);
			(void)engine_system(b, vb, 1, c->scope, c, NULL);
		}
	}
	for (unsigned i = 1; i < b->n_scopes; i++) {
		const struct scope *s = &b->scope[i];
		const struct item *last = engine_event_of(b, vb, true, s->id, 0);
		if (s->dropped && last && last->system_event == 3)
			(void)engine_system(b, vb, 4, s->id, NULL, NULL);
	}
}
