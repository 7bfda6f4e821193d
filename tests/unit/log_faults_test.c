/* Every call to the outside world failed in turn, once and for good; every allocation; every number of descriptors.
 *
 * One scenario uses the whole log: create, append with every acknowledgement, roll, read, flush, trim, retain, close.
 * It goes on after an error, as a program would. Whatever fails:
 *
 *	- the call that met the fault returns a typed error with a text
 *	- once a flush or write failed, appends are refused (ERR_POISONED) until the log is reopened
 *	- nothing stays open or allocated
 *	- reopened, with and without a power loss in between, the log has everything it acknowledged, and goes on
 */
#include "tests/log_model.h"
#include "tests/test.h"

#include "base/mem.h"
#include "os/env_fault.h"
#include "os/env_posix.h"
#include "os/env_sim.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define PARTS         2
#define SEGMENT_BYTES 4096
#define FILE_BYTES    (128u << 10)
#define MAX_VALUE     600
#define ROUNDS        12

struct scenario {
	struct env *env;
	const char *dir;
	struct model_part part[PARTS];
	bool log_acked, topic_acked;
	int first_error, last_error;
	struct err error; /* the first */
	uint64_t errors;
	bool append_after_poison; /* an append succeeded although one had said ERR_POISONED */
	bool poisoned;
	struct log *log;
	struct log_topic *topic;
	struct buf bytes[MODEL_BATCH_MAX];
};

/* ---- failing allocations ---- */

static struct {
	bool armed, persistent;
	uint64_t at, calls;
	int64_t live;
} heap;

static bool heap_fails(void)
{
	if (!heap.armed)
		return false;
	uint64_t call = ++heap.calls;
	return heap.at && (call == heap.at || (heap.persistent && call > heap.at));
}

static void *heap_alloc(size_t n)
{
	if (heap_fails())
		return NULL;
	void *p = malloc(n);
	heap.live += p != NULL;
	return p;
}

static void *heap_realloc(void *p, size_t n)
{
	if (heap_fails())
		return NULL;
	void *q = realloc(p, n);
	heap.live += q && !p;
	return q;
}

static void heap_free(void *p)
{
	heap.live -= p != NULL;
	free(p);
}

static const struct mem_allocator counting_heap = { heap_alloc, heap_realloc, heap_free };

/* ---- the scenario ---- */

/* Notes the outcome of a call into the log. True when it worked. */
static bool worked(struct scenario *s, int rc, const struct err *e)
{
	heap.armed = false;
	if (rc >= 0)
		return true;
	if (strcmp(err_name(rc), "UNKNOWN") == 0 || e->code != rc || !*e->msg)
		fail_msg("an error without a type or a text: %d '%s'", rc, e->msg);
	if (rc == ERR_CORRUPT || rc == ERR_CONFLICT)
		fail_msg("a fault taken for damage: %s", e->msg);
	if (s->errors++ == 0) {
		s->first_error = rc;
		s->error = *e;
	}
	s->last_error = rc;
	s->poisoned = s->poisoned || rc == ERR_POISONED;
	return false;
}

#define TRY(s, call) (heap.armed = true, worked((s), (call), &e))

static void append(struct scenario *s, uint32_t p, size_t n, enum log_ack ack)
{
	struct err e = ERR_INIT;
	struct log_record rec[MODEL_BATCH_MAX];
	struct model_part *part = &s->part[p];
	uint64_t first = 0, next = log_topic_range(s->topic, p, false).next;
	for (size_t i = 0; i < n; i++)
		model_record((struct model_id){ p, next + i }, MAX_VALUE, &s->bytes[i], &rec[i]);
	part->submitted = MAX(part->submitted, next + n);
	part->new_from = UINT64_MAX;
	bool was_poisoned = s->poisoned;
	if (!TRY(s, log_append(s->topic, p, rec, n, ack, &first, &e)))
		return;
	assert_int_equal(first, next);
	s->append_after_poison = s->append_after_poison || was_poisoned;
	if (ack != LOG_ACK_NONE)
		part->written = next + n;
	if (ack == LOG_ACK_DURABLE)
		part->durable = next + n;
}

static void read_back(struct scenario *s, uint32_t p)
{
	struct err e = ERR_INIT;
	struct log_reader *r;
	struct log_range range = log_topic_range(s->topic, p, false);
	if (!TRY(s, log_reader_open(s->topic, p, range.oldest, NULL, &r, &e)))
		return;
	for (uint64_t at = range.oldest; at < range.next; at++) {
		struct log_record rec;
		struct model_id which;
		if (!TRY(s, log_reader_next(r, &rec, &e)))
			break; /* and the position stays: the next call may work */
		assert_int_equal(rec.offset, at);
		assert_true(model_check(&rec, MAX_VALUE, &which));
		assert_int_equal(which.id, at);
	}
	log_reader_close(r);
}

static void trim(struct scenario *s, uint32_t p)
{
	struct err e = ERR_INIT;
	struct log_range range = log_topic_range(s->topic, p, false);
	uint64_t before = (range.oldest + range.next) / 2, oldest;
	s->part[p].trim_asked = MAX(s->part[p].trim_asked, before);
	(void)TRY(s, log_trim(s->topic, p, before, &oldest, &e));
}

static bool open_log(struct scenario *s)
{
	struct err e = ERR_INIT;
	struct log_options o = { .env = s->env,
				 .create = true,
				 .segment_bytes = SEGMENT_BYTES,
				 .flush_interval_ms = UINT32_MAX };
	if (!TRY(s, log_open(s->dir, &o, &s->log, &e)))
		return false;
	s->log_acked = true;
	heap.armed = true;
	int rc = log_topic_open(s->log, "t", &s->topic, &e);
	if (rc == ERR_NOTFOUND && !s->topic_acked)
		rc = log_topic_create(s->log, "t", PARTS, &s->topic, &e);
	if (!worked(s, rc, &e)) {
		heap.armed = true;
		(void)worked(s, log_close(s->log, &e), &e);
		return false;
	}
	s->topic_acked = true;
	return true;
}

static void close_log(struct scenario *s)
{
	struct err e = ERR_INIT;
	if (TRY(s, log_close(s->log, &e)))
		for (int p = 0; p < PARTS; p++)
			s->part[p].durable = MAX(s->part[p].durable, s->part[p].written);
}

static void use_log(struct scenario *s)
{
	static const enum log_ack acks[] = { LOG_ACK_DURABLE, LOG_ACK_WRITTEN, LOG_ACK_NONE };
	struct err e = ERR_INIT;
	for (uint32_t i = 0; i < ROUNDS; i++) {
		uint32_t p = i % PARTS;
		append(s, p, 1 + i % 4, acks[i % 3]);
		if (i == ROUNDS / 2) {
			uint64_t next = log_topic_range(s->topic, p, false).next;
			if (TRY(s, log_flush(s->topic, p, next, &e)))
				s->part[p].durable = MAX(s->part[p].durable, next);
		}
		if (i % 5 == 4)
			read_back(s, p);
		if (i % 6 == 5)
			trim(s, p);
	}
	uint64_t offset;
	(void)TRY(s, log_topic_seek_time(s->topic, 0, 1, &offset, &e));
	(void)TRY(s, log_topic_set_retention(s->topic,
					     &(struct log_retention){ .max_bytes = 1u << 30 }, &e));
	(void)TRY(s, log_retain(s->log, &e));
}

/* Twice, so that opening what is there is part of it. */
static void run(struct scenario *s)
{
	for (int life = 0; life < 2; life++) {
		if (!open_log(s))
			continue;
		use_log(s);
		close_log(s);
		s->poisoned = false;
	}
}

static void scenario_done(struct scenario *s)
{
	for (int i = 0; i < MODEL_BATCH_MAX; i++)
		buf_done(&s->bytes[i]);
}

/* Opens, checks everything acknowledged, appends one durable record to each partition, closes. */
static int check_after(struct env *env, const char *dir, struct model_part part[PARTS],
		       bool topic_acked, bool power_lost, struct err *e)
{
	struct log_options o = { .env = env,
				 .create = true,
				 .segment_bytes = SEGMENT_BYTES,
				 .flush_interval_ms = UINT32_MAX };
	struct log *l;
	struct log_topic *t;
	int rc = log_open(dir, &o, &l, e);
	if (rc < 0)
		return err_in(e, rc, "reopening");
	rc = log_topic_open(l, "t", &t, e);
	if (rc == ERR_NOTFOUND && !topic_acked)
		return log_close(l, e);
	for (uint32_t p = 0; p < PARTS && rc == 0; p++) {
		if (power_lost)
			part[p].written = 0;
		rc = model_check_part(t, p, &part[p], MAX_VALUE, e);
		if (rc < 0)
			break;
		uint64_t next = log_topic_range(t, p, false).next;
		rc = model_append(t, p, next, 1, p + MODEL_NEW_LIFE, MAX_VALUE, LOG_ACK_DURABLE, e);
		part[p].new_from = MIN(part[p].new_from, next);
		part[p].submitted = part[p].durable = next + 1;
	}
	int closed = log_close(l, rc < 0 ? NULL : e);
	return rc < 0 ? rc : closed;
}

/* ---- every call ---- */

struct worlds {
	struct sim *now, *after;
	struct env_fault fault;
};

static int check_power_loss(struct worlds *w, const struct scenario *s,
			    const struct model_part known[PARTS], uint64_t seed, struct err *e)
{
	struct model_part part[PARTS];
	memcpy(part, known, sizeof(part));
	ASSERT(sim_crash(w->now, seed, w->after) == 0);
	return check_after(sim_env(w->after), s->dir, part, s->topic_acked, true, e);
}

/* One fault; true when it was reached. */
static bool fail_one(struct worlds *w, const struct fault *fault)
{
	struct err e = ERR_INIT;
	char what[100];
	ASSERT(sim_reset(w->now, 1) == 0);
	env_fault_arm(&w->fault, fault);
	struct scenario s = { .env = &w->fault.base, .dir = "log" };
	run(&s);
	bool reached = w->fault.calls >= fault->at;
	snprintf(what, sizeof(what), "call %" PRIu64 " (%s%s) fails with %s%s", fault->at,
		 fault_call_name(w->fault.failed_call), fault->part ? ", half done" : "",
		 err_name(fault->code), fault->persistent ? " for good" : "");
	if (sim_open_files(w->now) || sim_open_maps(w->now))
		fail_msg("%s: %zu files, %zu maps left open", what, sim_open_files(w->now),
			 sim_open_maps(w->now));
	if (s.errors && s.first_error != fault->code && s.first_error != ERR_POISONED)
		fail_msg("%s: reported as %s: %s", what, err_name(s.first_error), s.error.msg);
	if (s.append_after_poison)
		fail_msg("%s: an append worked after one was refused", what);
	if (fault->persistent && reached && fault->at < 20 && s.errors == 0)
		fail_msg("%s: nobody noticed", what);
	env_fault_arm(&w->fault, NULL);
	for (uint64_t seed = 0; seed < 3; seed++)
		if (check_power_loss(w, &s, s.part, fault->at * 10 + seed, &e) < 0)
			fail_msg("%s, then power loss %" PRIu64 ": %s", what, seed, e.msg);
	/* A restart of the process: the page cache is still there, and may hold what the disk has not. */
	if (check_after(sim_env(w->now), s.dir, s.part, s.topic_acked, false, &e) < 0)
		fail_msg("%s, then a restart: %s", what, e.msg);
	s.topic_acked = true;
	for (uint64_t seed = 0; seed < 3; seed++)
		if (s.part[0].durable && check_power_loss(w, &s, s.part, seed, &e) < 0)
			fail_msg("%s, then a restart, appends and power loss %" PRIu64 ": %s", what,
				 seed, e.msg);
	scenario_done(&s);
	return reached;
}

static void every_call_failed_in_turn_costs_nothing_acknowledged(void **state)
{
	(void)state;
	static const struct fault kinds[] = {
		{ .code = ERR_IO },
		{ .code = ERR_NOSPACE, .part = true },
		{ .code = ERR_IO, .persistent = true },
		{ .code = ERR_NOSPACE, .persistent = true, .part = true },
	};
	struct sim_options o = { .file_bytes = FILE_BYTES };
	struct worlds w = { .now = sim_new(&o), .after = sim_new(&o) };
	assert_non_null(w.now);
	assert_non_null(w.after);
	env_fault_init(&w.fault, sim_env(w.now));
	w.fault.on_failed_sync = sim_drop_dirty;
	uint64_t calls = 0;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct fault fault = kinds[i];
		for (fault.at = 1; fail_one(&w, &fault); fault.at++)
			calls++;
		assert_true(fault.at > 50);
	}
	print_message("%" PRIu64 " faults, nothing lost\n", calls);
	sim_free(w.now);
	sim_free(w.after);
}

static void a_failed_flush_poisons_until_the_log_is_reopened(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct sim_options o = { .file_bytes = FILE_BYTES };
	struct sim *sim = sim_new(&o);
	assert_non_null(sim);
	struct env_fault fault;
	env_fault_init(&fault, sim_env(sim));
	fault.on_failed_sync = sim_drop_dirty;
	struct scenario s = { .env = &fault.base, .dir = "log" };
	assert_true(open_log(&s));
	append(&s, 0, 2, LOG_ACK_DURABLE);
	assert_int_equal(s.errors, 0);
	env_fault_arm(&fault, &(struct fault){ .at = 1, .code = ERR_IO, .only = 1u << FAULT_SYNC });
	append(&s, 0, 1, LOG_ACK_DURABLE);
	assert_int_equal(s.first_error, ERR_IO);
	assert_int_equal(fault.failed, 1);
	static const enum log_ack acks[] = { LOG_ACK_NONE, LOG_ACK_WRITTEN, LOG_ACK_DURABLE };
	for (size_t i = 0; i < ARRAY_LEN(acks); i++) {
		append(&s, 0, 1, acks[i]);
		assert_int_equal(s.last_error, ERR_POISONED);
		append(&s, 1, 1, acks[i]);
		assert_int_equal(s.last_error, ERR_POISONED);
	}
	assert_int_equal(s.errors, 7);
	assert_int_equal(log_flush(s.topic, 0, 3, &e), ERR_POISONED);
	struct log_stats stats;
	log_stats(s.log, &stats);
	assert_true(stats.poisoned);
	assert_int_equal(log_topic_range(s.topic, 0, true).next, 2);
	assert_ok(model_read(s.topic,
			     &(struct model_range){
				     .next = 2, .new_from = 99, .max_value = MAX_VALUE },
			     &e),
		  &e); /* readers go on */
	(void)log_close(s.log, &e);
	assert_true(open_log(&s));
	append(&s, 0, 1, LOG_ACK_DURABLE);
	assert_int_equal(s.errors, 7);
	assert_ok(log_close(s.log, &e), &e);
	scenario_done(&s);
	sim_free(sim);
}

/* ---- short counts, interruptions and real files ---- */

static ssize_t dribble_read(int fd, void *p, size_t len, off_t off)
{
	static int turn;
	if (turn++ % 3 == 0) {
		errno = EINTR;
		return -1;
	}
	return pread(fd, p, MIN(len, (size_t)100), off);
}

static ssize_t dribble_write(int fd, const void *p, size_t len, off_t off)
{
	static int turn;
	if (turn++ % 3 == 0) {
		errno = EINTR;
		return -1;
	}
	return pwrite(fd, p, MIN(len, (size_t)100), off);
}

static int interrupted_sync(int fd)
{
	static int turn;
	if (turn++ % 3 == 0) {
		errno = EINTR;
		return -1;
	}
	return fdatasync(fd);
}

static int interrupted_allocate(int fd, int mode, off_t off, off_t len)
{
	static int turn;
	if (turn++ % 3 == 0) {
		errno = EINTR;
		return -1;
	}
	return fallocate(fd, mode, off, len);
}

static void log_dir(char out[300], char tmp[280])
{
	snprintf(tmp, 280, "%s", test_tmpdir());
	snprintf(out, 300, "%s/log", tmp);
}

static void short_counts_and_interrupted_calls_are_not_noticed(void **state)
{
	(void)state;
	char tmp[280], dir[300];
	log_dir(dir, tmp);
	struct env_syscalls calls = env_syscalls_real;
	calls.pread = dribble_read;
	calls.pwrite = dribble_write;
	calls.fdatasync = interrupted_sync;
	calls.fallocate = interrupted_allocate;
	env_posix_set_syscalls(&calls);
	struct scenario s = { .env = env_posix(), .dir = dir };
	run(&s);
	struct err e = ERR_INIT;
	int rc = s.errors ? 0 : check_after(env_posix(), dir, s.part, true, false, &e);
	env_posix_set_syscalls(NULL);
	if (s.errors)
		fail_msg("%s", s.error.msg);
	assert_ok(rc, &e);
	scenario_done(&s);
	test_rmdir(tmp);
}

/* ---- allocations ---- */

static bool fail_allocation(uint64_t k, bool persistent)
{
	struct err e = ERR_INIT;
	char tmp[280], dir[300];
	log_dir(dir, tmp);
	struct scenario s = { .env = env_posix(), .dir = dir };
	for (int i = 0; i < MODEL_BATCH_MAX; i++)
		ASSERT(buf_reserve(&s.bytes[i], 4096));
	heap.at = k;
	heap.calls = 0;
	heap.persistent = persistent;
	int64_t live = heap.live;
	run(&s);
	heap.armed = false;
	bool reached = heap.calls >= k;
	heap.at = 0;
	if (s.errors && s.first_error != ERR_NOMEM && s.first_error != ERR_POISONED)
		fail_msg("allocation %" PRIu64 " fails: reported as %s", k, s.error.msg);
	if (heap.live != live)
		fail_msg("allocation %" PRIu64 " fails: %" PRId64 " blocks leaked", k,
			 heap.live - live);
	if (check_after(env_posix(), dir, s.part, s.topic_acked, false, &e) < 0)
		fail_msg("allocation %" PRIu64 " fails%s: %s", k,
			 persistent ? " and all after" : "", e.msg);
	scenario_done(&s);
	test_rmdir(tmp);
	return reached;
}

static void every_allocation_failed_in_turn_is_an_error_and_leaks_nothing(void **state)
{
	(void)state;
	mem_set_allocator(&counting_heap);
	uint64_t k[2];
	for (int persistent = 0; persistent < 2; persistent++)
		for (k[persistent] = 1; fail_allocation(k[persistent], persistent); k[persistent]++)
			;
	mem_set_allocator(NULL);
	assert_true(k[0] > 20);
	print_message("%" PRIu64 " allocations failed once, %" PRIu64 " for good\n", k[0] - 1,
		      k[1] - 1);
}

/* ---- descriptors ---- */

struct sweep {
	const char *dir;
	rlim_t limit;
	struct scenario *result; /* shared */
};

static void run_with_few_descriptors(void *arg)
{
	struct sweep *sweep = arg;
	struct rlimit limit = { sweep->limit, sweep->limit };
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		_exit(2);
	struct scenario s = { .env = env_posix(), .dir = sweep->dir };
	run(&s);
	*sweep->result = s;
}

static void any_number_of_descriptors_gives_an_error_or_works(void **state)
{
	(void)state;
	struct scenario *result = mmap(NULL, sizeof(*result), PROT_READ | PROT_WRITE,
				       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(result != MAP_FAILED);
	rlim_t limit;
	bool ever_failed = false;
	for (limit = 3; limit < 200; limit++) {
		struct err e = ERR_INIT;
		char tmp[280], dir[300];
		log_dir(dir, tmp);
		memset(result, 0, sizeof(*result));
		struct sweep sweep = { .dir = dir, .limit = limit, .result = result };
		assert_int_equal(test_in_child(run_with_few_descriptors, &sweep,
					       PATIENCE_MS / 1000),
				 0);
		if (result->errors && result->first_error != ERR_IO &&
		    result->first_error != ERR_LIMIT)
			fail_msg("%d descriptors: %s", (int)limit, result->error.msg);
		if (check_after(env_posix(), dir, result->part, result->topic_acked, false, &e) < 0)
			fail_msg("%d descriptors, then enough: %s", (int)limit, e.msg);
		test_rmdir(tmp);
		ever_failed = ever_failed || result->errors;
		if (result->errors == 0)
			break;
	}
	assert_true(ever_failed);
	assert_true(limit < 200);
	print_message("%d descriptors are enough\n", (int)limit);
	munmap(result, sizeof(*result));
}

/* ---- the lock ---- */

static int try_to_write(const char *dir, struct err *e)
{
	struct log_options o = { .create = true };
	struct log *l;
	int rc = log_open(dir, &o, &l, e);
	return rc < 0 ? rc : log_close(l, e);
}

static void try_in_child(void *arg)
{
	for (int i = 0; i < 100; i++)
		if (try_to_write(arg, NULL) != ERR_LOCKED)
			_exit(1);
}

static void write_and_hang(void *arg, int fd)
{
	struct log_options o = { .create = true };
	struct log *l;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nobody behind */
	if (log_open(arg, &o, &l, NULL) == 0)
		(void)!write(fd, "1", 1);
	for (;;)
		pause();
}

static void a_second_writer_is_refused_every_time(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	char tmp[280], dir[300];
	log_dir(dir, tmp);
	struct log_options o = { .create = true };
	struct log *l;
	assert_ok(log_open(dir, &o, &l, &e), &e);
	for (int i = 0; i < 900; i++)
		assert_int_equal(try_to_write(dir, &e), ERR_LOCKED);
	assert_int_equal(test_in_child(try_in_child, dir, 60), 0);
	o.read_only = true;
	o.create = false;
	struct log *reader;
	assert_ok(log_open(dir, &o, &reader, &e), &e);
	assert_ok(log_close(reader, &e), &e);
	assert_int_equal(try_to_write(dir, &e), ERR_LOCKED);
	assert_ok(log_close(l, &e), &e);
	assert_ok(try_to_write(dir, &e), &e);
	test_rmdir(tmp);
}

static void a_killed_writer_leaves_no_lock_behind(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	char tmp[280], dir[300];
	log_dir(dir, tmp);
	for (int i = 0; i < 20; i++) {
		int fds[2];
		assert_int_equal(pipe(fds), 0);
		pid_t pid = fork();
		assert_true(pid >= 0);
		if (pid == 0)
			write_and_hang(dir, fds[1]);
		char c;
		assert_int_equal(read(fds[0], &c, 1), 1);
		assert_int_equal(try_to_write(dir, &e), ERR_LOCKED);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		assert_ok(try_to_write(dir, &e), &e);
		close(fds[0]);
		close(fds[1]);
	}
	test_rmdir(tmp);
}

int main(void)
{
	test_in_memory(); /* thousands of small logs: nothing here needs a real disk */
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_call_failed_in_turn_costs_nothing_acknowledged),
		cmocka_unit_test(a_failed_flush_poisons_until_the_log_is_reopened),
		cmocka_unit_test(short_counts_and_interrupted_calls_are_not_noticed),
		cmocka_unit_test(every_allocation_failed_in_turn_is_an_error_and_leaks_nothing),
		cmocka_unit_test(any_number_of_descriptors_gives_an_error_or_works),
		cmocka_unit_test(a_second_writer_is_refused_every_time),
		cmocka_unit_test(a_killed_writer_leaves_no_lock_behind),
	};
	return cmocka_run_group_tests_name("log_faults", tests, NULL, NULL);
}
