/* checkpoint_couchbase.c: checkpoints in documents of a bucket.
 *
 * A call runs a loop of its own in the caller's thread until every document is answered, or the time is over:
 *
 *	seed ─▶ map ─▶ a connection to each node that has one of the documents ─▶ all requests at once ─▶ answers
 *	                 ▲                                                                                  │
 *	                 └────── moved, busy, connection lost: what is open is asked again ◀────────────────┘
 *
 * A checkpoint is small and rare, so connections do not outlive the call. */
#include "dcp/checkpoint.h"

#include "base/mem.h"
#include "dcp/cluster.h"
#include "dcp/conn.h"
#include "os/env.h"

#include <stdio.h>
#include <stdlib.h>

#define RETRY_AFTER (50 * NSEC_PER_MS)

enum { KEY_MAX = 300, KV_PORT = 11210, KV_PORT_TLS = 11207 };

enum job_state { JOB_OPEN, JOB_SENT, JOB_DONE };

struct job {
	uint16_t vb;           /* whose checkpoint */
	uint16_t home;         /* the vBucket that the document lies in */
	uint8_t state;         /* enum job_state */
	char key[KEY_MAX + 1]; /* behind the collection's byte */
	size_t key_len;
};

struct host {
	struct couchbase_store *s;
	char name[256];
	uint16_t port;
	struct conn *conn;
};

struct couchbase_store {
	struct checkpoint_store base;
	struct conn_options o;
	const char *const *seeds;
	size_t n_seeds, next_seed;
	const char *group;
	nsec timeout;
	uint64_t *cas; /* by vBucket; 0: no document was seen */
	/* of one call */
	struct loop *loop;
	struct timer retry, deadline;
	struct cluster_map *map;
	enum cluster_network network;
	struct host host[CLUSTER_NODES_MAX + 1];
	size_t n_hosts;
	struct job *job;
	size_t n_jobs, n_open;
	struct checkpoint *out;      /* load */
	const struct checkpoint *in; /* save */
	int rc, fenced;              /* fenced: ERR_FENCED when it came to that */
	struct err *e;
	struct err last;
};

static void finish(struct couchbase_store *s, int rc)
{
	if (s->rc == 0)
		s->rc = rc;
	loop_stop(s->loop);
}

static void again(struct couchbase_store *s)
{
	timer_set(&s->retry, RETRY_AFTER);
}

/* ---- requests ---- */

static void send_job(struct couchbase_store *s, struct conn *c, size_t i)
{
	struct job *j = &s->job[i];
	uint32_t opaque = 0x10000u + (uint32_t)i;
	bool collections = conn_has(c, HELLO_COLLECTIONS);
	struct slice key =
		collections ? slice_of(j->key, j->key_len) : slice_of(j->key + 1, j->key_len - 1);
	if (s->out) {
		wire_xattr_get(conn_out(c), j->home, opaque, key, SLICE_LIT("cbgo"));
	} else {
		AUTO(buf) struct buf text = BUF_INIT;
		uint64_t cas = s->cas[j->vb];
		checkpoint_encode(&s->in[i], &text);
		wire_xattr_upsert(conn_out(c), j->home, opaque, key, SLICE_LIT("cbgo"),
				  buf_slice(&text), cas, cas ? 0 : SUBDOC_ADD);
	}
	j->state = JOB_SENT;
}

static struct host *host_of(struct couchbase_store *s, const char *name, uint16_t port);
static void connect_host(struct host *h);

static void send_open(struct couchbase_store *s)
{
	for (size_t i = 0; i < s->n_jobs; i++) {
		const char *name;
		uint16_t port;
		if (s->job[i].state != JOB_OPEN)
			continue;
		int owner = s->map ? cluster_owner(s->map, s->job[i].home, 0) : -1;
		if (owner < 0 || !cluster_address(s->map, (uint32_t)owner, s->network,
						  s->o.tls != NULL, &name, &port)) {
			again(s);
			continue;
		}
		struct host *h = host_of(s, name, port);
		if (!h)
			continue;
		if (!h->conn)
			connect_host(h);
		if (!conn_is_ready(h->conn))
			continue;
		send_job(s, h->conn, i);
		conn_flush(h->conn);
	}
}

static void job_done(struct couchbase_store *s, struct job *j)
{
	j->state = JOB_DONE;
	if (--s->n_open == 0)
		finish(s, s->fenced);
}

static void loaded(struct couchbase_store *s, size_t i, const struct packet *p)
{
	struct slice json;
	struct job *j = &s->job[i];
	struct checkpoint *c = &s->out[i];
	*c = (struct checkpoint){ .vb = j->vb };
	int found = wire_xattr_get_parse(p, &json, s->e);
	if (found > 0 && checkpoint_decode(json, c, s->e) < 0) {
		(void)err_in(s->e, ERR_CORRUPT, "the document %s", j->key + 1);
		if (s->e)
			s->e->code = ERR_CORRUPT;
		finish(s, ERR_CORRUPT);
		return;
	}
	if (found < 0) {
		finish(s, found);
		return;
	}
	/* without the attribute the document may still be there: then it is written over by its CAS */
	s->cas[j->vb] = p->vb_status == STATUS_KEY_ENOENT ? 0 : p->cas;
	job_done(s, j);
}

static void saved(struct couchbase_store *s, size_t i, const struct packet *p)
{
	struct job *j = &s->job[i];
	switch (p->vb_status) {
	case STATUS_OK:
		s->cas[j->vb] = p->cas;
		job_done(s, j);
		return;
	case STATUS_KEY_EEXISTS:
	case STATUS_KEY_ENOENT: /* it was there: somebody removed it */
		/* the others are waited for: what became of them must be known */
		s->fenced = err_set(s->e, ERR_FENCED,
				    "the checkpoint of vBucket %u was changed by another member",
				    j->vb);
		if (s->e)
			s->e->newest = j->vb;
		job_done(s, j);
		return;
	}
	finish(s, err_set(s->e, ERR_NET, "saving the checkpoint of vBucket %u: status 0x%02x",
			  j->vb, p->vb_status));
}

static bool transient(uint16_t status)
{
	return status == STATUS_NOT_MY_VBUCKET || status == STATUS_ETMPFAIL ||
	       status == STATUS_EBUSY || status == STATUS_ENOMEM ||
	       status == STATUS_WOULD_THROTTLE || status == 0xa2;
}

static void on_packet(void *arg, struct conn *c, const struct packet *p)
{
	struct host *h = arg;
	struct couchbase_store *s = h->s;
	size_t i = p->opaque - 0x10000u;
	(void)c;
	if (!packet_is_response(p) || i >= s->n_jobs || s->job[i].state != JOB_SENT || s->rc < 0)
		return;
	if (transient(p->vb_status)) {
		s->job[i].state = JOB_OPEN;
		if (p->vb_status == STATUS_NOT_MY_VBUCKET)
			wire_get_cluster_config(conn_out(h->conn), 0, false, 0, 0);
		conn_flush(h->conn);
		again(s);
		return;
	}
	if (s->out)
		loaded(s, i, p);
	else
		saved(s, i, p);
}

/* ---- connections ---- */

static void on_ready(void *arg, struct conn *c)
{
	struct host *h = arg;
	(void)c;
	send_open(h->s);
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
	struct host *h = arg;
	struct couchbase_store *s = h->s;
	struct cluster_map *m;
	if (cluster_map_parse(json, conn_host(c), &m, NULL) < 0)
		return;
	if (!cluster_map_newer(m, s->map) || m->n_vbuckets == 0) {
		cluster_map_free(m);
		return;
	}
	if (!s->map)
		s->network = cluster_choose_network(m, NETWORK_AUTO, h->name, h->port);
	cluster_map_free(s->map);
	s->map = m;
	for (size_t i = 0; i < s->n_jobs; i++)
		s->job[i].home = wire_vbucket_of(slice_of(s->job[i].key + 1, s->job[i].key_len - 1),
						 m->n_vbuckets);
	again(s);
}

static void on_closed(void *arg, struct conn *c, const struct err *why)
{
	struct host *h = arg;
	struct couchbase_store *s = h->s;
	h->conn = NULL;
	conn_free(c);
	s->last = *why;
	if (why->code == ERR_AUTH || why->code == ERR_NOTFOUND) {
		if (s->e)
			*s->e = *why;
		finish(s, why->code);
		return;
	}
	/* A write that was sent may have happened. Asked again it would find its own CAS gone, so it is not repeated:
	 * whoever saves next loads first. */
	for (size_t i = 0; i < s->n_jobs; i++) {
		if (s->job[i].state != JOB_SENT)
			continue;
		if (s->in) {
			if (s->e)
				*s->e = *why;
			finish(s, ERR_NET);
			return;
		}
		s->job[i].state = JOB_OPEN;
	}
	again(s);
}

static const struct conn_ops ops = {
	.ready = on_ready,
	.packet = on_packet,
	.round = on_round,
	.map = on_map,
	.manifest = on_manifest,
	.closed = on_closed,
};

static struct host *host_of(struct couchbase_store *s, const char *name, uint16_t port)
{
	for (size_t i = 0; i < s->n_hosts; i++)
		if (s->host[i].port == port && strcmp(s->host[i].name, name) == 0)
			return &s->host[i];
	if (s->n_hosts == CLUSTER_NODES_MAX)
		return NULL;
	struct host *h = &s->host[s->n_hosts++];
	*h = (struct host){ .s = s, .port = port };
	(void)snprintf(h->name, sizeof(h->name), "%s", name);
	return h;
}

static void connect_host(struct host *h)
{
	if (conn_open(h->s->loop, h->name, h->port, &h->s->o, &ops, h, &h->conn, &h->s->last) < 0)
		again(h->s);
}

static void connect_seed(struct couchbase_store *s)
{
	char name[256];
	const char *seed = s->seeds[s->next_seed++ % s->n_seeds], *colon = strrchr(seed, ':');
	uint16_t port = s->o.tls ? KV_PORT_TLS : KV_PORT;
	int len = (int)strlen(seed);
	if (colon && strchr(seed, ':') == colon) {
		port = (uint16_t)strtoul(colon + 1, NULL, 10);
		len = (int)(colon - seed);
	}
	(void)snprintf(name, sizeof(name), "%.*s", len, seed);
	struct host *h = host_of(s, name, port);
	if (h && !h->conn)
		connect_host(h);
}

static void retry(void *arg)
{
	struct couchbase_store *s = arg;
	if (!s->map)
		connect_seed(s);
	else
		send_open(s);
}

static void out_of_time(void *arg)
{
	struct couchbase_store *s = arg;
	finish(s, err_set(s->e, ERR_TIMEOUT, "checkpoints in bucket %s: no answer in time%s%s",
			  s->o.bucket, s->last.code ? ": " : "", s->last.code ? s->last.msg : ""));
}

/* ---- a call ---- */

static int prepare(struct couchbase_store *s, size_t n)
{
	s->rc = s->fenced = 0;
	err_clear(&s->last);
	s->n_jobs = s->n_open = n;
	s->n_hosts = 0;
	s->job = mem_try_array(n + 1, sizeof(*s->job));
	if (!s->job)
		return err_nomem(s->e);
	for (size_t i = 0; i < n; i++) {
		struct job *j = &s->job[i];
		j->vb = s->out ? s->out[i].vb : s->in[i].vb;
		j->key[0] = '\0'; /* the default collection */
		int len = snprintf(j->key + 1, KEY_MAX, "_connector:cbgo:%s:checkpoint:%u",
				   s->group, j->vb);
		if (len >= KEY_MAX)
			return err_set(s->e, ERR_LIMIT,
				       "the group's name is too long for a document key");
		j->key_len = (size_t)len + 1;
	}
	int rc = loop_new(NULL, NULL, &s->loop, s->e);
	if (rc == 0)
		rc = timer_init(&s->retry, s->loop, retry, s, s->e);
	if (rc == 0)
		rc = timer_init(&s->deadline, s->loop, out_of_time, s, s->e);
	return rc;
}

static void clean_up(struct couchbase_store *s)
{
	for (size_t i = 0; i < s->n_hosts; i++)
		conn_free(s->host[i].conn);
	s->n_hosts = 0;
	timer_done(&s->retry);
	timer_done(&s->deadline);
	loop_free(s->loop);
	s->loop = NULL;
	cluster_map_free(s->map);
	s->map = NULL;
	mem_free(s->job);
	s->job = NULL;
}

static int call(struct couchbase_store *s, struct checkpoint *out, const struct checkpoint *in,
		size_t n, struct err *e)
{
	s->out = out;
	s->in = in;
	s->e = e;
	if (n == 0)
		return 0;
	int rc = prepare(s, n);
	if (rc == 0) {
		timer_set(&s->retry, 0);
		timer_set(&s->deadline, s->timeout);
		loop_run(s->loop);
		rc = s->rc;
	}
	clean_up(s);
	return rc;
}

static int load(struct checkpoint_store *base, struct checkpoint *c, size_t n, struct err *e)
{
	return call(container_of(base, struct couchbase_store, base), c, NULL, n, e);
}

static int save(struct checkpoint_store *base, const struct checkpoint *c, size_t n, struct err *e)
{
	return call(container_of(base, struct couchbase_store, base), NULL, c, n, e);
}

/* A position of zero, which go-dcp too reads as "none". */
static int clear(struct checkpoint_store *base, const uint16_t *vb, size_t n, struct err *e)
{
	struct checkpoint *c = mem_try_array(n + 1, sizeof(*c));
	if (!c)
		return err_nomem(e);
	for (size_t i = 0; i < n; i++)
		c[i].vb = vb[i];
	int rc = save(base, c, n, e);
	mem_free(c);
	return rc;
}

static void free_(struct checkpoint_store *base)
{
	struct couchbase_store *s = container_of(base, struct couchbase_store, base);
	mem_free(s->cas);
	mem_free(s);
}

int checkpoint_couchbase_open(const struct conn_options *o, const char *const *seeds,
			      size_t n_seeds, const char *group, nsec timeout,
			      struct checkpoint_store **out, struct err *e)
{
	static const struct checkpoint_store_ops store_ops = { load, save, clear, free_ };
	struct couchbase_store *s = mem_try(sizeof(*s));
	if (!s)
		return err_nomem(e);
	s->base.ops = &store_ops;
	s->o = *o;
	s->o.dcp = false;
	s->o.push_maps = false;
	s->seeds = seeds;
	s->n_seeds = n_seeds;
	s->group = group;
	s->timeout = timeout;
	s->cas = mem_try_array(WIRE_VBUCKETS_MAX, sizeof(*s->cas));
	if (!s->cas) {
		free_(&s->base);
		return err_nomem(e);
	}
	*out = &s->base;
	return 0;
}
