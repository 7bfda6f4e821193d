/* source_observe.c: asks the copies how far they have persisted, for vBuckets that hold something back.
 *
 *	held ─▶ OBSERVE_SEQNO to every copy that counts, pipelined ─▶ answers ─▶ safe seqno ─▶ released
 *	                 ▲                                                          │ nothing moved
 *	                 └───────────────── after 5 ms, 10, 15, 15 ... ◀─────────────┘
 *
 * Answers are matched by opaque, (copy + 1) << 16 | vBucket, and count only for the branch that is current when they
 * come. A copy that does not answer within a second is asked again; one that is gone holds back only what needs it. */
#include "dcp/source_internal.h"

#define STUCK            (200 * NSEC_PER_MS)
#define RELIEFS_MAX      6
#define RELIEF_FORGOTTEN (60 * NSEC_PER_SEC)
#define ANSWER_WITHIN    (NSEC_PER_SEC)

static void connect_kv(struct node *n);

static void on_kv_ready(void *arg, struct conn *c)
{
	struct node *n = arg;
	(void)c;
	n->kv_tries = 0;
	source_observe_soon(n->s);
}

static void on_kv_packet(void *arg, struct conn *c, const struct packet *p, nsec now)
{
	struct node *n = arg;
	(void)c;
	(void)now;
	if (packet_is_response(p) && p->opcode == OP_OBSERVE_SEQNO)
		source_observe_reply(n->s, n, p);
}

static void on_kv_round(void *arg, struct conn *c)
{
	struct node *n = arg;
	(void)c;
	source_flush(n->s);
}

static void ignore_json(void *arg, struct conn *c, struct slice json)
{
	(void)arg;
	(void)c;
	(void)json;
}

static void on_kv_closed(void *arg, struct conn *c, const struct err *why)
{
	struct node *n = arg;
	(void)why;
	n->kv = NULL;
	conn_free(c);
	source_observe_lost(n->s, n);
	n->kv_tries++;
	if (n->in_map)
		timer_set(&n->kv_retry, source_jittered(n->s, n->kv_tries));
}

static const struct conn_ops kv_ops = {
	.ready = on_kv_ready,
	.packet = on_kv_packet,
	.round = on_kv_round,
	.map = ignore_json,
	.manifest = ignore_json,
	.closed = on_kv_closed,
};

static void retry_kv(void *arg)
{
	connect_kv(arg);
}

static void connect_kv(struct node *n)
{
	struct dcp_source *s = n->s;
	if (n->kv || !n->in_map)
		return;
	if (!n->kv_retry.event && timer_init(&n->kv_retry, s->loop, retry_kv, n, NULL) < 0)
		return;
	struct conn_options o = s->conn_options;
	o.dcp = false;
	o.push_maps = false;
	if (conn_open(s->loop, n->host, n->port, &o, &kv_ops, n, &n->kv, NULL) < 0)
		timer_set(&n->kv_retry, NSEC_PER_SEC);
}

static struct node *node_of_copy(struct dcp_source *s, uint32_t vb, uint32_t copy)
{
	int owner = cluster_owner(s->map, vb, copy);
	return owner >= 0 && s->map_node[owner] >= 0 ? s->node[s->map_node[owner]] : NULL;
}

/* Bits of the copies that the map has; a copy on a node without data service does not exist. */
static uint32_t copies_of(struct dcp_source *s, uint32_t vb)
{
	uint32_t bits = 0;
	uint32_t n = s->o.mitigation.policy == MITIGATE_ACTIVE ? 1 : 1 + s->map->n_replicas;
	for (uint32_t copy = 0; copy < n && copy < MITIGATION_COPIES; copy++)
		if (cluster_owner(s->map, vb, copy) >= 0)
			bits |= 1u << copy;
	return bits;
}

static void ask(struct dcp_source *s, struct slot *slot, nsec now)
{
	uint32_t copies = copies_of(s, slot->v.id);
	uint64_t uuid = slot->v.log.entry[0].uuid;
	slot->asked_uuid = uuid;
	slot->m.in_flight = 0;
	slot->moved = false;
	for (uint32_t copy = 0; copy < MITIGATION_COPIES; copy++) {
		if (!(copies >> copy & 1))
			continue;
		struct node *n = node_of_copy(s, slot->v.id, copy);
		if (!n)
			continue;
		if (!conn_is_ready(n->kv)) {
			connect_kv(n);
			continue;
		}
		wire_observe_seqno(conn_out(n->kv), slot->v.id, (copy + 1) << 16 | slot->v.id,
				   uuid);
		conn_flush(n->kv);
		slot->m.in_flight |= 1u << copy;
	}
	if (slot->m.in_flight)
		slot->m.next_at = now + ANSWER_WITHIN;
	else
		mitigation_schedule(&slot->m, &s->o.mitigation, false, now);
}

/* A vBucket whose copies persist nothing for a while must not keep the window from the others. */
static void relieve(struct dcp_source *s, struct slot *slot, nsec now)
{
	struct vbucket *v = &slot->v;
	uint64_t first = vbucket_first_held(v);
	if (slot->stuck_at != first || slot->stuck_in != v->generation) {
		slot->stuck_at = first;
		slot->stuck_in = v->generation;
		slot->stuck_since = now;
	}
	if (now - slot->relieved_at > RELIEF_FORGOTTEN)
		slot->reliefs = 0;
	struct node *n = source_node_of(s, v);
	if (v->state != VB_STREAMING || v->held.n < 2)
		return;
	/* of what it was relieved of before, nothing has gone: at once */
	nsec wait = v->relieved ? 0 : STUCK << MIN(slot->reliefs, RELIEFS_MAX);
	if (now - slot->stuck_since < wait || !n || !n->dcp ||
	    conn_unacked(n->dcp) < s->o.window_bytes / 4 * 3)
		return;
	slot->relieved_at = now;
	slot->reliefs += !v->relieved;
	vbucket_relieve(v, now);
}

static void ask_all(void *arg)
{
	struct dcp_source *s = arg;
	nsec now = source_now(s), next = 0;
	s->observe_armed = false;
	if (!s->map)
		return;
	for (uint32_t i = 0; i < s->n_slots; i++) {
		struct slot *slot = &s->slot[i];
		if (slot->v.held.n == 0 || slot->v.log.n == 0) {
			slot->m.interval =
				0; /* what is held next begins with short intervals again */
			continue;
		}
		if (slot->m.next_at <= now)
			ask(s, slot, now);
		relieve(s, slot, now);
		if (next == 0 || slot->m.next_at < next)
			next = slot->m.next_at;
	}
	if (next) {
		s->observe_armed = true;
		timer_set(&s->observe_timer, next - now);
	}
}

void source_observe_start(struct dcp_source *s)
{
	(void)timer_init(&s->observe_timer, s->loop, ask_all, s, NULL);
}

void source_observe_soon(struct dcp_source *s)
{
	if (s->o.mitigation.policy != MITIGATE_NONE && s->observe_timer.event)
		ask_all(s);
}

/* Without the answers nothing is handed out: who looks at the status should see why. */
static void note_refusal(struct dcp_source *s, const struct node *n, uint16_t status)
{
	struct err e = ERR_INIT;
	const char *name = status_name(status);
	if (status == STATUS_OK || status == STATUS_KEY_ENOENT || status == STATUS_NOT_MY_VBUCKET)
		return;
	(void)err_set(&e, status == STATUS_EACCESS ? ERR_AUTH : ERR_NET,
		      "%s:%u: asking what is persisted: %s (status 0x%02x)", n->host, n->port,
		      name ? name : "refused", status);
	source_note_error(s, &e);
}

void source_observe_reply(struct dcp_source *s, struct node *n, const struct packet *p)
{
	uint32_t copy = (p->opaque >> 16) - 1;
	uint16_t vb = (uint16_t)p->opaque;
	struct observe_reply r = { 0 };
	if (copy >= MITIGATION_COPIES || vb >= s->n_slots || node_of_copy(s, vb, copy) != n)
		return;
	struct slot *slot = &s->slot[vb];
	struct vbucket *v = &slot->v;
	if (v->log.n == 0 || slot->asked_uuid != v->log.entry[0].uuid)
		return;
	if (p->vb_status == STATUS_OK && observe_parse(p, &r, NULL) < 0)
		return;
	uint64_t uuid = slot->asked_uuid;
	nsec now = source_now(s);
	note_refusal(s, n, p->vb_status);
	bool changed = mitigation_answer(&slot->m, copy, uuid, p->vb_status, &r);
	uint64_t safe = mitigation_safe(&slot->m, s->o.mitigation.policy, copies_of(s, vb), uuid);
	if (v->persisted_uuid != uuid || safe != v->persisted) {
		slot->moved = true;
		vbucket_on_persisted(v, uuid, safe, now);
	}
	if (changed && copy == 0)
		vbucket_on_history_changed(v, now);
	if (slot->m.in_flight == 0)
		mitigation_schedule(&slot->m, &s->o.mitigation, slot->moved, now);
	if (!s->observe_armed || slot->m.in_flight == 0)
		source_observe_soon(s);
}

void source_observe_lost(struct dcp_source *s, const struct node *n)
{
	for (uint32_t i = 0; s->map && i < s->n_slots; i++)
		for (uint32_t copy = 0; copy < MITIGATION_COPIES; copy++)
			if (node_of_copy(s, i, copy) == n)
				s->slot[i].m.in_flight &= ~(1u << copy);
}
