/* kill -9 at random moments.
 *
 * A child process opens the log and appends from several threads, each its own stream of records, with every
 * acknowledgement there is; what was submitted and what was acknowledged it notes in shared memory, which outlives
 * it. The parent kills it after a random time, also while it still opens and recovers, and reads the log, in turn as
 * a reader process that repairs nothing and as the next writer:
 *
 *	- it opens; every acknowledged record is there, written ones too: the page cache outlives the process
 *	- every stream is there in order, without gap or repetition, byte for byte, and ends at what was submitted
 *
 * This tests recovery and locking, not durability; log_sim_test.c has the power losses.
 */
#include "tests/log_model.h"
#include "tests/test.h"

#include "os/thread.h"

#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PARTS         2
#define THREADS       4 /* thread i appends to partition i % PARTS */
#define SEGMENT_BYTES (256u << 10)
#define MAX_VALUE     (64u << 10)
#define KEEP_RECORDS  2000 /* of a partition; what is older is trimmed */
#define WORKERS       2
#define LIFE_US_MAX   6000 /* how long a writer lives at most */

struct notes {
	_Atomic uint64_t submitted[THREADS]; /* ids below it were handed to log_append */
	_Atomic uint64_t acked[THREADS];     /* ids below it were acknowledged */
	_Atomic uint64_t acks;
	_Atomic int failed;
	char why[512];
};

struct life {
	const char *dir;
	struct notes *notes;
	struct log *log;
	struct log_topic *topic;
	uint64_t seed;
};

struct hand {
	struct life *life;
	int i;
	struct thread thread;
};

static uint64_t rng_state = 1;

static uint64_t random_below(uint64_t n)
{
	rng_state += UINT64_C(0x9e3779b97f4a7c15);
	uint64_t x = rng_state;
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return (x ^ (x >> 31)) % n;
}

static struct log_options options(bool read_only)
{
	return (struct log_options){ .read_only = read_only,
				     .create = !read_only,
				     .segment_bytes = SEGMENT_BYTES,
				     .flush_interval_ms = 2 };
}

/* ---- the child ---- */

static void give_up(struct notes *notes, const char *doing, const struct err *e)
{
	int expected = 0;
	if (atomic_compare_exchange_strong(&notes->failed, &expected, 1))
		snprintf(notes->why, sizeof(notes->why), "%s: %.400s", doing, e->msg);
	_exit(1);
}

static void *append_for_ever(void *arg)
{
	struct hand *hand = arg;
	struct notes *notes = hand->life->notes;
	int i = hand->i;
	struct buf bytes[3] = { 0 };
	uint64_t id = atomic_load(&notes->submitted[i]);
	for (uint64_t turn = hand->life->seed + (uint64_t)i;; turn++) {
		struct err e = ERR_INIT;
		struct log_record rec[3];
		size_t n = 1 + turn % 3;
		uint64_t first;
		for (size_t j = 0; j < n; j++)
			model_record((struct model_id){ (uint32_t)i, id + j }, MAX_VALUE, &bytes[j],
				     &rec[j]);
		enum log_ack ack = turn % 4 == 0   ? LOG_ACK_DURABLE
				   : turn % 4 == 3 ? LOG_ACK_NONE
						   : LOG_ACK_WRITTEN;
		id += n;
		atomic_store(&notes->submitted[i], id);
		int rc = log_append(hand->life->topic, (uint32_t)(i % PARTS), rec, n, ack, &first,
				    &e);
		if (rc < 0)
			give_up(notes, "append", &e);
		if (ack != LOG_ACK_NONE) {
			atomic_store(&notes->acked[i], id);
			atomic_fetch_add(&notes->acks, 1);
		}
	}
	return NULL;
}

static _Noreturn void live(struct life *life)
{
	struct err e = ERR_INIT;
	struct log_options o = options(false);
	if (log_open(life->dir, &o, &life->log, &e) < 0)
		give_up(life->notes, "open", &e);
	int rc = log_topic_open(life->log, "t", &life->topic, &e);
	if (rc == ERR_NOTFOUND)
		rc = log_topic_create(life->log, "t", PARTS, &life->topic, &e);
	if (rc < 0)
		give_up(life->notes, "topic", &e);
	for (uint32_t p = 0; p < PARTS; p++) {
		struct log_range r = log_topic_range(life->topic, p, false);
		uint64_t oldest;
		if (r.next - r.oldest > KEEP_RECORDS &&
		    log_trim(life->topic, p, r.next - KEEP_RECORDS, &oldest, &e) < 0)
			give_up(life->notes, "trim", &e);
	}
	static struct hand hands[THREADS];
	for (int i = 0; i < THREADS; i++) {
		hands[i] = (struct hand){ .life = life, .i = i };
		if (thread_start(&hands[i].thread, "appender", append_for_ever, &hands[i], &e) < 0)
			give_up(life->notes, "thread", &e);
	}
	for (;;)
		pause();
}

/* ---- the parent ---- */

/* How far the records of a partition have been checked: those before it are not read again every time. */
struct seen {
	uint64_t offset;
	uint64_t next_id[THREADS];
};

static int check_record(struct seen *seen, uint32_t p, const struct log_record *rec, struct err *e)
{
	struct model_id which = { 0 };
	if (!model_check(rec, MAX_VALUE, &which))
		return err_set(e, ERR_CONFLICT, "offset %" PRIu64 ": bytes that nobody wrote",
			       rec->offset);
	if (which.stream >= THREADS || which.stream % PARTS != p)
		return err_set(e, ERR_CONFLICT, "offset %" PRIu64 ": of another partition",
			       rec->offset);
	if (which.id != seen->next_id[which.stream])
		return err_set(e, ERR_CONFLICT,
			       "offset %" PRIu64 ": record %" PRIu64
			       " of thread %u, expected %" PRIu64,
			       rec->offset, which.id, which.stream, seen->next_id[which.stream]);
	seen->next_id[which.stream]++;
	return 0;
}

static int check_partition(struct log_topic *t, uint32_t p, struct seen *seen, struct err *e)
{
	struct log_range range = log_topic_range(t, p, false);
	if (range.oldest > seen->offset)
		return err_set(e, ERR_CONFLICT,
			       "partition %u begins at %" PRIu64 ", which was not trimmed", p,
			       range.oldest);
	struct log_reader *r;
	int rc = log_reader_open(t, p, seen->offset, NULL, &r, e);
	if (rc < 0)
		return rc;
	struct log_record rec;
	while ((rc = log_reader_next(r, &rec, e)) == 1) {
		if (rec.offset != seen->offset)
			rc = err_set(e, ERR_CONFLICT,
				     "offset %" PRIu64 " where %" PRIu64 " belongs", rec.offset,
				     seen->offset);
		else
			rc = check_record(seen, p, &rec, e);
		if (rc < 0)
			break;
		seen->offset++;
	}
	log_reader_close(r);
	if (rc == 0 && seen->offset != range.next)
		rc = err_set(e, ERR_CONFLICT,
			     "partition %u: read to %" PRIu64 ", range ends at %" PRIu64, p,
			     seen->offset, range.next);
	return rc;
}

/* Streams end between what was acknowledged and what was submitted. */
static int check_ends(const struct notes *notes, const struct seen seen[PARTS], struct err *e)
{
	for (int i = 0; i < THREADS; i++) {
		uint64_t found = seen[i % PARTS].next_id[i];
		if (found < atomic_load(&notes->acked[i]))
			return err_set(e, ERR_CONFLICT,
				       "thread %d: %" PRIu64 " records found, %" PRIu64
				       " were acknowledged",
				       i, found, atomic_load(&notes->acked[i]));
		if (found > atomic_load(&notes->submitted[i]))
			return err_set(e, ERR_CONFLICT,
				       "thread %d: %" PRIu64 " records found, %" PRIu64
				       " were submitted",
				       i, found, atomic_load(&notes->submitted[i]));
	}
	return 0;
}

/* *seen is moved on only as far as the found records are there to stay. */
static int check_log(const char *dir, bool read_only, const struct notes *notes,
		     struct seen seen[PARTS], struct err *e)
{
	struct log_options o = options(read_only);
	struct log *l;
	struct log_topic *t;
	int rc = log_open(dir, &o, &l, e);
	bool may_be_missing = atomic_load(&notes->acks) == 0;
	if (rc == ERR_NOTFOUND && may_be_missing)
		return 0;
	if (rc < 0)
		return err_in(e, rc, "open");
	rc = log_topic_open(l, "t", &t, e);
	if (rc == ERR_NOTFOUND && may_be_missing)
		return log_close(l, e);
	for (uint32_t p = 0; p < PARTS && rc == 0; p++)
		rc = check_partition(t, p, &seen[p], e);
	if (rc == 0)
		rc = check_ends(notes, seen, e);
	int closed = log_close(l, rc < 0 ? NULL : e);
	return rc < 0 ? rc : closed;
}

/* What was submitted but did not make it is not submitted again: its ids are free for other bytes of the same name. */
static void forget_the_lost(struct notes *notes, const struct seen seen[PARTS])
{
	for (int i = 0; i < THREADS; i++) {
		uint64_t found = seen[i % PARTS].next_id[i];
		atomic_store(&notes->submitted[i], found);
		atomic_store(&notes->acked[i], found);
	}
}

static int one_kill(struct life *life, struct err *e)
{
	life->seed = random_below(1000000);
	uint64_t us = random_below(LIFE_US_MAX);
	bool from_first_ack = random_below(4) != 0;
	uint64_t acks = atomic_load(&life->notes->acks);
	pid_t pid = fork();
	if (pid < 0)
		return err_set(e, ERR_LIMIT, "cannot fork");
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nobody behind */
		live(life);
	}
	for (int i = 0; i < 20000 && from_first_ack && atomic_load(&life->notes->acks) == acks &&
			!atomic_load(&life->notes->failed);
	     i++)
		nanosleep(&(struct timespec){ .tv_nsec = 100000 }, NULL);
	nanosleep(&(struct timespec){ .tv_nsec = (long)us * 1000 }, NULL);
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	if (atomic_load(&life->notes->failed))
		return err_set(e, ERR_CONFLICT, "the writer failed: %.400s", life->notes->why);
	return 0;
}

static int kill_and_look(struct life *life, struct seen seen[PARTS], bool as_reader, struct err *e)
{
	int rc = one_kill(life, e);
	if (rc < 0)
		return rc;
	struct seen now[PARTS];
	memcpy(now, seen, sizeof(now));
	/* A reader process first: it must see all that, although nobody has recovered anything. */
	if (as_reader && (rc = check_log(life->dir, true, life->notes, now, e)) < 0)
		return err_in(e, rc, "as a reader");
	rc = check_log(life->dir, false, life->notes, seen, e);
	if (rc == 0)
		forget_the_lost(life->notes, seen);
	return rc;
}

struct result {
	uint64_t kills, records, acks;
};

struct job {
	const char *dir;
	long kills;            /* of each worker */
	struct result *result; /* shared; one a worker */
};

/* Each worker has a log of its own. */
static int kill_many(void *arg, int worker)
{
	struct job *job = arg;
	char dir[300];
	snprintf(dir, sizeof(dir), "%s/log-%d", job->dir, worker);
	struct notes *notes = mmap(NULL, sizeof(*notes), PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT(notes != MAP_FAILED);
	struct life life = { .dir = dir, .notes = notes };
	struct seen seen[PARTS] = { 0 };
	rng_state = (uint64_t)worker + 1;
	for (long i = 0; i < job->kills; i++) {
		struct err e = ERR_INIT;
		if (kill_and_look(&life, seen, i % 2 == 0, &e) < 0) {
			fprintf(stderr, "worker %d, kill %ld: %s\n", worker, i, e.msg);
			return 1;
		}
		job->result[worker].kills++;
	}
	for (int p = 0; p < PARTS; p++)
		job->result[worker].records += seen[p].offset;
	job->result[worker].acks = atomic_load(&notes->acks);
	return 0;
}

static void a_killed_writer_loses_nothing_that_it_acknowledged(void **state)
{
	(void)state;
	char dir[256];
	snprintf(dir, sizeof(dir), "%s", test_tmpdir());
	long kills = test_count(1000, 10000) / MODEL_SLOWER;
	struct job job = { .dir = dir, .kills = kills / WORKERS };
	size_t bytes = WORKERS * sizeof(*job.result);
	job.result = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(job.result != MAP_FAILED);
	assert_true(model_parallel(kill_many, &job, WORKERS));
	struct result all = { 0 };
	for (int i = 0; i < WORKERS; i++) {
		all.kills += job.result[i].kills;
		all.records += job.result[i].records;
		all.acks += job.result[i].acks;
	}
	print_message("%" PRIu64 " kills, %" PRIu64 " records, %" PRIu64
		      " acknowledgements, 0 lost\n",
		      all.kills, all.records, all.acks);
	assert_int_equal(all.kills, kills);
	assert_true(all.records > all.kills);
	munmap(job.result, bytes);
	test_rmdir(dir);
}

int main(void)
{
	test_in_memory(); /* what a killed process leaves is in memory anyway */
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_killed_writer_loses_nothing_that_it_acknowledged),
	};
	return cmocka_run_group_tests_name("log_kill", tests, NULL, NULL);
}
