/* stop.c: a signal becomes a call in an ordinary thread, where locks and I/O are allowed. */
#include "cli/cli.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

/* Who stops a group of processes may tell each of them and then the group, as timeout(1) does: that is one request. */
enum { SAME_STOP_MS = 500 };

static atomic_bool requested; /* written by the thread below, read by stop_requested */
static void (*on_stop)(void *arg);
static void *on_stop_arg;

static void *wait_for_signal(void *arg)
{
	(void)arg;
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	int sig = 0;
	int64_t first_ms = -1;
	while (sigwait(&set, &sig) == 0) {
		if (first_ms < 0) {
			first_ms = mono_ms();
			atomic_store(&requested, true);
			on_stop(on_stop_arg);
		} else if (mono_ms() - first_ms >= SAME_STOP_MS) {
			_exit(128 + sig);
		}
	}
	return NULL;
}

void stop_on_signal(void (*fn)(void *arg), void *arg)
{
	on_stop = fn;
	on_stop_arg = arg;
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	pthread_t thread;
	if (pthread_create(&thread, NULL, wait_for_signal, NULL) == 0)
		pthread_detach(thread);
	else
		pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

bool stop_requested(void)
{
	return atomic_load(&requested);
}
