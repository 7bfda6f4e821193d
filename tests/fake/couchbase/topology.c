/* topology.c: who has what: the cluster map in the terse form, the services of the nodes, the collections manifest.
 *
 * A node that was failed over is in no map any more, so the indexes of those after it shift. A node without the bucket
 * is in its map too, behind those that have it: nodesExt is longer than nodes.
 */
#include "tests/fake/couchbase/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The nodes that have the bucket, in order. */
static unsigned members(const struct bucket *b, int out[FAKE_NODES_MAX])
{
	unsigned n = 0;
	for (unsigned i = 0; i < b->f->o.nodes; i++)
		if (topology_has(b, (int)i) && !b->f->node[i].failed)
			out[n++] = (int)i;
	return n;
}

void topology_init(struct bucket *b)
{
	int node[FAKE_NODES_MAX];
	unsigned n = members(b, node);
	for (unsigned v = 0; v < b->n_vbs; v++) {
		for (unsigned k = 0; k < FAKE_COPIES_MAX; k++)
			b->vb[v].copy[k].node = -1;
		for (unsigned k = 0; k <= b->replicas; k++)
			b->vb[v].copy[k].node = node[(v * n / b->n_vbs + k) % n];
	}
	b->rev = ++b->f->rev;
	b->n_scopes = 1;
	b->n_colls = 1;
	memset(&b->scope[0], 0, sizeof(b->scope[0]));
	memset(&b->coll[0], 0, sizeof(b->coll[0]));
	strcpy(b->scope[0].name, "_default");
	strcpy(b->coll[0].name, "_default");
	b->coll[0].history = b->magma;
	b->next_cid = 8;
	b->next_sid = 8;
	b->manifest_uid = 0;
}

static void services(const struct node *n, struct buf *out)
{
	buf_add_fmt(out, "{\"mgmt\":%u,\"kv\":%u", n->http_port, n->kv_port);
	if (n->kvs_port)
		buf_add_fmt(out, ",\"kvSSL\":%u,\"mgmtSSL\":%u", n->kvs_port, n->https_port);
	buf_add_str(out, "}");
}

/* What the node calls itself. On an external network nobody else can use it. */
static void own_name(const struct fake *f, const struct node *n, struct buf *out)
{
	if (f->o.external)
		buf_add_fmt(out, "node-%d.invalid", n->index);
	else
		buf_add_str(out, "127.0.0.1");
}

/* The address for clients outside; without ports the usual ones are meant. */
static void alternate(const struct node *n, struct buf *out)
{
	const struct {
		const char *name;
		uint16_t port;
	} ports[] = { { "mgmt", n->alternate_mgmt },
		      { "kv", n->alternate_kv },
		      { "kvSSL", n->alternate_kvs },
		      { "mgmtSSL", n->alternate_mgmts } };
	bool any = false;
	if (!*n->alternate)
		return;
	buf_add_fmt(out, ",\"alternateAddresses\":{\"external\":{\"hostname\":\"%s\"",
		    n->alternate);
	for (unsigned i = 0; i < ARRAY_LEN(ports); i++) {
		if (!ports[i].port)
			continue;
		buf_add_fmt(out, "%s\"%s\":%u", any ? "," : ",\"ports\":{", ports[i].name,
			    ports[i].port);
		any = true;
	}
	buf_add_str(out, any ? "}}}" : "}}");
}

static void one_ext(const struct fake *f, const struct node *n, int self, struct buf *out)
{
	buf_add_str(out, "{\"services\":");
	if (f->o.external)
		buf_add_str(out, "{\"mgmt\":8091,\"kv\":11210}");
	else
		services(n, out);
	buf_add_str(out, ",\"hostname\":\"");
	own_name(f, n, out);
	buf_add_str(out, "\"");
	alternate(n, out);
	buf_add_str(out, n->index == self ? ",\"thisNode\":true}" : "}");
}

/* Those that have the bucket first; without a bucket, all of them as they come. */
static void nodes_ext(const struct fake *f, const struct bucket *b, int self, struct buf *out)
{
	buf_add_str(out, "\"nodesExt\":[");
	bool first = true;
	for (int with = 1; with >= 0; with--) {
		for (unsigned i = 0; i < f->o.nodes; i++) {
			if (f->node[i].failed || with != (!b || topology_has(b, (int)i)))
				continue;
			buf_add_str(out, first ? "" : ",");
			one_ext(f, &f->node[i], self, out);
			first = false;
		}
	}
	buf_add_str(out, "]");
}

static void nodes(const struct bucket *b, const int *node, unsigned n, struct buf *out)
{
	const struct fake *f = b->f;
	buf_add_str(out, "\"nodes\":[");
	for (unsigned i = 0; i < n; i++) {
		const struct node *x = &f->node[node[i]];
		buf_add_fmt(out, "%s{\"hostname\":\"", i ? "," : "");
		own_name(f, x, out);
		buf_add_fmt(out, ":%u\",\"ports\":{\"direct\":%u}}",
			    f->o.external ? 8091 : x->http_port,
			    f->o.external ? 11210 : x->kv_port);
	}
	buf_add_str(out, "],");
}

static void vbucket_map(const struct bucket *b, const int *node, unsigned n, struct buf *out)
{
	const struct fake *f = b->f;
	int index[FAKE_NODES_MAX];
	memset(index, -1, sizeof(index));
	buf_add_fmt(out,
		    ",\"vBucketServerMap\":{\"hashAlgorithm\":\"CRC\",\"numReplicas\":%u,"
		    "\"serverList\":[",
		    b->replicas);
	for (unsigned i = 0; i < n; i++) {
		index[node[i]] = (int)i;
		buf_add_str(out, i ? ",\"" : "\"");
		own_name(f, &f->node[node[i]], out);
		buf_add_fmt(out, ":%u\"", f->o.external ? 11210 : f->node[node[i]].kv_port);
	}
	buf_add_str(out, "],\"vBucketMap\":[");
	for (unsigned v = 0; v < b->n_vbs; v++) {
		buf_add_str(out, v ? ",[" : "[");
		for (unsigned k = 0; k <= b->replicas; k++) {
			int at = b->vb[v].copy[k].node;
			buf_add_fmt(out, "%s%d", k ? "," : "", at < 0 ? -1 : index[at]);
		}
		buf_add_str(out, "]");
	}
	buf_add_str(out, "]}}");
}

void topology_map(struct bucket *b, int self, struct buf *out)
{
	int node[FAKE_NODES_MAX];
	unsigned n = members(b, node);
	buf_add_fmt(out,
		    "{\"rev\":%" PRId64
		    ",\"revEpoch\":1,\"name\":\"%s\",\"uuid\":\"%s\",\"nodeLocator\":\"vbucket\",",
		    b->rev, b->name, b->uuid);
	buf_add_fmt(out,
		    "\"uri\":\"/pools/default/buckets/%s?bucket_uuid=%s\",\"streamingUri\":\"/"
		    "pools/default/bucketsStreaming/%s\",",
		    b->name, b->uuid, b->name);
	buf_add_fmt(out,
		    "\"bucketCapabilitiesVer\":\"\",\"bucketCapabilities\":[\"collections\","
		    "\"durableWrite\",\"tombstonedUserXAttrs\",%s\"dcp\",\"cbhello\",\"touch\","
		    "\"cccp\",\"xdcrCheckpointing\",\"nodesExt\",\"xattr\"%s],",
		    b->ephemeral ? "" : "\"couchapi\",", b->magma ? ",\"nonDedupedHistory\"" : "");
	buf_add_str(out, "\"clusterCapabilitiesVer\":[1,0],\"clusterCapabilities\":{},");
	nodes(b, node, n, out);
	nodes_ext(b->f, b, self, out);
	vbucket_map(b, node, n, out);
}

void topology_node_services(struct fake *f, int self, struct buf *out)
{
	buf_add_fmt(out, "{\"rev\":%" PRId64 ",\"revEpoch\":1,", f->rev);
	nodes_ext(f, NULL, self, out);
	buf_add_str(out, "}");
}

static void collection(const struct collection *c, bool first, struct buf *out)
{
	buf_add_fmt(out, "%s{\"name\":\"%s\",\"uid\":\"%x\"", first ? "" : ",", c->name, c->id);
	if (c->has_ttl)
		buf_add_fmt(out, ",\"maxTTL\":%u", c->max_ttl);
	if (c->history)
		buf_add_str(out, ",\"history\":true");
	buf_add_str(out, "}");
}

void topology_manifest(struct bucket *b, struct buf *out)
{
	buf_add_fmt(out, "{\"uid\":\"%" PRIx64 "\",\"scopes\":[", b->manifest_uid);
	bool first_scope = true;
	for (unsigned s = 0; s < b->n_scopes; s++) {
		if (b->scope[s].dropped)
			continue;
		buf_add_fmt(out, "%s{\"name\":\"%s\",\"uid\":\"%x\",\"collections\":[",
			    first_scope ? "" : ",", b->scope[s].name, b->scope[s].id);
		first_scope = false;
		bool first = true;
		for (unsigned c = 0; c < b->n_colls; c++) {
			if (b->coll[c].dropped || b->coll[c].scope != b->scope[s].id)
				continue;
			collection(&b->coll[c], first, out);
			first = false;
		}
		buf_add_str(out, "]}");
	}
	buf_add_str(out, "]}");
}

struct collection *topology_collection(struct bucket *b, uint32_t cid)
{
	for (unsigned c = 0; c < b->n_colls; c++)
		if (!b->coll[c].dropped && b->coll[c].id == cid)
			return &b->coll[c];
	return NULL;
}

struct scope *topology_scope(struct bucket *b, const char *name)
{
	for (unsigned s = 0; s < b->n_scopes; s++)
		if (!b->scope[s].dropped && strcmp(b->scope[s].name, name) == 0)
			return &b->scope[s];
	return NULL;
}

struct collection *topology_named(struct bucket *b, const char *scope, const char *name)
{
	struct scope *s = topology_scope(b, scope);
	for (unsigned c = 0; s && c < b->n_colls; c++)
		if (!b->coll[c].dropped && b->coll[c].scope == s->id &&
		    strcmp(b->coll[c].name, name) == 0)
			return &b->coll[c];
	return NULL;
}

static void tell(struct fake *f, struct conn *c, struct bucket *b)
{
	if (c->dead || c->b != b)
		return;
	if (c->kind == CONN_KV && (c->map_push || c->map_brief))
		kv_push_map(f, c);
	if (c->kind == CONN_HTTP && c->http_stream)
		http_push_map(f, c);
}

void topology_changed(struct bucket *b)
{
	struct fake *f = b->f;
	b->rev = ++f->rev;
	for (unsigned i = 0; i < f->o.nodes; i++)
		for (struct conn *c = f->node[i].conns; c; c = c->next)
			tell(f, c, b);
}

void topology_all_changed(struct fake *f)
{
	for (unsigned i = 0; i < f->n_buckets; i++)
		topology_changed(f->bucket[i]);
	for (unsigned i = 0; i < f->o.nodes; i++)
		for (struct conn *c = f->node[i].conns; c; c = c->next)
			tell(f, c, NULL);
}
