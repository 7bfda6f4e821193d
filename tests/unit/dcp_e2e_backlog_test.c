/* What waits for a consumer: in order, whole, small, and left out when it is called back. */
#include "tests/dcp_world.h"

#include "base/mem.h"

#include <stdatomic.h>

enum { KEYS_MAX = 64 };

struct look {
	uint64_t received;
};

static void take_received(void *arg, const struct dcp_vbucket_status *v)
{
	((struct look *)arg)->received += v->received.seqno;
}

/* Until as many seqnos were received as there are. */
static void until_received(struct world *w, uint64_t seqnos)
{
	nsec deadline = now() + PATIENCE;
	struct look l;
	do {
		l.received = 0;
		assert_int_equal(dcp_source_status(w->source, NULL, take_received, &l), 0);
	} while (l.received < seqnos && now() < deadline);
	assert_true(l.received == seqnos);
}

static struct dcp_batch poll_some(struct world *w)
{
	struct err e = ERR_INIT;
	struct dcp_batch b;
	assert_int_equal(dcp_source_poll(w->source, &b, PATIENCE, &e), 1);
	return b;
}

static void what_is_queued_behind_a_nack_is_left_out_and_comes_again(void **state)
{
	(void)state;
	enum { DOCS = 1500, ACKED = 100 };
	struct world *w = world_new(&(struct fake_options){ .vbuckets = 1 });
	for (unsigned i = 0; i < DOCS; i++) {
		char key[16];
		(void)snprintf(key, sizeof(key), "k%u", i);
		(void)fake_set(w->fake, 0, 0, key, SLICE_LIT("{}"));
	}
	world_open(w);
	struct dcp_batch b = poll_some(w);
	assert_true(b.n > ACKED && b.n < DOCS);
	until_received(w, DOCS); /* the rest is queued */
	assert_int_equal(dcp_source_ack_batch(w->source, b.ev, ACKED), 0);
	dcp_source_nack(w->source, 0, 0);
	until_received(w, DOCS); /* twice asked: the nack is taken before the second answer */
	until_received(w, DOCS);
	for (uint64_t seqno = ACKED + 1; seqno <= DOCS;) {
		b = poll_some(w);
		for (size_t i = 0; i < b.n; i++)
			assert_true(b.ev[i].pos.seqno == seqno++);
		assert_int_equal(dcp_source_ack_batch(w->source, b.ev, b.n), 0);
	}
	assert_int_equal(dcp_source_poll(w->source, &b, 0, NULL), 0);
	world_free(w);
}

static void what_is_queued_when_a_vbucket_leaves_does_not_come_when_it_is_back(void **state)
{
	(void)state;
	enum { DOCS = 600 };
	struct err e = ERR_INIT;
	struct world *w = world_new(&(struct fake_options){ .vbuckets = 2 });
	for (unsigned i = 0; i < DOCS; i++) {
		char key[16];
		(void)snprintf(key, sizeof(key), "k%u", i);
		(void)fake_set(w->fake, 1, 0, key, SLICE_LIT("{}"));
	}
	world_open(w);
	until_received(w, DOCS);
	assert_ok(dcp_source_assign(w->source, (uint16_t[]){ 0 }, 1, &e), &e);
	assert_ok(dcp_source_assign(w->source, (uint16_t[]){ 0, 1 }, 2, &e), &e);
	for (uint64_t seqno = 1; seqno <= DOCS;) { /* without a store it begins anew */
		struct dcp_batch b = poll_some(w);
		for (size_t i = 0; i < b.n; i++)
			assert_true(b.ev[i].pos.seqno == seqno++);
		assert_int_equal(dcp_source_ack_batch(w->source, b.ev, b.n), 0);
	}
	world_free(w);
}

/* Packets end anywhere in a slab, and some are larger than one. */
static void documents_of_every_size_come_whole(void **state)
{
	(void)state;
	enum { VBS = 4, DOCS = 2400, BIG = 20 << 20 };
	struct world *w = world_new(&(struct fake_options){ .vbuckets = VBS });
	uint8_t *bytes = malloc(BIG);
	for (size_t i = 0; i < BIG; i++)
		bytes[i] = (uint8_t)(i * 2654435761u >> 13);
	for (unsigned i = 0; i < DOCS; i++) {
		char key[16];
		size_t len = i % 400 == 399 ? (size_t)BIG >> i / 400 : i * 37 % 1900;
		(void)snprintf(key, sizeof(key), "k%u", i % KEYS_MAX);
		(void)fake_set(w->fake, i % VBS, 0, key,
			       slice_of(bytes + i % 7, len - MIN(len, i % 7)));
	}
	for (int compressed = 0; compressed < 2; compressed++) {
		for (unsigned vb = 0; vb < w->vbs; vb++)
			forget(w, vb);
		w->o.force_compression = compressed;
		w->o.window_bytes = compressed ? 0 : 256 << 10;
		world_open(w);
		settle(w, VBS, PATIENCE);
		world_close(w);
	}
	free(bytes);
	world_free(w);
}

static void a_trickle_that_nobody_takes_shares_its_blocks(void **state)
{
	(void)state;
	enum { VBS = 4, DOCS = 2000 };
	struct world *w = world_new(&(struct fake_options){ .vbuckets = VBS });
	world_open(w);
	for (unsigned i = 0; i < DOCS; i++) {
		char key[16];
		(void)snprintf(key, sizeof(key), "k%u", i % KEYS_MAX);
		(void)fake_set(w->fake, i % VBS, 0, key, SLICE_LIT("1"));
		until_received(w, i + 1); /* each comes alone */
	}
	struct dcp_status st;
	assert_int_equal(dcp_source_status(w->source, &st, NULL, NULL), 0);
	assert_true(st.blocks <= DOCS / 40);
	settle(w, VBS, PATIENCE);
	assert_true(w->events == DOCS && w->duplicates == 0);
	world_free(w);
}

static void what_is_lent_and_what_is_queued_is_freed_once(void **state)
{
	(void)state;
	enum { DOCS = 1500 };
	struct world *w = world_new(&(struct fake_options){ .vbuckets = 1 });
	for (unsigned i = 0; i < DOCS; i++)
		(void)fake_set(w->fake, 0, 0,
			       (char[]){ 'a' + (char)(i % 26), 'a' + (char)(i / 26 % 26),
					 'a' + (char)(i / 676), 0 },
			       SLICE_LIT("{}"));
	world_open(w);
	until_received(w, DOCS);
	struct dcp_batch b = poll_some(w);
	assert_true(b.n < DOCS); /* more is queued behind it */
	world_free(w);
}

static void take_received_of_nodes(void *arg, const struct dcp_vbucket_status *v)
{
	((struct look *)arg)[v->node].received += v->received.seqno;
}

/* The sockets are left alone but for a look now and then, and it may be that each look is filled by one node. */
static void nodes_are_read_in_turn_while_the_consumer_is_away(void **state)
{
	(void)state;
	enum { NODES = 2, VBS = 4, DOCS = 100, BYTES = 100 << 10 };
	static uint8_t value[BYTES];
	struct world *w = world_new(&(struct fake_options){ .nodes = NODES, .vbuckets = VBS });
	for (unsigned i = 0; i < DOCS; i++)
		for (unsigned vb = 0; vb < VBS; vb++) {
			char key[16];
			(void)snprintf(key, sizeof(key), "k%u", i);
			(void)fake_set(w->fake, vb, 0, key, slice_of(value, BYTES));
		}
	w->o.window_bytes = 64 << 20;
	world_open(w);
	struct look l[NODES];
	nsec deadline = now() + PATIENCE;
	do {
		memset(l, 0, sizeof(l));
		assert_int_equal(dcp_source_status(w->source, NULL, take_received_of_nodes, l), 0);
	} while (l[0].received + l[1].received < DOCS * VBS / 2 && now() < deadline);
	assert_true(l[0].received >= DOCS * VBS / 8);
	assert_true(l[1].received >= DOCS * VBS / 8);
	settle(w, VBS, PATIENCE);
	world_free(w);
}

/* The room for a batch's inflated values, and nothing else, is so big. */
static atomic_bool no_room;

static void *alloc_what_is_small(size_t n)
{
	return no_room && n >= 512 << 10 ? NULL : malloc(n);
}

static void *realloc_what_is_small(void *p, size_t n)
{
	return no_room && n >= 512 << 10 ? NULL : realloc(p, n);
}

static void a_batch_that_there_was_no_room_to_inflate_comes_again(void **state)
{
	(void)state;
	static const struct mem_allocator small = { alloc_what_is_small, realloc_what_is_small,
						    free };
	enum { DOCS = 30, BYTES = 100 << 10 };
	static const char plain[BYTES];
	static char packed[2 * BYTES];
	size_t len = sizeof(packed);
	struct world *w = world_new(&(struct fake_options){ .vbuckets = 1 });
	assert_int_equal(snappy_compress(plain, BYTES, packed, &len), SNAPPY_OK);
	for (unsigned i = 0; i < DOCS; i++)
		(void)fake_put(w->fake, 0, 0,
			       (char[]){ 'a', (char)('a' + i % 26), 'a' + (char)(i / 26), 0 },
			       slice_of(packed, len), 2);
	mem_set_allocator(&small);
	world_open(w);
	until_received(w, DOCS);
	for (uint64_t seqno = 1; seqno <= DOCS;) {
		struct err e = ERR_INIT;
		struct dcp_batch b;
		no_room = true;
		int rc = dcp_source_poll(w->source, &b, PATIENCE, &e);
		no_room = false;
		if (rc < 0)
			assert_int_equal(rc, ERR_NOMEM);
		for (size_t i = 0; rc > 0 && i < b.n; i++) {
			assert_int_equal(b.ev[i].value.len, BYTES);
			assert_true(b.ev[i].pos.seqno == seqno++);
		}
		b = poll_some(w);
		for (size_t i = 0; i < b.n; i++)
			assert_true(b.ev[i].pos.seqno == seqno++);
	}
	world_free(w);
	mem_set_allocator(NULL);
}

/* Its stream has ended, its last events wait for the copies: who looks whether all is over must see that they come. */
static void what_waits_for_its_copies_is_queued_though_its_stream_has_ended(void **state)
{
	(void)state;
	struct dcp_status st = { 0 };
	struct world *w = world_new(
		&(struct fake_options){ .vbuckets = 1, .replicas = 0, .hold_persistence = true });
	(void)fake_set(w->fake, 0, 0, "k", SLICE_LIT("{}"));
	w->o.finite = true;
	w->o.mitigation.policy = MITIGATE_ALL;
	world_open(w);
	for (nsec limit = now() + PATIENCE; st.n_done == 0 && now() < limit;)
		assert_int_equal(dcp_source_status(w->source, &st, NULL, NULL), 0);
	assert_int_equal(st.n_done, 1);
	assert_true(st.queued);
	fake_persist(w->fake, 0, 0, UINT64_MAX);
	struct dcp_batch b = poll_some(w);
	assert_int_equal(b.ev[0].kind, DCP_MUTATION);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_queued_behind_a_nack_is_left_out_and_comes_again),
		cmocka_unit_test(
			what_is_queued_when_a_vbucket_leaves_does_not_come_when_it_is_back),
		cmocka_unit_test(documents_of_every_size_come_whole),
		cmocka_unit_test(what_is_lent_and_what_is_queued_is_freed_once),
		cmocka_unit_test(a_trickle_that_nobody_takes_shares_its_blocks),
		cmocka_unit_test(nodes_are_read_in_turn_while_the_consumer_is_away),
		cmocka_unit_test(what_waits_for_its_copies_is_queued_though_its_stream_has_ended),
		cmocka_unit_test(a_batch_that_there_was_no_room_to_inflate_comes_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
