/* Groups of real processes that come, go, are killed and paused at any moment, while events keep coming.
 *
 *	this process: the simulated cluster, the Lease API, who does what to whom, and at the end the ledger's judgement
 *	  │ fork, exec itself with arguments
 *	  ├─ member 1: a source, a membership, a store that claims; all it does goes to the ledger
 *	  ├─ member 2 ...
 *
 * B5 of the fault programme: at most one owner whose saves are taken, no event lost, checkpoints that only go forward,
 * and what comes twice was not saved. */
#include "tests/test.h"

#include "dcp/conn.h"
#include "dcp/kv.h"
#include "dcp/membership_run.h"
#include "dcp/source.h"
#include "os/env.h"
#include "tests/fake/couchbase/fake.h"
#include "tests/fake/lease.h"
#include "tests/members_ledger.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { HEARTBEAT_MS = 100, TOLERANCE_MS = 500, DELAY_MS = 250, SAVE_MS = 80 };
enum { TOGETHER = 8, LEAST = 3, FIRST = 5 };

/* ---- a member ---- */

enum argument { A_PROGRAM, A_WORD, A_HOST, A_KIND, A_API, A_TOKEN, A_LEDGER, A_NUMBER, A_COUNT };

struct member {
	struct ledger *ledger;
	uint32_t number;
	struct dcp_source *source;
};

/* Between the claims and the documents: tells the ledger. */
struct telling {
	struct checkpoint_store base;
	struct checkpoint_store *inner;
	struct member *m;
};

static int tell_load(struct checkpoint_store *s, struct checkpoint *c, size_t n, struct err *e)
{
	struct telling *t = container_of(s, struct telling, base);
	uint64_t begun = ledger_now();
	int rc = checkpoint_load(t->inner, c, n, e);
	for (size_t i = 0; rc == 0 && i < n; i++)
		ledger_add(t->m->ledger, LEDGER_LOAD, t->m->number, c[i].vb,
			   c[i].found ? c[i].pos.seqno : 0, begun);
	return rc;
}

/* Of several of which one is refused, those that were saved are saved again: they are told then. */
static int tell_save(struct checkpoint_store *s, const struct checkpoint *c, size_t n,
		     struct err *e)
{
	struct telling *t = container_of(s, struct telling, base);
	uint64_t begun = ledger_now();
	int rc = checkpoint_save(t->inner, c, n, e);
	for (size_t i = 0; rc == 0 && i < n; i++)
		ledger_add(t->m->ledger, LEDGER_SAVED, t->m->number, c[i].vb, c[i].pos.seqno,
			   begun);
	if (rc == ERR_FENCED && n == 1)
		ledger_add(t->m->ledger, LEDGER_REFUSED, t->m->number, c->vb, c->pos.seqno, begun);
	return rc;
}

static int tell_clear(struct checkpoint_store *s, const uint16_t *vb, size_t n, struct err *e)
{
	return checkpoint_clear(container_of(s, struct telling, base)->inner, vb, n, e);
}

static void tell_free(struct checkpoint_store *s)
{
	struct telling *t = container_of(s, struct telling, base);
	checkpoint_store_free(t->inner);
	free(t);
}

static struct checkpoint_store *telling(struct checkpoint_store *inner, struct member *m)
{
	static const struct checkpoint_store_ops ops = { tell_load, tell_save, tell_clear,
							 tell_free };
	struct telling *t = calloc(1, sizeof(*t));
	t->base.ops = &ops;
	t->inner = inner;
	t->m = m;
	return &t->base;
}

static int give(void *arg, const uint16_t *vb, size_t n, struct err *e)
{
	return dcp_source_assign(((struct member *)arg)->source, vb, n, e);
}

static void limit(void *arg, nsec until)
{
	dcp_source_hand_out_until(((struct member *)arg)->source, until);
}

static void take(struct member *m)
{
	struct err e = ERR_INIT;
	struct dcp_batch b;
	if (dcp_source_poll(m->source, &b, 20 * NSEC_PER_MS, &e) <= 0)
		return;
	for (size_t i = 0; i < b.n; i++) {
		const struct dcp_event *ev = &b.ev[i];
		uint64_t begun = ledger_now();
		int rc = dcp_source_ack(m->source, ev);
		if (ev->kind == DCP_MUTATION)
			ledger_add(m->ledger, rc == 0 ? LEDGER_TAKEN : LEDGER_LATE, m->number,
				   ev->vb, ev->pos.seqno, begun);
	}
}

/* SIGTERM waits until there is somebody to take it: a process that has just begun may be told to leave, too. */
static void hold_sigterm(int how)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	(void)pthread_sigmask(how, &set, NULL);
}

static volatile sig_atomic_t asked_to_leave;

static void on_term(int sig)
{
	(void)sig;
	asked_to_leave = 1;
}

static int open_membership(char **argv, const struct kv_options *kv, struct membership **out,
			   struct err *e)
{
	static char id[32];
	(void)snprintf(id, sizeof(id), "m%s", argv[A_NUMBER]);
	if (strcmp(argv[A_KIND], "lease") == 0) {
		struct lease_options o = { .api = argv[A_API],
					   .space = "shop",
					   .name = "orders",
					   .id = id,
					   .token_file = argv[A_TOKEN],
					   .ca_file = "/dev/null",
					   .duration = 2 * TOLERANCE_MS * NSEC_PER_MS,
					   .renew_deadline = TOLERANCE_MS * NSEC_PER_MS,
					   .retry = HEARTBEAT_MS * NSEC_PER_MS,
					   .timeout = TOLERANCE_MS * NSEC_PER_MS };
		return membership_lease(&o, out, e);
	}
	struct couchbase_members o = { .group = "g",
				       .id = id,
				       .lil = strcmp(argv[A_KIND], "lil") == 0,
				       .interval = HEARTBEAT_MS * NSEC_PER_MS,
				       .monitor = HEARTBEAT_MS * NSEC_PER_MS,
				       .tolerance = TOLERANCE_MS * NSEC_PER_MS };
	int rc = documents_couchbase(kv, &o.documents, e);
	return rc < 0 ? rc : membership_couchbase(&o, out, e);
}

static int failed(const struct err *e)
{
	(void)fprintf(stderr, "member: %s\n", e->msg);
	return 3;
}

static int member_main(char **argv)
{
	struct member m = { .ledger = ledger_open(argv[A_LEDGER], 0),
			    .number = (uint32_t)atoi(argv[A_NUMBER]) };
	struct err e = ERR_INIT;
	struct scram_cache cache[2] = { { .mechanism = SASL_NONE }, { .mechanism = SASL_NONE } };
	const char *seeds[] = { argv[A_HOST] };
	struct conn_options conn = { .env = env_posix(),
				     .user = "Administrator",
				     .password = "password",
				     .bucket = "default",
				     .cache = &cache[0],
				     .connect_timeout = PATIENCE,
				     .noop = PATIENCE };
	struct kv_options kv = { .conn = &conn, .seeds = seeds, .n_seeds = 1, .timeout = PATIENCE };
	struct checkpoint_store *store;
	struct membership *membership;
	struct membership_run *run;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)signal(SIGTERM, on_term);
	hold_sigterm(SIG_UNBLOCK);
	if (!m.ledger || checkpoint_couchbase_open(&kv, "g", &store, &e) < 0 ||
	    checkpoint_claiming(telling(store, &m), &store, &e) < 0)
		return failed(&e);
	struct dcp_options o = { .seeds = seeds,
				 .n_seeds = 1,
				 .user = "Administrator",
				 .password = "password",
				 .bucket = "default",
				 .group = "g",
				 .connect_timeout = PATIENCE,
				 .store = store,
				 .checkpoint_interval = SAVE_MS * NSEC_PER_MS };
	conn.cache = &cache[1];
	kv.timeout = NSEC_PER_SEC;
	if (dcp_source_open(&o, &m.source, &e) < 0 ||
	    open_membership(argv, &kv, &membership, &e) < 0)
		return failed(&e);
	struct membership_run_options ro = { .membership = membership,
					     .claims = store,
					     .n_vbuckets = dcp_source_vbuckets(m.source),
					     .delay = DELAY_MS * NSEC_PER_MS,
					     .assign = give,
					     .limit = limit,
					     .arg = &m };
	if (membership_run_start(&ro, &run, &e) < 0)
		return failed(&e);
	while (!asked_to_leave)
		take(&m);
	(void)membership_run_stop(run, NULL);
	(void)dcp_source_close(m.source, &e);
	checkpoint_store_free(store);
	ledger_close(m.ledger);
	return 0;
}

/* ---- the group ---- */

struct process {
	pid_t pid;     /* 0 none */
	uint64_t wake; /* paused until then */
	uint32_t number;
};

struct group {
	const char *kind, *dir;
	unsigned vbs;
	struct fake *fake;
	struct lease_fake *leases;
	struct ledger *ledger;
	char host[32], token[256], path[256];
	struct process p[TOGETHER];
	uint32_t numbers;
	unsigned acts, joins, leaves, kills, pauses;
	/* the writer's, until it is joined */
	pthread_t writer;
	atomic_bool stop;
	uint64_t **written;
	size_t *n_written;
	unsigned keys;
};

static void write_one(struct group *g, unsigned vb)
{
	char key[32];
	(void)snprintf(key, sizeof(key), "k%u", g->keys++);
	uint64_t seqno = fake_set(g->fake, vb, 0, key, SLICE_LIT("{\"a\":1}"));
	if ((g->n_written[vb] & (g->n_written[vb] - 1)) == 0) /* room is a power of two */
		g->written[vb] =
			realloc(g->written[vb], 2 * (g->n_written[vb] + 1) * sizeof(**g->written));
	g->written[vb][g->n_written[vb]++] = seqno;
}

static void *write_on(void *arg)
{
	struct group *g = arg;
	unsigned seed = 1;
	while (!atomic_load(&g->stop)) {
		for (int i = 0; i < 4; i++)
			write_one(g, (unsigned)rand_r(&seed) % g->vbs);
		(void)usleep(4000);
	}
	for (unsigned vb = 0; vb < g->vbs; vb++)
		write_one(g, vb);
	return NULL;
}

static void group_open(struct group *g, const char *kind, unsigned vbs, size_t room)
{
	*g = (struct group){ .kind = kind, .vbs = vbs, .dir = test_tmpdir() };
	g->fake = fake_start(&(struct fake_options){ .nodes = 3, .vbuckets = vbs });
	assert_non_null(g->fake);
	(void)snprintf(g->host, sizeof(g->host), "127.0.0.1:%u", fake_kv_port(g->fake, 0));
	(void)snprintf(g->token, sizeof(g->token), "%s/token", g->dir);
	(void)snprintf(g->path, sizeof(g->path), "%s/ledger", g->dir);
	FILE *f = fopen(g->token, "w");
	assert_true(f && fputs("secret", f) >= 0 && fclose(f) == 0);
	g->leases = lease_fake_start("secret", NULL);
	assert_non_null(g->leases);
	g->ledger = ledger_open(g->path, room);
	assert_non_null(g->ledger);
	g->written = calloc(vbs, sizeof(*g->written));
	g->n_written = calloc(vbs, sizeof(*g->n_written));
	assert_int_equal(pthread_create(&g->writer, NULL, write_on, g), 0);
}

static void start(struct group *g, struct process *p)
{
	char number[16];
	p->number = ++g->numbers;
	p->wake = 0;
	(void)snprintf(number, sizeof(number), "%u", p->number);
	char *argv[A_COUNT + 1] = { (char *)"member",
				    (char *)"--member",
				    g->host,
				    (char *)g->kind,
				    (char *)lease_fake_url(g->leases),
				    g->token,
				    g->path,
				    number,
				    NULL };
	p->pid = fork();
	assert_true(p->pid >= 0);
	if (p->pid == 0) {
		hold_sigterm(SIG_BLOCK);
		(void)execv("/proc/self/exe", argv);
		_exit(127);
	}
	g->joins++;
}

static void resume_due(struct group *g, uint64_t now)
{
	for (int i = 0; i < TOGETHER; i++)
		if (g->p[i].pid && g->p[i].wake && g->p[i].wake <= now) {
			(void)kill(g->p[i].pid, SIGCONT);
			g->p[i].wake = 0;
		}
}

/* Nobody is paused longer for it. */
static void await(struct group *g, struct process *p, bool killed)
{
	int status;
	pid_t ended;
	while ((ended = waitpid(p->pid, &status, WNOHANG)) == 0) {
		resume_due(g, ledger_now());
		(void)usleep(1000);
	}
	assert_int_equal(ended, p->pid);
	if (killed ? !WIFSIGNALED(status) : !WIFEXITED(status) || WEXITSTATUS(status) != 0)
		fail_msg("member %u ended with status 0x%x", p->number, status);
	p->pid = 0;
}

static unsigned count(const struct group *g, bool running)
{
	unsigned n = 0;
	for (int i = 0; i < TOGETHER; i++)
		n += g->p[i].pid && !(running && g->p[i].wake);
	return n;
}

/* Something to somebody; false: the one drawn is not there for it. */
static bool change(struct group *g)
{
	struct process *p = &g->p[rand() % TOGETHER];
	if (!p->pid) {
		start(g, p);
		return true;
	}
	if (p->wake || count(g, true) <= LEAST)
		return false;
	switch (g->acts++ % 3) { /* each as often, however few there are */
	case 0:
		(void)kill(p->pid, SIGTERM);
		await(g, p, false);
		g->leaves++;
		break;
	case 1:
		(void)kill(p->pid, SIGKILL);
		await(g, p, true);
		g->kills++;
		break;
	case 2: /* longer than the others have patience, or shorter */
		(void)kill(p->pid, SIGSTOP);
		p->wake = ledger_now() + (uint64_t)(300 + rand() % 1700) * 1000000u;
		g->pauses++;
		break;
	}
	return true;
}

static void churn(struct group *g, long changes, unsigned pause_ms)
{
	for (int i = 0; i < FIRST; i++)
		start(g, &g->p[i]);
	for (long i = 0; i < changes;) {
		(void)usleep((unsigned)rand() % (pause_ms * 1000));
		resume_due(g, ledger_now());
		i += change(g);
	}
	resume_due(g, UINT64_MAX);
}

/* How many of what was written nobody has taken yet; `seen` remembers up to where the ledger was read. */
struct watch {
	size_t at, taken;
	uint8_t **flag; /* by vBucket and seqno */
	size_t *room;
};

static void look(struct group *g, struct watch *w)
{
	for (; w->at < ledger_count(g->ledger); w->at++) {
		const struct ledger_record *r = ledger_at(g->ledger, w->at);
		if (r->act != LEDGER_TAKEN)
			continue;
		while (r->seqno >= w->room[r->vb]) {
			size_t room = w->room[r->vb] ? 2 * w->room[r->vb] : 64;
			w->flag[r->vb] = realloc(w->flag[r->vb], room);
			memset(w->flag[r->vb] + w->room[r->vb], 0, room - w->room[r->vb]);
			w->room[r->vb] = room;
		}
		w->taken += !w->flag[r->vb][r->seqno];
		w->flag[r->vb][r->seqno] = 1;
	}
}

/* A record may have been begun and not finished by somebody who was killed, so a whole look is taken now and then. */
static void settle(struct group *g, unsigned seconds)
{
	struct watch w = { .flag = calloc(g->vbs, sizeof(*w.flag)),
			   .room = calloc(g->vbs, sizeof(*w.room)) };
	uint64_t deadline = ledger_now() + (uint64_t)seconds * 1000000000u;
	atomic_store(&g->stop, true);
	pthread_join(g->writer, NULL);
	for (unsigned round = 1; w.taken < g->keys && ledger_now() < deadline; round++) {
		(void)usleep(20000);
		if (round % 50 == 0)
			w.at = 0;
		look(g, &w);
	}
	for (unsigned vb = 0; vb < g->vbs; vb++)
		free(w.flag[vb]);
	free(w.flag);
	free(w.room);
	if (w.taken < g->keys)
		print_message("%zu of %u events after %u s\n", w.taken, g->keys, seconds);
}

static void group_close(struct group *g)
{
	for (int i = 0; i < TOGETHER; i++)
		if (g->p[i].pid)
			(void)kill(g->p[i].pid, SIGTERM);
	for (int i = 0; i < TOGETHER; i++)
		if (g->p[i].pid)
			await(g, &g->p[i], false);
	struct ledger_sums s;
	char why[256];
	bool good = ledger_check(g->ledger, g->vbs, g->written, g->n_written, &s, why, sizeof(why));
	print_message(
		"%s: %u joins, %u leaves, %u kills, %u pauses; %u events, %zu twice (%zu unsaved), "
		"%zu late; %zu loads, %zu saves, %zu refused\n",
		g->kind, g->joins, g->leaves, g->kills, g->pauses, g->keys, s.twice, s.unsaved,
		s.late, s.loads, s.saves, s.refused);
	if (!good)
		fail_msg("%s", why);
	lease_fake_stop(g->leases);
	fake_stop(g->fake);
	ledger_close(g->ledger);
	for (unsigned vb = 0; vb < g->vbs; vb++)
		free(g->written[vb]);
	free(g->written);
	free(g->n_written);
	test_rmdir(g->dir);
}

static void run_group(const char *kind, long changes)
{
	static struct group g;
	bool large = changes > 100;
	srand(7);
	group_open(&g, kind, large ? 1024 : 64, large ? 16 << 20 : 1 << 19);
	churn(&g, changes, large ? 1500 : 500);
	settle(&g, 60);
	group_close(&g);
}

static void b5_members_in_documents_come_go_die_and_sleep(void **state)
{
	(void)state;
	run_group("couchbase", test_count(10, 500));
}

static void b5_members_in_one_document_come_go_die_and_sleep(void **state)
{
	(void)state;
	run_group("lil", test_count(6, 500));
}

static void b5_members_with_a_leader_come_go_die_and_sleep(void **state)
{
	(void)state;
	run_group("lease", test_count(8, 500));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(b5_members_in_documents_come_go_die_and_sleep),
		cmocka_unit_test(b5_members_in_one_document_come_go_die_and_sleep),
		cmocka_unit_test(b5_members_with_a_leader_come_go_die_and_sleep),
	};
	if (argc == A_COUNT && strcmp(argv[A_WORD], "--member") == 0)
		return member_main(argv);
	if (argc == 2) /* only those that match */
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests_name("dcp/e2e_members_kill", tests, NULL, NULL);
}
