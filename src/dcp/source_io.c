/* source_io.c: the I/O thread of a source: which nodes there are, which vBucket is opened where, and when.
 *
 *	seeds ─▶ first connection ─▶ map ─▶ a connection to every node with data ─▶ high seqnos ─▶ vBuckets start
 *	                              ▲
 *	   not-my-vbucket bodies, notifications, a look every config_watch_interval
 *
 * A node that cannot be reached is tried again with a growing, jittered delay; its vBuckets wait, the others go on. A
 * newer map moves vBuckets at once. */
#include "dcp/source_internal.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define CONFIG_WATCH (10 * NSEC_PER_SEC)
#define SEQNO_RETRY  (100 * NSEC_PER_MS)

enum { KV_PORT = 11210, KV_PORT_TLS = 11207, VB_ACTIVE = 1 };

static void connect_dcp(struct node *n);
static void make_ready(struct dcp_source *s);

static nsec now_of(const struct dcp_source *s)
{
	return loop_now(s->loop);
}

static nsec jittered(struct dcp_source *s, uint32_t tries)
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

void source_fail(struct dcp_source *s, const struct err *why)
{
	mutex_lock(&s->lock);
	if (!s->failed) {
		s->failed = true;
		s->error = *why;
	}
	cond_broadcast(&s->changed);
	notify_set(s->fd);
	mutex_unlock(&s->lock);
}

static void note_error(struct dcp_source *s, const struct err *why)
{
	mutex_lock(&s->lock);
	s->last_error = *why;
	cond_broadcast(&s->changed);
	mutex_unlock(&s->lock);
}

struct node *source_node_of(struct dcp_source *s, const struct vbucket *v)
{
	return v->node >= 0 && (uint32_t)v->node < s->n_nodes ? s->node[v->node] : NULL;
}

/* ---- what the vBuckets ask for ---- */

static struct conn *ready_conn(struct dcp_source *s, int node)
{
	struct conn *c = node >= 0 && (uint32_t)node < s->n_nodes ? s->node[node]->dcp : NULL;
	return conn_is_ready(c) ? c : NULL;
}

static void send_stream_req(void *arg, struct vbucket *v, const struct wire_stream_req *r)
{
	struct conn *c = ready_conn(arg, v->node);
	if (!c)
		return;
	struct wire_stream_req req = *r;
	if (!conn_has(c, HELLO_COLLECTIONS))
		req.json = SLICE_NONE;
	wire_stream_req(conn_out(c), v->id, vbucket_opaque(v), &req);
	conn_flush(c);
}

static void send_failover_log(void *arg, struct vbucket *v)
{
	struct conn *c = ready_conn(arg, v->node);
	if (!c)
		return;
	wire_get_failover_log(conn_out(c), v->id, vbucket_opaque(v));
	conn_flush(c);
}

static void send_close(void *arg, struct vbucket *v, int node, uint32_t opaque)
{
	struct conn *c = ready_conn(arg, node);
	if (!c)
		return;
	wire_close_stream(conn_out(c), v->id, opaque, 0);
	conn_flush(c);
}

static void arm_vb_timer(struct dcp_source *s, nsec at)
{
	if (at == 0 || (s->vb_timer_at && s->vb_timer_at <= at))
		return;
	s->vb_timer_at = at;
	timer_set(&s->vb_timer, at - now_of(s));
}

static void on_vb_timer_changed(void *arg, struct vbucket *v)
{
	arm_vb_timer(arg, v->timer_at);
}

/* Tells who waits for it. One that is to acknowledge a rollback first waits for the consumer, not for the server. */
static void look_if_open(struct dcp_source *s)
{
	mutex_lock(&s->lock);
	if (s->open_waiters && !s->all_open) {
		bool open = true, some = false;
		for (uint32_t i = 0; i < s->n_slots && open; i++) {
			const struct slot *slot = &s->slot[i];
			some |= slot->assigned;
			open = !slot->assigned ||
			       (slot->started &&
				(slot->v.state == VB_STREAMING || slot->v.state == VB_REWIND ||
				 slot->v.state == VB_DONE || slot->v.state == VB_IDLE));
		}
		s->all_open = open && some;
		if (s->all_open)
			cond_broadcast(&s->changed);
	}
	mutex_unlock(&s->lock);
}

static void vb_timer_fired(void *arg)
{
	struct dcp_source *s = arg;
	nsec now = now_of(s), next = 0;
	s->vb_timer_at = 0;
	for (uint32_t i = 0; i < s->n_slots; i++) {
		struct vbucket *v = &s->slot[i].v;
		if (v->timer_at && v->timer_at <= now)
			vbucket_on_timer(v, now);
		if (v->timer_at && (next == 0 || v->timer_at < next))
			next = v->timer_at;
	}
	arm_vb_timer(s, next);
	source_flush(s);
	look_if_open(s);
}

static void adopt_map(struct dcp_source *s, struct slice json, const char *asked, bool *accepted);

static void ask_map(struct conn *c)
{
	wire_get_cluster_config(conn_out(c), 0, false, 0, 0);
	conn_flush(c);
}

static void on_wrong_node(void *arg, struct vbucket *v, struct slice json)
{
	struct dcp_source *s = arg;
	struct node *n = source_node_of(s, v);
	bool accepted = false;
	if (json.len && n)
		adopt_map(s, json, n->host, &accepted);
	if (!accepted)
		for (uint32_t i = 0; i < s->n_nodes; i++)
			if (conn_is_ready(s->node[i]->dcp))
				ask_map(s->node[i]->dcp);
}

/* At the beginning of everything the mark adopts the branch, so that a restart can tell when it is gone. */
static void on_history(void *arg, struct vbucket *v)
{
	struct dcp_source *s = arg;
	struct slot *slot = slot_of(v);
	mitigation_reset(&slot->m);
	mutex_lock(&s->lock);
	if (slot->owned && slot->w.mark.seqno == 0 && slot->w.mark.uuid == 0) {
		slot->w.mark.uuid = v->log.entry[v->log.n - 1].uuid;
		slot->w.version++;
		s->save_now =
			!s->o.manual_commit; /* soon: without a checkpoint a restart knows nothing */
		cond_broadcast(&s->changed);
	}
	mutex_unlock(&s->lock);
	source_observe_soon(s);
}

static const struct vbucket_ops vb_ops = {
	.stream_req = send_stream_req,
	.failover_log = send_failover_log,
	.close_stream = send_close,
	.emit = source_emit,
	.dropped = source_give_back,
	.timer = on_vb_timer_changed,
	.wrong_node = on_wrong_node,
	.history = on_history,
};

/* ---- starting vBuckets ---- */

static void end_with(struct dcp_source *s, struct slot *slot, const struct err *why)
{
	struct dcp_event ev = { .kind = DCP_END, .vb = slot->v.id, .code = why->code };
	note_error(s, why);
	(void)source_emit(s, &slot->v, &ev);
}

/* Once its checkpoint and the server's high seqno are known. */
static void start_slot(struct dcp_source *s, struct slot *slot)
{
	struct err e = ERR_INIT;
	struct vbucket_start st = { .end_seqno = s->o.finite ? slot->high : VBUCKET_NO_END };
	slot->started = true;
	enum checkpoint_policy ahead = slot->cp.any_branch ? CHECKPOINT_FAIL : s->o.ahead;
	if (checkpoint_check(&slot->cp, s->map->uuid, slot->high, s->o.foreign, ahead, &e) < 0) {
		end_with(s, slot, &e);
		return;
	}
	if (slot->cp.found && slot->cp.any_branch && slot->cp.pos.seqno) {
		st.pos = slot->cp.pos;
		st.latest = true;
	} else if (slot->cp.found) {
		st.pos = slot->cp.pos;
		st.points = slot->cp.points;
		st.restarted = true;
		st.high_seqno = slot->high;
	} else if (s->o.begin == DCP_LATEST && slot->high > 0) {
		st.pos = (struct dcp_position){ slot->high, slot->high, slot->high, 0 };
		st.latest = true;
	}
	mutex_lock(&s->lock);
	ack_init(&slot->w, slot->w.tail + 1, &st.pos, &st.points);
	slot->saved_version = slot->w.version;
	slot->rollbacks_released = 0;
	slot->owned = true;
	mutex_unlock(&s->lock);
	mitigation_reset(&slot->m);
	vbucket_set_gate(&slot->v, s->o.mitigation.policy == MITIGATE_NONE ? GATE_OFF : GATE_ON,
			 now_of(s));
	vbucket_start(&slot->v, &st, now_of(s));
}

static void place_slot(struct dcp_source *s, struct slot *slot)
{
	int owner = s->map ? cluster_owner(s->map, slot->v.id, 0) : -1;
	int node = owner >= 0 ? s->map_node[owner] : -1;
	struct conn *c = ready_conn(s, node);
	vbucket_on_node(&slot->v, node, c != NULL, c ? conn_id(c) : 0, now_of(s));
}

static void ask_seqnos(struct node *n)
{
	if (!conn_is_ready(n->dcp) || n->asked_seqnos)
		return;
	n->asked_seqnos = true;
	wire_get_all_vb_seqnos(conn_out(n->dcp), 0, VB_ACTIVE, false, 0);
	conn_flush(n->dcp);
}

/* Asks the owners of vBuckets that wait for their high seqno. */
static void ask_missing_seqnos(void *arg)
{
	struct dcp_source *s = arg;
	bool missing = false;
	for (uint32_t i = 0; i < s->n_slots; i++) {
		struct slot *slot = &s->slot[i];
		if (!slot->assigned || slot->started)
			continue;
		missing = true;
		int owner = cluster_owner(s->map, i, 0);
		if (owner >= 0 && s->map_node[owner] >= 0)
			ask_seqnos(s->node[s->map_node[owner]]);
	}
	if (missing)
		timer_set(&s->seqno_timer, SEQNO_RETRY);
}

static void on_seqnos(struct dcp_source *s, struct node *n, const struct packet *p)
{
	size_t count;
	n->asked_seqnos = false;
	if (p->vb_status != STATUS_OK || wire_seqnos_count(p, &count, NULL) < 0)
		return; /* asked again by the timer */
	for (size_t i = 0; i < count; i++) {
		uint16_t vb;
		uint64_t seqno;
		wire_seqnos_at(p, i, &vb, &seqno);
		if (vb >= s->n_slots)
			continue;
		struct slot *slot = &s->slot[vb];
		int owner = cluster_owner(s->map, vb, 0);
		if (owner < 0 || s->map_node[owner] != n->index)
			continue;
		slot->high = slot->high_now = seqno;
		slot->has_high = true;
		if (slot->assigned && !slot->started) {
			place_slot(s, slot);
			start_slot(s, slot);
		}
	}
}

/* ---- connections ---- */

static void place_all(struct dcp_source *s)
{
	for (uint32_t i = 0; i < s->n_slots; i++)
		if (s->slot[i].assigned)
			place_slot(s, &s->slot[i]);
	source_flush(s);
}

static void on_ready(void *arg, struct conn *c)
{
	struct node *n = arg;
	(void)c;
	n->tries = 0;
	n->asked_seqnos = false;
	make_ready(n->s);
	if (n->s->slot) {
		place_all(n->s);
		ask_missing_seqnos(n->s);
	}
}

/* So that a collection made while we run has its name before its first document comes. */
static void learn_name(struct dcp_source *s, const struct packet *p)
{
	struct dcp_system event;
	struct slice name;
	uint64_t seqno;
	if (system_event_parse(p, &seqno, &event, &name, NULL) <= 0)
		return;
	mutex_lock(&s->lock);
	(void)manifest_apply(&s->manifest, &event, name, NULL);
	mutex_unlock(&s->lock);
}

static void on_packet(void *arg, struct conn *c, const struct packet *p)
{
	struct node *n = arg;
	struct dcp_source *s = n->s;
	uint16_t vb = (uint16_t)p->opaque;
	bool known = p->opaque >> 16 && vb < s->n_slots;
	if (!packet_is_response(p)) {
		if (p->opcode == OP_DCP_SYSTEM_EVENT)
			learn_name(s, p);
		if (known && s->slot[vb].v.node == n->index)
			vbucket_on_packet(&s->slot[vb].v, p, now_of(s));
		else
			conn_consumed(c, (uint32_t)p->len);
		return;
	}
	switch (p->opcode) {
	case OP_DCP_STREAM_REQ:
	case OP_DCP_GET_FAILOVER_LOG:
	case OP_DCP_CLOSE_STREAM:
		if (known && s->slot[vb].v.node == n->index)
			vbucket_on_response(&s->slot[vb].v, p, now_of(s));
		return;
	case OP_GET_ALL_VB_SEQNOS:
		if (p->opaque)
			source_seqnos_reply(s, n, p);
		else
			on_seqnos(s, n, p);
		return;
	}
}

static void on_round(void *arg, struct conn *c)
{
	struct node *n = arg;
	(void)c;
	source_flush(n->s);
	source_observe_soon(n->s);
	look_if_open(n->s);
}

static void on_map(void *arg, struct conn *c, struct slice json)
{
	struct node *n = arg;
	bool accepted;
	adopt_map(n->s, json, conn_host(c), &accepted);
}

static void on_manifest(void *arg, struct conn *c, struct slice json)
{
	struct node *n = arg;
	struct dcp_source *s = n->s;
	struct manifest m;
	struct err e = ERR_INIT;
	(void)c;
	if (manifest_parse(json, &m, &e) < 0) {
		note_error(s, &e);
		return;
	}
	mutex_lock(&s->lock);
	/* later ones only add names, which the events bring */
	bool first = !s->has_manifest;
	if (first)
		s->manifest = m;
	s->has_manifest = true;
	mutex_unlock(&s->lock);
	if (!first)
		manifest_done(&m);
}

static bool fatal_at_start(int code)
{
	return code == ERR_AUTH || code == ERR_NOTFOUND;
}

static void try_seed(struct dcp_source *s);

static void on_dcp_closed(void *arg, struct conn *c, const struct err *why)
{
	struct node *n = arg;
	struct dcp_source *s = n->s;
	note_error(s, why);
	n->dcp = NULL;
	n->asked_seqnos = false;
	source_seqnos_lost(n);
	conn_free(c);
	s->reconnects++;
	for (uint32_t i = 0; i < s->n_slots; i++)
		if (s->slot[i].assigned && s->slot[i].v.node == n->index)
			vbucket_on_node(&s->slot[i].v, n->index, false, 0, now_of(s));
	source_flush(s);
	n->tries++;
	if (!s->map) {
		if (fatal_at_start(why->code))
			source_fail(s, why);
		timer_set(&n->retry, jittered(s, n->tries));
		return;
	}
	if (n->in_map)
		timer_set(&n->retry, jittered(s, n->tries));
	for (uint32_t i = 0; i < s->n_nodes; i++) /* it may be gone for good: the others know */
		if (conn_is_ready(s->node[i]->dcp))
			ask_map(s->node[i]->dcp);
}

static const struct conn_ops dcp_conn_ops = {
	.ready = on_ready,
	.packet = on_packet,
	.round = on_round,
	.map = on_map,
	.manifest = on_manifest,
	.closed = on_dcp_closed,
};

static void connect_dcp(struct node *n)
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
	o.name = name;
	if (conn_open(s->loop, n->host, n->port, &o, &dcp_conn_ops, n, &n->dcp, &e) < 0) {
		note_error(s, &e);
		timer_set(&n->retry, jittered(s, ++n->tries));
	}
}

static void retry_dcp(void *arg)
{
	struct node *n = arg;
	if (!n->s->map)
		try_seed(n->s);
	else if (n->in_map)
		connect_dcp(n);
}

/* ---- nodes ---- */

static struct node *find_node(struct dcp_source *s, const char *host, uint16_t port)
{
	for (uint32_t i = 0; i < s->n_nodes; i++)
		if (s->node[i]->port == port && strcmp(s->node[i]->host, host) == 0)
			return s->node[i];
	return NULL;
}

static struct node *add_node(struct dcp_source *s, const char *host, uint16_t port)
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

/* "host", "host:port", "[v6]:port" */
static bool split_seed(const char *text, uint16_t otherwise, char host[256], uint16_t *port)
{
	const char *colon = strrchr(text, ':'), *end = text + strlen(text);
	*port = otherwise;
	if (colon && (text[0] == '[' ? colon > strchr(text, ']') : strchr(text, ':') == colon)) {
		char *rest;
		unsigned long p = strtoul(colon + 1, &rest, 10);
		if (*rest || p == 0 || p > UINT16_MAX)
			return false;
		*port = (uint16_t)p;
		end = colon;
	}
	if (text[0] == '[' && end > text && end[-1] == ']') {
		text++;
		end--;
	}
	if (end == text || end - text > 255)
		return false;
	memcpy(host, text, (size_t)(end - text));
	host[end - text] = '\0';
	return true;
}

static void try_seed(struct dcp_source *s)
{
	char host[256];
	uint16_t port;
	const char *seed = s->o.seeds[s->next_seed++ % s->o.n_seeds];
	if (!split_seed(seed, s->tls ? KV_PORT_TLS : KV_PORT, host, &port)) {
		struct err e = ERR_INIT;
		(void)err_set(&e, ERR_INVALID, "\"%s\" is no host, and no host:port", seed);
		source_fail(s, &e);
		return;
	}
	struct node *n = add_node(s, host, port);
	if (n)
		connect_dcp(n);
}

/* ---- the map ---- */

static void map_nodes(struct dcp_source *s)
{
	for (uint32_t i = 0; i < s->n_nodes; i++)
		s->node[i]->in_map = false;
	for (uint32_t i = 0; i < s->map->n_nodes; i++) {
		const char *host;
		uint16_t port;
		s->map_node[i] = -1;
		if (!cluster_address(s->map, i, s->network, s->tls != NULL, &host, &port))
			continue;
		struct node *n = add_node(s, host, port);
		if (!n)
			continue;
		n->in_map = true;
		s->map_node[i] = n->index;
	}
}

static void drop_old_nodes(struct dcp_source *s)
{
	for (uint32_t i = 0; i < s->n_nodes; i++) {
		struct node *n = s->node[i];
		if (n->in_map) {
			connect_dcp(n);
			continue;
		}
		timer_clear(&n->retry);
		struct conn *c = n->dcp;
		if (c &&
		    conn_is_ready(c)) { /* one that is still being set up tells us the manifest */
			n->dcp = NULL;
			source_seqnos_lost(n);
			conn_free(c);
		}
	}
}

static int make_slots(struct dcp_source *s, struct err *e)
{
	uint64_t seed = 0;
	s->slot = mem_try_array(s->map->n_vbuckets, sizeof(*s->slot));
	if (!s->slot)
		return err_nomem(e);
	s->n_slots = s->map->n_vbuckets;
	(void)env_random(s->env, &seed, sizeof(seed), NULL);
	for (uint32_t i = 0; i < s->n_slots; i++)
		vbucket_init(&s->slot[i].v, (uint16_t)i, &s->vb_config, seed);
	return 0;
}

static void adopt_map(struct dcp_source *s, struct slice json, const char *asked, bool *accepted)
{
	struct cluster_map *m;
	struct err e = ERR_INIT;
	*accepted = false;
	if (cluster_map_parse(json, asked, &m, &e) < 0) {
		note_error(s, &e);
		return;
	}
	if (!cluster_map_newer(m, s->map) || m->n_vbuckets == 0 ||
	    (s->n_slots && m->n_vbuckets != s->n_slots)) {
		cluster_map_free(m);
		return;
	}
	*accepted = true;
	if (!s->map) {
		const struct node *n = NULL;
		for (uint32_t i = 0; i < s->n_nodes && !n; i++)
			if (s->node[i]->dcp)
				n = s->node[i];
		s->network = cluster_choose_network(m, s->o.network, asked, n ? n->port : 0);
	}
	struct cluster_map *old = s->map;
	mutex_lock(&s->lock);
	s->map = m;
	mutex_unlock(&s->lock);
	cluster_map_free(old);
	map_nodes(s);
	if (!s->slot && make_slots(s, &e) < 0) {
		source_fail(s, &e);
		return;
	}
	for (uint32_t i = 0; i < s->n_slots; i++)
		mitigation_reset(&s->slot[i].m);
	drop_old_nodes(s);
	place_all(s);
}

static void watch_map(void *arg)
{
	struct dcp_source *s = arg;
	nsec every = s->o.mitigation.config_watch_interval;
	if (!s->map && s->n_nodes == 0)
		try_seed(s);
	for (uint32_t i = 0; i < s->n_nodes; i++)
		if (conn_is_ready(s->node[i]->dcp)) {
			ask_map(s->node[i]->dcp);
			break;
		}
	timer_set(&s->watch_timer, every ? every : CONFIG_WATCH);
}

/* ---- collections: the filter of every stream ---- */

static int filter_collections(struct dcp_source *s, struct err *e)
{
	const struct manifest *m = &s->manifest;
	struct slice scope = slice_str(s->o.scope ? s->o.scope : "_default");
	buf_add_str(&s->stream_json, "{\"collections\":[");
	for (size_t i = 0; i < s->o.n_collections; i++) {
		const struct collection *c =
			manifest_by_name(m, scope, slice_str(s->o.collections[i]));
		if (!c)
			return err_set(e, ERR_NOTFOUND,
				       "bucket %s has no collection " SLICE_FMT ".%s", s->o.bucket,
				       SLICE_ARG(scope), s->o.collections[i]);
		buf_add_fmt(&s->stream_json, "%s\"%x\"", i ? "," : "", c->id);
	}
	buf_add_str(&s->stream_json, "]}");
	return buf_check(&s->stream_json, e);
}

static int make_filter(struct dcp_source *s, struct err *e)
{
	buf_reset(&s->stream_json);
	if (!s->has_manifest) { /* a server, or a bucket, without collections */
		if (s->o.scope || s->o.n_collections)
			return err_set(e, ERR_UNSUPPORTED, "bucket %s has no collections",
				       s->o.bucket);
		return 0;
	}
	if (s->o.n_collections)
		return filter_collections(s, e);
	if (!s->o.scope) {
		buf_add_str(&s->stream_json, "{\"uid\":\"0\"}");
		return buf_check(&s->stream_json, e);
	}
	uint32_t id;
	if (manifest_scope_id(&s->manifest, slice_str(s->o.scope), &id) < 0)
		return err_set(e, ERR_NOTFOUND, "bucket %s has no scope %s", s->o.bucket,
			       s->o.scope);
	buf_add_fmt(&s->stream_json, "{\"scope\":\"%x\"}", id);
	return buf_check(&s->stream_json, e);
}

/* The first connection is ready: everything a caller needs to know is known. */
static void make_ready(struct dcp_source *s)
{
	struct err e = ERR_INIT;
	if (s->ready || !s->map)
		return;
	if (make_filter(s, &e) < 0) {
		source_fail(s, &e);
		return;
	}
	s->vb_config.collections = s->has_manifest;
	s->vb_config.stream_json = buf_slice(&s->stream_json);
	mutex_lock(&s->lock);
	s->ready = true;
	cond_broadcast(&s->changed);
	mutex_unlock(&s->lock);
}

/* ---- what other threads ask for ---- */

static void stop_slot(struct dcp_source *s, struct slot *slot)
{
	source_flush(s);
	vbucket_stop(&slot->v);
	slot->assigned = slot->started = false;
}

static void carry_out(struct dcp_source *s)
{
	for (size_t i = 0; i < s->command_n_stop; i++) {
		struct slot *slot = &s->slot[s->command_stop[i]];
		if (slot->assigned)
			stop_slot(s, slot);
	}
	for (size_t i = 0; i < s->command_n_start; i++) {
		struct slot *slot = &s->slot[s->command_start[i].vb];
		if (slot->assigned)
			continue;
		slot->assigned = true;
		slot->started = slot->has_high = false;
		slot->cp = s->command_start[i];
		place_slot(s, slot);
	}
	if (s->command_n_start)
		ask_missing_seqnos(s);
}

static void take_nacks(struct dcp_source *s)
{
	source_flush(s); /* what is on the way is void, too */
	for (uint32_t i = 0; i < s->n_slots; i++) {
		struct slot *slot = &s->slot[i];
		mutex_lock(&s->lock);
		bool nack = slot->nack && slot->owned;
		nsec delay = slot->nack_delay;
		slot->nack = false;
		if (nack)
			ack_rewind(&slot->w);
		struct dcp_position mark = slot->w.mark;
		mutex_unlock(&s->lock);
		if (nack && slot->started)
			vbucket_rewind(&slot->v, &mark, now_of(s) + delay, now_of(s));
	}
}

/* What another member has taken over ends here with an error that says so. */
static void stop_fenced(struct dcp_source *s)
{
	for (uint32_t i = 0; i < s->n_slots; i++) {
		struct slot *slot = &s->slot[i];
		mutex_lock(&s->lock);
		bool fenced = slot->fenced;
		slot->fenced = false;
		mutex_unlock(&s->lock);
		if (!fenced || !slot->assigned)
			continue;
		stop_slot(s, slot);
		struct dcp_event ev = { .kind = DCP_END, .vb = (uint16_t)i, .code = ERR_FENCED };
		(void)source_emit(s, &slot->v, &ev);
	}
	source_flush(s);
}

static void release_rollbacks(struct dcp_source *s)
{
	for (uint32_t i = 0; i < s->n_slots; i++) {
		struct slot *slot = &s->slot[i];
		bool release = false;
		mutex_lock(&s->lock);
		if (slot->owned && slot->rollbacks_released < slot->w.rollbacks_acked &&
		    (!s->o.store || slot->saved_version == slot->w.version)) {
			slot->rollbacks_released = slot->w.rollbacks_acked;
			release = true;
		}
		mutex_unlock(&s->lock);
		if (release)
			vbucket_on_rollback_acked(&slot->v, now_of(s));
	}
}

static void report_slot(const struct slot *slot, struct source_report *r)
{
	const struct vbucket *v = &slot->v;
	r->status.n_streaming += v->state == VB_STREAMING;
	r->status.n_done += v->state == VB_DONE;
	r->vb[r->status.n_assigned++] = (struct dcp_vbucket_status){
		.vb = v->id,
		.state = vbucket_state_name((enum vbucket_state)v->state),
		.node = v->node,
		.received = v->pos,
		.acknowledged = slot->w.mark,
		.high = MAX(slot->high_now, v->pos.seqno),
		.persisted = v->persisted,
		.held = v->held.n,
		.in_flight = ack_open(&slot->w),
		.mutations = v->n_mutations,
		.deletions = v->n_deletions,
		.expirations = v->n_expirations,
		.reopens = v->n_reopens,
		.rollbacks = v->n_rollbacks,
		.violations = v->n_violations,
		.last_status = v->last_status,
	};
}

static void fill_report(struct dcp_source *s, struct source_report *r)
{
	struct dcp_status *st = &r->status;
	*st = (struct dcp_status){ .n_vbuckets = s->n_slots,
				   .reconnects = s->reconnects,
				   .saves = s->saves,
				   .save_failures = s->save_failures,
				   .saved_vbuckets = s->saved_vbuckets,
				   .rebalances = s->rebalances,
				   .last_save_vbuckets = s->last_save_vbuckets,
				   .last_save_took = s->last_save_took,
				   .blocks = s->n_blocks };
	if (s->map) {
		st->map_epoch = s->map->epoch;
		st->map_rev = s->map->rev;
	}
	for (uint32_t i = 0; i < s->n_nodes; i++) {
		const struct node *n = s->node[i];
		st->n_nodes += n->in_map;
		if (!n->dcp)
			continue;
		st->n_connected += conn_is_ready(n->dcp);
		st->unacked_max = MAX(st->unacked_max, conn_unacked_max(n->dcp));
	}
	(void)snprintf(st->last_error, sizeof(st->last_error), "%.250s", s->last_error.msg);
	for (uint32_t i = 0; i < s->n_slots; i++)
		if (s->slot[i].assigned)
			report_slot(&s->slot[i], r);
}

void source_io_wake(void *arg)
{
	struct dcp_source *s = arg;
	mutex_lock(&s->lock);
	bool command = s->command, release = s->release_rollbacks, nacks = s->nacks,
	     fences = s->fences;
	s->command = s->release_rollbacks = s->nacks = s->fences = false;
	if (s->report) {
		fill_report(s, s->report);
		s->report->done = true;
		s->report = NULL;
		cond_broadcast(&s->changed);
	}
	mutex_unlock(&s->lock);
	source_take_back(s);
	if (fences)
		stop_fenced(s);
	if (nacks)
		take_nacks(s);
	if (release)
		release_rollbacks(s);
	if (command) {
		carry_out(s);
		source_flush(s);
		mutex_lock(&s->lock);
		s->command_done = true;
		cond_broadcast(&s->changed);
		mutex_unlock(&s->lock);
	}
	look_if_open(s);
}

int source_io_init(struct dcp_source *s, struct err *e)
{
	int rc = loop_new(source_io_wake, s, &s->loop, e);
	if (rc == 0)
		rc = timer_init(&s->vb_timer, s->loop, vb_timer_fired, s, e);
	if (rc == 0)
		rc = timer_init(&s->seqno_timer, s->loop, ask_missing_seqnos, s, e);
	if (rc == 0)
		rc = timer_init(&s->watch_timer, s->loop, watch_map, s, e);
	if (rc == 0)
		rc = source_seqnos_init(s, e);
	s->vb_config.ops = &vb_ops;
	s->vb_config.arg = s;
	return rc;
}

void *source_io_run(void *arg)
{
	struct dcp_source *s = arg;
	source_observe_start(s);
	source_seqnos_start(s);
	timer_set(&s->watch_timer, 0);
	loop_run(s->loop);
	return NULL;
}

void source_io_done(struct dcp_source *s)
{
	for (uint32_t i = 0; i < s->n_nodes; i++) {
		struct node *n = s->node[i];
		conn_free(n->dcp);
		conn_free(n->kv);
		timer_done(&n->retry);
		timer_done(&n->kv_retry);
		mem_free(n);
	}
	s->n_nodes = 0;
	timer_done(&s->vb_timer);
	timer_done(&s->seqno_timer);
	timer_done(&s->watch_timer);
	timer_done(&s->highs_timer);
	timer_done(&s->observe_timer);
	for (uint32_t i = 0; i < s->n_slots; i++) {
		vbucket_done(&s->slot[i].v);
		ack_done(&s->slot[i].w);
	}
	loop_free(s->loop);
	mem_free(s->slot);
	cluster_map_free(s->map);
	s->map = NULL;
}
