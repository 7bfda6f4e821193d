#include "dcp/kv.h"

#include "base/mem.h"
#include "dcp/collections.h"
#include "dcp/seeds.h"
#include "os/env.h"

#include <stdio.h>

#define RETRY_MIN (2 * NSEC_PER_MS)
#define RETRY_MAX (50 * NSEC_PER_MS)

enum { OPAQUE = 0x10000, FLAGS_JSON = 50333696 };

struct host {
	struct kv *k;
	char name[CLUSTER_HOST_MAX + 1];
	uint16_t port;
	struct conn *conn;
	bool filled; /* something waits to be flushed */
	bool asked;  /* what it is, in vain */
};

struct kv {
	struct conn_options o;
	struct kv_options given;
	struct seed *seed; /* found by the first call that needed them */
	size_t n_seeds, next_seed;
	/* of one call */
	struct loop *loop;
	struct timer retry, deadline;
	struct seeds *finding; /* the seeds; NULL: found, or not asked for */
	uint32_t tries;
	struct cluster_map *map;
	enum cluster_network network;
	bool has_collection;
	uint32_t collection;
	struct host *host[CLUSTER_NODES_MAX + 1];
	size_t n_hosts;
	struct kv_request *r;
	size_t n, n_open;
	int rc;
	struct err error; /* rc's */
	struct err last;  /* of a connection */
};

static void finish(struct kv *k, int rc)
{
	if (k->rc == 0)
		k->rc = rc;
	loop_stop(k->loop);
}

static void again(struct kv *k)
{
	nsec wait = RETRY_MIN << MIN(k->tries, 5u);
	k->tries++;
	timer_set(&k->retry, MIN(wait, RETRY_MAX));
}

static bool is_write(const struct kv_request *r)
{
	return r->op == KV_PUT || r->op == KV_PUT_ATTRIBUTE || r->op == KV_PUT_FIELD;
}

static void closed_request(struct kv *k, struct kv_request *r, enum kv_state state)
{
	r->state = (uint8_t)state;
	if (--k->n_open == 0)
		finish(k, 0);
}

/* ---- requests ---- */

static bool default_collection(const struct kv *k)
{
	const char *s = k->given.scope, *c = k->given.collection;
	return (!s || strcmp(s, "_default") == 0) && (!c || strcmp(c, "_default") == 0);
}

static void plain_request(struct conn *c, const struct kv_request *r, uint32_t opaque,
			  struct slice key)
{
	uint8_t extras[8];
	put_be32(extras, FLAGS_JSON);
	put_be32(extras + 4, r->expiry);
	bool put = r->op == KV_PUT;
	struct packet p = { .magic = MAGIC_REQUEST,
			    .opcode = !put                    ? OP_GET
				      : r->cas == KV_CAS_NONE ? OP_ADD
							      : OP_SET,
			    .opaque = opaque,
			    .vb_status = r->home,
			    .cas = !put || r->cas == KV_CAS_ANY ? 0 : r->cas,
			    .extras = slice_of(extras, put ? sizeof(extras) : 0),
			    .key = key,
			    .value = put ? r->value : SLICE_NONE };
	packet_encode(conn_out(c), &p);
}

static void send_request(struct kv *k, struct host *h, size_t i)
{
	struct kv_request *r = &k->r[i];
	uint8_t key[5 + WIRE_KEY_MAX];
	size_t at = conn_has(h->conn, HELLO_COLLECTIONS) ? leb128_put(k->collection, key) : 0;
	memcpy(key + at, r->key.p, r->key.len);
	struct slice name = slice_of(key, at + r->key.len);
	uint32_t opaque = OPAQUE + (uint32_t)i;
	struct buf *out = conn_out(h->conn);
	if (r->op == KV_GET_ATTRIBUTE)
		wire_xattr_get(out, r->home, opaque, name, r->path);
	else if (r->op == KV_PUT_ATTRIBUTE)
		wire_xattr_upsert(out, r->home, opaque, name, r->path, r->value,
				  r->cas == KV_CAS_ANY ? 0 : r->cas,
				  r->cas == KV_CAS_NONE  ? SUBDOC_ADD
				  : r->cas == KV_CAS_ANY ? SUBDOC_MKDOC
							 : 0);
	else if (r->op == KV_PUT_FIELD)
		wire_field_upsert(out, r->home, opaque, name, r->path, r->value);
	else
		plain_request(h->conn, r, opaque, name);
	r->state = KV_SENT;
	r->sent_to = h;
	h->filled = true;
}

static struct host *host_of(struct kv *k, const char *name, uint16_t port);
static void connect_host(struct host *h);

/* The host of a request, connected or being connected; NULL: nobody has it at present. */
static struct host *owner_of(struct kv *k, const struct kv_request *r)
{
	const char *name;
	uint16_t port;
	int owner = k->map ? cluster_owner(k->map, r->home, 0) : -1;
	if (owner < 0 ||
	    !cluster_address(k->map, (uint32_t)owner, k->network, k->o.tls != NULL, &name, &port))
		return NULL;
	struct host *h = host_of(k, name, port);
	if (h && !h->conn)
		connect_host(h);
	return h;
}

/* Everything that is open, to every node that is ready, in one write each. */
static void send_open(struct kv *k)
{
	if (!k->has_collection)
		return; /* its id comes with the first connection */
	for (size_t i = 0; i < k->n && k->rc == 0; i++) {
		if (k->r[i].state != KV_OPEN)
			continue;
		struct host *h = owner_of(k, &k->r[i]);
		if (!h)
			again(k);
		else if (conn_is_ready(h->conn))
			send_request(k, h, i);
	}
	for (size_t i = 0; i < k->n_hosts; i++)
		if (k->host[i]->filled && k->host[i]->conn) {
			k->host[i]->filled = false;
			conn_flush(k->host[i]->conn);
		}
}

/* ---- answers ---- */

static int got(struct kv_request *r, const struct packet *p)
{
	struct slice json = p->value;
	int rc = 1;
	if (r->op == KV_GET_ATTRIBUTE)
		rc = wire_xattr_get_parse(p, &json, NULL);
	else if (p->vb_status != STATUS_OK)
		rc = p->vb_status == STATUS_KEY_ENOENT ? 0 : ERR_NET;
	if (rc == 1)
		buf_add_slice(r->out, json);
	return rc == 1 && r->out->failed ? ERR_NOMEM : rc;
}

static int answer_of(struct kv_request *r, const struct packet *p)
{
	switch (p->vb_status) {
	case STATUS_EACCESS: return ERR_AUTH;
	case STATUS_UNKNOWN_COLLECTION: return ERR_NOTFOUND;
	}
	if (!is_write(r))
		return got(r, p);
	switch (p->vb_status) {
	case STATUS_OK: return 1;
	case STATUS_KEY_ENOENT: /* it was there: somebody removed it */
		return r->op == KV_PUT_FIELD ? ERR_NOTFOUND : ERR_CONFLICT;
	case STATUS_SUBDOC_MULTI_FAILURE: return r->op == KV_PUT_FIELD ? ERR_NOTFOUND : ERR_NET;
	case STATUS_KEY_EEXISTS:
	case STATUS_NOT_STORED: return ERR_CONFLICT;
	}
	return ERR_NET;
}

static bool transient(uint16_t status)
{
	return status == STATUS_NOT_MY_VBUCKET || status == STATUS_ETMPFAIL ||
	       status == STATUS_EBUSY || status == STATUS_ENOMEM ||
	       status == STATUS_WOULD_THROTTLE || status == 0xa2; /* a write in progress */
}

static void on_packet(void *arg, struct conn *c, const struct packet *p, nsec now)
{
	(void)now;
	struct host *h = arg;
	struct kv *k = h->k;
	size_t i = p->opaque - OPAQUE;
	if (!packet_is_response(p) || i >= k->n || k->r[i].state != KV_SENT || k->rc < 0)
		return;
	struct kv_request *r = &k->r[i];
	if (transient(p->vb_status)) {
		r->state = KV_OPEN;
		if (p->vb_status == STATUS_NOT_MY_VBUCKET)
			wire_get_cluster_config(conn_out(c), 0, false, 0, 0);
		h->filled = true;
		again(k);
		return;
	}
	r->status = p->vb_status;
	r->rc = answer_of(r, p);
	if (r->rc >= 0)
		r->cas = p->vb_status == STATUS_KEY_ENOENT ? 0 : p->cas;
	closed_request(k, r, KV_DONE);
}

static void on_round(void *arg, struct conn *c)
{
	struct host *h = arg;
	if (h->filled)
		conn_flush(c);
	h->filled = false;
}

/* ---- connections ---- */

static void on_ready(void *arg, struct conn *c)
{
	struct host *h = arg;
	struct kv *k = h->k;
	if (!k->has_collection && !conn_has(c, HELLO_COLLECTIONS)) {
		finish(k, err_set(&k->error, ERR_UNSUPPORTED, "bucket %s has no collections",
				  k->o.bucket));
		return;
	}
	send_open(k);
}

static void on_manifest(void *arg, struct conn *c, struct slice json)
{
	struct host *h = arg;
	struct kv *k = h->k;
	struct manifest m;
	const char *scope = k->given.scope ? k->given.scope : "_default";
	const char *name = k->given.collection ? k->given.collection : "_default";
	(void)c;
	if (k->has_collection || manifest_parse(json, &m, NULL) < 0)
		return;
	const struct collection *found = manifest_by_name(&m, slice_str(scope), slice_str(name));
	if (found) {
		k->collection = found->id;
		k->has_collection = true;
	} else {
		finish(k, err_set(&k->error, ERR_NOTFOUND, "bucket %s has no collection %s.%s",
				  k->o.bucket, scope, name));
	}
	manifest_done(&m);
}

static void on_map(void *arg, struct conn *c, struct slice json)
{
	struct host *h = arg;
	struct kv *k = h->k;
	struct cluster_map *m;
	if (cluster_map_parse(json, conn_host(c), &m, NULL) < 0)
		return;
	if (!cluster_map_newer(m, k->map) || m->n_vbuckets == 0) {
		cluster_map_free(m);
		return;
	}
	if (!k->map)
		k->network = cluster_choose_network(m, k->given.network, h->name, h->port);
	cluster_map_free(k->map);
	k->map = m;
	for (size_t i = 0; i < k->n; i++)
		k->r[i].home = wire_vbucket_of(k->r[i].key, m->n_vbuckets);
	timer_set(&k->retry, 0);
}

/* Every seed leads to something else; or the management services among them did, and nobody is left. */
static bool all_wrong(const struct kv *k, const struct err *why)
{
	bool hope = false;
	for (size_t i = 0; i < k->n_seeds; i++)
		hope |= !k->seed[i].wrong;
	return why->code == ERR_WRONG_PORT && !k->map && !hope;
}

/* Trying again is in vain: the call is over. */
static bool hopeless(struct kv *k, const struct err *why)
{
	k->last = *why;
	if (why->code != ERR_AUTH && why->code != ERR_NOTFOUND && !all_wrong(k, why))
		return false;
	k->error = *why;
	finish(k, why->code);
	return true;
}

static void on_closed(void *arg, struct conn *c, const struct err *why)
{
	struct host *h = arg;
	struct kv *k = h->k;
	h->conn = NULL;
	h->filled = false;
	h->asked |= conn_has_asked(c);
	conn_free(c);
	for (size_t i = 0; i < k->n_seeds; i++)
		if (k->seed[i].port == h->port && strcmp(k->seed[i].host, h->name) == 0)
			k->seed[i].wrong = why->code == ERR_WRONG_PORT;
	if (hopeless(k, why))
		return;
	for (size_t i = 0; i < k->n && k->rc == 0; i++) {
		struct kv_request *r = &k->r[i];
		if (r->state != KV_SENT || r->sent_to != h)
			continue;
		if (is_write(r))
			closed_request(k, r, KV_LOST);
		else
			r->state = KV_OPEN;
	}
	again(k);
}

static const struct conn_ops conn_ops = {
	.ready = on_ready,
	.packet = on_packet,
	.round = on_round,
	.map = on_map,
	.manifest = on_manifest,
	.closed = on_closed,
};

static struct host *host_of(struct kv *k, const char *name, uint16_t port)
{
	for (size_t i = 0; i < k->n_hosts; i++)
		if (k->host[i]->port == port && strcmp(k->host[i]->name, name) == 0)
			return k->host[i];
	struct host *h = k->n_hosts < ARRAY_LEN(k->host) ? mem_try(sizeof(*h)) : NULL;
	if (!h)
		return NULL;
	h->k = k;
	h->port = port;
	(void)snprintf(h->name, sizeof(h->name), "%s", name);
	k->host[k->n_hosts++] = h;
	return h;
}

static void connect_host(struct host *h)
{
	h->k->o.unproven = h->k->map == NULL;
	h->k->o.asked = h->asked;
	if (conn_open(h->k->loop, h->name, h->port, &h->k->o, &conn_ops, h, &h->conn, &h->k->last) <
	    0)
		again(h->k);
}

static void connect_seed(struct kv *k);

static void on_seeds(void *arg, const struct seed *seed, size_t n, const struct err *why)
{
	struct kv *k = arg;
	seeds_free(k->finding);
	k->finding = NULL;
	if (n == 0) {
		if (!hopeless(k, why))
			again(k);
		return;
	}
	k->seed = mem_try_array(n, sizeof(*seed));
	if (!k->seed) {
		finish(k, err_nomem(&k->error));
		return;
	}
	memcpy(k->seed, seed, n * sizeof(*seed));
	k->n_seeds = n;
	connect_seed(k);
}

static void find_seeds(struct kv *k)
{
	const struct seeds_options o = { .text = k->given.seeds,
					 .n = k->given.n_seeds,
					 .conn = &k->o,
					 .network = k->given.network,
					 .dns_server = k->given.dns_server,
					 .asked = k->tries > 0 };
	if (!k->finding && seeds_find(k->loop, &o, on_seeds, k, &k->finding, &k->error) < 0)
		finish(k, k->error.code);
}

static void connect_seed(struct kv *k)
{
	if (!k->seed) {
		find_seeds(k);
		return;
	}
	const struct seed *seed = &k->seed[k->next_seed++ % k->n_seeds];
	struct host *h = host_of(k, seed->host, seed->port);
	if (h && !h->conn)
		connect_host(h);
}

static void retry(void *arg)
{
	struct kv *k = arg;
	if (!k->map || !k->has_collection)
		connect_seed(k);
	else
		send_open(k);
}

static void forget_seeds(struct kv *k)
{
	mem_free(k->seed);
	k->seed = NULL;
	k->n_seeds = 0;
}

static void out_of_time(void *arg)
{
	struct kv *k = arg;
	forget_seeds(k); /* they may have moved: the next call finds them anew */
	finish(k, err_set(&k->error, ERR_TIMEOUT, "bucket %s: no answer in time%s%s", k->o.bucket,
			  k->last.code ? ": " : "", k->last.code ? k->last.msg : ""));
}

/* ---- a call ---- */

static int prepare(struct kv *k, struct kv_request *r, size_t n, struct err *e)
{
	k->rc = 0;
	k->tries = 0;
	err_clear(&k->error);
	err_clear(&k->last);
	k->r = r;
	k->n = k->n_open = n;
	k->has_collection = default_collection(k);
	k->collection = 0;
	for (size_t i = 0; i < n; i++) {
		if (r[i].key.len > WIRE_KEY_MAX - 5)
			return err_set(e, ERR_LIMIT, "the document key " SLICE_FMT " is too long",
				       SLICE_ARG(r[i].key));
		r[i].state = KV_OPEN;
		r[i].rc = 0;
	}
	int rc = loop_new(NULL, NULL, &k->loop, e);
	if (rc == 0)
		rc = timer_init(&k->retry, k->loop, retry, k, e);
	if (rc == 0)
		rc = timer_init(&k->deadline, k->loop, out_of_time, k, e);
	return rc;
}

static void clean_up(struct kv *k)
{
	for (size_t i = 0; i < k->n_hosts; i++) {
		conn_free(k->host[i]->conn);
		mem_free(k->host[i]);
	}
	k->n_hosts = 0;
	seeds_free(k->finding);
	k->finding = NULL;
	timer_done(&k->retry);
	timer_done(&k->deadline);
	loop_free(k->loop);
	k->loop = NULL;
	cluster_map_free(k->map);
	k->map = NULL;
}

/* What was sent and never answered; the words for it. */
static int unanswered(struct kv *k, struct err *e)
{
	bool lost = false;
	for (size_t i = 0; i < k->n; i++) {
		struct kv_request *r = &k->r[i];
		if (r->state == KV_SENT)
			r->state = is_write(r) ? KV_LOST : KV_OPEN;
		lost |= r->state == KV_LOST;
	}
	if (k->rc < 0) {
		if (e)
			*e = k->error;
		return k->rc;
	}
	if (!lost)
		return 0;
	return err_set(e, ERR_NET, "bucket %s: a connection was lost: %s", k->o.bucket,
		       k->last.msg);
}

int kv_run(struct kv *k, struct kv_request *r, size_t n, struct err *e)
{
	if (n == 0)
		return 0;
	int rc = prepare(k, r, n, e);
	if (rc == 0) {
		timer_set(&k->retry, 0);
		timer_set(&k->deadline, k->given.timeout);
		loop_run(k->loop);
		rc = unanswered(k, e);
	}
	clean_up(k);
	return rc;
}

int kv_open(const struct kv_options *o, struct kv **out, struct err *e)
{
	if (o->n_seeds == 0)
		return err_set(e, ERR_INVALID, "no host to connect to");
	struct kv *k = mem_try(sizeof(*k));
	if (!k)
		return err_nomem(e);
	k->given = *o;
	k->o = *o->conn;
	k->given.conn = NULL;
	k->o.dcp = false;
	k->o.push_maps = false;
	*out = k;
	return 0;
}

void kv_free(struct kv *k)
{
	if (k)
		forget_seeds(k);
	mem_free(k);
}
