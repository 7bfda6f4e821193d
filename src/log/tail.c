/* tail.c: how far a partition's data go, told to and asked by many; sleeping until they go further.
 *
 * The writer publishes into the partition's slot (page.h). A reader process must decide whether to believe the slot:
 *
 *	session live, believed before ─────────────────────────▶ the slot
 *	session live, changed since the topic was opened ───────▶ a writer was here while we watched: believe
 *	session live, a writer holds the lock ──────────────────▶ believe
 *	otherwise: nobody writes ──────────────────────────────▶ scan once, remember
 *
 * Descriptors (log_reader_fd): one thread for the whole log, started at the first one, sleeps on the log's own word
 * and signals every idle reader whose partition has gone on.
 */
#include "log/reader.h"

#include "base/mem.h"

#define POLL_NS \
	(50 * NSEC_PER_MS) /* only where there is no shared page: a log on read-only media */

/* ---- the writer's side ---- */

void partition_wake(struct partition *p)
{
	struct log *l = p->topic->log;
	page_wake_waiting(l->env, &p->slot->waiting, &p->slot->word);
	page_wake_waiting(l->env, &l->page->waiting, &l->page->word);
}

void partition_publish(struct partition *p)
{
	/* The offset first: who sees the position sees at least the offset that belongs to it. */
	atomic_store_explicit(&p->slot->written_next, p->next, memory_order_release);
	atomic_store(&p->slot->written_position, partition_position(p));
	partition_wake(p);
}

/* ---- the reader's side ---- */

static void load_slot(struct page_slot *s, bool durable, struct tail *out)
{
	if (durable) {
		out->position = atomic_load(&s->durable_position);
		out->next = atomic_load(&s->durable_next);
	} else {
		out->position = atomic_load(&s->written_position);
		out->next = atomic_load(&s->written_next);
	}
}

static int rescan(struct partition *p, uint64_t session, struct err *e)
{
	struct recovered r;
	int rc = recover_scan(&p->place, &r, e);
	if (rc)
		return rc;
	struct known *k = &p->known;
	*k = (struct known){
		.valid = true,
		.session = session,
		.when = env_mono(p->place.env),
		.oldest = r.oldest,
	};
	k->written.next = r.next;
	k->durable.next = r.durable_next;
	if (r.n && !r.headless) {
		uint64_t end = r.end_byte;
		if (r.damaged && r.damage_base == r.header.base_offset && r.damage_to == r.next)
			end = MAX(r.file_bytes, end) + 8; /* let readers run into it */
		k->written.position = r.header.base_position + end;
		k->durable.position =
			r.durable_next == r.next ? k->written.position : r.durable_position;
	}
	recovered_done(&r);
	return 0;
}

static bool believe(struct partition *p, uint64_t session)
{
	struct log *l = p->topic->log;
	if (!page_session_live(session))
		return false;
	if (session == atomic_load(&p->trusted))
		return true;
	if (session != p->first_session)
		return true;
	return l->lock_file && file_locked_by_other(l->lock_file, NULL) == 1;
}

static int tail_slow(struct partition *p, bool durable, struct tail *out, uint64_t *oldest,
		     struct err *e)
{
	mutex_lock(&p->lock);
	uint64_t session = p->slot ? atomic_load(&p->slot->session) : 0;
	int rc = 0;
	if (believe(p, session)) {
		atomic_store(&p->trusted, session);
		p->known.valid = false; /* once this writer is gone */
		load_slot(p->slot, durable, out);
		*oldest = atomic_load(&p->slot->oldest);
		mutex_unlock(&p->lock);
		return 0;
	}
	struct known *k = &p->known;
	bool stale = !k->valid || k->session != session ||
		     (!p->slot && env_mono(p->place.env) - k->when >= POLL_NS);
	if (stale)
		rc = rescan(p, session, e);
	if (rc == 0) {
		*out = durable ? k->durable : k->written;
		*oldest = k->oldest;
	}
	mutex_unlock(&p->lock);
	return rc;
}

int partition_tail(struct partition *p, bool durable, struct tail *out, uint64_t *oldest,
		   struct err *e)
{
	struct log *l = p->topic->log;
	if (!l->options.read_only) {
		load_slot(p->slot, durable, out);
		*oldest = atomic_load(&p->slot->oldest);
		return 0;
	}
	uint64_t trusted = atomic_load(&p->trusted);
	if (trusted && atomic_load(&p->slot->session) == trusted) {
		load_slot(p->slot, durable, out);
		*oldest = atomic_load(&p->slot->oldest);
		if (atomic_load(&p->slot->session) == trusted)
			return 0;
	}
	return tail_slow(p, durable, out, oldest, e);
}

struct log_range log_topic_range(struct log_topic *t, uint32_t partition, bool durable_only)
{
	struct log_range range = { 0 };
	struct tail tail;
	if (partition < t->meta.partitions &&
	    partition_tail(&t->parts[partition], durable_only, &tail, &range.oldest, NULL) == 0)
		range.next = MAX(tail.next, range.oldest);
	return range;
}

/* ---- waiting ---- */

static _Atomic uint32_t *wait_word(struct log_reader *r, _Atomic uint32_t *own)
{
	return r->p->slot ? &r->p->slot->word : own;
}

int log_reader_wait(struct log_reader *r, nsec deadline, struct err *e)
{
	struct env *env = r->p->place.env;
	_Atomic uint32_t own = 0;
	_Atomic uint32_t *word = wait_word(r, &own);
	if (reader_ready(r) && !atomic_load(&r->interrupted))
		return 1; /* without making the next append wake anybody */
	for (bool slept = false;; slept = true) {
		uint32_t w = atomic_load(word);
		if (r->p->slot)
			atomic_store(&r->p->slot->waiting, 1);
		if (atomic_exchange(&r->interrupted, false))
			return err_set(e, ERR_INTERRUPTED, "the wait was interrupted");
		if (reader_ready(r))
			return 1;
		if (!slept)
			window_shrink(&r->w);
		nsec now = deadline < 0 && r->p->slot ? 0 : env_mono(env);
		if (deadline >= 0 && now >= deadline)
			return 0;
		nsec until = deadline;
		if (!r->p->slot && (deadline < 0 || deadline - now > POLL_NS))
			until = now + POLL_NS;
		(void)env_wait(env, (const uint32_t *)(const void *)word, w, until);
	}
}

/* ---- descriptors ---- */

void log_reader_interrupt(struct log_reader *r)
{
	struct log *l = r->p->topic->log;
	atomic_store(&r->interrupted, true);
	if (r->p->slot)
		page_wake(l->env, &r->p->slot->word);
	mutex_lock(&l->watch.lock);
	if (r->fd >= 0)
		notify_set(r->fd);
	mutex_unlock(&l->watch.lock);
}

static void *watch_run(void *arg)
{
	struct log *l = arg;
	struct tail_watch *w = &l->watch;
	_Atomic uint32_t own = 0;
	_Atomic uint32_t *word = l->page ? &l->page->word : &own;
	while (!atomic_load(&w->stop)) {
		uint32_t seen = atomic_load(word);
		mutex_lock(&w->lock);
		/* Without an idle reader appends need not wake this thread; reader_idle() asks again. */
		bool any = false;
		for (struct log_reader *r = w->first; r; r = r->next)
			any |= !r->signalled;
		if (any && l->page)
			atomic_store(&l->page->waiting, 1);
		for (struct log_reader *r = w->first; r; r = r->next) {
			if (!r->signalled && reader_ready(r)) {
				r->signalled = true;
				notify_set(r->fd);
			}
		}
		mutex_unlock(&w->lock);
		if (atomic_load(&w->stop))
			break;
		nsec until = l->page ? -1 : env_mono(l->env) + POLL_NS;
		(void)env_wait(l->env, (const uint32_t *)(const void *)word, seen, until);
	}
	return NULL;
}

/* The thread looks at idle readers only: an idle reader's place does not move until reader_busy(). */
void reader_idle(struct log_reader *r)
{
	struct log *l = r->p->topic->log;
	mutex_lock(&l->watch.lock);
	notify_clear(r->fd);
	r->signalled = false;
	r->idle = true;
	/* From here on the thread answers for it; what came before it could see is looked for here. */
	if (l->page)
		atomic_store(&l->page->waiting, 1);
	if (reader_ready(r)) {
		r->signalled = true;
		notify_set(r->fd);
	}
	mutex_unlock(&l->watch.lock);
}

void reader_busy(struct log_reader *r)
{
	struct log *l = r->p->topic->log;
	mutex_lock(&l->watch.lock);
	r->idle = false;
	if (!r->signalled) {
		r->signalled = true;
		notify_set(r->fd);
	}
	mutex_unlock(&l->watch.lock);
}

int log_reader_fd(struct log_reader *r, int *fd, struct err *e)
{
	struct log *l = r->p->topic->log;
	struct tail_watch *w = &l->watch;
	int rc = 0;
	mutex_lock(&w->lock);
	if (r->fd < 0) {
		if (!w->started) {
			rc = thread_start(&w->thread, "weir-watch", watch_run, l, e);
			w->started = rc == 0;
		}
		if (rc == 0)
			rc = notify_open(&r->fd, e);
		if (rc == 0) {
			r->signalled = true;
			notify_set(r->fd);
			r->prev = NULL;
			r->next = w->first;
			if (w->first)
				w->first->prev = r;
			w->first = r;
		} else {
			r->fd = -1;
		}
	}
	if (rc == 0)
		*fd = r->fd;
	mutex_unlock(&w->lock);
	return rc;
}

void reader_unwatch(struct log_reader *r)
{
	struct tail_watch *w = &r->p->topic->log->watch;
	mutex_lock(&w->lock);
	if (r->fd >= 0) {
		if (r->prev)
			r->prev->next = r->next;
		else
			w->first = r->next;
		if (r->next)
			r->next->prev = r->prev;
		notify_close(r->fd);
		r->fd = -1;
	}
	mutex_unlock(&w->lock);
}

void watch_init(struct tail_watch *w)
{
	mutex_init(&w->lock);
}

void watch_stop(struct log *l)
{
	struct tail_watch *w = &l->watch;
	atomic_store(&w->stop, true);
	if (w->started) {
		if (l->page)
			page_wake(l->env, &l->page->word);
		thread_join(&w->thread);
	}
	mutex_done(&w->lock);
}
