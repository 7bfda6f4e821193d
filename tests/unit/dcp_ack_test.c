#include "tests/scarce.h"
#include "tests/test.h"

#include "dcp/ack.h"

#include <stdlib.h>

static struct dcp_position at(uint64_t seqno)
{
	return (struct dcp_position){ seqno, seqno, seqno, 1 };
}

static uint64_t push(struct ack_window *w, uint64_t seqno)
{
	struct err e = ERR_INIT;
	struct dcp_position pos = at(seqno);
	uint64_t ticket;
	assert_ok(ack_push(w, ACK_EVENT, &pos, &ticket, &e), &e);
	return ticket;
}

static void advance(struct ack_window *w, uint64_t seqno)
{
	struct err e = ERR_INIT;
	struct dcp_position pos = at(seqno);
	assert_ok(ack_advance(w, &pos, &e), &e);
}

static void start(struct ack_window *w, uint64_t mark)
{
	struct dcp_position pos = at(mark);
	ack_init(w, 100, &pos, NULL);
}

static void weakness_5_acknowledging_a_later_event_does_not_acknowledge_an_earlier_one(void **state)
{
	(void)state;
	struct ack_window w;
	start(&w, 10);
	uint64_t a = push(&w, 11), b = push(&w, 12), c = push(&w, 15);
	assert_int_equal(ack_one(&w, b, NULL), 0);
	assert_int_equal(ack_one(&w, c, NULL), 0);
	assert_true(w.mark.seqno == 10);
	assert_int_equal(ack_one(&w, a, NULL), 1);
	assert_true(w.mark.seqno == 15);
	assert_int_equal(ack_one(&w, a, NULL), ERR_NOTFOUND);
	ack_done(&w);
}

static void weakness_6_seqnos_without_events_wait_behind_open_ones(void **state)
{
	(void)state;
	struct ack_window w;
	start(&w, 10);
	uint64_t a = push(&w, 11);
	advance(&w, 12);
	advance(&w, 20);
	assert_int_equal(ack_open(&w), 2); /* advances in a row are one entry */
	assert_true(w.mark.seqno == 10);
	uint64_t b = push(&w, 21);
	assert_int_equal(ack_one(&w, a, NULL), 1);
	assert_true(w.mark.seqno == 20);
	advance(&w, 22);
	assert_int_equal(ack_one(&w, b, NULL), 1);
	assert_true(w.mark.seqno == 22);
	ack_done(&w);
}

static void weakness_7_an_idle_filtered_stream_moves_its_mark(void **state)
{
	(void)state;
	struct ack_window w;
	start(&w, 10);
	uint64_t version = w.version;
	advance(&w, 500);
	assert_true(w.mark.seqno == 500);
	assert_true(w.version > version);
	ack_done(&w);
}

static void weakness_11_after_a_rollback_old_acks_are_refused_and_the_mark_goes_back(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct ack_window w;
	start(&w, 90);
	uint64_t a = push(&w, 95), b = push(&w, 100);
	assert_int_equal(ack_one(&w, a, NULL), 1);
	struct dcp_position back = { 92, 92, 92, 2 };
	uint64_t r;
	assert_ok(ack_rollback(&w, &back, &r, &e), &e);
	assert_int_equal(ack_one(&w, b, NULL), ERR_NOTFOUND);
	assert_true(w.mark.seqno == 95 && w.mark.uuid == 1);
	uint64_t c = push(&w, 93); /* of the new branch */
	assert_int_equal(ack_one(&w, c, NULL), 0);
	enum ack_kind was;
	assert_int_equal(ack_one(&w, r, &was), 1);
	assert_int_equal(was, ACK_ROLLBACK);
	assert_true(w.mark.seqno == 93);
	assert_true(w.rollbacks_acked == 1);
	ack_done(&w);
}

/* Of 91 (ticket a) and 99, those above 95 never happened (ticket r). */
static void roll_back_between(struct ack_window *w, uint64_t *a, uint64_t *r)
{
	struct err e = ERR_INIT;
	struct dcp_position back = { 95, 95, 95, 2 };
	start(w, 90);
	*a = push(w, 91);
	(void)push(w, 99);
	assert_ok(ack_rollback(w, &back, r, &e), &e);
}

static void a_rollback_leaves_open_what_lies_below_it(void **state)
{
	(void)state;
	struct ack_window w;
	uint64_t a, r;
	roll_back_between(&w, &a, &r);
	assert_int_equal(ack_one(&w, r, NULL), 0);
	assert_true(w.mark.seqno == 90);
	assert_int_equal(ack_one(&w, a, NULL), 1);
	assert_true(w.mark.seqno == 95 && w.mark.uuid == 2);
	ack_done(&w);
}

static void an_out_of_order_snapshot_moves_the_mark_only_at_its_end(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct ack_window w;
	start(&w, 10);
	uint64_t t[3], seqnos[3] = { 30, 12, 25 };
	for (int i = 0; i < 3; i++) {
		struct dcp_position pos = at(seqnos[i]);
		assert_ok(ack_push(&w, ACK_HOLD, &pos, &t[i], &e), &e);
	}
	assert_int_equal(ack_one(&w, t[0], NULL), 0);
	assert_true(w.mark.seqno == 10);
	advance(&w, 30);
	assert_int_equal(ack_one(&w, t[1], NULL), 0);
	assert_true(w.mark.seqno == 10);
	assert_int_equal(ack_one(&w, t[2], NULL), 1);
	assert_true(w.mark.seqno == 30);
	ack_done(&w);
}

static void rewinding_hands_everything_above_the_mark_out_again(void **state)
{
	(void)state;
	struct ack_window w;
	uint64_t a, r;
	roll_back_between(&w, &a, &r);
	ack_rewind(&w);
	assert_int_equal(ack_one(&w, a, NULL), ERR_NOTFOUND);
	assert_int_equal(ack_one(&w, r, NULL), 1);
	assert_true(w.mark.seqno == 90);
	ack_done(&w);
}

static void a_retreat_sets_the_mark_back_at_once(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct ack_window w;
	start(&w, 90);
	uint64_t a = push(&w, 91), b = push(&w, 95), c = push(&w, 99);
	assert_int_equal(ack_one(&w, a, NULL), 1);
	assert_int_equal(ack_one(&w, b, NULL), 1);
	struct dcp_position back = { 93, 93, 93, 2 };
	uint64_t version = w.version;
	ack_retreat(&w, &back);
	assert_true(w.mark.seqno == 93 && w.mark.uuid == 2 && w.version > version);
	assert_int_equal(ack_one(&w, c, NULL), ERR_NOTFOUND);
	ack_retreat(&w, &(struct dcp_position){ 97, 97, 97, 2 });
	assert_true(w.mark.seqno == 93);
	uint64_t r;
	assert_ok(ack_rollback(&w, &back, &r, &e), &e);
	assert_true(ack_rollback_open(&w));
	assert_int_equal(ack_one(&w, r, NULL), 1);
	assert_false(ack_rollback_open(&w));
	ack_done(&w);
}

/* The later one stands for both: whoever waits for all of them waits for it alone. */
static void a_rollback_takes_the_place_of_one_that_led_less_far_back(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	struct ack_window w;
	start(&w, 90);
	struct dcp_position to95 = { 95, 95, 95, 2 }, to80 = { 80, 80, 80, 3 };
	uint64_t first, second;
	assert_ok(ack_rollback(&w, &to95, &first, &e), &e);
	assert_ok(ack_rollback(&w, &to80, &second, &e), &e);
	assert_int_equal(ack_one(&w, first, NULL), ERR_NOTFOUND);
	assert_true(ack_rollback_open(&w));
	assert_int_equal(ack_one(&w, second, NULL), 1);
	assert_false(ack_rollback_open(&w));
	assert_true(w.mark.seqno == 80);
	ack_done(&w);
}

/* Against the definition: the mark is the greatest position below which nothing is open. */
static void b3_acks_in_random_order_never_pass_an_open_event(void **state)
{
	(void)state;
	enum { MAX_EVENTS = 10000 };
	static uint64_t ticket[MAX_EVENTS], seqno[MAX_EVENTS];
	static bool event[MAX_EVENTS], acked[MAX_EVENTS];
	srand(7);
	for (long round = test_count(60, 10000); round > 0; round--) {
		struct ack_window w;
		start(&w, 5);
		int window = 1 + rand() % (round % 10 == 0 ? MAX_EVENTS : 100);
		uint64_t s = 5;
		int n = 0, prefix = 0;
		uint64_t want = 5;
		for (int step = 0; step < 4 * window; step++) {
			if (n < MAX_EVENTS && rand() % 2 && n - prefix < window) {
				s += 1 + (uint64_t)(rand() % 3);
				seqno[n] = s;
				event[n] = rand() % 4 != 0;
				if (event[n])
					ticket[n] = push(&w, s);
				else
					advance(&w, s);
				acked[n] = !event[n];
				n++;
			} else if (n > prefix) {
				int i = prefix + rand() % (n - prefix);
				if (!acked[i])
					assert_true(ack_one(&w, ticket[i], NULL) >= 0);
				acked[i] = true;
			}
			while (prefix < n && acked[prefix])
				want = seqno[prefix++];
			assert_true(w.mark.seqno == want);
		}
		ack_done(&w);
	}
}

static void windows_with_nothing_open_leave_their_rings_to_others(void **state)
{
	(void)state;
	enum { WINDOWS = 100, BURST = 300 };
	static struct ack_window w[WINDOWS];
	struct ack_rings rings = { 0 };
	uint64_t ticket[BURST];
	scarce_begin();
	for (int i = 0; i < WINDOWS; i++) {
		start(&w[i], 10);
		ack_share(&w[i], &rings);
	}
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < WINDOWS; i++) {
			for (unsigned k = 0; k < BURST; k++)
				ticket[k] = push(&w[i], w[i].mark.seqno + 1 + k);
			uint64_t last = w[i].mark.seqno + BURST;
			for (unsigned k = BURST; k-- > 0;)
				(void)ack_one(&w[i], ticket[k], NULL);
			assert_true(w[i].mark.seqno == last);
			assert_true(w[i].ring == NULL);
		}
		assert_true(scarce_calls() < 10); /* what the first window grew through */
	}
	scarce_end();
	for (int i = 0; i < WINDOWS; i++)
		ack_done(&w[i]);
	ack_rings_done(&rings);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			weakness_5_acknowledging_a_later_event_does_not_acknowledge_an_earlier_one),
		cmocka_unit_test(weakness_6_seqnos_without_events_wait_behind_open_ones),
		cmocka_unit_test(weakness_7_an_idle_filtered_stream_moves_its_mark),
		cmocka_unit_test(
			weakness_11_after_a_rollback_old_acks_are_refused_and_the_mark_goes_back),
		cmocka_unit_test(windows_with_nothing_open_leave_their_rings_to_others),
		cmocka_unit_test(a_rollback_leaves_open_what_lies_below_it),
		cmocka_unit_test(a_retreat_sets_the_mark_back_at_once),
		cmocka_unit_test(a_rollback_takes_the_place_of_one_that_led_less_far_back),
		cmocka_unit_test(an_out_of_order_snapshot_moves_the_mark_only_at_its_end),
		cmocka_unit_test(rewinding_hands_everything_above_the_mark_out_again),
		cmocka_unit_test(b3_acks_in_random_order_never_pass_an_open_event),
	};
	return cmocka_run_group_tests_name("dcp/ack", tests, NULL, NULL);
}
