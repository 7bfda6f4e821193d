#include "tests/test.h"

#include "os/env.h"
#include "os/thread.h"

#include <poll.h>
#include <signal.h>
#include <string.h>

struct shared {
	struct mutex lock; /* guards turn */
	struct cond changed;
	int turn;
	char name[16];
	bool term_blocked;
};

static void *take_a_turn(void *arg)
{
	struct shared *s = arg;
	sigset_t blocked;
	pthread_sigmask(SIG_SETMASK, NULL, &blocked);
	mutex_lock(&s->lock);
	s->term_blocked = sigismember(&blocked, SIGTERM) == 1;
	while (s->turn != 1)
		cond_wait(&s->changed, &s->lock);
	pthread_getname_np(pthread_self(), s->name, sizeof(s->name));
	s->turn = 2;
	cond_signal(&s->changed);
	mutex_unlock(&s->lock);
	return NULL;
}

static void a_thread_has_its_name_and_leaves_signals_to_the_host(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct shared s = { 0 };
	mutex_init(&s.lock);
	cond_init(&s.changed);
	struct thread t = { 0 };
	thread_join(&t); /* never ran */
	assert_ok(thread_start(&t, "a-name-far-too-long-for-the-kernel", take_a_turn, &s, &e), &e);
	mutex_lock(&s.lock);
	s.turn = 1;
	cond_broadcast(&s.changed);
	while (s.turn != 2)
		cond_wait(&s.changed, &s.lock);
	mutex_unlock(&s.lock);
	thread_join(&t);
	thread_join(&t);
	assert_string_equal(s.name, "a-name-far-too-");
	assert_true(s.term_blocked);
	sigset_t mine;
	pthread_sigmask(SIG_SETMASK, NULL, &mine);
	assert_int_equal(sigismember(&mine, SIGTERM), 0);
	cond_done(&s.changed);
	mutex_done(&s.lock);
}

static void a_wait_with_a_deadline_ends_at_it(void **state)
{
	(void)state;
	struct env *env = env_posix();
	struct mutex lock;
	struct cond never;
	mutex_init(&lock);
	cond_init(&never);
	mutex_lock(&lock);
	assert_int_equal(cond_wait_until(&never, &lock, 0), 0);
	nsec deadline = env_mono(env) + 15 * NSEC_PER_MS;
	while (cond_wait_until(&never, &lock, deadline))
		;
	assert_true(env_mono(env) >= deadline);
	mutex_unlock(&lock);
	cond_done(&never);
	mutex_done(&lock);
}

static bool readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	return poll(&p, 1, 0) == 1;
}

static void a_notify_descriptor_is_readable_while_signalled(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	int fd = -1;
	assert_ok(notify_open(&fd, &e), &e);
	assert_false(readable(fd));
	notify_clear(fd);
	notify_set(fd);
	notify_set(fd);
	assert_true(readable(fd));
	assert_true(readable(fd));
	notify_clear(fd);
	assert_false(readable(fd));
	notify_close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_thread_has_its_name_and_leaves_signals_to_the_host),
		cmocka_unit_test(a_wait_with_a_deadline_ends_at_it),
		cmocka_unit_test(a_notify_descriptor_is_readable_while_signalled),
	};
	return cmocka_run_group_tests_name("os_thread", tests, NULL, NULL);
}
