/* thread.c: thin names over pthreads and eventfd.
 *
 * A thread of the library blocks every signal that is sent from outside, so that the host's handlers run on the
 * host's threads only. */
#include "os/thread.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define THREAD_NAME_MAX 16 /* the kernel's, with the NUL */

static void block_signals(sigset_t *old)
{
	sigset_t all;
	(void)sigfillset(&all);
	(void)sigdelset(&all, SIGSEGV);
	(void)sigdelset(&all, SIGBUS);
	(void)sigdelset(&all, SIGFPE);
	(void)sigdelset(&all, SIGILL);
	(void)sigdelset(&all, SIGTRAP);
	ASSERT(pthread_sigmask(SIG_SETMASK, &all, old) == 0);
}

int thread_start(struct thread *t, const char *name, void *(*run)(void *arg), void *arg,
		 struct err *e)
{
	ASSERT(!t->running);
	sigset_t old;
	block_signals(&old);
	int errnum = pthread_create(&t->id, NULL, run, arg);
	ASSERT(pthread_sigmask(SIG_SETMASK, &old, NULL) == 0);
	if (errnum == EAGAIN)
		return err_set(e, ERR_LIMIT, "starting the thread %s: too many threads", name);
	if (errnum)
		return err_errno(e, errnum, "starting the thread %s", name);
	char cut[THREAD_NAME_MAX];
	(void)snprintf(cut, sizeof(cut), "%s", name);
	(void)pthread_setname_np(t->id, cut);
	t->running = true;
	return 0;
}

void thread_join(struct thread *t)
{
	if (!t->running)
		return;
	ASSERT(pthread_join(t->id, NULL) == 0);
	t->running = false;
}

void mutex_init(struct mutex *m)
{
	ASSERT(pthread_mutex_init(&m->m, NULL) == 0);
}

void mutex_done(struct mutex *m)
{
	ASSERT(pthread_mutex_destroy(&m->m) == 0);
}

void cond_init(struct cond *c)
{
	pthread_condattr_t attr;
	ASSERT(pthread_condattr_init(&attr) == 0);
	ASSERT(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
	ASSERT(pthread_cond_init(&c->c, &attr) == 0);
	(void)pthread_condattr_destroy(&attr);
}

void cond_done(struct cond *c)
{
	ASSERT(pthread_cond_destroy(&c->c) == 0);
}

void cond_wait(struct cond *c, struct mutex *m)
{
	ASSERT(pthread_cond_wait(&c->c, &m->m) == 0);
}

int cond_wait_until(struct cond *c, struct mutex *m, nsec deadline)
{
	if (deadline < 0) {
		cond_wait(c, m);
		return 1;
	}
	struct timespec t = { .tv_sec = deadline / NSEC_PER_SEC,
			      .tv_nsec = deadline % NSEC_PER_SEC };
	int errnum = pthread_cond_timedwait(&c->c, &m->m, &t);
	ASSERT(errnum == 0 || errnum == ETIMEDOUT);
	return errnum == 0;
}

void cond_signal(struct cond *c)
{
	ASSERT(pthread_cond_signal(&c->c) == 0);
}

void cond_broadcast(struct cond *c)
{
	ASSERT(pthread_cond_broadcast(&c->c) == 0);
}

int notify_open(int *fd, struct err *e)
{
	int n = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (n < 0)
		return err_errno(e, errno, "opening a wake-up descriptor");
	*fd = n;
	return 0;
}

void notify_set(int fd)
{
	uint64_t one = 1;
	ssize_t n;
	do
		n = write(fd, &one, sizeof(one));
	while (n < 0 && errno == EINTR);
	ASSERT(n == sizeof(one) || errno == EAGAIN); /* full: it is signalled */
}

void notify_clear(int fd)
{
	uint64_t count;
	ssize_t n;
	do
		n = read(fd, &count, sizeof(count));
	while (n < 0 && errno == EINTR);
	ASSERT(n == sizeof(count) || errno == EAGAIN); /* empty: it was not */
}

void notify_close(int fd)
{
	(void)close(fd);
}
