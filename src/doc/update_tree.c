/* update_tree.c: from paths to the tree, and the walk that applies it.
 *
 * Building sorts the paths by their components; equal first components are then neighbours and become one child,
 * and so on downwards. A path that ends where another goes on is a conflict.
 *
 * The walk takes a node and the value beside it:
 *
 *	leaf                      the operator decides
 *	document                  children by name; those without a field may create it
 *	array                     children by index, $[] and $[id]; an element that several of them mean gets their
 *	                          merged subtrees
 *	missing                   documents are created, if an operator below creates
 *	anything else             an error, if an operator below creates; else nothing happens
 */
#include "doc/update_tree.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

#define PAD_MAX 1500000 /* nulls put between an array's end and a new element */

/* ---- paths ---- */

static bool index_parse(struct slice s, uint32_t *out)
{
	uint32_t v = 0;
	if (!s.len || s.len > 9 || (s.len > 1 && s.p[0] == '0'))
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		v = v * 10 + (uint32_t)(s.p[i] - '0');
	}
	*out = v;
	return true;
}

static int component_parse(struct update *u, struct slice path, struct slice part, bool first,
			   struct update_component *out, struct err *e)
{
	*out = (struct update_component){ .kind = PART_NAME, .name = part };
	if (!part.len)
		return err_number(e, ERR_INVALID, 56,
				  "the path '" SLICE_FMT "' contains an empty field name",
				  SLICE_ARG(path));
	if (part.p[0] != '$') {
		if (index_parse(part, &out->index))
			out->kind = PART_INDEX;
		return 0;
	}
	bool brackets = part.len >= 3 && part.p[1] == '[' && part.p[part.len - 1] == ']';
	if (part.len > 1 && !brackets)
		return err_number(e, ERR_INVALID, 52,
				  "'" SLICE_FMT "' in '" SLICE_FMT
				  "': a field name must not begin with '$'",
				  SLICE_ARG(part), SLICE_ARG(path));
	if (first)
		return err_number(e, ERR_INVALID, 2,
				  "'" SLICE_FMT "': a path cannot begin with a positional element",
				  SLICE_ARG(path));
	if (part.len == 1) {
		out->kind = PART_POSITIONAL;
		return 0;
	}
	if (part.len == 3) {
		out->kind = PART_ALL;
		return 0;
	}
	out->kind = PART_FILTER;
	return update_filter_find(u, slice_of(part.p + 2, part.len - 3), path, &out->index, e);
}

int update_path_parse(struct update *u, struct slice path, struct update_component **parts,
		      size_t *n, struct err *e)
{
	size_t count = 1, positional = 0;
	if (!path.len)
		return err_number(e, ERR_INVALID, 56, "an empty path");
	for (size_t i = 0; i < path.len; i++)
		count += path.p[i] == '.';
	if (count > BSON_DEPTH_MAX)
		return err_set(e, ERR_LIMIT, "a path has more than %d parts", BSON_DEPTH_MAX);
	struct update_component *c = arena_try_array(&u->arena, count, sizeof(*c));
	if (!c)
		return err_nomem(e);
	struct slice rest = path;
	for (size_t i = 0; i < count; i++) {
		const uint8_t *dot = rest.len ? memchr(rest.p, '.', rest.len) : NULL;
		struct slice part = { rest.p, dot ? (size_t)(dot - rest.p) : rest.len };
		int rc = component_parse(u, path, part, i == 0, &c[i], e);
		if (rc < 0)
			return rc;
		if (c[i].kind == PART_POSITIONAL) {
			if (positional++)
				return err_number(e, ERR_INVALID, 2,
						  "'" SLICE_FMT "' has more than one '$'",
						  SLICE_ARG(path));
			rc = update_positional_compile(u, c, i, e);
			if (rc < 0)
				return rc;
		}
		if (dot)
			rest = slice_of(dot + 1, rest.len - part.len - 1);
	}
	*parts = c;
	*n = count;
	return 0;
}

int update_add(struct update *u, const struct update_operator *row, struct slice path,
	       struct value operand, struct update_leaf **out, struct err *e)
{
	struct update_component *parts;
	size_t n;
	int rc = update_path_parse(u, path, &parts, &n, e);
	if (rc < 0)
		return rc;
	struct update_leaf *grown =
		arena_room(&u->arena, u->leaves, u->n_leaves, &u->cap_leaves, sizeof(*grown));
	if (!grown)
		return err_nomem(e);
	u->leaves = grown;
	struct update_leaf *leaf = &u->leaves[u->n_leaves++];
	*leaf = (struct update_leaf){
		.parts = parts,
		.n = n,
		.op = { .row = row, .path = path, .operand = operand },
	};
	*out = leaf;
	return 0;
}

/* ---- building ---- */

static int component_compare(const struct update_component *a, const struct update_component *b)
{
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	switch (a->kind) {
	case PART_INDEX:
	case PART_FILTER: return a->index < b->index ? -1 : a->index > b->index;
	case PART_NAME: return slice_cmp(a->name, b->name);
	case PART_ALL:
	case PART_POSITIONAL: break;
	}
	return 0;
}

static int leaf_compare(const void *x, const void *y)
{
	const struct update_leaf *a = x, *b = y;
	for (size_t i = 0; i < a->n && i < b->n; i++) {
		int c = component_compare(&a->parts[i], &b->parts[i]);
		if (c)
			return c;
	}
	return a->n < b->n ? -1 : a->n > b->n;
}

static int conflict(struct err *e, struct slice path, struct slice at)
{
	return err_number(e, ERR_INVALID, 40,
			  "updating '" SLICE_FMT "' would conflict with the update of '" SLICE_FMT
			  "'",
			  SLICE_ARG(path), SLICE_ARG(at));
}

static bool is_elements(const struct update_component *c)
{
	return c->kind == PART_ALL || c->kind == PART_FILTER;
}

/* The node for the leaves lo ... hi - 1, which agree in their first `depth` components. */
static struct update_node *build(struct update *u, size_t lo, size_t hi, size_t depth,
				 struct err *e)
{
	struct update_node *node = arena_try(&u->arena, sizeof(*node));
	if (!node) {
		(void)err_nomem(e);
		return NULL;
	}
	*node = (struct update_node){ 0 };
	if (depth)
		node->at = u->leaves[lo].parts[depth - 1];
	if (u->leaves[lo].n == depth) {
		if (hi - lo > 1) {
			(void)conflict(e, u->leaves[lo + 1].op.path, u->leaves[lo].op.path);
			return NULL;
		}
		node->op = &u->leaves[lo].op;
		return node;
	}
	for (size_t i = lo; i < hi; i++)
		if (i == lo || component_compare(&u->leaves[i - 1].parts[depth],
						 &u->leaves[i].parts[depth]) != 0)
			node->n++;
	/* $[] and $[id] go last: either all children are such, or none, as the array they need is no document. */
	const struct update_leaf *first = &u->leaves[lo], *last = &u->leaves[hi - 1];
	if (is_elements(&first->parts[depth]) != is_elements(&last->parts[depth])) {
		(void)conflict(e, last->op.path, first->op.path);
		return NULL;
	}
	node->child = arena_try_array(&u->arena, node->n, sizeof(struct update_node *));
	if (!node->child) {
		(void)err_nomem(e);
		return NULL;
	}
	size_t n = 0;
	for (size_t i = lo, j; i < hi; i = j) {
		for (j = i + 1; j < hi && component_compare(&u->leaves[i].parts[depth],
							    &u->leaves[j].parts[depth]) == 0;
		     j++)
			;
		node->child[n] = build(u, i, j, depth + 1, e);
		if (!node->child[n++])
			return NULL;
	}
	return node;
}

int update_tree_build(struct update *u, struct err *e)
{
	if (!u->n_leaves)
		return 0;
	qsort(u->leaves, u->n_leaves, sizeof(u->leaves[0]), leaf_compare);
	struct err own = ERR_INIT;
	struct err *to = e ? e : &own;
	u->root = build(u, 0, u->n_leaves, 0, to);
	return u->root ? 0 : to->code;
}

/* ---- applying ---- */

struct place {
	struct update_run *run;
	struct bson_writer *w;
	struct err *e;
};

static bool creates(const struct place *p, const struct update_node *node)
{
	if (!node->op) {
		for (size_t i = 0; i < node->n; i++)
			if (creates(p, node->child[i]))
				return true;
		return false;
	}
	switch (node->op->row->creates) {
	case CREATES_NEVER: return false;
	case CREATES_ALWAYS: return true;
	case CREATES_ON_INSERT: return p->run->insert;
	case CREATES_IF_RENAMED: {
		const struct update_rename *r = node->op->data;
		return p->run->renamed[r->number].type != BSON_MISSING;
	}
	}
	return false;
}

static const struct update_op *first_op(const struct update_node *node)
{
	while (!node->op)
		node = node->child[0];
	return node->op;
}

/* The name under which a document knows the child; none for $[] and $[id]. */
static struct slice child_name(const struct place *p, const struct update_node *child)
{
	return child->at.kind == PART_POSITIONAL ? p->run->positional_name : child->at.name;
}

static int walk(const struct place *p, const struct update_node *node, struct slice key,
		struct value old, bool in_array);

static int apply_op(const struct place *p, const struct update_op *op, struct slice key,
		    struct value old, bool in_array)
{
	struct update_out out = { .kind = UPDATE_KEEP };
	int rc = op->row->apply(op, p->run, old, &out, p->e);
	if (rc < 0)
		return err_in(p->e, rc, "%s." SLICE_FMT, op->row->name, SLICE_ARG(op->path));
	switch (out.kind) {
	case UPDATE_KEEP: bson_put(p->w, key, old); break;
	case UPDATE_VALUE: bson_put(p->w, key, out.value); break;
	case UPDATE_ELEMENTS:
		bson_begin_array(p->w, key);
		for (size_t i = 0; i < out.count; i++)
			bson_put(p->w, SLICE_NONE, out.elements[i]);
		bson_end(p->w);
		break;
	case UPDATE_REMOVE:
		if (in_array && old.type != BSON_MISSING)
			bson_put_null(p->w, SLICE_NONE);
		break;
	}
	return 0;
}

static int not_an_array(const struct place *p, const struct update_node *child, uint8_t type)
{
	const struct update_op *op = first_op(child);
	if (type == BSON_MISSING)
		return err_number(p->e, ERR_INVALID, 2,
				  "%s." SLICE_FMT
				  ": the array must exist to apply the update to its elements",
				  op->row->name, SLICE_ARG(op->path));
	return err_number(p->e, ERR_INVALID, 2,
			  "%s." SLICE_FMT ": cannot update the elements of a value of type %s",
			  op->row->name, SLICE_ARG(op->path), bson_type_name(type));
}

/* A field that is missing and that nothing below would create: fine, unless elements are asked for. */
static int skip_missing(const struct place *p, const struct update_node *node)
{
	for (size_t i = 0; i < node->n; i++) {
		const struct update_node *c = node->child[i];
		int rc =
			is_elements(&c->at) ? not_an_array(p, c, BSON_MISSING) : skip_missing(p, c);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* A field that is missing, with whatever has to be around it. */
static int create(const struct place *p, const struct update_node *node, struct slice key)
{
	if (!creates(p, node))
		return skip_missing(p, node);
	if (node->op)
		return apply_op(p, node->op, key, VALUE_MISSING, false);
	bson_begin_doc(p->w, key);
	for (size_t i = 0; i < node->n; i++) {
		const struct update_node *c = node->child[i];
		int rc = is_elements(&c->at) ? not_an_array(p, c, BSON_MISSING)
					     : create(p, c, child_name(p, c));
		if (rc < 0)
			return rc;
	}
	bson_end(p->w);
	return 0;
}

/* The number of the child with this name, or node->n. */
static size_t child_find(const struct place *p, const struct update_node *node, struct slice key)
{
	struct update_component c = { .kind = PART_NAME, .name = key };
	if (node->n <= 8) {
		for (size_t i = 0; i < node->n; i++)
			if (slice_eq(child_name(p, node->child[i]), key))
				return i;
		return node->n;
	}
	if (index_parse(key, &c.index))
		c.kind = PART_INDEX;
	size_t lo = 0, hi = node->n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int cmp = component_compare(&node->child[mid]->at, &c);
		if (cmp == 0)
			return mid;
		if (cmp < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	const struct update_node *last = node->child[node->n - 1];
	bool positional = last->at.kind == PART_POSITIONAL && slice_eq(child_name(p, last), key);
	return positional ? node->n - 1 : node->n;
}

static int walk_doc(const struct place *p, const struct update_node *node, struct slice doc)
{
	for (size_t i = 0; i < node->n; i++) {
		const struct update_node *c = node->child[i];
		if (is_elements(&c->at))
			return not_an_array(p, c, BSON_DOCUMENT);
	}
	bool *seen = arena_try(&p->run->ev->arena, node->n);
	if (!seen)
		return eval_nomem(p->run->ev, p->e);
	memset(seen, 0, node->n);
	struct bson_iter it;
	bson_iter_init(&it, doc);
	while (bson_next(&it)) {
		size_t i = child_find(p, node, it.key);
		if (i == node->n || seen[i]) {
			bson_put_raw(p->w, it.raw);
			continue;
		}
		seen[i] = true;
		int rc = walk(p, node->child[i], it.key, it.value, false);
		if (rc < 0)
			return rc;
	}
	for (size_t i = 0; i < node->n; i++) {
		if (seen[i])
			continue;
		int rc = create(p, node->child[i], child_name(p, node->child[i]));
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* Two subtrees that mean the same element become one, in the eval's arena. */
static int merge(const struct place *p, const struct update_node *a, const struct update_node *b,
		 const struct update_node **out)
{
	if (a->op || b->op)
		return conflict(p->e, first_op(b)->path, first_op(a)->path);
	struct arena *arena = &p->run->ev->arena;
	struct update_node *node = arena_try(arena, sizeof(*node));
	struct update_node **child = arena_try_array(arena, a->n + b->n, sizeof(*child));
	if (!node || !child)
		return eval_nomem(p->run->ev, p->e);
	*node = (struct update_node){ .at = a->at, .child = child };
	for (size_t i = 0, j = 0; i < a->n || j < b->n;) {
		int cmp = i == a->n   ? 1
			  : j == b->n ? -1
				      : component_compare(&a->child[i]->at, &b->child[j]->at);
		if (cmp < 0) {
			child[node->n++] = a->child[i++];
		} else if (cmp > 0) {
			child[node->n++] = b->child[j++];
		} else {
			const struct update_node *both;
			int rc = merge(p, a->child[i++], b->child[j++], &both);
			if (rc < 0)
				return rc;
			child[node->n++] = (struct update_node *)(uintptr_t)both;
		}
	}
	*out = node;
	return 0;
}

/* 1 when the child means element i. */
static int means_element(const struct place *p, const struct update_node *c, uint32_t i,
			 struct value element)
{
	switch (c->at.kind) {
	case PART_INDEX: return c->at.index == i;
	case PART_POSITIONAL: return p->run->positional == i;
	case PART_ALL: return 1;
	case PART_FILTER:
		return match_roots(p->run->u->filters[c->at.index].match, p->run->ev, &element,
				   p->e);
	case PART_NAME: break;
	}
	return 0;
}

/* Where a walk through an array stands among the node's children: indices | names | $[], $[id], $. */
struct cursor {
	size_t index;   /* the next child that is an index */
	size_t special; /* the first child behind the names */
};

/* The subtree for element i: *out stays NULL when none means it. */
static int element_node(const struct place *p, const struct update_node *node, uint32_t i,
			struct value element, struct cursor *at, const struct update_node **out)
{
	while (at->index < node->n && node->child[at->index]->at.kind == PART_INDEX &&
	       node->child[at->index]->at.index < i)
		at->index++;
	if (at->index < at->special && means_element(p, node->child[at->index], i, element) == 1)
		*out = node->child[at->index];
	for (size_t k = at->special; k < node->n; k++) {
		const struct update_node *c = node->child[k];
		int rc = means_element(p, c, i, element);
		if (rc < 0)
			return rc;
		if (rc == 0)
			continue;
		if (!*out)
			*out = c;
		else if ((rc = merge(p, *out, c, out)) < 0)
			return rc;
	}
	return 0;
}

static int append_elements(const struct place *p, const struct update_node *node, uint32_t len)
{
	for (size_t k = 0; k < node->n; k++) {
		const struct update_node *c = node->child[k];
		if (c->at.kind == PART_NAME && creates(p, c)) {
			const struct update_op *op = first_op(c);
			return err_number(p->e, ERR_INVALID, 28,
					  "%s." SLICE_FMT ": cannot create field '" SLICE_FMT
					  "' in an array",
					  op->row->name, SLICE_ARG(op->path),
					  SLICE_ARG(c->at.name));
		}
		uint32_t index = c->at.kind == PART_POSITIONAL ? p->run->positional : c->at.index;
		if ((c->at.kind != PART_INDEX && c->at.kind != PART_POSITIONAL) || index < len ||
		    !creates(p, c))
			continue;
		if (index - len > PAD_MAX)
			return err_number(p->e, ERR_LIMIT, 2,
					  "element %u lies too far beyond the array's end",
					  (unsigned)index);
		for (; len < index; len++)
			bson_put_null(p->w, SLICE_NONE);
		int rc = create(p, c, SLICE_NONE);
		if (rc < 0)
			return rc;
		len++;
	}
	return 0;
}

static int walk_array(const struct place *p, const struct update_node *node, struct slice array)
{
	struct bson_iter it;
	uint32_t i = 0;
	struct cursor at = { .special = node->n };
	while (at.special > 0 && node->child[at.special - 1]->at.kind >= PART_POSITIONAL)
		at.special--;
	bson_iter_init(&it, array);
	for (; bson_next(&it); i++) {
		const struct update_node *c = NULL;
		int rc = element_node(p, node, i, it.value, &at, &c);
		if (rc == 0 && c)
			rc = walk(p, c, SLICE_NONE, it.value, true);
		else if (rc == 0)
			bson_put(p->w, SLICE_NONE, it.value);
		if (rc < 0)
			return rc;
	}
	return append_elements(p, node, i);
}

static int walk(const struct place *p, const struct update_node *node, struct slice key,
		struct value old, bool in_array)
{
	int rc;
	if (node->op)
		return apply_op(p, node->op, key, old, in_array);
	if (old.type == BSON_DOCUMENT) {
		bson_begin_doc(p->w, key);
		rc = walk_doc(p, node, value_slice(old));
		bson_end(p->w);
		return rc;
	}
	if (old.type == BSON_ARRAY) {
		bson_begin_array(p->w, key);
		rc = walk_array(p, node, value_slice(old));
		bson_end(p->w);
		return rc;
	}
	for (size_t i = 0; i < node->n; i++) {
		const struct update_node *c = node->child[i];
		if (is_elements(&c->at))
			return not_an_array(p, c, old.type);
		if (creates(p, c)) {
			const struct update_op *op = first_op(c);
			struct slice name = child_name(p, c);
			return err_number(p->e, ERR_INVALID, 28,
					  "%s." SLICE_FMT ": cannot create field '" SLICE_FMT
					  "' in a value of type %s",
					  op->row->name, SLICE_ARG(op->path), SLICE_ARG(name),
					  bson_type_name(old.type));
		}
	}
	bson_put(p->w, key, old);
	return 0;
}

int update_tree_apply(struct update_run *run, struct bson_writer *w, struct err *e)
{
	struct place p = { run, w, e };
	if (run->u->root)
		return walk_doc(&p, run->u->root, run->before);
	struct bson_iter it;
	bson_iter_init(&it, run->before);
	while (bson_next(&it))
		bson_put_raw(w, it.raw);
	return 0;
}
