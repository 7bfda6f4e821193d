/* membership_run.h: a thread that steps a membership and hands vBuckets over as it tells.
 *
 *	step ─▶ what is told ─▶ hand-over ─▶ assign (the owner's function; may block) ─▶ what left is released
 *	  ▲                        ▲                                                        │
 *	  └── `next`, wake ────────┴──── what was fenced meanwhile leaves, and comes later ─┘
 *
 * An assignment that fails (the checkpoints cannot be read) is tried again each second. Of a fixed group the first one
 * is made before start returns, and its error is start's.
 *
 * Thread: any.
 */
#ifndef DCP_MEMBERSHIP_RUN_H
#define DCP_MEMBERSHIP_RUN_H

#include "dcp/membership.h"

struct membership_run_options {
	struct env *env;
	struct membership *membership;   /* owned once it runs */
	struct checkpoint_store *claims; /* of checkpoint_claiming; borrowed; NULL none */
	uint32_t n_vbuckets;
	enum spread how;
	nsec delay;
	bool fixed; /* the membership tells at its first step, and for good */
	int (*assign)(void *arg, const uint16_t *vb, size_t n, struct err *e);
	/* Told after each step: nothing is to be handed out after that moment, INT64_MAX no limit. NULL is fine. */
	void (*limit)(void *arg, nsec until);
	void *arg;
};
struct membership_run;
int membership_run_start(const struct membership_run_options *o, struct membership_run **out,
			 struct err *e);
void membership_run_wake(struct membership_run *r); /* step now: something was told */
/* Assigns nothing, tells the others, frees, also when it fails: with what that last assignment failed with. NULL is fine. */
int membership_run_stop(struct membership_run *r, struct err *e);

struct membership_status {
	struct membership_info info;
	uint32_t n_held;
	uint64_t changes; /* assignments made */
	bool settled;     /* it has a number, and nothing is to come or to go */
	struct err error; /* what went wrong last; code 0: nothing */
	bool over;        /* the error is one that cannot pass */
};
void membership_run_status(struct membership_run *r, struct membership_status *out);
/* The list as the last step saw it: a copy, to be freed with mem_free; *n 0, *out NULL: the kind has none. ERR_NOMEM. */
int membership_run_peers(struct membership_run *r, struct membership_peer **out, size_t *n,
			 struct err *e);

#endif
