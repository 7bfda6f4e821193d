/* expr.c: compiles a spec to a tree of nodes; expr_eval.c evaluates it.
 *
 *	spec ──compile_value──▶ field path, variable, object, array, operator, constant
 *	                            │ all arguments constant: evaluated now ("folded")
 *
 * Variables. Names are resolved to slots of a frame when the spec is compiled: the caller's variables first, then
 * each $let, $map, ... takes the next free slots for the time of its body. $$CURRENT, where bound, redirects field
 * paths to its slot.
 *
 *	frame:  [caller's vars ... | $let a, b | $map this | ...]
 *
 * The first error of a compilation remembers the place where it happened; the way there ("$project.a.$add[1]") is
 * kept as text while descending.
 */
#include "doc/expr.h"

#include "base/mem.h"
#include "base/utf8.h"
#include "doc/expr_node.h"
#include "doc/regex.h"

#include <stdio.h>

enum { PATH_MAX_COMPONENTS = 200, EXPR_CONSTANTS_MAX = 32 << 20 };

/* ---- compiling: places and errors ---- */

static void remember_place(struct compile *c)
{
	if (c->failed)
		return;
	c->failed = true;
	(void)snprintf(c->fail_place, sizeof(c->fail_place), "%s", buf_cstr(&c->place));
}

static int compile_below(struct compile *c, size_t place_len, struct value spec, struct node **out,
			 struct err *e)
{
	int rc = compile_value(c, spec, out, e);
	if (rc < 0)
		remember_place(c);
	c->place.len = place_len;
	return rc;
}

static void place_add(struct compile *c, struct slice s)
{
	/* Long keys would only make the place unreadable. */
	buf_add_slice(&c->place, slice_of(s.p, MIN(s.len, (size_t)64)));
}

int compile_at(struct compile *c, const char *step, struct value spec, struct node **out,
	       struct err *e)
{
	size_t len = c->place.len;
	if (len && *step != '[')
		buf_add_byte(&c->place, '.');
	place_add(c, slice_str(step));
	return compile_below(c, len, spec, out, e);
}

static int compile_at_key(struct compile *c, struct slice key, struct value spec, struct node **out,
			  struct err *e)
{
	size_t len = c->place.len;
	if (len)
		buf_add_byte(&c->place, '.');
	place_add(c, key);
	return compile_below(c, len, spec, out, e);
}

int compile_at_index(struct compile *c, size_t i, struct value spec, struct node **out,
		     struct err *e)
{
	size_t len = c->place.len;
	buf_add_fmt(&c->place, "[%zu]", i);
	return compile_below(c, len, spec, out, e);
}

/* ---- compiling: nodes ---- */

struct node *compile_node(struct compile *c, expr_fn *fn, const struct expr_op *op, uint32_t n)
{
	if (++c->nodes > EXPR_NODES_MAX)
		return NULL;
	struct node *x = compile_alloc(c, sizeof(*x) + n * sizeof(struct node *));
	if (!x)
		return NULL;
	memset(x, 0, sizeof(*x) + n * sizeof(struct node *));
	x->fn = fn;
	x->op = op;
	x->n = n;
	x->arg = (struct node **)(x + 1);
	return x;
}

static int node_failed(struct compile *c, struct err *e)
{
	if (c->nodes > EXPR_NODES_MAX)
		return err_set(e, ERR_LIMIT, "the expression has more than %d parts",
			       EXPR_NODES_MAX);
	return err_nomem(e);
}

struct node *compile_constant(struct compile *c, struct value v)
{
	struct node *x = compile_node(c, NULL, NULL, 0);
	if (x)
		x->constant = v;
	return x;
}

static int constant(struct compile *c, struct value v, struct node **out, struct err *e)
{
	*out = compile_constant(c, v);
	return *out ? 0 : node_failed(c, e);
}

static bool all_constant(const struct node *x)
{
	for (uint32_t i = 0; i < x->n; i++)
		if (x->arg[i] && x->arg[i]->fn)
			return false;
	return true;
}

int compile_finish(struct compile *c, struct node *x, struct node **out, struct err *e)
{
	if ((x->op && (x->op->flags & EXPR_VOLATILE)) || !all_constant(x)) {
		*out = x;
		return 0;
	}
	struct expr_input in = { .root = BSON_EMPTY };
	struct expr_env env = { .ev = &c->ev, .in = &in, .current = BSON_EMPTY };
	struct value v;
	env.vars = arena_try_array(&c->ev.arena, c->x->slots + 1, sizeof(*env.vars));
	if (!env.vars)
		return err_nomem(e);
	int rc = node_eval(x, &env, &v, e);
	if (rc == 0 && value_depth(v, BSON_DEPTH_MAX) > BSON_DEPTH_MAX)
		rc = err_set(e, ERR_LIMIT, "a constant nests deeper than %d levels",
			     BSON_DEPTH_MAX);
	if (rc == 0 && value_copy(&c->x->arena, v, &v) < 0) {
		arena_reset(&c->ev.arena);
		*out = x; /* too large to keep: computed anew each time */
		return 0;
	}
	arena_reset(&c->ev.arena);
	return rc < 0 ? rc : constant(c, v, out, e);
}

/* ---- compiling: variables and paths ---- */

static bool is_name_start(uint8_t b)
{
	return (b >= 'a' && b <= 'z') || b >= 0x80;
}

static bool is_name_part(uint8_t b)
{
	return is_name_start(b) || (b >= 'A' && b <= 'Z') || (b >= '0' && b <= '9') || b == '_';
}

static int check_name(struct slice name, bool allow_current, struct err *e)
{
	if (allow_current && slice_is(name, "CURRENT"))
		return 0;
	bool ok = name.len > 0 && is_name_start(name.p[0]);
	for (size_t i = 1; ok && i < name.len; i++)
		ok = is_name_part(name.p[i]);
	if (!ok)
		return err_number(e, ERR_INVALID, 9,
				  "'" SLICE_FMT
				  "' is not a name for a variable: a lower-case letter, "
				  "then letters, digits and _",
				  SLICE_ARG(name));
	return 0;
}

int compile_bind(struct compile *c, struct slice name, bool allow_current, uint32_t *slot,
		 struct err *e)
{
	int rc = check_name(name, allow_current, e);
	if (rc < 0)
		return rc;
	if (c->n_vars >= EXPR_VARS_MAX)
		return err_set(e, ERR_LIMIT, "more than %d variables", EXPR_VARS_MAX);
	struct scope *s = compile_alloc(c, sizeof(*s));
	if (!s)
		return err_nomem(e);
	*s = (struct scope){ .name = name, .slot = c->n_vars++, .up = c->scope };
	c->scope = s;
	c->x->slots = MAX(c->x->slots, c->n_vars);
	*slot = s->slot;
	return 0;
}

void compile_unbind(struct compile *c, uint32_t n)
{
	for (; n > 0; n--) {
		c->scope = c->scope->up;
		c->n_vars--;
	}
}

static const struct scope *find_var(const struct compile *c, struct slice name)
{
	for (const struct scope *s = c->scope; s; s = s->up)
		if (slice_eq(s->name, name))
			return s;
	return NULL;
}

static int check_component(struct slice s, struct err *e)
{
	if (s.len == 0)
		return err_number(e, ERR_INVALID, 15998, "a field path has an empty part");
	if (s.p[0] == '$')
		return err_number(e, ERR_INVALID, 16410,
				  "field names of a path do not start with '$' (use $getField)");
	if (memchr(s.p, '\0', s.len))
		return err_number(e, ERR_INVALID, 16411, "a field path contains a NUL");
	return 0;
}

/* "a.b.c" into components; an empty path is no component. */
static int split_path(struct compile *c, struct slice path, struct node *x, struct err *e)
{
	if (path.len == 0)
		return 0;
	if (path.p[path.len - 1] == '.')
		return err_number(e, ERR_INVALID, 40353, "a field path ends in '.'");
	uint32_t n = 1;
	for (size_t i = 0; i < path.len; i++)
		n += path.p[i] == '.';
	if (n > PATH_MAX_COMPONENTS)
		return err_number(e, ERR_LIMIT, 15, "a field path has more than %d parts",
				  PATH_MAX_COMPONENTS);
	struct slice *comp = compile_alloc(c, n * sizeof(*comp));
	if (!comp)
		return err_nomem(e);
	const uint8_t *at = path.p, *end = path.p + path.len;
	for (uint32_t i = 0; i < n; i++) {
		const uint8_t *dot = memchr(at, '.', (size_t)(end - at));
		comp[i] = slice_of(at, (size_t)((dot ? dot : end) - at));
		int rc = check_component(comp[i], e);
		if (rc < 0)
			return rc;
		at = dot ? dot + 1 : end;
	}
	x->path = comp;
	x->path_len = n;
	return 0;
}

/* A path that starts at the document: over virtual roots its first component picks one. */
static int bind_document(struct compile *c, struct node *x, struct slice path, expr_fn *plain,
			 struct err *e)
{
	struct expr *owner = c->x;
	int rc = split_path(c, path, x, e);
	if (rc < 0)
		return rc;
	x->fn = plain;
	if (!owner->roots)
		return 0;
	if (x->path_len == 0) {
		x->fn = node_virtual_root;
		x->extra = owner;
		owner->roots_used = UINT64_MAX;
		owner->builds = true;
		return 0;
	}
	for (uint32_t i = 0; i < owner->n_roots; i++) {
		if (!slice_is(x->path[0], owner->roots[i]))
			continue;
		x->fn = node_virtual_path;
		x->slot = i;
		x->path++;
		x->path_len--;
		owner->roots_used |= UINT64_C(1) << MIN(i, 63u);
		return 0;
	}
	x->fn = NULL; /* a field that no document has: missing */
	x->constant = VALUE_MISSING;
	return 0;
}

static int unknown_variable(struct slice name, struct err *e)
{
	static const char *const known_but_absent[] = { "CLUSTER_TIME", "USER_ROLES", "SEARCH_META",
							"JS_SCOPE", "IS_MR" };
	for (size_t i = 0; i < ARRAY_LEN(known_but_absent); i++)
		if (slice_is(name, known_but_absent[i]))
			return err_set(e, ERR_UNSUPPORTED,
				       "$$%s is not supported: there is no such server",
				       known_but_absent[i]);
	return err_number(e, ERR_INVALID, 17276, "use of undefined variable: " SLICE_FMT,
			  SLICE_ARG(name));
}

static bool redact_word(struct slice name, struct slice *word)
{
	static const struct {
		const char *name, *word;
	} words[] = { { "DESCEND", "descend" }, { "PRUNE", "prune" }, { "KEEP", "keep" } };
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (!slice_is(name, words[i].name))
			continue;
		*word = slice_str(words[i].word);
		return true;
	}
	return false;
}

/* text: behind "$$". */
static int compile_variable(struct compile *c, struct slice text, struct node **out, struct err *e)
{
	const uint8_t *dot = memchr(text.p, '.', text.len);
	struct slice name = { text.p, dot ? (size_t)(dot - text.p) : text.len };
	struct slice path = dot ? slice_of(dot + 1, text.len - name.len - 1) : SLICE_NONE;
	if (name.len == 0)
		return err_number(e, ERR_INVALID, 9, "a variable has no name");
	if (dot && path.len == 0)
		return err_number(e, ERR_INVALID, 40353, "a field path ends in '.'");
	struct node *x = compile_node(c, node_var, NULL, 0);
	if (!x)
		return node_failed(c, e);
	*out = x;
	const struct scope *s = find_var(c, name);
	struct slice word;
	if (s) {
		x->slot = s->slot;
		return split_path(c, path, x, e);
	}
	if (slice_is(name, "ROOT"))
		return bind_document(c, x, path, node_root_path, e);
	if (slice_is(name, "CURRENT"))
		return bind_document(c, x, path, path.len ? node_path : node_current, e);
	if (slice_is(name, "REMOVE"))
		x->fn = NULL;
	else if (slice_is(name, "NOW"))
		x->fn = node_now;
	else if (c->o->redact && redact_word(name, &word)) {
		x->fn = NULL;
		x->constant = value_string(word);
	} else
		return unknown_variable(name, e);
	if (path.len == 0)
		return 0;
	struct node check = { 0 };
	x->fn = NULL; /* a field of something that is no object */
	x->constant = VALUE_MISSING;
	return split_path(c, path, &check, e);
}

static int compile_path(struct compile *c, struct slice text, struct node **out, struct err *e)
{
	if (text.len == 1)
		return err_number(e, ERR_INVALID, 16872, "'$' by itself is not a field path");
	if (text.p[1] == '$')
		return compile_variable(c, slice_of(text.p + 2, text.len - 2), out, e);
	struct slice path = { text.p + 1, text.len - 1 };
	struct node *x = compile_node(c, node_path, NULL, 0);
	if (!x)
		return node_failed(c, e);
	*out = x;
	const struct scope *current = find_var(c, SLICE_LIT("CURRENT"));
	if (!current)
		return bind_document(c, x, path, node_path, e);
	x->fn = node_var;
	x->slot = current->slot;
	return split_path(c, path, x, e);
}

/* ---- compiling: objects, arrays, operators ---- */

static int check_key(const struct bson_iter *it, struct err *e)
{
	if (it->key.len == 0)
		return err_number(e, ERR_INVALID, 15998, "an object's field name is empty");
	if (it->key.p[0] == '$')
		return err_number(e, ERR_INVALID, 16410,
				  "the field name '" SLICE_FMT
				  "' starts with '$': an operator must stand alone in its object",
				  SLICE_ARG(it->key));
	if (memchr(it->key.p, '.', it->key.len))
		return err_number(e, ERR_INVALID, 16412,
				  "the field name '" SLICE_FMT "' contains '.' (use $setField)",
				  SLICE_ARG(it->key));
	return 0;
}

static int compile_object(struct compile *c, struct slice doc, struct node **out, struct err *e)
{
	uint32_t n = (uint32_t)array_length(value_doc(doc)), i = 0;
	struct node *x = compile_node(c, node_object, NULL, n);
	struct slice *keys = x ? compile_alloc(c, (n + 1) * sizeof(*keys)) : NULL;
	if (!keys)
		return node_failed(c, e);
	struct bson_iter it;
	bson_iter_init(&it, doc);
	for (; bson_next(&it); i++) {
		int rc = check_key(&it, e);
		for (uint32_t j = 0; rc == 0 && j < i && n <= 64; j++)
			if (slice_eq(keys[j], it.key))
				rc = err_number(e, ERR_INVALID, 16406,
						"the field '" SLICE_FMT "' is given twice",
						SLICE_ARG(it.key));
		keys[i] = it.key;
		if (rc == 0)
			rc = compile_at_key(c, it.key, it.value, &x->arg[i], e);
		if (rc < 0)
			return rc;
	}
	x->path = keys;
	x->path_len = n;
	c->x->builds = true;
	return compile_finish(c, x, out, e);
}

static int compile_array(struct compile *c, struct slice doc, struct node **out, struct err *e)
{
	uint32_t n = (uint32_t)array_length(value_array(doc)), i = 0;
	struct node *x = compile_node(c, node_array, NULL, n);
	if (!x)
		return node_failed(c, e);
	struct bson_iter it;
	bson_iter_init(&it, doc);
	for (; bson_next(&it); i++) {
		int rc = compile_at_index(c, i, it.value, &x->arg[i], e);
		if (rc < 0)
			return rc;
	}
	c->x->builds = true;
	return compile_finish(c, x, out, e);
}

static int wrong_count(const struct expr_op *op, uint32_t n, struct err *e)
{
	if (op->max == op->min)
		return err_number(e, ERR_INVALID, 16020, "%s takes %d argument%s, not %u", op->name,
				  op->min, op->min == 1 ? "" : "s", n);
	if (op->max < 0)
		return err_number(e, ERR_INVALID, 28667, "%s takes at least %d arguments, not %u",
				  op->name, op->min, n);
	return err_number(e, ERR_INVALID, 28667, "%s takes %d to %d arguments, not %u", op->name,
			  op->min, op->max, n);
}

int compile_positional(struct compile *c, const struct expr_op *op, struct value spec,
		       struct node **out, struct err *e)
{
	bool list = spec.type == BSON_ARRAY;
	uint32_t n = list ? (uint32_t)array_length(spec) : 1;
	if ((int64_t)n < op->min || (op->max >= 0 && (int64_t)n > op->max))
		return wrong_count(op, n, e);
	struct node *x = compile_node(c, op->fn ? op->fn : op_strict, op, n);
	if (!x)
		return node_failed(c, e);
	if (!list) {
		int rc = compile_value(c, spec, &x->arg[0], e);
		return rc < 0 ? rc : compile_finish(c, x, out, e);
	}
	struct bson_iter it;
	bson_iter_init(&it, value_slice(spec));
	for (uint32_t i = 0; bson_next(&it); i++) {
		int rc = compile_at_index(c, i, it.value, &x->arg[i], e);
		if (rc < 0)
			return rc;
	}
	return compile_finish(c, x, out, e);
}

static int param_index(const struct expr_op *op, struct slice name)
{
	for (int i = 0; op->params[i].name; i++)
		if (slice_is(name, op->params[i].name))
			return i;
	return -1;
}

int compile_named(struct compile *c, const struct expr_op *op, struct value spec, struct node **out,
		  struct err *e)
{
	uint32_t n = 0;
	while (op->params[n].name)
		n++;
	ASSERT(n <= EXPR_PARAMS_MAX);
	if (spec.type != BSON_DOCUMENT)
		return err_number(e, ERR_INVALID, op->object_number,
				  "%s takes an object of named arguments, not %s", op->name,
				  value_type_name(spec));
	struct node *x = compile_node(c, op->fn ? op->fn : op_strict, op, n);
	if (!x)
		return node_failed(c, e);
	struct bson_iter it;
	bson_iter_init(&it, value_slice(spec));
	while (bson_next(&it)) {
		int i = param_index(op, it.key);
		if (i < 0)
			return err_number(e, ERR_INVALID, op->unknown_number,
					  "%s has no argument '" SLICE_FMT "'", op->name,
					  SLICE_ARG(it.key));
		int rc = compile_at_key(c, it.key, it.value, &x->arg[i], e);
		if (rc < 0)
			return rc;
	}
	for (uint32_t i = 0; i < n; i++)
		if (!x->arg[i] && op->params[i].missing)
			return err_number(e, ERR_INVALID, op->params[i].missing,
					  "%s: '%s' is missing", op->name, op->params[i].name);
	return compile_finish(c, x, out, e);
}

static int unknown_operator(struct slice name, struct err *e)
{
	const char *near = expr_op_suggest(name);
	return err_number(e, ERR_INVALID, 168, "unknown expression '" SLICE_FMT "'%s%s%s",
			  SLICE_ARG(name), near ? "; did you mean '" : "", near ? near : "",
			  near ? "'?" : "");
}

static int compile_operator(struct compile *c, struct slice name, struct value spec,
			    struct node **out, struct err *e)
{
	const struct expr_op *op = expr_op_find(name);
	if (!op)
		return unknown_operator(name, e);
	size_t len = c->place.len;
	if (len)
		buf_add_byte(&c->place, '.');
	place_add(c, name);
	int rc;
	if (op->compile)
		rc = op->compile(c, op, spec, out, e);
	else if (op->params)
		rc = compile_named(c, op, spec, out, e);
	else
		rc = compile_positional(c, op, spec, out, e);
	if (rc < 0)
		remember_place(c);
	c->x->builds = true;
	c->place.len = len;
	return rc;
}

static int compile_document(struct compile *c, struct slice doc, struct node **out, struct err *e)
{
	struct bson_iter it;
	bson_iter_init(&it, doc);
	if (!bson_next(&it))
		return constant(c, value_doc(doc), out, e);
	if (it.key.len == 0 || it.key.p[0] != '$')
		return compile_object(c, doc, out, e);
	struct slice name = it.key;
	struct value spec = it.value;
	if (bson_next(&it))
		return err_number(e, ERR_INVALID, 40181,
				  "an object with an expression has exactly one field: '" SLICE_FMT
				  "' is followed by '" SLICE_FMT "'",
				  SLICE_ARG(name), SLICE_ARG(it.key));
	return compile_operator(c, name, spec, out, e);
}

int compile_value(struct compile *c, struct value spec, struct node **out, struct err *e)
{
	if (c->depth >= EXPR_DEPTH_MAX)
		return err_set(e, ERR_LIMIT, "the expression nests deeper than %d levels",
			       EXPR_DEPTH_MAX);
	c->depth++;
	int rc;
	if (spec.type == BSON_STRING && spec.len > 0 && spec.p[0] == '$')
		rc = compile_path(c, value_slice(spec), out, e);
	else if (spec.type == BSON_DOCUMENT)
		rc = compile_document(c, value_slice(spec), out, e);
	else if (spec.type == BSON_ARRAY)
		rc = compile_array(c, value_slice(spec), out, e);
	else
		rc = constant(c, spec, out, e);
	c->depth--;
	if (rc < 0)
		remember_place(c);
	return rc;
}

/* ---- the whole ---- */

static int copy_names(struct compile *c, struct err *e)
{
	const struct expr_options *o = c->o;
	struct expr *x = c->x;
	for (uint32_t i = 0; o->vars && o->vars[i]; i++) {
		uint32_t slot;
		char *name = arena_strdup(&x->arena, slice_str(o->vars[i]));
		if (!name)
			return err_nomem(e);
		int rc = compile_bind(c, slice_str(name), /* allow_current */ false, &slot, e);
		if (rc < 0)
			return rc;
		x->caller_vars++;
	}
	if (!o->roots)
		return 0;
	while (o->roots[x->n_roots])
		x->n_roots++;
	const char **roots = arena_try_array(&x->arena, x->n_roots + 1, sizeof(*roots));
	if (!roots)
		return err_nomem(e);
	for (uint32_t i = 0; i < x->n_roots; i++)
		if (!(roots[i] = arena_strdup(&x->arena, slice_str(o->roots[i]))))
			return err_nomem(e);
	roots[x->n_roots] = NULL;
	x->roots = roots;
	return 0;
}

static int compile_all(struct compile *c, struct value spec, struct err *e)
{
	int rc = copy_names(c, e);
	if (rc < 0)
		return rc;
	/* Constants may not grow a spec without bounds. */
	c->x->arena.limit_bytes = EXPR_CONSTANTS_MAX + (size_t)spec.len * 512;
	if (value_copy(&c->x->arena, spec, &spec) < 0)
		return err_nomem(e);
	if (c->o->place)
		buf_add_str(&c->place, c->o->place);
	rc = compile_value(c, spec, &c->x->root, e);
	if (rc < 0 && c->fail_place[0])
		return err_in(e, rc, "%s", c->fail_place);
	return rc;
}

int expr_compile(struct value spec, const struct expr_options *o, struct expr **out, struct err *e)
{
	static const struct expr_options none = { 0 };
	struct expr *x = mem_try(sizeof(*x));
	if (!x)
		return err_nomem(e);
	struct compile c = { .x = x, .o = o ? o : &none, .place = BUF_INIT };
	eval_init(&c.ev);
	int rc = compile_all(&c, spec, e);
	eval_done(&c.ev);
	buf_done(&c.place);
	if (rc < 0) {
		expr_free(x);
		return rc;
	}
	*out = x;
	return 0;
}

void expr_free(struct expr *x)
{
	if (!x)
		return;
	for (struct expr_regex *r = x->regexes; r; r = r->next)
		regex_free(r->regex);
	timezone_cache_done(&x->zones);
	arena_done(&x->arena);
	mem_free(x);
}

/* ---- looking inside ---- */

bool expr_is_constant(const struct expr *x, struct value *out)
{
	if (x->root->fn)
		return false;
	if (out)
		*out = x->root->constant;
	return true;
}

bool expr_is_field_path(const struct expr *x, const struct slice **components, size_t *n)
{
	if (x->root->fn != node_path)
		return false;
	*components = x->root->path;
	*n = x->root->path_len;
	return true;
}

uint64_t expr_roots_used(const struct expr *x)
{
	return x->roots_used;
}
