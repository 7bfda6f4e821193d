/* The simulator itself: what it may lose, what it must keep, and that it really shows every kind of loss. */
#include "tests/test.h"

#include "os/env_fault.h"
#include "os/env_sim.h"

#include <stdio.h>
#include <string.h>

#define SEEDS 2000

struct worlds {
	struct sim *now, *after;
	struct env *env;
};

static int setup(void **state)
{
	static struct worlds w;
	w.now = sim_new(&(struct sim_options){ .seed = 1, .file_bytes = 1u << 20 });
	w.after = sim_new(&(struct sim_options){ .file_bytes = 1u << 20 });
	assert_non_null(w.now);
	assert_non_null(w.after);
	w.env = sim_env(w.now);
	*state = &w;
	return 0;
}

static int teardown(void **state)
{
	struct worlds *w = *state;
	sim_free(w->now);
	sim_free(w->after);
	return 0;
}

static struct file *create(struct worlds *w, const char *path, const char *text)
{
	struct err e = ERR_INIT;
	struct file *f = NULL;
	assert_ok(env_open(w->env, path, FILE_CREATE, &f, &e), &e);
	assert_ok(file_write(f, 0, text, strlen(text), &e), &e);
	return f;
}

static void crash(struct worlds *w, uint64_t seed)
{
	assert_int_equal(sim_crash(w->now, seed, w->after), 0);
}

/* ---- an ordinary file system while nothing fails ---- */

static void files_hold_what_was_written_and_maps_are_their_contents(void **state)
{
	struct worlds *w = *state;
	struct err e = ERR_INIT;
	struct file *f = create(w, "a", "hello"), *r;
	char got[16];
	size_t n;
	assert_ok(env_open(w->env, "./a", FILE_READ, &r, &e), &e);
	assert_ok(file_read(r, 1, got, sizeof(got), &n, &e), &e);
	assert_int_equal(n, 4);
	assert_memory_equal(got, "ello", 4);
	assert_ok(file_allocate(f, 0, 8192, &e), &e);
	void *p, *q;
	assert_ok(file_map(f, 4096, 4096, true, &p, &e), &e);
	assert_ok(file_map(r, 4096, 4096, false, &q, &e), &e);
	memcpy(p, "mapped", 6);
	assert_ok(file_read(r, 4096, got, 6, &n, &e), &e);
	assert_memory_equal(got, "mapped", 6);
	assert_ok(file_truncate(f, 500000, &e), &e); /* grows; the maps stay where they are */
	assert_memory_equal(q, "mapped", 6);
	assert_int_equal(file_write(r, 0, "x", 1, &e), ERR_ACCESS);
	assert_int_equal(file_truncate(f, 2u << 20, &e),
			 ERR_NOSPACE); /* larger than any file here */
	assert_int_equal(sim_open_files(w->now), 2);
	assert_int_equal(sim_open_maps(w->now), 2);
	file_unmap(f, p, 4096);
	file_unmap(r, q, 4096);
	assert_ok(file_truncate(f, 3, &e), &e);
	assert_ok(file_truncate(f, 10, &e), &e);
	assert_ok(file_read(r, 0, got, sizeof(got), &n, &e), &e);
	assert_int_equal(n, 10);
	assert_memory_equal(got, "hel\0\0\0\0\0\0\0", 10);
	file_close(f);
	file_close(r);
	assert_int_equal(sim_open_files(w->now), 0);
}

static int count(void *arg, const char *name)
{
	(void)name;
	(*(int *)arg)++;
	return 0;
}

static void directories_and_open_modes_behave_as_on_posix(void **state)
{
	struct worlds *w = *state;
	struct err e = ERR_INIT;
	struct file *f = NULL;
	struct file_stat st;
	assert_int_equal(env_open(w->env, "d/a", FILE_CREATE, &f, &e), ERR_NOTFOUND);
	assert_ok(env_mkdir(w->env, "/d", &e), &e);
	assert_int_equal(env_mkdir(w->env, "d/", &e), ERR_EXISTS);
	assert_int_equal(env_open(w->env, "d", FILE_CREATE, &f, &e), ERR_INVALID);
	assert_int_equal(env_open(w->env, "d/a", FILE_WRITE, &f, &e), ERR_NOTFOUND);
	file_close(create(w, "d/a", "12345"));
	assert_int_equal(env_open(w->env, "d/a", FILE_CREATE_NEW, &f, &e), ERR_EXISTS);
	assert_int_equal(env_open(w->env, "d/a/b", FILE_CREATE, &f, &e), ERR_INVALID);
	assert_ok(env_stat(w->env, "d/../d/./../../d/a", &st, &e), &e);
	assert_true(st.is_regular);
	assert_int_equal(env_stat(w->env, "e/../d", &st, &e), ERR_NOTFOUND);
	assert_true(env_rmdir(w->env, "d/..", &e) < 0);
	file_close(create(w, "d/b", ""));
	assert_ok(env_rename(w->env, "d/a", "d/b", &e), &e);
	assert_int_equal(env_rename(w->env, "d/a", "d/b", &e), ERR_NOTFOUND);
	assert_ok(env_stat(w->env, "d/b", &st, &e), &e);
	assert_true(st.is_regular && !st.is_dir);
	assert_int_equal(st.size_bytes, 5);
	int n = 0;
	assert_ok(env_list(w->env, "d", count, &n, &e), &e);
	assert_int_equal(n, 1);
	assert_true(env_rmdir(w->env, "d", &e) < 0);
	f = create(w, "d/b", "still open");
	assert_ok(env_unlink(w->env, "d/b", &e), &e);
	assert_int_equal(env_unlink(w->env, "d/b", &e), ERR_NOTFOUND);
	uint64_t size;
	assert_ok(file_size(f, &size, &e), &e);
	assert_int_equal(size, 10);
	file_close(f);
	assert_int_equal(sim_disk_used(w->now),
			 10); /* the unlink is not durable yet: its bytes are still there */
	assert_ok(env_sync_dir(w->env, "d", &e), &e);
	assert_int_equal(sim_disk_used(w->now), 0);
	assert_ok(env_rmdir(w->env, "d", &e), &e);
	assert_int_equal(env_stat(w->env, "d", &st, &e), ERR_NOTFOUND);
}

static void the_clock_goes_only_forward_and_waits_take_their_time(void **state)
{
	struct worlds *w = *state;
	uint32_t word = 1;
	nsec t = env_mono(w->env);
	assert_true(env_mono(w->env) > t);
	assert_int_equal(env_wait(w->env, &word, 0, -1), 1);
	assert_int_equal(env_wait(w->env, &word, 1, t + NSEC_PER_SEC), 0);
	assert_true(env_mono(w->env) >= t + NSEC_PER_SEC);
	assert_int_equal(env_wait(w->env, &word, 1, 0), 0);
	assert_int_equal(env_wait(w->env, &word, 1, -1), 1);
	t = env_mono(w->env);
	sim_set_wall_ms(w->now, 1000);
	assert_in_range(env_wall_ms(w->env), 1000, 1001);
	assert_true(env_mono(w->env) > t);
	sim_advance(w->now, 5 * NSEC_PER_SEC);
	assert_in_range(env_wall_ms(w->env), 6000, 6001);
}

static void the_lock_belongs_to_one_open_and_goes_with_it(void **state)
{
	struct worlds *w = *state;
	struct file *a = create(w, "l", ""), *b = create(w, "l", "");
	assert_int_equal(file_lock(a, NULL), 1);
	assert_int_equal(file_lock(b, NULL), 0);
	assert_int_equal(file_locked_by_other(b, NULL), 1);
	assert_int_equal(file_locked_by_other(a, NULL), 0);
	file_close(a);
	assert_int_equal(file_lock(b, NULL), 1);
	file_close(b);
}

static void a_full_disk_is_full_until_something_is_removed(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct sim *s = sim_new(&(struct sim_options){ .disk_bytes = 10000 });
	assert_non_null(s);
	struct worlds w = { .now = s, .env = sim_env(s) };
	struct file *a = create(&w, "a", "x"), *b = create(&w, "b", "y");
	assert_ok(file_allocate(a, 0, 9000, &e), &e);
	assert_int_equal(file_allocate(b, 0, 1001, &e), ERR_NOSPACE);
	assert_int_equal(file_write(b, 1000, "y", 1, &e), ERR_NOSPACE);
	assert_ok(file_truncate(a, 0, &e), &e);
	assert_ok(file_allocate(b, 0, 1001, &e), &e);
	file_close(a);
	file_close(b);
	sim_free(s);
}

/* ---- what a power loss leaves ---- */

static void what_was_synced_with_its_name_always_survives(void **state)
{
	struct worlds *w = *state;
	struct err e = ERR_INIT;
	uint8_t bytes[5000];
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i / 3 + i);
	assert_ok(env_mkdir(w->env, "d", &e), &e);
	struct file *f = create(w, "d/a", "");
	assert_ok(file_write(f, 0, bytes, sizeof(bytes), &e), &e);
	assert_ok(file_sync(f, &e), &e);
	assert_ok(env_sync_dir(w->env, "d", &e), &e);
	assert_ok(env_sync_dir(w->env, ".", &e), &e);
	struct file *other = create(w, "d/b", "unsynced");
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		crash(w, seed);
		uint64_t size;
		uint8_t *p = sim_bytes(w->after, "d/a", &size);
		assert_non_null(p);
		assert_int_equal(size, sizeof(bytes));
		assert_memory_equal(p, bytes, sizeof(bytes));
	}
	file_close(f);
	file_close(other);
}

/* Three sectors of 'o' are durable; all are overwritten with 'n'. */
static void unsynced_sectors_are_lost_kept_or_torn_each_for_itself(void **state)
{
	struct worlds *w = *state;
	struct err e = ERR_INIT;
	char old[1536], new[1536];
	memset(old, 'o', sizeof(old));
	memset(new, 'n', sizeof(new));
	struct file *f = create(w, "a", "");
	assert_ok(file_write(f, 0, old, sizeof(old), &e), &e);
	assert_ok(file_sync(f, &e), &e);
	assert_ok(env_sync_dir(w->env, "", &e), &e);
	void *map;
	assert_ok(file_map(f, 0, 4096, true, &map, &e), &e);
	memcpy(map, new, sizeof(new));
	int combinations[8] = { 0 }, torn = 0;
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		crash(w, seed);
		uint64_t size;
		char *p = (char *)sim_bytes(w->after, "a", &size);
		assert_int_equal(size, sizeof(old));
		int combination = 0;
		for (int s = 0; s < 3; s++) {
			size_t news = 0;
			while (news < 512 && p[s * 512 + news] == 'n')
				news++;
			for (size_t i = news; i < 512; i++)
				assert_int_equal(p[s * 512 + i], 'o');
			combination |= (news == 512) << s;
			torn += news > 0 && news < 512;
		}
		combinations[combination]++;
	}
	for (int i = 0; i < 8; i++)
		assert_true(combinations[i] > SEEDS / 100);
	assert_true(torn > SEEDS / 20);
	file_unmap(f, map, 4096);
	file_close(f);
}

static void a_grown_file_has_the_old_the_new_or_a_size_between(void **state)
{
	struct worlds *w = *state;
	struct err e = ERR_INIT;
	struct file *f = create(w, "a", "0123456789");
	assert_ok(file_sync(f, &e), &e);
	assert_ok(env_sync_dir(w->env, "", &e), &e);
	assert_ok(file_allocate(f, 0, 4096, &e), &e);
	int old = 0, new = 0, between = 0;
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		crash(w, seed);
		uint64_t size;
		uint8_t *p = sim_bytes(w->after, "a", &size);
		old += size == 10;
		new += size == 4096;
		between += size > 10 && size < 4096;
		assert_in_range(size, 10, 4096);
		assert_memory_equal(p, "0123456789", 10);
		for (uint64_t i = 10; i < size; i++)
			assert_int_equal(p[i], 0);
	}
	assert_true(old > 100 && new > 100 && between > 100);
	file_close(f);
}

static void a_lost_truncation_brings_the_old_bytes_back(void **state)
{
	struct worlds *w = *state;
	struct err e = ERR_INIT;
	struct file *f = create(w, "a", "0123456789");
	assert_ok(file_sync(f, &e), &e);
	assert_ok(env_sync_dir(w->env, "", &e), &e);
	assert_ok(file_truncate(f, 4, &e), &e);
	int back = 0, cut = 0;
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		crash(w, seed);
		uint64_t size;
		uint8_t *p = sim_bytes(w->after, "a", &size);
		assert_in_range(size, 4, 10);
		assert_memory_equal(p, "0123", 4);
		back += size == 10 && memcmp(p, "0123456789", 10) == 0;
		cut += size == 4;
	}
	assert_true(back > 100 && cut > 100);
	file_close(f);
}

static bool there(struct sim *s, const char *path)
{
	uint64_t size;
	return sim_bytes(s, path, &size) != NULL;
}

static void names_are_durable_only_through_their_directories(void **state)
{
	struct worlds *w = *state;
	struct err e = ERR_INIT;
	assert_ok(env_mkdir(w->env, "d", &e), &e);
	struct file *f = create(w, "d/a", "1");
	assert_ok(file_sync(f, &e), &e);
	int seen[2] = { 0 };
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		crash(w, seed);
		seen[there(w->after, "d/a")]++;
	}
	assert_true(seen[0] > 100 && seen[1] > 100);
	assert_ok(env_sync_dir(w->env, "d", &e), &e);
	seen[0] = seen[1] = 0;
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		crash(w, seed);
		seen[there(w->after, "d/a")]++;
	}
	assert_true(seen[0] > 100 &&
		    seen[1] > 100); /* the directory above still hangs in the air */
	assert_ok(env_sync_dir(w->env, ".", &e), &e);
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		crash(w, seed);
		assert_true(there(w->after, "d/a"));
	}
	assert_ok(env_unlink(w->env, "d/a", &e), &e);
	file_close(f);
	seen[0] = seen[1] = 0;
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		crash(w, seed);
		seen[there(w->after, "d/a")]++;
	}
	assert_true(seen[0] > 100 && seen[1] > 100);
	assert_ok(env_sync_dir(w->env, "d", &e), &e);
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		crash(w, seed);
		assert_false(there(w->after, "d/a"));
	}
}

static void a_rename_happens_or_not_and_never_before_what_it_builds_on(void **state)
{
	struct worlds *w = *state;
	struct err e = ERR_INIT;
	struct file *f = create(w, "a", "old");
	assert_ok(file_sync(f, &e), &e);
	assert_ok(env_sync_dir(w->env, ".", &e), &e);
	file_close(f);
	f = create(w, "a.tmp", "new");
	assert_ok(file_sync(f, &e), &e);
	assert_ok(env_rename(w->env, "a.tmp", "a", &e), &e);
	int old = 0, new = 0, tmp = 0;
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		crash(w, seed);
		uint64_t size;
		uint8_t *p = sim_bytes(w->after, "a", &size);
		assert_non_null(p);
		bool is_new = memcmp(p, "new", 3) == 0, has_tmp = there(w->after, "a.tmp");
		assert_true(is_new || memcmp(p, "old", 3) == 0);
		assert_false(is_new && has_tmp);
		new += is_new;
		old += !is_new;
		tmp += has_tmp;
	}
	assert_true(old > 100 && new > 100 && tmp > 100);
	file_close(f);
}

static void the_same_seed_gives_the_same_state(void **state)
{
	struct worlds *w = *state;
	struct err e = ERR_INIT;
	struct sim *again = sim_new(&(struct sim_options){ .file_bytes = 1u << 20 });
	assert_non_null(again);
	uint8_t bytes[40000];
	assert_ok(env_random(w->env, bytes, sizeof(bytes), &e), &e);
	struct file *f = create(w, "a", "");
	assert_ok(file_write(f, 0, bytes, sizeof(bytes), &e), &e);
	for (uint64_t seed = 0; seed < 200; seed++) {
		crash(w, seed);
		assert_int_equal(sim_crash(w->now, seed, again), 0);
		uint64_t n = 0, m = 0;
		uint8_t *p = sim_bytes(w->after, "a", &n), *q = sim_bytes(again, "a", &m);
		assert_int_equal(p != NULL, q != NULL);
		assert_int_equal(n, m);
		if (p)
			assert_memory_equal(p, q, n);
	}
	file_close(f);
	sim_free(again);
}

static void a_copy_has_everything_synced_or_not(void **state)
{
	struct worlds *w = *state;
	struct err e = ERR_INIT;
	uint8_t bytes[9000];
	assert_ok(env_random(w->env, bytes, sizeof(bytes), &e), &e);
	assert_ok(env_mkdir(w->env, "d", &e), &e);
	struct file *f = create(w, "d/a", "");
	assert_ok(file_write(f, 0, bytes, sizeof(bytes), &e), &e);
	sim_drop_dirty(f);
	int lost = 0;
	assert_int_equal(sim_copy(w->now, w->after), 0);
	uint64_t size;
	uint8_t *p = sim_bytes(w->after, "d/a", &size);
	assert_non_null(p);
	assert_int_equal(size, sizeof(bytes));
	assert_memory_equal(p, bytes, sizeof(bytes));
	file_close(f);
	/* And it can lose what the first could have lost. */
	struct sim *third = sim_new(&(struct sim_options){ .file_bytes = 1u << 20 });
	assert_non_null(third);
	for (uint64_t seed = 0; seed < 300; seed++) {
		assert_int_equal(sim_crash(w->after, seed, third), 0);
		p = sim_bytes(third, "d/a", &size);
		lost += !p;
		if (p && size)
			assert_int_equal(p[0], 0); /* the sync had given the bytes up */
	}
	assert_in_range(lost, 30, 270);
	sim_free(third);
}

static void a_state_can_be_used_and_crashed_again(void **state)
{
	struct worlds *w = *state;
	struct err e = ERR_INIT;
	struct sim *third = sim_new(&(struct sim_options){ .file_bytes = 1u << 20 });
	assert_non_null(third);
	struct file *f = create(w, "a", "first");
	assert_ok(file_sync(f, &e), &e);
	assert_ok(env_sync_dir(w->env, ".", &e), &e);
	int kept = 0, lost = 0;
	for (uint64_t seed = 0; seed < 300; seed++) {
		crash(w, seed);
		struct file *g;
		assert_ok(env_open(sim_env(w->after), "a", FILE_WRITE, &g, &e), &e);
		assert_ok(file_write(g, 0, "F", 1, &e), &e);
		assert_int_equal(sim_crash(w->after, seed, third), 0);
		uint64_t size;
		uint8_t *p = sim_bytes(third, "a", &size);
		assert_non_null(p);
		assert_memory_equal(p + 1, "irst", 4);
		kept += p[0] == 'F';
		lost += p[0] == 'f';
		file_close(g);
	}
	assert_int_equal(kept + lost, 300);
	assert_true(kept > 30 && lost > 30);
	file_close(f);
	sim_free(third);
}

static void the_kernel_may_write_back_some_of_it_at_any_time(void **state)
{
	struct worlds *w = *state;
	struct err e = ERR_INIT;
	struct file *f = create(w, "a", "");
	assert_ok(file_sync(f, &e), &e);
	assert_ok(env_sync_dir(w->env, ".", &e), &e);
	int middle = 0;
	for (uint64_t seed = 0; seed < 200; seed++) {
		assert_ok(file_write(f, 0, "1", 1, &e), &e);
		assert_ok(file_sync(f, &e), &e);
		assert_ok(file_write(f, 0, "2", 1, &e), &e);
		sim_writeback(w->now, seed);
		assert_ok(file_write(f, 0, "3", 1, &e), &e);
		crash(w, seed);
		uint64_t size;
		uint8_t *p = sim_bytes(w->after, "a", &size);
		assert_int_equal(size, 1);
		middle += p[0] == '2';
	}
	assert_true(middle > 10);
	file_close(f);
}

static void without_syncing_everything_can_be_lost(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct sim *s = sim_new(&(struct sim_options){ .ignore_sync = true }),
		   *after = sim_new(NULL);
	assert_non_null(s);
	assert_non_null(after);
	struct worlds w = { .now = s, .after = after, .env = sim_env(s) };
	struct file *f = create(&w, "a", "acknowledged");
	assert_ok(file_sync(f, &e), &e);
	assert_ok(env_sync_dir(w.env, ".", &e), &e);
	int lost = 0;
	for (uint64_t seed = 0; seed < 200; seed++) {
		crash(&w, seed);
		uint64_t size;
		uint8_t *p = sim_bytes(after, "a", &size);
		lost += !p || size < 12 || memcmp(p, "acknowledged", 12) != 0;
	}
	assert_true(lost > 50);
	file_close(f);
	sim_free(s);
	sim_free(after);
}

/* ---- faults ---- */

static void after_a_failed_sync_a_second_one_does_not_bring_the_data_back(void **state)
{
	struct worlds *w = *state;
	struct err e = ERR_INIT;
	struct env_fault fault;
	env_fault_init(&fault, w->env);
	fault.on_failed_sync = sim_drop_dirty;
	struct worlds faulty = { .now = w->now, .after = w->after, .env = &fault.base };
	struct file *f = create(&faulty, "a", "one");
	assert_ok(file_sync(f, &e), &e);
	assert_ok(env_sync_dir(w->env, ".", &e), &e);
	assert_ok(file_write(f, 0, "two", 3, &e), &e);
	env_fault_arm(&fault, &(struct fault){ .at = 1, .code = ERR_IO, .only = 1u << FAULT_SYNC });
	assert_int_equal(file_sync(f, &e), ERR_IO);
	assert_ok(file_sync(f, &e), &e); /* claims success, as Linux does */
	for (uint64_t seed = 0; seed < 100; seed++) {
		crash(w, seed);
		uint64_t size;
		assert_memory_equal(sim_bytes(w->after, "a", &size), "one", 3);
	}
	assert_ok(file_write(f, 0, "two", 3, &e), &e); /* the same bytes, but dirty again */
	assert_ok(file_sync(f, &e), &e);
	crash(w, 1);
	uint64_t n;
	assert_memory_equal(sim_bytes(w->after, "a", &n), "two", 3);
	assert_ok(file_write(f, 0, "TWO", 3, &e), &e);
	assert_ok(file_sync(f, &e), &e);
	crash(w, 1);
	uint64_t size;
	assert_memory_equal(sim_bytes(w->after, "a", &size), "TWO", 3);
	file_close(f);
}

static int use_everything(struct env *env, struct err *e)
{
	struct file *f = NULL;
	uint8_t byte;
	size_t n;
	uint64_t size;
	struct file_stat st;
	void *map;
	int names = 0;
	int rc = env_mkdir(env, "d", e);
	if (rc == 0)
		rc = env_random(env, &byte, 1, e);
	if (rc == 0)
		rc = env_open(env, "d/a", FILE_CREATE, &f, e);
	if (rc < 0)
		return rc;
	if ((rc = file_lock(f, e)) == 1 && (rc = file_locked_by_other(f, e)) == 0 &&
	    (rc = file_allocate(f, 0, 4096, e)) == 0 && (rc = file_write(f, 0, "12", 2, e)) == 0 &&
	    (rc = file_read(f, 0, &byte, 1, &n, e)) == 0 && (rc = file_sync(f, e)) == 0 &&
	    (rc = file_size(f, &size, e)) == 0 && (rc = file_truncate(f, 4096, e)) == 0 &&
	    (rc = file_map(f, 0, 4096, true, &map, e)) == 0)
		file_unmap(f, map, 4096);
	file_close(f);
	if (rc == 0 && (rc = env_stat(env, "d/a", &st, e)) == 0 &&
	    (rc = env_rename(env, "d/a", "d/b", e)) == 0 && (rc = env_sync_dir(env, "d", e)) == 0 &&
	    (rc = env_list(env, "d", count, &names, e)) == 0 &&
	    (rc = env_unlink(env, "d/b", e)) == 0)
		rc = env_rmdir(env, "d", e);
	return rc;
}

static void every_call_can_be_failed_in_turn(void **state)
{
	struct worlds *w = *state;
	struct env_fault fault;
	env_fault_init(&fault, w->env);
	uint32_t failed = 0;
	uint64_t k;
	for (k = 1;; k++) {
		struct err e = ERR_INIT;
		assert_int_equal(sim_reset(w->now, k), 0);
		env_fault_arm(&fault, &(struct fault){ .at = k, .code = ERR_NOSPACE });
		int rc = use_everything(&fault.base, &e);
		if (fault.calls < k) {
			assert_ok(rc, &e);
			break;
		}
		assert_int_equal(rc, ERR_NOSPACE);
		assert_int_equal(fault.calls, k);
		assert_int_equal(fault.failed, 1);
		assert_non_null(strstr(e.msg, fault_call_name(fault.failed_call)));
		failed |= 1u << fault.failed_call;
		assert_int_equal(fault.open_files, 0);
		assert_int_equal(fault.open_maps, 0);
		assert_int_equal(sim_open_files(w->now), 0);
	}
	assert_int_equal(k, FAULT_CALLS + 1);
	assert_int_equal(failed, (1u << FAULT_CALLS) - 1);
}

static void a_persistent_fault_stays_and_a_partial_write_leaves_its_beginning(void **state)
{
	struct worlds *w = *state;
	struct err e = ERR_INIT;
	struct env_fault fault;
	env_fault_init(&fault, w->env);
	struct worlds faulty = { .now = w->now, .after = w->after, .env = &fault.base };
	struct file *f = create(&faulty, "a", "0000");
	env_fault_arm(&fault,
		      &(struct fault){
			      .at = 2, .code = ERR_NOSPACE, .persistent = true, .part = true });
	assert_ok(file_write(f, 0, "1111", 4, &e), &e);
	assert_int_equal(file_write(f, 0, "2222", 4, &e), ERR_NOSPACE);
	assert_int_equal(file_sync(f, &e), ERR_NOSPACE);
	assert_int_equal(fault.failed, 2);
	env_fault_arm(&fault, NULL);
	uint8_t got[4];
	size_t n;
	assert_ok(file_read(f, 0, got, 4, &n, &e), &e);
	assert_memory_equal(got, "2211", 4);
	file_close(f);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(files_hold_what_was_written_and_maps_are_their_contents),
		T(directories_and_open_modes_behave_as_on_posix),
		T(the_clock_goes_only_forward_and_waits_take_their_time),
		T(the_lock_belongs_to_one_open_and_goes_with_it),
		T(a_full_disk_is_full_until_something_is_removed),
		T(what_was_synced_with_its_name_always_survives),
		T(unsynced_sectors_are_lost_kept_or_torn_each_for_itself),
		T(a_grown_file_has_the_old_the_new_or_a_size_between),
		T(a_lost_truncation_brings_the_old_bytes_back),
		T(names_are_durable_only_through_their_directories),
		T(a_rename_happens_or_not_and_never_before_what_it_builds_on),
		T(the_same_seed_gives_the_same_state),
		T(a_copy_has_everything_synced_or_not),
		T(a_state_can_be_used_and_crashed_again),
		T(the_kernel_may_write_back_some_of_it_at_any_time),
		T(without_syncing_everything_can_be_lost),
		T(after_a_failed_sync_a_second_one_does_not_bring_the_data_back),
		T(every_call_can_be_failed_in_turn),
		T(a_persistent_fault_stays_and_a_partial_write_leaves_its_beginning),
	};
	return cmocka_run_group_tests_name("os_env_sim", tests, NULL, NULL);
}
