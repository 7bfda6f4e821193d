#include "net/loop.h"

#include "base/mem.h"
#include "os/thread.h"

#include <event2/dns.h>
#include <event2/event.h>
#include <time.h>

struct loop {
	struct event_base *base;
	struct evdns_base *dns;
	struct event *wake, *wait_over;
	int wake_fd;
	bool leaving;
	_Atomic bool stopped;
	void (*on_wake)(void *arg);
	void *arg;
};

static void wait_is_over(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

static void woken(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = arg;
	(void)what;
	notify_clear(fd);
	if (l->stopped)
		event_base_loopbreak(l->base);
	else if (l->on_wake)
		l->on_wake(l->arg);
}

int loop_new(void (*on_wake)(void *arg), void *arg, struct loop **out, struct err *e)
{
	struct loop *l = mem_try(sizeof(*l));
	if (!l)
		return err_nomem(e);
	l->on_wake = on_wake;
	l->arg = arg;
	l->wake_fd = -1;
	int rc = notify_open(&l->wake_fd, e);
	if (rc == 0) {
		l->base = event_base_new();
		if (l->base)
			l->wake = event_new(l->base, l->wake_fd, EV_READ | EV_PERSIST, woken, l);
		if (l->wake)
			l->wait_over = event_new(l->base, -1, 0, wait_is_over, l);
		if (!l->wait_over || event_add(l->wake, NULL) < 0)
			rc = err_set(e, ERR_IO, "cannot make an event loop");
	}
	if (rc < 0) {
		loop_free(l);
		return rc;
	}
	*out = l;
	return 0;
}

bool loop_run(struct loop *l)
{
	l->leaving = false;
	while (!l->stopped && !l->leaving)
		(void)event_base_loop(l->base, EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY);
	return !l->stopped;
}

void loop_turn(struct loop *l, nsec wait)
{
	l->leaving = false;
	if (l->stopped)
		return;
	if (wait <= 0) {
		/* without ONCE it would go round for as long as a connection has something to read */
		(void)event_base_loop(l->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
		return;
	}
	struct timeval tv = { .tv_sec = wait / NSEC_PER_SEC,
			      .tv_usec = wait % NSEC_PER_SEC / 1000 };
	(void)event_add(l->wait_over, &tv);
	(void)event_base_loop(l->base, EVLOOP_ONCE);
}

void loop_leave(struct loop *l)
{
	l->leaving = true;
}

bool loop_leaving(const struct loop *l)
{
	return l->leaving;
}

bool loop_stopped(const struct loop *l)
{
	return l->stopped;
}

void loop_stop(struct loop *l)
{
	l->stopped = true;
	notify_set(l->wake_fd);
}

void loop_wake(struct loop *l)
{
	notify_set(l->wake_fd);
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	if (l->wake)
		event_free(l->wake);
	if (l->wait_over)
		event_free(l->wait_over);
	if (l->dns) { /* look-ups that were cancelled end, and free what is theirs, in the loop only */
		(void)event_base_loop(l->base, EVLOOP_NONBLOCK);
		evdns_base_free(l->dns, 0);
	}
	if (l->base)
		event_base_free(l->base);
	if (l->wake_fd >= 0)
		notify_close(l->wake_fd);
	mem_free(l);
}

nsec loop_now(const struct loop *l)
{
	struct timespec ts;
	(void)l;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (nsec)ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

struct event_base *loop_base(struct loop *l)
{
	return l->base;
}

struct evdns_base *loop_dns(struct loop *l)
{
	if (!l->dns)
		l->dns = evdns_base_new(l->base, EVDNS_BASE_INITIALIZE_NAMESERVERS |
							 EVDNS_BASE_DISABLE_WHEN_INACTIVE);
	return l->dns;
}

static void timer_fired(evutil_socket_t fd, short what, void *arg)
{
	struct timer *t = arg;
	(void)fd;
	(void)what;
	t->fire(t->arg);
}

int timer_init(struct timer *t, struct loop *l, void (*fire)(void *arg), void *arg, struct err *e)
{
	*t = (struct timer){ .loop = l, .fire = fire, .arg = arg };
	t->event = event_new(l->base, -1, 0, timer_fired, t);
	return t->event ? 0 : err_nomem(e);
}

void timer_set(struct timer *t, nsec after)
{
	if (after < 0)
		after = 0;
	struct timeval tv = { .tv_sec = after / NSEC_PER_SEC,
			      .tv_usec = after % NSEC_PER_SEC / 1000 };
	(void)event_add(t->event, &tv);
}

void timer_clear(struct timer *t)
{
	if (t->event)
		(void)event_del(t->event);
}

void timer_done(struct timer *t)
{
	if (t->event)
		event_free(t->event);
	t->event = NULL;
}
