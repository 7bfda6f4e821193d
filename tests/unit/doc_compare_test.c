#include "tests/test.h"

#include "doc/compare.h"

#include <math.h>

static void numbers_compare_exactly_across_types(void **state)
{
	(void)state;
	static const int64_t two53 = INT64_C(1) << 53;
	struct {
		struct value a, b;
		int expected;
	} rows[] = {
		{ value_int32(1), value_int64(1), 0 },
		{ value_int64(two53 + 1), value_double(0x1p53), 1 },
		{ value_int64(two53), value_double(0x1p53), 0 },
		{ value_int64(INT64_MAX), value_double(0x1p63), -1 },
		{ value_int64(INT64_MIN), value_double(-0x1p63), 0 },
		{ value_int64(-1), value_double(-1.5), 1 },
		{ value_int64(-2), value_double(-1.5), -1 },
		{ value_int32(0), value_double(-0.0), 0 },
		{ value_double(NAN), value_double(-INFINITY), -1 },
		{ value_double(NAN), value_double(-NAN), 0 },
		{ value_double(NAN), value_int64(INT64_MIN), -1 },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int c = value_compare(rows[i].a, rows[i].b);
		assert_int_equal((c > 0) - (c < 0), rows[i].expected);
		c = value_compare(rows[i].b, rows[i].a);
		assert_int_equal((c > 0) - (c < 0), -rows[i].expected);
		if (rows[i].expected == 0)
			assert_true(value_hash(rows[i].a, 7) == value_hash(rows[i].b, 7));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_compare_exactly_across_types),
	};
	return cmocka_run_group_tests_name("doc_compare", tests, NULL, NULL);
}
