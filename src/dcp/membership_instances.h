/* membership_instances.h: what the two layouts of a group in documents share: the members, and what a layout has to do.
 *
 *	membership_couchbase.c   the round, and the layout with a document for each member
 *	membership_lil.c         the layout with one document for all
 */
#ifndef DCP_MEMBERSHIP_INSTANCES_H
#define DCP_MEMBERSHIP_INSTANCES_H

#include "dcp/membership.h"

#include "doc/bson.h"

/* Buckets with more vBuckets than that do not exist: their members would not tell what they have. */
enum { INSTANCE_KEY_ROOM = 256, HELD_VBUCKETS_MAX = 1024, HELD_BYTES = HELD_VBUCKETS_MAX / 8 };

/* Which vBuckets a member has; as text one hexadecimal digit for four of them, the first bit for the first one. */
struct held {
	bool told;
	uint32_t n_bytes;
	uint8_t bits[HELD_BYTES];
};

/* A member that is on the list, or was when the list was read last. */
struct instance {
	char key[INSTANCE_KEY_ROOM]; /* as it stands in the list */
	int64_t joined, beat;        /* ns since 1970, by its own clock */
	uint64_t sign;               /* differs after each sign of life; 0 none seen */
	nsec changed;                /* when this process saw that sign first */
	bool listed, gone;           /* gone: it had shown life, and does no longer */
	struct held held;
};

struct instances;
struct instances_layout {
	/* Writes this member's sign of life. ERR_NOTFOUND: it is not on the list, where the sign is part of that. */
	int (*beat)(struct instances *m, struct err *e);
	/* One entry of the list as it was read. */
	void (*read)(struct instances *m, struct slice key, const struct value *v);
	/* Looks for the others' signs of life; NULL where the list brings them. */
	int (*probe)(struct instances *m, struct err *e);
	/* Writes what this member has. */
	int (*tell)(struct instances *m, struct err *e);
	/* One entry of the list as it is to be. */
	void (*write)(struct instances *m, const struct instance *n, struct buf *out);
};
extern const struct instances_layout instances_apart, instances_lil;

struct instances {
	struct membership base;
	const struct instances_layout *layout;
	struct env *env;
	struct documents *doc;
	char list[INSTANCE_KEY_ROOM]; /* the document's key */
	char own[INSTANCE_KEY_ROOM];  /* this member's entry in it */
	size_t prefix;                /* of an entry, before the id */
	nsec interval, tolerance, monitor;
	uint32_t expiry_s;
	int64_t joined, sign;        /* sign: the last one written where it is a time */
	nsec beaten, looked, probed; /* when the last good one was begun; -1 never */
	bool ever;                   /* it has been on the list */
	uint64_t cas;                /* of the list */
	struct membership_info told;
	struct held held;
	bool untold; /* held could not be written */
	/* whether somebody else has the same id */
	nsec began;
	int64_t signs[4]; /* written last; one whose answer was lost is among them */
	unsigned n_signs, n_foreign;
	int64_t foreign; /* the last sign that was not ours */
	nsec foreign_at;
	bool yields;
	struct instance *e; /* by join time */
	size_t n;
};

int64_t instances_wall_ns(struct instances *m);
void instances_signed(struct instances *m, int64_t sign); /* what is going to be written */
void instances_own_seen(struct instances *m, int64_t sign);
/* The entry with the key, made when it is new; NULL: there is no room. */
struct instance *instances_entry(struct instances *m, struct slice key);
/* Notes a sign of life. */
void instances_sign(struct instances *m, struct instance *n, uint64_t sign);
void instances_put_held(struct buf *out, const struct held *h); /* as a JSON text */
/* Anything but such a text: it tells nothing, as go-dcp's members. */
void instances_read_held(struct held *h, const struct value *v);

#endif
