#include "dcp/source_internal.h"

#include "base/mem.h"

#include <stdio.h>

#define NOOP_DEFAULT       (5 * NSEC_PER_SEC)
#define CONNECT_DEFAULT    (10 * NSEC_PER_SEC)
#define CHECKPOINT_DEFAULT (60 * NSEC_PER_SEC)

static const struct slice metadata_keys[] = { { (const uint8_t *)"_connector:cbgo:", 16 },
					      { (const uint8_t *)"_txn:", 5 } };

static void hook(struct dcp_source *s, enum dcp_hook h)
{
	if (s->o.hook)
		s->o.hook(s->o.hook_arg, h);
}

/* ---- opening ---- */

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
	return 0;
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
		.open_flags =
			(o->xattrs ? DCP_OPEN_XATTRS : 0u) | (o->no_value ? DCP_OPEN_NO_VALUE : 0u),
		.window_bytes = o->window_bytes,
		.priority = o->priority,
		.change_streams = o->change_streams,
		.out_of_order = o->out_of_order,
	};
	s->vb_config = (struct vbucket_config){
		.stream_flags = STREAM_ACTIVE_ONLY | (o->ignore_purged ? STREAM_IGNORE_PURGED : 0u),
		.system_events = o->system_events,
		.rollback_unacked = o->rollback_unacked,
		.skip_until_cas =
			o->skip_until_ms > 0 ? (uint64_t)o->skip_until_ms * NSEC_PER_MS : 0,
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
			rc = err_set(e, ERR_TIMEOUT, "no cluster answered in time");
	}
	mutex_unlock(&s->lock);
	return rc;
}

static void free_source(struct dcp_source *s)
{
	if (s->loop) {
		loop_stop(s->loop);
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
	ack_rings_done(&s->rings);
	slab_pool_done(&s->slabs);
	buf_done(&s->inflated);
	mem_free(s->batch);
	manifest_done(&s->manifest);
	buf_done(&s->stream_json);
	tls_free(s->tls);
	scram_cache_wipe(&s->scram);
	if (s->fd >= 0)
		notify_close(s->fd);
	mutex_done(&s->lock);
	mutex_done(&s->hand);
	mutex_done(&s->api);
	cond_done(&s->changed);
	cond_done(&s->arrived);
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
	mutex_init(&s->lock);
	mutex_init(&s->hand);
	mutex_init(&s->api);
	cond_init(&s->changed);
	cond_init(&s->arrived);
	slab_pool_init(&s->slabs, READ_SLAB, SLABS_KEEP);
	s->batch = mem_try_array(BLOCK_EVENTS, sizeof(*s->batch));
	if (!s->batch)
		rc = err_nomem(e);
	if (rc == 0 && o->tls)
		rc = tls_new(o->tls, &s->tls, e);
	fill_defaults(s);
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
		free_source(s);
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

/* What has moved since it was saved. Under lock; the arrays hold n_slots. */
static void gather(struct dcp_source *s, struct gathered *g)
{
	g->n = 0;
	for (uint32_t i = 0; i < s->n_slots; i++) {
		struct slot *slot = &s->slot[i];
		if (!slot->owned || slot->w.version == slot->saved_version)
			continue;
		struct checkpoint *c = &g->cp[g->n];
		*c = (struct checkpoint){ .vb = (uint16_t)i,
					  .found = true,
					  .pos = slot->w.mark,
					  .points = slot->w.points };
		(void)snprintf(c->bucket_uuid, sizeof(c->bucket_uuid), "%s", s->map->uuid);
		g->version[g->n++] = slot->w.version;
		g->rollbacks |= slot->w.rollbacks_acked > slot->rollbacks_released;
	}
}

/* Another member has the vBucket: what we acknowledge of it does not count any more. */
static void fence(struct dcp_source *s, struct gathered *g, uint64_t vb)
{
	size_t at = 0;
	while (at < g->n && g->cp[at].vb != vb)
		at++;
	if (at < g->n) {
		g->n--;
		memmove(g->cp + at, g->cp + at + 1, (g->n - at) * sizeof(*g->cp));
		memmove(g->version + at, g->version + at + 1, (g->n - at) * sizeof(*g->version));
	}
	mutex_lock(&s->lock);
	struct slot *slot = &s->slot[vb];
	slot->owned = false;
	slot->fenced = s->fences = true;
	ack_done(&slot->w);
	mutex_unlock(&s->lock);
	loop_wake(s->loop);
}

static void note_saved(struct dcp_source *s, const struct gathered *g, int rc, const struct err *e)
{
	mutex_lock(&s->lock);
	for (size_t i = 0; rc == 0 && i < g->n; i++)
		s->slot[g->cp[i].vb].saved_version = g->version[i];
	s->saves += rc == 0 && g->n;
	s->saved_vbuckets += rc == 0 ? g->n : 0;
	s->save_failures += rc < 0;
	if (rc < 0)
		s->last_error = *e;
	bool release = rc == 0 && g->rollbacks;
	s->release_rollbacks |= release;
	mutex_unlock(&s->lock);
	if (release)
		loop_wake(s->loop);
}

/* One round; with api held, which guards the store. ERR_FENCED: all others are saved. */
static int save_dirty(struct dcp_source *s, struct err *caller)
{
	struct err e = ERR_INIT, fenced = ERR_INIT;
	struct gathered g = { .cp = mem_try_array(s->n_slots + 1, sizeof(*g.cp)),
			      .version = mem_try_array(s->n_slots + 1, sizeof(*g.version)) };
	int rc = g.cp && g.version ? 0 : err_nomem(&e);
	if (rc == 0) {
		mutex_lock(&s->lock);
		gather(s, &g);
		mutex_unlock(&s->lock);
		while ((rc = checkpoint_save(s->o.store, g.cp, g.n, &e)) == ERR_FENCED && g.n &&
		       e.newest < s->n_slots) {
			fenced = e;
			fence(s, &g, e.newest);
			err_clear(&e);
		}
	}
	note_saved(s, &g, rc, &e);
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
		bool due = !s->o.manual_commit && env_mono(s->env) >= next;
		if (!s->save_now && !due) {
			(void)cond_wait_until(&s->changed, &s->lock,
					      s->o.manual_commit ? -1 : next);
			continue;
		}
		bool ready = s->ready;
		s->save_now = false;
		mutex_unlock(&s->lock);
		struct err e = ERR_INIT;
		if (ready) {
			mutex_lock(&s->api);
			(void)save_dirty(s, &e);
			mutex_unlock(&s->api);
		}
		next = env_mono(s->env) + s->o.checkpoint_interval;
		mutex_lock(&s->lock);
	}
	mutex_unlock(&s->lock);
	return NULL;
}

int dcp_source_commit(struct dcp_source *s, struct err *e)
{
	if (!s->o.store)
		return err_set(e, ERR_UNSUPPORTED, "there is no checkpoint store");
	mutex_lock(&s->api);
	int rc = save_dirty(s, e);
	mutex_unlock(&s->api);
	return rc;
}

/* ---- assigning ---- */

static int load_checkpoints(struct dcp_source *s, struct checkpoint *cp, size_t n, struct err *e)
{
	if (!s->o.store)
		return 0;
	return checkpoint_load(s->o.store, cp, n, e);
}

static void carry_out(struct dcp_source *s, const uint16_t *vb, const struct checkpoint *cp,
		      size_t n)
{
	mutex_lock(&s->lock);
	s->command_vb = vb;
	s->command_cp = cp;
	s->command_n = n;
	s->command_done = false;
	s->command = true;
	mutex_unlock(&s->lock);
	loop_wake(s->loop);
	mutex_lock(&s->lock);
	while (!s->command_done)
		cond_wait(&s->changed, &s->lock);
	mutex_unlock(&s->lock);
}

/* What left takes no acknowledgements any more; its last ones are saved. */
static int let_go(struct dcp_source *s, const uint16_t *vb, size_t n, struct err *e)
{
	int rc = s->o.store ? save_dirty(s, e) : 0;
	bool *kept = mem_try_array(s->n_slots + 1, sizeof(*kept));
	if (!kept)
		return err_nomem(e);
	for (size_t i = 0; i < n; i++)
		kept[vb[i]] = true;
	mutex_lock(&s->lock);
	for (uint32_t i = 0; i < s->n_slots; i++) {
		struct slot *slot = &s->slot[i];
		if (!slot->owned || kept[i])
			continue;
		slot->owned = false;
		ack_done(&slot->w);
	}
	mutex_unlock(&s->lock);
	mem_free(kept);
	return rc;
}

static int assign(struct dcp_source *s, const uint16_t *vb, size_t n, struct err *e)
{
	struct checkpoint *cp = mem_try_array(n + 1, sizeof(*cp));
	if (!cp)
		return err_nomem(e);
	for (size_t i = 0; i < n; i++)
		cp[i].vb = vb[i];
	int rc = load_checkpoints(s, cp, n, e);
	if (rc == 0) {
		hook(s, DCP_BEFORE_STREAM_START);
		carry_out(s, vb, cp, n);
		rc = let_go(s, vb, n, e);
		hook(s, DCP_AFTER_STREAM_START);
	}
	mem_free(cp);
	return rc;
}

int dcp_source_assign(struct dcp_source *s, const uint16_t *vb, size_t n, struct err *e)
{
	for (size_t i = 0; i < n; i++)
		if (vb[i] >= s->n_slots)
			return err_set(e, ERR_INVALID, "there is no vBucket %u, only 0 to %u",
				       vb[i], s->n_slots - 1);
	hook(s, DCP_BEFORE_REBALANCE_START);
	mutex_lock(&s->api);
	hook(s, DCP_AFTER_REBALANCE_START);
	int rc = assign(s, vb, n, e);
	hook(s, DCP_BEFORE_REBALANCE_END);
	mutex_unlock(&s->api);
	hook(s, DCP_AFTER_REBALANCE_END);
	return rc;
}

int dcp_source_assign_share(struct dcp_source *s, uint32_t member, uint32_t total, struct err *e)
{
	uint32_t first, count;
	if (member < 1 || member > total)
		return err_set(e, ERR_INVALID, "member %u of %u", member, total);
	cluster_share(s->n_slots, member, total, &first, &count);
	uint16_t *vb = mem_try_array(count + 1, sizeof(*vb));
	if (!vb)
		return err_nomem(e);
	for (uint32_t i = 0; i < count; i++)
		vb[i] = (uint16_t)(first + i);
	int rc = dcp_source_assign(s, vb, count, e);
	mem_free(vb);
	return rc;
}

int dcp_source_close(struct dcp_source *s, struct err *e)
{
	if (!s)
		return 0;
	hook(s, DCP_BEFORE_STREAM_STOP);
	mutex_lock(&s->api);
	carry_out(s, NULL, NULL, 0);
	int rc = let_go(s, NULL, 0, e);
	mutex_unlock(&s->api);
	hook(s, DCP_AFTER_STREAM_STOP);
	free_source(s);
	return rc;
}

/* ---- looking ---- */

bool dcp_source_collection(struct dcp_source *s, uint32_t id, const char **scope, const char **name)
{
	mutex_lock(&s->lock);
	const struct collection *c = manifest_by_id(&s->manifest, id);
	if (c) { /* the names stay where they are; the entry may move */
		*scope = c->scope;
		*name = c->name;
	}
	mutex_unlock(&s->lock);
	return c != NULL;
}

int dcp_source_status(struct dcp_source *s, struct dcp_status *out,
		      void (*each)(void *arg, const struct dcp_vbucket_status *v), void *arg)
{
	struct source_report r = { .vb = mem_try_array(s->n_slots + 1, sizeof(*r.vb)) };
	if (!r.vb)
		return ERR_NOMEM;
	mutex_lock(&s->lock);
	while (s->report)
		cond_wait(&s->changed, &s->lock);
	s->report = &r;
	mutex_unlock(&s->lock);
	loop_wake(s->loop);
	mutex_lock(&s->lock);
	while (!r.done)
		cond_wait(&s->changed, &s->lock);
	mutex_unlock(&s->lock);
	if (out)
		*out = r.status;
	for (uint32_t i = 0; each && i < r.status.n_assigned; i++)
		each(arg, &r.vb[i]);
	mem_free(r.vb);
	return 0;
}
