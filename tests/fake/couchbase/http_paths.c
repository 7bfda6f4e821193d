/* http_paths.c: the paths of the management port that clients and their tests use. */
#include "tests/fake/couchbase/http.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the cluster ---- */

static const char *version_text(const struct fake *f)
{
	switch (f->o.version) {
	case 80: return "8.0.0-0000-enterprise";
	case 76: return "7.6.4-0000-enterprise";
	default: return "7.2.9-0000-community";
	}
}

static void pools(struct fake *f, struct conn *c, const struct request *r)
{
	struct buf out = BUF_INIT;
	buf_add_fmt(&out,
		    "{\"isAdminCreds\":%s,\"implementationVersion\":\"%s\",\"pools\":"
		    "[{\"name\":\"default\",\"uri\":\"/pools/default\"}],\"uuid\":\"fake\"}",
		    user_may(r->user, NULL) & MAY_ADMIN ? "true" : "false", version_text(f));
	http_json(c, 200, &out);
}

static void pools_default(struct fake *f, struct conn *c, const struct request *r)
{
	struct buf out = BUF_INIT;
	(void)r;
	buf_add_str(
		&out,
		"{\"name\":\"default\",\"balanced\":true,\"rebalanceStatus\":\"none\",\"nodes\":[");
	for (unsigned i = 0; i < f->o.nodes; i++)
		buf_add_fmt(&out,
			    "%s{\"hostname\":\"127.0.0.1:%u\",\"version\":\"%s\","
			    "\"status\":\"%s\",\"clusterMembership\":\"%s\",\"services\":[\"kv\"]}",
			    i ? "," : "", f->node[i].http_port, version_text(f),
			    f->node[i].down || f->node[i].failed ? "unhealthy" : "healthy",
			    f->node[i].failed ? "inactiveFailed" : "active");
	buf_add_str(&out, "]}");
	http_json(c, 200, &out);
}

static void whoami(struct fake *f, struct conn *c, const struct request *r)
{
	struct buf out = BUF_INIT;
	(void)f;
	buf_add_fmt(&out, "{\"id\":\"%s\",\"domain\":\"%s\",\"roles\":[", r->user->name,
		    r->user == &f->user[0] ? "admin" : "local");
	for (const char *p = r->user->roles_text; *p;) {
		size_t n = strcspn(p, ","), name = strcspn(p, "[,");
		buf_add_fmt(&out, "%s{\"role\":\"%.*s\"}", p == r->user->roles_text ? "" : ",",
			    (int)name, p);
		p += n + (p[n] == ',');
	}
	buf_add_str(&out, "]}");
	http_json(c, 200, &out);
}

static void node_services(struct fake *f, struct conn *c, const struct request *r)
{
	struct buf out = BUF_INIT;
	(void)r;
	topology_node_services(f, c->node->index, &out);
	http_json(c, 200, &out);
}

/* PUT: hostname=H[&kv=P][&kvSSL=P][&mgmt=P][&mgmtSSL=P]; of the node that is asked. */
static void alternate(struct fake *f, struct conn *c, const struct request *r)
{
	struct node *n = c->node;
	char text[64];
	struct {
		const char *key;
		uint16_t *port;
	} ports[] = { { "kv", &n->alternate_kv },
		      { "kvSSL", &n->alternate_kvs },
		      { "mgmt", &n->alternate_mgmt },
		      { "mgmtSSL", &n->alternate_mgmts } };
	bool put = strcmp(r->method, "PUT") == 0;
	if (put && !http_value(r->body, "hostname", text, sizeof(text))) {
		http_respond(c, 400, "application/json",
			     SLICE_LIT("[\"hostname should be specified\"]"));
		return;
	}
	snprintf(n->alternate, sizeof(n->alternate), "%s", put ? text : "");
	for (size_t i = 0; i < ARRAY_LEN(ports); i++)
		*ports[i].port = http_value(r->body, ports[i].key, text, sizeof(text))
					 ? (uint16_t)atoi(text)
					 : 0;
	topology_all_changed(f);
	http_respond(c, 200, "application/json", SLICE_NONE);
}

/* ---- users ---- */

static void users(struct fake *f, struct conn *c, const struct request *r)
{
	struct buf out = BUF_INIT;
	(void)r;
	users_json(f, &out);
	http_json(c, 200, &out);
}

static void put_user(struct fake *f, struct conn *c, const struct request *r)
{
	char password[64], roles[200] = "";
	bool has = http_value(r->body, "password", password, sizeof(password));
	(void)http_value(r->body, "roles", roles, sizeof(roles));
	if ((!has && !user_named(f, r->arg[0])) ||
	    !user_set(f, r->arg[0], has ? password : NULL, roles))
		http_respond(c, 400, "application/json",
			     SLICE_LIT("{\"errors\":{\"roles\":\"malformed\"}}"));
	else
		http_respond(c, 200, "application/json", SLICE_LIT("\"\""));
}

static void delete_user(struct fake *f, struct conn *c, const struct request *r)
{
	if (user_remove(f, r->arg[0]))
		http_respond(c, 200, "application/json", SLICE_LIT("\"\""));
	else
		http_respond(c, 404, "application/json", SLICE_LIT("\"User was not found.\""));
}

/* ---- buckets ---- */

static void bucket_json(const struct bucket *b, struct buf *out)
{
	buf_add_fmt(
		out,
		"{\"name\":\"%s\",\"uuid\":\"%s\",\"bucketType\":\"%s\",\"storageBackend\":\"%s\","
		"\"nodeLocator\":\"vbucket\",\"numVBuckets\":%u,\"replicaNumber\":%u,\"maxTTL\":%u,"
		"\"historyRetentionCollectionDefault\":%s,\"controllers\":{%s%s%s}}",
		b->name, b->uuid, b->ephemeral ? "ephemeral" : "membase",
		b->ephemeral ? "undefined"
		: b->magma   ? "magma"
			     : "couchstore",
		b->n_vbs, b->replicas, b->max_ttl, b->magma ? "true" : "false",
		b->flush_enabled ? "\"flush\":\"/pools/default/buckets/" : "",
		b->flush_enabled ? b->name : "", b->flush_enabled ? "/controller/doFlush\"" : "");
}

static void buckets(struct fake *f, struct conn *c, const struct request *r)
{
	struct buf out = BUF_INIT;
	bool first = true;
	buf_add_str(&out, "[");
	for (unsigned i = 0; i < f->n_buckets; i++) {
		const struct bucket *b = f->bucket[i];
		if (b->gone || !(user_may(r->user, b) & MAY_VIEW))
			continue;
		buf_add_str(&out, first ? "" : ",");
		bucket_json(b, &out);
		first = false;
	}
	buf_add_str(&out, "]");
	http_json(c, 200, &out);
}

static void bucket(struct fake *f, struct conn *c, const struct request *r)
{
	struct buf out = BUF_INIT;
	(void)f;
	bucket_json(r->b, &out);
	http_json(c, 200, &out);
}

static void bucket_map(struct fake *f, struct conn *c, const struct request *r)
{
	struct buf out = BUF_INIT;
	(void)f;
	topology_map(r->b, c->node->index, &out);
	http_json(c, 200, &out);
}

static unsigned form_number(const struct request *r, const char *key, unsigned otherwise)
{
	char text[24];
	return http_value(r->body, key, text, sizeof(text)) ? (unsigned)strtoul(text, NULL, 10)
							    : otherwise;
}

static bool form_is(const struct request *r, const char *key, const char *value)
{
	char text[40];
	return http_value(r->body, key, text, sizeof(text)) && strcmp(text, value) == 0;
}

static void refuse_bucket(struct conn *c, const char *key, const char *why)
{
	struct buf out = BUF_INIT;
	buf_add_fmt(&out, "{\"errors\":{\"%s\":\"%s\"},\"summaries\":{}}", key, why);
	http_json(c, 400, &out);
}

static bool name_is_fine(const char *name)
{
	size_t n = strlen(name);
	return n && n <= 100 && name[0] != '.' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.%-") ==
		       n;
}

/* numVBuckets is a server 8's; nodes= is this cluster's own: only the first so many have it. */
static void create_bucket(struct fake *f, struct conn *c, const struct request *r)
{
	char name[200] = "";
	(void)http_value(r->body, "name", name, sizeof(name));
	struct fake_bucket o = {
		.name = name,
		.replicas = form_number(r, "replicaNumber", f->o.nodes > 1),
		.vbuckets = form_number(r, "numVBuckets", 0),
		.nodes = form_number(r, "nodes", 0),
		.max_ttl = form_number(r, "maxTTL", 0),
		.ephemeral = form_is(r, "bucketType", "ephemeral"),
		.magma = form_is(r, "storageBackend", "magma"),
		.flush_enabled = form_is(r, "flushEnabled", "1"),
	};
	if (!name_is_fine(name))
		refuse_bucket(
			c, "name",
			"Bucket name can only contain characters in range A-Z, a-z, 0-9 as well as "
			"underscore, period, dash & percent.");
	else if (bucket_named(f, slice_str(name)))
		refuse_bucket(c, "name", "Bucket with given name already exists");
	else if (o.replicas > 3)
		refuse_bucket(c, "replicaNumber", "Replica number larger than 3 is not supported.");
	else if (o.vbuckets & (o.vbuckets - 1) || o.vbuckets > 1024)
		refuse_bucket(c, "numVBuckets", "Number of vbuckets must be 128 or 1024");
	else if (!bucket_create(f, &o))
		refuse_bucket(c, "_", "Cannot create that many buckets");
	else {
		if (!f->script)
			f->script = bucket_named(f, slice_str(name));
		http_respond(c, 202, "application/json", SLICE_NONE);
	}
}

static void edit_bucket(struct fake *f, struct conn *c, const struct request *r)
{
	(void)f;
	r->b->flush_enabled = form_number(r, "flushEnabled", r->b->flush_enabled);
	r->b->max_ttl = form_number(r, "maxTTL", r->b->max_ttl);
	http_respond(c, 200, "application/json", SLICE_NONE);
}

static void delete_bucket(struct fake *f, struct conn *c, const struct request *r)
{
	(void)f;
	bucket_delete(r->b);
	http_respond(c, 200, "application/json", SLICE_NONE);
}

static void flush_bucket(struct fake *f, struct conn *c, const struct request *r)
{
	(void)f;
	if (!r->b->flush_enabled) {
		http_respond(c, 400, "application/json",
			     SLICE_LIT("{\"_\":\"Flush is disabled for the bucket\"}"));
		return;
	}
	bucket_flush(r->b);
	http_respond(c, 200, "application/json", SLICE_NONE);
}

/* ---- scopes and collections ---- */

static void refused(struct conn *c, int status, const char *what, const char *name, const char *why)
{
	struct buf out = BUF_INIT;
	buf_add_fmt(&out, "{\"errors\":{\"_\":\"%s with name \\\"%s\\\" %s\"}}", what, name, why);
	http_json(c, status, &out);
}

static void changed(struct conn *c, const struct bucket *b)
{
	struct buf out = BUF_INIT;
	buf_add_fmt(&out, "{\"uid\":\"%" PRIx64 "\"}", b->manifest_uid);
	http_json(c, 200, &out);
}

static void scopes(struct fake *f, struct conn *c, const struct request *r)
{
	struct buf out = BUF_INIT;
	(void)f;
	topology_manifest(r->b, &out);
	http_json(c, 200, &out);
}

static void create_scope(struct fake *f, struct conn *c, const struct request *r)
{
	char name[NAME_MAX_] = "";
	(void)f;
	(void)http_value(r->body, "name", name, sizeof(name));
	if (!*name)
		http_respond(c, 400, "application/json",
			     SLICE_LIT("{\"errors\":{\"name\":\"missing\"}}"));
	else if (!collections_create_scope(r->b, name))
		refused(c, 400, "Scope", name, "already exists");
	else
		changed(c, r->b);
}

static void drop_scope(struct fake *f, struct conn *c, const struct request *r)
{
	(void)f;
	if (!topology_scope(r->b, r->arg[1]))
		refused(c, 404, "Scope", r->arg[1], "is not found");
	else if (!collections_drop_scope(r->b, r->arg[1]))
		refused(c, 400, "Scope", r->arg[1], "cannot be dropped");
	else
		changed(c, r->b);
}

static struct fake_collection asked_collection(const struct request *r, const char *name)
{
	char ttl[24];
	struct fake_collection as = { .scope = r->arg[1], .name = name };
	as.has_ttl = http_value(r->body, "maxTTL", ttl, sizeof(ttl));
	as.max_ttl = as.has_ttl ? (uint32_t)strtoul(ttl, NULL, 10) : 0;
	as.history = form_is(r, "history", "true");
	as.no_history = form_is(r, "history", "false");
	return as;
}

static void create_collection(struct fake *f, struct conn *c, const struct request *r)
{
	char name[NAME_MAX_] = "";
	(void)f;
	(void)http_value(r->body, "name", name, sizeof(name));
	struct fake_collection as = asked_collection(r, name);
	if (!*name)
		http_respond(c, 400, "application/json",
			     SLICE_LIT("{\"errors\":{\"name\":\"missing\"}}"));
	else if (!topology_scope(r->b, r->arg[1]))
		refused(c, 404, "Scope", r->arg[1], "is not found");
	else if (!collections_create(r->b, &as))
		refused(c, 400, "Collection", name, "in scope already exists");
	else
		changed(c, r->b);
}

static void edit_collection(struct fake *f, struct conn *c, const struct request *r)
{
	(void)f;
	struct collection *coll = topology_named(r->b, r->arg[1], r->arg[2]);
	struct fake_collection as = asked_collection(r, r->arg[2]);
	if (!coll) {
		refused(c, 404, "Collection", r->arg[2], "is not found");
		return;
	}
	if (!as.has_ttl) {
		as.has_ttl = coll->has_ttl;
		as.max_ttl = coll->max_ttl;
	}
	if (!as.history && !as.no_history)
		as.history = coll->history;
	(void)collections_modify(r->b, &as);
	changed(c, r->b);
}

static void drop_collection(struct fake *f, struct conn *c, const struct request *r)
{
	(void)f;
	if (!topology_scope(r->b, r->arg[1]))
		refused(c, 404, "Scope", r->arg[1], "is not found");
	else if (!collections_drop(r->b, r->arg[1], r->arg[2]))
		refused(c, 404, "Collection", r->arg[2], "is not found");
	else
		changed(c, r->b);
}

/* ---- routes ---- */

/* A star stands for any segment; "b" as the first of them for a bucket that must be there. */
static const struct route {
	const char *method, *path;
	unsigned may; /* one of these, in the bucket if there is one; 0: who logged in */
	void (*run)(struct fake *f, struct conn *c, const struct request *r);
} routes[] = {
	{ "GET", "pools", 0, pools },
	{ "GET", "whoami", 0, whoami },
	{ "GET", "pools/default", 0, pools_default },
	{ "GET", "pools/default/nodeServices", 0, node_services },
	{ "GET", "pools/default/nodeServicesStreaming", 0, http_stream_map },
	{ "GET", "pools/default/b/b", MAY_VIEW, bucket_map },
	{ "GET", "pools/default/bs/b", MAY_VIEW, http_stream_map },
	{ "GET", "pools/default/bucketsStreaming/b", MAY_VIEW, http_stream_map },
	{ "GET", "pools/default/buckets", 0, buckets },
	{ "POST", "pools/default/buckets", MAY_ADMIN, create_bucket },
	{ "GET", "pools/default/buckets/b", MAY_VIEW, bucket },
	{ "POST", "pools/default/buckets/b", MAY_ADMIN, edit_bucket },
	{ "DELETE", "pools/default/buckets/b", MAY_ADMIN, delete_bucket },
	{ "POST", "pools/default/buckets/b/controller/doFlush", MAY_ADMIN, flush_bucket },
	{ "GET", "pools/default/buckets/b/scopes", MAY_VIEW, scopes },
	{ "POST", "pools/default/buckets/b/scopes", MAY_MANAGE, create_scope },
	{ "DELETE", "pools/default/buckets/b/scopes/*", MAY_MANAGE, drop_scope },
	{ "POST", "pools/default/buckets/b/scopes/*/collections", MAY_MANAGE, create_collection },
	{ "PATCH", "pools/default/buckets/b/scopes/*/collections/*", MAY_MANAGE, edit_collection },
	{ "DELETE", "pools/default/buckets/b/scopes/*/collections/*", MAY_MANAGE, drop_collection },
	{ "GET", "settings/rbac/users", MAY_ADMIN, users },
	{ "PUT", "settings/rbac/users/local/*", MAY_ADMIN, put_user },
	{ "DELETE", "settings/rbac/users/local/*", MAY_ADMIN, delete_user },
	{ "PUT", "node/controller/setupAlternateAddresses/external", MAY_ADMIN, alternate },
	{ "DELETE", "node/controller/setupAlternateAddresses/external", MAY_ADMIN, alternate },
};

/* Segment by segment. `names_bucket`: the pattern's "b" was met, after its three fixed segments. */
static bool fits(const struct route *x, struct request *r, bool *names_bucket)
{
	unsigned n = 0, stars = 0;
	*names_bucket = false;
	for (const char *p = x->path; *p; n++) {
		size_t len = strcspn(p, "/");
		bool b = n == 3 && len == 1 && *p == 'b', star = len == 1 && *p == '*';
		if (n == r->n_segments)
			return false;
		if (!b && !star &&
		    (strlen(r->segment[n]) != len || memcmp(r->segment[n], p, len) != 0))
			return false;
		if (b || star)
			r->arg[stars++] = r->segment[n];
		*names_bucket |= b;
		p += len + (p[len] == '/');
	}
	return n == r->n_segments && strcmp(x->method, r->method) == 0;
}

/* Streams of maps that the options leave out. */
static bool closed_way(const struct fake *f, const struct request *r)
{
	const char *last = r->n_segments > 2 ? r->segment[2] : "";
	return (f->o.http_ways >= 1 && strcmp(last, "bs") == 0) ||
	       (f->o.http_ways >= 2 && strcmp(last, "bucketsStreaming") == 0);
}

/* A browser's page, which clients take for a sign of life; nobody logs in for it. */
static bool front_page(struct conn *c, const struct request *r)
{
	bool page = r->n_segments == 2 && strcmp(r->segment[0], "ui") == 0;
	if (strcmp(r->method, "GET") != 0 || (r->n_segments && !page))
		return false;
	http_respond(c, 200, "text/html",
		     SLICE_LIT("<title>A simulated Couchbase cluster</title>"));
	return true;
}

void http_route(struct fake *f, struct conn *c, struct request *r)
{
	if (front_page(c, r))
		return;
	if (!r->user) {
		http_respond(c, 401, "text/plain", SLICE_LIT("login please"));
		return;
	}
	if (r->n_segments && strcmp(r->segment[0], "_fake") == 0) {
		if (user_may(r->user, NULL) & MAY_ADMIN)
			script_request(f, c, r);
		else
			http_respond(c, 403, "text/plain", SLICE_LIT("administrators only"));
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
		bool names_bucket;
		if (!fits(&routes[i], r, &names_bucket) || closed_way(f, r))
			continue;
		r->b = names_bucket ? bucket_named(f, slice_str(r->arg[0])) : NULL;
		if (names_bucket && !r->b)
			http_respond(c, 404, "text/plain",
				     SLICE_LIT("Requested resource not found.\r\n"));
		else if (routes[i].may && !(user_may(r->user, r->b) & routes[i].may))
			http_respond(c, 403, "application/json",
				     SLICE_LIT("{\"message\":\"Forbidden. User needs "
					       "permissions\",\"permissions\":[]}"));
		else
			routes[i].run(f, c, r);
		return;
	}
	http_respond(c, 404, "text/plain", SLICE_LIT("Not found.\r\n"));
}
