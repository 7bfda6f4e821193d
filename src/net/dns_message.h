/* dns_message.h: a question for SRV records, and the answer, as bytes; what resolv.conf says.
 *
 * Pure. Everything that comes from a server is checked: names may point backwards only, and end.
 *
 * Thread: any.
 */
#ifndef NET_DNS_MESSAGE_H
#define NET_DNS_MESSAGE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

enum { DNS_NAME_MAX = 254, DNS_SRV_MAX = 64, DNS_MESSAGE_MAX = 4096, DNS_SERVERS_MAX = 3 };
enum { DNS_SEARCH_MAX = 6 };

struct dns_srv {
	uint16_t priority, weight, port;
	char target[DNS_NAME_MAX + 1]; /* without a dot at the end */
};

/* Appends the question for `name`. ERR_INVALID: not a name; ERR_NOMEM. */
int dns_srv_question(const char *name, uint16_t id, struct buf *out, struct err *e);

/* The answer to that question: *n records, the least priority first, among them the greatest weight. 1: there are some;
 * 0: there is no such name, or it has none. ERR_PROTOCOL: malformed, or the answer to another question; ERR_LIMIT: it was
 * cut short; ERR_NET: the server failed. */
int dns_srv_answer(struct slice message, const char *name, uint16_t id,
		   struct dns_srv out[DNS_SRV_MAX], size_t *n, struct err *e);

struct dns_config {
	char server[DNS_SERVERS_MAX][64]; /* addresses as text */
	size_t n_servers;
	char search[DNS_SEARCH_MAX][DNS_NAME_MAX + 1];
	size_t n_search;
	unsigned ndots;
};

/* What is not understood is passed over, as resolvers do. Without any server: 127.0.0.1. */
void dns_config_parse(struct slice text, struct dns_config *out);

/* The i-th name to ask for; false: there are no more. With enough dots in it the name itself is the first, else the
 * last; a dot at its end makes it the only one. */
bool dns_candidate(const struct dns_config *c, const char *name, size_t i,
		   char out[DNS_NAME_MAX + 1]);

#endif
