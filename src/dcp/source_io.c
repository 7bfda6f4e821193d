/* source_io.c: the I/O thread of a source: its start and end, and what other threads ask it for. */
#include "dcp/source_internal.h"

#include "base/mem.h"

#include <stdio.h>

void source_fail(struct dcp_source *s, const struct err *why)
{
	mutex_lock(&s->lock);
	if (!s->failed) {
		s->failed = true;
		s->error = *why;
	}
	cond_broadcast(&s->changed);
	mutex_unlock(&s->lock);
	mutex_lock(&s->hand);
	s->ended = true;
	cond_broadcast(&s->arrived);
	notify_set(s->fd);
	mutex_unlock(&s->hand);
}

void source_note_error(struct dcp_source *s, const struct err *why)
{
	mutex_lock(&s->lock);
	s->last_error = *why;
	cond_broadcast(&s->changed);
	mutex_unlock(&s->lock);
}

/* ---- what other threads ask for ---- */

static void stop_slot(struct dcp_source *s, struct slot *slot)
{
	source_flush(s);
	vbucket_stop(&slot->v);
	slot->assigned = slot->started = false;
}

static void carry_out(struct dcp_source *s)
{
	for (size_t i = 0; i < s->command_n_stop; i++) {
		struct slot *slot = &s->slot[s->command_stop[i]];
		if (slot->assigned)
			stop_slot(s, slot);
	}
	for (size_t i = 0; i < s->command_n_start; i++) {
		struct slot *slot = &s->slot[s->command_start[i].vb];
		if (slot->assigned)
			continue;
		slot->assigned = true;
		slot->started = slot->has_high = false;
		slot->cp = s->command_start[i];
		source_place_slot(s, slot);
	}
	if (s->command_n_start)
		source_ask_seqnos(s);
}

static void take_nacks(struct dcp_source *s)
{
	source_flush(s); /* what is on the way is void, too */
	for (uint32_t i = 0; i < s->n_slots; i++) {
		struct slot *slot = &s->slot[i];
		mutex_lock(&s->lock);
		bool nack = slot->nack && slot->owned;
		nsec delay = slot->nack_delay;
		slot->nack = false;
		if (nack) {
			ack_rewind(&slot->w);
			slot->nacked++;
			source_recall(s, slot, &slot->w.mark);
			/* one may have been acknowledged behind what is void now */
			if (slot->rollbacks_released < slot->w.rollbacks_acked)
				source_save_rollback(s);
		}
		struct dcp_position mark = slot->w.mark;
		mutex_unlock(&s->lock);
		if (nack && slot->started)
			vbucket_rewind(&slot->v, &mark, source_now(s) + delay, source_now(s));
	}
}

/* What another member has taken over ends here with an error that says so. */
static void stop_fenced(struct dcp_source *s)
{
	for (uint32_t i = 0; i < s->n_slots; i++) {
		struct slot *slot = &s->slot[i];
		mutex_lock(&s->lock);
		bool fenced = slot->fenced;
		slot->fenced = false;
		mutex_unlock(&s->lock);
		if (!fenced || !slot->assigned)
			continue;
		stop_slot(s, slot);
		struct dcp_event ev = { .kind = DCP_END, .vb = (uint16_t)i, .code = ERR_FENCED };
		(void)source_emit(s, &slot->v, &ev);
	}
	source_flush(s);
}

/* What waits for its mark to be saved, and whether it is. Rollbacks count when all are acknowledged. */
static void release_rollbacks(struct dcp_source *s)
{
	source_flush(s); /* a rollback that is on its way is not acknowledged */
	for (uint32_t i = 0; i < s->n_slots; i++) {
		struct slot *slot = &s->slot[i];
		mutex_lock(&s->lock);
		bool saved = !s->o.store || slot->saved_version == slot->w.version;
		bool retreat = slot->owned && slot->retreat;
		bool acked = slot->owned && slot->rollbacks_queued == 0 &&
			     !ack_rollback_open(&slot->w) &&
			     slot->rollbacks_released < slot->w.rollbacks_acked;
		if (saved && acked)
			slot->rollbacks_released = slot->w.rollbacks_acked;
		if (saved)
			slot->retreat = false;
		else if (retreat || acked)
			source_save_rollback(s); /* it moved since */
		mutex_unlock(&s->lock);
		if (saved && acked)
			vbucket_on_rollback_acked(&slot->v, source_now(s));
		if (saved && retreat)
			vbucket_on_retreated(&slot->v, source_now(s));
	}
	source_flush(s); /* what was told now */
}

/* One that is to acknowledge a rollback first waits for the consumer, not for the server. */
static bool is_open(const struct slot *slot)
{
	switch ((enum vbucket_state)slot->v.state) {
	case VB_STREAMING:
	case VB_REWIND:
	case VB_PAUSED:
	case VB_DONE: return true;
	case VB_IDLE: return slot->started; /* its checkpoint was refused: it has ended */
	case VB_WAIT:
	case VB_ASKING:
	case VB_OPENING:
	case VB_LOG: break;
	}
	return false;
}

/* What came since it was asked for counts, too. Not with a filter: there it may be a seqno of somebody else's document. */
static uint64_t high_of(const struct dcp_source *s, const struct slot *slot)
{
	return source_is_filtered(s) ? slot->high_now : MAX(slot->high_now, slot->v.pos.seqno);
}

static void report_slot(const struct dcp_source *s, const struct slot *slot,
			struct source_report *r)
{
	const struct vbucket *v = &slot->v;
	r->status.n_streaming += v->state == VB_STREAMING;
	r->status.n_paused += v->state == VB_PAUSED;
	r->status.n_open += is_open(slot);
	/* idle: refused before it was opened */
	r->status.queued |= v->held.n > 0; /* for its copies, though its stream has ended */
	r->status.n_done += v->state == VB_DONE || (slot->started && v->state == VB_IDLE);
	r->vb[r->status.n_assigned++] = (struct dcp_vbucket_status){
		.vb = v->id,
		.state = vbucket_state_name((enum vbucket_state)v->state),
		.node = v->node,
		.received = v->pos,
		.acknowledged = slot->w.mark,
		.high = high_of(s, slot),
		.persisted = v->persisted,
		.held = v->held.n,
		.in_flight = ack_open(&slot->w),
		.mutations = v->n_docs[DCP_MUTATION],
		.deletions = v->n_docs[DCP_DELETION],
		.expirations = v->n_docs[DCP_EXPIRATION],
		.reopens = v->n_reopens,
		.rollbacks = v->n_rollbacks,
		.violations = v->n_violations,
		.last_status = v->last_status,
	};
}

static void report_node(struct dcp_source *s, const struct node *n, struct source_report *r)
{
	struct dcp_node_status *st = &r->node[r->n_nodes++];
	*st = (struct dcp_node_status){ .node = n->index,
					.host = n->host,
					.port = n->port,
					.connected = conn_is_ready(n->dcp),
					.unacked = n->dcp ? conn_unacked(n->dcp) : 0,
					.window = s->o.window_bytes };
	for (uint32_t i = 0; i < s->n_slots; i++)
		st->vbuckets += s->slot[i].assigned && s->slot[i].v.node == n->index;
}

static void fill_report(struct dcp_source *s, struct source_report *r)
{
	struct dcp_status *st = &r->status;
	*st = (struct dcp_status){ .n_vbuckets = s->n_slots,
				   .reconnects = s->reconnects,
				   .saves = s->saves,
				   .save_failures = s->save_failures,
				   .saved_vbuckets = s->saved_vbuckets,
				   .rebalances = s->rebalances,
				   .last_save_vbuckets = s->last_save_vbuckets,
				   .last_save_took = s->last_save_took,
				   .map_over_http = s->http.get != NULL,
				   .ephemeral = s->ephemeral };
	mutex_lock(&s->hand);
	st->blocks = s->n_blocks;
	st->queued = s->queue_first || s->lent_rest || (s->fill && s->fill->n_cells);
	mutex_unlock(&s->hand);
	if (s->map) {
		st->map_epoch = s->map->epoch;
		st->map_rev = s->map->rev;
	}
	for (uint32_t i = 0; i < s->n_nodes; i++) {
		const struct node *n = s->node[i];
		st->n_nodes += n->in_map;
		if (r->node && n->in_map)
			report_node(s, n, r);
		if (!n->dcp)
			continue;
		st->n_connected += conn_is_ready(n->dcp);
		st->unacked_max = MAX(st->unacked_max, conn_unacked_max(n->dcp));
	}
	(void)snprintf(st->last_error, sizeof(st->last_error), "%.250s", s->last_error.msg);
	for (uint32_t i = 0; i < s->n_slots; i++)
		if (s->slot[i].assigned)
			report_slot(s, &s->slot[i], r);
}

/* Tells who waits for it. */
void source_look_if_open(struct dcp_source *s)
{
	mutex_lock(&s->lock);
	if (s->open_waiters && !s->all_open) {
		bool open = true, some = false;
		for (uint32_t i = 0; i < s->n_slots && open; i++) {
			some |= s->slot[i].assigned;
			open = !s->slot[i].assigned || is_open(&s->slot[i]);
		}
		s->all_open = open && some;
		if (s->all_open)
			cond_broadcast(&s->changed);
	}
	mutex_unlock(&s->lock);
}

void source_io_wake(void *arg)
{
	struct dcp_source *s = arg;
	mutex_lock(&s->lock);
	bool command = s->command, release = s->release_rollbacks, nacks = s->nacks,
	     fences = s->fences;
	s->command = s->release_rollbacks = s->nacks = s->fences = false;
	bool pauses = s->pauses_taken < s->pauses_wished;
	s->pauses_taking = s->pauses_wished;
	if (s->report) {
		fill_report(s, s->report);
		s->report->done = true;
		s->report = NULL;
		cond_broadcast(&s->changed);
	}
	mutex_unlock(&s->lock);
	source_take_back(s);
	if (fences)
		stop_fenced(s);
	if (nacks)
		take_nacks(s);
	if (release)
		release_rollbacks(s);
	if (pauses)
		source_take_pauses(s);
	source_flush(s); /* a rollback or an end that these brought */
	if (command) {
		carry_out(s);
		source_flush(s);
		mutex_lock(&s->lock);
		s->command_done = true;
		cond_broadcast(&s->changed);
		mutex_unlock(&s->lock);
	}
	source_look_if_open(s);
}

/* ---- start and end ---- */

int source_io_init(struct dcp_source *s, struct err *e)
{
	int rc = loop_new(source_io_wake, s, &s->loop, e);
	if (rc == 0)
		rc = timer_init(&s->vb_timer, s->loop, source_vb_timer, s, e);
	if (rc == 0)
		rc = timer_init(&s->seqno_timer, s->loop, source_ask_seqnos, s, e);
	if (rc == 0)
		rc = timer_init(&s->pause_timer, s->loop, source_pause_over, s, e);
	if (rc == 0)
		rc = timer_init(&s->watch_timer, s->loop, source_watch_map, s, e);
	if (rc == 0)
		rc = source_http_init(s, e);
	if (rc == 0)
		rc = source_seqnos_init(s, e);
	s->vb_config.ops = &source_vbucket_ops;
	s->vb_config.arg = s;
	return rc;
}

void *source_io_run(void *arg)
{
	struct dcp_source *s = arg;
	source_observe_start(s);
	source_find_seeds(s);
	source_seqnos_start(s);
	timer_set(&s->watch_timer, 0);
	while (loop_run(s->loop))
		source_lend(s);
	return NULL;
}

void source_io_done(struct dcp_source *s)
{
	for (uint32_t i = 0; i < s->n_nodes; i++) {
		struct node *n = s->node[i];
		conn_free(n->dcp);
		conn_free(n->kv);
		timer_done(&n->retry);
		timer_done(&n->kv_retry);
		mem_free(n);
	}
	s->n_nodes = 0;
	source_http_done(s);
	seeds_free(s->finding);
	timer_done(&s->vb_timer);
	timer_done(&s->seqno_timer);
	timer_done(&s->pause_timer);
	timer_done(&s->watch_timer);
	timer_done(&s->highs_timer);
	timer_done(&s->observe_timer);
	for (uint32_t i = 0; i < s->n_slots; i++) {
		vbucket_done(&s->slot[i].v);
		ack_done(&s->slot[i].w);
	}
	loop_free(s->loop);
	mem_free(s->slot);
	cluster_map_free(s->map);
	s->map = NULL;
}
