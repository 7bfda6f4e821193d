/* loop.h: one thread that waits for sockets and timers, and what other threads may do to it.
 *
 * Everything of a loop (its timers, its connections) belongs to the thread in loop_run or loop_turn; there is one at a
 * time, and what one did happens before what the next one does: the callers see to both. Other threads only call
 * loop_wake and loop_stop: the loop then calls `on_wake`, which looks at whatever the threads share under a lock of
 * their own.
 *
 * Thread: the loop's, except where it says any.
 */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include "base/err.h"

struct loop;
struct event_base;
struct evdns_base;
struct event;

int loop_new(void (*on_wake)(void *arg), void *arg, struct loop **out, struct err *e);
bool loop_run(struct loop *l);       /* until loop_stop: false; or loop_leave: true */
void loop_turn(struct loop *l, nsec wait); /* waits until something happens, `wait` at most, and does it */
void loop_leave(struct loop *l);     /* whoever runs it comes out when it has done what is due; every connection is read
					once at most until then */
bool loop_leaving(const struct loop *l);
void loop_stop(struct loop *l);      /* any */
bool loop_stopped(const struct loop *l); /* any */
void loop_wake(struct loop *l);      /* any; many wakes may become one call */
void loop_free(struct loop *l);      /* not running */
nsec loop_now(const struct loop *l); /* the monotonic clock, read afresh */

struct event_base *loop_base(struct loop *l);
struct evdns_base *loop_dns(struct loop *l); /* made at the first call; NULL when it cannot be */

struct timer {
	struct event *event;
	struct loop *loop;
	void (*fire)(void *arg);
	void *arg;
};
int timer_init(struct timer *t, struct loop *l, void (*fire)(void *arg), void *arg, struct err *e);
void timer_set(struct timer *t, nsec after); /* once; replaces what was set */
void timer_clear(struct timer *t);
void timer_done(struct timer *t);

#endif
