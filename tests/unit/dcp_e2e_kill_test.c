/* B3: a consumer that acknowledges in random order is killed (SIGKILL) at random moments, again and again, while its
 * cluster fails over: nothing is lost, and the checkpoint is never above an open event.
 *
 *	this process                          consumer (this program once more)
 *	simulated cluster, its failovers      source with a checkpoint file
 *	kill ───────────────────────────────▶ x
 *	takes away what was not processed     marks in shared memory what it has, and what it has processed
 *	... and in the end asks for everything
 *
 * An event counts as processed when it is acknowledged: what a killed consumer only held in its hands is gone. A
 * rollback is undone at once, before it is acknowledged. */
#include "tests/dcp_world.h"

#include <signal.h>
#include <sys/wait.h>

enum { VBS = 8, KEYS = 48, LIVES = 25, WINDOW_MAX = 10000 };

struct orders { /* what the consumer is told, as arguments */
	int fd;
	unsigned port, window, seed, policy, nacks;
	char path[256];
};

static unsigned upto(unsigned n)
{
	return (unsigned)rand() % n;
}

/* ---- the consumer ---- */

struct in_hand {
	struct dcp_event ev[WINDOW_MAX + 512];
	unsigned n;
};

static void process_one(struct world *w, struct in_hand *h, unsigned i)
{
	const struct dcp_event *ev = &h->ev[i];
	struct seen_item *item = &w->seen[ev->vb].item[ev->pos.seqno];
	if (ev->kind != DCP_ROLLBACK && item->hash)
		item->acked = true; /* processed; only now may it be acknowledged */
	(void)dcp_source_ack(w->source, ev);
	h->ev[i] = h->ev[--h->n];
}

/* Nothing of a vBucket that went back is processed any more. */
static void let_go(struct in_hand *h, uint16_t vb, uint64_t above)
{
	for (unsigned i = h->n; i-- > 0;)
		if (h->ev[i].vb == vb && h->ev[i].kind != DCP_ROLLBACK &&
		    h->ev[i].pos.seqno > above)
			h->ev[i] = h->ev[--h->n];
}

static void consume(struct world *w, struct in_hand *h, const struct orders *o)
{
	struct err e = ERR_INIT;
	struct dcp_batch b;
	int rc = dcp_source_poll(w->source, &b, NSEC_PER_MS, &e);
	if (rc < 0)
		fail_msg("seed %u, poll: %s", o->seed, e.msg);
	for (size_t i = 0; rc > 0 && i < b.n; i++) {
		apply(w, &b.ev[i]);
		if (b.ev[i].kind == DCP_ROLLBACK)
			let_go(h, b.ev[i].vb, b.ev[i].rollback_to);
		if (b.ev[i].kind != DCP_END)
			h->ev[h->n++] = b.ev[i];
		while (h->n > o->window)
			process_one(w, h, upto(h->n));
	}
	if (rc > 0)
		*w->taken += b.n;
	for (unsigned i = upto(upto(4) ? 3 : o->window + 1); i > 0 && h->n; i--)
		process_one(w, h, upto(h->n));
	if (upto(6) == 0 && dcp_source_commit(w->source, &e) < 0)
		fail_msg("seed %u, commit: %s", o->seed, e.msg);
	if (o->nacks && upto(30) == 0) {
		uint16_t vb = (uint16_t)upto(VBS);
		let_go(h, vb, 0);
		dcp_source_nack(w->source, vb, 0);
	}
}

/* Never returns; it is killed. */
static _Noreturn void be_consumer(char **argv)
{
	static struct in_hand h;
	struct err e = ERR_INIT;
	struct orders o = { .fd = atoi(argv[2]),
			    .port = (unsigned)atoi(argv[3]),
			    .window = (unsigned)atoi(argv[4]),
			    .seed = (unsigned)strtoul(argv[5], NULL, 10),
			    .policy = (unsigned)atoi(argv[6]),
			    .nacks = (unsigned)atoi(argv[7]) };
	struct world w = { .vbs = VBS };
	map_seen(&w, o.fd);
	(void)snprintf(w.seed, sizeof(w.seed), "127.0.0.1:%u", o.port);
	w.seeds[0] = w.seed;
	world_options(&w);
	w.o.mitigation.policy = (enum mitigation_policy)o.policy;
	w.o.checkpoint_interval = 3 * NSEC_PER_MS;
	srand(o.seed);
	assert_ok(checkpoint_file_open(env_posix(), argv[8], false, &w.o.store, &e), &e);
	world_open(&w);
	for (;;)
		consume(&w, &h, &o);
}

static pid_t start_consumer(const struct orders *o)
{
	char n[6][16];
	const unsigned numbers[] = { (unsigned)o->fd, o->port,   o->window,
				     o->seed,         o->policy, o->nacks };
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		(void)snprintf(n[i], sizeof(n[i]), "%u", numbers[i]);
	fflush(NULL);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		execl("/proc/self/exe", "consumer", "consumer", n[0], n[1], n[2], n[3], n[4], n[5],
		      o->path, NULL);
		_exit(127);
	}
	return pid;
}

/* ---- the cluster ---- */

static void write_many(struct world *w, unsigned n, unsigned *counter)
{
	char key[24], value[32];
	for (unsigned i = 0; i < n; i++) {
		unsigned vb = upto(VBS);
		if (fake_high_seqno(w->fake, vb) >= SEQNOS_MAX - 8)
			return;
		(void)snprintf(key, sizeof(key), "k%u", upto(KEYS));
		(void)snprintf(value, sizeof(value), "{\"n\":%u}", ++*counter);
		if (upto(8) == 0)
			(void)fake_delete(w->fake, vb, 0, key);
		else
			(void)fake_set(w->fake, vb, 0, key, slice_str(value));
	}
}

static void trouble(struct world *w)
{
	unsigned vb = upto(VBS);
	uint64_t high = fake_high_seqno(w->fake, vb);
	switch (upto(8)) {
	case 0:
	case 1:
		fake_replicate(w->fake, vb, 1, high - upto(20) % (high + 1));
		fake_failover_vb(w->fake, vb, 1);
		break;
	case 2:
		fake_persist(w->fake, vb, 0, high - upto(20) % (high + 1));
		fake_crash_vb(w->fake, vb);
		break;
	case 3: fake_move_vb(w->fake, vb, upto(2)); break;
	case 4: fake_drop_connections(w->fake, (int)upto(2)); break;
	case 5:
		fake_fault(w->fake, &(struct fake_fault){ .kind = FAKE_CUT_AFTER,
							  .node = (int)upto(2),
							  .vb = -1,
							  .n = upto(5000) });
		break;
	case 6:
		fake_fault(w->fake, &(struct fake_fault){ .kind = FAKE_ROLLBACK,
							  .node = -1,
							  .vb = (int)vb,
							  .count = 1,
							  .n = upto((unsigned)high + 1) });
		break;
	case 7:
		for (unsigned copy = 0; copy < 2; copy++)
			fake_persist(w->fake, vb, copy, UINT64_MAX);
		break;
	}
}

/* ---- what is left after a kill ---- */

struct left {
	struct world *w;
	bool nacks; /* what was refused may have come again under a later version only: it stays open */
	bool found[VBS];
};

static void look_at(struct left *l, const struct checkpoint *c)
{
	struct seen *s = &l->w->seen[c->vb];
	l->found[c->vb] = c->found;
	for (uint64_t i = 1; !l->nacks && i <= c->pos.seqno && i <= s->high; i++)
		if (s->item[i].hash && !s->item[i].acked)
			fail_msg("seed %u, vBucket %u: the checkpoint is at %u, but %u is open",
				 seeds_current(), c->vb, (unsigned)c->pos.seqno, (unsigned)i);
}

/* What was in the consumer's hands is gone. Before the first checkpoint nothing was. */
static void bury(struct world *w, const char *path, bool nacks)
{
	struct err e = ERR_INIT;
	struct left l = { .w = w, .nacks = nacks };
	struct checkpoint_store *store;
	struct checkpoint c[VBS];
	for (unsigned vb = 0; vb < VBS; vb++)
		c[vb] = (struct checkpoint){ .vb = (uint16_t)vb };
	assert_ok(checkpoint_file_look(env_posix(), path, false, &store, &e), &e);
	assert_ok(checkpoint_load(store, c, VBS, &e), &e);
	checkpoint_store_free(store);
	for (unsigned vb = 0; vb < VBS; vb++)
		look_at(&l, &c[vb]);
	for (unsigned vb = 0; vb < VBS; vb++) {
		struct seen *s = &w->seen[vb];
		if (!l.found[vb] && s->high)
			fail_msg("seed %u, vBucket %u: events before its first checkpoint",
				 seeds_current(), vb);
		for (uint64_t i = 1; i <= s->high; i++)
			if (!s->item[i].acked)
				s->item[i].hash = 0;
	}
}

/* So that kills come at every moment of its work, not only of its start. */
static void let_it_take(struct world *w, unsigned n)
{
	uint64_t enough = *w->taken + n;
	for (nsec limit = now() + (upto(4) ? 40 : upto(10)) * NSEC_PER_MS; now() < limit;) {
		if (*w->taken >= enough)
			return;
		usleep(100);
	}
}

static void live_and_die(struct world *w, const struct orders *o, unsigned *counter)
{
	int status;
	pid_t pid = start_consumer(o);
	for (unsigned i = 1 + upto(6); i > 0; i--) {
		let_it_take(w, upto(40));
		if (upto(2))
			trouble(w);
		write_many(w, upto(30), counter);
	}
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		fail_msg("seed %u: the consumer ended by itself: %x", seeds_current(), status);
	bury(w, o->path, o->nacks);
}

static unsigned draw_window(void)
{
	static const unsigned most[] = { 1, 4, 16, 64, 256, 1000, WINDOW_MAX };
	return 1 + upto(most[upto(ARRAY_LEN(most))]);
}

static void run_kills(unsigned seed)
{
	unsigned counter = 0;
	struct err e = ERR_INIT;
	srand(seed);
	struct world *w = world_new(&(struct fake_options){ .nodes = 2,
							    .vbuckets = VBS,
							    .replicas = 1,
							    .hold_persistence = true,
							    .checkpoint_items = 1 + upto(100) });
	const char *dir = test_tmpdir();
	struct orders o = { .fd = w->seen_fd,
			    .port = fake_kv_port(w->fake, 0),
			    .policy = upto(2) ? MITIGATE_NONE : MITIGATE_ACTIVE,
			    .nacks = upto(2) };
	(void)snprintf(o.path, sizeof(o.path), "%s/checkpoint", dir);
	o.window = draw_window();
	write_many(w, o.window / 2 + upto(500), &counter);
	for (unsigned life = 0; life < LIVES; life++) {
		o.seed = seed * 1000 + life;
		live_and_die(w, &o, &counter);
	}
	fake_clear_faults(w->fake);
	fake_hold_persistence(w->fake, false);
	assert_ok(checkpoint_file_open(env_posix(), o.path, false, &w->o.store, &e), &e);
	world_open(w);
	settle(w, VBS, PATIENCE);
	world_close(w);
	checkpoint_store_free(w->o.store);
	world_free(w);
	test_rmdir(dir);
}

static const struct seeded seeded[] = { { "kills", run_kills }, { 0 } };

static void b3_kills_with_acks_in_random_order_lose_nothing(void **state)
{
	(void)state;
	seeds_run(&seeded[0], test_count(12, 10000 / LIVES));
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "consumer") == 0)
		be_consumer(argv);
	if (argc > 1)
		return seeds_worker(argc, argv, seeded);
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(b3_kills_with_acks_in_random_order_lose_nothing),
	};
	return cmocka_run_group_tests_name("dcp/e2e kill", tests, NULL, NULL);
}
