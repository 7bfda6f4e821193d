/* source_drive.c: who runs the loop: the I/O thread or, while much comes and the consumer is quick, the consumer itself,
 * from within poll.
 *
 * To hand every slab from thread to thread costs two switches between them and a cold cache, together more than all the
 * rest of what an event costs. A consumer that waits for what comes may as well read it itself:
 *
 *	                 a round brought LEND_BYTES, and the consumer was waiting for it
 *	I/O thread ───────────────────────────────────────────────────────────────────────▶ lent: poll runs a turn of the
 *	runs the loop ◀─────────────────────────────────────────────────────────────────── loop when its queue is empty
 *	                 turns that brought nothing for QUIET; nothing may be handed out;
 *	                 between polls: somebody wakes the loop, or TICK goes by without a turn
 *	                 the consumer needs much longer for the events than a turn: side by side they are quicker
 *
 * So the loop stands still for two ticks at most, and never where somebody waits for it. Not with TLS, whose library may
 * raise SIGPIPE (the I/O thread blocks it, the consumer's thread is not ours), nor for a consumer that waits at the
 * descriptor.
 *
 * Locks: the fields are under `hand`; a turn runs with none held. */
#include "dcp/source_internal.h"

#define LEND_BYTES (64u << 10)
#define TURN_BYTES \
	(128u << 10) /* then a turn ends, every socket read once: it is still in the cache */
#define QUIET (1 * NSEC_PER_MS)
#define TICK  (2 * NSEC_PER_MS)

enum {
	BUSY_RATIO = 4,    /* the consumer's time to a turn's, above which both run side by side */
	HOLD_ROUNDS = 256, /* in which it could be lent, but is not, to one that was too slow */
};

/* ---- the I/O thread ---- */

bool source_round_over(struct dcp_source *s, bool waited_for)
{
	struct drive *d = &s->drive;
	if (d->lent)
		return s->queued >= TURN_BYTES;
	if (!waited_for || s->queued < LEND_BYTES || s->tls || s->fd_used)
		return false;
	if (d->hold > 0)
		d->hold--;
	return d->hold == 0;
}

void source_lend(struct dcp_source *s)
{
	struct drive *d = &s->drive;
	mutex_lock(&s->hand);
	d->lent = true;
	d->fed_at = d->left_at = source_now(s);
	d->turn_took = TICK;
	d->rest_took = 0;
	if (s->waited_for) /* it took what there was meanwhile */
		cond_signal(&s->arrived);
	s->waited_for = false;
	while (d->lent) {
		uint64_t turns = d->turns;
		bool woken = cond_wait_until(&d->given_back, &s->hand, source_now(s) + TICK) != 0;
		if (!woken && !d->turning && d->turns == turns)
			d->lent = false;
	}
	mutex_unlock(&s->hand);
	source_take_back(s); /* the consumer told nobody of it */
}

/* ---- the consumer ---- */

/* Under hand. */
static void give_loop_back(struct dcp_source *s)
{
	s->drive.lent = false;
	cond_signal(&s->drive.given_back);
}

static void smooth(nsec *mean, nsec now)
{
	*mean += (now - *mean) / 8;
}

static bool is_slow(const struct drive *d)
{
	return d->rest_took > BUSY_RATIO * d->turn_took;
}

bool source_turn(struct dcp_source *s, nsec deadline)
{
	struct drive *d = &s->drive;
	if (!d->lent)
		return false;
	nsec start = source_now(s);
	smooth(&d->rest_took, start - d->left_at);
	if (s->queue_first || is_slow(d)) {
		d->hold = is_slow(d) ? HOLD_ROUNDS : 0;
		give_loop_back(s);
		return false;
	}
	d->turning = true;
	mutex_unlock(&s->hand);
	source_take_back(s); /* the server may wait for that */
	loop_turn(s->loop, deadline < 0 ? QUIET : MAX(0, MIN(QUIET, deadline - start)));
	nsec end = source_now(s);
	mutex_lock(&s->hand);
	d->turning = false;
	d->turns++;
	d->left_at = end;
	smooth(&d->turn_took, end - start);
	if (s->queue_first)
		d->fed_at = end;
	if (end - d->fed_at >= QUIET || loop_stopped(s->loop))
		give_loop_back(s);
	return deadline < 0 || end < deadline;
}

/* ---- any thread ---- */

void source_wake(struct dcp_source *s)
{
	mutex_lock(&s->hand);
	if (s->drive.lent && !s->drive.turning)
		give_loop_back(s);
	mutex_unlock(&s->hand);
	loop_wake(s->loop);
}
