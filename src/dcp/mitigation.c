#include "dcp/mitigation.h"

#define INTERVAL_MIN (5 * NSEC_PER_MS)
#define INTERVAL_MAX (15 * NSEC_PER_MS)

int observe_parse(const struct packet *p, struct observe_reply *out, struct err *e)
{
	const uint8_t *v = p->value.p;
	size_t len = p->value.len;
	if (len < 27 || v[0] > 1 || (v[0] == 1 && len < 43))
		return err_set(e, ERR_PROTOCOL, "an observation of %zu bytes", len);
	*out = (struct observe_reply){ .vb = get_be16(v + 1),
				       .uuid = get_be64(v + 3),
				       .persisted = get_be64(v + 11),
				       .current = get_be64(v + 19) };
	if (v[0] == 1) {
		out->failed_over = true;
		out->old_uuid = get_be64(v + 27);
		out->old_last = get_be64(v + 35);
	}
	return 0;
}

bool mitigation_answer(struct mitigation *m, uint32_t copy, uint64_t uuid, uint16_t status,
		       const struct observe_reply *r)
{
	ASSERT(copy < MITIGATION_COPIES);
	struct observed *o = &m->copy[copy];
	m->in_flight &= ~(1u << copy);
	o->answered = true;
	if (status ==
	    STATUS_KEY_ENOENT) { /* does not know the branch: has persisted nothing of it */
		o->uuid = uuid;
		o->persisted = 0;
		return false;
	}
	if (status !=
	    STATUS_OK) { /* busy, moved: what it said before is the best we know, for its branch */
		return false;
	}
	o->uuid = r->uuid;
	o->persisted = r->persisted;
	return r->failed_over || r->uuid != uuid;
}

uint64_t mitigation_safe(const struct mitigation *m, enum mitigation_policy policy, uint32_t exists,
			 uint64_t uuid)
{
	uint64_t seqno[MITIGATION_COPIES];
	uint32_t n = 0;
	for (uint32_t i = 0; i < MITIGATION_COPIES; i++) {
		if (!(exists >> i & 1))
			continue;
		uint64_t s = m->copy[i].uuid == uuid ? m->copy[i].persisted : 0;
		uint32_t at = n++; /* descending */
		for (; at > 0 && seqno[at - 1] < s; at--)
			seqno[at] = seqno[at - 1];
		seqno[at] = s;
	}
	switch (policy) {
	case MITIGATE_NONE: return UINT64_MAX;
	case MITIGATE_ACTIVE:
		return exists & 1 && m->copy[0].uuid == uuid ? m->copy[0].persisted : 0;
	case MITIGATE_ALL: return n ? seqno[n - 1] : 0;
	case MITIGATE_MAJORITY: return n ? seqno[n / 2] : 0;
	}
	return 0;
}

void mitigation_schedule(struct mitigation *m, const struct mitigation_options *o, bool moved,
			 nsec now)
{
	nsec min = o->interval_min ? o->interval_min : INTERVAL_MIN;
	nsec max = o->interval_max ? o->interval_max : INTERVAL_MAX;
	m->interval = moved || m->interval == 0 ? min : MIN(m->interval * 2, MAX(min, max));
	m->next_at = now + m->interval;
}

void mitigation_reset(struct mitigation *m)
{
	*m = (struct mitigation){ 0 };
}
