/* membership_leases.h: what the two files of the membership over Leases share.
 *
 *	membership_lease.c        who leads, who is on the list
 *	membership_lease_api.c    Leases read from and written to the API server
 */
#ifndef DCP_MEMBERSHIP_LEASES_H
#define DCP_MEMBERSHIP_LEASES_H

#include "dcp/membership.h"

#include "net/http_client.h"

enum {
	URL_MAX = 700,
	VERSION_MAX = 63,
	TOKEN_MAX = 16384,
	NAME_MAX_ = 253,
	SWEEP_AFTER = 3 /* durations; whose Lease was removed makes it anew */
};

struct peer {
	char id[MEMBER_ID_MAX + 1];
	char version[VERSION_MAX + 1];
	nsec changed;       /* when this process saw the version first */
	int64_t renewed_ms; /* by its own clock; 0 unknown */
	bool seen;          /* by the listing that runs */
};

struct leases {
	struct membership base;
	struct env *env;
	struct http_client *http;
	char *space, *name, *id, *token_file, *api;
	nsec duration, renew_deadline, retry, timeout;
	/* the group's Lease as it was read last */
	char version[VERSION_MAX + 1], holder[NAME_MAX_ + 1];
	nsec observed, holder_duration;
	int64_t transitions;
	char member[MEMBERS_MAX][MEMBER_ID_MAX + 1];
	uint32_t n_members;
	uint64_t generation;
	struct membership_info
		told; /* by the list as it stands at the server, not as it is to be */
	bool exists, ever;
	nsec read, touched,
		renewed; /* when the last good request of each kind was sent; -1 never */
	/* the leader's */
	bool leads;
	struct peer *peer;
	size_t n_peers;
};

/* This member's own Lease: a sign of life. */
int leases_show_life(struct leases *l, struct err *e);
/* The group's Lease into *l. */
int leases_read(struct leases *l, struct err *e);
/* Writes it with this member as its holder, and the list as it stands in *l. ERR_CONFLICT: somebody was faster. */
int leases_write(struct leases *l, struct err *e);
/* Writes it without a holder. */
void leases_release(struct leases *l);
/* The members' Leases into l->peer. */
int leases_list(struct leases *l, struct err *e);
/* Removes a member's. */
void leases_remove(struct leases *l, const char *id);

#endif
