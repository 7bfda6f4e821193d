/* source_block.c: events on their way from the I/O thread to the consumer. Nothing of a document is copied: a block says
 * where in the slabs that the sockets were read into its packets lie, and keeps those slabs.
 *
 *	slab   ...| mutation | mutation | marker | deletion |...          packets, as they were read
 *	             ▲                              ▲
 *	block  place | at, 1 more          place    | at  | ADVANCED seqno | ...     cells of eight bytes
 *
 *	emit ─▶ cells of the block being filled ─▶ flush: behind the last block, or into it ─▶ queue ─▶ poll
 *	conn_consumed ◀── returned ◀── (next poll) ◀────────────────────────────────────────────────────┘
 *
 * A place holds for all cells up to the next one. What lies in no slab of its connection (held back, made up here) is
 * copied into a slab at the side. Seqnos without an event travel in the block, too, so that they get their place behind
 * the events before them; poll takes them out.
 *
 * A backlog costs what it has on the wire and some ten bytes an event. It grows up to the flow-control window, but not at
 * once: beyond READ_AHEAD the sockets are left alone, until the consumer has taken half of it or READ_PAUSE is over. Then
 * they are read a slab at a time, so that noops and answers behind the documents come through. */
#include "dcp/source_internal.h"

#include "base/mem.h"

/* ---- blocks ---- */

void source_block_empty(struct block *b)
{
	for (uint32_t i = 0; i < b->n_slabs; i++)
		slab_unref(b->slab[i]);
	b->n_slabs = 0;
	b->n_events = b->n_cells = b->at = b->advanced = 0;
}

static void free_blocks(struct block *b)
{
	while (b) {
		struct block *next = b->next;
		source_block_empty(b);
		mem_free(b);
		b = next;
	}
}

void source_blocks_free(struct dcp_source *s)
{
	free_blocks(s->queue_first);
	free_blocks(s->returned);
	free_blocks(s->free_list);
	free_blocks(s->lent);
	free_blocks(s->fill);
	s->queue_first = s->returned = s->free_list = s->lent = s->fill = NULL;
	slab_unref(s->side);
	s->side = NULL;
	ack_rings_done(&s->rings);
	slab_pool_done(&s->slabs);
	buf_done(&s->inflated);
	mem_free(s->batch);
}

int source_blocks_init(struct dcp_source *s, struct err *e)
{
	slab_pool_init(&s->slabs, READ_SLAB, SLABS_KEEP);
	s->batch = mem_try_array(BLOCK_EVENTS, sizeof(*s->batch));
	if (!s->batch || slab_pool_fill(&s->slabs) < 0 ||
	    ack_rings_init(&s->rings, RINGS_BEGIN, BLOCK_EVENTS) < 0)
		return err_nomem(e);
	while (s->n_free < BLOCKS_BEGIN) {
		struct block *b = mem_try(sizeof(*b));
		if (!b)
			return err_nomem(e);
		b->next = s->free_list;
		s->free_list = b;
		s->n_free++;
		s->n_blocks++;
	}
	return 0;
}

static struct block *take_block(struct dcp_source *s)
{
	mutex_lock(&s->hand);
	struct block *b = s->free_list;
	if (b) {
		s->free_list = b->next;
		s->n_free--;
	} else {
		s->n_blocks++;
	}
	mutex_unlock(&s->hand);
	if (!b)
		b = mem_try(sizeof(*b));
	if (b)
		b->next = NULL;
	return b;
}

/* ---- what was consumed ---- */

static void consumed(struct dcp_source *s, uint32_t connection, uint32_t bytes)
{
	for (uint32_t i = 0; i < s->n_nodes; i++) {
		struct conn *c = s->node[i]->dcp;
		if (c && conn_id(c) == connection) {
			conn_consumed(c, bytes);
			return;
		}
	}
}

static inline bool count_bytes(struct block *b, uint32_t connection, uint32_t bytes)
{
	for (uint32_t i = 0; i < b->n_from; i++)
		if (b->from[i].connection == connection) {
			b->from[i].bytes += bytes;
			b->bytes += bytes;
			return true;
		}
	if (b->n_from == BLOCK_CONNECTIONS)
		return false;
	b->from[b->n_from].connection = connection;
	b->from[b->n_from++].bytes = bytes;
	b->bytes += bytes;
	return true;
}

/* Markers and the like lie in the slabs that the block keeps, so their bytes are given back with it. */
void source_give_back(void *arg, struct vbucket *v, uint32_t connection, uint32_t bytes)
{
	struct dcp_source *s = arg;
	(void)v;
	if (!s->fill || s->fill->n_cells == 0 || !count_bytes(s->fill, connection, bytes))
		consumed(s, connection, bytes);
}

/* Blocks that the consumer is done with, linked by next. */
static void recycle(struct dcp_source *s, struct block *list)
{
	struct block *surplus = NULL;
	if (!list)
		return;
	for (struct block *b = list; b; b = b->next) {
		for (uint32_t i = 0; i < b->n_from; i++)
			consumed(s, b->from[i].connection, b->from[i].bytes);
		b->n_from = 0;
		b->bytes = 0;
	}
	mutex_lock(&s->hand);
	while (list) {
		struct block *b = list, **to = &s->free_list;
		list = b->next;
		if (s->n_free < BLOCKS_KEEP) {
			s->n_free++;
		} else {
			to = &surplus;
			s->n_blocks--;
		}
		b->next = *to;
		*to = b;
	}
	mutex_unlock(&s->hand);
	free_blocks(surplus);
}

/* ---- reading no faster than the consumer ---- */

static void pause_all(struct dcp_source *s)
{
	for (uint32_t i = 0; i < s->n_nodes; i++)
		if (conn_is_ready(s->node[i]->dcp))
			conn_pause(s->node[i]->dcp, true);
}

/* They are read in this order, and the first may bring as much as is wanted: each time it is another one. */
static void resume_all(struct dcp_source *s)
{
	uint32_t first = s->next_resumed++;
	for (uint32_t i = 0; i < s->n_nodes; i++) {
		struct conn *c = s->node[(first + i) % s->n_nodes]->dcp;
		if (conn_is_ready(c))
			conn_pause(c, false);
	}
}

/* Time for one look: the next flush pauses again. */
void source_pause_over(void *arg)
{
	struct dcp_source *s = arg;
	mutex_lock(&s->hand);
	s->paused = false;
	mutex_unlock(&s->hand);
	s->stalled = true;
	resume_all(s);
}

/* Under hand. */
static struct block *take_returned(struct dcp_source *s)
{
	struct block *list = s->returned;
	s->returned = NULL;
	s->returned_bytes = 0;
	s->io_woken = false;
	return list;
}

void source_take_back(struct dcp_source *s)
{
	mutex_lock(&s->hand);
	struct block *list = take_returned(s);
	bool resume = s->paused && s->queued <= source_read_ahead(s) / 2;
	if (resume)
		s->paused = false;
	mutex_unlock(&s->hand);
	recycle(s, list);
	if (resume) {
		timer_clear(&s->pause_timer);
		s->stalled = false;
		resume_all(s);
	}
}

/* ---- filling ---- */

static void hand_over(struct dcp_source *s, bool end_of_round);

/* For so many events: one cell of them and a place. */
static inline struct block *block_with_room(struct dcp_source *s, uint32_t events)
{
	struct block *b = s->fill;
	if (b &&
	    (b->n_events + events > BLOCK_EVENTS || b->n_cells + PLACE_CELLS + 5 > BLOCK_CELLS))
		hand_over(s, false);
	if (!s->fill)
		s->fill = take_block(s);
	return s->fill;
}

/* The place in b's table; -1 it is full. */
static inline int index_of_slab(struct block *b, struct slab *slab)
{
	for (uint32_t i = b->n_slabs; i-- > 0;)
		if (b->slab[i] == slab)
			return (int)i;
	if (b->n_slabs == BLOCK_SLABS)
		return -1;
	b->slab[b->n_slabs] = slab_ref(slab);
	return (int)b->n_slabs++;
}

/* Copies bytes to where they can stay. NULL: out of memory. */
static const uint8_t *put_aside(struct dcp_source *s, const void *p, size_t len)
{
	if (s->side && !slab_shared(s->side)) /* one made for a big document is not kept */
		s->side_used = s->side->cap == READ_SLAB ? 0 : s->side->cap;
	if (!s->side || s->side->cap - s->side_used < len) {
		slab_unref(s->side);
		s->side = slab_get(&s->slabs, len);
		s->side_used = 0;
	}
	if (!s->side)
		return NULL;
	uint8_t *to = s->side->p + s->side_used;
	memcpy(to, p, len);
	s->side_used = MIN((s->side_used + len + 15) & ~(size_t)15, s->side->cap);
	return to;
}

static inline bool same_place(const struct place *a, const struct place *b, bool whole)
{
	return a->vb == b->vb && a->epoch == b->epoch && a->flags == b->flags &&
	       a->uuid == b->uuid &&
	       (whole || (a->snap_start == b->snap_start && a->snap_end == b->snap_end));
}

static inline uint16_t place_flags(const struct dcp_event *ev)
{
	return (uint16_t)((ev->snapshot_flags & ~PLACE_OUT_OF_ORDER) |
			  (ev->out_of_order ? PLACE_OUT_OF_ORDER : 0));
}

/* False: it is the one before. */
static inline bool put_place(struct dcp_source *s, struct block *b, const struct dcp_event *ev,
			     bool whole)
{
	struct place now = {
		.snap_start = ev->pos.snap_start,
		.snap_end = ev->pos.snap_end,
		.uuid = ev->pos.uuid,
		.epoch = s->slot[ev->vb].epoch,
		.vb = ev->vb,
		.flags = place_flags(ev),
	};
	if (likely(b->n_cells > 0 && same_place(&now, &s->place, whole)))
		return false;
	b->cell[b->n_cells++] = (union cell){ .kind = CELL_PLACE };
	memcpy(&b->cell[b->n_cells], &now, sizeof(now));
	b->n_cells += PLACE_CELLS;
	s->place = now;
	return true;
}

/* A block begins with a round of reading. */
static void put_time(struct dcp_source *s, struct block *b)
{
	if (b->n_events)
		return;
	b->cell[b->n_cells++] = (union cell){ .kind = CELL_TIME };
	b->cell[b->n_cells++].time = source_now(s);
}

/* Where the event's bytes are: the slab that its connection was read into, or the one at the side. */
static const uint8_t *find_bytes(struct dcp_source *s, const struct vbucket *v,
				 const struct dcp_event *ev, struct slab **slab)
{
	struct node *n = source_node_of(s, v);
	*slab = n && n->dcp ? conn_slab(n->dcp) : NULL;
	if (*slab && ev->packet.len && slab_has(*slab, ev->packet.p))
		return ev->packet.p;
	const uint8_t *p;
	if (ev->packet.len) {
		p = put_aside(s, ev->packet.p, ev->packet.len);
	} else { /* made up here: the whole of it */
		struct dcp_event made_up = *ev;
		const struct slot *slot = &s->slot[ev->vb];
		made_up.ticket = ev->kind == DCP_END ? slot->nacked : slot->epoch;
		p = put_aside(s, &made_up, sizeof(made_up));
	}
	*slab = s->side;
	return p;
}

static inline const uint8_t *bytes_of(struct dcp_source *s, const struct vbucket *v,
				      const struct dcp_event *ev, struct slab **slab)
{
	const struct block *b = s->fill;
	if (likely(b && b->n_slabs && slab_has(b->slab[b->n_slabs - 1], ev->packet.p))) {
		*slab = b->slab[b->n_slabs - 1];
		return ev->packet.p;
	}
	return find_bytes(s, v, ev, slab);
}

/* Seqnos without an event of one vBucket in a row are one. */
static void put_advanced(struct block *b, const struct dcp_event *ev, bool whole, bool same)
{
	if (same && b->n_cells >= 2 && b->advanced == b->n_cells) {
		b->cell[b->n_cells - 2].whole = whole;
	} else {
		b->cell[b->n_cells] = (union cell){ .kind = DCP_ADVANCED, .whole = whole };
		b->n_cells += 2;
		b->n_events++;
		b->advanced = b->n_cells;
	}
	b->cell[b->n_cells - 1].seqno = ev->pos.seqno;
}

static inline bool fits(struct block *b, const struct dcp_event *ev, struct slab *slab, int *index)
{
	*index = slab ? index_of_slab(b, slab) : 0;
	return *index >= 0 && (!ev->wire_bytes || count_bytes(b, ev->connection, ev->wire_bytes));
}

/* Where so many events like ev go, with its slab and its bytes noted. NULL: out of memory. */
static inline struct block *block_for(struct dcp_source *s, const struct dcp_event *ev,
				      uint32_t events, struct slab *slab, int *index)
{
	struct block *b = block_with_room(s, events);
	if (!b || likely(fits(b, ev, slab, index)))
		return b;
	hand_over(s, false);
	b = block_with_room(s, events);
	if (b)
		(void)fits(b, ev, slab, index);
	return b;
}

int source_emit(void *arg, struct vbucket *v, const struct dcp_event *ev)
{
	struct dcp_source *s = arg;
	struct slab *slab = NULL;
	const uint8_t *p = NULL;
	int index = 0;
	if (ev->kind != DCP_ADVANCED && !(p = bytes_of(s, v, ev, &slab)))
		return ERR_NOMEM;
	struct block *b = block_for(s, ev, 1, slab, &index);
	if (!b)
		return ERR_NOMEM;
	bool whole = ev->pos.snap_start == ev->pos.snap_end;
	bool same = !put_place(s, b, ev, whole);
	if (unlikely(s->o.timed))
		put_time(s, b);
	if (ev->kind == DCP_ADVANCED) {
		put_advanced(b, ev, whole, same);
		return 0;
	}
	b->cell[b->n_cells++] = (union cell){ .at = (uint32_t)(p - slab->p),
					      .slab = (uint8_t)index,
					      .kind = ev->kind,
					      .whole = whole };
	b->n_events++;
	if (ev->kind == DCP_ROLLBACK) {
		mutex_lock(&s->lock);
		s->slot[ev->vb].rollbacks_queued++;
		mutex_unlock(&s->lock);
	}
	return 0;
}

int source_emit_run(void *arg, struct vbucket *v, const struct doc_run *run)
{
	struct dcp_source *s = arg;
	struct node *n = source_node_of(s, v);
	struct slab *slab = n && n->dcp ? conn_slab(n->dcp) : NULL;
	if (!slab || !slab_has(slab, run->first))
		return ERR_UNSUPPORTED;
	struct dcp_event ev = { .vb = v->id,
				.snapshot_flags = v->snap_flags,
				.pos = { 0, v->snap_start, v->snap_end, run->uuid },
				.connection = v->connection,
				.wire_bytes = run->bytes };
	int index = 0;
	struct block *b = block_for(s, &ev, run->n, slab, &index);
	if (!b)
		return ERR_NOMEM;
	(void)put_place(s, b, &ev, false);
	if (unlikely(s->o.timed))
		put_time(s, b);
	b->cell[b->n_cells++] = (union cell){ .at = (uint32_t)(run->first - slab->p),
					      .slab = (uint8_t)index,
					      .kind = DCP_MUTATION,
					      .more = (uint8_t)(run->n - 1) };
	b->n_events += run->n;
	return 0;
}

/* ---- handing over ---- */

/* Small blocks become one, so that a trickle that nobody takes costs no more than a flood. */
static bool append(struct block *to, const struct block *b)
{
	uint8_t index[BLOCK_SLABS];
	if (to->n_events + b->n_events > BLOCK_EVENTS || to->n_cells + b->n_cells > BLOCK_CELLS ||
	    to->n_slabs + b->n_slabs > BLOCK_SLABS || to->n_from + b->n_from > BLOCK_CONNECTIONS)
		return false;
	for (uint32_t i = 0; i < b->n_slabs; i++)
		index[i] = (uint8_t)index_of_slab(to, b->slab[i]);
	for (uint32_t i = 0; i < b->n_from; i++)
		(void)count_bytes(to, b->from[i].connection, b->from[i].bytes);
	union cell *out = to->cell + to->n_cells;
	memcpy(out, b->cell, b->n_cells * sizeof(*out));
	for (uint32_t i = 0; i < b->n_cells; i++) {
		if (out[i].kind == CELL_PLACE)
			i += PLACE_CELLS;
		else if (out[i].kind == DCP_ADVANCED || out[i].kind == CELL_TIME)
			i++;
		else
			out[i].slab = index[out[i].slab];
	}
	to->n_cells += b->n_cells;
	to->n_events += b->n_events;
	return true;
}

/* Under hand. Returns what is empty now, if anything. */
static struct block *enqueue(struct dcp_source *s, struct block *b)
{
	s->queued += b->bytes;
	if (s->queue_first && append(s->queue_last, b))
		return b;
	if (s->queue_first)
		s->queue_last->next = b;
	else
		s->queue_first = b;
	s->queue_last = b;
	return NULL;
}

/* The consumer is woken at the end of a round only: woken at once it would take the processor from the rest of it. */
static void hand_over(struct dcp_source *s, bool end_of_round)
{
	struct block *b = s->fill;
	mutex_lock(&s->hand);
	s->fill = b && b->n_cells ? enqueue(s, b) : b;
	struct block *list = take_returned(s);
	bool was_paused = s->paused, wake = end_of_round && s->waited_for && s->queue_first;
	bool leave = end_of_round && source_round_over(s, wake);
	s->waited_for &= !wake;
	s->paused |= s->queued > source_read_ahead(s);
	bool pause = s->paused;
	if (s->fd_used && s->queue_first && s->queue_first == s->queue_last && !s->n_branch_unsaved)
		notify_set(s->fd);
	mutex_unlock(&s->hand);
	if (wake)
		cond_signal(&s->arrived);
	if (leave)
		loop_leave(s->loop);
	if (s->fill) {
		source_block_empty(s->fill);
		s->fill->n_from = 0;
		s->fill->bytes = 0;
	}
	recycle(s, list);
	if (pause)
		pause_all(s);
	if (pause && !was_paused)
		timer_set(&s->pause_timer, s->stalled ? READ_PAUSE_AGAIN : READ_PAUSE);
	s->stalled &= pause;
	s->unwoken = !end_of_round;
}

void source_flush(struct dcp_source *s)
{
	if (s->unwoken || (s->fill && s->fill->n_cells))
		hand_over(s, true);
}
