/* buckets.c: buckets come and go, each with its own vBuckets, map, collections and uuid. */
#include "tests/fake/couchbase/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bucket *bucket_named(struct fake *f, struct slice name)
{
	for (unsigned i = 0; i < f->n_buckets; i++)
		if (!f->bucket[i]->gone && slice_is(name, f->bucket[i]->name))
			return f->bucket[i];
	return NULL;
}

static void new_uuid(struct bucket *b)
{
	snprintf(b->uuid, sizeof(b->uuid), "%016llx%016llx",
		 (unsigned long long)engine_random(b->f), (unsigned long long)engine_random(b->f));
}

struct bucket *bucket_create(struct fake *f, const struct fake_bucket *o)
{
	unsigned n = o->nodes ? o->nodes : f->o.nodes;
	if (bucket_named(f, slice_str(o->name)) || f->n_buckets == BUCKETS_MAX || n > f->o.nodes)
		return NULL;
	struct bucket *b = calloc(1, sizeof(*b));
	b->f = f;
	snprintf(b->name, sizeof(b->name), "%s", o->name);
	b->ephemeral = o->ephemeral;
	b->magma = o->magma;
	b->flush_enabled = o->flush_enabled;
	b->max_ttl = o->max_ttl;
	b->n_vbs = o->vbuckets ? o->vbuckets : f->o.vbuckets;
	b->nodes = (1u << n) - 1;
	b->replicas = o->replicas < n ? o->replicas : n - 1;
	if (b->replicas >= FAKE_COPIES_MAX)
		b->replicas = FAKE_COPIES_MAX - 1;
	engine_init(b);
	topology_init(b);
	new_uuid(b);
	f->bucket[f->n_buckets++] = b;
	return b;
}

/* Whoever has it selected, or reads its map, is cut off. */
static void cut_off(struct bucket *b)
{
	struct fake *f = b->f;
	for (unsigned i = 0; i < f->o.nodes; i++)
		for (struct conn *c = f->node[i].conns; c; c = c->next)
			if (c->b == b)
				c->dead = true;
}

void bucket_delete(struct bucket *b)
{
	struct fake *f = b->f;
	cut_off(b);
	b->gone = true;
	if (f->script == b)
		f->script = NULL;
	f->rev++;
	for (unsigned i = 0; i < f->n_buckets && !f->script; i++)
		if (!f->bucket[i]->gone)
			f->script = f->bucket[i];
}

void buckets_reap(struct fake *f)
{
	unsigned left = 0;
	for (unsigned i = 0; i < f->n_buckets; i++) {
		struct bucket *b = f->bucket[i];
		if (b->gone) {
			engine_done(b);
			free(b);
		} else {
			f->bucket[left++] = b;
		}
	}
	f->n_buckets = left;
}

void bucket_recreate(struct bucket *b)
{
	cut_off(b);
	engine_reset(b);
	topology_init(b);
	new_uuid(b);
	topology_changed(b);
}

void bucket_flush(struct bucket *b)
{
	dcp_end_streams(b, -1, 2);
	engine_reset(b);
	collections_announce(b);
	topology_changed(b);
}
