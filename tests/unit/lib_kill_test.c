/* A consumer process killed at random points, and a consumer far slower than the writer: nothing is lost, nothing
 * comes out of order, and nothing comes twice but what came after the token saved last. */
#include "tests/test.h"

#include "weir/weir.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static weir_error e;

#define must(call) \
	do { \
		if ((call) < 0) \
			fail_msg("%s: %s %s", #call, weir_error_name(e.code), e.message); \
	} while (0)

/* ---- killed ---- */

enum { RUN_MAX = 100000, SAVE_EACH = 7 };

/* What a run of the consumer saw, in memory that outlives it. */
struct seen {
	_Atomic uint32_t count;
	_Atomic uint32_t done; /* it ended by itself */
	_Atomic uint32_t failed;
	char message[WEIR_MESSAGE_MAX];
	uint64_t offset[RUN_MAX];
};

struct consumer {
	const char *dir;
	char token_path[300], token_new[300];
	struct seen *seen;
	bool until_end;
};

static bool load_token(const struct consumer *c, char token[WEIR_TOKEN_MAX])
{
	FILE *f = fopen(c->token_path, "r");
	if (!f)
		return false;
	bool ok = fgets(token, WEIR_TOKEN_MAX, f) != NULL;
	fclose(f);
	return ok;
}

static void save_token(const struct consumer *c, const char *token)
{
	FILE *f = fopen(c->token_new, "w");
	if (f && fputs(token, f) >= 0 && fclose(f) == 0)
		(void)rename(c->token_new, c->token_path);
}

#define FILTER   "{\"operationType\":\"insert\",\"fullDocument.n\":{\"$mod\":[3,1]}}"
#define PIPELINE "[{\"$match\":{\"coll\":\"c\"}},{\"$project\":{\"fullDocument\":1}}]"

static int consume(const struct consumer *c, weir_error *why)
{
	weir_oplog *o;
	weir_watch *w;
	const weir_event *ev;
	char token[WEIR_TOKEN_MAX];
	int rc;
	weir_oplog_options ro = { .size = sizeof(ro), .read_only = true };
	weir_watch_options opt = { .size = sizeof(opt),
				   .start = WEIR_START_OLDEST,
				   .filter = weir_json(FILTER),
				   .pipeline = weir_json(PIPELINE),
				   .follow_written = true };
	if (load_token(c, token)) {
		opt.start = WEIR_START_AFTER;
		opt.resume_after = token;
	}
	if ((rc = weir_oplog_open(c->dir, &ro, &o, why)) < 0 ||
	    (rc = weir_watch_open(o, "db", "c", &opt, &w, why)) < 0)
		return rc;
	while ((rc = weir_watch_next(w, c->until_end ? 0 : WEIR_FOREVER, &ev, why)) == 1) {
		uint32_t n = c->seen->count;
		if (n == RUN_MAX)
			return -1;
		c->seen->offset[n] = weir_event_offset(ev);
		c->seen->count = n + 1; /* handled */
		if (n % SAVE_EACH == 0)
			save_token(c, weir_watch_token(w));
		else if (n % 50 == 1)
			usleep(50);
	}
	return rc;
}

static pid_t start(const struct consumer *c)
{
	c->seen->count = c->seen->done = c->seen->failed = 0;
	pid_t pid = fork();
	if (pid == 0) {
		weir_error why = WEIR_ERROR_INIT;
		if (consume(c, &why) < 0) {
			memcpy(c->seen->message, why.message, sizeof(why.message));
			c->seen->failed = 1;
		}
		c->seen->done = 1;
		_exit(0);
	}
	assert_true(pid > 0);
	return pid;
}

/* A run must have begun with the first matching entry at or behind `from`, and have left none out. Entry i has n = i. */
static uint64_t check_run(const struct seen *s, uint64_t from)
{
	uint64_t want = from;
	for (uint32_t i = 0; i < s->count; i++) {
		while (want % 3 != 1)
			want++;
		if (s->offset[i] != want)
			fail_msg("entry %d came where %d was due", (int)s->offset[i], (int)want);
		want++;
	}
	return want;
}

/* So that a run is not killed while it begins only, however slowly it does. */
static void wait_for_an_event(const struct consumer *c)
{
	for (int i = 0; i < PATIENCE_MS * 10 && !c->seen->count && !c->seen->done; i++)
		usleep(100);
}

static uint64_t append(weir_oplog *o, uint64_t n, int count)
{
	weir_batch *b;
	weir_append_options none = { .size = sizeof(none) };
	must(weir_batch_new(o, &b, &e));
	for (int i = 0; i < count; i++, n++) {
		char doc[64];
		snprintf(doc, sizeof(doc), "{\"_id\":%d,\"n\":%d}", (int)n, (int)n);
		must(weir_batch_insert(b, "db", "c", weir_json(doc), &none, &e));
	}
	must(weir_batch_commit(b, WEIR_ACK_WRITTEN, NULL, NULL, NULL, &e));
	weir_batch_free(b);
	return n;
}

static void consumer_killed_at_random_points_misses_nothing(void **state)
{
	(void)state;
	const char *dir = strdup(test_tmpdir());
	struct consumer c = { .dir = dir };
	weir_oplog *o;
	uint64_t n = 0, covered = 0;
	long kills = test_count(1000, 10000), events = 0, far = 0;
	unsigned seed = 12345;
	snprintf(c.token_path, sizeof(c.token_path), "%s.token", dir);
	snprintf(c.token_new, sizeof(c.token_new), "%s.token.new", dir);
	c.seen = mmap(NULL, sizeof(*c.seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	assert_ptr_not_equal(c.seen, MAP_FAILED);
	must(weir_oplog_open(dir, NULL, &o, &e));
	for (long i = 0; i <= kills; i++) {
		char token[WEIR_TOKEN_MAX];
		uint64_t from = 0;
		if (load_token(&c, token)) {
			weir_token_info info = { .size = sizeof(info) };
			must(weir_token_check(o, token, &info, &e));
			from = info.offset;
		}
		c.until_end = i == kills;
		n = append(o, n, 20);
		pid_t pid = start(&c);
		if (!c.until_end) {
			n = append(o, n, 20);
			if (rand_r(&seed) % 4)
				wait_for_an_event(&c);
			usleep((useconds_t)(rand_r(&seed) % 4000));
			kill(pid, SIGKILL);
		}
		waitpid(pid, NULL, 0);
		if (c.seen->failed)
			fail_msg("the consumer failed: %s", c.seen->message);
		uint64_t end = check_run(c.seen, from);
		assert_true(from <= covered); /* no token ever lies ahead of what was handled */
		covered = end > covered ? end : covered;
		events += c.seen->count;
		far += c.seen->count > 0;
	}
	assert_int_equal(c.seen->done, 1);
	assert_true(covered + 3 > n); /* the last run went to the end */
	assert_true(far > kills / 2); /* most runs got somewhere */
	print_message("%ld kills, %ld events handled for %d entries that match\n", kills, events,
		      (int)(n / 3));
	must(weir_oplog_close(o, &e));
	munmap(c.seen, sizeof(*c.seen));
	(void)unlink(c.token_path);
	(void)unlink(c.token_new);
	test_rmdir(dir);
	free((void *)dir);
}

/* ---- slow ---- */

static atomic_long live_bytes, peak_bytes;

static void note(long more)
{
	long now = atomic_fetch_add(&live_bytes, more) + more, peak = peak_bytes;
	while (now > peak && !atomic_compare_exchange_weak(&peak_bytes, &peak, now))
		continue;
}

static void *counted_alloc(size_t n)
{
	size_t *p = malloc(n + 16);
	if (!p)
		return NULL;
	*p = n;
	note((long)n);
	return (char *)p + 16;
}

static void counted_free(void *p)
{
	if (!p)
		return;
	size_t *at = (void *)((char *)p - 16);
	note(-(long)*at);
	free(at);
}

static void *counted_resize(void *p, size_t n)
{
	if (!p)
		return counted_alloc(n);
	size_t *at = (void *)((char *)p - 16);
	long old = (long)*at;
	at = realloc(at, n + 16);
	if (!at)
		return NULL;
	*at = n;
	note((long)n - old);
	return (char *)at + 16;
}

struct slow {
	weir_watch *w;
	atomic_bool writer_done;
	long got;
	atomic_long got_while_writing;
	const char *wrong;
};

static void *read_slowly(void *arg)
{
	struct slow *s = arg;
	weir_error mine = WEIR_ERROR_INIT;
	for (;;) {
		const weir_event *ev;
		int rc = weir_watch_next(s->w, PATIENCE_MS, &ev, &mine);
		if (rc <= 0) {
			s->wrong = rc < 0 ? "an error" : NULL;
			return NULL;
		}
		if ((long)weir_event_offset(ev) != s->got)
			s->wrong = "an event out of order";
		s->got++;
		if (!s->writer_done) {
			s->got_while_writing++;
			usleep(1000);
		}
		if (s->got == 1000000)
			return NULL;
	}
}

static void
consumer_a_thousand_times_slower_gets_every_one_of_a_million_events_in_bounded_memory(void **state)
{
	(void)state;
	enum { N = 1000000, BATCH = 1000 };
	const char *dir = strdup(test_tmpdir());
	weir_oplog *o;
	weir_batch *b;
	pthread_t t;
	struct slow s = { 0 };
	weir_set_allocator(counted_alloc, counted_resize, counted_free);
	must(weir_oplog_open(dir, NULL, &o, &e));
	weir_watch_options opt = { .size = sizeof(opt), .follow_written = true };
	must(weir_watch_open(o, NULL, NULL, &opt, &s.w, &e));
	must(weir_batch_new(o, &b, &e));
	static const unsigned char doc[] = { 14, 0, 0, 0, 0x10, '_', 'i', 'd', 0, 1, 0, 0, 0, 0 };
	assert_int_equal(pthread_create(&t, NULL, read_slowly, &s), 0);
	long after_first = 0;
	for (int i = 0; i < N; i++) {
		must(weir_batch_insert(b, "db", "c", weir_bson(doc, sizeof(doc)), NULL, &e));
		if (i % BATCH == BATCH - 1)
			must(weir_batch_commit(b, WEIR_ACK_WRITTEN, NULL, NULL, NULL, &e));
		if (i == 10 * BATCH)
			after_first = peak_bytes;
	}
	long behind = N - s.got_while_writing;
	long growth = peak_bytes - after_first;
	s.writer_done = true;
	pthread_join(t, NULL);
	if (s.wrong)
		fail_msg("%s after %ld events", s.wrong, s.got);
	assert_int_equal(s.got, N);
	assert_true(behind > N / 2);   /* it was far behind, */
	assert_true(growth < 1 << 20); /* and nobody kept anything for it. */
	print_message("%ld events behind when the writer ended; memory grew by %ld bytes\n", behind,
		      growth);
	weir_batch_free(b);
	weir_watch_free(s.w);
	must(weir_oplog_close(o, &e));
	assert_int_equal(live_bytes, 0);
	weir_set_allocator(NULL, NULL, NULL);
	test_rmdir(dir);
	free((void *)dir);
}

int main(void)
{
	test_in_memory();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(consumer_killed_at_random_points_misses_nothing),
		cmocka_unit_test(
			consumer_a_thousand_times_slower_gets_every_one_of_a_million_events_in_bounded_memory),
	};
	return cmocka_run_group_tests_name("lib/kill", tests, NULL, NULL);
}
