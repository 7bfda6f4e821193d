/* dcp_claims.h: a checkpoint store with compare and swap that members share, each through a handle of its own that claims
 * what it loads. For the dcp_claims and dcp_membership_churn tests. */
#ifndef TESTS_DCP_CLAIMS_H
#define TESTS_DCP_CLAIMS_H

#include "tests/test.h"

#include "base/mem.h"
#include "dcp/membership.h"

#include <stdlib.h>

enum { SHARED_VBS = 64 };

struct shared {
	uint64_t cas[SHARED_VBS], seqno[SHARED_VBS], clock;
	bool found[SHARED_VBS], damaged[SHARED_VBS];
	uint64_t refused;
	int interfere; /* the next so many loads are followed by somebody else's write to interfere_vb */
	unsigned interfere_vb;
};

struct handle {
	struct checkpoint_store base;
	struct shared *s;
	uint64_t cas[SHARED_VBS];
};

static inline int handle_load(struct checkpoint_store *b, struct checkpoint *c, size_t n,
			      struct err *e)
{
	struct handle *h = container_of(b, struct handle, base);
	(void)e;
	for (size_t i = 0; i < n; i++) {
		uint16_t vb = c[i].vb;
		uint64_t s = h->s->seqno[vb];
		c[i] = (struct checkpoint){ .vb = vb,
					    .found = h->s->found[vb],
					    .pos = { s, s, s, s ? 7 : 0 } };
		if (h->s->damaged[vb])
			c[i] = (struct checkpoint){ .vb = vb, .damaged = true };
		h->cas[vb] = h->s->cas[vb];
	}
	if (h->s->interfere > 0) {
		h->s->interfere--;
		h->s->cas[h->s->interfere_vb] = ++h->s->clock;
		h->s->seqno[h->s->interfere_vb]++;
		h->s->found[h->s->interfere_vb] = true;
	}
	return 0;
}

static inline int handle_save(struct checkpoint_store *b, const struct checkpoint *c, size_t n,
			      struct err *e)
{
	struct handle *h = container_of(b, struct handle, base);
	int rc = 0;
	for (size_t i = 0; i < n; i++) {
		uint16_t vb = c[i].vb;
		if (h->cas[vb] != h->s->cas[vb]) {
			h->s->refused++;
			rc = err_set(e, ERR_FENCED, "vBucket %u", vb);
			continue;
		}
		if (c[i].pos.seqno < h->s->seqno[vb])
			fail_msg("the checkpoint of vBucket %u goes back from %u to %u", vb,
				 (unsigned)h->s->seqno[vb], (unsigned)c[i].pos.seqno);
		h->s->seqno[vb] = c[i].pos.seqno;
		h->s->found[vb] = true;
		h->s->damaged[vb] = false;
		h->cas[vb] = h->s->cas[vb] = ++h->s->clock;
	}
	return rc;
}

static inline void handle_free(struct checkpoint_store *b)
{
	free(container_of(b, struct handle, base));
}

static inline struct checkpoint_store *claiming_open(struct shared *s, struct handle **h)
{
	static const struct checkpoint_store_ops ops = { .load = handle_load,
							 .save = handle_save,
							 .free = handle_free };
	struct err e = ERR_INIT;
	struct checkpoint_store *out;
	*h = calloc(1, sizeof(**h));
	(*h)->base.ops = &ops;
	(*h)->s = s;
	assert_ok(checkpoint_claiming(&(*h)->base, &out, &e), &e);
	return out;
}

static inline struct checkpoint at(uint16_t vb, uint64_t seqno)
{
	return (struct checkpoint){ .vb = vb, .found = true, .pos = { seqno, seqno, seqno, 7 } };
}

#endif
