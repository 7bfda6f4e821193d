/* update_array.c: the update operators on arrays: $push $addToSet $pop $pull $pullAll.
 *
 * An operator lists the elements of the result (values that still point into the document or the operand) in the
 * eval's arena; the walk writes them.
 */
#include "doc/update_tree.h"

#include "doc/compare.h"

static int wrong_type(struct err *e, int number, struct value old)
{
	return err_number(e, ERR_TYPE, number, "the field is a %s, not an array",
			  bson_type_name(old.type));
}

static size_t array_count(struct value array)
{
	struct bson_iter it;
	size_t n = 0;
	if (array.type != BSON_ARRAY)
		return 0;
	for (bson_iter_init(&it, value_slice(array)); bson_next(&it); n++)
		;
	return n;
}

static size_t array_list(struct value array, struct value *out)
{
	struct bson_iter it;
	size_t n = 0;
	if (array.type != BSON_ARRAY)
		return 0;
	for (bson_iter_init(&it, value_slice(array)); bson_next(&it);)
		out[n++] = it.value;
	return n;
}

static int elements(struct update_out *out, const struct value *v, size_t n)
{
	*out = (struct update_out){ .kind = UPDATE_ELEMENTS, .elements = v, .count = n };
	return 0;
}

/* A whole number that fits an int64, of any numeric type but decimal. */
static bool whole_number(struct value v, int64_t *out)
{
	if (v.type == BSON_INT32 || v.type == BSON_INT64) {
		*out = v.i64;
		return true;
	}
	if (v.type != BSON_DOUBLE || !(v.f64 >= -9e15 && v.f64 <= 9e15) ||
	    v.f64 != (double)(int64_t)v.f64)
		return false;
	*out = (int64_t)v.f64;
	return true;
}

/* ---- $push ---- */

struct sort_key {
	struct slice path;
	int direction;
};

struct push {
	struct value each; /* an array, or BSON_MISSING: the operand itself */
	bool has_slice, has_position, has_sort;
	int64_t slice, position;
	const struct sort_key *keys; /* an empty path: the element itself */
	size_t n_keys;
};

static bool direction_of(struct value v, int *out)
{
	int64_t d;
	if (!whole_number(v, &d) || (d != 1 && d != -1))
		return false;
	*out = (int)d;
	return true;
}

static bool path_valid(struct slice path)
{
	if (!path.len || path.p[0] == '.' || path.p[path.len - 1] == '.' || path.p[0] == '$')
		return false;
	for (size_t i = 1; i < path.len; i++)
		if (path.p[i] == '.' && path.p[i - 1] == '.')
			return false;
	return true;
}

static int compile_sort(struct update *u, struct push *push, struct value v, struct err *e)
{
	size_t n = v.type == BSON_DOCUMENT ? array_count(value_array(value_slice(v))) : 1;
	struct sort_key *keys = arena_try_array(&u->arena, n, sizeof(*keys));
	if (!keys)
		return err_nomem(e);
	push->keys = keys;
	push->n_keys = n;
	push->has_sort = true;
	if (v.type != BSON_DOCUMENT) {
		keys[0] = (struct sort_key){ 0 };
		if (direction_of(v, &keys[0].direction))
			return 0;
		return err_number(e, ERR_INVALID, 2,
				  "$sort: expected 1, -1 or {<path>: 1 or -1, ...}");
	}
	struct bson_iter it;
	bson_iter_init(&it, value_slice(v));
	for (size_t i = 0; bson_next(&it); i++) {
		keys[i].path = it.key;
		if (!path_valid(it.key))
			return err_number(e, ERR_INVALID, 2, "$sort: '" SLICE_FMT "' is no path",
					  SLICE_ARG(it.key));
		if (!direction_of(it.value, &keys[i].direction))
			return err_number(e, ERR_INVALID, 2,
					  "$sort." SLICE_FMT ": expected 1 or -1",
					  SLICE_ARG(it.key));
	}
	return n ? 0 : err_number(e, ERR_INVALID, 2, "$sort: no field to sort by");
}

static int compile_clause(struct update *u, struct push *push, const struct bson_iter *it,
			  struct err *e)
{
	if (slice_is(it->key, "$each")) {
		push->each = it->value;
		if (it->value.type == BSON_ARRAY)
			return 0;
		return err_number(e, ERR_INVALID, 2, "$each: expected an array, got a %s",
				  bson_type_name(it->value.type));
	}
	if (slice_is(it->key, "$sort"))
		return compile_sort(u, push, it->value, e);
	bool is_slice = slice_is(it->key, "$slice");
	if (!is_slice && !slice_is(it->key, "$position"))
		return err_number(e, ERR_INVALID, 2,
				  "'" SLICE_FMT "' is not one of $each, $slice, $sort, $position",
				  SLICE_ARG(it->key));
	if (!whole_number(it->value, is_slice ? &push->slice : &push->position))
		return err_number(e, ERR_INVALID, 2, SLICE_FMT ": expected an integer",
				  SLICE_ARG(it->key));
	*(is_slice ? &push->has_slice : &push->has_position) = true;
	return 0;
}

/* An operand whose first key is one of the clauses is a $push with modifiers; $each must be there. */
static bool has_each(struct value operand)
{
	return operand.type == BSON_DOCUMENT &&
	       bson_get_str(value_slice(operand), "$each").type != BSON_MISSING;
}

static int compile_push(struct update *u, struct update_op *op, struct err *e)
{
	struct push *push = arena_try(&u->arena, sizeof(*push));
	if (!push)
		return err_nomem(e);
	*push = (struct push){ 0 };
	op->data = push;
	if (!has_each(op->operand))
		return 0;
	struct bson_iter it;
	bson_iter_init(&it, value_slice(op->operand));
	while (bson_next(&it)) {
		int rc = compile_clause(u, push, &it, e);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* The value at a dotted path through documents (and array positions); null where there is none. */
static struct value sort_value(struct value v, struct slice path)
{
	while (path.len && (v.type == BSON_DOCUMENT || v.type == BSON_ARRAY)) {
		const uint8_t *dot = memchr(path.p, '.', path.len);
		size_t len = dot ? (size_t)(dot - path.p) : path.len;
		v = bson_get(value_slice(v), slice_of(path.p, len));
		path = dot ? slice_of(dot + 1, path.len - len - 1) : SLICE_NONE;
	}
	return path.len || v.type == BSON_MISSING ? VALUE_NULL : v;
}

static int sort_compare(const struct push *push, struct value a, struct value b)
{
	for (size_t i = 0; i < push->n_keys; i++) {
		const struct sort_key *k = &push->keys[i];
		int c = k->path.len ? value_compare(sort_value(a, k->path), sort_value(b, k->path))
				    : value_compare(a, b);
		if (c)
			return c * k->direction;
	}
	return 0;
}

/* Merge sort: stable, and no call to the heap. */
static void sort(const struct push *push, struct value *v, struct value *spare, size_t n)
{
	if (n < 2)
		return;
	size_t half = n / 2;
	sort(push, v, spare, half);
	sort(push, v + half, spare, n - half);
	memcpy(spare, v, half * sizeof(*v));
	size_t i = 0, j = half, k = 0;
	while (i < half && j < n)
		v[k++] = sort_compare(push, v[j], spare[i]) < 0 ? v[j++] : spare[i++];
	while (i < half)
		v[k++] = spare[i++];
}

static int apply_push(const struct update_op *op, struct update_run *run, struct value old,
		      struct update_out *out, struct err *e)
{
	const struct push *push = op->data;
	if (old.type != BSON_ARRAY && old.type != BSON_MISSING)
		return wrong_type(e, 2, old);
	size_t n_old = array_count(old);
	size_t n_new = push->each.type == BSON_ARRAY ? array_count(push->each) : 1;
	size_t n = n_old + n_new, at = n_old;
	struct value *v = arena_try_array(&run->ev->arena, n + 1, sizeof(*v));
	if (!v)
		return eval_nomem(run->ev, e);
	(void)array_list(old, v);
	if (push->has_position) {
		int64_t from_end = push->position < 0 ? (int64_t)n_old + push->position : 0;
		int64_t wanted = push->position < 0 ? MAX(from_end, 0) : push->position;
		at = (size_t)MIN(wanted, (int64_t)n_old);
	}
	memmove(v + at + n_new, v + at, (n_old - at) * sizeof(*v));
	if (push->each.type == BSON_ARRAY)
		(void)array_list(push->each, v + at);
	else
		v[at] = op->operand;
	if (push->has_sort) {
		struct value *spare = arena_try_array(&run->ev->arena, n / 2 + 1, sizeof(*v));
		if (!spare)
			return eval_nomem(run->ev, e);
		sort(push, v, spare, n);
	}
	if (push->has_slice) {
		size_t keep = push->slice < 0 ? (size_t)-push->slice : (size_t)push->slice;
		if (keep < n && push->slice < 0)
			v += n - keep;
		n = MIN(n, keep);
	}
	return elements(out, v, n);
}

/* ---- $addToSet ---- */

static int compile_add_to_set(struct update *u, struct update_op *op, struct err *e)
{
	(void)u;
	if (!has_each(op->operand))
		return 0;
	struct bson_iter it;
	bson_iter_init(&it, value_slice(op->operand));
	while (bson_next(&it)) {
		if (!slice_is(it.key, "$each"))
			return err_number(e, ERR_INVALID, 2,
					  "'" SLICE_FMT "' does not belong beside $each",
					  SLICE_ARG(it.key));
		if (it.value.type != BSON_ARRAY)
			return err_number(e, ERR_TYPE, 14, "$each: expected an array, got a %s",
					  bson_type_name(it.value.type));
	}
	return 0;
}

/* A set of the first `count` values: open addressing over their hashes, numbers of values + 1. */
struct value_set {
	const struct value *v;
	uint32_t *slots;
	size_t mask;
};

static bool set_has(const struct value_set *s, struct value x, size_t *slot)
{
	size_t i = (size_t)value_hash(x, 0) & s->mask;
	for (; s->slots[i]; i = (i + 1) & s->mask)
		if (value_equal(s->v[s->slots[i] - 1], x))
			return true;
	*slot = i;
	return false;
}

static bool set_init(struct value_set *s, struct arena *a, const struct value *v, size_t room)
{
	size_t cap = 16;
	while (cap < room * 2)
		cap *= 2;
	*s = (struct value_set){ .v = v, .mask = cap - 1 };
	s->slots = arena_try_array(a, cap, sizeof(*s->slots));
	if (s->slots)
		memset(s->slots, 0, cap * sizeof(*s->slots));
	return s->slots != NULL;
}

static int apply_add_to_set(const struct update_op *op, struct update_run *run, struct value old,
			    struct update_out *out, struct err *e)
{
	if (old.type != BSON_ARRAY && old.type != BSON_MISSING)
		return wrong_type(e, 2, old);
	struct value each = VALUE_MISSING;
	if (has_each(op->operand))
		each = bson_get_str(value_slice(op->operand), "$each");
	size_t n_old = array_count(old), n = n_old;
	size_t n_new = each.type == BSON_ARRAY ? array_count(each) : 1;
	struct value *v = arena_try_array(&run->ev->arena, n_old + n_new * 2 + 1, sizeof(*v));
	struct value_set set;
	if (!v || !set_init(&set, &run->ev->arena, v, n_old + n_new))
		return eval_nomem(run->ev, e);
	struct value *candidates = v + n_old + n_new;
	if (each.type == BSON_ARRAY)
		(void)array_list(each, candidates);
	else
		candidates[0] = op->operand;
	(void)array_list(old, v);
	size_t slot;
	for (size_t i = 0; i < n_old; i++)
		if (!set_has(&set, v[i], &slot))
			set.slots[slot] = (uint32_t)i + 1;
	for (size_t i = 0; i < n_new; i++) {
		if (set_has(&set, candidates[i], &slot))
			continue;
		v[n++] = candidates[i];
		set.slots[slot] = (uint32_t)n;
	}
	return n == n_old && old.type == BSON_ARRAY ? 0 : elements(out, v, n);
}

/* ---- $pop ---- */

static int compile_pop(struct update *u, struct update_op *op, struct err *e)
{
	int direction;
	if (!direction_of(op->operand, &direction))
		return err_number(e, ERR_INVALID, 9, "expected 1 (the last) or -1 (the first)");
	op->data = direction > 0 ? u : NULL; /* any pointer: the last */
	return 0;
}

static int apply_pop(const struct update_op *op, struct update_run *run, struct value old,
		     struct update_out *out, struct err *e)
{
	if (old.type == BSON_MISSING)
		return 0;
	if (old.type != BSON_ARRAY)
		return wrong_type(e, 14, old);
	size_t n = array_count(old);
	if (!n)
		return 0;
	struct value *v = arena_try_array(&run->ev->arena, n, sizeof(*v));
	if (!v)
		return eval_nomem(run->ev, e);
	(void)array_list(old, v);
	return elements(out, op->data ? v : v + 1, n - 1);
}

/* ---- $pull $pullAll ---- */

static int compile_pull_all(struct update *u, struct update_op *op, struct err *e)
{
	(void)u;
	if (op->operand.type == BSON_ARRAY)
		return 0;
	return err_number(e, ERR_INVALID, 2, "expected an array, got a %s",
			  bson_type_name(op->operand.type));
}

static int apply_pull_all(const struct update_op *op, struct update_run *run, struct value old,
			  struct update_out *out, struct err *e)
{
	if (old.type == BSON_MISSING)
		return 0;
	if (old.type != BSON_ARRAY)
		return wrong_type(e, 2, old);
	struct arena *a = &run->ev->arena;
	size_t n_out = array_count(op->operand), n = array_count(old), kept = 0, slot;
	struct value *unwanted = arena_try_array(a, n_out + 1, sizeof(*unwanted));
	struct value *v = arena_try_array(a, n + 1, sizeof(*v));
	struct value_set set;
	if (!v || !unwanted || !set_init(&set, a, unwanted, n_out))
		return eval_nomem(run->ev, e);
	(void)array_list(op->operand, unwanted);
	for (size_t i = 0; i < n_out; i++)
		if (!set_has(&set, unwanted[i], &slot))
			set.slots[slot] = (uint32_t)i + 1;
	(void)array_list(old, v);
	for (size_t i = 0; i < n; i++)
		if (!set_has(&set, v[i], &slot))
			v[kept++] = v[i];
	return kept == n ? 0 : elements(out, v, kept);
}

/* What $pull's operand asks of an element. */
struct pull {
	bool is_query;       /* the element must be a document that the query matches */
	struct match *match; /* NULL: the element must equal the operand */
};

static bool is_operators(struct value v)
{
	struct bson_iter it;
	bson_iter_init(&it, value_slice(v));
	return bson_next(&it) && it.key.len && it.key.p[0] == '$' && !slice_is(it.key, "$and") &&
	       !slice_is(it.key, "$or") && !slice_is(it.key, "$nor") && !slice_is(it.key, "$expr");
}

static int compile_pull(struct update *u, struct update_op *op, struct err *e)
{
	struct pull *pull = arena_try(&u->arena, sizeof(*pull));
	struct match **grown = arena_room(&u->arena, u->matches, u->n_matches, &u->cap_matches,
					  sizeof(struct match *));
	if (!pull || !grown)
		return err_nomem(e);
	u->matches = grown;
	*pull = (struct pull){ 0 };
	op->data = pull;
	int rc = 0;
	if (op->operand.type == BSON_REGEX ||
	    (op->operand.type == BSON_DOCUMENT && is_operators(op->operand))) {
		rc = match_value_compile(op->operand, &pull->match, e);
	} else if (op->operand.type == BSON_DOCUMENT) {
		pull->is_query = true;
		rc = match_compile(value_slice(op->operand), NULL, &pull->match, e);
	}
	if (rc == 0 && pull->match)
		u->matches[u->n_matches++] = pull->match;
	return rc;
}

/* 1: the element goes. */
static int pull_element(const struct pull *pull, const struct update_op *op, struct update_run *run,
			struct value v, struct err *e)
{
	if (!pull->match)
		return value_equal(v, op->operand);
	if (!pull->is_query)
		return match_value(pull->match, run->ev, v, e);
	return v.type == BSON_DOCUMENT ? match_doc(pull->match, run->ev, value_slice(v), e) : 0;
}

static int apply_pull(const struct update_op *op, struct update_run *run, struct value old,
		      struct update_out *out, struct err *e)
{
	if (old.type == BSON_MISSING)
		return 0;
	if (old.type != BSON_ARRAY)
		return wrong_type(e, 2, old);
	size_t n = array_count(old), kept = 0;
	struct value *v = arena_try_array(&run->ev->arena, n + 1, sizeof(*v));
	if (!v)
		return eval_nomem(run->ev, e);
	(void)array_list(old, v);
	for (size_t i = 0; i < n; i++) {
		int rc = pull_element(op->data, op, run, v[i], e);
		if (rc < 0)
			return rc;
		if (rc == 0)
			v[kept++] = v[i];
	}
	return kept == n ? 0 : elements(out, v, kept);
}

const struct update_operator update_array_ops[] = {
	{ "$push", "arrays", "appends to an array; with $each, $position, $sort, $slice",
	  CREATES_ALWAYS, compile_push, apply_push },
	{ "$addToSet", "arrays", "appends what the array does not hold yet; with $each",
	  CREATES_ALWAYS, compile_add_to_set, apply_add_to_set },
	{ "$pop", "arrays", "removes the last (1) or first (-1) element", CREATES_NEVER,
	  compile_pop, apply_pop },
	{ "$pull", "arrays", "removes the elements that equal a value or meet a condition",
	  CREATES_NEVER, compile_pull, apply_pull },
	{ "$pullAll", "arrays", "removes the elements that equal one of the listed values",
	  CREATES_NEVER, compile_pull_all, apply_pull_all },
	{ NULL, NULL, NULL, CREATES_NEVER, NULL, NULL },
};
