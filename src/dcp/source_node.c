/* source_node.c: nodes and their connections: opened, lost, tried again with a growing, jittered delay. What comes on
 * one goes to the vBucket it is for. */
#include "dcp/source_internal.h"

#include "base/mem.h"

#include <stdio.h>

enum { LOST_TRIES = 3 }; /* then a node counts as gone */

struct node *source_node_of(struct dcp_source *s, const struct vbucket *v)
{
	return v->node >= 0 && (uint32_t)v->node < s->n_nodes ? s->node[v->node] : NULL;
}

struct conn *source_ready_conn(struct dcp_source *s, int node)
{
	struct conn *c = node >= 0 && (uint32_t)node < s->n_nodes ? s->node[node]->dcp : NULL;
	return conn_is_ready(c) ? c : NULL;
}

/* ---- what comes ---- */

static void on_ready(void *arg, struct conn *c)
{
	struct node *n = arg;
	n->tries = 0;
	n->asked_seqnos = false;
	source_http_review(n->s);
	source_ask_kind(n->s, c);
	source_make_ready(n->s);
	if (n->s->slot) {
		source_place_all(n->s);
		source_ask_seqnos(n->s);
	}
	source_drop_strangers(n->s);
}

static size_t on_documents(void *arg, struct slice in)
{
	const struct node *n = arg;
	struct dcp_source *s = n->s;
	if (in.len < PACKET_HEADER || in.p[0] != MAGIC_REQUEST)
		return 0;
	uint16_t vb = (uint16_t)get_be32(in.p + 12);
	if (vb >= s->n_slots || s->slot[vb].v.node != n->index)
		return 0;
	return vbucket_on_documents(&s->slot[vb].v, in);
}

static void on_packet(void *arg, struct conn *c, const struct packet *p, nsec now)
{
	struct node *n = arg;
	struct dcp_source *s = n->s;
	uint16_t vb = (uint16_t)p->opaque;
	bool known = p->opaque >> 16 && vb < s->n_slots;
	if (likely(!packet_is_response(p))) {
		if (unlikely(p->opcode == OP_DCP_SYSTEM_EVENT))
			source_learn_name(s, p);
		if (likely(known && s->slot[vb].v.node == n->index))
			vbucket_on_packet(&s->slot[vb].v, p, now);
		else
			conn_consumed(c, (uint32_t)p->len);
		return;
	}
	switch (p->opcode) {
	case OP_DCP_STREAM_REQ:
	case OP_DCP_GET_FAILOVER_LOG:
	case OP_DCP_CLOSE_STREAM:
		if (known && s->slot[vb].v.node == n->index)
			vbucket_on_response(&s->slot[vb].v, p, source_now(s));
		return;
	case OP_GET_ALL_VB_SEQNOS:
		if (p->opaque)
			source_seqnos_reply(s, n, p);
		else
			source_on_seqnos(s, n, p);
		return;
	case OP_STAT: source_on_stat(s, c, p); return;
	}
}

static void on_round(void *arg, struct conn *c)
{
	struct node *n = arg;
	(void)c;
	source_flush(n->s);
	source_observe_soon(n->s);
	source_look_if_open(n->s);
}

static void on_map(void *arg, struct conn *c, struct slice json)
{
	struct node *n = arg;
	bool accepted;
	source_adopt_map(n->s, json, conn_host(c), conn_port(c), &accepted);
}

static void on_manifest(void *arg, struct conn *c, struct slice json)
{
	struct node *n = arg;
	(void)c;
	source_manifest(n->s, json);
}

/* ---- opened and lost ---- */

nsec source_jittered(struct dcp_source *s, uint32_t tries)
{
	nsec min = s->o.backoff_min ? s->o.backoff_min : 100 * NSEC_PER_MS;
	nsec max = s->o.backoff_max ? s->o.backoff_max : 10 * NSEC_PER_SEC;
	nsec wait = min;
	uint32_t r = 0;
	for (uint32_t i = 1; i < tries && wait < max; i++)
		wait *= 2;
	wait = MIN(wait, max);
	(void)env_random(s->env, &r, sizeof(r), NULL);
	return wait / 2 + (nsec)(r % (uint64_t)(wait / 2 + 1));
}

/* With a map a node may not have the bucket yet, but the login is the same everywhere. */
static bool fatal_at_start(const struct dcp_source *s, int code)
{
	return !s->ready && (code == ERR_AUTH || (!s->map && code == ERR_NOTFOUND));
}

/* The whole cluster may have moved: whoever we began with may know where it is. */
static void look_elsewhere(struct dcp_source *s, const struct node *n)
{
	if (!s->map || n->tries < LOST_TRIES)
		return;
	for (uint32_t i = 0; i < s->n_nodes; i++)
		if (conn_is_ready(s->node[i]->dcp))
			return;
	source_try_seed(s);
}

static void on_dcp_closed(void *arg, struct conn *c, const struct err *why)
{
	struct node *n = arg;
	struct dcp_source *s = n->s;
	source_note_error(s, why);
	n->dcp = NULL;
	n->asked_seqnos = false;
	n->asked |= conn_has_asked(c);
	source_kind_lost(s, c);
	source_seqnos_lost(n);
	conn_free(c);
	s->reconnects++;
	for (uint32_t i = 0; i < s->n_slots; i++)
		if (s->slot[i].assigned && s->slot[i].v.node == n->index)
			vbucket_on_node(&s->slot[i].v, n->index, false, 0, source_now(s));
	source_flush(s);
	n->tries++;
	source_http_review(s);
	if (fatal_at_start(s, why->code))
		source_fail(s, why);
	source_note_port(s, n->host, n->port, why);
	if (!s->map) {
		timer_set(&n->retry, source_jittered(s, n->tries));
		return;
	}
	if (n->in_map)
		timer_set(&n->retry, source_jittered(s, n->tries));
	look_elsewhere(s, n);
	for (uint32_t i = 0; i < s->n_nodes; i++) /* it may be gone for good: the others know */
		if (conn_is_ready(s->node[i]->dcp))
			conn_ask_map(s->node[i]->dcp);
}

static const struct conn_ops dcp_conn_ops = {
	.ready = on_ready,
	.documents = on_documents,
	.packet = on_packet,
	.round = on_round,
	.map = on_map,
	.manifest = on_manifest,
	.closed = on_dcp_closed,
};

void source_connect(struct node *n)
{
	struct dcp_source *s = n->s;
	struct err e = ERR_INIT;
	char name[WIRE_NAME_MAX + 1];
	uint32_t r[2] = { 0 };
	if (n->dcp)
		return;
	(void)env_random(s->env, r, sizeof(r), NULL);
	(void)snprintf(name, sizeof(name), "weir:%.150s_%08x%08x", s->o.group, r[0], r[1]);
	struct conn_options o = s->conn_options;
	o.dcp = true;
	o.unproven = s->map == NULL;
	o.asked = n->asked;
	o.slabs = &s->slabs;
	o.name = name;
	if (conn_open(s->loop, n->host, n->port, &o, &dcp_conn_ops, n, &n->dcp, &e) < 0) {
		source_note_error(s, &e);
		timer_set(&n->retry, source_jittered(s, ++n->tries));
	}
}

static void retry_dcp(void *arg)
{
	struct node *n = arg;
	if (!n->s->map)
		source_try_seed(n->s);
	else if (n->in_map)
		source_connect(n);
}

static struct node *find_node(struct dcp_source *s, const char *host, uint16_t port)
{
	for (uint32_t i = 0; i < s->n_nodes; i++)
		if (s->node[i]->port == port && strcmp(s->node[i]->host, host) == 0)
			return s->node[i];
	return NULL;
}

struct node *source_add_node(struct dcp_source *s, const char *host, uint16_t port)
{
	struct node *n = find_node(s, host, port);
	if (n || s->n_nodes == CLUSTER_NODES_MAX)
		return n;
	n = mem_try(sizeof(*n));
	if (!n)
		return NULL;
	n->s = s;
	n->port = port;
	(void)snprintf(n->host, sizeof(n->host), "%s", host);
	if (timer_init(&n->retry, s->loop, retry_dcp, n, NULL) < 0) {
		mem_free(n);
		return NULL;
	}
	n->index = (int)s->n_nodes;
	s->node[s->n_nodes++] = n;
	return n;
}
