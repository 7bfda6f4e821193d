/* dcp_memory.h: a store that keeps checkpoints in memory: what a process that is killed would leave behind. memory_look
 * copies such a moment, memory_go_back returns to it. For the dcp_e2e_* tests. */
#ifndef TESTS_DCP_MEMORY_H
#define TESTS_DCP_MEMORY_H

#include "tests/test.h"

#include "dcp/checkpoint.h"

#include <pthread.h>

enum { MEMORY_VBS = 128 };

struct memory {
	struct checkpoint_store base;
	pthread_mutex_t lock; /* a source saves while a test looks */
	struct checkpoint cp[MEMORY_VBS];
	unsigned saves;
};

static int memory_load(struct checkpoint_store *s, struct checkpoint *c, size_t n, struct err *e)
{
	struct memory *m = (struct memory *)s;
	(void)e;
	pthread_mutex_lock(&m->lock);
	for (size_t i = 0; i < n; i++)
		c[i] = m->cp[c[i].vb];
	pthread_mutex_unlock(&m->lock);
	return 0;
}

static int memory_save(struct checkpoint_store *s, const struct checkpoint *c, size_t n,
		       struct err *e)
{
	struct memory *m = (struct memory *)s;
	(void)e;
	pthread_mutex_lock(&m->lock);
	for (size_t i = 0; i < n; i++)
		m->cp[c[i].vb] = c[i];
	m->saves++;
	pthread_mutex_unlock(&m->lock);
	return 0;
}

static void memory_free(struct checkpoint_store *s)
{
	(void)s;
}

static const struct checkpoint_store_ops memory_ops = { .load = memory_load,
							.save = memory_save,
							.free = memory_free };

static inline void memory_init(struct memory *m)
{
	*m = (struct memory){ .base = { &memory_ops }, .lock = PTHREAD_MUTEX_INITIALIZER };
	for (uint16_t i = 0; i < MEMORY_VBS; i++)
		m->cp[i].vb = i;
}

typedef struct checkpoint memory_moment[MEMORY_VBS];

static inline void memory_look(struct memory *m, memory_moment at)
{
	pthread_mutex_lock(&m->lock);
	memcpy(at, m->cp, sizeof(m->cp));
	pthread_mutex_unlock(&m->lock);
}

static inline void memory_go_back(struct memory *m, memory_moment at)
{
	pthread_mutex_lock(&m->lock);
	memcpy(m->cp, at, sizeof(m->cp));
	pthread_mutex_unlock(&m->lock);
}

#endif
