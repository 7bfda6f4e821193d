/* dcp_world.h: a source and the simulated cluster it reads, with a consumer that remembers what it has and an oracle that
 * compares it with the cluster's history. For the dcp_e2e_* tests. */
#ifndef TESTS_DCP_WORLD_H
#define TESTS_DCP_WORLD_H

#include "tests/test.h"

#include "dcp/source.h"
#include "os/env.h"
#include "tests/fake/couchbase/fake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEYS_MAX = 64, VBS_MAX = 128, SEQNOS_MAX = 4096 };

/* What a consumer has of one vBucket: applied at once, undone when told. */
struct seen {
	char kind[SEQNOS_MAX]; /* 'm', 'd', 'e'; 0 nothing */
	char key[SEQNOS_MAX][24];
	uint32_t hash[SEQNOS_MAX];
};

/* Of the run that goes on, for the message when it fails. */
static unsigned world_seed;

struct world {
	struct fake *fake;
	struct dcp_source *source;
	struct dcp_options o;
	char seed[64];
	const char *seeds[1];
	struct seen *seen; /* by vBucket */
	uint64_t events, rollbacks, ends, duplicates;
	bool ack, finite;
};

static uint32_t hash(struct slice s)
{
	uint32_t h = 2166136261u;
	for (size_t i = 0; i < s.len; i++)
		h = (h ^ s.p[i]) * 16777619u;
	return h ? h : 1;
}

static inline struct world *world_new(const struct fake_options *fo)
{
	struct world *w = calloc(1, sizeof(*w));
	w->fake = fake_start(fo);
	assert_non_null(w->fake);
	(void)snprintf(w->seed, sizeof(w->seed), "127.0.0.1:%u", fake_kv_port(w->fake, 0));
	w->seeds[0] = w->seed;
	w->seen = calloc(VBS_MAX, sizeof(*w->seen));
	w->ack = true;
	w->o = (struct dcp_options){ .seeds = w->seeds,
				     .n_seeds = 1,
				     .user = "Administrator",
				     .password = "password",
				     .bucket = "default",
				     .group = "test",
				     .backoff_min = 2 * NSEC_PER_MS,
				     .backoff_max = 50 * NSEC_PER_MS };
	return w;
}

static inline void world_open(struct world *w)
{
	struct err e = ERR_INIT;
	assert_ok(dcp_source_open(&w->o, &w->source, &e), &e);
	assert_ok(dcp_source_assign_share(w->source, 1, 1, &e), &e);
}

static inline void world_close(struct world *w)
{
	struct err e = ERR_INIT;
	assert_ok(dcp_source_close(w->source, &e), &e);
	w->source = NULL;
}

static inline void world_free(struct world *w)
{
	if (w->source)
		world_close(w);
	fake_stop(w->fake);
	free(w->seen);
	free(w);
}

static void apply(struct world *w, const struct dcp_event *ev)
{
	struct seen *s = &w->seen[ev->vb];
	uint64_t seqno = ev->pos.seqno;
	if (ev->kind == DCP_ROLLBACK) {
		w->rollbacks++;
		for (uint64_t i = ev->rollback_to + 1; i < SEQNOS_MAX; i++)
			s->kind[i] = 0;
		return;
	}
	if (ev->kind == DCP_END) {
		w->ends++;
		return;
	}
	assert_true(seqno < SEQNOS_MAX);
	w->duplicates += s->kind[seqno] != 0;
	if (s->kind[seqno] && s->hash[seqno] != hash(ev->value))
		fail_msg("vBucket %u seqno %u came with two contents", ev->vb, (unsigned)seqno);
	s->kind[seqno] = ev->kind == DCP_MUTATION ? 'm' : ev->kind == DCP_DELETION ? 'd' : 'e';
	s->hash[seqno] = hash(ev->value);
	(void)snprintf(s->key[seqno], sizeof(s->key[seqno]), SLICE_FMT, SLICE_ARG(ev->key));
	w->events++;
}

static inline bool pump_once(struct world *w, nsec wait)
{
	struct err e = ERR_INIT;
	struct dcp_batch b;
	int rc = dcp_source_poll(w->source, &b, wait, &e);
	if (rc < 0)
		fail_msg("poll: %s", e.msg);
	if (rc == 0)
		return false;
	for (size_t i = 0; i < b.n; i++)
		apply(w, &b.ev[i]);
	if (w->ack)
		(void)dcp_source_ack_batch(w->source, b.ev, b.n);
	return true;
}

static nsec now(void)
{
	return env_mono(env_posix());
}

/* The newest version of each key: at the cluster and here. */
struct newest {
	char kind;
	char key[24];
	uint32_t hash;
};
struct oracle {
	struct newest k[KEYS_MAX];
	unsigned n;
};

static struct newest *newest(struct oracle *o, const char *key)
{
	for (unsigned i = 0; i < o->n; i++)
		if (strcmp(o->k[i].key, key) == 0)
			return &o->k[i];
	assert_true(o->n < KEYS_MAX);
	(void)snprintf(o->k[o->n].key, sizeof(o->k[0].key), "%s", key);
	return &o->k[o->n++];
}

static void take_history(void *arg, uint64_t seqno, char kind, uint32_t cid, struct slice key,
			 struct slice value)
{
	char text[24];
	(void)seqno;
	(void)cid;
	if (kind == 's')
		return;
	(void)snprintf(text, sizeof(text), SLICE_FMT, SLICE_ARG(key));
	struct newest *n = newest(arg, text);
	n->kind = kind;
	n->hash = hash(kind == 'm' ? value : SLICE_NONE);
}

/* 0 equal; else a key that differs, for the message. */
static const char *differs(struct world *w, unsigned vb)
{
	static char what[160];
	static struct oracle want, got;
	want.n = got.n = 0;
	memset(&want, 0, sizeof(want));
	memset(&got, 0, sizeof(got));
	fake_history(w->fake, vb, take_history, &want);
	for (unsigned s = 0; s < SEQNOS_MAX; s++) {
		if (!w->seen[vb].kind[s])
			continue;
		struct newest *n = newest(&got, w->seen[vb].key[s]);
		n->kind = w->seen[vb].kind[s];
		n->hash = n->kind == 'm' ? w->seen[vb].hash[s] : hash(SLICE_NONE);
	}
	for (unsigned i = 0; i < want.n; i++) {
		struct newest *n = newest(&got, want.k[i].key);
		if (n->kind != want.k[i].kind || n->hash != want.k[i].hash) {
			(void)snprintf(what, sizeof(what),
				       "vBucket %u key %s: '%c' %08x there, '%c' %08x here", vb,
				       want.k[i].key, want.k[i].kind, want.k[i].hash,
				       n->kind ? n->kind : '-', n->hash);
			return what;
		}
	}
	return got.n == want.n ? NULL : "a key that the cluster does not have";
}

static const char *all_differ(struct world *w, unsigned vbs)
{
	for (unsigned vb = 0; vb < vbs; vb++) {
		const char *what = differs(w, vb);
		if (what)
			return what;
	}
	return NULL;
}

/* Polls until everything is here, or fails after `limit`. */
static inline void settle(struct world *w, unsigned vbs, nsec limit)
{
	nsec deadline = now() + limit;
	const char *what = NULL;
	while (now() < deadline) {
		bool some = pump_once(w, 20 * NSEC_PER_MS);
		if (!some && !(what = all_differ(w, vbs)))
			return;
	}
	fail_msg("seed %u, not settled: %s", world_seed, what ? what : "events keep coming");
}

static inline void write_some(struct world *w, unsigned vbs, unsigned n, unsigned *counter)
{
	for (unsigned i = 0; i < n; i++) {
		char key[24], value[64];
		unsigned vb = (unsigned)rand() % vbs;
		(void)snprintf(key, sizeof(key), "k%u", (unsigned)rand() % 12);
		(void)snprintf(value, sizeof(value), "{\"n\":%u}", ++*counter);
		if (rand() % 6 == 0)
			(void)fake_delete(w->fake, vb, 0, key);
		else
			(void)fake_set(w->fake, vb, 0, key, slice_str(value));
	}
}

static inline struct dcp_status status_of(struct world *w)
{
	struct dcp_status s;
	assert_int_equal(dcp_source_status(w->source, &s, NULL, NULL), 0);
	return s;
}

/* Found by way of the management service. */
static inline struct world *http_world(const struct fake_options *fo)
{
	struct world *w = world_new(fo);
	(void)snprintf(w->seed, sizeof(w->seed), "http://127.0.0.1:%u", fake_http_port(w->fake, 0));
	w->o.connect_timeout = 5 * NSEC_PER_SEC;
	return w;
}

#endif
