/* The state machine and the acknowledgement window against a model of one vBucket, at random.
 *
 * The model keeps a full history with branches, deduplicates by key within each snapshot it sends, answers
 * STREAM_REQ by the server's rollback rule, fails over (losing what lies above a random seqno), purges deletions and
 * cuts the stream anywhere. The consumer pauses and resumes it, applies everything it gets at once, acknowledges in
 * random order, sometimes refuses, and is killed now and then; what it applied survives, what it had not acknowledged
 * comes again. It checks
 *
 *	- that a seqno never has two different contents without a rollback event between (no orphan)
 *	- that in the end it holds exactly what the server holds (no loss)
 *	- that with the gate on it never saw anything that was then lost
 *	- that it did not reopen its stream more than once a second, with a fault every five
 */
#include "tests/test.h"

#include "dcp/ack.h"
#include "dcp/vbucket.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEYS = 6, SEQNOS = 4000, TICKETS = 1 << 15 };

struct item {
	uint32_t content; /* 0: nothing; unique for each write */
	uint8_t key;
};

struct model {
	/* the server */
	struct item item[SEQNOS];
	uint64_t high, persisted;
	uint64_t purge;  /* deletions up to here are gone */
	uint64_t behind; /* what the copy that answers has, on the same branch; UINT64_MAX: all */
	struct failover_log log; /* newest first */
	uint64_t next_uuid;
	uint32_t next_content;
	bool open, log_asked, purge_asked;
	bool older; /* than 8.0: says what is purged in its statistics only, and takes no purge seqno */
	uint64_t sent, snap_start, snap_end;
	uint32_t opaque;
	/* the consumer */
	struct item seen[SEQNOS];
	uint64_t ticket[TICKETS];
	size_t n_tickets;
	struct ack_window window;
	uint64_t rollbacks, told_rollbacks;
	bool gate, unsafe;             /* unsafe: what the gate waited for is lost all the same */
	bool retreating;               /* the checkpoint is being set back */
	struct dcp_purge known, saved; /* by the machine; by the checkpoint, now and then */
	/* both */
	struct vbucket v;
	struct vbucket_config config;
	struct buf packet;
	bool requested;
	struct wire_stream_req req;
	nsec now;
	uint32_t rng, connection;
};

/* Of all runs of a test. */
static struct {
	uint64_t failovers, kills, rollbacks, reopens, seconds;
} sum;

static uint32_t rnd(struct model *m, uint32_t n)
{
	m->rng = m->rng * 1664525 + 1013904223;
	return (uint32_t)((uint64_t)(m->rng >> 8) * n >> 24);
}

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

/* ---- the server ---- */

static void give(struct model *m, struct packet p)
{
	struct packet view;
	p.opaque = m->opaque;
	buf_reset(&m->packet);
	packet_encode(&m->packet, &p);
	assert_int_equal(packet_parse(buf_slice(&m->packet), PACKET_BODY_MAX, &view, NULL, NULL),
			 1);
	if (packet_is_response(&view))
		vbucket_on_response(&m->v, &view, m->now);
	else
		vbucket_on_packet(&m->v, &view, m->now);
}

static void give_log(struct model *m, uint8_t opcode)
{
	uint8_t bytes[16 * FAILOVER_MAX];
	for (uint32_t i = 0; i < m->log.n; i++) {
		put_be64(bytes + 16 * i, m->log.entry[i].uuid);
		put_be64(bytes + 16 * i + 8, m->log.entry[i].seqno);
	}
	give(m, (struct packet){ .magic = MAGIC_RESPONSE,
				 .opcode = opcode,
				 .value = slice_of(bytes, 16 * m->log.n) });
}

/* What can be had just now. */
static uint64_t shown(const struct model *m)
{
	return MIN(m->high, m->behind);
}

static uint64_t purged(const struct model *m)
{
	return MIN(m->purge, shown(m));
}

static bool is_deletion(const struct item *i)
{
	return i->content % 4 == 0;
}

/* The server's rule: 1 and *to, or 0 accepted. */
static int needs_rollback(const struct model *m, uint64_t *to)
{
	uint64_t start = m->req.start, s = m->req.snap_start, e = m->req.snap_end;
	if (start == 0)
		return 0;
	uint64_t upper = shown(m);
	uint32_t i = 0;
	while (i < m->log.n && m->log.entry[i].uuid != m->req.uuid)
		i++;
	*to = 0;
	if (start < purged(m) &&
	    (m->older || !m->req.knows_purge || m->req.purge_seqno != purged(m)))
		return 1;
	if (i == m->log.n)
		return 1;
	if (i > 0)
		upper = m->log.entry[i - 1].seqno;
	if (start == s)
		e = start;
	if (e <= upper)
		return 0;
	if (start == e)
		s = start;
	*to = upper < s ? upper : s;
	return 1;
}

static void answer_request(struct model *m)
{
	uint64_t to;
	m->requested = false;
	if (rnd(m, 20) == 0) {
		give(m, (struct packet){ .magic = MAGIC_RESPONSE,
					 .opcode = OP_DCP_STREAM_REQ,
					 .vb_status = STATUS_ETMPFAIL });
		return;
	}
	if (needs_rollback(m, &to)) {
		uint8_t v[8];
		put_be64(v, to);
		m->rollbacks++;
		give(m, (struct packet){ .magic = MAGIC_RESPONSE,
					 .opcode = OP_DCP_STREAM_REQ,
					 .vb_status = STATUS_ROLLBACK,
					 .value = slice_of(v, 8) });
		return;
	}
	m->open = true;
	m->sent = m->snap_end = m->req.start;
	give_log(m, OP_DCP_STREAM_REQ);
}

static void give_statistic(struct model *m, uint16_t status, const char *name, uint64_t value)
{
	char text[24];
	int len = snprintf(text, sizeof(text), "%" PRIu64, value);
	give(m, (struct packet){ .magic = MAGIC_RESPONSE,
				 .opcode = OP_STAT,
				 .vb_status = status,
				 .key = slice_str(name),
				 .value = slice_of(text, *name ? (size_t)len : 0) });
}

static void answer_statistics(struct model *m)
{
	m->purge_asked = false;
	switch (rnd(m, 12)) {
	case 0: give_statistic(m, STATUS_EACCESS, "", 0); return;
	case 1: give_statistic(m, STATUS_ETMPFAIL, "", 0); return;
	}
	give_statistic(m, STATUS_OK, "vb_1:high_seqno", shown(m));
	give_statistic(m, STATUS_OK, "vb_1:purge_seqno", purged(m));
	give_statistic(m, STATUS_OK, "vb_1:uuid", m->log.entry[0].uuid);
	give_statistic(m, STATUS_OK, "", 0);
}

static void send_item(struct model *m, uint64_t s)
{
	uint8_t x[31] = { 0 }, key[5];
	put_be64(x, s);
	key[0] = m->item[s].key;
	put_be32(key + 1, m->item[s].content);
	give(m, (struct packet){ .magic = MAGIC_REQUEST,
				 .opcode = OP_DCP_MUTATION,
				 .extras = slice_of(x, 31),
				 .key = slice_of(key, 5) });
}

static void send_number(struct model *m, uint8_t opcode, uint64_t v, size_t size)
{
	uint8_t x[8];
	if (size == 8)
		put_be64(x, v);
	else
		put_be32(x, (uint32_t)v);
	give(m, (struct packet){
			.magic = MAGIC_REQUEST, .opcode = opcode, .extras = slice_of(x, size) });
}

/* Not in the snapshot: a later version is, or it was a deletion and is purged. */
static bool left_out(const struct model *m, uint64_t s)
{
	if (is_deletion(&m->item[s]) && s <= purged(m))
		return true;
	for (uint64_t t = s + 1; t <= m->snap_end; t++)
		if (m->item[t].key == m->item[s].key)
			return true;
	return false;
}

/* Everything up to high, in any order, once each key. */
static void send_out_of_order(struct model *m)
{
	m->snap_end = shown(m);
	send_number(m, OP_DCP_OSO_SNAPSHOT, 1, 4);
	uint64_t n = m->snap_end - m->sent, shift = rnd(m, (uint32_t)n);
	for (uint64_t i = 0; i < n && m->open; i++) {
		uint64_t s = m->sent + 1 + (i + shift) % n;
		if (!left_out(m, s))
			send_item(m, s);
		if (rnd(m, 40) == 0)
			return; /* stays open: the caller cuts it */
	}
	if (m->open && left_out(m, m->snap_end))
		send_number(m, OP_DCP_SEQNO_ADVANCED, m->snap_end, 8);
	m->sent = m->snap_end;
	send_number(m, OP_DCP_OSO_SNAPSHOT, 2, 4);
}

static void send_some(struct model *m)
{
	if (m->sent == m->snap_end) {
		uint64_t high = shown(m);
		if (high <= m->sent)
			return;
		if (m->sent == m->req.start && (m->sent == 0 || m->sent >= purged(m)) &&
		    high - m->sent > 3 && rnd(m, 4) == 0) {
			uint64_t before = m->sent;
			send_out_of_order(m);
			if (m->sent == before) {
				m->open = false;
				vbucket_on_node(&m->v, 0, false, m->v.connection, m->now);
			}
			return;
		}
		uint8_t x[52] = { 0 };
		static const uint8_t version = 2;
		m->snap_start = m->sent;
		m->snap_end = m->sent + 1 + rnd(m, (uint32_t)(high - m->sent));
		if (m->sent <
		    purged(m)) /* read from disk, whole: what was purged says so nowhere else */
			m->snap_end = MAX(m->snap_end, purged(m));
		bool disk = m->sent < purged(m) || rnd(m, 2);
		/* the first marker has the requested start, later ones often that of their first item */
		put_be64(x, m->sent == m->req.start || rnd(m, 2) ? m->sent : m->sent + 1);
		put_be64(x + 8, m->snap_end);
		put_be32(x + 16, disk ? SNAPSHOT_DISK : SNAPSHOT_MEMORY);
		put_be64(x + 36, purged(m));
		bool newer = disk && !m->older;
		give(m, (struct packet){ .magic = MAGIC_REQUEST,
					 .opcode = OP_DCP_SNAPSHOT_MARKER,
					 .extras = newer ? slice_of(&version, 1) : slice_of(x, 20),
					 .value = slice_of(x, newer ? 52 : 0) });
	}
	for (uint32_t n = 1 + rnd(m, 8); n > 0 && m->open && m->sent < m->snap_end; n--) {
		uint64_t s = ++m->sent;
		if (!left_out(m, s) && m->item[s].key < KEYS - 1)
			send_item(m, s);
		else if (s == m->snap_end) /* the last key stands for a filtered collection */
			send_number(m, OP_DCP_SEQNO_ADVANCED, s, 8);
	}
}

static void write_some(struct model *m)
{
	for (uint32_t n = rnd(m, 6); n > 0 && m->high + 1 < SEQNOS; n--)
		m->item[++m->high] = (struct item){ ++m->next_content, (uint8_t)rnd(m, KEYS) };
	if (rnd(m, 3) == 0)
		m->persisted += rnd(m, (uint32_t)(m->high - m->persisted) + 1);
}

/* Quietly: while the client waits for the failover log, which then says more than the answer that made it ask. */
static void fail_over(struct model *m, bool quietly)
{
	uint64_t at = m->persisted + rnd(m, (uint32_t)(m->high - m->persisted) + 1);
	if ((!m->gate || m->unsafe) && rnd(m, 3) == 0)
		at = rnd(m, (uint32_t)m->high + 1);
	for (uint64_t s = at + 1; s < SEQNOS; s++)
		m->item[s].content = 0;
	m->high = at;
	m->persisted = MIN(m->persisted, at);
	/* branches of the table that began above the new one's start are pruned */
	uint32_t skip = 0;
	while (skip < m->log.n && m->log.entry[skip].seqno > at)
		skip++;
	m->log.n -= skip;
	memmove(m->log.entry, m->log.entry + skip, m->log.n * sizeof(m->log.entry[0]));
	if (m->log.n == FAILOVER_MAX)
		m->log.n--;
	memmove(m->log.entry + 1, m->log.entry, m->log.n * sizeof(m->log.entry[0]));
	m->log.n++;
	m->log.entry[0] = (struct failover_entry){ m->next_uuid++, at };
	m->behind = UINT64_MAX;
	m->purge = MIN(m->purge, at);
	sum.failovers++;
	if (quietly)
		return;
	m->open = m->requested = m->log_asked = m->purge_asked = false;
	vbucket_on_node(&m->v, (int)(m->next_uuid % 2), true, ++m->connection, m->now);
}

/* A stream that would miss deletions which are gone by now ends, if it is not at its very beginning. */
static void end_what_misses(struct model *m, uint64_t purged_before)
{
	if (!m->open || purged(m) == purged_before || m->sent >= purged(m) || m->snap_end == 0)
		return;
	m->open = false;
	send_number(m, OP_DCP_STREAM_END, STREAM_END_ROLLBACK, 4);
}

static void purge_some(struct model *m)
{
	uint64_t before = purged(m);
	m->purge += rnd(m, (uint32_t)(m->high - m->purge) + 1);
	end_what_misses(m, before);
}

/* For a while a copy answers that has less, although the branch is the same. */
static void fall_behind(struct model *m)
{
	m->behind = rnd(m, (uint32_t)m->high + 1);
	m->open = m->requested = m->log_asked = m->purge_asked = false;
	vbucket_on_node(&m->v, m->v.node, false, m->v.connection, m->now);
}

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
