/* errormap.h: what to do about a status: by the protocol where it is known, else by the map of errors that the server
 * hands out (GET_ERROR_MAP), so that what newer servers say is understood, too.
 *
 * Pure. Thread: any; a map does not change once parsed.
 */
#ifndef DCP_ERRORMAP_H
#define DCP_ERRORMAP_H

#include "base/err.h"
#include "base/slice.h"

#define ERROR_MAP_JSON_MAX    (1u << 20)
#define ERROR_MAP_ENTRIES_MAX 4096u

enum error_attr { /* bits */
		  ERROR_RETRY_NOW = 1 << 0,
		  ERROR_RETRY_LATER = 1 << 1, /* retry-later, temp, rate-limit, auto-retry */
		  ERROR_CONN_STATE = 1 << 2,  /* conn-state-invalidated */
		  ERROR_AUTH = 1 << 3,
		  ERROR_FETCH_CONFIG = 1 << 4,
		  ERROR_ITEM_ONLY =
			  1
			  << 5, /* item-only, subdoc: about a document, not about the connection */
		  ERROR_INVALID_INPUT = 1 << 6, /* the same request fails again */
};

struct error_map;

/* Attributes that are not known are passed over. ERR_PROTOCOL, ERR_LIMIT, ERR_NOMEM. */
int error_map_parse(struct slice json, struct error_map **out, struct err *e);
void error_map_free(struct error_map *m);

/* Bits of enum error_attr; 0: not in it, or nothing that we know. m may be NULL. */
unsigned error_map_attrs(const struct error_map *m, uint16_t status);

enum reaction {
	REACT_RETRY_LATER, /* with a growing delay: also what nobody has told us about */
	REACT_RETRY_NOW,   /* the first time; then later */
	REACT_FETCH_MAP,   /* a newer cluster map is needed */
	REACT_RECONNECT,   /* the connection, or its login, is of no use any more */
	REACT_REFUSED,     /* the same request will be refused again */
};

/* m may be NULL. The map counts only for statuses that the protocol (status_name) does not know: servers' maps call
 * even einval, which is the answer to one request, a reason to drop the connection. */
enum reaction error_reaction(const struct error_map *m, uint16_t status);

#endif
