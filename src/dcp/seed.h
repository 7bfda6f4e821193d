/* seed.h: the text of a host to begin with, as people write it.
 *
 *	host            [v6]:port       couchbase://host    couchbases://host:11207     the data service
 *	host:8091       host:18091      http://host:8091    https://host                the management service
 *
 * couchbases and https want TLS; so does port 18091. http and port 8091 exclude it: they would carry the password in the
 * clear where TLS was asked for.
 *
 * Pure. Thread: any.
 */
#ifndef DCP_SEED_H
#define DCP_SEED_H

#include "base/err.h"
#include "base/slice.h"

enum {
	SEED_KV_PORT = 11210,
	SEED_KV_PORT_TLS = 11207,
	SEED_MGMT_PORT = 8091,
	SEED_MGMT_PORT_TLS = 18091,
};

struct seed {
	char host[256]; /* without brackets */
	uint16_t port;
	bool http;     /* the management service */
	bool has_port; /* it was written; else `port` is the service's own */
	bool wrong;    /* something else listens there; noted by who tried */
};

/* Whether it asks for TLS by itself. */
bool seed_wants_tls(const char *text);

/* tls: whether connections use it. ERR_INVALID. */
int seed_parse(const char *text, bool tls, struct seed *out, struct err *e);

/* Whether the name may be one of SRV records: a name, not an address, of the data service, without a port. */
bool seed_may_be_service(const struct seed *s);

#endif
