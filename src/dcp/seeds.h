/* seeds.h: from hosts as people write them to addresses of the data service, for who connects now and then (kv.h). A
 * source does the same for itself, and goes on watching.
 *
 *	one name without a port          ─▶ its SRV records, else the name
 *	only management services         ─▶ the nodes of the map that the first of them gives that answers
 *	anything else                    ─▶ the hosts of the data service among them
 *
 * Thread: the loop's.
 */
#ifndef DCP_SEEDS_H
#define DCP_SEEDS_H

#include "dcp/cluster.h"
#include "dcp/conn.h"
#include "dcp/seed.h"

struct seeds_options {
	const char *const *text;
	size_t n;
	const struct conn_options *conn; /* login, bucket, TLS, connect_timeout; must stay */
	enum cluster_network network;
	const char *dns_server; /* "address:port"; NULL: as /etc/resolv.conf says */
	bool asked; /* what listens there, in an earlier search */
};

struct seeds;

/* n addresses, at least one; or none, and why: ERR_AUTH, ERR_NOTFOUND (bucket), ERR_NET, ERR_TIMEOUT. Then seeds_free. */
typedef void (*seeds_done)(void *arg, const struct seed *seed, size_t n, const struct err *why);

/* `done` never comes before this returns. ERR_INVALID: what is no host. */
int seeds_find(struct loop *l, const struct seeds_options *o, seeds_done done, void *arg,
	       struct seeds **out, struct err *e);
void seeds_free(struct seeds *s); /* NULL is fine; also from within done; calls nothing */

#endif
