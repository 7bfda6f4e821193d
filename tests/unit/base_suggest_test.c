#include "tests/test.h"

#include "base/suggest.h"

static const char *const names[] = { "$eq",    "$elemMatch", "$exists", "$gt",   "$gte",
				     "$regex", "$size",      "$type",   "$topN", NULL };

static void a_misspelt_word_finds_its_name(void **state)
{
	(void)state;
	static const struct {
		const char *word, *name;
	} rows[] = {
		{ "$exsits", "$exists" },
		{ "$ELEMMATCH", "$elemMatch" },
		{ "$elemmatch", "$elemMatch" },
		{ "$sise", "$size" },
		{ "$regexp", "$regex" },
		{ "$tpye", "$type" },
		{ "$elmMtach", "$elemMatch" },
		{ "regex", "$regex" },
		{ "$gte", "$gte" },
		{ "$et", "$eq" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *got = suggest(rows[i].word, names);
		if (!got)
			fail_msg("%s found nothing", rows[i].word);
		assert_string_equal(got, rows[i].name);
	}
}

static void a_word_far_from_all_names_finds_nothing(void **state)
{
	(void)state;
	static const char *const words[] = { "", "$", "x", "$bogus", "$lookup", "$someThingElse" };
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		assert_null(suggest(words[i], names));
	char longer[4000];
	memset(longer, 'a', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	assert_null(suggest(longer, names));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_misspelt_word_finds_its_name),
		cmocka_unit_test(a_word_far_from_all_names_finds_nothing),
	};
	return cmocka_run_group_tests_name("base/suggest", tests, NULL, NULL);
}
