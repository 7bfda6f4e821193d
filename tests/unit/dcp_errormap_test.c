#include "tests/test.h"

#include "dcp/errormap.h"
#include "dcp/wire.h"

static const char map[] =
	"{\"version\":2,\"revision\":4,\"errors\":{"
	"\"4\":{\"name\":\"EINVAL\",\"desc\":\"\",\"attrs\":[\"internal\",\"conn-state-"
	"invalidated\"]},"
	"\"86\":{\"name\":\"ETMPFAIL\",\"desc\":\"\",\"attrs\":[\"conn-state-invalidated\"]},"
	"\"d1\":{\"name\":\"A\",\"desc\":\"\",\"attrs\":[\"temp\",\"made-up\"]},"
	"\"D2\":{\"name\":\"B\",\"desc\":\"\",\"attrs\":[\"retry-now\"]},"
	"\"d3\":{\"name\":\"C\",\"desc\":\"\",\"attrs\":[\"conn-state-invalidated\",\"retry-"
	"later\"]},"
	"\"d4\":{\"name\":\"D\",\"desc\":\"\",\"attrs\":[\"auth\"]},"
	"\"d5\":{\"name\":\"E\",\"desc\":\"\",\"attrs\":[\"fetch-config\",\"invalid-input\"]},"
	"\"d6\":{\"name\":\"F\",\"desc\":\"\",\"attrs\":[\"item-only\"]},"
	"\"d7\":{\"name\":\"G\",\"desc\":\"\",\"attrs\":[\"rate-limit\"]},"
	"\"d8\":{\"name\":\"H\",\"desc\":\"\",\"attrs\":[\"support\"]},"
	"\"d9\":{\"name\":\"I\"},"
	"\"1fff\":{\"name\":\"J\",\"attrs\":[\"retry-later\"]}}}";

static struct error_map *parsed(void)
{
	struct err e = ERR_INIT;
	struct error_map *m;
	assert_ok(error_map_parse(slice_str(map), &m, &e), &e);
	return m;
}

static void attributes_are_read_and_unknown_ones_passed_over(void **state)
{
	(void)state;
	struct error_map *m = parsed();
	assert_int_equal(error_map_attrs(m, 0xd1), ERROR_RETRY_LATER);
	assert_int_equal(error_map_attrs(m, 0xd3), ERROR_CONN_STATE | ERROR_RETRY_LATER);
	assert_int_equal(error_map_attrs(m, 0xd5), ERROR_FETCH_CONFIG | ERROR_INVALID_INPUT);
	assert_int_equal(error_map_attrs(m, 0xd8), 0);
	assert_int_equal(error_map_attrs(m, 0xd9), 0);
	assert_int_equal(error_map_attrs(m, 0x1fff), ERROR_RETRY_LATER);
	assert_int_equal(error_map_attrs(m, 0x77), 0);
	assert_int_equal(error_map_attrs(NULL, 0xd1), 0);
	error_map_free(m);
}

static void the_map_decides_about_unknown_statuses_only(void **state)
{
	(void)state;
	static const struct {
		uint16_t status;
		enum reaction with, without; /* the map */
	} rows[] = {
		{ 0xd1, REACT_RETRY_LATER, REACT_RETRY_LATER },
		{ 0xd2, REACT_RETRY_NOW, REACT_RETRY_LATER },
		{ 0xd3, REACT_RECONNECT, REACT_RETRY_LATER },
		{ 0xd4, REACT_RECONNECT, REACT_RETRY_LATER },
		{ 0xd5, REACT_FETCH_MAP, REACT_RETRY_LATER },
		{ 0xd6, REACT_REFUSED, REACT_RETRY_LATER },
		{ 0xd7, REACT_RETRY_LATER, REACT_RETRY_LATER },
		{ 0xd8, REACT_RETRY_LATER, REACT_RETRY_LATER },
		{ 0x77, REACT_RETRY_LATER, REACT_RETRY_LATER },
		/* the protocol's own, whatever the map says */
		{ STATUS_EINVAL, REACT_RETRY_LATER, REACT_RETRY_LATER },
		{ STATUS_ETMPFAIL, REACT_RETRY_LATER, REACT_RETRY_LATER },
		{ STATUS_EBUSY, REACT_RETRY_LATER, REACT_RETRY_LATER },
		{ STATUS_WOULD_THROTTLE, REACT_RETRY_LATER, REACT_RETRY_LATER },
		{ STATUS_AUTH_STALE, REACT_RECONNECT, REACT_RECONNECT },
		{ STATUS_NOT_MY_VBUCKET, REACT_FETCH_MAP, REACT_FETCH_MAP },
		{ STATUS_CONFIG_ONLY, REACT_FETCH_MAP, REACT_FETCH_MAP },
	};
	struct error_map *m = parsed();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (error_reaction(m, rows[i].status) != rows[i].with ||
		    error_reaction(NULL, rows[i].status) != rows[i].without)
			fail_msg("status 0x%02x: %d with the map, %d without", rows[i].status,
				 error_reaction(m, rows[i].status),
				 error_reaction(NULL, rows[i].status));
	}
	error_map_free(m);
}

static void hostile_maps_are_refused(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"",
		"{",
		"[]",
		"{\"errors\":[]}",
		"{\"version\":2}",
		"{\"errors\":{\"\":{}}}",
		"{\"errors\":{\"0x1\":{}}}",
		"{\"errors\":{\"12345\":{}}}",
		"{\"errors\":{\"1g\":{}}}",
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct err e = ERR_INIT;
		struct error_map *m = NULL;
		if (error_map_parse(slice_str(bad[i]), &m, &e) >= 0 || !e.code)
			fail_msg("%s was taken", bad[i]);
	}
	/* parts of the wrong type are no reason to lose the rest */
	static const char odd[] = "{\"errors\":{\"d1\":7,\"d2\":{\"attrs\":\"temp\"},"
				  "\"d3\":{\"attrs\":[1,null,\"temp\"]}}}";
	struct err e = ERR_INIT;
	struct error_map *m;
	assert_ok(error_map_parse(slice_str(odd), &m, &e), &e);
	assert_int_equal(error_map_attrs(m, 0xd1) | error_map_attrs(m, 0xd2), 0);
	assert_int_equal(error_map_attrs(m, 0xd3), ERROR_RETRY_LATER);
	error_map_free(m);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(attributes_are_read_and_unknown_ones_passed_over),
		cmocka_unit_test(the_map_decides_about_unknown_statuses_only),
		cmocka_unit_test(hostile_maps_are_refused),
	};
	return cmocka_run_group_tests_name("dcp/errormap", tests, NULL, NULL);
}
