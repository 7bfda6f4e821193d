/* Deletions that are purged: what the state machine asks for, tells and keeps, so that none is missed unnoticed. */
#include "tests/dcp_machine.h"

#include <stdio.h>

static void disk_marker(struct harness *h, uint64_t start, uint64_t end, uint64_t purge)
{
	uint8_t version = 2, m[52] = { 0 };
	put_be64(m, start);
	put_be64(m + 8, end);
	put_be32(m + 16, SNAPSHOT_DISK);
	put_be64(m + 36, purge);
	give(h, (struct packet){ .magic = MAGIC_REQUEST,
				 .opcode = OP_DCP_SNAPSHOT_MARKER,
				 .opaque = vbucket_opaque(&h->v),
				 .extras = slice_of(&version, 1),
				 .value = slice_of(m, sizeof(m)) });
}

/* From before the place where it heard of a purge, deletions may have been purged that it has not handled. */
static void a_purge_counts_as_seen_only_from_where_it_was_heard_of(void **state)
{
	struct harness *h = *state;
	begin(h, AT(0, 0, 0, 0));
	accept(h, "a0");
	disk_marker(h, 0, 100, 50);
	mutation(h, 30);
	reconnect(h);
	expect(h, "req 0 [0,0] 0\nmut 30 [0,100] a\nreq 30 [0,100] a purge 50\n");
	accept(h, "a0");
	disk_marker(h, 30, 100, 50);
	mutation(h, 100);
	disk_marker(h, 100, 120, 70);
	mutation(h, 110);
	reconnect(h);
	expect(h, "mut 100 [100,100] a\nmut 110 [100,120] a\nreq 110 [100,120] a purge 70\n");
	accept(h, "a0");
	vbucket_rewind(&h->v, &AT(60, 60, 60, 'a'), 0, h->now);
	expect(h, "close 0\nreq 60 [60,60] a\n");
}

/* A request for everything is accepted whatever was purged: a document that the consumer has and whose deletion is gone
 * would stay. */
static void deletions_purged_before_a_full_read_make_the_consumer_forget(void **state)
{
	struct harness *h = *state;
	struct vbucket_start s = { .pos = AT(0, 0, 0, 'a'),
				   .restarted = true,
				   .high_seqno = 60,
				   .end_seqno = VBUCKET_NO_END };
	vbucket_start(&h->v, &s, h->now);
	vbucket_on_node(&h->v, 0, true, 1, h->now);
	accept(h, "a0");
	disk_marker(h, 0, 60, 50);
	expect(h, "req 0 [0,0] a\nclose 0\nretreat to 0\n");
	vbucket_on_retreated(&h->v, h->now);
	expect(h, "rollback to 0 from 60, resume at 0\n");
	vbucket_on_rollback_acked(&h->v, h->now);
	accept(h, "a0");
	disk_marker(h, 0, 60, 50);
	mutation(h, 60);
	reconnect(h);
	expect(h, "req 0 [0,0] a\nmut 60 [60,60] a\nreq 60 [60,60] a purge 50\n");
	assert_true(h->dropped_bytes + h->emitted_bytes == h->sent_bytes);
}

/* The number of another branch's purge says nothing. */
static void a_purge_is_forgotten_with_its_branch(void **state)
{
	struct harness *h = *state;
	begin(h, AT(0, 0, 0, 0));
	accept(h, "a0");
	disk_marker(h, 0, 100, 50);
	mutation(h, 100);
	reconnect(h);
	expect(h, "req 0 [0,0] 0\nmut 100 [100,100] a\nreq 100 [100,100] a purge 50\n");
	accept(h, "b100 a0");
	reconnect(h);
	expect(h, "req 100 [100,100] b\n");
}

/* ---- what a checkpoint knows ---- */

static void restart(struct harness *h, struct dcp_position at, struct dcp_purge known)
{
	struct vbucket_start s = { .pos = at,
				   .purge = known,
				   .restarted = true,
				   .high_seqno = 60,
				   .end_seqno = VBUCKET_NO_END };
	vbucket_stop(&h->v);
	vbucket_on_node(&h->v, 0, false, 0, h->now);
	buf_reset(&h->log);
	vbucket_start(&h->v, &s, h->now);
	vbucket_on_node(&h->v, 0, true, 1, h->now);
}

#define KNOWN(seqno, from, branch) ((struct dcp_purge){ seqno, from, branch })

static void a_server_is_told_of_the_purge_that_a_checkpoint_knows(void **state)
{
	struct harness *h = *state;
	restart(h, AT(30, 0, 100, 'a'), KNOWN(50, 0, 'a'));
	expect(h, "req 30 [0,100] a purge 50\n");
	restart(h, AT(30, 0, 100, 'a'), KNOWN(50, 40, 'a')); /* heard of further on */
	expect(h, "req 30 [0,100] a\n");
	assert_true(h->v.purge.uuid == 0);
}

static void a_restart_at_0_compares_with_the_purge_that_its_checkpoint_knows(void **state)
{
	struct harness *h = *state;
	static const struct {
		struct dcp_purge known;
		const char *then;
	} rows[] = { { { 50, 0, 'a' }, "req 0 [0,0] a\nmut 60 [60,60] a\n" },
		     { { 49, 0, 'a' }, "req 0 [0,0] a\nclose 0\nretreat to 0\n" },
		     { { 50, 0, 'b' }, "req 0 [0,0] a\nclose 0\nretreat to 0\n" },
		     { { 0, 0, 0 }, "req 0 [0,0] a\nclose 0\nretreat to 0\n" } };
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		restart(h, AT(0, 0, 0, 'a'), rows[i].known);
		accept(h, "a0");
		disk_marker(h, 0, 60, 50);
		mutation(h, 60);
		expect(h, rows[i].then);
	}
}

/* ---- servers that do not show it ---- */

static void old_marker(struct harness *h, uint64_t start, uint64_t end)
{
	uint8_t x[20] = { 0 };
	put_be64(x, start);
	put_be64(x + 8, end);
	put_be32(x + 16, SNAPSHOT_DISK);
	stream(h, OP_DCP_SNAPSHOT_MARKER, x, 20, SLICE_NONE, 0);
}

static void statistic(struct harness *h, uint16_t status, const char *name, const char *value)
{
	give(h, (struct packet){ .magic = MAGIC_RESPONSE,
				 .opcode = OP_STAT,
				 .vb_status = status,
				 .opaque = vbucket_opaque(&h->v),
				 .key = slice_str(name),
				 .value = slice_str(value) });
}

static void statistics(struct harness *h, uint64_t purged, uint64_t branch)
{
	char text[2][24];
	(void)snprintf(text[0], sizeof(text[0]), "%" PRIu64, purged);
	(void)snprintf(text[1], sizeof(text[1]), "%" PRIu64, branch);
	statistic(h, STATUS_OK, "vb_40", "active");
	statistic(h, STATUS_OK, "vb_40:purge_seqno", text[0]);
	statistic(h, STATUS_OK, "vb_40:high_purge_seqno", "7");
	statistic(h, STATUS_OK, "vb_40:uuid", text[1]);
	statistic(h, STATUS_OK, "", "");
}

/* How a snapshot begins that does not say what is purged. */
static void begin_snapshot(struct harness *h, bool out_of_order)
{
	if (out_of_order)
		oso(h, 1);
	else
		old_marker(h, 0, 60);
}

static void when_a_snapshot_does_not_show_it_nothing_passes_before_the_statistics_say(void **state)
{
	struct harness *h = *state;
	for (unsigned i = 0; i < 8; i++) {
		bool out_of_order = i & 1, missed = i & 2, known = i & 4;
		restart(h, AT(0, 0, 0, 'a'), known ? KNOWN(50, 0, 'a') : KNOWN(0, 0, 0));
		accept(h, "a0");
		begin_snapshot(h, out_of_order);
		mutation(h, 60);
		expect(h, "req 0 [0,0] a\npurge?\n");
		statistics(h, missed ? 51 : known ? 50 : 0, 'a');
		expect(h, missed ? "close 0\nretreat to 0\n" : "mut 60 [60,60] a\n");
		assert_true(h->v.held.n == 0);
	}
	vbucket_stop(&h->v);
	assert_true(h->dropped_bytes + h->emitted_bytes == h->sent_bytes);
}

static void what_was_missed_is_told_and_read_again_from_the_beginning(void **state)
{
	struct harness *h = *state;
	restart(h, AT(0, 0, 0, 'a'), KNOWN(0, 0, 0));
	accept(h, "a0");
	old_marker(h, 0, 60);
	mutation(h, 60);
	statistics(h, 50, 'a');
	vbucket_on_retreated(&h->v, h->now);
	expect(h, "req 0 [0,0] a\npurge?\nclose 0\nretreat to 0\nrollback to 0 from 60, resume at "
		  "0\n");
	vbucket_on_rollback_acked(&h->v, h->now);
	accept(h, "a0");
	old_marker(h, 0, 60); /* now there is nothing that could be missed */
	mutation(h, 60);
	expect(h, "req 0 [0,0] a\nmut 60 [60,60] a\n");
}

static void a_snapshot_from_memory_has_all_deletions_in_it(void **state)
{
	struct harness *h = *state;
	restart(h, AT(0, 0, 0, 'a'), KNOWN(50, 0, 'a'));
	accept(h, "a0");
	marker(h, 0, 60);
	mutation(h, 60);
	expect(h, "req 0 [0,0] a\nmut 60 [60,60] a\n");
	assert_true(h->v.purge.uuid == 0); /* and says nothing of what is purged */
}

static void statistics_that_nobody_tells_count_as_missed_deletions(void **state)
{
	struct harness *h = *state;
	static const uint16_t refused[] = { STATUS_EACCESS, STATUS_KEY_ENOENT,
					    STATUS_UNKNOWN_COMMAND, STATUS_OK };
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		restart(h, AT(0, 0, 0, 'a'), KNOWN(50, 0, 'a'));
		accept(h, "a0");
		old_marker(h, 0, 60);
		statistic(h, STATUS_OK, "vb_40:uuid", "97");
		statistic(h, STATUS_OK, "vb_40:purge_seqno", "many");
		statistic(h, refused[i], "", ""); /* the last one: an end without the number */
		expect(h, "req 0 [0,0] a\npurge?\nclose 0\nretreat to 0\n");
	}
}

static void statistics_that_cannot_be_had_just_now_are_asked_for_again(void **state)
{
	struct harness *h = *state;
	restart(h, AT(0, 0, 0, 'a'), KNOWN(0, 0, 0));
	expect(h, "req 0 [0,0] a\n");
	for (unsigned i = 0; i < VBUCKET_FATAL_TRIES; i++) {
		accept(h, "a0");
		old_marker(h, 0, 60);
		mutation(h, 60);
		statistic(h, STATUS_ETMPFAIL, "", "");
		expect(h, "purge?\n");
		tick(h);
		expect(h, "req 0 [0,0] a\n");
	}
	accept(h, "a0");
	old_marker(h, 0, 60);
	statistic(h, STATUS_ETMPFAIL, "", ""); /* not for ever */
	expect(h, "purge?\nclose 0\nretreat to 0\n");
}

static void a_stream_that_goes_before_the_answer_starts_at_0_again(void **state)
{
	struct harness *h = *state;
	restart(h, AT(0, 0, 0, 'a'), KNOWN(0, 0, 0));
	expect(h, "req 0 [0,0] a\n");
	for (unsigned i = 0; i < 4; i++) {
		accept(h, "a0");
		begin_snapshot(h, i & 1);
		mutation(h, 5);
		if (i < 2)
			reconnect(h);
		else
			stream_end(h, STREAM_END_TOO_SLOW);
		statistics(h, 0, 'a'); /* whose answer would that be? */
		if (h->v.state == VB_WAIT)
			tick(h);
		expect(h, "purge?\nreq 0 [0,0] a\n");
	}
	assert_true(h->dropped_bytes + h->emitted_bytes == h->sent_bytes);
}

static void pausing_meanwhile_keeps_it_shut(void **state)
{
	struct harness *h = *state;
	restart(h, AT(0, 0, 0, 'a'), KNOWN(0, 0, 0));
	accept(h, "a0");
	old_marker(h, 0, 60);
	mutation(h, 5);
	vbucket_pause(&h->v, h->now);
	assert_int_equal(h->v.state, VB_PAUSED);
	assert_true(h->dropped_bytes == h->sent_bytes);
	vbucket_resume(&h->v, h->now);
	expect(h, "req 0 [0,0] a\npurge?\nclose 0\nreq 0 [0,0] a\n");
}

/* The end may come before the answer. */
static void the_end_of_a_finite_stream_waits_for_the_answer(void **state)
{
	struct harness *h = *state;
	struct vbucket_start s = {
		.pos = AT(0, 0, 0, 'a'), .restarted = true, .high_seqno = 60, .end_seqno = 60
	};
	for (unsigned missed = 0; missed < 2; missed++) {
		vbucket_stop(&h->v);
		vbucket_start(&h->v, &s, h->now);
		vbucket_on_node(&h->v, 0, true, 1, h->now);
		accept(h, "a0");
		old_marker(h, 0, 60);
		mutation(h, 60);
		stream_end(h, STREAM_END_OK);
		expect(h, "req 0 [0,0] a\npurge?\n");
		assert_int_equal(h->v.state, VB_DONE);
		statistics(h, missed ? 50 : 0, 'a');
		if (!missed)
			expect(h, "mut 60 [60,60] a\nend end reached 0\n");
	}
	vbucket_on_retreated(&h->v, h->now);
	vbucket_on_rollback_acked(&h->v, h->now);
	expect(h, "close 0\nretreat to 0\nrollback to 0 from 60, resume at 0\nreq 0 [0,0] a\n");
	accept(h, "a0");
	old_marker(h, 0, 60);
	mutation(h, 60);
	stream_end(h, STREAM_END_OK);
	expect(h, "mut 60 [60,60] a\nend end reached 0\n");
}

static void a_finite_stream_that_is_cut_off_before_the_answer_ends_once(void **state)
{
	struct harness *h = *state;
	struct vbucket_start s = {
		.pos = AT(0, 0, 0, 'a'), .restarted = true, .high_seqno = 60, .end_seqno = 60
	};
	vbucket_start(&h->v, &s, h->now);
	vbucket_on_node(&h->v, 0, true, 1, h->now);
	accept(h, "a0");
	old_marker(h, 0, 60);
	mutation(h, 60);
	stream_end(h, STREAM_END_OK);
	reconnect(h);
	accept(h, "a0");
	old_marker(h, 0, 60);
	mutation(h, 60);
	stream_end(h, STREAM_END_OK);
	statistics(h, 0, 'a');
	expect(h, "req 0 [0,0] a\npurge?\nreq 0 [0,0] a\npurge?\nmut 60 [60,60] a\nend end reached "
		  "0\n");
}

/* ---- out of order ---- */

static void out_of_order_snapshots_compare_with_what_was_asked_before_the_request(void **state)
{
	struct harness *h = *state;
	h->config.ask_purge_first = true;
	begin(h, AT(0, 0, 0, 0));
	expect(h, "purge?\n");
	assert_int_equal(h->v.state, VB_ASKING);
	statistics(h, 50, 'a');
	accept(h, "a0");
	oso(h, 1);
	mutation(h, 60); /* nothing had been handed out: at once */
	expect(h, "req 0 [0,0] 0\nmut 60 [60,60] a\n");
	for (uint64_t purged = 50; purged <= 55; purged += 5) {
		reconnect(h);
		if (h->v.state == VB_WAIT)
			tick(h);
		statistics(h, purged, 'a');
		accept(h, "a0");
		oso(h, 1);
		mutation(h, 60);
		expect(h, "purge?\nreq 0 [0,0] a\npurge?\n");
		statistics(h, purged, 'a');
		expect(h, purged == 50 ? "mut 60 [60,60] a\n" : "close 0\nretreat to 0\n");
	}
	assert_true(h->dropped_bytes + h->emitted_bytes == h->sent_bytes);
}

static void
an_answer_that_never_comes_before_the_request_is_asked_for_on_the_next_connection(void **state)
{
	struct harness *h = *state;
	h->config.ask_purge_first = true;
	begin(h, AT(0, 0, 0, 0));
	reconnect(h);
	expect(h, "purge?\npurge?\n");
	statistic(h, STATUS_EACCESS, "", ""); /* then it is not known, and that is all */
	accept(h, "a0");
	oso(h, 1);
	mutation(h, 60);
	expect(h, "req 0 [0,0] 0\nmut 60 [60,60] a\n");
	assert_true(h->v.purge.uuid == 0);
}

static void who_ignores_purges_is_not_told_and_asks_nothing(void **state)
{
	struct harness *h = *state;
	h->config.stream_flags |= STREAM_IGNORE_PURGED;
	h->config.ask_purge_first = true;
	for (unsigned i = 0; i < 3; i++) {
		restart(h, AT(0, 0, 0, 'a'), KNOWN(0, 0, 0));
		accept(h, "a0");
		if (i == 2)
			disk_marker(h, 0, 60, 50);
		else
			begin_snapshot(h, i & 1);
		mutation(h, 60);
		expect(h, "req 0 [0,0] a\nmut 60 [60,60] a\n");
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(a_purge_counts_as_seen_only_from_where_it_was_heard_of),
		T(deletions_purged_before_a_full_read_make_the_consumer_forget),
		T(a_purge_is_forgotten_with_its_branch),
		T(a_server_is_told_of_the_purge_that_a_checkpoint_knows),
		T(a_restart_at_0_compares_with_the_purge_that_its_checkpoint_knows),
		T(when_a_snapshot_does_not_show_it_nothing_passes_before_the_statistics_say),
		T(what_was_missed_is_told_and_read_again_from_the_beginning),
		T(a_snapshot_from_memory_has_all_deletions_in_it),
		T(statistics_that_nobody_tells_count_as_missed_deletions),
		T(statistics_that_cannot_be_had_just_now_are_asked_for_again),
		T(a_stream_that_goes_before_the_answer_starts_at_0_again),
		T(pausing_meanwhile_keeps_it_shut),
		T(the_end_of_a_finite_stream_waits_for_the_answer),
		T(a_finite_stream_that_is_cut_off_before_the_answer_ends_once),
		T(out_of_order_snapshots_compare_with_what_was_asked_before_the_request),
		T(an_answer_that_never_comes_before_the_request_is_asked_for_on_the_next_connection),
		T(who_ignores_purges_is_not_told_and_asks_nothing),
	};
	return cmocka_run_group_tests_name("dcp/vbucket purge", tests, NULL, NULL);
}
