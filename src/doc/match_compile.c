/* match_compile.c: from a query document to a program (match_tree.h).
 *
 *	query       field: condition | $operator: argument          -> AND of its members
 *	condition   literal | /regex/ | { $operator: argument, ... } -> tests of the field
 *
 * Operators are rows of match_table; this file knows none by name but those of DBRefs.
 */
#include "doc/match_compile.h"

#include "base/mem.h"
#include "base/suggest.h"
#include "doc/compare.h"

#include <stdarg.h>
#include <stdio.h>

/* ---- errors ---- */

enum { PLACE_PARTS = 12, COST_CLASSES = 4 };

void match_place_text(const struct spec_place *at, char out[MATCH_PLACE_MAX])
{
	out[0] = '\0';
	(void)spec_place_text(at, PLACE_PARTS, out, MATCH_PLACE_MAX);
}

int match_fail_in(struct match_compiler *c, const struct spec_place *at, int rc)
{
	char place[MATCH_PLACE_MAX];
	match_place_text(at, place);
	if (rc == ERR_NOMEM || !place[0])
		return rc;
	return err_in(c->e, rc, "%s", place);
}

int match_fail(struct match_compiler *c, const struct spec_place *at, int code, int number,
	       const char *fmt, ...)
{
	char text[ERR_MSG_MAX];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return match_fail_in(c, at, err_number(c->e, code, number, "%s", text));
}

int match_enter(struct match_compiler *c, const struct spec_place *at)
{
	if (++c->depth > MATCH_DEPTH_MAX)
		return match_fail(c, at, ERR_LIMIT, 15, "operators are nested more than %d deep",
				  MATCH_DEPTH_MAX);
	return 0;
}

void match_leave(struct match_compiler *c)
{
	c->depth--;
}

int match_own(struct match_compiler *c, void *p, void (*release)(void *p))
{
	struct match_owned *o = arena_try(&c->m->arena, sizeof(*o));
	if (!o) {
		release(p);
		return err_nomem(c->e);
	}
	*o = (struct match_owned){ c->m->owned, p, release };
	c->m->owned = o;
	return 0;
}

/* ---- fields ---- */

static uint64_t index_hash(uint32_t group, struct slice name)
{
	return value_hash(value_string(name), group);
}

static bool index_grow(struct match_compiler *c)
{
	struct match_build *b = c->b;
	uint32_t cap = b->index_cap ? b->index_cap * 2 : 16;
	uint32_t *index = arena_try_array(&c->m->arena, cap, sizeof(*index));
	if (!index)
		return false;
	memset(index, 0, cap * sizeof(*index));
	for (uint32_t f = 0; f < b->p->n_fields; f++) {
		const struct match_field *field = &b->p->field[f];
		uint64_t i = index_hash(field->group, field->name);
		while (index[i & (cap - 1)])
			i++;
		index[i & (cap - 1)] = f + 1;
	}
	b->index = index;
	b->index_cap = cap;
	return true;
}

static uint32_t group_add(struct match_compiler *c, uint32_t parent)
{
	struct match_program *p = c->b->p;
	struct match_group *g =
		arena_room(&c->m->arena, p->group, p->n_groups, &c->b->groups_cap, sizeof(*g));
	if (!g)
		return MATCH_NONE;
	p->group = g;
	g[p->n_groups] = (struct match_group){ .parent = parent };
	return p->n_groups++;
}

static uint32_t root_of(const struct match_build *b, struct slice name)
{
	for (uint32_t i = 0; b->roots && b->roots[i]; i++) {
		if (slice_is(name, b->roots[i]))
			return i;
	}
	return MATCH_NONE;
}

static uint32_t field_add(struct match_compiler *c, uint32_t group, struct path path,
			  uint32_t depth)
{
	struct match_program *p = c->b->p;
	struct match_field *f =
		arena_room(&c->m->arena, p->field, p->n_fields, &c->b->fields_cap, sizeof(*f));
	if (!f)
		return MATCH_NONE;
	p->field = f;
	struct slice name = path.part[depth - 1].name;
	f[p->n_fields] = (struct match_field){
		.head = match_head(name),
		.name = name,
		.path = path,
		.depth = depth,
		.group = group,
		.below = MATCH_NONE,
		.root = depth == 1 ? root_of(c->b, name) : MATCH_NONE,
	};
	p->group[group].n++;
	return p->n_fields++;
}

/* The field of that name in the group, made where it is not there yet; MATCH_NONE: out of memory. */
static uint32_t field_in(struct match_compiler *c, uint32_t group, struct path path, uint32_t depth)
{
	struct match_build *b = c->b;
	struct slice name = path.part[depth - 1].name;
	if (b->p->n_fields * 2 >= b->index_cap && !index_grow(c))
		return MATCH_NONE;
	uint64_t i = index_hash(group, name);
	for (; b->index[i & (b->index_cap - 1)]; i++) {
		uint32_t f = b->index[i & (b->index_cap - 1)] - 1;
		if (b->p->field[f].group == group && slice_eq(b->p->field[f].name, name))
			return f;
	}
	uint32_t f = field_add(c, group, path, depth);
	if (f != MATCH_NONE)
		b->index[i & (b->index_cap - 1)] = f + 1;
	return f;
}

static int field_of(struct match_compiler *c, struct slice text, const struct spec_place *at,
		    uint32_t *out)
{
	struct path path;
	int rc = path_split(text, &c->m->arena, &path, c->e);
	if (rc < 0)
		return match_fail_in(c, at, rc);
	if (c->b->p->n_fields > MATCH_FIELDS_MAX - path.n)
		return match_fail(c, at, ERR_LIMIT, 0, "more than %d different fields",
				  MATCH_FIELDS_MAX);
	uint32_t group = 0, f = MATCH_NONE;
	for (uint32_t depth = 1; depth <= path.n; depth++) {
		f = field_in(c, group, path, depth);
		if (f == MATCH_NONE)
			return err_nomem(c->e);
		if (depth == path.n)
			break;
		group = c->b->p->field[f].below;
		if (group == MATCH_NONE) {
			group = group_add(c, f);
			if (group == MATCH_NONE)
				return err_nomem(c->e);
			c->b->p->field[f].below = group;
		}
	}
	*out = f;
	return 0;
}

/* Hash tables of the groups, at most a quarter full. */
static int finish_groups(struct match_compiler *c)
{
	struct match_program *p = c->b->p;
	for (uint32_t i = 0; i < p->n_groups; i++) {
		uint32_t bits = 2;
		while ((UINT64_C(1) << bits) < (uint64_t)p->group[i].n * 4)
			bits++;
		size_t bytes = sizeof(uint32_t) << bits;
		p->group[i].shift = 64 - bits;
		p->group[i].table = arena_try(&c->m->arena, bytes);
		if (!p->group[i].table)
			return err_nomem(c->e);
		memset(p->group[i].table, 0, bytes);
	}
	for (uint32_t f = 0; f < p->n_fields; f++) {
		struct match_group *g = &p->group[p->field[f].group];
		uint64_t mask = (UINT64_C(1) << (64 - g->shift)) - 1;
		uint64_t at = match_field_hash(p->field[f].head, p->field[f].name.len) >> g->shift;
		while (g->table[at])
			at = (at + 1) & mask;
		g->table[at] = f + 1;
	}
	return 0;
}

/* ---- nodes ---- */

struct match_node *match_nodes_add(struct match_compiler *c, struct match_nodes *list)
{
	struct match_node *v = arena_room(&c->m->arena, list->v, list->n, &list->cap, sizeof(*v));
	if (!v)
		return NULL;
	list->v = v;
	memset(&v[list->n], 0, sizeof(*v));
	return &v[list->n++];
}

struct match_node *match_test_add(struct match_compiler *c, struct match_nodes *list,
				  uint32_t field, enum match_op op)
{
	struct match_node *n = match_nodes_add(c, list);
	if (!n)
		return NULL;
	n->kind = NODE_TEST;
	n->op = (uint8_t)op;
	n->field = field;
	n->traverse = !c->b->whole && op != OP_SIZE && op != OP_ELEM_DOC && op != OP_ELEM_VALUE;
	return n;
}

/* 0: a comparison ... 3: code of its own. */
static unsigned cost(const struct match_node *n)
{
	switch ((enum match_kind)n->kind) {
	case NODE_TRUE:
	case NODE_SAMPLE: return 0;
	case NODE_TEST:
		if (n->op == OP_REGEX || n->op == OP_ELEM_DOC || n->op == OP_ELEM_VALUE)
			return 2;
		return n->op == OP_IN;
	case NODE_AND:
	case NODE_OR: return n->n ? MAX(1, cost(&n->child[n->n - 1])) : 0;
	case NODE_EXPR:
	case NODE_SCHEMA: return 3;
	}
	return 0;
}

/* Cheap ones first, otherwise in the spec's order. */
static int order_by_cost(struct match_compiler *c, struct match_nodes *list)
{
	struct match_node *v = arena_try_array(&c->m->arena, list->n, sizeof(*v));
	if (!v)
		return err_nomem(c->e);
	uint32_t n = 0;
	for (unsigned k = 0; k < COST_CLASSES; k++) {
		for (uint32_t i = 0; i < list->n; i++) {
			if (cost(&list->v[i]) == k)
				v[n++] = list->v[i];
		}
	}
	ASSERT(n == list->n);
	list->v = v;
	return 0;
}

int match_join(struct match_compiler *c, enum match_kind kind, struct match_nodes *list,
	       struct match_node *out)
{
	ASSERT(kind == NODE_AND || kind == NODE_OR);
	if (list->n == 1) {
		*out = list->v[0];
		return 0;
	}
	memset(out, 0, sizeof(*out));
	if (list->n == 0) {
		out->kind = NODE_TRUE;
		out->negate = kind == NODE_OR;
		return 0;
	}
	int rc = order_by_cost(c, list);
	if (rc < 0)
		return rc;
	out->kind = (uint8_t)kind;
	out->child = list->v;
	out->n = list->n;
	return 0;
}

/* ---- queries ---- */

static bool is_dbref_name(struct slice key)
{
	return slice_is(key, "$ref") || slice_is(key, "$id") || slice_is(key, "$db");
}

static bool is_dbref(struct slice doc, bool incomplete)
{
	struct value ref = bson_get_str(doc, "$ref"), id = bson_get_str(doc, "$id"),
		     db = bson_get_str(doc, "$db");
	if (incomplete)
		return ref.type || id.type || db.type;
	return ref.type == BSON_STRING && id.type && (!db.type || db.type == BSON_STRING);
}

bool match_is_operators(struct value v, bool incomplete_dbref)
{
	if (v.type != BSON_DOCUMENT)
		return false;
	struct bson_iter it;
	bson_iter_init(&it, value_slice(v));
	return bson_next(&it) && it.key.len && it.key.p[0] == '$' &&
	       !is_dbref(value_slice(v), incomplete_dbref);
}

const struct match_operator *match_find_operator(struct slice name)
{
	for (size_t i = 0; i < match_table_len; i++) {
		if (slice_is(name, match_table[i].name))
			return &match_table[i];
	}
	return NULL;
}

/* An operator that does not exist, or not here. */
static int unknown_operator(struct match_compiler *c, const struct spec_place *at,
			    struct slice name, enum match_where where)
{
	const struct match_operator *row = match_find_operator(name);
	int shown = (int)MIN(name.len, 64);
	if (row && where == MATCH_TOP)
		return match_fail(c, at, ERR_INVALID, 2,
				  "unknown top level operator: %s; it belongs to a field: "
				  "{ field: { %s: ... } }",
				  row->name, row->name);
	if (row)
		return match_fail(c, at, ERR_INVALID, 2,
				  "unknown operator: %s; it does not belong to a field but "
				  "beside the fields: { %s: ... }",
				  row->name, row->name);
	struct suggestion s = SUGGESTION_INIT;
	for (size_t i = 0; i < match_table_len; i++) {
		if (where == MATCH_TOP ? match_table[i].top != NULL : match_table[i].field != NULL)
			suggest_add(&s, name, match_table[i].name);
	}
	return match_fail(c, at, ERR_INVALID, 2, "unknown %soperator: " SLICE_FMT "%s%s%s",
			  where == MATCH_TOP ? "top level " : "", shown, (const char *)name.p,
			  s.name ? "; did you mean " : "", s.name ? s.name : "", s.name ? "?" : "");
}

int match_compile_predicates(struct match_compiler *c, uint32_t field, struct slice doc,
			     const struct spec_place *at, struct match_nodes *out)
{
	struct bson_iter it;
	bson_iter_init(&it, doc);
	while (bson_next(&it)) {
		struct spec_place here = { .up = at, .name = it.key };
		const struct match_operator *row = match_find_operator(it.key);
		if (!row || !row->field)
			return unknown_operator(c, at, it.key, MATCH_FIELD);
		struct match_predicate p = {
			.field = field, .arg = it.value, .siblings = doc, .at = &here
		};
		int rc = row->field(c, row, &p, out);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int match_compile_condition(struct match_compiler *c, uint32_t field, struct value spec,
			    const struct spec_place *at, struct match_nodes *out)
{
	if (match_is_operators(spec, false))
		return match_compile_predicates(c, field, value_slice(spec), at, out);
	struct match_predicate p = { .field = field, .arg = spec, .at = at };
	const struct match_operator *row =
		match_find_operator(slice_str(spec.type == BSON_REGEX ? "$regex" : "$eq"));
	return row->field(c, row, &p, out);
}

static int compile_member(struct match_compiler *c, const struct bson_iter *it,
			  const struct spec_place *at, struct match_nodes *out)
{
	struct spec_place here = { .up = at, .name = it->key };
	if (it->key.len && it->key.p[0] == '$' && !is_dbref_name(it->key)) {
		const struct match_operator *row = match_find_operator(it->key);
		if (!row || !row->top)
			return unknown_operator(c, at, it->key, MATCH_TOP);
		return row->top(c, row, it->value, &here, out);
	}
	uint32_t field;
	int rc = field_of(c, it->key, &here, &field);
	return rc < 0 ? rc : match_compile_condition(c, field, it->value, &here, out);
}

int match_compile_query(struct match_compiler *c, struct slice doc, const struct spec_place *at,
			struct match_node *out)
{
	struct match_nodes list = { 0 };
	struct bson_iter it;
	int rc = match_enter(c, at);
	bson_iter_init(&it, doc);
	while (rc == 0 && bson_next(&it))
		rc = compile_member(c, &it, at, &list);
	match_leave(c);
	return rc < 0 ? rc : match_join(c, NODE_AND, &list, out);
}

/* ---- programs ---- */

static int build_init(struct match_compiler *c, struct match_build *b)
{
	c->b = b;
	b->p->virtual_roots = b->roots != NULL;
	return group_add(c, MATCH_NONE) == MATCH_NONE ? err_nomem(c->e) : 0;
}

static const char *const value_root[] = { "", NULL };

static int compile_value(struct match_compiler *c, struct value spec, const struct spec_place *at,
			 struct match_node *out)
{
	struct match_nodes list = { 0 };
	uint32_t field;
	int rc = match_enter(c, at);
	if (rc == 0)
		rc = field_of(c, slice_str(value_root[0]), at, &field);
	if (rc == 0)
		rc = match_compile_condition(c, field, spec, at, &list);
	match_leave(c);
	return rc < 0 ? rc : match_join(c, NODE_AND, &list, out);
}

int match_compile_inner(struct match_compiler *c, struct slice doc, bool of_values,
			const struct spec_place *at, const struct match_program **out)
{
	struct match_program *p = arena_try(&c->m->arena, sizeof(*p));
	if (!p)
		return err_nomem(c->e);
	memset(p, 0, sizeof(*p));
	struct match_build *outer = c->b;
	struct match_build b = {
		.p = p,
		.roots = of_values ? value_root : NULL,
		.whole = of_values,
		.inner = true,
	};
	int rc = build_init(c, &b);
	if (rc == 0 && of_values)
		rc = compile_value(c, value_doc(doc), at, &p->top);
	else if (rc == 0)
		rc = match_compile_query(c, doc, at, &p->top);
	if (rc == 0)
		rc = finish_groups(c);
	c->b = outer;
	*out = p;
	return rc;
}

/* ---- the door ---- */

static int copy_roots(struct match *m, const char *const *roots)
{
	size_t n = 0;
	while (roots[n])
		n++;
	const char **copy = arena_try_array(&m->arena, n + 1, sizeof(*copy));
	if (!copy)
		return ERR_NOMEM;
	for (size_t i = 0; i < n; i++) {
		copy[i] = arena_strdup(&m->arena, slice_str(roots[i]));
		if (!copy[i])
			return ERR_NOMEM;
	}
	copy[n] = NULL;
	m->roots = copy;
	return 0;
}

static void note_roots_used(struct match *m)
{
	for (uint32_t f = 0; f < m->program.n_fields; f++) {
		const struct match_field *field = &m->program.field[f];
		if (field->group == 0 && field->root != MATCH_NONE)
			m->roots_used |= UINT64_C(1) << MIN(field->root, 63);
	}
}

/* spec is a query document, or with of_value a condition on one value. */
static int compile_into(struct match *m, struct value spec, bool of_value, const char *const *roots,
			struct err *e)
{
	const uint8_t *copy = NULL;
	bool has_bytes = value_rank(spec.type) >= 15 && spec.type != BSON_BOOL &&
			 spec.type != BSON_DATE && spec.type != BSON_TIMESTAMP &&
			 spec.type != BSON_MAXKEY;
	if (has_bytes && !(copy = arena_copy(&m->arena, spec.p, spec.len)))
		return err_nomem(e);
	if (has_bytes)
		spec.p = copy;
	if (roots && copy_roots(m, roots) < 0)
		return err_nomem(e);
	struct match_build b = { .p = &m->program, .roots = m->roots, .inner = of_value };
	struct match_compiler c = { .m = m, .e = e };
	int rc = build_init(&c, &b);
	if (rc == 0 && of_value)
		rc = compile_value(&c, spec, NULL, &m->program.top);
	else if (rc == 0)
		rc = match_compile_query(&c, value_slice(spec), NULL, &m->program.top);
	if (rc == 0)
		rc = finish_groups(&c);
	if (rc == 0)
		note_roots_used(m);
	return rc;
}

static int compile(struct value spec, bool of_value, const char *const *roots, struct match **out,
		   struct err *e)
{
	struct match *m = mem_try(sizeof(*m));
	if (!m)
		return err_nomem(e);
	int rc = compile_into(m, spec, of_value, roots, e);
	if (rc < 0) {
		match_free(m);
		return rc;
	}
	*out = m;
	return 0;
}

int match_compile(struct slice spec, const struct match_options *o, struct match **out,
		  struct err *e)
{
	return compile(value_doc(spec), false, o ? o->roots : NULL, out, e);
}

int match_value_compile(struct value spec, struct match **out, struct err *e)
{
	return compile(spec, true, value_root, out, e);
}

void match_free(struct match *m)
{
	if (!m)
		return;
	for (struct match_owned *o = m->owned; o; o = o->next)
		o->release(o->p);
	arena_done(&m->arena);
	mem_free(m);
}

bool match_is_all(const struct match *m)
{
	return m->program.top.kind == NODE_TRUE && !m->program.top.negate;
}

uint64_t match_roots_used(const struct match *m)
{
	return m->roots_used;
}
