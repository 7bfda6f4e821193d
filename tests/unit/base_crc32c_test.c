#include "tests/test.h"

#include "base/crc32c.h"

#include <string.h>

static void crc32c_gives_the_published_check_value(void **state)
{
	(void)state;
	assert_int_equal(crc32c(0, "123456789", 9), 0xE3069283);
	assert_int_equal(crc32c_table(0, "123456789", 9), 0xE3069283);
}

static void crc32c_agrees_with_the_table_at_every_length_and_chains(void **state)
{
	(void)state;
	static uint8_t data[4096];
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 131 + (i >> 7));
	for (size_t n = 0; n < sizeof(data); n += n < 64 ? 1 : 61) {
		uint32_t whole = crc32c_table(0, data, n);
		assert_int_equal(crc32c(0, data, n), whole);
		size_t half = n / 3;
		assert_int_equal(crc32c(crc32c(0, data, half), data + half, n - half), whole);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(crc32c_gives_the_published_check_value),
		cmocka_unit_test(crc32c_agrees_with_the_table_at_every_length_and_chains),
	};
	return cmocka_run_group_tests_name("base/crc32c", tests, NULL, NULL);
}
