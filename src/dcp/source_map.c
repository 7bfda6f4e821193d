/* source_map.c: which nodes there are and which vBucket is where: seeds until the first map, then newer maps.
 *
 *	seeds ─▶ first connection ─▶ map ─▶ a connection to every node with data ─▶ high seqnos ─▶ vBuckets start
 *	                              ▲
 *	   not-my-vbucket bodies, notifications, a look every config_watch_interval
 *
 * A newer map moves vBuckets at once. */
#include "dcp/source_internal.h"

#include "base/mem.h"

#define CONFIG_WATCH (10 * NSEC_PER_SEC)

enum { KV_PORT = 11210, KV_PORT_TLS = 11207 };

/* ---- seeds ---- */

void source_try_seed(struct dcp_source *s)
{
	char host[CLUSTER_HOST_MAX + 1];
	uint16_t port;
	const char *seed = s->o.seeds[s->next_seed++ % s->o.n_seeds];
	if (!cluster_split_seed(seed, s->tls ? KV_PORT_TLS : KV_PORT, host, &port)) {
		struct err e = ERR_INIT;
		(void)err_set(&e, ERR_INVALID, "\"%s\" is no host, and no host:port", seed);
		source_fail(s, &e);
		return;
	}
	struct node *n = source_add_node(s, host, port);
	if (n)
		source_connect(n);
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
		struct node *n = source_add_node(s, host, port);
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
			source_connect(n);
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

void source_adopt_map(struct dcp_source *s, struct slice json, const char *asked, bool *accepted)
{
	struct cluster_map *m;
	struct err e = ERR_INIT;
	*accepted = false;
	if (cluster_map_parse(json, asked, &m, &e) < 0) {
		source_note_error(s, &e);
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
	s->map_version = (struct map_version){ true, m->epoch, m->rev };
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
	source_place_all(s);
}

void source_watch_map(void *arg)
{
	struct dcp_source *s = arg;
	nsec every = s->o.mitigation.config_watch_interval;
	if (!s->map && s->n_nodes == 0)
		source_try_seed(s);
	for (uint32_t i = 0; i < s->n_nodes; i++)
		if (conn_is_ready(s->node[i]->dcp)) {
			conn_ask_map(s->node[i]->dcp);
			break;
		}
	timer_set(&s->watch_timer, every ? every : CONFIG_WATCH);
}
