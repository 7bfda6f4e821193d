/* conn_internal.h: what conn.c (packets, liveness, flow control) and conn_setup.c (until it is ready) share. */
#ifndef DCP_CONN_INTERNAL_H
#define DCP_CONN_INTERNAL_H

#include "dcp/conn.h"
#include "net/loop.h"

enum { SETUP_MAX = 48 };

struct setup { /* a request whose answer is awaited before the connection is ready */
	uint8_t opcode;
	bool optional;   /* a refusal means: the feature is absent */
	bool done, ok;
};

struct conn {
	struct conn_options o;
	const struct conn_ops *ops;
	void *arg;
	struct tcp *tcp;
	struct loop *loop;
	struct timer liveness;
	char host[256];
	char name[WIRE_NAME_MAX + 1];
	uint16_t port;
	uint32_t id;
	bool ready, failed, busy, freed;
	uint64_t features; /* bits of enum hello_feature, all below 64 */
	struct sasl sasl;
	bool sasl_running;
	struct setup setup[SETUP_MAX];
	uint32_t n_setup, n_pending;
	bool gives_maps;          /* answered GET_CLUSTER_CONFIG */
	bool newer_map;           /* there is one; asked for once ready */
	struct error_map *errors; /* NULL: the server has none */
	struct buf inflated;      /* of the answer being looked at */
	nsec opened_at, last_received, look_at; /* look_at: when liveness is looked at next */
	uint32_t n_awaited; /* requests of conn_await that are not answered yet */
	nsec awaited_at;    /* since then none of them was */
	bool paused;
	uint64_t received, acked; /* bytes of stream messages */
	uint64_t consumed;        /* not yet given back */
	uint64_t unacked_max;
};

/* conn.c */
void conn_fail(struct conn *c, const struct err *why);
void conn_fail_status(struct conn *c, const char *what, uint16_t status, int code);
void conn_add_map_request(struct conn *c, uint32_t opaque);

/* conn_setup.c */
void conn_say_hello(struct conn *c);
/* p answers a request of the setup that is still open. */
void conn_on_setup(struct conn *c, const struct packet *p);

#endif
