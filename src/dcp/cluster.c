#include "dcp/cluster.h"

#include "base/mem.h"
#include "doc/json.h"

#include <inttypes.h>

/* Reads the members it needs; each is checked where it is used. */
struct reader {
	struct cluster_map *map;
	const char *asked;
	struct err *e;
};

static int bad(struct reader *r, const char *what)
{
	return err_set(r->e, ERR_PROTOCOL, "cluster map: %s", what);
}

static int64_t number(struct slice doc, const char *key, int64_t otherwise)
{
	struct value v = bson_get_str(doc, key);
	return v.type == BSON_INT32 || v.type == BSON_INT64 ? v.i64 : otherwise;
}

static bool sub_document(struct slice doc, const char *key, uint8_t type, struct slice *out)
{
	struct value v = bson_get_str(doc, key);
	if (v.type != type)
		return false;
	*out = value_slice(v);
	return true;
}

static void copy_text(char *out, size_t cap, struct slice doc, const char *key)
{
	struct value v = bson_get_str(doc, key);
	size_t n = v.type == BSON_STRING ? MIN(v.len, cap - 1) : 0;
	if (n)
		memcpy(out, v.p, n);
	out[n] = '\0';
}

static int copy_host(struct reader *r, char *out, struct slice text)
{
	if (text.len >= 2 && text.p[0] == '[' && text.p[text.len - 1] == ']')
		text = slice_of(text.p + 1, text.len - 2);
	if (text.len == 0 || slice_is(text, "$HOST"))
		text = slice_str(r->asked);
	if (text.len > CLUSTER_HOST_MAX || memchr(text.p, 0, text.len))
		return bad(r, "a bad host name");
	memcpy(out, text.p, text.len);
	out[text.len] = '\0';
	return 0;
}

static uint16_t port(struct slice ports, const char *key)
{
	int64_t p = number(ports, key, 0);
	return p > 0 && p <= UINT16_MAX ? (uint16_t)p : 0;
}

static int read_external(struct reader *r, struct cluster_node *n, struct slice entry)
{
	struct slice alternate, external, ports;
	if (!sub_document(entry, "alternateAddresses", BSON_DOCUMENT, &alternate) ||
	    !sub_document(alternate, "external", BSON_DOCUMENT, &external))
		return 0;
	struct value host = bson_get_str(external, "hostname");
	if (host.type != BSON_STRING)
		return 0;
	int rc = copy_host(r, n->external_host, value_slice(host));
	if (rc < 0)
		return rc;
	n->has_external = true;
	if (sub_document(external, "ports", BSON_DOCUMENT, &ports)) {
		n->external_kv = port(ports, "kv");
		n->external_kv_tls = port(ports, "kvSSL");
		n->external_mgmt = port(ports, "mgmt");
		n->external_mgmt_tls = port(ports, "mgmtSSL");
	} else {
		n->external_kv = n->kv;
		n->external_kv_tls = n->kv_tls;
		n->external_mgmt = n->mgmt;
		n->external_mgmt_tls = n->mgmt_tls;
	}
	return 0;
}

static int read_node_ext(struct reader *r, struct cluster_node *n, struct slice entry)
{
	struct slice services;
	struct value host = bson_get_str(entry, "hostname");
	int rc = copy_host(r, n->host, host.type == BSON_STRING ? value_slice(host) : SLICE_NONE);
	if (rc < 0)
		return rc;
	struct value self = bson_get_str(entry, "thisNode");
	n->this_node = self.type == BSON_BOOL && self.i64;
	if (sub_document(entry, "services", BSON_DOCUMENT, &services)) {
		n->kv = port(services, "kv");
		n->kv_tls = port(services, "kvSSL");
		n->mgmt = port(services, "mgmt");
		n->mgmt_tls = port(services, "mgmtSSL");
	}
	return read_external(r, n, entry);
}

/* Old maps have no nodesExt: "host:port" must do. */
static int read_server(struct reader *r, struct cluster_node *n, struct slice text)
{
	size_t colon = text.len;
	while (colon > 0 && text.p[colon - 1] != ':')
		colon--;
	if (colon == 0)
		return bad(r, "a server without a port");
	uint32_t p = 0;
	for (size_t i = colon; i < text.len; i++) {
		if (text.p[i] < '0' || text.p[i] > '9' || p > UINT16_MAX)
			return bad(r, "a server with a bad port");
		p = 10 * p + text.p[i] - '0';
	}
	if (p == 0 || p > UINT16_MAX)
		return bad(r, "a server with a bad port");
	n->kv = (uint16_t)p;
	return copy_host(r, n->host, slice_of(text.p, colon - 1));
}

static size_t count_of(struct slice array)
{
	struct bson_iter it;
	size_t n = 0;
	bson_iter_init(&it, array);
	while (bson_next(&it))
		n++;
	return n;
}

static int read_nodes(struct reader *r, struct slice list, uint8_t type)
{
	struct cluster_map *m = r->map;
	size_t n = count_of(list);
	if (n == 0 || n > CLUSTER_NODES_MAX)
		return bad(r, "no nodes, or too many");
	m->node = mem_try_array(n, sizeof(*m->node));
	if (!m->node)
		return err_nomem(r->e);
	struct bson_iter it;
	bson_iter_init(&it, list);
	while (bson_next(&it)) {
		if (it.value.type != type)
			return bad(r, "a node of the wrong type");
		struct cluster_node *node = &m->node[m->n_nodes++];
		struct slice s = value_slice(it.value);
		int rc = type == BSON_STRING ? read_server(r, node, s) : read_node_ext(r, node, s);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int read_copies(struct reader *r, struct slice copies, int16_t *owner, size_t n_servers)
{
	struct bson_iter it;
	uint32_t copy = 0;
	bson_iter_init(&it, copies);
	for (; bson_next(&it) && copy <= CLUSTER_REPLICAS_MAX; copy++) {
		if (it.value.type != BSON_INT32 || it.value.i64 < -1 ||
		    it.value.i64 >= (int64_t)n_servers)
			return bad(r, "a vBucket on a server that is not listed");
		owner[copy] = (int16_t)it.value.i64;
	}
	if (copy == 0)
		return bad(r, "a vBucket without copies");
	return 0;
}

static int read_owners(struct reader *r, struct slice map, size_t n_servers)
{
	struct cluster_map *m = r->map;
	const size_t row = 1 + CLUSTER_REPLICAS_MAX;
	size_t n = count_of(map);
	if (n == 0 || n > UINT16_MAX + 1u)
		return bad(r, "no vBuckets, or too many");
	m->owner = mem_try_array(n * row, sizeof(*m->owner));
	if (!m->owner)
		return err_nomem(r->e);
	for (size_t i = 0; i < n * row; i++)
		m->owner[i] = -1;
	struct bson_iter it;
	bson_iter_init(&it, map);
	while (bson_next(&it)) {
		if (it.value.type != BSON_ARRAY)
			return bad(r, "a vBucket that is no list");
		int rc = read_copies(r, value_slice(it.value), m->owner + row * m->n_vbuckets++,
				     n_servers);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static bool has_text(struct slice array, const char *text)
{
	struct bson_iter it;
	bson_iter_init(&it, array);
	while (bson_next(&it))
		if (it.value.type == BSON_STRING && slice_is(value_slice(it.value), text))
			return true;
	return false;
}

static int read_map(struct reader *r, struct slice doc)
{
	struct cluster_map *m = r->map;
	struct slice servers_map = SLICE_NONE, servers = SLICE_NONE, vbuckets = SLICE_NONE;
	struct slice nodes_ext, capabilities;
	m->rev = number(doc, "rev", -1);
	m->epoch = number(doc, "revEpoch", 0);
	if (m->rev < 0)
		return bad(r, "no revision");
	copy_text(m->uuid, sizeof(m->uuid), doc, "uuid");
	copy_text(m->name, sizeof(m->name), doc, "name");
	if (sub_document(doc, "bucketCapabilities", BSON_ARRAY, &capabilities))
		m->collections = has_text(capabilities, "collections");
	bool has_servers = sub_document(doc, "vBucketServerMap", BSON_DOCUMENT, &servers_map) &&
			   sub_document(servers_map, "serverList", BSON_ARRAY, &servers) &&
			   sub_document(servers_map, "vBucketMap", BSON_ARRAY, &vbuckets);
	bool has_ext = sub_document(doc, "nodesExt", BSON_ARRAY, &nodes_ext);
	if (!has_servers && !has_ext)
		return bad(r, "neither servers nor nodes");
	int rc = has_ext ? read_nodes(r, nodes_ext, BSON_DOCUMENT)
			 : read_nodes(r, servers, BSON_STRING);
	if (rc < 0 || !has_servers)
		return rc;
	m->n_replicas = (uint32_t)MAX(0, MIN(number(servers_map, "numReplicas", 0),
					     (int64_t)CLUSTER_REPLICAS_MAX));
	size_t n_servers = count_of(servers);
	if (n_servers > m->n_nodes)
		return bad(r, "more servers than nodes");
	return read_owners(r, vbuckets, n_servers);
}

int cluster_map_parse(struct slice json, const char *asked, struct cluster_map **out, struct err *e)
{
	if (json.len > CLUSTER_JSON_MAX)
		return err_set(e, ERR_LIMIT, "cluster map: %zu bytes, the limit is %u", json.len,
			       CLUSTER_JSON_MAX);
	AUTO(buf) struct buf doc = BUF_INIT;
	int rc = json_to_bson(json, &doc, NULL, e);
	if (rc < 0)
		return err_in(e, rc, "cluster map");
	struct cluster_map *m = mem_try(sizeof(*m));
	if (!m)
		return err_nomem(e);
	struct reader r = { .map = m, .asked = asked, .e = e };
	rc = read_map(&r, buf_slice(&doc));
	if (rc < 0) {
		cluster_map_free(m);
		return rc;
	}
	*out = m;
	return 0;
}

void cluster_map_free(struct cluster_map *m)
{
	if (!m)
		return;
	mem_free(m->node);
	mem_free(m->owner);
	mem_free(m);
}

enum cluster_network cluster_choose_network(const struct cluster_map *m, enum cluster_network wish,
					    const char *seed_host, uint16_t seed_port)
{
	if (wish != NETWORK_AUTO)
		return wish;
	bool all_external = m->n_nodes > 0;
	for (uint32_t i = 0; i < m->n_nodes; i++) {
		const struct cluster_node *n = &m->node[i];
		bool port_fits = n->kv == seed_port || n->kv_tls == seed_port ||
				 n->mgmt == seed_port || n->mgmt_tls == seed_port;
		if (port_fits && strcmp(n->host, seed_host) == 0)
			return NETWORK_DEFAULT;
		all_external = all_external && n->has_external;
	}
	return all_external ? NETWORK_EXTERNAL : NETWORK_DEFAULT;
}

bool cluster_address(const struct cluster_map *m, uint32_t node, enum cluster_network network,
		     bool tls, const char **host, uint16_t *port_out)
{
	ASSERT(node < m->n_nodes);
	const struct cluster_node *n = &m->node[node];
	bool external = network == NETWORK_EXTERNAL && n->has_external;
	*host = external ? n->external_host : n->host;
	*port_out = external ? (tls ? n->external_kv_tls : n->external_kv)
		    : tls    ? n->kv_tls
			     : n->kv;
	return *port_out != 0;
}

bool cluster_mgmt_address(const struct cluster_map *m, uint32_t node, enum cluster_network network,
			  bool tls, const char **host, uint16_t *port_out)
{
	ASSERT(node < m->n_nodes);
	const struct cluster_node *n = &m->node[node];
	bool external = network == NETWORK_EXTERNAL && n->has_external;
	*host = external ? n->external_host : n->host;
	*port_out = external ? (tls ? n->external_mgmt_tls : n->external_mgmt)
		    : tls    ? n->mgmt_tls
			     : n->mgmt;
	return *port_out != 0;
}

void cluster_http_path(const char *under, const char *bucket, struct buf *out)
{
	buf_add_fmt(out, "/pools/default/%s/", under);
	for (const char *p = bucket; *p; p++) {
		bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
			     (*p >= '0' && *p <= '9') || strchr("-._", *p);
		if (plain)
			buf_add_byte(out, (uint8_t)*p);
		else
			buf_add_fmt(out, "%%%02X", (unsigned)(uint8_t)*p);
	}
}

int cluster_http_refusal(int status, const char *host, uint16_t port, const char *user,
			 const char *bucket, struct err *e)
{
	if (status == 401 || status == 403)
		return err_set(e, ERR_AUTH,
			       "%s:%u: the management service refused %s%s (HTTP status %d)", host,
			       port, user && *user ? "user " : "the certificate", user ? user : "",
			       status);
	if (status == 404)
		return err_set(e, ERR_NOTFOUND, "%s:%u: the management service knows no bucket %s",
			       host, port, bucket);
	return err_set(e, ERR_NET, "%s:%u: the management service answered HTTP status %d", host,
		       port, status);
}

bool cluster_bucket_ephemeral(struct slice json, bool *ephemeral)
{
	AUTO(buf) struct buf doc = BUF_INIT;
	if (json.len > CLUSTER_JSON_MAX || json_to_bson(json, &doc, NULL, NULL) < 0)
		return false;
	struct value type = bson_get_str(buf_slice(&doc), "bucketType");
	if (type.type != BSON_STRING)
		return false;
	*ephemeral = slice_is(value_slice(type), "ephemeral");
	return true;
}

void cluster_share(uint32_t n_vbuckets, uint32_t member, uint32_t total, uint32_t *first,
		   uint32_t *count)
{
	ASSERT(member >= 1 && member <= total);
	uint32_t each = n_vbuckets / total, more = n_vbuckets % total, i = member - 1;
	*first = i * each + MIN(i, more);
	*count = each + (i < more);
}

int cluster_member_of_host(const char *host_name, uint32_t *member, struct err *e)
{
	size_t len = strcspn(host_name, ".");
	size_t at = len;
	while (at > 0 && host_name[at - 1] >= '0' && host_name[at - 1] <= '9')
		at--;
	uint64_t n = 0;
	for (size_t i = at; i < len && n <= UINT16_MAX; i++)
		n = 10 * n + (uint64_t)(host_name[i] - '0');
	if (at == len || at < 2 || host_name[at - 1] != '-' || n > UINT16_MAX)
		return err_set(
			e, ERR_INVALID,
			"the host name \"%s\" does not end in a pod's number (name-0, name-1, ...)",
			host_name);
	*member = (uint32_t)n + 1;
	return 0;
}
