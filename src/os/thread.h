/* thread.h: threads, mutexes, condition variables and wake-up descriptors: thin names over pthreads and eventfd.
 *
 * A mutex names what it guards beside its declaration; docs/threads.md has the lock order. */
#ifndef OS_THREAD_H
#define OS_THREAD_H

#include "base/err.h"

#include <pthread.h>

struct thread { pthread_t id; bool running; };
struct mutex { pthread_mutex_t m; };
struct cond { pthread_cond_t c; };          /* waits on the monotonic clock */

int thread_start(struct thread *t, const char *name, void *(*run)(void *arg), void *arg, struct err *e);
void thread_join(struct thread *t);          /* does nothing when it never ran */

void mutex_init(struct mutex *m);
void mutex_done(struct mutex *m);
static inline void mutex_lock(struct mutex *m) { ASSERT(pthread_mutex_lock(&m->m) == 0); }
static inline void mutex_unlock(struct mutex *m) { ASSERT(pthread_mutex_unlock(&m->m) == 0); }

void cond_init(struct cond *c);
void cond_done(struct cond *c);
void cond_wait(struct cond *c, struct mutex *m);
int cond_wait_until(struct cond *c, struct mutex *m, nsec deadline); /* mono clock, -1 none; 1 woken, 0 time-out */
void cond_signal(struct cond *c);
void cond_broadcast(struct cond *c);

/* A descriptor that polls readable while signalled (eventfd). */
int notify_open(int *fd, struct err *e);
void notify_set(int fd);
void notify_clear(int fd);
void notify_close(int fd);

#endif
