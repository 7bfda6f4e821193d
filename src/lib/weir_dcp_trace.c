/* weir_dcp_trace.c: a span for each event that is out, kept until somebody says what became of it.
 *
 *	vBucket ─▶ [ticket 41 span] [43 ended] [44 span] ...      tickets rise; those in between needed no event
 *	            ^ head: the first that is still open
 *
 * Nothing of this exists without a tracer. */
#include "lib/lib_dcp.h"

#include "base/mem.h"
#include "os/thread.h"

struct open_span {
	uint64_t ticket, seqno;
	void *span; /* NULL: ended */
};

struct spans { /* of one vBucket */
	struct open_span *at;
	size_t head, tail, cap;
};

struct trace {
	weir_dcp_tracer tracer;
	struct mutex lock; /* guards the spans; not held while start or end runs */
	struct spans *of;
	uint32_t n;
};

int lib_dcp_trace_open(weir_dcp *d, const weir_dcp_tracer *tracer, struct err *e)
{
	weir_dcp_tracer t = { 0 };
	if (!tracer)
		return 0;
	int rc = lib_options(&t, sizeof(t), tracer, e);
	if (rc < 0)
		return rc;
	if (!t.start || !t.end)
		return err_set(e, ERR_INVALID, "a tracer has a start and an end");
	d->trace = mem_try(sizeof(*d->trace));
	if (!d->trace)
		return err_nomem(e);
	d->trace->tracer = t;
	mutex_init(&d->trace->lock);
	return 0;
}

void lib_dcp_trace_free(weir_dcp *d)
{
	struct trace *t = d->trace;
	if (!t)
		return;
	for (uint32_t i = 0; i < t->n; i++)
		mem_free(t->of[i].at);
	mem_free(t->of);
	mutex_done(&t->lock);
	mem_free(t);
	d->trace = NULL;
}

/* Under lock. */
static struct spans *spans_of(weir_dcp *d, uint16_t vb)
{
	struct trace *t = d->trace;
	if (!t->of) {
		uint32_t n = dcp_source_vbuckets(d->source);
		t->of = mem_try_array(n + 1, sizeof(*t->of));
		t->n = t->of ? n : 0;
	}
	return vb < t->n ? &t->of[vb] : NULL;
}

static bool room(struct spans *s)
{
	enum { FIRST = 16 };
	if (s->tail < s->cap)
		return true;
	if (s->head > s->cap / 2) {
		memmove(s->at, s->at + s->head, (s->tail - s->head) * sizeof(*s->at));
		s->tail -= s->head;
		s->head = 0;
		return true;
	}
	size_t cap = s->cap ? s->cap * 2 : FIRST;
	struct open_span *grown = mem_retry(s->at, cap * sizeof(*grown));
	if (!grown)
		return false;
	s->at = grown;
	s->cap = cap;
	return true;
}

/* Ends those of the vBucket that `of` picks. */
struct pick {
	bool all;
	uint64_t above; /* seqnos above this; with !all */
	enum weir_dcp_outcome outcome;
};

/* Takes the next one out; NULL none is left. */
static void *take(weir_dcp *d, uint16_t vb, const struct pick *p, size_t *from)
{
	void *span = NULL;
	mutex_lock(&d->trace->lock);
	struct spans *s = spans_of(d, vb);
	for (size_t i = s ? MAX(*from, s->head) : 0; s && i < s->tail && !span; i++) {
		if (s->at[i].span && (p->all || s->at[i].seqno > p->above)) {
			span = s->at[i].span;
			s->at[i].span = NULL;
		}
		*from = i + 1;
	}
	if (s && !span && p->all)
		s->head = s->tail = 0;
	mutex_unlock(&d->trace->lock);
	return span;
}

static void end_some(weir_dcp *d, uint16_t vb, const struct pick *p)
{
	size_t from = 0;
	void *span;
	while ((span = take(d, vb, p, &from)))
		d->trace->tracer.end(d->trace->tracer.arg, span, p->outcome);
}

void lib_dcp_trace_all(weir_dcp *d, uint16_t vb, enum weir_dcp_outcome outcome)
{
	if (d->trace)
		end_some(d, vb, &(struct pick){ .all = true, .outcome = outcome });
}

/* A rollback ends what it voids before it has a span of its own. */
void lib_dcp_trace_start(weir_dcp *d, const struct dcp_event *ev, size_t n)
{
	struct trace *t = d->trace;
	for (size_t i = 0; t && i < n; i++) {
		if (ev[i].kind == DCP_END)
			continue;
		if (ev[i].kind == DCP_ROLLBACK)
			end_some(d, ev[i].vb,
				 &(struct pick){ .above = ev[i].rollback_to,
						 .outcome = WEIR_DCP_SPAN_VOID });
		void *span = t->tracer.start(t->tracer.arg, d, to_event(&ev[i]));
		if (!span)
			continue;
		mutex_lock(&t->lock);
		struct spans *s = spans_of(d, ev[i].vb);
		bool kept = s && room(s);
		if (kept)
			s->at[s->tail++] = (struct open_span){ .ticket = ev[i].ticket,
							       .seqno = ev[i].pos.seqno,
							       .span = span };
		mutex_unlock(&t->lock);
		if (!kept) /* out of memory: it is not lost without a word */
			t->tracer.end(t->tracer.arg, span, WEIR_DCP_SPAN_LEFT);
	}
}

/* Under lock. */
static void *find(struct spans *s, uint64_t ticket)
{
	size_t low = s->head, high = s->tail;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (s->at[mid].ticket < ticket)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == s->tail || s->at[low].ticket != ticket)
		return NULL;
	void *span = s->at[low].span;
	s->at[low].span = NULL;
	while (s->head < s->tail && !s->at[s->head].span)
		s->head++;
	if (s->head == s->tail)
		s->head = s->tail = 0;
	return span;
}

void lib_dcp_trace_end(weir_dcp *d, const struct dcp_event *ev, size_t n,
		       enum weir_dcp_outcome outcome)
{
	struct trace *t = d->trace;
	for (size_t i = 0; t && i < n; i++) {
		if (ev[i].kind == DCP_END)
			continue;
		mutex_lock(&t->lock);
		struct spans *s = spans_of(d, ev[i].vb);
		void *span = s ? find(s, ev[i].ticket) : NULL;
		mutex_unlock(&t->lock);
		if (span)
			t->tracer.end(t->tracer.arg, span, outcome);
	}
}
