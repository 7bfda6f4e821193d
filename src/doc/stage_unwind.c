/* stage_unwind.c: $unwind: one document for each element of an array.
 *
 *	{ path: "$a.b", includeArrayIndex: "i", preserveNullAndEmptyArrays: false }     or   "$a.b"
 *
 *	a.b is an array           one document an element, a.b replaced by it, i its index (int64)
 *	missing, null, []         nothing; with preserve..., the document once, i null ([] is removed)
 *	anything else             the document once, i null
 */
#include "doc/stage.h"

#include "base/mem.h"
#include "doc/projection.h"

struct unwind_stage {
	struct stage base;
	uint8_t *text;      /* the path's bytes and the index's, which the projections point into */
	struct slice path;  /* without its '$' */
	struct slice index; /* empty: none */
	bool preserve;
	struct projection *set_path, *set_index;
};

static const struct unwind_stage *self(const struct stage *s)
{
	return container_of(s, struct unwind_stage, base);
}

static void release(struct stage *s)
{
	struct unwind_stage *u = container_of(s, struct unwind_stage, base);
	projection_free(u->set_path);
	projection_free(u->set_index);
	mem_free(u->text);
	mem_free(u);
}

struct spec {
	struct value path, index, preserve;
};

static int read_spec(struct value v, struct spec *spec, struct err *e)
{
	struct bson_iter it;
	*spec = (struct spec){ VALUE_MISSING, VALUE_MISSING, VALUE_MISSING };
	if (v.type == BSON_STRING) {
		spec->path = v;
		return 0;
	}
	if (v.type != BSON_DOCUMENT)
		return err_number(e, ERR_INVALID, 15981, "expected a path or {path: ...}, got a %s",
				  bson_type_name(v.type));
	bson_iter_init(&it, value_slice(v));
	while (bson_next(&it)) {
		if (slice_is(it.key, "path"))
			spec->path = it.value;
		else if (slice_is(it.key, "includeArrayIndex"))
			spec->index = it.value;
		else if (slice_is(it.key, "preserveNullAndEmptyArrays"))
			spec->preserve = it.value;
		else
			return err_number(e, ERR_INVALID, 28811,
					  "'" SLICE_FMT "' is not one of path, includeArrayIndex, "
					  "preserveNullAndEmptyArrays",
					  SLICE_ARG(it.key));
	}
	return 0;
}

static int check_spec(const struct spec *s, struct err *e)
{
	if (s->path.type == BSON_MISSING)
		return err_number(e, ERR_INVALID, 28812, "path is missing");
	if (s->path.type != BSON_STRING)
		return err_number(e, ERR_INVALID, 28808, "path: expected a string, got a %s",
				  bson_type_name(s->path.type));
	if (!s->path.len || s->path.p[0] != '$')
		return err_number(e, ERR_INVALID, 28818, "path: it must begin with '$'");
	if (s->preserve.type != BSON_MISSING && s->preserve.type != BSON_BOOL)
		return err_number(e, ERR_INVALID, 28809,
				  "preserveNullAndEmptyArrays: expected a bool, got a %s",
				  bson_type_name(s->preserve.type));
	if (s->index.type == BSON_MISSING)
		return 0;
	if (s->index.type != BSON_STRING || !s->index.len)
		return err_number(e, ERR_INVALID, 28810,
				  "includeArrayIndex: expected a field name that is not empty");
	if (s->index.p[0] == '$')
		return err_number(e, ERR_INVALID, 28822,
				  "includeArrayIndex: it must not begin with '$'");
	return 0;
}

static int set_one(struct slice path, struct projection **out, struct err *e)
{
	*out = projection_new(PROJECTION_ADD);
	if (!*out)
		return err_nomem(e);
	int rc = projection_add_value(*out, path, e);
	return rc < 0 ? rc : projection_seal(*out, e);
}

static int build(struct unwind_stage *u, const struct spec *s, struct err *e)
{
	size_t n_path = s->path.len - 1, n_index = s->index.type == BSON_STRING ? s->index.len : 0;
	u->text = mem_try(n_path + n_index + 1);
	if (!u->text)
		return err_nomem(e);
	memcpy(u->text, s->path.p + 1, n_path);
	if (n_index)
		memcpy(u->text + n_path, s->index.p, n_index);
	u->path = slice_of(u->text, n_path);
	u->index = slice_of(u->text + n_path, n_index);
	u->preserve = s->preserve.type == BSON_BOOL && s->preserve.i64;
	int rc = set_one(u->path, &u->set_path, e);
	if (rc == 0 && n_index)
		rc = set_one(u->index, &u->set_index, e);
	return rc;
}

static int compile(struct value v, const struct stage_env *env, struct stage **out, struct err *e)
{
	struct spec spec;
	int rc = read_spec(v, &spec, e);
	if (rc == 0)
		rc = check_spec(&spec, e);
	if (rc < 0)
		return err_in(e, rc, "%s", env->name);
	struct unwind_stage *u = mem_try(sizeof(*u));
	if (!u)
		return err_nomem(e);
	rc = build(u, &spec, e);
	if (rc < 0) {
		release(&u->base);
		return err_in(e, rc, "%s", env->name);
	}
	*out = &u->base;
	return 0;
}

/* The value at the path, through documents only. */
static struct value value_at(struct slice doc, struct slice path)
{
	struct value v = value_doc(doc);
	while (path.len && v.type == BSON_DOCUMENT) {
		const uint8_t *dot = memchr(path.p, '.', path.len);
		size_t len = dot ? (size_t)(dot - path.p) : path.len;
		v = bson_get(value_slice(v), slice_of(path.p, len));
		path = dot ? slice_of(dot + 1, path.len - len - 1) : SLICE_NONE;
	}
	return path.len ? VALUE_MISSING : v;
}

static int set_index(const struct unwind_stage *u, struct eval *ev, struct value index,
		     struct slice *doc, struct err *e)
{
	if (!u->set_index)
		return 1;
	return projection_apply(u->set_index, ev, *doc, &index, doc, e);
}

static int pass_once(const struct unwind_stage *u, struct eval *ev, struct slice doc,
		     const struct stage_next *next, struct err *e)
{
	int rc = set_index(u, ev, VALUE_NULL, &doc, e);
	return rc < 0 ? rc : stage_pass(next, ev, doc, e);
}

static int spread(const struct stage *s, struct eval *ev, struct slice doc,
		  const struct stage_next *next, struct err *e)
{
	const struct unwind_stage *u = self(s);
	struct value array = value_at(doc, u->path);
	if (array.type == BSON_MISSING || array.type == BSON_NULL || array.type == BSON_UNDEFINED)
		return u->preserve ? pass_once(u, ev, doc, next, e) : 0;
	if (array.type != BSON_ARRAY)
		return pass_once(u, ev, doc, next, e);
	struct bson_iter it;
	int64_t i = 0;
	bson_iter_init(&it, value_slice(array));
	for (; bson_next(&it); i++) {
		struct slice one;
		if (unlikely(++ev->steps > ev->steps_max))
			return err_number(e, ERR_LIMIT, 146,
					  "$unwind: one document becomes too many");
		int rc = projection_apply(u->set_path, ev, doc, &it.value, &one, e);
		if (rc > 0)
			rc = set_index(u, ev, value_int64(i), &one, e);
		if (rc > 0)
			rc = stage_pass(next, ev, one, e);
		if (rc != 0)
			return rc;
	}
	if (i > 0 || !u->preserve)
		return 0;
	struct value removed = VALUE_MISSING;
	int rc = projection_apply(u->set_path, ev, doc, &removed, &doc, e);
	return rc < 0 ? rc : pass_once(u, ev, doc, next, e);
}

static void explain(const struct stage *s, struct buf *out)
{
	const struct unwind_stage *u = self(s);
	buf_add_fmt(out, SLICE_FMT, SLICE_ARG(u->path));
	if (u->index.len)
		buf_add_fmt(out, ", index in " SLICE_FMT, SLICE_ARG(u->index));
	if (u->preserve)
		buf_add_str(out, ", keep what has no element");
}

const struct stage_ops stage_unwind = {
	.name = "$unwind",
	.group = "spread",
	.help = "makes one document of each element of an array",
	.in_change_stream = false,
	.compile = compile,
	.spread = spread,
	.explain = explain,
	.release = release,
};
