/* The calendar, clocks and time zones under the date expressions. */
#include "tests/test.h"

#include "doc/datetime.h"
#include "doc/timezone.h"
#include "os/tzfile.h"

static void days_and_dates_are_inverse(void **state)
{
	(void)state;
	for (int64_t day = -1000000; day < 1000000; day += 37) {
		struct datetime t;
		datetime_of_ms(day * MS_PER_DAY, &t);
		assert_int_equal(days_of_date(t.year, t.month, t.day), day);
		assert_true(t.day >= 1 && t.day <= days_in_month(t.year, t.month));
		struct isoweek w;
		isoweek_of(&t, &w);
		assert_int_equal(days_of_isoweek(w.year, w.week, w.weekday), day);
	}
}

static int64_t ms_of(const char *text)
{
	int64_t ms;
	struct err e = ERR_INIT;
	assert_ok(date_parse(slice_str(text), SLICE_NONE, NULL, &ms, &e), &e);
	return ms;
}

static struct timezone_ref zone(struct timezone_cache *cache, const char *name)
{
	struct timezone_ref z;
	struct err e = ERR_INIT;
	timezone_set_loader(tzfile_load);
	assert_ok(timezone_find(cache, slice_str(name), &z, &e), &e);
	return z;
}

static void clocks_change_where_the_database_says(void **state)
{
	struct timezone_cache cache = { 0 };
	struct timezone_ref paris = zone(&cache, "Europe/Paris"),
			    new_york = zone(&cache, "America/New_York");
	(void)state;
	assert_int_equal(timezone_offset_at(paris, ms_of("2024-03-31T00:59:59Z") / 1000), 3600);
	assert_int_equal(timezone_offset_at(paris, ms_of("2024-03-31T01:00:00Z") / 1000), 7200);
	assert_int_equal(timezone_offset_at(paris, ms_of("2024-10-27T01:00:00Z") / 1000), 3600);
	/* far in the future: the rule, not the table */
	assert_int_equal(timezone_offset_at(paris, ms_of("2150-07-01T00:00:00Z") / 1000), 7200);
	assert_int_equal(timezone_offset_at(new_york, ms_of("2150-01-01T00:00:00Z") / 1000),
			 -18000);
	/* a time that was skipped moves forward; one that comes twice is the first */
	assert_int_equal(utc_of_local(ms_of("2024-03-31T02:30:00Z"), paris),
			 ms_of("2024-03-31T01:30:00Z"));
	assert_int_equal(utc_of_local(ms_of("2024-10-27T02:30:00Z"), paris),
			 ms_of("2024-10-27T00:30:00Z"));
	/* back and forth */
	for (int64_t ms = ms_of("2023-01-01T00:00:00Z"); ms < ms_of("2025-01-01T00:00:00Z");
	     ms += 7 * MS_PER_HOUR) {
		int64_t local = local_of_utc(ms, new_york);
		int64_t again = utc_of_local(local, new_york);
		assert_int_equal(local_of_utc(again, new_york), local);
	}
	timezone_cache_done(&cache);
}

static void a_day_is_a_calendar_day_and_an_hour_is_an_hour(void **state)
{
	struct timezone_cache cache = { 0 };
	struct timezone_ref paris = zone(&cache, "Europe/Paris");
	int64_t noon = ms_of("2024-03-30T11:00:00Z"), got;
	(void)state;
	assert_true(date_add(noon, UNIT_DAY, 1, paris, &got));
	assert_int_equal(got, ms_of("2024-03-31T10:00:00Z"));
	assert_true(date_add(noon, UNIT_HOUR, 24, paris, &got));
	assert_int_equal(got, ms_of("2024-03-31T11:00:00Z"));
	assert_true(date_add(ms_of("2024-01-31T00:00:00Z"), UNIT_MONTH, 1, TIMEZONE_UTC, &got));
	assert_int_equal(got, ms_of("2024-02-29T00:00:00Z"));
	assert_false(date_add(noon, UNIT_YEAR, INT64_MAX, TIMEZONE_UTC, &got));
	assert_int_equal(date_diff(ms_of("2023-12-31T23:59:59Z"), ms_of("2024-01-01T00:00:00Z"),
				   UNIT_YEAR, TIMEZONE_UTC, 0),
			 1);
	assert_true(date_trunc(ms_of("2024-03-30T11:22:33Z"), UNIT_HOUR, 6, TIMEZONE_UTC, 0, &got));
	assert_int_equal(got, ms_of("2024-03-30T06:00:00Z"));
	timezone_cache_done(&cache);
}

static void truncating_never_goes_past_the_date_nor_back_a_whole_bin(void **state)
{
	static const int64_t unit_max_ms[] = { 366 * MS_PER_DAY, 92 * MS_PER_DAY, 31 * MS_PER_DAY,
					       7 * MS_PER_DAY,   MS_PER_DAY,      MS_PER_HOUR,
					       MS_PER_MINUTE,    MS_PER_SECOND,   1 };
	uint64_t r = 88172645463325252u;
	(void)state;
	for (int i = 0; i < 20000; i++) {
		r ^= r << 13;
		r ^= r >> 7;
		r ^= r << 17;
		int64_t ms = (int64_t)(r % 8000000000000) - 4000000000000, got, again;
		enum date_unit unit = (enum date_unit)(r >> 33) % 9;
		uint64_t bin = 1 + (r >> 40) % 20;
		int start = (int)((r >> 50) % 7);
		assert_true(date_trunc(ms, unit, bin, TIMEZONE_UTC, start, &got));
		assert_true(got <= ms);
		assert_true(ms - got < (int64_t)bin * unit_max_ms[unit]);
		assert_true(date_trunc(got, unit, bin, TIMEZONE_UTC, start, &again));
		assert_int_equal(again, got);
	}
}

static void unknown_zones_and_damaged_files_are_errors(void **state)
{
	static const char *const bad[] = {
		"Nowhere/City", "../../etc/passwd", "/etc/passwd", "+8", "+080", "", "+0860"
	};
	struct timezone_cache cache = { 0 };
	struct timezone_ref z;
	(void)state;
	timezone_set_loader(tzfile_load);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct err e = ERR_INIT;
		assert_int_equal(timezone_find(&cache, slice_str(bad[i]), &z, &e), ERR_INVALID);
		assert_int_equal(e.number, 40485);
	}
	timezone_cache_done(&cache);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(days_and_dates_are_inverse),
		cmocka_unit_test(clocks_change_where_the_database_says),
		cmocka_unit_test(a_day_is_a_calendar_day_and_an_hour_is_an_hour),
		cmocka_unit_test(truncating_never_goes_past_the_date_nor_back_a_whole_bin),
		cmocka_unit_test(unknown_zones_and_damaged_files_are_errors),
	};
	return cmocka_run_group_tests_name("doc/datetime", tests, NULL, NULL);
}
