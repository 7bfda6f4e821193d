/* expr_json.c: Extended JSON inside expressions, and JSON text as values.
 *
 * $serializeEJSON must give objects such as { $numberInt: "5" } that are not taken for the values they stand for. So the
 * text is written with a letter in front of each key, read as plain JSON, and the letters are taken off.
 */
#include "doc/expr_node.h"

#include "doc/json.h"

#define GROUP "type"

/* Extended JSON text of v with 'k' in front of each key. */
static void marked_text(struct value v, enum json_mode mode, struct buf *text, struct buf *out)
{
	bool in_object[2 * BSON_DEPTH_MAX + 64] = { false };
	size_t depth = 0;
	bool key = false; /* the next string is one */
	json_from_value(v, mode, text);
	for (size_t i = 0; i < text->len; i++) {
		uint8_t c = text->p[i];
		buf_add_byte(out, c);
		if (c == '{' || c == '[') {
			if (++depth >= ARRAY_LEN(in_object)) {
				out->failed = true;
				return;
			}
			in_object[depth] = key = c == '{';
		} else if (c == '}' || c == ']') {
			depth--;
			key = false;
		} else if (c == ',')
			key = in_object[depth];
		else if (c == '"') {
			if (key)
				buf_add_byte(out, 'k');
			key = false;
			while (++i < text->len && text->p[i] != '"') {
				buf_add_byte(out, text->p[i]);
				if (text->p[i] == '\\')
					buf_add_byte(out, text->p[++i]);
			}
			buf_add_byte(out, '"');
		}
	}
}

static int unmark(struct expr_env *env, struct value v, struct value *out, struct err *e)
{
	struct bson_iter it;
	struct values list = { 0 };
	struct fields f = { 0 };
	if (v.type != BSON_DOCUMENT && v.type != BSON_ARRAY)
		return value_copy(&env->ev->arena, v, out) < 0 ? env_nomem(env, e) : 0;
	bson_iter_init(&it, value_slice(v));
	while (bson_next(&it)) {
		struct value inner, key;
		int rc = unmark(env, it.value, &inner, e);
		if (rc == 0 && v.type == BSON_ARRAY)
			rc = values_add(env, &list, inner, e);
		else if (rc == 0) {
			rc = build_string(env, slice_of(it.key.p + 1, it.key.len - 1), &key, e);
			if (rc == 0)
				rc = fields_add(env, &f, value_slice(key), inner, e);
		}
		if (rc < 0)
			return rc;
	}
	return v.type == BSON_ARRAY ? build_array(env, list.v, list.n, out, e)
				    : build_doc(env, f.f, f.n, out, e);
}

static int serialize(struct expr_env *env, struct value v, enum json_mode mode, struct value *out,
		     struct err *e)
{
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(buf) struct buf marked = BUF_INIT;
	AUTO(buf) struct buf bson = BUF_INIT;
	struct value read;
	marked_text(v, mode, &text, &marked);
	int rc = buf_check(&marked, e);
	if (rc == 0)
		rc = json_to_value(buf_slice(&marked), &bson, &read, NULL, e);
	return rc < 0 ? rc : unmark(env, read, out, e);
}

static int read_text(struct expr_env *env, struct slice text, struct value *out, struct err *e)
{
	AUTO(buf) struct buf bson = BUF_INIT;
	struct value read;
	int rc = json_to_value(text, &bson, &read, NULL, e);
	if (rc < 0)
		return rc;
	return value_copy(&env->ev->arena, read, out) < 0 ? env_nomem(env, e) : 0;
}

/* Wrappers in v become the values they stand for: its canonical text, read again. */
static int deserialize(struct expr_env *env, struct value v, struct value *out, struct err *e)
{
	AUTO(buf) struct buf text = BUF_INIT;
	json_from_value(v, JSON_CANONICAL, &text);
	int rc = buf_check(&text, e);
	return rc < 0 ? rc : read_text(env, buf_slice(&text), out, e);
}

/* ---- operators: arg[0] input, arg[1] onError, arg[2] relaxed ---- */

enum { SERIALIZE, DESERIALIZE };

static int op_ejson(const struct node *x, struct expr_env *env, struct value *out, struct err *e)
{
	struct value input, relaxed = VALUE_MISSING;
	struct err cause = ERR_INIT;
	int rc = node_eval(x->arg[0], env, &input, e);
	if (rc == 0 && x->n > 2)
		rc = node_eval_opt(x->arg[2], env, &relaxed, e);
	if (rc == 0)
		rc = env_step(env,
			      input.type == BSON_DOCUMENT || input.type == BSON_ARRAY
				      ? input.len / 8
				      : 1,
			      e);
	if (rc < 0)
		return rc;
	if (input.type == BSON_MISSING) {
		*out = VALUE_NULL;
		return 0;
	}
	if (x->op->arg == SERIALIZE)
		rc = serialize(env, input, value_truth(relaxed) ? JSON_RELAXED : JSON_CANONICAL,
			       out, &cause);
	else
		rc = deserialize(env, input, out, &cause);
	if (rc == 0)
		return 0;
	if (rc == ERR_NOMEM || rc == ERR_LIMIT)
		return err_set(e, rc, "%s: %s", x->op->name, cause.msg);
	if (x->arg[1])
		return node_eval(x->arg[1], env, out, e);
	return err_number(e, rc, 241, "%s: %s", x->op->name, cause.msg);
}

static const struct expr_param serialize_params[] = {
	{ "input", 40414 }, { "onError", 0 }, { "relaxed", 0 }, { NULL, 0 }
};
static const struct expr_param deserialize_params[] = { { "input", 40414 },
							{ "onError", 0 },
							{ NULL, 0 } };

/* $toArray, $toObject: the value itself, or JSON text of one. */
static int op_to_container(const struct node *x, struct expr_env *env, const struct value *v,
			   struct value *out, struct err *e)
{
	struct err cause = ERR_INIT;
	struct value read = v[0];
	int rc = 0;
	if (v[0].type == BSON_STRING)
		rc = read_text(env, value_slice(v[0]), &read, &cause);
	if (rc == ERR_NOMEM || rc == ERR_LIMIT)
		return err_set(e, rc, "%s: %s", x->op->name, cause.msg);
	if (rc < 0 || read.type != x->op->arg)
		return err_number(e, ERR_TYPE, 241, "%s: %s does not become %s", x->op->name,
				  value_type_name(v[0]),
				  x->op->arg == BSON_ARRAY ? "an array" : "an object");
	*out = read;
	return 0;
}

static const struct expr_op ops[] = {
	{ "$deserializeEJSON", GROUP, "Extended JSON wrappers as the values they stand for",
	  .fn = op_ejson, .params = deserialize_params, .object_number = 10065,
	  .unknown_number = 40415, .arg = DESERIALIZE },
	{ "$serializeEJSON", GROUP, "a value with Extended JSON wrappers for its types",
	  .fn = op_ejson, .params = serialize_params, .object_number = 10065,
	  .unknown_number = 40415, .arg = SERIALIZE },
	{ "$toArray", GROUP, "JSON text as an array", .apply = op_to_container, .min = 1, .max = 1,
	  .flags = EXPR_NULL, .arg = BSON_ARRAY },
	{ "$toObject", GROUP, "JSON text as an object", .apply = op_to_container, .min = 1,
	  .max = 1, .flags = EXPR_NULL, .arg = BSON_DOCUMENT },
};

const struct expr_table expr_json_ops = { ops, ARRAY_LEN(ops) };
