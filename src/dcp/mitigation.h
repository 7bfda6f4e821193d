/* mitigation.h: what is safe to hand out: how far enough copies of a vBucket have persisted its current branch.
 *
 * Pure: it says whom to ask (copy, branch) and when, takes the answers of OBSERVE_SEQNO, and computes one number. The
 * policies: all copies that exist; a majority of them; the active one only; none (no gate at all).
 *
 *	copy 0 (active)   uuid b   persisted 120 ┐
 *	copy 1 (replica)  uuid b   persisted 117 ├─ all: 117    majority: 117 (two of three)    active: 120
 *	copy 2 (replica)  unknown uuid           ┘      (0 under "all", until it knows the branch)
 *
 * Only vBuckets with something held back are asked, again and again with a delay that adapts: short after an answer
 * that moved, longer when nothing moves.
 */
#ifndef DCP_MITIGATION_H
#define DCP_MITIGATION_H

#include "dcp/wire.h"

#define MITIGATION_COPIES 4

enum mitigation_policy { MITIGATE_NONE, MITIGATE_ALL, MITIGATE_MAJORITY, MITIGATE_ACTIVE };

struct mitigation_options {
	enum mitigation_policy policy;
	nsec interval_min, interval_max; /* 0: 5 ms, 15 ms */
	nsec config_watch_interval;      /* asks for a newer map; 0: 10 s */
};

struct observed {
	uint64_t uuid,
		persisted; /* of the branch asked for; persisted 0 when it is unknown there */
	bool asked, answered;
};

/* Of one vBucket. */
struct mitigation {
	struct observed copy[MITIGATION_COPIES];
	uint32_t in_flight; /* bits of copies */
	nsec next_at;
	nsec interval;
};

/* What an answer said. */
struct observe_reply {
	uint16_t vb;
	uint64_t uuid, persisted, current;
	bool failed_over;
	uint64_t old_uuid, old_last; /* failed_over: the branch asked for, and where it ended */
};
int observe_parse(const struct packet *p, struct observe_reply *out, struct err *e);

/* Takes an answer about `copy`, asked with `uuid`. True: the copy is on another branch (the history changed). */
bool mitigation_answer(struct mitigation *m, uint32_t copy, uint64_t uuid, uint16_t status,
		       const struct observe_reply *r);

/* How far `uuid` is persisted under the policy. exists: bits of the copies that the map has. */
uint64_t mitigation_safe(const struct mitigation *m, enum mitigation_policy policy, uint32_t exists,
			 uint64_t uuid);

/* After a round: when to ask next. */
void mitigation_schedule(struct mitigation *m, const struct mitigation_options *o, bool moved,
			 nsec now);
void mitigation_reset(struct mitigation *m); /* the map or the branch changed */

#endif
