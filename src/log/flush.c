/* flush.c: group commit, the background flush, and what happens after a failure.
 *
 * Durable appends of many threads share one sync. There is no commit thread: the first to wait leads a round for
 * everybody, the others sleep until it ends and one of those it did not cover leads the next.
 *
 *	append A ──┐                        ┌── A, B, C return
 *	append B ──┼─▶ A leads: sync ───────┤
 *	append C ──┘                        └── D leads the next round
 *	append D ─────────(came too late)
 *
 * Left to itself that settles into two halves taking turns: those a round has just released append while the other
 * half's round runs. So a leader waits a moment (a fraction of what a sync takes) for as many appends as the last
 * round released.
 *
 * A sync that fails proves nothing about any byte not yet synced, and one that succeeds afterwards proves nothing
 * either, as the kernel may have dropped the pages: the log is poisoned until it is reopened.
 */
#include "log/partition.h"

#define GATHER_MAX_NS (2 * NSEC_PER_MS)

/* ---- poison ---- */

void log_poison(struct log *l, const struct err *cause)
{
	mutex_lock(&l->poison_lock);
	if (!atomic_load(&l->poisoned))
		l->poison = *cause;
	mutex_unlock(&l->poison_lock);
	atomic_store(&l->poisoned, true);
}

int log_poisoned_error(struct log *l, struct err *e)
{
	mutex_lock(&l->poison_lock);
	int rc =
		err_set(e, ERR_POISONED,
			"the log refuses writes since a write failed (%.300s); close and reopen it",
			l->poison.msg);
	mutex_unlock(&l->poison_lock);
	return rc;
}

/* ---- a round ---- */

static struct segment_info *first_unsynced(struct partition *p)
{
	size_t i = p->n_segs;
	while (i > 0 && (i == p->n_segs || p->segs[i - 1].unsynced))
		i--;
	while (i < p->n_segs && !p->segs[i].unsynced)
		i++;
	return i < p->n_segs ? &p->segs[i] : NULL;
}

static void sealed_is_synced(struct partition *p, uint64_t base)
{
	for (size_t i = p->n_segs; i-- > 0;) {
		if (p->segs[i].base == base) {
			file_close(p->segs[i].unsynced);
			p->segs[i].unsynced = NULL;
			return;
		}
	}
}

/* Syncs everything that was written when it began. Lock held at entry and return, not during syncs; p->flushing keeps
 * others from closing files meanwhile. */
static int sync_all(struct partition *p, struct err *e)
{
	for (;;) {
		struct segment_info *s = first_unsynced(p);
		int rc;
		if (s) {
			struct file *f = s->unsynced;
			uint64_t base = s->base;
			mutex_unlock(&p->lock);
			rc = file_sync(f, e);
			mutex_lock(&p->lock);
			if (rc == 0)
				sealed_is_synced(p, base);
		} else if (p->dir_dirty) {
			p->dir_dirty = false;
			mutex_unlock(&p->lock);
			rc = env_sync_dir(p->place.env, p->place.dir, e);
			mutex_lock(&p->lock);
		} else {
			struct file *f = p->a.file;
			p->a.flushed = p->a.used;
			mutex_unlock(&p->lock);
			rc = f ? file_sync(f, e) : 0;
			mutex_lock(&p->lock);
			return rc;
		}
		if (rc)
			return rc;
	}
}

/* Waits a moment for the appends that the last round released to come back. */
static void gather(struct partition *p)
{
	if (p->last_group < 2 || p->waiting >= p->last_group)
		return;
	struct env *env = p->place.env;
	nsec until = env_mono(env) + MIN(p->flush_ema / 2, GATHER_MAX_NS);
	p->gather_at = p->last_group;
	while (p->waiting < p->gather_at && !atomic_load(&p->topic->log->poisoned)) {
		if (cond_wait_until(&p->gathered, &p->lock, until) == 0)
			break;
	}
	p->gather_at = 0;
}

static void made_durable(struct partition *p, const struct tail *target)
{
	p->flushes++;
	p->durable = *target;
	atomic_store(&p->slot->durable_next, target->next);
	atomic_store(&p->slot->durable_position, target->position);
	partition_wake(p);
}

/* Leads a round. Lock held at entry and return. */
static int flush_round(struct partition *p, struct err *e)
{
	struct log *l = p->topic->log;
	ASSERT(!p->flushing);
	p->flushing = true;
	gather(p);
	struct tail target = { partition_position(p), p->next };
	unsigned group = p->waiting;
	p->waiting = 0;
	nsec before = env_mono(l->env);
	struct err cause = ERR_INIT;
	int rc = atomic_load(&l->poisoned) ? ERR_POISONED : sync_all(p, &cause);
	p->flushing = false;
	if (rc == ERR_POISONED) {
		rc = log_poisoned_error(l, e);
	} else if (rc) {
		atomic_store(&p->slot->poisoned, 1);
		log_poison(l, &cause);
		rc = err_set(e, rc, "%s", cause.msg);
	} else {
		nsec took = env_mono(l->env) - before;
		p->flush_ema = p->flush_ema ? (p->flush_ema * 7 + took) / 8 : took;
		p->last_group = group;
		made_durable(p, &target);
	}
	atomic_fetch_add(&p->round, 1);
	return rc;
}

/* Those who wait sleep on the round's number, not under the lock: when it ends, they find out that they are done
 * without queueing for it. */
int partition_wait_durable(struct partition *p, uint64_t position, struct err *e)
{
	struct env *env = p->place.env;
	for (bool counted = false; atomic_load(&p->slot->durable_position) < position;
	     counted = true) {
		mutex_lock(&p->lock);
		if (p->durable.position >= position) {
			mutex_unlock(&p->lock);
			return 0;
		}
		p->waiting += !counted;
		if (!p->flushing) {
			int rc = flush_round(p, e);
			mutex_unlock(&p->lock);
			env_wake(env, (uint32_t *)(void *)&p->round);
			if (rc)
				return rc;
			continue;
		}
		uint32_t round = atomic_load(&p->round);
		if (p->gather_at && p->waiting >= p->gather_at)
			cond_signal(&p->gathered);
		mutex_unlock(&p->lock);
		(void)env_wait(env, (const uint32_t *)(const void *)&p->round, round, -1);
	}
	return 0;
}

/* ---- the background ---- */

static void flush_one(struct partition *p)
{
	mutex_lock(&p->lock);
	p->queued = false;
	uint64_t end = partition_position(p);
	mutex_unlock(&p->lock);
	(void)partition_wait_durable(p, end, NULL);
}

static struct partition *take_dirty(struct flusher *f)
{
	struct partition *p = f->first_dirty;
	if (p)
		f->first_dirty = p->next_dirty;
	return p;
}

static void *flusher_run(void *arg)
{
	struct log *l = arg;
	struct flusher *f = &l->flusher;
	mutex_lock(&f->lock);
	while (!f->stop) {
		if (!f->first_dirty) {
			cond_wait(&f->more, &f->lock);
			continue;
		}
		nsec until = env_mono(l->env) + l->options.flush_interval_ms * NSEC_PER_MS;
		while (!f->stop && env_mono(l->env) < until)
			(void)cond_wait_until(&f->more, &f->lock, until);
		struct partition *p;
		while (!f->stop && (p = take_dirty(f))) {
			mutex_unlock(&f->lock);
			flush_one(p);
			mutex_lock(&f->lock);
		}
	}
	mutex_unlock(&f->lock);
	return NULL;
}

void flusher_init(struct flusher *f)
{
	mutex_init(&f->lock);
	cond_init(&f->more);
}

/* The thread exists from the first unflushed append on. Should it not start, flushing is left to durable appends,
 * log_flush and log_close, which is what the acknowledgement promised. */
void flusher_note(struct partition *p)
{
	struct log *l = p->topic->log;
	if (l->options.flush_interval_ms == UINT32_MAX || p->queued)
		return;
	struct flusher *f = &l->flusher;
	mutex_lock(&f->lock);
	p->queued = true;
	p->next_dirty = f->first_dirty;
	f->first_dirty = p;
	if (!f->started && !f->stop)
		f->started = thread_start(&f->thread, "weir-flush", flusher_run, l, NULL) == 0;
	cond_signal(&f->more);
	mutex_unlock(&f->lock);
}

void flusher_stop(struct log *l)
{
	struct flusher *f = &l->flusher;
	mutex_lock(&f->lock);
	f->stop = true;
	cond_signal(&f->more);
	mutex_unlock(&f->lock);
	if (f->started)
		thread_join(&f->thread);
	cond_done(&f->more);
	mutex_done(&f->lock);
}
