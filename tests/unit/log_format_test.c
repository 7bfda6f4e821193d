/* Records, batches, headers, index entries: what is written is read again, what is changed is refused. */
#include "tests/test.h"

#include "base/crc32c.h"
#include "log/format.h"

#include <stdlib.h>
#include <string.h>

static const struct segment_header header = {
	.log_id = "0123456789abcde",
	.topic_id = "fedcba987654321",
	.partition = 7,
	.base_offset = 1000,
	.base_position = 123456789,
	.epoch = 0x1122334455667788,
	.durable = 900,
	.created_ms = 1700000000000,
};

static uint64_t rng = 1;

static uint64_t next_random(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng;
}

static int64_t random_time(void)
{
	static const int64_t edge[] = {
		0, 1, -1, 63, -64, 64, INT64_MAX, INT64_MIN, 1700000000000
	};
	uint64_t r = next_random();
	return r % 2 ? edge[r / 2 % ARRAY_LEN(edge)] : (int64_t)next_random();
}

static void a_record_is_read_as_it_was_written(void **state)
{
	(void)state;
	static uint8_t bytes[70000], out[300000];
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)next_random();
	for (int i = 0; i < 3000; i++) {
		static const size_t lengths[] = { 0, 1, 127, 128, 300, 16383, 16384, 70000 };
		struct log_record r = {
			.time_ms = random_time(),
			.has_key = next_random() % 2,
			.has_value = next_random() % 2,
			.headers = { bytes, lengths[next_random() % 8] },
		};
		if (r.has_key)
			r.key = slice_of(bytes, lengths[next_random() % 8]);
		if (r.has_value)
			r.value = slice_of(bytes, lengths[next_random() % 8]);
		int64_t base = random_time();
		uint8_t *end = record_encode(&r, base, out);
		assert_int_equal(end - out, record_size(&r, base));
		struct log_record back = { .offset = 0 };
		const uint8_t *at = out;
		assert_true(record_decode(&at, end, base, &back));
		assert_ptr_equal(at, end);
		assert_int_equal(back.time_ms, r.time_ms);
		assert_int_equal(back.has_key, r.has_key);
		assert_int_equal(back.has_value, r.has_value);
		assert_true(slice_eq(back.key, r.key));
		assert_true(slice_eq(back.value, r.value));
		assert_true(slice_eq(back.headers, r.headers));
		/* Cut anywhere it is malformed. */
		size_t cut = (size_t)next_random() % (size_t)(end - out);
		at = out;
		assert_false(record_decode(&at, out + cut, base, &back));
		assert_ptr_equal(at, out);
	}
}

static void a_malformed_record_is_refused(void **state)
{
	(void)state;
	static const struct {
		const char *bytes;
		size_t len;
	} bad[] = {
		{ "", 0 },             /* nothing */
		{ "\x10", 1 },         /* a flag of a later format */
		{ "\x02", 1 },         /* no length */
		{ "\x02\x05xxxx", 6 }, /* shorter than it says */
		{ "\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11 }, /* a length of 2^64 - 1 */
		{ "\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11 }, /* more than 64 bits */
		{ "\x02\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00", 12 }, /* eleven bytes */
		{ "\x03\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x01x",
		  13 }, /* a sum that overflows */
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		const uint8_t *at = (const uint8_t *)bad[i].bytes;
		struct log_record r;
		assert_false(record_decode(&at, at + bad[i].len, 0, &r));
	}
}

static void every_flipped_bit_of_a_header_is_found(void **state)
{
	(void)state;
	for (enum header_kind kind = HEADER_SEGMENT; kind <= HEADER_INDEX; kind++) {
		uint8_t bytes[HEADER_BLOCK_BYTES];
		struct segment_header back;
		memset(&back, 0, sizeof(back));
		header_encode(&header, kind, bytes);
		assert_int_equal(header_decode(bytes, kind, &back), 1);
		assert_memory_equal(&back, &header, sizeof(back));
		assert_int_equal(header_decode(bytes, !kind, &back), 0);
		for (size_t bit = 0; bit < sizeof(bytes) * 8; bit++) {
			bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
			assert_int_equal(header_decode(bytes, kind, &back), 0);
			bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
	}
}

static void a_batch_of_another_segment_never_validates(void **state)
{
	(void)state;
	uint32_t seed = header_seed(&header);
	uint8_t body[] = "some records....";
	struct batch b = { .kind = BATCH_DATA,
			   .base_offset = 1000,
			   .span = 1,
			   .count = 1,
			   .length = BATCH_HEADER_BYTES + 16,
			   .durable = 1000,
			   .body_crc = crc32c(seed, body, 16) },
		     back;
	uint8_t bytes[BATCH_HEADER_BYTES];
	batch_encode(&b, seed, bytes);
	assert_true(batch_decode(bytes, seed, &back));
	assert_true(batch_body_valid(&back, seed, body));
	for (int i = 0; i < 5; i++) {
		struct segment_header other = header;
		switch (i) {
		case 0: other.log_id[3]++; break;
		case 1: other.topic_id[15]++; break;
		case 2: other.partition++; break;
		case 3: other.base_offset++; break;
		case 4: other.epoch++; break;
		}
		assert_false(batch_decode(bytes, header_seed(&other), &back));
	}
	for (size_t bit = 0; bit < sizeof(bytes) * 8; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_false(batch_decode(bytes, seed, &back));
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

static void a_batch_that_makes_no_sense_is_refused(void **state)
{
	(void)state;
	static const struct batch bad[] = {
		{ .kind = BATCH_DATA, .length = 56, .count = 1, .span = 1 },
		{ .kind = BATCH_DATA, .length = 68, .count = 1, .span = 1 },
		{ .kind = BATCH_DATA, .length = 72, .count = 0, .span = 0 },
		{ .kind = BATCH_DATA, .length = 72, .count = 2, .span = 1 },
		{ .kind = BATCH_DATA, .length = BATCH_BYTES_MAX + 8, .count = 1, .span = 1 },
		{ .kind = BATCH_DATA,
		  .length = 72,
		  .count = 1,
		  .span = 1,
		  .base_offset = UINT64_MAX },
		{ .kind = BATCH_DATA,
		  .length = 72,
		  .count = 1,
		  .span = 1,
		  .base_offset = 5,
		  .durable = 6 },
		{ .kind = BATCH_SEAL, .length = 72 },
		{ .kind = BATCH_MARK, .length = 64, .span = 1 },
		{ .kind = BATCH_LOST, .length = 64, .count = 1, .span = 1 },
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		uint8_t bytes[BATCH_HEADER_BYTES];
		struct batch back;
		batch_encode(&bad[i], 5, bytes);
		assert_false(batch_decode(bytes, 5, &back));
	}
}

static void what_a_later_format_adds_is_named_as_such(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct batch b = { .kind = BATCH_DATA };
	assert_int_equal(batch_supported(&b, &e), 0);
	b.codec = 1;
	assert_int_equal(batch_supported(&b, &e), ERR_VERSION);
	b = (struct batch){ .kind = BATCH_DATA, .flags = 1 };
	assert_int_equal(batch_supported(&b, &e), ERR_VERSION);
	b = (struct batch){ .kind = BATCH_CONTROL };
	assert_int_equal(batch_supported(&b, &e), ERR_VERSION);
}

static void an_index_entry_carries_its_own_checksum(void **state)
{
	(void)state;
	struct index_entry x = { 4096, 77, -3, 70 }, back;
	uint8_t bytes[INDEX_ENTRY_BYTES];
	index_entry_encode(&x, 9, bytes);
	assert_true(index_entry_decode(bytes, 9, &back));
	assert_int_equal(back.byte, 4096);
	assert_int_equal(back.offset, 77);
	assert_int_equal(back.max_time_ms, -3);
	assert_int_equal(back.durable, 70);
	assert_false(index_entry_decode(bytes, 8, &back));
	for (size_t bit = 0; bit < sizeof(bytes) * 8; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_false(index_entry_decode(bytes, 9, &back));
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_is_read_as_it_was_written),
		cmocka_unit_test(a_malformed_record_is_refused),
		cmocka_unit_test(every_flipped_bit_of_a_header_is_found),
		cmocka_unit_test(a_batch_of_another_segment_never_validates),
		cmocka_unit_test(a_batch_that_makes_no_sense_is_refused),
		cmocka_unit_test(what_a_later_format_adds_is_named_as_such),
		cmocka_unit_test(an_index_entry_carries_its_own_checksum),
	};
	return cmocka_run_group_tests_name("log format", tests, NULL, NULL);
}
