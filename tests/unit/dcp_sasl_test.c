#include "tests/test.h"

#include "dcp/sasl.h"

#include <string.h>

static void scram_sha256_gives_the_proof_that_a_real_server_took(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct scram_cache cache = { .mechanism = SASL_NONE };
	for (int round = 0; round < 2; round++) { /* the second one from the cache */
		struct sasl s;
		AUTO(buf) struct buf out = BUF_INIT;
		assert_ok(sasl_start(&s, SASL_SCRAM_SHA256, SLICE_LIT("user"), SLICE_LIT("123456"),
				     SLICE_LIT("0123456789abcdef"), &cache, &out, &e),
			  &e);
		assert_string_equal(buf_cstr(&out), "n,,n=user,r=0123456789abcdef");
		buf_reset(&out);
		assert_ok(sasl_step(&s,
				    SLICE_LIT(
					    "r=0123456789abcdef5bd23b7072090977,"
					    "s=qkuqDVsIla1Z481SMdnlPc9AqsgQ5I3A/o//xcj6JWs=,i=10"),
				    &out, &e),
			  &e);
		assert_string_equal(buf_cstr(&out),
				    "c=biws,r=0123456789abcdef5bd23b7072090977,"
				    "p=N4Nj2rR8IthUPvaKy/CZMrutxTjP9rxwPJSa/ANmW90=");
		assert_ok(sasl_finish(&s,
				      SLICE_LIT("v=pe6HQqKcvhkuqiOZRWO35tp56+F/YxEYtLe9/+8RKqY="),
				      &e),
			  &e);
		assert_int_equal(
			sasl_finish(&s, SLICE_LIT("v=qe6HQqKcvhkuqiOZRWO35tp56+F/YxEYtLe9/+8RKqY="),
				    &e),
			ERR_AUTH);
		assert_int_equal(sasl_finish(&s, SLICE_LIT(""), &e), ERR_AUTH);
		sasl_done(&s);
	}
	assert_int_equal(cache.iterations, 10);
}

/* RFC 5802, section 5 */
static void scram_sha1_gives_the_proof_of_the_rfc(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct sasl s;
	AUTO(buf) struct buf out = BUF_INIT;
	assert_ok(sasl_start(&s, SASL_SCRAM_SHA1, SLICE_LIT("user"), SLICE_LIT("pencil"),
			     SLICE_LIT("fyko+d2lbbFgONRv9qkxdawL"), NULL, &out, &e),
		  &e);
	buf_reset(&out);
	assert_ok(sasl_step(&s,
			    SLICE_LIT("r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,"
				      "s=QSXCR+Q6sek8bf92,i=4096"),
			    &out, &e),
		  &e);
	assert_string_equal(buf_cstr(&out), "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,"
					    "p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=");
	assert_ok(sasl_finish(&s, SLICE_LIT("v=rmF9pqV8S7suAoZWja4dJRkFsKQ="), &e), &e);
	assert_int_equal(sasl_step(&s, SLICE_LIT("r=a,s=b,i=1"), &out, &e), ERR_PROTOCOL);
	sasl_done(&s);
}

static void plain_has_an_empty_authorization_and_needs_leave(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct sasl s;
	AUTO(buf) struct buf out = BUF_INIT;
	assert_ok(sasl_start(&s, SASL_PLAIN, SLICE_LIT("u"), SLICE_LIT("pw"), SLICE_NONE, NULL,
			     &out, &e),
		  &e);
	assert_int_equal(out.len, 5);
	assert_memory_equal(out.p, "\0u\0pw", 5);
	assert_ok(sasl_finish(&s, SLICE_NONE, &e), &e);
	sasl_done(&s);
	struct slice all = SLICE_LIT("SCRAM-SHA512 SCRAM-SHA256 SCRAM-SHA1 PLAIN");
	assert_int_equal(sasl_choose(all, true), SASL_SCRAM_SHA512);
	assert_int_equal(sasl_choose(SLICE_LIT("PLAIN SCRAM-SHA1"), true), SASL_SCRAM_SHA1);
	assert_int_equal(sasl_choose(SLICE_LIT("PLAIN"), true), SASL_PLAIN);
	assert_int_equal(sasl_choose(SLICE_LIT("PLAIN OAUTHBEARER"), false), SASL_NONE);
	assert_int_equal(sasl_choose(SLICE_LIT(""), true), SASL_NONE);
}

static void hostile_challenges_are_refused(void **state)
{
	(void)state;
	static const struct {
		const char *data;
		int code;
	} rows[] = {
		{ "", ERR_PROTOCOL },
		{ "r=other5bd2,s=QSXCR+Q6sek8bf92,i=4096", ERR_AUTH },
		{ "r=abc,s=QSXCR+Q6sek8bf92,i=4096", ERR_AUTH }, /* adds nothing of its own */
		{ "r=abcd,s=QSXCR+Q6sek8bf92,i=0", ERR_PROTOCOL },
		{ "r=abcd,s=QSXCR+Q6sek8bf92,i=99999999999999999999999", ERR_PROTOCOL },
		{ "r=abcd,s=QSXCR+Q6sek8bf92,i=-4", ERR_PROTOCOL },
		{ "r=abcd,s=QSX,i=10", ERR_PROTOCOL },
		{ "r=abcd,s=,i=10", ERR_PROTOCOL },
		{ "r=abcd,s=!!!!,i=10", ERR_PROTOCOL },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = ERR_INIT;
		struct sasl s;
		AUTO(buf) struct buf out = BUF_INIT;
		assert_ok(sasl_start(&s, SASL_SCRAM_SHA512, SLICE_LIT("a=b,c"), SLICE_LIT("p"),
				     SLICE_LIT("abc"), NULL, &out, &e),
			  &e);
		assert_string_equal(buf_cstr(&out), "n,,n=a=3Db=2Cc,r=abc");
		assert_int_equal(sasl_step(&s, slice_str(rows[i].data), &out, &e), rows[i].code);
		sasl_done(&s);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(scram_sha256_gives_the_proof_that_a_real_server_took),
		cmocka_unit_test(scram_sha1_gives_the_proof_of_the_rfc),
		cmocka_unit_test(plain_has_an_empty_authorization_and_needs_leave),
		cmocka_unit_test(hostile_challenges_are_refused),
	};
	return cmocka_run_group_tests_name("dcp/sasl", tests, NULL, NULL);
}
