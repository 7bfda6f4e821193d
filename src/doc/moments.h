/* moments.h: mean and variance in one pass (Welford), and of parts put together (Chan). */
#ifndef DOC_MOMENTS_H
#define DOC_MOMENTS_H

#include "doc/bson.h"

#include <math.h>

struct moments {
	int64_t n;
	double mean, m2; /* m2: sum of squared distances from the mean */
};

static inline void moments_add(struct moments *m, double x)
{
	double delta = x - m->mean;
	m->n++;
	m->mean += delta / (double)m->n;
	m->m2 += delta * (x - m->mean);
}

static inline void moments_merge(struct moments *m, const struct moments *other)
{
	if (other->n == 0)
		return;
	if (m->n == 0) {
		*m = *other;
		return;
	}
	double n = (double)m->n, k = (double)other->n, delta = other->mean - m->mean;
	m->mean += delta * (k / (n + k));
	m->m2 += other->m2 + delta * delta * (n * k / (n + k));
	m->n += other->n;
}

/* Null of too few numbers; also where an infinity or NaN makes it undefined. */
static inline struct value moments_std_dev(const struct moments *m, bool sample)
{
	int64_t n = m->n - (sample ? 1 : 0);
	if (n <= 0 || !isfinite(m->m2))
		return VALUE_NULL;
	return value_double(sqrt(m->m2 / (double)n));
}

#endif
