/* reader.c: delivers records in order, each once, or says why not.
 *
 *	unplaced ──place: find segment, index entry──▶ placed ──batch whole──▶ records, one a call
 *	                                                 │ seal: the next segment
 *	                                                 │ mark: skip
 *	                                                 │ lost: ERR_CORRUPT with the offsets given up
 *	                                                 └ bad:  ERR_CORRUPT with the range, or, behind it, on
 *
 * What a reader hands out was validated in its own memory. It never looks beyond the end it was told (tail.c), so it
 * never meets a batch half stored. Segments that are trimmed away while it reads stay readable to it; it notices at
 * the next batch, and never jumps over what is gone.
 */
#include "log/reader.h"

#include "base/mem.h"

#include <inttypes.h>

#define READER_BUFFER_BYTES (256u << 10)

int log_reader_open(struct log_topic *t, uint32_t partition, uint64_t from,
		    const struct log_reader_options *o, struct log_reader **out, struct err *e)
{
	static const struct log_reader_options defaults;
	if (!o)
		o = &defaults;
	struct partition *p = NULL;
	int rc = partition_of(t, partition, &p, e);
	if (rc)
		return rc;
	struct log_reader *r = mem_try(sizeof(*r));
	if (!r)
		return err_nomem(e);
	r->p = p;
	r->durable_only = o->durable_only;
	r->buffer_bytes = o->buffer_bytes ? o->buffer_bytes : READER_BUFFER_BYTES;
	r->pos = from;
	r->fd = -1;
	r->w.ahead = r->buffer_bytes;
	*out = r;
	return 0;
}

static void unplace(struct log_reader *r)
{
	file_close(r->w.file);
	r->w.file = NULL;
	window_forget(&r->w);
	r->placed = r->near = false;
	r->left = 0;
	r->blocked = (struct tail){ 0 };
}

void log_reader_close(struct log_reader *r)
{
	if (!r)
		return;
	reader_unwatch(r);
	unplace(r);
	window_done(&r->w);
	mem_free(r);
}

void log_reader_seek(struct log_reader *r, uint64_t offset)
{
	if (r->idle)
		reader_busy(r);
	if (r->placed)
		r->reached = MAX(r->reached, r->offset);
	/* Who jumps about in one segment need not look for it and open it each time. */
	bool near = (r->placed || r->near) && offset >= r->h.base_offset && offset < r->reached;
	if (near) {
		window_forget(&r->w);
		r->placed = false;
		r->left = 0;
		r->blocked = (struct tail){ 0 };
	} else {
		unplace(r);
	}
	r->near = near;
	r->pos = offset;
	r->seen = 0;
}

uint64_t log_reader_position(const struct log_reader *r)
{
	return r->pos;
}

bool reader_ready(struct log_reader *r)
{
	struct tail tail;
	uint64_t oldest;
	if (r->left)
		return true;
	if (partition_tail(r->p, r->durable_only, &tail, &oldest, NULL))
		return true; /* next() reports it */
	if (r->pos < oldest || (tail.next < r->pos && r->pos <= r->seen))
		return true;
	if (r->blocked.position == tail.position && r->blocked.next == tail.next &&
	    r->blocked.position)
		return false;
	if (r->placed)
		return r->h.base_position + r->byte < tail.position;
	return r->pos < tail.next;
}

/* ---- damage ---- */

static int corrupt(struct log_reader *r, uint64_t from_byte, uint64_t to_byte, uint64_t from,
		   uint64_t to, const char *what, struct err *e)
{
	int rc = err_set(e, ERR_CORRUPT,
			 "%s/%020" PRIu64 ".seg: %s (bytes %" PRIu64 " to %" PRIu64
			 "): offsets %" PRIu64 " to %" PRIu64 " are lost",
			 r->p->place.dir, r->h.base_offset, what, from_byte, to_byte, from,
			 to ? to - 1 : 0);
	if (e) {
		e->oldest = from;
		e->newest = to;
	}
	return rc;
}

static int place_in(struct log_reader *r, uint64_t base, struct err *e);

/* The batch at r->byte is not what should stand there. 1: went on behind it; 0: a torn tail, wait; else the error. */
static int bad_batch(struct log_reader *r, enum batch_state state, const struct tail *tail,
		     uint64_t limit, struct err *e)
{
	struct batch b;
	uint64_t at;
	int rc = batch_find(&r->w, r->seed, r->byte + 8, limit, &at, &b, e);
	if (rc < 0)
		return rc;
	uint64_t to, to_byte;
	uint64_t next_base = 0;
	if (rc == 1 && b.base_offset >= r->offset) {
		to = b.base_offset;
		to_byte = at;
		if (r->pos >= to) {
			r->byte = at;
			r->offset = to;
			return 1;
		}
	} else {
		rc = partition_next_segment(r->p, r->h.base_offset, &next_base, e);
		if (rc < 0 && rc != ERR_NOTFOUND)
			return rc;
		uint64_t size = 0;
		(void)file_size(r->w.file, &size, NULL);
		to_byte = MAX(size, r->byte);
		if (rc == 0) {
			to = MAX(next_base, r->offset);
			if (r->pos >= to) {
				rc = place_in(r, next_base, e);
				return rc ? rc : 1;
			}
		} else {
			struct tail durable;
			uint64_t oldest;
			rc = partition_tail(r->p, true, &durable, &oldest, e);
			if (rc)
				return rc;
			to = tail->next;
			/* A dead writer's page, believed for the moment until the next one has cut the tail. */
			if (r->p->topic->log->options.read_only && durable.next <= r->offset) {
				r->blocked = *tail;
				return 0;
			}
		}
	}
	return corrupt(r, r->byte, to_byte, r->offset, to,
		       state == BATCH_SHORT || state == BATCH_NONE ? "a batch is cut short"
								   : "a batch is damaged",
		       e);
}

/* ---- finding the place ---- */

/* Finds the place of r->pos in the open segment. */
static int place_near(struct log_reader *r, struct err *e)
{
	struct index_entry x;
	/* What it reads to verify the entry may lie beyond the end that readers may look at. */
	r->w.ahead = 0;
	int rc = index_seek_offset(&r->p->place, &r->h, &r->w, r->pos, &x, e);
	window_forget(&r->w);
	r->w.ahead = r->buffer_bytes;
	if (rc) {
		unplace(r);
		return rc;
	}
	r->byte = x.byte;
	r->offset = x.offset;
	r->placed = true;
	r->near = false;
	return 0;
}

static int place_in(struct log_reader *r, uint64_t base, struct err *e)
{
	struct file *f;
	struct segment_header h;
	int rc = segment_open(&r->p->place, base, &f, &h, NULL, e);
	if (rc)
		return rc;
	unplace(r);
	r->w.file = f;
	r->h = h;
	r->reached = 0;
	r->seed = header_seed(&h);
	return place_near(r, e);
}

/* A segment that should be there is not: trimmed meanwhile, or missing. */
static int missing_segment(struct log_reader *r, uint64_t base, struct err *e)
{
	struct tail tail;
	uint64_t oldest, next;
	int rc = partition_tail(r->p, r->durable_only, &tail, &oldest, e);
	if (rc)
		return rc;
	if (r->pos < oldest)
		return history_lost(r->p, r->pos, e);
	rc = partition_next_segment(r->p, base, &next, e);
	if (rc == ERR_NOTFOUND)
		next = tail.next;
	else if (rc)
		return rc;
	rc = err_set(e, ERR_CORRUPT,
		     "%s/%020" PRIu64 ".seg is missing: offsets %" PRIu64 " to %" PRIu64
		     " are lost",
		     r->p->place.dir, base, r->pos, next ? next - 1 : 0);
	if (e) {
		e->oldest = r->pos;
		e->newest = next;
	}
	return rc;
}

static int unreadable_segment(struct log_reader *r, uint64_t base, int rc, struct err *e)
{
	uint64_t next;
	if (rc == ERR_NOTFOUND)
		return missing_segment(r, base, e);
	if (rc == ERR_CORRUPT && e) {
		struct tail tail;
		uint64_t oldest;
		e->oldest = r->pos;
		e->newest = r->pos;
		if (partition_next_segment(r->p, base, &next, NULL) == 0)
			e->newest = next;
		else if (partition_tail(r->p, false, &tail, &oldest, NULL) == 0)
			e->newest = MAX(tail.next, r->pos);
	}
	return rc;
}

static int place(struct log_reader *r, struct err *e)
{
	uint64_t base = 0;
	int rc = partition_find_segment(r->p, r->pos, &base, e);
	if (rc)
		return rc;
	rc = place_in(r, base, e);
	return rc ? unreadable_segment(r, base, rc, e) : 0;
}

/* Behind a seal: the next segment begins at r->offset. 1 there; 0 not made yet. */
static int cross(struct log_reader *r, struct err *e)
{
	uint64_t next;
	struct file *f;
	struct segment_header h;
	int rc = segment_open(&r->p->place, r->offset, &f, &h, NULL, e);
	if (rc == ERR_NOTFOUND) {
		rc = partition_next_segment(r->p, r->h.base_offset, &next, e);
		if (rc == ERR_NOTFOUND)
			return 0;
		return rc ? rc : missing_segment(r, r->offset, e);
	}
	if (rc)
		return unreadable_segment(r, r->offset, rc, e);
	file_close(r->w.file);
	window_forget(&r->w);
	r->w.file = f;
	r->h = h;
	r->reached = 0;
	r->seed = header_seed(&h);
	r->byte = SEGMENT_HEADER_BYTES;
	return 1;
}

/* ---- the next batch ---- */

static void take_records(struct log_reader *r, const struct batch *b, const uint8_t *body)
{
	r->at = body;
	r->end = body + (b->length - BATCH_HEADER_BYTES);
	r->left = b->count;
	r->base_time_ms = b->base_time_ms;
	r->next_offset = b->base_offset;
}

/* True when a batch stands behind b, or b ends the data: then its length can be believed without its body. */
static bool is_followed(struct log_reader *r, const struct batch *b, uint64_t limit)
{
	struct batch next;
	const uint8_t *body;
	uint64_t end = r->byte + b->length;
	if (end >= limit)
		return end == limit;
	return batch_at(&r->w, r->seed, end, limit, false, &next, &body, NULL) == BATCH_WHOLE &&
	       next.base_offset == r->offset + b->span;
}

/* Handles the batch at r->byte. 1: moved on (perhaps to records), 0: nothing there. */
static int step(struct log_reader *r, const struct tail *tail, struct err *e)
{
	uint64_t limit = tail->position - r->h.base_position;
	struct batch b;
	const uint8_t *body;
	/* Far from the wanted offset headers are enough. */
	bool skip = r->pos > r->offset;
	int state = batch_at(&r->w, r->seed, r->byte, limit, !skip, &b, &body, e);
	if (skip && state == BATCH_WHOLE && b.base_offset == r->offset &&
	    (b.base_offset + b.span > r->pos || !is_followed(r, &b, limit)))
		state = batch_at(&r->w, r->seed, r->byte, limit, true, &b, &body, e);
	if (state < 0)
		return state;
	if (unlikely(state != BATCH_WHOLE || b.base_offset != r->offset))
		return bad_batch(r, state, tail, limit, e);
	int rc = batch_supported(&b, e);
	if (rc)
		return rc;
	if (b.kind == BATCH_SEAL)
		return cross(r, e);
	if (b.kind == BATCH_LOST && r->offset + b.span > r->pos && r->pos >= r->offset)
		return corrupt(r, r->byte, r->byte + b.length, r->offset, r->offset + b.span,
			       "records were given up by repair", e);
	if (b.kind == BATCH_DATA && b.base_offset + b.span > r->pos)
		take_records(r, &b, body);
	r->byte += b.length;
	r->offset += b.span;
	return 1;
}

static int load(struct log_reader *r, struct err *e)
{
	struct partition *p = r->p;
	struct tail tail;
	uint64_t oldest;
	int rc = partition_tail(p, r->durable_only, &tail, &oldest, e);
	if (rc)
		return rc;
	if (unlikely(r->pos < oldest))
		return history_lost(p, r->pos, e);
	if (unlikely(tail.next < r->pos && r->pos <= r->seen))
		return history_lost(p, r->pos, e);
	r->seen = MAX(r->seen, tail.next);
	uint64_t session =
		p->slot ? atomic_load_explicit(&p->slot->session, memory_order_relaxed) : 0;
	if (unlikely(session != r->session)) {
		/* Another writer may have cut what we stood behind. */
		unplace(r);
		r->session = session;
	}
	if (!r->placed) {
		if (r->pos >= tail.next)
			return 0;
		rc = r->near ? place_near(r, e) : place(r, e);
		if (rc)
			return rc;
	}
	if (r->h.base_position + r->byte >= tail.position)
		return 0;
	if (r->blocked.position && r->blocked.position == tail.position &&
	    r->blocked.next == tail.next)
		return 0;
	return step(r, &tail, e);
}

static int bad_record(struct log_reader *r, struct err *e)
{
	r->left = 0;
	return corrupt(r, 0, r->byte, r->next_offset, r->offset,
		       "a batch with a valid checksum holds malformed records", e);
}

int log_reader_next(struct log_reader *r, struct log_record *rec, struct err *e)
{
	if (unlikely(r->idle))
		reader_busy(r);
	for (;;) {
		while (r->left) {
			if (unlikely(!record_decode(&r->at, r->end, r->base_time_ms, rec)))
				return bad_record(r, e);
			r->left--;
			uint64_t offset = r->next_offset++;
			if (unlikely(offset < r->pos))
				continue;
			rec->offset = offset;
			r->pos = offset + 1;
			return 1;
		}
		int rc = load(r, e);
		if (rc == 1)
			continue;
		if (rc == 0 && r->fd >= 0)
			reader_idle(r);
		return rc;
	}
}
