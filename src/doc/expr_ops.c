/* expr_ops.c: all operators: finding one by name, listing them, printing the compiled form. */
#include "doc/expr.h"

#include "base/suggest.h"
#include "doc/expr_node.h"
#include "doc/json.h"

static const struct expr_table *const tables[] = {
	&expr_arith_ops,       &expr_math_ops,  &expr_cond_ops,   &expr_array_ops,
	&expr_array_more_ops,  &expr_set_ops,   &expr_object_ops, &expr_string_ops,
	&expr_string_more_ops, &expr_regex_ops, &expr_date_ops,   &expr_date_more_ops,
	&expr_convert_ops,     &expr_accum_ops, &expr_misc_ops,   &expr_hash_ops,
	&expr_json_ops,
};

const struct expr_op *expr_op_find(struct slice name)
{
	for (size_t t = 0; t < ARRAY_LEN(tables); t++)
		for (size_t i = 0; i < tables[t]->n; i++)
			if (slice_is(name, tables[t]->op[i].name))
				return &tables[t]->op[i];
	return NULL;
}

const char *expr_op_suggest(struct slice name)
{
	struct suggestion s = SUGGESTION_INIT;
	for (size_t t = 0; t < ARRAY_LEN(tables); t++)
		for (size_t i = 0; i < tables[t]->n; i++)
			suggest_add(&s, name, tables[t]->op[i].name);
	return s.name;
}

int expr_operators(int (*each)(void *arg, const char *name, const char *group, const char *help),
		   void *arg)
{
	const char *last = "";
	for (;;) {
		const struct expr_op *next = NULL;
		for (size_t t = 0; t < ARRAY_LEN(tables); t++)
			for (size_t i = 0; i < tables[t]->n; i++) {
				const struct expr_op *op = &tables[t]->op[i];
				if (strcmp(op->name, last) > 0 &&
				    (!next || strcmp(op->name, next->name) < 0))
					next = op;
			}
		if (!next)
			return 0;
		int rc = each(arg, next->name, next->group, next->help);
		if (rc)
			return rc;
		last = next->name;
	}
}

/* ---- explaining: one line a node, indented by depth ---- */

static void explain_path(const struct node *x, struct buf *out)
{
	for (uint32_t i = 0; i < x->path_len; i++) {
		buf_add_byte(out, '.');
		buf_add_slice(out, x->path[i]);
	}
}

static void explain_node(const struct expr *owner, const struct node *x, unsigned depth,
			 struct buf *out)
{
	buf_add_fmt(out, "%*s", (int)(2 * depth), "");
	if (!x) {
		buf_add_str(out, "(not given)\n");
		return;
	}
	if (!x->fn) {
		buf_add_str(out, "constant ");
		if (x->constant.type == BSON_MISSING)
			buf_add_str(out, "missing");
		else
			json_from_value(x->constant, JSON_RELAXED, out);
		buf_add_byte(out, '\n');
		return;
	}
	if (x->op)
		buf_add_str(out, x->op->name);
	else if (x->n == 0 && x->path_len) {
		buf_add_str(out, "path ");
		explain_path(x, out);
	} else
		buf_add_str(out, x->n ? (x->path ? "object" : "array") : "variable");
	buf_add_byte(out, '\n');
	for (uint32_t i = 0; i < x->n; i++)
		explain_node(owner, x->arg[i], depth + 1, out);
}

void expr_explain(const struct expr *x, struct buf *out)
{
	explain_node(x, x->root, 0, out);
}
