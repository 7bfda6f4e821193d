#include "tests/test.h"

#include "dcp/checkpoint.h"
#include "os/env_sim.h"

#include <string.h>

static struct checkpoint at(uint16_t vb, uint64_t seqno)
{
	return (struct checkpoint){ .vb = vb,
				    .found = true,
				    .pos = { seqno, seqno - 1, seqno + 1, 118764517772467 },
				    .bucket_uuid = "0123456789abcdef0123456789abcdef" };
}

static void go_dcps_document_is_understood(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct checkpoint c = { .vb = 5 };
	assert_ok(checkpoint_decode(SLICE_LIT(
					    "{\"checkpoint\":{\"snapshot\":{\"startSeqno\":4689,"
					    "\"endSeqno\":4697},"
					    "\"vbuuid\":118764517772467,\"seqno\":4697},"
					    "\"bucketUuid\":\"0123456789abcdef0123456789abcdef\"}"),
				    &c, &e),
		  &e);
	assert_true(c.found && c.vb == 5);
	assert_true(c.pos.seqno == 4697 && c.pos.snap_end == 4697 && c.pos.uuid == 118764517772467);
	assert_true(c.pos.snap_start == 4688); /* 4689 may be the first item */
	assert_string_equal(c.bucket_uuid, "0123456789abcdef0123456789abcdef");
}

static void go_dcps_faulty_snapshots_are_clamped(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct checkpoint c = { 0 };
	assert_ok(
		checkpoint_decode(
			SLICE_LIT(
				"{\"checkpoint\":{\"snapshot\":{\"startSeqno\":10,\"endSeqno\":20},"
				"\"vbuuid\":7,\"seqno\":30},\"bucketUuid\":\"\"}"),
			&c, &e),
		&e);
	assert_true(c.pos.seqno == 30 && c.pos.snap_start == 30 && c.pos.snap_end == 30);
}

static void numbers_keep_all_64_bits(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct checkpoint c = at(7, UINT64_MAX - 2), d = { .vb = 7 };
	c.pos.uuid = UINT64_MAX - 12345;
	c.points = (struct points){ .n = 3, .seqno = { 1, 1000, UINT64_MAX - 9 } };
	c.purge = (struct dcp_purge){ UINT64_MAX - 1, UINT64_MAX - 3, UINT64_MAX };
	AUTO(buf) struct buf text = BUF_INIT;
	checkpoint_encode(&c, &text);
	assert_ok(checkpoint_decode(buf_slice(&text), &d, &e), &e);
	assert_memory_equal(&c.pos, &d.pos, sizeof(c.pos));
	assert_int_equal(d.points.n, 3);
	assert_memory_equal(c.points.seqno, d.points.seqno, 3 * 8);
	assert_memory_equal(&c.purge, &d.purge, sizeof(c.purge));
	assert_string_equal(c.bucket_uuid, d.bucket_uuid);
}

#define OLD_DOCUMENT \
	"{\"checkpoint\":{\"snapshot\":{\"startSeqno\":4688,\"endSeqno\":4697}," \
	"\"vbuuid\":118764517772467,\"seqno\":4690}," \
	"\"bucketUuid\":\"0123456789abcdef0123456789abcdef\"," \
	"\"weir\":{\"points\":[1200,3100,4400,4688],"
#define THE_MARK "\"mark\":12870645921458725321,"

/* The document of docs/formats/dcp-checkpoint.md, without and with a purge. */
static void older_documents_know_of_no_purge_and_newer_ones_are_summed_with_it(void **state)
{
	(void)state;
	static const char
		older[] = OLD_DOCUMENT THE_MARK "\"sum\":906014159}}",
		newer[] = OLD_DOCUMENT
		"\"purge\":{\"seqno\":5000,\"from\":0,\"vbuuid\":118764517772467}," THE_MARK
		"\"sum\":2587121920}}",
		changed[] = OLD_DOCUMENT
		"\"purge\":{\"seqno\":5001,\"from\":0,\"vbuuid\":118764517772467}," THE_MARK
		"\"sum\":2587121920}}";
	struct err e = ERR_INIT;
	struct checkpoint c = { .vb = 7 };
	assert_ok(checkpoint_decode(slice_str(older), &c, &e), &e);
	assert_true(c.pos.seqno == 4690 && c.points.n == 4 && c.purge.uuid == 0);
	assert_ok(checkpoint_decode(slice_str(newer), &c, &e), &e);
	assert_true(c.purge.seqno == 5000 && c.purge.from == 0 && c.purge.uuid == c.pos.uuid);
	AUTO(buf) struct buf again = BUF_INIT;
	checkpoint_encode(&c, &again);
	assert_string_equal(buf_cstr(&again), newer);
	assert_int_equal(checkpoint_decode(slice_str(changed), &c, &e), ERR_CORRUPT);
}

#define WITH_PURGE(p) \
	"{\"checkpoint\":{\"snapshot\":{\"startSeqno\":1,\"endSeqno\":9},\"vbuuid\":1,\"seqno\":" \
	"9}," \
	"\"weir\":{\"points\":[],\"purge\":" p "}}"

static void damaged_documents_are_typed_errors(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct checkpoint c = at(7, 100);
	AUTO(buf) struct buf text = BUF_INIT;
	checkpoint_encode(&c, &text);
	for (size_t cut = 0; cut < text.len; cut++)
		assert_true(checkpoint_decode(slice_of(text.p, cut), &c, &e) < 0);
	static const char *const bad[] = {
		"{}",
		"[]",
		"{\"checkpoint\":3}",
		"{\"checkpoint\":{\"snapshot\":{\"startSeqno\":1,\"endSeqno\":2},\"vbuuid\":-1,"
		"\"seqno\":1}}",
		"{\"checkpoint\":{\"snapshot\":{\"startSeqno\":1,\"endSeqno\":2},\"vbuuid\":1,"
		"\"seqno\":1.5}}",
		"{\"checkpoint\":{\"snapshot\":{\"startSeqno\":1,\"endSeqno\":2},\"vbuuid\":1,"
		"\"seqno\":99999999999999999999999}}",
		"{\"checkpoint\":{\"snapshot\":{\"startSeqno\":1,\"endSeqno\":2},\"vbuuid\":1,"
		"\"seqno\":9},"
		"\"weir\":{\"points\":[]}}",
		"{\"checkpoint\":{\"snapshot\":{\"startSeqno\":1,\"endSeqno\":9},\"vbuuid\":1,"
		"\"seqno\":9},"
		"\"weir\":{\"points\":[5,4]}}",
		WITH_PURGE("3"),
		WITH_PURGE("{}"),
		WITH_PURGE("{\"seqno\":1,\"from\":0}"),
		WITH_PURGE("{\"seqno\":1,\"from\":0,\"vbuuid\":0}"),
		WITH_PURGE("{\"seqno\":-1,\"from\":0,\"vbuuid\":1}"),
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_true(checkpoint_decode(slice_str(bad[i]), &c, &e) < 0);
}

static struct checkpoint_store *open_store(struct env *env)
{
	struct err e = ERR_INIT;
	struct checkpoint_store *s;
	assert_ok(checkpoint_file_open(env, "cp.json", false, &s, &e), &e);
	return s;
}

static uint64_t seqno_of(struct checkpoint_store *s, uint16_t vb)
{
	struct checkpoint c = { .vb = vb };
	assert_int_equal(checkpoint_load(s, &c, 1, NULL), 0);
	return c.found ? c.pos.seqno : 0;
}

static void weakness_13_the_file_keeps_the_vbuckets_of_other_members(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct sim *sim = sim_new(NULL);
	struct checkpoint_store *s = open_store(sim_env(sim));
	struct checkpoint mine[] = { at(1, 11), at(2, 12) };
	assert_ok(checkpoint_save(s, mine, 2, &e), &e);
	checkpoint_store_free(s);
	s = open_store(sim_env(sim));
	struct checkpoint other = at(900, 99);
	assert_ok(checkpoint_save(s, &other, 1, &e), &e);
	checkpoint_store_free(s);
	s = open_store(sim_env(sim));
	assert_true(seqno_of(s, 1) == 11 && seqno_of(s, 2) == 12 && seqno_of(s, 900) == 99);
	assert_true(seqno_of(s, 3) == 0);
	struct checkpoint_store *second;
	assert_int_equal(checkpoint_file_open(sim_env(sim), "cp.json", false, &second, &e),
			 ERR_LOCKED);
	checkpoint_store_free(s);
	sim_free(sim);
}

static int check(struct checkpoint *c, const char *uuid, uint64_t high,
		 enum checkpoint_policy foreign, enum checkpoint_policy ahead, struct err *e)
{
	struct checkpoint_policies p = { .foreign = foreign, .ahead = ahead };
	return checkpoint_check(c, uuid, high, &p, e);
}

static void weakness_10_a_checkpoint_of_another_bucket_is_refused_or_dropped_as_told(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct checkpoint c = at(1, 11);
	assert_int_equal(check(&c, "other", UINT64_MAX, CHECKPOINT_FAIL, CHECKPOINT_FAIL, &e),
			 ERR_TOKEN_FOREIGN);
	assert_ok(check(&c, "other", UINT64_MAX, CHECKPOINT_IGNORE, CHECKPOINT_FAIL, &e), &e);
	assert_true(c.found && c.pos.seqno == 11);
	assert_ok(check(&c, "other", UINT64_MAX, CHECKPOINT_RESTART, CHECKPOINT_FAIL, &e), &e);
	assert_true(!c.found && c.pos.seqno == 0 && c.vb == 1);
}

static void b8_a_checkpoint_ahead_of_the_server_is_a_typed_error_with_choices(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct checkpoint c = at(1, 11);
	assert_ok(check(&c, c.bucket_uuid, 11, CHECKPOINT_FAIL, CHECKPOINT_FAIL, &e), &e);
	assert_int_equal(check(&c, c.bucket_uuid, 10, CHECKPOINT_FAIL, CHECKPOINT_FAIL, &e),
			 ERR_TOKEN_FUTURE);
	assert_true(e.newest == 10);
	assert_ok(check(&c, c.bucket_uuid, 10, CHECKPOINT_DEFAULT, CHECKPOINT_DEFAULT, &e), &e);
	assert_true(c.found && c.pos.seqno == 11); /* a failover may have lost what lies above */
	assert_ok(check(&c, c.bucket_uuid, 10, CHECKPOINT_FAIL, CHECKPOINT_IGNORE, &e), &e);
	assert_true(c.pos.seqno == 11);
	assert_ok(check(&c, c.bucket_uuid, 10, CHECKPOINT_FAIL, CHECKPOINT_RESTART, &e), &e);
	assert_false(c.found);
}

static void a_read_only_store_reads_but_never_writes(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct sim *sim = sim_new(NULL);
	struct checkpoint_store *s = open_store(sim_env(sim));
	struct checkpoint c = at(1, 11), later = at(1, 50);
	assert_ok(checkpoint_save(s, &c, 1, &e), &e);
	assert_ok(checkpoint_read_only(s, &s, &e), &e);
	assert_ok(checkpoint_save(s, &later, 1, &e), &e);
	assert_ok(checkpoint_clear(s, &c.vb, 1, &e), &e);
	assert_true(seqno_of(s, 1) == 11);
	checkpoint_store_free(s);
	assert_ok(checkpoint_none_open(&s, &e), &e);
	assert_ok(checkpoint_save(s, &later, 1, &e), &e);
	assert_true(seqno_of(s, 1) == 0);
	checkpoint_store_free(s);
	sim_free(sim);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(go_dcps_document_is_understood),
		cmocka_unit_test(go_dcps_faulty_snapshots_are_clamped),
		cmocka_unit_test(numbers_keep_all_64_bits),
		cmocka_unit_test(
			older_documents_know_of_no_purge_and_newer_ones_are_summed_with_it),
		cmocka_unit_test(damaged_documents_are_typed_errors),
		cmocka_unit_test(weakness_13_the_file_keeps_the_vbuckets_of_other_members),
		cmocka_unit_test(
			weakness_10_a_checkpoint_of_another_bucket_is_refused_or_dropped_as_told),
		cmocka_unit_test(b8_a_checkpoint_ahead_of_the_server_is_a_typed_error_with_choices),
		cmocka_unit_test(a_read_only_store_reads_but_never_writes),
	};
	return cmocka_run_group_tests_name("dcp/checkpoint", tests, NULL, NULL);
}
