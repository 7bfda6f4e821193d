/* weir_doc.c: documents through the public API: conversion, looking in, and making. */
#include "lib/lib.h"

#include "doc/compare.h"
#include "doc/decimal.h"
#include "doc/diff.h"
#include "doc/json.h"

static_assert(sizeof(weir_value) == sizeof(struct value) &&
		      offsetof(weir_value, u) == offsetof(struct value, i64) &&
		      offsetof(weir_value, len) == offsetof(struct value, len),
	      "weir_value is struct value");
static_assert((int)WEIR_TYPE_DECIMAL128 == (int)BSON_DECIMAL128 &&
		      (int)WEIR_TYPE_MINKEY == (int)BSON_MINKEY,
	      "types have one number");

static struct value in_value(const weir_value *v)
{
	struct value out;
	memcpy(&out, v, sizeof(out));
	return out;
}

static void out_value(struct value v, weir_value *out)
{
	memcpy(out, &v, sizeof(*out));
}

static enum json_mode mode_of(enum weir_json_mode m)
{
	return m == WEIR_JSON_CANONICAL ? JSON_CANONICAL : JSON_RELAXED;
}

void weir_buffer_clear(weir_buffer *b)
{
	if (b)
		buf_reset(lib_buf(b));
}

void weir_buffer_free(weir_buffer *b)
{
	if (b)
		buf_done(lib_buf(b));
}

/* Ends an append to the caller's buffer: text gets its NUL; a failure takes back what was added. */
static int finish(weir_buffer *out, size_t start, int rc, struct err *e)
{
	struct buf *b = lib_buf(out);
	if (rc == 0) {
		(void)buf_cstr(b);
		rc = buf_check(b, e);
	}
	if (rc < 0) {
		b->len = start;
		b->failed = false;
	}
	return rc;
}

/* ---- conversion ---- */

int weir_json_to_bson(const char *text, size_t len, weir_buffer *out, size_t *used, weir_error *e)
{
	if (!text || !out)
		return lib_null(lib_err(e), text ? "the output" : "the text");
	size_t start = out->len;
	int rc = json_to_bson(slice_of(text, len), lib_buf(out), used, lib_err(e));
	return finish(out, start, rc, lib_err(e));
}

int weir_bson_validate(const void *data, size_t len, weir_error *e)
{
	return data ? bson_validate(slice_of(data, len), lib_err(e))
		    : lib_null(lib_err(e), "the document");
}

int weir_bson_to_json(weir_doc doc, enum weir_json_mode mode, int indent, weir_buffer *out,
		      weir_error *we)
{
	struct err *e = lib_err(we);
	AUTO(buf) struct buf tmp = BUF_INIT;
	struct slice s;
	bool is_array;
	if (!doc.data || !out)
		return lib_null(e, doc.data ? "the output" : "the document");
	int rc = lib_doc(doc, "document", &tmp, &s, &is_array, e);
	if (rc < 0)
		return rc;
	size_t start = out->len;
	if (is_array)
		json_from_value(value_array(s), mode_of(mode), lib_buf(out));
	else if (indent > 0)
		json_from_bson_pretty(s, mode_of(mode), indent, lib_buf(out));
	else
		json_from_bson(s, mode_of(mode), lib_buf(out));
	return finish(out, start, 0, e);
}

int weir_value_to_json(const weir_value *v, enum weir_json_mode mode, weir_buffer *out,
		       weir_error *e)
{
	if (!v || !out)
		return lib_null(lib_err(e), v ? "the output" : "the value");
	size_t start = out->len;
	if (v->type != BSON_MISSING)
		json_from_value(in_value(v), mode_of(mode), lib_buf(out));
	return finish(out, start, 0, lib_err(e));
}

/* The text inside {"$date":"..."}: dates print without their wrapping where the writer gives text at all. */
static void date_text(struct value v, struct buf *out)
{
	AUTO(buf) struct buf json = BUF_INIT;
	json_from_value(v, JSON_RELAXED, &json);
	static const struct slice head = { (const uint8_t *)"{\"$date\":\"", 10 };
	if (json.len > head.len + 2 && memcmp(json.p, head.p, head.len) == 0)
		buf_add(out, json.p + head.len, json.len - head.len - 2);
	else
		buf_add_slice(out, buf_slice(&json));
	out->failed |= json.failed;
}

int weir_value_to_text(const weir_value *v, weir_buffer *out, weir_error *e)
{
	if (!v || !out)
		return lib_null(lib_err(e), v ? "the output" : "the value");
	struct value x = in_value(v);
	struct buf *b = lib_buf(out);
	size_t start = b->len;
	static const char digits[] = "0123456789abcdef";
	switch (x.type) {
	case BSON_MISSING: break;
	case BSON_STRING:
	case BSON_SYMBOL:
	case BSON_CODE: buf_add_slice(b, value_slice(x)); break;
	case BSON_OID:
		for (int i = 0; i < 12; i++) {
			buf_add_byte(b, (uint8_t)digits[x.p[i] >> 4]);
			buf_add_byte(b, (uint8_t)digits[x.p[i] & 15]);
		}
		break;
	case BSON_DATE: date_text(x, b); break;
	default: json_from_value(x, JSON_RELAXED, b); break;
	}
	return finish(out, start, 0, lib_err(e));
}

int weir_value_compare(const weir_value *a, const weir_value *b)
{
	return value_compare(a ? in_value(a) : VALUE_MISSING, b ? in_value(b) : VALUE_MISSING);
}

const char *weir_type_name(int type)
{
	return bson_type_name((uint8_t)type);
}

/* ---- looking in ---- */

static struct value at_path(struct slice doc, const char *path)
{
	for (;;) {
		const char *dot = strchr(path, '.');
		struct slice key = dot ? slice_of(path, (size_t)(dot - path)) : slice_str(path);
		struct value v = bson_get(doc, key);
		if (!dot)
			return v;
		if (v.type != BSON_DOCUMENT && v.type != BSON_ARRAY)
			return VALUE_MISSING;
		doc = value_slice(v);
		path = dot + 1;
	}
}

static struct value get(weir_doc doc, const char *path)
{
	if (!doc.data || doc.form == WEIR_FORM_JSON || !path)
		return VALUE_MISSING;
	return at_path(slice_of(doc.data, doc.len), path);
}

int weir_get(weir_doc doc, const char *path, weir_value *out)
{
	struct value v = get(doc, path);
	if (v.type == BSON_MISSING)
		return 0;
	out_value(v, out);
	return 1;
}

int weir_get_string(weir_doc doc, const char *path, const char **out)
{
	struct value v = get(doc, path);
	if (v.type != BSON_STRING)
		return 0;
	*out = (const char *)v.p;
	return 1;
}

int weir_get_int64(weir_doc doc, const char *path, int64_t *out)
{
	struct value v = get(doc, path);
	switch (v.type) {
	case BSON_INT32:
	case BSON_INT64: *out = v.i64; return 1;
	case BSON_DOUBLE:
		/* 2^63 itself is no int64; NaN fails both comparisons. */
		if (!(v.f64 >= -0x1p63 && v.f64 < 0x1p63) || v.f64 != (double)(int64_t)v.f64)
			return 0;
		*out = (int64_t)v.f64;
		return 1;
	default: return 0;
	}
}

int weir_get_double(weir_doc doc, const char *path, double *out)
{
	struct value v = get(doc, path);
	switch (v.type) {
	case BSON_INT32:
	case BSON_INT64: *out = (double)v.i64; return 1;
	case BSON_DOUBLE: *out = v.f64; return 1;
	case BSON_DECIMAL128: *out = dec_to_double(v.dec); return 1;
	default: return 0;
	}
}

int weir_get_bool(weir_doc doc, const char *path, bool *out)
{
	struct value v = get(doc, path);
	if (v.type != BSON_BOOL)
		return 0;
	*out = v.i64 != 0;
	return 1;
}

int weir_get_date(weir_doc doc, const char *path, int64_t *ms)
{
	struct value v = get(doc, path);
	if (v.type != BSON_DATE)
		return 0;
	*ms = v.i64;
	return 1;
}

int weir_get_doc(weir_doc doc, const char *path, weir_doc *out)
{
	struct value v = get(doc, path);
	if (v.type != BSON_DOCUMENT && v.type != BSON_ARRAY)
		return 0;
	*out = lib_doc_out(v);
	return 1;
}

void weir_iter_init(weir_iter *it, weir_doc doc)
{
	memset(it, 0, sizeof(*it));
	if (!doc.data || doc.form == WEIR_FORM_JSON)
		return;
	struct bson_iter b;
	bson_iter_init(&b, slice_of(doc.data, doc.len));
	it->at_ = b.at;
	it->end_ = b.end;
}

int weir_iter_next(weir_iter *it)
{
	struct bson_iter b = { .at = it->at_, .end = it->end_ };
	if (!it->at_ || !bson_next(&b))
		return 0;
	it->at_ = b.at;
	it->end_ = b.end;
	it->key = (const char *)b.key.p; /* BSON's names end in NUL */
	out_value(b.value, &it->value);
	return 1;
}

/* ---- making ---- */

static int with_id(struct slice doc, const char *id_path, struct buf *out, struct err *e)
{
	struct value id = at_path(doc, id_path);
	switch (id.type) {
	case BSON_MISSING: return err_set(e, ERR_NOTFOUND, "there is no value at %s", id_path);
	case BSON_ARRAY:
	case BSON_REGEX:
	case BSON_UNDEFINED:
		return err_number(e, ERR_INVALID, 53,
				  "the value at %s is of type %s and cannot be an _id", id_path,
				  bson_type_name(id.type));
	default: break;
	}
	struct bson_writer w;
	struct bson_iter it;
	bson_writer_init(&w, out);
	bson_put(&w, SLICE_LIT("_id"), id);
	bson_iter_init(&it, doc);
	while (bson_next(&it))
		if (!slice_is(it.key, "_id"))
			bson_put_raw(&w, it.raw);
	return bson_finish(&w, e);
}

int weir_doc_with_id(weir_doc doc, const char *id_path, weir_buffer *out, weir_error *we)
{
	struct err *e = lib_err(we);
	AUTO(buf) struct buf tmp = BUF_INIT;
	struct slice s;
	if (!doc.data || !id_path || !out)
		return lib_null(e, !doc.data ? "the document"
				   : id_path ? "the output"
					     : "the path");
	int rc = lib_doc(doc, "document", &tmp, &s, NULL, e);
	if (rc < 0)
		return rc;
	size_t start = out->len;
	rc = with_id(s, id_path, lib_buf(out), e);
	return finish(out, start, rc, e);
}

int weir_apply_update(weir_doc before, weir_doc update_description, weir_buffer *out,
		      weir_error *we)
{
	struct err *e = lib_err(we);
	AUTO(buf) struct buf tmp_before = BUF_INIT;
	AUTO(buf) struct buf tmp_update = BUF_INIT;
	struct slice b, u;
	if (!before.data || !update_description.data || !out)
		return lib_null(e, out ? "a document" : "the output");
	int rc = lib_doc(before, "before", &tmp_before, &b, NULL, e);
	if (rc == 0)
		rc = lib_doc(update_description, "update description", &tmp_update, &u, NULL, e);
	if (rc < 0)
		return rc;
	size_t start = out->len;
	rc = diff_apply(b, u, lib_buf(out), e);
	return finish(out, start, rc, e);
}
