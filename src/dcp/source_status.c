/* source_status.c: what others want to know of a source, out of the I/O thread or from under the lock. */
#include "dcp/source_internal.h"

#include "base/mem.h"

int dcp_source_wait_open(struct dcp_source *s, nsec wait, struct err *e)
{
	enum { LOOK_MS = 50 }; /* the I/O thread has to look at least once */
	nsec deadline = wait < 0 ? -1 : env_mono(s->env) + MAX(wait, LOOK_MS * NSEC_PER_MS);
	int rc = 0;
	mutex_lock(&s->lock);
	s->open_waiters++;
	s->all_open = false;
	mutex_unlock(&s->lock);
	source_wake(s); /* it looks at once, and as often as something changes */
	mutex_lock(&s->lock);
	while (!s->all_open && !s->failed)
		if (cond_wait_until(&s->changed, &s->lock, deadline) == 0)
			break;
	s->open_waiters--;
	if (s->failed) {
		rc = s->error.code;
		if (e)
			*e = s->error;
	} else {
		rc = s->all_open;
	}
	mutex_unlock(&s->lock);
	return rc;
}

uint64_t dcp_source_nacked(struct dcp_source *s, uint16_t vb)
{
	mutex_lock(&s->lock);
	uint64_t n = vb < s->n_slots ? s->slot[vb].nacked : 0;
	mutex_unlock(&s->lock);
	return n;
}

bool dcp_source_ticket_valid(struct dcp_source *s, uint16_t vb, uint64_t ticket)
{
	if (vb >= s->n_slots)
		return false;
	mutex_lock(&s->lock);
	struct slot *slot = &s->slot[vb];
	bool valid = slot->owned && !slot->nack && ack_valid(&slot->w, ticket);
	mutex_unlock(&s->lock);
	return valid;
}

bool dcp_source_mark(struct dcp_source *s, uint16_t vb, uint64_t *version, struct dcp_position *pos)
{
	if (vb >= s->n_slots)
		return false;
	mutex_lock(&s->lock);
	struct slot *slot = &s->slot[vb];
	bool moved = slot->owned && slot->w.version != *version;
	if (moved) {
		*version = slot->w.version;
		*pos = slot->w.mark;
	}
	mutex_unlock(&s->lock);
	return moved;
}

bool dcp_source_collection(struct dcp_source *s, uint32_t id, const char **scope, const char **name)
{
	mutex_lock(&s->lock);
	const struct collection *c = manifest_by_id(&s->manifest, id);
	if (c) { /* the names stay where they are; the entry may move */
		*scope = c->scope;
		*name = c->name;
	}
	mutex_unlock(&s->lock);
	return c != NULL;
}

/* The I/O thread fills it. */
static int report(struct dcp_source *s, struct source_report *r)
{
	r->vb = mem_try_array(s->n_slots + 1, sizeof(*r->vb));
	if (!r->vb)
		return ERR_NOMEM;
	mutex_lock(&s->lock);
	while (s->report)
		cond_wait(&s->changed, &s->lock);
	s->report = r;
	mutex_unlock(&s->lock);
	source_wake(s);
	mutex_lock(&s->lock);
	while (!r->done)
		cond_wait(&s->changed, &s->lock);
	mutex_unlock(&s->lock);
	return 0;
}

int dcp_source_status(struct dcp_source *s, struct dcp_status *out,
		      void (*each)(void *arg, const struct dcp_vbucket_status *v), void *arg)
{
	struct source_report r = { 0 };
	int rc = report(s, &r);
	if (rc == 0 && out)
		*out = r.status;
	for (uint32_t i = 0; rc == 0 && each && i < r.status.n_assigned; i++)
		each(arg, &r.vb[i]);
	mem_free(r.vb);
	return rc;
}

int dcp_source_nodes(struct dcp_source *s, int (*each)(void *arg, const struct dcp_node_status *n),
		     void *arg)
{
	struct source_report r = { .node = mem_try_array(CLUSTER_NODES_MAX, sizeof(*r.node)) };
	int rc = r.node ? report(s, &r) : ERR_NOMEM;
	for (uint32_t i = 0; rc == 0 && i < r.n_nodes; i++)
		rc = each(arg, &r.node[i]);
	mem_free(r.vb);
	mem_free(r.node);
	return rc;
}
