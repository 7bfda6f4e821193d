/* schema_compile.c: from the BSON of a JSON Schema to nodes (schema_tree.h).
 *
 * Each keyword is a row: its name and the function that checks and stores its argument. Subschemas are compiled where
 * they stand; references are put on a list and followed afterwards, which compiles their targets and may
 * add to the list. A subschema is compiled once: nodes are found by the address of their spec.
 *
 *	keyword ──▶ rows        $ref ──▶ list ──▶ target (pointer or id) ──▶ node
 */
#include "doc/schema_tree.h"

#include "base/mem.h"
#include "base/suggest.h"
#include "doc/compare.h"
#include "doc/match_tree.h"
#include "doc/regex.h"
#include "doc/schema_compile.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>

enum { DEPTH_MAX = 200, PLACE_MAX = 200 };

/* ---- errors ---- */

static int fail_in(struct schema_compiler *c, const struct spec_place *at, int rc)
{
	char place[PLACE_MAX];
	if (rc == ERR_NOMEM || spec_place_text(at, UINT_MAX, place, sizeof(place)) == 0)
		return rc;
	return err_in(c->e, rc, "%s", place);
}

int schema_fail(struct schema_compiler *c, const struct spec_place *at, int code, int number,
		const char *fmt, ...)
{
	char text[ERR_MSG_MAX];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return fail_in(c, at, err_number(c->e, code, number, "%s", text));
}

#define BAD(c, at, ...) schema_fail(c, at, ERR_INVALID, 9, __VA_ARGS__)

static int wrong_type(struct schema_compiler *c, const struct spec_place *at, const char *want,
		      struct value got)
{
	return schema_fail(c, at, ERR_INVALID, 14, "must be %s, not %s", want,
			   bson_type_name(got.type));
}

/* ---- small parts ---- */

typedef int keyword_fn(struct schema_compiler *c, struct schema_node *n, struct value v,
		       const struct spec_place *at);

static uint32_t count_elements(struct value v)
{
	return (uint32_t)bson_count(value_slice(v));
}

static int parse_count(struct schema_compiler *c, struct value v, const struct spec_place *at,
		       uint64_t *out)
{
	int64_t n;
	if (!value_is_number(v))
		return wrong_type(c, at, "a number", v);
	if (!match_whole_number(v, &n) || n < 0)
		return BAD(c, at, "must be a whole number from 0 on");
	*out = (uint64_t)n;
	return 0;
}

static int parse_bool(struct schema_compiler *c, struct value v, const struct spec_place *at,
		      bool *out)
{
	if (v.type != BSON_BOOL)
		return wrong_type(c, at, "true or false", v);
	*out = v.i64 != 0;
	return 0;
}

static int parse_regex(struct schema_compiler *c, struct slice pattern, const struct spec_place *at,
		       struct regex **out)
{
	struct schema_owned *o = arena_try(&c->s->arena, sizeof(*o));
	if (!o)
		return err_nomem(c->e);
	int rc = regex_compile(pattern, SLICE_NONE, out, c->e);
	if (rc < 0)
		return fail_in(c, at, rc);
	*o = (struct schema_owned){ c->s->owned, *out };
	c->s->owned = o;
	return 0;
}

static int parse_schema(struct schema_compiler *c, struct value v, const struct spec_place *at,
			const struct schema_node **out)
{
	if (v.type != BSON_DOCUMENT)
		return wrong_type(c, at, "a schema (an object)", v);
	return schema_node_at(c, value_slice(v), at, out);
}

static int parse_schemas(struct schema_compiler *c, struct value v, bool may_be_empty,
			 const struct spec_place *at, struct schema_nodes *out)
{
	if (v.type != BSON_ARRAY)
		return wrong_type(c, at, "an array of schemas", v);
	uint32_t n = count_elements(v);
	if (n == 0 && !may_be_empty)
		return BAD(c, at, "cannot be empty");
	out->v = arena_try_array(&c->s->arena, n, sizeof(const struct schema_node *));
	if (!out->v)
		return err_nomem(c->e);
	struct bson_iter it;
	bson_iter_init(&it, value_slice(v));
	for (out->n = 0; bson_next(&it); out->n++) {
		struct spec_place here = { .up = at, .index = out->n };
		int rc = parse_schema(c, it.value, &here, &out->v[out->n]);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* ---- keywords of any value ---- */

static const struct {
	const char *name;
	unsigned type;
} type_names[] = {
	{ "null", SCHEMA_NULL },     { "boolean", SCHEMA_BOOLEAN }, { "integer", SCHEMA_INTEGER },
	{ "number", SCHEMA_NUMBER }, { "string", SCHEMA_STRING },   { "array", SCHEMA_ARRAY },
	{ "object", SCHEMA_OBJECT },
};

static int one_type(struct schema_compiler *c, struct value v, bool bson,
		    const struct spec_place *at, uint32_t *types)
{
	if (v.type != BSON_STRING)
		return wrong_type(c, at, "the name of a type", v);
	struct slice name = value_slice(v);
	uint32_t more = 0;
	if (bson && slice_is(name, "number"))
		more = 1u << BSON_DOUBLE | 1u << BSON_INT32 | 1u << BSON_INT64 |
		       1u << BSON_DECIMAL128;
	else if (bson && bson_type_of_name(name) > 0)
		more = 1u << match_type_bit((uint8_t)bson_type_of_name(name));
	for (size_t i = 0; !bson && i < ARRAY_LEN(type_names); i++) {
		if (slice_is(name, type_names[i].name))
			more = type_names[i].type;
	}
	if (!more)
		return BAD(c, at, "unknown type name: " SLICE_FMT, (int)MIN(name.len, 40),
			   (const char *)name.p);
	if (*types & more)
		return BAD(c, at, "the type " SLICE_FMT " is there twice", SLICE_ARG(name));
	*types |= more;
	return 0;
}

static int types(struct schema_compiler *c, struct value v, bool bson, const struct spec_place *at,
		 uint32_t *out)
{
	if (v.type != BSON_ARRAY)
		return one_type(c, v, bson, at, out);
	struct spec_place here = { .up = at };
	struct bson_iter it;
	bson_iter_init(&it, value_slice(v));
	for (; bson_next(&it); here.index++) {
		int rc = one_type(c, it.value, bson, &here, out);
		if (rc < 0)
			return rc;
	}
	return here.index ? 0 : BAD(c, at, "cannot be empty");
}

static int type(struct schema_compiler *c, struct schema_node *n, struct value v,
		const struct spec_place *at)
{
	return types(c, v, false, at, &n->types);
}

static int bson_type(struct schema_compiler *c, struct schema_node *n, struct value v,
		     const struct spec_place *at)
{
	if (bson_get_str(n->spec, "type").type != BSON_MISSING)
		return BAD(c, at, "type and bsonType cannot stand together");
	return types(c, v, true, at, &n->bson_types);
}

static int enum_(struct schema_compiler *c, struct schema_node *n, struct value v,
		 const struct spec_place *at)
{
	if (v.type != BSON_ARRAY)
		return wrong_type(c, at, "an array of values", v);
	uint32_t count = count_elements(v);
	if (count == 0)
		return BAD(c, at, "cannot be empty");
	n->values.value = arena_try_array(&c->s->arena, count, sizeof(*n->values.value));
	if (!n->values.value)
		return err_nomem(c->e);
	struct bson_iter it;
	bson_iter_init(&it, value_slice(v));
	while (bson_next(&it))
		n->values.value[n->values.n++] = it.value;
	return 0;
}

static int all_of(struct schema_compiler *c, struct schema_node *n, struct value v,
		  const struct spec_place *at)
{
	return parse_schemas(c, v, false, at, &n->all_of);
}

static int any_of(struct schema_compiler *c, struct schema_node *n, struct value v,
		  const struct spec_place *at)
{
	return parse_schemas(c, v, false, at, &n->any_of);
}

static int one_of(struct schema_compiler *c, struct schema_node *n, struct value v,
		  const struct spec_place *at)
{
	return parse_schemas(c, v, false, at, &n->one_of);
}

static int not(struct schema_compiler * c, struct schema_node *n, struct value v,
	       const struct spec_place *at)
{
	return parse_schema(c, v, at, &n->not );
}

/* ---- keywords of numbers and texts ---- */

static int minimum(struct schema_compiler *c, struct schema_node *n, struct value v,
		   const struct spec_place *at)
{
	n->minimum = v;
	return value_is_number(v) ? 0 : wrong_type(c, at, "a number", v);
}

static int maximum(struct schema_compiler *c, struct schema_node *n, struct value v,
		   const struct spec_place *at)
{
	n->maximum = v;
	return value_is_number(v) ? 0 : wrong_type(c, at, "a number", v);
}

static int exclusive_minimum(struct schema_compiler *c, struct schema_node *n, struct value v,
			     const struct spec_place *at)
{
	if (bson_get_str(n->spec, "minimum").type == BSON_MISSING)
		return BAD(c, at, "needs a minimum beside it");
	return parse_bool(c, v, at, &n->exclusive_minimum);
}

static int exclusive_maximum(struct schema_compiler *c, struct schema_node *n, struct value v,
			     const struct spec_place *at)
{
	if (bson_get_str(n->spec, "maximum").type == BSON_MISSING)
		return BAD(c, at, "needs a maximum beside it");
	return parse_bool(c, v, at, &n->exclusive_maximum);
}

static int multiple_of(struct schema_compiler *c, struct schema_node *n, struct value v,
		       const struct spec_place *at)
{
	n->multiple_of = v;
	if (!value_is_number(v))
		return wrong_type(c, at, "a number", v);
	return value_compare(v, value_int32(0)) > 0 ? 0 : BAD(c, at, "must be greater than 0");
}

static int min_length(struct schema_compiler *c, struct schema_node *n, struct value v,
		      const struct spec_place *at)
{
	return parse_count(c, v, at, &n->min_length);
}

static int max_length(struct schema_compiler *c, struct schema_node *n, struct value v,
		      const struct spec_place *at)
{
	return parse_count(c, v, at, &n->max_length);
}

static int pattern(struct schema_compiler *c, struct schema_node *n, struct value v,
		   const struct spec_place *at)
{
	if (v.type != BSON_STRING)
		return wrong_type(c, at, "a regular expression as a string", v);
	return parse_regex(c, value_slice(v), at, &n->pattern);
}

static int format(struct schema_compiler *c, struct schema_node *n, struct value v,
		  const struct spec_place *at)
{
	if (v.type != BSON_STRING)
		return wrong_type(c, at, "the name of a format", v);
	n->format = schema_find_format(value_slice(v));
	return 0;
}

/* ---- keywords of arrays ---- */

static int items(struct schema_compiler *c, struct schema_node *n, struct value v,
		 const struct spec_place *at)
{
	if (v.type != BSON_ARRAY)
		return parse_schema(c, v, at, &n->items);
	n->has_tuple = true;
	return parse_schemas(c, v, true, at, &n->tuple);
}

static int additional_items(struct schema_compiler *c, struct schema_node *n, struct value v,
			    const struct spec_place *at)
{
	if (v.type != BSON_BOOL)
		return parse_schema(c, v, at, &n->additional_items);
	n->no_additional_items = !v.i64;
	return 0;
}

static int min_items(struct schema_compiler *c, struct schema_node *n, struct value v,
		     const struct spec_place *at)
{
	return parse_count(c, v, at, &n->min_items);
}

static int max_items(struct schema_compiler *c, struct schema_node *n, struct value v,
		     const struct spec_place *at)
{
	return parse_count(c, v, at, &n->max_items);
}

static int unique_items(struct schema_compiler *c, struct schema_node *n, struct value v,
			const struct spec_place *at)
{
	return parse_bool(c, v, at, &n->unique_items);
}

/* ---- keywords of objects ---- */

/* Names in the arrays of dependencies. */
static uint64_t count_needed(struct value dependencies)
{
	uint64_t n = 0;
	struct bson_iter it;
	bson_iter_init(&it, value_slice(dependencies));
	while (bson_next(&it))
		n += it.value.type == BSON_ARRAY ? count_elements(it.value) : 0;
	return n;
}

/* Room for every name that properties, required and dependencies can bring. */
static int members_init(struct schema_compiler *c, struct schema_node *n)
{
	if (n->member)
		return 0;
	uint64_t room = 0;
	struct value part[] = { bson_get_str(n->spec, "properties"),
				bson_get_str(n->spec, "required"),
				bson_get_str(n->spec, "dependencies") };
	for (size_t i = 0; i < ARRAY_LEN(part); i++) {
		if (part[i].type == BSON_DOCUMENT || part[i].type == BSON_ARRAY)
			room += count_elements(part[i]);
	}
	room += part[2].type == BSON_DOCUMENT ? count_needed(part[2]) : 0;
	uint32_t cap = 8;
	while (cap < room * 2)
		cap *= 2;
	n->member = arena_try_array(&c->s->arena, room, sizeof(*n->member));
	n->member_slot = arena_try_array(&c->s->arena, cap, sizeof(*n->member_slot));
	if (!n->member || !n->member_slot)
		return err_nomem(c->e);
	memset(n->member_slot, 0, cap * sizeof(*n->member_slot));
	n->member_mask = cap - 1;
	return 0;
}

/* Never fails: members_init made room. */
static uint32_t member(struct schema_node *n, struct slice name)
{
	uint64_t i = schema_name_hash(name);
	for (; n->member_slot[i & n->member_mask]; i++) {
		uint32_t at = n->member_slot[i & n->member_mask] - 1;
		if (slice_eq(n->member[at].name, name))
			return at;
	}
	n->member[n->n_members] = (struct schema_member){ .name = name };
	n->member_slot[i & n->member_mask] = ++n->n_members;
	return n->n_members - 1;
}

static int properties(struct schema_compiler *c, struct schema_node *n, struct value v,
		      const struct spec_place *at)
{
	if (v.type != BSON_DOCUMENT)
		return wrong_type(c, at, "an object of schemas", v);
	struct bson_iter it;
	int rc = members_init(c, n);
	bson_iter_init(&it, value_slice(v));
	while (rc == 0 && bson_next(&it)) {
		struct spec_place here = { .up = at, .name = it.key };
		rc = parse_schema(c, it.value, &here, &n->member[member(n, it.key)].node);
	}
	return rc;
}

/* An array of different strings. */
static int parse_names(struct schema_compiler *c, struct schema_node *n, struct value v,
		       const struct spec_place *at, uint32_t *out)
{
	struct spec_place here = { .up = at };
	struct bson_iter it;
	bson_iter_init(&it, value_slice(v));
	for (; bson_next(&it); here.index++) {
		if (it.value.type != BSON_STRING)
			return wrong_type(c, &here, "a name", it.value);
		out[here.index] = member(n, value_slice(it.value));
	}
	return here.index ? 0 : BAD(c, at, "cannot be empty");
}

static int required(struct schema_compiler *c, struct schema_node *n, struct value v,
		    const struct spec_place *at)
{
	if (v.type != BSON_ARRAY)
		return wrong_type(c, at, "an array of names", v);
	uint32_t count = count_elements(v);
	uint32_t *names = arena_try_array(&c->s->arena, count, sizeof(*names));
	int rc = names ? members_init(c, n) : err_nomem(c->e);
	if (rc == 0)
		rc = parse_names(c, n, v, at, names);
	for (uint32_t i = 0; rc == 0 && i < count; i++) {
		if (n->member[names[i]].required)
			rc = BAD(c, at, "the name " SLICE_FMT " is there twice",
				 (int)MIN(n->member[names[i]].name.len, 40),
				 (const char *)n->member[names[i]].name.p);
		n->member[names[i]].required = true;
	}
	return rc;
}

static int dependency(struct schema_compiler *c, struct schema_node *n, uint32_t at_member,
		      struct value v, const struct spec_place *at)
{
	if (v.type == BSON_DOCUMENT)
		return parse_schema(c, v, at, &n->member[at_member].then);
	if (v.type != BSON_ARRAY)
		return wrong_type(c, at, "a schema or an array of names", v);
	uint32_t count = count_elements(v);
	uint32_t *names = arena_try_array(&c->s->arena, count, sizeof(*names));
	if (!names)
		return err_nomem(c->e);
	n->member[at_member].need = names;
	n->member[at_member].n_need = count;
	return parse_names(c, n, v, at, names);
}

static int dependencies(struct schema_compiler *c, struct schema_node *n, struct value v,
			const struct spec_place *at)
{
	if (v.type != BSON_DOCUMENT)
		return wrong_type(c, at, "an object", v);
	struct bson_iter it;
	int rc = members_init(c, n);
	bson_iter_init(&it, value_slice(v));
	while (rc == 0 && bson_next(&it)) {
		struct spec_place here = { .up = at, .name = it.key };
		rc = dependency(c, n, member(n, it.key), it.value, &here);
	}
	return rc;
}

static int pattern_properties(struct schema_compiler *c, struct schema_node *n, struct value v,
			      const struct spec_place *at)
{
	if (v.type != BSON_DOCUMENT)
		return wrong_type(c, at, "an object of schemas", v);
	n->patterns = arena_try_array(&c->s->arena, count_elements(v), sizeof(*n->patterns));
	if (!n->patterns)
		return err_nomem(c->e);
	struct bson_iter it;
	int rc = 0;
	bson_iter_init(&it, value_slice(v));
	while (rc == 0 && bson_next(&it)) {
		struct spec_place here = { .up = at, .name = it.key };
		struct schema_pattern *p = &n->patterns[n->n_patterns++];
		rc = parse_regex(c, it.key, &here, &p->regex);
		if (rc == 0)
			rc = parse_schema(c, it.value, &here, &p->node);
	}
	return rc;
}

static int additional_properties(struct schema_compiler *c, struct schema_node *n, struct value v,
				 const struct spec_place *at)
{
	if (v.type != BSON_BOOL)
		return parse_schema(c, v, at, &n->additional);
	n->no_additional = !v.i64;
	return 0;
}

static int min_properties(struct schema_compiler *c, struct schema_node *n, struct value v,
			  const struct spec_place *at)
{
	return parse_count(c, v, at, &n->min_members);
}

static int max_properties(struct schema_compiler *c, struct schema_node *n, struct value v,
			  const struct spec_place *at)
{
	return parse_count(c, v, at, &n->max_members);
}

/* ---- keywords that check nothing ---- */

static int text(struct schema_compiler *c, struct schema_node *n, struct value v,
		const struct spec_place *at)
{
	(void)n;
	return v.type == BSON_STRING ? 0 : wrong_type(c, at, "a string", v);
}

static int anything(struct schema_compiler *c, struct schema_node *n, struct value v,
		    const struct spec_place *at)
{
	(void)c;
	(void)n;
	(void)v;
	(void)at;
	return 0;
}

/* Compiled also when nothing refers to them, so that mistakes come out. */
static int definitions(struct schema_compiler *c, struct schema_node *n, struct value v,
		       const struct spec_place *at)
{
	(void)n;
	if (v.type != BSON_DOCUMENT)
		return wrong_type(c, at, "an object of schemas", v);
	struct bson_iter it;
	int rc = 0;
	bson_iter_init(&it, value_slice(v));
	while (rc == 0 && bson_next(&it)) {
		struct spec_place here = { .up = at, .name = it.key };
		const struct schema_node *unused;
		rc = parse_schema(c, it.value, &here, &unused);
	}
	return rc;
}

static const struct {
	const char *name;
	keyword_fn *fn;
	bool constrains;
} keywords[] = {
	{ "type", type, false },
	{ "bsonType", bson_type, false },
	{ "enum", enum_, false },
	{ "allOf", all_of, false },
	{ "anyOf", any_of, false },
	{ "oneOf", one_of, false },
	{ "not", not, false },
	{ "minimum", minimum, true },
	{ "maximum", maximum, true },
	{ "exclusiveMinimum", exclusive_minimum, true },
	{ "exclusiveMaximum", exclusive_maximum, true },
	{ "multipleOf", multiple_of, true },
	{ "minLength", min_length, true },
	{ "maxLength", max_length, true },
	{ "pattern", pattern, true },
	{ "format", format, true },
	{ "items", items, true },
	{ "additionalItems", additional_items, true },
	{ "minItems", min_items, true },
	{ "maxItems", max_items, true },
	{ "uniqueItems", unique_items, true },
	{ "properties", properties, true },
	{ "required", required, true },
	{ "dependencies", dependencies, true },
	{ "patternProperties", pattern_properties, true },
	{ "additionalProperties", additional_properties, true },
	{ "minProperties", min_properties, true },
	{ "maxProperties", max_properties, true },
	{ "title", text, false },
	{ "description", text, false },
	{ "id", text, false },
	{ "$schema", text, false },
	{ "default", anything, false },
	{ "definitions", definitions, false },
};

static int unknown_keyword(struct schema_compiler *c, struct slice name,
			   const struct spec_place *at)
{
	struct suggestion s = SUGGESTION_INIT;
	for (size_t i = 0; i < ARRAY_LEN(keywords); i++)
		suggest_add(&s, name, keywords[i].name);
	return BAD(c, at, "unknown keyword: " SLICE_FMT "%s%s%s", (int)MIN(name.len, 64),
		   (const char *)name.p, s.name ? "; did you mean " : "", s.name ? s.name : "",
		   s.name ? "?" : "");
}

/* Set aside until it is known whether a reference points below it. The rest become errors at once. */
static int note_unknown(struct schema_compiler *c, struct schema_node *n, struct slice name,
			const struct spec_place *at)
{
	if (c->n_unknown == SCHEMA_UNKNOWN_MAX)
		return unknown_keyword(c, name, at);
	struct schema_unknown *u = &c->unknown[c->n_unknown++];
	*u = (struct schema_unknown){ .schema = n->spec, .name = name };
	(void)spec_place_text(at, UINT_MAX, u->place, sizeof(u->place));
	return 0;
}

static int check_unknown(struct schema_compiler *c)
{
	for (uint32_t i = 0; i < c->n_unknown; i++) {
		const struct schema_unknown *u = &c->unknown[i];
		struct spec_place at = { .name = slice_str(u->place) };
		if (!u->used)
			return unknown_keyword(c, u->name, u->place[0] ? &at : NULL);
	}
	return 0;
}

static_assert(ARRAY_LEN(keywords) <= 64, "a bit each");

/* seen: a bit for each keyword that was there already; the others count on being called once. */
static int compile_keyword(struct schema_compiler *c, struct schema_node *n,
			   const struct bson_iter *it, const struct spec_place *at, uint64_t *seen)
{
	struct spec_place here = { .up = at, .name = it->key };
	for (size_t i = 0; i < ARRAY_LEN(keywords); i++) {
		if (!slice_is(it->key, keywords[i].name))
			continue;
		if (*seen >> i & 1)
			return BAD(c, at, "the keyword %s is there twice", keywords[i].name);
		*seen |= UINT64_C(1) << i;
		n->is_constrained |= keywords[i].constrains;
		return keywords[i].fn(c, n, it->value, &here);
	}
	return note_unknown(c, n, it->key, at);
}

/* ---- nodes ---- */

static struct schema_node *node_new(struct schema_compiler *c, struct slice spec)
{
	struct schema_node *n = arena_try(&c->s->arena, sizeof(*n));
	if (!n)
		return NULL;
	*n = (struct schema_node){
		.spec = spec,
		.max_length = UINT64_MAX,
		.max_items = UINT64_MAX,
		.max_members = UINT64_MAX,
	};
	return schema_index_add(c, n) ? n : NULL;
}

int schema_node_at(struct schema_compiler *c, struct slice spec, const struct spec_place *at,
		   const struct schema_node **out)
{
	*out = schema_index_find(c, spec);
	if (*out)
		return 0;
	struct schema_node *n = node_new(c, spec);
	if (!n)
		return err_nomem(c->e);
	*out = n;
	struct value ref = bson_get_str(spec, "$ref");
	if (ref.type == BSON_STRING) {
		n->is_ref = true;
		return schema_ref_add(c, n, value_slice(ref), at);
	}
	if (c->depth >= DEPTH_MAX)
		return schema_fail(c, at, ERR_LIMIT, 15, "schemas are nested more than %d deep",
				   DEPTH_MAX);
	c->depth++;
	struct bson_iter it;
	uint64_t seen = 0;
	int rc = 0;
	bson_iter_init(&it, spec);
	while (rc == 0 && bson_next(&it))
		rc = compile_keyword(c, n, &it, at, &seen);
	c->depth--;
	return rc;
}

/* ---- the door ---- */

static int compile_into(struct schema *s, struct slice spec, struct err *e)
{
	struct schema_compiler c = { .s = s, .e = e };
	c.spec = slice_of(arena_copy(&s->arena, spec.p, spec.len), spec.len);
	if (!c.spec.p)
		return err_nomem(e);
	int rc = schema_collect_ids(&c);
	if (rc == 0)
		rc = schema_node_at(&c, c.spec, NULL, &s->root);
	if (rc == 0)
		rc = schema_follow_refs(&c);
	if (rc == 0)
		rc = check_unknown(&c);
	return rc;
}

int schema_compile(struct slice spec, struct schema **out, struct err *e)
{
	struct schema *s = mem_try(sizeof(*s));
	if (!s)
		return err_nomem(e);
	int rc = compile_into(s, spec, e);
	if (rc < 0) {
		schema_free(s);
		return rc;
	}
	*out = s;
	return 0;
}

void schema_free(struct schema *s)
{
	if (!s)
		return;
	for (struct schema_owned *o = s->owned; o; o = o->next)
		regex_free(o->regex);
	arena_done(&s->arena);
	mem_free(s);
}
