/* Saves of checkpoints into a bucket, with the connection cut at every byte, either way; busy, moved and dead nodes.
 *
 * The rule: each vBucket has its old checkpoint or its new one; a save that says it is done is done; one that does not
 * say so is settled by the next; nobody is ever taken for another member; and another member is never overlooked. */
#include "tests/test.h"

#include "dcp/checkpoint.h"
#include "dcp/kv.h"
#include "os/env.h"
#include "os/env_sim.h"
#include "tests/fake/couchbase/fake.h"
#include "tests/seeds.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { FEW = 8, VBS = 1024 };

struct place {
	struct fake *fake;
	unsigned nodes;
	uint64_t round; /* where every vBucket stands */
	char seed[32];
	const char *seeds[1];
	struct scram_cache cache;
	struct conn_options conn;
	struct kv_options kv;
};

static void place_open(struct place *p, unsigned nodes, unsigned vbuckets)
{
	*p = (struct place){ .nodes = nodes,
			     .round = 1,
			     .fake = fake_start(&(struct fake_options){ .nodes = nodes,
									.vbuckets = vbuckets }) };
	assert_non_null(p->fake);
	(void)snprintf(p->seed, sizeof(p->seed), "127.0.0.1:%u", fake_kv_port(p->fake, 0));
	p->seeds[0] = p->seed;
	p->cache.mechanism = SASL_NONE;
	p->conn = (struct conn_options){ .env = env_posix(),
					 .user = "Administrator",
					 .password = "password",
					 .bucket = "default",
					 .cache = &p->cache,
					 .connect_timeout = PATIENCE,
					 .noop = PATIENCE };
	p->kv = (struct kv_options){
		.conn = &p->conn, .seeds = p->seeds, .n_seeds = 1, .timeout = PATIENCE
	};
}

static struct checkpoint_store *store_open(struct place *p)
{
	struct err e = ERR_INIT;
	struct checkpoint_store *s;
	assert_ok(checkpoint_couchbase_open(&p->kv, "grp", &s, &e), &e);
	return s;
}

static void fill(struct checkpoint *c, size_t n, uint64_t seqno)
{
	for (size_t vb = 0; vb < n; vb++)
		c[vb] = (struct checkpoint){ .vb = (uint16_t)vb,
					     .found = true,
					     .pos = { seqno, seqno, seqno, 77 },
					     .bucket_uuid = "u" };
}

static void load_all(struct checkpoint_store *s, struct checkpoint *c, size_t n)
{
	struct err e = ERR_INIT;
	for (size_t vb = 0; vb < n; vb++)
		c[vb] = (struct checkpoint){ .vb = (uint16_t)vb };
	assert_ok(checkpoint_load(s, c, n, &e), &e);
}

static struct checkpoint set[VBS], seen[VBS];

/* ---- cut at every byte ---- */

static uint64_t connections(struct place *p)
{
	struct fake_stats stats;
	fake_stats(p->fake, &stats);
	return stats.connections;
}

/* Versions that were written over are freed: a sweep makes millions. */
static void forget_versions(struct place *p, size_t n)
{
	for (size_t vb = 0; vb < n; vb++)
		fake_compact(p->fake, (unsigned)vb, 0);
}

/* One save of n vBuckets from `old` to `old + 1`, with each node's connection cut after so many bytes. False: the save
 * needed not so many. */
static bool cut_one(struct place *p, struct checkpoint_store *s, struct checkpoint_store *witness,
		    size_t n, enum fake_fault_kind kind, uint64_t bytes, uint64_t old)
{
	struct err e = ERR_INIT;
	fill(set, n, old + 1);
	fake_fault(p->fake,
		   &(struct fake_fault){ .kind = kind, .node = -1, .n = bytes, .count = 1 });
	uint64_t before = connections(p);
	int rc = checkpoint_save(s, set, n, &e);
	bool cut = connections(p) - before > p->nodes;
	fake_clear_faults(p->fake);
	if (rc < 0 && rc != ERR_NET)
		fail_msg("cut after %" PRIu64 " bytes: %s", bytes, e.msg);
	load_all(witness, seen, n);
	for (size_t vb = 0; vb < n; vb++) {
		uint64_t at = seen[vb].found ? seen[vb].pos.seqno : 0;
		if (at != old + 1 && (rc == 0 || at != old))
			fail_msg("cut after %" PRIu64 " bytes: vBucket %zu is at %" PRIu64
				 ", not %" PRIu64 " (the save said %d)",
				 bytes, vb, at, old + 1, rc);
	}
	if (rc < 0)
		assert_ok(checkpoint_save(s, set, n, &e), &e);
	return cut;
}

/* From a byte up to another, or to the last that a save needs; returns where it ended. */
static uint64_t sweep(struct place *p, size_t n, enum fake_fault_kind kind, uint64_t from,
		      uint64_t to)
{
	struct checkpoint_store *s = store_open(p), *witness = store_open(p);
	struct err e = ERR_INIT;
	uint64_t round = p->round;
	load_all(s, seen, n);
	fill(set, n, ++round);
	assert_ok(checkpoint_save(s, set, n, &e), &e);
	while (from < to && cut_one(p, s, witness, n, kind, from, round++))
		if (++from % 256 == 0)
			forget_versions(p, n);
	checkpoint_store_free(s);
	checkpoint_store_free(witness);
	p->round = round;
	return from;
}

enum { NODES = 8, CUT_SEEDS = 140, CUT_BLOCK = 256 };

/* About how many bytes a save has in either direction: of a few vBuckets, and of all for each of the nodes. */
static const struct {
	enum fake_fault_kind kind;
	uint64_t few, all;
} cuts[] = { { FAKE_CUT_NEXT, 6700, 16600 }, { FAKE_CUT_INPUT, 2300, 31000 } };

static void b4_a_save_of_a_few_cut_at_any_byte_is_settled(void **state)
{
	(void)state;
	struct place p;
	struct sim_rng rng = { 1 };
	place_open(&p, 1, FEW);
	for (size_t i = 0; i < ARRAY_LEN(cuts); i++) {
		if (test_count(0, 1))
			assert_in_range(sweep(&p, FEW, cuts[i].kind, 0, UINT64_MAX),
					cuts[i].few / 2, cuts[i].few * 2);
		for (long k = test_count(60, 0); k > 0; k--) {
			uint64_t at = sim_below(&rng, cuts[i].few);
			(void)sweep(&p, FEW, cuts[i].kind, at, at + 1);
		}
	}
	fake_stop(p.fake);
}

/* All 1,024, on eight nodes whose connections are cut at once. Each seed has its block of the bytes in the long form, the
 * last one nothing any more; it draws some in the short form. */
static void run_cuts(unsigned seed)
{
	struct place p;
	struct sim_rng rng = { seed };
	place_open(&p, NODES, VBS);
	for (size_t i = 0; i < ARRAY_LEN(cuts); i++) {
		uint64_t from = (uint64_t)(seed - 1) * CUT_BLOCK;
		if (test_count(0, 1)) {
			uint64_t end = sweep(&p, VBS, cuts[i].kind, from, from + CUT_BLOCK);
			assert_true(seed < CUT_SEEDS || end == from);
		}
		for (long k = test_count(3, 0); k > 0; k--) {
			from = sim_below(&rng, cuts[i].all);
			(void)sweep(&p, VBS, cuts[i].kind, from, from + 1);
		}
	}
	fake_stop(p.fake);
}

static const struct seeded seeded[] = { { "cuts", run_cuts }, { 0 } };

static void b4_a_save_of_all_cut_at_any_byte_is_settled(void **state)
{
	(void)state;
	seeds_run(&seeded[0], test_count(12, CUT_SEEDS));
}

/* With a store that has little time. */
static int save_patiently(struct checkpoint_store *s, size_t n)
{
	struct err e = ERR_INIT;
	int rc = ERR_TIMEOUT;
	for (int i = 0; i < 100 && (rc == ERR_TIMEOUT || rc == ERR_NET); i++)
		rc = checkpoint_save(s, set, n, &e);
	return rc;
}

static void load_patiently(struct checkpoint_store *s, size_t n)
{
	struct err e = ERR_INIT;
	int rc = ERR_TIMEOUT;
	for (int i = 0; i < 100 && rc < 0; i++) {
		for (size_t vb = 0; vb < n; vb++)
			seen[vb] = (struct checkpoint){ .vb = (uint16_t)vb };
		rc = checkpoint_load(s, seen, n, &e);
	}
	assert_ok(rc, &e);
}

/* The connection is lost, and before we are back another member has taken the vBucket over and written back just what we
 * had written: the same text, but not ours. */
static void b4_what_another_wrote_meanwhile_is_not_taken_for_ours(void **state)
{
	(void)state;
	struct place p;
	struct err e = ERR_INIT;
	unsigned settled = 0, lost = 0;
	place_open(&p, 1, FEW);
	struct checkpoint_store *other = store_open(&p);
	p.kv.timeout = 60 * NSEC_PER_MS;
	struct checkpoint_store *s = store_open(&p);
	load_patiently(s, 1);
	/* until there is nothing left to cut */
	for (uint64_t bytes = 1100, round = 1; bytes < 20000; bytes += 17, round++) {
		fill(set, 1, round);
		/* the answer is lost, and nobody can be reached for the rest of the time */
		fake_fault(p.fake, &(struct fake_fault){
					   .kind = FAKE_CUT_NEXT, .n = bytes, .count = 1000 });
		int rc = checkpoint_save(s, set, 1, &e);
		fake_clear_faults(p.fake);
		if (rc == 0)
			break;
		assert_true(rc == ERR_TIMEOUT || rc == ERR_NET);
		load_all(other, seen, 1);
		bool written = seen[0].found && seen[0].pos.seqno == round;
		lost++;
		if (round % 2 && seen[0].found) {
			assert_ok(checkpoint_save(other, seen, 1, &e), &e);
			assert_int_equal(save_patiently(s, 1), ERR_FENCED);
			load_patiently(s, 1);
		} else {
			settled += written;
			assert_int_equal(save_patiently(s, 1), 0);
		}
	}
	assert_true(lost > 10);
	assert_true(settled > 0);
	checkpoint_store_free(s);
	checkpoint_store_free(other);
	fake_stop(p.fake);
}

/* Every kind of refusal of a single request, for a moment and for good. */
static void b4_refusals_leave_old_or_new_and_are_typed(void **state)
{
	(void)state;
	static const struct {
		uint16_t status;
		int code; /* when it stays */
	} refusals[] = { { 0x86, ERR_TIMEOUT }, { 0x85, ERR_TIMEOUT }, { 0x82, ERR_TIMEOUT },
			 { 0x07, ERR_TIMEOUT }, { 0x24, ERR_AUTH },    { 0x84, ERR_NET },
			 { 0x88, ERR_NOTFOUND } };
	struct place p;
	struct err e = ERR_INIT;
	place_open(&p, 2, FEW);
	uint64_t round = 1;
	for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
		/* The little time that makes a refusal a timeout soon is too little for other answers of a busy machine. */
		p.kv.timeout = refusals[i].code == ERR_TIMEOUT ? 200 * NSEC_PER_MS : PATIENCE;
		struct checkpoint_store *s = store_open(&p);
		load_patiently(s, FEW);
		struct fake_fault f = { .kind = FAKE_STATUS,
					.node = -1,
					.vb = 3,
					.opcode = 0xd1,
					.status = refusals[i].status,
					.count = 1u << 20 };
		fill(set, FEW, ++round);
		fake_fault(p.fake, &f);
		int rc = checkpoint_save(s, set, FEW, &e);
		fake_clear_faults(p.fake);
		bool hit = rc < 0; /* only if some document lies in that vBucket */
		assert_true(!hit || rc == refusals[i].code);
		assert_int_equal(save_patiently(s, FEW), 0);
		load_patiently(s, FEW);
		for (unsigned vb = 0; vb < FEW; vb++)
			assert_int_equal(seen[vb].pos.seqno, round);
		checkpoint_store_free(s);
	}
	fake_stop(p.fake);
}

/* ---- damage ---- */

static void put_attribute(struct place *p, uint16_t vb, const char *text)
{
	struct err e = ERR_INIT;
	struct kv *kv;
	char key[64];
	(void)snprintf(key, sizeof(key), "_connector:cbgo:grp:checkpoint:%u", vb);
	struct kv_request r = { .op = KV_PUT_ATTRIBUTE,
				.key = slice_str(key),
				.path = SLICE_LIT("cbgo"),
				.value = slice_str(text),
				.cas = KV_CAS_ANY };
	assert_ok(kv_open(&p->kv, &kv, &e), &e);
	assert_ok(kv_run(kv, &r, 1, &e), &e);
	assert_int_equal(r.rc, 1);
	kv_free(kv);
}

static void b8_a_damaged_document_concerns_its_vbucket(void **state)
{
	(void)state;
	struct place p;
	struct err e = ERR_INIT;
	place_open(&p, 2, FEW);
	struct checkpoint_store *s = store_open(&p);
	load_all(s, seen, FEW);
	fill(set, FEW, 10);
	assert_ok(checkpoint_save(s, set, FEW, &e), &e);
	put_attribute(&p, 3, "{\"checkpoint\":{\"seqno\":\"x\"}}");
	put_attribute(&p, 5, "[]");
	load_all(s, seen, FEW);
	for (unsigned vb = 0; vb < FEW; vb++) {
		assert_int_equal(seen[vb].damaged, vb == 3 || vb == 5);
		assert_int_equal(seen[vb].found, vb != 3 && vb != 5);
	}
	/* one that begins anew writes over it, by its CAS */
	fill(set, FEW, 11);
	assert_ok(checkpoint_save(s, &set[3], 1, &e), &e);
	load_all(s, seen, FEW);
	assert_true(seen[3].found && seen[3].pos.seqno == 11 && seen[5].damaged);
	checkpoint_store_free(s);
	fake_stop(p.fake);
}

static void clearing_is_a_position_of_zero(void **state)
{
	(void)state;
	struct place p;
	struct err e = ERR_INIT;
	place_open(&p, 1, FEW);
	struct checkpoint_store *s = store_open(&p), *fresh = store_open(&p);
	load_all(s, seen, FEW);
	fill(set, FEW, 10);
	assert_ok(checkpoint_save(s, set, FEW, &e), &e);
	assert_ok(checkpoint_clear(fresh, &(uint16_t){ 3 }, 1, &e), &e);
	load_all(fresh, seen, FEW);
	assert_true(seen[3].pos.seqno == 0 && seen[4].pos.seqno == 10);
	checkpoint_store_free(s);
	checkpoint_store_free(fresh);
	fake_stop(p.fake);
}

/* ---- another collection ---- */

static void documents_may_lie_in_a_collection_of_their_own(void **state)
{
	(void)state;
	struct place p;
	struct err e = ERR_INIT;
	place_open(&p, 2, FEW);
	assert_true(fake_create_scope(p.fake, "meta"));
	assert_true(fake_create_collection(p.fake, "meta", "checkpoints"));
	struct checkpoint_store *plain = store_open(&p);
	p.kv.scope = "meta";
	p.kv.collection = "checkpoints";
	struct checkpoint_store *apart = store_open(&p);
	load_all(plain, seen, FEW);
	load_all(apart, seen, FEW);
	fill(set, FEW, 10);
	assert_ok(checkpoint_save(apart, set, FEW, &e), &e);
	load_all(plain, seen, FEW);
	for (unsigned vb = 0; vb < FEW; vb++)
		assert_false(seen[vb].found);
	load_all(apart, seen, FEW);
	for (unsigned vb = 0; vb < FEW; vb++)
		assert_true(seen[vb].found && seen[vb].pos.seqno == 10);
	checkpoint_store_free(plain);
	checkpoint_store_free(apart);
	p.kv.collection = "nowhere";
	apart = store_open(&p);
	assert_int_equal(checkpoint_load(apart, seen, FEW, &e), ERR_NOTFOUND);
	assert_non_null(strstr(e.msg, "meta.nowhere"));
	checkpoint_store_free(apart);
	fake_stop(p.fake);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return seeds_worker(argc, argv, seeded);
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(b4_a_save_of_a_few_cut_at_any_byte_is_settled),
		cmocka_unit_test(b4_a_save_of_all_cut_at_any_byte_is_settled),
		cmocka_unit_test(b4_what_another_wrote_meanwhile_is_not_taken_for_ours),
		cmocka_unit_test(b4_refusals_leave_old_or_new_and_are_typed),
		cmocka_unit_test(b8_a_damaged_document_concerns_its_vbucket),
		cmocka_unit_test(clearing_is_a_position_of_zero),
		cmocka_unit_test(documents_may_lie_in_a_collection_of_their_own),
	};
	return cmocka_run_group_tests_name("dcp/e2e store faults", tests, NULL, NULL);
}
