/* partition.c: starting and stopping to write a partition, appending, finding segments. */
#include "log/partition.h"

#include "base/crc32c.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>

#define CRC_STEP_BYTES 8192 /* checksummed while still in the nearest cache */

int partition_init(struct partition *p, struct log_topic *t, uint32_t number, struct err *e)
{
	struct log *l = t->log;
	p->topic = t;
	p->place.env = l->env;
	p->place.partition = number;
	memcpy(p->place.log_id, l->meta.id, 16);
	memcpy(p->place.topic_id, t->meta.id, 16);
	char name[16], path[PATH_BYTES];
	snprintf(name, sizeof(name), "%" PRIu32, number);
	int rc = path_join(path, t->dir, name, e);
	if (rc)
		return rc;
	p->place.dir = mem_strdup(path);
	if (!p->place.dir)
		return err_nomem(e);
	if (t->page) {
		p->slot = (struct page_slot *)t->page + number;
		p->first_session = atomic_load(&p->slot->session);
	}
	mutex_init(&p->trim_lock);
	mutex_init(&p->lock);
	cond_init(&p->gathered);
	return 0;
}

void partition_done(struct partition *p)
{
	if (p->a.file) {
		active_close(p, &p->a);
		file_close(p->a.file);
	}
	for (size_t i = 0; i < p->n_segs; i++)
		file_close(p->segs[i].unsynced);
	mem_free(p->segs);
	mem_free(p->place.dir);
	cond_done(&p->gathered);
	mutex_done(&p->lock);
	mutex_done(&p->trim_lock);
}

/* ---- starting to write ---- */

/* Moves a segment file that says nothing about itself out of the way: bytes are not deleted on suspicion. */
static int set_aside(struct partition *p, uint64_t base, struct err *e)
{
	char from[PATH_BYTES], to[PATH_BYTES], suffix[40];
	snprintf(suffix, sizeof(suffix), "torn-%" PRIx64, p->topic->log->session);
	int rc = segment_path(&p->place, base, "seg", from, e);
	if (rc == 0)
		rc = segment_path(&p->place, base, suffix, to, e);
	if (rc == 0)
		rc = env_rename(p->place.env, from, to, e);
	return rc;
}

static int unlink_segment(struct partition *p, uint64_t base, struct err *e)
{
	char path[PATH_BYTES];
	int rc = segment_path(&p->place, base, "idx", path, e);
	if (rc)
		return rc;
	(void)env_unlink(p->place.env, path, NULL);
	rc = segment_path(&p->place, base, "seg", path, e);
	if (rc == 0)
		rc = env_unlink(p->place.env, path, e);
	return rc == ERR_NOTFOUND ? 0 : rc;
}

static int load_segments(struct partition *p, const struct recovered *r, struct err *e)
{
	size_t n = r->headless ? 0 : r->last + 1;
	if (n == 0 || r->n == 0)
		return 0;
	p->segs = mem_try_array(n, sizeof(*p->segs));
	if (!p->segs)
		return err_nomem(e);
	p->n_segs = p->cap_segs = n;
	for (size_t i = 0; i < n; i++)
		p->segs[i].base = r->bases[i];
	return 0;
}

/* Everything that the scan read may still be in the page cache only. */
static int sync_scanned(struct partition *p, const struct recovered *r, struct err *e)
{
	for (size_t i = r->scanned_from; i < r->last; i++) {
		char path[PATH_BYTES];
		struct file *f;
		int rc = segment_path(&p->place, r->bases[i], "seg", path, e);
		if (rc == 0)
			rc = env_open(p->place.env, path, FILE_WRITE, &f, e);
		if (rc)
			return rc;
		rc = file_sync(f, e);
		file_close(f);
		if (rc)
			return rc;
	}
	return p->a.file ? file_sync(p->a.file, e) : 0;
}

/* After a failed flush the kernel may hold pages that are marked clean but never reached the disk: a sync would not
 * write them. Writing the bytes again makes them dirty again. */
static int rewrite_unflushed(struct partition *p, const struct recovered *r, struct err *e)
{
	for (size_t i = r->scanned_from; i <= r->last; i++) {
		char path[PATH_BYTES];
		struct file *f;
		uint64_t size;
		int rc = segment_path(&p->place, r->bases[i], "seg", path, e);
		if (rc == 0)
			rc = env_open(p->place.env, path, FILE_WRITE, &f, e);
		if (rc)
			return rc;
		uint8_t *bytes = mem_retry(NULL, 64 << 10);
		rc = bytes ? file_size(f, &size, e) : err_nomem(e);
		for (uint64_t at = 0; rc == 0 && at < size;) {
			size_t got = 0;
			rc = file_read(f, at, bytes, 64 << 10, &got, e);
			if (rc == 0 && got == 0)
				break;
			if (rc == 0)
				rc = file_write(f, at, bytes, got, e);
			at += got;
		}
		mem_free(bytes);
		file_close(f);
		if (rc)
			return rc;
	}
	return 0;
}

/* A header copy that was torn while nothing behind it counted is written again before something does. 1 when one was. */
static int restore_headers(struct partition *p, const struct recovered *r, struct err *e)
{
	int any = 0;
	for (size_t i = r->scanned_from; i <= r->last; i++) {
		struct segment_header h;
		struct file *f;
		char path[PATH_BYTES];
		uint8_t block[SEGMENT_HEADER_BYTES] = { 0 };
		int copies;
		int rc = segment_open(&p->place, r->bases[i], &f, &h, &copies, e);
		if (rc)
			return rc;
		file_close(f);
		if (copies == 2)
			continue;
		header_encode(&h, HEADER_SEGMENT, block);
		header_encode(&h, HEADER_SEGMENT, block + SEGMENT_COPY_BYTES);
		rc = segment_path(&p->place, r->bases[i], "seg", path, e);
		if (rc == 0)
			rc = env_open(p->place.env, path, FILE_WRITE, &f, e);
		if (rc)
			return rc;
		rc = file_write(f, 0, block, sizeof(block), e);
		file_close(f);
		if (rc)
			return rc;
		any = 1;
	}
	return any;
}

static int cut_later_segments(struct partition *p, const struct recovered *r, struct err *e)
{
	int rc = 0;
	for (size_t i = r->n; rc == 0 && i-- > (r->headless ? 0 : r->last + 1);) {
		struct segment_header h;
		struct file *f;
		rc = segment_open(&p->place, r->bases[i], &f, &h, NULL, e);
		if (rc == 0)
			file_close(f);
		if (rc && rc != ERR_CORRUPT)
			return err_in(e, rc, "cutting a torn segment");
		rc = rc ? set_aside(p, r->bases[i], e) : unlink_segment(p, r->bases[i], e);
	}
	return rc;
}

static int apply_recovery(struct partition *p, const struct recovered *r, struct err *e)
{
	int rc = load_segments(p, r, e);
	if (rc)
		return rc;
	for (size_t i = 0; i < r->n_trimmed; i++) {
		rc = unlink_segment(p, r->trimmed[i], e);
		if (rc)
			return rc;
	}
	bool cut = r->n > 0 && (r->headless || r->last + 1 < r->n);
	if (cut) {
		rc = cut_later_segments(p, r, e);
		if (rc)
			return rc;
	}
	p->next = r->next;
	p->oldest = r->oldest;
	p->end_position = 0;
	bool unflushed = r->durable_next < r->next || !r->clean || !(r->marked || r->sealed);
	if (r->n > 0 && !r->headless) {
		rc = restore_headers(p, r, e);
		if (rc < 0)
			return rc;
		unflushed |= rc == 1;
		if (p->slot && atomic_load(&p->slot->poisoned)) {
			rc = rewrite_unflushed(p, r, e);
			if (rc)
				return rc;
		}
		rc = active_resume(p, r, e);
		if (rc)
			return rc;
	}
	if (r->n > 0 && !r->headless && unflushed)
		rc = sync_scanned(p, r, e);
	if (rc == 0 && (cut || r->n_trimmed || unflushed))
		rc = env_sync_dir(p->place.env, p->place.dir, e);
	if (rc == 0)
		p->durable = (struct tail){ partition_position(p), p->next };
	return rc;
}

static void publish_start(struct partition *p)
{
	struct page_slot *s = p->slot;
	uint64_t session = p->topic->log->session;
	atomic_store(&s->session, session | 1);
	atomic_store(&s->oldest, p->oldest);
	atomic_store(&s->written_next, p->next);
	atomic_store(&s->written_position, partition_position(p));
	atomic_store(&s->durable_next, p->durable.next);
	atomic_store(&s->durable_position, p->durable.position);
	atomic_store(&s->poisoned, 0);
	atomic_store(&s->session, session);
	page_wake(p->place.env, &s->word);
}

/* An index that is missing altogether is written again; a stale or damaged one only costs its readers time. */
static int rebuild_missing(struct partition *p, const struct recovered *r, struct err *e)
{
	if (r->n < 2)
		return 0;
	uint64_t *have;
	size_t n, at = 0;
	int rc = segment_list(&p->place, "idx", &have, &n, e);
	if (rc)
		return rc;
	for (size_t i = 0; i < r->last && i < r->n; i++) {
		while (at < n && have[at] < r->bases[i])
			at++;
		if (at == n || have[at] != r->bases[i])
			(void)index_rebuild(&p->place, r->bases[i], NULL);
	}
	mem_free(have);
	return 0;
}

int partition_start_writing(struct partition *p, struct err *e)
{
	atomic_store(&p->slot->session, p->topic->log->session | 1);
	struct recovered r;
	int rc = recover_scan(&p->place, &r, e);
	if (rc)
		return rc;
	rc = r.damaged ? recovered_damage(&p->place, &r, e) : apply_recovery(p, &r, e);
	if (rc == 0)
		rc = rebuild_missing(p, &r, e);
	recovered_done(&r);
	if (rc == 0)
		publish_start(p);
	return rc;
}

/* Flushes, then says so inside the segment, so that a later look can tell damage from a torn tail. */
int partition_stop_writing(struct partition *p, struct err *e)
{
	int rc = partition_wait_durable(p, partition_position(p), e);
	struct active *a = &p->a;
	if (rc == 0 && a->file && !a->sealed && !a->marked && a->map &&
	    a->used + BATCH_HEADER_BYTES <= a->allocated) {
		mutex_lock(&p->lock);
		active_put_empty(p, BATCH_MARK);
		partition_publish(p);
		mutex_unlock(&p->lock);
		rc = partition_wait_durable(p, partition_position(p), e);
	}
	if (rc == 0 && a->file) {
		active_close(p, a);
		if (a->allocated > a->used)
			rc = file_truncate(a->file, a->used, e);
		a->allocated = a->used;
	}
	if (rc == 0) {
		atomic_store(&p->slot->session, 0);
		page_wake(p->place.env, &p->slot->word);
	}
	return rc;
}

/* ---- appending ---- */

struct sized {
	size_t length; /* of the whole batch */
	int64_t base_time_ms, max_time_ms;
	bool stamped;
};

static int size_batch(struct env *env, struct log_record *rec, size_t n, struct sized *out,
		      struct err *e)
{
	int64_t now = 0;
	size_t total = BATCH_HEADER_BYTES;
	*out = (struct sized){ .max_time_ms = INT64_MIN };
	for (size_t i = 0; i < n; i++) {
		struct log_record *r = &rec[i];
		if (r->time_ms == 0) {
			if (!out->stamped)
				now = env_wall_ms(env);
			out->stamped = true;
			r->time_ms = now;
		}
		if (i == 0)
			out->base_time_ms = r->time_ms;
		out->max_time_ms = MAX(out->max_time_ms, r->time_ms);
		if (r->key.len > LOG_RECORD_MAX || r->value.len > LOG_RECORD_MAX ||
		    r->headers.len > LOG_RECORD_MAX ||
		    r->key.len + r->value.len + r->headers.len > LOG_RECORD_MAX)
			return err_set(e, ERR_LIMIT,
				       "record %zu of the batch is larger than %u bytes", i,
				       LOG_RECORD_MAX);
		total += record_size(r, out->base_time_ms);
		if (total > BATCH_BYTES_MAX - 8)
			return err_set(
				e, ERR_LIMIT,
				"a batch holds at most %u bytes: append fewer records at once",
				BATCH_BYTES_MAX);
	}
	out->length = (total + 7) & ~(size_t)7;
	return 0;
}

/* Stores the batch into the map at a.used. The header goes last; until it is whole nothing validates. */
static void store_batch(struct partition *p, struct log_record *rec, size_t n,
			const struct sized *size)
{
	struct active *a = &p->a;
	uint8_t *start = a->map + a->used;
	uint8_t *at = start + BATCH_HEADER_BYTES, *end = start + size->length, *summed = at;
	uint32_t crc = a->seed;
	for (size_t i = 0; i < n; i++) {
		rec[i].offset = p->next + i;
		at = record_encode(&rec[i], size->base_time_ms, at);
		if (at - summed >= CRC_STEP_BYTES) {
			crc = crc32c(crc, summed, (size_t)(at - summed));
			summed = at;
		}
	}
	ASSERT(at <= end && end - at < 8);
	memset(at, 0, (size_t)(end - at));
	struct batch b = {
		.kind = BATCH_DATA,
		.base_offset = p->next,
		.span = n,
		.count = (uint32_t)n,
		.length = (uint32_t)size->length,
		.body_crc = crc32c(crc, summed, (size_t)(end - summed)),
		.base_time_ms = size->base_time_ms,
		.max_time_ms = size->max_time_ms,
		.durable = p->durable.next,
	};
	batch_encode(&b, a->seed, start);
	a->used += size->length;
	a->marked = false;
	a->max_time_ms = MAX(a->max_time_ms, size->max_time_ms);
	p->next += n;
}

static int append(struct partition *p, struct log_record *rec, size_t n, const struct sized *size,
		  uint64_t *first, struct err *e)
{
	struct log *l = p->topic->log;
	if (unlikely(atomic_load_explicit(&l->poisoned, memory_order_relaxed)))
		return log_poisoned_error(l, e);
	if (unlikely(p->next > UINT64_MAX / 2 - n))
		return err_set(e, ERR_LIMIT, "the partition has no offsets left");
	int rc = active_reserve(p, size->length, e);
	if (unlikely(rc))
		return rc;
	active_note_index(p);
	*first = p->next;
	store_batch(p, rec, n, size);
	if (size->stamped)
		p->segs[p->n_segs - 1].stamped = true;
	p->records += n;
	p->bytes += size->length;
	partition_publish(p);
	return 0;
}

int partition_of(struct log_topic *t, uint32_t number, struct partition **out, struct err *e)
{
	if (number >= t->meta.partitions)
		return err_set(e, ERR_INVALID, "topic %s has no partition %u", t->meta.name,
			       number);
	*out = &t->parts[number];
	return 0;
}

int partition_to_write(struct log_topic *t, uint32_t number, struct partition **out, struct err *e)
{
	int rc = log_writable(t->log, e);
	return rc ? rc : partition_of(t, number, out, e);
}

int log_append(struct log_topic *t, uint32_t partition, struct log_record *rec, size_t n,
	       enum log_ack ack, uint64_t *first, struct err *e)
{
	struct log *l = t->log;
	int rc = log_writable(l, e);
	if (rc)
		return rc;
	if (partition >= t->meta.partitions)
		return err_set(e, ERR_INVALID, "topic %s has %u partitions, not %u", t->meta.name,
			       t->meta.partitions, partition + 1);
	if (n == 0 || n > UINT32_MAX)
		return err_set(e, ERR_INVALID, "an append needs at least one record");
	struct sized size;
	rc = size_batch(l->env, rec, n, &size, e);
	if (rc)
		return rc;
	struct partition *p = &t->parts[partition];
	uint64_t at = 0;
	mutex_lock(&p->lock);
	size_t segments = p->n_segs;
	rc = append(p, rec, n, &size, &at, e);
	bool rolled = p->n_segs != segments && segments > 0;
	uint64_t end = partition_position(p);
	if (rc == 0 && ack != LOG_ACK_DURABLE)
		flusher_note(p);
	mutex_unlock(&p->lock);
	if (rc == 0 && ack == LOG_ACK_DURABLE)
		rc = partition_wait_durable(p, end, e);
	if (rolled)
		(void)partition_retain(p, NULL);
	if (rc == 0 && first)
		*first = at;
	return rc;
}

int log_flush(struct log_topic *t, uint32_t partition, uint64_t next, struct err *e)
{
	struct partition *p = NULL;
	int rc = partition_to_write(t, partition, &p, e);
	if (rc)
		return rc;
	mutex_lock(&p->lock);
	bool needed = p->durable.next < next && p->durable.next < p->next;
	uint64_t end = partition_position(p);
	mutex_unlock(&p->lock);
	return needed ? partition_wait_durable(p, end, e) : 0;
}

/* ---- finding segments ---- */

int history_lost(struct partition *p, uint64_t offset, struct err *e)
{
	struct tail tail = { 0 };
	uint64_t oldest = 0;
	(void)partition_tail(p, false, &tail, &oldest, NULL);
	int rc = err_set(e, ERR_HISTORY_LOST,
			 "%s: offset %" PRIu64 " no longer exists; %" PRIu64 " to %" PRIu64 " do",
			 p->place.dir, offset, oldest, tail.next ? tail.next - 1 : 0);
	if (e) {
		e->oldest = oldest;
		e->newest = tail.next ? tail.next - 1 : 0;
	}
	return rc;
}

/* A copy of the segments' base offsets, from memory or from the directory. */
static int list_bases(struct partition *p, uint64_t **out, size_t *n, struct err *e)
{
	if (p->topic->log->options.read_only)
		return segment_list(&p->place, "seg", out, n, e);
	mutex_lock(&p->lock);
	*n = p->n_segs;
	*out = mem_try_array(*n, sizeof(**out));
	for (size_t i = 0; *out && i < *n; i++)
		(*out)[i] = p->segs[i].base;
	mutex_unlock(&p->lock);
	return *out ? 0 : err_nomem(e);
}

static size_t first_above(const uint64_t *bases, size_t n, uint64_t offset)
{
	size_t lo = 0, hi = n;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (bases[mid] <= offset)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

int partition_find_segment(struct partition *p, uint64_t offset, uint64_t *base, struct err *e)
{
	uint64_t *bases;
	size_t n;
	int rc = list_bases(p, &bases, &n, e);
	if (rc)
		return rc;
	size_t i = first_above(bases, n, offset);
	if (i == 0)
		rc = history_lost(p, offset, e);
	else
		*base = bases[i - 1];
	mem_free(bases);
	return rc;
}

int partition_next_segment(struct partition *p, uint64_t base, uint64_t *next, struct err *e)
{
	uint64_t *bases;
	size_t n;
	int rc = list_bases(p, &bases, &n, e);
	if (rc)
		return rc;
	size_t i = first_above(bases, n, base);
	if (i == n)
		rc = ERR_NOTFOUND;
	else
		*next = bases[i];
	mem_free(bases);
	return rc;
}
