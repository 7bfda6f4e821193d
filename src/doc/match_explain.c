/* match_explain.c: a compiled filter as text, one node a line, children indented; for --explain.
 *
 *	all of
 *	  type = "earthquake"
 *	  mag >= 4.5
 *	  not any of
 *	    place matches /CA$/
 */
#include "doc/match_tree.h"

#include "doc/expr.h"
#include "doc/json.h"

enum { SHOWN_BYTES = 60 };

static void indent(struct buf *out, unsigned depth)
{
	for (unsigned i = 0; i < depth; i++)
		buf_add_str(out, "  ");
}

/* Cut at a character's border. */
static void cut(struct buf *out, size_t start)
{
	if (out->len - start <= SHOWN_BYTES)
		return;
	size_t end = start + SHOWN_BYTES;
	while (end > start && (out->p[end] & 0xc0) == 0x80)
		end--;
	out->len = end;
	buf_add_str(out, "...");
}

static void add_value(struct buf *out, struct value v)
{
	size_t start = out->len;
	json_from_value(v, JSON_RELAXED, out);
	if (!out->failed)
		cut(out, start);
}

static void add_regex(struct buf *out, const struct match_regex *r)
{
	size_t start = out->len;
	buf_add_byte(out, '/');
	buf_add_slice(out, r->pattern);
	if (!out->failed)
		cut(out, start);
	buf_add_byte(out, '/');
	buf_add_slice(out, r->options);
}

static void add_set(struct buf *out, const struct match_set *s)
{
	uint32_t all = s->n + s->has_null + s->n_regex, shown = 0;
	buf_add_str(out, "in [");
	if (s->has_null)
		buf_add_str(out, shown++ ? ", null" : "null");
	for (uint32_t i = 0; i < s->n && shown < 3; i++, shown++) {
		buf_add_str(out, shown ? ", " : "");
		add_value(out, s->value[i]);
	}
	for (uint32_t i = 0; i < s->n_regex && shown < 3; i++, shown++) {
		buf_add_str(out, shown ? ", " : "");
		add_regex(out, &s->regex[i]);
	}
	if (shown < all)
		buf_add_fmt(out, ", ... %u values%s", all, s->slot ? ", hashed" : "");
	buf_add_byte(out, ']');
}

static void add_types(struct buf *out, uint32_t types)
{
	const char *before = "of type ";
	for (unsigned t = 1; t < 256; t++) {
		bool known = t <= BSON_DECIMAL128 || t == BSON_MAXKEY || t == BSON_MINKEY;
		if (!known || !(types >> match_type_bit((uint8_t)t) & 1))
			continue;
		buf_add_fmt(out, "%s%s", before, bson_type_name((uint8_t)t));
		before = " or ";
	}
}

static void add_bits(struct buf *out, const struct match_bits *b)
{
	static const char *const names[] = {
		[BITS_ALL_CLEAR] = "all clear",
		[BITS_ALL_SET] = "all set",
		[BITS_ANY_CLEAR] = "any clear",
		[BITS_ANY_SET] = "any set",
	};
	buf_add_fmt(out, "has of %u bits %s", b->n, names[b->op]);
}

static void add_path(struct buf *out, const struct match_field *f)
{
	for (uint32_t i = 0; i < f->depth; i++) {
		buf_add_str(out, i ? "." : "");
		buf_add_slice(out, f->path.part[i].name);
	}
	if (f->depth == 1 && f->name.len == 0)
		buf_add_str(out, "value");
}

static void add_node(struct buf *out, const struct match_program *p, const struct match_node *n,
		     unsigned depth);

static void add_test(struct buf *out, const struct match_program *p, const struct match_node *n,
		     unsigned depth)
{
	static const char *const relations[] = {
		[OP_EQ] = "= ", [OP_LT] = "< ", [OP_LTE] = "<= ", [OP_GT] = "> ", [OP_GTE] = ">= ",
	};
	add_path(out, &p->field[n->field]);
	buf_add_byte(out, ' ');
	switch ((enum match_op)n->op) {
	case OP_EQ:
	case OP_LT:
	case OP_LTE:
	case OP_GT:
	case OP_GTE:
		buf_add_str(out, relations[n->op]);
		add_value(out, n->operand);
		break;
	case OP_IN: add_set(out, n->set); break;
	case OP_EXISTS: buf_add_str(out, "exists"); break;
	case OP_TYPE: add_types(out, n->types); break;
	case OP_REGEX:
		buf_add_str(out, "matches ");
		add_regex(out, n->regex);
		break;
	case OP_MOD:
		buf_add_fmt(out, "mod %lld = %lld", (long long)n->mod.divisor,
			    (long long)n->mod.remainder);
		break;
	case OP_BITS: add_bits(out, n->bits); break;
	case OP_SIZE: buf_add_fmt(out, "has %llu elements", (unsigned long long)n->size); break;
	case OP_ELEM_DOC:
	case OP_ELEM_VALUE:
		buf_add_str(out, "has an element with\n");
		add_node(out, n->program, &n->program->top, depth + 1);
		return;
	}
	buf_add_byte(out, '\n');
}

static void add_children(struct buf *out, const struct match_program *p, const struct match_node *n,
			 unsigned depth)
{
	buf_add_str(out, n->kind == NODE_AND ? "all of\n" : "any of\n");
	for (uint32_t i = 0; i < n->n; i++)
		add_node(out, p, &n->child[i], depth + 1);
}

static void add_node(struct buf *out, const struct match_program *p, const struct match_node *n,
		     unsigned depth)
{
	indent(out, depth);
	if (n->kind == NODE_TRUE) {
		buf_add_str(out, n->negate ? "nothing\n" : "everything\n");
		return;
	}
	buf_add_str(out, n->negate ? "not " : "");
	switch ((enum match_kind)n->kind) {
	case NODE_AND:
	case NODE_OR: add_children(out, p, n, depth); break;
	case NODE_TEST: add_test(out, p, n, depth); break;
	case NODE_TRUE: break;
	case NODE_SAMPLE: buf_add_fmt(out, "a random share of %g\n", n->rate); break;
	case NODE_EXPR:
		buf_add_str(out, "expression ");
		expr_explain(n->expr, out);
		buf_add_byte(out, '\n');
		break;
	case NODE_SCHEMA: buf_add_str(out, "the document is valid by its JSON Schema\n"); break;
	}
}

void match_explain(const struct match *m, struct buf *out)
{
	add_node(out, &m->program, &m->program.top, 0);
}
