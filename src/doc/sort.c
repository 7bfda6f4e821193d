/* sort.c: a bottom-up merge sort over indices: stable, no recursion, n log n whatever the input, and what it needs comes
 * from the evaluation's arena.
 */
#include "doc/sort.h"

#include "doc/compare.h"
#include "doc/expr_node.h"

#include <stdlib.h>

static int direction(struct value v, bool *descending, struct err *e)
{
	double d = v.type == BSON_DOUBLE ? v.f64 : 0;
	if (v.type == BSON_INT32 || v.type == BSON_INT64)
		d = (double)v.i64;
	if (d != 1 && d != -1)
		return err_number(e, ERR_INVALID, 2, "a sort direction is 1 or -1");
	*descending = d < 0;
	return 0;
}

static int split(struct slice text, struct arena *a, struct sort_key *k, struct err *e)
{
	uint32_t n = 1;
	for (size_t i = 0; i < text.len; i++)
		n += text.p[i] == '.';
	k->path = arena_try_array(a, n, sizeof(*k->path));
	if (!k->path)
		return err_nomem(e);
	k->n = n;
	const uint8_t *at = text.p, *end = text.p + text.len;
	for (uint32_t i = 0; i < n; i++) {
		const uint8_t *dot = memchr(at, '.', (size_t)(end - at));
		k->path[i] = slice_of(at, (size_t)((dot ? dot : end) - at));
		if (k->path[i].len == 0)
			return err_number(e, ERR_INVALID, 15998, "a sort path has an empty part");
		if (k->path[i].p[0] == '$')
			return err_number(e, ERR_INVALID, 16410,
					  "a sort path does not start with '$'");
		at = dot ? dot + 1 : end;
	}
	return 0;
}

int sort_compile(struct value spec, struct arena *a, struct sort_order *out, struct err *e)
{
	*out = (struct sort_order){ 0 };
	if (spec.type != BSON_DOCUMENT)
		return direction(spec, &out->descending, e);
	struct slice copy = { arena_copy(a, spec.p, spec.len), spec.len };
	out->key = arena_try_array(a, SORT_KEYS_MAX, sizeof(*out->key));
	if (!copy.p || !out->key)
		return err_nomem(e);
	struct bson_iter it;
	bson_iter_init(&it, copy);
	while (bson_next(&it)) {
		if (out->n == SORT_KEYS_MAX)
			return err_number(e, ERR_LIMIT, 2, "more than %d sort keys", SORT_KEYS_MAX);
		struct sort_key *k = &out->key[out->n++];
		int rc = direction(it.value, &k->descending, e);
		if (rc == 0)
			rc = split(it.key, a, k, e);
		if (rc < 0)
			return rc;
	}
	if (out->n == 0)
		return err_number(e, ERR_INVALID, 15976, "a sort needs at least one key");
	return 0;
}

/* ---- comparing ---- */

static void pick(struct value candidate, bool descending, struct value *best, bool *found)
{
	int c = *found ? value_compare(candidate, *best) : 0;
	if (!*found || (descending ? c > 0 : c < 0))
		*best = candidate;
	*found = true;
}

/* The least or greatest value that the path leads to. */
static void best_of(const struct slice *path, uint32_t n, struct value v, bool descending,
		    struct value *best, bool *found)
{
	struct bson_iter it;
	if (v.type == BSON_ARRAY) {
		bson_iter_init(&it, value_slice(v));
		bool any = false;
		while (bson_next(&it)) {
			any = true;
			if (n == 0)
				pick(it.value, descending, best, found);
			else if (it.value.type == BSON_DOCUMENT)
				best_of(path, n, it.value, descending, best, found);
			else
				pick(VALUE_NULL, descending, best, found);
		}
		if (!any) /* an empty array sorts before null */
			pick((struct value){ .type = BSON_UNDEFINED }, descending, best, found);
		return;
	}
	if (n == 0)
		pick(v.type == BSON_MISSING ? VALUE_NULL : v, descending, best, found);
	else if (v.type == BSON_DOCUMENT)
		best_of(path + 1, n - 1, bson_get(value_slice(v), path[0]), descending, best,
			found);
	else
		pick(VALUE_NULL, descending, best, found);
}

static struct value key_of(const struct sort_key *k, struct value v)
{
	struct value best = VALUE_NULL;
	bool found = false;
	if (v.type != BSON_DOCUMENT)
		return VALUE_NULL;
	best_of(k->path, k->n, v, k->descending, &best, &found);
	return best;
}

struct value sort_key_value(const struct sort_order *o, uint32_t i, struct value v)
{
	return key_of(&o->key[i], v);
}

int sort_compare(const struct sort_order *o, struct value a, struct value b)
{
	if (o->n == 0) {
		int c = value_compare(a, b);
		return o->descending ? -c : c;
	}
	for (uint32_t i = 0; i < o->n; i++) {
		int c = value_compare(key_of(&o->key[i], a), key_of(&o->key[i], b));
		if (c)
			return o->key[i].descending ? -c : c;
	}
	return 0;
}

/* ---- sorting: bottom-up merge of indices ---- */

int sort_indices(struct eval *ev, uint32_t *index, size_t n,
		 int (*compare)(const void *a, const void *b, void *arg), void *arg, struct err *e)
{
	if (n < 2)
		return 0;
	uint32_t *other = arena_try_array(&ev->arena, n, sizeof(*other));
	if (!other)
		return env_nomem(&(struct expr_env){ .ev = ev }, e);
	uint32_t *from = index, *to = other;
	for (size_t width = 1; width < n; width *= 2) {
		for (size_t start = 0; start < n; start += 2 * width) {
			size_t i = start, mid = MIN(start + width, n), j = mid,
			       end = MIN(mid + width, n);
			for (size_t k = start; k < end; k++) {
				bool left = i < mid &&
					    (j == end || compare(&from[i], &from[j], arg) <= 0);
				to[k] = left ? from[i++] : from[j++];
			}
		}
		uint32_t *t = from;
		from = to;
		to = t;
	}
	if (from != index)
		memcpy(index, from, n * sizeof(*index));
	return 0;
}

struct sorting {
	const struct sort_order *order;
	const struct value *v;
};

static int by_order(const void *a, const void *b, void *arg)
{
	const struct sorting *s = arg;
	return sort_compare(s->order, s->v[*(const uint32_t *)a], s->v[*(const uint32_t *)b]);
}

int sort_values(const struct sort_order *o, struct eval *ev, struct value *v, size_t n,
		struct err *e)
{
	if (n < 2)
		return 0;
	uint32_t *index = arena_try_array(&ev->arena, n, sizeof(*index));
	struct value *copy = arena_try_array(&ev->arena, n, sizeof(*copy));
	if (!index || !copy)
		return env_nomem(&(struct expr_env){ .ev = ev }, e);
	memcpy(copy, v, n * sizeof(*v));
	for (uint32_t i = 0; i < n; i++)
		index[i] = i;
	struct sorting s = { o, copy };
	int rc = sort_indices(ev, index, n, by_order, &s, e);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < n; i++)
		v[i] = copy[index[i]];
	return 0;
}
