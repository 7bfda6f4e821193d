#include "tests/test.h"

#include "change/latest.h"

#include <string.h>

/* Few homes, so that searches run into each other. */
static struct latest_hash hash_of(uint32_t key)
{
	return (struct latest_hash){ key % 7, key };
}

static uint32_t number_of(struct latest *l, const char *db, const char *coll)
{
	uint32_t n = 0;
	struct err e = ERR_INIT;
	assert_ok(latest_coll(l, slice_str(db), slice_str(coll), true, &n, &e), &e);
	return n;
}

static uint64_t get(struct latest *l, uint32_t coll, uint32_t key)
{
	struct latest_slot *s = latest_get(l, coll, hash_of(key));
	return s ? latest_offset(s) : UINT64_MAX;
}

static void index_agrees_with_a_plain_array_through_random_changes(void **state)
{
	(void)state;
	enum { KEYS = 300, COLLS = 3, STEPS = 100000 };
	static uint64_t model[COLLS][KEYS];
	static const char *const names[COLLS] = { "a", "b", "c" };
	struct latest l;
	uint64_t seed = 88172645463325252;
	memset(model, 0xff, sizeof(model));
	latest_init(&l, NULL, 1 << 20);
	for (uint64_t step = 0; step < STEPS; step++) {
		seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
		uint32_t c = (uint32_t)(seed >> 8) % COLLS, key = (uint32_t)(seed >> 20) % KEYS;
		uint32_t coll = number_of(&l, "db", names[c]);
		struct latest_slot *s = latest_get(&l, coll, hash_of(key));
		assert_true(get(&l, coll, key) == model[c][key]);
		if (seed % 1000 == 0) {
			latest_drop(&l, slice_str("db"), slice_str(names[c]));
			memset(model[c], 0xff, sizeof(model[c]));
		} else if (seed % 1000 == 1) {
			uint32_t to = (c + 1) % COLLS;
			assert_int_equal(latest_rename(&l, slice_str("db"), slice_str(names[c]),
						       slice_str("db"), slice_str(names[to]), NULL),
					 0);
			memcpy(model[to], model[c], sizeof(model[c]));
			memset(model[c], 0xff, sizeof(model[c]));
		} else if (seed % 3 == 0 && s) {
			latest_remove(&l, s);
			model[c][key] = UINT64_MAX;
		} else if (s) {
			latest_move(s, step);
			model[c][key] = step;
		} else {
			assert_int_equal(latest_add(&l, coll, hash_of(key), step, NULL), 0);
			model[c][key] = step;
		}
	}
	assert_false(l.full);
	latest_done(&l);
}

static void dropping_a_database_forgets_all_its_collections_and_no_other(void **state)
{
	(void)state;
	struct latest l;
	latest_init(&l, NULL, 1 << 20);
	assert_int_equal(latest_add(&l, number_of(&l, "x", "a"), hash_of(1), 10, NULL), 0);
	assert_int_equal(latest_add(&l, number_of(&l, "x", "b"), hash_of(1), 11, NULL), 0);
	assert_int_equal(latest_add(&l, number_of(&l, "xy", "a"), hash_of(1), 12, NULL), 0);
	latest_drop_database(&l, slice_str("x"));
	assert_true(get(&l, number_of(&l, "x", "a"), 1) == UINT64_MAX);
	assert_true(get(&l, number_of(&l, "x", "b"), 1) == UINT64_MAX);
	assert_true(get(&l, number_of(&l, "xy", "a"), 1) == 12);
	latest_done(&l);
}

static void slots_of_dropped_collections_are_used_again(void **state)
{
	(void)state;
	struct latest l;
	latest_init(&l, NULL, 64 << 10);
	for (uint32_t round = 0; round < 200; round++) {
		uint32_t coll = number_of(&l, "db", "c");
		for (uint32_t key = 0; key < 500; key++)
			assert_int_equal(latest_add(&l, coll, hash_of(key), round * 500 + key,
						    NULL),
					 0);
		latest_drop(&l, slice_str("db"), slice_str("c"));
	}
	assert_false(l.full);
	assert_true(latest_bytes(&l) < 80 << 10);
	latest_done(&l);
}

static void full_index_gives_its_memory_back_and_stays_full(void **state)
{
	(void)state;
	struct latest l;
	latest_init(&l, NULL, 64 << 10);
	uint32_t coll = number_of(&l, "db", "c"), key = 0;
	while (!l.full && key < 1000000)
		assert_int_equal(latest_add(&l, coll, hash_of(key * 7919), key, NULL), 0), key++;
	assert_true(l.full);
	assert_true(key > 1000);
	assert_null(l.slots);
	assert_int_equal(latest_add(&l, coll, hash_of(1), 1, NULL), 0);
	assert_null(l.slots);
	latest_done(&l);
}

static void patterns_choose_collections(void **state)
{
	(void)state;
	static const struct {
		const char *pattern, *db, *coll;
		bool chosen;
	} cases[] = {
		{ "*", "a", "b", true },       { "a.*", "a", "b", true },
		{ "a.b", "a", "b", true },     { "a.b", "a", "bc", false },
		{ "a.*", "ab", "c", false },   { "ab.*", "a", "b", false },
		{ "a.b.c", "a", "b.c", true }, { "a", "a", "b", false },
		{ "", "a", "b", false },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *const patterns[] = { cases[i].pattern, NULL };
		if (latest_chosen(patterns, slice_str(cases[i].db), slice_str(cases[i].coll)) !=
		    cases[i].chosen)
			fail_msg("%s and %s.%s", cases[i].pattern, cases[i].db, cases[i].coll);
	}
	assert_true(latest_chosen(NULL, slice_str("a"), slice_str("b")));
	const char *const none[] = { NULL };
	assert_false(latest_chosen(none, slice_str("a"), slice_str("b")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(index_agrees_with_a_plain_array_through_random_changes),
		cmocka_unit_test(dropping_a_database_forgets_all_its_collections_and_no_other),
		cmocka_unit_test(slots_of_dropped_collections_are_used_again),
		cmocka_unit_test(full_index_gives_its_memory_back_and_stays_full),
		cmocka_unit_test(patterns_choose_collections),
	};
	return cmocka_run_group_tests_name("change/latest", tests, NULL, NULL);
}
