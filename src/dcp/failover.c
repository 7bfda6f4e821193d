#include "dcp/failover.h"

int failover_parse(struct slice bytes, struct failover_log *out, struct err *e)
{
	size_t n = bytes.len / 16;
	if (bytes.len % 16 || n == 0)
		return err_set(e, ERR_PROTOCOL, "a failover log of %zu bytes", bytes.len);
	if (n > FAILOVER_WIRE_MAX)
		return err_set(e, ERR_PROTOCOL, "a failover log of %zu entries", n);
	struct failover_log l = { .n = (uint32_t)MIN(n, FAILOVER_MAX) };
	for (size_t i = 0; i < l.n; i++) {
		l.entry[i].uuid = get_be64(bytes.p + 16 * i);
		l.entry[i].seqno = get_be64(bytes.p + 16 * i + 8);
		if (i > 0 && l.entry[i].seqno > l.entry[i - 1].seqno)
			return err_set(e, ERR_PROTOCOL, "a failover log that is not in order");
	}
	*out = l;
	return 0;
}

uint64_t failover_uuid_at(const struct failover_log *l, uint64_t seqno)
{
	if (seqno == 0)
		return 0;
	for (uint32_t i = 0; i < l->n; i++)
		if (l->entry[i].seqno <= seqno)
			return l->entry[i].uuid;
	return 0;
}

int failover_branch_end(const struct failover_log *l, uint64_t uuid, uint64_t *end)
{
	for (uint32_t i = 0; i < l->n; i++) {
		if (l->entry[i].uuid != uuid)
			continue;
		if (i == 0)
			return 0;
		*end = l->entry[i - 1].seqno;
		return 1;
	}
	return ERR_NOTFOUND;
}

int failover_common_end(const struct failover_log *older, const struct failover_log *newer,
			uint64_t *end)
{
	for (uint32_t i = 0; i < older->n; i++) {
		uint64_t their_end;
		int rc = failover_branch_end(newer, older->entry[i].uuid, &their_end);
		if (rc < 0)
			continue;
		uint64_t our_end = i ? older->entry[i - 1].seqno : UINT64_MAX;
		if (rc == 0)
			their_end = UINT64_MAX;
		*end = MIN(our_end, their_end);
		return *end != UINT64_MAX;
	}
	return ERR_NOTFOUND;
}

/* Makes room: of all but the newest few, drops the point whose loss widens a gap least for its distance. */
static void thin(struct points *p)
{
	enum { KEEP_NEWEST = 3 };
	uint64_t top = p->seqno[p->n - 1];
	uint32_t victim = 0;
	double least = 0;
	for (uint32_t i = 0; i < p->n - KEEP_NEWEST; i++) {
		uint64_t below = i ? p->seqno[i - 1] : 0;
		double cost = (double)(p->seqno[i + 1] - below) / (double)(top - p->seqno[i] + 1);
		if (i == 0 || cost < least) {
			least = cost;
			victim = i;
		}
	}
	p->n--;
	memmove(p->seqno + victim, p->seqno + victim + 1, (p->n - victim) * sizeof(p->seqno[0]));
}

void points_add(struct points *p, uint64_t seqno)
{
	if (seqno == 0 || (p->n && seqno <= p->seqno[p->n - 1]))
		return;
	if (p->n == POINTS_MAX)
		thin(p);
	p->seqno[p->n++] = seqno;
}

uint64_t points_floor(const struct points *p, uint64_t limit)
{
	for (uint32_t i = p->n; i-- > 0;)
		if (p->seqno[i] <= limit)
			return p->seqno[i];
	return 0;
}

void points_cut(struct points *p, uint64_t limit)
{
	while (p->n && p->seqno[p->n - 1] > limit)
		p->n--;
}
