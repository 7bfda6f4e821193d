/* eval.c: the scratch that evaluation works in; see eval.h.
 *
 * What regex.c and expr.c hang in here is theirs: each sets its pointer together with the function
 * that frees it, so this file needs to know neither.
 */
#include "doc/eval.h"

/* Distinct per object and never 0; callers that want other numbers set ev->rand themselves. */
static uint64_t seed_of(const struct eval *ev)
{
	static _Thread_local uint64_t count;
	uint64_t x = (uint64_t)(uintptr_t)ev + ++count * UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	x ^= x >> 31;
	return x ? x : 1;
}

void eval_init(struct eval *ev)
{
	*ev = (struct eval){ .steps_max = EVAL_STEPS_DEFAULT };
	ev->arena.limit_bytes = EVAL_MEMORY_DEFAULT;
	ev->rand = seed_of(ev);
}

void eval_reset(struct eval *ev)
{
	arena_reset(&ev->arena);
	buf_reset(&ev->scratch);
	ev->steps = 0;
}

void eval_done(struct eval *ev)
{
	if (ev->regex_free)
		ev->regex_free(ev->regex_data);
	if (ev->vars_free)
		ev->vars_free(ev->vars);
	arena_done(&ev->arena);
	buf_done(&ev->scratch);
	*ev = (struct eval){ 0 };
}

int eval_nomem(const struct eval *ev, struct err *e)
{
	const struct arena *a = &ev->arena;
	/* Blocks grow to an eighth of the limit at most before one no longer fits. */
	if (a->limit_bytes && a->total_bytes >= a->limit_bytes - (a->limit_bytes >> 3))
		return err_number(e, ERR_LIMIT, 146,
				  "one document needs more than %zu MiB of memory",
				  a->limit_bytes >> 20);
	return err_nomem(e);
}
