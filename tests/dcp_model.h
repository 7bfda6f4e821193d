/* dcp_model.h: a model of one vBucket's server, with a full history and branches, that answers the state machine as a
 * node would; beside it what the consumer has. For the dcp_model test.
 *
 * It deduplicates by key within each snapshot it sends, answers STREAM_REQ by the server's rollback rule, fails over
 * (losing what lies above a random seqno), purges deletions and falls behind. */
#ifndef TESTS_DCP_MODEL_H
#define TESTS_DCP_MODEL_H

#include "tests/test.h"

#include "dcp/ack.h"
#include "dcp/vbucket.h"

#include <inttypes.h>
#include <stdio.h>
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
	uint64_t next_uuid, failovers;
	uint32_t next_content;
	bool open, log_asked, purge_asked;
	bool older; /* than 8.0: says what is purged in its statistics only, and takes no purge seqno */
	uint64_t sent, snap_end;
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

static inline uint32_t rnd(struct model *m, uint32_t n)
{
	m->rng = m->rng * 1664525 + 1013904223;
	return (uint32_t)((uint64_t)(m->rng >> 8) * n >> 24);
}

/* ---- the server ---- */

static inline void give(struct model *m, struct packet p)
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

static inline void give_log(struct model *m, uint8_t opcode)
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
static inline uint64_t shown(const struct model *m)
{
	return MIN(m->high, m->behind);
}

static inline uint64_t purged(const struct model *m)
{
	return MIN(m->purge, shown(m));
}

static inline bool is_deletion(const struct item *i)
{
	return i->content % 4 == 0;
}

/* The server's rule: 1 and *to, or 0 accepted. */
static inline int needs_rollback(const struct model *m, uint64_t *to)
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

static inline void answer_request(struct model *m)
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

static inline void give_statistic(struct model *m, uint16_t status, const char *name,
				  uint64_t value)
{
	char text[24];
	int len = snprintf(text, sizeof(text), "%" PRIu64, value);
	give(m, (struct packet){ .magic = MAGIC_RESPONSE,
				 .opcode = OP_STAT,
				 .vb_status = status,
				 .key = slice_str(name),
				 .value = slice_of(text, *name ? (size_t)len : 0) });
}

static inline void answer_statistics(struct model *m)
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

static inline void send_item(struct model *m, uint64_t s)
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

static inline void send_number(struct model *m, uint8_t opcode, uint64_t v, size_t size)
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
static inline bool left_out(const struct model *m, uint64_t s)
{
	if (is_deletion(&m->item[s]) && s <= purged(m))
		return true;
	for (uint64_t t = s + 1; t <= m->snap_end; t++)
		if (m->item[t].key == m->item[s].key)
			return true;
	return false;
}

/* Everything up to high, in any order, once each key. */
static inline void send_out_of_order(struct model *m)
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

/* A snapshot of some of what it has, in one of the forms a server knows. */
static inline void send_marker(struct model *m)
{
	uint64_t high = shown(m);
	uint8_t x[52] = { 0 };
	static const uint8_t version = 2;
	m->snap_end = m->sent + 1 + rnd(m, (uint32_t)(high - m->sent));
	if (m->sent < purged(m)) /* read from disk, whole: what was purged says so nowhere else */
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

static inline void send_some(struct model *m)
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
		send_marker(m);
	}
	for (uint32_t n = 1 + rnd(m, 8); n > 0 && m->open && m->sent < m->snap_end; n--) {
		uint64_t s = ++m->sent;
		if (!left_out(m, s) && m->item[s].key < KEYS - 1)
			send_item(m, s);
		else if (s == m->snap_end) /* the last key stands for a filtered collection */
			send_number(m, OP_DCP_SEQNO_ADVANCED, s, 8);
	}
}

static inline void write_some(struct model *m)
{
	for (uint32_t n = rnd(m, 6); n > 0 && m->high + 1 < SEQNOS; n--)
		m->item[++m->high] = (struct item){ ++m->next_content, (uint8_t)rnd(m, KEYS) };
	if (rnd(m, 3) == 0)
		m->persisted += rnd(m, (uint32_t)(m->high - m->persisted) + 1);
}

/* Quietly: while the client waits for the failover log, which then says more than the answer that made it ask. */
static inline void fail_over(struct model *m, bool quietly)
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
	m->failovers++;
	if (quietly)
		return;
	m->open = m->requested = m->log_asked = m->purge_asked = false;
	vbucket_on_node(&m->v, (int)(m->next_uuid % 2), true, ++m->connection, m->now);
}

/* A stream that would miss deletions which are gone by now ends, if it is not at its very beginning. */
static inline void end_what_misses(struct model *m, uint64_t purged_before)
{
	if (!m->open || purged(m) == purged_before || m->sent >= purged(m) || m->snap_end == 0)
		return;
	m->open = false;
	send_number(m, OP_DCP_STREAM_END, STREAM_END_ROLLBACK, 4);
}

static inline void purge_some(struct model *m)
{
	uint64_t before = purged(m);
	m->purge += rnd(m, (uint32_t)(m->high - m->purge) + 1);
	end_what_misses(m, before);
}

/* For a while a copy answers that has less, although the branch is the same. */
static inline void fall_behind(struct model *m)
{
	m->behind = rnd(m, (uint32_t)m->high + 1);
	m->open = m->requested = m->log_asked = m->purge_asked = false;
	vbucket_on_node(&m->v, m->v.node, false, m->v.connection, m->now);
}

#endif
