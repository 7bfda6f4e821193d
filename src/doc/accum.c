/* accum.c: accumulators: one table row each (accum_spec.c), and a handful of kinds of state behind them.
 *
 *	KIND_SUM      exact sum and count              $sum $avg $count
 *	KIND_ONE      one value                        $min $max $first $last
 *	KIND_LIST     values in order                  $push $firstN $lastN $concatArrays
 *	KIND_SET      distinct values                  $addToSet $setUnion
 *	KIND_RANKED   the n best by value or sort key  $minN $maxN $top $topN $bottom $bottomN
 *	KIND_OBJECT   one object, merged               $mergeObjects
 *	KIND_MOMENTS  count, mean, squared distances   $stdDevPop $stdDevSamp
 *	KIND_NUMBERS  all numbers                      $median $percentile
 *
 * Encoded state:  version 1 | id of the operator (u8) | count u64 | seen u8 | by kind: a sum; two doubles; doubles; or a BSON
 * document { v: [values] }, where ranked entries are key and value in turn.
 */
#include "doc/accum.h"

#include "base/mem.h"
#include "doc/accum_spec.h"
#include "doc/accum_state.h"
#include "doc/moments.h"
#include "doc/sum.h"

#include <math.h>

struct accum {
	const struct accum_spec *spec;
	struct meter meter;
	uint64_t count;
	bool seen; /* $first, $last, ...: there is a value, perhaps missing */
	union {
		struct sum sum;
		struct value one;
		struct list list;
		struct set_state set;
		struct ranked ranked;
		struct moments moments;
		struct {
			double *d;
			size_t n, cap;
		} numbers;
	};
};

/* ---- life ---- */

static void init_state(struct accum *a)
{
	const struct accum_spec *s = a->spec;
	a->count = 0;
	a->seen = false;
	switch (s->op->kind) {
	case KIND_SUM: sum_init(&a->sum); break;
	case KIND_ONE:
	case KIND_OBJECT: a->one = VALUE_MISSING; break;
	case KIND_LIST: a->list = (struct list){ 0 }; break;
	case KIND_SET: a->set = (struct set_state){ 0 }; break;
	case KIND_RANKED:
		a->ranked = (struct ranked){ .keep = s->n,
					     .order = s->order.n ? &s->order : NULL,
					     .has_key = s->order.n > 0,
					     .descending = s->op->id == ACCUM_MAX_N,
					     .from_end = s->op->id == ACCUM_BOTTOM ||
							 s->op->id == ACCUM_BOTTOM_N };
		break;
	case KIND_MOMENTS: a->moments = (struct moments){ 0 }; break;
	case KIND_NUMBERS:
		a->numbers.d = NULL;
		a->numbers.n = a->numbers.cap = 0;
		break;
	}
}

static void free_state(struct accum *a)
{
	struct meter *m = &a->meter;
	switch (a->spec->op->kind) {
	case KIND_SUM:
	case KIND_MOMENTS: break;
	case KIND_ONE:
	case KIND_OBJECT: own_free(m, &a->one); break;
	case KIND_LIST: list_done(m, &a->list); break;
	case KIND_SET: set_state_done(m, &a->set); break;
	case KIND_RANKED: ranked_done(m, &a->ranked); break;
	case KIND_NUMBERS:
		mem_free(a->numbers.d);
		meter_sub(m, a->numbers.cap * sizeof(double));
		break;
	}
}

int accum_new(const struct accum_spec *s, struct accum **out, struct err *e)
{
	struct accum *a = mem_try(sizeof(*a));
	if (!a)
		return err_nomem(e);
	a->spec = s;
	a->meter = (struct meter){ .op = s->op->name, .max_bytes = s->memory_max_bytes };
	init_state(a);
	*out = a;
	return 0;
}

void accum_free(struct accum *a)
{
	if (!a)
		return;
	free_state(a);
	mem_free(a);
}

void accum_reset(struct accum *a)
{
	free_state(a);
	ASSERT(a->meter.bytes == 0);
	init_state(a);
}

size_t accum_bytes(const struct accum *a)
{
	return sizeof(*a) + a->meter.bytes;
}

/* ---- adding ---- */

static int add_number(struct accum *a, double d, struct err *e)
{
	if (a->numbers.n == a->numbers.cap) {
		size_t more = a->numbers.cap ? a->numbers.cap : 16;
		int rc = meter_add(&a->meter, more * sizeof(d), e);
		if (rc < 0)
			return rc;
		double *p = mem_retry(a->numbers.d, (a->numbers.cap + more) * sizeof(d));
		if (!p) {
			meter_sub(&a->meter, more * sizeof(d));
			return err_nomem(e);
		}
		a->numbers.d = p;
		a->numbers.cap += more;
	}
	a->numbers.d[a->numbers.n++] = d;
	return 0;
}

static int add_one(struct accum *a, struct value v, struct err *e)
{
	enum accum_id id = a->spec->op->id;
	bool take = id == ACCUM_LAST || (id == ACCUM_FIRST && !a->seen);
	if (id == ACCUM_MIN || id == ACCUM_MAX) {
		if (value_nullish(v))
			return 0;
		int c = a->seen ? value_compare(v, a->one) : -1;
		take = !a->seen || (id == ACCUM_MIN ? c < 0 : c > 0);
	}
	if (!take)
		return 0;
	int rc = own_replace(&a->meter, &a->one, v, e);
	if (rc == 0)
		a->seen = true;
	return rc;
}

/* $lastN: twice n are let gather, then the first ones go. */
static int add_last(struct accum *a, struct value v, struct err *e)
{
	struct list *l = &a->list;
	size_t keep = a->spec->n;
	if (l->n == l->cap && l->n >= 2 * keep) {
		size_t drop = l->n - keep;
		for (size_t i = 0; i < drop; i++)
			own_free(&a->meter, &l->v[i]);
		memmove(l->v, l->v + drop, keep * sizeof(*l->v));
		l->n = keep;
	}
	return list_add(&a->meter, l, v, e);
}

static int add_elements(struct accum *a, struct value v, struct err *e)
{
	struct bson_iter it;
	bool set = a->spec->op->kind == KIND_SET;
	if (v.type == BSON_MISSING)
		return 0;
	if (v.type != BSON_ARRAY)
		return err_number(e, ERR_TYPE, 10065, "%s takes arrays, not %s", a->spec->op->name,
				  value_type_name(v));
	bson_iter_init(&it, value_slice(v));
	while (bson_next(&it)) {
		int rc = set ? set_state_add(&a->meter, &a->set, it.value, e)
			     : list_add(&a->meter, &a->list, it.value, e);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int add_to_list(struct accum *a, struct value v, struct err *e)
{
	switch (a->spec->op->id) {
	case ACCUM_PUSH: return v.type == BSON_MISSING ? 0 : list_add(&a->meter, &a->list, v, e);
	case ACCUM_CONCAT_ARRAYS: return add_elements(a, v, e);
	case ACCUM_FIRST_N:
		if (a->list.n >= a->spec->n)
			return 0;
		return list_add(&a->meter, &a->list, v.type == BSON_MISSING ? VALUE_NULL : v, e);
	default: return add_last(a, v.type == BSON_MISSING ? VALUE_NULL : v, e);
	}
}

static int add_object(struct accum *a, struct eval *ev, struct value v, struct err *e)
{
	struct expr_env env = { .ev = ev };
	struct fields f = { 0 };
	struct value merged;
	if (value_nullish(v))
		return 0;
	if (v.type != BSON_DOCUMENT)
		return err_number(e, ERR_TYPE, 40400, "$mergeObjects takes objects, not %s",
				  value_type_name(v));
	int rc = a->one.type == BSON_DOCUMENT ? fields_of_doc(&env, value_slice(a->one), &f, e) : 0;
	if (rc == 0)
		rc = fields_of_doc(&env, value_slice(v), &f, e);
	if (rc == 0)
		rc = fields_unique(&env, &f, e);
	if (rc == 0)
		rc = build_doc(&env, f.f, f.n, &merged, e);
	return rc < 0 ? rc : own_replace(&a->meter, &a->one, merged, e);
}

static int add_ranked(struct accum *a, struct eval *ev, struct value root, struct value v,
		      struct err *e)
{
	const struct sort_order *o = a->ranked.order;
	struct expr_env env = { .ev = ev };
	struct value keys[SORT_KEYS_MAX], key = VALUE_MISSING;
	if (!o)
		return value_nullish(v) ? 0 : ranked_add(&a->meter, &a->ranked, v, v, e);
	for (uint32_t i = 0; i < o->n; i++)
		keys[i] = sort_key_value(o, i, root);
	int rc = build_array(&env, keys, o->n, &key, e);
	if (rc < 0)
		return rc;
	return ranked_add(&a->meter, &a->ranked, key, v.type == BSON_MISSING ? VALUE_NULL : v, e);
}

static int add_value(struct accum *a, struct eval *ev, struct value root, struct value v,
		     struct err *e)
{
	switch (a->spec->op->kind) {
	case KIND_SUM:
		if (value_is_number(v)) {
			sum_add(&a->sum, v);
			a->count++;
		}
		return 0;
	case KIND_ONE: return add_one(a, v, e);
	case KIND_LIST: return add_to_list(a, v, e);
	case KIND_SET:
		if (a->spec->op->id == ACCUM_SET_UNION)
			return add_elements(a, v, e);
		return v.type == BSON_MISSING ? 0 : set_state_add(&a->meter, &a->set, v, e);
	case KIND_RANKED: return add_ranked(a, ev, root, v, e);
	case KIND_OBJECT: return add_object(a, ev, v, e);
	case KIND_MOMENTS:
		if (value_is_number(v))
			moments_add(&a->moments, value_to_double(v));
		return 0;
	case KIND_NUMBERS: return value_is_number(v) ? add_number(a, value_to_double(v), e) : 0;
	}
	return 0;
}

int accum_add_input(struct accum *a, struct eval *ev, const struct expr_input *in, struct err *e)
{
	struct value v;
	if (!a->spec->operand) { /* $count */
		sum_add(&a->sum, value_int32(1));
		a->count++;
		return 0;
	}
	int rc = expr_eval_input(a->spec->operand, ev, in, &v, e);
	return rc < 0 ? rc : add_value(a, ev, value_doc(in->root), v, e);
}

int accum_add_doc(struct accum *a, struct eval *ev, struct slice doc, struct err *e)
{
	struct expr_input in = { .root = doc };
	return accum_add_input(a, ev, &in, e);
}

/* ---- merging ---- */

static int merge_list(struct accum *a, const struct value *v, size_t n, struct err *e)
{
	for (size_t i = 0; i < n; i++) {
		int rc;
		if (a->spec->op->kind == KIND_SET)
			rc = set_state_add(&a->meter, &a->set, v[i], e);
		else if (a->spec->op->id == ACCUM_LAST_N)
			rc = add_last(a, v[i], e);
		else if (a->spec->op->id == ACCUM_FIRST_N && a->list.n >= a->spec->n)
			return 0;
		else
			rc = list_add(&a->meter, &a->list, v[i], e);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int merge_object(struct accum *a, struct value v, struct err *e)
{
	struct eval ev;
	eval_init(&ev);
	int rc = add_object(a, &ev, v, e);
	eval_done(&ev);
	return rc;
}

int accum_merge(struct accum *a, const struct accum *part, struct err *e)
{
	int rc = 0;
	ASSERT(a->spec == part->spec);
	ASSERT(a != part);
	switch (a->spec->op->kind) {
	case KIND_SUM: sum_merge(&a->sum, &part->sum); break;
	case KIND_ONE:
		if (part->seen)
			rc = add_one(a, part->one, e);
		break;
	case KIND_LIST: rc = merge_list(a, part->list.v, part->list.n, e); break;
	case KIND_SET: rc = merge_list(a, part->set.member.v, part->set.member.n, e); break;
	case KIND_RANKED:
		for (size_t i = 0; rc == 0 && i < part->ranked.n; i++)
			rc = ranked_add(&a->meter, &a->ranked, part->ranked.v[2 * i],
					part->ranked.v[2 * i + 1], e);
		break;
	case KIND_OBJECT:
		if (part->one.type == BSON_DOCUMENT)
			rc = merge_object(a, part->one, e);
		break;
	case KIND_MOMENTS: moments_merge(&a->moments, &part->moments); break;
	case KIND_NUMBERS:
		for (size_t i = 0; rc == 0 && i < part->numbers.n; i++)
			rc = add_number(a, part->numbers.d[i], e);
		break;
	}
	if (rc == 0)
		a->count += part->count;
	return rc;
}

/* ---- results ---- */

static int finish_list(const struct accum *a, struct expr_env *env, struct value *out,
		       struct err *e)
{
	size_t n = a->list.n, from = 0;
	if (a->spec->op->id == ACCUM_LAST_N && n > a->spec->n)
		from = n - a->spec->n;
	return build_array(env, from ? a->list.v + from : a->list.v, n - from, out, e);
}

/* The state stays as it is: a copy of the entries is sorted. */
static int finish_ranked(const struct accum *a, struct expr_env *env, struct value *out,
			 struct err *e)
{
	struct ranked r = a->ranked;
	struct meter m = { .op = a->meter.op, .max_bytes = SIZE_MAX };
	size_t bytes = r.n * 2 * sizeof(*r.v);
	bool single = a->spec->op->id == ACCUM_TOP || a->spec->op->id == ACCUM_BOTTOM;
	r.v = env_alloc(env, bytes + 1);
	struct value *result = env_alloc(env, bytes + 1);
	if (!r.v || !result)
		return env_nomem(env, e);
	if (r.n)
		memcpy(r.v, a->ranked.v, bytes);
	r.keep = r.n;
	int rc = ranked_settle(&m, &r, e);
	if (rc < 0)
		return rc;
	size_t n = MIN(r.n, a->spec->n), from = r.from_end ? r.n - n : 0;
	for (size_t i = 0; i < n; i++)
		result[i] = r.v[2 * (from + i) + 1];
	if (single)
		return n ? value_copy(&env->ev->arena, result[0], out) : (*out = VALUE_NULL, 0);
	return build_array(env, result, n, out, e);
}

static int finish_numbers(const struct accum *a, struct expr_env *env, struct value *out,
			  struct err *e)
{
	const struct accum_spec *s = a->spec;
	double *d = env_alloc(env, a->numbers.n * sizeof(*d) + 1);
	struct value *v = env_alloc(env, (s->n_p + 1) * sizeof(*v));
	if (!d || !v)
		return env_nomem(env, e);
	if (a->numbers.n)
		memcpy(d, a->numbers.d, a->numbers.n * sizeof(*d));
	quantile_sort(d, a->numbers.n);
	if (s->op->id == ACCUM_MEDIAN) {
		*out = quantile_at(d, a->numbers.n, 0.5, s->method);
		return 0;
	}
	for (size_t i = 0; i < s->n_p; i++)
		v[i] = quantile_at(d, a->numbers.n, s->p[i], s->method);
	return build_array(env, v, s->n_p, out, e);
}

int accum_finish(const struct accum *a, struct eval *ev, struct value *out, struct err *e)
{
	struct expr_env env = { .ev = ev };
	switch (a->spec->op->kind) {
	case KIND_SUM:
		*out = a->spec->op->id == ACCUM_AVG ? sum_average(&a->sum, (int64_t)a->count)
						    : sum_value(&a->sum);
		return 0;
	case KIND_ONE:
		if (!a->seen) {
			*out = VALUE_NULL;
			return 0;
		}
		return value_copy(&ev->arena, a->one, out) < 0 ? env_nomem(&env, e) : 0;
	case KIND_LIST: return finish_list(a, &env, out, e);
	case KIND_SET: return build_array(&env, a->set.member.v, a->set.member.n, out, e);
	case KIND_RANKED: return finish_ranked(a, &env, out, e);
	case KIND_OBJECT:
		if (a->one.type != BSON_DOCUMENT) {
			*out = value_doc(BSON_EMPTY);
			return 0;
		}
		return value_copy(&ev->arena, a->one, out) < 0 ? env_nomem(&env, e) : 0;
	case KIND_MOMENTS:
		*out = moments_std_dev(&a->moments, a->spec->op->id == ACCUM_STD_DEV_SAMP);
		return 0;
	case KIND_NUMBERS: return finish_numbers(a, &env, out, e);
	}
	return 0;
}

/* ---- bytes ---- */

enum { STATE_VERSION = 1, STATE_HEADER = 11 };

static int encode_values(const struct value *v, size_t n, struct buf *out, struct err *e)
{
	struct bson_writer w;
	bson_writer_init(&w, out);
	bson_begin_array(&w, SLICE_LIT("v"));
	for (size_t i = 0; i < n; i++)
		bson_put(&w, SLICE_NONE, v[i].type == BSON_MISSING ? VALUE_NULL : v[i]);
	bson_end(&w);
	return bson_finish(&w, e);
}

int accum_encode(const struct accum *a, struct buf *out, struct err *e)
{
	int rc = 0;
	uint64_t count = a->spec->op->kind == KIND_MOMENTS ? (uint64_t)a->moments.n : a->count;
	buf_add_byte(out, STATE_VERSION);
	buf_add_byte(out, (uint8_t)a->spec->op->id);
	buf_add(out, &count, 8);
	buf_add_byte(out, a->seen ? (a->one.type == BSON_MISSING ? 2 : 1) : 0);
	switch (a->spec->op->kind) {
	case KIND_SUM: sum_encode(&a->sum, out); break;
	case KIND_ONE:
	case KIND_OBJECT: rc = encode_values(&a->one, a->one.type != BSON_MISSING, out, e); break;
	case KIND_LIST: rc = encode_values(a->list.v, a->list.n, out, e); break;
	case KIND_SET: rc = encode_values(a->set.member.v, a->set.member.n, out, e); break;
	case KIND_RANKED: rc = encode_values(a->ranked.v, 2 * a->ranked.n, out, e); break;
	case KIND_MOMENTS:
		buf_add(out, &a->moments.mean, 8);
		buf_add(out, &a->moments.m2, 8);
		break;
	case KIND_NUMBERS: buf_add(out, a->numbers.d, a->numbers.n * sizeof(double)); break;
	}
	return rc < 0 ? rc : buf_check(out, e);
}

static int damaged(const struct accum_spec *s, struct err *e)
{
	return err_set(e, ERR_CORRUPT, "the stored state of %s is damaged", s->op->name);
}

/* One value of { v: [...] }; ranked entries come in twos. */
static int decode_one(struct accum *a, struct value v, struct value *key, size_t i, struct err *e)
{
	bool is_key = i % 2 == 0;
	switch (a->spec->op->kind) {
	case KIND_LIST:
	case KIND_SET: return merge_list(a, &v, 1, e);
	case KIND_RANKED:
		if (is_key && a->ranked.has_key && v.type != BSON_ARRAY)
			return damaged(a->spec, e);
		if (!is_key)
			return ranked_add(&a->meter, &a->ranked, *key, v, e);
		*key = v;
		return 0;
	case KIND_OBJECT:
		if (v.type != BSON_DOCUMENT || i > 0)
			return damaged(a->spec, e);
		return own_replace(&a->meter, &a->one, v, e);
	default: return i > 0 ? damaged(a->spec, e) : own_replace(&a->meter, &a->one, v, e);
	}
}

static int decode_values(struct accum *a, struct slice in, struct err *e)
{
	struct value key = VALUE_NULL;
	struct bson_iter it;
	size_t i = 0;
	if (bson_validate(in, NULL) < 0)
		return damaged(a->spec, e);
	struct value list = bson_get_str(in, "v");
	if (list.type != BSON_ARRAY)
		return damaged(a->spec, e);
	bson_iter_init(&it, value_slice(list));
	for (; bson_next(&it); i++) {
		int rc = decode_one(a, it.value, &key, i, e);
		if (rc < 0)
			return rc;
	}
	if (a->spec->op->kind == KIND_RANKED && i % 2)
		return damaged(a->spec, e);
	return 0;
}

static int decode_state(struct accum *a, struct slice in, struct err *e)
{
	switch (a->spec->op->kind) {
	case KIND_SUM: return sum_decode(&a->sum, &in) && in.len == 0 ? 0 : damaged(a->spec, e);
	case KIND_ONE:
	case KIND_LIST:
	case KIND_SET:
	case KIND_RANKED:
	case KIND_OBJECT: return decode_values(a, in, e);
	case KIND_MOMENTS:
		if (in.len != 16)
			return damaged(a->spec, e);
		memcpy(&a->moments.mean, in.p, 8);
		memcpy(&a->moments.m2, in.p + 8, 8);
		a->moments.n = (int64_t)a->count;
		a->count = 0;
		return a->moments.n < 0 ? damaged(a->spec, e) : 0;
	case KIND_NUMBERS:
		if (in.len % 8)
			return damaged(a->spec, e);
		for (size_t i = 0; i < in.len; i += 8) {
			double d;
			memcpy(&d, in.p + i, 8);
			int rc = add_number(a, d, e);
			if (rc < 0)
				return rc;
		}
		return 0;
	}
	return 0;
}

int accum_decode(const struct accum_spec *s, struct slice bytes, struct accum **out, struct err *e)
{
	struct accum *a = NULL;
	if (bytes.len < 1)
		return damaged(s, e);
	if (bytes.p[0] != STATE_VERSION)
		return err_set(e, ERR_VERSION, "the stored state of %s has version %u", s->op->name,
			       bytes.p[0]);
	if (bytes.len < STATE_HEADER || bytes.p[1] != s->op->id || bytes.p[10] > 2)
		return damaged(s, e);
	int rc = accum_new(s, &a, e);
	if (rc < 0)
		return rc;
	a->count = get_le64(bytes.p + 2);
	a->seen = bytes.p[10] != 0;
	rc = decode_state(a, slice_of(bytes.p + STATE_HEADER, bytes.len - STATE_HEADER), e);
	bool value_missing =
		s->op->kind == KIND_ONE && (bytes.p[10] == 1) != (a->one.type != BSON_MISSING);
	if (rc == 0 && (value_missing || (a->seen && s->op->kind != KIND_ONE)))
		rc = damaged(s, e);
	if (rc < 0) {
		accum_free(a);
		return rc;
	}
	*out = a;
	return 0;
}
