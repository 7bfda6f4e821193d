/* The log under modelled power losses.
 *
 * A small random workload (appends with every acknowledgement, flushes, segment rolls, trims, restarts, kills) runs on
 * the simulated disk. Before every call that changes the disk, and after every append, the test draws states that a
 * power loss at this moment could leave (os/sim_disk.h), opens the log in each as its writer, and compares:
 *
 *	- the log opens; a log or topic whose creation was acknowledged is there
 *	- every offset acknowledged as durable is there, none that was never submitted
 *	- every offset in the range is delivered, in order, with its own bytes; nothing counts as damage
 *	- the range begins no later than what was asked to be trimmed
 *	- some states go on: they lose power again in the middle of the recovery, or append, and are checked again
 *
 * The control runs the same with syncing switched off and must find losses; otherwise this test would see none ever.
 *
 * WEIR_SIM_SEED=n repeats one workload.
 */
#include "tests/log_model.h"
#include "tests/test.h"

#include "os/env_fault.h"
#include "os/env_sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define PARTS          2
#define SEGMENT_BYTES  4096
#define FILE_BYTES     (128u << 10)
#define MAX_VALUE      900
#define STEPS          40
#define STATES_A_POINT 1
#define WORKERS        2

struct oracle {
	bool log_acked, topic_acked; /* their creation */
	struct model_part part[PARTS];
};

struct world {
	struct sim *now, *after, *third, *next;
	struct env_fault fault; /* around `now`; its hook draws states */
	struct oracle oracle;
	struct log *log;
	struct log_topic *topic;
	struct sim_rng rng;    /* of the workload */
	struct sim_rng states; /* of the power losses */
	uint64_t seed;
	uint64_t left; /* states still to draw */
	uint64_t checked, lost;
	bool control; /* count what is lost instead of failing */
	bool draws_states;
};

static struct log_options options(struct env *env)
{
	return (struct log_options){ .env = env,
				     .create = true,
				     .segment_bytes = SEGMENT_BYTES,
				     .flush_interval_ms = UINT32_MAX };
}

/* ---- checking one state ---- */

/* Opens the log in a state; *t is NULL when there is no topic and none has to be. */
static int open_state(struct env *env, const struct oracle *o, struct log **l, struct log_topic **t,
		      struct err *e)
{
	struct log_options opt = options(env);
	opt.create = !o->log_acked;
	*t = NULL;
	int rc = log_open("log", &opt, l, e);
	if (rc < 0)
		return err_in(e, rc, "opening");
	rc = log_topic_open(*l, "t", t, e);
	if (rc == ERR_NOTFOUND && !o->topic_acked) {
		*t = NULL;
		rc = 0;
	}
	if (rc < 0) {
		(void)log_close(*l, NULL);
		return err_in(e, rc, "opening the topic");
	}
	return 0;
}

static int check_log(struct log_topic *t, const struct oracle *o, struct err *e)
{
	int rc = 0;
	for (uint32_t p = 0; p < PARTS && t && rc == 0; p++) {
		struct model_part want = o->part[p];
		want.written = 0; /* that is no promise for a power loss */
		rc = model_check_part(t, p, &want, MAX_VALUE, e);
	}
	return rc;
}

static int close_state(struct sim *s, struct log *l, int rc, struct err *e)
{
	int closed = log_close(l, rc < 0 ? NULL : e);
	if (rc == 0 && closed < 0)
		rc = err_in(e, closed, "closing");
	if (rc == 0 && (sim_open_files(s) || sim_open_maps(s)))
		rc = err_set(e, ERR_CONFLICT, "%zu files and %zu maps left open", sim_open_files(s),
			     sim_open_maps(s));
	return rc;
}

static int check_state(struct sim *s, const struct oracle *o, struct err *e)
{
	struct log *l;
	struct log_topic *t;
	int rc = open_state(sim_env(s), o, &l, &t, e);
	if (rc < 0)
		return rc;
	return close_state(s, l, check_log(t, o, e), e);
}

/* Indexes are aids that nobody syncs: after a power loss they may be stale. */
static int first_damage(void *arg, const struct log_damage *d)
{
	if (strstr(d->file, ".idx"))
		return 0;
	return err_set(arg, ERR_CONFLICT,
		       "%s, bytes %" PRIu64 " to %" PRIu64 ", offsets %" PRIu64 " to %" PRIu64
		       ": %s",
		       d->file, d->from_byte, d->to_byte, d->from_offset, d->to_offset, d->what);
}

static int check_verify(struct sim *s, struct err *e)
{
	struct log_report report;
	struct log_options opt = options(sim_env(s));
	int rc = log_verify("log", &opt, first_damage, e, &report, e);
	return rc < 0 ? err_in(e, rc, "verify after a recovery") : 0;
}

/* What a recovered log acknowledges is as good as anything: append, lose power again, look. */
static int go_on(struct world *w, struct err *e)
{
	struct oracle o = w->oracle;
	struct log *l;
	struct log_topic *t;
	int rc = open_state(sim_env(w->after), &o, &l, &t, e);
	if (rc < 0)
		return rc;
	for (uint32_t p = 0; p < PARTS && t && rc == 0; p++) {
		uint64_t next = log_topic_range(t, p, false).next;
		size_t n = 1 + sim_below(&w->states, 4);
		rc = model_append(t, p, next, n, p + MODEL_NEW_LIFE, MAX_VALUE, LOG_ACK_DURABLE, e);
		o.part[p].new_from = next;
		o.part[p].submitted = o.part[p].durable = next + n;
	}
	o.log_acked = true;
	o.topic_acked = o.topic_acked || t;
	if (rc == 0)
		rc = check_log(t, &o, e);
	if (rc == 0)
		rc = sim_crash(w->after, sim_rand(&w->states), w->third);
	rc = close_state(w->after, l, rc, e);
	if (rc == 0)
		rc = check_state(w->third, &o, e);
	return rc < 0 ? err_in(e, rc, "after appending to the recovered log") : 0;
}

struct second_loss {
	struct world *w;
	uint64_t at;
	bool drawn;
};

static void lose_power_again(void *arg, enum fault_call call, uint64_t index)
{
	struct second_loss *second = arg;
	(void)call;
	if (index != second->at)
		return;
	second->drawn = true;
	ASSERT(sim_crash(second->w->after, sim_rand(&second->w->states), second->w->third) == 0);
}

/* The power goes a second time in the middle of the recovery. */
static int interrupt_recovery(struct world *w, struct err *e)
{
	struct second_loss second = { .w = w, .at = 1 + sim_below(&w->states, 60) };
	struct env_fault env;
	env_fault_init(&env, sim_env(w->after));
	env.before = lose_power_again;
	env.arg = &second;
	struct log *l;
	struct log_topic *t;
	int rc = open_state(&env.base, &w->oracle, &l, &t, e);
	env.before = NULL;
	if (rc < 0)
		return rc;
	rc = close_state(w->after, l, check_log(t, &w->oracle, e), e);
	if (rc == 0 && second.drawn) {
		rc = check_state(w->third, &w->oracle, e);
		if (rc < 0)
			rc = err_in(e, rc,
				    "after a second power loss at call %" PRIu64 " of the recovery",
				    second.at);
	}
	return rc;
}

static int check_one(struct world *w, struct err *e)
{
	switch (sim_below(&w->states, 16)) {
	case 0: {
		int rc = go_on(w, e);
		return rc < 0 ? rc : check_verify(w->after, e);
	}
	case 1:
	case 2: return interrupt_recovery(w, e);
	}
	return check_state(w->after, &w->oracle, e);
}

static void report(const struct world *w, uint64_t state, int rc, const struct err *e)
{
	fprintf(stderr, "WEIR_SIM_SEED=%" PRIu64 ", state %" PRIu64 ": %s %s\n", w->seed, state,
		err_name(rc), e->msg);
}

static void draw_states(struct world *w)
{
	for (int i = 0; i < STATES_A_POINT && w->left && w->draws_states; i++) {
		struct err e = ERR_INIT;
		ASSERT(sim_crash(w->now, sim_rand(&w->states), w->after) == 0);
		int rc = check_one(w, &e);
		w->left--;
		w->checked++;
		w->lost += rc < 0;
		if (rc < 0 && !w->control) {
			report(w, w->checked, rc, &e);
			_Exit(1);
		}
		if (sim_open_files(
			    w->after)) { /* only a failed open or close in the control gets here */
			report(w, w->checked, rc, &e);
			_Exit(1);
		}
	}
}

static bool changes_the_disk(enum fault_call call)
{
	switch (call) {
	case FAULT_RENAME:
	case FAULT_UNLINK:
	case FAULT_MKDIR:
	case FAULT_RMDIR:
	case FAULT_SYNC_DIR:
	case FAULT_OPEN:
	case FAULT_WRITE:
	case FAULT_SYNC:
	case FAULT_TRUNCATE:
	case FAULT_ALLOCATE: return true;
	case FAULT_RANDOM:
	case FAULT_STAT:
	case FAULT_LIST:
	case FAULT_READ:
	case FAULT_SIZE:
	case FAULT_MAP:
	case FAULT_LOCK:
	case FAULT_LOCKED: return false;
	}
	return false;
}

static void before_call(void *arg, enum fault_call call, uint64_t index)
{
	(void)index;
	if (changes_the_disk(call))
		draw_states(arg);
}

/* ---- the workload ---- */

static void must(const struct world *w, int rc, const struct err *e)
{
	if (rc == 0)
		return;
	report(w, 0, rc, e);
	_Exit(1);
}

static void open_now(struct world *w)
{
	struct err e = ERR_INIT;
	struct log_options opt = options(&w->fault.base);
	must(w, log_open("log", &opt, &w->log, &e), &e);
	w->oracle.log_acked = true;
	if (w->oracle.topic_acked)
		must(w, log_topic_open(w->log, "t", &w->topic, &e), &e);
	else
		must(w, log_topic_create(w->log, "t", PARTS, &w->topic, &e), &e);
	w->oracle.topic_acked = true;
}

static void close_now(struct world *w)
{
	struct err e = ERR_INIT;
	must(w, log_close(w->log, &e), &e);
	for (int p = 0; p < PARTS; p++)
		w->oracle.part[p].durable = w->oracle.part[p].submitted; /* it flushes */
}

static void append(struct world *w, uint32_t p)
{
	static const enum log_ack acks[] = { LOG_ACK_DURABLE, LOG_ACK_DURABLE, LOG_ACK_WRITTEN,
					     LOG_ACK_NONE };
	struct err e = ERR_INIT;
	struct model_part *part = &w->oracle.part[p];
	uint64_t next = part->submitted;
	size_t n = 1 + sim_below(&w->rng, 4);
	enum log_ack ack = acks[sim_below(&w->rng, ARRAY_LEN(acks))];
	part->submitted += n;
	part->new_from = part->submitted;
	must(w, model_append(w->topic, p, next, n, p, MAX_VALUE, ack, &e), &e);
	if (ack == LOG_ACK_DURABLE)
		part->durable = part->submitted;
	if (ack != LOG_ACK_NONE)
		part->written = part->submitted;
	draw_states(w);
}

static void flush(struct world *w, uint32_t p)
{
	struct err e = ERR_INIT;
	must(w, log_flush(w->topic, p, w->oracle.part[p].submitted, &e), &e);
	w->oracle.part[p].durable = w->oracle.part[p].submitted;
}

static void trim(struct world *w, uint32_t p)
{
	struct err e = ERR_INIT;
	struct model_part *part = &w->oracle.part[p];
	uint64_t before = sim_below(&w->rng, part->submitted + 1), oldest;
	part->trim_asked = MAX(part->trim_asked, before);
	must(w, log_trim(w->topic, p, before, &oldest, &e), &e);
	if (oldest > part->trim_asked)
		must(w, err_set(&e, ERR_CONFLICT, "trimmed too much"), &e);
}

/* The process dies: what it wrote is there, but not all of it is durable. The old log cannot be abandoned, so it is the
 * disk that moves on. */
static void kill_process(struct world *w)
{
	ASSERT(sim_copy(w->now, w->next) == 0);
	w->draws_states = false;
	(void)log_close(w->log, NULL);
	struct sim *old = w->now;
	w->now = w->next;
	w->next = old;
	env_fault_init(&w->fault, sim_env(w->now));
	w->fault.before = before_call;
	w->fault.arg = w;
	w->draws_states = true;
	open_now(w);
	for (uint32_t p = 0; p < PARTS; p++) {
		struct err e = ERR_INIT;
		struct model_part *part = &w->oracle.part[p];
		uint64_t next = log_topic_range(w->topic, p, false).next;
		if (next < part->written || next > part->submitted)
			must(w,
			     err_set(&e, ERR_CONFLICT,
				     "partition %u ends at %" PRIu64 " after a kill, [%" PRIu64
				     ", %" PRIu64 "] is right",
				     p, next, part->written, part->submitted),
			     &e);
		part->submitted = part->new_from = next;
	}
}

/* What readers are told is durable has to be. */
static void note_claims(struct world *w)
{
	for (uint32_t p = 0; p < PARTS; p++) {
		uint64_t next = log_topic_range(w->topic, p, true).next;
		w->oracle.part[p].durable = MAX(w->oracle.part[p].durable, next);
	}
}

static void step(struct world *w)
{
	uint32_t p = (uint32_t)sim_below(&w->rng, PARTS);
	uint64_t what = sim_below(&w->rng, 100);
	if (what < 70)
		append(w, p);
	else if (what < 76)
		flush(w, p);
	else if (what < 84)
		trim(w, p);
	else if (what < 94)
		sim_writeback(w->now, sim_rand(&w->rng));
	else if (what < 97)
		kill_process(w);
	else {
		close_now(w);
		open_now(w);
	}
	note_claims(w);
}

static void run_workload(struct world *w, uint64_t seed)
{
	ASSERT(sim_reset(w->now, seed) == 0);
	env_fault_init(&w->fault, sim_env(w->now));
	w->fault.before = before_call;
	w->fault.arg = w;
	w->seed = seed;
	w->rng.state = seed;
	w->states.state = ~seed;
	w->oracle = (struct oracle){ 0 };
	w->checked = 0;
	w->draws_states = true;
	open_now(w);
	for (int i = 0; i < STEPS && w->left; i++)
		step(w);
	close_now(w);
	w->draws_states = false;
}

/* ---- the tests ---- */

struct job {
	uint64_t states; /* of each worker */
	bool control;
	struct {
		uint64_t checked, lost, workloads;
	} * result; /* shared; one a worker */
};

static int run_worker(void *arg, int i)
{
	struct job *job = arg;
	struct sim_options o = { .file_bytes = FILE_BYTES };
	struct world w = { .control = job->control, .left = job->states };
	w.after = sim_new(&o);
	w.third = sim_new(&o);
	o.ignore_sync = job->control;
	w.now = sim_new(&o);
	w.next = sim_new(&o);
	ASSERT(w.now && w.after && w.third && w.next);
	const char *only = getenv("WEIR_SIM_SEED");
	uint64_t seed = only ? strtoull(only, NULL, 10) : (uint64_t)i + 1;
	while (w.left) {
		run_workload(&w, seed);
		seed += WORKERS;
		job->result[i].checked += w.checked;
		job->result[i].workloads++;
		if (only)
			break;
	}
	job->result[i].lost = w.lost;
	sim_free(w.now);
	sim_free(w.next);
	sim_free(w.after);
	sim_free(w.third);
	return 0;
}

static void run_job(struct job *job, uint64_t states)
{
	size_t bytes = WORKERS * sizeof(*job->result);
	job->states = states / WORKERS;
	job->result = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(job->result != MAP_FAILED);
	assert_true(model_parallel(run_worker, job, WORKERS));
}

static void after_any_power_loss_everything_acknowledged_as_durable_is_there(void **state)
{
	(void)state;
	struct job job = { .control = false };
	uint64_t states = (uint64_t)test_count(200000, 1000000) / MODEL_SLOWER;
	run_job(&job, states);
	uint64_t checked = 0, workloads = 0;
	for (int i = 0; i < WORKERS; i++) {
		assert_int_equal(job.result[i].lost, 0);
		checked += job.result[i].checked;
		workloads += job.result[i].workloads;
	}
	print_message("%" PRIu64 " states of %" PRIu64 " workloads, 0 lost\n", checked, workloads);
	if (!getenv("WEIR_SIM_SEED"))
		assert_int_equal(checked, states);
	munmap(job.result, WORKERS * sizeof(*job.result));
}

static void with_syncing_switched_off_losses_are_found(void **state)
{
	(void)state;
	struct job job = { .control = true };
	uint64_t states = (uint64_t)test_count(4000, 20000), lost = 0;
	run_job(&job, states);
	for (int i = 0; i < WORKERS; i++)
		lost += job.result[i].lost;
	print_message("%" PRIu64 " of %" PRIu64 " states without syncing lost something\n", lost,
		      states);
	assert_true(lost > states / 2);
	munmap(job.result, WORKERS * sizeof(*job.result));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(after_any_power_loss_everything_acknowledged_as_durable_is_there),
		cmocka_unit_test(with_syncing_switched_off_losses_are_found),
	};
	return cmocka_run_group_tests_name("log_sim", tests, NULL, NULL);
}
