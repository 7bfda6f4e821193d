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
	bool *wanted = mem_try_array(s->n_slots + 1, sizeof(*wanted));
	struct err e = ERR_INIT;
	if (!wanted) {
		(void)err_nomem(&e);
		source_fail(s, &e);
		return;
	}
	for (size_t i = 0; i < s->command_n; i++)
		wanted[s->command_vb[i]] = true;
	for (uint32_t i = 0; i < s->n_slots; i++)
		if (s->slot[i].assigned && !wanted[i])
			stop_slot(s, &s->slot[i]);
	for (size_t i = 0; i < s->command_n; i++) {
		struct slot *slot = &s->slot[s->command_vb[i]];
		if (slot->assigned)
			continue;
		slot->assigned = true;
		slot->started = slot->has_high = false;
		slot->cp = s->command_cp[i];
		source_place_slot(s, slot);
	}
	mem_free(wanted);
	if (s->n_slots)
		source_ask_seqnos(s);
}

static void take_nacks(struct dcp_source *s)
{
	source_flush(s); /* what is on the way is void, too */
	for (uint32_t i = 0; i < s->n_slots; i++) {
		struct slot *slot = &s->slot[i];
		mutex_lock(&s->lock);
		bool nack = slot->nack && slot->owned;
		slot->nack = false;
		if (nack) {
			ack_rewind(&slot->w);
			slot->epoch++;
		}
		struct dcp_position mark = slot->w.mark;
		mutex_unlock(&s->lock);
		if (nack && slot->started)
			vbucket_rewind(&slot->v, &mark, source_now(s));
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

static void release_rollbacks(struct dcp_source *s)
{
	for (uint32_t i = 0; i < s->n_slots; i++) {
		struct slot *slot = &s->slot[i];
		bool release = false;
		mutex_lock(&s->lock);
		if (slot->owned && slot->rollbacks_released < slot->w.rollbacks_acked &&
		    (!s->o.store || slot->saved_version == slot->w.version)) {
			slot->rollbacks_released = slot->w.rollbacks_acked;
			release = true;
		}
		mutex_unlock(&s->lock);
		if (release)
			vbucket_on_rollback_acked(&slot->v, source_now(s));
	}
}

static void report_slot(const struct slot *slot, struct source_report *r)
{
	const struct vbucket *v = &slot->v;
	r->status.n_streaming += v->state == VB_STREAMING;
	r->status.n_done += v->state == VB_DONE;
	r->vb[r->status.n_assigned++] = (struct dcp_vbucket_status){
		.vb = v->id,
		.state = vbucket_state_name((enum vbucket_state)v->state),
		.node = v->node,
		.received = v->pos,
		.acknowledged = slot->w.mark,
		.high = slot->high,
		.persisted = v->persisted,
		.held = v->held.n,
		.in_flight = ack_open(&slot->w),
		.mutations = v->n_mutations,
		.deletions = v->n_deletions,
		.expirations = v->n_expirations,
		.reopens = v->n_reopens,
		.rollbacks = v->n_rollbacks,
		.violations = v->n_violations,
		.last_status = v->last_status,
	};
}

static void fill_report(struct dcp_source *s, struct source_report *r)
{
	struct dcp_status *st = &r->status;
	*st = (struct dcp_status){ .n_vbuckets = s->n_slots,
				   .reconnects = s->reconnects,
				   .saves = s->saves,
				   .save_failures = s->save_failures,
				   .saved_vbuckets = s->saved_vbuckets };
	mutex_lock(&s->hand);
	st->blocks = s->n_blocks;
	mutex_unlock(&s->hand);
	if (s->map) {
		st->map_epoch = s->map->epoch;
		st->map_rev = s->map->rev;
	}
	for (uint32_t i = 0; i < s->n_nodes; i++) {
		const struct node *n = s->node[i];
		st->n_nodes += n->in_map;
		if (!n->dcp)
			continue;
		st->n_connected += conn_is_ready(n->dcp);
		st->unacked_max = MAX(st->unacked_max, conn_unacked_max(n->dcp));
	}
	(void)snprintf(st->last_error, sizeof(st->last_error), "%.250s", s->last_error.msg);
	for (uint32_t i = 0; i < s->n_slots; i++)
		if (s->slot[i].assigned)
			report_slot(&s->slot[i], r);
}

void source_io_wake(void *arg)
{
	struct dcp_source *s = arg;
	mutex_lock(&s->lock);
	bool command = s->command, release = s->release_rollbacks, nacks = s->nacks,
	     fences = s->fences;
	s->command = s->release_rollbacks = s->nacks = s->fences = false;
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
	if (command) {
		carry_out(s);
		source_flush(s);
		mutex_lock(&s->lock);
		s->command_done = true;
		cond_broadcast(&s->changed);
		mutex_unlock(&s->lock);
	}
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
	s->vb_config.ops = &source_vbucket_ops;
	s->vb_config.arg = s;
	return rc;
}

void *source_io_run(void *arg)
{
	struct dcp_source *s = arg;
	source_observe_start(s);
	timer_set(&s->watch_timer, 0);
	loop_run(s->loop);
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
	timer_done(&s->vb_timer);
	timer_done(&s->seqno_timer);
	timer_done(&s->pause_timer);
	timer_done(&s->watch_timer);
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
