/* weir_dcp_run.c: events handed to a listener, and what it says about each carried out.
 *
 *	poll ─▶ consume_event ─ DONE ──▶ ack ─▶ track_offset
 *	              │         LATER ─▶ (the listener's business)
 *	              │         RETRY ─▶ nack with a delay; what was already on the way is passed over until the
 *	              │                  vBucket comes back
 *	              └──────── STOP, error ─▶ back to the caller
 *
 * A rollback, and an end, do not come again after a nack: those are kept here and handed in again. */
#include "lib/lib_dcp.h"

#include "base/mem.h"
#include "os/env.h"

#define RETRY_MIN_MS 100
#define RETRY_MAX_MS 30000

enum { LOOK_EVERY_MS = 100 }; /* at marks that moved elsewhere */

struct retry {           /* of one vBucket */
	uint32_t tries;  /* in a row */
	bool waiting;    /* for the events after the nack */
	bool kept;       /* `again` is to be handed in at `at` */
	uint64_t nacked; /* nacks carried out when this one was asked for */
	nsec at;
	struct dcp_event again;
};

struct listening {
	weir_dcp *d;
	weir_dcp_listener l;
	struct retry *retry; /* by vBucket */
	uint32_t n, waiting, kept;
	uint64_t *told; /* versions of the marks */
	nsec told_at;
	nsec looked_at;
	bool ready, ended;
	uint64_t random;
};

/* ---- offsets ---- */

static void tell(struct listening *r, uint16_t vb)
{
	struct dcp_position pos;
	if (!dcp_source_mark(r->d->source, vb, &r->told[vb], &pos))
		return;
	weir_dcp_position p = lib_dcp_position_out(vb, &pos);
	r->l.track_offset(r->l.arg, &p);
}

static void tell_all(struct listening *r)
{
	for (uint32_t vb = 0; r->l.track_offset && vb < r->n; vb++)
		tell(r, (uint16_t)vb);
}

static void tell_now_and_then(struct listening *r, nsec now)
{
	if (now - r->told_at < LOOK_EVERY_MS * NSEC_PER_MS)
		return;
	r->told_at = now;
	tell_all(r);
}

/* ---- trying again ---- */

static nsec pause_of(struct listening *r, uint32_t tries)
{
	nsec min = (nsec)(r->l.retry_min_ms ? r->l.retry_min_ms : RETRY_MIN_MS) * NSEC_PER_MS;
	nsec max = (nsec)(r->l.retry_max_ms ? r->l.retry_max_ms : RETRY_MAX_MS) * NSEC_PER_MS;
	nsec wait = min;
	for (uint32_t i = 1; i < tries && wait < max; i++)
		wait *= 2;
	wait = MIN(wait, MAX(max, min));
	r->random = r->random * 6364136223846793005u + 1442695040888963407u;
	return wait / 2 + (nsec)((r->random >> 33) % (uint64_t)(wait / 2 + 1));
}

static void try_again(struct listening *r, const struct dcp_event *ev)
{
	struct retry *t = &r->retry[ev->vb];
	nsec wait = pause_of(r, ++t->tries);
	if (ev->kind == DCP_ROLLBACK || ev->kind == DCP_END) {
		r->kept += !t->kept;
		t->kept = true;
		t->again = *ev;
		t->at = env_mono(env_posix()) + wait;
		return;
	}
	t->nacked = dcp_source_nacked(r->d->source, ev->vb);
	r->waiting += !t->waiting;
	t->waiting = true;
	lib_dcp_nack(r->d, ev->vb, wait);
}

/* Whether the event is one from before a nack, which comes again. A rollback does not. */
static bool stale(struct listening *r, const struct dcp_event *ev)
{
	struct retry *t = &r->retry[ev->vb];
	if (!t->waiting || ev->kind == DCP_ROLLBACK)
		return false;
	bool old = ev->kind == DCP_END ? ev->code == 0 && ev->ticket <= t->nacked
				       : !dcp_source_ticket_valid(r->d->source, ev->vb, ev->ticket);
	if (!old) {
		t->waiting = false;
		r->waiting--;
	} else {
		lib_dcp_trace_end(r->d, ev, 1, WEIR_DCP_SPAN_NACKED);
	}
	return old;
}

/* ---- events ---- */

enum { GO_ON = 2 }; /* else weir_dcp_run returns it: 1, 0, negative */

static int listener_error(int rc, struct err *e)
{
	return err_set(e, rc, "the listener ended with an error");
}

static int hand_in(struct listening *r, const struct dcp_event *ev, struct err *e)
{
	nsec started = env_mono(env_posix());
	int verdict = r->l.consume_event(r->l.arg, r->d, to_event(ev));
	if (verdict < 0)
		return listener_error(verdict, e);
	switch (verdict) {
	case WEIR_DCP_STOP: return 0;
	case WEIR_DCP_RETRY: try_again(r, ev); return GO_ON;
	case WEIR_DCP_DONE:
		lib_dcp_latency_add(&r->d->process_latency, env_mono(env_posix()) - started, 1);
		(void)lib_dcp_ack(r->d, ev, 1);
		if (r->l.track_offset)
			tell(r, ev->vb);
		break;
	case WEIR_DCP_LATER: break;
	default:
		return err_set(e, ERR_INVALID, "the listener returned %d, which is no verdict",
			       verdict);
	}
	r->retry[ev->vb].tries = 0;
	r->ended |= ev->kind == DCP_END;
	return GO_ON;
}

static int hand_in_kept(struct listening *r, struct err *e)
{
	nsec now = env_mono(env_posix());
	int rc = GO_ON;
	for (uint32_t vb = 0; rc == GO_ON && r->kept && vb < r->n; vb++) {
		struct retry *t = &r->retry[vb];
		if (!t->kept || t->at > now)
			continue;
		struct dcp_event ev = t->again;
		t->kept = false;
		r->kept--;
		rc = hand_in(r, &ev, e);
		if (rc != GO_ON) { /* the next run begins with it */
			r->kept += !t->kept;
			t->kept = true;
			t->again = ev;
		}
	}
	return rc;
}

static bool stop_asked(weir_dcp *d)
{
	return __atomic_exchange_n(&d->stop, false, __ATOMIC_ACQ_REL);
}

/* What a stop leaves of the batch is where the next run, or poll, begins. */
static int hand_in_batch(struct listening *r, const struct dcp_event *ev, size_t n, struct err *e)
{
	int rc = GO_ON;
	size_t i = 0;
	for (; rc == GO_ON && i < n; i++) {
		if (r->waiting && stale(r, &ev[i]))
			continue;
		rc = hand_in(r, &ev[i], e);
		if (rc != GO_ON)
			break;
		if (__atomic_load_n(&r->d->stop, __ATOMIC_ACQUIRE)) {
			i++;
			break;
		}
	}
	r->d->rest = (struct dcp_batch){ ev + i, n - i };
	if (rc == GO_ON && r->l.after_batch) {
		int verdict = r->l.after_batch(r->l.arg, r->d);
		if (verdict < 0)
			return listener_error(verdict, e);
		if (verdict == WEIR_DCP_STOP)
			return 0;
	}
	return rc;
}

/* ---- from beginning to end ---- */

static void look_if_ready(struct listening *r, nsec now)
{
	struct dcp_status st;
	if (r->ready || !r->l.ready || now - r->looked_at < LOOK_EVERY_MS * NSEC_PER_MS)
		return;
	r->looked_at = now;
	if (dcp_source_status(r->d->source, &st, NULL, NULL) < 0 || st.n_assigned == 0 ||
	    st.n_open < st.n_assigned)
		return;
	r->ready = true;
	r->l.ready(r->l.arg, r->d);
}

/* A group that has nobody's number for us any more. */
static int look_at_group(const struct listening *r, bool *settled, struct err *e)
{
	struct membership_status st;
	*settled = true;
	if (!r->d->run)
		return 0;
	membership_run_status(r->d->run, &st);
	*settled = st.settled;
	if (!st.over)
		return 0;
	if (e)
		*e = st.error;
	return st.error.code;
}

/* Everything has ended and nothing is to come again; what was handed on before is in the queue by now. A member of a
 * group may have nothing to do at all. */
static bool all_ended(const struct listening *r, bool settled)
{
	struct dcp_status st;
	return r->d->finite && settled && !r->waiting && !r->kept &&
	       dcp_source_status(r->d->source, &st, NULL, NULL) == 0 &&
	       (st.n_assigned > 0 || r->d->run) && st.n_done == st.n_assigned && !st.queued;
}

static int finish(struct listening *r)
{
	tell_all(r);
	if (r->l.finished)
		r->l.finished(r->l.arg, r->d);
	return 1;
}

/* Looks up from its waiting now and then when something else than events may have to be told. */
static nsec patience(const struct listening *r)
{
	bool often = r->l.track_offset || r->kept || (r->l.ready && !r->ready) || r->d->run ||
		     (r->d->finite && r->ended); /* perhaps only a checkpoint is being saved */
	return often ? LOOK_EVERY_MS * NSEC_PER_MS : -1;
}

static int loop(struct listening *r, struct err *e)
{
	bool idle = false;
	for (;;) {
		struct dcp_batch b = { 0 };
		bool settled = false, over = false;
		if (stop_asked(r->d))
			return 0;
		look_if_ready(r, env_mono(env_posix()));
		int rc = hand_in_kept(r, e);
		if (rc == GO_ON && (idle || r->ended)) {
			int gone = look_at_group(r, &settled, e);
			rc = gone < 0 ? gone : GO_ON;
			over = (r->ended || r->d->run) && all_ended(r, settled);
		}
		if (rc != GO_ON)
			return rc;
		rc = lib_dcp_poll(r->d, &b, over ? 0 : patience(r), e);
		if (rc == 0 && over)
			return finish(r);
		idle = rc == 0;
		if (rc > 0) {
			r->ended = false; /* until the next end is handed in */
			rc = hand_in_batch(r, b.ev, b.n, e);
		} else if (rc == 0) {
			rc = GO_ON;
		}
		if (rc != GO_ON)
			return rc;
		tell_now_and_then(r, env_mono(env_posix()));
	}
}

static int listening_open(weir_dcp *d, struct err *e)
{
	if (d->listens)
		return 0;
	struct listening *r = mem_try(sizeof(*r));
	if (!r)
		return err_nomem(e);
	d->listens = r;
	r->d = d;
	r->n = dcp_source_vbuckets(d->source);
	r->random = (uint64_t)env_mono(env_posix());
	r->retry = mem_try_array(r->n + 1, sizeof(*r->retry));
	r->told = mem_try_array(r->n + 1, sizeof(*r->told));
	if (r->retry && r->told)
		return 0;
	lib_dcp_listening_free(d);
	return err_nomem(e);
}

void lib_dcp_listening_free(weir_dcp *d)
{
	if (!d->listens)
		return;
	mem_free(d->listens->retry);
	mem_free(d->listens->told);
	mem_free(d->listens);
	d->listens = NULL;
}

int weir_dcp_run(weir_dcp *d, const weir_dcp_listener *l, weir_error *we)
{
	struct err *e = lib_err(we);
	weir_dcp_listener mine = { 0 };
	if (!d || !l)
		return lib_null(e, d ? "the listener" : "the client");
	int rc = lib_options(&mine, sizeof(mine), l, e);
	if (rc == 0 && !mine.consume_event)
		rc = err_set(e, ERR_INVALID, "a listener has a consume_event");
	if (rc == 0)
		rc = listening_open(d, e);
	if (rc < 0)
		return rc;
	d->listens->l = mine;
	d->listens->ended = true; /* perhaps all is over already */
	return loop(d->listens, e);
}

void weir_dcp_stop(weir_dcp *d)
{
	if (!d)
		return;
	__atomic_store_n(&d->stop, true, __ATOMIC_RELEASE);
	dcp_source_interrupt(d->source);
}
