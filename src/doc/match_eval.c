/* match_eval.c: a compiled filter against one document.
 *
 * A view is the document as the filter sees it: one value for each field of the program, found on demand.
 *
 *	walk ──▶ | _id | mag | place | time | ...      one per group; stops at what was asked for
 *	            ▲     ▲
 *	          kept   kept because the filter names it
 *
 * Paths and arrays. Down to the first array a path follows the tree of fields. From there on each
 * element that is a document is searched with the rest of the path, and a numeric part also selects
 * the element with that index; an array inside an array is entered by index only. An element that
 * is no document yields nothing; a document without the field yields "missing". At the end of
 * the path an array stands for its elements and then for itself, unless an index selected it.
 *
 * Every loop over elements counts its steps, so that hostile paths end in ERR_LIMIT.
 */
#include "doc/match_tree.h"

#include "doc/compare.h"
#include "doc/decimal.h"
#include "doc/expr.h"
#include "doc/regex.h"
#include "doc/schema.h"

#include <math.h>

enum { VIEW_FIELDS = 16, VIEW_GROUPS = 8 };

struct cx {
	struct eval *ev;
	struct err *e;
	const struct match *m;
	struct slice doc;          /* what the caller gave: a document */
	const struct value *roots; /* or the values of the virtual roots */
};

/* ---- the view ---- */

struct walk {
	const uint8_t *at, *last; /* elements not looked at yet */
	uint32_t array;           /* the field above where an array ended the tree, or MATCH_NONE */
	bool started;
};

struct view {
	const struct match_program *p;
	struct slice doc;
	const struct value *roots;
	struct value *field;
	struct walk *walk;
};

static inline uint32_t find_field(const struct match_program *p, const struct match_group *g,
				  const uint8_t *name, size_t len, const uint8_t *last)
{
	uint64_t head = 0;
	if (likely(last - name >= 8)) {
		head = get_le64(name);
		if (len < 8)
			head &= (UINT64_C(1) << (len * 8)) - 1;
	} else {
		memcpy(&head, name, len);
	}
	uint64_t mask = (UINT64_C(1) << (64 - g->shift)) - 1;
	for (uint64_t i = match_field_hash(head, len) >> g->shift;; i = (i + 1) & mask) {
		uint32_t f = g->table[i];
		if (f == 0)
			return MATCH_NONE;
		const struct match_field *field = &p->field[f - 1];
		if (field->head == head && field->name.len == len &&
		    (len <= 8 || memcmp(field->name.p + 8, name + 8, len - 8) == 0))
			return f - 1;
	}
}

/* Goes on through the group's document until `wanted` is found or the end is reached. The first of two fields with
 * one name wins. */
static void walk_to(struct view *w, struct walk *k, const struct match_group *g, uint32_t wanted)
{
	const uint8_t *at = k->at, *last = k->last;
	while (at < last) {
		uint8_t type = at[0];
		const uint8_t *name = at + 1;
		size_t len = bson_key_len(name, last);
		const uint8_t *value = name + len + 1;
		at = value + bson_value_size(type, value);
		uint32_t f = find_field(w->p, g, name, len, last);
		if (f == MATCH_NONE || w->field[f].type != BSON_MISSING)
			continue;
		w->field[f] = bson_value_at(type, value);
		if (f == wanted)
			break;
	}
	k->at = at;
}

static inline const struct value *view_get(struct view *w, uint32_t f, uint32_t *depth);

static void start_group(struct view *w, uint32_t group)
{
	const struct match_group *g = &w->p->group[group];
	struct walk *k = &w->walk[group];
	k->started = true;
	k->array = MATCH_NONE;
	k->at = k->last = NULL;
	if (g->parent == MATCH_NONE) {
		if (!w->p->virtual_roots) {
			k->at = w->doc.p + 4;
			k->last = w->doc.p + w->doc.len - 1;
			return;
		}
		for (uint32_t f = 0; f < w->p->n_fields; f++) {
			const struct match_field *field = &w->p->field[f];
			if (field->group == 0 && field->root != MATCH_NONE)
				w->field[f] = w->roots[field->root];
		}
		return;
	}
	uint32_t depth;
	const struct value *above = view_get(w, g->parent, &depth);
	if (above->type == BSON_DOCUMENT && depth == w->p->field[g->parent].depth) {
		k->at = above->p + 4;
		k->last = above->p + above->len - 1;
	} else if (above->type == BSON_ARRAY) {
		k->array = (uint32_t)(above - w->field);
	}
}

/* The value of a field, and how many parts of its path lead there: fewer than all when an array stands in the way. */
static inline const struct value *view_get(struct view *w, uint32_t f, uint32_t *depth)
{
	const struct match_field *field = &w->p->field[f];
	struct walk *k = &w->walk[field->group];
	if (!k->started)
		start_group(w, field->group);
	if (unlikely(k->array != MATCH_NONE)) {
		*depth = w->p->field[k->array].depth;
		return &w->field[k->array];
	}
	if (w->field[f].type == BSON_MISSING && k->at < k->last)
		walk_to(w, k, &w->p->group[field->group], f);
	*depth = field->depth;
	return &w->field[f];
}

/* ---- tests of one value ---- */

static int run(struct cx *cx, const struct match_program *p, struct slice doc,
	       const struct value *roots);

static int count_steps(struct cx *cx, uint64_t n)
{
	cx->ev->steps += n;
	if (likely(cx->ev->steps <= cx->ev->steps_max))
		return 0;
	return err_number(cx->e, ERR_LIMIT, 146, "matching one document takes more than %llu steps",
			  (unsigned long long)cx->ev->steps_max);
}

static inline bool relation_holds(uint8_t op, int c)
{
	switch ((enum match_op)op) {
	case OP_EQ: return c == 0;
	case OP_LT: return c < 0;
	case OP_LTE: return c <= 0;
	case OP_GT: return c > 0;
	case OP_GTE: return c >= 0;
	default: return false;
	}
}

static bool is_nan(struct value v)
{
	return (v.type == BSON_DOUBLE && isnan(v.f64)) ||
	       (v.type == BSON_DECIMAL128 && dec_is_nan(v.dec));
}

bool match_compare(const struct match_node *n, struct value v)
{
	const struct value *x = &n->operand;
	bool or_equal = n->op == OP_EQ || n->op == OP_LTE || n->op == OP_GTE;
	if (v.type == BSON_MISSING && x->type == BSON_NULL)
		return or_equal;
	if (value_rank(v.type) != n->rank) {
		if (x->type == BSON_MAXKEY)
			return n->op == OP_LT || n->op == OP_LTE;
		if (x->type == BSON_MINKEY)
			return n->op == OP_GT || n->op == OP_GTE;
		return false;
	}
	if (is_nan(*x) || is_nan(v))
		return or_equal && is_nan(*x) && is_nan(v);
	return relation_holds(n->op, value_compare(v, *x));
}

static inline bool is_int(uint8_t type)
{
	return type == BSON_INT32 || type == BSON_INT64;
}

/* Whole numbers that are doubles without rounding. */
static inline bool is_exact(int64_t i)
{
	return i >= -(INT64_C(1) << 53) && i <= INT64_C(1) << 53;
}

/* False where either is NaN: equal NaNs are match_compare's. */
static inline bool relation_of_doubles(uint8_t op, double a, double b)
{
	switch ((enum match_op)op) {
	case OP_EQ: return a == b;
	case OP_LT: return a < b;
	case OP_LTE: return a <= b;
	case OP_GT: return a > b;
	case OP_GTE: return a >= b;
	default: return false;
	}
}

static inline bool relation_of_ints(uint8_t op, int64_t a, int64_t b)
{
	return relation_holds(op, a < b ? -1 : a > b);
}

/* What filters ask most, inline: numbers and texts. */
static inline bool test_comparison(const struct match_node *n, const struct value *v)
{
	const struct value *x = &n->operand;
	if (v->type == BSON_STRING && x->type == BSON_STRING) {
		if (n->op == OP_EQ)
			return v->len == x->len && memcmp(v->p, x->p, v->len) == 0;
		return relation_holds(n->op, slice_cmp(value_slice(*v), value_slice(*x)));
	}
	if (is_int(v->type)) {
		if (is_int(x->type))
			return relation_of_ints(n->op, v->i64, x->i64);
		if (x->type == BSON_DOUBLE && is_exact(v->i64))
			return relation_of_doubles(n->op, (double)v->i64, x->f64);
	} else if (v->type == BSON_DOUBLE) {
		if (is_int(x->type) && is_exact(x->i64))
			return relation_of_doubles(n->op, v->f64, (double)x->i64);
		if (x->type == BSON_DOUBLE && !isnan(x->f64))
			return relation_of_doubles(n->op, v->f64, x->f64);
	} else if (v->type == x->type && (v->type == BSON_DATE || v->type == BSON_BOOL)) {
		return relation_of_ints(n->op, v->i64, x->i64);
	}
	return match_compare(n, *v);
}

/* A regular expression matches texts by its pattern and regular expressions by equality. */
static int test_regex(struct cx *cx, const struct match_regex *r, const struct value *v)
{
	if (v->type == BSON_STRING || v->type == BSON_SYMBOL)
		return regex_matches(r->code, cx->ev, value_slice(*v), cx->e);
	return v->type == BSON_REGEX && slice_eq(value_regex_pattern(*v), r->pattern) &&
	       slice_eq(value_regex_options(*v), r->options);
}

static bool in_values(const struct match_set *s, const struct value *v)
{
	if (v->type == BSON_MISSING || v->type == BSON_NULL)
		return s->has_null;
	if (s->slot) {
		for (uint64_t i = value_hash(*v, 0);; i++) {
			uint32_t at = s->slot[i & s->mask];
			if (at == 0)
				return false;
			if (value_equal(s->value[at - 1], *v))
				return true;
		}
	}
	uint32_t lo = 0, hi = s->n;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		int c = value_compare(s->value[mid], *v);
		if (c == 0)
			return true;
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return false;
}

static int test_in(struct cx *cx, const struct match_set *s, const struct value *v)
{
	if (in_values(s, v))
		return 1;
	for (uint32_t i = 0; i < s->n_regex; i++) {
		int rc = test_regex(cx, &s->regex[i], v);
		if (rc)
			return rc;
	}
	return 0;
}

static bool test_mod(const struct match_node *n, const struct value *v)
{
	int64_t x;
	switch (v->type) {
	case BSON_INT32:
	case BSON_INT64: x = v->i64; break;
	case BSON_DOUBLE:
		if (!(v->f64 >= -0x1p63 && v->f64 < 0x1p63))
			return false;
		x = (int64_t)v->f64;
		break;
	case BSON_DECIMAL128:
		if (!dec_to_int64(v->dec, &x))
			return false;
		break;
	default: return false;
	}
	int64_t r = n->mod.divisor == -1 ? 0 : x % n->mod.divisor;
	return r == n->mod.remainder;
}

static bool bits_hold(enum match_bits_op op, bool any_set, bool any_clear)
{
	switch (op) {
	case BITS_ALL_CLEAR: return !any_set;
	case BITS_ALL_SET: return !any_clear;
	case BITS_ANY_CLEAR: return any_clear;
	case BITS_ANY_SET: return any_set;
	}
	return false;
}

static bool test_binary_bits(const struct match_bits *b, struct slice data)
{
	bool any_set = false, any_clear = false;
	for (uint32_t i = 0; i < b->n; i++) {
		uint32_t byte = b->position[i] / 8;
		bool set = byte < data.len && (data.p[byte] >> (b->position[i] % 8) & 1);
		any_set |= set;
		any_clear |= !set;
	}
	return bits_hold(b->op, any_set, any_clear);
}

/* Numbers must be whole and fit int64; their sign goes on for ever. */
static bool test_bits(const struct match_bits *b, const struct value *v)
{
	int64_t x;
	if (v->type == BSON_BINARY)
		return test_binary_bits(b, value_slice(*v));
	if (!match_whole_number(*v, &x))
		return false;
	return bits_hold(b->op, ((uint64_t)x & b->mask) != 0, (~(uint64_t)x & b->mask) != 0);
}

static bool test_size(const struct match_node *n, const struct value *v)
{
	if (v->type != BSON_ARRAY)
		return false;
	uint64_t count = 0;
	struct bson_iter it;
	bson_iter_init(&it, value_slice(*v));
	while (count <= n->size && bson_next(&it))
		count++;
	return count == n->size;
}

/* Elements that are arrays count as documents whose keys are the indexes. */
static int test_elem_match(struct cx *cx, const struct match_node *n, const struct value *v)
{
	if (v->type != BSON_ARRAY)
		return 0;
	struct bson_iter it;
	bson_iter_init(&it, value_slice(*v));
	while (bson_next(&it)) {
		int rc = count_steps(cx, 1);
		if (rc == 0 && n->op == OP_ELEM_VALUE)
			rc = run(cx, n->program, SLICE_NONE, &it.value);
		else if (rc == 0 && (it.value.type == BSON_DOCUMENT || it.value.type == BSON_ARRAY))
			rc = run(cx, n->program, value_slice(it.value), NULL);
		if (rc)
			return rc;
	}
	return 0;
}

static int test(struct cx *cx, const struct match_node *n, const struct value *v)
{
	switch ((enum match_op)n->op) {
	case OP_EQ:
	case OP_LT:
	case OP_LTE:
	case OP_GT:
	case OP_GTE: return test_comparison(n, v);
	case OP_IN: return test_in(cx, n->set, v);
	case OP_EXISTS: return v->type != BSON_MISSING;
	case OP_TYPE: return v->type != BSON_MISSING && (n->types >> match_type_bit(v->type) & 1);
	case OP_REGEX: return test_regex(cx, n->regex, v);
	case OP_MOD: return test_mod(n, v);
	case OP_BITS: return test_bits(n->bits, v);
	case OP_SIZE: return test_size(n, v);
	case OP_ELEM_DOC:
	case OP_ELEM_VALUE: return test_elem_match(cx, n, v);
	}
	return 0;
}

/* ---- paths through arrays ---- */

/* What comparing with each element may cost beyond a step each: by the bytes that are looked at. */
static uint64_t comparison_steps(const struct match_node *n, const struct value *array)
{
	bool deep = n->op == OP_IN || (n->op <= OP_GTE && (n->operand.type == BSON_DOCUMENT ||
							   n->operand.type == BSON_ARRAY));
	return array->len / (deep ? 32 : 512);
}

/* At the end of the path: an array stands for its elements, then for itself. */
static int test_leaf(struct cx *cx, const struct match_node *n, const struct value *v)
{
	if (v->type != BSON_ARRAY || !n->traverse)
		return test(cx, n, v);
	struct bson_iter it;
	uint64_t steps = comparison_steps(n, v);
	int found = 0;
	bson_iter_init(&it, value_slice(*v));
	for (; found == 0 && bson_next(&it); steps++)
		found = test(cx, n, &it.value);
	int rc = count_steps(cx, steps);
	if (rc || found)
		return rc ? rc : found;
	return test(cx, n, v);
}

static int in_array(struct cx *cx, const struct match_node *n, struct path rest,
		    const struct value *array);

static struct path path_rest(struct path p)
{
	return (struct path){ p.part + 1, p.n - 1 };
}

static int in_doc(struct cx *cx, const struct match_node *n, struct path rest, struct slice doc)
{
	for (;;) {
		int rc = count_steps(cx, doc.len / 64);
		if (rc < 0)
			return rc;
		struct value v = bson_get(doc, rest.part[0].name);
		rest = path_rest(rest);
		if (rest.n == 0)
			return test_leaf(cx, n, &v);
		if (v.type == BSON_ARRAY)
			return in_array(cx, n, rest, &v);
		if (v.type != BSON_DOCUMENT)
			return test(cx, n, &VALUE_MISSING);
		doc = value_slice(v);
	}
}

static int in_element(struct cx *cx, const struct match_node *n, struct path rest, uint32_t index,
		      const struct value *v)
{
	if (v->type == BSON_DOCUMENT) {
		int rc = in_doc(cx, n, rest, value_slice(*v));
		if (rc)
			return rc;
	}
	if (rest.part[0].index != index)
		return 0;
	if (rest.n == 1)
		return test(cx, n, v);
	if (v->type == BSON_DOCUMENT)
		return in_doc(cx, n, path_rest(rest), value_slice(*v));
	if (v->type == BSON_ARRAY)
		return in_array(cx, n, path_rest(rest), v);
	return 0;
}

static int in_array(struct cx *cx, const struct match_node *n, struct path rest,
		    const struct value *array)
{
	struct bson_iter it;
	uint32_t index = 0;
	bson_iter_init(&it, value_slice(*array));
	for (; bson_next(&it); index++) {
		int rc = count_steps(cx, 1);
		if (rc == 0)
			rc = in_element(cx, n, rest, index, &it.value);
		if (rc)
			return rc;
	}
	return 0;
}

static inline int eval_test(struct cx *cx, struct view *w, const struct match_node *n)
{
	uint32_t depth;
	const struct value *v = view_get(w, n->field, &depth);
	const struct match_field *f = &w->p->field[n->field];
	if (likely(v->type != BSON_ARRAY)) {
		if (likely(n->op <= OP_GTE))
			return test_comparison(n, v);
		return test(cx, n, v);
	}
	if (depth == f->depth)
		return test_leaf(cx, n, v);
	struct path rest = { f->path.part + depth, f->depth - depth };
	return in_array(cx, n, rest, v);
}

/* ---- nodes ---- */

/* The state of struct eval's random numbers moves on by one (a Weyl sequence, mixed): [0, 1). */
static double next_random(struct eval *ev)
{
	ev->rand += UINT64_C(0x9e3779b97f4a7c15);
	if (ev->rand == 0)
		ev->rand = 1;
	uint64_t x = ev->rand;
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	x ^= x >> 31;
	return (double)(x >> 11) * 0x1p-53;
}

static int eval_expr(struct cx *cx, const struct match_node *n)
{
	struct value v;
	struct expr_input in = { .root = cx->doc, .roots = cx->roots };
	int rc = expr_eval_input(n->expr, cx->ev, &in, &v, cx->e);
	return rc < 0 ? rc : value_truth(v);
}

/* The document that virtual roots stand for, in the arena. */
static int join_roots(struct cx *cx, struct value *out)
{
	AUTO(buf) struct buf b = cx->ev->scratch; /* borrowed, to stay warm */
	struct bson_writer w;
	cx->ev->scratch = (struct buf)BUF_INIT;
	buf_reset(&b);
	bson_writer_init(&w, &b);
	for (uint32_t i = 0; cx->m->roots[i]; i++)
		bson_put(&w, slice_str(cx->m->roots[i]), cx->roots[i]);
	int rc = bson_finish(&w, cx->e);
	const uint8_t *copy = rc == 0 ? arena_copy(&cx->ev->arena, b.p, b.len) : NULL;
	*out = value_doc(slice_of(copy, b.len));
	buf_reset(&b);
	cx->ev->scratch = b;
	b = (struct buf)BUF_INIT;
	return rc == 0 && !copy ? err_nomem(cx->e) : rc;
}

static int eval_schema(struct cx *cx, const struct match_node *n)
{
	struct value v = value_doc(cx->doc);
	int rc = cx->roots ? join_roots(cx, &v) : 0;
	return rc < 0 ? rc : schema_check(n->schema, cx->ev, v, cx->e);
}

static int eval_node(struct cx *cx, struct view *w, const struct match_node *n)
{
	int rc = 0;
	switch ((enum match_kind)n->kind) {
	case NODE_AND:
		rc = 1;
		for (uint32_t i = 0; i < n->n && rc > 0; i++)
			rc = eval_node(cx, w, &n->child[i]);
		break;
	case NODE_OR:
		for (uint32_t i = 0; i < n->n && rc == 0; i++)
			rc = eval_node(cx, w, &n->child[i]);
		break;
	case NODE_TEST: rc = eval_test(cx, w, n); break;
	case NODE_TRUE: rc = 1; break;
	case NODE_SAMPLE: rc = next_random(cx->ev) < n->rate; break;
	case NODE_EXPR: rc = eval_expr(cx, n); break;
	case NODE_SCHEMA: rc = eval_schema(cx, n); break;
	}
	return rc < 0 ? rc : rc ^ (int)n->negate;
}

static int run_view(struct cx *cx, struct view *w)
{
	const struct match_program *p = w->p;
	for (uint32_t i = 0; i < p->n_fields; i++)
		w->field[i].type = BSON_MISSING;
	for (uint32_t i = 0; i < p->n_groups; i++)
		w->walk[i].started = false;
	return eval_node(cx, w, &p->top);
}

/* Filters on many fields keep their view in the arena. */
static int run_large(struct cx *cx, struct view *w)
{
	struct arena_mark mark = arena_mark(&cx->ev->arena);
	w->field = arena_try_array(&cx->ev->arena, w->p->n_fields, sizeof(*w->field));
	w->walk = arena_try_array(&cx->ev->arena, w->p->n_groups, sizeof(*w->walk));
	int rc = w->field && w->walk ? run_view(cx, w) : err_nomem(cx->e);
	arena_rewind(&cx->ev->arena, mark);
	return rc;
}

static int run(struct cx *cx, const struct match_program *p, struct slice doc,
	       const struct value *roots)
{
	struct view w = { .p = p, .doc = doc, .roots = roots };
	if (unlikely(p->n_fields > VIEW_FIELDS || p->n_groups > VIEW_GROUPS))
		return run_large(cx, &w);
	struct value fields[VIEW_FIELDS];
	struct walk walks[VIEW_GROUPS];
	w.field = fields;
	w.walk = walks;
	return run_view(cx, &w);
}

int match_doc(const struct match *m, struct eval *ev, struct slice doc, struct err *e)
{
	ASSERT(!m->program.virtual_roots);
	struct cx cx = { .ev = ev, .e = e, .m = m, .doc = doc };
	return run(&cx, &m->program, doc, NULL);
}

int match_roots(const struct match *m, struct eval *ev, const struct value *roots, struct err *e)
{
	ASSERT(m->program.virtual_roots);
	struct cx cx = { .ev = ev, .e = e, .m = m, .roots = roots };
	return run(&cx, &m->program, SLICE_NONE, roots);
}

int match_value(const struct match *m, struct eval *ev, struct value v, struct err *e)
{
	return match_roots(m, ev, &v, e);
}
