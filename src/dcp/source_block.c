/* source_block.c: events on their way from the I/O thread to the consumer.
 *
 *	emit ─▶ copied into the block being filled ─▶ full, or no more packets: tickets are handed out, under the lock,
 *	in the order of emission ─▶ queue ─▶ poll ─▶ (next poll) ─▶ returned ─▶ its bytes are given back to the server
 *
 * A block is a fixed number of events and one run of bytes; one that had to grow for a big document shrinks when it
 * comes back. Seqnos without an event travel in the block, too, so that they get their place behind the events before
 * them, and are taken out before the consumer sees it. */
#include "dcp/source_internal.h"

#include "base/mem.h"

static struct block *new_block(void)
{
	struct block *b = mem_try(sizeof(*b));
	if (!b)
		return NULL;
	b->mem = mem_try(BLOCK_BYTES);
	if (!b->mem) {
		mem_free(b);
		return NULL;
	}
	b->cap = BLOCK_BYTES;
	return b;
}

static void free_block(struct block *b)
{
	if (!b)
		return;
	mem_free(b->mem);
	mem_free(b);
}

static void free_blocks(struct block *b)
{
	while (b) {
		struct block *next = b->next;
		free_block(b);
		b = next;
	}
}

void source_blocks_free(struct dcp_source *s)
{
	free_blocks(s->queue_first);
	free_blocks(s->returned);
	free_blocks(s->free_list);
	free_block(s->lent);
	free_block(s->fill);
	s->queue_first = s->returned = s->free_list = s->lent = s->fill = NULL;
}

static struct block *take_block(struct dcp_source *s)
{
	mutex_lock(&s->lock);
	struct block *b = s->free_list;
	if (b) {
		s->free_list = b->next;
		s->n_free--;
	} else {
		s->n_blocks++;
	}
	mutex_unlock(&s->lock);
	if (!b)
		b = new_block();
	if (b) {
		b->next = NULL;
		b->n = b->n_from = 0;
		b->used = 0;
	}
	return b;
}

static void recycle(struct dcp_source *s, struct block *b)
{
	if (b->cap > BLOCK_BYTES) {
		uint8_t *p = mem_retry(b->mem, BLOCK_BYTES);
		if (p) {
			b->mem = p;
			b->cap = BLOCK_BYTES;
		}
	}
	mutex_lock(&s->lock);
	bool keep = s->n_free < s->o.window_bytes / BLOCK_BYTES + 8; /* a window full of events */
	if (keep) {
		b->next = s->free_list;
		s->free_list = b;
		s->n_free++;
	} else {
		s->n_blocks--;
	}
	mutex_unlock(&s->lock);
	if (!keep)
		free_block(b);
}

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

void source_give_back(void *arg, struct vbucket *v, uint32_t connection, uint32_t bytes)
{
	struct dcp_source *s = arg;
	struct node *n = source_node_of(s, v);
	if (n && n->dcp && conn_id(n->dcp) == connection)
		conn_consumed(n->dcp, bytes);
	else
		consumed(s, connection, bytes);
}

static void take_back_one(struct dcp_source *s, struct block *b)
{
	for (uint32_t i = 0; i < b->n_from; i++)
		consumed(s, b->from[i].connection, b->from[i].bytes);
	recycle(s, b);
}

void source_take_back(struct dcp_source *s)
{
	mutex_lock(&s->lock);
	struct block *b = s->returned;
	s->returned = NULL;
	mutex_unlock(&s->lock);
	while (b) {
		struct block *next = b->next;
		take_back_one(s, b);
		b = next;
	}
}

/* ---- filling ---- */

/* How the value will be handed out. */
struct shape {
	size_t inflated; /* 0: as it is */
	size_t bytes;    /* in the block */
};

static void shape_of(const struct dcp_event *ev, struct shape *shape)
{
	*shape = (struct shape){ .bytes = ev->key.len + ev->value.len };
	if (!(ev->datatype & DATATYPE_SNAPPY))
		return;
	size_t size;
	if (wire_inflated_size(ev->value, DCP_VALUE_MAX, &size, NULL) < 0)
		return; /* handed out as it is, still marked as compressed */
	shape->inflated = size;
	shape->bytes = ev->key.len + size;
}

static struct block *block_for(struct dcp_source *s, size_t bytes)
{
	if (s->fill && (s->fill->n == BLOCK_EVENTS || s->fill->cap - s->fill->used < bytes))
		source_flush(s);
	if (!s->fill)
		s->fill = take_block(s);
	struct block *b = s->fill;
	if (!b || b->cap - b->used >= bytes)
		return b;
	ASSERT(b->used == 0);
	uint8_t *p = mem_try(bytes);
	if (!p)
		return NULL;
	mem_free(b->mem);
	b->mem = p;
	b->cap = bytes;
	return b;
}

static bool count_bytes(struct block *b, uint32_t connection, uint32_t bytes)
{
	for (uint32_t i = 0; i < b->n_from; i++)
		if (b->from[i].connection == connection) {
			b->from[i].bytes += bytes;
			return true;
		}
	if (b->n_from == BLOCK_CONNECTIONS)
		return false;
	b->from[b->n_from].connection = connection;
	b->from[b->n_from++].bytes = bytes;
	return true;
}

static struct slice put_bytes(struct block *b, struct slice s)
{
	uint8_t *p = b->mem + b->used;
	if (s.len)
		memcpy(p, s.p, s.len);
	b->used += s.len;
	return slice_of(p, s.len);
}

static void put_value(struct block *b, struct dcp_event *to, const struct shape *shape)
{
	if (shape->inflated) {
		uint8_t *p = b->mem + b->used;
		if (wire_inflate_into(to->value, p, shape->inflated, NULL) == 0) {
			to->value = slice_of(p, shape->inflated);
			to->datatype &= (uint8_t)~DATATYPE_SNAPPY;
			b->used += shape->inflated;
		} else if (to->value.len <= shape->inflated) {
			to->value = put_bytes(b, to->value);
		} else {
			to->value = SLICE_NONE;
		}
	} else {
		to->value = put_bytes(b, to->value);
	}
	if ((to->datatype & (DATATYPE_XATTR | DATATYPE_SNAPPY)) == DATATYPE_XATTR &&
	    wire_split_xattrs(to->value, &to->xattrs, &to->value, NULL) == 0)
		to->datatype &= (uint8_t)~DATATYPE_XATTR;
}

int source_emit(void *arg, struct vbucket *v, const struct dcp_event *ev)
{
	struct dcp_source *s = arg;
	struct shape shape;
	shape_of(ev, &shape);
	struct block *b = block_for(s, shape.bytes);
	if (b && ev->kind != DCP_ADVANCED && ev->wire_bytes &&
	    !count_bytes(b, ev->connection, ev->wire_bytes)) {
		source_flush(s);
		b = block_for(s, shape.bytes);
		if (b)
			(void)count_bytes(b, ev->connection, ev->wire_bytes);
	}
	if (!b)
		return ERR_NOMEM;
	struct dcp_event *to = &b->ev[b->n++];
	*to = *ev;
	to->key = put_bytes(b, ev->key);
	put_value(b, to, &shape);
	if (ev->kind == DCP_ADVANCED && ev->wire_bytes)
		source_give_back(s, v, ev->connection, ev->wire_bytes);
	return 0;
}

/* ---- handing over ---- */

/* 1 the consumer gets it, 0 it only counts, negative: nothing more can be tracked. */
static int enrol(struct slot *slot, struct dcp_event *ev, struct err *e)
{
	int rc = 0;
	if (!slot->owned && ev->kind != DCP_END)
		return 0; /* handed over while it was on the way */
	switch ((enum dcp_event_kind)ev->kind) {
	case DCP_ADVANCED: return MIN(0, ack_advance(&slot->w, &ev->pos, e));
	case DCP_ROLLBACK: rc = ack_rollback(&slot->w, &ev->pos, &ev->ticket, e); break;
	case DCP_END: ev->ticket = 0; break;
	case DCP_MUTATION:
	case DCP_DELETION:
	case DCP_EXPIRATION:
	case DCP_SYSTEM:
		rc = ack_push(&slot->w, ev->out_of_order ? ACK_HOLD : ACK_EVENT, &ev->pos,
			      &ev->ticket, e);
		break;
	}
	return rc < 0 ? rc : 1;
}

void source_flush(struct dcp_source *s)
{
	struct block *b = s->fill;
	if (!b || b->n == 0)
		return;
	struct err e = ERR_INIT;
	int rc = 0;
	uint32_t kept = 0;
	s->fill = NULL;
	mutex_lock(&s->lock);
	for (uint32_t i = 0; i < b->n && rc >= 0; i++) {
		rc = enrol(&s->slot[b->ev[i].vb], &b->ev[i], &e);
		if (rc > 0 && kept != i)
			b->ev[kept] = b->ev[i];
		kept += rc > 0;
	}
	b->n = kept;
	if (kept) {
		b->voided = s->voided;
		if (s->queue_last && s->queue_first)
			s->queue_last->next = b;
		else
			s->queue_first = b;
		bool waited_for = s->queue_first == b; /* else whoever polls is not asleep */
		s->queue_last = b;
		if (waited_for)
			cond_broadcast(&s->changed);
		if (waited_for && s->fd_used && source_has_batch(s))
			notify_set(s->fd);
	}
	mutex_unlock(&s->lock);
	if (!kept)
		take_back_one(s, b);
	if (rc < 0)
		source_fail(s, &e);
}
