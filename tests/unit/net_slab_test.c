#include "tests/test.h"

#include "net/slab.h"

enum { BYTES = 4096, KEEP = 2 };

static void a_slab_lives_until_its_last_reference_is_gone(void **state)
{
	(void)state;
	struct slab_pool pool;
	slab_pool_init(&pool, BYTES, KEEP);
	struct slab *s = slab_get(&pool, 10);
	assert_non_null(s);
	assert_int_equal(s->cap, BYTES);
	assert_false(slab_shared(s));
	assert_true(slab_has(s, s->p) && slab_has(s, s->p + BYTES - 1));
	assert_false(slab_has(s, s->p + BYTES) || slab_has(s, s->p - 1));
	(void)slab_ref(s);
	assert_true(slab_shared(s));
	memset(s->p, 7, BYTES);
	slab_unref(s);
	assert_false(slab_shared(s));
	assert_int_equal(s->p[BYTES - 1], 7);
	assert_int_equal(pool.n_free, 0);
	slab_unref(s);
	assert_int_equal(pool.n_free, 1);
	assert_ptr_equal(slab_get(&pool, BYTES), s); /* the same memory again */
	slab_unref(s);
	slab_pool_done(&pool);
}

static void a_pool_keeps_a_few_of_its_own_size_and_no_others(void **state)
{
	(void)state;
	struct slab_pool pool;
	struct slab *s[KEEP + 2];
	slab_pool_init(&pool, BYTES, KEEP);
	for (unsigned i = 0; i < ARRAY_LEN(s); i++)
		s[i] = slab_get(&pool, BYTES);
	struct slab *big = slab_get(&pool, 10 * BYTES);
	assert_int_equal(big->cap, 10 * BYTES);
	assert_int_equal(pool.bytes, (KEEP + 2 + 10) * BYTES);
	slab_unref(big);
	for (unsigned i = 0; i < ARRAY_LEN(s); i++)
		slab_unref(s[i]);
	assert_int_equal(pool.n_free, KEEP);
	assert_int_equal(pool.bytes, KEEP * BYTES);
	slab_unref(NULL);
	slab_pool_done(&pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_slab_lives_until_its_last_reference_is_gone),
		cmocka_unit_test(a_pool_keeps_a_few_of_its_own_size_and_no_others),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
