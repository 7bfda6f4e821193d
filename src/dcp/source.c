#include "dcp/source_internal.h"

#include "base/mem.h"

#include <stdio.h>

#define NOOP_DEFAULT       (5 * NSEC_PER_SEC)
#define CONNECT_DEFAULT    (10 * NSEC_PER_SEC)
#define SAVE_RETRY         (1 * NSEC_PER_SEC)
#define CHECKPOINT_DEFAULT (60 * NSEC_PER_SEC)

static const struct slice metadata_keys[] = { { (const uint8_t *)"_connector:cbgo:", 16 },
					      { (const uint8_t *)"_txn:", 5 } };

/* ---- opening ---- */

static bool one_of(const char *text, const char *a, const char *b, const char *c)
{
	return !text || strcmp(text, a) == 0 || strcmp(text, b) == 0 || strcmp(text, c) == 0;
}

static int check_options(const struct dcp_options *o, struct err *e)
{
	if (o->n_seeds == 0)
		return err_set(e, ERR_INVALID, "no host to connect to");
	if (!o->bucket || !*o->bucket)
		return err_set(e, ERR_INVALID, "no bucket");
	if (!o->group || !*o->group)
		return err_set(e, ERR_INVALID, "no group name");
	if (o->scope && *o->scope == '\0')
		return err_set(e, ERR_INVALID, "an empty scope name");
	if (!one_of(o->priority, "low", "medium", "high"))
		return err_set(e, ERR_INVALID, "'%s' is no priority: low, medium or high",
			       o->priority);
	if (!one_of(o->backfill_order, "round-robin", "sequential", "sequential"))
		return err_set(e, ERR_INVALID,
			       "'%s' is no order of backfills: round-robin or sequential",
			       o->backfill_order);
	return 0;
}

static bool seeds_want_tls(const struct dcp_options *o)
{
	for (size_t i = 0; i < o->n_seeds; i++)
		if (seed_wants_tls(o->seeds[i]))
			return true;
	return false;
}

static uint32_t open_flags(const struct dcp_options *o)
{
	uint32_t flags = o->xattrs ? DCP_OPEN_XATTRS : 0u;
	if (o->no_value_datatype) /* the two exclude each other */
		flags |= DCP_OPEN_NO_VALUE_DATATYPE;
	else if (o->no_value)
		flags |= DCP_OPEN_NO_VALUE;
	return flags;
}

/* Of a document of that moment: CAS are nanoseconds since 1970. One of a time to come is as good as any: what a program
 * is to begin with at midnight may be said before. Beyond 2554 there are none. */
static uint64_t first_cas(int64_t ms)
{
	uint64_t cas;
	if (ms <= 0)
		return 0;
	return __builtin_mul_overflow((uint64_t)ms, (uint64_t)NSEC_PER_MS, &cas) ? UINT64_MAX : cas;
}

static void fill_defaults(struct dcp_source *s)
{
	struct dcp_options *o = &s->o;
	if (!o->env)
		o->env = env_posix();
	s->env = o->env;
	if (!o->user)
		o->user = "";
	if (!o->password)
		o->password = "";
	if (!o->noop)
		o->noop = NOOP_DEFAULT;
	if (!o->connect_timeout)
		o->connect_timeout = CONNECT_DEFAULT;
	if (!o->window_bytes)
		o->window_bytes = DCP_WINDOW_DEFAULT;
	if (!o->checkpoint_interval)
		o->checkpoint_interval = CHECKPOINT_DEFAULT;
	s->scram.mechanism = SASL_NONE;
	s->conn_options = (struct conn_options){
		.env = s->env,
		.user = o->user,
		.password = o->password,
		.bucket = o->bucket,
		.tls = s->tls,
		.allow_plain = o->allow_plain,
		.cache = &s->scram,
		.agent = "weir",
		.connect_timeout = o->connect_timeout,
		.noop = o->noop,
		.push_maps = true,
		.known = &s->map_version,
		.open_flags = open_flags(o),
		.window_bytes = o->window_bytes,
		.priority = o->priority,
		.backfill_order = o->backfill_order,
		.change_streams = o->change_streams,
		.out_of_order = o->out_of_order,
		.stream_ids = o->stream_id != 0,
		.skip_deletes = o->skip_deletes,
		.cursor_dropping = o->cursor_dropping,
		.force_compression = o->force_compression,
	};
	s->vb_config = (struct vbucket_config){
		.stream_flags = STREAM_ACTIVE_ONLY | (o->ignore_purged ? STREAM_IGNORE_PURGED : 0u),
		.stream_id = o->stream_id,
		.system_events = o->system_events,
		.rollback_unacked = o->rollback_unacked,
		.ask_purge_first = o->out_of_order,
		.skip_until_cas = first_cas(o->skip_until_ms),
		.skip_prefix = o->deliver_metadata ? NULL : metadata_keys,
		.n_skip_prefix = o->deliver_metadata ? 0 : ARRAY_LEN(metadata_keys),
		.backoff_min = o->backoff_min,
		.backoff_max = o->backoff_max,
	};
}

static void *save_run(void *arg);

static int wait_ready(struct dcp_source *s, struct err *e)
{
	nsec deadline = env_mono(s->env) + s->o.connect_timeout;
	int rc = 0, woken = 1;
	mutex_lock(&s->lock);
	while (!s->ready && !s->failed && woken)
		woken = cond_wait_until(&s->changed, &s->lock, deadline);
	if (s->failed) {
		rc = s->error.code;
		if (e)
			*e = s->error;
	} else if (!s->ready) {
		if (s->last_error.code)
			rc = err_set(e, ERR_TIMEOUT, "no cluster answered in time: %s",
				     s->last_error.msg);
		else
			rc = err_set(e, ERR_TIMEOUT,
				     "no cluster answered in time: nothing came from %s%s; is a "
				     "data service there?",
				     s->o.seeds[0], s->o.n_seeds > 1 ? " and the others" : "");
	}
	mutex_unlock(&s->lock);
	return rc;
}

void source_free(struct dcp_source *s)
{
	if (s->loop) {
		loop_stop(s->loop);
		source_wake(s);
		thread_join(&s->io);
	}
	mutex_lock(&s->lock);
	s->saver_stop = true;
	cond_broadcast(&s->changed);
	mutex_unlock(&s->lock);
	thread_join(&s->saver);
	if (s->loop)
		source_io_done(s);
	source_blocks_free(s);
	manifest_done(&s->manifest);
	buf_done(&s->stream_json);
	mem_free(s->seed);
	tls_free(s->tls);
	scram_cache_wipe(&s->scram);
	if (s->fd >= 0)
		notify_close(s->fd);
	mutex_done(&s->lock);
	mutex_done(&s->hand);
	mutex_done(&s->api);
	mutex_done(&s->assigning);
	cond_done(&s->changed);
	cond_done(&s->arrived);
	cond_done(&s->drive.given_back);
	mem_free(s);
}

int dcp_source_open(const struct dcp_options *o, struct dcp_source **out, struct err *e)
{
	int rc = check_options(o, e);
	if (rc < 0)
		return rc;
	struct dcp_source *s = mem_try(sizeof(*s));
	if (!s)
		return err_nomem(e);
	s->o = *o;
	s->fd = -1;
	s->hand_out_until = INT64_MAX;
	mutex_init(&s->lock);
	mutex_init(&s->hand);
	mutex_init(&s->api);
	mutex_init(&s->assigning);
	cond_init(&s->changed);
	cond_init(&s->arrived);
	cond_init(&s->drive.given_back);
	rc = source_blocks_init(s, e);
	if (rc == 0 && (o->tls || seeds_want_tls(o)))
		rc = tls_new(o->tls ? o->tls : &(struct tls_options){ 0 }, &s->tls, e);
	fill_defaults(s);
	if (rc == 0)
		rc = source_read_seeds(s, e);
	if (rc == 0)
		rc = notify_open(&s->fd, e);
	if (rc == 0)
		rc = source_io_init(s, e);
	if (rc == 0)
		rc = thread_start(&s->io, "weir-dcp", source_io_run, s, e);
	if (rc == 0 && o->store)
		rc = thread_start(&s->saver, "weir-dcp-save", save_run, s, e);
	if (rc == 0)
		rc = wait_ready(s, e);
	if (rc < 0) {
		source_free(s);
		return rc;
	}
	*out = s;
	return 0;
}

uint32_t dcp_source_vbuckets(struct dcp_source *s)
{
	return s->n_slots; /* does not change once ready */
}

const char *dcp_source_bucket_uuid(struct dcp_source *s)
{
	mutex_lock(&s->lock);
	const char *uuid = s->map->uuid;
	mutex_unlock(&s->lock);
	return uuid;
}

/* ---- saving ---- */

struct gathered {
	struct checkpoint *cp;
	uint64_t *version;
	size_t n;
	bool rollbacks;
};

void source_branch_settled(struct dcp_source *s, struct slot *slot)
{
	if (!slot->branch_unsaved)
		return;
	slot->branch_unsaved = false;
	source_hold_back(s, -1);
}

/* What must be saved even when only a commit saves what was acknowledged. */
static bool must_be_saved(const struct slot *slot)
{
	return slot->branch_unsaved || slot->retreat ||
	       slot->w.rollbacks_acked > slot->rollbacks_released;
}

/* It has moved over a few seqnos that nobody sees, no more. That can wait: where checkpoints lie in the bucket that is
 * watched each save makes such a seqno, and would be the cause of the next one for ever. */
static bool is_quiet(struct slot *slot)
{
	enum { SEQNOS = 100, ROUNDS = 60 };
	const struct ack_window *w = &slot->w;
	if (w->heard > slot->saved_version || w->mark.seqno < slot->saved_seqno ||
	    w->mark.seqno - slot->saved_seqno > SEQNOS)
		return false;
	return ++slot->quiet_rounds < ROUNDS;
}

/* What has moved since it was saved. Under lock; the arrays hold n_slots. */
static void gather(struct dcp_source *s, struct gathered *g, enum save_what what)
{
	g->n = 0;
	for (uint32_t i = 0; i < s->n_slots; i++) {
		struct slot *slot = &s->slot[i];
		if (!slot->owned)
			continue;
		bool must = must_be_saved(slot);
		if (what == SAVE_MUST && !must)
			continue;
		g->rollbacks |= slot->retreat || slot->w.rollbacks_acked > slot->rollbacks_released;
		if (slot->w.version == slot->saved_version)
			continue;
		if (what == SAVE_DUE && !must && is_quiet(slot))
			continue;
		struct checkpoint *c = &g->cp[g->n];
		*c = (struct checkpoint){ .vb = (uint16_t)i,
					  .found = true,
					  .pos = slot->w.mark,
					  .points = slot->w.points };
		/* what is read after a rollback says nothing of what the consumer had before, until it has undone that */
		if (slot->rollbacks_queued == 0 && !ack_rollback_open(&slot->w))
			c->purge = slot->purge;
		(void)snprintf(c->bucket_uuid, sizeof(c->bucket_uuid), "%s", s->map->uuid);
		g->version[g->n++] = slot->w.version;
	}
}

/* Another member has the vBucket: what we acknowledge of it does not count any more. False: it is none of these, so that
 * saving the same again would be refused for ever. */
static bool fence(struct dcp_source *s, struct gathered *g, uint64_t vb)
{
	size_t at = 0;
	while (at < g->n && g->cp[at].vb != vb)
		at++;
	if (at == g->n)
		return false;
	g->n--;
	memmove(g->cp + at, g->cp + at + 1, (g->n - at) * sizeof(*g->cp));
	memmove(g->version + at, g->version + at + 1, (g->n - at) * sizeof(*g->version));
	mutex_lock(&s->lock);
	struct slot *slot = &s->slot[vb];
	slot->owned = false;
	source_branch_settled(s, slot);
	slot->fenced = s->fences = true;
	slot->held = false;
	ack_done(&slot->w);
	mutex_unlock(&s->lock);
	source_wake(s);
	return true;
}

static void note_saved(struct dcp_source *s, const struct gathered *g, int rc, nsec took,
		       const struct err *e)
{
	mutex_lock(&s->lock);
	for (size_t i = 0; rc == 0 && i < g->n; i++) {
		struct slot *slot = &s->slot[g->cp[i].vb];
		slot->saved_version = g->version[i];
		slot->saved_seqno = g->cp[i].pos.seqno;
		slot->saved_purge = g->cp[i].purge;
		slot->quiet_rounds = 0;
		if (g->cp[i].pos.uuid && g->version[i] >= slot->unsaved_version)
			source_branch_settled(s, slot);
	}
	s->saves += rc == 0 && g->n;
	s->saved_vbuckets += rc == 0 ? g->n : 0;
	s->save_failures += rc < 0;
	if (rc == 0 && g->n) {
		s->last_save_vbuckets = (uint32_t)g->n;
		s->last_save_took = took;
	}
	if (rc < 0)
		s->last_error = *e;
	bool release = rc == 0 && g->rollbacks;
	s->release_rollbacks |= release;
	mutex_unlock(&s->lock);
	if (release)
		source_wake(s);
}

/* One round; with api held, which guards the store. ERR_FENCED: all others are saved. */
int source_save(struct dcp_source *s, enum save_what what, struct err *caller)
{
	struct err e = ERR_INIT, fenced = ERR_INIT;
	struct gathered g = { .cp = mem_try_array(s->n_slots + 1, sizeof(*g.cp)),
			      .version = mem_try_array(s->n_slots + 1, sizeof(*g.version)) };
	int rc = g.cp && g.version ? 0 : err_nomem(&e);
	nsec started = env_mono(s->env);
	if (rc == 0) {
		mutex_lock(&s->lock);
		gather(s, &g, what);
		mutex_unlock(&s->lock);
		while ((rc = checkpoint_save(s->o.store, g.cp, g.n, &e)) == ERR_FENCED &&
		       fence(s, &g, e.newest)) {
			fenced = e;
			err_clear(&e);
		}
	}
	note_saved(s, &g, rc, env_mono(s->env) - started, &e);
	mem_free(g.cp);
	mem_free(g.version);
	if (rc == 0 && fenced.code) {
		rc = fenced.code;
		e = fenced;
	}
	if (rc < 0 && caller)
		*caller = e;
	return rc;
}

static void *save_run(void *arg)
{
	struct dcp_source *s = arg;
	nsec next = env_mono(s->env) + s->o.checkpoint_interval;
	mutex_lock(&s->lock);
	while (!s->saver_stop) {
		bool timed = !s->o.manual_commit || source_holds_back(s);
		if (!s->save_now && !(timed && env_mono(s->env) >= next)) {
			(void)cond_wait_until(&s->changed, &s->lock, timed ? next : -1);
			continue;
		}
		bool ready = s->ready;
		s->save_now = false;
		mutex_unlock(&s->lock);
		struct err e = ERR_INIT;
		if (ready) {
			mutex_lock(&s->api);
			(void)source_save(s, s->o.manual_commit ? SAVE_MUST : SAVE_DUE, &e);
			mutex_unlock(&s->api);
		}
		mutex_lock(&s->lock);
		nsec wait = s->o.checkpoint_interval;
		if (source_holds_back(s)) /* somebody waits for it */
			wait = MIN(wait, SAVE_RETRY);
		next = env_mono(s->env) + wait;
	}
	mutex_unlock(&s->lock);
	return NULL;
}

int dcp_source_commit(struct dcp_source *s, struct err *e)
{
	if (!s->o.store)
		return err_set(e, ERR_UNSUPPORTED, "there is no checkpoint store");
	mutex_lock(&s->api);
	int rc = source_save(s, SAVE_ALL, e);
	mutex_unlock(&s->api);
	return rc;
}

/* Under api. */
static int clear(struct dcp_source *s, const uint16_t *vb, size_t n, struct err *e)
{
	for (size_t i = 0; i < n; i++) {
		if (vb[i] >= s->n_slots)
			return err_set(e, ERR_INVALID, "there is no vBucket %u", vb[i]);
		mutex_lock(&s->lock);
		bool owned = s->slot[vb[i]].owned;
		mutex_unlock(&s->lock);
		if (owned)
			return err_set(e, ERR_INVALID, "vBucket %u is assigned", vb[i]);
	}
	return checkpoint_clear(s->o.store, vb, n, e);
}

int dcp_source_clear(struct dcp_source *s, const uint16_t *vb, size_t n, struct err *e)
{
	if (!s->o.store)
		return err_set(e, ERR_UNSUPPORTED, "there is no checkpoint store");
	mutex_lock(&s->api);
	int rc = clear(s, vb, n, e);
	mutex_unlock(&s->api);
	return rc;
}
