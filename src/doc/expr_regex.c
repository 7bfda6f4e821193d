/* expr_regex.c: $regexMatch, $regexFind, $regexFindAll.
 *
 * A constant pattern is compiled with the expression and freed with it (expr.regexes); others for each evaluation.
 */
#include "doc/expr_node.h"

#include "base/utf8.h"
#include "doc/regex.h"

#define GROUP "regular expression"

enum { MATCH, FIND, FIND_ALL };

/* Pattern and options out of the two arguments. 1: there is none (null). */
static int pattern_of(const struct expr_op *op, struct value regex, struct value options,
		      struct slice *pattern, struct slice *flags, struct err *e)
{
	bool is_regex = regex.type == BSON_REGEX;
	if (regex.type != BSON_STRING && !is_regex && !value_nullish(regex))
		return err_number(e, ERR_TYPE, 51105, "%s: 'regex' is a string or a regex, not %s",
				  op->name, value_type_name(regex));
	if (options.type != BSON_STRING && !value_nullish(options))
		return err_number(e, ERR_TYPE, 51106, "%s: 'options' is a string, not %s", op->name,
				  value_type_name(options));
	*flags = options.type == BSON_STRING ? value_slice(options) : SLICE_NONE;
	if (is_regex) {
		struct slice own = value_regex_options(regex);
		if (own.len && options.type == BSON_STRING)
			return err_number(e, ERR_INVALID, 51107,
					  "%s: options in 'regex' and in 'options'", op->name);
		*pattern = value_regex_pattern(regex);
		if (own.len)
			*flags = own;
	} else if (regex.type == BSON_STRING)
		*pattern = value_slice(regex);
	else
		return 1;
	if (memchr(pattern->p, '\0', pattern->len))
		return err_number(e, ERR_INVALID, 51109, "%s: the pattern contains a NUL",
				  op->name);
	if (flags->len && memchr(flags->p, '\0', flags->len))
		return err_number(e, ERR_INVALID, 51110, "%s: the options contain a NUL", op->name);
	return 0;
}

/* { match, idx, captures }. *seen: code points up to *seen_at, so that a scan counts each byte once. */
struct progress {
	size_t at, code_points;
};

static int found_value(struct expr_env *env, struct slice text, const struct regex_found *found,
		       struct progress *seen, struct value *out, struct err *e)
{
	size_t start = found->group[0].start;
	seen->code_points += utf8_count(slice_of(text.p + seen->at, start - seen->at));
	seen->at = start;
	struct values captures = { 0 };
	for (size_t i = 1; i < found->n; i++) {
		struct value v = VALUE_NULL;
		if (found->group[i].start != REGEX_NONE)
			v = value_string(slice_of(text.p + found->group[i].start,
						  found->group[i].end - found->group[i].start));
		int rc = values_add(env, &captures, v, e);
		if (rc < 0)
			return rc;
	}
	struct field f[3] = {
		{ SLICE_LIT("match"),
		  value_string(slice_of(text.p + start, found->group[0].end - start)) },
		{ SLICE_LIT("idx"), value_int((int64_t)seen->code_points) },
		{ SLICE_LIT("captures"), VALUE_NULL },
	};
	int rc = build_array(env, captures.v, captures.n, &f[2].value, e);
	return rc < 0 ? rc : build_doc(env, f, 3, out, e);
}

static int find_all(const struct regex *r, struct expr_env *env, struct slice text,
		    struct value *out, struct err *e)
{
	struct values s = { 0 };
	struct progress seen = { 0 };
	struct regex_found found;
	size_t at = 0;
	int rc = 1;
	while (at <= text.len && (rc = regex_find(r, env->ev, text, at, &found, e)) > 0) {
		struct value v;
		size_t end = found.group[0].end;
		bool empty = end == found.group[0].start;
		rc = found_value(env, text, &found, &seen, &v, e);
		if (rc == 0)
			rc = values_add(env, &s, v, e);
		if (rc == 0)
			rc = env_step(env, 1 + (end - at) / 64, e);
		if (rc < 0)
			return rc;
		/* An empty match moves on by one character; the end of the text is matched only where it is all. */
		if (empty)
			do
				end++;
			while (end < text.len && (text.p[end] & 0xc0) == 0x80);
		at = end;
		if (at >= text.len)
			break;
	}
	return rc < 0 ? rc : build_array(env, s.v, s.n, out, e);
}

static int search(const struct node *x, const struct regex *r, struct expr_env *env,
		  struct slice text, struct value *out, struct err *e)
{
	struct regex_found found;
	struct progress seen = { 0 };
	int rc;
	if (x->op->arg == FIND_ALL)
		return find_all(r, env, text, out, e);
	rc = x->op->arg == MATCH ? regex_matches(r, env->ev, text, e)
				 : regex_find(r, env->ev, text, 0, &found, e);
	if (rc < 0)
		return rc;
	if (x->op->arg == MATCH)
		*out = value_bool(rc > 0);
	else if (rc > 0)
		return found_value(env, text, &found, &seen, out, e);
	else
		*out = VALUE_NULL;
	return 0;
}

static int op_regex(const struct node *x, struct expr_env *env, const struct value *v,
		    struct value *out, struct err *e)
{
	struct slice pattern, flags;
	const struct regex *known = x->extra;
	struct regex *made = NULL;
	if (v[0].type != BSON_STRING && !value_nullish(v[0]))
		return err_number(e, ERR_TYPE, 51104, "%s: 'input' is a string, not %s",
				  x->op->name, value_type_name(v[0]));
	int rc = known ? 0 : pattern_of(x->op, v[1], v[2], &pattern, &flags, e);
	if (rc == 0 && !known)
		rc = regex_compile(pattern, flags, &made, e);
	if (rc < 0)
		return rc;
	if (rc > 0 || value_nullish(v[0])) {
		regex_free(made);
		if (x->op->arg == FIND_ALL)
			return build_array(env, NULL, 0, out, e);
		*out = x->op->arg == MATCH ? value_bool(false) : VALUE_NULL;
		return 0;
	}
	rc = search(x, known ? known : made, env, value_slice(v[0]), out, e);
	regex_free(made);
	return rc;
}

static const struct expr_param params[] = {
	{ "input", 31022 }, { "regex", 31023 }, { "options", 0 }, { NULL, 0 }
};

static int keep_regex(struct compile *c, struct regex *r, struct err *e)
{
	struct expr_regex *kept = compile_alloc(c, sizeof(*kept));
	if (!kept) {
		regex_free(r);
		return err_nomem(e);
	}
	*kept = (struct expr_regex){ r, c->x->regexes };
	c->x->regexes = kept;
	return 0;
}

static int compile_regex(struct compile *c, const struct expr_op *op, struct value spec,
			 struct node **out, struct err *e)
{
	int rc = compile_named(c, op, spec, out, e);
	struct node *x = rc < 0 ? NULL : *out;
	if (!x || !x->fn || x->arg[1]->fn || (x->arg[2] && x->arg[2]->fn))
		return rc;
	struct slice pattern, flags;
	struct regex *r;
	rc = pattern_of(op, x->arg[1]->constant, x->arg[2] ? x->arg[2]->constant : VALUE_MISSING,
			&pattern, &flags, e);
	if (rc != 0)
		return MIN(rc, 0);
	rc = regex_compile(pattern, flags, &r, e);
	if (rc == 0)
		rc = keep_regex(c, r, e);
	if (rc == 0)
		x->extra = r;
	return rc;
}

#define REGEX(name, help, which) \
	{ \
		name, GROUP, help, .apply = op_regex, .compile = compile_regex, .params = params, \
				   .object_number = 51103, .unknown_number = 31024, .arg = (which) \
	}

static const struct expr_op ops[] = {
	REGEX("$regexFind", "the first match: { match, idx, captures }, or null", FIND),
	REGEX("$regexFindAll", "all matches", FIND_ALL),
	REGEX("$regexMatch", "whether a regular expression matches", MATCH),
};

const struct expr_table expr_regex_ops = { ops, ARRAY_LEN(ops) };
