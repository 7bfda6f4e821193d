/* http.c: the few paths of the management port that clients read. */
#include "tests/fake/couchbase/internal.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { BODY_MAX = 1 << 20 };

struct request {
	char method[8], path[512];
	bool authorized;
	struct slice body;
};

static bool is_user(const char *header, const char *user, const char *password)
{
	char plain[160], expected[260] = "Basic ";
	int n = snprintf(plain, sizeof(plain), "%s:%s", user, password);
	EVP_EncodeBlock((uint8_t *)expected + 6, (const uint8_t *)plain, n);
	return strncmp(header, expected, strlen(expected)) == 0;
}

static bool authorized(struct fake *f, const char *head)
{
	const char *p = strcasestr(head, "\r\nAuthorization:");
	if (!p)
		return false;
	p += strlen("\r\nAuthorization:");
	while (*p == ' ')
		p++;
	return is_user(p, f->user, f->password) ||
	       (*f->reader && is_user(p, f->reader, f->reader_password));
}

static void respond(struct conn *c, int status, const char *type, struct slice body)
{
	char head[256];
	int n = snprintf(head, sizeof(head),
			 "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n",
			 status,
			 status == 200   ? "OK"
			 : status == 401 ? "Unauthorized"
			 : status == 404 ? "Not Found"
					 : "Bad Request",
			 type, body.len);
	conn_send(c, head, (size_t)n);
	conn_send(c, body.p, body.len);
}

static void chunk(struct conn *c, const struct buf *b)
{
	char head[32];
	int n = snprintf(head, sizeof(head), "%zx\r\n", b->len + 4);
	conn_send(c, head, (size_t)n);
	conn_send(c, b->p, b->len);
	conn_send(c, "\n\n\n\n\r\n", 6);
}

static void stream_map(struct fake *f, struct conn *c)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: "
				   "application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
	struct buf map = BUF_INIT;
	topology_map(f, c->node->index, &map);
	conn_send(c, head, sizeof(head) - 1);
	chunk(c, &map);
	c->http_stream = true;
	buf_done(&map);
}

static bool path_is(const char *path, const char *prefix, const char *name)
{
	size_t n = strlen(prefix);
	size_t end = strcspn(path, "?");
	return strncmp(path, prefix, n) == 0 && end == n + strlen(name) &&
	       strncmp(path + n, name, strlen(name)) == 0;
}

/* name=VALUE of a form. */
static bool form_value(struct slice body, const char *key, char *out, size_t cap)
{
	char text[1024], pattern[64];
	snprintf(text, sizeof(text), "&%.*s", (int)body.len, (const char *)body.p);
	snprintf(pattern, sizeof(pattern), "&%s=", key);
	const char *p = strstr(text, pattern);
	if (!p)
		return false;
	p += strlen(pattern);
	snprintf(out, cap, "%.*s", (int)strcspn(p, "&"), p);
	return true;
}

void fake_create_scope_locked(struct fake *f, const char *name, uint32_t *id);
uint32_t fake_create_collection_locked(struct fake *f, const struct fake_collection *as);
bool fake_drop_collection_locked(struct fake *f, const char *scope, const char *name);
bool fake_drop_scope_locked(struct fake *f, const char *name);

static void refused(struct conn *c, int status, const char *what, const char *name, const char *why)
{
	char body[256];
	snprintf(body, sizeof(body), "{\"errors\":{\"_\":\"%s with name \\\"%s\\\" %s\"}}", what,
		 name, why);
	respond(c, status, "application/json", slice_str(body));
}

static void changed(struct fake *f, struct conn *c)
{
	char body[64];
	snprintf(body, sizeof(body), "{\"uid\":\"%llx\"}", (unsigned long long)f->manifest_uid);
	respond(c, 200, "application/json", slice_str(body));
}

/* /pools/default/buckets/B/scopes[/S[/collections[/C]]] */
static void scopes(struct fake *f, struct conn *c, const struct request *r, const char *rest)
{
	char scope[64] = "", coll[64] = "", name[64];
	bool drop = strcmp(r->method, "DELETE") == 0;
	int parts = sscanf(rest, "/%63[^/?]/collections/%63[^/?]", scope, coll);
	bool of_coll = strstr(rest, "/collections") != NULL;
	uint32_t id = 0;
	if (strcmp(r->method, "GET") == 0) {
		struct buf out = BUF_INIT;
		topology_manifest(f, &out);
		respond(c, 200, "application/json", buf_slice(&out));
		buf_done(&out);
		return;
	}
	bool post =
		strcmp(r->method, "POST") == 0 && form_value(r->body, "name", name, sizeof(name));
	if ((!post && !drop) || (drop && (parts < 1 || (of_coll && parts < 2)))) {
		respond(c, 400, "application/json", SLICE_LIT("{\"errors\":{}}"));
		return;
	}
	if ((of_coll || drop) && !topology_scope(f, scope)) {
		refused(c, 404, "Scope", scope, "is not found");
		return;
	}
	if (post && of_coll) {
		char ttl[24], history[8];
		struct fake_collection as = { .scope = scope, .name = name };
		as.has_ttl = form_value(r->body, "maxTTL", ttl, sizeof(ttl));
		as.max_ttl = as.has_ttl ? (uint32_t)strtoul(ttl, NULL, 10) : 0;
		as.history = form_value(r->body, "history", history, sizeof(history)) &&
			     strcmp(history, "true") == 0;
		if (!fake_create_collection_locked(f, &as)) {
			refused(c, 400, "Collection", name, "in scope already exists");
			return;
		}
	} else if (post) {
		fake_create_scope_locked(f, name, &id);
		if (!id) {
			refused(c, 400, "Scope", name, "already exists");
			return;
		}
	} else if (of_coll) {
		if (!fake_drop_collection_locked(f, scope, coll)) {
			refused(c, 404, "Collection", coll, "is not found");
			return;
		}
	} else if (!fake_drop_scope_locked(f, scope)) {
		refused(c, 400, "Scope", scope, "cannot be dropped");
		return;
	}
	changed(f, c);
}

/* A number of the query. */
static unsigned long query_number(const struct request *r, const char *key, unsigned long otherwise)
{
	char text[32];
	const char *query = strchr(r->path, '?');
	if (!query || !form_value(slice_str(query + 1), key, text, sizeof(text)))
		return otherwise;
	return strtoul(text, NULL, 10);
}

/* Writes count documents NAME-0, NAME-1, ... */
static void control_load(struct fake *f, const struct request *r)
{
	char name[32] = "key", key[64], value[96];
	const char *query = strchr(r->path, '?');
	unsigned long n = query_number(r, "count", 1);
	if (query)
		(void)form_value(slice_str(query + 1), "name", name, sizeof(name));
	for (unsigned long i = 0; i < n; i++) {
		int len = snprintf(key, sizeof(key), "%s-%lu", name, i);
		int v = snprintf(value, sizeof(value), "{\"n\":%lu}", i);
		fake_set(f, fake_vb_of_key(f, key, (size_t)len), 0, key,
			 slice_of(value, (size_t)v));
	}
}

/* What a script does to the cluster from outside:
 *
 *	POST /_fake/load?name=N&count=N     documents N-0, N-1, ...
 *	POST /_fake/hold?on=1               nothing more is replicated or persisted; on=0: again
 *	POST /_fake/failover?node=N         the node is gone, with what only it had */
static void control(struct fake *f, struct conn *c, const struct request *r)
{
	const char *verb = r->path + strlen("/_fake/");
	unsigned long node = query_number(r, "node", FAKE_NODES_MAX);
	bool known = strcmp(r->method, "POST") == 0;
	if (!known)
		;
	else if (path_is(verb, "load", ""))
		control_load(f, r);
	else if (path_is(verb, "hold", ""))
		fake_hold_persistence(f, query_number(r, "on", 1) != 0);
	else if (path_is(verb, "failover", "") && node < f->o.nodes)
		fake_failover_node(f, (unsigned)node);
	else
		known = false;
	if (known)
		respond(c, 200, "application/json", SLICE_LIT("{}"));
	else
		respond(c, 400, "text/plain", SLICE_LIT("POST load, hold or failover"));
}

static void answer(struct fake *f, struct conn *c, const struct request *r)
{
	struct buf out = BUF_INIT;
	char prefix[160];
	if (!r->authorized) {
		respond(c, 401, "text/plain", SLICE_LIT("login please"));
		return;
	}
	if (strncmp(r->path, "/_fake/", 7) == 0) {
		control(f, c, r);
		return;
	}
	snprintf(prefix, sizeof(prefix), "/pools/default/buckets/%s/scopes", f->bucket);
	if ((f->o.http_ways < 1 && path_is(r->path, "/pools/default/bs/", f->bucket)) ||
	    (f->o.http_ways < 2 &&
	     path_is(r->path, "/pools/default/bucketsStreaming/", f->bucket))) {
		stream_map(f, c);
		return;
	}
	if (strncmp(r->path, prefix, strlen(prefix)) == 0) {
		scopes(f, c, r, r->path + strlen(prefix));
		return;
	}
	if (path_is(r->path, "/pools/default/b/", f->bucket)) {
		topology_map(f, c->node->index, &out);
	} else if (path_is(r->path, "/pools/default/nodeServices", "")) {
		topology_node_services(f, c->node->index, &out);
	} else if (path_is(r->path, "/pools", "")) {
		buf_add_str(
			&out,
			"{\"isAdminCreds\":true,\"implementationVersion\":\"7.2.9-0000-community\","
			"\"pools\":"
			"[{\"name\":\"default\",\"uri\":\"/pools/default\"}],\"uuid\":\"fake\"}");
	} else if (path_is(r->path, "/pools/default", "")) {
		buf_add_str(&out, "{\"name\":\"default\",\"nodes\":[");
		for (unsigned i = 0; i < f->o.nodes; i++)
			buf_add_fmt(&out,
				    "%s{\"hostname\":\"127.0.0.1:%u\",\"version\":\"7.2.9-0000-"
				    "community\","
				    "\"status\":\"healthy\",\"clusterMembership\":\"%s\"}",
				    i ? "," : "", f->node[i].http_port,
				    f->node[i].failed ? "inactiveFailed" : "active");
		buf_add_str(&out, "]}");
	} else if (path_is(r->path, "/pools/default/buckets/", f->bucket) ||
		   path_is(r->path, "/pools/default/buckets", "")) {
		bool list = path_is(r->path, "/pools/default/buckets", "");
		buf_add_fmt(&out,
			    "%s{\"name\":\"%s\",\"uuid\":\"%s\",\"bucketType\":\"%s\","
			    "\"storageBackend\":\"%s\","
			    "\"numVBuckets\":%u,\"replicaNumber\":%u}%s",
			    list ? "[" : "", f->bucket, f->bucket_uuid,
			    f->o.ephemeral ? "ephemeral" : "membase",
			    f->o.magma ? "magma" : "couchstore", f->o.vbuckets, f->o.replicas,
			    list ? "]" : "");
	} else if (path_is(r->path, "/whoami", "")) {
		buf_add_fmt(
			&out,
			"{\"id\":\"%s\",\"domain\":\"builtin\",\"roles\":[{\"role\":\"admin\"}]}",
			f->user);
	} else {
		respond(c, 404, "text/plain", SLICE_LIT("Object Not Found"));
		return;
	}
	respond(c, 200, "application/json", buf_slice(&out));
	buf_done(&out);
}

/* Joins the chunks of a body in place. 1, 0 not whole, -1 malformed. */
static int join_chunks(uint8_t *p, size_t len, size_t *body, size_t *used)
{
	size_t at = 0;
	*body = 0;
	for (;;) {
		uint8_t *eol = memmem(p + at, len - at, "\r\n", 2);
		if (!eol)
			return 0;
		char *end;
		size_t n = strtoul((char *)p + at, &end, 16);
		if (end == (char *)p + at || n > BODY_MAX)
			return -1;
		at = (size_t)(eol - p) + 2;
		if (len - at < n + 2)
			return 0;
		memmove(p + *body, p + at, n);
		*body += n;
		at += n + 2;
		if (n == 0)
			break;
	}
	*used = at;
	return 1;
}

/* One request off the input. 1, 0 not whole, -1 malformed. */
static int cut(struct fake *f, struct conn *c, struct request *r, size_t *used)
{
	struct buf *in = &c->in;
	const char *end = memmem(in->p, in->len, "\r\n\r\n", 4);
	if (!end)
		return in->len > 16384 ? -1 : 0;
	size_t head_len = (size_t)(end - (const char *)in->p) + 4, body, taken;
	char *head = strndup((const char *)in->p, head_len);
	int n = sscanf(head, "%7s %511s HTTP/1.", r->method, r->path);
	r->authorized = c->auth == 2 /* by certificate */ || authorized(f, head);
	const char *p = strcasestr(head, "\r\nContent-Length:");
	bool chunked = strcasestr(head, "\r\nTransfer-Encoding: chunked") != NULL;
	taken = body = p ? strtoul(p + strlen("\r\nContent-Length:"), NULL, 10) : 0;
	free(head);
	if (n != 2 || body > BODY_MAX)
		return -1;
	if (chunked) {
		/* Joining changes the input: only once, when all of it is there. */
		if (in->len < head_len + 5 || memcmp(in->p + in->len - 5, "0\r\n\r\n", 5) != 0)
			return in->len > BODY_MAX ? -1 : 0;
		if (join_chunks(in->p + head_len, in->len - head_len, &body, &taken) != 1)
			return -1;
	}
	if (in->len < head_len + taken)
		return 0;
	r->body = slice_of(in->p + head_len, body);
	*used = head_len + taken;
	return 1;
}

bool http_on_bytes(struct fake *f, struct conn *c)
{
	struct request r;
	size_t used;
	int rc;
	while (c->in.len && (rc = cut(f, c, &r, &used)) != 0) {
		if (rc < 0)
			return false;
		answer(f, c, &r);
		memmove(c->in.p, c->in.p + used, c->in.len - used);
		c->in.len -= used;
	}
	return true;
}

void http_push(struct fake *f, struct conn *c)
{
	struct buf map = BUF_INIT;
	topology_map(f, c->node->index, &map);
	chunk(c, &map);
	buf_done(&map);
}
