/* source_map.c: which nodes there are and which vBucket is where: seeds until the first map, then newer maps.
 *
 *	seeds ─▶ first answer ─▶ map ─▶ a connection to every node with data ─▶ high seqnos ─▶ vBuckets start
 *	                          ▲
 *	   not-my-vbucket bodies, notifications, a look every config_watch_interval; HTTP where the data service has none
 *
 * A newer map moves vBuckets at once. */
#include "dcp/source_internal.h"

#include "base/mem.h"

#define CONFIG_WATCH (10 * NSEC_PER_SEC)

/* ---- seeds ---- */

int source_read_seeds(struct dcp_source *s, struct err *e)
{
	int rc = 0;
	s->seed = mem_try_array(s->o.n_seeds, sizeof(*s->seed));
	if (!s->seed)
		return err_nomem(e);
	for (; rc == 0 && s->n_seeds < s->o.n_seeds; s->n_seeds++)
		rc = seed_parse(s->o.seeds[s->n_seeds], s->tls != NULL, &s->seed[s->n_seeds], e);
	return rc;
}

static void on_seeds(void *arg, const struct seed *seed, size_t n, const struct err *why)
{
	struct dcp_source *s = arg;
	struct seed *copy = n ? mem_try_array(n, sizeof(*copy)) : NULL;
	(void)why; /* a name alone always leads to one */
	seeds_free(s->finding);
	s->finding = NULL;
	if (copy) {
		memcpy(copy, seed, n * sizeof(*copy));
		mem_free(s->seed);
		s->seed = copy;
		s->n_seeds = n;
	}
	source_try_seed(s);
}

void source_find_seeds(struct dcp_source *s)
{
	const struct seeds_options o = { .text = s->o.seeds,
					 .n = s->o.n_seeds,
					 .conn = &s->conn_options,
					 .dns_server = s->o.dns_server };
	if (s->n_seeds == 1 && seed_may_be_service(&s->seed[0]))
		(void)seeds_find(s->loop, &o, on_seeds, s, &s->finding, NULL);
}

void source_try_seed(struct dcp_source *s)
{
	if (s->finding)
		return; /* it will come back */
	for (size_t i = 0; i < s->n_seeds; i++) {
		const struct seed *seed = &s->seed[s->next_seed++ % s->n_seeds];
		if (seed->http)
			continue; /* source_http.c asks it */
		struct node *n = source_add_node(s, seed->host, seed->port);
		if (n)
			source_connect(n);
		return;
	}
}

/* When every seed leads to something else, trying again is in vain. */
void source_note_port(struct dcp_source *s, const char *host, uint16_t port, const struct err *why)
{
	bool hope = false;
	for (size_t i = 0; i < s->n_seeds; i++) {
		struct seed *seed = &s->seed[i];
		if (seed->port == port && strcmp(seed->host, host) == 0)
			seed->wrong = why->code == ERR_WRONG_PORT;
		hope |= !seed->wrong;
	}
	if (!hope && !s->map)
		source_fail(s, why);
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

/* Nodes that are not in the map, once one that is can take their place: seeds by another name, nodes that left. One that
 * is still being set up tells us the manifest. */
void source_drop_strangers(struct dcp_source *s)
{
	bool replaced = false;
	for (uint32_t i = 0; i < s->n_nodes; i++)
		replaced = replaced || (s->node[i]->in_map && conn_is_ready(s->node[i]->dcp));
	for (uint32_t i = 0; replaced && i < s->n_nodes; i++) {
		struct node *n = s->node[i];
		struct conn *c = n->dcp;
		if (n->in_map || !conn_is_ready(c))
			continue;
		n->dcp = NULL;
		source_kind_lost(s, c);
		source_seqnos_lost(n);
		conn_free(c);
	}
}

static void connect_nodes(struct dcp_source *s)
{
	for (uint32_t i = 0; i < s->n_nodes; i++) {
		if (s->node[i]->in_map)
			source_connect(s->node[i]);
		else
			timer_clear(&s->node[i]->retry);
	}
	source_drop_strangers(s);
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

void source_adopt_map(struct dcp_source *s, struct slice json, const char *host, uint16_t port,
		      bool *accepted)
{
	struct cluster_map *m;
	struct err e = ERR_INIT;
	*accepted = false;
	if (cluster_map_parse(json, host, &m, &e) < 0) {
		source_note_error(s, &e);
		return;
	}
	if (!cluster_map_newer(m, s->map) || m->n_vbuckets == 0 ||
	    (s->n_slots && m->n_vbuckets != s->n_slots)) {
		cluster_map_free(m);
		return;
	}
	*accepted = true;
	if (!s->map)
		s->network = cluster_choose_network(m, s->o.network, host, port);
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
	connect_nodes(s);
	source_place_all(s);
	source_observe_soon(s);
}

/* One of the nodes at a time, each in its turn: one that is cut off from the others knows nothing new. */
static void ask_in_turn(struct dcp_source *s)
{
	for (uint32_t i = 0; i < s->n_nodes; i++) {
		struct conn *c = s->node[s->next_asked++ % s->n_nodes]->dcp;
		if (conn_gives_maps(c)) {
			conn_ask_map(c);
			return;
		}
	}
}

/* One that was connected to and says nothing must not use up the time of the next one. */
static bool waits_for_a_seed(const struct dcp_source *s)
{
	for (uint32_t i = 0; i < s->n_nodes; i++)
		if (s->node[i]->dcp)
			return s->n_nodes < s->n_seeds;
	return s->n_nodes == 0; /* else a timer tries again */
}

void source_watch_map(void *arg)
{
	struct dcp_source *s = arg;
	nsec every = s->o.mitigation.config_watch_interval;
	every = every ? every : CONFIG_WATCH;
	if (!s->map) {
		if (waits_for_a_seed(s))
			source_try_seed(s);
		every = MIN(every, s->o.connect_timeout / (nsec)(s->n_seeds + 1));
	}
	source_http_review(s);
	ask_in_turn(s);
	timer_set(&s->watch_timer, every);
}
