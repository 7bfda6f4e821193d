/* membership.h: which share of a bucket's vBuckets is this member's, when several read one bucket as a group.
 *
 *	who am I (membership_*.c)       what does it mean (pure, membership.c)        who must not write (membership_claim.c)
 *	member 3 of 5, generation 17 ─▶ spread: which vBuckets ─▶ handover: in which  ─▶ a store that claims what comes, so
 *	                                                          steps                 that its last owner is fenced
 *
 * A membership is stepped by its owner, in one thread: a step does what is due (heartbeats, looking at the others; it
 * may block for its time-out) and tells where this member stands. Nothing is compared with another host's clock: others
 * are alive while what they write changes, by the local monotonic clock.
 *
 *	member >= 1   its share is member's of total
 *	member 0      none at present: not yet joined, or out of touch for so long that the others may have given its share
 *	              away. It must stop; it may come back.
 *
 * A number may be wrong for a while whatever a membership does (a process can be paused between looking and acting).
 * That is why checkpoints are claimed: two members may read one vBucket for a while, but only the last one saves.
 *
 * Thread: the one that steps, except where it says any.
 */
#ifndef DCP_MEMBERSHIP_H
#define DCP_MEMBERSHIP_H

#include "dcp/checkpoint.h"

#define MEMBERS_MAX        1024u /* of a group */
#define MEMBER_ID_MAX      63u   /* bytes of a member's name */
#define REBALANCE_DELAY_NO ((nsec)0)

struct membership_info {
	uint32_t member, total; /* 1-based; 0: none */
	uint64_t
		generation; /* of the group's list; differs when the list does, 0 where the kind has none */
	nsec until; /* the others may have given its share away after that moment of its clock; 0: they do not */
};

/* One member as this process knows it. */
struct membership_peer {
	char id[256];
	uint32_t member; /* its number; 0: it has shown itself, but is not on the list yet */
	bool self, leads;
	int64_t joined_ms; /* ms since 1970, by its own clock; 0 unknown */
	int64_t seen_ms;   /* its last sign of life, by its own clock; 0 unknown */
	nsec silent; /* since this process saw its last sign of life; -1 it has not looked yet */
};

struct membership;
struct membership_ops {
	/* 1: *out tells; member 0 is an answer, too. Negative: this can never work (configuration, rights); what may
	 * pass (the network, a busy server) is no error of step but stands in `trouble`. *next: call again after. */
	int (*step)(struct membership *m, struct membership_info *out, nsec *next, struct err *e);
	void (*leave)(struct membership *m); /* tell the others, as far as that is possible */
	void (*free)(struct membership *m);
	/* NULL: a kind without a list. look reads what there is and writes nothing, for somebody who is no member; peers
	 * tells what the last step or look has seen, in the order of the numbers, at most `room`; how many there are. */
	int (*look)(struct membership *m, struct err *e);
	size_t (*peers)(const struct membership *m, struct membership_peer *out, size_t room);
	/* NULL: a kind whose members do not tell each other. tell_held: this member has these (a flag by vBucket); told
	 * before it takes more, and after it has let some go. find_held sets what others say to have, as far as they show
	 * life; look again after what it returns. */
	void (*tell_held)(struct membership *m, const bool *held, uint32_t n);
	nsec (*find_held)(struct membership *m, bool *held, uint32_t n);
};
struct membership {
	const struct membership_ops *ops;
	struct err trouble; /* the last step's, code 0: none */
	nsec patience;      /* with find_held: nobody is waited for any longer */
};

static inline int membership_step(struct membership *m, struct membership_info *out, nsec *next,
				  struct err *e)
{
	return m->ops->step(m, out, next, e);
}
static inline void membership_leave(struct membership *m)
{
	m->ops->leave(m);
}
static inline void membership_free(struct membership *m)
{
	if (m)
		m->ops->free(m);
}

static inline bool membership_has_list(const struct membership *m)
{
	return m->ops->peers != NULL;
}
static inline int membership_look(struct membership *m, struct err *e)
{
	return m->ops->look(m, e);
}
static inline size_t membership_peers(const struct membership *m, struct membership_peer *out,
				      size_t room)
{
	return m->ops->peers ? m->ops->peers(m, out, room) : 0;
}

/* ---- kinds ---- */

/* ERR_INVALID: member not in 1..total. */
int membership_static(uint32_t member, uint32_t total, struct membership **out, struct err *e);

/* Waits for the first membership_dynamic_set. */
int membership_dynamic(struct membership **out, struct err *e);
/* Thread: any. Member 0: stop. ERR_INVALID. */
int membership_dynamic_set(struct membership *m, uint32_t member, uint32_t total, struct err *e);

/* The pod NAME-3 of a StatefulSet is member 4. `host`: NULL: what /etc/hostname says. The total is fixed, or, so that
 * scaling needs no restart, the value of `total_key` in `total_file`, a downward-API file of lines KEY="VALUE". */
struct statefulset_options {
	struct env *env;
	const char *host;
	uint32_t total;
	const char *total_file, *total_key; /* NULL: total */
	nsec refresh;                       /* of the file; 0: 10 s */
};
int membership_statefulset(const struct statefulset_options *o, struct membership **out,
			   struct err *e);
/* What /etc/hostname says, without its line end. */
int membership_host_name(struct env *env, struct buf *out, struct err *e);

/* Leases of a Kubernetes cluster; membership_lease.c has the protocol. Names and ids are lower-case letters, digits,
 * '-' and '.'. The rights needed on leases (coordination.k8s.io): get, list, create, patch, delete. */
struct lease_options {
	struct env *env;
	const char *api;          /* "https://10.0.0.1:443"; NULL: the cluster's own name for it */
	const char *space, *name; /* namespace and name of the group's Lease */
	const char *
		id; /* this member's, unique in the group; NULL: what /etc/hostname says, a pod's name */
	const char *token_file,
		*ca_file; /* NULL: the service account's; read at every step: tokens rotate */
	nsec duration, renew_deadline, retry, timeout; /* 0: 8 s, 5 s, 1 s; of one request: 2 s */
};
int membership_lease(const struct lease_options *o, struct membership **out, struct err *e);
/* Thread: the one that steps. */
bool membership_lease_leads(const struct membership *m);

/* Documents of a bucket, laid out as go-dcp's; membership_couchbase.c has the protocol, membership_lil.c the one with a
 * single document. What it is given must stay. */
struct documents;
struct documents_ops {
	/* 1 there, 0 not, negative. */
	int (*get)(struct documents *d, const char *key, struct buf *value, uint64_t *cas,
		   struct err *e);
	/* cas 0: must not be there yet; UINT64_MAX: whatever is there. ERR_CONFLICT. expiry: seconds, 0 never. */
	int (*put)(struct documents *d, const char *key, struct slice value, uint64_t cas,
		   uint32_t expiry, struct err *e);
	/* One field of a document that is there, by its sub-document path (its parent must be there): ERR_NOTFOUND.
	 * Nobody else's fields are touched. */
	int (*set_field)(struct documents *d, const char *key, const char *path, struct slice json,
			 struct err *e);
	void (*free)(struct documents *d);
};
struct documents {
	const struct documents_ops *ops;
};
static inline void documents_free(struct documents *d)
{
	if (d)
		d->ops->free(d);
}
struct kv_options;
int documents_couchbase(const struct kv_options *o, struct documents **out, struct err *e);

struct couchbase_members {
	struct env *env;
	struct documents *documents; /* owned once it is open */
	const char *group, *id;      /* id: unique; NULL: drawn at random */
	bool lil;                    /* one document for all members */
	nsec interval, tolerance;    /* of heartbeats. 0: 10 s, 1 min on top of the interval */
	nsec monitor;      /* how often the list is read. 0: 1 s; at most half the tolerance */
	uint32_t expiry_s; /* of the documents of single members; 0: 120 */
};
int membership_couchbase(const struct couchbase_members *o, struct membership **out, struct err *e);

/* ---- the share (pure) ---- */

enum spread {
	SPREAD_STEADY,     /* as few as can be move when the last number comes or goes */
	SPREAD_CONTIGUOUS, /* chunks, as go-dcp cuts them: for groups with go-dcp members */
};

/* owner[vb] = member (1..total) for every vBucket; the counts differ by at most one. A function of its arguments only,
 * so that all members agree without talking. ERR_NOMEM. */
int spread_all(enum spread how, uint32_t n_vbuckets, uint32_t total, uint32_t *owner,
	       struct err *e);

/* ---- in which steps (pure) ----
 *
 *	a change is seen ─▶ at once: what is not wanted any more goes   ─▶ `delay` later: what is new comes
 *	                    (checkpointed when the assignment returns)     (every further change restarts the delay)
 *	                                                                    but for what is said to be busy: another
 *	                                                                    member still has it
 *
 * What stays is in every set between, hence undisturbed. */
struct handover {
	enum spread how;
	nsec delay;
	uint32_t n_vbuckets, n_held;
	struct membership_info at;
	bool shrink, grow;
	nsec due;        /* of grow */
	nsec changed;    /* what is wanted, or held, last */
	nsec again;      /* after which what is busy is due again */
	uint32_t *owner; /* scratch */
	bool *want, *held, *busy;
};
int handover_init(struct handover *h, enum spread how, uint32_t n_vbuckets, nsec delay,
		  struct err *e);
void handover_done(struct handover *h);
int handover_see(struct handover *h, const struct membership_info *info, nsec now, struct err *e);
/* 1: from now on vb[0..*n) is the set (vb has room for n_vbuckets); 0: nothing before *due (-1: nothing at all). */
int handover_next(struct handover *h, nsec now, uint16_t *vb, size_t *n, nsec *due);
/* Something would come now: who calls may say first what is busy, and since when it wants it (`changed`). */
bool handover_grows(const struct handover *h, nsec now);
/* These (a flag by vBucket) do not come before `again` is over; NULL: none. Holds for the next handover_next. */
void handover_busy(struct handover *h, const bool *busy, nsec again);
/* These (a flag by vBucket) were taken over by somebody: they leave the set at once. Where they are still wanted after
 * `delay`, they come again. */
void handover_lost(struct handover *h, const bool *lost, nsec now, nsec delay);

/* ---- who must not write ----
 *
 * A store over `inner` (owned) for members of a group. What is loaded for the first time, or again after it was let go,
 * is also saved as it is: that changes its CAS, so that whoever owned it before gets ERR_FENCED. What it already holds is
 * not loaded anew, since that would lend a fenced member the new owner's CAS. A vBucket whose save was fenced is not
 * held any more, and no save of it reaches `inner` until it is loaded again. */
int checkpoint_claiming(struct checkpoint_store *inner, struct checkpoint_store **out,
			struct err *e);
/* Loading these again claims them anew. */
void checkpoint_claiming_release(struct checkpoint_store *s, const uint16_t *vb, size_t n);
/* Clears *fenced (one flag per vBucket number below n) and sets what is fenced; how many. */
size_t checkpoint_claiming_fenced(struct checkpoint_store *s, bool *fenced, size_t n);

#endif
