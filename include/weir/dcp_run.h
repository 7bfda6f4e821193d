/* dcp_run.h: a Couchbase bucket's changes handed to a listener, one event at a time, beside weir_dcp_poll (dcp.h).
 *
 *	static int on_event(void *arg, weir_dcp *d, const weir_dcp_event *ev)
 *	{
 *		weir_dcp_info i = { .size = sizeof i };
 *		weir_dcp_event_info(d, ev, &i);
 *		return store(arg, &i) ? WEIR_DCP_DONE : WEIR_DCP_RETRY;
 *	}
 *	weir_dcp_listener l = { .size = sizeof l, .consume_event = on_event, .arg = sink };
 *	int rc = weir_dcp_run(d, &l, &e);                   // until weir_dcp_stop, an error, or the end in finite mode
 *
 * What the listener returns says what becomes of the event:
 *
 *	DONE    acknowledged
 *	LATER   the listener acknowledges it itself, whenever it is safe: weir_dcp_ack_later with the info's ticket
 *	RETRY   the vBucket goes back; the event and what is behind it come again after a pause that doubles from
 *	        retry_min_ms to retry_max_ms. Other vBuckets are not held up.
 *	STOP    weir_dcp_run returns 0; the event is not acknowledged
 *	< 0     (an error, WEIR_ERR_*) weir_dcp_run returns it; the event is not acknowledged
 */
#ifndef WEIR_DCP_RUN_H
#define WEIR_DCP_RUN_H

#include "weir/dcp.h"

#ifdef __cplusplus
extern "C" {
#endif

enum weir_dcp_verdict { WEIR_DCP_DONE, WEIR_DCP_LATER, WEIR_DCP_RETRY, WEIR_DCP_STOP };

/* All callbacks run on the thread that is in weir_dcp_run, one at a time; they may call everything but weir_dcp_poll,
 * weir_dcp_run, weir_dcp_wait_ready and weir_dcp_close. All but consume_event may be NULL. */
typedef struct weir_dcp_listener {
	size_t size;
	void *arg;
	/* An event of any kind, also WEIR_DCP_ROLLBACK and WEIR_DCP_END (which needs no acknowledgement). Borrowed until it
	 * returns. enum weir_dcp_verdict, or a negative error. */
	int (*consume_event)(void *arg, weir_dcp *d, const weir_dcp_event *ev);
	/* The acknowledged position of a vBucket moved: after an acknowledgement, back with a rollback's, and over what
	 * needs none. Right after consume_event for the events that it ends; for what moves elsewhere within 100 ms, where
	 * several moves may have become one. It is what a restart has to be given in weir_dcp_options.positions. */
	void (*track_offset)(void *arg, const weir_dcp_position *acknowledged);
	/* Behind the last event of a batch, before the next is waited for: the place to write a batch out. As consume_event,
	 * except that DONE, LATER and RETRY mean to go on. */
	int (*after_batch)(void *arg, weir_dcp *d);
	/* Once: everything that is assigned streams. */
	void (*ready)(void *arg, weir_dcp *d);
	/* Finite mode: everything that is assigned has ended and was handed out. weir_dcp_run returns 1 then. */
	void (*finished)(void *arg, weir_dcp *d);
	uint32_t retry_min_ms, retry_max_ms; /* 0: 100 and 30000 */
} weir_dcp_listener;

/* 1 finished (finite mode), 0 stopped, negative an error: the listener's, or INVALID, NET, AUTH, ... as of weir_dcp_poll;
 * with a membership also that of a group that can give this member no number any more. Something has to be assigned
 * before or meanwhile. It does not close; what is acknowledged is saved as the options say, and by weir_dcp_commit and
 * weir_dcp_close. It may be called again, and goes on where it was stopped.
 * Thread: the caller's, which does the polling. */
WEIR_API int weir_dcp_run(weir_dcp *d, const weir_dcp_listener *l, weir_error *e);

/* weir_dcp_run returns 0 behind the event that is being handled; when none runs, the next one returns at once. Any
 * thread, but no signal handler. */
WEIR_API void weir_dcp_stop(weir_dcp *d);

#ifdef __cplusplus
}
#endif

#endif
