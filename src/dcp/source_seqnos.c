/* source_seqnos.c: how far the server is, asked of every node now and then, so that lag can be told while nothing comes.
 *
 *	timer ─▶ GET_ALL_VB_SEQNOS to each node, once for each collection that is streamed
 *	                 └─▶ greatest of the answers per vBucket (high_next) ─ all are there ─▶ high_now
 *
 * With a filter the vBucket's own high seqno says little: documents of other collections count there. A fully filtered
 * snapshot produces no message either, so what was received does not say it. Answers carry the opaque 1 (the requests
 * that vBuckets wait for at their start have 0). A round that a node did not finish is dropped. */
#include "dcp/source_internal.h"

enum { OPAQUE = 1, VB_ACTIVE = 1 };

static void ask(struct node *n, bool of_collection, uint32_t id)
{
	wire_get_all_vb_seqnos(conn_out(n->dcp), OPAQUE, VB_ACTIVE, of_collection, id);
	conn_await(n->dcp);
	n->highs_open++;
}

static void ask_node(struct dcp_source *s, struct node *n)
{
	if (n->highs_open)
		return; /* slow: the last round is still under way */
	n->highs_failed = false;
	bool filtered = source_is_filtered(s);
	mutex_lock(&s->lock);
	for (size_t i = 0; filtered && i < s->manifest.n; i++)
		if (source_streams(s, &s->manifest.entry[i]))
			ask(n, true, s->manifest.entry[i].id);
	mutex_unlock(&s->lock);
	if (!filtered)
		ask(n, false, 0);
	conn_flush(n->dcp);
}

static void refresh(void *arg)
{
	struct dcp_source *s = arg;
	timer_set(&s->highs_timer, s->o.seqno_interval);
	if (!s->slot)
		return;
	for (uint32_t i = 0; i < s->n_nodes; i++)
		if (s->node[i]->in_map && conn_is_ready(s->node[i]->dcp))
			ask_node(s, s->node[i]);
}

static bool serves(const struct dcp_source *s, const struct node *n, uint32_t vb)
{
	int owner = cluster_owner(s->map, vb, 0);
	return owner >= 0 && s->map_node[owner] == n->index;
}

static void end_round(struct dcp_source *s, const struct node *n)
{
	for (uint32_t vb = 0; vb < s->n_slots; vb++) {
		struct slot *slot = &s->slot[vb];
		if (!serves(s, n, vb))
			continue;
		if (!n->highs_failed)
			slot->high_now = slot->high_next;
		slot->high_next = 0;
	}
}

/* A collection that was dropped meanwhile is refused; it has nothing to catch up with. After any other error the round
 * says nothing: a missing answer is not seqno 0. */
void source_seqnos_reply(struct dcp_source *s, struct node *n, const struct packet *p)
{
	size_t count = 0;
	if (n->highs_open == 0)
		return;
	if (p->vb_status == STATUS_OK)
		n->highs_failed |= wire_seqnos_count(p, &count, NULL) < 0;
	else
		n->highs_failed |= p->vb_status != STATUS_UNKNOWN_COLLECTION;
	for (size_t i = 0; i < count; i++) {
		uint16_t vb;
		uint64_t seqno;
		wire_seqnos_at(p, i, &vb, &seqno);
		if (vb < s->n_slots && serves(s, n, vb))
			s->slot[vb].high_next = MAX(s->slot[vb].high_next, seqno);
	}
	if (--n->highs_open == 0)
		end_round(s, n);
}

void source_seqnos_lost(struct node *n)
{
	struct dcp_source *s = n->s;
	n->highs_failed = true;
	if (n->highs_open && s->map)
		end_round(s, n);
	n->highs_open = 0;
}

int source_seqnos_init(struct dcp_source *s, struct err *e)
{
	enum { EVERY_S = 10 };
	if (!s->o.seqno_interval)
		s->o.seqno_interval = EVERY_S * NSEC_PER_SEC;
	return timer_init(&s->highs_timer, s->loop, refresh, s, e);
}

void source_seqnos_start(struct dcp_source *s)
{
	timer_set(&s->highs_timer, s->o.seqno_interval);
}
