#include "tests/test.h"

#include "base/arena.h"
#include "base/utf8.h"

#include <errno.h>
#include <string.h>

static void err_in_puts_the_context_before_the_cause(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	assert_int_equal(err_set(&e, ERR_CORRUPT, "segment %d: bad checksum", 7), ERR_CORRUPT);
	assert_int_equal(err_in(&e, ERR_CORRUPT, "topic %s", "orders"), ERR_CORRUPT);
	assert_string_equal(e.msg, "topic orders: segment 7: bad checksum");
	assert_int_equal(e.code, ERR_CORRUPT);
	assert_int_equal(err_errno(NULL, ENOSPC, "x"), ERR_NOSPACE);
}

static void arena_serves_the_same_memory_after_a_reset(void **state)
{
	(void)state;
	AUTO(arena) struct arena a = ARENA_INIT;
	size_t held = 0;
	for (int round = 0; round < 3; round++) {
		for (size_t i = 1; i < 5000; i += 37) {
			uint8_t *p = arena_try(&a, i);
			assert_non_null(p);
			assert_int_equal((uintptr_t)p % 16, 0);
			memset(p, 0xaa, i);
		}
		if (round > 0)
			assert_int_equal(a.total_bytes, held);
		held = a.total_bytes;
		arena_reset(&a);
	}
	a.limit_bytes = a.total_bytes;
	assert_null(arena_try(&a, 10u << 20));
}

static void arena_rewind_gives_back_what_came_after_the_mark(void **state)
{
	(void)state;
	AUTO(arena) struct arena a = ARENA_INIT;
	assert_non_null(arena_try(&a, 100));
	struct arena_mark m = arena_mark(&a);
	void *p = arena_try(&a, 100);
	assert_non_null(arena_try(&a, 100000));
	arena_rewind(&a, m);
	assert_ptr_equal(arena_try(&a, 100), p);
}

static void utf8_accepts_exactly_the_well_formed_sequences(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		size_t len, valid;
	} rows[] = {
		{ "plain ascii, longer than eight", 30, 30 },
		{ "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 9, 9 },
		{ "ab\xc0\x80", 4, 2 },        /* overlong NUL */
		{ "\xe0\x80\xaf", 3, 0 },      /* overlong slash */
		{ "\xed\xa0\x80", 3, 0 },      /* surrogate */
		{ "\xf4\x90\x80\x80", 4, 0 },  /* above U+10FFFF */
		{ "\x80", 1, 0 },              /* lone continuation */
		{ "12345678\xe2\x82", 10, 8 }, /* cut short */
		{ "\xf5\x80\x80\x80", 4, 0 },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(utf8_valid_prefix(slice_of(rows[i].text, rows[i].len)),
				 rows[i].valid);
	for (uint32_t cp = 0; cp <= 0x10ffff; cp += 17) {
		if (cp >= 0xd800 && cp <= 0xdfff)
			continue;
		uint8_t out[4];
		uint32_t back = 0;
		size_t n = utf8_encode(cp, out);
		assert_int_equal(utf8_decode(slice_of(out, n), &back), n);
		assert_int_equal(back, cp);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(err_in_puts_the_context_before_the_cause),
		cmocka_unit_test(arena_serves_the_same_memory_after_a_reset),
		cmocka_unit_test(arena_rewind_gives_back_what_came_after_the_mark),
		cmocka_unit_test(utf8_accepts_exactly_the_well_formed_sequences),
	};
	return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
