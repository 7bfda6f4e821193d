/* topology.c: who has what: the cluster map in the terse form, the services of the nodes, the collections manifest.
 * A node that was failed over is in no map any more, so the indexes of those after it shift.
 */
#include "tests/fake/couchbase/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void topology_init(struct fake *f)
{
	for (unsigned v = 0; v < f->o.vbuckets; v++) {
		for (unsigned k = 0; k < FAKE_COPIES_MAX; k++)
			f->vb[v].copy[k].node = -1;
		for (unsigned k = 0; k <= f->o.replicas; k++)
			f->vb[v].copy[k].node =
				(int)((v * f->o.nodes / f->o.vbuckets + k) % f->o.nodes);
	}
	f->rev = 1;
	f->n_scopes = 1;
	f->n_colls = 1;
	strcpy(f->scope[0].name, "_default");
	strcpy(f->coll[0].name, "_default");
	f->next_cid = 8;
	f->next_sid = 8;
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

static void nodes_ext(struct fake *f, int self, struct buf *out)
{
	buf_add_str(out, "\"nodesExt\":[");
	bool first = true;
	for (unsigned i = 0; i < f->o.nodes; i++) {
		struct node *n = &f->node[i];
		if (n->failed)
			continue;
		buf_add_fmt(out, "%s{\"services\":", first ? "" : ",");
		if (f->o.external)
			buf_add_str(out, "{\"mgmt\":8091,\"kv\":11210}");
		else
			services(n, out);
		buf_add_str(out, ",\"hostname\":\"");
		own_name(f, n, out);
		buf_add_str(out, "\"");
		if (f->o.external) {
			buf_add_str(out, ",\"alternateAddresses\":{\"external\":{\"hostname\":"
					 "\"127.0.0.1\",\"ports\":");
			services(n, out);
			buf_add_str(out, "}}");
		}
		buf_add_str(out, (int)i == self ? ",\"thisNode\":true}" : "}");
		first = false;
	}
	buf_add_str(out, "]");
}

/* serverList index of a node, leaving out the failed ones. */
static int list_index(struct fake *f, int node)
{
	if (node < 0 || f->node[node].failed)
		return -1;
	int index = 0;
	for (int i = 0; i < node; i++)
		index += !f->node[i].failed;
	return index;
}

void topology_map(struct fake *f, int self, struct buf *out)
{
	buf_add_fmt(out,
		    "{\"rev\":%" PRId64
		    ",\"revEpoch\":1,\"name\":\"%s\",\"uuid\":\"%s\",\"nodeLocator\":\"vbucket\",",
		    f->rev, f->bucket, f->bucket_uuid);
	buf_add_fmt(out,
		    "\"uri\":\"/pools/default/buckets/%s?bucket_uuid=%s\",\"streamingUri\":\"/"
		    "pools/default/bucketsStreaming/%s\",",
		    f->bucket, f->bucket_uuid, f->bucket);
	buf_add_str(out, "\"bucketCapabilitiesVer\":\"\",\"bucketCapabilities\":[\"collections\","
			 "\"durableWrite\","
			 "\"tombstonedUserXAttrs\",\"couchapi\",\"dcp\",\"cbhello\",\"touch\","
			 "\"cccp\",\"xdcrCheckpointing\","
			 "\"nodesExt\",\"xattr\"],");
	buf_add_str(out, "\"clusterCapabilitiesVer\":[1,0],\"clusterCapabilities\":{},\"nodes\":[");
	bool first = true;
	for (unsigned i = 0; i < f->o.nodes; i++) {
		if (f->node[i].failed)
			continue;
		buf_add_fmt(out, "%s{\"hostname\":\"", first ? "" : ",");
		own_name(f, &f->node[i], out);
		buf_add_fmt(out, ":%u\",\"ports\":{\"direct\":%u}}",
			    f->o.external ? 8091 : f->node[i].http_port,
			    f->o.external ? 11210 : f->node[i].kv_port);
		first = false;
	}
	buf_add_str(out, "],");
	nodes_ext(f, self, out);
	buf_add_fmt(out,
		    ",\"vBucketServerMap\":{\"hashAlgorithm\":\"CRC\",\"numReplicas\":%u,"
		    "\"serverList\":[",
		    f->o.replicas);
	first = true;
	for (unsigned i = 0; i < f->o.nodes; i++) {
		if (f->node[i].failed)
			continue;
		buf_add_str(out, first ? "\"" : ",\"");
		own_name(f, &f->node[i], out);
		buf_add_fmt(out, ":%u\"", f->o.external ? 11210 : f->node[i].kv_port);
		first = false;
	}
	buf_add_str(out, "],\"vBucketMap\":[");
	for (unsigned v = 0; v < f->o.vbuckets; v++) {
		buf_add_str(out, v ? ",[" : "[");
		for (unsigned k = 0; k <= f->o.replicas; k++)
			buf_add_fmt(out, "%s%d", k ? "," : "",
				    list_index(f, f->vb[v].copy[k].node));
		buf_add_str(out, "]");
	}
	buf_add_str(out, "]}}");
}

void topology_node_services(struct fake *f, int self, struct buf *out)
{
	buf_add_fmt(out, "{\"rev\":%" PRId64 ",\"revEpoch\":1,", f->rev);
	nodes_ext(f, self, out);
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

void topology_manifest(struct fake *f, struct buf *out)
{
	buf_add_fmt(out, "{\"uid\":\"%" PRIx64 "\",\"scopes\":[", f->manifest_uid);
	bool first_scope = true;
	for (unsigned s = 0; s < f->n_scopes; s++) {
		if (f->scope[s].dropped)
			continue;
		buf_add_fmt(out, "%s{\"name\":\"%s\",\"uid\":\"%x\",\"collections\":[",
			    first_scope ? "" : ",", f->scope[s].name, f->scope[s].id);
		first_scope = false;
		bool first = true;
		for (unsigned c = 0; c < f->n_colls; c++) {
			if (f->coll[c].dropped || f->coll[c].scope != f->scope[s].id)
				continue;
			collection(&f->coll[c], first, out);
			first = false;
		}
		buf_add_str(out, "]}");
	}
	buf_add_str(out, "]}");
}

struct collection *topology_collection(struct fake *f, uint32_t cid)
{
	for (unsigned c = 0; c < f->n_colls; c++)
		if (!f->coll[c].dropped && f->coll[c].id == cid)
			return &f->coll[c];
	return NULL;
}

struct scope *topology_scope(struct fake *f, const char *name)
{
	for (unsigned s = 0; s < f->n_scopes; s++)
		if (!f->scope[s].dropped && strcmp(f->scope[s].name, name) == 0)
			return &f->scope[s];
	return NULL;
}

struct collection *topology_named(struct fake *f, const char *scope, const char *name)
{
	struct scope *s = topology_scope(f, scope);
	for (unsigned c = 0; s && c < f->n_colls; c++)
		if (!f->coll[c].dropped && f->coll[c].scope == s->id &&
		    strcmp(f->coll[c].name, name) == 0)
			return &f->coll[c];
	return NULL;
}

void topology_changed(struct fake *f)
{
	f->rev++;
	for (unsigned i = 0; i < f->o.nodes; i++)
		for (struct conn *c = f->node[i].conns; c; c = c->next)
			if (c->http_stream)
				http_push(f, c);
			else if (c->kind == CONN_KV && (c->map_push || c->map_brief) && c->has_bucket)
				kv_push_map(f, c);
}
