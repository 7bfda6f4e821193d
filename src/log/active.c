/* active.c: the segment that is written: made, mapped, grown in steps, sealed.
 *
 *	none ──create──▶ active ──reserve: full──▶ seal it, create the next ──▶ active ...
 *	recovered ──resume──▶ active (mapped at its first append) or sealed
 *
 * The file is allocated in steps that double, so that a small log is small on disk and a fast one rarely asks. Blocks
 * are allocated before they are stored to: a full disk is an error of allocate(), never a SIGBUS.
 */
#include "log/partition.h"

#include "base/mem.h"

#include <inttypes.h>

#define ALLOCATE_FIRST (64u << 10)
#define ALLOCATE_MAX   (16u << 20)
/* Prefaulting pays when much is written between flushes; for little it would only make more to flush. */
#define PREFAULT_AFTER (256u << 10)
#define PREFAULT_STEP  (256u << 10)

static uint64_t page_up(uint64_t n)
{
	return (n + PAGE_BYTES - 1) & ~(uint64_t)(PAGE_BYTES - 1);
}

uint64_t partition_position(const struct partition *p)
{
	return p->a.file ? p->a.header.base_position + p->a.used : p->end_position;
}

/* ---- growing ---- */

static int map_whole(struct active *a, uint64_t segment_bytes, uint64_t need, struct err *e)
{
	size_t len = (size_t)page_up(MAX(segment_bytes, need));
	if (a->map && a->map_len >= len)
		return 0;
	void *map;
	int rc = file_map(a->file, 0, len, true, &map, e);
	if (rc)
		return rc;
	if (a->map)
		file_unmap(a->file, a->map, a->map_len);
	a->map = map;
	a->map_len = len;
	return 0;
}

static int allocate(struct active *a, uint64_t need, struct err *e)
{
	if (need <= a->allocated)
		return 0;
	uint64_t step = MIN(MAX(a->allocated, (uint64_t)ALLOCATE_FIRST), (uint64_t)ALLOCATE_MAX);
	uint64_t to = page_up(MAX(need, a->allocated + step));
	to = MIN(to, MAX((uint64_t)a->map_len, page_up(need)));
	int rc = file_allocate(a->file, a->allocated, to - a->allocated, e);
	if (rc)
		return rc;
	a->allocated = to;
	return 0;
}

/* Has the kernel make the pages that will be stored to soon. Writing zeros over what is zero costs a fifth of faulting
 * the pages in one by one (docs/decisions/0002), as the page cache takes them in large pieces. A hint: whether it works
 * or not, the file means the same. */
static void prefault(struct active *a, uint64_t to)
{
	static const uint8_t zeros[PREFAULT_STEP];
	if (likely(to <= a->prefaulted) || to - a->flushed < PREFAULT_AFTER)
		return;
	uint64_t from = page_up(MAX(a->prefaulted, a->used));
	while (from < to + PREFAULT_STEP / 2 && from < a->allocated) {
		size_t len = (size_t)MIN(PREFAULT_STEP - from % PREFAULT_STEP, a->allocated - from);
		(void)file_write(a->file, from, zeros, len, NULL);
		from += len;
	}
	a->prefaulted = MAX(from, to);
}

/* ---- making one ---- */

static int new_header(struct partition *p, struct segment_header *h, struct err *e)
{
	struct log *l = p->topic->log;
	uint64_t position = partition_position(p);
	if (p->a.file && !p->a.sealed)
		position += BATCH_HEADER_BYTES; /* the seal to come */
	*h = (struct segment_header){
		.partition = p->place.partition,
		.base_offset = p->next,
		.base_position = position,
		.durable = p->durable.next,
		.created_ms = env_wall_ms(l->env),
	};
	memcpy(h->log_id, p->place.log_id, 16);
	memcpy(h->topic_id, p->place.topic_id, 16);
	return env_random(l->env, &h->epoch, sizeof(h->epoch), e);
}

/* The index is an aid: without it the segment is still good, so failures are not errors. */
static void create_index(struct partition *p, struct active *a)
{
	char path[PATH_BYTES];
	uint8_t block[HEADER_BLOCK_BYTES];
	header_encode(&a->header, HEADER_INDEX, block);
	if (segment_path(&p->place, a->header.base_offset, "idx", path, NULL) ||
	    env_open(p->place.env, path, FILE_CREATE, &a->index, NULL)) {
		a->index = NULL;
		return;
	}
	if (file_truncate(a->index, 0, NULL) ||
	    file_write(a->index, 0, block, sizeof(block), NULL)) {
		file_close(a->index);
		a->index = NULL;
	}
	a->index_bytes = sizeof(block);
}

int active_create(struct partition *p, size_t batch_len, struct active *out, struct err *e)
{
	struct log *l = p->topic->log;
	struct active a = { .used = SEGMENT_HEADER_BYTES, .max_time_ms = INT64_MIN };
	int rc = new_header(p, &a.header, e);
	if (rc)
		return rc;
	char path[PATH_BYTES];
	rc = segment_path(&p->place, a.header.base_offset, "seg", path, e);
	if (rc == 0)
		rc = env_open(l->env, path, FILE_CREATE_NEW, &a.file, e);
	if (rc)
		return rc;
	uint64_t need = SEGMENT_HEADER_BYTES + (uint64_t)batch_len + BATCH_HEADER_BYTES;
	rc = map_whole(&a, l->options.segment_bytes, need, e);
	if (rc == 0)
		rc = allocate(&a, need, e);
	if (rc) {
		if (a.map)
			file_unmap(a.file, a.map, a.map_len);
		file_close(a.file);
		(void)env_unlink(l->env, path, NULL);
		return rc;
	}
	a.seed = header_seed(&a.header);
	a.indexed = a.used;
	header_encode(&a.header, HEADER_SEGMENT, a.map);
	header_encode(&a.header, HEADER_SEGMENT, a.map + SEGMENT_COPY_BYTES);
	create_index(p, &a);
	*out = a;
	return 0;
}

/* ---- going on with one ---- */

static void resume_index(struct partition *p, struct active *a, const struct recovered *r)
{
	char path[PATH_BYTES];
	if (r->index_valid_bytes == 0) {
		create_index(p, a);
	} else if (segment_path(&p->place, a->header.base_offset, "idx", path, NULL) ||
		   env_open(p->place.env, path, FILE_CREATE, &a->index, NULL)) {
		a->index = NULL;
	}
	if (!a->index)
		return;
	/* Entries that agree are kept, the others written again. */
	size_t keep = r->index_valid_bytes ? (size_t)(r->index_valid_bytes - HEADER_BLOCK_BYTES) /
						     INDEX_ENTRY_BYTES
					   : 0;
	a->index_bytes = HEADER_BLOCK_BYTES + keep * INDEX_ENTRY_BYTES;
	(void)file_truncate(a->index, a->index_bytes, NULL);
	for (size_t i = keep; i < r->n_index; i++) {
		index_entry_encode(&r->index[i], a->seed,
				   a->pending + a->n_pending++ * INDEX_ENTRY_BYTES);
		if (a->n_pending == INDEX_PENDING)
			active_write_index(a);
	}
	active_write_index(a);
	if (r->n_index)
		a->indexed = r->index[r->n_index - 1].byte;
}

int active_resume(struct partition *p, const struct recovered *r, struct err *e)
{
	struct active a = {
		.header = r->header,
		.seed = header_seed(&r->header),
		.used = r->end_byte,
		.flushed = r->end_byte,
		.indexed = SEGMENT_HEADER_BYTES,
		.max_time_ms = r->max_time_ms,
		.marked = r->marked,
		.sealed = r->sealed,
	};
	char path[PATH_BYTES];
	int rc = segment_path(&p->place, a.header.base_offset, "seg", path, e);
	if (rc == 0)
		rc = env_open(p->place.env, path, FILE_WRITE, &a.file, e);
	if (rc)
		return rc;
	uint64_t size;
	rc = file_size(a.file, &size, e);
	if (rc == 0 && size != a.used) {
		/* Zeros, or a torn tail: gone before anything is appended, so that stale bytes can never be taken for
		 * batches. The caller syncs. */
		rc = file_truncate(a.file, a.used, e);
	}
	if (rc) {
		file_close(a.file);
		return rc;
	}
	a.allocated = a.used;
	resume_index(p, &a, r);
	p->a = a;
	return 0;
}

/* ---- index entries ---- */

void active_write_index(struct active *a)
{
	if (!a->index || !a->n_pending)
		return;
	size_t len = a->n_pending * INDEX_ENTRY_BYTES;
	a->n_pending = 0;
	if (file_write(a->index, a->index_bytes, a->pending, len, NULL) == 0) {
		a->index_bytes += len;
	} else {
		/* A gap would end the index for its readers anyway. */
		file_close(a->index);
		a->index = NULL;
	}
}

static void add_index_entry(struct partition *p)
{
	struct active *a = &p->a;
	struct index_entry x = { (uint32_t)a->used, p->next, a->max_time_ms, p->durable.next };
	index_entry_encode(&x, a->seed, a->pending + a->n_pending++ * INDEX_ENTRY_BYTES);
	a->indexed = a->used;
	if (a->n_pending == INDEX_PENDING)
		active_write_index(a);
}

void active_note_index(struct partition *p)
{
	if (unlikely(p->a.used - p->a.indexed >= INDEX_STEP_BYTES))
		add_index_entry(p);
}

/* ---- seals and marks ---- */

void active_put_empty(struct partition *p, enum batch_kind kind)
{
	struct active *a = &p->a;
	ASSERT(a->used + BATCH_HEADER_BYTES <= a->allocated);
	struct batch b = {
		.kind = (uint8_t)kind,
		.base_offset = p->next,
		.length = BATCH_HEADER_BYTES,
		.body_crc = a->seed,
		.durable = p->durable.next,
	};
	batch_encode(&b, a->seed, a->map + a->used);
	a->used += BATCH_HEADER_BYTES;
	a->marked = kind == BATCH_MARK;
}

/* Closes what the writer holds of the segment except its file. */
void active_close(struct partition *p, struct active *a)
{
	if (a->indexed < a->used && p->a.file == a->file)
		add_index_entry(p);
	active_write_index(a);
	file_close(a->index);
	a->index = NULL;
	if (a->map)
		file_unmap(a->file, a->map, a->map_len);
	a->map = NULL;
}

/* ---- rolling ---- */

static int reserve_info(struct partition *p, struct err *e)
{
	if (p->n_segs < p->cap_segs)
		return 0;
	size_t cap = p->cap_segs ? p->cap_segs * 2 : 4;
	struct segment_info *s = mem_retry(p->segs, cap * sizeof(*s));
	if (!s)
		return err_nomem(e);
	p->segs = s;
	p->cap_segs = cap;
	return 0;
}

static void seal(struct partition *p)
{
	struct segment_info *info = &p->segs[p->n_segs - 1];
	struct active *a = &p->a;
	if (!a->sealed) {
		/* The index ends before the seal, which carries the same offset. */
		if (a->indexed < a->used)
			add_index_entry(p);
		active_put_empty(p, BATCH_SEAL);
	}
	active_write_index(a);
	file_close(a->index);
	if (a->map)
		file_unmap(a->file, a->map, a->map_len);
	if (a->allocated > a->used)
		(void)file_truncate(a->file, a->used, NULL); /* only space */
	info->bytes = a->used;
	info->max_time_ms = a->max_time_ms;
	info->max_time_known = true;
	info->sealed_mono = env_mono(p->place.env);
	info->unsynced = a->file;
}

static int roll(struct partition *p, size_t len, struct err *e)
{
	int rc = reserve_info(p, e);
	if (rc)
		return rc;
	struct active fresh;
	rc = active_create(p, len, &fresh, e);
	if (rc)
		return rc;
	if (p->a.file)
		seal(p);
	p->a = fresh;
	p->segs[p->n_segs++] = (struct segment_info){ .base = p->next };
	p->dir_dirty = true;
	return 0;
}

int active_reserve(struct partition *p, size_t len, struct err *e)
{
	struct active *a = &p->a;
	uint64_t limit = p->topic->log->options.segment_bytes;
	uint64_t need = a->used + len + BATCH_HEADER_BYTES;
	if (!a->file || a->sealed || (need > limit && a->used > SEGMENT_HEADER_BYTES)) {
		if (a->file && !a->sealed) {
			/* The seal needs its place, also after a restart that left nothing allocated. */
			uint64_t end = a->used + BATCH_HEADER_BYTES;
			int rc = map_whole(a, limit, end, e);
			if (rc == 0)
				rc = allocate(a, end, e);
			if (rc)
				return rc;
		}
		return roll(p, len, e);
	}
	if (likely(need <= a->allocated && a->map)) {
		prefault(a, need);
		return 0;
	}
	int rc = map_whole(a, limit, need, e);
	if (rc == 0)
		rc = allocate(a, need, e);
	if (rc == 0)
		prefault(a, need);
	return rc;
}
