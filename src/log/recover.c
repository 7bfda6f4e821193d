#include "log/recover.h"

#include "base/mem.h"

#include <inttypes.h>

#define SCAN_AHEAD (256u << 10)

/* Where the scan stands: the next batch should be that of offset x.offset at byte x.byte of bases[i]. */
struct scan {
	const struct place *pl;
	struct recovered *r;
	struct window w;
	size_t i;
	struct segment_header h;
	uint32_t seed;
	uint64_t file_bytes;
	struct index_entry x;
	uint64_t last_entry_byte;
	bool sealed, marked;
};

static int add_index(struct recovered *r, const struct index_entry *x, struct err *e)
{
	if (r->n_index == r->cap_index) {
		size_t cap = r->cap_index ? r->cap_index * 2 : 4;
		struct index_entry *p = mem_retry(r->index, cap * sizeof(*p));
		if (!p)
			return err_nomem(e);
		r->index = p;
		r->cap_index = cap;
	}
	r->index[r->n_index++] = *x;
	return 0;
}

static void leave_segment(struct scan *s)
{
	file_close(s->w.file);
	s->w.file = NULL;
	window_forget(&s->w);
}

/* Opens bases[i]; 1 when it has an identity, 0 when not. */
static int enter_segment(struct scan *s, size_t i, struct err *e)
{
	leave_segment(s);
	s->i = i;
	int rc = segment_open(s->pl, s->r->bases[i], &s->w.file, &s->h, NULL, e);
	if (rc == ERR_CORRUPT) {
		err_clear(e);
		s->w.file = NULL;
		return 0;
	}
	if (rc == 0)
		rc = file_size(s->w.file, &s->file_bytes, e);
	if (rc)
		return rc;
	s->seed = header_seed(&s->h);
	return 1;
}

/* ---- the segments there are ---- */

static int list_segments(const struct place *pl, struct recovered *r, struct err *e)
{
	uint64_t low = 0;
	struct trim_meta mark;
	int rc = trim_meta_read(pl->env, pl->dir, &mark, e);
	bool unreadable = rc != ERR_NOTFOUND;
	if (rc == 0 && memcmp(mark.topic_id, pl->topic_id, 16) == 0 &&
	    mark.partition == pl->partition) {
		low = mark.oldest;
		unreadable = false;
	} else if (rc && rc != ERR_NOTFOUND && rc != ERR_CORRUPT && rc != ERR_INVALID) {
		return rc;
	}
	/* A damaged mark only brings back what a trim had not come to unlink. */
	err_clear(e);
	uint64_t *all;
	size_t n;
	rc = segment_list(pl, "seg", &all, &n, e);
	if (rc)
		return rc;
	size_t gone = 0;
	while (gone < n && all[gone] < low && (gone + 1 == n || all[gone + 1] <= low))
		gone++;
	r->bases = mem_try_array(n - gone, sizeof(*r->bases));
	if (!r->bases) {
		mem_free(all);
		return err_nomem(e);
	}
	if (n > gone)
		memcpy(r->bases, all + gone, (n - gone) * sizeof(*all));
	r->trimmed = all;
	r->n_trimmed = gone;
	r->n = n - gone;
	/* Without a readable mark the first segment there is has to be believed. */
	r->low = unreadable && r->n ? r->bases[0] : low;
	r->oldest = r->n ? r->bases[0] : low;
	return 0;
}

/* ---- where to begin ---- */

/* Enters the last segment whose base is known durable, and sets x to the place to scan from. */
static int choose_start(struct scan *s, struct err *e)
{
	struct recovered *r = s->r;
	for (size_t i = r->n; i-- > 0;) {
		int rc = enter_segment(s, i, e);
		if (rc < 0)
			return rc;
		if (rc == 0)
			continue;
		struct index_entry *index;
		size_t n;
		uint64_t bytes, durable;
		rc = index_load(s->pl, &s->h, &index, &n, &bytes, &durable, e);
		if (rc)
			return rc;
		r->durable_next = MAX(r->durable_next, MAX(durable, s->h.durable));
		/* With nothing durable in it, the seal before it may be missing, too. The first segment
		 * does not count either when those before it were neither trimmed nor durable: they
		 * were lost, and so is what comes behind them. */
		bool empty = i > 0 && s->h.base_offset >= r->durable_next;
		bool lost = s->h.base_offset > r->durable_next && s->h.base_offset > r->low;
		if (empty || lost) {
			mem_free(index);
			continue;
		}
		s->x = (struct index_entry){ SEGMENT_HEADER_BYTES, s->h.base_offset, INT64_MIN,
					     s->h.durable };
		size_t keep = 0;
		while (keep < n && index[keep].offset <= r->durable_next &&
		       index[keep].byte <= s->file_bytes)
			s->x = index[keep++];
		s->last_entry_byte = s->x.byte;
		r->index = index;
		r->n_index = keep;
		r->cap_index = n;
		r->index_valid_bytes = bytes ? HEADER_BLOCK_BYTES + keep * INDEX_ENTRY_BYTES : 0;
		r->scanned_from = i;
		return 1;
	}
	return 0;
}

/* ---- what stands behind the first bad place ---- */

/* The highest durable offset that anything behind s->x claims; *resume_byte and *resume_offset are the next valid
 * batch of the same segment, when there is one. */
struct behind {
	uint64_t durable;
	bool found;
	uint64_t byte, offset;
	bool later_segments;
};

static int look_behind_in(struct scan *s, uint64_t from, struct behind *out, bool first,
			  struct err *e)
{
	for (uint64_t at = from;;) {
		struct batch b;
		int rc = batch_find(&s->w, s->seed, at, UINT64_MAX, &at, &b, e);
		if (rc <= 0)
			return rc;
		out->durable = MAX(out->durable, b.durable);
		if (first && !out->found && b.base_offset >= s->x.offset) {
			out->found = true;
			out->byte = at;
			out->offset = b.base_offset;
		}
		at += b.length;
	}
}

static int look_behind(struct scan *s, struct behind *out, struct err *e)
{
	*out = (struct behind){ .durable = s->r->durable_next };
	size_t here = s->i;
	int rc = 0;
	if (s->w.file)
		rc = look_behind_in(s, s->x.byte, out, true, e);
	for (size_t i = here + 1; rc == 0 && i < s->r->n; i++) {
		out->later_segments = true;
		rc = enter_segment(s, i, e);
		if (rc == 1) {
			out->durable = MAX(out->durable, s->h.durable);
			rc = look_behind_in(s, SEGMENT_HEADER_BYTES, out, false, e);
		}
	}
	if (rc < 0)
		return rc;
	if (out->later_segments) {
		struct index_entry x = s->x;
		rc = enter_segment(s, here, e);
		s->x = x;
	}
	return MIN(rc, 0);
}

static void note_damage(struct scan *s, const struct behind *behind)
{
	struct recovered *r = s->r;
	if (r->damaged)
		return;
	r->damaged = true;
	r->damage_base = r->bases[s->i];
	r->damage_from_byte = s->x.byte;
	r->damage_from = s->x.offset;
	if (behind->found) {
		r->damage_to_byte = behind->byte;
		r->damage_to = behind->offset;
	} else {
		r->damage_to_byte = MAX(s->file_bytes, s->x.byte);
		r->damage_to = behind->later_segments ? MAX(r->bases[s->i + 1], s->x.offset)
						      : MAX(behind->durable, s->x.offset);
	}
}

static int finish(struct scan *s, bool clean, struct err *e)
{
	struct recovered *r = s->r;
	r->last = s->i;
	r->header = s->h;
	r->end_byte = s->x.byte;
	r->next = s->x.offset;
	r->file_bytes = s->file_bytes;
	r->clean = clean && s->i + 1 == r->n;
	r->sealed = s->sealed;
	r->marked = s->marked;
	r->max_time_ms = s->x.max_time_ms;
	r->claimed = r->durable_next;
	r->durable_next = MIN(r->durable_next, r->next);
	/* The index ends where the data do, so that the next open starts there. */
	if (!r->sealed && (r->n_index == 0 || r->index[r->n_index - 1].byte < s->x.byte))
		return add_index(r, &s->x, e);
	return 0;
}

static int next_segment(struct scan *s, struct err *e)
{
	int rc = enter_segment(s, s->i + 1, e);
	if (rc < 0)
		return rc;
	s->x = (struct index_entry){ SEGMENT_HEADER_BYTES, s->r->bases[s->i], INT64_MIN,
				     s->x.durable };
	s->last_entry_byte = s->x.byte;
	s->r->n_index = 0;
	s->r->index_valid_bytes = 0;
	s->sealed = s->marked = false;
	return rc;
}

/* The batch at s->x is not whole. Decides between the end, a torn tail and damage. 1: go on behind the damage;
 * 0: this is the end. */
static int bad_place(struct scan *s, int state, struct err *e)
{
	struct recovered *r = s->r;
	if (state == BATCH_NONE && s->i + 1 == r->n && s->x.offset >= r->durable_next) {
		int rc = window_zero(&s->w, s->x.byte, UINT64_MAX, e);
		if (rc < 0)
			return rc;
		if (rc == 1)
			return finish(s, true, e);
	}
	struct behind behind;
	int rc = look_behind(s, &behind, e);
	if (rc)
		return rc;
	bool ends = s->i + 1 == r->n &&
		    (state == BATCH_SHORT ||
		     (state == BATCH_NONE && s->file_bytes < s->x.byte + BATCH_HEADER_BYTES));
	if (behind.durable <= s->x.offset || (ends && !behind.found))
		return finish(s, false, e);

	note_damage(s, &behind);
	if (behind.found) {
		s->x.byte = (uint32_t)behind.byte;
		s->x.offset = behind.offset;
		return 1;
	}
	if (behind.later_segments) {
		for (;;) {
			rc = next_segment(s, e);
			if (rc != 0)
				return rc;
			/* No identity: the whole segment is lost. */
			if (s->i + 1 == r->n)
				break;
		}
	}
	s->x.offset = MAX(s->x.offset, behind.durable);
	return finish(s, false, e);
}

/* Notes where the known durable offset stands, once the scan passes it. */
static void note_durable(struct scan *s)
{
	struct recovered *r = s->r;
	if (s->x.offset <= r->durable_next)
		r->durable_position = s->h.base_position + s->x.byte;
}

static int take_batch(struct scan *s, const struct batch *b, struct err *e)
{
	s->sealed = b->kind == BATCH_SEAL;
	s->marked = b->kind == BATCH_MARK;
	if (!s->sealed && s->x.byte - s->last_entry_byte >= INDEX_STEP_BYTES) {
		int rc = add_index(s->r, &s->x, e);
		if (rc)
			return rc;
		s->last_entry_byte = s->x.byte;
	}
	s->x.durable = MAX(s->x.durable, b->durable);
	s->r->durable_next = MAX(s->r->durable_next, b->durable);
	if (b->kind == BATCH_DATA)
		s->x.max_time_ms = MAX(s->x.max_time_ms, b->max_time_ms);
	s->x.byte += b->length;
	s->x.offset += b->span;
	return 0;
}

static int scan_forward(struct scan *s, struct err *e)
{
	for (;;) {
		note_durable(s);
		if (s->sealed) {
			/* A missing or torn successor is judged like a torn batch here. */
			if (s->i + 1 == s->r->n)
				return finish(s, true, e);
			uint64_t next = s->x.offset;
			if (s->r->bases[s->i + 1] == next) {
				struct index_entry x = s->x;
				size_t i = s->i;
				int rc = next_segment(s, e);
				if (rc < 0)
					return rc;
				if (rc == 1)
					continue;
				/* Its headers are gone. Unless something says it was durable, its creation tore. */
				struct behind behind;
				rc = look_behind(s, &behind, e);
				if (rc)
					return rc;
				if (behind.durable > next && behind.later_segments) {
					rc = bad_place(s, BATCH_BAD_HEADER, e);
					if (rc != 1)
						return rc;
					continue;
				}
				if (behind.durable > next)
					note_damage(s, &behind);
				rc = enter_segment(s, i, e);
				if (rc < 0)
					return rc;
				s->x = x;
				s->sealed = true;
				return finish(s, false, e);
			}
		}
		struct batch b;
		const uint8_t *body;
		int rc = batch_at(&s->w, s->seed, s->x.byte, UINT64_MAX, true, &b, &body, e);
		if (rc < 0)
			return rc;
		if (rc == BATCH_WHOLE && b.base_offset == s->x.offset && !s->sealed) {
			rc = batch_supported(&b, e);
			if (rc == 0)
				rc = take_batch(s, &b, e);
			if (rc)
				return rc;
			continue;
		}
		rc = bad_place(s, rc == BATCH_WHOLE ? BATCH_BAD_HEADER : rc, e);
		if (rc != 1)
			return rc;
	}
}

/* No segment could be identified: a creation that tore, as far as anybody can tell. */
static int no_identity(struct recovered *r)
{
	r->headless = true;
	r->oldest = r->next = r->durable_next = r->low;
	return 0;
}

int recover_scan(const struct place *pl, struct recovered *out, struct err *e)
{
	*out = (struct recovered){ .max_time_ms = INT64_MIN };
	int rc = list_segments(pl, out, e);
	if (rc) {
		recovered_done(out);
		return rc;
	}
	out->next = out->durable_next = out->oldest;
	if (out->n == 0) {
		out->clean = true;
		return 0;
	}
	out->durable_next = 0;
	struct scan s = { .pl = pl, .r = out, .w = { .ahead = SCAN_AHEAD } };
	rc = choose_start(&s, e);
	if (rc == 1)
		rc = scan_forward(&s, e);
	else if (rc == 0)
		rc = no_identity(out);
	leave_segment(&s);
	window_done(&s.w);
	if (rc)
		recovered_done(out);
	return rc;
}

void recovered_done(struct recovered *r)
{
	mem_free(r->bases);
	mem_free(r->trimmed);
	mem_free(r->index);
	r->bases = r->trimmed = NULL;
	r->index = NULL;
}

int recovered_damage(const struct place *pl, const struct recovered *r, struct err *e)
{
	char path[PATH_BYTES];
	int rc = segment_path(pl, r->damage_base, "seg", path, e);
	if (rc)
		return rc;
	rc = err_set(e, ERR_CORRUPT,
		     "%s is damaged at bytes %" PRIu64 " to %" PRIu64 ": offsets %" PRIu64
		     " to %" PRIu64 " are lost; run repair",
		     path, r->damage_from_byte, r->damage_to_byte, r->damage_from, r->damage_to);
	if (e) {
		e->oldest = r->damage_from;
		e->newest = r->damage_to;
	}
	return rc;
}
