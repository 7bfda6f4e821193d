#include "dcp/seeds.h"

#include "base/mem.h"
#include "dcp/port.h"
#include "net/dns_lookup.h"
#include "net/http_get.h"
#include "net/tls.h"

#include <stdio.h>

#define LOOKUP_MAX (2 * NSEC_PER_SEC)

struct seeds {
	struct loop *loop;
	const struct conn_options *conn;
	enum cluster_network network;
	struct seed *seed; /* as written */
	size_t n, next;    /* next: of the management services */
	struct timer start;
	struct dns_lookup *lookup;
	struct http_get *get;
	struct buf body;
	int status;
	char dns_server[64];
	struct err why;
	seeds_done done;
	void *arg;
	bool asked, busy, freed;
};

static void really_free(struct seeds *s)
{
	dns_lookup_free(s->lookup);
	http_get_close(s->get);
	timer_done(&s->start);
	buf_done(&s->body);
	mem_free(s->seed);
	mem_free(s);
}

void seeds_free(struct seeds *s)
{
	if (!s)
		return;
	s->freed = true;
	if (!s->busy)
		really_free(s);
}

static void finish(struct seeds *s, const struct seed *seed, size_t n)
{
	s->busy = true;
	s->done(s->arg, seed, n, n ? NULL : &s->why);
	s->busy = false;
	if (s->freed)
		really_free(s);
}

/* ---- a service in DNS ---- */

static void on_records(void *arg, const struct dns_srv *srv, size_t n, const struct err *why)
{
	struct seeds *s = arg;
	struct seed *found = n ? mem_try_array(n, sizeof(*found)) : NULL;
	(void)why; /* then it is a host */
	dns_lookup_free(s->lookup);
	s->lookup = NULL;
	for (size_t i = 0; found && i < n; i++) {
		(void)snprintf(found[i].host, sizeof(found[i].host), "%s", srv[i].target);
		found[i].port = srv[i].port;
		found[i].has_port = true;
	}
	if (found)
		finish(s, found, n);
	else
		finish(s, s->seed, 1);
	mem_free(found);
}

static bool look_up(struct seeds *s)
{
	char name[300];
	(void)snprintf(name, sizeof(name), "_couchbase%s._tcp.%s", s->conn->tls ? "s" : "",
		       s->seed[0].host);
	return dns_lookup_srv(s->loop, s->conn->env, name, *s->dns_server ? s->dns_server : NULL,
			      MIN(LOOKUP_MAX, s->conn->connect_timeout / 3), on_records, s,
			      &s->lookup, NULL) == 0;
}

/* ---- management services ---- */

static void ask_next(struct seeds *s);

static void take_map(struct seeds *s, const struct seed *from)
{
	struct cluster_map *m;
	size_t n = 0;
	if (cluster_map_parse(buf_slice(&s->body), from->host, &m, &s->why) < 0) {
		ask_next(s);
		return;
	}
	enum cluster_network network =
		cluster_choose_network(m, s->network, from->host, from->port);
	struct seed *found = mem_try_array(m->n_nodes + 1, sizeof(*found));
	for (uint32_t i = 0; found && i < m->n_nodes; i++) {
		const char *host;
		if (!cluster_address(m, i, network, s->conn->tls != NULL, &host, &found[n].port))
			continue;
		(void)snprintf(found[n].host, sizeof(found[n].host), "%s", host);
		found[n++].has_port = true;
	}
	cluster_map_free(m);
	if (n == 0)
		(void)err_set(&s->why, ERR_NET, "%s:%u: no node has the data service", from->host,
			      from->port);
	finish(s, found, n);
	mem_free(found);
}

static void on_head(void *arg, int status)
{
	struct seeds *s = arg;
	s->status = status;
}

static void on_body(void *arg, struct slice piece)
{
	struct seeds *s = arg;
	if (s->body.len + piece.len <= CLUSTER_JSON_MAX)
		buf_add(&s->body, piece.p, piece.len);
}

static void on_end(void *arg, const struct err *why)
{
	struct seeds *s = arg;
	const struct seed *from = &s->seed[s->next++];
	http_get_close(s->get);
	s->get = NULL;
	if (why) {
		s->why = *why;
	} else if (s->status == 200) {
		take_map(s, from);
		return;
	} else {
		(void)cluster_http_refusal(s->status, from->host, from->port, s->conn->user,
					   s->conn->bucket, &s->why);
	}
	ask_next(s);
}

static void ask_next(struct seeds *s)
{
	static const struct http_get_ops ops = { on_head, on_body, on_end };
	AUTO(buf) struct buf path = BUF_INIT;
	if (s->next == s->n) {
		finish(s, NULL, 0);
		return;
	}
	const struct seed *to = &s->seed[s->next];
	cluster_http_path("b", s->conn->bucket, &path);
	struct http_get_options o = { .path = buf_cstr(&path),
				      .user = s->conn->user,
				      .password = s->conn->password,
				      .tls = s->conn->tls,
				      .connect_timeout = s->conn->connect_timeout,
				      .silence = s->conn->connect_timeout,
				      .expected = &port_of_mgmt,
				      .asked = s->asked };
	if (s->conn->tls && tls_has_client_cert(s->conn->tls))
		o.user = NULL;
	buf_reset(&s->body);
	s->status = 0;
	int rc = buf_check(&path, &s->why);
	if (rc == 0)
		rc = http_get_open(s->loop, to->host, to->port, &o, &ops, s, &s->get, &s->why);
	if (rc < 0)
		finish(s, NULL, 0);
}

/* ---- start ---- */

static void start(void *arg)
{
	struct seeds *s = arg;
	size_t n = 0;
	for (size_t i = 0; i < s->n; i++)
		n += !s->seed[i].http;
	if (n == 0) {
		ask_next(s);
	} else if (s->n != 1 || !seed_may_be_service(&s->seed[0]) || !look_up(s)) {
		size_t to = 0;
		for (size_t i = 0; i < s->n; i++)
			if (!s->seed[i].http)
				s->seed[to++] = s->seed[i];
		finish(s, s->seed, n);
	}
}

int seeds_find(struct loop *l, const struct seeds_options *o, seeds_done done, void *arg,
	       struct seeds **out, struct err *e)
{
	struct seeds *s = mem_try(sizeof(*s));
	if (!s)
		return err_nomem(e);
	s->loop = l;
	s->conn = o->conn;
	s->network = o->network;
	s->asked = o->asked;
	s->done = done;
	s->arg = arg;
	if (o->dns_server)
		(void)snprintf(s->dns_server, sizeof(s->dns_server), "%s", o->dns_server);
	s->seed = mem_try_array(o->n, sizeof(*s->seed));
	int rc = s->seed ? timer_init(&s->start, l, start, s, e) : err_nomem(e);
	for (; rc == 0 && s->n < o->n; s->n++)
		rc = seed_parse(o->text[s->n], o->conn->tls != NULL, &s->seed[s->n], e);
	if (rc < 0) {
		really_free(s);
		return rc;
	}
	timer_set(&s->start, 0);
	*out = s;
	return 0;
}
