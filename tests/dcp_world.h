/* dcp_world.h: a source and the simulated cluster it reads, with a consumer that remembers what it has and an oracle that
 * compares it with the cluster's history. For the dcp_e2e_* tests.
 *
 * The oracle, for each vBucket:
 *
 *	history   1a  2b  3a  4c  5b           seen   -   -  3a  4c  5b      right: 1 and 2 were left out of a snapshot
 *	                                                                     that also held a later version of their key
 *	                                       seen   -   2b 3a  -   5b      a gap: 4 has no later version
 *	                                       seen   ..  5b  6d             an orphan: there is no 6
 *
 * What is left out must have a later version no further than the end of a snapshot around it: the one in which the next
 * event came, or, when that is from an earlier time, one that began before. With mitigation nothing that was ever handed out may be missing from the history in the end.
 *
 * What the consumer has lies in shared memory, so that it survives a consumer that is killed (dcp_e2e_kill). */
#ifndef TESTS_DCP_WORLD_H
#define TESTS_DCP_WORLD_H

#include "tests/seeds.h"
#include "tests/test.h"

#include "dcp/source.h"
#include "os/env.h"
#include "tests/fake/couchbase/fake.h"

#include <snappy-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SEQNOS_MAX = 4096, CIDS_MAX = 32, VALUE_ROOM = 4096 };

struct seen_item {
	uint64_t key;                  /* hash of the collection and the key */
	uint32_t hash;                 /* of everything; 0: not there */
	uint32_t ever;                 /* the same; a rollback does not take it away */
	uint32_t snap_start, snap_end; /* the snapshot in which it came */
	bool acked;                    /* kept by those who acknowledge late */
};

/* What a consumer has of one vBucket: applied at once, undone when told. */
struct seen {
	uint64_t high, last; /* the highest and the latest seqno */
	uint64_t purged;     /* older tombstones may be gone */
	uint32_t backs;      /* how often the seqno went back */
	struct seen_item item[SEQNOS_MAX];
};

struct world {
	struct fake *fake;
	struct dcp_source *source;
	struct dcp_options o;
	char seed[64];
	const char *seeds[1];
	unsigned vbs;
	struct seen *seen; /* by vBucket */
	int seen_fd;
	_Atomic uint64_t *taken; /* behind them: events taken by consumers of other processes */
	uint64_t events, rollbacks, ends, duplicates;
	bool ack;
	bool complete;  /* every version is delivered */
	bool ephemeral; /* mitigation holds nothing back */
	bool encoded;   /* values may lie there compressed, or behind attributes */
	/* the collections of the filter; none: all */
	uint32_t cid[CIDS_MAX];
	unsigned n_cids;
	uint32_t dropped[CIDS_MAX]; /* whose documents may have gone before they came */
	unsigned n_dropped;
	unsigned differs_at; /* the vBucket that was wrong last, and is looked at first */
};

static uint32_t hash_more(uint32_t h, const void *p, size_t len)
{
	const uint8_t *b = p;
	for (size_t i = 0; i < len; i++)
		h = (h ^ b[i]) * 16777619u;
	return h;
}

static uint64_t key_hash(uint32_t cid, struct slice key)
{
	uint64_t h = 14695981039346656037u ^ cid;
	for (size_t i = 0; i < key.len; i++)
		h = (h ^ key.p[i]) * 1099511628211u;
	return h;
}

/* System events are about a collection, whatever its name. */
static uint64_t identity(char kind, uint32_t cid, struct slice key)
{
	return kind == 's' ? ~key_hash(cid, SLICE_NONE) : key_hash(cid, key);
}

static uint32_t content_hash(char kind, uint64_t key, struct slice xattrs, struct slice value)
{
	uint32_t h = 2166136261u;
	h = hash_more(h, &kind, 1);
	h = hash_more(h, &key, sizeof(key));
	h = hash_more(h, &xattrs.len, sizeof(xattrs.len));
	h = hash_more(h, xattrs.p, xattrs.len);
	h = hash_more(h, value.p, value.len);
	return h ? h : 1;
}

/* ---- opening and closing ---- */

static inline size_t seen_size(unsigned vbs)
{
	return vbs * sizeof(struct seen) + sizeof(_Atomic uint64_t);
}

static inline void map_seen(struct world *w, int fd)
{
	w->seen_fd = fd;
	w->seen = mmap(NULL, seen_size(w->vbs), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(w->seen != MAP_FAILED);
	w->taken = (_Atomic uint64_t *)(w->seen + w->vbs);
}

static inline void world_options(struct world *w)
{
	w->o = (struct dcp_options){ .seeds = w->seeds,
				     .n_seeds = 1,
				     .user = "Administrator",
				     .password = "password",
				     .bucket = "default",
				     .group = "test",
				     .connect_timeout = PATIENCE,
				     .backoff_min = 2 * NSEC_PER_MS,
				     .backoff_max = 50 * NSEC_PER_MS };
}

static inline struct world *world_new(const struct fake_options *fo)
{
	struct world *w = calloc(1, sizeof(*w));
	w->fake = fake_start(fo);
	assert_non_null(w->fake);
	(void)snprintf(w->seed, sizeof(w->seed), "127.0.0.1:%u", fake_kv_port(w->fake, 0));
	w->seeds[0] = w->seed;
	w->ephemeral = fo->ephemeral;
	w->vbs = fo->vbuckets ? fo->vbuckets : 64;
	int fd = memfd_create("seen", 0);
	assert_int_equal(ftruncate(fd, (off_t)seen_size(w->vbs)), 0);
	map_seen(w, fd);
	w->ack = true;
	world_options(w);
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
	munmap(w->seen, seen_size(w->vbs));
	close(w->seen_fd);
	free(w);
}

static inline void forget(struct world *w, unsigned vb)
{
	struct seen *s = &w->seen[vb];
	memset(s->item, 0, (s->high + 1) * sizeof(s->item[0]));
	s->high = s->last = 0;
}

/* ---- the consumer ---- */

static inline char kind_letter(enum dcp_event_kind k)
{
	static const char letter[] = { 'm', 'd', 'e', 's' };
	return letter[k];
}

static inline void apply_rollback(struct world *w, const struct dcp_event *ev)
{
	struct seen *s = &w->seen[ev->vb];
	w->rollbacks++;
	for (uint64_t i = ev->rollback_to + 1; i <= s->high; i++) {
		s->item[i].hash = 0;
		s->item[i].acked = false;
	}
	if (ev->rollback_to < s->high)
		s->high = ev->rollback_to;
	s->last = ev->pos.seqno;
}

static inline bool never_orphaned(const struct world *w)
{
	return w->o.mitigation.policy == MITIGATE_ALL && !w->ephemeral;
}

static inline void apply(struct world *w, const struct dcp_event *ev)
{
	if (ev->kind == DCP_ROLLBACK) {
		apply_rollback(w, ev);
		return;
	}
	if (ev->kind == DCP_END) {
		w->ends++;
		return;
	}
	struct seen *s = &w->seen[ev->vb];
	uint64_t seqno = ev->pos.seqno;
	assert_true(seqno > 0 && seqno < SEQNOS_MAX);
	if (ev->pos.snap_start > seqno || seqno > ev->pos.snap_end)
		fail_msg("vBucket %u: seqno %u is not in its snapshot", ev->vb, (unsigned)seqno);
	struct seen_item *i = &s->item[seqno];
	uint64_t key = identity(kind_letter(ev->kind), ev->collection, ev->key);
	uint32_t h = content_hash(kind_letter(ev->kind), key, ev->xattrs, ev->value);
	w->duplicates += i->hash != 0;
	if (i->hash && i->hash != h)
		fail_msg("seed %u, vBucket %u: seqno %u came with two contents", seeds_current(),
			 ev->vb, (unsigned)seqno);
	if (i->ever && i->ever != h && never_orphaned(w))
		fail_msg("seed %u, vBucket %u: seqno %u was an orphan", seeds_current(), ev->vb,
			 (unsigned)seqno);
	i->key = key;
	i->hash = i->ever = h;
	i->snap_start = (uint32_t)ev->pos.snap_start;
	i->snap_end = ev->out_of_order ? UINT32_MAX : (uint32_t)ev->pos.snap_end;
	if (!ev->out_of_order)
		s->backs += seqno <= s->last;
	s->last = seqno;
	s->high = MAX(s->high, seqno);
	w->events++;
}

static inline bool pump_once(struct world *w, nsec wait)
{
	struct err e = ERR_INIT;
	struct dcp_batch b;
	int rc = dcp_source_poll(w->source, &b, wait, &e);
	if (rc < 0)
		fail_msg("seed %u, poll: %s", seeds_current(), e.msg);
	if (rc == 0)
		return false;
	for (size_t i = 0; i < b.n; i++)
		apply(w, &b.ev[i]);
	if (w->ack)
		(void)dcp_source_ack_batch(w->source, b.ev, b.n);
	return true;
}

static inline nsec now(void)
{
	return env_mono(env_posix());
}

/* The next n events, in as many batches as they come, not acknowledged. Keys and values are gone with the next poll. */
static inline void take_some(struct world *w, struct dcp_event *ev, size_t n)
{
	struct err e = ERR_INIT;
	struct dcp_batch b;
	for (size_t got = 0; got < n; got += b.n) {
		assert_int_equal(dcp_source_poll(w->source, &b, PATIENCE, &e), 1);
		assert_true(b.n <= n - got);
		memcpy(ev + got, b.ev, b.n * sizeof(*ev));
	}
}

/* ---- the oracle ---- */

struct truth {
	uint64_t key, next; /* next version of the key; 0 none */
	uint32_t hash;
	char kind;
	bool wanted, dropped;
};
struct history {
	struct world *w;
	struct truth t[SEQNOS_MAX];
	uint64_t n;
};

/* Encoded values are JSON, attributes (which begin with a length) or compressed (and longer than 127 bytes). */
static inline uint32_t stored_hash(struct world *w, char kind, uint64_t key, struct slice value)
{
	static char room[VALUE_ROOM];
	struct slice xattrs = SLICE_NONE;
	size_t len = sizeof(room);
	if (!w->encoded)
		return content_hash(kind, key, SLICE_NONE, value);
	if (value.len && value.p[0] & 0x80) {
		assert_int_equal(snappy_uncompress((const char *)value.p, value.len, room, &len),
				 SNAPPY_OK);
		value = slice_of(room, len);
	}
	if (value.len > 4 && value.p[0] == 0) {
		xattrs = slice_of(value.p + 4, get_be32(value.p));
		value = slice_of(xattrs.p + xattrs.len, value.len - 4 - xattrs.len);
	}
	return content_hash(kind, key, w->o.xattrs ? xattrs : SLICE_NONE, value);
}

static inline bool in_filter(const struct world *w, char kind, uint32_t cid)
{
	if (kind == 's')
		return w->o.system_events && w->n_cids == 0;
	for (unsigned i = 0; i < w->n_cids; i++)
		if (w->cid[i] == cid)
			return true;
	return w->n_cids == 0;
}

static inline void take_history(void *arg, uint64_t seqno, char kind, uint32_t cid,
				struct slice key, struct slice value)
{
	struct history *h = arg;
	assert_true(seqno < SEQNOS_MAX && seqno == h->n + 1);
	struct truth *t = &h->t[h->n = seqno];
	*t = (struct truth){ .kind = kind, .wanted = in_filter(h->w, kind, cid) };
	for (unsigned i = 0; i < h->w->n_dropped; i++)
		t->dropped |= kind != 's' && h->w->dropped[i] == cid;
	t->key = identity(kind, cid, key);
	t->hash = stored_hash(h->w, kind, t->key, kind == 'm' ? value : SLICE_NONE);
	for (uint64_t s = seqno - 1; s > 0 && !(kind == 's' && cid == 0); s--)
		if (h->t[s].key == t->key) {
			h->t[s].next = seqno;
			break;
		}
}

/* The snapshot that began before what is looked at and leads furthest, of the events above. */
struct cover {
	uint64_t start, end;
};

static inline void widen(struct cover *c, uint64_t seqno, const struct seen_item *i)
{
	if (i->snap_start < seqno && (i->snap_end >= c->end || c->start >= seqno))
		*c = (struct cover){ i->snap_start, i->snap_end };
}

/* Whether the server was right not to send it; next_end: of the next event's snapshot. */
static inline bool left_out(const struct world *w, const struct seen *s, uint64_t seqno,
			    const struct truth *t, const struct cover *c, uint64_t next_end)
{
	if (seqno <= s->purged && (t->kind == 'd' || t->kind == 'e'))
		return true;
	if (t->dropped)
		return true;
	if (!t->next || w->complete)
		return false;
	return t->next <= next_end || (c->start < seqno && t->next <= c->end);
}

/* NULL equal; else what differs, for the message. */
static inline const char *differs(struct world *w, unsigned vb)
{
	static char what[160];
	static struct history h;
	const struct seen *s = &w->seen[vb];
	h.w = w;
	h.n = 0;
	fake_history(w->fake, vb, take_history, &h);
	const char *wrong = s->high > h.n ? "is an orphan" : NULL;
	uint64_t at = s->high, next_end = 0;
	struct cover cover = { 0 };
	for (uint64_t i = h.n; i > 0 && !wrong; i--) {
		const struct truth *t = &h.t[i];
		const struct seen_item *have = &s->item[i];
		if (have->hash && (have->hash != t->hash || !t->wanted))
			wrong = "is of another history";
		else if (!have->hash && t->wanted && !left_out(w, s, i, t, &cover, next_end))
			wrong = "is missing";
		if (have->hash) {
			next_end = have->snap_end;
			widen(&cover, i, have);
		}
		if (never_orphaned(w) && have->ever && have->ever != t->hash)
			wrong = "was an orphan";
		at = i;
	}
	if (!wrong)
		return NULL;
	(void)snprintf(what, sizeof(what), "vBucket %u: seqno %u of %u %s", vb, (unsigned)at,
		       (unsigned)h.n, wrong);
	return what;
}

static inline const char *all_differ(struct world *w, unsigned vbs)
{
	const char *what = w->differs_at < vbs ? differs(w, w->differs_at) : NULL;
	for (unsigned vb = 0; vb < vbs && !what; vb++) {
		w->differs_at = vb;
		what = differs(w, vb);
	}
	return what;
}

/* Polls until everything is here, or fails after `limit`. */
static inline void settle(struct world *w, unsigned vbs, nsec limit)
{
	nsec deadline = now() + limit;
	const char *what = NULL;
	while (now() < deadline) {
		if (pump_once(w, 2 * NSEC_PER_MS))
			continue;
		if (!(what = all_differ(w, vbs)) && !pump_once(w, 4 * NSEC_PER_MS))
			return;
	}
	fail_msg("seed %u, not settled: %s", seeds_current(), what ? what : "events keep coming");
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

static inline struct dcp_status world_status(struct world *w)
{
	struct dcp_status s;
	assert_int_equal(dcp_source_status(w->source, &s, NULL, NULL), 0);
	return s;
}

/* Found by way of the management service. */
static inline struct world *world_http(const struct fake_options *fo)
{
	struct world *w = world_new(fo);
	(void)snprintf(w->seed, sizeof(w->seed), "http://127.0.0.1:%u", fake_http_port(w->fake, 0));
	w->o.connect_timeout = 5 * NSEC_PER_SEC;
	return w;
}

#endif
