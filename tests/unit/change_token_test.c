#include "tests/test.h"

#include "base/crc32c.h"
#include "change/token.h"

#include <stdio.h>
#include <string.h>

static const uint8_t log_a[16] = "a log's identity";
static const uint8_t log_b[16] = "another identity";

static const struct token sample = {
	.position = 123456789012345,
	.cluster_time = (uint64_t)1763765565 << 32 | 7,
	.check = 0x12345678,
	.kind = TOKEN_EVENT,
};

static void encode(const uint8_t log_id[16], const struct token *t, char text[TOKEN_TEXT + 1])
{
	struct token_key k;
	token_key_init(&k, log_id);
	token_encode(&k, t, text);
}

static int decode(const uint8_t log_id[16], const char *text, struct token *out, struct err *e)
{
	struct token_key k;
	token_key_init(&k, log_id);
	return token_decode(&k, slice_str(text), out, e);
}

/* The vectors of the algorithm's authors: key 00..0f, messages of 0, 1 and 15 bytes 00, 01, 02, ... */
static void siphash_gives_the_published_values(void **state)
{
	(void)state;
	uint8_t bytes[16];
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	struct siphash_key k = siphash_key(bytes);
	assert_true(siphash(k, bytes, 0) == UINT64_C(0x726fdb47dd0e0e31));
	assert_true(siphash(k, bytes, 1) == UINT64_C(0x74f839c593dc67fd));
	assert_true(siphash(k, bytes, 15) == UINT64_C(0xa129ca6149be45e5));
}

static void token_survives_the_way_through_text(void **state)
{
	(void)state;
	static const struct token tokens[] = {
		{ .position = 0, .kind = TOKEN_MARK },
		{ .position = 1, .cluster_time = 1, .kind = TOKEN_EVENT },
		{ .position = UINT64_MAX,
		  .cluster_time = UINT64_MAX,
		  .kind = TOKEN_INVALIDATE,
		  .fragment = 65535 },
	};
	for (size_t i = 0; i < ARRAY_LEN(tokens); i++) {
		char text[TOKEN_TEXT + 1];
		struct err e = ERR_INIT;
		struct token back;
		encode(log_a, &tokens[i], text);
		assert_int_equal(strlen(text), TOKEN_TEXT);
		assert_ok(decode(log_a, text, &back, &e), &e);
		assert_true(back.position == tokens[i].position);
		assert_true(back.cluster_time == tokens[i].cluster_time);
		assert_int_equal(back.check, tokens[i].check);
		assert_int_equal(back.kind, tokens[i].kind);
		assert_int_equal(back.fragment, tokens[i].fragment);
	}
}

static void tokens_sort_as_text_in_the_order_of_the_stream(void **state)
{
	(void)state;
	static const struct token order[] = {
		{ .position = 0, .kind = TOKEN_MARK },
		{ .position = 0, .kind = TOKEN_EVENT, .cluster_time = 99 },
		{ .position = 1, .kind = TOKEN_MARK, .cluster_time = 99 },
		{ .position = 1, .kind = TOKEN_EVENT, .cluster_time = 5 },
		{ .position = 1, .kind = TOKEN_EVENT, .fragment = 1 },
		{ .position = 1, .kind = TOKEN_INVALIDATE },
		{ .position = 255, .kind = TOKEN_EVENT },
		{ .position = 256, .kind = TOKEN_MARK },
		{ .position = UINT64_C(1) << 40, .kind = TOKEN_MARK },
	};
	char before[TOKEN_TEXT + 1], text[TOKEN_TEXT + 1];
	encode(log_a, &order[0], before);
	for (size_t i = 1; i < ARRAY_LEN(order); i++) {
		encode(log_a, &order[i], text);
		assert_true(strcmp(before, text) < 0);
		memcpy(before, text, sizeof(before));
	}
}

static void token_cut_anywhere_is_reported_as_damaged(void **state)
{
	(void)state;
	char whole[TOKEN_TEXT + 1];
	encode(log_a, &sample, whole);
	for (size_t n = 0; n < TOKEN_TEXT; n++) {
		char text[TOKEN_TEXT + 1];
		struct err e = ERR_INIT;
		struct token out;
		memcpy(text, whole, n);
		text[n] = '\0';
		assert_int_equal(decode(log_a, text, &out, &e), ERR_TOKEN_CORRUPT);
		assert_int_equal(e.number, 260);
	}
}

static void token_with_any_bit_flipped_is_reported_as_damaged(void **state)
{
	(void)state;
	char whole[TOKEN_TEXT + 1];
	encode(log_a, &sample, whole);
	for (size_t bit = 0; bit < TOKEN_TEXT * 8; bit++) {
		char text[TOKEN_TEXT + 1];
		struct token out;
		struct token_key k;
		token_key_init(&k, log_a);
		memcpy(text, whole, sizeof(text));
		text[bit / 8] = (char)(text[bit / 8] ^ 1 << bit % 8);
		assert_int_equal(token_decode(&k, slice_of(text, TOKEN_TEXT), &out, NULL),
				 ERR_TOKEN_CORRUPT);
	}
	/* The same one level deeper: flips of the bytes that the digits stand for. */
	static const char digits[] = "0123456789ABCDEF";
	for (size_t bit = 0; bit < TOKEN_BYTES * 8; bit++) {
		char text[TOKEN_TEXT + 1];
		struct token out;
		memcpy(text, whole, sizeof(text));
		char *digit = &text[bit / 4];
		size_t v = (size_t)(strchr(digits, *digit) - digits);
		*digit = digits[v ^ (size_t)1 << bit % 4];
		assert_int_equal(decode(log_a, text, &out, NULL), ERR_TOKEN_CORRUPT);
	}
}

static void token_of_another_log_is_foreign_and_says_whose(void **state)
{
	(void)state;
	char text[TOKEN_TEXT + 1];
	struct err e = ERR_INIT;
	struct token out;
	encode(log_b, &sample, text);
	assert_int_equal(decode(log_a, text, &out, &e), ERR_TOKEN_FOREIGN);
	assert_non_null(strstr(e.msg, "belongs to log"));
}

/* Writes bytes[len - 12 ..] anew so that only the signature (if that) is wrong. */
static void with_fresh_checksum(const uint8_t *body, size_t crc_at, char *text)
{
	uint8_t b[64] = { 0 };
	memcpy(b, body, crc_at);
	put_be32(b + crc_at, crc32c(0, b, crc_at));
	for (size_t i = 0; i < crc_at + 12; i++)
		sprintf(text + 2 * i, "%02X", b[i]);
}

static void token_made_up_with_a_right_checksum_fails_its_signature(void **state)
{
	(void)state;
	char whole[TOKEN_TEXT + 1], text[TOKEN_TEXT + 1];
	uint8_t body[32];
	struct err e = ERR_INIT;
	struct token out;
	encode(log_a, &sample, whole);
	for (size_t i = 0; i < sizeof(body); i++) {
		unsigned v;
		sscanf(whole + 2 * i, "%2X", &v);
		body[i] = (uint8_t)v;
	}
	put_be64(body + 1, sample.position + 1);
	with_fresh_checksum(body, sizeof(body), text);
	assert_int_equal(decode(log_a, text, &out, &e), ERR_TOKEN_CORRUPT);
	assert_non_null(strstr(e.msg, "not made by this log"));
}

static void token_of_a_newer_format_says_so(void **state)
{
	(void)state;
	char text[2 * 64 + 1];
	uint8_t body[52] = { 2, 1, 2, 3 };
	struct err e = ERR_INIT;
	struct token out;
	with_fresh_checksum(body, 32, text);
	assert_int_equal(decode(log_a, text, &out, &e), ERR_VERSION);
	with_fresh_checksum(body, 52, text);
	assert_int_equal(decode(log_a, text, &out, &e), ERR_VERSION);
	assert_non_null(strstr(e.msg, "format 2"));
}

static void text_that_is_no_token_is_refused_whatever_its_length(void **state)
{
	(void)state;
	static const char *const texts[] = {
		"", " ", "0", "00", "zz", "{}", "not a token", "0x01"
	};
	struct token out;
	struct token_key k;
	token_key_init(&k, log_a);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		assert_int_equal(decode(log_a, texts[i], &out, NULL), ERR_TOKEN_CORRUPT);
	static char million[1000000];
	memset(million, 'A', sizeof(million));
	assert_int_equal(token_decode(&k, slice_of(million, sizeof(million)), &out, NULL),
			 ERR_TOKEN_CORRUPT);
	char lower[TOKEN_TEXT + 1];
	encode(log_a, &sample, lower);
	for (char *c = lower; *c; c++)
		if (*c >= 'A' && *c <= 'F')
			*c = (char)(*c + 32);
	assert_int_equal(decode(log_a, lower, &out, NULL), ERR_TOKEN_CORRUPT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(siphash_gives_the_published_values),
		cmocka_unit_test(token_survives_the_way_through_text),
		cmocka_unit_test(tokens_sort_as_text_in_the_order_of_the_stream),
		cmocka_unit_test(token_cut_anywhere_is_reported_as_damaged),
		cmocka_unit_test(token_with_any_bit_flipped_is_reported_as_damaged),
		cmocka_unit_test(token_of_another_log_is_foreign_and_says_whose),
		cmocka_unit_test(token_made_up_with_a_right_checksum_fails_its_signature),
		cmocka_unit_test(token_of_a_newer_format_says_so),
		cmocka_unit_test(text_that_is_no_token_is_refused_whatever_its_length),
	};
	return cmocka_run_group_tests_name("change/token", tests, NULL, NULL);
}
