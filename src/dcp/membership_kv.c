/* membership_kv.c: single documents of a bucket, read and written with CAS. As in checkpoint_couchbase.c, a call runs a
 * loop of its own: seed ─▶ map ─▶ the document's node ─▶ one request ─▶ its answer. */
#include "dcp/membership.h"

#include "base/mem.h"
#include "dcp/cluster.h"
#include "dcp/conn.h"
#include "os/env.h"

#include <stdio.h>
#include <stdlib.h>

#define RETRY_AFTER (50 * NSEC_PER_MS)

enum { HOSTS = 2, OPAQUE = 0x20000, FLAGS_JSON = 50333696, KV_PORT = 11210, KV_PORT_TLS = 11207 };

struct link {
	struct kv *kv;
	char name[256];
	uint16_t port;
	struct conn *conn;
	bool sent;
};

struct kv {
	struct documents base;
	struct conn_options o;
	const char *const *seeds;
	size_t n_seeds, next_seed;
	nsec timeout;
	/* of one call */
	struct loop *loop;
	struct timer retry, deadline;
	struct cluster_map *map;
	enum cluster_network network;
	struct link link[HOSTS]; /* the seed's, and the document's node's when that is another */
	const char *key;
	struct slice value, field; /* field: only that one is written */
	struct buf *out;           /* get */
	uint64_t cas;
	uint32_t expiry;
	int rc;
	struct err *e;
	struct err last;
};

static void finish(struct kv *k, int rc)
{
	k->rc = rc;
	loop_stop(k->loop);
}

static void send_request(struct kv *k, struct link *l)
{
	uint8_t extras[8], key[WIRE_KEY_MAX + 1];
	size_t len = strlen(k->key);
	bool collections = conn_has(l->conn, HELLO_COLLECTIONS);
	key[0] = 0; /* the default collection */
	memcpy(key + 1, k->key, len);
	put_be32(extras, FLAGS_JSON);
	put_be32(extras + 4, k->expiry);
	if (k->field.len) {
		wire_field_upsert(conn_out(l->conn),
				  wire_vbucket_of(slice_of(key + 1, len), k->map->n_vbuckets),
				  OPAQUE,
				  collections ? slice_of(key, len + 1) : slice_of(key + 1, len),
				  k->field, k->value);
		conn_flush(l->conn);
		l->sent = true;
		return;
	}
	struct packet p = { .magic = MAGIC_REQUEST,
			    .opcode = k->out        ? OP_GET
				      : k->cas == 0 ? OP_ADD
						    : OP_SET,
			    .opaque = OPAQUE,
			    .vb_status =
				    wire_vbucket_of(slice_of(key + 1, len), k->map->n_vbuckets),
			    .cas = k->cas == UINT64_MAX ? 0 : k->cas,
			    .extras = slice_of(extras, k->out ? 0 : sizeof(extras)),
			    .key = collections ? slice_of(key, len + 1) : slice_of(key + 1, len),
			    .value = k->value };
	packet_encode(conn_out(l->conn), &p);
	conn_flush(l->conn);
	l->sent = true;
}

static void again(struct kv *k)
{
	timer_set(&k->retry, RETRY_AFTER);
}

static const struct conn_ops link_ops;

static void open_link(struct kv *k, struct link *l, const char *name, uint16_t port)
{
	if (l->conn && (l->port != port || strcmp(l->name, name) != 0)) {
		conn_free(l->conn);
		l->conn = NULL;
	}
	if (l->conn)
		return;
	l->kv = k;
	l->port = port;
	l->sent = false;
	(void)snprintf(l->name, sizeof(l->name), "%s", name);
	if (conn_open(k->loop, l->name, port, &k->o, &link_ops, l, &l->conn, &k->last) < 0)
		again(k);
}

static void connect_seed(struct kv *k)
{
	char name[256];
	const char *seed = k->seeds[k->next_seed++ % k->n_seeds], *colon = strrchr(seed, ':');
	uint16_t port = k->o.tls ? KV_PORT_TLS : KV_PORT;
	int len = (int)strlen(seed);
	if (colon && strchr(seed, ':') == colon) {
		port = (uint16_t)strtoul(colon + 1, NULL, 10);
		len = (int)(colon - seed);
	}
	(void)snprintf(name, sizeof(name), "%.*s", len, seed);
	open_link(k, &k->link[0], name, port);
}

/* To the node that has the document: the seed, or another. */
static void go_on(struct kv *k)
{
	const char *name;
	uint16_t port;
	uint16_t home = wire_vbucket_of(slice_str(k->key), k->map->n_vbuckets);
	int owner = cluster_owner(k->map, home, 0);
	if (owner < 0 ||
	    !cluster_address(k->map, (uint32_t)owner, k->network, k->o.tls != NULL, &name, &port)) {
		again(k);
		return;
	}
	struct link *l = &k->link[0];
	if (!l->conn || l->port != port || strcmp(l->name, name) != 0) {
		l = &k->link[1];
		open_link(k, l, name, port);
	}
	if (l->conn && conn_is_ready(l->conn) && !l->sent)
		send_request(k, l);
}

static void on_ready(void *arg, struct conn *c)
{
	struct link *l = arg;
	(void)c;
	if (l->kv->map)
		go_on(l->kv);
}

static void answered(struct kv *k, const struct packet *p)
{
	switch (p->vb_status) {
	case STATUS_OK:
		if (k->out) {
			k->cas = p->cas;
			buf_add_slice(k->out, p->value);
		}
		finish(k, k->out ? (buf_check(k->out, k->e) < 0 ? ERR_NOMEM : 1) : 0);
		return;
	case STATUS_SUBDOC_MULTI_FAILURE:
		finish(k, err_set(k->e, ERR_NOTFOUND, "%s has no " SLICE_FMT, k->key,
				  SLICE_ARG(k->field)));
		return;
	case STATUS_KEY_ENOENT:
		if (k->out)
			finish(k, 0);
		else if (k->field.len)
			finish(k, err_set(k->e, ERR_NOTFOUND, "there is no %s", k->key));
		else
			finish(k, err_set(k->e, ERR_CONFLICT, "%s was removed", k->key));
		return;
	case STATUS_KEY_EEXISTS:
	case STATUS_NOT_STORED:
		finish(k, err_set(k->e, ERR_CONFLICT, "%s was changed by another member", k->key));
		return;
	case STATUS_EACCESS:
		finish(k, err_set(k->e, ERR_AUTH, "no right to %s %s", k->out ? "read" : "write",
				  k->key));
		return;
	}
	finish(k, err_set(k->e, ERR_NET, "%s: status 0x%02x", k->key, p->vb_status));
}

static void on_packet(void *arg, struct conn *c, const struct packet *p)
{
	struct link *l = arg;
	struct kv *k = l->kv;
	(void)c;
	if (!packet_is_response(p) || p->opaque != OPAQUE || !l->sent)
		return;
	l->sent = false;
	if (p->vb_status == STATUS_NOT_MY_VBUCKET || p->vb_status == STATUS_ETMPFAIL ||
	    p->vb_status == STATUS_EBUSY || p->vb_status == STATUS_ENOMEM) {
		if (p->vb_status == STATUS_NOT_MY_VBUCKET)
			wire_get_cluster_config(conn_out(l->conn), 0, false, 0, 0);
		conn_flush(l->conn);
		again(k);
		return;
	}
	answered(k, p);
}

static void on_round(void *arg, struct conn *c)
{
	(void)arg;
	(void)c;
}

static void on_manifest(void *arg, struct conn *c, struct slice json)
{
	(void)arg;
	(void)c;
	(void)json;
}

static void on_map(void *arg, struct conn *c, struct slice json)
{
	struct link *l = arg;
	struct kv *k = l->kv;
	struct cluster_map *m;
	if (cluster_map_parse(json, conn_host(c), &m, NULL) < 0)
		return;
	if (!cluster_map_newer(m, k->map) || m->n_vbuckets == 0) {
		cluster_map_free(m);
		return;
	}
	if (!k->map)
		k->network = cluster_choose_network(m, NETWORK_AUTO, l->name, l->port);
	cluster_map_free(k->map);
	k->map = m;
	again(k);
}

/* A write that was sent may have happened: whoever writes next reads first. */
static void on_closed(void *arg, struct conn *c, const struct err *why)
{
	struct link *l = arg;
	struct kv *k = l->kv;
	bool lost_write = l->sent && !k->out;
	l->conn = NULL;
	l->sent = false;
	conn_free(c);
	k->last = *why;
	if (lost_write || why->code == ERR_AUTH || why->code == ERR_NOTFOUND) {
		if (k->e)
			*k->e = *why;
		finish(k, why->code);
		return;
	}
	again(k);
}

static const struct conn_ops link_ops = {
	.ready = on_ready,
	.packet = on_packet,
	.round = on_round,
	.map = on_map,
	.manifest = on_manifest,
	.closed = on_closed,
};

static void retry(void *arg)
{
	struct kv *k = arg;
	if (!k->map)
		connect_seed(k);
	else
		go_on(k);
}

static void out_of_time(void *arg)
{
	struct kv *k = arg;
	finish(k, err_set(k->e, ERR_TIMEOUT, "%s in bucket %s: no answer in time%s%s", k->key,
			  k->o.bucket, k->last.code ? ": " : "", k->last.code ? k->last.msg : ""));
}

static int call(struct kv *k, struct err *e)
{
	if (strlen(k->key) >= WIRE_KEY_MAX)
		return err_set(e, ERR_LIMIT, "the document key %s is too long", k->key);
	k->e = e;
	k->rc = 0;
	err_clear(&k->last);
	memset(k->link, 0, sizeof(k->link));
	int rc = loop_new(NULL, NULL, &k->loop, e);
	if (rc == 0)
		rc = timer_init(&k->retry, k->loop, retry, k, e);
	if (rc == 0)
		rc = timer_init(&k->deadline, k->loop, out_of_time, k, e);
	if (rc == 0) {
		timer_set(&k->retry, 0);
		timer_set(&k->deadline, k->timeout);
		loop_run(k->loop);
		rc = k->rc;
	}
	for (size_t i = 0; i < HOSTS; i++)
		conn_free(k->link[i].conn);
	timer_done(&k->retry);
	timer_done(&k->deadline);
	loop_free(k->loop);
	k->loop = NULL;
	cluster_map_free(k->map);
	k->map = NULL;
	return rc;
}

static int get(struct documents *d, const char *key, struct buf *value, uint64_t *cas,
	       struct err *e)
{
	struct kv *k = container_of(d, struct kv, base);
	k->key = key;
	k->value = k->field = SLICE_NONE;
	k->out = value;
	k->cas = 0;
	int rc = call(k, e);
	if (rc == 1)
		*cas = k->cas;
	return rc;
}

static int put(struct documents *d, const char *key, struct slice value, uint64_t cas,
	       uint32_t expiry, struct err *e)
{
	struct kv *k = container_of(d, struct kv, base);
	k->key = key;
	k->value = value;
	k->field = SLICE_NONE;
	k->out = NULL;
	k->cas = cas;
	k->expiry = expiry;
	return call(k, e);
}

static int set_field(struct documents *d, const char *key, const char *path, struct slice json,
		     struct err *e)
{
	struct kv *k = container_of(d, struct kv, base);
	k->key = key;
	k->value = json;
	k->field = slice_str(path);
	k->out = NULL;
	return call(k, e);
}

static void kv_free(struct documents *d)
{
	mem_free(container_of(d, struct kv, base));
}

int documents_couchbase(const struct conn_options *o, const char *const *seeds, size_t n_seeds,
			nsec timeout, struct documents **out, struct err *e)
{
	static const struct documents_ops ops = { get, put, set_field, kv_free };
	struct kv *k = mem_try(sizeof(*k));
	if (!k)
		return err_nomem(e);
	k->base.ops = &ops;
	k->o = *o;
	k->o.dcp = false;
	k->o.push_maps = false;
	k->seeds = seeds;
	k->n_seeds = n_seeds;
	k->timeout = timeout;
	*out = &k->base;
	return 0;
}
