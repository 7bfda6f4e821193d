/* expr_object.c: objects: merging, and fields whose names a path could not say. */
#include "doc/expr_node.h"

#define GROUP "object"

static int op_merge_objects(const struct node *x, struct expr_env *env, const struct value *v,
			    struct value *out, struct err *e)
{
	struct fields f = { 0 };
	for (uint32_t i = 0; i < x->n; i++) {
		if (value_nullish(v[i]))
			continue;
		if (v[i].type != BSON_DOCUMENT)
			return err_number(e, ERR_TYPE, 40400, "$mergeObjects takes objects, not %s",
					  value_type_name(v[i]));
		int rc = fields_of_doc(env, value_slice(v[i]), &f, e);
		if (rc < 0)
			return rc;
	}
	int rc = fields_unique(env, &f, e);
	return rc < 0 ? rc : build_doc(env, f.f, f.n, out, e);
}

/* ---- $getField ---- */

static int op_get_field(const struct node *x, struct expr_env *env, struct value *out,
			struct err *e)
{
	struct value field, input;
	int rc = node_eval(x->arg[0], env, &field, e);
	if (rc == 0)
		rc = node_eval(x->arg[1], env, &input, e);
	if (rc < 0)
		return rc;
	if (field.type != BSON_STRING)
		return err_number(e, ERR_TYPE, 3041704, "$getField: 'field' is a string, not %s",
				  value_type_name(field));
	if (input.type == BSON_DOCUMENT)
		*out = bson_get(value_slice(input), value_slice(field));
	else
		*out = value_nullish(input) && input.type != BSON_MISSING ? VALUE_NULL
									  : VALUE_MISSING;
	return 0;
}

static const struct expr_param get_params[] = { { "field", 3041702 },
						{ "input", 3041703 },
						{ NULL, 0 } };

static bool is_named(struct value spec)
{
	struct bson_iter it;
	if (spec.type != BSON_DOCUMENT)
		return false;
	bson_iter_init(&it, value_slice(spec));
	return !bson_next(&it) || it.key.len == 0 || it.key.p[0] != '$';
}

static int compile_get_field(struct compile *c, const struct expr_op *op, struct value spec,
			     struct node **out, struct err *e)
{
	if (is_named(spec)) {
		struct value field = bson_get_str(value_slice(spec), "field");
		struct value input = bson_get_str(value_slice(spec), "input");
		if (input.type == BSON_MISSING && field.type == BSON_MISSING)
			return err_number(e, ERR_INVALID, 3041702, "$getField: 'field' is missing");
		return compile_named(c, op, spec, out, e);
	}
	struct node *x = compile_node(c, op_get_field, op, 2);
	if (!x)
		return err_nomem(e);
	int rc = compile_value(c, spec, &x->arg[0], e);
	if (rc == 0)
		rc = compile_value(c, value_string(SLICE_LIT("$$CURRENT")), &x->arg[1], e);
	return rc < 0 ? rc : compile_finish(c, x, out, e);
}

/* ---- $setField, $unsetField: arg[0] field, arg[1] input, arg[2] value ---- */

static int op_set_field(const struct node *x, struct expr_env *env, const struct value *v,
			struct value *out, struct err *e)
{
	struct fields f = { 0 };
	struct slice name = value_slice(v[0]);
	bool found = false;
	if (value_nullish(v[1])) {
		*out = VALUE_NULL;
		return 0;
	}
	if (v[1].type != BSON_DOCUMENT)
		return err_number(e, ERR_TYPE, 4161105, "%s: 'input' is an object, not %s",
				  x->op->name, value_type_name(v[1]));
	struct value set = x->n > 2 ? v[2] : VALUE_MISSING;
	int rc = fields_of_doc(env, value_slice(v[1]), &f, e);
	for (size_t i = 0; i < f.n; i++) {
		if (!slice_eq(f.f[i].key, name))
			continue;
		f.f[i].value = set;
		found = true;
	}
	if (rc == 0 && !found)
		rc = fields_add(env, &f, name, set, e);
	return rc < 0 ? rc : build_doc(env, f.f, f.n, out, e);
}

static const struct expr_param set_params[] = {
	{ "field", 4161102 }, { "input", 4161109 }, { "value", 4161103 }, { NULL, 0 }
};
static const struct expr_param unset_params[] = { { "field", 4161102 },
						  { "input", 4161109 },
						  { NULL, 0 } };

/* The field's name is known when the spec is compiled. */
static int compile_set_field(struct compile *c, const struct expr_op *op, struct value spec,
			     struct node **out, struct err *e)
{
	struct value field = spec.type == BSON_DOCUMENT ? bson_get_str(value_slice(spec), "field")
							: VALUE_MISSING;
	if (field.type == BSON_STRING && field.len && field.p[0] == '$')
		return err_number(
			e, ERR_INVALID, 4161108,
			"%s: 'field' is a name, not a path (use $literal for one with '$')",
			op->name);
	if (field.type != BSON_MISSING) {
		struct node *name;
		int rc = compile_at(c, "field", field, &name, e);
		if (rc < 0)
			return rc;
		if (name->fn)
			return err_number(e, ERR_INVALID, 4161106, "%s: 'field' is not a constant",
					  op->name);
		if (name->constant.type != BSON_STRING)
			return err_number(e, ERR_INVALID, 4161107,
					  "%s: 'field' is a string, not %s", op->name,
					  value_type_name(name->constant));
		if (memchr(name->constant.p, '\0', name->constant.len))
			return err_number(e, ERR_INVALID, 16411, "%s: 'field' contains a NUL",
					  op->name);
	}
	return compile_named(c, op, spec, out, e);
}

/* ---- sizes ---- */

static int op_bson_size(const struct node *x, struct expr_env *env, const struct value *v,
			struct value *out, struct err *e)
{
	(void)x;
	(void)env;
	if (v[0].type != BSON_DOCUMENT)
		return err_number(e, ERR_TYPE, 31393, "$bsonSize takes an object, not %s",
				  value_type_name(v[0]));
	*out = value_int(v[0].len);
	return 0;
}

static int op_binary_size(const struct node *x, struct expr_env *env, const struct value *v,
			  struct value *out, struct err *e)
{
	(void)x;
	(void)env;
	if (v[0].type != BSON_STRING && v[0].type != BSON_BINARY)
		return err_number(e, ERR_TYPE, 51276,
				  "$binarySize takes a string or binData, not %s",
				  value_type_name(v[0]));
	*out = value_int(v[0].len);
	return 0;
}

static const struct expr_op ops[] = {
	{ "$binarySize", "size", "the bytes of a string or binData", .apply = op_binary_size,
	  .min = 1, .max = 1, .flags = EXPR_NULL },
	{ "$bsonSize", "size", "the bytes of an object as BSON", .apply = op_bson_size, .min = 1,
	  .max = 1, .flags = EXPR_NULL },
	{ "$getField", GROUP, "a field by name, also one with dots or '$'", .fn = op_get_field,
	  .compile = compile_get_field, .params = get_params, .object_number = 3041700,
	  .unknown_number = 3041701 },
	{ "$mergeObjects", GROUP, "objects merged to one; later fields win",
	  .apply = op_merge_objects, .max = -1 },
	{ "$setField", GROUP, "an object with a field set; $$REMOVE removes it",
	  .apply = op_set_field, .compile = compile_set_field, .params = set_params,
	  .object_number = 4161100, .unknown_number = 4161101 },
	{ "$unsetField", GROUP, "an object without a field", .apply = op_set_field,
	  .compile = compile_set_field, .params = unset_params, .object_number = 4161100,
	  .unknown_number = 4161101 },
};

const struct expr_table expr_object_ops = { ops, ARRAY_LEN(ops) };
