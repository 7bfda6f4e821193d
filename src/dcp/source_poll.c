/* source_poll.c: the consumer's side: blocks become batches of events, events get their tickets, acknowledgements move
 * the marks.
 *
 *	queue ─▶ lent block ─▶ decoded from the slabs into the batch ─▶ tickets, under the lock ─▶ consumer
 *	            └─ kept until the next poll: the events are views of its slabs
 *
 * A ticket is given when the consumer takes the event, in the order in which they were emitted. What was called back
 * since (a nack, a checkpoint that has to go back, another ownership) is left out here: it comes again. Only a rollback
 * that is still to be acknowledged outlives that, and then leads no further than the place it was called back to. */
#include "dcp/source_internal.h"

#include "base/mem.h"
#include "dcp/wire_parse.h"

/* ---- blocks ---- */

static bool lent_done(const struct dcp_source *s)
{
	return !s->lent || s->lent->at == s->lent->n_cells;
}

/* Under hand: the consumer is done with what it was lent. True: the I/O thread should look at it now. */
static bool give_back(struct dcp_source *s)
{
	struct block *b = s->lent;
	s->lent = NULL;
	b->next = s->returned;
	s->returned = b;
	s->returned_bytes += b->bytes;
	bool wake = s->returned_bytes >= s->o.window_bytes / 16 ||
		    (s->paused && s->queued <= source_read_ahead(s) / 2);
	wake = wake && !s->io_woken && !s->drive.lent;
	s->io_woken |= wake;
	return wake;
}

static int why_ended(struct dcp_source *s, struct err *e)
{
	mutex_lock(&s->lock);
	int rc = s->error.code;
	if (e)
		*e = s->error;
	mutex_unlock(&s->lock);
	return rc;
}

/* Under hand. Whether there is something, and it may be handed out now. */
static bool something(const struct dcp_source *s)
{
	if ((!s->queue_first && lent_done(s)) || s->n_branch_unsaved)
		return false;
	return s->hand_out_until == INT64_MAX || env_mono(s->env) <= s->hand_out_until;
}

/* Under hand. False: not in time. */
static bool await(struct dcp_source *s, nsec deadline)
{
	if (source_turn(s, deadline))
		return true;
	if (deadline == 0)
		return false;
	s->waited_for = true;
	return cond_wait_until(&s->arrived, &s->hand, deadline) != 0;
}

/* Lends the next block, if the one that is lent is done. Waits for one, or until it may be handed out. 1, 0 not in time,
 * the error that ended it all. */
static int lend_block(struct dcp_source *s, nsec deadline, struct err *e)
{
	bool done = lent_done(s);
	if (done && s->lent)
		source_block_empty(s->lent);
	mutex_lock(&s->hand);
	if (done && s->lent && give_back(s))
		loop_wake(s->loop);
	while (!something(s) && !s->ended && !s->interrupted && await(s, deadline))
		;
	s->waited_for = s->interrupted = false;
	bool have = something(s);
	struct block *b = s->queue_first;
	if (have && done) {
		s->queue_first = b->next;
		if (!b->next)
			s->queue_last = NULL;
		b->next = NULL; /* the others stay in the queue */
		s->queued -= b->bytes;
		s->lent = b;
	}
	bool ended = s->ended;
	mutex_unlock(&s->hand);
	return have ? 1 : ended ? why_ended(s, e) : 0;
}

/* ---- decoding ---- */

/* How the value is handed out: 0 as it is, else inflated to so many bytes. */
static size_t inflated_size(const struct dcp_event *ev)
{
	size_t size;
	if (!(ev->datatype & DATATYPE_SNAPPY) ||
	    wire_inflated_size(ev->value, DCP_VALUE_MAX, &size, NULL) < 0)
		return 0; /* damaged: handed out as it is, still marked as compressed */
	return size;
}

static void split_xattrs(struct dcp_event *ev)
{
	if ((ev->datatype & (DATATYPE_XATTR | DATATYPE_SNAPPY)) == DATATYPE_XATTR &&
	    wire_split_xattrs(ev->value, &ev->xattrs, &ev->value, NULL) == 0)
		ev->datatype &= (uint8_t)~DATATYPE_XATTR;
}

/* The values of the batch that are compressed, `total` bytes in all. */
static int inflate(struct dcp_source *s, size_t n, size_t total, struct err *e)
{
	if (s->inflated.cap > 2 * BATCH_INFLATED)
		buf_done(&s->inflated); /* for one big document */
	buf_reset(&s->inflated);
	if (!buf_reserve(&s->inflated, total))
		return err_nomem(e);
	for (size_t i = 0; i < n; i++) {
		struct dcp_event *ev = &s->batch[i];
		size_t size = ev->kind <= DCP_EXPIRATION ? inflated_size(ev) : 0;
		uint8_t *to = s->inflated.p + s->inflated.len;
		if (size == 0 || wire_inflate_into(ev->value, to, size, NULL) < 0)
			continue;
		ev->value = slice_of(to, size);
		ev->datatype &= (uint8_t)~DATATYPE_SNAPPY;
		s->inflated.len += size;
		split_xattrs(ev);
	}
	return 0;
}

/* False: it would be too much for this batch. */
static bool unpack(struct dcp_event *ev, size_t *inflated)
{
	size_t size = ev->kind <= DCP_EXPIRATION ? inflated_size(ev) : 0;
	if (size && *inflated && *inflated + size > BATCH_INFLATED)
		return false;
	*inflated += size;
	if (size == 0)
		split_xattrs(ev);
	return true;
}

/* Where the event is, but for its seqno. */
static inline void take_place(struct dcp_event *ev, const struct place *at, bool whole)
{
	uint64_t seqno = ev->pos.seqno;
	ev->vb = at->vb;
	ev->out_of_order = (at->flags & PLACE_OUT_OF_ORDER) != 0;
	ev->snapshot_flags = at->flags & ~PLACE_OUT_OF_ORDER;
	ev->ticket = at->epoch;
	ev->pos.snap_start = whole ? seqno : at->snap_start;
	ev->pos.snap_end = whole ? seqno : at->snap_end;
	ev->pos.uuid = at->uuid;
}

static inline void read_doc(const struct dcp_source *s, const uint8_t *p, struct dcp_event *ev)
{
	struct wire_doc d;
	if (unlikely(ev->kind > DCP_EXPIRATION)) /* else its rarer fields are zero */
		*ev = (struct dcp_event){ 0 };
	wire_doc_again(p, s->vb_config.collections, &d);
	event_take_doc(ev, &d);
	ev->kind = (uint8_t)(p[1] - OP_DCP_MUTATION);
	ev->pos.seqno = d.seqno;
}

/* The documents of a cell. How many; the batch may have room for no more, then the cell has the rest. */
static size_t read_docs(const struct dcp_source *s, struct block *b, union cell *c,
			const struct place *at, size_t n, size_t *inflated)
{
	const uint8_t *slab = b->slab[c->slab]->p, *p = slab + c->at;
	for (size_t i = 0;; i++) {
		struct dcp_event *ev = &s->batch[n + i];
		read_doc(s, p, ev);
		take_place(ev, at, c->whole);
		ev->came = s->came;
		if (unlikely(ev->datatype & (DATATYPE_SNAPPY | DATATYPE_XATTR)) &&
		    !unpack(ev, inflated)) {
			c->at = (uint32_t)(p - slab);
			c->more -= (uint8_t)i;
			return i;
		}
		if (i == c->more)
			return i + 1;
		p += PACKET_HEADER + get_be32(p + 8);
	}
}

/* A system event, or what was made up here. */
static void read_rare(const struct dcp_source *s, const struct block *b, const union cell *c,
		      const struct place *at, struct dcp_event *ev)
{
	const struct slab *slab = b->slab[c->slab];
	const uint8_t *p = slab->p + c->at;
	struct packet packet;
	*ev = (struct dcp_event){ 0 };
	if (c->kind == DCP_ROLLBACK || c->kind == DCP_END) {
		memcpy(ev, p, sizeof(*ev));
		return;
	}
	ASSERT(packet_view(slice_of(p, slab->cap - c->at), PACKET_BODY_MAX, &packet, NULL, NULL) ==
	       1);
	ASSERT(event_of_packet(&packet, s->vb_config.collections, ev, &ev->pos.seqno) == 1);
	take_place(ev, at, c->whole);
}

static void read_advanced(const union cell *c, const struct place *at, struct dcp_event *ev)
{
	*ev = (struct dcp_event){ .kind = DCP_ADVANCED, .pos.seqno = c[1].seqno };
	take_place(ev, at, c->whole);
}

/* Fills the batch from the lent block, all of it unless its documents are big. *n events; a ticket holds the epoch. */
static int decode(struct dcp_source *s, size_t *n, struct err *e)
{
	struct block *b = s->lent;
	struct place at = b->place;
	union cell last = { 0 }; /* the run that is read now, before a part of it is taken off */
	uint32_t i = b->at;
	size_t inflated = 0;
	bool full = false;
	*n = 0;
	while (i < b->n_cells && !full) {
		union cell *c = &b->cell[i];
		if (c->kind <= DCP_EXPIRATION) {
			last = *c;
			size_t got = read_docs(s, b, c, &at, *n, &inflated);
			full = got < last.more + 1u;
			*n += got;
			i += !full;
		} else if (c->kind == CELL_PLACE) {
			memcpy(&at, c + 1, sizeof(at));
			i += 1 + PLACE_CELLS;
		} else if (unlikely(c->kind == CELL_TIME)) {
			s->came = c[1].time;
			i += 2;
		} else if (c->kind == DCP_ADVANCED) {
			read_advanced(c, &at, &s->batch[(*n)++]);
			i += 2;
		} else {
			read_rare(s, b, c, &at, &s->batch[*n]);
			s->batch[(*n)++].came = s->came;
			i++;
		}
	}
	int rc = inflated ? inflate(s, *n, inflated, e) : 0;
	if (rc < 0) { /* nothing was handed out: the next poll begins here again */
		if (full)
			b->cell[i] = last;
		return rc;
	}
	b->at = i;
	b->place = at;
	return 0;
}

/* ---- tickets ---- */

/* Recalls above which another, later one goes no lower are not needed; nor are those of which all is polled. */
void source_recall(struct dcp_source *s, struct slot *slot, const struct dcp_position *to)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < slot->n_recalls; i++)
		if (slot->recall[i].to.seqno < to->seqno && slot->recall[i].epoch > slot->polled)
			slot->recall[kept++] = slot->recall[i];
	if (kept == RECALLS) { /* more than is sensible: all of it comes again, from the mark on */
		kept = 0;
		to = &slot->w.mark;
		slot->nack = s->nacks = true;
		slot->nack_delay = 0;
		source_wake(s);
	}
	slot->recall[kept] = (struct recall){ ++slot->epoch, *to };
	slot->n_recalls = kept + 1;
}

/* The lowest place that what was emitted in `epoch` was called back to; NULL: it was not. */
static const struct dcp_position *recalled(const struct slot *slot, uint32_t epoch)
{
	for (uint32_t i = 0; i < slot->n_recalls; i++) /* they ascend */
		if (slot->recall[i].epoch > epoch)
			return &slot->recall[i].to;
	return NULL;
}

static bool takes(const struct slot *slot)
{
	return slot->owned && !slot->leaving;
}

/* Under lock. 1 the consumer gets it, 0 it only counts, negative: nothing more can be tracked. */
static int enrol(struct slot *slot, struct dcp_event *ev, struct err *e)
{
	uint32_t epoch = (uint32_t)ev->ticket;
	if (ev->kind == DCP_END)
		return 1;
	if (!takes(slot) || epoch < slot->tenure)
		return 0; /* handed over while it was on the way */
	slot->polled = epoch;
	if (ev->kind == DCP_ROLLBACK)
		slot->rollbacks_queued--;
	if (unlikely(epoch != slot->epoch)) {
		const struct dcp_position *to = recalled(slot, epoch);
		bool above = to && ev->pos.seqno > to->seqno;
		if (above && ev->kind != DCP_ROLLBACK)
			return 0;
		if (above)
			ev->pos = *to;
	}
	if (ev->kind == DCP_ADVANCED)
		return MIN(0, ack_advance(&slot->w, &ev->pos, e));
	int rc;
	if (ev->kind == DCP_ROLLBACK)
		rc = ack_rollback(&slot->w, &ev->pos, &ev->ticket, e);
	else
		rc = ack_push(&slot->w, ev->out_of_order ? ACK_HOLD : ACK_EVENT, &ev->pos,
			      &ev->ticket, e);
	return rc < 0 ? rc : 1;
}

/* How many documents of one vBucket the batch has from i on that nothing has called back. */
static inline size_t run_from(const struct dcp_source *s, size_t i, size_t n)
{
	const struct dcp_event *first = &s->batch[i];
	const struct slot *slot = &s->slot[first->vb];
	size_t end = i;
	if (!takes(slot) || (uint32_t)first->ticket != slot->epoch)
		return 0;
	while (end < n && s->batch[end].kind <= DCP_EXPIRATION && s->batch[end].vb == first->vb &&
	       s->batch[end].ticket == first->ticket && !s->batch[end].out_of_order)
		end++;
	return end - i;
}

/* Tickets for a run; it moves to `to`. */
static int enrol_run(struct dcp_source *s, size_t i, size_t n, size_t to, struct err *e)
{
	struct slot *slot = &s->slot[s->batch[i].vb];
	int rc = ack_reserve(&slot->w, n, e);
	if (rc < 0)
		return rc;
	slot->polled = slot->epoch;
	if (unlikely(to != i))
		memmove(&s->batch[to], &s->batch[i], n * sizeof(*s->batch));
	for (struct dcp_event *ev = &s->batch[to], *end = ev + n; ev < end; ev++)
		ev->ticket = ack_put(&slot->w, ACK_EVENT, &ev->pos);
	return 0;
}

/* Under lock. Leaves in the batch what the consumer gets. */
static int enrol_batch(struct dcp_source *s, size_t n, size_t *kept, struct err *e)
{
	for (size_t i = 0; i < n;) {
		struct dcp_event *ev = &s->batch[i];
		size_t run = run_from(s, i, n);
		int rc;
		if (run > 0) {
			rc = enrol_run(s, i, run, *kept, e);
			*kept += run;
			i += run;
		} else {
			rc = enrol(&s->slot[ev->vb], ev, e);
			if (rc > 0 && *kept != i)
				s->batch[*kept] = *ev;
			*kept += rc > 0;
			i++;
		}
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int enrol_all(struct dcp_source *s, size_t n, size_t *kept, struct err *caller)
{
	struct err e = ERR_INIT;
	*kept = 0;
	mutex_lock(&s->lock);
	int rc = enrol_batch(s, n, kept, &e);
	mutex_unlock(&s->lock);
	if (rc >= 0)
		return 0;
	source_fail(s, &e); /* what came behind it would be missing */
	if (caller)
		*caller = e;
	return rc;
}

static void note_rest(struct dcp_source *s)
{
	mutex_lock(&s->hand);
	s->lent_rest = !lent_done(s);
	if (s->fd_used && !s->ended && !something(s))
		notify_clear(s->fd);
	mutex_unlock(&s->hand);
}

int dcp_source_poll(struct dcp_source *s, struct dcp_batch *out, nsec wait, struct err *e)
{
	nsec deadline = wait > 0 ? env_mono(s->env) + wait : wait;
	size_t n, kept = 0;
	while (kept == 0) {
		int rc = lend_block(s, deadline, e);
		if (rc <= 0) {
			note_rest(s);
			return rc;
		}
		rc = decode(s, &n, e);
		if (rc == 0)
			rc = enrol_all(s, n, &kept, e);
		if (rc < 0)
			return rc;
		note_rest(s);
	}
	*out = (struct dcp_batch){ s->batch, kept };
	return 1;
}

void dcp_source_hand_out_until(struct dcp_source *s, nsec until)
{
	mutex_lock(&s->hand);
	s->hand_out_until = until;
	cond_broadcast(&s->arrived);
	if (s->fd_used && something(s))
		notify_set(s->fd);
	mutex_unlock(&s->hand);
}

/* A vBucket that has no branch saved yet comes (+1) or is settled (-1). Under lock. */
void source_hold_back(struct dcp_source *s, int change)
{
	mutex_lock(&s->hand);
	s->n_branch_unsaved += (uint32_t)change;
	cond_broadcast(&s->arrived);
	if (s->fd_used && something(s))
		notify_set(s->fd);
	mutex_unlock(&s->hand);
}

bool source_holds_back(struct dcp_source *s)
{
	mutex_lock(&s->hand);
	bool some = s->n_branch_unsaved > 0;
	mutex_unlock(&s->hand);
	return some;
}

void dcp_source_interrupt(struct dcp_source *s)
{
	mutex_lock(&s->hand);
	s->interrupted = true;
	cond_broadcast(&s->arrived);
	mutex_unlock(&s->hand);
}

int dcp_source_fd(struct dcp_source *s)
{
	mutex_lock(&s->hand);
	s->fd_used = true;
	if (something(s) || s->ended)
		notify_set(s->fd);
	mutex_unlock(&s->hand);
	source_wake(s); /* nobody looks at the sockets while the caller waits */
	return s->fd;
}

/* Under lock. Notices when a rollback was acknowledged. */
static inline int ack(struct dcp_source *s, const struct dcp_event *ev, bool *rollback)
{
	if (ev->vb >= s->n_slots || ev->kind == DCP_END)
		return ERR_NOTFOUND;
	struct slot *slot = &s->slot[ev->vb];
	if (!takes(slot))
		return ERR_NOTFOUND;
	uint64_t before = slot->w.rollbacks_acked;
	int rc = ack_one(&slot->w, ev->ticket, NULL);
	*rollback |= slot->w.rollbacks_acked != before;
	return MIN(rc, 0);
}

void source_save_rollback(struct dcp_source *s)
{
	if (s->o.store) {
		s->save_now = true;
		cond_broadcast(&s->changed);
	} else {
		s->release_rollbacks = true;
		source_wake(s);
	}
}

int dcp_source_ack_batch(struct dcp_source *s, const struct dcp_event *ev, size_t n)
{
	bool rollback = false;
	int rc = 0;
	mutex_lock(&s->lock);
	for (size_t i = 0; i < n; i++) {
		int one = ack(s, &ev[i], &rollback);
		if (one < 0 && ev[i].kind != DCP_END)
			rc = one;
	}
	if (rollback)
		source_save_rollback(s);
	mutex_unlock(&s->lock);
	return rc;
}

int dcp_source_ack(struct dcp_source *s, const struct dcp_event *ev)
{
	return dcp_source_ack_batch(s, ev, 1);
}

void dcp_source_nack(struct dcp_source *s, uint16_t vb, nsec delay)
{
	if (vb >= s->n_slots)
		return;
	mutex_lock(&s->lock);
	s->slot[vb].nack = s->nacks = true;
	s->slot[vb].nack_delay = delay;
	mutex_unlock(&s->lock);
	source_wake(s);
}
