/* failover.h: which history a vBucket has, and where a stream may safely start again.
 *
 * The failover log names the branches of a vBucket's history, newest first; a branch begins after its seqno:
 *
 *	(c, 120) (b, 40) (a, 0):   seqnos 1..40 were written under a, 41..120 under b, the rest under c
 *
 * The points are seqnos at which this client had seen everything: the ends of whole snapshots. Between two of them
 * the client's state may lack keys that the server had deduplicated, so a rollback to R restarts at the greatest
 * point that is not above R. A few are kept, dense near the end and thin far behind, here and in the checkpoint.
 */
#ifndef DCP_FAILOVER_H
#define DCP_FAILOVER_H

#include "base/err.h"
#include "base/slice.h"

/* A place in a vBucket: the seqno, the snapshot it lies in and the branch. A finished snapshot has all three equal. */
struct dcp_position {
	uint64_t seqno, snap_start, snap_end, uuid;
};

static inline bool dcp_position_valid(const struct dcp_position *p)
{
	return p->snap_start <= p->seqno && p->seqno <= p->snap_end;
}

/* What a client knows of deletions that are gone: seqno was the highest one purged, on the branch, when the client went
 * on from `from`. As long as nothing more is purged it has missed none, from there on. */
struct dcp_purge {
	uint64_t seqno, from;
	uint64_t uuid; /* of the newest branch then; 0: nothing is known */
};

#define FAILOVER_MAX      25   /* entries kept: as many as a server keeps */
#define FAILOVER_WIRE_MAX 4096 /* entries accepted in a packet */

struct failover_entry {
	uint64_t uuid, seqno;
};

struct failover_log {
	uint32_t n;
	struct failover_entry entry[FAILOVER_MAX];
};

/* Reads n x {u64 uuid, u64 seqno}, newest first; keeps the newest FAILOVER_MAX. ERR_PROTOCOL. */
int failover_parse(struct slice bytes, struct failover_log *out, struct err *e);

/* The newest branch that has seqno in its past; 0 when there is none, or seqno is 0. */
uint64_t failover_uuid_at(const struct failover_log *l, uint64_t seqno);

/* Where the branch ends: the seqno after which a newer one began. 1 it ended at *end, 0 it is the newest,
 * ERR_NOTFOUND the log does not know it. */
int failover_branch_end(const struct failover_log *l, uint64_t uuid, uint64_t *end);

/* Where two logs of one vBucket part: the last seqno of what they have in common. 1, 0 the newer one continues the
 * older one's newest branch, ERR_NOTFOUND nothing in common. */
int failover_common_end(const struct failover_log *older, const struct failover_log *newer,
			uint64_t *end);

#define POINTS_MAX 12

struct points {
	uint32_t n;
	uint64_t seqno[POINTS_MAX]; /* ascending; 0 is always a point and not kept */
};

void points_add(struct points *p, uint64_t seqno); /* ignored unless above the last */
uint64_t points_floor(const struct points *p, uint64_t limit);
void points_cut(struct points *p, uint64_t limit); /* forgets those above */

#endif
