/* port.h: what is expected behind a host that somebody wrote, and the words where something else is there.
 *
 *	127.0.0.1:11207 speaks TLS: use couchbases://127.0.0.1:11207
 *	127.0.0.1:8091 speaks HTTP: use http://127.0.0.1:8091, or the data service's port (11210)
 *
 * Thread: any.
 */
#ifndef DCP_PORT_H
#define DCP_PORT_H

#include "net/tcp.h"

extern const struct tcp_expected port_of_data; /* the data service */
extern const struct tcp_expected port_of_mgmt; /* the management service */

#endif
