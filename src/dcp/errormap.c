#include "dcp/errormap.h"

#include "base/mem.h"
#include "dcp/wire.h"
#include "doc/json.h"

struct entry {
	uint16_t status, attrs;
};

struct error_map {
	uint32_t n;
	struct entry entry[];
};

static unsigned attr_of(struct slice name)
{
	static const struct {
		const char *name;
		unsigned attr;
	} known[] = {
		{ "retry-now", ERROR_RETRY_NOW },
		{ "retry-later", ERROR_RETRY_LATER },
		{ "temp", ERROR_RETRY_LATER },
		{ "rate-limit", ERROR_RETRY_LATER },
		{ "auto-retry", ERROR_RETRY_LATER },
		{ "conn-state-invalidated", ERROR_CONN_STATE },
		{ "auth", ERROR_AUTH },
		{ "fetch-config", ERROR_FETCH_CONFIG },
		{ "item-only", ERROR_ITEM_ONLY },
		{ "subdoc", ERROR_ITEM_ONLY },
		{ "invalid-input", ERROR_INVALID_INPUT },
	};
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (slice_is(name, known[i].name))
			return known[i].attr;
	return 0;
}

/* "8a": hexadecimal, without a prefix. */
static bool status_of(struct slice text, uint16_t *out)
{
	uint32_t n = 0;
	if (text.len == 0 || text.len > 4)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.p[i] | 32;
		if (c >= '0' && c <= '9')
			n = n << 4 | (uint32_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			n = n << 4 | (uint32_t)(c - 'a' + 10);
		else
			return false;
	}
	*out = (uint16_t)n;
	return true;
}

static unsigned read_attrs(struct value error)
{
	unsigned attrs = 0;
	if (error.type != BSON_DOCUMENT)
		return 0;
	struct value list = bson_get_str(value_slice(error), "attrs");
	if (list.type != BSON_ARRAY)
		return 0;
	struct bson_iter it;
	bson_iter_init(&it, value_slice(list));
	while (bson_next(&it))
		if (it.value.type == BSON_STRING)
			attrs |= attr_of(value_slice(it.value));
	return attrs;
}

static int read_errors(struct slice errors, struct error_map **out, struct err *e)
{
	struct bson_iter it;
	uint32_t n = 0;
	bson_iter_init(&it, errors);
	while (bson_next(&it))
		n++;
	if (n > ERROR_MAP_ENTRIES_MAX)
		return err_set(e, ERR_LIMIT, "error map: %u errors, the limit is %u", n,
			       ERROR_MAP_ENTRIES_MAX);
	struct error_map *m = mem_try(sizeof(*m) + n * sizeof(m->entry[0]));
	if (!m)
		return err_nomem(e);
	bson_iter_init(&it, errors);
	while (bson_next(&it)) {
		struct entry *at = &m->entry[m->n];
		if (!status_of(it.key, &at->status)) {
			error_map_free(m);
			return err_set(e, ERR_PROTOCOL, "error map: a status that is no number");
		}
		at->attrs = (uint16_t)read_attrs(it.value);
		m->n++;
	}
	*out = m;
	return 0;
}

int error_map_parse(struct slice json, struct error_map **out, struct err *e)
{
	if (json.len > ERROR_MAP_JSON_MAX)
		return err_set(e, ERR_LIMIT, "error map: %zu bytes, the limit is %u", json.len,
			       ERROR_MAP_JSON_MAX);
	AUTO(buf) struct buf doc = BUF_INIT;
	int rc = json_to_bson(json, &doc, NULL, e);
	if (rc < 0)
		return err_in(e, rc, "error map");
	struct value errors = bson_get_str(buf_slice(&doc), "errors");
	if (errors.type != BSON_DOCUMENT)
		return err_set(e, ERR_PROTOCOL, "error map: no errors in it");
	return read_errors(value_slice(errors), out, e);
}

void error_map_free(struct error_map *m)
{
	mem_free(m);
}

unsigned error_map_attrs(const struct error_map *m, uint16_t status)
{
	for (uint32_t i = 0; m && i < m->n; i++)
		if (m->entry[i].status == status)
			return m->entry[i].attrs;
	return 0;
}

enum reaction error_reaction(const struct error_map *m, uint16_t status)
{
	switch (status) {
	case STATUS_WOULD_THROTTLE:
	case STATUS_ENOMEM:
	case STATUS_EBUSY:
	case STATUS_ETMPFAIL:
	case STATUS_EACCESS: /* privileges come and go */ return REACT_RETRY_LATER;
	case STATUS_NOT_MY_VBUCKET:
	case STATUS_CONFIG_ONLY: return REACT_FETCH_MAP;
	case STATUS_AUTH_STALE:
	case STATUS_AUTH_ERROR: return REACT_RECONNECT;
	}
	if (status_name(status))
		return REACT_RETRY_LATER; /* the caller knows better what it means to its request */
	unsigned attrs = error_map_attrs(m, status);
	if (attrs & (ERROR_CONN_STATE | ERROR_AUTH))
		return REACT_RECONNECT;
	if (attrs & ERROR_FETCH_CONFIG)
		return REACT_FETCH_MAP;
	if (attrs & ERROR_RETRY_NOW)
		return REACT_RETRY_NOW;
	if (attrs & ERROR_RETRY_LATER)
		return REACT_RETRY_LATER;
	if (attrs & (ERROR_ITEM_ONLY | ERROR_INVALID_INPUT))
		return REACT_REFUSED;
	return REACT_RETRY_LATER;
}
