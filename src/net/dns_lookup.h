/* dns_lookup.h: the SRV records of a name, asked for on a loop, within a time.
 *
 * On the loop rather than with the C library's resolver on a thread: that one cannot be told to stop. Over UDP; over TCP
 * when the answer does not fit into a datagram.
 *
 * Thread: the loop's.
 */
#ifndef NET_DNS_LOOKUP_H
#define NET_DNS_LOOKUP_H

#include "base/err.h"
#include "net/dns_message.h"
#include "net/loop.h"

struct env;
struct dns_lookup;

/* n records, or none with the reason: NULL: there are none. The lookup is over; dns_lookup_free it. */
typedef void (*dns_done)(void *arg, const struct dns_srv *srv, size_t n, const struct err *why);

/* server: "address:port", NULL: those of /etc/resolv.conf. `done` never comes before this returns. */
int dns_lookup_srv(struct loop *l, struct env *env, const char *name, const char *server,
		   nsec limit, dns_done done, void *arg, struct dns_lookup **out, struct err *e);
void dns_lookup_free(struct dns_lookup *d); /* NULL is fine; also from within done; calls nothing */

#endif
