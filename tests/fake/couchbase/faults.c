/* faults.c: what scripts let go wrong. */
#include "tests/fake/couchbase/internal.h"

#include <string.h>

static void per_node(struct fake *f, const struct fake_fault *x)
{
	for (unsigned i = 0; i < f->o.nodes; i++) {
		struct node *n = &f->node[i];
		if (x->node >= 0 && x->node != (int)i)
			continue;
		if (x->kind == FAKE_SLOW)
			n->slow_ms = x->n;
		else if (x->kind == FAKE_STALL)
			n->stalled = x->count != 0;
		else if (x->kind == FAKE_REKEY)
			n->rekey = x->n;
		else if (x->kind == FAKE_DEAF)
			n->deaf = x->count != 0;
		else if (x->kind == FAKE_CUT_NEXT)
			n->cut_next = *x;
		else if (x->kind == FAKE_CUT_INPUT)
			n->cut_input = *x;
		else if (x->kind == FAKE_SPLIT)
			n->split = x->n;
		else if (x->kind == FAKE_DOWN)
			n->down = x->count != 0;
		else if (x->kind == FAKE_GARBLE) {
			n->garble = x->n;
			n->garble_seed = x->count + i;
		}
		for (struct conn *c = n->conns; c && x->kind == FAKE_DOWN && x->count; c = c->next)
			c->dead = true;
		for (struct conn *c = n->conns; c && x->kind == FAKE_CUT_AFTER; c = c->next)
			if (c->kind == CONN_KV && c->is_dcp)
				c->cut_after = x->n;
	}
}

void fake_fault(struct fake *f, const struct fake_fault *x)
{
	lock(f);
	if (x->kind == FAKE_STREAM_END)
		dcp_end_streams(f->script, x->vb, x->status);
	else if (x->kind == FAKE_UNKNOWN)
		dcp_unknown(f->script, x);
	else if (x->kind == FAKE_REPEAT)
		dcp_repeat(f->script, x->vb);
	else if (x->kind == FAKE_DROP_CURSOR)
		dcp_drop_cursor(f->script, x->vb);
	else if (x->kind == FAKE_STATUS || x->kind == FAKE_ROLLBACK) {
		unsigned i = 0;
		while (i < f->n_faults && f->fault[i].count)
			i++;
		if (i < FAULTS_MAX) {
			f->fault[i] = *x;
			f->n_faults = i == f->n_faults ? i + 1 : f->n_faults;
		}
	} else {
		per_node(f, x);
	}
	unlock(f);
}

void fake_clear_faults(struct fake *f)
{
	lock(f);
	f->n_faults = 0;
	for (unsigned i = 0; i < f->o.nodes; i++) {
		f->node[i].slow_ms = f->node[i].split = f->node[i].garble = f->node[i].rekey = 0;
		f->node[i].stalled = f->node[i].down = f->node[i].deaf = false;
		f->node[i].cut_next.count = f->node[i].cut_input.count = 0;
		for (struct conn *c = f->node[i].conns; c; c = c->next)
			c->cut_after = UINT64_MAX;
	}
	unlock(f);
}

void fake_drop_connections(struct fake *f, int node)
{
	lock(f);
	for (unsigned i = 0; i < f->o.nodes; i++)
		for (struct conn *c = f->node[i].conns; c; c = c->next)
			if (node < 0 || node == (int)i)
				c->dead = true;
	unlock(f);
}

void fake_stats(struct fake *f, struct fake_stats *out)
{
	lock(f);
	*out = f->stats;
	unlock(f);
}
