/* retain.c: what is given up again: trimming, retention by size and age, and the figures.
 *
 * Whole segments go, from the oldest on, never the one that is written. The order makes every crash harmless:
 *
 *	oldest offset published (readers of this and other processes turn to ERR_HISTORY_LOST)
 *	indexes unlinked, to have space for the mark on a full disk
 *	low-water mark written and synced
 *	files unlinked, the directory synced
 *
 * After a crash in between, the mark says which leftovers to unlink.
 *
 * Age. A segment is too old when its newest record is. Time for that is the wall clock at open plus what the
 * monotonic clock has run since, and at most the wall clock: a jump forward deletes nothing early, a jump back holds
 * deletion up. A segment with records stamped by the log itself must also be that old by the monotonic clock when it
 * was sealed since the log was opened, so that stamps taken while the clock stood wrong do no harm.
 */
#include "log/partition.h"

#include "base/mem.h"

/* ---- what to give up ---- */

static uint64_t segment_bytes(struct partition *p, size_t i)
{
	struct segment_info *s = &p->segs[i];
	if (i + 1 == p->n_segs)
		return p->a.used;
	if (!s->bytes) {
		char path[PATH_BYTES];
		struct file_stat st;
		if (segment_path(&p->place, s->base, "seg", path, NULL) == 0 &&
		    env_stat(p->place.env, path, &st, NULL) == 0)
			s->bytes = st.size_bytes;
	}
	return s->bytes;
}

static int64_t trusted_now_ms(struct log *l)
{
	int64_t ran = l->opened_wall_ms + (env_mono(l->env) - l->opened_mono) / NSEC_PER_MS;
	return MIN(ran, env_wall_ms(l->env));
}

static bool too_old(struct partition *p, struct segment_info *s, int64_t max_age_ms)
{
	struct log *l = p->topic->log;
	if (!s->max_time_known) {
		if (segment_max_time(&p->place, s->base, &s->max_time_ms, NULL))
			return false;
		s->max_time_known = true;
	}
	if (s->max_time_ms > trusted_now_ms(l) - max_age_ms)
		return false;
	return !s->stamped || env_mono(l->env) - s->sealed_mono > max_age_ms * NSEC_PER_MS;
}

/* The offset below which retention wants everything gone. Lock held. */
static uint64_t retention_limit(struct partition *p, const struct log_retention *r)
{
	size_t gone = 0;
	if (r->max_bytes) {
		uint64_t total = 0;
		size_t i = p->n_segs;
		while (i > 0 && total + segment_bytes(p, i - 1) <= r->max_bytes)
			total += segment_bytes(p, --i);
		gone = i;
	}
	if (r->max_age_ms)
		while (gone + 1 < p->n_segs && too_old(p, &p->segs[gone], r->max_age_ms))
			gone++;
	if (p->n_segs == 0 || gone == 0)
		return p->oldest;
	return p->segs[MIN(gone, p->n_segs - 1)].base;
}

/* ---- giving it up ---- */

/* First, for the mark needs some space, which a full disk has only then; a segment reads as well without. */
static void unlink_indexes(struct partition *p, const struct segment_info *segs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char path[PATH_BYTES];
		if (segment_path(&p->place, segs[i].base, "idx", path, NULL) == 0)
			(void)env_unlink(p->place.env, path, NULL);
	}
}

static int unlink_range(struct partition *p, const struct segment_info *segs, size_t n,
			struct err *e)
{
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < n; i++) {
		char path[PATH_BYTES];
		rc = segment_path(&p->place, segs[i].base, "seg", path, e);
		if (rc == 0)
			rc = env_unlink(p->place.env, path, e);
		if (rc == ERR_NOTFOUND)
			rc = 0;
	}
	return rc ? rc : env_sync_dir(p->place.env, p->place.dir, e);
}

int partition_trim(struct partition *p, uint64_t before, struct err *e)
{
	mutex_lock(&p->trim_lock);
	mutex_lock(&p->lock);
	size_t n = 0;
	while (n + 1 < p->n_segs && p->segs[n + 1].base <= before && !p->segs[n].unsynced)
		n++;
	struct segment_info *gone = NULL;
	int rc = 0;
	if (n > 0) {
		gone = mem_try_array(n, sizeof(*gone));
		if (!gone)
			rc = err_nomem(e);
	}
	if (n > 0 && rc == 0) {
		memcpy(gone, p->segs, n * sizeof(*gone));
		p->n_segs -= n;
		memmove(p->segs, p->segs + n, p->n_segs * sizeof(*gone));
		p->oldest = p->segs[0].base;
		atomic_store(&p->slot->oldest, p->oldest);
		partition_wake(p);
	}
	uint64_t oldest = p->oldest;
	mutex_unlock(&p->lock);
	if (n > 0 && rc == 0) {
		unlink_indexes(p, gone, n);
		struct trim_meta m = { .partition = p->place.partition, .oldest = oldest };
		memcpy(m.topic_id, p->place.topic_id, 16);
		rc = trim_meta_write(p->place.env, p->place.dir, &m, e);
		if (rc == 0)
			rc = unlink_range(p, gone, n, e);
	}
	mem_free(gone);
	mutex_unlock(&p->trim_lock);
	return rc;
}

int partition_retain(struct partition *p, struct err *e)
{
	struct log *l = p->topic->log;
	mutex_lock(&l->lock);
	struct log_retention r = p->topic->meta.retention;
	mutex_unlock(&l->lock);
	if (!r.max_bytes && !r.max_age_ms)
		return 0;
	mutex_lock(&p->lock);
	uint64_t before = retention_limit(p, &r);
	bool any = before > p->oldest;
	mutex_unlock(&p->lock);
	return any ? partition_trim(p, before, e) : 0;
}

int log_trim(struct log_topic *t, uint32_t partition, uint64_t before, uint64_t *oldest,
	     struct err *e)
{
	struct partition *p = NULL;
	int rc = partition_to_write(t, partition, &p, e);
	/* A sealed segment can go only once it was flushed. */
	if (rc == 0)
		rc = log_flush(t, partition, before, e);
	if (rc == 0)
		rc = partition_trim(p, before, e);
	if (rc == 0 && oldest)
		*oldest = atomic_load(&p->slot->oldest);
	return rc;
}

int log_retain(struct log *l, struct err *e)
{
	int rc = log_writable(l, e);
	if (rc)
		return rc;
	for (size_t i = 0;; i++) {
		mutex_lock(&l->lock);
		struct log_topic *t = i < l->n_topics ? l->topics[i] : NULL;
		mutex_unlock(&l->lock);
		if (!t)
			return 0;
		for (uint32_t j = 0; j < t->meta.partitions; j++) {
			rc = log_flush(t, j, UINT64_MAX, e);
			if (rc == 0)
				rc = partition_retain(&t->parts[j], e);
			if (rc)
				return rc;
		}
	}
}

/* ---- times ---- */

/* The first offset in the segment at base whose record is at or after time_ms; 0 none, 1 found. */
static int seek_time_in(struct log_topic *t, uint32_t partition, uint64_t base, uint64_t end,
			int64_t time_ms, uint64_t *offset, struct err *e)
{
	struct partition *p = &t->parts[partition];
	struct window w = { .ahead = 64 << 10 };
	struct segment_header h;
	int rc = segment_open(&p->place, base, &w.file, &h, NULL, e);
	if (rc)
		return rc;
	struct index_entry x;
	rc = index_seek_time(&p->place, &h, &w, time_ms, &x, e);
	file_close(w.file);
	window_done(&w);
	if (rc)
		return rc;
	struct log_reader *r;
	rc = log_reader_open(t, partition,
			     MAX(x.offset, log_topic_range(t, partition, false).oldest), NULL, &r,
			     e);
	if (rc)
		return rc;
	struct log_record rec;
	while (log_reader_position(r) < end && (rc = log_reader_next(r, &rec, e)) == 1) {
		if (rec.time_ms >= time_ms && rec.offset < end) {
			*offset = rec.offset;
			break;
		}
		rc = 0;
	}
	log_reader_close(r);
	return rc;
}

int log_topic_seek_time(struct log_topic *t, uint32_t partition, int64_t time_ms, uint64_t *offset,
			struct err *e)
{
	struct partition *p = NULL;
	struct tail tail;
	uint64_t oldest;
	int rc = partition_of(t, partition, &p, e);
	if (rc == 0)
		rc = partition_tail(p, false, &tail, &oldest, e);
	if (rc)
		return rc;
	uint64_t base = 0;
	if (oldest < tail.next)
		rc = partition_find_segment(p, oldest, &base, e);
	while (rc == 0 && base < tail.next) {
		uint64_t next = tail.next;
		int more = partition_next_segment(p, base, &next, e);
		if (more && more != ERR_NOTFOUND)
			return more;
		uint64_t end = more ? tail.next : MIN(next, tail.next);
		int64_t max = INT64_MAX;
		/* The last segment grows: it is looked into in any case. */
		if (!more)
			rc = segment_max_time(&p->place, base, &max, e);
		if (rc == 0 && max >= time_ms)
			rc = seek_time_in(t, partition, base, end, time_ms, offset, e);
		if (rc || more)
			break;
		base = next;
	}
	if (rc == 0)
		*offset = tail.next;
	return MIN(rc, 0);
}

/* ---- figures ---- */

static void count_files(struct partition *p, struct log_stats *out)
{
	uint64_t *bases;
	size_t n;
	if (segment_list(&p->place, "seg", &bases, &n, NULL) < 0)
		return;
	out->segments += n;
	for (size_t i = 0; i < n; i++) {
		char path[PATH_BYTES];
		struct file_stat st;
		if (segment_path(&p->place, bases[i], "seg", path, NULL) == 0 &&
		    env_stat(p->place.env, path, &st, NULL) == 0)
			out->bytes_on_disk += st.size_bytes;
	}
	mem_free(bases);
}

void log_stats(struct log *l, struct log_stats *out)
{
	*out = (struct log_stats){ .poisoned = atomic_load(&l->poisoned) };
	mutex_lock(&l->lock);
	for (size_t i = 0; i < l->n_topics; i++) {
		struct log_topic *t = l->topics[i];
		for (uint32_t j = 0; j < t->n_parts; j++) {
			struct partition *p = &t->parts[j];
			mutex_lock(&p->lock);
			out->appended_records += p->records;
			out->appended_bytes += p->bytes;
			out->flushes += p->flushes;
			mutex_unlock(&p->lock);
			count_files(p, out);
		}
	}
	mutex_unlock(&l->lock);
}
