/* The state machine: peers that misbehave, refuse or go away. */
#include "tests/dcp_machine.h"

static void broken_streams_are_reopened_from_the_last_good_event(void **state)
{
	struct harness *h = *state;
	begin(h, AT(10, 10, 10, 'a'));
	expect(h, "req 10 [10,10] a\n");
	for (int what = 0; what < 7; what++) {
		accept(h, "a0");
		if (what != 0)
			marker(h, 10, 20);
		switch (what) {
		case 0: mutation(h, 11); break; /* before any snapshot */
		case 1: mutation(h, 21); break; /* beyond the snapshot */
		case 2: mutation(h, 10); break; /* repeated */
		case 3: mutation(h, UINT64_MAX); break;
		case 4: mutation(h, 0); break;
		case 5: marker(h, 2, 4); break; /* behind us */
		case 6: oso(h, 2); break;       /* an end without a start */
		}
		expect(h, "close 0\n");
		tick(h);
		expect(h, "req 10 [10,10] a\n");
	}
	assert_true(h->v.n_violations == 7);
	assert_true(h->dropped_bytes == h->sent_bytes);
}

static void weakness_17_no_stream_end_ends_the_process_or_loses_the_place(void **state)
{
	struct harness *h = *state;
	static const uint32_t reasons[] = { 0, 1, 2, 3, 4, 5, 6, 8, 9, 4000000000u };
	begin(h, AT(10, 10, 10, 'a'));
	expect(h, "req 10 [10,10] a\n");
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
		accept(h, "a0");
		stream_end(h, reasons[i]);
		if (reasons[i] == STREAM_END_STATE_CHANGED)
			expect(h, "map \n");
		tick(h);
		expect(h, "req 10 [10,10] a\n");
	}
	accept(h, "a0");
	stream_end(h, STREAM_END_FILTER_EMPTY);
	expect(h, "end filter empty 0\n");
}

static void weakness_18_a_vbucket_that_moved_follows_the_map_without_waiting(void **state)
{
	struct harness *h = *state;
	begin(h, AT(10, 10, 10, 'a'));
	reply(h, OP_DCP_STREAM_REQ, STATUS_NOT_MY_VBUCKET, SLICE_LIT("{}"));
	expect(h, "req 10 [10,10] a\nmap {}\n");
	vbucket_on_node(&h->v, 1, true, 5, h->now);
	expect(h, "req 10 [10,10] a\n");
	accept(h, "a0");
	vbucket_on_node(&h->v, 2, true, 6,
			h->now); /* moves while it streams: the old node must not go on */
	expect(h, "close 1\nreq 10 [10,10] a\n");
}

static void requests_that_can_never_succeed_end_with_a_typed_error(void **state)
{
	struct harness *h = *state;
	static const struct {
		uint16_t status;
		const char *end;
	} rows[] = { { STATUS_UNKNOWN_COLLECTION, "end closed -5\n" },
		     { STATUS_EINVAL, "end closed -23\n" },
		     { STATUS_ERANGE, "end closed -23\n" },
		     { STATUS_NOT_SUPPORTED, "end closed -3\n" } };
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		vbucket_stop(&h->v);
		begin(h, AT(0, 0, 0, 0));
		vbucket_on_node(&h->v, 0, true, 1, h->now);
		for (unsigned n = 1; n < VBUCKET_FATAL_TRIES; n++) {
			reply(h, OP_DCP_STREAM_REQ, rows[i].status, SLICE_NONE);
			tick(h);
		}
		buf_reset(&h->log);
		reply(h, OP_DCP_STREAM_REQ, rows[i].status, SLICE_NONE);
		expect(h, rows[i].end);
		assert_int_equal(h->v.state, VB_DONE);
	}
}

static void missing_privileges_are_tried_again(void **state)
{
	struct harness *h = *state;
	begin(h, AT(0, 0, 0, 0));
	for (unsigned n = 0; n < 3 * VBUCKET_FATAL_TRIES; n++) {
		expect(h, "req 0 [0,0] 0\n");
		reply(h, OP_DCP_STREAM_REQ, STATUS_EACCESS, SLICE_NONE);
		tick(h);
	}
	assert_int_equal(h->v.last_status, STATUS_EACCESS);
}

static void unknown_statuses_mean_what_the_error_map_says(void **state)
{
	struct harness *h = *state;
	begin(h, AT(0, 0, 0, 0));
	expect(h, "req 0 [0,0] 0\n");
	reply(h, OP_DCP_STREAM_REQ, AT_ONCE, SLICE_NONE);
	assert_true(h->v.timer_at == h->now); /* the first time */
	vbucket_on_timer(&h->v, h->now);
	expect(h, "req 0 [0,0] 0\n");
	reply(h, OP_DCP_STREAM_REQ, AT_ONCE, SLICE_NONE);
	tick(h); /* a server that always says so is not asked in a circle */
	expect(h, "req 0 [0,0] 0\n");
	reply(h, OP_DCP_STREAM_REQ, LATER, SLICE_NONE);
	tick(h);
	expect(h, "req 0 [0,0] 0\n");
	reply(h, OP_DCP_STREAM_REQ, ELSEWHERE, SLICE_LIT("not a map"));
	expect(h, "map \n");
	tick(h);
	for (unsigned n = 1; n < VBUCKET_FATAL_TRIES; n++) {
		expect(h, "req 0 [0,0] 0\n");
		reply(h, OP_DCP_STREAM_REQ, NEVER, SLICE_NONE);
		tick(h);
	}
	expect(h, "req 0 [0,0] 0\n");
	reply(h, OP_DCP_STREAM_REQ, NEVER, SLICE_NONE);
	expect(h, "end closed -23\n");
	assert_int_equal(h->v.state, VB_DONE);
}

static void running_out_of_room_reopens_instead_of_losing(void **state)
{
	struct harness *h = *state;
	begin(h, AT(0, 0, 0, 0));
	accept(h, "a0");
	marker(h, 0, 9);
	h->emit_rc = ERR_NOMEM;
	mutation(h, 1);
	h->emit_rc = 0;
	expect(h, "req 0 [0,0] 0\nclose 0\n");
	tick(h);
	expect(h, "req 0 [0,0] a\n");
	assert_true(h->dropped_bytes == h->sent_bytes);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(broken_streams_are_reopened_from_the_last_good_event),
		T(weakness_17_no_stream_end_ends_the_process_or_loses_the_place),
		T(weakness_18_a_vbucket_that_moved_follows_the_map_without_waiting),
		T(requests_that_can_never_succeed_end_with_a_typed_error),
		T(missing_privileges_are_tried_again),
		T(unknown_statuses_mean_what_the_error_map_says),
		T(running_out_of_room_reopens_instead_of_losing),
	};
	return cmocka_run_group_tests_name("dcp/vbucket_peer", tests, NULL, NULL);
}
