/* source_pause.c: vBuckets that are to hand out nothing for a while. The wish is kept per vBucket, assigned or not, so that
 * one that leaves and comes back is still paused; the I/O thread carries it out. */
#include "dcp/source_internal.h"

void source_take_pauses(struct dcp_source *s)
{
	for (uint32_t i = 0; i < s->n_slots; i++) {
		struct slot *slot = &s->slot[i];
		mutex_lock(&s->lock);
		bool paused = slot->paused;
		mutex_unlock(&s->lock);
		if (paused)
			vbucket_pause(&slot->v, source_now(s));
		else
			vbucket_resume(&slot->v, source_now(s));
	}
	source_flush(s); /* what was handed out before is on its way */
	mutex_lock(&s->lock);
	s->pauses_taken = s->pauses_taking;
	cond_broadcast(&s->changed);
	mutex_unlock(&s->lock);
}

static int set_paused(struct dcp_source *s, int vb, bool paused, struct err *e)
{
	if (vb != DCP_ALL_VBUCKETS && (vb < 0 || (uint32_t)vb >= s->n_slots))
		return err_set(e, ERR_INVALID, "there is no vBucket %d, only 0 to %u", vb,
			       s->n_slots - 1);
	mutex_lock(&s->lock);
	for (uint32_t i = 0; i < s->n_slots; i++)
		if (vb == DCP_ALL_VBUCKETS || (uint32_t)vb == i)
			s->slot[i].paused = paused;
	uint64_t wish = ++s->pauses_wished;
	mutex_unlock(&s->lock);
	source_wake(s);
	mutex_lock(&s->lock);
	while (s->pauses_taken < wish)
		cond_wait(&s->changed, &s->lock);
	mutex_unlock(&s->lock);
	return 0;
}

int dcp_source_pause(struct dcp_source *s, int vb, struct err *e)
{
	return set_paused(s, vb, true, e);
}

int dcp_source_resume(struct dcp_source *s, int vb, struct err *e)
{
	return set_paused(s, vb, false, e);
}
