/* The state machine and the acknowledgement window against a model of one vBucket (dcp_model.h), at random.
 *
 * The stream is cut anywhere. The consumer pauses and resumes it, applies everything it gets at once, acknowledges in
 * random order, sometimes refuses, and is killed now and then; what it applied survives, what it had not acknowledged
 * comes again. It checks
 *
 *	- that a seqno never has two different contents without a rollback event between (no orphan)
 *	- that in the end it holds exactly what the server holds (no loss)
 *	- that with the gate on it never saw anything that was then lost
 *	- that it did not reopen its stream more than once a second, with a fault every five
 */
#include "tests/dcp_model.h"

#include <inttypes.h>

/* Of all runs of a test. */
static struct {
	uint64_t failovers, kills, rollbacks, reopens, seconds;
} sum;

/* ---- what the state machine asks for ---- */

static void on_stream_req(void *arg, struct vbucket *v, const struct wire_stream_req *r)
{
	struct model *m = arg;
	m->requested = true;
	m->req = *r;
	m->opaque = vbucket_opaque(v);
	m->open = m->purge_asked = false;
}

static void on_failover_log(void *arg, struct vbucket *v)
{
	struct model *m = arg;
	m->log_asked = true;
	m->opaque = vbucket_opaque(v);
}

static void on_ask_purge(void *arg, struct vbucket *v)
{
	struct model *m = arg;
	m->purge_asked = true;
	m->opaque = vbucket_opaque(v);
}

static void save_purge(struct model *m)
{
	m->saved = ack_rollback_open(&m->window) ? (struct dcp_purge){ 0 } : m->known;
}

static void on_purge(void *arg, struct vbucket *v)
{
	struct model *m = arg;
	m->known = v->purge;
	if (m->saved.uuid && m->window.mark.seqno == 0)
		save_purge(m); /* before anything is handed out */
}

static void on_close(void *arg, struct vbucket *v, int node, uint32_t opaque)
{
	(void)v;
	(void)node;
	(void)opaque;
	((struct model *)arg)->open = false;
}

static void ignore_dropped(void *arg, struct vbucket *v, uint32_t connection, uint32_t bytes)
{
	(void)arg;
	(void)v;
	(void)connection;
	(void)bytes;
}

static void ignore(void *arg, struct vbucket *v)
{
	(void)arg;
	(void)v;
}

static void ignore_map(void *arg, struct vbucket *v, struct slice map)
{
	(void)arg;
	(void)v;
	(void)map;
}

static void consume_rollback(struct model *m, const struct dcp_event *ev)
{
	for (uint64_t s = ev->rollback_to + 1; s < SEQNOS; s++)
		m->seen[s].content = 0;
	m->told_rollbacks++;
}

static int on_emit(void *arg, struct vbucket *v, const struct dcp_event *ev)
{
	struct model *m = arg;
	uint64_t ticket;
	assert_false(v->paused);
	if (ev->kind == DCP_ADVANCED)
		return ack_advance(&m->window, &ev->pos, NULL);
	if (ev->kind == DCP_ROLLBACK) {
		consume_rollback(m, ev);
		assert_int_equal(ack_rollback(&m->window, &ev->pos, &ticket, NULL), 0);
	} else {
		struct packet packet;
		struct dcp_event doc = { 0 };
		uint64_t s;
		assert_int_equal(packet_parse(ev->packet, PACKET_BODY_MAX, &packet, NULL, NULL), 1);
		assert_int_equal(event_of_packet(&packet, v->config->collections, &doc, &s), 1);
		assert_true(s == ev->pos.seqno && doc.kind == ev->kind);
		uint32_t content = get_be32(doc.key.p + 1);
		if (m->seen[s].content && m->seen[s].content != content)
			fail_msg("seqno %" PRIu64 " had content %u and now %u", s,
				 m->seen[s].content, content);
		if (m->gate)
			assert_true(s <= m->persisted);
		m->seen[s] = (struct item){ content, doc.key.p[0] };
		enum ack_kind kind = ev->out_of_order ? ACK_HOLD : ACK_EVENT;
		assert_int_equal(ack_push(&m->window, kind, &ev->pos, &ticket, NULL), 0);
	}
	assert_true(m->n_tickets < TICKETS);
	m->ticket[m->n_tickets++] = ticket;
	return 0;
}

/* At the beginning of everything the mark adopts the branch, so that a restart can tell when it is gone. */
static void adopt_branch(void *arg, struct vbucket *v)
{
	struct model *m = arg;
	if (m->window.mark.seqno == 0 && m->window.mark.uuid == 0)
		m->window.mark.uuid = v->log.entry[v->log.n - 1].uuid;
}

static void on_retreat(void *arg, struct vbucket *v, const struct dcp_position *pos)
{
	struct model *m = arg;
	(void)v;
	ack_retreat(&m->window, pos);
	m->retreating = true;
}

static const struct vbucket_ops ops = {
	.stream_req = on_stream_req,
	.failover_log = on_failover_log,
	.close_stream = on_close,
	.emit = on_emit,
	.dropped = ignore_dropped,
	.timer = ignore,
	.wrong_node = ignore_map,
	.history = adopt_branch,
	.ask_purge = on_ask_purge,
	.purge = on_purge,
	.retreat = on_retreat,
};

/* ---- the consumer ---- */

static void after_acks(struct model *m, uint64_t rollbacks_before)
{
	if (m->window.rollbacks_acked == rollbacks_before || ack_rollback_open(&m->window))
		return;
	save_purge(m);
	vbucket_on_rollback_acked(&m->v, m->now);
}

static void acknowledge_some(struct model *m, bool all)
{
	while (m->n_tickets && (all || rnd(m, 4))) {
		size_t i = rnd(m, (uint32_t)m->n_tickets);
		uint64_t before = m->window.rollbacks_acked;
		(void)ack_one(&m->window, m->ticket[i], NULL);
		m->ticket[i] = m->ticket[--m->n_tickets];
		after_acks(m, before);
	}
}

static void refuse(struct model *m)
{
	uint64_t before = m->window.rollbacks_acked;
	ack_rewind(&m->window);
	m->n_tickets = 0;
	/* a rollback that is still open keeps its ticket */
	for (uint64_t t = m->window.head; t != m->window.tail; t++)
		m->ticket[m->n_tickets++] = t;
	vbucket_rewind(&m->v, &m->window.mark, 0, m->now);
	after_acks(m, before);
}

static void start(struct model *m, bool restarted)
{
	struct vbucket_start s = { .pos = m->window.mark,
				   .points = m->window.points,
				   .purge = m->saved,
				   .restarted = restarted,
				   .high_seqno = m->high,
				   .end_seqno = VBUCKET_NO_END };
	m->known = m->saved;
	vbucket_start(&m->v, &s, m->now);
	vbucket_on_node(&m->v, 0, true, ++m->connection, m->now);
}

static void kill_and_restart(struct model *m)
{
	struct dcp_position mark = m->window.mark;
	struct points points = m->window.points;
	uint64_t first = m->window.tail;
	sum.kills++;
	vbucket_stop(&m->v);
	ack_done(&m->window);
	ack_init(&m->window, first, &mark, &points);
	m->n_tickets = 0;
	m->open = m->requested = m->log_asked = m->purge_asked = m->retreating = false;
	vbucket_on_node(&m->v, 0, false, 0, m->now);
	if (rnd(m, 2))
		m->behind = UINT64_MAX; /* meanwhile it caught up */
	start(m, true);
}

static void step(struct model *m, bool calm)
{
	m->now += NSEC_PER_MS * (1 + rnd(m, 1000));
	if (m->v.timer_at) {
		m->now = MAX(m->now, m->v.timer_at);
		vbucket_on_timer(&m->v, m->now);
	}
	if (m->gate && rnd(m, 2))
		vbucket_on_persisted(&m->v, m->log.entry[0].uuid, m->persisted, m->now);
	if (m->requested) {
		answer_request(m);
	} else if (m->log_asked) {
		m->log_asked = false;
		give_log(m, OP_DCP_GET_FAILOVER_LOG);
	} else if (m->purge_asked && (!m->open || rnd(m, 2))) {
		answer_statistics(m);
	} else if (m->open) {
		send_some(m);
	}
	if (!m->v.node_ready)
		vbucket_on_node(&m->v, m->v.node, true, ++m->connection, m->now);
	if (m->retreating && rnd(m, 2)) {
		m->retreating = false;
		save_purge(m);
		vbucket_on_retreated(&m->v, m->now);
	}
	acknowledge_some(m, calm);
	if (rnd(m, 3) == 0)
		save_purge(m);
	if (calm || rnd(m, 30) == 0) {
		uint64_t before = purged(m);
		m->behind = UINT64_MAX;
		end_what_misses(m, before);
	}
	if (calm || rnd(m, 10) == 0)
		vbucket_resume(&m->v, m->now);
	if (calm)
		return;
	if (rnd(m, 2) == 0)
		write_some(m);
	if (m->log_asked && m->v.state == VB_LOG && rnd(m, 8) == 0)
		fail_over(m, true);
	if (m->v.state == VB_REWIND && rnd(m, 8) == 0) {
		kill_and_restart(m);
		return;
	}
	switch (rnd(m, 60)) {
	case 0: fail_over(m, false); break;
	case 1: kill_and_restart(m); break;
	case 2: refuse(m); break;
	case 3:
		m->open = m->requested = m->log_asked = m->purge_asked = false;
		vbucket_on_node(&m->v, m->v.node, false, m->v.connection, m->now);
		vbucket_on_node(&m->v, m->v.node, true, ++m->connection, m->now);
		break;
	case 4:
		if (m->open)
			send_number(m, OP_DCP_STREAM_END, 1 + rnd(m, 6), 4);
		break;
	case 5: fall_behind(m); break;
	case 6: vbucket_pause(&m->v, m->now); break;
	case 7: purge_some(m); break;
	case 8: vbucket_relieve(&m->v, m->now); break;
	}
}

static void compare(const struct model *m, uint32_t seed)
{
	for (int key = 0; key < KEYS - 1; key++) {
		struct item want = { 0 }, got = { 0 };
		for (uint64_t s = 1; s < SEQNOS; s++) {
			if (m->item[s].content && m->item[s].key == key)
				want = m->item[s];
			if (m->seen[s].content && m->seen[s].key == key)
				got = m->seen[s];
		}
		if (is_deletion(&want)) /* it may have been purged */
			want.content = 0;
		if (is_deletion(&got))
			got.content = 0;
		if (want.content != got.content)
			fail_msg("seed %u: key %d is %u at the server and %u here", seed, key,
				 want.content, got.content);
	}
}

static bool settled(const struct model *m)
{
	return m->v.state == VB_STREAMING && m->window.mark.seqno == m->high &&
	       m->window.mark.uuid == m->log.entry[0].uuid;
}

static void run(uint32_t seed, bool gate, bool unsafe)
{
	static struct model m;
	m = (struct model){ .rng = seed * 2654435761u + gate,
			    .next_uuid = 2,
			    .behind = UINT64_MAX,
			    .now = NSEC_PER_SEC,
			    .gate = gate,
			    .unsafe = unsafe,
			    .older = seed % 2,
			    .config = { .ops = &ops, .ask_purge_first = seed / 2 % 2 } };
	m.config.arg = &m;
	m.log = (struct failover_log){ .n = 1, .entry = { { 1, 0 } } };
	vbucket_init(&m.v, 1, &m.config, seed);
	ack_init(&m.window, 1, &(struct dcp_position){ 0 }, NULL);
	vbucket_set_gate(&m.v, gate ? GATE_ON : GATE_OFF, m.now);
	start(&m, false);
	/* short ones, too: later versions hide what was lost */
	for (uint32_t n = 20 + rnd(&m, 480); n > 0; n--)
		step(&m, false);
	m.persisted = m.high;
	for (int i = 0; i < 3000 && !settled(&m); i++)
		step(&m, true);
	if (m.v.state != VB_STREAMING || m.window.mark.seqno != m.high)
		fail_msg("seed %u: stuck at %" PRIu64 " of %" PRIu64 ", %s", seed,
			 m.window.mark.seqno, m.high,
			 vbucket_state_name((enum vbucket_state)m.v.state));
	compare(&m, seed);
	sum.failovers += m.failovers;
	sum.rollbacks += m.told_rollbacks;
	sum.reopens += m.v.n_reopens;
	sum.seconds += (uint64_t)(m.now / NSEC_PER_SEC);
	vbucket_stop(&m.v);
	vbucket_done(&m.v);
	ack_done(&m.window);
	buf_done(&m.packet);
}

static void run_many(bool gate, bool unsafe)
{
	long n = test_count(2000, 20000);
	memset(&sum, 0, sizeof(sum));
	for (long seed = 1; seed <= n; seed++)
		run((uint32_t)seed, gate, unsafe);
	print_message("%ld runs: %" PRIu64 " failovers, %" PRIu64 " kills, %" PRIu64
		      " rollbacks told, %" PRIu64 " reopens in %" PRIu64 " s\n",
		      n, sum.failovers, sum.kills, sum.rollbacks, sum.reopens, sum.seconds);
	assert_true(sum.failovers >= 5000);
	assert_true(sum.reopens <= sum.seconds);
}

static void b2_after_any_number_of_failovers_the_consumer_has_what_the_server_has(void **state)
{
	(void)state;
	run_many(false, false);
}

static void b2_with_the_gate_on_nothing_that_was_lost_had_been_handed_out(void **state)
{
	(void)state;
	run_many(true, false);
}

static void b2_when_more_copies_are_lost_than_the_gate_waited_for(void **state)
{
	(void)state;
	run_many(true, true);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			b2_after_any_number_of_failovers_the_consumer_has_what_the_server_has),
		cmocka_unit_test(b2_with_the_gate_on_nothing_that_was_lost_had_been_handed_out),
		cmocka_unit_test(b2_when_more_copies_are_lost_than_the_gate_waited_for),
	};
	return cmocka_run_group_tests_name("dcp/model", tests, NULL, NULL);
}
