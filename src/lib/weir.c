/* weir.c: version, allocator, errors, and how arguments come in. */
#include "lib/lib.h"

#include "base/mem.h"
#include "doc/json.h"
#include "doc/timezone.h"
#include "os/tzfile.h"

static_assert(sizeof(weir_error) == sizeof(struct err) &&
		      offsetof(weir_error, message) == offsetof(struct err, msg) &&
		      offsetof(weir_error, oldest) == offsetof(struct err, oldest) &&
		      offsetof(weir_error, newest) == offsetof(struct err, newest) &&
		      offsetof(weir_error, number) == offsetof(struct err, number),
	      "weir_error is struct err");
static_assert(sizeof(weir_buffer) == sizeof(struct buf) &&
		      offsetof(weir_buffer, data) == offsetof(struct buf, p) &&
		      offsetof(weir_buffer, len) == offsetof(struct buf, len) &&
		      offsetof(weir_buffer, cap) == offsetof(struct buf, cap) &&
		      offsetof(weir_buffer, failed) == offsetof(struct buf, failed),
	      "weir_buffer is struct buf");
#define X(n, name, text) \
	static_assert((int)WEIR_ERR_##name == (int)ERR_##name, #name " has one number");
ERR_MAP(X)
#undef X

/* doc/ opens no files: time zones by name come from here. Before main, hence before any thread. */
__attribute__((constructor)) static void use_system_time_zones(void)
{
	timezone_set_loader(tzfile_load);
}

const char *weir_version(void)
{
	return WEIR_VERSION;
}

void weir_set_allocator(void *(*alloc)(size_t n), void *(*resize)(void *p, size_t n),
			void (*release)(void *p))
{
	static struct mem_allocator a;
	a = (struct mem_allocator){ .alloc = alloc, .realloc = resize, .free = release };
	mem_set_allocator(alloc && resize && release ? &a : NULL);
}

/* ---- errors ---- */

const char *weir_error_name(int code)
{
	return err_name(code);
}

const char *weir_error_text(int code)
{
	return err_text(code);
}

int weir_error_is_transient(int code)
{
	switch (code) {
	case ERR_NOMEM:
	case ERR_NOSPACE:
	case ERR_LOCKED:
	case ERR_TIMEOUT:
	case ERR_INTERRUPTED:
	case ERR_NET: return 1;
	default: return 0;
	}
}

int lib_null(struct err *e, const char *what)
{
	return err_set(e, ERR_INVALID, "%s is NULL", what);
}

/* ---- documents coming in ---- */

static int from_json(weir_doc in, const char *what, struct buf *tmp, struct slice *out,
		     bool *is_array, struct err *e)
{
	struct value v;
	int rc = json_to_value(slice_of(in.data, in.len), tmp, &v, NULL, e);
	if (rc < 0)
		return err_in(e, rc, "%s", what);
	if (v.type != BSON_DOCUMENT && !(v.type == BSON_ARRAY && is_array))
		return err_set(e, ERR_INVALID, "%s: expected a document, not %s", what,
			       bson_type_name(v.type));
	if (is_array)
		*is_array = v.type == BSON_ARRAY;
	*out = value_slice(v);
	return 0;
}

int lib_doc(weir_doc in, const char *what, struct buf *tmp, struct slice *out, bool *is_array,
	    struct err *e)
{
	*out = SLICE_NONE;
	if (is_array)
		*is_array = false;
	if (!in.data)
		return 0;
	switch (in.form) {
	case WEIR_FORM_JSON: return from_json(in, what, tmp, out, is_array, e);
	case WEIR_FORM_ARRAY:
		if (!is_array)
			return err_set(e, ERR_INVALID, "%s: expected a document, not an array",
				       what);
		*is_array = true;
		break;
	case WEIR_FORM_BSON: break;
	default: return err_set(e, ERR_INVALID, "%s: unknown form of document", what);
	}
	*out = slice_of(in.data, in.len);
	int rc = bson_validate(*out, e);
	return rc < 0 ? err_in(e, rc, "%s", what) : 0;
}

int lib_array(weir_doc in, const char *what, struct buf *tmp, struct slice *out, struct err *e)
{
	bool is_array;
	if (in.data && in.form == WEIR_FORM_BSON)
		in.form = WEIR_FORM_ARRAY;
	int rc = lib_doc(in, what, tmp, out, &is_array, e);
	if (rc == 0 && in.data && !is_array)
		return err_set(e, ERR_INVALID, "%s: expected an array", what);
	return rc;
}

weir_doc lib_doc_out(struct value v)
{
	if (v.type == BSON_DOCUMENT)
		return weir_bson(v.p, v.len);
	if (v.type == BSON_ARRAY)
		return weir_bson_array(v.p, v.len);
	return weir_none();
}

/* ---- options ---- */

int lib_options(void *dst, size_t dst_size, const void *src, struct err *e)
{
	size_t size;
	if (!src)
		return 0;
	memcpy(&size, src, sizeof(size));
	if (size < sizeof(size) || size > 65536)
		return err_set(e, ERR_INVALID, "the options' size is not set");
	memcpy(dst, src, MIN(size, dst_size));
	for (size_t i = dst_size; i < size; i++)
		if (((const uint8_t *)src)[i])
			return err_set(e, ERR_UNSUPPORTED,
				       "the options have fields that this version does not know");
	return 0;
}

int lib_out_size(const void *out, size_t known, size_t *bytes, struct err *e)
{
	size_t size;
	if (!out)
		return lib_null(e, "the output");
	memcpy(&size, out, sizeof(size));
	if (size < sizeof(size) || size > 65536)
		return err_set(e, ERR_INVALID, "the output's size is not set");
	*bytes = MIN(size, known);
	return 0;
}
