/* expr_misc.c: random numbers, fresh ids, timestamps' parts; and what a library without a server refuses. */
#include "doc/expr_node.h"

#define GROUP "other"

static uint64_t next_random(struct eval *ev)
{
	/* xorshift64*; never 0 */
	uint64_t r = ev->rand ? ev->rand : UINT64_C(0x9e3779b97f4a7c15);
	r ^= r >> 12;
	r ^= r << 25;
	r ^= r >> 27;
	ev->rand = r;
	return r * UINT64_C(0x2545f4914f6cdd1d);
}

static int op_rand(const struct node *x, struct expr_env *env, struct value *out, struct err *e)
{
	(void)x;
	(void)e;
	*out = value_double((double)(next_random(env->ev) >> 11) * 0x1p-53);
	return 0;
}

static int op_create_object_id(const struct node *x, struct expr_env *env, struct value *out,
			       struct err *e)
{
	(void)x;
	if (env->ev->now_ms == 0)
		return err_set(e, ERR_UNSUPPORTED,
			       "$createObjectId: the evaluation was given no time");
	uint8_t *p = env_alloc(env, 12);
	if (!p)
		return env_nomem(env, e);
	put_be32(p, (uint32_t)(env->ev->now_ms / 1000));
	put_le64(p + 4, next_random(env->ev));
	*out = (struct value){ .type = BSON_OID, .len = 12, .p = p };
	return 0;
}

/* { $rand: {} } or []: no arguments. */
static int compile_no_arguments(struct compile *c, const struct expr_op *op, struct value spec,
				struct node **out, struct err *e)
{
	bool empty = (spec.type == BSON_DOCUMENT || spec.type == BSON_ARRAY) && spec.len == 5;
	if (!empty)
		return err_number(e, ERR_INVALID, 3040501, "%s takes no arguments", op->name);
	struct node *x = compile_node(c, op->fn, op, 0);
	if (!x)
		return err_nomem(e);
	*out = x;
	return 0;
}

enum { SECOND, INCREMENT };

static int op_timestamp(const struct node *x, struct expr_env *env, const struct value *v,
			struct value *out, struct err *e)
{
	bool second = x->op->arg == SECOND;
	(void)env;
	if (v[0].type != BSON_TIMESTAMP)
		return err_number(e, ERR_TYPE, second ? 5687301 : 5687302,
				  "%s takes a timestamp, not %s", x->op->name,
				  value_type_name(v[0]));
	uint64_t t = (uint64_t)v[0].i64;
	*out = value_int64((int64_t)(second ? t >> 32 : t & UINT32_MAX));
	return 0;
}

static int compile_unsupported(struct compile *c, const struct expr_op *op, struct value spec,
			       struct node **out, struct err *e)
{
	(void)c;
	(void)spec;
	(void)out;
	return err_set(e, ERR_UNSUPPORTED, "%s is not supported: %s", op->name, op->help);
}

static const struct expr_op ops[] = {
	{ "$createObjectId", GROUP, "a new ObjectId", .fn = op_create_object_id,
	  .compile = compile_no_arguments, .flags = EXPR_VOLATILE },
	{ "$function", GROUP, "JavaScript is not available (refused)",
	  .compile = compile_unsupported },
	{ "$meta", GROUP, "there is no text or search index (refused)",
	  .compile = compile_unsupported },
	{ "$rand", GROUP, "a random number in [0, 1)", .fn = op_rand,
	  .compile = compile_no_arguments, .flags = EXPR_VOLATILE },
	{ "$tsIncrement", "date", "the increment of a timestamp", .apply = op_timestamp, .min = 1,
	  .max = 1, .flags = EXPR_NULL, .arg = INCREMENT },
	{ "$tsSecond", "date", "the seconds of a timestamp", .apply = op_timestamp, .min = 1,
	  .max = 1, .flags = EXPR_NULL, .arg = SECOND },
};

const struct expr_table expr_misc_ops = { ops, ARRAY_LEN(ops) };
