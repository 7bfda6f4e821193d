/* stop.c: a signal becomes a call in an ordinary thread, where locks and I/O are allowed. */
#include "cli/cli.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

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
	for (int times = 0; sigwait(&set, &sig) == 0; times++) {
		if (times > 0)
			_exit(128 + sig);
		atomic_store(&requested, true);
		on_stop(on_stop_arg);
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
