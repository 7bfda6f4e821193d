/* collections.h: names and ids of scopes and collections: the manifest (JSON), and the system events that change it.
 *
 * System events come in three versions: 0 and 1 are fixed structures, 2 is a FlatBuffer. Ids in JSON are hexadecimal
 * strings without 0x.
 */
#ifndef DCP_COLLECTIONS_H
#define DCP_COLLECTIONS_H

#include "dcp/event.h"
#include "dcp/wire.h"

#define COLLECTION_NAME_MAX 251
#define COLLECTIONS_MAX     8192

/* Reads a DCP_SYSTEM_EVENT packet. *name points into the packet (empty where the event has none).
 * 1 understood, 0 an event or version of a newer server (its seqno counts all the same), ERR_PROTOCOL. */
int system_event_parse(const struct packet *p, uint64_t *seqno, struct dcp_system *out,
		       struct slice *name, struct err *e);

struct collection {
	uint32_t id, scope_id;
	uint32_t max_ttl;
	char *scope, *name;
};

struct scope {
	uint32_t id;
	char *name;
};

struct manifest {
	uint64_t uid;
	struct scope *scope;
	size_t n_scopes;
	struct collection *entry; /* sorted by id */
	size_t n;
};

int manifest_parse(struct slice json, struct manifest *out, struct err *e);
void manifest_done(struct manifest *m);
const struct collection *manifest_by_id(const struct manifest *m, uint32_t id); /* NULL unknown */
const struct collection *manifest_by_name(const struct manifest *m, struct slice scope,
					  struct slice name);
int manifest_scope_id(const struct manifest *m, struct slice scope,
		      uint32_t *id); /* ERR_NOTFOUND */
/* Learns the name of a collection or scope that an event says was created. What was dropped stays known: events of it
 * may still be on the way. Names once there keep their place in memory until manifest_done. */
int manifest_apply(struct manifest *m, const struct dcp_system *s, struct slice name,
		   struct err *e);

#endif
