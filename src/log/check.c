#include "log/check.h"

#include "base/mem.h"

#define CHECK_AHEAD (1u << 20)

#define PROGRESS_BYTES (4u << 20)

struct check {
	struct partition *p;
	int (*each)(void *arg, const struct damage *d);
	void *arg;
	struct log_report *out;
	struct recovered r;
	struct tail tail; /* where a live writer, or the scan, says that it ends */
	bool live;        /* somebody is writing */

	struct window w;
	struct segment_header h;
	uint32_t seed;
	uint64_t base;
	bool last;
	uint64_t byte, offset; /* where the walk stands */
	uint64_t position;     /* of the next segment, as far as known */
	uint64_t first, told;  /* positions: of the first segment; that progress was told last */

	struct index_entry *index;
	size_t n_index, at_index;
	bool index_bad;
};

static int found(struct check *c, struct damage d)
{
	d.base = c->base;
	d.last = c->last;
	c->out->damages++;
	return c->each(c->arg, &d);
}

/* ---- one segment ---- */

static bool records_valid(const struct batch *b, const uint8_t *body, struct log_report *out)
{
	const uint8_t *at = body, *end = body + (b->length - BATCH_HEADER_BYTES);
	for (uint32_t i = 0; i < b->count; i++) {
		struct log_record rec;
		if (!record_decode(&at, end, b->base_time_ms, &rec))
			return false;
	}
	if (end - at >= 8)
		return false;
	while (at < end)
		if (*at++)
			return false;
	out->records += b->count;
	return true;
}

/* Entries must name the places where batches begin. */
static void compare_index(struct check *c)
{
	while (c->at_index < c->n_index && c->index[c->at_index].byte < c->byte) {
		c->index_bad = true;
		c->at_index++;
	}
	if (c->at_index < c->n_index && c->index[c->at_index].byte == c->byte)
		c->index_bad |= c->index[c->at_index++].offset != c->offset;
}

static int check_headers(struct check *c, int copies)
{
	static const uint8_t zeros[SEGMENT_COPY_BYTES - HEADER_BLOCK_BYTES];
	const uint8_t *p;
	size_t got;
	bool padded = copies == 2;
	for (int i = 0; padded && i < 2; i++) {
		uint64_t at = (uint64_t)i * SEGMENT_COPY_BYTES + HEADER_BLOCK_BYTES;
		int rc = window_get(&c->w, at, sizeof(zeros), UINT64_MAX, &p, &got, NULL);
		padded = rc == 0 && got >= sizeof(zeros) && memcmp(p, zeros, sizeof(zeros)) == 0;
	}
	if (padded)
		return 0;
	return found(c, (struct damage){ .kind = DAMAGE_HEADER,
					 .to_byte = SEGMENT_HEADER_BYTES,
					 .from = c->offset,
					 .to = c->offset,
					 .what = "the segment's header is damaged" });
}

static int load_index(struct check *c, struct err *e)
{
	uint64_t valid, durable, size = 0;
	int rc = index_load(&c->p->place, &c->h, &c->index, &c->n_index, &valid, &durable, e);
	if (rc)
		return rc;
	c->at_index = 0;
	/* A writer adds entries in its own time. */
	c->index_bad = valid == 0;
	char path[PATH_BYTES];
	struct file_stat st;
	if (segment_path(&c->p->place, c->base, "idx", path, NULL) == 0 &&
	    env_stat(c->p->place.env, path, &st, NULL) == 0)
		size = st.size_bytes;
	c->index_bad |= !(c->last && c->live) && size != valid;
	return 0;
}

static int index_verdict(struct check *c)
{
	/* One entry may name the end of the data. */
	compare_index(c);
	bool bad = c->index_bad || (c->at_index < c->n_index && !(c->last && c->live));
	mem_free(c->index);
	c->index = NULL;
	c->n_index = 0;
	if (!bad)
		return 0;
	return found(c, (struct damage){ .kind = DAMAGE_INDEX,
					 .from = c->offset,
					 .to = c->offset,
					 .what = "the index is damaged, incomplete or missing" });
}

/* The batch at c->byte is not as it should be. 1: go on behind it; 0: the segment's end. */
static int bad_batch(struct check *c, int state, uint64_t limit, uint64_t next_base, struct err *e)
{
	struct batch b;
	uint64_t at = 0, size = 0;
	int rc = 0;
	for (at = c->byte + 8;; at += b.length) {
		rc = batch_find(&c->w, c->seed, at, limit, &at, &b, e);
		if (rc < 0)
			return rc;
		if (rc == 0 || b.base_offset >= c->offset)
			break;
	}
	struct damage d = { .from_byte = c->byte, .from = c->offset };
	d.what = state == BATCH_BAD_BODY ? "a batch is damaged" : "a batch's header is damaged";
	if (rc == 1) {
		d.kind = DAMAGE_RANGE;
		d.to_byte = at;
		d.to = b.base_offset;
		rc = found(c, d);
		c->byte = at;
		c->offset = d.to;
		return rc ? rc : 1;
	}
	rc = file_size(c->w.file, &size, e);
	if (rc)
		return rc;
	d.kind = DAMAGE_END;
	d.to_byte = MAX(size, c->byte);
	d.to = MAX(c->offset, c->last ? c->tail.next : next_base);
	if (state == BATCH_SHORT || state == BATCH_NONE)
		d.what = d.to > d.from ? "the data are cut short" : "the segment is not sealed";
	c->byte = d.to_byte;
	c->offset = d.to;
	return found(c, d);
}

/* Says how far the check is, every few megabytes and at the end. */
static int tell(struct check *c, uint64_t position, bool end, struct err *e)
{
	const struct log_options *o = &c->p->topic->log->options;
	if (!o->progress || (!end && position - c->told < PROGRESS_BYTES))
		return 0;
	c->told = position;
	uint64_t total = MAX(c->tail.position, position) - c->first;
	if (o->progress(o->progress_arg, MIN(position - c->first, total), total) == 0)
		return 0;
	return err_set(e, ERR_INTERRUPTED, "stopped by the caller");
}

static int walk_segment(struct check *c, uint64_t limit, uint64_t next_base, struct err *e)
{
	while (!c->last || c->byte < limit) {
		compare_index(c);
		struct batch b;
		const uint8_t *body;
		int rc = batch_at(&c->w, c->seed, c->byte, limit, true, &b, &body, e);
		if (rc < 0)
			return rc;
		bool whole = rc == BATCH_WHOLE && b.base_offset == c->offset;
		if (whole) {
			int supported = batch_supported(&b, e);
			if (supported)
				return supported;
		}
		if (whole && b.kind == BATCH_DATA && !records_valid(&b, body, c->out)) {
			whole = false;
			rc = BATCH_BAD_BODY;
		}
		if (!whole) {
			rc = bad_batch(c, rc == BATCH_WHOLE ? BATCH_BAD_HEADER : rc, limit,
				       next_base, e);
			if (rc != 1)
				return rc;
			continue;
		}
		c->out->batches++;
		c->byte += b.length;
		c->offset += b.span;
		if (b.kind == BATCH_SEAL)
			return 0;
		rc = tell(c, c->h.base_position + c->byte, false, e);
		if (rc)
			return rc;
	}
	return 0;
}

static int check_segment(struct check *c, size_t i, struct err *e)
{
	int copies = 0;
	c->base = c->r.bases[i];
	c->last = i + 1 == c->r.n;
	uint64_t next_base = c->last ? UINT64_MAX : c->r.bases[i + 1];
	if (c->base > c->offset) {
		uint64_t missing = c->offset;
		c->base = missing;
		int rc = found(c, (struct damage){ .kind = DAMAGE_MISSING,
						   .from = c->offset,
						   .to = c->r.bases[i],
						   .position = c->position,
						   .what = "a segment is missing" });
		if (rc)
			return rc;
		c->base = c->r.bases[i];
	}
	c->offset = c->base;
	int rc = segment_open(&c->p->place, c->base, &c->w.file, &c->h, &copies, e);
	if (rc == ERR_NOTFOUND) {
		/* Trimmed away while we look. */
		err_clear(e);
		c->offset = next_base;
		return 0;
	}
	if (rc == ERR_CORRUPT) {
		err_clear(e);
		c->offset = c->last ? MAX(c->tail.next, c->base) : next_base;
		return found(c, (struct damage){ .kind = DAMAGE_UNREADABLE,
						 .from = c->base,
						 .to = c->offset,
						 .position = c->position,
						 .what = "the segment cannot be identified" });
	}
	if (rc)
		return rc;
	c->seed = header_seed(&c->h);
	c->byte = SEGMENT_HEADER_BYTES;
	window_forget(&c->w);
	if (i == 0)
		c->first = c->told = c->h.base_position;
	uint64_t limit = UINT64_MAX;
	if (c->last)
		limit = c->tail.position > c->h.base_position
				? c->tail.position - c->h.base_position
				: 0;
	rc = load_index(c, e);
	if (rc == 0)
		rc = check_headers(c, copies);
	if (rc == 0)
		rc = walk_segment(c, limit, next_base, e);
	if (rc == 0)
		rc = index_verdict(c);
	c->position = c->h.base_position + c->byte;
	c->out->segments++;
	c->out->bytes += c->byte;
	mem_free(c->index);
	c->index = NULL;
	file_close(c->w.file);
	c->w.file = NULL;
	return rc;
}

int check_partition(struct partition *p, int (*each)(void *arg, const struct damage *d), void *arg,
		    struct log_report *out, struct err *e)
{
	struct check c = {
		.p = p, .each = each, .arg = arg, .out = out, .w = { .ahead = CHECK_AHEAD }
	};
	uint64_t oldest;
	int rc = partition_tail(p, false, &c.tail, &oldest, e);
	if (rc == 0)
		rc = recover_scan(&p->place, &c.r, e);
	if (rc)
		return rc;
	out->partitions++;
	c.live = p->slot && page_session_live(atomic_load(&p->slot->session)) &&
		 atomic_load(&p->slot->session) == atomic_load(&p->trusted);
	c.offset = c.r.n ? c.r.bases[0] : 0;
	/* Segments behind a torn end are part of the torn tail; those behind damage are not. */
	if (!c.r.headless && !c.r.damaged && c.r.n > c.r.last + 1 && c.r.next >= c.tail.next)
		c.r.n = c.r.last + 1;
	for (size_t i = 0; rc == 0 && i < c.r.n && !c.r.headless; i++)
		rc = check_segment(&c, i, e);
	if (rc == 0 && c.r.n && !c.r.headless && c.r.claimed > MAX(c.offset, c.tail.next))
		rc = found(&c, (struct damage){ .kind = DAMAGE_END,
						.from_byte = c.byte,
						.to_byte = c.byte,
						.from = c.offset,
						.to = c.r.claimed,
						.what = "the data end before what was durable" });
	if (rc == 0)
		rc = tell(&c, c.position, true, e);
	window_done(&c.w);
	recovered_done(&c.r);
	return rc;
}
